//! `run`: the whole pipeline in five resumable stages, each a folder of files that the next one reads.
//!
//! ```text
//! collect ─► fit ─► sample ─► rank ─► assess        stages/collect-…  cleaned tables, cleaning.json
//!                                                   stages/fit-…      model.twin
//!                                                   stages/sample-…   twin tables
//!                                                   stages/rank-…     ranking.json
//!                                                   stages/assess-…   report.json, report.html, losses.svg, losses.csv
//! ```
//!
//! A stage's digest covers the digest of the stage before it, so a change anywhere makes again just what depends on it.

use crate::curves::{curve_files, curves_of, write_all_curves};
use crate::stages::{Counts, StageLine, Stages, read_json, write_json};
use crate::twins;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinmart_assess::report::{RankingSetup, RankingUtility, RecommenderUtility};
use twinmart_assess::{Context, Report};
use twinmart_synth::{FitSettings, Model};
use twinmart_tables::{
    Checkpoints, Digest, Error, FileFormat, Histories, Method, Progress, Project, Result, Role, Shop, Split, SplitKind,
    SplitPlan,
};

/// What to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// A project file, or one data file.
    pub input: PathBuf,
    /// The run's folder.
    pub out: PathBuf,
    /// In place of the project's seed.
    pub seed: Option<u64>,
    /// In place of the project's method.
    pub method: Option<String>,
    /// Users (rows) of the twin; as many as were learned from by default.
    pub size: Option<u64>,
    /// Forget the stages of earlier runs.
    pub overwrite: bool,
    /// Time of learning between two checkpoints, zero for none.
    pub checkpoint_every: Duration,
}

/// What a run left.
#[derive(Debug)]
pub struct RunOutcome {
    /// The report.
    pub report: Report,
    /// The stages in order, for `run.jsonl`.
    pub(crate) stages: Vec<StageLine>,
    /// The method used.
    pub method: Method,
}

/// The parts of a shop under its `[split]`: what a synthesizer may see and, where users are held out, those users.
#[derive(Debug)]
pub struct Parts {
    /// What reaches fit.
    pub train: Shop,
    /// The held-out people, with all their events.
    pub holdout: Option<Shop>,
}

impl Parts {
    /// Cuts a shop by its project's `[split]`. A usage error where a split is asked of tables without users and events.
    pub fn of(shop: &Shop, seed: u64) -> Result<Parts> {
        let split = &shop.project.split;
        if split.holdout_users.is_none() && split.test_from.is_none() {
            return Ok(Parts { train: shop.clone(), holdout: None });
        }
        let histories = shop.histories()?;
        let plan = SplitPlan::of_project(&shop.project, SplitKind::HoldoutUsers, seed, None)?;
        let held: HashSet<&str> = match split.holdout_users {
            Some(_) => plan.holdout_positions(&histories)?.into_iter().map(|u| histories.users[u].as_str()).collect(),
            None => HashSet::new(),
        };
        let mut early = vec![true; histories.event_count()];
        if let Some(from) = plan.test_from {
            for event in 0..histories.event_count() {
                early[histories.row[event]] = histories.time[event] < from;
            }
        }
        let train = shop.part(|u| !held.contains(u), |row| early[row])?;
        let holdout = if held.is_empty() { None } else { Some(shop.part(|u| held.contains(u), |row| early[row])?) };
        if train.users().is_none_or(|t| t.rows() == 0) {
            return Err(Error::data("the split leaves no user to learn from").remedy("hold out fewer users").into());
        }
        Ok(Parts { train, holdout })
    }
}

/// The settings of a fit: the project's, with the command line's on top.
pub fn settings(project: &Project, method: Option<&str>, seed: u64) -> Result<FitSettings> {
    let method = method.map(Method::parse).transpose()?;
    FitSettings::of_project(project, method, Some(seed))
}

