//! A GAN of histories.
//!
//! ```text
//! pairs of items ─► item vectors; users ─► plans, tastes                                   fit
//! histories ─► windows of events as vectors and numbers (`coding`) ─► generator against critic
//! plan, taste, noise ─► generator ─► vectors, scores, numbers ─► items, sessions, times     draw
//! ```
//!
//! A plan (how many sessions and events, which season, which attributes) comes from a GAN of rows, with its own critic
//! ([`crate::rows`]); the recurrent generator makes the events of a plan, cell by cell, in windows. How long a history is, is
//! the plan's to say: the generator's scores say which of so many events begin the sessions. The nearest items of a vector
//! are drawn by a softmax of distances and of what the history says (`items`), whose popularity is calibrated.
//!
//! The model holds weights, item vectors and companions from pairs that enough people share, and frequencies of classes: no
//! events.

mod coding;
mod game;
mod items;
mod networks;
mod profile;
#[cfg(test)]
mod tests;

use crate::log::Log;
use crate::noise::normals;
use crate::rows::Settings;
use crate::training::{Course, Fitting, Learned, train};
use coding::{Coding, Kind, PIECES, piece_of};
use game::{BATCH, HistoryGame, Noise, Told, WINDOW_NUMBERS, Window, windows_of};
use items::{Items, Mixture};
use networks::{Critic, Generator, Made, Sizes, USER_NOISE};
use profile::{ProfileForm, ProfileTable};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use twinmart_events::{Clock, Companions, NewEvent, Plan, Profiles, Sequences, Summary, Tastes};
use twinmart_nets::graph::Graph;
use twinmart_tables::{Result, Stream};

/// Numbers of an item's vector, at most.
const VECTOR: usize = 64;
/// Cells of a window, and events of a cell at most.
const CELLS: usize = 8;
const MOST_EVENTS_OF_CELL: usize = 8;
/// Share of the people held out.
const HELD_OUT: f64 = 0.1;
/// Items among which noise leaves a vector's own undecided, about.
const PERPLEXITY: f64 = 3.0;
/// Rounds of calibration, and users drawn in each at most.
const ROUNDS: u64 = 10;
const DRAWN: usize = 2_000;
/// The largest correction of an item in a round, a logarithm.
const LARGEST: f32 = 1.0;
/// Events of one history, at most.
const MOST_EVENTS: usize = 100_000;

/// A learned GAN of histories.
#[derive(Debug, Clone)]
pub struct HistoryGan {
    structure: Structure,
    generator: Generator,
    weights: Vec<f32>,
    items: Items,
}

/// All of a [`HistoryGan`] but its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    coding: Coding,
    form: ProfileForm,
    tastes: Tastes,
    groups: usize,
    /// Numbers of an item's vector, and events of a cell.
    vector: usize,
    events: usize,
    /// Standard deviation of the noise on vectors.
    blur: f32,
    /// What histories say of the next item.
    mixture: Mixture,
    log: Log,
    unfinished: bool,
}

impl Structure {
    fn sizes(&self) -> Sizes {
        Sizes {
            vector: self.vector,
            told: self.coding.width(),
            profile: self.form.width() + WINDOW_NUMBERS,
            cells: CELLS,
            events: self.events,
        }
    }

    fn is_sound(&self) -> bool {
        self.coding.is_sound()
            && self.form.is_sound()
            && self.groups > 0
            && self.tastes.is_sound(self.groups, self.form.tastes)
            && (1..=VECTOR).contains(&self.vector)
            && (1..=MOST_EVENTS_OF_CELL).contains(&self.events)
            && self.blur.is_finite()
            && self.blur > 0.0
            && self.mixture.is_sound()
    }
}

