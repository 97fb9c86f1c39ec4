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
use crate::details::Details;
use crate::independent::{from_json, to_json};
use crate::learned_events::{Actions, DrawnEvents, LearnedEvents, sequences_of};
use crate::manifest::{ColumnSpec, Manifest, TableSpec};
use crate::marks::catalogue_of;
use crate::plans::{PLAN, Plans};
use crate::rules::{Beside, Rules};
use crate::sessions::Sessions;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinmart_encode::codes::{Codes, SubColumn};
use twinmart_events::{Care, EventModel, Fitting, Plan, Profiles, Sequences, Shape, Summary};
use twinmart_tables::{ColumnKind, Draws, Preset, Progress, Result, Shop, Stream};

const PLANS: &str = "behaviour/plans.json";
/// A user's attribute with more values than this says nothing to the event model.
const MOST_CODES: usize = 512;

/// A learned model of users and events.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub(crate) users: Autoregressive,
    /// The users' columns and those of their plans.
    pub(crate) schema: SchemaRef,
    plans: Plans,
    pub(crate) events: LearnedEvents,
}

/// New users and what they do.
pub(crate) struct Drawn {
    /// Attributes of the users, column by column.
    pub(crate) users: Vec<ArrayRef>,
    pub(crate) events: DrawnEvents,
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
        let (_, items, events) = shop.behaviour()?;
        let draws = Draws::new(manifest.seed);
        let care = Care::default();
        let Prepared { actions, sequences, summary, details, spec, schema, rows } =
            Prepared::of(shop, sessions, manifest, layout, care, progress)?;
        let people: Vec<u64> = (0..rows.num_rows() as u64).collect();
        let model = Autoregressive::fit(&rows, &people, &spec, manifest, Effort::beside_histories(manifest), progress)?;
        let own = manifest.tables[layout.users].columns.len();
        let profiles = profiles_of(&model.sub_columns(), &model.encode(rows.columns())?, own);

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
        let learned = LearnedEvents { histories, details, actions };
        learned.warn_if_unfinished(manifest, &events.name, progress);
        Ok(Learned { users: model, schema, plans: Plans::of(&summary), events: learned })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, layout: Layout, entries: &mut Entries) -> Result<()> {
        self.users.store(&format!("tables/{}", layout.users), entries)?;
        entries.put(PLANS.into(), to_json(&self.plans)?);
        self.events.store(layout, entries)
    }

    /// Reads what [`Learned::store`] wrote.
    pub(crate) fn load(
        manifest: &Manifest,
        layout: Layout,
        schemas: &[SchemaRef],
        entries: &mut Entries,
    ) -> Result<Learned> {
        let plans: Plans = from_json(&entries.take(PLANS)?)?;
        if !plans.is_sound() {
            return Err(not_a_model("its plans of histories contradict themselves"));
        }
        let events = LearnedEvents::load(manifest, layout, schemas, entries)?;
        let details = events.details.as_ref();
        let (spec, schema) = users_spec(&manifest.tables[layout.users], &schemas[layout.users], details);
        let users = Autoregressive::load(&format!("tables/{}", layout.users), entries, &spec, manifest)?;
        let sizes = fields(&users, manifest.tables[layout.users].columns.len());
        if sizes.iter().map(|f| f.1).ne(events.histories.profile_sizes().iter().copied()) {
            return Err(not_a_model("what was learned of histories does not fit the users"));
        }
        Ok(Learned { users, schema, plans, events })
    }

    /// New users with their events, one for each stream.
    pub(crate) fn draw(&self, rules: &Rules, streams: &mut [Stream]) -> Result<Drawn> {
        let draw = |streams: &mut [Stream]| {
            let codes = self.users.draw_codes(streams);
            Ok((self.users.decode(&codes, streams, &self.schema)?, codes))
        };
        let (columns, codes) = draw_users(rules, streams, &self.schema, draw)?;
        let told = (&codes[..], &self.users.sub_columns()[..]);
        let planned = Planned::of(columns, told, &self.plans, self.events.details.as_ref(), streams);
        let events = self.events.histories.draw(&planned.plans, streams);
        Ok(Drawn { users: planned.users, events: DrawnEvents { events, usual: planned.usual } })
    }
}

/// Users that keep their rules, as columns and as codes, by what draws both.
pub(crate) fn draw_users(
    rules: &Rules,
    streams: &mut [Stream],
    schema: &SchemaRef,
    draw: impl Fn(&mut [Stream]) -> Result<(Vec<ArrayRef>, Vec<Vec<u32>>)>,
) -> Result<(Vec<ArrayRef>, Vec<Vec<u32>>)> {
    // Codes stand behind the columns, so that rows that are drawn again have both.
    let both = |_: &[usize], streams: &mut [Stream]| {
        let (mut columns, codes) = draw(streams)?;
        columns.extend(codes.into_iter().map(|codes| Arc::new(UInt32Array::from(codes)) as ArrayRef));
        Ok(columns)
    };
    let mut columns = rules.keep(streams, schema, &Beside::Nothing, both)?;
    let codes = columns.split_off(schema.fields().len());
    Ok((columns, codes.iter().map(|codes| codes.as_primitive::<UInt32Type>().values().to_vec()).collect()))
}

