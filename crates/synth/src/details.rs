//! The other columns of events (quantity, price, channel, …), given the item, the user and what was done.
//!
//! ```text
//! columns ─► codes ─► what is usual of each item and each user ─┐
//! action, first of its session ─────────────────────────────────┴─► row model ─► columns
//! ```
//!
//! What is usual of an item or a user is a cell of the column's encoding: the middle one where cells are ordered, else the most
//! frequent one. That of a user is drawn with the user's plan.

use crate::autoregressive::{Autoregressive, Effort};
use crate::behaviour::Layout;
use crate::container::{Entries, not_a_model};
use crate::encoded::RowEncoding;
use crate::independent::{from_json, to_json};
use crate::learned::widen;
use crate::learned_events::DrawnEvents;
use crate::manifest::{Manifest, TableSpec};
use crate::sessions::Sessions;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use rand::RngCore;
use std::collections::HashMap;
use std::sync::Arc;
use twinmart_encode::codes::{Codes, SubColumn};
use twinmart_events::Sequences;
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Progress, Result, Stream, Table};

const USUAL: &str = "behaviour/usual.json";

/// The details of events, learned.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    /// Positions of the columns in the events table.
    columns: Vec<usize>,
    /// `[columns]` whether cells are ordered.
    ordered: Vec<bool>,
    /// `[columns][items]` what is usual of each item.
    of_item: Vec<Vec<u32>>,
    schema: SchemaRef,
    model: Autoregressive,
}

/// What a model file holds of it beside the row model.
#[derive(serde::Serialize, serde::Deserialize)]
struct Usual {
    ordered: Vec<bool>,
    of_item: Vec<Vec<u32>>,
}

impl Details {
    /// Learns the details of a shop's events, and what is usual of each user, `[columns][users]`. `None` where events have
    /// none.
    pub(crate) fn fit(
        events: &Table,
        sessions: &Sessions,
        sequences: &Sequences,
        items: usize,
        manifest: &Manifest,
        (layout, action): (Layout, Option<usize>),
        progress: &Progress,
    ) -> Result<Option<(Details, Vec<ArrayRef>)>> {
        let columns = columns_of(manifest, layout, action);
        if columns.is_empty() {
            return Ok(None);
        }
        let (plain, _) = narrowed(&manifest.tables[layout.events], &columns, &events.schema);
        let values: Vec<ArrayRef> = columns.iter().map(|c| events.column_at(*c)).collect::<Result<_>>()?;
        let mut user_of = vec![0u64; events.rows()];
        for user in 0..sessions.users() {
            sessions.events_of_user(user).for_each(|e| user_of[sessions.row[e] as usize] = user as u64);
        }
        let encoding = RowEncoding::of(&values, &user_of, &plain, manifest, progress)?;
        let subs = encoding.sub_columns();
        let cells = cells_of(&subs, &encoding.encode(&values)?, columns.len());
        let ordered: Vec<bool> =
            (0..columns.len()).map(|c| subs.iter().find(|s| s.column == c).is_some_and(|s| s.ordered)).collect();

        let item_of = by_row(sessions, events.rows(), |event| sessions.item[event]);
        let number = Draws::new(manifest.seed).family("synth.threshold", "usual").row(0).next_u64();
        let threshold = PersonThreshold::draw(number);
        let mut people = vec![0usize; items];
        let mut last = vec![u64::MAX; items];
        for user in 0..sessions.users() {
            for event in sessions.events_of_user(user) {
                let item = sessions.item[event] as usize;
                people[item] += usize::from(last[item] != user as u64);
                last[item] = user as u64;
            }
        }
        let of_item: Vec<Vec<u32>> = cells
            .iter()
            .zip(&ordered)
            .map(|(cells, ordered)| {
                let shared = |item: usize| threshold.allows(people[item]);
                usual(cells, &item_of, items, *ordered)
                    .into_iter()
                    .enumerate()
                    .map(|(i, u)| u.filter(|_| shared(i)))
                    .map(|u| u.unwrap_or_else(|| usual_of_all(cells, *ordered)))
                    .collect()
            })
            .collect();
        let user_of: Vec<u32> = user_of.iter().map(|u| *u as u32).collect();
        let of_user: Vec<Vec<Option<u32>>> = cells
            .iter()
            .zip(&ordered)
            .map(|(cells, ordered)| usual(cells, &user_of, sessions.users(), *ordered))
            .collect();

        let action_of = by_row(sessions, events.rows(), |event| sequences.action[event]);
        let first_of = first_by_row(sessions, events.rows());
        let mut context = vec![numbers(action_of.iter().map(|a| i64::from(*a))), numbers(first_of.into_iter())];
        for (of_item, of_user) in of_item.iter().zip(&of_user) {
            context.push(numbers(item_of.iter().map(|item| i64::from(of_item[*item as usize]))));
            context.push(numbers(user_of.iter().map(|user| of_user[*user as usize].map_or(0, i64::from))));
        }
        let (spec, schema) = context_spec(&manifest.tables[layout.events], &columns, &ordered, &events.schema);
        let rows = RecordBatch::try_new(schema.clone(), context.into_iter().chain(values).collect())?;
        let subjects: Vec<u64> = user_of.iter().map(|u| u64::from(*u)).collect();
        let model =
            Autoregressive::fit(&rows, &subjects, &spec, manifest, Effort::beside_histories(manifest), progress)?;
        let usual_columns = of_user
            .into_iter()
            .map(|column| Arc::new(column.into_iter().map(|u| u.map(i64::from)).collect::<Int64Array>()) as ArrayRef);
        Ok(Some((Details { columns, ordered, of_item, schema, model }, usual_columns.collect())))
    }

