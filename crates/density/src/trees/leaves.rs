//! Which leaf a row falls into, for many rows at once.
//!
//! A split says which leaves a row can no longer reach. For each feature of a tree and each bin the reachable leaves are one
//! word of bits; the leaf of a row is the only bit left when the words of its bins are intersected. Bits instead of jumps:
//! Lucchese et al., "QuickScorer" (2015), §3, here with masks for both outcomes, so that leaves need no order.

use super::grow::Structure;

/// Leaves in a word.
const WORD: usize = 64;

/// The reachable leaves of a tree by feature and bin.
pub(crate) struct LeafFinder {
    /// For each word of leaves and each feature that the tree looks at: the feature, and the leaves by bin.
    tables: Vec<Vec<(usize, [u64; 256])>>,
    leaves: usize,
    alive: Vec<u64>,
}

impl LeafFinder {
    /// The tables of a tree.
    pub(crate) fn new(structure: &Structure) -> LeafFinder {
        let words = structure.leaves().div_ceil(WORD);
        let mut tables: Vec<Vec<(usize, [u64; 256])>> = vec![Vec::new(); words];
        let below = leaves_below(structure, words);
        for (node, (left, right)) in structure.nodes.iter().zip(&below) {
            let feature = usize::from(node.feature);
            for (word, tables) in tables.iter_mut().enumerate() {
                if left[word] | right[word] == 0 {
                    continue;
                }
                let place = tables.iter().position(|(f, _)| *f == feature).unwrap_or_else(|| {
                    tables.push((feature, [u64::MAX; 256]));
                    tables.len() - 1
                });
                for (bin, alive) in tables[place].1.iter_mut().enumerate() {
                    *alive &= if node.goes_left(bin as u8) { !right[word] } else { !left[word] };
                }
            }
        }
        LeafFinder { tables, leaves: structure.leaves(), alive: Vec::new() }
    }

    /// Writes the leaf of each row; `bins` is `[features][rows]`.
    #[inline(always)]
    pub(crate) fn find(&mut self, bins: &[&[u8]], leaves: &mut [u16]) {
        for (word, tables) in self.tables.iter().enumerate() {
            let in_word = (self.leaves - word * WORD).min(WORD);
            self.alive.clear();
            self.alive.resize(leaves.len(), u64::MAX >> (WORD - in_word));
            for (feature, table) in tables {
                for (alive, bin) in self.alive.iter_mut().zip(bins[*feature]) {
                    *alive &= table[usize::from(*bin)];
                }
            }
            for (leaf, alive) in leaves.iter_mut().zip(&self.alive) {
                if *alive != 0 {
                    *leaf = (word * WORD) as u16 + alive.trailing_zeros() as u16;
                }
            }
        }
    }
}

/// For each node, the leaves below its left and its right side, as bits.
fn leaves_below(structure: &Structure, words: usize) -> Vec<(Vec<u64>, Vec<u64>)> {
    let mut below: Vec<(Vec<u64>, Vec<u64>)> = vec![(Vec::new(), Vec::new()); structure.nodes.len()];
    // Children come after their parents, so the last node is done first.
    for (number, node) in structure.nodes.iter().enumerate().rev() {
        let side = |child: i16| match usize::try_from(child) {
            Ok(child) => below[child].0.iter().zip(&below[child].1).map(|(l, r)| l | r).collect(),
            Err(_) => {
                let leaf = (-1 - child) as usize;
                let mut bits = vec![0; words];
                bits[leaf / WORD] |= 1 << (leaf % WORD);
                bits
            }
        };
        let sides = (side(node.left), side(node.right));
        below[number] = sides;
    }
    below
}

#[cfg(test)]
mod tests {
    use super::super::grow::Node;
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    /// A random tree over three features, grown by splitting random leaves.
    fn random_tree(leaves: usize, draw: &mut impl Rng) -> Structure {
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
            nodes.push(Node { feature: draw.random_range(0..3), left_bins, left: 0, right: 0 });
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
        fn bits_and_jumps_lead_to_the_same_leaf(leaves in 1usize..300, seed: u64) {
            let mut draw = twinmart_tables::Stream::seed_from_u64(seed);
            let tree = random_tree(leaves, &mut draw);
            let bins: Vec<Vec<u8>> = (0..3).map(|_| (0..50).map(|_| draw.random()).collect()).collect();
            let bins: Vec<&[u8]> = bins.iter().map(Vec::as_slice).collect();
            let mut found = vec![0u16; 50];
            LeafFinder::new(&tree).find(&bins, &mut found);
            for (row, leaf) in found.iter().enumerate() {
                prop_assert_eq!(usize::from(*leaf), tree.leaf(|f| bins[f][row]));
            }
        }
    }
}
