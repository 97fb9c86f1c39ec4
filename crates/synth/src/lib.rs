//! Synthesizers: a shop goes in, a model comes out, and from the model a twin of any size.
//!
//! [`fit`] learns a [`Model`] from a shop; a model is one file with checked content ([`Model::save`], [`Model::load`]).
//! [`Model::sampler`] gives a [`Sampler`], which draws the twin in chunks of users or rows: a chunk depends on nothing but
//! the model, the size, the seed and its own number, so chunks may be drawn on any number of threads or machines.
//! [`write_twin`] draws all of them into files, [`Sampler::batches`] streams one table, [`Model::sample`] is one table in one
//! batch. [`Model::complete`] fills the gaps of given rows, [`Model::predict`] says what comes next in somebody's history.
//!
//! Five methods: `autoregressive` learns every column given those before it, and histories event by event; `gan` learns a
//! generator against a discriminator, of rows and of histories; `interpolate` makes rows between neighbours (SMOTE, SMOTE-NC, Borderline-SMOTE) or any two rows (mixup) and users between similar users
//! (crossover), `replicate` draws training rows again, `independent` draws every column by itself. Models of `interpolate`
//! and `replicate` are made of training rows, and say so.

mod activity;
mod adversarial;
mod adversarial_histories;
mod asked;
mod autoregressive;
mod batches;
mod behaviour;
mod borderline;
mod complete;
mod container;
mod crossover;
mod density;
mod details;
mod encoded;
mod extension;
mod fit;
mod independent;
mod interpolate;
mod keys;
mod learned;
mod learned_events;
mod manifest;
mod marks;
mod mixup;
mod model;
mod nearest;
mod permutation;
mod plans;
mod predict;
mod replicate;
mod rows;
mod rules;
mod sampler;
mod sessions;
mod settings;
mod similar;
mod write;

pub use batches::Batches;
pub use complete::Filling;
pub use fit::fit;
pub use keys::KeyStyle;
pub use manifest::{ColumnSpec, Making, Manifest, TableSpec};
pub use model::Model;
pub use predict::{ActionOdds, ItemOdds, Known, Prediction, TimeSpan};
pub use rules::Rules;
pub use sampler::{Partition, Sampler};
pub use settings::FitSettings;
pub use twinmart_gan::log as training_log;
pub use write::write_twin;
