//! Which values of a column are permitted: what is asked of rows that are drawn.

use crate::cells::Cells;
use crate::grid::{Grid, Numbers};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use twinmart_tables::Result;

/// Permitted values of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Permitted {
    /// Whether the value may be missing.
    pub missing: bool,
    /// Which present values may be drawn.
    pub values: Values,
}

/// Permitted present values.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// All.
    Any,
    /// These, as text; for columns of categories and text.
    Texts(Vec<String>),
    /// Closed intervals of integers, days or moments in their own unit, ascending and apart.
    Whole(Vec<(i64, i64)>),
    /// Closed intervals of numbers, ascending and apart.
    Real(Vec<(f64, f64)>),
}

impl Permitted {
    /// Everything that a column can hold.
    pub fn everything() -> Permitted {
        Permitted { missing: true, values: Values::Any }
    }

    /// For each value of a column, whether it is permitted.
    ///
    /// # Errors
    /// Where the values are of a type for which nothing of this kind can be permitted.
    pub fn holds(&self, column: &ArrayRef) -> Result<BooleanArray> {
        let whole = |x: Option<i64>, of: &[(i64, i64)]| match x {
            Some(x) => of.iter().any(|(low, high)| (*low..=*high).contains(&x)),
            None => self.missing,
        };
        let real = |x: Option<f64>, of: &[(f64, f64)]| match x {
            Some(x) => of.iter().any(|(low, high)| (*low..=*high).contains(&x)),
            None => self.missing,
        };
        Ok(match &self.values {
            Values::Any => {
                let nulls = column.logical_nulls();
                let is_null = |row: usize| nulls.as_ref().is_some_and(|n| n.is_null(row));
                (0..column.len()).map(|row| Some(self.missing || !is_null(row))).collect()
            }
            Values::Texts(texts) => {
                let text = cast(column, &DataType::Utf8)?;
                let holds = |t: Option<&str>| t.map_or(self.missing, |t| texts.iter().any(|x| x == t));
                text.as_string::<i32>().iter().map(|t| Some(holds(t))).collect()
            }
            Values::Whole(intervals) => match Numbers::of(column)? {
                Numbers::Whole(x) => x.iter().map(|x| Some(whole(x, intervals))).collect(),
                Numbers::Real(x) => {
                    let intervals: Vec<(f64, f64)> = intervals.iter().map(|(l, h)| (*l as f64, *h as f64)).collect();
                    x.iter().map(|x| Some(real(x, &intervals))).collect()
                }
            },
            Values::Real(intervals) => match Numbers::of(column)? {
                Numbers::Real(x) => x.iter().map(|x| Some(real(x, intervals))).collect(),
                Numbers::Whole(x) => x.iter().map(|x| Some(real(x.map(|x| x as f64), intervals))).collect(),
            },
        })
    }

    /// The permitted positions on a grid; `None` where all are.
    pub(crate) fn positions(&self, grid: &Grid) -> Option<Vec<(f64, f64)>> {
        match &self.values {
            Values::Any => None,
            Values::Whole(intervals) => {
                let position = |x: i64| grid.position_of_whole(x);
                Some(intervals.iter().map(|(low, high)| (position(*low), position(*high))).collect())
            }
            Values::Real(intervals) => Some(intervals.clone()),
            Values::Texts(_) => Some(Vec::new()),
        }
    }

    /// The share of each cell that is permitted.
    pub(crate) fn shares(&self, cells: &Cells) -> Vec<f32> {
        match self.positions(cells.number().grid()) {
            Some(intervals) => cells.shares(&intervals),
            None => vec![1.0; cells.len()],
        }
    }

    /// The permitted whole numbers; `None` where all are.
    pub(crate) fn whole(&self) -> Option<&[(i64, i64)]> {
        match &self.values {
            Values::Whole(intervals) => Some(intervals),
            _ => None,
        }
    }

    /// True for a permitted whole number.
    pub(crate) fn allows(&self, x: i64) -> bool {
        self.whole().is_none_or(|of| of.iter().any(|(low, high)| (*low..=*high).contains(&x)))
    }
}
