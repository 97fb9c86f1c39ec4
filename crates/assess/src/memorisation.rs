//! Signs that the synthetic data repeat the people they were learned from. Measurements, never a guarantee.
//!
//! A *record* is a row of a plain table (a point of [`twinmart_encode::space`]) or the set of items of a user in a shop
//! (Jaccard distance, 1 − |A ∩ B| / |A ∪ B|). Training and held-out records are compared in equal numbers.
//!
//! - Exact matches: share of synthetic rows (whole histories, in order) that equal a training one.
//! - DCR share: P(d(s, training) < d(s, held-out)) + ½·P(equal), over synthetic records s and their closest records.
//! - Membership: the closer a real record is to the synthetic data, the more likely it was trained on; the area under the
//!   curve of that guess, training against held-out records.

use crate::frame::{Frame, Values};
use crate::histogram::histogram_between;
use crate::ranks::{quantile, roc_auc};
use crate::report::{Axis, Compared, Histogram};
use crate::sampling::sample_rows;
use rayon::prelude::*;
use std::collections::HashSet;
use std::hash::Hash;
use twinmart_encode::space::{Points, Space, SpaceColumn};
use twinmart_tables::{Draws, Histories};

/// Rows of a table compared at most, of each of training, held-out and synthetic data.
const ROWS: usize = 8_000;
/// Rows of each real side whose membership is guessed.
const GUESSED_ROWS: usize = 4_000;
/// Synthetic rows that guesses search at most.
const SEARCHED_ROWS: usize = 50_000;
/// Users of a shop compared at most, of each side.
const USERS: usize = 20_000;
/// Distances closer than this are equal: they differ by rounding only.
const TIE: f64 = 1e-6;
/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_985;

/// What comparing with held-out records shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Closeness {
    pub(crate) dcr_share: f64,
    pub(crate) dcr_share_margin: f64,
    pub(crate) membership_auc: f64,
    pub(crate) membership_auc_margin: f64,
    pub(crate) distances: Option<Histogram>,
    pub(crate) compared: Compared,
}

/// Share of `rows` that also occur in `known`; `None` without rows.
fn share_known<T: Eq + Hash>(known: impl Iterator<Item = T>, rows: impl ExactSizeIterator<Item = T>) -> Option<f64> {
    let (known, count) = (known.collect::<HashSet<T>>(), rows.len());
    (count > 0).then(|| rows.filter(|row| known.contains(row)).count() as f64 / count as f64)
}

/// Share of rows of `other` that equal a row of `real` in every column.
pub(crate) fn exact_rows(real: &Frame, other: &Frame) -> Option<f64> {
    if real.columns.is_empty() {
        return None;
    }
    share_known((0..real.rows).map(|r| row_key(real, r)), (0..other.rows).map(|r| row_key(other, r)))
}

/// A row as bits: equal rows have equal keys.
fn row_key(frame: &Frame, row: usize) -> Vec<u64> {
    let bits = |values: &Values| match values {
        Values::Ordered(x) if x[row].is_nan() => u64::MAX,
        Values::Ordered(x) => (x[row] + 0.0).to_bits(),
        Values::Category(c) => u64::from(c[row]),
    };
    frame.columns.iter().map(bits).collect()
}

/// Share of users of `other` whose items, in order, are those of a user of `real`. Users without events are left out.
pub(crate) fn exact_histories(real: &Histories, other: &Histories) -> Option<f64> {
    let whole = |h: &Histories| (0..h.user_count()).filter(|u| !h.range(*u).is_empty()).collect::<Vec<_>>();
    let known = whole(real).into_iter().map(|u| real.items_of(u).to_vec());
    share_known(known, whole(other).into_iter().map(|u| other.items_of(u).to_vec()))
}

