//! What a model says of itself: `manifest.json`.

use crate::container::not_a_model;
use crate::rules::Rules;
use crate::{FitSettings, KeyStyle};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinmart_tables::{ColumnKind, Method, Result, Role, Table, TableDefinition};

const FORMAT: &str = "twinmart-model";
const VERSION: u32 = 1;

/// Everything about a model but its tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `twinmart-model`.
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// Version of the product that wrote it.
    pub product: String,
    /// How the twin is made.
    pub method: Method,
    /// True where the model is made of training rows: it must be kept as safe as the data.
    pub contains_training_rows: bool,
    /// All settings of the fit.
    pub settings: FitSettings,
    /// Seed of the fit; the default seed of samples.
    pub seed: u64,
    /// The table whose rows a size counts.
    pub sized_by: String,
    /// The tables, in project order.
    pub tables: Vec<TableSpec>,
    /// SHA-256 of every other entry, by name.
    pub digests: BTreeMap<String, String>,
}

/// A table of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// How its rows come about.
    pub making: Making,
    /// Rows in the training data.
    pub rows: u64,
    /// Rows learned from: all, or an even sample of a long table.
    pub learned_rows: u64,
    /// Role, key, time and references; without source and SQL, which belong to the machine that has them.
    pub definition: TableDefinition,
    /// The columns, in order.
    pub columns: Vec<ColumnSpec>,
    /// How new keys look, by column.
    pub keys: BTreeMap<String, KeyStyle>,
    /// What every row keeps.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    pub data_type: String,
    /// Whether its type allows missing values.
    pub nullable: bool,
    /// Its meaning.
    pub kind: ColumnKind,
}

/// How the rows of a table come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Making {
    /// Written as they are: a public catalogue.
    Kept,
    /// Made row by row.
    Rows,
    /// Made one for each training row, so that references to it keep their meaning: a synthesized catalogue.
    Counterparts,
    /// Made as users, together with their events.
    Users,
    /// Made as the events of users.
    Events,
}

impl Manifest {
    /// A manifest of this version, still without digests.
    pub(crate) fn new(settings: &FitSettings, sized_by: &str, tables: Vec<TableSpec>) -> Manifest {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            product: env!("CARGO_PKG_VERSION").into(),
            method: settings.method,
            contains_training_rows: settings.method.keeps_rows(),
            settings: settings.clone(),
            seed: settings.seed,
            sized_by: sized_by.into(),
            tables,
            digests: BTreeMap::new(),
        }
    }

    /// Reads a manifest; a data error where it is another format or version.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let fault = |e: serde_json::Error| not_a_model(format!("manifest.json: {e}"));
        let head: Head = serde_json::from_slice(bytes).map_err(fault)?;
        if head.format != FORMAT {
            return Err(not_a_model(format!("its format is {:?}", head.format)));
        }
        if head.version != VERSION {
            return Err(not_a_model(format!("its version is {}, this program reads version {VERSION}", head.version)));
        }
        serde_json::from_slice(bytes).map_err(fault)
    }

    /// Position of a table by name.
    pub(crate) fn position(&self, table: &str) -> Option<usize> {
        self.tables.iter().position(|t| t.name == table)
    }

    /// Position of the table made in this way.
    pub(crate) fn made_as(&self, making: Making) -> Option<usize> {
        self.tables.iter().position(|t| t.making == making)
    }
}

impl TableSpec {
    /// The specification of a table, still without key styles.
    pub(crate) fn of(table: &Table, making: Making) -> TableSpec {
        let columns = table.schema.fields().iter().zip(&table.kinds).map(|(field, kind)| ColumnSpec {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
            kind: *kind,
        });
        TableSpec {
            name: table.name.clone(),
            making,
            rows: table.population.unwrap_or(table.rows() as u64),
            learned_rows: table.rows() as u64,
            definition: TableDefinition { source: None, sql: None, ..table.definition.clone() },
            columns: columns.collect(),
            keys: BTreeMap::new(),
            rules: Rules::default(),
        }
    }

    /// Kinds in column order.
    pub(crate) fn kinds(&self) -> Vec<ColumnKind> {
        self.columns.iter().map(|c| c.kind).collect()
    }

    /// What each column is, in column order; a reference wins over a key, a key over a kind.
    pub(crate) fn origins(&self, manifest: &Manifest) -> Vec<Origin> {
        let origin = |column: &ColumnSpec| {
            let parent = self.definition.references.get(&column.name).and_then(|r| manifest.position(&r.table));
            let is_key = self.definition.key.as_deref() == Some(column.name.as_str());
            match (parent, column.kind) {
                (Some(parent), _) if is_key && self.making == Making::Rows => Origin::SharedKey(parent),
                (Some(parent), _) => Origin::Reference(parent),
                (None, _) if is_key => Origin::Key,
                (None, ColumnKind::Id) => Origin::Key,
                (None, ColumnKind::Group) if self.making == Making::Events => Origin::Group,
                (None, ColumnKind::Group) => Origin::Key,
                (None, _) => Origin::Value,
            }
        };
        self.columns.iter().map(origin).collect()
    }

    /// The table whose keys are this table's keys, row for row: the key column refers to it.
    pub(crate) fn shared_key(&self, manifest: &Manifest) -> Option<usize> {
        let key = self.definition.key.as_ref().filter(|_| self.making == Making::Rows)?;
        self.definition.references.get(key).and_then(|r| manifest.position(&r.table))
    }

    /// The role of the table.
    pub fn role(&self) -> Role {
        self.definition.role
    }
}

/// Where the values of a made column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From the method.
    Value,
    /// A new key for each row.
    Key,
    /// A new key for each session of a user.
    Group,
    /// A key of the table at this position.
    Reference(usize),
    /// The keys of the table at this position, row for row: a table with at most one row for each row there.
    SharedKey(usize),
}

/// True where the columns that a file lists are those of the schema stored with it.
pub(crate) fn agrees(spec: &TableSpec, schema: &SchemaRef) -> bool {
    spec.columns.len() == schema.fields().len()
        && spec.columns.iter().zip(schema.fields()).all(|(c, f)| {
            c.name == *f.name() && c.nullable == f.is_nullable() && c.data_type == f.data_type().to_string()
        })
}
