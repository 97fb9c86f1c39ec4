//! How the sessions of a planned history follow each other, by counting.
//!
//! A session border is one decision among some twenty events, so a network that learns for minutes hardly learns what decides
//! it: how much of the window is left for the sessions that are still to come, and how many events each of these has left.
//! Both are therefore counted. The network's scores are added to the logarithms of
//!
//! odds(arrival) = habit(arrival | days left for each session to come, sessions to come) · how busy its days are
//! odds(size)    = habit(size | events left for each session to come, sessions to come)
//!
//! The habit of arrivals makes expected and counted arrivals agree (iterative proportional fitting, Deming & Stephan, "On a
//! least squares adjustment of a sampled frequency table", 1940). A row of a table is that of the more general row above it
//! until enough people speak for it, and close to that one while few sessions do.

use crate::clock::Clock;
use crate::sequences::Sequences;
use crate::steps::{EVENT_CLASSES, MEAN_CLASSES, NEW, Step, days_of, mean_class};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Classes of days left for each session to come.
const PACES: usize = 24;
/// Classes of how many sessions are still to come.
const AHEAD: usize = 5;
/// Sessions as which the more general row speaks.
const DOUBT: f64 = 10.0;
/// Rounds of fitting.
const ROUNDS: usize = 30;
/// Sessions that are counted, at most.
const MOST: usize = 100_000;

/// Log odds of what is decided at session borders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rhythm {
    /// `[1 + PACES · AHEAD, arrivals of new sessions]`; the first row is that of histories without a plan.
    arrivals: Vec<f32>,
    /// `[MEAN_CLASSES · AHEAD, EVENT_CLASSES]`
    sizes: Vec<f32>,
}

/// A session that is not its user's first.
struct Border {
    user: usize,
    row: usize,
    /// Moment of the event before.
    before: i64,
    /// Which arrival of those that begin a session.
    arrival: usize,
}

/// A session that is not its user's last.
struct Sized {
    user: usize,
    row: usize,
    size: usize,
}

impl Rhythm {
    /// That of some histories; `steps` has those of each user, `enough(people)` people may speak for a row.
    pub(crate) fn of(
        sequences: &Sequences,
        clock: Option<&Clock>,
        arrivals: usize,
        steps: &dyn Fn(usize) -> Vec<Step>,
        enough: &(dyn Fn(usize) -> bool + Sync),
    ) -> Rhythm {
        let (borders, sized) = sessions_of(sequences, clock, steps);
        Rhythm {
            arrivals: habits_of_arrivals(&borders, clock, arrivals - NEW, enough),
            sizes: habits_of_sizes(&sized, enough),
        }
    }

    /// Adds to scores of arrivals what is known of them without a plan.
    pub(crate) fn add_to_arrivals(&self, scores: &mut [f32]) {
        let habits = &self.arrivals[..scores.len() - NEW];
        scores[NEW..].iter_mut().zip(habits).for_each(|(score, habit)| *score += habit);
    }

    /// Adds to scores of arrivals what is known of a session after the moment `before`, one of `to_come` at least; others than
    /// new sessions within the window are ruled out.
    pub(crate) fn add_to_planned_arrivals(
        &self,
        scores: &mut [f32],
        clock: Option<&Clock>,
        before: i64,
        to_come: usize,
    ) {
        let arrivals = scores.len() - NEW;
        let row = 1 + row_of_arrivals(clock, before, to_come);
        scores[..NEW].fill(f32::NEG_INFINITY);
        let habits = &self.arrivals[row * arrivals..][..arrivals];
        for (arrival, (score, habit)) in (NEW..).zip(scores[NEW..].iter_mut().zip(habits)) {
            *score += habit + busy(clock, before, arrival).ln();
        }
        // The window may end with the event before.
        if scores.iter().all(|score| *score == f32::NEG_INFINITY) {
            scores[NEW] = 0.0;
        }
    }

