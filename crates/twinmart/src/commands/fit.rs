//! `twinmart fit`: learn a synthesizer.

use crate::cli::Keeping;
use crate::curves::{CurveFormat, curves_of, write_curves};
use crate::pipeline::{Parts, settings};
use crate::screen::Screen;
use std::path::{Path, PathBuf};
use twinmart_sources::RowSample;
use twinmart_synth::training_log::{Log, Scores};
use twinmart_synth::{FitSettings, Model};
use twinmart_tables::constraint::Constraint;
use twinmart_tables::{
    AtomicFile, Body, Checkpoints, Error, Interpolation, Loss, Method, Preset, Project, Result, SynthesisSection,
    Table, Target,
};

/// Learn a synthesizer from a project or one table and save it as one file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart fit examples/online-retail/twinmart.toml --out shop.twin\n  twinmart fit examples/online-retail/twinmart.toml --out floor.twin --method independent\n\nA single table, learned in at most two minutes: fit customers.csv --out customers.twin --max-minutes 2\nMore rows of a rare class: fit orders.csv --out fraud.twin --method interpolate --interpolation borderline --target fraud=yes\nA rule that every row keeps: fit orders.csv --out orders.twin --constraint 'total = price * quantity'\nLonger histories of real users: fit shop/twinmart.toml --out longer.twin --method replicate --extend 10\nGenerator against discriminator, with a picture of how they learned: fit customers.csv --out gan.twin --method gan --epochs 100 --curves losses.svg\n\nAfter Ctrl-C or a crash the same command goes on from the checkpoints in M.twin.checkpoints, to the same model. They say as much of your data as the model does, and are removed once it is written."
)]
pub(crate) struct Arguments {
    /// A project file, or one data file
    input: PathBuf,
    /// The model file to write
    #[arg(long, value_name = "M.twin")]
    out: PathBuf,
    /// autoregressive, gan, interpolate, replicate or independent [default: the project's, else autoregressive]
    #[arg(long)]
    method: Option<String>,
    /// Size of a learned model: small (minutes on a CPU), base or large (slower, closer) [default: the project's, else small]
    #[arg(long, value_parser = preset)]
    preset: Option<Preset>,
    /// Stop learning a table after this many minutes, but not before a first model [default: the project's, else 10]
    #[arg(long, value_name = "M")]
    max_minutes: Option<f64>,
    /// Steps of learning at most; for gan epochs [default: until the held-out likelihood stops improving; histories: three passes at most; gan: until held-out data say that more is no better]
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
    /// One table: what every row of a twin keeps, for example 'total = price * quantity'; may be given again and again. Rules of
    /// a project stand in its file, under [constraints]
    #[arg(long, value_name = "RULE")]
    constraint: Vec<Constraint>,
    #[command(flatten)]
    networks: Networks,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    keeping: Keeping,
}

/// Flags of the method `gan`.
#[derive(Debug, clap::Args)]
struct Networks {
    /// gan: what generator and discriminator are made of: mlp, cnn or rnn [default: the project's, else mlp]
    #[arg(long, value_name = "NAME")]
    body: Option<String>,
    /// gan: what they minimise: original, r1 or wgan-gp [default: the project's, else r1]
    #[arg(long, value_name = "NAME")]
    loss: Option<String>,
    /// gan: rows that the discriminator sees together, 1 to 32 [default: the project's, else 1]
    #[arg(long, value_name = "N")]
    pack: Option<usize>,
    /// gan: steps of the discriminator for one of the generator, 1 to 20 [default: the project's, else 1]
    #[arg(long, value_name = "N")]
    critic_steps: Option<usize>,
    /// gan: rows in a step, 10 to 100,000 and no fewer than --pack; more are faster and learn less in an epoch [default: the project's, else 100]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// gan: draw by the running mean of the generator's weights [default: the project's, else true]
    #[arg(long, value_name = "BOOL")]
    average: Option<bool>,
    /// gan: also write both losses and what the discriminator tells, by epoch: a picture (.svg) or numbers (.csv, .jsonl)
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
}

