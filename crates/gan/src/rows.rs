//! A GAN of a table's rows.
//!
//! ```text
//! leaves ─► Features ─► rows, conditions ─► generator against discriminator          fit
//! streams ─► noise, a condition ─► generator ─► numbers, choices ─► leaves            draw
//! ```
//!
//! The model holds weights and moments of layers, no rows; what leaves stand for is known to the encoding alone.

use crate::bodies::{Discriminator, Dropout, Generator, NOISE, Prior};
use crate::calibrate::{Calibration, running_shares};
use crate::conditions::{Condition, Conditions, Holders};
use crate::features::{Features, Rows, largest};
use crate::log::{Log, Scores};
use crate::losses::{self, PenaltyAt};
use crate::noise::{gumbels, normals};
use crate::training::{Course, Fitting, Game, Learned, Look, Step, train};
use crate::watch::{Watch, some_of};
use crate::weights::{Moments, Weights};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twinmart_encode::leaves::Leaves;
use twinmart_nets::graph::{Graph, Var};
use twinmart_tables::{Body, Digest, Draws, Loss, Result, Stream};

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
/// Rows of a look, made and real, at most.
const LOOKED_AT: usize = 4_000;
/// Batches from which the moments of normalized layers are taken.
const MOMENT_BATCHES: usize = 8;
/// Rows that pass through the generator together when a twin is drawn: always as many, so that a row has the same bits
/// wherever it stands.
const BLOCK: usize = 256;
/// Rounds of calibration, and rows in each: as many as training rows within these.
const CALIBRATION_ROUNDS: u64 = 6;
const LEAST_CALIBRATED: usize = 2_048;
const MOST_CALIBRATED: usize = 16_384;
/// Rates of learning. The discriminator has to be ahead: at equal rates its answers stay at a half while the generator still
/// makes one correlation after the other (Heusel et al., "GANs trained by a two time-scale update rule", 2017).
const GENERATOR_RATE: f32 = 5e-4;
const DISCRIMINATOR_RATE: f32 = 2e-3;

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
        let generator = (!parts.is_empty()).then(|| Generator::new(body, &features, &conditions.choices()));
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
        let stored = Stored { body: self.body, calibration, log, unfinished: self.unfinished };
        (stored, &self.weights, &self.moments)
    }

    /// Puts together what [`RowGan::stored`] took apart; `None` where it does not fit the parts of the table.
    pub fn from_stored(parts: &[Leaves], stored: Stored, weights: Vec<f32>, moments: Vec<f32>) -> Option<RowGan> {
        let Stored { body, calibration, log, unfinished } = stored;
        let gan = RowGan { weights, moments, calibration, log, unfinished, ..RowGan::of(parts, body) };
        let finite = gan.weights.iter().chain(&gan.moments).all(|number| number.is_finite());
        let [weights, moments] = gan.generator.as_ref().map_or([0; 2], |g| [g.layout.total(), 2 * g.normalized()]);
        let fits = gan.weights.len() == weights && gan.moments.len() == moments;
        let positive = gan.moments[gan.moments.len() / 2..].iter().all(|variance| *variance >= 0.0);
        let sound = gan.calibration.is_sound(&gan.features);
        (finite && fits && positive && sound).then_some(gan)
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
            condition: self.conditions.given(&mut graph, &conditions),
            gumbel: graph.given(gumbel, choices),
        };
        let made = generator.make(&mut graph, &weights, prior, &mut Moments::known(&self.moments));
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

/// Generator and discriminator of rows.
struct RowGame<'a> {
    gan: &'a RowGan,
    generator: Generator,
    discriminator: Discriminator,
    settings: Settings,
    rows: Rows,
    holders: Holders,
    /// Held-out rows: as leaves, and encoded, in two halves.
    held_leaves: Vec<Vec<u32>>,
    held: Rows,
    watch: Watch,
    floor: f64,
    digest: [u8; 32],
}

