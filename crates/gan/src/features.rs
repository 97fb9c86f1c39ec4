//! Rows as the networks see them: `[numbers | choices]`.
//!
//! Every part of a column is a *block*. Categories, and numbers of few values, are a choice: one column for each leaf, one of
//! which is 1. Other numbers are normalized by mode (Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019,
//! §4.2): a choice among the modes of a Gaussian mixture, and the place within the mode, a number between -4 and 4. A value
//! that many rows share (a zero, a cap), and "missing", is a choice of its own, without a place. All of it is made of the
//! weights and positions of the leaves alone.

use crate::calibrate::{Calibration, running_shares};
use crate::modes::Modes;
use rand::Rng;
use rayon::prelude::*;
use std::ops::Range;
use twinmart_encode::leaves::Leaves;
use twinmart_nets::graph::Spans;
use twinmart_tables::{DrawFamily, Stream};

/// An ordered part of at most so many leaves is a choice among them.
const LISTED: usize = 32;
/// Choices of a block at most; the leaves beyond are one choice together.
const MOST_CHOICES: usize = 512;
/// A leaf of an ordered part with this share of the rows is a choice of its own.
const SPIKE: f64 = 0.05;
/// Numbers are told in deviations of their mode: as large as choices are, and at most this large.
pub(crate) const LARGEST: f32 = 4.0;
/// Numbers of modes that are tried for a part.
const NUMBERS_OF_MODES: [usize; 6] = [1, 2, 3, 4, 6, 10];

/// How the parts of a table's columns are laid out.
#[derive(Debug, Clone)]
pub(crate) struct Features {
    pub(crate) blocks: Vec<Block>,
    /// Columns of numbers; those of choices follow.
    pub(crate) numbers: usize,
    /// Columns of choices.
    pub(crate) choices: usize,
    /// The choices of each block.
    pub(crate) spans: Spans,
}

/// One part of a column.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The column of its number, where it has one.
    pub(crate) number: Option<usize>,
    /// The columns of its choices, counted from the first choice.
    pub(crate) choices: Range<usize>,
    /// `[choices]` how many training rows each stands for.
    pub(crate) weights: Vec<f64>,
    meanings: Vec<Meaning>,
    /// What becomes of each leaf.
    of_leaf: Vec<Encoded>,
    modes: Modes,
    /// Positions of the leaves that are not choices of their own, ascending, with their leaves.
    cells: Vec<(f64, u32)>,
    /// `[cells]` share of the real numbers up to each.
    real: Vec<f32>,
}

/// What a choice stands for.
#[derive(Debug, Clone)]
enum Meaning {
    Leaf(u32),
    /// Some leaves, drawn by their weights.
    Group(Vec<(u32, u64)>),
    Mode(usize),
}

/// What becomes of a leaf.
#[derive(Debug, Clone)]
enum Encoded {
    Choice(u32),
    /// The position, and the running sum of the probabilities of the modes; the first mode's choice.
    Modes {
        position: f64,
        cumulative: Vec<f64>,
        first: u32,
    },
}

/// Rows of a table in choices and numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// `[blocks][rows]` the choice of each block, counted within it.
    pub(crate) choices: Vec<Vec<u32>>,
    /// `[numbers][rows]`
    pub(crate) numbers: Vec<Vec<f32>>,
}

impl Rows {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.choices.first().map_or(0, Vec::len)
    }
}

impl Features {
    /// The layout for the parts of a table.
    pub(crate) fn of(parts: &[Leaves]) -> Features {
        let (mut numbers, mut choices, mut blocks) = (0, 0, Vec::with_capacity(parts.len()));
        for part in parts {
            let mut block = Block::of(part);
            if block.number.is_some() {
                block.number = Some(numbers);
                numbers += 1;
            }
            block.choices = choices..choices + block.meanings.len();
            choices = block.choices.end;
            blocks.push(block);
        }
        let ends = blocks.iter().map(|block: &Block| block.choices.end);
        let spans: Vec<usize> = std::iter::once(0).chain(ends).collect();
        Features { numbers, choices, spans: spans.into(), blocks }
    }

    /// Columns of all.
    pub(crate) fn width(&self) -> usize {
        self.numbers + self.choices
    }

