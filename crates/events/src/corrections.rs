//! What drawing changes of a network's choices, so that whole drawn histories are like real ones: see
//! [`calibrate`](crate::calibrate).
//!
//! Histories drift as they grow: the first events of a drawn user say too little of what will come, and what hundreds of drawn
//! events bring to mind says too much. There is a correction for each class of events, by how many events a user will have
//! and how many there were, both on a scale of powers of four.

use crate::layout::GATES;
use serde::{Deserialize, Serialize};
use std::ops::{Range, RangeInclusive};

/// Numbers of what speaks for a choice: its features, the season, the network alone, and of that the user's taste.
pub(crate) const MOMENTS: usize = GATES + 2;
/// Position of what the network alone says, and of what the taste says.
pub(crate) const NETWORK: usize = GATES;
pub(crate) const TASTE: usize = GATES + 1;
/// Where the next step of the scale begins, in events.
const STEPS: [usize; 4] = [4, 16, 64, 256];
/// Steps of the scale.
pub(crate) const SCALES: usize = STEPS.len() + 1;
/// Classes of events: no event comes later than its user's last.
pub(crate) const CLASSES: usize = SCALES * (SCALES + 1) / 2;
/// Where calibration may bring the sharpness, and how much more the taste counts.
const SHARPNESS: RangeInclusive<f32> = 0.5..=2.0;
const MORE_TASTE: RangeInclusive<f32> = -0.5..=2.0;

/// On which step of the scale a number of events is.
pub(crate) fn scale(events: usize) -> usize {
    STEPS.partition_point(|step| *step <= events)
}

/// The class of a user's event: how many there will be, where that is known, and how many there were.
pub(crate) fn class(planned: Option<usize>, before: usize) -> usize {
    let before = scale(before);
    let planned = planned.map_or(before, scale).max(before);
    planned * (planned + 1) / 2 + before
}

/// For each class what is added to the weights of features, what the network's scores of items are multiplied by (an inverse
/// temperature), and how much more the taste counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Corrections {
    /// `[CLASSES][MOMENTS]`
    of_classes: Vec<f32>,
}

impl Corrections {
    /// Nothing is corrected.
    pub(crate) fn none() -> Corrections {
        let of_class = |_| std::iter::repeat_n(0.0, GATES).chain([1.0, 0.0]);
        Corrections { of_classes: (0..CLASSES).flat_map(of_class).collect() }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.of_classes.len() == CLASSES * MOMENTS
            && self.of_classes.iter().all(|number| number.is_finite())
            && self
                .of_classes
                .chunks_exact(MOMENTS)
                .all(|of_class| SHARPNESS.contains(&of_class[NETWORK]) && MORE_TASTE.contains(&of_class[TASTE]))
    }

    /// Corrects the weights of features, `[GATES]`, and what asks for items, `[width]`, of which `likes` is what the taste asks.
    pub(crate) fn apply(&self, class: usize, gates: &mut [f32], q: &mut [f32], likes: &[f32]) {
        let of_class = &self.of_classes[Corrections::place(class)];
        gates.iter_mut().zip(of_class).for_each(|(gate, more)| *gate += more);
        q.iter_mut().for_each(|x| *x *= of_class[NETWORK]);
        q.iter_mut().zip(likes).for_each(|(x, likes)| *x += likes * of_class[TASTE]);
    }

    /// Takes a step, `[MOMENTS]`.
    pub(crate) fn step(&mut self, class: usize, step: &[f32]) {
        let of_class = &mut self.of_classes[Corrections::place(class)];
        of_class.iter_mut().zip(step).for_each(|(number, step)| *number += step);
        of_class[NETWORK] = of_class[NETWORK].clamp(*SHARPNESS.start(), *SHARPNESS.end());
        of_class[TASTE] = of_class[TASTE].clamp(*MORE_TASTE.start(), *MORE_TASTE.end());
    }

    /// All numbers, as they are kept in between.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.of_classes
    }

    /// What [`Corrections::numbers`] were; `None` where they are not sound.
    pub(crate) fn restore(numbers: Vec<f32>) -> Option<Corrections> {
        let corrections = Corrections { of_classes: numbers };
        corrections.is_sound().then_some(corrections)
    }

    fn place(class: usize) -> Range<usize> {
        class * MOMENTS..(class + 1) * MOMENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_all_there_and_grow_with_the_history() {
        let sizes = [3, 10, 40, 200, 5_000];
        let mut seen: Vec<usize> = Vec::new();
        for size in sizes {
            let of_user: Vec<usize> = (0..size).map(|before| class(Some(size), before)).collect();
            assert!(of_user.is_sorted());
            seen.extend(of_user);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..CLASSES).collect::<Vec<_>>());
        assert_eq!(class(None, 70), class(Some(70), 70));
        assert_eq!(class(Some(3), 70), class(None, 70), "a plan that was outrun");
    }

    #[test]
    fn steps_change_their_class_and_sharpness_has_limits() {
        let mut corrections = Corrections::none();
        let mut step = vec![0.0; MOMENTS];
        (step[2], step[NETWORK], step[TASTE]) = (0.5, 9.0, 0.25);
        corrections.step(3, &step);
        assert!(corrections.is_sound());
        for number in 0..CLASSES {
            let (mut gates, mut q) = (vec![1.0; GATES], vec![1.0]);
            corrections.apply(number, &mut gates, &mut q, &[4.0]);
            let expected = if number == 3 { (1.5, 3.0) } else { (1.0, 1.0) };
            assert_eq!((gates[2], q[0]), expected);
            assert!(gates.iter().enumerate().all(|(place, gate)| place == 2 || *gate == 1.0));
        }
        let mut numbers = corrections.numbers().to_vec();
        assert_eq!(Corrections::restore(numbers.clone()), Some(corrections));
        numbers[NETWORK] = f32::NAN;
        assert_eq!(Corrections::restore(numbers), None);
    }
}
