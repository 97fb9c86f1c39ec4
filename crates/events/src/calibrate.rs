//! Calibration: after learning, a model's own histories are held against those of real users, and what they differ in is
//! corrected.
//!
//! A network that is right about every next event of real histories drifts when it goes on from its own events: every weak
//! choice makes the next one weaker, and where hundreds of events bring much to mind, more than should comes of it. Drawn
//! histories of real users' plans are therefore asked how much, on average, was said for the items they chose, feature by
//! feature and by the network alone (q · v), class of events by class ([`Corrections`]), and how often each item was chosen:
//!
//! δ ← δ + C⁻¹ (mean of real choices − mean of drawn choices), β_i ← β_i + share · ln(real_i / drawn_i)
//!
//! with C the covariance of what speaks for real choices: steps towards the maximum likelihood of a log-linear model whose
//! expectations come from samples (Della Pietra, Della Pietra & Lafferty, "Inducing features of random fields", 1997). δ is
//! added to the weights of features and to the sharpness of the network, β to the weights of items; all are averages over
//! thousands of events of many users: a class of few goes the way of all. What the network is to say for an item is what it
//! says for those of held-out users: for the people it learned from it says more, and drawn users would be too much like these.
//! A part of that is what the taste says, (taste · weights) · v: drawn users are to be as much of their taste as real ones.

use crate::corrections::{CLASSES, Corrections, MOMENTS, NETWORK, SCALES, TASTE, class, scale};
use crate::draw::Plan;
use crate::items::Items;
use crate::layout::Layout;
use crate::learn::windows_of_user;
use crate::model::EventModel;
use crate::pass::{Chosen, People, Window, choices};
use crate::recall::Memory;
use crate::sequences::Sequences;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use twinmart_nets::decoder::Decoder;
use twinmart_tables::{Checkpoint, Draws, Progress, Result, Stream, Writing};

/// Rounds of drawing and correcting.
const ROUNDS: u64 = 12;
/// Events of one round, at most, and of one user.
const EVENTS: usize = 60_000;
const EVENTS_OF_USER: usize = 500;
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
/// Share of itself that is added to each variance, and what is besides.
const RIDGE: f64 = 0.01;
const LEAST_VARIANCE: f64 = 0.001;
/// Users who must have made choices of a class for these to decide of it.
const FEWEST: usize = 20;
/// Choices of all that each class's step starts from, and those of how much better the network knows those it learned from.
const DOUBT: f64 = 1_000.0;
const KNOWING_DOUBT: f64 = 2_000.0;

/// What speaks for chosen items: how many choices, the sums, and those of the products.
#[derive(Debug, Clone)]
struct Moments {
    choices: f64,
    sums: [f64; MOMENTS],
    products: Vec<f64>,
}

impl Moments {
    fn none() -> Moments {
        Moments { choices: 0.0, sums: [0.0; MOMENTS], products: vec![0.0; MOMENTS * MOMENTS] }
    }

    fn add(&mut self, features: &Chosen) {
        self.choices += 1.0;
        for (a, row) in self.products.chunks_exact_mut(MOMENTS).enumerate() {
            self.sums[a] += f64::from(features[a]);
            row.iter_mut().zip(features).for_each(|(p, b)| *p += f64::from(features[a]) * f64::from(*b));
        }
    }

    fn mean(&self, feature: usize) -> f64 {
        self.sums[feature] / self.choices.max(1.0)
    }

    fn covariance(&self, a: usize, b: usize) -> f64 {
        self.products[a * MOMENTS + b] / self.choices.max(1.0) - self.mean(a) * self.mean(b)
    }

    /// How far the means of drawn choices are from what they are to be: these here or, of what the network knows people by, those
    /// of people it did not learn from.
    fn away(&self, drawn: &Moments, unseen: Option<Unseen>) -> [f64; MOMENTS] {
        std::array::from_fn(|moment| match moment {
            NETWORK | TASTE => unseen.map_or(0.0, |unseen| unseen[moment - NETWORK] - drawn.mean(moment)),
            _ => self.mean(moment) - drawn.mean(moment),
        })
    }
}

/// C⁻¹ · away, C the covariance with a ridge.
fn step(covariance: impl Fn(usize, usize) -> f64, away: &[f64; MOMENTS]) -> Vec<f64> {
    let covariance = Mat::from_fn(MOMENTS, MOMENTS, |a, b| match covariance(a, b) {
        variance if a == b => variance * (1.0 + RIDGE) + LEAST_VARIANCE,
        covariance => covariance,
    });
    match covariance.llt(Side::Lower) {
        Ok(root) => root.solve(&Mat::from_fn(MOMENTS, 1, |a, _| away[a])).col(0).iter().copied().collect(),
        Err(_) => vec![0.0; MOMENTS],
    }
}

