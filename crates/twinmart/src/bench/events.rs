//! `twinmart bench events`: what learning and drawing histories costs, fitted and drawn in processes of their own.
//!
//! ```text
//! project, or generated shop ─► child: load, fit some steps ─► stages, memory ─┐
//!                                      │ model                                 ├─► costs of an event, share of the peak
//!                                      └─► child: draw ─► events, memory ──────┘
//! ```

use super::child;
use super::generated::{self, Size};
use super::peak;
use super::processor::own_seconds;
use super::results::{aligned, rounded, shown};
use super::stages::{Stage, StopWatch};
use crate::pipeline::{Parts, settings};
use crate::stages::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use twinmart_events::Cost;
use twinmart_synth::Model;
use twinmart_tables::{Error, FileFormat, Method, Preset, Progress, Result, Role};

/// The stages of a fit that repeat: what remains is preparation.
const LEARNING: &str = "learning histories";
const CALIBRATING: &str = "calibrating";

/// What is measured and how.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Steps of learning.
    pub(crate) steps: u64,
    /// Events to draw, about.
    pub(crate) draw_events: u64,
    pub(crate) preset: Preset,
    pub(crate) seed: u64,
}

/// A shop to measure.
#[derive(Debug, Clone)]
pub(crate) enum Shop {
    /// A project file.
    Project(PathBuf),
    /// One that is generated, and what it is called.
    Generated(&'static str, Size),
}

/// Ten times as many of everything that makes a shop large, one after the other.
pub(crate) fn growing(base: Size) -> Vec<Shop> {
    let sizes = [
        ("base", base),
        ("users × 10", Size { users: base.users * 10, events: base.events * 10, ..base }),
        ("items × 10", Size { items: base.items * 10, ..base }),
        ("history × 10", Size { events: base.events * 10, ..base }),
    ];
    sizes.into_iter().map(|(name, size)| Shop::Generated(name, size)).collect()
}

/// What a fit took, by the process that fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fitted {
    users: usize,
    items: usize,
    events: usize,
    /// Wall seconds of reading and cleaning.
    load_seconds: f64,
    /// Wall seconds of the fit, all tables, and processor seconds; the latter on Linux only, here and below.
    fit_seconds: f64,
    fit_cpu_seconds: Option<f64>,
    /// What the fit told of itself.
    stages: Vec<Stage>,
    cost: Cost,
    /// Flops a second of products of matrices on as many threads, before or after the fit.
    peak_flops_per_second: f64,
}

/// What drawing took, by the process that draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drawn {
    users: u64,
    events: u64,
    /// Of drawing and writing.
    seconds: f64,
    cpu_seconds: Option<f64>,
    peak_flops_per_second: f64,
}

/// The costs of one shop.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    name: String,
    fitted: Fitted,
    drawn: Drawn,
    /// Preparation: all of the fit that is neither learning nor calibration.
    prepare_seconds: f64,
    calibrate_seconds: f64,
    learned_events_per_second: f64,
    drawn_events_per_second: f64,
    /// Processor microseconds of one event: to prepare, to learn, to draw.
    prepare_cpu_microseconds: Option<f64>,
    learn_cpu_microseconds: Option<f64>,
    draw_cpu_microseconds: Option<f64>,
    /// Flops of the network that were done a second, as shares of the peak.
    learning_share_of_peak: f64,
    drawing_share_of_peak: f64,
    /// Largest resident memory; Linux only.
    fit_peak_bytes: Option<u64>,
    draw_peak_bytes: Option<u64>,
}

/// The figures of `bench/peers/events_pytorch.py`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Peer {
    peer: String,
    version: String,
    /// The case whose shapes it ran.
    case: String,
    threads: usize,
    learned_events_per_second: f64,
    drawn_events_per_second: f64,
    learn_cpu_microseconds: f64,
    draw_cpu_microseconds: f64,
    peak_flops_per_second: f64,
    peak_memory_bytes: u64,
}

