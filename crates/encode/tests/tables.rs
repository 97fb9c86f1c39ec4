//! Whole tables there and back: decoding what was encoded gives the same table, up to the protection of rare values.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampSecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;
use rand::SeedableRng;
use std::collections::HashMap;
use std::sync::Arc;
use twinmart_encode::Resolution;
use twinmart_encode::table::{ColumnInput, ColumnType, TableEncoding};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Stream};

struct RoundTrip {
    encoding: TableEncoding,
    decoded: Vec<ArrayRef>,
}

fn there_and_back(columns: &[(ArrayRef, ColumnKind)], threshold: PersonThreshold, seed: u64) -> RoundTrip {
    let input = |(values, kind)| ColumnInput { name: "x", values, kind: Some(kind), threshold };
    let inputs: Vec<ColumnInput> = columns.iter().map(|(values, kind)| input((values, *kind))).collect();
    let rows = columns[0].0.len();
    let subjects: Vec<u64> = (0..rows as u64).collect();
    let encoding = TableEncoding::of(&inputs, &subjects, Resolution::default()).unwrap();
    encoding.check(columns.len()).unwrap();
    let stored = serde_json::to_string(&encoding).unwrap();
    assert_eq!(serde_json::from_str::<TableEncoding>(&stored).unwrap(), encoding);
    let codes = encoding.encode(&columns.iter().map(|(values, _)| values).collect::<Vec<_>>()).unwrap();
    for (sub_column, values) in codes.sub_columns.iter().zip(&codes.values) {
        assert!(values.iter().all(|c| (*c as usize) < sub_column.cardinality()));
    }
    let types: Vec<ColumnType> =
        columns.iter().map(|(values, _)| ColumnType { data_type: values.data_type(), nullable: true }).collect();
    let mut streams: Vec<Stream> = (0..rows as u64).map(|row| Stream::seed_from_u64(seed ^ row)).collect();
    let decoded = encoding.decode(&codes.values, &types, &mut streams).unwrap();
    RoundTrip { encoding, decoded: decoded.into_iter().map(Option::unwrap).collect() }
}

