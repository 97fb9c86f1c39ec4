//! `independent` for events: activity × popularity × recency, each by itself.
//!
//! A user has a number of sessions, a session a number of events and a moment, all drawn from what users do; items are drawn
//! by their popularity, whoever the user is, without repeats inside a session. Only distributions are stored, of things that
//! enough people share.

use crate::container::not_a_model;
use crate::sessions::Sessions;
use arrow::array::{ArrayRef, Int64Array};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use twinmart_encode::marginal::{Marginal, draw_index};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, DrawFamily, Draws, Result, Stream};

/// Draws of an item that the session holds already, in a row, before the session ends early.
const MOST_REPEATS: usize = 100;

/// How much users do, when, and with which items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Activity {
    /// Sessions of a user.
    sessions: Marginal,
    /// Events of a session.
    events: Marginal,
    /// First moment of a session.
    start: Marginal,
    /// Time between neighbouring events of a session.
    gap: Marginal,
    /// Items that enough people chose, by position in the catalogue; all items where none is left.
    items: Vec<u32>,
    /// Running totals of the items' events.
    popularity: Vec<u64>,
}

/// An event without its other columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) item: u32,
    pub(crate) time: i64,
    pub(crate) session: u64,
}

impl Activity {
    /// Counts what the users of `sessions` did with a catalogue of `items`.
    pub(crate) fn fit(sessions: &Sessions, items: usize, seed: u64) -> Result<Activity> {
        let family = Draws::new(seed).family("synth.threshold", "activity");
        let mut seen = Seen::default();
        let mut holders: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); items];
        let mut counts = vec![0u64; items];
        for user in 0..sessions.users() {
            seen.sessions.push(sessions.of_user(user).len() as i64, user);
            for session in sessions.of_user(user) {
                let events = sessions.events(session);
                seen.events.push(events.len() as i64, user);
                seen.start.push(sessions.time[events.start], user);
                for event in events.clone() {
                    let item = sessions.item[event] as usize;
                    counts[item] += 1;
                    // More people than any threshold need not be remembered.
                    if holders[item].len() < PersonThreshold::LARGEST {
                        holders[item].insert(user as u32);
                    }
                    if event > events.start {
                        seen.gap.push(sessions.time[event].saturating_sub(sessions.time[event - 1]), user);
                    }
                }
            }
        }
        let enough = threshold(&family, 4);
        let mut chosen: Vec<u32> = (0..items as u32).filter(|i| enough.allows(holders[*i as usize].len())).collect();
        if chosen.is_empty() {
            chosen = (0..items as u32).collect();
            counts.fill(1);
        }
        let running = chosen.iter().scan(0, |total, i| {
            *total += counts[*i as usize];
            Some(*total)
        });
        Ok(Activity {
            sessions: seen.sessions.freeze(threshold(&family, 0))?,
            events: seen.events.freeze(threshold(&family, 1))?,
            start: seen.start.freeze(threshold(&family, 2))?,
            gap: seen.gap.freeze(threshold(&family, 3))?,
            popularity: running.collect(),
            items: chosen,
        })
    }

    /// A data error where a file holds what no fit could have written.
    pub(crate) fn check(&self, catalogue: u64) -> Result<()> {
        for marginal in [&self.sessions, &self.events, &self.start, &self.gap] {
            marginal.check().map_err(not_a_model)?;
        }
        let running = self.popularity.first().is_none_or(|f| *f > 0) && self.popularity.is_sorted_by(|a, b| a < b);
        let known = self.items.iter().all(|i| u64::from(*i) < catalogue);
        if !running || !known || self.items.len() != self.popularity.len() {
            return Err(not_a_model("the popularity of items contradicts itself"));
        }
        Ok(())
    }

    /// All events of a new user, in the order of time.
    pub(crate) fn draw(&self, stream: &mut Stream) -> Vec<NewEvent> {
        if self.items.is_empty() {
            return Vec::new();
        }
        let mut starts: Vec<i64> =
            (0..self.sessions.draw_whole(stream).max(0)).map(|_| self.start.draw_whole(stream)).collect();
        starts.sort_unstable();
        let mut events = Vec::new();
        for (session, start) in starts.into_iter().enumerate() {
            self.draw_session(session as u64, start, stream, &mut events);
        }
        events.sort_by_key(|e| e.time);
        events
    }

    fn draw_session(&self, session: u64, start: i64, stream: &mut Stream, events: &mut Vec<NewEvent>) {
        let size = self.events.draw_whole(stream).max(1);
        let mut taken = HashSet::new();
        let mut time = start;
        for place in 0..size {
            let fresh = (0..MOST_REPEATS)
                .map(|_| self.items[draw_index(&self.popularity, stream)])
                .find(|item| taken.insert(*item));
            let Some(item) = fresh else { break };
            if place > 0 {
                time = time.saturating_add(self.gap.draw_whole(stream).max(0));
            }
            events.push(NewEvent { item, time, session });
        }
    }
}

fn threshold(family: &DrawFamily, which: u64) -> PersonThreshold {
    PersonThreshold::draw(family.row(which).next_u64())
}

/// Whole numbers with the people behind them.
#[derive(Default)]
struct Whole {
    values: Vec<i64>,
    subjects: Vec<u64>,
}

#[derive(Default)]
struct Seen {
    sessions: Whole,
    events: Whole,
    start: Whole,
    gap: Whole,
}

impl Whole {
    fn push(&mut self, value: i64, user: usize) {
        self.values.push(value);
        self.subjects.push(user as u64);
    }

    fn freeze(self, threshold: PersonThreshold) -> Result<Marginal> {
        let column: ArrayRef = Arc::new(Int64Array::from(self.values));
        Marginal::of(&column, ColumnKind::Integer, &self.subjects, threshold)
    }
}
