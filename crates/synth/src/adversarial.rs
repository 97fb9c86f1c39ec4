//! `gan` for plain tables: generator against discriminator.
//!
//! ```text
//! columns ─► TableEncoding ─► codes ─► leaves ─► RowGan                fit: analysed whole, learned from a part of long tables
//! streams ─► RowGan ─► leaves ─► codes ─► TableEncoding ─► columns     draw: row by row, from nothing but the row's stream
//! ```
//!
//! Neither the encoding ([`RowEncoding`]) nor the networks hold a training row: leaves stand for the values of several people.

use crate::autoregressive::sample_of_people;
use crate::container::{Entries, not_a_model};
use crate::density::{from_bytes, to_bytes};
use crate::encoded::RowEncoding;
use crate::independent::{from_json, to_json};
use crate::manifest::{Manifest, TableSpec};
use crate::rows::AskedLeaf;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::{cast, take};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinmart_encode::codes::UNKNOWN;
use twinmart_gan::Fitting;
use twinmart_gan::log::Log;
use twinmart_gan::rows::{RowGan, Settings};
use twinmart_tables::{Draws, Error, Problem, Progress, Result, Stream, Target};

/// Rows that are learned from, at most: an epoch sees them all.
const MOST_ROWS: usize = 500_000;

/// A learned GAN of one table's rows.
#[derive(Debug, Clone)]
pub(crate) struct Adversarial {
    encoding: RowEncoding,
    gan: RowGan,
}

impl Adversarial {
    /// Learns the rows of a table, for so many `minutes` and `epochs` (0 = until it is no use) at most; `subjects` names the
    /// person behind each row.
    pub(crate) fn fit(
        rows: &RecordBatch,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        (minutes, epochs): (f64, u64),
        progress: &Progress,
    ) -> Result<Adversarial> {
        let deadline = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        let draws = Draws::new(manifest.seed);
        let encoding = RowEncoding::of(rows.columns(), subjects, spec, manifest, progress)?;
        let chosen = sample_of_people(subjects, MOST_ROWS, draws, &spec.name);
        let (columns, subjects) = match &chosen {
            Some(chosen) => (
                rows.columns().iter().map(|array| Ok(take(array, chosen, None)?)).collect::<Result<Vec<ArrayRef>>>()?,
                chosen.values().iter().map(|row| subjects[*row as usize]).collect(),
            ),
            None => (rows.columns().to_vec(), subjects.to_vec()),
        };
        let leaves = encoding.leaves_of(&encoding.encode(&columns)?.values);
        drop(columns);
        let progress = progress.of_table(&spec.name);
        let fitting = Fitting { draws, deadline: Some(deadline), progress, table: spec.name.clone() };
        let gan = RowGan::fit(&encoding.leaves(), &leaves, &subjects, settings(manifest, epochs), &fitting)?;
        if gan.is_unfinished() {
            warn_of_time(&fitting.progress, &spec.name, manifest.settings.max_minutes, gan.log());
        }
        Ok(Adversarial { encoding, gan })
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        self.encoding.store(prefix, entries)?;
        let (stored, weights, moments) = self.gan.stored();
        entries.put(format!("{prefix}/gan.json"), to_json(&stored)?);
        entries.put(format!("{prefix}/gan.f32"), to_bytes(weights));
        entries.put(format!("{prefix}/gan-moments.f32"), to_bytes(moments));
        Ok(())
    }

