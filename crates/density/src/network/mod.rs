//! An any-order autoregressive network: one residual network predicts every unknown sub-column from any known ones.
//!
//! Learned from random orders of the sub-columns (Uria, Murray & Larochelle, "A deep and tractable density estimator",
//! ICML 2014; Hoogeboom et al., "Autoregressive diffusion models", ICLR 2022), so that rows can be drawn given any known
//! codes, wherever they stand.

mod layout;
mod matrix;
mod orders;
mod pass;
mod train;

use crate::pick::pick;
use crate::{Fitting, Parts, RowDensity, UNKNOWN};
use layout::{Layout, Shape};
use pass::{Pass, Question};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_encode::codes::{Codes, SubColumn, nodes, parents};
use twinmart_tables::{Draws, Result, Stream};

/// Rows that pass through the network together.
const BLOCK: usize = 128;

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    /// Two blocks of width 192.
    Base,
    /// Three blocks of width 384.
    Large,
}

impl Size {
    fn shape(self) -> Shape {
        match self {
            Size::Base => Shape { width: 192, hidden: 192, blocks: 2 },
            Size::Large => Shape { width: 384, hidden: 384, blocks: 3 },
        }
    }
}

/// A density learned by a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    sub_columns: Vec<SubColumn>,
    shape: Shape,
    /// All weights, in the order of the layout.
    weights: Vec<f32>,
}

impl Network {
    /// Learns from `parts` until the held-out likelihood stops improving, `fitting.steps` epochs are over or the deadline
    /// has come; the weights with the best held-out likelihood stay.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop.
    pub fn fit(parts: &Parts, fitting: &Fitting, size: Size) -> Result<Network> {
        let sub_columns = parts.train.sub_columns.clone();
        let shape = size.shape();
        let weights = initial(&sub_columns, &Layout::of(&sub_columns, shape), &parts.train, fitting.draws);
        let mut network = Network { sub_columns, shape, weights };
        train::train(&mut network, parts, fitting)?;
        Ok(network)
    }

    /// True where everything fits together: no known codes that these sub-columns allow can make a method panic.
    pub fn is_sound(&self) -> bool {
        self.shape.is_sound()
            && are_sound(&self.sub_columns)
            && self.weights.len() == self.layout().total
            && self.weights.iter().all(|w| w.is_finite())
    }

    fn layout(&self) -> Layout {
        Layout::of(&self.sub_columns, self.shape)
    }

    /// The codes of a block of rows, `[rows][sub_columns]`, with the unknown ones drawn; `start` is its first row.
    fn fill_block(&self, layout: &Layout, values: &[Vec<u32>], start: usize, streams: &mut [Stream]) -> Vec<u32> {
        let width = self.sub_columns.len();
        let mut codes = Vec::with_capacity(streams.len() * width);
        for row in start..start + streams.len() {
            codes.extend(values.iter().map(|v| v[row]));
        }
        let mut inputs: Vec<u32> = codes.chunks_exact(width).flat_map(|c| self.inputs(layout, c)).collect();
        let mut above = vec![0; streams.len()];
        for (p, s) in self.sub_columns.iter().enumerate() {
            if s.level == 0 {
                above.fill(0);
            }
            let asked: Vec<usize> = (0..streams.len()).filter(|r| codes[r * width + p] == UNKNOWN).collect();
            let probabilities = self.conditionals(layout, p, &asked, &inputs, &above);
            for (row, probabilities) in asked.iter().zip(probabilities.chunks_exact(layout.heads[p].outputs)) {
                codes[row * width + p] = pick(probabilities.iter().copied(), streams[*row].random());
            }
            for (row, above) in above.iter_mut().enumerate() {
                *above = s.child(*above, codes[row * width + p]);
                inputs[row * width + p] = layout.embedding(p, *above);
            }
        }
        codes
    }

    /// Probabilities of a sub-column's codes, `[asked][outputs]`, given the inputs of all rows of a block.
    fn conditionals(&self, layout: &Layout, p: usize, asked: &[usize], inputs: &[u32], above: &[u32]) -> Vec<f32> {
        if asked.is_empty() {
            return Vec::new();
        }
        let width = self.sub_columns.len();
        let chosen: Vec<u32> = asked.iter().flat_map(|row| &inputs[row * width..][..width]).copied().collect();
        let members = &self.sub_columns[p].members;
        let questions: Vec<Question> = asked
            .iter()
            .enumerate()
            .map(|(row, a)| Question {
                row,
                above: above[*a],
                members: members[above[*a] as usize],
                code: 0,
                weight: 0.0,
            })
            .collect();
        let pass = Pass::forward(layout, &self.weights, &chosen);
        pass.probabilities(self.shape.width, &layout.heads[p], &self.weights, &questions)
    }