impl Arguments {
    fn curves(&self) -> Option<&PathBuf> {
        self.networks.curves.as_ref()
    }
}

impl Networks {
    /// Puts what was given in place of the project's.
    fn overrule(&self, synthesis: &mut SynthesisSection) -> Result<()> {
        synthesis.body = self.body.as_deref().map(Body::parse).transpose()?.unwrap_or(synthesis.body);
        synthesis.loss = self.loss.as_deref().map(Loss::parse).transpose()?.unwrap_or(synthesis.loss);
        synthesis.pack = self.pack.unwrap_or(synthesis.pack);
        synthesis.critic_steps = self.critic_steps.unwrap_or(synthesis.critic_steps);
        synthesis.batch = self.batch.unwrap_or(synthesis.batch);
        synthesis.average = self.average.unwrap_or(synthesis.average);
        Ok(())
    }

    fn any(&self) -> bool {
        let names = self.body.is_some() || self.loss.is_some() || self.curves.is_some();
        let sizes = self.pack.is_some() || self.critic_steps.is_some() || self.batch.is_some();
        names || sizes || self.average.is_some()
    }
}

pub(super) fn preset(name: &str) -> std::result::Result<Preset, String> {
    match name {
        "small" => Ok(Preset::Small),
        "base" => Ok(Preset::Base),
        "large" => Ok(Preset::Large),
        _ => Err("use small, base or large".into()),
    }
}

pub(super) fn target(text: &str) -> std::result::Result<Target, String> {
    Target::try_from(text.to_string())
}

/// Where a model's checkpoints lie: beside it, under its name.
fn checkpoints_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".checkpoints");
    name.into()
}

/// Adds the constraints of the command line to the only table.
fn constrain(project: &mut Project, constraints: Vec<Constraint>) -> Result<()> {
    match project.tables.keys().next() {
        _ if constraints.is_empty() => Ok(()),
        Some(only) if project.tables.len() == 1 => {
            project.constraints.entry(only.clone()).or_default().extend(constraints);
            Ok(())
        }
        _ => Err(Error::usage("--constraint is for one table, and this project has several")
            .remedy("write the rules under [constraints] in the project file, by table")
            .into()),
    }
}

pub(crate) fn run(mut arguments: Arguments, screen: &Screen) -> Result<()> {
    check_outputs(&arguments)?;
    let kept = checkpoints_of(&arguments.out);
    let every = arguments.keeping.checkpoint_seconds.unwrap_or(Checkpoints::INTERVAL);
    let checkpoints = Checkpoints::open(&kept, every)?;
    let interpolation = arguments.interpolation.as_deref().map(Interpolation::parse).transpose()?;
    let mut project = twinmart_sources::read_project(&arguments.input)?;
    constrain(&mut project, std::mem::take(&mut arguments.constraint))?;
    let of_rows = interpolation.is_some() || arguments.target.is_some();
    let synthesis = &mut project.synthesis;
    synthesis.interpolation = interpolation.unwrap_or(synthesis.interpolation);
    synthesis.target = arguments.target.take().or(synthesis.target.take());
    synthesis.extend = arguments.extend.unwrap_or(synthesis.extend);
    arguments.networks.overrule(synthesis)?;
    let mut settings = settings(&project, arguments.method.as_deref(), screen.seed(project.project.seed))?;
    settings.preset = arguments.preset.unwrap_or(settings.preset);
    settings.max_minutes = arguments.max_minutes.unwrap_or(settings.max_minutes);
    settings.steps = arguments.steps.unwrap_or(settings.steps);
    warn_of_idle_flags(&arguments, &settings, of_rows, screen);
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
    let curves = arguments.networks.curves.as_deref().filter(|_| settings.method == Method::Gan);
    if let Some(path) = curves {
        write_curves(path, arguments.overwrite, &curves_of(&model))?;
    }
    let manifest = model.manifest();
    let rows = parts.train.tables.iter().map(Table::rows).sum::<usize>() as u64;
    let of = match manifest.tables.iter().map(|t| t.rows).sum::<u64>() {
        all if all > rows => format!(" drawn from {all}"),
        _ => String::new(),
    };
    let drawn = curves.map_or_else(String::new, |path| format!("; curves: {}", path.display()));
    let told = discriminators(&model);
    let human = format!(
        "{told}{}: {} on {} tables, {rows} rows{of}{drawn}; sample it with  twinmart sample {} --out twin",
        arguments.out.display(),
        settings.method.name(),
        parts.train.tables.len(),
        arguments.out.display(),
    );
    screen.result(&human, manifest)
}

