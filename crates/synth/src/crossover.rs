//! `interpolate` for users and events: a new user is the crossover of two similar users at session borders, the analogue of
//! SMOTE for histories (crossover: Holland, "Adaptation in Natural and Artificial Systems", 1975).
//!
//! One to three random moments cut a life, a life being the unit interval in which a user's i-th of n sessions sits at
//! (i + ½)/n. From cut to cut the child follows the first parent, then the second, session by session; every session keeps
//! its time, its events and their values. A session of the first parent gives way to the one at the same moment of the
//! second parent's life, or stays where that one is taken already, so the child has as many sessions as its first parent:
//! heavy users, who are similar to many, do not make everybody heavy.
//!
//! A first parent with a single session is crossed inside it, event by event in the same way, with the second parent's
//! session of that moment, at the first parent's time. Cuts are drawn until both parents take part, where they can.

use crate::sessions::Sessions;
use rand::Rng;
use std::collections::HashSet;
use twinmart_tables::Stream;

/// Cuts of a life, at most.
const MOST_CUTS: usize = 3;
/// Draws of cuts before a child may follow one parent alone.
const DRAWS: usize = 16;

/// An event of a new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copied {
    /// The training event: its position among [`Sessions`].
    pub(crate) event: usize,
    /// The training event whose time and group it takes: itself, but for events that moved into another session.
    pub(crate) moment: usize,
    /// Session number within the new user.
    pub(crate) session: u64,
}

/// The moments at which the child changes from one parent to the other, and whether it begins with the second.
struct Cuts {
    at: Vec<f64>,
    second_first: bool,
}

impl Cuts {
    fn draw(stream: &mut Stream) -> Cuts {
        let mut at: Vec<f64> = (0..stream.random_range(1..=MOST_CUTS)).map(|_| stream.random()).collect();
        at.sort_unstable_by(f64::total_cmp);
        Cuts { at, second_first: stream.random() }
    }

    /// For each of the first parent's n parts: the part of the second parent's m that takes its place, if any does.
    fn guests(&self, n: usize, m: usize) -> Vec<Option<usize>> {
        let mut free = 0;
        let guest = |i: usize| {
            let moment = (i as f64 + 0.5) / n as f64;
            let follows_second = (self.at.partition_point(|cut| *cut < moment) % 2 == 1) != self.second_first;
            let place = (2 * i + 1) * m / (2 * n);
            let chosen = (follows_second && place < m && place >= free).then_some(place)?;
            free = chosen + 1;
            Some(chosen)
        };
        (0..n).map(guest).collect()
    }
}

/// The events of a child of two training users, in the order of time.
pub(crate) fn cross(sessions: &Sessions, parents: [usize; 2], single_events: bool, stream: &mut Stream) -> Vec<Copied> {
    let [own, other] = parents.map(|p| sessions.of_user(p));
    if single_events {
        cross_events(sessions, parents, stream)
    } else if own.len() == 1 && !other.is_empty() {
        cross_one_session(sessions, own.start, other.start + other.len() / 2, stream)
    } else {
        let guests = draw_guests(own.len(), other.len(), stream).into_iter();
        copy_sessions(sessions, own.zip(guests).map(|(s, guest)| guest.map_or(s, |g| other.start + g)).collect())
    }
}

/// Guests of which some come and some stay away, if a few draws find such.
fn draw_guests(n: usize, m: usize, stream: &mut Stream) -> Vec<Option<usize>> {
    let mut guests = Cuts::draw(stream).guests(n, m);
    for _ in 1..DRAWS {
        let come = guests.iter().flatten().count();
        if come > 0 && come < n {
            break;
        }
        guests = Cuts::draw(stream).guests(n, m);
    }
    guests
}

/// Whole sessions as those of a new user, in the order of time; the same session may come more than once.
pub(crate) fn copy_sessions(sessions: &Sessions, mut chosen: Vec<usize>) -> Vec<Copied> {
    chosen.sort_by_key(|s| (sessions.time[sessions.events(*s).start], *s));
    let numbered = chosen.iter().enumerate();
    let copied = numbered.flat_map(|(number, session)| {
        sessions.events(*session).map(move |event| Copied { event, moment: event, session: number as u64 })
    });
    in_time(sessions, copied.collect())
}

