//! Computations that can be differentiated as often as wanted.
//!
//! ```text
//! numbers ─► Graph::given ─► operations, each done at once ─► Graph::value
//!                                  │
//!                                  ▼
//!              Graph::gradients: more operations of the same graph, which have gradients in turn
//! ```
//!
//! Everything is a matrix `[rows, columns]`. A [`Graph`] remembers how each matrix was made; [`Graph::gradients`] walks back
//! and writes the gradient down as further operations (reverse accumulation, Griewank & Walther, "Evaluating derivatives",
//! 2008, ch. 3), so a penalty on a gradient is differentiated like everything else. Each operation's way back is in
//! `back`, its loop over numbers in `kernels`. Work is split by the shape of the result alone: the same bits on any number
//! of threads.

mod back;
mod kernels;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

/// A matrix of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Var(usize);

/// Runs of columns that follow each other: the first column of each, and the number of all columns.
pub type Spans = Arc<[usize]>;

/// Windows over a line of places, each place with as many channels: `[places · channels]` as
/// `[windows · width · channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Places of the line.
    pub places: usize,
    /// Numbers at each place.
    pub channels: usize,
    /// Places of a window.
    pub width: usize,
    /// Places from the start of a window to that of the next one.
    pub stride: usize,
    /// Places before the line, and behind it, that hold zeros.
    pub margin: usize,
}

impl Windows {
    /// How many windows there are.
    pub fn count(&self) -> usize {
        (self.places + 2 * self.margin - self.width) / self.stride + 1
    }
}

/// How a matrix is made of others.
#[derive(Debug, Clone)]
enum Op {
    Given,
    /// Product of two matrices, each transposed or not.
    Product {
        a: Var,
        b: Var,
        transposed: [bool; 2],
    },
    Add(Var, Var),
    Subtract(Var, Var),
    Multiply(Var, Var),
    /// Sum of products of two matrices each, plus a row.
    Linear(Vec<(Var, Var)>, Var),
    /// Each row plus one row.
    AddRow(Var, Var),
    /// Each row times one row, number by number.
    MultiplyRow(Var, Var),
    /// Times a factor, plus an offset.
    Affine(Var, f32),
    Power(Var, f32),
    Exponential(Var),
    Logarithm(Var),
    HyperbolicTangent(Var),
    Sigmoid(Var),
    Softplus(Var),
    /// Times numbers that count as constants: negative numbers times a factor, all times a mask.
    Leaky(Var, Var),
    /// Columns of mean 0 and variance 1; the other one is 1 / the deviation of each column.
    Standardize(Var, Var),
    InverseDeviation(Var, Var),
    Softmax(Var, Spans),
    /// In place of each number the sum of its span in its row.
    SpanSums(Var, Spans),
    SumRows(Var),
    SumColumns(Var),
    RepeatRows(Var),
    RepeatColumns(Var),
    Reshape(Var),
    Columns(Var, usize),
    /// Zeros on both sides of some columns.
    Padded(Var, usize),
    Join(Vec<Var>),
    Take(Var, Arc<[u32]>),
    /// The sums of the rows that go to each place.
    Scatter(Var, Arc<[u32]>),
    Unfold(Var, Windows),
    /// The sums of what windows say of each place.
    Fold(Var, Windows),
}

#[derive(Debug)]
struct Node<'a> {
    op: Op,
    columns: usize,
    value: Value<'a>,
}

/// The numbers of a matrix.
#[derive(Debug)]
enum Value<'a> {
    Made(Vec<f32>),
    /// Memory that came from outside, which nobody asks for again.
    Given(Vec<f32>),
    Lent(&'a [f32]),
}

impl Value<'_> {
    fn numbers(&self) -> &[f32] {
        match self {
            Value::Made(numbers) | Value::Given(numbers) => numbers,
            Value::Lent(numbers) => numbers,
        }
    }
}

