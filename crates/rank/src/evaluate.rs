//! The evaluation kernel: every item of the catalogue is a candidate, every user counts once.
//!
//! Contract: score descending, then item ascending; NaN is an error. `rel` = distinct target items, `k` = length of the
//! list. View `all`: any item may be recommended. View `new`: items of the history are neither candidates nor targets.
//! Users without targets in a view are skipped and counted.
//!
//! NDCG = Σ 1/log₂(rank + 1) over hits ÷ the same sum of an ideal list of min(k, |rel|); recall = hits ÷ |rel|; precision
//! = hits ÷ k; F1 of these two per user; MAP = Σ precision at each hit ÷ min(k, |rel|); MRR = 1 ÷ rank of the first hit.

use crate::bootstrap::{interval, resampled_means};
use crate::ranking::top_k;
use crate::recommender::{Recommender, UserHistory};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use twinmart_tables::{Error, Histories, Progress, Result};

/// Which items may be recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Only items that the person has not met.
    New,
    /// Every item.
    All,
}

impl View {
    /// Both views.
    pub const BOTH: [View; 2] = [View::New, View::All];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            View::New => "new",
            View::All => "all",
        }
    }
}

/// Metrics of one user's list.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UserMetrics {
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
    /// Share of the targets found.
    pub recall: f64,
    /// Share of the list that are targets.
    pub precision: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Average precision.
    pub map: f64,
    /// Reciprocal rank of the first target.
    pub mrr: f64,
    /// 1 where any target was found.
    pub hit: f64,
}

impl UserMetrics {
    const NAMES: [&str; 7] = ["ndcg", "recall", "precision", "f1", "map", "mrr", "hit"];

    fn values(&self) -> [f64; 7] {
        [self.ndcg, self.recall, self.precision, self.f1, self.map, self.mrr, self.hit]
    }

    /// Metrics of a `list` (best first) of at most `k` items against the distinct `relevant` items.
    pub fn of_list(list: &[u32], relevant: &HashSet<u32>, k: usize) -> UserMetrics {
        let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let ideal_length = k.min(relevant.len());
        let (mut gain, mut hits, mut precisions, mut first) = (0.0, 0.0, 0.0, 0.0);
        for (rank, item) in list.iter().take(k).enumerate() {
            if relevant.contains(item) {
                gain += discount(rank);
                hits += 1.0;
                precisions += hits / (rank + 1) as f64;
                if first == 0.0 {
                    first = 1.0 / (rank + 1) as f64;
                }
            }
        }
        if hits == 0.0 {
            return UserMetrics::default();
        }
        let (recall, precision) = (hits / relevant.len() as f64, hits / k as f64);
        UserMetrics {
            ndcg: gain / (0..ideal_length).map(discount).sum::<f64>(),
            recall,
            precision,
            f1: 2.0 * precision * recall / (precision + recall),
            map: precisions / ideal_length as f64,
            mrr: first,
            hit: 1.0,
        }
    }
}

/// One recommender in one view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewResult {
    /// `[users]` positions of the users with targets in this view, ascending.
    pub users: Vec<usize>,
    /// `[users]` their metrics.
    pub per_user: Vec<UserMetrics>,
    /// Users without targets in this view.
    pub skipped: usize,
    /// Share of the catalogue that appears in any list.
    pub coverage: f64,
    /// Mean self-information `−log₂ p(item)` of recommended items, p = (users with the item + 1) / (users + 1) in training.
    pub novelty: f64,
    /// Gini coefficient of how often each item of the catalogue is recommended: 0 all alike, 1 one item only.
    pub gini: f64,
}

impl ViewResult {
    /// One metric of all users.
    pub fn column(&self, metric: impl Fn(&UserMetrics) -> f64) -> Vec<f64> {
        self.per_user.iter().map(metric).collect()
    }

    /// Mean NDCG.
    pub fn ndcg(&self) -> f64 {
        mean(&self.column(|m| m.ndcg))
    }
}

/// Arithmetic mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What recommenders are tested on.
#[derive(Debug, Clone, Copy)]
pub struct TestCases<'a> {
    /// What each test user did before.
    pub history: &'a Histories,
    /// What each test user did then; the same users in the same order.
    pub target: &'a Histories,
    /// `[items]` users with the item in training, for novelty.
    pub popularity: &'a [f32],
    /// Users in training.
    pub training_users: usize,
    /// Length of the lists.
    pub k: usize,
}

