//! Every kind of bad input gets one clear message, the right exit status, and leaves nothing under the output's name.

use crate::shop;
use crate::shop::{twinmart, write_shop};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a command that must fail: checks status, that the message is one line with all `fragments`, and that `out` is absent.
fn refuse(mut command: Command, status: i32, fragments: &[&str], out: &Path) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<&str> = text.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(output.status.code(), Some(status), "{command:?}: {text}");
    assert_eq!(errors.len(), 1, "{command:?}: {text}");
    for fragment in fragments {
        assert!(errors[0].contains(fragment), "{command:?}: `{fragment}` is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    assert!(!out.exists(), "{command:?} left {}", out.display());
    let leftovers = fs::read_dir(out.parent().unwrap()).unwrap().flatten();
    assert!(
        leftovers.into_iter().all(|e| !e.file_name().to_string_lossy().contains("partial")),
        "{command:?} left a part"
    );
}

/// `twinmart fit` of one bad data file.
fn refuse_file(name: &str, content: &[u8], fragments: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    let out = dir.path().join("m.twin");
    let command = twinmart(&["fit", path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let stem = name.split('.').next().unwrap();
    refuse(command, 1, &[&[stem], fragments].concat(), &out);
}

#[test]
fn files_that_are_not_tables() {
    refuse_file("empty.csv", b"", &["empty"]);
    refuse_file("header.csv", b"a,b\n", &["no rows"]);
    refuse_file("ragged.csv", b"a,b\n1,2\n3\n4,5\n", &["row 2"]);
    refuse_file("twice.csv", b"a,b,a\n1,2,3\n", &["`a`"]);
    refuse_file("latin.csv", b"a,b\n1,caf\xe9\n", &["UTF-8", "byte 9"]);
    refuse_file("random.parquet", &[7u8; 4096], &["Parquet"]);
    refuse_file("cut.jsonl", b"{\"a\":1}\n{\"a\":", &["row 2"]);
    refuse_file("empty.parquet", b"", &["empty"]);
    refuse_file("infinite.csv", b"a,b\n1.5,2\ninf,3\n", &["column `a`", "row 2"]);
    refuse_file("torn.csv.gz", b"\x1f\x8b\x08\x00garbage", &["gzip"]);
    refuse_file("table.xlsx", b"PK", &["parquet"]);
}

#[test]
fn a_truncated_parquet_file() {
    let dir = tempfile::tempdir().unwrap();
    write_shop(dir.path());
    let whole = dir.path().join("u.parquet");
    shop::succeed(&["clean", dir.path().join("users.csv").to_str().unwrap(), "--out", whole.to_str().unwrap()]);
    let bytes = fs::read(&whole).unwrap();
    refuse_file("truncated.parquet", &bytes[..bytes.len() / 2], &["Parquet"]);
}

#[test]
fn files_that_are_not_there_or_not_models() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let to = out.to_str().unwrap();
    refuse(twinmart(&["fit", "/nowhere/x.csv", "--out", to]), 1, &["/nowhere/x.csv", "check the path"], &out);
    let model = dir.path().join("m.twin");
    for content in [&b""[..], b"not a model", b"PK\x03\x04 cut zip"] {
        fs::write(&model, content).unwrap();
        refuse(twinmart(&["sample", model.to_str().unwrap(), "--out", to]), 1, &["m.twin", "model file"], &out);
    }
}

/// Runs `twinmart run` on the small shop after a change to its project file or one of its tables.
fn refuse_shop(change: impl Fn(&Path), status: i32, fragments: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    change(dir.path());
    let out = dir.path().join("m.twin");
    let command = twinmart(&["fit", project.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    refuse(command, status, fragments, &out);
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no `{from}`");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn project_files_with_a_mistake() {
    let change = |from: &'static str, to: &'static str| move |d: &Path| edit(d, "twinmart.toml", from, to);
    refuse_shop(change("[split]", "[splitt]"), 2, &["twinmart.toml", "splitt", "did you mean `split`?"]);
    refuse_shop(change("role = \"events\"", "role = \"event\""), 2, &["event", "did you mean `events`?"]);
    refuse_shop(change("users.user_id", "customers.user_id"), 2, &["no table `customers`"]);
    refuse_shop(change("holdout_users = 0.25", "holdout_users = 25"), 2, &["not a share"]);
    refuse_shop(
        change("[split]", "[synthesis]\nmethod = \"interpolat\"\n[split]"),
        2,
        &["did you mean `interpolate`?"],
    );
    refuse_shop(
        change("source = \"events.csv\"", "sql = \"SELECT user_id, contry FROM users\""),
        2,
        &["table `events`", "contry", "country"],
    );
    let options = |text: &'static str| {
        move |d: &Path| edit(d, "twinmart.toml", "[split]", &format!("[tables.users.columns]\n{text}\n[split]"))
    };
    refuse_shop(options("country = { kind = \"integer\" }"), 2, &["table `users`, column `country`", "no integer"]);
    refuse_shop(options("country = { min = 1 }"), 2, &["column `country`", "min and max need numbers"]);
    refuse_shop(options("country = { min = 2, max = 1 }"), 2, &["no value lies between min = 2 and max = 1"]);
    let constraint = "[constraints]\nevents = [\"quantty > 0\"]\n[split]";
    refuse_shop(change("[split]", constraint), 2, &["table `events`", "quantty"]);
    refuse_shop(change("\"events.csv\"", "\"s3://bucket/events.csv\""), 2, &["not part of this version"]);
}

#[test]
fn values_outside_min_and_max_name_the_row() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.csv"), "a,b\n1,x\n7,y\n").unwrap();
    let project = dir.path().join("p.toml");
    fs::write(&project, "[tables.t]\nsource = \"t.csv\"\n[tables.t.columns]\na = { max = 6 }\n").unwrap();
    let out = dir.path().join("out");
    let command = |verb| twinmart(&[verb, project.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    // `run` had made its folder and lock by then: both are gone again.
    for verb in ["fit", "run"] {
        refuse(command(verb), 1, &["table `t`, column `a`, row 2, value `7`", "drop_invalid = ['a > 6']"], &out);
    }
}

#[test]
fn unknown_extensions_of_outputs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("t.csv");
    fs::write(&data, "a,b\n1,x\n7,y\n").unwrap();
    let model = dir.path().join("m.twin");
    shop::succeed(&["fit", data.to_str().unwrap(), "--out", model.to_str().unwrap()]);
    let out = dir.path().join("twin.csv.gz");
    let command = twinmart(&["sample", model.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    refuse(command, 2, &["names no format"], &out);
}

#[test]
fn tables_whose_keys_or_times_cannot_be_used() {
    refuse_shop(
        |d| edit(d, "users.csv", "101,DE", "100,DE"),
        1,
        &["table `users`", "column `user_id`", "row 2", "`100`", "twice"],
    );
    refuse_shop(
        |d| edit(d, "events.csv", "100,i", "999,i"),
        1,
        &["table `events`", "column `user_id`", "row 1", "`999`"],
    );
    let text_time = |d: &Path| {
        let path = d.join("events.csv");
        let text = fs::read_to_string(&path).unwrap().replace("2024-01-", "day ");
        fs::write(path, text).unwrap();
    };
    refuse_shop(text_time, 1, &["table `events`", "column `time`"]);
}

#[test]
fn unknown_methods_and_flags_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let out = dir.path().join("m.twin");
    let (project, to) = (project.to_str().unwrap(), out.to_str().unwrap());
    let fit = |method| twinmart(&["fit", project, "--out", to, "--method", method]);
    refuse(fit("magic"), 2, &["magic", "autoregressive, gan, interpolate, replicate, independent"], &out);
    refuse(twinmart(&["fit", project, "--out", to, "--metod", "x"]), 2, &["--metod"], &out);
    let split = dir.path().join("split");
    refuse(
        twinmart(&["split", project, "--split", "sideways", "--out", split.to_str().unwrap()]),
        2,
        &["sideways"],
        &split,
    );
    fs::write(&out, "precious").unwrap();
    let refused = fit("replicate").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&out).unwrap(), "precious", "an existing output is never touched");
}

#[test]
#[cfg(unix)]
fn outputs_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let project = write_shop(dir.path());
    let out = dir.path().join("m.twin");
    let limited = |what: &str| {
        let mut shell = Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_twinmart");
        shell.args(["-c", &format!("ulimit -f 1; exec {binary} {what}")]);
        shell
    };
    let fit = format!("fit {} --out {}", project.display(), out.display());
    refuse(limited(&fit), 1, &["m.twin", "ulimit -f"], &out);
    let model = dir.path().join("good.twin");
    shop::succeed(&["fit", project.to_str().unwrap(), "--out", model.to_str().unwrap(), "-q"]);
    let twin = dir.path().join("twin");
    refuse(
        limited(&format!("sample {} --out {} --users 2000", model.display(), twin.display())),
        1,
        &["ulimit -f"],
        &twin,
    );
    let own = project.to_str().unwrap();
    let before = std::fs::read(&project).unwrap();
    let over_itself = shop::run(&["fit", own, "--out", own, "--overwrite"]);
    assert_eq!(over_itself.status.code(), Some(2));
    assert!(String::from_utf8(over_itself.stderr).unwrap().contains("would replace the data"));
    assert_eq!(std::fs::read(&project).unwrap(), before);
    let nowhere = Path::new("/proc/nowhere/m.twin");
    refuse_at(&["fit", project.to_str().unwrap(), "--out", nowhere.to_str().unwrap()], "/proc/nowhere");
}

#[cfg(unix)]
fn refuse_at(arguments: &[&str], fragment: &str) {
    let output = shop::run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(fragment), "{text}");
}

