//! What is learned of events, whoever has them: which items, when, in which sessions, what was done, and the other columns.

use crate::behaviour::Layout;
use crate::container::{Entries, not_a_model};
use crate::density::{from_bytes, to_bytes, words_from_bytes, words_to_bytes};
use crate::details::Details;
use crate::independent::{from_json, to_json};
use crate::manifest::Manifest;
use crate::sessions::Sessions;
use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::compute::{cast, take};
use arrow::datatypes::SchemaRef;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use twinmart_events::{EventModel, NewEvent, Sequences};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Progress, Result, Stream, Table, TimeScale};

const HISTORIES: &str = "behaviour/histories.json";
const NUMBERS: &str = "behaviour/histories.f32";
const PLACES: &str = "behaviour/companions.u32";
const ACTIONS: &str = "behaviour/actions.json";
/// Names under which shops say what was done, where the column is a category.
const ACTION_NAMES: [&str; 8] =
    ["action", "action_type", "event", "event_name", "event_type", "behavior", "behaviour", "behavior_type"];
/// Different actions, at most.
const MOST_ACTIONS: usize = 64;

/// A learned model of events.
#[derive(Debug, Clone)]
pub(crate) struct LearnedEvents {
    pub(crate) histories: EventModel,
    pub(crate) details: Option<Details>,
    pub(crate) actions: Option<Actions>,
}

/// The column that says what was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Actions {
    /// Position in the events table.
    pub(crate) column: usize,
    /// What each action is called; `None` for a missing value.
    pub(crate) values: Vec<Option<String>>,
}

/// Events of some users, and what else is known of these.
pub(crate) struct DrawnEvents {
    /// `[users]` their events.
    pub(crate) events: Vec<Vec<NewEvent>>,
    /// `[details][users]` what is usual of each user.
    pub(crate) usual: Vec<Int64Array>,
}

impl LearnedEvents {
    /// Adds what a model file must hold.
    pub(crate) fn store(&self, layout: Layout, entries: &mut Entries) -> Result<()> {
        if let Some(details) = &self.details {
            details.store(&format!("tables/{}", layout.events), entries)?;
        }
        let (structure, numbers, places) = self.histories.parts();
        entries.put(HISTORIES.into(), to_json(&structure)?);
        entries.put(NUMBERS.into(), to_bytes(&numbers));
        entries.put(PLACES.into(), words_to_bytes(&places));
        Actions::store(self.actions.as_ref(), entries)
    }

    /// Reads what [`LearnedEvents::store`] wrote.
    pub(crate) fn load(
        manifest: &Manifest,
        layout: Layout,
        schemas: &[SchemaRef],
        entries: &mut Entries,
    ) -> Result<LearnedEvents> {
        let actions = Actions::load(manifest, layout, entries)?;
        let structure = from_json(&entries.take(HISTORIES)?)?;
        let numbers = from_bytes(&entries.take(NUMBERS)?);
        let places = words_from_bytes(&entries.take(PLACES)?);
        let histories = EventModel::from_parts(structure, numbers, &places)
            .filter(|m| m.items() as u64 == manifest.tables[layout.items].rows)
            .filter(|m| m.actions() <= actions.as_ref().map_or(1, |a| a.values.len()))
            .ok_or_else(|| not_a_model("what was learned of histories contradicts itself"))?;
        let action = actions.as_ref().map(|a| a.column);
        let details = Details::load(manifest, layout, action, &schemas[layout.events], histories.items(), entries)?;
        Ok(LearnedEvents { histories, details, actions })
    }

    /// Says so where learning was cut short.
    pub(crate) fn warn_if_unfinished(&self, manifest: &Manifest, table: &str, progress: &Progress) {
        if self.histories.is_unfinished() && manifest.settings.steps == 0 {
            progress.warn(&format!(
                "{table}: learning was stopped by max_minutes = {} after {steps} steps; --steps {steps} repeats this model exactly",
                manifest.settings.max_minutes,
                steps = self.histories.steps()
            ));
        }
    }

    /// The columns of the drawn events at `places` that are neither keys nor times, and nulls for those.
    pub(crate) fn event_columns(
        &self,
        drawn: &DrawnEvents,
        places: &[usize],
        schema: &SchemaRef,
        streams: &mut [Stream],
    ) -> Result<Vec<ArrayRef>> {
        event_columns((self.details.as_ref(), self.actions.as_ref()), drawn, places, schema, streams)
    }
}

