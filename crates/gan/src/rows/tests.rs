//! GANs of small tables of which all is known.

use super::*;
use crate::bodies::{Discriminator, Dropout};
use crate::losses::{self, PenaltyAt};
use crate::noise::normals;
use crate::pieces::flat;
use crate::training::{Game, Step};
use crate::watch::some_of;
use std::time::Duration;
use twinmart_tables::{Checkpoints, Progress};

const CELLS: usize = 64;

/// Two numbers of a normal distribution with a correlation, in cells, and a category of three values.
struct Planted {
    parts: Vec<Leaves>,
    leaves: Vec<Vec<u32>>,
}

const SHARES: [f64; 3] = [0.5, 0.3, 0.2];

fn planted(rows: usize, correlation: f32) -> Planted {
    let mut stream = Draws::new(5).stream("planted");
    let width = 6.0 / CELLS as f32;
    let cell = |x: f32| (((x + 3.0) / width) as i64).clamp(0, CELLS as i64 - 1) as u32;
    let mut leaves = vec![Vec::new(); 3];
    for _ in 0..rows {
        let z = normals(2, &mut stream);
        leaves[0].push(cell(z[0]));
        leaves[1].push(cell(correlation * z[0] + (1.0 - correlation * correlation).sqrt() * z[1]));
        let share: f64 = stream.random();
        leaves[2].push(if share < SHARES[0] {
            1
        } else if share < SHARES[0] + SHARES[1] {
            2
        } else {
            3
        });
    }
    let part = |column: usize, count: usize, ordered: bool| {
        let mut weights = vec![0; count];
        leaves[column].iter().for_each(|leaf| weights[*leaf as usize] += 1);
        let position = |cell: usize| f64::from(width) * (cell as f64 + 0.5) - 3.0;
        let positions = (0..count).map(|cell| if ordered { position(cell) } else { f64::NAN }).collect();
        let sub_columns = column..column + 1;
        Leaves { column, ordered, missing: false, apart: usize::from(!ordered), weights, positions, sub_columns }
    };
    let parts = vec![part(0, CELLS, true), part(1, CELLS, true), part(2, 4, false)];
    Planted { parts, leaves }
}

fn settings(body: Body, loss: Loss, epochs: u64) -> Settings {
    Settings { body, loss, pack: 1, critic_steps: 3, average: true, batch: 100, epochs }
}

fn fitting(progress: Progress) -> Fitting {
    Fitting { draws: Draws::new(3), deadline: None, progress, table: "planted".into() }
}

fn fit(planted: &Planted, settings: Settings) -> RowGan {
    let people: Vec<u64> = (0..planted.leaves[0].len() as u64).collect();
    RowGan::fit(&planted.parts, &planted.leaves, &people, settings, &fitting(Progress::silent())).unwrap()
}

fn drawn(gan: &RowGan, rows: u64) -> Vec<Vec<u32>> {
    let family = Draws::new(8).family("rows", "");
    gan.draw(&mut (0..rows).map(|row| family.row(row)).collect::<Vec<_>>())
}

fn correlation(leaves: &[Vec<u32>]) -> f64 {
    let count = leaves[0].len() as f64;
    let mean = |x: &[u32]| x.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let (a, b) = (mean(&leaves[0]), mean(&leaves[1]));
    let product = |x: &[u32], y: &[u32], a: f64, b: f64| {
        x.iter().zip(y).map(|(x, y)| (f64::from(*x) - a) * (f64::from(*y) - b)).sum::<f64>()
    };
    let [x, y] = [&leaves[0], &leaves[1]];
    product(x, y, a, b) / (product(x, x, a, a) * product(y, y, b, b)).sqrt()
}

fn shares(leaves: &[Vec<u32>]) -> Vec<f64> {
    (1..4).map(|leaf| leaves[2].iter().filter(|x| **x == leaf).count() as f64 / leaves[2].len() as f64).collect()
}

