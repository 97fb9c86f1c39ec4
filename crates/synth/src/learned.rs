//! `autoregressive` for users and events: histories by the event model, everything around them by row models.
//!
//! ```text
//! users' columns + short forms of their histories ─► row model   ─► attributes and plan of a new user
//! histories                                       ─► event model ─► items, times, sessions, actions of a plan
//! other columns of events, given item and user    ─► row model   ─► the rest of each event
//! ```
//!
//! No part holds a training row: see [`Autoregressive`] and [`EventModel`].

use crate::autoregressive::{Autoregressive, Effort};
use crate::behaviour::Layout;
use crate::container::{Entries, not_a_model};
use crate::density::{from_bytes, to_bytes};
use crate::details::Details;
use crate::independent::{from_json, to_json};
use crate::manifest::{ColumnSpec, Manifest, TableSpec};
use crate::marks::catalogue_of;
use crate::plans::{PLAN, Plans};
use crate::sessions::Sessions;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinmart_events::{Care, EventModel, Fitting, NewEvent, Plan, Profiles, Sequences, Shape, Summary};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Preset, Progress, Result, Shop, Stream, Table, TimeScale};

const HISTORIES: &str = "behaviour/histories.json";
const NUMBERS: &str = "behaviour/histories.f32";
const PLACES: &str = "behaviour/companions.u32";
const ACTIONS: &str = "behaviour/actions.json";
const PLANS: &str = "behaviour/plans.json";
/// Names under which shops say what was done, where the column is a category.
const ACTION_NAMES: [&str; 8] =
    ["action", "action_type", "event", "event_name", "event_type", "behavior", "behaviour", "behavior_type"];
/// Different actions, at most.
const MOST_ACTIONS: usize = 64;
/// A user's attribute with more values than this says nothing to the event model.
const MOST_CODES: usize = 512;

/// A learned model of users and events.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub(crate) users: Autoregressive,
    /// The users' columns and those of their plans.
    pub(crate) schema: SchemaRef,
    plans: Plans,
    histories: EventModel,
    details: Option<Details>,
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

/// Everything of an event that the event model and the row model of details say.
pub(crate) struct Drawn {
    /// Attributes of the users, column by column.
    pub(crate) users: Vec<ArrayRef>,
    /// `[users]` their events.
    pub(crate) events: Vec<Vec<NewEvent>>,
    /// `[details][users]` what is usual of each user.
    pub(crate) usual: Vec<Int64Array>,
}

impl Learned {
    /// Learns users and events of a shop. `progress` tells of it and interrupts it.
    pub(crate) fn fit(
        shop: &Shop,
        sessions: &Sessions,
        manifest: &Manifest,
        layout: Layout,
        progress: &Progress,
    ) -> Result<Learned> {
        let (began, regained) = (Instant::now(), progress.regained());
        let (users, items, events) = shop.behaviour()?;
        let actions = Actions::of(events, sessions, manifest, layout)?;
        let sequences = sequences_of(sessions, events, actions.as_ref())?;
        let draws = Draws::new(manifest.seed);
        let care = Care::default();
        let summary = Summary::of(&sequences, items.rows(), care, draws, progress)?;
        let action = actions.as_ref().map(|a| a.column);
        let learned = Details::fit(events, sessions, &sequences, items.rows(), manifest, (layout, action), progress)?;
        let (details, usual) = learned.map_or((None, Vec::new()), |(details, usual)| (Some(details), usual));

        let columns: Vec<ArrayRef> = Plans::columns(&summary).into_iter().chain(usual).collect();
        let (spec, schema) = users_spec(&manifest.tables[layout.users], &users.schema, details.as_ref());
        let rows = concat_batches(&users.schema, &users.batches)?;
        let rows = RecordBatch::try_new(schema.clone(), rows.columns().iter().cloned().chain(columns).collect())?;
        let people: Vec<u64> = (0..rows.num_rows() as u64).collect();
        let model = Autoregressive::fit(&rows, &people, &spec, manifest, Effort::beside_histories(manifest), progress)?;
        let own = manifest.tables[layout.users].columns.len();
        let profiles = profiles(&model, &model.encode(rows.columns())?, own);

        // Row models that come from checkpoints took their time before.
        let before = progress.regained().saturating_sub(regained);
        // The rest is for what follows the learning.
        let minutes = Duration::from_secs_f64(0.85 * manifest.settings.max_minutes * 60.0).saturating_sub(before);
        let fitting = Fitting {
            draws,
            care,
            steps: manifest.settings.steps,
            deadline: Some(began + minutes),
            progress: progress.of_table(&events.name),
        };
        let catalogue = catalogue_of(items)?;
        let shape = shape_of(manifest.settings.preset);
        let histories = EventModel::fit(&sequences, catalogue, &summary, &profiles, shape, &fitting)?;
        if histories.is_unfinished() && manifest.settings.steps == 0 {
            progress.warn(&format!(
                "{}: learning was stopped by max_minutes = {} after {steps} steps; --steps {steps} repeats this model exactly",
                events.name,
                manifest.settings.max_minutes,
                steps = histories.steps()
            ));
        }
        Ok(Learned { users: model, schema, plans: Plans::of(&summary), histories, details, actions })
    }

