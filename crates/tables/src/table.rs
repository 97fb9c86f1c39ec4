//! A table in memory: a schema, record batches, and the meaning of each column.

use crate::constraint::Constraint;
use crate::{ColumnKind, Digest, Error, Result, TableDefinition};
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::{cast, concat, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

/// A table: definition, kinds (one per column of the schema) and rows.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name in the project file.
    pub name: String,
    /// Role, key, time and references.
    pub definition: TableDefinition,
    /// Column names and storage types.
    pub schema: SchemaRef,
    /// The meaning of each column, in schema order.
    pub kinds: Vec<ColumnKind>,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Where the rows are an even sample: of how many.
    pub population: Option<u64>,
    /// What every row of a twin keeps.
    pub constraints: Vec<Constraint>,
}

impl Table {
    /// Number of rows that are here.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Position of a column; a usage error with the valid names where there is none.
    pub fn position(&self, column: &str) -> Result<usize> {
        self.schema.index_of(column).map_err(|_| {
            let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
            Error::usage("no such column")
                .table(&self.name)
                .column(column)
                .remedy(format!("the columns are {}", names.join(", ")))
                .into()
        })
    }

    /// A whole column as one array.
    pub fn column(&self, column: &str) -> Result<ArrayRef> {
        self.column_at(self.position(column)?)
    }

    /// A whole column as one array, by position.
    pub fn column_at(&self, position: usize) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.batches.iter().map(|b| b.column(position).as_ref()).collect();
        if parts.is_empty() {
            return Ok(arrow::array::new_empty_array(self.schema.field(position).data_type()));
        }
        Ok(concat(&parts)?)
    }

    /// The kind of a column.
    pub fn kind(&self, column: &str) -> Result<ColumnKind> {
        Ok(self.kinds[self.position(column)?])
    }

    /// A column as text, the form in which keys are compared across tables. Nulls stay null.
    pub fn text(&self, column: &str) -> Result<StringArray> {
        text_of(&self.column(column)?)
    }

    /// All rows as one batch.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        Ok(concat_batches(&self.schema, &self.batches)?)
    }

    /// The same table with other rows.
    pub fn with_batches(&self, batches: Vec<RecordBatch>) -> Table {
        Table { batches, ..self.clone_shell() }
    }

    /// The rows at `rows`, in that order.
    pub fn take(&self, rows: &[usize]) -> Result<Table> {
        let index = arrow::array::UInt64Array::from_iter_values(rows.iter().map(|r| *r as u64));
        Ok(self.with_batches(vec![take_record_batch(&self.to_batch()?, &index)?]))
    }

    fn clone_shell(&self) -> Table {
        Table {
            name: self.name.clone(),
            definition: self.definition.clone(),
            schema: self.schema.clone(),
            kinds: self.kinds.clone(),
            batches: Vec::new(),
            population: None,
            constraints: self.constraints.clone(),
        }
    }

    /// Digest of names, types and every value, independent of how rows are cut into batches.
    pub fn digest(&self) -> Result<String> {
        let mut digest = Digest::new("twinmart table 1");
        for (position, field) in self.schema.fields().iter().enumerate() {
            digest.push(field.name().as_bytes());
            digest.push(field.data_type().to_string().as_bytes());
            let text = text_of(&self.column_at(position)?)?;
            for value in &text {
                match value {
                    Some(v) => digest.push(v.as_bytes()),
                    None => digest.push(b"\0null"),
                }
            }
        }
        Ok(digest.finish())
    }
}

/// Any array as text: integers in decimal, times in ISO form.
pub(crate) fn text_of(array: &ArrayRef) -> Result<StringArray> {
    let text = cast(array, &DataType::Utf8)?;
    text.as_any()
        .downcast_ref::<StringArray>()
        .cloned()
        .ok_or_else(|| Error::data(format!("values of type {} have no text form", array.data_type())).into())
}
