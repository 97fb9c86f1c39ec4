//! The report as data: what `report.json` holds and all that the page draws.
//!
//! The fields `fidelity`, `utility` and `privacy` are a contract with the programs that read them; the rest feeds the
//! page. Nothing here depends on the clock, a path or the machine: same inputs and seed, same bytes. A number that
//! could not be measured is `None` (`null`), never NaN.
//!
//! One key names a number everywhere: `references["column_shapes"]` is what two real samples get for
//! `fidelity.column_shapes`, and `definitions["column_shapes"]` is the sentence that explains it.

use crate::training::TrainingCurves;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use twinmart_tables::{Error, Result};

/// The version of the structure.
pub const REPORT_VERSION: u32 = 1;

/// Everything measured about one synthetic data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The seed of every draw made for the measurements.
    pub seed: u64,
    /// What was compared.
    pub about: About,
    /// The three answers, on top of the page.
    pub verdict: Verdict,
    /// Does the twin look like the real data?
    pub fidelity: Fidelity,
    /// Does work done on the twin carry over to the real data?
    pub utility: Utility,
    /// Does the twin give away who was in the real data?
    pub privacy: Privacy,
    /// How generator and discriminator learned each table; `null` where the twin was not made by such a pair.
    #[serde(default)]
    pub training: Option<Vec<TrainingCurves>>,
    /// Name of a number → what two real samples get for it, where that can be measured.
    pub references: BTreeMap<String, f64>,
    /// Where `references` come from.
    pub reference_basis: ReferenceBasis,
    /// Name of a number → one sentence that says what it is.
    pub definitions: BTreeMap<String, String>,
    /// What went in.
    pub inputs: Vec<InputTable>,
    /// What cleaning did, as reported by the stage that did it; `null` where nothing was cleaned.
    pub cleaning: Value,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Name of the project or the table.
    pub project: String,
    /// How the synthetic data were made, where known.
    pub method: Option<String>,
    /// Whether the synthetic data consist of training rows, where known.
    pub contains_training_rows: Option<bool>,
    /// A shop with behaviour or a plain table.
    pub subject: Subject,
    /// Whether real data that the synthesizer never saw were there to compare with.
    pub has_holdout: bool,
}

/// What kind of data were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Users, items and events.
    Shop,
    /// One table of independent rows.
    Table,
}

/// Where reference values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceBasis {
    /// The real data against real data that the synthesizer never saw.
    Holdout,
    /// A random half of the real data against the other half.
    RealHalves,
}

/// A table that went in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputTable {
    /// Its name.
    pub name: String,
    /// Its role: users, items, events, queries or plain.
    pub role: String,
    /// Number of columns.
    pub columns: u64,
    /// Rows that the synthesizer learned from.
    pub rows_real: u64,
    /// Rows made.
    pub rows_synthetic: u64,
    /// Rows held out, where there are any.
    pub rows_holdout: Option<u64>,
    /// False for a table that is kept as it is (a public catalogue); such a table is not measured.
    pub synthesized: bool,
}

/// The three answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Does it look real?
    pub faithful: Answer,
    /// Does it work?
    pub useful: Answer,
    /// Is it safe to show?
    pub private: Answer,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Traffic light.
    pub level: Level,
    /// The answer in a sentence, with its number.
    pub sentence: String,
    /// The number that decided, between 0 and 1, where there is one.
    pub number: Option<f64>,
    /// The name of that number (a key of `definitions`), where there is one.
    pub measure: Option<String>,
    /// What to do next.
    pub advice: String,
}

/// A traffic light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good.
    Green,
    /// Look closer, or not enough to judge.
    Amber,
    /// Do not use it for this.
    Red,
}

/// Closeness of distributions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Mean over tables of the mean shape similarity of their columns.
    pub column_shapes: Option<f64>,
    /// Mean over tables of the mean similarity of their column pairs.
    pub column_pairs: Option<f64>,
    /// Area under the curve of boosted trees that tell real from synthetic (rows; in a shop, users); ½ = cannot tell.
    pub detection_auc: Option<f64>,
    /// 1 − ½·L1 of binned one- and two-way tables.
    pub accuracy: Option<f64>,
    /// The accuracy that two real samples of these sizes get.
    pub accuracy_ceiling: Option<f64>,
    /// Rows (or users) a side that detection looked at.
    pub detection_rows: Option<u64>,
    /// Table name → its own measurements; synthesized tables only.
    pub tables: BTreeMap<String, TableFidelity>,
    /// Behaviour over time; shops only.
    pub sequence: Option<SequenceFidelity>,
}

