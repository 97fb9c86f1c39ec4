//! Gradients against finite differences, first and second ones, of every operation.

use super::*;
use proptest::prelude::*;

/// A function of a matrix, `[3, 4]`, that is one number.
type Function = fn(&mut Graph, Var) -> Var;

/// Numbers that are not near the corners of anything.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed * 13 + 3) as f32 * 0.71).sin() * 0.8 + 0.05).collect()
}

fn weighted(graph: &mut Graph, a: Var) -> Var {
    let [rows, columns] = graph.shape(a);
    let weights = graph.given(numbers(rows * columns, 5), columns);
    let product = graph.multiply(a, weights);
    graph.sum(product)
}

fn functions() -> Vec<(&'static str, Function)> {
    vec![
        ("product", |g, x| {
            let w = g.given(numbers(8, 1), 2);
            let y = g.product(x, w);
            let z = g.product_of(y, x, [true, false]);
            let t = g.product_of(x, z, [false, true]);
            let both = g.product_of(z, t, [true, true]);
            weighted(g, both)
        }),
        ("arithmetic", |g, x| {
            let square = g.multiply(x, x);
            let shifted = g.affine(square, 0.5, 1.0);
            let root = g.power(shifted, 0.5);
            let inverse = g.power(shifted, -1.5);
            let (sum, difference) = (g.add(root, x), g.subtract(inverse, x));
            let all = g.multiply(sum, difference);
            weighted(g, all)
        }),
        ("rows", |g, x| {
            let row = g.sum_rows(x);
            let tanh = g.tanh(row);
            let added = g.add_row(x, tanh);
            let repeated = g.repeat_rows(row, 3);
            let all = g.multiply(added, repeated);
            let scaled = g.multiply_row(all, tanh);
            weighted(g, scaled)
        }),
        ("columns", |g, x| {
            let column = g.sum_columns(x);
            let wide = g.repeat_columns(column, 4);
            let some = g.columns(x, 1..3);
            let padded = g.padded(some, 2, 4);
            let joined = g.join(&[some, padded, x]);
            let squares = g.multiply(joined, joined);
            let (a, b) = (weighted(g, squares), weighted(g, wide));
            g.multiply(a, b)
        }),
        ("functions", |g, x| {
            let (e, s, p) = (g.exponential(x), g.sigmoid(x), g.softplus(x));
            let t = g.tanh(x);
            let sum = g.add(e, s);
            let positive = g.affine(sum, 1.0, 0.5);
            let l = g.logarithm(positive);
            let pt = g.multiply(p, t);
            let all = g.multiply(l, pt);
            weighted(g, all)
        }),
        ("leaky", |g, x| {
            let leaky = g.leaky(x, 0.2);
            let masked = g.leaky_masked(x, 0.3, &numbers(12, 9));
            let square = g.multiply(leaky, masked);
            weighted(g, square)
        }),
        ("linear", |g, x| {
            let (row, weights) = (g.sum_rows(x), g.product_of(x, x, [true, false]));
            let tanh = g.tanh(row);
            let y = g.linear(x, weights, tanh);
            let z = g.linear_of(&[(x, weights), (y, weights)], row);
            weighted(g, z)
        }),
        ("standardize", |g, x| {
            let standard = g.standardize(x, 0.1);
            let square = g.multiply(standard, standard);
            let product = g.multiply(square, x);
            weighted(g, product)
        }),
        ("softmax", |g, x| {
            let spans: Spans = vec![0, 1, 4].into();
            let soft = g.softmax(x, &spans);
            let sums = g.span_sums(x, &spans);
            let square = g.multiply(soft, sums);
            weighted(g, square)
        }),
        ("places", |g, x| {
            let places: Arc<[u32]> = vec![2, 0, 2, 1].into();
            let taken = g.take(x, &places);
            let back: Arc<[u32]> = vec![1, 1, 0, 4].into();
            let scattered = g.scatter(taken, &back, 5);
            let square = g.multiply(scattered, scattered);
            let long = g.reshape(square, 10);
            weighted(g, long)
        }),
        ("windows", |g, x| {
            let windows = Windows { places: 2, channels: 2, width: 3, stride: 1, margin: 1 };
            let unfolded = g.unfold(x, windows);
            let square = g.multiply(unfolded, unfolded);
            let folded = g.fold(square, windows);
            let cube = g.multiply(folded, x);
            weighted(g, cube)
        }),
    ]
}

