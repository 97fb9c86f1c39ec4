//! What users like, in a few numbers: where their item sets lie in a space of few directions.
//!
//! Sets are weighted by ln(users / users of the item) and put on axes: those that [`crate::directions::Directions`] finds, or, for
//! sets that are nobody's, those that span the largest singular vectors (Halko, Martinsson & Tropp, "Finding structure with
//! randomness", 2011, algorithm 4.4: subspace iteration). New tastes are drawn group by group from normal distributions, so
//! that nobody's own taste is kept.

use crate::telling::Telling;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_nets::matrix::{add, dot};
use twinmart_tables::{Draws, Stream};

/// Rounds of subspace iteration.
const ROUNDS: usize = 5;

/// Item sets of users with the weight of each item; rows have length 1.
#[derive(Debug)]
pub(crate) struct WeightedSets {
    pub(crate) sets: Vec<Vec<(u32, f32)>>,
    pub(crate) items: usize,
}

impl WeightedSets {
    pub(crate) fn of(sets: Vec<Vec<u32>>, items: usize) -> WeightedSets {
        let mut holders = vec![0f32; items];
        sets.iter().flatten().for_each(|item| holders[*item as usize] += 1.0);
        let users = sets.len() as f32;
        let weigh = |set: Vec<u32>| {
            let weights: Vec<f32> = set.iter().map(|i| (users / holders[*i as usize]).ln().max(1e-3)).collect();
            let length = dot(&weights, &weights).sqrt();
            set.into_iter().zip(weights).map(|(item, weight)| (item, weight / length)).collect()
        };
        WeightedSets { sets: sets.into_iter().map(weigh).collect(), items }
    }

    /// `sets · axes`, `[users, dimensions]`; `axes` is `[items, dimensions]`.
    fn project(&self, axes: &[f32], dimensions: usize) -> Vec<f32> {
        let of_set = |set: &Vec<(u32, f32)>| {
            let mut sum = vec![0f32; dimensions];
            for (item, weight) in set {
                let axis = &axes[*item as usize * dimensions..][..dimensions];
                sum.iter_mut().zip(axis).for_each(|(s, a)| *s += weight * a);
            }
            sum
        };
        self.sets.par_iter().map(of_set).collect::<Vec<_>>().concat()
    }

    /// `setsᵀ · places`, `[items, dimensions]`.
    fn gather(&self, places: &[f32], dimensions: usize) -> Vec<f32> {
        let mut sums = vec![0f32; self.items * dimensions];
        for (set, place) in self.sets.iter().zip(places.chunks_exact(dimensions)) {
            for (item, weight) in set {
                let sum = &mut sums[*item as usize * dimensions..][..dimensions];
                sum.iter_mut().zip(place).for_each(|(s, p)| *s += weight * p);
            }
        }
        sums
    }

    /// Orthonormal directions of items that explain most of all sets, `[items, dimensions]`.
    fn axes(&self, dimensions: usize, stream: &mut Stream) -> Vec<f32> {
        let mut axes: Vec<f32> = (0..self.items * dimensions).map(|_| stream.random_range(-1.0..1.0)).collect();
        for _ in 0..ROUNDS {
            let mut places = self.project(&axes, dimensions);
            orthonormal(&mut places, dimensions);
            axes = self.gather(&places, dimensions);
        }
        orthonormal(&mut axes, dimensions);
        axes
    }

    /// Where sets lie in the space that explains most of all of them, `[sets, dimensions]`; see [`WeightedSets::tastes_on`].
    pub(crate) fn tastes(&self, dimensions: usize, stream: &mut Stream) -> Vec<f32> {
        self.tastes_on(&self.axes(dimensions, stream), dimensions).0
    }

    /// Where sets lie on axes `[items, dimensions]`: `[sets, dimensions]`, each of length √dimensions; zeros for sets without
    /// items, or whose items lie nowhere. And what each set's place was multiplied with for that, `[sets]`.
    pub(crate) fn tastes_on(&self, axes: &[f32], dimensions: usize) -> (Vec<f32>, Vec<f32>) {
        let mut tastes = self.project(axes, dimensions);
        let stretches = tastes.chunks_exact_mut(dimensions).map(scale).collect();
        (tastes, stretches)
    }
}

