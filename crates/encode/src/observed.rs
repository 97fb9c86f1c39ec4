//! What was seen of a column: every value, how often, and a few of the people who hold it. Analysed part by part and merged.
//!
//! A person is a number (`subject`); a table without people counts every row as one.

use crate::grid::{Numbers, is_ordered};
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::collections::BTreeMap;
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Error, Result};

/// People remembered for each value: one more than any threshold, so that a protected range can pass a value.
const REMEMBERED: usize = PersonThreshold::LARGEST + 1;

/// A value as it is counted. The order of variants and values is the order of the column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Whole(i64),
    /// The bits of an `f64`, turned so that their order is that of the numbers.
    Real(u64),
    Text(String),
}

/// How often a value occurs, and some of the people who hold it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) count: u64,
    /// The [`REMEMBERED`] smallest subjects, ascending: bounded, and exact under merging.
    pub(crate) subjects: Vec<u64>,
}

impl Held {
    pub(crate) fn add(&mut self, count: u64, subjects: &[u64]) {
        self.count += count;
        for subject in subjects {
            if let Err(place) = self.subjects.binary_search(subject)
                && place < REMEMBERED
            {
                self.subjects.insert(place, *subject);
                self.subjects.truncate(REMEMBERED);
            }
        }
    }
}

/// What was seen of a column, in one part of the data or several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    pub(crate) nulls: u64,
    pub(crate) values: BTreeMap<Key, Held>,
}

impl Observed {
    /// Counts the values of a column; `subjects` names the person of each row.
    pub fn analyse(column: &ArrayRef, kind: ColumnKind, subjects: &[u64]) -> Result<Observed> {
        let mut seen = Observed::default();
        if is_ordered(kind, column.data_type()) {
            match Numbers::of(column)? {
                Numbers::Whole(x) => seen.count(x.iter().map(|x| x.map(Key::Whole)), subjects),
                Numbers::Real(x) => seen.count(x.iter().map(|x| x.map(|x| Key::Real(ordered_bits(x)))), subjects),
            }
        } else {
            let text = cast(column, &DataType::Utf8)
                .map_err(|_| Error::data(format!("values of type {} have no text form", column.data_type())))?;
            seen.count(text.as_string::<i32>().iter().map(|x| x.map(|x| Key::Text(x.into()))), subjects);
        }
        Ok(seen)
    }

    fn count(&mut self, keys: impl Iterator<Item = Option<Key>>, subjects: &[u64]) {
        for (key, subject) in keys.zip(subjects) {
            match key {
                Some(key) => self.values.entry(key).or_default().add(1, &[*subject]),
                None => self.nulls += 1,
            }
        }
    }

    /// Adds what was seen elsewhere. The order of merging changes nothing.
    pub fn merge(&mut self, other: Observed) {
        self.nulls += other.nulls;
        for (key, held) in other.values {
            self.values.entry(key).or_default().add(held.count, &held.subjects);
        }
    }
}

pub(crate) fn ordered_bits(x: f64) -> u64 {
    // −0 and 0 are one value.
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

pub(crate) fn real(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}
