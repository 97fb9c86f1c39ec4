//! `twinmart profile`: what is in the data and what is wrong with it.

use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_tables::Result;

/// Show what is in the data and what is wrong with it, column by column
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart profile examples/online-retail/twinmart.toml\n  twinmart profile examples/online-retail/data/online_retail.parquet --json"
)]
pub(crate) struct Arguments {
    /// A project file, or one data file (.parquet, .csv, .jsonl, also .gz or .zst), folder or glob
    input: PathBuf,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let profile = twinmart_sources::profile(&arguments.input, &screen.progress)?;
    screen.result(&twinmart_sources::profile_text(&profile), &profile)
}
