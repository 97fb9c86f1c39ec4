//! A causal Transformer (Vaswani et al., "Attention is all you need", 2017) that looks back a bounded way.
//!
//! ```text
//! x ─► x + out · attention(norm x) ─► x + down · silu(up · norm x) ─► … ─► norm x
//! ```
//!
//! Norms come first (Xiong et al., "On layer normalization in the Transformer architecture", 2020) and are root-mean-square
//! norms. A row attends to itself and the `reach` − 1 rows before it in its window, with a learned bias for each distance
//! (Press et al., "Train short, test long", 2022, with learned numbers): only distances count, so windows may start anywhere.

use crate::brief::{lengthened, shortened};
use crate::exponential::{exponential, softmax};
use crate::matrix::{add, dot, linear, linear_back, multiply, multiply_add, rows, rows_mut};
use crate::normal::Normal;
use crate::vectorized;
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How large a decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Numbers of a row's state; a multiple of `heads`.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Numbers between the two matrices of a layer.
    pub hidden: usize,
    /// Rows that a row can see, itself included.
    pub reach: usize,
}

impl Shape {
    /// True where a decoder of this shape can be made in reasonable memory.
    pub fn is_sound(self) -> bool {
        let sizes = [self.width, self.heads, self.layers, self.hidden, self.reach];
        sizes.iter().all(|n| (1..=8_192).contains(n)) && self.layers <= 64 && self.width.is_multiple_of(self.heads)
    }
}

/// Where the parameters of a decoder lie in their slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    shape: Shape,
    layers: Vec<Layer>,
    last: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
struct Layer {
    gain_1: Range<usize>,
    /// Queries, keys and values: `[width, 3 · width]`.
    ask: Range<usize>,
    /// `[heads, reach]` a number for each distance.
    near: Range<usize>,
    out: Range<usize>,
    gain_2: Range<usize>,
    up: Range<usize>,
    up_bias: Range<usize>,
    down: Range<usize>,
}

/// A share of numbers set to zero while learning (Srivastava et al., "Dropout", 2014), in steps of 1/256.
#[derive(Debug)]
pub struct Dropout<'a, R> {
    /// The share.
    pub share: f32,
    /// What says which.
    pub stream: &'a mut R,
}

/// What was kept of some numbers: each is multiplied by it, on the way there and back.
#[derive(Debug, Default)]
pub struct Kept {
    marks: Vec<u8>,
    limit: u8,
    scale: f32,
}

impl<R: RngCore> Dropout<'_, R> {
    /// Drops some of `numbers`.
    pub fn drop(&mut self, numbers: &mut [f32]) -> Kept {
        let limit = (self.share * 256.0).round().clamp(0.0, 255.0) as u8;
        if limit == 0 {
            return Kept::default();
        }
        let mut marks = vec![0u8; numbers.len()];
        self.stream.fill(&mut marks[..]);
        let kept = Kept { marks, limit, scale: 256.0 / (256.0 - f32::from(limit)) };
        kept.apply(numbers);
        kept
    }
}

impl Kept {
    /// Drops the same numbers again.
    pub fn apply(&self, numbers: &mut [f32]) {
        for (x, mark) in numbers.iter_mut().zip(&self.marks) {
            *x *= if *mark < self.limit { 0.0 } else { self.scale };
        }
    }
}

/// Rows on their way through a decoder, kept for the way back.
#[derive(Debug)]
pub struct Pass {
    /// Rows of each window, in order.
    windows: Vec<usize>,
    layers: Vec<LayerPass>,
    last: Normal,
}

#[derive(Debug)]
struct LayerPass {
    normal_1: Normal,
    /// `[rows, 3 · width]`
    asked: Vec<f32>,
    /// For each window and head, `[rows of the window, rows of the window]`: whom each row attends to.
    odds: Vec<f32>,
    /// `[rows, width]` before `out`.
    mixed: Vec<f32>,
    kept_1: Kept,
    normal_2: Normal,
    /// `[rows, hidden]` before and after SiLU.
    before: Vec<f32>,
    after: Vec<f32>,
    kept_2: Kept,
}

