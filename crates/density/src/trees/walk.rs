//! Drawing rows sub-column by sub-column, with an eye on what is known or asked of later ones.
//!
//! A row of which nothing later is known or asked is drawn once. Any other is drawn by several particles side by side
//! (sequential Monte Carlo; Doucet & Johansen, "A tutorial on particle filtering and smoothing", 2009, §3). Each unknown
//! code is drawn from q(code) ∝ P(code | before) · ψ(before, code), where ψ is what a [`Lookahead`] takes for the likelihood of
//! all that is still known or asked; a particle's weight is multiplied by Σ_code P·ψ, or by P·ψ of a known code, and divided by
//! the ψ before. So whatever ψ is, weighted particles follow the trees' conditional distribution in the limit of many, and the
//! better ψ, the fewer are needed. They are resampled where fewer than half of them count; behind the last known code one is
//! kept and goes on alone.

use super::leaves::LeafFinder;
use super::{Trees, width};
use crate::UNKNOWN;
use crate::guide::{Lookahead, Odds};
use crate::mixture::{chains, scale};
use crate::pick::pick;
use rand::Rng;
use std::ops::Range;
use twinmart_encode::codes::nodes;
use twinmart_tables::Stream;

/// Some rows on their way through the sub-columns.
pub(crate) struct Walk<'a> {
    trees: &'a Trees,
    lookahead: &'a Lookahead<'a>,
    rows: &'a [usize],
    /// Particles of each row; 1 behind `end`.
    particles: usize,
    /// The first sub-column from which on every row is drawn once.
    end: usize,
    /// What is known: `[sub_columns][rows]`.
    known: Vec<Vec<u32>>,
    /// `[sub_columns so far][rows · particles]`
    codes: Vec<Vec<u32>>,
    reached: Vec<Vec<u32>>,
    bins: Vec<Vec<u8>>,
    sight: Sight,
    /// The first sub-column of each row behind everything that it heeds.
    heeds: Vec<usize>,
    /// By sub-column, where particles go on to the end: the probabilities that each particle drew its code from,
    /// `[rows · particles][width]`; empty where all codes are known.
    told: Vec<Vec<f32>>,
}

/// What particles know of what is ahead; empty where nothing is.
#[derive(Default)]
struct Sight {
    /// `[rows · particles][components]` odds of the guide's components.
    odds: Vec<f32>,
    /// `[rows · particles]` ψ so far.
    ahead: Vec<f32>,
    /// `[rows · particles]` log weights.
    weights: Vec<f32>,
    /// `[rows][components]` log likelihood of each row's known codes that are ahead.
    logs: Vec<f32>,
}

impl<'a> Walk<'a> {
    pub(crate) fn begin(
        trees: &'a Trees,
        lookahead: &'a Lookahead<'a>,
        values: &[Vec<u32>],
        rows: &'a [usize],
        ends: &[usize],
        least_end: usize,
        particles: usize,
    ) -> Walk<'a> {
        let known: Vec<Vec<u32>> = values.iter().map(|v| rows.iter().map(|row| v[*row]).collect()).collect();
        let heeds: Vec<usize> = rows.iter().map(|row| ends[*row]).collect();
        let end = heeds.iter().copied().max().unwrap_or(0).max(least_end);
        let mut sight = Sight::default();
        if end > 0 {
            let all = rows.len() * particles;
            let components = lookahead.components();
            sight.odds = lookahead.prior().repeat(all);
            sight.ahead = vec![1.0; all];
            sight.weights = vec![0.0; all];
            sight.logs = vec![0.0; rows.len() * components];
            for (row, logs) in sight.logs.chunks_exact_mut(components).enumerate() {
                lookahead.known(&known, row, logs);
            }
        }
        let particles = if end > 0 { particles } else { 1 };
        let (codes, reached, bins, told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Walk { trees, lookahead, rows, particles, end, known, codes, reached, bins, sight, heeds, told }
    }

