//! The project file `twinmart.toml`: parsed once into typed data, with errors that name the line and the nearest valid key.
//!
//! Paths stay as written; [`Project::resolve`] makes them relative to the file's folder.

use crate::constraint::Constraint;
use crate::{ColumnKind, Error, Result, Role};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A whole project file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Name and seed.
    #[serde(default)]
    pub project: ProjectSection,
    /// Source name → path, folder or glob; in file order.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub sources: IndexMap<String, String>,
    /// Table name → definition; in file order, so SQL may use earlier tables.
    #[serde(default)]
    pub tables: IndexMap<String, TableDefinition>,
    /// Source or table name → cleaning rules.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub clean: IndexMap<String, CleanRules>,
    /// What the synthesizer may see.
    #[serde(default)]
    pub split: SplitSection,
    /// Table name → conditions that every twin row must meet.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub constraints: IndexMap<String, Vec<Constraint>>,
    /// How the twin is made.
    #[serde(default)]
    pub synthesis: SynthesisSection,
    /// The folder that relative paths start from.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// `[project]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSection {
    /// Shown in the report.
    #[serde(default)]
    pub name: String,
    /// The seed of every random draw.
    #[serde(default)]
    pub seed: u64,
}

/// `[tables.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableDefinition {
    /// What the table is for.
    #[serde(default)]
    pub role: Role,
    /// The column that names a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For events: when it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// SQL over `[sources]` and earlier tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// A path, or a name from `[sources]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Make new rows for an items table too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synthesize: bool,
    /// Column → `table.key` that it refers to.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub references: IndexMap<String, Reference>,
    /// Column → options where detection is to be overruled.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub columns: IndexMap<String, ColumnOptions>,
}

/// The table and key column that a column refers to; written `table.key`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// The referenced table.
    pub table: String,
    /// Its key column.
    pub key: String,
}

impl TryFrom<String> for Reference {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.split_once('.') {
            Some((table, key)) if !table.is_empty() && !key.is_empty() => {
                Ok(Reference { table: table.into(), key: key.into() })
            }
            _ => Err(format!("`{text}` is not a reference; write \"table.key\"")),
        }
    }
}

impl From<Reference> for String {
    fn from(r: Reference) -> String {
        format!("{}.{}", r.table, r.key)
    }
}

/// `[tables.NAME.columns]`: overrides for one column.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnOptions {
    /// The kind, in place of the detected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ColumnKind>,
    /// The smallest possible value; smaller ones are invalid and never made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest possible value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// `[clean.NAME]`: rules for one source (before SQL) or table (after).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CleanRules {
    /// Remove every copy of a row but the first.
    #[serde(default)]
    pub drop_duplicates: bool,
    /// SQL conditions; a row that meets one is removed; applied in order.
    #[serde(default)]
    pub drop_invalid: Vec<String>,
    /// Column → what to do with missing values.
    #[serde(default)]
    pub missing: IndexMap<String, Missing>,
    /// Column → rule that removes rows with extreme values.
    #[serde(default)]
    pub outliers: IndexMap<String, Outliers>,
    /// Column → scaling, applied last; invertible.
    #[serde(default)]
    pub standardize: IndexMap<String, Scaling>,
}

/// What to do with missing values of a column.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Missing {
    /// Leave them missing.
    Keep,
    /// Remove the row.
    Drop,
    /// The mean of the present values.
    Mean,
    /// The median of the present values.
    Median,
    /// The most frequent present value; ties go to the one that appears first.
    Mode,
    /// This value.
    Constant(String),
    /// A conditional draw of a row model.
    Synthesize,
}

impl TryFrom<String> for Missing {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        Ok(match text.as_str() {
            "keep" => Missing::Keep,
            "drop" => Missing::Drop,
            "mean" => Missing::Mean,
            "median" => Missing::Median,
            "mode" => Missing::Mode,
            "synthesize" => Missing::Synthesize,
            other => match other.strip_prefix("constant:") {
                Some(value) => Missing::Constant(value.into()),
                None => {
                    let valid = ["keep", "drop", "mean", "median", "mode", "constant:VALUE", "synthesize"];
                    return Err(format!("`{other}` is not a rule for missing values{}", nearest(other, &valid)));
                }
            },
        })
    }
}

