//! Looking ahead: how likely what is asked of a row's later columns becomes with each code of an earlier one.
//!
//! A density that draws column after column knows of later columns only once it gets there. A mixture of products
//! ([`crate::mixture`]) knows at any time: given its components' odds after the columns so far, the likelihood of everything
//! that is still asked is one inner product. So the mixture guides and the density decides: each code is drawn in proportion to
//! the density's probability times the mixture's likelihood of the rest (a twisted proposal; Guarniero, Johansen & Lee,
//! "The iterated auxiliary particle filter", JASA 112, 2017, §2), and particles weigh what the two differ by.

use crate::foresight::Foresight;
use crate::mixture::{Mixture, at, chains, dot, logarithm, scale};
use crate::network::matrix::{LANES, multiply_add};
use crate::{Fitting, Parts, UNKNOWN};
use rayon::prelude::*;
use std::ops::Range;
use twinmart_encode::codes::{Codes, SubColumn, parents};
use twinmart_tables::{Draws, Progress, Result};

/// Components of a guide.
const COMPONENTS: usize = 64;
/// Passes over its rows.
const PASSES: u64 = 8;

/// A mixture that knows a density's rows roughly, and fast.
#[derive(Debug, Clone)]
pub struct Guide {
    mixture: Mixture,
    /// The rows that it was learned from.
    drawn: Option<Codes>,
}

impl Guide {
    /// Learns from rows that were drawn from the density to be guided.
    pub fn of(drawn: Codes) -> Result<Guide> {
        let draws = Draws::new(0);
        let subjects: Vec<u64> = (0..drawn.rows() as u64).collect();
        let parts = Parts::of(&drawn, &subjects, draws);
        let fitting = Fitting { draws, steps: PASSES, deadline: None, progress: Progress::silent() };
        Ok(Guide { mixture: Mixture::of_components(&parts, COMPONENTS, &fitting)?, drawn: Some(drawn) })
    }

    /// The sub-columns that it knows.
    pub(crate) fn sub_columns(&self) -> &[SubColumn] {
        self.mixture.sub_columns()
    }

    /// Learns to foresee what is asked of all rows, where enough drawn rows have it: for rows of which nothing else is known.
    pub fn foresee(&self, asked: &mut Asked) {
        let Some(drawn) = self.drawn.as_ref().filter(|_| !asked.leaves.is_empty()) else { return };
        asked.foresight = None;
        let logits = Lookahead::of(self, asked).logits(drawn);
        asked.foresight = Foresight::learn(drawn, &asked.leaves, &logits);
    }

    /// About how likely a row has all that is asked.
    pub fn likelihood(&self, asked: &Asked) -> f64 {
        let mut odds: Vec<f64> = self.mixture.weights().into_iter().map(f64::from).collect();
        let chains = chains(self.mixture.sub_columns());
        let mut below = vec![None; self.mixture.sub_columns().len()];
        for (first, shares) in &asked.leaves {
            if let Some(chain) = chains.iter().find(|c| c.start == *first) {
                let whole = levels_below(&self.mixture, chain.clone(), shares, &mut below);
                odds.iter_mut().zip(whole).for_each(|(o, w)| *o *= f64::from(w));
            }
        }
        odds.into_iter().sum()
    }

    /// A guide that knows nothing: all codes are alike to it.
    pub fn blind(sub_columns: &[SubColumn]) -> Guide {
        Guide { mixture: Mixture::uniform(sub_columns), drawn: None }
    }
}

/// The leaves that an open chain of a row may have, each with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Odds {
    /// The first sub-column of the chain.
    pub chain: usize,
    /// Position of the row.
    pub row: usize,
    /// `[leaves]` probabilities; they add up to 1.
    pub leaves: Vec<f32>,
}

/// What is asked of all rows alike: which leaves of some chains are permitted, and by what share.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// By the first sub-column of a chain, the share of each leaf that is permitted, 0 to 1.
    pub leaves: Vec<(usize, Vec<f32>)>,
    /// What tells it from the first columns of a row, where that was learned ([`Guide::foresee`]).
    pub(crate) foresight: Option<Foresight>,
}

impl Asked {
    /// Of these leaves.
    pub fn of(leaves: Vec<(usize, Vec<f32>)>) -> Asked {
        Asked { leaves, foresight: None }
    }
}

