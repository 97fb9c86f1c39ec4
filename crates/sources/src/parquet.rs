//! Parquet files: opened with every error turned into a message about the file, read in batches in file order.
//!
//! The decoder asserts some of what a file claims. On a damaged or hostile file such an assertion would end the program,
//! so decoding runs guarded: a panic inside becomes the same data error as any other damage.

use crate::normal::{normal_batch, normal_schema};
use crate::source::{BATCH_ROWS, Batches};
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;
use twinmart_tables::{Error, Result};

/// Schema in normal types and number of rows, from the footer.
pub(crate) fn describe(path: &Path) -> Result<(SchemaRef, u64)> {
    let builder = builder(path)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows())
        .map_err(|_| unreadable(path, "a negative number of rows"))?;
    Ok((normal_schema(builder.schema()).map_err(|e| e.with(|p| p.file(path)))?, rows))
}

/// All rows in normal types.
pub(crate) fn read(path: &Path, schema: SchemaRef) -> Result<Batches> {
    let builder = builder(path)?.with_batch_size(BATCH_ROWS);
    let mut reader = guarded(path, || builder.build())?;
    let path = path.to_path_buf();
    let mut ended = false;
    Ok(Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let batch = guarded(&path, || reader.next().transpose().map_err(ParquetError::from)).transpose()?;
        ended = batch.is_err();
        Some(batch.and_then(|batch| normal_batch(&batch, &schema).map_err(|e| e.with(|p| p.file(&path)))))
    })))
}

fn builder(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    // Parquet's own types say all that we keep; the Arrow schema that some writers add is not needed.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(path, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))
}

fn unreadable(path: &Path, reason: &str) -> Error {
    Error::data(format!("not a readable Parquet file ({})", reason.lines().next().unwrap_or_default()))
        .file(path)
        .remedy("check that the file is complete, or write it again")
        .into()
}

thread_local! {
    /// True while the decoder runs on this thread.
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the decoder; its errors and its panics are data errors. The panic hook stays silent for the latter.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !DECODING.get() {
                report(panic);
            }
        }));
    });
    DECODING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    match outcome {
        Ok(decoded) => decoded.map_err(|e| unreadable(path, &e.to_string())),
        Err(_) => Err(unreadable(path, "its content contradicts itself")),
    }
}
