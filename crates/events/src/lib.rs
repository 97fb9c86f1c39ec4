//! The event model: histories of users, learned and drawn event by event.
//!
//! [`Sequences`] (users × events) are what it learns from. [`clock`] puts time into classes, [`counts`] counts which items
//! go together, [`recall`] says what a history brings to mind.

pub mod clock;
pub mod counts;
pub mod recall;
mod sequences;

pub use sequences::Sequences;
