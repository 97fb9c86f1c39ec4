//! A finite mixture of products: given its component, the chains of a row are independent (latent class model; Lazarsfeld
//! & Henry, "Latent Structure Analysis", 1968).
//!
//! p(row) = Σ_k π_k Π_nodes q(node) · r_k(node), over the nodes that the row passes in its chains. q is the probability of a
//! node given the node above among all rows; r_k tells by what factor component k departs from it:
//! r_k(node) = (n_k(node) / q(node) + α) / (n_k(above) + α), the posterior mean under a Dirichlet prior of strength α around q.
//!
//! Fitted by stepwise EM over batches of rows (Neal & Hinton, "A view of the EM algorithm that justifies incremental,
//! sparse, and other variants", 1998; Cappé & Moulines, "Online EM algorithm for latent data models", 2009). The held-out
//! likelihood chooses when to stop, α by sub-column, the number of components (doubled while that helps) and how many such
//! mixtures, from different starts, are averaged (Ormoneit & Tresp, "Averaging, maximum penalized likelihood and Bayesian
//! estimation for improving Gaussian mixture probability density estimates", 1998).

use crate::pick::pick;
use crate::{Fitting, Parts, RowDensity, UNKNOWN};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Instant;
use twinmart_encode::codes::{Codes, SubColumn, nodes, parents};
use twinmart_nets::exponential::exponential;
use twinmart_tables::{Draws, Result, Stream, Task};

/// Components of the first mixture that is tried.
const SMALLEST: usize = 16;
/// Components of the last one.
const LARGEST: usize = 1024;
/// Mixtures that are averaged, at most.
const MEMBERS: usize = 24;
/// Passes without a better held-out likelihood before a fit ends.
const PATIENCE: usize = 4;
/// Nats a row that count as better.
const BETTER: f64 = 0.002;
/// Nats a row that twice the components must gain; less comes cheaper from another start.
const WORTH_DOUBLING: f64 = 0.03;
/// Rows between two updates of the tables.
const BATCH: usize = 4096;
/// Rows that one task works on.
pub(crate) const BLOCK: usize = 256;

/// A mixture of products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    sub_columns: Vec<SubColumn>,
    /// By sub-column, q of each node.
    base: Vec<Vec<f32>>,
    /// Natural logarithm of π, by component.
    log_weights: Vec<f32>,
    /// By sub-column, r: `[nodes][components]`.
    factors: Vec<Vec<f32>>,
}

impl Mixture {
    /// Learns. [`Fitting::steps`] bounds the passes over the training rows for each mixture that is tried; the deadline ends
    /// the whole with the best so far. The error is an interruption.
    pub fn fit(parts: &Parts, fitting: &Fitting) -> Result<Mixture> {
        let data = Data::of(parts, &fitting.draws);
        let mut best = Member::learn(
            &data,
            SMALLEST,
            0,
            &vec![START_STRENGTH; data.sub_columns.len()],
            f64::NEG_INFINITY,
            fitting,
        )?;
        while best.components() < LARGEST && !is_past(fitting.deadline) {
            let next = Member::learn(&data, 2 * best.components(), 0, &best.strengths, best.held(), fitting)?;
            if next.held() < best.held() + WORTH_DOUBLING {
                break;
            }
            best = next;
        }
        Ok(Mixture::of(&data, &average(&data, best, fitting)?))
    }

    /// Learns one mixture of so many components. As [`Mixture::fit`] otherwise.
    pub(crate) fn of_components(parts: &Parts, components: usize, fitting: &Fitting) -> Result<Mixture> {
        let data = Data::of(parts, &fitting.draws);
        let strengths = vec![START_STRENGTH; data.sub_columns.len()];
        let member = Member::learn(&data, components, 0, &strengths, f64::NEG_INFINITY, fitting)?;
        Ok(Mixture::of(&data, &[member]))
    }

    /// One component, in which the children of a node are equally likely.
    pub(crate) fn uniform(sub_columns: &[SubColumn]) -> Mixture {
        let base = |s: &SubColumn| s.members.iter().flat_map(|m| vec![1.0 / *m as f32; *m as usize]).collect();
        Mixture {
            sub_columns: sub_columns.to_vec(),
            base: sub_columns.iter().map(base).collect(),
            log_weights: vec![0.0],
            factors: sub_columns.iter().map(|s| vec![1.0; s.nodes()]).collect(),
        }
    }

    pub(crate) fn sub_columns(&self) -> &[SubColumn] {
        &self.sub_columns
    }

    /// q of each node of a sub-column.
    pub(crate) fn base(&self, p: usize) -> &[f32] {
        &self.base[p]
    }

    /// r of a sub-column: `[nodes][components]`.
    pub(crate) fn factors(&self, p: usize) -> &[f32] {
        &self.factors[p]
    }