impl<'a> RowGame<'a> {
    fn new(
        gan: &'a RowGan,
        generator: Generator,
        (learned, held): (&[Vec<u32>], &[Vec<u32>]),
        parts: &[Leaves],
        (settings, all): (Settings, usize),
        fitting: &Fitting,
    ) -> RowGame<'a> {
        let mut stream = fitting.draws.family("gan.watch", &fitting.table).row(0);
        let count = |leaves: &[Vec<u32>]| leaves.first().map_or(0, Vec::len);
        let looked = count(held).min(LOOKED_AT);
        let watch = Watch::of(parts, looked, &mut stream);
        let some = |leaves: &[Vec<u32>], stream: &mut Stream| -> Vec<Vec<u32>> {
            let rows = some_of(count(leaves), looked, stream);
            leaves.iter().map(|leaves| rows.iter().map(|row| leaves[*row]).collect()).collect()
        };
        let (held_leaves, others) = (some(held, &mut stream), some(learned, &mut stream));
        let floor = watch.compare(&others, &held_leaves).distance;
        let features = &gan.features;
        let family = fitting.draws.family("gan.modes", &fitting.table);
        let (rows, held) = (features.encode(learned, &family), features.encode(&held_leaves, &family));
        let largest_batch = (rows.len() / settings.pack).max(1) * settings.pack;
        let batch = (settings.batch.div_ceil(settings.pack) * settings.pack).min(largest_batch);
        let settings = Settings { batch, ..settings };
        let mut digest = Digest::new("rows").text(&format!("{settings:?}")).number(all as u64);
        for values in learned.iter().chain(&held_leaves) {
            digest = digest.list(values.iter().map(|leaf| leaf.to_le_bytes()));
        }
        RowGame {
            discriminator: Discriminator::new(settings.body, features, &gan.conditions.choices(), settings.pack),
            holders: Holders::of(features, &rows),
            gan,
            generator,
            settings,
            rows,
            held_leaves,
            held,
            watch,
            floor,
            digest: digest.finish_bytes(),
        }
    }

    /// Random numbers for so many rows, and what is asked of them.
    fn prior(&self, graph: &mut Graph, conditions: &[Option<Condition>], stream: &mut Stream) -> Prior {
        let (rows, choices) = (conditions.len(), self.gan.features.choices);
        Prior {
            noise: graph.given(normals(rows * NOISE, stream), NOISE),
            condition: self.gan.conditions.given(graph, conditions),
            gumbel: graph.given(gumbels(rows * choices, stream), choices),
        }
    }

    /// Conditions for a batch, as learning asks.
    fn conditions(&self, rows: usize, stream: &mut Stream) -> Vec<Option<Condition>> {
        (0..rows).map(|_| self.gan.conditions.to_learn(stream)).collect()
    }

    /// Made rows as numbers, with the scores of their choices, `moments` as in [`Generator::make`].
    fn made(
        &self,
        generator: &[f32],
        conditions: &[Option<Condition>],
        moments: &mut Moments,
        stream: &mut Stream,
    ) -> (Vec<f32>, Vec<f32>) {
        let mut graph = Graph::new();
        let weights = self.generator.layout.given(&mut graph, generator);
        let prior = self.prior(&mut graph, conditions, stream);
        let made = self.generator.make(&mut graph, &weights, prior, moments);
        let scores = graph.add(made.scores, prior.gumbel);
        (graph.value(made.rows).to_vec(), graph.value(scores).to_vec())
    }

    /// Means and variances of normalized layers over some batches.
    fn moments(&self, generator: &[f32], stream: &mut Stream) -> Vec<f32> {
        let mut sums: Vec<f32> = Vec::new();
        for _ in 0..MOMENT_BATCHES {
            let conditions: Vec<_> = (0..self.settings.batch).map(|_| self.gan.conditions.to_draw(stream)).collect();
            let mut moments = Moments::of_batch();
            self.made(generator, &conditions, &mut moments, stream);
            let seen = moments.seen();
            sums.resize(seen.len(), 0.0);
            sums.iter_mut().zip(seen).for_each(|(sum, x)| *sum += x / MOMENT_BATCHES as f32);
        }
        sums
    }

    fn written(&self, rows: &Rows, which: impl Iterator<Item = usize>) -> Vec<f32> {
        let mut out = Vec::new();
        which.for_each(|row| self.gan.features.write(rows, row, &mut out));
        out
    }

    /// The discriminator's answers, without dropout, on rows under conditions.
    fn answers(&self, discriminator: &[f32], rows: Vec<f32>, conditions: &[Option<Condition>]) -> Vec<f32> {
        let mut graph = Graph::new();
        let weights = self.discriminator.layout.given(&mut graph, discriminator);
        let rows = graph.given(rows, self.gan.features.width());
        let condition = self.gan.conditions.given(&mut graph, conditions);
        let answers = self.discriminator.judge(&mut graph, &weights, (rows, condition), &mut Dropout(None));
        graph.value(answers).to_vec()
    }

    /// Numbers between those of real and made packs, each pack at its own place (Gulrajani et al. 2017, algorithm 1).
    fn between(&self, real: &[f32], made: &[f32], stream: &mut Stream) -> Vec<f32> {
        let pack = self.settings.pack * self.gan.features.width();
        let packs = real.chunks_exact(pack).zip(made.chunks_exact(pack));
        let of_pack = |(real, made): (&[f32], &[f32])| {
            let share: f32 = stream.random();
            real.iter().zip(made).map(|(x, y)| share * x + (1.0 - share) * y).collect::<Vec<f32>>()
        };
        packs.flat_map(of_pack).collect()
    }
}

