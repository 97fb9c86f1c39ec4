//! Fitting models from Rust: the settings of `[synthesis]` and the columns of one table, each set by its name.

use crate::arrow::array::{RecordBatch, RecordBatchReader};
use std::path::Path;
use twinmart_sources::{RowSample, check_constraints, load_project, read_project, table_of};
use twinmart_synth::{FitSettings, Model};
use twinmart_tables::constraint::Constraint;
use twinmart_tables::{
    Body, ColumnKind, Error, Interpolation, Loss, Method, Preset, Progress, Project, ProjectSection, ResampleUnit,
    Result, Shop, SynthesisSection, Table, TableDefinition, Target, Verbatim,
};

/// The name of a table that has none.
const UNNAMED: &str = "data";

/// Learns models: say what differs from the defaults, then fit.
///
/// Defaults, meanings and limits of the settings are those of `[synthesis]` in the project file; settings of other methods
/// change nothing. All are checked when a model is fitted.
///
/// ```
/// use std::sync::Arc;
/// use twinmart::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
/// use twinmart::{ColumnKind, Method, Synthesizer};
///
/// # fn main() -> twinmart::Result<()> {
/// // 600 people; who lives in Rome is older.
/// let city = StringArray::from_iter_values((0..600).map(|i| ["Ulm", "Rome"][i % 2]));
/// let age = Int64Array::from_iter_values((0..600).map(|i| 20 + 40 * (i % 2) + i % 10));
/// let people = RecordBatch::try_from_iter([
///     ("city", Arc::new(city) as ArrayRef),
///     ("age", Arc::new(age) as ArrayRef),
/// ])?;
///
/// let model = Synthesizer::new(Method::Autoregressive)
///     .name("people")
///     .kind("age", ColumnKind::Integer)
///     .seed(7)
///     .steps(20)
///     .fit(&people)?;
///
/// let twin = model.sample(1_000, 1)?;
/// assert_eq!(twin.num_rows(), 1_000);
/// assert!(twin.schema().fields().iter().map(|field| field.name()).eq(["city", "age"]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a synthesizer learns nothing before one of its fit methods is called"]
pub struct Synthesizer {
    seed: u64,
    synthesis: SynthesisSection,
    name: Option<String>,
    definition: TableDefinition,
    constraints: Vec<Constraint>,
    progress: Progress,
}

impl Default for Synthesizer {
    /// With the default method, `autoregressive`.
    fn default() -> Synthesizer {
        Synthesizer::of_project(&Project::default())
    }
}

impl Synthesizer {
    /// With the defaults of a method.
    pub fn new(method: Method) -> Synthesizer {
        Synthesizer::default().method(method)
    }

    /// With the seed and the settings of a project file.
    pub fn of_project(project: &Project) -> Synthesizer {
        Synthesizer {
            seed: project.project.seed,
            synthesis: project.synthesis.clone(),
            name: None,
            definition: TableDefinition::default(),
            constraints: Vec::new(),
            progress: Progress::silent(),
        }
    }

    /// How the twin is made.
    pub fn method(mut self, method: Method) -> Self {
        self.synthesis.method = Some(method.name().into());
        self
    }

