//! Completing rows: every missing value drawn from the model given all present values of its row.
//!
//! ```text
//! batch ─► model's columns and types ─► codes, unknown where missing ─► density fills ─► columns ─► only gaps are taken
//! ```
//!
//! A gap must become a value, but "missing" is a code like any other. Trees are asked that no gap is missing and heed it as they
//! heed known values; a network's rows are redrawn until no gap is missing again, which is the same distribution. What does
//! not succeed soon is finished column by column.

use crate::autoregressive::{Autoregressive, PARTICLES_GIVEN};
use crate::density::Density;
use crate::encoded::RowEncoding;
use crate::manifest::Origin;
use crate::model::{Contents, Part};
use crate::rows::{RowModel, put_given};
use crate::rules::{Beside, held_of};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat, take};
use arrow::datatypes::{DataType, Field, Schema};
use rayon::prelude::*;
use std::sync::Arc;
use twinmart_density::UNKNOWN;
use twinmart_density::guide::{Asked, Guide};
use twinmart_tables::{Draws, Error, Result, Stream};

/// Rows that are completed together.
const ROWS: usize = 2_048;
/// How often rows are redrawn whole, and then how often column by column.
const ROUNDS: usize = 64;

/// What gaps are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// A draw given the present values of the row: what completed rows have in common is as it was.
    Draws,
    /// The single best guess: numbers by their mean given the present values, all else by the likeliest. Completed rows vary
    /// less than real ones.
    Points,
}

/// Completes `rows`, the first of which has the random stream `first_row`.
pub(crate) fn complete(
    contents: &Contents,
    rows: &RecordBatch,
    first_row: u64,
    seed: u64,
    filling: Filling,
) -> Result<RecordBatch> {
    let model = learned(contents)?;
    let spec = &contents.manifest.tables[0];
    let given = Given::of(rows, contents).map_err(|e| e.with(|p| p.table(&spec.name)))?;
    let wanted: Vec<bool> =
        (0..spec.columns.len()).map(|c| given.positions.contains(&c) && model.has_values(c)).collect();
    let open: Vec<usize> = (0..rows.num_rows()).filter(|row| given.has_gap(&wanted, *row)).collect();
    let family = Draws::new(seed).family("synth.complete", &spec.name);
    let one = |chosen: &[usize]| {
        let index = UInt64Array::from_iter_values(chosen.iter().map(|row| *row as u64));
        let columns = given.columns.iter().map(|c| Ok(take(c, &index, None)?)).collect::<Result<Vec<_>>>()?;
        let mut streams: Vec<Stream> =
            chosen.iter().map(|row| family.row(first_row.wrapping_add(*row as u64))).collect();
        let schema = &contents.schemas[0];
        match filling {
            Filling::Draws => {
                let draw = |places: &[usize], streams: &mut [Stream]| {
                    model.complete(&at(&columns, places)?, &wanted, streams, schema)
                };
                let given = |places: &[usize]| at(&columns, places);
                spec.rules.keep_where_possible(&mut streams, schema, &Beside::Given(&given), draw)
            }
            Filling::Points => {
                let mut filled = model.complete_points(&columns, &wanted, &mut streams, schema)?;
                put_given(&columns, &mut filled)?;
                spec.rules.settle(&mut filled, schema, &held_of(&columns)?)?;
                Ok(filled)
            }
        }
    };
    let parts = open.par_chunks(ROWS).map(one).collect::<Result<Vec<_>>>()?;
    given.with_gaps_filled(&open, &parts, &wanted)
}

/// The rows at `places`.
fn at(columns: &[ArrayRef], places: &[usize]) -> Result<Vec<ArrayRef>> {
    let index = UInt64Array::from_iter_values(places.iter().map(|place| *place as u64));
    columns.iter().map(|c| Ok(take(c, &index, None)?)).collect()
}

/// Values that are given of rows, as all columns of the model's only table; those that are not given are missing throughout.
pub(crate) fn given_columns(contents: &Contents, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let (spec, _) = (&contents.manifest.tables[0], learned(contents)?);
    let at = |e: Error| e.with(|p| p.table(&spec.name));
    let given = Given::of(rows, contents).map_err(at)?;
    if rows.num_rows() == 0 {
        return Err(at(Error::usage("no rows are given").remedy("give at least one").into()));
    }
    let origins = spec.origins(&contents.manifest);
    if let Some(key) = given.positions.iter().find(|c| matches!(origins[**c], Origin::Key | Origin::Group)) {
        let problem = Error::usage("keys are made new for every twin").column(&spec.columns[*key].name);
        return Err(at(problem.remedy("leave the column out").into()));
    }
    Ok(given.columns)
}

