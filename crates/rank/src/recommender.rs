//! The one interface of every recommender: scores for a history, and the reasons of a score.
//!
//! Models know no users: each scores any history, so people never seen in training are served the same way (fold-in).

use crate::container::Parts;
use std::collections::HashSet;
use twinmart_tables::{Histories, TimeScale};

/// What a person did so far, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct UserHistory<'a> {
    /// `[events]` item positions in the catalogue, repeats included.
    pub items: &'a [u32],
    /// `[events]` times on `scale`, non-decreasing.
    pub times: &'a [i64],
    /// `[events]` session numbers, non-decreasing.
    pub sessions: &'a [u32],
    /// The moment of the request.
    pub now: i64,
    /// What the times count.
    pub scale: TimeScale,
}

impl<'a> UserHistory<'a> {
    /// A user of `histories`; the request comes at the user's last event.
    pub fn of(histories: &'a Histories, user: usize) -> Self {
        let range = histories.range(user);
        let times = &histories.time[range.clone()];
        let now = times.last().copied().unwrap_or(0);
        let sessions = &histories.session[range.clone()];
        UserHistory { items: &histories.item[range], times, sessions, now, scale: histories.scale }
    }

    /// Distinct items, the most recent first.
    pub fn recent_first(&self) -> Vec<u32> {
        let mut seen = HashSet::with_capacity(self.items.len());
        self.items.iter().rev().copied().filter(|i| seen.insert(*i)).collect()
    }
}

/// Where a part of a score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An item in the person's history.
    PastItem(u32),
    /// What everybody does.
    Popularity,
    /// The person's history as a whole.
    History,
}

/// One summand of a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution {
    /// Where it comes from.
    pub source: Source,
    /// How much it adds.
    pub amount: f64,
}

/// A fitted recommender.
pub trait Recommender: Send + Sync + std::fmt::Debug {
    /// Overwrites `scores [items]` with the score of every item of the catalogue; higher is better.
    fn score(&self, history: &UserHistory<'_>, scores: &mut [f32]);

    /// The summands of one item's score: they add up to it (up to rounding). Summands of zero are left out.
    fn explain(&self, history: &UserHistory<'_>, item: u32) -> Vec<Contribution>;

    /// Adds the arrays that make up the model.
    fn save<'a>(&'a self, parts: &mut Parts<'a>);
}

/// How a history becomes weights of its distinct items: the r-th most recent weighs `decay^r`, at most `last` count.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Recency {
    /// How many of the most recent distinct items count; 0 for all.
    pub last: usize,
    /// The factor from one item to the one before it; 1 for equal weights.
    pub decay: f64,
}

impl Recency {
    /// All items, equal weights.
    pub const FLAT: Recency = Recency { last: 0, decay: 1.0 };

    /// Distinct items with their weights, the most recent first.
    pub fn weights(&self, history: &UserHistory<'_>) -> Vec<(u32, f32)> {
        let mut items = history.recent_first();
        if self.last > 0 {
            items.truncate(self.last);
        }
        let mut weight = 1.0f64;
        let weighted = items.into_iter().map(|item| {
            let current = weight as f32;
            weight *= self.decay;
            (item, current)
        });
        weighted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recency_counts_the_last_event_of_an_item() {
        let (times, sessions) = (&[1, 2, 3, 4], &[0, 1, 2, 3]);
        let history = UserHistory { items: &[4, 1, 4, 2], times, sessions, now: 4, scale: TimeScale::Order };
        assert_eq!(history.recent_first(), [2, 4, 1]);
        assert_eq!(Recency { last: 2, decay: 0.5 }.weights(&history), [(2, 1.0), (4, 0.5)]);
        assert_eq!(Recency::FLAT.weights(&history), [(2, 1.0), (4, 1.0), (1, 1.0)]);
    }
}
