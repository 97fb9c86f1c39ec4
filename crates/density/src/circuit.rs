//! A tree-shaped probabilistic circuit: a hidden Chow-Liu tree (Liu & Van den Broeck, "Tractable regularization of
//! probabilistic circuits", 2021; Liu, Mandt & Van den Broeck, "Lossless compression with probabilistic circuits", 2022).
//!
//! Every chain of sub-columns has a hidden state; the states form the tree of largest mutual information between chains
//! (Chow & Liu, "Approximating discrete probability distributions with dependence trees", 1968). Given its state, a chain is
//! independent of the rest; its tables are those of a mixture's component (`mixture`). p(row) = Σ over states of
//! Π_chains P(state | state above) · P(chain | state), summed exactly from the leaves of the tree up.
//!
//! Fitted by stepwise EM, as the mixture is: an up pass gives likelihoods, a down pass the expected counts (Pearl,
//! "Probabilistic Reasoning in Intelligent Systems", 1988, ch. 4). The number of states doubles, each split in two, while the
//! held-out likelihood gains; circuits from other starts are averaged while that gains.

use crate::mixture::{
    Data, at, base_likelihood, bases_are_sound, chains, chains_are_sound, dot, draw, is_past, log_sum, logarithm, scale,
};
use crate::pick::pick;
use crate::{Fitting, Parts, RowDensity, UNKNOWN};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use twinmart_encode::codes::{Codes, SubColumn};
use twinmart_tables::{Result, Stream, Task};

/// States of the first circuit; the number stays a multiple of [`TILE`].
const SMALLEST: usize = 16;
/// States of the last one.
const LARGEST: usize = 256;
/// Circuits that are averaged, at most.
const MEMBERS: usize = 8;
/// Passes without a better held-out likelihood before a fit ends.
const PATIENCE: usize = 4;
/// Nats a row that count as better.
const BETTER: f64 = 0.002;
/// Nats a row that twice the states must have gained to be doubled again; less comes cheaper from another start.
const WORTH_DOUBLING: f64 = 0.1;
/// Rows between two updates of the tables.
const BATCH: usize = 2048;
/// Rows that one task works on.
const BLOCK: usize = 128;

/// A mixture, in equal shares, of hidden Chow-Liu trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Circuit {
    sub_columns: Vec<SubColumn>,
    /// By sub-column, q of each node.
    base: Vec<Vec<f32>>,
    shape: Shape,
    members: Vec<Tree>,
}

/// A rooted tree of the chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    /// Chains, each after the one above it.
    order: Vec<usize>,
    /// By chain, the one above it.
    above: Vec<Option<usize>>,
}

/// The tables of one tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    /// States of each chain.
    width: usize,
    /// By chain, P(state | state above): `[states above][states]`, one row for the root.
    transitions: Vec<Vec<f32>>,
    /// By sub-column, r: `[nodes][states]`.
    factors: Vec<Vec<f32>>,
}

impl Circuit {
    /// Learns. [`Fitting::steps`] bounds the passes over the training rows for each circuit that is tried; the deadline ends
    /// the whole with the best so far. The error is an interruption.
    pub fn fit(parts: &Parts, fitting: &Fitting) -> Result<Circuit> {
        let data = Data::of(parts, &fitting.draws);
        let shape = Shape::of(&data, &parts.train.values);
        let mut members = vec![Member::grow(&data, &shape, 0, LARGEST, data.held_base, fitting)?];
        let mut held = members[0].held_logs.clone();
        let mut vain = 0;
        for start in 1..MEMBERS as u64 + 2 {
            if is_past(fitting.deadline) || vain == 2 || members.len() == MEMBERS || held.is_empty() {
                break;
            }
            let reached = mean(&held) + data.held_base;
            let next = Member::grow(&data, &shape, start, members[0].width, reached, fitting)?;
            let with = averaged(&held, &next.held_logs, members.len() as f32);
            if mean(&with) > mean(&held) + BETTER / 2.0 {
                (held, vain) = (with, 0);
                members.push(next);
            } else {
                vain += 1;
            }
        }
        let members = members.iter().map(|m| m.tree(&data)).collect();
        Ok(Circuit { sub_columns: data.sub_columns, base: data.base, shape, members })
    }

    /// States of each chain, over all trees.
    pub fn states(&self) -> usize {
        self.members.iter().map(|m| m.width).sum()
    }

    /// False where drawing or asking could fail: what a damaged file says.
    pub fn is_sound(&self) -> bool {
        chains_are_sound(&self.sub_columns)
            && bases_are_sound(&self.sub_columns, &self.base)
            && self.shape.is_sound(chains(&self.sub_columns).len())
            && !self.members.is_empty()
            && self.members.iter().all(|m| m.is_sound(&self.sub_columns, &self.shape))
    }
}

