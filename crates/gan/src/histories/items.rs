//! Which item a vector stands for.
//!
//! ```text
//! P(i | y, history) ∝ Σ_c w_c · D_c(i) · e^(odds_i) · exp(-|y - v_i|² / 2σ²)
//! ```
//!
//! A made vector y is the vector of an item with noise of variance σ² (see [`super::coding`]), so what it says of an item is
//! the density of that noise; what history says of it is a mixture of four distributions: how popular items are, what goes
//! with those of the session, what goes with those of the whole history (companions, of as many people as a value needs), and
//! the items of earlier sessions themselves. The weights are those by which the real histories are likeliest (Dempster,
//! Laird & Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977); `odds` bring drawn items to their
//! popularity.

use super::networks::Sizes;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinmart_events::{Companions, Sequences};
use twinmart_nets::exponential::exponential;
use twinmart_nets::matrix::{multiply, rows, rows_mut};
use twinmart_tables::{Draws, Stream};

/// Distributions that are mixed: popularity, companions of the session, companions of the history, items of earlier sessions.
const KINDS: usize = 4;
/// Positions of popularity, of companions of the session, and of the items of earlier sessions.
const POPULAR: usize = 0;
const SESSION: usize = 1;
const AGAIN: usize = 3;
/// Weight of popularity, at least, about.
const LEAST: f32 = 1e-3;
/// What stays of an item's companions from event to event, of the session and of the history.
const FADES: [f32; 2] = [0.8, 0.97];
/// Companions of an item, at most.
const MOST_COMPANIONS: usize = 128;
/// What is left of an event's companions below this is forgotten.
const FAINT: f32 = 1e-5;
/// Rounds of estimation, and users that say, at most.
const ROUNDS: usize = 30;
const ASKED: usize = 2_000;
/// People of whom there must be something in a state for its weights to be told.
const PEOPLE: usize = 10;

/// The weights of a mixture, by what there is of a history: `[begins a session, goes on in the first, goes on in a later one]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Mixture([[f32; KINDS]; 3]);

impl Mixture {
    /// Popularity alone.
    const POPULAR: Mixture = Mixture([[1.0, 0.0, 0.0, 0.0]; 3]);

    pub(super) fn is_sound(&self) -> bool {
        let whole = |weights: &[f32; KINDS]| (weights.iter().sum::<f32>() - 1.0).abs() < 1e-3;
        self.0.iter().flatten().all(|weight| (0.0..=1.0).contains(weight))
            && self.0.iter().all(|weights| weights[POPULAR] > 0.0 && whole(weights))
    }

    /// Gives the items of earlier sessions so many times their weight, as far as that goes.
    pub(super) fn again(&mut self, times: f32) {
        for weights in &mut self.0 {
            let all = weights.iter().sum::<f32>();
            let own = (weights[AGAIN] * times).min(0.99 * all);
            let others = (all - own) / (all - weights[AGAIN]).max(1e-6);
            weights.iter_mut().for_each(|weight| *weight *= others);
            weights[AGAIN] = own;
        }
    }
}

/// The state that an event is in, and what each distribution says of its item.
type Seen = (usize, [f32; KINDS]);

/// Items as vectors, and what goes with what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Items {
    /// `[items, vector]`
    pub(super) vectors: Vec<f32>,
    /// `[items]` logarithms of corrections, half the squared length of the vector over the noise's variance taken away.
    pub(super) odds: Vec<f32>,
    /// `[items]` shares of all events.
    pub(super) popularity: Vec<f32>,
    /// Of the same session, of the same person.
    pub(super) companions: [Companions; 2],
}

impl Items {
    /// `counts` says how often each item is chosen.
    pub(super) fn of(
        sequences: &Sequences,
        (vectors, vector): (Vec<f32>, usize),
        counts: &[f64],
        blur: f32,
        draws: Draws,
    ) -> Items {
        let half = |place: &[f32]| -place.iter().map(|x| x * x).sum::<f32>() / (2.0 * blur * blur);
        let total: f64 = counts.iter().sum();
        let companions = [Companions::of_sessions, Companions::of_histories]
            .map(|of| of(sequences, counts.len(), draws).strongest(MOST_COMPANIONS));
        Items {
            odds: vectors.chunks_exact(vector).map(half).collect(),
            popularity: counts.iter().map(|count| (count / total) as f32).collect(),
            vectors,
            companions,
        }
    }

