//! iALS: matrix factorisation of implicit feedback (Hu, Koren, Volinsky 2008) with the regularisation of Rendle et al.
//! ("Revisiting the Performance of iALS on Item Recommendation Benchmarks", 2022), solved by conjugate gradients
//! (Takács, Pilászy, Tikk 2011).
//!
//! `L = Σ_S c (ŷ − 1)² + α₀ Σ_all ŷ² + λ (Σ_u n_u^ν ‖w_u‖² + Σ_i n_i^ν ‖h_i‖²)`, `ŷ = w_u·h_i`,
//! `n_u = |S_u| + α₀|I|`, `n_i = |S_i| + α₀|U|`. W `[users, d]`, H `[items, d]`.
//! A row solves `A w = b`, `A = α₀ HᵀH + Σ c h hᵀ + λ n^ν I`, `b = Σ c h`. Training takes a few conjugate-gradient
//! steps from the old row; a history is folded in by the exact solution, so `h_iᵀ w = Σ_j c_j h_iᵀ A⁻¹ h_j` explains itself.

use crate::container::{Parts, Values, not_a_model};
use crate::interactions::Interactions;
use crate::recommender::{Contribution, Recommender, Source, UserHistory};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use twinmart_tables::{Draws, Progress, Result};

/// Initial rows have elements with this standard deviation, divided by √d.
const INITIAL_DEVIATION: f32 = 0.1;
/// Rows of one partial Gram matrix; partial sums are added in order, whatever the number of threads.
const GRAM_CHUNK: usize = 256;
/// Dimensions beyond this are refused when a file is read.
const MAX_DIMENSIONS: usize = 4096;

/// Settings of iALS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IalsSettings {
    /// d, the length of a row.
    pub dimensions: usize,
    /// α₀, the weight of the unobserved.
    pub alpha0: f64,
    /// λ.
    pub lambda: f64,
    /// ν: 1 regularises busy rows more, 0 all alike.
    pub nu: f64,
    /// How often users and items are solved in turn.
    pub sweeps: usize,
    /// Conjugate-gradient steps per row and sweep.
    pub steps: usize,
    /// `c = 1 + repeat_weight · ln(count)`.
    pub repeat_weight: f64,
}

/// A fitted model: the item rows; users are folded in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ials {
    settings: IalsSettings,
    /// |I|, which λ n^ν of a folded-in history needs.
    items: usize,
    /// H `[items, d]`, row by row.
    rows: Vec<f32>,
    /// α₀ HᵀH `[d, d]`.
    gram: Vec<f64>,
}

/// The three parts of the loss, which tell a wrong α₀ or λ at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// `Σ_S c (ŷ − 1)²`
    pub observed: f64,
    /// `α₀ Σ_all ŷ²`
    pub unobserved: f64,
    /// `λ (…)`
    pub regularisation: f64,
}

impl Loss {
    /// The sum.
    pub fn total(&self) -> f64 {
        self.observed + self.unobserved + self.regularisation
    }
}

/// A training run under way: sweeps can be watched and timed one by one.
#[derive(Debug)]
pub struct Training {
    settings: IalsSettings,
    by_user: Interactions,
    by_item: Interactions,
    w: Vec<f32>,
    h: Vec<f32>,
}

impl Training {
    /// Starts from small random item rows; `counts` = users × items.
    pub fn start(counts: &Interactions, settings: &IalsSettings, seed: u64) -> Training {
        let d = settings.dimensions;
        let mut by_user = counts.clone();
        by_user.value.iter_mut().for_each(|c| *c = confidence(*c, settings));
        let by_item = by_user.transpose();
        let family = Draws::new(seed).family("ials.items", "");
        // Uniform with the stated standard deviation.
        let bound = INITIAL_DEVIATION * (3.0 / d as f32).sqrt();
        let mut h = vec![0.0; counts.columns * d];
        for (item, row) in h.chunks_exact_mut(d).enumerate() {
            let mut stream = family.row(item as u64);
            row.iter_mut().for_each(|x| *x = stream.random_range(-bound..bound));
        }
        Training { settings: *settings, w: vec![0.0; counts.rows() * d], h, by_user, by_item }
    }

