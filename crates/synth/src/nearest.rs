//! The k nearest rows, by the distance of SMOTE-NC (Chawla et al. 2002, §6.1):
//!
//! d² = Σ over numbers ((x − x′)/σ)² + Σ over categories m²·[c ≠ c′], m = median of the σ of the standardised numbers.
//!
//! Standardised numbers have σ = 1, hence m = 1 (also where there are no numbers). A missing number sits at the mean and
//! its absence counts as a category. d is a metric, so a vantage-point tree (Yianilos, "Data structures and algorithms for
//! nearest neighbor search in general metric spaces", 1993) can leave out whole parts of the table: what lies at distances
//! [a, b] from a vantage point that is d away is at least max(d − b, a − d) away. Parts are opened nearest first. A leaf is
//! scanned column by column: bound by arithmetic, four to eight numbers an instruction. Ties go to the lower row, so threads
//! change nothing.
//!
//! A search ends at the latest when it has looked at [`most_looked_at`] rows: with many unrelated columns no part can be
//! left out, and the neighbours are then the nearest of the rows in the parts that could lie nearest. Tables of up to that
//! many rows always get the exact answer.

use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use twinmart_tables::{Progress, Result};

/// Rows of a leaf, at most: their sums stay in the first-level cache.
const LEAF: usize = 64;
/// Rows that one task handles.
const BLOCK: usize = 64;
/// Rows that are tried as a vantage point, and rows whose distances judge them.
const TRIED: usize = 8;
const JUDGES: usize = 24;

/// Rows that a search looks at: a million numbers, but no fewer than 20,000 rows and no more than 100,000.
fn most_looked_at(axes: usize) -> usize {
    (1_000_000 / axes.max(1)).clamp(20_000, 100_000)
}

/// One column as coordinates: `[rows]`.
#[derive(Debug, Clone)]
pub(crate) enum Axis {
    /// Standardised numbers.
    Number(Vec<f32>),
    /// Codes.
    Category(Vec<u32>),
}

/// The axes of an ordered column: its numbers (NaN = missing) standardised, and its absence where any is missing.
pub(crate) fn number_axes(values: &[f64]) -> Vec<Axis> {
    let present: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    let count = present.len().max(1) as f64;
    let mean = present.iter().map(|x| x / count).sum::<f64>();
    let deviation = present.iter().map(|x| (x - mean).powi(2) / count).sum::<f64>().sqrt();
    let scale = if deviation > 0.0 && deviation.is_finite() { 1.0 / deviation } else { 0.0 };
    // Missing numbers, and differences that overflow, sit at the mean.
    let standardised = values.iter().map(|x| ((x - mean) * scale) as f32);
    let mut axes = vec![Axis::Number(standardised.map(|z| if z.is_finite() { z } else { 0.0 }).collect())];
    if present.len() < values.len() {
        axes.push(Axis::Category(values.iter().map(|x| u32::from(x.is_nan())).collect()));
    }
    axes
}

/// `[queries][k]` the nearest candidates of each query row, itself excluded, nearest first. Fewer than k other candidates:
/// the list starts over; none: the row itself.
pub(crate) fn nearest_rows(
    axes: &[Axis],
    queries: &[usize],
    candidates: &[usize],
    k: usize,
    progress: &Progress,
) -> Result<Vec<u64>> {
    let task = progress.start("finding similar rows", Some(queries.len() as u64), "rows");
    let index = Index::of(axes, candidates, most_looked_at(axes.len()));
    let order = index.side_by_side(queries);
    let blocks = order.par_chunks(BLOCK).map(|block| {
        task.advance(block.len() as u64)?;
        Ok(block.iter().flat_map(|place| index.nearest(queries[*place], k)).collect())
    });
    let found: Vec<Vec<u64>> = blocks.collect::<Result<_>>()?;
    let mut nearest = vec![0; queries.len() * k];
    for (place, found) in order.iter().zip(found.iter().flat_map(|block| block.chunks(k))) {
        nearest[place * k..(place + 1) * k].copy_from_slice(found);
    }
    Ok(nearest)
}

