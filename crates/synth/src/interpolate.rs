//! `interpolate` for plain tables: SMOTE for numbers and SMOTE-NC for mixed types (Chawla, Bowyer, Hall & Kegelmeyer,
//! "SMOTE: Synthetic Minority Over-sampling Technique", 2002).
//!
//! A row lies between a training row x and one of its k nearest neighbours x′: x + λ·(x′ − x), one λ ~ U(0, 1) for the whole
//! row, on the grid of each column (integers stay integers, prices keep their decimals). A category is the one that most
//! neighbours hold, the nearest deciding ties; whether a number is missing is decided in the same way.

use crate::container::Entries;
use crate::manifest::{Manifest, Origin, TableSpec};
use crate::nearest::{Axis, MOST_CANDIDATES, nearest_rows, number_axes};
use crate::rows::{indices_from_parquet, indices_to_parquet, rows_of, to_parquet};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};
use rand::Rng;
use rand::seq::SliceRandom;
use std::collections::HashMap;
use twinmart_encode::grid::{Grid, Numbers, is_ordered};
use twinmart_tables::{Draws, Error, Progress, Result, Stream};

/// Training rows with their neighbours.
#[derive(Debug, Clone)]
pub(crate) struct Interpolation {
    rows: RecordBatch,
    columns: Vec<Blend>,
    /// `[rows][k]` nearest first.
    neighbours: Vec<u64>,
    k: usize,
}

/// How the values of one column combine.
#[derive(Debug, Clone)]
pub(crate) enum Blend {
    /// Positions on a grid, NaN = missing.
    Ordered { grid: Grid, positions: Vec<f64> },
    /// Codes; 0 = missing.
    Category(Vec<u32>),
}

impl Blend {
    /// The columns of a batch, by kind.
    pub(crate) fn of(rows: &RecordBatch, spec: &TableSpec) -> Result<Vec<Blend>> {
        let column = |(array, column): (&ArrayRef, &crate::ColumnSpec)| {
            if is_ordered(column.kind, array.data_type()) {
                let numbers = Numbers::of(array)?;
                let grid = Grid::of(&numbers);
                Ok(Blend::Ordered { positions: grid.positions(&numbers), grid })
            } else {
                codes(array).map(Blend::Category).map_err(|e| match e {
                    Error::Data(problem) => problem.table(&spec.name).column(&column.name).into(),
                    other => other,
                })
            }
        };
        rows.columns().iter().zip(&spec.columns).map(column).collect()
    }

    /// Attributes of children of two rows each: numbers in between, everything else from either parent by a coin.
    pub(crate) fn cross(
        &self,
        values: &ArrayRef,
        parents: &[[usize; 2]],
        data_type: &DataType,
        streams: &mut [Stream],
    ) -> Result<ArrayRef> {
        let either = |pair: &[usize; 2], stream: &mut Stream| pair[usize::from(stream.random::<bool>())];
        let pairs = parents.iter().zip(streams);
        match self {
            Blend::Ordered { grid, positions } => {
                let between: Vec<f64> = pairs
                    .map(|(pair, stream)| {
                        let [x, y] = pair.map(|row| positions[row]);
                        if x.is_nan() || y.is_nan() {
                            positions[either(pair, stream)]
                        } else {
                            x + stream.random::<f64>() * (y - x)
                        }
                    })
                    .collect();
                grid.column(&between, data_type)
            }
            Blend::Category(_) => {
                let chosen = UInt64Array::from_iter_values(pairs.map(|(pair, stream)| either(pair, stream) as u64));
                Ok(take(values, &chosen, None)?)
            }
        }
    }

    /// False for categories that hardly any two rows share: every row is as far from every other there.
    fn tells_likeness(&self) -> bool {
        match self {
            Blend::Ordered { .. } => true,
            Blend::Category(codes) => {
                let distinct = codes.iter().max().map_or(0, |m| *m as usize);
                distinct < 1_000 || 2 * distinct < codes.len()
            }
        }
    }

    fn axes(&self) -> Vec<Axis> {
        match self {
            Blend::Ordered { positions, .. } => number_axes(positions),
            Blend::Category(codes) => vec![Axis::Category(codes.clone())],
        }
    }
}

/// Values as codes in order of appearance, 0 = missing.
fn codes(array: &ArrayRef) -> Result<Vec<u32>> {
    let text = cast(array, &DataType::Utf8)
        .map_err(|_| Error::data(format!("values of type {} have no text form", array.data_type())))?;
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut codes = Vec::with_capacity(array.len());
    for value in text.as_string::<i32>() {
        let next = known.len() as u32 + 1;
        codes.push(value.map_or(0, |value| *known.entry(value).or_insert(next)));
    }
    Ok(codes)
}

