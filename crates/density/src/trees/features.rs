//! What trees look at: the nodes that a row has reached, in at most 255 bins for each sub-column.

use serde::{Deserialize, Serialize};
use twinmart_encode::codes::SubColumn;

/// Bins of a feature at most.
pub(crate) const MOST_BINS: usize = 255;

/// One sub-column as a feature: its nodes, binned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Feature {
    /// The bin of each node of the sub-column's level.
    pub(crate) bin: Vec<u8>,
    /// Bins are `0..bins`.
    pub(crate) bins: usize,
    /// True where neighbouring bins are neighbouring values: splits are thresholds.
    pub(crate) ordered: bool,
}

impl Feature {
    /// Bins for a sub-column whose nodes occur `counts` times. Ordered nodes are merged with neighbours into bins of about
    /// equal weight, never across the branches of `branch` (the first code of the chain: missing values stay apart);
    /// without order, frequent nodes have bins of their own and all others share the last one.
    pub(crate) fn of(sub_column: &SubColumn, counts: &[u32], branch: &[u32]) -> Feature {
        let nodes = counts.len();
        if nodes <= MOST_BINS {
            return Feature { bin: (0..nodes).map(|n| n as u8).collect(), bins: nodes, ordered: sub_column.ordered };
        }
        if sub_column.ordered { ordered(counts, branch) } else { frequent(counts) }
    }
}

impl Feature {
    /// True where every one of `nodes` nodes has a bin.
    pub(crate) fn is_sound(&self, nodes: usize) -> bool {
        self.bin.len() == nodes && self.bins <= MOST_BINS && self.bin.iter().all(|b| usize::from(*b) < self.bins)
    }
}

fn ordered(counts: &[u32], branch: &[u32]) -> Feature {
    let branches = branch.last().map_or(1, |b| *b as usize + 1);
    let total: u64 = counts.iter().map(|c| u64::from(*c)).sum();
    let room = MOST_BINS.saturating_sub(branches).max(1) as u64;
    let (mut bin, mut bins, mut filled) = (Vec::with_capacity(counts.len()), 0usize, 0u64);
    for (node, count) in counts.iter().enumerate() {
        let new_branch = node > 0 && branch[node] != branch[node - 1];
        if node > 0 && (new_branch || filled * room >= total) && bins + 1 < MOST_BINS {
            bins += 1;
            filled = 0;
        }
        filled += u64::from(*count);
        bin.push(bins as u8);
    }
    Feature { bin, bins: bins + 1, ordered: true }
}

fn frequent(counts: &[u32]) -> Feature {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by(|a, b| counts[*b].cmp(&counts[*a]).then(a.cmp(b)));
    let mut bin = vec![(MOST_BINS - 1) as u8; counts.len()];
    for (rank, node) in order.into_iter().take(MOST_BINS - 1).enumerate() {
        bin[node] = rank as u8;
    }
    Feature { bin, bins: MOST_BINS, ordered: false }
}

/// For each node of every sub-column, the first code of its chain.
pub(crate) fn branches(sub_columns: &[SubColumn]) -> Vec<Vec<u32>> {
    let mut all: Vec<Vec<u32>> = Vec::with_capacity(sub_columns.len());
    for (position, sub_column) in sub_columns.iter().enumerate() {
        all.push(match sub_column.level {
            0 => (0..sub_column.nodes() as u32).collect(),
            _ => {
                let above = &all[position - 1];
                let children = above.iter().zip(&sub_column.members);
                children.flat_map(|(branch, members)| std::iter::repeat_n(*branch, *members as usize)).collect()
            }
        });
    }
    all
}
