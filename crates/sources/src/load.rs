//! From a project file (or a plain data file) to a [`Shop`]: read, clean, run the SQL, clean again, name the kinds, check.

use crate::clean::Cleaned;
use crate::constraints;
use crate::detect::{check_names, kinds_of};
use crate::engine::Engine;
use crate::report::CleaningReport;
use crate::reservoir::{Reservoir, RowSample};
use crate::rows::{MemoryRows, Rows};
use crate::source::{Source, find_files};
use crate::standardize::Fitted;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_tables::{ColumnKind, Error, Progress, Project, Result, Role, Shop, Table, TableDefinition, Task};

/// A project with its data.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project file; for a plain file, one made up with a single plain table.
    pub project: Project,
    /// The tables after cleaning, keys and references checked.
    pub shop: Shop,
    /// What cleaning did.
    pub cleaning: CleaningReport,
    /// The fitted scalings of `standardize`; see [`crate::invert`].
    pub transforms: Vec<Fitted>,
}

/// Loads a project file (`.toml`) or a plain data file, folder or glob.
pub fn load(path: &Path, progress: &Progress) -> Result<Loaded> {
    load_project(read_project(path)?, None, progress)
}

/// Loads the data of a project; one without a folder is taken for that of a plain file ([`read_project`]).
///
/// With a `sample`, of a long table only that is kept, in memory that does not grow with the table; every row is checked, the kept and
/// the others. Tables that do not stand alone, or have a key, references, rules or constraints, are kept whole.
pub fn load_project(project: Project, sample: Option<&RowSample>, progress: &Progress) -> Result<Loaded> {
    let collected = Collected::new(&project, sample, progress)?;
    for table in &collected.tables {
        check(table, Origin::of(&project))?;
    }
    let Collected { tables, cleaning, transforms, .. } = collected;
    let shop = Shop { project: project.clone(), tables };
    shop.check_keys()?;
    Ok(Loaded { project, shop, cleaning, transforms })
}

/// Where a table's rows come from: remedies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Project,
    File,
    Memory,
}

impl Origin {
    fn of(project: &Project) -> Origin {
        if project.folder.as_os_str().is_empty() { Origin::File } else { Origin::Project }
    }
}

/// What must hold of every table before anything is learned from it.
pub(crate) fn check(table: &Table, origin: Origin) -> Result<()> {
    check_time(table)?;
    check_kinds(table)?;
    let mut first_row = 0;
    for batch in &table.batches {
        check_batch(origin, &table.definition, &table.name, batch, first_row)?;
        first_row += batch.num_rows() as u64;
    }
    Ok(())
}

/// Checks the values of a batch whose first row is `first_row` of the table.
fn check_batch(
    origin: Origin,
    definition: &TableDefinition,
    name: &str,
    batch: &RecordBatch,
    first_row: u64,
) -> Result<()> {
    check_finite(origin, name, batch, first_row)?;
    check_ranges(definition, name, batch, first_row)
}

/// The project behind a path. A plain file gives a project with one table, named after the file, and no folder.
pub fn read_project(path: &Path) -> Result<Project> {
    if path.extension().is_some_and(|e| e == "toml") {
        return Project::read(path);
    }
    let name = table_name(path);
    let mut project = Project::default();
    project.project.name.clone_from(&name);
    let source = Some(path.to_string_lossy().into_owned());
    project.tables.insert(name, TableDefinition { source, ..TableDefinition::default() });
    Ok(project)
}

/// All files that a project reads, in reading order: what its tables depend on. Errors as in [`load`].
pub fn files_of(project: &Project) -> Result<Vec<PathBuf>> {
    let of_tables =
        project.tables.values().filter_map(|t| t.source.as_ref()).filter(|s| !project.sources.contains_key(*s));
    let mut files = Vec::new();
    for path in project.sources.values().chain(of_tables) {
        files.extend_from_slice(&find_files(&project.resolve(path))?.0);
    }
    Ok(files)
}

