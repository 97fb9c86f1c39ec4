//! Completing rows: present values stay, gaps follow the model's conditional distribution, and nothing rare comes out.

mod every_kind;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampSecondArray,
};
use arrow::compute::{cast, concat_batches, nullif, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimestampSecondType};
use every_kind::{Column, EVERY_KIND, every_kind, fitted, fitted_by, noise};
use proptest::prelude::*;
use std::sync::Arc;
use twinmart_synth::{Filling, Model};
use twinmart_tables::{ColumnKind, Error, Method, Preset};

/// Without the values where `hidden` says so.
fn without(rows: &RecordBatch, hidden: impl Fn(usize, usize) -> bool) -> RecordBatch {
    let columns = rows.columns().iter().enumerate().map(|(c, array)| {
        nullif(array, &BooleanArray::from_iter((0..rows.num_rows()).map(|row| Some(hidden(c, row))))).unwrap()
    });
    RecordBatch::try_new(rows.schema(), columns.collect()).unwrap()
}

fn assert_only_gaps_change(given: &RecordBatch, full: &RecordBatch) {
    assert_eq!(given.schema(), full.schema());
    for (field, (before, after)) in given.schema().fields().iter().zip(given.columns().iter().zip(full.columns())) {
        for row in (0..given.num_rows()).filter(|row| before.is_valid(*row)) {
            assert_eq!(before.slice(row, 1).to_data(), after.slice(row, 1).to_data(), "{} {row}", field.name());
        }
        let stays_missing = ["id", "nothing"].contains(&field.name().as_str());
        let expected = if stays_missing { before.null_count() } else { 0 };
        assert_eq!(after.null_count(), expected, "{}", field.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn present_values_stay_bit_for_bit_and_gaps_are_filled(
        salt in any::<u64>(),
        percent in 0u64..101,
        first in 0usize..560,
        rows in 0usize..40,
        order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
        columns in 1usize..13,
    ) {
        let (all, model) = &*EVERY_KIND;
        let rows = all.slice(first, rows).project(&order[..columns]).unwrap();
        let given = without(&rows, |column, row| noise(row * 16 + column, salt) % 100 < percent);
        let full = model.complete(&given, salt).unwrap();
        assert_only_gaps_change(&given, &full);
        prop_assert_eq!(&full, &model.complete(&given, salt).unwrap());
    }
}

#[test]
fn odd_numbers_stay_as_they_are() {
    let (_, model) = &*EVERY_KIND;
    let odd = [f64::from_bits(0x7FF8_0000_0000_1234), -0.0, f64::INFINITY, 1e300, f64::MIN_POSITIVE / 2.0];
    let incomes = Float64Array::from_iter_values(odd);
    let given = RecordBatch::try_from_iter([
        ("income", Arc::new(incomes) as ArrayRef),
        ("age", Arc::new(Int64Array::new_null(odd.len()))),
        ("city", Arc::new(StringArray::from(vec!["Atlantis"; 5]))),
    ])
    .unwrap();
    let full = model.complete(&given, 3).unwrap();
    let bits: Vec<u64> = full.column(0).as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits).collect();
    assert_eq!(bits, odd.map(f64::to_bits));
    assert_eq!(full.column(1).null_count(), 0);
    assert_eq!(full.column(2), given.column(2));
}

/// 8,000 rows: a one of three at random, b = a in four rows of five, else at random; c depends on both. A tenth of each is missing.
fn dependent() -> Vec<Column> {
    let n = 8_000;
    let a = |r: usize| noise(r, 1) % 3;
    let b = |r: usize| if !noise(r, 2).is_multiple_of(5) { a(r) } else { noise(r, 3) % 3 };
    let c = |r: usize| u64::from(noise(r, 4) % 100 < odds_of_c(a(r), b(r)));
    let column = |values: &dyn Fn(usize) -> u64, salt: u64| -> ArrayRef {
        let value = |r: usize| (!noise(r, salt).is_multiple_of(10)).then(|| ["x", "y", "z"][values(r) as usize]);
        Arc::new(StringArray::from_iter((0..n).map(value)))
    };
    let kind = ColumnKind::Category;
    vec![("a", kind, column(&a, 5)), ("b", kind, column(&b, 6)), ("c", kind, column(&c, 7))]
}

/// Percent of the rows in which c is y.
fn odds_of_c(a: u64, b: u64) -> u64 {
    if a == b { 90 } else { 10 + 20 * a }
}

/// Share of rows with a value in a column of 20,000 completed rows, all with the values `given`.
fn share(model: &Model, given: &[(&str, &str)], column: &str, value: &str) -> f64 {
    const N: usize = 20_000;
    let columns = given.iter().map(|(name, value)| (*name, Arc::new(StringArray::from(vec![*value; N])) as ArrayRef));
    let gap = (column, Arc::new(StringArray::new_null(N)) as ArrayRef);
    let rows = RecordBatch::try_from_iter_with_nullable(columns.chain([gap]).map(|(n, a)| (n, a, true))).unwrap();
    let full = model.complete(&rows, 11).unwrap();
    let filled = full.column_by_name(column).unwrap().as_string::<i32>();
    filled.iter().filter(|v| *v == Some(value)).count() as f64 / N as f64
}

/// The same share among those of many drawn rows that have the values `given`, and how many of them have a value there.
fn share_of_drawn(drawn: &RecordBatch, given: &[(&str, &str)], column: &str, value: &str) -> (f64, f64) {
    let text = |name: &str| drawn.column_by_name(name).unwrap().as_string::<i32>();
    let holds = |row: usize, name: &str, value: &str| text(name).is_valid(row) && text(name).value(row) == value;
    let alike =
        (0..drawn.num_rows()).filter(|r| given.iter().all(|(n, v)| holds(*r, n, v)) && text(column).is_valid(*r));
    let alike: Vec<usize> = alike.collect();
    (alike.iter().filter(|r| holds(**r, column, value)).count() as f64 / alike.len() as f64, alike.len() as f64)
}

#[test]
fn gaps_follow_the_conditional_distribution() {
    gaps_follow(&fitted(&dependent()));
}

#[test]
fn gaps_follow_it_too_where_a_network_fills_them() {
    gaps_follow(&fitted_by(Method::Autoregressive, Preset::Base, &dependent()));
}

fn gaps_follow(model: &Model) {
    let drawn = model.sample(400_000, 5).unwrap();
    let agree = |given: &[(&str, &str)], column: &str, value: &str| {
        let filled = share(model, given, column, value);
        let (expected, rows) = share_of_drawn(&drawn, given, column, value);
        // Five standard errors of both shares, and what 32 particles or a network's errors take away.
        let slack = 5.0 * (expected * (1.0 - expected) * (1.0 / rows + 1.0 / 20_000.0)).sqrt() + 0.02;
        assert!(
            rows > 500.0 && (filled - expected).abs() < slack,
            "{column} given {given:?}: {filled}, not {expected}"
        );
        filled
    };
    for a in ["x", "y", "z"] {
        for b in ["x", "y", "z"] {
            agree(&[("a", a), ("b", b)], "c", "y");
            // An earlier column given later ones.
            agree(&[("b", b), ("c", "y")], "a", a);
        }
        // A column that is not given at all is summed over: most have b = a, and then c is y in nine rows of ten.
        assert!(agree(&[("a", a)], "c", "y") > 0.7);
    }
    // The dependence is strong, so ignoring what is given would be seen.
    assert!(agree(&[("b", "x"), ("c", "y")], "a", "x") > 0.8);
}

#[test]
fn gaps_of_a_row_fit_each_other() {
    let model = fitted(&dependent());
    let n = 10_000;
    let gaps = || Arc::new(StringArray::new_null(n)) as ArrayRef;
    let rows = RecordBatch::try_from_iter_with_nullable([("b", gaps(), true), ("a", gaps(), true)]).unwrap();
    let full = model.complete(&rows, 1).unwrap();
    let (b, a) = (full.column(0).as_string::<i32>(), full.column(1).as_string::<i32>());
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / n as f64;
    let truth: f64 = 13.0 / 15.0;
    // Five standard errors of the training data's share and of this one, and what shrinking takes away.
    let slack = 5.0 * (truth * (1.0 - truth) * (1.0 / 6_480.0 + 1.0 / 10_000.0)).sqrt() + 0.03;
    assert!((equal - truth).abs() < slack, "{equal}, not {truth}");
}

#[test]
fn what_is_never_present_in_such_rows_is_filled_all_the_same() {
    // A partner is named only where there is one.
    let n = 2_000;
    let married = StringArray::from_iter_values((0..n).map(|r| ["no", "yes"][r % 2]));
    let partner = StringArray::from_iter((0..n).map(|r| (r % 2 == 1).then(|| ["Ann", "Bob"][r / 2 % 2])));
    let model = fitted(&[
        ("married", ColumnKind::Category, Arc::new(married)),
        ("partner", ColumnKind::Category, Arc::new(partner)),
    ]);
    let given = RecordBatch::try_from_iter([
        ("married", Arc::new(StringArray::from(vec!["no"; 300])) as ArrayRef),
        ("partner", Arc::new(StringArray::new_null(300))),
    ])
    .unwrap();
    let full = model.complete(&given, 0).unwrap();
    let bobs = full.column(1).as_string::<i32>().iter().filter(|v| *v == Some("Bob")).count();
    assert_eq!(full.column(1).null_count(), 0);
    assert!((90..210).contains(&bobs), "{bobs}");
}

#[test]
fn values_of_few_people_never_come_out() {
    let (_, model) = &*EVERY_KIND;
    let n = 20_000;
    let gaps = RecordBatch::try_from_iter_with_nullable([
        ("city", Arc::new(StringArray::new_null(n)) as ArrayRef, true),
        ("age", Arc::new(Int64Array::new_null(n)), true),
    ])
    .unwrap();
    let full = model.complete(&gaps, 5).unwrap();
    let cities = full.column(0).as_string::<i32>();
    assert!(cities.iter().all(|c| ["Ulm", "Rome", "Oslo"].map(Some).contains(&c)));
    assert!(full.column(1).as_primitive::<Int64Type>().iter().flatten().all(|age| (18..78).contains(&age)));
}

#[test]
fn moments_are_counted_from_the_given_ones() {
    // Left within the hour after joining, over two years.
    let n = 2_000;
    let joined = |r: usize| 1_600_000_000 + (noise(r, 1) % 60_000_000) as i64;
    let left = |r: usize| joined(r) + 60 + (noise(r, 2) % 3_500) as i64;
    let of = |f: &dyn Fn(usize) -> i64| Arc::new(TimestampSecondArray::from_iter_values((0..n).map(f))) as ArrayRef;
    let (joins, leaves) = (of(&joined), of(&left));
    let model =
        fitted(&[("joined", ColumnKind::Datetime, joins.clone()), ("left", ColumnKind::Datetime, leaves.clone())]);
    let rows = RecordBatch::try_from_iter_with_nullable([("joined", joins, true), ("left", leaves, true)]).unwrap();
    for hidden in 0..2 {
        let full = model.complete(&without(&rows, |column, _| column == hidden), 1).unwrap();
        let [joined, left] = [0, 1].map(|c| full.column(c).as_primitive::<TimestampSecondType>().values().to_vec());
        let stays = joined.iter().zip(left).map(|(j, l)| l - j);
        assert!(stays.into_iter().all(|stay| (0..=3_600).contains(&stay)), "{hidden}");
    }
}

#[test]
fn any_number_of_threads_and_parts_give_the_same_rows() {
    let (all, model) = &*EVERY_KIND;
    let long = concat_batches(&all.schema(), std::iter::repeat_n(all, 9)).unwrap();
    let given = without(&long, |column, row| noise(row * 16 + column, 1).is_multiple_of(3));
    let whole = model.complete(&given, 4).unwrap();
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| model.complete(&given, 4)).unwrap() == whole, "{threads}");
    }
    for cut in [1, 2_048, 3_000] {
        let first = model.complete_from(&given.slice(0, cut), 0, 4, Filling::Draws).unwrap();
        let rest = given.slice(cut, given.num_rows() - cut);
        let rest = model.complete_from(&rest, cut as u64, 4, Filling::Draws).unwrap();
        assert!(concat_batches(&given.schema(), [&first, &rest]).unwrap() == whole, "{cut}");
    }
    assert!(model.complete(&given, 5).unwrap() != whole);
    let folder = tempfile::tempdir().unwrap();
    model.save(folder.path().join("m.twin"), false).unwrap();
    assert!(Model::load(folder.path().join("m.twin")).unwrap().complete(&given, 4).unwrap() == whole);
}

