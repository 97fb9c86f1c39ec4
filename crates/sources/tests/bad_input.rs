//! Every kind of bad file gives one message that names the place and the remedy; no bytes whatsoever give a panic.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use twinmart_sources::{convert, load, profile};
use twinmart_tables::{ColumnKind, Error, FileFormat, Progress, TableWriter};

/// Loads a file of these bytes; the error text, or nothing where it loads.
fn outcome(name: &str, content: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    message(&path)
}

fn message(path: &Path) -> Option<String> {
    match load(path, &Progress::silent()) {
        Ok(_) => None,
        Err(error @ (Error::Data(_) | Error::Io { .. })) => Some(error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

fn table() -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..500));
    let x: ArrayRef = Arc::new(Float64Array::from_iter((0..500).map(|i| (i % 7 > 0).then_some(i as f64 / 3.0))));
    let s: ArrayRef = Arc::new(StringArray::from_iter_values((0..500).map(|i| format!("text {}", i % 50))));
    RecordBatch::try_from_iter([("n", n), ("x", x), ("s", s)]).unwrap()
}

/// A valid file of each format, by extension.
static VALID: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = |format: FileFormat| {
        let path = folder.path().join("t").with_extension(format.extension());
        let mut writer = TableWriter::create(&path, table().schema(), format, false).unwrap();
        writer.write(&table()).unwrap();
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    };
    let csv = file(FileFormat::Csv);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&csv).unwrap();
    vec![
        ("t.parquet", file(FileFormat::Parquet)),
        ("t.jsonl", file(FileFormat::JsonLines)),
        ("t.csv.gz", gzip.finish().unwrap()),
        ("t.csv.zst", zstd::encode_all(&csv[..], 3).unwrap()),
        ("t.csv", csv),
    ]
});

#[test]
fn each_mistake_has_its_message() {
    let parquet = &VALID[0].1;
    let cut = &parquet[..parquet.len() / 2];
    let noise: Vec<u8> = (0..4000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let cases: Vec<(&str, &[u8], &str)> = vec![
        ("a.csv", b"", "the file is empty; give a file with rows"),
        ("a.csv", b"a,b\n", "no rows; give a file with at least one row"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "row 2: the row has 3 fields, the header has 2; correct the row"),
        ("a.csv", b"a,b,a\n1,2,3\n", "column `a`: two columns have this name; rename one of them"),
        ("a.csv", b"a,b\n1,M\xFCller\n", "invalid UTF-8 at byte 7; save the file as UTF-8"),
        ("a.jsonl", b"{\"a\":1}\n{\"a\":2", "row 2: the line is cut off"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b"\n\n", "no rows"),
        ("a.jsonl", b"{}\n{}\n", "no columns; give a file with columns"),
        ("a.parquet", cut, "not a readable Parquet file"),
        ("a.parquet", &noise, "not a readable Parquet file"),
        ("a.parquet", b"PAR1", "not a readable Parquet file"),
        ("a.csv.gz", b"a,b\n1,2\n", "the gzip stream is damaged"),
        ("a.csv.zst", b"a,b\n1,2\n", "the zstd stream is damaged"),
        ("a.xlsx", b"x", "the extension names no known format; use .parquet, .csv or .jsonl"),
        ("a.csv", b"x,y\n1,2.5\n2,NaN\n", "column `y`, row 2, value `NaN`: the value is not a number (NaN)"),
        ("a.csv", b"x,y\n1,2.5\n2,-inf\n", "column `y`, row 2, value `-inf`: the value is infinite"),
    ];
    for (name, content, expected) in cases {
        let text = outcome(name, content).unwrap_or_default();
        assert!(text.contains(expected) && !text.contains('\n'), "{name}: {expected:?} in {text:?}");
    }
    assert!(message(Path::new("/nowhere/a.csv")).unwrap().contains("check the path"));
    assert!(message(Path::new("/nowhere/*.csv")).unwrap().contains("no .parquet, .csv or .jsonl file here"));
    assert!(message(tempfile::tempdir().unwrap().path()).unwrap().contains("file here; check the path"));
}

#[test]
fn folders_must_agree_and_keep_name_order() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    write("b.csv", "x,y\n3,c\n");
    write("a.csv", "x,y\n1,a\n2.5,b\n");
    write("notes.txt", "ignored");
    let loaded = load(folder.path(), &Progress::silent()).unwrap();
    let table = &loaded.shop.tables[0];
    let rows: Vec<String> = table.text("y").unwrap().iter().flatten().map(str::to_string).collect();
    assert_eq!(rows, ["a", "b", "c"]);
    assert_eq!(table.kind("x").unwrap(), ColumnKind::Number);
    assert!(message(&folder.path().join("*.csv")).is_none());
    write("c.csv", "x,z\n3,c\n");
    assert!(message(folder.path()).unwrap().contains("c.csv: the header differs from the one of"));
    write("c.csv", "x,y\n3\n");
    assert!(message(folder.path()).unwrap().contains("c.csv, row 1: the row has 1 fields"));
    std::fs::remove_file(folder.path().join("c.csv")).unwrap();
    std::fs::write(folder.path().join("c.parquet"), &VALID[0].1).unwrap();
    assert!(message(folder.path()).unwrap().contains("the format differs from the one of"));
}