    /// The model of what users do.
    pub(crate) fn histories(&self) -> &EventModel {
        &self.histories
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, layout: Layout, entries: &mut Entries) -> Result<()> {
        self.users.store(&format!("tables/{}", layout.users), entries)?;
        if let Some(details) = &self.details {
            details.store(&format!("tables/{}", layout.events), entries)?;
        }
        let (structure, numbers, places) = self.histories.parts();
        entries.put(PLANS.into(), to_json(&self.plans)?);
        entries.put(HISTORIES.into(), to_json(&structure)?);
        entries.put(NUMBERS.into(), to_bytes(&numbers));
        entries.put(PLACES.into(), places.iter().flat_map(|place| place.to_le_bytes()).collect());
        entries.put(ACTIONS.into(), to_json(&self.actions)?);
        Ok(())
    }

    /// Reads what [`Learned::store`] wrote.
    pub(crate) fn load(
        manifest: &Manifest,
        layout: Layout,
        schemas: &[SchemaRef],
        entries: &mut Entries,
    ) -> Result<Learned> {
        let actions: Option<Actions> = from_json(&entries.take(ACTIONS)?)?;
        if let Some(actions) = &actions {
            let columns = &manifest.tables[layout.events].columns;
            let known = actions.column < columns.len() && layout.is_detail(actions.column, manifest);
            if !known || actions.values.is_empty() {
                return Err(not_a_model("its actions do not fit its events"));
            }
        }
        let plans: Plans = from_json(&entries.take(PLANS)?)?;
        if !plans.is_sound() {
            return Err(not_a_model("its plans of histories contradict themselves"));
        }
        let structure = from_json(&entries.take(HISTORIES)?)?;
        let numbers = from_bytes(&entries.take(NUMBERS)?);
        let places: Vec<u32> =
            entries.take(PLACES)?.as_chunks::<4>().0.iter().map(|place| u32::from_le_bytes(*place)).collect();
        let histories = EventModel::from_parts(structure, numbers, &places)
            .filter(|m| m.items() as u64 == manifest.tables[layout.items].rows)
            .filter(|m| m.actions() <= actions.as_ref().map_or(1, |a| a.values.len()))
            .ok_or_else(|| not_a_model("what was learned of histories contradicts itself"))?;
        let action = actions.as_ref().map(|a| a.column);
        let details = Details::load(manifest, layout, action, &schemas[layout.events], histories.items(), entries)?;
        let (spec, schema) = users_spec(&manifest.tables[layout.users], &schemas[layout.users], details.as_ref());
        let users = Autoregressive::load(&format!("tables/{}", layout.users), entries, &spec, manifest)?;
        let sizes = fields(&users, manifest.tables[layout.users].columns.len());
        if sizes.iter().map(|f| f.1).ne(histories.profile_sizes().iter().copied()) {
            return Err(not_a_model("what was learned of histories does not fit the users"));
        }
        Ok(Learned { users, schema, plans, histories, details, actions })
    }

