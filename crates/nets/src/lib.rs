//! The deep-learning engine: what networks are made of, and how they learn.
//!
//! Numbers enter and leave as flat slices of `f32`, stored row by row; parameters are one slice, cut up by a layout.
//! [`decoder::Decoder`] is a causal Transformer with a gradient ([`decoder::Pass`]) and with cached steps for drawing
//! ([`decoder::Cache`]); [`adam::Adam`] changes parameters; [`matrix`] multiplies. Nothing here knows what the numbers mean.
//!
//! Everything runs on the thread that calls it, and every sum has a fixed order: who splits work by rows gets the same bits
//! on any number of threads.

pub mod adam;
pub mod brief;
pub mod decoder;
pub mod exponential;
pub mod graph;
pub mod matrix;
pub mod normal;
#[doc(hidden)]
pub mod vectorized;
