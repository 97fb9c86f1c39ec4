//! The trees and the network together: each sub-column given those before it is a mixture of what the two say.
//!
//! ```text
//! codes ─► nine tenths of the people ─► trees     ┐
//!                                    └► network   ├─► P(code | before) = s · trees + (1 − s) · network
//!       └► one tenth ─► share s of each sub-column┘
//! ```
//!
//! The share of a sub-column is the one with the highest likelihood of the held-out rows (stacked density estimation: Smyth &
//! Wolpert, "Linearly combining density estimators via stacking", Machine Learning 36, 1999, §3), so the blend is never much
//! worse than the better of the two. The network also stops by these rows, which favours it a little. Rows with known codes after unknown ones are drawn by the network alone, which
//! conditions on any codes directly.

use crate::guide::{Asked, Guide, Odds};
use crate::mixture::chains;
use crate::network::{Network, NetworkStructure, Size};
use crate::pick::pick;
use crate::trees::{LeafFinder, Trees, TreesStructure, width};
use crate::{Fitting, Parts, RowDensity, UNKNOWN, held_out, knows_after_unknown};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Instant;
use twinmart_encode::codes::{Codes, SubColumn, nodes};
use twinmart_tables::{Result, Stream};

/// The part of the time that the trees may take.
const TIME_OF_TREES: f64 = 0.3;
/// Rows times sub-columns by which trees and network are compared, at most …
const COMPARED: usize = 200_000;
/// … but never fewer rows than this.
const FEWEST_COMPARED: usize = 300;
/// Rows that pass through the network together.
const BLOCK: usize = 1_024;
/// Blocks that go through the sub-columns in step.
const BLOCKS: usize = 8;

/// A density of trees and a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    trees: Trees,
    network: Network,
    /// Share of the trees, by sub-column.
    shares: Vec<f32>,
}

/// All of a [`Blend`] but the numbers in trees and network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlendStructure {
    trees: TreesStructure,
    network: NetworkStructure,
    shares: Vec<f32>,
}

impl Blend {
    /// Learns trees and network from nine tenths of the people, and their shares from the others. `subjects` names the person
    /// of each row; a step is a round of boosting, and an epoch of the network.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop.
    pub fn fit(codes: &Codes, subjects: &[u64], fitting: &Fitting, size: Size) -> Result<Blend> {
        let parts = Parts::of(codes, subjects, fitting.draws);
        let held = held_out(subjects, fitting.draws);
        let people: Vec<u64> = subjects.iter().zip(held).filter(|(_, held)| !held).map(|(s, _)| *s).collect();
        let now = Instant::now();
        let of_trees = fitting.deadline.map(|d| now + d.saturating_duration_since(now).mul_f64(TIME_OF_TREES));
        let trees = Trees::fit(&parts.train, &people, &Fitting { deadline: of_trees, ..fitting.clone() })?;
        let network = Network::fit(&parts, fitting, size)?;
        let compared = first_rows(parts.validation, (COMPARED / codes.sub_columns.len().max(1)).max(FEWEST_COMPARED));
        let (by_trees, by_network) = (trees.log_probabilities(&compared), network.log_probabilities(&compared));
        let sub_columns = codes.sub_columns.iter().zip(by_trees.iter().zip(&by_network));
        let shares = sub_columns.map(|(s, (t, n))| if s.cardinality() < 2 { 1.0 } else { best_share(t, n) });
        Ok(Blend { shares: shares.collect(), trees, network })
    }

    /// The blend in parts for storage: the structure, the numbers of the trees, the weights of the network.
    pub fn parts(&self) -> (BlendStructure, Vec<f32>, &[f32]) {
        let (trees, numbers) = self.trees.parts();
        let (network, weights) = self.network.parts();
        (BlendStructure { trees, network, shares: self.shares.clone() }, numbers, weights)
    }

    /// Puts together what [`Blend::parts`] took apart; `None` where the numbers are not those of the structure.
    pub fn from_parts(structure: BlendStructure, numbers: &[f32], weights: Vec<f32>) -> Option<Blend> {
        Some(Blend {
            trees: Trees::from_parts(structure.trees, numbers)?,
            network: Network::from_parts(structure.network, weights),
            shares: structure.shares,
        })
    }

