//! `twinmart sample`: draw a twin from a model.

use super::fit::target;
use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_synth::Model;
use twinmart_tables::{Error, FileFormat, Result, Target};

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
    after_help = "Examples:\n  twinmart sample shop.twin --out twin --users 10000\n\nRows that all have a value, from a model by the method gan: sample adult.twin --out rich.parquet --given income=>50K"
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
    /// A value that all rows shall have, for models of one table by the method gan
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = target)]
    given: Option<Target>,
    /// Format of the tables [default: by the file's name, else parquet]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
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
    let sampler = model.sampler(size, screen.seed(model.manifest().seed))?;
    let sampler = match &arguments.given {
        Some(given) => sampler.given(given)?,
        None => sampler,
    };
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