impl RowDensity for Circuit {
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        let chains = chains(&self.sub_columns);
        let mut messages: Vec<Messages> = self.members.iter().map(|m| Messages::new(m.width, chains.len())).collect();
        for (row, stream) in streams.iter_mut().enumerate() {
            let mut odds: Vec<f32> = Vec::with_capacity(self.members.len());
            for (tree, messages) in self.members.iter().zip(&mut messages) {
                odds.push(tree.up(&self.sub_columns, &self.shape, &chains, values, row, messages));
            }
            log_sum(&mut odds);
            let member = pick(odds.iter().copied(), stream.random::<f32>()) as usize;
            let states = self.members[member].draw_states(&self.shape, &messages[member], stream);
            for (chain, state) in chains.iter().zip(states) {
                let mut node = 0;
                for p in chain.clone() {
                    let (s, tree) = (&self.sub_columns[p], &self.members[member]);
                    if values[p][row] == UNKNOWN {
                        let at = stream.random::<f32>();
                        values[p][row] = draw(s, node, &self.base[p], &tree.factors[p], tree.width, state, at);
                    }
                    node = s.child(node, values[p][row]);
                }
            }
        }
    }

    fn log_likelihood(&self, rows: &Codes) -> Vec<f64> {
        let chains = chains(&self.sub_columns);
        let base = base_likelihood(&self.sub_columns, &self.base, &rows.values);
        let mut messages: Vec<Messages> = self.members.iter().map(|m| Messages::new(m.width, chains.len())).collect();
        let share = (self.members.len() as f32).ln();
        let of = |(row, base): (usize, f64)| {
            let trees = self.members.iter().zip(&mut messages);
            let up = |(t, m): (&Tree, _)| t.up(&self.sub_columns, &self.shape, &chains, &rows.values, row, m);
            let mut logs: Vec<f32> = trees.map(up).collect();
            base + f64::from(log_sum(&mut logs) - share)
        };
        base.into_iter().enumerate().map(of).collect()
    }

    fn numbers(&self) -> usize {
        let of_trees = self.members.iter().flat_map(|m| m.transitions.iter().chain(&m.factors));
        self.base.iter().chain(of_trees).map(Vec::len).sum()
    }
}

/// What the known codes of one row say to each state of each chain.
struct Messages {
    /// By chain, up to a factor: P(known codes of the chain and all below it | state).
    evidence: Vec<Vec<f32>>,
    /// By chain, true where that is not the same for all states.
    tells: Vec<bool>,
}

impl Messages {
    fn new(width: usize, chains: usize) -> Messages {
        Messages { evidence: vec![vec![1.0; width]; chains], tells: vec![false; chains] }
    }
}

impl Tree {
    /// Fills the messages of a row; the log probability of its known codes, less that of q.
    fn up(
        &self,
        sub_columns: &[SubColumn],
        shape: &Shape,
        chains: &[Range<usize>],
        values: &[Vec<u32>],
        row: usize,
        messages: &mut Messages,
    ) -> f32 {
        messages.tells.fill(false);
        messages.evidence.iter_mut().for_each(|e| e.fill(1.0));
        let mut log = 0.0;
        for chain in shape.order.iter().rev() {
            let mut evidence = std::mem::take(&mut messages.evidence[*chain]);
            let mut node = 0;
            for p in chains[*chain].clone().take_while(|p| values[*p][row] != UNKNOWN) {
                node = sub_columns[p].child(node, values[p][row]);
                let factors = at(&self.factors[p], node as usize, self.width);
                evidence.iter_mut().zip(factors).for_each(|(e, f)| *e *= f);
                messages.tells[*chain] = true;
            }
            if messages.tells[*chain] {
                log += scale(&mut evidence).ln();
                log += self.tell(shape.above[*chain], *chain, &evidence, messages);
            }
            messages.evidence[*chain] = evidence;
        }
        log
    }

    /// Passes a chain's evidence to the one above; the root's answer is the log of its total.
    fn tell(&self, above: Option<usize>, chain: usize, evidence: &[f32], messages: &mut Messages) -> f32 {
        let Some(above) = above else { return dot(&self.transitions[chain], evidence).max(f32::MIN_POSITIVE).ln() };
        messages.tells[above] = true;
        pulp::Arch::new().dispatch(|| {
            let rows = self.transitions[chain].chunks_exact(self.width);
            messages.evidence[above].iter_mut().zip(rows).for_each(|(e, row)| *e *= dot(row, evidence));
            // Many small messages would vanish in their product.
            scale(&mut messages.evidence[above]).ln()
        })
    }

    /// A state for each chain, drawn from the root down given the messages.
    fn draw_states(&self, shape: &Shape, messages: &Messages, stream: &mut Stream) -> Vec<usize> {
        let mut states = vec![0; shape.above.len()];
        for chain in &shape.order {
            let above = shape.above[*chain].map_or(0, |a| states[a]);
            let prior = at(&self.transitions[*chain], above, self.width);
            let evidence = messages.evidence[*chain].iter();
            states[*chain] = pick(prior.iter().zip(evidence).map(|(p, e)| p * e), stream.random::<f32>()) as usize;
        }
        states
    }

