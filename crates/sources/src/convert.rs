//! Writing cleaned data: a file as one file, a project as a folder of tables. Files stream; nothing is loaded whole.

use crate::load::{Collected, read_project};
use crate::report::CleaningReport;
use crate::rows::{MemoryRows, Rows};
use crate::source::Source;
use std::path::Path;
use twinmart_tables::{AtomicFolder, FileFormat, Progress, Result, TableWriter};

/// Writes a plain file as `out` in another format, or a project as the folder `out`: each source that has cleaning rules
/// and each table, `NAME.parquet` (or another format). Without a format, the one of `out`'s name; Parquet for projects.
pub fn convert(
    path: &Path,
    out: &Path,
    format: Option<FileFormat>,
    overwrite: bool,
    progress: &Progress,
) -> Result<CleaningReport> {
    let project = read_project(path)?;
    if path.extension().is_none_or(|e| e != "toml") {
        let source = Source::open(&project.project.name, path, progress)?;
        write(
            &source,
            source.name(),
            source.rows(),
            out,
            format.map_or_else(|| FileFormat::of_path(out), Ok)?,
            overwrite,
            progress,
        )?;
        return Ok(CleaningReport::default());
    }
    let format = format.unwrap_or_default();
    let folder = AtomicFolder::create(out, overwrite)?;
    let collected = Collected::new(&project, None, progress)?;
    let file = |name: &str| folder.path().join(format!("{name}.{}", format.extension()));
    for (source, rows) in collected.sources.iter().filter(|(s, _)| project.clean.contains_key(s.name())) {
        write(rows.as_ref(), source.name(), source.rows(), &file(source.name()), format, false, progress)?;
    }
    for table in &collected.tables {
        let rows = MemoryRows { schema: table.schema.clone(), batches: table.batches.clone() };
        write(&rows, &table.name, table.rows() as u64, &file(&table.name), format, false, progress)?;
    }
    folder.commit()?;
    Ok(collected.cleaning)
}

fn write(
    rows: &dyn Rows,
    name: &str,
    count: u64,
    path: &Path,
    format: FileFormat,
    overwrite: bool,
    progress: &Progress,
) -> Result<()> {
    let task = progress.start(&format!("write {name}"), Some(count), "rows");
    let mut writer = TableWriter::create(path, rows.schema(), format, overwrite)?;
    for batch in rows.read() {
        let batch = batch?;
        writer.write(&batch)?;
        task.advance(batch.num_rows() as u64)?;
    }
    writer.finish()
}