    /// Encodes leaves, `[parts][rows]`; `family` draws the mode of each number, one stream for each row.
    pub(crate) fn encode(&self, leaves: &[Vec<u32>], family: &DrawFamily) -> Rows {
        let of_block = |(at, (block, leaves)): (usize, (&Block, &Vec<u32>))| {
            let one = |(row, leaf): (usize, &u32)| {
                block.encode(*leaf, || {
                    let mut stream = family.row(row as u64);
                    stream.set_word_pos(at as u128 * 2);
                    stream.random()
                })
            };
            leaves.iter().enumerate().map(one).unzip::<u32, f32, Vec<u32>, Vec<f32>>()
        };
        let encoded: Vec<(Vec<u32>, Vec<f32>)> = self.blocks.par_iter().zip(leaves).enumerate().map(of_block).collect();
        let with_number = self.blocks.iter().map(|block| block.number.is_some());
        let numbers = encoded.iter().zip(with_number).filter(|(_, has)| *has).map(|((_, n), _)| n.clone()).collect();
        Rows { choices: encoded.into_iter().map(|(choices, _)| choices).collect(), numbers }
    }

    /// Appends a row as the networks see it.
    pub(crate) fn write(&self, rows: &Rows, row: usize, out: &mut Vec<f32>) {
        out.extend(rows.numbers.iter().map(|numbers| numbers[row]));
        let start = out.len();
        out.resize(start + self.choices, 0.0);
        for (block, choices) in self.blocks.iter().zip(&rows.choices) {
            out[start + block.choices.start + choices[row] as usize] = 1.0;
        }
    }

    /// The leaf of each block for a row of made features: numbers, and scores whose largest in each block, after
    /// calibration, is its choice.
    pub(crate) fn decode(
        &self,
        (numbers, scores): (&[f32], &[f32]),
        calibration: &Calibration,
        stream: &mut Stream,
    ) -> Vec<u32> {
        let of_block = |block: &Block| {
            let choice = block.choice(scores, calibration);
            match block.number {
                Some(number) => block.decode(choice, numbers[number], &calibration.made[number], stream),
                None => block.decode(choice, 0.0, &[], stream),
            }
        };
        self.blocks.iter().map(of_block).collect()
    }
}

/// The place of the largest number, the first of several.
pub(crate) fn largest(scores: &[f32]) -> usize {
    let better = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (1..scores.len()).fold(0, better)
}

impl Block {
    fn of(part: &Leaves) -> Block {
        let total: u64 = part.weights.iter().sum();
        let alone = usize::from(part.missing) + part.apart;
        let is_own = |leaf: usize| {
            leaf < alone || part.weights[leaf] as f64 >= SPIKE * total as f64 || !part.positions[leaf].is_finite()
        };
        match part.ordered && part.weights.len() > LISTED + alone && (0..part.weights.len()).any(|leaf| !is_own(leaf)) {
            true => Block::of_number(part, is_own),
            false => Block::of_choices(part),
        }
    }

    fn of_choices(part: &Leaves) -> Block {
        let leaves = part.weights.len();
        let listed = if leaves > MOST_CHOICES { MOST_CHOICES - 1 } else { leaves };
        let mut meanings: Vec<Meaning> = (0..listed as u32).map(Meaning::Leaf).collect();
        let mut weights: Vec<f64> = part.weights[..listed].iter().map(|w| *w as f64).collect();
        if listed < leaves {
            let rest = (listed..leaves).map(|leaf| (leaf as u32, part.weights[leaf])).collect::<Vec<_>>();
            weights.push(rest.iter().map(|(_, weight)| *weight as f64).sum());
            meanings.push(Meaning::Group(rest));
        }
        let of_leaf = (0..leaves).map(|leaf| Encoded::Choice(leaf.min(meanings.len() - 1) as u32)).collect();
        let modes = Modes { weights: Vec::new(), means: Vec::new(), deviations: Vec::new() };
        Block { number: None, choices: 0..0, weights, meanings, of_leaf, modes, cells: Vec::new(), real: Vec::new() }
    }