impl Game for RowGame<'_> {
    fn name(&self) -> &'static str {
        "gan"
    }

    fn digest(&self, digest: Digest) -> Digest {
        digest.bytes(&self.digest)
    }

    fn first(&self, stream: &mut Stream) -> [Vec<f32>; 2] {
        [self.generator.layout.first(stream), self.discriminator.layout.first(stream)]
    }

    fn rates(&self) -> [f32; 2] {
        [GENERATOR_RATE, DISCRIMINATOR_RATE]
    }

    fn batches(&self) -> u64 {
        (self.rows.len() / self.settings.batch).max(1) as u64
    }

    fn batch(&self) -> u64 {
        self.settings.batch as u64
    }

    fn discriminator_step(&self, generator: &[f32], discriminator: &[f32], stream: &mut Stream) -> Step {
        let Settings { batch, loss, .. } = self.settings;
        let width = self.gan.features.width();
        let conditions = self.conditions(batch, stream);
        let (made, _) = self.made(generator, &conditions, &mut Moments::of_batch(), stream);
        let holders: Vec<usize> = conditions.iter().map(|c| self.holders.draw(*c, stream)).collect();
        let real = self.written(&self.rows, holders.into_iter());
        let middle = (losses::penalty_at(loss) == PenaltyAt::Between).then(|| self.between(&real, &made, stream));
        let mut graph = Graph::new();
        let weights = self.discriminator.layout.given(&mut graph, discriminator);
        let condition = self.gan.conditions.given(&mut graph, &conditions);
        let mut judge = |graph: &mut Graph, rows: Var| {
            self.discriminator.judge(graph, &weights, (rows, condition), &mut Dropout(Some(&mut *stream)))
        };
        let (real, made) = (graph.given(real, width), graph.given(made, width));
        let (of_real, of_made) = (judge(&mut graph, real), judge(&mut graph, made));
        let told = losses::of_discriminator(&mut graph, loss, of_real, of_made);
        let penalized = match losses::penalty_at(loss) {
            PenaltyAt::Nowhere => None,
            PenaltyAt::Real => Some((of_real, real)),
            PenaltyAt::Between => middle.map(|rows| {
                let rows = graph.given(rows, width);
                (judge(&mut graph, rows), rows)
            }),
        };
        let mut all = told;
        if let Some((answers, rows)) = penalized {
            let penalty = losses::penalty(&mut graph, loss, answers, &[rows]);
            all = graph.add(told, penalty);
        }
        Step { loss: graph.scalar(told), gradient: flat(&mut graph, all, weights.all()) }
    }

    fn generator_step(&self, generator: &[f32], discriminator: &[f32], stream: &mut Stream) -> Step {
        let Settings { batch, loss, .. } = self.settings;
        let conditions = self.conditions(batch, stream);
        let mut graph = Graph::new();
        let weights = self.generator.layout.given(&mut graph, generator);
        let judge = self.discriminator.layout.given(&mut graph, discriminator);
        let prior = self.prior(&mut graph, &conditions, stream);
        let made = self.generator.make(&mut graph, &weights, prior, &mut Moments::of_batch());
        let dropout = &mut Dropout(Some(stream));
        let answers = self.discriminator.judge(&mut graph, &judge, (made.rows, prior.condition), dropout);
        let told = losses::of_generator(&mut graph, loss, answers);
        let all = match self.gan.conditions.width {
            0 => told,
            _ => {
                let asked = self.misses(&mut graph, made.scores, &conditions);
                graph.add(told, asked)
            }
        };
        Step { loss: graph.scalar(told), gradient: flat(&mut graph, all, weights.all()) }
    }

    fn look(&self, generator: &[f32], discriminator: &[f32], stream: &mut Stream) -> Look {
        let features = &self.gan.features;
        let moments = self.moments(generator, stream);
        let count = self.held.len();
        let conditions: Vec<_> = (0..count).map(|_| self.gan.conditions.to_draw(stream)).collect();
        let (made, scores) = self.made(generator, &conditions, &mut Moments::known(&moments), stream);
        let mut leaves = vec![Vec::with_capacity(count); features.blocks.len()];
        for (row, scores) in made.chunks_exact(features.width()).zip(scores.chunks_exact(features.choices)) {
            let decoded = features.decode((&row[..features.numbers], scores), &self.gan.calibration, stream);
            leaves.iter_mut().zip(decoded).for_each(|(leaves, leaf)| leaves.push(leaf));
        }
        let likeness = self.watch.compare(&leaves, &self.held_leaves);
        let discriminator = self.scores(discriminator, &made, stream);
        Look { discriminator, two_sample: likeness.distance, collapsed: likeness.has_collapsed() }
    }

    fn floor(&self) -> f64 {
        self.floor
    }
}

