//! One pass through the network, forwards and back.
//!
//! A row's state is the sum of the embeddings of its known nodes and of "not known" for every other sub-column. Each
//! block adds `narrow · silu(widen · norm(state))`, a residual block (He et al., "Identity mappings in deep residual
//! networks", 2016) with root-mean-square norm (Zhang & Sennrich, "Root mean square layer normalization", 2019) and SiLU
//! (Hendrycks & Gimpel, "Gaussian error linear units", 2016). A head scores the codes of its sub-column:
//! `weights · norm(state) + bias[node above]`, softmax over the codes that the node allows.

use super::layout::{Head, Layout};
use super::matrix::{multiply_add, outer_add};
use pulp::{Simd, WithSimd};
use twinmart_nets::exponential::{exponential, softmax};

/// What one row asks of one head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Question {
    /// Row within the pass.
    pub row: usize,
    /// Node reached above.
    pub above: u32,
    /// Codes that it allows.
    pub members: u32,
    /// The true code.
    pub code: u32,
    /// Weight of its loss.
    pub weight: f32,
}

/// The states of some rows, kept for the way back.
#[derive(Debug)]
pub(super) struct Pass {
    blocks: Vec<BlockPass>,
    /// Normalised states after the last block: `[rows][width]`.
    last: Normal,
}

#[derive(Debug)]
struct BlockPass {
    input: Normal,
    /// Before and after SiLU: `[rows][hidden]`.
    before: Vec<f32>,
    after: Vec<f32>,
}

/// Rows divided by their root mean square.
#[derive(Debug)]
struct Normal {
    values: Vec<f32>,
    /// What each row was multiplied by.
    scales: Vec<f32>,
}

impl Pass {
    /// Passes rows forwards; `inputs` is `[rows][sub_columns]`, rows of the embeddings.
    pub(super) fn forward(layout: &Layout, weights: &[f32], inputs: &[u32]) -> Pass {
        let shape = layout.shape;
        let sub_columns = layout.heads.len();
        let rows = inputs.len() / sub_columns;
        let mut state = vec![0f32; rows * shape.width];
        for (state, inputs) in state.chunks_exact_mut(shape.width).zip(inputs.chunks_exact(sub_columns)) {
            for input in inputs {
                add(state, &weights[*input as usize * shape.width..][..shape.width]);
            }
        }
        let mut blocks = Vec::with_capacity(layout.blocks.len());
        for block in &layout.blocks {
            let input = Normal::of(&state, shape.width);
            let mut before = weights[block.widen_bias.clone()].repeat(rows);
            multiply_add(&input.values, shape.width, &weights[block.widen.clone()], &mut before);
            let after = silu(&before);
            for state in state.chunks_exact_mut(shape.width) {
                add(state, &weights[block.narrow_bias.clone()]);
            }
            multiply_add(&after, shape.hidden, &weights[block.narrow.clone()], &mut state);
            blocks.push(BlockPass { input, before, after });
        }
        Pass { blocks, last: Normal::of(&state, shape.width) }
    }

    /// Probabilities of the codes, `[questions][outputs]`; 0 where a node does not allow a code.
    pub(super) fn probabilities(&self, width: usize, head: &Head, weights: &[f32], questions: &[Question]) -> Vec<f32> {
        let last = self.gather(width, questions);
        let bias = &weights[head.bias.clone()];
        let mut scores = Vec::with_capacity(questions.len() * head.outputs);
        for q in questions {
            scores.extend_from_slice(&bias[q.above as usize * head.outputs..][..head.outputs]);
        }
        multiply_add(&last, width, &weights[head.weights.clone()], &mut scores);
        pulp::Arch::new().dispatch(Softmax { scores: &mut scores, outputs: head.outputs, questions });
        scores
    }

    fn gather(&self, width: usize, questions: &[Question]) -> Vec<f32> {
        let rows = questions.iter().flat_map(|q| &self.last.values[q.row * width..][..width]);
        rows.copied().collect()
    }

