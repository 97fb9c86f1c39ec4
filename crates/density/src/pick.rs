//! Drawing one of several weighted things.

/// The position at which the running total of the weights passes the share `at` of the whole; never one that weighs nothing,
/// unless all do.
pub(crate) fn pick(weights: impl Iterator<Item = f32> + Clone, at: f32) -> u32 {
    let mut left = at * weights.clone().sum::<f32>();
    let mut last = 0;
    for (position, weight) in weights.enumerate() {
        if weight > 0.0 {
            last = position;
            if left < weight {
                break;
            }
            left -= weight;
        }
    }
    last as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_weights() {
        let weights = [0.0f32, 1.0, 0.0, 3.0, 0.0];
        let mut counts = [0; 5];
        (0..400).for_each(|i| counts[pick(weights.iter().copied(), (i as f32 + 0.5) / 400.0) as usize] += 1);
        assert_eq!(counts, [0, 100, 0, 300, 0]);
        assert_eq!(pick(weights.into_iter(), 1.0), 3);
    }
}
