//! Calibration: after learning, a model's own histories are held against those of real users, and what they differ in is
//! corrected.
//!
//! A network that is right about every next event of real histories drifts when it goes on from its own events: every weak
//! choice makes the next one weaker. Drawn histories of real users' plans are therefore asked how much, on average, was said
//! for the items they chose, feature by feature and by the network alone (q · v), and how often each item was chosen:
//!
//! δ ← δ + C⁻¹ (mean of real choices − mean of drawn choices), β_i ← β_i + share · ln(real_i / drawn_i)
//!
//! with C the covariance of what speaks for real choices: steps towards the maximum likelihood of a log-linear model whose
//! expectations come from samples (Della Pietra, Della Pietra & Lafferty, "Inducing features of random fields", 1997). δ is
//! added to the weights of features and to the sharpness of the network, β to the weights of items; all are averages over
//! thousands of events of many users. What the network is to say for an item is what it says for those of held-out users:
//! for the people it learned from it says more, and drawn users would be too much like these.

use crate::draw::Plan;
use crate::items::Items;
use crate::layout::{GATES, Layout};
use crate::learn::windows_of_user;
use crate::model::{EventModel, SHARPNESS};
use crate::pass::{Chosen, People, Window, choices};
use crate::recall::Memory;
use crate::sequences::Sequences;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use twinmart_nets::decoder::Decoder;
use twinmart_tables::{Checkpoint, Draws, Progress, Result, Stream, Writing};

/// Numbers of a choice.
const MOMENTS: usize = GATES + 1;
/// Rounds of drawing and correcting.
const ROUNDS: u64 = 12;
/// Events of one round, at most, and of one user.
const EVENTS: usize = 50_000;
const EVENTS_OF_USER: usize = 300;
/// Share of a step that is taken, and of the step of how sharp the network is, which by half steps had not come to rest after
/// eight rounds.
const STEP: f64 = 0.5;
const SHARPER: f64 = 1.0;
/// How much sharper the network becomes in one round, at most.
const MOST_SHARPER: f64 = 0.2;
/// Share of the step of the items' weights, and events that are added to each item's.
const ITEM_STEP: f64 = 0.4;
const ITEM_DOUBT: f64 = 20.0;
/// What stays of the counts of earlier rounds.
const EARLIER: f64 = 0.6;
/// Added to the diagonal of the covariance.
const RIDGE: f64 = 0.02;

/// What speaks for chosen items: how many choices, the sums, and those of the products.
#[derive(Debug, Clone)]
struct Moments {
    choices: f64,
    sums: [f64; MOMENTS],
    products: Vec<f64>,
}

impl Moments {
    fn of<'a>(choices: impl Iterator<Item = &'a Chosen>) -> Moments {
        let mut moments = Moments { choices: 0.0, sums: [0.0; MOMENTS], products: vec![0.0; MOMENTS * MOMENTS] };
        for features in choices {
            moments.choices += 1.0;
            for (a, row) in moments.products.chunks_exact_mut(MOMENTS).enumerate() {
                moments.sums[a] += f64::from(features[a]);
                row.iter_mut().zip(features).for_each(|(p, b)| *p += f64::from(features[a]) * f64::from(*b));
            }
        }
        moments
    }

    fn mean(&self, feature: usize) -> f64 {
        self.sums[feature] / self.choices.max(1.0)
    }

    /// C⁻¹ (mean − other's mean), C the covariance with a ridge; `unseen` is the mean of q · v of people who were not learned from.
    fn step_from(&self, other: &Moments, unseen: Option<f64>) -> Vec<f64> {
        let covariance = Mat::from_fn(MOMENTS, MOMENTS, |a, b| {
            let product = self.products[a * MOMENTS + b] / self.choices.max(1.0);
            product - self.mean(a) * self.mean(b) + if a == b { RIDGE } else { 0.0 }
        });
        let away = Mat::from_fn(MOMENTS, 1, |a, _| match a {
            GATES => unseen.map_or(0.0, |unseen| unseen - other.mean(GATES)),
            _ => self.mean(a) - other.mean(a),
        });
        match covariance.llt(Side::Lower) {
            Ok(root) => root.solve(&away).col(0).iter().copied().collect(),
            Err(_) => vec![0.0; MOMENTS],
        }
    }
}