impl Interpolation {
    /// Finds the neighbours of every row. New keys and references to made tables say nothing about likeness.
    pub(crate) fn fit(
        rows: RecordBatch,
        spec: &TableSpec,
        manifest: &Manifest,
        progress: &Progress,
    ) -> Result<Interpolation> {
        let columns = Blend::of(&rows, spec)?;
        let likeness = columns.iter().zip(spec.origins(manifest)).filter(|(_, origin)| *origin == Origin::Value);
        let axes: Vec<Axis> =
            likeness.filter(|(column, _)| column.tells_likeness()).flat_map(|(c, _)| c.axes()).collect();
        let mut candidates: Vec<usize> = (0..rows.num_rows()).collect();
        if candidates.len() > MOST_CANDIDATES {
            let mut stream = Draws::new(manifest.seed).family("interpolate.candidates", &spec.name).row(0);
            candidates.partial_shuffle(&mut stream, MOST_CANDIDATES);
            candidates.truncate(MOST_CANDIDATES);
            candidates.sort_unstable();
        }
        let k = manifest.settings.neighbours;
        let neighbours = nearest_rows(&axes, rows.num_rows(), &candidates, k, progress)?;
        Ok(Interpolation { rows, columns, neighbours, k })
    }

    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        entries.put(format!("{prefix}/rows.parquet"), to_parquet(&self.rows)?);
        entries.put(format!("{prefix}/neighbours.parquet"), indices_to_parquet(&self.neighbours)?);
        Ok(())
    }

    /// Reads what [`Interpolation::store`] wrote.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        schema: &SchemaRef,
        manifest: &Manifest,
    ) -> Result<Interpolation> {
        let rows = rows_of(prefix, entries, spec, schema)?;
        let k = manifest.settings.neighbours;
        let stored = entries.take(&format!("{prefix}/neighbours.parquet"))?;
        let neighbours = indices_from_parquet(stored, rows.num_rows().saturating_mul(k), spec.rows)?;
        Ok(Interpolation { columns: Blend::of(&rows, spec)?, rows, neighbours, k })
    }

    /// One row for each stream, between the training row of `bases` and a neighbour drawn for it.
    pub(crate) fn draw(
        &self,
        bases: impl Iterator<Item = u64>,
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let mixes = bases.zip(streams).map(|(base, stream)| {
            let base = base as usize;
            let neighbours = &self.neighbours[base * self.k..(base + 1) * self.k];
            let other = neighbours[stream.random_range(0..self.k)] as usize;
            Mix { base, other, neighbours, lambda: stream.random() }
        });
        let mixes: Vec<Mix> = mixes.collect();
        let column = |(position, blend): (usize, &Blend)| match blend {
            Blend::Ordered { grid, positions } => {
                let between: Vec<f64> = mixes.iter().map(|m| m.between(positions)).collect();
                grid.column(&between, schema.field(position).data_type())
            }
            Blend::Category(codes) => {
                let chosen = mixes.iter().map(|m| m.holder_of_majority(codes) as u64);
                Ok(take(self.rows.column(position), &UInt64Array::from_iter_values(chosen), None)?)
            }
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// What one row is made of.
struct Mix<'a> {
    base: usize,
    other: usize,
    neighbours: &'a [u64],
    lambda: f64,
}

impl Mix<'_> {
    /// x + λ·(x′ − x); missing where most neighbours miss it. One who misses it lends the value of the nearest who does not.
    fn between(&self, positions: &[f64]) -> f64 {
        let around = || self.neighbours.iter().map(|n| positions[*n as usize]);
        let missing = around().filter(|x| x.is_nan()).count();
        let present = self.neighbours.len() - missing;
        let nearest_is_missing = positions[self.neighbours[0] as usize].is_nan();
        if missing > present || (missing == present && nearest_is_missing) {
            return f64::NAN;
        }
        let lent = around().find(|x| !x.is_nan()).unwrap_or(f64::NAN);
        let own = |row: usize| if positions[row].is_nan() { lent } else { positions[row] };
        let (x, y) = (own(self.base), own(self.other));
        x + self.lambda * (y - x)
    }

    /// The nearest neighbour that holds the category most neighbours hold.
    fn holder_of_majority(&self, codes: &[u32]) -> usize {
        let votes = |row: u64| self.neighbours.iter().filter(|n| codes[**n as usize] == codes[row as usize]).count();
        let mut best = (0, self.base);
        for &row in self.neighbours {
            let votes = votes(row);
            if votes > best.0 {
                best = (votes, row as usize);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(neighbours: &[u64], lambda: f64) -> Mix<'_> {
        Mix { base: 0, other: neighbours[0] as usize, neighbours, lambda }
    }

    #[test]
    fn numbers_lie_on_the_segment_and_follow_the_majority_into_absence() {
        let x = [10.0, 20.0, f64::NAN, f64::NAN, 40.0];
        assert_eq!(mix(&[1, 4], 0.25).between(&x), 12.5);
        assert!(mix(&[2, 3, 1], 0.5).between(&x).is_nan());
        assert!(mix(&[2, 1], 0.5).between(&x).is_nan(), "the nearest decides a tie");
        assert_eq!(mix(&[1, 2], 0.5).between(&x), 15.0);
        assert_eq!(mix(&[2, 4, 1], 0.5).between(&x), 25.0, "the missing partner lends 40");
    }

    #[test]
    fn categories_follow_the_majority_and_the_nearest_decides_ties() {
        let codes = [9, 1, 2, 2, 1];
        assert_eq!(mix(&[1, 2, 3], 0.5).holder_of_majority(&codes), 2);
        assert_eq!(mix(&[1, 2, 3, 4], 0.5).holder_of_majority(&codes), 1);
    }
}
