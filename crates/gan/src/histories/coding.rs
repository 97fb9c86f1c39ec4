//! Events as numbers, and back.
//!
//! ```text
//! [ item vector | begins a session | gap | hour | action ]
//! ```
//!
//! A gap is a class of seconds, or of days where a session begins on another day (see [`Clock`]); it is told as the place of
//! its class among all real gaps of its kind, between -1 and 1, anywhere within the class. So is the hour at which a session
//! begins. Noise of a known size lies on item vectors, real and made: which item a vector stands for is then a matter of odds,
//! P(i | y) ∝ π_i · exp(-|y - v_i|² / 2σ²), by which vectors become items again (see [`super::items`]).

use rand::Rng;
use serde::{Deserialize, Serialize};
use twinmart_events::{Clock, SECOND_CLASSES, Sequences, second_class};
use twinmart_tables::Stream;

/// Microseconds of a day and an hour.
const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;
/// Hours of a day.
pub(super) const HOURS: usize = 24;
/// Pieces of [-1, 1] by which made numbers are held against real ones.
pub(super) const PIECES: usize = 128;

/// What is told of an event beside its item and action: three numbers.
pub(super) const TOLD: usize = 3;

/// Kinds of gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Within a session: a class of seconds.
    Within,
    /// To a new session: a class of seconds on the same day, or of days.
    Between,
    /// The hour at which a session of another day begins.
    Hour,
}

/// Frequencies of classes, and how made numbers are brought to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale {
    /// `[classes]` running shares of the real ones.
    real: Vec<f32>,
    /// `[PIECES]` running shares of made numbers; empty where they are taken as they are.
    pub(super) made: Vec<f32>,
}

impl Scale {
    fn of(counts: &[f64]) -> Scale {
        Scale { real: crate::calibrate::running_shares(counts), made: Vec::new() }
    }

    /// A number for a class, anywhere within it.
    fn number(&self, class: usize, share: f32) -> f32 {
        let below = if class == 0 { 0.0 } else { self.real[class - 1] };
        2.0 * (below + share * (self.real[class] - below)) - 1.0
    }

    /// The class of a made number.
    pub(super) fn class(&self, number: f32, stream: &mut Stream) -> usize {
        let share = match self.made.is_empty() {
            true => (number + 1.0) / 2.0,
            false => {
                let piece = piece_of(number);
                let below = if piece == 0 { 0.0 } else { self.made[piece - 1] };
                below + stream.random::<f32>() * (self.made[piece] - below)
            }
        };
        self.real.partition_point(|sum| *sum <= share).min(self.real.len() - 1)
    }

    fn is_sound(&self, classes: usize) -> bool {
        let shares = |x: &[f32]| x.is_sorted() && x.iter().all(|x| (0.0..=1.0).contains(x));
        self.real.len() == classes
            && shares(&self.real)
            && (self.made.is_empty() || self.made.len() == PIECES && shares(&self.made))
    }
}

/// The piece of [-1, 1] that a number lies in.
pub(super) fn piece_of(number: f32) -> usize {
    (((number + 1.0) / 2.0 * PIECES as f32) as usize).min(PIECES - 1)
}

/// How events are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Coding {
    pub(super) clock: Option<Clock>,
    /// By [`Kind`].
    pub(super) scales: [Scale; 3],
    /// Kinds of actions; 1 where the data do not say.
    pub(super) actions: usize,
}

/// Time of an event, in classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timing {
    begins: bool,
    gap: Option<(Kind, usize)>,
    hour: Option<usize>,
}

impl Coding {
    /// The coding of some histories.
    pub(super) fn of(sequences: &Sequences, clock: Option<Clock>) -> Coding {
        let classes = classes(clock.as_ref());
        let mut counts = classes.map(|classes| vec![0f64; classes]);
        let actions = sequences.action.iter().max().map_or(1, |action| *action as usize + 1);
        for user in 0..sequences.users() {
            for event in sequences.of_user(user) {
                let timing = timing(sequences, clock.as_ref(), user, event);
                for (kind, class) in timing.gap.into_iter().chain(timing.hour.map(|hour| (Kind::Hour, hour))) {
                    counts[kind as usize][class] += 1.0;
                }
            }
        }
        Coding { clock, scales: counts.map(|counts| Scale::of(&counts)), actions }
    }

