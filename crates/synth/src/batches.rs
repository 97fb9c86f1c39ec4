//! The rows of one table of a twin, batch by batch, for whoever consumes a stream.

use crate::Sampler;
use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::ops::Range;
use twinmart_tables::Result;

/// All rows of one table of a twin, in order: the table's part of each chunk. Draws as many chunks at a time as there are
/// threads, when the first of them is asked for; memory does not grow with the twin. Ends after an error.
#[derive(Debug, Clone)]
pub struct Batches {
    sampler: Sampler,
    table: usize,
    chunks: Range<u64>,
    drawn: VecDeque<RecordBatch>,
}

impl Batches {
    pub(crate) fn new(sampler: Sampler, table: usize) -> Batches {
        let chunks = 0..sampler.chunks_of(table);
        Batches { sampler, table, chunks, drawn: VecDeque::new() }
    }

    /// Columns and types of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.sampler.tables()[self.table].1
    }

    /// The same batches as Arrow's own interface for streams.
    pub fn into_reader(self) -> impl RecordBatchReader + Send {
        Reader(self)
    }

    fn draw(&mut self) -> Result<()> {
        let end = (self.chunks.start + rayon::current_num_threads() as u64).min(self.chunks.end);
        let window = std::mem::replace(&mut self.chunks.start, end)..end;
        let drawn: Result<Vec<_>> = window.into_par_iter().map(|chunk| self.sampler.batch(self.table, chunk)).collect();
        self.drawn.extend(drawn?);
        Ok(())
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.drawn.is_empty()
            && !self.chunks.is_empty()
            && let Err(error) = self.draw()
        {
            self.chunks = 0..0;
            return Some(Err(error));
        }
        self.drawn.pop_front().map(Ok)
    }
}

struct Reader(Batches);

impl Iterator for Reader {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(|e| ArrowError::ExternalError(Box::new(e))))
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        self.0.schema().clone()
    }
}
