//! What is true of rows.

use super::{Expression, Kind, Literal, Logic, Operator, Sign};
use crate::Result;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::compute::kernels::boolean::{and_kleene, not, or_kleene};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::compute::{cast, is_null};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Microseconds of a day.
const DAY: f64 = 86_400e6;
/// How far apart computed numbers may be that count as equal, as a share of their size.
const ROUNDING: f64 = 1e-12;
/// The same where a column holds numbers of four bytes or less.
const ROUNDING_OF_SHORT: f64 = 1e-6;
/// Decimals that are looked for, at most.
const MOST_DECIMALS: i32 = 6;

/// How many decimals the values of columns are written with, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decimals(BTreeMap<String, u8>);

impl Decimals {
    /// Looks at all values of a column of numbers: with how many decimals, up to six, they are written. Columns of other types
    /// and numbers with more decimals are not noted.
    pub fn note(&mut self, name: &str, values: &[ArrayRef]) -> Result<()> {
        let Some(Kind::Number) = values.first().and_then(|v| Kind::of(v.data_type())) else { return Ok(()) };
        let mut decimals = 0;
        for part in values {
            if part.data_type().is_integer() {
                continue;
            }
            for number in numbers(part)?.iter().flatten() {
                while decimals <= MOST_DECIMALS && !is_written_with(number, decimals) {
                    decimals += 1;
                }
            }
        }
        if decimals <= MOST_DECIMALS {
            self.0.insert(name.to_string(), decimals as u8);
        }
        Ok(())
    }

    fn of(&self, sum: &Expression) -> Option<i32> {
        if let Expression::Column(name) = sum { self.0.get(name).map(|d| i32::from(*d)) } else { None }
    }
}

/// True where a number has no more than so many decimals, but for the rounding of binary fractions.
fn is_written_with(number: f64, decimals: i32) -> bool {
    let scaled = number * 10f64.powi(decimals);
    (scaled - scaled.round()).abs() <= hair(scaled)
}

/// The rows that are looked at.
pub(super) struct Rows<'a> {
    pub(super) columns: &'a [ArrayRef],
    pub(super) schema: &'a Schema,
    pub(super) decimals: &'a Decimals,
    pub(super) rows: usize,
}

/// What is true of each row; null where it is unknown.
pub(super) fn truth(logic: &Logic, rows: &Rows) -> Result<BooleanArray> {
    let joined = |parts: &[Logic], join: fn(&BooleanArray, &BooleanArray) -> _| -> Result<BooleanArray> {
        let mut all = truth(&parts[0], rows)?;
        for part in &parts[1..] {
            all = join(&all, &truth(part, rows)?)?;
        }
        Ok(all)
    };
    match logic {
        Logic::And(parts) => joined(parts, and_kleene),
        Logic::Or(parts) => joined(parts, or_kleene),
        Logic::Not(part) => Ok(not(&truth(part, rows)?)?),
        Logic::Missing(column) => missing(rows.column(column)?),
        Logic::In(sum, values) => {
            let one = |value: &Literal| compared(sum, Sign::Equal, &Expression::Literal(value.clone()), rows);
            let mut any = one(&values[0])?;
            for value in &values[1..] {
                any = or_kleene(&any, &one(value)?)?;
            }
            Ok(any)
        }
        Logic::Compared(left, sign, right) => compared(left, *sign, right, rows),
    }
}

