//! Corrections after learning: made rows shall have each choice, and each cell of a number, as often as real ones.
//!
//! A generator that makes believable rows still makes some choices too often. Scores of choices get an offset, corrected in
//! rounds by the logarithm of real over made frequencies; numbers are moved along their order, so that the made distribution
//! function becomes the real one (quantile matching). Neither changes what goes together with what. Frequencies of the real
//! rows are those that the encoding holds.

use crate::features::Features;
use serde::{Deserialize, Serialize};

/// The largest correction of a round, a logarithm.
const LARGEST: f64 = 1.0;
/// Rows that a choice counts as having beyond those that it has: rare ones are not corrected by chance.
const PRIOR: f64 = 2.0;

/// Corrections of made rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// `[choices]` added to scores.
    pub(crate) offsets: Vec<f32>,
    /// For each number `[cells]` the share of made numbers up to each cell; empty: numbers stay where they are.
    pub(crate) made: Vec<Vec<f32>>,
}

impl Calibration {
    /// Corrects nothing.
    pub(crate) fn none(features: &Features) -> Calibration {
        Calibration { offsets: vec![0.0; features.choices], made: vec![Vec::new(); features.numbers] }
    }

    /// Corrects the offsets by how often made rows, `counts` `[choices]`, have each choice.
    pub(crate) fn correct(&mut self, features: &Features, counts: &[f64]) {
        for block in features.blocks.iter().filter(|block| block.choices.len() > 1) {
            let made = &counts[block.choices.clone()];
            let [all_made, all_real] = [made, &block.weights].map(|counts| counts.iter().sum::<f64>().max(1.0));
            let prior = |weight: f64| PRIOR * weight / all_real;
            for ((offset, made), real) in self.offsets[block.choices.clone()].iter_mut().zip(made).zip(&block.weights) {
                if *real > 0.0 {
                    let expected = real / all_real * all_made;
                    let change = ((expected + prior(*real)) / (made + prior(*real))).ln();
                    *offset += change.clamp(-LARGEST, LARGEST) as f32;
                }
            }
        }
    }

    /// True where this fits the features.
    pub(crate) fn is_sound(&self, features: &Features) -> bool {
        let numbers = features.blocks.iter().filter(|block| block.number.is_some());
        let fits = |(made, block): (&Vec<f32>, &crate::features::Block)| {
            made.is_empty()
                || made.len() == block.cells() && made.is_sorted() && made.iter().all(|x| (0.0..=1.0).contains(x))
        };
        self.offsets.len() == features.choices
            && self.offsets.iter().all(|offset| offset.is_finite())
            && self.made.len() == features.numbers
            && self.made.iter().zip(numbers).all(fits)
    }
}

/// Running shares of counts.
pub(crate) fn running_shares(counts: &[f64]) -> Vec<f32> {
    let total: f64 = counts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let mut sum = 0.0;
    let share = |count: &f64| {
        sum += count;
        (sum / total).min(1.0) as f32
    };
    counts.iter().map(share).collect()
}
