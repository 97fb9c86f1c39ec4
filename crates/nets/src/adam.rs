//! Steps of learning: Adam with decoupled decay (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019) and a
//! running mean of the parameters (Polyak & Juditsky, 1992), which is what is used in the end.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Parameters that one task changes.
const CHUNK: usize = 8_192;

/// How large the steps are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Rate of learning.
    pub rate: f32,
    /// Share of each parameter that a step at rate 1 takes away.
    pub decay: f32,
    /// Weight of the past in the running mean, at most.
    pub average: f32,
    /// Largest length of a gradient; longer ones are shortened.
    pub longest: f32,
    /// Weights of the past in the running means of gradients and of their squares; 0.9 and 0.98 are usual.
    pub memory: [f32; 2],
}

/// Parameters while they are learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// The parameters now.
    pub weights: Vec<f32>,
    /// Their running mean.
    pub average: Vec<f32>,
    /// Running means of gradients and of their squares.
    pub first: Vec<f32>,
    /// See `first`.
    pub second: Vec<f32>,
    /// Steps so far.
    pub steps: u64,
}

/// Slopes of some rows of a matrix, all other rows having none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowSlopes {
    /// Numbers of a row.
    pub width: usize,
    /// Rows of a block, of which the last one may have fewer.
    pub block: usize,
    /// For each block the rows that have slopes, counted from its first row, and their slopes, `[rows, width]`.
    pub blocks: Vec<(Vec<u32>, Vec<f32>)>,
}

/// Steps between two looks at the parameters of a matrix with few slopes, for their running mean.
const SAMPLED: u64 = 8;

impl Adam {
    /// Starts at `weights`.
    pub fn new(weights: Vec<f32>) -> Adam {
        let zeros = vec![0f32; weights.len()];
        Adam { average: weights.clone(), first: zeros.clone(), second: zeros, weights, steps: 0 }
    }

    /// One step along a gradient, which must be finite: one that is not is left out, and the answer is false.
    pub fn step(&mut self, gradient: &[f32], rates: Rates) -> bool {
        self.step_with_rows(gradient, &RowSlopes::default(), rates)
    }

    /// As [`Adam::step`], `gradient` being that of the first parameters and `rows` that of a matrix behind them.
    ///
    /// Rows without slopes stay where they are, their running means too (as "lazy" or "sparse" Adam): neither old slopes
    /// nor decay move what a step did not see, and the step costs what it sees. Only the mean of parameters is one over
    /// all steps; of the matrix it takes every eighth.
    pub fn step_with_rows(&mut self, gradient: &[f32], rows: &RowSlopes, rates: Rates) -> bool {
        let of_all: Vec<f64> = gradient.par_chunks(CHUNK).map(squares).collect();
        let of_rows: Vec<f64> = rows.blocks.par_iter().map(|(_, slopes)| squares(slopes)).collect();
        let length = of_all.iter().chain(&of_rows).sum::<f64>().sqrt() as f32;
        if !length.is_finite() {
            return false;
        }
        let shorten = if length > rates.longest { rates.longest / length } else { 1.0 };
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let [first_scale, second_scale] = rates.memory.map(|past| 1.0 / (1.0 - past.powi(steps)));
        let keep = rates.average.min(steps as f32 / (steps as f32 + 20.0));
        let change = Change { rates, shorten, first_scale, second_scale };
        self.change_all(gradient, &change, keep);
        self.change_rows(gradient.len(), rows, &change);
        if self.steps.is_multiple_of(SAMPLED) || self.steps < SAMPLED {
            let since = if self.steps <= SAMPLED { 1 } else { SAMPLED };
            self.average_from(gradient.len(), keep.powi(since as i32));
        }
        true
    }

    /// Takes the parameters from `start` on a `share` of the way to `anchor`, as a decay that has another end than zero
    /// (Li, Grandvalet & Davoine, "Explicit inductive bias for transfer learning", 2018, L²-SP).
    pub fn pull(&mut self, start: usize, anchor: &[f32], share: f32) {
        let weights = self.weights[start..][..anchor.len()].par_chunks_mut(CHUNK);
        weights.zip(anchor.par_chunks(CHUNK)).for_each(|(weights, anchor)| {
            weights.iter_mut().zip(anchor).for_each(|(w, a)| *w += share * (a - *w));
        });
    }

    fn change_all(&mut self, gradient: &[f32], change: &Change, keep: f32) {
        let end = gradient.len();
        let weights = (self.weights[..end].par_chunks_mut(CHUNK), self.average[..end].par_chunks_mut(CHUNK));
        let moments = (self.first[..end].par_chunks_mut(CHUNK), self.second[..end].par_chunks_mut(CHUNK));
        let chunks = weights.into_par_iter().zip(moments.into_par_iter()).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|(((weights, average), (first, second)), gradient)| {
            let moments = first.iter_mut().zip(second);
            for (((w, a), (m, v)), g) in weights.iter_mut().zip(average).zip(moments).zip(gradient) {
                change.apply(w, m, v, *g);
                *a = keep * *a + (1.0 - keep) * *w;
            }
        });
    }

    fn change_rows(&mut self, start: usize, rows: &RowSlopes, change: &Change) {
        let (width, block) = (rows.width, (rows.block * rows.width).max(1));
        let weights = self.weights[start..].par_chunks_mut(block);
        let moments = (self.first[start..].par_chunks_mut(block), self.second[start..].par_chunks_mut(block));
        weights.zip(moments.into_par_iter()).zip(&rows.blocks).for_each(|((weights, (first, second)), block)| {
            for (row, slopes) in block.0.iter().zip(block.1.chunks_exact(width)) {
                let place = *row as usize * width..(*row as usize + 1) * width;
                let moments = first[place.clone()].iter_mut().zip(&mut second[place.clone()]);
                for ((w, (m, v)), g) in weights[place].iter_mut().zip(moments).zip(slopes) {
                    change.apply(w, m, v, *g);
                }
            }
        });
    }

    /// Moves the mean of the parameters behind `start` towards them.
    fn average_from(&mut self, start: usize, keep: f32) {
        let average = self.average[start..].par_chunks_mut(CHUNK);
        average.zip(self.weights[start..].par_chunks(CHUNK)).for_each(|(average, weights)| {
            average.iter_mut().zip(weights).for_each(|(a, w)| *a = keep * *a + (1.0 - keep) * *w);
        });
    }
}

