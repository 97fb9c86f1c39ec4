//! Learning: passes over all histories until the held-out users' likelihood stops improving; three at most where whole histories
//! will be drawn.
//!
//! The likelihood of the next event goes on improving for thousands of steps, but whole drawn histories become worse: they keep
//! less of what recommenders learn, and come nearer to the people learned from (`docs/decisions/6-event-model.md`, *How long to
//! learn*). A model that only says what comes next has the likelihood for its aim.

use crate::catalogue::Catalogue;
use crate::clusters::Clusters;
use crate::items::Items;
use crate::layout::{Layout, Sizes};
use crate::pass::{Learning, Losses, Network, People, Window, pass};
use crate::recall::Memory;
use crate::resume::State;
use crate::rhythm::Rhythm;
use crate::sequences::Sequences;
use crate::slopes::ItemSlopes;
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::time::Instant;
use twinmart_nets::adam::{Adam, Rates};
use twinmart_nets::decoder::Decoder;
use twinmart_nets::matrix::add;
use twinmart_tables::{Checkpoint, Draws, Progress, Result, Stream};

/// Places of a window that are asked, and those before that are seen.
pub(crate) const ASKED: usize = 128;
pub(crate) const SEEN: usize = 64;
/// Places that one step learns from.
pub(crate) const BATCH: usize = 2_048;
/// Parts of a step that are passed side by side: a fixed number, so that sums do not depend on threads.
const PARTS: usize = 8;
/// Parts of the people: what a user's history brings to mind comes from the other parts.
pub(crate) const FOLDS: usize = 5;
/// Share of the users that decide when to stop, and how many are enough.
const HELD_SHARE: f64 = 0.1;
const MOST_HELD: usize = 2_000;
/// Fewer users than this hold nobody out; epochs are then this many.
const FEWEST: usize = 30;
const BLIND_EPOCHS: u64 = 4;

const WARM_UP: u64 = 100;
const RATES: Rates = Rates { rate: 2e-3, decay: 0.05, average: 0.995, longest: 1.0, memory: [0.9, 0.98] };
/// The rate falls to this share of itself when an epoch brought less than [`LEAST_GAIN`], so many times.
const FALL: f32 = 0.3;
const FALLS: u32 = 2;
const LEAST_GAIN: f64 = 0.001;
/// Epochs that may pass without better weights.
const PATIENCE: u64 = 3;
/// Epochs at most of a model that histories are drawn from, unless these are fewer steps than small shops need.
const MOST_EPOCHS: usize = 3;
const ENOUGH_STEPS: u64 = 450;

/// How freely a model learns: what keeps it from learning single people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Care {
    /// Share of the network's inner numbers that a step leaves out.
    pub dropout: f32,
    /// Share of the windows whose user is a stranger, so that histories can be told without a plan.
    pub strangers: f64,
    /// Standard deviation of what is added to tastes, so that nobody is known by theirs, as a share of what people of a group
    /// differ by.
    pub blur: f32,
    /// People of a group of users, on average at least; but users fall into four groups by their number of items wherever each
    /// has fifty people, into fewer in small shops. `usize::MAX` makes no groups.
    pub people: usize,
    /// Numbers of a taste, at most.
    pub tastes: usize,
    /// Share of itself that a weight loses with each step, relative to the rate.
    pub decay: f32,
    /// Share of the way back to where its place puts it that an item's vector goes with each step, relative to the rate: what
    /// an item has of its own is soon that of its people.
    pub pull: f32,
    /// Share of the held-out loss by which weights must be better to replace those of an earlier epoch: what brings less
    /// than that brings it by knowing single people.
    pub worth: f64,
}

impl Default for Care {
    fn default() -> Care {
        Care { dropout: 0.2, strangers: 0.1, blur: 0.5, people: 800, tastes: 48, decay: 0.05, pull: 10.0, worth: 0.01 }
    }
}

/// What a fit is told.
#[derive(Debug, Clone)]
pub struct Fitting {
    /// All randomness of the fit.
    pub draws: Draws,
    /// Steps of learning; 0 = until the held-out likelihood stops improving, or for as many as drawn histories gain by.
    pub steps: u64,
    /// What keeps the model from learning single people.
    pub care: Care,
    /// When to stop wherever the fit is.
    pub deadline: Option<Instant>,
    /// Progress and interruption.
    pub progress: Progress,
}

/// Which part each user belongs to; [`FOLDS`] stands for the held-out users.
pub(crate) fn folds(users: usize, draws: Draws) -> Vec<usize> {
    let family = draws.family("events.fold", "");
    let share = if users < FEWEST { 0.0 } else { HELD_SHARE.min(MOST_HELD as f64 / users as f64) };
    let fold = |user: usize| {
        let mut stream = family.row(user as u64);
        if stream.random::<f64>() < share { FOLDS } else { stream.random_range(0..FOLDS) }
    };
    (0..users).map(fold).collect()
}

