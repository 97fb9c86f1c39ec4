//! Ordered columns (integers, numbers, days, moments, decimals) as `f64` and back, on the grid that their values lie on.
//!
//! Whole types are measured from an origin in steps: x = origin + step·n, with step the greatest common divisor of the
//! differences, so moments by the minute stay moments by the minute. Reals keep the number of decimals that they show
//! (prices: two). The distance to the origin is exact in `f64` up to 2⁵³ units.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinmart_tables::{ColumnKind, Error, Result};

/// More decimals than this are taken for none: the values are real numbers.
const MOST_DECIMALS: u32 = 8;

/// True where values of this kind and storage type have distances that mean something.
pub fn is_ordered(kind: ColumnKind, data_type: &DataType) -> bool {
    let stored =
        data_type.is_numeric() || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _));
    stored && (kind.is_ordered() || kind == ColumnKind::Geo)
}

/// The values of an ordered column in the number type that holds them exactly.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Integers, days, moments, in their own unit.
    Whole(Int64Array),
    /// Floating-point numbers and decimals; what is not finite is missing.
    Real(Float64Array),
}

impl Numbers {
    /// Reads a column for which [`is_ordered`] holds.
    pub fn of(array: &ArrayRef) -> Result<Numbers> {
        let data_type = array.data_type();
        if is_whole(data_type) {
            let exact = CastOptions { safe: false, ..CastOptions::default() };
            let whole = cast_with_options(&to_integer(array)?, &DataType::Int64, &exact).map_err(|_| {
                Error::data("a whole number is above 2⁶³").remedy("cast the column to DOUBLE or text in SQL")
            })?;
            return Ok(Numbers::Whole(whole.as_primitive::<Int64Type>().clone()));
        }
        if !data_type.is_numeric() {
            return Err(Error::data(format!("values of type {data_type} have no distances")).into());
        }
        let real = cast(array, &DataType::Float64)?;
        let finite = real.as_primitive::<Float64Type>().iter().map(|x| x.filter(|x| x.is_finite()));
        Ok(Numbers::Real(finite.collect()))
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Numbers::Whole(x) => x.len(),
            Numbers::Real(x) => x.len(),
        }
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
}

/// Days are counted in 32 bits; Arrow casts them to 64 bits by way of that count only.
fn to_integer(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(if array.data_type() == &DataType::Date32 { cast(array, &DataType::Int32)? } else { array.clone() })
}

/// The grid that the values of an ordered column lie on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grid {
    /// origin + step·n.
    Whole {
        /// Where positions are counted from.
        origin: i64,
        /// The distance between neighbours, at least 1.
        step: i64,
    },
    /// Numbers with at most this many decimals.
    Decimals(u32),
    /// Any number.
    Real,
}

impl Grid {
    /// The grid of whole values.
    pub fn of_whole(values: impl Iterator<Item = i64> + Clone) -> Grid {
        let origin = values.clone().min().unwrap_or(0);
        let step = values.fold(0, |step: u64, x| greatest_common_divisor(step, x.abs_diff(origin)));
        Grid::Whole { origin, step: i64::try_from(step).unwrap_or(1).max(1) }
    }

    /// The grid of real values.
    pub fn of_real(values: impl Iterator<Item = f64>) -> Grid {
        let mut decimals = 0;
        for x in values {
            while round_to(x, decimals) != x {
                decimals += 1;
                if decimals > MOST_DECIMALS {
                    return Grid::Real;
                }
            }
        }
        Grid::Decimals(decimals)
    }

    /// The grid of a column.
    pub fn of(numbers: &Numbers) -> Grid {
        match numbers {
            Numbers::Whole(x) => Grid::of_whole(x.iter().flatten()),
            Numbers::Real(x) => Grid::of_real(x.iter().flatten()),
        }
    }

    /// The position of a whole value: its distance to the origin.
    pub fn position_of_whole(&self, value: i64) -> f64 {
        match self {
            Grid::Whole { origin, .. } => (i128::from(value) - i128::from(*origin)) as f64,
            _ => value as f64,
        }
    }

    /// The whole value nearest to a position, within the type; 0 on a grid of reals.
    pub fn whole_at(&self, position: f64) -> i64 {
        match self {
            Grid::Whole { origin, .. } => {
                // In 128 bits: a column may span more than 2⁶³.
                let value = i128::from(*origin).saturating_add(self.round(position) as i128);
                value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
            }
            _ => 0,
        }
    }

    /// All positions of a column, NaN where missing.
    pub fn positions(&self, numbers: &Numbers) -> Vec<f64> {
        match numbers {
            Numbers::Whole(x) => x.iter().map(|x| x.map_or(f64::NAN, |x| self.position_of_whole(x))).collect(),
            Numbers::Real(x) => x.iter().map(|x| x.unwrap_or(f64::NAN)).collect(),
        }
    }

    /// The nearest position on the grid.
    pub fn round(&self, position: f64) -> f64 {
        match self {
            Grid::Whole { step, .. } => (position / *step as f64).round() * *step as f64,
            Grid::Decimals(decimals) => round_to(position, *decimals),
            Grid::Real => position,
        }
    }

