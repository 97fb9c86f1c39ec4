//! What is in the data and what is wrong with it: one pass over each source and table, in bounded memory.
//!
//! Counts of distinct values, frequent values, duplicate rows and medians are exact up to tens of thousands of different
//! values (a million different rows) and estimated beyond; each says which it is.

use crate::detect::kind_of;
use crate::discover::discover;
use crate::facts::ColumnFacts;
use crate::load::{Collected, read_project};
use crate::problems::{DataProblem, column_problems, key_problems, reference_problems, row_problems};
use crate::report::CleaningReport;
use crate::rows::{MemoryRows, Rows};
use crate::sketch::{Distinct, hash_of};
use crate::source::Source;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use twinmart_privacy::PersonalDetector;
use twinmart_tables::{ColumnKind, Progress, Result, Role, Shop, TableDefinition};

/// Different rows up to which duplicates are counted exactly.
const ROW_LIMIT: usize = 1 << 20;
/// Values of a column that are searched for personal data.
const PERSONAL_LIMIT: u64 = 20_000;
/// Frequent values shown.
const TOP: usize = 3;

/// What is in a project or a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// The project's or the file's name.
    pub name: String,
    /// The sources as they are in their files.
    pub sources: Vec<TableProfile>,
    /// The tables after cleaning and SQL; for a plain file, the file.
    pub tables: Vec<TableProfile>,
    /// What cleaning did.
    pub cleaning: CleaningReport,
}

/// What is in one source or table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableProfile {
    /// Its name.
    pub name: String,
    /// Its role; none for a source.
    pub role: Option<Role>,
    /// Number of rows.
    pub rows: u64,
    /// One entry per column, in order.
    pub columns: Vec<ColumnProfile>,
    /// What is wrong, the whole table first, then by column.
    pub problems: Vec<DataProblem>,
    /// Constraints that all rows keep and chance would break, as `[constraints]` takes them; of sources none are looked for.
    pub constraints: Vec<String>,
}

/// What is in one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its meaning.
    pub kind: ColumnKind,
    /// Its storage type, as Arrow writes it.
    pub data_type: String,
    /// Missing values.
    pub missing: u64,
    /// Their share of all rows.
    pub missing_share: f64,
    /// Different values.
    pub distinct: u64,
    /// False where `distinct` is estimated (within about one percent).
    pub distinct_exact: bool,
    /// The smallest number or time.
    pub min: Option<Value>,
    /// The largest number or time.
    pub max: Option<Value>,
    /// Mean of the finite numbers.
    pub mean: Option<f64>,
    /// Their median.
    pub median: Option<f64>,
    /// False where `median` is that of a sample.
    pub median_exact: bool,
    /// Their standard deviation.
    pub deviation: Option<f64>,
    /// The most frequent values.
    pub top: Vec<TopValue>,
    /// False where the counts of `top` may be too low.
    pub top_exact: bool,
}

/// A value and how often it occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopValue {
    /// The value as text, cut to 60 characters.
    pub value: String,
    /// Its number of rows.
    pub count: u64,
}

/// Profiles a project file (`.toml`) or a plain data file, folder or glob. A plain file may be larger than memory.
pub fn profile(path: &Path, progress: &Progress) -> Result<Profile> {
    let project = read_project(path)?;
    let is_file = path.extension().is_none_or(|e| e != "toml");
    if is_file {
        let name = project.project.name.clone();
        let source = Source::open(&name, path, progress)?;
        let facts = TableFacts::gather(&source, &name, Some(source.rows()), progress)?;
        let mut table = facts.profile(&name, Some(Role::Plain), &TableDefinition::default());
        table.discover(&source, progress)?;
        return Ok(Profile { name, sources: Vec::new(), tables: vec![table], cleaning: CleaningReport::default() });
    }
    let collected = Collected::new(&project, None, progress)?;
    let mut sources = Vec::new();
    for (source, _) in &collected.sources {
        let facts = TableFacts::gather(source, source.name(), Some(source.rows()), progress)?;
        sources.push(facts.profile(source.name(), None, &TableDefinition::default()));
    }
    let shop = Shop { project: project.clone(), tables: collected.tables };
    let mut tables = Vec::new();
    for table in &shop.tables {
        let rows = MemoryRows { schema: table.schema.clone(), batches: table.batches.clone() };
        let facts = TableFacts::gather(&rows, &table.name, Some(table.rows() as u64), progress)?;
        let mut profile = facts.profile(&table.name, Some(table.definition.role), &table.definition);
        profile.problems.extend(reference_problems(&shop, table)?);
        profile.discover(&rows, progress)?;
        profile.constraints.retain(|c| !table.constraints.iter().any(|known| known.text() == c));
        tables.push(profile);
    }
    Ok(Profile { name: project.project.name.clone(), sources, tables, cleaning: collected.cleaning })
}

