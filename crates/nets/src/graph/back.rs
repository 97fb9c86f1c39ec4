//! The way back: gradients as operations of the same graph.

use super::{Graph, Op, Var};

impl<'a> Graph<'a> {
    /// The gradient of one number, `[1, 1]`, by each of some matrices, in their shapes. It is a part of the graph, and has
    /// gradients like everything else.
    pub fn gradients(&mut self, of: Var, by: &[Var]) -> Vec<Var> {
        assert_eq!(self.shape(of), [1, 1]);
        let depends = self.dependents(of, by);
        let mut slopes: Vec<Option<Var>> = vec![None; of.0 + 1];
        slopes[of.0] = Some(self.filled([1, 1], 1.0));
        for node in (0..=of.0).rev().filter(|node| depends[*node]) {
            let Some(slope) = slopes[node] else { continue };
            self.back(Var(node), slope, &mut |graph, to: Var, make: &mut dyn FnMut(&mut Graph<'a>) -> Var| {
                if depends[to.0] {
                    let part = make(graph);
                    slopes[to.0] = Some(match slopes[to.0] {
                        Some(sum) => graph.add(sum, part),
                        None => part,
                    });
                }
            });
        }
        let none = |graph: &mut Graph<'a>, by: Var| graph.filled(graph.shape(by), 0.0);
        by.iter().map(|by| slopes.get(by.0).copied().flatten().unwrap_or_else(|| none(self, *by))).collect()
    }

    /// For each matrix up to `of`, whether it depends on one of `by`.
    fn dependents(&self, of: Var, by: &[Var]) -> Vec<bool> {
        let mut depends = vec![false; of.0 + 1];
        for node in 0..=of.0 {
            depends[node] = by.contains(&Var(node)) || self.parents(node).iter().any(|parent| depends[parent.0]);
        }
        depends
    }

    fn parents(&self, node: usize) -> Vec<Var> {
        match &self.nodes[node].op {
            Op::Given => Vec::new(),
            Op::Product { a, b, .. } => vec![*a, *b],
            Op::Linear(inputs, bias) => inputs.iter().flat_map(|(x, weights)| [*x, *weights]).chain([*bias]).collect(),
            Op::Add(a, b) | Op::Subtract(a, b) | Op::Multiply(a, b) | Op::AddRow(a, b) | Op::MultiplyRow(a, b) => {
                vec![*a, *b]
            }
            Op::Join(parts) => parts.clone(),
            Op::Affine(a, _)
            | Op::Power(a, _)
            | Op::Exponential(a)
            | Op::Logarithm(a)
            | Op::HyperbolicTangent(a)
            | Op::Sigmoid(a)
            | Op::Softplus(a)
            | Op::Leaky(a, _)
            | Op::Standardize(a, _)
            | Op::InverseDeviation(a, _)
            | Op::Softmax(a, _)
            | Op::SpanSums(a, _)
            | Op::SumRows(a)
            | Op::SumColumns(a)
            | Op::RepeatRows(a)
            | Op::RepeatColumns(a)
            | Op::Reshape(a)
            | Op::Columns(a, _)
            | Op::Padded(a, _)
            | Op::Take(a, _)
            | Op::Scatter(a, _)
            | Op::Unfold(a, _)
            | Op::Fold(a, _) => vec![*a],
        }
    }

    /// Hands the part of the slope that goes through a matrix to each of those that it is made of.
    fn back(&mut self, node: Var, slope: Var, to: &mut Hand<'_, 'a>) {
        let op = self.nodes[node.0].op.clone();
        match op {
            Op::Given => {}
            Op::Product { a, b, transposed } => self.back_of_product(a, b, transposed, slope, to),
            Op::Linear(inputs, bias) => {
                for (x, weights) in inputs {
                    self.back_of_product(x, weights, [false, false], slope, to);
                }
                to(self, bias, &mut |graph| graph.sum_rows(slope));
            }
            Op::Standardize(a, inverse) => self.back_of_standardize(node, a, inverse, slope, to),
            // The slope of 1/σ by x is -x̂ / (n σ²).
            Op::InverseDeviation(a, standard) => to(self, a, &mut |graph| {
                let square = graph.multiply(node, node);
                let steep = graph.multiply(square, slope);
                let steep = graph.scale(steep, -1.0 / graph.shape(a)[0] as f32);
                graph.multiply_row(standard, steep)
            }),
            Op::Leaky(a, factors) => to(self, a, &mut |graph| graph.times(slope, factors)),
            Op::Add(a, b) => {
                to(self, a, &mut |_| slope);
                to(self, b, &mut |_| slope);
            }
            Op::Subtract(a, b) => {
                to(self, a, &mut |_| slope);
                to(self, b, &mut |graph| graph.scale(slope, -1.0));
            }
            Op::Multiply(a, b) => {
                to(self, a, &mut |graph| graph.multiply(slope, b));
                to(self, b, &mut |graph| graph.multiply(slope, a));
            }
            Op::AddRow(a, row) => {
                to(self, a, &mut |_| slope);
                to(self, row, &mut |graph| graph.sum_rows(slope));
            }
            Op::MultiplyRow(a, row) => {
                to(self, a, &mut |graph| graph.multiply_row(slope, row));
                to(self, row, &mut |graph| {
                    let product = graph.multiply(slope, a);
                    graph.sum_rows(product)
                });
            }
            Op::Join(parts) => {
                let mut start = 0;
                for part in parts {
                    let end = start + self.shape(part)[1];
                    to(self, part, &mut |graph| graph.columns(slope, start..end));
                    start = end;
                }
            }
            Op::SumRows(a) => to(self, a, &mut |graph| graph.repeat_rows(slope, graph.shape(a)[0])),
            Op::SumColumns(a) => to(self, a, &mut |graph| graph.repeat_columns(slope, graph.shape(a)[1])),
            Op::RepeatRows(a) => to(self, a, &mut |graph| graph.sum_rows(slope)),
            Op::RepeatColumns(a) => to(self, a, &mut |graph| graph.sum_columns(slope)),
            Op::Reshape(a) => to(self, a, &mut |graph| graph.reshape(slope, graph.shape(a)[1])),
            Op::Columns(a, start) => to(self, a, &mut |graph| graph.padded(slope, start, graph.shape(a)[1])),
            Op::Padded(a, start) => {
                to(self, a, &mut |graph| graph.columns(slope, start..start + graph.shape(a)[1]));
            }
            Op::Take(a, places) => to(self, a, &mut |graph| graph.scatter(slope, &places, graph.shape(a)[0])),
            Op::Scatter(a, places) => to(self, a, &mut |graph| graph.take(slope, &places)),
            Op::Unfold(a, windows) => to(self, a, &mut |graph| graph.fold(slope, windows)),
            Op::Fold(a, windows) => to(self, a, &mut |graph| graph.unfold(slope, windows)),
            op => self.back_of_function(node, &op, slope, to),
        }
    }

