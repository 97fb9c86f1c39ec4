//! Summaries of a stream in bounded memory, all deterministic: distinct values, most frequent values, a sample of numbers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A 64-bit hash with fixed keys (SipHash).
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Number of distinct values and of repeats, by adaptive sampling (Flajolet 1990): keeps the counts of all hashes that end
/// in `level` zero bits, and raises the level when they are too many. Exact while the level is 0; then the relative
/// standard error is about 1.2 / √(limit).
#[derive(Debug, Clone)]
pub(crate) struct Distinct {
    counts: HashMap<u64, u64>,
    limit: usize,
    level: u32,
}

impl Distinct {
    pub(crate) fn new(limit: usize) -> Distinct {
        Distinct { counts: HashMap::new(), limit, level: 0 }
    }

    pub(crate) fn add(&mut self, hash: u64) {
        if !sampled(hash, self.level) {
            return;
        }
        *self.counts.entry(hash).or_default() += 1;
        while self.counts.len() > self.limit && self.level < 63 {
            self.level += 1;
            let level = self.level;
            self.counts.retain(|h, _| sampled(*h, level));
        }
    }

    /// True while nothing had to be left out.
    pub(crate) fn is_exact(&self) -> bool {
        self.level == 0
    }

    /// Distinct values, estimated once inexact.
    pub(crate) fn count(&self) -> u64 {
        (self.counts.len() as u64) << self.level
    }

    /// Share of these values that are among the other's, by what both still sample.
    pub(crate) fn share_in(&self, other: &Distinct) -> f64 {
        let level = self.level.max(other.level);
        let own: Vec<u64> = self.counts.keys().copied().filter(|h| sampled(*h, level)).collect();
        let found = own.iter().filter(|h| other.counts.contains_key(h)).count();
        if own.is_empty() { 0.0 } else { found as f64 / own.len() as f64 }
    }

    /// Values that equal an earlier one, estimated once inexact.
    pub(crate) fn repeats(&self) -> u64 {
        self.counts.values().map(|c| c - 1).sum::<u64>() << self.level
    }
}

fn sampled(hash: u64, level: u32) -> bool {
    hash.trailing_zeros() >= level
}

/// The most frequent values (Misra and Gries 1982): counts are exact until `limit` different values were met; afterwards
/// each is too low by at most n / limit.
#[derive(Debug, Clone)]
pub(crate) struct TopValues {
    entries: HashMap<u64, Entry>,
    limit: usize,
    exact: bool,
    next: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    count: u64,
    first: u64,
    text: Box<str>,
}

/// Characters kept of a value.
const SHOWN: usize = 60;

impl TopValues {
    pub(crate) fn new(limit: usize) -> TopValues {
        TopValues { entries: HashMap::new(), limit, exact: true, next: 0 }
    }

    pub(crate) fn add(&mut self, hash: u64, text: &str) {
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.count += 1;
            return;
        }
        let first = self.next;
        self.next += 1;
        let short = text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end]);
        self.entries.insert(hash, Entry { count: 1, first, text: short.into() });
        if self.entries.len() > 2 * self.limit {
            self.shrink();
        }
    }

    /// Takes the count of the (limit + 1)-th value from all and forgets those that reach zero.
    fn shrink(&mut self) {
        let mut counts: Vec<u64> = self.entries.values().map(|e| e.count).collect();
        let at = counts.len() - 1 - self.limit;
        let (_, cut, _) = counts.select_nth_unstable(at);
        let cut = *cut;
        self.entries.retain(|_, e| e.count > cut);
        self.entries.values_mut().for_each(|e| e.count -= cut);
        self.exact = false;
    }

    /// True while every count is exact.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// The `n` most frequent values with their counts; of equals, the one met first.
    pub(crate) fn top(&self, n: usize) -> Vec<(String, u64)> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_unstable_by_key(|e| (std::cmp::Reverse(e.count), e.first));
        entries.into_iter().take(n).map(|e| (e.text.to_string(), e.count)).collect()
    }
}

/// A uniform sample of numbers: those whose position hashes to enough zero bits.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    values: Vec<(u64, f64)>,
    limit: usize,
    level: u32,
    next: u64,
}

impl Sample {
    pub(crate) fn new(limit: usize) -> Sample {
        Sample { values: Vec::new(), limit, level: 0, next: 0 }
    }

    pub(crate) fn add(&mut self, x: f64) {
        let hash = scatter(self.next);
        self.next += 1;
        if !sampled(hash, self.level) {
            return;
        }
        self.values.push((hash, x));
        while self.values.len() > self.limit && self.level < 63 {
            self.level += 1;
            let level = self.level;
            self.values.retain(|(h, _)| sampled(*h, level));
        }
    }

    /// True while every number is kept.
    pub(crate) fn is_exact(&self) -> bool {
        self.level == 0
    }

    /// The median of the sample.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.values.iter().map(|(_, x)| *x).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        Some((sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): positions to well-mixed bits.
fn scatter(position: u64) -> u64 {
    let mut z = position.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn large_streams_are_estimated_closely() {
        let (mut distinct, mut sample) = (Distinct::new(4096), Sample::new(4096));
        for i in 0..200_000_u64 {
            distinct.add(hash_of(&(i % 100_000).to_le_bytes()));
            sample.add(i as f64);
        }
        assert!(!distinct.is_exact() && !sample.is_exact());
        // Deterministic; five standard errors.
        assert!((distinct.count() as f64 / 1e5 - 1.0).abs() < 0.1, "{}", distinct.count());
        assert!((distinct.repeats() as f64 / 1e5 - 1.0).abs() < 0.1, "{}", distinct.repeats());
        assert!((sample.median().unwrap() / 1e5 - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_frequent_value_survives_many_rare_ones() {
        let mut top = TopValues::new(100);
        for i in 0..50_000_u64 {
            let text = if i % 10 == 0 { "often".to_string() } else { format!("rare {i}") };
            top.add(hash_of(text.as_bytes()), &text);
        }
        let (value, count) = top.top(1).remove(0);
        assert!(value == "often" && (4500..=5000).contains(&count), "{value} {count}");
        assert!(!top.is_exact());
    }

    proptest! {
        #[test]
        fn small_streams_are_exact(values in prop::collection::vec(0..20_u64, 1..200)) {
            let (mut distinct, mut top, mut sample) = (Distinct::new(100), TopValues::new(100), Sample::new(1000));
            for v in &values {
                let text = v.to_string();
                distinct.add(hash_of(text.as_bytes()));
                top.add(hash_of(text.as_bytes()), &text);
                sample.add(*v as f64);
            }
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let middle = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) as f64 / 2.0;
            prop_assert_eq!(sample.median(), Some(middle));
            sorted.dedup();
            prop_assert_eq!(distinct.count(), sorted.len() as u64);
            prop_assert_eq!(distinct.repeats(), (values.len() - sorted.len()) as u64);
            let (value, count) = top.top(1).remove(0);
            prop_assert_eq!(values.iter().filter(|v| v.to_string() == value).count() as u64, count);
            prop_assert!(sorted.iter().all(|s| values.iter().filter(|v| *v == s).count() as u64 <= count));
        }
    }
}