/// Closeness of a plain table's rows; `None` without rows or columns.
pub(crate) fn closeness_of_rows(train: &Frame, holdout: &Frame, synthetic: &Frame, draws: &Draws) -> Option<Closeness> {
    let m = train.rows.min(holdout.rows).min(ROWS);
    if m == 0 || synthetic.rows == 0 || train.columns.is_empty() {
        return None;
    }
    let reference = train.stacked(holdout);
    let space = Space::fit(&columns_of(&reference));
    let family = draws.family("assess.memorisation", "rows");
    let points = |frame: &Frame, count: usize, number: u64| {
        let sample = frame.take(&sample_rows(frame.rows, count, &mut family.row(number)));
        space.points(&columns_of(&sample))
    };
    let (members, controls) = (points(train, m, 0), points(holdout, m, 1));
    let made = points(synthetic, ROWS, 2);
    let distance = |from: &Points, to: &Points| -> Vec<f64> {
        to.nearest(from).into_iter().map(|n| f64::from(n.distance)).collect()
    };
    let (to_train, to_holdout) = (distance(&made, &members), distance(&made, &controls));

    // Samples are in random order, so their beginnings are samples too.
    let searched = points(synthetic, SEARCHED_ROWS, 3);
    let (guessed_train, guessed_holdout) =
        (points(train, m.min(GUESSED_ROWS), 0), points(holdout, m.min(GUESSED_ROWS), 1));
    let (of_members, of_controls) = (distance(&guessed_train, &searched), distance(&guessed_holdout, &searched));

    let new_people = distance(&controls, &members);
    let mut sorted = new_people.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let longest = quantile(&sorted, 0.99).unwrap_or(1.0).max(1e-3);
    summary(&to_train, &to_holdout, &of_members, &of_controls, &new_people, longest, m)
}

/// Closeness of the users of a shop; `None` without users on a side. All must be on one catalogue.
pub(crate) fn closeness_of_users(
    train: &Histories,
    holdout: &Histories,
    synthetic: &Histories,
    draws: &Draws,
) -> Option<Closeness> {
    let (train, holdout, synthetic) = (baskets(train), baskets(holdout), baskets(synthetic));
    let m = train.len().min(holdout.len()).min(USERS);
    if m == 0 || synthetic.is_empty() {
        return None;
    }
    let family = draws.family("assess.memorisation", "users");
    let sample = |sets: &[Vec<u32>], count: usize, number: u64| -> Vec<Vec<u32>> {
        sample_rows(sets.len(), count, &mut family.row(number)).into_iter().map(|u| sets[u].clone()).collect()
    };
    let (members, controls) = (sample(&train, m, 0), sample(&holdout, m, 1));
    let made = sample(&synthetic, USERS, 2);
    let (member_index, control_index) = (ItemIndex::new(&members), ItemIndex::new(&controls));
    let (to_train, to_holdout) = (member_index.nearest(&made), control_index.nearest(&made));
    let made_index = ItemIndex::new(&made);
    let (of_members, of_controls) = (made_index.nearest(&members), made_index.nearest(&controls));
    let new_people = member_index.nearest(&controls);
    summary(&to_train, &to_holdout, &of_members, &of_controls, &new_people, 1.0, m)
}

fn summary(
    to_train: &[f64],
    to_holdout: &[f64],
    of_members: &[f64],
    of_controls: &[f64],
    new_people: &[f64],
    longest: f64,
    real: usize,
) -> Option<Closeness> {
    let n = to_train.len() as f64;
    let credit = |(train, holdout): (&f64, &f64)| match holdout - train {
        gap if gap.abs() <= TIE => 0.5,
        gap if gap > 0.0 => 1.0,
        _ => 0.0,
    };
    let credits: Vec<f64> = to_train.iter().zip(to_holdout).map(credit).collect();
    let share = credits.iter().sum::<f64>() / n;
    let variance = credits.iter().map(|c| (c - share).powi(2)).sum::<f64>() / n;

    let closeness: Vec<f64> = of_members.iter().chain(of_controls).map(|d| -d).collect();
    let is_member: Vec<bool> = (0..closeness.len()).map(|i| i < of_members.len()).collect();
    let auc = roc_auc(&closeness, &is_member)?;
    Some(Closeness {
        dcr_share: share,
        dcr_share_margin: Z * (variance / n).sqrt(),
        membership_auc: auc,
        membership_auc_margin: Z * auc_standard_error(auc, of_members.len() as f64, of_controls.len() as f64),
        distances: Some(histogram_between(Axis::Number, 0.0, longest, 20, new_people, to_train, None)),
        compared: Compared { real: real as u64, synthetic: to_train.len() as u64 },
    })
}

/// Hanley and McNeil, "The meaning and use of the area under a ROC curve" (1982).
fn auc_standard_error(auc: f64, positives: f64, negatives: f64) -> f64 {
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let variance = auc * (1.0 - auc) + (positives - 1.0) * (q1 - auc * auc) + (negatives - 1.0) * (q2 - auc * auc);
    (variance.max(0.0) / (positives * negatives)).sqrt()
}

fn columns_of(frame: &Frame) -> Vec<SpaceColumn<'_>> {
    let columns = frame.columns.iter().map(|values| match values {
        Values::Ordered(x) => SpaceColumn::Ordered(x),
        Values::Category(c) => SpaceColumn::Category(c),
    });
    columns.collect()
}

