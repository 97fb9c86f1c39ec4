//! Gradient boosting of one sub-column's distribution given those before it.
//!
//! P(code | x) = softmax(base[node] + Σ_t v_t[leaf_t(x)]), with `base` the smoothed log frequencies of the codes below each
//! node and one tree a round (Friedman, "Greedy function approximation", 2001, §4.6, with a value for every class in each
//! leaf). A leaf's value is a Newton step with diagonal hessian, −η·Σ(p − y) / (Σ p(1 − p) + λ). Rounds go on until the
//! likelihood of the validation rows stops improving, and the size of the trees is the one with the best such likelihood.

use super::features::Feature;
use super::grow::{Grower, Growth, LANES, SKETCH, Structure, Sums};
use super::leaves::LeafFinder;
use rand::Rng;
use std::time::Instant;
use twinmart_encode::codes::SubColumn;
use twinmart_nets::exponential::softmax;
use twinmart_nets::vectorized;
use twinmart_tables::{DrawFamily, Result, Task};

/// Log odds of a code that a node does not allow.
pub(crate) const IMPOSSIBLE: f32 = -1e30;

/// η, the share of a Newton step that is taken: small steps where few rows make every step uncertain and cheap.
const RATES: [f32; 2] = [0.05, 0.15];
/// Without folds, the table is long or wide: smaller steps would take too long.
const LEAST_RATE_WITHOUT_FOLDS: f32 = 0.12;
/// Rows up to which steps are the smallest.
const FEW_ROWS: f32 = 5_000.0;
/// λ, the ridge on the leaves' values.
const RIDGE: f32 = 2.0;
/// Newton steps without a better validation likelihood before it stops.
const PATIENCE: f32 = 1.2;
/// Leaves of a tree: the size that is tried first, the one for weak dependences, and those for strong ones, tried while they
/// help; where rows are many …
const MANY_ROWS_LEAVES: (usize, usize, &[usize]) = (24, 8, &[]);
/// … and where they are few.
const FEW_ROWS_LEAVES: (usize, usize, &[usize]) = (8, 3, &[24, 64]);
/// Smallest gain of a split, where rows are few and all folds speak, and where they are many. Rows of one hour or one
/// household are alike, so a validation part alone would let trees learn them: larger trees and smaller gains did.
const GAINS: [f32; 2] = [2.0, 8.0];
/// Larger trees must be better by so many nats a row: they take longer to draw from and know more of single rows.
const MARGIN: f64 = 2e-3;

/// A tree with a value for every code in each leaf: `values[leaf][width]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub(crate) structure: Structure,
    pub(crate) values: Vec<f32>,
}

/// What boosting sees of some rows.
pub(crate) struct Rows {
    /// `[features][rows]`
    pub(crate) bins: Vec<Vec<u8>>,
    /// Node of the level above.
    pub(crate) parents: Vec<u32>,
    /// The target.
    pub(crate) codes: Vec<u32>,
}

impl Rows {
    fn bins(&self) -> Vec<&[u8]> {
        self.bins.iter().map(Vec::as_slice).collect()
    }
}

/// One sub-column to be learned.
pub(crate) struct Problem<'a> {
    pub(crate) features: Vec<&'a Feature>,
    pub(crate) sub_column: &'a SubColumn,
    /// Training rows and validation rows.
    pub(crate) folds: Vec<(Rows, Rows)>,
    /// All rows, where what the folds say is learned again from all; otherwise the trees of the only fold are kept.
    pub(crate) all: Option<Rows>,
    /// One stream for each round.
    pub(crate) draws: DrawFamily,
    /// Rounds at most.
    pub(crate) rounds: usize,
    /// When to give up.
    pub(crate) deadline: Option<Instant>,
}

/// What boosting found.
pub(crate) struct Boosted {
    /// Log frequencies: `[nodes above][width]`.
    pub(crate) base: Vec<f32>,
    pub(crate) trees: Vec<Tree>,
    /// True where more rounds could have helped.
    pub(crate) unfinished: bool,
}

/// How trees of one size do.
struct Trial {
    leaves: usize,
    /// The trees of the only fold.
    trees: Vec<Tree>,
    /// The best number of rounds.
    rounds: usize,
    /// Mean negative log-likelihood of the validation rows after so many rounds, over all folds.
    loss: f64,
    unfinished: bool,
}