    /// The inputs of a row of codes of which some are unknown.
    fn inputs(&self, layout: &Layout, codes: &[u32]) -> Vec<u32> {
        let mut above = 0;
        let places = self.sub_columns.iter().zip(codes).enumerate().map(|(p, (s, code))| {
            if s.level == 0 {
                above = 0;
            }
            if *code == UNKNOWN {
                return layout.unknown[p];
            }
            above = s.child(above, *code);
            layout.embedding(p, above)
        });
        places.collect()
    }
}

impl RowDensity for Network {
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        if values.is_empty() {
            return;
        }
        let layout = self.layout();
        let known: &[Vec<u32>] = values;
        let blocks = streams.par_chunks_mut(BLOCK).enumerate();
        let filled: Vec<Vec<u32>> =
            blocks.map(|(b, streams)| self.fill_block(&layout, known, b * BLOCK, streams)).collect();
        for (row, codes) in filled.iter().flat_map(|b| b.chunks_exact(self.sub_columns.len())).enumerate() {
            for (values, code) in values.iter_mut().zip(codes) {
                values[row] = *code;
            }
        }
    }

    fn log_likelihood(&self, rows: &Codes) -> Vec<f64> {
        let layout = self.layout();
        let every: Vec<usize> = (0..rows.rows()).collect();
        let rows = Rows::of(&self.sub_columns, rows);
        let mut sums = vec![0.0; every.len()];
        for p in (0..self.sub_columns.len()).filter(|p| self.sub_columns[*p].cardinality() > 1) {
            let terms = rows.log_probabilities(&layout, &self.weights, p, &every);
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        sums
    }

    fn numbers(&self) -> usize {
        self.weights.len()
    }
}

/// Complete rows of codes, with the nodes that they reach.
#[derive(Debug)]
struct Rows<'a> {
    sub_columns: &'a [SubColumn],
    values: &'a [Vec<u32>],
    above: Vec<Vec<u32>>,
}

impl<'a> Rows<'a> {
    fn of(sub_columns: &'a [SubColumn], codes: &'a Codes) -> Rows<'a> {
        Rows { sub_columns, values: &codes.values, above: parents(sub_columns, &codes.values) }
    }

    /// Appends the inputs of a row of which the sub-columns that `known` names are known.
    fn inputs(&self, layout: &Layout, row: usize, known: impl Fn(usize) -> bool, inputs: &mut Vec<u32>) {
        inputs.extend(self.sub_columns.iter().enumerate().map(|(p, s)| {
            let node = || s.child(self.above[p][row], self.values[p][row]);
            if known(p) { layout.embedding(p, node()) } else { layout.unknown[p] }
        }));
    }

    /// The question for a sub-column of a row that is at `position` in a pass.
    fn question(&self, p: usize, row: usize, position: usize) -> Question {
        let above = self.above[p][row];
        let members = self.sub_columns[p].members[above as usize];
        Question { row: position, above, members, code: self.values[p][row], weight: 1.0 }
    }

    /// Log probabilities of the codes of sub-column `p` given those before it, for some rows.
    fn log_probabilities(&self, layout: &Layout, weights: &[f32], p: usize, rows: &[usize]) -> Vec<f64> {
        let blocks = rows.par_chunks(BLOCK).map(|block| {
            let mut inputs = Vec::with_capacity(block.len() * self.sub_columns.len());
            block.iter().for_each(|row| self.inputs(layout, *row, |q| q < p, &mut inputs));
            let questions: Vec<Question> =
                block.iter().enumerate().map(|(at, row)| self.question(p, *row, at)).collect();
            let head = &layout.heads[p];
            let pass = Pass::forward(layout, weights, &inputs);
            let all = pass.probabilities(layout.shape.width, head, weights, &questions);
            let chosen = all.chunks_exact(head.outputs).zip(&questions).map(|(all, q)| all[q.code as usize]);
            chosen.map(|p| f64::from(p.max(1e-30)).ln()).collect::<Vec<f64>>()
        });
        blocks.flatten().collect()
    }
}

