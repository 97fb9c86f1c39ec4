//! The event model as a whole.

use crate::catalogue::Catalogue;
use crate::clock::{Clock, SECOND_CLASSES};
use crate::clusters::Clusters;
use crate::corrections::Corrections;
use crate::items::Items;
use crate::layout::{Layout, Sizes};
use crate::pass::Network;
use crate::recall::Memory;
use crate::rhythm::Rhythm;
use crate::steps::arrivals;
use crate::taste::Tastes;
use serde::{Deserialize, Serialize};
use twinmart_nets::decoder::Decoder;

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
    pub(crate) rhythm: Rhythm,
    pub(crate) catalogue: Catalogue,
    /// Of the items, where they are too many to choose among all at once.
    pub(crate) clusters: Option<Clusters>,
    pub(crate) tastes: Tastes,
    pub(crate) memory: Memory,
    pub(crate) weights: Vec<f32>,
    /// What drawing changes of the network's choices.
    pub(crate) corrections: Corrections,
    pub(crate) steps: u64,
    pub(crate) unfinished: bool,
}

/// All of a model that is not numbers of its network or of its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    sizes: Sizes,
    clock: Option<Clock>,
    rhythm: Rhythm,
    catalogue: Catalogue,
    /// `[items]` the cluster of each, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clusters: Vec<u32>,
    tastes: Tastes,
    corrections: Corrections,
    steps: u64,
    unfinished: bool,
}

/// Values that a field, the catalogue or the network may have in a model file: far beyond all that are learned.
const MOST_VALUES: usize = 1 << 26;

impl EventModel {
    /// The model as its structure and two lists of numbers; see [`EventModel::from_parts`].
    pub fn parts(&self) -> (Structure, Vec<f32>, Vec<u32>) {
        let structure = Structure {
            sizes: self.sizes.clone(),
            clock: self.clock.clone(),
            rhythm: self.rhythm.clone(),
            catalogue: self.catalogue.clone(),
            clusters: self.clusters.as_ref().map_or(Vec::new(), |clusters| clusters.of_items().to_vec()),
            tastes: self.tastes.clone(),
            corrections: self.corrections.clone(),
            steps: self.steps,
            unfinished: self.unfinished,
        };
        let (mut numbers, mut places) = (self.weights.clone(), Vec::new());
        self.memory.store(&mut numbers, &mut places);
        (structure, numbers, places)
    }

    /// The model that these parts are of; `None` where they contradict themselves or each other.
    pub fn from_parts(structure: Structure, mut numbers: Vec<f32>, places: &[u32]) -> Option<EventModel> {
        let Structure { sizes, clock, rhythm, catalogue, clusters, tastes, corrections, steps, unfinished } = structure;
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
            && rhythm.is_sound(sizes.arrivals)
            && corrections.is_sound()
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
        let weights = numbers;
        Some(EventModel {
            sizes,
            clock,
            rhythm,
            catalogue,
            clusters,
            tastes,
            memory,
            weights,
            corrections,
            steps,
            unfinished,
        })
    }

    /// Its network, of parts that its sizes and weights make.
    pub(crate) fn network<'a>(&'a self, layout: &'a Layout, decoder: &'a Decoder, items: &'a Items<'a>) -> Network<'a> {
        Network { sizes: &self.sizes, layout, decoder, weights: &self.weights, items, rhythm: &self.rhythm }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Plan;
    use crate::fit::Aim;
    use crate::learn::{Care, Fitting};
    use crate::pass::{Losses, People, Window, pass};
    use crate::sequences::Sequences;
    use crate::summary::Summary;
    use rand::Rng;
    use twinmart_nets::decoder::Shape;
    use twinmart_tables::{Draws, Progress, Stream};

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
        let network = model.network(&layout, &decoder, &items);
        let profile = vec![vec![0; sequences.users()]];
        let taste = vec![0.0; sequences.users() * model.sizes.taste];
        let people = People {
            sequences,
            clock: None,
            profile: &profile,
            taste: &taste,
            contributions: None,
            blur: &[],
            strangers: false,
        };
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
        assert!(at_once < of_popularity - 1.0, "{of_popularity} {at_once}");
        // Clusters need more steps: 150 bring them almost as far.
        assert!(in_clusters < at_once + 0.15, "{of_popularity} {at_once} {in_clusters}");
    }

    /// The share of events that lie in the two topics their user chose most.
    fn share_of_two_topics(users: &[Vec<u32>]) -> f64 {
        let of_user = |items: &Vec<u32>| {
            let mut counts = [0usize; TOPICS as usize];
            items.iter().for_each(|item| counts[(item % TOPICS) as usize] += 1);
            counts.sort_unstable();
            counts[TOPICS as usize - 2..].iter().sum::<usize>()
        };
        let events: usize = users.iter().map(Vec::len).sum();
        users.iter().map(of_user).sum::<usize>() as f64 / events as f64
    }

    #[test]
    fn drawn_users_keep_to_their_topics() {
        let seen = shop(900, "seen");
        let model = learned(&seen, ITEMS);
        let unsharpened = EventModel { corrections: Corrections::none(), ..model.clone() };
        let plans: Vec<Plan> = (0..300)
            .map(|n| Plan { season: 0, size: Some((3, 15)), group: n % model.groups(), profile: Vec::new() })
            .collect();
        let share = |model: &EventModel| {
            let family = Draws::new(5).family("drawn", "");
            let mut streams: Vec<Stream> = (0..plans.len()).map(|n| family.row(n as u64)).collect();
            let drawn = model.draw(&plans, &mut streams);
            share_of_two_topics(&drawn.iter().map(|events| events.iter().map(|e| e.item).collect()).collect::<Vec<_>>())
        };
        let (calibrated, as_learned) = (share(&model), share(&unsharpened));
        assert!(calibrated > as_learned + 0.02, "{calibrated} {as_learned}");
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
    fn structures_that_no_fit_makes_are_refused() {
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