    fn is_sound(&self, sub_columns: &[SubColumn], shape: &Shape) -> bool {
        let rows = |chain: usize| if shape.above[chain].is_some() { self.width } else { 1 };
        let sized = self.transitions.len() == shape.above.len()
            && self.factors.len() == sub_columns.len()
            && (1..1 << 16).contains(&self.width)
            && sub_columns.iter().zip(&self.factors).all(|(s, f)| f.len() == s.nodes() * self.width)
            && self.transitions.iter().enumerate().all(|(c, t)| t.len() == rows(c) * self.width);
        let numbers = |table: &Vec<f32>| table.iter().all(|x| x.is_finite() && *x >= 0.0);
        sized && self.transitions.iter().all(numbers) && self.factors.iter().all(numbers)
    }
}

impl Shape {
    /// The tree of largest mutual information, from the chain that shares most with all others (Prim's algorithm; ties go
    /// to the chain that comes first).
    fn of(data: &Data, values: &[Vec<u32>]) -> Shape {
        let count = data.chains.len();
        let coarse: Vec<(Vec<u32>, usize)> = (0..count).into_par_iter().map(|c| coarse(data, c, values)).collect();
        let information = |a: usize, b: usize| if a == b { 0.0 } else { mutual_information(&coarse[a], &coarse[b]) };
        let shared: Vec<Vec<f64>> =
            (0..count).into_par_iter().map(|a| (0..count).map(|b| information(a, b)).collect()).collect();
        let total = |a: usize| shared[a].iter().sum::<f64>();
        let first_largest =
            |best: usize, a: usize, value: &dyn Fn(usize) -> f64| if value(a) > value(best) { a } else { best };
        let root = (0..count).fold(0, |best, a| first_largest(best, a, &total));
        let mut shape = Shape { order: vec![root], above: vec![None; count] };
        shape.order.truncate(count);
        while shape.order.len() < count {
            let outside = (0..count).filter(|c| !shape.order.contains(c));
            let pairs = outside.flat_map(|c| shape.order.iter().map(move |a| (*a, c)));
            let better = |best: (usize, usize), x: (usize, usize)| {
                if shared[x.0][x.1] > shared[best.0][best.1] { x } else { best }
            };
            let Some((above, chain)) = pairs.reduce(better) else { break };
            shape.above[chain] = Some(above);
            shape.order.push(chain);
        }
        shape
    }

    fn is_sound(&self, chains: usize) -> bool {
        let mut seen = vec![false; chains];
        let sized = self.above.len() == chains && self.order.len() == chains;
        sized
            && self.order.iter().enumerate().all(|(place, chain)| {
                let after = match self.above.get(*chain) {
                    Some(Some(above)) => seen.get(*above) == Some(&true),
                    Some(None) => place == 0,
                    None => false,
                };
                after && !std::mem::replace(&mut seen[*chain], true)
            })
    }
}

/// Nodes that mutual information is counted over: more would mostly count chance.
const COARSE: usize = 64;

/// Each row's node in the finest level of a chain that has few nodes, and their number.
fn coarse(data: &Data, chain: usize, values: &[Vec<u32>]) -> (Vec<u32>, usize) {
    let positions = data.chains[chain].clone();
    let mut reached = vec![0u32; values.first().map_or(0, Vec::len)];
    let mut count = 1;
    for p in positions {
        let s = &data.sub_columns[p];
        if s.level > 0 && s.nodes() > COARSE {
            break;
        }
        count = s.nodes();
        reached.iter_mut().zip(&values[p]).for_each(|(node, code)| *node = s.child(*node, *code));
    }
    (reached, count)
}

/// Mutual information in nats, less its bias (Miller, "Note on the bias of information estimates", 1955).
fn mutual_information(a: &(Vec<u32>, usize), b: &(Vec<u32>, usize)) -> f64 {
    let mut joint = vec![0u32; a.1 * b.1];
    for (x, y) in a.0.iter().zip(&b.0) {
        joint[*x as usize * b.1 + *y as usize] += 1;
    }
    let mut columns = vec![0u32; b.1];
    let rows: Vec<u32> = joint.chunks_exact(b.1.max(1)).map(|r| r.iter().sum()).collect();
    for row in joint.chunks_exact(b.1.max(1)) {
        columns.iter_mut().zip(row).for_each(|(c, n)| *c += n);
    }
    let total = a.0.len().max(1) as f64;
    let entropy = |counts: &[u32]| {
        let seen = counts.iter().filter(|c| **c > 0).map(|c| f64::from(*c) / total);
        let (sum, cells) = seen.fold((0.0, 0.0), |(sum, cells), p| (sum - p * p.ln(), cells + 1.0));
        sum + (cells - 1.0) / (2.0 * total)
    };
    entropy(&rows) + entropy(&columns) - entropy(&joint)
}

