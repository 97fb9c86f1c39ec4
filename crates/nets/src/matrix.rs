//! Products of matrices stored row by row, on one thread.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A matrix of `columns` columns in a slice.
pub fn rows(numbers: &[f32], columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(numbers, numbers.len() / columns.max(1), columns)
}

/// As [`rows`], to write into.
pub fn rows_mut(numbers: &mut [f32], columns: usize) -> MatMut<'_, f32> {
    let count = numbers.len() / columns.max(1);
    MatMut::from_row_major_slice_mut(numbers, count, columns)
}

/// `out = a · b`.
pub fn multiply(out: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(out, Accum::Replace, a, b, 1.0, Par::Seq);
}

/// `out += a · b`.
pub fn multiply_add(out: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(out, Accum::Add, a, b, 1.0, Par::Seq);
}

/// `x · weights`, `[rows, outputs]`, of rows `[rows, inputs]` and weights `[inputs, outputs]`.
pub fn linear(x: &[f32], weights: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = weights.len() / inputs;
    let mut out = vec![0f32; x.len() / inputs * outputs];
    multiply(rows_mut(&mut out, outputs), rows(x, inputs), rows(weights, outputs));
    out
}

/// The way back of [`linear`]: adds to the gradient of the weights, answers the slope of `x`, `[rows, inputs]`.
pub fn linear_back(x: &[f32], weights: &[f32], inputs: usize, slope: &[f32], gradient: &mut [f32]) -> Vec<f32> {
    let outputs = weights.len() / inputs;
    multiply_add(rows_mut(gradient, outputs), rows(x, inputs).transpose(), rows(slope, outputs));
    let mut back = vec![0f32; x.len()];
    multiply(rows_mut(&mut back, inputs), rows(slope, outputs), rows(weights, outputs).transpose());
    back
}

/// Adds `b` to `a`, number by number.
pub fn add(a: &mut [f32], b: &[f32]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}

/// The sum of products of two rows, in eight partial sums.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut sums = [0f32; 8];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += a * b);
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}
