//! Windows of real histories against made ones.

use super::coding::Coding;
use super::networks::{CELL_NOISE, Critic, Generator, Known, Made, Prior, Sizes, USER_NOISE};
use super::profile::ProfileTable;
use crate::log::Scores;
use crate::losses::{self, PenaltyAt};
use crate::noise::{gumbels, normals};
use crate::pieces::{Piece, between, in_pieces, pieces, step_of};
use crate::rows::Settings;
use crate::training::{Game, Look, Step};
use crate::weights::Weights;
use rand::Rng;
use rand::seq::SliceRandom;
use twinmart_events::Sequences;
use twinmart_nets::graph::{Graph, Var};
use twinmart_tables::{Digest, Loss, Stream};

/// Windows of a step.
pub(super) const BATCH: usize = 64;
/// Windows of a piece of a batch, at least.
const PIECE: usize = 16;
/// Windows of a look, at most.
const LOOKED_AT: usize = 512;
/// Rate of learning of both networks.
const RATE: f32 = 5e-4;
/// Weight of the distance between the mean items of made and of real windows.
const MATCHING: f32 = 20.0;
/// Made events whose numbers vary less than this share of real ones are one event again and again.
const VARIETY: f64 = 0.02;

/// A window of a user's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) user: usize,
    /// Events of the user before it, and in it.
    pub(super) start: usize,
    pub(super) length: usize,
    /// Events of the user.
    pub(super) of: usize,
}

/// The windows of a user of so many events.
pub(super) fn windows_of(user: usize, events: usize, window: usize) -> impl Iterator<Item = Window> {
    let starts = (0..events).step_by(window);
    starts.map(move |start| Window { user, start, length: window.min(events - start), of: events })
}

/// What made and real windows are told about themselves: constants of a graph.
pub(super) struct Told {
    pub(super) profile: Vec<f32>,
    pub(super) exists: Vec<f32>,
    pub(super) first: Vec<f32>,
}

impl Told {
    /// Of some windows; `profile` appends the numbers of a window's user.
    pub(super) fn of(windows: &[Window], sizes: Sizes, profile: impl Fn(&Window, &mut Vec<f32>)) -> Told {
        let mut all = Vec::with_capacity(windows.len() * sizes.profile);
        let (mut exists, mut first) = (Vec::new(), Vec::new());
        for window in windows {
            profile(window, &mut all);
            all.push((window.start as f32).ln_1p() / 4.0);
            all.push(window.start as f32 / window.of.max(1) as f32);
            exists.extend((0..sizes.window()).map(|event| f32::from(u8::from(event < window.length))));
            first.extend((0..sizes.window()).map(|event| f32::from(u8::from(window.start + event == 0))));
        }
        Told { profile: all, exists, first }
    }

    fn known(&self, graph: &mut Graph) -> Known {
        Known { exists: graph.copied(&self.exists, 1), first: graph.copied(&self.first, 1) }
    }
}

/// The numbers that are told of a window beside the user's: where it lies in the history.
pub(super) const WINDOW_NUMBERS: usize = 2;

/// Random numbers of windows, user's noise apart.
pub(super) struct Noise {
    pub(super) user: Vec<f32>,
    pub(super) cells: Vec<f32>,
    pub(super) logistic: Vec<f32>,
    pub(super) gumbel: Vec<f32>,
    pub(super) blur: Vec<f32>,
}

impl Noise {
    pub(super) fn none() -> Noise {
        let none = Vec::new;
        Noise { user: none(), cells: none(), logistic: none(), gumbel: none(), blur: none() }
    }

    /// Appends the noise of a window; the user's is `user`.
    pub(super) fn add(&mut self, user: &[f32], length: usize, sizes: Sizes, blur: f32, stream: &mut Stream) {
        self.user.extend(user);
        self.cells.extend(normals(sizes.cells * CELL_NOISE, stream));
        self.logistic.extend((0..sizes.window()).map(|_| {
            let share = stream.random::<f32>().clamp(1e-6, 1.0 - 1e-6);
            (share / (1.0 - share)).ln()
        }));
        self.gumbel.extend(gumbels(sizes.window() * (sizes.told - 3), stream));
        let exists = |event: usize| if event < length { blur } else { 0.0 };
        let noise = normals(sizes.window() * sizes.vector, stream);
        self.blur.extend(noise.iter().enumerate().map(|(at, x)| x * exists(at / sizes.vector)));
    }