/// Closeness of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableFidelity {
    /// Its role.
    pub role: String,
    /// Mean of `columns[].shape`.
    pub column_shapes: Option<f64>,
    /// The same for two real samples.
    pub column_shapes_reference: Option<f64>,
    /// Mean of the upper triangle of `pairs`.
    pub column_pairs: Option<f64>,
    /// The same for two real samples.
    pub column_pairs_reference: Option<f64>,
    /// 1 − ½·L1 of binned one- and two-way tables.
    pub accuracy: Option<f64>,
    /// What two real samples of these sizes get.
    pub accuracy_ceiling: Option<f64>,
    /// The compared columns, in table order; keys, references and groups are not compared.
    pub columns: Vec<ColumnFidelity>,
    /// `pairs[i][j]`: similarity of the pair (column i, column j); the diagonal holds the shapes; `null` where undefined.
    pub pairs: Vec<Vec<Option<f64>>>,
}

/// Closeness of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnFidelity {
    /// Its name.
    pub name: String,
    /// Its kind: integer, category, datetime, …
    pub kind: String,
    /// Similarity of the distributions, 1 = equal.
    pub shape: f64,
    /// The same for two real samples.
    pub shape_reference: Option<f64>,
    /// Share of missing values.
    pub missing: Sides<f64>,
    /// What to draw; an ordered column without present real values gets shares without names.
    pub plot: ColumnPlot,
}

/// A value for each side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sides<T> {
    /// The data learned from.
    pub real: T,
    /// The twin.
    pub synthetic: T,
    /// Real data never learned from, where there are any.
    pub holdout: Option<T>,
}

/// What to draw of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub enum ColumnPlot {
    /// An ordered column.
    Histogram(Histogram),
    /// A column of values without order.
    Shares(Shares),
}

/// Shares of bins of equal width; values outside the drawn range count in the outermost bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What the axis counts.
    pub axis: Axis,
    /// `[bins + 1]` borders, ascending, in units of `axis`; for `log10` axes these are logarithms.
    pub edges: Vec<f64>,
    /// `[bins]` shares of the present values, adding up to 1.
    pub shares: Sides<Vec<f64>>,
}

/// What a histogram's axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// The values themselves.
    Number,
    /// Seconds since 1970-01-01 00:00.
    Seconds,
    /// Base-10 logarithm of the values.
    Log10,
    /// Base-10 logarithm of a number of days.
    Log10Days,
}

/// Shares of the most frequent values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// `[values]` names, most frequent in the real data first. Only values that at least five real people (rows, in a
    /// plain table) have are named; all others are in `other`.
    pub values: Vec<String>,
    /// `[values]` shares of the present values.
    pub shares: Sides<Vec<f64>>,
    /// Share of all other values together, without names.
    pub other: Sides<f64>,
    /// Number of distinct values on each side.
    pub distinct: Sides<u64>,
}

/// Closeness of behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequenceFidelity {
    /// Spearman correlation of the items' event counts.
    pub item_popularity_spearman: Option<f64>,
    /// Gini coefficient of the twin's item counts minus the real one.
    pub item_gini_difference: Option<f64>,
    /// Gini coefficients of the items' event counts.
    pub item_gini: Sides<Option<f64>>,
    /// Spearman correlation of how often pairs of popular items share a user.
    pub cooccurrence_spearman: Option<f64>,
    /// Share of repeated (user, item) events, twin minus real.
    pub repeat_rate_difference: Option<f64>,
    /// Share of events whose user had the item before.
    pub repeat_rate: Sides<Option<f64>>,
    /// Kolmogorov-Smirnov distance of the time between a user's events.
    pub gap_ks: Option<f64>,
    /// Kolmogorov-Smirnov distance of the number of events of a user.
    pub length_ks: Option<f64>,
    /// Kolmogorov-Smirnov distance of the number of sessions of a user.
    pub sessions_ks: Option<f64>,
    /// Kolmogorov-Smirnov distance of the number of events of a session.
    pub basket_size_ks: Option<f64>,
    /// Total variation distance of the hour of the week; events with a clock only.
    pub hour_of_week_tv: Option<f64>,
    /// Share of the catalogue that has an event.
    pub catalogue_coverage: Sides<Option<f64>>,
    /// `[100 + 1]` share of events on the least popular 0 %, 1 %, …, 100 % of the catalogue.
    pub lorenz: Sides<Vec<f64>>,
    /// Time from one moment of a user's history to the next (events at one moment count once).
    pub gaps: Option<Histogram>,
    /// Events of a user.
    pub lengths: Option<Histogram>,
    /// Sessions of a user.
    pub sessions: Option<Histogram>,
    /// Events of a session.
    pub basket_sizes: Option<Histogram>,
    /// `[168]` shares of events by hour of the week, from Monday 0:00.
    pub hours_of_week: Option<Sides<Vec<f64>>>,
    /// How often item pairs share a user, real against twin.
    pub cooccurrence: Option<PairScatter>,
}

/// A scatter plot in cells: how many item pairs fall into each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairScatter {
    /// `[bins + 1]` borders of both axes: log10 of 1 + users that have both items, the twin's scaled to as many users.
    pub edges: Vec<f64>,
    /// `[bins][bins]` number of pairs, `cells[real][twin]`.
    pub cells: Vec<Vec<u64>>,
    /// Items that pairs were made of.
    pub items: u64,
}

