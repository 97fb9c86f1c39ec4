//! An any-order autoregressive network: one residual network predicts every unknown sub-column from any known ones.
//!
//! Learned from random orders of the sub-columns (Uria, Murray & Larochelle, "A deep and tractable density estimator",
//! ICML 2014; Hoogeboom et al., "Autoregressive diffusion models", ICLR 2022), so that rows can be drawn given any known
//! codes, wherever they stand.

mod layout;
pub(crate) mod matrix;
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
use train::Ended;
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
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    sub_columns: Vec<SubColumn>,
    shape: Shape,
    /// All weights, in the order of the layout.
    weights: Vec<f32>,
    /// True where a deadline came before the held-out likelihood stopped improving.
    unfinished: bool,
}

/// All of a [`Network`] but its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkStructure {
    sub_columns: Vec<SubColumn>,
    shape: Shape,
    unfinished: bool,
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
        let mut network = Network { sub_columns, shape, weights, unfinished: false };
        network.unfinished = train::train(&mut network, parts, fitting)? == Ended::Deadline;
        Ok(network)
    }

    /// The network in two parts for storage: all but the weights, and the weights.
    pub fn parts(&self) -> (NetworkStructure, &[f32]) {
        let Network { sub_columns, shape, unfinished, .. } = self;
        let structure = NetworkStructure { sub_columns: sub_columns.clone(), shape: *shape, unfinished: *unfinished };
        (structure, &self.weights)
    }

    /// Puts together what [`Network::parts`] took apart; whether it fits together, [`Network::is_sound`] says.
    pub fn from_parts(structure: NetworkStructure, weights: Vec<f32>) -> Network {
        let NetworkStructure { sub_columns, shape, unfinished } = structure;
        Network { sub_columns, shape, weights, unfinished }
    }

    /// True where this is a network over `sub_columns`, so that nothing drawn from it can fail.
    pub fn is_sound(&self, sub_columns: &[SubColumn]) -> bool {
        self.shape.is_sound()
            && self.sub_columns == sub_columns
            && self.weights.len() == self.layout().total
            && self.weights.iter().all(|w| w.is_finite())
    }

    /// True where a deadline ended the learning.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    fn layout(&self) -> Layout {
        Layout::of(&self.sub_columns, self.shape)
    }

    /// Begins to draw some rows of codes, `[sub_columns][rows]`.
    pub(crate) fn walk(&self, values: &[Vec<u32>], rows: &[usize]) -> Walk<'_> {
        let layout = self.layout();
        let mut inputs = Vec::with_capacity(rows.len() * self.sub_columns.len());
        rows.iter().for_each(|row| self.inputs(&layout, values, *row, &mut inputs));
        Walk { network: self, layout, inputs }
    }

    /// Appends the inputs of a row of codes of which some are unknown.
    fn inputs(&self, layout: &Layout, values: &[Vec<u32>], row: usize, inputs: &mut Vec<u32>) {
        let mut above = 0;
        inputs.extend(self.sub_columns.iter().zip(values).enumerate().map(|(p, (s, values))| {
            if s.level == 0 {
                above = 0;
            }
            if values[row] == UNKNOWN {
                return layout.unknown[p];
            }
            above = s.child(above, values[row]);
            layout.embedding(p, above)
        }));
    }

    /// The codes of some rows, `[sub_columns][rows]`, with the unknown ones drawn; one stream for each row.
    fn filled(&self, values: &[Vec<u32>], rows: &[usize], streams: &mut [Stream]) -> Vec<Vec<u32>> {
        let mut walk = self.walk(values, rows);
        let mut filled: Vec<Vec<u32>> = Vec::with_capacity(values.len());
        let mut reached = vec![0; rows.len()];
        for (p, s) in self.sub_columns.iter().enumerate() {
            let above = if s.level == 0 { vec![0; rows.len()] } else { reached };
            let mut codes: Vec<u32> = rows.iter().map(|row| values[p][*row]).collect();
            let asked: Vec<usize> = (0..rows.len()).filter(|at| codes[*at] == UNKNOWN).collect();
            let probabilities = walk.conditionals(p, &asked, &above);
            for (at, probabilities) in asked.iter().zip(probabilities.chunks_exact(walk.outputs(p))) {
                codes[*at] = pick(probabilities.iter().copied(), streams[*at].random());
            }
            reached = nodes(s, &above, &codes);
            walk.reach(p, &reached);
            filled.push(codes);
        }
        filled
    }
}

/// Drawing some rows, sub-column by sub-column.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    network: &'a Network,
    layout: Layout,
    /// `[rows][sub_columns]`
    inputs: Vec<u32>,
}

impl Walk<'_> {
    /// How many probabilities [`Walk::conditionals`] has for each row; those beyond the codes there are, are 0.
    pub(crate) fn outputs(&self, p: usize) -> usize {
        self.layout.heads[p].outputs
    }

    /// Probabilities of a sub-column's codes, `[asked][outputs]`; `above` has the node of each row of the walk.
    pub(crate) fn conditionals(&self, p: usize, asked: &[usize], above: &[u32]) -> Vec<f32> {
        let Network { sub_columns, weights, shape, .. } = self.network;
        let question = |(row, at): (usize, &usize)| {
            let (above, members) = (above[*at], sub_columns[p].members[above[*at] as usize]);
            Question { row, above, members, code: 0, weight: 0.0 }
        };
        let block = |asked: &[usize]| {
            let inputs = asked.iter().flat_map(|at| &self.inputs[at * sub_columns.len()..][..sub_columns.len()]);
            let pass = Pass::forward(&self.layout, weights, &inputs.copied().collect::<Vec<u32>>());
            let questions: Vec<Question> = asked.iter().enumerate().map(question).collect();
            pass.probabilities(shape.width, &self.layout.heads[p], weights, &questions)
        };
        asked.chunks(BLOCK).flat_map(block).collect()
    }

    /// Takes note of the nodes that all rows have reached in a sub-column.
    pub(crate) fn reach(&mut self, p: usize, reached: &[u32]) {
        let width = self.network.sub_columns.len();
        for (inputs, node) in self.inputs.chunks_exact_mut(width).zip(reached) {
            inputs[p] = self.layout.embedding(p, *node);
        }
    }
}

impl RowDensity for Network {
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        let rows: Vec<usize> = (0..streams.len()).collect();
        let known: &[Vec<u32>] = values;
        let blocks = (rows.par_chunks(BLOCK), streams.par_chunks_mut(BLOCK));
        let filled: Vec<Vec<Vec<u32>>> =
            blocks.into_par_iter().map(|(rows, streams)| self.filled(known, rows, streams)).collect();
        for (block, filled) in filled.iter().enumerate() {
            for (values, codes) in values.iter_mut().zip(filled) {
                values[block * BLOCK..][..codes.len()].copy_from_slice(codes);
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
        self.weights.len()
    }
}

impl Network {
    /// Log probabilities of each code given those before it, `[sub_columns][rows]`.
    pub(crate) fn log_probabilities(&self, rows: &Codes) -> Vec<Vec<f64>> {
        let layout = self.layout();
        let every: Vec<usize> = (0..rows.rows()).collect();
        let rows = Rows::of(&self.sub_columns, rows);
        let of_sub_column = |(p, s): (usize, &SubColumn)| match s.cardinality() {
            0 | 1 => vec![0.0; every.len()],
            _ => rows.log_probabilities(&layout, &self.weights, p, &every),
        };
        self.sub_columns.iter().enumerate().map(of_sub_column).collect()
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

#[cfg(test)]
mod tests;
