//! Choosing among more items than fit one softmax.
//!
//! A choice is among leaves: all clusters, and the items that the history brings to mind, which leave their clusters for it.
//! After a cluster it is among the cluster's other items.
//!
//! ```text
//! item:     v_i = u_c(i) + w_i,  s_i = q · v_i + b_i + gates · features_i + gate · lift_i
//! cluster:  s_c = q · u_c + b_c + gate · lift_c + ln(share of c's events that are of items not brought to mind)
//! p(i) = softmax over leaves, of i                                     where the history brings i to mind
//! p(i) = softmax over leaves, of c(i) · softmax over c(i)'s others, of i          otherwise
//! ```
//!
//! Likelihood and gradient are exact; every item has one way to be chosen. A cluster's own parameters stand for
//! ln Σ exp s_i over its items, which a softmax over all items would need. One choice costs
//! (clusters + candidates + items of a cluster) · width, whatever the number of items.

use crate::clusters::Clusters;
use crate::items::{Choice, Part, PartSlopes, slopes_of_choices};
use crate::layout::{GATES, Layout};
use crate::recall::FEATURES;
use crate::slopes::ItemSlopes;
use twinmart_nets::brief::{lengthened, packed, shortened};
use twinmart_nets::exponential::softmax_rows;
use twinmart_nets::matrix::{add, add_multiples, add_packed_products, add_products, dot, multiply_add, rows, rows_mut};

/// Score of a cluster whose items are all brought to mind, and of these within their clusters.
const NEVER: f32 = -1e30;
/// What is left of a cluster's events, at least: rounding may leave less.
const LEAST_LEFT: f32 = 1e-4;

/// Items in clusters.
#[derive(Debug, Clone)]
pub(crate) struct Clustered<'a> {
    layout: &'a Layout,
    weights: &'a [f32],
    clusters: &'a Clusters,
    /// What items have of their own once more, in short numbers, where many choices read it; else nothing.
    brief: Vec<u32>,
}

/// What one event's candidates take from their clusters: `[clusters]` share of events, and number of items.
#[derive(Debug, Default)]
struct Taken {
    share: Vec<f32>,
    items: Vec<u32>,
}

impl<'a> Clustered<'a> {
    pub(crate) fn new(layout: &'a Layout, weights: &'a [f32], clusters: &'a Clusters) -> Clustered<'a> {
        Clustered { layout, weights, clusters, brief: Vec::new() }
    }

    /// The same, choosing faster: what a learned model's items have of their own fits short numbers exactly
    /// ([`shorten_items`]).
    pub(crate) fn for_drawing(self) -> Clustered<'a> {
        let brief = packed(self.own(), self.layout.width);
        Clustered { brief, ..self }
    }

    /// `[clusters, width]`
    fn centres(&self) -> &[f32] {
        &self.weights[self.layout.centres.clone()]
    }

    /// `[items + 1, width]`
    fn own(&self) -> &[f32] {
        &self.weights[self.layout.own.clone()]
    }

    fn bias(&self) -> &[f32] {
        &self.weights[self.layout.bias.clone()]
    }

    /// The cluster of an item; none for the start of a history.
    fn cluster(&self, item: usize) -> Option<usize> {
        (item < self.bias().len()).then(|| self.clusters.of_item(item))
    }

    pub(crate) fn vectors(&self, items: &[usize]) -> Vec<f32> {
        let width = self.layout.width;
        let mut vectors: Vec<f32> =
            items.iter().flat_map(|item| &self.own()[item * width..][..width]).copied().collect();
        for (vector, item) in vectors.chunks_exact_mut(width).zip(items) {
            if let Some(cluster) = self.cluster(*item) {
                add(vector, &self.centres()[cluster * width..][..width]);
            }
        }
        vectors
    }

    pub(crate) fn vectors_back(&self, items: &[usize], slopes: &[f32], gradient: &mut [f32], own: &mut ItemSlopes) {
        let width = self.layout.width;
        let centres = &mut gradient[self.layout.centres.clone()];
        let first = own.add_rows(slopes);
        for (row, (item, slope)) in items.iter().zip(slopes.chunks_exact(width)).enumerate() {
            own.add(*item, first + row, 1.0);
            if let Some(cluster) = self.cluster(*item) {
                add(&mut centres[cluster * width..][..width], slope);
            }
        }
    }

    /// q · u, `[events, clusters]`.
    pub(crate) fn scores(&self, q: &[f32]) -> Vec<f32> {
        let (width, count) = (self.layout.width, self.clusters.count());
        let mut scores = vec![0f32; q.len() / width * count];
        multiply_add(rows_mut(&mut scores, count), rows(q, width), rows(self.centres(), width).transpose());
        scores
    }

