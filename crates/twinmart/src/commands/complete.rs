//! `twinmart complete`: fill the missing values of a data file.

use super::fit::preset;
use crate::pipeline::settings;
use crate::screen::Screen;
use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use twinmart_synth::{Filling, Model};
use twinmart_tables::{
    AtomicFile, CleanRules, Error, FileFormat, Method, Missing, Preset, Progress, Project, Result, Table,
};

/// Rows that are completed between two signs of progress.
const ROWS: usize = 8_192;

/// Fill the missing values of a data file; present values stay as they are
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart complete examples/online-retail/data/online_retail.parquet --out full.parquet --method mode\n\nEach gap drawn given its row: complete customers.csv --out full.csv\nThe likeliest values: complete customers.csv --out guess.csv --point\nA model learned before, of the same columns: complete new.csv --out full.csv --model customers.twin\nHow sure the filling is, from five completions (full.1.csv to full.5.csv): complete customers.csv --out full.csv --draws 5\n\nautoregressive (default) draws each missing value given the present ones of its row, gaps of one row jointly, so that columns and how\nthey depend on each other stay as they are. --point gives the likeliest values instead: numbers by their mean, all else by the\nlikeliest; nearer to each hidden value, but completed rows vary less than real ones."
)]
pub(crate) struct Arguments {
    /// The file to complete: Parquet, CSV, JSON lines
    input: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A model of the same columns that `twinmart fit` wrote [default: one is learned from the file]
    #[arg(long, value_name = "M.twin")]
    model: Option<PathBuf>,
    /// What fills gaps: autoregressive, or mean, median or mode of each column (mean and median fill other columns than numbers by the mode)
    #[arg(long, value_enum, default_value_t)]
    method: Filler,
    /// autoregressive: the likeliest values in place of drawn ones
    #[arg(long)]
    point: bool,
    /// autoregressive: complete so many times, each with other draws, as NAME.1, NAME.2, …
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "point")]
    draws: u32,
    /// Only fill these columns [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// Size of the model that is learned: small, base or large
    #[arg(long, value_parser = preset, conflicts_with = "model")]
    preset: Option<Preset>,
    /// Stop learning after this many minutes [default: 10]
    #[arg(long, value_name = "M", conflicts_with = "model")]
    max_minutes: Option<f64>,
    /// Steps of learning at most [default: until the held-out likelihood stops improving]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    steps: Option<u64>,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
}

/// What fills gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Filler {
    #[default]
    Autoregressive,
    Mean,
    Median,
    Mode,
}

impl Filler {
    fn name(self) -> &'static str {
        match self {
            Filler::Autoregressive => "autoregressive",
            Filler::Mean => "mean",
            Filler::Median => "median",
            Filler::Mode => "mode",
        }
    }

    fn rule(self, data_type: &DataType) -> Missing {
        match self {
            Filler::Mean if data_type.is_numeric() => Missing::Mean,
            Filler::Median if data_type.is_numeric() => Missing::Median,
            _ => Missing::Mode,
        }
    }
}

/// Gaps of a column before and after.
#[derive(Debug, serde::Serialize)]
struct Filled {
    missing: usize,
    filled: usize,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let format = FileFormat::of_path(&arguments.out)?;
    let outs = outputs(&arguments)?;
    check_flags(&arguments)?;
    let project = twinmart_sources::read_project(&arguments.input)?;
    if !project.folder.as_os_str().is_empty() {
        return Err(Error::usage("a project is no data file")
            .file(&arguments.input)
            .remedy("give one file; in a project, `[clean]` has rules for missing values")
            .into());
    }
    let table = only_table(project.clone(), &arguments.input, &screen.progress)?;
    let gaps = gaps(&table, &arguments.columns)?;
    for column in gaps.iter().filter(|(_, count)| **count == table.rows()).map(|(column, _)| column) {
        let place = format!("table `{}`, column `{column}`", table.name);
        screen
            .progress
            .warn(&format!("{place}: every value is missing, so nothing says what may stand there; it stays"));
    }
    let mut told: Vec<IndexMap<String, Filled>> = Vec::new();
    let model = match arguments.method {
        Filler::Autoregressive if gaps.values().any(|count| *count > 0) => {
            Some(model(&arguments, project.clone(), &table, screen)?)
        }
        _ => None,
    };
    for (number, out) in outs.iter().enumerate() {
        let filled = match &model {
            Some(model) => by_model(model, &table, number, &arguments, screen)?,
            None => by_rule(project.clone(), &table, &gaps, &arguments, screen)?,
        };
        let wanted: Vec<usize> =
            (0..filled.num_columns()).filter(|c| gaps.contains_key(filled.schema().field(*c).name())).collect();
        let filled = filled.project(&wanted)?;
        twinmart_sources::refill(&arguments.input, &filled, out, format, arguments.overwrite, &screen.progress)?;
        let count = |(column, missing): (&String, &usize)| {
            let left = filled.column_by_name(column).map_or(*missing, |c| c.logical_null_count());
            (column.clone(), Filled { missing: *missing, filled: missing - left.min(*missing) })
        };
        told.push(gaps.iter().filter(|(_, missing)| **missing > 0).map(count).collect());
    }
    result(&arguments, &outs, table.rows(), &told[0], screen)
}

