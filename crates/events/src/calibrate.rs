//! Calibration: after learning, a model's own histories are held against those of real users, and what they differ in is
//! corrected.
//!
//! A network that is right about every next event of real histories drifts when it goes on from its own events: every weak
//! choice makes the next one weaker. Drawn histories of real users' plans are therefore asked how much, on average, was said
//! for the items they chose, feature by feature, and how often each item was chosen:
//!
//! δ ← δ + C⁻¹ (mean of real choices − mean of drawn choices), β_i ← β_i + share · ln(real_i / drawn_i)
//!
//! with C the covariance of the features of real choices: steps towards the maximum likelihood of a log-linear model whose
//! expectations come from samples (Della Pietra, Della Pietra & Lafferty, "Inducing features of random fields", 1997). δ is
//! added to the weights of features, β to those of items; both are averages over thousands of events of many users.

use crate::clock::Clock;
use crate::draw::Plan;
use crate::layout::{GATES, Layout};
use crate::model::EventModel;
use crate::recall::{Candidates, FEATURES, Memory, Recall};
use crate::sequences::Sequences;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use twinmart_tables::{Checkpoint, Draws, Progress, Result, Stream, Writing};

/// Rounds of drawing and correcting.
const ROUNDS: u64 = 8;
/// Events of one round, at most, and of one user.
const EVENTS: usize = 50_000;
const EVENTS_OF_USER: usize = 300;
/// Share of a step that is taken.
const STEP: f64 = 0.5;
/// Share of the step of the items' weights, and events that are added to each item's.
const ITEM_STEP: f64 = 0.3;
const ITEM_DOUBT: f64 = 20.0;
/// Added to the diagonal of the covariance.
const RIDGE: f64 = 0.02;

/// The features of chosen items: how many choices, their sums, and the sums of their products.
#[derive(Debug, Clone)]
struct Moments {
    choices: f64,
    sums: [f64; GATES],
    products: Vec<f64>,
}

impl Moments {
    fn of<'a>(choices: impl Iterator<Item = &'a [f32; GATES]>) -> Moments {
        let mut moments = Moments { choices: 0.0, sums: [0.0; GATES], products: vec![0.0; GATES * GATES] };
        for features in choices {
            moments.choices += 1.0;
            for (a, row) in moments.products.chunks_exact_mut(GATES).enumerate() {
                moments.sums[a] += f64::from(features[a]);
                row.iter_mut().zip(features).for_each(|(p, b)| *p += f64::from(features[a]) * f64::from(*b));
            }
        }
        moments
    }

    fn mean(&self, feature: usize) -> f64 {
        self.sums[feature] / self.choices.max(1.0)
    }

    /// C⁻¹ (mean − other's mean), C the covariance with a ridge.
    fn step_from(&self, other: &Moments) -> Vec<f64> {
        let covariance = Mat::from_fn(GATES, GATES, |a, b| {
            let product = self.products[a * GATES + b] / self.choices.max(1.0);
            product - self.mean(a) * self.mean(b) + if a == b { RIDGE } else { 0.0 }
        });
        let away = Mat::from_fn(GATES, 1, |a, _| self.mean(a) - other.mean(a));
        match covariance.llt(Side::Lower) {
            Ok(root) => root.solve(&away).col(0).iter().copied().collect(),
            Err(_) => vec![0.0; GATES],
        }
    }
}

/// Corrects a model; `plans` has each user's plan, `memories` what others than the users of each fold say.
pub(crate) fn calibrate(
    model: &mut EventModel,
    sequences: &Sequences,
    plans: &dyn Fn(usize) -> Plan,
    (folds, memories): (&[usize], &[Memory]),
    (draws, progress): (Draws, &Progress),
    checkpoint: &mut Checkpoint,
) -> Result<()> {
    let layout = Layout::new(&model.sizes);
    let users = chosen(sequences, folds, memories.len() - 1, draws);
    let Some(fold) = users.first().map(|user| folds[*user]) else { return Ok(()) };
    let clock = model.clock.clone();
    let real: Vec<Vec<[f32; GATES]>> = users
        .par_iter()
        .map(|user| features_of(sequences, clock.as_ref(), &memories[folds[*user]], *user, model.sizes.recall()))
        .collect();
    let real = Moments::of(real.iter().flatten());
    let mut popularity = vec![0f64; model.sizes.items];
    sequences.item.iter().for_each(|item| popularity[*item as usize] += 1.0);
    let total: f64 = popularity.iter().sum();
    let plans: Vec<Plan> = users.iter().map(|user| shortened(plans(*user))).collect();
    let mut drawn_items = vec![0f64; model.sizes.items];
    let begun = resume(model, &layout, &mut drawn_items, checkpoint).unwrap_or(0);
    let task = progress.start("calibrating", Some(ROUNDS), "rounds");
    task.advance(begun)?;
    for round in begun..ROUNDS {
        let family = draws.family("events.calibration", &round.to_string());
        let mut streams: Vec<Stream> = users.iter().map(|user| family.row(*user as u64)).collect();
        let drawn = model.draw_observed(&memories[fold], &plans, &mut streams);
        let found = Moments::of(drawn.iter().flat_map(|(_, features)| features));
        let step = real.step_from(&found);
        for (bias, step) in model.weights[layout.gates.bias.clone()].iter_mut().zip(&step) {
            *bias += (STEP * step).clamp(-1.0, 1.0) as f32;
        }
        drawn_items.iter_mut().for_each(|n| *n *= 0.5);
        drawn.iter().flat_map(|(events, _)| events).for_each(|e| drawn_items[e.item as usize] += 1.0);
        let scale = drawn_items.iter().sum::<f64>() / total;
        correct(&mut model.weights[layout.bias.clone()], &popularity, &drawn_items, scale);
        if let Some(clusters) = &model.clusters {
            let bias = &mut model.weights[layout.cluster_bias.clone()];
            correct(bias, &clusters.sums(&popularity), &clusters.sums(&drawn_items), scale);
        }
        let moved = task.advance(1);
        if moved.is_err() || checkpoint.is_due() {
            checkpoint.write(|out| write(model, &layout, &drawn_items, round + 1, out));
        }
        moved?;
    }
    Ok(())
}

