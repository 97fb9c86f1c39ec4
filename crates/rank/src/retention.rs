//! How much of what recommenders learn from real data do they learn from the twin?
//!
//! A fixed portfolio (the instrument: the same settings in every world, chosen once, never tuned on the data) is fitted
//! on real, on the twin and on both; every fit is tested on the same real people, NDCG@10, new items only.
//! Items that fewer than five people met in training, and test users with fewer than five items, say more about chance
//! than about a twin: the instrument leaves them out, in all worlds alike (unless nobody would be left).
//! `kept = (m(twin) − m(pop)) / (m(real) − m(pop))`, pop = popularity fitted on real. None for popularity itself and
//! where the bootstrap interval of the real gain includes zero: no gain, nothing to keep.

use crate::bootstrap::{interval, resampled_means};
use crate::evaluate::{TestCases, View, mean};
use crate::ials::IalsSettings;
use crate::interactions::Interactions;
use crate::neighbours::{NeighbourSettings, UserWeight};
use crate::popularity::Popularity;
use crate::recommender::Recency;
use crate::registry::{EaseSettings, EaseWindowSettings, Settings};
use crate::rules::{MarkovSettings, RuleSettings};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use twinmart_tables::{Error, Histories, Progress, Result, Split};

/// Length of the lists.
const K: usize = 10;
/// Fewest training users of an item, and fewest distinct items of a test user.
const SUPPORT: u32 = 5;

/// The portfolio: names and settings.
pub const PORTFOLIO: [(&str, Settings); 8] = [
    ("popularity", Settings::Popularity),
    ("ease", Settings::Ease(EaseSettings { lambda: 500.0 })),
    ("ease-window", {
        let recency = Recency { last: 20, decay: 0.8 };
        Settings::EaseWindow(EaseWindowSettings { window: 20, stride: 10, lambda: 200.0, recency })
    }),
    ("item-knn", Settings::ItemKnn(NeighbourSettings { weight: UserWeight::None, neighbours: 100, shrink: 0.0 })),
    (
        "item-knn-tfidf",
        Settings::ItemKnn(NeighbourSettings { weight: UserWeight::TfIdf, neighbours: 100, shrink: 0.0 }),
    ),
    (
        "ials",
        Settings::Ials(IalsSettings {
            dimensions: 48,
            alpha0: 0.1,
            lambda: 0.003,
            nu: 1.0,
            sweeps: 12,
            // Close to convergence in every sweep: what an early stop leaves open would be noise in `kept`.
            steps: 8,
            repeat_weight: 0.0,
        }),
    ),
    ("rules", Settings::Rules(RuleSettings { steps: 5, popularity_power: 0.5, recency: Recency::FLAT })),
    ("markov", Settings::Markov(MarkovSettings { recency: Recency::FLAT })),
];

/// One recommender in the three worlds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingRetention {
    /// What the values are.
    pub metric: String,
    /// Fitted on real.
    pub real: f64,
    /// Fitted on the twin.
    pub synthetic: f64,
    /// Fitted on both.
    pub both: f64,
    /// Share of the gain over popularity that the twin keeps.
    pub kept: Option<f64>,
    /// Its 95 % interval.
    pub kept_ci95: Option<[f64; 2]>,
}

/// The whole portfolio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// By name, in portfolio order.
    pub ranking: IndexMap<String, RankingRetention>,
    /// Kendall's τ_b between the order of the recommenders fitted on real and fitted on the twin.
    pub model_rank_kendall_tau: Option<f64>,
    /// Test users.
    pub users: usize,
}

/// Measures retention. `twin` may have its own order of items; every item must exist in the real catalogue.
pub fn retention(split: &Split, twin: &Histories, seed: u64, progress: &Progress) -> Result<Retention> {
    let twin = twin.on_catalogue(&split.train.items)?;
    if twin.event_count() == 0 {
        return Err(Error::data("the twin has no events").remedy("sample more users").into());
    }
    let whole =
        Worlds { real: split.train.clone(), twin, history: split.history.clone(), target: split.target.clone() };
    let supported = whole.supported();
    let Worlds { real, twin, history, target } = if supported.target.user_count() > 0 { supported } else { whole };
    let both = real.joined(&twin)?;
    let real_popularity = Popularity::of_all_time(&real);
    let cases = TestCases {
        history: &history,
        target: &target,
        popularity: real_popularity.scores(),
        training_users: real.user_count(),
        k: K,
    };
    let worlds = [&real, &twin, &both];
    let task = progress.start("recommenders on real, twin, both", Some(3 * PORTFOLIO.len() as u64), "fits");
    let ndcg_of = |name: &str, settings: &Settings, world: &Histories| -> Result<Vec<f64>> {
        let model = settings.fit(world, seed, &Progress::silent())?;
        let results = cases.evaluate(name, &*model, &[View::New])?;
        task.advance(1)?;
        Ok(results[0].column(|m| m.ndcg))
    };
    let mut measured = Vec::new();
    for (name, settings) in &PORTFOLIO {
        let [real, synthetic, both] = worlds.map(|world| ndcg_of(name, settings, world));
        measured.push((*name, real?, synthetic?, both?));
    }
    let users = measured[0].1.len();
    if users == 0 {
        return Err(Error::data("no test user met a new item").remedy("use another split or more users").into());
    }
    let popularity = measured[0].1.clone();
    let ranking: IndexMap<String, RankingRetention> = measured
        .iter()
        .map(|(name, real, synthetic, both)| {
            let kept = if *name == "popularity" { None } else { kept(real, synthetic, &popularity, seed) };
            let row = RankingRetention {
                metric: format!("ndcg@{K}"),
                real: mean(real),
                synthetic: mean(synthetic),
                both: mean(both),
                kept: kept.map(|k| k.0),
                kept_ci95: kept.map(|k| k.1),
            };
            (name.to_string(), row)
        })
        .collect();
    let order: Vec<(f64, f64)> = ranking.values().map(|r| (r.real, r.synthetic)).collect();
    Ok(Retention { model_rank_kendall_tau: kendall_tau_b(&order), ranking, users })
}

