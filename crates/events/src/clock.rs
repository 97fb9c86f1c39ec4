//! Time in classes: how long until the next event, on which day, at what hour.
//!
//! A gap between sessions is a number of days and then an hour; on the same day it is a number of seconds. Days inside a
//! class are drawn by how busy each calendar day was, so that holidays and weekly rest stay what they were.

use crate::sequences::Sequences;
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::Draws;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Microseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;
/// Classes of seconds: 0, and then two to each doubling, up to some days.
pub const SECOND_CLASSES: usize = 40;
/// Days of one season.
const SEASON_DAYS: i64 = 14;
/// Seasons at most: the longest windows have longer ones.
const MOST_SEASONS: i64 = 60;

/// The class of a number of seconds: 0 for none.
pub fn second_class(gap: i64) -> usize {
    if gap <= 0 {
        return 0;
    }
    let halves = (2.0 * ((gap as f64 / SECOND as f64).max(1e-6)).log2()).floor();
    (halves.max(0.0) as usize + 1).min(SECOND_CLASSES - 1)
}

/// Least and (exclusive) largest number of microseconds of a class.
fn second_borders(class: usize) -> (i64, i64) {
    let border = |half: usize| ((half as f64 / 2.0).exp2() * SECOND as f64).ceil() as i64;
    match class {
        0 => (0, 1),
        1 => (1, border(1)),
        _ => (border(class - 1), border(class)),
    }
}

/// First and last number of days of each class after the first fortnight.
fn day_classes(span: i64) -> Vec<(i64, i64)> {
    let mut classes: Vec<(i64, i64)> = (1..=14).map(|d| (d, d)).collect();
    let mut first = 15i64;
    while first <= span {
        let last = (first + (first / 5).max(1)).min(span.max(first));
        classes.push((first, last));
        first = last + 1;
    }
    classes
}

/// The calendar of a window of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// First and last day, counted from 1970.
    first_day: i64,
    last_day: i64,
    /// Times are multiples of this many microseconds.
    grain: i64,
    /// For each day of the window, how busy it was.
    busy: Vec<f32>,
    /// For each day of the window, how many histories began, roughly.
    begun: Vec<f32>,
    /// Days of a season.
    season_days: i64,
    /// Latest moment.
    end: i64,
}

/// What is known of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Season of the window, from 0.
    pub(crate) season: usize,
    /// Day of the week: 0 is a Thursday, the day of 1970-01-01.
    pub(crate) weekday: usize,
    /// Hour of the day.
    pub(crate) hour: usize,
}

/// The largest unit of time of which all times are multiples, in microseconds.
pub(crate) fn grain_of(times: &[i64]) -> i64 {
    let grains = [DAY, HOUR, 60 * SECOND, SECOND, 1_000, 1];
    grains.into_iter().find(|grain| times.iter().all(|time| time.rem_euclid(*grain) == 0)).unwrap_or(1)
}

impl Clock {
    /// The calendar of sessions: the moments at which they began, whether each was its user's first, and which user's it was.
    /// A day speaks for itself where `enough(people)` people had a session on it.
    pub(crate) fn of(sessions: &[(i64, bool, usize)], times: &[i64], enough: impl Fn(usize) -> bool) -> Clock {
        let (low, high) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
        let (first_day, last_day) = (low.div_euclid(DAY), high.div_euclid(DAY));
        let days = usize::try_from(last_day - first_day + 1).unwrap_or(1);
        let mut counts = vec![0f64; days];
        let mut begun = vec![0f64; days];
        let mut people: Vec<std::collections::HashSet<usize>> = vec![Default::default(); days];
        for (time, first, user) in sessions {
            let day = (time.div_euclid(DAY) - first_day) as usize;
            counts[day] += 1.0;
            begun[day] += f64::from(u8::from(*first));
            if people[day].len() < 16 {
                people[day].insert(*user);
            }
        }
        let speaks: Vec<bool> = people.iter().map(|p| enough(p.len())).collect();
        Clock {
            first_day,
            last_day,
            grain: grain_of(times),
            busy: smoothed(&counts, &speaks, first_day),
            begun: smoothed(&begun, &speaks, first_day),
            season_days: SEASON_DAYS.max((last_day - first_day) / MOST_SEASONS + 1),
            end: high,
        }
    }

