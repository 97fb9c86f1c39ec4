//! Tables as columns that can be compared: numbers with order, or codes of a dictionary that all sides share.
//!
//! Keys, references and groups are left out (a twin invents them). Moments become seconds; texts become their length
//! (their words are new in a twin, so equal texts would be a fault rather than a success).

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use std::collections::HashMap;
use twinmart_tables::{ColumnKind, Error, Result, Table};

/// One side of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// NaN = missing.
    Ordered(Vec<f64>),
    /// Positions in the dictionary; missing has a code of its own.
    Category(Vec<u32>),
}

impl Values {
    fn take(&self, rows: &[usize]) -> Values {
        match self {
            Values::Ordered(x) => Values::Ordered(rows.iter().map(|r| x[*r]).collect()),
            Values::Category(c) => Values::Category(rows.iter().map(|r| c[*r]).collect()),
        }
    }

    /// Share of missing values; `missing` is the code of a missing category.
    pub(crate) fn missing_share(&self, missing: Option<u32>) -> f64 {
        let (count, rows) = match self {
            Values::Ordered(x) => (x.iter().filter(|x| x.is_nan()).count(), x.len()),
            Values::Category(c) => (c.iter().filter(|c| Some(**c) == missing).count(), c.len()),
        };
        count as f64 / rows.max(1) as f64
    }

    fn append(&mut self, other: &Values) {
        match (self, other) {
            (Values::Ordered(x), Values::Ordered(y)) => x.extend(y),
            (Values::Category(x), Values::Category(y)) => x.extend(y),
            _ => {}
        }
    }
}

/// One side of a table: its compared columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) columns: Vec<Values>,
    pub(crate) rows: usize,
}

impl Frame {
    /// The rows at `rows`, in that order.
    pub(crate) fn take(&self, rows: &[usize]) -> Frame {
        Frame { columns: self.columns.iter().map(|c| c.take(rows)).collect(), rows: rows.len() }
    }

    /// These rows, then those of `other`.
    pub(crate) fn stacked(&self, other: &Frame) -> Frame {
        let mut out = self.clone();
        for (column, more) in out.columns.iter_mut().zip(&other.columns) {
            column.append(more);
        }
        out.rows += other.rows;
        out
    }

    /// All columns but one.
    pub(crate) fn without(&self, column: usize) -> Frame {
        let keep = self.columns.iter().enumerate().filter(|(i, _)| *i != column);
        Frame { columns: keep.map(|(_, c)| c.clone()).collect(), rows: self.rows }
    }
}

/// What a compared column is.
#[derive(Debug, Clone)]
pub(crate) struct ColumnInfo {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    /// Code → value, for categories; `None` is the missing value.
    pub(crate) labels: Vec<Option<String>>,
}

impl ColumnInfo {
    /// The code of the missing value, where a category has one.
    pub(crate) fn missing_code(&self) -> Option<u32> {
        self.labels.iter().position(Option::is_none).map(|code| code as u32)
    }
}

/// All sides of one table, aligned.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    pub(crate) columns: Vec<ColumnInfo>,
    pub(crate) real: Frame,
    pub(crate) synthetic: Frame,
    pub(crate) holdout: Option<Frame>,
}

