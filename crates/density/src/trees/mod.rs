//! Boosted trees: the distribution of every sub-column given those before it, one ensemble each.
//!
//! The joint distribution is the product over the sub-columns in their order (chain rule). Each factor is a softmax of
//! boosted trees (`boost.rs`) over the nodes that the row has reached in earlier columns, learned for each sub-column by
//! itself: so sub-columns are learned side by side, and the result does not depend on how many threads do it.
//!
//! Known codes that stand after unknown ones are honoured by a particle filter (Gordon, Salmond & Smith 1993; Doucet &
//! Johansen 2009, §3): each such row is drawn 32 times in step, weighted by the likelihood of every known code,
//! resampled there, and one is kept. The draw is exact in the limit of many particles.

mod boost;
mod features;
mod grow;
mod learn;
mod leaves;

use crate::pick::pick;
use crate::{RowDensity, UNKNOWN, knows_after_unknown};
pub(crate) use boost::width;
use boost::{IMPOSSIBLE, Tree, add_tree, start};
use features::Feature;
use grow::Structure;
pub(crate) use leaves::LeafFinder;
use rand::Rng;
use serde::{Deserialize, Serialize};
use twinmart_encode::codes::{Codes, SubColumn, nodes, parents};
use twinmart_nets::exponential::softmax_rows;
use twinmart_tables::Stream;

/// Rows that are scored together: their scores fit the cache.
const BLOCK: usize = 1_024;
/// Blocks that go through the sub-columns in step.
const BLOCKS: usize = 8;
/// Draws of one row with known codes after unknown ones.
const PARTICLES: usize = 32;

/// A density of boosted trees.
#[derive(Debug, Clone, PartialEq)]
pub struct Trees {
    sub_columns: Vec<SubColumn>,
    features: Vec<Feature>,
    /// By sub-column.
    targets: Vec<Target>,
    /// Rounds that were allowed.
    rounds: u64,
    /// True where a deadline came before the likelihood stopped improving.
    unfinished: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Target {
    /// Sub-columns whose nodes are its features.
    inputs: Vec<u32>,
    /// Log frequencies: `[nodes above][width]`, where the width is the cardinality, padded to a whole vector.
    base: Vec<f32>,
    trees: Vec<Tree>,
}

/// All of [`Trees`] but the numbers in base and leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreesStructure {
    sub_columns: Vec<SubColumn>,
    features: Vec<Feature>,
    /// Inputs and trees of each target.
    targets: Vec<(Vec<u32>, Vec<Structure>)>,
    rounds: u64,
    unfinished: bool,
}

impl Trees {
    /// The trees in two parts for storage: the structure, and the numbers, target after target: base, then the leaves of
    /// each tree, for the codes there are.
    pub fn parts(&self) -> (TreesStructure, Vec<f32>) {
        let mut weights = Vec::new();
        let mut targets = Vec::with_capacity(self.targets.len());
        for (target, sub_column) in self.targets.iter().zip(&self.sub_columns) {
            let numbers = std::iter::once(&target.base).chain(target.trees.iter().map(|t| &t.values));
            for row in numbers.flat_map(|n| n.chunks_exact(width(sub_column))) {
                weights.extend(&row[..sub_column.cardinality()]);
            }
            let structures = target.trees.iter().map(|t| t.structure.clone());
            targets.push((target.inputs.clone(), structures.collect()));
        }
        let Trees { sub_columns, features, rounds, unfinished, .. } = self.clone();
        (TreesStructure { sub_columns, features, targets, rounds, unfinished }, weights)
    }

