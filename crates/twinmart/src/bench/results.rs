//! What a run of a synthesizer cost and how good its twin is, as files and as a table.
//!
//! `TABLE.METHOD.json` (costs) and `TABLE.METHOD.score.json` (quality) have the fields of `bench/peers/rows.py`, so that
//! runs of the product and of others can lie in one folder and be printed by either program.

use crate::stages::{read_json, write_json};
use comfy_table::CellAlignment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use twinmart_assess::Report;
use twinmart_tables::{Error, Progress, Result};

/// Judge of a score that this program measured.
const OURSELVES: &str = "twinmart";

/// One synthesizer on one table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The synthesizer.
    pub(crate) peer: String,
    /// The table.
    pub(crate) dataset: String,
    /// Why there is nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What it took.
    #[serde(flatten)]
    pub(crate) costs: Option<Costs>,
    /// How good the twin is.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<Score>,
}

/// What fitting and drawing took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// Version of the synthesizer.
    pub(crate) version: Option<String>,
    /// Its packages and their versions.
    pub(crate) packages: BTreeMap<String, String>,
    /// Rows of the twin that is judged.
    pub(crate) rows: u64,
    /// Minutes of learning at most; `null` for a method that does not learn in steps.
    pub(crate) minutes: Option<f64>,
    /// Threads that it was allowed.
    pub(crate) threads: u64,
    /// Seed of fit and draw.
    pub(crate) seed: u64,
    /// Passes over the rows, for methods that have such.
    pub(crate) epochs: Option<f64>,
    /// Wall seconds of the fit.
    pub(crate) fit_seconds: f64,
    /// Processor seconds of the fit.
    pub(crate) fit_cpu_seconds: Option<f64>,
    /// Wall seconds of drawing `rows`.
    pub(crate) sample_seconds: f64,
    /// Processor seconds of drawing `rows`.
    pub(crate) sample_cpu_seconds: Option<f64>,
    /// Rows of the draw that `rows_per_second` is of.
    pub(crate) rate_rows: Option<u64>,
    /// Rows drawn a second of wall time.
    pub(crate) rows_per_second: f64,
    /// Largest resident memory of fit and draws.
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Size of the model file.
    pub(crate) model_bytes: Option<u64>,
}

/// How good a twin is; `null` is what cannot be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Score {
    /// The table.
    name: String,
    /// Rows of the twin.
    rows: u64,
    /// Who measured; `null` where another program did.
    #[serde(default)]
    judge: Option<String>,
    detection_auc: Option<f64>,
    /// 1 − 2·max(0, AUC − ½)
    pub(crate) indistinguishability: Option<f64>,
    detection_auc_real_vs_test: Option<f64>,
    /// `auc`, `accuracy` or `r2`.
    #[serde(default)]
    utility_metric: Option<String>,
    utility_real: Option<f64>,
    utility_synthetic: Option<f64>,
    column_shapes: Option<f64>,
    #[serde(default)]
    column_pairs: Option<f64>,
    accuracy: Option<f64>,
    accuracy_ceiling: Option<f64>,
    dcr_share: Option<f64>,
    membership_auc: Option<f64>,
    #[serde(default)]
    exact_matches: Option<f64>,
}

impl Score {
    /// The numbers of a report.
    pub(crate) fn of(report: &Report) -> Score {
        let (fidelity, privacy) = (&report.fidelity, &report.privacy);
        let learner = report.utility.tstr.values().next();
        Score {
            name: report.about.project.clone(),
            rows: report.inputs.iter().map(|i| i.rows_synthetic).sum(),
            judge: Some(OURSELVES.into()),
            detection_auc: fidelity.detection_auc,
            indistinguishability: fidelity.detection_auc.map(|auc| rounded(1.0 - 2.0 * (auc - 0.5).max(0.0), 6)),
            detection_auc_real_vs_test: report.references.get("detection_auc").copied(),
            utility_metric: learner.map(|l| l.metric.clone()),
            utility_real: learner.and_then(|l| l.real),
            utility_synthetic: learner.and_then(|l| l.synthetic),
            column_shapes: fidelity.column_shapes,
            column_pairs: fidelity.column_pairs,
            accuracy: fidelity.accuracy,
            accuracy_ceiling: fidelity.accuracy_ceiling,
            dcr_share: privacy.dcr_share,
            membership_auc: privacy.membership_auc,
            exact_matches: privacy.exact_matches,
        }
    }