impl From<Missing> for String {
    fn from(m: Missing) -> String {
        match m {
            Missing::Keep => "keep".into(),
            Missing::Drop => "drop".into(),
            Missing::Mean => "mean".into(),
            Missing::Median => "median".into(),
            Missing::Mode => "mode".into(),
            Missing::Synthesize => "synthesize".into(),
            Missing::Constant(v) => format!("constant:{v}"),
        }
    }
}

/// Which rows hold noise in a column.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Outliers {
    /// None.
    None,
    /// Outside [Q1 − k·IQR, Q3 + k·IQR].
    Iqr(f64),
    /// |x − median| > k·1.4826·MAD.
    Mad(f64),
}

impl TryFrom<String> for Outliers {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        let factor = |k: &str| k.parse::<f64>().ok().filter(|k| k.is_finite() && *k > 0.0);
        match text.split_once(':') {
            None if text == "none" => Ok(Outliers::None),
            Some(("iqr", k)) if factor(k).is_some() => Ok(Outliers::Iqr(factor(k).unwrap_or_default())),
            Some(("mad", k)) if factor(k).is_some() => Ok(Outliers::Mad(factor(k).unwrap_or_default())),
            _ => Err(format!(
                "`{text}` is not an outlier rule; write none, iqr:K or mad:K with K > 0 (for example iqr:3)"
            )),
        }
    }
}

impl From<Outliers> for String {
    fn from(o: Outliers) -> String {
        match o {
            Outliers::None => "none".into(),
            Outliers::Iqr(k) => format!("iqr:{k}"),
            Outliers::Mad(k) => format!("mad:{k}"),
        }
    }
}

/// How a number is standardised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// (x − mean) / standard deviation.
    ZScore,
    /// (x − min) / (max − min).
    MinMax,
    /// (x − median) / interquartile range.
    Robust,
    /// The empirical distribution function, by linear interpolation between quantiles.
    Quantile,
}

/// `[split]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSection {
    /// Users that never reach fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout_users: Option<HoldoutUsers>,
    /// Events at or after this moment never reach fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_from: Option<String>,
}

/// Which users are held out.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum HoldoutUsers {
    /// A share of all users, drawn by the seed.
    Share(f64),
    /// A text file of ids, one a line.
    File(String),
}

/// How a twin is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Bootstrap of rows, users or sessions.
    Replicate,
    /// Between real neighbours: SMOTE, SMOTE-NC; crossover of similar users.
    Interpolate,
    /// Every column given those before it, by a learned model.
    Autoregressive,
    /// Whole rows and histories by a generator that learned against a discriminator.
    Gan,
    /// Every column by itself.
    Independent,
}

impl Method {
    /// All methods of this version.
    pub const ALL: [Method; 5] =
        [Method::Autoregressive, Method::Gan, Method::Interpolate, Method::Replicate, Method::Independent];

    /// True where a model of this kind is made of training rows.
    pub fn keeps_rows(self) -> bool {
        matches!(self, Method::Replicate | Method::Interpolate)
    }

    /// True where a model of this kind is learned step by step, for as long as `steps` and `max_minutes` say.
    pub fn learns_in_steps(self) -> bool {
        matches!(self, Method::Autoregressive | Method::Gan)
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Method::Replicate => "replicate",
            Method::Interpolate => "interpolate",
            Method::Autoregressive => "autoregressive",
            Method::Gan => "gan",
            Method::Independent => "independent",
        }
    }

    /// Parses a name; the error lists the valid ones.
    pub fn parse(text: &str) -> Result<Method> {
        Method::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| {
            let names = Method::ALL.map(Method::name);
            Error::usage(format!("`{text}` is not a method{}", nearest(text, &names)))
                .remedy(format!("use one of {}", names.join(", ")))
                .into()
        })
    }
}

