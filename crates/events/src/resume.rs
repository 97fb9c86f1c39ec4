//! Where learning is, so that it can stop and go on: every draw belongs to an epoch, a step and a part of it, so nothing but
//! this decides what comes next.

use crate::catalogue::Catalogue;
use crate::layout::Sizes;
use crate::pass::People;
use std::io;
use twinmart_nets::adam::Adam;
use twinmart_tables::{Checkpoint, Digest, Draws, Reading, Writing};

/// Epochs and steps that nobody waits for: a checkpoint with more is a forgery.
const MOST: u64 = 1 << 40;

/// The weights that are to be kept, so far.
pub(crate) struct Best {
    pub(crate) weights: Vec<f32>,
    /// Steps that they took, and the epoch they are of.
    pub(crate) steps: u64,
    pub(crate) epoch: u64,
    /// Their loss of the held-out users.
    pub(crate) loss: f64,
}

/// Where learning is.
pub(crate) struct State {
    pub(crate) adam: Adam,
    pub(crate) best: Best,
    /// The lowest loss of the held-out users.
    pub(crate) lowest: f64,
    pub(crate) rate: f32,
    /// How often the rate fell.
    pub(crate) falls: u32,
    pub(crate) epoch: u64,
    /// Batches of the epoch that are done.
    pub(crate) batches: usize,
}

/// Everything that decides what is learned, but the time that it may take.
pub(crate) fn run_of(
    people: &People,
    sizes: &Sizes,
    catalogue: &Catalogue,
    first: &[f32],
    draws: Draws,
    settings: &str,
) -> Digest {
    let sequences = people.sequences;
    let mut digest = Digest::new("events")
        .text(settings)
        .number(draws.seed())
        .number(people.strangers.into())
        .text(&format!("{sizes:?}"))
        .list(first.iter().map(|x| x.to_le_bytes()))
        .list(sequences.offsets.iter().map(|x| (*x as u64).to_le_bytes()))
        .list(sequences.item.iter().map(|x| x.to_le_bytes()))
        .list(sequences.time.iter().map(|x| x.to_le_bytes()))
        .list(sequences.session.iter().map(|x| x.to_le_bytes()))
        .list(sequences.action.iter().map(|x| x.to_le_bytes()))
        .list(people.taste.iter().map(|x| x.to_le_bytes()));
    for field in people.profile {
        digest = digest.list(field.iter().map(|x| x.to_le_bytes()));
    }
    catalogue.add_to(digest)
}

impl State {
    /// Where learning starts.
    pub(crate) fn new(first: Vec<f32>, rate: f32) -> State {
        let best = Best { weights: first.clone(), steps: 0, epoch: 0, loss: f64::INFINITY };
        State { adam: Adam::new(first), best, lowest: f64::INFINITY, rate, falls: 0, epoch: 0, batches: 0 }
    }

    /// Where an interrupted run was, `None` where there was none.
    pub(crate) fn resume(checkpoint: &mut Checkpoint, weights: usize, steps: u64) -> Option<State> {
        let state = checkpoint.resume(|input| State::read(input, weights))?;
        let of = if steps > 0 { format!(" of {steps}") } else { String::new() };
        checkpoint.tell(&format!("learning histories goes on after step {}{of}", state.adam.steps));
        Some(state)
    }

    pub(crate) fn write(&self, out: &mut Writing) -> io::Result<()> {
        let State { adam, best, lowest, rate, falls, epoch, batches } = self;
        let of_best = [best.steps, best.epoch, best.loss.to_bits()];
        let of_state = [adam.steps, lowest.to_bits(), (*falls).into(), *epoch, *batches as u64];
        for number in of_best.into_iter().chain(of_state) {
            out.whole(number)?;
        }
        out.numbers(&[*rate])?;
        [&adam.weights, &adam.average, &adam.first, &adam.second, &best.weights].iter().try_for_each(|w| out.numbers(w))
    }