/// Means of what the network alone and the taste say for choices.
type Unseen = [f64; 2];

/// What speaks for the choices of some users, of all together and class by class.
struct Choices {
    all: Moments,
    of_classes: Vec<Moments>,
    /// `[CLASSES]` how many users have made any.
    users: [usize; CLASSES],
}

impl Choices {
    /// Of users with as many events as each is asked for, and their choices in order.
    fn of<'a>(users: impl Iterator<Item = (usize, &'a [Chosen])>) -> Choices {
        let mut choices =
            Choices { all: Moments::none(), of_classes: vec![Moments::none(); CLASSES], users: [0; CLASSES] };
        for (planned, chosen) in users {
            let mut last = None;
            for (before, features) in chosen.iter().enumerate() {
                let class = class(Some(planned), before);
                choices.all.add(features);
                choices.of_classes[class].add(features);
                choices.users[class] += usize::from(last.replace(class) != Some(class));
            }
        }
        choices
    }

    /// What the network alone, and the taste, are to say for a choice of each class, and of all: what they say for those of
    /// `others`, whom the network did not learn from. A class starts from what the difference is in all.
    fn unseen(&self, others: &Choices) -> Option<(Vec<Unseen>, Unseen)> {
        let classes = || self.of_classes.iter().zip(&others.of_classes);
        let seen = |(own, others): (&Moments, &Moments)| own.choices.min(others.choices);
        let more = |(own, others): (&Moments, &Moments), moment: usize| own.mean(moment) - others.mean(moment);
        let sum: f64 = classes().map(seen).sum();
        // Class by class, for the two sets have not the same shares of long histories.
        let of_all = [NETWORK, TASTE]
            .map(|moment| classes().map(|both| seen(both) * more(both, moment)).sum::<f64>() / sum.max(1.0));
        let of_class = |both: (&Moments, &Moments)| {
            [NETWORK, TASTE].map(|moment| {
                let of_all = of_all[moment - NETWORK] * KNOWING_DOUBT;
                both.0.mean(moment) - (more(both, moment) * seen(both) + of_all) / (seen(both) + KNOWING_DOUBT)
            })
        };
        let unseen = [NETWORK, TASTE].map(|moment| self.all.mean(moment) - of_all[moment - NETWORK]);
        (sum > 0.0).then(|| (classes().map(of_class).collect(), unseen))
    }

    /// The step of each class, `[CLASSES][MOMENTS]`: by its own choices as far as there are enough, else by all.
    fn steps_from(&self, drawn: &Choices, unseen: Option<&(Vec<Unseen>, Unseen)>) -> Vec<Vec<f64>> {
        let of_all = self.all.away(&drawn.all, unseen.map(|(_, of_all)| *of_all));
        let of_class = |number: usize| {
            let (real, drawn) = (&self.of_classes[number], &drawn.of_classes[number]);
            // Nobody's own choices decide of a class.
            let seen = if self.users[number] < FEWEST { 0.0 } else { real.choices.min(drawn.choices) };
            let share = seen / (seen + DOUBT);
            let mix = |own: f64, of_all: f64| share * own + (1.0 - share) * of_all;
            let own = real.away(drawn, unseen.map(|(of_classes, _)| of_classes[number]));
            let away = std::array::from_fn(|moment| mix(own[moment], of_all[moment]));
            step(|a, b| mix(real.covariance(a, b), self.all.covariance(a, b)), &away)
        };
        (0..CLASSES).map(of_class).collect()
    }
}

