//! New keys: never a training key, of the same storage type, in the order in which they are made.
//!
//! Numbers start at the next power of ten above the largest training magnitude: they cannot collide, and all have the same
//! number of digits until the next power, so sorting them as text and as numbers gives one order. Text is a prefix that no
//! training key begins with, then a number padded with zeros, for the same reason.
//!
//! Keys below a user (baskets, event ids) are pairs of the user's number and their own number within the user, so a chunk of
//! users makes them without knowing any other chunk: `user·10ᵏ + own` or `PREFIXuser-own`.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float64Type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use twinmart_tables::{Error, Result};

/// Digits of a padded number: enough for ten billion keys; longer numbers are still unique.
const TEXT_DIGITS: usize = 10;

/// How the new keys of one column look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStyle {
    form: Form,
    /// Decimal digits of the own number below a user; 0 where keys stand alone.
    pair_digits: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// Counted from here.
    Number(i64),
    /// This prefix, then a number.
    Text(String),
}

impl KeyStyle {
    /// The style of keys that stand alone.
    pub(crate) fn alone(training: &ArrayRef) -> Result<KeyStyle> {
        Ok(KeyStyle { form: form(training)?, pair_digits: 0 })
    }

    /// The style of keys below a user, who has at most `most` of them.
    pub(crate) fn below_user(training: &ArrayRef, most: u64) -> Result<KeyStyle> {
        Ok(KeyStyle { form: form(training)?, pair_digits: most.max(1).ilog10() as u8 + 1 })
    }

    /// The keys of numbers, as a column of a type. A usage error where the type is too small.
    pub(crate) fn column(&self, numbers: &[u64], data_type: &DataType) -> Result<ArrayRef> {
        self.build(numbers.iter().map(|n| Some((*n, 0))), data_type)
    }

    /// The keys of (user, own number), null where none.
    pub(crate) fn pairs(
        &self,
        pairs: impl Iterator<Item = Option<(u64, u64)>>,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        self.build(pairs, data_type)
    }

    fn build(&self, keys: impl Iterator<Item = Option<(u64, u64)>>, data_type: &DataType) -> Result<ArrayRef> {
        let column: ArrayRef = match &self.form {
            Form::Number(first) => {
                let number = |(n, own)| self.number(*first, n, own).ok_or_else(too_large);
                Arc::new(keys.map(|k| k.map(number).transpose()).collect::<Result<Int64Array>>()?)
            }
            Form::Text(prefix) => {
                let digits = usize::from(self.pair_digits);
                let text = |(n, own)| match digits {
                    0 => format!("{prefix}{n:0TEXT_DIGITS$}"),
                    _ => format!("{prefix}{n:0TEXT_DIGITS$}-{own:0digits$}"),
                };
                Arc::new(keys.map(|k| k.map(text)).collect::<StringArray>())
            }
        };
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&column, data_type, &exact).map_err(|_| too_large())
    }

    fn number(&self, first: i64, n: u64, own: u64) -> Option<i64> {
        let scale = 10i64.checked_pow(self.pair_digits.into())?;
        let n = i64::try_from(n).ok()?.checked_mul(scale)?;
        first.checked_add(n)?.checked_add(i64::try_from(own).ok()?)
    }
}

fn too_large() -> Error {
    Error::usage("new keys do not fit the type of the column").remedy("cast the key to BIGINT or text in SQL").into()
}

fn form(training: &ArrayRef) -> Result<Form> {
    if training.data_type().is_numeric() {
        return first_number(training).map(Form::Number);
    }
    let is_text = match training.data_type() {
        DataType::Dictionary(_, values) => values.is_string(),
        t => t.is_string(),
    };
    if !is_text {
        return Err(Error::usage(format!("new keys cannot be made for the type {}", training.data_type()))
            .remedy("cast the key to BIGINT or text in SQL, or give the column another kind")
            .into());
    }
    let text = cast(training, &DataType::Utf8)?;
    Ok(Form::Text(unused_prefix(text.as_string::<i32>())))
}

fn first_number(training: &ArrayRef) -> Result<i64> {
    let numbers = cast(training, &DataType::Float64)?;
    let largest = numbers.as_primitive::<Float64Type>().iter().flatten().fold(0.0, |m: f64, x| m.max(x.abs()));
    let mut first = 1i64;
    while first as f64 <= largest {
        first = first.checked_mul(10).ok_or_else(too_large)?;
    }
    Ok(first)
}

