//! Columns as leaves: one integer for each part of a column instead of a chain of sub-columns.
//!
//! A model that looks at a whole value at once (a generator, a distance) needs cells, not the way through the tree that leads
//! to them. The leaves of a part are numbered from the left, as the nodes of a chain's last level are.

use std::ops::Range;

/// One part of a column as cells: most columns have one, a moment has a day (or week and weekday) and a time of day.
#[derive(Debug, Clone)]
pub struct Leaves {
    /// Position of the table's column.
    pub column: usize,
    /// True where neighbouring leaves are neighbouring values.
    pub ordered: bool,
    /// True where leaf 0 means that the value is missing.
    pub missing: bool,
    /// How many leaves after that stand for values that are not listed (others, or new text): 0 or 1.
    pub apart: usize,
    /// `[leaves]` rows of the data that the encoding was made of, "missing" included. They add up to the rows, but for moments
    /// that are counted from a missing one: these count nowhere.
    pub weights: Vec<u64>,
    /// `[leaves]` the mean of each cell's values on the grid of its column, never falling; NaN for "missing" and where leaves
    /// are not ordered.
    pub positions: Vec<f64>,
    /// Its sub-columns in the order of the table's.
    pub sub_columns: Range<usize>,
}
