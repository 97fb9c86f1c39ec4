//! What comes next for somebody: the event model that makes twins is asked for its odds, and answers by names.
//!
//! ```text
//! events of one person ─► a shop of one user ─► sessions ─► event model ─► odds ─► names of items and actions
//! ```
//!
//! The history is cut into sessions by the rules of a fit, so what was learned and what is asked mean the same.

use crate::behaviour::{Behaviour, Layout};
use crate::learned::{Learned, fields};
use crate::learned_events::sequences_of;
use crate::manifest::TableSpec;
use crate::model::{Contents, Part, table_of};
use crate::sessions::Sessions;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use twinmart_density::UNKNOWN;
use twinmart_events::{Next, Predictor, Sequences};
use twinmart_tables::{ColumnKind, Error, Method, Progress, Project, Result, Shop, Table};

/// Names that a message proposes.
const PROPOSED: usize = 3;
/// Values that a message lists, at most.
const LISTED: usize = 20;
/// Moments are at most so many microseconds from 1970, so that no difference overflows: 36,000 years.
pub(crate) const FARTHEST: i64 = 1 << 60;

/// What is known of somebody beside the history.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Nothing.
    Nothing,
    /// A row of the users table, in any columns of it.
    Row(&'a RecordBatch),
    /// Columns of the users table and their values as text.
    Values(&'a [(String, String)]),
}

/// What comes next in a history. Odds are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Events of the history.
    pub events: usize,
    /// Sessions of the history.
    pub sessions: usize,
    /// The last event's moment; `None` where the model or the history has none.
    pub last: Option<String>,
    /// Odds that the session goes on. With `new_session` and `ends` they sum to 1.
    pub session_goes_on: f64,
    /// Odds that a new session begins, however late.
    pub new_session: f64,
    /// Odds that nothing follows.
    pub ends: f64,
    /// Time to the next event, given that there is one; `None` without moments.
    pub time: Option<TimeSpan>,
    /// Time to the next session, given that one comes next.
    pub time_to_new_session: Option<TimeSpan>,
    /// `[24]` odds of the hour of the next event, given that there is one.
    pub hours: Option<Vec<f64>>,
    /// Odds of what is done, given that there is a next event, the likeliest first; empty where the data name no actions.
    pub actions: Vec<ActionOdds>,
    /// The likeliest next items, given that there is a next event.
    pub items: Vec<ItemOdds>,
    /// The odds of items are a mean over ways to the next event (its moment and action); these are this share of all ways.
    pub items_cover: f64,
}

/// A distribution of times in short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimeSpan {
    /// Half of all times are shorter.
    pub median_seconds: f64,
    /// A tenth of all times is shorter.
    pub low_seconds: f64,
    /// A tenth of all times is longer.
    pub high_seconds: f64,
}

/// How likely an action is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionOdds {
    /// Its name; `None` for a missing one.
    pub action: Option<String>,
    /// Its odds.
    pub odds: f64,
}

/// How likely an item is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemOdds {
    /// Its key in the catalogue.
    pub item: String,
    /// Its odds, given that there is a next event.
    pub odds: f64,
    /// Its odds, given that the session goes on.
    pub odds_in_session: f64,
    /// Its odds, given that a new session begins.
    pub odds_in_new_session: f64,
}

