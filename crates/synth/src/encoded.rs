//! The rows of a table in codes and back: what the learned method draws, and what interpolated rows pass through.
//!
//! The encoding holds no training row: cells stand for the values of several people, and what few people share has no code.
//! A reference to a table that is kept is a category; of one to a table that is made, only whether it is present is
//! encoded, and [`crate::rows::Frame`] draws the key.

use crate::container::{Entries, not_a_model};
use crate::independent::{from_json, to_json};
use crate::manifest::{Making, Manifest, Origin, TableSpec};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{is_not_null, is_null, nullif};
use arrow::datatypes::{DataType, SchemaRef};
use rand::RngCore;
use std::sync::Arc;
use twinmart_density::guide::Asked;
use twinmart_encode::Resolution;
use twinmart_encode::codes::{Codes, SubColumn, UNKNOWN};
use twinmart_encode::leaves::Leaves;
use twinmart_encode::permitted::Permitted;
use twinmart_encode::table::{ColumnInput, ColumnType, TableEncoding};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Progress, Result, Stream};

/// The encoding of one table's rows.
#[derive(Debug, Clone)]
pub(crate) struct RowEncoding {
    encoding: TableEncoding,
    /// What of each column is encoded.
    coded: Vec<Coded>,
}

/// What of a column is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Coded {
    /// Its values, of this kind.
    Values(ColumnKind),
    /// Whether there is a value.
    Presence,
    /// Nothing: a new key.
    Nothing,
}

impl RowEncoding {
    /// The encoding of `columns`; `subjects` names the person behind each row. Warns of columns of which nothing may come out.
    pub(crate) fn of(
        columns: &[ArrayRef],
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        progress: &Progress,
    ) -> Result<RowEncoding> {
        let coded = coded(spec, manifest);
        let values = seen(columns, &coded)?;
        let family = Draws::new(manifest.seed).family("synth.threshold", &spec.name);
        let inputs =
            values.iter().zip(&coded).zip(&spec.columns).enumerate().map(|(position, ((values, coded), column))| {
                let kind = match coded {
                    Coded::Values(kind) => Some(*kind),
                    Coded::Presence => Some(ColumnKind::Boolean),
                    Coded::Nothing => None,
                };
                let threshold = PersonThreshold::draw(family.row(position as u64).next_u64());
                ColumnInput { name: &column.name, values, kind, threshold }
            });
        let encoding = TableEncoding::of(&inputs.collect::<Vec<_>>(), subjects, Resolution::default())
            .map_err(|e| e.with(|p| p.table(&spec.name)))?;
        for (position, column) in spec.columns.iter().enumerate().filter(|(p, _)| encoding.is_silent(*p)) {
            if columns[position].logical_null_count() < columns[position].len() {
                progress.warn(&format!(
                    "{}.{}: no value is shared by enough people to come out; the twin's column has no values",
                    spec.name, column.name
                ));
            }
        }
        Ok(RowEncoding { encoding, coded })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        entries.put(format!("{prefix}/encoding.json"), to_json(&self.encoding)?);
        Ok(())
    }

