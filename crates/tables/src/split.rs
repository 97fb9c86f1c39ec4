//! What a model may see and what it is tested on.
//!
//! All four splits of the literature, on histories that are already in (time, row) order:
//! - `holdout-users`: some users never reach training; the first 80 % of their distinct items (by first event) are
//!   shown at test time, the rest are to be ranked (strong generalisation);
//! - `temporal`: events from a moment on are the target, of all users with earlier events;
//! - `leave-last-out`: each user's last event is the target;
//! - `random`: a fifth of each user's distinct items, drawn by the seed.

use crate::{Digest, Draws, Error, Histories, HoldoutUsers, Project, Result};
use rand::seq::SliceRandom;
use std::collections::HashSet;

/// Share of a held-out user's distinct items that is shown before the rest is ranked.
const SHOWN_SHARE: f64 = 0.8;
/// Share of each user's distinct items that the random split tests on.
const RANDOM_SHARE: f64 = 0.2;
/// Where the temporal split cuts when the project names no moment: the last fifth of events.
const TEMPORAL_SHARE: f64 = 0.8;
/// Held-out users when the project names none.
const DEFAULT_HOLDOUT: f64 = 0.2;

/// Which split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// A moment divides training from target.
    Temporal,
    /// The last event of each user is the target.
    LeaveLastOut,
    /// Some users never reach training.
    HoldoutUsers,
    /// Random items of each user are the target.
    Random,
}

impl SplitKind {
    /// All splits.
    pub const ALL: [SplitKind; 4] =
        [SplitKind::Temporal, SplitKind::LeaveLastOut, SplitKind::HoldoutUsers, SplitKind::Random];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SplitKind::Temporal => "temporal",
            SplitKind::LeaveLastOut => "leave-last-out",
            SplitKind::HoldoutUsers => "holdout-users",
            SplitKind::Random => "random",
        }
    }

    /// Parses a name; the error lists the valid ones.
    pub fn parse(text: &str) -> Result<SplitKind> {
        SplitKind::ALL.into_iter().find(|k| k.name() == text).ok_or_else(|| {
            let names = SplitKind::ALL.map(SplitKind::name);
            Error::usage(format!("`{text}` is not a split")).remedy(format!("use one of {}", names.join(", "))).into()
        })
    }
}

/// A split and its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitPlan {
    /// Which split.
    pub kind: SplitKind,
    /// The seed of its draws.
    pub seed: u64,
    /// For `holdout-users`: which.
    pub holdout: HoldoutPlan,
    /// For `temporal`: the first moment of the target, on the histories' time scale.
    pub test_from: Option<i64>,
}

/// Which users are held out.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldoutPlan {
    /// A share of all users.
    Share(f64),
    /// These keys.
    Keys(Vec<String>),
}

/// The parts of a split. `history` and `target` list the same test users in the same order.
#[derive(Debug, Clone)]
pub struct Split {
    /// Which split.
    pub kind: SplitKind,
    /// What models are trained on.
    pub train: Histories,
    /// What test users did before the target: shown at test time. For all splits but `holdout-users`, it is in `train` too.
    pub history: Histories,
    /// What is to be ranked.
    pub target: Histories,
    /// For `temporal`: the first moment of the target.
    pub test_from: Option<i64>,
    /// Names this split of these data: SHA-256 of kind and all (user, item, time) of the three parts.
    pub digest: String,
}

impl SplitPlan {
    /// The plan of a project for a kind of split. Reads the file of held-out ids where one is named.
    /// `test_from` on the command line overrides the project's.
    pub fn of_project(project: &Project, kind: SplitKind, seed: u64, test_from: Option<&str>) -> Result<SplitPlan> {
        let holdout = match &project.split.holdout_users {
            None => HoldoutPlan::Share(DEFAULT_HOLDOUT),
            Some(HoldoutUsers::Share(share)) => HoldoutPlan::Share(*share),
            Some(HoldoutUsers::File(name)) => {
                let path = project.resolve(name);
                let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
                HoldoutPlan::Keys(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_string).collect())
            }
        };
        let test_from = test_from.or(project.split.test_from.as_deref()).map(parse_moment).transpose()?;
        Ok(SplitPlan { kind, seed, holdout, test_from })
    }

    /// Positions of the held-out users, ascending. A usage error where a named user does not exist.
    pub fn holdout_positions(&self, histories: &Histories) -> Result<Vec<usize>> {
        let mut held: Vec<usize> = match &self.holdout {
            HoldoutPlan::Share(share) => {
                // Drawn among sorted keys, so the choice does not depend on the order of rows.
                let mut order: Vec<usize> = (0..histories.user_count()).collect();
                order.sort_by(|a, b| histories.users[*a].cmp(&histories.users[*b]));
                order.shuffle(&mut Draws::new(self.seed).stream("split.holdout-users"));
                order.truncate((share * histories.user_count() as f64).floor() as usize);
                order
            }
            HoldoutPlan::Keys(keys) => {
                let index = histories.user_positions();
                let found = keys.iter().map(|k| {
                    index.get(k.as_str()).copied().ok_or_else(|| {
                        Error::usage("a held-out user does not exist").value(k).remedy("correct the file of ids").into()
                    })
                });
                found.collect::<Result<Vec<_>>>()?
            }
        };
        held.sort_unstable();
        held.dedup();
        Ok(held)
    }
}

