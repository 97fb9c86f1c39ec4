//! What the page draws of a column: shares of bins of equal width, or shares of the most frequent values.
//!
//! Plots must not point at a person: bins span the middle 98 % of the real values, and a value is named only if at least
//! five real people have it.

use crate::frame::{ColumnInfo, Frames, Values, counts_of};
use crate::ranks::quantile;
use crate::report::{Axis, ColumnPlot, Histogram, Shares, Sides};
use twinmart_tables::ColumnKind;

/// Bins of a histogram.
const BINS: usize = 30;
/// Named values of a category at most.
const VALUES: usize = 12;
/// People who must have a value before it is named.
const PEOPLE: usize = 5;
/// A positive column whose 99th percentile exceeds this many medians is drawn on a logarithmic axis.
const SKEWED: f64 = 20.0;

/// The plot of column `position`. `person[row]` says whose a real row is; without it every row is a person.
pub(crate) fn column_plot(frames: &Frames, position: usize, person: Option<&[u32]>) -> ColumnPlot {
    let info = &frames.columns[position];
    let holdout = frames.holdout.as_ref().map(|h| &h.columns[position]);
    match (&frames.real.columns[position], &frames.synthetic.columns[position]) {
        (Values::Ordered(real), Values::Ordered(synthetic)) => {
            let holdout = holdout.and_then(|h| match h {
                Values::Ordered(x) => Some(x.as_slice()),
                Values::Category(_) => None,
            });
            let seconds = matches!(info.kind, ColumnKind::Datetime | ColumnKind::Date);
            let axis = if seconds { Some(Axis::Seconds) } else { None };
            match histogram(axis, real, synthetic, holdout) {
                Some(histogram) => ColumnPlot::Histogram(histogram),
                None => ColumnPlot::Shares(shares(info, &[], &[], None, None)),
            }
        }
        (Values::Category(real), Values::Category(synthetic)) => {
            let holdout = holdout.and_then(|h| match h {
                Values::Category(c) => Some(c.as_slice()),
                Values::Ordered(_) => None,
            });
            ColumnPlot::Shares(shares(info, real, synthetic, holdout, person))
        }
        _ => ColumnPlot::Shares(shares(info, &[], &[], None, None)),
    }
}

/// A histogram over the middle 98 % of the real values, on `axis` or on one chosen by their skew. `None` without values.
pub(crate) fn histogram(
    axis: Option<Axis>,
    real: &[f64],
    synthetic: &[f64],
    holdout: Option<&[f64]>,
) -> Option<Histogram> {
    let mut sorted: Vec<f64> = real.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, middle, high) = (quantile(&sorted, 0.01)?, quantile(&sorted, 0.5)?, quantile(&sorted, 0.99)?);
    let skewed = low > 0.0 && high > SKEWED * middle;
    let axis = axis.unwrap_or(if skewed { Axis::Log10 } else { Axis::Number });
    if matches!(axis, Axis::Log10 | Axis::Log10Days) {
        let log = |x: &[f64]| x.iter().map(|x| x.max(f64::MIN_POSITIVE).log10()).collect::<Vec<_>>();
        let (from, to) = widened(low.max(f64::MIN_POSITIVE).log10(), high.max(f64::MIN_POSITIVE).log10());
        return Some(histogram_between(axis, from, to, BINS, &log(real), &log(synthetic), holdout.map(log).as_deref()));
    }
    let whole = sorted.iter().all(|x| x.fract() == 0.0);
    if axis == Axis::Number && whole && high - low < BINS as f64 {
        // One bin for each whole number.
        let (from, to) = (low.floor() - 0.5, high.ceil() + 0.5);
        return Some(histogram_between(axis, from, to, (to - from) as usize, real, synthetic, holdout));
    }
    let (from, to) = widened(low, high);
    Some(histogram_between(axis, from, to, BINS, real, synthetic, holdout))
}

/// An interval of some width.
fn widened(from: f64, to: f64) -> (f64, f64) {
    if to > from { (from, to) } else { (from - 0.5, from + 0.5) }
}

/// A histogram with `bins` bins between two borders; values beyond them count in the outermost bins.
pub(crate) fn histogram_between(
    axis: Axis,
    from: f64,
    to: f64,
    bins: usize,
    real: &[f64],
    synthetic: &[f64],
    holdout: Option<&[f64]>,
) -> Histogram {
    let width = (to - from) / bins as f64;
    let shares = |x: &[f64]| {
        let mut counts = vec![0.0; bins];
        for x in x.iter().filter(|x| !x.is_nan()) {
            counts[(((x - from) / width).max(0.0) as usize).min(bins - 1)] += 1.0;
        }
        let total = counts.iter().sum::<f64>().max(1.0);
        counts.into_iter().map(|c| c / total).collect::<Vec<_>>()
    };
    Histogram {
        axis,
        edges: (0..=bins).map(|b| from + width * b as f64).collect(),
        shares: Sides { real: shares(real), synthetic: shares(synthetic), holdout: holdout.map(shares) },
    }
}