/// Moves biases so that what was drawn too often is drawn less; `scale` real events are one drawn event.
fn correct(bias: &mut [f32], real: &[f64], drawn: &[f64], scale: f64) {
    for ((bias, real), drawn) in bias.iter_mut().zip(real).zip(drawn) {
        *bias += (ITEM_STEP * ((real * scale + ITEM_DOUBT) / (drawn + ITEM_DOUBT)).ln()) as f32;
    }
}

/// Keeps what the rounds so far changed.
fn write(model: &EventModel, layout: &Layout, drawn: &[f64], rounds: u64, out: &mut Writing) -> std::io::Result<()> {
    out.whole(rounds)?;
    out.numbers(&model.weights[layout.gates.bias.clone()])?;
    out.numbers(&model.weights[layout.bias.clone()])?;
    out.numbers(&model.weights[layout.cluster_bias.clone()])?;
    drawn.iter().try_for_each(|number| out.whole(number.to_bits()))
}

/// Takes what the rounds of an interrupted run changed; how many they were, `None` where there was no such run.
fn resume(model: &mut EventModel, layout: &Layout, drawn: &mut [f64], checkpoint: &mut Checkpoint) -> Option<u64> {
    let biases = [&layout.gates.bias, &layout.bias, &layout.cluster_bias];
    let (rounds, changed, counts) = checkpoint.resume(|input| {
        let rounds = input.whole().filter(|rounds| *rounds <= ROUNDS)?;
        let changed: Vec<_> = biases.iter().map(|place| input.numbers(place.len())).collect::<Option<_>>()?;
        let number = |_: &f64| input.whole().map(f64::from_bits).filter(|number| *number >= 0.0 && number.is_finite());
        Some((rounds, changed, drawn.iter().map(number).collect::<Option<Vec<f64>>>()?))
    })?;
    for (place, changed) in biases.into_iter().zip(&changed) {
        model.weights[place.clone()].copy_from_slice(changed);
    }
    drawn.copy_from_slice(&counts);
    checkpoint.tell(&format!("calibrating goes on after round {rounds} of {ROUNDS}"));
    Some(rounds)
}

/// Users of about [`EVENTS`] events in random order, none of them held out.
fn chosen(sequences: &Sequences, folds: &[usize], held: usize, draws: Draws) -> Vec<usize> {
    let mut users: Vec<usize> =
        (0..folds.len()).filter(|u| folds[*u] != held && !sequences.of_user(*u).is_empty()).collect();
    users.shuffle(&mut draws.stream("events.calibrated"));
    let mut events = 0;
    users
        .into_iter()
        .take_while(|user| {
            let enough = events >= EVENTS;
            events += sequences.of_user(*user).len().min(EVENTS_OF_USER);
            !enough
        })
        .collect()
}

/// The plan of the first events of a plan.
fn shortened(plan: Plan) -> Plan {
    let size = plan.size.map(|(sessions, events)| {
        let short = events.min(EVENTS_OF_USER);
        let share = sessions as f64 * short as f64 / events.max(1) as f64;
        ((share.round() as usize).clamp(short.min(1), short), short)
    });
    Plan { size, ..plan }
}

/// The features of the items that a user chose, at the first events.
fn features_of(
    sequences: &Sequences,
    clock: Option<&Clock>,
    memory: &Memory,
    user: usize,
    mut recall: Recall,
) -> Vec<[f32; GATES]> {
    let range = sequences.of_user(user);
    let mut candidates = Candidates::default();
    let feature = |event: usize| {
        if sequences.begins_session(user, event) && event > range.start {
            recall.begin_session();
        }
        let item = sequences.item[event];
        recall.features(memory, &mut candidates);
        let season = clock.map_or(0, |c| c.moment(sequences.time[event]).season);
        let features = recall.features_of(item, &candidates, memory.season(season)[item as usize]);
        recall.push(item, memory, false);
        features
    };
    range.clone().take(EVENTS_OF_USER).map(feature).collect()
}

/// The features of one item, the season's last.
pub(crate) fn with_season(features: Option<&[f32; FEATURES]>, season: f32) -> [f32; GATES] {
    let mut all = [0f32; GATES];
    if let Some(features) = features {
        all[..FEATURES].copy_from_slice(features);
    }
    all[FEATURES] = season;
    all
}