    /// The calendar of some users' sessions. A day speaks for itself where enough people had a session on it, by a threshold
    /// that `draws` draws.
    pub fn of_sequences(sequences: &Sequences, draws: Draws) -> Clock {
        let threshold = PersonThreshold::draw(draws.stream("events.threshold").next_u64());
        Clock::of_sessions(sequences, threshold)
    }

    /// As [`Clock::of_sequences`], with a threshold.
    pub(crate) fn of_sessions(sequences: &Sequences, threshold: PersonThreshold) -> Clock {
        let mut sessions = Vec::new();
        for user in 0..sequences.users() {
            let range = sequences.of_user(user);
            let begins = range.clone().filter(|e| sequences.begins_session(user, *e));
            sessions.extend(begins.map(|e| (sequences.time[e], e == range.start, user)));
        }
        Clock::of(&sessions, &sequences.time, |people| threshold.allows(people))
    }

    /// How many seasons there are.
    pub fn seasons(&self) -> usize {
        ((self.last_day - self.first_day) / self.season_days + 1) as usize
    }

    /// Season, weekday and hour of a moment; beyond the window the nearest season.
    pub(crate) fn moment(&self, time: i64) -> Moment {
        let day = time.div_euclid(DAY);
        let inside = day.clamp(self.first_day, self.last_day);
        Moment {
            season: ((inside - self.first_day) / self.season_days) as usize,
            weekday: day.rem_euclid(7) as usize,
            hour: (time.rem_euclid(DAY) / HOUR) as usize,
        }
    }

    /// How many classes of days there are.
    pub fn day_classes(&self) -> usize {
        day_classes(self.last_day - self.first_day).len()
    }

    /// The class of the days between two moments; `None` on the same day.
    pub fn day_class(&self, from: i64, to: i64) -> Option<usize> {
        let days = to.div_euclid(DAY) - from.div_euclid(DAY);
        if days <= 0 {
            return None;
        }
        let classes = day_classes(self.last_day - self.first_day);
        Some(classes.iter().position(|(_, last)| days <= *last).unwrap_or(classes.len() - 1))
    }

    /// A day of a class after `from`, by how busy days are; `None` where the window ends before any.
    pub fn draw_day(&self, from: i64, class: usize, stream: &mut impl Rng) -> Option<i64> {
        let (first, last) = day_classes(self.last_day - self.first_day)[class];
        let today = from.div_euclid(DAY);
        self.draw_between(today + first, today + last, &self.busy, stream)
    }

    /// The day on which a history begins, given its season.
    pub fn draw_first_day(&self, season: usize, stream: &mut impl Rng) -> i64 {
        let first = self.first_day + season as i64 * self.season_days;
        self.draw_between(first, first + self.season_days - 1, &self.begun, stream).unwrap_or(self.last_day)
    }

    /// Which of the days of a class after `from` lie in the window, by how busy they are: 0 to 1.
    pub(crate) fn share_inside(&self, from: i64, class: usize) -> f32 {
        let (first, last) = day_classes(self.last_day - self.first_day)[class];
        let today = from.div_euclid(DAY);
        let inside = (self.last_day - today - first + 1).clamp(0, last - first + 1);
        inside as f32 / (last - first + 1) as f32
    }

    /// Days of the window after that of a moment.
    pub(crate) fn days_after(&self, time: i64) -> i64 {
        self.last_day - time.div_euclid(DAY)
    }

    /// How busy the days of a class after `from` are together, a usual day of the window being 1 and those beyond it 0, relative
    /// to how many days the class has.
    pub(crate) fn busy(&self, from: i64, class: usize) -> f32 {
        let (first, last) = day_classes(self.last_day - self.first_day)[class];
        let today = from.div_euclid(DAY) - self.first_day;
        let inside = |day: i64| usize::try_from(today + day).unwrap_or(0).min(self.busy.len());
        let sum: f32 = self.busy[inside(first)..inside(last + 1)].iter().sum();
        let usual = self.busy.iter().sum::<f32>() / self.busy.len() as f32;
        let share = self.share_inside(from, class);
        (sum / ((last - first + 1) as f32 * usual.max(1e-9))).max(1e-6 * share)
    }

