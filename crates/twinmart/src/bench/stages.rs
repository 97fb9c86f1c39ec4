//! What the stages of a piece of work took, as their own progress tells.

use super::processor::own_seconds;
use super::results::rounded;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use twinmart_tables::{Progress, Reporter};

/// A stage that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// What it calls itself.
    pub(crate) title: String,
    /// Wall time from its start to its end, and processor time of all threads; the latter on Linux only.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: Option<f64>,
    /// What it counts, and how many there were.
    pub(crate) unit: String,
    pub(crate) units: u64,
    /// Units a second of wall time: the median over its steps, without the first one.
    pub(crate) per_second: Option<f64>,
    /// Units a second of processor time, from the end of the first step to that of the last one.
    pub(crate) per_cpu_second: Option<f64>,
}

struct Running {
    stage: Stage,
    began: (Instant, Option<f64>),
    /// Ends of the first and of the last step, and the units between them.
    first: Option<f64>,
    last: Option<(Instant, Option<f64>)>,
    between: u64,
    rates: Vec<f64>,
    ended: bool,
}

fn now() -> (Instant, Option<f64>) {
    (Instant::now(), own_seconds())
}

/// Takes the time of all stages that report to it.
#[derive(Default)]
pub(crate) struct StopWatch(Mutex<Vec<Running>>);

impl StopWatch {
    /// A watch, and the progress that it is told.
    pub(crate) fn with_progress() -> (Arc<StopWatch>, Progress) {
        let watch = Arc::new(StopWatch::default());
        let progress = Progress::new(watch.clone(), Arc::new(AtomicBool::new(false)));
        (watch, progress)
    }

    /// The stages that have ended, in the order in which they began.
    pub(crate) fn stages(&self) -> Vec<Stage> {
        self.running().iter().filter(|r| r.ended).map(|r| r.stage.clone()).collect()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for StopWatch {
    fn start(&self, title: &str, _: Option<u64>, unit: &str) -> usize {
        let stage = Stage {
            title: title.into(),
            seconds: 0.0,
            cpu_seconds: None,
            unit: unit.into(),
            units: 0,
            per_second: None,
            per_cpu_second: None,
        };
        let mut all = self.running();
        let (began, first, last) = (now(), None, None);
        all.push(Running { stage, began, first, last, between: 0, rates: Vec::new(), ended: false });
        all.len() - 1
    }

    fn advance(&self, task: usize, steps: u64) {
        let (now, mut all) = (now(), self.running());
        let running = &mut all[task];
        running.stage.units += steps;
        match running.last.replace(now) {
            None => running.first = now.1,
            Some(last) => {
                running.between += steps;
                running.rates.push(steps as f64 / (now.0 - last.0).as_secs_f64().max(1e-9));
            }
        }
    }

    fn finish(&self, task: usize) {
        let (now, mut all) = (now(), self.running());
        let running = &mut all[task];
        let passed = |from: Option<f64>, to: Option<f64>| Some(rounded(to? - from?, 2));
        running.stage.seconds = rounded((now.0 - running.began.0).as_secs_f64(), 3);
        running.stage.cpu_seconds = passed(running.began.1, now.1);
        running.stage.per_second = median(&mut running.rates);
        let between = passed(running.first, running.last.and_then(|last| last.1)).filter(|seconds| *seconds > 0.0);
        running.stage.per_cpu_second = between.map(|seconds| running.between as f64 / seconds);
        running.ended = true;
    }

    fn warn(&self, message: &str) {
        eprintln!("warning: {message}");
    }
}

fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stages_are_timed_and_a_single_slow_step_does_not_change_the_rate() {
        let (watch, progress) = StopWatch::with_progress();
        let task = progress.start("learn", None, "events");
        for pause in [60, 5, 5, 5, 60, 5, 5] {
            std::thread::sleep(Duration::from_millis(pause));
            task.advance(10).unwrap();
        }
        let open = progress.start("not ended", None, "events");
        drop(task);
        let stages = watch.stages();
        drop(open);
        assert_eq!((stages.len(), stages[0].title.as_str(), stages[0].units), (1, "learn", 70));
        assert!(stages[0].seconds >= 0.145, "{stages:?}");
        // Ten in 5 ms and what the system adds; ten in 60 ms would be 167.
        assert!((300.0..=2_000.0).contains(&stages[0].per_second.unwrap()), "{stages:?}");
    }
}
