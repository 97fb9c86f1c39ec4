//! Rows around what is known: gaps filled, rows asked for, more of a class.

use crate::shop::{run, succeed};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A table of 600 people in which the city says the age; of 63 the city and of 56 the age is missing, and ids are written with zeros.
fn write_people(folder: &Path) -> PathBuf {
    let path = folder.join("people.csv");
    let row = |i: usize| {
        let city = if i / 7 % 10 == 3 { "" } else { ["Ulm", "Rome"][i % 2] };
        let age = if i / 7 % 10 == 7 { String::new() } else { (20 + 40 * (i % 2) + i / 2 % 10).to_string() };
        format!("{:04},{city},{age}.50,\"a;\"\"b\"\"\"\n", i + 1).replace(",.50", ",")
    };
    fs::write(&path, format!("id,city,age,note\n{}", (0..600).map(row).collect::<String>())).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn records(path: &Path) -> Vec<Vec<String>> {
    let lines = fs::read_to_string(path).unwrap();
    lines.lines().map(|line| line.splitn(4, ',').map(str::to_owned).collect()).collect()
}

#[test]
fn gaps_are_filled_and_everything_else_stays_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (write_people(dir.path()), dir.path().join("full.csv"));
    for flags in [&[][..], &["--point"], &["--method", "mean"], &["--method", "median"], &["--method", "mode"]] {
        let call = [&["complete", text(&data), "--out", text(&out), "--steps", "30", "--overwrite", "--json"], flags];
        let call = call.concat();
        let call: Vec<&str> = if flags.contains(&"--method") {
            call.into_iter().filter(|f| !["--steps", "30"].contains(f)).collect()
        } else {
            call
        };
        let told: Value = serde_json::from_str(&succeed(&call)).unwrap();
        assert_eq!(told["columns"]["city"], serde_json::json!({ "missing": 63, "filled": 63 }), "{flags:?}");
        let (before, after) = (records(&data), records(&out));
        assert_eq!(before.len(), after.len());
        for (row, (before, after)) in before.iter().zip(&after).enumerate() {
            for (column, value) in before.iter().enumerate() {
                assert!(
                    if value.is_empty() { !after[column].is_empty() } else { value == &after[column] },
                    "{flags:?} {row}"
                );
            }
        }
        if flags.is_empty() || flags == ["--point"] {
            // Young people live in Ulm; so few rows leave draws some doubt.
            let filled = before.iter().zip(&after).filter(|(b, _)| b[1].is_empty());
            let right = filled.filter(|(b, a)| (b[2].parse::<f64>().unwrap() < 50.0) == (a[1] == "Ulm")).count();
            assert!(right >= if flags.is_empty() { 50 } else { 60 }, "{flags:?}: {right} of 63");
        }
    }
}

#[test]
fn several_completions_differ_and_the_first_is_the_one_without() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (write_people(dir.path()), dir.path().join("m.twin"));
    succeed(&["fit", text(&data), "--out", text(&model), "--steps", "30"]);
    let one = dir.path().join("one.csv");
    succeed(&["complete", text(&data), "--out", text(&one), "--model", text(&model)]);
    let five = dir.path().join("five.csv");
    succeed(&["complete", text(&data), "--out", text(&five), "--model", text(&model), "--draws", "2"]);
    let [first, second] = ["five.1.csv", "five.2.csv"].map(|name| fs::read(dir.path().join(name)).unwrap());
    assert_eq!(first, fs::read(&one).unwrap());
    assert_ne!(first, second);
    assert!(!five.exists());
}

#[test]
fn a_class_gets_its_share_and_made_rows_are_marked() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (write_people(dir.path()), dir.path().join("more.csv"));
    let call = ["augment", text(&data), "--out", text(&out), "--target", "city=Rome:0.8", "--steps", "30", "--json"];
    let told: Value = serde_json::from_str(&succeed(&call)).unwrap();
    let lines = fs::read_to_string(&out).unwrap();
    let (real, made): (Vec<&str>, Vec<&str>) = lines.lines().skip(1).partition(|line| line.ends_with(",false"));
    assert_eq!((real.len(), made.len() as u64), (600, told["synthetic"].as_u64().unwrap()));
    assert!(made.iter().all(|line| line.contains(",Rome,") && line.ends_with(",true")));
    let romans = lines.lines().filter(|line| line.contains(",Rome,")).count() as f64;
    assert!((romans / (real.len() + made.len()) as f64 - 0.8).abs() < 0.001);
    assert!(lines.lines().next().unwrap().ends_with(",synthetic"));
}

