//! What a user's history brings to mind: for each item, how strongly the last events point to it, and the user's own past
//! with it.
//!
//! Every event adds the companions of its item, and what was there fades; items that the user chose before are remembered
//! with how often and how long ago. For the next event these become features, and the network says how much each counts:
//!
//! logit(i) = network(i) + Σₖ θₖ(history) · fₖ(i), fₖ = ln(1 + trace / popularity) for companions.
//!
//! Only items that anything points to have features, so the cost does not depend on the size of the catalogue.

use crate::clusters::{Clusters, Popularity};
use crate::counts::{self, Companions, Parts, Reach};
use crate::likeness::Likeness;
use crate::sequences::Sequences;
use std::collections::HashMap;
use twinmart_nets::exponential::{exponential, logarithm};
use twinmart_nets::matrix::product;
use twinmart_nets::vectorized;

/// The ways in which companions are counted.
pub(crate) const REACHES: [Reach; 4] = [
    Reach { lags: 1, ordered: true, across: false },
    Reach { lags: 5, ordered: false, across: false },
    counts::SESSION,
    counts::ACROSS,
];

/// Position of the pairs across sessions.
const ACROSS: usize = 3;

/// Position of items that are alike, which nobody has to have chosen together; and how many kinds of companions there are.
const ALIKE: usize = REACHES.len();
const KINDS: usize = REACHES.len() + 1;

/// How one trace fades.
struct Trace {
    /// Which companions it adds.
    companions: usize,
    /// What stays of it from event to event.
    keep: f32,
    /// Where it comes from.
    of: Of,
}

/// Which events leave a trace.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// Those of the session.
    Session,
    /// All.
    History,
    /// Those of earlier sessions; it fades from session to session.
    Earlier,
}

const fn trace(companions: usize, keep: f32, of: Of) -> Trace {
    Trace { companions, keep, of }
}

/// Number of traces.
const TRACES: usize = 11;
const FADING: [Trace; TRACES] = [
    trace(0, 0.0, Of::Session),
    trace(0, 0.7, Of::Session),
    trace(1, 0.7, Of::Session),
    trace(1, 0.92, Of::Session),
    trace(1, 0.97, Of::History),
    trace(2, 0.92, Of::Session),
    trace(2, 0.97, Of::History),
    trace(3, 0.97, Of::History),
    trace(3, 0.9, Of::Earlier),
    trace(ALIKE, 0.7, Of::Session),
    trace(ALIKE, 0.97, Of::History),
];

/// Features of an item: the traces; choices in earlier sessions (logarithm of their number, and whether there are any);
/// whether this session has it; how recent the choices are; whether it once followed the last item.
pub(crate) const FEATURES: usize = FOLLOWS + 1;
/// Position of what followed.
const FOLLOWS: usize = TRACES + 4;
/// How many of them are logarithms: the first ones.
const LOGARITHMS: usize = TRACES + 1;
/// Numbers of an entry: the traces; choices in earlier sessions; what this session adds to the traces of earlier sessions when
/// it ends; choices in this session; the sum over its choices of e^(−age / [`RECENT`]). As many as fill a cache line.
const LANES: usize = 16;
const BEFORE: usize = TRACES;
const PENDING: usize = TRACES + 1;
const NOW: usize = TRACES + 2;
const RECENCY: usize = TRACES + 3;
/// Events after which an item's recency has fallen to 1/e.
const RECENT: f32 = 60.0;
/// Features below this say nothing and are forgotten.
const FAINT: f32 = 0.02;
/// Events between two looks for what is faint.
const FORGET_EVERY: u32 = 8;
/// Older events leave nothing but the user's own past.
pub(crate) const TRACE_LENGTH: usize = 200;

/// What many people's histories say of items.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Memory {
    /// One for each of [`REACHES`], and those alike.
    pub(crate) companions: Vec<Companions>,
    /// `[items]` 1 / the item's share of all events.
    pub(crate) rarity: Vec<f32>,
    /// `[seasons][items]` the logarithm of how much more popular each item was in a season than in all.
    pub(crate) seasons: Vec<Vec<f32>>,
    /// What follows from it for clusters of items, where there are any.
    pub(crate) popularity: Popularity,
}