    /// New users with their events, one for each stream.
    pub(crate) fn draw(&self, streams: &mut [Stream]) -> Result<Drawn> {
        let codes = self.users.draw_codes(streams);
        let mut columns = self.users.decode(&codes, streams, &self.schema)?;
        let own = columns.len() - PLAN.len() - self.details.as_ref().map_or(0, Details::usual);
        let plan: Vec<Int64Array> = columns.split_off(own).iter().map(whole).collect();
        let fields = fields(&self.users, own);
        let plans: Vec<Plan> = streams
            .iter_mut()
            .enumerate()
            .map(|(user, stream)| {
                let profile = fields.iter().map(|(sub, _)| Some(codes[*sub][user] as usize)).collect();
                Plan { profile, ..self.plans.plan(&plan, user, stream) }
            })
            .collect();
        let events = self.histories.draw(&plans, streams);
        Ok(Drawn { users: columns, events, usual: plan[PLAN.len()..].to_vec() })
    }

    /// The columns of drawn events that are neither keys nor times, and nulls for those.
    pub(crate) fn event_columns(
        &self,
        drawn: &Drawn,
        schema: &SchemaRef,
        streams: &mut [Stream],
    ) -> Result<Vec<ArrayRef>> {
        let events = drawn.events.iter().map(Vec::len).sum();
        let mut columns: Vec<ArrayRef> =
            schema.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), events)).collect();
        if let Some(details) = &self.details {
            for (column, values) in details.draw(drawn, streams)? {
                columns[column] = values;
            }
        }
        if let Some(actions) = &self.actions {
            let names: StringArray = actions.values.iter().map(|v| v.as_deref()).collect();
            let chosen = arrow::array::UInt32Array::from_iter_values(drawn.events.iter().flatten().map(|e| e.action));
            columns[actions.column] = cast(&take(&names, &chosen, None)?, schema.field(actions.column).data_type())?;
        }
        Ok(columns)
    }
}

/// The size of the event model.
fn shape_of(preset: Preset) -> Shape {
    match preset {
        Preset::Small => Shape { width: 128, heads: 4, layers: 2, hidden: 256, reach: 64 },
        Preset::Base => Shape { width: 192, heads: 6, layers: 3, hidden: 512, reach: 64 },
        Preset::Large => Shape { width: 320, heads: 8, layers: 4, hidden: 896, reach: 128 },
    }
}

/// Whole numbers in `i64`.
fn whole(column: &ArrayRef) -> Int64Array {
    column.as_primitive::<Int64Type>().clone()
}

fn users_spec(users: &TableSpec, schema: &SchemaRef, details: Option<&Details>) -> (TableSpec, SchemaRef) {
    let usual = details.map_or(Vec::new(), Details::usual_kinds);
    let plan = PLAN.iter().map(|(name, kind)| (name.to_string(), *kind)).chain(usual);
    widen(users, schema, &plan.collect::<Vec<_>>())
}

/// A table with further columns of whole numbers; their names are changed where the table has them already.
pub(crate) fn widen(spec: &TableSpec, schema: &SchemaRef, further: &[(String, ColumnKind)]) -> (TableSpec, SchemaRef) {
    let mut spec = spec.clone();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    for (name, kind) in further {
        let mut name = format!("history: {name}");
        while spec.columns.iter().any(|c| c.name == name) || spec.definition.references.contains_key(&name) {
            name.push('\'');
        }
        fields.push(Arc::new(Field::new(&name, DataType::Int64, true)));
        spec.columns.push(ColumnSpec { name, data_type: DataType::Int64.to_string(), nullable: true, kind: *kind });
    }
    (spec, Arc::new(Schema::new(fields)))
}

/// Sub-columns of the users' own columns that the event model is told, and how many codes they have.
pub(crate) fn fields(model: &Autoregressive, own: usize) -> Vec<(usize, usize)> {
    let subs = model.sub_columns().into_iter().enumerate();
    let told = |sub: &(usize, twinmart_encode::codes::SubColumn)| {
        sub.1.level == 0 && sub.1.column < own && (2..=MOST_CODES).contains(&sub.1.cardinality())
    };
    subs.filter(told).map(|(position, sub)| (position, sub.cardinality())).collect()
}

fn profiles(model: &Autoregressive, codes: &twinmart_encode::codes::Codes, own: usize) -> Profiles {
    let fields = fields(model, own);
    Profiles {
        fields: fields.iter().map(|(sub, _)| codes.values[*sub].clone()).collect(),
        sizes: fields.iter().map(|f| f.1).collect(),
    }
}

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
    fn of(events: &Table, sessions: &Sessions, manifest: &Manifest, layout: Layout) -> Result<Option<Actions>> {
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