/// A guide made ready for what is asked of all rows.
#[derive(Debug)]
pub(crate) struct Lookahead<'a> {
    mixture: &'a Mixture,
    /// By sub-column of an asked chain, the likelihood of what is asked given the node and the component: `[nodes][components]`.
    below: Vec<Option<Vec<f32>>>,
    /// By sub-column, the likelihood of what is asked of the chains behind its own, by component, up to a factor.
    behind: Vec<Vec<f32>>,
    /// By sub-column, that factor.
    factors: Vec<f32>,
    /// By sub-column that ends an asked chain, the share of each leaf that is permitted.
    shares: Vec<Option<&'a [f32]>>,
    /// By sub-column, the factors as matrices to multiply with.
    panels: Vec<Panels>,
    foresight: Option<&'a Foresight>,
    /// The odds before any code.
    prior: Vec<f32>,
}

impl<'a> Lookahead<'a> {
    pub(crate) fn of(guide: &'a Guide, asked: &'a Asked) -> Lookahead<'a> {
        let mixture = &guide.mixture;
        let components = mixture.components();
        let mut below: Vec<Option<Vec<f32>>> = vec![None; mixture.sub_columns().len()];
        let chains = chains(mixture.sub_columns());
        let mut behind = vec![Vec::new(); below.len()];
        let mut leaves = vec![None; below.len()];
        let (mut product, mut factor) = (vec![1f32; components], 1f32);
        let mut factors = vec![1f32; below.len()];
        for chain in chains.into_iter().rev() {
            chain.clone().for_each(|p| behind[p].clone_from(&product));
            factors[chain.clone()].fill(factor);
            if let Some((_, shares)) = asked.leaves.iter().find(|(first, _)| *first == chain.start) {
                leaves[chain.end - 1] = Some(&shares[..]);
                let whole = levels_below(mixture, chain, shares, &mut below);
                product.iter_mut().zip(&whole).for_each(|(p, w)| *p *= w);
                factor *= scale(&mut product);
            }
        }
        let panels = (0..below.len()).map(|p| Panels::of(mixture, p, below[p].as_deref())).collect();
        Lookahead {
            mixture,
            below,
            behind,
            factors,
            shares: leaves,
            panels,
            foresight: asked.foresight.as_ref(),
            prior: mixture.weights(),
        }
    }

    /// By node of a sub-column, its probability given the node above, among all rows.
    pub(crate) fn base(&self, p: usize) -> &[f32] {
        self.mixture.base(p)
    }

    /// What foresees what is asked, beside the mixture.
    pub(crate) fn foresight(&self) -> Option<&Foresight> {
        self.foresight
    }

    /// The mixture's `likelihoods` of codes below a node as the foresight has them; `before` is what it says of the row so far.
    pub(crate) fn sharpen(&self, foresight: &Foresight, p: usize, above: u32, before: f32, likelihoods: &mut [f32]) {
        let (s, own) = (&self.mixture.sub_columns()[p], foresight.own(p));
        for (code, likelihood) in likelihoods.iter_mut().enumerate().take(s.members[above as usize] as usize) {
            let node = s.child(above, code as u32);
            let share = self.settled(p, node);
            if *likelihood > 0.0 {
                let odds = odds_of(*likelihood / share * self.factors[p]) * before * own[node as usize];
                *likelihood = share * odds / (1.0 + odds);
            }
        }
    }

    /// By sub-column up to the end of the last asked chain, the logit of what the mixture says to each row there.
    fn logits(&self, drawn: &Codes) -> Vec<Vec<f32>> {
        let end = (0..self.below.len()).rev().find(|p| self.below[*p].is_some()).map_or(0, |p| p + 1);
        let above = parents(&drawn.sub_columns, &drawn.values);
        let one = |row: usize| {
            let mut odds = self.prior.clone();
            let mut of = Vec::with_capacity(end);
            for (p, above) in above.iter().enumerate().take(end) {
                let node = drawn.sub_columns[p].child(above[row], drawn.values[p][row]);
                pulp::Arch::new().dispatch(|| self.reach(p, node, &mut odds));
                let likelihood = self.seen(p, node, &odds, &self.behind[p]) / self.settled(p, node);
                of.push(odds_of(likelihood * self.factors[p]).ln());
            }
            of
        };
        let rows: Vec<Vec<f32>> = (0..drawn.rows()).into_par_iter().map(one).collect();
        (0..end).map(|p| rows.iter().map(|row| row[p]).collect()).collect()
    }

    pub(crate) fn components(&self) -> usize {
        self.prior.len()
    }

    pub(crate) fn prior(&self) -> &[f32] {
        &self.prior
    }

    /// The last sub-column of a row of which something is known, or asked and open, plus one, if anything before it is open;
    /// else 0.
    pub(crate) fn end_of(&self, values: &[Vec<u32>], row: usize) -> usize {
        let is_heeded = |p: &usize| values[*p][row] != UNKNOWN || self.below[*p].is_some();
        let end = (0..values.len()).rev().find(is_heeded).map_or(0, |p| p + 1);
        let open = values[..end].iter().any(|v| v[row] == UNKNOWN);
        if open { end } else { 0 }
    }

    /// Log likelihood, by component, of all known codes of a row.
    pub(crate) fn known(&self, values: &[Vec<u32>], row: usize, logs: &mut [f32]) {
        logs.fill(0.0);
        let mut node = 0;
        for (p, s) in self.mixture.sub_columns().iter().enumerate() {
            if s.level == 0 {
                node = 0;
            }
            if values[p][row] != UNKNOWN {
                node = s.child(node, values[p][row]);
                self.add_log(p, node, 1.0, logs);
            }
        }
    }

    /// Adds `sign` times the log factor of a node to `logs`.
    #[inline(always)]
    pub(crate) fn add_log(&self, p: usize, node: u32, sign: f32, logs: &mut [f32]) {
        let factors = self.factors(p, node);
        logs.iter_mut().zip(factors).for_each(|(l, f)| *l += sign * logarithm(*f));
    }

    /// The likelihood of all that is ahead of a row behind sub-column `p`, by component: what all rows are asked, and what of
    /// the row is known (`logs`). Up to a factor.
    #[inline(always)]
    pub(crate) fn ahead(&self, p: usize, logs: &[f32], ahead: &mut [f32]) {
        let largest = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let behind = &self.behind[p];
        for ((ahead, log), behind) in ahead.iter_mut().zip(logs).zip(behind) {
            *ahead = twinmart_nets::exponential::exponential(*log - largest) * behind;
        }
    }

    /// Factors of a node, by component.
    #[inline(always)]
    pub(crate) fn factors(&self, p: usize, node: u32) -> &[f32] {
        at(self.mixture.factors(p), node as usize, self.prior.len())
    }

    /// Likelihoods of a particle in [`Lookahead::likelihoods`].
    pub(crate) fn stride(&self, p: usize) -> usize {
        self.mixture.sub_columns()[p].cardinality().next_multiple_of(LANES)
    }

    /// What the likelihood of all that is ahead becomes with each code of some particles: `[particles][stride]`, of which the
    /// codes that a particle's node has count. `above` are the particles' nodes, `odds` those of the components
    /// `[particles][components]`, `products` the same times what is ahead.
    pub(crate) fn likelihoods(&self, p: usize, above: &[u32], odds: &[f32], products: &[f32]) -> Vec<f32> {
        let (panels, width) = (&self.panels[p], self.stride(p));
        let components = self.components();
        let (mut joint, mut alone) = (vec![0f32; above.len() * width], vec![0f32; above.len() * width]);
        if self.mixture.sub_columns()[p].level == 0 {
            multiply_add(products, components, panels.joint(0), &mut joint);
            multiply_add(odds, components, panels.alone(0), &mut alone);
        } else {
            let rows = odds.chunks_exact(components).zip(products.chunks_exact(components));
            let out = joint.chunks_exact_mut(width).zip(alone.chunks_exact_mut(width));
            for ((above, (odds, products)), (joint, alone)) in above.iter().zip(rows).zip(out) {
                let own = panels.width(*above);
                multiply_add(products, components, panels.joint(*above), &mut joint[..own]);
                multiply_add(odds, components, panels.alone(*above), &mut alone[..own]);
            }
        }
        joint.iter_mut().zip(alone).for_each(|(joint, alone)| *joint /= alone.max(f32::MIN_POSITIVE));
        joint
    }

    /// The likelihood of all that is ahead behind a known node, `odds` having reached it.
    pub(crate) fn seen(&self, p: usize, node: u32, odds: &[f32], ahead: &[f32]) -> f32 {
        let seen = match &self.below[p] {
            Some(below) => dot_of_three(odds, ahead, at(below, node as usize, self.prior.len())),
            None => dot(odds, ahead),
        };
        seen.max(f32::MIN_POSITIVE)
    }

    /// The part of a likelihood behind a node that no later code can change: the share of a leaf that is permitted.
    pub(crate) fn settled(&self, p: usize, node: u32) -> f32 {
        self.shares[p].map_or(1.0, |shares| shares[node as usize].max(f32::MIN_POSITIVE))
    }

    /// Odds after a node, made to add up to 1.
    #[inline(always)]
    pub(crate) fn reach(&self, p: usize, node: u32, odds: &mut [f32]) {
        odds.iter_mut().zip(self.factors(p, node)).for_each(|(o, f)| *o *= f);
        scale(odds);
    }
}