impl HistoryGan {
    /// Learns histories; `summary` and `profiles` say of each user what plans say of new ones. A tenth of the users is held
    /// out, to see how like them made windows are.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop; a data error where learning diverges or collapses.
    pub fn fit(
        sequences: &Sequences,
        items: usize,
        (summary, profiles): (&Summary, &Profiles),
        settings: Settings,
        fitting: &Fitting,
    ) -> Result<HistoryGan> {
        let clock = sequences.has_clock.then(|| Clock::of_sequences(sequences, fitting.draws));
        let seasons = clock.as_ref().map_or(1, Clock::seasons);
        let form = ProfileForm::of(summary, profiles, seasons);
        let vector = VECTOR.min(items.max(2) / 2).max(1);
        let vectors = summary.places(items, vector);
        let counts = popularity(sequences, items);
        let blur = blur_of(&vectors, vector, &counts);
        let items = Items::of(sequences, (vectors, vector), &counts, blur, fitting.draws);
        let structure = Structure {
            coding: Coding::of(sequences, clock),
            form,
            tastes: summary.tastes.clone(),
            groups: summary.groups,
            vector,
            events: events_of_cell(&summary.events),
            blur,
            mixture: items.mixture(sequences),
            log: Log::default(),
            unfinished: false,
        };
        let sizes = structure.sizes();
        let table = ProfileTable::of(&structure.form, summary, profiles);
        let (learned, held) = windows(sequences, sizes, fitting);
        let game = HistoryGame {
            sequences,
            coding: &structure.coding,
            profiles: &table,
            vectors: &items.vectors,
            blur,
            sizes,
            generator: Generator::new(sizes),
            critic: Critic::new(settings.body, sizes),
            settings,
            learned,
            held,
            floor: 0.0,
        };
        let game = game.prepared(&mut fitting.draws.family("gan.look", &fitting.table).row(0));
        let Settings { epochs, critic_steps, average, .. } = settings;
        let Learned { generator, log, unfinished } = train(&game, Course { epochs, critic_steps, average }, fitting)?;
        let network = game.generator.clone();
        let mut gan = HistoryGan {
            items,
            generator: network,
            weights: generator,
            structure: Structure { log, unfinished, ..structure },
        };
        gan.calibrate(&plans(summary, profiles), &counts, repeats(sequences), fitting)?;
        Ok(gan)
    }

    /// How learning went.
    pub fn log(&self) -> &Log {
        &self.structure.log
    }

    /// True where a deadline ended the learning.
    pub fn is_unfinished(&self) -> bool {
        self.structure.unfinished
    }

    /// How many values each attribute of the users has that is told.
    pub fn profile_sizes(&self) -> &[usize] {
        &self.structure.form.fields
    }

    /// How many items and kinds of actions there are.
    pub fn sizes(&self) -> (usize, usize) {
        (self.items.odds.len(), self.structure.coding.actions)
    }

    /// The model in parts for storage: what is not numbers, numbers, and places of items.
    pub fn parts(&self) -> (&Structure, Vec<f32>, Vec<u32>) {
        let Items { vectors, odds, popularity, companions } = &self.items;
        let (mut numbers, mut places) = ([&self.weights[..], vectors, odds, popularity].concat(), Vec::new());
        companions.iter().for_each(|companions| companions.store(&mut numbers, &mut places));
        (&self.structure, numbers, places)
    }

    /// Puts together what [`HistoryGan::parts`] took apart, for so many items; `None` where it does not fit together.
    pub fn from_parts(structure: Structure, items: usize, numbers: &[f32], places: &[u32]) -> Option<HistoryGan> {
        if !structure.is_sound() || items == 0 || numbers.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let generator = Generator::new(structure.sizes());
        let (weights, rest) = numbers.split_at_checked(generator.layout.total())?;
        let (vectors, rest) = rest.split_at_checked(items.checked_mul(structure.vector)?)?;
        let (odds, rest) = rest.split_at_checked(items)?;
        let (popularity, mut rest) = rest.split_at_checked(items)?;
        let mut places = places;
        let mut companions = || Companions::restore(&mut rest, &mut places, items);
        let companions = [companions()?, companions()?];
        let shares = popularity.iter().all(|share| *share > 0.0);
        let whole = (popularity.iter().map(|share| f64::from(*share)).sum::<f64>() - 1.0).abs() < 1e-2;
        let is_whole = rest.is_empty() && places.is_empty() && shares && whole;
        let [vectors, odds, popularity] = [vectors, odds, popularity].map(<[f32]>::to_vec);
        let items = Items { vectors, odds, popularity, companions };
        is_whole.then(|| HistoryGan { structure, generator, weights: weights.to_vec(), items })
    }

    /// Draws the history of each plan, with one stream for each.
    pub fn draw(&self, plans: &[Plan], streams: &mut [Stream]) -> Vec<Vec<NewEvent>> {
        let said = self.said(plans, streams);
        let users = plans.par_iter().zip(streams).zip(said);
        users.map(|((plan, stream), said)| self.history(plan, &said, stream)).collect()
    }