    /// Adds to scores of sizes what is known of a session with `events` left for it and those after it, `sessions` in all; those
    /// that leave too few for these are ruled out.
    pub(crate) fn add_to_sizes(&self, scores: &mut [f32], events: usize, sessions: usize) {
        let row = row_of_sizes(events, sessions);
        let habits = &self.sizes[row * EVENT_CLASSES..][..EVENT_CLASSES];
        scores.iter_mut().zip(habits).for_each(|(score, habit)| *score += habit);
        let most = most_events(events, sessions);
        for (class, score) in scores.iter_mut().enumerate() {
            if crate::steps::events_of_class(class).start > most || class == 0 {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    /// True where it has numbers for so many arrivals.
    pub(crate) fn is_sound(&self, arrivals: usize) -> bool {
        self.arrivals.len() == (1 + PACES * AHEAD) * (arrivals - NEW)
            && self.sizes.len() == MEAN_CLASSES * AHEAD * EVENT_CLASSES
            && self.arrivals.iter().chain(&self.sizes).all(|habit| habit.is_finite())
    }
}

/// Events that a session may have when `sessions`, with it, are to have `events`: every later one has an event.
pub(crate) fn most_events(events: usize, sessions: usize) -> usize {
    events.saturating_sub(sessions.saturating_sub(1)).max(1)
}

/// How busy the days of an arrival are, a usual day being 1; 0 where the window ends before them.
fn busy(clock: Option<&Clock>, before: i64, arrival: usize) -> f32 {
    match (clock, days_of(arrival)) {
        (Some(clock), Some(class)) => clock.busy(before, class),
        _ => 1.0,
    }
}

fn ahead_class(to_come: usize) -> usize {
    match to_come {
        0..=2 => to_come.saturating_sub(1),
        3..=4 => 2,
        5..=8 => 3,
        _ => 4,
    }
}

fn row_of_arrivals(clock: Option<&Clock>, before: i64, to_come: usize) -> usize {
    let pace = clock.map_or(0, |clock| {
        let days = (clock.days_after(before).max(0) as f64 + 0.5) / to_come.max(1) as f64;
        (2.0 * days.log2() + 10.0).floor().clamp(0.0, PACES as f64 - 1.0) as usize
    });
    pace * AHEAD + ahead_class(to_come)
}

fn row_of_sizes(events: usize, sessions: usize) -> usize {
    mean_class(events, sessions) * AHEAD + ahead_class(sessions)
}

/// The sessions of everybody, or of some people of many.
fn sessions_of(
    sequences: &Sequences,
    clock: Option<&Clock>,
    steps: &dyn Fn(usize) -> Vec<Step>,
) -> (Vec<Border>, Vec<Sized>) {
    let all: usize = (0..sequences.users()).map(|user| sequences.sessions(user)).sum();
    let (mut borders, mut sized) = (Vec::new(), Vec::new());
    for user in (0..sequences.users()).step_by(all.div_ceil(MOST).max(1)) {
        let range = sequences.of_user(user);
        let mut to_come = sequences.sessions(user);
        for (event, step) in range.clone().zip(steps(user)) {
            if !sequences.begins_session(user, event) {
                continue;
            }
            if event > range.start {
                let before = sequences.time[event - 1];
                let row = row_of_arrivals(clock, before, to_come);
                borders.push(Border { user, row, before, arrival: step.arrival - NEW });
            }
            if to_come > 1 {
                sized.push(Sized { user, row: row_of_sizes(range.end - event, to_come), size: step.left });
            }
            to_come -= 1;
        }
    }
    (borders, sized)
}

fn habits_of_arrivals(
    borders: &[Border],
    clock: Option<&Clock>,
    arrivals: usize,
    enough: &(dyn Fn(usize) -> bool + Sync),
) -> Vec<f32> {
    let mut busy_after: HashMap<i64, Vec<f32>> = HashMap::new();
    let day = |before: i64| before.div_euclid(crate::clock::DAY);
    for border in borders {
        let of_day = || (NEW..NEW + arrivals).map(|arrival| busy(clock, border.before, arrival)).collect();
        busy_after.entry(day(border.before)).or_insert_with(of_day);
    }
    let even = vec![0f32; arrivals];
    let counted = |borders: &[&Border]| {
        let mut counts = vec![0f64; arrivals];
        borders.iter().for_each(|border| counts[border.arrival] += 1.0);
        counts
    };
    let fitted = |parent: &[f32], borders: &[&Border]| {
        if !enough(borders.iter().map(|b| b.user).collect::<HashSet<_>>().len()) {
            return parent.to_vec();
        }
        let days: Vec<&[f32]> = borders.iter().map(|border| &busy_after[&day(border.before)][..]).collect();
        proportional(parent, &counted(borders), &days)
    };
    let all: Vec<&Border> = borders.iter().collect();
    let above = fitted(&even, &all);
    // Without a plan nothing is known of the window.
    let share = |count: &f64| ((count + 1.0) / (borders.len() + arrivals) as f64).ln() as f32;
    let unplanned: Vec<f32> = counted(&all).iter().map(share).collect();
    let rows = in_rows(borders, |border| border.row, PACES * AHEAD);
    let of_pace = |pace: usize| {
        let own: Vec<&Border> = rows[pace * AHEAD..][..AHEAD].concat();
        let above = fitted(&above, &own);
        rows[pace * AHEAD..][..AHEAD].iter().flat_map(|own| fitted(&above, own)).collect::<Vec<f32>>()
    };
    let paces: Vec<Vec<f32>> = (0..PACES).into_par_iter().map(of_pace).collect();
    std::iter::once(unplanned).chain(paces).flatten().collect()
}

/// Log odds by which choices are made as often as counted, of which some are as `parent` says; `weights` has for each choice
/// that was made what the odds are multiplied by.
fn proportional(parent: &[f32], counts: &[f64], weights: &[&[f32]]) -> Vec<f32> {
    let expected = |habits: &[f64]| {
        let mut sums = vec![0f64; habits.len()];
        for weights in weights {
            let odds: Vec<f64> = habits.iter().zip(*weights).map(|(h, w)| h.exp() * f64::from(*w)).collect();
            let total: f64 = odds.iter().sum();
            if total > 0.0 {
                sums.iter_mut().zip(&odds).for_each(|(sum, odds)| *sum += odds / total);
            }
        }
        sums
    };
    let mut habits: Vec<f64> = parent.iter().map(|habit| f64::from(*habit)).collect();
    let all = weights.len() as f64;
    let wanted: Vec<f64> = counts
        .iter()
        .zip(expected(&habits))
        .map(|(count, by_parent)| (count + DOUBT * by_parent / all) * all / (all + DOUBT))
        .collect();
    for _ in 0..ROUNDS {
        let found = expected(&habits);
        for ((habit, found), wanted) in habits.iter_mut().zip(found).zip(&wanted) {
            if found > 0.0 && *wanted > 0.0 {
                *habit = (*habit + (wanted / found).ln()).clamp(-20.0, 20.0);
            }
        }
    }
    habits.iter().map(|habit| *habit as f32).collect()
}

fn habits_of_sizes(sized: &[Sized], enough: &(dyn Fn(usize) -> bool + Sync)) -> Vec<f32> {
    let fitted = |parent: &[f32], own: &[&Sized]| {
        if !enough(own.iter().map(|s| s.user).collect::<HashSet<_>>().len()) {
            return parent.to_vec();
        }
        let mut counts = vec![0f64; EVENT_CLASSES];
        own.iter().for_each(|sized| counts[sized.size] += 1.0);
        let share = |(count, parent): (&f64, &f32)| {
            ((count + DOUBT * f64::from(*parent).exp()) / (own.len() as f64 + DOUBT)).ln() as f32
        };
        counts.iter().zip(parent).map(share).collect()
    };
    let above = fitted(&[-(EVENT_CLASSES as f32).ln(); EVENT_CLASSES], &sized.iter().collect::<Vec<_>>());
    let rows = in_rows(sized, |sized| sized.row, MEAN_CLASSES * AHEAD);
    let of_mean = |own: &[Vec<&Sized>]| {
        let above = fitted(&above, &own.concat());
        own.iter().flat_map(|own| fitted(&above, own)).collect::<Vec<f32>>()
    };
    rows.chunks(AHEAD).flat_map(of_mean).collect()
}

/// The ones of each row.
fn in_rows<T>(all: &[T], row: impl Fn(&T) -> usize, rows: usize) -> Vec<Vec<&T>> {
    let mut of_row = vec![Vec::new(); rows];
    all.iter().for_each(|one| of_row[row(one)].push(one));
    of_row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DAY;
    use crate::steps::{arrivals, events_of_class, steps_of};
    use rand::{Rng, SeedableRng};
    use twinmart_nets::exponential::softmax;
    use twinmart_tables::Stream;

    const USERS: usize = 4_000;
    /// A softmax leaves this much or less of what is ruled out.
    const NOTHING: f32 = 1e-30;

    /// Sessions of 1 to 9 events at any time of twelve weeks without weekends.
    fn shop() -> (Sequences, Clock) {
        let mut stream = Stream::seed_from_u64(1);
        let mut sequences = Sequences { offsets: vec![0], has_clock: true, ..Sequences::default() };
        for user in 0..USERS {
            let weekday = |stream: &mut Stream| loop {
                let day = stream.random_range(0..84i64);
                if day % 7 < 5 {
                    break day;
                }
            };
            let mut days: Vec<i64> = (0..1 + user % 6).map(|_| weekday(&mut stream)).collect();
            days.sort_unstable();
            for (session, day) in days.into_iter().enumerate() {
                for event in 0..stream.random_range(1..10) {
                    sequences.time.push((20_000 + day) * DAY + 100_000_000 * session as i64 + event);
                    sequences.session.push(session as u32);
                }
            }
            sequences.offsets.push(sequences.time.len());
        }
        sequences.item = vec![0; sequences.time.len()];
        sequences.action = vec![0; sequences.time.len()];
        let begun = |user: usize| {
            let range = sequences.of_user(user);
            let begins = range.clone().filter(|event| sequences.begins_session(user, *event)).collect::<Vec<_>>();
            begins.into_iter().map(move |event| (event, event == range.start, user))
        };
        let sessions: Vec<(i64, bool, usize)> =
            (0..USERS).flat_map(begun).map(|(event, first, user)| (sequences.time[event], first, user)).collect();
        let clock = Clock::of(&sessions, &sequences.time, |people| people > 3);
        (sequences, clock)
    }

    fn rhythm(sequences: &Sequences, clock: &Clock) -> Rhythm {
        let steps = |user| steps_of(sequences, Some(clock), user);
        Rhythm::of(sequences, Some(clock), arrivals(Some(clock)), &steps, &|people| people > 4)
    }

    #[test]
    fn planned_sessions_lie_in_the_window_on_days_that_are_used_and_are_as_far_apart_as_they_were() {
        let (sequences, clock) = shop();
        let rhythm = rhythm(&sequences, &clock);
        assert!(rhythm.is_sound(arrivals(Some(&clock))));
        let mut scores = vec![0f32; arrivals(Some(&clock))];
        // The second of two sessions is as likely on any of the days that are left, so on average half way.
        for from in [0, 14, 30, 44] {
            scores.fill(0.0);
            rhythm.add_to_planned_arrivals(&mut scores, Some(&clock), (20_000 + from) * DAY, 1);
            softmax(&mut scores);
            assert!(scores[..NEW].iter().all(|odds| *odds < NOTHING));
            let mut mean = 0.0;
            for (arrival, odds) in scores.iter().enumerate().filter(|(_, odds)| **odds > 1e-5) {
                let Some(class) = days_of(arrival) else { continue };
                let days = clock.days((20_000 + from) * DAY, class);
                assert!(days.iter().any(|(day, _)| (day - 20_000) % 7 < 5 && day - 20_000 < 84));
                mean += f64::from(*odds)
                    * days.iter().map(|(day, share)| (day - 20_000 - from) as f64 * share).sum::<f64>();
            }
            let expected = (83 - from) as f64 / 2.0;
            assert!((mean / expected - 1.0).abs() < 0.15, "{from}: {mean} {expected}");
        }
    }

    #[test]
    fn the_last_moment_of_the_window_leaves_its_day() {
        let (sequences, clock) = shop();
        let rhythm = rhythm(&sequences, &clock);
        let mut scores = vec![0f32; arrivals(Some(&clock))];
        rhythm.add_to_planned_arrivals(&mut scores, Some(&clock), 20_090 * DAY, 3);
        softmax(&mut scores);
        let sum: f32 = scores.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert!((NEW..scores.len()).all(|arrival| days_of(arrival).is_none() || scores[arrival] < NOTHING));
    }

    #[test]
    fn sizes_leave_an_event_for_every_later_session_and_are_those_that_were() {
        let (sequences, clock) = shop();
        let rhythm = rhythm(&sequences, &clock);
        for (events, sessions) in [(2, 2), (3, 2), (10, 2), (20, 4), (1_000, 2)] {
            let mut scores = vec![0f32; EVENT_CLASSES];
            rhythm.add_to_sizes(&mut scores, events, sessions);
            softmax(&mut scores);
            let least = |class: usize| events_of_class(class).start;
            let possible = |class: usize| (1..=events - (sessions - 1)).contains(&least(class));
            assert!((0..EVENT_CLASSES).all(|class| possible(class) || scores[class] < NOTHING));
            let usual: f32 = (0..EVENT_CLASSES).filter(|c| events_of_class(*c).start < 10).map(|c| scores[c]).sum();
            assert!(usual > 0.9 || events > 100, "{events} {sessions}: {usual}");
        }
    }

    #[test]
    fn fitted_odds_make_choices_as_often_as_counted() {
        let weights: [&[f32]; 3] = [&[1.0, 0.5, 0.0], &[0.2, 1.0, 1.0], &[1.0, 1.0, 0.3]];
        let weights = weights.repeat(2_000);
        let counts = [1_500.0, 2_500.0, 2_000.0];
        let habits = proportional(&[0.0; 3], &counts, &weights);
        let mut found = [0f64; 3];
        for weights in &weights {
            let odds: Vec<f64> = habits.iter().zip(*weights).map(|(h, w)| f64::from(h.exp() * w)).collect();
            found.iter_mut().zip(&odds).for_each(|(found, o)| *found += o / odds.iter().sum::<f64>());
        }
        for (found, count) in found.into_iter().zip(counts) {
            assert!((found / count - 1.0).abs() < 0.01, "{found} {count}");
        }
    }
}
