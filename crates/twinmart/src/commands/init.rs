//! `twinmart init`: write a project file from the data.

use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_tables::{AtomicFile, Result};

/// Write a project file from the data: roles, keys, references and kinds, for you to check and edit
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  twinmart init examples/online-retail/data/online_retail.parquet --out twinmart.toml"
)]
pub(crate) struct Arguments {
    /// Data files, folders or globs; each becomes a source
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The project file to write
    #[arg(long, value_name = "FILE", default_value = "twinmart.toml")]
    out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    // Refuses an existing output before the data are read.
    let file = AtomicFile::create(&arguments.out, arguments.overwrite)?;
    drop(file);
    let text = twinmart_sources::init(&arguments.sources, &arguments.out, &screen.progress)?;
    AtomicFile::write(&arguments.out, arguments.overwrite, text.as_bytes())?;
    let path = arguments.out.display();
    let human = format!("{text}\nwrote {path}: check it, then run  twinmart run {path} --out out");
    screen.result(&human, &serde_json::json!({ "project": path.to_string(), "text": text }))
}