impl RowGame<'_> {
    /// Cross-entropy of what was asked, in the generator's own odds (Xu et al. 2019, §4.3).
    fn misses(&self, graph: &mut Graph, scores: Var, conditions: &[Option<Condition>]) -> Var {
        let features = &self.gan.features;
        let mut wanted = vec![0f32; conditions.len() * features.choices];
        for (row, condition) in wanted.chunks_exact_mut(features.choices).zip(conditions) {
            if let Some(condition) = condition {
                row[features.blocks[condition.block].choices.start + condition.choice] = 1.0;
            }
        }
        let wanted = graph.given(wanted, features.choices);
        let odds = graph.softmax(scores, &features.spans);
        // Keeps the logarithm of odds of nothing finite.
        let odds = graph.affine(odds, 1.0, 1e-6);
        let logarithms = graph.logarithm(odds);
        let asked = graph.multiply(logarithms, wanted);
        let sum = graph.sum(asked);
        graph.scale(sum, -1.0 / conditions.len() as f32)
    }

    /// How well the discriminator tells held-out rows (positive) from as many made ones, whole packs of them. Each real row
    /// comes with a condition that it holds, as in learning. The threshold of a critic is the middle of its mean answers on
    /// the first halves; scores are those of the second halves.
    fn scores(&self, discriminator: &[f32], made: &[f32], stream: &mut Stream) -> Scores {
        let (pack, width) = (self.settings.pack, self.gan.features.width());
        let packs = self.held.len() / pack / 2 * 2;
        if packs == 0 {
            return Scores::default();
        }
        let conditions = |choices: &dyn Fn(usize, usize) -> usize, stream: &mut Stream| -> Vec<Option<Condition>> {
            let hold = |(row, condition): (usize, Option<Condition>)| {
                condition.and_then(|c| self.gan.conditions.on(c.block, choices(c.block, row)))
            };
            (0..packs * pack).map(|row| hold((row, self.gan.conditions.to_draw(stream)))).collect()
        };
        let real_choices = |block: usize, row: usize| self.held.choices[block][row] as usize;
        let of_real = conditions(&real_choices, stream);
        let made_choices = |block: usize, row: usize| {
            let choices = &made[row * width + self.gan.features.numbers..][..self.gan.features.choices];
            largest(&choices[self.gan.features.blocks[block].choices.clone()])
        };
        let of_made = conditions(&made_choices, stream);
        let real = self.answers(discriminator, self.written(&self.held, 0..packs * pack), &of_real);
        let made = self.answers(discriminator, made[..packs * pack * width].to_vec(), &of_made);
        let mean = |answers: &[f32]| answers.iter().sum::<f32>() / answers.len() as f32;
        let threshold = match self.settings.loss {
            Loss::Original | Loss::R1 => 0.0,
            Loss::WganGp => (mean(&real[..packs / 2]) + mean(&made[..packs / 2])) / 2.0,
        };
        let cases = real[packs / 2..].iter().map(|a| (*a, true)).chain(made[packs / 2..].iter().map(|a| (*a, false)));
        Scores::of(cases.map(|(answer, truth)| (answer > threshold, truth)))
    }
}

/// The gradient of a loss by all weights, in one slice.
pub(crate) fn flat(graph: &mut Graph, loss: Var, weights: &[Var]) -> Vec<f32> {
    let slopes = graph.gradients(loss, weights);
    slopes.iter().flat_map(|slope| graph.value(*slope)).copied().collect()
}

#[cfg(test)]
mod tests;