/// Companions of an item, at most, in catalogues whose items are in clusters.
const MOST_COMPANIONS: usize = 128;
/// Events of its overall popularity that each season's popularity starts from.
const SEASON_DOUBT: f64 = 30.0;

impl Memory {
    /// What each set of users has done; `season` has each event's, and how many there are.
    pub(crate) fn of(
        sequences: &Sequences,
        likeness: &Likeness,
        (season, seasons): (&[usize], usize),
        parts: Parts,
        enough: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<Memory> {
        let items = likeness.len();
        let mut memories: Vec<Memory> = parts
            .sets
            .iter()
            .map(|set| Memory::of_popularity(sequences, items, season, seasons, &|user| set[parts.of_user[user]]))
            .collect();
        for reach in REACHES {
            let companions = Companions::of(sequences, items, reach, parts, enough);
            memories.iter_mut().zip(companions).for_each(|(memory, companions)| memory.companions.push(companions));
        }
        for memory in &mut memories {
            memory.companions.push(Companions::alike(likeness, &memory.rarity));
        }
        memories
    }

    /// Without companions.
    fn of_popularity(
        sequences: &Sequences,
        items: usize,
        season: &[usize],
        seasons: usize,
        learned: &dyn Fn(usize) -> bool,
    ) -> Memory {
        let mut counts = vec![vec![0f64; items]; seasons];
        for user in (0..sequences.users()).filter(|u| learned(*u)) {
            sequences.of_user(user).for_each(|e| counts[season[e]][sequences.item[e] as usize] += 1.0);
        }
        let all: Vec<f64> = (0..items).map(|i| counts.iter().map(|c| c[i]).sum::<f64>() + 0.5).collect();
        let total: f64 = all.iter().sum();
        let near = |s: usize, i: usize| {
            let at = |s: usize| counts.get(s).map_or(0.0, |c| c[i]);
            at(s) + 0.5 * (at(s + 1) + s.checked_sub(1).map_or(0.0, at))
        };
        let lift = |s: usize| -> Vec<f32> {
            let smooth: Vec<f64> = (0..items).map(|i| near(s, i) + SEASON_DOUBT * all[i] / total).collect();
            let sum: f64 = smooth.iter().sum();
            smooth.iter().zip(&all).map(|(c, a)| (c / sum / (a / total)).ln() as f32).collect()
        };
        Memory {
            companions: Vec::new(),
            rarity: all.iter().map(|a| (total / a) as f32).collect(),
            seasons: (0..seasons).map(lift).collect(),
            popularity: Popularity::default(),
        }
    }

    /// For items in clusters, where there are any: with what follows for these, and the strongest companions alone, so that an
    /// event's cost does not grow with the catalogue.
    pub(crate) fn in_clusters(self, clusters: Option<&Clusters>) -> Memory {
        let Some(clusters) = clusters else { return self };
        let popularity = clusters.popularity(&self);
        let companions = self.companions.into_iter().map(|c| c.strongest(MOST_COMPANIONS)).collect();
        Memory { companions, popularity, ..self }
    }

    /// Adds everything to lists of numbers.
    pub(crate) fn store(&self, numbers: &mut Vec<f32>, places: &mut Vec<u32>) {
        numbers.extend(&self.rarity);
        self.seasons.iter().for_each(|season| numbers.extend(season));
        self.companions.iter().for_each(|companions| companions.store(numbers, places));
    }

    /// What [`Memory::store`] stored; `None` where it is not sound.
    pub(crate) fn restore(numbers: &[f32], places: &[u32], items: usize, seasons: usize) -> Option<Memory> {
        let (rarity, mut numbers) = numbers.split_at_checked(items)?;
        let mut lifts = Vec::new();
        for _ in 0..seasons {
            let (lift, rest) = numbers.split_at_checked(items)?;
            lifts.push(lift.to_vec());
            numbers = rest;
        }
        let mut places = places;
        let mut companions = Vec::new();
        for _ in 0..KINDS {
            companions.push(Companions::restore(&mut numbers, &mut places, items)?);
        }
        let is_whole = numbers.is_empty() && places.is_empty() && rarity.iter().all(|r| *r >= 0.0);
        is_whole.then(|| Memory {
            companions,
            rarity: rarity.to_vec(),
            seasons: lifts,
            popularity: Popularity::default(),
        })
    }

    /// How much more popular each item is in a season, as logarithms.
    pub(crate) fn season(&self, season: usize) -> &[f32] {
        &self.seasons[season]
    }
}

/// What stays of each of an entry's numbers from event to event.
const KEPT: [f32; LANES] = {
    let mut kept = [1.0; LANES];
    let mut which = 0;
    while which < TRACES {
        if !matches!(FADING[which].of, Of::Earlier) {
            kept[which] = FADING[which].keep;
        }
        which += 1;
    }
    kept
};

/// For each kind of companions, which of an entry's numbers a companion adds to: 1, else 0.
const ADDED: [[f32; LANES]; KINDS] = {
    let mut added = [[0.0; LANES]; KINDS];
    let mut which = 0;
    while which < TRACES {
        if !matches!(FADING[which].of, Of::Earlier) {
            added[FADING[which].companions][which] = 1.0;
        }
        which += 1;
    }
    added[ACROSS][PENDING] = 1.0;
    added
};

/// What is known of an item.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Entry {
    numbers: [f32; LANES],
}