impl TestCases<'_> {
    /// Ranks the catalogue for every test user; results in the order of `views`. `name` is for the error message.
    pub fn evaluate(&self, name: &str, model: &dyn Recommender, views: &[View]) -> Result<Vec<ViewResult>> {
        let items = self.history.item_count();
        let lists: Vec<Option<Vec<Option<UserList>>>> = (0..self.history.user_count())
            .into_par_iter()
            .map_init(
                || vec![0.0f32; items],
                |scores, user| {
                    model.score(&UserHistory::of(self.history, user), scores);
                    views.iter().map(|view| self.list(user, *view, scores)).collect()
                },
            )
            .collect();
        let lists: Vec<Vec<Option<UserList>>> = lists.into_iter().collect::<Option<_>>().ok_or_else(|| {
            Error::data(format!("the recommender `{name}` gave a score that is not a number"))
                .remedy("fit it with stronger regularisation (lambda)")
        })?;
        Ok((0..views.len()).map(|v| self.summarise(lists.iter().map(|l| l[v].as_ref()))).collect())
    }

    /// The outer `None`: a NaN score. The inner: no target in this view.
    fn list(&self, user: usize, view: View, scores: &[f32]) -> Option<Option<UserList>> {
        let seen: HashSet<u32> = match view {
            View::New => self.history.items_of(user).iter().copied().collect(),
            View::All => HashSet::new(),
        };
        let relevant: HashSet<u32> = self.target.items_of(user).iter().copied().filter(|i| !seen.contains(i)).collect();
        let items = top_k(scores, |item| seen.contains(&(item as u32)), self.k)?;
        if relevant.is_empty() {
            return Some(None);
        }
        let metrics = UserMetrics::of_list(&items, &relevant, self.k);
        Some(Some(UserList { items, metrics }))
    }

    fn summarise<'l>(&self, lists: impl Iterator<Item = Option<&'l UserList>>) -> ViewResult {
        let (mut users, mut per_user, mut skipped) = (Vec::new(), Vec::new(), 0);
        let mut shown = vec![0u64; self.history.item_count()];
        let (mut information, mut recommended) = (0.0, 0u64);
        for (user, list) in lists.enumerate() {
            let Some(list) = list else {
                skipped += 1;
                continue;
            };
            users.push(user);
            per_user.push(list.metrics);
            for item in &list.items {
                shown[*item as usize] += 1;
                let share = (f64::from(self.popularity[*item as usize]) + 1.0) / (self.training_users as f64 + 1.0);
                information -= share.log2();
                recommended += 1;
            }
        }
        ViewResult {
            users,
            per_user,
            skipped,
            coverage: shown.iter().filter(|n| **n > 0).count() as f64 / shown.len().max(1) as f64,
            novelty: information / recommended.max(1) as f64,
            gini: gini(shown),
        }
    }
}

struct UserList {
    items: Vec<u32>,
    metrics: UserMetrics,
}

/// Gini coefficient of counts: `Σ_r (2r − n − 1) x_(r) / (n Σ x)`, ranks r from 1 in ascending order.
fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let n = counts.len() as f64;
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let weighted: f64 = counts.iter().enumerate().map(|(r, x)| (2.0 * (r + 1) as f64 - n - 1.0) * *x as f64).sum();
    weighted / (n * total as f64)
}

/// Several recommenders on the same test cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The split's name.
    pub split: String,
    /// The split's digest.
    pub digest: String,
    /// Length of the lists.
    pub k: usize,
    /// Per view: the recommenders in the order they were given.
    pub views: Vec<(View, Vec<(String, ViewResult)>)>,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Evaluation {
    /// Evaluates `models` on `cases` in both views.
    pub fn run<'m>(
        cases: &TestCases<'_>,
        models: &[(&'m str, &'m dyn Recommender)],
        (split, digest): (&str, &str),
        seed: u64,
        progress: &Progress,
    ) -> Result<Evaluation> {
        let mut views = View::BOTH.map(|v| (v, Vec::new())).to_vec();
        let task = progress.start("evaluate", Some(models.len() as u64), "recommenders");
        for (name, model) in models {
            let results = cases.evaluate(name, *model, &View::BOTH)?;
            for ((_, list), result) in views.iter_mut().zip(results) {
                list.push((name.to_string(), result));
            }
            task.advance(1)?;
        }
        Ok(Evaluation { split: split.into(), digest: digest.into(), k: cases.k, views, seed })
    }

    /// The JSON form: means, 95 % intervals of NDCG, and the paired gain over popularity where that was evaluated too.
    pub fn json(&self) -> Value {
        let views: Map<String, Value> =
            self.views.iter().map(|(view, models)| (view.name().to_string(), self.view_json(models))).collect();
        json!({"split": self.split, "digest": self.digest, "candidates": "all", "k": self.k, "views": views})
    }

    fn view_json(&self, models: &[(String, ViewResult)]) -> Value {
        let k = self.k;
        let columns: Vec<Vec<f64>> = models.iter().map(|(_, r)| r.column(|m| m.ndcg)).collect();
        let means = resampled_means(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>(), self.seed);
        let popularity = models.iter().position(|(name, _)| name == "popularity");
        let mut out = Map::new();
        for (m, (name, result)) in models.iter().enumerate() {
            let mut metrics = Map::new();
            for (place, metric) in UserMetrics::NAMES.iter().enumerate() {
                metrics.insert(format!("{metric}@{k}"), mean(&result.column(|u| u.values()[place])).into());
            }
            metrics.insert(format!("ndcg@{k}_ci95"), json!(interval(means.iter().map(|r| r[m]))));
            if let Some(p) = popularity.filter(|p| *p != m) {
                let gain = mean(&columns[m]) - mean(&columns[p]);
                let ci95 = interval(means.iter().map(|r| r[m] - r[p]));
                metrics.insert("gain_over_popularity".into(), json!({"value": gain, "ci95": ci95}));
            }
            metrics.insert(format!("coverage@{k}"), result.coverage.into());
            metrics.insert(format!("novelty@{k}"), result.novelty.into());
            metrics.insert(format!("gini@{k}"), result.gini.into());
            out.insert(name.clone(), metrics.into());
        }
        let (users, skipped) = models.first().map_or((0, 0), |(_, r)| (r.users.len(), r.skipped));
        json!({"users": users, "skipped_users": skipped, "models": out})
    }
}