/// How large a learned model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The fastest to learn and to draw from.
    #[default]
    Small,
    /// A few times slower; closer to the data where columns depend on each other smoothly.
    Base,
    /// The same with a larger network, for much time.
    Large,
}

impl Preset {
    /// The name that settings use.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Small => "small",
            Preset::Base => "base",
            Preset::Large => "large",
        }
    }
}

/// What `replicate` draws again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResampleUnit {
    /// Whole users (rows in a plain table).
    #[default]
    Users,
    /// Sessions of one user, with replacement.
    Sessions,
}

/// `interpolate`: between which rows of a plain table a new row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A row and one of its nearest neighbours.
    #[default]
    Smote,
    /// A row of one class near the border to the others, and one of its nearest neighbours in the class.
    Borderline,
    /// Any two rows.
    Mixup,
}

impl Interpolation {
    /// All of them.
    pub const ALL: [Interpolation; 3] = [Interpolation::Smote, Interpolation::Borderline, Interpolation::Mixup];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Interpolation::Smote => "smote",
            Interpolation::Borderline => "borderline",
            Interpolation::Mixup => "mixup",
        }
    }

    /// Parses a name; the error lists the valid ones.
    pub fn parse(text: &str) -> Result<Interpolation> {
        Interpolation::ALL.into_iter().find(|i| i.name() == text).ok_or_else(|| {
            let names = Interpolation::ALL.map(Interpolation::name);
            Error::usage(format!("`{text}` is not an interpolation{}", nearest(text, &names)))
                .remedy(format!("use one of {}", names.join(", ")))
                .into()
        })
    }
}

/// `gan`: what the networks of generator and discriminator are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Layers in which every unit sees every one of the layer before.
    #[default]
    Mlp,
    /// Convolutions.
    Cnn,
    /// Layers that are run through step by step and remember.
    Rnn,
}

impl Body {
    /// All of them.
    pub const ALL: [Body; 3] = [Body::Mlp, Body::Cnn, Body::Rnn];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Body::Mlp => "mlp",
            Body::Cnn => "cnn",
            Body::Rnn => "rnn",
        }
    }

    /// Parses a name; the error lists the valid ones.
    pub fn parse(text: &str) -> Result<Body> {
        Body::ALL.into_iter().find(|b| b.name() == text).ok_or_else(|| {
            let names = Body::ALL.map(Body::name);
            Error::usage(format!("`{text}` is not a body{}", nearest(text, &names)))
                .remedy(format!("use one of {}", names.join(", ")))
                .into()
        })
    }
}

/// `gan`: what generator G and discriminator D minimise, over real rows x and noise z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// L_G = −log D(G(z)), L_D = −log D(x) − log(1 − D(G(z))) (Goodfellow et al. 2014, with the loss that does not saturate).
    Original,
    /// The same, with a penalty on the discriminator's gradient at real rows (Mescheder et al. 2018).
    #[default]
    R1,
    /// The Wasserstein distance, with a penalty on the gradient between real and made rows (Gulrajani et al. 2017).
    WganGp,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 3] = [Loss::Original, Loss::R1, Loss::WganGp];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Original => "original",
            Loss::R1 => "r1",
            Loss::WganGp => "wgan-gp",
        }
    }

    /// Parses a name; the error lists the valid ones.
    pub fn parse(text: &str) -> Result<Loss> {
        Loss::ALL.into_iter().find(|l| l.name() == text).ok_or_else(|| {
            let names = Loss::ALL.map(Loss::name);
            Error::usage(format!("`{text}` is not a loss{}", nearest(text, &names)))
                .remedy(format!("use one of {}", names.join(", ")))
                .into()
        })
    }
}

/// The rows of one class: those with this value in this column; written `column=value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The column.
    pub column: String,
    /// Its value, as text.
    pub value: String,
}

