//! `twinmart train`: fit recommenders.

use crate::screen::Screen;
use crate::twins::histories_of_twin;
use std::path::{Path, PathBuf};
use twinmart_rank::{Choice, REGISTRY, TrainPlan};
use twinmart_tables::{AtomicFile, Error, Histories, Progress, Result, Shop, Split, SplitKind, SplitPlan};

/// Fit recommenders on the training part of a split, on real data, a twin, or both
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart train examples/online-retail/twinmart.toml --split holdout-users --model popularity,item-knn,ease --out shop.recs\n  twinmart train examples/online-retail/twinmart.toml --split holdout-users --model ease --on twin:twin --out twin.recs\n\nRecommenders: popularity, popularity-recent, buy-again, item-knn, rules, markov, ease, ease-window, ials, event-model. The last one takes minutes, and twice as many without --defaults: all stands for the others, so name it where you want it.\n\n  event-model learns how histories go on, as `fit --method autoregressive` does, from items, times and sessions."
)]
pub(crate) struct Arguments {
    /// A project file
    project: PathBuf,
    /// temporal, leave-last-out, holdout-users or random
    #[arg(long, value_name = "SPLIT")]
    split: String,
    /// Recommenders by name, separated by commas, or all (all but event-model)
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', required = true)]
    model: Vec<String>,
    /// The file of recommenders to write
    #[arg(long, value_name = "R.recs")]
    out: PathBuf,
    /// What to fit on: real, twin:DIR or both:DIR, where DIR holds the twin's tables
    #[arg(long, value_name = "SIDE", default_value = "real")]
    on: String,
    /// For `temporal`: the first moment of the target [default: the project's, else the last fifth of events]
    #[arg(long, value_name = "MOMENT")]
    test_from: Option<String>,
    /// Keep the default settings instead of choosing on a validation part of the training part
    #[arg(long)]
    defaults: bool,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    drop(AtomicFile::create(&arguments.out, arguments.overwrite)?);
    let kind = SplitKind::parse(&arguments.split)?;
    twinmart_rank::entries(&arguments.model)?;
    let side = Side::parse(&arguments.on)?;
    let loaded = twinmart_sources::load(&arguments.project, &screen.progress)?;
    let seed = screen.seed(loaded.project.project.seed);
    let plan = SplitPlan::of_project(&loaded.project, kind, seed, arguments.test_from.as_deref())?;
    let split = Split::make(&loaded.shop.histories()?, &plan)?;
    let train_on = side.histories(&split, &loaded.shop, &screen.progress)?;
    let choice = if arguments.defaults { Choice::Defaults } else { Choice::Validation };
    let plan = TrainPlan { names: arguments.model, choice, trained_on: side.name().into(), seed };
    let recommenders = twinmart_rank::train(&split, &train_on, &plan, &screen.progress)?;
    recommenders.save(&arguments.out, arguments.overwrite)?;
    let mut human = format!("wrote {} (split {}, digest {})", arguments.out.display(), kind.name(), split.digest);
    for model in recommenders.models() {
        let about = REGISTRY.iter().find(|e| e.name == model.name).map_or("", |e| e.description);
        let score = model.validation_ndcg.map_or(String::new(), |n| format!("  validation NDCG@10 {n:.4}"));
        human.push_str(&format!("\n  {:<18} {about}{score}", model.name));
    }
    screen.result(&human, &recommenders.describe())
}

/// What recommenders are fitted on.
enum Side {
    Real,
    Twin(PathBuf),
    Both(PathBuf),
}

impl Side {
    fn parse(text: &str) -> Result<Side> {
        match text.split_once(':') {
            None if text == "real" => Ok(Side::Real),
            Some(("twin", folder)) if !folder.is_empty() => Ok(Side::Twin(folder.into())),
            Some(("both", folder)) if !folder.is_empty() => Ok(Side::Both(folder.into())),
            _ => Err(Error::usage("--on does not say what to fit on")
                .value(text)
                .remedy("write real, twin:DIR or both:DIR")
                .into()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Side::Real => "real",
            Side::Twin(_) => "twin",
            Side::Both(_) => "both",
        }
    }

    fn histories(&self, split: &Split, shop: &Shop, progress: &Progress) -> Result<Histories> {
        let twin = |folder: &Path| histories_of_twin(folder, shop, progress);
        match self {
            Side::Real => Ok(split.train.clone()),
            Side::Twin(folder) => twin(folder),
            Side::Both(folder) => split.train.joined(&twin(folder)?),
        }
    }
}
