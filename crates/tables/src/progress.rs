//! Progress, interruption and checkpoints, handed down to every long stage.
//!
//! A stage calls [`Progress::start`], then [`Task::advance`] as it goes; `advance` also answers whether to stop. Where
//! learning is long, [`Progress::checkpoint`] is the place to keep what there is.

use crate::{Checkpoint, Checkpoints, Digest, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where progress goes. Implemented by the silent reporter here and by the terminal in the binary.
pub trait Reporter: Send + Sync {
    /// A task begins; `total` in `unit`s where known. Returns a number that names the task.
    fn start(&self, title: &str, total: Option<u64>, unit: &str) -> usize;
    /// A task moved on by `steps`.
    fn advance(&self, task: usize, steps: u64);
    /// A task ended.
    fn finish(&self, task: usize);
    /// Something the user should know; the work goes on.
    fn warn(&self, message: &str);
    /// Something the user may like to know; nowhere by default.
    fn note(&self, message: &str) {
        let _ = message;
    }
}

struct Silent;
impl Reporter for Silent {
    fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
        0
    }
    fn advance(&self, _: usize, _: u64) {}
    fn finish(&self, _: usize) {}
    fn warn(&self, _: &str) {}
}

/// A handle to report progress, to learn of an interruption and to keep what was learned so far; cheap to clone.
#[derive(Clone)]
pub struct Progress {
    reporter: Arc<dyn Reporter>,
    stop: Arc<AtomicBool>,
    checkpoints: Checkpoints,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("stop", &self.stop)
            .field("checkpoints", &self.checkpoints)
            .finish_non_exhaustive()
    }
}

impl Progress {
    /// Reports to `reporter`; stops soon after `stop` becomes true.
    pub fn new(reporter: Arc<dyn Reporter>, stop: Arc<AtomicBool>) -> Self {
        Progress { reporter, stop, checkpoints: Checkpoints::none() }
    }

    /// Reports nothing and never stops.
    pub fn silent() -> Self {
        Progress::new(Arc::new(Silent), Arc::new(AtomicBool::new(false)))
    }

    /// Reports nothing, but stops as this one does.
    pub fn quiet(&self) -> Self {
        Progress::new(Arc::new(Silent), self.stop.clone())
    }

    /// Begins a task of `total` `unit`s (for example `"users"`).
    pub fn start(&self, title: &str, total: Option<u64>, unit: &str) -> Task {
        Task { number: self.reporter.start(title, total, unit), progress: self.clone() }
    }

    /// Tells the user something; the work goes on.
    pub fn warn(&self, message: &str) {
        self.reporter.warn(message);
    }

    /// Tells the user something of less weight; the work goes on.
    pub fn note(&self, message: &str) {
        self.reporter.note(message);
    }

    /// The same, with checkpoints of long learning.
    pub fn keeping(&self, checkpoints: Checkpoints) -> Progress {
        Progress { checkpoints, ..self.clone() }
    }

    /// The same for the learners of one table.
    pub fn of_table(&self, table: &str) -> Progress {
        self.keeping(self.checkpoints.of_table(table))
    }

    /// Where a learner keeps what it has, in a table only one by this name; `run` digests all that decides what it learns.
    pub fn checkpoint(&self, learner: &str, run: impl FnOnce() -> Digest) -> Checkpoint {
        self.checkpoints.of(learner, run, self)
    }

    /// How long the learning took, so far, that was read from checkpoints instead of being repeated.
    pub fn regained(&self) -> Duration {
        self.checkpoints.regained()
    }

    /// [`Error::Interrupted`] once the user asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// A task under way; dropping it ends it.
#[derive(Debug)]
pub struct Task {
    number: usize,
    progress: Progress,
}

impl Task {
    /// Moves on by `steps`; [`Error::Interrupted`] once the user asked to stop.
    pub fn advance(&self, steps: u64) -> Result<()> {
        self.progress.reporter.advance(self.number, steps);
        self.progress.check()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.progress.reporter.finish(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_stops_the_next_step() {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Progress::new(Arc::new(Silent), stop.clone());
        let task = progress.start("count", Some(2), "rows");
        assert!(task.advance(1).is_ok());
        let quiet = progress.quiet();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(task.advance(1), Err(Error::Interrupted)));
        assert!(matches!(quiet.check(), Err(Error::Interrupted)));
    }
}
