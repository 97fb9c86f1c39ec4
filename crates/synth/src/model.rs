//! A model in memory and as a file.
//!
//! `M.twin` is a zip archive (`container.rs`): `manifest.json`; for each table `tables/N/schema.parquet` (its columns, no
//! rows) and, by method, `rows.parquet`, `neighbours.parquet`, `bases.parquet`, `marginals.json`, `encoding.json`, `trees.json` and `weights.f32`
//! (or `blend.json`, `trees.f32` and `network.f32`); for users and events
//! `behaviour/similar.parquet` or `behaviour/activity.json`.

use crate::behaviour::Behaviour;
use crate::complete::{Filling, complete};
use crate::container::{self, Entries, not_a_model};
use crate::manifest::{Making, Manifest, TableSpec, agrees};
use crate::predict::{Known, Prediction, predict};
use crate::rows::{RowModel, from_parquet, rows_of, to_parquet};
use crate::sampler::Sampler;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use twinmart_events::EventModel;
use twinmart_tables::{Error, Method, Progress, Project, Result, Role, Shop, Table};

/// What [`crate::fit`] learned; cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<Contents>);

/// The content of a model; `schemas` and `parts` follow the tables of the manifest.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) manifest: Manifest,
    pub(crate) schemas: Vec<SchemaRef>,
    pub(crate) parts: Vec<Part>,
    pub(crate) behaviour: Option<Behaviour>,
}

/// One table.
#[derive(Debug)]
pub(crate) enum Part {
    /// Written as it is.
    Kept(RecordBatch),
    /// Made row by row.
    Rows(RowModel),
    /// Users or events: see [`Contents::behaviour`].
    Behaviour,
}

impl Model {
    pub(crate) fn new(contents: Contents) -> Model {
        Model(Arc::new(contents))
    }

    /// What the model says of itself. The digests are those of the file, once it has one.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// True for a model of users and events; its size counts users.
    pub fn is_behaviour(&self) -> bool {
        self.0.behaviour.is_some()
    }

    /// True for a model of one plain table: its twin is a file, not a folder.
    pub fn is_single_table(&self) -> bool {
        self.0.is_single_table()
    }

    /// The size of a twin as large as the training data.
    pub fn default_size(&self) -> u64 {
        self.0.default_size()
    }

    /// How the learning went of each table that a GAN was learned of, by name.
    pub fn training_logs(&self) -> Vec<(&str, &twinmart_gan::log::Log)> {
        let tables = self.0.manifest.tables.iter().zip(&self.0.parts);
        let logs = tables.filter_map(|(spec, part)| match (part, spec.making, &self.0.behaviour) {
            (Part::Rows(RowModel::Gan(model)), _, _) => Some((spec.name.as_str(), model.log())),
            (Part::Behaviour, Making::Users, Some(Behaviour::Adversarial(gan))) => {
                Some((spec.name.as_str(), gan.logs()[0]))
            }
            (Part::Behaviour, Making::Events, Some(Behaviour::Adversarial(gan))) => {
                Some((spec.name.as_str(), gan.logs()[1]))
            }
            _ => None,
        });
        logs.collect()
    }

    /// The model of what users do, where it was learned.
    pub fn histories(&self) -> Option<&EventModel> {
        match &self.0.behaviour {
            Some(Behaviour::Learned(learned)) => Some(&learned.events.histories),
            _ => None,
        }
    }

    /// Draws twins of `size` users (rows, for a model without users).
    pub fn sampler(&self, size: Option<u64>, seed: u64) -> Result<Sampler> {
        Sampler::new(self.0.clone(), size, seed)
    }

    /// Draws a twin of one table as one batch: `rows` rows, or as many as the training data (`None`). A usage error for models
    /// of several tables.
    pub fn sample(&self, rows: impl Into<Option<u64>>, seed: u64) -> Result<RecordBatch> {
        let [only] = &self.0.manifest.tables[..] else {
            return Err(Error::usage("this model has several tables, a sample is one")
                .remedy("use sampler(…) and its batches(table)")
                .into());
        };
        let batches = self.sampler(rows.into(), seed)?.batches(&only.name)?;
        let schema = batches.schema().clone();
        Ok(concat_batches(&schema, &batches.collect::<Result<Vec<_>>>()?)?)
    }

