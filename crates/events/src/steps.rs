//! An event in classes: what is decided, one after the other, for every event of a history.
//!
//! arrival (same session, stop, a new session after so many seconds or days) → gap inside the session or hour of the day →
//! action → item. A [`Step`] has all of them but the item.

use crate::clock::{Clock, SECOND_CLASSES, second_class};
use crate::sequences::Sequences;

/// Arrival: goes on in the same session.
pub(crate) const SAME: usize = 0;
/// Arrival: the history ends.
pub(crate) const STOP: usize = 1;
/// First arrival of those that begin a session.
pub(crate) const NEW: usize = 2;
/// Places in a session, in classes.
pub(crate) const PLACES: usize = 16;
/// Hours of a day, and "not known".
pub(crate) const HOURS: usize = 25;
/// Days of a week, and "not known".
pub(crate) const WEEKDAYS: usize = 8;
/// Numbers of sessions, in classes.
pub const SESSION_CLASSES: usize = 21;
/// Numbers of events, in classes.
pub const EVENT_CLASSES: usize = 33;

/// Mean sizes of the sessions to come, in classes.
pub(crate) const MEAN_CLASSES: usize = 64;

/// The class of a mean number of events of some sessions: four to each doubling; 0 for no sessions.
pub(crate) fn mean_class(events: usize, sessions: usize) -> usize {
    let mean = events.max(1) as f64 / sessions as f64;
    if sessions == 0 { 0 } else { ((4.0 * mean.max(1.0).log2()) as usize + 1).min(MEAN_CLASSES - 1) }
}

/// All of an event but its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) arrival: usize,
    /// Seconds since the event before, in classes; inside a session.
    pub(crate) gap: usize,
    pub(crate) action: usize,
    /// Place in its session, in classes.
    pub(crate) place: usize,
    pub(crate) season: usize,
    pub(crate) hour: usize,
    pub(crate) weekday: usize,
    /// Events of its session from this one on, in classes; [`EVENT_CLASSES`] where there is no plan.
    pub(crate) left: usize,
}

/// Events from one on: their class, and back to the numbers of a class.
pub(crate) fn events_of_class(class: usize) -> std::ops::Range<usize> {
    let border = |halves: usize| (halves as f64 / 2.0).exp2().ceil() as usize;
    match class {
        0 => 0..1,
        _ => border(class - 1)..border(class).max(border(class - 1) + 1),
    }
}

impl Step {
    /// What stands before the first event of a history that begins in a season.
    pub(crate) fn start(season: usize) -> Step {
        Step { arrival: STOP, gap: 0, action: 0, place: 0, season, hour: HOURS - 1, weekday: WEEKDAYS - 1, left: 0 }
    }
}

/// Two classes to each doubling.
fn doubling_class(count: usize, most: usize) -> usize {
    ((2.0 * (count.max(1) as f64).log2()).floor() as usize).min(most)
}

/// The class of a number of sessions: exact up to 8; 0 for none.
pub(crate) fn session_class(sessions: usize) -> usize {
    match sessions {
        0..=8 => sessions,
        _ => (doubling_class(sessions, usize::MAX) + 3).min(SESSION_CLASSES - 1),
    }
}

/// The class of a number of events: 0 for none.
pub(crate) fn event_class(events: usize) -> usize {
    if events == 0 { 0 } else { 1 + doubling_class(events, EVENT_CLASSES - 2) }
}

/// The class of an event's place in its session, from 0.
pub(crate) fn place_class(place: usize) -> usize {
    doubling_class(place + 1, PLACES - 1)
}

/// How many arrivals there are.
pub(crate) fn arrivals(clock: Option<&Clock>) -> usize {
    NEW + clock.map_or(1, |c| SECOND_CLASSES + c.day_classes())
}

