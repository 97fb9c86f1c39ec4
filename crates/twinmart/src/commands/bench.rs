//! `twinmart bench`: time, memory, speed and quality, measured.

use super::bench_events::{self, EventArguments, PartArguments};
use crate::bench::{Given, densities, rows};
use crate::screen::Screen;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use twinmart_tables::{Error, Method, Result};

/// Measure what methods cost and how good their twins are, on your own tables
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  twinmart bench rows cleaned/products.parquet --methods interpolate,independent --rate-rows 20000"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Rows(RowArguments),
    Events(EventArguments),
    #[command(hide = true)]
    EventsPart(PartArguments),
}

/// Compare methods, or densities, on plain tables: time, memory, rows a second, quality and privacy of the twins
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart bench rows cleaned/products.parquet --methods autoregressive,independent --rate-rows 20000\n\nOn prepared tables, next to the results of others, everything kept:\n  bench rows tables/adult tables/bank --peers results --out results\n\nThe families of densities at two minutes each:\n  bench rows tables/adult --densities --minutes 2\n\nSeconds are those of whole processes (`twinmart fit`, `twinmart sample`): start, reading and writing included; so are\nrows/s, of a draw of --rate-rows rows, and peak memory is the largest of the three. Processor seconds and memory are known\non Linux only. Every twin has as many rows as were learned from and is judged as by `twinmart assess --holdout`: indist. is\n1 − 2·(AUC − ½) of a detector, utility that of a learner (in brackets: of real rows), accuracy a share of its ceiling; dcr and\nmember are best at 0.5. A result of others is judged in the same way (here) where its twin lies beside it, else its\nFILE.score.json is shown (file)."
)]
struct RowArguments {
    /// Data files, or folders with train.parquet, test.parquet and, if you like, meta.json ({"name": …, "target": …})
    #[arg(required = true, value_name = "TABLE")]
    tables: Vec<PathBuf>,
    /// Column that learners predict [default: that of meta.json, else none]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Rows to test on, for a single TABLE [default: test.parquet, or a fifth of a file's rows, drawn by the seed]
    #[arg(long, value_name = "FILE")]
    holdout: Option<PathBuf>,
    /// Methods to compare [default: all]
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',', conflicts_with = "densities")]
    methods: Vec<String>,
    /// Stop learning after this many minutes [default: 10; for densities 2]
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Rows to draw to measure the speed
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate_rows: u64,
    /// Folder with results of other synthesizers (bench/peers/rows.py) to show in the same table
    #[arg(long, value_name = "DIR", conflicts_with = "densities")]
    peers: Option<PathBuf>,
    /// Folder to keep TABLE.METHOD.parquet (the twin), .json (costs) and .score.json (quality) in
    #[arg(long, value_name = "DIR", conflicts_with = "densities")]
    out: Option<PathBuf>,
    /// Replace results of the same names in that folder
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Compare the families of densities (trees, network, mixture, circuit) at equal time instead of methods
    #[arg(long)]
    densities: bool,
}

/// A year, as for `fit`.
const LONGEST_MINUTES: f64 = 525_600.0;

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    match &arguments.what {
        What::Rows(arguments) => run_rows(arguments, screen),
        What::Events(arguments) => bench_events::run(arguments, screen),
        What::EventsPart(arguments) => bench_events::run_part(arguments, screen),
    }
}

fn run_rows(arguments: &RowArguments, screen: &Screen) -> Result<()> {
    let minutes = arguments.minutes.unwrap_or(if arguments.densities { 2.0 } else { 10.0 });
    if !(minutes > 0.0 && minutes <= LONGEST_MINUTES) {
        return Err(Error::usage(format!("--minutes {minutes} is out of range"))
            .remedy(format!("give a number above 0, at most {LONGEST_MINUTES}"))
            .into());
    }
    let plan = plan(arguments, minutes, screen)?;
    let scratch = scratch(arguments.out.as_deref())?;
    let tables = tables(arguments, plan.seed, scratch.path(), screen)?;
    plan.check_outputs(&tables)?;
    if arguments.densities {
        compare_densities(&tables, &plan, screen)
    } else {
        compare_methods(&tables, &plan, scratch.path(), screen)
    }
}

fn plan(arguments: &RowArguments, minutes: f64, screen: &Screen) -> Result<rows::Plan> {
    let mut methods = Vec::new();
    for name in &arguments.methods {
        let method = Method::parse(name.trim())?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    if methods.is_empty() {
        methods.extend(Method::ALL);
    }
    if let Some(peers) = arguments.peers.as_ref().filter(|p| !p.is_dir()) {
        return Err(Error::usage("not a folder").file(peers).remedy("give the folder that rows.py writes to").into());
    }
    Ok(rows::Plan {
        methods,
        minutes,
        rate_rows: arguments.rate_rows,
        seed: screen.seed(0),
        out: arguments.out.clone(),
        overwrite: arguments.overwrite,
        peers: arguments.peers.clone(),
    })
}

/// A folder for models and draws, on the same file system as the results.
fn scratch(out: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".twinmart-partial-");
    let made = match out {
        Some(out) => std::fs::create_dir_all(out).and_then(|()| builder.tempdir_in(out)),
        None => builder.tempdir(),
    };
    made.map_err(|e| Error::io(out.unwrap_or(&std::env::temp_dir()), e))
}

fn tables(arguments: &RowArguments, seed: u64, scratch: &Path, screen: &Screen) -> Result<Vec<Given>> {
    if arguments.holdout.is_some() && arguments.tables.len() > 1 {
        return Err(Error::usage("--holdout is for a single table")
            .remedy("give folders with train.parquet and test.parquet, or one table")
            .into());
    }
    let (holdout, target) = (arguments.holdout.as_deref(), arguments.target.as_deref());
    let mut found: Vec<Given> = Vec::new();
    for path in &arguments.tables {
        let given = Given::find(path, holdout, target, seed, scratch, &screen.progress)?;
        if found.iter().any(|f| f.name == given.name) {
            return Err(Error::usage("two tables have this name").value(&given.name).remedy("rename one").into());
        }
        found.push(given);
    }
    Ok(found)
}

fn compare_methods(tables: &[Given], plan: &rows::Plan, scratch: &Path, screen: &Screen) -> Result<()> {
    let runs = rows::compare(tables, plan, scratch, &screen.progress)?;
    let threads = rayon::current_num_threads();
    let mut human = rows::table(&runs);
    if let Some(out) = &plan.out {
        human.push_str(&format!("\nkept in {}", out.display()));
    }
    let value = serde_json::json!({ "version": 1, "seed": plan.seed, "threads": threads, "runs": runs });
    screen.result(&human, &value)?;
    match runs.iter().find_map(|r| r.error.as_ref().filter(|_| r.is_ours())) {
        Some(error) => Err(Error::data(format!("a method failed: {error}")).into()),
        None => Ok(()),
    }
}

fn compare_densities(tables: &[Given], plan: &rows::Plan, screen: &Screen) -> Result<()> {
    let mut comparisons = Vec::new();
    for given in tables {
        comparisons.push(densities::compare(given, plan.minutes, plan.seed, &screen.progress)?);
    }
    let threads = rayon::current_num_threads();
    let value = serde_json::json!({
        "version": 1, "seed": plan.seed, "threads": threads, "minutes": plan.minutes, "tables": comparisons,
    });
    screen.result(&densities::text(&comparisons), &value)
}