    /// Noise and what is told, as a generator wants it.
    pub(super) fn prior(self, graph: &mut Graph, told: &Told, sizes: Sizes) -> Prior {
        let actions = sizes.told - 3;
        Prior {
            profile: graph.copied(&told.profile, sizes.profile),
            user: graph.given(self.user, USER_NOISE),
            cells: graph.given(self.cells, sizes.cells * CELL_NOISE),
            logistic: graph.given(self.logistic, 1),
            gumbel: (actions > 0).then(|| graph.given(self.gumbel, actions)),
            blur: graph.given(self.blur, sizes.vector),
            known: told.known(graph),
        }
    }
}

/// A piece of a batch as the generator has made it.
pub(super) struct MadePiece<'w> {
    share: f32,
    windows: Vec<Window>,
    told: Told,
    graph: Graph<'w>,
    weights: Weights,
    prior: Prior,
    /// `[events, event]` as the critic sees them.
    events: Var,
    stream: Stream,
}

/// Generator and critic of histories.
pub(super) struct HistoryGame<'a> {
    pub(super) sequences: &'a Sequences,
    pub(super) coding: &'a Coding,
    pub(super) profiles: &'a ProfileTable,
    /// `[items, vector]`
    pub(super) vectors: &'a [f32],
    /// Standard deviation of the noise on vectors.
    pub(super) blur: f32,
    pub(super) sizes: Sizes,
    pub(super) generator: Generator,
    pub(super) critic: Critic,
    pub(super) settings: Settings,
    /// Windows that are learned, and some of people that are not.
    pub(super) learned: Vec<Window>,
    pub(super) held: Vec<Window>,
    pub(super) floor: f64,
}

