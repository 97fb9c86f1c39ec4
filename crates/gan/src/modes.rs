//! The modes of an ordered column: a Gaussian mixture on the line, and numbers as a mode and a place within it.
//!
//! Mode-specific normalization (Xu, Skoularidou, Cuesta-Infante & Veeramachaneni, "Modeling tabular data using conditional
//! GAN", NeurIPS 2019, section 4.2): a number x of the mode k with mean μ and deviation σ is (x − μ) / 4σ.
//!
//! The mixture is fitted by variational Bayes (Bishop, "Pattern recognition and machine learning", 2006, section 10.2) with
//! weights from a Dirichlet process cut off at a number of components, broken as sticks (Blei & Jordan, "Variational
//! inference for Dirichlet process mixtures", 2006, section 3). A point of weight w counts as w equal points. Priors, on
//! positions that are standardized: mean 0 with precision 1; Wishart with 1 degree of freedom and variance 1; sticks
//! Beta(1, γ) with γ = 0.001. Nothing is drawn: the start is a k-means partition that begins with quantiles.

use serde::{Deserialize, Serialize};

/// Components of less weight are not modes.
const LEAST_WEIGHT: f64 = 0.005;
/// γ of the sticks' prior Beta(1, γ): small, so that components that are not needed lose their weight.
const CONCENTRATION: f64 = 0.001;
/// Added to each variance, in units of the variance of all points.
const LEAST_VARIANCE: f64 = 1e-6;
/// Rounds at most, of k-means and of the variational fit.
const ROUNDS: usize = 100;
/// The fit ends once less than this share of the points changes its component in a round.
const SETTLED: f64 = 1e-6;
/// Normalized numbers lie between −0.99 and 0.99.
const WIDEST: f64 = 0.99;
/// Deviations in a unit of a normalized number.
const DEVIATIONS: f64 = 4.0;

/// A Gaussian mixture on the line: `[modes]` each, at least one, ordered by mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Modes {
    /// Shares of the points, which add up to 1.
    pub(crate) weights: Vec<f64>,
    /// Means, finite.
    pub(crate) means: Vec<f64>,
    /// Standard deviations, finite and above 0.
    pub(crate) deviations: Vec<f64>,
}

impl Modes {
    /// The mixture of at most `most` components for points `(position, weight)`. Components that keep a weight above 0.005
    /// stay, the heaviest always. Points that are not finite or weigh nothing do not count; without any, one mode is the
    /// standard normal distribution, and equal ones have one narrow mode.
    pub(crate) fn of(points: &[(f64, f64)], most: usize) -> Modes {
        let points = distinct(points);
        let [first, _, ..] = points[..] else {
            let (mean, deviation) = points.first().map_or((0.0, 1.0), |(x, _)| (*x, narrow(*x)));
            return Modes { weights: vec![1.0], means: vec![mean], deviations: vec![deviation] };
        };
        let scale = points.iter().fold(first.0.abs(), |largest, (x, _)| largest.max(x.abs()));
        let total: f64 = points.iter().map(|(_, w)| w).sum();
        let center: f64 = points.iter().map(|(x, w)| w / total * (x / scale)).sum();
        // As if each point were repeated: the unbiased variance.
        let freedom = (total - 1.0).max(total / 2.0);
        let spread = points.iter().map(|(x, w)| w / freedom * (x / scale - center).powi(2)).sum::<f64>().sqrt();
        let spread = spread.max(f64::EPSILON);
        let standard: Vec<(f64, f64)> = points.iter().map(|(x, w)| ((x / scale - center) / spread, *w)).collect();
        let fitted = Posterior::fitted(&standard, most.clamp(1, points.len()));
        let back = |z: f64| ((center + spread * z) * scale).clamp(f64::MIN, f64::MAX);
        let wide = |variance: f64| (variance.sqrt() * spread * scale).clamp(f64::MIN_POSITIVE, f64::MAX);
        let components = fitted.weights().into_iter().zip(&fitted.means).zip(&fitted.variances);
        Modes::among(components.map(|((weight, mean), variance)| (weight, back(*mean), wide(*variance))).collect())
    }

