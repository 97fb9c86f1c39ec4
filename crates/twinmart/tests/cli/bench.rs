//! `twinmart bench rows`: its figures have the right form, are plausible, and can be read by `bench/peers/rows.py`.

use crate::shop;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A table in which every column tells about the others.
fn write_table(folder: &Path, rows: usize) -> PathBuf {
    let mut text = String::from("city,plan,paid,churn\n");
    let mut state = 1u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for _ in 0..rows {
        let city = next(3);
        let plan = if next(10) < 8 { city } else { next(3) };
        let churn = if next(10) < 8 { plan == 0 } else { next(2) == 0 };
        text += &format!("{},p{plan},{},{churn}\n", ["Rome", "Oslo", "Bonn"][city], 20 * plan + next(15));
    }
    let path = folder.join("people.csv");
    fs::write(&path, text).unwrap();
    path
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field} is no number in {value}"))
}

/// The keys that the printer of `bench/peers/rows.py` looks up in costs or in scores.
fn keys_of_printer(map: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("bench/peers/rows.py")).unwrap();
    let key = regex::Regex::new(&format!(r#"{map}\[["'](\w+)["']\]"#)).unwrap();
    key.captures_iter(&text).map(|c| c[1].to_string()).collect()
}

#[test]
fn methods_and_peers_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let table = write_table(dir.path(), 600);
    let [out, peers] = ["out", "peers"].map(|d| dir.path().join(d));
    let bench = |methods: &str, more: &[&str]| {
        let mut arguments = vec!["bench", "rows", table.to_str().unwrap(), "--methods", methods, "--json", "--quiet"];
        arguments.extend(["--target", "churn", "--rate-rows", "3000", "--seed", "3", "--out", out.to_str().unwrap()]);
        arguments.extend(more);
        let result: Value = serde_json::from_str(&shop::succeed(&arguments)).unwrap();
        result["runs"].as_array().unwrap().clone()
    };
    let runs = bench("autoregressive,independent", &[]);
    let named = |method: &str| runs.iter().find(|r| r["peer"] == format!("twinmart {method}")).unwrap();
    let (learned, alone) = (named("autoregressive"), named("independent"));
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert_eq!(run["dataset"], "people");
        assert_eq!((&run["rows"], &run["score"]["rows"]), (&480.into(), &480.into()));
        assert!(number(run, "fit_seconds") > 0.0 && number(run, "rows_per_second") > 100.0);
        if cfg!(target_os = "linux") {
            let (memory, cpu) = (number(run, "peak_memory_bytes"), number(run, "fit_cpu_seconds"));
            assert!(memory > 1e6 && memory < 1e9, "{memory}");
            // The clock of processor time ticks a hundred times a second.
            assert!((0.0..=number(run, "fit_seconds") * number(run, "threads") + 0.05).contains(&cpu), "{run}");
        }
        for share in ["indistinguishability", "column_shapes", "accuracy", "accuracy_ceiling", "utility_real"] {
            assert!((0.0..=1.0).contains(&number(&run["score"], share)), "{share} of {run}");
        }
    }
    let better = |field: &str| number(&learned["score"], field) > number(&alone["score"], field);
    assert!(better("indistinguishability") && better("accuracy") && better("utility_synthetic"), "{runs:?}");

    for method in ["autoregressive", "independent"] {
        let [costs, score] = ["json", "score.json"].map(|s| json(&out.join(format!("people.{method}.{s}"))));
        assert!(out.join(format!("people.{method}.parquet")).is_file());
        assert_eq!(&score, &named(method)["score"]);
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
        let asked = keys_of_printer("costs");
        assert!(asked.len() > 4 && asked.is_subset(&keys(&costs)), "{asked:?} of {costs}");
        let asked = keys_of_printer("score");
        assert!(asked.len() > 5 && asked.is_subset(&keys(&score)), "{asked:?} of {score}");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 6, "something temporary is left");

    // What another program made is judged here if its twin is there, else shown as its judge has scored it.
    fs::create_dir(&peers).unwrap();
    let copy = |from: &str, to: &str| fs::copy(out.join(from), peers.join(to)).unwrap();
    for (peer, with_twin) in [("one", true), ("two", false)] {
        let costs = fs::read_to_string(out.join("people.independent.json")).unwrap();
        fs::write(peers.join(format!("people.{peer}.json")), costs.replace("twinmart independent", peer)).unwrap();
        match with_twin {
            true => copy("people.independent.parquet", "people.one.parquet"),
            false => copy("people.autoregressive.score.json", "people.two.score.json"),
        };
    }
    let runs = bench("independent", &["--peers", peers.to_str().unwrap(), "--overwrite"]);
    let score = |peer: &str| runs.iter().find(|r| r["peer"] == peer).unwrap()["score"].clone();
    assert_eq!(runs.len(), 3);
    assert_eq!(score("one"), alone["score"]);
    assert_eq!(score("two"), learned["score"]);
}