    /// Odds of an event's leaves, clusters first, of its row of [`Clustered::scores`].
    fn leaves(&self, centres: &[f32], choice: &Choice, taken: &mut Taken, odds: &mut Vec<f32>) {
        let Choice { q, gates, candidates, memory, season } = *choice;
        let (popularity, lifts) = (&memory.popularity, memory.season(season));
        taken.share.clear();
        taken.share.resize(centres.len(), 0.0);
        taken.items.clear();
        taken.items.resize(centres.len(), 0);
        for item in &candidates.items {
            let cluster = self.clusters.of_item(*item as usize);
            taken.share[cluster] += popularity.share[*item as usize];
            taken.items[cluster] += 1;
        }
        odds.clear();
        let bias = &self.weights[self.layout.cluster_bias.clone()];
        let of_clusters = centres.iter().zip(bias).zip(&popularity.seasons[season]);
        odds.extend(of_clusters.map(|((score, bias), lift)| score + bias + gates[FEATURES] * lift));
        for (cluster, odds) in odds.iter_mut().enumerate().filter(|(cluster, _)| taken.items[*cluster] > 0) {
            let is_empty = taken.items[cluster] as usize == self.clusters.members(cluster).len();
            *odds = if is_empty { NEVER } else { *odds + (1.0 - taken.share[cluster]).max(LEAST_LEFT).ln() };
        }
        odds.extend(
            candidates
                .items
                .iter()
                .map(|item| *item as usize)
                .map(|item| centres[self.clusters.of_item(item)] + self.bias()[item] + gates[FEATURES] * lifts[item]),
        );
        candidates.add_features(gates, &mut odds[centres.len()..]);
        self.add_own(&mut odds[centres.len()..], q, &candidates.items);
        let leaves = odds.len();
        softmax_rows(odds, leaves);
    }

    /// Adds q · w of some items.
    fn add_own(&self, scores: &mut [f32], q: &[f32], items: &[u32]) {
        match &self.brief[..] {
            [] => add_products(scores, q, self.own(), items),
            brief => add_packed_products(scores, q, brief, items),
        }
    }

    /// The items of a cluster that the history does not bring to mind, and their scores.
    fn others(&self, cluster: usize, choice: &Choice) -> (Vec<u32>, Vec<f32>) {
        let Choice { q, gates, candidates, memory, season } = *choice;
        let members = self.clusters.members(cluster);
        let mut is_open = vec![true; members.len()];
        for item in candidates.items.iter().filter(|item| self.clusters.of_item(**item as usize) == cluster) {
            if let Ok(place) = members.binary_search(item) {
                is_open[place] = false;
            }
        }
        let open: Vec<u32> = members.iter().zip(is_open).filter(|(_, open)| *open).map(|(item, _)| *item).collect();
        let lifts = memory.season(season);
        let score = |item: &u32| self.bias()[*item as usize] + gates[FEATURES] * lifts[*item as usize];
        let mut scores: Vec<f32> = open.iter().map(score).collect();
        self.add_own(&mut scores, q, &open);
        (open, scores)
    }

    /// An item for an event with its row of [`Clustered::scores`].
    pub(crate) fn choose(&self, scores: &[f32], choice: &Choice, mut pick: impl FnMut(&[f32]) -> usize) -> usize {
        let mut odds = Vec::new();
        self.leaves(scores, choice, &mut Taken::default(), &mut odds);
        let leaf = pick(&odds);
        if let Some(candidate) = leaf.checked_sub(scores.len()) {
            return choice.candidates.items[candidate] as usize;
        }
        let (items, mut odds) = self.others(leaf, choice);
        softmax_rows(&mut odds, items.len());
        items[pick(&odds)] as usize
    }

    /// The odds of all items for some events, `[events, items]`, of queries `[events, width]`.
    pub(crate) fn odds(&self, q: &[f32], choices: &[Choice]) -> Vec<f32> {
        let (width, items) = (self.layout.width, self.bias().len());
        let centres = self.scores(q);
        let mut odds = self.bias().repeat(choices.len());
        let own = rows(&self.own()[..items * width], width).transpose();
        multiply_add(rows_mut(&mut odds, items), rows(q, width), own);
        let events = odds.chunks_exact_mut(items).zip(centres.chunks_exact(self.clusters.count()));
        events.zip(choices).for_each(|((odds, centres), choice)| self.odds_of_event(odds, centres, choice));
        odds
    }