/// Users whose histories are drawn again and again, those of the same order of size together, and what their events count as:
/// more of the rare sizes are asked than there are.
struct Asked {
    users: Vec<usize>,
    /// `[SCALES]`
    weights: Vec<f64>,
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
    let asked = asked_users(people.sequences, |user| folds[user] != held, draws);
    if asked.users.is_empty() {
        return Ok(());
    }
    let memory = |user: usize| &memories[folds[user]];
    let real = real_choices(model, people, &memory, &asked.users);
    // The network knows those it learned from too well: it says more for their items than for those of others.
    let others = asked_users(people.sequences, |user| folds[user] == held, draws);
    let unseen = real.unseen(&real_choices(model, people, &memory, &others.users));
    let mut popularity = vec![0f64; model.sizes.items];
    people.sequences.item.iter().for_each(|item| popularity[*item as usize] += 1.0);
    let plans: Vec<Plan> = asked.users.iter().map(|user| shortened(plans(*user))).collect();
    let mut drawn_items = vec![0f64; model.sizes.items];
    let begun = resume(model, &layout, &mut drawn_items, checkpoint).unwrap_or(0);
    let task = progress.start("calibrating", Some(ROUNDS), "rounds");
    task.advance(begun)?;
    for round in begun..ROUNDS {
        let family = draws.family("events.calibration", &round.to_string());
        let mut streams: Vec<Stream> = asked.users.iter().map(|user| family.row(*user as u64)).collect();
        let drawn = model.draw_observed(&plans, &mut streams);
        let planned = plans.iter().map(|plan| plan.size.map_or(0, |(_, events)| events));
        let choices = drawn.iter().map(|(_, choices)| &choices[..]);
        let steps = real.steps_from(&Choices::of(planned.zip(choices)), unseen.as_ref());
        steps.iter().enumerate().for_each(|(class, step)| correct_choices(&mut model.corrections, class, step));
        drawn_items.iter_mut().for_each(|n| *n *= EARLIER);
        for (user, (events, _)) in asked.users.iter().zip(&drawn) {
            let weight = asked.weights[scale(people.sequences.of_user(*user).len())];
            events.iter().for_each(|e| drawn_items[e.item as usize] += weight);
        }
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
) -> Choices {
    let layout = Layout::new(&model.sizes);
    let decoder = Decoder::new(model.sizes.decoder);
    let items = Items::new(&layout, &model.catalogue, model.clusters.as_ref(), &model.weights);
    let network = model.network(&layout, &decoder, &items);
    let of_user = |user: &usize| {
        let windows: Vec<Window> = windows_of_user(people.sequences, *user, EVENTS_OF_USER).collect();
        choices(&network, people, &|user| memory(user), &windows)
    };
    let chosen: Vec<Vec<Chosen>> = users.par_iter().map(of_user).collect();
    let planned = users.iter().map(|user| people.sequences.of_user(*user).len().min(EVENTS_OF_USER));
    Choices::of(planned.zip(chosen.iter().map(|chosen| &chosen[..])))
}

/// Takes a step: δ for the features, and how sharp the network is.
fn correct_choices(corrections: &mut Corrections, class: usize, step: &[f64]) {
    let taken = step.iter().enumerate().map(|(number, step)| match number {
        NETWORK => (SHARPER * step).clamp(-MOST_SHARPER, MOST_SHARPER) as f32,
        _ => (STEP * step).clamp(-1.0, 1.0) as f32,
    });
    corrections.step(class, &taken.collect::<Vec<_>>());
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
    out.numbers(model.corrections.numbers())?;
    out.numbers(&model.weights[layout.bias.clone()])?;
    out.numbers(&model.weights[layout.cluster_bias.clone()])?;
    drawn.iter().try_for_each(|number| out.whole(number.to_bits()))
}

/// Takes what the rounds of an interrupted run changed; how many they were, `None` where there was no such run.
fn resume(model: &mut EventModel, layout: &Layout, drawn: &mut [f64], checkpoint: &mut Checkpoint) -> Option<u64> {
    let biases = [&layout.bias, &layout.cluster_bias];
    let (rounds, corrections, changed, counts) = checkpoint.resume(|input| {
        let rounds = input.whole().filter(|rounds| *rounds <= ROUNDS)?;
        let corrections = Corrections::restore(input.numbers(CLASSES * MOMENTS)?)?;
        let changed: Vec<_> = biases.iter().map(|place| input.numbers(place.len())).collect::<Option<_>>()?;
        let number = |_: &f64| input.whole().map(f64::from_bits).filter(|number| *number >= 0.0 && number.is_finite());
        Some((rounds, corrections, changed, drawn.iter().map(number).collect::<Option<Vec<f64>>>()?))
    })?;
    for (place, changed) in biases.into_iter().zip(&changed) {
        model.weights[place.clone()].copy_from_slice(changed);
    }
    model.corrections = corrections;
    drawn.copy_from_slice(&counts);
    checkpoint.tell(&format!("calibrating goes on after round {rounds} of {ROUNDS}"));
    Some(rounds)
}

/// Users of about [`EVENTS`] events in random order, those who are wanted: as many events of each step of the scale, while
/// there are such, then of any.
fn asked_users(sequences: &Sequences, is_wanted: impl Fn(usize) -> bool, draws: Draws) -> Asked {
    let mut users: Vec<usize> =
        (0..sequences.users()).filter(|u| is_wanted(*u) && !sequences.of_user(*u).is_empty()).collect();
    users.shuffle(&mut draws.stream("events.calibrated"));
    let events = |user: usize| sequences.of_user(user).len().min(EVENTS_OF_USER);
    let scale = |user: usize| scale(sequences.of_user(user).len());
    let mut all = [0f64; SCALES];
    users.iter().for_each(|user| all[scale(*user)] += events(*user) as f64);
    let mut taken = vec![0usize; SCALES];
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for user in users {
        let is_open = taken[scale(user)] < EVENTS / SCALES;
        taken[scale(user)] += if is_open { events(user) } else { 0 };
        if is_open { chosen.push(user) } else { others.push(user) }
    }
    for user in others {
        if taken.iter().sum::<usize>() < EVENTS {
            taken[scale(user)] += events(user);
            chosen.push(user);
        }
    }
    let (sum, sum_taken) = (all.iter().sum::<f64>(), taken.iter().sum::<usize>() as f64);
    let weight = |(all, taken): (&f64, &usize)| all / sum.max(1.0) * sum_taken / (*taken).max(1) as f64;
    Asked { weights: all.iter().zip(&taken).map(weight).collect(), users: chosen }
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    /// Users with as many events as each is told to have.
    fn users(lengths: impl Iterator<Item = usize>) -> Sequences {
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for length in lengths {
            sequences.item.extend(std::iter::repeat_n(0, length));
            sequences.offsets.push(sequences.item.len());
        }
        sequences
    }

    #[test]
    fn rare_lengths_are_asked_more_and_count_less() {
        // 30,000 users of three events, and 200 of a thousand.
        let sequences = users((0..30_200).map(|user| if user % 151 == 0 { 1_000 } else { 3 }));
        let asked = asked_users(&sequences, |user| user != 0, Draws::new(1));
        assert!(!asked.users.contains(&0));
        let long = asked.users.iter().filter(|user| sequences.of_user(**user).len() == 1_000).count();
        let short = asked.users.len() - long;
        assert!(long * EVENTS_OF_USER >= EVENTS / SCALES && short * 3 >= EVENTS / SCALES, "{long} {short}");
        assert!(long * EVENTS_OF_USER + short * 3 <= EVENTS + EVENTS_OF_USER);
        // What the asked events count as has the shares of all events.
        let share = asked.weights[0] * (short * 3) as f64 / (asked.weights[4] * (long * EVENTS_OF_USER) as f64);
        assert!((share / (90_000.0 / 99_500.0) - 1.0).abs() < 1e-3, "{share}");
    }

    #[test]
    fn classes_of_few_choices_go_the_way_of_all() {
        let mut stream: Stream = Draws::new(2).stream("choices");
        // Features of a mean, of users of three events, and some of a hundred, of another mean.
        let mut choices = |few: f32, many: f32| {
            let mut of_users = |users: usize, events: usize, mean: f32| -> Vec<(usize, Vec<Chosen>)> {
                let mut of_user = || {
                    let mut chosen = || std::array::from_fn(|_| mean + stream.random_range(-1.0..1.0));
                    (events, (0..events).map(|_| chosen()).collect())
                };
                (0..users).map(|_| of_user()).collect()
            };
            let mut all = of_users(4_000, 3, many);
            all.extend(of_users(1, 100, few));
            Choices::of(all.iter().map(|(planned, chosen)| (*planned, &chosen[..])))
        };
        let (real, drawn) = (choices(1.0, 1.0), choices(-1.0, 0.5));
        let steps = real.steps_from(&drawn, Some(&(vec![[1.0; 2]; CLASSES], [1.0; 2])));
        let (many, few) = (&steps[class(Some(3), 1)], &steps[class(Some(100), 80)]);
        // Variance 1/3, so half a unit is a step of 1.5.
        assert!(many.iter().all(|step| (step - 1.5).abs() < 0.2), "{many:?}");
        assert!(few.iter().all(|step| (step - 1.65).abs() < 0.3), "{few:?}");
        let empty = &steps[class(Some(20), 5)];
        assert!(empty.iter().zip(many).all(|(a, b)| (a - b).abs() < 0.1));
    }
}