#[test]
fn other_types_are_taken_where_nothing_is_lost() {
    let (all, model) = &*EVERY_KIND;
    let rows = all.slice(0, 50);
    let as_views = StringViewArray::from_iter(rows["city"].as_string::<i32>());
    let ages = cast(&rows["age"], &DataType::Float64).unwrap();
    let nothing = arrow::array::new_null_array(&DataType::Null, 50);
    let given = RecordBatch::try_from_iter_with_nullable([
        ("city", Arc::new(as_views) as ArrayRef, true),
        ("age", ages, true),
        ("member", nothing, true),
    ])
    .unwrap();
    let full = model.complete(&given, 2).unwrap();
    for name in ["city", "age", "member"] {
        assert_eq!(full[name].data_type(), rows[name].data_type());
        assert_eq!(full[name].null_count(), 0);
    }
    let present = |row: &usize| rows["age"].is_valid(*row);
    let ages = [&full["age"], &rows["age"]].map(|a| a.as_primitive::<Int64Type>());
    assert!((0..50).filter(present).all(|row| ages[0].value(row) == ages[1].value(row)));
}

#[test]
fn empty_batches_and_no_gaps_are_no_work() {
    let (all, model) = &*EVERY_KIND;
    assert_eq!(model.complete(&all.slice(0, 0), 0).unwrap(), all.slice(0, 0));
    let none = RecordBatch::new_empty(Arc::new(Schema::empty()));
    assert_eq!(model.complete(&none, 0).unwrap(), none);
    let present: arrow::array::UInt64Array = (0..600u64).filter(|r| all["age"].is_valid(*r as usize)).collect();
    let ages = take_record_batch(&all.project(&[3]).unwrap(), &present).unwrap();
    assert_eq!(model.complete(&ages, 0).unwrap(), ages);
}