fn same_nulls(real: &ArrayRef, decoded: &ArrayRef) -> bool {
    real.data_type() == decoded.data_type() && (0..real.len()).all(|row| real.is_null(row) == decoded.is_null(row))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shared_categories_come_back_and_rare_ones_never(
        values in prop::collection::vec(prop::option::weighted(0.9, 0u32..200), 40..600), random: u64,
    ) {
        // Squares make small numbers frequent and large ones rare.
        let values: Vec<Option<u32>> = values.into_iter().map(|v| v.map(|v| v * v / 800)).collect();
        let column: ArrayRef = Arc::new(StringArray::from_iter(values.iter().map(|v| v.map(|v| format!("v{v}")))));
        let threshold = PersonThreshold::draw(random);
        let mut counts: HashMap<Option<u32>, usize> = HashMap::new();
        values.iter().for_each(|v| *counts.entry(*v).or_default() += 1);
        let trip = there_and_back(&[(column.clone(), ColumnKind::Category)], threshold, random);
        if trip.encoding.is_silent(0) {
            prop_assert_eq!(trip.decoded[0].null_count(), values.len());
            return Ok(());
        }
        prop_assert!(same_nulls(&column, &trip.decoded[0]));
        for (real, decoded) in values.iter().zip(trip.decoded[0].as_string::<i32>()) {
            let Some(decoded) = decoded else { continue };
            let number = decoded[1..].parse::<u32>().ok();
            prop_assert!(threshold.allows(counts[&number]));
            if threshold.allows(counts[real]) {
                prop_assert_eq!(*real, number);
            }
        }
    }

    #[test]
    fn numbers_stay_in_their_neighbourhood(
        values in prop::collection::vec(prop::option::weighted(0.9, -1e4f64..1e4), 300..1200), random: u64,
    ) {
        // Cents, and every third value a zero.
        let values: Vec<Option<f64>> = values.into_iter().enumerate()
            .map(|(i, v)| v.map(|v| if i % 3 == 0 { 0.0 } else { (v * 100.0).round() / 100.0 })).collect();
        let column: ArrayRef = Arc::new(Float64Array::from(values.clone()));
        let threshold = PersonThreshold::draw(random);
        let trip = there_and_back(&[(column.clone(), ColumnKind::Number)], threshold, random);
        prop_assert!(same_nulls(&column, &trip.decoded[0]));
        let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        // Shares of the values below and up to x.
        let ranks = |x: f64| {
            let share = |n: usize| n as f64 / sorted.len() as f64;
            (share(sorted.partition_point(|y| *y < x)), share(sorted.partition_point(|y| *y <= x)))
        };
        let apart = |a: f64, b: f64| {
            let ((low_a, high_a), (low_b, high_b)) = (ranks(a), ranks(b));
            (low_a - high_b).max(low_b - high_a).max(0.0)
        };
        // A cell holds a twelfth of a small table, or half as much again, and the ends are drawn in by a few values.
        for (real, decoded) in values.iter().zip(trip.decoded[0].as_primitive::<Float64Type>()) {
            let (Some(real), Some(decoded)) = (real, decoded) else { continue };
            prop_assert!(apart(*real, decoded) < 0.17, "{real} became {decoded}");
            prop_assert!(*real != 0.0 || decoded == 0.0, "a spike stays: {}", decoded);
            prop_assert!((decoded * 100.0 - (decoded * 100.0).round()).abs() < 1e-6, "cents: {}", decoded);
            prop_assert!(decoded > sorted[threshold.people() - 1] && decoded < sorted[sorted.len() - threshold.people()]);
        }
    }

    #[test]
    fn integers_and_booleans_that_many_share_come_back(values in prop::collection::vec(0i64..6, 300..900), random: u64) {
        let integers: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let booleans: ArrayRef = Arc::new(values.iter().map(|v| Some(v % 2 == 0)).collect::<BooleanArray>());
        let columns = [(integers, ColumnKind::Integer), (booleans, ColumnKind::Boolean)];
        let trip = there_and_back(&columns, PersonThreshold::draw(random), random);
        prop_assert_eq!(&trip.decoded[1], &columns[1].0);
        // The six values are as many cells.
        prop_assert_eq!(trip.decoded[0].as_primitive::<Int64Type>().values(), values.as_slice());
    }

    #[test]
    fn days_keep_their_weekday_and_moments_their_minute(
        days in prop::collection::vec(prop::option::weighted(0.95, 0i32..2000), 600..900), random: u64,
    ) {
        // Nothing happens at weekends, and all of it at noon or a minute later.
        let weekday = |day: i32| (day + 3).rem_euclid(7);
        let workday = |day: i32| if weekday(day) > 4 { day - 2 } else { day };
        let days: Vec<Option<i32>> = days.into_iter().map(|d| d.map(workday)).collect();
        let dates: ArrayRef = Arc::new(Date32Array::from(days.clone()));
        let noon = |(i, d): (usize, &Option<i32>)| d.map(|d| i64::from(d) * 86_400 + 43_200 + 60 * (i as i64 % 2));
        let moments: ArrayRef = Arc::new(days.iter().enumerate().map(noon).collect::<TimestampSecondArray>());
        let threshold = PersonThreshold::draw(random);
        let trip = there_and_back(&[(dates.clone(), ColumnKind::Date)], threshold, random);
        prop_assert!(same_nulls(&dates, &trip.decoded[0]));
        let decoded = arrow::compute::cast(&trip.decoded[0], &arrow::datatypes::DataType::Int32).unwrap();
        for (real, decoded) in days.iter().zip(decoded.as_primitive::<arrow::datatypes::Int32Type>()) {
            prop_assert_eq!(real.map(weekday), decoded.map(weekday));
            prop_assert!(real.zip(decoded).is_none_or(|(r, d)| (r - d).abs() < 400));
        }
        let trip = there_and_back(&[(moments.clone(), ColumnKind::Datetime)], threshold, random);
        prop_assert!(same_nulls(&moments, &trip.decoded[0]));
        let seconds = |x: &ArrayRef| -> Vec<Option<i64>> {
            let whole = arrow::compute::cast(x, &arrow::datatypes::DataType::Int64).unwrap();
            whole.as_primitive::<Int64Type>().iter().map(|s| s.map(|s| s.rem_euclid(86_400))).collect()
        };
        prop_assert_eq!(seconds(&moments), seconds(&trip.decoded[0]));
    }

    #[test]
    fn the_time_between_two_moments_is_kept(days in prop::collection::vec((0i64..1500, 1i64..5), 400..700), random: u64) {
        let ordered: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values(days.iter().map(|d| d.0 * 86_400)));
        let sent = days.iter().enumerate().map(|(i, d)| (i % 10 != 0).then_some((d.0 + d.1) * 86_400));
        let sent: ArrayRef = Arc::new(sent.collect::<TimestampSecondArray>());
        let columns = [(ordered, ColumnKind::Datetime), (sent, ColumnKind::Datetime)];
        let trip = there_and_back(&columns, PersonThreshold::draw(random), random);
        prop_assert!(same_nulls(&columns[1].0, &trip.decoded[1]));
        let whole = |x: &ArrayRef| arrow::compute::cast(x, &arrow::datatypes::DataType::Int64).unwrap();
        let (ordered, sent) = (whole(&trip.decoded[0]), whole(&trip.decoded[1]));
        let pairs = ordered.as_primitive::<Int64Type>().iter().zip(sent.as_primitive::<Int64Type>().iter());
        for ((ordered, sent), (_, gap)) in pairs.zip(&days) {
            if let (Some(ordered), Some(sent)) = (ordered, sent) {
                prop_assert_eq!(sent - ordered, gap * 86_400);
            }
        }
    }
}

