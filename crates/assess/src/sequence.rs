//! Behaviour over time: popularity, repetition, rhythm and length of the histories of a shop.
//!
//! [`Behaviour`] gathers the distributions of one side; [`compare`] turns two of them into numbers; [`sequence_fidelity`]
//! adds what the page draws. Sides must be on one catalogue for the numbers that name items.

use crate::histogram::histogram;
use crate::ranks::{gini, ks_distance, spearman, total_variation};
use crate::report::{Axis, Histogram, PairScatter, SequenceFidelity, Sides};
use twinmart_tables::{Histories, TimeScale};

/// Items with fewer real users than this have no order worth comparing; they are left out of the popularity correlation.
const LEAST_USERS: f64 = 5.0;
/// Most popular items whose pairs are compared.
const PAIRED_ITEMS: usize = 500;
/// Cells a side of the scatter plot of pairs.
const SCATTER_CELLS: usize = 24;
/// Points of a Lorenz curve beyond the origin.
const LORENZ_POINTS: usize = 100;
const HOURS_OF_WEEK: usize = 168;
const HOUR: i64 = 3_600_000_000;
const DAY: f64 = 86_400e6;

/// Distributions of one side's histories.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    scale: TimeScale,
    /// Users with at least one event.
    users: usize,
    /// `[items]` events.
    item_events: Vec<f64>,
    /// `[items]` different users.
    item_users: Vec<f64>,
    /// Time between a user's consecutive moments (events at one moment count once): days, or steps without a clock.
    gaps: Vec<f64>,
    /// `[users]` events.
    lengths: Vec<f64>,
    /// `[users]` sessions.
    sessions: Vec<f64>,
    /// `[sessions]` events.
    basket_sizes: Vec<f64>,
    /// `[168]` events, from Monday 0:00; empty without a clock.
    hours_of_week: Vec<f64>,
    /// Share of events whose user had the item before.
    repeat_rate: Option<f64>,
}

impl Behaviour {
    /// Gathers the distributions. Users without events are left out.
    pub(crate) fn of(histories: &Histories) -> Behaviour {
        let items = histories.item_count();
        let mut side = Behaviour {
            scale: histories.scale,
            users: 0,
            item_events: vec![0.0; items],
            item_users: vec![0.0; items],
            gaps: Vec::new(),
            lengths: Vec::new(),
            sessions: Vec::new(),
            basket_sizes: Vec::new(),
            hours_of_week: Vec::new(),
            repeat_rate: None,
        };
        if histories.scale == TimeScale::Microseconds {
            side.hours_of_week = hours_of_week(&histories.time);
        }
        let unit = if histories.scale == TimeScale::Microseconds { DAY } else { 1.0 };
        // Last user (counted from 1) who had the item.
        let mut last_user = vec![0; items];
        let mut repeats = 0;
        for user in 0..histories.user_count() {
            let range = histories.range(user);
            if range.is_empty() {
                continue;
            }
            side.users += 1;
            side.lengths.push(range.len() as f64);
            let times = &histories.time[range.clone()];
            let moments = times.windows(2).filter(|w| w[1] > w[0]);
            side.gaps.extend(moments.map(|w| w[1].saturating_sub(w[0]) as f64 / unit));
            let before = side.basket_sizes.len();
            let sessions = histories.session[range.clone()].chunk_by(|a, b| a == b);
            side.basket_sizes.extend(sessions.map(|s| s.len() as f64));
            side.sessions.push((side.basket_sizes.len() - before) as f64);
            for &item in &histories.item[range] {
                side.item_events[item as usize] += 1.0;
                if std::mem::replace(&mut last_user[item as usize], user + 1) == user + 1 {
                    repeats += 1;
                } else {
                    side.item_users[item as usize] += 1.0;
                }
            }
        }
        let events = histories.event_count();
        side.repeat_rate = (events > 0).then(|| f64::from(repeats) / events as f64);
        side
    }

    fn coverage(&self) -> Option<f64> {
        let sold = self.item_events.iter().filter(|n| **n > 0.0).count();
        (!self.item_events.is_empty()).then(|| sold as f64 / self.item_events.len() as f64)
    }