/// Gives a row the length √width, and says by what factor; zeros stay, and say 0.
fn scale(row: &mut [f32]) -> f32 {
    let length = dot(row, row).sqrt();
    if length <= 1e-9 {
        return 0.0;
    }
    let factor = (row.len() as f32).sqrt() / length;
    row.iter_mut().for_each(|x| *x *= factor);
    factor
}

/// What tastes are made of: each item of a user's set adds weight · axis of the item · stretch of the user · factors of the
/// stratum.
///
/// A taste that holds the item which is asked for tells the answer: learning is told others, see [`Telling`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contributions {
    pub(crate) telling: Telling,
    /// `[items, dimensions]`
    pub(crate) axes: Vec<f32>,
    /// `[users]` sets, their items ascending.
    pub(crate) sets: Vec<Vec<(u32, f32)>>,
    /// `[users]` of whole sets.
    pub(crate) stretches: Vec<f32>,
    /// `[users]` users with about as many items.
    pub(crate) stratum: Vec<u32>,
    /// `[strata, dimensions]` what is taken from each number first, and what it is then multiplied with.
    pub(crate) means: Vec<f32>,
    pub(crate) factors: Vec<f32>,
}

/// Share of a user's items that a part of them has, about.
const PART: f64 = 0.5;

impl Contributions {
    /// One taste of each user as learning is told them, before they are held to their limits: without one item, or of a part
    /// of the items, by chance. `whole` are the tastes of all items, `[users, dimensions]`, as what is returned.
    pub(crate) fn told(&self, whole: &[f32], draws: Draws) -> Vec<f32> {
        let family = draws.family("events.told", "");
        let dimensions = whole.len() / self.sets.len().max(1);
        let mut told = whole.to_vec();
        for (user, (row, set)) in told.chunks_exact_mut(dimensions.max(1)).zip(&self.sets).enumerate() {
            let mut stream = family.row(user as u64);
            match self.telling {
                Telling::Others if set.is_empty() => {}
                Telling::Others => self.take(user, set[stream.random_range(0..set.len())].0, row),
                Telling::Part => row.copy_from_slice(&self.part(user, dimensions, &mut stream)),
            }
        }
        told
    }

    /// The taste of a part of a user's items, each by chance [`PART`], but at least of one.
    pub(crate) fn part(&self, user: usize, dimensions: usize, stream: &mut Stream) -> Vec<f32> {
        let set = &self.sets[user];
        let mut taste = vec![0f32; dimensions];
        let mut add = |(item, weight): (u32, f32)| {
            let axis = &self.axes[item as usize * dimensions..][..dimensions];
            taste.iter_mut().zip(axis).for_each(|(taste, axis)| *taste += weight * axis);
        };
        let mut is_empty = true;
        for told in set {
            if stream.random::<f64>() < PART {
                add(*told);
                is_empty = false;
            }
        }
        if is_empty && !set.is_empty() {
            add(set[stream.random_range(0..set.len())]);
        }
        if scale(&mut taste) > 0.0 {
            let of_stratum = self.stratum[user] as usize * dimensions..;
            let standards = self.means[of_stratum.clone()].iter().zip(&self.factors[of_stratum]);
            taste.iter_mut().zip(standards).for_each(|(x, (mean, factor))| *x = (*x - mean) * factor);
        }
        taste
    }

    /// Takes from a user's taste, `[dimensions]`, what an item has added; nothing where the user has not got the item.
    /// Numbers are to be held to their limits ([`hold`]) only after that.
    pub(crate) fn take(&self, user: usize, item: u32, taste: &mut [f32]) {
        let set = &self.sets[user];
        let Ok(place) = set.binary_search_by_key(&item, |(item, _)| *item) else { return };
        let weight = set[place].1 * self.stretches[user];
        let axis = &self.axes[item as usize * taste.len()..];
        let factors = &self.factors[self.stratum[user] as usize * taste.len()..];
        for ((taste, axis), factor) in taste.iter_mut().zip(axis).zip(factors) {
            *taste -= weight * axis * factor;
        }
    }
}