    /// Adds the gradient of the weighted loss, minus the log probability of the true codes, to `gradient`; the answer is
    /// that loss. `questions` are by sub-column, `transposed` has every matrix transposed in its place.
    pub(super) fn back(
        &self,
        layout: &Layout,
        weights: &[f32],
        transposed: &[f32],
        questions: &[Vec<Question>],
        inputs: &[u32],
        gradient: &mut [f32],
    ) -> f64 {
        let width = layout.shape.width;
        let mut slope = vec![0f32; self.last.values.len()];
        let mut loss = 0.0;
        for (head, questions) in layout.heads.iter().zip(questions) {
            loss += self.back_head(width, head, weights, transposed, questions, &mut slope, gradient);
        }
        let mut state = vec![0f32; slope.len()];
        self.last.back(&slope, width, &mut state);
        for (block, pass) in layout.blocks.iter().zip(&self.blocks).rev() {
            sum_rows(&state, &mut gradient[block.narrow_bias.clone()]);
            outer_add(&pass.after, layout.shape.hidden, &state, width, &mut gradient[block.narrow.clone()]);
            let mut inner = vec![0f32; pass.after.len()];
            multiply_add(&state, width, &transposed[block.narrow.clone()], &mut inner);
            silu_back(&pass.before, &mut inner);
            sum_rows(&inner, &mut gradient[block.widen_bias.clone()]);
            outer_add(&pass.input.values, width, &inner, layout.shape.hidden, &mut gradient[block.widen.clone()]);
            slope.fill(0.0);
            multiply_add(&inner, layout.shape.hidden, &transposed[block.widen.clone()], &mut slope);
            pass.input.back(&slope, width, &mut state);
        }
        for (state, inputs) in state.chunks_exact(width).zip(inputs.chunks_exact(layout.heads.len())) {
            for input in inputs {
                add(&mut gradient[*input as usize * width..][..width], state);
            }
        }
        loss
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one pass")]
    fn back_head(
        &self,
        width: usize,
        head: &Head,
        weights: &[f32],
        transposed: &[f32],
        questions: &[Question],
        slope: &mut [f32],
        gradient: &mut [f32],
    ) -> f64 {
        if questions.is_empty() {
            return 0.0;
        }
        let mut scores = self.probabilities(width, head, weights, questions);
        let mut loss = 0.0;
        let bias = &mut gradient[head.bias.clone()];
        for (p, q) in scores.chunks_exact_mut(head.outputs).zip(questions) {
            loss -= f64::from(q.weight) * f64::from(p[q.code as usize].max(1e-30)).ln();
            p[q.code as usize] -= 1.0;
            p.iter_mut().for_each(|p| *p *= q.weight);
            add(&mut bias[q.above as usize * head.outputs..][..head.outputs], p);
        }
        let last = self.gather(width, questions);
        outer_add(&last, width, &scores, head.outputs, &mut gradient[head.weights.clone()]);
        let mut back = vec![0f32; last.len()];
        multiply_add(&scores, head.outputs, &transposed[head.weights.clone()], &mut back);
        for (back, q) in back.chunks_exact(width).zip(questions) {
            add(&mut slope[q.row * width..][..width], back);
        }
        loss
    }
}

impl Normal {
    fn of(state: &[f32], width: usize) -> Normal {
        let mut values = state.to_vec();
        let scales = values.chunks_exact_mut(width).map(|row| {
            let scale = 1.0 / (dot(row, row) / width as f32 + 1e-6).sqrt();
            row.iter_mut().for_each(|x| *x *= scale);
            scale
        });
        Normal { scales: scales.collect(), values }
    }

    /// Adds the slope at the rows to `out`, given that at the normalised rows.
    fn back(&self, slope: &[f32], width: usize, out: &mut [f32]) {
        let rows = self.values.chunks_exact(width).zip(slope.chunks_exact(width)).zip(&self.scales);
        for (((value, slope), scale), out) in rows.zip(out.chunks_exact_mut(width)) {
            let along = dot(value, slope) / width as f32;
            for ((out, slope), value) in out.iter_mut().zip(slope).zip(value) {
                *out += scale * (slope - value * along);
            }
        }
    }
}

/// Scalar product, in sixteen partial sums: vector instructions, and the same bits everywhere.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut partial = [0f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for ((sum, a), b) in partial.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    partial.iter().sum()
}

fn add(to: &mut [f32], what: &[f32]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}

fn sum_rows(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        add(sums, row);
    }
}

fn silu(x: &[f32]) -> Vec<f32> {
    let mut y = x.to_vec();
    pulp::Arch::new().dispatch(Silu { y: &mut y });
    y
}

/// Multiplies `slope` by the derivative of SiLU at `x`.
fn silu_back(x: &[f32], slope: &mut [f32]) {
    pulp::Arch::new().dispatch(SiluBack { x, slope });
}

struct Silu<'a> {
    y: &'a mut [f32],
}

impl WithSimd for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for y in self.y {
            *y /= 1.0 + exponential((-*y).min(80.0));
        }
    }
}

struct SiluBack<'a> {
    x: &'a [f32],
    slope: &'a mut [f32],
}

impl WithSimd for SiluBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (slope, x) in self.slope.iter_mut().zip(self.x) {
            let s = 1.0 / (1.0 + exponential((-*x).min(80.0)));
            *slope *= s * (1.0 + x * (1.0 - s));
        }
    }
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    outputs: usize,
    questions: &'a [Question],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (scores, q) in self.scores.chunks_exact_mut(self.outputs).zip(self.questions) {
            softmax(&mut scores[..q.members as usize]);
            scores[q.members as usize..].fill(0.0);
        }
    }
}
