//! `twinmart run`: the whole pipeline.

use crate::cli::Keeping;
use crate::curves::curve_files;
use crate::pipeline::{RunOptions, RunOutcome, run as run_pipeline};
use crate::screen::Screen;
use std::fmt::Write;
use std::path::PathBuf;
use twinmart_tables::{Checkpoints, Error, Result};

/// Run the whole pipeline: clean, split, fit, sample, train recommenders on both sides, report; resumes where it stopped
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  twinmart run examples/online-retail/twinmart.toml --out out\n\nAfter Ctrl-C or a crash the same command goes on with the first stage that is not whole, and inside a fit from its last checkpoint."
)]
pub(crate) struct Arguments {
    /// A project file, or one data file
    project: PathBuf,
    /// The run's folder: twin/, model.twin, report.html, report.json, run.jsonl; with gan also losses.svg and losses.csv
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// autoregressive, gan, interpolate, replicate or independent [default: the project's, else autoregressive]
    #[arg(long)]
    method: Option<String>,
    /// Users (rows, for one table) of the twin [default: as many as were learned from]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    users: Option<u64>,
    /// Start afresh in the folder of an earlier run
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    keeping: Keeping,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let Arguments { project, out, method, users, overwrite, keeping } = arguments;
    let seed = screen.seed_override();
    let checkpoint_every = keeping.checkpoint_seconds.unwrap_or(Checkpoints::INTERVAL);
    let options = RunOptions { input: project, out, seed, method, size: users, overwrite, checkpoint_every };
    let outcome = run_pipeline(&options, &screen.progress).inspect_err(|error| {
        if matches!(error, Error::Interrupted) && options.out.join("stages").is_dir() {
            let out = options.out.display();
            screen.progress.note(&format!("{out}/stages has what is done: the same command goes on from there"));
        }
    })?;
    for line in &outcome.stages {
        let how = if line.reused { "kept from an earlier run".into() } else { format!("{:.1} s", line.seconds) };
        screen.detail(&format!("{:<8} {how}", line.stage));
    }
    screen.result(&summary(&outcome, &options)?, &outcome.report)
}

/// Ten lines: the three answers, what decided them, and where everything is.
fn summary(outcome: &RunOutcome, options: &RunOptions) -> Result<String> {
    let report = &outcome.report;
    let number = |x: Option<f64>| x.map_or_else(|| "not measured".into(), |x| format!("{x:.3}"));
    let rows = |role: &str| report.inputs.iter().find(|t| t.role == role).map_or(0, |t| t.rows_synthetic);
    let mut text = String::new();
    let mut line = |label: &str, content: String| {
        let _ = writeln!(text, "{label:<12} {content}");
    };
    let size = match rows("events") {
        0 => format!("{} rows", report.inputs.iter().map(|t| t.rows_synthetic).sum::<u64>()),
        events => format!("{} users, {events} events", rows("users")),
    };
    line("twin", format!("{size}, by {}", outcome.method.name()));
    for (label, answer) in [
        ("faithful?", &report.verdict.faithful),
        ("useful?", &report.verdict.useful),
        ("private?", &report.verdict.private),
    ] {
        let colour = format!("{:?}", answer.level).to_lowercase();
        line(label, format!("{colour}: {}", answer.sentence));
    }
    let fidelity = &report.fidelity;
    line("columns", format!("shapes {}, pairs {}", number(fidelity.column_shapes), number(fidelity.column_pairs)));
    let best = report.utility.ranking.iter().filter_map(|(n, m)| Some((n, m.real?, m.synthetic?, m.kept)));
    if let Some((name, real, synthetic, kept)) = best.max_by(|a, b| a.1.total_cmp(&b.1)) {
        line(
            "recommender",
            format!("{name}: NDCG@10 {real:.3} on real, {synthetic:.3} on twin, kept {}", number(kept)),
        );
        line("model order", format!("Kendall tau {}", number(report.utility.model_rank_kendall_tau)));
    }
    let privacy = &report.privacy;
    line(
        "privacy",
        format!("closest-record share {}, exact matches {}", number(privacy.dcr_share), number(privacy.exact_matches)),
    );
    let out = options.out.display();
    line("files", format!("{out}/twin, {out}/model.twin, {out}/report.json, {out}/run.jsonl"));
    let tables: Vec<&str> = report.training.iter().flatten().map(|curves| curves.table.as_str()).collect();
    let pictures: Vec<String> = curve_files(&tables).iter().map(|name| format!("{out}/{name}")).collect();
    if !pictures.is_empty() {
        line("curves", pictures.join(", "));
    }
    line("report", format!("{out}/report.html"));
    Ok(text)
}
