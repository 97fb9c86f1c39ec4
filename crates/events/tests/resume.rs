//! A fit that is interrupted goes on to the model of an unbroken one.

use rand::Rng;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use twinmart_events::{Care, Catalogue, EventModel, Fitting, Profiles, Sequences, Shape, Summary};
use twinmart_tables::{Checkpoints, Draws, Error, Progress, Reporter, Result};

const USERS: usize = 60;
const ITEMS: u32 = 40;
/// Three epochs and a part of a fourth.
const STEPS: u64 = 10;
/// Rounds of grouping users, in a fit to predict.
const GROUPING: u64 = 15;
/// How often a whole fit moves on: its steps, the beginning of the calibration, its twelve rounds.
const MOVES: u64 = STEPS + 1 + 12;

/// Raises the flag at a certain move, and remembers what it heard.
struct Stopping {
    at: u64,
    moves: AtomicU64,
    stop: Arc<AtomicBool>,
    heard: Mutex<Vec<String>>,
}

impl Stopping {
    fn at(at: u64) -> Arc<Stopping> {
        Arc::new(Stopping { at, moves: AtomicU64::new(0), stop: Arc::default(), heard: Mutex::default() })
    }

    fn progress(self: &Arc<Stopping>) -> Progress {
        Progress::new(self.clone(), self.stop.clone())
    }

    fn moves(&self) -> u64 {
        self.moves.load(Ordering::SeqCst)
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join("\n")
    }
}

impl Reporter for Stopping {
    fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
        0
    }
    fn advance(&self, _: usize, _: u64) {
        if self.moves.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            self.stop.store(true, Ordering::SeqCst);
        }
    }
    fn finish(&self, _: usize) {}
    fn warn(&self, message: &str) {
        self.heard.lock().unwrap().push(message.into());
    }
    fn note(&self, message: &str) {
        self.warn(message);
    }
}

/// A shop where users like items of their own kind.
struct Shop {
    sequences: Sequences,
    summary: Summary,
}

impl Shop {
    fn new() -> Shop {
        let mut stream = Draws::new(1).stream("shop");
        let mut sequences = Sequences { offsets: vec![0], has_clock: true, ..Sequences::default() };
        for user in 0..USERS as u32 {
            let mut time = stream.random_range(0..20) * 86_400_000_000;
            for session in 0..stream.random_range(8..16) {
                for _ in 0..stream.random_range(5..15) {
                    sequences.item.push((stream.random_range(0..ITEMS / 4) * 4 + user % 4) % ITEMS);
                    sequences.time.push(time);
                    sequences.session.push(session);
                    sequences.action.push(stream.random_range(0..2));
                    time += stream.random_range(0..90) * 1_000_000;
                }
                time += stream.random_range(1..6) * 86_400_000_000;
            }
            sequences.offsets.push(sequences.item.len());
        }
        let progress = Progress::silent();
        let summary = Summary::of(&sequences, ITEMS as usize, Care::default(), Draws::new(1), &progress).unwrap();
        Shop { sequences, summary }
    }

    fn fit(&self, seed: u64, deadline: Option<Instant>, progress: Progress) -> Result<EventModel> {
        let catalogue = Catalogue::new(&(0..ITEMS).map(|item| vec![item % 4]).collect::<Vec<_>>(), 4);
        let shape = Shape { width: 8, heads: 2, layers: 1, hidden: 12, reach: 8 };
        let steps = if deadline.is_some() { 0 } else { STEPS };
        let fitting = Fitting { draws: Draws::new(seed), steps, care: Care::default(), deadline, progress };
        EventModel::fit(&self.sequences, catalogue, &self.summary, &Profiles::default(), shape, &fitting)
    }

    /// A fit with checkpoints after every step, which is stopped at a move; 0 = never.
    fn fit_in(&self, folder: &Path, seed: u64, stop_at: u64) -> (Result<EventModel>, Arc<Stopping>) {
        let stopping = Stopping::at(stop_at);
        let checkpoints = Checkpoints::open(folder, Duration::from_nanos(1)).unwrap();
        (self.fit(seed, None, stopping.progress().keeping(checkpoints)), stopping)
    }
}