/// What is learned from.
pub(crate) struct Lesson<'a> {
    pub(crate) sizes: &'a Sizes,
    pub(crate) layout: &'a Layout,
    pub(crate) people: People<'a>,
    pub(crate) rhythm: &'a Rhythm,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) clusters: Option<&'a Clusters>,
    pub(crate) folds: &'a [usize],
    /// For each fold, what all others say.
    pub(crate) memories: &'a [Memory],
}

/// What learning came to.
pub(crate) struct Learned {
    pub(crate) weights: Vec<f32>,
    /// Steps that make the same weights again.
    pub(crate) steps: u64,
    /// True where the deadline came first.
    pub(crate) unfinished: bool,
}

fn windows_of(lesson: &Lesson, users: impl Iterator<Item = usize>) -> Vec<Window> {
    let sequences = lesson.people.sequences;
    let has_events = |user: &usize| !sequences.of_user(*user).is_empty();
    users.filter(has_events).flat_map(|user| windows_of_user(sequences, user, usize::MAX)).collect()
}

/// Windows that ask for a user's first events, `most` of them, and for the end of shorter histories.
pub(crate) fn windows_of_user(sequences: &Sequences, user: usize, most: usize) -> impl Iterator<Item = Window> {
    let places = (sequences.of_user(user).len() + 1).min(most);
    (0..places).step_by(ASKED).map(move |asked| Window {
        user,
        places: asked.saturating_sub(SEEN)..(asked + ASKED).min(places),
        asked,
    })
}

/// Runs of windows with about `places` places that are asked.
fn runs(windows: &[Window], places: usize) -> Vec<&[Window]> {
    let mut runs = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (end, window) in windows.iter().enumerate() {
        sum += window.places.end - window.asked;
        if sum >= places {
            runs.push(&windows[start..=end]);
            (start, sum) = (end + 1, 0);
        }
    }
    if start < windows.len() {
        runs.push(&windows[start..]);
    }
    runs
}

impl Lesson<'_> {
    fn memory<'s>(&'s self) -> impl Fn(usize) -> &'s Memory {
        |user| &self.memories[self.folds[user]]
    }

    /// Losses of windows, nothing learned.
    fn look(&self, decoder: &Decoder, weights: &[f32], windows: &[Window]) -> Losses {
        let items = Items::new(self.layout, self.catalogue, self.clusters, weights);
        let network =
            Network { sizes: self.sizes, layout: self.layout, decoder, weights, items: &items, rhythm: self.rhythm };
        let parts: Vec<Losses> = runs(windows, BATCH / PARTS)
            .into_par_iter()
            .map(|run| pass(&network, &self.people, &self.memory(), run, None))
            .collect();
        parts.into_iter().fold(Losses::default(), Losses::add)
    }

    /// One step on some windows.
    fn step(
        &self,
        decoder: &Decoder,
        adam: &mut Adam,
        (gradients, own): (&mut [Vec<f32>], &mut [ItemSlopes]),
        batch: &[Window],
        (care, rates): (Care, Rates),
        streams: impl Fn(u64) -> Stream + Sync,
    ) -> Losses {
        let weights = &adam.weights;
        let items = Items::new(self.layout, self.catalogue, self.clusters, weights);
        let network =
            Network { sizes: self.sizes, layout: self.layout, decoder, weights, items: &items, rhythm: self.rhythm };
        let places: usize = batch.iter().map(|w| w.places.end - w.asked).sum();
        let parts = runs(batch, places.div_ceil(PARTS));
        let losses: Vec<Losses> = parts
            .par_iter()
            .zip(gradients.par_iter_mut().zip(own.par_iter_mut()))
            .enumerate()
            .with_max_len(1)
            .map(|(part, (windows, (gradient, own)))| {
                gradient.fill(0.0);
                own.clear();
                let learning = Learning { gradient, own, stream: streams(part as u64), care };
                pass(&network, &self.people, &self.memory(), windows, Some(learning))
            })
            .collect();
        let (sum, others) = gradients[..parts.len()].split_at_mut(1);
        let scale = 1.0 / places as f32;
        sum[0].par_chunks_mut(1 << 14).enumerate().for_each(|(chunk, sum)| {
            others.iter().for_each(|other| add(sum, &other[chunk << 14..]));
            sum.iter_mut().for_each(|g| *g *= scale);
        });
        if self.clusters.is_none() {
            self.catalogue.share_gradient(self.layout, &mut sum[0]);
        }
        adam.step_with_rows(&sum[0], &ItemSlopes::sum(&own[..parts.len()], scale), rates);
        losses.into_iter().fold(Losses::default(), Losses::add)
    }
}