impl HistoryGame<'_> {
    /// Cuts held windows to as many as a look takes, and says what two real samples differ by.
    pub(super) fn prepared(mut self, stream: &mut Stream) -> Self {
        self.held.shuffle(stream);
        self.held.truncate(LOOKED_AT);
        let mut others = self.learned.clone();
        others.shuffle(stream);
        others.truncate(self.held.len());
        let [a, b] = [&others, &self.held].map(|windows| {
            let mut stream = stream.clone();
            (self.real(windows, &mut stream), self.told(windows))
        });
        self.floor = unlike(&self.in_short(&a.0, &a.1), &self.in_short(&b.0, &b.1));
        self
    }

    fn told(&self, windows: &[Window]) -> Told {
        Told::of(windows, self.sizes, |window, out| self.profiles.write(window.user, out))
    }

    /// Real windows as the critic sees them, `[events, event]`.
    fn real(&self, windows: &[Window], stream: &mut Stream) -> Vec<f32> {
        let Sizes { vector, .. } = self.sizes;
        let mut out = Vec::with_capacity(windows.len() * self.sizes.window() * self.sizes.event());
        for window in windows {
            let first = self.sequences.of_user(window.user).start + window.start;
            for event in first..first + window.length {
                let place = &self.vectors[self.sequences.item[event] as usize * vector..][..vector];
                let noise = normals(vector, stream);
                out.extend(place.iter().zip(noise).map(|(x, noise)| x + self.blur * noise));
                self.coding.write(self.sequences, (window.user, event), &mut out, stream);
            }
            out.resize(out.len() + (self.sizes.window() - window.length) * self.sizes.event(), 0.0);
        }
        out
    }

    fn prior(&self, graph: &mut Graph, windows: &[Window], told: &Told, stream: &mut Stream) -> Prior {
        let mut noise = Noise::none();
        for window in windows {
            let user = normals(USER_NOISE, stream);
            noise.add(&user, window.length, self.sizes, self.blur, stream);
        }
        noise.prior(graph, told, self.sizes)
    }

    /// Made windows, as numbers.
    fn made(&self, generator: &[f32], windows: &[Window], told: &Told, stream: &mut Stream) -> Vec<f32> {
        let mut graph = Graph::new();
        let weights = self.generator.layout.given(&mut graph, generator);
        let prior = self.prior(&mut graph, windows, told, stream);
        let Made { events, .. } = self.generator.make(&mut graph, &weights, prior);
        graph.value(events).to_vec()
    }

    /// How far the mean items of made windows are from those of the real windows that they were told of (feature matching,
    /// Salimans et al., "Improved techniques for training GANs", 2016, §3.1): what a taste chooses is learned from the
    /// first step on.
    fn apart(&self, graph: &mut Graph, events: Var, windows: &[Window]) -> Var {
        let Sizes { vector, .. } = self.sizes;
        let mut real = vec![0f32; windows.len() * vector];
        let mut shares = Vec::with_capacity(windows.len());
        for (mean, window) in real.chunks_exact_mut(vector).zip(windows) {
            let first = self.sequences.of_user(window.user).start + window.start;
            for event in first..first + window.length {
                let place = &self.vectors[self.sequences.item[event] as usize * vector..][..vector];
                mean.iter_mut().zip(place).for_each(|(mean, x)| *mean += x / window.length as f32);
            }
            shares.push(1.0 / window.length.max(1) as f32);
        }
        let to = (0..windows.len() * self.sizes.window()).map(|event| (event / self.sizes.window()) as u32).collect();
        let places = graph.columns(events, 0..vector);
        let sums = graph.scatter(places, &to, windows.len());
        let shares = graph.given(shares, 1);
        let shares = graph.repeat_columns(shares, vector);
        let made = graph.multiply(sums, shares);
        let real = graph.given(real, vector);
        let apart = graph.subtract(made, real);
        let square = graph.multiply(apart, apart);
        let sum = graph.sum(square);
        graph.scale(sum, MATCHING / windows.len() as f32)
    }

    /// Makes windows for a piece of a batch, told what real ones are.
    fn make<'w>(&self, generator: &'w [f32], piece: Piece) -> MadePiece<'w> {
        let Piece { examples, share, mut stream } = piece;
        let window = |_| self.learned[stream.random_range(0..self.learned.len())];
        let windows: Vec<Window> = examples.map(window).collect();
        let told = self.told(&windows);
        let mut graph = Graph::new();
        let weights = self.generator.layout.given(&mut graph, generator);
        let prior = self.prior(&mut graph, &windows, &told, &mut stream);
        let Made { events, .. } = self.generator.make(&mut graph, &weights, prior);
        MadePiece { share, windows, told, graph, weights, prior, events, stream }
    }

    /// The critic's part of a step: made windows beside the real ones.
    fn step_on(&self, piece: &mut MadePiece, discriminator: &[f32], number: u64) -> Step {
        let penalty_at = losses::penalty_at(self.settings.loss, number);
        let (loss, width) = (self.settings.loss, self.sizes.event());
        let made = piece.graph.value(piece.events);
        let stream = &mut piece.stream;
        let real = self.real(&piece.windows, stream);
        let of_window = self.sizes.window() * width;
        let middle = (penalty_at == PenaltyAt::Between).then(|| between(&real, made, of_window, stream));
        let mut graph = Graph::new();
        let weights = self.critic.layout.given(&mut graph, discriminator);
        let profile = graph.lent(&piece.told.profile, self.sizes.profile);
        let exists = graph.lent(&piece.told.exists, 1);
        let judge = |graph: &mut Graph, events: Var| self.judge(graph, &weights, events, profile, exists);
        let examples = [graph.given(real, width), graph.lent(made, width)];
        let middle = middle.map(|events| graph.given(events, width));
        let (told, all) = losses::of_examples(&mut graph, (loss, penalty_at), examples, middle, judge);
        step_of(&mut graph, (told, all), piece.share, weights.all())
    }

    /// The generator's part of a step: through the critic's answers on the windows that it has made.
    fn step_through<'w>(&self, piece: MadePiece<'w>, discriminator: &'w [f32]) -> Step {
        let MadePiece { share, windows, mut graph, weights, prior, events, .. } = piece;
        let judge = self.critic.layout.given(&mut graph, discriminator);
        let answers = self.judge(&mut graph, &judge, events, prior.profile, prior.known.exists);
        let told = losses::of_generator(&mut graph, self.settings.loss, answers);
        let apart = self.apart(&mut graph, events, &windows);
        let all = graph.add(told, apart);
        step_of(&mut graph, (told, all), share, weights.all())
    }

    fn judge(&self, graph: &mut Graph, weights: &Weights, events: Var, profile: Var, exists: Var) -> Var {
        self.critic.judge(graph, weights, events, profile, exists)
    }

    /// For each window the means of its events' numbers and of their squares, `[2 · event][windows]`.
    fn in_short(&self, events: &[f32], told: &Told) -> Vec<Vec<f64>> {
        let (event, window) = (self.sizes.event(), self.sizes.window());
        let mut all = vec![Vec::new(); 2 * event];
        for (events, exists) in events.chunks_exact(window * event).zip(told.exists.chunks_exact(window)) {
            let count = exists.iter().map(|x| f64::from(*x)).sum::<f64>().max(1.0);
            for at in 0..event {
                let numbers = || events.iter().skip(at).step_by(event).map(|x| f64::from(*x));
                all[at].push(numbers().sum::<f64>() / count);
                all[event + at].push(numbers().map(|x| x * x).sum::<f64>() / count);
            }
        }
        all
    }

    /// How well the critic tells held-out windows (positive) from made ones; see [`crate::log::Epoch`].
    fn scores(&self, critic: &[f32], [real, made]: [&[f32]; 2], told: &Told) -> Scores {
        let answers = |events: &[f32]| {
            let mut graph = Graph::new();
            let weights = self.critic.layout.given(&mut graph, critic);
            let events = graph.lent(events, self.sizes.event());
            let profile = graph.lent(&told.profile, self.sizes.profile);
            let exists = graph.lent(&told.exists, 1);
            let answers = self.judge(&mut graph, &weights, events, profile, exists);
            graph.value(answers).to_vec()
        };
        let (real, made) = (answers(real), answers(made));
        let half = real.len() / 2;
        let mean = |answers: &[f32]| answers.iter().sum::<f32>() / answers.len().max(1) as f32;
        let threshold = match self.settings.loss {
            Loss::Original | Loss::R1 => 0.0,
            Loss::WganGp => (mean(&real[..half]) + mean(&made[..half])) / 2.0,
        };
        let cases = real[half..].iter().map(|a| (*a, true)).chain(made[half..].iter().map(|a| (*a, false)));
        Scores::of(cases.map(|(answer, truth)| (answer > threshold, truth)))
    }
}