/// Runs every stage that is not already whole and publishes the results in `options.out`.
pub fn run(options: &RunOptions, progress: &Progress) -> Result<RunOutcome> {
    // Wrong settings are refused before anything is written.
    let project = twinmart_sources::read_project(&options.input)?;
    let seed = options.seed.unwrap_or(project.project.seed);
    let settings = settings(&project, options.method.as_deref(), seed)?;
    let collect_key = collect_key(&project)?;
    let mut stages = Stages::open(&options.out, options.overwrite)?;
    let keeping = |stage: &str| Checkpoints::open(stages.checkpoints(stage), options.checkpoint_every);
    let (fit_progress, rank_progress) = (progress.keeping(keeping("fit")?), progress.keeping(keeping("rank")?));

    let collected = stages.stage("collect", &collect_key, |folder| collect(&options.input, folder, progress))?;
    let shop = twins::reopen(&collected, &project)?;
    let behaviour = shop.events().is_some();
    let parts = Parts::of(&shop, seed)?;
    drop(shop);

    let fit_key = Digest::new("fit").text(&collect_key).text(&format!("{settings:?} {:?}", project.split)).finish();
    let fitted = stages.stage("fit", &fit_key, |folder| fit(&parts.train, &settings, folder, &fit_progress))?;
    let model_path = fitted.join("model.twin");

    let sample_key = Digest::new("sample").text(&fit_key).text(&format!("{seed} {:?}", options.size)).finish();
    let twin_folder =
        stages.stage("sample", &sample_key, |folder| sample(&model_path, options.size, seed, folder, progress))?;
    let twin = twins::read_shop(&twin_folder, &parts.train, progress)?;

    let remake = Remake { project: &project, settings: &settings, size: options.size, seed };
    let rank_key = Digest::new("rank").text(&sample_key).finish();
    let ranked = stages.stage("rank", &rank_key, |folder| {
        let utility = match behaviour {
            true => Some(rank(&collected, &parts, &twin, &remake, folder, &rank_progress)?),
            false => None,
        };
        write_json(&folder.join("ranking.json"), &utility)?;
        let test_users = utility.as_ref().map_or(0, |u| u.setup.test_users) as usize;
        Ok(Counts { rows_in: twin.tables.iter().map(|t| t.rows()).sum(), rows_out: test_users })
    })?;

    let assess_key = Digest::new("assess").text(&rank_key).finish();
    let assessed = stages.stage("assess", &assess_key, |folder| {
        let model = Model::load(&model_path)?;
        let curves = (settings.method == Method::Gan).then(|| curves_of(&model));
        write_all_curves(folder, curves.as_deref().unwrap_or_default())?;
        let context = Context {
            seed,
            project: project.project.name.clone(),
            method: Some(settings.method.name().to_string()),
            contains_training_rows: Some(model.manifest().contains_training_rows),
            cleaning: read_json(&collected.join("cleaning.json"))?,
            ranking: read_json(&ranked.join("ranking.json"))?,
            training: curves,
        };
        let report = measure(&parts, &twin, behaviour, &context, progress)?;
        write_report(&report, folder)?;
        Ok(Counts { rows_in: twin.tables.iter().map(|t| t.rows()).sum(), rows_out: 1 })
    })?;

    let report: Report = read_json(&assessed.join("report.json"))?;
    let learned: Vec<&str> = report.training.iter().flatten().map(|curves| curves.table.as_str()).collect();
    let curves = curve_files(&learned);
    let mut results = vec![
        (twin_folder, "twin"),
        (model_path, "model.twin"),
        (assessed.join("report.json"), "report.json"),
        (assessed.join("report.html"), "report.html"),
    ];
    results.extend(curves.iter().map(|name| (assessed.join(name), name.as_str())));
    stages.publish(&results)?;
    remove_other_curves(&options.out, &parts.train, &curves)?;
    Ok(RunOutcome { report, stages: std::mem::take(&mut stages.lines), method: settings.method })
}

/// Removes curves that an earlier run left and this one did not make.
fn remove_other_curves(out: &Path, shop: &Shop, made: &[String]) -> Result<()> {
    let tables: Vec<&str> = shop.tables.iter().map(|t| t.name.as_str()).collect();
    let of_any_run = tables.iter().flat_map(|table| curve_files(&[table])).chain(curve_files(&tables));
    for name in of_any_run.filter(|name| !made.contains(name)) {
        match std::fs::remove_file(out.join(&name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(out.join(&name), e)),
            _ => {}
        }
    }
    Ok(())
}

/// Digest of the product's version, the project without what later stages add, and every source file's bytes.
fn collect_key(project: &Project) -> Result<String> {
    let mut digest = Digest::new("collect").text(env!("CARGO_PKG_VERSION"));
    let definition = (&project.sources, &project.tables, &project.clean);
    let definition = serde_json::to_vec(&definition).map_err(|e| Error::data(e.to_string()))?;
    digest.push(&definition);
    for path in twinmart_sources::files_of(project)? {
        let mut file = std::fs::File::open(&path).map_err(|e| Error::io(&path, e))?;
        let mut part = vec![0; 1 << 20];
        loop {
            let read = std::io::Read::read(&mut file, &mut part).map_err(|e| Error::io(&path, e))?;
            if read == 0 {
                break;
            }
            digest.push(&part[..read]);
        }
    }
    Ok(digest.finish())
}

fn collect(input: &Path, folder: &Path, progress: &Progress) -> Result<Counts> {
    let loaded = twinmart_sources::load(input, progress)?;
    let rows_out = twins::keep(&loaded.shop, folder)?;
    write_json(&folder.join("cleaning.json"), &loaded.cleaning)?;
    let rows_in = loaded.cleaning.targets.iter().map(|t| t.rows_in as usize).sum::<usize>();
    Ok(Counts { rows_in: if rows_in == 0 { rows_out } else { rows_in }, rows_out })
}

fn fit(train: &Shop, settings: &FitSettings, folder: &Path, progress: &Progress) -> Result<Counts> {
    let model = twinmart_synth::fit(train, settings, progress)?;
    model.save(folder.join("model.twin"), false)?;
    Ok(Counts { rows_in: train.tables.iter().map(|t| t.rows()).sum(), rows_out: 1 })
}