    /// True where this is a blend over `sub_columns`, so that nothing drawn from it can fail.
    pub fn is_sound(&self, sub_columns: &[SubColumn]) -> bool {
        self.trees.is_sound(sub_columns)
            && self.network.is_sound(sub_columns)
            && self.shares.len() == sub_columns.len()
            && self.shares.iter().all(|s| (0.0..=1.0).contains(s))
    }

    /// True where a deadline ended the learning.
    pub fn is_unfinished(&self) -> bool {
        self.trees.is_unfinished() || self.network.is_unfinished()
    }

    /// Share of the trees, by sub-column: 1 = the network is not asked.
    pub fn shares(&self) -> &[f32] {
        &self.shares
    }
}

/// The first `rows` rows, or all.
fn first_rows(mut codes: Codes, rows: usize) -> Codes {
    codes.values.iter_mut().for_each(|values| values.truncate(rows));
    codes
}

/// The share of `trees` with the highest likelihood, given the log probabilities that each gives the held-out codes; where no
/// code was held out, a half. The likelihood is concave in the share: where its slope is 0, it is highest.
fn best_share(trees: &[f64], network: &[f64]) -> f32 {
    let odds: Vec<f64> = trees.iter().zip(network).map(|(t, n)| (n - t).clamp(-60.0, 60.0).exp()).collect();
    let slope = |share: f64| odds.iter().map(|odds| (1.0 - odds) / (share + (1.0 - share) * odds)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        match slope(middle) {
            up if up > 0.0 => low = middle,
            0.0 => return middle as f32,
            _ => high = middle,
        }
    }
    f64::midpoint(low, high) as f32
}

impl RowDensity for Blend {
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        let (late, early): (Vec<usize>, Vec<usize>) =
            (0..streams.len()).partition(|row| knows_after_unknown(values, *row));
        self.fill_late(values, &late, streams);
        let blocks: Vec<&[usize]> = early.chunks(BLOCK).collect();
        // In step, so that what one sub-column needs serves many rows.
        for blocks in blocks.chunks(BLOCKS) {
            let mut walks: Vec<Walk> = blocks.iter().map(|rows| Walk::begin(self, values, rows)).collect();
            for p in 0..self.shares.len() {
                let finders = self.trees.finders(p);
                walks.iter_mut().for_each(|walk| walk.step(p, &finders, values, streams));
            }
            for walk in walks {
                for (values, codes) in values.iter_mut().zip(&walk.codes) {
                    walk.rows.iter().zip(codes).for_each(|(row, code)| values[*row] = *code);
                }
            }
        }
    }

    fn log_likelihood(&self, rows: &Codes) -> Vec<f64> {
        let (by_trees, by_network) = (self.trees.log_probabilities(rows), self.network.log_probabilities(rows));
        let mut sums = vec![0.0; rows.rows()];
        for ((t, n), share) in by_trees.iter().zip(&by_network).zip(&self.shares) {
            let share = f64::from(*share);
            let terms = t.iter().zip(n).map(|(t, n)| (share * t.exp() + (1.0 - share) * n.exp()).ln());
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        sums
    }

    fn numbers(&self) -> usize {
        self.trees.numbers() + self.network.numbers() + self.shares.len()
    }
}

impl Blend {
    /// As [`RowDensity::fill`], for rows of which more is asked: what is asked of is drawn by the trees, all else given that by
    /// both.
    pub fn fill_guided(
        &self,
        guide: &Guide,
        asked: &Asked,
        particles: usize,
        values: &mut [Vec<u32>],
        streams: &mut [Stream],
    ) {
        if !asked.leaves.is_empty() {
            let mut drawn = values.to_vec();
            self.trees.fill_guided(guide, asked, particles, &mut drawn, streams);
            let chains = chains(guide.sub_columns());
            for chain in chains.into_iter().filter(|c| asked.leaves.iter().any(|(first, _)| *first == c.start)) {
                chain.for_each(|p| values[p].clone_from(&drawn[p]));
            }
        }
        self.fill(values, streams);
    }

    /// As [`Trees::particles_for`].
    pub fn particles_for(&self, asked: &Asked) -> usize {
        self.trees.particles_for(asked)
    }

