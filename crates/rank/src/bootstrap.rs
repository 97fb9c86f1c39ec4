//! Bootstrap intervals over users (Efron 1979, percentile): users are drawn with replacement, the same draws for every
//! column of values, so differences between models are paired.

use rand::Rng;
use rayon::prelude::*;
use twinmart_tables::Draws;

/// Resamples of an interval.
const RESAMPLES: u64 = 1000;

/// The means of several columns of per-user values in every resample: `[resamples][columns]`. All columns have one
/// value per user.
pub(crate) fn resampled_means(columns: &[&[f64]], seed: u64) -> Vec<Vec<f64>> {
    let users = columns.first().map_or(0, |c| c.len());
    let family = Draws::new(seed).family("rank.bootstrap", "");
    let resample = |r: u64| {
        let mut stream = family.row(r);
        let mut sums = vec![0.0; columns.len()];
        for _ in 0..users {
            let user = stream.random_range(0..users);
            sums.iter_mut().zip(columns).for_each(|(s, c)| *s += c[user]);
        }
        sums.iter_mut().for_each(|s| *s /= users.max(1) as f64);
        sums
    };
    (0..RESAMPLES).into_par_iter().map(resample).collect()
}

/// The 2.5 % and 97.5 % points of `values`, linearly interpolated; values that are not numbers are left out.
pub(crate) fn interval(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut sorted: Vec<f64> = values.filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|q| quantile(&sorted, q))
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = q * last as f64;
    let (low, share) = (place.floor() as usize, place.fract());
    sorted[low] + share * (sorted[(low + 1).min(last)] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_a_mean_matches_the_normal_approximation() {
        // 400 values 0 and 1 in equal numbers: standard error 0.025; the interval's ends have a sampling error of about
        // 0.002 with a thousand resamples, so 0.012 is more than five of them.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let shifted: Vec<f64> = values.iter().map(|v| v + 1.0).collect();
        let means = resampled_means(&[&values, &shifted], 1);
        let [low, high] = interval(means.iter().map(|m| m[0]));
        assert!((low - 0.451).abs() < 0.012 && (high - 0.549).abs() < 0.012, "{low} {high}");
        assert!(means.iter().all(|m| (m[1] - m[0] - 1.0).abs() < 1e-9), "columns share their draws");
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(interval((0..=40).rev().map(f64::from)), [1.0, 39.0]);
        assert_eq!(interval(std::iter::empty()), [0.0, 0.0]);
    }
}