/// What models of users and events are learned from: histories in short, and users' rows with the columns of their plans.
pub(crate) struct Prepared {
    pub(crate) actions: Option<Actions>,
    pub(crate) sequences: Sequences,
    pub(crate) summary: Summary,
    pub(crate) details: Option<Details>,
    /// The users' table with the columns of plans.
    pub(crate) spec: TableSpec,
    pub(crate) schema: SchemaRef,
    pub(crate) rows: RecordBatch,
}

impl Prepared {
    /// Prepares a shop; learns what is usual of the other columns of events on the way.
    pub(crate) fn of(
        shop: &Shop,
        sessions: &Sessions,
        manifest: &Manifest,
        layout: Layout,
        care: Care,
        progress: &Progress,
    ) -> Result<Prepared> {
        let (users, items, events) = shop.behaviour()?;
        let actions = Actions::of(events, sessions, manifest, layout)?;
        let sequences = sequences_of(sessions, events, actions.as_ref())?;
        let summary = Summary::of(&sequences, items.rows(), care, Draws::new(manifest.seed), progress)?;
        let action = actions.as_ref().map(|a| a.column);
        let learned = Details::fit(events, sessions, &sequences, items.rows(), manifest, (layout, action), progress)?;
        let (details, usual) = learned.map_or((None, Vec::new()), |(details, usual)| (Some(details), usual));
        let columns: Vec<ArrayRef> = Plans::columns(&summary).into_iter().chain(usual).collect();
        let (spec, schema) = users_spec(&manifest.tables[layout.users], &users.schema, details.as_ref());
        let rows = concat_batches(&users.schema, &users.batches)?;
        let rows = RecordBatch::try_new(schema.clone(), rows.columns().iter().cloned().chain(columns).collect())?;
        Ok(Prepared { actions, sequences, summary, details, spec, schema, rows })
    }
}

/// Drawn users and the plans of their histories.
pub(crate) struct Planned {
    /// The users' own columns.
    pub(crate) users: Vec<ArrayRef>,
    pub(crate) plans: Vec<Plan>,
    /// `[details][users]` what is usual of each.
    pub(crate) usual: Vec<Int64Array>,
}

impl Planned {
    /// Parts drawn `columns`, which are the users' own and those of their plans; codes `[sub_columns][users]` say what histories
    /// are told of users.
    pub(crate) fn of(
        mut columns: Vec<ArrayRef>,
        (codes, sub_columns): (&[Vec<u32>], &[SubColumn]),
        plans: &Plans,
        details: Option<&Details>,
        streams: &mut [Stream],
    ) -> Planned {
        let own = columns.len() - PLAN.len() - details.map_or(0, Details::usual);
        let plan: Vec<Int64Array> = columns.split_off(own).iter().map(whole).collect();
        let fields = fields_of(sub_columns, own);
        let of_user = |(user, stream): (usize, &mut Stream)| {
            let profile = fields.iter().map(|(sub, _)| Some(codes[*sub][user] as usize)).collect();
            Plan { profile, ..plans.plan(&plan, user, stream) }
        };
        let plans = streams.iter_mut().enumerate().map(of_user).collect();
        Planned { users: columns, plans, usual: plan[PLAN.len()..].to_vec() }
    }
}

/// The size of the event model.
pub(crate) fn shape_of(preset: Preset) -> Shape {
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

pub(crate) fn users_spec(users: &TableSpec, schema: &SchemaRef, details: Option<&Details>) -> (TableSpec, SchemaRef) {
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
    fields_of(&model.sub_columns(), own)
}

/// As [`fields`], of the sub-columns of a model.
pub(crate) fn fields_of(sub_columns: &[SubColumn], own: usize) -> Vec<(usize, usize)> {
    let told = |sub: &(usize, &SubColumn)| {
        sub.1.level == 0 && sub.1.column < own && (2..=MOST_CODES).contains(&sub.1.cardinality())
    };
    sub_columns.iter().enumerate().filter(told).map(|(position, sub)| (position, sub.cardinality())).collect()
}

/// What models of histories are told of users, from the codes of their columns.
pub(crate) fn profiles_of(sub_columns: &[SubColumn], codes: &Codes, own: usize) -> Profiles {
    let fields = fields_of(sub_columns, own);
    Profiles {
        fields: fields.iter().map(|(sub, _)| codes.values[*sub].clone()).collect(),
        sizes: fields.iter().map(|f| f.1).collect(),
    }
}
