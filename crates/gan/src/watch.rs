//! How unlike made and real rows are, and whether the generator has collapsed.

use rand::Rng;
use rand::seq::SliceRandom;
use std::collections::HashSet;
use twinmart_encode::leaves::Leaves;
use twinmart_tables::Stream;

/// Classes of a part, at most.
const CLASSES: usize = 10;
/// Rows that a pair of classes has, at least, on average: fewer would say more of chance than of the rows.
const ROWS_OF_A_PAIR: usize = 10;
/// Rounds in which a table is brought to the single parts of another.
const RAKING: usize = 8;
/// Pairs of parts that are looked at, at most.
const PAIRS: usize = 400;
/// Made rows with less than this share of the variety of real ones, in every part on average, are one row again and again.
const VARIETY: f64 = 0.15;

/// Parts in few classes, and which pairs of them are looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    /// `[parts][leaves]` the class of each leaf.
    classes: Vec<Vec<u8>>,
    pairs: Vec<(usize, usize)>,
}

/// What made rows are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Likeness {
    /// Mean over pairs of parts of the total variation distance between the two tables of classes, once the single parts of
    /// made rows are as those of real ones, as calibration makes them: 0 for rows alike, 1 for rows that have nothing in
    /// common.
    pub(crate) distance: f64,
    /// Entropy of the parts of made rows, as a share of that of real ones.
    pub(crate) variety: f64,
}

impl Likeness {
    /// True where made rows say next to nothing but one thing.
    pub(crate) fn has_collapsed(&self) -> bool {
        self.variety < VARIETY
    }
}

impl Watch {
    /// Classes of about equal weight, as many as `rows` rows can tell apart; `stream` draws the pairs where there are too
    /// many.
    pub(crate) fn of(parts: &[Leaves], rows: usize, stream: &mut Stream) -> Watch {
        let count = ((rows / ROWS_OF_A_PAIR) as f64).sqrt() as usize;
        let classes = |part: &Leaves| classes(part, count.clamp(3, CLASSES));
        let mut pairs: Vec<(usize, usize)> = (0..parts.len()).flat_map(|a| (0..a).map(move |b| (b, a))).collect();
        if pairs.len() > PAIRS {
            pairs.shuffle(stream);
            pairs.truncate(PAIRS);
            pairs.sort_unstable();
        }
        if pairs.is_empty() {
            pairs = (0..parts.len()).map(|a| (a, a)).collect();
        }
        Watch { classes: parts.iter().map(classes).collect(), pairs }
    }

    /// Made rows held against real ones, both as leaves `[parts][rows]`.
    pub(crate) fn compare(&self, made: &[Vec<u32>], real: &[Vec<u32>]) -> Likeness {
        let (made, real) = (self.classes_of(made), self.classes_of(real));
        let distances = self.pairs.iter().map(|(a, b)| {
            let [made, real] = [&made, &real].map(|rows| table(&rows[*a], &rows[*b]));
            raked(made, &real).iter().zip(&real).map(|(x, y)| (x - y).abs()).sum::<f64>() / 2.0
        });
        let distance = distances.sum::<f64>() / self.pairs.len().max(1) as f64;
        let varieties = made.iter().zip(&real).map(|(made, real)| (entropy(made), entropy(real)));
        let told: Vec<f64> = varieties.filter(|(_, real)| *real > 0.1).map(|(made, real)| made / real).collect();
        let variety = if told.is_empty() { 1.0 } else { told.iter().sum::<f64>() / told.len() as f64 };
        Likeness { distance, variety }
    }

    fn classes_of(&self, leaves: &[Vec<u32>]) -> Vec<Vec<u8>> {
        let of_part =
            |(classes, leaves): (&Vec<u8>, &Vec<u32>)| leaves.iter().map(|leaf| classes[*leaf as usize]).collect();
        self.classes.iter().zip(leaves).map(of_part).collect()
    }
}

/// The class of each leaf of a part: neighbours together where it is ordered, else rare ones together.
fn classes(part: &Leaves, count: usize) -> Vec<u8> {
    let total: u64 = part.weights.iter().sum::<u64>().max(1);
    if part.ordered {
        let mut below = 0;
        let of_leaf = |weight: &u64| {
            let middle = below as f64 + *weight as f64 / 2.0;
            below += weight;
            ((middle / total as f64 * count as f64) as usize).min(count - 1) as u8
        };
        return part.weights.iter().map(of_leaf).collect();
    }
    let mut order: Vec<usize> = (0..part.weights.len()).collect();
    order.sort_by_key(|leaf| std::cmp::Reverse(part.weights[*leaf]));
    let mut classes = vec![count as u8 - 1; part.weights.len()];
    order.iter().take(count - 1).enumerate().for_each(|(class, leaf)| classes[*leaf] = class as u8);
    classes
}