    /// What the generator says of each plan's events.
    fn said(&self, plans: &[Plan], streams: &mut [Stream]) -> Vec<Said> {
        let sizes = self.structure.sizes();
        let users: Vec<NewUser> = plans.iter().zip(streams).map(|(plan, stream)| self.new_user(plan, stream)).collect();
        let windows: Vec<Window> =
            users.iter().enumerate().flat_map(|(user, new)| windows_of(user, new.events, sizes.window())).collect();
        let made: Vec<Said> = windows.par_chunks(BATCH).map(|windows| self.of_windows(&users, windows)).collect();
        let mut said: Vec<Said> = users.iter().map(|_| Said::default()).collect();
        for (windows, made) in windows.chunks(BATCH).zip(&made) {
            for (at, window) in windows.iter().enumerate() {
                said[window.user].append(made, at * sizes.window(), window.length, sizes);
            }
        }
        said
    }

    fn new_user(&self, plan: &Plan, stream: &mut Stream) -> NewUser {
        let Structure { form, tastes, groups, .. } = &self.structure;
        let events = plan.size.map_or(1, |(_, events)| events).min(MOST_EVENTS);
        let taste = tastes.draw(plan.group.min(groups - 1), stream);
        let mut profile = Vec::with_capacity(form.width());
        form.write(plan, &taste, &mut profile);
        let noise = normals(USER_NOISE, stream);
        // Windows have streams of their own, so that they can be made together.
        NewUser { events, profile, noise, seed: stream.random() }
    }

    /// A batch of windows, always as many: a window's numbers do not depend on others.
    fn of_windows(&self, users: &[NewUser], windows: &[Window]) -> Said {
        let (sizes, blur) = (self.structure.sizes(), self.structure.blur);
        let filler = Window { user: windows[0].user, start: 0, length: 0, of: 1 };
        let batch: Vec<Window> = windows.iter().copied().chain(std::iter::repeat(filler)).take(BATCH).collect();
        let mut noise = Noise::none();
        for window in &batch {
            let user = &users[window.user];
            let family = twinmart_tables::Draws::new(user.seed).family("gan.window", "");
            noise.add(&user.noise, window.length, sizes, blur, &mut family.row(window.start as u64));
        }
        let told = Told::of(&batch, sizes, |window, out| out.extend(&users[window.user].profile));
        let mut graph = Graph::new();
        let weights = self.generator.layout.given(&mut graph, &self.weights);
        let prior = noise.prior(&mut graph, &told, sizes);
        let Made { events, begins } = self.generator.make(&mut graph, &weights, prior);
        Said { events: graph.value(events).to_vec(), begins: graph.value(begins).to_vec() }
    }

    /// Items, sessions and times of what was said of one user.
    fn history(&self, plan: &Plan, said: &Said, stream: &mut Stream) -> Vec<NewEvent> {
        let (sizes, coding) = (self.structure.sizes(), &self.structure.coding);
        let count = said.begins.len();
        let begins = said.sessions(sessions_of(plan, count));
        let Structure { blur, mixture, .. } = &self.structure;
        let items = self.items.draw((&said.events, &begins), sizes, (*blur, mixture), stream);
        let (mut time, mut session) = (None, 0);
        let mut events = Vec::with_capacity(count);
        for (at, numbers) in said.events.chunks_exact(sizes.event()).enumerate() {
            let numbers = &numbers[sizes.vector..];
            session += u32::from(begins[at] && at > 0);
            let moment = coding.moment(time, plan.season, begins[at], [numbers[1], numbers[2]], stream);
            time = Some(moment);
            let action = if coding.actions > 1 { crate::features::largest(&numbers[coding::TOLD..]) as u32 } else { 0 };
            events.push(NewEvent { item: items[at], time: moment, session, action });
        }
        events
    }

    /// Brings made numbers to the frequencies of real ones, and items to their popularity.
    fn calibrate(&mut self, plans: &[Plan], counts: &[f64], repeats: f64, fitting: &Fitting) -> Result<()> {
        let family = fitting.draws.family("gan.calibration", &fitting.table);
        let mut stream = family.row(u64::MAX);
        let plans: Vec<Plan> =
            crate::watch::some_of(plans.len(), DRAWN, &mut stream).into_iter().map(|at| plans[at].clone()).collect();
        let mut streams: Vec<Stream> = (0..plans.len() as u64).map(|user| family.row(user)).collect();
        let said = self.said(&plans, &mut streams);
        self.calibrate_times(&plans, &said);
        let title = format!("{}: calibration of items", fitting.table);
        let task = fitting.progress.start(&title, Some(ROUNDS), "rounds");
        let total: f64 = counts.iter().sum();
        let (sizes, blur) = (self.structure.sizes(), self.structure.blur);
        let begins: Vec<Vec<bool>> =
            plans.iter().zip(&said).map(|(plan, said)| said.sessions(sessions_of(plan, said.begins.len()))).collect();
        for _ in 0..ROUNDS {
            let mixture = &self.structure.mixture;
            let drawn: Vec<Vec<u32>> = said
                .par_iter()
                .zip(&begins)
                .zip(&streams)
                .map(|((said, begins), stream)| {
                    self.items.draw((&said.events, begins), sizes, (blur, mixture), &mut stream.clone())
                })
                .collect();
            let mut made = vec![0f64; counts.len()];
            drawn.iter().flatten().for_each(|item| made[*item as usize] += 1.0);
            let all: f64 = made.iter().sum::<f64>().max(1.0);
            for ((odds, made), count) in self.items.odds.iter_mut().zip(&made).zip(counts) {
                let expected = count / total * all;
                *odds += (((expected + 1.0) / (made + 1.0)).ln() as f32).clamp(-LARGEST, LARGEST);
            }
            let again = drawn.iter().zip(&begins).map(|(items, begins)| repeats_of(items, begins));
            let (again, later) = again.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
            let made = again as f64 / later.max(1) as f64;
            self.structure.mixture.again((((repeats + 1e-3) / (made + 1e-3)) as f32).clamp(0.5, 2.0));
            task.advance(1)?;
        }
        Ok(())
    }

