//! Which leaf a row falls into, for many rows at once.
//!
//! A split says which leaves a row can no longer reach. For each feature of a tree and each bin the reachable leaves are one
//! word of bits; the leaf of a row is the only bit left when the words of its bins are intersected. Bits instead of jumps:
//! Lucchese et al., "QuickScorer" (2015), §3, here with masks for both outcomes, so that leaves need no order.

use super::grow::{MOST_LEAVES, Structure};

/// The reachable leaves by bin.
type Reachable = [u64; 256];

/// The reachable leaves of a tree by feature and bin.
#[derive(Debug)]
pub(crate) struct LeafFinder {
    /// Features that the tree looks at, and their tables.
    features: Vec<usize>,
    tables: Vec<Reachable>,
}

impl LeafFinder {
    /// The tables of a tree of at most [`MOST_LEAVES`] leaves.
    pub(crate) fn new(structure: &Structure) -> LeafFinder {
        let (mut features, mut tables): (Vec<usize>, Vec<Reachable>) = (Vec::new(), Vec::new());
        let all = u64::MAX >> (MOST_LEAVES - structure.leaves());
        for (node, (left, right)) in structure.nodes.iter().zip(leaves_below(structure)) {
            let feature = usize::from(node.feature);
            let place = features.iter().position(|f| *f == feature).unwrap_or_else(|| {
                features.push(feature);
                tables.push([all; 256]);
                tables.len() - 1
            });
            for (alive, bits) in tables[place].chunks_exact_mut(64).zip(node.left_bins) {
                for (bin, alive) in alive.iter_mut().enumerate() {
                    let goes_left = (bits >> bin & 1).wrapping_neg();
                    *alive &= !(right & goes_left | left & !goes_left);
                }
            }
        }
        LeafFinder { features, tables }
    }

    /// Writes the leaf of each row; `bins` is `[features][rows]`.
    pub(crate) fn find(&self, bins: &[&[u8]], leaves: &mut [u8]) {
        let bins: Vec<&[u8]> = self.features.iter().map(|f| bins[*f]).collect();
        match self.tables.len() {
            0 => leaves.fill(0),
            1 => self.find_in::<1>(&bins, leaves),
            2 => self.find_in::<2>(&bins, leaves),
            3 => self.find_in::<3>(&bins, leaves),
            4 => self.find_in::<4>(&bins, leaves),
            5 => self.find_in::<5>(&bins, leaves),
            6 => self.find_in::<6>(&bins, leaves),
            7 => self.find_in::<7>(&bins, leaves),
            8 => self.find_in::<8>(&bins, leaves),
            _ => self.find_in_many(&bins, leaves),
        }
    }

    /// For as many features as the compiler knows: all words of a row stay in registers.
    fn find_in<const FEATURES: usize>(&self, bins: &[&[u8]], leaves: &mut [u8]) {
        let rows = leaves.len();
        let bins: [&[u8]; FEATURES] = std::array::from_fn(|f| &bins[f][..rows]);
        let tables: [&Reachable; FEATURES] = std::array::from_fn(|f| &self.tables[f]);
        for (row, leaf) in leaves.iter_mut().enumerate() {
            let mut alive = u64::MAX;
            for (table, bins) in tables.iter().zip(&bins) {
                alive &= table[usize::from(bins[row])];
            }
            *leaf = alive.trailing_zeros() as u8;
        }
    }

    fn find_in_many(&self, bins: &[&[u8]], leaves: &mut [u8]) {
        let mut alive = vec![u64::MAX; leaves.len()];
        for (table, bins) in self.tables.iter().zip(bins) {
            for (alive, bin) in alive.iter_mut().zip(*bins) {
                *alive &= table[usize::from(*bin)];
            }
        }
        for (leaf, alive) in leaves.iter_mut().zip(&alive) {
            *leaf = alive.trailing_zeros() as u8;
        }
    }
}

/// For each node, the leaves below its left and its right side, as bits.
fn leaves_below(structure: &Structure) -> Vec<(u64, u64)> {
    let mut below = vec![(0, 0); structure.nodes.len()];
    // Children come after their parents, so the last node is done first.
    for (number, node) in structure.nodes.iter().enumerate().rev() {
        let side = |child: i16| match usize::try_from(child) {
            Ok(child) => below[child].0 | below[child].1,
            Err(_) => 1 << (-1 - child),
        };
        below[number] = (side(node.left), side(node.right));
    }
    below
}

#[cfg(test)]
mod tests {
    use super::super::grow::Node;
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    /// A random tree over `features` features, grown by splitting random leaves.
    fn random_tree(leaves: usize, features: u16, draw: &mut impl Rng) -> Structure {
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<Option<(usize, bool)>> = vec![None];
        while open.len() < leaves {
            let link = open.swap_remove(draw.random_range(0..open.len()));
            let number = nodes.len();
            if let Some((parent, left)) = link {
                let parent: &mut Node = &mut nodes[parent];
                *(if left { &mut parent.left } else { &mut parent.right }) = number as i16;
            }
            let left_bins = std::array::from_fn(|_| draw.random());
            nodes.push(Node { feature: draw.random_range(0..features), left_bins, left: 0, right: 0 });
            open.extend([Some((number, true)), Some((number, false))]);
        }
        for (leaf, link) in open.into_iter().enumerate() {
            if let Some((parent, left)) = link {
                *(if left { &mut nodes[parent].left } else { &mut nodes[parent].right }) = -1 - leaf as i16;
            }
        }
        Structure { nodes }
    }

    proptest! {
        #[test]
        fn bits_and_jumps_lead_to_the_same_leaf(leaves in 1..=MOST_LEAVES, features in 1..12u16, seed: u64) {
            let mut draw = twinmart_tables::Stream::seed_from_u64(seed);
            let tree = random_tree(leaves, features, &mut draw);
            let bins: Vec<Vec<u8>> = (0..features).map(|_| (0..50).map(|_| draw.random()).collect()).collect();
            let bins: Vec<&[u8]> = bins.iter().map(Vec::as_slice).collect();
            let mut found = vec![0u8; 50];
            LeafFinder::new(&tree).find(&bins, &mut found);
            for (row, leaf) in found.iter().enumerate() {
                prop_assert_eq!(usize::from(*leaf), tree.leaf(|f| bins[f][row]));
            }
        }
    }
}