/// What a body and loss learn of the planted table, in so many epochs.
fn learns(body: Body, loss: Loss, epochs: u64) {
    let planted = planted(4_000, 0.7);
    let gan = fit(&planted, settings(body, loss, epochs));
    let made = drawn(&gan, 20_000);
    let (found, real) = (correlation(&made), correlation(&planted.leaves));
    assert!((found - real).abs() < 0.05, "{body:?} {loss:?}: correlation {found}, not {real}");
    for (found, real) in shares(&made).iter().zip(shares(&planted.leaves)) {
        assert!((found - real).abs() < 0.02, "{body:?} {loss:?}: a share of {found}, not {real}");
    }
    assert!(gan.log().epochs.len() as u64 == epochs && gan.log().kept > 0);
}

#[test]
fn layers_learn_by_the_original_losses() {
    learns(Body::Mlp, Loss::Original, 40);
}

#[test]
fn layers_learn_with_a_penalty_at_real_rows() {
    learns(Body::Mlp, Loss::R1, 40);
}

#[test]
fn layers_learn_the_wasserstein_distance() {
    learns(Body::Mlp, Loss::WganGp, 40);
}

#[test]
fn convolutions_learn_by_the_original_losses() {
    learns(Body::Cnn, Loss::Original, 60);
}

#[test]
fn convolutions_learn_with_a_penalty_at_real_rows() {
    learns(Body::Cnn, Loss::R1, 40);
}

#[test]
fn convolutions_learn_the_wasserstein_distance() {
    learns(Body::Cnn, Loss::WganGp, 40);
}

#[test]
fn recurrent_units_learn_by_the_original_losses() {
    learns(Body::Rnn, Loss::Original, 40);
}

#[test]
fn recurrent_units_learn_with_a_penalty_at_real_rows() {
    learns(Body::Rnn, Loss::R1, 40);
}

#[test]
fn recurrent_units_learn_the_wasserstein_distance() {
    learns(Body::Rnn, Loss::WganGp, 70);
}

/// The weights of a game and one step's gradient, to be compared with differences.
fn gradients_of_steps(body: Body, loss: Loss, columns: usize) {
    let planted = planted(600, 0.7);
    let parts = &planted.parts[..columns];
    let gan = RowGan::of(parts, body);
    let fitting = fitting(Progress::silent());
    let leaves = (&planted.leaves[..columns], &planted.leaves[..columns]);
    let generator = gan.generator.clone().unwrap();
    let settings = Settings { batch: 210, pack: 2, ..settings(body, loss, 1) };
    let game = RowGame::new(&gan, generator, leaves, parts, (settings, 600), &fitting);
    let [generator, discriminator] = game.first(&mut fitting.draws.stream("first"));
    let stream = || fitting.draws.stream("step");
    // Penalties are part of the gradient and not of the loss that is told: without them the two must agree.
    if losses::penalty_at(loss, 0) == PenaltyAt::Nowhere {
        let step = |weights: &[f32]| game.discriminator_step(&generator, weights, 0, &mut stream()).0;
        agrees(&discriminator, &step, &fitting);
    }
    if game.gan.conditions.width == 0 {
        let step = |weights: &[f32]| {
            let (_, made) = game.discriminator_step(weights, &discriminator, 0, &mut stream());
            game.generator_step(made, &discriminator)
        };
        agrees(&generator, &step, &fitting);
    }
}

/// Holds the gradient of a step against the change of the loss along a direction that is half its own and half a random one:
/// along random ones alone, next to nothing changes but roundings.
fn agrees(weights: &[f32], step: &dyn Fn(&[f32]) -> Step, fitting: &Fitting) {
    let gradient = step(weights).gradient;
    let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
    let noise = normals(weights.len(), &mut fitting.draws.stream("direction"));
    let spread = (weights.len() as f32).sqrt();
    let direction: Vec<f32> = gradient.iter().zip(&noise).map(|(g, n)| g / length + n / spread).collect();
    let by = 5e-4;
    let moved = |sign: f32| -> Vec<f32> { weights.iter().zip(&direction).map(|(w, d)| w + sign * by * d).collect() };
    let difference = f64::from(step(&moved(1.0)).loss - step(&moved(-1.0)).loss) / f64::from(2.0 * by);
    let found: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
    assert!((found - difference).abs() < 0.03 * difference.abs(), "{found}, not {difference}");
}

