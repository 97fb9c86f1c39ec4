//! Whether a row will have what is asked of all rows, told from its first columns: a guide sharpened for one question.
//!
//! For every sub-column p, P(the rest of what is asked | nodes up to p) = σ(logit of the mixture's answer + Σ_{q ≤ p} w_pq[node_q]): a
//! logistic regression on the nodes that a row has reached, beginning from what the mixture says, learned from rows that were
//! drawn from the density to be guided. Weights of a sub-column are set by Newton steps with a ridge, one sub-column after the
//! other (backfitting; Hastie & Tibshirani, "Generalized additive models", 1990, §6.3). The mixture sees what columns say together, the
//! regression says better what each says alone.

use crate::mixture::chains;
use rayon::prelude::*;
use twinmart_encode::codes::{Codes, SubColumn, nodes, parents};
use twinmart_nets::exponential::exponential;

/// Rounds over all sub-columns so far.
const ROUNDS: usize = 3;
/// Ridge on weights, in rows.
const RIDGE: f32 = 1.0;
/// Drawn rows that must have what is asked, about; with fewer nothing is learned.
const FEWEST: f32 = 200.0;
/// More sub-columns than this would need too many weights.
const MOST_SUB_COLUMNS: usize = 128;

/// Predictors of what is asked, one for each sub-column.
#[derive(Debug, Clone)]
pub(crate) struct Foresight {
    predictors: Vec<Predictor>,
}

#[derive(Debug, Clone)]
struct Predictor {
    /// By sub-column up to this one, a weight for each node.
    weights: Vec<Vec<f32>>,
    /// By node of this sub-column, e to its weight.
    own: Vec<f32>,
}

impl Foresight {
    /// Learns from drawn rows; `leaves` has what is asked of chains, as in [`crate::guide::Asked`], and `logits[p][row]` is what the
    /// mixture says after sub-column p. `None` where too few rows have it.
    pub(crate) fn learn(drawn: &Codes, leaves: &[(usize, Vec<f32>)], logits: &[Vec<f32>]) -> Option<Foresight> {
        let sub_columns = &drawn.sub_columns;
        if sub_columns.len() > MOST_SUB_COLUMNS {
            return None;
        }
        let above = parents(sub_columns, &drawn.values);
        let reached: Vec<Vec<u32>> =
            sub_columns.iter().enumerate().map(|(p, s)| nodes(s, &above[p], &drawn.values[p])).collect();
        let (labels, whole) = labels(sub_columns, &reached, leaves);
        if whole.iter().sum::<f32>() < FEWEST {
            return None;
        }
        // Nothing is asked behind the last asked chain, so predictors beyond are never looked at.
        let one = |p: usize| Predictor::learn(sub_columns, &reached[..=p], &labels[p], logits[p].clone());
        Some(Foresight { predictors: (0..labels.len()).into_par_iter().map(one).collect() })
    }

    /// e to Σ_{q < p} w_pq[node_q] of a row; `reached` gives its nodes.
    pub(crate) fn before(&self, p: usize, reached: impl Fn(usize) -> u32) -> f32 {
        let weights = self.predictors[p].weights[..p].iter().enumerate();
        exponential(weights.map(|(q, weights)| weights[reached(q) as usize]).sum::<f32>())
    }

    /// By node of sub-column p, e to w_pp.
    pub(crate) fn own(&self, p: usize) -> &[f32] {
        &self.predictors[p].own
    }
}

/// For each sub-column up to the end of the last asked chain, what is still asked behind it: for each row the product of the
/// permitted shares of the leaves that it will reach; and the product of all.
fn labels(sub_columns: &[SubColumn], reached: &[Vec<u32>], leaves: &[(usize, Vec<f32>)]) -> (Vec<Vec<f32>>, Vec<f32>) {
    let mut product = vec![1f32; reached.first().map_or(0, Vec::len)];
    let mut labels: Vec<Vec<f32>> = Vec::new();
    for chain in chains(sub_columns).into_iter().rev() {
        let asked = leaves.iter().find(|(first, _)| *first == chain.start);
        let last = chain.end - 1;
        let behind = product.clone();
        if let Some((_, shares)) = asked {
            product.iter_mut().zip(&reached[last]).for_each(|(x, leaf)| *x *= shares[*leaf as usize]);
        }
        if asked.is_none() && labels.is_empty() {
            continue;
        }
        labels.push(behind);
        (chain.start..last).for_each(|_| labels.push(product.clone()));
    }
    labels.reverse();
    (labels, product)
}

