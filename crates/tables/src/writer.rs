//! Writing tables as Parquet, CSV or JSON lines, batch by batch, and reading back the Parquet that we wrote.

use crate::{AtomicFile, Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::path::{Path, PathBuf};

/// The formats a table can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileFormat {
    /// Parquet, zstd.
    #[default]
    Parquet,
    /// CSV with a header line.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl FileFormat {
    /// The usual extension.
    pub fn extension(self) -> &'static str {
        match self {
            FileFormat::Parquet => "parquet",
            FileFormat::Csv => "csv",
            FileFormat::JsonLines => "jsonl",
        }
    }

    /// The format that a file name asks for; Parquet where it has no extension. A usage error for any other extension.
    pub fn of_path(path: &Path) -> Result<FileFormat> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(FileFormat::Csv),
            Some("jsonl" | "ndjson") => Ok(FileFormat::JsonLines),
            Some("parquet") | None => Ok(FileFormat::Parquet),
            Some(_) => Err(Error::usage("the extension names no format that can be written")
                .file(path)
                .remedy("use .parquet, .csv or .jsonl, or say --format where the command has it")
                .into()),
        }
    }
}

enum Inner {
    Parquet(Box<ArrowWriter<AtomicFile>>),
    Csv(Box<arrow::csv::Writer<AtomicFile>>),
    JsonLines(Box<arrow::json::LineDelimitedWriter<AtomicFile>>),
}

/// Writes a table to a file that appears only when [`TableWriter::finish`] succeeds.
pub struct TableWriter {
    path: PathBuf,
    inner: Inner,
}

impl TableWriter {
    /// Opens a writer. Refuses an existing file unless `overwrite`.
    pub fn create(path: impl AsRef<Path>, schema: SchemaRef, format: FileFormat, overwrite: bool) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = AtomicFile::create(&path, overwrite)?;
        let inner = match format {
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by("twinmart".into())
                    .build();
                let writer =
                    ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| write_error(&path, e.into()))?;
                Inner::Parquet(Box::new(writer))
            }
            FileFormat::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(file);
                // An empty first batch makes the header appear in a table without rows too.
                writer.write(&RecordBatch::new_empty(schema)).map_err(|e| write_error(&path, e))?;
                Inner::Csv(Box::new(writer))
            }
            FileFormat::JsonLines => Inner::JsonLines(Box::new(arrow::json::LineDelimitedWriter::new(file))),
        };
        Ok(TableWriter { path, inner })
    }

    /// Appends rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let written = match &mut self.inner {
            Inner::Parquet(w) => w.write(batch).map_err(Into::into),
            Inner::Csv(w) => w.write(batch),
            Inner::JsonLines(w) => w.write(batch),
        };
        written.map_err(|e| write_error(&self.path, e))
    }

    /// Makes the file appear under its name.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let file = match self.inner {
            Inner::Parquet(w) => w.into_inner().map_err(|e| write_error(&path, e.into()))?,
            Inner::Csv(w) => w.into_inner(),
            Inner::JsonLines(mut w) => {
                w.finish().map_err(|e| write_error(&path, e))?;
                w.into_inner()
            }
        };
        file.commit()
    }
}

/// Keeps what the operating system said where it lies below Arrow's or Parquet's own error.
fn write_error(path: &Path, error: arrow::error::ArrowError) -> Error {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            let kind = io
                .raw_os_error()
                .map_or_else(|| std::io::Error::new(io.kind(), io.to_string()), std::io::Error::from_raw_os_error);
            return Error::io(path, kind);
        }
        cause = e.source();
    }
    Error::data(format!("cannot write: {error}")).file(path).remedy("free space or write elsewhere").into()
}

/// Reads a whole Parquet file that the product wrote. Files of users go through the sources crate.
pub fn read_parquet(path: impl AsRef<Path>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let path = path.as_ref();
    let bad = |e: String| Error::data(format!("not a readable Parquet file: {e}")).file(path).remedy("write it again");
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| bad(e.to_string()))?;
    let schema = builder.schema().clone();
    let reader = builder.build().map_err(|e| bad(e.to_string()))?;
    let batches: Vec<RecordBatch> = reader.collect::<std::result::Result<_, _>>().map_err(|e| bad(e.to_string()))?;
    Ok((schema, batches))
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn each_format_writes_and_parquet_comes_back() {
        let schema =
            Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true), Field::new("s", DataType::Utf8, false)]));
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![Arc::new(Int32Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["a", "b"]))],
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        for format in [FileFormat::Parquet, FileFormat::Csv, FileFormat::JsonLines] {
            let path = dir.path().join(format!("t.{}", format.extension()));
            let mut writer = TableWriter::create(&path, schema.clone(), format, false).unwrap();
            writer.write(&batch).unwrap();
            assert!(!path.exists());
            writer.finish().unwrap();
        }
        assert_eq!(read_parquet(dir.path().join("t.parquet")).unwrap().1, [batch]);
        assert_eq!(std::fs::read_to_string(dir.path().join("t.csv")).unwrap(), "n,s\n1,a\n,b\n");
        assert_eq!(
            std::fs::read_to_string(dir.path().join("t.jsonl")).unwrap(),
            "{\"n\":1,\"s\":\"a\"}\n{\"s\":\"b\"}\n"
        );
    }
}
