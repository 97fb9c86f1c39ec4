//! Products of matrices, in loops that compile to vector instructions.
//!
//! A matrix of rows is stored by row: `[rows][width]`. Weights are stored in panels of [`LANES`] outputs:
//! `[outputs / LANES][inputs][LANES]`. Every sum runs over its terms in order, whatever the number of rows or threads,
//! and `mul_add` rounds once on every machine: the same bits everywhere.

/// Outputs of one panel of weights; every width is a multiple of it.
pub(crate) const LANES: usize = 16;

/// Rows (or inputs) that one pass over a panel serves: as many sums as fit into 16 vector registers.
const TILE: usize = 4;

/// `out[row][o] += Σ_i x[row][i] · weights[i][o]`; `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
pub(crate) fn multiply_add(x: &[f32], inputs: usize, weights: &[f32], out: &mut [f32]) {
    pulp::Arch::new().dispatch(MultiplyAdd { x, inputs, weights, out });
}

/// A type and not a closure: a closure of this size is not inlined into the code for the machine's vector instructions.
struct MultiplyAdd<'a> {
    x: &'a [f32],
    inputs: usize,
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::WithSimd for MultiplyAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let MultiplyAdd { x, inputs, weights, out } = self;
        let outputs = weights.len() / inputs;
        for (panel, weights) in weights.chunks_exact(inputs * LANES).enumerate() {
            let weights = weights.as_chunks::<LANES>().0;
            let mut x = x.chunks_exact(TILE * inputs);
            let mut out = out.chunks_exact_mut(TILE * outputs);
            for (x, out) in (&mut x).zip(&mut out) {
                four_rows(x, weights, out, panel * LANES);
            }
            let rest = out.into_remainder().chunks_exact_mut(outputs);
            for (x, out) in x.remainder().chunks_exact(inputs).zip(rest) {
                one_row(x, weights, &mut out[panel * LANES..]);
            }
        }
    }
}

#[inline(always)]
fn four_rows(x: &[f32], weights: &[[f32; LANES]], out: &mut [f32], at: usize) {
    let (inputs, outputs) = (x.len() / TILE, out.len() / TILE);
    let mut sums = [[0f32; LANES]; TILE];
    for (sums, out) in sums.iter_mut().zip(out.chunks_exact(outputs)) {
        sums.copy_from_slice(&out[at..at + LANES]);
    }
    let (x0, rest) = x.split_at(inputs);
    let (x1, rest) = rest.split_at(inputs);
    let (x2, x3) = rest.split_at(inputs);
    for ((((w, a), b), c), d) in weights.iter().zip(x0).zip(x1).zip(x2).zip(x3) {
        accumulate(&mut sums, w, [*a, *b, *c, *d]);
    }
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(outputs)) {
        out[at..at + LANES].copy_from_slice(sums);
    }
}

#[inline(always)]
fn one_row(x: &[f32], weights: &[[f32; LANES]], out: &mut [f32]) {
    let mut sums = [0f32; LANES];
    sums.copy_from_slice(&out[..LANES]);
    for (w, x) in weights.iter().zip(x) {
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = x.mul_add(*w, *sum);
        }
    }
    out[..LANES].copy_from_slice(&sums);
}

#[inline(always)]
fn accumulate(sums: &mut [[f32; LANES]; TILE], w: &[f32; LANES], x: [f32; TILE]) {
    for (sums, x) in sums.iter_mut().zip(x) {
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = x.mul_add(*w, *sum);
        }
    }
}

/// `gradient[i][o] += Σ_row x[row][i] · slope[row][o]`, in panels; `inputs` is a multiple of [`LANES`].
pub(super) fn outer_add(x: &[f32], inputs: usize, slope: &[f32], outputs: usize, gradient: &mut [f32]) {
    let rows = x.len() / inputs;
    let x = in_strips::<TILE>(x, inputs);
    let slope = in_strips::<LANES>(slope, outputs);
    pulp::Arch::new().dispatch(OuterAdd { x: &x, slope: &slope, rows, inputs, gradient });
}

