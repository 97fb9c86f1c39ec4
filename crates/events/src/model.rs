//! The event model as a whole.

use crate::calibrate::calibrate;
use crate::catalogue::Catalogue;
use crate::clock::{Clock, SECOND_CLASSES};
use crate::clusters::Clusters;
use crate::counts::Parts;
use crate::draw::Plan;
use crate::items::MOST_AT_ONCE;
use crate::layout::{Layout, Sizes};
use crate::learn::{Care, FOLDS, Fitting, Lesson, folds, learn};
use crate::pass::People;
use crate::recall::Memory;
use crate::resume::run_of;
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
    /// Of the items, where they are too many to choose among all at once.
    pub(crate) clusters: Option<Clusters>,
    pub(crate) tastes: Tastes,
    pub(crate) memory: Memory,
    pub(crate) weights: Vec<f32>,
    steps: u64,
    unfinished: bool,
}

/// What a model is learned for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    /// True where histories will be drawn from it; otherwise it only says what comes next in those of strangers.
    pub(crate) is_drawn_from: bool,
    /// Items among which one is chosen at once, at most; of more items there are clusters.
    pub(crate) at_once: usize,
}

impl Aim {
    /// That of a model of new histories.
    pub(crate) const DRAWING: Aim = Aim { is_drawn_from: true, at_once: MOST_AT_ONCE };
}

/// All of a model that is not numbers of its network or of its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    sizes: Sizes,
    clock: Option<Clock>,
    catalogue: Catalogue,
    /// `[items]` the cluster of each, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clusters: Vec<u32>,
    tastes: Tastes,
    steps: u64,
    unfinished: bool,
}