    /// Adds what a model file must hold, below `prefix`.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        let usual = Usual { ordered: self.ordered.clone(), of_item: self.of_item.clone() };
        entries.put(USUAL.into(), to_json(&usual)?);
        self.model.store(prefix, entries)
    }

    /// Reads what [`Details::store`] wrote.
    pub(crate) fn load(
        manifest: &Manifest,
        layout: Layout,
        action: Option<usize>,
        schema: &SchemaRef,
        items: usize,
        entries: &mut Entries,
    ) -> Result<Option<Details>> {
        let columns = columns_of(manifest, layout, action);
        if columns.is_empty() {
            return Ok(None);
        }
        let Usual { ordered, of_item } = from_json(&entries.take(USUAL)?)?;
        let fits = ordered.len() == columns.len()
            && of_item.len() == columns.len()
            && of_item.iter().all(|column| column.len() == items);
        if !fits {
            return Err(not_a_model("what is usual of items does not fit its events"));
        }
        let (spec, schema) = context_spec(&manifest.tables[layout.events], &columns, &ordered, schema);
        let model = Autoregressive::load(&format!("tables/{}", layout.events), entries, &spec, manifest)?;
        Ok(Some(Details { columns, ordered, of_item, schema, model }))
    }

    /// How many columns say what is usual of a user.
    pub(crate) fn usual(&self) -> usize {
        self.columns.len()
    }

    /// Their names and kinds.
    pub(crate) fn usual_kinds(&self) -> Vec<(String, ColumnKind)> {
        self.ordered.iter().enumerate().map(|(n, ordered)| (format!("usual {n}"), kind_of(*ordered))).collect()
    }

    /// Values of the drawn events at `places`, counted through all users; each column with its position in the events table.
    pub(crate) fn draw(
        &self,
        drawn: &DrawnEvents,
        places: &[usize],
        streams: &mut [Stream],
    ) -> Result<Vec<(usize, ArrayRef)>> {
        let events = || drawn.events.iter().flatten();
        let first = drawn.events.iter().flat_map(|events| {
            let begins = |at: usize| at == 0 || events[at].session != events[at - 1].session;
            (0..events.len()).map(move |at| i64::from(begins(at)))
        });
        let mut context = vec![numbers(events().map(|e| i64::from(e.action))), numbers(first)];
        for (of_item, of_user) in self.of_item.iter().zip(&drawn.usual) {
            context.push(numbers(events().map(|e| i64::from(of_item[e.item as usize]))));
            let users = drawn.events.iter().enumerate();
            let usual = |user: usize| if of_user.is_valid(user) { of_user.value(user) } else { 0 };
            context.push(numbers(users.flat_map(|(user, events)| events.iter().map(move |_| usual(user)))));
        }
        let places = UInt64Array::from_iter_values(places.iter().map(|place| *place as u64));
        let context = context.iter().map(|c| Ok(take(c, &places, None)?)).collect::<Result<Vec<_>>>()?;
        let values = self.model.draw_given(&context, streams, &self.schema)?;
        Ok(self.columns.iter().copied().zip(values.into_iter().skip(context.len())).collect())
    }
}

fn kind_of(ordered: bool) -> ColumnKind {
    if ordered { ColumnKind::Integer } else { ColumnKind::Category }
}