    /// Puts together what [`Trees::parts`] took apart; `None` where the numbers are not those of the structure.
    pub fn from_parts(structure: TreesStructure, weights: &[f32]) -> Option<Trees> {
        let TreesStructure { sub_columns, features, targets: stored, rounds, unfinished } = structure;
        let mut left = weights;
        let mut take = |rows: usize, sub_column: &SubColumn, padding: f32| {
            let used = sub_column.cardinality();
            let (here, after) = left.split_at_checked(rows.checked_mul(used)?)?;
            left = after;
            let rows = here.chunks_exact(used.max(1));
            Some(
                rows.flat_map(|r| r.iter().copied().chain(std::iter::repeat_n(padding, width(sub_column) - used)))
                    .collect(),
            )
        };
        let mut targets = Vec::with_capacity(stored.len());
        for ((inputs, structures), sub_column) in stored.into_iter().zip(&sub_columns) {
            let base = take(sub_column.members.len(), sub_column, IMPOSSIBLE)?;
            let mut trees = Vec::with_capacity(structures.len());
            for structure in structures {
                trees.push(Tree { values: take(structure.leaves(), sub_column, 0.0)?, structure });
            }
            targets.push(Target { inputs, base, trees });
        }
        left.is_empty().then_some(Trees { sub_columns, features, targets, rounds, unfinished })
    }

    /// How many rows are worth learning from; more would take too long for what they add.
    pub fn rows_wanted(sub_columns: &[SubColumn]) -> usize {
        learn::rows_wanted(sub_columns)
    }

    /// Rounds of boosting that were allowed: `steps` for the same model again.
    pub fn steps(&self) -> u64 {
        self.rounds
    }

    /// True where a deadline ended the learning.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// True where these are trees over `sub_columns`, so that nothing drawn from them can fail.
    pub fn is_sound(&self, sub_columns: &[SubColumn]) -> bool {
        let feature = |(f, s): (&Feature, &SubColumn)| f.is_sound(s.nodes());
        let target = |(p, t): (usize, &Target)| {
            let width = width(&sub_columns[p]);
            let tree = |tree: &Tree| {
                tree.structure.is_sound(t.inputs.len())
                    && tree.values.len() == tree.structure.leaves() * width
                    && tree.values.iter().all(|v| v.is_finite())
            };
            t.inputs.iter().all(|i| (*i as usize) < p)
                && t.base.len() == sub_columns[p].members.len() * width
                && t.base.iter().all(|b| b.is_finite())
                && t.trees.iter().all(tree)
        };
        self.sub_columns == sub_columns
            && self.features.len() == sub_columns.len()
            && self.features.iter().zip(sub_columns).all(feature)
            && self.targets.len() == sub_columns.len()
            && self.targets.iter().enumerate().all(target)
    }

    /// Probabilities of the codes of sub-column `p`, `[rows][width]`, for rows whose inputs have the bins `bins` and that have
    /// reached the nodes `above`.
    pub(crate) fn probabilities(
        &self,
        p: usize,
        finders: &[LeafFinder],
        bins: &[Vec<u8>],
        above: &[u32],
        leaves: &mut [u8],
    ) -> Vec<f32> {
        let (target, width) = (&self.targets[p], width(&self.sub_columns[p]));
        let mut scores = start(&target.base, width, above);
        let inputs: Vec<&[u8]> = target.inputs.iter().map(|i| &bins[*i as usize][..]).collect();
        for (tree, finder) in target.trees.iter().zip(finders) {
            add_tree(tree, finder, width, &inputs, leaves, &mut scores);
        }
        softmax_rows(&mut scores, width);
        scores
    }

    /// Log probabilities of each code given those before it, `[sub_columns][rows]`.
    pub(crate) fn log_probabilities(&self, rows: &Codes) -> Vec<Vec<f64>> {
        let above = parents(&self.sub_columns, &rows.values);
        let reached = self.sub_columns.iter().enumerate().map(|(p, s)| nodes(s, &above[p], &rows.values[p]));
        let bins: Vec<Vec<u8>> = reached.enumerate().map(|(p, reached)| self.bins(p, &reached)).collect();
        let mut leaves = vec![0u8; rows.rows()];
        let of_sub_column = |(p, sub_column): (usize, &SubColumn)| {
            let probabilities = self.probabilities(p, &self.finders(p), &bins, &above[p], &mut leaves);
            let rows = probabilities.chunks_exact(width(sub_column)).zip(&rows.values[p]);
            rows.map(|(row, code)| f64::from(row[*code as usize].max(f32::MIN_POSITIVE)).ln()).collect()
        };
        self.sub_columns.iter().enumerate().map(of_sub_column).collect()
    }