/// Usefulness.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Utility {
    /// Learner → quality on real held-out rows; empty without a target and a hold-out.
    pub tstr: BTreeMap<String, LearnerUtility>,
    /// The column that learners predicted.
    pub target: Option<String>,
    /// Recommender → ranking quality for real held-out people.
    pub ranking: BTreeMap<String, RecommenderUtility>,
    /// Kendall's τ of the recommenders' order by quality, trained on real against trained on the twin.
    pub model_rank_kendall_tau: Option<f64>,
    /// How recommenders were tested, where they were.
    pub ranking_setup: Option<RankingSetup>,
}

/// Train on synthetic, test on real: one learner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnerUtility {
    /// `auc`, `accuracy` or `r2`.
    pub metric: String,
    /// Trained on real rows.
    pub real: Option<f64>,
    /// Trained on synthetic rows.
    pub synthetic: Option<f64>,
    /// Trained on both.
    pub both: Option<f64>,
    /// How well the classes are told, where the target is a class.
    #[serde(default)]
    pub classes: Option<ClassUtility>,
}

/// Train on synthetic, test on real: the classes that one learner gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassUtility {
    /// Trained on real rows.
    pub real: ClassScores,
    /// Trained on synthetic rows.
    pub synthetic: ClassScores,
    /// Trained on both.
    pub both: ClassScores,
}

/// How well a classifier does on rows that it has not seen. Of two classes the one that is rarer in the real data is positive;
/// of more, precision, recall and F1 are means over the classes that occur, in truth or as an answer, each weighing the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Share of the answers that are right.
    pub accuracy: f64,
    /// Share of the positive answers that are right; 0 where there are none.
    pub precision: f64,
    /// Share of the positive rows that are found; 0 where there are none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 where both are.
    pub f1: f64,
}

/// Train on twin, test on real: one recommender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecommenderUtility {
    /// For example `ndcg@10`.
    pub metric: String,
    /// Trained on real people.
    pub real: Option<f64>,
    /// Trained on twin people.
    pub synthetic: Option<f64>,
    /// Trained on both.
    pub both: Option<f64>,
    /// Share of the real-trained model's gain over popularity that the twin-trained model keeps.
    pub kept: Option<f64>,
    /// Its 95 % bootstrap interval over test users.
    pub kept_ci95: Option<[f64; 2]>,
}

/// How recommenders were tested.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingSetup {
    /// The split, for example `holdout-users`.
    pub split: String,
    /// `new` (seen items removed) or `all`.
    pub view: String,
    /// Number of test users.
    pub test_users: u64,
}

/// The recommenders' results, handed in by the caller who trained them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingUtility {
    /// Recommender → quality.
    pub models: BTreeMap<String, RecommenderUtility>,
    /// Kendall's τ of their order.
    pub kendall_tau: Option<f64>,
    /// How they were tested.
    pub setup: RankingSetup,
}

/// Signs of memorised people. Measurements, never a guarantee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Privacy {
    /// Share of synthetic rows (users) closer to the training data than to equally many held-out ones, ties one half.
    pub dcr_share: Option<f64>,
    /// Share of synthetic rows (histories) that equal a training row.
    pub exact_matches: Option<f64>,
    /// Area under the curve of telling training rows from held-out rows by their closeness to the twin.
    pub membership_auc: Option<f64>,
    /// ε of differential privacy, where the twin was made with it.
    pub epsilon: Option<f64>,
    /// Its δ.
    pub delta: Option<f64>,
    /// Share of held-out rows (histories) that equal a training row: what chance alone gives.
    pub exact_matches_holdout: Option<f64>,
    /// Half width of the 95 % interval of `dcr_share`.
    pub dcr_share_margin: Option<f64>,
    /// Half width of the 95 % interval of `membership_auc`.
    pub membership_auc_margin: Option<f64>,
    /// Distances to the closest training record: `real` = of held-out records, `synthetic` = of the twin's.
    pub distances: Option<Histogram>,
    /// Rows (users) compared: training, held-out (equally many) and synthetic.
    pub compared: Option<Compared>,
}

/// How many rows (users) the privacy measurements compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Training rows, and as many held-out rows.
    pub real: u64,
    /// Synthetic rows.
    pub synthetic: u64,
}

impl Report {
    /// The same report with every number rounded to six decimals, so that noise in the last bits never shows.
    pub fn rounded(self) -> Result<Report> {
        let failed = |e: serde_json::Error| Error::data(format!("a measurement cannot be written: {e}"));
        let mut value = serde_json::to_value(self).map_err(failed)?;
        round_numbers(&mut value);
        Ok(serde_json::from_value(value).map_err(failed)?)
    }
}

fn round_numbers(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            let rounded = n.as_f64().map(|x| (x * 1e6).round() / 1e6 + 0.0);
            *value = rounded.and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number);
        }
        Value::Array(items) => items.iter_mut().for_each(round_numbers),
        Value::Object(fields) => fields.values_mut().for_each(round_numbers),
        _ => {}
    }
}