    /// The components `(weight, mean, deviation)` that weigh enough, ordered by mean.
    fn among(mut components: Vec<(f64, f64, f64)>) -> Modes {
        let heaviest = components.iter().fold(0.0, |most: f64, c| most.max(c.0));
        components.retain(|c| c.0 > LEAST_WEIGHT.min(heaviest / 2.0));
        components.sort_by(|a, b| a.1.total_cmp(&b.1));
        let total: f64 = components.iter().map(|c| c.0).sum();
        Modes {
            weights: components.iter().map(|c| c.0 / total).collect(),
            means: components.iter().map(|c| c.1).collect(),
            deviations: components.iter().map(|c| c.2).collect(),
        }
    }

    /// `[modes]` the probability of each mode, given a finite position: they add up to 1.
    pub(crate) fn responsibilities(&self, position: f64) -> Vec<f64> {
        let mut shares = self.logs(position);
        to_shares(&mut shares);
        shares
    }

    /// `[modes]` logarithms of weight and density at a finite position.
    fn logs(&self, position: f64) -> Vec<f64> {
        let log = |mode: usize| {
            // So far from all modes, squares would be infinite.
            let away = ((position - self.means[mode]) / self.deviations[mode]).clamp(-1e150, 1e150);
            let half_ln_tau = std::f64::consts::TAU.ln() / 2.0;
            self.weights[mode].ln() - self.deviations[mode].ln() - half_ln_tau - away * away / 2.0
        };
        (0..self.means.len()).map(log).collect()
    }

    /// Logarithm of the density at a finite position.
    pub(crate) fn log_density(&self, position: f64) -> f64 {
        let logs = self.logs(position);
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
    }

    /// A finite position within a mode: (x − μ) / 4σ, from −0.99 to 0.99.
    pub(crate) fn normalized(&self, mode: usize, position: f64) -> f64 {
        ((position - self.means[mode]) / self.deviations[mode] / DEVIATIONS).clamp(-WIDEST, WIDEST)
    }

    /// The position of a number within a mode: the inverse of [`Modes::normalized`], where that clips nothing.
    pub(crate) fn position(&self, mode: usize, normalized: f64) -> f64 {
        (self.means[mode] + normalized * DEVIATIONS * self.deviations[mode]).clamp(f64::MIN, f64::MAX)
    }
}

/// What is known of the components, of which the first has the first piece of the stick: `[components]` each.
struct Posterior {
    /// 1 + the points of each. With these priors it is three things: the precision of the mean (Bishop's β), the degrees of
    /// freedom of the Wishart distribution (ν), and α of the piece of the stick, which is Beta(α, β).
    strengths: Vec<f64>,
    /// β of the piece of the stick: γ + the points of all components behind it.
    behind: Vec<f64>,
    /// Expected means (m).
    means: Vec<f64>,
    /// 1 / νW, with W the Wishart distribution's scale.
    variances: Vec<f64>,
}

impl Posterior {
    /// Fits standardized points in ascending order, of which there are at least `components`.
    fn fitted(points: &[(f64, f64)], components: usize) -> Posterior {
        let start = by_weight(points, &nearest_means(points, quantiles(points, components)), components);
        let mut shares = vec![0.0; points.len() * components];
        start.iter().enumerate().for_each(|(point, group)| shares[point * components + group] = 1.0);
        let total: f64 = points.iter().map(|(_, w)| w).sum();
        let mut posterior = Posterior::of(points, &shares, components);
        for _ in 0..ROUNDS {
            let next = posterior.shares(points);
            let rows = next.chunks_exact(components).zip(shares.chunks_exact(components)).zip(points);
            let moved = |(new, old): (&[f64], &[f64])| new.iter().zip(old).map(|(n, o)| (n - o).abs()).sum::<f64>();
            let change: f64 = rows.map(|(row, (_, w))| w / total * moved(row) / 2.0).sum();
            shares = next;
            posterior = Posterior::of(points, &shares, components);
            if change < SETTLED {
                break;
            }
        }
        posterior
    }

