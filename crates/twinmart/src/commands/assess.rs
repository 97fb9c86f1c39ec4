//! `twinmart assess`: measure synthetic data against real data.

use crate::pipeline::{ranking_utility, write_report};
use crate::screen::Screen;
use crate::twins;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use twinmart_assess::{Context, Report};
use twinmart_tables::{AtomicFolder, Error, Result, Shop, Split};

/// Measure how faithful, useful and private synthetic data are, next to real data
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart assess --real examples/online-retail --synthetic twin --out report\n\nFolders hold TABLE.parquet for each table of the project file twinmart.toml in the real folder."
)]
pub(crate) struct Arguments {
    /// The real data that were learned from: a file, or a folder of tables with a twinmart.toml
    #[arg(long, value_name = "R")]
    real: PathBuf,
    /// The synthetic data: a file or folder like the real one; several may be compared
    #[arg(long, value_name = "S", required = true, num_args = 1..)]
    synthetic: Vec<PathBuf>,
    /// Real data that were not learned from: the grey reference of every number
    #[arg(long, value_name = "H")]
    holdout: Option<PathBuf>,
    /// Column that learners predict (train on synthetic, test on real); one table only
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// The folder to write: report.html and report.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace an existing folder
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let folder = AtomicFolder::create(&arguments.out, arguments.overwrite)?;
    let mut reports: BTreeMap<String, Report> = BTreeMap::new();
    for synthetic in &arguments.synthetic {
        let name = name_of(synthetic);
        let report = measure(&arguments, synthetic, screen)?;
        if reports.insert(name.clone(), report).is_some() {
            return Err(Error::usage(format!("two synthetic inputs are named `{name}`")).remedy("rename one").into());
        }
    }
    let mut human = String::new();
    for (name, report) in &reports {
        let v = &report.verdict;
        human.push_str(&format!(
            "{name}\n  {}\n  {}\n  {}\n",
            v.faithful.sentence, v.useful.sentence, v.private.sentence
        ));
    }
    human.push_str(&format!("report: {}", arguments.out.join("report.html").display()));
    if let [report] = reports.values().collect::<Vec<_>>()[..] {
        write_report(report, folder.path())?;
        folder.commit()?;
        return screen.result(&human, report);
    }
    let pages = twinmart_assess::render_index(&reports);
    let write =
        |name: String, page: &str| twinmart_tables::AtomicFile::write(folder.path().join(name), true, page.as_bytes());
    for (name, report) in &reports {
        write(format!("report-{name}.html"), &twinmart_assess::render_html(report))?;
    }
    write("report.html".into(), &pages)?;
    let all = serde_json::json!({ "version": 1, "reports": reports });
    crate::stages::write_json(&folder.path().join("report.json"), &all)?;
    folder.commit()?;
    screen.result(&human, &all)
}

/// A name for one of several inputs: the file's stem, the folder's name.
fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "synthetic".into(), |s| s.to_string_lossy().into_owned())
}

fn measure(arguments: &Arguments, synthetic: &Path, screen: &Screen) -> Result<Report> {
    let project = arguments.real.join("twinmart.toml");
    let input = if arguments.real.is_dir() && project.is_file() { &project } else { &arguments.real };
    let loaded = twinmart_sources::load(input, &screen.progress)?;
    let real = loaded.shop;
    let seed = screen.seed(loaded.project.project.seed);
    let mut context = Context {
        seed,
        project: loaded.project.project.name.clone(),
        method: None,
        contains_training_rows: None,
        cleaning: serde_json::Value::Null,
        ranking: None,
        training: None,
    };
    if real.events().is_none() {
        let [table] = &real.tables[..] else {
            return Err(Error::usage("a project of several plain tables is compared one table at a time")
                .file(&arguments.real)
                .remedy("give one file to --real and one to --synthetic")
                .into());
        };
        let twin = twins::read_table(&file_in(synthetic, &table.name), table, &screen.progress)?;
        let holdout =
            arguments.holdout.as_deref().map(|h| twins::read_table(&file_in(h, &table.name), table, &screen.progress));
        let target = arguments.target.as_deref();
        return twinmart_assess::measure_table(
            table,
            &twin,
            holdout.transpose()?.as_ref(),
            target,
            &context,
            &screen.progress,
        );
    }
    if arguments.target.is_some() {
        return Err(Error::usage("--target is for one table")
            .remedy("leave it out: a shop is judged by recommenders")
            .into());
    }
    let twin = twins::read_shop(synthetic, &real, &screen.progress)?;
    let holdout = arguments.holdout.as_deref().map(|h| twins::read_shop(h, &real, &screen.progress)).transpose()?;
    if let Some(held) = &holdout {
        context.ranking = Some(ranking(&real, &twin, held, seed, screen)?);
    }
    twinmart_assess::measure_shop(&real, &twin, holdout.as_ref(), &context, &screen.progress)
}

/// A file, or the file of that table in a folder.
fn file_in(path: &Path, table: &str) -> PathBuf {
    if path.is_dir() { path.join(format!("{table}.parquet")) } else { path.to_path_buf() }
}

fn ranking(
    real: &Shop,
    twin: &Shop,
    held: &Shop,
    seed: u64,
    screen: &Screen,
) -> Result<twinmart_assess::report::RankingUtility> {
    let train = real.histories()?;
    let held = held.histories()?.on_catalogue(&train.items)?;
    let twin = twin.histories()?.on_catalogue(&train.items)?;
    ranking_utility(&Split::of_holdout(train, &held)?, &twin, seed, &screen.progress)
}
