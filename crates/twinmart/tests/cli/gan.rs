//! Generator against discriminator: its flags, and the curves of learning that `fit` and `run` write.

use crate::shop::{run, succeed, write_shop};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const HEAD: &str = "table,epoch,discriminator_loss,generator_loss,accuracy,precision,recall,f1,two_sample";

/// A table of 300 people in which the city says the age.
fn write_people(folder: &Path) -> PathBuf {
    let path = folder.join("people.csv");
    let rows = (0..300).map(|i| format!("{},{}\n", ["Ulm", "Rome"][i % 2], 20 + 40 * (i % 2) + i % 10));
    fs::write(&path, format!("city,age\n{}", rows.collect::<String>())).unwrap();
    path
}

fn fit(input: &Path, out: &Path, flags: &[&str]) -> Output {
    run(&[&["fit", input.to_str().unwrap(), "--out", out.to_str().unwrap()], flags].concat())
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_flags_are_refused_before_anything_is_learned() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (write_people(dir.path()), dir.path().join("m.twin"));
    let taken = dir.path().join("taken.svg");
    fs::write(&taken, "precious").unwrap();
    let (data_name, out_name) = (data.to_str().unwrap(), out.to_str().unwrap());
    let cases: [(&[&str], &str); 9] = [
        (&["--body", "rn"], "did you mean `rnn`?"),
        (&["--loss", "wgan"], "did you mean `wgan-gp`?"),
        (&["--pack", "40"], "pack = 40 is out of range"),
        (&["--critic-steps", "0"], "critic_steps = 0 is out of range"),
        (&["--curves", "curves.png"], "end it in .svg (a picture), .csv or .jsonl"),
        (&["--curves", "curves"], "end it in .svg"),
        (&["--curves", taken.to_str().unwrap()], "exists already"),
        (&["--curves", data_name, "--overwrite"], "would replace the data"),
        (&["--curves", out_name], "end it in .svg"),
    ];
    for (flags, words) in cases {
        let refused = fit(&data, &out, &[&["--method", "gan"], flags].concat());
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {}", errors(&refused));
        assert!(errors(&refused).contains(words), "{flags:?}: {}", errors(&refused));
        assert!(!out.exists(), "{flags:?}");
    }
    assert_eq!(fs::read_to_string(&taken).unwrap(), "precious");
}

#[test]
fn flags_that_change_nothing_are_said_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out, curves) = (write_people(dir.path()), dir.path().join("m.twin"), dir.path().join("losses.svg"));
    let curves_name = curves.to_str().unwrap();
    for flags in [&["--body", "cnn"][..], &["--average", "false"], &["--curves", curves_name]] {
        let done = fit(&data, &out, &[&["--method", "independent", "--overwrite"], flags].concat());
        assert!(done.status.success(), "{}", errors(&done));
        let words = "--curves change nothing: the method is independent; use --method gan";
        assert!(errors(&done).contains(words), "{}", errors(&done));
    }
    assert!(!curves.exists());
    let sized = fit(&data, &out, &["--method", "gan", "--epochs", "1", "--preset", "base", "--overwrite"]);
    assert!(errors(&sized).contains("--preset changes nothing"), "{}", errors(&sized));
    let silent = fit(&data, &out, &["--method", "independent", "--overwrite"]);
    assert!(!errors(&silent).contains("change nothing"), "{}", errors(&silent));
}

#[test]
fn a_fit_writes_its_curves_in_the_form_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let data = write_people(dir.path());
    let write = |name: &str| {
        let (out, curves) = (dir.path().join("m.twin"), dir.path().join(name));
        let flags = ["--method", "gan", "--epochs", "3", "--overwrite", "--curves", curves.to_str().unwrap()];
        let done = fit(&data, &out, &flags);
        assert!(done.status.success(), "{}", errors(&done));
        assert!(!errors(&done).contains("change nothing"), "{}", errors(&done));
        fs::read_to_string(curves).unwrap()
    };
    let csv = write("losses.csv");
    assert_eq!(csv.lines().next(), Some(HEAD));
    assert!((2..=4).contains(&csv.lines().count()) && csv.lines().nth(1).unwrap().starts_with("people,1,"), "{csv}");
    let lines = write("losses.jsonl");
    assert_eq!(lines.lines().count() + 1, csv.lines().count());
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let share = first["accuracy"].as_f64().unwrap();
    assert!(first["table"] == "people" && (0.0..=1.0).contains(&share), "{first}");
    let picture = write("losses.svg");
    assert!(picture.starts_with("<svg xmlns=") && picture.contains("<polyline"), "{picture}");
}

#[test]
fn a_run_shows_how_it_was_learned() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (write_people(dir.path()), dir.path().join("out"));
    let project = dir.path().join("twinmart.toml");
    let text = "[tables.people]\nsource = \"people.csv\"\n[synthesis]\nsteps = 3\n";
    fs::write(&project, text).unwrap();
    let make = |method: &str| {
        succeed(&["run", project.to_str().unwrap(), "--out", out.to_str().unwrap(), "--method", method, "-q"]);
        let report = fs::read_to_string(out.join("report.json")).unwrap();
        let page = fs::read_to_string(out.join("report.html")).unwrap();
        (serde_json::from_str::<Value>(&report).unwrap(), page)
    };
    assert!(data.is_file());
    let (report, page) = make("gan");
    let curves = report["training"].as_array().unwrap();
    assert_eq!((curves.len(), curves[0]["table"].as_str()), (1, Some("people")));
    assert!(page.contains("How it was learned"));
    assert!(fs::read_to_string(out.join("losses.csv")).unwrap().starts_with(HEAD));
    assert!(fs::read_to_string(out.join("losses.svg")).unwrap().starts_with("<svg"));
    let (report, page) = make("independent");
    assert!(report["training"].is_null() && !page.contains("How it was learned"));
    assert!(!out.join("losses.svg").exists() && !out.join("losses.csv").exists(), "curves of an earlier run");
}

#[test]
fn users_with_events_have_curves_too() {
    let dir = tempfile::tempdir().unwrap();
    let (project, out, curves) = (write_shop(dir.path()), dir.path().join("m.twin"), dir.path().join("losses.csv"));
    let flags = ["--method", "gan", "--epochs", "2", "--curves", curves.to_str().unwrap()];
    let done = fit(&project, &out, &flags);
    assert!(done.status.success(), "{}", errors(&done));
    assert!(fs::read_to_string(curves).unwrap().lines().count() > 1);
}
