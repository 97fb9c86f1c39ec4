//! Writing a twin: chunks are drawn in parallel, a window at a time, and written in order.

use crate::Sampler;
use rayon::prelude::*;
use std::path::Path;
use twinmart_tables::{AtomicFolder, FileFormat, Progress, Result, TableWriter};

/// Chunks drawn before any is written, for each thread: enough to keep all busy, few enough for bounded memory.
const CHUNKS_PER_THREAD: usize = 2;

/// Draws and writes a whole twin: a plain model's table as the file `out`, any other model's tables as files of the folder
/// `out`. It appears whole or not at all. Returns the rows of each table.
pub fn write_twin(
    sampler: &Sampler,
    out: impl AsRef<Path>,
    format: FileFormat,
    overwrite: bool,
    progress: &Progress,
) -> Result<Vec<(String, u64)>> {
    let out = out.as_ref();
    if sampler.is_single_table() {
        let (_, schema) = &sampler.tables()[0];
        return write_tables(sampler, vec![TableWriter::create(out, schema.clone(), format, overwrite)?], progress);
    }
    let folder = AtomicFolder::create(out, overwrite)?;
    let mut writers = Vec::with_capacity(sampler.tables().len());
    for (name, schema) in sampler.tables() {
        let path = folder.path().join(format!("{name}.{}", format.extension()));
        writers.push(TableWriter::create(path, schema.clone(), format, false)?);
    }
    let written = write_tables(sampler, writers, progress)?;
    folder.commit()?;
    Ok(written)
}

fn write_tables(sampler: &Sampler, mut writers: Vec<TableWriter>, progress: &Progress) -> Result<Vec<(String, u64)>> {
    let task = progress.start("drawing the twin", Some(sampler.chunks()), "chunks");
    let window = (CHUNKS_PER_THREAD * rayon::current_num_threads()) as u64;
    let mut rows = vec![0; writers.len()];
    let mut first = 0;
    while first < sampler.chunks() {
        let last = (first + window).min(sampler.chunks());
        let drawn: Vec<_> = (first..last).into_par_iter().map(|chunk| sampler.chunk(chunk)).collect::<Result<_>>()?;
        for batches in drawn {
            for ((writer, batch), rows) in writers.iter_mut().zip(&batches).zip(&mut rows) {
                writer.write(batch)?;
                *rows += batch.num_rows() as u64;
            }
            task.advance(1)?;
        }
        first = last;
    }
    for writer in writers {
        writer.finish()?;
    }
    Ok(sampler.tables().iter().map(|(name, _)| name.clone()).zip(rows).collect())
}