    pub(crate) fn sub_column(&self, p: usize) -> &SubColumn {
        &self.sub_columns[p]
    }

    pub(crate) fn finders(&self, p: usize) -> Vec<LeafFinder> {
        self.targets[p].trees.iter().map(|tree| LeafFinder::new(&tree.structure)).collect()
    }

    pub(crate) fn bins(&self, p: usize, reached: &[u32]) -> Vec<u8> {
        reached.iter().map(|n| self.features[p].bin[*n as usize]).collect()
    }
}

impl RowDensity for Trees {
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        let rows = streams.len();
        let late: Vec<bool> = (0..rows).map(|row| knows_after_unknown(values, row)).collect();
        for (is_late, particles) in [(false, 1), (true, PARTICLES)] {
            let chosen: Vec<usize> = (0..rows).filter(|row| late[*row] == is_late).collect();
            let blocks: Vec<&[usize]> = chosen.chunks(BLOCK / particles).collect();
            // In step, so that the finders of one sub-column serve many rows, and no others are there at the time.
            for blocks in blocks.chunks(BLOCKS) {
                let mut walks: Vec<Walk> =
                    blocks.iter().map(|rows| Walk::begin(self, values, rows, particles)).collect();
                for p in 0..self.sub_columns.len() {
                    let finders = self.finders(p);
                    walks.iter_mut().for_each(|walk| walk.step(p, &finders, streams));
                }
                walks.into_iter().for_each(|walk| walk.end(values, streams));
            }
        }
    }

    fn log_likelihood(&self, rows: &Codes) -> Vec<f64> {
        let mut sums = vec![0.0; rows.rows()];
        for terms in self.log_probabilities(rows) {
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        sums
    }

    fn numbers(&self) -> usize {
        self.parts().1.len()
    }
}

