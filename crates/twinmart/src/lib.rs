//! Twinmart: learn from a shop's own data, make a synthetic twin, train recommenders on either, and prove in one report
//! how faithful, useful and private the twin is.
//!
//! This crate is the facade: it re-exports the stages in the order data flow through them and holds the command line.
//! Data enter as record batches ([`Synthesizer`]) or as a project file ([`sources::load`]); [`synth`] turns the shop into a model
//! and the model into twin tables; [`rank`] trains recommenders on either; [`assess`] compares the two; [`pipeline::run`]
//! does all of it, resumably.
//!
//! # A tour
//!
//! *Fit.* A [`Synthesizer`] takes one table as a record batch, as any of Arrow's readers or as a file, or all tables of a
//! [`tables::Shop`]; what comes out is a [`Model`]. *Sample.* [`Model::sample`] draws rows into one batch,
//! [`Sampler::batches`] a stream of any length. *Complete.* [`Model::complete`] fills the missing values of given rows.
//!
//! ```
//! use std::sync::Arc;
//! use twinmart::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
//! use twinmart::{Model, Synthesizer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! // A table in memory: 600 orders, the price depends on the size.
//! let size = StringArray::from_iter_values((0..600).map(|i| ["S", "L"][i % 2]));
//! let price = Int64Array::from_iter_values((0..600).map(|i| 10 + 20 * (i % 2) + i % 5));
//! let orders = RecordBatch::try_from_iter([
//!     ("size", Arc::new(size) as ArrayRef),
//!     ("price", Arc::new(price) as ArrayRef),
//! ])?;
//!
//! // Fit a model, keep it as a file, read it again.
//! let model = Synthesizer::default().name("orders").steps(20).fit(&orders)?;
//! model.save(folder.join("orders.twin"), false)?;
//! let model = Model::load(folder.join("orders.twin"))?;
//!
//! // One batch …
//! let twin = model.sample(1_000, 7)?;
//! assert_eq!(twin.num_rows(), 1_000);
//!
//! // … or as many rows as a disk can hold, written as they are drawn: the same rows, whatever the way.
//! let batches = model.sampler(Some(1_000), 7)?.batches("orders")?;
//! let mut csv = arrow::csv::Writer::new(std::fs::File::create(folder.join("twin.csv"))?);
//! for batch in batches {
//!     csv.write(&batch?)?;
//! }
//!
//! // Fill gaps: known values stay, missing ones are drawn given them.
//! let size = StringArray::from(vec![Some("L"), None]);
//! let price = Int64Array::from(vec![None, Some(11)]);
//! let gaps = RecordBatch::try_from_iter([
//!     ("size", Arc::new(size) as ArrayRef),
//!     ("price", Arc::new(price) as ArrayRef),
//! ])?;
//! let full = model.complete(&gaps, 7)?;
//! assert_eq!(full["size"].as_string::<i32>().value(0), "L");
//! assert_eq!(full["size"].null_count() + full["price"].null_count(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! Other methods are chosen by [`Method`], their settings by name. A generator that learns against a discriminator, for 20
//! epochs, tells how it went ([`Model::training_logs`]):
//!
//! ```
//! use std::sync::Arc;
//! use twinmart::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
//! use twinmart::{Loss, Method, Synthesizer};
//!
//! # fn main() -> twinmart::Result<()> {
//! # let size = StringArray::from_iter_values((0..600).map(|i| ["S", "L"][i % 2]));
//! # let price = Int64Array::from_iter_values((0..600).map(|i| 10 + 20 * (i % 2) + i % 5));
//! # let orders = RecordBatch::try_from_iter([
//! #     ("size", Arc::new(size) as ArrayRef),
//! #     ("price", Arc::new(price) as ArrayRef),
//! # ])?;
//! let model = Synthesizer::new(Method::Gan).name("orders").loss(Loss::R1).batch(100).steps(20).fit(&orders)?;
//! for (table, log) in model.training_logs() {
//!     println!("{table}: epoch {} of {} was kept", log.kept, log.epochs.len());
//! }
//! assert_eq!(model.sample(1_000, 7)?.num_rows(), 1_000);
//! # Ok(())
//! # }
//! ```
//!
//! A shop with users and events is a project file; everything that `twinmart fit` does with it is
//!
//! ```no_run
//! use twinmart::Synthesizer;
//! use twinmart::tables::Progress;
//!
//! # fn main() -> twinmart::Result<()> {
//! let loaded = twinmart::sources::load("shop/twinmart.toml".as_ref(), &Progress::silent())?;
//! let model = Synthesizer::of_project(&loaded.project).fit_shop(&loaded.shop)?;
//! for batch in model.sampler(Some(100_000), 7)?.batches("purchases")? {
//!     println!("{} events", batch?.num_rows());
//! }
//! # Ok(())
//! # }
//! ```

/// The version of Arrow that all record batches here are of.
pub use arrow;

pub use twinmart_assess as assess;
pub use twinmart_density as density;
pub use twinmart_encode as encode;
pub use twinmart_privacy as privacy;
pub use twinmart_rank as rank;
pub use twinmart_sources as sources;
pub use twinmart_synth as synth;
pub use twinmart_tables as tables;

pub use twinmart_synth::{Batches, Model, Sampler};
pub use twinmart_tables::{
    Body, ColumnKind, Error, Interpolation, Loss, Method, Preset, Progress, ResampleUnit, Result, Verbatim,
};

mod bench;
pub mod cli;
mod commands;
mod curves;
pub mod pipeline;
mod screen;
mod signals;
mod stages;
mod synthesizer;
mod twins;

pub use synthesizer::Synthesizer;