impl Decoder {
    /// The layout of a decoder.
    pub fn new(shape: Shape) -> Decoder {
        let Shape { width, heads, hidden, reach, .. } = shape;
        let mut end = 0;
        let mut take = |count: usize| {
            end += count;
            end - count..end
        };
        let layers = (0..shape.layers).map(|_| Layer {
            gain_1: take(width),
            ask: take(width * 3 * width),
            near: take(heads * reach),
            out: take(width * width),
            gain_2: take(width),
            up: take(width * hidden),
            up_bias: take(hidden),
            down: take(hidden * width),
        });
        let layers = layers.collect();
        Decoder { shape, layers, last: take(width) }
    }

    /// How many parameters there are.
    pub fn parameters(&self) -> usize {
        self.last.end
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Writes first parameters: each matrix even around 0 with variance 1 / inputs, those that end a layer smaller.
    pub fn begin(&self, weights: &mut [f32], stream: &mut impl Rng) {
        weights.fill(0.0);
        let (width, hidden) = (self.shape.width as f32, self.shape.hidden as f32);
        let ends = 0.5 / self.shape.layers as f32;
        let mut spread = |weights: &mut [f32], variance: f32| {
            let most = (3.0 * variance).sqrt();
            weights.iter_mut().for_each(|w| *w = stream.random_range(-most..most));
        };
        for layer in &self.layers {
            weights[layer.gain_1.clone()].fill(1.0);
            weights[layer.gain_2.clone()].fill(1.0);
            spread(&mut weights[layer.ask.clone()], 1.0 / width);
            spread(&mut weights[layer.out.clone()], ends / width);
            spread(&mut weights[layer.up.clone()], 1.0 / width);
            spread(&mut weights[layer.down.clone()], ends / hidden);
        }
        weights[self.last.clone()].fill(1.0);
    }

    /// Passes rows forwards: `x` is `[rows, width]`, `windows` the numbers of rows that belong together.
    pub fn forward<R: RngCore>(
        &self,
        weights: &[f32],
        mut x: Vec<f32>,
        windows: &[usize],
        mut dropout: Option<Dropout<'_, R>>,
    ) -> Pass {
        let Shape { width, .. } = self.shape;
        let mut drop = |x: &mut [f32]| dropout.as_mut().map(|d| d.drop(x)).unwrap_or_default();
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let normal_1 = Normal::of(&x, &weights[layer.gain_1.clone()]);
            let asked = linear(&normal_1.values, &weights[layer.ask.clone()], width);
            let (mixed, odds) = self.attend(&asked, windows, &weights[layer.near.clone()]);
            let mut more = linear(&mixed, &weights[layer.out.clone()], width);
            let kept_1 = drop(&mut more);
            add(&mut x, &more);
            let normal_2 = Normal::of(&x, &weights[layer.gain_2.clone()]);
            let before = self.widened(&normal_2.values, layer, weights);
            let mut after = before.clone();
            silu(&mut after);
            let mut more = linear(&after, &weights[layer.down.clone()], self.shape.hidden);
            let kept_2 = drop(&mut more);
            add(&mut x, &more);
            layers.push(LayerPass { normal_1, asked, odds, mixed, kept_1, normal_2, before, after, kept_2 });
        }
        Pass { windows: windows.to_vec(), layers, last: Normal::of(&x, &weights[self.last.clone()]) }
    }

    fn widened(&self, x: &[f32], layer: &Layer, weights: &[f32]) -> Vec<f32> {
        let mut out = weights[layer.up_bias.clone()].repeat(x.len() / self.shape.width);
        let (x, up) = (rows(x, self.shape.width), rows(&weights[layer.up.clone()], self.shape.hidden));
        multiply_add(rows_mut(&mut out, self.shape.hidden), x, up);
        out
    }

