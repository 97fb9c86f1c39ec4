//! Short histories extended: what came before a user's first event, by an event model that reads histories backwards (reverse
//! pseudo-prefixes: Liu, Fan, Wang & Yu, "Augmenting sequential recommendation with pseudo-prior items via reversely
//! pre-training Transformer", SIGIR 2021).
//!
//! ```text
//! training histories ─► reversed ─► event model of strangers
//! copied history ─► reversed ─► goes on until it has enough events ─► reversed: earlier events, before those that were copied
//! ```
//!
//! Other columns of the earlier events are drawn as in `autoregressive`, given what is usual of the training user.

use crate::behaviour::Layout;
use crate::container::{Entries, not_a_model};
use crate::crossover::Copied;
use crate::details::Details;
use crate::independent::{from_json, to_json};
use crate::learned::shape_of;
use crate::learned_events::{Actions, DrawnEvents, LearnedEvents, sequences_of};
use crate::manifest::Manifest;
use crate::marks::catalogue_of;
use crate::predict::FARTHEST;
use crate::sessions::Sessions;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Int64Type, SchemaRef};
use std::time::{Duration, Instant};
use twinmart_events::{Care, EventModel, Fitting, NewEvent, Reversal, Sequences};
use twinmart_tables::{Draws, Progress, Result, Shop, Stream, Table};

const EXTENSION: &str = "behaviour/extension.json";

/// What extends short histories.
#[derive(Debug, Clone)]
pub(crate) struct Extension {
    /// Events that a history is to have, at least.
    events: usize,
    reversal: Reversal,
    /// Of histories read backwards.
    pub(crate) learned: LearnedEvents,
    /// `[details][training users]` what is usual of each.
    usual: Vec<Int64Array>,
    /// `[training events]` what was done, in the order of [`Sessions`].
    action: Vec<u32>,
}

/// What a model file holds of it beside what was learned of events: `[details][training users]`.
type Usual = Vec<Vec<Option<i64>>>;

/// Earlier events of some users.
pub(crate) struct Earlier {
    pub(crate) drawn: DrawnEvents,
    /// `[users]` sessions that lie before those that were copied.
    pub(crate) sessions: Vec<u64>,
}

impl Extension {
    /// Learns what came before the events of a shop's users.
    pub(crate) fn fit(
        shop: &Shop,
        sessions: &Sessions,
        manifest: &Manifest,
        layout: Layout,
        progress: &Progress,
    ) -> Result<Extension> {
        let (began, regained) = (Instant::now(), progress.regained());
        let (_, items, events) = shop.behaviour()?;
        let actions = Actions::of(events, sessions, manifest, layout)?;
        let sequences = sequences_of(sessions, events, actions.as_ref())?;
        let action = actions.as_ref().map(|a| a.column);
        let details = Details::fit(events, sessions, &sequences, items.rows(), manifest, (layout, action), progress)?;
        let (details, usual) = details.map_or((None, Vec::new()), |(details, usual)| (Some(details), usual));
        let reversal = Reversal::of(&sequences);
        // Row models that come from checkpoints took their time before.
        let before = progress.regained().saturating_sub(regained);
        let minutes = Duration::from_secs_f64(manifest.settings.max_minutes * 60.0).saturating_sub(before);
        let fitting = Fitting {
            draws: Draws::new(manifest.seed),
            care: Care::default(),
            steps: manifest.settings.steps,
            deadline: Some(began + minutes),
            progress: progress.of_table(&events.name),
        };
        let shape = shape_of(manifest.settings.preset);
        let backwards = reversal.sequences(&sequences);
        let histories = EventModel::fit_to_predict(&backwards, catalogue_of(items)?, shape, &fitting)?;
        let learned = LearnedEvents { histories, details, actions };
        learned.warn_if_unfinished(manifest, &events.name, progress);
        let usual = usual.iter().map(|column| column.as_primitive::<Int64Type>().clone()).collect();
        Ok(Extension { events: manifest.settings.extend, reversal, learned, usual, action: sequences.action })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, layout: Layout, entries: &mut Entries) -> Result<()> {
        let usual: Usual = self.usual.iter().map(|column| column.iter().collect()).collect();
        entries.put(EXTENSION.into(), to_json(&usual)?);
        self.learned.store(layout, entries)
    }

