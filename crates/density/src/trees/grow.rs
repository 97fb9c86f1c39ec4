//! Growing one tree on a sketch of the gradients: which splits, not yet which values.
//!
//! With many outputs a histogram of all gradients is too dear, so structure is sought on d = 7 random projections of them
//! (Iosipoi & Vakhrushev, "SketchBoost", 2022). Each class's gradient is first divided by the square root of its mean
//! hessian; then the gain of a split, |G_L|²/(n_L + λ) + |G_R|²/(n_R + λ) − |G|²/(n + λ), is that of a Newton step up to the
//! projection. Leaves are split best first (LightGBM, Ke et al. 2017).

use super::features::Feature;
use serde::{Deserialize, Serialize};

/// Projections, and one lane for the number of rows: a histogram bin is eight floats.
pub(crate) const LANES: usize = 8;
/// Projections of a gradient.
pub(crate) const SKETCH: usize = LANES - 1;
/// A bin's sums: projections of gradients, then rows.
pub(crate) type Sums = [f32; LANES];

/// Leaves of a tree at most: they are the bits of a word.
pub(crate) const MOST_LEAVES: usize = 64;

/// How trees grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// At most [`MOST_LEAVES`].
    pub(crate) leaves: usize,
    pub(crate) rows_per_leaf: f32,
    pub(crate) ridge: f32,
    /// Smallest gain, small: the validation rows say how many splits too many there are.
    pub(crate) gain: f32,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Position of the feature among those of the target.
    pub(crate) feature: u16,
    /// The bins that go left, one bit each.
    pub(crate) left_bins: [u64; 4],
    /// Where to go: a node, or −1 − leaf.
    pub(crate) left: i16,
    pub(crate) right: i16,
}

impl Node {
    pub(crate) fn goes_left(&self, bin: u8) -> bool {
        self.left_bins[usize::from(bin >> 6)] >> (bin & 63) & 1 == 1
    }
}

/// A tree's splits, root first; no nodes = one leaf.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Structure {
    pub(crate) nodes: Vec<Node>,
}

impl Structure {
    /// The number of leaves.
    pub(crate) fn leaves(&self) -> usize {
        self.nodes.len() + 1
    }

    /// True where this is one tree over `features` features: every node but the root and every leaf has one parent before it.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        if self.leaves() > MOST_LEAVES {
            return false;
        }
        let mut seen_nodes = vec![false; self.nodes.len()];
        let mut seen_leaves = vec![false; self.leaves()];
        for (number, node) in self.nodes.iter().enumerate() {
            for child in [node.left, node.right] {
                let seen = match usize::try_from(child) {
                    Ok(child) if child > number => seen_nodes.get_mut(child),
                    Ok(_) => None,
                    Err(_) => seen_leaves.get_mut((-1 - i32::from(child)) as usize),
                };
                match seen {
                    Some(seen) if !*seen => *seen = true,
                    _ => return false,
                }
            }
            if usize::from(node.feature) >= features {
                return false;
            }
        }
        true
    }

    /// The leaf of a row, whose bin of a feature is `bin(feature)`.
    #[cfg(test)]
    pub(crate) fn leaf(&self, bin: impl Fn(usize) -> u8) -> usize {
        if self.nodes.is_empty() {
            return 0;
        }
        let mut at = 0i16;
        while at >= 0 {
            let node = &self.nodes[at as usize];
            at = if node.goes_left(bin(usize::from(node.feature))) { node.left } else { node.right };
        }
        (-1 - at) as usize
    }
}

/// A leaf while the tree grows: a run of the row order, its sums and its best split.
struct Leaf {
    rows: std::ops::Range<usize>,
    histogram: Vec<Sums>,
    best: Option<Split>,
    /// Where its parent points at it: node and side.
    link: Option<(usize, bool)>,
}

#[derive(Clone)]
struct Split {
    gain: f32,
    feature: usize,
    left_bins: [u64; 4],
}

/// Buffers that are used again from tree to tree.
pub(crate) struct Grower<'a> {
    features: &'a [&'a Feature],
    /// `[features][rows]`
    bins: &'a [&'a [u8]],
    /// First histogram bin of each feature, and the total.
    offsets: Vec<usize>,
    growth: Growth,
    spare: Vec<Vec<Sums>>,
}