/// Mean over numbers of the largest difference between the distribution functions of two samples (Kolmogorov & Smirnov).
fn unlike(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let of_number = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        let mut all: Vec<(f64, f64)> = a.iter().map(|x| (*x, 1.0 / a.len() as f64)).collect();
        all.extend(b.iter().map(|x| (*x, -1.0 / b.len() as f64)));
        all.sort_by(|x, y| x.0.total_cmp(&y.0));
        let (mut sum, mut largest) = (0f64, 0f64);
        for run in all.chunk_by(|x, y| x.0 == y.0) {
            sum += run.iter().map(|x| x.1).sum::<f64>();
            largest = largest.max(sum.abs());
        }
        largest
    };
    a.iter().zip(b).map(of_number).sum::<f64>() / a.len().max(1) as f64
}

/// Variance of made numbers as a share of that of real ones, on average over those that vary.
fn variety(made: &[Vec<f64>], real: &[Vec<f64>]) -> f64 {
    let variance = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
        x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len().max(1) as f64
    };
    let shares = made.iter().zip(real).map(|(made, real)| (variance(made), variance(real)));
    let shares: Vec<f64> = shares.filter(|(_, real)| *real > 1e-9).map(|(made, real)| (made / real).min(1.0)).collect();
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

impl Game for HistoryGame<'_> {
    type Made<'w>
        = Vec<MadePiece<'w>>
    where
        Self: 'w;

    fn name(&self) -> &'static str {
        "gan-histories"
    }

    fn digest(&self, digest: Digest) -> Digest {
        let Sequences { item, time, session, .. } = self.sequences;
        digest
            .text(&format!("{:?} {:?} {}", self.sizes, self.settings, self.blur))
            .list(item.iter().map(|x| x.to_le_bytes()))
            .list(time.iter().map(|x| x.to_le_bytes()))
            .list(session.iter().map(|x| x.to_le_bytes()))
            .list(self.vectors.iter().map(|x| x.to_le_bytes()))
            .list(self.profiles.numbers().iter().map(|x| x.to_le_bytes()))
    }

    fn first(&self, stream: &mut Stream) -> [Vec<f32>; 2] {
        [self.generator.layout.first(stream), self.critic.layout.first(stream)]
    }

    fn rates(&self) -> [f32; 2] {
        [RATE; 2]
    }

    fn batches(&self) -> u64 {
        (self.learned.len() / BATCH).max(1) as u64
    }

    fn batch(&self) -> u64 {
        BATCH as u64
    }

    fn discriminator_step<'w>(
        &'w self,
        generator: &'w [f32],
        discriminator: &[f32],
        number: u64,
        stream: &mut Stream,
    ) -> (Step, Self::Made<'w>) {
        in_pieces(pieces(BATCH, 1, PIECE, stream), |piece| {
            let mut made = self.make(generator, piece);
            (self.step_on(&mut made, discriminator, number), made)
        })
    }

    fn generator_step<'w>(&'w self, made: Self::Made<'w>, discriminator: &'w [f32]) -> Step {
        in_pieces(made, |made| (self.step_through(made, discriminator), ())).0
    }

    fn look(&self, generator: &[f32], discriminator: &[f32], stream: &mut Stream) -> Look {
        let told = self.told(&self.held);
        let made = self.made(generator, &self.held, &told, stream);
        let real = self.real(&self.held, stream);
        let (short_made, short_real) = (self.in_short(&made, &told), self.in_short(&real, &told));
        Look {
            discriminator: self.scores(discriminator, [&real, &made], &told),
            two_sample: unlike(&short_made, &short_real),
            collapsed: variety(&short_made, &short_real) < VARIETY,
        }
    }

    fn floor(&self) -> f64 {
        self.floor
    }
}
