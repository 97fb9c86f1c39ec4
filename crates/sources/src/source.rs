//! A source: one file, all files of a folder (by name), or a glob, read as one table, forward and in bounded memory.
//!
//! Formats by extension: `.parquet`, `.csv`, `.jsonl` / `.ndjson`; text also as `.gz` and `.zst`. The types of a text
//! source are inferred from all of its values, in a pass of its own, so no later value can disagree.

use crate::csv::Records;
use crate::json::{Lines, Pairs};
use crate::parquet;
use crate::values::{ColumnBuilder, Shape};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use indexmap::IndexMap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twinmart_tables::{Error, Progress, Result};

/// Rows of a batch.
pub(crate) const BATCH_ROWS: usize = 8192;
/// A batch of text ends early once its records hold this many bytes.
const BATCH_BYTES: usize = 32 << 20;
/// The longest row of a text file, bytes. Longer ones are taken for damage.
pub(crate) const MAX_RECORD: usize = 16 << 20;
/// The most columns of a table. More are taken for damage.
pub(crate) const MAX_COLUMNS: usize = 4096;

/// Rows in order, in batches of one schema.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// By the extension, behind `.gz` or `.zst` for text.
    fn of(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let text = name.strip_suffix(".gz").or(name.strip_suffix(".zst"));
        let format = match text.unwrap_or(&name).rsplit_once('.')?.1 {
            "parquet" => Format::Parquet,
            "csv" | "tsv" => Format::Csv,
            "jsonl" | "ndjson" => Format::JsonLines,
            _ => return None,
        };
        (format != Format::Parquet || text.is_none()).then_some(format)
    }
}

/// Files read as one table.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    files: Arc<[PathBuf]>,
    format: Format,
    schema: SchemaRef,
    /// The shape of each column; empty for Parquet, which stores types.
    shapes: Arc<[Shape]>,
    rows: u64,
}

impl Source {
    /// Finds the files behind `path` and learns columns, types and number of rows. Text is read once from end to end,
    /// so everything that can be wrong with it is found here.
    pub fn open(name: &str, path: &Path, progress: &Progress) -> Result<Source> {
        let (files, format) = find_files(path)?;
        let task = progress.start(&format!("read {name}"), None, "rows");
        let mut source = match format {
            Format::Parquet => Source::of_parquet(name, files)?,
            Format::Csv => Source::of_csv(name, files, &mut |rows| task.advance(rows))?,
            Format::JsonLines => Source::of_json(name, files, &mut |rows| task.advance(rows))?,
        };
        if source.rows == 0 {
            return Err(Error::data("no rows").file(path).remedy("give a file with at least one row").into());
        }
        source.name = name.to_string();
        Ok(source)
    }

    /// The name in SQL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Columns and types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// All rows in file order.
    pub(crate) fn read(&self) -> Batches {
        let source = self.clone();
        Box::new((0..self.files.len()).flat_map(move |i| match source.read_file(&source.files[i]) {
            Ok(batches) => batches,
            Err(e) => Box::new(std::iter::once(Err(e))),
        }))
    }

    fn read_file(&self, path: &Path) -> Result<Batches> {
        Ok(match self.format {
            Format::Parquet => parquet::read(path, self.schema.clone())?,
            Format::Csv => {
                let records = Records::open(path)?;
                Box::new(TextBatches {
                    rows: TextRows::Csv(records),
                    source: self.clone(),
                    path: path.into(),
                    ended: false,
                })
            }
            Format::JsonLines => {
                let lines = Lines::open(path)?;
                Box::new(TextBatches {
                    rows: TextRows::Json(lines),
                    source: self.clone(),
                    path: path.into(),
                    ended: false,
                })
            }
        })
    }

