//! `predict`: the odds of a learned model, for histories that are typed, read from a file or found in a project.

use crate::shop::{run, succeed, write_shop};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The small shop and a model of it, made once: project and model.
fn learned() -> (&'static Path, &'static Path) {
    static SHOP: OnceLock<(tempfile::TempDir, PathBuf, PathBuf)> = OnceLock::new();
    let (_, project, model) = SHOP.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let project = write_shop(dir.path());
        let model = dir.path().join("m.twin");
        let (input, out) = (project.to_str().unwrap(), model.to_str().unwrap());
        succeed(&["fit", input, "--out", out, "--method", "autoregressive", "--steps", "40", "-q"]);
        (dir, project, model)
    });
    (project, model)
}

fn predict(arguments: &[&str]) -> Value {
    let (_, model) = learned();
    let all = [&["predict", model.to_str().unwrap(), "--json"], arguments].concat();
    serde_json::from_str(&succeed(&all)).unwrap()
}

/// The message of a prediction that must fail with a usage error.
fn refused(model: &Path, arguments: &[&str]) -> String {
    let all = [&["predict", model.to_str().unwrap()], arguments].concat();
    let output = run(&all);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty() && !text.contains("panicked"), "{text}");
    text
}

fn odds(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn odds_are_whole_and_items_are_in_order() {
    let all = predict(&["--history", "i01,i02", "-k", "30"]);
    assert_eq!((&all["events"], &all["sessions"], &all["last"]), (&2.into(), &1.into(), &Value::Null));
    let outcomes = ["session_goes_on", "new_session", "ends"].map(|name| odds(&all[name]));
    assert!((outcomes.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{outcomes:?}");
    let items: Vec<f64> = all["items"].as_array().unwrap().iter().map(|item| odds(&item["odds"])).collect();
    assert_eq!(items.len(), 30);
    assert!((items.iter().sum::<f64>() - 1.0).abs() < 1e-5 && items.is_sorted_by(|a, b| a >= b), "{items:?}");
    let hours: Vec<f64> = all["hours"].as_array().unwrap().iter().map(odds).collect();
    assert!(hours.len() == 24 && (hours.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    for time in ["time", "time_to_new_session"] {
        let times = ["low_seconds", "median_seconds", "high_seconds"].map(|name| odds(&all[time][name]));
        assert!(times.is_sorted() && times[0] >= 0.0, "{times:?}");
    }
    assert_eq!(predict(&["--history", "i01,i02", "-k", "30", "--threads", "1"]), all);
    let three = predict(&["--history", "i01,i02", "-k", "3"]);
    assert_eq!(three["items"].as_array().unwrap()[..], all["items"].as_array().unwrap()[..3]);
    assert_ne!(predict(&["--history", "i02,i01", "-k", "30"])["items"], all["items"], "the order matters");
}

#[test]
fn a_file_and_a_user_of_the_project_have_times_and_sessions() {
    let (project, _) = learned();
    let folder = project.parent().unwrap();
    let all = fs::read_to_string(folder.join("events.csv")).unwrap();
    let (head, rows) = all.split_once('\n').unwrap();
    let own: Vec<&str> = rows.lines().filter(|line| line.starts_with("103,")).collect();
    let file = folder.join("one.csv");
    fs::write(&file, format!("{head}\n{}\n", own.join("\n"))).unwrap();
    let of_user = predict(&[project.to_str().unwrap(), "--user", "103"]);
    assert_eq!(of_user["events"], own.len());
    assert!(of_user["sessions"].as_u64().unwrap() > 1 && of_user["last"].as_str().unwrap().starts_with("2024-01-"));
    let of_file = predict(&["--history", file.to_str().unwrap(), "--profile", "country=FR"]);
    // Her country is all that the project says of user 103.
    assert_eq!(of_file, of_user);
    let stranger = predict(&["--history", file.to_str().unwrap()]);
    assert_eq!(stranger["events"], of_user["events"]);
    assert_ne!(stranger["items"], of_user["items"], "a profile says something");
}

#[test]
fn a_newcomer_has_a_first_session() {
    let newcomer = predict(&["--profile", "country=DE"]);
    assert_eq!((&newcomer["events"], odds(&newcomer["new_session"])), (&0.into(), 1.0));
    assert_eq!((&newcomer["time"], newcomer["items"].as_array().unwrap().len()), (&Value::Null, 10));
}

#[test]
fn what_people_read_names_the_same() {
    let (_, model) = learned();
    let text = succeed(&["predict", model.to_str().unwrap(), "--history", "i01,i02", "-k", "2"]);
    let first = predict(&["--history", "i01,i02", "-k", "2"])["items"][0]["item"].as_str().unwrap().to_string();
    for expected in
        ["after 2 events in 1 session\n", "the session goes on", "time to the next event", "in session", &first]
    {
        assert!(text.contains(expected), "`{expected}` is not in\n{text}");
    }
}

#[test]
fn what_is_unknown_is_named_with_what_is_near() {
    let (project, model) = learned();
    let contains = |text: String, fragments: &[&str]| {
        assert!(fragments.iter().all(|fragment| text.contains(fragment)), "{fragments:?} are not in {text}");
    };
    contains(refused(model, &["--history", "i01,I077"]), &["item_id", "I077", "no such item", "i07"]);
    contains(refused(model, &["--history", "i01", "--profile", "town=X"]), &["users", "town", "country"]);
    contains(refused(model, &["--history", "i01", "--profile", "user_id=100"]), &["user_id", "nothing", "country"]);
    contains(refused(model, &["--history", "i01", "--profile", "country=FX"]), &["FX", "DE", "UK", "nearest is FR"]);
    contains(refused(model, &["--history", "i01", "--profile", "country"]), &["column=value"]);
    contains(refused(model, &[project.to_str().unwrap(), "--user", "nobody"]), &["nobody", "--history"]);
    contains(refused(model, &[]), &["--history", "--user", "--profile"]);
    let file = project.parent().unwrap().join("other.csv");
    fs::write(&file, "thing,time\ni01,2024-01-01 10:00:00\n").unwrap();
    contains(refused(model, &["--history", file.to_str().unwrap()]), &["item_id", "no column of items"]);
}

#[test]
fn other_models_say_why_they_cannot() {
    let (project, _) = learned();
    let folder = project.parent().unwrap();
    let fitted = |name: &str, input: &Path, method: &str| {
        let out = folder.join(name);
        succeed(&["fit", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--method", method, "-q"]);
        out
    };
    let crossed = refused(&fitted("x.twin", project, "interpolate"), &["--history", "i01"]);
    assert!(crossed.contains("interpolate") && crossed.contains("autoregressive"), "{crossed}");
    let table = refused(&fitted("t.twin", &folder.join("users.csv"), "autoregressive"), &["--history", "i01"]);
    assert!(table.contains("no users with events"), "{table}");
}