#[test]
fn densities_at_equal_time() {
    let dir = tempfile::tempdir().unwrap();
    let table = write_table(dir.path(), 600);
    let arguments = ["bench", "rows", table.to_str().unwrap(), "--densities", "--minutes", "0.2", "--json", "-q"];
    let result: Value = serde_json::from_str(&shop::succeed(&arguments)).unwrap();
    let table = &result["tables"][0];
    assert_eq!(
        (&table["rows_learned"], number(table, "rows_tested") + number(table, "rows_left_out")),
        (&480.into(), 120.0)
    );
    let families = table["families"].as_array().unwrap();
    let names: BTreeSet<&str> = families.iter().map(|f| f["family"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["blend", "circuit", "mixture", "network", "trees"]));
    for family in families {
        // Columns tell at least a third of a nat about each other.
        let gain = number(family, "log_likelihood") - number(table, "independent_log_likelihood");
        assert!(gain > 0.3 && gain < 5.0, "{family}");
        assert!(number(family, "fit_seconds") < 30.0 && number(family, "numbers") > 10.0, "{family}");
        assert!(family["ended"] == "converged" || family["ended"] == "deadline", "{family}");
        assert!((0.0..=1.0).contains(&number(&family["score"], "indistinguishability")), "{family}");
    }
}

#[test]
fn mistakes_are_said_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let table = write_table(dir.path(), 100);
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let table = table.to_str().unwrap();
    let refuse = |arguments: &[&str], status: i32, fragment: &str| {
        let output = shop::run(&[&["bench", "rows"], arguments].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.starts_with("error: ") && text.contains(fragment), "{arguments:?}: {text}");
    };
    refuse(&[folder.to_str().unwrap()], 2, "no train.parquet");
    shop::succeed(&["clean", table, "--out", folder.join("train.parquet").to_str().unwrap()]);
    refuse(&[folder.to_str().unwrap()], 2, "no test.parquet");
    refuse(&[table, "--methods", "autoregresive"], 2, "did you mean `autoregressive`?");
    refuse(&[table, "--target", "chrun"], 2, "no such column");
    refuse(&[table, "--minutes", "0"], 2, "out of range");
    refuse(&[table, "--peers", "/nowhere"], 2, "not a folder");
    refuse(&[table, table], 2, "two tables");
    refuse(&["/nowhere.csv"], 1, "check the path");
    let kept = folder.join("people.replicate.json");
    fs::write(&kept, "precious").unwrap();
    refuse(&[table, "--methods", "replicate", "--out", folder.to_str().unwrap()], 2, "exists already");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "precious");
}