/// A table with every form of a column; the third is left out.
fn mixed(rows: &[(u32, Option<i64>)]) -> Vec<(ArrayRef, Option<ColumnKind>)> {
    let category = rows.iter().map(|(n, _)| (n % 11 != 0).then(|| format!("v{}", n * n / 900)));
    let number = rows.iter().map(|(n, x)| x.map(|x| if n % 3 == 0 { 0.0 } else { x as f64 / 100.0 }));
    let moment = rows.iter().map(|(n, x)| x.map(|x| x * 4_000 + i64::from(*n)));
    let later = rows.iter().map(|(n, x)| x.filter(|_| n % 7 != 0).map(|x| x * 4_000 + 86_400 * i64::from(n % 5)));
    let boolean = rows.iter().map(|(n, _)| (n % 13 != 0).then_some(n % 2 == 0));
    let written = rows.iter().enumerate().map(|(row, (n, _))| (n % 17 != 0).then(|| format!("word {row}")));
    let listed =
        rows.iter().enumerate().map(|(row, (n, _))| if n % 2 == 0 { "common".into() } else { format!("w {row}") });
    vec![
        (Arc::new(category.collect::<StringArray>()), Some(ColumnKind::Category)),
        (Arc::new(number.collect::<Float64Array>()), Some(ColumnKind::Number)),
        (Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)), None),
        (Arc::new(moment.collect::<TimestampSecondArray>()), Some(ColumnKind::Datetime)),
        (Arc::new(later.collect::<TimestampSecondArray>()), Some(ColumnKind::Datetime)),
        (Arc::new(boolean.collect::<BooleanArray>()), Some(ColumnKind::Boolean)),
        (Arc::new(written.collect::<StringArray>()), Some(ColumnKind::Text)),
        (Arc::new(StringArray::from_iter_values(listed.collect::<Vec<String>>())), Some(ColumnKind::Text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn leaves_are_codes_in_another_form(
        rows in prop::collection::vec((0u32..200, prop::option::weighted(0.9, -20_000i64..20_000)), 300..1500), random: u64,
    ) {
        let columns = mixed(&rows);
        let threshold = PersonThreshold::draw(random);
        let inputs: Vec<ColumnInput> =
            columns.iter().map(|(values, kind)| ColumnInput { name: "x", values, kind: *kind, threshold }).collect();
        let subjects: Vec<u64> = (0..rows.len() as u64).collect();
        let encoding = TableEncoding::of(&inputs, &subjects, Resolution::default()).unwrap();
        encoding.check(columns.len()).unwrap();
        let codes = encoding.encode(&columns.iter().map(|(values, _)| values).collect::<Vec<_>>()).unwrap();
        let (parts, leaves) = (encoding.leaves(), encoding.leaves_of(&codes.values));
        prop_assert_eq!(encoding.codes_of(&leaves), codes.values);
        prop_assert_eq!(parts.len(), leaves.len());
        prop_assert!(parts.iter().flat_map(|p| p.sub_columns.clone()).eq(0..codes.sub_columns.len()));
        for (part, leaves) in parts.iter().zip(&leaves) {
            let of_part = &codes.sub_columns[part.sub_columns.clone()];
            prop_assert!(of_part.iter().all(|s| s.column == part.column && s.ordered == part.ordered));
            prop_assert_eq!(of_part.last().map(|s| s.nodes()), Some(part.weights.len()));
            prop_assert_eq!(part.positions.len(), part.weights.len());
            let column = &columns[part.column].0;
            prop_assert_eq!(part.missing, column.null_count() > 0);
            let absent = (0..rows.len()).map(|row| column.is_null(row));
            prop_assert!(absent.zip(leaves).all(|(absent, leaf)| (part.missing && *leaf == 0) == absent));
            // The fifth column is counted from the fourth, and is missing where that is.
            prop_assert_eq!(part.weights.iter().sum::<u64>(), rows.len() as u64);
            let mut counted = vec![0u64; part.weights.len()];
            leaves.iter().for_each(|leaf| counted[*leaf as usize] += 1);
            let first = usize::from(part.missing);
            prop_assert_eq!(&counted[..first], &part.weights[..first]);
            prop_assert!(part.positions[..first].iter().all(|p| p.is_nan()));
            if part.ordered {
                prop_assert!(part.positions[first..].is_sorted_by(|a, b| a < b));
            } else {
                prop_assert_eq!(counted, part.weights.clone());
                prop_assert!(part.positions.iter().all(|p| p.is_nan()));
            }
        }
    }
}

#[test]
fn positions_are_means_of_cells() {
    let values = (0..400).map(|row| [Some(10i64), Some(20), Some(50), None][row % 4]);
    let column: ArrayRef = Arc::new(values.collect::<Int64Array>());
    let threshold = PersonThreshold::draw(0);
    let input = ColumnInput { name: "x", values: &column, kind: Some(ColumnKind::Integer), threshold };
    let subjects: Vec<u64> = (0..400).collect();
    let encoding = TableEncoding::of(&[input], &subjects, Resolution::default()).unwrap();
    let [part] = &encoding.leaves()[..] else { panic!("one part") };
    assert_eq!(part.weights, [100; 4]);
    // The grid begins at the least value.
    assert_eq!(part.positions[1..], [0.0, 10.0, 40.0]);
    assert_eq!((part.ordered, part.missing, part.apart, part.sub_columns.clone()), (true, true, 0, 0..1));
}

#[test]
fn planted_extremes_never_come_out() {
    let mut values: Vec<i64> = (0..2_000).map(|i| i * 7919 % 1000).collect();
    values.extend([1_000_000_007, 1_000_000_009, -999_999_937]);
    let column: ArrayRef = Arc::new(Int64Array::from(values));
    for random in 0..3 {
        let columns = [(column.clone(), ColumnKind::Integer)];
        let trip = there_and_back(&columns, PersonThreshold::draw(random), random);
        assert!(trip.decoded[0].as_primitive::<Int64Type>().iter().flatten().all(|x| (0..1000).contains(&x)));
        assert!(!serde_json::to_string(&trip.encoding).unwrap().contains("10000000"));
    }
}
