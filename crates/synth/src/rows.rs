//! Models of plain tables, row by row: one of the methods, then keys and references on top.

use crate::adversarial::Adversarial;
use crate::asked::AskedRows;
use crate::autoregressive::{Autoregressive, Effort};
use crate::container::{Entries, not_a_model};
use crate::independent::IndependentRows;
use crate::interpolate::Interpolated;
use crate::manifest::{Making, Manifest, Origin, TableSpec};
use crate::permutation::balanced;
use crate::replicate::Bootstrap;
use crate::rules::Beside;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null, nullif, take};
use arrow::datatypes::{DataType, Float64Type, SchemaRef, UInt64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rand::Rng;
use std::ops::Range;
use std::sync::Arc;
use twinmart_tables::condition::{Condition, Test};
use twinmart_tables::{Draws, Error, Method, Progress, Result, Stream, Table, Target};

/// A model of one table's rows.
#[derive(Debug, Clone)]
pub(crate) enum RowModel {
    Replicate(Bootstrap),
    Interpolate(Interpolated),
    Gan(Box<Adversarial>),
    Autoregressive(Box<Autoregressive>),
    Independent(IndependentRows),
}

/// What a sampler fixes before any row is made: seed, sizes and the tables that are referred to.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) draws: Draws,
    pub(crate) manifest: &'a Manifest,
    pub(crate) schemas: &'a [SchemaRef],
    /// Rows of each table of the twin; of the events table, unknown and 0.
    pub(crate) sizes: &'a [u64],
    /// Keys of the tables that are kept, by table.
    pub(crate) kept_keys: &'a [Option<ArrayRef>],
    /// What all rows of the only table have.
    pub(crate) asked: Option<&'a Asked>,
}

/// What the rows of a table shall have.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// All of them a value of a column, of a generator: the leaf of a part.
    Leaf(AskedLeaf),
    /// All of them what conditions say.
    Conditions(AskedRows),
    /// Each of them the values of a given row, which are given again and again: all columns of the table, open where missing.
    Rows(Vec<ArrayRef>),
}

/// The leaf of a part of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskedLeaf {
    pub(crate) part: usize,
    pub(crate) leaf: u32,
}

impl RowModel {
    /// Learns the rows of a table; `subjects` names the person behind each row.
    pub(crate) fn fit(
        table: &Table,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        progress: &Progress,
    ) -> Result<RowModel> {
        let settings = &manifest.settings;
        let rows = table.to_batch()?;
        Ok(match settings.method {
            Method::Replicate => {
                let weights = settings.weights.as_deref().filter(|_| manifest.sized_by == table.name);
                RowModel::Replicate(Bootstrap::new(rows, weights)?)
            }
            Method::Interpolate => RowModel::Interpolate(Interpolated::fit(rows, subjects, spec, manifest, progress)?),
            Method::Autoregressive => RowModel::Autoregressive(Box::new(Autoregressive::fit(
                &rows,
                subjects,
                spec,
                manifest,
                Effort::whole(manifest),
                progress,
            )?)),
            Method::Gan => {
                let effort = (settings.max_minutes, settings.steps);
                let model = Adversarial::fit(&rows, subjects, spec, manifest, effort, progress)?;
                RowModel::Gan(Box::new(model))
            }
            Method::Independent => RowModel::Independent(IndependentRows::fit(&rows, subjects, spec, manifest, &[])?),
        })
    }

    /// What stands for conditions that all rows shall meet.
    ///
    /// # Errors
    /// A usage error where rows cannot be asked for them.
    pub(crate) fn asked(
        &self,
        given: &[Condition],
        spec: &TableSpec,
        manifest: &Manifest,
        schema: &SchemaRef,
    ) -> Result<Asked> {
        match (self, given) {
            (RowModel::Autoregressive(model), _) => Ok(Asked::Conditions(model.asked(given, spec, manifest, schema)?)),
            (RowModel::Gan(model), [Condition { column, test: Test::In(values) }]) if values.len() == 1 => {
                let target = Target { column: column.clone(), value: values[0].clone() };
                Ok(Asked::Leaf(model.asked(&target, spec, schema)?))
            }
            (RowModel::Gan(_), _) => Err(Error::usage("a generator can be asked for one value of one column")
                .table(&spec.name)
                .remedy("give one condition 'column=value', or fit the table with the method autoregressive")
                .into()),
            _ => Err(Error::usage(format!(
                "a model of the method {} cannot be asked for values",
                manifest.method.name()
            ))
            .table(&spec.name)
            .remedy("fit the table with the method autoregressive")
            .into()),
        }
    }

