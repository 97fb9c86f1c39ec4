//! Per-user event sequences in compressed rows: all events in one set of flat columns, cut by offsets.
//!
//! `events of user u = offsets[u] .. offsets[u + 1]`, sorted by (time, row): stable, so equal times keep the files' order.

use crate::{Error, Result, Shop, Table};
use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// Events with a larger gap (microseconds) start a new session where the data name none: half an hour, the usual rule.
const SESSION_GAP: i64 = 30 * 60 * 1_000_000;

/// What the numbers of [`Histories::time`] count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeScale {
    /// Microseconds since 1970-01-01 00:00.
    Microseconds,
    /// Only the order has a meaning.
    Order,
}

/// Sequences of all users of a shop. Users and items are positions in `users` and `items`.
#[derive(Debug, Clone, PartialEq)]
pub struct Histories {
    /// User keys as text, in the order of the users table; users without events are kept.
    pub users: Arc<[String]>,
    /// Item keys as text, in catalogue order.
    pub items: Arc<[String]>,
    /// `[users + 1]` positions in the event columns.
    pub offsets: Vec<usize>,
    /// `[events]` position in `items`.
    pub item: Vec<u32>,
    /// `[events]` time, on `scale`.
    pub time: Vec<i64>,
    /// `[events]` session number within its user, from 0, non-decreasing.
    pub session: Vec<u32>,
    /// `[events]` row in the events table.
    pub row: Vec<usize>,
    /// What `time` counts.
    pub scale: TimeScale,
}

impl Histories {
    /// Sequences of the events table of `shop`. Errors name the first event whose user, item or time cannot be used.
    pub fn of_shop(shop: &Shop) -> Result<Histories> {
        let (users, items, events) = shop.behaviour()?;
        let columns = shop.event_columns()?;
        let user_keys = keys_of(users)?;
        let item_keys = keys_of(items)?;
        let user = positions(events, &columns.user, &user_keys, &users.name)?;
        let item = positions(events, &columns.item, &item_keys, &items.name)?;
        let (time, scale) = match &columns.time {
            Some(column) => times_of(events, column)?,
            None => ((0..events.rows() as i64).collect(), TimeScale::Order),
        };
        let group = columns.group.as_deref().map(|c| events.text(c)).transpose()?;

        let mut row: Vec<usize> = (0..events.rows()).collect();
        row.sort_by_key(|r| (user[*r], time[*r], *r));
        let mut offsets = vec![0; user_keys.len() + 1];
        for u in &user {
            offsets[*u as usize + 1] += 1;
        }
        for u in 0..user_keys.len() {
            offsets[u + 1] += offsets[u];
        }
        let sorted_time: Vec<i64> = row.iter().map(|r| time[*r]).collect();
        let mut session = vec![0; row.len()];
        for u in 0..user_keys.len() {
            let range = offsets[u]..offsets[u + 1];
            number_sessions(
                &mut session[range.clone()],
                &row[range.clone()],
                &sorted_time[range],
                scale,
                group.as_ref(),
            );
        }
        Ok(Histories {
            users: user_keys.into(),
            items: item_keys.into(),
            offsets,
            item: row.iter().map(|r| item[*r]).collect(),
            time: sorted_time,
            session,
            row,
            scale,
        })
    }

    /// Number of users, with or without events.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Number of items in the catalogue.
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// Number of events.
    pub fn event_count(&self) -> usize {
        self.item.len()
    }

    /// Positions of a user's events in the event columns.
    pub fn range(&self, user: usize) -> std::ops::Range<usize> {
        self.offsets[user]..self.offsets[user + 1]
    }

    /// A user's items in order, repeats included.
    pub fn items_of(&self, user: usize) -> &[u32] {
        &self.item[self.range(user)]
    }

    /// Positions (in the event columns) of the first event of each distinct item of a user, in order.
    pub fn first_events(&self, user: usize) -> Vec<usize> {
        let mut seen = std::collections::HashSet::new();
        self.range(user).filter(|e| seen.insert(self.item[*e])).collect()
    }

    /// The histories of the given users, in that order, each cut to the events that `keep(user, event)` accepts.
    /// The users become positions `0..users.len()`; items keep theirs.
    pub fn select(&self, users: &[usize], keep: impl Fn(usize, usize) -> bool) -> Histories {
        let mut out = Histories {
            users: users.iter().map(|u| self.users[*u].clone()).collect(),
            items: self.items.clone(),
            offsets: vec![0],
            item: Vec::new(),
            time: Vec::new(),
            session: Vec::new(),
            row: Vec::new(),
            scale: self.scale,
        };
        for &user in users {
            for event in self.range(user).filter(|e| keep(user, *e)) {
                out.item.push(self.item[event]);
                out.time.push(self.time[event]);
                out.session.push(self.session[event]);
                out.row.push(self.row[event]);
            }
            out.offsets.push(out.item.len());
        }
        out
    }