    /// The posterior, given `shares` `[points][components]` of the points (Bishop, equations 10.51 to 10.53 and 10.60 to
    /// 10.63; Blei & Jordan, equations 18 and 19).
    fn of(points: &[(f64, f64)], shares: &[f64], components: usize) -> Posterior {
        let column = |k: usize| points.iter().zip(shares.iter().skip(k).step_by(components));
        let count = |k: usize| column(k).map(|((_, w), share)| w * share).sum::<f64>();
        let counts: Vec<f64> = (0..components).map(count).collect();
        let mean = |k: usize| match counts[k] > 0.0 {
            true => column(k).map(|((x, w), share)| w * share / counts[k] * x).sum(),
            false => 0.0,
        };
        let observed: Vec<f64> = (0..components).map(mean).collect();
        let variance = |k: usize| {
            let squares: f64 = column(k).map(|((x, w), share)| w * share * (x - observed[k]).powi(2)).sum();
            let pulled = counts[k] / (1.0 + counts[k]) * observed[k].powi(2);
            (1.0 + squares + counts[k] * LEAST_VARIANCE + pulled) / (1.0 + counts[k])
        };
        let behind = |k: usize| CONCENTRATION + counts[k + 1..].iter().sum::<f64>();
        Posterior {
            strengths: counts.iter().map(|n| 1.0 + n).collect(),
            behind: (0..components).map(behind).collect(),
            means: counts.iter().zip(&observed).map(|(n, mean)| n / (1.0 + n) * mean).collect(),
            variances: (0..components).map(variance).collect(),
        }
    }

    /// `[points][components]` the share of each component in each point (Bishop, equations 10.46, 10.49, 10.64 and 10.65;
    /// Blei & Jordan, equation 22).
    fn shares(&self, points: &[(f64, f64)]) -> Vec<f64> {
        let mut before = 0.0;
        let constant = |k: usize| {
            let (strength, behind) = (self.strengths[k], self.behind[k]);
            let whole = digamma(strength + behind);
            let log_weight = before + digamma(strength) - whole;
            before += digamma(behind) - whole;
            let log_precision = digamma(strength / 2.0) - (strength / 2.0).ln() - self.variances[k].ln();
            log_weight + (log_precision - 1.0 / strength) / 2.0
        };
        let constants: Vec<f64> = (0..self.means.len()).map(constant).collect();
        let mut shares = Vec::with_capacity(points.len() * constants.len());
        for (x, _) in points {
            let log = |k: usize| constants[k] - (x - self.means[k]).powi(2) / self.variances[k] / 2.0;
            let mut row: Vec<f64> = (0..constants.len()).map(log).collect();
            to_shares(&mut row);
            shares.extend(row);
        }
        shares
    }

    /// Weights at the means of the sticks' pieces, which add up to 1.
    fn weights(&self) -> Vec<f64> {
        let mut rest = 1.0;
        let piece = |(strength, behind): (&f64, &f64)| {
            let weight = rest * strength / (strength + behind);
            rest *= behind / (strength + behind);
            weight
        };
        let weights: Vec<f64> = self.strengths.iter().zip(&self.behind).map(piece).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / total).collect()
    }
}

/// Points that count, in ascending order, equal positions together.
fn distinct(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, w)| x.is_finite() && w.is_finite() && *w > 0.0).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut distinct: Vec<(f64, f64)> = Vec::with_capacity(sorted.len());
    for (x, w) in sorted {
        match distinct.last_mut() {
            Some(last) if last.0 == x => last.1 += w,
            _ => distinct.push((x, w)),
        }
    }
    distinct
}

/// The deviation of equal points.
fn narrow(position: f64) -> f64 {
    LEAST_VARIANCE.sqrt() * position.abs().max(1.0)
}

/// Points in ascending order as `groups` runs of about equal weight, none empty; a point of much weight stands alone. Returns
/// the group of each point.
fn quantiles(points: &[(f64, f64)], groups: usize) -> Vec<usize> {
    let mut of = Vec::with_capacity(points.len());
    let mut left: f64 = points.iter().map(|(_, w)| w).sum();
    let (mut group, mut sum) = (0, 0.0);
    for (at, (_, weight)) in points.iter().enumerate() {
        let others = groups - 1 - group;
        let full = sum + weight / 2.0 >= left / (others as f64 + 1.0);
        if of.last() == Some(&group) && others > 0 && (full || points.len() - at <= others) {
            group += 1;
            left -= sum;
            sum = 0.0;
        }
        sum += weight;
        of.push(group);
    }
    of
}

/// Moves points to the group with the nearest mean, and means to their points, until nothing moves (Lloyd's k-means).
fn nearest_means(points: &[(f64, f64)], mut groups: Vec<usize>) -> Vec<usize> {
    let count = groups.last().map_or(0, |last| last + 1);
    for _ in 0..ROUNDS {
        let mut sums = vec![(0.0, 0.0); count];
        for ((x, w), group) in points.iter().zip(&groups) {
            sums[*group].0 += w * x;
            sums[*group].1 += w;
        }
        let away =
            |x: f64, (sum, weight): (f64, f64)| if weight > 0.0 { (x - sum / weight).abs() } else { f64::INFINITY };
        let nearest =
            |x: f64| (0..count).min_by(|a, b| away(x, sums[*a]).total_cmp(&away(x, sums[*b]))).unwrap_or_default();
        let moved: Vec<usize> = points.iter().map(|(x, _)| nearest(*x)).collect();
        if moved == groups {
            break;
        }
        groups = moved;
    }
    groups
}