/// Which item an entry is of, and as of which event its recency is.
#[derive(Debug, Clone, Copy)]
struct Name {
    item: u32,
    at: u32,
}

impl Entry {
    fn is_own(&self) -> bool {
        self.numbers[BEFORE] + self.numbers[NOW] > 0.0
    }

    /// How recent its choices are at the next of `events`.
    #[inline(always)]
    fn recency(&self, name: Name, events: u32) -> f32 {
        self.numbers[RECENCY] * exponential(-((events - name.at) as f32) / RECENT)
    }
}

/// One user's state.
#[derive(Debug, Clone)]
pub(crate) struct Recall {
    /// For each item its entry, or [`NONE`].
    places: Vec<u32>,
    /// Items that have features, at most.
    most: usize,
    entries: Vec<Entry>,
    /// `[entries]`
    names: Vec<Name>,
    /// What followed each item in this history.
    followers: HashMap<u32, Vec<u32>>,
    last: Option<u32>,
    events: u32,
    /// `[entries]` as of the last look.
    strengths: Vec<f32>,
    /// Entries that have features.
    chosen: Vec<u32>,
    /// Entries of an event's companions.
    mentioned: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// Items that have features for the next event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidates {
    /// The items.
    pub(crate) items: Vec<u32>,
    /// `[items][FEATURES]`
    pub(crate) features: Vec<f32>,
    /// `[items]` what the features say in all, where they themselves are not kept.
    pub(crate) said: Vec<f32>,
}

/// What each event of a user's history has left of an item's traces, `[events][TRACES]`; `begins_session` where the next event
/// begins one.
pub(crate) fn traces_of(
    sequences: &Sequences,
    user: usize,
    memory: &Memory,
    item: u32,
    begins_session: bool,
) -> Vec<[f32; TRACES]> {
    let range = sequences.of_user(user);
    let mut left = vec![[0f32; TRACES]; range.len()];
    let mut pending = vec![0f32; range.len()];
    let old = range.len().saturating_sub(TRACE_LENGTH);
    for place in old..range.len() + 1 {
        let event = range.start + place;
        let is_last = place == range.len();
        let begins = if is_last { begins_session } else { sequences.begins_session(user, event) };
        for (left, pending) in left[old..place].iter_mut().zip(&mut pending[old..place]).filter(|_| begins) {
            for (trace, fading) in left.iter_mut().zip(&FADING) {
                match fading.of {
                    Of::Session => *trace = 0.0,
                    Of::History => {}
                    Of::Earlier => *trace = *trace * fading.keep + *pending,
                }
            }
            *pending = 0.0;
        }
        if is_last {
            break;
        }
        for left in &mut left[old..place] {
            for (trace, fading) in left.iter_mut().zip(&FADING) {
                *trace *= if fading.of == Of::Earlier { 1.0 } else { fading.keep };
            }
        }
        for (which, companions) in memory.companions.iter().enumerate() {
            let (items, shares) = companions.of_item(sequences.item[event]);
            let Ok(at) = items.binary_search(&item) else { continue };
            pending[place] += if which == ACROSS { shares[at] } else { 0.0 };
            for (trace, fading) in left[place].iter_mut().zip(&FADING) {
                let adds = fading.companions == which && fading.of != Of::Earlier;
                *trace += if adds { shares[at] } else { 0.0 };
            }
        }
    }
    left
}