/// Shares of the pairs of classes.
fn table(a: &[u8], b: &[u8]) -> Vec<f64> {
    let mut counts = vec![0f64; CLASSES * CLASSES];
    a.iter().zip(b).for_each(|(a, b)| counts[*a as usize * CLASSES + *b as usize] += 1.0);
    counts.iter_mut().for_each(|count| *count /= a.len().max(1) as f64);
    counts
}

/// A table with the row and column sums of another (Deming & Stephan, "On a least squares adjustment of a sampled frequency
/// table", 1940).
fn raked(mut table: Vec<f64>, like: &[f64]) -> Vec<f64> {
    let sums = |table: &[f64], of: fn(usize) -> usize| {
        let mut sums = [0f64; CLASSES];
        table.iter().enumerate().for_each(|(at, share)| sums[of(at)] += share);
        sums
    };
    for _ in 0..RAKING {
        for of in [|at: usize| at / CLASSES, |at: usize| at % CLASSES] {
            let (own, wanted) = (sums(&table, of), sums(like, of));
            for (at, share) in table.iter_mut().enumerate() {
                *share *= wanted[of(at)] / own[of(at)].max(1e-12);
            }
        }
    }
    table
}

fn entropy(classes: &[u8]) -> f64 {
    let mut counts = [0f64; CLASSES];
    classes.iter().for_each(|class| counts[*class as usize] += 1.0);
    let shares = counts.iter().map(|count| count / classes.len().max(1) as f64).filter(|share| *share > 0.0);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

/// `count` different numbers below `below`, in ascending order; all of them where there are no more.
pub(crate) fn some_of(below: usize, count: usize, stream: &mut Stream) -> Vec<usize> {
    if count >= below {
        return (0..below).collect();
    }
    // Floyd's algorithm (Bentley & Floyd, "Programming pearls: a sample of brilliance", 1987).
    let mut chosen = HashSet::with_capacity(count);
    for last in below - count..below {
        let at = stream.random_range(0..=last);
        if !chosen.insert(at) {
            chosen.insert(last);
        }
    }
    let mut chosen: Vec<usize> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_tables::Draws;

    fn category(leaves: usize) -> Leaves {
        Leaves {
            column: 0,
            ordered: false,
            missing: false,
            apart: 0,
            weights: vec![10; leaves],
            positions: vec![f64::NAN; leaves],
            sub_columns: 0..1,
        }
    }

    #[test]
    fn distances_are_those_of_the_tables() {
        let watch = Watch::of(&[category(2), category(2)], 1_000, &mut Draws::new(1).stream("pairs"));
        let real = [vec![0, 0, 1, 1], vec![0, 1, 0, 1]];
        let same = watch.compare(&real, &real);
        assert_eq!((same.distance, same.variety), (0.0, 1.0));
        // Shares ¼ each against ½, 0, 0, ½: the distance is ½, each part by itself is as before.
        let found = watch.compare(&[vec![0, 0, 1, 1], vec![0, 0, 1, 1]], &real);
        assert!((found.distance - 0.5).abs() < 1e-12 && !found.has_collapsed());
        let constant = watch.compare(&[vec![1; 4], vec![1; 4]], &real);
        assert!(constant.distance > 0.4 && constant.has_collapsed());
        // Other shares of single parts, and parts as independent as real ones: nothing to tell once they are calibrated.
        let shifted = watch.compare(&[vec![0, 0, 0, 1, 1, 1, 1, 1, 1], vec![0, 1, 1, 0, 0, 1, 1, 1, 1]], &real);
        assert!(shifted.distance < 1e-6, "{}", shifted.distance);
    }

    #[test]
    fn some_are_different_and_all_are_possible() {
        let mut stream = Draws::new(2).stream("some");
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let some = some_of(20, 6, &mut stream);
            assert!(some.len() == 6 && some.is_sorted_by(|a, b| a < b) && some[5] < 20);
            seen.extend(some);
        }
        assert_eq!(seen.len(), 20);
    }
}
