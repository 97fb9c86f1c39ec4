//! Twinmart: learn from a shop's own data, make a synthetic twin, train recommenders on either, and prove in one report
//! how faithful, useful and private the twin is.
//!
//! This crate is the facade: it re-exports the stages in the order data flow through them and holds the command line.
//! Data enter as a project file ([`sources::load`]); `synth` turns the shop into a model and the model into twin tables;
//! `rank` trains recommenders on either; `assess` compares the two; [`pipeline::run`] does all of it, resumably.

pub use twinmart_assess as assess;
pub use twinmart_density as density;
pub use twinmart_encode as encode;
pub use twinmart_privacy as privacy;
pub use twinmart_rank as rank;
pub use twinmart_sources as sources;
pub use twinmart_synth as synth;
pub use twinmart_tables as tables;

mod bench;
pub mod cli;
mod commands;
pub mod pipeline;
mod screen;
mod signals;
mod stages;
mod twins;
