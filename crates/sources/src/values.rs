//! Text values and what they can be read as: the smallest [`Shape`] that holds every value of a column, and the
//! builder that then reads them.
//!
//! Inference and reading use the same parsers, so a value that was seen during inference always fits.

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use std::sync::Arc;

/// What all values of a column can be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No value yet.
    Missing,
    /// `true`, `false`, in any case.
    Boolean,
    /// Fits 64 bits and has no leading zero; longer digit strings stay text, so no digit is lost.
    Integer,
    /// A decimal number, NaN or infinity.
    Number,
    /// `2011-12-09`.
    Date,
    /// `2011-12-09 12:50`, `2011-12-09T12:50:00.123456`.
    Moment,
    /// The same with `Z` or `+01:00`.
    ZonedMoment,
    /// Anything else.
    Text,
}

impl Shape {
    /// The shape of one value.
    pub(crate) fn of(text: &str) -> Shape {
        match text.as_bytes().first() {
            None => Shape::Missing,
            Some(b'-' | b'.' | b'0'..=b'9') => {
                if parse_integer(text).is_some() {
                    Shape::Integer
                } else if parse_number(text).is_some() {
                    Shape::Number
                } else {
                    Shape::of_time(text)
                }
            }
            Some(_) if parse_boolean(text).is_some() => Shape::Boolean,
            Some(_) if parse_number(text).is_some() => Shape::Number,
            Some(_) => Shape::Text,
        }
    }

    /// The shape of a value that is text already (a JSON string): a time or text.
    pub(crate) fn of_time(text: &str) -> Shape {
        match parse_moment(text) {
            Some(Moment { zoned: true, .. }) => Shape::ZonedMoment,
            Some(Moment { day_only: true, .. }) => Shape::Date,
            Some(_) => Shape::Moment,
            None if text.is_empty() => Shape::Missing,
            None => Shape::Text,
        }
    }

    /// The smallest shape that holds both.
    pub(crate) fn join(self, other: Shape) -> Shape {
        use Shape as S;
        match (self, other) {
            (a, b) if a == b => a,
            (S::Missing, x) | (x, S::Missing) => x,
            (S::Integer, S::Number) | (S::Number, S::Integer) => S::Number,
            (S::Date, S::Moment) | (S::Moment, S::Date) => S::Moment,
            _ => S::Text,
        }
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Shape::Boolean => DataType::Boolean,
            Shape::Integer => DataType::Int64,
            Shape::Number => DataType::Float64,
            Shape::Date => DataType::Date32,
            Shape::Moment => DataType::Timestamp(TimeUnit::Microsecond, None),
            Shape::ZonedMoment => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Shape::Missing | Shape::Text => DataType::Utf8,
        }
    }
}

fn parse_boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // A leading zero (or a minus before zero) would be lost in a number.
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == text || digits != "0");
    if plain && !has_leading_zero(digits) { text.parse().ok() } else { None }
}

fn parse_number(text: &str) -> Option<f64> {
    let body = text.strip_prefix('-').unwrap_or(text);
    if matches!(body.to_ascii_lowercase().as_str(), "nan" | "inf" | "infinity") {
        return text.parse().ok();
    }
    let only_digits = body.bytes().all(|b| b.is_ascii_digit());
    let charset = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let too_long = only_digits && text.parse::<i64>().is_err();
    if !charset || too_long || has_leading_zero(body) || body.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

fn has_leading_zero(digits: &str) -> bool {
    matches!(digits.as_bytes(), [b'0', second, ..] if second.is_ascii_digit())
}

/// A parsed time.
struct Moment {
    /// Since 1970-01-01 00:00, UTC where zoned.
    microseconds: i64,
    zoned: bool,
    day_only: bool,
}

/// Reads `YYYY-MM-DD[( |T)hh:mm[:ss[.ffffff]][Z|±hh[:]mm]]`, and nothing else.
fn parse_moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes.len() > 35 || !text.is_ascii() || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |part: &str| if part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<u32>().ok() } else { None };
    let date = NaiveDate::from_ymd_opt(number(&text[..4])? as i32, number(&text[5..7])?, number(&text[8..10])?)?;
    if bytes.len() == 10 {
        let microseconds = date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        return Some(Moment { microseconds, zoned: false, day_only: true });
    }
    if !matches!(bytes[10], b' ' | b'T') {
        return None;
    }
    let (clock, shift) = split_zone(&text[11..])?;
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (parts.next().filter(|p| p.len() == 2)?, parts.next().filter(|p| p.len() == 2)?);
    let (second, fraction) = parts.next().unwrap_or("00").split_once('.').unwrap_or((parts_second(clock), "0"));
    let fraction = fraction.trim_end_matches('0');
    if second.len() != 2 || fraction.len() > 6 {
        return None;
    }
    let micro = number(&format!("{fraction:0<6}"))?;
    let time = NaiveTime::from_hms_micro_opt(number(hour)?, number(minute)?, number(second)?, micro)?;
    let local = NaiveDateTime::new(date, time).and_utc().timestamp_micros();
    let microseconds = local.checked_sub(shift.unwrap_or(0) * 1_000_000)?;
    Some(Moment { microseconds, zoned: shift.is_some(), day_only: false })
}

/// The seconds of `hh:mm[:ss]` without a fraction.
fn parts_second(clock: &str) -> &str {
    clock.splitn(3, ':').nth(2).unwrap_or("00")
}

