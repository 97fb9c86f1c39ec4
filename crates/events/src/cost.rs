//! What learning and drawing cost, in closed form: multiplications and additions of the network for one event.
//!
//! Of each product of matrices `[a, b] · [b, c]`, 2·a·b·c; the way back is twice the way there. Not counted: norms, softmaxes,
//! what a history brings to mind, the optimiser.

use crate::layout::{GATES, Layout, Sizes};
use crate::learn::{ASKED, BATCH, SEEN};
use crate::model::EventModel;
use crate::steps::{EVENT_CLASSES, HOURS};
use serde::{Deserialize, Serialize};
use twinmart_nets::decoder::Shape;

/// The shapes of a network, what it is shown at once, and what that costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Of the decoder.
    pub shape: Shape,
    /// Choices of each head: item, arrival, gap, hour, size of a session, action.
    pub choices: [usize; 6],
    /// Numbers of a user's taste.
    pub taste: usize,
    /// Rows of the table of fields that are added up for each place.
    pub fields: usize,
    /// Features of an item.
    pub features: usize,
    /// Places of each window of a typical step that pass through the decoder, and how many of them are asked.
    pub windows: Vec<(usize, usize)>,
    /// Places that pass through the decoder for each event that is learned from.
    pub places_per_event: f64,
    /// Flops of learning an event.
    pub learning: f64,
    /// Flops of drawing an event.
    pub drawing: f64,
}

impl EventModel {
    /// The cost of learning histories of so many events each, and of drawing such ones.
    pub fn cost(&self, histories: &[usize]) -> Cost {
        let sizes = &self.sizes;
        let windows: Vec<(usize, usize)> = histories.iter().filter(|n| **n > 0).flat_map(|n| windows(*n)).collect();
        let events: usize = histories.iter().sum();
        let per_event = |total: usize| total as f64 / events.max(1) as f64;
        let seen = |rows: usize| (1..=rows).map(|row| row.min(sizes.decoder.reach)).sum::<usize>();
        let pass = |rows: usize, seen: usize, asked: usize| {
            rows * of_place(sizes) + seen * of_pair(sizes) + asked * of_arrival(sizes) + events * of_event(sizes)
        };
        let sum = |of: &dyn Fn(&(usize, usize)) -> usize| windows.iter().map(of).sum::<usize>();
        let (rows, asked) = (sum(&|w| w.0), sum(&|w| w.1));
        let drawn: usize = histories.iter().map(|n| seen(*n)).sum();
        Cost {
            shape: sizes.decoder,
            choices: [sizes.items, sizes.arrivals, sizes.gaps, HOURS, EVENT_CLASSES, sizes.actions],
            taste: sizes.taste,
            fields: Layout::new(sizes).count_in(),
            features: GATES,
            windows: typical(&windows, asked),
            places_per_event: per_event(rows),
            learning: 3.0 * 2.0 * per_event(pass(rows, sum(&|w| seen(w.0)), asked)),
            drawing: 2.0 * per_event(pass(events, drawn, events)),
        }
    }
}

/// Places of each window of a history, and how many of them are asked; one place is before the first event.
fn windows(events: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..=events).step_by(ASKED).map(move |asked| {
        let end = (asked + ASKED).min(events + 1);
        (end - asked.saturating_sub(SEEN), end - asked)
    })
}

/// About as many windows as a step takes, evenly out of all.
fn typical(windows: &[(usize, usize)], asked: usize) -> Vec<(usize, usize)> {
    let mut by_size = windows.to_vec();
    by_size.sort_unstable();
    let every = (asked / BATCH).max(1);
    by_size.into_iter().skip(every / 2).step_by(every).collect()
}

/// Multiplications of a place in the decoder, without attention.
fn of_place(sizes: &Sizes) -> usize {
    let Shape { width, layers, hidden, .. } = sizes.decoder;
    width * width + sizes.taste * width + layers * (4 * width * width + 2 * width * hidden)
}

/// Those of one place that hears another: its score, and what it says.
fn of_pair(sizes: &Sizes) -> usize {
    2 * sizes.decoder.width * sizes.decoder.layers
}

fn of_arrival(sizes: &Sizes) -> usize {
    sizes.decoder.width * sizes.arrivals
}

/// Those of an event's decisions; of gap and hour, which exclude each other, the larger head.
fn of_event(sizes: &Sizes) -> usize {
    let width = sizes.decoder.width;
    let time = sizes.gaps.max(HOURS);
    let action = if sizes.actions > 1 { sizes.actions } else { 0 };
    width * (sizes.taste + time + action + 4 * width + GATES + sizes.items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_asked_once_and_windows_are_those_of_learning() {
        assert_eq!(windows(10).collect::<Vec<_>>(), [(11, 11)]);
        assert_eq!(windows(127).collect::<Vec<_>>(), [(128, 128)]);
        assert_eq!(windows(300).collect::<Vec<_>>(), [(128, 128), (192, 128), (109, 45)]);
        for events in 0..1_000 {
            assert_eq!(windows(events).map(|w| w.1).sum::<usize>(), events + 1);
        }
    }

    #[test]
    fn a_typical_step_has_about_as_many_places_as_a_step() {
        let all: Vec<(usize, usize)> = (1..=2_000).flat_map(|events| windows(events % 300)).collect();
        let asked = all.iter().map(|w| w.1).sum();
        let chosen: usize = typical(&all, asked).iter().map(|w| w.1).sum();
        assert!(chosen.abs_diff(BATCH) < BATCH / 5, "{chosen}");
    }
}
