//! `replicate`: the bootstrap (Efron 1979). Rows, or users with all they did, are drawn again with replacement, in proportion
//! to a column of weights where one is named.

use crate::rows::take_rows;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use rand::{Rng, RngCore};
use twinmart_tables::{Error, Result, Stream};

/// Rows to draw from.
#[derive(Debug, Clone)]
pub(crate) struct Bootstrap {
    rows: RecordBatch,
    /// Running totals of the weights, one per row; without them all rows are alike.
    cumulative: Option<Vec<f64>>,
}

impl Bootstrap {
    /// Rows, weighted by a column where one is named. Errors name the first weight that is none.
    pub(crate) fn new(rows: RecordBatch, weights: Option<&str>) -> Result<Bootstrap> {
        let cumulative = weights.map(|column| running_weights(&rows, column)).transpose()?;
        Ok(Bootstrap { rows, cumulative })
    }

    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// A row drawn with replacement; there must be one.
    pub(crate) fn draw_row(&self, stream: &mut impl RngCore) -> u64 {
        match &self.cumulative {
            None => stream.random_range(0..self.rows.num_rows() as u64),
            Some(cumulative) => {
                let total = cumulative.last().copied().unwrap_or(0.0);
                let at = stream.random::<f64>() * total;
                let row = cumulative.partition_point(|c| *c <= at);
                // Rounding may carry `at` to the total itself: the last row with a weight.
                let last = cumulative.partition_point(|c| *c < total);
                row.min(last) as u64
            }
        }
    }

    /// One drawn row for each stream.
    pub(crate) fn draw(&self, streams: &mut [Stream]) -> Result<Vec<ArrayRef>> {
        take_rows(&self.rows, &UInt64Array::from_iter_values(streams.iter_mut().map(|s| self.draw_row(s))))
    }

    /// The given rows.
    pub(crate) fn rows_at(&self, rows: impl Iterator<Item = u64>) -> Result<Vec<ArrayRef>> {
        take_rows(&self.rows, &UInt64Array::from_iter_values(rows))
    }
}

fn running_weights(rows: &RecordBatch, column: &str) -> Result<Vec<f64>> {
    let bad = |what: &str| Error::data(what).column(column);
    let array = rows.column_by_name(column).ok_or_else(|| {
        let schema = rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::usage("no column of this name to weight by")
            .column(column)
            .remedy(format!("correct `weights` under [synthesis]; the columns are {}", names.join(", ")))
    })?;
    if !array.data_type().is_numeric() {
        return Err(bad("weights must be numbers").remedy("name another column or cast it in SQL").into());
    }
    let array = cast(array, &DataType::Float64)?;
    let weights = array.as_primitive::<Float64Type>();
    let mut total = 0.0;
    let mut cumulative = Vec::with_capacity(weights.len());
    for row in 0..weights.len() {
        let weight = if weights.is_null(row) { f64::NAN } else { weights.value(row) };
        if !(weight.is_finite() && weight >= 0.0) {
            let shown = if weights.is_null(row) { "null".to_string() } else { weight.to_string() };
            return Err(bad("a weight must be finite and not negative")
                .row(row as u64 + 1)
                .value(shown)
                .remedy("correct it in SQL or under [clean]")
                .into());
        }
        total += weight;
        cumulative.push(total);
    }
    if !(total > 0.0 && total.is_finite()) {
        return Err(bad("the weights add up to nothing that can be drawn from")
            .remedy("give at least one row a weight above 0, and none that is astronomically large")
            .into());
    }
    Ok(cumulative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};
    use std::sync::Arc;
    use twinmart_tables::Draws;

    fn weighted(weights: Vec<Option<f64>>) -> Result<Bootstrap> {
        let column: ArrayRef = Arc::new(Float64Array::from(weights));
        Bootstrap::new(RecordBatch::try_from_iter_with_nullable([("w", column, true)]).unwrap(), Some("w"))
    }

    #[test]
    fn rows_come_in_proportion_to_their_weights() {
        let bootstrap = weighted(vec![Some(0.0), Some(3.0), Some(0.0), Some(1.0), Some(0.0)]).unwrap();
        let mut stream = Draws::new(1).stream("test");
        let mut counts = [0; 5];
        (0..8000).for_each(|_| counts[bootstrap.draw_row(&mut stream) as usize] += 1);
        assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0));
        // Six standard deviations of 8,000 draws with share 3/4 are 232.
        assert!((counts[1] - 6000i32).abs() < 232, "{counts:?}");
    }

    #[test]
    fn weights_that_are_none_are_refused_with_their_row() {
        for bad in [None, Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
            let text = weighted(vec![Some(1.0), bad]).unwrap_err().to_string();
            assert!(text.contains("row 2"), "{text}");
        }
        assert!(weighted(vec![Some(0.0)]).unwrap_err().to_string().contains("add up to nothing"));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let batch = RecordBatch::try_from_iter([("w", text)]).unwrap();
        assert!(Bootstrap::new(batch.clone(), Some("w")).is_err());
        assert!(matches!(Bootstrap::new(batch, Some("v")), Err(Error::Usage(_))));
    }
}