    /// The distance between neighbouring positions; 0 on a grid of any numbers.
    pub fn step(&self) -> f64 {
        match self {
            Grid::Whole { step, .. } => *step as f64,
            Grid::Decimals(decimals) => 10f64.powi(-(*decimals as i32)),
            Grid::Real => 0.0,
        }
    }

    /// The first position on the grid that is not below another.
    pub fn round_up(&self, position: f64) -> f64 {
        let nearest = self.round(position);
        if nearest >= position { nearest } else { self.round(nearest + self.step()) }
    }

    /// The last position on the grid that is not above another.
    pub fn round_down(&self, position: f64) -> f64 {
        let nearest = self.round(position);
        if nearest <= position { nearest } else { self.round(nearest - self.step()) }
    }

    /// Positions (NaN = missing), rounded to the grid, as a column of a type.
    pub fn column(&self, positions: &[f64], data_type: &DataType) -> Result<ArrayRef> {
        let present = positions.iter().map(|p| Some(*p).filter(|p| !p.is_nan()));
        let numbers: ArrayRef = match self {
            Grid::Whole { .. } => Arc::new(present.map(|p| p.map(|p| self.whole_at(p))).collect::<Int64Array>()),
            _ => Arc::new(present.map(|p| p.map(|p| self.round(p))).collect::<Float64Array>()),
        };
        let numbers = if data_type == &DataType::Date32 { cast(&numbers, &DataType::Int32)? } else { numbers };
        Ok(cast(&numbers, data_type)?)
    }
}

fn round_to(x: f64, decimals: u32) -> f64 {
    let power = 10f64.powi(decimals as i32);
    let rounded = (x * power).round() / power;
    // Beyond 2⁵³/power the product loses digits (or overflows): such numbers are left as they are.
    if (x * power).abs() < 9e15 { rounded } else { x }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, TimestampMicrosecondArray, UInt16Array};
    use proptest::prelude::*;

    fn there_and_back(array: ArrayRef) {
        let numbers = Numbers::of(&array).unwrap();
        let grid = Grid::of(&numbers);
        assert_eq!(&grid.column(&grid.positions(&numbers), array.data_type()).unwrap(), &array);
    }

    #[test]
    fn every_ordered_type_comes_back_as_it_was() {
        there_and_back(Arc::new(Int64Array::from(vec![Some(i64::MAX - 5), None, Some(i64::MAX - 17)])));
        there_and_back(Arc::new(UInt16Array::from(vec![Some(65535), None, Some(0)])));
        there_and_back(Arc::new(Date32Array::from(vec![Some(-3), None, Some(20_000)])));
        let moments = vec![Some(1_700_000_000_000_000), None, Some(1_700_000_060_000_000)];
        there_and_back(Arc::new(TimestampMicrosecondArray::from(moments.clone())));
        there_and_back(Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("Europe/Berlin")));
        there_and_back(Arc::new(Float64Array::from(vec![Some(1.05), None, Some(-2e300)])));
        there_and_back(Arc::new(
            Decimal128Array::from(vec![Some(1995), None]).with_precision_and_scale(10, 2).unwrap(),
        ));
        there_and_back(Arc::new(Int64Array::from(vec![None, None])));
        let wide = 6_000_000_000_000_000_000;
        there_and_back(Arc::new(Int64Array::from(vec![-wide, 0, wide])));
    }

    #[test]
    fn whole_numbers_that_do_not_fit_are_refused() {
        let huge: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX]));
        assert!(Numbers::of(&huge).unwrap_err().to_string().contains("cast the column"));
    }

    #[test]
    fn grids_are_those_of_the_values() {
        assert_eq!(Grid::of_whole([120, 60, 300].into_iter()), Grid::Whole { origin: 60, step: 60 });
        assert_eq!(Grid::of_whole([7].into_iter()), Grid::Whole { origin: 7, step: 1 });
        assert_eq!(Grid::of_whole([i64::MIN, i64::MAX].into_iter()), Grid::Whole { origin: i64::MIN, step: 1 });
        assert_eq!(Grid::of_real([1.5, 2.25].into_iter()), Grid::Decimals(2));
        assert_eq!(Grid::of_real([1.5, std::f64::consts::PI].into_iter()), Grid::Real);
        assert_eq!(Grid::Whole { origin: 60, step: 60 }.round(95.0), 120.0);
    }

    #[test]
    fn text_is_never_ordered_whatever_the_project_says() {
        assert!(!is_ordered(ColumnKind::Integer, &DataType::Utf8));
        assert!(is_ordered(ColumnKind::Geo, &DataType::Float64));
        assert!(!is_ordered(ColumnKind::Category, &DataType::Int64));
    }

    proptest! {
        #[test]
        fn interpolated_cents_are_cents(a in 0i64..100_000, b in 0i64..100_000, share in 0.0f64..1.0) {
            let (a, b) = (a as f64 / 100.0, b as f64 / 100.0);
            let grid = Grid::of_real([a, b].into_iter());
            let cents = grid.round(a + share * (b - a)) * 100.0;
            prop_assert!((cents - cents.round()).abs() < 1e-6);
        }
    }
}