impl TryFrom<String> for Target {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some((column, value)) if !column.is_empty() && !value.is_empty() => {
                Ok(Target { column: column.into(), value: value.into() })
            }
            _ => Err(format!("`{text}` is not a target; write \"column=value\"")),
        }
    }
}

impl From<Target> for String {
    fn from(t: Target) -> String {
        format!("{}={}", t.column, t.value)
    }
}

/// `interpolate`: whether values of single people may come out of a plain table as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verbatim {
    /// Values that few people share never come out, and numbers are drawn anew among those of several people.
    #[default]
    Forbid,
    /// Values come out as interpolated, or as some row has them.
    Allow,
}

/// `[synthesis]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SynthesisSection {
    /// The method's name, checked by [`Method::parse`]; without one, the best for the tables ([`Project::method`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Size of a learned model.
    #[serde(default)]
    pub preset: Preset,
    /// Training steps at most, epochs for `gan`; 0 = until held-out data say that more is no better.
    #[serde(default)]
    pub steps: u64,
    /// Safety stop for learned models, minutes.
    #[serde(default = "default_minutes")]
    pub max_minutes: f64,
    /// `replicate`: what is drawn again.
    #[serde(default)]
    pub unit: ResampleUnit,
    /// `replicate`: column of the users (or plain) table that weights the draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// `replicate`: users of fewer events get earlier ones, drawn by a learned model, until they have as many; 0 and 1 = nobody does.
    #[serde(default)]
    pub extend: usize,
    /// `interpolate`: number of nearest neighbours.
    #[serde(default = "default_neighbours")]
    pub neighbours: usize,
    /// `interpolate`: between which rows of a plain table a new row lies.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// `borderline`: the class whose rows are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// `mixup`: the share of a row's first parent is drawn from Beta(alpha, alpha).
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// `interpolate`: whether values of single people may come out of a plain table as they are.
    #[serde(default)]
    pub verbatim: Verbatim,
    /// `gan`: what the networks are made of.
    #[serde(default)]
    pub body: Body,
    /// `gan`: what generator and discriminator minimise.
    #[serde(default)]
    pub loss: Loss,
    /// `gan`: rows that the discriminator sees together, 1 to 32.
    #[serde(default = "default_pack")]
    pub pack: usize,
    /// `gan`: steps of the discriminator for one of the generator, 1 to 20.
    #[serde(default = "default_critic_steps")]
    pub critic_steps: usize,
    /// `gan`: whether the running mean of the generator's weights draws, in place of the weights themselves.
    #[serde(default = "default_average")]
    pub average: bool,
    /// `gan`: rows in a step, 10 to 100,000.
    #[serde(default = "default_batch")]
    pub batch: usize,
}

fn default_minutes() -> f64 {
    10.0
}
fn default_neighbours() -> usize {
    5
}
fn default_alpha() -> f64 {
    0.2
}
fn default_pack() -> usize {
    1
}
fn default_critic_steps() -> usize {
    1
}
fn default_average() -> bool {
    true
}
fn default_batch() -> usize {
    100
}

impl Default for SynthesisSection {
    fn default() -> Self {
        SynthesisSection {
            method: None,
            preset: Preset::default(),
            steps: 0,
            max_minutes: default_minutes(),
            unit: ResampleUnit::default(),
            weights: None,
            extend: 0,
            neighbours: default_neighbours(),
            interpolation: Interpolation::default(),
            target: None,
            alpha: default_alpha(),
            verbatim: Verbatim::default(),
            body: Body::default(),
            loss: Loss::default(),
            pack: default_pack(),
            critic_steps: default_critic_steps(),
            average: default_average(),
            batch: default_batch(),
        }
    }
}

