//! Every recommender by name: what it is, its default settings, the settings worth trying, how it is fitted and read.

use crate::buy_again::{BuyAgain, BuyAgainSettings};
use crate::container::Parts;
use crate::event_model::{EventModelSettings, EventRecommender};
use crate::ials::{self, Ials, IalsSettings};
use crate::interactions::{Interactions, Sequences};
use crate::item_to_item::ItemToItem;
use crate::neighbours::{self, NeighbourSettings, UserWeight};
use crate::popularity::{Popularity, RecentSettings};
use crate::recommender::{Recency, Recommender};
use crate::rules::{self, MarkovSettings, RuleSettings};
use crate::{View, ease};
use serde::{Deserialize, Serialize};
use twinmart_tables::{Error, Histories, Progress, Result};

/// A recommender that can be asked for by name.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// The view in which its settings are compared.
    pub chosen_by: View,
    /// True where fitting takes minutes: `all` leaves it out.
    pub takes_minutes: bool,
    candidates: fn() -> Vec<Settings>,
}

impl Entry {
    /// The default settings.
    pub fn defaults(&self) -> Settings {
        // Every entry declares at least its defaults (tested).
        (self.candidates)()[0]
    }

    /// The settings worth trying, defaults first.
    pub fn candidates(&self) -> Vec<Settings> {
        (self.candidates)()
    }
}

/// All recommenders.
pub const REGISTRY: [Entry; 10] = [
    Entry {
        name: "popularity",
        description: "what most people bought, all time",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || vec![Settings::Popularity],
    },
    Entry {
        name: "popularity-recent",
        description: "what was bought lately, newer events count more",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || {
            let recent = |days, half_life_days| Settings::PopularityRecent(RecentSettings { days, half_life_days });
            vec![recent(28.0, 14.0), recent(7.0, 7.0), recent(90.0, 30.0)]
        },
    },
    Entry {
        name: "buy-again",
        description: "what this person bought before, often and lately",
        chosen_by: View::All,
        takes_minutes: false,
        candidates: || {
            let half_life = |half_life_days, half_life_events| {
                Settings::BuyAgain(BuyAgainSettings { half_life_days, half_life_events })
            };
            vec![half_life(60.0, 20.0), half_life(14.0, 5.0), half_life(240.0, 100.0)]
        },
    },
    Entry {
        name: "item-knn",
        description: "items bought by the same people as the past ones (cosine, tf-idf)",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || {
            let knn = |weight, neighbours, shrink| Settings::ItemKnn(NeighbourSettings { weight, neighbours, shrink });
            vec![
                knn(UserWeight::TfIdf, 100, 0.0),
                knn(UserWeight::TfIdf, 100, 20.0),
                knn(UserWeight::TfIdf, 400, 20.0),
                knn(UserWeight::None, 100, 20.0),
                knn(UserWeight::Bm25, 100, 20.0),
            ]
        },
    },
    Entry {
        name: "rules",
        description: "what follows the past items within a few steps",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || {
            let rules = |steps, last, decay| {
                Settings::Rules(RuleSettings { steps, popularity_power: 0.5, recency: Recency { last, decay } })
            };
            vec![rules(20, 20, 0.8), rules(20, 0, 0.98), rules(20, 0, 1.0), rules(5, 20, 0.8), rules(5, 0, 1.0)]
        },
    },
    Entry {
        name: "markov",
        description: "what follows the past items directly",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || {
            let markov = |last, decay| Settings::Markov(MarkovSettings { recency: Recency { last, decay } });
            vec![markov(0, 1.0), markov(1, 1.0), markov(20, 0.8)]
        },
    },
    Entry {
        name: "ease",
        description: "linear regression of every item on all others (EASE)",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || [500.0, 100.0, 250.0, 1000.0].map(|lambda| Settings::Ease(EaseSettings { lambda })).to_vec(),
    },
    Entry {
        name: "ease-window",
        description: "EASE fitted on windows of consecutive items, recent items count more",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || {
            let window = |window, lambda, last, decay| {
                Settings::EaseWindow(EaseWindowSettings {
                    window,
                    stride: window / 2,
                    lambda,
                    recency: Recency { last, decay },
                })
            };
            vec![
                window(20, 200.0, 20, 0.8),
                window(20, 200.0, 0, 0.98),
                window(20, 50.0, 20, 0.8),
                window(100, 200.0, 0, 0.98),
                window(100, 500.0, 0, 0.98),
            ]
        },
    },
    Entry {
        name: "ials",
        description: "matrix factorisation of implicit feedback (iALS)",
        chosen_by: View::New,
        takes_minutes: false,
        candidates: || {
            let ials = |dimensions, alpha0, lambda| {
                let base =
                    IalsSettings { sweeps: 16, steps: 3, nu: 1.0, repeat_weight: 0.0, dimensions, alpha0, lambda };
                Settings::Ials(base)
            };
            vec![
                ials(64, 0.1, 0.003),
                ials(64, 0.1, 0.01),
                ials(64, 0.03, 0.01),
                ials(64, 0.3, 0.003),
                ials(128, 0.1, 0.01),
            ]
        },
    },
    Entry {
        name: "event-model",
        description: "what comes next by the model that makes twins",
        chosen_by: View::New,
        takes_minutes: true,
        candidates: || vec![Settings::EventModel(EventModelSettings::default())],
    },
];