    /// Draws sub-column `p`, after all before it.
    pub(crate) fn step(&mut self, p: usize, finders: &[LeafFinder], streams: &mut [Stream]) {
        if p == self.end && p > 0 {
            self.keep_one(streams);
        }
        let sub_column = self.trees.sub_column(p);
        let all = self.rows.len() * self.particles;
        let above = if sub_column.level == 0 { vec![0; all] } else { self.reached[p - 1].clone() };
        let mut probabilities = self.trees.probabilities(p, finders, &self.bins, &above, &mut vec![0u8; all]);
        let codes = match p < self.end {
            true => self.draw_ahead(p, &above, &mut probabilities, streams),
            false => self.draw(p, &above, &probabilities, streams),
        };
        self.reached.push(nodes(sub_column, &above, &codes));
        self.bins.push(self.trees.bins(p, &self.reached[p]));
        self.codes.push(codes);
        let is_told = self.end == self.known.len() && self.known[p].contains(&UNKNOWN);
        self.told.push(if is_told { probabilities } else { Vec::new() });
        if p < self.end {
            self.see(p);
            self.resample(p, streams);
        }
    }

    /// Codes of rows that heed nothing behind this sub-column; there is one particle of each.
    fn draw(&self, p: usize, above: &[u32], probabilities: &[f32], streams: &mut [Stream]) -> Vec<u32> {
        let sub_column = self.trees.sub_column(p);
        let rows = probabilities.chunks_exact(width(sub_column)).zip(above).enumerate();
        let one = |(at, (row, above)): (usize, (&[f32], &u32))| match self.known[p][at] {
            UNKNOWN => {
                let members = sub_column.members[*above as usize] as usize;
                pick(row[..members].iter().copied(), streams[self.rows[at]].random())
            }
            known => known.min(sub_column.members[*above as usize] - 1),
        };
        rows.map(one).collect()
    }

    /// Codes of particles, weighed by what is ahead.
    fn draw_ahead(&mut self, p: usize, above: &[u32], probabilities: &mut [f32], streams: &mut [Stream]) -> Vec<u32> {
        let (trees, lookahead, particles) = (self.trees, self.lookahead, self.particles);
        let sub_column = trees.sub_column(p);
        let width = width(sub_column);
        let mut codes = vec![0u32; above.len()];
        for (at, row) in probabilities.chunks_exact(width).enumerate() {
            let known = self.known[p][at / particles];
            if known != UNKNOWN {
                let members = sub_column.members[above[at] as usize];
                // A code that this particle's node does not have: the particle is lost, whatever it does.
                let probability = if known < members { row[known as usize] } else { 0.0 };
                self.sight.weights[at] += probability.max(f32::MIN_POSITIVE).ln();
                codes[at] = known.min(members - 1);
            }
        }
        let open: Vec<usize> = (0..codes.len()).filter(|at| self.known[p][at / particles] == UNKNOWN).collect();
        let likelihoods = self.likelihoods(p, &open, above);
        let Sight { ahead: before, weights, .. } = &mut self.sight;
        for (at, likelihoods) in open.into_iter().zip(likelihoods.chunks_exact(lookahead.stride(p))) {
            let members = sub_column.members[above[at] as usize] as usize;
            let row = &mut probabilities[at * width..][..members];
            row.iter_mut().zip(likelihoods).for_each(|(probability, likelihood)| *probability *= likelihood);
            let total: f32 = row.iter().sum();
            codes[at] = pick(row.iter().copied(), streams[self.rows[at / particles]].random());
            weights[at] += (total.max(f32::MIN_POSITIVE) / before[at]).ln();
            let node = sub_column.child(above[at], codes[at]);
            before[at] = (likelihoods[codes[at] as usize] / lookahead.settled(p, node)).max(f32::MIN_POSITIVE);
        }
        codes
    }

    /// ψ of each code of the particles `open`: `[open][stride]`.
    fn likelihoods(&self, p: usize, open: &[usize], above: &[u32]) -> Vec<f32> {
        let components = self.lookahead.components();
        let mut odds = Vec::with_capacity(open.len() * components);
        let mut products = Vec::with_capacity(open.len() * components);
        let mut ahead = vec![0f32; components];
        let mut row = usize::MAX;
        for at in open {
            if at / self.particles != row {
                row = at / self.particles;
                let logs = &self.sight.logs[row * components..][..components];
                pulp::Arch::new().dispatch(|| self.lookahead.ahead(p, logs, &mut ahead));
            }
            let own = &self.sight.odds[at * components..][..components];
            odds.extend_from_slice(own);
            products.extend(own.iter().zip(&ahead).map(|(odds, ahead)| odds * ahead));
        }
        let above: Vec<u32> = open.iter().map(|at| above[*at]).collect();
        let mut likelihoods = self.lookahead.likelihoods(p, &above, &odds, &products);
        if let Some(foresight) = self.lookahead.foresight() {
            let each = likelihoods.chunks_exact_mut(self.lookahead.stride(p));
            for ((at, above), likelihoods) in open.iter().zip(above).zip(each) {
                let before = foresight.before(p, |q| self.reached[q][*at]);
                self.lookahead.sharpen(foresight, p, above, before, likelihoods);
            }
        }
        likelihoods
    }

