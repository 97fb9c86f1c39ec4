//! Clusters of items, so that a choice among a hundred thousand items looks at some hundreds.
//!
//! Items that lie near each other (see `places`) go together, as by the rounds
//! of spherical k-means (Dhillon & Modha, "Concept decompositions for large sparse text data using clustering", 2001) with a
//! bounded size: items choose in the order of their popularity, each the nearest cluster that has room.

use crate::places::{WIDTH, write_scaled};
use crate::recall::Memory;
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use twinmart_nets::matrix::{add, multiply, rows, rows_mut};
use twinmart_tables::{Draws, Progress, Result};

/// Clusters for each √items: as many as keeps both their number and their size small.
const PER_ROOT: f64 = 3.0;
/// A cluster has at most this multiple of the mean size.
const MOST_OF_MEAN: f64 = 2.0;
const ROUNDS: u64 = 12;
/// Items that are compared with all clusters at once.
const BLOCK: usize = 256;

/// Which cluster each item belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clusters {
    /// `[items]`
    of_item: Vec<u32>,
    /// `[clusters + 1]`
    offsets: Vec<u32>,
    /// `[items]` the items of each cluster, ascending.
    members: Vec<u32>,
}

/// How popular clusters are: derived from what a [`Memory`] says of their items.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Popularity {
    /// `[items]` share of each item in its cluster's events.
    pub(crate) share: Vec<f32>,
    /// `[seasons][clusters]` the logarithm of how much more popular each cluster was in a season than in all.
    pub(crate) seasons: Vec<Vec<f32>>,
}

impl Clusters {
    /// Clusters of items that lie at some places, `[items, WIDTH]`; `people` has how many chose each.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`] once the user asked to stop.
    pub(crate) fn of(places: &[f32], people: &[usize], draws: Draws, progress: &Progress) -> Result<Clusters> {
        let items = people.len();
        let count = (PER_ROOT * (items as f64).sqrt()).ceil() as usize;
        let mut order: Vec<usize> = (0..items).collect();
        order.sort_by_key(|item| std::cmp::Reverse(people[*item]));
        let centres = centres(places, count.min(items), &mut draws.stream("events.clusters"), progress)?;
        Ok(Clusters::numbered(&with_room(places, &centres, &order)))
    }

    /// Vectors of items in two parts: those of the clusters, `[clusters, width]`, and what their items add to them.
    pub(crate) fn split(&self, mut own: Vec<f32>, width: usize) -> (Vec<f32>, Vec<f32>) {
        let mut centres = vec![0f32; self.count() * width];
        for (cluster, centre) in centres.chunks_exact_mut(width).enumerate() {
            let members =
                || self.members(cluster).iter().map(|item| *item as usize * width..(*item as usize + 1) * width);
            members().for_each(|item| add(centre, &own[item]));
            centre.iter_mut().for_each(|x| *x /= members().len() as f32);
            members().for_each(|item| own[item].iter_mut().zip(&*centre).for_each(|(x, c)| *x -= c));
        }
        (centres, own)
    }

    /// Clusters of which none is empty, numbered anew.
    fn numbered(of_item: &[u32]) -> Clusters {
        let mut used: Vec<u32> = of_item.to_vec();
        used.sort_unstable();
        used.dedup();
        let number = |cluster: &u32| used.partition_point(|u| u < cluster) as u32;
        Clusters::grouped(of_item.iter().map(number).collect(), used.len())
    }

    /// The clusters of items, `clusters` of them; `None` where one has no items or an item no cluster.
    pub(crate) fn restore(of_item: Vec<u32>, clusters: usize) -> Option<Clusters> {
        let exist = clusters <= of_item.len() && of_item.iter().all(|c| (*c as usize) < clusters);
        let found = exist.then(|| Clusters::grouped(of_item, clusters))?;
        found.offsets.is_sorted_by(|a, b| a < b).then_some(found)
    }

    fn grouped(of_item: Vec<u32>, clusters: usize) -> Clusters {
        let mut offsets = vec![0u32; clusters + 1];
        of_item.iter().for_each(|c| offsets[*c as usize + 1] += 1);
        for cluster in 0..clusters {
            offsets[cluster + 1] += offsets[cluster];
        }
        let mut members: Vec<u32> = (0..of_item.len() as u32).collect();
        members.sort_by_key(|item| of_item[*item as usize]);
        Clusters { of_item, offsets, members }
    }