    /// The latest moment of the window.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The days of a class after `from` and their odds: as busy as they were, beyond the window as their weekday was.
    pub(crate) fn days(&self, from: i64, class: usize) -> Vec<(i64, f64)> {
        let (first, last) = day_classes(self.last_day - self.first_day)[class];
        let today = from.div_euclid(DAY);
        self.odds_of_days(today + first, today + last, &self.busy)
    }

    /// The days on which a history of a season may begin, and their odds.
    pub(crate) fn first_days(&self, season: usize) -> Vec<(i64, f64)> {
        let first = self.first_day + season as i64 * self.season_days;
        self.odds_of_days(first, (first + self.season_days - 1).min(self.last_day), &self.begun)
    }

    fn odds_of_days(&self, first: i64, last: i64, weights: &[f32]) -> Vec<(i64, f64)> {
        let (mut sums, mut counts) = ([0f64; 7], [0f64; 7]);
        for (day, weight) in (self.first_day..).zip(weights) {
            sums[day.rem_euclid(7) as usize] += f64::from(*weight);
            counts[day.rem_euclid(7) as usize] += 1.0;
        }
        let weight = |day: i64| {
            let own = usize::try_from(day - self.first_day).ok().and_then(|d| weights.get(d));
            let weekday = day.rem_euclid(7) as usize;
            own.map_or(sums[weekday] / counts[weekday].max(1.0), |w| f64::from(*w)) + 1e-9
        };
        let total: f64 = (first..=last).map(weight).sum();
        (first..=last).map(|day| (day, weight(day) / total)).collect()
    }

    /// The moments a class of seconds after `from`, in pieces of an hour at most: first and exclusive last moment, and odds.
    /// With `same_day` only those of the day of `from`, where there are any.
    pub(crate) fn moments_after(&self, from: i64, class: usize, same_day: bool) -> Vec<(i64, i64, f64)> {
        let gaps = self.gaps(class);
        let (begin, mut end) = (from + gaps.start * self.grain, from + gaps.end * self.grain);
        let tomorrow = (from.div_euclid(DAY) + 1) * DAY;
        if same_day && begin < tomorrow {
            end = end.min(tomorrow.max(begin + self.grain));
        }
        let width = HOUR.max(self.grain);
        let mut pieces = Vec::new();
        let mut at = begin;
        while at < end {
            let next = ((at.div_euclid(width) + 1) * width).min(end);
            pieces.push((at, next, (next - at) as f64 / (end - begin) as f64));
            at = next;
        }
        pieces
    }

    /// The smallest number of microseconds of a class of seconds.
    pub(crate) fn least_gap(&self, class: usize) -> i64 {
        self.gaps(class).start * self.grain
    }

    fn draw_between(&self, first: i64, last: i64, weights: &[f32], stream: &mut impl Rng) -> Option<i64> {
        let days = first.max(self.first_day)..=last.min(self.last_day);
        let weight = |day: i64| f64::from(weights[(day - self.first_day) as usize]) + 1e-9;
        let total: f64 = days.clone().map(weight).sum();
        let mut place = stream.random::<f64>() * total;
        let mut chosen = None;
        for day in days {
            chosen = Some(day);
            place -= weight(day);
            if place <= 0.0 {
                break;
            }
        }
        chosen
    }

    /// A number of microseconds of a class of seconds, such as the data can say.
    pub fn draw_seconds(&self, class: usize, stream: &mut impl Rng) -> i64 {
        stream.random_range(self.gaps(class)) * self.grain
    }

    /// The multiples of the grain in a class of seconds; where there is none, the next one.
    fn gaps(&self, class: usize) -> std::ops::Range<i64> {
        let (low, high) = second_borders(class);
        let multiple = |border: i64| (border + self.grain - 1) / self.grain;
        multiple(low)..multiple(high).max(multiple(low) + 1)
    }