    /// Fills the missing values of rows, each drawn given the present values of its row; those stay as they are, bit for bit.
    ///
    /// For `autoregressive` models of one table. `rows` has columns of that table in any order, not necessarily all; the
    /// result has the same ones, in the model's types. Draws are joint: several gaps of a row fit each other, given that
    /// all of them are present. Missing values stay missing in keys and in columns that have no values to draw (all missing in training, or
    /// none that enough people share). A present value that the model does not know, because few people share it, says
    /// nothing of the others; a number beyond all known ones counts as the nearest of them.
    ///
    /// The same model, rows and `seed` give the same result on any number of threads.
    ///
    /// # Errors
    ///
    /// A usage error for models of other methods or of several tables, for columns that the model does not have, and for
    /// values that its types cannot say.
    pub fn complete(&self, rows: &RecordBatch, seed: u64) -> Result<RecordBatch> {
        self.complete_from(rows, 0, seed, Filling::Draws)
    }

    /// As [`Model::complete`], for a part of longer data: `first_row` is the number of its first row there. Parts completed one
    /// by one are the whole completed at once. `filling` says what gaps are filled with.
    pub fn complete_from(
        &self,
        rows: &RecordBatch,
        first_row: u64,
        seed: u64,
        filling: Filling,
    ) -> Result<RecordBatch> {
        complete(&self.0, rows, first_row, seed, filling)
    }

    /// Says what comes next in a history, and the `k` likeliest next items.
    ///
    /// For `autoregressive` models of users with events. `history` has events of one person in columns of the events table:
    /// the item, and what is known of time, session (the group column) and action; other columns are not looked at. Rows may
    /// come in any order of time. A history without times is one session that ends with the data that the model learned; one
    /// without rows is that of a newcomer. Nothing is drawn: the answer is the same each time. Odds do not know that time has
    /// passed since the last event.
    ///
    /// # Errors
    ///
    /// A usage error for other models, for items that are not in the catalogue, for columns that the model is not told and for
    /// values that it does not know; each names them and what to do.
    pub fn predict(&self, history: &RecordBatch, known: Known, k: usize, progress: &Progress) -> Result<Prediction> {
        predict(&self.0, history, known, k, progress)
    }

    /// Writes the model as one file: whole or not at all, equal models as equal bytes.
    pub fn save(&self, path: impl AsRef<Path>, overwrite: bool) -> Result<()> {
        let entries = self.0.entries()?;
        let manifest = Manifest { digests: entries.digests(), ..self.0.manifest.clone() };
        let mut text =
            serde_json::to_vec_pretty(&manifest).map_err(|e| Error::data(format!("cannot store the manifest: {e}")))?;
        text.push(b'\n');
        container::write(path.as_ref(), overwrite, &text, &entries)
    }

    /// Reads a model file. A data error names the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let read = container::read(file, length, Manifest::parse, |manifest| &manifest.digests);
        let contents = read.and_then(|(manifest, entries)| Contents::load(manifest, entries));
        contents.map(Model::new).map_err(|error| match error {
            Error::Data(problem) | Error::Usage(problem) => Error::Data(Box::new(problem.file(path))),
            other => other,
        })
    }
}

impl Contents {
    pub(crate) fn is_single_table(&self) -> bool {
        matches!(&self.manifest.tables[..], [only] if only.role() == Role::Plain)
    }

    pub(crate) fn default_size(&self) -> u64 {
        self.manifest.position(&self.manifest.sized_by).map_or(0, |p| self.manifest.tables[p].rows)
    }

    fn entries(&self) -> Result<Entries> {
        let mut entries = Entries::default();
        for (position, part) in self.parts.iter().enumerate() {
            let prefix = format!("tables/{position}");
            let schema = RecordBatch::new_empty(self.schemas[position].clone());
            entries.put(format!("{prefix}/schema.parquet"), to_parquet(&schema)?);
            match part {
                Part::Kept(rows) => entries.put(format!("{prefix}/rows.parquet"), to_parquet(rows)?),
                Part::Rows(model) => model.store(&prefix, &mut entries)?,
                Part::Behaviour => {}
            }
        }
        if let Some(behaviour) = &self.behaviour {
            behaviour.store(&self.manifest, &mut entries)?;
        }
        Ok(entries)
    }

