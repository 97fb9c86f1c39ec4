//! Days and moments: the day (or its week and weekday), and the time of day.
//!
//! Where most rows fall on days that many people share, days are values like any others. Otherwise a day is a week and a
//! weekday, so that a rhythm of weeks survives in data that span years. Times of day are values of their own. Days count
//! from 1970-01-01 and weeks from Monday 1969-12-29, in the zone of the stored values.

use crate::cells::{Cells, Resolution};
use crate::number::Number;
use crate::observed::{Held, Key, Observed};
use crate::permitted::{Permitted, Values};
use arrow::datatypes::{DataType, TimeUnit};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use twinmart_privacy::PersonThreshold;

/// Days that make weeks worth telling apart.
const WEEKS_FROM_DAYS: i64 = 56;
/// Share of the rows on days that many people share, from which days stay days.
const SHARED_DAYS: f64 = 0.9;

/// A column of days or moments, in parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moment {
    ticks_per_day: i64,
    days: Days,
    /// Ticks since midnight, where there are any.
    time: Option<Cells>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Days {
    Days(Cells),
    Weeks { week: Cells, weekday: Cells },
}

/// Ticks of a storage type in a day; `None` where it stores no days.
pub(crate) fn ticks_per_day(data_type: &DataType) -> Option<i64> {
    const SECONDS: i64 = 86_400;
    match data_type {
        DataType::Date32 => Some(1),
        DataType::Date64 => Some(SECONDS * 1_000),
        DataType::Timestamp(TimeUnit::Second, _) => Some(SECONDS),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(SECONDS * 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(SECONDS * 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(SECONDS * 1_000_000_000),
        _ => None,
    }
}

impl Moment {
    /// The parts of a column of which `seen` is known; `None` where nothing may come out.
    pub(crate) fn of(
        seen: &Observed,
        ticks_per_day: i64,
        threshold: PersonThreshold,
        resolution: Resolution,
    ) -> Option<Moment> {
        let part = |of: &dyn Fn(i64) -> i64| {
            let mut part = Observed::default();
            for (key, held) in &seen.values {
                if let Key::Whole(ticks) = key {
                    part.values.entry(Key::Whole(of(*ticks))).or_default().add(held.count, &held.subjects);
                }
            }
            part
        };
        let day = |ticks: i64| ticks.div_euclid(ticks_per_day);
        let cells = |seen: &Observed| Number::of(seen, threshold).map(|n| Cells::of(n, resolution));
        let seen_days = part(&day);
        let days = match is_weekly(&seen_days, threshold) {
            true => Days::Weeks {
                week: cells(&part(&|ticks| week(day(ticks)).0))?,
                weekday: cells(&part(&|ticks| week(day(ticks)).1))?,
            },
            false => Days::Days(cells(&seen_days)?),
        };
        let seen_times = part(&|ticks| ticks.rem_euclid(ticks_per_day));
        let time = if seen_times.values.len() > 1 { cells(&seen_times) } else { None };
        Some(Moment { ticks_per_day, days, time })
    }

    /// The cells of each part.
    pub(crate) fn parts(&self) -> Vec<&Cells> {
        let days = match &self.days {
            Days::Days(days) => vec![days],
            Days::Weeks { week, weekday } => vec![week, weekday],
        };
        days.into_iter().chain(&self.time).collect()
    }

    /// The value of each part, as in [`Moment::parts`].
    pub(crate) fn split(&self, ticks: i64) -> Vec<i64> {
        let day = ticks.div_euclid(self.ticks_per_day);
        let days = match &self.days {
            Days::Days(_) => vec![day],
            Days::Weeks { .. } => vec![week(day).0, week(day).1],
        };
        days.into_iter().chain(self.time.iter().map(|_| ticks.rem_euclid(self.ticks_per_day))).collect()
    }

    /// A moment drawn from a cell of each part.
    pub(crate) fn draw(&self, cells: &[u32], stream: &mut impl RngCore) -> i64 {
        let mut parts = self.parts().into_iter().zip(cells);
        let mut next = || parts.next().map_or(0, |(part, cell)| whole(part, part.draw(*cell as usize, stream)));
        let day = match &self.days {
            Days::Days(_) => next(),
            Days::Weeks { .. } => (next().saturating_mul(7)).saturating_add(next()).saturating_sub(3),
        };
        day.saturating_mul(self.ticks_per_day).saturating_add(next())
    }

    /// For each part, the permitted share of each cell: of days (or weeks) all that hold a permitted moment, of weekdays and
    /// times those of a single week or day, where no other is permitted.
    pub(crate) fn shares(&self, permitted: &Permitted) -> Vec<Vec<f32>> {
        let moments = match &permitted.values {
            Values::Any => return self.parts().into_iter().map(|part| vec![1.0; part.len()]).collect(),
            Values::Whole(moments) => moments,
            Values::Texts(_) | Values::Real(_) => {
                return self.parts().into_iter().map(|part| vec![0.0; part.len()]).collect();
            }
        };
        let ends: Vec<(Vec<i64>, Vec<i64>)> =
            moments.iter().map(|(low, high)| (self.split(*low), self.split(*high))).collect();
        let of_part = |(position, cells): (usize, &Cells)| {
            // A part is bound only where all coarser parts have one value.
            let is_bound = position == 0 || matches!(&ends[..], [(low, high)] if low[..position] == high[..position]);
            if !is_bound {
                return vec![1.0; cells.len()];
            }
            let mut intervals: Vec<(i64, i64)> = Vec::new();
            for (low, high) in &ends {
                match intervals.last_mut() {
                    Some((_, last)) if low[position] <= *last => *last = high[position],
                    _ => intervals.push((low[position], high[position])),
                }
            }
            Permitted { missing: false, values: Values::Whole(intervals) }.shares(cells)
        };
        self.parts().into_iter().enumerate().map(of_part).collect()
    }

    /// A permitted moment as near as can be: where cells hold only some that are.
    pub(crate) fn nearest(&self, moment: i64, permitted: &Permitted) -> i64 {
        let Some(moments) = permitted.whole().filter(|_| !permitted.allows(moment)) else { return moment };
        let clamped = moments.iter().map(|(low, high)| moment.clamp(*low, *high));
        clamped.min_by_key(|m| m.abs_diff(moment)).unwrap_or(moment)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.ticks_per_day > 0 && self.parts().iter().all(|p| p.is_sound())
    }
}

/// A position of whole cells as the whole number that it stands for.
pub(crate) fn whole(cells: &Cells, position: f64) -> i64 {
    cells.number().grid().whole_at(position)
}

/// Week and weekday (Monday = 0) of a day.
fn week(day: i64) -> (i64, i64) {
    let since_monday = day.saturating_add(3);
    (since_monday.div_euclid(7), since_monday.rem_euclid(7))
}

fn is_weekly(days: &Observed, threshold: PersonThreshold) -> bool {
    let ends = (days.values.first_key_value(), days.values.last_key_value());
    let (Some((Key::Whole(first), _)), Some((Key::Whole(last), _))) = ends else { return false };
    let shared = |h: &&Held| threshold.allows(h.subjects.len());
    let total: u64 = days.values.values().map(|h| h.count).sum();
    let on_shared: u64 = days.values.values().filter(shared).map(|h| h.count).sum();
    last.saturating_sub(*first) >= WEEKS_FROM_DAYS && (on_shared as f64) < SHARED_DAYS * total as f64
}