/// Drawing some rows, sub-column by sub-column; every row is drawn by `particles` particles side by side.
struct Walk<'a> {
    trees: &'a Trees,
    rows: &'a [usize],
    particles: usize,
    /// What is known: `[sub_columns][rows]`.
    known: Vec<Vec<u32>>,
    /// `[sub_columns so far][rows · particles]`
    codes: Vec<Vec<u32>>,
    reached: Vec<Vec<u32>>,
    bins: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn begin(trees: &'a Trees, values: &[Vec<u32>], rows: &'a [usize], particles: usize) -> Walk<'a> {
        let known = values.iter().map(|v| rows.iter().map(|row| v[*row]).collect()).collect();
        Walk { trees, rows, particles, known, codes: Vec::new(), reached: Vec::new(), bins: Vec::new() }
    }

    /// Draws sub-column `p`, after all before it.
    fn step(&mut self, p: usize, finders: &[LeafFinder], streams: &mut [Stream]) {
        let sub_column = &self.trees.sub_columns[p];
        let all = self.rows.len() * self.particles;
        let above = if sub_column.level == 0 { vec![0; all] } else { self.reached[p - 1].clone() };
        let probabilities = self.trees.probabilities(p, finders, &self.bins, &above, &mut vec![0u8; all]);
        let width = width(sub_column);
        let mut codes = vec![0u32; all];
        let mut weights = vec![1f32; all];
        for (at, (code, row)) in codes.iter_mut().zip(probabilities.chunks_exact(width)).enumerate() {
            let members = sub_column.members[above[at] as usize];
            *code = match self.known[p][at / self.particles] {
                UNKNOWN => {
                    pick(row[..members as usize].iter().copied(), streams[self.rows[at / self.particles]].random())
                }
                // A code that this particle's node does not have: the particle is lost, whatever it does.
                known if known >= members => {
                    weights[at] = 0.0;
                    members - 1
                }
                known => {
                    weights[at] = row[known as usize];
                    known
                }
            };
        }
        self.reached.push(nodes(sub_column, &above, &codes));
        self.bins.push(self.trees.bins(p, &self.reached[p]));
        self.codes.push(codes);
        if self.particles > 1 {
            self.resample(p, &weights, streams);
        }
    }

    /// Gives each particle of a row whose code at `p` is known a place in proportion to its weight (systematic resampling,
    /// Kitagawa 1996).
    fn resample(&mut self, p: usize, weights: &[f32], streams: &mut [Stream]) {
        for (row, weights) in weights.chunks_exact(self.particles).enumerate() {
            let total: f32 = weights.iter().sum();
            if self.known[p][row] == UNKNOWN || total <= 0.0 {
                continue;
            }
            let start: f32 = streams[self.rows[row]].random();
            let (mut at, mut passed) = (0, weights[0]);
            let mut ancestors = Vec::with_capacity(self.particles);
            for particle in 0..self.particles {
                let place = (particle as f32 + start) / self.particles as f32 * total;
                while passed < place && at + 1 < self.particles {
                    at += 1;
                    passed += weights[at];
                }
                ancestors.push(row * self.particles + at);
            }
            let here = row * self.particles..(row + 1) * self.particles;
            for q in 0..=p {
                reorder(&mut self.codes[q], &ancestors, here.clone());
                reorder(&mut self.reached[q], &ancestors, here.clone());
                reorder(&mut self.bins[q], &ancestors, here.clone());
            }
        }
    }

    /// Keeps one particle of each row: all weigh the same after the last known code.
    fn end(self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        for (at, row) in self.rows.iter().enumerate() {
            let chosen = match self.particles {
                1 => 0,
                particles => streams[*row].random_range(0..particles),
            };
            for (values, codes) in values.iter_mut().zip(&self.codes) {
                if values[*row] == UNKNOWN {
                    values[*row] = codes[at * self.particles + chosen];
                }
            }
        }
    }
}

