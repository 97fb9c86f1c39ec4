//! Every command's help has an example, and the examples work as typed, one after the other, beside the bundled data.

use crate::shop;
use std::path::Path;
use std::process::Command;

const COMMANDS: [&str; 16] = [
    "init",
    "profile",
    "clean",
    "fit",
    "sample",
    "complete",
    "augment",
    "predict",
    "run",
    "assess",
    "split",
    "train",
    "evaluate",
    "recommend",
    "bench",
    "bench rows",
];

/// The lines of a help text that start with `twinmart`, below «Example».
fn examples(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
    let help = shop::succeed(&words);
    let (_, after) = help.split_once("Example").unwrap_or_else(|| panic!("{command} --help has no example"));
    after.lines().map(str::trim).filter(|l| l.starts_with("twinmart ")).map(str::to_string).collect()
}

/// The example in `folder`, but with a few customers and steps of learning: that of all takes minutes.
#[cfg(unix)]
fn put_small_example(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/online-retail").canonicalize().unwrap();
    let example = folder.join("examples/online-retail");
    std::fs::create_dir_all(&example).unwrap();
    std::os::unix::fs::symlink(root.join("data"), example.join("data")).unwrap();
    let project = std::fs::read_to_string(root.join("twinmart.toml")).unwrap();
    let (cancelled, minutes) = ("\"InvoiceNo LIKE 'C%'\",", "max_minutes = 5");
    assert!(project.contains(cancelled) && project.contains(minutes));
    let few = format!("{cancelled} \"CustomerID > 13000\",");
    let project = project.replace(cancelled, &few).replace(minutes, "steps = 20");
    std::fs::write(example.join("twinmart.toml"), project).unwrap();
}

#[test]
#[cfg(unix)]
fn examples_work_as_typed() {
    let dir = tempfile::tempdir().unwrap();
    put_small_example(dir.path());
    let project = dir.path().join("examples/online-retail/twinmart.toml");
    let learned = dir.path().join("learned.twin");
    shop::succeed(&["fit", project.to_str().unwrap(), "--out", learned.to_str().unwrap(), "-q"]);
    let binary = Path::new(env!("CARGO_BIN_EXE_twinmart")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    for command in COMMANDS {
        let lines = examples(command);
        assert!(!lines.is_empty(), "{command} --help has no example");
        for line in lines {
            let run =
                Command::new("sh").args(["-c", &line]).current_dir(dir.path()).env("PATH", &path).output().unwrap();
            assert!(run.status.success(), "`{line}` failed: {}", String::from_utf8_lossy(&run.stderr));
        }
    }
}

#[test]
fn every_command_is_covered() {
    let help = shop::succeed(&["--help"]);
    let (_, list) = help.split_once("Commands:").unwrap();
    // A name stands two blanks in; what its description wraps to stands further in.
    let names = list.lines().skip(1).take_while(|l| l.starts_with("  ")).filter_map(|l| {
        let line = l.strip_prefix("  ").filter(|l| !l.starts_with(' '))?;
        line.split_whitespace().next()
    });
    let names: Vec<&str> = names.filter(|n| *n != "help").collect();
    assert!(names.len() > 1, "{help}");
    for name in names {
        assert!(COMMANDS.contains(&name), "add `{name}` to the tested commands");
    }
}
