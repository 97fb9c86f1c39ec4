//! Histories read backwards, so that a model of what comes next says what came before.
//!
//! Events, and sessions, come in the opposite order, and times count from the other end: days stay whole, and an hour of the
//! day becomes the one as far from the day's other end. Read backwards again, histories are what they were.

use crate::clock::{DAY, grain_of};
use crate::sequences::Sequences;

/// How times are read backwards: a moment t becomes sum − t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reversal {
    sum: i64,
}

impl Reversal {
    /// That of the window of some histories: its last day becomes the first.
    pub fn of(sequences: &Sequences) -> Reversal {
        let times = &sequences.time;
        let (low, high) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
        let sum = match sequences.has_clock {
            true => (low.div_euclid(DAY) + high.div_euclid(DAY) + 1) * DAY - grain_of(times),
            false => low.saturating_add(high),
        };
        Reversal { sum }
    }

    /// A moment on the other side.
    pub fn time(self, time: i64) -> i64 {
        self.sum.saturating_sub(time)
    }

    /// The same histories, read backwards.
    pub fn sequences(self, sequences: &Sequences) -> Sequences {
        let mut reversed = Sequences { offsets: vec![0], has_clock: sequences.has_clock, ..Sequences::default() };
        for user in 0..sequences.users() {
            let last = sequences.sessions(user).saturating_sub(1) as u32;
            for event in sequences.of_user(user).rev() {
                reversed.item.push(sequences.item[event]);
                reversed.time.push(self.time(sequences.time[event]));
                reversed.session.push(last - sequences.session[event]);
                reversed.action.push(sequences.action[event]);
            }
            reversed.offsets.push(reversed.item.len());
        }
        reversed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = DAY / 24;

    fn sequences() -> Sequences {
        let at = |day: i64, hour: i64| day * DAY + hour * HOUR;
        Sequences {
            offsets: vec![0, 4, 4, 5],
            item: vec![3, 1, 4, 1, 5],
            time: vec![at(10, 3), at(10, 3), at(12, 0), at(20, 23), at(11, 5)],
            session: vec![0, 0, 1, 2, 0],
            action: vec![0, 1, 0, 2, 1],
            has_clock: true,
        }
    }

    #[test]
    fn backwards_twice_is_forwards() {
        let forwards = sequences();
        let reversal = Reversal::of(&forwards);
        let backwards = reversal.sequences(&forwards);
        assert_eq!(backwards.item, [1, 4, 1, 3, 5]);
        assert_eq!(backwards.session, [0, 1, 2, 2, 0]);
        assert_eq!(backwards.action, [2, 0, 1, 0, 1]);
        assert_eq!(reversal.sequences(&backwards), forwards);
        assert_eq!(Reversal::of(&backwards), reversal);
    }

    #[test]
    fn days_stay_whole_and_hours_are_those_from_the_other_end() {
        let forwards = sequences();
        let reversal = Reversal::of(&forwards);
        for time in &forwards.time {
            let reversed = reversal.time(*time);
            assert_eq!(reversed.div_euclid(DAY), 30 - time.div_euclid(DAY));
            assert_eq!(reversed.rem_euclid(DAY) / HOUR, 23 - time.rem_euclid(DAY) / HOUR);
        }
        let days = Sequences { time: vec![0, DAY, DAY, 4 * DAY, DAY], ..sequences() };
        assert_eq!(Reversal::of(&days).sequences(&days).time, [0, 3 * DAY, 3 * DAY, 4 * DAY, 3 * DAY]);
        let order = Sequences { time: vec![5, 6, 7, 8, 5], has_clock: false, ..sequences() };
        assert_eq!(Reversal::of(&order).sequences(&order).time, [5, 6, 7, 8, 8]);
    }
}
