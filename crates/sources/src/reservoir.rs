//! An even sample of the rows of a long table, taken while they stream past: memory is bounded by the sample.
//!
//! Every row draws a number, and the rows with the smallest numbers stay ("bottom-k" sampling; Cohen & Kaplan, "Summarizing
//! data using bottom-k sketches", 2007). A row's number depends on the seed and the row's place alone, so how
//! the table is cut into batches changes nothing.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use rand::RngCore;
use twinmart_tables::{DrawFamily, Draws, Result};

/// How many rows of a table are kept, at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowSample {
    /// Seed of the draw.
    pub seed: u64,
    /// Rows at most.
    pub most_rows: usize,
    /// Values at most (rows times columns), but never fewer than [`RowSample::FEWEST_ROWS`] rows.
    pub most_values: usize,
}

impl RowSample {
    /// Rows that are kept however many columns there are.
    pub const FEWEST_ROWS: usize = 50_000;

    /// A million rows and 40 million values: more than any method here learns from, and half a gigabyte.
    pub fn new(seed: u64) -> RowSample {
        RowSample { seed, most_rows: 1_000_000, most_values: 40_000_000 }
    }

    fn rows(&self, columns: usize) -> usize {
        (self.most_values / columns.max(1)).max(Self::FEWEST_ROWS).min(self.most_rows)
    }
}

/// The rows seen so far, or a sample of them.
#[derive(Debug)]
pub(crate) struct Reservoir {
    family: DrawFamily,
    most: usize,
    seen: u64,
    /// Rows with this number or a larger one are out.
    limit: u64,
    /// Numbers of the rows in `batches`.
    numbers: Vec<u64>,
    batches: Vec<RecordBatch>,
}

impl Reservoir {
    pub(crate) fn new(sample: &RowSample, table: &str, columns: usize) -> Reservoir {
        let family = Draws::new(sample.seed).family("sources.sample", table);
        let most = sample.rows(columns);
        Reservoir { family, most, seen: 0, limit: u64::MAX, numbers: Vec::new(), batches: Vec::new() }
    }

    pub(crate) fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = self.seen..self.seen + batch.num_rows() as u64;
        self.seen = rows.end;
        let numbers: Vec<u64> = rows.map(|row| self.family.row(row).next_u64()).collect();
        self.keep(batch, &numbers)?;
        // A quarter more than needed: every row is then looked at a few times, however many come.
        if self.numbers.len() > self.most + self.most / 4 {
            self.prune()?;
        }
        Ok(())
    }

    /// The rows in their order, and of how many they are a sample; `None`: they are all.
    pub(crate) fn finish(mut self) -> Result<(Vec<RecordBatch>, Option<u64>)> {
        if self.numbers.len() > self.most {
            self.prune()?;
        }
        let population = (self.seen > self.numbers.len() as u64).then_some(self.seen);
        Ok((self.batches, population))
    }

    fn keep(&mut self, batch: RecordBatch, numbers: &[u64]) -> Result<()> {
        let stays: Vec<bool> = numbers.iter().map(|n| *n < self.limit).collect();
        self.numbers.extend(numbers.iter().filter(|n| **n < self.limit));
        let batch = match stays.iter().all(|s| *s) {
            true => batch,
            false => filter_record_batch(&batch, &BooleanArray::from(stays))?,
        };
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
        Ok(())
    }

    fn prune(&mut self) -> Result<()> {
        let mut sorted = self.numbers.clone();
        self.limit = *sorted.select_nth_unstable(self.most).1;
        let numbers = std::mem::take(&mut self.numbers);
        let mut start = 0;
        for batch in std::mem::take(&mut self.batches) {
            let end = start + batch.num_rows();
            self.keep(batch, &numbers[start..end])?;
            start = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use std::sync::Arc;

    fn sampled(rows: i64, most_rows: usize, cut: usize, seed: u64) -> (Vec<i64>, Option<u64>) {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
        let mut reservoir = Reservoir::new(&RowSample { seed, most_rows, most_values: usize::MAX }, "t", 1);
        let all: Vec<i64> = (0..rows).collect();
        for part in all.chunks(cut) {
            let column = Arc::new(Int64Array::from(part.to_vec()));
            reservoir.add(RecordBatch::try_new(schema.clone(), vec![column]).unwrap()).unwrap();
        }
        let (batches, population) = reservoir.finish().unwrap();
        let all = concat_batches(&schema, &batches).unwrap();
        (all.column(0).as_primitive::<Int64Type>().values().to_vec(), population)
    }

    #[test]
    fn short_tables_stay_whole() {
        assert_eq!(sampled(500, 500, 7, 1), ((0..500).collect(), None));
        assert_eq!(sampled(0, 500, 7, 1), (vec![], None));
    }

    #[test]
    fn a_sample_has_its_size_keeps_the_order_and_does_not_depend_on_batches() {
        let (rows, population) = sampled(20_000, 1_000, 333, 1);
        assert_eq!((rows.len(), population), (1_000, Some(20_000)));
        assert!(rows.is_sorted());
        assert_eq!(rows, sampled(20_000, 1_000, 20_000, 1).0);
        assert_eq!(rows, sampled(20_000, 1_000, 1, 1).0);
        assert_ne!(rows, sampled(20_000, 1_000, 333, 2).0);
    }

    #[test]
    fn every_row_is_as_likely_as_any_other() {
        let mut kept = vec![0u32; 100];
        for seed in 0..400 {
            sampled(100, 25, 9, seed).0.iter().for_each(|row| kept[*row as usize] += 1);
        }
        // Binomial(400, ¼): mean 100, deviation 8.7; χ² of 100 places stays below its 99.9 % quantile for 99 degrees.
        let chi: f64 = kept.iter().map(|k| (f64::from(*k) - 100.0).powi(2) / 75.0).sum();
        assert!(chi < 148.2, "{chi}");
    }

    #[test]
    fn wide_tables_keep_fewer_rows() {
        let sample = RowSample::new(0);
        assert_eq!([1, 40, 400, 500_000].map(|c| sample.rows(c)), [1_000_000, 1_000_000, 100_000, 50_000]);
        assert_eq!(RowSample { most_rows: 10, ..sample }.rows(5), 10);
    }
}