/// A computation so far, which may use numbers that live as long as `'a`.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    nodes: Vec<Node<'a>>,
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        for node in self.nodes.drain(..) {
            if let Value::Made(numbers) = node.value {
                kernels::give_back(numbers);
            }
        }
    }
}

impl<'a> Graph<'a> {
    /// Nothing computed.
    pub fn new() -> Graph<'a> {
        Graph::default()
    }

    /// The numbers of a matrix, row by row.
    pub fn value(&self, var: Var) -> &[f32] {
        self.nodes[var.0].value.numbers()
    }

    /// The only number of a matrix of one.
    pub fn scalar(&self, var: Var) -> f32 {
        self.value(var)[0]
    }

    /// `[rows, columns]` of a matrix.
    pub fn shape(&self, var: Var) -> [usize; 2] {
        let node = &self.nodes[var.0];
        [node.value.numbers().len() / node.columns, node.columns]
    }

    /// A matrix of numbers from outside, row by row.
    pub fn given(&mut self, value: Vec<f32>, columns: usize) -> Var {
        assert!(columns > 0 && value.len().is_multiple_of(columns), "rows of {columns} numbers");
        self.push_value(Op::Given, Value::Given(value), columns)
    }

    /// As [`Graph::given`], of numbers that stay outside and may change there.
    pub fn copied(&mut self, value: &[f32], columns: usize) -> Var {
        assert!(columns > 0 && value.len().is_multiple_of(columns), "rows of {columns} numbers");
        self.push(Op::Given, kernels::copy(value), columns)
    }

    /// As [`Graph::given`], of numbers that stay outside.
    pub fn lent(&mut self, value: &'a [f32], columns: usize) -> Var {
        assert!(columns > 0 && value.len().is_multiple_of(columns), "rows of {columns} numbers");
        self.push_value(Op::Given, Value::Lent(value), columns)
    }

    /// `[rows, columns]` all of one number.
    pub fn filled(&mut self, [rows, columns]: [usize; 2], with: f32) -> Var {
        let mut value = kernels::memory(rows * columns);
        value.fill(with);
        self.push(Op::Given, value, columns)
    }

    /// `a · b`, `[rows of a, columns of b]`.
    pub fn product(&mut self, a: Var, b: Var) -> Var {
        self.product_of(a, b, [false, false])
    }

    /// The product of two matrices, each transposed where its mark says so.
    pub fn product_of(&mut self, a: Var, b: Var, transposed: [bool; 2]) -> Var {
        let (value, columns) = kernels::product(&self.nodes[a.0], &self.nodes[b.0], transposed);
        self.push(Op::Product { a, b, transposed }, value, columns)
    }

    /// `a + b`, number by number.
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        self.pair(a, b, Op::Add(a, b), |x, y| x + y)
    }

    /// `a - b`, number by number.
    pub fn subtract(&mut self, a: Var, b: Var) -> Var {
        self.pair(a, b, Op::Subtract(a, b), |x, y| x - y)
    }

    /// `a · b`, number by number.
    pub fn multiply(&mut self, a: Var, b: Var) -> Var {
        self.pair(a, b, Op::Multiply(a, b), |x, y| x * y)
    }

    /// Each row of `a` plus `row`, `[1, columns]`.
    pub fn add_row(&mut self, a: Var, row: Var) -> Var {
        let columns = self.shape(a)[1];
        assert_eq!(self.shape(row), [1, columns]);
        let value = kernels::add_row(self.value(a), self.value(row));
        self.push(Op::AddRow(a, row), value, columns)
    }

    /// Each row of `a` times `row`, `[1, columns]`, number by number.
    pub fn multiply_row(&mut self, a: Var, row: Var) -> Var {
        let columns = self.shape(a)[1];
        assert_eq!(self.shape(row), [1, columns]);
        let value = kernels::multiply_row(self.value(a), self.value(row));
        self.push(Op::MultiplyRow(a, row), value, columns)
    }

    /// `factor · a + offset`.
    pub fn affine(&mut self, a: Var, factor: f32, offset: f32) -> Var {
        self.map(a, Op::Affine(a, factor), move |x| factor * x + offset)
    }

    /// `factor · a`.
    pub fn scale(&mut self, a: Var, factor: f32) -> Var {
        self.affine(a, factor, 0.0)
    }

    /// `a` to the power of `exponent`; where that is no whole number, `a` must be positive.
    pub fn power(&mut self, a: Var, exponent: f32) -> Var {
        let op = Op::Power(a, exponent);
        match exponent {
            2.0 => self.map(a, op, |x| x * x),
            0.5 => self.map(a, op, f32::sqrt),
            -0.5 => self.map(a, op, |x| 1.0 / x.sqrt()),
            -1.0 => self.map(a, op, |x| 1.0 / x),
            _ => self.map(a, op, move |x| x.powf(exponent)),
        }
    }

    /// e to the power of `a`.
    pub fn exponential(&mut self, a: Var) -> Var {
        self.map(a, Op::Exponential(a), crate::exponential::exponential)
    }

    /// Natural logarithms of positive numbers.
    pub fn logarithm(&mut self, a: Var) -> Var {
        self.map(a, Op::Logarithm(a), crate::exponential::logarithm)
    }

    /// Hyperbolic tangents.
    pub fn tanh(&mut self, a: Var) -> Var {
        self.map(a, Op::HyperbolicTangent(a), kernels::tanh)
    }

    /// 1 / (1 + e⁻ᵃ).
    pub fn sigmoid(&mut self, a: Var) -> Var {
        self.map(a, Op::Sigmoid(a), kernels::sigmoid)
    }

    /// ln(1 + eᵃ): minus the logarithm of 1 - sigmoid(a).
    pub fn softplus(&mut self, a: Var) -> Var {
        self.map(a, Op::Softplus(a), kernels::softplus)
    }

    /// `a` where it is positive, `slope · a` elsewhere. On which side a number lies has no gradient.
    pub fn leaky(&mut self, a: Var, slope: f32) -> Var {
        let factors = kernels::map(self.value(a), |x| if x > 0.0 { 1.0 } else { slope });
        self.times_constants(a, factors)
    }

    /// As [`Graph::leaky`], times a mask.
    pub fn leaky_masked(&mut self, a: Var, slope: f32, mask: &[f32]) -> Var {
        assert_eq!(self.value(a).len(), mask.len());
        let factors = kernels::pair(self.value(a), mask, |x, mask| if x > 0.0 { mask } else { slope * mask });
        self.times_constants(a, factors)
    }

    fn times_constants(&mut self, a: Var, factors: Vec<f32>) -> Var {
        let factors = self.push(Op::Given, factors, self.shape(a)[1]);
        self.times(a, factors)
    }

    /// Number by number times constants.
    fn times(&mut self, a: Var, factors: Var) -> Var {
        self.pair(a, factors, Op::Leaky(a, factors), |x, y| x * y)
    }

    /// Columns less their means, over their deviations: of mean 0 and variance 1 where the variance is far above `least`,
    /// which is added to it.
    pub fn standardize(&mut self, a: Var, least: f32) -> Var {
        let columns = self.shape(a)[1];
        let (value, inverse) = kernels::standardize(self.value(a), columns, least);
        let inverse = self.push(Op::InverseDeviation(a, Var(self.nodes.len() + 1)), inverse, columns);
        self.push(Op::Standardize(a, inverse), value, columns)
    }

    /// Probabilities from scores, span by span in each row.
    pub fn softmax(&mut self, a: Var, spans: &Spans) -> Var {
        let columns = self.shape(a)[1];
        assert_eq!(spans.last(), Some(&columns));
        let value = kernels::softmax(self.value(a), spans);
        self.push(Op::Softmax(a, spans.clone()), value, columns)
    }

    /// In place of each number the sum of its span in its row.
    pub fn span_sums(&mut self, a: Var, spans: &Spans) -> Var {
        let columns = self.shape(a)[1];
        assert_eq!(spans.last(), Some(&columns));
        let value = kernels::span_sums(self.value(a), spans);
        self.push(Op::SpanSums(a, spans.clone()), value, columns)
    }

    /// The sum of all rows, `[1, columns]`.
    pub fn sum_rows(&mut self, a: Var) -> Var {
        let columns = self.shape(a)[1];
        let value = kernels::sum_rows(self.value(a), columns);
        self.push(Op::SumRows(a), value, columns)
    }

    /// The sum of each row, `[rows, 1]`.
    pub fn sum_columns(&mut self, a: Var) -> Var {
        let columns = self.shape(a)[1];
        let value = self.value(a).chunks_exact(columns).map(|row| row.iter().sum()).collect();
        self.push(Op::SumColumns(a), value, 1)
    }

    /// The sum of all numbers, `[1, 1]`.
    pub fn sum(&mut self, a: Var) -> Var {
        let of_columns = self.sum_rows(a);
        self.sum_columns(of_columns)
    }

    /// The mean of all numbers, `[1, 1]`.
    pub fn mean(&mut self, a: Var) -> Var {
        let [rows, columns] = self.shape(a);
        let sum = self.sum(a);
        self.scale(sum, 1.0 / (rows * columns) as f32)
    }

    /// One row, `[1, columns]`, so many times.
    pub fn repeat_rows(&mut self, a: Var, rows: usize) -> Var {
        let [one, columns] = self.shape(a);
        assert_eq!(one, 1);
        let mut value = kernels::memory(rows * columns);
        value.chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(self.value(a)));
        self.push(Op::RepeatRows(a), value, columns)
    }

    /// One column, `[rows, 1]`, so many times.
    pub fn repeat_columns(&mut self, a: Var, columns: usize) -> Var {
        assert_eq!(self.shape(a)[1], 1);
        let mut value = kernels::memory(self.value(a).len() * columns);
        value.chunks_exact_mut(columns).zip(self.value(a)).for_each(|(row, x)| row.fill(*x));
        self.push(Op::RepeatColumns(a), value, columns)
    }

    /// The same numbers in rows of another length.
    pub fn reshape(&mut self, a: Var, columns: usize) -> Var {
        let value = kernels::copy(self.value(a));
        assert!(value.len().is_multiple_of(columns));
        self.push(Op::Reshape(a), value, columns)
    }

    /// Some columns.
    pub fn columns(&mut self, a: Var, range: Range<usize>) -> Var {
        let columns = self.shape(a)[1];
        let mut value = kernels::memory(self.value(a).len() / columns * range.len());
        for (out, row) in value.chunks_exact_mut(range.len()).zip(self.value(a).chunks_exact(columns)) {
            out.copy_from_slice(&row[range.clone()]);
        }
        self.push(Op::Columns(a, range.start), value, range.len())
    }

    /// `a` as the columns from `start` of a matrix of `columns` columns, which is zero elsewhere.
    pub fn padded(&mut self, a: Var, start: usize, columns: usize) -> Var {
        let [rows, width] = self.shape(a);
        let mut value = kernels::zeros(rows * columns);
        for (out, row) in value.chunks_exact_mut(columns).zip(self.value(a).chunks_exact(width)) {
            out[start..start + width].copy_from_slice(row);
        }
        self.push(Op::Padded(a, start), value, columns)
    }

    /// Matrices of as many rows, side by side.
    pub fn join(&mut self, parts: &[Var]) -> Var {
        let rows = self.shape(parts[0])[0];
        let columns = parts.iter().map(|part| self.shape(*part)[1]).sum();
        let mut value = kernels::memory(rows * columns);
        let mut start = 0;
        for part in parts {
            let [height, width] = self.shape(*part);
            assert_eq!(height, rows);
            for (out, row) in value.chunks_exact_mut(columns).zip(self.value(*part).chunks_exact(width)) {
                out[start..start + width].copy_from_slice(row);
            }
            start += width;
        }
        self.push(Op::Join(parts.to_vec()), value, columns)
    }

    /// The rows at some places, `[places, columns]`.
    pub fn take(&mut self, a: Var, places: &Arc<[u32]>) -> Var {
        let columns = self.shape(a)[1];
        let (from, mut value) = (self.value(a), kernels::memory(places.len() * columns));
        for (out, place) in value.chunks_exact_mut(columns).zip(places.iter()) {
            out.copy_from_slice(&from[*place as usize * columns..][..columns]);
        }
        self.push(Op::Take(a, places.clone()), value, columns)
    }

    /// For each of `rows` places the sum of the rows of `a` that go there.
    pub fn scatter(&mut self, a: Var, places: &Arc<[u32]>, rows: usize) -> Var {
        let columns = self.shape(a)[1];
        let mut value = kernels::zeros(rows * columns);
        for (row, place) in self.value(a).chunks_exact(columns).zip(places.iter()) {
            let out = &mut value[*place as usize * columns..][..columns];
            out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
        }
        self.push(Op::Scatter(a, places.clone()), value, columns)
    }

    /// Lines `[lines, places · channels]` as windows, `[lines · windows, width · channels]`.
    pub fn unfold(&mut self, a: Var, windows: Windows) -> Var {
        assert_eq!(self.shape(a)[1], windows.places * windows.channels);
        let value = kernels::unfold(self.value(a), windows);
        self.push(Op::Unfold(a, windows), value, windows.width * windows.channels)
    }

    /// The way back of [`Graph::unfold`]: windows `[lines · windows, width · channels]` as lines, overlaps added.
    pub fn fold(&mut self, a: Var, windows: Windows) -> Var {
        assert_eq!(self.shape(a)[1], windows.width * windows.channels);
        let value = kernels::fold(self.value(a), windows);
        self.push(Op::Fold(a, windows), value, windows.places * windows.channels)
    }

    /// `x · weights + bias`, `[rows, outputs]`; `weights` is `[inputs, outputs]`, `bias` `[1, outputs]`.
    pub fn linear(&mut self, x: Var, weights: Var, bias: Var) -> Var {
        self.linear_of(&[(x, weights)], bias)
    }

    /// As [`Graph::linear`], the sum over several inputs with weights of their own.
    pub fn linear_of(&mut self, inputs: &[(Var, Var)], bias: Var) -> Var {
        let columns = self.shape(bias)[1];
        let products: Vec<_> = inputs.iter().map(|(x, weights)| (&self.nodes[x.0], &self.nodes[weights.0])).collect();
        let mut value = kernels::sum_of_products(&products, columns);
        kernels::add_row_to(&mut value, self.value(bias));
        self.push(Op::Linear(inputs.to_vec(), bias), value, columns)
    }

    fn pair(&mut self, a: Var, b: Var, op: Op, with: impl Fn(f32, f32) -> f32 + Sync) -> Var {
        assert_eq!(self.shape(a), self.shape(b));
        let columns = self.shape(a)[1];
        let value = kernels::pair(self.value(a), self.value(b), with);
        self.push(op, value, columns)
    }

    fn map(&mut self, a: Var, op: Op, with: impl Fn(f32) -> f32 + Sync) -> Var {
        let columns = self.shape(a)[1];
        let value = kernels::map(self.value(a), with);
        self.push(op, value, columns)
    }

    fn push(&mut self, op: Op, value: Vec<f32>, columns: usize) -> Var {
        self.push_value(op, Value::Made(value), columns)
    }

    fn push_value(&mut self, op: Op, value: Value<'a>, columns: usize) -> Var {
        self.nodes.push(Node { op, columns, value });
        Var(self.nodes.len() - 1)
    }
}