/// A moment as microseconds (ISO date or date-time) or an integer order.
fn parse_moment(text: &str) -> Result<i64> {
    if let Ok(order) = text.parse::<i64>() {
        return Ok(order);
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let moment = formats
        .iter()
        .find_map(|f| chrono::NaiveDateTime::parse_from_str(text, f).ok())
        .or_else(|| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0)));
    moment.map(|m| m.and_utc().timestamp_micros()).ok_or_else(|| {
        Error::usage("test_from is not a moment")
            .value(text)
            .remedy("write 2011-11-11T12:50:00, a date, or an integer order")
            .into()
    })
}

impl Split {
    /// Cuts `histories` by `plan`. A data error where nothing is left to train on or to test.
    pub fn make(histories: &Histories, plan: &SplitPlan) -> Result<Split> {
        match plan.kind {
            SplitKind::HoldoutUsers => {
                let held = plan.holdout_positions(histories)?;
                let held_set: HashSet<usize> = held.iter().copied().collect();
                let kept: Vec<usize> = (0..histories.user_count()).filter(|u| !held_set.contains(u)).collect();
                Split::of_holdout(histories.select(&kept, |_, _| true), &histories.select(&held, |_, _| true))
            }
            SplitKind::Temporal => {
                let from = plan.test_from.unwrap_or_else(|| moment_at_share(histories, TEMPORAL_SHARE));
                Split::checked(plan.kind, temporal(histories, from), Some(from))
            }
            SplitKind::LeaveLastOut => Split::checked(plan.kind, leave_last_out(histories), None),
            SplitKind::Random => Split::checked(plan.kind, random(histories, plan.seed), None),
        }
    }

    /// The `holdout-users` split of people that are apart already: `train` and `held` share no user, but the catalogue.
    pub fn of_holdout(train: Histories, held: &Histories) -> Result<Split> {
        let (history, target) = shown_and_ranked(held);
        Split::checked(SplitKind::HoldoutUsers, (train, history, target), None)
    }

    fn checked(kind: SplitKind, (train, history, target): Parts, test_from: Option<i64>) -> Result<Split> {
        if train.event_count() == 0 || target.event_count() == 0 {
            return Err(Error::data(format!("the split `{}` leaves nothing to train on or to test", kind.name()))
                .remedy("use another split, more users, or another moment (test_from)")
                .into());
        }
        let mut digest = Digest::new("twinmart split 1").text(kind.name());
        for part in [&train, &history, &target] {
            for user in 0..part.user_count() {
                digest.push(part.users[user].as_bytes());
                for event in part.range(user) {
                    digest.push(part.items[part.item[event] as usize].as_bytes());
                    digest.push(&part.time[event].to_le_bytes());
                }
            }
        }
        Ok(Split { kind, train, history, target, test_from, digest: digest.finish() })
    }
}

/// Training part, history and target.
type Parts = (Histories, Histories, Histories);

/// Of each user's distinct items, by first event: the first [`SHOWN_SHARE`] (at least one), and the rest.
fn shown_and_ranked(held: &Histories) -> (Histories, Histories) {
    let mut shown: HashSet<usize> = HashSet::new();
    let mut ranked: HashSet<usize> = HashSet::new();
    let mut test = Vec::new();
    for user in 0..held.user_count() {
        let first = held.first_events(user);
        let cut = ((SHOWN_SHARE * first.len() as f64) as usize).max(1);
        if cut < first.len() {
            shown.extend(&first[..cut]);
            ranked.extend(&first[cut..]);
            test.push(user);
        }
    }
    (held.select(&test, |_, e| shown.contains(&e)), held.select(&test, |_, e| ranked.contains(&e)))
}

fn temporal(histories: &Histories, from: i64) -> Parts {
    let old = |e: usize| histories.time[e] < from;
    let all: Vec<usize> = (0..histories.user_count()).collect();
    let both_sides = |u: &usize| histories.range(*u).any(old) && histories.range(*u).any(|e| !old(e));
    let test: Vec<usize> = all.iter().copied().filter(both_sides).collect();
    (
        histories.select(&all, |_, e| old(e)),
        histories.select(&test, |_, e| old(e)),
        histories.select(&test, |_, e| !old(e)),
    )
}

