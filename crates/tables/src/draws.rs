//! Named, counter-based random streams: the same (seed, purpose, table, row) gives the same draws on any number of
//! threads, in any order.
//!
//! A family is a ChaCha8 key, the SHA-256 of seed, purpose and table; a row is ChaCha's 64-bit stream number.
//! ChaCha8: Bernstein, "ChaCha, a variant of Salsa20" (2008), with 8 rounds.

use crate::Digest;
use rand::SeedableRng;

/// One random stream; implements `rand::RngCore`.
pub type Stream = rand_chacha::ChaCha8Rng;

/// All random streams of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// Streams of `seed`.
    pub fn new(seed: u64) -> Self {
        Draws { seed }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The streams for one purpose (for example `"interpolate.partner"`) on one table, one per row.
    pub fn family(&self, purpose: &str, table: &str) -> DrawFamily {
        let key = Digest::new("twinmart draws 1").number(self.seed).text(purpose).text(table).finish_bytes();
        DrawFamily { base: Stream::from_seed(key) }
    }

    /// A single stream for a purpose that has no rows.
    pub fn stream(&self, purpose: &str) -> Stream {
        self.family(purpose, "").row(0)
    }
}

/// The streams of one purpose and table.
#[derive(Debug, Clone)]
pub struct DrawFamily {
    base: Stream,
}

impl DrawFamily {
    /// The stream of row (or user, or partition) `row`.
    pub fn row(&self, row: u64) -> Stream {
        let mut stream = self.base.clone();
        stream.set_stream(row);
        stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_repeat_and_differ_in_every_key_part() {
        let first = |seed, purpose, table, row| Draws::new(seed).family(purpose, table).row(row).next_u64();
        assert_eq!(first(1, "a", "t", 5), first(1, "a", "t", 5));
        let base = first(1, "a", "t", 5);
        for other in [first(2, "a", "t", 5), first(1, "b", "t", 5), first(1, "a", "u", 5), first(1, "a", "t", 6)] {
            assert_ne!(base, other);
        }
        // Parts are length-prefixed, so moving a letter between them changes the key.
        assert_ne!(first(1, "ab", "c", 0), first(1, "a", "bc", 0));
    }
}
