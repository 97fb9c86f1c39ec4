//! An ordered column in cells: what a model tells apart.

use crate::chain::group;
use crate::number::Number;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How finely ordered columns are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Cells at most.
    pub cells: usize,
    /// Rows in a cell, on average, at least.
    pub rows: u64,
}

impl Default for Resolution {
    fn default() -> Resolution {
        Resolution { cells: 256, rows: 20 }
    }
}

/// Runs of segments of a [`Number`] of about equal weight; heavy spikes are cells of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cells {
    number: Number,
    /// First segment of each cell.
    starts: Vec<u32>,
}

impl Cells {
    pub(crate) fn of(number: Number, resolution: Resolution) -> Cells {
        let counts: Vec<u64> = (0..number.segments()).map(|s| number.count(s)).collect();
        let total: u64 = counts.iter().sum();
        // A dozen cells are useful in the smallest tables.
        let cells = usize::try_from(total / resolution.rows).unwrap_or(usize::MAX).clamp(12, resolution.cells);
        let starts = group(&counts, cells, usize::MAX >> 1).into_iter().map(|s| s as u32).collect();
        Cells { number, starts }
    }

    pub(crate) fn number(&self) -> &Number {
        &self.number
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    fn segments(&self, cell: usize) -> Range<usize> {
        let end = self.starts.get(cell + 1).map_or(self.number.segments(), |s| *s as usize);
        self.starts[cell] as usize..end
    }

    /// Values in each cell.
    pub(crate) fn weights(&self) -> Vec<u64> {
        (0..self.len()).map(|cell| self.segments(cell).map(|s| self.number.count(s)).sum()).collect()
    }

    /// The mean of each cell's values, positions on the grid; never falling.
    pub(crate) fn means(&self) -> Vec<f64> {
        (0..self.len()).map(|cell| self.number.mean(self.segments(cell))).collect()
    }

    /// The cell of a position on the grid.
    pub(crate) fn cell_of(&self, position: f64) -> u32 {
        let segment = self.number.segment_of(position) as u32;
        (self.starts.partition_point(|s| *s <= segment) - 1) as u32
    }

    /// A position drawn from a cell.
    pub(crate) fn draw(&self, cell: usize, stream: &mut impl RngCore) -> f64 {
        self.number.draw(self.segments(cell), stream)
    }

    /// The share of each cell's values within `intervals`: closed intervals of positions, in ascending order.
    pub(crate) fn shares(&self, intervals: &[(f64, f64)]) -> Vec<f32> {
        let share = |cell: usize| {
            let within: f64 = self.segments(cell).map(|s| self.number.count_within(s, intervals)).sum();
            let all: u64 = self.segments(cell).map(|s| self.number.count(s)).sum();
            (within / all as f64).min(1.0) as f32
        };
        (0..self.len()).map(share).collect()
    }

    /// As [`Cells::draw`], of the positions within `intervals`; `None` where there are none.
    pub(crate) fn draw_within(&self, cell: usize, intervals: &[(f64, f64)], stream: &mut impl RngCore) -> Option<f64> {
        self.number.draw_within(self.segments(cell), intervals, stream)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.number.is_sound()
            && self.starts.first() == Some(&0)
            && self.starts.is_sorted_by(|a, b| a < b)
            && self.starts.last().is_some_and(|s| (*s as usize) < self.number.segments())
    }
}