/// Measures a shop.
pub(crate) fn measure(shop: &Shop, plan: &Plan, scratch: &Path, progress: &Progress) -> Result<Case> {
    let folder = tempfile::tempdir_in(scratch).map_err(|e| Error::io(scratch, e))?;
    let (name, project) = match shop {
        Shop::Project(file) => (twinmart_sources::read_project(file)?.project.name, file.clone()),
        Shop::Generated(name, size) => (name.to_string(), generated::write(*size, plan.seed, folder.path(), progress)?),
    };
    let [model, out] = ["model.twin", "result.json"].map(|f| folder.path().join(f));
    let child = |stage: &str, input: &Path, arguments: &[String]| {
        let mut all: Vec<OsString> = vec!["bench".into(), "events-part".into(), stage.into()];
        all.extend([input, model.as_path(), out.as_path()].map(OsString::from));
        all.extend(arguments.iter().map(OsString::from));
        let threads = rayon::current_num_threads().to_string();
        all.extend(["--seed", &plan.seed.to_string(), "--threads", &threads].map(Into::into));
        child::run(&format!("{name}: {stage}"), &all, folder.path(), progress)
    };
    let steps = ["--steps".into(), plan.steps.to_string(), "--preset".into(), plan.preset.name().into()];
    let fit = child("fit", &project, &steps)?;
    let fitted: Fitted = read_json(&out)?;
    let users = plan.draw_events * fitted.users as u64 / fitted.events.max(1) as u64;
    let draw = child("draw", folder.path(), &["--users".into(), users.max(1).to_string()])?;
    Ok(Case::of(name, fitted, read_json(&out)?, fit.peak_bytes, draw.peak_bytes))
}

impl Case {
    fn of(name: String, fitted: Fitted, drawn: Drawn, fit_peak: Option<u64>, draw_peak: Option<u64>) -> Case {
        let stages = |title: &'static str| fitted.stages.iter().filter(move |s| s.title == title);
        let repeated = || stages(LEARNING).chain(stages(CALIBRATING));
        let learning = stages(LEARNING).find_map(|s| s.per_second).unwrap_or(0.0);
        let drawing = drawn.events as f64 / drawn.seconds;
        let prepare = fitted.fit_seconds - repeated().map(|s| s.seconds).sum::<f64>();
        let prepare_cpu = fitted.fit_cpu_seconds.map(|all| all - repeated().filter_map(|s| s.cpu_seconds).sum::<f64>());
        let each = |seconds: f64, events: f64| rounded(seconds * 1e6 / events.max(1.0), 3);
        Case {
            prepare_seconds: rounded(prepare, 3),
            calibrate_seconds: rounded(stages(CALIBRATING).map(|s| s.seconds).sum(), 3),
            learned_events_per_second: rounded(learning, 1),
            drawn_events_per_second: rounded(drawing, 1),
            prepare_cpu_microseconds: prepare_cpu.map(|seconds| each(seconds, fitted.events as f64)),
            learn_cpu_microseconds: stages(LEARNING).find_map(|s| s.per_cpu_second).map(|rate| each(1.0, rate)),
            draw_cpu_microseconds: drawn.cpu_seconds.map(|seconds| each(seconds, drawn.events as f64)),
            learning_share_of_peak: rounded(learning * fitted.cost.learning / fitted.peak_flops_per_second, 4),
            drawing_share_of_peak: rounded(drawing * fitted.cost.drawing / drawn.peak_flops_per_second, 4),
            fit_peak_bytes: fit_peak,
            draw_peak_bytes: draw_peak,
            name,
            fitted,
            drawn,
        }
    }
}

/// Fits a project, in this process, and writes the model and [`Fitted`].
pub(crate) fn fit_part(input: &Path, model: &Path, out: &Path, plan: &Plan) -> Result<()> {
    let mut project = twinmart_sources::read_project(input)?;
    project.synthesis.preset = plan.preset;
    project.synthesis.steps = plan.steps;
    let settings = settings(&project, Some(Method::Autoregressive.name()), plan.seed)?;
    let (watch, progress) = StopWatch::with_progress();
    let peak_before = peak::flops_per_second();
    let clock = Clock::start();
    let loaded = twinmart_sources::load_project(project, None, &progress)?;
    let parts = Parts::of(&loaded.shop, settings.seed)?;
    drop(loaded);
    let (load_seconds, _) = clock.passed();
    let (counts, items) = {
        let histories = parts.train.histories()?;
        let counts: Vec<usize> = (0..histories.user_count()).map(|user| histories.range(user).len()).collect();
        (counts, histories.item_count())
    };
    let clock = Clock::start();
    let fitted = twinmart_synth::fit(&parts.train, &settings, &progress)?;
    let (fit_seconds, fit_cpu_seconds) = clock.passed();
    fitted.save(model, true)?;
    let histories = fitted.histories().ok_or_else(|| Error::data("no histories were learned").file(input))?;
    let result = Fitted {
        users: counts.len(),
        items,
        events: counts.iter().sum(),
        load_seconds,
        fit_seconds,
        fit_cpu_seconds,
        stages: watch.stages(),
        cost: histories.cost(&counts),
        peak_flops_per_second: peak_before.max(peak::flops_per_second()),
    };
    write_json(out, &result)
}