    /// Takes note of the nodes that the particles have reached.
    fn see(&mut self, p: usize) {
        let (lookahead, particles) = (self.lookahead, self.particles);
        let components = lookahead.components();
        let mut ahead = vec![0f32; components];
        let Sight { odds, ahead: before, weights, logs } = &mut self.sight;
        for (of, logs) in logs.chunks_exact_mut(components).enumerate() {
            let here = of * particles..(of + 1) * particles;
            let is_known = self.known[p][of] != UNKNOWN;
            if is_known {
                lookahead.add_log(p, self.reached[p][here.start], -1.0, logs);
                pulp::Arch::new().dispatch(|| lookahead.ahead(p, logs, &mut ahead));
            }
            for at in here {
                let odds = &mut odds[at * components..][..components];
                pulp::Arch::new().dispatch(|| lookahead.reach(p, self.reached[p][at], odds));
                if is_known {
                    let after = lookahead.seen(p, self.reached[p][at], odds, &ahead);
                    weights[at] += (after / before[at]).ln();
                    before[at] = after / lookahead.settled(p, self.reached[p][at]);
                }
            }
        }
    }

    /// Gives each particle of a row a place in proportion to its weight, where fewer than half of them count (systematic
    /// resampling, Kitagawa 1996; effective sample size, Kong, Liu & Wong 1994).
    fn resample(&mut self, p: usize, streams: &mut [Stream]) {
        // Of two, at least one counts, which is half of them.
        if self.particles <= 2 {
            return;
        }
        let components = self.lookahead.components();
        for row in 0..self.rows.len() {
            let here = row * self.particles..(row + 1) * self.particles;
            let weights = shares(&self.sight.weights[here.clone()]);
            let effective = 1.0 / weights.iter().map(|w| w * w).sum::<f32>();
            if effective >= 0.5 * self.particles as f32 {
                continue;
            }
            let start: f32 = streams[self.rows[row]].random();
            let (mut at, mut passed) = (0, weights[0]);
            let mut ancestors = Vec::with_capacity(self.particles);
            for particle in 0..self.particles {
                let place = (particle as f32 + start) / self.particles as f32;
                while passed < place && at + 1 < self.particles {
                    at += 1;
                    passed += weights[at];
                }
                ancestors.push(here.start + at);
            }
            for q in 0..=p {
                reorder(&mut self.codes[q], &ancestors, here.clone(), 1);
                reorder(&mut self.reached[q], &ancestors, here.clone(), 1);
                reorder(&mut self.bins[q], &ancestors, here.clone(), 1);
                if !self.told[q].is_empty() {
                    let width = width(self.trees.sub_column(q));
                    reorder(&mut self.told[q], &ancestors, here.clone(), width);
                }
            }
            reorder(&mut self.sight.odds, &ancestors, here.clone(), components);
            reorder(&mut self.sight.ahead, &ancestors, here.clone(), 1);
            self.sight.weights[here].fill(0.0);
        }
    }

    /// Keeps one particle of each row, drawn by their weights.
    fn keep_one(&mut self, streams: &mut [Stream]) {
        let particles = self.particles;
        let one = |row: usize| {
            let weights = shares(&self.sight.weights[row * particles..][..particles]);
            let at = if particles == 1 { 0 } else { pick(weights.into_iter(), streams[self.rows[row]].random()) };
            row * particles + at as usize
        };
        let chosen: Vec<usize> = (0..self.rows.len()).map(one).collect();
        for q in 0..self.codes.len() {
            self.codes[q] = chosen.iter().map(|at| self.codes[q][*at]).collect();
            self.reached[q] = chosen.iter().map(|at| self.reached[q][*at]).collect();
            self.bins[q] = chosen.iter().map(|at| self.bins[q][*at]).collect();
        }
        self.particles = 1;
        self.sight = Sight::default();
    }

