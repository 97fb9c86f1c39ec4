//! `autoregressive`: every column given those before it.
//!
//! ```text
//! columns ─► TableEncoding ─► codes ─► density                  fit: analysed whole, learned from a part of long tables
//! streams ─► density ─► codes ─► TableEncoding ─► columns        draw: row by row, from nothing but the row's stream
//! ```
//!
//! Neither the encoding ([`RowEncoding`]) nor the density holds a training row: cells stand for the values of several
//! people, and the density ([`Density`], by preset) for the odds of cells.

use crate::asked::AskedRows;
use crate::complete::fill_present;
use crate::container::Entries;
use crate::density::Density;
use crate::encoded::RowEncoding;
use crate::manifest::{Manifest, TableSpec};
use arrow::array::{ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, take};
use arrow::datatypes::SchemaRef;
use rand::Rng;
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use twinmart_density::guide::{Asked, Guide, Odds};
use twinmart_density::trees::Trees;
use twinmart_density::{Fitting, UNKNOWN};
use twinmart_encode::codes::{Codes, SubColumn};
use twinmart_tables::condition::Condition;
use twinmart_tables::{Draws, Error, Progress, Result, Stream};

/// How long a row model may learn, and from how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds or steps; 0 = until the held-out likelihood stops improving.
    pub(crate) steps: u64,
    pub(crate) minutes: f64,
    /// Rows that are learned from, at most.
    pub(crate) rows: usize,
}

impl Effort {
    /// All that the settings allow.
    pub(crate) fn whole(manifest: &Manifest) -> Effort {
        let settings = &manifest.settings;
        Effort { steps: settings.steps, minutes: settings.max_minutes, rows: usize::MAX }
    }

    /// The effort for what stands beside histories: a part of the time, and steps are not counted for it.
    pub(crate) fn beside_histories(manifest: &Manifest) -> Effort {
        Effort { steps: 0, minutes: 0.2 * manifest.settings.max_minutes, rows: ROWS_BESIDE_HISTORIES }
    }
}

/// Users or events whose attributes are learned beside histories, at most: few columns need no more.
const ROWS_BESIDE_HISTORIES: usize = 40_000;

/// A learned model of one table's rows.
#[derive(Debug, Clone)]
pub(crate) struct Autoregressive {
    encoding: RowEncoding,
    density: Density,
    /// What looks ahead to columns that are known or asked; learned when it is first needed.
    guide: Arc<OnceLock<Guide>>,
}

/// Rows that a guide learns from: drawn, not real ones.
const GUIDED_BY: u64 = 8_192;
/// Particles that draw a row with gaps.
pub(crate) const PARTICLES_GIVEN: usize = 16;
/// Particles that tell the odds of values.
const PARTICLES_FOR_ODDS: usize = 64;

impl Autoregressive {
    /// Learns the rows of a table; `subjects` names the person behind each row.
    pub(crate) fn fit(
        rows: &RecordBatch,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        effort: Effort,
        progress: &Progress,
    ) -> Result<Autoregressive> {
        let deadline = Instant::now() + Duration::from_secs_f64(effort.minutes * 60.0);
        let draws = Draws::new(manifest.seed);
        let encoding = RowEncoding::of(rows.columns(), subjects, spec, manifest, progress)?;
        let sub_columns = encoding.sub_columns();
        let wanted = Trees::rows_wanted(&sub_columns).min(effort.rows);
        let chosen = sample_of_people(subjects, wanted, draws, &spec.name);
        let take_chosen = |array: &ArrayRef| match &chosen {
            Some(chosen) => Ok(take(array, chosen, None)?),
            None => Ok::<ArrayRef, Error>(array.clone()),
        };
        let learned: Vec<ArrayRef> = rows.columns().iter().map(take_chosen).collect::<Result<_>>()?;
        let subjects: Vec<u64> = match &chosen {
            Some(chosen) => chosen.values().iter().map(|row| subjects[*row as usize]).collect(),
            None => subjects.to_vec(),
        };
        let codes = encoding.encode(&learned)?;
        drop(learned);
        let steps = effort.steps;
        let progress = progress.of_table(&spec.name);
        let fitting = Fitting { draws, steps, deadline: Some(deadline), progress: progress.clone() };
        let density = Density::fit(&codes, &subjects, &fitting, manifest.settings.preset)?;
        if density.is_unfinished() && steps == 0 {
            let advice = match density.steps() {
                Some(reached) if effort.rows == usize::MAX => {
                    format!(" after {reached} steps; --steps {reached} repeats this model exactly")
                }
                _ => "; more minutes may make a better model".into(),
            };
            progress.warn(&format!(
                "{}: learning was stopped by max_minutes = {}{advice}",
                spec.name, manifest.settings.max_minutes
            ));
        }
        Ok(Autoregressive { encoding, density, guide: Arc::default() })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        self.encoding.store(prefix, entries)?;
        self.density.store(prefix, entries)
    }