    /// π, by component.
    pub(crate) fn weights(&self) -> Vec<f32> {
        let mut weights = self.log_weights.clone();
        log_sum(&mut weights);
        weights
    }

    fn of(data: &Data, members: &[Member]) -> Mixture {
        let share = -(members.len() as f32).ln();
        let log_weights = members.iter().flat_map(|m| m.log_weights.iter().map(move |w| w + share)).collect();
        let levels: Vec<Vec<Vec<f32>>> = members.iter().map(|m| m.factors(data)).collect();
        let join = |p: usize| {
            let nodes = 0..data.sub_columns[p].nodes();
            let of = |node: usize| members.iter().zip(&levels).flat_map(move |(m, l)| at(&l[p], node, m.components()));
            nodes.flat_map(of).copied().collect()
        };
        let factors = (0..data.sub_columns.len()).map(join).collect();
        Mixture { sub_columns: data.sub_columns.clone(), base: data.base.clone(), log_weights, factors }
    }

    /// The number of components.
    pub fn components(&self) -> usize {
        self.log_weights.len()
    }

    /// False where drawing or asking could fail: what a damaged file says.
    pub fn is_sound(&self) -> bool {
        let components = self.components();
        components > 0
            && chains_are_sound(&self.sub_columns)
            && bases_are_sound(&self.sub_columns, &self.base)
            && self.factors.len() == self.sub_columns.len()
            && self.sub_columns.iter().zip(&self.factors).all(|(s, f)| f.len() == s.nodes() * components)
            && self.log_weights.iter().all(|w| *w <= 1e-3)
            && self.log_weights.iter().any(|w| w.is_finite())
            && self.factors.iter().flatten().all(|f| f.is_finite() && *f >= 0.0)
    }

    /// Log odds of the components given the known codes of a row.
    #[inline(always)]
    fn posterior(&self, values: &[Vec<u32>], row: usize, odds: &mut [f32]) {
        odds.copy_from_slice(&self.log_weights);
        let mut node = 0;
        for (p, s) in self.sub_columns.iter().enumerate() {
            let code = values[p][row];
            if code != UNKNOWN {
                node = s.child(if s.level == 0 { 0 } else { node }, code);
                for (sum, factor) in odds.iter_mut().zip(at(&self.factors[p], node as usize, self.components())) {
                    *sum += logarithm(*factor);
                }
            }
        }
    }
}

impl RowDensity for Mixture {
    fn fill(&self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        let components = self.components();
        let mut odds = vec![0f32; components];
        let mut prior = self.log_weights.clone();
        log_sum(&mut prior);
        for (row, stream) in streams.iter_mut().enumerate() {
            let known = values.iter().any(|v| v[row] != UNKNOWN);
            if known {
                pulp::Arch::new().dispatch(|| {
                    self.posterior(values, row, &mut odds);
                    log_sum(&mut odds);
                });
            }
            let component = pick(if known { &odds } else { &prior }.iter().copied(), stream.random::<f32>()) as usize;
            let mut node = 0;
            for (p, s) in self.sub_columns.iter().enumerate() {
                let above = if s.level == 0 { 0 } else { node };
                if values[p][row] == UNKNOWN {
                    values[p][row] =
                        draw(s, above, &self.base[p], &self.factors[p], components, component, stream.random::<f32>());
                }
                node = s.child(above, values[p][row]);
            }
        }
    }

    fn log_likelihood(&self, rows: &Codes) -> Vec<f64> {
        let base = base_likelihood(&self.sub_columns, &self.base, &rows.values);
        let mut odds = vec![0f32; self.components()];
        let of = |(row, base): (usize, f64)| {
            pulp::Arch::new().dispatch(|| {
                self.posterior(&rows.values, row, &mut odds);
                base + f64::from(log_sum(&mut odds))
            })
        };
        base.into_iter().enumerate().map(of).collect()
    }

    fn numbers(&self) -> usize {
        self.log_weights.len() + self.base.iter().chain(&self.factors).map(Vec::len).sum::<usize>()
    }
}

/// Adds mixtures from other starts while their average gains on the held-out rows; two in vain end it.
fn average(data: &Data, best: Member, fitting: &Fitting) -> Result<Vec<Member>> {
    let (components, strengths) = (best.components(), best.strengths.clone());
    let mut sum: Vec<f64> = best.held_logs.iter().map(|l| f64::from(*l).exp()).collect();
    let mean = |sum: &[f64], members: usize| {
        sum.iter().map(|s| (s / members as f64).max(f64::MIN_POSITIVE).ln()).sum::<f64>() / sum.len().max(1) as f64
    };
    let mut held = mean(&sum, 1);
    let mut members = vec![best];
    let mut vain = 0;
    for start in 1..MEMBERS as u64 + 2 {
        if is_past(fitting.deadline) || vain == 2 || members.len() == MEMBERS || data.held_rows() == 0 {
            break;
        }
        let next = Member::learn(data, components, start, &strengths, held + data.held_base, fitting)?;
        let with: Vec<f64> = sum.iter().zip(&next.held_logs).map(|(s, l)| s + f64::from(*l).exp()).collect();
        let better = mean(&with, members.len() + 1);
        if better > held + BETTER / 2.0 {
            (sum, held, vain) = (with, better, 0);
            members.push(next);
        } else {
            vain += 1;
        }
    }
    Ok(members)
}