fn leave_last_out(histories: &Histories) -> Parts {
    let all: Vec<usize> = (0..histories.user_count()).collect();
    let test: Vec<usize> = all.iter().copied().filter(|u| histories.range(*u).len() >= 2).collect();
    let last = |u: usize, e: usize| histories.range(u).len() >= 2 && e + 1 == histories.offsets[u + 1];
    (
        histories.select(&all, |u, e| !last(u, e)),
        histories.select(&test, |u, e| !last(u, e)),
        histories.select(&test, last),
    )
}

fn random(histories: &Histories, seed: u64) -> Parts {
    let all: Vec<usize> = (0..histories.user_count()).collect();
    let family = Draws::new(seed).family("split.random", "");
    let mut ranked: HashSet<usize> = HashSet::new();
    let mut test = Vec::new();
    for &user in &all {
        let mut items: Vec<u32> = histories.first_events(user).iter().map(|e| histories.item[*e]).collect();
        let count = (RANDOM_SHARE * items.len() as f64).round() as usize;
        if count == 0 || count == items.len() {
            continue;
        }
        items.shuffle(&mut family.row(user as u64));
        let target: HashSet<u32> = items[..count].iter().copied().collect();
        ranked.extend(histories.range(user).filter(|e| target.contains(&histories.item[*e])));
        test.push(user);
    }
    (
        histories.select(&all, |_, e| !ranked.contains(&e)),
        histories.select(&test, |_, e| !ranked.contains(&e)),
        histories.select(&test, |_, e| ranked.contains(&e)),
    )
}

/// The time below which `share` of all events lie.
fn moment_at_share(histories: &Histories, share: f64) -> i64 {
    let mut times = histories.time.clone();
    times.sort_unstable();
    times.get((share * times.len() as f64) as usize).copied().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimeScale;
    use proptest::prelude::*;

    fn histories(sequences: &[Vec<u32>]) -> Histories {
        let mut h = Histories {
            users: (0..sequences.len()).map(|u| format!("u{u}")).collect(),
            items: (0..20).map(|i| format!("i{i}")).collect(),
            offsets: vec![0],
            item: Vec::new(),
            time: Vec::new(),
            session: Vec::new(),
            row: Vec::new(),
            scale: TimeScale::Order,
        };
        for (u, s) in sequences.iter().enumerate() {
            for (t, i) in s.iter().enumerate() {
                h.row.push(h.item.len());
                h.item.push(*i);
                h.time.push((10 * t + u) as i64);
                h.session.push(t as u32);
            }
            h.offsets.push(h.item.len());
        }
        h
    }

    fn plan(kind: SplitKind) -> SplitPlan {
        SplitPlan { kind, seed: 3, holdout: HoldoutPlan::Share(0.3), test_from: None }
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_and_test_users_align(seqs in prop::collection::vec(prop::collection::vec(0u32..20, 0..12), 4..20)) {
            let h = histories(&seqs);
            for kind in SplitKind::ALL {
                let Ok(s) = Split::make(&h, &plan(kind)) else { continue };
                prop_assert_eq!(&s.history.users, &s.target.users);
                let train: HashSet<usize> = s.train.row.iter().copied().collect();
                prop_assert!(s.target.row.iter().all(|r| !train.contains(r)));
                for u in 0..s.target.user_count() {
                    prop_assert!(!s.target.items_of(u).is_empty() && !s.history.items_of(u).is_empty());
                    let before = s.history.range(u).map(|e| s.history.time[e]).max().unwrap();
                    let after = s.target.range(u).map(|e| s.target.time[e]).min().unwrap();
                    prop_assert!(kind == SplitKind::Random || before < after);
                }
                if kind == SplitKind::HoldoutUsers {
                    let kept: HashSet<&String> = s.train.users.iter().collect();
                    prop_assert!(s.target.users.iter().all(|u| !kept.contains(u)));
                }
                prop_assert_eq!(&Split::make(&h, &plan(kind)).unwrap().digest, &s.digest);
            }
        }
    }

    #[test]
    fn holdout_shows_four_fifths_of_distinct_items() {
        let h = histories(&[vec![1, 1, 2, 3, 4, 5], vec![6]]);
        let p = SplitPlan { holdout: HoldoutPlan::Keys(vec!["u0".into()]), ..plan(SplitKind::HoldoutUsers) };
        let s = Split::make(&h, &p).unwrap();
        assert_eq!(s.history.item, [1, 2, 3, 4]);
        assert_eq!(s.target.item, [5]);
        assert_eq!(s.train.item, [6]);
    }

    #[test]
    fn moments_parse_or_say_how() {
        assert_eq!(parse_moment("1970-01-01T00:00:01").unwrap(), 1_000_000);
        assert_eq!(parse_moment("1970-01-02").unwrap(), 86_400_000_000);
        assert!(parse_moment("soon").unwrap_err().to_string().contains("write 2011-11-11T12:50:00"));
    }
}
