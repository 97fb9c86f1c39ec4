//! `init` on shops of several shapes: what it writes must load without a correction.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_sources::{init, load};
use twinmart_tables::{ColumnKind, FileFormat, Progress, Role, Shop, TableWriter};

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = TableWriter::create(path, batch.schema(), FileFormat::of_path(path).unwrap(), false).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    path.to_path_buf()
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(|m| m * 60_000_000)))
}

fn initialised(folder: &Path, sources: &[PathBuf]) -> (String, Shop) {
    let out = folder.join("twinmart.toml");
    let text = init(sources, &out, &Progress::silent()).unwrap();
    std::fs::write(&out, &text).unwrap();
    let loaded = load(&out, &Progress::silent()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (text, loaded.shop)
}

/// 400 events: 20 people, 4 baskets each, 5 lines a basket, 30 things.
fn person(i: i64) -> i64 {
    100 + i % 20
}
fn basket(i: i64) -> i64 {
    1000 + (i / 100) * 20 + i % 20
}
fn thing(i: i64) -> i64 {
    i * 7 % 30
}

#[test]
fn a_flat_log_becomes_users_items_and_events() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        &folder.path().join("order lines.csv"),
        vec![
            ("Order No", integers((0..400).map(basket))),
            ("ProductCode", texts((0..400).map(|i| format!("P{:02}", thing(i))))),
            ("Product Name", texts((0..400).map(|i| format!("thing \"{}\", it's", thing(i))))),
            ("Quantity", integers((0..400).map(|i| i % 9 - 1))),
            ("When", times((0..400).map(|i| i / 100 * 10_000 + i % 20))),
            ("CustomerID", integers((0..400).map(person))),
            ("Country", texts((0..400).map(|i| format!("country {}", person(i) % 3)))),
        ],
    );
    let (text, shop) = initialised(folder.path(), &[file]);
    let names = |role: Role| {
        let schema = &shop.first(role).unwrap().schema;
        schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join("|")
    };
    assert_eq!(names(Role::Users), "CustomerID|Country", "{text}");
    assert_eq!(names(Role::Items), "ProductCode|Product Name", "{text}");
    assert_eq!(names(Role::Events), "Order No|ProductCode|Quantity|When|CustomerID", "{text}");
    assert_eq!(shop.events().unwrap().kind("Order No").unwrap(), ColumnKind::Group);
    assert_eq!(shop.event_columns().unwrap().time.as_deref(), Some("When"));
    assert!(text.contains("drop_invalid = [\"Quantity <= 0\"]"), "{text}");
}

#[test]
fn several_files_are_linked_by_names_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let users =
        write(&path("users.jsonl"), vec![("user_id", integers(100..120)), ("age", integers((0..20).map(|i| 20 + i)))]);
    let items =
        write(&path("items.parquet"), vec![("item_id", integers(0..30)), ("price", integers((0..30).map(|i| i * 3)))]);
    let events = write(
        &path("events.csv"),
        vec![
            ("user_id", integers((0..400).map(person))),
            ("item_id", integers((0..400).map(thing))),
            ("basket_id", integers((0..400).map(basket))),
            ("time", times(0..400)),
        ],
    );
    let stores = write(&path("stores.csv"), vec![("store_id", integers(0..5)), ("size", integers(5..10))]);
    let (text, shop) = initialised(folder.path(), &[users, items, events, stores]);
    assert_eq!(shop.users().unwrap().name, "users", "{text}");
    assert_eq!(shop.items().unwrap().name, "items", "{text}");
    assert_eq!(shop.events().unwrap().rows(), 400);
    assert_eq!(shop.events().unwrap().kind("basket_id").unwrap(), ColumnKind::Group);
    assert_eq!(shop.table("stores").unwrap().definition.role, Role::Plain);
}

#[test]
fn a_table_without_people_stays_plain() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        &folder.path().join("weather.csv"),
        vec![("hour", integers(0..24)), ("rain", integers((0..24).map(|i| i % 4)))],
    );
    let (text, shop) = initialised(folder.path(), &[file]);
    assert_eq!(shop.tables[0].definition.role, Role::Plain, "{text}");
    assert_eq!(shop.tables[0].name, "weather");
}
