//! A GAN of a table's rows.
//!
//! ```text
//! leaves ─► Features ─► rows, conditions ─► generator against discriminator          fit
//! streams ─► noise, a condition ─► generator ─► numbers, choices ─► leaves            draw
//! ```
//!
//! The model holds weights and moments of layers, no rows; what leaves stand for is known to the encoding alone.

mod game;
#[cfg(test)]
mod tests;

use crate::bodies::{Generator, NOISE, Prior};
use crate::calibrate::{Calibration, running_shares};
use crate::conditions::{Condition, Conditions};
use crate::features::Features;
use crate::log::Log;
use crate::noise::{gumbels, normals};
use crate::training::{Course, Fitting, Learned, train};
use crate::weights::{Moments, Weights};
use game::RowGame;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_encode::leaves::Leaves;
use twinmart_nets::graph::Graph;
use twinmart_tables::{Body, Draws, Loss, Result, Stream};

/// How a GAN is built and learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What both networks are made of.
    pub body: Body,
    /// What they minimise.
    pub loss: Loss,
    /// Rows that the discriminator sees together.
    pub pack: usize,
    /// Steps of the discriminator for one of the generator.
    pub critic_steps: usize,
    /// Whether the running mean of the generator's weights draws.
    pub average: bool,
    /// Rows in a step.
    pub batch: usize,
    /// Epochs; 0 = until made rows are no longer more like held-out ones.
    pub epochs: u64,
}

/// Share of the people held out: as many as have this many rows, within these shares.
const HELD_ROWS: f64 = 1_000.0;
const HELD_OUT: [f64; 2] = [0.1, 0.2];
/// Rows that pass through the generator together when a twin is drawn: always as many, so that a row has the same bits
/// wherever it stands.
const BLOCK: usize = 256;
/// Rounds of calibration, and rows in each: as many as training rows within these.
const CALIBRATION_ROUNDS: u64 = 6;
const LEAST_CALIBRATED: usize = 2_048;
const MOST_CALIBRATED: usize = 16_384;

/// The order in which networks keep their weights.
const NETWORKS: u32 = 2;

/// A learned GAN of rows.
#[derive(Debug, Clone)]
pub struct RowGan {
    features: Features,
    conditions: Conditions,
    generator: Option<Generator>,
    parts: Vec<Part>,
    body: Body,
    weights: Vec<f32>,
    moments: Vec<f32>,
    calibration: Calibration,
    log: Log,
    unfinished: bool,
}

/// What decoding must know of a part.
#[derive(Debug, Clone)]
struct Part {
    column: usize,
    missing: bool,
    /// Running sums of the weights of the leaves that are not "missing".
    present: Vec<u64>,
}

/// A [`RowGan`] without its features, which follow from the leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Which order of weights it is: [`NETWORKS`].
    networks: u32,
    body: Body,
    calibration: Calibration,
    log: Log,
    unfinished: bool,
}

impl RowGan {
    /// Learns rows. `parts` are the parts of the table's columns, `leaves` is `[parts][rows]`, `subjects` names the person
    /// behind each row: a tenth of the people are held out (of small tables up to a fifth), to see how like them made rows
    /// are.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop; a data error where learning diverges or collapses.
    pub fn fit(
        parts: &[Leaves],
        leaves: &[Vec<u32>],
        subjects: &[u64],
        settings: Settings,
        fitting: &Fitting,
    ) -> Result<RowGan> {
        let mut gan = RowGan::of(parts, settings.body);
        let (Some(generator), rows) = (gan.generator.clone(), subjects.len()) else { return Ok(gan) };
        let (mut train_rows, held_rows) = held_out(subjects, fitting.draws, &fitting.table);
        // The rows of very few people: all of these may have been drawn.
        if train_rows.is_empty() {
            train_rows.clone_from(&held_rows);
        }
        let part = |rows: &[usize]| -> Vec<Vec<u32>> {
            leaves.iter().map(|leaves| rows.iter().map(|row| leaves[*row]).collect()).collect()
        };
        let (learned, mut held) = (part(&train_rows), part(&held_rows));
        if held_rows.len() < 20 {
            held = learned.clone();
        }
        let game = RowGame::new(&gan, generator, (&learned, &held), parts, (settings, rows), fitting);
        let Settings { epochs, critic_steps, average, .. } = settings;
        let course = Course { epochs, critic_steps, average };
        let Learned { generator, log, unfinished } = train(&game, course, fitting)?;
        gan.moments = game.moments(&generator, &mut fitting.draws.family("gan.moments", &fitting.table).row(0));
        (gan.weights, gan.log, gan.unfinished) = (generator, log, unfinished);
        gan.calibrate(fitting)?;
        Ok(gan)
    }