    /// Solves all users, then all items.
    pub fn sweep(&mut self) {
        solve_rows(&self.by_user, &self.h, &mut self.w, &self.settings);
        solve_rows(&self.by_item, &self.w, &mut self.h, &self.settings);
    }

    /// The loss now.
    pub fn loss(&self) -> Loss {
        let (d, s) = (self.settings.dimensions, &self.settings);
        let (wg, hg) = (gram(&self.w, d), gram(&self.h, d));
        let unobserved: f64 = wg.iter().zip(&hg).map(|(a, b)| a * b).sum();
        let mut observed = 0.0;
        let mut regularisation = 0.0;
        for (user, w) in self.w.chunks_exact(d).enumerate() {
            let (items, weights) = self.by_user.row(user);
            for (item, c) in items.iter().zip(weights) {
                let h = &self.h[*item as usize * d..][..d];
                observed += f64::from(*c) * (f64::from(dot(w, h)) - 1.0).powi(2);
            }
            regularisation += f64::from(ridge(items.len(), self.by_user.columns, s)) * f64::from(dot(w, w));
        }
        for (item, h) in self.h.chunks_exact(d).enumerate() {
            let observed_users = self.by_item.row(item).0.len();
            regularisation += f64::from(ridge(observed_users, self.by_item.columns, s)) * f64::from(dot(h, h));
        }
        Loss { observed, unobserved: s.alpha0 * unobserved, regularisation }
    }

    /// The model as it stands.
    pub fn finish(self) -> Ials {
        Ials::of_rows(self.settings, self.by_user.columns, self.h)
    }
}

/// Fits iALS; `counts` = users × items.
pub(crate) fn fit(counts: &Interactions, settings: &IalsSettings, seed: u64, progress: &Progress) -> Result<Ials> {
    let mut training = Training::start(counts, settings, seed);
    let task = progress.start("iALS", Some(settings.sweeps as u64), "sweeps");
    for _ in 0..settings.sweeps {
        training.sweep();
        task.advance(1)?;
    }
    Ok(training.finish())
}

fn confidence(count: f32, settings: &IalsSettings) -> f32 {
    (1.0 + settings.repeat_weight * f64::from(count.max(1.0)).ln()) as f32
}

/// `λ n^ν` of a row with `observed` entries, on the other side `others` rows.
fn ridge(observed: usize, others: usize, settings: &IalsSettings) -> f32 {
    let n = observed as f64 + settings.alpha0 * others as f64;
    (settings.lambda * n.powf(settings.nu)) as f32
}

/// One half sweep: each row of `out` by conjugate gradients from its old value. Bound by `3 + 1` passes over the
/// observed rows of `other` and by `steps + 1` products with the d × d Gram matrix.
fn solve_rows(observed: &Interactions, other: &[f32], out: &mut [f32], settings: &IalsSettings) {
    let d = settings.dimensions;
    let base: Vec<f32> = gram(other, d).iter().map(|g| (settings.alpha0 * g) as f32).collect();
    out.par_chunks_mut(d).with_min_len(16).enumerate().for_each_init(
        || [vec![0.0f32; d], vec![0.0f32; d], vec![0.0f32; d]],
        |scratch, (row, x)| {
            let (columns, weights) = observed.row(row);
            if columns.is_empty() {
                x.fill(0.0);
                return;
            }
            let system = System {
                base: &base,
                columns,
                weights,
                other,
                d,
                ridge: ridge(columns.len(), observed.columns, settings),
            };
            system.descend(x, settings.steps, scratch);
        },
    );
}

