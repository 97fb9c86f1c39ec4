//! Batches in pieces, each a computation of its own, so that threads need not wait for each other in every operation.
//!
//! How a batch is cut follows from its size alone, and what pieces say is added in their order: the same bits on any number of
//! threads. Columns are normalized within a piece (Hoffer, Hubara & Soudry, "Train longer, generalize better", NeurIPS 2017,
//! "ghost batches").

use crate::training::Step;
use rand::Rng;
use rayon::prelude::*;
use std::ops::Range;
use twinmart_nets::graph::{Graph, Var};
use twinmart_tables::{Draws, Stream};

/// Pieces of a batch, at most.
const PIECES: usize = 4;

/// A piece of a batch.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Which examples of the batch.
    pub(crate) examples: Range<usize>,
    /// Its share of the batch.
    pub(crate) share: f32,
    /// All randomness of the piece.
    pub(crate) stream: Stream,
}

/// A batch of groups of examples that stay together, in pieces of about `size` groups or more.
pub(crate) fn pieces(groups: usize, of_group: usize, size: usize, stream: &mut Stream) -> Vec<Piece> {
    let draws = Draws::new(stream.random());
    let family = draws.family("gan.piece", "");
    let count = (groups / size.max(1)).clamp(1, PIECES);
    let piece = |at: usize| {
        let ends = [at, at + 1].map(|at| at * groups / count);
        Piece {
            examples: ends[0] * of_group..ends[1] * of_group,
            share: (ends[1] - ends[0]) as f32 / groups.max(1) as f32,
            stream: family.row(at as u64),
        }
    };
    (0..count).map(piece).collect()
}

/// The step of a batch from those of its pieces, which are shares of it, and what comes with them.
pub(crate) fn in_pieces<P: Send, T: Send>(
    pieces: Vec<P>,
    of_piece: impl Fn(P) -> (Step, T) + Sync + Send,
) -> (Step, Vec<T>) {
    let done: Vec<(Step, T)> = pieces.into_par_iter().with_max_len(1).map(of_piece).collect();
    let (steps, others): (Vec<Step>, Vec<T>) = done.into_iter().unzip();
    let sum = steps.into_iter().reduce(|mut sum, step| {
        sum.loss += step.loss;
        twinmart_nets::matrix::add(&mut sum.gradient, &step.gradient);
        sum
    });
    (sum.unwrap_or(Step { loss: 0.0, gradient: Vec::new() }), others)
}

/// A piece's part of a step: a loss, as it is told, and the gradient of `all` by some weights, in one slice.
pub(crate) fn step_of(graph: &mut Graph, (told, all): (Var, Var), share: f32, weights: &[Var]) -> Step {
    let all = graph.scale(all, share);
    Step { loss: share * graph.scalar(told), gradient: flat(graph, all, weights) }
}

/// The gradient of a loss by all weights, in one slice.
pub(crate) fn flat(graph: &mut Graph, loss: Var, weights: &[Var]) -> Vec<f32> {
    let slopes = graph.gradients(loss, weights);
    slopes.iter().map(|slope| graph.value(*slope)).collect::<Vec<_>>().concat()
}

/// Examples between real and made ones, of `width` numbers each, each at its own place (Gulrajani et al. 2017, algorithm 1).
pub(crate) fn between(real: &[f32], made: &[f32], width: usize, stream: &mut Stream) -> Vec<f32> {
    let mut out = Vec::with_capacity(real.len());
    for (real, made) in real.chunks_exact(width).zip(made.chunks_exact(width)) {
        let share: f32 = stream.random();
        out.extend(real.iter().zip(made).map(|(x, y)| share * x + (1.0 - share) * y));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_a_batch_in_whole_groups() {
        for (groups, of_group) in [(1, 3), (7, 1), (64, 10), (1000, 2)] {
            let pieces = pieces(groups, of_group, 16, &mut Draws::new(1).stream("test"));
            assert!(pieces.len() <= PIECES && (pieces.len() > 1) == (groups >= 32));
            let mut next = 0;
            for piece in &pieces {
                assert_eq!((piece.examples.start, piece.examples.len() % of_group), (next, 0));
                assert!((piece.share - piece.examples.len() as f32 / (groups * of_group) as f32).abs() < 1e-6);
                next = piece.examples.end;
            }
            assert_eq!(next, groups * of_group);
        }
    }
}