    /// Share of events on the least popular 0 %, 1 %, …, 100 % of the catalogue, linear in between.
    fn lorenz(&self) -> Vec<f64> {
        let mut sorted = self.item_events.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut sums = vec![0.0];
        for count in sorted {
            sums.push(sums[sums.len() - 1] + count);
        }
        let total = sums[sums.len() - 1].max(1.0);
        let at = |p: usize| crate::ranks::quantile(&sums, p as f64 / LORENZ_POINTS as f64).unwrap_or_default() / total;
        (0..=LORENZ_POINTS).map(at).collect()
    }
}

/// Events by hour of the week. 1970-01-01 was a Thursday.
fn hours_of_week(times: &[i64]) -> Vec<f64> {
    let mut hours = vec![0.0; HOURS_OF_WEEK];
    for time in times {
        let hour = time.div_euclid(HOUR) + 3 * 24;
        hours[hour.rem_euclid(HOURS_OF_WEEK as i64) as usize] += 1.0;
    }
    hours
}

/// The numbers that compare two sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) item_popularity_spearman: Option<f64>,
    pub(crate) item_gini_difference: Option<f64>,
    pub(crate) cooccurrence_spearman: Option<f64>,
    pub(crate) repeat_rate_difference: Option<f64>,
    pub(crate) gap_ks: Option<f64>,
    pub(crate) length_ks: Option<f64>,
    pub(crate) sessions_ks: Option<f64>,
    pub(crate) basket_size_ks: Option<f64>,
    pub(crate) hour_of_week_tv: Option<f64>,
}

/// Compares two sides; `together` holds how often item pairs share a user, where the sides are on one catalogue.
pub(crate) fn compare(real: &Behaviour, other: &Behaviour, together: Option<&Pairs>) -> Comparison {
    let difference = |real: Option<f64>, other: Option<f64>| Some(other? - real?);
    Comparison {
        item_popularity_spearman: together.and_then(|_| popularity_spearman(&real.item_users, &other.item_users)),
        item_gini_difference: difference(gini(&real.item_events), gini(&other.item_events)),
        cooccurrence_spearman: together.and_then(|pairs| spearman(&pairs.real, &pairs.other)),
        repeat_rate_difference: difference(real.repeat_rate, other.repeat_rate),
        gap_ks: if real.scale == other.scale { ks_distance(&real.gaps, &other.gaps) } else { None },
        length_ks: ks_distance(&real.lengths, &other.lengths),
        sessions_ks: ks_distance(&real.sessions, &other.sessions),
        basket_size_ks: ks_distance(&real.basket_sizes, &other.basket_sizes),
        hour_of_week_tv: (!real.hours_of_week.is_empty() && !other.hours_of_week.is_empty())
            .then(|| total_variation(&real.hours_of_week, &other.hours_of_week)),
    }
}

/// Spearman's ρ of the number of users of each item that at least five real users have (of every item that a real user
/// has, where fewer than ten items reach five).
fn popularity_spearman(real: &[f64], other: &[f64]) -> Option<f64> {
    let at_least = |least: f64| (0..real.len()).filter(|i| real[*i] >= least).collect::<Vec<_>>();
    let mut items = at_least(LEAST_USERS);
    if items.len() < 10 {
        items = at_least(1.0);
    }
    let of = |counts: &[f64]| items.iter().map(|i| counts.get(*i).copied().unwrap_or(0.0)).collect::<Vec<_>>();
    spearman(&of(real), &of(other))
}

/// How many users have both items of each pair of the most popular items, on two sides.
#[derive(Debug, Clone)]
pub(crate) struct Pairs {
    items: usize,
    real: Vec<f64>,
    other: Vec<f64>,
}