    /// The weights by which real histories are likeliest.
    pub(super) fn mixture(&self, sequences: &Sequences) -> Mixture {
        let every = sequences.users().div_ceil(ASKED).max(1);
        let users: Vec<usize> = (0..sequences.users()).step_by(every).collect();
        let densities: Vec<Vec<Seen>> = users
            .par_iter()
            .map(|user| {
                let (mut recall, mut densities) = (Recall::default(), Vec::new());
                for event in sequences.of_user(*user) {
                    let item = sequences.item[event];
                    recall.next(sequences.begins_session(*user, event));
                    densities.push((recall.state(), recall.densities(self, item)));
                    recall.push(self, item);
                }
                densities
            })
            .collect();
        let mut mixture = [[1.0 / KINDS as f64; KINDS]; 3];
        for _ in 0..ROUNDS {
            let mut sums = [[1e-6f64; KINDS]; 3];
            for (state, densities) in densities.iter().flatten() {
                let parts: [f64; KINDS] = std::array::from_fn(|c| mixture[*state][c] * f64::from(densities[c]));
                let all: f64 = parts.iter().sum();
                (0..KINDS).filter(|_| all > 0.0).for_each(|c| sums[*state][c] += parts[c] / all);
            }
            mixture = sums.map(|sums| sums.map(|sum| sum / sums.iter().sum::<f64>()));
        }
        let of_people = |state: usize, is_of: &dyn Fn(&Seen) -> bool| {
            densities.iter().filter(|of| of.iter().any(|d| d.0 == state && is_of(d))).count() >= PEOPLE
        };
        // Where a session or a history has only begun, popularity stands for what there is nothing of yet.
        for (state, kind) in [(0, SESSION), (1, AGAIN)] {
            mixture[state][POPULAR] += std::mem::take(&mut mixture[state][kind]);
        }
        if !of_people(0, &|(_, densities)| densities[AGAIN] != densities[POPULAR]) {
            mixture[0][POPULAR] += std::mem::take(&mut mixture[0][AGAIN]);
        }
        let mut found = Mixture::POPULAR;
        for state in (0..3).filter(|state| of_people(*state, &|_| true)) {
            let weights = mixture[state].map(|weight| (weight as f32).max(0.0));
            let all = weights.iter().sum::<f32>() + LEAST;
            found.0[state] = weights.map(|weight| weight / all);
            found.0[state][POPULAR] += LEAST / all;
        }
        found
    }

    /// An item for each event, `[events, event]`, whose vectors come first.
    pub(super) fn draw(
        &self,
        (events, begins): (&[f32], &[bool]),
        sizes: Sizes,
        (blur, mixture): (f32, &Mixture),
        stream: &mut Stream,
    ) -> Vec<u32> {
        /// Events whose vectors are looked at together.
        const TOGETHER: usize = 64;
        let count = self.odds.len();
        let (mut items, mut recall) = (Vec::with_capacity(begins.len()), Recall::default());
        let (mut scores, mut prior) = (vec![0f32; TOGETHER * count], vec![0f32; count]);
        for (events, begins) in events.chunks(TOGETHER * sizes.event()).zip(begins.chunks(TOGETHER)) {
            let places = events.chunks_exact(sizes.event()).flat_map(|event| &event[..sizes.vector]);
            let places: Vec<f32> = places.map(|x| x / (blur * blur)).collect();
            let scores = &mut scores[..begins.len() * count];
            let (a, b) = (rows(&places, sizes.vector), rows(&self.vectors, sizes.vector).transpose());
            multiply(rows_mut(scores, count), a, b);
            for (scores, begins) in scores.chunks_exact_mut(count).zip(begins) {
                recall.next(*begins);
                recall.write(self, mixture, &mut prior);
                let item = drawn(scores, &self.odds, &prior, stream);
                recall.push(self, item);
                items.push(item);
            }
        }
        items
    }
}

/// One of the items, by e^(score + odds) times its prior share.
fn drawn(scores: &mut [f32], odds: &[f32], prior: &[f32], stream: &mut Stream) -> u32 {
    scores.iter_mut().zip(odds).for_each(|(score, odds)| *score += odds);
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().zip(prior).for_each(|(score, prior)| *score = exponential(*score - largest) * prior);
    let mut left = stream.random::<f32>() * scores.iter().sum::<f32>();
    let chosen = scores.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    chosen.unwrap_or(scores.len() - 1) as u32
}

/// What a history so far brings to mind.
#[derive(Debug, Default)]
struct Recall {
    /// Items that go with those of the session, and with those of the history.
    traces: [Trace; 2],
    /// Items of the session, and how often each was chosen in earlier ones.
    session: Vec<u32>,
    earlier: BTreeMap<u32, f32>,
    /// Events of earlier sessions.
    events: f32,
    begins: bool,
}

/// What goes with some events, the later the more.
#[derive(Debug, Default)]
struct Trace {
    /// Sums of shares of companions.
    shares: BTreeMap<u32, f32>,
    /// Sum of the weights of the events.
    weight: f32,
}

impl Trace {
    fn fade(&mut self, keep: f32) {
        self.weight *= keep;
        self.shares.retain(|_, share| {
            *share *= keep;
            *share > FAINT
        });
    }

    fn add(&mut self, companions: &Companions, item: u32) {
        let (items, shares) = companions.of_item(item);
        self.weight += 1.0;
        items.iter().zip(shares).for_each(|(item, share)| *self.shares.entry(*item).or_default() += share);
    }

    /// Sum of the shares of all items.
    fn mass(&self) -> f32 {
        if self.weight > 0.0 { (self.shares.values().sum::<f32>() / self.weight).min(1.0) } else { 0.0 }
    }

    fn share(&self, item: u32) -> f32 {
        self.shares.get(&item).map_or(0.0, |share| share / self.weight)
    }
}

