//! Plans of histories beside the users' own columns: group, season, sessions, and events per session, which the row model of
//! users learns and draws.
//!
//! Events are told per session, so that who comes often has many sessions. The longest histories are those of few people:
//! beyond what a share [`TAIL`] of them reaches, numbers come from a Pareto distribution with the mean logarithm of theirs
//! (Hill, "A simple general approach to inference about the tail of a distribution", 1975), up to what as many people are
//! expected to reach.

use arrow::array::{Array, ArrayRef, Int64Array};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinmart_events::{Plan, Summary};
use twinmart_tables::{ColumnKind, Stream};

/// The columns of a plan.
pub(crate) const PLAN: [(&str, ColumnKind); 4] = [
    ("group", ColumnKind::Category),
    ("season", ColumnKind::Integer),
    ("sessions", ColumnKind::Integer),
    ("events per session", ColumnKind::Integer),
];
/// Steps of the logarithm of events per session in which it is told.
const STEPS: f64 = 24.0;
/// Share of the people whose numbers are a tail.
const TAIL: f64 = 0.02;
/// People of a tail, at least.
const FEWEST: usize = 25;

/// How the largest numbers go on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Tail {
    /// Numbers above this are its.
    above: i64,
    /// Mean of the logarithm by which they exceed it.
    mean: f64,
    /// The logarithm at most.
    most: f64,
}

impl Tail {
    /// The tail of some numbers; `excess` is the logarithm by which one exceeds another.
    fn of(mut numbers: Vec<i64>, excess: impl Fn(i64, i64) -> f64) -> Option<Tail> {
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let people = ((TAIL * numbers.len() as f64) as usize).max(FEWEST);
        let above = *numbers.get(people)?;
        let beyond: Vec<f64> = numbers.iter().take_while(|n| **n > above).map(|n| excess(*n, above)).collect();
        let mean = beyond.iter().sum::<f64>() / beyond.len() as f64;
        (beyond.len() >= FEWEST).then(|| Tail { above, mean, most: mean * (beyond.len() as f64).ln() })
    }

    /// A logarithm by which a new number exceeds.
    fn draw(&self, stream: &mut Stream) -> f64 {
        (-self.mean * (1.0 - stream.random::<f64>()).ln()).min(self.most)
    }

    fn is_sound(&self) -> bool {
        (0..=1_000_000).contains(&self.above) && [self.mean, self.most].iter().all(|x| (0.0..50.0).contains(x))
    }
}

fn ratio(number: i64, above: i64) -> f64 {
    ((number as f64 + 0.5) / (above as f64 + 0.5)).ln()
}

/// How plans are told in columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plans {
    sessions: Option<Tail>,
    size: Option<Tail>,
    /// Events of a history, at most.
    most: i64,
}

impl Plans {
    /// The plans of some users.
    pub(crate) fn of(summary: &Summary) -> Plans {
        let events: Vec<i64> = summary.events.iter().map(|n| i64::from(*n)).collect();
        let mut sorted = events.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let shared = sorted.get(FEWEST.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0);
        let most = match Tail::of(events, ratio) {
            Some(tail) => ((tail.above as f64 + 0.5) * tail.most.exp()) as i64,
            None => shared,
        };
        let sessions = summary.sessions.iter().map(|n| i64::from(*n)).collect();
        let size = |user: usize| steps_of(summary.sessions[user], summary.events[user]);
        Plans {
            sessions: Tail::of(sessions, ratio),
            size: Tail::of((0..summary.events.len()).map(size).collect(), |n, above| (n - above) as f64 / STEPS),
            most,
        }
    }

    /// `[columns][users]`, in the order of [`PLAN`].
    pub(crate) fn columns(summary: &Summary) -> Vec<ArrayRef> {
        let whole = |number: &dyn Fn(usize) -> i64| {
            Arc::new((0..summary.events.len()).map(|user| Some(number(user))).collect::<Int64Array>()) as ArrayRef
        };
        vec![
            whole(&|user| i64::from(summary.group[user])),
            whole(&|user| i64::from(summary.season[user])),
            whole(&|user| i64::from(summary.sessions[user])),
            whole(&|user| steps_of(summary.sessions[user], summary.events[user])),
        ]
    }

