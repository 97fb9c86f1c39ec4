//! Column pairs: how close the relation of two columns is on two sides.
//!
//! Both ordered: correlation similarity, 1 − |ρ_real − ρ_other| / 2, with Spearman's ρ (amounts in shops have tails that
//! make Pearson's depend on a handful of rows). Otherwise: contingency similarity, 1 − ½·Σ |p_real − p_other| over the
//! joint table of [`crate::bins`], whose borders come from the real data.

use crate::bins::BinnedSides;
use crate::frame::{Frame, Values};
use crate::ranks::{average_ranks, pearson};
use rayon::prelude::*;

/// `[columns][columns]` similarities, symmetric; the diagonal is left empty.
pub(crate) fn pairs(real: &Frame, other: &Frame, binned: &BinnedSides) -> Vec<Vec<Option<f64>>> {
    let n = real.columns.len();
    let real_ranks: Vec<Option<Ranked>> = real.columns.par_iter().map(Ranked::of).collect();
    let other_ranks: Vec<Option<Ranked>> = other.columns.par_iter().map(Ranked::of).collect();
    let cells: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
    let values: Vec<Option<f64>> = cells
        .par_iter()
        .map(|&(i, j)| {
            if real.rows == 0 || other.rows == 0 {
                return None;
            }
            match (&real_ranks[i], &real_ranks[j], &other_ranks[i], &other_ranks[j]) {
                (Some(a), Some(b), Some(c), Some(d)) => correlation_similarity(a.correlation(b), c.correlation(d)),
                _ => Some(binned.similarity(i, j)),
            }
        })
        .collect();
    let mut matrix = vec![vec![None; n]; n];
    for ((i, j), value) in cells.into_iter().zip(values) {
        matrix[i][j] = value;
        matrix[j][i] = value;
    }
    matrix
}

/// The mean above the diagonal.
pub(crate) fn mean_pair(matrix: &[Vec<Option<f64>>]) -> Option<f64> {
    crate::shapes::mean(matrix.iter().enumerate().flat_map(|(i, row)| row[i + 1..].iter().copied()))
}

/// A constant column has no correlation: the same on both sides is no difference; on one side only, the correlation is
/// compared with none.
fn correlation_similarity(real: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (real, other) {
        (None, None) => None,
        (real, other) => Some(1.0 - (real.unwrap_or(0.0) - other.unwrap_or(0.0)).abs() / 2.0),
    }
}

/// An ordered column, ready for many correlations.
struct Ranked<'a> {
    values: &'a [f64],
    ranks: Vec<f64>,
    has_gaps: bool,
}

impl<'a> Ranked<'a> {
    fn of(values: &'a Values) -> Option<Ranked<'a>> {
        match values {
            Values::Ordered(x) => {
                Some(Ranked { values: x, ranks: average_ranks(x), has_gaps: x.iter().any(|x| x.is_nan()) })
            }
            Values::Category(_) => None,
        }
    }

    /// Spearman's ρ over the rows where both are present.
    fn correlation(&self, other: &Ranked) -> Option<f64> {
        if !self.has_gaps && !other.has_gaps {
            return pearson(&self.ranks, &other.ranks);
        }
        let both: Vec<usize> =
            (0..self.values.len()).filter(|i| !self.values[*i].is_nan() && !other.values[*i].is_nan()).collect();
        let present = |x: &[f64]| average_ranks(&both.iter().map(|i| x[*i]).collect::<Vec<_>>());
        pearson(&present(self.values), &present(other.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(real: Vec<Values>, other: Vec<Values>) -> Option<f64> {
        let frame = |columns: Vec<Values>| {
            let rows = match &columns[0] {
                Values::Ordered(x) => x.len(),
                Values::Category(c) => c.len(),
            };
            Frame { columns, rows }
        };
        let (real, other) = (frame(real), frame(other));
        pairs(&real, &other, &BinnedSides::new(&real, &other))[0][1]
    }

    #[test]
    fn opposite_correlations_are_as_far_as_can_be() {
        let x = Values::Ordered(vec![1.0, 2.0, 3.0]);
        let down = Values::Ordered(vec![30.0, 20.0, 1.0]);
        assert_eq!(pair(vec![x.clone(), x.clone()], vec![x.clone(), down]), Some(0.0));
        let gap = Values::Ordered(vec![1.0, f64::NAN, 3.0]);
        assert_eq!(pair(vec![x.clone(), gap], vec![x.clone(), x]), Some(1.0));
    }

    #[test]
    fn a_category_and_a_number_are_compared_by_their_joint_table() {
        let x = Values::Ordered(vec![1.0, 1.0, 5.0, 5.0]);
        let same = Values::Category(vec![0, 0, 1, 1]);
        let crossed = Values::Category(vec![0, 1, 0, 1]);
        assert_eq!(pair(vec![x.clone(), same.clone()], vec![x.clone(), same.clone()]), Some(1.0));
        assert_eq!(pair(vec![x.clone(), same], vec![x, crossed]), Some(0.5));
    }
}
