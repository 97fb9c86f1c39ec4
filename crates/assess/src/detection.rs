//! Detection: can boosted trees tell synthetic rows from real ones?
//!
//! Equal numbers of both (at most 20,000 a side), five stratified folds; the score of a row comes from the model that did
//! not see it. The area under the ROC curve is ½ where they cannot tell and 1 where they always can (Lopez-Paz and
//! Oquab, "Revisiting classifier two-sample tests", 2017).

use crate::boosting::{Binner, Boosted, Objective};
use crate::frame::Frame;
use crate::ranks::roc_auc;
use crate::sampling::sample_rows;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use twinmart_tables::Draws;

/// Rows a side at most: the error of the area is then below .003.
const ROWS_PER_SIDE: usize = 20_000;
const FOLDS: usize = 5;
/// Fewer rows a side than this cannot be judged.
const LEAST_ROWS: usize = 50;

/// The area under the curve and the rows a side it was measured on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Detection {
    pub(crate) auc: f64,
    pub(crate) rows: usize,
}

/// Detection of `other` against `real`; `None` where there are too few rows or no columns. `what` names the comparison in
/// the random streams.
pub(crate) fn detection(real: &Frame, other: &Frame, draws: &Draws, what: &str) -> Option<Detection> {
    let n = real.rows.min(other.rows).min(ROWS_PER_SIDE);
    if n < LEAST_ROWS || real.columns.is_empty() {
        return None;
    }
    let family = draws.family("assess.detection", what);
    let side = |frame: &Frame, number: u64| frame.take(&sample_rows(frame.rows, n, &mut family.row(number)));
    let frame = side(real, 0).stacked(&side(other, 1));
    let labels: Vec<f64> = (0..2 * n).map(|row| f64::from(u8::from(row >= n))).collect();
    // Rows of each side are in random order already; dealing them in turn stratifies the folds.
    let mut fold: Vec<usize> = (0..2 * n).map(|row| row % n % FOLDS).collect();
    fold[..n].shuffle(&mut family.row(2));
    fold[n..].shuffle(&mut family.row(3));

    let data = Binner::fit(&frame).bin(&frame);
    let scored: Vec<Vec<(usize, f64)>> = (0..FOLDS)
        .into_par_iter()
        .map(|f| {
            let training: Vec<usize> = (0..2 * n).filter(|row| fold[*row] != f).collect();
            let model = Boosted::fit(&data, &labels, &training, Objective::Logistic, family.row(10 + f as u64));
            (0..2 * n).filter(|row| fold[*row] == f).map(|row| (row, model.predict(&data, row))).collect()
        })
        .collect();
    let mut scores = vec![0.0; 2 * n];
    for (row, score) in scored.into_iter().flatten() {
        scores[row] = score;
    }
    let synthetic: Vec<bool> = labels.iter().map(|l| *l > 0.5).collect();
    roc_auc(&scores, &synthetic).map(|auc| Detection { auc, rows: n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Values;
    use rand::Rng;

    fn sample(seed: u64, twist: bool) -> Frame {
        let mut draw = Draws::new(seed).stream("sample");
        let x: Vec<f64> = (0..3000).map(|_| draw.random::<f64>()).collect();
        let y: Vec<f64> =
            if twist { (0..3000).map(|_| draw.random::<f64>()).collect() } else { x.iter().map(|x| x * x).collect() };
        Frame { columns: vec![Values::Ordered(x), Values::Ordered(y)], rows: 3000 }
    }

    #[test]
    fn equal_distributions_cannot_be_told_and_broken_relations_can() {
        let draws = Draws::new(1);
        let none = detection(&sample(1, false), &sample(2, false), &draws, "same").unwrap();
        // Standard error .0075; 5 of them is a false alarm below 1e-6.
        assert!((none.auc - 0.5).abs() < 0.038, "{none:?}");
        let all = detection(&sample(1, false), &sample(2, true), &draws, "twist").unwrap();
        assert!(all.auc > 0.97, "{all:?}");
    }
}
