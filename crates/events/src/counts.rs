//! Which items go together: pairs of items that enough people have in common, counted by person.
//!
//! n(j → i) is the number of people in whose sessions i follows j within some events. A pair is kept only where as many
//! people share it as the threshold says, by c = n − √n, one standard deviation below what was counted, as other people's
//! count might be; and only its share of the pairs of j is kept: c(j → i) / (Σ c(j → ·) + 3).

use crate::likeness::Likeness;
use crate::sequences::Sequences;
use rand::RngCore;
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::Draws;

/// Added to the people of an item, so that items of few people say little.
const DOUBT: f32 = 3.0;
/// Pairs that are looked at, at most; with more, an even part of the people is.
const MOST_PAIRS: usize = 1 << 26;
/// First items whose pairs one task counts.
const ITEMS_TOGETHER: usize = 64;

/// Added to the weights of items alike to one, so that those of a handful of rare items say little.
const LEAST_WEIGHT: f32 = 1e-4;

/// How pairs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Events between, at most, and one.
    pub(crate) lags: usize,
    /// Whether order matters.
    pub(crate) ordered: bool,
    /// Whether a user's sessions count as one, each item once; only pairs that are more frequent than chance are kept.
    pub(crate) across: bool,
}

/// Pairs of sessions.
pub(crate) const SESSION: Reach = Reach { lags: 60, ordered: false, across: false };

/// Pairs of people's whole histories.
pub(crate) const ACROSS: Reach = Reach { lags: 150, ordered: false, across: true };

/// For each item, the items that go with it and how strongly: compressed rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Companions {
    offsets: Vec<u32>,
    item: Vec<u32>,
    share: Vec<f32>,
}

/// People in parts: what others than those of a part say is counted for all parts at once.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// `[users]` the part of each, below [`Parts::MOST`].
    pub(crate) of_user: &'a [usize],
    /// `[sets][parts]` the sets of people whose pairs are counted, as the parts that belong to them.
    pub(crate) sets: &'a [Vec<bool>],
    /// How many people each of them counts as.
    pub(crate) weight: f32,
}

impl Parts<'_> {
    /// Parts at most.
    pub(crate) const MOST: usize = 1 << PART_BITS;

    fn is_in_any(&self, user: usize) -> bool {
        self.sets.iter().any(|set| set[self.of_user[user]])
    }
}

/// Bits of a part's number, beside an item's in one `u32`.
const PART_BITS: u32 = 3;

impl Companions {
    /// Items that people have in one session.
    pub fn of_sessions(sequences: &Sequences, items: usize, draws: Draws) -> Companions {
        Companions::of_all(sequences, items, SESSION, draws)
    }

    /// Items that people have at any time, more often than chance brings.
    pub fn of_histories(sequences: &Sequences, items: usize, draws: Draws) -> Companions {
        Companions::of_all(sequences, items, ACROSS, draws)
    }

    /// Companions of pairs that as many people share as a value needs.
    fn of_all(sequences: &Sequences, items: usize, reach: Reach, draws: Draws) -> Companions {
        let threshold = PersonThreshold::draw(draws.stream("events.threshold").next_u64());
        let (of_user, sets) = (vec![0; sequences.users()], [vec![true]]);
        let parts = Parts { of_user: &of_user, sets: &sets, weight: 1.0 };
        Companions::of(sequences, items, reach, parts, &|people| threshold.allows(people)).swap_remove(0)
    }