/// See [`Model::predict`](crate::Model::predict).
pub(crate) fn predict(
    contents: &Contents,
    history: &RecordBatch,
    known: Known,
    k: usize,
    progress: &Progress,
) -> Result<Prediction> {
    let learned = learned(contents)?;
    let layout = Layout::of(&contents.manifest)?;
    let keys = item_keys(contents, layout)?;
    let past = Past::of(contents, layout, history, &keys, learned, progress)?;
    let profile = profile_of(contents, layout, learned, known)?;
    let predictor = Predictor::new(Cow::Borrowed(&learned.events.histories));
    let sequences = match past.sequences {
        Some(sequences) => sequences,
        None => predictor.undated(past.items, past.actions),
    };
    let next = predictor.next(&sequences, 0, &profile);
    let last = sequences.time.last().filter(|_| sequences.has_clock && past.has_times);
    Ok(Prediction {
        events: sequences.events(),
        sessions: sequences.sessions(0),
        last: last.map(|time| moment_text(*time)).transpose()?,
        session_goes_on: next.goes_on,
        new_session: next.new_session,
        ends: next.ends,
        time: time_span(&next, false),
        time_to_new_session: time_span(&next, true),
        actions: actions_of(learned, &next),
        items: items_of(&next, &keys, k),
        items_cover: next.covered,
        hours: next.hours,
    })
}

/// The event model of a model, if it has one.
fn learned(contents: &Contents) -> Result<&Learned> {
    match &contents.behaviour {
        Some(Behaviour::Learned(learned)) => Ok(learned),
        Some(_) => Err(Error::usage(format!(
            "a model of the method {} has no odds of what comes next: it {}",
            contents.manifest.method.name(),
            match contents.manifest.method {
                Method::Independent => "draws every event by itself",
                Method::Gan => "makes whole histories, not one event after the other",
                _ => "puts histories together from those of others",
            }
        ))
        .remedy("fit the project with the method autoregressive (twinmart fit PROJECT --method autoregressive)")
        .into()),
        None => Err(Error::usage("this model has no users with events, so nothing comes next")
            .remedy("fit a project with users, items and events")
            .into()),
    }
}

/// The keys of the catalogue as text.
fn item_keys(contents: &Contents, layout: Layout) -> Result<Vec<String>> {
    let spec = &contents.manifest.tables[layout.items];
    let (Part::Kept(rows), Some(key)) = (&contents.parts[layout.items], &spec.definition.key) else {
        return Err(Error::usage("the catalogue of this model is made anew, so it knows no item by its key")
            .table(&spec.name)
            .remedy("fit the project without synthesize = true in the items table")
            .into());
    };
    let keys = table_of(spec, &contents.schemas[layout.items], rows.clone()).text(key)?;
    Ok(keys.iter().map(|key| key.unwrap_or("").to_string()).collect())
}

/// A history as the event model sees it.
struct Past {
    /// `None` where the history has no times, and the model has a clock.
    sequences: Option<Sequences>,
    items: Vec<u32>,
    actions: Vec<u32>,
    has_times: bool,
}

impl Past {
    fn of(
        contents: &Contents,
        layout: Layout,
        history: &RecordBatch,
        keys: &[String],
        learned: &Learned,
        progress: &Progress,
    ) -> Result<Past> {
        let spec = &contents.manifest.tables[layout.events];
        let name = |column: usize| spec.columns[column].name.as_str();
        let given = |column: usize| history.column_by_name(name(column));
        let items = given(layout.item_column).ok_or_else(|| {
            Error::usage("the history has no column of items")
                .column(name(layout.item_column))
                .remedy("name the columns as in the events table of the project")
        })?;
        check_items(items, keys, name(layout.item_column))?;
        let has_times = layout.time_column.is_some_and(|column| given(column).is_some());
        let shop = shop_of_one(contents, layout, history)?;
        let events = &shop.tables[2];
        let sessions = Sessions::of_shop(&shop)?;
        warn_of_actions(learned, events, progress)?;
        let mut sequences = sequences_of(&sessions, events, learned.events.actions.as_ref())?;
        sequences.time.iter_mut().for_each(|time| *time = (*time).clamp(-FARTHEST, FARTHEST));
        let (items, actions) = (sequences.item.clone(), sequences.action.clone());
        let has_groups = (0..spec.columns.len()).any(|c| spec.columns[c].kind == ColumnKind::Group);
        let is_grouped =
            (0..spec.columns.len()).any(|c| spec.columns[c].kind == ColumnKind::Group && given(c).is_some());
        let has_clock = learned.events.histories.has_clock();
        if !has_clock && has_groups && !is_grouped {
            sequences.session.fill(0);
        }
        sequences.has_clock = has_clock;
        let is_dated = has_times || !has_clock || items.is_empty();
        Ok(Past { sequences: is_dated.then_some(sequences), items, actions, has_times })
    }
}

