//! What training users did, cut into sessions that stay whole.
//!
//! A session is a group where the data name one, else what [`Histories`] calls a session. Sessions of a user are in the
//! order of their first events, events of a session in the order of time.

use arrow::array::{Array, StringArray};
use std::collections::HashMap;
use std::ops::Range;
use twinmart_tables::{Histories, Result, Shop, TimeScale};

/// Sessions of all users in compressed rows.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    /// `[users + 1]` positions in `event_offsets`.
    session_offsets: Vec<usize>,
    /// `[sessions + 1]` positions in the event columns.
    event_offsets: Vec<usize>,
    /// `[events]` row in the events table.
    pub(crate) row: Vec<u64>,
    /// `[events]` position in the catalogue.
    pub(crate) item: Vec<u32>,
    /// `[events]` time, on the scale of the histories.
    pub(crate) time: Vec<i64>,
    /// What times count.
    pub(crate) scale: TimeScale,
}

impl Sessions {
    /// The sessions of a shop with users, items and events.
    pub(crate) fn of_shop(shop: &Shop) -> Result<Sessions> {
        let histories = Histories::of_shop(shop)?;
        let (_, _, events) = shop.behaviour()?;
        let groups = shop.event_columns()?.group.map(|c| events.text(&c)).transpose()?;
        let mut sessions = Sessions {
            session_offsets: vec![0],
            event_offsets: vec![0],
            row: Vec::new(),
            item: Vec::new(),
            time: Vec::new(),
            scale: histories.scale,
        };
        for user in 0..histories.user_count() {
            for members in members_of(&histories, user, groups.as_ref()) {
                for event in members {
                    sessions.row.push(histories.row[event] as u64);
                    sessions.item.push(histories.item[event]);
                    sessions.time.push(histories.time[event]);
                }
                sessions.event_offsets.push(sessions.row.len());
            }
            sessions.session_offsets.push(sessions.event_offsets.len() - 1);
        }
        Ok(sessions)
    }

    pub(crate) fn users(&self) -> usize {
        self.session_offsets.len() - 1
    }

    /// The sessions of a user.
    pub(crate) fn of_user(&self, user: usize) -> Range<usize> {
        self.session_offsets[user]..self.session_offsets[user + 1]
    }

    /// The events of a session.
    pub(crate) fn events(&self, session: usize) -> Range<usize> {
        self.event_offsets[session]..self.event_offsets[session + 1]
    }

    /// All events of a user.
    pub(crate) fn events_of_user(&self, user: usize) -> Range<usize> {
        let sessions = self.of_user(user);
        self.event_offsets[sessions.start]..self.event_offsets[sessions.end]
    }

    /// The most sessions that one user has.
    pub(crate) fn most_sessions(&self) -> u64 {
        (0..self.users()).map(|u| self.of_user(u).len() as u64).max().unwrap_or(0)
    }

    /// The most events that one session has.
    pub(crate) fn most_events_of_a_session(&self) -> u64 {
        (0..self.event_offsets.len() - 1).map(|s| self.events(s).len() as u64).max().unwrap_or(0)
    }
}

/// The events of each session of a user.
fn members_of(histories: &Histories, user: usize, groups: Option<&StringArray>) -> Vec<Vec<usize>> {
    let mut sessions: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<(Option<&str>, u32), usize> = HashMap::new();
    for event in histories.range(user) {
        let row = histories.row[event];
        let group = groups.filter(|g| g.is_valid(row)).map(|g| g.value(row));
        // A named group is one session wherever its events lie; without a name, neighbours in time form it.
        let key = (group, if group.is_some() { 0 } else { histories.session[event] });
        let number = *known.entry(key).or_insert(sessions.len());
        if number == sessions.len() {
            sessions.push(Vec::new());
        }
        sessions[number].push(event);
    }
    sessions
}

#[cfg(test)]
impl Sessions {
    /// Users as lists of sessions as lists of items; time counts events.
    pub(crate) fn of_lists(users: &[Vec<Vec<u32>>]) -> Sessions {
        let item: Vec<u32> = users.iter().flatten().flatten().copied().collect();
        let running = |lengths: Vec<usize>| {
            let total = lengths.into_iter().scan(0, |t, n| {
                *t += n;
                Some(*t)
            });
            std::iter::once(0).chain(total).collect()
        };
        Sessions {
            session_offsets: running(users.iter().map(Vec::len).collect()),
            event_offsets: running(users.iter().flatten().map(Vec::len).collect()),
            row: (0..item.len() as u64).collect(),
            time: (0..item.len() as i64).collect(),
            scale: TimeScale::Order,
            item,
        }
    }
}
