//! How a network chooses items, and the gradient of its choices.
//!
//! ```text
//! s_i = q · v_i + b_i + gates · features_i + gate · (how much more popular i is in the season)
//! ```
//!
//! In catalogues of up to [`MOST_AT_ONCE`] items one choice is a softmax over all of them; in larger ones it is a softmax over
//! clusters and what the history brings to mind: see [`Clustered`].

use crate::catalogue::Catalogue;
use crate::clustered::Clustered;
use crate::clusters::Clusters;
use crate::layout::{GATES, Layout, Sizes};
use crate::recall::{Candidates, FEATURES, Memory, Recall};
use crate::slopes::ItemSlopes;
use std::borrow::Cow;
use twinmart_nets::exponential::softmax_rows;
use twinmart_nets::matrix::{add, dot, multiply, multiply_add, rows, rows_mut};
use twinmart_nets::vectorized;

/// Items of a catalogue whose choices are among all at once, at most.
pub(crate) const MOST_AT_ONCE: usize = 1_000;
/// Items that a history brings to mind, at most: with more, twins came nearer to the people they were learned from.
const MOST_CANDIDATES: usize = 320;

impl Sizes {
    /// What a history brings to mind before its first event.
    pub(crate) fn recall(&self) -> Recall {
        Recall::new(self.items, MOST_CANDIDATES)
    }
}

/// The items of a network.
#[derive(Debug)]
pub(crate) enum Items<'a> {
    /// Each choice is among all items.
    All(All<'a>),
    /// Each choice is among clusters, and then within one.
    Clustered(Clustered<'a>),
}

/// An event whose item is to be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// `[width]`
    pub(crate) q: &'a [f32],
    /// `[GATES]`
    pub(crate) gates: &'a [f32],
    /// What the history brings to mind.
    pub(crate) candidates: &'a Candidates,
    /// What others say, and the season of the event.
    pub(crate) memory: &'a Memory,
    pub(crate) season: usize,
}

/// Some events of a pass, whose items are known.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// `[events, width]`
    pub(crate) q: &'a [f32],
    pub(crate) choices: Vec<Choice<'a>>,
    pub(crate) targets: Vec<usize>,
}

/// Where the slopes of a [`Part`] go.
#[derive(Debug)]
pub(crate) struct PartSlopes<'a> {
    /// `[events, width]` and `[events, GATES]`, zeros.
    pub(crate) q: &'a mut [f32],
    pub(crate) gates: &'a mut [f32],
    /// Those of the parameters, added to.
    pub(crate) gradient: &'a mut [f32],
    /// Those of the items' own parts where there are clusters.
    pub(crate) own: &'a mut ItemSlopes,
}

impl<'a> Items<'a> {
    pub(crate) fn new(
        layout: &'a Layout,
        catalogue: &Catalogue,
        clusters: Option<&'a Clusters>,
        weights: &'a [f32],
    ) -> Items<'a> {
        let vectors = if clusters.is_none() { catalogue.vectors(layout, weights) } else { Vec::new() };
        Items::with_vectors(layout, Cow::Owned(vectors), clusters, weights)
    }

    /// As [`Items::new`], with what [`Catalogue::vectors`] made before; with clusters nobody looks at it.
    pub(crate) fn with_vectors(
        layout: &'a Layout,
        vectors: Cow<'a, [f32]>,
        clusters: Option<&'a Clusters>,
        weights: &'a [f32],
    ) -> Items<'a> {
        match clusters {
            None => Items::All(All { layout, vectors, bias: &weights[layout.bias.clone()] }),
            Some(clusters) => Items::Clustered(Clustered::new(layout, weights, clusters)),
        }
    }

    /// The same, choosing faster.
    pub(crate) fn for_drawing(self) -> Items<'a> {
        match self {
            Items::All(all) => Items::All(all),
            Items::Clustered(clustered) => Items::Clustered(clustered.for_drawing()),
        }
    }

    /// The vectors of some items, `[items, width]`; the number of all items stands for the start of a history.
    pub(crate) fn vectors(&self, items: &[usize]) -> Vec<f32> {
        match self {
            Items::All(all) => {
                let width = all.layout.width;
                items.iter().flat_map(|item| &all.vectors[item * width..][..width]).copied().collect()
            }
            Items::Clustered(clustered) => clustered.vectors(items),
        }
    }

    /// The way back of [`Items::vectors`].
    pub(crate) fn vectors_back(&self, items: &[usize], slopes: &[f32], gradient: &mut [f32], own: &mut ItemSlopes) {
        match self {
            Items::All(All { layout, .. }) => {
                for (item, slope) in items.iter().zip(slopes.chunks_exact(layout.width)) {
                    add(&mut gradient[layout.own.start + item * layout.width..][..layout.width], slope);
                }
            }
            Items::Clustered(clustered) => clustered.vectors_back(items, slopes, gradient, own),
        }
    }

    /// The loss of some events' items, in nats, with its slopes where they are asked for.
    pub(crate) fn loss(&self, part: &Part, slopes: Option<PartSlopes>) -> f64 {
        match self {
            Items::All(all) => all.loss(part, slopes),
            Items::Clustered(clustered) => clustered.loss(part, slopes),
        }
    }

    /// What queries alone say, `[events, items or clusters]`, of queries `[events, width]`.
    pub(crate) fn scores(&self, q: &[f32]) -> Vec<f32> {
        match self {
            Items::All(all) => all.scores(q),
            Items::Clustered(clustered) => clustered.scores(q),
        }
    }

    /// An item for an event with its row of [`Items::scores`]; `pick` answers a position, given the odds of all.
    pub(crate) fn choose(&self, scores: &mut [f32], choice: &Choice, pick: impl FnMut(&[f32]) -> usize) -> usize {
        match self {
            Items::All(all) => all.choose(scores, choice, pick),
            Items::Clustered(clustered) => clustered.choose(scores, choice, pick),
        }
    }

    /// The odds of all items for some events, `[events, items]`, of queries `[events, width]`: those that [`Items::choose`] draws
    /// by.
    pub(crate) fn odds(&self, q: &[f32], choices: &[Choice]) -> Vec<f32> {
        match self {
            Items::All(all) => all.odds(q, choices),
            Items::Clustered(clustered) => clustered.odds(q, choices),
        }
    }

    /// The odds of one item, without those of all others.
    pub(crate) fn odds_of(&self, item: usize, choice: Choice) -> f64 {
        let part = Part { q: choice.q, choices: vec![choice], targets: vec![item] };
        (-self.loss(&part, None)).exp()
    }
}