/// What is trained on and tested on.
struct Worlds {
    real: Histories,
    twin: Histories,
    history: Histories,
    target: Histories,
}

impl Worlds {
    /// The same with supported items and test users only; the catalogue shrinks to the supported items.
    fn supported(&self) -> Worlds {
        let users = Interactions::binary(&self.real).column_counts();
        let items: Vec<u32> = (0..users.len() as u32).filter(|i| users[*i as usize] >= SUPPORT).collect();
        let (history, target) = (on_items(&self.history, &items), on_items(&self.target, &items));
        let distinct = |h: &Histories, user| h.items_of(user).iter().copied().collect::<HashSet<u32>>();
        let tested = |user: &usize| {
            let (shown, ranked) = (distinct(&history, *user), distinct(&target, *user));
            !shown.is_empty() && !ranked.is_empty() && shown.union(&ranked).count() >= SUPPORT as usize
        };
        let test: Vec<usize> = (0..history.user_count()).filter(tested).collect();
        Worlds {
            real: on_items(&self.real, &items),
            twin: on_items(&self.twin, &items),
            history: history.select(&test, |_, _| true),
            target: target.select(&test, |_, _| true),
        }
    }
}

/// The events with `items` (ascending positions), which become the catalogue.
fn on_items(histories: &Histories, items: &[u32]) -> Histories {
    let all: Vec<usize> = (0..histories.user_count()).collect();
    let kept = histories.select(&all, |_, event| items.binary_search(&histories.item[event]).is_ok());
    let item = kept.item.iter().filter_map(|i| items.binary_search(i).ok()).map(|place| place as u32).collect();
    Histories { item, items: items.iter().map(|i| histories.items[*i as usize].clone()).collect(), ..kept }
}

/// The share kept and its interval; per-user values of the same users.
fn kept(real: &[f64], twin: &[f64], popularity: &[f64], seed: u64) -> Option<(f64, [f64; 2])> {
    let resampled = resampled_means(&[real, twin, popularity], seed);
    let [low, _] = interval(resampled.iter().map(|m| m[0] - m[2]));
    let gain = mean(real) - mean(popularity);
    if low <= 0.0 || gain <= 0.0 {
        return None;
    }
    let ratio = |m: &Vec<f64>| {
        let gain = m[0] - m[2];
        if gain.abs() < 1e-6 { f64::NAN } else { (m[1] - m[2]) / gain }
    };
    Some(((mean(twin) - mean(popularity)) / gain, interval(resampled.iter().map(ratio))))
}

/// Kendall's τ_b: concordant minus discordant pairs over the geometric mean of the pairs untied on either side.
fn kendall_tau_b(pairs: &[(f64, f64)]) -> Option<f64> {
    let (mut balance, mut untied_x, mut untied_y) = (0.0, 0.0, 0.0);
    let sign = |d: f64| if d == 0.0 { 0.0 } else { d.signum() };
    for (place, a) in pairs.iter().enumerate() {
        for b in &pairs[place + 1..] {
            let (x, y) = (sign(a.0 - b.0), sign(a.1 - b.1));
            balance += x * y;
            untied_x += x * x;
            untied_y += y * y;
        }
    }
    let scale = f64::sqrt(untied_x * untied_y);
    (scale > 0.0).then(|| balance / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tau_counts_pairs() {
        assert_eq!(kendall_tau_b(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]), Some(1.0));
        assert_eq!(kendall_tau_b(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), Some(-1.0));
        // Five concordant, none discordant, one tied in y: 5 / sqrt(6 · 5).
        let tied = kendall_tau_b(&[(1.0, 1.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.0)]).unwrap();
        assert!((tied - 5.0 / 30f64.sqrt()).abs() < 1e-12);
        assert_eq!(kendall_tau_b(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }

    #[test]
    fn kept_needs_a_gain() {
        let popularity: Vec<f64> = (0..200).map(|u| 0.1 + 0.01 * f64::from(u % 3)).collect();
        let real: Vec<f64> = popularity.iter().map(|p| p + 0.2).collect();
        let twin: Vec<f64> = popularity.iter().map(|p| p + 0.1).collect();
        let (value, [low, high]) = kept(&real, &twin, &popularity, 1).unwrap();
        assert!((value - 0.5).abs() < 1e-12 && (low - 0.5).abs() < 1e-9 && (high - 0.5).abs() < 1e-9);
        assert_eq!(kept(&popularity, &twin, &popularity, 1), None);
    }
}