/// Tastes' numbers at most, in standard deviations: a direction of few people tells nobody from all others.
const FARTHEST: f32 = 4.0;

/// Holds a taste's numbers to their limits.
pub(crate) fn hold(taste: &mut [f32]) {
    taste.iter_mut().for_each(|number| *number = number.clamp(-FARTHEST, FARTHEST));
}

/// Makes the columns of `[rows, columns]` orthonormal, one after the other (Gram & Schmidt, twice).
pub(crate) fn orthonormal(matrix: &mut [f32], columns: usize) {
    for column in 0..columns {
        for _ in 0..2 {
            let mut shares = vec![0f64; column];
            for row in matrix.chunks_exact(columns) {
                shares.iter_mut().zip(row).for_each(|(s, x)| *s += f64::from(*x) * f64::from(row[column]));
            }
            for row in matrix.chunks_exact_mut(columns) {
                let known: f64 = shares.iter().zip(row.iter()).map(|(s, x)| s * f64::from(*x)).sum();
                row[column] -= known as f32;
            }
        }
        let length = matrix.chunks_exact(columns).map(|r| f64::from(r[column]).powi(2)).sum::<f64>().sqrt();
        // Fewer directions than columns: the others stay empty.
        let factor = if length > 1e-6 { 1.0 / length } else { 0.0 };
        matrix.chunks_exact_mut(columns).for_each(|r| r[column] = (f64::from(r[column]) * factor) as f32);
    }
}

/// Normal distributions of tastes: each group of users has its mean, all share one covariance, for what is drawn from that of
/// fifty people lies among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tastes {
    dimensions: usize,
    /// `[groups][dimensions]`
    means: Vec<Vec<f32>>,
    /// `[dimensions · dimensions]` the lower triangular root of the covariance inside groups.
    root: Vec<f32>,
}

impl Tastes {
    /// The distributions of the tastes of `groups` groups. A group that too few people share has the mean of all.
    pub(crate) fn of(
        tastes: &[f32],
        dimensions: usize,
        group: &[u32],
        groups: usize,
        enough: impl Fn(usize) -> bool,
    ) -> Tastes {
        let known = || tastes.chunks_exact(dimensions).zip(group).filter(|(row, _)| row.iter().any(|x| *x != 0.0));
        let all: Vec<&[f32]> = known().map(|(row, _)| row).collect();
        let mean_of = |wanted: usize| {
            let own: Vec<&[f32]> = known().filter(|(_, g)| **g as usize == wanted).map(|(row, _)| row).collect();
            mean(if enough(own.len()) { &own } else { &all }, dimensions)
        };
        let means: Vec<Vec<f32>> = (0..groups).map(mean_of).collect();
        let mut spread = vec![0f64; dimensions * dimensions];
        known().for_each(|(row, g)| add_square(&mut spread, row, &means[*g as usize]));
        spread.iter_mut().for_each(|s| *s /= all.len().max(1) as f64);
        Tastes { dimensions, means, root: cholesky(spread, dimensions) }
    }

    /// Numbers of a taste.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The standard deviation of each number inside groups.
    pub(crate) fn spread(&self) -> Vec<f32> {
        self.root.chunks_exact(self.dimensions).map(|root| dot(root, root).sqrt()).collect()
    }

    /// A new taste of a group.
    pub fn draw(&self, group: usize, stream: &mut Stream) -> Vec<f32> {
        let noise: Vec<f32> = (0..self.dimensions).map(|_| normal(stream)).collect();
        let mut taste = self.means[group].clone();
        for (x, root) in taste.iter_mut().zip(self.root.chunks_exact(self.dimensions)) {
            *x += dot(root, &noise);
        }
        taste
    }

    /// True where nothing drawn from it can fail.
    pub fn is_sound(&self, groups: usize, dimensions: usize) -> bool {
        let is_finite = |numbers: &[f32]| numbers.iter().all(|x| x.is_finite());
        self.dimensions == dimensions
            && self.means.len() == groups
            && self.means.iter().all(|mean| mean.len() == dimensions && is_finite(mean))
            && self.root.len() == dimensions * dimensions
            && is_finite(&self.root)
    }
}

