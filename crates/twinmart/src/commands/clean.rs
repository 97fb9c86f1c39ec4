//! `twinmart clean`: the cleaned tables as files, with a report of what each rule did.

use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_tables::Result;

/// Apply the cleaning rules and write the cleaned tables; also converts between file formats
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart clean examples/online-retail/twinmart.toml --out cleaned\n  twinmart clean examples/online-retail/data/online_retail.parquet --out online_retail.csv"
)]
pub(crate) struct Arguments {
    /// A project file, or one data file
    input: PathBuf,
    /// Folder for the tables of a project; file for one data file
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Format of the output [default: by the file's name, else parquet]
    #[arg(long, value_name = "FORMAT")]
    format: Option<super::sample::Format>,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let format = arguments.format.map(Into::into);
    let report =
        twinmart_sources::convert(&arguments.input, &arguments.out, format, arguments.overwrite, &screen.progress)?;
    let human = format!("{}\nwrote {}", twinmart_sources::cleaning_text(&report), arguments.out.display());
    screen.result(&human, &report)
}