/// One circuit while it is learned.
#[derive(Clone)]
struct Member<'a> {
    shape: &'a Shape,
    width: usize,
    /// α, by sub-column.
    strengths: Vec<f32>,
    /// The same for transitions, around the states' shares.
    inertia: f32,
    /// Expected rows by chain: `[leaves][states]`.
    counts: Vec<Vec<f32>>,
    /// Expected rows by chain: `[states above][states]`, one row for the root.
    moves: Vec<Vec<f32>>,
    /// Log likelihood of each held-out row, less that of q.
    held_logs: Vec<f32>,
}

/// Tables for one update.
struct Tables {
    /// By chain: `[leaves][states]`.
    leaves: Vec<Vec<f32>>,
    /// By chain: `[states above][states]`.
    transitions: Vec<Vec<f32>>,
    /// The same, transposed.
    transposed: Vec<Vec<f32>>,
}

/// What a block of rows adds.
struct Expected {
    /// By chain, each row's shares in the states: `[rows][states]`.
    shares: Vec<Vec<f32>>,
    /// By chain, counts of transitions, still to be multiplied by their probabilities.
    moves: Vec<Vec<f32>>,
    logs: Vec<f32>,
}

impl<'a> Member<'a> {
    /// Doubles the states from a start of its own while that helps; `reached` is for the progress line.
    fn grow(
        data: &Data,
        shape: &'a Shape,
        start: u64,
        largest: usize,
        reached: f64,
        fitting: &Fitting,
    ) -> Result<Member<'a>> {
        let mut stream = fitting.draws.family("circuit.start", "").row(start);
        let mut best = Member::seeded(data, shape, &mut stream);
        let mut shown = reached;
        best = best.learn(data, start, shown, fitting)?;
        while best.width < largest && !is_past(fitting.deadline) {
            if start == 0 {
                shown = mean(&best.held_logs) + data.held_base;
            }
            let next = best.split(&mut stream).learn(data, start, shown, fitting)?;
            if mean(&next.held_logs) < mean(&best.held_logs) + WORTH_DOUBLING {
                return Ok(if mean(&next.held_logs) > mean(&best.held_logs) { next } else { best });
            }
            best = next;
        }
        Ok(best)
    }

    /// States around rows drawn at random; a state mostly goes with the same state above, as in a mixture.
    fn seeded(data: &Data, shape: &'a Shape, stream: &mut Stream) -> Member<'a> {
        let width = SMALLEST;
        let seeds: Vec<usize> = (0..width).map(|_| stream.random_range(0..data.rows().max(1))).collect();
        let count = |chain: usize| {
            let mut counts = vec![0f32; data.leaves(chain) * width];
            for (state, seed) in seeds.iter().enumerate().filter(|(_, s)| **s < data.rows()) {
                counts[data.train[chain][*seed] as usize * width + state] = 4.0;
            }
            counts
        };
        let together = |chain: usize| {
            let same = |i: usize| if i / width == i % width { width as f32 } else { 1.0 };
            let rows = if shape.above[chain].is_some() { width } else { 1 };
            (0..rows * width).map(|i| if rows == 1 { 1.0 } else { same(i) }).collect()
        };
        Member {
            shape,
            width,
            strengths: vec![4.0; data.sub_columns.len()],
            inertia: 1.0,
            counts: (0..data.chains.len()).map(count).collect(),
            moves: (0..data.chains.len()).map(together).collect(),
            held_logs: Vec::new(),
        }
    }

    /// Twice the states: each in two that differ by chance.
    fn split(&self, stream: &mut Stream) -> Member<'a> {
        let width = self.width;
        let mut apart = |table: &[f32], share: f32| -> Vec<f32> {
            let mut wide = Vec::with_capacity(2 * table.len());
            for row in table.chunks_exact(width) {
                let odds: Vec<f32> = row.iter().map(|_| stream.random_range(0.5..1.5f32)).collect();
                wide.extend(row.iter().zip(&odds).map(|(x, o)| x * o * share));
                wide.extend(row.iter().zip(&odds).map(|(x, o)| x * (2.0 - o) * share));
            }
            wide
        };
        let counts = self.counts.iter().map(|c| apart(c, 0.5)).collect();
        let moves = self.moves.iter().map(|m| match m.len() == width {
            true => apart(m, 0.5),
            false => [apart(m, 0.25), apart(m, 0.25)].concat(),
        });
        let moves = moves.collect();
        Member { width: 2 * width, counts, moves, strengths: self.strengths.clone(), held_logs: Vec::new(), ..*self }
    }

    fn learn(mut self, data: &Data, start: u64, before: f64, fitting: &Fitting) -> Result<Member<'a>> {
        let title = format!("circuit of {} states, start {start}; held-out {before:.4}", self.width);
        let task = fitting.progress.start(&title, None, "passes");
        self.look(data);
        let mut best = self.clone();
        let (mut since, mut update) = (0, 0);
        for pass in 1u64.. {
            self.pass(data, &mut update, fitting, &task)?;
            self.tune(data);
            task.advance(1)?;
            let (now, record) = (mean(&self.held_logs), mean(&best.held_logs));
            since = if now > record + BETTER { 0 } else { since + 1 };
            if now > record {
                best = self.clone();
            }
            if since == PATIENCE || pass == fitting.steps || is_past(fitting.deadline) {
                break;
            }
        }
        Ok(best)
    }

    fn tree(&self, data: &Data) -> Tree {
        let levels = |chain: usize| data.levels(chain, &self.counts[chain], self.width, &self.strengths);
        Tree {
            width: self.width,
            transitions: self.moves.iter().map(|m| self.transitions(m, self.inertia)).collect(),
            factors: (0..data.chains.len()).flat_map(levels).collect(),
        }
    }

    /// Probabilities of a chain's transitions, drawn towards the shares of its states.
    fn transitions(&self, moves: &[f32], inertia: f32) -> Vec<f32> {
        let mut shares = vec![1e-3f32; self.width];
        for row in moves.chunks_exact(self.width) {
            shares.iter_mut().zip(row).for_each(|(s, m)| *s += m);
        }
        scale(&mut shares);
        let mut table = moves.to_vec();
        for row in table.chunks_exact_mut(self.width) {
            row.iter_mut().zip(&shares).for_each(|(m, s)| *m += inertia * s);
            scale(row);
        }
        table
    }

    fn tables(&self, data: &Data) -> Tables {
        let chains = 0..data.chains.len();
        let leaves = |c: usize| data.leaf_factors(c, &self.counts[c], self.width, &self.strengths);
        let leaves = chains.into_par_iter().map(leaves).collect();
        let transitions: Vec<Vec<f32>> = self.moves.par_iter().map(|m| self.transitions(m, self.inertia)).collect();
        let transposed = transitions.par_iter().map(|t| transpose(t, self.width)).collect();
        Tables { leaves, transitions, transposed }
    }

    /// One pass over the training rows, in batches.
    fn pass(&mut self, data: &Data, update: &mut u32, fitting: &Fitting, task: &Task) -> Result<()> {
        let rows = data.rows();
        let batches = rows.div_ceil(BATCH).max(1);
        for batch in 0..batches {
            if is_past(fitting.deadline) {
                break;
            }
            let range = rows * batch / batches..rows * (batch + 1) / batches;
            let tables = self.tables(data);
            let expected = self.expect(&tables, &data.train, range.clone(), true);
            // The step falls like t^-0.6 until the memory is one pass long, as in incremental EM.
            let step = f64::from(*update + 1).powf(-0.6).max(1.0 / batches as f64) as f32;
            *update += 1;
            self.absorb(&expected, &tables, data, range.clone(), step, rows as f32 / range.len().max(1) as f32);
            task.advance(0)?;
        }
        Ok(())
    }

    fn expect(&self, tables: &Tables, leaves: &[Vec<u32>], range: Range<usize>, moves: bool) -> Vec<Expected> {
        let blocks = (range.start..range.end).into_par_iter().step_by(BLOCK);
        let block = |first: usize| first..(first + BLOCK).min(range.end);
        blocks.map(|first| expect_block(self, tables, leaves, block(first), moves)).collect()
    }

    /// Moves the counts a step towards those of a batch.
    fn absorb(&mut self, batch: &[Expected], tables: &Tables, data: &Data, range: Range<usize>, step: f32, scale: f32) {
        let (width, weight) = (self.width, step * scale);
        self.counts.par_iter_mut().enumerate().for_each(|(chain, counts)| {
            pulp::Arch::new().dispatch(|| {
                counts.iter_mut().for_each(|c| *c *= 1.0 - step);
                let shares = batch.iter().flat_map(|b| b.shares[chain].chunks_exact(width));
                for (share, leaf) in shares.zip(&data.train[chain][range.clone()]) {
                    let count = &mut counts[*leaf as usize * width..][..width];
                    count.iter_mut().zip(share).for_each(|(c, s)| *c += weight * s);
                }
            });
        });
        self.moves.par_iter_mut().enumerate().for_each(|(chain, moves)| {
            pulp::Arch::new().dispatch(|| {
                moves.iter_mut().for_each(|m| *m *= 1.0 - step);
                for block in batch {
                    let each = moves.iter_mut().zip(&block.moves[chain]).zip(&tables.transitions[chain]);
                    each.for_each(|((m, b), t)| *m += weight * b * t);
                }
            });
        });
    }

    fn held_with(&self, tables: &Tables, data: &Data) -> Vec<Expected> {
        self.expect(tables, &data.held, 0..data.held_rows(), false)
    }

    fn look(&mut self, data: &Data) {
        let expected = self.held_with(&self.tables(data), data);
        self.held_logs = expected.iter().flat_map(|b| b.logs.iter().copied()).collect();
    }

    /// Looks at the held-out rows and lets them move the strengths.
    fn tune(&mut self, data: &Data) {
        let tables = self.tables(data);
        let expected = self.held_with(&tables, data);
        self.held_logs = expected.iter().flat_map(|b| b.logs.iter().copied()).collect();
        for chain in 0..data.chains.len() {
            for p in data.chains[chain].clone() {
                self.tune_strength(data, &tables.leaves[chain], &expected, chain, p);
            }
        }
        self.look(data);
        for factor in [2.0, 0.5] {
            let mut other = self.clone();
            other.inertia = (other.inertia * factor).clamp(1e-3, 1e4);
            other.look(data);
            if mean(&other.held_logs) > mean(&self.held_logs) {
                *self = other;
                break;
            }
        }
    }

    /// Moves one strength where the held-out rows, all other tables as they are, gain: the likelihood of a row changes by
    /// Σ_state share · new factor / old factor.
    fn tune_strength(&mut self, data: &Data, before: &[f32], expected: &[Expected], chain: usize, p: usize) {
        let width = self.width;
        for factor in [1.6, 1.0 / 1.6] {
            let mut strengths = self.strengths.clone();
            strengths[p] = (strengths[p] * factor).clamp(0.01, 1e4);
            let mut ratio = data.leaf_factors(chain, &self.counts[chain], width, &strengths);
            ratio.iter_mut().zip(before).for_each(|(after, before)| *after /= before.max(1e-30));
            let shares = expected.iter().flat_map(|b| b.shares[chain].chunks_exact(width));
            let gain = shares
                .zip(&data.held[chain])
                .map(|(share, leaf)| f64::from(logarithm(dot(share, at(&ratio, *leaf as usize, width)))));
            if gain.sum::<f64>() > 0.0 {
                self.strengths = strengths;
                break;
            }
        }
    }
}

