//! `twinmart bench`: what the product costs and how good its work is, measured on the user's own machine and data.
//!
//! ```text
//! given ─► rows ──► child (fit, sample: processes of their own) ─► costs ─┐
//!   │       └─────► assess ─────────────────────────────────────► score ─┴─► results, next to those of others
//!   └────► densities (all families, equal time) ─► likelihood, score
//!
//! project, generated ─► child (fit, draw) ─► stages, memory ─► events
//! ```

mod child;
pub(crate) mod densities;
pub(crate) mod events;
pub(crate) mod generated;
mod given;
mod peak;
mod processor;
mod results;
pub(crate) mod rows;
mod stages;

pub(crate) use given::Given;
