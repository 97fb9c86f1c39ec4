//! One file per command: its flags with help and example, and what it does.

pub(crate) mod assess;
pub(crate) mod augment;
pub(crate) mod bench;
mod bench_events;
pub(crate) mod clean;
pub(crate) mod complete;
pub(crate) mod evaluate;
pub(crate) mod fit;
pub(crate) mod init;
pub(crate) mod predict;
pub(crate) mod profile;
pub(crate) mod recommend;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod split;
pub(crate) mod train;
