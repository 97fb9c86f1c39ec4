//! Products of matrices stored row by row, on one thread.

use crate::brief::unpacked;
use crate::vectorized;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Simd;

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

vectorized! {
    /// Adds to `out` the products of `x` with some rows of a table, `[rows, width]`.
    pub fn add_products<'a>(simd; out: &'a mut [f32], x: &'a [f32], table: &'a [f32], places: &'a [u32]) {
        for (out, place) in out.iter_mut().zip(places) {
            *out += product(simd, x, &table[*place as usize * x.len()..][..x.len()]);
        }
    }
}

vectorized! {
    /// As [`add_products`], with a table of [`packed`](crate::brief::packed) rows; `x` is of even length.
    pub fn add_packed_products<'a>(simd; out: &'a mut [f32], x: &'a [f32], table: &'a [u32], places: &'a [u32]) {
        let half = x.len() / 2;
        for (out, place) in out.iter_mut().zip(places) {
            *out += packed_product(simd, x, &table[*place as usize * half..][..half]);
        }
    }
}

/// The sum of products of two rows, in instructions of this processor: compilers take sums of fixed order apart.
#[inline(always)]
pub fn product<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, rest_a), (b, rest_b)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
    let mut sums = [simd.splat_f32s(0.0); 2];
    for (a, b) in a.iter().zip(b) {
        sums = [simd.mul_add_f32s(a[0], b[0], sums[0]), simd.mul_add_f32s(a[1], b[1], sums[1])];
    }
    for (a, b) in last_a.iter().zip(last_b) {
        sums[0] = simd.mul_add_f32s(*a, *b, sums[0]);
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1])) + rest
}

/// As [`product`], of a row and a packed one.
#[inline(always)]
fn packed_product<S: Simd>(simd: S, a: &[f32], b: &[u32]) -> f32 {
    let (first, second) = a.split_at(b.len());
    let ((first, rest_first), (second, rest_second)) = (S::as_simd_f32s(first), S::as_simd_f32s(second));
    let (b, rest_b) = S::as_simd_u32s(b);
    let (sixteen, high) = (simd.splat_u32s(16), simd.splat_u32s(0xffff_0000));
    let mut sums = [simd.splat_f32s(0.0); 2];
    for ((x, y), pair) in first.iter().zip(second).zip(b) {
        let low = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(*pair, sixteen));
        let high = simd.transmute_f32s_u32s(simd.and_u32s(*pair, high));
        sums = [simd.mul_add_f32s(*x, low, sums[0]), simd.mul_add_f32s(*y, high, sums[1])];
    }
    let rest = rest_first.iter().zip(rest_second).zip(rest_b);
    let of_pair = |((x, y), pair): ((&f32, &f32), &u32)| {
        let [low, high] = unpacked(*pair);
        x * low + y * high
    };
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1])) + rest.map(of_pair).sum::<f32>()
}

vectorized! {
    /// Adds to `out` some rows of a table, `[rows, width]`, each times its factor.
    pub fn add_multiples<'a>(out: &'a mut [f32], factors: &'a [f32], table: &'a [f32], places: &'a [u32]) {
        let width = out.len();
        for (factor, place) in factors.iter().zip(places) {
            let row = &table[*place as usize * width..][..width];
            out.iter_mut().zip(row).for_each(|(out, x)| *out += factor * x);
        }
    }
}

/// The sum of products of two rows, in eight partial sums.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut sums = [0f32; 8];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += a * b);
    }
    sum(sums) + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}

/// The sum of eight numbers, in pairs: three additions one after the other instead of seven.
#[inline(always)]
fn sum([a, b, c, d, e, f, g, h]: [f32; 8]) -> f32 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brief::{lengthened, packed, shortened};

    #[test]
    fn packed_rows_multiply_as_they_would_unpacked() {
        for width in [2usize, 10, 16, 52, 128] {
            let table: Vec<f32> = (0..7 * width).map(|i| (i as f32 * 0.37).sin()).collect();
            let x: Vec<f32> = (0..width).map(|i| (i as f32 * 1.3).cos()).collect();
            let places = [6u32, 0, 3, 3, 2];
            let (mut whole, mut brief) = ([1f32; 5], [1f32; 5]);
            let near: Vec<f32> = table.iter().map(|x| lengthened(shortened(*x))).collect();
            add_products(&mut whole, &x, &near, &places);
            add_packed_products(&mut brief, &x, &packed(&table, width), &places);
            assert!(brief.iter().zip(&whole).all(|(brief, whole)| (brief - whole).abs() < 1e-4));
        }
    }

    #[test]
    fn rows_of_a_table_multiply_as_the_whole_table_does() {
        let table: Vec<f32> = (0..7 * 11).map(|i| (i as f32 * 0.37).sin()).collect();
        let x: Vec<f32> = (0..11).map(|i| (i as f32 * 1.3).cos()).collect();
        let places = [6u32, 0, 3, 3, 2];
        let all = linear(&table, &x, 11);
        let mut products = vec![1f32; 5];
        add_products(&mut products, &x, &table, &places);
        assert!(places.iter().zip(&products).all(|(p, found)| (found - 1.0 - all[*p as usize]).abs() < 1e-5));
        let factors = [0.5f32, -1.0, 2.0, 0.25, 1.5];
        let mut weights = [0f32; 7];
        places.iter().zip(factors).for_each(|(p, f)| weights[*p as usize] += f);
        let mut sum = vec![1f32; 11];
        add_multiples(&mut sum, &factors, &table, &places);
        let expected = linear(&weights, &table, 7);
        assert!(sum.iter().zip(expected).all(|(found, x)| (found - 1.0 - x).abs() < 1e-5));
    }
}