/// A usage error that names the first item that the catalogue lacks, and the nearest ones.
fn check_items(items: &ArrayRef, keys: &[String], column: &str) -> Result<()> {
    let known: HashSet<&str> = keys.iter().map(String::as_str).collect();
    let text = cast(items, &DataType::Utf8)?;
    for item in arrow::array::AsArray::as_string::<i32>(&text).iter() {
        let Some(item) = item else {
            return Err(Error::data("an event of the history has no item")
                .column(column)
                .remedy("leave it out")
                .into());
        };
        if !known.contains(item) {
            let near = nearest(item, keys.iter().map(String::as_str));
            return Err(Error::usage("no such item in the catalogue")
                .column(column)
                .value(item)
                .remedy(format!("the nearest are {}", near.join(", ")))
                .into());
        }
    }
    Ok(())
}

/// The nearest names, the nearest first. Letter case costs nothing.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    let mut all: Vec<(usize, &str)> = names.map(|name| (distance(name), name)).collect();
    all.sort_unstable();
    all.into_iter().take(PROPOSED).map(|(_, name)| name).collect()
}

/// Says which actions of the history the model does not know.
fn warn_of_actions(learned: &Learned, events: &Table, progress: &Progress) -> Result<()> {
    let Some(actions) = &learned.events.actions else { return Ok(()) };
    let name = events.schema.field(actions.column).name();
    let text = events.text(name)?;
    let is_known = |value: &&str| actions.values.iter().flatten().any(|known| known == value);
    if let Some(unknown) = text.iter().flatten().find(|value| !is_known(value)) {
        let known: Vec<&str> = actions.values.iter().flatten().map(String::as_str).collect();
        progress.warn(&format!(
            "{name}: the model does not know `{unknown}` and takes it for `{}`, as in learning; it knows {}",
            known.first().unwrap_or(&""),
            listed(&known)
        ));
    }
    Ok(())
}

/// A shop of one user, whose events are those of the history; its tables are users, items, events.
fn shop_of_one(contents: &Contents, layout: Layout, history: &RecordBatch) -> Result<Shop> {
    const USER: &str = "0";
    let manifest = &contents.manifest;
    let users = &manifest.tables[layout.users];
    let key = users.definition.key.clone().unwrap_or_default();
    let one: ArrayRef = Arc::new(StringArray::from(vec![USER]));
    let row = RecordBatch::try_from_iter([(key.as_str(), one)])?;
    let kinds = vec![ColumnKind::Id];
    let users = Table { kinds, ..table_of(users, &row.schema(), row.clone()) };
    let items = &manifest.tables[layout.items];
    let Part::Kept(rows) = &contents.parts[layout.items] else {
        return Err(Error::usage("the catalogue of this model is made anew").into());
    };
    let items = table_of(items, &contents.schemas[layout.items], rows.clone());
    let spec = &manifest.tables[layout.events];
    let (mut columns, mut missing) = (Vec::new(), Vec::new());
    for (position, (column, field)) in spec.columns.iter().zip(contents.schemas[layout.events].fields()).enumerate() {
        if position == layout.user_column {
            columns.push(Arc::new(StringArray::from(vec![USER; history.num_rows()])) as ArrayRef);
            continue;
        }
        let is_read = position == layout.item_column || Some(position) == layout.time_column;
        let is_read = is_read || column.kind == ColumnKind::Group || layout.is_detail(position, manifest);
        columns.push(match history.column_by_name(&column.name).filter(|_| is_read) {
            Some(values) => in_type(values, field.data_type(), &column.name)?,
            None => {
                missing.push(position);
                new_null_array(field.data_type(), history.num_rows())
            }
        });
    }
    Ok(Shop { project: Project::default(), tables: vec![users, items, events_table(spec, columns, &missing, layout)?] })
}

