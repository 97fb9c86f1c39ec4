//! Loops over numbers. What is split among threads is split by the shape of the result alone.

use super::{Node, Windows};
use crate::exponential::{exponential, logarithm, softmax as softmax_of};
use crate::matrix::{multiply, multiply_add, rows};
use faer::{MatMut, MatRef};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;

/// Numbers that one task makes.
const PIECE: usize = 1 << 15;
/// Multiplications that one task does, at least.
const HEAVY: usize = 1 << 21;

/// Numbers that a thread keeps of graphs that are gone, at most.
const KEPT: usize = 1 << 23;

thread_local! {
    /// Memory of graphs that are gone, by length: step after step asks for the same.
    static SPARE: RefCell<Spare> = RefCell::default();
}

#[derive(Default)]
struct Spare {
    by_length: HashMap<usize, Vec<Vec<f32>>>,
    numbers: usize,
}

/// Memory for so many numbers, which may be anything.
pub(super) fn memory(length: usize) -> Vec<f32> {
    let spare = SPARE.with_borrow_mut(|spare| {
        let found = spare.by_length.get_mut(&length).and_then(Vec::pop)?;
        spare.numbers -= length;
        Some(found)
    });
    spare.unwrap_or_else(|| vec![0f32; length])
}

/// As [`memory`], all zeros.
pub(super) fn zeros(length: usize) -> Vec<f32> {
    let mut numbers = memory(length);
    numbers.fill(0.0);
    numbers
}

/// The same numbers again.
pub(super) fn copy(numbers: &[f32]) -> Vec<f32> {
    let mut out = memory(numbers.len());
    out.copy_from_slice(numbers);
    out
}

/// Takes back memory that nobody needs any more.
pub(super) fn give_back(numbers: Vec<f32>) {
    let give = |spare: &mut Spare| {
        if numbers.len() < 64 || spare.numbers + numbers.len() > KEPT {
            return;
        }
        spare.numbers += numbers.len();
        spare.by_length.entry(numbers.len()).or_default().push(numbers);
    };
    // Where the thread itself ends, so does what it keeps.
    let _ = SPARE.try_with(|spare| give(&mut spare.borrow_mut()));
}

/// The product of two matrices, each transposed or not, and its number of columns.
pub(super) fn product(a: &Node<'_>, b: &Node<'_>, transposed: [bool; 2]) -> (Vec<f32>, usize) {
    let (a, b) = (view(a, transposed[0]), view(b, transposed[1]));
    assert_eq!(a.ncols(), b.nrows());
    let columns = b.ncols();
    let mut value = memory(a.nrows() * columns);
    product_into(crate::matrix::rows_mut(&mut value, columns), a, b, multiply);
    (value, columns)
}

/// The sum of products, of as many columns each.
pub(super) fn sum_of_products(products: &[(&Node<'_>, &Node<'_>)], columns: usize) -> Vec<f32> {
    let (first, _) = products[0];
    let mut value = memory(first.value.numbers().len() / first.columns * columns);
    for (at, (a, b)) in products.iter().enumerate() {
        let (a, b) = (view(a, false), view(b, false));
        assert_eq!((a.ncols(), b.ncols()), (b.nrows(), columns));
        let with = if at == 0 { multiply } else { multiply_add };
        product_into(crate::matrix::rows_mut(&mut value, columns), a, b, with);
    }
    value
}

fn view<'v>(node: &'v Node<'_>, transposed: bool) -> MatRef<'v, f32> {
    let matrix = rows(node.value.numbers(), node.columns);
    if transposed { matrix.transpose() } else { matrix }
}

/// `out = a · b`, or `out += a · b`.
type Multiply = fn(MatMut<'_, f32>, MatRef<'_, f32>, MatRef<'_, f32>);

/// A product in pieces side by side or below each other.
fn product_into(out: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>, with: Multiply) {
    let [high, wide] = [out.nrows(), out.ncols()];
    if high * wide * a.ncols() < 2 * HEAVY || high.max(wide) < 64 {
        return with(out, a, b);
    }
    if high >= wide {
        let middle = half(high);
        let ((above, below), (first, second)) = (out.split_at_row_mut(middle), a.split_at_row(middle));
        rayon::join(|| product_into(above, first, b, with), || product_into(below, second, b, with));
    } else {
        let middle = half(wide);
        let ((left, right), (first, second)) = (out.split_at_col_mut(middle), b.split_at_col(middle));
        rayon::join(|| product_into(left, a, first, with), || product_into(right, a, second, with));
    }
}

/// About half, in whole registers.
fn half(length: usize) -> usize {
    (length / 2).next_multiple_of(16)
}

pub(super) fn map(a: &[f32], with: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = memory(a.len());
    if a.len() <= 2 * PIECE {
        out.iter_mut().zip(a).for_each(|(out, x)| *out = with(*x));
        return out;
    }
    let pieces = out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE));
    pieces.for_each(|(out, a)| out.iter_mut().zip(a).for_each(|(out, x)| *out = with(*x)));
    out
}

pub(super) fn pair(a: &[f32], b: &[f32], with: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = memory(a.len());
    if a.len() <= 2 * PIECE {
        out.iter_mut().zip(a).zip(b).for_each(|((out, x), y)| *out = with(*x, *y));
        return out;
    }
    let pieces = out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).zip(b.par_chunks(PIECE));
    pieces.for_each(|((out, a), b)| out.iter_mut().zip(a).zip(b).for_each(|((out, x), y)| *out = with(*x, *y)));
    out
}

pub(super) fn add_row(a: &[f32], row: &[f32]) -> Vec<f32> {
    let mut out = memory(a.len());
    for (out, a) in out.chunks_exact_mut(row.len()).zip(a.chunks_exact(row.len())) {
        out.iter_mut().zip(a).zip(row).for_each(|((out, x), y)| *out = x + y);
    }
    out
}

