//! The event model as a whole.

use crate::calibrate::calibrate;
use crate::catalogue::Catalogue;
use crate::clock::{Clock, SECOND_CLASSES};
use crate::draw::Plan;
use crate::layout::{Layout, Sizes};
use crate::learn::{FOLDS, Fitting, Lesson, folds, learn};
use crate::pass::People;
use crate::recall::Memory;
use crate::sequences::Sequences;
use crate::steps::arrivals;
use crate::summary::Summary;
use crate::taste::Tastes;
use rand::Rng;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use twinmart_nets::decoder::{Decoder, Shape};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{Draws, Result};

/// What is known of users beside their events, in codes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profiles {
    /// `[fields][users]` codes.
    pub fields: Vec<Vec<u32>>,
    /// `[fields]` how many codes there are.
    pub sizes: Vec<usize>,
}

/// Histories of users, learned.
#[derive(Debug, Clone, PartialEq)]
pub struct EventModel {
    pub(crate) sizes: Sizes,
    pub(crate) clock: Option<Clock>,
    pub(crate) catalogue: Catalogue,
    pub(crate) tastes: Tastes,
    pub(crate) memory: Memory,
    pub(crate) weights: Vec<f32>,
    steps: u64,
    unfinished: bool,
}

/// All of a model that is not numbers of its network or of its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    sizes: Sizes,
    clock: Option<Clock>,
    catalogue: Catalogue,
    tastes: Tastes,
    steps: u64,
    unfinished: bool,
}

/// Values that a field, the catalogue or the network may have in a model file: far beyond all that are learned.
const MOST_VALUES: usize = 1 << 26;

impl EventModel {
    /// Learns histories; `summary` has their short forms, `profiles` says what else the users are like.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop.
    pub fn fit(
        sequences: &Sequences,
        catalogue: Catalogue,
        summary: &Summary,
        profiles: &Profiles,
        shape: Shape,
        fitting: &Fitting,
    ) -> Result<EventModel> {
        let threshold = PersonThreshold::draw(fitting.draws.stream("events.threshold").next_u64());
        let clock = sequences.has_clock.then(|| clock_of(sequences, threshold));
        let season = |event: &i64| clock.as_ref().map_or(0, |c| c.moment(*event).season);
        let season: Vec<usize> = sequences.time.iter().map(season).collect();
        let fields: Vec<Vec<u32>> = std::iter::once(&summary.group).chain(&profiles.fields).cloned().collect();
        let sizes = Sizes {
            decoder: shape,
            items: catalogue.items(),
            marks: catalogue.kinds(),
            arrivals: arrivals(clock.as_ref()),
            gaps: SECOND_CLASSES,
            actions: sequences.action.iter().max().map_or(1, |a| *a as usize + 1),
            seasons: clock.as_ref().map_or(1, Clock::seasons),
            profile: std::iter::once(&summary.groups).chain(&profiles.sizes).copied().collect(),
            taste: summary.tastes.dimensions(),
        };
        let folds = folds(sequences.users(), fitting.draws);
        let remembered = |learned: &(dyn Fn(usize) -> bool + Sync)| {
            let enough = |people: usize| threshold.allows(people);
            Memory::of(sequences, sizes.items, &season, sizes.seasons, learned, &enough)
        };
        let memories: Vec<Memory> =
            (0..=FOLDS).map(|fold| remembered(&|user| folds[user] != fold && folds[user] != FOLDS)).collect();
        let layout = Layout::new(&sizes);
        let people = People { sequences, clock: clock.as_ref(), profile: &fields, taste: &summary.taste };
        let lesson = Lesson {
            sizes: &sizes,
            layout: &layout,
            people,
            catalogue: &catalogue,
            folds: &folds,
            memories: &memories,
        };
        let first = first_weights(&sizes, &layout, sequences, fitting.draws);
        let learned = learn(&lesson, first, fitting)?;
        let tastes = summary.tastes.clone();
        let (weights, steps, unfinished) = (learned.weights, learned.steps, learned.unfinished);
        let memory = Memory::default();
        let mut model = EventModel { sizes, clock, catalogue, tastes, memory, weights, steps, unfinished };
        let plan = |user: usize| {
            let profile = profiles.fields.iter().map(|f| Some(f[user] as usize)).collect();
            Plan { profile, ..summary.plan(user) }
        };
        calibrate(&mut model, sequences, &plan, (&folds, &memories), fitting.draws, &fitting.progress)?;
        drop(memories);
        let enough = |people: usize| threshold.allows(people);
        model.memory = Memory::of(sequences, model.sizes.items, &season, model.sizes.seasons, &|_| true, &enough);
        Ok(model)
    }

    /// The model as its structure and two lists of numbers; see [`EventModel::from_parts`].
    pub fn parts(&self) -> (Structure, Vec<f32>, Vec<u32>) {
        let structure = Structure {
            sizes: self.sizes.clone(),
            clock: self.clock.clone(),
            catalogue: self.catalogue.clone(),
            tastes: self.tastes.clone(),
            steps: self.steps,
            unfinished: self.unfinished,
        };
        let (mut numbers, mut places) = (self.weights.clone(), Vec::new());
        self.memory.store(&mut numbers, &mut places);
        (structure, numbers, places)
    }