    /// Reads what [`Autoregressive::store`] wrote.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        manifest: &Manifest,
    ) -> Result<Autoregressive> {
        let encoding = RowEncoding::load(prefix, entries, spec, manifest)?;
        let density = Density::load(prefix, entries, manifest.settings.preset, &encoding.sub_columns())?;
        Ok(Autoregressive { encoding, density, guide: Arc::default() })
    }

    /// One row for each stream, as one array per column; keys are missing, references are marks of presence.
    pub(crate) fn draw(&self, streams: &mut [Stream], schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let values = self.draw_codes(streams);
        self.decode(&values, streams, schema)
    }

    /// One row for each stream, in codes: `[sub_columns][rows]`.
    pub(crate) fn draw_codes(&self, streams: &mut [Stream]) -> Vec<Vec<u32>> {
        let mut values = vec![vec![UNKNOWN; streams.len()]; self.encoding.sub_columns().len()];
        self.density.fill(&mut values, streams);
        values
    }

    /// A guide to the density: a mixture learned from rows that are drawn, always the same ones.
    pub(crate) fn guide(&self) -> Result<&Guide> {
        if let Some(guide) = self.guide.get() {
            return Ok(guide);
        }
        let family = Draws::new(0).family("synth.guide", "");
        let parts: Vec<Vec<Vec<u32>>> = (0..GUIDED_BY)
            .collect::<Vec<u64>>()
            .par_chunks(GUIDED_BY as usize / 8)
            .map(|rows| self.draw_codes(&mut rows.iter().map(|row| family.row(*row)).collect::<Vec<Stream>>()))
            .collect();
        let sub_columns = self.encoding.sub_columns();
        let values = (0..sub_columns.len()).map(|p| parts.iter().flat_map(|part| part[p].iter().copied()).collect());
        let guide = Guide::of(Codes { values: values.collect(), sub_columns })?;
        Ok(self.guide.get_or_init(|| guide))
    }

    /// What conditions ask of all rows; errors as in [`AskedRows::of`].
    pub(crate) fn asked(
        &self,
        conditions: &[Condition],
        spec: &TableSpec,
        manifest: &Manifest,
        schema: &SchemaRef,
    ) -> Result<AskedRows> {
        let mut asked = AskedRows::of(conditions, &self.encoding, spec, &spec.origins(manifest), schema)?;
        self.guide()?.foresee(asked.leaves_mut());
        Ok(asked)
    }

    /// About how likely a row has all that is asked.
    pub(crate) fn likelihood(&self, asked: &AskedRows) -> Result<f64> {
        Ok(self.guide()?.likelihood(asked.leaves()))
    }

    /// As [`Autoregressive::draw`], of rows that have what is asked, but for moments that are counted from another one.
    pub(crate) fn draw_asked(
        &self,
        asked: &AskedRows,
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let guided = (self.guide()?, asked.leaves(), self.density.particles_for(asked.leaves()));
        let mut values = vec![vec![UNKNOWN; streams.len()]; self.encoding.sub_columns().len()];
        self.density.fill_guided(guided, &mut values, streams);
        self.encoding.decode_permitted(&values, asked.permitted(), streams, schema)
    }

    /// As [`Autoregressive::draw`], around values that are given: all columns, each drawn where it is missing.
    pub(crate) fn draw_around(
        &self,
        given: &[ArrayRef],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let mut values = self.encoding.encode_given(given)?;
        self.density.fill_guided((self.guide()?, &Asked::default(), PARTICLES_GIVEN), &mut values, streams);
        let drawn = self.encoding.decode_given(&values, given, streams, schema)?;
        given.iter().zip(&drawn).map(|(given, drawn)| Ok(zip(&is_not_null(given)?, given, drawn)?)).collect()
    }

    /// Codes as columns; see [`Autoregressive::draw`].
    pub(crate) fn decode(
        &self,
        values: &[Vec<u32>],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        self.encoding.decode(values, streams, schema)
    }

    /// Columns as codes.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Codes> {
        self.encoding.encode(columns)
    }

    /// Columns with gaps as codes: [`UNKNOWN`] for whatever says nothing of the rest of its row.
    pub(crate) fn encode_given(&self, columns: &[ArrayRef]) -> Result<Vec<Vec<u32>>> {
        self.encoding.encode_given(columns)
    }

    /// The values that are listed of a column, frequent ones first; `None` where cells stand for values.
    pub(crate) fn listed(&self, column: usize) -> Option<&[String]> {
        self.encoding.listed(column)
    }

    /// The sub-columns of all columns, in their order.
    pub(crate) fn sub_columns(&self) -> Vec<SubColumn> {
        self.encoding.sub_columns()
    }

    /// As [`Autoregressive::draw`], the first columns given.
    pub(crate) fn draw_given(
        &self,
        given: &[ArrayRef],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let others = schema.fields().iter().skip(given.len());
        let unknown = others.map(|field| new_null_array(field.data_type(), streams.len()));
        let columns: Vec<ArrayRef> = given.iter().cloned().chain(unknown).collect();
        let mut values = self.encoding.encode_given(&columns)?;
        self.density.fill(&mut values, streams);
        self.encoding.decode(&values, streams, schema)
    }

    /// True where values of the column can be drawn.
    pub(crate) fn has_values(&self, column: usize) -> bool {
        self.encoding.has_values(column)
    }

    /// The rows of `given`, every missing value drawn given the present ones of its row; in the columns that are `wanted`,
    /// all drawn values are present.
    pub(crate) fn complete(
        &self,
        given: &[ArrayRef],
        wanted: &[bool],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let mut values = self.encoding.encode_given(given)?;
        fill_present((&self.density, self.guide()?), &self.encoding, given, wanted, &mut values, streams);
        self.encoding.decode_given(&values, given, streams, schema)
    }

    /// As [`Autoregressive::complete`], with the likeliest values in place of drawn ones: numbers by their mean, all else by
    /// the cell of the highest odds.
    pub(crate) fn complete_points(
        &self,
        given: &[ArrayRef],
        wanted: &[bool],
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let mut values = self.encoding.encode_given(given)?;
        let present = self.encoding.present(wanted);
        let odds = self.density.odds((self.guide()?, &present, PARTICLES_FOR_ODDS), &mut values, streams);
        let leaves = self.encoding.leaves();
        let mut means: Vec<Vec<f64>> = vec![Vec::new(); wanted.len()];
        for Odds { chain, row, leaves: odds } in odds {
            let Some(part) = leaves.iter().find(|part| part.sub_columns.start == chain) else { continue };
            // What is missing or not listed is no value.
            let first = usize::from(part.missing) + part.apart;
            let listed = odds.get(first..).filter(|listed| listed.iter().any(|p| *p > 0.0));
            let Some(listed) = listed else { continue };
            if part.ordered {
                let weighted = listed.iter().zip(&part.positions[first..]).map(|(p, x)| f64::from(*p) * x);
                let total: f64 = listed.iter().map(|p| f64::from(*p)).sum();
                let means = &mut means[part.column];
                means.resize(streams.len(), f64::NAN);
                means[row] = weighted.sum::<f64>() / total;
            }
            let likeliest =
                listed.iter().enumerate().fold(0, |best, (at, p)| if *p > listed[best] { at } else { best });
            self.encoding.put_leaf(chain, (first + likeliest) as u32, row, &mut values);
        }
        let mut columns = self.encoding.decode_given(&values, given, streams, schema)?;
        for (column, means) in means.iter().enumerate().filter(|(_, means)| !means.is_empty()) {
            if let Some(points) = self.encoding.at(column, means, schema.field(column).data_type()) {
                let points = points?;
                columns[column] = zip(&is_not_null(&points)?, &points, &columns[column])?;
            }
        }
        Ok(columns)
    }
}

/// Rows of whole people, drawn at random, about `wanted` of them; `None` where all rows are wanted.
pub(crate) fn sample_of_people(subjects: &[u64], wanted: usize, draws: Draws, table: &str) -> Option<UInt64Array> {
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