    /// The odds of all leaves of each chain that is open in a row, given what is known of the row and asked: shares of so many
    /// draws. `values` is filled as well.
    pub fn odds(
        &self,
        guide: &Guide,
        asked: &Asked,
        draws: usize,
        values: &mut [Vec<u32>],
        streams: &mut [Stream],
    ) -> Vec<Odds> {
        let chains = chains(guide.sub_columns());
        let empty = |chain: &Range<usize>, row: usize| Odds {
            chain: chain.start,
            row,
            leaves: vec![0.0; guide.sub_columns()[chain.end - 1].nodes()],
        };
        let known = values.to_vec();
        let mut odds: Vec<Odds> = Vec::new();
        for chain in &chains {
            let open = known[chain.end - 1].iter().enumerate().filter(|(_, code)| **code == UNKNOWN);
            odds.extend(open.map(|(row, _)| empty(chain, row)));
        }
        for _ in 0..draws {
            let mut drawn = known.clone();
            self.fill_guided(guide, asked, 1, &mut drawn, streams);
            for odds in &mut odds {
                let levels = chains.iter().find(|c| c.start == odds.chain).cloned().unwrap_or_default();
                let leaf = levels.fold(0, |node, p| guide.sub_columns()[p].child(node, drawn[p][odds.row]));
                odds.leaves[leaf as usize] += 1.0 / draws as f32;
            }
            values.clone_from_slice(&drawn);
        }
        odds
    }

    /// Draws rows with known codes after unknown ones.
    fn fill_late(&self, values: &mut [Vec<u32>], rows: &[usize], streams: &mut [Stream]) {
        let mut part: Vec<Vec<u32>> = values.iter().map(|v| rows.iter().map(|row| v[*row]).collect()).collect();
        let mut own: Vec<Stream> = rows.iter().map(|row| streams[*row].clone()).collect();
        self.network.fill(&mut part, &mut own);
        for (values, part) in values.iter_mut().zip(part) {
            rows.iter().zip(part).for_each(|(row, code)| values[*row] = code);
        }
        rows.iter().zip(own).for_each(|(row, stream)| streams[*row] = stream);
    }
}

