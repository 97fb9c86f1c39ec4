//! Fitting: from histories to a model.
//!
//! ```text
//! histories ─► Groundwork: calendar, clusters, parts of the people
//!           ─► memories of the other parts' people ─► learning ─► weights
//!           ─► memory of all people ─► calibration ─► model
//! ```

use crate::calibrate::calibrate;
use crate::catalogue::Catalogue;
use crate::clock::{Clock, SECOND_CLASSES};
use crate::clustered::shorten_items;
use crate::clusters::Clusters;
use crate::corrections::Corrections;
use crate::counts::Parts;
use crate::draw::Plan;
use crate::items::MOST_AT_ONCE;
use crate::layout::{Layout, Sizes};
use crate::learn::{Care, FOLDS, Fitting, Learned, Lesson, folds, learn};
use crate::likeness::{Likeness, likeness_of};
use crate::model::{EventModel, Profiles};
use crate::pass::People;
use crate::places::{ones, people_of, places_of, projected};
use crate::recall::Memory;
use crate::resume::run_of;
use crate::rhythm::Rhythm;
use crate::sequences::Sequences;
use crate::steps::{arrivals, steps_of};
use crate::summary::Summary;
use rand::{Rng, RngCore};
use twinmart_nets::decoder::{Decoder, Shape};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{Draws, Progress, Result};

/// What a model is learned for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    /// True where whole histories will be drawn from it; otherwise it only says what comes next in those of strangers.
    pub(crate) is_drawn_from: bool,
    /// Items among which one is chosen at once, at most; of more items there are clusters.
    pub(crate) at_once: usize,
}

impl Aim {
    /// That of a model of new histories.
    pub(crate) const DRAWING: Aim = Aim { is_drawn_from: true, at_once: MOST_AT_ONCE };
}

impl EventModel {
    /// Learns histories; `summary` has their short forms, `profiles` says what else the users are like. Where the progress
    /// keeps checkpoints, an interrupted fit goes on from them and comes to the same model.
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
        EventModel::learned(sequences, catalogue, (summary, profiles), shape, fitting, Aim::DRAWING)
    }

    /// Learns histories only to say what comes next in others: everybody is a stranger, and no history is drawn from a plan.
    /// An interrupted fit goes on from its checkpoints, as in [`EventModel::fit`].
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop.
    pub fn fit_to_predict(
        sequences: &Sequences,
        catalogue: Catalogue,
        shape: Shape,
        fitting: &Fitting,
    ) -> Result<EventModel> {
        EventModel::fit_to_predict_at_once(sequences, catalogue, shape, fitting, MOST_AT_ONCE)
    }

    /// As [`EventModel::fit_to_predict`]; choices are among at most `at_once` items at once.
    pub(crate) fn fit_to_predict_at_once(
        sequences: &Sequences,
        catalogue: Catalogue,
        shape: Shape,
        fitting: &Fitting,
        at_once: usize,
    ) -> Result<EventModel> {
        let care = Care { people: usize::MAX, tastes: 1, worth: 0.0, ..fitting.care };
        let fitting = Fitting { care, ..fitting.clone() };
        let summary = Summary::of(sequences, catalogue.items(), care, fitting.draws, &fitting.progress)?;
        let (known, aim) = ((&summary, &Profiles::default()), Aim { is_drawn_from: false, at_once });
        EventModel::learned(sequences, catalogue, known, shape, &fitting, aim)
    }

    /// Learns histories for what `aim` says.
    pub(crate) fn learned(
        sequences: &Sequences,
        catalogue: Catalogue,
        (summary, profiles): (&Summary, &Profiles),
        shape: Shape,
        fitting: &Fitting,
        aim: Aim,
    ) -> Result<EventModel> {
        let ground = Groundwork::of(sequences, catalogue, (summary, profiles), shape, fitting, aim)?;
        let blur = summary.blur(fitting.care.blur);
        let people = People {
            sequences,
            clock: ground.clock.as_ref(),
            profile: &ground.profile,
            taste: &summary.taste,
            contributions: Some(&summary.contributions),
            blur: &blur,
            strangers: !aim.is_drawn_from,
        };
        let others = |fold: usize| (0..=FOLDS).map(|other| other != fold && other != FOLDS).collect();
        let sets: Vec<Vec<bool>> = (0..=FOLDS).map(others).collect();
        let memories = ground.memories(sequences, &sets, 1.0, &fitting.progress);
        let layout = Layout::new(&ground.sizes);
        let first = first_weights(&ground, &layout, sequences, fitting.draws);
        let settings = format!("{:?}, {} steps", fitting.care, fitting.steps);
        let run = || run_of(&people, &ground.sizes, &ground.catalogue, &first, fitting.draws, &settings);
        let mut checkpoint = fitting.progress.checkpoint("histories", run);
        let lesson = ground.lesson(people, &layout, &memories);
        let learned = learn(&lesson, first, fitting, &mut checkpoint)?;
        let mut checkpoint = checkpoint
            .then("calibration", |digest| digest.list(learned.weights.iter().map(|weight| weight.to_le_bytes())));
        let memory = ground.memory_of_all(sequences, &fitting.progress);
        let mut model = ground.model(learned, summary, memory);
        if aim.is_drawn_from {
            let plan = |user: usize| {
                let profile = profiles.fields.iter().map(|f| Some(f[user] as usize)).collect();
                Plan { profile, ..summary.plan(user) }
            };
            let told = (fitting.draws, &fitting.progress);
            calibrate(&mut model, &people, &plan, (&ground.folds, &memories), told, &mut checkpoint)?;
        }
        Ok(model)
    }
}