    /// The distribution functions of made gaps and hours.
    fn calibrate_times(&mut self, plans: &[Plan], said: &[Said]) {
        let sizes = self.structure.sizes();
        let mut counts = vec![vec![0f64; PIECES]; 3];
        for (plan, said) in plans.iter().zip(said) {
            let count = said.begins.len();
            for (at, begins) in said.sessions(sessions_of(plan, count)).into_iter().enumerate() {
                let numbers = &said.events[at * sizes.event() + sizes.vector..][..coding::TOLD];
                let kind = if begins { Kind::Between } else { Kind::Within };
                if at > 0 {
                    counts[kind as usize][piece_of(numbers[1])] += 1.0;
                }
                if begins {
                    counts[Kind::Hour as usize][piece_of(numbers[2])] += 1.0;
                }
            }
        }
        for (scale, counts) in self.structure.coding.scales.iter_mut().zip(counts) {
            if counts.iter().sum::<f64>() > 0.0 {
                scale.made = crate::calibrate::running_shares(&counts);
            }
        }
    }
}

/// A user whose history is to be drawn.
struct NewUser {
    events: usize,
    profile: Vec<f32>,
    noise: Vec<f32>,
    seed: u64,
}

/// What a generator says of events that follow each other.
#[derive(Debug, Clone, Default)]
struct Said {
    /// `[events, event]`
    events: Vec<f32>,
    /// `[events]` scores of beginning a session.
    begins: Vec<f32>,
}

impl Said {
    /// Appends events `first..first + count` of others.
    fn append(&mut self, other: &Said, first: usize, count: usize, sizes: Sizes) {
        self.events.extend(&other.events[first * sizes.event()..(first + count) * sizes.event()]);
        self.begins.extend(&other.begins[first..first + count]);
    }

    /// Which events begin one of so many sessions: the first, and those with the largest scores.
    fn sessions(&self, sessions: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (1..self.begins.len()).collect();
        order.sort_by(|a, b| self.begins[*b].total_cmp(&self.begins[*a]).then(a.cmp(b)));
        let mut begins = vec![false; self.begins.len()];
        let others = order.into_iter().take(sessions.saturating_sub(1));
        others.chain((!self.begins.is_empty()).then_some(0)).for_each(|at| begins[at] = true);
        begins
    }
}

/// Sessions of a plan whose history has so many events.
fn sessions_of(plan: &Plan, events: usize) -> usize {
    plan.size.map_or(1, |(sessions, _)| sessions).clamp(events.min(1), events.max(1))
}

/// Of the events after the first session of a history: how many have an item of an earlier session, and how many there are.
fn repeats_of(items: &[u32], begins: &[bool]) -> (usize, usize) {
    let (mut earlier, mut again, mut later, mut seen) = (0, 0, 0, HashSet::<u32>::new());
    for (at, item) in items.iter().enumerate() {
        if begins[at] {
            seen.extend(&items[earlier..at]);
            earlier = at;
        }
        if earlier > 0 {
            later += 1;
            again += usize::from(seen.contains(item));
        }
    }
    (again, later)
}

/// Share of the events after first sessions whose item is one of an earlier session of its user.
fn repeats(sequences: &Sequences) -> f64 {
    let of_user = |user: usize| {
        let events = sequences.of_user(user);
        let begins: Vec<bool> = events.clone().map(|event| sequences.begins_session(user, event)).collect();
        repeats_of(&sequences.item[events], &begins)
    };
    let all = (0..sequences.users()).map(of_user).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    all.0 as f64 / all.1.max(1) as f64
}

