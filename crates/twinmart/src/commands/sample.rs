//! `twinmart sample`: draw a twin from a model.

use crate::screen::Screen;
use std::path::{Path, PathBuf};
use twinmart_synth::{Model, Sampler};
use twinmart_tables::condition::Condition;
use twinmart_tables::{Error, FileFormat, Progress, Result, Table};

/// The format of a written table.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Jsonl,
}

impl From<Format> for FileFormat {
    fn from(format: Format) -> FileFormat {
        match format {
            Format::Parquet => FileFormat::Parquet,
            Format::Csv => FileFormat::Csv,
            Format::Jsonl => FileFormat::JsonLines,
        }
    }
}

/// Draw a twin: tables with the real column names, order and types
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart sample shop.twin --out twin --users 10000\n\nRows that all meet conditions, from a model of one table:\n  sample adult.twin --out rich.parquet --given 'income=>50K' --given 'age >= 60'\n  sample adult.twin --out some.csv --given 'education in (Masters, Doctorate)' --rows 1000\nRows around values that a file gives, one for each row of it (missing values are drawn):\n  sample adult.twin --out people.csv --given known.csv\n\nConditions: = != < <= > >=, in (a, b), not in (a, b), is missing, is present. All of them hold in every row, nothing is drawn and\nthrown away: other columns are drawn given them. Models by the method gan take one 'column=value'."
)]
pub(crate) struct Arguments {
    /// A model that `twinmart fit` wrote
    model: PathBuf,
    /// Model of one table: the file to write; model of a project: the folder for TABLE.parquet
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Rows to draw, for a model of one table [default: as many as it was fitted on]
    #[arg(long, value_name = "N", conflicts_with = "users")]
    rows: Option<u64>,
    /// Users to draw, for a model of a project [default: as many as it was fitted on]
    #[arg(long, value_name = "N")]
    users: Option<u64>,
    /// A condition that all rows shall meet, or a file of values to draw rows around; for models of one table
    #[arg(long, value_name = "CONDITION|FILE")]
    given: Vec<String>,
    /// Format of the tables [default: by the file's name, else parquet]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
}

/// What draws the twin, given what is asked of it.
fn sampler(model: &Model, given: &[String], size: Option<u64>, screen: &Screen) -> Result<Sampler> {
    /// Rows less likely than this are told of: the model has seen nothing like them.
    const UNLIKELY: f64 = 1e-6;
    let seed = screen.seed(model.manifest().seed);
    let is_file = |text: &&String| Path::new(text).extension().is_some() && Path::new(text).is_file();
    if let Some(file) = given.iter().find(is_file) {
        if given.len() > 1 {
            return Err(Error::usage("a file of values stands alone")
                .value(file)
                .remedy("give conditions, or one file with all values")
                .into());
        }
        let rows = only_table(file.as_ref(), &screen.progress)?.to_batch()?;
        let size = size.unwrap_or(rows.num_rows() as u64);
        return model.sampler(Some(size), seed)?.given_rows(&rows);
    }
    let sampler = model.sampler(size, seed)?;
    if given.is_empty() {
        return Ok(sampler);
    }
    let parse = |text: &String| {
        text.parse::<Condition>().map_err(|told| {
            Error::from(
                Error::usage(told).remedy("or give a file (.csv, .parquet, .jsonl) of values; none has this name"),
            )
        })
    };
    let conditions = given.iter().map(parse).collect::<Result<Vec<Condition>>>()?;
    let sampler = sampler.given(&conditions)?;
    if let Some(likelihood) = sampler.likelihood()?.filter(|likelihood| *likelihood < UNLIKELY) {
        let asked = conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        screen.progress.warn(&format!(
            "{asked}: the model gives such rows a share of about {likelihood:.0e}; it has learned from none like them, so what goes \
             with it is a guess"
        ));
    }
    Ok(sampler)
}

/// The table in a file.
fn only_table(path: &Path, progress: &Progress) -> Result<Table> {
    let tables = twinmart_sources::load(path, progress)?.shop.tables;
    tables.into_iter().next().ok_or_else(|| Error::data("no table").file(path).into())
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let model = Model::load(&arguments.model)?;
    if model.is_behaviour() && arguments.rows.is_some() {
        return Err(Error::usage("--rows is for models of one table").remedy("use --users").into());
    }
    if !model.is_behaviour() && arguments.users.is_some() {
        return Err(Error::usage("--users is for models of users and events").remedy("use --rows").into());
    }
    let size = arguments.rows.or(arguments.users);
    if size == Some(0) {
        return Err(Error::usage("a twin of size 0 has nothing in it").remedy("give a number from 1 on").into());
    }
    let sampler = sampler(&model, &arguments.given, size, screen)?;
    let format = match arguments.format {
        Some(format) => format.into(),
        None if sampler.is_single_table() => FileFormat::of_path(&arguments.out)?,
        None => FileFormat::Parquet,
    };
    let written = twinmart_synth::write_twin(&sampler, &arguments.out, format, arguments.overwrite, &screen.progress)?;
    let mut human = format!("wrote {}", arguments.out.display());
    for (table, rows) in &written {
        human.push_str(&format!("\n  {table}: {rows} rows"));
    }
    let tables: serde_json::Map<_, _> = written.into_iter().map(|(t, n)| (t, n.into())).collect();
    screen.result(&human, &serde_json::json!({ "out": arguments.out.display().to_string(), "tables": tables }))
}
