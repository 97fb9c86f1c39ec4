//! Tables and everything the other crates agree on before they meet a file, a model or a screen.
//!
//! Data enters as Arrow record batches together with a project file ([`Project`]) and leaves as a [`Shop`]: named
//! [`Table`]s with [`ColumnKind`]s, roles, keys and references. From the events table of a shop come [`Histories`]
//! (per-user sequences) and, from those, a [`Split`] (what a model may see, what it is tested on).
//! The crate also holds the mechanisms that must exist once only: named random streams ([`Draws`]), all-or-nothing output
//! ([`AtomicFile`], [`AtomicFolder`]), progress with interruption ([`Progress`]) and what an interrupted run goes on from
//! ([`Checkpoints`]).
//!
//! Light by design: no query engine, no model.

mod checkpoint;
pub mod condition;
pub mod constraint;
mod digest;
mod draws;
mod error;
mod files;
mod histories;
mod kinds;
mod progress;
mod project;
mod shop;
mod split;
mod table;
mod writer;

pub use checkpoint::{Checkpoint, Checkpoints, Reading, Writing};
pub use digest::Digest;
pub use draws::{DrawFamily, Draws, Stream};
pub use error::{Error, Problem, Result};
pub use files::{AtomicFile, AtomicFolder};
pub use histories::{Histories, TimeScale};
pub use kinds::{ColumnKind, Role};
pub use progress::{Progress, Reporter, Task};
pub use project::{
    Body, CleanRules, ColumnOptions, HoldoutUsers, Interpolation, Loss, Method, Missing, Outliers, Preset, Project,
    ProjectSection, Reference, ResampleUnit, Scaling, SplitSection, SynthesisSection, TableDefinition, Target,
    Verbatim,
};
pub use shop::{EventColumns, Shop};
pub use split::{HoldoutPlan, Split, SplitKind, SplitPlan};
pub use table::Table;
pub use writer::{FileFormat, TableWriter, read_parquet};
