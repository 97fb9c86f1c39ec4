//! The bundled shop, end to end: what its README says about dirt is what cleaning and profile find.

use std::path::{Path, PathBuf};
use twinmart_sources::{CleaningReport, Loaded, convert, load, profile, profile_text};
use twinmart_tables::{ColumnKind, Error, FileFormat, Progress, read_parquet};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/online-retail/data/online_retail.parquet")
}

/// A project over the bundled file.
fn project(folder: &Path, rest: &str) -> PathBuf {
    let path = folder.join("twinmart.toml");
    let text = format!("[project]\nname = \"shop\"\n[sources]\nlines = '{}'\n{rest}", data().display());
    std::fs::write(&path, text).unwrap();
    path
}

const SHOP: &str = r#"
[tables.customers]
role = "users"
key = "customer_id"
sql = """SELECT CustomerID AS customer_id, first_value(Country ORDER BY InvoiceDate) AS country
         FROM lines GROUP BY CustomerID"""
[tables.products]
role = "items"
key = "stock_code"
sql = """SELECT upper(StockCode) AS stock_code, first_value(Description ORDER BY InvoiceDate DESC) AS description
         FROM lines GROUP BY upper(StockCode)"""
[tables.purchases]
role = "events"
time = "purchased_at"
sql = """SELECT CustomerID AS customer_id, upper(StockCode) AS stock_code, InvoiceDate AS purchased_at,
                InvoiceNo AS invoice, Quantity AS quantity, UnitPrice AS price FROM lines"""
references = { customer_id = "customers.customer_id", stock_code = "products.stock_code" }
columns = { invoice = { kind = "group" } }
[clean.lines]
drop_duplicates = true
drop_invalid = ["InvoiceNo LIKE 'C%'", "NOT regexp_like(StockCode, '^[0-9]{5}[A-Za-z]{0,2}$')", "Quantity <= 0", "UnitPrice <= 0"]
missing = { CustomerID = "drop", Description = "mode" }
"#;

fn matched(report: &CleaningReport, detail: &str) -> u64 {
    let rules = &report.targets[0].rules;
    let rule = rules.iter().find(|r| r.detail.contains(detail) || r.rule == detail).unwrap();
    assert_eq!(rule.examples.len(), 3.min(rule.matched as usize), "{rule:?}");
    assert!(rule.examples.iter().all(|row| row.len() == 8));
    rule.matched
}

#[test]
fn cleaning_counts_what_the_readme_of_the_data_counts() {
    let folder = tempfile::tempdir().unwrap();
    let Loaded { shop, cleaning, .. } = load(&project(folder.path(), SHOP), &Progress::silent()).unwrap();
    assert_eq!(cleaning.targets[0].rows_in, 541_909);
    assert_eq!(matched(&cleaning, "drop_duplicates"), 5_268);
    assert_eq!(matched(&cleaning, "InvoiceNo LIKE"), 9_288);
    assert_eq!(matched(&cleaning, "NOT regexp_like"), 2_995);
    let missing = cleaning.targets[0].rules.iter().find(|r| r.rule == "missing").unwrap();
    assert_eq!((missing.column.as_deref(), missing.matched), (Some("CustomerID"), 135_080));
    let left: u64 = cleaning.targets[0].rules.iter().map(|r| r.removed).sum();
    assert_eq!(cleaning.targets[0].rows_out, 541_909 - left);

    let events = shop.events().unwrap();
    assert_eq!(events.rows() as u64, cleaning.targets[0].rows_out);
    assert_eq!(events.kind("invoice").unwrap(), ColumnKind::Group);
    assert_eq!(events.kind("stock_code").unwrap(), ColumnKind::Id);
    assert_eq!(events.kind("purchased_at").unwrap(), ColumnKind::Datetime);
    assert_eq!(events.kind("quantity").unwrap(), ColumnKind::Integer);
    assert_eq!(shop.items().unwrap().kind("description").unwrap(), ColumnKind::Text);
    assert_eq!(shop.users().unwrap().kind("country").unwrap(), ColumnKind::Category);
    assert!(shop.histories().unwrap().event_count() > 390_000);
}