    /// The training rows, where the model holds them.
    pub(crate) fn training_rows(&self) -> Option<&RecordBatch> {
        match self {
            RowModel::Replicate(m) => Some(m.rows()),
            RowModel::Interpolate(m) => Some(m.rows()),
            RowModel::Gan(_) | RowModel::Autoregressive(_) | RowModel::Independent(_) => None,
        }
    }

    /// Adds what a model file must hold, below `prefix`.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        match self {
            RowModel::Replicate(m) => entries.put(format!("{prefix}/rows.parquet"), to_parquet(m.rows())?),
            RowModel::Interpolate(m) => m.store(prefix, entries)?,
            RowModel::Gan(m) => m.store(prefix, entries)?,
            RowModel::Autoregressive(m) => m.store(prefix, entries)?,
            RowModel::Independent(m) => m.store(prefix, entries)?,
        }
        Ok(())
    }

    /// Reads what [`RowModel::store`] wrote.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        schema: &SchemaRef,
        manifest: &Manifest,
    ) -> Result<RowModel> {
        Ok(match manifest.method {
            Method::Replicate => {
                let rows = rows_of(prefix, entries, spec, schema)?;
                let weights = manifest.settings.weights.as_deref().filter(|_| manifest.sized_by == spec.name);
                RowModel::Replicate(Bootstrap::new(rows, weights)?)
            }
            Method::Interpolate => RowModel::Interpolate(Interpolated::load(prefix, entries, spec, schema, manifest)?),
            Method::Gan => RowModel::Gan(Box::new(Adversarial::load(prefix, entries, spec, manifest)?)),
            Method::Autoregressive => {
                RowModel::Autoregressive(Box::new(Autoregressive::load(prefix, entries, spec, manifest)?))
            }
            Method::Independent => RowModel::Independent(IndependentRows::load(prefix, entries, spec)?),
        })
    }

    /// Rows `range` of the twin's table at `position`.
    pub(crate) fn batch(&self, frame: &Frame, position: usize, range: Range<u64>) -> Result<RecordBatch> {
        let spec = &frame.manifest.tables[position];
        let schema = &frame.schemas[position];
        let family = frame.draws.family("synth.row", &spec.name);
        let mut streams: Vec<Stream> = range.clone().map(|row| family.row(row)).collect();
        let base = |row: u64, bases: u64| match spec.making {
            Making::Counterparts => row % bases,
            _ => balanced(frame.draws.seed(), &spec.name, row, bases),
        };
        let draw = |places: &[usize], streams: &mut [Stream]| {
            let numbers = places.iter().map(|place| range.start + *place as u64);
            match self {
                RowModel::Replicate(m) if spec.making == Making::Counterparts => {
                    m.rows_at(numbers.map(|row| base(row, spec.learned_rows)))
                }
                RowModel::Replicate(m) => m.draw(streams),
                RowModel::Interpolate(m) => m.draw(numbers.map(|row| base(row, m.bases())), streams, schema),
                RowModel::Gan(m) => {
                    let leaf = frame.asked.and_then(|a| if let Asked::Leaf(leaf) = a { Some(*leaf) } else { None });
                    m.draw(leaf, streams, schema)
                }
                RowModel::Autoregressive(m) => match frame.asked {
                    Some(Asked::Conditions(asked)) => m.draw_asked(asked, streams, schema),
                    Some(Asked::Rows(given)) => m.draw_around(&given_at(given, numbers)?, streams, schema),
                    _ => m.draw(streams, schema),
                },
                RowModel::Independent(m) => m.draw(streams, schema),
            }
        };
        let given = |places: &[usize]| match frame.asked {
            Some(Asked::Rows(given)) => given_at(given, places.iter().map(|place| range.start + *place as u64)),
            _ => Ok(Vec::new()),
        };
        let beside = match frame.asked {
            Some(Asked::Conditions(asked)) => Beside::Conditions(asked),
            Some(Asked::Rows(_)) => Beside::Given(&given),
            _ => Beside::Nothing,
        };
        let kept = spec.rules.keep(&mut streams, schema, &beside, draw);
        let values = kept.map_err(|e| e.with(|p| p.table(&spec.name)))?;
        frame.assemble(position, values, &[], Numbering::Rows(range.start), &mut streams)
    }
}