    /// Without weights.
    fn of(parts: &[Leaves], body: Body) -> RowGan {
        let features = Features::of(parts);
        let conditions = Conditions::of(&features);
        let generator = (!parts.is_empty()).then(|| Generator::new(body, &features, conditions.width));
        let of_part = |part: &Leaves| {
            let mut sum = 0u64;
            let present = part.weights.iter().skip(usize::from(part.missing)).map(|weight| {
                sum = sum.saturating_add(*weight);
                sum
            });
            Part { column: part.column, missing: part.missing, present: present.collect() }
        };
        RowGan {
            parts: parts.iter().map(of_part).collect(),
            calibration: Calibration::none(&features),
            features,
            conditions,
            generator,
            body,
            weights: Vec::new(),
            moments: Vec::new(),
            log: Log::default(),
            unfinished: false,
        }
    }

    /// How learning went.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// True where a deadline ended the learning.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// The model in parts for storage: what is not numbers, the weights, and the moments of normalized layers.
    pub fn stored(&self) -> (Stored, &[f32], &[f32]) {
        let (calibration, log) = (self.calibration.clone(), self.log.clone());
        let stored = Stored { networks: NETWORKS, body: self.body, calibration, log, unfinished: self.unfinished };
        (stored, &self.weights, &self.moments)
    }

    /// Puts together what [`RowGan::stored`] took apart; `None` where it does not fit the parts of the table.
    pub fn from_stored(parts: &[Leaves], stored: Stored, weights: Vec<f32>, moments: Vec<f32>) -> Option<RowGan> {
        let Stored { networks, body, calibration, log, unfinished } = stored;
        let gan = RowGan { weights, moments, calibration, log, unfinished, ..RowGan::of(parts, body) };
        let finite = gan.weights.iter().chain(&gan.moments).all(|number| number.is_finite());
        let [weights, moments] = gan.generator.as_ref().map_or([0; 2], |g| [g.layout.total(), 2 * g.normalized()]);
        let fits = gan.weights.len() == weights && gan.moments.len() == moments;
        let positive = gan.moments[gan.moments.len() / 2..].iter().all(|variance| *variance >= 0.0);
        let sound = gan.calibration.is_sound(&gan.features);
        (networks == NETWORKS && finite && fits && positive && sound).then_some(gan)
    }

    /// Draws rows, one for each stream: leaves `[parts][rows]`.
    pub fn draw(&self, streams: &mut [Stream]) -> Vec<Vec<u32>> {
        self.draw_asked(streams, None)
    }

    /// The leaves of a part that can be asked for; `None` where the part is a number.
    pub fn askable(&self, part: usize) -> Option<usize> {
        let block = &self.features.blocks[part];
        self.conditions.on(part, 0).map(|_| block.choices.len())
    }

    /// Draws rows of which part `part` is asked to be leaf `leaf`, one for each stream; `None` where that cannot be asked for.
    /// The generator is asked, not forced: how many rows hold it is a measure of what it has learned.
    pub fn draw_given(&self, part: usize, leaf: u32, streams: &mut [Stream]) -> Option<Vec<Vec<u32>>> {
        let condition = self.conditions.on(part, self.features.blocks[part].choice_of(leaf)?)?;
        Some(self.draw_asked(streams, Some(condition)))
    }