/// Draws users from a model, in this process, into `folder`, and writes [`Drawn`].
pub(crate) fn draw_part(folder: &Path, model: &Path, out: &Path, users: u64, seed: u64) -> Result<()> {
    let model = Model::load(model)?;
    let peak_before = peak::flops_per_second();
    let sampler = model.sampler(Some(users), seed)?;
    let twin = folder.join("twin");
    let clock = Clock::start();
    let written = twinmart_synth::write_twin(&sampler, &twin, FileFormat::Parquet, true, &Progress::silent())?;
    let (seconds, cpu_seconds) = clock.passed();
    let is_events = |name: &str| model.manifest().tables.iter().any(|t| t.name == name && t.role() == Role::Events);
    let events = written.iter().filter(|(name, _)| is_events(name)).map(|(_, rows)| rows).sum();
    fs::remove_dir_all(&twin).map_err(|e| Error::io(&twin, e))?;
    let peak_flops_per_second = peak_before.max(peak::flops_per_second());
    write_json(out, &Drawn { users, events, seconds, cpu_seconds, peak_flops_per_second })
}

/// Wall and processor time from a start on.
struct Clock(Instant, Option<f64>);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now(), own_seconds())
    }

    fn passed(&self) -> (f64, Option<f64>) {
        let cpu = own_seconds().zip(self.1).map(|(after, before)| rounded(after - before, 2));
        (rounded(self.0.elapsed().as_secs_f64(), 3), cpu)
    }
}

/// All cases as a table, each next to what others make of its network.
pub(crate) fn text(cases: &[Case], peer: Option<&Peer>) -> String {
    let header = [
        "shop",
        "users",
        "items",
        "events",
        "prepare s",
        "cpu µs",
        "learned/s",
        "cpu µs",
        "of peak",
        "drawn/s",
        "cpu µs",
        "of peak",
        "fit GB",
        "draw GB",
    ];
    let mut rows = Vec::new();
    for case in cases {
        rows.push(case.cells());
        if let Some(peer) = peer.filter(|p| p.case == case.name) {
            rows.push(peer.cells(&case.fitted.cost));
        }
    }
    let mut text = aligned(&header, 1, rows);
    let Some((first, others)) = cases.split_first() else { return text };
    for case in others {
        let times = |of: fn(&Case) -> Option<f64>| shown(of(case).zip(of(first)).map(|(case, first)| case / first), 2);
        text.push_str(&format!(
            "\n{}: an event costs {} × {} to prepare, {} × to learn, {} × to draw (processor time)",
            case.name,
            times(|c| c.prepare_cpu_microseconds),
            first.name,
            times(|c| c.learn_cpu_microseconds),
            times(|c| c.draw_cpu_microseconds),
        ));
    }
    text
}

impl Case {
    fn cells(&self) -> Vec<String> {
        let gigabytes = |bytes: Option<u64>| shown(bytes.map(|b| b as f64 / 1e9), 2);
        vec![
            self.name.clone(),
            self.fitted.users.to_string(),
            self.fitted.items.to_string(),
            self.fitted.events.to_string(),
            shown(Some(self.prepare_seconds), 1),
            shown(self.prepare_cpu_microseconds, 1),
            shown(Some(self.learned_events_per_second), 0),
            shown(self.learn_cpu_microseconds, 1),
            shown(Some(self.learning_share_of_peak), 2),
            shown(Some(self.drawn_events_per_second), 0),
            shown(self.draw_cpu_microseconds, 1),
            shown(Some(self.drawing_share_of_peak), 2),
            gigabytes(self.fit_peak_bytes),
            gigabytes(self.draw_peak_bytes),
        ]
    }
}

impl Peer {
    fn cells(&self, cost: &Cost) -> Vec<String> {
        let share = |rate: f64, flops: f64| shown(Some(rate * flops / self.peak_flops_per_second), 2);
        let mut cells = vec![format!("  {} {}", self.peer, self.version)];
        cells.extend(std::iter::repeat_n("–".to_string(), 5));
        cells.extend([
            shown(Some(self.learned_events_per_second), 0),
            shown(Some(self.learn_cpu_microseconds), 1),
            share(self.learned_events_per_second, cost.learning),
            shown(Some(self.drawn_events_per_second), 0),
            shown(Some(self.draw_cpu_microseconds), 1),
            share(self.drawn_events_per_second, cost.drawing),
            shown(Some(self.peak_memory_bytes as f64 / 1e9), 2),
            "–".into(),
        ]);
        cells
    }
}
