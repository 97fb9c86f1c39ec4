//! Which sub-columns of a training row are known and which are asked for.
//!
//! The loss is the expected log-likelihood over random orders of the sub-columns in which every chain keeps its own order
//! (Uria, Murray & Larochelle, "A deep and tractable density estimator", ICML 2014, eq. 6-9; Hoogeboom et al.,
//! "Autoregressive diffusion models", ICLR 2022, eq. 3-4). For an order drawn uniformly and a position t drawn uniformly
//! from the D, the first t are known; the next one belongs to chain c with probability (levels of c left) / (D - t). So
//! D · Σ_c (levels of c left) / (D - t) · -log p(next level of c | the t known) has the right expectation. A share of
//! the rows takes the canonical order instead, in which rows are drawn.

use rand::Rng;
use rand::seq::SliceRandom;
use twinmart_encode::codes::SubColumn;
use twinmart_tables::Stream;

/// The chains of a table, without what has a single code.
#[derive(Debug)]
pub(super) struct Orders {
    /// Sub-columns that have a choice.
    pub open: Vec<usize>,
    /// By sub-column, the number of its chain.
    chain: Vec<usize>,
    /// By chain, its first sub-column.
    first: Vec<usize>,
    /// By chain, the number of its sub-columns.
    levels: Vec<usize>,
    canonical: f32,
}

impl Orders {
    /// The orders of a table; a share `canonical` of the rows takes the canonical one.
    pub(super) fn of(sub_columns: &[SubColumn], canonical: f32) -> Orders {
        let (mut chain, mut first, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for (position, s) in sub_columns.iter().enumerate() {
            if s.level == 0 {
                first.push(position);
                levels.push(0);
            }
            chain.push(first.len() - 1);
            levels[first.len() - 1] += 1;
        }
        let open = (0..sub_columns.len()).filter(|p| sub_columns[*p].cardinality() > 1).collect();
        Orders { open, chain, first, levels, canonical }
    }

    /// The number of sub-columns.
    pub(super) fn sub_columns(&self) -> usize {
        self.chain.len()
    }

    /// Marks the known sub-columns of a row in `known`, `[sub_columns]`; the answer is the sub-columns that are asked for,
    /// with the weights of their losses.
    pub(super) fn draw(&self, known: &mut [bool], stream: &mut Stream) -> Vec<(usize, f32)> {
        if stream.random::<f32>() < self.canonical {
            let next = self.open[stream.random_range(0..self.open.len())];
            known[..next].fill(true);
            known[next..].fill(false);
            return vec![(next, self.open.len() as f32)];
        }
        let mut order = self.chain.clone();
        order.shuffle(stream);
        let mut reached = vec![0; self.first.len()];
        known.fill(false);
        let given = stream.random_range(0..order.len());
        for chain in &order[..given] {
            known[self.first[*chain] + reached[*chain]] = true;
            reached[*chain] += 1;
        }
        let scale = order.len() as f32 / (order.len() - given) as f32;
        let unfinished = (0..reached.len()).filter(|c| reached[*c] < self.levels[*c]);
        unfinished.map(|c| (self.first[c] + reached[c], scale * (self.levels[c] - reached[c]) as f32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_tables::Draws;

    #[test]
    fn random_orders_weigh_every_sub_column_alike() {
        let table = [
            SubColumn::new(0, 0, true, vec![2]),
            SubColumn::new(0, 1, true, vec![2, 3]),
            SubColumn::new(1, 0, false, vec![4]),
            SubColumn::new(2, 0, false, vec![3]),
        ];
        let family = Draws::new(3).family("test", "");
        for canonical in [0.0, 1.0] {
            let orders = Orders::of(&table, canonical);
            let mut total = [0f64; 4];
            let mut known = [false; 4];
            for row in 0..20_000 {
                for (asked, weight) in orders.draw(&mut known, &mut family.row(row)) {
                    assert!(
                        !known[asked] && (asked != 1 || known[0]),
                        "asked for something known or without its prefix"
                    );
                    total[asked] += f64::from(weight) / 20_000.0;
                }
            }
            assert!(total.iter().all(|t| (t - 1.0).abs() < 0.05), "{total:?}");
        }
    }
}