fn compared(left: &Expression, sign: Sign, right: &Expression, rows: &Rows) -> Result<BooleanArray> {
    let kinds = (rows.kind(left)?, rows.kind(right)?);
    if kinds == (Kind::Text, Kind::Text) {
        let wanted = sign == Sign::Equal;
        let (left, right) = if matches!(left, Expression::Literal(_)) { (right, left) } else { (left, right) };
        if let Expression::Literal(Literal::Text(text)) = right {
            let same = |value: Option<&str>| value.map(|value| (value == text) == wanted);
            return Ok(texts(left, rows)?.iter().map(same).collect());
        }
        let (left, right) = (texts(left, rows)?, texts(right, rows)?);
        return Ok(left.iter().zip(right.iter()).map(|(a, b)| Some((a? == b?) == wanted)).collect());
    }
    let moments = kinds.0 == Kind::Moment || kinds.1 == Kind::Moment;
    let computed =
        |sum: &Expression| matches!(sum, Expression::Computed(..) | Expression::Round(..) | Expression::Negative(_));
    let relative = match computed(left) || computed(right) {
        true if is_short(left, rows) || is_short(right, rows) => ROUNDING_OF_SHORT,
        true => ROUNDING,
        false => 0.0,
    };
    let decimals = match (computed(left), computed(right)) {
        (false, true) => rows.decimals.of(left),
        (true, false) => rows.decimals.of(right),
        _ => None,
    };
    // A hair above half a unit, for the rounding of binary fractions.
    let unit = decimals.filter(|_| !moments).map_or(0.0, |d| 0.5 * 10f64.powi(-d) * (1.0 + 1e-6));
    let (left, right) = (numbers_of(left, moments, rows)?, numbers_of(right, moments, rows)?);
    // Moments are whole microseconds.
    let of_moments = if relative > 0.0 { 0.5 } else { 0.0 };
    let test = |(a, b): (Option<f64>, Option<f64>)| {
        let (a, b) = (a?, b?);
        let near = if moments { of_moments } else { relative * a.abs().max(b.abs()) };
        Some(match sign {
            Sign::Equal => (a - b).abs() <= near.max(unit),
            Sign::Unequal => (a - b).abs() > near.max(unit),
            Sign::AtMost => a <= b + near,
            Sign::Above => a > b + near,
            Sign::AtLeast => a >= b - near,
            Sign::Below => a < b - near,
        })
    };
    Ok(left.iter().zip(right.iter()).map(test).collect())
}

/// True where a column of it holds numbers of four bytes or less with decimals.
fn is_short(sum: &Expression, rows: &Rows) -> bool {
    let mut names = Vec::new();
    sum.columns(&mut names);
    let short = |name: &&str| {
        let field = rows.schema.field_with_name(name);
        field.is_ok_and(|f| matches!(f.data_type(), DataType::Float32 | DataType::Float16))
    };
    names.iter().any(short)
}

/// The values of a formula in the type of a column; see [`super::Constraint::compute`].
pub(super) fn computed(column: &str, formula: &Expression, rows: &Rows) -> Result<ArrayRef> {
    let data_type = rows.schema.field(rows.schema.index_of(column)?).data_type();
    match Kind::of(data_type) {
        Some(Kind::Text) | None => {
            let values: ArrayRef = Arc::new(texts(formula, rows)?);
            Ok(cast(&values, data_type)?)
        }
        Some(Kind::Moment) => {
            let ticks = numbers_of(formula, true, rows)?;
            let ticks: arrow::array::Int64Array = ticks.iter().map(|t| t.map(|t| t.round() as i64)).collect();
            let zone = if let DataType::Timestamp(_, zone) = data_type { zone.clone() } else { None };
            let moments = cast(&ticks, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
            Ok(cast(&moments, data_type)?)
        }
        Some(Kind::Number) => {
            let decimals = rows.decimals.0.get(column).map(|d| i32::from(*d));
            let round = |x: f64| decimals.map_or(x, |d| rounded(x, d));
            let values: ArrayRef = Arc::new(numbers_of(formula, false, rows)?.unary::<_, Float64Type>(round));
            Ok(cast(&values, data_type)?)
        }
    }
}

/// A number rounded to decimals, halves away from zero; a number that is half but for the rounding of its binary fraction is half.
fn rounded(x: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    let scaled = x * unit;
    (scaled + hair(scaled) * scaled.signum()).round() / unit
}

/// What the rounding of binary fractions may have changed in a number.
fn hair(number: f64) -> f64 {
    1e-12 * number.abs().max(1e3)
}

impl Rows<'_> {
    fn column(&self, name: &str) -> Result<&ArrayRef> {
        Ok(&self.columns[self.schema.index_of(name)?])
    }

    fn kind(&self, sum: &Expression) -> Result<Kind> {
        sum.kind(self.schema).map_err(|what| crate::Error::usage(what).into())
    }
}

