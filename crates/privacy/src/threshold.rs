//! The person threshold: a value leaves the data only if enough different people share it.
//!
//! t = 5 + U{0, 1, 2}. The random part keeps an observer from learning, by adding or removing one person, on which side of
//! a known border a value lies. It hides single people's values; it is not differential privacy.

use serde::{Deserialize, Serialize};

/// The smallest threshold that is ever used.
const SMALLEST: u32 = 5;
/// How many thresholds there are: [`SMALLEST`] and the next ones.
const CHOICES: u64 = 3;

/// How many different people must hold a value before it may be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonThreshold(u32);

impl PersonThreshold {
    /// The largest threshold that is ever used.
    pub const LARGEST: usize = SMALLEST as usize + CHOICES as usize - 1;

    /// The threshold for 64 uniformly random bits, which must be secret and drawn once per column.
    pub fn draw(random: u64) -> PersonThreshold {
        PersonThreshold(SMALLEST + (random % CHOICES) as u32)
    }

    /// How many people are enough.
    pub fn people(self) -> usize {
        self.0 as usize
    }

    /// True where `people` different people are enough.
    pub fn allows(self, people: usize) -> bool {
        people >= self.people()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_five_six_and_seven_in_equal_shares() {
        let mut seen = [0; 3];
        for random in 0..300 {
            seen[PersonThreshold::draw(random).people() - 5] += 1;
        }
        assert_eq!(seen, [100, 100, 100]);
        assert_eq!(PersonThreshold::LARGEST, 7);
    }

    #[test]
    fn exactly_enough_is_enough() {
        let six = PersonThreshold::draw(1);
        assert!(six.allows(6) && !six.allows(5));
    }
}