#[test]
fn points_are_conditional_means_and_the_likeliest_values() {
    // y = 10 a + noise around 0; b is a in four rows of five.
    let n = 6_000;
    let a = |r: usize| (noise(r, 1) % 3) as i64;
    let b = |r: usize| if !noise(r, 2).is_multiple_of(5) { a(r) } else { (noise(r, 3) % 3) as i64 };
    let y = |r: usize| 10.0 * a(r) as f64 + (noise(r, 4) % 1_000) as f64 / 250.0 - 2.0;
    let name = |x: i64| ["x", "y", "z"][x as usize];
    let columns: Vec<Column> = vec![
        ("y", ColumnKind::Number, Arc::new(Float64Array::from_iter_values((0..n).map(y)))),
        ("b", ColumnKind::Category, Arc::new(StringArray::from_iter_values((0..n).map(|r| name(b(r)))))),
        ("a", ColumnKind::Category, Arc::new(StringArray::from_iter_values((0..n).map(|r| name(a(r)))))),
    ];
    for preset in [Preset::Small, Preset::Base] {
        let model = fitted_by(Method::Autoregressive, preset, &columns);
        let given = RecordBatch::try_from_iter_with_nullable([
            ("y", Arc::new(Float64Array::from(vec![None, None, None, Some(20.5)])) as ArrayRef, true),
            ("b", Arc::new(StringArray::from(vec![None, Some("y"), None, None])), true),
            ("a", Arc::new(StringArray::from(vec![Some("z"), None, None, None])), true),
        ])
        .unwrap();
        let full = model.complete_from(&given, 0, 1, Filling::Points).unwrap();
        let y = full["y"].as_primitive::<Float64Type>();
        let text = |column: &str, row: usize| full[column].as_string::<i32>().value(row).to_owned();
        // Given a = z the mean is 20; given b = y it is 10, as the others lie on both sides; given nothing it is 10.
        for (row, mean) in [(0, 20.0), (1, 10.0), (2, 10.0)] {
            assert!((y.value(row) - mean).abs() < 1.2, "{preset:?} {row}: {}", y.value(row));
        }
        assert_eq!([text("b", 0), text("a", 1), text("a", 3), text("b", 3)], ["z", "y", "z", "z"], "{preset:?}");
        assert_eq!(y.value(3), 20.5);
    }
}

