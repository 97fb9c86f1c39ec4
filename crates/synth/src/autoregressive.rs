//! `autoregressive`: every column given those before it.
//!
//! ```text
//! columns ─► TableEncoding ─► codes ─► density (trees)          fit: analysed whole, learned from a part of long tables
//! streams ─► density ─► codes ─► TableEncoding ─► columns        draw: row by row, from nothing but the row's stream
//! ```
//!
//! Neither the encoding nor the density holds a training row: cells stand for the values of several people, and trees
//! for the odds of cells. A reference to a table that is kept is a category; of one to a table that is made, only whether it
//! is present is learned, and [`crate::rows::Frame`] draws the key.

use crate::container::{Entries, not_a_model};
use crate::independent::{from_json, to_json};
use crate::manifest::{Making, Manifest, Origin, TableSpec};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{is_not_null, take};
use arrow::datatypes::{DataType, SchemaRef};
use rand::{Rng, RngCore};
use rayon::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinmart_density::trees::Trees;
use twinmart_density::{Fitting, RowDensity, UNKNOWN};
use twinmart_encode::Resolution;
use twinmart_encode::table::{ColumnInput, ColumnType, TableEncoding};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Error, Progress, Result, Stream};

/// A learned model of one table's rows.
#[derive(Debug, Clone)]
pub(crate) struct Autoregressive {
    encoding: TableEncoding,
    density: Trees,
}

/// What of a column is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Learned {
    /// Its values, of this kind.
    Values(ColumnKind),
    /// Whether there is a value.
    Presence,
    /// Nothing: a new key.
    Nothing,
}

impl Autoregressive {
    /// Learns the rows of a table; `subjects` names the person behind each row.
    pub(crate) fn fit(
        rows: &RecordBatch,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        progress: &Progress,
    ) -> Result<Autoregressive> {
        let deadline = Instant::now() + Duration::from_secs_f64(manifest.settings.max_minutes * 60.0);
        let draws = Draws::new(manifest.seed);
        let columns = columns(rows, spec, manifest)?;
        let encoding = encoding(&columns, subjects, spec, draws)?;
        for (position, column) in spec.columns.iter().enumerate().filter(|(p, _)| encoding.is_silent(*p)) {
            if rows.column(position).logical_null_count() < rows.num_rows() {
                progress.warn(&format!(
                    "{}.{}: no value is shared by enough people to come out; the twin's column has no values",
                    spec.name, column.name
                ));
            }
        }
        let sub_columns = encoding.sub_columns();
        let wanted = Trees::rows_wanted(&sub_columns);
        let chosen = sample_of_people(subjects, wanted, draws, &spec.name);
        let take_chosen = |array: &ArrayRef| match &chosen {
            Some(chosen) => Ok(take(array, chosen, None)?),
            None => Ok::<ArrayRef, Error>(array.clone()),
        };
        let learned: Vec<ArrayRef> = columns.iter().map(|(array, _)| take_chosen(array)).collect::<Result<_>>()?;
        let subjects: Vec<u64> = match &chosen {
            Some(chosen) => chosen.values().iter().map(|row| subjects[*row as usize]).collect(),
            None => subjects.to_vec(),
        };
        let codes = encoding.encode(&learned.iter().collect::<Vec<_>>())?;
        drop(learned);
        let steps = manifest.settings.steps;
        let fitting = Fitting { draws, steps, deadline: Some(deadline), progress: progress.clone() };
        let density = Trees::fit(&codes, &subjects, &fitting)?;
        if density.is_unfinished() && steps == 0 {
            let reached = density.steps();
            progress.warn(&format!(
                "{}: learning was stopped by max_minutes = {} after {reached} steps; --steps {reached} repeats this model exactly",
                spec.name, manifest.settings.max_minutes
            ));
        }
        Ok(Autoregressive { encoding, density })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        entries.put(format!("{prefix}/encoding.json"), to_json(&self.encoding)?);
        let (structure, weights) = self.density.parts();
        entries.put(format!("{prefix}/trees.json"), to_json(&structure)?);
        entries.put(format!("{prefix}/weights.f32"), weights.iter().flat_map(|w| w.to_le_bytes()).collect());
        Ok(())
    }

