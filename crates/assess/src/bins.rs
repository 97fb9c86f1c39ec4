//! Coarse bins for joint tables: at most twelve per column, cut by the real data.
//!
//! Ordered columns: deciles of the real values, 0..=9, missing 11. Categories: the ten most frequent real values, all
//! others 10 (a missing category is a value like any other).

use crate::frame::{Frame, Values, most_frequent};
use crate::ranks::{quantile, total_variation};
use std::collections::HashMap;

/// Bins per column.
pub(crate) const BINS: usize = 12;
const DECILES: usize = 10;
const OTHER: u8 = 10;
const MISSING: u8 = 11;

/// Two sides of the same columns in bins.
pub(crate) struct BinnedSides {
    pub(crate) real: Vec<Vec<u8>>,
    pub(crate) other: Vec<Vec<u8>>,
}

impl BinnedSides {
    /// Bins both sides by the first.
    pub(crate) fn new(real: &Frame, other: &Frame) -> BinnedSides {
        let columns = real.columns.iter().zip(&other.columns);
        let (real, other) = columns.map(|(real, other)| bin_sides(real, other)).unzip();
        BinnedSides { real, other }
    }

    /// Shares of the cells of the two-way table of columns i and j (one-way where i = j), on both sides.
    pub(crate) fn tables(&self, i: usize, j: usize) -> [Vec<f64>; 2] {
        [&self.real, &self.other].map(|side| {
            let mut cells = vec![0.0; if i == j { BINS } else { BINS * BINS }];
            for (a, b) in side[i].iter().zip(&side[j]) {
                let cell = if i == j { usize::from(*a) } else { usize::from(*a) * BINS + usize::from(*b) };
                cells[cell] += 1.0;
            }
            cells
        })
    }

    /// 1 − ½·L1 of the two-way table of columns i and j (one-way where i = j).
    pub(crate) fn similarity(&self, i: usize, j: usize) -> f64 {
        let [real, other] = self.tables(i, j);
        1.0 - total_variation(&real, &other)
    }
}

fn bin_sides(real: &Values, other: &Values) -> (Vec<u8>, Vec<u8>) {
    match (real, other) {
        (Values::Ordered(real), Values::Ordered(other)) => {
            let borders = deciles(real);
            let bin = |x: &f64| if x.is_nan() { MISSING } else { borders.partition_point(|b| b <= x) as u8 };
            (real.iter().map(bin).collect(), other.iter().map(bin).collect())
        }
        (Values::Category(real), Values::Category(other)) => {
            let top: HashMap<u32, u8> =
                most_frequent(real, usize::from(OTHER)).into_iter().enumerate().map(|(b, c)| (c, b as u8)).collect();
            let bin = |c: &u32| top.get(c).copied().unwrap_or(OTHER);
            (real.iter().map(bin).collect(), other.iter().map(bin).collect())
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// The distinct inner deciles.
fn deciles(x: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = x.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut borders: Vec<f64> = (1..DECILES).filter_map(|d| quantile(&sorted, d as f64 / DECILES as f64)).collect();
    borders.dedup();
    borders
}
