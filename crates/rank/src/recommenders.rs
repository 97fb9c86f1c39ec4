//! Trained recommenders as one value and one file (`*.recs`): catalogue, models, their settings, and the histories of the
//! users in training, which serving them needs. The file is personal data and says so (`contains_user_histories`).

use crate::container::{self, Parts, Values, not_a_model};
use crate::evaluate::{Evaluation, TestCases, View};
use crate::popularity::Popularity;
use crate::ranking::top_k;
use crate::recommender::{Contribution, Recommender, Source, UserHistory};
use crate::registry::{REGISTRY, Settings};
use crate::train::{Choice, TrainPlan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use twinmart_tables::{AtomicFile, Error, Histories, Progress, Result, Split, SplitKind, TimeScale};

/// A recommender with what is known about it.
#[derive(Debug, Clone)]
pub struct TrainedRecommender {
    /// Its name in the registry.
    pub name: String,
    /// Its settings.
    pub settings: Settings,
    /// NDCG@10 of these settings on the validation part, where they were chosen there.
    pub validation_ndcg: Option<f64>,
    /// The view of that value.
    pub validation_view: String,
    /// The fitted model.
    pub model: Arc<dyn Recommender>,
}

/// Recommenders trained for one split.
#[derive(Debug, Clone)]
pub struct Recommenders {
    manifest: Manifest,
    histories: Histories,
    popularity: Popularity,
    models: Vec<TrainedRecommender>,
}

/// What the file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    split: SplitKind,
    split_digest: String,
    trained_on: String,
    seed: u64,
    choice: Choice,
    training_users: usize,
    contains_user_histories: bool,
    time_is_order: bool,
    models: Vec<ModelEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ModelEntry {
    name: String,
    settings: Settings,
    validation_ndcg: Option<f64>,
    validation_view: String,
}

/// Whom to recommend to, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Length of the list.
    pub k: usize,
    /// Which recommender; by default the best of the file on validation data.
    pub model: Option<&'a str>,
    /// Whether items of the history may be recommended; by default only by recommenders made for it.
    pub repeats: Option<bool>,
    /// Whether to give reasons.
    pub explain: bool,
}

/// An item for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// The item's key.
    pub item: String,
    /// Its score: comparable within one list only.
    pub score: f64,
    /// The recommender that gave it; `popularity` where the history says nothing.
    pub model: String,
    /// The summands of the score, the largest first; empty unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// A summand of a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// What it comes from: `item` (a past item), `popularity`, or `history` (the history as a whole).
    pub source: &'static str,
    /// The past item it comes from, if it is one.
    pub item: Option<String>,
    /// How much it adds.
    pub amount: f64,
}

impl Recommenders {
    pub(crate) fn new(
        split: &Split,
        train_on: &Histories,
        plan: &TrainPlan,
        models: Vec<TrainedRecommender>,
    ) -> Recommenders {
        let entries = models.iter().map(|m| ModelEntry {
            name: m.name.clone(),
            settings: m.settings,
            validation_ndcg: m.validation_ndcg,
            validation_view: m.validation_view.clone(),
        });
        let manifest = Manifest {
            split: split.kind,
            split_digest: split.digest.clone(),
            trained_on: plan.trained_on.clone(),
            seed: plan.seed,
            choice: plan.choice,
            training_users: train_on.user_count(),
            contains_user_histories: true,
            time_is_order: split.train.scale == TimeScale::Order,
            models: entries.collect(),
        };
        let popularity = Popularity::of_all_time(train_on);
        Recommenders { manifest, histories: split.train.clone(), popularity, models }
    }

    /// The kind of split that they were trained for.
    pub fn split_kind(&self) -> SplitKind {
        self.manifest.split
    }

    /// The digest of that split.
    pub fn split_digest(&self) -> &str {
        &self.manifest.split_digest
    }

    /// The seed that they were trained with.
    pub fn seed(&self) -> u64 {
        self.manifest.seed
    }

    /// `real`, `twin` or `both`.
    pub fn trained_on(&self) -> &str {
        &self.manifest.trained_on
    }

    /// The models, in the order they were asked for.
    pub fn models(&self) -> &[TrainedRecommender] {
        &self.models
    }

    /// Keys of the users whose histories are in the file.
    pub fn users(&self) -> &[String] {
        &self.histories.users
    }