/// `A x = b` of one row, never formed.
struct System<'a> {
    /// `α₀ HᵀH [d, d]`
    base: &'a [f32],
    columns: &'a [u32],
    weights: &'a [f32],
    /// `[_, d]`
    other: &'a [f32],
    d: usize,
    ridge: f32,
}

impl System<'_> {
    fn other(&self, column: u32) -> &[f32] {
        &self.other[column as usize * self.d..][..self.d]
    }

    /// `out = A x` without the observed part.
    fn apply_base(&self, x: &[f32], out: &mut [f32]) {
        for (o, v) in out.iter_mut().zip(x) {
            *o = self.ridge * v;
        }
        for (row, v) in self.base.chunks_exact(self.d).zip(x) {
            add_scaled(out, row, *v);
        }
    }

    /// Conjugate gradients from `x`; `scratch` = residual, direction, product.
    fn descend(&self, x: &mut [f32], steps: usize, scratch: &mut [Vec<f32>; 3]) {
        let [residual, direction, product] = scratch;
        self.apply_base(x, residual);
        residual.iter_mut().for_each(|r| *r = -*r);
        for (column, c) in self.columns.iter().zip(self.weights) {
            let h = self.other(*column);
            add_scaled(residual, h, c * (1.0 - dot(h, x)));
        }
        direction.copy_from_slice(residual);
        let mut squared = dot(residual, residual);
        for _ in 0..steps {
            if squared < 1e-20 {
                break;
            }
            self.apply_base(direction, product);
            for (column, c) in self.columns.iter().zip(self.weights) {
                let h = self.other(*column);
                add_scaled(product, h, c * dot(h, direction));
            }
            let length = squared / dot(direction, product);
            add_scaled(x, direction, length);
            add_scaled(residual, product, -length);
            let next = dot(residual, residual);
            let ratio = next / squared;
            for (p, r) in direction.iter_mut().zip(residual.iter()) {
                *p = r + ratio * *p;
            }
            squared = next;
        }
    }
}

/// `xᵀy`, in eight interleaved sums so that it vectorises the same way on every machine.
#[inline]
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0f32; 8];
    for (a, b) in xs.zip(ys) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `y += a x`
