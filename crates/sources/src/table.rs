//! A table from rows in memory, by the rules for data files: storage types, kinds, checks.

use crate::detect::{check_names, kinds_of};
use crate::load::{Origin, check};
use crate::normal::{normal_batch, normal_schema};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use twinmart_tables::{Error, Result, Table, TableDefinition};

/// The table of `batches`, which all have the columns of `schema`. Kinds are detected unless `definition` names them.
///
/// Errors are those of a data file with this content: no rows, two columns of one name, nested types, NaN and infinite numbers,
/// values outside their range, kinds that do not fit, names of columns that do not exist.
pub fn table_of(
    name: &str,
    definition: &TableDefinition,
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = RecordBatch>,
) -> Result<Table> {
    let named = |e: Error| e.with(|p| p.table(name));
    let normal = normal_schema(schema).map_err(named)?;
    let batches =
        batches.into_iter().map(|batch| normal_batch(&batch, &normal)).collect::<Result<_>>().map_err(named)?;
    check_names(name, definition, &normal)?;
    let definition = definition.clone();
    let mut table = Table {
        name: name.into(),
        definition,
        schema: normal,
        kinds: Vec::new(),
        batches,
        population: None,
        constraints: Vec::new(),
    };
    if table.rows() == 0 {
        return Err(Error::data("the table has no rows").table(name).remedy("give at least one").into());
    }
    table.kinds = kinds_of(&table)?;
    check(&table, Origin::Memory)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringViewArray};
    use std::sync::Arc;
    use twinmart_tables::{ColumnKind, ColumnOptions};

    fn made(columns: Vec<(&str, ArrayRef)>, definition: &TableDefinition) -> Result<Table> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        table_of("t", definition, &batch.schema(), [batch])
    }

    #[test]
    fn rows_in_memory_have_kinds_and_the_types_of_files() {
        let price = Decimal128Array::from(vec![1250, 999]).with_precision_and_scale(10, 2).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("city", Arc::new(StringViewArray::from(vec!["Ulm", "Rome"]))),
            ("price", Arc::new(price)),
            ("age", Arc::new(Int64Array::from(vec![31, 32]))),
        ];
        let mut definition = TableDefinition::default();
        let kind = Some(ColumnKind::Integer);
        definition.columns.insert("age".into(), ColumnOptions { kind, ..ColumnOptions::default() });
        let table = made(columns, &definition).unwrap();
        assert_eq!(table.kinds, [ColumnKind::Category, ColumnKind::Number, ColumnKind::Integer]);
        assert_eq!(table.schema.field(1).data_type(), &arrow::datatypes::DataType::Float64);
    }

    #[test]
    fn what_a_file_may_not_hold_is_refused_here_too() {
        let plain = TableDefinition::default();
        let numbers = |x: Vec<f64>| vec![("x", Arc::new(Float64Array::from(x)) as ArrayRef)];
        let said = |result: Result<Table>| result.unwrap_err().to_string();
        let text = said(made(numbers(vec![1.0, f64::NAN]), &plain));
        assert_eq!(
            text,
            "table `t`, column `x`, row 2, value `NaN`: the value is not a number (NaN); make the value missing or leave the row out"
        );
        assert!(said(made(numbers(vec![]), &plain)).contains("table `t`: the table has no rows"));
        let keyed = TableDefinition { key: Some("y".into()), ..plain.clone() };
        assert!(said(made(numbers(vec![1.0]), &keyed)).contains("`key` names a column that the table does not have"));
        let mut bounded = plain.clone();
        bounded.columns.insert("x".into(), ColumnOptions { max: Some(3.0), ..ColumnOptions::default() });
        assert!(said(made(numbers(vec![1.0, 4.0]), &bounded)).contains("lies outside min and max"));
        let texts: Vec<(&str, ArrayRef)> = vec![("x", Arc::new(StringViewArray::from(vec!["a"])))];
        let mut dated = plain;
        dated.columns.insert("x".into(), ColumnOptions { kind: Some(ColumnKind::Date), ..ColumnOptions::default() });
        assert!(said(made(texts, &dated)).contains("values of type Utf8 are no date column"));
    }
}