impl Pairs {
    /// Counts pairs of the 500 items with most real users. Both sides are on one catalogue.
    pub(crate) fn count(real: &Histories, real_side: &Behaviour, other: &Histories) -> Pairs {
        let mut popular: Vec<u32> = (0..real.item_count() as u32).collect();
        popular.sort_by(|a, b| {
            let users = |i: &u32| real_side.item_users[*i as usize];
            users(b).total_cmp(&users(a)).then(a.cmp(b))
        });
        popular.retain(|i| real_side.item_users[*i as usize] > 0.0);
        popular.truncate(PAIRED_ITEMS);
        let mut place = vec![None; real.item_count()];
        for (position, item) in popular.iter().enumerate() {
            place[*item as usize] = Some(position);
        }
        let count = |h: &Histories| count_pairs(h, &place, popular.len());
        Pairs { items: popular.len(), real: count(real), other: count(other) }
    }

    /// The pairs in cells by log10(1 + users); the other side's counts are scaled to as many users.
    fn scatter(&self, real_users: usize, other_users: usize) -> Option<PairScatter> {
        let scale = real_users as f64 / other_users.max(1) as f64;
        let log = |count: f64| (1.0 + count).log10();
        let largest = self.real.iter().copied().fold(0.0, f64::max);
        let width = log(largest) / SCATTER_CELLS as f64;
        if largest == 0.0 {
            return None;
        }
        let mut cells = vec![vec![0; SCATTER_CELLS]; SCATTER_CELLS];
        let cell = |count: f64| ((log(count) / width) as usize).min(SCATTER_CELLS - 1);
        for (real, other) in self.real.iter().zip(&self.other) {
            cells[cell(*real)][cell(other * scale)] += 1;
        }
        let edges = (0..=SCATTER_CELLS).map(|e| width * e as f64).collect();
        Some(PairScatter { edges, cells, items: self.items as u64 })
    }
}

/// `[n · (n − 1) / 2]` users who have both items of each pair of placed items, pairs in order (0,1), (0,2), …
fn count_pairs(histories: &Histories, place: &[Option<usize>], n: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n * n];
    for user in 0..histories.user_count() {
        let mut has: Vec<usize> = histories.items_of(user).iter().filter_map(|i| place[*i as usize]).collect();
        has.sort_unstable();
        has.dedup();
        for (position, a) in has.iter().enumerate() {
            for b in &has[position + 1..] {
                counts[a * n + b] += 1.0;
            }
        }
    }
    (0..n).flat_map(|a| counts[a * n + a + 1..(a + 1) * n].to_vec()).collect()
}

/// All sides of a shop's behaviour, and whether they share a catalogue.
pub(crate) struct BehaviourSides<'a> {
    pub(crate) real: &'a Behaviour,
    pub(crate) synthetic: &'a Behaviour,
    pub(crate) holdout: Option<&'a Behaviour>,
    pub(crate) pairs: Option<&'a Pairs>,
}

