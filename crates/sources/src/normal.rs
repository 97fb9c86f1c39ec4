//! Few storage types: whatever a file or a query yields is brought to the types that the rest of the product knows.
//!
//! | from | to |
//! |---|---|
//! | every text type, binary that is UTF-8, time of day, no type at all | Utf8 |
//! | decimals | Float64 |
//! | 16-bit floats | Float32 |
//! | dictionaries, run-ends | their value type, by these rules |
//! | durations | Int64, in their unit |
//! | timestamps with a time zone | the same instants in UTC (`+00:00`) |
//!
//! Integers, floats, booleans, dates and timestamps without a zone stay, units included; nested types are refused.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::collections::HashSet;
use std::sync::Arc;
use twinmart_tables::{Error, Result};

fn normal_type(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null | T::Time32(_) | T::Time64(_) => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView => T::Utf8,
        T::Decimal32(_, _) | T::Decimal64(_, _) | T::Decimal128(_, _) | T::Decimal256(_, _) => T::Float64,
        T::Float16 => T::Float32,
        T::Duration(_) => T::Int64,
        T::Dictionary(_, values) => return normal_type(values),
        T::RunEndEncoded(_, values) => return normal_type(values.data_type()),
        T::Timestamp(unit, Some(_)) => T::Timestamp(*unit, Some("+00:00".into())),
        T::Boolean | T::Date32 | T::Date64 | T::Timestamp(_, _) => data_type.clone(),
        t if t.is_numeric() => t.clone(),
        _ => return None,
    })
}

/// The schema in normal types, all nullable and without metadata. Column names must differ.
pub(crate) fn normal_schema(schema: &Schema) -> Result<SchemaRef> {
    let mut names = HashSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        if !names.insert(field.name()) {
            return Err(Error::data("two columns have this name")
                .column(field.name())
                .remedy("rename one of them")
                .into());
        }
        let data_type = normal_type(field.data_type()).ok_or_else(|| {
            Error::data(format!("the type {} cannot be used", field.data_type()))
                .column(field.name())
                .remedy("write nested values as columns of their own, or leave the column out")
        })?;
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The batch cast to the normal schema, which lists the same columns.
pub(crate) fn normal_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |(array, field): (&ArrayRef, &Arc<Field>)| -> Result<ArrayRef> {
        if array.data_type() == field.data_type() {
            return Ok(array.clone());
        }
        Ok(cast_with_options(array, field.data_type(), &options).map_err(|e| {
            let (from, to) = (array.data_type(), field.data_type());
            Error::data(format!("a value of type {from} cannot be read as {to} ({e})"))
                .column(field.name())
                .remedy("convert or leave out the column in the file")
        })?)
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(cast).collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Array, AsArray, BinaryArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, NullArray,
        StringViewArray,
    };
    use arrow::datatypes::{Float64Type, Int32Type};

    #[test]
    fn unusual_types_become_usual_ones() {
        let decimal = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(10, 2).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("view", Arc::new(StringViewArray::from(vec!["a", "b"]))),
            ("dictionary", Arc::new(vec!["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>())),
            ("binary", Arc::new(BinaryArray::from(vec![&b"p"[..], b"q"]))),
            ("null", Arc::new(NullArray::new(2))),
            ("decimal", Arc::new(decimal)),
            ("int", Arc::new(Int32Array::from(vec![1, 2]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = normal_schema(&batch.schema()).unwrap();
        let normal = normal_batch(&batch, &schema).unwrap();
        for text in ["view", "dictionary", "binary", "null"] {
            assert_eq!(schema.field_with_name(text).unwrap().data_type(), &DataType::Utf8, "{text}");
        }
        assert_eq!(normal.column(1).as_string::<i32>().value(1), "y");
        assert_eq!(normal.column(3).null_count(), 2);
        assert_eq!(normal.column(4).as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(12.5), None]));
        assert_eq!(schema.field(5).data_type(), &DataType::Int32);
    }

    #[test]
    fn bytes_that_are_no_text_and_nested_columns_are_refused() {
        let batch =
            RecordBatch::try_from_iter([("b", Arc::new(BinaryArray::from(vec![&b"\xFF"[..]])) as ArrayRef)]).unwrap();
        let problem = normal_batch(&batch, &normal_schema(&batch.schema()).unwrap()).unwrap_err();
        assert!(problem.to_string().contains("column `b`"), "{problem}");
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let nested = Schema::new(vec![Field::new("l", list, true)]);
        assert!(normal_schema(&nested).unwrap_err().to_string().contains("nested values"));
        let twice = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("a", DataType::Int32, true)]);
        assert!(normal_schema(&twice).unwrap_err().to_string().contains("column `a`: two columns have this name"));
    }
}