#[test]
fn steps_go_along_the_gradient() {
    for body in [Body::Mlp, Body::Cnn, Body::Rnn] {
        gradients_of_steps(body, Loss::Original, 3);
        // Where nothing can be asked for, the generator's loss is all that its gradient is of.
        gradients_of_steps(body, Loss::Original, 2);
    }
}

#[test]
fn penalties_of_networks_are_what_differences_say() {
    let planted = planted(100, 0.7);
    for body in [Body::Mlp, Body::Cnn, Body::Rnn] {
        let features = Features::of(&planted.parts);
        let discriminator = Discriminator::new(body, &features, 0, 2);
        let draws = Draws::new(9);
        let weights = discriminator.layout.first(&mut draws.stream("first"));
        let rows = normals(8 * features.width(), &mut draws.stream("rows"));
        for loss in [Loss::R1, Loss::WganGp] {
            let step = |numbers: &[f32]| {
                let mut graph = Graph::new();
                let given = discriminator.layout.given(&mut graph, numbers);
                let x = graph.given(rows.clone(), features.width());
                let answers = discriminator.judge(&mut graph, &given, (x, None), &mut Dropout(None));
                let penalty = losses::penalty(&mut graph, loss, answers, &[x]);
                Step { loss: graph.scalar(penalty), gradient: flat(&mut graph, penalty, given.all()) }
            };
            agrees(&weights, &step, &fitting(Progress::silent()));
        }
    }
}

/// Where made examples are like real ones, the best discriminator says ½ (Goodfellow et al. 2014, proposition 1).
#[test]
fn nothing_to_tell_apart_is_told_by_a_half() {
    let planted = planted(4_000, 0.7);
    let features = Features::of(&planted.parts);
    let draws = Draws::new(4);
    let rows = features.encode(&planted.leaves, &draws.family("modes", ""));
    let discriminator = Discriminator::new(Body::Mlp, &features, 0, 1);
    let mut adam = twinmart_nets::adam::Adam::new(discriminator.layout.first(&mut draws.stream("first")));
    let rates =
        twinmart_nets::adam::Rates { rate: 1e-3, decay: 0.0, average: 0.99, longest: f32::MAX, memory: [0.5, 0.9] };
    let batch = |stream: &mut Stream| {
        let mut out = Vec::new();
        some_of(rows.len(), 200, stream).into_iter().for_each(|row| features.write(&rows, row, &mut out));
        out
    };
    let mut stream = draws.stream("batches");
    for _ in 0..400 {
        let mut graph = Graph::new();
        let weights = discriminator.layout.given(&mut graph, &adam.weights);
        let [real, made] = [batch(&mut stream), batch(&mut stream)].map(|rows| graph.given(rows, features.width()));
        let [real, made] =
            [real, made].map(|x| discriminator.judge(&mut graph, &weights, (x, None), &mut Dropout(Some(&mut stream))));
        let loss = losses::of_discriminator(&mut graph, Loss::Original, real, made);
        let gradient = flat(&mut graph, loss, weights.all());
        drop(graph);
        assert!(adam.step(&gradient, rates));
    }
    let mut graph = Graph::new();
    let weights = discriminator.layout.given(&mut graph, &adam.average);
    let x = graph.given(batch(&mut stream), features.width());
    let answers = discriminator.judge(&mut graph, &weights, (x, None), &mut Dropout(None));
    let odds = graph.sigmoid(answers);
    let mean = graph.value(odds).iter().sum::<f32>() / 200.0;
    let apart = graph.value(odds).iter().map(|odds| (odds - 0.5).abs()).sum::<f32>() / 200.0;
    assert!((mean - 0.5).abs() < 0.02 && apart < 0.06, "{mean} {apart}");
}