/// The columns of events that neither the event model nor keys give.
fn columns_of(manifest: &Manifest, layout: Layout, action: Option<usize>) -> Vec<usize> {
    let columns = 0..manifest.tables[layout.events].columns.len();
    columns.filter(|c| Some(*c) != action && layout.is_detail(*c, manifest)).collect()
}

/// The events with these columns only.
fn narrowed(spec: &TableSpec, columns: &[usize], schema: &SchemaRef) -> (TableSpec, SchemaRef) {
    let fields: Vec<Arc<Field>> = columns.iter().map(|c| schema.fields()[*c].clone()).collect();
    let own = columns.iter().map(|c| spec.columns[*c].clone()).collect();
    (TableSpec { columns: own, ..spec.clone() }, Arc::new(Schema::new(fields)))
}

/// The events with these columns behind those that they are learned given.
fn context_spec(spec: &TableSpec, columns: &[usize], ordered: &[bool], schema: &SchemaRef) -> (TableSpec, SchemaRef) {
    let mut context = vec![("action".to_string(), ColumnKind::Category), ("first".to_string(), ColumnKind::Category)];
    for (number, ordered) in ordered.iter().enumerate() {
        context.push((format!("item {number}"), kind_of(*ordered)));
        context.push((format!("user {number}"), kind_of(*ordered)));
    }
    let (own, own_schema) = narrowed(spec, columns, schema);
    let (mut wide, wide_schema) = widen(&own, &own_schema, &context);
    wide.columns.rotate_right(context.len());
    let mut fields: Vec<Arc<Field>> = wide_schema.fields().iter().cloned().collect();
    fields.rotate_right(context.len());
    (wide, Arc::new(Schema::new(fields)))
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// The cell of each value, `[columns][rows]`: the node of the last level of the column's first chain.
fn cells_of(subs: &[SubColumn], codes: &Codes, columns: usize) -> Vec<Vec<u32>> {
    let of_column = |column: usize| {
        let mut nodes = vec![0u32; codes.values.first().map_or(0, Vec::len)];
        let chain = subs.iter().zip(&codes.values).filter(|(sub, _)| sub.column == column);
        let mut begun = false;
        for (sub, codes) in chain {
            if sub.level == 0 && begun {
                break;
            }
            begun = true;
            nodes.iter_mut().zip(codes).for_each(|(node, code)| *node = sub.child(*node, *code));
        }
        nodes
    };
    (0..columns).map(of_column).collect()
}

/// What is usual of each of `owners`; `None` for those without rows.
fn usual(cells: &[u32], owner: &[u32], owners: usize, ordered: bool) -> Vec<Option<u32>> {
    let mut own: Vec<Vec<u32>> = vec![Vec::new(); owners];
    cells.iter().zip(owner).for_each(|(cell, owner)| own[*owner as usize].push(*cell));
    own.into_iter().map(|cells| (!cells.is_empty()).then(|| usual_of(cells, ordered))).collect()
}

fn usual_of_all(cells: &[u32], ordered: bool) -> u32 {
    if cells.is_empty() { 0 } else { usual_of(cells.to_vec(), ordered) }
}

/// The middle cell where they are ordered, else the most frequent one (the least of equals).
fn usual_of(mut cells: Vec<u32>, ordered: bool) -> u32 {
    if ordered {
        let middle = (cells.len() - 1) / 2;
        return *cells.select_nth_unstable(middle).1;
    }
    let mut counts: HashMap<u32, usize> = HashMap::new();
    cells.iter().for_each(|cell| *counts.entry(*cell).or_default() += 1);
    counts.into_iter().max_by_key(|(cell, count)| (*count, std::cmp::Reverse(*cell))).map_or(0, |(cell, _)| cell)
}

/// A value of each event, by its row of the events table.
fn by_row(sessions: &Sessions, rows: usize, value: impl Fn(usize) -> u32) -> Vec<u32> {
    let mut out = vec![0; rows];
    for (event, row) in sessions.row.iter().enumerate() {
        out[*row as usize] = value(event);
    }
    out
}

/// 1 for the first event of a session, by row.
fn first_by_row(sessions: &Sessions, rows: usize) -> Vec<i64> {
    let mut first = vec![0; rows];
    for user in 0..sessions.users() {
        for session in sessions.of_user(user) {
            first[sessions.row[sessions.events(session).start] as usize] = 1;
        }
    }
    first
}
