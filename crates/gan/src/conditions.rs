//! What the generator is asked for: one choice of one block, and real rows that have it.
//!
//! Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, §4.3. A block and a choice are drawn, choices by
//! the logarithm of their counts, so that rare ones are learned; the discriminator sees real rows that have the choice beside
//! made rows that should (*training by sampling*). To draw a twin, choices are drawn by their counts.

use crate::features::{Features, Rows};
use rand::Rng;
use std::sync::Arc;
use twinmart_tables::Stream;

/// For each row the place of what is asked of it, among all choices that can be asked for.
pub(crate) type Asked = Arc<[u32]>;

/// The blocks that can be asked for, and where their choices lie among all of those.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    blocks: Vec<Block>,
    /// Choices that can be asked for.
    pub(crate) width: usize,
}

#[derive(Debug, Clone)]
struct Block {
    block: usize,
    first: usize,
    /// Running sums over the choices of their counts, and of the logarithms of those.
    counts: Vec<f64>,
    logarithms: Vec<f64>,
}

/// One choice of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) block: usize,
    pub(crate) choice: usize,
    /// Its place among all choices that can be asked for.
    pub(crate) place: usize,
}

impl Conditions {
    /// The conditions on rows of these features: every block that is a choice among several.
    pub(crate) fn of(features: &Features) -> Conditions {
        let (mut blocks, mut width) = (Vec::new(), 0);
        for (at, block) in features.blocks.iter().enumerate() {
            if block.number.is_some() || block.weights.iter().filter(|weight| **weight > 0.0).count() < 2 {
                continue;
            }
            let counts = running(block.weights.iter().copied());
            let logarithms = running(block.weights.iter().map(|weight| weight.ln_1p()));
            blocks.push(Block { block: at, first: width, counts, logarithms });
            width += block.weights.len();
        }
        Conditions { blocks, width }
    }

    /// Conditions as networks take them, a row without one asking for the first place; `None` where nothing can be asked for.
    pub(crate) fn asked(&self, conditions: &[Option<Condition>]) -> Option<Asked> {
        let place = |condition: &Option<Condition>| condition.map_or(0, |condition| condition.place as u32);
        (self.width > 0).then(|| conditions.iter().map(place).collect())
    }

    /// A condition as learning asks, by the logarithms of counts; `None` where there are none to ask for.
    pub(crate) fn to_learn(&self, stream: &mut Stream) -> Option<Condition> {
        self.drawn(stream, |asked| &asked.logarithms)
    }

    /// A condition as often as real rows have it.
    pub(crate) fn to_draw(&self, stream: &mut Stream) -> Option<Condition> {
        self.drawn(stream, |asked| &asked.counts)
    }

    fn drawn(&self, stream: &mut Stream, sums: impl Fn(&Block) -> &[f64]) -> Option<Condition> {
        let [at, share] = [stream.random::<f64>(), stream.random::<f64>()];
        let last = self.blocks.len().checked_sub(1)?;
        let asked = &self.blocks[((at * self.blocks.len() as f64) as usize).min(last)];
        let sums = sums(asked);
        let choice = sums.partition_point(|sum| *sum <= share * sums[sums.len() - 1]).min(sums.len() - 1);
        Some(asked.condition(choice))
    }

    /// The condition that a block has a choice; `None` where that cannot be asked.
    pub(crate) fn on(&self, block: usize, choice: usize) -> Option<Condition> {
        let asked = self.blocks.iter().find(|asked| asked.block == block)?;
        (choice < asked.counts.len()).then(|| asked.condition(choice))
    }
}

impl Block {
    fn condition(&self, choice: usize) -> Condition {
        Condition { block: self.block, choice, place: self.first + choice }
    }
}

fn running(weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |weight: f64| {
        sum += weight;
        sum
    };
    weights.map(add).collect()
}

/// For each block and choice, the training rows that have it.
#[derive(Debug)]
pub(crate) struct Holders {
    /// `[blocks][choices]`, where that is asked for.
    rows: Vec<Vec<Vec<u32>>>,
    count: usize,
}

impl Holders {
    /// Who holds what among some rows.
    pub(crate) fn of(features: &Features, rows: &Rows) -> Holders {
        let of_block = |(block, choices): (&crate::features::Block, &Vec<u32>)| {
            if block.number.is_some() {
                return Vec::new();
            }
            let mut holders = vec![Vec::new(); block.choices.len()];
            choices.iter().enumerate().for_each(|(row, choice)| holders[*choice as usize].push(row as u32));
            holders
        };
        Holders { rows: features.blocks.iter().zip(&rows.choices).map(of_block).collect(), count: rows.len() }
    }

    /// A row that has what is asked, any row where nothing is or nobody has it.
    pub(crate) fn draw(&self, condition: Option<Condition>, stream: &mut Stream) -> usize {
        let share: f64 = stream.random();
        let holders = condition.map(|c| &self.rows[c.block][c.choice]).filter(|rows| !rows.is_empty());
        match holders {
            Some(rows) => rows[((share * rows.len() as f64) as usize).min(rows.len() - 1)] as usize,
            None => ((share * self.count as f64) as usize).min(self.count - 1),
        }
    }
}
