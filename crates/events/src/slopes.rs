//! Slopes of items' own parts, noted event by event and summed item by item.
//!
//! A choice among some hundreds of a hundred thousand items gives slopes to these alone: slope(item) = Σ factor · row, over
//! the events that looked at it. Only factors are noted as events pass; queries are rows that many factors share.

use rayon::prelude::*;
use twinmart_nets::adam::RowSlopes;
use twinmart_nets::vectorized;

/// Items of a block, whose slopes fit a processor's cache.
const BLOCK: usize = 1_024;

/// One summand of an item's slope.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Term {
    /// Counted from its block's first.
    item: u32,
    row: u32,
    factor: f32,
}

/// The summands of some events.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemSlopes {
    width: usize,
    /// `[rows, width]`
    rows: Vec<f32>,
    /// `[blocks of items]`
    terms: Vec<Vec<Term>>,
}

impl ItemSlopes {
    /// No slope yet, of `items` rows of `width` numbers.
    pub(crate) fn new(items: usize, width: usize) -> ItemSlopes {
        ItemSlopes { width, rows: Vec::new(), terms: vec![Vec::new(); items.div_ceil(BLOCK)] }
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.terms.iter_mut().for_each(Vec::clear);
    }

    /// Takes rows, `[rows, width]`, for terms to come; the answer is the number of the first.
    pub(crate) fn add_rows(&mut self, rows: &[f32]) -> usize {
        let first = self.rows.len() / self.width;
        self.rows.extend_from_slice(rows);
        first
    }

    /// Adds `factor` times a row to an item's slope.
    pub(crate) fn add(&mut self, item: usize, row: usize, factor: f32) {
        let term = Term { item: (item % BLOCK) as u32, row: row as u32, factor };
        self.terms[item / BLOCK].push(term);
    }

    /// The sums of all parts, in their order, times `scale`.
    pub(crate) fn sum(parts: &[ItemSlopes], scale: f32) -> RowSlopes {
        let Some(first) = parts.first() else { return RowSlopes::default() };
        let blocks = (0..first.terms.len()).into_par_iter().map(|block| sum_of_block(parts, block, scale));
        RowSlopes { width: first.width, block: BLOCK, blocks: blocks.collect() }
    }
}

/// The items of a block that have slopes, ascending, and their slopes.
fn sum_of_block(parts: &[ItemSlopes], block: usize, scale: f32) -> (Vec<u32>, Vec<f32>) {
    let mut place = [u32::MAX; BLOCK];
    for part in parts {
        part.terms[block].iter().for_each(|term| place[term.item as usize] = 0);
    }
    let items: Vec<u32> = (0..BLOCK as u32).filter(|item| place[*item as usize] == 0).collect();
    items.iter().zip(0..).for_each(|(item, number)| place[*item as usize] = number);
    let mut slopes = vec![0f32; items.len() * parts[0].width];
    for part in parts {
        add_terms(&mut slopes, part.width, &part.terms[block], &place, &part.rows);
    }
    slopes.iter_mut().for_each(|slope| *slope *= scale);
    (items, slopes)
}

vectorized! {
    /// Adds the terms to the slopes of their items, which lie at `place`.
    fn add_terms<'a>(slopes: &'a mut [f32], width: usize, terms: &'a [Term], place: &'a [u32; BLOCK], rows: &'a [f32]) {
        for term in terms {
            let slope = &mut slopes[place[term.item as usize] as usize * width..][..width];
            let row = &rows[term.row as usize * width..][..width];
            slope.iter_mut().zip(row).for_each(|(slope, x)| *slope += term.factor * x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use twinmart_tables::{Draws, Stream};

    #[test]
    fn sums_are_those_of_all_terms() {
        let (items, width) = (2_500, 3);
        let mut stream: Stream = Draws::new(1).stream("slopes");
        let mut expected = vec![0f32; items * width];
        let mut parts = vec![ItemSlopes::new(items, width); 3];
        for part in &mut parts {
            for _ in 0..2 {
                let rows: Vec<f32> = (0..4 * width).map(|_| stream.random_range(-1.0..1.0)).collect();
                let first = part.add_rows(&rows);
                for _ in 0..40 {
                    let (item, row, factor) =
                        (stream.random_range(0..items), stream.random_range(0..4), stream.random_range(-1.0..1.0));
                    part.add(item, first + row, factor);
                    for x in 0..width {
                        expected[item * width + x] += 0.5 * factor * rows[row * width + x];
                    }
                }
            }
        }
        let sum = ItemSlopes::sum(&parts, 0.5);
        let mut found = vec![0f32; items * width];
        for (block, (items, slopes)) in sum.blocks.iter().enumerate() {
            assert!(items.is_sorted_by(|a, b| a < b));
            for (item, slope) in items.iter().zip(slopes.chunks_exact(width)) {
                found[(block * sum.block + *item as usize) * width..][..width].copy_from_slice(slope);
            }
        }
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
        let rows: usize = sum.blocks.iter().map(|block| block.0.len()).sum();
        assert!(rows <= 240 && rows > 200, "only what has slopes: {rows}");
        parts.iter_mut().for_each(ItemSlopes::clear);
        assert!(ItemSlopes::sum(&parts, 1.0).blocks.iter().all(|block| block.0.is_empty()));
    }
}