impl Frames {
    /// Aligns the sides by the real table's column names and kinds. A data error names a column that a side lacks, has
    /// beyond the real table's, or whose values do not fit.
    pub(crate) fn align(real: &Table, synthetic: &Table, holdout: Option<&Table>) -> Result<Frames> {
        check_columns(real, synthetic, "synthetic")?;
        if let Some(holdout) = holdout {
            check_columns(real, holdout, "held-out")?;
        }
        let sides: Vec<&Table> = [Some(real), Some(synthetic), holdout].into_iter().flatten().collect();
        let mut columns = Vec::new();
        let mut values: Vec<Vec<Values>> = vec![Vec::new(); sides.len()];
        for (position, field) in real.schema.fields().iter().enumerate() {
            let (name, kind) = (field.name(), real.kinds[position]);
            if kind.is_key()
                || real.definition.references.contains_key(name)
                || real.definition.key.as_ref() == Some(name)
            {
                continue;
            }
            let arrays = sides.iter().map(|t| t.column(name)).collect::<Result<Vec<_>>>()?;
            let mut dictionary = Dictionary::default();
            for (side, array) in arrays.iter().enumerate() {
                let place = Place { table: &real.name, column: name, side: ["real", "synthetic", "held-out"][side] };
                values[side].push(if kind.is_ordered() {
                    Values::Ordered(place.numbers(array)?)
                } else if kind == ColumnKind::Text {
                    Values::Ordered(place.lengths(array)?)
                } else {
                    Values::Category(dictionary.codes(&place.texts(array, arrays[0].data_type())?))
                });
            }
            columns.push(ColumnInfo { name: name.clone(), kind, labels: dictionary.labels });
        }
        let mut frames = sides.iter().zip(values).map(|(t, columns)| Frame { columns, rows: t.rows() });
        let empty = || Frame { columns: Vec::new(), rows: 0 };
        Ok(Frames {
            columns,
            real: frames.next().unwrap_or_else(empty),
            synthetic: frames.next().unwrap_or_else(empty),
            holdout: frames.next(),
        })
    }
}

/// Distinct codes, most frequent first (ties: the smaller code), at most `limit`.
pub(crate) fn most_frequent(codes: &[u32], limit: usize) -> Vec<u32> {
    let mut counted: Vec<(usize, u32)> =
        counts_of(codes).into_iter().enumerate().filter(|(_, n)| *n > 0).map(|(code, n)| (n, code as u32)).collect();
    counted.sort_unstable_by_key(|(n, code)| (std::cmp::Reverse(*n), *code));
    counted.truncate(limit);
    counted.into_iter().map(|(_, code)| code).collect()
}

/// Number of rows of each code.
pub(crate) fn counts_of(codes: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; codes.iter().max().map_or(0, |m| *m as usize + 1)];
    for code in codes {
        counts[*code as usize] += 1;
    }
    counts
}

fn check_columns(real: &Table, other: &Table, side: &str) -> Result<()> {
    let names = |t: &Table| t.schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let (expected, found) = (names(real), names(other));
    if let Some(missing) = expected.iter().find(|n| !found.contains(n)) {
        return Err(Error::data(format!("the {side} data lack this column"))
            .table(&real.name)
            .column(missing)
            .remedy("compare tables with the same columns")
            .into());
    }
    if let Some(extra) = found.iter().find(|n| !expected.contains(n)) {
        return Err(Error::data(format!("the {side} data have this column, the real data do not"))
            .table(&real.name)
            .column(extra)
            .remedy("drop it or compare tables with the same columns")
            .into());
    }
    Ok(())
}

/// Gives codes to values in the order in which they are first seen.
#[derive(Default)]
struct Dictionary {
    index: HashMap<Option<String>, u32>,
    labels: Vec<Option<String>>,
}

impl Dictionary {
    fn codes(&mut self, values: &StringArray) -> Vec<u32> {
        let code = |value: Option<&str>| {
            let value = value.map(str::to_string);
            *self.index.entry(value).or_insert_with_key(|value| {
                self.labels.push(value.clone());
                (self.labels.len() - 1) as u32
            })
        };
        values.iter().map(code).collect()
    }
}

/// Where values come from, for messages.
struct Place<'a> {
    table: &'a str,
    column: &'a str,
    side: &'a str,
}