impl Axis {
    fn at(&self, rows: &[usize]) -> Axis {
        match self {
            Axis::Number(x) => Axis::Number(rows.iter().map(|r| x[*r]).collect()),
            Axis::Category(c) => Axis::Category(rows.iter().map(|r| c[*r]).collect()),
        }
    }

    fn squared(&self, a: usize, b: usize) -> f32 {
        match self {
            Axis::Number(x) => (x[a] - x[b]) * (x[a] - x[b]),
            Axis::Category(c) => f32::from(u8::from(c[a] != c[b])),
        }
    }
}

fn distance(axes: &[Axis], a: usize, b: usize) -> f32 {
    axes.iter().map(|axis| axis.squared(a, b)).sum::<f32>().sqrt()
}

/// A vantage-point tree over the candidates.
struct Index<'a> {
    axes: &'a [Axis],
    /// Candidates in the order of the leaves.
    rows: Vec<usize>,
    /// Their coordinates in that order.
    pool: Vec<Axis>,
    root: Node,
    /// Relative error of a distance, with room to spare.
    slack: f32,
    /// Rows that one search looks at.
    most: usize,
}

/// A part of the candidates.
struct Node {
    /// Where they lie in the order of the leaves.
    range: Range<usize>,
    lowest_row: usize,
    /// None for a leaf.
    split: Option<Box<Split>>,
}

/// A vantage point, and the nearer and the farther half of a part.
struct Split {
    vantage: usize,
    halves: [Half; 2],
}

struct Half {
    node: Node,
    /// Distances to the vantage point.
    least: f32,
    most: f32,
}

impl Index<'_> {
    fn of<'a>(axes: &'a [Axis], candidates: &[usize], most: usize) -> Index<'a> {
        let mut rows = candidates.to_vec();
        let root = Node::grow(axes, &mut rows, 0);
        let pool = axes.iter().map(|axis| axis.at(&rows)).collect();
        Index { axes, rows, pool, root, slack: (axes.len() + 4) as f32 * f32::EPSILON, most }
    }

    /// Places of the queries such that those of one leaf follow each other: they read the same memory.
    fn side_by_side(&self, queries: &[usize]) -> Vec<usize> {
        let rows = self.rows.iter().chain(queries).max().map_or(0, |row| row + 1);
        let mut place = vec![usize::MAX; rows];
        self.rows.iter().enumerate().for_each(|(at, row)| place[*row] = at);
        let mut order: Vec<usize> = (0..queries.len()).collect();
        order.sort_by_key(|at| place[queries[*at]]);
        order
    }

    fn nearest(&self, row: usize, k: usize) -> Vec<u64> {
        let mut best = Nearest::new(k);
        let mut looked_at = 0;
        let mut open = BinaryHeap::from([Open { bound: 0.0, node: &self.root }]);
        while let Some(Open { bound, node }) = open.pop() {
            // All that is still open lies as far away or farther.
            if looked_at >= self.most || !best.takes(bound * bound, node.lowest_row) {
                break;
            }
            let Some(split) = &node.split else {
                self.scan(row, node.range.clone(), &mut best);
                looked_at += node.range.len();
                continue;
            };
            let away = distance(self.axes, row, split.vantage);
            for half in &split.halves {
                let apart = (away - half.most).max(half.least - away) - 3.0 * self.slack * (away + half.most);
                let bound = bound.max(apart);
                if best.takes(bound * bound, half.node.lowest_row) {
                    open.push(Open { bound, node: &half.node });
                }
            }
        }
        best.filled(row as u64)
    }

    fn scan(&self, row: usize, range: Range<usize>, best: &mut Nearest) {
        let mut sums = [0f32; LEAF];
        let sums = &mut sums[..range.len()];
        for (axis, pool) in self.axes.iter().zip(&self.pool) {
            match (axis, pool) {
                (Axis::Number(x), Axis::Number(y)) => add_numbers(sums, x[row], &y[range.clone()]),
                (Axis::Category(x), Axis::Category(y)) => add_categories(sums, x[row], &y[range.clone()]),
                _ => {}
            }
        }
        for (candidate, squared) in self.rows[range].iter().zip(sums) {
            if *candidate != row && best.takes(*squared, *candidate) {
                best.insert(*squared, *candidate);
            }
        }
    }
}