    /// Number of clusters.
    pub(crate) fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The cluster of an item.
    pub(crate) fn of_item(&self, item: usize) -> usize {
        self.of_item[item] as usize
    }

    /// The cluster of each item.
    pub(crate) fn of_items(&self) -> &[u32] {
        &self.of_item
    }

    /// The items of a cluster, ascending.
    pub(crate) fn members(&self, cluster: usize) -> &[u32] {
        &self.members[self.offsets[cluster] as usize..self.offsets[cluster + 1] as usize]
    }

    /// The sums of something of items for each cluster.
    pub(crate) fn sums(&self, of_items: &[f64]) -> Vec<f64> {
        let sum = |cluster| self.members(cluster).iter().map(|item| of_items[*item as usize]).sum();
        (0..self.count()).map(sum).collect()
    }

    /// How popular the clusters are.
    pub(crate) fn popularity(&self, memory: &Memory) -> Popularity {
        // The rarity of an item in a model file may be any number.
        let events = |item: &u32| 1.0 / memory.rarity[*item as usize].max(1.0);
        let mut share = vec![0f32; self.of_item.len()];
        for cluster in 0..self.count() {
            let sum: f32 = self.members(cluster).iter().map(events).sum();
            self.members(cluster).iter().for_each(|item| share[*item as usize] = events(item) / sum);
        }
        let lift = |lifts: &[f32], cluster: usize| {
            let of = |item: &u32| share[*item as usize] * lifts[*item as usize].clamp(-20.0, 20.0).exp();
            self.members(cluster).iter().map(of).sum::<f32>().ln()
        };
        let seasons = memory.seasons.iter().map(|lifts| (0..self.count()).map(|c| lift(lifts, c)).collect()).collect();
        Popularity { share, seasons }
    }
}

/// How near items are to centres, `[items, centres]`.
fn nearness(places: &[f32], centres: &[f32]) -> Vec<f32> {
    let count = centres.len() / WIDTH;
    let mut near = vec![0f32; places.len() / WIDTH * count];
    multiply(rows_mut(&mut near, count), rows(places, WIDTH), rows(centres, WIDTH).transpose());
    near
}

/// Centres of k-means, `[count, WIDTH]`, each of length one.
fn centres(places: &[f32], count: usize, stream: &mut impl Rng, progress: &Progress) -> Result<Vec<f32>> {
    let items = places.len() / WIDTH;
    let mut first: Vec<usize> = (0..items).collect();
    let (first, _) = first.partial_shuffle(stream, count);
    let mut centres = vec![0f32; count * WIDTH];
    let place = |item: usize| &places[item * WIDTH..][..WIDTH];
    centres.chunks_exact_mut(WIDTH).zip(&*first).for_each(|(c, item)| write_scaled(c, place(*item), 1.0));
    let task = progress.start("grouping items", Some(ROUNDS), "rounds");
    for _ in 0..ROUNDS {
        let nearest = |block: &[f32]| -> Vec<usize> {
            let best = |row: &[f32]| (0..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best });
            nearness(block, &centres).chunks_exact(count).map(best).collect()
        };
        let nearest: Vec<Vec<usize>> = places.par_chunks(BLOCK * WIDTH).map(nearest).collect();
        let mut sums = vec![0f32; centres.len()];
        for (item, cluster) in nearest.iter().flatten().enumerate() {
            let sum = &mut sums[cluster * WIDTH..][..WIDTH];
            sum.iter_mut().zip(place(item)).for_each(|(s, x)| *s += x);
        }
        for (centre, sum) in centres.chunks_exact_mut(WIDTH).zip(sums.chunks_exact(WIDTH)) {
            // A centre that is nobody's nearest begins again at any item.
            let is_empty = sum.iter().all(|x| *x == 0.0);
            let sum = if is_empty { place(stream.random_range(0..items)) } else { sum };
            write_scaled(centre, sum, 1.0);
        }
        task.advance(1)?;
    }
    Ok(centres)
}