/// The up and the down pass for some rows.
fn expect_block(member: &Member, tables: &Tables, leaves: &[Vec<u32>], range: Range<usize>, moves: bool) -> Expected {
    let (width, rows, chains) = (member.width, range.len(), leaves.len());
    let mut logs = vec![0f32; rows];
    let mut evidence: Vec<Vec<f32>> = (0..chains)
        .map(|c| {
            leaves[c][range.clone()].iter().flat_map(|l| at(&tables.leaves[c], *l as usize, width)).copied().collect()
        })
        .collect();
    let mut told: Vec<Vec<f32>> = vec![Vec::new(); chains];
    pulp::Arch::new().dispatch(|| {
        for chain in member.shape.order.iter().rev() {
            for (row, log) in evidence[*chain].chunks_exact_mut(width).zip(&mut logs) {
                *log += logarithm(scale(row));
            }
            if let Some(above) = member.shape.above[*chain] {
                let mut message = vec![0f32; rows * width];
                multiply(&evidence[*chain], (width, 1), &tables.transposed[*chain], &mut message, width);
                let evidence = evidence[above].chunks_exact_mut(width).zip(message.chunks_exact(width));
                for ((row, message), log) in evidence.zip(&mut logs) {
                    row.iter_mut().zip(message).for_each(|(e, m)| *e *= m);
                    *log += logarithm(scale(row));
                }
                told[*chain] = message;
            }
        }
    });
    let mut expected = Expected { shares: vec![Vec::new(); chains], moves: vec![Vec::new(); chains], logs };
    pulp::Arch::new().dispatch(|| down(member, tables, evidence, &mut told, moves, &mut expected));
    expected
}

