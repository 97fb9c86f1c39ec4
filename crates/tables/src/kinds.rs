//! What a column means ([`ColumnKind`]) and what a table is for ([`Role`]).

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

/// The meaning of a column; decides how it is profiled, encoded and synthesized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// A key or a reference to one: new in a twin, never learned.
    Id,
    /// One of a set of values without order.
    Category,
    /// A whole number with order.
    Integer,
    /// A real number.
    Number,
    /// True or false.
    Boolean,
    /// A moment.
    Datetime,
    /// A day.
    Date,
    /// Free text.
    Text,
    /// A place: latitude and longitude.
    Geo,
    /// Events of one user that share the value form one basket or session; new in a twin.
    Group,
}

impl ColumnKind {
    /// The kind that the storage type alone suggests; detection from values may refine it.
    pub fn of_type(data_type: &DataType) -> ColumnKind {
        match data_type {
            DataType::Boolean => ColumnKind::Boolean,
            t if t.is_integer() => ColumnKind::Integer,
            t if t.is_numeric() => ColumnKind::Number,
            DataType::Date32 | DataType::Date64 => ColumnKind::Date,
            DataType::Timestamp(_, _) => ColumnKind::Datetime,
            _ => ColumnKind::Category,
        }
    }

    /// The name used in project files.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::Id => "id",
            ColumnKind::Category => "category",
            ColumnKind::Integer => "integer",
            ColumnKind::Number => "number",
            ColumnKind::Boolean => "boolean",
            ColumnKind::Datetime => "datetime",
            ColumnKind::Date => "date",
            ColumnKind::Text => "text",
            ColumnKind::Geo => "geo",
            ColumnKind::Group => "group",
        }
    }

    /// True where values have an order and distances: integers, numbers, dates, moments.
    pub fn is_ordered(self) -> bool {
        matches!(self, ColumnKind::Integer | ColumnKind::Number | ColumnKind::Datetime | ColumnKind::Date)
    }

    /// True where a twin invents the values: ids and groups.
    pub fn is_key(self) -> bool {
        matches!(self, ColumnKind::Id | ColumnKind::Group)
    }
}

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The people.
    Users,
    /// The catalogue: public, kept as it is unless the project says otherwise.
    Items,
    /// What users did with items, in time.
    Events,
    /// What users searched for.
    Queries,
    /// Any other table: rows without a person's history.
    #[default]
    Plain,
}
