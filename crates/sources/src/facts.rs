//! What the values of a column say, gathered in one pass and bounded memory: the ground of kinds and profiles.

use crate::sketch::{Distinct, Sample, TopValues, hash_of};
use crate::statistics::{Moments, numbers};
use crate::values::Shape;
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampMicrosecondType};
use twinmart_tables::Result;

/// Distinct values counted exactly, and values whose counts are exact.
const DISTINCT_LIMIT: usize = 1 << 16;
/// Numbers kept for the median.
const SAMPLE_LIMIT: usize = 1 << 16;
/// Words that mean «missing» in files where empty fields would do.
const MISSING_WORDS: [&str; 9] = ["na", "n/a", "nan", "null", "none", "nil", "?", "-", "missing"];

/// Facts about one column.
#[derive(Debug, Clone)]
pub(crate) struct ColumnFacts {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) rows: u64,
    pub(crate) missing: u64,
    pub(crate) distinct: Distinct,
    pub(crate) top: TopValues,
    pub(crate) numbers: Option<NumberFacts>,
    pub(crate) times: Option<TimeFacts>,
    pub(crate) text: Option<TextFacts>,
}

/// Facts about the values of a numeric column.
#[derive(Debug, Clone)]
pub(crate) struct NumberFacts {
    /// Of the finite values.
    pub(crate) moments: Moments,
    pub(crate) sample: Sample,
    pub(crate) negative: u64,
    pub(crate) zero: u64,
    pub(crate) fractional: u64,
    pub(crate) not_finite: u64,
}

/// Facts about the values of a date or timestamp column; microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct TimeFacts {
    pub(crate) range: Option<(i64, i64)>,
    pub(crate) before_1900: u64,
    pub(crate) in_future: u64,
}

/// Facts about the values of a text column.
#[derive(Debug, Clone)]
pub(crate) struct TextFacts {
    pub(crate) characters: u64,
    pub(crate) words: u64,
    /// Values that read as numbers.
    pub(crate) numeric: u64,
    /// Values that read as ISO dates or times.
    pub(crate) times: u64,
    /// Values with spaces at an end.
    pub(crate) padded: u64,
    /// Values such as `NA`.
    pub(crate) missing_words: u64,
    /// Values without regard to letter case.
    pub(crate) folded: Distinct,
}

/// 1900-01-01 in microseconds since 1970.
const YEAR_1900: i64 = -2_208_988_800_000_000;

impl ColumnFacts {
    pub(crate) fn new(field: &Field) -> ColumnFacts {
        let data_type = field.data_type().clone();
        let is_time = matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _));
        ColumnFacts {
            name: field.name().clone(),
            rows: 0,
            missing: 0,
            distinct: Distinct::new(DISTINCT_LIMIT),
            top: TopValues::new(DISTINCT_LIMIT),
            numbers: data_type.is_numeric().then(NumberFacts::new),
            times: is_time.then(TimeFacts::default),
            text: (data_type == DataType::Utf8).then(TextFacts::new),
            data_type,
        }
    }

    /// Present values.
    pub(crate) fn present(&self) -> u64 {
        self.rows - self.missing
    }

    /// True where every present value occurs once, as far as the sketch can tell.
    pub(crate) fn is_unique(&self) -> bool {
        self.present() > 0 && self.distinct.repeats() == 0
    }

    /// Adds a batch of the column; `now` (microseconds) divides past from future. Returns the values as text.
    pub(crate) fn add(&mut self, column: &ArrayRef, now: i64) -> Result<StringArray> {
        self.rows += column.len() as u64;
        self.missing += column.logical_null_count() as u64;
        let text = cast(column, &DataType::Utf8)?.as_string::<i32>().clone();
        for value in text.iter().flatten() {
            let hash = hash_of(value.as_bytes());
            self.distinct.add(hash);
            self.top.add(hash, value);
        }
        if let Some(facts) = &mut self.numbers {
            numbers(column)?.iter().flatten().for_each(|x| facts.add(x));
        }
        if let Some(facts) = &mut self.times {
            let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            micros.as_primitive::<TimestampMicrosecondType>().iter().flatten().for_each(|t| facts.add(t, now));
        }
        if let Some(facts) = &mut self.text {
            text.iter().flatten().for_each(|t| facts.add(t));
        }
        Ok(text)
    }
}

impl NumberFacts {
    fn new() -> NumberFacts {
        let (moments, sample) = (Moments::default(), Sample::new(SAMPLE_LIMIT));
        NumberFacts { moments, sample, negative: 0, zero: 0, fractional: 0, not_finite: 0 }
    }

    fn add(&mut self, x: f64) {
        if !x.is_finite() {
            self.not_finite += 1;
            return;
        }
        self.moments.add(x);
        self.sample.add(x);
        self.negative += u64::from(x < 0.0);
        self.zero += u64::from(x == 0.0);
        self.fractional += u64::from(x.fract() != 0.0);
    }
}

impl TimeFacts {
    fn add(&mut self, time: i64, now: i64) {
        let (low, high) = self.range.unwrap_or((time, time));
        self.range = Some((low.min(time), high.max(time)));
        self.before_1900 += u64::from(time < YEAR_1900);
        self.in_future += u64::from(time > now);
    }
}

impl TextFacts {
    fn new() -> TextFacts {
        let folded = Distinct::new(DISTINCT_LIMIT);
        TextFacts { characters: 0, words: 0, numeric: 0, times: 0, padded: 0, missing_words: 0, folded }
    }

    fn add(&mut self, value: &str) {
        let trimmed = value.trim();
        self.characters += value.chars().count() as u64;
        self.words += trimmed.split_whitespace().count() as u64;
        self.padded += u64::from(trimmed.len() < value.len());
        self.missing_words += u64::from(MISSING_WORDS.iter().any(|w| trimmed.eq_ignore_ascii_case(w)));
        match Shape::of(trimmed) {
            Shape::Integer | Shape::Number => self.numeric += 1,
            Shape::Date | Shape::Moment | Shape::ZonedMoment => self.times += 1,
            _ => {}
        }
        self.folded.add(hash_of(trimmed.to_lowercase().as_bytes()));
    }
}