    /// Seed of the draws that fitting makes, 0 by default; the same data, settings and seed give the same model.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// `autoregressive`, and [`Synthesizer::extend`]: size of the model.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.synthesis.preset = preset;
        self
    }

    /// `autoregressive`, `gan`, and [`Synthesizer::extend`]: minutes of learning a table, or the histories of users, at most. For the same model on any machine, set [`Synthesizer::steps`].
    pub fn max_minutes(mut self, minutes: f64) -> Self {
        self.synthesis.max_minutes = minutes;
        self
    }

    /// `autoregressive`, and [`Synthesizer::extend`]: steps of learning at most; 0 = until the held-out likelihood stops
    /// improving. `gan`: epochs at most; 0 = until held-out data say that more is no better.
    pub fn steps(mut self, steps: u64) -> Self {
        self.synthesis.steps = steps;
        self
    }

    /// `interpolate`: number of nearest neighbours.
    pub fn neighbours(mut self, neighbours: usize) -> Self {
        self.synthesis.neighbours = neighbours;
        self
    }

    /// `interpolate`: between which rows of a plain table a new row lies.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.synthesis.interpolation = interpolation;
        self
    }

    /// `borderline`: the class whose rows are made, as a column and the text of its value.
    pub fn target(mut self, column: impl Into<String>, value: impl Into<String>) -> Self {
        self.synthesis.target = Some(Target { column: column.into(), value: value.into() });
        self
    }

    /// `mixup`: the share of a row's first parent is drawn from Beta(alpha, alpha).
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.synthesis.alpha = alpha;
        self
    }

    /// `interpolate`: whether values of single people may come out of a plain table as they are.
    pub fn verbatim(mut self, verbatim: Verbatim) -> Self {
        self.synthesis.verbatim = verbatim;
        self
    }

    /// `gan`: what the networks of generator and discriminator are made of, [`Body::Mlp`] by default.
    pub fn body(mut self, body: Body) -> Self {
        self.synthesis.body = body;
        self
    }

    /// `gan`: what generator and discriminator minimise, [`Loss::R1`] by default.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.synthesis.loss = loss;
        self
    }

    /// `gan`: rows that the discriminator sees together, 1 to 32, 1 by default: with more, a generator that makes the same
    /// few rows again and again is found out.
    pub fn pack(mut self, rows: usize) -> Self {
        self.synthesis.pack = rows;
        self
    }

    /// `gan`: steps of the discriminator for one of the generator, 1 to 20, 1 by default.
    pub fn critic_steps(mut self, steps: usize) -> Self {
        self.synthesis.critic_steps = steps;
        self
    }

    /// `gan`: whether the running mean of the generator's weights draws, in place of the weights themselves (the default).
    pub fn average(mut self, average: bool) -> Self {
        self.synthesis.average = average;
        self
    }

    /// `gan`: rows in a step, 10 to 100,000 and no fewer than [`Synthesizer::pack`], 100 by default.
    pub fn batch(mut self, rows: usize) -> Self {
        self.synthesis.batch = rows;
        self
    }

    /// `replicate`: what is drawn again.
    pub fn unit(mut self, unit: ResampleUnit) -> Self {
        self.synthesis.unit = unit;
        self
    }

    /// `replicate`: users of fewer events get earlier ones, drawn by a learned model, until they have as many; 0 and 1 =
    /// nobody does.
    pub fn extend(mut self, events: usize) -> Self {
        self.synthesis.extend = events;
        self
    }

    /// `replicate`: the column that weights the draw.
    pub fn weights(mut self, column: impl Into<String>) -> Self {
        self.synthesis.weights = Some(column.into());
        self
    }

    /// Where progress and warnings go, nowhere by default; also interrupts a fit ([`Progress::new`]), and keeps what an
    /// interrupted fit of the same data and settings goes on from ([`Progress::keeping`]; remove the checkpoints when the
    /// model is saved).
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// One table: its name, in errors and in the model. By default that of its file, else `data`. Draws depend on it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// One table: the kind of a column, in place of the detected one.
    pub fn kind(mut self, column: impl Into<String>, kind: ColumnKind) -> Self {
        self.definition.columns.entry(column.into()).or_default().kind = Some(kind);
        self
    }

    /// One table: the column that names its rows; a twin has new keys.
    pub fn key(mut self, column: impl Into<String>) -> Self {
        self.definition.key = Some(column.into());
        self
    }

    /// One table: what every row of a twin keeps, for example `"total = price * quantity".parse()?`; may be called again and
    /// again.
    pub fn constraint(mut self, constraint: Constraint) -> Self {
        self.constraints.push(constraint);
        self
    }

    /// Learns a model of the rows of one table.
    ///
    /// # Errors
    ///
    /// As for a data file on the command line: usage errors for settings and names, data errors for values that cannot be used.
    pub fn fit(&self, rows: &RecordBatch) -> Result<Model> {
        self.fit_table(table_of(self.table_name(), &self.definition, &rows.schema(), [rows.clone()])?)
    }

    /// Learns a model of one table that comes in several batches, from any of Arrow's readers. Errors as in
    /// [`Synthesizer::fit`].
    pub fn fit_reader(&self, reader: impl RecordBatchReader) -> Result<Model> {
        let schema = reader.schema();
        let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
        self.fit_table(table_of(self.table_name(), &self.definition, &schema, batches)?)
    }

    /// Learns a model of one data file, folder or glob (Parquet, CSV, JSON lines), as `twinmart fit` does. Errors as in
    /// [`Synthesizer::fit`].
    pub fn fit_file(&self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let mut project = read_project(path)?;
        if !project.folder.as_os_str().is_empty() {
            return Err(Error::usage("this is a project file, not a data file")
                .file(path)
                .remedy("load it (sources::load), then Synthesizer::of_project(…).fit_shop(…)")
                .into());
        }
        let read = project.tables.pop();
        let (name, source) = read.map(|(name, table)| (name, table.source)).unwrap_or_default();
        let name = self.name.clone().unwrap_or(name);
        project.tables.insert(name.clone(), TableDefinition { source, ..self.definition.clone() });
        if !self.constraints.is_empty() {
            project.constraints.insert(name, self.constraints.clone());
        }
        let keeps_rows = self.settings(&project)?.method.keeps_rows();
        let sample = (!keeps_rows).then(|| RowSample::new(self.seed));
        self.fit_shop_of(&load_project(project, sample.as_ref(), &self.progress)?.shop)
    }

    /// Learns a model of every table of a shop. Its tables have names, kinds and keys of their own: a usage error where
    /// others are set here.
    pub fn fit_shop(&self, shop: &Shop) -> Result<Model> {
        let of_one = self.definition != TableDefinition::default() || !self.constraints.is_empty();
        if self.name.is_some() || of_one {
            return Err(Error::usage("name, key, kinds and constraints are set for one table, and this is a shop")
                .remedy("set them in the project file, or fit the table by itself")
                .into());
        }
        self.fit_shop_of(shop)
    }

    fn table_name(&self) -> &str {
        self.name.as_deref().unwrap_or(UNNAMED)
    }

    fn fit_table(&self, mut table: Table) -> Result<Model> {
        table.constraints.clone_from(&self.constraints);
        check_constraints(&table, &self.progress)?;
        let mut project = Project::default();
        project.tables.insert(table.name.clone(), table.definition.clone());
        self.fit_shop_of(&Shop { project, tables: vec![table] })
    }

    fn fit_shop_of(&self, shop: &Shop) -> Result<Model> {
        twinmart_synth::fit(shop, &self.settings(&shop.project)?, &self.progress)
    }

    fn settings(&self, project: &Project) -> Result<FitSettings> {
        let section = ProjectSection { seed: self.seed, ..project.project.clone() };
        let project = Project { project: section, synthesis: self.synthesis.clone(), ..project.clone() };
        FitSettings::of_project(&project, None, None)
    }
}
