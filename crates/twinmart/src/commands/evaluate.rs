//! `twinmart evaluate`: ranking metrics of trained recommenders.

use crate::screen::Screen;
use std::path::PathBuf;
use twinmart_rank::{Evaluation, Recommenders};
use twinmart_tables::{Result, Split, SplitPlan};

/// Rank the whole catalogue for test users and print the metrics, on the split that the recommenders were trained for
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  twinmart evaluate shop.recs examples/online-retail/twinmart.toml -k 10\n\nViews: new = items that the user had are removed; all = they stay. Users without a target in a view are skipped."
)]
pub(crate) struct Arguments {
    /// A file that `twinmart train` wrote
    recommenders: PathBuf,
    /// The project that they were trained on
    project: PathBuf,
    /// Length of the lists
    #[arg(short, value_name = "K", default_value_t = 10)]
    k: usize,
    /// For `temporal`: the same moment as in training
    #[arg(long, value_name = "MOMENT")]
    test_from: Option<String>,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let recommenders = Recommenders::load(&arguments.recommenders)?;
    let loaded = twinmart_sources::load(&arguments.project, &screen.progress)?;
    let kind = recommenders.split_kind();
    let seed = screen.seed(recommenders.seed());
    let plan = SplitPlan::of_project(&loaded.project, kind, seed, arguments.test_from.as_deref())?;
    let split = Split::make(&loaded.shop.histories()?, &plan)?;
    let evaluation = recommenders.evaluate(&split, arguments.k, &screen.progress)?;
    screen.result(&table(&evaluation), &evaluation.json())
}

/// One table per view: models by NDCG, the best first.
fn table(evaluation: &Evaluation) -> String {
    let mut text = format!("split {}, all items are candidates, k = {}\n", evaluation.split, evaluation.k);
    for (view, models) in &evaluation.views {
        let users = models.first().map_or(0, |(_, r)| r.users.len());
        text.push_str(&format!("\nview {} ({users} users)\n", view.name()));
        let mut rows = comfy_table::Table::new();
        rows.load_style(comfy_table::presets::NOTHING);
        rows.set_header(["model", "ndcg", "recall", "precision", "f1", "map", "mrr", "hit", "coverage"]);
        let mut sorted: Vec<_> = models.iter().collect();
        sorted.sort_by(|a, b| b.1.ndcg().total_cmp(&a.1.ndcg()));
        for (name, result) in sorted {
            let mean = |metric: fn(&twinmart_rank::UserMetrics) -> f64| {
                let values = result.column(metric);
                format!("{:.4}", values.iter().sum::<f64>() / values.len().max(1) as f64)
            };
            rows.add_row([
                name.clone(),
                mean(|m| m.ndcg),
                mean(|m| m.recall),
                mean(|m| m.precision),
                mean(|m| m.f1),
                mean(|m| m.map),
                mean(|m| m.mrr),
                mean(|m| m.hit),
                format!("{:.4}", result.coverage),
            ]);
        }
        text.push_str(&rows.trim_fmt());
        text.push('\n');
    }
    text
}