/// An events table of these columns; those that are missing have no meaning.
fn events_table(spec: &TableSpec, columns: Vec<ArrayRef>, missing: &[usize], layout: Layout) -> Result<Table> {
    let fields: Vec<Field> = spec
        .columns
        .iter()
        .zip(&columns)
        .map(|(c, values)| Field::new(&c.name, values.data_type().clone(), true))
        .collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut table = table_of(spec, &rows.schema(), rows.clone());
    for position in missing {
        table.kinds[*position] = ColumnKind::Category;
    }
    if layout.time_column.is_some_and(|time| missing.contains(&time)) {
        table.definition.time = None;
    }
    Ok(table)
}

/// Values in another type; a usage error where that type cannot say one of them.
fn in_type(values: &ArrayRef, data_type: &DataType, column: &str) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, data_type, &options).map_err(|error| {
        Error::usage(format!("the value has no form as {data_type}: {error}"))
            .column(column)
            .remedy("write it as in the data that the model learned")
            .into()
    })
}

/// A value for each field of users that the event model is told.
fn profile_of(contents: &Contents, layout: Layout, learned: &Learned, known: Known) -> Result<Vec<Option<usize>>> {
    let spec = &contents.manifest.tables[layout.users];
    let own = spec.columns.len();
    let schema = &contents.schemas[layout.users];
    let fields = fields(&learned.users, own);
    let mut columns: Vec<Option<ArrayRef>> = vec![None; own];
    match known {
        Known::Nothing => return Ok(vec![None; fields.len()]),
        Known::Row(row) => {
            for (column, field) in columns.iter_mut().zip(schema.fields()) {
                let given = row.column_by_name(field.name()).map(|values| values.slice(0, 1));
                *column = given.map(|values| in_type(&values, field.data_type(), field.name())).transpose()?;
            }
        }
        Known::Values(values) => {
            let told: HashSet<usize> = fields.iter().map(|(sub, _)| learned.users.sub_columns()[*sub].column).collect();
            for (name, value) in values {
                let position = position_of(name, spec, &told)?;
                let text: ArrayRef = Arc::new(StringArray::from(vec![value.as_str()]));
                let array = in_type(&text, schema.field(position).data_type(), name)
                    .map_err(|e| e.with(|p| p.table(&spec.name).value(value)))?;
                check_value(learned, position, &array, name, spec)?;
                if columns[position].replace(array).is_some() {
                    return Err(Error::usage("the column is given twice").column(name).remedy("leave one out").into());
                }
            }
        }
    }
    let codes = codes_of(learned, schema, &columns, matches!(known, Known::Row(_)))?;
    let subs = learned.users.sub_columns();
    let code =
        |sub: &usize| columns[subs[*sub].column].as_ref().map(|_| codes[*sub][0]).filter(|code| *code != UNKNOWN);
    let profile: Vec<Option<usize>> = fields.iter().map(|(sub, _)| code(sub).map(|code| code as usize)).collect();
    for (name, value) in if let Known::Values(values) = known { values } else { &[] } {
        let tells = |(sub, known): (&(usize, usize), &Option<usize>)| {
            known.is_some() && spec.columns[subs[sub.0].column].name == *name
        };
        if !fields.iter().zip(&profile).any(tells) {
            return Err(Error::usage("the model knows no value like this")
                .table(&spec.name)
                .column(name)
                .value(value)
                .remedy("leave it out")
                .into());
        }
    }
    Ok(profile)
}

