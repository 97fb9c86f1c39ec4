//! Drawing a twin in chunks.
//!
//! A chunk is 1,024 users with everything they did, and 8,192 rows of every other table. It depends on the model, the size,
//! the seed and its number, on nothing else: chunks may be drawn in any order, on any number of threads or machines, and
//! put together in the order of their numbers they are always the same twin. A [`Partition`] is a run of whole chunks.

use crate::behaviour::Layout;
use crate::container::not_a_model;
use crate::manifest::{Making, Manifest};
use crate::model::{Contents, Part};
use crate::rows::Frame;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use std::ops::Range;
use std::sync::Arc;
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
        Ok(Sampler { draws: Draws::new(seed), tables, sizes, kept_keys, layout, contents })
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
        let needed = self.sizes.iter().enumerate().map(|(t, size)| size.div_ceil(self.chunk_size(t)));
        needed.max().unwrap_or(0)
    }

    /// One batch for each table. Tables that are shorter than the longest are empty in the last chunks.
    pub fn chunk(&self, number: u64) -> Result<Vec<RecordBatch>> {
        let frame = Frame {
            draws: self.draws,
            manifest: &self.contents.manifest,
            schemas: &self.contents.schemas,
            sizes: &self.sizes,
            kept_keys: &self.kept_keys,
        };
        let mut behaviour = match (&self.contents.behaviour, self.layout) {
            (Some(model), Some(layout)) => Some(model.batches(&frame, layout, self.range(layout.users, number))?),
            _ => None,
        };
        let mut batches = Vec::with_capacity(self.tables.len());
        for (table, part) in self.contents.parts.iter().enumerate() {
            let range = self.range(table, number);
            batches.push(match part {
                Part::Kept(rows) => rows.slice(range.start as usize, (range.end - range.start) as usize),
                Part::Rows(model) => model.batch(&frame, table, range)?,
                Part::Behaviour => {
                    let is_users = self.layout.is_some_and(|l| l.users == table);
                    let (users, events) = behaviour.as_mut().ok_or_else(|| not_a_model("users without events"))?;
                    if is_users { users.clone() } else { events.clone() }
                }
            });
        }
        Ok(batches)
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