    fn of_number(part: &Leaves, is_own: impl Fn(usize) -> bool) -> Block {
        let (own, rest): (Vec<usize>, Vec<usize>) = (0..part.weights.len()).partition(|leaf| is_own(*leaf));
        let points = rest.iter().map(|leaf| (part.positions[*leaf], part.weights[*leaf].max(1) as f64));
        let modes = modes_of(&points.collect::<Vec<_>>());
        let mut meanings: Vec<Meaning> = own.iter().map(|leaf| Meaning::Leaf(*leaf as u32)).collect();
        let first = meanings.len() as u32;
        meanings.extend((0..modes.means.len()).map(Meaning::Mode));
        let mut weights: Vec<f64> = own.iter().map(|leaf| part.weights[*leaf] as f64).collect();
        weights.resize(meanings.len(), 0.0);
        let mut of_leaf: Vec<Encoded> = vec![Encoded::Choice(0); part.weights.len()];
        own.iter().enumerate().for_each(|(choice, leaf)| of_leaf[*leaf] = Encoded::Choice(choice as u32));
        for leaf in &rest {
            let position = part.positions[*leaf];
            let odds = modes.responsibilities(position);
            for (weight, odds) in weights[first as usize..].iter_mut().zip(&odds) {
                *weight += part.weights[*leaf] as f64 * odds;
            }
            let mut sum = 0.0;
            let cumulative = odds.iter().map(|odds| {
                sum += odds;
                sum
            });
            of_leaf[*leaf] = Encoded::Modes { position, cumulative: cumulative.collect(), first };
        }
        let cells = rest.iter().map(|leaf| (part.positions[*leaf], *leaf as u32)).collect();
        let real = running_shares(&rest.iter().map(|leaf| part.weights[*leaf] as f64).collect::<Vec<_>>());
        Block { number: Some(0), choices: 0..0, weights, meanings, of_leaf, modes, cells, real }
    }

    /// The choice of a leaf and its place within the mode; `share`, between 0 and 1, draws the mode.
    fn encode(&self, leaf: u32, share: impl FnOnce() -> f64) -> (u32, f32) {
        match &self.of_leaf[leaf as usize] {
            Encoded::Choice(choice) => (*choice, 0.0),
            Encoded::Modes { position, cumulative, first } => {
                let share = share() * cumulative[cumulative.len() - 1];
                let mode = cumulative.partition_point(|c| *c <= share).min(cumulative.len() - 1);
                (first + mode as u32, LARGEST * self.modes.normalized(mode, *position) as f32)
            }
        }
    }

    /// The choice that a leaf is; `None` where it is a place within a mode.
    pub(crate) fn choice_of(&self, leaf: u32) -> Option<usize> {
        match self.of_leaf.get(leaf as usize)? {
            Encoded::Choice(choice) => Some(*choice as usize),
            Encoded::Modes { .. } => None,
        }
    }

    /// The choice with the largest of all scores, `[choices]`, after calibration.
    pub(crate) fn choice(&self, scores: &[f32], calibration: &Calibration) -> usize {
        let offsets = &calibration.offsets[self.choices.clone()];
        let scores: Vec<f32> = scores[self.choices.clone()].iter().zip(offsets).map(|(score, o)| score + o).collect();
        largest(&scores)
    }

    /// How many cells the numbers of the block have.
    pub(crate) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The cell of a made number; `None` where the choice has no number.
    pub(crate) fn cell(&self, choice: usize, number: f32) -> Option<usize> {
        let Meaning::Mode(mode) = self.meanings[choice] else { return None };
        Some(self.nearest(self.modes.position(mode, f64::from(number / LARGEST))))
    }

    fn decode(&self, choice: usize, number: f32, made: &[f32], stream: &mut Stream) -> u32 {
        match &self.meanings[choice] {
            Meaning::Leaf(leaf) => *leaf,
            Meaning::Group(leaves) => weighted(leaves, stream),
            Meaning::Mode(mode) => {
                let cell = self.nearest(self.modes.position(*mode, f64::from(number / LARGEST)));
                self.cells[self.moved(cell, made, stream)].1
            }
        }
    }

    /// The cell that has as many real numbers below it as this one has made ones, anywhere within it.
    fn moved(&self, cell: usize, made: &[f32], stream: &mut Stream) -> usize {
        let Some(above) = made.get(cell) else { return cell };
        let below = if cell == 0 { 0.0 } else { made[cell - 1] };
        let share = below + stream.random::<f32>() * (above - below);
        self.real.partition_point(|sum| *sum <= share).min(self.real.len() - 1)
    }

    /// The cell whose position is nearest, the lower one of two.
    fn nearest(&self, position: f64) -> usize {
        let above = self.cells.partition_point(|(at, _)| *at < position);
        let distance = |at: usize| (self.cells[at].0 - position).abs();
        match above {
            0 => 0,
            _ if above == self.cells.len() || distance(above - 1) <= distance(above) => above - 1,
            _ => above,
        }
    }
}