/// Odd but usable tables are fitted, not refused.
#[test]
fn odd_tables_that_work() {
    let lines = |n: u64, line: &dyn Fn(u64) -> String| (0..n).map(line).collect::<String>();
    let zone = |i: u64| if i.is_multiple_of(2) { "Z" } else { "+05:30" };
    for (name, content) in [
        ("one.csv", "a,b\n1,x\n".to_string()),
        ("ids.csv", format!("customer_id\n{}", lines(300, &|i| format!("c{i:06}\n")))),
        ("nulls.csv", "a,b\n1,\n2,\n3,\n".to_string()),
        ("nothing.csv", format!("a,b\n{}", ",\n".repeat(50))),
        ("constant.csv", "a,b\n1,x\n1,x\n1,x\n".to_string()),
        ("many.csv", format!("a,b\n{}", lines(100_000, &|i| format!("v{i},{}\n", i % 7)))),
        ("beyond.csv", format!("a,b\n{}", lines(300, &|i| format!("{},{}\n", u128::from(i) + (1 << 66), i % 7)))),
        (
            "widest.csv",
            format!("a,b\n{}", lines(300, &|i| format!("{}1e308,{i}\n", if i % 2 == 0 { "-" } else { "" }))),
        ),
        ("zones.csv", format!("a,b\n{}", lines(300, &|i| format!("2024-01-02T{:02}:00:00{},{i}\n", i % 24, zone(i))))),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        for method in ["autoregressive", "independent", "replicate", "interpolate"] {
            let model = dir.path().join(format!("{method}.twin"));
            let twin = dir.path().join(format!("{method}.jsonl"));
            let (model, twin) = (model.to_str().unwrap(), twin.to_str().unwrap());
            shop::succeed(&["fit", path.to_str().unwrap(), "--out", model, "--method", method, "-q"]);
            shop::succeed(&["sample", model, "--out", twin, "--rows", "20", "-q"]);
            assert_eq!(fs::read_to_string(twin).unwrap().lines().count(), 20, "{name} by {method}");
        }
    }
}

/// A million texts that nobody shares: learned as what they look like, within bounded memory.
#[test]
fn a_million_distinct_texts_are_learned_and_none_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.csv");
    let text = |i: u64| format!("{:012x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16);
    fs::write(&path, (0..1_000_000).fold("s\n".to_string(), |all, i| all + &text(i) + "\n")).unwrap();
    let (model, twin) = (dir.path().join("m.twin"), dir.path().join("t.csv"));
    shop::succeed(&["fit", path.to_str().unwrap(), "--out", model.to_str().unwrap(), "-q"]);
    shop::succeed(&["sample", model.to_str().unwrap(), "--out", twin.to_str().unwrap(), "--rows", "1000", "-q"]);
    let real: std::collections::HashSet<String> = (0..1_000_000).map(text).collect();
    let made = fs::read_to_string(twin).unwrap();
    assert_eq!(made.lines().count(), 1001);
    assert!(made.lines().skip(1).all(|line| !real.contains(line)));
}
