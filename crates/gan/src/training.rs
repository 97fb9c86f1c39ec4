//! The training loop: generator against discriminator, step by step, whatever they make.
//!
//! ```text
//! for each epoch
//!     for each batch       critic_steps steps of the discriminator, then one of the generator with the examples of the last one
//!     at its end           losses and scores go to the log; the generator with the least two-sample distance is kept
//! ```
//!
//! Every draw belongs to (epoch, batch, step), so that a run that was stopped goes on from a checkpoint to the same bytes.

use crate::log::{Epoch, Log, Scores};
use std::io;
use std::time::Instant;
use twinmart_nets::adam::{Adam, Rates};
use twinmart_tables::{Checkpoint, Digest, DrawFamily, Draws, Error, Progress, Reading, Result, Stream, Writing};

/// Epochs, unless the user wants another number.
const EPOCHS: u64 = 300;
/// Epochs without a better generator after which learning ends, unless the user wants a number of epochs.
const PATIENCE: u64 = 60;
/// Share of a run after which steps become smaller, and what is left of them at its end: two networks that learn from each other
/// go round each other, and come to rest only where both slow down.
const FULL_STEPS: f32 = 0.5;
const LAST_STEPS: f32 = 0.05;
/// Epochs of next to no variety, one after the other, after which a run counts as collapsed.
const COLLAPSED: usize = 10;

/// How long learning goes on, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    /// Epochs; 0 = [`EPOCHS`], fewer where the two-sample distance no longer falls.
    pub(crate) epochs: u64,
    /// Steps of the discriminator for one of the generator.
    pub(crate) critic_steps: usize,
    /// Whether the running mean of the generator's weights is what counts.
    pub(crate) average: bool,
}

impl Course {
    /// Epochs at most.
    fn most(self) -> u64 {
        if self.epochs == 0 { EPOCHS } else { self.epochs }
    }
}

/// The size of steps at a share of the run, relative to the first.
fn size_of_steps(share: f32) -> f32 {
    let late = ((share - FULL_STEPS) / (1.0 - FULL_STEPS)).clamp(0.0, 1.0);
    1.0 - late * (1.0 - LAST_STEPS)
}

/// All randomness of a run, when it ends at the latest, and who hears of it.
#[derive(Debug, Clone)]
pub struct Fitting {
    /// All randomness of the fit.
    pub draws: Draws,
    /// When to stop wherever the fit is.
    pub deadline: Option<Instant>,
    /// Progress and interruption.
    pub progress: Progress,
    /// The table, for messages and draws.
    pub table: String,
}

/// A loss and its gradient by the weights.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) loss: f32,
    pub(crate) gradient: Vec<f32>,
}

/// What is seen of an epoch's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) discriminator: Scores,
    pub(crate) two_sample: f64,
    /// Made examples have next to no variety.
    pub(crate) collapsed: bool,
}

/// Two networks against each other.
pub(crate) trait Game: Sync {
    /// A batch as the generator has made it.
    type Made<'w>
    where
        Self: 'w;
    /// What names the learner in checkpoints.
    fn name(&self) -> &'static str;
    /// Adds all that decides what is learned, but settings of the loop and weights.
    fn digest(&self, digest: Digest) -> Digest;
    /// The weights that generator and discriminator begin with.
    fn first(&self, stream: &mut Stream) -> [Vec<f32>; 2];
    /// Rates of learning of generator and discriminator.
    fn rates(&self) -> [f32; 2];
    /// Batches of an epoch.
    fn batches(&self) -> u64;
    /// Examples of a batch, for the progress bar.
    fn batch(&self) -> u64;
    /// The discriminator's step of a number, and the made examples that it was told of. The loss is without penalties.
    fn discriminator_step<'w>(
        &'w self,
        generator: &'w [f32],
        discriminator: &[f32],
        number: u64,
        stream: &mut Stream,
    ) -> (Step, Self::Made<'w>);
    /// A step of the generator that made these, which has not learned since. The loss is without what asks for conditions.
    fn generator_step<'w>(&'w self, made: Self::Made<'w>, discriminator: &'w [f32]) -> Step;
    /// Made examples held against held-out ones.
    fn look(&self, generator: &[f32], discriminator: &[f32], stream: &mut Stream) -> Look;
    /// What two real samples of the size of [`Game::look`] differ by.
    fn floor(&self) -> f64;
}