/// The mixture whose number of modes says most of some points `(position, weight)` for its size, by Schwarz's criterion
/// ("Estimating the dimension of a model", 1978): every mode more is one choice more to learn.
fn modes_of(points: &[(f64, f64)]) -> Modes {
    let total: f64 = points.iter().map(|(_, weight)| weight).sum();
    let cost = |modes: &Modes| {
        let of = |(position, weight): &(f64, f64)| weight * modes.log_density(*position);
        (3 * modes.means.len() - 1) as f64 * total.ln() - 2.0 * points.iter().map(of).sum::<f64>()
    };
    let candidates = NUMBERS_OF_MODES.map(|most| Modes::of(points, most));
    let [first, others @ ..] = candidates;
    let better = |(best, least): (Modes, f64), modes: Modes| {
        let cost = cost(&modes);
        if cost < least { (modes, cost) } else { (best, least) }
    };
    let start = cost(&first);
    others.into_iter().fold((first, start), better).0
}

/// A leaf drawn by its weight; evenly where none weighs anything.
fn weighted(leaves: &[(u32, u64)], stream: &mut Stream) -> u32 {
    let total: u64 = leaves.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        return leaves[stream.random_range(0..leaves.len())].0;
    }
    let mut left = stream.random_range(0..total);
    for (leaf, weight) in leaves {
        if left < *weight {
            return *leaf;
        }
        left -= weight;
    }
    leaves[0].0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use twinmart_tables::Draws;

    /// A category of three values, a number of many cells with a heavy one and missing values, and a large category.
    fn parts() -> Vec<Leaves> {
        let mut heavy: Vec<u64> = vec![20; 101];
        (heavy[0], heavy[1]) = (300, 4_000);
        let positions = std::iter::once(f64::NAN).chain((0..100).map(|i| (i as f64 / 10.0).powi(2)));
        let number = Leaves {
            column: 1,
            ordered: true,
            missing: true,
            apart: 0,
            weights: heavy,
            positions: positions.collect(),
            sub_columns: 1..3,
        };
        let category = |column: usize, leaves: usize| Leaves {
            column,
            ordered: false,
            missing: false,
            apart: 1,
            weights: (0..leaves as u64).map(|i| 2_000 / (i + 1)).collect(),
            positions: vec![f64::NAN; leaves],
            sub_columns: column..column + 1,
        };
        vec![category(0, 3), number, category(3, 900)]
    }

    #[test]
    fn heavy_and_missing_values_are_choices_of_their_own() {
        let features = Features::of(&parts());
        assert_eq!((features.numbers, features.blocks[1].number), (1, Some(0)));
        let number = &features.blocks[1];
        assert!(matches!(number.meanings[..2], [Meaning::Leaf(0), Meaning::Leaf(1)]));
        assert!(number.meanings[2..].iter().all(|m| matches!(m, Meaning::Mode(_))));
        assert!((number.weights.iter().sum::<f64>() - 6_280.0).abs() < 1e-6);
        assert_eq!(features.blocks[2].choices.len(), MOST_CHOICES);
        assert_eq!(features.width(), 1 + features.choices);
    }

    proptest! {
        #[test]
        fn leaves_come_back(seed in 0u64..1000) {
            let parts = parts();
            let features = Features::of(&parts);
            let draws = Draws::new(seed);
            let mut stream = draws.stream("leaves");
            let leaves: Vec<Vec<u32>> =
                parts.iter().map(|p| (0..50).map(|_| stream.random_range(0..p.weights.len() as u32)).collect()).collect();
            let rows = features.encode(&leaves, &draws.family("modes", ""));
            let by_row = (0..rows.len()).map(|row| leaves.iter().map(|leaves| leaves[row]).collect::<Vec<u32>>());
            for (row, own) in by_row.enumerate() {
                let mut written = Vec::new();
                features.write(&rows, row, &mut written);
                prop_assert_eq!(written.len(), features.width());
                prop_assert!(written.iter().all(|x| x.abs() <= LARGEST));
                let (numbers, scores) = written.split_at(features.numbers);
                let back = features.decode((numbers, scores), &Calibration::none(&features), &mut stream);
                prop_assert_eq!(back[0], own[0]);
                // Beyond four deviations a place within the mode ends.
                let position = |leaf: u32| parts[1].positions[leaf as usize];
                let (found, expected) = (position(back[1]), position(own[1]));
                prop_assert!(found == expected || found.is_nan() && expected.is_nan() || (found - expected).abs() < 12.0);
                prop_assert!(back[2] == own[2] || (back[2].min(own[2]) as usize) >= MOST_CHOICES - 1);
            }
        }
    }
}
