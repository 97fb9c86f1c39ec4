//! The k nearest rows of every row, by the distance of SMOTE-NC (Chawla et al. 2002, §6.1):
//!
//! d² = Σ over numbers ((x − x′)/σ)² + Σ over categories m²·[c ≠ c′], m = median of the σ of the standardised numbers.
//!
//! Standardised numbers have σ = 1, hence m = 1 (also where there are no numbers). A missing number sits at the mean and
//! its absence counts as a category. Brute force over at most [`MOST_CANDIDATES`] candidates, in tiles of columns: bound by
//! arithmetic, four to eight numbers an instruction. Ties go to the candidate that comes first, so threads change nothing.

use rayon::prelude::*;
use twinmart_tables::{Progress, Result};

/// Rows that may be neighbours, at most; more are drawn from all rows.
pub(crate) const MOST_CANDIDATES: usize = 20_000;
/// Candidates compared at a time: their sums stay in the first-level cache.
const TILE: usize = 1024;
/// Rows that one task handles: their candidates' tiles are read from the second-level cache.
const BLOCK: usize = 32;

/// One column as coordinates: `[rows]`.
#[derive(Debug, Clone)]
pub(crate) enum Axis {
    /// Standardised numbers.
    Number(Vec<f32>),
    /// Codes.
    Category(Vec<u32>),
}

/// The axes of an ordered column: its numbers (NaN = missing) standardised, and its absence where any is missing.
pub(crate) fn number_axes(values: &[f64]) -> Vec<Axis> {
    let present: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    let count = present.len().max(1) as f64;
    let mean = present.iter().map(|x| x / count).sum::<f64>();
    let deviation = present.iter().map(|x| (x - mean).powi(2) / count).sum::<f64>().sqrt();
    let scale = if deviation > 0.0 && deviation.is_finite() { 1.0 / deviation } else { 0.0 };
    let numbers = values.iter().map(|x| if x.is_nan() { 0.0 } else { ((x - mean) * scale) as f32 });
    let mut axes = vec![Axis::Number(numbers.collect())];
    if present.len() < values.len() {
        axes.push(Axis::Category(values.iter().map(|x| u32::from(x.is_nan())).collect()));
    }
    axes
}

/// `[rows][k]` the nearest candidates of each row, itself excluded, nearest first. Fewer than k other candidates: the list
/// starts over; none: the row itself.
pub(crate) fn nearest_rows(
    axes: &[Axis],
    rows: usize,
    candidates: &[usize],
    k: usize,
    progress: &Progress,
) -> Result<Vec<u64>> {
    let pool: Vec<Axis> = axes.iter().map(|axis| axis.at(candidates)).collect();
    let task = progress.start("finding similar rows", Some(rows as u64), "rows");
    let blocks: Vec<usize> = (0..rows).step_by(BLOCK).collect();
    let found: Vec<Vec<u64>> = blocks
        .par_iter()
        .map(|start| {
            let block = *start..(start + BLOCK).min(rows);
            task.advance(block.len() as u64)?;
            Ok(nearest_in_block(axes, &pool, candidates, block, k))
        })
        .collect::<Result<_>>()?;
    Ok(found.concat())
}

impl Axis {
    fn at(&self, rows: &[usize]) -> Axis {
        match self {
            Axis::Number(x) => Axis::Number(rows.iter().map(|r| x[*r]).collect()),
            Axis::Category(c) => Axis::Category(rows.iter().map(|r| c[*r]).collect()),
        }
    }
}

fn nearest_in_block(
    axes: &[Axis],
    pool: &[Axis],
    candidates: &[usize],
    block: std::ops::Range<usize>,
    k: usize,
) -> Vec<u64> {
    let mut best: Vec<Nearest> = block.clone().map(|_| Nearest::new(k)).collect();
    let mut sums = [0f32; TILE];
    for tile in (0..candidates.len()).step_by(TILE) {
        let end = (tile + TILE).min(candidates.len());
        for (row, best) in block.clone().zip(&mut best) {
            let sums = &mut sums[..end - tile];
            sums.fill(0.0);
            for (axis, pool) in axes.iter().zip(pool) {
                match (axis, pool) {
                    (Axis::Number(x), Axis::Number(y)) => add_numbers(sums, x[row], &y[tile..end]),
                    (Axis::Category(x), Axis::Category(y)) => add_categories(sums, x[row], &y[tile..end]),
                    _ => {}
                }
            }
            for (offset, distance) in sums.iter().enumerate() {
                if *distance < best.worst && candidates[tile + offset] != row {
                    best.insert(*distance, candidates[tile + offset] as u64);
                }
            }
        }
    }
    block.zip(best).flat_map(|(row, best)| best.filled(row as u64, k)).collect()
}

fn add_numbers(sums: &mut [f32], x: f32, pool: &[f32]) {
    for (sum, y) in sums.iter_mut().zip(pool) {
        *sum += (x - y) * (x - y);
    }
}

fn add_categories(sums: &mut [f32], x: u32, pool: &[u32]) {
    for (sum, y) in sums.iter_mut().zip(pool) {
        *sum += if x == *y { 0.0 } else { 1.0 };
    }
}

/// The k nearest so far, nearest first.
struct Nearest {
    k: usize,
    /// The distance that a newcomer must stay below.
    worst: f32,
    found: Vec<(f32, u64)>,
}

impl Nearest {
    fn new(k: usize) -> Nearest {
        Nearest { k, worst: f32::INFINITY, found: Vec::with_capacity(k + 1) }
    }

    fn insert(&mut self, distance: f32, row: u64) {
        let place = self.found.partition_point(|(d, _)| *d <= distance);
        self.found.insert(place, (distance, row));
        self.found.truncate(self.k);
        if self.found.len() == self.k {
            self.worst = self.found[self.k - 1].0;
        }
    }

    fn filled(self, row: u64, k: usize) -> Vec<u64> {
        if self.found.is_empty() {
            return vec![row; k];
        }
        self.found.iter().map(|(_, r)| *r).cycle().take(k).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            rows in prop::collection::vec((prop::option::of(-50i32..50), 0u32..4), 2..120), k in 1usize..6,
        ) {
            let numbers: Vec<f64> = rows.iter().map(|r| r.0.map_or(f64::NAN, f64::from)).collect();
            let mut axes = number_axes(&numbers);
            axes.push(Axis::Category(rows.iter().map(|r| r.1).collect()));
            let all: Vec<usize> = (0..rows.len()).collect();
            let found = nearest_rows(&axes, rows.len(), &all, k, &Progress::silent()).unwrap();
            for (row, found) in found.chunks(k).enumerate() {
                let mut expected: Vec<(f32, usize)> = all.iter().filter(|c| **c != row).map(|c| {
                    let d = axes.iter().map(|axis| match axis {
                        Axis::Number(x) => (x[row] - x[*c]) * (x[row] - x[*c]),
                        Axis::Category(x) => f32::from(u8::from(x[row] != x[*c])),
                    }).sum();
                    (d, *c)
                }).collect();
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let expected: Vec<u64> = expected.iter().cycle().take(k).enumerate()
                    .map(|(i, _)| expected[i % k.min(expected.len())].1 as u64).collect();
                prop_assert_eq!(found, &expected[..]);
            }
        }
    }

    #[test]
    fn a_lonely_row_is_its_own_neighbour() {
        let axes = number_axes(&[1.0]);
        assert_eq!(nearest_rows(&axes, 1, &[0], 3, &Progress::silent()).unwrap(), [0, 0, 0]);
    }
}