struct OuterAdd<'a> {
    x: &'a [[f32; TILE]],
    slope: &'a [[f32; LANES]],
    rows: usize,
    inputs: usize,
    gradient: &'a mut [f32],
}

impl pulp::WithSimd for OuterAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let OuterAdd { x, slope, rows, inputs, gradient } = self;
        for (slope, gradient) in slope.chunks_exact(rows).zip(gradient.chunks_exact_mut(inputs * LANES)) {
            for (x, gradient) in x.chunks_exact(rows).zip(gradient.as_chunks_mut::<LANES>().0.chunks_exact_mut(TILE)) {
                let mut sums = [[0f32; LANES]; TILE];
                for (x, slope) in x.iter().zip(slope) {
                    accumulate(&mut sums, slope, *x);
                }
                for (gradient, sums) in gradient.iter_mut().zip(&sums) {
                    for (gradient, sum) in gradient.iter_mut().zip(sums) {
                        *gradient += sum;
                    }
                }
            }
        }
    }
}

/// `[rows][width]` as `[width / N][rows][N]`.
fn in_strips<const N: usize>(x: &[f32], width: usize) -> Vec<[f32; N]> {
    let rows = x.len() / width;
    let mut strips = vec![[0f32; N]; width / N * rows];
    for (row, x) in x.chunks_exact(width).enumerate() {
        for (strip, x) in x.as_chunks::<N>().0.iter().enumerate() {
            strips[strip * rows + row] = *x;
        }
    }
    strips
}

/// Weights `[outputs / LANES][inputs][LANES]` as those of the transposed matrix, `[inputs / LANES][outputs][LANES]`.
pub(super) fn transpose(weights: &[f32], inputs: usize, out: &mut [f32]) {
    let outputs = weights.len() / inputs;
    let out = out.as_chunks_mut::<LANES>().0;
    for (panel, weights) in weights.chunks_exact(inputs * LANES).enumerate() {
        for (input, weights) in weights.as_chunks::<LANES>().0.iter().enumerate() {
            let start = input / LANES * outputs + panel * LANES;
            for (out, w) in out[start..start + LANES].iter_mut().zip(weights) {
                out[input % LANES] = *w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) % 1000) as f32 * 0.002 - 1.0)
            .collect()
    }

    /// Element (input, output) of weights in panels.
    fn element(weights: &[f32], inputs: usize, i: usize, o: usize) -> f32 {
        weights[(o / LANES * inputs + i) * LANES + o % LANES]
    }

    #[test]
    fn products_agree_with_the_definition() {
        let (rows, inputs, outputs) = (7, 32, 48);
        let (x, weights) = (numbers(rows * inputs, 1), numbers(inputs * outputs, 2));
        let mut out = vec![0.5; rows * outputs];
        multiply_add(&x, inputs, &weights, &mut out);
        let mut gradient = vec![0.25; inputs * outputs];
        outer_add(&x, inputs, &out, outputs, &mut gradient);
        let mut transposed = vec![0.0; weights.len()];
        transpose(&weights, inputs, &mut transposed);
        for o in 0..outputs {
            for row in 0..rows {
                let sum: f32 = (0..inputs).map(|i| x[row * inputs + i] * element(&weights, inputs, i, o)).sum();
                assert!((out[row * outputs + o] - 0.5 - sum).abs() < 1e-4);
            }
            for i in 0..inputs {
                let sum: f32 = (0..rows).map(|row| x[row * inputs + i] * out[row * outputs + o]).sum();
                assert!((element(&gradient, inputs, i, o) - 0.25 - sum).abs() < 1e-4);
                assert_eq!(element(&transposed, outputs, o, i), element(&weights, inputs, i, o));
            }
        }
    }
}