/// `[items]` how often each is chosen; those that few people chose count alike, as their mean where it is one of enough people.
fn popularity(sequences: &Sequences, items: usize) -> Vec<f64> {
    /// People who must have chosen an item for its own frequency to count.
    const PEOPLE: usize = 10;
    let (mut counts, mut people, mut last) = (vec![0f64; items], vec![0usize; items], vec![usize::MAX; items]);
    for user in 0..sequences.users() {
        for event in sequences.of_user(user) {
            let item = sequences.item[event] as usize;
            counts[item] += 1.0;
            people[item] += usize::from(last[item] != user);
            last[item] = user;
        }
    }
    let rare: Vec<usize> = (0..items).filter(|item| people[*item] < PEOPLE).collect();
    let is_rare: Vec<bool> = people.iter().map(|people| *people < PEOPLE).collect();
    let has_rare = |user: &usize| sequences.of_user(*user).any(|event| is_rare[sequences.item[event] as usize]);
    let mean = match (0..sequences.users()).filter(has_rare).count() >= PEOPLE {
        true => rare.iter().map(|item| counts[*item]).sum::<f64>() / rare.len().max(1) as f64,
        false => 0.5,
    };
    rare.into_iter().for_each(|item| counts[item] = mean);
    counts.iter().map(|count| count.max(1e-3)).collect()
}

/// The noise that leaves about [`PERPLEXITY`] items for a vector, by how often items are chosen.
fn blur_of(vectors: &[f32], vector: usize, counts: &[f64]) -> f32 {
    let items = counts.len();
    // The most popular items stand for all.
    let mut order: Vec<usize> = (0..items).collect();
    order.sort_by(|a, b| counts[*b].total_cmp(&counts[*a]).then(a.cmp(b)));
    order.truncate(200);
    let place = |item: usize| &vectors[item * vector..][..vector];
    let distance = |a: usize, b: usize| place(a).iter().zip(place(b)).map(|(x, y)| (x - y).powi(2)).sum::<f32>();
    let distances: Vec<Vec<f32>> = order.par_iter().map(|a| (0..items).map(|b| distance(*a, b)).collect()).collect();
    // Two noisy vectors of one item differ by twice the variance: what is left of an item among others at a distance.
    let undecided = |blur: f32| {
        let of_item = |(item, distances): (&usize, &Vec<f32>)| {
            let odds = distances.iter().zip(counts).map(|(d, n)| n * f64::from(-d / (4.0 * blur * blur)).exp());
            (odds.sum::<f64>() / counts[*item]).ln()
        };
        let sum: f64 = order.iter().zip(&distances).map(of_item).sum();
        (sum / order.len().max(1) as f64).exp()
    };
    let (mut low, mut high) = (0.02f32, 1.0f32);
    for _ in 0..20 {
        let middle = (low + high) / 2.0;
        if undecided(middle) > PERPLEXITY { high = middle } else { low = middle }
    }
    low
}

/// Events of a cell: windows shall hold most histories, and not much more.
fn events_of_cell(events: &[u32]) -> usize {
    let mut sorted = events.to_vec();
    sorted.sort_unstable();
    let most = sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(1) as usize;
    most.div_ceil(CELLS).clamp(1, MOST_EVENTS_OF_CELL)
}

/// The plans of all users.
fn plans(summary: &Summary, profiles: &Profiles) -> Vec<Plan> {
    let plan = |user: usize| {
        let profile = profiles.fields.iter().map(|codes| Some(codes[user] as usize)).collect();
        Plan { profile, ..summary.plan(user) }
    };
    (0..summary.events.len()).map(plan).collect()
}

/// Windows that are learned, and some of users that are held out.
fn windows(sequences: &Sequences, sizes: Sizes, fitting: &Fitting) -> (Vec<Window>, Vec<Window>) {
    let family = fitting.draws.family("gan.held_out", &fitting.table);
    let of_user = |user: usize| windows_of(user, sequences.of_user(user).len(), sizes.window());
    let is_held = |user: usize| family.row(user as u64).random::<f64>() < HELD_OUT;
    let (held, learned): (Vec<usize>, Vec<usize>) = (0..sequences.users()).partition(|user| is_held(*user));
    let all = |users: &[usize]| users.iter().flat_map(|user| of_user(*user)).collect::<Vec<_>>();
    let (learned, held) = (all(&learned), all(&held));
    match (learned.is_empty(), held.len() < 10) {
        (true, _) => (held.clone(), held),
        (false, true) => (learned.clone(), learned),
        (false, false) => (learned, held),
    }
}