    fn read(input: &mut Reading, weights: usize) -> Option<State> {
        let mut whole = |most: u64| input.whole().filter(|n| *n <= most);
        let (best_steps, best_epoch, best_loss) = (whole(MOST)?, whole(MOST)?, f64::from_bits(whole(u64::MAX)?));
        let (steps, lowest) = (whole(MOST)?, f64::from_bits(whole(u64::MAX)?));
        let (falls, epoch, batches) = (u32::try_from(whole(MOST)?).ok()?, whole(MOST)?, whole(MOST)? as usize);
        let rate = input.numbers(1)?[0];
        let mut numbers = || input.numbers(weights);
        let adam = Adam { weights: numbers()?, average: numbers()?, first: numbers()?, second: numbers()?, steps };
        let best = Best { weights: numbers()?, steps: best_steps, epoch: best_epoch, loss: best_loss };
        let sound = !lowest.is_nan()
            && !best_loss.is_nan()
            && best_epoch <= epoch
            && rate >= 0.0
            && adam.second.iter().all(|square| *square >= 0.0);
        sound.then_some(State { adam, best, lowest, rate, falls, epoch, batches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequences::Sequences;
    use std::time::Duration;
    use twinmart_nets::decoder::Shape;
    use twinmart_tables::{Checkpoints, Progress};

    fn checkpoint(folder: &std::path::Path) -> Checkpoint {
        let checkpoints = Checkpoints::open(folder, Duration::from_secs(1)).unwrap();
        Progress::silent().keeping(checkpoints).checkpoint("histories", || Digest::new("test"))
    }

    #[test]
    fn runs_that_learn_of_strangers_are_other_runs() {
        let sequences = Sequences { offsets: vec![0, 1], item: vec![0], ..Sequences::default() };
        let shape = Shape { width: 4, heads: 1, layers: 1, hidden: 4, reach: 4 };
        let sizes = Sizes {
            decoder: shape,
            items: 1,
            marks: 0,
            clusters: 0,
            arrivals: 3,
            gaps: 1,
            actions: 1,
            seasons: 1,
            profile: vec![1],
            taste: 0,
        };
        let run = |strangers: bool, seed: u64| {
            let people = People {
                sequences: &sequences,
                clock: None,
                profile: &[],
                taste: &[],
                contributions: None,
                blur: &[],
                strangers,
            };
            run_of(&people, &sizes, &Catalogue::new(&[Vec::new()], 0), &[], Draws::new(seed), "").finish_bytes()
        };
        assert_eq!(run(true, 1), run(true, 1));
        assert!(run(true, 1) != run(false, 1) && run(true, 1) != run(true, 2));
    }

    #[test]
    fn states_come_back_and_impossible_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let state = || State { epoch: 3, batches: 2, falls: 1, lowest: 4.5, ..State::new(vec![0.5, -1.0], 0.01) };
        let written = |state: State| {
            checkpoint(dir.path()).write(|out| state.write(out));
            State::resume(&mut checkpoint(dir.path()), 2, 0)
        };
        let again = written(state()).unwrap();
        assert_eq!(again.adam, state().adam);
        assert_eq!((again.epoch, again.batches, again.falls), (3, 2, 1));
        assert_eq!((again.lowest, again.rate, again.best.weights), (4.5, 0.01, state().best.weights));
        assert!(written(State { lowest: f64::INFINITY, ..state() }).is_some(), "before the first look");
        assert!(State::resume(&mut checkpoint(dir.path()), 3, 0).is_none(), "another network");
        let with = |change: &dyn Fn(&mut State)| {
            let mut state = state();
            change(&mut state);
            written(state).is_none()
        };
        assert!(with(&|s| s.epoch = u64::MAX));
        assert!(with(&|s| s.adam.steps = u64::MAX));
        assert!(with(&|s| s.batches = usize::MAX));
        assert!(with(&|s| s.lowest = f64::NAN));
        assert!(with(&|s| s.rate = f32::NAN));
        assert!(with(&|s| s.adam.second[0] = -1.0));
        assert!(with(&|s| s.adam.weights[1] = f32::INFINITY));
        assert!(with(&|s| s.best.weights.truncate(1)));
    }
}