    /// Reads what [`Extension::store`] wrote.
    pub(crate) fn load(
        manifest: &Manifest,
        layout: Layout,
        schemas: &[SchemaRef],
        (sessions, events): (&Sessions, &Table),
        entries: &mut Entries,
    ) -> Result<Extension> {
        let usual: Usual = from_json(&entries.take(EXTENSION)?)?;
        let learned = LearnedEvents::load(manifest, layout, schemas, entries)?;
        let columns = learned.details.as_ref().map_or(0, Details::usual);
        if usual.len() != columns || usual.iter().any(|column| column.len() != sessions.users()) {
            return Err(not_a_model("what is usual of users does not fit its users"));
        }
        let sequences = sequences_of(sessions, events, learned.actions.as_ref())?;
        let histories = &learned.histories;
        let fits = sequences.has_clock == histories.has_clock()
            && sequences.item.iter().all(|item| (*item as usize) < histories.items())
            && sequences.action.iter().all(|action| (*action as usize) < histories.actions())
            && sequences.time.iter().all(|time| (-FARTHEST..=FARTHEST).contains(time));
        if !fits {
            return Err(not_a_model("what was learned of histories is not of its events"));
        }
        let reversal = Reversal::of(&sequences);
        let usual = usual.into_iter().map(Int64Array::from).collect();
        Ok(Extension { events: manifest.settings.extend, reversal, learned, usual, action: sequences.action })
    }

    /// What came before the copied events of some users; `rows` are the training users they come from.
    pub(crate) fn draw(
        &self,
        sessions: &Sessions,
        copied: &[Vec<Copied>],
        rows: &[u64],
        streams: &mut [Stream],
    ) -> Result<Earlier> {
        let backwards = self.reversal.sequences(&self.sequences(sessions, copied));
        let before = self.learned.histories.extend(&backwards, self.events, streams);
        let mut earlier =
            Earlier { drawn: DrawnEvents { events: Vec::new(), usual: Vec::new() }, sessions: Vec::new() };
        for (user, before) in before.into_iter().enumerate() {
            let known = backwards.sessions(user) as u32;
            let all = before.last().map_or(known, |event| event.session + 1);
            // An order has no room before a user's first event: what came before it stands beside it.
            let first = copied[user].first().map_or(0, |event| sessions.time[event.moment]);
            let time = |time: i64| if backwards.has_clock { self.reversal.time(time) } else { first };
            let forwards =
                |event: NewEvent| NewEvent { time: time(event.time), session: all - 1 - event.session, ..event };
            earlier.drawn.events.push(before.into_iter().rev().map(forwards).collect());
            earlier.sessions.push(u64::from(all - known));
        }
        let rows = UInt64Array::from_iter_values(rows.iter().copied());
        for column in &self.usual {
            let usual: ArrayRef = take(column, &rows, None)?;
            earlier.drawn.usual.push(usual.as_primitive::<Int64Type>().clone());
        }
        Ok(earlier)
    }

    /// The histories that are to be extended, in the order that the model learned: session after session. All others are empty.
    fn sequences(&self, sessions: &Sessions, copied: &[Vec<Copied>]) -> Sequences {
        let mut sequences =
            Sequences { offsets: vec![0], has_clock: self.learned.histories.has_clock(), ..Sequences::default() };
        for events in copied {
            let mut short = if events.len() < self.events { events.clone() } else { Vec::new() };
            short.sort_by_key(|event| event.session);
            for event in short {
                sequences.item.push(sessions.item[event.event]);
                sequences.time.push(sessions.time[event.moment]);
                sequences.session.push(event.session as u32);
                sequences.action.push(self.action[event.event]);
            }
            sequences.offsets.push(sequences.item.len());
        }
        sequences
    }
}
