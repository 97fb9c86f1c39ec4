//! Where the numbers of the network lie.

use crate::recall::FEATURES;
use crate::steps::{
    EVENT_CLASSES, HOURS, MEAN_CLASSES, PLACES, SESSION_CLASSES, Step, WEEKDAYS, event_class, mean_class, session_class,
};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use twinmart_nets::decoder::{Decoder, Shape};

/// Weights of features that the network gives for each event: those of recall, and the season's popularity.
pub(crate) const GATES: usize = FEATURES + 1;

/// How many values everything has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    pub(crate) decoder: Shape,
    pub(crate) items: usize,
    /// Words and other marks that items share.
    pub(crate) marks: usize,
    /// Clusters of items; 0 where every choice is among all items at once.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) clusters: usize,
    pub(crate) arrivals: usize,
    pub(crate) gaps: usize,
    pub(crate) actions: usize,
    pub(crate) seasons: usize,
    /// Values of each field of a user's profile.
    pub(crate) profile: Vec<usize>,
    /// Numbers of a user's taste.
    pub(crate) taste: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Scores of some choices: `x · weights + bias`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    pub(crate) weights: Range<usize>,
    pub(crate) bias: Range<usize>,
}

/// Where everything lies in the slice of parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    /// `[items + 1, width]`: what each item has of its own; the last row stands for the start of a history.
    pub(crate) own: Range<usize>,
    /// `[marks, width]`
    pub(crate) marks: Range<usize>,
    /// `[items]`
    pub(crate) bias: Range<usize>,
    /// `[clusters, width]` and `[clusters]`: what the items of a cluster share, and how popular they are together.
    pub(crate) centres: Range<usize>,
    pub(crate) cluster_bias: Range<usize>,
    /// `[width, width]` from an item's vector to the decoder.
    pub(crate) enter: Range<usize>,
    /// `[taste, width]` to the decoder, and to the choice of an item.
    pub(crate) taste_in: Range<usize>,
    pub(crate) taste_out: Range<usize>,
    /// First row of each field's values that go into the decoder, and all of them.
    fields_in: Vec<usize>,
    pub(crate) table_in: Range<usize>,
    /// The same for what is known of the event that is chosen.
    fields_out: Vec<usize>,
    pub(crate) table_out: Range<usize>,
    pub(crate) next: Head,
    pub(crate) gap: Head,
    pub(crate) hour: Head,
    /// How many events the session will have.
    pub(crate) size: Head,
    pub(crate) action: Head,
    /// `[width, 2 · width]`, `[2 · width]`, `[2 · width, width]`
    pub(crate) widen: Head,
    pub(crate) narrow: Range<usize>,
    pub(crate) gates: Head,
    pub(crate) decoder: Range<usize>,
    /// Parameters before this have a slope at every step. With clusters, the items' own parts lie behind.
    pub(crate) dense: usize,
    pub(crate) total: usize,
}

/// How far a history has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Course {
    /// Sessions and events so far.
    pub(crate) sessions: usize,
    pub(crate) events: usize,
    /// Sessions and events that are still to come, where there is a plan.
    pub(crate) left: Option<(usize, usize)>,
}

/// What of an event is known before the item: each decision opens one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Arrival = 0,
    Gap = 1,
    Action = 2,
    Place = 3,
    Season = 4,
    Hour = 5,
    Weekday = 6,
    Left = 7,
}

impl Layout {
    pub(crate) fn new(sizes: &Sizes) -> Layout {
        let width = sizes.decoder.width;
        let mut end = 0;
        let mut take = |count: usize| {
            end += count;
            end - count..end
        };
        let mut step =
            vec![sizes.arrivals, sizes.gaps, sizes.actions, PLACES, sizes.seasons, HOURS, WEEKDAYS, EVENT_CLASSES + 1];
        let fields_out = starts(&step);
        let rows_out: usize = step.iter().sum();
        // One more for what is not known.
        step.extend([SESSION_CLASSES, EVENT_CLASSES, SESSION_CLASSES + 1, EVENT_CLASSES + 1, MEAN_CLASSES]);
        step.extend(sizes.profile.iter().map(|values| values + 1));
        let fields_in = starts(&step);
        let rows_in: usize = step.iter().sum();
        let own = (sizes.items + 1) * width;
        let first = (sizes.clusters == 0).then(|| take(own));
        let mut layout = Layout {
            width,
            own: first.clone().unwrap_or_default(),
            marks: take(sizes.marks * width),
            bias: take(sizes.items),
            centres: take(sizes.clusters * width),
            cluster_bias: take(sizes.clusters),
            enter: take(width * width),
            taste_in: take(sizes.taste * width),
            taste_out: take(sizes.taste * width),
            table_in: take(rows_in * width),
            fields_in,
            table_out: take(rows_out * width),
            fields_out,
            next: Head { weights: take(width * sizes.arrivals), bias: take(sizes.arrivals) },
            gap: Head { weights: take(width * sizes.gaps), bias: take(sizes.gaps) },
            hour: Head { weights: take(width * HOURS), bias: take(HOURS) },
            size: Head { weights: take(width * EVENT_CLASSES), bias: take(EVENT_CLASSES) },
            action: Head { weights: take(width * sizes.actions), bias: take(sizes.actions) },
            widen: Head { weights: take(width * 2 * width), bias: take(2 * width) },
            narrow: take(2 * width * width),
            gates: Head { weights: take(width * GATES), bias: take(GATES) },
            decoder: take(Decoder::new(sizes.decoder).parameters()),
            dense: 0,
            total: 0,
        };
        layout.dense = end;
        if first.is_none() {
            layout.own = end..end + own;
        }
        layout.total = end.max(layout.own.end);
        layout
    }

    /// Rows of `table_in` for a history that has come to `step`. `profile` has a value for each field, or `None` where it is
    /// not known.
    pub(crate) fn rows_in(
        &self,
        step: Step,
        course: Course,
        profile: &[Option<usize>],
        sizes: &Sizes,
        rows: &mut Vec<u32>,
    ) {
        let (mut fields, mut count) = (self.fields_in.iter(), 0);
        let mut push = |value: usize| {
            rows.extend(fields.next().map(|field| (field + value) as u32));
            count += 1;
        };
        values(step).into_iter().for_each(&mut push);
        push(session_class(course.sessions));
        push(event_class(course.events));
        push(course.left.map_or(SESSION_CLASSES, |left| session_class(left.0)));
        push(course.left.map_or(EVENT_CLASSES, |left| event_class(left.1)));
        push(course.left.map_or(0, |left| mean_class(left.1, left.0)));
        for (value, size) in profile.iter().zip(&sizes.profile) {
            push(value.unwrap_or(*size));
        }
        debug_assert_eq!(count, self.count_in());
    }

    /// How many rows [`Layout::rows_in`] adds.
    pub(crate) fn count_in(&self) -> usize {
        self.fields_in.len()
    }

    /// Row of `table_out` for one thing known of a step.
    pub(crate) fn row_out(&self, step: Step, known: Known) -> usize {
        self.fields_out[known as usize] + values(step)[known as usize]
    }
}

/// In the order of [`Known`].
fn values(step: Step) -> [usize; 8] {
    [step.arrival, step.gap, step.action, step.place, step.season, step.hour, step.weekday, step.left]
}

fn starts(sizes: &[usize]) -> Vec<usize> {
    sizes
        .iter()
        .scan(0, |end, size| {
            *end += size;
            Some(*end - size)
        })
        .collect()
}