/// The arrival of a session that begins at `time`, after an event at `before`.
pub(crate) fn arrival(clock: Option<&Clock>, before: i64, time: i64) -> usize {
    let Some(clock) = clock else { return NEW };
    match clock.day_class(before, time) {
        None => NEW + second_class(time - before),
        Some(class) => NEW + SECOND_CLASSES + class,
    }
}

/// The class of days that an arrival stands for.
pub(crate) fn days_of(arrival: usize) -> Option<usize> {
    arrival.checked_sub(NEW + SECOND_CLASSES)
}

/// The steps of a user's events. The first one arrives as [`NEW`].
pub(crate) fn steps_of(sequences: &Sequences, clock: Option<&Clock>, user: usize) -> Vec<Step> {
    let range = sequences.of_user(user);
    let mut left = vec![1; range.len()];
    for at in (1..range.len()).rev() {
        if !sequences.begins_session(user, range.start + at) {
            left[at - 1] = left[at] + 1;
        }
    }
    let mut place = 0;
    let step = |event: usize| {
        let begins = sequences.begins_session(user, event);
        place = if begins { 0 } else { place + 1 };
        let (time, before) = (sequences.time[event], sequences.time[event.max(range.start + 1) - 1]);
        let moment = clock.map(|c| c.moment(time));
        Step {
            arrival: match () {
                () if event == range.start => NEW,
                () if begins => arrival(clock, before, time),
                () => SAME,
            },
            gap: if begins || clock.is_none() { 0 } else { second_class(time - before) },
            action: sequences.action[event] as usize,
            place: place_class(place),
            season: moment.map_or(0, |m| m.season),
            hour: moment.map_or(HOURS - 1, |m| m.hour),
            weekday: moment.map_or(WEEKDAYS - 1, |m| m.weekday),
            left: event_class(left[event - range.start]),
        }
    };
    range.clone().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_grow_and_never_leave_their_range() {
        let classes: [(&dyn Fn(usize) -> usize, usize); 3] =
            [(&session_class, SESSION_CLASSES), (&event_class, EVENT_CLASSES), (&place_class, PLACES)];
        for (class, most) in classes {
            let found: Vec<usize> = (0..200_000).map(class).collect();
            assert!(found.is_sorted() && found[0] == 0 && *found.last().unwrap() < most);
            assert!(class(usize::MAX / 4) < most);
        }
        assert_eq!([8, 9, 11, 12].map(session_class), [8, 9, 9, 10]);
        assert_eq!([1, 2, 3, 4].map(event_class), [1, 3, 4, 5]);
        for count in 0..10_000 {
            assert!(events_of_class(event_class(count)).contains(&count));
        }
    }

    #[test]
    fn steps_say_how_each_event_came_about() {
        const HOUR: i64 = 3_600_000_000;
        let sequences = Sequences {
            offsets: vec![0, 4],
            item: vec![0; 4],
            time: vec![0, 1_000_000, 5 * HOUR, 53 * HOUR],
            session: vec![0, 0, 1, 2],
            action: vec![0, 1, 0, 0],
            has_clock: true,
        };
        let clock = Clock::of(&[(0, true, 0)], &sequences.time, |_| true);
        let steps = steps_of(&sequences, Some(&clock), 0);
        let seconds = second_class(5 * HOUR - 1_000_000);
        let arrivals: Vec<usize> = steps.iter().map(|s| s.arrival).collect();
        assert_eq!(arrivals, [NEW, SAME, NEW + seconds, NEW + SECOND_CLASSES + 1]);
        assert_eq!(days_of(arrivals[3]), Some(1));
        assert_eq!(days_of(arrivals[2]), None);
        assert_eq!(steps.iter().map(|s| s.left).collect::<Vec<_>>(), [2, 1, 1, 1].map(event_class));
        assert_eq!(
            steps.iter().map(|s| (s.gap, s.action, s.hour)).collect::<Vec<_>>(),
            [(0, 0, 0), (1, 1, 0), (0, 0, 5), (0, 0, 5)]
        );
    }
}
