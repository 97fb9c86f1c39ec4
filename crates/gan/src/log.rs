//! What a run of learning says of itself: both losses and how well the discriminator tells real from made, epoch by epoch.

use serde::{Deserialize, Serialize};

/// How well a classifier of two classes does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of the answers that are right.
    pub accuracy: f64,
    /// Share of the positive answers that are right; 0 where there are none.
    pub precision: f64,
    /// Share of the positive cases that are found; 0 where there are none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 where both are.
    pub f1: f64,
}

impl Scores {
    /// Scores of answers, each with the truth: `(answer, truth)`, true for positive.
    pub fn of(answers: impl IntoIterator<Item = (bool, bool)>) -> Scores {
        let mut counts = [[0f64; 2]; 2];
        answers.into_iter().for_each(|(answer, truth)| counts[usize::from(answer)][usize::from(truth)] += 1.0);
        let [[true_negative, false_negative], [false_positive, true_positive]] = counts;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let all = true_negative + false_negative + false_positive + true_positive;
        Scores {
            accuracy: share(true_positive + true_negative, all),
            precision: share(true_positive, true_positive + false_positive),
            recall: share(true_positive, true_positive + false_negative),
            f1: share(2.0 * true_positive, 2.0 * true_positive + false_positive + false_negative),
        }
    }
}

/// One epoch of learning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Mean loss of the discriminator (for WGAN-GP, of the critic), without the penalty on gradients.
    pub discriminator_loss: f64,
    /// Mean loss of the generator, without the part that asks for the conditions.
    pub generator_loss: f64,
    /// The discriminator on held-out real examples (positive) and as many made ones. A critic has no threshold: its answers
    /// are held against the middle of its mean answers on other real and made examples.
    pub discriminator: Scores,
    /// How unlike made and held-out real examples are: the mean total variation distance of pairs of
    /// parts once single parts agree (rows), or the mean Kolmogorov-Smirnov distance of what windows are in short (histories).
    pub two_sample: f64,
}

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// All epochs, in order.
    pub epochs: Vec<Epoch>,
    /// The epoch whose generator was kept, from 1; 0 where nothing was learned.
    pub kept: u64,
    /// What two real samples of that size differ by, the least that [`Epoch::two_sample`] can be on average.
    pub two_sample_floor: f64,
}