#[test]
fn odd_but_valid_tables_load() {
    let cases: [(&str, &[u8]); 5] = [
        ("one row.csv", b"a,b\n1,x\n"),
        ("all missing.csv", b"a,b\n1,\n2,\n"),
        ("one column.csv", b"a\n1\n\"\"\n3\n"),
        ("mark.csv", b"\xEF\xBB\xBFa,b\r\n1,2\r\n"),
        ("nulls.jsonl", b"{\"a\":null}\n{\"b\":1}\n"),
    ];
    for (name, content) in cases {
        assert_eq!(outcome(name, content), None, "{name}");
    }
}

#[test]
fn the_remedies_for_nan_and_infinity_work() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "id,the y\n1,2.5\n2,NaN\n3,inf\n4,-inf\n5,1\n").unwrap();
    let path = folder.path().join("twinmart.toml");
    let mut rules: Vec<String> = Vec::new();
    for rounds in 0.. {
        let clean = if rules.is_empty() {
            String::new()
        } else {
            format!("[clean.t]\ndrop_invalid = [{}]\n", rules.join(", "))
        };
        std::fs::write(&path, format!("[tables.t]\nsource = 'a.csv'\n{clean}")).unwrap();
        let Some(text) = message(&path) else {
            assert!(rounds <= 2);
            break;
        };
        let rule = text.split("drop_invalid = [").nth(1).and_then(|t| t.split(']').next());
        rules.push(rule.unwrap_or_else(|| panic!("{text}")).to_string());
        assert!(rounds < 3, "{text}");
    }
    assert_eq!(load(&path, &Progress::silent()).unwrap().shop.tables[0].rows(), 2);
}

#[test]
fn a_million_categories_are_profiled_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.csv");
    let lines = (0..1_000_000).map(|i| format!("category {i},{}\n", i % 10));
    std::fs::write(&path, std::iter::once("name,digit\n".to_string()).chain(lines).collect::<String>()).unwrap();
    let profile = profile(&path, &Progress::silent()).unwrap();
    let column = &profile.tables[0].columns[0];
    assert!(!column.distinct_exact && (column.distinct as f64 / 1e6 - 1.0).abs() < 0.03, "{}", column.distinct);
    assert_eq!(profile.tables[0].columns[1].distinct, 10);
    assert!(load(&path, &Progress::silent()).is_ok());
}

#[test]
fn conversions_keep_every_value() {
    let folder = tempfile::tempdir().unwrap();
    let mut digests = Vec::new();
    for (name, content) in VALID.iter() {
        let input = folder.path().join(format!("in-{name}"));
        std::fs::write(&input, content).unwrap();
        for format in ["parquet", "csv", "jsonl"] {
            let out = folder.path().join(format!("out-{name}.{format}"));
            convert(&input, &out, None, false, &Progress::silent()).unwrap();
            let mut table = load(&out, &Progress::silent()).unwrap().shop.tables.remove(0);
            table.name = "t".into();
            digests.push(table.digest().unwrap());
        }
    }
    assert!(digests.windows(2).all(|w| w[0] == w[1]), "{digests:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_load_or_are_refused(
        file in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (name, content) = &VALID[file];
        let mut content = content.clone();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        if let Some(cut) = cut {
            content.truncate(cut.index(content.len()));
        }
        if let Some(text) = outcome(name, &content) {
            prop_assert!(text.contains(name) || text.contains("table `t`"), "{}", text);
        }
    }

    #[test]
    fn random_bytes_load_or_are_refused(file in 0..5_usize, content in prop::collection::vec(any::<u8>(), 0..300), framed: bool) {
        let content = if framed { [b"PAR1", &content[..], b"PAR1"].concat() } else { content };
        let _ = outcome(VALID[file].0, &content);
    }
}