impl Recall {
    /// Nothing yet, of a catalogue of `items`, of which `most` may have features.
    pub(crate) fn new(items: usize, most: usize) -> Recall {
        Recall {
            places: vec![NONE; items],
            most,
            entries: Vec::new(),
            names: Vec::new(),
            followers: HashMap::new(),
            last: None,
            events: 0,
            strengths: Vec::new(),
            chosen: Vec::new(),
            mentioned: Vec::new(),
        }
    }

    /// Forgets everything, for another history.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.names.drain(..).for_each(|name| self.places[name.item as usize] = NONE);
        self.followers.clear();
        (self.last, self.events) = (None, 0);
    }

    /// Takes note that the next event begins a session.
    pub(crate) fn begin_session(&mut self) {
        for Entry { numbers } in &mut self.entries {
            numbers[BEFORE] += std::mem::take(&mut numbers[NOW]);
            let pending = std::mem::take(&mut numbers[PENDING]);
            for (trace, fading) in numbers.iter_mut().zip(&FADING) {
                match fading.of {
                    Of::Session => *trace = 0.0,
                    Of::History => {}
                    Of::Earlier => *trace = *trace * fading.keep + pending,
                }
            }
        }
    }

    /// Takes note of an event. One that is `old` leaves no traces, only the user's own past.
    pub(crate) fn push(&mut self, item: u32, memory: &Memory, old: bool) {
        let at = self.events;
        let place = self.place(item) as usize;
        let (entry, name) = (&mut self.entries[place], &mut self.names[place]);
        entry.numbers[NOW] += 1.0;
        entry.numbers[RECENCY] = entry.recency(*name, at) + 1.0;
        name.at = at;
        if let Some(last) = self.last {
            let followers = self.followers.entry(last).or_default();
            if !followers.contains(&item) {
                followers.push(item);
            }
        }
        self.last = Some(item);
        self.events += 1;
        if old {
            return;
        }
        fade(&mut self.entries);
        for (which, companions) in memory.companions.iter().enumerate() {
            let (items, shares) = companions.of_item(item);
            self.mentioned.clear();
            for other in items {
                let place = self.place(*other);
                self.mentioned.push(place);
            }
            touch(&mut self.entries, &self.mentioned, shares, &ADDED[which]);
        }
        if self.events.is_multiple_of(FORGET_EVERY) || self.entries.len() / 2 > self.most {
            self.forget(memory);
        }
    }

    /// Where the entry of an item is, from now on.
    fn place(&mut self, item: u32) -> u32 {
        let place = &mut self.places[item as usize];
        if *place == NONE {
            *place = self.entries.len() as u32;
            self.entries.push(Entry::default());
            self.names.push(Name { item, at: 0 });
        }
        *place
    }

    /// Drops entries that say nothing, or less than as many as may have features.
    fn forget(&mut self, memory: &Memory) {
        let least = self.look();
        let mut kept = 0;
        for place in 0..self.entries.len() {
            let (entry, name) = (&self.entries[place], self.names[place]);
            let loud = || {
                let rarity = memory.rarity[name.item as usize];
                self.strengths[place] >= least && entry.numbers[..=PENDING].iter().any(|t| t * rarity > FAINT)
            };
            let keep = entry.is_own() || loud();
            self.places[name.item as usize] = if keep { kept as u32 } else { NONE };
            if keep {
                self.entries.swap(kept, place);
                self.names.swap(kept, place);
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        self.names.truncate(kept);
    }

    /// Looks how strong all entries are; the answer is the strength of the last one that may have features, nothing where all may.
    fn look(&mut self) -> f32 {
        self.strengths.resize(self.entries.len(), 0.0);
        weigh(&self.entries, &self.names, self.events, &mut self.strengths);
        if self.entries.len() <= self.most {
            return f32::NEG_INFINITY;
        }
        // No strength is below zero, so their bits are in the same order.
        let mut bits: Vec<u32> = self.strengths.iter().map(|strength| strength.to_bits()).collect();
        let place = bits.len() - self.most;
        f32::from_bits(*bits.select_nth_unstable(place).1)
    }

    /// Chooses the entries that have features: the strongest, in their order; of equal ones the first.
    fn choose(&mut self) {
        let least = self.look();
        let stronger = self.strengths.iter().filter(|strength| **strength > least).count();
        let mut equal = self.most.saturating_sub(stronger);
        self.chosen.clear();
        for (entry, strength) in (0..).zip(&self.strengths) {
            let is_chosen = *strength > least || (*strength == least && equal > 0);
            equal -= usize::from(is_chosen && *strength == least);
            if is_chosen {
                self.chosen.push(entry);
            }
        }
    }

    /// The features of the next event's items, in place of what was in `out`.
    pub(crate) fn features(&mut self, memory: &Memory, out: &mut Candidates) {
        self.choose();
        out.said.clear();
        out.items.resize(self.chosen.len(), 0);
        out.features.resize(self.chosen.len() * FEATURES, 0.0);
        describe((&self.entries, &self.names), &self.chosen, self.events, &memory.rarity, out);
        self.followed(|place| out.features[place * FEATURES + FOLLOWS] = 1.0);
    }

    /// The next event's items and what their features say, in place of what was in `out`; `gates` are the weights of the features.
    pub(crate) fn said(&mut self, memory: &Memory, gates: &[f32], out: &mut Candidates) {
        self.choose();
        out.features.clear();
        out.items.resize(self.chosen.len(), 0);
        out.said.resize(self.chosen.len(), 0.0);
        weigh_features((&self.entries, &self.names), &self.chosen, self.events, &memory.rarity, gates, out);
        self.followed(|place| out.said[place] += gates[FOLLOWS]);
    }

    /// Tells the places, among those chosen, of items that once followed the last one.
    fn followed(&self, mut tell: impl FnMut(usize)) {
        let followers = self.last.and_then(|last| self.followers.get(&last));
        for follower in followers.into_iter().flatten() {
            // An item of the user's own past is never forgotten.
            if let Ok(place) = self.chosen.binary_search(&self.places[*follower as usize]) {
                tell(place);
            }
        }
    }
}

vectorized! {
    /// What stays of traces from one event to the next.
    fn fade<'a>(entries: &'a mut [Entry]) {
        for entry in entries.iter_mut() {
            entry.numbers.iter_mut().zip(&KEPT).for_each(|(trace, keep)| *trace *= keep);
        }
    }
}