    /// As [`RowGan::draw_given`], for rows that all hold what is asked: those that do not are drawn again, as often as it
    /// takes within reason; what then is left is set.
    pub fn draw_holding(&self, part: usize, leaf: u32, streams: &mut [Stream]) -> Option<Vec<Vec<u32>>> {
        /// Draws of a row.
        const DRAWS: usize = 20;
        let mut rows = vec![vec![leaf; streams.len()]; self.parts.len()];
        let mut open: Vec<usize> = (0..streams.len()).collect();
        for draw in 1..=DRAWS {
            let mut own: Vec<Stream> = open.iter().map(|row| streams[*row].clone()).collect();
            let drawn = self.draw_given(part, leaf, &mut own)?;
            let mut missed = Vec::new();
            for (at, row) in open.iter().enumerate() {
                streams[*row] = own[at].clone();
                match drawn[part][at] == leaf || draw == DRAWS {
                    true => rows.iter_mut().zip(&drawn).for_each(|(rows, drawn)| rows[*row] = drawn[at]),
                    false => missed.push(*row),
                }
            }
            open = missed;
        }
        rows[part].fill(leaf);
        Some(rows)
    }

    fn draw_asked(&self, streams: &mut [Stream], asked: Option<Condition>) -> Vec<Vec<u32>> {
        let Some(generator) = &self.generator else { return Vec::new() };
        let of_block = |streams: &mut [Stream]| self.block(generator, streams, asked);
        let rows: Vec<Vec<u32>> = streams.par_chunks_mut(BLOCK).flat_map_iter(of_block).collect();
        (0..self.parts.len()).map(|part| rows.iter().map(|row| row[part]).collect()).collect()
    }

    /// Rows of a block, `[rows][parts]`.
    fn block(&self, generator: &Generator, streams: &mut [Stream], asked: Option<Condition>) -> Vec<Vec<u32>> {
        self.made(generator, streams, asked, |numbers, scores, stream| {
            let mut leaves = self.features.decode((numbers, scores), &self.calibration, stream);
            self.agree(&mut leaves, stream);
            leaves
        })
    }

    /// What `row` says of the numbers and the scores, with noise, of each made row; one stream for each.
    fn made<T>(
        &self,
        generator: &Generator,
        streams: &mut [Stream],
        asked: Option<Condition>,
        row: impl Fn(&[f32], &[f32], &mut Stream) -> T,
    ) -> Vec<T> {
        let choices = self.features.choices;
        let (mut noise, mut gumbel) = (vec![0f32; BLOCK * NOISE], vec![0f32; BLOCK * choices]);
        let mut conditions = vec![None; BLOCK];
        for (row, stream) in streams.iter_mut().enumerate() {
            let drawn = self.conditions.to_draw(stream);
            conditions[row] = asked.or(drawn);
            noise[row * NOISE..][..NOISE].copy_from_slice(&normals(NOISE, stream));
            gumbel[row * choices..][..choices].copy_from_slice(&gumbels(choices, stream));
        }
        let mut graph = Graph::new();
        let weights: Weights = generator.layout.given(&mut graph, &self.weights);
        let prior = Prior {
            noise: graph.given(noise, NOISE),
            asked: self.conditions.asked(&conditions),
            gumbel: graph.given(gumbel, choices),
        };
        let made = generator.make(&mut graph, &weights, &prior, &mut Moments::known(&self.moments));
        let scores = graph.add(made.scores, prior.gumbel);
        let (scores, numbers) = (graph.value(scores), made.numbers.map(|numbers| graph.value(numbers)));
        let wide = self.features.numbers;
        let of_row = |(at, stream): (usize, &mut Stream)| {
            let numbers = numbers.map_or(&[][..], |numbers| &numbers[at * wide..][..wide]);
            row(numbers, &scores[at * choices..][..choices], stream)
        };
        streams.iter_mut().enumerate().map(of_row).collect()
    }