/// Facts about all columns of a table and about its rows as wholes.
pub(crate) struct TableFacts {
    pub(crate) columns: Vec<ColumnFacts>,
    pub(crate) detectors: Vec<PersonalDetector>,
    pub(crate) rows: Distinct,
    converter: RowConverter,
    now: i64,
}

impl TableFacts {
    pub(crate) fn new(schema: &SchemaRef) -> Result<TableFacts> {
        let sorts = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        Ok(TableFacts {
            columns: schema.fields().iter().map(|f| ColumnFacts::new(f)).collect(),
            detectors: schema.fields().iter().map(|f| PersonalDetector::new(f.name())).collect(),
            rows: Distinct::new(ROW_LIMIT),
            converter: RowConverter::new(sorts)?,
            now: i64::try_from(now).unwrap_or(i64::MAX),
        })
    }

    /// Reads all rows once.
    pub(crate) fn gather(rows: &dyn Rows, name: &str, count: Option<u64>, progress: &Progress) -> Result<TableFacts> {
        let task = progress.start(&format!("profile {name}"), count, "rows");
        let mut facts = TableFacts::new(&rows.schema())?;
        for batch in rows.read() {
            let batch = batch?;
            facts.add(&batch)?;
            task.advance(batch.num_rows() as u64)?;
        }
        Ok(facts)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for row in &self.converter.convert_columns(batch.columns())? {
            self.rows.add(hash_of(row.as_ref()));
        }
        for ((facts, detector), column) in self.columns.iter_mut().zip(&mut self.detectors).zip(batch.columns()) {
            let searched = facts.present() < PERSONAL_LIMIT;
            let text = facts.add(column, self.now)?;
            if searched && (facts.text.is_some() || facts.data_type.is_integer()) {
                text.iter().flatten().for_each(|value| detector.observe(value));
            }
        }
        Ok(())
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.columns.first().map_or(0, |c| c.rows)
    }

    fn profile(&self, name: &str, role: Option<Role>, definition: &TableDefinition) -> TableProfile {
        let mut problems = row_problems(self);
        problems.extend(key_problems(self, definition));
        let mut columns = Vec::with_capacity(self.columns.len());
        for (facts, detector) in self.columns.iter().zip(&self.detectors) {
            let kind = kind_of(facts, definition);
            problems.extend(column_problems(facts, kind, definition.columns.get(&facts.name), detector));
            columns.push(column_profile(facts, kind));
        }
        TableProfile { name: name.into(), role, rows: self.row_count(), columns, problems, constraints: Vec::new() }
    }
}

impl TableProfile {
    /// Looks for constraints that all rows keep.
    fn discover(&mut self, rows: &dyn Rows, progress: &Progress) -> Result<()> {
        let kinds: Vec<ColumnKind> = self.columns.iter().map(|c| c.kind).collect();
        let found = discover(rows, &self.name, &kinds, Some(self.rows), progress)?;
        self.constraints = found.into_iter().map(String::from).collect();
        Ok(())
    }
}

fn column_profile(facts: &ColumnFacts, kind: ColumnKind) -> ColumnProfile {
    let numbers = facts.numbers.as_ref().filter(|n| n.moments.count > 0);
    let integers = facts.data_type.is_integer();
    let number = |x: f64| if integers { Value::from(x as i64) } else { Value::from(x) };
    let times = facts.times.as_ref().and_then(|t| t.range);
    let day_only = matches!(facts.data_type, DataType::Date32 | DataType::Date64);
    let time = |t: i64| Value::from(time_text(t, day_only));
    ColumnProfile {
        name: facts.name.clone(),
        kind,
        data_type: facts.data_type.to_string(),
        missing: facts.missing,
        missing_share: facts.missing as f64 / facts.rows.max(1) as f64,
        distinct: facts.distinct.count(),
        distinct_exact: facts.distinct.is_exact(),
        min: numbers.map(|n| number(n.moments.min)).or(times.map(|(low, _)| time(low))),
        max: numbers.map(|n| number(n.moments.max)).or(times.map(|(_, high)| time(high))),
        mean: numbers.map(|n| n.moments.mean),
        median: numbers.and_then(|n| n.sample.median()),
        median_exact: numbers.is_none_or(|n| n.sample.is_exact()),
        deviation: numbers.map(|n| n.moments.deviation()),
        top: facts.top.top(TOP).into_iter().map(|(value, count)| TopValue { value, count }).collect(),
        top_exact: facts.top.is_exact(),
    }
}

/// Microseconds since 1970 in ISO form.
pub(crate) fn time_text(microseconds: i64, day_only: bool) -> String {
    let Some(time) = chrono::DateTime::from_timestamp_micros(microseconds) else { return microseconds.to_string() };
    let format = if day_only { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" };
    time.format(format).to_string()
}
