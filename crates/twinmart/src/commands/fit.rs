//! `twinmart fit`: learn a synthesizer.

use crate::pipeline::{Parts, settings};
use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_tables::{AtomicFile, Result};

/// Learn a synthesizer from a project or one table and save it as one file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart fit examples/online-retail/twinmart.toml --out shop.twin\n  twinmart fit examples/online-retail/twinmart.toml --out floor.twin --method independent"
)]
pub(crate) struct Arguments {
    /// A project file, or one data file
    input: PathBuf,
    /// The model file to write
    #[arg(long, value_name = "M.twin")]
    out: PathBuf,
    /// replicate, interpolate or independent [default: the project's, else interpolate]
    #[arg(long)]
    method: Option<String>,
    /// Size of a learned model: small, base or large (the present methods learn nothing that has a size)
    #[arg(long, value_parser = ["small", "base", "large"])]
    preset: Option<String>,
    /// Stop learning after this many minutes (the present methods stop by themselves)
    #[arg(long, value_name = "M")]
    max_minutes: Option<f64>,
    /// Passes over the data (the present methods make one)
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    drop(AtomicFile::create(&arguments.out, arguments.overwrite)?);
    if arguments.preset.is_some() || arguments.max_minutes.is_some() || arguments.epochs.is_some() {
        screen.progress.warn("--preset, --max-minutes and --epochs change nothing: this method has no training steps");
    }
    let loaded = twinmart_sources::load(&arguments.input, &screen.progress)?;
    let settings = settings(&loaded.project, arguments.method.as_deref(), screen.seed(loaded.project.project.seed))?;
    let parts = Parts::of(&loaded.shop, settings.seed)?;
    let model = twinmart_synth::fit(&parts.train, &settings, &screen.progress)?;
    model.save(&arguments.out, arguments.overwrite)?;
    let manifest = model.manifest();
    let human = format!(
        "{}: {} on {} tables, {} rows; sample it with  twinmart sample {} --out twin",
        arguments.out.display(),
        settings.method.name(),
        parts.train.tables.len(),
        parts.train.tables.iter().map(|t| t.rows()).sum::<usize>(),
        arguments.out.display(),
    );
    screen.result(&human, manifest)
}
