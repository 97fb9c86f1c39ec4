//! The distribution of one column, without the values of few people: analyse parts, merge, freeze, draw.
//!
//! Categories are a list of values with counts, ordered values a run of segments; a value held by fewer than t different people
//! ([`PersonThreshold`]) never comes out, its share goes to the values that stay. Missing values are a share of their own.
//! Where nothing may come out, every draw is missing, or, in a column that cannot be missing, the same placeholder (`text`,
//! `0`, `false`).

use crate::category::Category;
use crate::number::Number;
use crate::observed::{Key, Observed};
use arrow::array::{ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Error, Result};

/// The frozen distribution of a column: what a model stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marginal {
    /// Missing values.
    nulls: u64,
    /// Present values.
    present: u64,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    /// No value may come out.
    Nothing,
    Category(Category),
    Number(Number),
}

/// A value drawn from a marginal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drawn<'a> {
    /// Missing.
    Null,
    /// A category.
    Text(&'a str),
    /// A position on the column's grid.
    Position(f64),
}

impl Observed {
    /// What may be known of the column under `threshold`.
    pub fn freeze(&self, threshold: PersonThreshold) -> Marginal {
        let present: u64 = self.values.values().map(|h| h.count).sum();
        let shape = match self.values.first_key_value() {
            None => None,
            Some((Key::Text(_), _)) => Category::of(self, threshold).map(Shape::Category),
            Some(_) => Number::of(self, threshold).map(Shape::Number),
        };
        Marginal { nulls: self.nulls, present, shape: shape.unwrap_or(Shape::Nothing) }
    }
}

impl Marginal {
    /// The distribution of a column in one step.
    pub fn of(column: &ArrayRef, kind: ColumnKind, subjects: &[u64], threshold: PersonThreshold) -> Result<Marginal> {
        Ok(Observed::analyse(column, kind, subjects)?.freeze(threshold))
    }

    /// True where no value may come out.
    pub fn is_empty(&self) -> bool {
        matches!(self.shape, Shape::Nothing)
    }

    /// Draws a value.
    pub fn draw(&self, stream: &mut impl RngCore) -> Drawn<'_> {
        if self.nulls > 0 && stream.random_range(0..self.nulls + self.present) < self.nulls {
            return Drawn::Null;
        }
        match &self.shape {
            Shape::Nothing => Drawn::Null,
            Shape::Category(category) => Drawn::Text(&category.values()[category.draw(stream)]),
            Shape::Number(number) => Drawn::Position(number.draw(0..number.segments(), stream)),
        }
    }

    /// A drawn whole number, counted from zero (a session's size, say); 0 where nothing may come out.
    pub fn draw_whole(&self, stream: &mut impl RngCore) -> i64 {
        match (self.draw(stream), &self.shape) {
            (Drawn::Position(p), Shape::Number(number)) => number.grid().whole_at(p),
            _ => 0,
        }
    }

    /// Drawn values as a column of a type.
    pub fn column(&self, drawn: &[Drawn], data_type: &DataType, nullable: bool) -> Result<ArrayRef> {
        if self.is_empty() && !nullable {
            return placeholder(drawn.len(), data_type);
        }
        if let Shape::Number(number) = &self.shape {
            let positions: Vec<f64> =
                drawn.iter().map(|d| if let Drawn::Position(p) = d { *p } else { f64::NAN }).collect();
            return number.grid().column(&positions, data_type);
        }
        let text: StringArray = drawn.iter().map(|d| if let Drawn::Text(t) = d { Some(*t) } else { None }).collect();
        let text: ArrayRef = Arc::new(text);
        Ok(cast(&text, data_type)?)
    }

    /// Checks what a file says before anything is drawn from it: a data error where no fit could have written it.
    pub fn check(&self) -> Result<()> {
        let limit = u64::MAX / 4;
        let whole = match &self.shape {
            Shape::Nothing => true,
            Shape::Category(category) => category.is_sound(),
            Shape::Number(number) => number.is_sound(),
        };
        if whole && self.nulls < limit && self.present < limit {
            Ok(())
        } else {
            Err(Error::data("a stored distribution contradicts itself").into())
        }
    }
}

/// An index drawn in proportion to the counts behind running totals, which must not be empty.
pub fn draw_index(cumulative: &[u64], stream: &mut impl RngCore) -> usize {
    let total = cumulative.last().copied().unwrap_or(1);
    let at = stream.random_range(0..total);
    cumulative.partition_point(|c| *c <= at)
}