    /// What every row hears, `[rows, width]`, and whom it listens to.
    fn attend(&self, asked: &[f32], windows: &[usize], near: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Shape { width, heads, reach, .. } = self.shape;
        let size = width / heads;
        let mut mixed = vec![0f32; asked.len() / 3];
        let mut odds = vec![0f32; windows.iter().map(|n| n * n * heads).sum()];
        let (mut start, mut rest) = (0, &mut odds[..]);
        for &n in windows {
            let asked = rows(&asked[start * 3 * width..][..n * 3 * width], 3 * width);
            let mut out = rows_mut(&mut mixed[start * width..][..n * width], width);
            for head in 0..heads {
                let part = |which: usize| asked.subcols(which * width + head * size, size);
                let (scores, others) = std::mem::take(&mut rest).split_at_mut(n * n);
                multiply(rows_mut(scores, n), part(0), part(1).transpose());
                listen(scores, n, &near[head * reach..][..reach], 1.0 / (size as f32).sqrt());
                multiply(out.as_mut().subcols_mut(head * size, size), rows(scores, n), part(2));
                rest = others;
            }
            start += n;
        }
        (mixed, odds)
    }
}

vectorized! {
    /// Scores as odds: row i listens to rows i − reach + 1 ..= i.
    fn listen<'a>(scores: &'a mut [f32], n: usize, near: &'a [f32], scale: f32) {
        for (i, scores) in scores.chunks_exact_mut(n).enumerate() {
            let first = (i + 1).saturating_sub(near.len());
            scores[..first].fill(0.0);
            scores[i + 1..].fill(0.0);
            let seen = &mut scores[first..=i];
            for (score, near) in seen.iter_mut().rev().zip(near) {
                *score = *score * scale + near;
            }
            softmax(seen);
        }
    }
}

vectorized! {
    /// x / (1 + e⁻ˣ), in place (Hendrycks & Gimpel, "Gaussian error linear units", 2016).
    pub fn silu<'a>(x: &'a mut [f32]) {
        for x in x.iter_mut() {
            *x /= 1.0 + exponential((-*x).min(80.0));
        }
    }
}

vectorized! {
    /// Multiplies slopes by the slope of SiLU at `before`.
    pub fn silu_back<'a>(slope: &'a mut [f32], before: &'a [f32]) {
        for (slope, x) in slope.iter_mut().zip(before) {
            let gate = 1.0 / (1.0 + exponential((-x).min(80.0)));
            *slope *= gate * (1.0 + x * (1.0 - gate));
        }
    }
}

impl Pass {
    /// States after the last norm, `[rows, width]`.
    pub fn states(&self) -> &[f32] {
        &self.last.values
    }

    /// The way back: `slope` is that of the states; adds to `gradient`, answers the slope of the rows that came in.
    pub fn back(&self, decoder: &Decoder, weights: &[f32], slope: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let Shape { width, hidden, .. } = decoder.shape;
        let mut x = vec![0f32; slope.len()];
        self.last.back(slope, &weights[decoder.last.clone()], &mut x, &mut gradient[decoder.last.clone()]);
        for (layer, pass) in decoder.layers.iter().zip(&self.layers).rev() {
            let mut more = x.clone();
            pass.kept_2.apply(&mut more);
            let (down, place) = (&weights[layer.down.clone()], layer.down.clone());
            let mut inner = linear_back(&pass.after, down, hidden, &more, &mut gradient[place]);
            silu_back(&mut inner, &pass.before);
            inner.chunks_exact(hidden).for_each(|row| add(&mut gradient[layer.up_bias.clone()], row));
            let (up, place) = (&weights[layer.up.clone()], layer.up.clone());
            let inner = linear_back(&pass.normal_2.values, up, width, &inner, &mut gradient[place]);
            let gain = &weights[layer.gain_2.clone()];
            pass.normal_2.back(&inner, gain, &mut x, &mut gradient[layer.gain_2.clone()]);

            let mut more = x.clone();
            pass.kept_1.apply(&mut more);
            let (out, place) = (&weights[layer.out.clone()], layer.out.clone());
            let mixed = linear_back(&pass.mixed, out, width, &more, &mut gradient[place]);
            let asked = self.attend_back(decoder, pass, &mixed, &mut gradient[layer.near.clone()]);
            let (ask, place) = (&weights[layer.ask.clone()], layer.ask.clone());
            let inner = linear_back(&pass.normal_1.values, ask, width, &asked, &mut gradient[place]);
            let gain = &weights[layer.gain_1.clone()];
            pass.normal_1.back(&inner, gain, &mut x, &mut gradient[layer.gain_1.clone()]);
        }
        x
    }

