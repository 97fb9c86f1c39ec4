//! The weights of a network: matrices in one slice.

use rand::Rng;
use twinmart_nets::graph::{Graph, Var};
use twinmart_tables::Stream;

/// A matrix of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix(usize);

/// Where each matrix lies, and how it begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    shapes: Vec<Shape>,
    total: usize,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    start: usize,
    rows: usize,
    columns: usize,
    /// Numbers begin evenly between `middle - spread` and `middle + spread`.
    middle: f32,
    spread: f32,
}

impl Layout {
    /// A matrix for `rows` inputs, which begins with numbers up to 1 / √inputs.
    pub(crate) fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        self.part(rows, columns, rows)
    }

    /// As [`Layout::matrix`], for some of so many inputs.
    pub(crate) fn part(&mut self, rows: usize, columns: usize, inputs: usize) -> Matrix {
        self.add(rows, columns, 0.0, (inputs as f32).sqrt().recip())
    }

    /// A row of numbers that begin alike.
    pub(crate) fn row(&mut self, columns: usize, value: f32) -> Matrix {
        self.add(1, columns, value, 0.0)
    }

    fn add(&mut self, rows: usize, columns: usize, middle: f32, spread: f32) -> Matrix {
        self.shapes.push(Shape { start: self.total, rows, columns, middle, spread });
        self.total += rows * columns;
        Matrix(self.shapes.len() - 1)
    }

    /// How many numbers there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The weights that learning begins with.
    pub(crate) fn first(&self, stream: &mut Stream) -> Vec<f32> {
        let of_shape = |shape: &Shape| {
            let numbers = (0..shape.rows * shape.columns)
                .map(|_| shape.middle + shape.spread * (2.0 * stream.random::<f32>() - 1.0));
            numbers.collect::<Vec<f32>>()
        };
        self.shapes.iter().flat_map(of_shape).collect()
    }

    /// The matrices as parts of a graph.
    pub(crate) fn given<'a>(&self, graph: &mut Graph<'a>, weights: &'a [f32]) -> Weights {
        let one = |s: &Shape| graph.lent(&weights[s.start..][..s.rows * s.columns], s.columns);
        Weights(self.shapes.iter().map(one).collect())
    }
}

/// Matrices that are parts of a graph.
#[derive(Debug)]
pub(crate) struct Weights(Vec<Var>);

impl Weights {
    pub(crate) fn of(&self, matrix: Matrix) -> Var {
        self.0[matrix.0]
    }

    /// All of them, in the order of the layout.
    pub(crate) fn all(&self) -> &[Var] {
        &self.0
    }
}

/// A linear layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    weights: Matrix,
    bias: Matrix,
}

impl Linear {
    pub(crate) fn new(layout: &mut Layout, inputs: usize, outputs: usize) -> Linear {
        Linear { weights: layout.matrix(inputs, outputs), bias: layout.row(outputs, 0.0) }
    }

    /// `[rows, outputs]` of `[rows, inputs]`.
    pub(crate) fn of(&self, graph: &mut Graph, weights: &Weights, x: Var) -> Var {
        graph.linear(x, weights.of(self.weights), weights.of(self.bias))
    }
}

/// Batch normalization (Ioffe & Szegedy, "Batch normalization", 2015).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm {
    gain: Matrix,
    offset: Matrix,
}

/// Keeps constant columns from being divided by zero.
const LEAST_VARIANCE: f32 = 1e-5;

impl Norm {
    pub(crate) fn new(layout: &mut Layout, columns: usize) -> Norm {
        Norm { gain: layout.row(columns, 1.0), offset: layout.row(columns, 0.0) }
    }

