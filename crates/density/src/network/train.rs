//! Learning the weights: AdamW, a moving average of the weights, a rate that falls when the held-out loss stops improving.

use super::layout::Layout;
use super::matrix::transpose;
use super::orders::Orders;
use super::pass::{Pass, Question};
use super::{BLOCK, Network, Rows};
use crate::{Fitting, Parts};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::io;
use std::time::Instant;
use twinmart_tables::{Checkpoint, Digest, Reading, Result, Stream, Writing};

/// Rows of one step; threads take fixed blocks of them, so that sums do not depend on the number of threads.
const BATCH: usize = 256;
/// Weights that a thread updates at a time.
const CHUNK: usize = 1 << 14;
/// Conditional distributions that one look at the held-out rows computes.
const LOOKS: usize = 8192;
/// Rows learned between two such looks, at least.
const BETWEEN: usize = 1 << 15;
/// Share of the rows that take the canonical order.
const CANONICAL: f32 = 0.5;

/// How fast to learn, and when to stop.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    rate: f32,
    /// Steps until the rate is reached.
    warm_up: f32,
    /// Pull of the matrices and embeddings towards 0, for each step and unit of rate.
    decay: f32,
    /// Share of the moving average that a step keeps.
    average: f32,
    /// Looks without improvement before the rate falls.
    patience: usize,
    /// Falls before learning stops.
    falls: usize,
}

const SCHEDULE: Schedule = Schedule { rate: 2e-3, warm_up: 100.0, decay: 0.02, average: 0.999, patience: 4, falls: 3 };

/// AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2) with a moving average of
/// the weights (Polyak & Juditsky 1992).
struct Optimiser {
    weights: Vec<f32>,
    average: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

impl Optimiser {
    fn new(weights: Vec<f32>) -> Optimiser {
        let zeros = vec![0f32; weights.len()];
        Optimiser { average: weights.clone(), first: zeros.clone(), second: zeros, weights, steps: 0 }
    }

    /// One step along the sum of `gradients`, divided by `rows`.
    fn step(&mut self, gradients: &[Vec<f32>], rows: usize, rate: f32) {
        const BETA_1: f32 = 0.9;
        const BETA_2: f32 = 0.99;
        self.steps += 1;
        let (first_scale, second_scale) =
            (1.0 / (1.0 - BETA_1.powi(self.steps)), 1.0 / (1.0 - BETA_2.powi(self.steps)));
        let keep = SCHEDULE.average.min(self.steps as f32 / (self.steps as f32 + 20.0));
        let per_row = 1.0 / rows as f32;
        let parts = (self.weights.par_chunks_mut(CHUNK), self.average.par_chunks_mut(CHUNK))
            .into_par_iter()
            .zip((self.first.par_chunks_mut(CHUNK), self.second.par_chunks_mut(CHUNK)).into_par_iter());
        parts.enumerate().for_each(|(chunk, ((weights, average), (first, second)))| {
            let mut sum = vec![0f32; weights.len()];
            for gradient in gradients {
                for (sum, g) in sum.iter_mut().zip(&gradient[chunk * CHUNK..]) {
                    *sum += g;
                }
            }
            let state = weights.iter_mut().zip(average).zip(first).zip(second).zip(sum);
            for ((((w, average), m), v), g) in state {
                let g = g * per_row;
                *m = BETA_1 * *m + (1.0 - BETA_1) * g;
                *v = BETA_2 * *v + (1.0 - BETA_2) * g * g;
                let step = *m * first_scale / ((*v * second_scale).sqrt() + 1e-8);
                *w -= rate * (step + SCHEDULE.decay * *w);
                *average = keep * *average + (1.0 - keep) * *w;
            }
        });
    }
}

/// Questions about held-out rows that stay the same from look to look: `[sub_columns]`, rows of the held-out part.
fn held_questions(orders: &Orders, rows: usize, fitting: &Fitting) -> Vec<Vec<usize>> {
    let family = fitting.draws.family("network.held", "");
    let mut asked = vec![Vec::new(); orders.sub_columns()];
    let each = (LOOKS / rows.max(1)).clamp(1, orders.open.len());
    for row in 0..rows.min(LOOKS) {
        let mut stream = family.row(row as u64);
        let mut open = orders.open.clone();
        open.partial_shuffle(&mut stream, each).0.iter().for_each(|p| asked[*p].push(row));
    }
    asked
}

/// Why learning ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All steps are done, or more would not help.
    Done,
    Deadline,
}

