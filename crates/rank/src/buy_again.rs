//! Buy again: `score_i = Σ 2^(−age / half-life)` over the person's own events with item i.
//!
//! Learns nothing: in shops where people come back for the same things it beats every model of others' behaviour.

use crate::container::Parts;
use crate::popularity::{DAY, age, half_life_weight};
use crate::recommender::{Contribution, Recommender, Source, UserHistory};
use serde::{Deserialize, Serialize};
use twinmart_tables::TimeScale;

/// Settings of buy-again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BuyAgainSettings {
    /// An event this much older weighs half.
    pub half_life_days: f64,
    /// The same where times are only an order: the age of an event is the number of events after it.
    pub half_life_events: f64,
}

/// The buy-again recommender.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BuyAgain {
    /// Its settings.
    pub settings: BuyAgainSettings,
}

impl BuyAgain {
    /// `(item, weight)` of every event.
    fn weights<'a>(&'a self, history: &'a UserHistory<'_>) -> impl Iterator<Item = (u32, f64)> + 'a {
        let count = history.items.len();
        history.items.iter().zip(history.times).enumerate().map(move |(event, (item, time))| {
            let weight = match history.scale {
                TimeScale::Microseconds => {
                    half_life_weight(age(history.now, *time), self.settings.half_life_days * DAY)
                }
                TimeScale::Order => half_life_weight((count - 1 - event) as f64, self.settings.half_life_events),
            };
            (*item, weight)
        })
    }
}

impl Recommender for BuyAgain {
    fn score(&self, history: &UserHistory<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        for (item, weight) in self.weights(history) {
            scores[item as usize] += weight as f32;
        }
    }

    fn explain(&self, history: &UserHistory<'_>, item: u32) -> Vec<Contribution> {
        let amount: f64 = self.weights(history).filter(|(i, _)| *i == item).map(|(_, w)| w).sum();
        if amount == 0.0 { Vec::new() } else { vec![Contribution { source: Source::PastItem(item), amount }] }
    }

    fn save<'a>(&'a self, _: &mut Parts<'a>) {}
}