    /// `x`, `[rows, columns]`, with columns of mean 0 and variance 1, times a gain, plus an offset.
    pub(crate) fn of(&self, graph: &mut Graph, weights: &Weights, x: Var, moments: &mut Moments) -> Var {
        let columns = graph.shape(x)[1];
        let standard = match moments {
            Moments::Known { means, variances } => {
                let mean = graph.given(means.by_ref().take(columns).map(|m| -m).collect(), columns);
                let scale = variances.by_ref().take(columns).map(|v| 1.0 / (v + LEAST_VARIANCE).sqrt());
                let scale = graph.given(scale.collect(), columns);
                let centred = graph.add_row(x, mean);
                graph.multiply_row(centred, scale)
            }
            Moments::Unseen => graph.standardize(x, LEAST_VARIANCE),
            Moments::Seen { means, variances } => {
                let of_column = moments_of(graph.value(x), columns);
                means.extend(of_column.iter().map(|(mean, _)| mean));
                variances.extend(of_column.iter().map(|(_, variance)| variance));
                graph.standardize(x, LEAST_VARIANCE)
            }
        };
        let scaled = graph.multiply_row(standard, weights.of(self.gain));
        graph.add_row(scaled, weights.of(self.offset))
    }
}

/// Mean and variance of each column.
fn moments_of(numbers: &[f32], columns: usize) -> Vec<(f32, f32)> {
    let rows = (numbers.len() / columns) as f64;
    let of_column = |column: usize| {
        let numbers = || numbers.iter().skip(column).step_by(columns).map(|x| f64::from(*x));
        let mean = numbers().sum::<f64>() / rows;
        (mean as f32, (numbers().map(|x| (x - mean).powi(2)).sum::<f64>() / rows) as f32)
    };
    (0..columns).map(of_column).collect()
}

/// Means and variances of normalized columns, in the order in which the layers use them.
#[derive(Debug)]
pub(crate) enum Moments<'a> {
    /// Those of the batch are used.
    Unseen,
    /// Those of the batch are used, and noted.
    Seen { means: Vec<f32>, variances: Vec<f32> },
    /// These are used: what happens to a row does not depend on other rows.
    Known {
        means: std::iter::Copied<std::slice::Iter<'a, f32>>,
        variances: std::iter::Copied<std::slice::Iter<'a, f32>>,
    },
}

impl Moments<'_> {
    /// Those of the batch.
    pub(crate) fn of_batch() -> Moments<'static> {
        Moments::Seen { means: Vec::new(), variances: Vec::new() }
    }

    /// Means, then variances, as [`Moments::seen`] answers them.
    pub(crate) fn known(moments: &[f32]) -> Moments<'_> {
        let (means, variances) = moments.split_at(moments.len() / 2);
        Moments::Known { means: means.iter().copied(), variances: variances.iter().copied() }
    }

    /// What was noted: means, then variances.
    pub(crate) fn seen(self) -> Vec<f32> {
        match self {
            Moments::Seen { means, variances } => [means, variances].concat(),
            Moments::Known { .. } | Moments::Unseen => Vec::new(),
        }
    }
}

/// A gated recurrent unit (Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014): the state
/// goes on as h' = (1 - u) · n + u · h, with n = tanh(W x + r · (U h)).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recurrent {
    width: usize,
    from_input: Linear,
    from_state: Linear,
}

impl Recurrent {
    pub(crate) fn new(layout: &mut Layout, inputs: usize, width: usize) -> Recurrent {
        let from_input = Linear::new(layout, inputs, 3 * width);
        Recurrent { width, from_input, from_state: Linear::new(layout, width, 3 * width) }
    }

    /// The state, `[rows, width]`, after an input, `[rows, inputs]`.
    pub(crate) fn step(&self, graph: &mut Graph, weights: &Weights, input: Var, state: Var) -> Var {
        let width = self.width;
        let from_input = self.from_input.of(graph, weights, input);
        let from_state = self.from_state.of(graph, weights, state);
        let gate = |graph: &mut Graph, at: usize| {
            let a = graph.columns(from_input, at * width..(at + 1) * width);
            let b = graph.columns(from_state, at * width..(at + 1) * width);
            let sum = graph.add(a, b);
            graph.sigmoid(sum)
        };
        let (reset, update) = (gate(graph, 0), gate(graph, 1));
        let of_state = graph.columns(from_state, 2 * width..3 * width);
        let of_state = graph.multiply(reset, of_state);
        let of_input = graph.columns(from_input, 2 * width..3 * width);
        let new = graph.add(of_input, of_state);
        let new = graph.tanh(new);
        let difference = graph.subtract(state, new);
        let kept = graph.multiply(update, difference);
        graph.add(new, kept)
    }
}