/// The down pass: shares from the root on.
#[inline(always)]
fn down(
    member: &Member,
    tables: &Tables,
    mut evidence: Vec<Vec<f32>>,
    told: &mut [Vec<f32>],
    moves: bool,
    expected: &mut Expected,
) {
    let width = member.width;
    for chain in &member.shape.order {
        let mut shares = std::mem::take(&mut evidence[*chain]);
        let transitions = &tables.transitions[*chain];
        let Some(above) = member.shape.above[*chain] else {
            let mut total = vec![0f32; width];
            for (row, log) in shares.chunks_exact_mut(width).zip(&mut expected.logs) {
                row.iter_mut().zip(transitions).for_each(|(s, t)| *s *= t);
                *log += logarithm(scale(row));
                total.iter_mut().zip(row.iter()).zip(transitions).for_each(|((n, s), t)| *n += s / t);
            }
            expected.moves[*chain] = total;
            expected.shares[*chain] = shares;
            continue;
        };
        // From here on, what the chain told the one above becomes what it hears: share above / message.
        let heard = &mut told[*chain];
        heard.iter_mut().zip(&expected.shares[above]).for_each(|(m, s)| *m = s / m.max(1e-30));
        if moves {
            let mut counts = vec![0f32; width * width];
            multiply(heard, (1, width), &shares, &mut counts, width);
            expected.moves[*chain] = counts;
        }
        let mut prior = vec![0f32; shares.len()];
        multiply(heard, (width, 1), transitions, &mut prior, width);
        shares.iter_mut().zip(&prior).for_each(|(s, p)| *s *= p);
        expected.shares[*chain] = shares;
    }
}