fn mean(rows: &[&[f32]], dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0f32; dimensions];
    rows.iter().for_each(|row| add(&mut sum, row));
    sum.iter_mut().for_each(|x| *x /= rows.len().max(1) as f32);
    sum
}

/// Adds (row − mean) (row − mean)ᵀ.
fn add_square(sum: &mut [f64], row: &[f32], mean: &[f32]) {
    let away: Vec<f64> = row.iter().zip(mean).map(|(x, m)| f64::from(x - m)).collect();
    for (sum, a) in sum.chunks_exact_mut(away.len()).zip(&away) {
        sum.iter_mut().zip(&away).for_each(|(s, b)| *s += a * b);
    }
}

/// The lower triangular root of a covariance; directions without spread stay without.
fn cholesky(mut matrix: Vec<f64>, width: usize) -> Vec<f32> {
    for column in 0..width {
        let known: f64 = (0..column).map(|k| matrix[column * width + k].powi(2)).sum();
        let pivot = (matrix[column * width + column] - known).max(0.0).sqrt();
        for row in column..width {
            let known: f64 = (0..column).map(|k| matrix[row * width + k] * matrix[column * width + k]).sum();
            let value = if pivot > 1e-9 { (matrix[row * width + column] - known) / pivot } else { 0.0 };
            matrix[row * width + column] = value;
        }
        for row in 0..column {
            matrix[row * width + column] = 0.0;
        }
    }
    matrix.into_iter().map(|x| x as f32).collect()
}