fn reorder<T: Copy>(values: &mut [T], from: &[usize], to: std::ops::Range<usize>) {
    let moved: Vec<T> = from.iter().map(|f| values[*f]).collect();
    values[to].copy_from_slice(&moved);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fitting;
    use rand::SeedableRng;
    use twinmart_tables::{Draws, Progress};

    /// a ∈ 0..3 at random; b = a in nine rows of ten, else at random; c = a + b mod 2, in two levels (c, and its copy).
    fn rows(count: u64) -> Codes {
        let family = Draws::new(1).family("test", "");
        let mut values = vec![Vec::new(); 4];
        for row in 0..count {
            let mut stream = family.row(row);
            let a = stream.random_range(0..3u32);
            let b = if stream.random::<f64>() < 0.9 { a } else { stream.random_range(0..3) };
            let c = (a + b) % 2;
            for (column, code) in values.iter_mut().zip([a, b, c, if c == 1 { stream.random_range(0..2) } else { 0 }]) {
                column.push(code);
            }
        }
        let sub_columns = vec![
            SubColumn::new(0, 0, false, vec![3]),
            SubColumn::new(1, 0, false, vec![3]),
            SubColumn::new(2, 0, true, vec![2]),
            SubColumn::new(2, 1, true, vec![1, 2]),
        ];
        Codes { sub_columns, values }
    }

    fn fitted(codes: &Codes, steps: u64) -> Trees {
        let subjects: Vec<u64> = (0..codes.rows() as u64).collect();
        let fitting = Fitting { draws: Draws::new(3), steps, deadline: None, progress: Progress::silent() };
        Trees::fit(codes, &subjects, &fitting).unwrap()
    }

    /// Every row that the chains allow.
    fn all_rows(sub_columns: &[SubColumn]) -> Codes {
        let mut values = vec![Vec::new(); 4];
        for a in 0..3 {
            for b in 0..3 {
                for (c, d) in [(0, 0), (1, 0), (1, 1)] {
                    for (column, code) in values.iter_mut().zip([a, b, c, d]) {
                        column.push(code);
                    }
                }
            }
        }
        Codes { sub_columns: sub_columns.to_vec(), values }
    }

    #[test]
    fn probabilities_of_all_rows_sum_to_one_and_are_those_of_the_data() {
        let codes = rows(4_000);
        let trees = fitted(&codes, 0);
        assert!(trees.is_sound(&codes.sub_columns));
        let all = all_rows(&codes.sub_columns);
        let probabilities: Vec<f64> = trees.log_likelihood(&all).iter().map(|l| l.exp()).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-4);
        for (row, learned) in probabilities.iter().enumerate() {
            let (a, b, c) = (all.values[0][row], all.values[1][row], all.values[2][row]);
            let of_b = 0.1 / 3.0 + if a == b { 0.9 } else { 0.0 };
            let of_c = if (a + b) % 2 != c { 0.0 } else { 1.0 / f64::from(1 + c) };
            let truth = of_b * of_c / 3.0;
            // Five standard errors of a share, and what shrinking takes away.
            let bound = 5.0 * (truth * (1.0 - truth) / 4_000.0).sqrt() + 0.004;
            assert!((learned - truth).abs() < bound, "{a} {b} {c}: {learned}, not {truth}");
        }
    }

    #[test]
    fn known_codes_stay_and_later_ones_are_honoured() {
        let trees = fitted(&rows(4_000), 0);
        let all = all_rows(&trees.sub_columns);
        let joint: Vec<f64> = trees.log_likelihood(&all).iter().map(|l| l.exp()).collect();
        // a given b = 1: the model's own conditional, from all rows.
        let of = |r: &usize, a: u32| [all.values[0][*r], all.values[1][*r]] == [a, 1];
        let weight = |a: u32| -> f64 { (0..joint.len()).filter(|r| of(r, a)).map(|r| joint[r]).sum() };
        let total: f64 = (0..3).map(weight).sum();
        let n = 20_000;
        let mut values = vec![vec![UNKNOWN; n], vec![1; n], vec![UNKNOWN; n], vec![UNKNOWN; n]];
        let mut streams: Vec<Stream> = (0..n as u64).map(Stream::seed_from_u64).collect();
        trees.fill(&mut values, &mut streams);
        assert!(values[1].iter().all(|c| *c == 1));
        for a in 0..3 {
            let share = values[0].iter().filter(|x| **x == a).count() as f64 / n as f64;
            let expected = weight(a) / total;
            // A filter of 32 particles is off by a few parts in a hundred at most.
            assert!((share - expected).abs() < 0.04, "{a}: {share}, not {expected}");
        }
    }

    #[test]
    fn any_number_of_threads_and_a_file_change_nothing() {
        let codes = rows(1_500);
        let on = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| fitted(&codes, 0))
        };
        let trees = on(1);
        assert!(trees == on(3));
        let (structure, weights) = trees.parts();
        let text = serde_json::to_string(&structure).unwrap();
        assert!(Trees::from_parts(serde_json::from_str(&text).unwrap(), &weights) == Some(trees));
        assert!(Trees::from_parts(structure, &weights[1..]).is_none());
    }

    #[test]
    fn a_late_deadline_changes_nothing_and_steps_repeat_a_stopped_fit() {
        let codes = rows(1_500);
        let subjects: Vec<u64> = (0..1_500).collect();
        let with = |steps, deadline| {
            let fitting = Fitting { draws: Draws::new(3), steps, deadline, progress: Progress::silent() };
            Trees::fit(&codes, &subjects, &fitting).unwrap()
        };
        let now = std::time::Instant::now();
        assert!(with(0, None) == with(0, Some(now + std::time::Duration::from_secs(3600))));
        let stopped = with(0, Some(now));
        assert!(stopped.is_unfinished());
        let again = with(stopped.steps(), None);
        assert_eq!(stopped.log_likelihood(&codes), again.log_likelihood(&codes));
    }
}