/// Boosts with trees of several sizes and keeps the best; `None` where the deadline came first.
pub(crate) fn boost(problem: &Problem, task: &Task) -> Result<Option<Boosted>> {
    let few_rows = problem.all.is_some();
    let (usual, fewer, more) = if few_rows { FEW_ROWS_LEAVES } else { MANY_ROWS_LEAVES };
    let Some(mut best) = trial(problem, usual, task)? else { return Ok(None) };
    let Some(few) = trial(problem, fewer, task)? else { return Ok(None) };
    let mut unfinished = best.unfinished || few.unfinished;
    if few.loss < best.loss {
        best = few;
    } else {
        for leaves in more {
            let Some(many) = trial(problem, *leaves, task)? else { return Ok(None) };
            unfinished |= many.unfinished;
            if many.loss >= best.loss - MARGIN {
                break;
            }
            best = many;
        }
    }
    let rows = problem.all.as_ref().unwrap_or(&problem.folds[0].0);
    let base = base(problem.sub_column, rows);
    if few_rows {
        let mut ensemble = Ensemble::new(problem, rows, best.leaves);
        for _ in 0..best.rounds {
            task.advance(0)?;
            if !ensemble.grow() {
                break;
            }
        }
        best.trees = ensemble.trees;
    }
    Ok(Some(Boosted { base, trees: best.trees, unfinished }))
}

/// Boosts every fold until its validation likelihood stops improving.
fn trial(problem: &Problem, leaves: usize, task: &Task) -> Result<Option<Trial>> {
    let mut curves: Vec<Vec<f64>> = Vec::new();
    let (mut trees, mut unfinished) = (Vec::new(), false);
    for (train, validation) in &problem.folds {
        let mut ensemble = Ensemble::new(problem, train, leaves);
        let patience = (PATIENCE / ensemble.rate).round() as usize;
        let width = ensemble.width;
        let mut scores = start(&ensemble.base, width, &validation.parents);
        let mut leaf_numbers = vec![0u8; validation.codes.len()];
        let mut curve = vec![loss(&scores, width, &validation.codes)];
        let (mut best, mut ended) = (0, false);
        while !ended && ensemble.trees.len() < problem.rounds {
            task.advance(0)?;
            if problem.deadline.is_some_and(|d| Instant::now() >= d) {
                return Ok(None);
            }
            if !ensemble.grow() {
                ended = true;
                break;
            }
            let tree = &ensemble.trees[ensemble.trees.len() - 1];
            let finder = LeafFinder::new(&tree.structure);
            add_tree(tree, &finder, width, &validation.bins(), &mut leaf_numbers, &mut scores);
            curve.push(loss(&scores, width, &validation.codes));
            if curve[curve.len() - 1] < curve[best] {
                best = curve.len() - 1;
            }
            ended = curve.len() > best + patience;
        }
        unfinished |= !ended;
        curves.push(curve);
        trees = ensemble.trees;
    }
    // A fold that stopped early counts with its last, risen loss.
    let rounds = curves.iter().map(Vec::len).max().unwrap_or(1);
    let mean =
        |round: usize| curves.iter().map(|c| c[round.min(c.len() - 1)]).sum::<f64>() / curves.len().max(1) as f64;
    let best = (0..rounds).fold(0, |best, round| if mean(round) < mean(best) { round } else { best });
    trees.truncate(best);
    Ok(Some(Trial { leaves, trees, rounds: best, loss: mean(best), unfinished }))
}

/// Trees under way on some rows.
struct Ensemble<'a> {
    rows: &'a Rows,
    bins: Vec<&'a [u8]>,
    problem: &'a Problem<'a>,
    growth: Growth,
    width: usize,
    rate: f32,
    base: Vec<f32>,
    trees: Vec<Tree>,
    /// `[rows][width]`
    scores: Vec<f32>,
    probabilities: Vec<f32>,
    sketch: Vec<Sums>,
}