/// Only the observer gets the signal: the child that fits must end with it.
#[test]
#[cfg(target_os = "linux")]
fn an_interruption_ends_the_child_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let table = write_table(dir.path(), 40_000);
    let out = dir.path().join("out");
    let arguments = ["bench", "rows", table.to_str().unwrap(), "--methods", "autoregressive", "--quiet"];
    let mut bench = shop::twinmart(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat()).spawn().unwrap();
    let children = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|p| fs::read_to_string(p.path().join("cmdline")).ok());
        lines.filter(|l| l.contains("\0fit\0") && l.contains(out.to_str().unwrap())).count()
    };
    let began = std::time::Instant::now();
    while children() == 0 {
        assert!(began.elapsed().as_secs() < 60 && bench.try_wait().unwrap().is_none(), "no fit has begun");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &bench.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    assert_eq!(children(), 0);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn events_are_timed_and_held_against_the_machine_and_a_peer() {
    let dir = tempfile::tempdir().unwrap();
    let project = shop::write_shop(dir.path());
    let size = ["--steps", "4", "--draw-events", "600"];
    let bench = |what: &[&str]| shop::succeed(&[&["bench", "events"], what, &size, &["--seed", "3", "-q"]].concat());
    let json = |what: &[&str]| -> Value { serde_json::from_str(&bench(&[what, &["--json"]].concat())).unwrap() };
    let result = json(&[project.to_str().unwrap()]);
    let case = &result["cases"][0];
    let fitted = &case["fitted"];
    assert_eq!((&case["name"], &fitted["users"], &fitted["items"]), (&"small shop".into(), &45.into(), &30.into()));
    for field in ["learned_events_per_second", "drawn_events_per_second"] {
        assert!(number(case, field) > 100.0, "{field} of {case}");
    }
    for share in ["learning_share_of_peak", "drawing_share_of_peak"] {
        assert!((0.0..1.2).contains(&number(case, share)), "{share} of {case}");
    }
    if cfg!(target_os = "linux") {
        assert!((1e6..1e9).contains(&number(case, "fit_peak_bytes")), "{case}");
    }
    let cost = &fitted["cost"];
    let asked: u64 = cost["windows"].as_array().unwrap().iter().map(|w| w[1].as_u64().unwrap()).sum();
    assert_eq!(asked, fitted["events"].as_u64().unwrap() + 45, "one place before each user's first event");
    // Three times a pass is what learning takes; drawing asks each place once.
    let ratio = number(cost, "learning") / number(cost, "drawing");
    assert!((2.9..3.6).contains(&ratio), "{ratio}");

    // The peer's file has the fields that the script writes.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = fs::read_to_string(root.join("bench/peers/events_pytorch.py")).unwrap();
    let peer = dir.path().join("peer.json");
    let fields = serde_json::json!({
        "peer": "PyTorch", "version": "0", "case": "small shop", "threads": 2, "learned_events_per_second": 12_345.0,
        "drawn_events_per_second": 2_345.0, "learn_cpu_microseconds": 99.0, "draw_cpu_microseconds": 98.0,
        "peak_flops_per_second": 1e11, "peak_memory_bytes": 1_000_000_000,
    });
    assert!(fields.as_object().unwrap().keys().all(|key| script.contains(&format!("\"{key}\":"))));
    fs::write(&peer, fields.to_string()).unwrap();
    let text = bench(&[project.to_str().unwrap(), "--peer", peer.to_str().unwrap()]);
    assert!(text.contains("PyTorch 0") && text.contains("12345"), "{text}");
}

#[test]
fn events_of_growing_shops_are_compared_with_the_smallest() {
    let arguments = ["bench", "events", "--generated", "--grow", "--users", "120", "--items", "30", "--events", "1200"];
    let text = shop::succeed(&[&arguments[..], &["--steps", "3", "--draw-events", "100", "-q"]].concat());
    for (shop, users, items, events) in [
        ("base", "120", "30", "1200"),
        ("users × 10", "1200", "30", "12000"),
        ("items × 10", "120", "300", "1200"),
        ("history × 10", "120", "30", "12000"),
    ] {
        let line = text.lines().find(|l| l.trim_start().starts_with(shop)).unwrap_or_else(|| panic!("{text}"));
        let numbers = line.trim_start()[shop.len()..].split_whitespace();
        assert_eq!(numbers.take(3).collect::<Vec<_>>(), [users, items, events], "{text}");
    }
    assert!(text.contains("history × 10: an event costs"), "{text}");
    let refused = shop::run(&["bench", "events"]);
    assert_eq!(refused.status.code(), Some(2));
}