/// What a run ends with.
#[derive(Debug)]
pub(crate) struct Learned {
    /// The kept generator.
    pub(crate) generator: Vec<f32>,
    pub(crate) log: Log,
    /// True where a deadline ended the run.
    pub(crate) unfinished: bool,
}

/// Learns. The generator of the epoch with the least two-sample distance is kept.
///
/// # Errors
/// [`Error::Interrupted`] once the user asked to stop; a data error where learning diverged (numbers that are not finite) or
/// collapsed (made examples without variety) before there was a generator worth keeping.
pub(crate) fn train(game: &impl Game, course: Course, fitting: &Fitting) -> Result<Learned> {
    let family = fitting.draws.family("gan.batch", &fitting.table);
    let mut checkpoint = fitting.progress.checkpoint(game.name(), || run_of(game, course, fitting));
    let mut state = State::resume(&mut checkpoint, game, fitting);
    let deadline = checkpoint.deadline(fitting.deadline);
    let most = course.most();
    let title = format!("{}: generator against discriminator", fitting.table);
    let task = fitting.progress.start(&title, Some(most * game.batches() * game.batch()), "rows");
    task.advance((state.log.epochs.len() as u64 * game.batches() + state.batch) * game.batch())?;
    let mut ended = None;
    while ended.is_none() && (state.log.epochs.len() as u64) < most {
        ended = epoch(game, course, &mut state, (&family, deadline), &mut |state| {
            let moved = task.advance(game.batch());
            if moved.is_err() || checkpoint.is_due() {
                checkpoint.write(|out| state.write(out));
            }
            moved
        })?;
        ended = ended.or_else(|| state.has_ended(course));
    }
    state.finish(game, ended, &family, fitting)
}

/// Everything that decides what is learned, but the time that it may take.
fn run_of(game: &impl Game, course: Course, fitting: &Fitting) -> Digest {
    let Course { epochs, critic_steps, average } = course;
    let digest = Digest::new(game.name()).number(fitting.draws.seed()).text(&fitting.table);
    game.digest(digest.number(epochs).number(critic_steps as u64).number(average.into()))
}

/// Why a run ended before its last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Deadline,
    NoBetter,
    Collapsed,
    Diverged,
}

/// Where learning is.
#[derive(Debug)]
struct State {
    generator: Adam,
    discriminator: Adam,
    /// Batches of the epoch that are done, and the sums of both losses over them.
    batch: u64,
    losses: [f64; 2],
    log: Log,
    /// For each epoch whether made examples had next to no variety.
    collapsed: Vec<bool>,
    best: Vec<f32>,
}

/// Goes on with an epoch to its end, which comes early where something ends the run.
fn epoch(
    game: &impl Game,
    course: Course,
    state: &mut State,
    (family, deadline): (&DrawFamily, Option<Instant>),
    moved: &mut dyn FnMut(&State) -> Result<()>,
) -> Result<Option<Ended>> {
    while state.batch < game.batches() {
        let number = state.log.epochs.len() as u64 * game.batches() + state.batch;
        if !state.step(game, course, &mut family.row(number)) {
            return Ok(Some(Ended::Diverged));
        }
        moved(state)?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) && state.batch < game.batches() {
            return Ok(Some(Ended::Deadline));
        }
    }
    state.end_epoch(game, family);
    Ok(deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| Ended::Deadline))
}

impl State {
    fn new(game: &impl Game, fitting: &Fitting) -> State {
        let [generator, discriminator] = game.first(&mut fitting.draws.family("gan.first", &fitting.table).row(0));
        State {
            best: generator.clone(),
            generator: Adam::new(generator),
            discriminator: Adam::new(discriminator),
            batch: 0,
            losses: [0.0; 2],
            log: Log { two_sample_floor: game.floor(), ..Log::default() },
            collapsed: Vec::new(),
        }
    }

