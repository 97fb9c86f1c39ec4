//! The same rows whichever way they are drawn: in one batch, as a stream, chunk by chunk.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchReader, StringArray};
use arrow::compute::concat_batches;
use std::sync::{Arc, LazyLock};
use twinmart_synth::{FitSettings, Model, fit};
use twinmart_tables::{ColumnKind, Error, Method, Progress, Project, Reference, Shop, Table, TableDefinition};

fn table(name: &str, columns: Vec<(&str, ColumnKind, ArrayRef)>) -> Table {
    let kinds = columns.iter().map(|c| c.1).collect();
    let batch = RecordBatch::try_from_iter(columns.into_iter().map(|(name, _, array)| (name, array))).unwrap();
    Table {
        name: name.into(),
        definition: TableDefinition::default(),
        schema: batch.schema(),
        kinds,
        batches: vec![batch],
        population: None,
        constraints: Vec::new(),
    }
}

fn fitted(method: Method, tables: Vec<Table>) -> Model {
    let shop = Shop { project: Project::default(), tables };
    let mut settings = FitSettings::of_project(&shop.project, Some(method), None).unwrap();
    settings.steps = 20;
    fit(&shop, &settings, &Progress::silent()).unwrap()
}

fn orders() -> Table {
    let cities = StringArray::from_iter_values((0..500).map(|i| ["Ulm", "Rome", "Oslo"][i % 3]));
    let prices = Int64Array::from_iter_values((0..500).map(|i| 10 * (i % 3) + i * 7 % 10));
    table(
        "orders",
        vec![
            ("id", ColumnKind::Id, Arc::new(Int64Array::from_iter_values(0..500))),
            ("city", ColumnKind::Category, Arc::new(cities)),
            ("price", ColumnKind::Integer, Arc::new(prices)),
        ],
    )
}

static ONE_TABLE: LazyLock<Model> = LazyLock::new(|| fitted(Method::Autoregressive, vec![orders()]));

#[test]
fn one_batch_a_stream_and_chunks_are_the_same_rows() {
    for rows in [0, 1, 8_192, 8_193, 20_000] {
        let whole = ONE_TABLE.sample(rows, 3).unwrap();
        assert_eq!(whole.num_rows() as u64, rows);
        let sampler = ONE_TABLE.sampler(Some(rows), 3).unwrap();
        let schema = whole.schema();
        let chunks: Vec<RecordBatch> = (0..sampler.chunks()).map(|c| sampler.chunk(c).unwrap().remove(0)).collect();
        assert!(concat_batches(&schema, &chunks).unwrap() == whole, "{rows}");
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let batches = sampler.batches("orders").unwrap();
            let batches: Vec<RecordBatch> = pool.install(|| batches.map(Result::unwrap).collect());
            assert!(batches == chunks, "{rows} {threads}");
        }
        let reader = sampler.batches("orders").unwrap().into_reader();
        assert_eq!(reader.schema(), schema);
        assert!(reader.map(Result::unwrap).collect::<Vec<_>>() == chunks);
    }
    assert_eq!(ONE_TABLE.sample(None, 3).unwrap().num_rows(), 500);
    assert!(ONE_TABLE.sample(100, 3).unwrap() != ONE_TABLE.sample(100, 4).unwrap());
}

/// 1,100 users, a catalogue, 3,300 events, and a plain table.
fn shop() -> Vec<Table> {
    let ids = |n: i64| Arc::new(Int64Array::from_iter_values(0..n)) as ArrayRef;
    let named = |n: i64, of: i64| Arc::new(Int64Array::from_iter_values((0..n).map(|i| i * 7 % of))) as ArrayRef;
    let (id, number) = (ColumnKind::Id, ColumnKind::Integer);
    let mut users = table("users", vec![("id", id, ids(1_100)), ("age", number, named(1_100, 60))]);
    let mut items = table("items", vec![("id", id, ids(40)), ("price", number, named(40, 9))]);
    let columns =
        vec![("user", id, named(3_300, 1_100)), ("item", id, named(3_300, 40)), ("day", number, named(3_300, 365))];
    let mut events = table("events", columns);
    for (table, role) in [(&mut users, twinmart_tables::Role::Users), (&mut items, twinmart_tables::Role::Items)] {
        table.definition.role = role;
        table.definition.key = Some("id".into());
    }
    events.definition.role = twinmart_tables::Role::Events;
    events.definition.time = Some("day".into());
    for (column, table) in [("user", "users"), ("item", "items")] {
        events.definition.references.insert(column.into(), Reference { table: table.into(), key: "id".into() });
    }
    vec![users, items, events, orders()]
}

#[test]
fn every_table_of_a_shop_streams_by_itself() {
    for method in [Method::Replicate, Method::Independent] {
        let model = fitted(method, shop());
        let sampler = model.sampler(Some(2_500), 1).unwrap();
        let chunks: Vec<Vec<RecordBatch>> = (0..sampler.chunks()).map(|c| sampler.chunk(c).unwrap()).collect();
        for (position, (name, schema)) in sampler.tables().iter().enumerate() {
            let parts: Vec<RecordBatch> = sampler.batches(name).unwrap().map(Result::unwrap).collect();
            let whole = concat_batches(schema, chunks.iter().map(|chunk| &chunk[position])).unwrap();
            assert!(whole.num_rows() > 0 && concat_batches(schema, &parts).unwrap() == whole, "{name}");
        }
    }
}

#[test]
fn what_is_not_there_is_refused_with_a_reason() {
    let model = fitted(Method::Replicate, shop());
    let said = |result: Result<(), Error>| match result {
        Err(Error::Usage(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    };
    let several = said(model.sample(10, 0).map(drop));
    assert_eq!(several, "this model has several tables, a sample is one; use sampler(…) and its batches(table)");
    let several = said(model.complete(&orders().batches[0], 0).map(drop));
    assert_eq!(several, "only models of one table complete rows, this one has several tables; fit the table by itself");
    let unknown = said(model.sampler(None, 0).unwrap().batches("event").map(drop));
    assert_eq!(unknown, "table `event`: the twin has no such table; the tables are users, items, events, orders");
}