    /// The slope of queries, keys and values, `[rows, 3 · width]`; `slope` is that of what was heard.
    fn attend_back(&self, decoder: &Decoder, pass: &LayerPass, slope: &[f32], near: &mut [f32]) -> Vec<f32> {
        let Shape { width, heads, reach, .. } = decoder.shape;
        let size = width / heads;
        let scale = 1.0 / (size as f32).sqrt();
        let mut back = vec![0f32; pass.asked.len()];
        let (mut start, mut odds) = (0, &pass.odds[..]);
        let mut scores = Vec::new();
        for &n in &self.windows {
            let asked = rows(&pass.asked[start * 3 * width..][..n * 3 * width], 3 * width);
            let slope = rows(&slope[start * width..][..n * width], width);
            let mut back = rows_mut(&mut back[start * 3 * width..][..n * 3 * width], 3 * width);
            for head in 0..heads {
                let part = |which: usize| which * width + head * size;
                let (own, others) = odds.split_at(n * n);
                odds = others;
                let slope = slope.subcols(head * size, size);
                scores.resize(n * n, 0.0);
                multiply(rows_mut(&mut scores, n), slope, asked.subcols(part(2), size).transpose());
                listen_back(&mut scores, own, n, &mut near[head * reach..][..reach]);
                let own = rows(own, n).transpose();
                multiply(back.as_mut().subcols_mut(part(2), size), own, slope);
                scores.iter_mut().for_each(|s| *s *= scale);
                let scores = rows(&scores, n);
                multiply(back.as_mut().subcols_mut(part(0), size), scores, asked.subcols(part(1), size));
                multiply(back.as_mut().subcols_mut(part(1), size), scores.transpose(), asked.subcols(part(0), size));
            }
            start += n;
        }
        back
    }
}

vectorized! {
    /// Slopes of odds as slopes of scores; adds those of the distances to `near`.
    fn listen_back<'a>(slopes: &'a mut [f32], odds: &'a [f32], n: usize, near: &'a mut [f32]) {
        for (i, (slopes, odds)) in slopes.chunks_exact_mut(n).zip(odds.chunks_exact(n)).enumerate() {
            let first = (i + 1).saturating_sub(near.len());
            slopes[..first].fill(0.0);
            slopes[i + 1..].fill(0.0);
            let (slopes, odds) = (&mut slopes[first..=i], &odds[first..=i]);
            let mean = dot(slopes, odds);
            for (slope, odds) in slopes.iter_mut().zip(odds) {
                *slope = odds * (*slope - mean);
            }
            for (near, slope) in near.iter_mut().zip(slopes.iter().rev()) {
                *near += slope;
            }
        }
    }
}

/// Keys that lie side by side for each number of theirs, so that as many are asked at once.
const TOGETHER: usize = 8;

impl Shape {
    /// Numbers that the keys of one row's past take.
    fn keys(self) -> usize {
        self.reach.next_multiple_of(TOGETHER) * self.width
    }

    /// Numbers that a row's past takes in one layer.
    fn remembered(self) -> usize {
        self.keys() + self.reach * self.width
    }
}

/// What rows that go on row by row remember: keys and values of the last `reach` steps.
#[derive(Debug, Clone)]
pub struct Cache {
    shape: Shape,
    /// For each layer and row, `[reach / TOGETHER, width, TOGETHER]` keys and `[reach, width]` values in
    /// [`brief`](crate::brief) numbers, the oldest overwritten first.
    memory: Vec<Vec<u16>>,
    rows: usize,
    steps: usize,
}

