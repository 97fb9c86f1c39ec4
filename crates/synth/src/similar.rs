//! The users most similar to each user, by the weighted Jaccard index of their item sets:
//!
//! s(a, b) = Σ over a ∩ b of w / Σ over a ∪ b of w, w(item) = ln(1 + users / users of the item).
//!
//! Rare items speak louder, and users of very different size are never similar, so heavy users do not become everybody's
//! neighbours. An inverted index adds up the intersections; work is bound by Σ over items (users of the item)².

use crate::sessions::Sessions;
use rayon::prelude::*;
use twinmart_tables::{Progress, Result};

/// Items held by more users than this weigh too little to find a neighbour by, and would cost the square of their users.
const MOST_HOLDERS: usize = 20_000;

/// `[users][k]` the most similar users of each user, most similar first. Where fewer share an item, the list starts over;
/// where nobody does, it names the user itself.
pub(crate) fn similar_users(sessions: &Sessions, k: usize, progress: &Progress) -> Result<Vec<u64>> {
    let sets: Vec<Vec<u32>> = (0..sessions.users()).map(|u| item_set(sessions, u)).collect();
    let items = sessions.item.iter().max().map_or(0, |m| *m as usize + 1);
    let mut holders: Vec<Vec<u32>> = vec![Vec::new(); items];
    for (user, set) in sets.iter().enumerate() {
        set.iter().for_each(|i| holders[*i as usize].push(user as u32));
    }
    let weight: Vec<f64> = holders.iter().map(|h| (sets.len() as f64 / h.len().max(1) as f64).ln_1p()).collect();
    let size: Vec<f64> = sets.iter().map(|s| s.iter().map(|i| weight[*i as usize]).sum()).collect();

    let task = progress.start("finding similar users", Some(sets.len() as u64), "users");
    let found: Vec<Vec<u64>> = (0..sets.len())
        .into_par_iter()
        .map_init(
            || vec![0f64; sets.len()],
            |shared, user| {
                task.advance(1)?;
                let mut met: Vec<u32> = Vec::new();
                for item in sets[user].iter().map(|i| *i as usize).filter(|i| holders[*i].len() <= MOST_HOLDERS) {
                    for &other in &holders[item] {
                        if shared[other as usize] == 0.0 {
                            met.push(other);
                        }
                        shared[other as usize] += weight[item];
                    }
                }
                let score = |other: u32| {
                    let both = shared[other as usize];
                    both / (size[user] + size[other as usize] - both)
                };
                let mut scored: Vec<(f64, u32)> =
                    met.iter().filter(|o| **o != user as u32).map(|o| (score(*o), *o)).collect();
                let order = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
                if scored.len() > k {
                    scored.select_nth_unstable_by(k, order);
                    scored.truncate(k);
                }
                scored.sort_unstable_by(order);
                met.iter().for_each(|o| shared[*o as usize] = 0.0);
                if scored.is_empty() {
                    scored.push((0.0, user as u32));
                }
                Ok(scored.iter().map(|s| u64::from(s.1)).cycle().take(k).collect())
            },
        )
        .collect::<Result<_>>()?;
    Ok(found.concat())
}

fn item_set(sessions: &Sessions, user: usize) -> Vec<u32> {
    let mut set = sessions.item[sessions.events_of_user(user)].to_vec();
    set.sort_unstable();
    set.dedup();
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            users in prop::collection::vec(prop::collection::vec(0u32..12, 0..6), 1..25), k in 1usize..4,
        ) {
            let sessions = Sessions::of_lists(&users.iter().map(|u| vec![u.clone()]).collect::<Vec<_>>());
            let found = similar_users(&sessions, k, &Progress::silent()).unwrap();
            let sets: Vec<BTreeSet<u32>> = users.iter().map(|u| u.iter().copied().collect()).collect();
            let weight = |items: Vec<&u32>| -> f64 {
                let of = |i: &u32| (1.0 + sets.len() as f64 / sets.iter().filter(|s| s.contains(i)).count() as f64).ln();
                items.into_iter().map(of).sum()
            };
            let likeness = |a: usize, b: usize| {
                let both = weight(sets[a].intersection(&sets[b]).collect());
                if both == 0.0 { 0.0 } else { both / weight(sets[a].union(&sets[b]).collect()) }
            };
            for (user, found) in found.chunks(k).enumerate() {
                let mut all: Vec<f64> = (0..sets.len()).filter(|o| *o != user).map(|o| likeness(user, o)).collect();
                all.retain(|s| *s > 0.0);
                all.sort_by(|a, b| b.total_cmp(a));
                if all.is_empty() {
                    prop_assert!(found.iter().all(|o| *o == user as u64));
                    continue;
                }
                let expected = all.iter().take(k).cycle();
                for (other, expected) in found.iter().zip(expected) {
                    prop_assert!((likeness(user, *other as usize) - expected).abs() < 1e-9);
                }
            }
        }
    }
}
