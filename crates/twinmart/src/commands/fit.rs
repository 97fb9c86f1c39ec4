//! `twinmart fit`: learn a synthesizer.

use crate::cli::Keeping;
use crate::pipeline::{Parts, settings};
use crate::screen::Screen;
use std::path::{Path, PathBuf};
use twinmart_sources::RowSample;
use twinmart_tables::{AtomicFile, Checkpoints, Error, Interpolation, Method, Preset, Result, Table, Target};

/// Learn a synthesizer from a project or one table and save it as one file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart fit examples/online-retail/twinmart.toml --out shop.twin\n  twinmart fit examples/online-retail/twinmart.toml --out floor.twin --method independent\n\nA single table, learned in at most two minutes: fit customers.csv --out customers.twin --max-minutes 2\nMore rows of a rare class: fit orders.csv --out fraud.twin --method interpolate --interpolation borderline --target fraud=yes\nLonger histories of real users: fit shop/twinmart.toml --out longer.twin --method replicate --extend 10\n\nAfter Ctrl-C or a crash the same command goes on from the checkpoints in M.twin.checkpoints, to the same model. They say as much of your data as the model does, and are removed once it is written."
)]
pub(crate) struct Arguments {
    /// A project file, or one data file
    input: PathBuf,
    /// The model file to write
    #[arg(long, value_name = "M.twin")]
    out: PathBuf,
    /// autoregressive, interpolate, replicate or independent [default: the project's, else autoregressive]
    #[arg(long)]
    method: Option<String>,
    /// Size of a learned model: small (minutes on a CPU), base or large (slower, closer) [default: the project's, else small]
    #[arg(long, value_parser = preset)]
    preset: Option<Preset>,
    /// Stop learning a table after this many minutes, but not before a first model [default: the project's, else 10]
    #[arg(long, value_name = "M")]
    max_minutes: Option<f64>,
    /// Steps of learning at most [default: until the held-out likelihood stops improving; histories: three passes at most]
    #[arg(long, value_name = "N", alias = "epochs")]
    steps: Option<u64>,
    /// interpolate: between which rows of a plain table new rows lie: smote, borderline or mixup [default: the project's, else smote]
    #[arg(long, value_name = "NAME")]
    interpolation: Option<String>,
    /// borderline: the class whose rows are made, for example fraud=yes
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = target)]
    target: Option<Target>,
    /// replicate: give users of fewer than N events earlier ones, drawn by a model that reads histories backwards [default: the project's, else nobody]
    #[arg(long, value_name = "N")]
    extend: Option<usize>,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    keeping: Keeping,
}

pub(super) fn preset(name: &str) -> std::result::Result<Preset, String> {
    match name {
        "small" => Ok(Preset::Small),
        "base" => Ok(Preset::Base),
        "large" => Ok(Preset::Large),
        _ => Err("use small, base or large".into()),
    }
}

fn target(text: &str) -> std::result::Result<Target, String> {
    Target::try_from(text.to_string())
}

/// Where a model's checkpoints lie: beside it, under its name.
fn checkpoints_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".checkpoints");
    name.into()
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let place = |path: &Path| path.canonicalize().ok();
    if place(&arguments.out).is_some_and(|out| Some(out) == place(&arguments.input)) {
        return Err(Error::usage("the model would replace the data it is learned from")
            .file(&arguments.out)
            .remedy("give --out another name")
            .into());
    }
    drop(AtomicFile::create(&arguments.out, arguments.overwrite)?);
    let kept = checkpoints_of(&arguments.out);
    let every = arguments.keeping.checkpoint_seconds.unwrap_or(Checkpoints::INTERVAL);
    let checkpoints = Checkpoints::open(&kept, every)?;
    let interpolation = arguments.interpolation.as_deref().map(Interpolation::parse).transpose()?;
    let mut project = twinmart_sources::read_project(&arguments.input)?;
    let of_rows = interpolation.is_some() || arguments.target.is_some();
    let synthesis = &mut project.synthesis;
    synthesis.interpolation = interpolation.unwrap_or(synthesis.interpolation);
    synthesis.target = arguments.target.or(synthesis.target.take());
    synthesis.extend = arguments.extend.unwrap_or(synthesis.extend);
    let mut settings = settings(&project, arguments.method.as_deref(), screen.seed(project.project.seed))?;
    settings.preset = arguments.preset.unwrap_or(settings.preset);
    settings.max_minutes = arguments.max_minutes.unwrap_or(settings.max_minutes);
    settings.steps = arguments.steps.unwrap_or(settings.steps);
    if of_rows && settings.method != Method::Interpolate {
        screen.progress.warn(&format!(
            "--interpolation and --target change nothing: the method is {}; use --method interpolate",
            settings.method.name()
        ));
    }
    if arguments.extend.is_some_and(|events| events > 1) && !settings.extends() {
        screen.progress.warn(&format!(
            "--extend changes nothing: the method is {}; use --method replicate",
            settings.method.name()
        ));
    }
    let learns = settings.method == Method::Autoregressive || settings.extends();
    let told = arguments.preset.is_some() || arguments.max_minutes.is_some() || arguments.steps.is_some();
    if !learns && (told || arguments.keeping.checkpoint_seconds.is_some()) {
        screen.progress.warn(&format!(
            "--preset, --max-minutes, --steps and --checkpoint-seconds change nothing: the method {} has no training steps",
            settings.method.name()
        ));
    }
    let sample = (!settings.method.keeps_rows()).then(|| RowSample::new(settings.seed));
    let loaded = twinmart_sources::load_project(project, sample.as_ref(), &screen.progress)?;
    let parts = Parts::of(&loaded.shop, settings.seed)?;
    drop(loaded);
    let progress = screen.progress.keeping(checkpoints.clone());
    let model = twinmart_synth::fit(&parts.train, &settings, &progress).inspect_err(|error| {
        if matches!(error, Error::Interrupted) && checkpoints.any() {
            let kept = kept.display();
            screen.progress.note(&format!("{kept} has what was learned so far: the same command goes on from there"));
        }
    })?;
    model.save(&arguments.out, arguments.overwrite)?;
    if let Err(error) = checkpoints.remove() {
        screen.progress.warn(&format!("the checkpoints are of no more use and could not be removed: {error}"));
    }
    let manifest = model.manifest();
    let rows = parts.train.tables.iter().map(Table::rows).sum::<usize>() as u64;
    let of = match manifest.tables.iter().map(|t| t.rows).sum::<u64>() {
        all if all > rows => format!(" drawn from {all}"),
        _ => String::new(),
    };
    let human = format!(
        "{}: {} on {} tables, {rows} rows{of}; sample it with  twinmart sample {} --out twin",
        arguments.out.display(),
        settings.method.name(),
        parts.train.tables.len(),
        arguments.out.display(),
    );
    screen.result(&human, manifest)
}
