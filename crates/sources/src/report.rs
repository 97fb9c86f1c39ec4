//! What cleaning did: counts and example rows per rule, kept for the report.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the rules of `[clean]` did, in the order in which they ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CleaningReport {
    /// One entry per source or table that has rules.
    pub targets: Vec<TargetReport>,
}

/// What the rules did to one source or table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The source or table.
    pub name: String,
    /// Rows before any rule.
    pub rows_in: u64,
    /// Rows after all rules.
    pub rows_out: u64,
    /// One entry per rule, in order.
    pub rules: Vec<RuleReport>,
}

/// What one rule did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleReport {
    /// `drop_duplicates`, `drop_invalid`, `missing`, `outliers` or `standardize`.
    pub rule: String,
    /// The column that the rule is about, where it is about one.
    pub column: Option<String>,
    /// The condition, the value filled in, the bounds.
    pub detail: String,
    /// Rows that match on the input, before any rule.
    pub matched: u64,
    /// Rows removed, by this rule in its turn.
    pub removed: u64,
    /// Rows changed, by this rule in its turn.
    pub changed: u64,
    /// Up to three rows of the input that match.
    pub examples: Vec<Map<String, Value>>,
}