fn sample(model: &Path, size: Option<u64>, seed: u64, folder: &Path, progress: &Progress) -> Result<Counts> {
    let sampler = Model::load(model)?.sampler(size, seed)?;
    // A model of one table writes a file of that table's name, any other a folder; both end up flat in the stage's folder.
    let inner = folder.join("tables");
    let out = match sampler.tables() {
        [(name, _)] if sampler.is_single_table() => folder.join(format!("{name}.parquet")),
        _ => inner.clone(),
    };
    let written = twinmart_synth::write_twin(&sampler, &out, FileFormat::Parquet, false, progress)?;
    if inner.is_dir() {
        for (name, _) in &written {
            let file = format!("{name}.parquet");
            std::fs::rename(inner.join(&file), folder.join(&file)).map_err(|e| Error::io(&inner, e))?;
        }
        std::fs::remove_dir(&inner).map_err(|e| Error::io(&inner, e))?;
    }
    Ok(Counts { rows_in: 1, rows_out: written.iter().map(|(_, n)| *n as usize).sum() })
}

/// How the run makes twins.
struct Remake<'a> {
    project: &'a Project,
    settings: &'a FitSettings,
    size: Option<u64>,
    seed: u64,
}

impl Remake<'_> {
    /// What a twin of the events before `moment` does. A twin of everything has seen the future that is tested on, through
    /// its users, items and sequences: cutting its own future away would not take that back.
    fn twin_of_the_past(&self, shop: &Shop, moment: i64, folder: &Path, progress: &Progress) -> Result<Histories> {
        let histories = shop.histories()?;
        let mut early = vec![true; histories.event_count()];
        for event in 0..histories.event_count() {
            early[histories.row[event]] = histories.time[event] < moment;
        }
        let past = shop.part(|_| true, |row| early[row])?;
        let sampler = twinmart_synth::fit(&past, self.settings, progress)?.sampler(self.size, self.seed)?;
        let tables = folder.join("past");
        twinmart_synth::write_twin(&sampler, &tables, FileFormat::Parquet, false, progress)?;
        let twin = twins::histories_of_twin(&tables, &past, progress)?;
        std::fs::remove_dir_all(&tables).map_err(|e| Error::io(&tables, e))?;
        Ok(twin)
    }
}

/// Trains the portfolio on real and twin people and tests both on the same real ones.
fn rank(
    collected: &Path,
    parts: &Parts,
    twin: &Shop,
    remake: &Remake,
    folder: &Path,
    progress: &Progress,
) -> Result<RankingUtility> {
    let (split, twin) = match &parts.holdout {
        Some(held) => {
            let train = parts.train.histories()?;
            let items = train.items.clone();
            (Split::of_holdout(train, &held.histories()?.on_catalogue(&items)?)?, twin.histories()?)
        }
        None => {
            let shop = twins::reopen(collected, remake.project)?;
            let plan = SplitPlan::of_project(remake.project, SplitKind::Temporal, remake.seed, None)?;
            let split = Split::make(&shop.histories()?, &plan)?;
            let twin = match split.test_from {
                Some(moment) if remake.project.split.test_from.is_none() => {
                    remake.twin_of_the_past(&shop, moment, folder, progress)?
                }
                _ => twin.histories()?,
            };
            (split, twin)
        }
    };
    let twin = twin.on_catalogue(&split.train.items)?;
    ranking_utility(&split, &twin, remake.seed, progress)
}

/// The portfolio's results in the report's terms.
pub(crate) fn ranking_utility(
    split: &Split,
    twin: &Histories,
    seed: u64,
    progress: &Progress,
) -> Result<RankingUtility> {
    let retention = twinmart_rank::retention(split, twin, seed, progress)?;
    let models = retention.ranking.into_iter().map(|(name, m)| {
        let utility = RecommenderUtility {
            metric: m.metric,
            real: Some(m.real),
            synthetic: Some(m.synthetic),
            both: Some(m.both),
            kept: m.kept,
            kept_ci95: m.kept_ci95,
        };
        (name, utility)
    });
    Ok(RankingUtility {
        models: models.collect(),
        kendall_tau: retention.model_rank_kendall_tau,
        setup: RankingSetup { split: split.kind.name().into(), view: "new".into(), test_users: retention.users as u64 },
    })
}

fn measure(parts: &Parts, twin: &Shop, behaviour: bool, context: &Context, progress: &Progress) -> Result<Report> {
    if behaviour {
        return twinmart_assess::measure_shop(&parts.train, twin, parts.holdout.as_ref(), context, progress);
    }
    let real = parts.train.first(Role::Plain).or(parts.train.tables.first());
    let synthetic = real.and_then(|t| twin.table(&t.name));
    match (real, synthetic) {
        (Some(real), Some(synthetic)) => twinmart_assess::measure_table(real, synthetic, None, None, context, progress),
        _ => Err(Error::data("there is no table to measure").into()),
    }
}

/// Writes `report.json` and `report.html` into a folder.
pub(crate) fn write_report(report: &Report, folder: &Path) -> Result<()> {
    write_json(&folder.join("report.json"), report)?;
    let page = twinmart_assess::render_html(report);
    twinmart_tables::AtomicFile::write(folder.join("report.html"), true, page.as_bytes())
}