/// Columns of a product that are worked out together.
const TILE: usize = 16;
/// Rows of a product that are worked out together.
const LINES: usize = 4;

/// c += a·b for row-major b `[inner][columns]` and c `[rows][columns]`; a's entry (i, p) stands at `i·strides.0 + p·strides.1`.
/// `columns` is a multiple of [`TILE`].
#[inline(always)]
fn multiply(a: &[f32], strides: (usize, usize), b: &[f32], c: &mut [f32], columns: usize) {
    let mut packed = vec![[0f32; LINES]; b.len() / columns];
    for (tile, c) in c.chunks_mut(LINES * columns).enumerate() {
        let lines = c.len() / columns;
        for line in 0..lines {
            let first = (tile * LINES + line) * strides.0;
            packed.iter_mut().zip(a[first..].iter().step_by(strides.1)).for_each(|(p, a)| p[line] = *a);
        }
        for column in (0..columns).step_by(TILE) {
            let mut sums = [[0f32; TILE]; LINES];
            for (a, b) in packed.iter().zip(b.chunks_exact(columns)) {
                let b = &b[column..column + TILE];
                for (sums, a) in sums.iter_mut().zip(a) {
                    sums.iter_mut().zip(b).for_each(|(s, b)| *s += a * b);
                }
            }
            for (c, sums) in c.chunks_exact_mut(columns).zip(&sums) {
                c[column..column + TILE].iter_mut().zip(sums).for_each(|(c, s)| *c += s);
            }
        }
    }
}

fn transpose(table: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| table[column..].iter().step_by(width)).copied().collect()
}

fn mean(logs: &[f32]) -> f64 {
    logs.iter().map(|l| f64::from(*l)).sum::<f64>() / logs.len().max(1) as f64
}

