//! The command line: every flag declared once, with its help; raw arguments become a command, the command runs.

use crate::commands;
use crate::screen::Screen;
use clap::{Args, Parser, Subcommand};
use std::time::Duration;
use twinmart_tables::{Error, Result};

/// Learn from a shop's own data, make a twin, train recommenders on either, and prove how good the twin is.
#[derive(Debug, Parser)]
#[command(name = "twinmart", version, propagate_version = true, term_width = 0)]
#[command(
    after_help = "Start here:\n  twinmart init data/*.parquet --out twinmart.toml\n  twinmart run twinmart.toml --out out\n\nEvery command explains itself with an example: twinmart fit --help"
)]
pub struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// Print one JSON object on standard output, everything else on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Seed of every random draw [default: the project's, else 0]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Threads to use; results do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// No progress bars, only results, warnings and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more: each stage and its settings
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

/// The flag of commands that learn for long.
#[derive(Debug, Args)]
pub(crate) struct Keeping {
    /// Seconds of learning between two checkpoints; after an interruption the same command goes on from the last one; 0 = keep none [default: 30]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) checkpoint_seconds: Option<Duration>,
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "give a number of seconds, 0 or more".into())
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(commands::run::Arguments),
    Init(commands::init::Arguments),
    Profile(commands::profile::Arguments),
    Clean(commands::clean::Arguments),
    Fit(commands::fit::Arguments),
    Sample(commands::sample::Arguments),
    Complete(commands::complete::Arguments),
    Augment(commands::augment::Arguments),
    Predict(commands::predict::Arguments),
    Assess(commands::assess::Arguments),
    Split(commands::split::Arguments),
    Train(commands::train::Arguments),
    Evaluate(commands::evaluate::Arguments),
    Recommend(commands::recommend::Arguments),
    Bench(commands::bench::Arguments),
}

/// The exit status of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The work could not be done.
    Failed = 1,
    /// Wrong usage or an invalid configuration.
    Usage = 2,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// The status for an error.
    pub fn of(error: &Error) -> Exit {
        match error {
            Error::Usage(_) => Exit::Usage,
            Error::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }
}

/// Runs a parsed command line.
pub fn run(cli: Cli) -> Result<()> {
    if let Some(threads) = cli.shared.threads {
        // Fails only where a pool exists already, as in tests of the library: then that pool serves.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
    }
    let screen = Screen::open(&cli.shared)?;
    match cli.command {
        Command::Run(a) => commands::run::run(a, &screen),
        Command::Init(a) => commands::init::run(a, &screen),
        Command::Profile(a) => commands::profile::run(a, &screen),
        Command::Clean(a) => commands::clean::run(a, &screen),
        Command::Fit(a) => commands::fit::run(a, &screen),
        Command::Sample(a) => commands::sample::run(a, &screen),
        Command::Augment(a) => commands::augment::run(a, &screen),
        Command::Complete(a) => commands::complete::run(a, &screen),
        Command::Predict(a) => commands::predict::run(a, &screen),
        Command::Assess(a) => commands::assess::run(a, &screen),
        Command::Split(a) => commands::split::run(a, &screen),
        Command::Train(a) => commands::train::run(a, &screen),
        Command::Evaluate(a) => commands::evaluate::run(a, &screen),
        Command::Recommend(a) => commands::recommend::run(a, &screen),
        Command::Bench(a) => commands::bench::run(a, &screen),
    }
}
