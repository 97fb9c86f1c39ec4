//! Reading, cleaning and understanding data, before any model: the only crate that knows the SQL engine.
//!
//! Data enters as files (Parquet, CSV, JSON lines; plain, gzip, zstd; single, folders, globs) named by a project file, and
//! leaves as a [`twinmart_tables::Shop`] with a [`CleaningReport`] ([`load`]); rows in memory become a table by the same
//! rules ([`table_of`]). Rows keep the files' order, always. Text files are read in two streaming passes (types, then
//! values); SQL runs on one thread within a memory limit and spills.
//!
//! Types to know: [`Source`] (files as one table), [`Loaded`], [`CleaningReport`], [`Fitted`] (an invertible scaling).

mod clean;
mod constraints;
mod convert;
mod csv;
mod detect;
mod discover;
mod engine;
mod facts;
mod init;
mod json;
mod load;
mod normal;
mod parquet;
mod problems;
mod profile;
mod profile_text;
mod refill;
mod report;
mod reservoir;
mod rows;
mod sketch;
mod source;
mod standardize;
mod statistics;
mod table;
mod text;
mod toml_text;
mod values;

pub use constraints::check as check_constraints;
pub use convert::convert;
pub use init::init;
pub use load::{Loaded, files_of, load, load_project, read_project};
pub use problems::{DataProblem, ProblemKind};
pub use profile::{ColumnProfile, Profile, TableProfile, TopValue, profile};
pub use profile_text::{cleaning_text, profile_text};
pub use refill::refill;
pub use report::{CleaningReport, RuleReport, TargetReport};
pub use reservoir::RowSample;
pub use source::Source;
pub use standardize::{Fitted, invert};
pub use table::table_of;