/// Learns the numbers of the network; goes on from `checkpoint` where an interrupted run left one.
///
/// # Errors
/// [`twinmart_tables::Error::Interrupted`] once the user asked to stop.
pub(crate) fn learn(
    lesson: &Lesson,
    first: Vec<f32>,
    fitting: &Fitting,
    checkpoint: &mut Checkpoint,
) -> Result<Learned> {
    let decoder = Decoder::new(lesson.sizes.decoder);
    let of_fold = |held: bool| (0..lesson.folds.len()).filter(move |u| (lesson.folds[*u] == FOLDS) == held);
    let windows = windows_of(lesson, of_fold(false));
    let held = windows_of(lesson, of_fold(true));
    let mut gradients = vec![vec![0f32; lesson.layout.dense]; PARTS + 1];
    let own = lesson.clusters.map_or(0, |_| lesson.sizes.items + 1);
    let mut own = vec![ItemSlopes::new(own, lesson.layout.width); PARTS + 1];
    let placed = first[lesson.layout.own.clone()].to_vec();
    let resumed = State::resume(checkpoint, first.len(), fitting.steps);
    let mut state = resumed.unwrap_or_else(|| State::new(first, RATES.rate));
    let deadline = checkpoint.deadline(fitting.deadline);
    let told = |state: &State| fitting.steps > 0 && state.adam.steps >= fitting.steps;
    let most = ENOUGH_STEPS.max((MOST_EPOCHS * runs(&windows, BATCH).len()) as u64);
    let is_drawn_from = !lesson.people.strangers;
    let full = |state: &State| is_drawn_from && fitting.steps == 0 && state.adam.steps >= most;
    let late = |state: &State| {
        let begun = state.epoch > 0 || state.batches > 0;
        begun && deadline.is_some_and(|deadline| Instant::now() >= deadline)
    };
    let task = fitting.progress.start("learning histories", None, "events");
    loop {
        let mut order = windows.clone();
        order.shuffle(&mut fitting.draws.family("events.epoch", "").row(state.epoch));
        let family = fitting.draws.family("events.step", &state.epoch.to_string());
        for (number, batch) in runs(&order, BATCH).into_iter().enumerate().skip(state.batches) {
            if told(&state) || full(&state) || late(&state) {
                break;
            }
            let warm = ((state.adam.steps + 1) as f32 / WARM_UP as f32).min(1.0);
            let rates = Rates { rate: state.rate * warm, decay: fitting.care.decay, ..RATES };
            let streams = |part: u64| family.row((number as u64) << 8 | part);
            state.adam.pull(lesson.layout.own.start, &placed, fitting.care.pull * rates.rate);
            lesson.step(&decoder, &mut state.adam, (&mut gradients, &mut own), batch, (fitting.care, rates), streams);
            state.batches = number + 1;
            let moved = task.advance(batch.iter().map(|w| (w.places.end - w.asked) as u64).sum());
            if moved.is_err() || checkpoint.is_due() {
                checkpoint.write(|out| state.write(out));
            }
            moved?;
        }
        let (told, full, late) = (told(&state), full(&state), late(&state));
        if (told || full || late) && checkpoint.is_worthwhile() {
            checkpoint.write(|out| state.write(out));
        }
        let seen = lesson.look(&decoder, &state.adam.average, &held);
        // Nothing comes after the last steps that could be worth more.
        let worth = if full { 0.0 } else { fitting.care.worth };
        let is_last = state.judge(seen.total() / seen.events.max(1) as f64, worth, held.is_empty(), told);
        if told || full || late || (fitting.steps == 0 && is_last) {
            return Ok(Learned {
                weights: state.best.weights,
                steps: state.best.steps,
                unfinished: late && !told && !full,
            });
        }
        (state.epoch, state.batches) = (state.epoch + 1, 0);
    }
}

impl State {
    /// Takes note of the held-out loss at the end of an epoch; true where more epochs would not help.
    fn judge(&mut self, loss: f64, worth: f64, blind: bool, told: bool) -> bool {
        if told || blind || loss < self.best.loss * (1.0 - worth) {
            self.best.weights.clone_from(&self.adam.average);
            (self.best.steps, self.best.epoch, self.best.loss) = (self.adam.steps, self.epoch, loss);
        }
        let gained = loss < self.lowest - LEAST_GAIN;
        self.lowest = self.lowest.min(loss);
        if !gained && !blind {
            self.falls += 1;
            self.rate *= FALL;
        }
        let too_long = !blind && self.epoch >= self.best.epoch + PATIENCE;
        self.falls > FALLS || too_long || (blind && self.epoch + 1 >= BLIND_EPOCHS)
    }
}