impl Node {
    /// Brings `rows`, which begin at `start` in the order of the leaves, into that order.
    fn grow(axes: &[Axis], rows: &mut [usize], start: usize) -> Node {
        let range = start..start + rows.len();
        let lowest_row = rows.iter().copied().min().unwrap_or(0);
        if rows.len() <= LEAF {
            return Node { range, lowest_row, split: None };
        }
        let vantage = vantage(axes, rows);
        let mut away: Vec<(f32, usize)> = rows.iter().map(|row| (distance(axes, vantage, *row), *row)).collect();
        let middle = away.len() / 2;
        away.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        rows.iter_mut().zip(&away).for_each(|(row, (_, of))| *row = *of);
        let (inner, outer) = rows.split_at_mut(middle);
        let nodes = rayon::join(|| Node::grow(axes, inner, start), || Node::grow(axes, outer, start + middle));
        let half = |node, away: &[(f32, usize)]| {
            let ends = away.iter().fold((f32::INFINITY, 0f32), |(least, most), (d, _)| (least.min(*d), most.max(*d)));
            Half { node, least: ends.0, most: ends.1 }
        };
        let halves = [half(nodes.0, &away[..middle]), half(nodes.1, &away[middle..])];
        Node { range, lowest_row, split: Some(Box::new(Split { vantage, halves })) }
    }
}

/// Of a few rows, the one whose distances to some others differ most: it tells most parts apart.
fn vantage(axes: &[Axis], rows: &[usize]) -> usize {
    let some = |count: usize| rows.iter().copied().step_by((rows.len() / count).max(1)).take(count);
    let variance = |row: usize| {
        let away: Vec<f32> = some(JUDGES).map(|judge| distance(axes, row, judge)).collect();
        let mean = away.iter().sum::<f32>() / away.len() as f32;
        away.iter().map(|d| (d - mean) * (d - mean)).sum::<f32>()
    };
    let tried = some(TRIED).map(|row| (variance(row), row));
    tried.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map_or(rows[0], |(_, row)| row)
}

/// A part that may hold neighbours; the nearest part first, then that with the lowest row.
struct Open<'a> {
    /// No row of it is nearer.
    bound: f32,
    node: &'a Node,
}

impl Ord for Open<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.bound.total_cmp(&self.bound).then(other.node.lowest_row.cmp(&self.node.lowest_row))
    }
}

impl PartialOrd for Open<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Open<'_> {}

fn add_numbers(sums: &mut [f32], x: f32, pool: &[f32]) {
    for (sum, y) in sums.iter_mut().zip(pool) {
        *sum += (x - y) * (x - y);
    }
}

fn add_categories(sums: &mut [f32], x: u32, pool: &[u32]) {
    for (sum, y) in sums.iter_mut().zip(pool) {
        *sum += if x == *y { 0.0 } else { 1.0 };
    }
}

/// The k nearest so far (squared distance, row), nearest first, ties by row.
struct Nearest {
    k: usize,
    found: Vec<(f32, usize)>,
}

impl Nearest {
    fn new(k: usize) -> Nearest {
        Nearest { k, found: Vec::with_capacity(k + 1) }
    }

    /// True where such a row would be among the k nearest.
    fn takes(&self, squared: f32, row: usize) -> bool {
        match self.found.last() {
            Some(worst) if self.found.len() == self.k => squared < worst.0 || (squared == worst.0 && row < worst.1),
            _ => true,
        }
    }

    fn insert(&mut self, squared: f32, row: usize) {
        let place = self.found.partition_point(|(d, r)| *d < squared || (*d == squared && *r < row));
        self.found.insert(place, (squared, row));
        self.found.truncate(self.k);
    }

