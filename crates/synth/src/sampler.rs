//! Drawing a twin in chunks.
//!
//! A chunk is 1,024 users with everything they did, and 8,192 rows of every other table. It depends on the model, the size,
//! the seed and its number, on nothing else: chunks may be drawn in any order, on any number of threads or machines, and
//! put together in the order of their numbers they are always the same twin. A [`Partition`] is a run of whole chunks.

use crate::Batches;
use crate::behaviour::Layout;
use crate::complete::given_columns;
use crate::container::not_a_model;
use crate::manifest::{Making, Manifest};
use crate::model::{Contents, Part};
use crate::rows::{Asked, Frame, RowModel};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use std::ops::Range;
use std::sync::Arc;
use twinmart_tables::condition::Condition;
use twinmart_tables::{Draws, Error, Result};

/// Users of a chunk.
const CHUNK_USERS: u64 = 1_024;
/// Rows of a chunk, of every other table.
const CHUNK_ROWS: u64 = 8_192;
/// A twin's tables have at most this many rows each; the number of a user must leave room for the events below it.
const MOST_ROWS: u64 = 1 << 39;

/// Draws one twin; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sampler {
    contents: Arc<Contents>,
    draws: Draws,
    tables: Vec<(String, SchemaRef)>,
    /// Rows of each table; of the events table, unknown and 0.
    sizes: Vec<u64>,
    kept_keys: Vec<Option<ArrayRef>>,
    layout: Option<Layout>,
    asked: Option<Arc<Asked>>,
}

/// Some of the chunks of a sampler.
#[derive(Debug, Clone)]
pub struct Partition {
    sampler: Sampler,
    chunks: Range<u64>,
}

impl Sampler {
    pub(crate) fn new(contents: Arc<Contents>, size: Option<u64>, seed: u64) -> Result<Sampler> {
        let manifest = &contents.manifest;
        let sizes = sizes(manifest, size.unwrap_or(contents.default_size()));
        if let Some(position) = sizes.iter().position(|n| *n > MOST_ROWS) {
            return Err(Error::usage(format!("a twin of {} rows is too large", sizes[position]))
                .table(&manifest.tables[position].name)
                .remedy("draw several twins with different seeds")
                .into());
        }
        let mut kept_keys = Vec::with_capacity(manifest.tables.len());
        for (part, spec) in contents.parts.iter().zip(&manifest.tables) {
            let key = spec.definition.key.as_deref();
            kept_keys.push(match part {
                Part::Kept(rows) => key.and_then(|k| rows.column_by_name(k)).cloned(),
                _ => None,
            });
        }
        for (table, spec) in manifest.tables.iter().enumerate() {
            let shared = spec.shared_key(manifest).and_then(|parent| kept_keys[parent].clone());
            if let Some(keys) = shared {
                let rows = keys.len().min(usize::try_from(sizes[table]).unwrap_or(usize::MAX));
                kept_keys[table] = Some(keys.slice(0, rows));
            }
        }
        let layout = contents.behaviour.as_ref().map(|_| Layout::of(manifest)).transpose()?;
        let names = manifest.tables.iter().map(|t| t.name.clone());
        let tables = names.zip(contents.schemas.iter().cloned()).collect();
        Ok(Sampler { draws: Draws::new(seed), tables, sizes, kept_keys, layout, asked: None, contents })
    }

    /// The same for rows that all meet `conditions`; everything else is drawn given that. Conditions on one column must all
    /// hold. For models of one table: by `autoregressive`, any conditions on any columns; by `gan`, one value of a category.
    ///
    /// # Errors
    /// A usage error for other models, for columns that are not there or hold no values of their own, for values that a column
    /// cannot have and for conditions that no value meets.
    pub fn given(self, conditions: &[Condition]) -> Result<Sampler> {
        let Some(Part::Rows(model)) = self.is_single_table().then(|| &self.contents.parts[0]) else {
            return Err(not_single());
        };
        let Contents { manifest, schemas, .. } = &*self.contents;
        let asked = model.asked(conditions, &manifest.tables[0], manifest, &schemas[0])?;
        Ok(Sampler { asked: Some(Arc::new(asked)), ..self })
    }

    /// The same for rows that have the present values of `rows`, one after the other and from the first again; what is missing
    /// there, or no column of it, is drawn. For models of one table by `autoregressive`.
    ///
    /// # Errors
    /// A usage error for other models, for columns that the model does not have, for keys, for values that its types cannot say
    /// and where there are no rows.
    pub fn given_rows(self, rows: &RecordBatch) -> Result<Sampler> {
        if !self.is_single_table() {
            return Err(not_single());
        }
        let asked = Asked::Rows(given_columns(&self.contents, rows)?);
        Ok(Sampler { asked: Some(Arc::new(asked)), ..self })
    }

