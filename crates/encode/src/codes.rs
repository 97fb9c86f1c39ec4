//! Encoded rows: every column as one or more integer sub-columns.
//!
//! A column becomes one chain of sub-columns or several (a moment: its week, its weekday, its time of day). A chain goes from
//! coarse to fine through a tree: the first sub-column chooses a child of the root, the next one a child of that node, and so
//! on; a leaf is a cell, a set of values. Models learn and draw codes; only the encodings know what a cell stands for.
//!
//! The nodes of a level are numbered from the left, over the whole level: the children of node 0, then those of node 1, …
//! A cell is a node of the last level.

use serde::{Deserialize, Serialize};

/// A code that is not known: of a value that its column does not have, or one still to be drawn.
pub const UNKNOWN: u32 = u32::MAX;

/// One integer variable of an encoded row: which child of the node so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubColumn {
    /// Position of the table's column that it is a part of; the sub-columns of a column stand together.
    pub column: usize,
    /// Depth in its chain: 0 begins a chain; a sub-column of level n + 1 follows that of level n directly.
    pub level: usize,
    /// True where neighbouring codes stand for neighbouring values.
    pub ordered: bool,
    /// For each node of the level above (the root, for level 0), the number of its children: codes `0..members[node]`.
    /// At least 1 each.
    pub members: Vec<u32>,
    /// For each node of the level above, the number of its first child within this level.
    pub first: Vec<u32>,
}

impl SubColumn {
    /// A sub-column with `members` children for each node of the level above.
    pub fn new(column: usize, level: usize, ordered: bool, members: Vec<u32>) -> SubColumn {
        let mut next = 0;
        let first = members.iter().map(|m| {
            next += m;
            next - m
        });
        SubColumn { column, level, ordered, first: first.collect(), members }
    }

    /// Codes are `0..cardinality`.
    pub fn cardinality(&self) -> usize {
        self.members.iter().copied().max().unwrap_or(1) as usize
    }

    /// Nodes of this level.
    pub fn nodes(&self) -> usize {
        self.members.iter().map(|m| *m as usize).sum()
    }

    /// The node that a code leads to from `node` of the level above.
    pub fn child(&self, node: u32, code: u32) -> u32 {
        self.first[node as usize] + code
    }
}

/// Encoded rows, stored by sub-column: `values[sub_column][row]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// What the codes are.
    pub sub_columns: Vec<SubColumn>,
    /// One vector for each sub-column, all of one length.
    pub values: Vec<Vec<u32>>,
}

impl Codes {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }
}

/// For each sub-column, the node of the level above that each row has reached: `[sub_columns][rows]`. Every code of `values`
/// must be one that its node allows.
pub fn parents(sub_columns: &[SubColumn], values: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut parents: Vec<Vec<u32>> = Vec::with_capacity(values.len());
    for (position, sub_column) in sub_columns.iter().enumerate() {
        parents.push(match sub_column.level {
            0 => vec![0; values[position].len()],
            _ => nodes(&sub_columns[position - 1], &parents[position - 1], &values[position - 1]),
        });
    }
    parents
}

/// The nodes that rows reach with a sub-column's codes from the nodes above.
pub fn nodes(sub_column: &SubColumn, parents: &[u32], codes: &[u32]) -> Vec<u32> {
    parents.iter().zip(codes).map(|(node, code)| sub_column.child(*node, *code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_numbered_from_the_left() {
        let chain = [SubColumn::new(0, 0, true, vec![2]), SubColumn::new(0, 1, true, vec![1, 3])];
        let values = vec![vec![0, 1, 1], vec![0, 0, 2]];
        let parents = parents(&chain, &values);
        assert_eq!(parents, [vec![0, 0, 0], vec![0, 1, 1]]);
        assert_eq!(nodes(&chain[1], &parents[1], &values[1]), [0, 1, 3]);
        assert_eq!((chain[1].cardinality(), chain[1].nodes()), (3, 4));
    }
}
