//! The values of an unordered column that enough people share, with their counts.

use crate::observed::{Key, Observed};
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use twinmart_privacy::PersonThreshold;

/// Values in the order of their frequency, ties by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Category {
    values: Vec<String>,
    /// Running totals of the counts.
    cumulative: Vec<u64>,
    /// How often other values occur: they are drawn as if they were the listed ones.
    others: u64,
}

impl Category {
    /// The values that at least t people share; `None` where there are none.
    pub(crate) fn of(seen: &Observed, threshold: PersonThreshold) -> Option<Category> {
        let mut kept: Vec<(&str, u64)> = Vec::new();
        let mut others = 0;
        for (key, held) in &seen.values {
            match key {
                Key::Text(text) if threshold.allows(held.subjects.len()) => kept.push((text, held.count)),
                _ => others += held.count,
            }
        }
        kept.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let mut total = 0;
        let cumulative = kept.iter().map(|(_, count)| {
            total += count;
            total
        });
        let cumulative: Vec<u64> = cumulative.collect();
        let values = kept.into_iter().map(|(value, _)| value.to_owned()).collect();
        (!cumulative.is_empty()).then_some(Category { values, cumulative, others })
    }

    /// The values, frequent ones first; at least one.
    pub(crate) fn values(&self) -> &[String] {
        &self.values
    }

    /// Occurrences of a value.
    pub(crate) fn count(&self, value: usize) -> u64 {
        self.cumulative[value] - if value == 0 { 0 } else { self.cumulative[value - 1] }
    }

    /// Occurrences of values that are not listed.
    pub(crate) fn others(&self) -> u64 {
        self.others
    }

    /// A value drawn in proportion to the counts.
    pub(crate) fn draw(&self, stream: &mut impl RngCore) -> usize {
        let at = stream.random_range(0..self.cumulative[self.cumulative.len() - 1]);
        self.cumulative.partition_point(|c| *c <= at)
    }

    /// The number of each value.
    pub(crate) fn numbers(&self) -> HashMap<&str, u32> {
        self.values.iter().enumerate().map(|(n, v)| (v.as_str(), n as u32)).collect()
    }

    /// True where this is something that [`Category::of`] can make.
    pub(crate) fn is_sound(&self) -> bool {
        !self.values.is_empty()
            && self.values.len() == self.cumulative.len()
            && self.cumulative[0] > 0
            && self.cumulative.is_sorted_by(|a, b| a < b)
            && self.cumulative[self.values.len() - 1] < u64::MAX / 4
            && self.others < u64::MAX / 4
    }
}