/// What stands in a column that cannot be missing and of which nothing may come out.
pub(crate) fn placeholder(rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    let text = match data_type {
        DataType::Boolean => "false",
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => "1970-01-01",
        t if t.is_numeric() => "0",
        _ => "text",
    };
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)));
    Ok(cast(&column, data_type)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{ordered_bits, real};
    use arrow::array::{Array, AsArray, BooleanArray, Float64Array, Int32Array, TimestampSecondArray};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;
    use twinmart_tables::{Draws, Stream};

    fn five() -> PersonThreshold {
        PersonThreshold::draw(0)
    }

    fn one_each(rows: usize) -> Vec<u64> {
        (0..rows as u64).collect()
    }

    fn draw_column(marginal: &Marginal, rows: usize, data_type: &DataType, nullable: bool) -> ArrayRef {
        let mut stream = Draws::new(1).stream("test");
        let drawn: Vec<Drawn> = (0..rows).map(|_| marginal.draw(&mut stream)).collect();
        marginal.column(&drawn, data_type, nullable).unwrap()
    }

    #[test]
    fn shares_of_categories_and_nulls_are_those_of_the_column() {
        let values: Vec<Option<&str>> = (0..1000).map(|i| [Some("a"), Some("a"), Some("b"), None][i % 4]).collect();
        let column: ArrayRef = Arc::new(StringArray::from(values));
        let marginal = Marginal::of(&column, ColumnKind::Category, &one_each(1000), five()).unwrap();
        let drawn = draw_column(&marginal, 20_000, &DataType::Utf8, true);
        let text = drawn.as_string::<i32>();
        let share = |v: Option<&str>| text.iter().filter(|t| *t == v).count() as f64 / 20_000.0;
        // Five standard deviations of a share of one half on 20,000 draws: .018.
        assert!((share(Some("a")) - 0.5).abs() < 0.018 && (share(Some("b")) - 0.25).abs() < 0.018);
        assert!((share(None) - 0.25).abs() < 0.018);
    }

    #[test]
    fn the_mean_and_the_atoms_of_numbers_stay() {
        // Half the values are 10, the others spread over 0.00 … 99.99.
        let values: Vec<f64> =
            (0..4000).map(|i| if i % 2 == 0 { 10.0 } else { (i * 7919 % 10_000) as f64 / 100.0 }).collect();
        let mean = values.iter().sum::<f64>() / 4000.0;
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        let marginal = Marginal::of(&column, ColumnKind::Number, &one_each(4000), five()).unwrap();
        let drawn = draw_column(&marginal, 20_000, &DataType::Float64, false);
        let drawn = drawn.as_primitive::<arrow::datatypes::Float64Type>();
        let tens = drawn.values().iter().filter(|x| **x == 10.0).count() as f64 / 20_000.0;
        assert!((tens - 0.5).abs() < 0.02, "{tens}");
        assert!((drawn.values().iter().sum::<f64>() / 20_000.0 - mean).abs() < 1.0);
        assert!(drawn.values().iter().all(|x| (x * 100.0 - (x * 100.0).round()).abs() < 1e-9), "two decimals");
    }

    #[test]
    fn what_few_people_hold_is_replaced_by_a_placeholder() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
        let marginal = Marginal::of(&column, ColumnKind::Category, &one_each(2), five()).unwrap();
        assert_eq!(draw_column(&marginal, 3, &DataType::Utf8, true).null_count(), 3);
        assert_eq!(draw_column(&marginal, 2, &DataType::Utf8, false).as_string::<i32>().value(0), "text");
        for (data_type, kind) in [(DataType::Int32, ColumnKind::Integer), (DataType::Boolean, ColumnKind::Boolean)] {
            let one = placeholder(1, &data_type).unwrap();
            let marginal = Marginal::of(&one, kind, &[0], five()).unwrap();
            assert_eq!(draw_column(&marginal, 4, &data_type, false).null_count(), 0);
        }
        // One person with a thousand rows is still one person.
        let often: ArrayRef = Arc::new(StringArray::from(vec!["x"; 1000]));
        assert!(Marginal::of(&often, ColumnKind::Text, &vec![7; 1000], five()).unwrap().is_empty());
    }

    #[test]
    fn types_are_kept() {
        let booleans: ArrayRef = Arc::new((0..40).map(|i| Some(i % 3 == 0)).collect::<BooleanArray>());
        let moments: ArrayRef =
            Arc::new(TimestampSecondArray::from_iter_values((0..40).map(|i| 1_600_000_000 + 60 * i)));
        for (column, kind) in [(booleans, ColumnKind::Boolean), (moments, ColumnKind::Datetime)] {
            let marginal = Marginal::of(&column, kind, &one_each(40), five()).unwrap();
            let drawn = draw_column(&marginal, 100, column.data_type(), false);
            assert_eq!((drawn.data_type(), drawn.null_count()), (column.data_type(), 0));
        }
        let empty: ArrayRef = Arc::new(Int32Array::from(vec![None, None]));
        let marginal = Marginal::of(&empty, ColumnKind::Integer, &one_each(2), five()).unwrap();
        assert_eq!(draw_column(&marginal, 5, &DataType::Int32, true).null_count(), 5);
    }

    #[test]
    fn contradictions_are_refused() {
        let bad = r#"{"nulls":0,"present":1,"shape":{"category":{"values":["a"],"cumulative":[],"others":0}}}"#;
        assert!(serde_json::from_str::<Marginal>(bad).unwrap().check().is_err());
        let bad =
            r#"{"nulls":0,"present":1,"shape":{"number":{"grid":"real","low":[2.0],"high":[1.0],"cumulative":[3]}}}"#;
        assert!(serde_json::from_str::<Marginal>(bad).unwrap().check().is_err());
    }

    proptest! {
        #[test]
        fn rare_values_never_come_out(rows in prop::collection::vec((0u8..12, 0u64..30), 0..300), random: u64) {
            let threshold = PersonThreshold::draw(random);
            let column: ArrayRef =
                Arc::new(StringArray::from_iter_values(rows.iter().map(|(v, _)| format!("v{v}"))));
            let subjects: Vec<u64> = rows.iter().map(|r| r.1).collect();
            let marginal = Marginal::of(&column, ColumnKind::Category, &subjects, threshold).unwrap();
            let mut stream = Stream::seed_from_u64(random);
            for _ in 0..200 {
                if let Drawn::Text(text) = marginal.draw(&mut stream) {
                    let people: BTreeSet<u64> =
                        rows.iter().filter(|(v, _)| format!("v{v}") == text).map(|r| r.1).collect();
                    prop_assert!(people.len() >= threshold.people());
                }
            }
        }

        #[test]
        fn numbers_stay_in_the_protected_range(mut values in prop::collection::vec(-1000i64..1000, 0..200), random: u64) {
            let threshold = PersonThreshold::draw(random);
            let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(values.clone()));
            let marginal = Marginal::of(&column, ColumnKind::Integer, &one_each(values.len()), threshold).unwrap();
            marginal.check().unwrap();
            values.sort_unstable();
            let t = threshold.people();
            if values.len() <= t {
                prop_assert!(marginal.is_empty());
            } else if !marginal.is_empty() {
                let mut stream = Stream::seed_from_u64(random);
                for _ in 0..100 {
                    let x = marginal.draw_whole(&mut stream);
                    prop_assert!(x >= values[t] && x <= values[values.len() - 1 - t], "{x}");
                }
            }
        }

        #[test]
        fn parts_merge_to_the_whole(rows in prop::collection::vec((-5i64..5, 0u64..40), 0..200), cut in 0usize..200) {
            let seen = |part: &[(i64, u64)]| {
                let column: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(part.iter().map(|r| r.0)));
                let subjects: Vec<u64> = part.iter().map(|r| r.1).collect();
                Observed::analyse(&column, ColumnKind::Integer, &subjects).unwrap()
            };
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let mut merged = seen(right);
            merged.merge(seen(left));
            prop_assert_eq!(merged, seen(&rows));
        }

        #[test]
        fn a_marginal_survives_its_file(values in prop::collection::vec(-1e6f64..1e6, 20..100)) {
            let column: ArrayRef = Arc::new(Float64Array::from(values.clone()));
            let marginal = Marginal::of(&column, ColumnKind::Number, &one_each(values.len()), five()).unwrap();
            let back: Marginal = serde_json::from_str(&serde_json::to_string(&marginal).unwrap()).unwrap();
            prop_assert_eq!(back, marginal);
        }

        #[test]
        fn bits_order_as_numbers(a: f64, b: f64) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(ordered_bits(a).cmp(&ordered_bits(b)), a.partial_cmp(&b).unwrap());
            prop_assert_eq!(real(ordered_bits(a)), a);
        }
    }
}
