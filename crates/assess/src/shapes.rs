//! Column shapes: how close the distribution of one column is on two sides.
//!
//! Ordered columns: KS complement, 1 − sup |F_real − F_other|, with missing as one value above all others.
//! Categories: TV complement, 1 − ½·Σ |p_real − p_other|, with missing as a value like any other.

use crate::frame::{Frame, Values, counts_of};
use crate::ranks::{ks_distance, total_variation};

/// Similarity of one column, 1 = equal; `None` where a side has no rows.
pub(crate) fn shape(real: &Values, other: &Values) -> Option<f64> {
    match (real, other) {
        (Values::Ordered(real), Values::Ordered(other)) => Some(1.0 - ks_distance(real, other)?),
        (Values::Category(real), Values::Category(other)) if !real.is_empty() && !other.is_empty() => {
            let counts = |codes: &[u32]| counts_of(codes).into_iter().map(|n| n as f64).collect::<Vec<_>>();
            Some(1.0 - total_variation(&counts(real), &counts(other)))
        }
        _ => None,
    }
}

/// The shapes of all columns.
pub(crate) fn shapes(real: &Frame, other: &Frame) -> Vec<Option<f64>> {
    real.columns.iter().zip(&other.columns).map(|(r, o)| shape(r, o)).collect()
}

/// The mean of the numbers that exist.
pub(crate) fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let present: Vec<f64> = values.into_iter().flatten().collect();
    (!present.is_empty()).then(|| present.iter().sum::<f64>() / present.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms() {
        let ordered = |x: &[f64]| Values::Ordered(x.to_vec());
        assert_eq!(shape(&ordered(&[1.0, 2.0]), &ordered(&[1.0, 2.0, 1.0, 2.0])), Some(1.0));
        assert_eq!(shape(&ordered(&[1.0, 2.0]), &ordered(&[3.0])), Some(0.0));
        // A fifth more missing values is a distance of a fifth.
        let gaps = ordered(&[1.0, 1.0, 1.0, 1.0, f64::NAN]);
        assert!((shape(&ordered(&[1.0]), &gaps).unwrap() - 0.8).abs() < 1e-12);
        let category = |c: &[u32]| Values::Category(c.to_vec());
        assert_eq!(shape(&category(&[0, 0, 1, 1]), &category(&[0, 2])), Some(0.5));
        assert_eq!(shape(&category(&[0]), &category(&[])), None);
    }
}