/// The model of the one table, if it is one that knows how columns depend on each other.
fn learned(contents: &Contents) -> Result<&Autoregressive> {
    match &contents.parts[..] {
        [Part::Rows(RowModel::Autoregressive(model))] => Ok(model),
        [_] => {
            Err(Error::usage(format!("a model of the method {} completes no rows", contents.manifest.method.name()))
                .remedy("fit the table with the method autoregressive")
                .into())
        }
        _ => Err(Error::usage("only models of one table complete rows, this one has several tables")
            .remedy("fit the table by itself")
            .into()),
    }
}

/// Rows to complete, as the model sees them.
struct Given {
    /// All columns of the model, in its order and types; those that are not given are missing throughout.
    columns: Vec<ArrayRef>,
    /// For each given column, its position in the model.
    positions: Vec<usize>,
    /// The given columns in their order; types are the model's.
    schema: Schema,
    rows: usize,
}

impl Given {
    fn of(rows: &RecordBatch, contents: &Contents) -> Result<Given> {
        let known = &contents.schemas[0];
        let mut columns: Vec<Option<ArrayRef>> = vec![None; known.fields().len()];
        let (mut positions, mut fields) = (Vec::new(), Vec::new());
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            let Ok(position) = known.index_of(field.name()) else {
                let names: Vec<&str> = known.fields().iter().map(|f| f.name().as_str()).collect();
                return Err(Error::usage("the model has no such column")
                    .column(field.name())
                    .remedy(format!("leave it out; the columns are {}", names.join(", ")))
                    .into());
            };
            let data_type = known.field(position).data_type();
            let array = same_values(array, data_type).map_err(|e| e.with(|p| p.column(field.name())))?;
            if columns[position].replace(array).is_some() {
                return Err(Error::usage("the column is given twice")
                    .column(field.name())
                    .remedy("leave one out")
                    .into());
            }
            positions.push(position);
            let is_same = field.data_type() == data_type;
            fields.push(if is_same {
                field.clone()
            } else {
                Arc::new(Field::new(field.name(), data_type.clone(), true))
            });
        }
        let or_missing = |(column, field): (Option<ArrayRef>, &Arc<Field>)| {
            column.unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()))
        };
        let columns = columns.into_iter().zip(known.fields()).map(or_missing).collect();
        let schema = Schema::new_with_metadata(fields, rows.schema().metadata().clone());
        Ok(Given { columns, positions, schema, rows: rows.num_rows() })
    }

    fn has_gap(&self, wanted: &[bool], row: usize) -> bool {
        self.columns.iter().zip(wanted).any(|(column, wanted)| *wanted && column.is_null(row))
    }

    /// The given columns, each missing value of the rows `open` replaced by that of `parts`, where it is wanted.
    fn with_gaps_filled(self, open: &[usize], parts: &[Vec<ArrayRef>], wanted: &[bool]) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.positions.len());
        for position in &self.positions {
            let given = &self.columns[*position];
            if !wanted[*position] || given.null_count() == 0 {
                columns.push(given.clone());
                continue;
            }
            let mut index: Vec<u64> = (0..self.rows as u64).collect();
            for (at, row) in open.iter().enumerate().filter(|(_, row)| given.is_null(**row)) {
                index[*row] = (self.rows + at) as u64;
            }
            let drawn = parts.iter().map(|part| part[*position].as_ref());
            let both = concat(&std::iter::once(given.as_ref()).chain(drawn).collect::<Vec<_>>())?;
            columns.push(take(&both, &UInt64Array::from(index), None)?);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::new(self.schema), columns, &rows)?)
    }
}

/// The values in another type; a usage error where that type cannot say all of them.
fn same_values(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    let cast = |array: &ArrayRef, to: &DataType| {
        cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
    };
    let other = cast(array, data_type);
    let is_lossless = |other: &ArrayRef| {
        array.logical_null_count() == array.len() || cast(other, array.data_type()).is_ok_and(|again| &again == array)
    };
    other.ok().filter(is_lossless).ok_or_else(|| {
        Error::usage(format!("values of type {} do not all fit the model's type {data_type}", array.data_type()))
            .remedy("cast the column to the model's type")
            .into()
    })
}