pub(super) fn add_row_to(a: &mut [f32], row: &[f32]) {
    a.chunks_exact_mut(row.len()).for_each(|a| crate::matrix::add(a, row));
}

/// Columns less their means over their deviations, and 1 / these.
pub(super) fn standardize(a: &[f32], columns: usize, least: f32) -> (Vec<f32>, Vec<f32>) {
    let rows = (a.len() / columns) as f32;
    let negative_mean: Vec<f32> = sum_rows(a, columns).into_iter().map(|sum| -sum / rows).collect();
    let mut out = add_row(a, &negative_mean);
    let squares = sum_squares(&out, columns);
    let inverse: Vec<f32> = squares.into_iter().map(|sum| 1.0 / (sum / rows + least).sqrt()).collect();
    for row in out.chunks_exact_mut(columns) {
        row.iter_mut().zip(&inverse).for_each(|(x, inverse)| *x *= inverse);
    }
    (out, inverse)
}

pub(super) fn multiply_row(a: &[f32], row: &[f32]) -> Vec<f32> {
    let mut out = memory(a.len());
    for (out, a) in out.chunks_exact_mut(row.len()).zip(a.chunks_exact(row.len())) {
        out.iter_mut().zip(a).zip(row).for_each(|((out, x), y)| *out = x * y);
    }
    out
}

/// The sum of all rows, in double precision for each piece of 256 rows.
pub(super) fn sum_rows(a: &[f32], columns: usize) -> Vec<f32> {
    sum_of_rows(a, columns, |x| x)
}

/// The sum of the squares of all rows, as [`sum_rows`].
fn sum_squares(a: &[f32], columns: usize) -> Vec<f32> {
    sum_of_rows(a, columns, |x| x * x)
}

fn sum_of_rows(a: &[f32], columns: usize, of: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut sums = vec![0f64; columns];
    for piece in a.chunks(256 * columns) {
        let mut part = vec![0f32; columns];
        piece.chunks_exact(columns).for_each(|row| part.iter_mut().zip(row).for_each(|(sum, x)| *sum += of(*x)));
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += f64::from(x));
    }
    sums.into_iter().map(|x| x as f32).collect()
}

pub(super) fn tanh(x: f32) -> f32 {
    // Beyond 9, the nearest number is 1.
    let twice = exponential(2.0 * x.clamp(-9.0, 9.0));
    if x.is_nan() { x } else { (twice - 1.0) / (twice + 1.0) }
}

pub(super) fn sigmoid(x: f32) -> f32 {
    if x.is_nan() { x } else { 1.0 / (1.0 + exponential((-x).min(87.0))) }
}

pub(super) fn softplus(x: f32) -> f32 {
    x.max(0.0) + logarithm(1.0 + exponential(-x.abs())) + if x.is_nan() { x } else { 0.0 }
}

pub(super) fn softmax(a: &[f32], spans: &[usize]) -> Vec<f32> {
    let mut out = copy(a);
    let columns = spans[spans.len() - 1];
    let of_rows = |rows: &mut [f32]| {
        for row in rows.chunks_exact_mut(columns) {
            spans.windows(2).for_each(|ends| softmax_of(&mut row[ends[0]..ends[1]]));
        }
    };
    out.par_chunks_mut((PIECE / columns).max(1) * columns).for_each(of_rows);
    out
}

pub(super) fn span_sums(a: &[f32], spans: &[usize]) -> Vec<f32> {
    let mut out = copy(a);
    for row in out.chunks_exact_mut(spans[spans.len() - 1]) {
        for ends in spans.windows(2) {
            let sum: f32 = row[ends[0]..ends[1]].iter().sum();
            row[ends[0]..ends[1]].fill(sum);
        }
    }
    out
}

/// For each window the place of its first number on its line, which may lie before the line.
fn starts(windows: Windows) -> impl Iterator<Item = isize> {
    let Windows { channels, stride, margin, .. } = windows;
    (0..windows.count()).map(move |w| ((w * stride) as isize - margin as isize) * channels as isize)
}

pub(super) fn unfold(a: &[f32], windows: Windows) -> Vec<f32> {
    let (line, width) = (windows.places * windows.channels, windows.width * windows.channels);
    let mut out = zeros(a.len() / line * windows.count() * width);
    for (out, line) in out.chunks_exact_mut(windows.count() * width).zip(a.chunks_exact(line)) {
        for (out, start) in out.chunks_exact_mut(width).zip(starts(windows)) {
            let (from, to) = inside(start, width, line.len());
            out[(from as isize - start) as usize..(to as isize - start) as usize].copy_from_slice(&line[from..to]);
        }
    }
    out
}

pub(super) fn fold(a: &[f32], windows: Windows) -> Vec<f32> {
    let (line, width) = (windows.places * windows.channels, windows.width * windows.channels);
    let mut out = zeros(a.len() / (windows.count() * width) * line);
    for (out, a) in out.chunks_exact_mut(line).zip(a.chunks_exact(windows.count() * width)) {
        for (window, start) in a.chunks_exact(width).zip(starts(windows)) {
            let (from, to) = inside(start, width, line);
            let window = &window[(from as isize - start) as usize..(to as isize - start) as usize];
            out[from..to].iter_mut().zip(window).for_each(|(out, x)| *out += x);
        }
    }
    out
}

/// The part of a window that lies on its line.
fn inside(start: isize, width: usize, line: usize) -> (usize, usize) {
    let end = (start + width as isize).clamp(0, line as isize) as usize;
    ((start.max(0) as usize).min(end), end)
}
