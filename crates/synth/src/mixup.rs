//! Mixup (Zhang, Cisse, Dauphin & Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2018): a row between any two rows,
//!
//! λ·x + (1 − λ)·x′,  λ ~ Beta(α, α).
//!
//! Where the paper mixes one-hot categories into soft ones, a category here is that of x with probability λ, else that of x′:
//! the same in expectation. One coin for the whole row keeps the categories of a row together; missing numbers follow it.

use rand::Rng;
use twinmart_tables::Stream;

/// What one row is made of.
pub(crate) struct Pair {
    rows: [usize; 2],
    lambda: f64,
    /// The row that gives the categories, and decides what is missing.
    pub(crate) holder: usize,
}

impl Pair {
    /// `base` and any row of the table.
    pub(crate) fn draw(base: usize, rows: usize, alpha: f64, stream: &mut Stream) -> Pair {
        let rows = [base, stream.random_range(0..rows)];
        let lambda = beta(alpha, stream);
        Pair { rows, lambda, holder: rows[usize::from(stream.random::<f64>() >= lambda)] }
    }

    /// λ·x + (1 − λ)·x′; what the holder has, where either is missing.
    pub(crate) fn between(&self, positions: &[f64]) -> f64 {
        let [x, y] = self.rows.map(|row| positions[row]);
        if x.is_nan() || y.is_nan() { positions[self.holder] } else { y + self.lambda * (x - y) }
    }
}

/// A draw from Beta(α, α), 0 < α ≤ 1: u^(1/α) / (u^(1/α) + v^(1/α)) given that the sum is at most 1 (Jöhnk 1964).
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    loop {
        let [x, y] = [(); 2].map(|()| stream.random::<f64>().powf(1.0 / alpha));
        if x + y > 0.0 && x + y <= 1.0 {
            return x / (x + y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_tables::Draws;

    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.01, 0.2, 1.0] {
            let mut stream = Draws::new(3).stream("test");
            let drawn: Vec<f64> = (0..40_000).map(|_| beta(alpha, &mut stream)).collect();
            let mean = drawn.iter().sum::<f64>() / 40_000.0;
            let variance = drawn.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / 40_000.0;
            // Five standard errors of the mean of 40,000: at most 0.0125, of the squares at most a third of that.
            assert!((mean - 0.5).abs() < 0.0125, "{alpha}: {mean}");
            assert!((variance - 0.25 / (2.0 * alpha + 1.0)).abs() < 0.004, "{alpha}: {variance}");
        }
    }

    #[test]
    fn numbers_are_mixed_and_what_is_missing_follows_the_holder() {
        let x = [10.0, 20.0, f64::NAN];
        assert_eq!(Pair { rows: [0, 1], lambda: 0.25, holder: 0 }.between(&x), 17.5);
        assert_eq!(Pair { rows: [1, 2], lambda: 0.25, holder: 1 }.between(&x), 20.0);
        assert!(Pair { rows: [1, 2], lambda: 0.25, holder: 2 }.between(&x).is_nan());
    }
}