/// p / (1 − p), within bounds.
fn odds_of(probability: f32) -> f32 {
    let p = probability.clamp(1e-6, 1.0 - 1e-6);
    p / (1.0 - p)
}

/// The factors of a sub-column's codes, for each node above in panels of [`LANES`] codes: `[codes / LANES][components][LANES]`, 0
/// beyond the codes that the node has.
#[derive(Debug)]
struct Panels {
    components: usize,
    /// By node above, where its panels begin, counted in codes; and one more.
    starts: Vec<usize>,
    alone: Vec<f32>,
    /// The same times what is asked below each code, where anything is.
    joint: Option<Vec<f32>>,
}

impl Panels {
    fn of(mixture: &Mixture, p: usize, below: Option<&[f32]>) -> Panels {
        let s = &mixture.sub_columns()[p];
        let components = mixture.components();
        let mut starts = vec![0];
        for members in &s.members {
            starts.push(starts[starts.len() - 1] + (*members as usize).next_multiple_of(LANES));
        }
        let factors = mixture.factors(p);
        let fill = |value: &dyn Fn(usize, usize) -> f32| {
            let mut panels = vec![0f32; starts[starts.len() - 1] * components];
            for (node, members) in s.members.iter().enumerate() {
                for code in 0..*members {
                    let child = s.child(node as u32, code) as usize;
                    let (panel, lane) = (code as usize / LANES, code as usize % LANES);
                    let first = (starts[node] + panel * LANES) * components + lane;
                    for component in 0..components {
                        panels[first + component * LANES] = value(child, component);
                    }
                }
            }
            panels
        };
        let alone = fill(&|child, component| factors[child * components + component]);
        let joint = below.map(|below| {
            fill(&|child, component| {
                let at = child * components + component;
                factors[at] * below[at]
            })
        });
        Panels { components, starts, alone, joint }
    }