    /// `c = a · b`: the slope of a is s · bᵀ, that of b is aᵀ · s; of transposed ones, transposed.
    fn back_of_product(&mut self, a: Var, b: Var, transposed: [bool; 2], slope: Var, to: &mut Hand<'_, 'a>) {
        let [of_a, of_b] = transposed;
        to(self, a, &mut |graph| match of_a {
            false => graph.product_of(slope, b, [false, !of_b]),
            true => graph.product_of(b, slope, [of_b, true]),
        });
        to(self, b, &mut |graph| match of_b {
            false => graph.product_of(a, slope, [!of_a, false]),
            true => graph.product_of(slope, a, [true, of_a]),
        });
    }

    /// `x̂ = (x - μ) / σ`: the slope of x is (s - mean(s) - x̂ · mean(s · x̂)) / σ (Ioffe & Szegedy 2015, §3).
    fn back_of_standardize(&mut self, node: Var, a: Var, inverse: Var, slope: Var, to: &mut Hand<'_, 'a>) {
        to(self, a, &mut |graph| {
            let share = -1.0 / graph.shape(a)[0] as f32;
            let sum = graph.sum_rows(slope);
            let mean = graph.scale(sum, share);
            let along = graph.multiply(slope, node);
            let along = graph.sum_rows(along);
            let along = graph.scale(along, share);
            let along = graph.multiply_row(node, along);
            let rest = graph.add(slope, along);
            let rest = graph.add_row(rest, mean);
            graph.multiply_row(rest, inverse)
        });
    }

    /// Functions of single numbers or spans.
    fn back_of_function(&mut self, node: Var, op: &Op, slope: Var, to: &mut Hand<'_, 'a>) {
        match op {
            Op::Affine(a, factor) => to(self, *a, &mut |graph| graph.scale(slope, *factor)),
            Op::Power(a, exponent) => to(self, *a, &mut |graph| {
                let power = match *exponent {
                    2.0 => *a,
                    exponent => graph.power(*a, exponent - 1.0),
                };
                let steep = graph.scale(power, *exponent);
                graph.multiply(slope, steep)
            }),
            Op::Exponential(a) => to(self, *a, &mut |graph| graph.multiply(slope, node)),
            Op::Logarithm(a) => to(self, *a, &mut |graph| {
                let inverse = graph.power(*a, -1.0);
                graph.multiply(slope, inverse)
            }),
            Op::HyperbolicTangent(a) => to(self, *a, &mut |graph| {
                let square = graph.multiply(node, node);
                let rest = graph.affine(square, -1.0, 1.0);
                graph.multiply(slope, rest)
            }),
            Op::Sigmoid(a) => to(self, *a, &mut |graph| {
                let rest = graph.affine(node, -1.0, 1.0);
                let steep = graph.multiply(node, rest);
                graph.multiply(slope, steep)
            }),
            Op::Softplus(a) => to(self, *a, &mut |graph| {
                let steep = graph.sigmoid(*a);
                graph.multiply(slope, steep)
            }),
            Op::Softmax(a, spans) => to(self, *a, &mut |graph| {
                let weighted = graph.multiply(slope, node);
                let sums = graph.span_sums(weighted, spans);
                let centred = graph.subtract(slope, sums);
                graph.multiply(node, centred)
            }),
            Op::SpanSums(a, spans) => to(self, *a, &mut |graph| graph.span_sums(slope, spans)),
            _ => {}
        }
    }
}

/// Takes the slope of a matrix, made only where it is wanted.
type Hand<'h, 'a> = dyn FnMut(&mut Graph<'a>, Var, &mut dyn FnMut(&mut Graph<'a>) -> Var) + 'h;