vectorized! {
    /// Takes note of an event's companions of one kind, at `places`; `added` says which numbers of theirs grow.
    fn touch<'a>(entries: &'a mut [Entry], places: &'a [u32], shares: &'a [f32], added: &'a [f32; LANES]) {
        for (place, share) in places.iter().zip(shares) {
            let numbers = &mut entries[*place as usize].numbers;
            numbers.iter_mut().zip(added).for_each(|(number, adds)| *number += share * adds);
        }
    }
}

vectorized! {
    /// How strongly items come to mind: how likely their traces make them; the user's own items come first.
    fn weigh<'a>(simd; entries: &'a [Entry], names: &'a [Name], events: u32, strengths: &'a mut [f32]) {
        let mut counted = TRACED;
        counted[PENDING] = 1.0;
        for ((entry, name), strength) in entries.iter().zip(names).zip(strengths) {
            let own = if entry.is_own() { 1.0 + entry.recency(*name, events) } else { 0.0 };
            *strength = product(simd, &counted, &entry.numbers) + own;
        }
    }
}

/// Which of an entry's numbers are traces: 1, else 0.
const TRACED: [f32; LANES] = {
    let mut traced = [0.0; LANES];
    let mut which = 0;
    while which < TRACES {
        traced[which] = 1.0;
        which += 1;
    }
    traced
};

/// Entries and their names.
type Known<'a> = (&'a [Entry], &'a [Name]);

/// Entries that are looked at together.
const TOGETHER: usize = 32;