/// The numbers and what to draw.
pub(crate) fn sequence_fidelity(sides: &BehaviourSides) -> SequenceFidelity {
    let numbers = compare(sides.real, sides.synthetic, sides.pairs);
    let three = |of: fn(&Behaviour) -> Option<f64>| Sides {
        real: of(sides.real),
        synthetic: of(sides.synthetic),
        holdout: sides.holdout.map(of),
    };
    let plot = |axis: Option<Axis>, of: fn(&Behaviour) -> &Vec<f64>| -> Option<Histogram> {
        histogram(axis, of(sides.real), of(sides.synthetic), sides.holdout.map(|h| of(h).as_slice()))
    };
    let gap_axis = if sides.real.scale == TimeScale::Microseconds { Axis::Log10Days } else { Axis::Log10 };
    let hours = |side: &Behaviour| {
        let total = side.hours_of_week.iter().sum::<f64>().max(1.0);
        side.hours_of_week.iter().map(|h| h / total).collect::<Vec<_>>()
    };
    SequenceFidelity {
        item_popularity_spearman: numbers.item_popularity_spearman,
        item_gini_difference: numbers.item_gini_difference,
        item_gini: three(|side| gini(&side.item_events)),
        cooccurrence_spearman: numbers.cooccurrence_spearman,
        repeat_rate_difference: numbers.repeat_rate_difference,
        repeat_rate: three(|side| side.repeat_rate),
        gap_ks: numbers.gap_ks,
        length_ks: numbers.length_ks,
        sessions_ks: numbers.sessions_ks,
        basket_size_ks: numbers.basket_size_ks,
        hour_of_week_tv: numbers.hour_of_week_tv,
        catalogue_coverage: three(Behaviour::coverage),
        lorenz: Sides {
            real: sides.real.lorenz(),
            synthetic: sides.synthetic.lorenz(),
            holdout: sides.holdout.map(Behaviour::lorenz),
        },
        gaps: plot(Some(gap_axis), |side| &side.gaps),
        lengths: plot(None, |side| &side.lengths),
        sessions: plot(None, |side| &side.sessions),
        basket_sizes: plot(None, |side| &side.basket_sizes),
        hours_of_week: numbers.hour_of_week_tv.map(|_| Sides {
            real: hours(sides.real),
            synthetic: hours(sides.synthetic),
            holdout: sides.holdout.map(hours),
        }),
        cooccurrence: sides.pairs.and_then(|p| p.scatter(sides.real.users, sides.synthetic.users)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Histories from (item, days) lists; every distinct day is a session.
    pub(crate) fn histories(users: &[&[(u32, i64)]], items: u32) -> Histories {
        let mut h = Histories {
            users: (0..users.len()).map(|u| format!("u{u}")).collect(),
            items: (0..items).map(|i| format!("i{i}")).collect(),
            offsets: vec![0],
            item: Vec::new(),
            time: Vec::new(),
            session: Vec::new(),
            row: Vec::new(),
            scale: TimeScale::Microseconds,
        };
        for user in users {
            let mut session = 0;
            for (i, (item, day)) in user.iter().enumerate() {
                if i > 0 && user[i - 1].1 != *day {
                    session += 1;
                }
                h.row.push(h.item.len());
                h.item.push(*item);
                h.time.push(day * 86_400_000_000);
                h.session.push(session);
            }
            h.offsets.push(h.item.len());
        }
        h
    }

    #[test]
    fn distributions_are_counted() {
        let h = histories(&[&[(0, 0), (1, 0), (0, 2)], &[], &[(0, 4)]], 4);
        let side = Behaviour::of(&h);
        assert_eq!(side.users, 2);
        assert_eq!(side.item_events, [3.0, 1.0, 0.0, 0.0]);
        assert_eq!(side.item_users, [2.0, 1.0, 0.0, 0.0]);
        assert_eq!((side.gaps.as_slice(), side.lengths.as_slice()), (&[2.0][..], &[3.0, 1.0][..]));
        assert_eq!((side.sessions.as_slice(), side.basket_sizes.as_slice()), (&[2.0, 1.0][..], &[2.0, 1.0, 1.0][..]));
        assert_eq!(side.repeat_rate, Some(0.25));
        assert_eq!(side.coverage(), Some(0.5));
        // 1970-01-01, a Thursday: hour 72 of the week.
        assert_eq!(side.hours_of_week[72], 2.0);
        let lorenz = side.lorenz();
        assert_eq!((lorenz[0], lorenz[50], lorenz[75], lorenz[100]), (0.0, 0.0, 0.25, 1.0));
    }

    #[test]
    fn a_twin_equal_to_the_real_data_has_no_difference() {
        let h = histories(&[&[(0, 0), (1, 0), (0, 2)], &[(0, 4), (2, 5), (1, 6)], &[(0, 1), (2, 1)]], 4);
        let side = Behaviour::of(&h);
        let numbers = compare(&side, &side, Some(&Pairs::count(&h, &side, &h)));
        assert_eq!(numbers.item_popularity_spearman, Some(1.0));
        assert_eq!(numbers.cooccurrence_spearman, Some(1.0));
        assert_eq!((numbers.gap_ks, numbers.length_ks, numbers.hour_of_week_tv), (Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!((numbers.repeat_rate_difference, numbers.item_gini_difference), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn pairs_count_users_once() {
        let h = histories(&[&[(0, 0), (1, 0), (0, 2)], &[(1, 4), (0, 5), (2, 6)]], 4);
        let side = Behaviour::of(&h);
        let pairs = Pairs::count(&h, &side, &h);
        // Popular order: 0, 1 (two users each), 2 (one); 3 has none.
        assert_eq!((pairs.items, pairs.real), (3, vec![2.0, 1.0, 1.0]));
    }
}
