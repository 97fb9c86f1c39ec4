//! Balanced trees over the cells of a column: the sub-columns that a model sees.

use crate::codes::SubColumn;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Children of a node at most.
pub(crate) const FAN_OUT: usize = 64;

/// A tree over leaves `0..n`, level by level: how many children each node of the level above has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    /// `[levels][nodes above]`
    members: Vec<Vec<u32>>,
    /// True where neighbouring leaves are neighbouring values.
    ordered: bool,
}

impl Chain {
    /// A tree whose branches weigh about the same. The first `apart` leaves (missing, others) are children of the root.
    pub(crate) fn balanced(weights: &[u64], apart: usize, ordered: bool) -> Chain {
        let leaves = weights.len() - apart;
        let mut levels = 1;
        while FAN_OUT.pow(levels) < leaves.max(weights.len().min(FAN_OUT + 1)) {
            levels += 1;
        }
        let mut members = Vec::new();
        let mut nodes: Vec<Range<usize>> = Vec::new();
        for level in 0..levels {
            let below = levels - 1 - level;
            let split = |node: &Range<usize>| children(weights, node.clone(), below);
            let groups: Vec<Vec<Range<usize>>> = match level {
                0 => {
                    let alone = (0..apart).map(|leaf| leaf..leaf + 1);
                    vec![alone.chain(children(weights, apart..weights.len(), below)).collect()]
                }
                _ => nodes.iter().map(split).collect(),
            };
            members.push(groups.iter().map(|g| g.len() as u32).collect());
            nodes = groups.into_iter().flatten().collect();
        }
        Chain { members, ordered }
    }

    /// How many sub-columns it has.
    pub(crate) fn levels(&self) -> usize {
        self.members.len()
    }

    /// The chain as sub-columns of a table's column.
    pub(crate) fn sub_columns(&self, column: usize) -> impl Iterator<Item = SubColumn> + '_ {
        let level =
            move |(level, members): (usize, &Vec<u32>)| SubColumn::new(column, level, self.ordered, members.clone());
        self.members.iter().enumerate().map(level)
    }

    /// The codes that lead to each leaf: `[levels][leaves]`.
    pub(crate) fn paths(&self) -> Vec<Vec<u32>> {
        let mut paths: Vec<Vec<u32>> = Vec::new();
        for members in &self.members {
            let children = || members.iter().map(|m| *m as usize);
            for path in &mut paths {
                *path = path.iter().zip(children()).flat_map(|(c, m)| std::iter::repeat_n(*c, m)).collect();
            }
            paths.push(children().flat_map(|m| 0..m as u32).collect());
        }
        paths
    }

    /// True where this is a tree with `leaves` leaves.
    pub(crate) fn is_sound(&self, leaves: usize) -> bool {
        let mut nodes = 1;
        for members in &self.members {
            // Every node has a child, so no level has more nodes than there are leaves.
            if members.len() != nodes || members.contains(&0) {
                return false;
            }
            nodes = match members.iter().try_fold(0usize, |sum, m| sum.checked_add(*m as usize)) {
                Some(sum) if sum <= leaves => sum,
                _ => return false,
            };
        }
        nodes == leaves && !self.members.is_empty()
    }
}

/// The children of a node: about the root of its size, so that all levels are equally wide; `below` levels follow.
fn children(weights: &[u64], node: Range<usize>, below: u32) -> Vec<Range<usize>> {
    if below == 0 {
        return node.map(|leaf| leaf..leaf + 1).collect();
    }
    let wanted = (node.len() as f64).powf(1.0 / f64::from(below + 1)).ceil() as usize;
    let starts = group(&weights[node.clone()], wanted.clamp(1, FAN_OUT), FAN_OUT.pow(below));
    let ends = starts.iter().skip(1).copied().chain([node.len()]);
    starts.iter().zip(ends).map(|(start, end)| node.start + start..node.start + end).collect()
}

/// Cuts items into at most `groups` runs of about equal weight and at most `longest` items; returns the start of each run.
/// `groups · longest` must be at least the number of items.
pub(crate) fn group(weights: &[u64], groups: usize, longest: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut left: u64 = weights.iter().sum();
    let mut at = 0;
    while at < weights.len() {
        starts.push(at);
        let others = groups - starts.len();
        let target = left / (others as u64 + 1);
        let mut sum = 0;
        let first = at;
        while at < weights.len() {
            let full = at - first >= longest || (at > first && sum + weights[at] / 2 >= target.max(1));
            if at > first && full && (weights.len() - at).div_ceil(longest) <= others {
                break;
            }
            sum += weights[at];
            at += 1;
        }
        left -= sum;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{nodes, parents};
    use proptest::prelude::*;

    #[test]
    fn heavy_items_stand_alone() {
        assert_eq!(group(&[1, 1, 100, 1, 1, 1], 3, 10), [0, 2, 3]);
        assert_eq!(group(&[1; 6], 3, 2), [0, 2, 4]);
        assert_eq!(group(&[0, 0, 0], 2, 2), [0, 2]);
    }

    proptest! {
        #[test]
        fn paths_lead_to_their_leaves(weights in prop::collection::vec(0u64..1000, 3..9000), apart in 0usize..3) {
            let chain = Chain::balanced(&weights, apart, true);
            prop_assert!(chain.is_sound(weights.len()));
            let sub_columns: Vec<SubColumn> = chain.sub_columns(0).collect();
            prop_assert!(sub_columns.iter().all(|s| s.cardinality() <= FAN_OUT + apart));
            let paths = chain.paths();
            let last = sub_columns.len() - 1;
            let above = parents(&sub_columns, &paths);
            let reached = nodes(&sub_columns[last], &above[last], &paths[last]);
            prop_assert_eq!(reached, (0..weights.len() as u32).collect::<Vec<_>>());
            for leaf in 0..apart {
                prop_assert_eq!(paths[0][leaf], leaf as u32);
                prop_assert!(paths[1..].iter().all(|level| level[leaf] == 0));
            }
        }
    }
}