    fn load(manifest: Manifest, mut entries: Entries) -> Result<Contents> {
        let mut schemas = Vec::with_capacity(manifest.tables.len());
        for (position, spec) in manifest.tables.iter().enumerate() {
            let schema = from_parquet(entries.take(&format!("tables/{position}/schema.parquet"))?)?.schema();
            if !agrees(spec, &schema) {
                return Err(not_a_model(format!("the columns of {} are not those of the manifest", spec.name)));
            }
            if !spec.rules.is_sound(&schema) {
                return Err(not_a_model(format!("the constraints of {} do not fit its columns", spec.name)));
            }
            schemas.push(schema);
        }
        let sized_by = manifest.position(&manifest.sized_by).map(|p| manifest.tables[p].rows);
        if sized_by.unwrap_or(0) == 0 {
            return Err(not_a_model("it has no table to make"));
        }
        manifest.settings.check()?;
        let mut contents = Contents { parts: Vec::new(), behaviour: None, manifest, schemas };
        contents.load_parts(&mut entries)?;
        Ok(contents)
    }

    fn load_parts(&mut self, entries: &mut Entries) -> Result<()> {
        let manifest = &self.manifest;
        let made_of_rows = manifest.method.keeps_rows();
        let mut stored: Vec<Table> = Vec::new();
        for (position, spec) in manifest.tables.iter().enumerate() {
            let (prefix, schema) = (format!("tables/{position}"), &self.schemas[position]);
            let part = match spec.making {
                Making::Kept => Part::Kept(rows_of(&prefix, entries, spec, schema)?),
                Making::Rows | Making::Counterparts => {
                    Part::Rows(RowModel::load(&prefix, entries, spec, schema, manifest)?)
                }
                Making::Users | Making::Events => Part::Behaviour,
            };
            let rows = match &part {
                Part::Kept(rows) => Some(rows.clone()),
                Part::Rows(model) => model.training_rows().cloned(),
                Part::Behaviour if made_of_rows => Some(rows_of(&prefix, entries, spec, schema)?),
                Part::Behaviour => None,
            };
            stored.extend(rows.map(|rows| table_of(spec, schema, rows)));
            self.parts.push(part);
        }
        if manifest.made_as(Making::Users).is_some() || manifest.made_as(Making::Events).is_some() {
            self.behaviour = Some(if manifest.method == Method::Autoregressive {
                Behaviour::load_learned(manifest, &self.schemas, entries)?
            } else if manifest.method == Method::Gan {
                Behaviour::load_adversarial(manifest, &self.schemas, entries)?
            } else if made_of_rows {
                let shop = Shop { project: Project::default(), tables: stored };
                Behaviour::load_copies(&shop, manifest, &self.schemas, entries)?
            } else {
                Behaviour::load_independent(manifest, entries)?
            });
        }
        Ok(())
    }
}