/// Position of a column that the event model is told.
fn position_of(name: &str, spec: &TableSpec, told: &HashSet<usize>) -> Result<usize> {
    let position = spec.columns.iter().position(|column| column.name == name);
    if let Some(position) = position.filter(|position| told.contains(position)) {
        return Ok(position);
    }
    let names: Vec<&str> =
        (0..spec.columns.len()).filter(|c| told.contains(c)).map(|c| spec.columns[c].name.as_str()).collect();
    let what = match position {
        None => "the users have no such column",
        Some(_) => "the event model is told nothing of this column",
    };
    let remedy = match names.is_empty() {
        true => "leave it out; it is told of none".to_string(),
        false => format!("leave it out; it is told of {}", listed(&names)),
    };
    Err(Error::usage(what).table(&spec.name).column(name).remedy(remedy).into())
}

/// A usage error where a column lists its values, and this one is not among them.
fn check_value(learned: &Learned, position: usize, value: &ArrayRef, name: &str, spec: &TableSpec) -> Result<()> {
    let Some(values) = learned.users.listed(position) else { return Ok(()) };
    let text = cast(value, &DataType::Utf8)?;
    let text = arrow::array::AsArray::as_string::<i32>(&text).value(0).to_string();
    if values.contains(&text) {
        return Ok(());
    }
    let near = nearest(&text, values.iter().map(String::as_str));
    let all: Vec<&str> = values.iter().map(String::as_str).collect();
    Err(Error::usage("the model knows no such value: it holds those that enough people share")
        .table(&spec.name)
        .column(name)
        .value(text)
        .remedy(format!("leave it out, or give one of {}; the nearest is {}", listed(&all), near[0]))
        .into())
}

/// The first of some names, with the number of the others.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{shown} and {} more", names.len() - LISTED) } else { shown }
}

/// `[sub_columns][1]` codes of one user. A row of users has the code of "missing" where a value is.
fn codes_of(
    learned: &Learned,
    schema: &SchemaRef,
    columns: &[Option<ArrayRef>],
    is_row: bool,
) -> Result<Vec<Vec<u32>>> {
    let own = columns.iter().zip(schema.fields());
    let own = own.map(|(column, field)| column.clone().unwrap_or_else(|| new_null_array(field.data_type(), 1)));
    let plan = learned.schema.fields().iter().skip(columns.len()).map(|field| new_null_array(field.data_type(), 1));
    let all: Vec<ArrayRef> = own.chain(plan).collect();
    if is_row { Ok(learned.users.encode(&all)?.values) } else { learned.users.encode_given(&all) }
}

fn moment_text(time: i64) -> Result<String> {
    let moments = cast(&Int64Array::from(vec![time]), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    Ok(arrow::array::AsArray::as_string::<i32>(&cast(&moments, &DataType::Utf8)?).value(0).to_string())
}

fn time_span(next: &Next, new_session: bool) -> Option<TimeSpan> {
    let seconds = |share: f64| next.time_until(share, new_session).map(|micros| micros as f64 / 1e6);
    Some(TimeSpan { median_seconds: seconds(0.5)?, low_seconds: seconds(0.1)?, high_seconds: seconds(0.9)? })
}

fn actions_of(learned: &Learned, next: &Next) -> Vec<ActionOdds> {
    let Some(actions) = &learned.events.actions else { return Vec::new() };
    let odds = next.actions.iter().zip(&actions.values);
    let mut all: Vec<ActionOdds> = odds.map(|(odds, name)| ActionOdds { action: name.clone(), odds: *odds }).collect();
    all.sort_by(|a, b| b.odds.total_cmp(&a.odds));
    all
}

/// The likeliest items; of two alike the one that comes first in the catalogue.
fn items_of(next: &Next, keys: &[String], k: usize) -> Vec<ItemOdds> {
    let odds = next.items();
    let mut order: Vec<usize> = (0..keys.len().min(odds.len())).collect();
    order.sort_by(|a, b| odds[*b].total_cmp(&odds[*a]).then(a.cmp(b)));
    let item = |item: usize| ItemOdds {
        item: keys[item].clone(),
        odds: odds[item],
        odds_in_session: next.items_of_session[item],
        odds_in_new_session: next.items_of_new[item],
    };
    order.into_iter().take(k).map(item).collect()
}
