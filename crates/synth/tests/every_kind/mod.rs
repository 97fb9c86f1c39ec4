//! A small table with a column of every kind, and models of small tables.

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampSecondArray, UInt32Array,
};
use arrow::datatypes::{Field, Schema};
use std::sync::{Arc, LazyLock};
use twinmart_synth::{FitSettings, Model, fit};
use twinmart_tables::{ColumnKind, Method, Preset, Progress, Project, Shop, Table, TableDefinition};

pub(crate) type Column = (&'static str, ColumnKind, ArrayRef);

pub(crate) fn batch(columns: &[Column]) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, _, a)| Field::new(*name, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.iter().map(|c| c.2.clone()).collect()).unwrap()
}

pub(crate) fn fitted_by(method: Method, preset: Preset, columns: &[Column]) -> Model {
    let batch = batch(columns);
    let kinds = columns.iter().map(|c| c.1).collect();
    let definition = TableDefinition::default();
    let table = Table {
        name: "t".into(),
        definition,
        schema: batch.schema(),
        kinds,
        batches: vec![batch],
        population: None,
        constraints: Vec::new(),
    };
    let shop = Shop { project: Project::default(), tables: vec![table] };
    let mut settings = FitSettings::of_project(&shop.project, Some(method), None).unwrap();
    (settings.preset, settings.steps) = (preset, 60);
    fit(&shop, &settings, &Progress::silent()).unwrap()
}

pub(crate) fn fitted(columns: &[Column]) -> Model {
    fitted_by(Method::Autoregressive, Preset::Small, columns)
}

/// A hash: row-wise pseudo-random numbers.
pub(crate) fn noise(row: usize, salt: u64) -> u64 {
    let x = (row as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x ^ (x >> 32)) >> 16
}

/// A column of every kind, in 600 rows; a fifth of the values of most is missing.
pub(crate) fn every_kind() -> Vec<Column> {
    let n = 600;
    let gap = |row: usize, salt: u64| noise(row, salt).is_multiple_of(5);
    let day = |row: usize| 18_000 + (noise(row, 1) % 400) as i32;
    let moment = |row: usize| 1_600_000_000 + (noise(row, 2) % 40_000_000) as i64;
    vec![
        ("id", ColumnKind::Id, Arc::new(Int64Array::from_iter_values(1..=n as i64))),
        (
            "city",
            ColumnKind::Category,
            Arc::new(StringArray::from_iter((0..n).map(|r| {
                (!gap(r, 3)).then(|| match r {
                    5 => "hamlet".to_string(),
                    _ => ["Ulm", "Rome", "Oslo"][(noise(r, 4) % 3) as usize].to_string(),
                })
            }))),
        ),
        (
            "rank",
            ColumnKind::Category,
            Arc::new(UInt32Array::from_iter((0..n).map(|r| (!gap(r, 5)).then(|| (noise(r, 6) % 4) as u32)))),
        ),
        (
            "age",
            ColumnKind::Integer,
            Arc::new(Int64Array::from_iter((0..n).map(|r| (!gap(r, 7)).then(|| 18 + (noise(r, 8) % 60) as i64)))),
        ),
        (
            "income",
            ColumnKind::Number,
            Arc::new(Float64Array::from_iter((0..n).map(|r| (!gap(r, 9)).then(|| noise(r, 10) as f64 / 7e9)))),
        ),
        (
            "share",
            ColumnKind::Number,
            Arc::new(Float32Array::from_iter(
                (0..n).map(|r| (!gap(r, 11)).then(|| (noise(r, 12) % 1000) as f32 / 1e3)),
            )),
        ),
        (
            "member",
            ColumnKind::Boolean,
            Arc::new(BooleanArray::from_iter((0..n).map(|r| (!gap(r, 13)).then(|| noise(r, 14).is_multiple_of(3))))),
        ),
        ("born", ColumnKind::Date, Arc::new(Date32Array::from_iter((0..n).map(|r| (!gap(r, 15)).then(|| day(r)))))),
        (
            "joined",
            ColumnKind::Datetime,
            Arc::new(TimestampSecondArray::from_iter((0..n).map(|r| (!gap(r, 16)).then(|| moment(r))))),
        ),
        (
            "left",
            ColumnKind::Datetime,
            Arc::new(TimestampSecondArray::from_iter(
                (0..n).map(|r| (!gap(r, 17)).then(|| moment(r) + 60 * (noise(r, 18) % 900) as i64)),
            )),
        ),
        (
            "note",
            ColumnKind::Text,
            Arc::new(StringArray::from_iter(
                (0..n).map(|r| (!gap(r, 19)).then(|| format!("paid invoice {}", noise(r, 20) % 10_000))),
            )),
        ),
        ("nothing", ColumnKind::Number, Arc::new(Float64Array::new_null(n))),
    ]
}

pub(crate) static EVERY_KIND: LazyLock<(RecordBatch, Model)> =
    LazyLock::new(|| (batch(&every_kind()), fitted(&every_kind())));
