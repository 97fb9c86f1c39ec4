//! Accuracy of binned tables, and the accuracy that two real samples would get.
//!
//! Over all one-way and two-way tables of the bins of [`crate::bins`]: accuracy = 1 − ½·Σ |p − q|. Two samples of n and m
//! rows of the same distribution differ too; their expected accuracy, with normal noise in each cell, is
//! 1 − ½·Σ √((2/π)·p·(1 − p)·(1/n + 1/m)): the ceiling. Both are ½ the mean over columns + ½ the mean over pairs.

use crate::bins::BinnedSides;
use crate::ranks::total_variation;
use crate::shapes::mean;
use rayon::prelude::*;
use std::f64::consts::FRAC_2_PI;

/// Accuracy and its ceiling; `None` without columns or rows.
pub(crate) fn accuracy(binned: &BinnedSides) -> Option<(f64, f64)> {
    let n = binned.real.len();
    let (rows_real, rows_other) = (binned.real.first()?.len() as f64, binned.other.first()?.len() as f64);
    if rows_real == 0.0 || rows_other == 0.0 {
        return None;
    }
    let cells: Vec<(usize, usize)> = (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).collect();
    let scores: Vec<(bool, f64, f64)> = cells
        .par_iter()
        .map(|&(i, j)| {
            let [real, other] = binned.tables(i, j);
            let noise = |count: &f64| {
                let p = count / rows_real;
                (FRAC_2_PI * p * (1.0 - p) * (1.0 / rows_real + 1.0 / rows_other)).sqrt()
            };
            let ceiling = 1.0 - 0.5 * real.iter().map(noise).sum::<f64>();
            (i == j, 1.0 - total_variation(&real, &other), ceiling)
        })
        .collect();
    let overall = |value: fn(&(bool, f64, f64)) -> f64| {
        let part = |one_way: bool| mean(scores.iter().filter(|s| s.0 == one_way).map(|s| Some(value(s))));
        mean([part(true), part(false)])
    };
    Some((overall(|s| s.1)?, overall(|s| s.2)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, Values};
    use rand::Rng;
    use twinmart_tables::Draws;

    #[test]
    fn two_samples_of_one_distribution_reach_the_ceiling() {
        let sample = |seed: u64, rows: usize| {
            let mut draw = Draws::new(seed).stream("sample");
            let x: Vec<f64> = (0..rows).map(|_| draw.random::<f64>()).collect();
            let c: Vec<u32> = x.iter().map(|x| (x * 4.0) as u32 + draw.random_range(0..3u32)).collect();
            Frame { columns: vec![Values::Ordered(x), Values::Category(c)], rows }
        };
        let (accuracy, ceiling) = accuracy(&BinnedSides::new(&sample(1, 4000), &sample(2, 2000))).unwrap();
        // The standard deviation over seeds is .002.
        assert!((accuracy - ceiling).abs() < 0.012, "{accuracy} {ceiling}");
        assert!(accuracy < 0.99);
    }
}
