//! A data file again, its gaps filled and everything else as it was.
//!
//! From CSV to CSV every present field keeps its text; from any format to any other, every present value its bits.

use crate::csv::Records;
use crate::source::{Format, Source};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::{DataType, SchemaRef};
use std::io::Write;
use std::path::Path;
use twinmart_tables::{AtomicFile, Error, FileFormat, Progress, Result, TableWriter};

/// Writes the file (folder, glob) `path` as `out`. `filled` has its rows in their order, with some of its columns by name: a
/// value that is missing in the file is taken from there.
///
/// # Errors
/// Those of reading and writing; a data error where `filled` has not as many rows.
pub fn refill(
    path: &Path,
    filled: &RecordBatch,
    out: &Path,
    format: FileFormat,
    overwrite: bool,
    progress: &Progress,
) -> Result<()> {
    let source = Source::open("data", path, progress)?;
    if source.rows() != filled.num_rows() as u64 {
        let what = format!("{} rows were filled of {}", filled.num_rows(), source.rows());
        return Err(Error::data(what).file(path).remedy("complete the file that was read").into());
    }
    let task = progress.start("write", Some(source.rows()), "rows");
    if format == FileFormat::Csv && source.format() == Format::Csv {
        let mut file = AtomicFile::create(out, overwrite)?;
        write_text(&source, filled, &mut file, &|rows| task.advance(rows)).map_err(|e| match e {
            Fault::Write(e) => Error::io(out, e),
            Fault::Other(e) => e,
        })?;
        return file.commit();
    }
    let mut writer = TableWriter::create(out, source.schema().clone(), format, overwrite)?;
    let mut first = 0;
    for batch in source.read() {
        let batch = batch?;
        writer.write(&with_gaps_filled(&batch, &filled.slice(first, batch.num_rows()), source.schema())?)?;
        first += batch.num_rows();
        task.advance(batch.num_rows() as u64)?;
    }
    writer.finish()
}

fn with_gaps_filled(batch: &RecordBatch, filled: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let one = |(array, field): (&ArrayRef, &arrow::datatypes::FieldRef)| -> Result<ArrayRef> {
        let Some(other) = filled.column_by_name(field.name()).filter(|_| array.logical_null_count() > 0) else {
            return Ok(array.clone());
        };
        let other = cast(other, array.data_type())?;
        Ok(zip(&is_not_null(array)?, array, &other)?)
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(one).collect::<Result<_>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

enum Fault {
    Write(std::io::Error),
    Other(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Other(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Write(error)
    }
}

/// The records of CSV files, empty fields filled.
fn write_text(
    source: &Source,
    filled: &RecordBatch,
    out: &mut impl Write,
    advance: &dyn Fn(u64) -> Result<()>,
) -> std::result::Result<(), Fault> {
    /// Rows between two signs of progress.
    const STEP: u64 = 8_192;
    let text = |name: &String| -> Result<Option<StringArray>> {
        let column = filled.column_by_name(name);
        Ok(column.map(|c| cast(c, &DataType::Utf8)).transpose()?.map(|c| c.as_string::<i32>().clone()))
    };
    let mut row = 0;
    for (number, file) in source.files().iter().enumerate() {
        let mut records = Records::open(file)?;
        let columns = records.header().iter().map(text).collect::<Result<Vec<_>>>()?;
        let delimiter = records.delimiter();
        if number == 0 {
            write_record(out, records.header().iter().map(String::as_str), delimiter)?;
        }
        while records.advance()? {
            let field = |position: usize| match (records.field(position), &columns[position]) {
                ("", Some(filled)) if filled.is_valid(row) => filled.value(row),
                (present, _) => present,
            };
            write_record(out, (0..columns.len()).map(field), delimiter)?;
            row += 1;
            if (row as u64).is_multiple_of(STEP) {
                advance(STEP)?;
            }
        }
    }
    Ok(())
}

/// One record; fields are quoted where they must be.
fn write_record<'a>(
    out: &mut impl Write,
    fields: impl ExactSizeIterator<Item = &'a str>,
    delimiter: u8,
) -> std::io::Result<()> {
    let alone = fields.len() == 1;
    for (position, field) in fields.enumerate() {
        if position > 0 {
            out.write_all(&[delimiter])?;
        }
        // A line without anything would be no record.
        let is_special = |b: u8| b == delimiter || matches!(b, b'"' | b'\n' | b'\r');
        if field.bytes().any(is_special) || (alone && field.is_empty()) {
            write!(out, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            out.write_all(field.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array};
    use std::fs;
    use std::sync::Arc;

    fn filled() -> RecordBatch {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(8), None]));
        let c: ArrayRef = Arc::new(Float64Array::from(vec![0.25, 0.5, 0.75]));
        RecordBatch::try_from_iter_with_nullable([("a", a, true), ("c", c, true)]).unwrap()
    }

    #[test]
    fn present_text_stays_as_it_is_and_gaps_are_filled() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (dir.path().join("in.csv"), dir.path().join("out.csv"));
        fs::write(&path, "a;b;c\n007;\"x;\"\"y\"\"\";\n;plain;1.50\n;;\n").unwrap();
        refill(&path, &filled(), &out, FileFormat::Csv, false, &Progress::silent()).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), "a;b;c\n007;\"x;\"\"y\"\"\";0.25\n8;plain;1.50\n;;0.75\n");
        let fewer = filled().slice(0, 2);
        let told = refill(&path, &fewer, &out, FileFormat::Csv, true, &Progress::silent()).unwrap_err();
        assert!(told.to_string().contains("2 rows were filled of 3"));
        assert!(fs::read_to_string(&out).unwrap().contains("007"), "what was written stays");
    }

    #[test]
    fn typed_values_stay_in_other_formats() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (dir.path().join("in.csv"), dir.path().join("out.parquet"));
        fs::write(&path, "a,b,c\n1,x,\n,y,1.5\n,,\n").unwrap();
        refill(&path, &filled(), &out, FileFormat::Parquet, false, &Progress::silent()).unwrap();
        let (_, batches) = twinmart_tables::read_parquet(&out).unwrap();
        let expected: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(vec![Some(1), Some(8), None])),
            Arc::new(Float64Array::from(vec![0.25, 1.5, 0.75])),
        ];
        assert_eq!([batches[0].column(0), batches[0].column(2)], [&expected[0], &expected[1]]);
    }
}
