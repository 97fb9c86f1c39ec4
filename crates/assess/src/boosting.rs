//! Gradient-boosted trees on binned columns: the learner behind detection and train-on-synthetic.
//!
//! Friedman, "Greedy function approximation" (2001), with second-order leaves (Chen and Guestrin 2016) and histogram
//! search, leaf by leaf (Ke et al. 2017). A column has at most 256 bins; a split is a set of bins that go left, so
//! numbers, categories and missing values take one path. One round fits a tree to g = ∂L/∂f, h = ∂²L/∂f² and adds
//! −η·G/(H + λ) in each leaf. Sums run over rows in a fixed order: the same input gives the same model on any machine
//! with the same instruction set, whatever the number of threads.

use crate::frame::{Frame, Values};
use rand::seq::SliceRandom;
use std::collections::HashMap;
use twinmart_tables::Stream;

/// Rounds at most; fewer when the validation loss stops falling.
const ROUNDS: usize = 200;
/// Rounds without a better validation loss before training stops.
const PATIENCE: usize = 10;
/// Share of the training rows that decides when to stop.
const VALIDATION_SHARE: f64 = 0.1;
/// η.
const LEARNING_RATE: f64 = 0.1;
/// λ.
const RIDGE: f64 = 1.0;
const LEAVES: usize = 31;
const ROWS_PER_LEAF: u32 = 20;
const HESSIAN_PER_LEAF: f64 = 1e-3;
/// Categories with fewer rows in a node are not sorted by their gradient: too few to tell.
const ROWS_PER_CATEGORY: u32 = 10;

const MISSING: u8 = 255;
/// Largest number of bins of present values; category bin 254 holds all but the most frequent values.
const PRESENT_BINS: usize = 255;

/// What is to be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objective {
    /// Labels 0 and 1; predictions are log odds.
    Logistic,
    /// Numbers; predictions are numbers.
    Squared,
}

/// How each column becomes bins.
pub(crate) struct Binner {
    columns: Vec<ColumnBins>,
}

enum ColumnBins {
    /// Ascending borders; bin of x = number of borders < x.
    Ordered(Vec<f64>),
    /// Bin of the frequent codes.
    Category(HashMap<u32, u8>),
}

/// A frame in bins, column by column.
pub(crate) struct Binned {
    columns: Vec<Vec<u8>>,
    is_category: Vec<bool>,
    rows: usize,
}

impl Binner {
    /// Borders at the quantiles of `frame`, or between its distinct values where these are few; frequent categories.
    pub(crate) fn fit(frame: &Frame) -> Binner {
        let columns = frame.columns.iter().map(|values| match values {
            Values::Ordered(x) => ColumnBins::Ordered(borders(x)),
            Values::Category(codes) => {
                let frequent = crate::frame::most_frequent(codes, PRESENT_BINS - 1);
                ColumnBins::Category(frequent.into_iter().enumerate().map(|(bin, code)| (code, bin as u8)).collect())
            }
        });
        Binner { columns: columns.collect() }
    }

    /// The bins of a frame with the same columns.
    pub(crate) fn bin(&self, frame: &Frame) -> Binned {
        let bin_column = |(bins, values): (&ColumnBins, &Values)| match (bins, values) {
            (ColumnBins::Ordered(borders), Values::Ordered(x)) => {
                x.iter().map(|x| if x.is_nan() { MISSING } else { borders.partition_point(|b| b < x) as u8 }).collect()
            }
            (ColumnBins::Category(frequent), Values::Category(codes)) => {
                codes.iter().map(|c| frequent.get(c).copied().unwrap_or((PRESENT_BINS - 1) as u8)).collect()
            }
            _ => vec![MISSING; frame.rows],
        };
        Binned {
            columns: self.columns.iter().zip(&frame.columns).map(bin_column).collect(),
            is_category: self.columns.iter().map(|c| matches!(c, ColumnBins::Category(_))).collect(),
            rows: frame.rows,
        }
    }
}