#[test]
fn the_profile_names_the_known_dirt() {
    let profile = profile(&data(), &Progress::silent()).unwrap();
    let table = &profile.tables[0];
    assert_eq!(table.rows, 541_909);
    let column = |name: &str| table.columns.iter().find(|c| c.name == name).unwrap();
    assert_eq!(column("InvoiceNo").distinct, 25_900);
    assert_eq!(column("StockCode").distinct, 4_070);
    assert_eq!(column("CustomerID").missing, 135_080);
    assert_eq!(column("InvoiceDate").min, Some("2010-12-01 08:26:00".into()));
    assert_eq!(column("Quantity").min, Some((-80_995).into()));
    assert_eq!(column("Country").top[0].value, "United Kingdom");
    let mean = column("Quantity").mean.unwrap();
    assert!((mean * 541_909.0 - 5_176_450.0).abs() < 0.5, "{mean}");
    let text = profile_text(&profile);
    for sentence in [
        "5,268 rows are exact copies of an earlier row",
        "CustomerID: 135,080 of 541,909 values are missing (24.9 %)",
        "Quantity: 10,624 values are negative (down to -80995)",
        "StockCode: 112 values differ from another only in letter case",
        "UnitPrice: 2,515 values are zero",
    ] {
        assert!(text.contains(sentence), "{sentence} in\n{text}");
    }
    assert!(!text.contains("look like"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn mistakes_of_the_project_are_usage_errors_and_dirty_data_are_data_errors() {
    let folder = tempfile::tempdir().unwrap();
    let message = |rest: &str| match load(&project(folder.path(), rest), &Progress::silent()) {
        Err(error) => (matches!(error, Error::Usage(_)), error.to_string()),
        Ok(_) => (false, "no error".to_string()),
    };
    let cases = [
        (true, SHOP.replace("InvoiceNo AS invoice", "InvoiceNr AS invoice"), "did you mean `InvoiceNo`?"),
        (true, SHOP.replace("\"Quantity <= 0\"", "\"quantity <= 0\""), "did you mean `Quantity`?"),
        (true, SHOP.replace("\"Quantity <= 0\"", "\"Quantity\""), "the condition is of type Int32, not true or false"),
        (true, SHOP.replace("CustomerID = \"drop\"", "CustomerId = \"drop\""), "did you mean `CustomerID`?"),
        (true, SHOP.replace("Description = \"mode\"", "Description = \"mean\""), "the rule needs numbers"),
        (true, SHOP.replace("Description = \"mode\"", "Description = \"synthesize\""), "needs a row model"),
        (true, SHOP.replace("columns = { invoice", "columns = { invoce"), "did you mean `invoice`?"),
        (true, SHOP.replace("time = \"purchased_at\"", "time = \"purchased\""), "did you mean `purchased_at`?"),
        (
            false,
            SHOP.replace("InvoiceDate AS purchased_at", "CAST(InvoiceDate AS VARCHAR) AS purchased_at"),
            "cast it in SQL",
        ),
        (
            false,
            SHOP.replace("FROM lines GROUP BY CustomerID", "FROM lines GROUP BY CustomerID, Country, InvoiceDate"),
            "the key occurs twice",
        ),
        (
            false,
            SHOP.replace("FROM lines GROUP BY CustomerID", "FROM lines WHERE CustomerID > 13000 GROUP BY CustomerID"),
            "no row of `customers`",
        ),
        (
            false,
            SHOP.replace("UnitPrice AS price FROM lines", "UnitPrice AS price FROM lines WHERE false"),
            "the table has no rows",
        ),
        (false, SHOP.replace("UnitPrice AS price", "ln(UnitPrice - UnitPrice) AS price"), "the value is infinite"),
    ];
    for (usage, rest, expected) in cases {
        let (is_usage, text) = message(&rest);
        assert!(text.contains(expected), "{expected} in {text}");
        assert_eq!(is_usage, usage, "{text}");
    }
}

#[test]
fn a_project_is_written_as_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("clean");
    let report =
        convert(&project(folder.path(), SHOP), &out, Some(FileFormat::Parquet), false, &Progress::silent()).unwrap();
    let rows = |name: &str| read_parquet(out.join(name)).unwrap().1.iter().map(|b| b.num_rows() as u64).sum::<u64>();
    assert_eq!(rows("lines.parquet"), report.targets[0].rows_out);
    assert_eq!(rows("purchases.parquet"), report.targets[0].rows_out);
    assert!(out.join("customers.parquet").exists() && out.join("products.parquet").exists());
}