/// Fills the unknown codes of `values` (`[sub_columns][rows]`). In `wanted` columns, whatever is missing in `given` becomes a
/// value: rows are redrawn until all of theirs are present, [`ROUNDS`] times at most; then what came out present stays and
/// the rest is redrawn given that; what the model never lets be present in such a row has its column's own frequencies.
pub(crate) fn fill_present(
    (density, guide): (&Density, &Guide),
    encoding: &RowEncoding,
    given: &[ArrayRef],
    wanted: &[bool],
    values: &mut [Vec<u32>],
    streams: &mut [Stream],
) {
    let gaps = Gaps::of(encoding, given, wanted);
    let present = if density.heeds_presence() { encoding.present(wanted) } else { Asked::default() };
    let density = (density, guide, &present);
    let known = values.to_vec();
    let mut left: Vec<usize> = (0..streams.len()).collect();
    for _ in 0..ROUNDS {
        redraw(density, &known, values, &left, streams);
        left.retain(|row| gaps.missing(values, *row).next().is_some());
        if left.is_empty() {
            return;
        }
    }
    for _ in 0..ROUNDS {
        for row in &left {
            gaps.forget(values, *row);
        }
        let known = values.to_vec();
        redraw(density, &known, values, &left, streams);
        left.retain(|row| gaps.missing(values, *row).next().is_some());
        if left.is_empty() {
            return;
        }
    }
    for row in left {
        let columns: Vec<usize> = gaps.missing(values, row).collect();
        for column in columns {
            let codes = encoding.draw_alone(column, &mut streams[row]);
            for (sub_column, code) in gaps.sub_columns_of(column).zip(codes) {
                values[sub_column][row] = code;
            }
        }
    }
}

/// Draws the unknown codes of some rows of `known` into `values`.
fn redraw(
    (density, guide, asked): (&Density, &Guide, &Asked),
    known: &[Vec<u32>],
    values: &mut [Vec<u32>],
    rows: &[usize],
    streams: &mut [Stream],
) {
    let mut part: Vec<Vec<u32>> = known.iter().map(|v| rows.iter().map(|row| v[*row]).collect()).collect();
    let mut own: Vec<Stream> = rows.iter().map(|row| streams[*row].clone()).collect();
    density.fill_guided((guide, asked, PARTICLES_GIVEN), &mut part, &mut own);
    for (values, part) in values.iter_mut().zip(part) {
        rows.iter().zip(part).for_each(|(row, code)| values[*row] = code);
    }
    rows.iter().zip(own).for_each(|(row, stream)| streams[*row] = stream);
}

/// Where there must be a value.
struct Gaps<'a> {
    given: &'a [ArrayRef],
    /// Wanted columns by the sub-columns whose code 0 says that they are missing.
    marks: Vec<(usize, usize)>,
    /// The column of each sub-column.
    columns: Vec<usize>,
}

impl<'a> Gaps<'a> {
    fn of(encoding: &RowEncoding, given: &'a [ArrayRef], wanted: &[bool]) -> Gaps<'a> {
        let marks = encoding.missing_codes().into_iter().enumerate();
        let marks = marks.filter_map(|(sub_column, column)| Some((sub_column, column.filter(|c| wanted[*c])?)));
        let columns = encoding.sub_columns().iter().map(|s| s.column).collect();
        Gaps { given, marks: marks.collect(), columns }
    }

    /// The gaps of a row that are missing in `values`, in column order; a column may come twice.
    fn missing(&self, values: &[Vec<u32>], row: usize) -> impl Iterator<Item = usize> {
        let is_missing = move |(sub_column, column): &&(usize, usize)| {
            values[*sub_column][row] == 0 && self.given[*column].is_null(row)
        };
        self.marks.iter().filter(is_missing).map(|(_, column)| *column)
    }

    fn sub_columns_of(&self, column: usize) -> impl Iterator<Item = usize> {
        self.columns.iter().enumerate().filter(move |(_, c)| **c == column).map(|(sub_column, _)| sub_column)
    }

    /// Makes the missing gaps of a row unknown again.
    fn forget(&self, values: &mut [Vec<u32>], row: usize) {
        let columns: Vec<usize> = self.missing(values, row).collect();
        for sub_column in columns.into_iter().flat_map(|c| self.sub_columns_of(c)) {
            values[sub_column][row] = UNKNOWN;
        }
    }
}