/// Random weights; the biases of the heads are log frequencies, a little drawn towards equal odds.
fn initial(sub_columns: &[SubColumn], layout: &Layout, train: &Codes, draws: Draws) -> Vec<f32> {
    let mut stream = draws.family("network.weights", "").row(0);
    let mut weights = vec![0f32; layout.total];
    let mut spread = |weights: &mut [f32], variance: f32| {
        let most = (3.0 * variance).sqrt();
        weights.iter_mut().for_each(|w| *w = stream.random_range(-most..most));
    };
    let (width, hidden) = (layout.shape.width as f32, layout.shape.hidden as f32);
    let share = 1.0 / sub_columns.len() as f32;
    spread(&mut weights[..layout.embeddings], share);
    for block in &layout.blocks {
        spread(&mut weights[block.widen.clone()], 1.0 / width);
        spread(&mut weights[block.narrow.clone()], 0.5 / (hidden * layout.blocks.len() as f32));
    }
    let above = parents(sub_columns, &train.values);
    for (p, s) in sub_columns.iter().enumerate().filter(|(_, s)| s.ordered) {
        let positions = positions(s, &above[p], &train.values[p]);
        let mut coefficients = vec![0f32; WAVES * layout.shape.width];
        spread(&mut coefficients, 2.0 * share);
        let start = layout.embedding(p, 0) as usize * layout.shape.width;
        wave(&positions, &coefficients, &mut weights[start..]);
    }
    for (p, head) in layout.heads.iter().enumerate() {
        spread(&mut weights[head.weights.clone()], 0.01 / width);
        let bias = log_frequencies(&sub_columns[p], head.outputs, &above[p], &train.values[p]);
        weights[head.bias.clone()].copy_from_slice(&bias);
    }
    weights
}

/// Cosines that make up the first embeddings of an ordered sub-column.
const WAVES: usize = 12;

/// First embeddings, `[nodes][width]`: a random smooth function of each node's position, so that neighbours begin alike.
/// The k-th cosine has 1/k of the amplitude of the first; `coefficients` is `[WAVES][width]`.
fn wave(positions: &[f32], coefficients: &[f32], embeddings: &mut [f32]) {
    let width = coefficients.len() / WAVES;
    let norm: f32 = (1..=WAVES).map(|k| 1.0 / (k * k) as f32).sum::<f32>().sqrt();
    for (x, embedding) in positions.iter().zip(embeddings.chunks_exact_mut(width)) {
        embedding.fill(0.0);
        for (k, coefficients) in (1..).zip(coefficients.chunks_exact(width)) {
            let height = (std::f32::consts::PI * k as f32 * x).cos() / (k as f32 * norm);
            embedding.iter_mut().zip(coefficients).for_each(|(e, c)| *e += c * height);
        }
    }
}

/// Where the middle of each node stands among the training rows, 0 to 1.
fn positions(sub_column: &SubColumn, above: &[u32], codes: &[u32]) -> Vec<f32> {
    let mut counts = vec![1f64; sub_column.nodes()];
    for node in nodes(sub_column, above, codes) {
        counts[node as usize] += 1.0;
    }
    let total: f64 = counts.iter().sum();
    let mut before = 0.0;
    let middles = counts.iter().map(|count| {
        before += count;
        ((before - count / 2.0) / total) as f32
    });
    middles.collect()
}

/// Log frequencies of the codes below each node, `[nodes above][outputs]`; 0 where there is no code.
fn log_frequencies(sub_column: &SubColumn, outputs: usize, above: &[u32], codes: &[u32]) -> Vec<f32> {
    let mut counts = vec![0f32; sub_column.members.len() * outputs];
    for (node, code) in above.iter().zip(codes) {
        counts[*node as usize * outputs + *code as usize] += 1.0;
    }
    for (row, members) in counts.chunks_exact_mut(outputs).zip(&sub_column.members) {
        let total: f32 = row.iter().sum::<f32>() + 1.0;
        for x in &mut row[..*members as usize] {
            *x = ((*x + 1.0 / *members as f32) / total).ln();
        }
    }
    counts
}

/// True where sub-columns form chains whose levels fit together, within bounds that keep offsets far from overflow.
fn are_sound(sub_columns: &[SubColumn]) -> bool {
    let mut nodes = 1;
    let mut total = 0u64;
    !sub_columns.is_empty()
        && sub_columns.iter().enumerate().all(|(p, s)| {
            let above = if s.level == 0 { 1 } else { nodes };
            let follows = s.level == 0 || (p > 0 && sub_columns[p - 1].level + 1 == s.level);
            nodes = s.members.iter().map(|m| u64::from(*m)).sum();
            total = total.saturating_add(nodes);
            let mut next = 0u64;
            let numbered = s.first.len() == s.members.len()
                && s.members.iter().zip(&s.first).all(|(m, first)| {
                    next += u64::from(*m);
                    *m > 0 && u64::from(*first) + u64::from(*m) == next
                });
            follows && numbered && s.members.len() as u64 == above && total <= 1 << 28
        })
}

#[cfg(test)]
mod tests;