/// A table of a model with these rows.
pub(crate) fn table_of(spec: &TableSpec, schema: &SchemaRef, rows: RecordBatch) -> Table {
    Table {
        name: spec.name.clone(),
        definition: spec.definition.clone(),
        schema: schema.clone(),
        kinds: spec.kinds(),
        batches: vec![rows],
        population: None,
        constraints: spec.rules.constraints().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampSecondArray, new_null_array,
    };
    use proptest::prelude::*;
    use serde_json::Value;
    use std::sync::LazyLock;
    use twinmart_tables::{ColumnKind, Preset, TableDefinition};

    /// A table of every kind of column, with gaps.
    fn shop() -> Shop {
        let n = 400;
        let present = |i: &i64| i % 9 > 0;
        let whole = |f: fn(i64) -> i64| (0..n).map(move |i| Some(f(i)).filter(|_| present(&i)));
        let text = |f: fn(i64) -> String| (0..n).map(move |i| Some(f(i)).filter(|_| present(&i)));
        let columns: Vec<(&str, ColumnKind, ArrayRef)> = vec![
            ("id", ColumnKind::Id, Arc::new(Int64Array::from_iter_values(0..n))),
            ("city", ColumnKind::Category, Arc::new(StringArray::from_iter(text(|i| format!("city {}", i % 5))))),
            ("note", ColumnKind::Text, Arc::new(StringArray::from_iter(text(|i| format!("order {i} paid by card"))))),
            ("age", ColumnKind::Integer, Arc::new(Int64Array::from_iter(whole(|i| 20 + i * 7 % 50)))),
            (
                "price",
                ColumnKind::Number,
                Arc::new(Float64Array::from_iter(whole(|i| i * i % 997).map(|x| Some(x? as f64 / 8.0)))),
            ),
            ("member", ColumnKind::Boolean, Arc::new(BooleanArray::from_iter((0..n).map(|i| Some(i % 3 == 0))))),
            (
                "since",
                ColumnKind::Datetime,
                Arc::new(TimestampSecondArray::from_iter(whole(|i| 1_700_000_000 + i * 86_413))),
            ),
            (
                "until",
                ColumnKind::Datetime,
                Arc::new(TimestampSecondArray::from_iter(whole(|i| 1_700_600_000 + i * 86_413 + i % 7 * 3_600))),
            ),
        ];
        let kinds = columns.iter().map(|c| c.1).collect();
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, _, a)| (n, a, true))).unwrap();
        let definition = TableDefinition { key: Some("id".into()), ..TableDefinition::default() };
        let (name, schema) = ("t".to_string(), rows.schema());
        let table =
            Table { name, definition, schema, kinds, batches: vec![rows], population: None, constraints: Vec::new() };
        Shop { project: Project::default(), tables: vec![table] }
    }

    /// Forty users, who do two things with six of twelve items each.
    fn users_with_events() -> Shop {
        let text = r#"
            [tables.users]
            role = "users"
            key = "user"
            source = "u"
            [tables.items]
            role = "items"
            key = "item"
            source = "i"
            [tables.events]
            role = "events"
            time = "at"
            source = "e"
            [tables.events.references]
            user = "users.user"
            item = "items.item"
            "#;
        let project = Project::parse(text, Path::new("twinmart.toml")).unwrap();
        let (users, items, events) = (40, 12, 40 * 6);
        let names =
            |n: i64, modulo: i64| Arc::new(Int64Array::from_iter_values((0..n).map(|i| i % modulo))) as ArrayRef;
        let each = |f: &dyn Fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..events).map(f))) as ArrayRef;
        let actions = (0..events).map(|e| Some(if e % 3 == 0 { "buy" } else { "view" }));
        type Column = (&'static str, ColumnKind, ArrayRef);
        let tables: [(&str, Vec<Column>); 3] = [
            (
                "users",
                vec![("user", ColumnKind::Id, names(users, users)), ("age", ColumnKind::Integer, names(users, 5))],
            ),
            (
                "items",
                vec![("item", ColumnKind::Id, names(items, items)), ("price", ColumnKind::Integer, names(items, 3))],
            ),
            (
                "events",
                vec![
                    ("user", ColumnKind::Id, each(&|e| e / 6)),
                    ("item", ColumnKind::Id, each(&|e| (e / 6 % 2 * 6 + e % 5) % items)),
                    ("at", ColumnKind::Datetime, {
                        let days = (0..events).map(|e| 1_600_000_000 + e / 6 * 3_000 + e % 6 / 2 * 86_400 + e % 2 * 7);
                        Arc::new(TimestampSecondArray::from_iter_values(days))
                    }),
                    ("action", ColumnKind::Category, Arc::new(actions.collect::<StringArray>())),
                    ("quantity", ColumnKind::Integer, each(&|e| 1 + e % 4)),
                ],
            ),
        ];
        let tables = tables.into_iter().map(|(name, columns)| {
            let kinds = columns.iter().map(|c| c.1).collect();
            let columns = columns.into_iter().map(|(n, _, a)| (n, a, true));
            let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
            let (definition, schema) = (project.tables[name].clone(), rows.schema());
            Table {
                name: name.into(),
                definition,
                schema,
                kinds,
                batches: vec![rows],
                population: None,
                constraints: Vec::new(),
            }
        });
        Shop { tables: tables.collect(), project: project.clone() }
    }

    /// Manifests and entries of models of both kinds of densities, and of histories.
    static MODELS: LazyLock<Vec<(Manifest, Entries)>> = LazyLock::new(|| {
        let model = |shop: Shop, preset| {
            let settings = crate::FitSettings::of_project(&shop.project, Some(Method::Autoregressive), None).unwrap();
            let settings = crate::FitSettings { preset, steps: 2, ..settings };
            let model = crate::fit(&shop, &settings, &Progress::silent()).unwrap();
            (model.manifest().clone(), model.0.entries().unwrap())
        };
        vec![model(shop(), Preset::Small), model(shop(), Preset::Base), model(users_with_events(), Preset::Small)]
    });

    /// What a forger may change in a JSON text, in its order: scalars, and lists of scalars as a whole (those of odd length)
    /// or one by one (of even length).
    fn places(value: &mut Value) -> Vec<&mut Value> {
        let is_leaf = match value {
            Value::Array(list) => list.iter().all(|v| !v.is_array() && !v.is_object()) && list.len() % 2 == 1,
            Value::Object(_) => false,
            _ => true,
        };
        if is_leaf {
            return vec![value];
        }
        match value {
            Value::Array(list) => list.iter_mut().flat_map(places).collect(),
            Value::Object(fields) => fields.values_mut().flat_map(places).collect(),
            _ => Vec::new(),
        }
    }

    fn forge_json(text: &[u8], place: usize, change: usize) -> Vec<u8> {
        let mut value: Value = serde_json::from_slice(text).unwrap();
        let mut places = places(&mut value);
        let count = places.len();
        let at = &mut *places[place % count];
        let numbers: [Value; 8] = [
            0.into(),
            1.into(),
            (-1).into(),
            300.into(),
            u32::MAX.into(),
            i64::MAX.into(),
            u64::MAX.into(),
            1e300.into(),
        ];
        match at {
            Value::Array(list) if change.is_multiple_of(2) => drop(list.pop()),
            Value::Array(list) => list.push(list[0].clone()),
            Value::Bool(flag) => *flag = !*flag,
            other => *other = numbers[change].clone(),
        }
        serde_json::to_vec(&value).unwrap()
    }

    fn forge_numbers(bytes: &[u8], place: usize, change: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let at = place % (bytes.len() / 4) * 4;
        match change {
            0 => bytes.truncate(at),
            _ => bytes[at..at + 4]
                .copy_from_slice(&[0.0, -1e38, 1e38, f32::INFINITY, f32::NAN, 1e-40, 7.0][change - 1].to_le_bytes()),
        }
        bytes
    }

    /// Reads a forged model and, if it can be read, uses it.
    fn read_and_use(manifest: &Manifest, entries: Entries) -> Result<()> {
        let manifest = Manifest { digests: entries.digests(), ..manifest.clone() };
        let model = Model::new(Contents::load(manifest, entries)?);
        if model.is_behaviour() {
            let items = Arc::new(Int64Array::from(vec![3, 4, 3])) as ArrayRef;
            let times =
                Arc::new(TimestampSecondArray::from(vec![1_600_000_000, 1_600_000_060, 1_700_000_000])) as ArrayRef;
            let history = RecordBatch::try_from_iter([("item", items.clone()), ("at", times)])?;
            model.predict(&history, Known::Values(&[("age".into(), "3".into())]), 5, &Progress::silent())?;
            let undated = RecordBatch::try_from_iter([("item", items)])?;
            model.predict(&undated, Known::Nothing, 5, &Progress::silent())?;
            return model.sampler(Some(3), 1)?.chunk(0).map(drop);
        }
        model.sample(40, 1)?;
        let columns = model.0.schemas[0].fields().iter().map(|f| (f.name(), new_null_array(f.data_type(), 5), true));
        model.complete(&RecordBatch::try_from_iter_with_nullable(columns)?, 1)?;
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_500, max_shrink_iters: 0, ..ProptestConfig::default() })]

        #[test]
        fn forged_models_are_refused_or_harmless(which in 0..3usize, entry: usize, place: usize, change in 0..8usize) {
            let (manifest, entries) = &MODELS[which];
            let names: Vec<&String> =
                entries.0.keys().filter(|name| [".json", ".f32", ".u32"].iter().any(|end| name.ends_with(end))).collect();
            let name = names[entry % names.len()];
            let mut forged = entries.clone();
            let bytes = forged.take(name).unwrap();
            let bytes = match name.ends_with(".json") {
                true => forge_json(&bytes, place, change),
                false => forge_numbers(&bytes, place, change),
            };
            forged.put(name.clone(), bytes);
            // Whatever it answers, it does answer.
            let _ = read_and_use(manifest, forged);
        }
    }

    #[test]
    fn what_is_not_forged_can_be_used() {
        MODELS.iter().for_each(|(manifest, entries)| read_and_use(manifest, entries.clone()).unwrap());
    }
}