impl Cache {
    /// Nothing remembered yet, of `rows` rows.
    pub fn new(shape: Shape, rows: usize) -> Cache {
        Cache { shape, memory: vec![vec![0; rows * shape.remembered()]; shape.layers], rows, steps: 0 }
    }

    /// Forgets all rows but these, which are in ascending order.
    pub fn keep(&mut self, rows: &[usize]) {
        let size = self.shape.remembered();
        for memory in &mut self.memory {
            for (to, from) in rows.iter().enumerate() {
                memory.copy_within(from * size..(from + 1) * size, to * size);
            }
            memory.truncate(rows.len() * size);
        }
        self.rows = rows.len();
    }
}

impl Decoder {
    /// The next row of every sequence: `x` is `[rows, width]`, the answer the states after the last norm. What
    /// [`Decoder::forward`] answers for whole sequences, without dropout, but for what is left out of keys and values.
    pub fn step(&self, weights: &[f32], mut x: Vec<f32>, cache: &mut Cache) -> Vec<f32> {
        let width = self.shape.width;
        let place = cache.steps % self.shape.reach;
        for (layer, memory) in self.layers.iter().zip(&mut cache.memory) {
            let normal = Normal::of(&x, &weights[layer.gain_1.clone()]).values;
            let asked = linear(&normal, &weights[layer.ask.clone()], width);
            let mut mixed = vec![0f32; x.len()];
            let states = asked.chunks_exact(3 * width).zip(mixed.chunks_exact_mut(width));
            for ((asked, mixed), memory) in states.zip(memory.chunks_exact_mut(self.shape.remembered())) {
                let (keys, values) = memory.split_at_mut(self.shape.keys());
                let block = &mut keys[place / TOGETHER * width * TOGETHER..][..width * TOGETHER];
                let new_keys = block.iter_mut().skip(place % TOGETHER).step_by(TOGETHER);
                new_keys.zip(&asked[width..2 * width]).for_each(|(key, new)| *key = shortened(*new));
                let new_values = asked[2 * width..].iter();
                values[place * width..].iter_mut().zip(new_values).for_each(|(value, new)| *value = shortened(*new));
                recall(self.shape, &asked[..width], memory, cache.steps, &weights[layer.near.clone()], mixed);
            }
            add(&mut x, &linear(&mixed, &weights[layer.out.clone()], width));
            let normal = Normal::of(&x, &weights[layer.gain_2.clone()]).values;
            let mut inner = self.widened(&normal, layer, weights);
            silu(&mut inner);
            add(&mut x, &linear(&inner, &weights[layer.down.clone()], self.shape.hidden));
        }
        cache.steps += 1;
        Normal::of(&x, &weights[self.last.clone()]).values
    }
}