    /// The steps of one batch; false where a number is no longer finite.
    fn step(&mut self, game: &impl Game, course: Course, stream: &mut Stream) -> bool {
        let reached = self.log.epochs.len() as f32 + self.batch as f32 / game.batches() as f32;
        let size = size_of_steps(reached / course.most() as f32);
        let [of_generator, of_discriminator] = game.rates().map(|rate| rate * size);
        let rates =
            |rate: f32, average: f32| Rates { rate, decay: 0.0, average, longest: f32::MAX, memory: [0.5, 0.9] };
        let mut loss = 0.0;
        let step = {
            let mut last = None;
            for _ in 0..course.critic_steps {
                let Adam { weights, steps, .. } = &self.discriminator;
                let (step, made) = game.discriminator_step(&self.generator.weights, weights, *steps, stream);
                loss += f64::from(step.loss) / course.critic_steps as f64;
                if !step.loss.is_finite() || !self.discriminator.step(&step.gradient, rates(of_discriminator, 0.0)) {
                    return false;
                }
                last = Some(made);
            }
            let Some(made) = last else { return false };
            game.generator_step(made, &self.discriminator.weights)
        };
        let average = if course.average { 0.999 } else { 0.0 };
        if !step.loss.is_finite() || !self.generator.step(&step.gradient, rates(of_generator, average)) {
            return false;
        }
        self.losses = [self.losses[0] + loss, self.losses[1] + f64::from(step.loss)];
        self.batch += 1;
        true
    }

    /// Looks at what the epoch has made, and keeps the generator where it is the best so far.
    fn end_epoch(&mut self, game: &impl Game, family: &DrawFamily) {
        // Numbers of batches never come near these.
        let mut stream = family.row(u64::MAX - self.log.epochs.len() as u64);
        let look = game.look(&self.generator.average, &self.discriminator.weights, &mut stream);
        let [discriminator_loss, generator_loss] = self.losses.map(|sum| sum / self.batch.max(1) as f64);
        let best = self.log.epochs.iter().map(|epoch| epoch.two_sample).fold(f64::INFINITY, f64::min);
        let epoch = self.log.epochs.len() as u64 + 1;
        if look.two_sample < best || self.log.kept == 0 {
            self.log.kept = epoch;
            self.best.clone_from(&self.generator.average);
        }
        let Look { discriminator, two_sample, collapsed } = look;
        self.log.epochs.push(Epoch { epoch, discriminator_loss, generator_loss, discriminator, two_sample });
        self.collapsed.push(collapsed);
        (self.batch, self.losses) = (0, [0.0; 2]);
    }

    fn has_ended(&self, course: Course) -> Option<Ended> {
        let last = self.collapsed.iter().rev().take_while(|collapsed| **collapsed).count();
        if last >= COLLAPSED {
            return Some(Ended::Collapsed);
        }
        let since = self.log.epochs.len() as u64 - self.log.kept;
        (course.epochs == 0 && since >= PATIENCE).then_some(Ended::NoBetter)
    }

    fn finish(
        mut self,
        game: &impl Game,
        ended: Option<Ended>,
        family: &DrawFamily,
        fitting: &Fitting,
    ) -> Result<Learned> {
        // A deadline within the first epoch: what there is is better than nothing.
        if self.log.epochs.is_empty() && ended == Some(Ended::Deadline) {
            self.end_epoch(game, family);
        }
        let (reached, kept) = (self.log.epochs.len(), self.log.kept);
        let healthy = kept > 0 && !self.collapsed[kept as usize - 1];
        let what = match ended {
            Some(Ended::Diverged) => Some("diverged: a loss or a gradient is no longer a finite number"),
            Some(Ended::Collapsed) => Some("collapsed: the generator makes next to the same row again and again"),
            _ if !healthy => Some("collapsed: the generator makes next to the same row again and again"),
            _ => None,
        };
        let advice = "use --loss wgan-gp or r1, a larger --pack, fewer --critic-steps, or more epochs";
        match what {
            Some(what) if !healthy => Err(Error::data(format!("learning has {what} (epoch {})", reached.max(1)))
                .table(&fitting.table)
                .remedy(advice)
                .into()),
            Some(what) => {
                fitting.progress.warn(&format!(
                    "{}: learning has {what} after epoch {reached}; the generator of epoch {kept} is kept; {advice}",
                    fitting.table
                ));
                Ok(self.learned(false))
            }
            None => Ok(self.learned(ended == Some(Ended::Deadline))),
        }
    }