/// The logarithms among the features of some entries, first in each of `[entries][LANES]`.
#[inline(always)]
fn logarithms((entries, names): Known, chosen: &[u32], rarity: &[f32], rows: &mut [[f32; LANES]; TOGETHER]) {
    for (row, chosen) in rows.iter_mut().zip(chosen) {
        let (entry, name) = (&entries[*chosen as usize], names[*chosen as usize]);
        // What the session has already is not brought to mind by its companions.
        let open = if entry.numbers[NOW] > 0.0 { 0.0 } else { rarity[name.item as usize] };
        for lane in 0..LANES {
            row[lane] = 1.0 + entry.numbers[lane] * (open * TRACED[lane] + (1.0 - TRACED[lane]));
        }
    }
    rows[..chosen.len()].as_flattened_mut().iter_mut().for_each(|x| *x = logarithm(*x));
}

impl Entry {
    /// Its features besides the logarithms, at the next of `events`, without that of followers: whether it is of earlier sessions,
    /// whether this one has it, how recent it is.
    #[inline(always)]
    fn own(&self, name: Name, events: u32) -> [f32; 3] {
        let is_own = self.numbers[BEFORE] > 0.0;
        let recency = if is_own { self.recency(name, events) } else { 0.0 };
        [f32::from(is_own), self.numbers[NOW].min(1.0), recency]
    }
}

vectorized! {
    /// Entries and their features at the next event, without those of followers; bound by how fast entries are read.
    fn describe<'a>(known: Known<'a>, chosen: &'a [u32], events: u32, rarity: &'a [f32], out: &'a mut Candidates) {
        let mut rows = [[0f32; LANES]; TOGETHER];
        let described = out.items.chunks_mut(TOGETHER).zip(out.features.chunks_mut(TOGETHER * FEATURES));
        for (chosen, (items, features)) in chosen.chunks(TOGETHER).zip(described) {
            logarithms(known, chosen, rarity, &mut rows);
            let places = items.iter_mut().zip(features.as_chunks_mut::<FEATURES>().0);
            for ((entry, row), (item, features)) in chosen.iter().zip(&rows).zip(places) {
                let (entry, name) = (&known.0[*entry as usize], known.1[*entry as usize]);
                *item = name.item;
                features[..LOGARITHMS].copy_from_slice(&row[..LOGARITHMS]);
                features[LOGARITHMS..FOLLOWS].copy_from_slice(&entry.own(name, events));
                features[FOLLOWS] = 0.0;
            }
        }
    }
}