/// The change of a function along a direction, by differences of double width.
fn difference(function: impl Fn(&[f32]) -> f64, at: &[f32], direction: &[f32], step: f32) -> f64 {
    let moved = |by: f32| -> Vec<f32> { at.iter().zip(direction).map(|(x, d)| x + by * d).collect() };
    (function(&moved(step)) - function(&moved(-step))) / (2.0 * f64::from(step))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The gradient of a function, as numbers.
fn gradient(function: Function, at: &[f32]) -> Vec<f32> {
    let mut graph = Graph::new();
    let x = graph.given(at.to_vec(), 4);
    let y = function(&mut graph, x);
    let slope = graph.gradients(y, &[x])[0];
    graph.value(slope).to_vec()
}

#[test]
fn gradients_are_what_differences_say() {
    for (name, function) in functions() {
        let (at, direction) = (numbers(12, 2), numbers(12, 9));
        let value = |at: &[f32]| {
            let mut graph = Graph::new();
            let x = graph.given(at.to_vec(), 4);
            let y = function(&mut graph, x);
            f64::from(graph.scalar(y))
        };
        let (found, expected) = (dot(&gradient(function, &at), &direction), difference(value, &at, &direction, 1e-3));
        assert!((found - expected).abs() < 3e-3 * (1.0 + expected.abs()), "{name}: {found}, not {expected}");
    }
}

#[test]
fn gradients_of_gradients_are_what_differences_say() {
    for (name, function) in functions() {
        let (at, direction, along) = (numbers(12, 2), numbers(12, 9), numbers(12, 4));
        let mut graph = Graph::new();
        let x = graph.given(at.clone(), 4);
        let y = function(&mut graph, x);
        let slope = graph.gradients(y, &[x])[0];
        let along_var = graph.given(along.clone(), 4);
        let part = graph.multiply(slope, along_var);
        let part = graph.sum(part);
        let second = graph.gradients(part, &[x])[0];
        let found = dot(graph.value(second), &direction);
        let expected = difference(|at| dot(&gradient(function, at), &along), &at, &direction, 1e-3);
        assert!((found - expected).abs() < 5e-3 * (1.0 + expected.abs()), "{name}: {found}, not {expected}");
    }
}

#[test]
fn what_nothing_depends_on_has_no_slope() {
    let mut graph = Graph::new();
    let (x, other) = (graph.filled([2, 2], 1.0), graph.filled([3, 1], 1.0));
    let y = graph.sum(x);
    let slopes = graph.gradients(y, &[other, x]);
    assert_eq!(graph.value(slopes[0]), [0.0; 3]);
    assert_eq!(graph.value(slopes[1]), [1.0; 4]);
}

proptest! {
    #[test]
    fn large_products_are_those_of_their_parts(rows in 1usize..150, inner in 1usize..200, columns in 1usize..150) {
        let mut graph = Graph::new();
        let a = graph.given(numbers(rows * inner, 1), inner);
        let b = graph.given(numbers(inner * columns, 2), columns);
        let c = graph.product(a, b);
        let (row, column) = (rows / 2, columns / 3);
        let expected: f64 = (0..inner)
            .map(|i| f64::from(graph.value(a)[row * inner + i]) * f64::from(graph.value(b)[i * columns + column]))
            .sum();
        prop_assert!((f64::from(graph.value(c)[row * columns + column]) - expected).abs() < 1e-3);
    }

    #[test]
    fn threads_change_no_bit(rows in 100usize..400, inner in 100usize..400, columns in 100usize..400) {
        let product = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut graph = Graph::new();
                let a = graph.given(numbers(rows * inner, 1), inner);
                let b = graph.given(numbers(inner * columns, 2), columns);
                let c = graph.product(a, b);
                let spans: Spans = vec![0, 20, columns].into();
                let soft = graph.softmax(c, &spans);
                graph.value(soft).to_vec()
            })
        };
        prop_assert_eq!(product(1), product(3));
    }
}
