//! Encoded rows: every column as one or more integer sub-columns.
//!
//! A column becomes a short chain of sub-columns, coarse to fine (a number: its bin, then its cell inside the bin). A
//! sub-column whose codes mean something only inside a code of an earlier one names that one as its `parent`. Models learn
//! and draw codes; only the encodings know what a code stands for.

use serde::{Deserialize, Serialize};

/// One integer variable of an encoded row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubColumn {
    /// Position of the table's column it is a part of; the sub-columns of a column stand together.
    pub column: usize,
    /// Codes are `0..cardinality`.
    pub cardinality: u32,
    /// True where neighbouring codes stand for neighbouring values.
    pub ordered: bool,
    /// Where codes mean something only inside a code of an earlier sub-column of the same column.
    pub parent: Option<Parent>,
}

/// The sub-column that gives another's codes their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its position among the sub-columns: smaller than the child's.
    pub position: usize,
    /// For each of its codes, how many codes the child may take: `0..members[code]`, at least 1, at most the child's
    /// cardinality.
    pub members: Vec<u32>,
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

    /// The number of codes that sub-column `position` may take in a row whose codes so far are `row`.
    pub fn members(&self, position: usize, row: &[u32]) -> u32 {
        let sub_column = &self.sub_columns[position];
        match &sub_column.parent {
            Some(parent) => parent.members[row[parent.position] as usize],
            None => sub_column.cardinality,
        }
    }
}