/// A grown tree and where each row fell.
pub(crate) struct Grown {
    pub(crate) structure: Structure,
    /// Rows in the order of their leaves.
    pub(crate) order: Vec<u32>,
    /// The run of `order` of each leaf.
    pub(crate) runs: Vec<std::ops::Range<usize>>,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(features: &'a [&'a Feature], bins: &'a [&'a [u8]], growth: Growth) -> Grower<'a> {
        let mut offsets = vec![0];
        for feature in features {
            offsets.push(offsets[offsets.len() - 1] + feature.bins);
        }
        Grower { features, bins, offsets, growth, spare: Vec::new() }
    }

    /// Grows a tree over `order` (row numbers); `sketch` is by row number.
    pub(crate) fn grow(&mut self, mut order: Vec<u32>, sketch: &[Sums]) -> Grown {
        let mut gathered: Vec<Sums> = order.iter().map(|r| sketch[*r as usize]).collect();
        let mut nodes: Vec<Node> = Vec::new();
        let histogram = self.histogram(&order, &gathered);
        let best = self.best_split(&histogram);
        let mut leaves = vec![Leaf { rows: 0..order.len(), histogram, best, link: None }];
        let (mut scratch_rows, mut scratch_sums) = (Vec::new(), Vec::new());
        while leaves.len() < self.growth.leaves {
            let Some(chosen) = best_leaf(&leaves) else { break };
            let Some(split) = leaves[chosen].best.take() else { break };
            let rows = leaves[chosen].rows.clone();
            let node = Node { feature: split.feature as u16, left_bins: split.left_bins, left: 0, right: 0 };
            // A stable partition of the run: left rows first.
            scratch_rows.clear();
            scratch_sums.clear();
            let bins = self.bins[split.feature];
            let mut middle = rows.start;
            for at in rows.clone() {
                let (row, sums) = (order[at], gathered[at]);
                if node.goes_left(bins[row as usize]) {
                    order[middle] = row;
                    gathered[middle] = sums;
                    middle += 1;
                } else {
                    scratch_rows.push(row);
                    scratch_sums.push(sums);
                }
            }
            order[middle..rows.end].copy_from_slice(&scratch_rows);
            gathered[middle..rows.end].copy_from_slice(&scratch_sums);
            if let Some((parent, is_left)) = leaves[chosen].link {
                let at = nodes.len() as i16;
                let parent: &mut Node = &mut nodes[parent];
                *(if is_left { &mut parent.left } else { &mut parent.right }) = at;
            }
            let number = nodes.len();
            nodes.push(node);
            // Histogram of the smaller side; the other one is the difference.
            let left_is_smaller = middle - rows.start <= rows.end - middle;
            let smaller = if left_is_smaller { rows.start..middle } else { middle..rows.end };
            let small = self.histogram(&order[smaller.clone()], &gathered[smaller]);
            let mut large = std::mem::take(&mut leaves[chosen].histogram);
            subtract(&mut large, &small);
            let (left, right) = if left_is_smaller { (small, large) } else { (large, small) };
            let (left_best, right_best) = (self.best_split(&left), self.best_split(&right));
            let other =
                Leaf { rows: middle..rows.end, histogram: right, best: right_best, link: Some((number, false)) };
            leaves[chosen] =
                Leaf { rows: rows.start..middle, histogram: left, best: left_best, link: Some((number, true)) };
            leaves.push(other);
        }
        let mut runs = Vec::with_capacity(leaves.len());
        for (number, leaf) in leaves.into_iter().enumerate() {
            if let Some((parent, is_left)) = leaf.link {
                let at = -1 - number as i16;
                *(if is_left { &mut nodes[parent].left } else { &mut nodes[parent].right }) = at;
            }
            runs.push(leaf.rows);
            self.spare.push(leaf.histogram);
        }
        Grown { structure: Structure { nodes }, order, runs }
    }

    fn histogram(&mut self, order: &[u32], gathered: &[Sums]) -> Vec<Sums> {
        let mut histogram = self.spare.pop().unwrap_or_default();
        histogram.clear();
        histogram.resize(self.offsets[self.features.len()], [0.0; LANES]);
        pulp::Arch::new().dispatch(|| {
            for (feature, bins) in self.bins.iter().enumerate() {
                let sums = &mut histogram[self.offsets[feature]..self.offsets[feature + 1]];
                add_rows(sums, bins, order, gathered);
            }
        });
        histogram
    }

    fn best_split(&self, histogram: &[Sums]) -> Option<Split> {
        let mut best: Option<Split> = None;
        let first = self.features.first()?;
        let mut total = [0f32; LANES];
        for bin in &histogram[..first.bins] {
            add(&mut total, bin);
        }
        if total[SKETCH] < 2.0 * self.growth.rows_per_leaf {
            return None;
        }
        for (number, feature) in self.features.iter().enumerate() {
            let bins = &histogram[self.offsets[number]..self.offsets[number + 1]];
            let found = if feature.ordered {
                self.scan(bins, &total, 0..bins.len())
            } else {
                self.scan(bins, &total, by_direction(bins).into_iter())
            };
            if let Some((gain, left_bins)) = found
                && gain > best.as_ref().map_or(self.growth.gain, |b| b.gain)
            {
                best = Some(Split { gain, feature: number, left_bins });
            }
        }
        best
    }

    /// The best prefix of bins in the given order.
    fn scan(&self, bins: &[Sums], total: &Sums, order: impl Iterator<Item = usize>) -> Option<(f32, [u64; 4])> {
        let whole = self.score(total);
        let (mut left, mut members) = ([0f32; LANES], [0u64; 4]);
        let mut best: Option<(f32, [u64; 4])> = None;
        for bin in order {
            members[bin >> 6] |= 1 << (bin & 63);
            if bins[bin][SKETCH] == 0.0 {
                continue;
            }
            add(&mut left, &bins[bin]);
            let mut right = *total;
            for (r, l) in right.iter_mut().zip(&left) {
                *r -= l;
            }
            if left[SKETCH] < self.growth.rows_per_leaf {
                continue;
            }
            if right[SKETCH] < self.growth.rows_per_leaf {
                break;
            }
            let gain = self.score(&left) + self.score(&right) - whole;
            if best.is_none_or(|b| gain > b.0) {
                best = Some((gain, members));
            }
        }
        best
    }

    fn score(&self, sums: &Sums) -> f32 {
        let squares: f32 = sums[..SKETCH].iter().map(|x| x * x).sum();
        squares / (sums[SKETCH] + self.growth.ridge)
    }
}

