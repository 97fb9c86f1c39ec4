//! Histories in short: how many sessions and events, when they begin, and what taste. A plan of a new history has the same.

use crate::clock::Clock;
use crate::directions::Directions;
use crate::draw::Plan;
use crate::learn::Care;
use crate::sequences::Sequences;
use crate::taste::{Contributions, Tastes, WeightedSets, hold};
use crate::telling::Telling;
use rand::{Rng, RngCore};
use rayon::prelude::*;
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{Draws, Progress, Result, Stream};

/// The short form of each history.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// `[users]` how many.
    pub sessions: Vec<u32>,
    /// `[users]` how many.
    pub events: Vec<u32>,
    /// `[users]` season of the first event.
    pub season: Vec<u32>,
    /// `[users]` group of users who choose alike.
    pub group: Vec<u32>,
    /// How many groups there are.
    pub groups: usize,
    /// `[users, dimensions]` tastes of all items, or of a part of them where parts are told.
    pub taste: Vec<f32>,
    /// Distributions of tastes as they are told.
    pub tastes: Tastes,
    /// What items add to tastes.
    pub(crate) contributions: Contributions,
    /// In which directions items differ; tastes lie on the first of them.
    pub(crate) directions: Directions,
}

/// People who must share a pair of items for it to say where these lie, where almost no pairs have as many as a value needs.
const FEW: usize = 3;

impl Summary {
    /// The short forms of some histories.
    pub fn of(sequences: &Sequences, items: usize, care: Care, draws: Draws, progress: &Progress) -> Result<Summary> {
        let threshold = PersonThreshold::draw(draws.stream("events.threshold").next_u64());
        let clock = sequences.has_clock.then(|| Clock::of_sessions(sequences, threshold));
        let of = |class: &dyn Fn(usize) -> usize| (0..sequences.users()).map(|u| class(u) as u32).collect();
        let season = |user: usize| match (&clock, sequences.of_user(user).next()) {
            (Some(clock), Some(first)) => clock.moment(sequences.time[first]).season,
            _ => 0,
        };
        let groups = groups_of(sequences.users(), care.people);
        let sets = WeightedSets::of(item_sets(sequences), items);
        let dimensions = care.tastes.min(items / 4).min(sequences.users() / 20).max(1);
        let directions = Directions::of(
            sequences,
            items,
            &[&|people| threshold.allows(people), &|people| people >= FEW, &|people| people >= 2],
            draws,
        );
        let axes = directions.first(dimensions);
        let (mut taste, stretches) = sets.tastes_on(&axes, dimensions);
        let (group, groups) = alike(&sets, groups, draws, progress)?;
        let of_a_size = (groups / STRATA.min(groups)) as u32;
        let stratum: Vec<u32> = group.iter().map(|group| group / of_a_size).collect();
        let numbers = (stratum.iter().max().map_or(0, |last| *last as usize) + 1) * dimensions;
        let (means, factors) = (vec![0.0; numbers], vec![1.0; numbers]);
        let telling = Telling::of(sequences, items, draws);
        let mut contributions = Contributions { telling, axes, sets: sets.sets, stretches, stratum, means, factors };
        let mut told = contributions.told(&taste, draws);
        if telling == Telling::Part {
            taste.clone_from(&told);
        }
        (contributions.means, contributions.factors) =
            standardize(&mut taste, &mut told, dimensions, &contributions.stratum);
        // New tastes are as those that learning tells.
        told.chunks_exact_mut(dimensions).for_each(hold);
        let tastes = Tastes::of(&told, dimensions, &group, groups, |people| people >= 20);
        Ok(Summary {
            taste,
            tastes,
            contributions,
            directions,
            sessions: of(&|user| sequences.sessions(user)),
            events: of(&|user| sequences.of_user(user).len()),
            season: of(&season),
            group,
            groups,
        })
    }

    /// `[dimensions]` standard deviations of tastes in groups, times `share`.
    pub(crate) fn blur(&self, share: f32) -> Vec<f32> {
        self.tastes.spread().into_iter().map(|spread| share * spread).collect()
    }

    /// Where items lie, `[items, width]`: the scalar product of two places is what brings the items together. Of length one;
    /// zeros where nothing is known. There are no more numbers than directions: further ones are zero.
    pub fn places(&self, items: usize, width: usize) -> Vec<f32> {
        let of_item = |item: usize| {
            let mut place = self.directions.place(item);
            place.resize(width, 0.0);
            let length = place.iter().map(|x| x * x).sum::<f32>().sqrt();
            place.into_iter().map(move |x| if length > 1e-6 { x / length } else { 0.0 })
        };
        (0..items).flat_map(of_item).collect()
    }

    /// The plan of a user.
    pub fn plan(&self, user: usize) -> Plan {
        let size = Some((self.sessions[user] as usize, self.events[user] as usize));
        Plan { season: self.season[user] as usize, size, group: self.group[user] as usize, profile: Vec::new() }
    }
}

/// How many groups there are; see [`Care::people`].
fn groups_of(users: usize, people: usize) -> usize {
    let of_sizes = if people == usize::MAX { 1 } else { (users / PEOPLE_OF_A_SIZE).min(STRATA) };
    (users / people.max(1)).max(of_sizes).clamp(1, MOST_GROUPS)
}

const MOST_GROUPS: usize = 64;
/// Users with about as many items, at least, where these are parted from others.
const PEOPLE_OF_A_SIZE: usize = 50;

/// Rounds of grouping.
const ROUNDS: usize = 15;