#[test]
fn what_is_asked_for_comes() {
    let planted = planted(4_000, 0.7);
    let gan = fit(&planted, settings(Body::Mlp, Loss::WganGp, 30));
    assert_eq!((gan.askable(0), gan.askable(2)), (None, Some(4)));
    let family = Draws::new(8).family("asked", "");
    for leaf in 1..4 {
        let mut streams: Vec<Stream> = (0..1_000).map(|row| family.row(row)).collect();
        let made = gan.draw_given(2, leaf, &mut streams).unwrap();
        let held = made[2].iter().filter(|x| **x == leaf).count();
        assert!(held >= 990, "{held} of 1,000 rows hold {leaf}");
    }
    assert!(gan.draw_given(0, 1, &mut []).is_none());
}

#[test]
fn threads_and_neighbours_change_no_bit() {
    let planted = planted(1_000, 0.7);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let gan = fit(&planted, settings(Body::Mlp, Loss::WganGp, 3));
            (gan.weights.clone(), drawn(&gan, 700))
        })
    };
    let (one, two) = (on(1), on(2));
    assert_eq!(one, two);
    let gan = fit(&planted, settings(Body::Rnn, Loss::Original, 1));
    let (many, few) = (drawn(&gan, 700), drawn(&gan, 300));
    assert!(many.iter().zip(&few).all(|(many, few)| many[..300] == few[..]));
}

#[test]
fn rows_of_one_person_are_learned_whether_or_not_they_are_held_out() {
    let planted = planted(120, 0.7);
    for seed in 0..12 {
        let fitting = Fitting { draws: Draws::new(seed), ..fitting(Progress::silent()) };
        let settings = settings(Body::Mlp, Loss::R1, 1);
        let gan = RowGan::fit(&planted.parts, &planted.leaves, &[7; 120], settings, &fitting).unwrap();
        assert_eq!(drawn(&gan, 10)[0].len(), 10);
    }
}

#[test]
fn what_is_stored_draws_the_same() {
    let planted = planted(1_000, 0.7);
    let gan = fit(&planted, settings(Body::Cnn, Loss::R1, 2));
    let (stored, weights, moments) = gan.stored();
    let (weights, moments) = (weights.to_vec(), moments.to_vec());
    let back = RowGan::from_stored(&planted.parts, stored.clone(), weights.clone(), moments.clone()).unwrap();
    assert_eq!(drawn(&back, 300), drawn(&gan, 300));
    assert_eq!(back.log(), gan.log());
    assert!(RowGan::from_stored(&planted.parts, stored.clone(), weights[1..].to_vec(), moments.clone()).is_none());
    assert!(RowGan::from_stored(&planted.parts[..2], stored, weights, moments).is_none());
}

/// Stops after some steps, as a user who has waited enough.
struct Impatient(std::sync::atomic::AtomicU64, std::sync::Arc<std::sync::atomic::AtomicBool>);

impl twinmart_tables::Reporter for Impatient {
    fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
        0
    }
    fn advance(&self, _: usize, _: u64) {
        let left = self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        self.1.store(left <= 1, std::sync::atomic::Ordering::Relaxed);
    }
    fn finish(&self, _: usize) {}
    fn warn(&self, _: &str) {}
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let planted = planted(1_000, 0.7);
    let people: Vec<u64> = (0..1_000).collect();
    let settings = settings(Body::Mlp, Loss::WganGp, 4);
    let whole = fit(&planted, settings);
    let folder = tempfile::tempdir().unwrap();
    let run = |steps: u64| {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let reporter = std::sync::Arc::new(Impatient(steps.into(), stop.clone()));
        let checkpoints = Checkpoints::open(folder.path().join("kept"), Duration::from_millis(1)).unwrap();
        let progress = Progress::new(reporter, stop).keeping(checkpoints);
        RowGan::fit(&planted.parts, &planted.leaves, &people, settings, &fitting(progress))
    };
    // In the first epoch, in the third, and then to the end.
    for steps in [3, 7] {
        assert!(matches!(run(steps), Err(twinmart_tables::Error::Interrupted)));
    }
    let resumed = run(u64::MAX).unwrap();
    assert_eq!((&resumed.weights, &resumed.moments), (&whole.weights, &whole.moments));
    assert_eq!(resumed.log(), whole.log());
}