    /// A moment of an hour of a day.
    pub fn draw_time(&self, day: i64, hour: usize, stream: &mut impl Rng) -> i64 {
        self.rounded(day * DAY + hour as i64 * HOUR + stream.random_range(0..HOUR))
    }

    /// The moment cut to what the data can say, within the window.
    pub fn rounded(&self, time: i64) -> i64 {
        (time - time.rem_euclid(self.grain)).min(self.end)
    }

    /// True where nothing drawn with it can fail.
    pub fn is_sound(&self) -> bool {
        let days = self.last_day.checked_sub(self.first_day).and_then(|d| d.checked_add(1));
        let weights = [&self.busy, &self.begun];
        days.is_some_and(|d| (1..=1_000_000).contains(&d) && weights.iter().all(|w| w.len() as i64 == d))
            && weights.iter().all(|w| w.iter().all(|x| x.is_finite() && *x >= 0.0))
            && (1..=DAY).contains(&self.grain)
            && (1..=1_000_000).contains(&self.season_days)
            && self.seasons() <= 1_000
            && self.first_day.abs() < 40_000_000
            && self.end.div_euclid(DAY) == self.last_day
    }
}

/// Days by their own count and that of their weekday; of days that few people share, by that of their weekday alone.
fn smoothed(counts: &[f64], speaks: &[bool], first_day: i64) -> Vec<f32> {
    let weekday = |day: usize| (first_day + day as i64).rem_euclid(7) as usize;
    let (mut sums, mut days) = ([0f64; 7], [0f64; 7]);
    for (day, count) in counts.iter().enumerate() {
        sums[weekday(day)] += count;
        days[weekday(day)] += 1.0;
    }
    let mean = |day: usize| sums[weekday(day)] / days[weekday(day)];
    let smooth = |day: usize| if speaks[day] { 0.9 * counts[day] + 0.1 * mean(day) } else { mean(day) };
    (0..counts.len()).map(|day| smooth(day) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use twinmart_tables::Stream;

    #[test]
    fn draws_of_a_class_have_that_class() {
        let mut stream = Stream::seed_from_u64(1);
        for grain in [1, 1_000, SECOND] {
            let clock = Clock::of(&[(0, true, 0)], &[grain], |_| true);
            for class in (0..SECOND_CLASSES).filter(|c| grain < SECOND || *c == 0 || *c >= 5) {
                for _ in 0..200 {
                    let gap = clock.draw_seconds(class, &mut stream);
                    assert_eq!((second_class(gap), gap % grain), (class, 0), "{gap}");
                }
            }
        }
    }

    #[test]
    fn days_are_drawn_as_busy_as_they_were_and_never_outside() {
        // Ten weeks; nobody comes on two days of the week.
        let noon = |day: i64| (20_000 + day) * DAY + 12 * HOUR;
        let sessions: Vec<(i64, bool, usize)> = (0..70i64)
            .filter(|d| d % 7 < 5)
            .flat_map(|d| (0..20 * (1 + usize::from(d % 7 == 0))).map(move |user| (noon(d), user == 0, user)))
            .collect();
        let times: Vec<i64> = sessions.iter().map(|s| s.0).collect();
        let clock = Clock::of(&sessions, &times, |people| people >= 5);
        assert!(clock.is_sound());
        assert_eq!(clock.grain, HOUR);
        let mut stream = Stream::seed_from_u64(2);
        for from in 0..68i64 {
            for class in 0..clock.day_classes() {
                let day = clock.draw_day(noon(from), class, &mut stream);
                assert_eq!(day.is_some(), clock.share_inside(noon(from), class) > 0.0);
                let Some(day) = day else { continue };
                assert_eq!(clock.day_class(noon(from), day * DAY), Some(class));
            }
        }
        // Days 15 to 18 after day 6: among them one with twice the visits and none on days of rest.
        let drawn: Vec<i64> = (0..4_000).filter_map(|_| clock.draw_day(noon(6), 14, &mut stream)).collect();
        let count = |day: i64| drawn.iter().filter(|d| **d == 20_000 + day).count() as f64;
        assert_eq!(count(26) + count(27), 0.0);
        assert!((count(21) / count(22) - 2.0).abs() < 0.25, "{} and {}", count(21), count(22));
    }
}