fn borders(x: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = x.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    if distinct.len() <= PRESENT_BINS {
        return distinct.windows(2).map(|w| w[0] + (w[1] - w[0]) / 2.0).collect();
    }
    let mut borders: Vec<f64> = (1..PRESENT_BINS).map(|q| sorted[q * sorted.len() / PRESENT_BINS]).collect();
    borders.dedup();
    borders
}

/// A set of bins.
#[derive(Clone, Copy, Default)]
struct BinSet([u64; 4]);

impl BinSet {
    fn insert(&mut self, bin: u8) {
        self.0[usize::from(bin >> 6)] |= 1 << (bin & 63);
    }
    fn contains(&self, bin: u8) -> bool {
        self.0[usize::from(bin >> 6)] >> (bin & 63) & 1 == 1
    }
}

enum Node {
    Split { column: usize, left: BinSet, children: [usize; 2] },
    Leaf(f64),
}

/// A fitted model: a constant plus trees.
pub(crate) struct Boosted {
    start: f64,
    trees: Vec<Vec<Node>>,
}

impl Boosted {
    /// Fits `labels[row]` on the given rows. `stream` chooses the rows that decide when to stop.
    pub(crate) fn fit(
        data: &Binned,
        labels: &[f64],
        rows: &[usize],
        objective: Objective,
        mut stream: Stream,
    ) -> Boosted {
        let mut order = rows.to_vec();
        order.shuffle(&mut stream);
        let (validation, training) = order.split_at((VALIDATION_SHARE * rows.len() as f64) as usize);
        let mut training = training.to_vec();
        training.sort_unstable();

        let mean = training.iter().map(|r| labels[*r]).sum::<f64>() / training.len().max(1) as f64;
        let start = match objective {
            Objective::Squared => mean,
            Objective::Logistic => {
                let p = mean.clamp(1e-6, 1.0 - 1e-6);
                (p / (1.0 - p)).ln()
            }
        };
        let mut model = Boosted { start, trees: Vec::new() };
        let mut score = vec![start; data.rows];
        let mut best = (loss(objective, &score, labels, validation), 0);
        while model.trees.len() < ROUNDS {
            let slopes: Vec<Slope> = training.iter().map(|r| slope(objective, score[*r], labels[*r])).collect();
            let tree = Grower::new(data, &training, slopes).grow();
            for &row in training.iter().chain(validation) {
                score[row] += value(&tree, data, row);
            }
            model.trees.push(tree);
            let now = loss(objective, &score, labels, validation);
            if now < best.0 {
                best = (now, model.trees.len());
            } else if !validation.is_empty() && model.trees.len() >= best.1 + PATIENCE {
                break;
            }
        }
        model
    }

    /// The prediction for a row: log odds or a number.
    pub(crate) fn predict(&self, data: &Binned, row: usize) -> f64 {
        self.start + self.trees.iter().map(|tree| value(tree, data, row)).sum::<f64>()
    }
}

fn value(tree: &[Node], data: &Binned, row: usize) -> f64 {
    let mut at = 0;
    loop {
        match &tree[at] {
            Node::Leaf(value) => return *value,
            Node::Split { column, left, children } => {
                at = children[usize::from(!left.contains(data.columns[*column][row]))];
            }
        }
    }
}