fn shares(
    info: &ColumnInfo,
    real: &[u32],
    synthetic: &[u32],
    holdout: Option<&[u32]>,
    person: Option<&[u32]>,
) -> Shares {
    let present = |codes: &[u32]| {
        let mut counts = counts_of(codes);
        counts.resize(info.labels.len(), 0);
        for (count, label) in counts.iter_mut().zip(&info.labels) {
            if label.is_none() {
                *count = 0;
            }
        }
        counts
    };
    let real_counts = present(real);
    let people = match person {
        None => real_counts.clone(),
        Some(person) => people_of(real, person, info.labels.len()),
    };
    let mut named: Vec<usize> =
        (0..info.labels.len()).filter(|c| real_counts[*c] > 0 && people[*c] >= PEOPLE).collect();
    named.sort_by_key(|c| (std::cmp::Reverse(real_counts[*c]), *c));
    named.truncate(VALUES);

    let side = |counts: &[usize]| {
        let total = counts.iter().sum::<usize>().max(1) as f64;
        let shares: Vec<f64> = named.iter().map(|c| counts[*c] as f64 / total).collect();
        let named_count: usize = named.iter().map(|c| counts[*c]).sum();
        let other = (counts.iter().sum::<usize>() - named_count) as f64 / total;
        let distinct = counts.iter().filter(|n| **n > 0).count() as u64;
        (shares, other, distinct)
    };
    let (real, synthetic, holdout) =
        (side(&real_counts), side(&present(synthetic)), holdout.map(|h| side(&present(h))));
    Shares {
        values: named.iter().filter_map(|c| info.labels[*c].clone()).collect(),
        other: Sides { real: real.1, synthetic: synthetic.1, holdout: holdout.as_ref().map(|h| h.1) },
        distinct: Sides { real: real.2, synthetic: synthetic.2, holdout: holdout.as_ref().map(|h| h.2) },
        shares: Sides { real: real.0, synthetic: synthetic.0, holdout: holdout.map(|h| h.0) },
    }
}

/// Number of different people with each code.
fn people_of(codes: &[u32], person: &[u32], labels: usize) -> Vec<usize> {
    let mut pairs: Vec<(u32, u32)> = codes.iter().copied().zip(person.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut people = vec![0; labels];
    for (code, _) in pairs {
        people[code as usize] += 1;
    }
    people
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_four_people_is_not_named() {
        let info = ColumnInfo {
            name: "c".into(),
            kind: ColumnKind::Category,
            labels: vec![Some("common".into()), Some("rare".into()), None],
        };
        // Rare: nine rows of four people. Common: six rows of five people. Missing: one row.
        let codes = [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 2];
        let person = [1, 1, 1, 2, 2, 3, 3, 4, 4, 1, 2, 3, 4, 5, 5, 1];
        let plot = shares(&info, &codes, &[0, 1, 1, 1], None, Some(&person));
        assert_eq!(plot.values, ["common"]);
        assert!((plot.shares.real[0] - 0.4).abs() < 1e-12 && (plot.other.real - 0.6).abs() < 1e-12);
        assert_eq!((plot.shares.synthetic[0], plot.other.synthetic), (0.25, 0.75));
        assert_eq!(plot.distinct.real, 2);
    }

    #[test]
    fn whole_numbers_get_a_bin_each_and_long_tails_a_logarithm() {
        let dice: Vec<f64> = (0..600).map(|i| f64::from(i % 6 + 1)).collect();
        let plot = histogram(None, &dice, &[1.0], None).unwrap();
        assert_eq!(plot.edges, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]);
        assert!(plot.shares.real.iter().all(|s| (s - 1.0 / 6.0).abs() < 1e-12));
        assert_eq!(plot.shares.synthetic, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let tail: Vec<f64> = (0..100).map(|i| 1.1_f64.powi(i)).collect();
        assert_eq!(histogram(None, &tail, &tail, None).unwrap().axis, Axis::Log10);
        assert_eq!(histogram(None, &[f64::NAN], &tail, None), None);
        assert_eq!(histogram(None, &[2.5; 9], &[2.5], None).unwrap().shares.real.iter().sum::<f64>(), 1.0);
    }
}
