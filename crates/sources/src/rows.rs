//! Anything that yields rows again and again, and its appearance in SQL.

use crate::source::{Batches, Source};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use std::fmt::Debug;
use std::sync::Arc;

/// Rows in a fixed order that can be read any number of times.
pub(crate) trait Rows: Debug + Send + Sync {
    /// Columns and types of every batch.
    fn schema(&self) -> SchemaRef;
    /// All rows, from the first.
    fn read(&self) -> Batches;
}

impl Rows for Source {
    fn schema(&self) -> SchemaRef {
        Source::schema(self).clone()
    }
    fn read(&self) -> Batches {
        Source::read(self)
    }
}

/// Rows in memory.
#[derive(Debug)]
pub(crate) struct MemoryRows {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Rows for MemoryRows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn read(&self) -> Batches {
        Box::new(self.batches.clone().into_iter().map(Ok))
    }
}

/// Rows as the one partition of a streaming table: read in order, never held.
#[derive(Debug)]
pub(crate) struct RowsPartition {
    schema: SchemaRef,
    rows: Arc<dyn Rows>,
}

impl RowsPartition {
    pub(crate) fn new(rows: Arc<dyn Rows>) -> RowsPartition {
        RowsPartition { schema: rows.schema(), rows }
    }
}

impl PartitionStream for RowsPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        // Reading blocks; that is fine on the engine's single thread, which has nothing else to do.
        let batches = self.rows.read().map(|b| b.map_err(|e| DataFusionError::External(Box::new(e))));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches).boxed()))
    }
}