    /// Codes below a node, those that it does not have included.
    fn width(&self, above: u32) -> usize {
        self.starts[above as usize + 1] - self.starts[above as usize]
    }

    fn alone(&self, above: u32) -> &[f32] {
        &self.alone[self.starts[above as usize] * self.components..][..self.width(above) * self.components]
    }

    fn joint(&self, above: u32) -> &[f32] {
        let joint = self.joint.as_ref().unwrap_or(&self.alone);
        &joint[self.starts[above as usize] * self.components..][..self.width(above) * self.components]
    }
}

/// Fills `below` for the sub-columns of a chain; returns the likelihood of what is asked of the whole chain, by component.
fn levels_below(mixture: &Mixture, chain: Range<usize>, shares: &[f32], below: &mut [Option<Vec<f32>>]) -> Vec<f32> {
    let components = mixture.components();
    let mut here: Vec<f32> = shares.iter().flat_map(|share| std::iter::repeat_n(*share, components)).collect();
    for p in chain.rev() {
        let s = &mixture.sub_columns()[p];
        let mut above = vec![0f32; s.members.len() * components];
        for (node, above) in above.chunks_exact_mut(components).enumerate() {
            for code in 0..s.members[node] {
                let child = s.child(node as u32, code) as usize;
                let (base, factors) = (mixture.base(p)[child], at(mixture.factors(p), child, components));
                let terms = factors.iter().zip(at(&here, child, components));
                above.iter_mut().zip(terms).for_each(|(a, (f, h))| *a += base * f * h);
            }
        }
        below[p] = Some(std::mem::replace(&mut here, above));
    }
    here
}

#[inline(always)]
fn dot_of_three(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut parts = [0f32; 16];
    let (mut a, mut b, mut c) = (a.chunks_exact(16), b.chunks_exact(16), c.chunks_exact(16));
    for ((a, b), c) in (&mut a).zip(&mut b).zip(&mut c) {
        let terms = a.iter().zip(b).zip(c);
        parts.iter_mut().zip(terms).for_each(|(p, ((a, b), c))| *p += a * b * c);
    }
    let rest = a.remainder().iter().zip(b.remainder()).zip(c.remainder());
    parts.iter().sum::<f32>() + rest.map(|((a, b), c)| a * b * c).sum::<f32>()
}