/// Settings of flat EASE.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EaseSettings {
    /// λ.
    pub lambda: f64,
}

/// Settings of EASE on windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EaseWindowSettings {
    /// Consecutive distinct items in a window.
    pub window: usize,
    /// Distance from one window to the next.
    pub stride: usize,
    /// λ.
    pub lambda: f64,
    /// How the history is weighed.
    pub recency: Recency,
}

/// A recommender with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "recommender", rename_all = "kebab-case")]
pub enum Settings {
    /// Distinct users per item.
    Popularity,
    /// Decayed recent events per item.
    PopularityRecent(RecentSettings),
    /// Own history, decayed.
    BuyAgain(BuyAgainSettings),
    /// Item neighbourhoods.
    ItemKnn(NeighbourSettings),
    /// Sequential rules.
    Rules(RuleSettings),
    /// First-order Markov chain.
    Markov(MarkovSettings),
    /// Flat EASE.
    Ease(EaseSettings),
    /// EASE on windows.
    EaseWindow(EaseWindowSettings),
    /// iALS.
    Ials(IalsSettings),
    /// The event model.
    EventModel(EventModelSettings),
}

impl Settings {
    /// Fits the recommender.
    pub fn fit(&self, train: &Histories, seed: u64, progress: &Progress) -> Result<Box<dyn Recommender>> {
        progress.check()?;
        Ok(match self {
            Settings::Popularity => Box::new(Popularity::of_all_time(train)),
            Settings::PopularityRecent(s) => Box::new(Popularity::of_recent(train, s)),
            Settings::BuyAgain(settings) => Box::new(BuyAgain { settings: *settings }),
            Settings::ItemKnn(s) => Box::new(neighbours::fit(train, s)),
            Settings::Rules(s) => Box::new(rules::fit_rules(train, s)),
            Settings::Markov(s) => Box::new(rules::fit_markov(train, s)),
            Settings::Ease(s) => Box::new(ease::fit(&Interactions::binary(train), s.lambda, Recency::FLAT, progress)?),
            Settings::EaseWindow(s) => {
                let windows = Sequences::distinct(train).windows(s.window.max(1), s.stride.max(1));
                Box::new(ease::fit(&windows, s.lambda, s.recency, progress)?)
            }
            Settings::Ials(s) => Box::new(ials::fit(&Interactions::counts(train), s, seed, progress)?),
            Settings::EventModel(s) => Box::new(EventRecommender::fit(train, s, seed, progress)?),
        })
    }

    /// Reads a fitted recommender back.
    pub fn load(&self, parts: &mut Parts<'static>, items: usize) -> Result<Box<dyn Recommender>> {
        Ok(match self {
            Settings::Popularity | Settings::PopularityRecent(_) => Box::new(Popularity::load(parts, items)?),
            Settings::BuyAgain(settings) => Box::new(BuyAgain { settings: *settings }),
            Settings::ItemKnn(_) | Settings::Ease(_) => Box::new(ItemToItem::load(Recency::FLAT, parts, items)?),
            Settings::Rules(s) => Box::new(ItemToItem::load(s.recency, parts, items)?),
            Settings::Markov(s) => Box::new(ItemToItem::load(s.recency, parts, items)?),
            Settings::EaseWindow(s) => Box::new(ItemToItem::load(s.recency, parts, items)?),
            Settings::Ials(s) => Box::new(Ials::load(s, parts, items)?),
            Settings::EventModel(s) => Box::new(EventRecommender::load(s, parts, items)?),
        })
    }
}

/// Finds entries by names; `all` stands for every one that does not take minutes. A usage error lists the valid names.
pub fn entries(names: &[String]) -> Result<Vec<&'static Entry>> {
    let mut found: Vec<&'static Entry> = Vec::new();
    for name in names {
        let matching: Vec<&Entry> =
            REGISTRY.iter().filter(|e| e.name == name || (name == "all" && !e.takes_minutes)).collect();
        if matching.is_empty() {
            let valid: Vec<&str> = REGISTRY.iter().map(|e| e.name).collect();
            return Err(Error::usage(format!("`{name}` is not a recommender"))
                .remedy(format!("use one of {}, or all", valid.join(", ")))
                .into());
        }
        for entry in matching {
            if !found.iter().any(|f| f.name == entry.name) {
                found.push(entry);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_defaults_and_names_resolve() {
        for entry in &REGISTRY {
            assert_eq!(entry.defaults(), entry.candidates()[0]);
            let json = serde_json::to_value(entry.defaults()).unwrap();
            assert_eq!(json["recommender"], entry.name);
            assert_eq!(serde_json::from_value::<Settings>(json).unwrap(), entry.defaults());
        }
        let names = |list: &[&str]| entries(&list.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&["ease", "all"]).unwrap().len(), REGISTRY.len() - 1);
        assert_eq!(names(&["event-model", "all"]).unwrap().len(), REGISTRY.len());
        let error = names(&["eese"]).unwrap_err();
        assert!(matches!(error, Error::Usage(_)));
        assert!(error.to_string().contains("buy-again"), "{error}");
    }
}