/// Rows as leaves of chains, and what all rows say about the nodes.
pub(crate) struct Data {
    pub(crate) sub_columns: Vec<SubColumn>,
    /// Sub-columns of each chain.
    pub(crate) chains: Vec<Range<usize>>,
    /// By sub-column, q of each node.
    pub(crate) base: Vec<Vec<f32>>,
    /// `[chains][rows]`, rows in random order.
    pub(crate) train: Vec<Vec<u32>>,
    /// `[chains][rows]`.
    pub(crate) held: Vec<Vec<u32>>,
    /// Mean log q of the held-out rows.
    pub(crate) held_base: f64,
}

impl Data {
    pub(crate) fn of(parts: &Parts, draws: &Draws) -> Data {
        let sub_columns = parts.train.sub_columns.clone();
        let chains = chains(&sub_columns);
        let base = base(&sub_columns, &parts.train.values);
        let mut order: Vec<usize> = (0..parts.train.rows()).collect();
        order.shuffle(&mut draws.stream("density.order"));
        let mut train = leaves(&sub_columns, &chains, &parts.train.values);
        for leaves in &mut train {
            *leaves = order.iter().map(|row| leaves[*row]).collect();
        }
        let held = leaves(&sub_columns, &chains, &parts.validation.values);
        let logs = base_likelihood(&sub_columns, &base, &parts.validation.values);
        let held_base = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        Data { sub_columns, chains, base, train, held, held_base }
    }

    pub(crate) fn rows(&self) -> usize {
        self.train.first().map_or(0, Vec::len)
    }

    pub(crate) fn held_rows(&self) -> usize {
        self.held.first().map_or(0, Vec::len)
    }

    /// Leaves of a chain.
    pub(crate) fn leaves(&self, chain: usize) -> usize {
        self.chains[chain].clone().last().map_or(1, |p| self.sub_columns[p].nodes())
    }

    /// Factors r of a chain by level, `[nodes][width]`, from its counts `[leaves][width]`.
    pub(crate) fn levels(&self, chain: usize, counts: &[f32], width: usize, strengths: &[f32]) -> Vec<Vec<f32>> {
        let positions = self.chains[chain].clone();
        let mut levels = vec![counts.to_vec()];
        for p in positions.rev() {
            let below = &levels[levels.len() - 1];
            levels.push(sum_children(&self.sub_columns[p], below, width));
        }
        levels.reverse();
        // From the last level up: the level above still holds counts.
        for (depth, p) in self.chains[chain].clone().enumerate().rev() {
            let (above, here) = levels.split_at_mut(depth + 1);
            to_factors(&self.sub_columns[p], &above[depth], &mut here[0], &self.base[p], width, strengths[p]);
        }
        levels.remove(0);
        levels
    }

    /// Products of the factors on the way to each leaf: `[leaves][width]`.
    pub(crate) fn leaf_factors(&self, chain: usize, counts: &[f32], width: usize, strengths: &[f32]) -> Vec<f32> {
        let mut levels = self.levels(chain, counts, width, strengths).into_iter();
        let mut product = levels.next().unwrap_or_default();
        for (p, mut level) in self.chains[chain].clone().skip(1).zip(levels) {
            let s = &self.sub_columns[p];
            for (node, above) in product.chunks_exact(width).enumerate() {
                for child in
                    level[s.first[node] as usize * width..].chunks_exact_mut(width).take(s.members[node] as usize)
                {
                    pulp::Arch::new().dispatch(|| child.iter_mut().zip(above).for_each(|(c, a)| *c *= a));
                }
            }
            product = level;
        }
        product
    }
}

/// Counts of the nodes above from those of their children.
fn sum_children(s: &SubColumn, below: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0f32; s.members.len() * width];
    for ((sum, first), members) in sums.chunks_exact_mut(width).zip(&s.first).zip(&s.members) {
        for child in below[*first as usize * width..].chunks_exact(width).take(*members as usize) {
            pulp::Arch::new().dispatch(|| sum.iter_mut().zip(child).for_each(|(s, c)| *s += c));
        }
    }
    sums
}

/// Counts `here` become factors.
fn to_factors(s: &SubColumn, above: &[f32], here: &mut [f32], base: &[f32], width: usize, strength: f32) {
    for ((above, first), members) in above.chunks_exact(width).zip(&s.first).zip(&s.members) {
        let scale: Vec<f32> = above.iter().map(|n| 1.0 / (n + strength)).collect();
        let children = here[*first as usize * width..].chunks_exact_mut(width).take(*members as usize);
        for (child, base) in children.zip(&base[*first as usize..]) {
            let inverse = 1.0 / base;
            let each = |(n, scale): (&mut f32, &f32)| *n = (*n * inverse + strength) * scale;
            pulp::Arch::new().dispatch(|| child.iter_mut().zip(&scale).for_each(each));
        }
    }
}