#[test]
fn points_are_there_for_every_kind_and_the_same_on_any_number_of_threads() {
    let (all, model) = &*EVERY_KIND;
    let given = without(all, |column, row| noise(row * 16 + column, 7).is_multiple_of(3));
    let full = model.complete_from(&given, 0, 4, Filling::Points).unwrap();
    assert_only_gaps_change(&given, &full);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert!(pool.install(|| model.complete_from(&given, 0, 4, Filling::Points)).unwrap() == full);
}

#[test]
fn what_cannot_be_completed_is_refused_with_a_reason() {
    let (all, model) = &*EVERY_KIND;
    let said = |model: &Model, rows: &RecordBatch| match model.complete(rows, 0) {
        Err(Error::Usage(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    };
    let column = |name, array: ArrayRef| RecordBatch::try_from_iter([(name, array)]).unwrap();
    let extra = said(model, &column("town", Arc::new(StringArray::from(vec!["Ulm"]))));
    assert!(
        extra.starts_with(
            "table `t`, column `town`: the model has no such column; leave it out; the columns are id, city"
        )
    );
    let lossy = said(model, &column("age", Arc::new(Float64Array::from(vec![31.5]))));
    assert_eq!(
        lossy,
        "table `t`, column `age`: values of type Float64 do not all fit the model's type Int64; cast the column to the model's type"
    );
    let text = said(model, &column("age", Arc::new(StringArray::from(vec!["old"]))));
    assert!(text.contains("column `age`: values of type Utf8 do not all fit"), "{text}");
    let twice = all.project(&[1, 1]).unwrap();
    assert!(said(model, &twice).contains("column `city`: the column is given twice"));
    for method in [Method::Independent, Method::Replicate, Method::Interpolate] {
        let other = said(&fitted_by(method, Preset::Small, &every_kind()), all);
        let name = method.name();
        assert_eq!(
            other,
            format!("a model of the method {name} completes no rows; fit the table with the method autoregressive")
        );
    }
}