/// Log of the mean of `count` densities, whose mean is `logs`, and one more.
fn averaged(logs: &[f32], more: &[f32], count: f32) -> Vec<f32> {
    let both = |(a, b): (&f32, &f32)| {
        let largest = a.max(*b);
        largest + ((count * (a - largest).exp() + (b - largest).exp()) / (count + 1.0)).ln()
    };
    logs.iter().zip(more).map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::tests::{all_rows, fitting, follows_its_conditionals, gain, on_threads, planted};
    use twinmart_tables::Draws;

    #[test]
    fn draws_follow_the_conditionals_of_the_likelihood() {
        let parts = planted(3000);
        let model = Circuit::fit(&parts, &fitting(3)).unwrap();
        assert!(model.is_sound());
        follows_its_conditionals(&model, &parts.train.sub_columns);
    }

    /// Sums over all states of all chains by enumeration: 2 states a chain, so that 2^3 terms do.
    #[test]
    fn the_likelihood_is_the_sum_over_states() {
        let parts = planted(500);
        let mut model = Circuit::fit(&parts, &fitting(1)).unwrap();
        let mut stream = Draws::new(2).stream("test.tables");
        for tree in &mut model.members {
            tree.width = 2;
            for (s, factors) in model.sub_columns.iter().zip(&mut tree.factors) {
                *factors = (0..2 * s.nodes()).map(|_| stream.random_range(0.1..2.0)).collect();
            }
            for (above, table) in model.shape.above.iter().zip(&mut tree.transitions) {
                *table = (0..if above.is_some() { 4 } else { 2 }).map(|_| stream.random_range(0.1..1.0)).collect();
            }
        }
        let rows = all_rows(&model.sub_columns);
        let base = base_likelihood(&model.sub_columns, &model.base, &rows.values);
        for (row, log) in model.log_likelihood(&rows).iter().enumerate() {
            let total: f64 = model.members.iter().map(|t| by_enumeration(t, &model, &rows, row)).sum();
            let exact = base[row] + (total / model.members.len() as f64).ln();
            assert!((log - exact).abs() < 1e-4, "row {row}: {log}, not {exact}");
        }
    }

    fn by_enumeration(tree: &Tree, model: &Circuit, rows: &Codes, row: usize) -> f64 {
        let chains = chains(&model.sub_columns);
        let term = |states: usize| {
            let state = |chain: usize| states >> chain & 1;
            let mut p = 1.0;
            for (chain, positions) in chains.iter().enumerate() {
                let above = model.shape.above[chain].map_or(0, state);
                p *= f64::from(tree.transitions[chain][above * 2 + state(chain)]);
                let mut node = 0;
                for position in positions.clone() {
                    node = model.sub_columns[position].child(node, rows.values[position][row]);
                    p *= f64::from(tree.factors[position][node as usize * 2 + state(chain)]);
                }
            }
            p
        };
        (0..1 << chains.len()).map(term).sum()
    }

    /// What EM counts: likelihoods as asked for row by row, shares of 1 a row, transitions with the shares as margins.
    #[test]
    fn expected_counts_fit_together() {
        let parts = planted(1500);
        let data = Data::of(&parts, &Draws::new(1));
        let shape = Shape::of(&data, &parts.train.values);
        let member = Member::grow(&data, &shape, 0, SMALLEST, 0.0, &fitting(2)).unwrap();
        let tables = member.tables(&data);
        let blocks = member.expect(&tables, &data.held, 0..data.held_rows(), true);
        let (sub_columns, base) = (data.sub_columns.clone(), data.base.clone());
        let model = Circuit { sub_columns, base, shape: shape.clone(), members: vec![member.tree(&data)] };
        let apart = base_likelihood(&model.sub_columns, &model.base, &parts.validation.values);
        let logs = model.log_likelihood(&parts.validation);
        for ((log, apart), ours) in logs.iter().zip(&apart).zip(blocks.iter().flat_map(|b| &b.logs)) {
            assert!((log - apart - f64::from(*ours)).abs() < 1e-4, "{log}, not {}", apart + f64::from(*ours));
        }
        let width = member.width;
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-3 * (1.0 + b), "{a}, not {b}");
        for block in &blocks {
            let total = |c: usize, k: usize| block.shares[c].iter().skip(k).step_by(width).sum::<f32>();
            for chain in 0..data.chains.len() {
                block.shares[chain].chunks_exact(width).for_each(|row| near(row.iter().sum(), 1.0));
                let moves = block.moves[chain].iter().zip(&tables.transitions[chain]).map(|(m, t)| m * t);
                let moves: Vec<f32> = moves.collect();
                for k in 0..width {
                    near(moves.iter().skip(k).step_by(width).sum(), total(chain, k));
                    if let Some(above) = shape.above[chain] {
                        near(at(&moves, k, width).iter().sum(), total(above, k));
                    }
                }
            }
        }
    }

    #[test]
    fn a_planted_dependence_is_learned() {
        // Two copies of a fair coin, right nine times in ten, tell 2 (ln 2 − H(0.1)) = 0.736 nats.
        let parts = planted(8000);
        let gain = gain(&Circuit::fit(&parts, &fitting(0)).unwrap(), &parts);
        assert!(gain > 0.66, "{gain}");
    }

    #[test]
    fn the_tree_follows_the_dependence() {
        let parts = planted(4000);
        let data = Data::of(&parts, &Draws::new(1));
        let shape = Shape::of(&data, &parts.train.values);
        // Chains 1 and 2 copy chain 0 and know nothing else of each other.
        assert_eq!((shape.order[0], shape.above.clone()), (0, vec![None, Some(0), Some(0)]));
        assert!(shape.is_sound(3) && !shape.is_sound(2));
    }

    #[test]
    fn threads_change_nothing() {
        let parts = planted(1500);
        let fit = |threads| on_threads(threads, || Circuit::fit(&parts, &fitting(2)).unwrap());
        assert_eq!(fit(1), fit(2));
    }

    #[test]
    fn no_rows_are_no_panic() {
        let mut parts = planted(50);
        for codes in [&mut parts.train, &mut parts.validation] {
            codes.values.iter_mut().for_each(Vec::clear);
        }
        let model = Circuit::fit(&parts, &fitting(1)).unwrap();
        assert!(model.is_sound());
        follows_its_conditionals(&model, &parts.train.sub_columns);
    }

    #[test]
    fn a_damaged_model_is_not_sound() {
        let model = Circuit::fit(&planted(200), &fitting(1)).unwrap();
        let damages: [fn(&mut Circuit); 6] = [
            |m| m.members[0].factors[1].truncate(3),
            |m| m.members[0].transitions[0][0] = f32::NAN,
            |m| m.members.clear(),
            |m| m.shape.order.swap(0, 1),
            |m| m.shape.above[0] = Some(7),
            |m| m.base[2][0] = 0.0,
        ];
        for damage in damages {
            let mut damaged = model.clone();
            damage(&mut damaged);
            assert!(!damaged.is_sound());
        }
    }

    #[test]
    fn products_agree_with_their_definition() {
        let mut stream = Draws::new(4).stream("test.product");
        let mut random = |n: usize| (0..n).map(|_| stream.random::<f32>()).collect::<Vec<_>>();
        let (rows, inner, columns) = (7, 5, 32);
        let (a, b) = (random(rows * inner), random(inner * columns));
        for strides in [(inner, 1), (1, rows)] {
            let mut c = vec![0f32; rows * columns];
            multiply(&a, strides, &b, &mut c, columns);
            for (i, c) in c.iter().enumerate() {
                let term = |p: usize| a[i / columns * strides.0 + p * strides.1] * b[p * columns + i % columns];
                assert!((c - (0..inner).map(term).sum::<f32>()).abs() < 1e-5);
            }
        }
    }
}