    /// The odds of all items in place of what queries and biases say: of those that the history brings to mind as leaves, of
    /// all others those of their clusters times those within.
    fn odds_of_event(&self, scores: &mut [f32], centres: &[f32], choice: &Choice) {
        let Choice { gates, candidates, memory, season, .. } = *choice;
        let mut leaves = Vec::new();
        self.leaves(centres, choice, &mut Taken::default(), &mut leaves);
        let (of_clusters, of_candidates) = leaves.split_at(centres.len());
        scores.iter_mut().zip(memory.season(season)).for_each(|(score, lift)| *score += gates[FEATURES] * lift);
        candidates.items.iter().for_each(|item| scores[*item as usize] = NEVER);
        let mut within = Vec::new();
        for (cluster, of_cluster) in of_clusters.iter().enumerate() {
            let members = self.clusters.members(cluster);
            within.clear();
            within.extend(members.iter().map(|item| scores[*item as usize]));
            softmax_rows(&mut within, members.len());
            members.iter().zip(&within).for_each(|(item, odds)| scores[*item as usize] = of_cluster * odds);
        }
        candidates.items.iter().zip(of_candidates).for_each(|(item, odds)| scores[*item as usize] = *odds);
    }

    pub(crate) fn loss(&self, part: &Part, mut slopes: Option<PartSlopes>) -> f64 {
        let (width, count) = (self.layout.width, self.clusters.count());
        let mut scores = self.scores(part.q);
        let first = slopes.as_mut().map_or(0, |slopes| slopes.own.add_rows(part.q));
        let (mut taken, mut odds) = (Taken::default(), Vec::new());
        let mut loss = 0.0;
        for (event, (choice, target)) in part.choices.iter().zip(&part.targets).enumerate() {
            let centres = &mut scores[event * count..][..count];
            self.leaves(centres, choice, &mut taken, &mut odds);
            let candidate = choice.candidates.items.iter().position(|item| *item as usize == *target);
            let leaf = candidate.map_or(self.clusters.of_item(*target), |place| count + place);
            loss -= f64::from(odds[leaf].max(1e-30)).ln();
            odds[leaf] -= 1.0;
            let within = (candidate.is_none()).then(|| self.within(*target, choice));
            loss += within.as_ref().map_or(0.0, |(loss, ..)| *loss);
            if let Some(slopes) = &mut slopes {
                let mut slopes = EventSlopes {
                    q: &mut slopes.q[event * width..][..width],
                    gates: &mut slopes.gates[event * GATES..][..GATES],
                    gradient: slopes.gradient,
                    own: slopes.own,
                    row: first + event,
                };
                self.leaves_back(&odds, choice, centres, &mut slopes);
                if let Some((_, items, within)) = within {
                    self.items_back(&items, &within, choice, &mut slopes);
                }
            }
        }
        if let Some(PartSlopes { q, gradient, .. }) = slopes {
            multiply_add(rows_mut(q, width), rows(&scores, count), rows(self.centres(), width));
            let centres = &mut gradient[self.layout.centres.clone()];
            multiply_add(rows_mut(centres, width), rows(&scores, count).transpose(), rows(part.q, width));
        }
        loss
    }

    /// The loss of an item among its cluster's others, these, and the slopes of their scores.
    fn within(&self, target: usize, choice: &Choice) -> (f64, Vec<u32>, Vec<f32>) {
        let (items, mut slopes) = self.others(self.clusters.of_item(target), choice);
        let place = items.iter().position(|item| *item as usize == target).unwrap_or(0);
        let loss = slopes_of_choices(&mut slopes, items.len(), std::iter::once(place));
        (loss, items, slopes)
    }

    /// The way back of [`Clustered::leaves`], of the slopes of their scores; writes that of `centres` into it.
    fn leaves_back(&self, leaves: &[f32], choice: &Choice, centres: &mut [f32], slopes: &mut EventSlopes) {
        let (of_clusters, of_items) = leaves.split_at(centres.len());
        centres.copy_from_slice(of_clusters);
        add(&mut slopes.gradient[self.layout.cluster_bias.clone()], of_clusters);
        slopes.gates[FEATURES] += dot(of_clusters, &choice.memory.popularity.seasons[choice.season]);
        for ((item, features), slope) in choice.candidates.rows().zip(of_items) {
            centres[self.clusters.of_item(item)] += slope;
            slopes.gates.iter_mut().zip(features).for_each(|(g, f)| *g += slope * f);
        }
        self.items_back(&choice.candidates.items, of_items, choice, slopes);
    }