/// Groups of users with similar item sets: spherical k-means (Dhillon & Modha, "Concept decompositions for large sparse text
/// data using clustering", 2001) on sets weighted by ln(users / users of the item).
fn alike(sets: &WeightedSets, groups: usize, draws: Draws, progress: &Progress) -> Result<(Vec<u32>, usize)> {
    let mut by_size: Vec<usize> = (0..sets.sets.len()).collect();
    by_size.sort_by_key(|user| sets.sets[*user].len());
    let strata = STRATA.min(groups);
    let mut group = vec![0u32; by_size.len()];
    let task = progress.start("grouping users", Some((ROUNDS * strata) as u64), "rounds");
    for (stratum, users) in by_size.chunks(by_size.len().div_ceil(strata).max(1)).enumerate() {
        let mut stream = draws.family("events.groups", "").row(stratum as u64);
        let own = alike_of_a_size(sets, users, groups / strata, &mut stream, || task.advance(1))?;
        for (user, own) in users.iter().zip(own) {
            group[*user] = (stratum * (groups / strata)) as u32 + own;
        }
    }
    Ok((group, strata * (groups / strata)))
}

/// Groups are of users with about as many items: their tastes are as sharp.
const STRATA: usize = 4;

/// Numbers of tastes that differ by less among users of a stratum say nothing of these.
const LEAST_VARIANCE: f64 = 1e-3;

/// Brings each number of tastes to mean zero and variance one among users of one stratum, with about as many items: what users
/// of many items differ by is little, but sure. Mean and variance are those of tastes as they are `told`, which change as the
/// whole ones do. What was taken from the numbers and what they were multiplied with, `[strata, dimensions]`.
fn standardize(taste: &mut [f32], told: &mut [f32], dimensions: usize, stratum: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let strata = stratum.iter().max().map_or(0, |last| *last + 1);
    let (mut means, mut factors) = (Vec::new(), Vec::new());
    for wanted in 0..strata {
        let rows = taste.chunks_exact_mut(dimensions).zip(told.chunks_exact_mut(dimensions)).zip(stratum);
        let known = |((row, _), stratum): &((&mut [f32], &mut [f32]), &u32)| {
            **stratum == wanted && row.iter().any(|number| *number != 0.0)
        };
        let mut rows: Vec<(&mut [f32], &mut [f32])> = rows.filter(known).map(|(rows, _)| rows).collect();
        let count = rows.len().max(1) as f64;
        for number in 0..dimensions {
            let mean = rows.iter().map(|(_, told)| f64::from(told[number])).sum::<f64>() / count;
            let variance = rows.iter().map(|(_, told)| (f64::from(told[number]) - mean).powi(2)).sum::<f64>() / count;
            let factor = if variance < LEAST_VARIANCE { 0.0 } else { 1.0 / variance.sqrt() };
            for row in rows.iter_mut().flat_map(|(taste, told)| [&mut **taste, &mut **told]) {
                row[number] = ((f64::from(row[number]) - mean) * factor) as f32;
            }
            means.push(mean as f32);
            factors.push(factor as f32);
        }
    }
    (means, factors)
}

fn alike_of_a_size(
    sets: &WeightedSets,
    users: &[usize],
    groups: usize,
    stream: &mut Stream,
    advance: impl Fn() -> Result<()>,
) -> Result<Vec<u32>> {
    let sets_of = |user: &usize| &sets.sets[*user];
    // [items, groups]: an item's numbers for all groups lie together.
    let mut centres = vec![0f32; sets.items * groups];
    for group in 0..groups {
        // Three users together: single ones are too far from all others.
        for _ in 0..3 {
            let set = sets_of(&users[stream.random_range(0..users.len())]);
            set.iter().for_each(|(item, weight)| centres[*item as usize * groups + group] += weight);
        }
    }
    let mut group = vec![0u32; users.len()];
    for _ in 0..ROUNDS {
        unit_lengths(&mut centres, groups);
        group = users.par_iter().map(|user| nearest(&centres, groups, sets_of(user))).collect();
        centres.fill(0.0);
        for (user, group) in users.iter().zip(&group) {
            for (item, weight) in sets_of(user) {
                centres[*item as usize * groups + *group as usize] += weight;
            }
        }
        advance()?;
    }
    Ok(group)
}

/// Gives each group's centre the length 1.
fn unit_lengths(centres: &mut [f32], groups: usize) {
    let mut lengths = vec![0f32; groups];
    for row in centres.chunks_exact(groups) {
        lengths.iter_mut().zip(row).for_each(|(l, x)| *l += x * x);
    }
    lengths.iter_mut().for_each(|l| *l = l.sqrt().max(1e-6));
    for row in centres.chunks_exact_mut(groups) {
        row.iter_mut().zip(&lengths).for_each(|(x, l)| *x /= l);
    }
}

/// The group whose centre is nearest to a set; the first of equals.
fn nearest(centres: &[f32], groups: usize, set: &[(u32, f32)]) -> u32 {
    let mut scores = vec![0f32; groups];
    for (item, weight) in set {
        let row = &centres[*item as usize * groups..][..groups];
        scores.iter_mut().zip(row).for_each(|(s, x)| *s += x * weight);
    }
    let best = scores
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (group, score)| if *score > best.1 { (group, *score) } else { best });
    best.0 as u32
}

/// The distinct items of each user, ascending.
pub(crate) fn item_sets(sequences: &Sequences) -> Vec<Vec<u32>> {
    let of_user = |user| {
        let mut set = sequences.item[sequences.of_user(user)].to_vec();
        set.sort_unstable();
        set.dedup();
        set
    };
    (0..sequences.users()).map(of_user).collect()
}