    /// Evaluates every model on the test part of `split`, which must be the split they were trained for.
    pub fn evaluate(&self, split: &Split, k: usize, progress: &Progress) -> Result<Evaluation> {
        if split.digest != self.manifest.split_digest {
            return Err(Error::usage(format!(
                "the recommenders were trained for another `{}` split than these data and settings give",
                self.manifest.split.name()
            ))
            .remedy("use the project and the seed of the training, or train again")
            .into());
        }
        if k == 0 {
            return Err(Error::usage("a list of no items cannot be evaluated").remedy("use -k 1 or more").into());
        }
        let cases = TestCases {
            history: &split.history,
            target: &split.target,
            popularity: self.popularity.scores(),
            training_users: self.manifest.training_users,
            k,
        };
        let models: Vec<(&str, &dyn Recommender)> = self.models.iter().map(|m| (m.name.as_str(), &*m.model)).collect();
        Evaluation::run(&cases, &models, (self.manifest.split.name(), &split.digest), self.manifest.seed, progress)
    }

    /// Recommends to a user of the training part, by key.
    pub fn recommend_to_user(&self, key: &str, request: &Request<'_>) -> Result<Vec<Recommendation>> {
        let user = self.histories.users.iter().position(|u| u == key).ok_or_else(|| {
            Error::usage("this user is not among the users of the training part")
                .value(key)
                .remedy("give the history itself: --history ITEM,ITEM,…")
        })?;
        self.recommend_to_position(user, request)
    }

    /// Recommends to a user by its place in [`Recommenders::users`].
    pub fn recommend_to_position(&self, user: usize, request: &Request<'_>) -> Result<Vec<Recommendation>> {
        self.recommend(&UserHistory::of(&self.histories, user), request)
    }

    /// Recommends to somebody with these items (keys, oldest first), one event apart, all in one session.
    pub fn recommend_to_history(&self, keys: &[String], request: &Request<'_>) -> Result<Vec<Recommendation>> {
        let positions = self.histories.item_positions();
        let items = keys.iter().map(|key| {
            positions.get(key.as_str()).copied().ok_or_else(|| {
                Error::usage("no such item in the catalogue").value(key).remedy("check the item's key").into()
            })
        });
        let items: Vec<u32> = items.collect::<Result<_>>()?;
        let times: Vec<i64> = (0..items.len() as i64).collect();
        let now = times.last().copied().unwrap_or(0);
        let sessions = vec![0; items.len()];
        let scale = TimeScale::Order;
        self.recommend(&UserHistory { items: &items, times: &times, sessions: &sessions, now, scale }, request)
    }

    fn recommend(&self, history: &UserHistory<'_>, request: &Request<'_>) -> Result<Vec<Recommendation>> {
        let chosen = self.choose(request.model)?;
        let repeats = request.repeats.unwrap_or(repeats_by_default(&chosen.name));
        let seen: HashSet<u32> = if repeats { HashSet::new() } else { history.items.iter().copied().collect() };
        let mut scores = vec![0.0; self.histories.item_count()];
        chosen.model.score(history, &mut scores);
        let (mut name, mut model): (&str, &dyn Recommender) = (&chosen.name, &*chosen.model);
        if scores.iter().all(|s| *s == 0.0) {
            (name, model) = ("popularity", &self.popularity);
            model.score(history, &mut scores);
        }
        let best = top_k(&scores, |item| seen.contains(&(item as u32)), request.k).ok_or_else(|| {
            Error::data(format!("the recommender `{name}` gave a score that is not a number")).remedy("train it again")
        })?;
        let recommendations = best.into_iter().map(|item| Recommendation {
            item: self.histories.items[item as usize].clone(),
            score: f64::from(scores[item as usize]),
            model: name.to_string(),
            reasons: if request.explain { self.reasons(model, history, item) } else { Vec::new() },
        });
        Ok(recommendations.collect())
    }

    fn reasons(&self, model: &dyn Recommender, history: &UserHistory<'_>, item: u32) -> Vec<Reason> {
        let mut summands = model.explain(history, item);
        summands.sort_by(|a, b| b.amount.total_cmp(&a.amount));
        let reason = |summand: Contribution| {
            let (source, item) = match summand.source {
                Source::PastItem(past) => ("item", Some(self.histories.items[past as usize].clone())),
                Source::Popularity => ("popularity", None),
                Source::History => ("history", None),
            };
            Reason { source, item, amount: summand.amount }
        };
        summands.into_iter().map(reason).collect()
    }

