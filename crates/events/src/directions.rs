//! In which directions items differ: towards those that the same people choose.
//!
//! Directions are the largest eigenvectors of how much more often than by chance pairs of items meet, as logarithms (factors
//! of positive pointwise mutual information: Levy & Goldberg, "Neural word embedding as implicit matrix factorization", 2014).
//! Only pairs that enough people share say anything; in sparse data, where hardly any have as many as a value needs, two
//! people may be enough. Histories drawn from the singular vectors of people's item sets come too near to these people.

use crate::counts::lifts;
use crate::sequences::Sequences;
use crate::taste::orthonormal;
use rand::Rng;
use rayon::prelude::*;
use twinmart_nets::matrix::dot;
use twinmart_tables::{Draws, Stream};

/// Directions at most.
pub(crate) const DIRECTIONS: usize = 96;
/// Times that directions are multiplied with the pairs before they are made orthonormal again, and how often that is done.
const TOGETHER: usize = 3;
const ROUNDS: usize = 5;

/// Directions of a catalogue's items.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Directions {
    /// `[items, DIRECTIONS]`, columns orthonormal, those first that explain most; zeros beyond what there is to explain.
    axes: Vec<f32>,
    /// `[DIRECTIONS]` eigenvalues.
    explained: Vec<f32>,
}

impl Directions {
    /// Those of the items of some histories; pairs count that the first of `enough` allows by which most items have any.
    pub(crate) fn of(
        sequences: &Sequences,
        items: usize,
        enough: &[&(dyn Fn(usize) -> bool + Sync)],
        draws: Draws,
    ) -> Directions {
        Directions::of_pairs(&lifts(sequences, items, enough), &mut draws.stream("events.directions"))
    }

    /// The largest eigenvectors of a symmetric matrix in sparse rows (subspace iteration: Halko, Martinsson & Tropp, "Finding
    /// structure with randomness", 2011, algorithm 4.4).
    fn of_pairs(pairs: &[Vec<(u32, f32)>], stream: &mut Stream) -> Directions {
        let mut axes: Vec<f32> = (0..pairs.len() * DIRECTIONS).map(|_| stream.random_range(-1.0..1.0)).collect();
        for _ in 0..ROUNDS {
            for _ in 0..TOGETHER {
                axes = product(pairs, &axes);
            }
            orthonormal(&mut axes, DIRECTIONS);
        }
        let mut explained = [0f64; DIRECTIONS];
        for (axis, image) in axes.chunks_exact(DIRECTIONS).zip(product(pairs, &axes).chunks_exact(DIRECTIONS)) {
            explained.iter_mut().zip(axis.iter().zip(image)).for_each(|(e, (a, b))| *e += f64::from(a * b));
        }
        let mut order: Vec<usize> = (0..DIRECTIONS).collect();
        order.sort_by(|a, b| explained[*b].total_cmp(&explained[*a]));
        let sorted = |row: &[f32]| order.iter().map(|d| row[*d]).collect::<Vec<_>>();
        let axes = axes.chunks_exact(DIRECTIONS).flat_map(sorted).collect();
        Directions { axes, explained: order.iter().map(|d| explained[*d].max(0.0) as f32).collect() }
    }

    /// `[items, count]` of the first directions.
    pub(crate) fn first(&self, count: usize) -> Vec<f32> {
        self.axes.chunks_exact(DIRECTIONS).flat_map(|axis| &axis[..count]).copied().collect()
    }

    /// Where an item lies, `[DIRECTIONS]`: the scalar product of two places is what brings the items together. Of length
    /// one; zeros where nothing is known.
    pub(crate) fn place(&self, item: usize) -> Vec<f32> {
        let axis = &self.axes[item * DIRECTIONS..][..DIRECTIONS];
        let place: Vec<f32> = axis.iter().zip(&self.explained).map(|(x, explained)| x * explained.sqrt()).collect();
        let length = dot(&place, &place).sqrt().max(1e-9);
        place.into_iter().map(|x| x / length).collect()
    }
}

