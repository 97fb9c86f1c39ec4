//! Standardisation: fitted, serialisable, invertible transforms of one numeric column.
//!
//! | scaling | forward | parameters |
//! |---|---|---|
//! | z-score | (x − mean) / standard deviation (n − 1) | mean, deviation |
//! | min-max | (x − min) / (max − min) | min, max − min |
//! | robust | (x − median) / (Q3 − Q1) | median, Q3 − Q1 |
//! | quantile | F(x), linear between [`GRID`] quantiles | the quantiles at 0, 1/1000, …, 1 |
//!
//! Where the scale would be zero it is 1. Quantiles interpolate linearly between order statistics (Hyndman and Fan 1996,
//! type 7). The quantile transform inverts exactly within the fitted range; values outside are clamped to its ends.

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;
use twinmart_tables::{Error, Result, Scaling, Table};

/// Points of the quantile transform.
pub(crate) const GRID: usize = 1001;

/// A fitted transform of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The source or table whose column it is.
    pub target: String,
    /// The column.
    pub column: String,
    /// Which transform.
    pub scaling: Scaling,
    /// See the table above.
    pub parameters: Vec<f64>,
    /// The storage type before the transform, as Arrow writes it.
    pub data_type: String,
}

impl Fitted {
    /// The transform of one value.
    pub fn forward(&self, x: f64) -> f64 {
        match self.scaling {
            Scaling::Quantile => distribution(&self.parameters, x),
            _ => (x - self.shift()) / self.scale(),
        }
    }

    /// The value behind a transformed one.
    pub fn backward(&self, z: f64) -> f64 {
        match self.scaling {
            Scaling::Quantile => quantile(&self.parameters, z),
            _ => z * self.scale() + self.shift(),
        }
    }

    /// The transform of a column; the result is Float64.
    pub fn apply(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let numbers = cast(column, &DataType::Float64)?;
        Ok(Arc::new(numbers.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| self.forward(x))))
    }

    /// The column behind a transformed one, in its first storage type; integers are rounded.
    pub fn invert(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let data_type = DataType::from_str(&self.data_type)
            .map_err(|e| Error::data(format!("the transform names no storage type ({e})")).column(&self.column))?;
        let numbers = cast(column, &DataType::Float64)?;
        let round = |x: f64| if data_type.is_integer() { x.round() } else { x };
        let back: Float64Array = numbers.as_primitive::<Float64Type>().unary(|z| round(self.backward(z)));
        let options = CastOptions { safe: false, ..CastOptions::default() };
        Ok(cast_with_options(&back, &data_type, &options)?)
    }

    fn shift(&self) -> f64 {
        self.parameters.first().copied().unwrap_or(0.0)
    }

    fn scale(&self) -> f64 {
        self.parameters.get(1).copied().filter(|s| *s > 0.0 && s.is_finite()).unwrap_or(1.0)
    }
}

/// Undoes the transforms of a table's columns (those whose `target` is the table), so that a twin has real units.
pub fn invert(transforms: &[Fitted], table: &Table) -> Result<Table> {
    let mine = |field: &Field| transforms.iter().find(|t| t.target == table.name && t.column == *field.name());
    let columns: Vec<Option<&Fitted>> = table.schema.fields().iter().map(|f| mine(f)).collect();
    let mut fields = Vec::new();
    for (field, fitted) in table.schema.fields().iter().zip(&columns) {
        let data_type = match fitted {
            Some(f) => f.invert(&arrow::array::new_empty_array(field.data_type()))?.data_type().clone(),
            None => field.data_type().clone(),
        };
        fields.push(Field::new(field.name(), data_type, field.is_nullable()));
    }
    let schema = Arc::new(Schema::new(fields));
    let mut batches = Vec::with_capacity(table.batches.len());
    for batch in &table.batches {
        let restore = |(array, fitted): (&ArrayRef, &Option<&Fitted>)| match fitted {
            Some(f) => f.invert(array),
            None => Ok(array.clone()),
        };
        let arrays = batch.columns().iter().zip(&columns).map(restore).collect::<Result<Vec<_>>>()?;
        batches.push(arrow::array::RecordBatch::try_new(schema.clone(), arrays)?);
    }
    let mut out = table.with_batches(batches);
    out.schema = schema;
    Ok(out)
}