vectorized! {
    /// What one row hears of its own past, step `step` included; `memory` is as in [`Cache`].
    fn recall<'a>(shape: Shape, query: &'a [f32], memory: &'a [u16], step: usize, near: &'a [f32], mixed: &'a mut [f32]) {
        let Shape { width, heads, reach, .. } = shape;
        let size = width / heads;
        let scale = 1.0 / (size as f32).sqrt();
        let (now, seen) = (step % reach, (step + 1).min(reach));
        let (keys, values) = memory.split_at(shape.keys());
        let mut odds = vec![0f32; seen.next_multiple_of(TOGETHER)];
        for head in 0..heads {
            let place = head * size;
            let blocks = keys.chunks_exact(width * TOGETHER);
            for (odds, keys) in odds.as_chunks_mut::<TOGETHER>().0.iter_mut().zip(blocks) {
                let mut sums = [0f32; TOGETHER];
                let keys = &keys.as_chunks::<TOGETHER>().0[place..place + size];
                for (query, keys) in query[place..place + size].iter().zip(keys) {
                    sums.iter_mut().zip(keys).for_each(|(sum, key)| *sum = lengthened(*key).mul_add(*query, *sum));
                }
                *odds = sums;
            }
            // Places up to now are of the last steps, those after it of the steps before.
            let near = &near[head * reach..][..reach];
            let (late, early) = odds[..seen].split_at_mut(now + 1);
            let with_late = late.iter_mut().rev().zip(near);
            let with_early = early.iter_mut().rev().zip(&near[now + 1..]);
            with_late.chain(with_early).for_each(|(odds, near)| *odds = *odds * scale + near);
            softmax(&mut odds[..seen]);
            let (values, mixed) = (&values[place..], &mut mixed[place..place + size]);
            match size {
                8 => mix::<1>(&odds[..seen], values, width, mixed),
                16 => mix::<2>(&odds[..seen], values, width, mixed),
                32 => mix::<4>(&odds[..seen], values, width, mixed),
                40 => mix::<5>(&odds[..seen], values, width, mixed),
                _ => {
                    for (odds, values) in odds[..seen].iter().zip(values.chunks(width)) {
                        mixed.iter_mut().zip(values).for_each(|(mixed, value)| *mixed += odds * lengthened(*value));
                    }
                }
            }
        }
    }
}