#[inline]
fn add_scaled(y: &mut [f32], x: &[f32], a: f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `RᵀR [d, d]` of rows `[n, d]`, in double precision, chunks of rows added in order.
fn gram(rows: &[f32], d: usize) -> Vec<f64> {
    let partial: Vec<Vec<f64>> = rows
        .par_chunks(GRAM_CHUNK * d)
        .map(|chunk| {
            let mut sum = vec![0.0f64; d * d];
            let mut wide = vec![0.0f64; d];
            for row in chunk.chunks_exact(d) {
                wide.iter_mut().zip(row).for_each(|(w, r)| *w = f64::from(*r));
                for (out, a) in sum.chunks_exact_mut(d).zip(&wide) {
                    out.iter_mut().zip(&wide).for_each(|(o, b)| *o += a * b);
                }
            }
            sum
        })
        .collect();
    let mut total = vec![0.0; d * d];
    for part in partial {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
    total
}

impl Ials {
    fn of_rows(settings: IalsSettings, items: usize, rows: Vec<f32>) -> Ials {
        let gram = gram(&rows, settings.dimensions).iter().map(|g| settings.alpha0 * g).collect();
        Ials { settings, items, rows, gram }
    }

    fn row(&self, item: u32) -> &[f32] {
        &self.rows[item as usize * self.settings.dimensions..][..self.settings.dimensions]
    }

    /// Distinct items of a history with their confidence, in the order of their positions.
    fn observed(&self, history: &UserHistory<'_>) -> Vec<(u32, f64)> {
        let mut counts: HashMap<u32, f32> = HashMap::new();
        history.items.iter().for_each(|i| *counts.entry(*i).or_default() += 1.0);
        let mut observed: Vec<(u32, f64)> =
            counts.into_iter().map(|(i, n)| (i, f64::from(confidence(n, &self.settings)))).collect();
        observed.sort_unstable_by_key(|(i, _)| *i);
        observed
    }

    /// The lower Cholesky factor of `A [d, d]` for a history.
    fn factor(&self, observed: &[(u32, f64)]) -> Vec<f64> {
        let d = self.settings.dimensions;
        let mut a = self.gram.clone();
        for (item, c) in observed {
            let h: Vec<f64> = self.row(*item).iter().map(|x| f64::from(*x)).collect();
            for (out, left) in a.chunks_exact_mut(d).zip(&h) {
                out.iter_mut().zip(&h).for_each(|(o, right)| *o += c * left * right);
            }
        }
        let ridge = f64::from(ridge(observed.len(), self.items, &self.settings));
        (0..d).for_each(|k| a[k * d + k] += ridge);
        cholesky(&mut a, d);
        a
    }
}

/// In place `A = L Lᵀ`, lower triangle, rows one after the other. A positive ridge keeps the pivots positive; the floor
/// guards models that were fitted without one.
fn cholesky(a: &mut [f64], d: usize) {
    for i in 0..d {
        for j in 0..=i {
            let (left, right) = (&a[i * d..i * d + j], &a[j * d..j * d + j]);
            let sum = a[i * d + j] - left.iter().zip(right).map(|(x, y)| x * y).sum::<f64>();
            a[i * d + j] = if i == j { sum.max(1e-12).sqrt() } else { sum / a[j * d + j] };
        }
    }
}

/// `x = (L Lᵀ)⁻¹ x`
fn solve(l: &[f64], d: usize, x: &mut [f64]) {
    for i in 0..d {
        let known: f64 = l[i * d..i * d + i].iter().zip(&*x).map(|(a, b)| a * b).sum();
        x[i] = (x[i] - known) / l[i * d + i];
    }
    for i in (0..d).rev() {
        x[i] /= l[i * d + i];
        let value = x[i];
        x[..i].iter_mut().zip(&l[i * d..i * d + i]).for_each(|(x, a)| *x -= a * value);
    }
}

impl Recommender for Ials {
    fn score(&self, history: &UserHistory<'_>, scores: &mut [f32]) {
        let d = self.settings.dimensions;
        let observed = self.observed(history);
        let mut w = vec![0.0; d];
        for (item, c) in &observed {
            w.iter_mut().zip(self.row(*item)).for_each(|(w, h)| *w += c * f64::from(*h));
        }
        solve(&self.factor(&observed), d, &mut w);
        let w: Vec<f32> = w.iter().map(|x| *x as f32).collect();
        for (score, h) in scores.iter_mut().zip(self.rows.chunks_exact(d)) {
            *score = dot(h, &w);
        }
    }

    fn explain(&self, history: &UserHistory<'_>, item: u32) -> Vec<Contribution> {
        let d = self.settings.dimensions;
        let observed = self.observed(history);
        let mut direction: Vec<f64> = self.row(item).iter().map(|x| f64::from(*x)).collect();
        solve(&self.factor(&observed), d, &mut direction);
        let summands = observed.into_iter().map(|(past, c)| Contribution {
            source: Source::PastItem(past),
            amount: c * direction.iter().zip(self.row(past)).map(|(a, h)| a * f64::from(*h)).sum::<f64>(),
        });
        summands.filter(|c| c.amount != 0.0).collect()
    }

    fn save<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push("items", Values::F32(self.rows.as_slice().into()));
    }
}

impl Ials {
    /// Reads what [`Recommender::save`] wrote.
    pub fn load(settings: &IalsSettings, parts: &mut Parts<'static>, items: usize) -> Result<Ials> {
        let rows = parts.f32("items")?;
        let valid = (1..=MAX_DIMENSIONS).contains(&settings.dimensions)
            && items.checked_mul(settings.dimensions) == Some(rows.len());
        if valid {
            Ok(Ials::of_rows(*settings, items, rows))
        } else {
            Err(not_a_model("item rows have the wrong shape"))
        }
    }
}