    /// Reads what [`Adversarial::store`] wrote.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        manifest: &Manifest,
    ) -> Result<Adversarial> {
        let encoding = RowEncoding::load(prefix, entries, spec, manifest)?;
        let stored = from_json(&entries.take(&format!("{prefix}/gan.json"))?)?;
        let mut numbers =
            |name: &str| Ok::<_, twinmart_tables::Error>(from_bytes(&entries.take(&format!("{prefix}/{name}"))?));
        let (weights, moments) = (numbers("gan.f32")?, numbers("gan-moments.f32")?);
        let gan = RowGan::from_stored(&encoding.leaves(), stored, weights, moments);
        let gan = gan.ok_or_else(|| not_a_model(format!("what was learned of {prefix} does not fit its columns")))?;
        Ok(Adversarial { encoding, gan })
    }

    /// How columns are told.
    pub(crate) fn encoding(&self) -> &RowEncoding {
        &self.encoding
    }

    /// How learning went.
    pub(crate) fn log(&self) -> &Log {
        self.gan.log()
    }

    /// What stands for a value that all rows shall have.
    ///
    /// # Errors
    /// A usage error where there is no such column or value, or the column is no choice among values.
    pub(crate) fn asked(&self, given: &Target, spec: &TableSpec, schema: &SchemaRef) -> Result<AskedLeaf> {
        let at = |problem: Problem| problem.table(&spec.name).column(&given.column);
        let parts = self.encoding.leaves();
        let askable = |column: usize| {
            let of_column = parts.iter().position(|part| part.column == column);
            of_column.filter(|part| self.gan.askable(*part).is_some())
        };
        let names = || {
            let some = spec.columns.iter().enumerate().filter(|(column, _)| askable(*column).is_some());
            some.map(|(_, column)| column.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let Some(column) = spec.columns.iter().position(|column| column.name == given.column) else {
            return Err(at(Error::usage("the model has no such column"))
                .remedy(format!("columns that can be asked for: {}", names()))
                .into());
        };
        let Some(part) = askable(column) else {
            return Err(at(Error::usage("the column is not a choice among several values"))
                .remedy(format!("columns that can be asked for: {}", names()))
                .into());
        };
        let value: ArrayRef = Arc::new(StringArray::from(vec![given.value.as_str()]));
        let value = cast(&value, schema.field(column).data_type()).ok().filter(|value| value.is_valid(0));
        let unknown = || {
            let listed = self.encoding.listed(column).unwrap_or_default();
            let some = listed.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
            at(Error::usage("no rows of this value were learned, or too few people's")).value(&given.value).remedy(
                if some.is_empty() {
                    "give a value that is frequent in the data".into()
                } else {
                    format!("use one of {some}")
                },
            )
        };
        let Some(value) = value else { return Err(unknown().into()) };
        let mut columns: Vec<ArrayRef> =
            schema.fields().iter().map(|field| arrow::array::new_null_array(field.data_type(), 1)).collect();
        columns[column] = value;
        let codes = self.encoding.encode_given(&columns)?;
        let own = parts[part].sub_columns.clone();
        if codes[own.clone()].iter().any(|code| code[0] == UNKNOWN) {
            return Err(unknown().into());
        }
        let mut row: Vec<Vec<u32>> = codes.iter().map(|_| vec![0]).collect();
        own.for_each(|sub_column| row[sub_column][0] = codes[sub_column][0]);
        Ok(AskedLeaf { part, leaf: self.encoding.leaves_of(&row)[part][0] })
    }

    /// One row for each stream, as one array per column; keys are missing, references are marks of presence. All rows have
    /// what is `asked`.
    pub(crate) fn draw(
        &self,
        asked: Option<AskedLeaf>,
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let leaves = match asked {
            Some(AskedLeaf { part, leaf }) => {
                let held = self.gan.draw_holding(part, leaf, streams);
                held.ok_or_else(|| not_a_model("a value that was asked for is none"))?
            }
            None => self.gan.draw(streams),
        };
        self.encoding.decode(&self.encoding.codes_of(&leaves), streams, schema)
    }

    /// One row for each stream, in codes: `[sub_columns][rows]`.
    pub(crate) fn draw_codes(&self, streams: &mut [Stream]) -> Vec<Vec<u32>> {
        self.encoding.codes_of(&self.gan.draw(streams))
    }
}

/// Says that learning was cut short. A course of so many epochs is another one: its steps become smaller towards its own end.
pub(crate) fn warn_of_time(progress: &Progress, table: &str, minutes: f64, log: &Log) {
    let epochs = log.epochs.len();
    progress.warn(&format!(
        "{table}: learning was stopped by max_minutes = {minutes} after {epochs} epochs; give more minutes, or plan as many epochs \
         as there is time for (--epochs {epochs}): a planned course ends with smaller steps, and is the same whenever it is repeated"
    ));
}

/// How networks are built and learn.
pub(crate) fn settings(manifest: &Manifest, epochs: u64) -> Settings {
    let settings = &manifest.settings;
    Settings {
        body: settings.body,
        loss: settings.loss,
        pack: settings.pack,
        critic_steps: settings.critic_steps,
        average: settings.average,
        batch: settings.batch,
        epochs,
    }
}