impl Recall {
    /// Goes on to the next event.
    fn next(&mut self, begins: bool) {
        self.begins = begins;
        let [session, history] = &mut self.traces;
        if begins {
            *session = Trace::default();
            for item in self.session.drain(..) {
                *self.earlier.entry(item).or_default() += 1.0;
                self.events += 1.0;
            }
        } else {
            session.fade(FADES[0]);
        }
        history.fade(FADES[1]);
    }

    /// Which mixture counts.
    fn state(&self) -> usize {
        match (self.begins, self.events > 0.0) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    }

    fn push(&mut self, items: &Items, item: u32) {
        self.session.push(item);
        self.traces.iter_mut().zip(&items.companions).for_each(|(trace, companions)| trace.add(companions, item));
    }

    /// What each distribution says of an item. What one does not share out, popularity does.
    fn densities(&self, items: &Items, item: u32) -> [f32; KINDS] {
        let popular = items.popularity[item as usize];
        let of_trace = |trace: &Trace| trace.share(item) + (1.0 - trace.mass()) * popular;
        let again = match self.events > 0.0 {
            true => self.earlier.get(&item).map_or(0.0, |count| count / self.events),
            false => popular,
        };
        [popular, of_trace(&self.traces[0]), of_trace(&self.traces[1]), again]
    }

    /// The mixture for the next event, `[items]`.
    fn write(&self, items: &Items, mixture: &Mixture, out: &mut [f32]) {
        let weights = mixture.0[self.state()];
        let again = if self.events > 0.0 { weights[AGAIN] } else { 0.0 };
        let masses: [f32; 2] = std::array::from_fn(|at| self.traces[at].mass());
        let popular = 1.0 - again - weights[1] * masses[0] - weights[2] * masses[1];
        out.iter_mut().zip(&items.popularity).for_each(|(out, share)| *out = popular.max(1e-6) * share);
        for (trace, weight) in self.traces.iter().zip(&weights[1..]).filter(|(trace, _)| trace.weight > 0.0) {
            trace.shares.iter().for_each(|(item, share)| out[*item as usize] += weight * share / trace.weight);
        }
        if self.events > 0.0 {
            self.earlier.iter().for_each(|(item, count)| out[*item as usize] += again * count / self.events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions of pairs: 0 with 1, 2 with 3, …; every second session is one that the user had before.
    fn shop(users: usize) -> Sequences {
        let mut stream = Draws::new(8).stream("shop");
        let mut shop = Sequences { offsets: vec![0], ..Sequences::default() };
        for _ in 0..users {
            let first = stream.random_range(0..10u32);
            for session in 0..4 {
                let pair = if session % 2 == 1 { first } else { stream.random_range(0..10u32) };
                for item in [2 * pair, 2 * pair + 1] {
                    shop.item.push(item);
                    shop.time.push(shop.time.len() as i64);
                    shop.session.push(session);
                    shop.action.push(0);
                }
            }
            shop.offsets.push(shop.item.len());
        }
        shop
    }

    fn items(shop: &Sequences) -> Items {
        Items::of(shop, (vec![0.0; 20], 1), &[1.0; 20], 1.0, Draws::new(3))
    }

    #[test]
    fn what_goes_together_and_what_comes_again_is_told_by_the_real_histories() {
        let shop = shop(2_000);
        let items = items(&shop);
        let mixture = items.mixture(&shop);
        // Within sessions the companion of the first item follows; a session's first item is one of earlier ones, often.
        assert!(mixture.0[1][1..AGAIN].iter().sum::<f32>() > 0.9, "{mixture:?}");
        assert!(mixture.0[0][AGAIN] > 0.1 && mixture.0[0][SESSION] == 0.0, "{mixture:?}");
        // Vectors that say nothing: what is drawn has the pairs all the same.
        let sizes = Sizes { vector: 1, told: 0, profile: 0, cells: 1, events: 1 };
        let begins = [true, false].repeat(400);
        let drawn = items.draw((&vec![0.0; 800], &begins), sizes, (1.0, &mixture), &mut Draws::new(4).stream("draw"));
        let pairs = drawn.chunks_exact(2).filter(|pair| pair[0] / 2 == pair[1] / 2 && pair[0] != pair[1]).count();
        assert!(pairs > 300, "{pairs} of 400 sessions are pairs");
    }

    #[test]
    fn a_mixture_is_a_distribution_in_every_state() {
        let shop = shop(500);
        let items = items(&shop);
        let mut mixture = items.mixture(&shop);
        for times in [1.0, 0.5, 30.0] {
            mixture.again(times);
            let (mut recall, mut prior) = (Recall::default(), vec![0f32; 20]);
            for (item, begins) in [(3, true), (4, false), (4, true), (9, false), (1, true)] {
                recall.next(begins);
                recall.write(&items, &mixture, &mut prior);
                assert!((prior.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{prior:?}");
                let densities: Vec<[f32; KINDS]> = (0..20).map(|item| recall.densities(&items, item)).collect();
                (0..KINDS).for_each(|c| assert!((densities.iter().map(|d| d[c]).sum::<f32>() - 1.0).abs() < 1e-3));
                recall.push(&items, item);
            }
        }
    }
}