/// g and h of a row.
#[derive(Clone, Copy)]
struct Slope {
    gradient: f64,
    hessian: f64,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn slope(objective: Objective, score: f64, label: f64) -> Slope {
    match objective {
        Objective::Squared => Slope { gradient: score - label, hessian: 1.0 },
        Objective::Logistic => {
            let p = sigmoid(score);
            Slope { gradient: p - label, hessian: p * (1.0 - p) }
        }
    }
}

fn loss(objective: Objective, score: &[f64], labels: &[f64], rows: &[usize]) -> f64 {
    let one = |r: &usize| match objective {
        Objective::Squared => (score[*r] - labels[*r]).powi(2),
        // log(1 + e^f) − y·f, without overflow.
        Objective::Logistic => score[*r].max(0.0) + (-score[*r].abs()).exp().ln_1p() - labels[*r] * score[*r],
    };
    rows.iter().map(one).sum()
}

/// Sums over the rows of a node that fall into one bin of one column.
#[derive(Clone, Copy, Default)]
struct Bin {
    gradient: f64,
    hessian: f64,
    count: u32,
}

impl Bin {
    fn add(&mut self, other: Bin) {
        self.gradient += other.gradient;
        self.hessian += other.hessian;
        self.count += other.count;
    }
    fn minus(self, other: Bin) -> Bin {
        Bin {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            count: self.count - other.count,
        }
    }
    /// G² / (H + λ): twice the loss that one leaf for these rows removes.
    fn score(&self) -> f64 {
        self.gradient * self.gradient / (self.hessian + RIDGE)
    }
    fn may_be_leaf(&self) -> bool {
        self.count >= ROWS_PER_LEAF && self.hessian >= HESSIAN_PER_LEAF
    }
}

struct Split {
    gain: f64,
    column: usize,
    left: BinSet,
}

/// A leaf that may still be split: its node, its rows in the grower's order, its histogram.
struct Open {
    node: usize,
    rows: std::ops::Range<usize>,
    /// `[columns · 256]`.
    histogram: Vec<Bin>,
    split: Option<Split>,
}

/// Grows one tree, always splitting the leaf with the largest gain.
struct Grower<'a> {
    data: &'a Binned,
    /// Rows and their slopes, permuted together so that each node owns a range.
    rows: Vec<(usize, Slope)>,
    nodes: Vec<Node>,
}

impl<'a> Grower<'a> {
    fn new(data: &'a Binned, rows: &[usize], slopes: Vec<Slope>) -> Self {
        Grower { data, rows: rows.iter().copied().zip(slopes).collect(), nodes: Vec::new() }
    }

    fn grow(mut self) -> Vec<Node> {
        let all = 0..self.rows.len();
        let histogram = self.histogram(all.clone());
        let root = self.open(all, histogram);
        let mut leaves = vec![root];
        while leaves.len() < LEAVES {
            let gain = |leaf: &Open| leaf.split.as_ref().map_or(0.0, |s| s.gain);
            // The first of equal gains wins.
            let best = (0..leaves.len()).rev().max_by(|a, b| gain(&leaves[*a]).total_cmp(&gain(&leaves[*b])));
            let Some(best) = best.filter(|b| gain(&leaves[*b]) > 0.0) else { break };
            let Some(children) = self.split(leaves.swap_remove(best)) else { break };
            leaves.extend(children);
        }
        self.nodes
    }

    /// Adds a leaf for `rows` and looks for its best split.
    fn open(&mut self, rows: std::ops::Range<usize>, histogram: Vec<Bin>) -> Open {
        let mut total = Bin::default();
        for (_, slope) in &self.rows[rows.clone()] {
            total.add(Bin { gradient: slope.gradient, hessian: slope.hessian, count: 1 });
        }
        self.nodes.push(Node::Leaf(-LEARNING_RATE * total.gradient / (total.hessian + RIDGE)));
        let mut split: Option<Split> = None;
        for column in 0..self.data.columns.len() {
            let bins = &histogram[column * 256..(column + 1) * 256];
            let found = if self.data.is_category[column] {
                best_category_split(bins, total, column)
            } else {
                best_ordered_split(bins, total, column)
            };
            if let Some(found) = found
                && split.as_ref().is_none_or(|s| found.gain > s.gain)
            {
                split = Some(found);
            }
        }
        Open { node: self.nodes.len() - 1, rows, histogram, split }
    }