impl Project {
    /// Reads and checks a project file. Errors are [`Error::Usage`] (or [`Error::Io`] where it cannot be read).
    pub fn read(path: impl AsRef<Path>) -> Result<Project> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            Error::usage(format!("invalid UTF-8 at byte {}", e.utf8_error().valid_up_to()))
                .file(path)
                .remedy("save the project file as UTF-8")
        })?;
        let mut project = Project::parse(&text, path)?;
        project.folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Ok(project)
    }

    /// Parses and checks the text of a project file; `path` is for messages only.
    pub fn parse(text: &str, path: &Path) -> Result<Project> {
        let project: Project = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|s| 1 + text[..s.start.min(text.len())].matches('\n').count());
            let place = line.map(|n| format!(" (line {n})")).unwrap_or_default();
            let message = e.message().trim().replace('\n', " ");
            Error::usage(format!("{}{place}{}", message, nearest_of_message(&message)))
                .file(path)
                .remedy("correct the project file")
        })?;
        project.check().map_err(|e| e.with(|p| p.file(path)))?;
        Ok(project)
    }

    /// A path of the project file, relative to the file's folder. Addresses with a scheme stay as they are.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The method of `[synthesis]`.
    pub fn method(&self) -> Result<Method> {
        match &self.synthesis.method {
            Some(name) => Method::parse(name),
            None => Ok(Method::Autoregressive),
        }
    }

    /// Tables of a role, in file order.
    pub fn tables_of(&self, role: Role) -> impl Iterator<Item = (&String, &TableDefinition)> {
        self.tables.iter().filter(move |(_, t)| t.role == role)
    }

    fn check(&self) -> Result<()> {
        if self.tables.is_empty() {
            return Err(Error::usage("the project has no tables").remedy("add a section [tables.NAME]").into());
        }
        for (name, table) in &self.tables {
            self.check_table(name, table).map_err(|e| e.with(|p| p.table(name)))?;
        }
        for role in [Role::Users, Role::Items] {
            if let Some((second, _)) = self.tables_of(role).nth(1) {
                let what = format!("a second table with the role {role:?}").to_lowercase();
                return Err(Error::usage(what).table(second).remedy("give one table that role").into());
            }
        }
        let of_tables = self.tables.values().filter_map(|t| t.source.as_ref());
        for address in self.sources.values().chain(of_tables) {
            if let Some((scheme, _)) = address.split_once("://") {
                return Err(Error::usage(format!("sources of `{scheme}://` are not part of this version"))
                    .value(address)
                    .remedy("copy the data to a file: .parquet, .csv or .jsonl")
                    .into());
            }
        }
        if let Some((name, _)) = self.sources.iter().find(|(_, path)| path.is_empty()) {
            return Err(Error::usage(format!("the source `{name}` is empty")).remedy("name a file or a folder").into());
        }
        for name in self.clean.keys() {
            if !self.sources.contains_key(name) && !self.tables.contains_key(name) {
                let known: Vec<&str> = self.sources.keys().chain(self.tables.keys()).map(String::as_str).collect();
                return Err(
                    Error::usage(format!("[clean.{name}] names no source or table{}", nearest(name, &known))).into()
                );
            }
        }
        for name in self.constraints.keys() {
            if !self.tables.contains_key(name) {
                let known: Vec<&str> = self.tables.keys().map(String::as_str).collect();
                return Err(
                    Error::usage(format!("[constraints] `{name}` names no table{}", nearest(name, &known))).into()
                );
            }
        }
        let minutes = self.synthesis.max_minutes;
        if !(minutes > 0.0 && minutes.is_finite()) {
            return Err(Error::usage(format!("max_minutes = {minutes} is not a time"))
                .remedy("give a number of minutes above 0")
                .into());
        }
        if let Some(HoldoutUsers::Share(share)) = self.split.holdout_users
            && !(share > 0.0 && share < 1.0)
        {
            return Err(Error::usage(format!("holdout_users = {share} is not a share"))
                .remedy("give a number between 0 and 1, or a file of user ids")
                .into());
        }
        self.method().map(|_| ())
    }

    fn check_table(&self, name: &str, table: &TableDefinition) -> Result<()> {
        match (&table.sql, &table.source) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("the table has both `sql` and `source`").remedy("keep one of them").into());
            }
            (None, None) => {
                return Err(Error::usage("the table has neither `sql` nor `source`")
                    .remedy("add sql = \"SELECT …\" or source = \"FILE\"")
                    .into());
            }
            _ => {}
        }
        if table.source.as_deref() == Some("") {
            return Err(Error::usage("`source` is empty").remedy("name a file, a folder or one of [sources]").into());
        }
        for (column, options) in &table.columns {
            if let (Some(min), Some(max)) = (options.min, options.max)
                && (min > max || min.is_nan() || max.is_nan())
            {
                let what = format!("no value lies between min = {min} and max = {max}");
                return Err(Error::usage(what).column(column).remedy("exchange or correct them").into());
            }
        }
        if self.sources.contains_key(name) {
            return Err(Error::usage("a source has the same name").remedy("rename the source or the table").into());
        }
        if matches!(table.role, Role::Users | Role::Items) && table.key.is_none() {
            return Err(Error::usage("a users or items table needs a key").remedy("add key = \"COLUMN\"").into());
        }
        for (column, reference) in &table.references {
            let Some(parent) = self.tables.get(&reference.table) else {
                let known: Vec<&str> = self.tables.keys().map(String::as_str).collect();
                let hint = nearest(&reference.table, &known);
                return Err(Error::usage(format!("the reference names no table `{}`{hint}", reference.table))
                    .column(column)
                    .into());
            };
            if parent.key.as_deref() != Some(reference.key.as_str()) {
                return Err(Error::usage(format!("`{}` is not the key of table `{}`", reference.key, reference.table))
                    .column(column)
                    .remedy("refer to the key column of that table")
                    .into());
            }
        }
        if table.role == Role::Events {
            for role in [Role::Users, Role::Items] {
                let found = table.references.values().filter(|r| self.tables[&r.table].role == role).count();
                if found != 1 {
                    return Err(Error::usage(
                        format!("an events table refers to one table with the role {role:?}, found {found}")
                            .replace("Users", "users")
                            .replace("Items", "items"),
                    )
                    .remedy("add it under [tables.NAME.references]")
                    .into());
                }
            }
        }
        Ok(())
    }
}