    /// The plan that a row of drawn columns tells, its profile left open.
    pub(crate) fn plan(&self, columns: &[Int64Array], user: usize, stream: &mut Stream) -> Plan {
        let value = |column: usize| {
            if columns[column].is_valid(user) { columns[column].value(user).max(0) } else { 0 }
        };
        let mut sessions = value(2);
        if let Some(tail) = self.sessions.filter(|tail| sessions > tail.above) {
            sessions = (((tail.above as f64 + 0.5) * tail.draw(stream).exp()).round() as i64).max(tail.above + 1);
        }
        let mut size = value(3);
        if let Some(tail) = self.size.filter(|tail| size > tail.above) {
            size = tail.above + ((STEPS * tail.draw(stream)).round() as i64).max(1);
        }
        // Anywhere in its step, so that every number of events can come.
        let size = if size == 0 { 0.0 } else { size as f64 + stream.random::<f64>() - 0.5 };
        let events = (sessions as f64 * (size / STEPS).exp()).round().min(self.most as f64) as i64;
        Plan {
            group: value(0) as usize,
            season: value(1) as usize,
            size: Some((sessions.clamp(events.min(1), events) as usize, events as usize)),
            profile: Vec::new(),
        }
    }

    /// True where nothing drawn by it can fail.
    pub(crate) fn is_sound(&self) -> bool {
        let tails = [self.sessions, self.size];
        tails.iter().flatten().all(Tail::is_sound) && (0..=1 << 40).contains(&self.most)
    }
}

/// The logarithm of events per session, in steps.
fn steps_of(sessions: u32, events: u32) -> i64 {
    (STEPS * (f64::from(events.max(1)) / f64::from(sessions.max(1))).ln()).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use twinmart_events::{Care, Sequences};
    use twinmart_tables::{Draws, Progress};

    /// The short forms of users with these sessions of these many events.
    fn summary(users: &[(u32, u32)]) -> Summary {
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for (sessions, size) in users {
            for session in 0..*sessions {
                sequences.item.extend(0..*size);
                sequences.session.extend((0..*size).map(|_| session));
            }
            sequences.offsets.push(sequences.item.len());
        }
        sequences.time = vec![0; sequences.item.len()];
        sequences.action = vec![0; sequences.item.len()];
        Summary::of(&sequences, 400, Care::default(), Draws::new(1), &Progress::silent()).unwrap()
    }

    fn whole(columns: &[ArrayRef]) -> Vec<Int64Array> {
        columns.iter().map(|c| c.as_any().downcast_ref::<Int64Array>().unwrap().clone()).collect()
    }

    #[test]
    fn plans_told_in_columns_are_those_of_the_users() {
        let users: Vec<(u32, u32)> = (0..60).map(|user| (user % 4, 1 + user % 9)).collect();
        let summary = summary(&users);
        let (plans, columns) = (Plans::of(&summary), whole(&Plans::columns(&summary)));
        let mut stream = Stream::seed_from_u64(1);
        for (user, (sessions, size)) in users.iter().enumerate() {
            let plan = plans.plan(&columns, user, &mut stream);
            let (told, events) = plan.size.unwrap();
            assert_eq!(plan.group, summary.group[user] as usize);
            let real = (sessions * size) as usize;
            assert!(told == *sessions as usize && events.abs_diff(real) <= 1 + real / 20, "{events} {real}");
        }
    }

    #[test]
    fn the_longest_histories_are_drawn_and_nobodys_own() {
        let mut stream = Stream::seed_from_u64(2);
        // A Pareto distribution of sessions, its mean logarithm 0.5 above any number.
        let sessions = |stream: &mut Stream| (2.0 * (-0.5 * (1.0 - stream.random::<f64>()).ln()).exp()) as u32;
        let users: Vec<(u32, u32)> = (0..4_000).map(|_| (sessions(&mut stream), 2)).collect();
        let longest = users.iter().map(|u| u.0).max().unwrap();
        let summary = summary(&users);
        let (plans, columns) = (Plans::of(&summary), whole(&Plans::columns(&summary)));
        let above = plans.sessions.unwrap().above;
        let beyond: Vec<usize> = (0..users.len()).filter(|user| i64::from(users[*user].0) > above).collect();
        assert!(beyond.len() >= FEWEST && beyond.len() <= users.len() / 50);
        let drawn: Vec<usize> = (0..50)
            .flat_map(|_| {
                beyond.iter().map(|user| plans.plan(&columns, *user, &mut stream).size.unwrap().0).collect::<Vec<_>>()
            })
            .collect();
        let mean = drawn.iter().map(|n| ratio(*n as i64, above)).sum::<f64>() / drawn.len() as f64;
        assert!((mean - 0.5).abs() < 0.12, "{mean}");
        let most = *drawn.iter().max().unwrap();
        assert!(most as f64 <= (above as f64 + 0.5) * plans.sessions.unwrap().most.exp() + 1.0, "{most} {longest}");
        assert!(plans.is_sound());
    }

    #[test]
    fn a_few_people_have_no_tail() {
        let users: Vec<(u32, u32)> = (1..25).map(|user| (user, 3)).collect();
        let plans = Plans::of(&summary(&users));
        assert_eq!((plans.sessions, plans.size), (None, None));
    }
}