/// All that is settled before anything is learned.
struct Groundwork {
    threshold: PersonThreshold,
    clock: Option<Clock>,
    rhythm: Rhythm,
    /// `[events]`
    season: Vec<usize>,
    /// `[items, WIDTH]` where items lie.
    places: Vec<f32>,
    catalogue: Catalogue,
    clusters: Option<Clusters>,
    /// `[items]` those alike to each.
    likeness: Likeness,
    /// `[fields][users]`, the group first.
    profile: Vec<Vec<u32>>,
    sizes: Sizes,
    /// `[users]` which part of the people each is of.
    folds: Vec<usize>,
}

impl Groundwork {
    fn of(
        sequences: &Sequences,
        catalogue: Catalogue,
        (summary, profiles): (&Summary, &Profiles),
        shape: Shape,
        fitting: &Fitting,
        aim: Aim,
    ) -> Result<Groundwork> {
        let threshold = PersonThreshold::draw(fitting.draws.stream("events.threshold").next_u64());
        let clock = sequences.has_clock.then(|| Clock::of_sessions(sequences, threshold));
        let season = |event: &i64| clock.as_ref().map_or(0, |c| c.moment(*event).season);
        let season = sequences.time.iter().map(season).collect();
        let places = places_of(sequences, &catalogue, &summary.directions, fitting.draws);
        let likeness = likeness_of(&catalogue);
        let (mut catalogue, mut clusters) = (catalogue, None);
        if catalogue.items() > aim.at_once {
            let people = people_of(sequences, catalogue.items());
            clusters = Some(Clusters::of(&places, &people, fitting.draws, &fitting.progress)?);
            // What marks say is now in the items' places.
            catalogue = Catalogue::without_marks(catalogue.items());
        }
        let arrivals = arrivals(clock.as_ref());
        let steps = |user: usize| steps_of(sequences, clock.as_ref(), user);
        let enough = |people: usize| threshold.allows(people);
        let rhythm = Rhythm::of(sequences, clock.as_ref(), arrivals, &steps, &enough);
        let sizes = Sizes {
            decoder: shape,
            items: catalogue.items(),
            marks: catalogue.kinds(),
            clusters: clusters.as_ref().map_or(0, Clusters::count),
            arrivals,
            gaps: SECOND_CLASSES,
            actions: sequences.action.iter().max().map_or(1, |a| *a as usize + 1),
            seasons: clock.as_ref().map_or(1, Clock::seasons),
            profile: std::iter::once(&summary.groups).chain(&profiles.sizes).copied().collect(),
            taste: summary.tastes.dimensions(),
        };
        let profile = std::iter::once(&summary.group).chain(&profiles.fields).cloned().collect();
        let folds = folds(sequences.users(), fitting.draws);
        Ok(Groundwork {
            threshold,
            clock,
            rhythm,
            season,
            places,
            catalogue,
            clusters,
            likeness,
            profile,
            sizes,
            folds,
        })
    }

