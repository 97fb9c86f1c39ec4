//! `independent`: every column by itself, from its [`Marginal`]. The floor that every other method must beat; no training row
//! is kept, and no value that few people share.

use crate::container::{Entries, not_a_model};
use crate::manifest::{Making, Manifest, Origin, TableSpec};
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, SchemaRef};
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use twinmart_encode::marginal::{Drawn, Marginal};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Error, Result, Stream};

/// The columns of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndependentRows {
    columns: Vec<ColumnModel>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ColumnModel {
    /// Values, or references to a table that is kept.
    Values(Marginal),
    /// A reference to a table that is made: only how many are missing.
    Reference { nulls: u64, rows: u64 },
    /// A new key, or a column that others give.
    New,
}

impl IndependentRows {
    /// Learns each column but those `given` by others; `subjects` names the person of each row.
    pub(crate) fn fit(
        rows: &RecordBatch,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        given: &[usize],
    ) -> Result<IndependentRows> {
        let family = Draws::new(manifest.seed).family("synth.threshold", &spec.name);
        let column = |(position, origin): (usize, &Origin)| {
            let array = rows.column(position);
            let threshold = PersonThreshold::draw(family.row(position as u64).next_u64());
            let values = |kind| Marginal::of(array, kind, subjects, threshold).map(ColumnModel::Values);
            let named = |e: Error| match e {
                Error::Data(problem) => problem.table(&spec.name).column(&spec.columns[position].name).into(),
                other => other,
            };
            match origin {
                _ if given.contains(&position) => Ok(ColumnModel::New),
                Origin::Value => values(spec.columns[position].kind),
                Origin::Reference(p) if manifest.tables[*p].making == Making::Kept => values(ColumnKind::Category),
                Origin::Reference(_) => {
                    Ok(ColumnModel::Reference { nulls: array.logical_null_count() as u64, rows: array.len() as u64 })
                }
                Origin::Key | Origin::Group | Origin::SharedKey(_) => Ok(ColumnModel::New),
            }
            .map_err(named)
        };
        let columns = spec.origins(manifest).iter().enumerate().map(column).collect::<Result<_>>()?;
        Ok(IndependentRows { columns })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        entries.put(format!("{prefix}/marginals.json"), to_json(self)?);
        Ok(())
    }

    /// Reads what [`IndependentRows::store`] wrote.
    pub(crate) fn load(prefix: &str, entries: &mut Entries, spec: &TableSpec) -> Result<IndependentRows> {
        let model: IndependentRows = from_json(&entries.take(&format!("{prefix}/marginals.json"))?)?;
        if model.columns.len() != spec.columns.len() {
            return Err(not_a_model(format!("the distributions of {} are not those of its columns", spec.name)));
        }
        for column in &model.columns {
            if let ColumnModel::Values(marginal) = column {
                marginal.check().map_err(not_a_model)?;
            }
        }
        Ok(model)
    }

    /// One row for each stream, as one array per column; keys are missing, references are marks of presence.
    pub(crate) fn draw(&self, streams: &mut [Stream], schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let column = |(model, field): (&ColumnModel, &arrow::datatypes::FieldRef)| match model {
            ColumnModel::Values(marginal) => {
                let drawn: Vec<Drawn> = streams.iter_mut().map(|s| marginal.draw(s)).collect();
                marginal.column(&drawn, field.data_type(), field.is_nullable())
            }
            ColumnModel::Reference { nulls, rows } => {
                let marks = streams.iter_mut().map(|s| (s.random_range(0..(*rows).max(1)) >= *nulls).then_some(""));
                Ok(std::sync::Arc::new(marks.collect::<StringArray>()) as ArrayRef)
            }
            ColumnModel::New => Ok(arrow::array::new_null_array(field.data_type(), streams.len())),
        };
        self.columns.iter().zip(schema.fields()).map(column).collect()
    }
}

/// References to a table that is kept: present values that are keys stay, all others become uniform draws among the keys.
pub(crate) fn fill_references(
    values: &ArrayRef,
    keys: &ArrayRef,
    data_type: &DataType,
    streams: &mut [Stream],
) -> Result<ArrayRef> {
    if keys.is_empty() {
        return Ok(arrow::array::new_null_array(data_type, values.len()));
    }
    let text = |array: &ArrayRef| cast(array, &DataType::Utf8);
    let (value_text, key_text) = (text(values)?, text(keys)?);
    let (value_text, key_text) = (strings(&value_text)?, strings(&key_text)?);
    let valid: HashSet<&str> = key_text.iter().flatten().collect();
    if value_text.iter().flatten().all(|v| valid.contains(v)) {
        return Ok(cast(values, data_type)?);
    }
    let drawn: UInt32Array = streams.iter_mut().map(|s| Some(s.random_range(0..keys.len()) as u32)).collect();
    let drawn = cast(&take(keys, &drawn, None)?, data_type)?;
    let values = cast(values, data_type)?;
    let stays = |row: usize| value_text.is_null(row) || valid.contains(value_text.value(row));
    let choice: Vec<(usize, usize)> = (0..values.len()).map(|row| (usize::from(!stays(row)), row)).collect();
    Ok(interleave(&[&values, &drawn], &choice)?)
}

fn strings(array: &ArrayRef) -> Result<&StringArray> {
    array.as_any().downcast_ref().ok_or_else(|| Error::data("keys have no text form").into())
}

/// A part of a model as JSON.
pub(crate) fn to_json(part: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(part).map_err(|e| Error::data(format!("cannot store the model: {e}")).into())
}

/// Reads what [`to_json`] wrote.
pub(crate) fn from_json<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(not_a_model)
}