/// Drawing some rows, sub-column by sub-column.
struct Walk<'a> {
    blend: &'a Blend,
    network: crate::network::Walk<'a>,
    rows: &'a [usize],
    /// `[sub_columns so far][rows]`
    codes: Vec<Vec<u32>>,
    reached: Vec<Vec<u32>>,
    bins: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn begin(blend: &'a Blend, values: &[Vec<u32>], rows: &'a [usize]) -> Walk<'a> {
        let network = blend.network.walk(values, rows);
        Walk { blend, network, rows, codes: Vec::new(), reached: Vec::new(), bins: Vec::new() }
    }

    /// Draws sub-column `p`, after all before it. Each unknown code is drawn from the trees with the probability of their
    /// share, else from the network.
    fn step(&mut self, p: usize, finders: &[LeafFinder], known: &[Vec<u32>], streams: &mut [Stream]) {
        let (trees, share) = (&self.blend.trees, self.blend.shares[p]);
        let sub_column = trees.sub_column(p);
        let above = if sub_column.level == 0 { vec![0; self.rows.len()] } else { self.reached[p - 1].clone() };
        let mut codes: Vec<u32> = self.rows.iter().map(|row| known[p][*row]).collect();
        let open = (0..codes.len()).filter(|at| codes[*at] == UNKNOWN);
        let (of_trees, of_network): (Vec<usize>, Vec<usize>) =
            open.partition(|at| streams[self.rows[*at]].random::<f32>() < share);
        let mut draw = |asked: &[usize], probabilities: &[f32], width: usize, codes: &mut [u32]| {
            for (at, probabilities) in asked.iter().zip(probabilities.chunks_exact(width)) {
                let members = sub_column.members[above[*at] as usize] as usize;
                let place = streams[self.rows[*at]].random();
                codes[*at] = pick(probabilities[..members].iter().copied(), place);
            }
        };
        if !of_trees.is_empty() {
            let bins: Vec<Vec<u8>> = self.bins.iter().map(|b| of_trees.iter().map(|at| b[*at]).collect()).collect();
            let above: Vec<u32> = of_trees.iter().map(|at| above[*at]).collect();
            let probabilities = trees.probabilities(p, finders, &bins, &above, &mut vec![0u8; of_trees.len()]);
            draw(&of_trees, &probabilities, width(sub_column), &mut codes);
        }
        if !of_network.is_empty() {
            let probabilities = self.network.conditionals(p, &of_network, &above);
            draw(&of_network, &probabilities, self.network.outputs(p), &mut codes);
        }
        let reached = nodes(sub_column, &above, &codes);
        self.network.reach(p, &reached);
        self.bins.push(trees.bins(p, &reached));
        self.reached.push(reached);
        self.codes.push(codes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::{all_rows, fitting, planted};
    use twinmart_tables::Draws;

    fn learned() -> Blend {
        let subjects: Vec<u64> = (0..3000).collect();
        Blend::fit(&planted(3000, "train"), &subjects, &fitting(20), Size::Base).unwrap()
    }

    #[test]
    fn the_best_share_is_that_of_the_mixture_the_codes_came_from() {
        // Trees say 0.9 and the network 0.2 for code 1; it comes in 48 of 100 rows, so the share is 0.4.
        let log = |p: f64, ones: usize| -> Vec<f64> {
            (0..100).map(|row| if row < ones { p.ln() } else { (1.0 - p).ln() }).collect()
        };
        assert!((best_share(&log(0.9, 48), &log(0.2, 48)) - 0.4).abs() < 1e-6);
        assert!(best_share(&log(0.9, 95), &log(0.2, 95)) > 0.9999);
        assert!(best_share(&log(0.9, 5), &log(0.2, 5)) < 1e-4);
        assert_eq!(best_share(&[], &[]), 0.5);
    }

    #[test]
    fn probabilities_of_all_rows_sum_to_one_and_draws_are_those() {
        let (mut blend, rows) = (learned(), 40_000);
        // Both must be asked, whatever is better here.
        blend.shares.fill(0.5);
        let likely = blend.log_likelihood(&all_rows());
        assert!((likely.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-4);
        let family = Draws::new(9).family("draw", "");
        let mut streams: Vec<Stream> = (0..rows).map(|row| family.row(row)).collect();
        let mut values = vec![vec![UNKNOWN; rows as usize]; 5];
        blend.fill(&mut values, &mut streams);
        for (wanted, likely) in (0..likely.len()).zip(&likely) {
            let wanted: Vec<u32> = all_rows().values.iter().map(|v| v[wanted]).collect();
            let found = (0..rows as usize).filter(|row| values.iter().zip(&wanted).all(|(v, w)| v[*row] == *w)).count();
            let (expected, found) = (likely.exp() * rows as f64, found as f64);
            assert!((found - expected).abs() < 4.0 * expected.sqrt() + 1.0, "{found} rows, {expected} expected");
        }
    }

    #[test]
    fn known_codes_stay_and_rows_depend_on_nothing_but_their_streams() {
        let blend = learned();
        let family = Draws::new(2).family("draw", "");
        let given = |row: u64| match row % 3 {
            0 => [UNKNOWN; 5],
            1 => [1, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN],
            _ => [UNKNOWN, UNKNOWN, 2, UNKNOWN, 1],
        };
        let draw = |rows: &[u64]| -> Vec<Vec<u32>> {
            let mut values: Vec<Vec<u32>> = (0..5).map(|p| rows.iter().map(|row| given(*row)[p]).collect()).collect();
            let mut streams: Vec<Stream> = rows.iter().map(|row| family.row(*row)).collect();
            blend.fill(&mut values, &mut streams);
            (0..rows.len()).map(|at| values.iter().map(|v| v[at]).collect()).collect()
        };
        let all: Vec<u64> = (0..3000).collect();
        let together = draw(&all);
        for row in &all {
            let known = given(*row);
            assert!(known.iter().zip(&together[*row as usize]).all(|(k, c)| *k == UNKNOWN || k == c));
        }
        for part in all.chunks(777) {
            assert_eq!(draw(part), together[part[0] as usize..][..part.len()]);
        }
    }

    #[test]
    fn parts_make_the_same_blend_and_wrong_ones_none() {
        let blend = learned();
        let (structure, numbers, weights) = blend.parts();
        let again = Blend::from_parts(structure.clone(), &numbers, weights.to_vec()).unwrap();
        assert_eq!(again, blend);
        assert!(again.is_sound(&all_rows().sub_columns));
        assert!(!again.is_sound(&all_rows().sub_columns[..3]));
        assert_eq!(Blend::from_parts(structure.clone(), &numbers[1..], weights.to_vec()), None);
        let short = Blend::from_parts(structure, &numbers, weights[1..].to_vec()).unwrap();
        assert!(!short.is_sound(&all_rows().sub_columns));
    }
}