/// α before the held-out rows had their say.
const START_STRENGTH: f32 = 4.0;

/// One mixture while it is learned.
#[derive(Clone)]
struct Member {
    log_weights: Vec<f32>,
    /// α, by sub-column.
    strengths: Vec<f32>,
    /// Expected rows by chain: `[leaves][components]`.
    counts: Vec<Vec<f32>>,
    /// Log likelihood of each held-out row, less that of q.
    held_logs: Vec<f32>,
    held_base: f64,
}

impl Member {
    /// Learns from a start of its own; `before` is the held-out likelihood that is to be beaten, for the progress line.
    fn learn(
        data: &Data,
        size: usize,
        start: u64,
        strengths: &[f32],
        before: f64,
        fitting: &Fitting,
    ) -> Result<Member> {
        let title = format!("mixture of {size}, start {start}; held-out {before:.4}");
        let task = fitting.progress.start(&title, None, "passes");
        let mut current = Member::seeded(data, size, start, strengths, &fitting.draws);
        current.look(data);
        let mut best = current.clone();
        let mut since = 0;
        let mut update = 0;
        for pass in 1u64.. {
            current.pass(data, &mut update, fitting, &task)?;
            current.tune(data);
            task.advance(1)?;
            since = if current.held() > best.held() + BETTER / 2.0 { 0 } else { since + 1 };
            if current.held() > best.held() {
                best = current.clone();
            }
            if since == PATIENCE || pass == fitting.steps || is_past(fitting.deadline) {
                break;
            }
        }
        Ok(best)
    }

    /// Components around rows drawn at random.
    fn seeded(data: &Data, size: usize, start: u64, strengths: &[f32], draws: &Draws) -> Member {
        let mut stream = draws.family("mixture.start", &size.to_string()).row(start);
        let seeds: Vec<usize> = (0..size).map(|_| stream.random_range(0..data.rows().max(1))).collect();
        let counts = (0..data.chains.len()).map(|chain| {
            let mut counts = vec![0f32; data.leaves(chain) * size];
            for (component, seed) in seeds.iter().enumerate().filter(|(_, s)| **s < data.rows()) {
                counts[data.train[chain][*seed] as usize * size + component] = SEED_ROWS;
            }
            counts
        });
        let counts = counts.collect();
        let log_weights = vec![-(size as f32).ln(); size];
        let strengths = strengths.to_vec();
        Member { log_weights, strengths, counts, held_logs: Vec::new(), held_base: data.held_base }
    }

    fn components(&self) -> usize {
        self.log_weights.len()
    }

    fn held(&self) -> f64 {
        mean(&self.held_logs) + self.held_base
    }

    fn factors(&self, data: &Data) -> Vec<Vec<f32>> {
        let of = |chain: usize| data.levels(chain, &self.counts[chain], self.components(), &self.strengths);
        (0..data.chains.len()).flat_map(of).collect()
    }

    /// Log factors of the leaves, by chain: `[leaves][components]`.
    fn leaf_logs(&self, data: &Data) -> Vec<Vec<f32>> {
        (0..data.chains.len()).into_par_iter().map(|chain| self.logs_of(data, chain, &self.strengths)).collect()
    }