    /// All users of `self`, then all of `other`, who share the catalogue. Rows keep the numbers of their own tables.
    pub fn joined(&self, other: &Histories) -> Result<Histories> {
        if self.items != other.items || self.scale != other.scale {
            return Err(Error::data("the two sides differ in their catalogue or in the type of their times")
                .remedy("use the same items table and the same time column on both sides")
                .into());
        }
        let events = self.event_count();
        Ok(Histories {
            users: self.users.iter().chain(other.users.iter()).cloned().collect(),
            items: self.items.clone(),
            offsets: self.offsets.iter().copied().chain(other.offsets[1..].iter().map(|o| o + events)).collect(),
            item: self.item.iter().chain(&other.item).copied().collect(),
            time: self.time.iter().chain(&other.time).copied().collect(),
            session: self.session.iter().chain(&other.session).copied().collect(),
            row: self.row.iter().chain(&other.row).copied().collect(),
            scale: self.scale,
        })
    }

    /// Positions of item keys.
    pub fn item_positions(&self) -> HashMap<&str, u32> {
        self.items.iter().enumerate().map(|(i, k)| (k.as_str(), i as u32)).collect()
    }

    /// Positions of user keys.
    pub fn user_positions(&self) -> HashMap<&str, usize> {
        self.users.iter().enumerate().map(|(i, k)| (k.as_str(), i)).collect()
    }

    /// These histories on another catalogue (of the real shop, say); a data error names an item that it lacks.
    pub fn on_catalogue(&self, items: &Arc<[String]>) -> Result<Histories> {
        let target: HashMap<&str, u32> = items.iter().enumerate().map(|(i, k)| (k.as_str(), i as u32)).collect();
        let map: Vec<Option<u32>> = self.items.iter().map(|k| target.get(k.as_str()).copied()).collect();
        let item = self.item.iter().map(|i| {
            map[*i as usize].ok_or_else(|| {
                Error::data("an event names an item that the catalogue lacks")
                    .value(&self.items[*i as usize])
                    .remedy("use the same items table on both sides")
                    .into()
            })
        });
        Ok(Histories { item: item.collect::<Result<_>>()?, items: items.clone(), ..self.clone() })
    }
}

fn keys_of(table: &Table) -> Result<Vec<String>> {
    let key = table.definition.key.as_deref().ok_or_else(|| Error::usage("the table has no key").table(&table.name))?;
    let text = table.text(key)?;
    let values = (0..text.len()).map(|row| {
        if text.is_null(row) {
            Err(Error::data("the key is missing").table(&table.name).column(key).row(row as u64 + 1).into())
        } else {
            Ok(text.value(row).to_string())
        }
    });
    values.collect()
}

fn positions(events: &Table, column: &str, keys: &[String], parent: &str) -> Result<Vec<u32>> {
    let index: HashMap<&str, u32> = keys.iter().enumerate().map(|(i, k)| (k.as_str(), i as u32)).collect();
    let text = events.text(column)?;
    let found = text.iter().enumerate().map(|(row, value)| {
        value.and_then(|v| index.get(v).copied()).ok_or_else(|| {
            Error::data(format!("no row of `{parent}` has this key"))
                .table(&events.name)
                .column(column)
                .row(row as u64 + 1)
                .value(value.unwrap_or("null"))
                .remedy("add the row there or drop this one (SQL, [clean])")
                .into()
        })
    });
    found.collect()
}

/// Times as numbers: microseconds for moments and days, as they are for integers.
fn times_of(events: &Table, column: &str) -> Result<(Vec<i64>, TimeScale)> {
    let array = events.column(column)?;
    let (numbers, scale) = match array.data_type() {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            let micros = cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            (cast(&micros, &DataType::Int64)?, TimeScale::Microseconds)
        }
        t if t.is_integer() => (cast(&array, &DataType::Int64)?, TimeScale::Order),
        t => {
            return Err(Error::data(format!("the time column has the type {t}"))
                .table(&events.name)
                .column(column)
                .remedy("cast it in SQL, for example to_timestamp(column), or use an integer order")
                .into());
        }
    };
    let numbers = numbers.as_primitive::<Int64Type>();
    if let Some(row) = (0..numbers.len()).find(|r| numbers.is_null(*r)) {
        return Err(Error::data("the time is missing or out of range")
            .table(&events.name)
            .column(column)
            .row(row as u64 + 1)
            .remedy("drop such rows under [clean]")
            .into());
    }
    Ok((numbers.values().to_vec(), scale))
}

/// Numbers the sessions of one user: a change of group; without groups, a gap; without a clock, every event by itself.
fn number_sessions(session: &mut [u32], rows: &[usize], times: &[i64], scale: TimeScale, group: Option<&StringArray>) {
    let mut number = 0;
    for i in 1..rows.len() {
        let border = match (group, scale) {
            (Some(g), _) => value_of(g, rows[i]) != value_of(g, rows[i - 1]),
            (None, TimeScale::Microseconds) => times[i].saturating_sub(times[i - 1]) > SESSION_GAP,
            (None, TimeScale::Order) => true,
        };
        number += u32::from(border);
        session[i] = number;
    }
}

fn value_of(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}