    /// Numbers of an event but those of its item.
    pub(super) fn width(&self) -> usize {
        TOLD + if self.actions > 1 { self.actions } else { 0 }
    }

    /// Appends what is told of an event beside its item.
    pub(super) fn write(
        &self,
        sequences: &Sequences,
        (user, event): (usize, usize),
        out: &mut Vec<f32>,
        stream: &mut Stream,
    ) {
        let timing = timing(sequences, self.clock.as_ref(), user, event);
        let mut number = |told: Option<(Kind, usize)>| {
            let share = stream.random::<f32>();
            told.map_or(0.0, |(kind, class)| self.scales[kind as usize].number(class, share))
        };
        out.push(if timing.begins { 1.0 } else { 0.0 });
        out.push(number(timing.gap));
        out.push(number(timing.hour.map(|hour| (Kind::Hour, hour))));
        if self.actions > 1 {
            out.extend((0..self.actions).map(|a| f32::from(u8::from(sequences.action[event] as usize == a))));
        }
    }

    /// When the next event is: `from` is the moment of the one before, `None` for the first, of a season. Without a clock,
    /// moments are numbers of events.
    pub(super) fn moment(
        &self,
        from: Option<i64>,
        season: usize,
        begins: bool,
        [gap, hour]: [f32; 2],
        stream: &mut Stream,
    ) -> i64 {
        let Some(clock) = &self.clock else { return from.map_or(0, |from| from + 1) };
        let at_hour = |day: i64, stream: &mut Stream| {
            let hour = self.scales[Kind::Hour as usize].class(hour, stream);
            clock.draw_time(day, hour, stream)
        };
        let Some(from) = from else {
            let day = clock.draw_first_day(season.min(clock.seasons() - 1), stream);
            return at_hour(day, stream);
        };
        let kind = if begins { Kind::Between } else { Kind::Within };
        let class = self.scales[kind as usize].class(gap, stream);
        let time = match class.checked_sub(SECOND_CLASSES).filter(|_| begins) {
            None => clock.rounded(from + clock.draw_seconds(class, stream)),
            Some(days) => match clock.draw_day(from, days, stream) {
                Some(day) => at_hour(day, stream),
                // The window ends before: the last day.
                None => at_hour(clock.end().div_euclid(DAY), stream),
            },
        };
        time.max(from)
    }

    /// True where nothing drawn with it can fail.
    pub(super) fn is_sound(&self) -> bool {
        let classes = classes(self.clock.as_ref());
        self.clock.as_ref().is_none_or(Clock::is_sound)
            && self.scales.iter().zip(classes).all(|(scale, classes)| scale.is_sound(classes))
            && (1..=4_096).contains(&self.actions)
    }
}

/// Classes of each kind.
fn classes(clock: Option<&Clock>) -> [usize; 3] {
    match clock {
        Some(clock) => [SECOND_CLASSES, SECOND_CLASSES + clock.day_classes(), HOURS],
        None => [1, 1, 1],
    }
}

fn timing(sequences: &Sequences, clock: Option<&Clock>, user: usize, event: usize) -> Timing {
    let begins = sequences.begins_session(user, event);
    let Some(clock) = clock else { return Timing { begins, gap: None, hour: None } };
    let time = sequences.time[event];
    let hour = (time.rem_euclid(DAY) / HOUR) as usize;
    if event == sequences.of_user(user).start {
        return Timing { begins, gap: None, hour: Some(hour) };
    }
    let before = sequences.time[event - 1];
    let seconds = second_class(time - before);
    if !begins {
        return Timing { begins, gap: Some((Kind::Within, seconds)), hour: None };
    }
    match clock.day_class(before, time) {
        None => Timing { begins, gap: Some((Kind::Between, seconds)), hour: None },
        Some(days) => Timing { begins, gap: Some((Kind::Between, SECOND_CLASSES + days)), hour: Some(hour) },
    }
}
