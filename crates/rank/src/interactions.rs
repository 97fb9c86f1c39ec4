//! What users did as a sparse matrix (compressed rows), and as sequences.
//!
//! [`Interactions`] is `X [users, items]`; its transpose and its Gram matrix `XᵀX` are computed here. [`Sequences`]
//! keeps the order instead of the counts.

use rayon::prelude::*;
use std::ops::AddAssign;
use twinmart_tables::Histories;

/// Rows of a parallel task: few enough to balance, enough to hide the overhead.
const ROWS_PER_TASK: usize = 64;

/// A sparse matrix in compressed rows. Columns ascend within a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    /// Number of columns.
    pub columns: usize,
    /// `[rows + 1]` positions in `column` and `value`.
    pub offsets: Vec<usize>,
    /// `[entries]` column.
    pub column: Vec<u32>,
    /// `[entries]` value.
    pub value: Vec<f32>,
}

impl Interactions {
    /// Users × items, 1 where a user met an item at least once.
    pub fn binary(histories: &Histories) -> Interactions {
        let mut matrix = Interactions::counts(histories);
        matrix.value.fill(1.0);
        matrix
    }

    /// Users × items, how often a user met an item.
    pub fn counts(histories: &Histories) -> Interactions {
        let rows = (0..histories.user_count()).map(|u| histories.items_of(u));
        Interactions::of_rows(rows, histories.item_count())
    }

    /// One row per slice of columns, repeats counted.
    pub fn of_rows<'a>(rows: impl Iterator<Item = &'a [u32]>, columns: usize) -> Interactions {
        let mut out = Interactions { columns, offsets: vec![0], column: Vec::new(), value: Vec::new() };
        let mut sorted = Vec::new();
        for row in rows {
            sorted.clear();
            sorted.extend_from_slice(row);
            sorted.sort_unstable();
            for equal in sorted.chunk_by(|a, b| a == b) {
                out.column.push(equal[0]);
                out.value.push(equal.len() as f32);
            }
            out.offsets.push(out.column.len());
        }
        out
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Columns and values of a row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.column[range.clone()], &self.value[range])
    }

    /// How many rows have an entry in each column: `[columns]`.
    pub fn column_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.columns];
        for column in &self.column {
            counts[*column as usize] += 1;
        }
        counts
    }

    /// The transpose; rows ascend within each of its rows.
    pub fn transpose(&self) -> Interactions {
        let counts = self.column_counts();
        let mut offsets = vec![0; self.columns + 1];
        for (c, count) in counts.iter().enumerate() {
            offsets[c + 1] = offsets[c] + *count as usize;
        }
        let mut next = offsets.clone();
        let mut out = Interactions {
            columns: self.rows(),
            offsets,
            column: vec![0; self.column.len()],
            value: vec![0.0; self.value.len()],
        };
        for row in 0..self.rows() {
            let (columns, values) = self.row(row);
            for (column, value) in columns.iter().zip(values) {
                let place = &mut next[*column as usize];
                out.column[*place] = row as u32;
                out.value[*place] = *value;
                *place += 1;
            }
        }
        out
    }

    /// Keeps the columns of `kept` (ascending); column `kept[i]` becomes `i`. Rows stay, also when they become empty.
    pub fn keep_columns(&self, kept: &[u32]) -> Interactions {
        let mut place = vec![u32::MAX; self.columns];
        for (new, old) in kept.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        let mut out = Interactions { columns: kept.len(), offsets: vec![0], column: Vec::new(), value: Vec::new() };
        for row in 0..self.rows() {
            let (columns, values) = self.row(row);
            for (column, value) in columns.iter().zip(values) {
                if place[*column as usize] != u32::MAX {
                    out.column.push(place[*column as usize]);
                    out.value.push(*value);
                }
            }
            out.offsets.push(out.column.len());
        }
        out
    }

    /// The Gram matrix `XᵀX` as a dense, symmetric `[columns, columns]`. Bound by memory traffic on the output rows;
    /// every row is one task, so the sums do not depend on the number of threads.
    pub fn gram<T: Copy + Default + Send + Sync + AddAssign + From<f32>>(&self) -> Vec<T> {
        let by_column = self.transpose();
        let mut gram = vec![T::default(); self.columns * self.columns];
        gram.par_chunks_mut(self.columns.max(1)).with_min_len(ROWS_PER_TASK).enumerate().for_each(|(i, out)| {
            self.gram_row(&by_column, i, out);
        });
        gram
    }

    /// Adds row `i` of `XᵀX` to `out [columns]`; `by_column` is the transpose.
    pub fn gram_row<T: AddAssign + From<f32>>(&self, by_column: &Interactions, i: usize, out: &mut [T]) {
        let (rows, weights) = by_column.row(i);
        for (row, weight) in rows.iter().zip(weights) {
            let (columns, values) = self.row(*row as usize);
            for (column, value) in columns.iter().zip(values) {
                out[*column as usize] += T::from(weight * value);
            }
        }
    }
}