    fn learned(self, unfinished: bool) -> Learned {
        Learned { generator: self.best, log: self.log, unfinished }
    }

    fn write(&self, out: &mut Writing) -> io::Result<()> {
        for adam in [&self.generator, &self.discriminator] {
            out.whole(adam.steps)?;
            for numbers in [&adam.weights, &adam.average, &adam.first, &adam.second] {
                out.numbers(numbers)?;
            }
        }
        out.numbers(&self.best)?;
        out.whole(self.batch)?;
        self.losses.iter().try_for_each(|loss| out.whole(loss.to_bits()))?;
        out.whole(self.log.kept)?;
        out.whole(self.log.epochs.len() as u64)?;
        for (epoch, collapsed) in self.log.epochs.iter().zip(&self.collapsed) {
            let Scores { accuracy, precision, recall, f1 } = epoch.discriminator;
            let numbers = [epoch.discriminator_loss, epoch.generator_loss, accuracy, precision, recall, f1];
            numbers.into_iter().chain([epoch.two_sample]).try_for_each(|number| out.whole(number.to_bits()))?;
            out.whole((*collapsed).into())?;
        }
        Ok(())
    }

    /// Where an interrupted run was, else the beginning.
    fn resume(checkpoint: &mut Checkpoint, game: &impl Game, fitting: &Fitting) -> State {
        let start = State::new(game, fitting);
        match checkpoint.resume(|input| State::read(input, &start)) {
            Some(state) => {
                let epochs = state.log.epochs.len();
                checkpoint.tell(&format!("learning goes on in epoch {}", epochs + 1));
                state
            }
            None => start,
        }
    }

    fn read(input: &mut Reading, start: &State) -> Option<State> {
        let mut adam = |weights: usize| {
            let steps = input.whole().filter(|steps| *steps < 1 << 40)?;
            let mut numbers = || input.numbers(weights);
            let adam = Adam { weights: numbers()?, average: numbers()?, first: numbers()?, second: numbers()?, steps };
            adam.second.iter().all(|square| *square >= 0.0).then_some(adam)
        };
        let generator = adam(start.generator.weights.len())?;
        let discriminator = adam(start.discriminator.weights.len())?;
        let best = input.numbers(start.best.len())?;
        let batch = input.whole().filter(|batch| *batch < 1 << 40)?;
        let finite = |bits: u64| Some(f64::from_bits(bits)).filter(|number| number.is_finite());
        let losses = [finite(input.whole()?)?, finite(input.whole()?)?];
        let kept = input.whole()?;
        let count = input.whole().filter(|count| kept <= *count && *count < 1 << 20)?;
        let (mut epochs, mut collapsed) = (Vec::new(), Vec::new());
        for epoch in 1..=count {
            let mut number = || finite(input.whole()?);
            let [discriminator_loss, generator_loss] = [number()?, number()?];
            let [accuracy, precision, recall, f1] = [number()?, number()?, number()?, number()?];
            let (discriminator, two_sample) = (Scores { accuracy, precision, recall, f1 }, number()?);
            epochs.push(Epoch { epoch, discriminator_loss, generator_loss, discriminator, two_sample });
            collapsed.push(input.whole()? == 1);
        }
        let log = Log { epochs, kept, two_sample_floor: start.log.two_sample_floor };
        (kept > 0 || count == 0).then_some(State { generator, discriminator, batch, losses, log, collapsed, best })
    }
}
