//! Odd behaviour through the learned method: every shop is learned and drawn, or refused with the reason.

use arrow::array::*;
use arrow::datatypes::Int64Type;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use twinmart_synth::{FitSettings, fit};
use twinmart_tables::*;

/// A column of a table.
type Column = (&'static str, ColumnKind, ArrayRef);
/// One event: user, item, moment in seconds.
type Event = (i64, i64, Option<i64>);

fn shop(users: i64, items: i64, events: &[Event], steps: u64) -> Shop {
    let text = format!(
        r#"
        [project]
        seed = 3
        [synthesis]
        method = "autoregressive"
        steps = {steps}
        [tables.users]
        role = "users"
        key = "user"
        source = "u"
        [tables.items]
        role = "items"
        key = "item"
        source = "i"
        [tables.events]
        role = "events"
        time = "at"
        source = "e"
        [tables.events.references]
        user = "users.user"
        item = "items.item"
        "#
    );
    let project = Project::parse(&text, Path::new("twinmart.toml")).unwrap();
    let numbers = |column: Vec<i64>| Arc::new(Int64Array::from(column)) as ArrayRef;
    let at: TimestampSecondArray = events.iter().map(|e| e.2).collect();
    let columns: [(&str, Vec<Column>); 3] = [
        ("users", vec![("user", ColumnKind::Id, numbers((0..users).collect()))]),
        ("items", vec![("item", ColumnKind::Id, numbers((0..items).collect()))]),
        (
            "events",
            vec![
                ("user", ColumnKind::Id, numbers(events.iter().map(|e| e.0).collect())),
                ("item", ColumnKind::Id, numbers(events.iter().map(|e| e.1).collect())),
                ("at", ColumnKind::Datetime, Arc::new(at)),
            ],
        ),
    ];
    let table = |(name, columns): (&str, Vec<Column>)| {
        let kinds = columns.iter().map(|c| c.1).collect();
        let named = columns.into_iter().map(|(name, _, values)| (name, values, true));
        let rows = RecordBatch::try_from_iter_with_nullable(named).unwrap();
        let (definition, schema) = (project.tables[name].clone(), rows.schema());
        Table {
            name: name.into(),
            definition,
            schema,
            kinds,
            batches: vec![rows],
            population: None,
            constraints: Vec::new(),
        }
    };
    Shop { tables: columns.into_iter().map(table).collect(), project }
}

/// Events of a twin: user, item, moment.
fn twin(shop: &Shop, users: u64) -> Result<Vec<Event>> {
    let settings = FitSettings::of_project(&shop.project, None, None)?;
    let model = fit(shop, &settings, &Progress::silent())?;
    let sampler = model.sampler(Some(users), 4)?;
    let mut events = Vec::new();
    for chunk in 0..sampler.chunks() {
        let rows = &sampler.chunk(chunk)?[2];
        let [user, item] = [0, 1].map(|c| rows.column(c).as_primitive::<Int64Type>().clone());
        let at = arrow::compute::cast(rows.column(2), &arrow::datatypes::DataType::Int64)?;
        let at = at.as_primitive::<Int64Type>().clone();
        events
            .extend((0..rows.num_rows()).map(|r| (user.value(r), item.value(r), at.is_valid(r).then(|| at.value(r)))));
    }
    Ok(events)
}

/// Items of the catalogue, users with their events side by side, moments in order.
fn check(events: &[Event], items: i64) {
    assert!(events.iter().all(|e| (0..items).contains(&e.1)));
    assert!(events.windows(2).all(|w| w[0].0 != w[1].0 || w[0].2 <= w[1].2), "out of order");
    let runs = events.chunk_by(|a, b| a.0 == b.0).count();
    assert_eq!(runs, events.iter().map(|e| e.0).collect::<HashSet<_>>().len(), "a user's events lie apart");
}

const DAY: i64 = 86_400;

/// Sixty users with `length` events each, one a day.
fn daily(length: i64) -> Vec<Event> {
    (0..60).flat_map(|u| (0..length).map(move |d| (u, (u * 7 + d * d) % 20, Some((u + d) * DAY)))).collect()
}

#[test]
fn users_without_events_and_items_that_nobody_chose() {
    let events: Vec<Event> = daily(4).into_iter().filter(|e| e.0 % 3 > 0).collect();
    let shop = shop(60, 500, &events, 8);
    let drawn = twin(&shop, 300).unwrap();
    check(&drawn, 500);
    let active = drawn.iter().map(|e| e.0).collect::<HashSet<_>>().len();
    assert!((140..=260).contains(&active), "{active} of 300, two thirds expected");
}

#[test]
fn one_user_is_refused_or_told_apart_from_nobody() {
    let shop = shop(1, 5, &[(0, 1, Some(5)), (0, 2, Some(9))], 4);
    match twin(&shop, 3) {
        Ok(drawn) => check(&drawn, 5),
        Err(e) => assert!(e.to_string().contains("users"), "{e}"),
    }
}

#[test]
fn one_item() {
    let events: Vec<Event> = daily(3).into_iter().map(|(u, _, t)| (u, 0, t)).collect();
    let drawn = twin(&shop(60, 1, &events, 4), 60).unwrap();
    check(&drawn, 1);
    assert!(!drawn.is_empty());
}

#[test]
fn equal_moments_and_none_at_all() {
    let together: Vec<Event> = daily(5).into_iter().map(|(u, i, _)| (u, i, Some(77))).collect();
    let drawn = twin(&shop(60, 20, &together, 8), 60).unwrap();
    check(&drawn, 20);
    assert!(drawn.iter().all(|e| e.2 == Some(77)));
    let never: Vec<Event> = daily(5).into_iter().map(|(u, i, _)| (u, i, None)).collect();
    match twin(&shop(60, 20, &never, 8), 60) {
        Ok(drawn) => check(&drawn, 20),
        Err(e) => assert!(e.to_string().contains("at"), "{e}"),
    }
}

#[test]
fn a_moment_that_is_missing_is_handled_or_named() {
    let mut events = daily(5);
    events[17].2 = None;
    match twin(&shop(60, 20, &events, 8), 60) {
        Ok(drawn) => check(&drawn, 20),
        Err(e) => assert!(e.to_string().contains("at"), "{e}"),
    }
}

#[test]
fn a_bot_and_a_history_longer_than_any_window() {
    let mut events = daily(3);
    events.extend((0..100_000).map(|n| (60, n * 31 % 20, Some(n * 60))));
    let shop = shop(61, 20, &events, 12);
    let drawn = twin(&shop, 61).unwrap();
    check(&drawn, 20);
}

#[test]
fn users_and_items_that_no_table_has_are_named() {
    for events in [[(0, 0, Some(1)), (7, 0, Some(2))], [(0, 0, Some(1)), (0, 9, Some(2))]] {
        let error = twin(&shop(3, 3, &events, 4), 3).unwrap_err().to_string();
        assert!(error.contains("events") && (error.contains('7') || error.contains('9')), "{error}");
    }
}