/// The first of T, TW, TWI, TWIN, TWIN0, TWIN1, … that no training key begins with.
fn unused_prefix(training: &StringArray) -> String {
    let keys: BTreeSet<&str> = training.iter().flatten().collect();
    let begins = |prefix: &str| keys.range(prefix..).next().is_some_and(|k| k.starts_with(prefix));
    let short = (1..=4).map(|n| "TWIN"[..n].to_string());
    let mut candidates = short.chain((0u64..).map(|n| format!("TWIN{n}.")));
    candidates.find(|prefix| !begins(prefix)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int8Array, Int32Array, StringViewArray, UInt64Array};
    use proptest::prelude::*;

    fn texts(column: &ArrayRef) -> Vec<String> {
        let text = cast(column, &DataType::Utf8).unwrap();
        text.as_string::<i32>().iter().flatten().map(str::to_string).collect()
    }

    #[test]
    fn more_digits_than_a_number_can_have_are_no_style() {
        let style = |digits: u32| format!(r#"{{"form":{{"text":"T"}},"pair_digits":{digits}}}"#);
        assert!(serde_json::from_str::<KeyStyle>(&style(20)).is_ok());
        assert!(serde_json::from_str::<KeyStyle>(&style(65_536)).is_err());
    }

    #[test]
    fn numbers_start_above_every_magnitude() {
        let training: ArrayRef = Arc::new(Int32Array::from(vec![Some(-18_287), None, Some(12)]));
        let style = KeyStyle::alone(&training).unwrap();
        assert_eq!(texts(&style.column(&[0, 7], &DataType::Int32).unwrap()), ["100000", "100007"]);
        let training: ArrayRef = Arc::new(Float64Array::from(vec![100.0]));
        assert_eq!(texts(&KeyStyle::alone(&training).unwrap().column(&[1], &DataType::Float64).unwrap()), ["1001.0"]);
    }

    #[test]
    fn a_type_that_is_too_small_is_named_with_its_remedy() {
        let training: ArrayRef = Arc::new(Int8Array::from(vec![99]));
        let style = KeyStyle::alone(&training).unwrap();
        assert!(style.column(&[27], &DataType::Int8).is_ok());
        let error = style.column(&[28], &DataType::Int8).unwrap_err();
        assert!(matches!(error, Error::Usage(_)) && error.to_string().contains("BIGINT"), "{error}");
        let training: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(matches!(KeyStyle::alone(&training), Err(Error::Usage(_))));
        let training: ArrayRef = Arc::new(Int32Array::from(vec![600_000]));
        let pairs = KeyStyle::below_user(&training, 12).unwrap();
        assert!(pairs.pairs([Some((3, 11))].into_iter(), &DataType::Int32).is_ok());
        assert!(pairs.pairs([Some((30_000_000, 11))].into_iter(), &DataType::Int32).is_err());
    }

    #[test]
    fn other_types_are_refused_before_any_work() {
        let training = arrow::array::new_empty_array(&DataType::Boolean);
        assert!(KeyStyle::alone(&training).unwrap_err().to_string().contains("cast the key"));
    }

    proptest! {
        #[test]
        fn text_keys_are_new_and_in_order(training in prop::collection::vec("[TWIN0-9.]{0,7}", 0..60), n in 0u64..2_000_000_000) {
            let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(&training));
            let style = KeyStyle::alone(&column).unwrap();
            let made = texts(&style.column(&[n, n + 1], &DataType::Utf8View).unwrap());
            prop_assert!(made[0] < made[1]);
            prop_assert!(made.iter().all(|k| !training.contains(k)));
        }

        #[test]
        fn pairs_are_unique_in_every_type(most in 1u64..2000, a in (0u64..5000, 0u64..2000), b in (0u64..5000, 0u64..2000)) {
            prop_assume!(a != b);
            let (a, b) = ((a.0, a.1.min(most)), (b.0, b.1.min(most)));
            prop_assume!(a != b);
            let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![536_365]));
            let text: ArrayRef = Arc::new(StringArray::from(vec!["536365"]));
            for training in [numbers, text] {
                let style = KeyStyle::below_user(&training, most).unwrap();
                let made = texts(&style.pairs([Some(a), Some(b)].into_iter(), training.data_type()).unwrap());
                prop_assert_ne!(&made[0], &made[1]);
                let by_size = |k: &String| (k.len(), k.clone());
                prop_assert_eq!(a < b, by_size(&made[0]) < by_size(&made[1]));
            }
        }
    }
}