/// Learns the weights of `network` in place, for as long as the held-out loss improves; the best weights stay. Goes on from
/// where an interrupted run was.
pub(super) fn train(network: &mut Network, parts: &Parts, fitting: &Fitting) -> Result<Ended> {
    let sub_columns = network.sub_columns.clone();
    let (layout, orders) = (network.layout(), Orders::of(&sub_columns, CANONICAL));
    let (train, held) = (Rows::of(&sub_columns, &parts.train), Rows::of(&sub_columns, &parts.validation));
    let rows = parts.train.rows();
    if rows == 0 || orders.open.is_empty() {
        return Ok(Ended::Done);
    }
    let mut checkpoint = fitting.progress.checkpoint("network", || run_of(network, parts, fitting));
    let mut learner = Learner {
        layout: &layout,
        rows: &train,
        transposed: vec![0f32; layout.total],
        gradients: vec![vec![0f32; layout.total]; BATCH.min(rows).div_ceil(BLOCK)],
        optimiser: Optimiser::new(network.weights.clone()),
        orders: &orders,
    };
    let mut course = Course::resume(&mut checkpoint, &mut learner.optimiser, network).unwrap_or_default();
    let deadline = checkpoint.deadline(fitting.deadline);
    let questions = held_questions(&orders, parts.validation.rows(), fitting);
    let (all, between) = (fitting.steps.saturating_mul(rows as u64), BETWEEN.max(rows / 4) as u64);
    let task = fitting.progress.start("learning", (fitting.steps > 0).then_some(all), "rows");
    task.advance(course.learned)?;
    loop {
        let mut order: Vec<usize> = (0..rows).collect();
        order.shuffle(&mut fitting.draws.family("network.epoch", "").row(course.epoch));
        let family = fitting.draws.family("network.order", &course.epoch.to_string());
        for batch in order.chunks(BATCH).skip(course.batches) {
            learner.step(batch, course.plateau.rate, &|row| family.row(row as u64));
            course.batches += 1;
            course.learned += batch.len() as u64;
            let done = course.learned == all;
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if done || late || course.learned % between < batch.len() as u64 {
                let average = &learner.optimiser.average;
                if course.plateau.improves(held_loss(&layout, average, &held, &questions)) {
                    network.weights.clone_from(average);
                }
            }
            if done || course.plateau.falls > SCHEDULE.falls {
                return Ok(Ended::Done);
            }
            if late {
                return Ok(Ended::Deadline);
            }
            let moved = task.advance(batch.len() as u64);
            if moved.is_err() || checkpoint.is_due() {
                checkpoint.write(|out| course.write(&learner.optimiser, &network.weights, out));
            }
            moved?;
        }
        (course.epoch, course.batches) = (course.epoch + 1, 0);
    }
}

/// Everything that decides what is learned, but the time that it may take.
fn run_of(network: &Network, parts: &Parts, fitting: &Fitting) -> Digest {
    let digest = fitting.digest("network", &parts.train, &[]).text(&format!("{:?}", network.shape));
    let held = fitting.digest("network", &parts.validation, &[]).finish_bytes();
    digest.bytes(&held).list(network.weights.iter().map(|weight| weight.to_le_bytes()))
}

/// Where learning is, but for the numbers of the optimiser.
#[derive(Debug, Default)]
struct Course {
    plateau: Plateau,
    epoch: u64,
    /// Batches of the epoch that are done.
    batches: usize,
    /// Rows learned in all epochs.
    learned: u64,
}

impl Course {
    fn write(&self, optimiser: &Optimiser, best: &[f32], out: &mut Writing) -> io::Result<()> {
        let Course { plateau, epoch, batches, learned } = self;
        out.whole(optimiser.steps.unsigned_abs().into())?;
        for number in [plateau.best.to_bits(), plateau.since as u64, plateau.falls as u64] {
            out.whole(number)?;
        }
        for number in [*epoch, *batches as u64, *learned] {
            out.whole(number)?;
        }
        out.numbers(&[plateau.rate])?;
        let Optimiser { weights, average, first, second, .. } = optimiser;
        [weights, average, first, second].iter().try_for_each(|numbers| out.numbers(numbers))?;
        out.numbers(best)
    }

    /// Where an interrupted run was, with its numbers in optimiser and network; `None` where there was none.
    fn resume(checkpoint: &mut Checkpoint, optimiser: &mut Optimiser, network: &mut Network) -> Option<Course> {
        let (course, found, best) = checkpoint.resume(|input| Course::read(input, network.weights.len()))?;
        checkpoint.tell(&format!("learning goes on after step {} of the network", found.steps));
        (*optimiser, network.weights) = (found, best);
        Some(course)
    }