fn squares(slopes: &[f32]) -> f64 {
    slopes.iter().map(|g| f64::from(*g) * f64::from(*g)).sum()
}

/// What one step does to a parameter.
struct Change {
    rates: Rates,
    /// What the gradient is multiplied with.
    shorten: f32,
    first_scale: f32,
    second_scale: f32,
}

impl Change {
    #[inline(always)]
    fn apply(&self, weight: &mut f32, first: &mut f32, second: &mut f32, slope: f32) {
        let slope = slope * self.shorten;
        let [of_first, of_second] = self.rates.memory;
        *first = of_first * *first + (1.0 - of_first) * slope;
        *second = of_second * *second + (1.0 - of_second) * slope * slope;
        let step = *first * self.first_scale / ((*second * self.second_scale).sqrt() + 1e-8);
        *weight -= self.rates.rate * (step + self.rates.decay * *weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { rate: 0.05, decay: 0.0, average: 0.9, longest: 1e9, memory: [0.9, 0.98] };

    #[test]
    fn finds_the_lowest_point_of_a_bowl() {
        let (target, mut adam) = ([1.0, -2.0, 0.5], Adam::new(vec![0.0; 3]));
        for _ in 0..600 {
            let gradient: Vec<f32> = adam.weights.iter().zip(target).map(|(w, t)| 2.0 * (w - t)).collect();
            assert!(adam.step(&gradient, RATES));
        }
        assert!(adam.average.iter().zip(target).all(|(w, t)| (w - t).abs() < 1e-2), "{:?}", adam.average);
    }

    #[test]
    fn a_pull_moves_some_parameters_towards_their_anchor() {
        let mut adam = Adam::new(vec![1.0, 2.0, 3.0, 4.0]);
        adam.pull(1, &[0.0, 4.0], 0.25);
        assert_eq!(adam.weights, [1.0, 1.5, 3.25, 4.0]);
        assert_eq!((adam.steps, &adam.average[..]), (0, &[1.0, 2.0, 3.0, 4.0][..]));
    }

    #[test]
    fn the_first_step_has_the_length_of_the_rate_and_strange_gradients_change_nothing() {
        let mut adam = Adam::new(vec![1.0, 1.0]);
        assert!(adam.step(&[3.0, -0.001], RATES));
        assert!((adam.weights[0] - 0.95).abs() < 1e-5 && (adam.weights[1] - 1.05).abs() < 1e-5);
        let before = adam.clone();
        assert!(!adam.step(&[f32::NAN, 0.0], RATES));
        assert_eq!(adam, before);
    }

    #[test]
    fn rows_with_slopes_move_as_everything_does_and_the_others_stay() {
        let start: Vec<f32> = (0..14).map(|i| i as f32 * 0.1).collect();
        let (mut all, mut some) = (Adam::new(start.clone()), Adam::new(start.clone()));
        // Two parameters before a matrix of six rows in blocks of four; rows 1 and 5 have slopes.
        let mut gradient = vec![0f32; 14];
        for step in 0..40 {
            let slope = |i: usize| (step as f32 * 0.7 + i as f32).sin();
            for i in [0, 1, 4, 5, 12, 13] {
                gradient[i] = slope(i);
            }
            let blocks = vec![(vec![1], gradient[4..6].to_vec()), (vec![1], gradient[12..14].to_vec())];
            let rows = RowSlopes { width: 2, block: 4, blocks };
            assert!(all.step(&gradient, Rates { longest: 1.0, ..RATES }));
            assert!(some.step_with_rows(&gradient[..2], &rows, Rates { longest: 1.0, ..RATES }));
        }
        assert_eq!(all.weights, some.weights);
        assert_eq!((&all.first, &all.second), (&some.first, &some.second));
        assert_eq!(all.average[..2], some.average[..2]);
        // The mean of every eighth step is near that of all.
        assert!(all.average.iter().zip(&some.average).all(|(a, b)| (a - b).abs() < 0.1));
        assert!([2, 3, 6, 11].iter().all(|i| (some.average[*i] - start[*i]).abs() < 1e-5));
        let strange = RowSlopes { width: 2, block: 4, blocks: vec![(vec![0], vec![f32::NAN; 2])] };
        let before = some.clone();
        assert!(!some.step_with_rows(&gradient[..2], &strange, RATES));
        assert_eq!(some, before);
    }
}