impl<'a> Ensemble<'a> {
    fn new(problem: &'a Problem, rows: &'a Rows, leaves: usize) -> Ensemble<'a> {
        let base = base(problem.sub_column, rows);
        let width = width(problem.sub_column);
        let scores = start(&base, width, &rows.parents);
        Ensemble {
            bins: rows.bins(),
            growth: Growth { leaves, rows_per_leaf: 20.0, ridge: 1.0, gain: GAINS[usize::from(problem.all.is_none())] },
            rate: rate(rows.codes.len()).max(if problem.all.is_none() { LEAST_RATE_WITHOUT_FOLDS } else { 0.0 }),
            trees: Vec::new(),
            probabilities: scores.clone(),
            sketch: vec![[0.0; LANES]; rows.codes.len()],
            rows,
            problem,
            width,
            base,
            scores,
        }
    }

    /// Adds a tree; false where no split is worth it.
    fn grow(&mut self) -> bool {
        let (width, codes) = (self.width, &self.rows.codes);
        let spread = predict(&self.scores, &mut self.probabilities, width, codes);
        let mut draw = self.problem.draws.row(self.trees.len() as u64);
        project(&self.probabilities, width, codes, &spread, &mut draw, &mut self.sketch);
        let mut grower = Grower::new(&self.problem.features, &self.bins, self.growth);
        let grown = grower.grow((0..codes.len() as u32).collect(), &self.sketch);
        if grown.structure.nodes.is_empty() {
            return false;
        }
        let mut values = vec![0f32; grown.structure.leaves() * width];
        for (run, values) in grown.runs.iter().zip(values.chunks_mut(width)) {
            leaf_values(&grown.order[run.clone()], &self.probabilities, width, codes, self.rate, values);
            values[self.problem.sub_column.cardinality()..].fill(0.0);
            for row in &grown.order[run.clone()] {
                add_to(&mut self.scores[*row as usize * width..][..width], values);
            }
        }
        self.trees.push(Tree { structure: grown.structure, values });
        true
    }
}

/// Log frequencies of codes below each node, drawn a little towards equal odds: `[nodes above][width]`.
pub(crate) fn base(sub_column: &SubColumn, rows: &Rows) -> Vec<f32> {
    let width = width(sub_column);
    let mut counts = vec![0f32; sub_column.members.len() * width];
    for (node, code) in rows.parents.iter().zip(&rows.codes) {
        counts[*node as usize * width + *code as usize] += 1.0;
    }
    for (row, members) in counts.chunks_exact_mut(width).zip(&sub_column.members) {
        let total: f32 = row.iter().sum::<f32>() + 1.0;
        for (code, x) in row.iter_mut().enumerate() {
            *x = if code < *members as usize { ((*x + 1.0 / *members as f32) / total).ln() } else { IMPOSSIBLE };
        }
    }
    counts
}

/// Codes of a sub-column, padded to whole vectors.
pub(crate) fn width(sub_column: &SubColumn) -> usize {
    sub_column.cardinality().next_multiple_of(8)
}

/// η for so many rows.
fn rate(rows: usize) -> f32 {
    (RATES[0] * (rows as f32 / FEW_ROWS).powf(0.6)).clamp(RATES[0], RATES[1])
}

/// Adds a tree's values to the scores of rows: `scores` is `[rows][width]`, `bins` `[features][rows]`; `leaves` is room for
/// the leaf of each row.
pub(crate) fn add_tree(
    tree: &Tree,
    finder: &LeafFinder,
    width: usize,
    bins: &[&[u8]],
    leaves: &mut [u8],
    scores: &mut [f32],
) {
    finder.find(bins, leaves);
    add_leaves(&tree.values, width, leaves, scores);
}

vectorized! {
    /// Adds to the scores of each row the values of its leaf.
    fn add_leaves<'a>(values: &'a [f32], width: usize, leaves: &'a [u8], scores: &'a mut [f32]) {
        match width {
            8 => add_leaves_of::<1>(values, leaves, scores),
            16 => add_leaves_of::<2>(values, leaves, scores),
            24 => add_leaves_of::<3>(values, leaves, scores),
            32 => add_leaves_of::<4>(values, leaves, scores),
            _ => {
                for (leaf, scores) in leaves.iter().zip(scores.chunks_exact_mut(width)) {
                    add_to(scores, &values[usize::from(*leaf) * width..][..width]);
                }
            }
        }
    }
}

/// For numbers of vectors known to the compiler.
#[inline(always)]
fn add_leaves_of<const VECTORS: usize>(values: &[f32], leaves: &[u8], scores: &mut [f32]) {
    let (values, _) = values.as_chunks::<8>().0.as_chunks::<VECTORS>();
    let (scores, _) = scores.as_chunks_mut::<8>().0.as_chunks_mut::<VECTORS>();
    for (leaf, scores) in leaves.iter().zip(scores) {
        for (scores, values) in scores.iter_mut().zip(&values[usize::from(*leaf)]) {
            for (score, value) in scores.iter_mut().zip(values) {
                *score += value;
            }
        }
    }
}

