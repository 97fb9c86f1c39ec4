//! The event model as a recommender: the score of an item is its odds to come next, by the model that also makes twins.
//!
//! `score_i = (1 − w) · p(i | the session goes on) + w · p(i | a new session begins)`
//!
//! Everybody is a stranger to it, as people are who were never in training. What a score is made of: popularity in the season,
//! companions of the history's items, the person's own past, and what the network reads in the history as a whole.

use crate::container::{Parts, Values, not_a_model};
use crate::recommender::{Contribution, Recommender, Source, UserHistory};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use twinmart_events::{Care, Catalogue, EventModel, Fitting, Predictor, Ranking, Sequences, Shape, Structure};
use twinmart_tables::{Draws, Error, Histories, Progress, Result, TimeScale};

/// Settings of the event model as a recommender.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EventModelSettings {
    /// Numbers of a state of the network.
    pub width: usize,
    /// Its layers.
    pub layers: usize,
    /// Events that one layer looks back.
    pub reach: usize,
    /// Steps of learning; 0 = until the likelihood of held-out users stops improving.
    pub steps: u64,
    /// w: weight of the next session beside the present one; none leaves it to the model.
    pub new_session: Option<f64>,
    /// How many of the likeliest moments of the next event count, of each of the two.
    pub moments: usize,
}

impl Default for EventModelSettings {
    fn default() -> EventModelSettings {
        EventModelSettings { width: 128, layers: 2, reach: 64, steps: 0, new_session: Some(0.5), moments: 1 }
    }
}

/// The fitted recommender.
#[derive(Debug, Clone)]
pub struct EventRecommender {
    settings: EventModelSettings,
    predictor: Predictor<'static>,
    /// True where no session of the training users had a second event.
    single_events: bool,
}

impl EventRecommender {
    /// Learns what training users did.
    ///
    /// # Errors
    /// A data error where there are no events; [`Error::Interrupted`] once the user asked to stop.
    pub fn fit(
        train: &Histories,
        settings: &EventModelSettings,
        seed: u64,
        progress: &Progress,
    ) -> Result<EventRecommender> {
        if train.event_count() == 0 {
            return Err(Error::data("there are no events to learn from").remedy("use another split").into());
        }
        let heads = (settings.width / 32).max(1);
        let hidden = 2 * settings.width;
        let shape = Shape { width: settings.width, heads, layers: settings.layers, hidden, reach: settings.reach };
        if !shape.is_sound() {
            return Err(Error::usage("no network has these settings").value(format!("{settings:?}")).into());
        }
        let catalogue = Catalogue::new(&vec![Vec::new(); train.item_count()], 0);
        let (draws, progress) = (Draws::new(seed), progress.clone());
        let fitting = Fitting { draws, steps: settings.steps, care: Care::default(), deadline: None, progress };
        let sequences = sequences_of(train);
        let is_single = |user: usize| sequences.sessions(user) == sequences.of_user(user).len();
        let single_events = (0..sequences.users()).all(is_single);
        let model = EventModel::fit_to_predict(&sequences, catalogue, shape, &fitting)?;
        Ok(EventRecommender { settings: *settings, predictor: Predictor::new(Cow::Owned(model)), single_events })
    }

    /// Reads what [`Recommender::save`] wrote.
    pub fn load(settings: &EventModelSettings, parts: &mut Parts<'static>, items: usize) -> Result<EventRecommender> {
        let structure = parts.text("structure")?.concat();
        let structure: Structure = serde_json::from_str(&structure)
            .map_err(|error| not_a_model(&format!("the structure of the event model: {error}")))?;
        let (numbers, places) = (parts.f32("numbers")?, parts.u32("places")?);
        let model = EventModel::from_parts(structure, numbers, &places)
            .filter(|model| model.items() == items)
            .ok_or_else(|| not_a_model("the event model contradicts itself"))?;
        let single_events = parts.u32("single_events")? == [1];
        Ok(EventRecommender { settings: *settings, predictor: Predictor::new(Cow::Owned(model)), single_events })
    }

    fn ranking(&self) -> Ranking {
        Ranking { new_session: self.settings.new_session, ways: self.settings.moments }
    }

    /// A history as the model knows them. Where the model has a clock and the history has none, it is a session of now.
    fn past(&self, history: &UserHistory<'_>) -> Sequences {
        let events = history.items.len();
        let has_clock = self.predictor.model().has_clock();
        if has_clock && history.scale == TimeScale::Order {
            return self.predictor.undated(history.items.to_vec(), vec![0; events]);
        }
        let mut session = consecutive(history.sessions);
        if self.single_events {
            session = (0..events as u32).collect();
        }
        let (item, time) = (history.items.to_vec(), history.times.to_vec());
        Sequences { offsets: vec![0, events], item, time, session, action: vec![0; events], has_clock }
    }
}

/// Histories as sequences; nothing is known of actions.
fn sequences_of(train: &Histories) -> Sequences {
    let sessions = (0..train.user_count()).flat_map(|user| consecutive(&train.session[train.range(user)]));
    Sequences {
        offsets: train.offsets.clone(),
        item: train.item.clone(),
        time: train.time.clone(),
        session: sessions.collect(),
        action: vec![0; train.event_count()],
        has_clock: train.scale == TimeScale::Microseconds,
    }
}

/// Session numbers of one user without gaps, from 0.
fn consecutive(sessions: &[u32]) -> Vec<u32> {
    let mut number = 0;
    let of = |event: usize| {
        number += u32::from(event > 0 && sessions[event] != sessions[event - 1]);
        number
    };
    (0..sessions.len()).map(of).collect()
}

impl Recommender for EventRecommender {
    fn score(&self, history: &UserHistory<'_>, scores: &mut [f32]) {
        scores.copy_from_slice(&self.predictor.scores(&self.past(history), 0, &[], self.ranking()));
    }

    fn explain(&self, history: &UserHistory<'_>, item: u32) -> Vec<Contribution> {
        let reasons = self.predictor.reasons(&self.past(history), 0, &[], self.ranking(), item);
        let common = [(Source::Popularity, reasons.popularity), (Source::History, reasons.whole)];
        let own = reasons.of_items.into_iter().map(|(item, amount)| (Source::PastItem(item), amount));
        let all = own.chain(common).filter(|(_, amount)| *amount != 0.0);
        all.map(|(source, amount)| Contribution { source, amount }).collect()
    }

    fn save<'a>(&'a self, parts: &mut Parts<'a>) {
        let (structure, numbers, places) = self.predictor.model().parts();
        // A structure is plain data: its text form cannot fail.
        let structure = serde_json::to_string(&structure).unwrap_or_default();
        parts.push("structure", Values::Text(vec![structure].into()));
        parts.push("numbers", Values::F32(numbers.into()));
        parts.push("places", Values::U32(places.into()));
        parts.push("single_events", Values::U32(vec![u32::from(self.single_events)].into()));
    }
}