    fn of_parquet(name: &str, files: Arc<[PathBuf]>) -> Result<Source> {
        let (schema, mut rows) = parquet::describe(&files[0])?;
        check_columns(&files[0], schema.fields().len())?;
        for file in &files[1..] {
            let (other, more) = parquet::describe(file)?;
            if other != schema {
                let differing = schema.fields().iter().zip(other.fields()).find(|(a, b)| a != b);
                let what = match differing {
                    Some((a, b)) => format!(
                        "column `{}` ({}) stands where {} has `{}` ({})",
                        b.name(),
                        b.data_type(),
                        files[0].display(),
                        a.name(),
                        a.data_type()
                    ),
                    None => format!("the number of columns differs from {}", files[0].display()),
                };
                return Err(Error::data(what).file(file).remedy("give files with the same columns and types").into());
            }
            rows = rows.saturating_add(more);
        }
        Ok(Source { name: name.into(), files, format: Format::Parquet, schema, shapes: Arc::new([]), rows })
    }

    fn of_csv(name: &str, files: Arc<[PathBuf]>, advance: &mut dyn FnMut(u64) -> Result<()>) -> Result<Source> {
        let mut columns: IndexMap<String, Shape> = IndexMap::new();
        let mut rows = 0;
        for file in files.iter() {
            let mut records = Records::open(file)?;
            check_header(file, records.header())?;
            if columns.is_empty() {
                columns = records.header().iter().map(|n| (n.clone(), Shape::Missing)).collect();
            } else if !columns.keys().eq(records.header()) {
                let what = format!("the header differs from the one of {}", files[0].display());
                return Err(Error::data(what).file(file).remedy("give files with the same columns").into());
            }
            while records.advance()? {
                for (i, (_, shape)) in columns.iter_mut().enumerate() {
                    // Nothing widens text, and missing values widen nothing.
                    if *shape != Shape::Text {
                        *shape = shape.join(Shape::of(records.field(i)));
                    }
                }
                rows += 1;
                if rows % BATCH_ROWS as u64 == 0 {
                    advance(BATCH_ROWS as u64)?;
                }
            }
        }
        Ok(Source::of_shapes(name, files, Format::Csv, columns, rows))
    }

    fn of_json(name: &str, files: Arc<[PathBuf]>, advance: &mut dyn FnMut(u64) -> Result<()>) -> Result<Source> {
        let mut columns: IndexMap<String, Shape> = IndexMap::new();
        let mut rows = 0;
        for file in files.iter() {
            let mut lines = Lines::open(file)?;
            while let Some(pairs) = lines.advance()? {
                // A key that is new stands behind the one that it follows here: writers leave out missing values.
                let mut place = 0;
                for (key, value) in &pairs {
                    if let Some((index, _, shape)) = columns.get_full_mut(key.as_ref()) {
                        *shape = shape.join(value.shape());
                        place = index + 1;
                    } else {
                        columns.shift_insert(place, key.to_string(), value.shape());
                        place += 1;
                    }
                }
                check_columns(file, columns.len().max(1))?;
                rows += 1;
                if rows % BATCH_ROWS as u64 == 0 {
                    advance(BATCH_ROWS as u64)?;
                }
            }
        }
        if rows > 0 {
            check_columns(&files[0], columns.len())?;
        }
        Ok(Source::of_shapes(name, files, Format::JsonLines, columns, rows))
    }

    fn of_shapes(
        name: &str,
        files: Arc<[PathBuf]>,
        format: Format,
        columns: IndexMap<String, Shape>,
        rows: u64,
    ) -> Source {
        let fields: Vec<Field> = columns.iter().map(|(n, s)| Field::new(n, s.data_type(), true)).collect();
        let shapes = columns.values().copied().collect();
        Source { name: name.into(), files, format, schema: Arc::new(Schema::new(fields)), shapes, rows }
    }
}

fn check_columns(file: &Path, columns: usize) -> Result<()> {
    if columns == 0 {
        return Err(Error::data("no columns").file(file).remedy("give a file with columns").into());
    }
    if columns > MAX_COLUMNS {
        let what = format!("more than {MAX_COLUMNS} columns");
        return Err(Error::data(what).file(file).remedy("split the table").into());
    }
    Ok(())
}

fn check_header(file: &Path, header: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match header.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::data("two columns have this name")
            .file(file)
            .column(name)
            .remedy("rename one of them in the header")
            .into()),
    }
}