    /// What each set of parts says, each of its people counted as `weight` people.
    fn memories(&self, sequences: &Sequences, sets: &[Vec<bool>], weight: f32, progress: &Progress) -> Vec<Memory> {
        let _task = progress.start("counting companions", None, "pairs");
        let parts = Parts { of_user: &self.folds, sets, weight };
        let enough = |people: usize| self.threshold.allows(people);
        let season = (&self.season[..], self.sizes.seasons);
        let memories = Memory::of(sequences, &self.likeness, season, parts, &enough).into_iter();
        memories.map(|memory| memory.in_clusters(self.clusters.as_ref())).collect()
    }

    /// What all people say, as loud as those of whom the network learned what to make of it: a user's history met what the
    /// learned parts but the user's own say.
    fn memory_of_all(&self, sequences: &Sequences, progress: &Progress) -> Memory {
        let learned = self.folds.iter().filter(|fold| **fold != FOLDS).count();
        let heard = learned as f32 * (FOLDS - 1) as f32 / FOLDS as f32;
        let weight = heard / self.folds.len().max(1) as f32;
        self.memories(sequences, &[vec![true; FOLDS + 1]], weight, progress).remove(0)
    }

    fn lesson<'a>(&'a self, people: People<'a>, layout: &'a Layout, memories: &'a [Memory]) -> Lesson<'a> {
        Lesson {
            sizes: &self.sizes,
            layout,
            people,
            rhythm: &self.rhythm,
            catalogue: &self.catalogue,
            clusters: self.clusters.as_ref(),
            folds: &self.folds,
            memories,
        }
    }

    /// The model as learned, before calibration.
    fn model(&self, learned: Learned, summary: &Summary, memory: Memory) -> EventModel {
        let mut weights = learned.weights;
        if self.clusters.is_some() {
            shorten_items(&Layout::new(&self.sizes), &mut weights);
        }
        EventModel {
            sizes: self.sizes.clone(),
            clock: self.clock.clone(),
            rhythm: self.rhythm.clone(),
            catalogue: self.catalogue.clone(),
            clusters: self.clusters.clone(),
            tastes: summary.tastes.clone(),
            memory,
            weights,
            corrections: Corrections::none(),
            steps: learned.steps,
            unfinished: learned.unfinished,
        }
    }
}

/// Standard deviation of the numbers of items' vectors; and, times the width, of those of what one number of a taste asks for:
/// what tastes say for an item has a standard deviation of about one nat.
const FIRST_SIZE: f32 = 0.15;
const FIRST_ASKING: f32 = 6.4;

/// Where learning starts: items by their places and their popularity, tastes asking for what lies where they do, everything else
/// nearly silent.
fn first_weights(ground: &Groundwork, layout: &Layout, sequences: &Sequences, draws: Draws) -> Vec<f32> {
    let sizes = &ground.sizes;
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
    let popular = |bias: &mut [f32], counts: &[f64]| {
        bias.iter_mut().zip(counts).for_each(|(bias, count)| *bias = (count / total).ln() as f32);
    };
    popular(&mut weights[layout.bias.clone()], &counts);
    let places = || draws.stream("events.places");
    // Tastes lie on the first directions of places.
    let ask = projected(&ones(sizes.taste), layout.width, FIRST_ASKING / width, &mut places());
    weights[layout.taste_out.clone()].copy_from_slice(&ask);
    let mut own = projected(&ground.places, layout.width, FIRST_SIZE, &mut places());
    if let Some(clusters) = &ground.clusters {
        popular(&mut weights[layout.cluster_bias.clone()], &clusters.sums(&counts));
        let (centres, rest) = clusters.split(own, layout.width);
        weights[layout.centres.clone()].copy_from_slice(&centres);
        own = rest;
    }
    weights[layout.own.clone()][..own.len()].copy_from_slice(&own);
    Decoder::new(sizes.decoder).begin(&mut weights[layout.decoder.clone()], &mut stream);
    weights
}

/// What features count at first: companions a little, own choices more, what the session has already less than nothing.
const FIRST_GATES: [f32; crate::layout::GATES] =
    [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.5, 0.5, -1.0, 0.5, 0.5, 0.8];