/// Corrects a model by some of the people it was learned from; `plans` has each user's plan, `memories` what others than the
/// users of each fold say.
pub(crate) fn calibrate(
    model: &mut EventModel,
    people: &People,
    plans: &dyn Fn(usize) -> Plan,
    (folds, memories): (&[usize], &[Memory]),
    (draws, progress): (Draws, &Progress),
    checkpoint: &mut Checkpoint,
) -> Result<()> {
    let layout = Layout::new(&model.sizes);
    let held = memories.len() - 1;
    let users = chosen_users(people.sequences, |user| folds[user] != held, draws);
    if users.is_empty() {
        return Ok(());
    }
    let memory = |user: usize| &memories[folds[user]];
    let real = real_choices(model, people, &memory, &users);
    // The network knows those it learned from too well: it says more for their items than for those of others.
    let others = chosen_users(people.sequences, |user| folds[user] == held, draws);
    let unseen = (!others.is_empty()).then(|| real_choices(model, people, &memory, &others).mean(GATES));
    let mut popularity = vec![0f64; model.sizes.items];
    people.sequences.item.iter().for_each(|item| popularity[*item as usize] += 1.0);
    let plans: Vec<Plan> = users.iter().map(|user| shortened(plans(*user))).collect();
    let mut drawn_items = vec![0f64; model.sizes.items];
    let begun = resume(model, &layout, &mut drawn_items, checkpoint).unwrap_or(0);
    let task = progress.start("calibrating", Some(ROUNDS), "rounds");
    task.advance(begun)?;
    for round in begun..ROUNDS {
        let family = draws.family("events.calibration", &round.to_string());
        let mut streams: Vec<Stream> = users.iter().map(|user| family.row(*user as u64)).collect();
        let drawn = model.draw_observed(&plans, &mut streams);
        let found = Moments::of(drawn.iter().flat_map(|(_, choices)| choices));
        correct_choices(model, &layout, &real.step_from(&found, unseen));
        drawn_items.iter_mut().for_each(|n| *n *= EARLIER);
        drawn.iter().flat_map(|(events, _)| events).for_each(|e| drawn_items[e.item as usize] += 1.0);
        correct_items(model, &layout, &popularity, &drawn_items);
        let moved = task.advance(1);
        if moved.is_err() || checkpoint.is_due() {
            checkpoint.write(|out| write(model, &layout, &drawn_items, round + 1, out));
        }
        moved?;
    }
    Ok(())
}

/// What speaks for the items that users chose at their first events.
fn real_choices<'m>(
    model: &EventModel,
    people: &People,
    memory: &(dyn Fn(usize) -> &'m Memory + Sync),
    users: &[usize],
) -> Moments {
    let layout = Layout::new(&model.sizes);
    let decoder = Decoder::new(model.sizes.decoder);
    let items = Items::new(&layout, &model.catalogue, model.clusters.as_ref(), &model.weights);
    let network = model.network(&layout, &decoder, &items);
    let of_user = |user: &usize| {
        let windows: Vec<Window> = windows_of_user(people.sequences, *user, EVENTS_OF_USER).collect();
        choices(&network, people, &|user| memory(user), &windows)
    };
    let chosen: Vec<Vec<Chosen>> = users.par_iter().map(of_user).collect();
    Moments::of(chosen.iter().flatten())
}

/// Takes a step: δ for the features, and how sharp the network is.
fn correct_choices(model: &mut EventModel, layout: &Layout, step: &[f64]) {
    let (features, network) = step.split_at(GATES);
    for (bias, step) in model.weights[layout.gates.bias.clone()].iter_mut().zip(features) {
        *bias += (STEP * step).clamp(-1.0, 1.0) as f32;
    }
    let sharper = (SHARPER * network[0]).clamp(-MOST_SHARPER, MOST_SHARPER) as f32;
    model.sharpness = (model.sharpness + sharper).clamp(*SHARPNESS.start(), *SHARPNESS.end());
}

/// Takes a step: β for items and clusters.
fn correct_items(model: &mut EventModel, layout: &Layout, popularity: &[f64], drawn: &[f64]) {
    let scale = drawn.iter().sum::<f64>() / popularity.iter().sum::<f64>();
    correct(&mut model.weights[layout.bias.clone()], popularity, drawn, scale);
    if let Some(clusters) = &model.clusters {
        let bias = &mut model.weights[layout.cluster_bias.clone()];
        correct(bias, &clusters.sums(popularity), &clusters.sums(drawn), scale);
    }
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
    out.numbers(&[model.sharpness])?;
    out.numbers(&model.weights[layout.gates.bias.clone()])?;
    out.numbers(&model.weights[layout.bias.clone()])?;
    out.numbers(&model.weights[layout.cluster_bias.clone()])?;
    drawn.iter().try_for_each(|number| out.whole(number.to_bits()))
}

/// Takes what the rounds of an interrupted run changed; how many they were, `None` where there was no such run.
fn resume(model: &mut EventModel, layout: &Layout, drawn: &mut [f64], checkpoint: &mut Checkpoint) -> Option<u64> {
    let biases = [&layout.gates.bias, &layout.bias, &layout.cluster_bias];
    let (rounds, sharpness, changed, counts) = checkpoint.resume(|input| {
        let rounds = input.whole().filter(|rounds| *rounds <= ROUNDS)?;
        let sharpness = input.numbers(1)?[0];
        let changed: Vec<_> = biases.iter().map(|place| input.numbers(place.len())).collect::<Option<_>>()?;
        let number = |_: &f64| input.whole().map(f64::from_bits).filter(|number| *number >= 0.0 && number.is_finite());
        Some((rounds, sharpness, changed, drawn.iter().map(number).collect::<Option<Vec<f64>>>()?))
    })?;
    for (place, changed) in biases.into_iter().zip(&changed) {
        model.weights[place.clone()].copy_from_slice(changed);
    }
    model.sharpness = sharpness;
    drawn.copy_from_slice(&counts);
    checkpoint.tell(&format!("calibrating goes on after round {rounds} of {ROUNDS}"));
    Some(rounds)
}

/// Users of about [`EVENTS`] events in random order, those who are wanted.
fn chosen_users(sequences: &Sequences, is_wanted: impl Fn(usize) -> bool, draws: Draws) -> Vec<usize> {
    let mut users: Vec<usize> =
        (0..sequences.users()).filter(|u| is_wanted(*u) && !sequences.of_user(*u).is_empty()).collect();
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