#[test]
fn rows_that_are_asked_for_come() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (write_people(dir.path()), dir.path().join("m.twin"));
    succeed(&["fit", text(&data), "--out", text(&model), "--steps", "30"]);
    let out = dir.path().join("some.csv");
    let asked = ["--given", "age >= 60", "--given", "age < 64", "--given", "city = Rome", "--rows", "200"];
    succeed(&[&["sample", text(&model), "--out", text(&out)], &asked[..]].concat());
    let rows = records(&out);
    assert_eq!(rows.len(), 201);
    for row in &rows[1..] {
        assert!(row[1] == "Rome" && (60.0..64.0).contains(&row[2].parse::<f64>().unwrap()), "{row:?}");
    }
    let known = dir.path().join("known.csv");
    fs::write(&known, "age,city\n25.5,\n,Rome\n").unwrap();
    succeed(&["sample", text(&model), "--out", text(&out), "--given", text(&known), "--overwrite"]);
    let rows = records(&out);
    assert_eq!((rows.len(), rows[1][2].as_str(), rows[2][1].as_str()), (3, "25.5", "Rome"));
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model, out) = (write_people(dir.path()), dir.path().join("m.twin"), dir.path().join("out.csv"));
    succeed(&["fit", text(&data), "--out", text(&model), "--steps", "5"]);
    let (d, m, o) = (text(&data), text(&model), text(&out));
    let other = dir.path().join("other.csv");
    fs::write(&other, "id,town,age\n1,Ulm,\n2,,3\n").unwrap();
    let lone = dir.path().join("lone.csv");
    fs::write(&lone, format!("fraud,x\n{}", "no,1\n".repeat(100))).unwrap();
    let cases: [(&[&str], i32, &str); 16] = [
        (&["complete", d, "--out", d], 2, "would replace the one that it comes from"),
        (&["complete", d, "--out", d, "--overwrite"], 2, "would replace the one that it comes from"),
        (&["complete", d, "--out", o, "--method", "mean", "--point"], 2, "mean is the same for every row of a column"),
        (&["complete", d, "--out", o, "--columns", "town"], 2, "town"),
        (&["complete", text(&other), "--out", o, "--model", m], 2, "column `town`: the model has no such column"),
        (&["complete", d, "--out", o, "--draws", "0"], 2, "0 is not in 1..=1000"),
        (&["sample", m, "--out", o, "--given", "town = Ulm"], 2, "the columns are id, city, age, note"),
        (&["sample", m, "--out", o, "--given", "age"], 2, "is not a condition"),
        (
            &["sample", m, "--out", o, "--given", "age > 30", "--given", text(&other)],
            2,
            "a file of values stands alone",
        ),
        (&["sample", m, "--out", o, "--given", "age > 300"], 2, "it knows values from"),
        (&["augment", d, "--out", o, "--target", "city=Rome"], 2, "is no target"),
        (&["augment", d, "--out", o, "--target", "city=Rome:1.5"], 2, "must lie between 0 and 1"),
        (&["augment", d, "--out", o, "--target", "city=Oslo:0.5"], 2, "no row has this value"),
        (&["augment", d, "--out", o, "--target", "town=Oslo:0.5"], 2, "the columns are id, city, age, note"),
        (&["augment", text(&lone), "--out", o, "--target", "fraud=no:0.5"], 1, "the column has a single value"),
        (
            &["augment", d, "--out", o, "--target", "city=Ulm:0.5", "--target", "city=Rome:0.6"],
            2,
            "the shares add up to 1.1",
        ),
    ];
    for (call, status, words) in cases {
        let refused = run(call);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(status), "{call:?}: {told}");
        assert!(told.contains(words), "{call:?}: {told}");
        assert!(!out.exists(), "{call:?}");
    }
    // A column without any value stays as it is, and is told of.
    let empty = dir.path().join("empty.csv");
    fs::write(&empty, format!("a,b\n{}", (0..200).map(|i| format!("{},\n", i % 5)).collect::<String>())).unwrap();
    let done = run(&["complete", text(&empty), "--out", o]);
    assert!(done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("column `b`: every value is missing"));
    assert_eq!(fs::read(&out).unwrap(), fs::read(&empty).unwrap());
}