    fn logs_of(&self, data: &Data, chain: usize, strengths: &[f32]) -> Vec<f32> {
        let mut logs = data.leaf_factors(chain, &self.counts[chain], self.components(), strengths);
        pulp::Arch::new().dispatch(|| logs.iter_mut().for_each(|x| *x = logarithm(*x)));
        logs
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
            let logs = self.leaf_logs(data);
            let (shares, _) = posteriors(&logs, &self.log_weights, &data.train, range.clone());
            // The step falls like t^-0.6 until the memory is one pass long, as in incremental EM.
            let step = f64::from(*update + 1).powf(-0.6).max(1.0 / batches as f64) as f32;
            *update += 1;
            self.absorb(&shares, data, range.clone(), step, rows as f32 / range.len().max(1) as f32);
            task.advance(0)?;
        }
        Ok(())
    }

    /// Moves the counts a step towards those of a batch whose rows have `shares` in the components.
    fn absorb(&mut self, shares: &[f32], data: &Data, range: Range<usize>, step: f32, scale: f32) {
        let size = self.components();
        let weight = step * scale;
        self.counts.par_iter_mut().zip(&data.train).for_each(|(counts, leaves)| {
            pulp::Arch::new().dispatch(|| {
                counts.iter_mut().for_each(|c| *c *= 1.0 - step);
                for (share, leaf) in shares.chunks_exact(size).zip(&leaves[range.clone()]) {
                    let count = &mut counts[*leaf as usize * size..][..size];
                    count.iter_mut().zip(share).for_each(|(c, s)| *c += weight * s);
                }
            });
        });
        let mut totals = vec![1f32; size];
        if let Some(counts) = self.counts.first() {
            for count in counts.chunks_exact(size) {
                totals.iter_mut().zip(count).for_each(|(t, c)| *t += c);
            }
        }
        let all: f32 = totals.iter().sum();
        self.log_weights = totals.iter().map(|t| (t / all).ln()).collect();
    }

    /// Looks at the held-out rows.
    fn look(&mut self, data: &Data) {
        self.held_logs = posteriors(&self.leaf_logs(data), &self.log_weights, &data.held, 0..data.held_rows()).1;
    }

    /// Lets the held-out rows move the strength of each sub-column in turn.
    fn tune(&mut self, data: &Data) {
        let mut logs = self.leaf_logs(data);
        let mut odds = Odds::of(&logs, &self.log_weights, &data.held);
        self.held_logs = odds.totals.clone();
        for (chain, logs) in logs.iter_mut().enumerate() {
            for p in data.chains[chain].clone() {
                for factor in [STRENGTH_STEP, 1.0 / STRENGTH_STEP] {
                    let mut strengths = self.strengths.clone();
                    strengths[p] = (strengths[p] * factor).clamp(0.01, 1e4);
                    let changed = self.logs_of(data, chain, &strengths);
                    let totals = odds.with(&data.held[chain], logs, &changed);
                    if mean(&totals) > mean(&self.held_logs) {
                        odds.replace(&data.held[chain], logs, &changed);
                        (self.strengths, self.held_logs, *logs) = (strengths, totals, changed);
                        break;
                    }
                }
            }
        }
    }
}

/// A strength moves by this factor at a time.
const STRENGTH_STEP: f32 = 1.6;

/// Log odds of the components for rows: `[rows][components]`.
struct Odds {
    size: usize,
    odds: Vec<f32>,
    totals: Vec<f32>,
}

impl Odds {
    fn of(logs: &[Vec<f32>], prior: &[f32], leaves: &[Vec<u32>]) -> Odds {
        let rows = leaves.first().map_or(0, Vec::len);
        let (mut odds, totals) = posteriors(logs, prior, leaves, 0..rows);
        let size = prior.len();
        odds.par_chunks_mut(BLOCK * size).zip(totals.par_chunks(BLOCK)).for_each(|(odds, totals)| {
            pulp::Arch::new().dispatch(|| {
                for (odds, total) in odds.chunks_exact_mut(size).zip(totals) {
                    odds.iter_mut().for_each(|x| *x = logarithm(*x) + total);
                }
            });
        });
        Odds { size, odds, totals }
    }

    /// Log likelihoods with other tables for one chain.
    fn with(&self, leaves: &[u32], before: &[f32], after: &[f32]) -> Vec<f32> {
        let size = self.size;
        let mut totals = vec![0f32; leaves.len()];
        let blocks = self.odds.par_chunks(BLOCK * size).zip(leaves.par_chunks(BLOCK)).zip(totals.par_chunks_mut(BLOCK));
        blocks.for_each(|((odds, leaves), totals)| {
            let mut moved = vec![0f32; size];
            pulp::Arch::new().dispatch(|| {
                for ((odds, leaf), total) in odds.chunks_exact(size).zip(leaves).zip(totals) {
                    moved.copy_from_slice(odds);
                    shift(&mut moved, at(before, *leaf as usize, size), at(after, *leaf as usize, size));
                    *total = log_sum(&mut moved);
                }
            });
        });
        totals
    }

    fn replace(&mut self, leaves: &[u32], before: &[f32], after: &[f32]) {
        let size = self.size;
        self.odds.par_chunks_mut(size).zip(leaves).for_each(|(odds, leaf)| {
            shift(odds, at(before, *leaf as usize, size), at(after, *leaf as usize, size));
        });
    }
}

#[inline(always)]
fn shift(odds: &mut [f32], before: &[f32], after: &[f32]) {
    odds.iter_mut().zip(before).zip(after).for_each(|((x, b), a)| *x += a - b);
}

/// Rows that a seed counts for.
const SEED_ROWS: f32 = 4.0;

fn mean(logs: &[f32]) -> f64 {
    logs.iter().map(|l| f64::from(*l)).sum::<f64>() / logs.len().max(1) as f64
}

