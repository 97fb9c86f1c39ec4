//! `twinmart bench rows`: every method on every table, fitted and drawn in processes of their own, judged by `assess`.

use super::child::{self, Usage};
use super::given::{Given, Rows};
pub(crate) use super::results::table;
use super::results::{self, Costs, Run, Score, rounded};
use crate::twins;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use twinmart_assess::Context;
use twinmart_tables::{Error, Method, Progress, Result, Table};

/// What is compared and how.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The methods, in the order of work.
    pub(crate) methods: Vec<Method>,
    /// Minutes of learning at most.
    pub(crate) minutes: f64,
    /// Rows of the draw that measures speed.
    pub(crate) rate_rows: u64,
    /// Seed of fits, draws and measurements.
    pub(crate) seed: u64,
    /// Folder that keeps twins and results.
    pub(crate) out: Option<PathBuf>,
    /// Whether results in that folder may be replaced.
    pub(crate) overwrite: bool,
    /// Folder with results of others.
    pub(crate) peers: Option<PathBuf>,
}

impl Plan {
    /// Refuses before any work what could not be written after it.
    pub(crate) fn check_outputs(&self, tables: &[Given]) -> Result<()> {
        let Some(out) = self.out.as_ref().filter(|_| !self.overwrite) else { return Ok(()) };
        let files = tables.iter().flat_map(|t| self.methods.iter().map(|m| results::files(out, &t.name, m.name())));
        match files.flatten().find(|f| f.symlink_metadata().is_ok()) {
            Some(file) => Err(Error::usage("the result exists already")
                .file(file)
                .remedy("choose another --out or add --overwrite")
                .into()),
            None => Ok(()),
        }
    }
}

/// Runs every method on every table, then judges or reads what others made. A method that fails is a run with an error.
pub(crate) fn compare(tables: &[Given], plan: &Plan, scratch: &Path, progress: &Progress) -> Result<Vec<Run>> {
    let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    let others = plan.peers.as_deref().map(|p| results::peers(p, &names, progress)).transpose()?.unwrap_or_default();
    let mut runs = Vec::new();
    for given in tables {
        let rows = given.load(progress)?;
        let mut of_table = Vec::new();
        for method in &plan.methods {
            of_table.push(run(given, &rows, *method, plan, scratch, progress)?);
        }
        for (other, twin) in others.iter().filter(|(o, _)| o.dataset == given.name) {
            // The folder may hold earlier results of what ran just now.
            if of_table.iter().all(|r| r.peer != other.peer) {
                of_table.push(judged_here(other.clone(), twin.as_deref(), given, &rows, plan.seed, progress)?);
            }
        }
        of_table.sort_by(|a, b| place(b).total_cmp(&place(a)));
        runs.extend(of_table);
    }
    Ok(runs)
}

fn place(run: &Run) -> f64 {
    run.score.as_ref().and_then(|s| s.indistinguishability).unwrap_or(-1.0)
}

fn run(given: &Given, rows: &Rows, method: Method, plan: &Plan, scratch: &Path, progress: &Progress) -> Result<Run> {
    let twin = scratch.join("twin.parquet");
    let work = || {
        let costs = costs(given, rows, method, plan, scratch, progress)?;
        let drawn = twins::read_table(&twin, &rows.train, progress)?;
        Ok((costs, score(given, rows, &drawn, plan.seed, progress)?))
    };
    let mut run = Run {
        peer: format!("twinmart {}", method.name()),
        dataset: given.name.clone(),
        error: None,
        costs: None,
        score: None,
    };
    match work() {
        Ok((costs, score)) => (run.costs, run.score) = (Some(costs), Some(score)),
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => run.error = Some(error.to_string()),
    }
    if let Some(out) = &plan.out {
        let [kept, costs, score] = results::files(out, &given.name, method.name());
        if run.error.is_none() {
            fs::rename(&twin, &kept).map_err(|e| Error::io(&kept, e))?;
        }
        run.keep(&costs, &score)?;
    }
    Ok(run)
}

/// Fits, draws as many rows as were learned from, and then many rows to measure the speed.
fn costs(
    given: &Given,
    rows: &Rows,
    method: Method,
    plan: &Plan,
    scratch: &Path,
    progress: &Progress,
) -> Result<Costs> {
    let [model, twin, many] = ["model.twin", "twin.parquet", "many.parquet"].map(|f| scratch.join(f));
    let threads = rayon::current_num_threads() as u64;
    let child = |stage: &str, arguments: &[&str], input: &Path, out: &Path| -> Result<Usage> {
        let mut all: Vec<OsString> = vec![stage.into(), input.into(), "--out".into(), out.into()];
        all.extend(arguments.iter().map(OsString::from));
        all.extend(
            ["--overwrite", "--seed", &plan.seed.to_string(), "--threads", &threads.to_string()].map(Into::into),
        );
        child::run(&format!("{}, {}: {stage}", given.name, method.name()), &all, scratch, progress)
    };
    let minutes = method.learns_in_steps().then_some(plan.minutes);
    let limit = minutes.map(|m| m.to_string());
    let mut settings = vec!["--method", method.name()];
    settings.extend(limit.iter().flat_map(|m| ["--max-minutes", m]));
    let fit = child("fit", &settings, &given.train, &model)?;
    let sample = child("sample", &["--rows", &rows.train.rows().to_string()], &model, &twin)?;
    let rate = child("sample", &["--rows", &plan.rate_rows.to_string()], &model, &many)?;
    let version = env!("CARGO_PKG_VERSION").to_string();
    Ok(Costs {
        version: Some(version.clone()),
        packages: BTreeMap::from([("twinmart".into(), version)]),
        rows: rows.train.rows() as u64,
        minutes,
        threads,
        seed: plan.seed,
        epochs: None,
        fit_seconds: fit.seconds,
        fit_cpu_seconds: fit.cpu_seconds,
        sample_seconds: sample.seconds,
        sample_cpu_seconds: sample.cpu_seconds,
        rate_rows: Some(plan.rate_rows),
        rows_per_second: rounded(plan.rate_rows as f64 / rate.seconds, 1),
        peak_memory_bytes: [fit, sample, rate].iter().filter_map(|u| u.peak_bytes).max(),
        model_bytes: fs::metadata(&model).ok().map(|m| m.len()),
    })
}

/// Judges another program's twin, where its file is there and can be read; else its score stays that of its own judge.
fn judged_here(
    mut run: Run,
    twin: Option<&Path>,
    given: &Given,
    rows: &Rows,
    seed: u64,
    progress: &Progress,
) -> Result<Run> {
    let Some(twin) = twin.filter(|_| run.error.is_none()) else { return Ok(run) };
    match twins::read_table(twin, &rows.train, progress).and_then(|t| score(given, rows, &t, seed, progress)) {
        Ok(score) => run.score = Some(score),
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        // One bad file of many must not cost the results so far.
        Err(error) => progress.warn(&format!("{}: not judged here: {error}", run.peer)),
    }
    Ok(run)
}

/// Measures a twin.
pub(super) fn score(given: &Given, rows: &Rows, twin: &Table, seed: u64, progress: &Progress) -> Result<Score> {
    let context = Context { seed, project: given.name.clone(), ..Context::default() };
    let target = given.target.as_deref();
    let report = twinmart_assess::measure_table(&rows.train, twin, Some(&rows.test), target, &context, progress)?;
    Ok(Score::of(&report))
}
