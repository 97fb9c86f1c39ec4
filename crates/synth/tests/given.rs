//! Rows that are asked for: all of them meet what is asked, and everything else follows from that as in the model.

mod every_kind;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type};
use every_kind::{Column, EVERY_KIND, every_kind, fitted, fitted_by, noise};
use proptest::prelude::*;
use std::sync::Arc;
use twinmart_synth::{Model, Sampler};
use twinmart_tables::condition::Condition;
use twinmart_tables::{ColumnKind, Error, Method, Preset, Result};

fn sampler(model: &Model, rows: u64, asked: &[&str]) -> Result<Sampler> {
    let conditions: Vec<Condition> = asked.iter().map(|text| text.parse().unwrap()).collect();
    model.sampler(Some(rows), 3)?.given(&conditions)
}

fn drawn(model: &Model, rows: u64, asked: &[&str]) -> Result<RecordBatch> {
    let sampler = sampler(model, rows, asked)?;
    let name = sampler.tables()[0].0.clone();
    let batches = sampler.batches(&name)?.collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&sampler.tables()[0].1, &batches)?)
}

/// What a value must be, told without the code under test: by its text, and as a number.
type Check = fn(Option<&str>, Option<f64>) -> bool;

/// Conditions on every column that has values, with what they mean.
const CONDITIONS: &[(&str, Check)] = &[
    ("city = Ulm", |t, _| t == Some("Ulm")),
    ("city in (Ulm, 'Oslo')", |t, _| matches!(t, Some("Ulm" | "Oslo"))),
    ("city != Rome", |t, _| matches!(t, Some("Ulm" | "Oslo"))),
    ("city is missing", |t, _| t.is_none()),
    ("rank = 2", |t, _| t == Some("2")),
    ("rank not in (0, 1)", |t, _| matches!(t, Some("2" | "3"))),
    ("age >= 60", |_, x| x.is_some_and(|x| x >= 60.0)),
    ("age < 25", |_, x| x.is_some_and(|x| x < 25.0)),
    ("age = 41", |_, x| x == Some(41.0)),
    ("age in (20, 41, 60)", |_, x| matches!(x, Some(20.0 | 41.0 | 60.0))),
    ("age > 30.5", |_, x| x.is_some_and(|x| x >= 31.0)),
    ("age != 41", |_, x| x.is_some_and(|x| x != 41.0)),
    ("age is missing", |_, x| x.is_none()),
    ("income > 20000", |_, x| x.is_some_and(|x| x > 20_000.0)),
    ("income <= 12345.678", |_, x| x.is_some_and(|x| x <= 12_345.678)),
    ("share <= 0.25", |_, x| x.is_some_and(|x| x <= 0.25)),
    ("share is present", |_, x| x.is_some()),
    ("member = true", |t, _| t == Some("true")),
    ("born >= 2020-01-01", |t, _| t.is_some_and(|t| t >= "2020-01-01")),
    ("born < 2019-06-15", |t, _| t.is_some_and(|t| t < "2019-06-15")),
    ("joined >= 2021-01-01T12:00:00", |t, _| t.is_some_and(|t| t >= "2021-01-01T12:00:00")),
    ("joined < 2020-10-01", |t, _| t.is_some_and(|t| t < "2020-10-01")),
    ("left > 2021-03-05T08:30:00", |t, _| t.is_some_and(|t| t > "2021-03-05T08:30:00")),
    ("left is missing", |t, _| t.is_none()),
    ("note is present", |t, _| t.is_some()),
    ("note is missing", |t, _| t.is_none()),
];

fn assert_meets(rows: &RecordBatch, condition: &(&str, Check)) {
    let column = condition.0.split(' ').next().unwrap();
    let text = cast(&rows[column], &DataType::Utf8).unwrap();
    let number = cast(&rows[column], &DataType::Float64).ok();
    for row in 0..rows.num_rows() {
        let text = text.is_valid(row).then(|| text.as_string::<i32>().value(row));
        let number = number.as_ref().filter(|n| n.is_valid(row)).map(|n| n.as_primitive::<Float64Type>().value(row));
        assert!(condition.1(text, number), "{}: row {row} has {text:?}", condition.0);
    }
}

