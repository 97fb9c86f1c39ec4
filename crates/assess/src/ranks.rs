//! Statistics of ranks and distributions: average ranks, Spearman's ρ, the area under the ROC curve, the
//! Kolmogorov-Smirnov distance, Gini's coefficient.

/// Ranks from 1; equal values get the mean of their ranks.
pub(crate) fn average_ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_unstable_by(|a, b| x[*a].total_cmp(&x[*b]).then(a.cmp(b)));
    let mut ranks = vec![0.0; x.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && x[order[end]] == x[order[start]] {
            end += 1;
        }
        // Ranks start + 1 ..= end, whose mean is (start + 1 + end) / 2.
        for position in &order[start..end] {
            ranks[*position] = (start + 1 + end) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

/// Pearson's correlation; `None` where a side is constant.
pub(crate) fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's ρ: Pearson's correlation of average ranks; `None` where a side is constant.
pub(crate) fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&average_ranks(x), &average_ranks(y))
}

/// P(score of a positive > score of a negative) + ½·P(equal); `None` without both labels.
pub(crate) fn roc_auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let ranks = average_ranks(scores);
    let sum: f64 = ranks.iter().zip(positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    (positives > 0.0 && negatives > 0.0).then(|| (sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Kolmogorov-Smirnov: sup |F − G| of two samples. Missing (NaN) counts as one value above all others, so a
/// difference in the share of missing values counts too. `None` where a sample is empty.
pub(crate) fn ks_distance(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.is_empty() || y.is_empty() {
        return None;
    }
    let sorted = |x: &[f64]| {
        let mut x: Vec<f64> = x.iter().map(|x| if x.is_nan() { f64::INFINITY } else { *x }).collect();
        x.sort_unstable_by(f64::total_cmp);
        x
    };
    let (x, y) = (sorted(x), sorted(y));
    let (mut i, mut j, mut largest) = (0, 0, 0.0_f64);
    while i < x.len() && j < y.len() {
        let value = x[i].min(y[j]);
        while i < x.len() && x[i] <= value {
            i += 1;
        }
        while j < y.len() && y[j] <= value {
            j += 1;
        }
        largest = largest.max((i as f64 / x.len() as f64 - j as f64 / y.len() as f64).abs());
    }
    Some(largest)
}

/// Half the L1 distance of two distributions given as counts over the same cells; a side without counts is all zero.
pub(crate) fn total_variation(x: &[f64], y: &[f64]) -> f64 {
    let (sum_x, sum_y) = (x.iter().sum::<f64>().max(1.0), y.iter().sum::<f64>().max(1.0));
    let cells = x.len().max(y.len());
    let at = |v: &[f64], i: usize| v.get(i).copied().unwrap_or(0.0);
    0.5 * (0..cells).map(|i| (at(x, i) / sum_x - at(y, i) / sum_y).abs()).sum::<f64>()
}

/// Gini's coefficient of counts: 0 = all equal, towards 1 = all on one. `None` where there is nothing to share.
pub(crate) fn gini(counts: &[f64]) -> Option<f64> {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (n, total) = (sorted.len() as f64, sorted.iter().sum::<f64>());
    let weighted: f64 = sorted.iter().enumerate().map(|(i, x)| (i as f64 + 1.0) * x).sum();
    (total > 0.0).then(|| 2.0 * weighted / (n * total) - (n + 1.0) / n)
}

/// The quantile `q` of ascending values, linear between them; `None` where there are none.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (place - below as f64) * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn closed_forms() {
        assert_eq!(average_ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(roc_auc(&[0.1, 0.4, 0.4, 0.9], &[false, false, true, true]), Some(0.875));
        assert_eq!(ks_distance(&[1.0, 2.0], &[1.5, f64::NAN]), Some(0.5));
        assert_eq!(ks_distance(&[f64::NAN], &[f64::NAN]), Some(0.0));
        assert_eq!(gini(&[1.0, 1.0, 1.0]), Some(0.0));
        assert!((gini(&[0.0, 0.0, 0.0, 8.0]).unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(quantile(&[0.0, 10.0], 0.25), Some(2.5));
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    proptest! {
        #[test]
        fn auc_and_ks_equal_their_definitions(x in prop::collection::vec(0i32..8, 1..30), y in prop::collection::vec(0i32..8, 1..30)) {
            let (x, y): (Vec<f64>, Vec<f64>) = (x.iter().map(|v| f64::from(*v)).collect(), y.iter().map(|v| f64::from(*v)).collect());
            let wins: f64 = x.iter().flat_map(|a| y.iter().map(move |b| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 })).sum();
            let scores: Vec<f64> = x.iter().chain(&y).copied().collect();
            let labels: Vec<bool> = (0..scores.len()).map(|i| i < x.len()).collect();
            let auc = roc_auc(&scores, &labels).unwrap();
            prop_assert!((auc - wins / (x.len() * y.len()) as f64).abs() < 1e-12);

            let share = |v: &[f64], t: f64| v.iter().filter(|a| **a <= t).count() as f64 / v.len() as f64;
            let ks = (0..8).map(|t| (share(&x, f64::from(t)) - share(&y, f64::from(t))).abs()).fold(0.0, f64::max);
            prop_assert!((ks_distance(&x, &y).unwrap() - ks).abs() < 1e-12);
        }

        #[test]
        fn spearman_ignores_monotone_change(x in prop::collection::vec(-5.0..5.0f64, 3..30)) {
            let y: Vec<f64> = x.iter().map(|v| v.exp()).collect();
            if let Some(rho) = spearman(&x, &y) {
                prop_assert!((rho - 1.0).abs() < 1e-9);
            }
        }
    }
}
