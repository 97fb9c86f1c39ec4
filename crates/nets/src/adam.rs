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

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.98;

impl Adam {
    /// Starts at `weights`.
    pub fn new(weights: Vec<f32>) -> Adam {
        let zeros = vec![0f32; weights.len()];
        Adam { average: weights.clone(), first: zeros.clone(), second: zeros, weights, steps: 0 }
    }

    /// One step along a gradient, which must be finite: one that is not is left out, and the answer is false.
    pub fn step(&mut self, gradient: &[f32], rates: Rates) -> bool {
        let squares: Vec<f64> =
            gradient.par_chunks(CHUNK).map(|c| c.iter().map(|g| f64::from(*g) * f64::from(*g)).sum()).collect();
        let length = squares.iter().sum::<f64>().sqrt() as f32;
        if !length.is_finite() {
            return false;
        }
        let shorten = if length > rates.longest { rates.longest / length } else { 1.0 };
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (first_scale, second_scale) = (1.0 / (1.0 - BETA_1.powi(steps)), 1.0 / (1.0 - BETA_2.powi(steps)));
        let keep = rates.average.min(steps as f32 / (steps as f32 + 20.0));
        let weights = (self.weights.par_chunks_mut(CHUNK), self.average.par_chunks_mut(CHUNK)).into_par_iter();
        let moments = (self.first.par_chunks_mut(CHUNK), self.second.par_chunks_mut(CHUNK)).into_par_iter();
        weights.zip(moments).zip(gradient.par_chunks(CHUNK)).for_each(
            |(((weights, average), (first, second)), gradient)| {
                let moments = first.iter_mut().zip(second);
                for (((w, a), (m, v)), g) in weights.iter_mut().zip(average).zip(moments).zip(gradient) {
                    let g = g * shorten;
                    *m = BETA_1 * *m + (1.0 - BETA_1) * g;
                    *v = BETA_2 * *v + (1.0 - BETA_2) * g * g;
                    let step = *m * first_scale / ((*v * second_scale).sqrt() + 1e-8);
                    *w -= rates.rate * (step + rates.decay * *w);
                    *a = keep * *a + (1.0 - keep) * *w;
                }
            },
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { rate: 0.05, decay: 0.0, average: 0.9, longest: 1e9 };

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
    fn the_first_step_has_the_length_of_the_rate_and_strange_gradients_change_nothing() {
        let mut adam = Adam::new(vec![1.0, 1.0]);
        assert!(adam.step(&[3.0, -0.001], RATES));
        assert!((adam.weights[0] - 0.95).abs() < 1e-5 && (adam.weights[1] - 1.05).abs() < 1e-5);
        let before = adam.clone();
        assert!(!adam.step(&[f32::NAN, 0.0], RATES));
        assert_eq!(adam, before);
    }
}