vectorized! {
    /// Entries and what their features say at the next event, without those of followers.
    fn weigh_features<'a>(
        simd;
        known: Known<'a>,
        chosen: &'a [u32],
        events: u32,
        rarity: &'a [f32],
        gates: &'a [f32],
        out: &'a mut Candidates,
    ) {
        let mut weights = [0f32; LANES];
        weights[..LOGARITHMS].copy_from_slice(&gates[..LOGARITHMS]);
        let mut rows = [[0f32; LANES]; TOGETHER];
        let weighed = out.items.chunks_mut(TOGETHER).zip(out.said.chunks_mut(TOGETHER));
        for (chosen, (items, said)) in chosen.chunks(TOGETHER).zip(weighed) {
            logarithms(known, chosen, rarity, &mut rows);
            for ((entry, row), (item, said)) in chosen.iter().zip(&rows).zip(items.iter_mut().zip(said)) {
                let (entry, name) = (&known.0[*entry as usize], known.1[*entry as usize]);
                *item = name.item;
                let own: f32 = entry.own(name, events).iter().zip(&gates[LOGARITHMS..]).map(|(x, gate)| x * gate).sum();
                *said = product(simd, &weights, row) + own;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_nets::matrix::dot;

    /// 0 → 1 and 2 ↔ 3, by many people.
    fn memory() -> Memory {
        let users = 12;
        let sequences = Sequences {
            offsets: (0..=users).map(|u| u * 4).collect(),
            item: [0, 1, 2, 3].repeat(users),
            session: [0, 0, 1, 1].repeat(users),
            time: vec![0; users * 4],
            action: vec![0; users * 4],
            has_clock: false,
        };
        let parts = Parts { of_user: &vec![0; users], sets: &[vec![true]], weight: 1.0 };
        let memory = Memory::of(&sequences, &vec![Vec::new(); 5], (&[0; 48], 1), parts, &|people| people > 4).remove(0);
        Memory { rarity: vec![5.0; 5], ..memory }
    }

    fn feature(recall: &mut Recall, memory: &Memory, item: u32, which: usize) -> f32 {
        let mut candidates = Candidates::default();
        recall.features(memory, &mut candidates);
        let place = candidates.items.iter().position(|i| *i == item);
        place.map_or(0.0, |p| candidates.features[p * FEATURES + which])
    }

    #[test]
    fn companions_come_to_mind_fade_and_end_with_the_session() {
        let memory = memory();
        let mut recall = Recall::new(5, 5);
        recall.push(0, &memory, false);
        // 12 people less one deviation, of as many and 3.
        let sure = 12.0 - 12f32.sqrt();
        let share = sure / (sure + 3.0);
        let expected = |trace: f32| (1.0 + 5.0 * trace).ln();
        for (which, trace) in [share; 7].into_iter().enumerate() {
            assert!((feature(&mut recall, &memory, 1, which) - expected(trace)).abs() < 1e-5);
        }
        recall.push(4, &memory, false);
        for (which, keep) in [0.0, 0.7, 0.7, 0.92, 0.97, 0.92, 0.97].into_iter().enumerate() {
            assert!((feature(&mut recall, &memory, 1, which) - expected(share * keep)).abs() < 1e-5);
        }
        recall.begin_session();
        for (which, keep) in [0.0, 0.0, 0.0, 0.0, 0.97, 0.0, 0.97].into_iter().enumerate() {
            assert!((feature(&mut recall, &memory, 1, which) - expected(share * keep)).abs() < 1e-5);
        }
    }

    #[test]
    fn what_features_say_is_their_weighted_sum() {
        let memory = memory();
        let mut recall = Recall::new(5, 5);
        let gates: Vec<f32> = (0..FEATURES).map(|feature| (feature as f32 * 1.7).sin()).collect();
        let (mut described, mut said) = (Candidates::default(), Candidates::default());
        for (place, item) in [0, 2, 0, 3, 1, 2, 4, 2, 3].into_iter().enumerate() {
            if place % 4 == 3 {
                recall.begin_session();
            }
            recall.features(&memory, &mut described);
            recall.said(&memory, &gates, &mut said);
            assert_eq!(described.items, said.items);
            for (features, said) in described.features.chunks_exact(FEATURES).zip(&said.said) {
                assert!((dot(features, &gates) - said).abs() < 1e-5, "{place}");
            }
            recall.push(item, &memory, false);
        }
        assert!(described.features.iter().skip(FOLLOWS).step_by(FEATURES).any(|followed| *followed == 1.0));
    }

    #[test]
    fn the_users_own_past_is_remembered() {
        let memory = memory();
        let mut recall = Recall::new(5, 5);
        [4, 0, 4].into_iter().for_each(|item| recall.push(item, &memory, true));
        assert_eq!(
            (feature(&mut recall, &memory, 4, TRACES), feature(&mut recall, &memory, 4, TRACES + 2)),
            (0.0, 1.0)
        );
        assert_eq!(feature(&mut recall, &memory, 0, FOLLOWS), 1.0, "0 once followed 4");
        recall.begin_session();
        assert!((feature(&mut recall, &memory, 4, TRACES) - 3f32.ln()).abs() < 1e-6);
        assert_eq!(
            (feature(&mut recall, &memory, 4, TRACES + 1), feature(&mut recall, &memory, 4, TRACES + 2)),
            (1.0, 0.0)
        );
        let recency = (-1.0 / RECENT).exp() + (-3.0 / RECENT).exp();
        assert!((feature(&mut recall, &memory, 4, TRACES + 3) - recency).abs() < 1e-5);
        for _ in 0..400 {
            recall.push(1, &memory, false);
        }
        assert_eq!(feature(&mut recall, &memory, 4, TRACES + 1), 1.0);
        assert_eq!(feature(&mut recall, &memory, 1, 0), 0.0);
    }
}