    fn read(input: &mut Reading, weights: usize) -> Option<(Course, Optimiser, Vec<f32>)> {
        // More epochs and steps than anybody waits for are a forgery.
        let mut whole = |most: u64| input.whole().filter(|n| *n <= most);
        let steps = i32::try_from(whole(i32::MAX as u64 - 1)?).ok()?;
        let best = f64::from_bits(whole(u64::MAX)?);
        let (since, falls) = (whole(SCHEDULE.patience as u64)? as usize, whole(SCHEDULE.falls as u64)? as usize);
        let (epoch, batches, learned) = (whole(1 << 40)?, whole(1 << 40)? as usize, whole(1 << 60)?);
        let rate = input.numbers(1)?[0];
        let mut numbers = || input.numbers(weights);
        let optimiser =
            Optimiser { weights: numbers()?, average: numbers()?, first: numbers()?, second: numbers()?, steps };
        let sound = !best.is_nan() && rate >= 0.0 && optimiser.second.iter().all(|square| *square >= 0.0);
        let course = Course { plateau: Plateau { rate, best, since, falls }, epoch, batches, learned };
        sound.then_some((course, optimiser, numbers()?))
    }
}

/// The rate of learning, and how long the held-out loss has not improved.
#[derive(Debug)]
struct Plateau {
    rate: f32,
    best: f64,
    since: usize,
    falls: usize,
}

impl Default for Plateau {
    fn default() -> Plateau {
        Plateau { rate: SCHEDULE.rate, best: f64::INFINITY, since: 0, falls: 0 }
    }
}

impl Plateau {
    /// Takes note of a held-out loss: true for the best so far. Without held-out rows the latest is the best.
    fn improves(&mut self, loss: f64) -> bool {
        let better = loss < self.best;
        self.since = if better { 0 } else { self.since + 1 };
        self.best = self.best.min(loss);
        if self.since >= SCHEDULE.patience {
            self.since = 0;
            self.falls += 1;
            self.rate *= 0.3;
        }
        better || loss == 0.0
    }
}

struct Learner<'a> {
    layout: &'a Layout,
    rows: &'a Rows<'a>,
    orders: &'a Orders,
    optimiser: Optimiser,
    /// Every matrix transposed, in its place.
    transposed: Vec<f32>,
    /// One for each block.
    gradients: Vec<Vec<f32>>,
}

impl Learner<'_> {
    /// One step on some rows; `stream` has the draws of a row.
    fn step(&mut self, batch: &[usize], rate: f32, stream: &(dyn Fn(usize) -> Stream + Sync)) {
        let warm = ((self.optimiser.steps + 1) as f32 / SCHEDULE.warm_up).min(1.0);
        let weights = &self.optimiser.weights;
        for (inputs, place) in self.layout.matrices() {
            transpose(&weights[place.clone()], inputs, &mut self.transposed[place]);
        }
        let (layout, transposed, rows, orders) = (self.layout, &self.transposed, self.rows, self.orders);
        let blocks = batch.par_chunks(BLOCK).zip(&mut self.gradients).with_max_len(1);
        blocks.for_each(|(block, gradient)| {
            gradient.fill(0.0);
            let (inputs, questions) = examples(layout, orders, rows, block, stream);
            let pass = Pass::forward(layout, weights, &inputs);
            pass.back(layout, weights, transposed, &questions, &inputs, gradient);
        });
        let used = batch.len().div_ceil(BLOCK);
        self.optimiser.step(&self.gradients[..used], batch.len() * orders.open.len(), rate * warm);
    }
}

/// Inputs and questions, by sub-column, of some rows.
fn examples(
    layout: &Layout,
    orders: &Orders,
    rows: &Rows<'_>,
    block: &[usize],
    stream: &(dyn Fn(usize) -> Stream + Sync),
) -> (Vec<u32>, Vec<Vec<Question>>) {
    let mut known = vec![false; orders.sub_columns()];
    let mut inputs = Vec::with_capacity(block.len() * known.len());
    let mut questions = vec![Vec::new(); known.len()];
    for (position, row) in block.iter().enumerate() {
        for (asked, weight) in orders.draw(&mut known, &mut stream(*row)) {
            questions[asked].push(Question { weight, ..rows.question(asked, *row, position) });
        }
        rows.inputs(layout, *row, |p| known[p], &mut inputs);
    }
    (inputs, questions)
}

/// Mean loss of the held-out rows in the canonical order, nats a row, estimated from fixed questions.
fn held_loss(layout: &Layout, weights: &[f32], held: &Rows<'_>, questions: &[Vec<usize>]) -> f64 {
    let open = questions.iter().filter(|q| !q.is_empty()).count();
    let asked: usize = questions.iter().map(Vec::len).sum();
    let mut sum = 0.0;
    for (p, rows) in questions.iter().enumerate() {
        sum -= held.log_probabilities(layout, weights, p, rows).iter().sum::<f64>();
    }
    sum * open as f64 / asked.max(1) as f64
}
