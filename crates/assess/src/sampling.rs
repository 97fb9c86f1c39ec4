//! Random subsets of rows.

use rand::seq::SliceRandom;
use twinmart_tables::Stream;

/// `count` of the rows `0..rows` without replacement, in random order; all of them where there are no more.
pub(crate) fn sample_rows(rows: usize, count: usize, stream: &mut Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    let (chosen, _) = order.partial_shuffle(stream, count);
    chosen.to_vec()
}

/// The rows `0..rows` in two random halves, each ascending.
pub(crate) fn halves(rows: usize, stream: &mut Stream) -> (Vec<usize>, Vec<usize>) {
    let mut order = sample_rows(rows, rows, stream);
    let mut second = order.split_off(rows / 2);
    order.sort_unstable();
    second.sort_unstable();
    (order, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_tables::Draws;

    #[test]
    fn samples_are_distinct_and_halves_complete() {
        let mut stream = Draws::new(1).stream("test");
        let mut rows = sample_rows(10, 4, &mut stream);
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 4);
        let (a, b) = halves(7, &mut stream);
        let mut all = [a, b].concat();
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
    }
}