/// The files to write, all of which can be written.
fn outputs(arguments: &Arguments) -> Result<Vec<PathBuf>> {
    let out = &arguments.out;
    let one = |number: u32| {
        let name = out.file_stem().unwrap_or_default().to_string_lossy();
        let end = out.extension().map_or_else(String::new, |e| format!(".{}", e.to_string_lossy()));
        out.with_file_name(format!("{name}.{number}{end}"))
    };
    let outs: Vec<PathBuf> =
        if arguments.draws == 1 { vec![out.clone()] } else { (1..=arguments.draws).map(one).collect() };
    let place = |path: &Path| path.canonicalize().ok();
    for out in &outs {
        if place(out).is_some_and(|out| Some(out) == place(&arguments.input)) {
            return Err(Error::usage("the completed file would replace the one that it comes from")
                .file(out)
                .remedy("give --out another name")
                .into());
        }
        drop(AtomicFile::create(out, arguments.overwrite)?);
    }
    Ok(outs)
}

fn check_flags(arguments: &Arguments) -> Result<()> {
    let learns = arguments.preset.is_some() || arguments.max_minutes.is_some() || arguments.steps.is_some();
    let of_model = arguments.model.is_some() || arguments.point || arguments.draws > 1 || learns;
    if of_model && arguments.method != Filler::Autoregressive {
        return Err(Error::usage(format!("{} is the same for every row of a column", arguments.method.name()))
            .remedy("leave out --model, --point, --draws, --preset, --max-minutes and --steps, or use --method autoregressive")
            .into());
    }
    Ok(())
}

fn only_table(project: Project, path: &Path, progress: &Progress) -> Result<Table> {
    let tables = twinmart_sources::load_project(project, None, progress)?.shop.tables;
    tables.into_iter().next().ok_or_else(|| Error::data("no table").file(path).into())
}

/// Missing values of the columns to fill.
fn gaps(table: &Table, columns: &[String]) -> Result<IndexMap<String, usize>> {
    columns.iter().try_for_each(|column| table.position(column).map(drop))?;
    let fields = table.schema.fields().iter().enumerate();
    let of = fields.filter(|(_, field)| columns.is_empty() || columns.contains(field.name()));
    let count = |column: usize| table.batches.iter().map(|b| b.column(column).logical_null_count()).sum();
    Ok(of.map(|(column, field)| (field.name().clone(), count(column))).collect())
}

/// The given model, or one that is learned from the table.
fn model(arguments: &Arguments, project: Project, table: &Table, screen: &Screen) -> Result<Model> {
    if let Some(path) = &arguments.model {
        return Model::load(path);
    }
    let mut settings = settings(&project, Some(Method::Autoregressive.name()), screen.seed(project.project.seed))?;
    settings.preset = arguments.preset.unwrap_or(settings.preset);
    settings.max_minutes = arguments.max_minutes.unwrap_or(settings.max_minutes);
    settings.steps = arguments.steps.unwrap_or(settings.steps);
    let shop = twinmart_tables::Shop { project, tables: vec![table.clone()] };
    twinmart_synth::fit(&shop, &settings, &screen.progress)
}

/// The table completed by a model, for the given time.
fn by_model(
    model: &Model,
    table: &Table,
    number: usize,
    arguments: &Arguments,
    screen: &Screen,
) -> Result<RecordBatch> {
    let filling = if arguments.point { Filling::Points } else { Filling::Draws };
    // Completions draw from rows of their own, so that the first is the one without --draws.
    let first = (number as u64) << 40;
    let seed = screen.seed(model.manifest().seed);
    let rows = table.to_batch()?;
    let task = screen.progress.start("completing", Some(rows.num_rows() as u64), "rows");
    let mut parts = Vec::new();
    for start in (0..rows.num_rows()).step_by(ROWS) {
        let part = rows.slice(start, ROWS.min(rows.num_rows() - start));
        parts.push(model.complete_from(&part, first + start as u64, seed, filling)?);
        task.advance(part.num_rows() as u64)?;
    }
    Ok(concat_batches(&parts[0].schema(), &parts)?)
}

/// The table completed by a number or value for each column.
fn by_rule(
    mut project: Project,
    table: &Table,
    gaps: &IndexMap<String, usize>,
    arguments: &Arguments,
    screen: &Screen,
) -> Result<RecordBatch> {
    let mut rules = CleanRules::default();
    for (column, _) in gaps.iter().filter(|(_, count)| (1..table.rows()).contains(count)) {
        let data_type = table.schema.field(table.position(column)?).data_type();
        rules.missing.insert(column.clone(), arguments.method.rule(data_type));
    }
    project.clean.insert(table.name.clone(), rules);
    only_table(project, &arguments.input, &screen.progress)?.to_batch()
}

fn result(
    arguments: &Arguments,
    outs: &[PathBuf],
    rows: usize,
    columns: &IndexMap<String, Filled>,
    screen: &Screen,
) -> Result<()> {
    let mut human = match outs {
        [first, .., last] => format!("wrote {} to {}: {rows} rows each", first.display(), last.display()),
        _ => format!("wrote {}: {rows} rows", arguments.out.display()),
    };
    let width = columns.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, Filled { missing, filled }) in columns {
        let left = if filled < missing { format!(", {} stay missing", missing - filled) } else { String::new() };
        human.push_str(&format!("\n  {name:<width$}  {filled} of {missing} filled{left}"));
    }
    if columns.is_empty() {
        human.push_str("\n  no value was missing");
    }
    let outs: Vec<String> = outs.iter().map(|out| out.display().to_string()).collect();
    let method = arguments.method.name();
    let told = serde_json::json!({ "out": outs, "rows": rows, "method": method, "point": arguments.point, "columns": columns });
    screen.result(&human, &told)
}