impl Place<'_> {
    fn numbers(&self, array: &ArrayRef) -> Result<Vec<f64>> {
        let numbers = match array.data_type() {
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
                let micros = self.converted(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                let micros = cast(&micros, &DataType::Int64)?;
                let micros = micros.as_primitive::<Int64Type>();
                return Ok(micros.iter().map(|t| t.map_or(f64::NAN, |t| t as f64 / 1e6)).collect());
            }
            _ => self.converted(array, &DataType::Float64)?,
        };
        Ok(numbers.as_primitive::<Float64Type>().iter().map(|x| x.unwrap_or(f64::NAN)).collect())
    }

    fn lengths(&self, array: &ArrayRef) -> Result<Vec<f64>> {
        let texts = self.texts(array, array.data_type())?;
        Ok(texts.iter().map(|t| t.map_or(f64::NAN, |t| t.chars().count() as f64)).collect())
    }

    /// Text of the values, written as the real column's type would write them.
    fn texts(&self, array: &ArrayRef, real_type: &DataType) -> Result<StringArray> {
        let array = if array.data_type().is_numeric() && real_type.is_numeric() {
            self.converted(array, real_type)?
        } else {
            array.clone()
        };
        Ok(self.converted(&array, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    /// A cast that refuses to turn a value into a missing one.
    fn converted(&self, array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
        let fail = |what: String| Error::data(what).table(self.table).column(self.column);
        let out = cast(array, target).map_err(|e| fail(format!("the {} column has another type: {e}", self.side)))?;
        if let Some(row) = (0..array.len()).find(|r| array.is_valid(*r) && out.is_null(*r)) {
            let text = cast(array, &DataType::Utf8)?;
            let problem = fail(format!("the {} value does not fit a column of the real data's type", self.side));
            return Err(problem
                .row(row as u64 + 1)
                .value(text.as_string::<i32>().value(row))
                .remedy("correct the value or the column's kind")
                .into());
        }
        Ok(out)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;
    use twinmart_tables::TableDefinition;

    /// A plain table from named arrays; kinds follow from the types.
    pub(crate) fn table(name: &str, columns: Vec<(&str, ArrayRef)>) -> Table {
        let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
        let kinds = columns.iter().map(|(_, a)| ColumnKind::of_type(a.data_type())).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, a)| a).collect()).unwrap();
        Table {
            name: name.into(),
            definition: TableDefinition::default(),
            schema,
            kinds,
            batches: vec![batch],
            population: None,
            constraints: Vec::new(),
        }
    }

    #[test]
    fn codes_are_shared_and_integers_match_floats() {
        let real = table(
            "t",
            vec![
                ("c", Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]))),
                ("n", Arc::new(Int32Array::from(vec![Some(1), Some(2), None]))),
            ],
        );
        let synthetic = table(
            "t",
            vec![("n", Arc::new(Float64Array::from(vec![2.0]))), ("c", Arc::new(StringArray::from(vec!["new"])))],
        );
        let frames = Frames::align(&real, &synthetic, None).unwrap();
        assert_eq!(frames.real.columns[0], Values::Category(vec![0, 1, 2]));
        assert_eq!(frames.synthetic.columns[0], Values::Category(vec![3]));
        assert_eq!(frames.columns[0].labels, [Some("a".to_string()), None, Some("b".into()), Some("new".into())]);
        assert_eq!(frames.synthetic.columns[1], Values::Ordered(vec![2.0]));
        assert!(matches!(&frames.real.columns[1], Values::Ordered(x) if x[2].is_nan()));
    }

    #[test]
    fn mismatches_name_the_column_the_row_and_the_value() {
        let numbers = |n: &str| table("t", vec![(n, Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
        let error = |a: &Table, b: &Table| Frames::align(a, b, None).unwrap_err().to_string();
        assert!(error(&numbers("a"), &numbers("b")).contains("column `a`: the synthetic data lack this column"));
        let words = table("t", vec![("a", Arc::new(StringArray::from(vec!["1", "x"])) as ArrayRef)]);
        let text = error(&numbers("a"), &words);
        assert!(text.contains("column `a`, row 2, value `x`: the synthetic value does not fit"), "{text}");
    }
}