/// The nearest cluster that has room for each item; those first in `order` choose first.
fn with_room(places: &[f32], centres: &[f32], order: &[usize]) -> Vec<u32> {
    let count = centres.len() / WIDTH;
    let most = (MOST_OF_MEAN * order.len() as f64 / count as f64).ceil() as usize;
    let mut sizes = vec![0usize; count];
    let mut of_item = vec![0u32; order.len()];
    // Blocks side by side, but not all of them at once.
    for items in order.chunks(BLOCK * 16) {
        let near: Vec<Vec<f32>> = items
            .par_chunks(BLOCK)
            .map(|items| {
                let own: Vec<f32> = items.iter().flat_map(|item| &places[item * WIDTH..][..WIDTH]).copied().collect();
                nearness(&own, centres)
            })
            .collect();
        for (item, near) in items.iter().zip(near.iter().flat_map(|block| block.chunks_exact(count))) {
            let open = (0..count).filter(|c| sizes[*c] < most);
            let best = open.reduce(|best, c| if near[c] > near[best] { c } else { best }).unwrap_or(0);
            sizes[best] += 1;
            of_item[*item] = best as u32;
        }
    }
    of_item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::directions::Directions;
    use crate::places::{people_of, places_of};
    use crate::sequences::Sequences;
    use twinmart_tables::Stream;

    /// Users who choose within one of 12 topics of 25 items; marks name the topics.
    fn shop() -> (Sequences, Catalogue) {
        let mut stream: Stream = Draws::new(5).stream("shop");
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for user in 0..600u32 {
            sequences.item.extend((0..10).map(|_| user % 12 + 12 * stream.random_range(0..20u32)));
            sequences.offsets.push(sequences.item.len());
        }
        let count = sequences.item.len();
        (sequences.time, sequences.session, sequences.action) = (vec![0; count], vec![0; count], vec![0; count]);
        // The last five items of each topic nobody chose.
        (sequences, Catalogue::new(&(0..300).map(|i| vec![i % 12]).collect::<Vec<_>>(), 12))
    }

    #[test]
    fn clusters_partition_the_items_by_topic_within_their_bounds() {
        let (sequences, catalogue) = shop();
        let of = || {
            let directions = Directions::of(&sequences, 300, &[&|people| people > 4], Draws::new(1));
            let places = places_of(&sequences, &catalogue, &directions, Draws::new(1));
            Clusters::of(&places, &people_of(&sequences, 300), Draws::new(1), &Progress::silent()).unwrap()
        };
        let clusters = of();
        assert!(clusters.count() > 40 && clusters.count() <= 52, "{}", clusters.count());
        let mut all: Vec<u32> = (0..clusters.count()).flat_map(|c| clusters.members(c)).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<u32>>());
        let mut same = 0;
        for cluster in 0..clusters.count() {
            let members = clusters.members(cluster);
            assert!((1..=12).contains(&members.len()));
            assert!(members.iter().all(|item| clusters.of_item(*item as usize) == cluster));
            let of_topic = |topic| members.iter().filter(|item| **item % 12 == topic).count();
            same += (0..12).map(of_topic).max().unwrap();
        }
        assert!(same >= 285, "{same} of 300 items are with their topic");
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(of), clusters);
    }

    #[test]
    fn only_partitions_are_restored() {
        let clusters = Clusters::restore(vec![1, 0, 1, 2], 3).unwrap();
        assert_eq!((clusters.members(1), clusters.count()), (&[0, 2][..], 3));
        assert!(Clusters::restore(vec![1, 0, 1, 2], 2).is_none(), "a cluster that does not exist");
        assert!(Clusters::restore(vec![1, 0, 1, 3], 4).is_none(), "a cluster without items");
        assert!(Clusters::restore(vec![0; 4], usize::MAX).is_none());
        assert!(Clusters::restore(vec![u32::MAX; 4], 4).is_none());
    }

    #[test]
    fn clusters_are_as_popular_as_their_items() {
        let clusters = Clusters::restore(vec![0, 0, 1], 2).unwrap();
        let memory = Memory { rarity: vec![2.0, 4.0, 4.0], seasons: vec![vec![0.5, -0.5, 0.25]], ..Memory::default() };
        let popularity = clusters.popularity(&memory);
        let expected = (2.0 / 3.0 * 0.5f32.exp() + 1.0 / 3.0 * (-0.5f32).exp()).ln();
        assert!(popularity.share.iter().zip([2.0 / 3.0, 1.0 / 3.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!((popularity.seasons[0][0] - expected).abs() < 1e-6 && (popularity.seasons[0][1] - 0.25).abs() < 1e-6);
    }
}
