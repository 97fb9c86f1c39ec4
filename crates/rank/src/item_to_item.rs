//! Linear models from item to item: `score_i = Σ_j w_j M_ji` over the history's items j with weights w.
//!
//! EASE, neighbourhoods and rules differ in how they fit `M` and weigh the history; scoring, explanation and storage are these.

use crate::container::{Parts, Values, not_a_model};
use crate::recommender::{Contribution, Recency, Recommender, Source, UserHistory};
use twinmart_tables::Result;

/// `M`, dense over the items that have interactions, or sparse.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// Rows and columns of the items in `kept`.
    Dense {
        /// `[kept]` catalogue positions, ascending.
        kept: Vec<u32>,
        /// `[kept, kept]`, row by row.
        weights: Vec<f32>,
    },
    /// Compressed rows over the whole catalogue.
    Sparse {
        /// `[items + 1]`.
        offsets: Vec<u64>,
        /// `[entries]`, ascending in a row.
        column: Vec<u32>,
        /// `[entries]`.
        value: Vec<f32>,
    },
}

/// A linear item-to-item model.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemToItem {
    /// How a history is weighed.
    pub recency: Recency,
    /// What the items say about each other.
    pub weights: Weights,
}

impl ItemToItem {
    /// `M_ji`.
    fn weight(&self, from: u32, to: u32) -> f32 {
        match &self.weights {
            Weights::Dense { kept, weights } => match (kept.binary_search(&from), kept.binary_search(&to)) {
                (Ok(row), Ok(column)) => weights[row * kept.len() + column],
                _ => 0.0,
            },
            Weights::Sparse { offsets, column, value } => {
                let range = sparse_row(offsets, from);
                column[range.clone()].binary_search(&to).map_or(0.0, |place| value[range.start + place])
            }
        }
    }

    /// Reads what [`Recommender::save`] wrote; refuses arrays that do not fit together.
    pub fn load(recency: Recency, parts: &mut Parts<'static>, items: usize) -> Result<ItemToItem> {
        let ascends =
            |row: &[u32]| row.windows(2).all(|w| w[0] < w[1]) && row.last().is_none_or(|i| (*i as usize) < items);
        let weights = if parts.contains("kept") {
            let (kept, weights) = (parts.u32("kept")?, parts.f32("weights")?);
            if !ascends(&kept) || Some(weights.len()) != kept.len().checked_mul(kept.len()) {
                return Err(not_a_model("a dense weight matrix has the wrong shape"));
            }
            Weights::Dense { kept, weights }
        } else {
            let (offsets, column, value) = (parts.u64("offsets")?, parts.u32("column")?, parts.f32("value")?);
            let whole = offsets.len() == items + 1
                && offsets.first() == Some(&0)
                && offsets.last() == Some(&(column.len() as u64))
                && column.len() == value.len()
                && offsets.windows(2).all(|w| w[0] <= w[1]);
            if !whole || !(0..items as u32).all(|i| ascends(&column[sparse_row(&offsets, i)])) {
                return Err(not_a_model("a sparse weight matrix has the wrong shape"));
            }
            Weights::Sparse { offsets, column, value }
        };
        Ok(ItemToItem { recency, weights })
    }
}

fn sparse_row(offsets: &[u64], row: u32) -> std::ops::Range<usize> {
    offsets[row as usize] as usize..offsets[row as usize + 1] as usize
}

impl Recommender for ItemToItem {
    fn score(&self, history: &UserHistory<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        let query = self.recency.weights(history);
        match &self.weights {
            // Bound by reading one row of M per item of the history.
            Weights::Dense { kept, weights } => {
                let mut sums = vec![0.0; kept.len()];
                for (item, weight) in query {
                    let Ok(row) = kept.binary_search(&item) else { continue };
                    for (sum, w) in sums.iter_mut().zip(&weights[row * kept.len()..][..kept.len()]) {
                        *sum += weight * w;
                    }
                }
                for (item, sum) in kept.iter().zip(sums) {
                    scores[*item as usize] = sum;
                }
            }
            Weights::Sparse { offsets, column, value } => {
                for (item, weight) in query {
                    let range = sparse_row(offsets, item);
                    for (to, w) in column[range.clone()].iter().zip(&value[range]) {
                        scores[*to as usize] += weight * w;
                    }
                }
            }
        }
    }

    fn explain(&self, history: &UserHistory<'_>, item: u32) -> Vec<Contribution> {
        let summands = self.recency.weights(history).into_iter().map(|(past, weight)| Contribution {
            source: Source::PastItem(past),
            amount: f64::from(weight) * f64::from(self.weight(past, item)),
        });
        summands.filter(|c| c.amount != 0.0).collect()
    }

    fn save<'a>(&'a self, parts: &mut Parts<'a>) {
        match &self.weights {
            Weights::Dense { kept, weights } => {
                parts.push("kept", Values::U32(kept.into()));
                parts.push("weights", Values::F32(weights.into()));
            }
            Weights::Sparse { offsets, column, value } => {
                parts.push("offsets", Values::U64(offsets.into()));
                parts.push("column", Values::U32(column.into()));
                parts.push("value", Values::F32(value.into()));
            }
        }
    }
}