/// F(x) on the grid; on a flat stretch of the grid (many equal values) the middle of its probabilities.
fn distribution(grid: &[f64], x: f64) -> f64 {
    if x.is_nan() || grid.len() < 2 {
        return if x.is_nan() { x } else { 0.5 };
    }
    let last = (grid.len() - 1) as f64;
    let below = grid.partition_point(|q| *q < x);
    let not_above = grid.partition_point(|q| *q <= x);
    if below < not_above {
        return (below + not_above - 1) as f64 / 2.0 / last;
    }
    if below == 0 {
        return 0.0;
    }
    if below == grid.len() {
        return 1.0;
    }
    let (low, high) = (grid[below - 1], grid[below]);
    (below as f64 - 1.0 + (x - low) / (high - low)) / last
}

/// The quantile at probability `p` on the grid.
fn quantile(grid: &[f64], p: f64) -> f64 {
    let Some(last) = grid.len().checked_sub(1) else { return f64::NAN };
    if p.is_nan() {
        return p;
    }
    let position = p.clamp(0.0, 1.0) * last as f64;
    let low = (position.floor() as usize).min(last);
    let share = position - low as f64;
    let high = grid[(low + 1).min(last)];
    // Written so that equal ends give exactly that value.
    grid[low] + share * (high - grid[low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int32Array};
    use proptest::prelude::*;

    fn fitted(scaling: Scaling, parameters: Vec<f64>) -> Fitted {
        Fitted { target: "t".into(), column: "x".into(), scaling, parameters, data_type: "Float64".into() }
    }

    #[test]
    fn closed_forms() {
        assert_eq!(fitted(Scaling::ZScore, vec![10.0, 2.0]).forward(14.0), 2.0);
        assert_eq!(fitted(Scaling::MinMax, vec![10.0, 20.0]).forward(15.0), 0.25);
        assert_eq!(fitted(Scaling::Robust, vec![5.0, 0.0]).forward(6.0), 1.0);
        let grid = fitted(Scaling::Quantile, vec![0.0, 1.0, 1.0, 1.0, 5.0]);
        assert_eq!(grid.forward(1.0), 0.5);
        assert_eq!(grid.forward(3.0), 0.875);
        assert_eq!(grid.forward(-7.0), 0.0);
        assert_eq!(grid.backward(0.875), 3.0);
        assert_eq!(grid.backward(0.5), 1.0);
    }

    #[test]
    fn integers_come_back_as_they_were() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(-40_000)]));
        let mut transform = fitted(Scaling::ZScore, vec![1.0 / 3.0, 7.7]);
        transform.data_type = column.data_type().to_string();
        let back = transform.invert(&transform.apply(&column).unwrap()).unwrap();
        assert_eq!(&back, &column);
        assert_eq!(serde_json::from_str::<Fitted>(&serde_json::to_string(&transform).unwrap()).unwrap(), transform);
    }

    proptest! {
        #[test]
        fn every_scaling_inverts(mut grid in prop::collection::vec(-1e6..1e6f64, 2..40), share in 0.0..1.0f64) {
            grid.sort_by(f64::total_cmp);
            let (low, high) = (grid[0], grid[grid.len() - 1]);
            let x = low + share * (high - low);
            for (scaling, parameters) in [
                (Scaling::ZScore, vec![low, high - low]),
                (Scaling::MinMax, vec![low, high - low]),
                (Scaling::Robust, vec![low, 0.0]),
                (Scaling::Quantile, grid.clone()),
            ] {
                let f = fitted(scaling, parameters);
                let back = f.backward(f.forward(x));
                prop_assert!((back - x).abs() <= 1e-9 * (1.0 + x.abs() + high.abs() + low.abs()), "{:?} {} {}", scaling, x, back);
            }
            let f = fitted(Scaling::Quantile, grid.clone());
            prop_assert!(grid.windows(2).all(|w| f.forward(w[0]) <= f.forward(w[1])));
        }
    }
}
