//! Which items go together: pairs of items that enough people have in common, counted by person.
//!
//! n(j → i) is the number of people in whose sessions i follows j within some events. A pair is kept only where as many
//! people share it as the threshold says, by c = n − √n, one standard deviation below what was counted, as other people's
//! count might be; and only its share of the pairs of j is kept: c(j → i) / (Σ c(j → ·) + 3).

use crate::sequences::Sequences;
use rayon::prelude::*;
use std::collections::HashSet;

/// Added to the people of an item, so that items of few people say little.
const DOUBT: f32 = 3.0;
/// Pairs that are looked at, at most; with more, an even part of the people is.
const MOST_PAIRS: usize = 1 << 26;

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

/// For each item, the items that go with it and how strongly: compressed rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Companions {
    offsets: Vec<u32>,
    item: Vec<u32>,
    share: Vec<f32>,
}

impl Companions {
    /// Counts the pairs of the users that `learned` names.
    pub(crate) fn of(
        sequences: &Sequences,
        items: usize,
        reach: Reach,
        learned: &(dyn Fn(usize) -> bool + Sync),
        enough: &(dyn Fn(usize) -> bool + Sync),
    ) -> Companions {
        let users: Vec<usize> = (0..sequences.users()).filter(|u| learned(*u)).collect();
        let seen: usize = users.iter().map(|u| sequences.of_user(*u).len() * reach.lags).sum();
        let every = seen.div_ceil(MOST_PAIRS).max(1);
        let looked: Vec<usize> = users.into_iter().step_by(every).collect();
        let mut pairs: Vec<u64> = looked.par_iter().flat_map_iter(|user| pairs_of(sequences, *user, reach)).collect();
        pairs.par_sort_unstable();
        let counted: Vec<(u64, usize)> = pairs.chunk_by(|a, b| a == b).map(|c| (c[0], c.len())).collect();
        let kept: Vec<(u64, usize)> = counted.iter().copied().filter(|(_, people)| enough(*people)).collect();
        let kept = if reach.across { above_chance(&counted, kept, items) } else { kept };
        let mut directed: Vec<(u32, u32, f32)> = Vec::with_capacity(kept.len() * 2);
        for (pair, people) in kept {
            let (from, to) = ((pair >> 32) as u32, pair as u32);
            let sure = people as f32 - (people as f32).sqrt();
            directed.push((from, to, sure));
            if !reach.ordered {
                directed.push((to, from, sure));
            }
        }
        directed.sort_unstable_by_key(|(from, to, _)| (*from, *to));
        Companions::of_counts(&directed, items)
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
    pub(crate) fn of_item(&self, item: u32) -> (&[u32], &[f32]) {
        let range = self.offsets[item as usize] as usize..self.offsets[item as usize + 1] as usize;
        (&self.item[range.clone()], &self.share[range])
    }

    /// Adds everything to lists of numbers.
    pub(crate) fn store(&self, numbers: &mut Vec<f32>, places: &mut Vec<u32>) {
        places.extend(&self.offsets);
        places.extend(&self.item);
        numbers.extend(&self.share);
    }

    /// Takes what [`Companions::store`] stored from the fronts of lists; `None` where it is not sound.
    pub(crate) fn restore(numbers: &mut &[f32], places: &mut &[u32], items: usize) -> Option<Companions> {
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

/// Pairs of people above this multiple of what chance brings are kept of those across sessions.
const ABOVE_CHANCE: f64 = 1.5;

/// The pairs that more people have than if items met by chance.
fn above_chance(counted: &[(u64, usize)], kept: Vec<(u64, usize)>, items: usize) -> Vec<(u64, usize)> {
    let mut sums = vec![0f64; items];
    for (pair, people) in counted {
        sums[(pair >> 32) as usize] += *people as f64;
        sums[*pair as u32 as usize] += *people as f64;
    }
    let total: f64 = sums.iter().sum();
    let chance = |pair: u64| sums[(pair >> 32) as usize] * sums[pair as u32 as usize] / total;
    kept.into_iter().filter(|(pair, people)| *people as f64 > ABOVE_CHANCE * chance(*pair)).collect()
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

    #[test]
    fn pairs_count_by_person_inside_sessions_and_above_the_threshold() {
        let users: [&[&[u32]]; 3] = [&[&[0, 1, 2], &[0, 1]], &[&[0, 1], &[3]], &[&[1, 0], &[2, 0]]];
        let sequences = sequences(&users);
        let next = Reach { lags: 1, ordered: true, across: false };
        let of = |reach, least: usize| Companions::of(&sequences, 4, reach, &|_| true, &move |people| people >= least);
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
    fn people_who_are_not_learned_do_not_count() {
        let users: [&[&[u32]]; 2] = [&[&[0, 1]], &[&[0, 2]]];
        let sequences = sequences(&users);
        let one =
            Companions::of(&sequences, 3, Reach { lags: 1, ordered: true, across: false }, &|u| u == 1, &|people| {
                people >= 1
            });
        assert_eq!(one.of_item(0).0, &[2]);
    }
}