/// What is given of the rows of these numbers: given rows come again and again.
fn given_at(given: &[ArrayRef], numbers: impl Iterator<Item = u64>) -> Result<Vec<ArrayRef>> {
    let of = given.first().map_or(1, |c| c.len().max(1)) as u64;
    let index = UInt64Array::from_iter_values(numbers.map(|row| row % of));
    given.iter().map(|c| Ok(take(c, &index, None)?)).collect()
}

/// Puts given values, where there are any, into their columns.
pub(crate) fn put_given(given: &[ArrayRef], columns: &mut [ArrayRef]) -> Result<()> {
    for (given, column) in given.iter().zip(columns) {
        *column = zip(&is_not_null(given)?, given, column)?;
    }
    Ok(())
}

impl Frame<'_> {
    /// Puts new keys and valid references over `values`, one array per column; the columns `given` are final already.
    pub(crate) fn assemble(
        &self,
        position: usize,
        mut values: Vec<ArrayRef>,
        given: &[usize],
        numbering: Numbering,
        streams: &mut [Stream],
    ) -> Result<RecordBatch> {
        let spec = &self.manifest.tables[position];
        let schema = &self.schemas[position];
        let origins = spec.origins(self.manifest).into_iter().enumerate();
        for (column, origin) in origins.filter(|(column, _)| !given.contains(column)) {
            let place = |e: Error| at_column(e, spec, column);
            let data_type = schema.field(column).data_type();
            match origin {
                Origin::Key => {
                    let style = spec.keys.get(&spec.columns[column].name);
                    let style = style.ok_or_else(|| not_a_model("a key has no style"))?;
                    values[column] = numbering.keys(style, streams.len(), data_type).map_err(place)?;
                }
                Origin::SharedKey(parent) => {
                    values[column] = match &self.kept_keys[parent] {
                        Some(keys) => cast(&numbering.of(keys, streams.len())?, data_type)?,
                        None => numbering.keys(self.key_style(parent)?, streams.len(), data_type).map_err(place)?,
                    };
                }
                Origin::Reference(parent) => {
                    values[column] = self.references(parent, &values[column], data_type, streams).map_err(place)?;
                }
                Origin::Value | Origin::Group => {}
            }
        }
        for (array, field) in values.iter_mut().zip(schema.fields()) {
            if !field.is_nullable() && array.null_count() > 0 {
                *array = missing_as_nan(array)?;
            }
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(streams.len()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), values, &rows)?)
    }

    /// Keys of the table `parent` for every present value: as they are where that table is kept, else drawn among its new keys.
    fn references(
        &self,
        parent: usize,
        values: &ArrayRef,
        data_type: &DataType,
        streams: &mut [Stream],
    ) -> Result<ArrayRef> {
        if let Some(keys) = &self.kept_keys[parent] {
            return crate::independent::fill_references(values, keys, data_type, streams);
        }
        let size = self.sizes[parent];
        if size == 0 {
            return Ok(arrow::array::new_null_array(data_type, values.len()));
        }
        let numbers: Vec<u64> = streams.iter_mut().map(|s| s.random_range(0..size)).collect();
        let keys = self.key_style(parent)?.column(&numbers, data_type)?;
        Ok(nullif(&keys, &arrow::compute::is_null(values)?)?)
    }

    /// The style of the keys of a table, which may be those of another.
    pub(crate) fn key_style(&self, table: usize) -> Result<&crate::KeyStyle> {
        let spec = &self.manifest.tables[table];
        match spec.shared_key(self.manifest) {
            Some(parent) if parent != table && self.manifest.tables[parent].shared_key(self.manifest).is_none() => {
                self.key_style(parent)
            }
            _ => {
                let key = spec.definition.key.as_ref().and_then(|k| spec.keys.get(k));
                key.ok_or_else(|| not_a_model(format!("the table {} has no key of its own", spec.name)))
            }
        }
    }
}

/// What numbers the new keys of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbering<'a> {
    /// The rows, from this one.
    Rows(u64),
    /// For each row, its user and its number below that user.
    BelowUsers(&'a [u64], &'a [u64]),
}

