//! Popularity: the same scores for everybody.
//!
//! All time: distinct users per item. Recent: events of the last days, each weighing `2^(−age / half-life)`.

use crate::container::{Parts, Values, not_a_model};
use crate::interactions::Interactions;
use crate::recommender::{Contribution, Recommender, Source, UserHistory};
use serde::{Deserialize, Serialize};
use twinmart_tables::{Histories, Result, TimeScale};

/// Microseconds in a day.
pub(crate) const DAY: f64 = 86_400e6;
/// Where times are only an order, "the last days" are the last tenth of all events.
const ORDER_SHARE: f64 = 0.1;

/// Settings of recent popularity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecentSettings {
    /// Events older than this before the last one do not count. Where times are only an order: the last tenth of events.
    pub days: f64,
    /// An event this much older weighs half. Where times are only an order, half of the window.
    pub half_life_days: f64,
}

/// One score per item.
#[derive(Debug, Clone, PartialEq)]
pub struct Popularity {
    scores: Vec<f32>,
}

impl Popularity {
    /// Distinct users per item.
    pub fn of_all_time(histories: &Histories) -> Popularity {
        let counts = Interactions::binary(histories).column_counts();
        Popularity { scores: counts.into_iter().map(|c| c as f32).collect() }
    }

    /// Decayed number of recent events per item.
    pub fn of_recent(histories: &Histories, settings: &RecentSettings) -> Popularity {
        let end = histories.time.iter().copied().max().unwrap_or(0);
        let (window, half_life) = match histories.scale {
            TimeScale::Microseconds => (settings.days * DAY, settings.half_life_days * DAY),
            TimeScale::Order => {
                let start = histories.time.iter().copied().min().unwrap_or(0);
                let window = (ORDER_SHARE * age(end, start)).max(1.0);
                (window, window / 2.0)
            }
        };
        let mut scores = vec![0.0f64; histories.item_count()];
        for (item, time) in histories.item.iter().zip(&histories.time) {
            let age = age(end, *time);
            if age <= window {
                scores[*item as usize] += half_life_weight(age, half_life);
            }
        }
        Popularity { scores: scores.into_iter().map(|s| s as f32).collect() }
    }

    /// The scores `[items]`.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Reads what [`Recommender::save`] wrote.
    pub fn load(parts: &mut Parts<'static>, items: usize) -> Result<Popularity> {
        Popularity::of_scores(parts.f32("scores")?, items)
    }

    /// Popularity with these scores; a data error where there is not one per item.
    pub(crate) fn of_scores(scores: Vec<f32>, items: usize) -> Result<Popularity> {
        if scores.len() == items {
            Ok(Popularity { scores })
        } else {
            Err(not_a_model("popularity has the wrong length"))
        }
    }
}

/// Time from `then` to `now`, never negative.
pub(crate) fn age(now: i64, then: i64) -> f64 {
    (now as f64 - then as f64).max(0.0)
}

/// `2^(−age / half-life)`.
pub(crate) fn half_life_weight(age: f64, half_life: f64) -> f64 {
    (-age / half_life).exp2()
}

impl Recommender for Popularity {
    fn score(&self, _: &UserHistory<'_>, scores: &mut [f32]) {
        scores.copy_from_slice(&self.scores);
    }

    fn explain(&self, _: &UserHistory<'_>, item: u32) -> Vec<Contribution> {
        let amount = f64::from(self.scores[item as usize]);
        if amount == 0.0 { Vec::new() } else { vec![Contribution { source: Source::Popularity, amount }] }
    }

    fn save<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push("scores", Values::F32(self.scores.as_slice().into()));
    }
}