    /// Reads what [`Autoregressive::store`] wrote.
    pub(crate) fn load(prefix: &str, entries: &mut Entries, spec: &TableSpec) -> Result<Autoregressive> {
        let encoding: TableEncoding = from_json(&entries.take(&format!("{prefix}/encoding.json"))?)?;
        encoding.check(spec.columns.len()).map_err(not_a_model)?;
        let structure = from_json(&entries.take(&format!("{prefix}/trees.json"))?)?;
        let weights = entries.take(&format!("{prefix}/weights.f32"))?;
        let (weights, _) = weights.as_chunks::<4>();
        let weights: Vec<f32> = weights.iter().map(|w| f32::from_le_bytes(*w)).collect();
        let density = Trees::from_parts(structure, &weights)
            .ok_or_else(|| not_a_model(format!("the weights of {} are not those of its trees", spec.name)))?;
        if !density.is_sound(&encoding.sub_columns()) {
            return Err(not_a_model(format!("the trees of {} are not those of its columns", spec.name)));
        }
        Ok(Autoregressive { encoding, density })
    }

    /// One row for each stream, as one array per column; keys are missing, references are marks of presence.
    pub(crate) fn draw(
        &self,
        streams: &mut [Stream],
        spec: &TableSpec,
        schema: &SchemaRef,
        manifest: &Manifest,
    ) -> Result<Vec<ArrayRef>> {
        let mut values = vec![vec![UNKNOWN; streams.len()]; self.encoding.sub_columns().len()];
        self.density.fill(&mut values, streams);
        let learned = learned(spec, manifest);
        let fields = learned.iter().zip(schema.fields());
        let types = fields.map(|(learned, field)| match learned {
            Learned::Presence => ColumnType { data_type: &DataType::Boolean, nullable: false },
            _ => ColumnType { data_type: field.data_type(), nullable: field.is_nullable() },
        });
        let types: Vec<ColumnType> = types.collect();
        let decoded = self.encoding.decode(&values, &types, streams)?;
        let columns = decoded.into_iter().zip(&learned).zip(schema.fields()).map(|((array, learned), field)| {
            match (array, learned) {
                (None, _) => arrow::array::new_null_array(field.data_type(), streams.len()),
                (Some(array), Learned::Presence) => {
                    let marks = array.as_boolean().iter().map(|present| (present == Some(true)).then_some(""));
                    Arc::new(marks.collect::<StringArray>()) as ArrayRef
                }
                (Some(array), _) => array,
            }
        });
        Ok(columns.collect())
    }
}

fn learned(spec: &TableSpec, manifest: &Manifest) -> Vec<Learned> {
    let origins = spec.origins(manifest).into_iter().zip(&spec.columns);
    let learned = origins.map(|(origin, column)| match origin {
        Origin::Value => Learned::Values(column.kind),
        Origin::Reference(p) if manifest.tables[p].making == Making::Kept => Learned::Values(ColumnKind::Category),
        Origin::Reference(_) => Learned::Presence,
        Origin::Key | Origin::Group | Origin::SharedKey(_) => Learned::Nothing,
    });
    learned.collect()
}

/// The columns as they are learned.
fn columns(rows: &RecordBatch, spec: &TableSpec, manifest: &Manifest) -> Result<Vec<(ArrayRef, Option<ColumnKind>)>> {
    let one = |(array, learned): (&ArrayRef, Learned)| {
        Ok(match learned {
            Learned::Values(kind) => (array.clone(), Some(kind)),
            Learned::Presence => {
                let present: BooleanArray = is_not_null(array)?;
                (Arc::new(present) as ArrayRef, Some(ColumnKind::Boolean))
            }
            Learned::Nothing => (array.clone(), None),
        })
    };
    rows.columns().iter().zip(learned(spec, manifest)).map(one).collect()
}

fn encoding(
    columns: &[(ArrayRef, Option<ColumnKind>)],
    subjects: &[u64],
    spec: &TableSpec,
    draws: Draws,
) -> Result<TableEncoding> {
    let family = draws.family("synth.threshold", &spec.name);
    let mut inputs = Vec::with_capacity(columns.len());
    for (position, (values, kind)) in columns.iter().enumerate() {
        let threshold = PersonThreshold::draw(family.row(position as u64).next_u64());
        inputs.push(ColumnInput { name: &spec.columns[position].name, values, kind: *kind, threshold });
    }
    TableEncoding::of(&inputs, subjects, Resolution::default()).map_err(|e| e.with(|p| p.table(&spec.name)))
}

/// Rows of whole people, drawn at random, about `wanted` of them; `None` where all rows are wanted.
fn sample_of_people(subjects: &[u64], wanted: usize, draws: Draws, table: &str) -> Option<UInt64Array> {
    if subjects.len() <= wanted {
        return None;
    }
    let share = wanted as f64 / subjects.len() as f64;
    let family = draws.family("synth.learned", table);
    let chosen: Vec<u64> = (0..subjects.len())
        .into_par_iter()
        .filter(|row| family.row(subjects[*row]).random::<f64>() < share)
        .map(|row| row as u64)
        .collect();
    Some(UInt64Array::from(chosen))
}