    /// The slopes of what items have of their own, of those of their scores.
    fn items_back(&self, items: &[u32], of_items: &[f32], choice: &Choice, slopes: &mut EventSlopes) {
        let lifts = choice.memory.season(choice.season);
        add_multiples(slopes.q, of_items, self.own(), items);
        let bias = &mut slopes.gradient[self.layout.bias.clone()];
        for (item, slope) in items.iter().map(|item| *item as usize).zip(of_items) {
            bias[item] += slope;
            slopes.gates[FEATURES] += slope * lifts[item];
            slopes.own.add(item, slopes.row, *slope);
        }
    }
}

/// Brings what items have of their own to the nearest short numbers: a learned model's likelihood and its draws are of the
/// same numbers.
pub(crate) fn shorten_items(layout: &Layout, weights: &mut [f32]) {
    weights[layout.own.clone()].iter_mut().for_each(|x| *x = lengthened(shortened(*x)));
}

/// Where the slopes of one event go.
struct EventSlopes<'a> {
    q: &'a mut [f32],
    gates: &'a mut [f32],
    gradient: &'a mut [f32],
    own: &'a mut ItemSlopes,
    /// The event's query among the rows of `own`.
    row: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Sizes;
    use crate::recall::{Candidates, Memory};
    use crate::taste::normal;
    use rand::Rng;
    use twinmart_nets::decoder::Shape;
    use twinmart_tables::{Draws, Stream};

    const ITEMS: usize = 40;
    const COUNT: usize = 6;
    const WIDTH: usize = 4;

    /// A network of random numbers; cluster 0 has one item, which comes to mind with all items of cluster 1 and some others.
    struct Case {
        layout: Layout,
        weights: Vec<f32>,
        clusters: Clusters,
        memory: Memory,
        candidates: Candidates,
        q: Vec<f32>,
        gates: Vec<f32>,
    }

    impl Case {
        fn new() -> Case {
            let mut stream: Stream = Draws::new(3).stream("clustered");
            let sizes = Sizes {
                decoder: Shape { width: WIDTH, heads: 1, layers: 1, hidden: 4, reach: 4 },
                items: ITEMS,
                marks: 0,
                clusters: COUNT,
                arrivals: 3,
                gaps: 1,
                actions: 1,
                seasons: 2,
                profile: vec![1],
                taste: 0,
            };
            let layout = Layout::new(&sizes);
            let weights = (0..layout.total).map(|_| 0.7 * normal(&mut stream)).collect();
            let of_item = |item: usize| if item == 7 { 0 } else { 1 + (item as u32 * 3) % 5 };
            let clusters = Clusters::restore((0..ITEMS).map(of_item).collect(), COUNT).unwrap();
            let memory = Memory {
                rarity: (0..ITEMS).map(|_| stream.random_range(5.0..200.0)).collect(),
                seasons: (0..2).map(|_| (0..ITEMS).map(|_| 0.5 * normal(&mut stream)).collect()).collect(),
                ..Memory::default()
            };
            let memory = memory.in_clusters(Some(&clusters));
            let items: Vec<u32> = [7, 31, 11, 2].into_iter().chain(clusters.members(1).iter().copied()).collect();
            let features = (0..items.len() * FEATURES).map(|_| stream.random_range(0.0..1.0)).collect();
            let q = (0..WIDTH).map(|_| normal(&mut stream)).collect();
            let gates = (0..GATES).map(|_| normal(&mut stream) * 0.5).collect();
            Case {
                layout,
                weights,
                clusters,
                memory,
                candidates: Candidates { items, features, ..Candidates::default() },
                q,
                gates,
            }
        }

        fn choice(&self) -> Choice<'_> {
            let Case { q, gates, candidates, memory, .. } = self;
            Choice { q, gates, candidates, memory, season: 1 }
        }

        fn clustered(&self) -> Clustered<'_> {
            Clustered::new(&self.layout, &self.weights, &self.clusters)
        }

        /// The probability of each item, by the formulas.
        fn probabilities(&self) -> Vec<f64> {
            let number = |range: &std::ops::Range<usize>, place: usize| f64::from(self.weights[range.start + place]);
            let product = |range: &std::ops::Range<usize>, row: usize| -> f64 {
                (0..WIDTH).map(|x| f64::from(self.q[x]) * number(range, row * WIDTH + x)).sum()
            };
            let gate = f64::from(self.gates[FEATURES]);
            let place = |item: usize| self.candidates.items.iter().position(|i| *i as usize == item);
            let score = |item: usize| {
                let mut score = product(&self.layout.own, item) + number(&self.layout.bias, item);
                score += product(&self.layout.centres, self.clusters.of_item(item));
                score += gate * f64::from(self.memory.seasons[1][item]);
                if let Some(place) = place(item) {
                    let features = &self.candidates.features[place * FEATURES..][..FEATURES];
                    score += features.iter().zip(&self.gates).map(|(f, g)| f64::from(*f) * f64::from(*g)).sum::<f64>();
                }
                score
            };
            let popular = |item: &usize| 1.0 / f64::from(self.memory.rarity[*item]);
            let members = |c: usize| (0..ITEMS).filter(move |item| self.clusters.of_item(*item) == c);
            let others = |c: usize| members(c).filter(|item| place(*item).is_none());
            let cluster = |c: usize| {
                let all: f64 = members(c).map(|i| popular(&i)).sum();
                let lift = |i: usize| popular(&i) / all * f64::from(self.memory.seasons[1][i]).exp();
                let left = others(c).map(|i| popular(&i)).sum::<f64>() / all;
                let learned = product(&self.layout.centres, c) + number(&self.layout.cluster_bias, c);
                (learned + gate * members(c).map(lift).sum::<f64>().ln()).exp() * left
            };
            let brought: f64 = self.candidates.items.iter().map(|item| score(*item as usize).exp()).sum();
            let total = brought + (0..COUNT).map(cluster).sum::<f64>();
            let of_item = |item: usize| match place(item) {
                Some(_) => score(item).exp() / total,
                None => {
                    let c = self.clusters.of_item(item);
                    let within = score(item).exp() / others(c).map(|i| score(i).exp()).sum::<f64>();
                    cluster(c) / total * within
                }
            };
            (0..ITEMS).map(of_item).collect()
        }
    }

    #[test]
    fn the_loss_is_that_of_probabilities_that_sum_to_one() {
        let case = Case::new();
        let expected = case.probabilities();
        let sum = |item: usize| {
            let part = Part { q: &case.q, choices: vec![case.choice()], targets: vec![item] };
            let found = (-case.clustered().loss(&part, None)).exp();
            assert!((found / expected[item] - 1.0).abs() < 1e-4, "{item}: {found} {}", expected[item]);
            found
        };
        let odds = case.clustered().odds(&case.q, &[case.choice()]);
        for (item, odds) in odds.iter().enumerate() {
            assert!((f64::from(*odds) / sum(item) - 1.0).abs() < 1e-5, "{item}: {odds} {}", sum(item));
        }
        assert!(((0..ITEMS).map(sum).sum::<f64>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn short_numbers_choose_as_the_model_says() {
        let mut case = Case::new();
        shorten_items(&case.layout, &mut case.weights);
        let clustered = case.clustered();
        let odds = |clustered: &Clustered| {
            let mut odds = Vec::new();
            clustered.leaves(&clustered.scores(&case.q), &case.choice(), &mut Taken::default(), &mut odds);
            (odds, clustered.others(2, &case.choice()))
        };
        let ((leaves, (items, scores)), (near_leaves, (near_items, near_scores))) =
            (odds(&clustered), odds(&clustered.clone().for_drawing()));
        assert_eq!(items, near_items);
        // The same numbers, added in another order.
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1.0 + a.abs());
        assert!(leaves.iter().zip(&near_leaves).all(near) && scores.iter().zip(&near_scores).all(near));
    }

    #[test]
    fn items_are_drawn_as_often_as_they_are_likely() {
        let case = Case::new();
        let (clustered, mut stream) = (case.clustered(), Draws::new(4).stream("drawn"));
        let scores = clustered.scores(&case.q);
        let mut counts = [0f64; ITEMS];
        let draws = 200_000;
        for _ in 0..draws {
            let pick = |odds: &[f32]| {
                let mut place = stream.random::<f32>() * odds.iter().sum::<f32>();
                let mut passes = |odds: &f32| {
                    place -= odds;
                    place < 0.0
                };
                odds.iter().position(&mut passes).unwrap_or(0)
            };
            counts[clustered.choose(&scores, &case.choice(), pick)] += 1.0;
        }
        let of = |(count, p): (&f64, f64)| (count - p * draws as f64).powi(2) / (p * draws as f64);
        let chi_square: f64 = counts.iter().zip(case.probabilities()).map(of).sum();
        // 39 degrees of freedom: above 104 once in ten million.
        assert!(chi_square < 104.0, "{chi_square}");
    }
}
