//! Where each parameter stands in the one vector of weights.

use super::matrix::LANES;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use twinmart_encode::codes::SubColumn;

/// Width and depth of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Numbers that stand for a row between blocks; a multiple of [`LANES`].
    pub width: usize,
    /// Numbers inside a block; a multiple of [`LANES`].
    pub hidden: usize,
    pub blocks: usize,
}

impl Shape {
    /// Sizes that can be used, within bounds that keep offsets far from overflow.
    pub(super) fn is_sound(&self) -> bool {
        let width = |w: usize| w > 0 && w <= 1 << 14 && w.is_multiple_of(LANES);
        width(self.width) && width(self.hidden) && self.blocks <= 64
    }
}

/// Offsets into the weights.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub shape: Shape,
    /// By sub-column, the first row of its embeddings, `[nodes + 1][width]`: the last one stands for "not known".
    first_embedding: Vec<usize>,
    /// By sub-column, the row of "not known".
    pub unknown: Vec<u32>,
    pub heads: Vec<Head>,
    pub blocks: Vec<Block>,
    /// Number of weights of all embeddings, which come first.
    pub embeddings: usize,
    /// Number of weights.
    pub total: usize,
}

/// Weights of a residual block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub widen: Range<usize>,
    pub widen_bias: Range<usize>,
    pub narrow: Range<usize>,
    pub narrow_bias: Range<usize>,
}

/// Weights of the head of a sub-column.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Codes, padded to whole panels.
    pub outputs: usize,
    pub weights: Range<usize>,
    /// `[nodes above][outputs]`.
    pub bias: Range<usize>,
}

impl Layout {
    /// The layout for sound sub-columns and a sound shape.
    pub(super) fn of(sub_columns: &[SubColumn], shape: Shape) -> Layout {
        let mut total = 0;
        let mut take = |length: usize| {
            total += length;
            total - length..total
        };
        let (mut first_embedding, mut unknown, mut rows) = (Vec::new(), Vec::new(), 0);
        for s in sub_columns {
            first_embedding.push(rows);
            rows += s.nodes() + 1;
            unknown.push((rows - 1) as u32);
        }
        let embeddings = take(rows * shape.width).end;
        let blocks = (0..shape.blocks)
            .map(|_| Block {
                widen: take(shape.width * shape.hidden),
                widen_bias: take(shape.hidden),
                narrow: take(shape.hidden * shape.width),
                narrow_bias: take(shape.width),
            })
            .collect();
        let heads = sub_columns
            .iter()
            .map(|s| {
                let outputs = s.cardinality().next_multiple_of(LANES);
                Head { outputs, weights: take(shape.width * outputs), bias: take(s.members.len() * outputs) }
            })
            .collect();
        Layout { shape, first_embedding, unknown, heads, blocks, embeddings, total }
    }

    /// Row of the embedding of a node of a sub-column.
    pub(super) fn embedding(&self, sub_column: usize, node: u32) -> u32 {
        self.first_embedding[sub_column] as u32 + node
    }

    /// All matrices, as (number of inputs, place): what is transposed for the way back.
    pub(super) fn matrices(&self) -> Vec<(usize, Range<usize>)> {
        let blocks = self
            .blocks
            .iter()
            .flat_map(|b| [(self.shape.width, b.widen.clone()), (self.shape.hidden, b.narrow.clone())]);
        blocks.chain(self.heads.iter().map(|h| (self.shape.width, h.weights.clone()))).collect()
    }
}
