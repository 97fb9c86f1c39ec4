//! Loading a sample of a long table: its size, which tables it touches, and that rows that are not kept are checked too.

use std::path::{Path, PathBuf};
use twinmart_sources::{Loaded, RowSample, load, load_project, read_project};
use twinmart_tables::{Progress, Result};

/// The fewest rows that a sample may ask for whatever the columns.
const ROWS: usize = RowSample::FEWEST_ROWS;

fn sample() -> RowSample {
    RowSample { seed: 3, most_rows: ROWS, most_values: 1 }
}

fn load_sample(path: &Path, sample: &RowSample) -> Result<Loaded> {
    load_project(read_project(path)?, Some(sample), &Progress::silent())
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn numbers(rows: usize, last: &str) -> String {
    let lines = (0..rows - 1).map(|row| format!("{row},{}\n", row % 7)).collect::<String>();
    format!("x,k\n{lines}{last},1\n")
}

fn rows(loaded: &Loaded) -> (usize, Option<u64>) {
    (loaded.shop.tables[0].rows(), loaded.shop.tables[0].population)
}

#[test]
fn a_long_table_is_sampled_and_a_short_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let long = write(folder.path(), "long.csv", &numbers(2 * ROWS, "5"));
    let sampled = load_sample(&long, &sample()).unwrap();
    assert_eq!(rows(&sampled), (ROWS, Some(2 * ROWS as u64)));
    assert_eq!(sampled.shop.tables[0].kinds, load(&long, &Progress::silent()).unwrap().shop.tables[0].kinds);
    let short = write(folder.path(), "short.csv", &numbers(ROWS, "5"));
    let whole = load_sample(&short, &sample()).unwrap();
    assert_eq!(rows(&whole), (ROWS, None));
    let digest = |loaded: &Loaded| loaded.shop.tables[0].digest().unwrap();
    assert_eq!(digest(&whole), digest(&load(&short, &Progress::silent()).unwrap()));
}

#[test]
fn rows_that_are_not_kept_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let long = write(folder.path(), "long.csv", &numbers(2 * ROWS, "inf"));
    // Whichever rows a seed keeps, the last one is looked at.
    for seed in 0..4 {
        let refused = load_sample(&long, &RowSample { seed, ..sample() }).unwrap_err().to_string();
        assert!(refused.contains("column `x`") && refused.contains(&format!("row {}", 2 * ROWS)), "{refused}");
    }
    write(folder.path(), "range.csv", &numbers(2 * ROWS, "-4"));
    let text = "[tables.t]\nsource = \"range.csv\"\ncolumns = { x = { min = 0 } }\n";
    let project = write(folder.path(), "twinmart.toml", text);
    let refused = load_sample(&project, &sample()).unwrap_err().to_string();
    assert!(refused.contains("min and max") && refused.contains(&format!("row {}", 2 * ROWS)), "{refused}");
}

#[test]
fn tables_that_need_all_their_rows_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "long.csv", &numbers(2 * ROWS, "200000"));
    let whole = (2 * ROWS, None);
    for (name, text) in [
        ("key", "[tables.t]\nsource = \"long.csv\"\nkey = \"x\"\n"),
        ("rules", "[tables.t]\nsource = \"long.csv\"\n[clean.t]\ndrop_duplicates = true\n"),
        ("two", "[tables.t]\nsource = \"long.csv\"\n[tables.u]\nsql = \"SELECT x FROM t\"\n"),
    ] {
        let project = write(folder.path(), &format!("{name}.toml"), text);
        assert_eq!(rows(&load_sample(&project, &sample()).unwrap()), whole, "{name}");
    }
    let sql = "[sources]\nlong = \"long.csv\"\n[tables.t]\nsql = \"SELECT x + 1 AS y FROM long\"\n";
    let project = write(folder.path(), "sql.toml", sql);
    let sampled = load_sample(&project, &sample()).unwrap();
    assert_eq!(rows(&sampled), (ROWS, Some(2 * ROWS as u64)));
}