/// A file's name without folder and extensions.
pub(crate) fn table_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().filter(|s| !s.is_empty() && !s.contains(['*', '?', '[']));
    stem.unwrap_or("data").to_string()
}

/// Sources and tables of a project before any check across tables.
pub(crate) struct Collected {
    /// Name, file and rows (after cleaning) of each source.
    pub(crate) sources: Vec<(Source, Arc<dyn Rows>)>,
    /// The tables with their kinds.
    pub(crate) tables: Vec<Table>,
    pub(crate) cleaning: CleaningReport,
    pub(crate) transforms: Vec<Fitted>,
}

impl Collected {
    /// Opens and cleans all sources, then makes all tables.
    pub(crate) fn new(project: &Project, sample: Option<&RowSample>, progress: &Progress) -> Result<Collected> {
        let mut collected = Collected::sources(project, progress)?;
        let mut engine = Engine::new()?;
        for (source, rows) in &collected.sources {
            engine.register(source.name(), rows.clone())?;
        }
        for name in project.tables.keys() {
            let table = collected.make_table(&engine, project, name, sample, progress)?;
            let rows = MemoryRows { schema: table.schema.clone(), batches: table.batches.clone() };
            engine.register(name, Arc::new(rows))?;
            collected.tables.push(table);
        }
        Ok(collected)
    }

    /// Opens and cleans all sources only.
    pub(crate) fn sources(project: &Project, progress: &Progress) -> Result<Collected> {
        let engine = Engine::new()?;
        let (cleaning, transforms) = (CleaningReport::default(), Vec::new());
        let mut collected = Collected { sources: Vec::new(), tables: Vec::new(), cleaning, transforms };
        for (name, path) in &project.sources {
            let source = Source::open(name, &project.resolve(path), progress)?;
            let rows =
                collected.clean(&engine, project, name, Arc::new(source.clone()), Some(source.rows()), progress)?;
            collected.sources.push((source, rows));
        }
        Ok(collected)
    }

    /// The rows behind the target's rules, if it has any; the report is added to the others.
    fn clean(
        &mut self,
        engine: &Engine,
        project: &Project,
        name: &str,
        rows: Arc<dyn Rows>,
        count: Option<u64>,
        progress: &Progress,
    ) -> Result<Arc<dyn Rows>> {
        let Some(rules) = project.clean.get(name) else { return Ok(rows) };
        let cleaned = Cleaned::fit(engine, name, rows, rules, progress)?;
        self.cleaning.targets.push(cleaned.report(count, progress)?);
        self.transforms.extend(cleaned.transforms());
        Ok(Arc::new(cleaned))
    }

    fn make_table(
        &mut self,
        engine: &Engine,
        project: &Project,
        name: &str,
        sample: Option<&RowSample>,
        progress: &Progress,
    ) -> Result<Table> {
        let definition = &project.tables[name];
        let sample = sample.filter(|_| may_be_sampled(project, name));
        let gathering = || Gathering::new(project, name, sample);
        let (schema, gathered) = match (&definition.sql, &definition.source) {
            (Some(sql), _) => query(engine, gathering(), sql, progress)?,
            (None, source) => {
                let source = source.as_deref().unwrap_or_default();
                let rows: Arc<dyn Rows> = match self.sources.iter().find(|(s, _)| s.name() == source) {
                    Some((_, rows)) => rows.clone(),
                    None => Arc::new(Source::open(name, &project.resolve(source), progress)?),
                };
                (rows.schema(), gather(rows.as_ref(), gathering(), progress)?)
            }
        };
        let (mut schema, (mut batches, population)) = (schema, gathered);
        if project.clean.contains_key(name) {
            let count = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
            let memory = Arc::new(MemoryRows { schema, batches });
            let rows = self.clean(engine, project, name, memory, Some(count), progress)?;
            (schema, (batches, _)) = (rows.schema(), gather(rows.as_ref(), gathering(), progress)?);
        }
        check_names(name, definition, &schema)?;
        let (name, definition) = (name.to_string(), definition.clone());
        let mut table =
            Table { name, definition, schema, kinds: Vec::new(), batches, population, constraints: Vec::new() };
        if table.rows() == 0 {
            let remedy = "check the SQL and the rules of [clean]";
            return Err(Error::data("the table has no rows").table(&table.name).remedy(remedy).into());
        }
        table.kinds = kinds_of(&table)?;
        table.constraints = project.constraints.get(&table.name).cloned().unwrap_or_default();
        constraints::check(&table, progress)?;
        Ok(table)
    }
}

