//! Generator and discriminator of rows, and their steps.

use super::{RowGan, Settings};
use crate::bodies::{Discriminator, Dropout, Generator, Made, NOISE, Prior};
use crate::conditions::{Condition, Holders};
use crate::features::{Rows, largest};
use crate::log::Scores;
use crate::losses::{self, PenaltyAt};
use crate::noise::{gumbels, normals};
use crate::pieces::{Piece, between, in_pieces, pieces, step_of};
use crate::training::{Fitting, Game, Look, Step};
use crate::watch::{Watch, some_of};
use crate::weights::{Moments, Weights};
use twinmart_encode::leaves::Leaves;
use twinmart_nets::graph::{Graph, Var};
use twinmart_tables::{Digest, Loss, Stream};

/// Rows of a piece of a batch, at least.
const PIECE: usize = 50;
/// Rows of a look, made and real, at most.
const LOOKED_AT: usize = 4_000;
/// Batches from which the moments of normalized layers are taken.
const MOMENT_BATCHES: usize = 8;
/// Rates of learning. The discriminator has to be ahead: at equal rates its answers stay at a half while the generator still
/// makes one correlation after the other (Heusel et al., "GANs trained by a two time-scale update rule", 2017).
const GENERATOR_RATE: f32 = 5e-4;
const DISCRIMINATOR_RATE: f32 = 2e-3;

/// A piece of a batch as the generator has made it.
pub(super) struct MadePiece<'w> {
    share: f32,
    conditions: Vec<Option<Condition>>,
    graph: Graph<'w>,
    weights: Weights,
    prior: Prior,
    made: Made,
    stream: Stream,
}

/// Generator and discriminator of rows.
pub(super) struct RowGame<'a> {
    pub(super) gan: &'a RowGan,
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
    pub(super) fn new(
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
            discriminator: Discriminator::new(settings.body, features, gan.conditions.width, settings.pack),
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
            asked: self.gan.conditions.asked(conditions),
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
        let made = self.generator.make(&mut graph, &weights, &prior, moments);
        let scores = graph.add(made.scores, prior.gumbel);
        (graph.value(made.rows).to_vec(), graph.value(scores).to_vec())
    }

    /// Means and variances of normalized layers over some batches.
    pub(super) fn moments(&self, generator: &[f32], stream: &mut Stream) -> Vec<f32> {
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
        let asked = self.gan.conditions.asked(conditions);
        let answers = self.discriminator.judge(&mut graph, &weights, (rows, asked.as_ref()), &mut Dropout(None));
        graph.value(answers).to_vec()
    }
}

impl Game for RowGame<'_> {
    type Made<'w>
        = Vec<MadePiece<'w>>
    where
        Self: 'w;

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

    fn discriminator_step<'w>(
        &'w self,
        generator: &'w [f32],
        discriminator: &[f32],
        number: u64,
        stream: &mut Stream,
    ) -> (Step, Self::Made<'w>) {
        let Settings { batch, pack, .. } = self.settings;
        in_pieces(pieces(batch / pack, pack, PIECE.div_ceil(pack), stream), |piece| {
            let mut made = self.make(generator, piece);
            (self.step_on(&mut made, discriminator, number), made)
        })
    }

    fn generator_step<'w>(&'w self, made: Self::Made<'w>, discriminator: &'w [f32]) -> Step {
        in_pieces(made, |made| (self.step_through(made, discriminator), ())).0
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
    /// Makes rows for a piece of a batch, under conditions as learning asks.
    fn make<'w>(&self, generator: &'w [f32], piece: Piece) -> MadePiece<'w> {
        let Piece { examples, share, mut stream } = piece;
        let conditions = self.conditions(examples.len(), &mut stream);
        let mut graph = Graph::new();
        let weights = self.generator.layout.given(&mut graph, generator);
        let prior = self.prior(&mut graph, &conditions, &mut stream);
        let made = self.generator.make(&mut graph, &weights, &prior, &mut Moments::Unseen);
        MadePiece { share, conditions, graph, weights, prior, made, stream }
    }

    /// The discriminator's part of a step: made rows beside real ones that hold the same conditions.
    fn step_on(&self, piece: &mut MadePiece, discriminator: &[f32], number: u64) -> Step {
        let penalty_at = losses::penalty_at(self.settings.loss, number);
        let (loss, width) = (self.settings.loss, self.gan.features.width());
        let MadePiece { conditions, stream, .. } = piece;
        let made = piece.graph.value(piece.made.rows);
        let holders: Vec<usize> = conditions.iter().map(|c| self.holders.draw(*c, stream)).collect();
        let real = self.written(&self.rows, holders.into_iter());
        let middle =
            (penalty_at == PenaltyAt::Between).then(|| between(&real, made, self.settings.pack * width, stream));
        let mut graph = Graph::new();
        let weights = self.discriminator.layout.given(&mut graph, discriminator);
        let asked = piece.prior.asked.as_ref();
        let judge = |graph: &mut Graph, rows: Var| {
            self.discriminator.judge(graph, &weights, (rows, asked), &mut Dropout(Some(&mut *stream)))
        };
        let examples = [graph.given(real, width), graph.lent(made, width)];
        let middle = middle.map(|rows| graph.given(rows, width));
        let (told, all) = losses::of_examples(&mut graph, (loss, penalty_at), examples, middle, judge);
        step_of(&mut graph, (told, all), piece.share, weights.all())
    }

    /// The generator's part of a step: through the discriminator's answers on the rows that it has made.
    fn step_through<'w>(&self, piece: MadePiece<'w>, discriminator: &'w [f32]) -> Step {
        let MadePiece { share, conditions, mut graph, weights, prior, made, mut stream } = piece;
        let judge = self.discriminator.layout.given(&mut graph, discriminator);
        let dropout = &mut Dropout(Some(&mut stream));
        let answers = self.discriminator.judge(&mut graph, &judge, (made.rows, prior.asked.as_ref()), dropout);
        let told = losses::of_generator(&mut graph, self.settings.loss, answers);
        let all = match self.gan.conditions.width {
            0 => told,
            _ => {
                let asked = self.misses(&mut graph, made.scores, &conditions);
                graph.add(told, asked)
            }
        };
        step_of(&mut graph, (told, all), share, weights.all())
    }

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