/// Shares of the rows in the components, `[rows][components]`, and the log likelihood of each row.
fn posteriors(logs: &[Vec<f32>], prior: &[f32], leaves: &[Vec<u32>], range: Range<usize>) -> (Vec<f32>, Vec<f32>) {
    let size = prior.len();
    let mut shares = vec![0f32; range.len() * size];
    let mut totals = vec![0f32; range.len()];
    let blocks = shares.par_chunks_mut(BLOCK * size).zip(totals.par_chunks_mut(BLOCK)).enumerate();
    blocks.for_each(|(block, (shares, totals))| {
        pulp::Arch::new().dispatch(|| {
            let first = range.start + block * BLOCK;
            for (i, (share, total)) in shares.chunks_exact_mut(size).zip(totals).enumerate() {
                share.copy_from_slice(prior);
                for (logs, leaves) in logs.iter().zip(leaves) {
                    let log = &logs[leaves[first + i] as usize * size..][..size];
                    share.iter_mut().zip(log).for_each(|(s, l)| *s += l);
                }
                *total = log_sum(share);
            }
        });
    });
    (shares, totals)
}

/// Turns log odds into shares, in place; the logarithm of their sum.
#[inline(always)]
pub(crate) fn log_sum(odds: &mut [f32]) -> f32 {
    let largest = odds.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for x in odds.iter_mut() {
        *x = exponential(*x - largest);
    }
    let total = sum(odds);
    let scale = 1.0 / total;
    odds.iter_mut().for_each(|x| *x *= scale);
    largest + total.ln()
}

/// Sum in sixteen parts, folded in a fixed order: vector instructions, and the same bits everywhere.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut parts = [0f32; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(p, x)| *p += x);
    }
    parts.iter().sum::<f32>() + chunks.remainder().iter().sum::<f32>()
}

/// Inner product in sixteen parts, folded in a fixed order.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = [0f32; 16];
    let (mut a, mut b) = (a.chunks_exact(16), b.chunks_exact(16));
    for (a, b) in (&mut a).zip(&mut b) {
        parts.iter_mut().zip(a.iter().zip(b)).for_each(|(p, (a, b))| *p += a * b);
    }
    parts.iter().sum::<f32>() + a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f32>()
}

/// Divides by the sum, and returns it.
#[inline(always)]
pub(crate) fn scale(row: &mut [f32]) -> f32 {
    let total = sum(row).max(f32::MIN_POSITIVE);
    let inverse = 1.0 / total;
    row.iter_mut().for_each(|x| *x *= inverse);
    total
}

/// Natural logarithm of a positive normal number, to an absolute error of 1e-6: x = m·2^e, √½ ≤ m < √2, and
/// ln m = 2 artanh((m − 1)/(m + 1)) by its series (Abramowitz & Stegun, 4.1.27).
#[inline(always)]
pub(crate) fn logarithm(x: f32) -> f32 {
    /// Bits of √½.
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let x = x.max(f32::MIN_POSITIVE);
    let bits = x.to_bits().wrapping_sub(HALF_ROOT);
    let exponent = (bits as i32) >> 23;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(HALF_ROOT));
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let series = 1.0 / 9.0;
    let series = series * t2 + 1.0 / 7.0;
    let series = series * t2 + 0.2;
    let series = series * t2 + 1.0 / 3.0;
    let series = series * t2 + 1.0;
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * t * series
}

/// Draws a code below the node `above`, given a state; `factors` is `[nodes][width]`.
pub(crate) fn draw(
    s: &SubColumn,
    above: u32,
    base: &[f32],
    factors: &[f32],
    width: usize,
    state: usize,
    at: f32,
) -> u32 {
    let children = (0..s.members[above as usize]).map(|code| s.child(above, code) as usize);
    pick(children.map(|node| base[node] * factors[node * width + state]), at)
}

/// A row of a table.
#[inline(always)]
pub(crate) fn at(table: &[f32], row: usize, width: usize) -> &[f32] {
    &table[row * width..][..width]
}

pub(crate) fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|d| Instant::now() >= d)
}