    /// Turns a leaf into a split with two leaves. Only the smaller child's histogram is counted; the other is the difference.
    fn split(&mut self, leaf: Open) -> Option<[Open; 2]> {
        let Split { column, left, .. } = leaf.split?;
        let bins = &self.data.columns[column];
        let range = leaf.rows.clone();
        let (mut go_left, go_right): (Vec<_>, Vec<_>) =
            self.rows[range.clone()].iter().copied().partition(|(row, _)| left.contains(bins[*row]));
        let border = range.start + go_left.len();
        go_left.extend(go_right);
        self.rows[range.clone()].copy_from_slice(&go_left);

        let (lower, upper) = (range.start..border, border..range.end);
        let lower_is_small = lower.len() <= upper.len();
        let small = self.histogram(if lower_is_small { lower.clone() } else { upper.clone() });
        let large: Vec<Bin> = leaf.histogram.iter().zip(&small).map(|(all, part)| all.minus(*part)).collect();
        let (lower_histogram, upper_histogram) = if lower_is_small { (small, large) } else { (large, small) };
        let first = self.open(lower, lower_histogram);
        let second = self.open(upper, upper_histogram);
        self.nodes[leaf.node] = Node::Split { column, left, children: [first.node, second.node] };
        Some([first, second])
    }

    /// The hot loop: bound by memory latency of the 256 bins; one pass over the node's rows per column.
    fn histogram(&self, rows: std::ops::Range<usize>) -> Vec<Bin> {
        let mut histogram = vec![Bin::default(); self.data.columns.len() * 256];
        for (column, bins) in histogram.chunks_exact_mut(256).zip(&self.data.columns).map(|(h, c)| (c, h)) {
            for (row, slope) in &self.rows[rows.clone()] {
                let bin = &mut bins[usize::from(column[*row])];
                bin.gradient += slope.gradient;
                bin.hessian += slope.hessian;
                bin.count += 1;
            }
        }
        histogram
    }
}

/// Bins up to a border go left; missing values go to the side where they help more.
fn best_ordered_split(bins: &[Bin], total: Bin, column: usize) -> Option<Split> {
    let missing = bins[usize::from(MISSING)];
    let mut best: Option<(f64, u8, bool)> = None;
    let mut below = Bin::default();
    for bin in 0..MISSING {
        if bins[usize::from(bin)].count == 0 {
            continue;
        }
        below.add(bins[usize::from(bin)]);
        for missing_left in [false, true] {
            if missing_left && missing.count == 0 {
                continue;
            }
            let mut left = below;
            if missing_left {
                left.add(missing);
            }
            if let Some(gain) = gain(left, total)
                && best.is_none_or(|b| gain > b.0)
            {
                best = Some((gain, bin, missing_left));
            }
        }
    }
    let (gain, border, missing_left) = best?;
    let mut left = BinSet::default();
    (0..=border).for_each(|bin| left.insert(bin));
    if missing_left {
        left.insert(MISSING);
    }
    Some(Split { gain, column, left })
}

/// Categories in the order of their mean gradient, cut at the best place (Fisher 1958); rare ones go right.
fn best_category_split(bins: &[Bin], total: Bin, column: usize) -> Option<Split> {
    let mut order: Vec<u8> = (0..=MISSING).filter(|b| bins[usize::from(*b)].count >= ROWS_PER_CATEGORY).collect();
    let mean = |b: u8| bins[usize::from(b)].gradient / (bins[usize::from(b)].hessian + RIDGE);
    order.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
    let mut best: Option<(f64, usize)> = None;
    let mut below = Bin::default();
    for (position, bin) in order.iter().enumerate() {
        below.add(bins[usize::from(*bin)]);
        if let Some(gain) = gain(below, total)
            && best.is_none_or(|b| gain > b.0)
        {
            best = Some((gain, position));
        }
    }
    let (gain, cut) = best?;
    let mut left = BinSet::default();
    order[..=cut].iter().for_each(|bin| left.insert(*bin));
    Some(Split { gain, column, left })
}