    fn filled(self, row: u64) -> Vec<u64> {
        if self.found.is_empty() {
            return vec![row; self.k];
        }
        self.found.iter().map(|(_, r)| *r as u64).cycle().take(self.k).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition: all distances, sorted.
    fn brute_force(axes: &[Axis], query: usize, candidates: &[usize], k: usize) -> Vec<u64> {
        let others = candidates.iter().filter(|c| **c != query);
        let mut all: Vec<(f32, usize)> =
            others.map(|c| (axes.iter().fold(0.0, |sum, axis| sum + axis.squared(query, *c)), *c)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        match all.len() {
            0 => vec![query as u64; k],
            n => (0..k).map(|i| all[i % k.min(n)].1 as u64).collect(),
        }
    }

    fn agrees(axes: &[Axis], queries: &[usize], candidates: &[usize], k: usize) {
        let found = nearest_rows(axes, queries, candidates, k, &Progress::silent()).unwrap();
        for (query, found) in queries.iter().zip(found.chunks(k)) {
            assert_eq!(found, brute_force(axes, *query, candidates, k), "row {query}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            rows in prop::collection::vec((prop::option::of(-50i32..50), 0u32..4, any::<i16>()), 2..900),
            k in 1usize..9, with_wide in any::<bool>(), every in 1usize..4,
        ) {
            let mut axes = number_axes(&rows.iter().map(|r| r.0.map_or(f64::NAN, f64::from)).collect::<Vec<_>>());
            axes.push(Axis::Category(rows.iter().map(|r| r.1).collect()));
            if with_wide {
                axes.extend(number_axes(&rows.iter().map(|r| f64::from(r.2)).collect::<Vec<_>>()));
            }
            let all: Vec<usize> = (0..rows.len()).collect();
            let some: Vec<usize> = (0..rows.len()).step_by(every).collect();
            agrees(&axes, &all, &some, k);
            agrees(&axes, &some, &all, k);
        }
    }

    #[test]
    fn equal_rows_and_extreme_numbers_are_found_too() {
        let all: Vec<usize> = (0..1000).collect();
        agrees(&[], &all, &all, 3);
        agrees(&[Axis::Category(vec![7; 1000])], &all, &all, 5);
        agrees(
            &number_axes(&(0..1000).map(|i| if i % 100 == 0 { 1e300 } else { f64::from(i % 7) }).collect::<Vec<_>>()),
            &all,
            &all,
            4,
        );
        agrees(&number_axes(&[-1.7e308, 1.7e308, 1.7e308, f64::NAN]), &all[..4], &all[..4], 2);
    }

    #[test]
    fn a_lonely_row_is_its_own_neighbour() {
        let axes = number_axes(&[1.0]);
        assert_eq!(nearest_rows(&axes, &[0], &[0], 3, &Progress::silent()).unwrap(), [0, 0, 0]);
    }

    #[test]
    fn parts_far_away_are_not_opened_and_work_is_bounded() {
        let axes = number_axes(&(0..100_000).map(f64::from).collect::<Vec<_>>());
        let all: Vec<usize> = (0..100_000).collect();
        // Two leaves and those at their borders hold the nearest: far fewer than all rows.
        let few = Index::of(&axes, &all, 1000);
        assert_eq!(few.nearest(50_000, 2), [49_999, 50_001]);
        // Of 64 unrelated columns nothing can be left out; the search ends all the same.
        let column = |seed: u64| (0..5000u64).map(move |i| ((i * 2_654_435_761 * (2 * seed + 3)) >> 7) as f64 % 1009.0);
        let axes: Vec<Axis> = (0..64).flat_map(|seed| number_axes(&column(seed).collect::<Vec<_>>())).collect();
        let index = Index::of(&axes, &all[..5000], 200);
        assert_eq!(index.nearest(17, 5).len(), 5);
        assert_eq!(most_looked_at(0), 100_000);
        assert_eq!(most_looked_at(5000), 20_000);
    }
}
