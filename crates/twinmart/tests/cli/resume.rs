//! A fit that is killed or interrupted goes on from its checkpoints, to the model of an unbroken fit.

use crate::shop::{twinmart, write_shop};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

const STEPS: &str = "60";
/// A checkpoint as often as writing them allows, and none.
const OFTEN: &str = "0.001";
const NEVER: &str = "0";

/// `twinmart fit` of the small shop.
fn fit(project: &Path, out: &Path, steps: &str, seconds: &str) -> Child {
    let (project, out) = (project.to_str().unwrap(), out.to_str().unwrap());
    start(&["fit", project, "--out", out, "--steps", steps], seconds)
}

fn start(arguments: &[&str], seconds: &str) -> Child {
    let further = ["--method", "autoregressive", "--checkpoint-seconds", seconds];
    let mut command = twinmart(&[arguments, &further].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The checkpoint of the event model, and when it was written.
fn checkpoint(folder: &Path) -> Option<(PathBuf, SystemTime)> {
    let mut files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let path = files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("histories-"))?;
    Some((path.clone(), path.metadata().ok()?.modified().ok()?))
}

/// Ends a child in the middle of its learning, once it has written a checkpoint; what it said.
fn end(mut child: Child, folder: &Path, signal: &str) -> Output {
    let (before, began) = (checkpoint(folder), Instant::now());
    loop {
        let now = checkpoint(folder);
        if now.is_some() && now != before {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "over before its first checkpoint");
        assert!(began.elapsed() < Duration::from_secs(300), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[cfg(unix)]
fn killed_and_interrupted_a_fit_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let whole = dir.path().join("whole.twin");
    assert!(fit(&project, &whole, STEPS, NEVER).wait().unwrap().success());
    let out = dir.path().join("out.twin");
    let kept = dir.path().join("out.twin.checkpoints");

    end(fit(&project, &out, STEPS, OFTEN), &kept, "-KILL");
    assert!(!out.exists() && checkpoint(&kept).is_some());
    let interrupted = end(fit(&project, &out, STEPS, OFTEN), &kept, "-INT");
    assert_eq!(interrupted.status.code(), Some(130), "{}", errors(&interrupted));
    let text = errors(&interrupted);
    assert!(text.contains("events: learning histories goes on after step "), "{text}");
    assert!(text.contains("out.twin.checkpoints has what was learned so far: the same command goes on"), "{text}");
    assert!(!out.exists() && checkpoint(&kept).is_some());

    let done = fit(&project, &out, STEPS, OFTEN).wait_with_output().unwrap();
    assert!(done.status.success(), "{}", errors(&done));
    assert!(errors(&done).contains("goes on after step "), "{}", errors(&done));
    assert!(fs::read(&out).unwrap() == fs::read(&whole).unwrap(), "the model differs");
    assert!(!kept.exists(), "the checkpoints are removed");
}

#[test]
#[cfg(unix)]
fn damaged_and_foreign_checkpoints_are_left_aside() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let out = dir.path().join("out.twin");
    let kept = dir.path().join("out.twin.checkpoints");
    end(fit(&project, &out, STEPS, OFTEN), &kept, "-INT");
    let (path, _) = checkpoint(&kept).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let cut = end(fit(&project, &out, STEPS, OFTEN), &kept, "-INT");
    assert_eq!(cut.status.code(), Some(130));
    assert!(errors(&cut).contains("this checkpoint is damaged and is not used"), "{}", errors(&cut));

    let other = fit(&project, &out, "3", OFTEN).wait_with_output().unwrap();
    assert!(other.status.success(), "{}", errors(&other));
    assert!(errors(&other).contains("are of other data or settings"), "{}", errors(&other));
    assert!(!errors(&other).contains("goes on"), "{}", errors(&other));
    assert!(out.exists() && !kept.exists());
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_goes_on_inside_its_fit() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let text = fs::read_to_string(&project).unwrap();
    fs::write(&project, format!("{text}\n[synthesis]\nsteps = {STEPS}\n")).unwrap();
    let run = |out: &Path| start(&["run", project.to_str().unwrap(), "--out", out.to_str().unwrap()], OFTEN);
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let interrupted = end(run(&out), &out.join("stages/checkpoints-fit"), "-TERM");
    assert_eq!(interrupted.status.code(), Some(130), "{}", errors(&interrupted));
    assert!(errors(&interrupted).contains("/stages has what is done: the same command goes on"));
    let done = run(&out).wait_with_output().unwrap();
    assert!(done.status.success(), "{}", errors(&done));
    assert!(errors(&done).contains("goes on after step "), "{}", errors(&done));
    assert!(!out.join("stages/checkpoints-fit").exists());
    assert!(run(&whole).wait().unwrap().success());
    assert!(fs::read(out.join("model.twin")).unwrap() == fs::read(whole.join("model.twin")).unwrap());
}

#[test]
fn what_is_in_the_way_of_checkpoints_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    fs::write(dir.path().join("out.twin.checkpoints"), "mine").unwrap();
    let out = dir.path().join("out.twin");
    let refused = fit(&project, &out, STEPS, OFTEN).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(errors(&refused).contains("out.twin.checkpoints"), "{}", errors(&refused));
}
