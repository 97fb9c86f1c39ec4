//! Statistics that cleaning fits: moments in one streaming pass, exact quantiles by an external sort.

use crate::engine::Engine;
use crate::rows::Rows;
use crate::source::Batches;
use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use std::sync::Arc;
use twinmart_tables::{Error, Progress, Result};

/// Count, mean, deviation and range of the finite values of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Moments {
    /// Adds a finite value (Welford 1962).
    pub(crate) fn add(&mut self, x: f64) {
        if self.count == 0 {
            (self.min, self.max) = (x, x);
        }
        self.count += 1;
        let before = x - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (x - self.mean);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    /// Standard deviation with n − 1.
    pub(crate) fn deviation(&self) -> f64 {
        if self.count < 2 { 0.0 } else { (self.squares / (self.count - 1) as f64).sqrt() }
    }
}

/// The finite values of one column as Float64, each as |x − centre| where a centre is given.
#[derive(Debug)]
pub(crate) struct FiniteValues {
    rows: Arc<dyn Rows>,
    position: usize,
    centre: Option<f64>,
    schema: SchemaRef,
}

impl FiniteValues {
    /// A usage error where the column is not numeric.
    pub(crate) fn new(rows: &Arc<dyn Rows>, column: &str, centre: Option<f64>) -> Result<FiniteValues> {
        let input = rows.schema();
        let position = input.index_of(column)?;
        let data_type = input.field(position).data_type();
        if !data_type.is_numeric() {
            let remedy = "name a numeric column, or use mode or constant: for missing values";
            return Err(Error::usage(format!("the rule needs numbers, the column is {data_type}"))
                .column(column)
                .remedy(remedy)
                .into());
        }
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, false)]));
        Ok(FiniteValues { rows: rows.clone(), position, centre, schema })
    }

    /// Count, mean, deviation and range.
    pub(crate) fn moments(&self, progress: &Progress) -> Result<Moments> {
        let mut moments = Moments::default();
        for batch in Rows::read(self) {
            progress.check()?;
            batch?.column(0).as_primitive::<Float64Type>().values().iter().for_each(|x| moments.add(*x));
        }
        Ok(moments)
    }

    /// Quantiles of type 7 (linear between order statistics) at ascending probabilities; none where there are no values.
    pub(crate) fn quantiles(self, probabilities: &[f64], progress: &Progress) -> Result<Vec<f64>> {
        let count = self.moments(progress)?.count;
        if count == 0 {
            return Ok(Vec::new());
        }
        let positions: Vec<f64> = probabilities.iter().map(|p| p * (count - 1) as f64).collect();
        let mut wanted: Vec<u64> = positions.iter().flat_map(|h| [h.floor() as u64, h.ceil() as u64]).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = Vec::with_capacity(wanted.len());
        let mut rank = 0;
        let mut engine = Engine::new()?;
        engine.register("input", Arc::new(self))?;
        engine.select("input", "SELECT x FROM input ORDER BY x", progress, &mut |batch| {
            let values = batch.column(0).as_primitive::<Float64Type>().values();
            while let Some(at) = wanted.get(found.len()).filter(|w| **w < rank + values.len() as u64) {
                found.push(values[(at - rank) as usize]);
            }
            rank += values.len() as u64;
            Ok(())
        })?;
        let at = |rank: f64| {
            wanted.binary_search(&(rank as u64)).ok().and_then(|i| found.get(i)).copied().unwrap_or(f64::NAN)
        };
        Ok(positions.iter().map(|h| at(h.floor()) + (h - h.floor()) * (at(h.ceil()) - at(h.floor()))).collect())
    }
}

impl Rows for FiniteValues {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn read(&self) -> Batches {
        let (position, centre, schema) = (self.position, self.centre, self.schema.clone());
        Box::new(self.rows.read().map(move |batch| {
            let values = numbers(batch?.column(position))?;
            let kept = values.iter().flatten().filter(|x| x.is_finite());
            let column: Float64Array = kept.map(|x| Some(centre.map_or(x, |c| (x - c).abs()))).collect();
            Ok(RecordBatch::try_new(schema.clone(), vec![Arc::new(column)])?)
        }))
    }
}

/// A numeric column as Float64.
pub(crate) fn numbers(column: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::MemoryRows;
    use proptest::prelude::*;

    fn rows(values: Vec<Option<f64>>) -> Arc<dyn Rows> {
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
        Arc::new(MemoryRows { schema: batch.schema(), batches: vec![batch] })
    }

    #[test]
    fn quantiles_follow_type_7() {
        // R: quantile(c(1, 2, 4, 8), c(0, .25, .5, .9, 1)) = 1, 1.75, 3, 6.8, 8.
        let values = rows(vec![Some(8.0), None, Some(1.0), Some(f64::NAN), Some(4.0), Some(f64::INFINITY), Some(2.0)]);
        let found =
            FiniteValues::new(&values, "v", None).unwrap().quantiles(&[0.0, 0.25, 0.5, 0.9, 1.0], &Progress::silent());
        let expected = [1.0, 1.75, 3.0, 6.8, 8.0];
        assert!(found.unwrap().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        let none = FiniteValues::new(&rows(vec![None]), "v", None).unwrap().quantiles(&[0.5], &Progress::silent());
        assert!(none.unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn moments_equal_the_two_pass_formulas(values in prop::collection::vec(-1e3..1e3f64, 2..50)) {
            let mut moments = Moments::default();
            values.iter().for_each(|x| moments.add(*x));
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
            prop_assert!((moments.mean - mean).abs() < 1e-9);
            prop_assert!((moments.deviation() - variance.sqrt()).abs() < 1e-9);
        }
    }
}