    /// The model that these parts are of; `None` where they contradict themselves or each other.
    pub fn from_parts(structure: Structure, mut numbers: Vec<f32>, places: &[u32]) -> Option<EventModel> {
        let Structure { sizes, clock, catalogue, tastes, steps, unfinished } = structure;
        let counts = [sizes.items, sizes.marks, sizes.arrivals, sizes.actions, sizes.seasons, sizes.taste];
        let fits = sizes.decoder.is_sound()
            && counts.iter().chain(&sizes.profile).all(|count| *count <= MOST_VALUES)
            && sizes.items > 0
            && sizes.actions > 0
            && sizes.profile.first().is_some_and(|groups| tastes.is_sound(*groups, sizes.taste))
            && catalogue.is_sound()
            && (catalogue.items(), catalogue.kinds()) == (sizes.items, sizes.marks)
            && clock.as_ref().is_none_or(Clock::is_sound)
            && sizes.seasons == clock.as_ref().map_or(1, Clock::seasons)
            && (sizes.arrivals, sizes.gaps) == (arrivals(clock.as_ref()), SECOND_CLASSES)
            && numbers.iter().all(|number| number.is_finite());
        let weights = fits.then(|| Layout::new(&sizes).total)?;
        if weights > numbers.len() {
            return None;
        }
        let memory = Memory::restore(&numbers.split_off(weights), places, sizes.items, sizes.seasons)?;
        Some(EventModel { sizes, clock, catalogue, tastes, memory, weights: numbers, steps, unfinished })
    }

    /// Values of each field of the profiles it was learned with.
    pub fn profile_sizes(&self) -> &[usize] {
        &self.sizes.profile[1..]
    }

    /// Number of groups of users.
    pub fn groups(&self) -> usize {
        self.sizes.profile[0]
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.sizes.items
    }

    /// Number of actions.
    pub fn actions(&self) -> usize {
        self.sizes.actions
    }

    /// Steps of learning that make the same model again.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// True where a deadline ended the learning.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Number of seasons of the window.
    pub fn seasons(&self) -> usize {
        self.sizes.seasons
    }
}

/// The calendar of some histories.
pub(crate) fn clock_of(sequences: &Sequences, threshold: PersonThreshold) -> Clock {
    let mut sessions = Vec::new();
    for user in 0..sequences.users() {
        let range = sequences.of_user(user);
        let begins = range.clone().filter(|e| sequences.begins_session(user, *e));
        sessions.extend(begins.map(|e| (sequences.time[e], e == range.start, user)));
    }
    Clock::of(&sessions, &sequences.time, |people| threshold.allows(people))
}

/// Where learning starts: items by their popularity, everything else nearly silent.
fn first_weights(sizes: &Sizes, layout: &Layout, sequences: &Sequences, draws: Draws) -> Vec<f32> {
    let mut stream = draws.stream("events.weights");
    let mut weights = vec![0f32; layout.total];
    let width = layout.width as f32;
    let mut spread = |weights: &mut [f32], variance: f32| {
        let most = (3.0 * variance).sqrt();
        weights.iter_mut().for_each(|w| *w = stream.random_range(-most..most));
    };
    spread(&mut weights[layout.own.clone()], 0.0025);
    spread(&mut weights[layout.marks.clone()], 0.0025);
    spread(&mut weights[layout.enter.clone()], 16.0 / width);
    spread(&mut weights[layout.table_in.clone()], 0.0025);
    spread(&mut weights[layout.table_out.clone()], 0.0025);
    spread(&mut weights[layout.taste_in.clone()], 0.01);
    spread(&mut weights[layout.taste_out.clone()], 0.01);
    for head in [&layout.next, &layout.gap, &layout.hour, &layout.size, &layout.action] {
        spread(&mut weights[head.weights.clone()], 0.1 / width);
    }
    spread(&mut weights[layout.widen.weights.clone()], 1.0 / width);
    spread(&mut weights[layout.narrow.clone()], 0.25 / width);
    spread(&mut weights[layout.gates.weights.clone()], 0.01 / width);
    weights[layout.gates.bias.clone()].copy_from_slice(&FIRST_GATES);
    let mut counts = vec![0.5f64; sizes.items];
    sequences.item.iter().for_each(|item| counts[*item as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    for (bias, count) in weights[layout.bias.clone()].iter_mut().zip(&counts) {
        *bias = (count / total).ln() as f32;
    }
    Decoder::new(sizes.decoder).begin(&mut weights[layout.decoder.clone()], &mut stream);
    weights
}

/// What features count at first: companions a little, own choices more, what the session has already less than nothing.
const FIRST_GATES: [f32; crate::layout::GATES] =
    [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.5, 0.5, -1.0, 0.5, 0.5, 0.8];