    /// Counts pairs, for each set of people.
    pub(crate) fn of(
        sequences: &Sequences,
        items: usize,
        reach: Reach,
        parts: Parts,
        enough: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<Companions> {
        let mut pairs = Pairs::of(sequences, items, reach, parts);
        let counts = if reach.across { pairs.of_each_item() } else { Vec::new() };
        let chance: Vec<Option<Chance>> =
            parts.sets.iter().map(|set| reach.across.then(|| Chance::of(&counts, set))).collect();
        let keeps = |set: usize, from: u32, to: u32, people: usize| {
            enough((people as f32 * parts.weight) as usize)
                && chance[set].as_ref().is_none_or(|c| c.is_exceeded(from, to, people))
        };
        let kept = pairs.shared(parts.sets, &keeps);
        kept.into_iter().map(|kept| Companions::of_shared(&kept, items, reach.ordered, parts.weight)).collect()
    }

    /// Companions of pairs `(from, to, people)`, people counted as `weight`.
    fn of_shared(shared: &[(u32, u32, u32)], items: usize, ordered: bool, weight: f32) -> Companions {
        let mut directed: Vec<(u32, u32, f32)> = Vec::with_capacity(shared.len() * if ordered { 1 } else { 2 });
        for (from, to, people) in shared {
            let counted = *people as f32 * weight;
            let sure = counted - counted.sqrt();
            directed.push((*from, *to, sure));
            if !ordered {
                directed.push((*to, *from, sure));
            }
        }
        directed.sort_unstable_by_key(|(from, to, _)| (*from, *to));
        Companions::of_counts(&directed, items)
    }

    /// Companions by likeness: those more alike and more popular have more; an item that has any gives all of its weight.
    pub(crate) fn alike(likeness: &Likeness, rarity: &[f32]) -> Companions {
        let mut companions = Companions { offsets: vec![0], ..Companions::default() };
        for alike in likeness {
            let weights = alike.iter().map(|(item, likeness)| likeness.powi(2) / rarity[*item as usize].max(1.0));
            let sum: f32 = weights.clone().sum::<f32>() + LEAST_WEIGHT;
            companions.item.extend(alike.iter().map(|(item, _)| item));
            companions.share.extend(weights.map(|weight| weight / sum));
            companions.offsets.push(companions.item.len() as u32);
        }
        companions
    }

    fn of_counts(counts: &[(u32, u32, f32)], items: usize) -> Companions {
        let mut offsets = vec![0u32; items + 1];
        let mut sums = vec![DOUBT; items];
        for (from, _, people) in counts {
            offsets[*from as usize + 1] += 1;
            sums[*from as usize] += people;
        }
        for item in 0..items {
            offsets[item + 1] += offsets[item];
        }
        Companions {
            offsets,
            item: counts.iter().map(|c| c.1).collect(),
            share: counts.iter().map(|c| c.2 / sums[c.0 as usize]).collect(),
        }
    }

    /// Items that go with `item`, ascending, and their shares.
    pub fn of_item(&self, item: u32) -> (&[u32], &[f32]) {
        let range = self.offsets[item as usize] as usize..self.offsets[item as usize + 1] as usize;
        (&self.item[range.clone()], &self.share[range])
    }

    /// With at most `most` companions of each item: the strongest, of equal ones the first.
    pub fn strongest(self, most: usize) -> Companions {
        let (mut offsets, mut item, mut share) = (vec![0], Vec::new(), Vec::new());
        for from in 0..self.offsets.len() as u32 - 1 {
            let (items, shares) = self.of_item(from);
            let mut places: Vec<usize> = (0..items.len()).collect();
            if places.len() > most {
                places.select_nth_unstable_by(most, |a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
                places.truncate(most);
                places.sort_unstable();
            }
            item.extend(places.iter().map(|place| items[*place]));
            share.extend(places.iter().map(|place| shares[*place]));
            offsets.push(item.len() as u32);
        }
        Companions { offsets, item, share }
    }

    /// Adds everything to lists of numbers.
    pub fn store(&self, numbers: &mut Vec<f32>, places: &mut Vec<u32>) {
        places.extend(&self.offsets);
        places.extend(&self.item);
        numbers.extend(&self.share);
    }

    /// Takes what [`Companions::store`] stored from the fronts of lists; `None` where it is not sound.
    pub fn restore(numbers: &mut &[f32], places: &mut &[u32], items: usize) -> Option<Companions> {
        let (offsets, rest) = places.split_at_checked(items + 1)?;
        let (item, rest) = rest.split_at_checked(*offsets.last()? as usize)?;
        let (share, others) = numbers.split_at_checked(item.len())?;
        (*places, *numbers) = (rest, others);
        let companions = Companions { offsets: offsets.to_vec(), item: item.to_vec(), share: share.to_vec() };
        companions.is_sound(items).then_some(companions)
    }

    /// True where every item has its companions, all of them among `items`.
    fn is_sound(&self, items: usize) -> bool {
        self.offsets.len() == items + 1
            && self.offsets.first() == Some(&0)
            && self.offsets.is_sorted()
            && self.offsets[items] as usize == self.item.len()
            && self.share.len() == self.item.len()
            && self.share.iter().all(|s| (0.0..=1.0).contains(s))
            && (0..items as u32).all(|i| {
                let companions = self.of_item(i).0;
                companions.is_sorted_by(|a, b| a < b) && companions.last().is_none_or(|l| (*l as usize) < items)
            })
    }
}

/// Which items the same people have, by their whole histories: how many people share each pair of some items.
pub(crate) struct Meetings {
    /// `[items]` for items that are asked for, all they meet, ascending, and how many people share both; nothing for others.
    pub(crate) rows: Vec<Vec<(u32, u32)>>,
    /// `[items]` pairs that have the item.
    pub(crate) sums: Vec<f64>,
}

impl Meetings {
    /// Those of the people who are counted; `is_asked` says of each item whether its row is wanted.
    pub(crate) fn of(sequences: &Sequences, is_asked: &[bool], is_counted: &dyn Fn(usize) -> bool) -> Meetings {
        let of_user: Vec<usize> = (0..sequences.users()).map(|user| usize::from(!is_counted(user))).collect();
        let sets = [vec![true, false]];
        let parts = Parts { of_user: &of_user, sets: &sets, weight: 1.0 };
        let mut pairs = Pairs::of(sequences, is_asked.len(), ACROSS, parts);
        let sums = Chance::of(&pairs.of_each_item(), &sets[0]).sums;
        let is_wanted = |_, from: u32, to: u32, _| is_asked[from as usize] || is_asked[to as usize];
        let mut rows = vec![Vec::new(); is_asked.len()];
        for (from, to, people) in pairs.shared(&sets, &is_wanted).remove(0) {
            for (own, other) in [(from, to), (to, from)] {
                if is_asked[own as usize] {
                    rows[own as usize].push((other, people));
                }
            }
        }
        rows.par_iter_mut().for_each(|row| row.sort_unstable());
        Meetings { rows, sums }
    }
}

/// Items of this share of all events are to have lifts.
const LIFTED: f64 = 0.7;

/// For each item, those that it shares more people with than chance would bring: ln(people / people by chance), which counts
/// the more the more pairs both items have (the root of the geometric mean), so that rare items do not decide everything.
/// Pairs are of people's whole histories, and counted as [`Companions`] are.
///
/// How many people must share a pair is the first of `enough` by which the items of most events have any; else the last.
pub(crate) fn lifts(
    sequences: &Sequences,
    items: usize,
    enough: &[&(dyn Fn(usize) -> bool + Sync)],
) -> Vec<Vec<(u32, f32)>> {
    let (of_user, sets) = (vec![0; sequences.users()], [vec![true]]);
    let parts = Parts { of_user: &of_user, sets: &sets, weight: 1.0 };
    let mut pairs = Pairs::of(sequences, items, ACROSS, parts);
    let chance = Chance::of(&pairs.of_each_item(), &sets[0]);
    let mut lifts = Vec::new();
    for enough in enough {
        let shared = pairs.shared(&sets, &|_, _, _, people| enough(people)).remove(0);
        lifts = lifts_of(&shared, items, &chance);
        let lifted = sequences.item.iter().filter(|item| !lifts[**item as usize].is_empty()).count();
        if lifted as f64 >= LIFTED * sequences.events() as f64 {
            break;
        }
    }
    lifts
}

/// The lifts of pairs `(from, to, people)`.
fn lifts_of(shared: &[(u32, u32, u32)], items: usize, chance: &Chance) -> Vec<Vec<(u32, f32)>> {
    let mut lifts = vec![Vec::new(); items];
    let mean = chance.total / items.max(1) as f64;
    for (from, to, people) in shared.iter().copied() {
        let sure = f64::from(people) - f64::from(people).sqrt();
        let weight = (chance.sums[from as usize] * chance.sums[to as usize]).sqrt() / mean;
        let lift = ((sure / chance.people(from, to)).ln() * weight.sqrt()) as f32;
        if lift > 0.0 {
            lifts[from as usize].push((to, lift));
            lifts[to as usize].push((from, lift));
        }
    }
    lifts
}

/// Pairs of people above this multiple of what chance brings are kept of those across sessions.
const ABOVE_CHANCE: f64 = 1.5;

/// How many people would have a pair if items met by chance.
struct Chance {
    /// `[items]` pairs that have the item.
    sums: Vec<f64>,
    total: f64,
}

impl Chance {
    /// `counts` has for each item how many pairs of each part's people have it.
    fn of(counts: &[[u32; Parts::MOST]], set: &[bool]) -> Chance {
        let in_set = |counts: &[u32; Parts::MOST]| -> f64 {
            counts.iter().zip(set).filter(|(_, is_in)| **is_in).map(|(n, _)| f64::from(*n)).sum()
        };
        let sums: Vec<f64> = counts.iter().map(in_set).collect();
        Chance { total: sums.iter().sum(), sums }
    }

    fn people(&self, from: u32, to: u32) -> f64 {
        self.sums[from as usize] * self.sums[to as usize] / self.total
    }

    fn is_exceeded(&self, from: u32, to: u32, people: usize) -> bool {
        people as f64 > ABOVE_CHANCE * self.people(from, to)
    }
}

/// Every person's pairs, by their first items: 4 bytes for each pair of each person.
struct Pairs {
    /// `[items + 1]`
    offsets: Vec<usize>,
    /// The second item and the person's part; ascending for each first item.
    others: Vec<u32>,
}

fn packed(to: u32, part: usize) -> u32 {
    to << PART_BITS | part as u32
}

fn unpacked(other: u32) -> (u32, usize) {
    (other >> PART_BITS, other as usize % Parts::MOST)
}

impl Pairs {
    /// Looks at everybody's pairs twice: to see how many there are of each item, then to put them in their places.
    fn of(sequences: &Sequences, items: usize, reach: Reach, parts: Parts) -> Pairs {
        let users: Vec<usize> = (0..sequences.users()).filter(|u| parts.is_in_any(*u)).collect();
        let seen: usize = users.iter().map(|u| sequences.of_user(*u).len() * reach.lags).sum();
        let every = seen.div_ceil(MOST_PAIRS).max(1);
        let looked: Vec<usize> = users.into_iter().step_by(every).collect();
        // Whoever comes first: numbers are only added up here, and sorted below.
        let places: Vec<AtomicUsize> = (0..=items).map(|_| AtomicUsize::new(0)).collect();
        looked.par_iter().for_each(|user| {
            for pair in pairs_of(sequences, *user, reach) {
                places[(pair >> 32) as usize].fetch_add(1, Relaxed);
            }
        });
        let mut end = 0;
        for place in &places {
            end += place.swap(end, Relaxed);
        }
        let others: Vec<AtomicU32> = (0..end).map(|_| AtomicU32::new(0)).collect();
        let offsets = places.iter().map(|place| place.load(Relaxed)).collect();
        looked.par_iter().for_each(|user| {
            for pair in pairs_of(sequences, *user, reach) {
                let place = places[(pair >> 32) as usize].fetch_add(1, Relaxed);
                others[place].store(packed(pair as u32, parts.of_user[*user]), Relaxed);
            }
        });
        let mut pairs = Pairs { offsets, others: others.into_iter().map(AtomicU32::into_inner).collect() };
        pairs.by_item_mut().into_par_iter().for_each(|(_, others)| others.sort_unstable());
        pairs
    }

    /// For each item, how many pairs of each part's people have it.
    fn of_each_item(&self) -> Vec<[u32; Parts::MOST]> {
        let mut counts = vec![[0u32; Parts::MOST]; self.offsets.len() - 1];
        for (from, ends) in self.offsets.windows(2).enumerate() {
            for other in &self.others[ends[0]..ends[1]] {
                let (to, part) = unpacked(*other);
                counts[from][part] += 1;
                counts[to as usize][part] += 1;
            }
        }
        counts
    }

    /// The pairs of each first item that has any.
    fn by_item_mut(&mut self) -> Vec<(u32, &mut [u32])> {
        let mut rest = &mut self.others[..];
        let cut = |(from, ends): (u32, &[usize])| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(ends[1] - ends[0]);
            rest = others;
            (!own.is_empty()).then_some((from, own))
        };
        (0..).zip(self.offsets.windows(2)).filter_map(cut).collect()
    }

    /// For each set, the pairs `(from, to, people)` that are kept, ascending.
    fn shared(
        &mut self,
        sets: &[Vec<bool>],
        keeps: &(dyn Fn(usize, u32, u32, usize) -> bool + Sync),
    ) -> Vec<Vec<(u32, u32, u32)>> {
        let of_items = |items: &[(u32, &mut [u32])]| {
            let mut kept = vec![Vec::new(); sets.len()];
            for (from, others) in items {
                for same in others.chunk_by(|a, b| unpacked(*a).0 == unpacked(*b).0) {
                    let mut people = [0usize; Parts::MOST];
                    same.iter().for_each(|other| people[unpacked(*other).1] += 1);
                    let to = unpacked(same[0]).0;
                    for (number, (set, kept)) in sets.iter().zip(&mut kept).enumerate() {
                        let people: usize = people.iter().zip(set).filter(|(_, is_in)| **is_in).map(|(n, _)| n).sum();
                        if people > 0 && keeps(number, *from, to, people) {
                            kept.push((*from, to, people as u32));
                        }
                    }
                }
            }
            kept
        };
        let kept: Vec<Vec<Vec<_>>> = self.by_item_mut().par_chunks(ITEMS_TOGETHER).map(of_items).collect();
        (0..sets.len()).map(|set| kept.iter().flat_map(|kept| &kept[set]).copied().collect()).collect()
    }
}

/// The distinct pairs of a user, `from << 32 | to`; of pairs without order, the smaller item comes first.
fn pairs_of(sequences: &Sequences, user: usize, reach: Reach) -> Vec<u64> {
    let range = sequences.of_user(user);
    let mut pairs = Vec::new();
    if reach.across {
        let mut seen = HashSet::new();
        let distinct: Vec<u64> =
            range.map(|e| u64::from(sequences.item[e])).filter(|item| seen.insert(*item)).collect();
        for (place, a) in distinct.iter().enumerate() {
            let near = &distinct[place + 1..distinct.len().min(place + 1 + reach.lags)];
            pairs.extend(near.iter().map(|b| a.min(b) << 32 | a.max(b)));
        }
        return pairs;
    }
    for first in range.clone() {
        for second in first + 1..range.end.min(first + 1 + reach.lags) {
            if sequences.session[second] != sequences.session[first] {
                break;
            }
            let (mut a, mut b) = (u64::from(sequences.item[first]), u64::from(sequences.item[second]));
            if a != b {
                if !reach.ordered && a > b {
                    std::mem::swap(&mut a, &mut b);
                }
                pairs.push(a << 32 | b);
            }
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users as lists of sessions as lists of items.
    fn sequences(users: &[&[&[u32]]]) -> Sequences {
        let mut out = Sequences { offsets: vec![0], ..Sequences::default() };
        for user in users {
            for (session, items) in user.iter().enumerate() {
                out.item.extend_from_slice(items);
                out.session.extend(items.iter().map(|_| session as u32));
            }
            out.offsets.push(out.item.len());
        }
        out.time = vec![0; out.item.len()];
        out.action = vec![0; out.item.len()];
        out
    }

    /// Companions by those of the users that are in the part 1.
    fn of(sequences: &Sequences, items: usize, reach: Reach, part: &[usize], least: usize) -> Companions {
        let parts = Parts { of_user: part, sets: &[vec![false, true]], weight: 1.0 };
        Companions::of(sequences, items, reach, parts, &|people| people >= least).remove(0)
    }

    #[test]
    fn pairs_count_by_person_inside_sessions_and_above_the_threshold() {
        let users: [&[&[u32]]; 3] = [&[&[0, 1, 2], &[0, 1]], &[&[0, 1], &[3]], &[&[1, 0], &[2, 0]]];
        let sequences = sequences(&users);
        let next = Reach { lags: 1, ordered: true, across: false };
        let of = |reach, least: usize| of(&sequences, 4, reach, &[1; 3], least);
        let companions = of(next, 2);
        // 0 → 1 by two people; 1 → 2, 1 → 0 and 2 → 0 by one each.
        let sure = |people: f32| people - people.sqrt();
        assert_eq!(companions.of_item(0), (&[1u32][..], &[sure(2.0) / (sure(2.0) + 3.0)][..]));
        assert!((1..4).all(|i| companions.of_item(i).0.is_empty()));
        assert_eq!(of(next, 1).of_item(1).0, &[0, 2]);
        let near = of(Reach { lags: 2, ordered: false, across: false }, 2);
        assert_eq!(near.of_item(1), (&[0u32][..], &[sure(3.0) / (sure(3.0) + 3.0)][..]));
        let sum = sure(3.0) + sure(2.0) + 3.0;
        let (items, shares) = near.of_item(0);
        assert_eq!(items, [1, 2]);
        assert!((shares[0] - sure(3.0) / sum).abs() < 1e-6 && (shares[1] - sure(2.0) / sum).abs() < 1e-6);
        assert!(near.is_sound(4) && !near.is_sound(3));
    }

    #[test]
    fn lifts_say_how_much_more_often_than_by_chance_enough_people_share_pairs() {
        let (a, b): (&[&[u32]], &[&[u32]]) = (&[&[0], &[1]], &[&[2, 3]]);
        let users: Vec<&[&[u32]]> = (0..24).map(|user| if user % 2 == 0 { a } else { b }).collect();
        let sequences = sequences(&users);
        let (many, some) = (|people: usize| people >= 20, |people: usize| people >= 12);
        assert!(lifts(&sequences, 4, &[&many]).iter().all(Vec::is_empty));
        // Each item has 12 of 48 ends of pairs, so chance brings 12 · 12 / 48 people together; 12 are, less a deviation.
        let expected = ((12.0 - 12f32.sqrt()) / 3.0).ln();
        let found = lifts(&sequences, 4, &[&many, &some]);
        for (item, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            assert!(matches!(found[item][..], [(to, lift)] if to == other && (lift - expected).abs() < 1e-6));
        }
        assert_eq!(found, lifts(&sequences, 4, &[&some, &|_| true]));
    }

    #[test]
    fn the_strongest_companions_stay() {
        let counts = [(0, 1, 2.0), (0, 2, 7.0), (0, 3, 2.0), (0, 4, 3.0), (2, 0, 1.0)];
        let all = Companions::of_counts(&counts, 5);
        let some = all.clone().strongest(3);
        assert!(some.is_sound(5));
        let share = |people: f32| people / (14.0 + DOUBT);
        assert_eq!(some.of_item(0), (&[1u32, 2, 4][..], &[share(2.0), share(7.0), share(3.0)][..]));
        assert_eq!(some.of_item(2), all.of_item(2));
        assert_eq!(all.clone().strongest(4), all);
    }

    #[test]
    fn people_who_are_not_learned_do_not_count() {
        let users: [&[&[u32]]; 2] = [&[&[0, 1]], &[&[0, 2]]];
        let sequences = sequences(&users);
        let one = of(&sequences, 3, Reach { lags: 1, ordered: true, across: false }, &[0, 1], 1);
        assert_eq!(one.of_item(0).0, &[2]);
    }
}