    /// The named model; without a name the best on validation data for new items, or the first.
    fn choose(&self, name: Option<&str>) -> Result<&TrainedRecommender> {
        let Some(name) = name else {
            let mut best: Option<&TrainedRecommender> = None;
            for model in &self.models {
                let score = |m: &TrainedRecommender| match m.validation_view == View::New.name() {
                    true => m.validation_ndcg.unwrap_or(0.0),
                    false => -1.0,
                };
                if best.is_none_or(|b| score(model) > score(b)) {
                    best = Some(model);
                }
            }
            return best.ok_or_else(|| not_a_model("it holds no recommender"));
        };
        self.models.iter().find(|m| m.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
            Error::usage(format!("the file has no recommender `{name}`"))
                .remedy(format!("use one of {}, or train it", names.join(", ")))
                .into()
        })
    }

    /// Writes the `*.recs` file, whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>, overwrite: bool) -> Result<()> {
        let mut parts = Parts::default();
        parts.push("items", Values::Text((&*self.histories.items).into()));
        parts.push("popularity", Values::F32(self.popularity.scores().into()));
        let offsets: Vec<u64> = self.histories.offsets.iter().map(|o| *o as u64).collect();
        parts.push("histories/users", Values::Text((&*self.histories.users).into()));
        parts.push("histories/offsets", Values::U64(offsets.into()));
        parts.push("histories/item", Values::U32((&self.histories.item).into()));
        parts.push("histories/time", Values::I64((&self.histories.time).into()));
        parts.push("histories/session", Values::U32((&self.histories.session).into()));
        for model in &self.models {
            let mut own = Parts::default();
            model.model.save(&mut own);
            parts.extend(&model.name, own);
        }
        let file = AtomicFile::create(&path, overwrite)?;
        container::write(file, &self.manifest, &parts).map_err(|e| Error::io(&path, e))?.commit()
    }

    /// Reads a `*.recs` file; a data error names the file where it is not a whole one.
    pub fn load(path: impl AsRef<Path>) -> Result<Recommenders> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        Recommenders::read(std::io::BufReader::new(file)).map_err(|e| match e {
            Error::Data(problem) => problem.file(path).into(),
            other => other,
        })
    }

    /// Reads the bytes of a `*.recs` file.
    pub fn read(bytes: impl std::io::Read + std::io::Seek) -> Result<Recommenders> {
        let (manifest, mut parts) = container::read::<Manifest>(bytes)?;
        let items: Arc<[String]> = parts.text("items")?.into();
        let count = items.len();
        let popularity = Popularity::of_scores(parts.f32("popularity")?, count)?;
        let scale = if manifest.time_is_order { TimeScale::Order } else { TimeScale::Microseconds };
        let histories = read_histories(parts.below("histories"), items, scale)?;
        let mut models = Vec::new();
        for entry in &manifest.models {
            let mut own = parts.below(&entry.name);
            models.push(TrainedRecommender {
                name: entry.name.clone(),
                settings: entry.settings,
                validation_ndcg: entry.validation_ndcg,
                validation_view: entry.validation_view.clone(),
                model: entry.settings.load(&mut own, count)?.into(),
            });
        }
        Ok(Recommenders { manifest, histories, popularity, models })
    }

    /// The file's own description, for people who ask what is in it.
    pub fn describe(&self) -> Value {
        serde_json::to_value(&self.manifest).unwrap_or(Value::Null)
    }
}

/// Only recommenders compared on all items repeat by default.
fn repeats_by_default(name: &str) -> bool {
    REGISTRY.iter().any(|e| e.name == name && e.chosen_by == View::All)
}

fn read_histories(mut parts: Parts<'static>, items: Arc<[String]>, scale: TimeScale) -> Result<Histories> {
    let users: Arc<[String]> = parts.text("users")?.into();
    let (offsets, item, time) = (parts.u64("offsets")?, parts.u32("item")?, parts.i64("time")?);
    let session = parts.u32("session")?;
    let whole = offsets.len() == users.len() + 1
        && offsets.first() == Some(&0)
        && offsets.last() == Some(&(item.len() as u64))
        && item.len() == time.len()
        && item.len() == session.len()
        && offsets.windows(2).all(|w| w[0] <= w[1])
        && item.iter().all(|i| (*i as usize) < items.len());
    if !whole {
        return Err(not_a_model("the histories do not fit together"));
    }
    Ok(Histories {
        users,
        items,
        offsets: offsets.iter().map(|o| *o as usize).collect(),
        session,
        row: (0..item.len()).collect(),
        item,
        time,
        scale,
    })
}