/// A table that stands alone: no other one, no uniqueness of a key and no rule needs all of its rows at once.
fn may_be_sampled(project: &Project, name: &str) -> bool {
    let definition = &project.tables[name];
    project.tables.len() == 1
        && definition.role == Role::Plain
        && definition.key.is_none()
        && definition.references.is_empty()
        && !project.clean.contains_key(name)
        && !project.constraints.contains_key(name)
}

/// The rows of a table as they come.
struct Gathering<'a> {
    project: &'a Project,
    name: &'a str,
    sample: Option<&'a RowSample>,
    reservoir: Option<Reservoir>,
    batches: Vec<RecordBatch>,
    seen: u64,
}

impl<'a> Gathering<'a> {
    fn new(project: &'a Project, name: &'a str, sample: Option<&'a RowSample>) -> Gathering<'a> {
        Gathering { project, name, sample, reservoir: None, batches: Vec::new(), seen: 0 }
    }

    fn add(&mut self, batch: RecordBatch, task: &Task) -> Result<()> {
        task.advance(batch.num_rows() as u64)?;
        match self.sample {
            Some(sample) => {
                // Rows that are not kept are seen here only.
                let origin = Origin::of(self.project);
                check_batch(origin, &self.project.tables[self.name], self.name, &batch, self.seen)?;
                self.seen += batch.num_rows() as u64;
                let columns = batch.num_columns();
                self.reservoir.get_or_insert_with(|| Reservoir::new(sample, self.name, columns)).add(batch)?;
            }
            None if batch.num_rows() > 0 => self.batches.push(batch),
            None => {}
        }
        Ok(())
    }

    /// The rows, and of how many they are a sample.
    fn finish(self) -> Result<(Vec<RecordBatch>, Option<u64>)> {
        self.reservoir.map_or(Ok((self.batches, None)), Reservoir::finish)
    }
}

/// Rows, and of how many they are a sample.
type Gathered = (Vec<RecordBatch>, Option<u64>);

fn query(engine: &Engine, mut gathering: Gathering, sql: &str, progress: &Progress) -> Result<(SchemaRef, Gathered)> {
    let name = gathering.name;
    let task = progress.start(&format!("table {name}"), None, "rows");
    let schema = engine.select(name, sql, progress, &mut |batch| gathering.add(batch, &task))?;
    Ok((schema, gathering.finish()?))
}

fn gather(rows: &dyn Rows, mut gathering: Gathering, progress: &Progress) -> Result<Gathered> {
    let task = progress.start(&format!("table {}", gathering.name), None, "rows");
    for batch in rows.read() {
        gathering.add(batch?, &task)?;
    }
    gathering.finish()
}

/// NaN and infinity have no place in a table: no statistic survives them.
fn check_finite(origin: Origin, name: &str, batch: &RecordBatch, first_row: u64) -> Result<()> {
    for (position, field) in batch.schema().fields().iter().enumerate() {
        if !matches!(field.data_type(), DataType::Float32 | DataType::Float64) {
            continue;
        }
        let values = crate::statistics::numbers(batch.column(position))?;
        let Some(row) = values.iter().position(|x| x.is_some_and(|x| !x.is_finite())) else { continue };
        let value = values.value(row);
        let column = quoted(field.name());
        let condition = if value.is_nan() { format!("isnan({column})") } else { format!("abs({column}) > 1.7e308") };
        let rule = format!("[clean.{}] drop_invalid = ['{condition}']", quoted(name));
        let remedy = match origin {
            Origin::Project => format!("add {rule}"),
            Origin::File => format!("make a project file (twinmart init) and add {rule}"),
            Origin::Memory => "make the value missing or leave the row out".to_string(),
        };
        let what = if value.is_nan() { "the value is not a number (NaN)" } else { "the value is infinite" };
        return Err(Error::data(what)
            .table(name)
            .column(field.name())
            .row(first_row + row as u64 + 1)
            .value(value)
            .remedy(remedy)
            .into());
    }
    Ok(())
}

/// A kind that the project asks for must fit the values: an order needs numbers or moments.
fn check_kinds(table: &Table) -> Result<()> {
    for (column, options) in &table.definition.columns {
        let (Some(kind), values) = (options.kind, table.column(column)?) else { continue };
        let moments = matches!(values.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64);
        let fits = match kind {
            ColumnKind::Integer | ColumnKind::Number => values.data_type().is_numeric(),
            ColumnKind::Date | ColumnKind::Datetime => moments,
            ColumnKind::Boolean => values.data_type() == &DataType::Boolean,
            _ => true,
        };
        if !fits {
            let what = format!("values of type {} are no {} column", values.data_type(), kind.name());
            let first = values.as_string_opt::<i32>().and_then(|text| text.iter().flatten().next());
            let problem = first.map_or(Error::usage(what.clone()), |value| Error::usage(what).value(value));
            let remedy = "cast the column in SQL, or give it another kind (or none)";
            return Err(problem.table(&table.name).column(column).remedy(remedy).into());
        }
    }
    Ok(())
}

/// `min` and `max` of `[tables.NAME.columns]` hold in every row; a twin's numbers stay within the learned ones.
fn check_ranges(definition: &TableDefinition, name: &str, batch: &RecordBatch, first_row: u64) -> Result<()> {
    for (column, options) in &definition.columns {
        let (low, high) = (options.min.unwrap_or(f64::NEG_INFINITY), options.max.unwrap_or(f64::INFINITY));
        if options.min.is_none() && options.max.is_none() {
            continue;
        }
        // A name that the table does not have is an error of its own.
        let Some(values) = batch.column_by_name(column) else { continue };
        if !values.data_type().is_numeric() {
            return Err(Error::usage(format!("min and max need numbers, the column is {}", values.data_type()))
                .table(name)
                .column(column)
                .remedy("remove min and max")
                .into());
        }
        let numbers = crate::statistics::numbers(values)?;
        let outside = |x: Option<f64>| x.is_some_and(|x| x < low || x > high);
        if let Some(row) = numbers.iter().position(outside) {
            let quoted_column = quoted(column);
            let limit = if numbers.value(row) < low {
                format!("{quoted_column} < {low}")
            } else {
                format!("{quoted_column} > {high}")
            };
            return Err(Error::data("the value lies outside min and max of the project file")
                .table(name)
                .column(column)
                .row(first_row + row as u64 + 1)
                .value(numbers.value(row))
                .remedy(format!("correct min and max, or add [clean.{}] drop_invalid = ['{limit}']", quoted(name)))
                .into());
        }
    }
    Ok(())
}

/// The time of an events table orders it: a timestamp, a date or an integer.
fn check_time(table: &Table) -> Result<()> {
    let Some(column) = table.definition.time.as_deref().filter(|_| table.definition.role == Role::Events) else {
        return Ok(());
    };
    let values = table.column(column)?;
    let fits = match values.data_type() {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => true,
        other => other.is_integer(),
    };
    if fits {
        return Ok(());
    }
    let problem =
        Error::data(format!("the time is of type {}, not a timestamp, a date or an integer", values.data_type()));
    let first = values.as_string_opt::<i32>().and_then(|text| text.iter().flatten().next());
    let problem = first.map_or(problem.clone(), |value| problem.value(value));
    let remedy = format!("cast it in SQL, for example to_timestamp({}, '%d/%m/%Y %H:%M')", quoted(column));
    Err(problem.table(&table.name).column(column).remedy(remedy).into())
}

/// A name as SQL and TOML take it: quoted where it is not a plain word.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let digit = name.bytes().next().is_none_or(|b| b.is_ascii_digit());
    if plain && !digit { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
