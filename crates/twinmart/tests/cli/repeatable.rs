//! Same seed, same bytes: for any number of threads, and after any number of kills.

use crate::shop::{succeed, twinmart, write_shop};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Everything a run publishes that must repeat: the twin, the model, the report (times live in run.jsonl only).
fn results(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in
        ["twin/users.parquet", "twin/items.parquet", "twin/events.parquet", "model.twin", "report.json", "report.html"]
    {
        files.insert(name.to_string(), fs::read(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}")));
    }
    files
}

fn assert_same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>, what: &str) {
    for (name, bytes) in a {
        assert!(bytes == &b[name], "{name} differs {what}");
    }
}

#[test]
fn one_thread_and_two_threads_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    for method in ["replicate", "interpolate", "independent"] {
        let run = |threads: &str, seed: &str| {
            let out = dir.path().join(format!("{method}-{threads}-{seed}"));
            let project = project.to_str().unwrap();
            succeed(&[
                "run",
                project,
                "--out",
                out.to_str().unwrap(),
                "--method",
                method,
                "--threads",
                threads,
                "--seed",
                seed,
                "-q",
            ]);
            results(&out)
        };
        let one = run("1", "7");
        assert_same(&one, &run("2", "7"), &format!("between 1 and 2 threads ({method})"));
        assert_ne!(one["twin/events.parquet"], run("1", "8")["twin/events.parquet"], "{method}: the seed must matter");
    }
}

#[test]
fn killed_ten_times_the_run_ends_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let whole = dir.path().join("whole");
    let began = std::time::Instant::now();
    succeed(&["run", project.to_str().unwrap(), "--out", whole.to_str().unwrap(), "-q"]);
    let length = began.elapsed();
    let killed = dir.path().join("killed");
    for tenth in 1..=10u32 {
        let mut child =
            twinmart(&["run", project.to_str().unwrap(), "--out", killed.to_str().unwrap(), "-q"]).spawn().unwrap();
        std::thread::sleep(length.mul_f64(f64::from(tenth) / 12.0).max(Duration::from_millis(5)));
        let _ = child.kill();
        child.wait().unwrap();
    }
    succeed(&["run", project.to_str().unwrap(), "--out", killed.to_str().unwrap(), "-q"]);
    assert_same(&results(&whole), &results(&killed), "after ten kills");
    let leftovers: Vec<String> = fs::read_dir(&killed)
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.starts_with(".twinmart"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_finished_run_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let out = dir.path().join("out");
    let run = || succeed(&["run", project.to_str().unwrap(), "--out", out.to_str().unwrap(), "-q"]);
    run();
    let first = results(&out);
    run();
    let log = fs::read_to_string(out.join("run.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 5);
    assert!(log.lines().all(|l| l.contains("\"reused\":true")), "{log}");
    assert_same(&first, &results(&out), "after a second run");
}