/// Items that are chosen among all at once.
#[derive(Debug)]
pub(crate) struct All<'a> {
    layout: &'a Layout,
    /// `[items + 1, width]`
    vectors: Cow<'a, [f32]>,
    bias: &'a [f32],
}

impl All<'_> {
    /// `[items, width]`
    fn of_items(&self) -> &[f32] {
        &self.vectors[..self.bias.len() * self.layout.width]
    }

    fn scores(&self, q: &[f32]) -> Vec<f32> {
        let width = self.layout.width;
        let mut scores = self.bias.repeat(q.len() / width);
        let vectors = rows(self.of_items(), width).transpose();
        multiply_add(rows_mut(&mut scores, self.bias.len()), rows(q, width), vectors);
        scores
    }

    fn choose(&self, scores: &mut [f32], choice: &Choice, mut pick: impl FnMut(&[f32]) -> usize) -> usize {
        add_features(scores, choice);
        softmax_rows(scores, self.bias.len());
        pick(scores)
    }

    fn odds(&self, q: &[f32], choices: &[Choice]) -> Vec<f32> {
        let items = self.bias.len();
        let mut odds = self.scores(q);
        odds.chunks_exact_mut(items).zip(choices).for_each(|(scores, choice)| add_features(scores, choice));
        softmax_rows(&mut odds, items);
        odds
    }

    fn loss(&self, part: &Part, slopes: Option<PartSlopes>) -> f64 {
        let (items, width) = (self.bias.len(), self.layout.width);
        let mut odds = self.scores(part.q);
        for (odds, choice) in odds.chunks_exact_mut(items).zip(&part.choices) {
            add_features(odds, choice);
        }
        let loss = slopes_of_choices(&mut odds, items, part.targets.iter().copied());
        let Some(PartSlopes { q, gates, gradient, .. }) = slopes else { return loss };
        for ((odds, gates), choice) in odds.chunks_exact(items).zip(gates.chunks_exact_mut(GATES)).zip(&part.choices) {
            gates[FEATURES] = dot(odds, choice.memory.season(choice.season));
            for (item, features) in choice.candidates.rows() {
                let slope = odds[item];
                gates.iter_mut().zip(features).for_each(|(g, f)| *g += slope * f);
            }
            add(&mut gradient[self.layout.bias.clone()], odds);
        }
        multiply(rows_mut(q, width), rows(&odds, items), rows(self.of_items(), width));
        let own = &mut gradient[self.layout.own.start..][..items * width];
        multiply_add(rows_mut(own, width), rows(&odds, items).transpose(), rows(part.q, width));
        loss
    }
}

/// Adds what the features say, weighted by the gates, to one event's scores of all items.
fn add_features(scores: &mut [f32], choice: &Choice) {
    let Choice { gates, candidates, memory, season, .. } = *choice;
    scores.iter_mut().zip(memory.season(season)).for_each(|(s, lift)| *s += gates[FEATURES] * lift);
    let mut said = vec![0f32; candidates.items.len()];
    candidates.add_features(gates, &mut said);
    candidates.items.iter().zip(said).for_each(|(item, said)| scores[*item as usize] += said);
}

impl Candidates {
    /// The items with their features.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.items.iter().map(|item| *item as usize).zip(self.features.chunks_exact(FEATURES))
    }

    /// Adds to each item's score what its features say, `gates` being their weights.
    pub(crate) fn add_features(&self, gates: &[f32], scores: &mut [f32]) {
        match &self.said[..] {
            [] => add_weighted(scores, gates, self.features.as_chunks().0),
            said => add(scores, said),
        }
    }

    /// The features of an item, where anything points to it.
    pub(crate) fn of_item(&self, item: u32) -> Option<&[f32]> {
        self.rows().find(|(candidate, _)| *candidate == item as usize).map(|(_, features)| features)
    }
}

vectorized! {
    /// Adds features, each times its weight, to the score of their item.
    fn add_weighted<'a>(scores: &'a mut [f32], weights: &'a [f32], features: &'a [[f32; FEATURES]]) {
        for (score, features) in scores.iter_mut().zip(features) {
            *score += dot(&weights[..FEATURES], features);
        }
    }
}

/// Scores of choices as slopes of their loss, in place; the answer is the loss. `targets` has one for each row.
pub(crate) fn slopes_of_choices(scores: &mut [f32], choices: usize, targets: impl Iterator<Item = usize>) -> f64 {
    softmax_rows(scores, choices);
    let mut loss = 0.0;
    for (odds, target) in scores.chunks_exact_mut(choices).zip(targets) {
        loss -= f64::from(odds[target].max(1e-30)).ln();
        odds[target] -= 1.0;
    }
    loss
}