fn missing(column: &ArrayRef) -> Result<BooleanArray> {
    if !column.data_type().is_floating() {
        return Ok(is_null(&column)?);
    }
    Ok(numbers(column)?.iter().map(|x| Some(x.is_none())).collect())
}

fn texts(sum: &Expression, rows: &Rows) -> Result<StringArray> {
    Ok(match sum {
        Expression::Column(name) => cast(rows.column(name)?, &DataType::Utf8)?.as_string::<i32>().clone(),
        Expression::Literal(Literal::Text(text)) => StringArray::from_iter_values(std::iter::repeat_n(text, rows.rows)),
        _ => return Err(crate::Error::usage("a text cannot be computed").into()),
    })
}

/// Numbers, or moments in microseconds since 1970.
fn numbers_of(sum: &Expression, moments: bool, rows: &Rows) -> Result<Float64Array> {
    let constant = |value: Option<f64>| Float64Array::from_iter(std::iter::repeat_n(value, rows.rows));
    Ok(match sum {
        Expression::Column(name) => numbers(rows.column(name)?)?,
        Expression::Literal(Literal::Number(number)) => constant(Some(*number)),
        Expression::Literal(Literal::Text(text)) => constant(moment_of(text).filter(|_| moments)),
        Expression::Negative(of) => numbers_of(of, false, rows)?.unary(|x| -x),
        Expression::Round(of, digits) => numbers_of(of, false, rows)?.unary(|x| rounded(x, i32::from(*digits))),
        Expression::Computed(left, operator, right) => {
            let kinds = (rows.kind(left)?, rows.kind(right)?);
            let (a, b) = (numbers_of(left, moments, rows)?, numbers_of(right, moments, rows)?);
            let of = |a: f64, b: f64| match (operator, kinds) {
                (Operator::Minus, (Kind::Moment, Kind::Moment)) => (a - b) / DAY,
                (Operator::Plus, (Kind::Moment, _)) => a + b * DAY,
                (Operator::Minus, (Kind::Moment, _)) => a - b * DAY,
                (Operator::Plus, _) => a + b,
                (Operator::Minus, _) => a - b,
                (Operator::Times, _) => a * b,
                (Operator::Over, _) => a / b,
            };
            let value = |(a, b): (Option<f64>, Option<f64>)| Some(of(a?, b?)).filter(|x| x.is_finite());
            a.iter().zip(b.iter()).map(value).collect()
        }
    })
}

/// A column of numbers or moments (in microseconds since 1970) as `f64`; what is no finite number is missing.
pub fn numbers(column: &ArrayRef) -> Result<Float64Array> {
    let is_moment = |t: &DataType| Kind::of(t) == Some(Kind::Moment);
    if is_moment(column.data_type()) {
        let zone = if let DataType::Timestamp(_, zone) = column.data_type() { zone.clone() } else { None };
        let ticks = cast(&cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))?, &DataType::Int64)?;
        return Ok(ticks.as_primitive::<Int64Type>().unary(|t| t as f64));
    }
    let numbers = cast(column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    if numbers.values().iter().all(|x| x.is_finite()) {
        return Ok(numbers.clone());
    }
    Ok(numbers.iter().map(|x| x.filter(|x| x.is_finite())).collect())
}

/// A moment that a text says, in microseconds since 1970.
pub(super) fn moment_of(text: &str) -> Option<f64> {
    string_to_timestamp_nanos(text.trim()).ok().map(|nanos| (nanos / 1_000) as f64)
}