/// A line for each table that a GAN was learned of: how well the discriminator of the kept epoch tells real from made.
fn discriminators(model: &Model) -> String {
    let line = |(table, log): (&str, &Log)| {
        let epoch = log.epochs.iter().find(|epoch| epoch.epoch == log.kept)?;
        let Scores { accuracy, precision, recall, f1 } = epoch.discriminator;
        Some(format!(
            "{table}: the generator of epoch {} of {} is kept; on held-out and made examples the discriminator has accuracy \
             {accuracy:.2}, precision {precision:.2}, recall {recall:.2}, F1 {f1:.2}\n",
            epoch.epoch,
            log.epochs.len(),
        ))
    };
    model.training_logs().into_iter().filter_map(line).collect()
}

/// Refuses, before anything is learned, outputs that cannot or must not be written.
fn check_outputs(arguments: &Arguments) -> Result<()> {
    let place = |path: &Path| path.canonicalize().ok();
    for (path, what, flag) in [(Some(&arguments.out), "model", "--out"), (arguments.curves(), "picture", "--curves")] {
        let Some(path) = path else { continue };
        if place(path).is_some_and(|out| Some(out) == place(&arguments.input)) {
            return Err(Error::usage(format!("the {what} would replace the data it is learned from"))
                .file(path)
                .remedy(format!("give {flag} another name"))
                .into());
        }
        if flag == "--curves" {
            CurveFormat::of(path)?;
        }
        drop(AtomicFile::create(path, arguments.overwrite)?);
    }
    if arguments.curves() == Some(&arguments.out) {
        return Err(Error::usage("model and curves have one name")
            .file(&arguments.out)
            .remedy("give --curves another name")
            .into());
    }
    Ok(())
}

/// Says which flags change nothing, since they are another method's.
fn warn_of_idle_flags(arguments: &Arguments, settings: &FitSettings, of_rows: bool, screen: &Screen) {
    let method = settings.method.name();
    if of_rows && settings.method != Method::Interpolate {
        screen.progress.warn(&format!(
            "--interpolation and --target change nothing: the method is {method}; use --method interpolate"
        ));
    }
    if arguments.extend.is_some_and(|events| events > 1) && !settings.extends() {
        screen.progress.warn(&format!("--extend changes nothing: the method is {method}; use --method replicate"));
    }
    if arguments.networks.any() && settings.method != Method::Gan {
        screen.progress.warn(&format!(
            "--body, --loss, --pack, --critic-steps, --batch, --average and --curves change nothing: the method is {method}; use --method gan"
        ));
    }
    if arguments.preset.is_some() && settings.method == Method::Gan {
        screen.progress.warn("--preset changes nothing: the networks of the method gan have one size");
    }
    let told = arguments.preset.is_some() || arguments.max_minutes.is_some() || arguments.steps.is_some();
    if !settings.learns_in_steps() && (told || arguments.keeping.checkpoint_seconds.is_some()) {
        screen.progress.warn(&format!(
            "--preset, --max-minutes, --steps and --checkpoint-seconds change nothing: the method {method} has no training steps"
        ));
    }
}