impl Numbering<'_> {
    fn keys(self, style: &crate::KeyStyle, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        match self {
            Numbering::Rows(first) => style.column(&(first..first + rows as u64).collect::<Vec<_>>(), data_type),
            Numbering::BelowUsers(user, own) => {
                style.pairs(user.iter().zip(own).map(|(u, o)| Some((*u, *o))), data_type)
            }
        }
    }

    /// The keys of a kept table, one for each row in their order; missing beyond their end.
    fn of(self, keys: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        let number = |row: usize| match self {
            Numbering::Rows(first) => first + row as u64,
            Numbering::BelowUsers(user, _) => user[row],
        };
        let places = (0..rows).map(|row| Some(number(row)).filter(|n| *n < keys.len() as u64));
        Ok(take(keys, &places.collect::<UInt64Array>(), None)?)
    }
}

/// Missing numbers as not-a-number: in a column that cannot be missing, that is how the training data said it.
fn missing_as_nan(array: &ArrayRef) -> Result<ArrayRef> {
    if !array.data_type().is_floating() {
        return Ok(array.clone());
    }
    let numbers = cast(array, &DataType::Float64)?;
    let filled = numbers.as_primitive::<Float64Type>().iter().map(|x| x.unwrap_or(f64::NAN));
    let filled: ArrayRef = Arc::new(Float64Array::from_iter_values(filled));
    Ok(cast(&filled, array.data_type())?)
}

/// Names the column in an error about new keys.
fn at_column(error: Error, spec: &TableSpec, column: usize) -> Error {
    match error {
        Error::Usage(problem) => problem.table(&spec.name).column(&spec.columns[column].name).into(),
        other => other,
    }
}

/// The rows at `indices` of every column.
pub(crate) fn take_rows(rows: &RecordBatch, indices: &UInt64Array) -> Result<Vec<ArrayRef>> {
    rows.columns().iter().map(|c| Ok(take(c, indices, None)?)).collect()
}

/// A batch as a small Parquet file.
pub(crate) fn to_parquet(batch: &RecordBatch) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("twinmart".into())
        .build();
    let fault = |e: parquet::errors::ParquetError| Error::data(format!("cannot store rows: {e}"));
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).map_err(fault)?;
    writer.write(batch).map_err(fault)?;
    Ok(writer.into_inner().map_err(fault)?)
}

/// Reads what [`to_parquet`] wrote.
pub(crate) fn from_parquet(bytes: Vec<u8>) -> Result<RecordBatch> {
    let fault = |e: &dyn std::fmt::Display| not_a_model(e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).map_err(|e| fault(&e))?;
    let schema = builder.schema().clone();
    let reader = builder.build().map_err(|e| fault(&e))?;
    let batches: Vec<RecordBatch> = reader.collect::<std::result::Result<_, _>>().map_err(|e| fault(&e))?;
    arrow::compute::concat_batches(&schema, &batches).map_err(|e| fault(&e))
}

/// The training rows of a table, checked against what the manifest says of them.
pub(crate) fn rows_of(
    prefix: &str,
    entries: &mut Entries,
    spec: &TableSpec,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = from_parquet(entries.take(&format!("{prefix}/rows.parquet"))?)?;
    if rows.schema().fields() != schema.fields() || rows.num_rows() as u64 != spec.learned_rows {
        return Err(not_a_model(format!("the rows of {} are not those of the manifest", spec.name)));
    }
    Ok(rows)
}

/// Positions as one Parquet column.
pub(crate) fn indices_to_parquet(indices: &[u64]) -> Result<Vec<u8>> {
    let column: ArrayRef = Arc::new(UInt64Array::from(indices.to_vec()));
    to_parquet(&RecordBatch::try_from_iter([("row", column)])?)
}

/// Reads what [`indices_to_parquet`] wrote; all must be below `limit`. Without a `length`, there may be any number of them.
pub(crate) fn indices_from_parquet(bytes: Vec<u8>, length: Option<usize>, limit: u64) -> Result<Vec<u64>> {
    let batch = from_parquet(bytes)?;
    let column = batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt64Type>());
    let indices = column.filter(|c| c.null_count() == 0).map(|c| c.values().to_vec());
    indices
        .filter(|i| length.is_none_or(|n| i.len() == n) && i.iter().all(|x| *x < limit))
        .ok_or_else(|| not_a_model("stored neighbours contradict the manifest"))
}