/// Values that a field, the catalogue or the network may have in a model file: far beyond all that are learned.
const MOST_VALUES: usize = 1 << 26;

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

    /// Learns histories only to say what comes next in others: everybody is a stranger, and nothing is drawn from the model.
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
        let care = Care { people: usize::MAX, tastes: 1, ..fitting.care };
        let fitting = Fitting { care, ..fitting.clone() };
        let summary = Summary::of(sequences, catalogue.items(), care, fitting.draws, &fitting.progress)?;
        let (known, aim) = ((&summary, &Profiles::default()), Aim { is_drawn_from: false, at_once });
        EventModel::learned(sequences, catalogue, known, shape, &fitting, aim)
    }

    /// Learns histories for what `aim` says.
    pub(crate) fn learned(
        sequences: &Sequences,
        mut catalogue: Catalogue,
        (summary, profiles): (&Summary, &Profiles),
        shape: Shape,
        fitting: &Fitting,
        aim: Aim,
    ) -> Result<EventModel> {
        let threshold = PersonThreshold::draw(fitting.draws.stream("events.threshold").next_u64());
        let clock = sequences.has_clock.then(|| clock_of(sequences, threshold));
        let season = |event: &i64| clock.as_ref().map_or(0, |c| c.moment(*event).season);
        let season: Vec<usize> = sequences.time.iter().map(season).collect();
        let enough = |people: usize| threshold.allows(people);
        let (mut clusters, mut places) = (None, Vec::new());
        if catalogue.items() > aim.at_once {
            let found = Clusters::of(sequences, &catalogue, enough, fitting.draws, &fitting.progress)?;
            (clusters, places) = (Some(found.0), found.1);
            // What marks say is now in the items' places.
            catalogue = Catalogue::without_marks(catalogue.items());
        }
        let fields: Vec<Vec<u32>> = std::iter::once(&summary.group).chain(&profiles.fields).cloned().collect();
        let sizes = Sizes {
            decoder: shape,
            items: catalogue.items(),
            marks: catalogue.kinds(),
            clusters: clusters.as_ref().map_or(0, Clusters::count),
            arrivals: arrivals(clock.as_ref()),
            gaps: SECOND_CLASSES,
            actions: sequences.action.iter().max().map_or(1, |a| *a as usize + 1),
            seasons: clock.as_ref().map_or(1, Clock::seasons),
            profile: std::iter::once(&summary.groups).chain(&profiles.sizes).copied().collect(),
            taste: summary.tastes.dimensions(),
        };
        let folds = folds(sequences.users(), fitting.draws);
        let (items, seasons) = (sizes.items, sizes.seasons);
        let remembered = |sets: &[Vec<bool>], clusters: Option<&Clusters>| {
            let _task = fitting.progress.start("counting companions", None, "pairs");
            let parts = Parts { of_user: &folds, sets };
            let enough = |people: usize| threshold.allows(people);
            let memories = Memory::of(sequences, items, &season, seasons, parts, &enough);
            memories.into_iter().map(|memory| memory.in_clusters(clusters)).collect::<Vec<Memory>>()
        };
        let others = |fold: usize| (0..=FOLDS).map(|other| other != fold && other != FOLDS).collect();
        let memories = remembered(&(0..=FOLDS).map(others).collect::<Vec<_>>(), clusters.as_ref());
        let layout = Layout::new(&sizes);
        let people = People {
            sequences,
            clock: clock.as_ref(),
            profile: &fields,
            taste: &summary.taste,
            strangers: !aim.is_drawn_from,
        };
        let lesson = Lesson {
            sizes: &sizes,
            layout: &layout,
            people,
            catalogue: &catalogue,
            clusters: clusters.as_ref(),
            folds: &folds,
            memories: &memories,
        };
        let placed = clusters.as_ref().map(|clusters| (clusters, &places[..]));
        let first = first_weights(&sizes, &layout, sequences, placed, fitting.draws);
        let settings = format!("{:?}, {} steps", fitting.care, fitting.steps);
        let run = || run_of(&people, &sizes, &catalogue, &first, fitting.draws, &settings);
        let mut checkpoint = fitting.progress.checkpoint("histories", run);
        let learned = learn(&lesson, first, fitting, &mut checkpoint)?;
        let mut checkpoint = checkpoint
            .then("calibration", |digest| digest.list(learned.weights.iter().map(|weight| weight.to_le_bytes())));
        let tastes = summary.tastes.clone();
        let (weights, steps, unfinished) = (learned.weights, learned.steps, learned.unfinished);
        let memory = Memory::default();
        let mut model = EventModel { sizes, clock, catalogue, clusters, tastes, memory, weights, steps, unfinished };
        let plan = |user: usize| {
            let profile = profiles.fields.iter().map(|f| Some(f[user] as usize)).collect();
            Plan { profile, ..summary.plan(user) }
        };
        let told = (fitting.draws, &fitting.progress);
        if aim.is_drawn_from {
            calibrate(&mut model, sequences, &plan, (&folds, &memories), told, &mut checkpoint)?;
        }
        drop(memories);
        model.memory = remembered(&[vec![true; FOLDS + 1]], model.clusters.as_ref()).remove(0);
        Ok(model)
    }

    /// The model as its structure and two lists of numbers; see [`EventModel::from_parts`].
    pub fn parts(&self) -> (Structure, Vec<f32>, Vec<u32>) {
        let structure = Structure {
            sizes: self.sizes.clone(),
            clock: self.clock.clone(),
            catalogue: self.catalogue.clone(),
            clusters: self.clusters.as_ref().map_or(Vec::new(), |clusters| clusters.of_items().to_vec()),
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
        let Structure { sizes, clock, catalogue, clusters, tastes, steps, unfinished } = structure;
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
            && clusters.len() == if sizes.clusters == 0 { 0 } else { sizes.items }
            && (sizes.clusters == 0 || sizes.marks == 0)
            && (sizes.arrivals, sizes.gaps) == (arrivals(clock.as_ref()), SECOND_CLASSES)
            && numbers.iter().all(|number| number.is_finite());
        let clusters = match sizes.clusters {
            _ if !fits => return None,
            0 => None,
            count => Some(Clusters::restore(clusters, count)?),
        };
        let weights = Layout::new(&sizes).total;
        if weights > numbers.len() {
            return None;
        }
        let memory = Memory::restore(&numbers.split_off(weights), places, sizes.items, sizes.seasons)?;
        let memory = memory.in_clusters(clusters.as_ref());
        Some(EventModel { sizes, clock, catalogue, clusters, tastes, memory, weights: numbers, steps, unfinished })
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

    /// True where it was learned from moments and not only from an order.
    pub fn has_clock(&self) -> bool {
        self.clock.is_some()
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

/// Standard deviation of the numbers of items' vectors where their places are known.
const FIRST_SIZE: f32 = 0.15;

/// Where learning starts: items by their popularity, everything else nearly silent.
fn first_weights(
    sizes: &Sizes,
    layout: &Layout,
    sequences: &Sequences,
    clusters: Option<(&Clusters, &[f32])>,
    draws: Draws,
) -> Vec<f32> {
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
    let popular = |bias: &mut [f32], counts: &[f64]| {
        bias.iter_mut().zip(counts).for_each(|(bias, count)| *bias = (count / total).ln() as f32);
    };
    popular(&mut weights[layout.bias.clone()], &counts);
    if let Some((clusters, places)) = clusters {
        popular(&mut weights[layout.cluster_bias.clone()], &clusters.sums(&counts));
        let (centres, own) = clusters.vectors(places, layout.width, FIRST_SIZE, &mut draws.stream("events.places"));
        weights[layout.centres.clone()].copy_from_slice(&centres);
        weights[layout.own.clone()][..own.len()].copy_from_slice(&own);
    }
    Decoder::new(sizes.decoder).begin(&mut weights[layout.decoder.clone()], &mut stream);
    weights
}

/// What features count at first: companions a little, own choices more, what the session has already less than nothing.
const FIRST_GATES: [f32; crate::layout::GATES] =
    [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.5, 0.5, -1.0, 0.5, 0.5, 0.8];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::Items;
    use crate::learn::Care;
    use crate::pass::{Losses, Network, Window, pass};
    use twinmart_tables::{Progress, Stream};

    const ITEMS: usize = 1_000;
    const TOPICS: u32 = 40;
    const SHAPE: Shape = Shape { width: 16, heads: 2, layers: 1, hidden: 32, reach: 16 };

    /// Users with two of 40 topics; a session stays in one, whose first items are chosen most.
    fn shop(users: usize, purpose: &str) -> Sequences {
        let mut stream: Stream = Draws::new(9).stream(purpose);
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for _ in 0..users {
            let topics = [stream.random_range(0..TOPICS), stream.random_range(0..TOPICS)];
            for session in 0..stream.random_range(2..6) {
                let topic = topics[stream.random_range(0..2)];
                for _ in 0..stream.random_range(2..9) {
                    let place = (25.0 * stream.random::<f64>().powi(2)) as u32;
                    sequences.item.push(place * TOPICS + topic);
                    sequences.session.push(session);
                }
            }
            sequences.offsets.push(sequences.item.len());
        }
        sequences.time = (0..sequences.item.len() as i64).collect();
        sequences.action = vec![0; sequences.item.len()];
        sequences
    }

    /// A model of a shop of a thousand items that chooses among `most` at once.
    fn learned(sequences: &Sequences, most: usize) -> EventModel {
        let catalogue = Catalogue::new(&(0..ITEMS as u32).map(|i| vec![i % TOPICS % 7]).collect::<Vec<_>>(), 7);
        let (draws, progress) = (Draws::new(2), Progress::silent());
        let summary = Summary::of(sequences, ITEMS, Care::default(), draws, &progress).unwrap();
        let fitting = Fitting { draws, steps: 150, care: Care::default(), deadline: None, progress };
        let profiles = Profiles::default();
        let aim = Aim { at_once: most, ..Aim::DRAWING };
        EventModel::learned(sequences, catalogue, (&summary, &profiles), SHAPE, &fitting, aim).unwrap()
    }

    /// Nats for each item of users that the model has not seen, who are strangers to it.
    fn loss(model: &EventModel, sequences: &Sequences) -> f64 {
        let layout = Layout::new(&model.sizes);
        let decoder = Decoder::new(SHAPE);
        let items = Items::new(&layout, &model.catalogue, model.clusters.as_ref(), &model.weights);
        let network =
            Network { sizes: &model.sizes, layout: &layout, decoder: &decoder, weights: &model.weights, items: &items };
        let profile = vec![vec![0; sequences.users()]];
        let taste = vec![0.0; sequences.users() * model.sizes.taste];
        let people = People { sequences, clock: None, profile: &profile, taste: &taste, strangers: false };
        let window = |user| Window { user, places: 0..sequences.of_user(user).len() + 1, asked: 0 };
        let windows: Vec<Window> = (0..sequences.users()).map(window).collect();
        let Losses { item, events, .. } = pass(&network, &people, &|_| &model.memory, &windows, None);
        item / events as f64
    }

    #[test]
    fn clusters_learn_what_all_items_at_once_do() {
        let (seen, unseen) = (shop(900, "seen"), shop(150, "unseen"));
        let (at_once, in_clusters) = (learned(&seen, ITEMS), learned(&seen, ITEMS - 1));
        assert!(at_once.clusters.is_none() && in_clusters.clusters.is_some());
        let mut counts = vec![0.5f64; ITEMS];
        seen.item.iter().for_each(|item| counts[*item as usize] += 1.0);
        let total: f64 = counts.iter().sum();
        let of_popularity = unseen.item.iter().map(|item| -(counts[*item as usize] / total).ln()).sum::<f64>();
        let of_popularity = of_popularity / unseen.events() as f64;
        let (at_once, in_clusters) = (loss(&at_once, &unseen), loss(&in_clusters, &unseen));
        println!("{of_popularity} {at_once} {in_clusters}");
        assert!(at_once < of_popularity - 1.0, "{of_popularity} {at_once}");
        assert!(in_clusters < at_once + 0.1, "{of_popularity} {at_once} {in_clusters}");
    }

    #[test]
    fn models_with_clusters_are_the_same_on_any_number_of_threads_and_after_a_file() {
        let seen = shop(300, "seen");
        let model = learned(&seen, ITEMS - 1);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (again, drawn) = one.install(|| (learned(&seen, ITEMS - 1), draws_of(&model)));
        assert!(again == model, "one thread learns another model");
        assert_eq!(drawn, draws_of(&model));
        let (structure, numbers, places) = model.parts();
        let restored = EventModel::from_parts(structure, numbers, &places).unwrap();
        assert!(restored == model);
        assert_eq!(draws_of(&restored), drawn);
    }

    fn draws_of(model: &EventModel) -> Vec<Vec<crate::draw::NewEvent>> {
        let plans: Vec<Plan> = (0..40)
            .map(|n| Plan { season: 0, size: Some((2, 6 + n % 5)), group: n % model.groups(), profile: Vec::new() })
            .collect();
        let family = Draws::new(4).family("drawn", "");
        let mut streams: Vec<Stream> = (0..plans.len()).map(|n| family.row(n as u64)).collect();
        let drawn = model.draw(&plans, &mut streams);
        assert!(drawn.iter().flatten().all(|event| (event.item as usize) < ITEMS));
        drawn
    }

    #[test]
    fn clusters_that_are_no_partition_are_refused() {
        let (structure, numbers, places) = learned(&shop(100, "seen"), ITEMS - 1).parts();
        type Change = fn(&mut Structure);
        let changes: [Change; 7] = [
            |s| s.clusters[3] = u32::MAX,
            |s| s.clusters[3] = s.sizes.clusters as u32,
            |s| s.clusters.iter_mut().for_each(|c| *c = 0),
            |s| s.clusters.truncate(ITEMS - 1),
            |s| s.clusters.clear(),
            |s| s.sizes.clusters = 0,
            |s| s.sizes.clusters = usize::MAX,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut structure = structure.clone();
            change(&mut structure);
            assert!(EventModel::from_parts(structure, numbers.clone(), &places).is_none(), "change {number}");
        }
        assert!(EventModel::from_parts(structure, numbers, &places).is_some());
    }
}
