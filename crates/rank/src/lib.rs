//! Recommenders and the evaluation kernel.
//!
//! [`Histories`](twinmart_tables::Histories) and a [`Split`](twinmart_tables::Split) enter. Fitted recommenders leave as
//! one `*.recs` file ([`Recommenders`]), measurements as [`Evaluation`] (metrics of several recommenders on one split)
//! and [`Retention`] (what recommenders keep when they learn from a twin). A [`Recommender`] scores any history over
//! the whole catalogue and explains each score by summands; the [`REGISTRY`] knows them all by name.

mod bootstrap;
mod buy_again;
mod container;
mod ease;
mod evaluate;
mod event_model;
mod ials;
mod interactions;
mod item_to_item;
mod neighbours;
mod popularity;
mod ranking;
mod recommender;
mod recommenders;
mod registry;
mod retention;
mod rules;
mod train;

pub use buy_again::{BuyAgain, BuyAgainSettings};
pub use container::{Parts, Values};
pub use ease::{MAX_ITEMS as EASE_MAX_ITEMS, fit as fit_ease};
pub use evaluate::{Evaluation, TestCases, UserMetrics, View, ViewResult};
pub use event_model::{EventModelSettings, EventRecommender};
pub use ials::{Ials, IalsSettings, Loss as IalsLoss, Training as IalsTraining};
pub use interactions::{Interactions, Sequences};
pub use item_to_item::{ItemToItem, Weights};
pub use neighbours::{NeighbourSettings, UserWeight};
pub use popularity::{Popularity, RecentSettings};
pub use ranking::top_k;
pub use recommender::{Contribution, Recency, Recommender, Source, UserHistory};
pub use recommenders::{Reason, Recommendation, Recommenders, Request, TrainedRecommender};
pub use registry::{EaseSettings, EaseWindowSettings, Entry, REGISTRY, Settings, entries};
pub use retention::{PORTFOLIO, RankingRetention, Retention, retention};
pub use rules::{MarkovSettings, RuleSettings};
pub use train::{Choice, TrainPlan, train};