fn best_leaf(leaves: &[Leaf]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (number, leaf) in leaves.iter().enumerate() {
        if let Some(split) = &leaf.best
            && best.is_none_or(|b| split.gain > b.1)
        {
            best = Some((number, split.gain));
        }
    }
    best.map(|b| b.0)
}

#[inline(always)]
fn add_rows(sums: &mut [Sums], bins: &[u8], order: &[u32], gathered: &[Sums]) {
    for (row, gradient) in order.iter().zip(gathered) {
        add(&mut sums[usize::from(bins[*row as usize])], gradient);
    }
}

#[inline(always)]
fn add(sum: &mut Sums, x: &Sums) {
    for (s, x) in sum.iter_mut().zip(x) {
        *s += x;
    }
}

fn subtract(from: &mut [Sums], what: &[Sums]) {
    for (f, w) in from.iter_mut().zip(what) {
        for (f, w) in f.iter_mut().zip(w) {
            *f -= w;
        }
    }
}

/// Bins without order, sorted along the direction in which their mean gradients differ most: the first principal
/// component, by power iteration. For one output this is the optimal order (Fisher 1958; Breiman et al. 1984, §4.2.2).
fn by_direction(bins: &[Sums]) -> Vec<usize> {
    /// Rows added to each bin with gradient 0, so that rare categories do not decide the direction.
    const PRIOR: f32 = 10.0;
    let means: Vec<[f32; SKETCH]> = bins.iter().map(|b| std::array::from_fn(|k| b[k] / (b[SKETCH] + PRIOR))).collect();
    let mut moments = [[0f32; SKETCH]; SKETCH];
    for (mean, bin) in means.iter().zip(bins) {
        for (row, x) in moments.iter_mut().zip(mean) {
            for (cell, y) in row.iter_mut().zip(mean) {
                *cell += bin[SKETCH] * x * y;
            }
        }
    }
    // Start at the coordinate of largest variance.
    let widest = (0..SKETCH).fold(0, |best, k| if moments[k][k] > moments[best][best] { k } else { best });
    let mut direction = [0f32; SKETCH];
    direction[widest] = 1.0;
    for _ in 0..8 {
        let next: [f32; SKETCH] =
            std::array::from_fn(|k| moments[k].iter().zip(&direction).map(|(m, d)| m * d).sum::<f32>());
        let norm = next.iter().map(|x| x * x).sum::<f32>().sqrt();
        if norm <= 0.0 || !norm.is_finite() {
            break;
        }
        direction = next.map(|x| x / norm);
    }
    let place: Vec<f32> = means.iter().map(|m| m.iter().zip(&direction).map(|(m, d)| m * d).sum::<f32>()).collect();
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by(|a, b| place[*a].total_cmp(&place[*b]).then(a.cmp(b)));
    order
}
