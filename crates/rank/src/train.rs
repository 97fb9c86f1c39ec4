//! Fitting recommenders on the training part of a split, with settings chosen on a validation part cut from it.

use crate::evaluate::TestCases;
use crate::popularity::Popularity;
use crate::recommenders::{Recommenders, TrainedRecommender};
use crate::registry::{Entry, Settings, entries};
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinmart_tables::{Draws, Histories, HoldoutPlan, Progress, Result, Split, SplitPlan};

/// Length of the lists in validation.
const K: usize = 10;
/// Held-out share of users in validation, where the split holds out users.
const VALIDATION_HOLDOUT: f64 = 0.2;
/// Most users that validation ranks for; more would cost time and change little.
const VALIDATION_USERS: usize = 2000;

/// Where settings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The defaults of the registry.
    Defaults,
    /// The best of the registry's candidates by NDCG@10 on a validation part of the training part.
    Validation,
}

/// What to fit and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPlan {
    /// Names of the registry, or `all`.
    pub names: Vec<String>,
    /// Where settings come from.
    pub choice: Choice,
    /// What the recommenders are fitted on, in a word: `real`, `twin` or `both`. Recorded in the file.
    pub trained_on: String,
    /// Seed.
    pub seed: u64,
}

/// Fits recommenders on `train_on` (the training part of `split`, a twin of it, or both). Its items must exist in the
/// split's catalogue; its order of items may differ. The test part is never touched.
pub fn train(split: &Split, train_on: &Histories, plan: &TrainPlan, progress: &Progress) -> Result<Recommenders> {
    let entries = entries(&plan.names)?;
    let train_on = train_on.on_catalogue(&split.train.items)?;
    let validation = match plan.choice {
        Choice::Defaults => None,
        Choice::Validation => Validation::cut(split, &train_on, plan.seed, progress),
    };
    let trials: u64 = match &validation {
        None => 0,
        Some(_) => entries.iter().map(|e| e.candidates().len() as u64).sum(),
    };
    let task = progress.start("train", Some(trials + entries.len() as u64), "fits");
    let mut models = Vec::new();
    for entry in entries {
        let (settings, score) = match &validation {
            None => (entry.defaults(), None),
            Some(validation) => {
                let (settings, score) = validation.best(entry, plan.seed, &progress.quiet(), || task.advance(1))?;
                (settings, Some(score))
            }
        };
        let model: Arc<_> = settings.fit(&train_on, plan.seed, progress)?.into();
        models.push(TrainedRecommender {
            name: entry.name.into(),
            settings,
            validation_ndcg: score,
            validation_view: entry.chosen_by.name().into(),
            model,
        });
        task.advance(1)?;
    }
    Ok(Recommenders::new(split, &train_on, plan, models))
}

/// A split of the training part.
struct Validation {
    train: Histories,
    history: Histories,
    target: Histories,
    popularity: Popularity,
}

impl Validation {
    /// Cuts by the same kind of split. `None`, with a warning, where too little is left.
    fn cut(split: &Split, train_on: &Histories, seed: u64, progress: &Progress) -> Option<Validation> {
        let holdout = HoldoutPlan::Share(VALIDATION_HOLDOUT);
        let plan = SplitPlan { kind: split.kind, seed, holdout, test_from: None };
        let Ok(inner) = Split::make(train_on, &plan) else {
            progress.warn("too few events for a validation part: the default settings are used");
            return None;
        };
        let users = inner.target.user_count();
        let mut chosen: Vec<usize> =
            sample(&mut Draws::new(seed).stream("train.validation"), users, users.min(VALIDATION_USERS)).into_vec();
        chosen.sort_unstable();
        Some(Validation {
            popularity: Popularity::of_all_time(&inner.train),
            history: inner.history.select(&chosen, |_, _| true),
            target: inner.target.select(&chosen, |_, _| true),
            train: inner.train,
        })
    }

    /// The best candidate and its NDCG; the earlier one where two are equal.
    fn best(
        &self,
        entry: &Entry,
        seed: u64,
        progress: &Progress,
        mut tried: impl FnMut() -> Result<()>,
    ) -> Result<(Settings, f64)> {
        let cases = TestCases {
            history: &self.history,
            target: &self.target,
            popularity: self.popularity.scores(),
            training_users: self.train.user_count(),
            k: K,
        };
        let mut best = (entry.defaults(), f64::NEG_INFINITY);
        for settings in entry.candidates() {
            let model = settings.fit(&self.train, seed, progress)?;
            let ndcg = cases.evaluate(entry.name, &*model, &[entry.chosen_by])?[0].ndcg();
            if ndcg > best.1 {
                best = (settings, ndcg);
            }
            tried()?;
        }
        Ok(best)
    }
}
