//! How the numbers of tastes are distributed, one by one: most people are near the middle, and a few far from it, which a normal
//! distribution has not.

use serde::{Deserialize, Serialize};

/// For each number of some people's tastes, what normal numbers stand for: the means of equally many people each, those of the
/// lowest numbers first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Margins {
    /// `[parts]` means of the normal numbers of each part of the people.
    normal: Vec<f32>,
    /// `[dimensions, parts]` means of theirs.
    values: Vec<f32>,
}

/// Parts of the people at most, and people of each at least.
const MOST_PARTS: usize = 32;
const PEOPLE_OF_PART: usize = 20;

impl Margins {
    /// Puts normal numbers in the place of those of some people's tastes, `[people][dimensions]`: those of their ranks (van der
    /// Waerden's scores), equal ones for equal numbers. Given one after the other, they would make those who come late alike
    /// in all numbers that many people share.
    pub(crate) fn taken(rows: &mut [&mut [f32]], dimensions: usize) -> Margins {
        let people = rows.len();
        let scores: Vec<f32> = (0..people).map(|rank| quantile((rank as f64 + 0.5) / people as f64) as f32).collect();
        let parts = (people / PEOPLE_OF_PART).min(MOST_PARTS);
        let part = |part: usize| part * people / parts..(part + 1) * people / parts;
        let mean = |numbers: &mut dyn Iterator<Item = f32>| {
            let (sum, count) = numbers.fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
            sum / f32::max(count, 1.0)
        };
        let normal = (0..parts).map(|p| mean(&mut scores[part(p)].iter().copied())).collect();
        let mut values = Vec::with_capacity(dimensions * parts);
        let mut shared = Vec::with_capacity(people);
        let mut take = |number: usize| {
            let mut order: Vec<usize> = (0..people).collect();
            order.sort_by(|a, b| rows[*a][number].total_cmp(&rows[*b][number]));
            values.extend((0..parts).map(|p| mean(&mut order[part(p)].iter().map(|person| rows[*person][number]))));
            let mut rank = 0;
            for equal in order.chunk_by(|a, b| rows[*a][number] == rows[*b][number]) {
                let score = mean(&mut scores[rank..rank + equal.len()].iter().copied());
                shared.extend(equal.iter().map(|person| (*person, score)));
                rank += equal.len();
            }
            shared.drain(..).for_each(|(person, score)| rows[person][number] = score);
        };
        (0..dimensions).for_each(&mut take);
        Margins { normal, values }
    }

    /// What a normal number stands for: between means, and beyond them, on straight lines; itself where there are too few people.
    pub(crate) fn value(&self, number: usize, normal: f32) -> f32 {
        let parts = self.normal.len();
        if parts < 2 {
            return normal;
        }
        let after = self.normal.partition_point(|n| *n < normal).clamp(1, parts - 1);
        let (x, y) = (&self.normal[after - 1..=after], &self.values[number * parts..][after - 1..=after]);
        y[0] + (y[1] - y[0]) * (normal - x[0]) / (x[1] - x[0])
    }

    /// True where every normal number stands for a finite one.
    pub(crate) fn is_sound(&self, dimensions: usize) -> bool {
        self.normal.is_sorted_by(|a, b| a < b)
            && self.normal.iter().chain(&self.values).all(|x| x.is_finite())
            && self.values.len() == dimensions * self.normal.len()
    }
}

/// The normal number below which a share of all is, above 0 and below 1, to 1e-9: by halving.
fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-10.0f64, 10.0f64);
    for _ in 0..36 {
        let middle = (low + high) / 2.0;
        let below = libm::erfc(-middle / std::f64::consts::SQRT_2) / 2.0;
        if below < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        let known = [(0.5, 0.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306), (0.841_344_746, 1.0)];
        assert!(known.iter().all(|(share, expected)| (quantile(*share) - expected).abs() < 1e-8));
    }

    #[test]
    fn normal_numbers_stand_for_numbers_as_people_have_them() {
        // Two numbers of 2,000 people: an exponential distribution in some order, and its negative.
        let value = |person: usize| -((person * 997 % 2_000) as f32 / 2_000.0 + 0.000_25).ln();
        let mut tastes: Vec<f32> = (0..2_000).flat_map(|person| [value(person), -value(person)]).collect();
        let mut rows: Vec<&mut [f32]> = tastes.chunks_exact_mut(2).collect();
        let margins = Margins::taken(&mut rows, 2);
        assert!(margins.is_sound(2) && !margins.is_sound(3));
        let (mean, square) = rows.iter().fold((0.0, 0.0), |(m, s), row| (m + row[0] / 2e3, s + row[0].powi(2) / 2e3));
        assert!(mean.abs() < 1e-3 && (square - 1.0).abs() < 1e-2, "{mean} {square}");
        for (person, row) in rows.iter().enumerate() {
            let expected = value(person);
            // Inside the last parts only their means are known.
            let far = if expected > 3.0 { 2.0 } else { 0.06 };
            assert!((margins.value(0, row[0]) - expected).abs() < far, "{expected} {}", margins.value(0, row[0]));
            assert!((margins.value(1, row[1]) + expected).abs() < far);
        }
    }

    #[test]
    fn who_shares_a_number_shares_its_normal_number() {
        // Of 400 people, most share the first number, and others the second.
        let mut tastes: Vec<f32> =
            (0..400).flat_map(|person| [f32::from(person % 5 == 0), f32::from(person % 7 == 0)]).collect();
        let known = tastes.clone();
        let margins = Margins::taken(&mut tastes.chunks_exact_mut(2).collect::<Vec<_>>(), 2);
        for (normal, known) in tastes.chunks_exact(2).zip(known.chunks_exact(2)) {
            for number in 0..2 {
                assert!((margins.value(number, normal[number]) - known[number]).abs() < 0.05);
            }
        }
        for number in 0..2 {
            let mut normal: Vec<f32> = tastes.iter().skip(number).step_by(2).copied().collect();
            normal.sort_by(f32::total_cmp);
            normal.dedup();
            assert_eq!(normal.len(), 2);
        }
    }

    #[test]
    fn few_people_have_normal_numbers() {
        let mut tastes = [3.0f32, 5.0, 4.0];
        let mut rows: Vec<&mut [f32]> = tastes.chunks_exact_mut(1).collect();
        let margins = Margins::taken(&mut rows, 1);
        assert_eq!(margins.value(0, 1.5), 1.5);
        assert!(tastes[0] < tastes[2] && tastes[2] < tastes[1] && tastes[2].abs() < 1e-6);
        assert!(Margins::taken(&mut [], 4).is_sound(4));
    }
}