/// Numbers groups anew, from the heaviest to the lightest (ties as before): long pieces of the stick come first.
fn by_weight(points: &[(f64, f64)], groups: &[usize], count: usize) -> Vec<usize> {
    let mut weights = vec![0.0; count];
    points.iter().zip(groups).for_each(|((_, w), group)| weights[*group] += w);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let mut rank = vec![0; count];
    order.into_iter().enumerate().for_each(|(place, group)| rank[group] = place);
    groups.iter().map(|group| rank[*group]).collect()
}

/// Logarithms of odds as shares that add up to 1.
fn to_shares(logs: &mut [f64]) {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logs.iter_mut().for_each(|log| *log = (*log - largest).exp());
    let total: f64 = logs.iter().sum();
    logs.iter_mut().for_each(|share| *share /= total);
}

/// The digamma function ψ of x > 0 (Abramowitz & Stegun, "Handbook of mathematical functions", 1964: the recurrence 6.3.5
/// up to 10, from there the asymptotic series 6.3.18), to about 14 digits.
fn digamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = [1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0];
    let series = series.into_iter().fold(-691.0 / 32_760.0, |series, next| series * square + next);
    sum + x.ln() - 0.5 / x - series * square
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Modes {
        fn density(&self, x: f64) -> f64 {
            let one = |k: usize| {
                let away = (x - self.means[k]) / self.deviations[k];
                self.weights[k] / self.deviations[k] * (-away * away / 2.0).exp() / std::f64::consts::TAU.sqrt()
            };
            (0..self.means.len()).map(one).sum()
        }
    }

    fn normal_density(x: f64, mean: f64, deviation: f64) -> f64 {
        Modes { weights: vec![1.0], means: vec![mean], deviations: vec![deviation] }.density(x)
    }

    /// The weight, mean and deviation of all modes whose mean lies within `low..high`, together.
    fn together(modes: &Modes, low: f64, high: f64) -> (f64, f64, f64) {
        let inside = || (0..modes.means.len()).filter(|k| (low..high).contains(&modes.means[*k]));
        let weight: f64 = inside().map(|k| modes.weights[k]).sum();
        let mean = inside().map(|k| modes.weights[k] / weight * modes.means[k]).sum::<f64>();
        let square = |k: usize| modes.deviations[k].powi(2) + (modes.means[k] - mean).powi(2);
        let variance: f64 = inside().map(|k| modes.weights[k] / weight * square(k)).sum();
        (weight, mean, variance.sqrt())
    }

    #[test]
    fn digamma_has_its_known_values() {
        // Abramowitz & Stegun, table 6.1 and 6.3.3; the last by scipy.special.digamma.
        let known = [
            (1.0, -0.577_215_664_901_532_9),
            (0.5, -1.963_510_026_021_423_5),
            (10.0, 2.251_752_589_066_721),
            (0.001, -1_000.575_571_931_810_3),
        ];
        for (x, value) in known {
            assert!((digamma(x) - value).abs() < 1e-12 * value.abs(), "{x}");
        }
    }

    /// Planted mixtures as cells of known weight on a fine grid; the figures are what the grid itself gives.
    #[test]
    fn planted_mixtures_are_found() {
        let planted = [(0.5, 0.0, 1.0), (0.4, 40.0, 4.0), (0.1, -30.0, 2.0)];
        let density = |x: f64| -> f64 { planted.iter().map(|(w, m, d)| w * normal_density(x, *m, *d)).sum() };
        let grid = |i: i32| -40.0 + 0.1 * f64::from(i);
        let points: Vec<(f64, f64)> = (0..1_000).map(|i| (grid(i), 10_000.0 * density(grid(i)))).collect();
        let modes = Modes::of(&points, 10);
        assert!(modes.means.is_sorted());
        for ((weight, mean, deviation), (low, high)) in
            planted.into_iter().zip([(-15.0, 15.0), (15.0, 99.0), (-99.0, -15.0)])
        {
            let found = together(&modes, low, high);
            assert!((found.0 - weight).abs() < 0.01, "{found:?}");
            assert!((found.1 - mean).abs() < 0.05 * deviation, "{found:?}");
            assert!((found.2 - deviation).abs() < 0.05 * deviation, "{found:?}");
        }
        let apart: f64 = points.iter().map(|(x, _)| 0.1 * (modes.density(*x) - density(*x)).abs()).sum();
        assert!(apart / 2.0 < 0.02, "total variation {apart}");
    }

    /// Densities by scikit-learn 1.9.1 of the same points, with the same start and with its own (k-means++, seed 0):
    ///
    /// ```python
    /// X = np.repeat(x, w)[:, None]
    /// prior = dict(weight_concentration_prior_type="dirichlet_process", weight_concentration_prior=0.001)
    /// ours = BayesianGaussianMixture(n_components=k, max_iter=100, tol=0, reg_covar=1e-6 * X.var(ddof=1), **prior)
    /// resp = np.repeat(np.eye(k)[start], w, axis=0)  # start: what `by_weight` gives
    /// ours._initialize_parameters = lambda X, random_state, xp=None: ours._initialize(X, resp)
    /// own = BayesianGaussianMixture(n_components=4, max_iter=100, random_state=0, **prior)
    /// for m in (ours.fit(X), own.fit(X)):
    ///     o = m.weights_ > 0.005
    ///     deviations = m.covariances_[o, 0, 0] ** 0.5
    ///     parts = m.weights_[o] / m.weights_[o].sum() * norm.pdf(at[:, None], m.means_[o, 0], deviations)
    ///     print(parts.sum(1))
    /// ```
    #[test]
    fn the_density_is_that_of_another_program() {
        #[rustfmt::skip]
        let points = [
            (0.0, 400.0), (1.0, 90.0), (2.0, 60.0), (3.0, 80.0), (4.0, 90.0), (5.0, 70.0), (6.0, 40.0), (8.0, 30.0),
            (10.0, 20.0), (15.0, 8.0), (20.0, 12.0), (25.0, 20.0), (26.0, 40.0), (27.0, 90.0), (28.0, 120.0), (29.0, 130.0),
            (30.0, 100.0), (31.0, 60.0), (32.0, 30.0), (34.0, 10.0), (60.0, 30.0), (64.0, 50.0), (70.0, 30.0), (90.0, 9.0),
        ];
        let start = by_weight(&points, &nearest_means(&points, quantiles(&points, 4)), 4);
        assert_eq!(start, [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3]);
        let start = by_weight(&points, &nearest_means(&points, quantiles(&points, 10)), 10);
        assert_eq!(start, [0, 4, 4, 2, 2, 3, 3, 3, 3, 9, 9, 5, 5, 5, 7, 6, 1, 1, 1, 1, 8, 8, 8, 8]);
        let at = [0.0, 0.5, 2.0, 4.0, 7.0, 12.0, 20.0, 27.0, 29.0, 33.0, 45.0, 64.0, 75.0, 90.0];
        #[rustfmt::skip]
        let known: [(usize, f64, [f64; 14]); 3] = [
            (4, 1e-4, [0.0667194424, 0.0771444225, 0.0896469079, 0.0567559983, 0.00913945141, 0.00300239774, 0.000879642809,
                0.0503024084, 0.0720555242, 0.00821985822, 0.000211561728, 0.00315026246, 0.00197419171, 9.46787791e-05]),
            (10, 1e-4, [0.0675961996, 0.0781926219, 0.0905768072, 0.0565700823, 0.00903121117, 0.00299252554, 0.000689121202,
                0.0505206804, 0.0723896629, 0.00822089707, 0.000204533087, 0.00304657168, 0.00190944044, 9.15815848e-05]),
            (4, 0.02, [0.0667163297, 0.0771416335, 0.0896314905, 0.0567195168, 0.00914893341, 0.00302775004, 0.000884699087,
                0.0501497992, 0.0718389323, 0.00819471546, 0.000214521557, 0.00319369356, 0.0020014225, 9.59995879e-05]),
        ];
        for (most, tolerance, densities) in known {
            let modes = Modes::of(&points, most);
            for (x, density) in at.iter().zip(densities) {
                let found = modes.density(*x);
                assert!((found / density - 1.0).abs() < tolerance, "{most} components at {x}: {found}, not {density}");
            }
        }
    }

    #[test]
    fn heavy_spikes_are_modes_of_their_own() {
        // Nine of ten rows are zero, the others a lognormal tail.
        let tail = (1..200).map(|i| f64::from(i) / 200.0).map(|p| (3.0 + (p / (1.0 - p)).ln() * 0.6).exp());
        let points: Vec<(f64, f64)> = tail.map(|x| (x, 50.0)).chain([(0.0, 90_000.0)]).collect();
        let modes = Modes::of(&points, 10);
        assert!((modes.weights[0] - 0.9).abs() < 0.01 && modes.means[0].abs() < 0.01 && modes.deviations[0] < 0.5);
        assert!(modes.weights.len() > 2);
    }

    #[test]
    fn degenerate_points_have_sound_modes() {
        let one =
            |mean: f64, deviation: f64| Modes { weights: vec![1.0], means: vec![mean], deviations: vec![deviation] };
        assert_eq!(Modes::of(&[], 10), one(0.0, 1.0));
        assert_eq!(Modes::of(&[(f64::NAN, 1.0), (1.0, 0.0)], 10), one(0.0, 1.0));
        assert_eq!(Modes::of(&[(5.0, 3.0)], 10), one(5.0, 0.005));
        assert_eq!(Modes::of(&[(5.0, 3.0), (5.0, 7.0)], 10), one(5.0, 0.005));
        let extreme = [
            vec![(f64::MAX, 1.0), (f64::MIN, 1.0), (0.0, 1e9)],
            vec![(5e-324, 4.0), (0.0, 4.0)],
            vec![(1.0, 1.0), (1.0 + f64::EPSILON, 1e12)],
            (0..300).map(|i| (1.1f64.powi(i), 1.0 + f64::from(300 - i).powi(3))).collect(),
            (0..300).map(|i| (10f64.powi(i), 20.0)).collect(),
        ];
        for points in extreme {
            for most in [0, 1, 2, 10, 400] {
                let modes = Modes::of(&points, most);
                assert!(!modes.means.is_empty() && modes.means.len() <= most.max(1));
                assert!(modes.means.iter().all(|m| m.is_finite()));
                assert!(modes.deviations.iter().all(|d| d.is_finite() && *d > 0.0));
                assert!((modes.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                for (position, _) in &points {
                    assert!((modes.responsibilities(*position).iter().sum::<f64>() - 1.0).abs() < 1e-9);
                    let all = (0..modes.means.len()).map(|k| modes.normalized(k, *position));
                    assert!(all.enumerate().all(|(k, n)| n.abs() <= WIDEST && modes.position(k, n).is_finite()));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_from_their_mode(
            points in prop::collection::vec((-1e4f64..1e4, 1u32..1000), 1..200), most in 1usize..12, at: f64, share in -1.0f64..1.0,
        ) {
            let points: Vec<(f64, f64)> = points.into_iter().map(|(x, w)| (x, f64::from(w))).collect();
            let modes = Modes::of(&points, most);
            prop_assert!(modes.means.is_sorted() && modes.means.len() <= most);
            prop_assert!((modes.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            for position in points.iter().map(|(x, _)| *x).chain([at].into_iter().filter(|x| x.is_finite())) {
                let shares = modes.responsibilities(position);
                prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
            }
            for mode in 0..modes.means.len() {
                let (mean, widest) = (modes.means[mode], WIDEST * DEVIATIONS * modes.deviations[mode]);
                let position = mean + share * widest;
                let normalized = modes.normalized(mode, position);
                prop_assert!((modes.position(mode, normalized) - position).abs() <= 1e-9 * (widest + mean.abs()));
                prop_assert!((modes.normalized(mode, mean + 2.0 * widest) - WIDEST).abs() < 1e-9);
            }
        }

        #[test]
        fn units_order_and_repeats_do_not_matter(
            points in prop::collection::vec((-100f64..100.0, 1u32..1000), 1..60), power in -200i32..200,
        ) {
            // Powers of two and halves round nothing.
            let unit = 2f64.powi(power);
            let points: Vec<(f64, f64)> = points.into_iter().map(|(x, w)| (x, f64::from(w))).collect();
            prop_assume!(distinct(&points).len() == points.len() && points.len() > 1);
            let halves = points.iter().rev().map(|(x, w)| (x * unit, w / 2.0));
            let other = Modes::of(&halves.clone().chain(halves).collect::<Vec<_>>(), 4);
            let mut modes = Modes::of(&points, 4);
            modes.means.iter_mut().chain(&mut modes.deviations).for_each(|x| *x *= unit);
            prop_assert_eq!(modes, other);
        }
    }
}