/// «, did you mean `x`?» for the nearest of `valid`, or nothing when none is near.
fn nearest(word: &str, valid: &[&str]) -> String {
    valid
        .iter()
        .map(|v| (strsim::damerau_levenshtein(word, v), v))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, v)| *d <= 2.max(v.len() / 2))
        .map(|(_, v)| format!(", did you mean `{v}`?"))
        .unwrap_or_default()
}

/// The same for serde's «unknown field `x`, expected one of `a`, `b`».
fn nearest_of_message(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(word) = quoted.next() else { return String::new() };
    nearest(word, &quoted.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = r#"
[project]
name = "shop"
[tables.users]
role = "users"
key = "id"
source = "u.csv"
[tables.items]
role = "items"
key = "id"
source = "i.csv"
[tables.events]
role = "events"
time = "t"
source = "e.csv"
references = { user = "users.id", item = "items.id" }
[clean.events]
missing = { price = "constant:0" }
outliers = { price = "iqr:3" }
standardize = { price = "z-score" }
"#;

    fn error(text: &str) -> String {
        Project::parse(text, Path::new("twinmart.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read_in_order_and_written_back() {
        let project = Project::parse(SHOP, Path::new("twinmart.toml")).unwrap();
        assert_eq!(project.tables.keys().collect::<Vec<_>>(), ["users", "items", "events"]);
        assert_eq!(project.clean["events"].missing["price"], Missing::Constant("0".into()));
        assert_eq!(project.clean["events"].outliers["price"], Outliers::Iqr(3.0));
        assert_eq!(project.clean["events"].standardize["price"], Scaling::ZScore);
        let written = toml::to_string(&project).unwrap();
        assert_eq!(Project::parse(&written, Path::new("x")).unwrap(), project);
    }

    #[test]
    fn errors_name_line_and_nearest_key() {
        let text = error(&SHOP.replace("time = \"t\"", "tme = \"t\""));
        assert!(
            text.contains("unknown field `tme`") && text.contains("did you mean `time`?") && text.contains("line 14"),
            "{text}"
        );
        let text = error(&SHOP.replace("users.id", "user.id"));
        assert!(text.contains("no table `user`, did you mean `users`?") && text.contains("column `user`"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\nmethod = \"interpolat\""));
        assert!(text.contains("did you mean `interpolate`?"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\ninterpolation = \"mixupp\""));
        assert!(text.contains("`smote`, `borderline`, `mixup`") && text.contains("did you mean `mixup`?"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\nbody = \"cn\""));
        assert!(text.contains("`mlp`, `cnn`, `rnn`") && text.contains("did you mean `cnn`?"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\nloss = \"wgan\""));
        assert!(text.contains("`original`, `r1`, `wgan-gp`") && text.contains("did you mean `wgan-gp`?"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\nverbatim = \"no\""));
        assert!(text.contains("`forbid`") && text.contains("`allow`"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\ntarget = \"income\""));
        assert!(text.contains("write \"column=value\""), "{text}");
        let text = error(&SHOP.replace("iqr:3", "iqr:-3"));
        assert!(text.contains("not an outlier rule"), "{text}");
        let text = error(&format!("{SHOP}\n[split]\nholdout_users = 1.5"));
        assert!(text.contains("not a share"), "{text}");
        let text = error(&format!("{SHOP}\n[synthesis]\nmax_minutes = -1"));
        assert!(text.contains("max_minutes = -1 is not a time"), "{text}");
        let text = error(&format!("{SHOP}\n[tables.events.columns]\nprice = {{ min = 3, max = 2 }}"));
        assert!(text.contains("no value lies between min = 3 and max = 2") && text.contains("`price`"), "{text}");
        let text = error(&SHOP.replace("u.csv", "s3://bucket/u.csv"));
        assert!(text.contains("`s3://` are not part of this version"), "{text}");
        let text = error(&SHOP.replace("u.csv", ""));
        assert!(text.contains("`source` is empty"), "{text}");
    }

    #[test]
    fn names_of_methods_and_of_their_parts_are_read_as_they_are_written() {
        assert!(Method::ALL.into_iter().all(|m| Method::parse(m.name()).unwrap() == m));
        assert!(Body::ALL.into_iter().all(|b| Body::parse(b.name()).unwrap() == b));
        assert!(Loss::ALL.into_iter().all(|l| Loss::parse(l.name()).unwrap() == l));
        let synthesis = |lines: &str| {
            Project::parse(&format!("{SHOP}\n[synthesis]\n{lines}"), Path::new("twinmart.toml")).unwrap().synthesis
        };
        for body in Body::ALL {
            assert_eq!(synthesis(&format!("body = \"{}\"", body.name())).body, body);
        }
        for loss in Loss::ALL {
            assert_eq!(synthesis(&format!("loss = \"{}\"", loss.name())).loss, loss);
        }
        assert_eq!(synthesis(""), SynthesisSection::default());
        let told = synthesis("pack = 3\ncritic_steps = 5\naverage = false\nbatch = 64");
        assert_eq!((told.pack, told.critic_steps, told.average, told.batch), (3, 5, false, 64));
    }

    #[test]
    fn mistaken_names_of_networks_lead_to_the_nearest() {
        for (error, near) in [
            (Method::parse("gam").unwrap_err(), "did you mean `gan`?"),
            (Body::parse("rn").unwrap_err(), "did you mean `rnn`?"),
            (Loss::parse("wgangp").unwrap_err(), "did you mean `wgan-gp`?"),
        ] {
            assert!(matches!(error, Error::Usage(_)) && error.to_string().contains(near), "{error}");
        }
        assert!(!Method::Gan.keeps_rows() && Method::Gan.learns_in_steps());
    }
}