    /// Reads what [`RowEncoding::store`] wrote.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        manifest: &Manifest,
    ) -> Result<RowEncoding> {
        let encoding: TableEncoding = from_json(&entries.take(&format!("{prefix}/encoding.json"))?)?;
        encoding.check(spec.columns.len()).map_err(not_a_model)?;
        Ok(RowEncoding { encoding, coded: coded(spec, manifest) })
    }

    /// The sub-columns of all columns, in their order.
    pub(crate) fn sub_columns(&self) -> Vec<SubColumn> {
        self.encoding.sub_columns()
    }

    /// The parts of all columns as cells, in the order of their sub-columns.
    pub(crate) fn leaves(&self) -> Vec<Leaves> {
        self.encoding.leaves()
    }

    /// Codes `[sub_columns][rows]` without [`UNKNOWN`] as leaves `[parts][rows]`.
    pub(crate) fn leaves_of(&self, values: &[Vec<u32>]) -> Vec<Vec<u32>> {
        self.encoding.leaves_of(values)
    }

    /// Leaves `[parts][rows]` as codes `[sub_columns][rows]`.
    pub(crate) fn codes_of(&self, leaves: &[Vec<u32>]) -> Vec<Vec<u32>> {
        self.encoding.codes_of(leaves)
    }

    /// The values that are listed of a column, frequent ones first; `None` where cells stand for values.
    pub(crate) fn listed(&self, column: usize) -> Option<&[String]> {
        self.encoding.listed(column)
    }

    /// What the leaves of a column say of permitted values: by the first sub-column of a chain, the share of each leaf.
    pub(crate) fn shares(&self, column: usize, permitted: &Permitted) -> Vec<(usize, Vec<f32>)> {
        self.encoding.shares(column, permitted)
    }

    /// Positions of leaves (NaN = missing) as values of a column of numbers; `None` for other columns.
    pub(crate) fn at(&self, column: usize, positions: &[f64], data_type: &DataType) -> Option<Result<ArrayRef>> {
        self.encoding.at(column, positions, data_type)
    }

    /// The smallest and the largest value of a column of numbers.
    pub(crate) fn ends(&self, column: usize, data_type: &DataType) -> Option<ArrayRef> {
        self.encoding.ends(column, data_type)
    }

    /// Rows as codes; what a row of the table cannot hold has the first code.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Codes> {
        let mut codes = self.encoding.encode(&seen(columns, &self.coded)?.iter().collect::<Vec<_>>())?;
        // Only a forged model file has such rows.
        codes.values.iter_mut().flatten().filter(|code| **code == UNKNOWN).for_each(|code| *code = 0);
        Ok(codes)
    }

    /// Rows with gaps as codes: [`UNKNOWN`] for whatever says nothing of the rest of its row.
    pub(crate) fn encode_given(&self, columns: &[ArrayRef]) -> Result<Vec<Vec<u32>>> {
        let mut seen = seen(columns, &self.coded)?;
        for ((seen, column), _) in seen.iter_mut().zip(columns).zip(&self.coded).filter(|(_, c)| **c == Coded::Presence)
        {
            *seen = nullif(seen, &is_null(column)?)?;
        }
        Ok(self.encoding.encode_given(&seen.iter().collect::<Vec<_>>())?.values)
    }

    /// What asks that values of the `wanted` columns are present.
    pub(crate) fn present(&self, wanted: &[bool]) -> Asked {
        let parts = self.leaves().into_iter().filter(|part| part.missing && wanted[part.column]);
        let present = |part: Leaves| {
            let leaves = (0..part.weights.len()).map(|leaf| f32::from(u8::from(leaf > 0)));
            (part.sub_columns.start, leaves.collect())
        };
        Asked::of(parts.map(present).collect())
    }

    /// Puts the codes that lead to a leaf of the chain which begins with a sub-column into a row of `values`.
    pub(crate) fn put_leaf(&self, chain: usize, leaf: u32, row: usize, values: &mut [Vec<u32>]) {
        let sub_columns = self.sub_columns();
        let end = (chain + 1..sub_columns.len()).find(|p| sub_columns[*p].level == 0).unwrap_or(sub_columns.len());
        let mut node = leaf;
        for p in (chain..end).rev() {
            let above = sub_columns[p].first.partition_point(|first| *first <= node) - 1;
            values[p][row] = node - sub_columns[p].first[above];
            node = above as u32;
        }
    }

    /// For each sub-column, its column where code 0 says that the column's value is missing.
    pub(crate) fn missing_codes(&self) -> Vec<Option<usize>> {
        let columns = self.sub_columns().into_iter().map(|s| s.column);
        columns.zip(self.encoding.missing_codes()).map(|(column, says)| says.then_some(column)).collect()
    }

    /// True where values of the column can be drawn: it is no key and not silent.
    pub(crate) fn has_values(&self, column: usize) -> bool {
        matches!(self.coded[column], Coded::Values(_)) && !self.encoding.is_silent(column)
    }

    /// Codes of a value of one column, by its own frequencies.
    pub(crate) fn draw_alone(&self, column: usize, stream: &mut Stream) -> Vec<u32> {
        self.encoding.draw(column, stream)
    }

    /// Codes as one array per column; keys are missing, references to tables that are made are marks of presence.
    pub(crate) fn decode(
        &self,
        values: &[Vec<u32>],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let decoded = self.encoding.decode(values, &self.types(schema), streams)?;
        self.finished(decoded, streams.len(), schema)
    }

    /// As [`RowEncoding::decode`], for rows of whose columns only some values are permitted.
    pub(crate) fn decode_permitted(
        &self,
        values: &[Vec<u32>],
        permitted: &[Option<Permitted>],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let decoded = self.encoding.decode_permitted(values, permitted, &self.types(schema), streams)?;
        self.finished(decoded, streams.len(), schema)
    }

    /// As [`RowEncoding::decode`], for rows of which the values present in `given` stay.
    pub(crate) fn decode_given(
        &self,
        values: &[Vec<u32>],
        given: &[ArrayRef],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let decoded = self.encoding.decode_given(values, given, &self.types(schema), streams)?;
        self.finished(decoded, streams.len(), schema)
    }

    fn types<'a>(&self, schema: &'a SchemaRef) -> Vec<ColumnType<'a>> {
        let types = self.coded.iter().zip(schema.fields()).map(|(coded, field)| match coded {
            Coded::Presence => ColumnType { data_type: &DataType::Boolean, nullable: false },
            _ => ColumnType { data_type: field.data_type(), nullable: field.is_nullable() },
        });
        types.collect()
    }

    fn finished(&self, decoded: Vec<Option<ArrayRef>>, rows: usize, schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let columns = decoded.into_iter().zip(&self.coded).zip(schema.fields()).map(|((array, coded), field)| {
            match (array, coded) {
                (None, _) => arrow::array::new_null_array(field.data_type(), rows),
                (Some(array), Coded::Presence) => {
                    let marks = array.as_boolean().iter().map(|present| (present == Some(true)).then_some(""));
                    Arc::new(marks.collect::<StringArray>()) as ArrayRef
                }
                (Some(array), _) => array,
            }
        });
        Ok(columns.collect())
    }
}

fn coded(spec: &TableSpec, manifest: &Manifest) -> Vec<Coded> {
    let origins = spec.origins(manifest).into_iter().zip(&spec.columns);
    let coded = origins.map(|(origin, column)| match origin {
        Origin::Value => Coded::Values(column.kind),
        Origin::Reference(p) if manifest.tables[p].making == Making::Kept => Coded::Values(ColumnKind::Category),
        Origin::Reference(_) => Coded::Presence,
        Origin::Key | Origin::Group | Origin::SharedKey(_) => Coded::Nothing,
    });
    coded.collect()
}

/// The columns as they are encoded.
fn seen(columns: &[ArrayRef], coded: &[Coded]) -> Result<Vec<ArrayRef>> {
    let one = |(array, coded): (&ArrayRef, &Coded)| {
        Ok(match coded {
            Coded::Presence => {
                let present: BooleanArray = is_not_null(array)?;
                Arc::new(present) as ArrayRef
            }
            Coded::Values(_) | Coded::Nothing => array.clone(),
        })
    };
    columns.iter().zip(coded).map(one).collect()
}