    /// Indistinguishability, utility, shapes, pairs, accuracy as a share of its ceiling, closest-record share and membership.
    pub(crate) fn cells(&self) -> [String; 7] {
        let utility = match (self.utility_synthetic, self.utility_real) {
            (Some(synthetic), Some(real)) => format!("{synthetic:.4} ({real:.4})"),
            _ => "–".into(),
        };
        let accuracy = self.accuracy.zip(self.accuracy_ceiling).map(|(a, ceiling)| a / ceiling);
        [
            shown(self.indistinguishability, 3),
            utility,
            shown(self.column_shapes, 4),
            shown(self.column_pairs, 4),
            shown(accuracy, 4),
            shown(self.dcr_share, 3),
            shown(self.membership_auc, 3),
        ]
    }
}

/// Names of [`Score::cells`].
pub(crate) const SCORE_COLUMNS: [&str; 7] =
    ["indist.", "utility (real)", "shapes", "pairs", "accuracy", "dcr", "member"];

/// A number with so many digits after the point, or a dash.
pub(crate) fn shown(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "–".into(), |n| format!("{n:.digits$}"))
}

/// A number with at most so many digits after the point.
pub(super) fn rounded(number: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (number * unit).round() / unit
}

/// The files of a run in a folder: twin, costs, score.
pub(crate) fn files(folder: &Path, dataset: &str, method: &str) -> [PathBuf; 3] {
    ["parquet", "json", "score.json"].map(|suffix| folder.join(format!("{dataset}.{method}.{suffix}")))
}

impl Run {
    /// Writes costs and score.
    pub(crate) fn keep(&self, costs: &Path, score: &Path) -> Result<()> {
        if let Some(found) = &self.score {
            write_json(score, found)?;
        }
        write_json(costs, &Run { score: None, ..self.clone() })
    }

    /// True for a method of this program.
    pub(crate) fn is_ours(&self) -> bool {
        self.peer.starts_with(OURSELVES)
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.dataset.clone(), self.peer.clone()];
        let Some(costs) = &self.costs else {
            cells.push("failed".into());
            return cells;
        };
        match &self.score {
            Some(score) => {
                cells.push(if score.judge.as_deref() == Some(OURSELVES) { "here" } else { "file" }.into());
                cells.extend(score.cells());
            }
            None => cells.extend(std::iter::repeat_n("–".to_string(), 1 + SCORE_COLUMNS.len())),
        }
        let gigabytes = costs.peak_memory_bytes.map(|b| b as f64 / 1e9);
        cells.extend([shown(Some(costs.fit_seconds), 2), shown(costs.fit_cpu_seconds, 2), shown(gigabytes, 2)]);
        cells.push(shown(Some(costs.rows_per_second), 0));
        cells
    }
}

/// The runs of others that lie in a folder, of the tables in `datasets`; a twin is `None` where only its score is there.
pub(crate) fn peers(folder: &Path, datasets: &[&str], progress: &Progress) -> Result<Vec<(Run, Option<PathBuf>)>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let Some(stem) = file.to_str().and_then(|f| f.strip_suffix(".json")).filter(|s| !s.ends_with(".score")) else {
            continue;
        };
        let Ok(mut run) = read_json::<Run>(&file) else {
            progress.warn(&format!("{}: not a result of a synthesizer; left out", file.display()));
            continue;
        };
        if !datasets.contains(&run.dataset.as_str()) {
            continue;
        }
        let (twin, score) = (PathBuf::from(format!("{stem}.parquet")), PathBuf::from(format!("{stem}.score.json")));
        // A score that says "error" is none.
        run.score = if score.is_file() { read_json(&score).ok() } else { None };
        found.push((run, Some(twin).filter(|t| t.is_file())));
    }
    if found.is_empty() {
        progress.warn(&format!("{}: no result on {}", folder.display(), datasets.join(", ")));
    }
    Ok(found)
}

/// All runs as one table, for each data set the least distinguishable twin first.
pub(crate) fn table(runs: &[Run]) -> String {
    let mut header = vec!["table", "synthesizer", "judged"];
    header.extend(SCORE_COLUMNS);
    header.extend(["fit s", "cpu s", "peak GB", "rows/s"]);
    aligned(&header, 3, runs.iter().map(Run::cells).collect())
}

/// Rows under a header; the first `texts` columns are words, the others numbers.
pub(crate) fn aligned(header: &[&str], texts: usize, rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows.into_iter().map(|mut row| {
        row.resize(header.len(), String::new());
        row
    }));
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