/// The sub-columns of each chain.
pub(crate) fn chains(sub_columns: &[SubColumn]) -> Vec<Range<usize>> {
    let starts: Vec<usize> = (0..sub_columns.len()).filter(|p| sub_columns[*p].level == 0).collect();
    let ends = starts.iter().copied().skip(1).chain([sub_columns.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// The leaf of each row in each chain: `[chains][rows]`.
fn leaves(sub_columns: &[SubColumn], chains: &[Range<usize>], values: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let above = parents(sub_columns, values);
    chains.iter().map(|c| c.end - 1).map(|p| nodes(&sub_columns[p], &above[p], &values[p])).collect()
}

/// By sub-column, the probability of each node given the node above, with one row spread over its siblings.
fn base(sub_columns: &[SubColumn], values: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let above = parents(sub_columns, values);
    let of = |(p, s): (usize, &SubColumn)| {
        let mut counts = vec![0f32; s.nodes()];
        for node in nodes(s, &above[p], &values[p]) {
            counts[node as usize] += 1.0;
        }
        for (first, members) in s.first.iter().zip(&s.members) {
            let children = &mut counts[*first as usize..][..*members as usize];
            let total = children.iter().sum::<f32>() + 1.0;
            children.iter_mut().for_each(|c| *c = (*c + 1.0 / *members as f32) / total);
        }
        counts
    };
    sub_columns.iter().enumerate().map(of).collect()
}

/// Log of the product of q over the nodes of each row.
pub(crate) fn base_likelihood(sub_columns: &[SubColumn], base: &[Vec<f32>], values: &[Vec<u32>]) -> Vec<f64> {
    let mut sums = vec![0f64; values.first().map_or(0, Vec::len)];
    let above = parents(sub_columns, values);
    for (p, s) in sub_columns.iter().enumerate() {
        let logs: Vec<f64> = base[p].iter().map(|q| f64::from(*q).ln()).collect();
        for (sum, node) in sums.iter_mut().zip(nodes(s, &above[p], &values[p])) {
            *sum += logs[node as usize];
        }
    }
    sums
}

/// True where chains begin at level 0, go on level by level, and nodes fit their level.
pub(crate) fn chains_are_sound(sub_columns: &[SubColumn]) -> bool {
    let follows = |p: usize| match sub_columns[p].level {
        0 => sub_columns[p].members.len() == 1,
        level => {
            p > 0 && sub_columns[p - 1].level + 1 == level && sub_columns[p].members.len() == sub_columns[p - 1].nodes()
        }
    };
    let numbered = |s: &SubColumn| {
        let fits = s.members.iter().all(|m| (1..1 << 20).contains(m)) && s.members.len() < 1 << 20;
        fits && s.nodes() < 1 << 24 && SubColumn::new(s.column, s.level, s.ordered, s.members.clone()).first == s.first
    };
    sub_columns.iter().all(numbered) && (0..sub_columns.len()).all(follows)
}

/// True where each node has a probability.
pub(crate) fn bases_are_sound(sub_columns: &[SubColumn], base: &[Vec<f32>]) -> bool {
    base.len() == sub_columns.len()
        && sub_columns.iter().zip(base).all(|(s, b)| b.len() == s.nodes())
        && base.iter().flatten().all(|q| *q > 0.0 && *q <= 1.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use twinmart_tables::Progress;

    /// Rows of a chain of two levels and two chains of one; the last two copy the first level, nine times in ten.
    pub(crate) fn planted(rows: usize) -> Parts {
        let sub_columns = vec![
            SubColumn::new(0, 0, true, vec![2]),
            SubColumn::new(0, 1, true, vec![2, 3]),
            SubColumn::new(1, 0, false, vec![2]),
            SubColumn::new(2, 0, false, vec![4]),
        ];
        let mut stream = Draws::new(5).stream("test.planted");
        let mut values = vec![Vec::new(); 4];
        for _ in 0..rows {
            let first = stream.random_range(0..2u32);
            let mut copy = || if stream.random::<f32>() < 0.9 { first } else { 1 - first };
            let (second, third) = (copy(), copy());
            let row = [first, stream.random_range(0..2 + first), second, 2 * third + stream.random_range(0..2u32)];
            values.iter_mut().zip(row).for_each(|(v, code)| v.push(code));
        }
        Parts::of(&Codes { sub_columns, values }, &(0..rows as u64).collect::<Vec<_>>(), Draws::new(1))
    }

    pub(crate) fn fitting(steps: u64) -> Fitting {
        Fitting { draws: Draws::new(3), steps, deadline: None, progress: Progress::silent() }
    }

    /// Every row there is.
    pub(crate) fn all_rows(sub_columns: &[SubColumn]) -> Codes {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new()];
        for (p, s) in sub_columns.iter().enumerate() {
            let members = |row: &Vec<u32>| s.members[if s.level == 0 { 0 } else { row[p - 1] as usize }];
            let longer = |row: Vec<u32>| (0..members(&row)).map(move |code| [&row[..], &[code]].concat());
            rows = rows.into_iter().flat_map(longer).collect();
        }
        let values = (0..sub_columns.len()).map(|p| rows.iter().map(|r| r[p]).collect()).collect();
        Codes { sub_columns: sub_columns.to_vec(), values }
    }

    /// Probabilities of all rows sum to 1, and draws given any known codes follow the conditional distribution: each row
    /// within 5.5 standard deviations (4e-8 a row), at most 160 rows looked at: a false alarm of 6e-6 over all seeds.
    pub(crate) fn follows_its_conditionals(model: &dyn RowDensity, sub_columns: &[SubColumn]) {
        let all = all_rows(sub_columns);
        let joint: Vec<f64> = model.log_likelihood(&all).iter().map(|l| l.exp()).collect();
        assert!((joint.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{}", joint.iter().sum::<f64>());
        let (u, draws) = (UNKNOWN, 40_000);
        for known in [[u, u, u, u], [1, u, u, u], [0, 1, u, 3], [u, u, 1, u], [u, u, 0, 2], [1, 2, 0, u]] {
            let mut values: Vec<Vec<u32>> = known.iter().map(|code| vec![*code; draws]).collect();
            let family = Draws::new(8).family("test.fill", "");
            let mut streams: Vec<Stream> = (0..draws as u64).map(|row| family.row(row)).collect();
            model.fill(&mut values, &mut streams);
            let fits = |row: usize| known.iter().zip(&all.values).all(|(k, v)| *k == UNKNOWN || *k == v[row]);
            let total: f64 = (0..all.rows()).filter(|r| fits(*r)).map(|r| joint[r]).sum();
            for row in 0..all.rows() {
                let p = if fits(row) { joint[row] / total } else { 0.0 };
                let is_it = |draw: &usize| values.iter().zip(&all.values).all(|(v, a)| v[*draw] == a[row]);
                let share = (0..draws).filter(is_it).count() as f64 / draws as f64;
                let deviation = (p * (1.0 - p) / draws as f64).sqrt();
                assert!((share - p).abs() <= 5.5 * deviation + 1e-6, "{known:?}: row {row} has {share}, not {p}");
            }
        }
    }

    /// Nats a row by which a model beats the independent chains on the held-out rows.
    pub(crate) fn gain(model: &dyn RowDensity, parts: &Parts) -> f64 {
        let base = base(&parts.train.sub_columns, &parts.train.values);
        let apart = base_likelihood(&parts.train.sub_columns, &base, &parts.validation.values);
        let together = model.log_likelihood(&parts.validation);
        (together.iter().sum::<f64>() - apart.iter().sum::<f64>()) / apart.len() as f64
    }

    pub(crate) fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
    }

    #[test]
    fn draws_follow_the_conditionals_of_the_likelihood() {
        let parts = planted(4000);
        let model = Mixture::fit(&parts, &fitting(3)).unwrap();
        assert!(model.is_sound());
        follows_its_conditionals(&model, &parts.train.sub_columns);
    }

    #[test]
    fn the_likelihood_is_the_sum_over_components() {
        let parts = planted(1000);
        let model = Mixture::fit(&parts, &fitting(2)).unwrap();
        let logs = model.log_likelihood(&parts.validation);
        for (row, log) in logs.iter().enumerate() {
            let mut total = 0.0;
            for k in 0..model.components() {
                let mut p = f64::from(model.log_weights[k]).exp();
                let mut node = 0;
                for (position, s) in model.sub_columns.iter().enumerate() {
                    let above = if s.level == 0 { 0 } else { node };
                    node = s.first[above as usize] + parts.validation.values[position][row];
                    let factor = model.factors[position][node as usize * model.components() + k];
                    p *= f64::from(factor) * f64::from(model.base[position][node as usize]);
                }
                total += p;
            }
            assert!((log - total.ln()).abs() < 1e-4, "row {row}: {log}, not {}", total.ln());
        }
    }

    #[test]
    fn a_planted_dependence_is_learned() {
        // Two copies of a fair coin, right nine times in ten, tell 2 (ln 2 − H(0.1)) = 0.736 nats.
        let parts = planted(8000);
        let gain = gain(&Mixture::fit(&parts, &fitting(0)).unwrap(), &parts);
        assert!(gain > 0.66, "{gain}");
    }

    #[test]
    fn threads_change_nothing() {
        let parts = planted(2000);
        let fit = |threads| on_threads(threads, || Mixture::fit(&parts, &fitting(4)).unwrap());
        assert_eq!(fit(1), fit(2));
    }

    #[test]
    fn no_rows_are_no_panic() {
        let mut parts = planted(50);
        for codes in [&mut parts.train, &mut parts.validation] {
            codes.values.iter_mut().for_each(Vec::clear);
        }
        let model = Mixture::fit(&parts, &fitting(1)).unwrap();
        assert!(model.is_sound());
        follows_its_conditionals(&model, &parts.train.sub_columns);
    }

    #[test]
    fn a_damaged_model_is_not_sound() {
        let model = Mixture::fit(&planted(200), &fitting(1)).unwrap();
        let damages: [fn(&mut Mixture); 5] = [
            |m| m.factors[1].truncate(3),
            |m| m.factors[0][0] = f32::NAN,
            |m| m.base[2][0] = 0.0,
            |m| m.log_weights.clear(),
            |m| m.sub_columns[1].first[1] = 9,
        ];
        for damage in damages {
            let mut damaged = model.clone();
            damage(&mut damaged);
            assert!(!damaged.is_sound());
        }
    }

    #[test]
    fn logarithms_agree_with_the_library_function() {
        for step in -800..800 {
            let x = (f64::from(step) * 0.1).exp() as f32;
            let exact = f64::from(x).ln();
            assert!((f64::from(logarithm(x)) - exact).abs() < 2e-6 + 1e-7 * exact.abs(), "ln {x}");
        }
    }
}