impl Predictor {
    fn learn(sub_columns: &[SubColumn], reached: &[Vec<u32>], labels: &[f32], mut scores: Vec<f32>) -> Predictor {
        let mut weights: Vec<Vec<f32>> = sub_columns[..reached.len()].iter().map(|s| vec![0f32; s.nodes()]).collect();
        // Where nothing is ahead, there is nothing to learn.
        let rounds = if labels.iter().all(|label| *label >= 1.0) { 0 } else { ROUNDS };
        for _ in 0..rounds {
            for (weights, reached) in weights.iter_mut().zip(reached) {
                let mut sums = vec![(0f32, RIDGE); weights.len()];
                for ((score, label), node) in scores.iter().zip(labels).zip(reached) {
                    let p = sigmoid(*score);
                    let (slope, curvature) = &mut sums[*node as usize];
                    *slope += label - p;
                    *curvature += p * (1.0 - p);
                }
                let steps: Vec<f32> = sums
                    .iter()
                    .zip(weights.iter())
                    .map(|((slope, curvature), weight)| ((slope - RIDGE * weight) / curvature).clamp(-2.0, 2.0))
                    .collect();
                weights.iter_mut().zip(&steps).for_each(|(weight, step)| *weight += step);
                scores.iter_mut().zip(reached).for_each(|(score, node)| *score += steps[*node as usize]);
            }
        }
        let own = weights.last().map(|own| own.iter().map(|w| exponential(*w)).collect()).unwrap_or_default();
        Predictor { weights, own }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exponential((-x).min(80.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::planted;

    #[test]
    fn odds_given_the_first_columns_are_those_of_the_data() {
        // The last column mostly says whether the first two agree; asked is its leaf 1. The second column in two levels.
        let drawn = planted(20_000, "drawn");
        // Without a mixture's help: every second row, says a mixture that knows nothing.
        let nothing = vec![vec![0f32; 20_000]; 5];
        let foresight = Foresight::learn(&drawn, &[(4, vec![0.0, 1.0])], &nothing).unwrap();
        let (coarse, other) = (&drawn.values[0], &drawn.values[2]);
        let told = |odds: f32| odds / (1.0 + odds);
        // Before the third sub-column only chance is known of it: coarse 1 agrees with two of three.
        for (node, expected) in [(0usize, (0.9 + 2.0 * 0.1) / 3.0), (1, (0.1 + 2.0 * 0.9) / 3.0)] {
            let foreseen = told(foresight.before(0, |_| 0) * foresight.own(0)[node]);
            assert!((foreseen - expected).abs() < 0.03, "{node}: {foreseen}, not {expected}");
        }
        // The share of rows is right whatever an additive model cannot say.
        let reached = |row: usize| [coarse[row], 2 * coarse[row] + drawn.values[1][row]];
        let all = (0..coarse.len())
            .map(|row| told(foresight.before(2, |q| reached(row)[q]) * foresight.own(2)[other[row] as usize]));
        let mean = all.sum::<f32>() / coarse.len() as f32;
        let share = drawn.values[4].iter().filter(|code| **code == 1).count() as f32 / coarse.len() as f32;
        assert!((mean - share).abs() < 0.01, "{mean}, not {share}");
        assert!(Foresight::learn(&planted(150, "few"), &[(4, vec![0.0, 1.0])], &nothing).is_none());
    }

    #[test]
    fn labels_are_what_is_still_ahead() {
        let drawn = planted(5, "drawn");
        let above = parents(&drawn.sub_columns, &drawn.values);
        let reached: Vec<Vec<u32>> =
            (0..5).map(|p| nodes(&drawn.sub_columns[p], &above[p], &drawn.values[p])).collect();
        let shares = [vec![0.5, 1.0, 0.25, 0.0, 1.0], vec![0.0, 1.0, 0.5]];
        let (labels, whole) = labels(&drawn.sub_columns, &reached, &[(0, shares[0].clone()), (2, shares[1].clone())]);
        assert_eq!(labels.len(), 3);
        for row in 0..5 {
            let [first, second] = [shares[0][reached[1][row] as usize], shares[1][reached[2][row] as usize]];
            assert_eq!([labels[0][row], labels[1][row], labels[2][row]], [first * second, second, 1.0]);
            assert_eq!(whole[row], first * second);
        }
    }
}