#[test]
fn stopped_anywhere_it_comes_to_the_same_model_without_repeating_steps() {
    let shop = Shop::new();
    let whole = shop.fit(3, None, Progress::silent()).unwrap();
    // Steps inside and at the end of epochs, the last step, before the first round, rounds, after the last round.
    for stop_at in [1, 3, 4, 6, STEPS - 1, STEPS, STEPS + 1, STEPS + 2, STEPS + 5, MOVES] {
        let dir = tempfile::tempdir().unwrap();
        let (stopped, _) = shop.fit_in(dir.path(), 3, stop_at);
        assert!(matches!(stopped, Err(Error::Interrupted)), "stopped at {stop_at}");
        let (resumed, then) = shop.fit_in(dir.path(), 3, 0);
        assert!(resumed.unwrap() == whole, "stopped at {stop_at}");
        // The beginning of the calibration comes twice where its rounds were stopped.
        let again = u64::from(stop_at > STEPS);
        assert_eq!(then.moves(), MOVES - stop_at + again, "stopped at {stop_at}");
        assert!(then.heard().contains(&format!("goes on after step {} of {STEPS}", stop_at.min(STEPS))));
    }
}

#[test]
fn stopped_again_and_again_it_comes_to_the_same_model() {
    let shop = Shop::new();
    let dir = tempfile::tempdir().unwrap();
    let whole = shop.fit(3, None, Progress::silent()).unwrap();
    let mut stops = 0;
    let resumed = loop {
        match shop.fit_in(dir.path(), 3, 2) {
            (Ok(model), _) => break model,
            (Err(error), _) => assert!(matches!(error, Error::Interrupted)),
        }
        stops += 1;
    };
    assert!(resumed == whole && stops >= 10, "{stops} stops");
}

#[test]
fn another_seed_begins_anew_and_says_so() {
    let shop = Shop::new();
    let dir = tempfile::tempdir().unwrap();
    let (stopped, _) = shop.fit_in(dir.path(), 3, 5);
    assert!(stopped.is_err());
    let (other, then) = shop.fit_in(dir.path(), 4, 0);
    assert!(other.unwrap() == shop.fit(4, None, Progress::silent()).unwrap());
    assert!(then.heard().contains("of other data or settings"), "{}", then.heard());
    let (resumed, then) = shop.fit_in(dir.path(), 3, 0);
    assert!(resumed.unwrap() == shop.fit(3, None, Progress::silent()).unwrap());
    assert!(then.heard().contains("goes on after step 5"), "{}", then.heard());
}

#[test]
fn a_fit_to_predict_goes_on_from_its_own_checkpoints() {
    let shop = Shop::new();
    let dir = tempfile::tempdir().unwrap();
    let fit = |progress: Progress| {
        let catalogue = Catalogue::new(&vec![Vec::new(); ITEMS as usize], 0);
        let shape = Shape { width: 8, heads: 2, layers: 1, hidden: 12, reach: 8 };
        let care = Care::default();
        let fitting = Fitting { draws: Draws::new(3), steps: STEPS, care, deadline: None, progress };
        EventModel::fit_to_predict(&shop.sequences, catalogue, shape, &fitting)
    };
    let fit_in = |stop_at: u64| {
        let (stopping, seconds) = (Stopping::at(stop_at), Duration::from_nanos(1));
        let checkpoints = Checkpoints::open(dir.path(), seconds).unwrap();
        (fit(stopping.progress().keeping(checkpoints)), stopping)
    };
    // The users are grouped in rounds before the first step.
    let before = fit_in(1).1;
    assert!(before.heard().is_empty());
    let (stopped, then) = fit_in(GROUPING + 5);
    assert!(matches!(stopped, Err(Error::Interrupted)) && then.heard().is_empty());
    let (resumed, then) = fit_in(0);
    assert!(resumed.unwrap() == fit(Progress::silent()).unwrap());
    assert!(then.heard().contains(&format!("goes on after step 5 of {STEPS}")), "{}", then.heard());
    assert_eq!(then.moves(), GROUPING + STEPS - 5, "nothing is repeated, and nothing drawn to be held against");
}

#[test]
fn past_its_deadline_a_resumed_fit_takes_no_further_step() {
    let shop = Shop::new();
    let dir = tempfile::tempdir().unwrap();
    let fit = |stop_at: u64, deadline: Instant| {
        let checkpoints = Checkpoints::open(dir.path(), Duration::from_nanos(1)).unwrap();
        shop.fit(3, Some(deadline), Stopping::at(stop_at).progress().keeping(checkpoints))
    };
    let far = Instant::now() + Duration::from_secs(3600);
    assert!(matches!(fit(6, far), Err(Error::Interrupted)));
    let late = fit(0, Instant::now()).unwrap();
    assert!(late.is_unfinished());
    assert!((1..=6).contains(&late.steps()), "{}", late.steps());
}