/// The items of each user in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    /// Size of the catalogue.
    pub items: usize,
    /// `[users + 1]` positions in `item`.
    pub offsets: Vec<usize>,
    /// `[events]` item.
    pub item: Vec<u32>,
}

impl Sequences {
    /// The distinct items of each user, in the order of their first events.
    pub fn distinct(histories: &Histories) -> Sequences {
        let mut out = Sequences { items: histories.item_count(), offsets: vec![0], item: Vec::new() };
        for user in 0..histories.user_count() {
            out.item.extend(histories.first_events(user).iter().map(|e| histories.item[*e]));
            out.offsets.push(out.item.len());
        }
        out
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// A user's items.
    pub fn of(&self, user: usize) -> &[u32] {
        &self.item[self.offsets[user]..self.offsets[user + 1]]
    }

    /// Windows of `length` consecutive items, one every `stride`; a shorter sequence is one window. The last window of
    /// a user reaches the end.
    pub fn windows(&self, length: usize, stride: usize) -> Interactions {
        let mut rows: Vec<&[u32]> = Vec::new();
        for user in 0..self.users() {
            let items = self.of(user);
            let mut start = 0;
            while start + length < items.len() {
                rows.push(&items[start..start + length]);
                start += stride;
            }
            rows.push(&items[start.min(items.len().saturating_sub(length))..]);
        }
        Interactions::of_rows(rows.into_iter(), self.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dense(m: &Interactions) -> Vec<Vec<f32>> {
        (0..m.rows())
            .map(|r| {
                let mut out = vec![0.0; m.columns];
                let (columns, values) = m.row(r);
                for (c, v) in columns.iter().zip(values) {
                    out[*c as usize] = *v;
                }
                out
            })
            .collect()
    }

    proptest! {
        #[test]
        fn transpose_gram_and_columns_agree_with_dense(rows in prop::collection::vec(prop::collection::vec(0u32..7, 0..9), 1..8)) {
            let x = Interactions::of_rows(rows.iter().map(Vec::as_slice), 7);
            let d = dense(&x);
            let t = dense(&x.transpose());
            let g: Vec<f64> = x.gram();
            for i in 0..7 {
                for (u, row) in d.iter().enumerate() {
                    prop_assert_eq!(t[i][u], row[i]);
                    prop_assert_eq!(row[i] as usize, rows[u].iter().filter(|c| **c == i as u32).count());
                }
                for j in 0..7 {
                    let expected: f64 = d.iter().map(|r| (r[i] * r[j]) as f64).sum();
                    prop_assert_eq!(g[i * 7 + j], expected);
                }
            }
            let kept = dense(&x.keep_columns(&[1, 4]));
            for (u, row) in kept.iter().enumerate() {
                prop_assert_eq!(row, &vec![d[u][1], d[u][4]]);
            }
        }
    }

    #[test]
    fn windows_cover_the_sequence() {
        let s = Sequences { items: 9, offsets: vec![0, 7, 9, 9], item: vec![0, 1, 2, 3, 4, 5, 6, 7, 8] };
        let w = s.windows(4, 2);
        let rows: Vec<&[u32]> = (0..w.rows()).map(|r| w.row(r).0).collect();
        assert_eq!(rows, [&[0, 1, 2, 3][..], &[2, 3, 4, 5], &[3, 4, 5, 6], &[7, 8], &[]]);
    }
}