/// Every event is a border: for data in which nobody has more than one session.
fn cross_events(sessions: &Sessions, parents: [usize; 2], stream: &mut Stream) -> Vec<Copied> {
    let [own, other] = parents.map(|p| sessions.events_of_user(p));
    let guests = draw_guests(own.len(), other.len(), stream).into_iter();
    let chosen = own.zip(guests).map(|(event, guest)| guest.map_or(event, |g| other.start + g));
    in_time(sessions, chosen.map(|event| Copied { event, moment: event, session: 0 }).collect())
}

/// One session out of two, at the times of the first parent's. A guest whose item the session holds already stays away.
fn cross_one_session(sessions: &Sessions, own: usize, other: usize, stream: &mut Stream) -> Vec<Copied> {
    let [own, other] = [own, other].map(|s| sessions.events(s));
    let mut taken: HashSet<u32> = sessions.item[own.clone()].iter().copied().collect();
    let guests = draw_guests(own.len(), other.len(), stream).into_iter();
    let chosen = own.zip(guests).map(|(moment, guest)| {
        let guest = guest.map(|g| other.start + g).filter(|g| taken.insert(sessions.item[*g]));
        Copied { event: guest.unwrap_or(moment), moment, session: 0 }
    });
    let chosen = chosen.collect();
    in_time(sessions, chosen)
}

fn in_time(sessions: &Sessions, mut events: Vec<Copied>) -> Vec<Copied> {
    events.sort_by_key(|c| sessions.time[c.moment]);
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use twinmart_tables::Draws;

    proptest! {
        #[test]
        fn guests_come_in_order_and_at_most_once(n in 1usize..40, m in 0usize..40, seed: u64) {
            let mut stream = Draws::new(seed).stream("test");
            let guests = Cuts::draw(&mut stream).guests(n, m);
            prop_assert_eq!(guests.len(), n);
            let came: Vec<usize> = guests.into_iter().flatten().collect();
            prop_assert!(came.is_sorted_by(|a, b| a < b) && came.iter().all(|g| *g < m));
        }
    }

    #[test]
    fn the_second_parent_rules_between_the_cuts() {
        let cuts = Cuts { at: vec![0.25, 0.75], second_first: false };
        assert_eq!(cuts.guests(4, 4), [None, Some(1), Some(2), None]);
        assert_eq!(cuts.guests(4, 2), [None, Some(0), Some(1), None]);
        assert_eq!(cuts.guests(4, 8), [None, Some(3), Some(5), None]);
        assert_eq!(Cuts { at: vec![], second_first: true }.guests(4, 1), [Some(0), None, None, None]);
    }

    #[test]
    fn children_have_the_first_parents_sessions_and_mix_both_parents() {
        let whole = Sessions::of_lists(&[vec![vec![0, 1], vec![2], vec![3]], vec![vec![10], vec![11, 12], vec![13]]]);
        let single = Sessions::of_lists(&[vec![vec![0, 1, 2, 3]], vec![vec![10, 11, 12, 13]]]);
        let mut mixed = [0; 3];
        for seed in 0..200 {
            let mut stream = Draws::new(seed).stream("test");
            let child = cross(&whole, [0, 1], false, &mut stream);
            assert_eq!(child.iter().map(|c| c.session).max(), Some(2));
            assert!(child.iter().all(|c| c.event == c.moment));
            let inside = cross(&single, [0, 1], false, &mut stream);
            assert!(inside.len() == 4 && inside.iter().all(|c| c.moment < 4 && c.session == 0));
            let events = cross(&single, [1, 0], true, &mut stream);
            assert!(events.len() == 4 && events.iter().all(|c| c.moment == c.event));
            for (count, (sessions, child)) in
                mixed.iter_mut().zip([(&whole, child), (&single, inside), (&single, events)])
            {
                let guests = child.iter().filter(|c| sessions.item[c.event] >= 10).count();
                *count += u32::from(guests > 0 && guests < child.len());
            }
        }
        assert!(mixed.iter().all(|m| *m > 60), "{mixed:?}");
    }
}