/// `matrix · x`, `[rows, DIRECTIONS]`.
fn product(matrix: &[Vec<(u32, f32)>], x: &[f32]) -> Vec<f32> {
    let of_row = |row: &Vec<(u32, f32)>| {
        let mut sum = [0f32; DIRECTIONS];
        for (item, weight) in row {
            let x = &x[*item as usize * DIRECTIONS..][..DIRECTIONS];
            sum.iter_mut().zip(x).for_each(|(s, x)| *s += weight * x);
        }
        sum
    };
    matrix.par_iter().flat_map_iter(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::{Mat, Side};
    use rand::SeedableRng;

    /// A symmetric matrix with three large eigenvalues and noise.
    fn pairs(size: usize) -> Vec<Vec<(u32, f32)>> {
        let mut stream = Stream::seed_from_u64(3);
        let factors: Vec<[f32; 3]> = (0..size).map(|_| [0; 3].map(|_| stream.random_range(-1.0..1.0))).collect();
        let mut matrix = vec![vec![0f32; size]; size];
        for a in 0..size {
            for b in 0..=a {
                let signal: f32 = (0..3).map(|k| factors[a][k] * factors[b][k] * (3 - k) as f32).sum();
                matrix[a][b] = signal + stream.random_range(-0.1..0.1);
                matrix[b][a] = matrix[a][b];
            }
        }
        matrix.into_iter().map(|row| (0..).zip(row).collect()).collect()
    }

    #[test]
    fn directions_are_eigenvectors_as_faer_finds_them() {
        let pairs = pairs(90);
        let directions = Directions::of_pairs(&pairs, &mut Stream::seed_from_u64(1));
        let matrix = Mat::from_fn(90, 90, |a, b| f64::from(pairs[a][b].1));
        let eigen = matrix.self_adjoint_eigen(Side::Lower).unwrap();
        for direction in 0..3 {
            let place = 89 - direction;
            let expected = eigen.S().column_vector()[place];
            assert!((f64::from(directions.explained[direction]) / expected - 1.0).abs() < 1e-3);
            let along: f64 = (0..90)
                .map(|item| eigen.U()[(item, place)] * f64::from(directions.axes[item * DIRECTIONS + direction]))
                .sum();
            assert!((along.abs() - 1.0).abs() < 1e-3, "{direction}: {along}");
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| Directions::of_pairs(&pairs, &mut Stream::seed_from_u64(1))), directions);
    }

    #[test]
    fn items_lie_where_enough_people_put_them_and_nobody_does_alone() {
        // Twenty people have some of the items 0 to 3, others some of 4 to 7; one person has 8 and 9 with all of 0 to 3.
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for user in 0..41u32 {
            let items: Vec<u32> = match user {
                40 => (0..4).chain(8..10).collect(),
                _ => (0..4).filter(|item| *item != user / 2 % 4).map(|item| item + user % 2 * 4).collect(),
            };
            sequences.session.extend(vec![0; items.len()]);
            sequences.item.extend(items);
            sequences.offsets.push(sequences.item.len());
        }
        sequences.time = vec![0; sequences.item.len()];
        sequences.action = vec![0; sequences.item.len()];
        let directions = Directions::of(&sequences, 10, &[&|people| people >= 5], Draws::new(1));
        let likeness = |a: usize, b: usize| dot(&directions.place(a), &directions.place(b));
        for (a, b) in [(0, 1), (2, 3), (4, 7), (5, 6)] {
            assert!(likeness(a, b) > 0.9, "{a} {b}: {}", likeness(a, b));
        }
        assert!(likeness(0, 4).abs() < 0.1 && likeness(3, 7).abs() < 0.1);
        assert!([8, 9].iter().all(|item| directions.place(*item).iter().all(|x| x.abs() < 1e-6)));
    }
}