/// The files behind a path, in name order, and their common format.
pub(crate) fn find_files(path: &Path) -> Result<(Arc<[PathBuf]>, Format)> {
    let text = path.to_string_lossy();
    let mut files = if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
        let paths = entries.map(|e| e.map(|e| e.path()).map_err(|e| Error::io(path, e))).collect::<Result<Vec<_>>>()?;
        paths.into_iter().filter(|p| p.is_file() && Format::of(p).is_some()).collect()
    } else if !path.exists() && text.contains(['*', '?', '[']) {
        let pattern = |e: &dyn std::fmt::Display| Error::usage(format!("not a file pattern ({e})")).file(path);
        let found = glob::glob(&text).map_err(|e| pattern(&e))?;
        let path_of = |p: glob::GlobResult| p.map_err(|e| Error::io(e.path(), e.error().kind().into()));
        found.map(path_of).collect::<Result<Vec<_>>>()?.into_iter().filter(|p| p.is_file()).collect()
    } else {
        std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        vec![path.to_path_buf()]
    };
    files.sort();
    let Some(first) = files.first() else {
        let what = "no .parquet, .csv or .jsonl file here";
        return Err(Error::data(what).file(path).remedy("check the path").into());
    };
    let format = |file: &Path| -> Result<Format> {
        Ok(Format::of(file).ok_or_else(|| {
            Error::data("the extension names no known format")
                .file(file)
                .remedy("use .parquet, .csv or .jsonl (text also with .gz or .zst)")
        })?)
    };
    let common = format(first)?;
    for file in &files {
        if format(file)? != common {
            let what = format!("the format differs from the one of {}", first.display());
            return Err(Error::data(what).file(file).remedy("name one format, for example with *.csv").into());
        }
        if std::fs::metadata(file).map_err(|e| Error::io(file, e))?.len() == 0 {
            return Err(Error::data("the file is empty").file(file).remedy("give a file with rows").into());
        }
    }
    Ok((files.into(), common))
}

enum TextRows {
    Csv(Records),
    Json(Lines),
}

/// Batches of a text file, built by the source's shapes.
struct TextBatches {
    rows: TextRows,
    source: Source,
    path: PathBuf,
    ended: bool,
}

impl TextBatches {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<ColumnBuilder> = self.source.shapes.iter().map(|s| ColumnBuilder::new(*s)).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES {
            let fits = match &mut self.rows {
                TextRows::Csv(records) => {
                    if !records.advance()? {
                        break;
                    }
                    bytes += records.size();
                    let mut fits = records.header().len() == builders.len();
                    for (i, builder) in builders.iter_mut().enumerate() {
                        fits &= builder.append(records.field(i));
                    }
                    (fits, records.row())
                }
                TextRows::Json(lines) => {
                    let Some(pairs) = lines.advance()? else { break };
                    let fits = append_object(&pairs, &self.source.schema, &mut builders);
                    bytes += lines.size();
                    (fits, lines.row())
                }
            };
            if let (false, row) = fits {
                return Err(Error::data("the file changed while it was read")
                    .file(&self.path)
                    .row(row)
                    .remedy("run the command again when the file is complete")
                    .into());
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let columns = builders.iter_mut().map(ColumnBuilder::finish).collect();
        Ok(Some(RecordBatch::try_new(self.source.schema.clone(), columns)?))
    }
}

/// Appends one object; keys come mostly in schema order, so each is first sought at its own place.
fn append_object(pairs: &Pairs<'_>, schema: &Schema, builders: &mut [ColumnBuilder]) -> bool {
    let in_order = pairs.len() == builders.len() && pairs.iter().zip(schema.fields()).all(|((k, _), f)| k == f.name());
    if in_order {
        return pairs.iter().zip(builders).fold(true, |fits, ((_, value), b)| b.append(&value.text()) && fits);
    }
    let values: HashMap<&str, _> = pairs.iter().map(|(k, v)| (k.as_ref(), v)).collect();
    let (mut fits, mut found) = (true, 0);
    for (field, builder) in schema.fields().iter().zip(builders) {
        let value = values.get(field.name().as_str());
        found += usize::from(value.is_some());
        fits &= builder.append(&value.map(|v| v.text()).unwrap_or_default());
    }
    fits && found == pairs.len()
}

impl Iterator for TextBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}