/// Adds rows of `values`, each `width` further, times their odds: so many vectors of eight, which stay in registers.
#[inline(always)]
fn mix<const VECTORS: usize>(odds: &[f32], values: &[u16], width: usize, mixed: &mut [f32]) {
    let mut sums = [[0f32; 8]; VECTORS];
    for (odds, values) in odds.iter().zip(values.chunks(width)) {
        let Some(values) = values.as_chunks::<8>().0.first_chunk::<VECTORS>() else { break };
        for (sums, values) in sums.iter_mut().zip(values) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = lengthened(*value).mul_add(*odds, *sum));
        }
    }
    add(mixed, sums.as_flattened());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng as StdRng;

    const SHAPE: Shape = Shape { width: 8, heads: 2, layers: 2, hidden: 12, reach: 4 };

    fn begun() -> (Decoder, Vec<f32>) {
        begun_as(SHAPE)
    }

    fn begun_as(shape: Shape) -> (Decoder, Vec<f32>) {
        let decoder = Decoder::new(shape);
        let mut weights = vec![0f32; decoder.parameters()];
        let mut stream = StdRng::seed_from_u64(1);
        decoder.begin(&mut weights, &mut stream);
        // Gains, biases and distances are no constants.
        weights.iter_mut().for_each(|w| *w += stream.random_range(-0.2..0.2));
        (decoder, weights)
    }

    fn inputs(rows: usize) -> Vec<f32> {
        let mut stream = StdRng::seed_from_u64(2);
        (0..rows * SHAPE.width).map(|_| stream.random_range(-1.0..1.0)).collect()
    }

    fn states(decoder: &Decoder, weights: &[f32], x: &[f32], windows: &[usize]) -> Vec<f32> {
        decoder.forward(weights, x.to_vec(), windows, None::<Dropout<StdRng>>).states().to_vec()
    }

    /// A loss with a different slope everywhere.
    fn loss(states: &[f32]) -> f64 {
        states.iter().enumerate().map(|(i, s)| f64::from(*s) * ((i % 7) as f64 - 2.5)).sum()
    }

    #[test]
    fn gradients_are_the_differences_of_the_loss() {
        let (decoder, weights) = begun();
        let (x, windows) = (inputs(11), [7, 4]);
        // Dropped numbers stay the same from one pass to the next.
        let run = |weights: &[f32], x: &[f32]| {
            let mut stream = StdRng::seed_from_u64(3);
            decoder.forward(weights, x.to_vec(), &windows, Some(Dropout { share: 0.25, stream: &mut stream }))
        };
        let pass = run(&weights, &x);
        let slope: Vec<f32> = (0..pass.states().len()).map(|i| (i % 7) as f32 - 2.5).collect();
        let mut gradient = vec![0f32; weights.len()];
        let back = pass.back(&decoder, &weights, &slope, &mut gradient);
        let change = 1e-2;
        let difference = |numbers: &[f32], i: usize, of: &dyn Fn(&[f32]) -> f64| {
            let moved = |by: f32| {
                let mut numbers = numbers.to_vec();
                numbers[i] += by;
                of(&numbers)
            };
            (moved(change) - moved(-change)) / f64::from(2.0 * change)
        };
        let near = |found: f32, expected: f64| (f64::from(found) - expected).abs() < 0.03 + 0.01 * expected.abs();
        for (i, found) in gradient.iter().enumerate() {
            assert!(near(*found, difference(&weights, i, &|w| loss(run(w, &x).states()))), "weight {i}");
        }
        for (i, found) in back.iter().enumerate() {
            assert!(near(*found, difference(&x, i, &|x| loss(run(&weights, x).states()))), "input {i}");
        }
    }

    #[test]
    fn rows_hear_only_the_past_within_reach_and_their_own_window() {
        let (decoder, weights) = begun();
        let (x, windows) = (inputs(12), [9, 3]);
        let before = states(&decoder, &weights, &x, &windows);
        for changed in 0..12 {
            let mut x = x.clone();
            x[changed * SHAPE.width] += 1.0;
            let after = states(&decoder, &weights, &x, &windows);
            for row in 0..12 {
                let differs = before[row * 8..][..8] != after[row * 8..][..8];
                let same_window = (row < 9) == (changed < 9);
                // Two layers reach twice as far.
                let hears = same_window && row >= changed && row - changed <= 2 * (SHAPE.reach - 1);
                assert_eq!(differs, hears, "row {row} of {changed}");
            }
        }
    }

    #[test]
    fn row_by_row_is_the_same_as_all_at_once() {
        let of_vectors = [1, 2, 4, 5].map(|vectors| Shape { width: 16 * vectors, reach: 11, ..SHAPE });
        for shape in of_vectors.into_iter().chain([SHAPE, Shape { reach: 8, ..SHAPE }]) {
            steps_are_the_same_as_all_at_once(shape);
        }
    }

    fn steps_are_the_same_as_all_at_once(shape: Shape) {
        const ROWS: usize = 25;
        let width = shape.width;
        let (decoder, weights) = begun_as(shape);
        let mut stream = StdRng::seed_from_u64(2);
        let x: Vec<f32> = (0..3 * ROWS * width).map(|_| stream.random_range(-1.0..1.0)).collect();
        let expected = states(&decoder, &weights, &x, &[ROWS; 3]);
        let mut cache = Cache::new(shape, 3);
        let mut alive = vec![0, 1, 2];
        for step in 0..ROWS {
            if step == 5 {
                cache.keep(&[0, 2]);
                alive = vec![0, 2];
            }
            let row = |sequence: usize| (sequence * ROWS + step) * width..(sequence * ROWS + step + 1) * width;
            let next = alive.iter().flat_map(|s| x[row(*s)].to_vec()).collect();
            let found = decoder.step(&weights, next, &mut cache);
            for (found, sequence) in found.chunks_exact(width).zip(&alive) {
                // Keys and values are remembered to a relative error of 2⁻⁸.
                let off = found.iter().zip(&expected[row(*sequence)]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 0.02, "{shape:?}, step {step}: {off}");
            }
        }
    }

    #[test]
    fn dropout_keeps_the_mean_and_drops_its_share() {
        let mut numbers = vec![1f32; 100_000];
        let mut stream = StdRng::seed_from_u64(4);
        let kept = Dropout { share: 0.2, stream: &mut stream }.drop(&mut numbers);
        let dropped = numbers.iter().filter(|x| **x == 0.0).count();
        assert!((dropped as f64 / 1e5 - 51.0 / 256.0).abs() < 0.005);
        assert!((numbers.iter().sum::<f32>() / 1e5 - 1.0).abs() < 0.01);
        let mut again = vec![1f32; 100_000];
        kept.apply(&mut again);
        assert_eq!(again, numbers);
    }
}
