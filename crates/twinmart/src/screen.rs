//! What a user sees: results on standard output, progress and warnings on standard error.

use crate::cli::Shared;
use crate::signals;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use twinmart_tables::{Error, Progress, Reporter, Result};

/// How the command talks to its user.
pub(crate) struct Screen {
    /// To hand to long stages.
    pub(crate) progress: Progress,
    json: bool,
    verbose: bool,
    seed: Option<u64>,
}

impl Screen {
    pub(crate) fn open(shared: &Shared) -> Result<Screen> {
        let stop = signals::install().map_err(|e| Error::io("signal handlers", e))?;
        let reporter = Arc::new(Terminal::new(shared.quiet));
        let progress = Progress::new(reporter, stop);
        Ok(Screen { progress, json: shared.json, verbose: shared.verbose, seed: shared.seed })
    }

    /// The seed of the command line, else the project's.
    pub(crate) fn seed(&self, of_project: u64) -> u64 {
        self.seed.unwrap_or(of_project)
    }

    /// The seed of the command line, where given.
    pub(crate) fn seed_override(&self) -> Option<u64> {
        self.seed
    }

    /// The outcome: `text` for people, or `value` as JSON.
    pub(crate) fn result(&self, text: &str, value: &impl Serialize) -> Result<()> {
        let out = if self.json {
            serde_json::to_string(value).map_err(|e| Error::data(format!("the result has no JSON form: {e}")))?
        } else {
            text.trim_end().to_string()
        };
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{out}") {
            // A reader that closed the pipe (head, less) has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::io("standard output", e)),
        }
    }

    /// More for `--verbose`, on standard error.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            eprintln!("{text}");
        }
    }
}

/// Progress on a terminal: bars with rate and time left once a task lasts; plain lines where there is no terminal.
struct Terminal {
    bars: MultiProgress,
    quiet: bool,
    next: AtomicUsize,
    tasks: Mutex<HashMap<usize, Running>>,
}

struct Running {
    bar: ProgressBar,
    title: String,
    began: Instant,
}

/// Tasks that end sooner are not worth a line in a log.
const WORTH_A_LINE: Duration = Duration::from_secs(2);

impl Terminal {
    fn new(quiet: bool) -> Self {
        let bars = MultiProgress::with_draw_target(if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(8)
        });
        Terminal { bars, quiet, next: AtomicUsize::new(0), tasks: Mutex::new(HashMap::new()) }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Running>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Terminal {
    fn start(&self, title: &str, total: Option<u64>, unit: &str) -> usize {
        let bar = self.bars.add(match total {
            Some(n) => ProgressBar::new(n),
            None => ProgressBar::no_length(),
        });
        let template = match total {
            Some(_) => {
                format!("{{prefix:<28}} {{bar:24}} {{human_pos}}/{{human_len}} {unit}  {{per_sec:.0}}  {{eta}} left")
            }
            None => format!("{{prefix:<28}} {{spinner}} {{human_pos}} {unit}  {{per_sec:.0}}  {{elapsed}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(title.to_string());
        bar.enable_steady_tick(Duration::from_millis(250));
        let task = self.next.fetch_add(1, Ordering::Relaxed);
        self.tasks().insert(task, Running { bar, title: title.to_string(), began: Instant::now() });
        task
    }

    fn advance(&self, task: usize, steps: u64) {
        if let Some(running) = self.tasks().get(&task) {
            running.bar.inc(steps);
        }
    }

    fn finish(&self, task: usize) {
        let Some(running) = self.tasks().remove(&task) else { return };
        running.bar.finish_and_clear();
        self.bars.remove(&running.bar);
        if !self.quiet && running.began.elapsed() >= WORTH_A_LINE {
            let line = format!("{:<28} {:.1} s", running.title, running.began.elapsed().as_secs_f64());
            self.bars.suspend(|| eprintln!("{line}"));
        }
    }

    fn warn(&self, message: &str) {
        self.bars.suspend(|| eprintln!("warning: {message}"));
    }

    fn note(&self, message: &str) {
        if !self.quiet {
            self.bars.suspend(|| eprintln!("{message}"));
        }
    }
}