    /// For each row and each chain that is open in it, the probabilities of its leaves. All particles must have gone on to the
    /// end.
    pub(crate) fn odds(&self) -> Vec<Odds> {
        let mut odds = Vec::new();
        let chains = chains(&self.trees.sub_columns);
        for row in 0..self.rows.len() {
            let here = row * self.particles..(row + 1) * self.particles;
            let Some(weights) = self.sight.weights.get(here.clone()).map(shares) else { continue };
            for chain in chains.iter().filter(|chain| self.known[chain.end - 1][row] == UNKNOWN) {
                let leaves = self.leaves(chain, row, here.start, &weights);
                odds.push(Odds { chain: chain.start, row: self.rows[row], leaves });
            }
        }
        odds
    }

    /// Probabilities of the leaves of a chain, from particles with these weights: how many have each code, or, where nothing that
    /// weighs them comes later, the mean of what they drew their codes from. Below a node the mean over all rows stands for what a particle that went elsewhere would have said, and is taken back
    /// where one was there (a control variate; Owen, "Monte Carlo theory, methods and examples", 2013, §8.9).
    fn leaves(&self, chain: &Range<usize>, row: usize, first: usize, weights: &[f32]) -> Vec<f32> {
        let mut nodes = vec![1f32];
        for p in chain.clone() {
            let s = self.trees.sub_column(p);
            let base = self.lookahead.base(p);
            let known = self.known[p][row];
            let mut below = vec![0f32; s.nodes()];
            if known != UNKNOWN {
                below[self.reached[p][first] as usize] = 1.0;
                nodes = below;
                continue;
            }
            for (node, probability) in nodes.iter().enumerate().filter(|_| s.level > 0) {
                let children = s.first[node] as usize..(s.first[node] + s.members[node]) as usize;
                below[children.clone()].iter_mut().zip(&base[children]).for_each(|(b, q)| *b = probability * q);
            }
            for (at, weight) in (first..).zip(weights) {
                let above = if s.level == 0 { 0 } else { self.reached[p - 1][at] as usize };
                let children = s.first[above] as usize..(s.first[above] + s.members[above]) as usize;
                if s.level > 0 {
                    below[children.clone()].iter_mut().zip(&base[children.clone()]).for_each(|(b, q)| *b -= weight * q);
                }
                if p < self.heeds[row] {
                    below[self.reached[p][at] as usize] += weight;
                    continue;
                }
                let told = &self.told[p][at * width(s)..][..children.len()];
                let scale = weight / told.iter().sum::<f32>().max(f32::MIN_POSITIVE);
                below[children].iter_mut().zip(told).for_each(|(b, told)| *b += scale * told);
            }
            nodes = below;
        }
        nodes.iter_mut().for_each(|x| *x = x.max(0.0));
        scale(&mut nodes);
        nodes
    }

    /// Writes what was drawn.
    pub(crate) fn end(mut self, values: &mut [Vec<u32>], streams: &mut [Stream]) {
        if self.end == self.codes.len() && self.end > 0 {
            self.keep_one(streams);
        }
        for (at, row) in self.rows.iter().enumerate() {
            for (values, codes) in values.iter_mut().zip(&self.codes) {
                if values[*row] == UNKNOWN {
                    values[*row] = codes[at];
                }
            }
        }
    }
}

/// Log weights as shares; equal ones where no particle is possible.
fn shares(weights: &[f32]) -> Vec<f32> {
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f32> = weights.iter().map(|w| (w - largest).exp()).collect();
    let total: f32 = shares.iter().sum();
    shares.into_iter().map(|s| s / total).collect()
}

/// Moves the entries of particles, `width` numbers each.
fn reorder<T: Copy>(values: &mut [T], from: &[usize], to: Range<usize>, width: usize) {
    let moved: Vec<T> = from.iter().flat_map(|f| values[f * width..][..width].iter().copied()).collect();
    values[to.start * width..to.end * width].copy_from_slice(&moved);
}