/// The distinct items of each user who has any, ascending.
fn baskets(histories: &Histories) -> Vec<Vec<u32>> {
    let set = |user: usize| {
        let mut items = histories.items_of(user).to_vec();
        items.sort_unstable();
        items.dedup();
        items
    };
    (0..histories.user_count()).map(set).filter(|items| !items.is_empty()).collect()
}

/// Sets of items, found by item.
struct ItemIndex {
    /// `[items]` the sets that hold the item.
    holders: Vec<Vec<u32>>,
    /// `[sets]` number of items.
    sizes: Vec<u32>,
}

impl ItemIndex {
    fn new(sets: &[Vec<u32>]) -> ItemIndex {
        let items = sets.iter().flatten().max().map_or(0, |i| *i as usize + 1);
        let mut holders = vec![Vec::new(); items];
        for (number, set) in sets.iter().enumerate() {
            for item in set {
                holders[*item as usize].push(number as u32);
            }
        }
        ItemIndex { holders, sizes: sets.iter().map(|s| s.len() as u32).collect() }
    }

    /// Jaccard distance of each query to its closest set. Counts only sets that share an item: the cost is the sum of
    /// the lengths of the lists that a query touches.
    fn nearest(&self, queries: &[Vec<u32>]) -> Vec<f64> {
        let scratch = || (vec![0_u32; self.sizes.len()], Vec::new());
        let closest = |(shared, touched): &mut (Vec<u32>, Vec<u32>), query: &Vec<u32>| {
            for holder in query.iter().filter_map(|i| self.holders.get(*i as usize)).flatten() {
                if shared[*holder as usize] == 0 {
                    touched.push(*holder);
                }
                shared[*holder as usize] += 1;
            }
            let mut best = 0.0_f64;
            for set in touched.drain(..) {
                let both = f64::from(std::mem::take(&mut shared[set as usize]));
                best = best.max(both / (query.len() as f64 + f64::from(self.sizes[set as usize]) - both));
            }
            1.0 - best
        };
        queries.par_iter().map_init(scratch, closest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::Rng;

    fn table(seed: u64, rows: usize) -> Frame {
        let mut draw = Draws::new(seed).stream("table");
        let x = (0..rows).map(|_| draw.random::<f64>()).collect();
        let c = (0..rows).map(|_| draw.random_range(0..5u32)).collect();
        let y = (0..rows).map(|_| draw.random::<f64>()).collect();
        Frame { columns: vec![Values::Ordered(x), Values::Category(c), Values::Ordered(y)], rows }
    }

    #[test]
    fn copies_are_found_and_fresh_samples_are_not_accused() {
        let (train, holdout, fresh) = (table(1, 2000), table(2, 2000), table(3, 2000));
        let draws = Draws::new(1);
        let copied = closeness_of_rows(&train, &holdout, &train, &draws).unwrap();
        assert!(copied.dcr_share > 0.99 && copied.membership_auc > 0.99, "{copied:?}");
        assert_eq!(exact_rows(&train, &train), Some(1.0));
        let honest = closeness_of_rows(&train, &holdout, &fresh, &draws).unwrap();
        // Standard errors .011 and .009 plus the luck of one draw of both sets; 6 of them.
        assert!((honest.dcr_share - 0.5).abs() < 0.07 && (honest.membership_auc - 0.5).abs() < 0.06, "{honest:?}");
        assert_eq!(exact_rows(&train, &fresh), Some(0.0));
    }

    #[test]
    fn half_the_rows_copied_is_half_matched() {
        let train = table(1, 1000);
        let rows: Vec<usize> = (0..500).collect();
        let half = train.take(&rows).stacked(&table(4, 500));
        assert_eq!(exact_rows(&train, &half), Some(0.5));
    }

    proptest! {
        #[test]
        fn closest_set_equals_the_definition(
            sets in prop::collection::vec(prop::collection::btree_set(0u32..12, 1..8), 1..12),
            queries in prop::collection::vec(prop::collection::btree_set(0u32..15, 1..8), 1..8),
        ) {
            let list = |s: &std::collections::BTreeSet<u32>| s.iter().copied().collect::<Vec<_>>();
            let index = ItemIndex::new(&sets.iter().map(list).collect::<Vec<_>>());
            let found = index.nearest(&queries.iter().map(list).collect::<Vec<_>>());
            for (q, found) in queries.iter().zip(found) {
                let jaccard = sets.iter().map(|s| q.intersection(s).count() as f64 / q.union(s).count() as f64);
                prop_assert!((found - (1.0 - jaccard.fold(0.0, f64::max))).abs() < 1e-12);
            }
        }
    }
}