/// What a split removes beyond the unsplit leaf; `None` where a side is too small.
fn gain(left: Bin, total: Bin) -> Option<f64> {
    if left.count >= total.count {
        return None;
    }
    let right = total.minus(left);
    (left.may_be_leaf() && right.may_be_leaf())
        .then(|| left.score() + right.score() - total.score())
        .filter(|gain| *gain > 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::roc_auc;
    use rand::Rng;
    use twinmart_tables::Draws;

    fn predictions(frame: &Frame, labels: &[f64], objective: Objective) -> Vec<f64> {
        let data = Binner::fit(frame).bin(frame);
        let rows: Vec<usize> = (0..frame.rows / 2).collect();
        let model = Boosted::fit(&data, labels, &rows, objective, Draws::new(1).stream("test"));
        (frame.rows / 2..frame.rows).map(|r| model.predict(&data, r)).collect()
    }

    /// x numeric with gaps, c a category; the label depends on both and on whether x is missing.
    fn example(n: usize) -> (Frame, Vec<f64>) {
        let mut draw = Draws::new(3).stream("example");
        let mut x = Vec::new();
        let mut c = Vec::new();
        let mut y = Vec::new();
        for _ in 0..n {
            let missing = draw.random::<f64>() < 0.2;
            let value: f64 = draw.random();
            let category = draw.random_range(0..40u32);
            // Even categories flip the effect of x: an interaction with no marginal effect.
            let up = if missing { category % 3 == 0 } else { (value > 0.5) ^ (category % 2 == 0) };
            x.push(if missing { f64::NAN } else { value });
            c.push(category);
            y.push(f64::from(u8::from(up)));
        }
        (Frame { columns: vec![Values::Ordered(x), Values::Category(c)], rows: n }, y)
    }

    #[test]
    fn interactions_of_numbers_categories_and_gaps_are_learned() {
        let (frame, y) = example(8000);
        let p = predictions(&frame, &y, Objective::Logistic);
        let labels: Vec<bool> = y[4000..].iter().map(|y| *y > 0.5).collect();
        let auc = roc_auc(&p, &labels).unwrap();
        assert!(auc > 0.97, "{auc}");
    }

    #[test]
    fn noise_is_not_learned() {
        let (frame, mut y) = example(8000);
        y.shuffle(&mut Draws::new(9).stream("shuffle"));
        let p = predictions(&frame, &y, Objective::Logistic);
        let labels: Vec<bool> = y[4000..].iter().map(|y| *y > 0.5).collect();
        // 4,000 rows: the standard error of the curve is .009; 4.9 of them is a false alarm of 1e-6.
        let auc = roc_auc(&p, &labels).unwrap();
        assert!((auc - 0.5).abs() < 0.045, "{auc}");
    }

    #[test]
    fn a_smooth_function_is_fitted() {
        let mut draw = Draws::new(5).stream("example");
        let x: Vec<f64> = (0..4000).map(|_| draw.random::<f64>() * 6.0).collect();
        let y: Vec<f64> = x.iter().map(|x| x.sin()).collect();
        let frame = Frame { columns: vec![Values::Ordered(x)], rows: 4000 };
        let p = predictions(&frame, &y, Objective::Squared);
        let error = p.iter().zip(&y[2000..]).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / 2000.0;
        assert!(error < 1e-3, "{error}");
    }

    #[test]
    fn too_few_rows_give_the_mean() {
        let frame = Frame { columns: vec![Values::Ordered(vec![1.0, 2.0])], rows: 2 };
        let data = Binner::fit(&frame).bin(&frame);
        let model = Boosted::fit(&data, &[2.0, 4.0], &[0, 1], Objective::Squared, Draws::new(1).stream("test"));
        assert!((model.predict(&data, 0) - 3.0).abs() < 1e-9);
    }
}