/// Splits `hh:mm:ssZ` or `hh:mm:ss+01:00` into clock and shift in seconds.
fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, Some(0)));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, None)) };
    let (clock, zone) = text.split_at(at);
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (digits[..2].parse::<i64>().ok()?, digits[2..].parse::<i64>().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    if hours > 14 || minutes > 59 {
        return None;
    }
    Some((clock, Some(if zone.starts_with('-') { -seconds } else { seconds })))
}

/// Collects the values of one column of a batch.
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Date(Date32Builder),
    Moment(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl ColumnBuilder {
    pub(crate) fn new(shape: Shape) -> ColumnBuilder {
        match shape {
            Shape::Boolean => ColumnBuilder::Boolean(BooleanBuilder::new()),
            Shape::Integer => ColumnBuilder::Integer(Int64Builder::new()),
            Shape::Number => ColumnBuilder::Number(Float64Builder::new()),
            Shape::Date => ColumnBuilder::Date(Date32Builder::new()),
            Shape::Moment => ColumnBuilder::Moment(TimestampMicrosecondBuilder::new()),
            Shape::ZonedMoment => ColumnBuilder::Moment(TimestampMicrosecondBuilder::new().with_timezone("+00:00")),
            Shape::Missing | Shape::Text => ColumnBuilder::Text(StringBuilder::new()),
        }
    }

    /// Appends a value; an empty one is missing. False where it does not fit (the file changed since inference).
    pub(crate) fn append(&mut self, text: &str) -> bool {
        let missing = text.is_empty();
        let mut fits = true;
        let mut keep = |found: bool| fits = found || missing;
        match self {
            ColumnBuilder::Boolean(b) => {
                let value = parse_boolean(text);
                keep(value.is_some());
                b.append_option(value);
            }
            ColumnBuilder::Integer(b) => {
                let value = parse_integer(text);
                keep(value.is_some());
                b.append_option(value);
            }
            ColumnBuilder::Number(b) => {
                let value = parse_number(text);
                keep(value.is_some());
                b.append_option(value);
            }
            ColumnBuilder::Date(b) => {
                let day = parse_moment(text).filter(|m| m.day_only);
                let day = day.and_then(|m| i32::try_from(m.microseconds.div_euclid(86_400_000_000)).ok());
                keep(day.is_some());
                b.append_option(day);
            }
            ColumnBuilder::Moment(b) => {
                let value = parse_moment(text).map(|m| m.microseconds);
                keep(value.is_some());
                b.append_option(value);
            }
            ColumnBuilder::Text(b) => b.append_option((!missing).then_some(text)),
        }
        fits
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Boolean(b) => Arc::new(b.finish()),
            ColumnBuilder::Integer(b) => Arc::new(b.finish()),
            ColumnBuilder::Number(b) => Arc::new(b.finish()),
            ColumnBuilder::Date(b) => Arc::new(b.finish()),
            ColumnBuilder::Moment(b) => Arc::new(b.finish()),
            ColumnBuilder::Text(b) => Arc::new(b.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_take_the_shape_a_reader_expects() {
        let cases = [
            (Shape::Missing, vec![""]),
            (Shape::Boolean, vec!["true", "False", "TRUE"]),
            (Shape::Integer, vec!["0", "-17", "9223372036854775807"]),
            (Shape::Number, vec!["1.5", "-.5", "1e5", "-0", "NaN", "-inf", "0.25", "5.", "-1E-3"]),
            (Shape::Date, vec!["2011-12-09"]),
            (Shape::Moment, vec!["2011-12-09 12:50", "2011-12-09T12:50:01", "2011-12-09T12:50:01.120000000"]),
            (Shape::ZonedMoment, vec!["2011-12-09T12:50:00Z", "2011-12-09T12:50:00.5+01:00", "2011-12-09 12:50-0230"]),
            (
                Shape::Text,
                vec![
                    "007",
                    "9223372036854775808",
                    "+49 30 1234",
                    " 5",
                    "1,5",
                    "85123A",
                    "2011-13-09",
                    "2011-12-09 25:00",
                    "12/9/2011",
                    "-",
                    ".",
                    "e",
                    "1-2",
                    "2011-12-09 12:5",
                    "2011-12-09T12:50:00+99:00",
                ],
            ),
        ];
        for (shape, values) in cases {
            for value in values {
                assert_eq!(Shape::of(value), shape, "{value}");
            }
        }
    }

    #[test]
    fn moments_count_from_1970_in_utc() {
        let micros = |t: &str| parse_moment(t).unwrap().microseconds;
        assert_eq!(micros("1970-01-02"), 86_400_000_000);
        assert_eq!(micros("1970-01-01T01:00:00.25+01:00"), 250_000);
        assert_eq!(micros("1969-12-31 23:59"), -60_000_000);
    }

    proptest! {
        #[test]
        fn a_value_fits_every_shape_that_joins_its_own(a in "[-0-9a-zA-Z:.+ T]{0,12}", b in "[-0-9.eNaif]{0,6}") {
            for value in [&a, &b] {
                let shape = Shape::of(&a).join(Shape::of(&b));
                prop_assert!(ColumnBuilder::new(shape).append(value), "{} as {:?}", value, shape);
            }
            prop_assert_eq!(Shape::of(&a).join(Shape::of(&b)), Shape::of(&b).join(Shape::of(&a)));
        }

        #[test]
        fn integers_and_numbers_keep_their_value(n: i64, x in proptest::num::f64::NORMAL) {
            prop_assert_eq!(parse_integer(&n.to_string()), Some(n));
            prop_assert_eq!(parse_number(&format!("{x:e}")), Some(x));
        }
    }
}
