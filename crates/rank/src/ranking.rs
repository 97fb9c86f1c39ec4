//! The ranking contract: score descending, then item ascending; a score that is not a number is an error.

/// Positions of the `k` best of `scores` among the items that are not `blocked`, best first. `None` where a score is
/// NaN. One pass; independent of anything but the scores.
pub fn top_k(scores: &[f32], blocked: impl Fn(usize) -> bool, k: usize) -> Option<Vec<u32>> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
    for (item, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        // A later item with an equal score ranks behind, so only a greater score can enter a full list.
        let full = best.len() == k;
        if (full && best.last().is_none_or(|(worst, _)| score <= worst)) || blocked(item) {
            continue;
        }
        let place = best.partition_point(|(s, _)| s >= score);
        best.insert(place, (*score, item as u32));
        best.truncate(k);
    }
    Some(best.into_iter().map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_full_stable_sort(scores in prop::collection::vec((-3i8..3).prop_map(|s| f32::from(s) * 0.5), 0..40), block in 0usize..7, k in 0usize..15) {
            let mut order: Vec<u32> = (0..scores.len() as u32).filter(|i| *i as usize % 7 != block).collect();
            order.sort_by(|a, b| scores[*b as usize].partial_cmp(&scores[*a as usize]).unwrap());
            order.truncate(k);
            prop_assert_eq!(top_k(&scores, |i| i % 7 == block, k).unwrap(), order);
        }
    }

    #[test]
    fn not_a_number_is_refused() {
        assert_eq!(top_k(&[1.0, f32::NAN], |_| false, 1), None);
        assert_eq!(top_k(&[f32::NEG_INFINITY, f32::INFINITY], |_| false, 2), Some(vec![1, 0]));
    }
}