/// A standard normal number (Box & Muller, 1958).
pub(crate) fn normal(stream: &mut Stream) -> f32 {
    let (u, v) = (1.0 - stream.random::<f64>(), stream.random::<f64>());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Care;
    use crate::sequences::Sequences;
    use crate::summary::{Summary, item_sets};
    use rand::SeedableRng;
    use twinmart_tables::Progress;

    #[test]
    fn users_of_one_kind_have_one_taste() {
        // Two kinds of users: items below 20, and the others.
        let mut stream = Stream::seed_from_u64(1);
        let sets = (0..200)
            .map(|user| {
                let mut set: Vec<u32> = (0..8).map(|_| stream.random_range(0..20) + user % 2 * 20).collect();
                set.sort_unstable();
                set.dedup();
                set
            })
            .collect();
        let tastes = WeightedSets::of(sets, 40).tastes(2, &mut stream);
        let likeness = |a: usize, b: usize| dot(&tastes[a * 2..][..2], &tastes[b * 2..][..2]) / 2.0;
        for user in 0..200 {
            assert!((dot(&tastes[user * 2..][..2], &tastes[user * 2..][..2]) - 2.0).abs() < 1e-3);
            assert!(likeness(user, user % 2) > 0.8);
            assert!(likeness(user, 1 - user % 2).abs() < 0.6);
        }
    }

    /// A shop of 40 items of which nobody has the last ones; some users have few items, others many.
    fn shop() -> Sequences {
        let mut stream = Stream::seed_from_u64(3);
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for user in 0..400u32 {
            let events = if user % 2 == 0 { 3..7 } else { 10..20 };
            let liked = user / 2 % 3 * 10;
            let items = (0..stream.random_range(events)).map(|_| stream.random_range(0..12) + liked);
            sequences.item.extend(items.collect::<Vec<u32>>());
            sequences.offsets.push(sequences.item.len());
        }
        sequences.session = vec![0; sequences.item.len()];
        sequences.time = vec![0; sequences.item.len()];
        sequences.action = vec![0; sequences.item.len()];
        sequences
    }

    /// The taste of some of a user's items, by their places in the set.
    fn taste_of(all: &Contributions, user: usize, dimensions: usize, is_chosen: impl Fn(usize) -> bool) -> Vec<f32> {
        let mut taste = vec![0f32; dimensions];
        for (_, (item, weight)) in all.sets[user].iter().enumerate().filter(|(place, _)| is_chosen(*place)) {
            (0..dimensions).for_each(|n| taste[n] += weight * all.axes[*item as usize * dimensions + n]);
        }
        scale(&mut taste);
        let stratum = all.stratum[user] as usize * dimensions..;
        let standards = all.means[stratum.clone()].iter().zip(&all.factors[stratum]);
        taste.iter().zip(standards).map(|(x, (mean, factor))| (x - mean) * factor).collect()
    }

    #[test]
    fn what_items_add_to_a_taste_is_the_taste_but_for_what_all_have() {
        let sequences = shop();
        let summary = Summary::of(&sequences, 40, Care::default(), Draws::new(1), &Progress::silent()).unwrap();
        let dimensions = summary.tastes.dimensions();
        let mut rests: Vec<Option<Vec<f32>>> = vec![None; 4];
        let mut took = 0f32;
        for (user, set) in item_sets(&sequences).into_iter().enumerate() {
            let whole = taste_of(&summary.contributions, user, dimensions, |_| true);
            let mut rest = whole.clone();
            let before = rest.clone();
            summary.contributions.take(user, 39, &mut rest);
            assert_eq!(rest, before, "nobody has item 39");
            set.iter().for_each(|item| summary.contributions.take(user, *item, &mut rest));
            took = rest.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(took, f32::max);
            let stratum = summary.contributions.stratum[user] as usize;
            for (expected, found) in rests[stratum].get_or_insert_with(|| rest.clone()).iter().zip(&rest) {
                assert!((found - expected).abs() < 1e-3, "{user}: {found} {expected}");
            }
        }
        assert!(rests.iter().all(Option::is_some) && took > 1.0, "{took}");
    }

    #[test]
    fn parts_are_tastes_of_some_items_and_every_item_is_in_half_of_them() {
        let summary = Summary::of(&shop(), 40, Care::default(), Draws::new(1), &Progress::silent()).unwrap();
        let all = summary.contributions;
        let dimensions = summary.tastes.dimensions();
        let mut stream = Stream::seed_from_u64(4);
        for user in (0..400).filter(|user| (2..7).contains(&all.sets[*user].len())).take(20) {
            let set = &all.sets[user];
            let of = |chosen: usize| taste_of(&all, user, dimensions, |place| chosen >> place & 1 == 1);
            let parts: Vec<Vec<f32>> = (1..1 << set.len()).map(of).collect();
            let mut counts = vec![0; set.len()];
            for _ in 0..400 {
                let told = all.part(user, dimensions, &mut stream);
                let distance = |part: &Vec<f32>| part.iter().zip(&told).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
                let distances: Vec<f32> = parts.iter().map(distance).collect();
                let nearest = (0..parts.len()).min_by(|a, b| distances[*a].total_cmp(&distances[*b])).unwrap();
                assert!(distances[nearest] < 1e-4, "user {user}: no part has this taste");
                (0..set.len()).for_each(|place| counts[place] += (nearest + 1) >> place & 1);
            }
            assert!(counts.iter().all(|count| (140..=300).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn drawn_tastes_have_the_mean_and_spread_of_their_group() {
        let mut stream = Stream::seed_from_u64(2);
        let group: Vec<u32> = (0..4_000).map(|u| u % 2).collect();
        let rows: Vec<f32> = group
            .iter()
            .flat_map(|g| {
                let x = normal(&mut stream) * 0.1;
                let mut row = if *g == 0 { vec![1.5, x, 0.2 + 2.0 * x] } else { vec![-0.3 + x, 1.6, 0.0] };
                scale(&mut row);
                row
            })
            .collect();
        let tastes = Tastes::of(&rows, 3, &group, 2, |people| people >= 5);
        assert!(tastes.is_sound(2, 3) && !tastes.is_sound(3, 3));
        for g in 0..2 {
            let drawn: Vec<f32> = (0..4_000).flat_map(|_| tastes.draw(g, &mut stream)).collect();
            let own: Vec<&[f32]> =
                rows.chunks_exact(3).zip(&group).filter(|(_, x)| **x as usize == g).map(|(r, _)| r).collect();
            let drawn: Vec<&[f32]> = drawn.chunks_exact(3).collect();
            let (expected, found) = (mean(&own, 3), mean(&drawn, 3));
            assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 0.03), "{expected:?} {found:?}");
        }
    }
}
