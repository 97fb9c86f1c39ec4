//! A random order of 0 … n − 1 that needs no memory: place → element in a few steps.
//!
//! A four-round Feistel network permutes the numbers of 2b bits, the smallest even width that holds n; elements at or
//! above n are walked on until one lies below (cycle walking; Black & Rogaway, "Ciphers with arbitrary finite domains",
//! 2002). At most four steps are needed on average, because 4ᵇ ≤ 4n.

use twinmart_tables::Digest;

const ROUNDS: u64 = 4;

/// One random order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    key: u64,
    size: u64,
    half_bits: u32,
}

impl Permutation {
    /// The order that `key` names, of 0 … `size` − 1.
    pub(crate) fn new(key: u64, size: u64) -> Permutation {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Permutation { key, size, half_bits: bits.div_ceil(2).max(1) }
    }

    /// The element at `place`, which must be below the size.
    pub(crate) fn at(&self, place: u64) -> u64 {
        let mut x = place;
        loop {
            x = self.network(x);
            if x < self.size {
                return x;
            }
        }
    }

    fn network(&self, x: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for round in 0..ROUNDS {
            let mixed = mix(self.key ^ mix(right.wrapping_add(round << 48))) & mask;
            (left, right) = (right, left ^ mixed);
        }
        left << self.half_bits | right
    }
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Row → training row such that every training row serves as often as any other, once in each round of n rows,
/// each round in an order of its own.
pub(crate) fn balanced(seed: u64, table: &str, row: u64, size: u64) -> u64 {
    let round = row / size;
    let digest = Digest::new("twinmart balanced 1").number(seed).text(table).number(round).finish_bytes();
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    Permutation::new(u64::from_le_bytes(key), size).at(row % size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_element_comes_once(key: u64, size in 1u64..600) {
            let order = Permutation::new(key, size);
            let mut seen: Vec<u64> = (0..size).map(|p| order.at(p)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..size).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rounds_are_balanced_and_differ() {
        let round = |r: u64| (0..50).map(|i| balanced(1, "t", 50 * r + i, 50)).collect::<Vec<_>>();
        let mut sorted = round(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_ne!(round(0), round(1));
    }

    #[test]
    fn places_are_uniform() {
        // The element at place 0 over 20,000 keys: each of 10 values 2,000 times; six standard deviations are 255.
        let mut counts = [0i64; 10];
        for key in 0..20_000 {
            counts[Permutation::new(mix(key), 10).at(0) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (c - 2_000).abs() < 255), "{counts:?}");
    }
}
