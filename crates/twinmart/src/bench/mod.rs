//! `twinmart bench`: what the product costs and how good its work is, measured on the user's own machine and data.
//!
//! ```text
//! given ─► rows ──► child (fit, sample: processes of their own) ─► costs ─┐
//!   │       └─────► assess ─────────────────────────────────────► score ─┴─► results, next to those of others
//!   └────► densities (all families, equal time) ─► likelihood, score
//! ```

mod child;
pub(crate) mod densities;
mod given;
mod processor;
mod results;
pub(crate) mod rows;

pub(crate) use given::Given;