    /// About how likely a row of the model meets the conditions of [`Sampler::given`], where that is known.
    pub fn likelihood(&self) -> Result<Option<f64>> {
        match (self.contents.parts.first(), self.asked.as_deref()) {
            (Some(Part::Rows(RowModel::Autoregressive(model))), Some(Asked::Conditions(asked))) => {
                model.likelihood(asked).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Names and columns of the twin's tables, in project order.
    pub fn tables(&self) -> &[(String, SchemaRef)] {
        &self.tables
    }

    /// True where the twin is one plain table, which is written as a file.
    pub fn is_single_table(&self) -> bool {
        self.contents.is_single_table()
    }

    /// The number of chunks: enough for the longest table.
    pub fn chunks(&self) -> u64 {
        (0..self.sizes.len()).map(|table| self.chunks_of(table)).max().unwrap_or(0)
    }

    /// One batch for each table. Tables that are shorter than the longest are empty in the last chunks.
    pub fn chunk(&self, number: u64) -> Result<Vec<RecordBatch>> {
        let behaviour = self.behaviour(number)?;
        (0..self.tables.len()).map(|table| self.part(table, number, behaviour.as_ref())).collect()
    }

    /// All rows of one table, batch by batch. A usage error where the twin has no such table.
    pub fn batches(&self, table: &str) -> Result<Batches> {
        match self.tables.iter().position(|(name, _)| name == table) {
            Some(position) => Ok(Batches::new(self.clone(), position)),
            None => {
                let names: Vec<&str> = self.tables.iter().map(|(name, _)| name.as_str()).collect();
                let remedy = format!("the tables are {}", names.join(", "));
                Err(Error::usage("the twin has no such table").table(table).remedy(remedy).into())
            }
        }
    }

    /// The chunks in which a table has rows; of events, those of their users.
    pub(crate) fn chunks_of(&self, table: usize) -> u64 {
        let counted = match self.layout {
            Some(layout) if layout.events == table => layout.users,
            _ => table,
        };
        self.sizes[counted].div_ceil(self.chunk_size(counted))
    }

    /// One table's rows of a chunk.
    pub(crate) fn batch(&self, table: usize, number: u64) -> Result<RecordBatch> {
        let behaviour = match self.contents.parts[table] {
            Part::Behaviour => self.behaviour(number)?,
            _ => None,
        };
        self.part(table, number, behaviour.as_ref())
    }

    fn frame(&self) -> Frame<'_> {
        Frame {
            draws: self.draws,
            manifest: &self.contents.manifest,
            schemas: &self.contents.schemas,
            sizes: &self.sizes,
            kept_keys: &self.kept_keys,
            asked: self.asked.as_deref(),
        }
    }

    /// Users and events of a chunk, where the model makes any.
    fn behaviour(&self, number: u64) -> Result<Option<(RecordBatch, RecordBatch)>> {
        match (&self.contents.behaviour, self.layout) {
            (Some(model), Some(layout)) => {
                Ok(Some(model.batches(&self.frame(), layout, self.range(layout.users, number))?))
            }
            _ => Ok(None),
        }
    }

    fn part(&self, table: usize, number: u64, behaviour: Option<&(RecordBatch, RecordBatch)>) -> Result<RecordBatch> {
        let range = self.range(table, number);
        match &self.contents.parts[table] {
            Part::Kept(rows) => Ok(rows.slice(range.start as usize, (range.end - range.start) as usize)),
            Part::Rows(model) => model.batch(&self.frame(), table, range),
            Part::Behaviour => {
                let is_users = self.layout.is_some_and(|l| l.users == table);
                let (users, events) = behaviour.ok_or_else(|| not_a_model("users without events"))?;
                Ok(if is_users { users.clone() } else { events.clone() })
            }
        }
    }

    /// Part `number` of `of`: a run of whole chunks. All parts in order are the whole twin.
    pub fn partition(&self, number: u64, of: u64) -> Result<Partition> {
        if number >= of {
            return Err(Error::usage(format!("there is no part {number} of {of}"))
                .remedy("parts are counted from 0")
                .into());
        }
        let border = |n: u64| (u128::from(self.chunks()) * u128::from(n) / u128::from(of)) as u64;
        Ok(Partition { sampler: self.clone(), chunks: border(number)..border(number + 1) })
    }

    fn chunk_size(&self, table: usize) -> u64 {
        match self.contents.manifest.tables[table].making {
            Making::Users | Making::Events => CHUNK_USERS,
            _ => CHUNK_ROWS,
        }
    }

    fn range(&self, table: usize, chunk: u64) -> Range<u64> {
        let (step, size) = (self.chunk_size(table), self.sizes[table]);
        chunk.saturating_mul(step).min(size)..(chunk + 1).saturating_mul(step).min(size)
    }
}

impl Iterator for Partition {
    type Item = Result<Vec<RecordBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.next().map(|number| self.sampler.chunk(number))
    }
}

fn not_single() -> Error {
    Error::usage("values can be asked for in models of one table")
        .remedy("fit one plain table with the method autoregressive")
        .into()
}

/// Rows of each table of a twin of `size`. Kept tables and counterparts have their own; without users, all others grow with
/// the size; with users, those that refer to users, directly or through others, do.
fn sizes(manifest: &Manifest, size: u64) -> Vec<u64> {
    let sized_by = manifest.position(&manifest.sized_by);
    let training = sized_by.map_or(1, |p| manifest.tables[p].rows.max(1));
    let people = sized_by.filter(|p| manifest.tables[*p].role() == twinmart_tables::Role::Users);
    let mut grows: Vec<bool> = (0..manifest.tables.len()).map(|t| people.is_none_or(|p| t == p)).collect();
    for _ in 0..manifest.tables.len() {
        for (table, spec) in manifest.tables.iter().enumerate() {
            let parents = spec.definition.references.values().filter_map(|r| manifest.position(&r.table));
            grows[table] |= parents.into_iter().any(|p| grows[p]);
        }
    }
    let rows = |(table, spec): (usize, &crate::TableSpec)| match spec.making {
        Making::Kept | Making::Counterparts if sized_by != Some(table) => spec.rows,
        Making::Events => 0,
        _ if sized_by == Some(table) => size,
        _ if grows[table] => {
            let scaled = u128::from(spec.rows) * u128::from(size) + u128::from(training) / 2;
            u64::try_from(scaled / u128::from(training)).unwrap_or(u64::MAX)
        }
        _ => spec.rows,
    };
    manifest.tables.iter().enumerate().map(rows).collect()
}