#[test]
fn every_condition_holds_in_every_row() {
    for condition in CONDITIONS {
        assert_meets(&drawn(&EVERY_KIND.1, 3_000, &[condition.0]).unwrap(), condition);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn several_conditions_hold_at_once(which in prop::collection::vec(0..CONDITIONS.len(), 1..5), rows in 1u64..400) {
        let asked: Vec<&str> = which.iter().map(|at| CONDITIONS[*at].0).collect();
        match drawn(&EVERY_KIND.1, rows, &asked) {
            Ok(drawn) => {
                prop_assert_eq!(drawn.num_rows() as u64, rows);
                which.iter().for_each(|at| assert_meets(&drawn, &CONDITIONS[*at]));
            }
            // Only conditions on one column can contradict each other.
            Err(error) => {
                let columns: Vec<&str> = asked.iter().map(|text| text.split(' ').next().unwrap()).collect();
                let twice = columns.iter().any(|c| columns.iter().filter(|other| *other == c).count() > 1);
                prop_assert!(twice, "{asked:?}: {error}");
            }
        }
    }
}

/// x uniform on 0..100; y = x + noise; group g says whether x ≥ 50, wrongly in one row of ten.
fn numbers() -> Vec<Column> {
    let n = 12_000;
    let x = |r: usize| (noise(r, 1) % 100) as i64;
    let y = |r: usize| x(r) as f64 + (noise(r, 2) % 2_000) as f64 / 100.0;
    let g = |r: usize| if (x(r) >= 50) != noise(r, 3).is_multiple_of(10) { "high" } else { "low" };
    vec![
        ("x", ColumnKind::Integer, Arc::new(Int64Array::from_iter_values((0..n).map(x)))),
        ("y", ColumnKind::Number, Arc::new(Float64Array::from_iter_values((0..n).map(y)))),
        ("g", ColumnKind::Category, Arc::new(StringArray::from_iter_values((0..n).map(g)))),
    ]
}

#[test]
fn what_is_not_asked_follows_as_in_the_data() {
    for preset in [Preset::Small, Preset::Base] {
        let model = fitted_by(Method::Autoregressive, preset, &numbers());
        let mean = |rows: &RecordBatch, column: &str, of: &dyn Fn(f64) -> f64| {
            let x = cast(&rows[column], &DataType::Float64).unwrap();
            x.as_primitive::<Float64Type>().values().iter().map(|x| of(*x)).sum::<f64>() / x.len() as f64
        };
        // The last column is asked: x is high in nine rows of ten. Standard errors are below .01.
        let high = drawn(&model, 8_000, &["g = high"]).unwrap();
        let share = mean(&high, "x", &|x| f64::from(x >= 50.0));
        assert!((share - 0.9).abs() < 0.03, "{preset:?}: {share}");
        // A range of the middle column bounds the first: x lies in [y − 20, y].
        let some = drawn(&model, 8_000, &["y >= 60", "y < 62"]).unwrap();
        let around = mean(&some, "x", &|x| x);
        assert!((around - 51.0).abs() < 1.0, "{preset:?}: {around}");
        // As often as in rows of the model that happen to meet it; five standard errors.
        let all = drawn(&model, 200_000, &[]).unwrap();
        let y = all["y"].as_primitive::<Float64Type>();
        let meets = BooleanArray::from_iter(y.values().iter().map(|y| Some((60.0..62.0).contains(y))));
        let among = filter_record_batch(&all, &meets).unwrap();
        let [ours, theirs] = [&some, &among].map(|rows| mean(rows, "x", &|x| f64::from((39.0..=62.0).contains(&x))));
        assert!((ours - theirs).abs() < 0.03, "{preset:?}: {ours}, not {theirs}");
        for cut in [45.0, 50.0, 55.0] {
            let [ours, theirs] = [&some, &among].map(|rows| mean(rows, "x", &|x| f64::from(x < cut)));
            assert!((ours - theirs).abs() < 0.05, "{preset:?} {cut}: {ours}, not {theirs}");
        }
        // Within a range that cuts cells, values are as in the data: even, but for the chance of some 120 rows each.
        let cut = drawn(&model, 8_000, &["x >= 33", "x <= 36"]).unwrap();
        for value in 33..=36 {
            let share = mean(&cut, "x", &|x| f64::from(x == f64::from(value)));
            assert!((share - 0.25).abs() < 0.1, "{preset:?} {value}: {share}");
        }
    }
}

#[test]
fn rows_are_drawn_around_given_ones() {
    let (all, model) = &*EVERY_KIND;
    let given = all.project(&[3, 1, 7]).unwrap().slice(0, 50);
    let sampler = model.sampler(Some(120), 3).unwrap().given_rows(&given).unwrap();
    let rows = concat_batches(&sampler.tables()[0].1, &[sampler.chunk(0).unwrap().remove(0)]).unwrap();
    assert_eq!(rows.num_rows(), 120);
    for (column, values) in given.schema().fields().iter().zip(given.columns()) {
        for row in (0..120).filter(|row| values.is_valid(row % 50)) {
            let drawn = &rows[column.name().as_str()];
            assert_eq!(drawn.slice(row, 1).to_data(), values.slice(row % 50, 1).to_data(), "{} {row}", column.name());
        }
    }
    let id = all.project(&[0]).unwrap().slice(0, 3);
    let told = model.sampler(Some(3), 3).unwrap().given_rows(&id).unwrap_err().to_string();
    assert!(told.contains("column `id`: keys are made new for every twin"), "{told}");
    let none = given.slice(0, 0);
    assert!(
        model.sampler(Some(3), 3).unwrap().given_rows(&none).unwrap_err().to_string().contains("no rows are given")
    );
}

#[test]
fn asked_rows_are_the_same_on_any_number_of_threads() {
    let asked = ["age >= 30", "city in (Ulm, Rome)", "left is present"];
    let whole = drawn(&EVERY_KIND.1, 10_000, &asked).unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // A model of its own: its guide is learned on these threads.
        let model = pool.install(|| fitted(&every_kind()));
        assert!(pool.install(|| drawn(&model, 10_000, &asked)).unwrap() == whole, "{threads}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_with_a_reason() {
    let model = &EVERY_KIND.1;
    let said = |asked: &[&str]| match drawn(model, 10, asked) {
        Err(Error::Usage(problem)) => problem.to_string(),
        other => panic!("{asked:?}: {other:?}"),
    };
    for (asked, part) in [
        (
            &["town = Ulm"][..],
            "column `town`, value `town = Ulm`: the model has no such column; the columns are id, city",
        ),
        (&["city = Paris"], "no rows with the value `Paris` were learned, or too few people's; its values are"),
        (&["city = hamlet"], "no rows with the value `hamlet` were learned"),
        (&["city > Rome"], "the values of this column have no order"),
        (&["age >= old"], "`old` is no value of the type Int64"),
        (&["age > 300"], "no value that the model knows meets this; it knows values from"),
        (&["age = 41.5"], "no value can meet this"),
        (&["age > 50", "age < 40"], "no value can meet this and the other conditions on its column"),
        (&["city = Ulm", "city = Rome"], "no value can meet this and the other conditions on its column"),
        (&["age is missing", "age > 20"], "no value can meet this and the other conditions on its column"),
        (&["born >= yesterday"], "`yesterday` is no value of the type Date32"),
        (&["note = paid"], "the texts of this column are written anew"),
        (&["nothing > 0"], "no value of this column may come out"),
        (&["member = maybe"], "no rows with the value `maybe` were learned"),
    ] {
        let told = said(asked);
        assert!(told.contains(part), "{asked:?}: {told}");
    }
    for method in [Method::Independent, Method::Replicate, Method::Interpolate] {
        let other = fitted_by(method, Preset::Small, &every_kind());
        let told = drawn(&other, 10, &["age > 20"]).unwrap_err().to_string();
        assert!(told.contains("cannot be asked for values; fit the table with the method autoregressive"), "{told}");
    }
    let rows = RecordBatch::try_from_iter([("town", Arc::new(StringArray::from(vec!["Ulm"])) as ArrayRef)]).unwrap();
    let told = model.sampler(Some(3), 3).unwrap().given_rows(&rows).unwrap_err().to_string();
    assert!(told.contains("column `town`: the model has no such column"), "{told}");
}
