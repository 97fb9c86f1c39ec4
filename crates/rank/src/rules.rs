//! Sequential rules and the first-order Markov chain: directed counts of what follows what.
//!
//! `C_ij = Σ 1/d` over all places where j follows i by d ≤ steps events (sequences of distinct items, repeats left out).
//! Rules: `M_ij = C_ij / (n_j + 1)^power`, n_j = users of item j. Markov: one step, `M_ij = C_ij / (Σ_j C_ij + 5)`.

use crate::interactions::Sequences;
use crate::item_to_item::ItemToItem;
use crate::neighbours::sparse;
use crate::recommender::Recency;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_tables::Histories;

/// Added to the row sums of the Markov chain, so that rare items do not speak too loudly.
const MARKOV_SMOOTHING: f64 = 5.0;

/// Settings of the sequential rules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RuleSettings {
    /// How far apart two items may be.
    pub steps: usize,
    /// Counts are divided by popularity to this power.
    pub popularity_power: f64,
    /// How the history is weighed.
    pub recency: Recency,
}

/// Settings of the Markov chain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MarkovSettings {
    /// How the history is weighed; `last = 1` is the chain proper.
    pub recency: Recency,
}

/// Fits sequential rules.
pub(crate) fn fit_rules(histories: &Histories, settings: &RuleSettings) -> ItemToItem {
    let sequences = Sequences::distinct(histories);
    let mut users = vec![0u32; sequences.items];
    for item in &sequences.item {
        users[*item as usize] += 1;
    }
    let discount: Vec<f64> = users.iter().map(|n| f64::from(n + 1).powf(settings.popularity_power)).collect();
    let rows = transitions(&sequences, settings.steps, |to, count, _| count / discount[to as usize]);
    ItemToItem { recency: settings.recency, weights: sparse(rows) }
}

/// Fits the first-order Markov chain.
pub(crate) fn fit_markov(histories: &Histories, settings: &MarkovSettings) -> ItemToItem {
    let sequences = Sequences::distinct(histories);
    let rows = transitions(&sequences, 1, |_, count, total| count / (total + MARKOV_SMOOTHING));
    ItemToItem { recency: settings.recency, weights: sparse(rows) }
}

/// Rows of counts, each turned into a weight by `weight(to, count, row total)`. Every source item is one task.
fn transitions(
    sequences: &Sequences,
    steps: usize,
    weight: impl Fn(u32, f64, f64) -> f64 + Sync,
) -> Vec<Vec<(u32, f32)>> {
    // Where each item occurs, and where the sequence it occurs in ends.
    let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); sequences.items];
    for user in 0..sequences.users() {
        let end = sequences.offsets[user + 1];
        for place in sequences.offsets[user]..end {
            places[sequences.item[place] as usize].push((place, end));
        }
    }
    places
        .par_iter()
        .map_init(
            || vec![0.0f64; sequences.items],
            |counts, places| {
                let mut touched = Vec::new();
                for &(place, end) in places {
                    let following = &sequences.item[place + 1..end.min(place + 1 + steps)];
                    for (distance, to) in following.iter().enumerate() {
                        let count = &mut counts[*to as usize];
                        if *count == 0.0 {
                            touched.push(*to);
                        }
                        *count += 1.0 / (distance + 1) as f64;
                    }
                }
                touched.sort_unstable();
                let total: f64 = touched.iter().map(|to| counts[*to as usize]).sum();
                let row = touched.iter().map(|to| (*to, weight(*to, counts[*to as usize], total) as f32)).collect();
                touched.iter().for_each(|to| counts[*to as usize] = 0.0);
                row
            },
        )
        .collect()
}
