//! Item neighbourhoods: cosine of the items' user columns, the k nearest kept.
//!
//! `S_ij = n_ij / (n_ij + shrink) · Σ_u x_ui x_uj / (‖x_i‖ ‖x_j‖)`, n_ij = common users. `x` weighted by user:
//! none: 1; tf-idf: `ln(|I| / |S_u|)`, a user with many items says less; BM25: `idf · (K1 + 1) / (K1 · ℓ_u + 1)`,
//! `ℓ_u = 1 − B + B · |S_u| / mean`. A history's score is `Σ_j S_ji`, over the k nearest of each past item j.

use crate::interactions::Interactions;
use crate::item_to_item::{ItemToItem, Weights};
use crate::recommender::Recency;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_tables::Histories;

/// BM25's saturation.
const K1: f64 = 1.2;
/// BM25's length normalisation.
const B: f64 = 0.75;

/// How a user's entries are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserWeight {
    /// All alike: plain cosine.
    None,
    /// By the logarithm of how selective the user is.
    TfIdf,
    /// The same with saturation.
    Bm25,
}

/// Settings of the neighbourhoods.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NeighbourSettings {
    /// How a user's entries are weighed.
    pub weight: UserWeight,
    /// Neighbours kept per item; equal to the last are kept too.
    pub neighbours: usize,
    /// Pulls similarities that rest on few users towards zero.
    pub shrink: f64,
}

/// Fits neighbourhoods. Every item is one task.
pub(crate) fn fit(histories: &Histories, settings: &NeighbourSettings) -> ItemToItem {
    let binary = Interactions::binary(histories);
    let mut x = binary.clone();
    weigh_users(&mut x, settings.weight);
    let by_item = x.transpose();
    let binary_by_item = binary.transpose();
    let norms: Vec<f32> = (0..x.columns)
        .map(|i| by_item.row(i).1.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() as f32)
        .collect();
    let rows: Vec<Vec<(u32, f32)>> = (0..x.columns)
        .into_par_iter()
        .map_init(
            || (vec![0.0f32; x.columns], vec![0.0f32; x.columns]),
            |(products, common), i| {
                products.fill(0.0);
                x.gram_row(&by_item, i, products);
                if settings.shrink > 0.0 {
                    common.fill(0.0);
                    binary.gram_row(&binary_by_item, i, common);
                }
                let mut row = Vec::new();
                for (j, product) in products.iter().enumerate() {
                    if j != i && *product > 0.0 {
                        let confidence =
                            if settings.shrink > 0.0 { common[j] / (common[j] + settings.shrink as f32) } else { 1.0 };
                        row.push((j as u32, confidence * (product / norms[i] / norms[j])));
                    }
                }
                keep_nearest(&mut row, settings.neighbours);
                row
            },
        )
        .collect();
    ItemToItem { recency: Recency::FLAT, weights: sparse(rows) }
}

/// Multiplies each user's row by the user's weight.
fn weigh_users(x: &mut Interactions, weight: UserWeight) {
    let items = x.columns as f64;
    let mean_length = x.column.len() as f64 / x.rows().max(1) as f64;
    for user in 0..x.rows() {
        let range = x.offsets[user]..x.offsets[user + 1];
        let length = range.len().max(1) as f64;
        let selectivity = (items / length).ln();
        let factor = match weight {
            UserWeight::None => 1.0,
            UserWeight::TfIdf => selectivity,
            UserWeight::Bm25 => selectivity * (K1 + 1.0) / (K1 * (1.0 - B + B * length / mean_length) + 1.0),
        };
        x.value[range].iter_mut().for_each(|v| *v *= factor as f32);
    }
}

/// Keeps the `k` largest values and those equal to the k-th; columns stay in order.
fn keep_nearest(row: &mut Vec<(u32, f32)>, k: usize) {
    if row.len() > k && k > 0 {
        let mut values: Vec<f32> = row.iter().map(|(_, v)| *v).collect();
        let (_, threshold, _) = values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let threshold = *threshold;
        row.retain(|(_, v)| *v >= threshold);
    }
}

/// Compressed rows of `(column, value)` lists.
pub(crate) fn sparse(rows: Vec<Vec<(u32, f32)>>) -> Weights {
    let mut offsets = vec![0u64];
    let (mut column, mut value) = (Vec::new(), Vec::new());
    for row in rows {
        for (c, v) in row {
            column.push(c);
            value.push(v);
        }
        offsets.push(column.len() as u64);
    }
    Weights::Sparse { offsets, column, value }
}
