//! Distributions of encoded rows: learned from codes, drawn from, asked for likelihoods.
//!
//! Rows enter as [`Codes`] (integer sub-columns, coarse to fine) and leave as codes; what a code stands for is known only to
//! `twinmart-encode`. Four families learn the joint distribution: boosted trees, one for each sub-column in turn
//! (`trees`), an any-order autoregressive network (`network`), a mixture of independent columns (`mixture`) and a
//! tree-shaped probabilistic circuit (`circuit`); `blend` is trees and network together. All are a [`RowDensity`].

pub mod blend;
pub mod circuit;
mod foresight;
pub mod guide;
pub mod mixture;
pub mod network;
mod pick;
#[cfg(test)]
mod planted;
pub mod trees;

use rand::Rng;
use std::fmt::Debug;
use std::time::Instant;
use twinmart_encode::codes::Codes;
pub use twinmart_encode::codes::UNKNOWN;
use twinmart_tables::{Digest, Draws, Progress, Stream};

/// A learned joint distribution of the sub-columns of a table.
pub trait RowDensity: Debug + Send + Sync {
    /// Draws every [`UNKNOWN`] code of `rows` given the known ones; `values` is `[sub_columns][rows]`, `streams` has one
    /// stream for each row. In a column's chain of sub-columns the known ones come before the unknown ones.
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]);

    /// Natural logarithm of the probability of each row.
    fn log_likelihood(&self, rows: &Codes) -> Vec<f64>;

    /// How many numbers it holds: frequencies, probabilities, weights.
    fn numbers(&self) -> usize;
}

/// What every fit is told.
#[derive(Debug, Clone)]
pub struct Fitting {
    /// All randomness of the fit.
    pub draws: Draws,
    /// Steps (rounds, epochs: the family says which) at most; 0 = until the held-out likelihood stops improving.
    pub steps: u64,
    /// When to stop wherever the fit is.
    pub deadline: Option<Instant>,
    /// Progress and interruption.
    pub progress: Progress,
}

impl Fitting {
    /// Digests all that decides what a family learns of rows, but the time that it may take; `subjects` names the person
    /// behind each row.
    pub fn digest(&self, family: &str, codes: &Codes, subjects: &[u64]) -> Digest {
        let mut digest = Digest::new(family)
            .number(self.draws.seed())
            .number(self.steps)
            .text(&format!("{:?}", codes.sub_columns))
            .list(subjects.iter().map(|subject| subject.to_le_bytes()));
        for values in &codes.values {
            digest = digest.list(values.iter().map(|code| code.to_le_bytes()));
        }
        digest
    }
}

/// Training rows and the rows that decide when to stop; the two share no person.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Rows that are learned.
    pub train: Codes,
    /// Rows that are only looked at: the held-out likelihood.
    pub validation: Codes,
}

/// Share of the people held out for validation.
const VALIDATION_SHARE: f64 = 0.1;

impl Parts {
    /// Cuts rows by person: a tenth of the people, drawn at random, go to validation. `subjects` names the person of each row.
    pub fn of(codes: &Codes, subjects: &[u64], draws: Draws) -> Parts {
        let held = held_out(subjects, draws);
        let part = |validation: bool| Codes {
            sub_columns: codes.sub_columns.clone(),
            values: codes
                .values
                .iter()
                .map(|v| v.iter().zip(&held).filter(|(_, h)| **h == validation).map(|(c, _)| *c).collect())
                .collect(),
        };
        Parts { train: part(false), validation: part(true) }
    }
}

/// Which rows go to validation.
fn held_out(subjects: &[u64], draws: Draws) -> Vec<bool> {
    let family = draws.family("density.held_out", "");
    subjects.iter().map(|s| family.row(*s).random::<f64>() < VALIDATION_SHARE).collect()
}

/// True where a known code of a row follows an unknown one; `values` is `[sub_columns][rows]`.
fn knows_after_unknown(values: &[Vec<u32>], row: usize) -> bool {
    let mut codes = values.iter().map(|v| v[row]);
    codes.any(|c| c == UNKNOWN) && codes.any(|c| c != UNKNOWN)
}