    /// Corrects choices and numbers by what made rows have, in rounds with the same noise.
    fn calibrate(&mut self, fitting: &Fitting) -> Result<()> {
        let Some(generator) = self.generator.clone() else { return Ok(()) };
        let title = format!("{}: calibration", fitting.table);
        let task = fitting.progress.start(&title, Some(CALIBRATION_ROUNDS + 1), "rounds");
        let family = fitting.draws.family("gan.calibration", &fitting.table);
        let count = (self.rows_behind() as usize).clamp(LEAST_CALIBRATED, MOST_CALIBRATED).next_multiple_of(BLOCK);
        for round in 0..=CALIBRATION_ROUNDS {
            let mut streams: Vec<Stream> = (0..count as u64).map(|row| family.row(row)).collect();
            let blocks: Vec<Counts> = streams
                .par_chunks_mut(BLOCK)
                .map(|streams| {
                    let mut counts = Counts::none(&self.features);
                    self.made(&generator, streams, None, |numbers, scores, _| (numbers.to_vec(), scores.to_vec()))
                        .into_iter()
                        .for_each(|(numbers, scores)| counts.add(&self.features, &self.calibration, &numbers, &scores));
                    counts
                })
                .collect();
            let mut counts = Counts::none(&self.features);
            blocks.iter().for_each(|block| counts.add_all(block));
            match round == CALIBRATION_ROUNDS {
                false => self.calibration.correct(&self.features, &counts.choices),
                true => self.calibration.made = counts.cells.iter().map(|cells| running_shares(cells)).collect(),
            }
            task.advance(1)?;
        }
        Ok(())
    }

    /// Training rows.
    fn rows_behind(&self) -> f64 {
        self.features.blocks.first().map_or(0.0, |block| block.weights.iter().sum())
    }

    /// The first part of a column says whether its value is missing.
    fn agree(&self, leaves: &mut [u32], stream: &mut Stream) {
        for at in 1..leaves.len() {
            let part = &self.parts[at];
            let first = (0..at).find(|other| self.parts[*other].column == part.column);
            let Some(first) = first.filter(|_| part.missing) else { continue };
            match (leaves[first] == 0, leaves[at] == 0) {
                (true, _) => leaves[at] = 0,
                (false, true) => {
                    let total = part.present.last().copied().unwrap_or(0).max(1);
                    let share = stream.random_range(0..total);
                    let leaf = part.present.partition_point(|sum| *sum <= share).min(part.present.len() - 1);
                    leaves[at] = leaf as u32 + 1;
                }
                (false, false) => {}
            }
        }
    }
}

/// How often made rows have what.
struct Counts {
    /// `[choices]`
    choices: Vec<f64>,
    /// `[numbers][cells]`
    cells: Vec<Vec<f64>>,
}

impl Counts {
    fn none(features: &Features) -> Counts {
        let numbers = features.blocks.iter().filter(|block| block.number.is_some());
        let cells = numbers.map(|block| vec![0.0; block.cells()]).collect();
        Counts { choices: vec![0.0; features.choices], cells }
    }

    fn add(&mut self, features: &Features, calibration: &Calibration, numbers: &[f32], scores: &[f32]) {
        for block in &features.blocks {
            let choice = block.choice(scores, calibration);
            self.choices[block.choices.start + choice] += 1.0;
            if let Some(number) = block.number
                && let Some(cell) = block.cell(choice, numbers[number])
            {
                self.cells[number][cell] += 1.0;
            }
        }
    }

    fn add_all(&mut self, other: &Counts) {
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.choices, &other.choices);
        self.cells.iter_mut().zip(&other.cells).for_each(|(to, from)| add(to, from));
    }
}

/// Rows that are learned and rows that are held out, by person.
fn held_out(subjects: &[u64], draws: Draws, table: &str) -> (Vec<usize>, Vec<usize>) {
    let family = draws.family("gan.held_out", table);
    let share = (HELD_ROWS / subjects.len().max(1) as f64).clamp(HELD_OUT[0], HELD_OUT[1]);
    (0..subjects.len()).partition(|row| family.row(subjects[*row]).random::<f64>() >= share)
}