/// Scores before any tree: `[rows][width]`.
pub(crate) fn start(base: &[f32], width: usize, parents: &[u32]) -> Vec<f32> {
    parents.iter().flat_map(|node| &base[*node as usize * width..][..width]).copied().collect()
}

#[inline(always)]
pub(crate) fn add_to(sum: &mut [f32], x: &[f32]) {
    for (s, x) in sum.iter_mut().zip(x) {
        *s += x;
    }
}

/// Probabilities of all rows; returns each code's mean hessian p(1 − p).
fn predict(scores: &[f32], probabilities: &mut [f32], width: usize, codes: &[u32]) -> Vec<f32> {
    let mut spread = vec![0f32; width];
    pulp::Arch::new().dispatch(|| {
        for (p, s) in probabilities.chunks_exact_mut(width).zip(scores.chunks_exact(width)) {
            p.copy_from_slice(s);
            softmax(p);
            for (sum, p) in spread.iter_mut().zip(p.iter()) {
                *sum += p * (1.0 - p);
            }
        }
    });
    spread.iter().map(|s| s / codes.len().max(1) as f32).collect()
}

/// Projects the whitened gradients of all rows; with at most [`SKETCH`] codes they are kept as they are.
fn project(
    probabilities: &[f32],
    width: usize,
    codes: &[u32],
    spread: &[f32],
    draw: &mut impl Rng,
    sketch: &mut [Sums],
) {
    let mut directions: Vec<Sums> = vec![[0.0; LANES]; width];
    let used = spread.iter().filter(|s| **s > 0.0).count();
    let mut lane = 0;
    for (direction, spread) in directions.iter_mut().zip(spread) {
        if *spread <= 0.0 {
            continue;
        }
        let scale = 1.0 / (spread + 1e-6).sqrt();
        if used <= SKETCH {
            direction[lane] = scale;
            lane += 1;
        } else {
            for d in &mut direction[..SKETCH] {
                // A sum of uniforms is normal enough for a projection.
                let normal: f32 = (0..4).map(|_| draw.random::<f32>() - 0.5).sum::<f32>() * 3f32.sqrt();
                *d = normal * scale / (SKETCH as f32).sqrt();
            }
        }
    }
    pulp::Arch::new().dispatch(|| {
        for ((p, code), sums) in probabilities.chunks_exact(width).zip(codes).zip(sketch.iter_mut()) {
            let mut sum = [0f32; LANES];
            for (p, direction) in p.iter().zip(&directions) {
                for (s, d) in sum.iter_mut().zip(direction) {
                    *s += p * d;
                }
            }
            for (s, d) in sum.iter_mut().zip(&directions[*code as usize]) {
                *s -= d;
            }
            sum[SKETCH] = 1.0;
            *sums = sum;
        }
    });
}

/// −η·G/(H + λ) for every code of a leaf.
fn leaf_values(rows: &[u32], probabilities: &[f32], width: usize, codes: &[u32], rate: f32, values: &mut [f32]) {
    let mut hessian = vec![0f32; width];
    pulp::Arch::new().dispatch(|| {
        for row in rows {
            let p = &probabilities[*row as usize * width..][..width];
            for ((g, h), p) in values.iter_mut().zip(hessian.iter_mut()).zip(p) {
                *g += p;
                *h += p * (1.0 - p);
            }
            values[codes[*row as usize] as usize] -= 1.0;
        }
    });
    for (g, h) in values.iter_mut().zip(&hessian) {
        *g = -rate * *g / (h + RIDGE);
    }
}

/// Mean negative log-likelihood, nats.
pub(crate) fn loss(scores: &[f32], width: usize, codes: &[u32]) -> f64 {
    let mut sum = 0.0;
    let mut row_probabilities = vec![0f32; width];
    pulp::Arch::new().dispatch(|| {
        for (s, code) in scores.chunks_exact(width).zip(codes) {
            row_probabilities.copy_from_slice(s);
            softmax(&mut row_probabilities);
            sum -= f64::from(row_probabilities[*code as usize].max(1e-30)).ln();
        }
    });
    sum / codes.len().max(1) as f64
}