/// The columns of the drawn events at `places`, counted through all users, that are neither keys nor times, and nulls for those.
pub(crate) fn event_columns(
    (details, actions): (Option<&Details>, Option<&Actions>),
    drawn: &DrawnEvents,
    places: &[usize],
    schema: &SchemaRef,
    streams: &mut [Stream],
) -> Result<Vec<ArrayRef>> {
    let mut columns: Vec<ArrayRef> =
        schema.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), places.len())).collect();
    if let Some(details) = details {
        for (column, values) in details.draw(drawn, places, streams)? {
            columns[column] = values;
        }
    }
    if let Some(actions) = actions {
        let names: StringArray = actions.values.iter().map(|v| v.as_deref()).collect();
        let all: Vec<u32> = drawn.events.iter().flatten().map(|e| e.action).collect();
        let chosen = arrow::array::UInt32Array::from_iter_values(places.iter().map(|place| all[*place]));
        columns[actions.column] = cast(&take(&names, &chosen, None)?, schema.field(actions.column).data_type())?;
    }
    Ok(columns)
}

/// What users did, as the event model sees it.
pub(crate) fn sequences_of(sessions: &Sessions, events: &Table, actions: Option<&Actions>) -> Result<Sequences> {
    let codes = actions.map(|a| a.codes(events)).transpose()?;
    let mut sequences = Sequences {
        offsets: vec![0],
        item: sessions.item.clone(),
        time: sessions.time.clone(),
        session: Vec::with_capacity(sessions.item.len()),
        action: sessions.row.iter().map(|row| codes.as_ref().map_or(0, |c| c[*row as usize])).collect(),
        has_clock: sessions.scale == TimeScale::Microseconds,
    };
    for user in 0..sessions.users() {
        for (number, session) in sessions.of_user(user).enumerate() {
            sequences.session.extend(sessions.events(session).map(|_| number as u32));
        }
        sequences.offsets.push(sequences.session.len());
    }
    Ok(sequences)
}

impl Actions {
    /// The column of actions, where the events have one: values that too few people share count as the most frequent one.
    pub(crate) fn of(
        events: &Table,
        sessions: &Sessions,
        manifest: &Manifest,
        layout: Layout,
    ) -> Result<Option<Actions>> {
        let columns = &manifest.tables[layout.events].columns;
        let is_action = |column: &usize| {
            let spec = &columns[*column];
            layout.is_detail(*column, manifest)
                && matches!(spec.kind, ColumnKind::Category | ColumnKind::Boolean)
                && ACTION_NAMES.contains(&spec.name.to_lowercase().as_str())
        };
        let Some(column) = (0..columns.len()).find(is_action) else { return Ok(None) };
        let text = events.text(&columns[column].name)?;
        let mut counts: HashMap<Option<&str>, (usize, Vec<usize>)> = HashMap::new();
        for user in 0..sessions.users() {
            for event in sessions.events_of_user(user) {
                let row = sessions.row[event] as usize;
                let (count, people) = counts.entry(text.is_valid(row).then(|| text.value(row))).or_default();
                *count += 1;
                if people.len() < PersonThreshold::LARGEST && people.last() != Some(&user) {
                    people.push(user);
                }
            }
        }
        let number = Draws::new(manifest.seed).family("synth.threshold", "actions").row(0).next_u64();
        let threshold = PersonThreshold::draw(number);
        let mut shared: Vec<_> = counts.into_iter().filter(|(_, (_, people))| threshold.allows(people.len())).collect();
        shared.sort_by_key(|(value, (count, _))| (std::cmp::Reverse(*count), *value));
        shared.truncate(MOST_ACTIONS);
        let values: Vec<Option<String>> = shared.iter().map(|(value, _)| value.map(str::to_string)).collect();
        Ok((!values.is_empty()).then_some(Actions { column, values }))
    }

    /// Adds what a model file must hold of actions, where there are any.
    pub(crate) fn store(actions: Option<&Actions>, entries: &mut Entries) -> Result<()> {
        entries.put(ACTIONS.into(), to_json(&actions)?);
        Ok(())
    }

    /// Reads what [`Actions::store`] wrote.
    pub(crate) fn load(manifest: &Manifest, layout: Layout, entries: &mut Entries) -> Result<Option<Actions>> {
        let actions: Option<Actions> = from_json(&entries.take(ACTIONS)?)?;
        if let Some(actions) = &actions {
            let columns = &manifest.tables[layout.events].columns;
            let known = actions.column < columns.len() && layout.is_detail(actions.column, manifest);
            if !known || actions.values.is_empty() {
                return Err(not_a_model("its actions do not fit its events"));
            }
        }
        Ok(actions)
    }

    /// `[rows]` of the events table.
    fn codes(&self, events: &Table) -> Result<Vec<u32>> {
        let text = text_at(events, self.column)?;
        let known: HashMap<Option<&str>, u32> = self.values.iter().map(|v| v.as_deref()).zip(0..).collect();
        Ok((0..text.len()).map(|r| *known.get(&text.is_valid(r).then(|| text.value(r))).unwrap_or(&0)).collect())
    }
}

fn text_at(table: &Table, column: usize) -> Result<StringArray> {
    table.text(table.schema.field(column).name())
}
