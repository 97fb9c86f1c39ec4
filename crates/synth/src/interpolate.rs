//! `interpolate` for plain tables: SMOTE for numbers and SMOTE-NC for mixed types (Chawla, Bowyer, Hall & Kegelmeyer,
//! "SMOTE: Synthetic Minority Over-sampling Technique", 2002), or one of its relatives (`borderline.rs`, `mixup.rs`).
//!
//! A row lies between a training row x and one of its k nearest neighbours x′: x + λ·(x′ − x), one λ ~ U(0, 1) for the whole
//! row, on the grid of each column (integers stay integers, prices keep their decimals). A category is the one that most
//! neighbours hold, the nearest deciding ties; whether a number is missing is decided in the same way.
//!
//! Unless `verbatim = "allow"`, the row is then encoded and decoded as rows of the learned method are ([`RowEncoding`]): what
//! few people share has no code, and a number is drawn anew among those of its cell.

use crate::borderline::{Class, column_of};
use crate::container::{Entries, not_a_model};
use crate::encoded::RowEncoding;
use crate::manifest::{Making, Manifest, Origin, TableSpec};
use crate::mixup::Pair;
use crate::nearest::{Axis, nearest_rows, number_axes};
use crate::rows::{indices_from_parquet, indices_to_parquet, rows_of, to_parquet};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};
use rand::Rng;
use std::collections::HashMap;
use twinmart_encode::grid::{Grid, Numbers, is_ordered};
use twinmart_tables::{Error, Interpolation, Progress, Result, Stream, Verbatim};

/// Training rows, and how new rows come from them.
#[derive(Debug, Clone)]
pub(crate) struct Interpolated {
    rows: RecordBatch,
    columns: Vec<Blend>,
    recipe: Recipe,
    /// What new rows pass through; none where values may come out as they are.
    protection: Option<RowEncoding>,
}

#[derive(Debug, Clone)]
enum Recipe {
    /// A row and one of its k neighbours.
    Neighbours(Partners, usize),
    /// Any two rows, with the α of their shares.
    Mixup(f64),
}

/// The rows that serve as x, and their neighbours.
#[derive(Debug, Clone)]
pub(crate) struct Partners {
    pub(crate) bases: Vec<u64>,
    /// `[bases][k]` nearest first.
    pub(crate) neighbours: Vec<u64>,
    /// The column in which all of them hold the same value.
    pub(crate) label: Option<usize>,
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

/// How the rows of a table come about. A target is one of the table that a size counts; rows of a catalogue stay beside
/// their training rows, because other tables refer to them.
fn interpolation_of(spec: &TableSpec, manifest: &Manifest) -> Interpolation {
    match manifest.settings.interpolation {
        _ if spec.making == Making::Counterparts => Interpolation::Smote,
        Interpolation::Borderline if manifest.sized_by != spec.name => Interpolation::Smote,
        chosen => chosen,
    }
}

impl Interpolated {
    /// Finds the neighbours that new rows need; `subjects` names the person behind each row.
    pub(crate) fn fit(
        rows: RecordBatch,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
        progress: &Progress,
    ) -> Result<Interpolated> {
        let settings = &manifest.settings;
        let columns = Blend::of(&rows, spec)?;
        let protection = match settings.verbatim {
            Verbatim::Forbid => Some(RowEncoding::of(rows.columns(), subjects, spec, manifest, progress)?),
            Verbatim::Allow => None,
        };
        let (k, all) = (settings.neighbours, 0..rows.num_rows());
        let recipe = match (interpolation_of(spec, manifest), &settings.target) {
            (Interpolation::Mixup, _) => Recipe::Mixup(settings.alpha),
            (Interpolation::Borderline, Some(target)) => {
                let class = Class::of(target, &rows, subjects, spec, manifest)?;
                let axes = axes(&columns, spec, manifest, Some(class.column));
                Recipe::Neighbours(class.border(&axes, all.end, k, progress)?, k)
            }
            _ => {
                let candidates: Vec<usize> = all.clone().collect();
                let neighbours =
                    nearest_rows(&axes(&columns, spec, manifest, None), &candidates, &candidates, k, progress)?;
                Recipe::Neighbours(Partners::of_all(all.end, neighbours), k)
            }
        };
        Ok(Interpolated { rows, columns, recipe, protection })
    }

    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// How many rows serve as x.
    pub(crate) fn bases(&self) -> u64 {
        match &self.recipe {
            Recipe::Neighbours(partners, _) => partners.bases.len() as u64,
            Recipe::Mixup(_) => self.rows.num_rows() as u64,
        }
    }

    /// Adds what a model file must hold.
    pub(crate) fn store(&self, prefix: &str, entries: &mut Entries) -> Result<()> {
        entries.put(format!("{prefix}/rows.parquet"), to_parquet(&self.rows)?);
        if let Recipe::Neighbours(partners, _) = &self.recipe {
            entries.put(format!("{prefix}/neighbours.parquet"), indices_to_parquet(&partners.neighbours)?);
            if partners.label.is_some() {
                entries.put(format!("{prefix}/bases.parquet"), indices_to_parquet(&partners.bases)?);
            }
        }
        self.protection.as_ref().map_or(Ok(()), |p| p.store(prefix, entries))
    }

    /// Reads what [`Interpolated::store`] wrote.
    pub(crate) fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        schema: &SchemaRef,
        manifest: &Manifest,
    ) -> Result<Interpolated> {
        let settings = &manifest.settings;
        let rows = rows_of(prefix, entries, spec, schema)?;
        let protection = match settings.verbatim {
            Verbatim::Forbid => Some(RowEncoding::load(prefix, entries, spec, manifest)?),
            Verbatim::Allow => None,
        };
        let recipe = match interpolation_of(spec, manifest) {
            Interpolation::Mixup => Recipe::Mixup(settings.alpha),
            chosen => {
                let of_class = chosen == Interpolation::Borderline;
                Recipe::Neighbours(Partners::load(prefix, entries, spec, manifest, of_class)?, settings.neighbours)
            }
        };
        Ok(Interpolated { columns: Blend::of(&rows, spec)?, rows, recipe, protection })
    }

    /// One row for each stream. `bases` are numbers below [`Interpolated::bases`]; keys are to be replaced.
    pub(crate) fn draw(
        &self,
        bases: impl Iterator<Item = u64>,
        streams: &mut [Stream],
        schema: &SchemaRef,
    ) -> Result<Vec<ArrayRef>> {
        let drawn = bases.zip(streams.iter_mut());
        let (mut values, label) = match &self.recipe {
            Recipe::Neighbours(partners, k) => {
                let mixes: Vec<Mix> = drawn.map(|(base, stream)| partners.mix(base as usize, *k, stream)).collect();
                let between = |positions: &[f64]| mixes.iter().map(|m| m.between(positions)).collect();
                let holders = |codes: &[u32]| mixes.iter().map(|m| m.holder_of_majority(codes) as u64).collect();
                (self.combine(schema, between, holders)?, partners.label.map(|column| (column, partners.bases[0])))
            }
            Recipe::Mixup(alpha) => {
                let rows = self.rows.num_rows();
                let pair = |(base, stream): (u64, &mut Stream)| Pair::draw(base as usize, rows, *alpha, stream);
                let pairs: Vec<Pair> = drawn.map(pair).collect();
                let between = |positions: &[f64]| pairs.iter().map(|p| p.between(positions)).collect();
                let holders = |_: &[u32]| pairs.iter().map(|p| p.holder as u64).collect();
                (self.combine(schema, between, holders)?, None)
            }
        };
        if let Some(protection) = &self.protection {
            values = protection.decode(&protection.encode(&values)?.values, streams, schema)?;
        }
        if let Some((column, row)) = label {
            let same = UInt64Array::from_value(row, streams.len());
            values[column] = take(self.rows.column(column), &same, None)?;
        }
        Ok(values)
    }

    /// All columns: numbers by their positions, everything else from the row that holds it.
    fn combine(
        &self,
        schema: &SchemaRef,
        between: impl Fn(&[f64]) -> Vec<f64>,
        holders: impl Fn(&[u32]) -> Vec<u64>,
    ) -> Result<Vec<ArrayRef>> {
        let column = |(position, blend): (usize, &Blend)| match blend {
            Blend::Ordered { grid, positions } => grid.column(&between(positions), schema.field(position).data_type()),
            Blend::Category(codes) => Ok(take(self.rows.column(position), &UInt64Array::from(holders(codes)), None)?),
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// What says how alike rows are: not new keys, not references to made tables, not the column of a class.
fn axes(columns: &[Blend], spec: &TableSpec, manifest: &Manifest, class: Option<usize>) -> Vec<Axis> {
    let likeness = columns.iter().zip(spec.origins(manifest)).enumerate();
    let likeness = likeness.filter(|(at, (_, origin))| *origin == Origin::Value && Some(*at) != class);
    likeness.filter(|(_, (column, _))| column.tells_likeness()).flat_map(|(_, (column, _))| column.axes()).collect()
}

impl Partners {
    /// Every row of the table serves as x.
    fn of_all(rows: usize, neighbours: Vec<u64>) -> Partners {
        Partners { bases: (0..rows as u64).collect(), neighbours, label: None }
    }

    fn load(
        prefix: &str,
        entries: &mut Entries,
        spec: &TableSpec,
        manifest: &Manifest,
        of_class: bool,
    ) -> Result<Partners> {
        let mut stored = |name: &str, length: Option<usize>| {
            indices_from_parquet(entries.take(&format!("{prefix}/{name}.parquet"))?, length, spec.learned_rows)
        };
        let length = |bases: usize| Some(bases.saturating_mul(manifest.settings.neighbours));
        let Some(target) = manifest.settings.target.as_ref().filter(|_| of_class) else {
            let rows = spec.learned_rows as usize;
            return Ok(Partners::of_all(rows, stored("neighbours", length(rows))?));
        };
        let bases = stored("bases", None)?;
        if bases.is_empty() {
            return Err(not_a_model("no row lies at the border of the class"));
        }
        let neighbours = stored("neighbours", length(bases.len()))?;
        Ok(Partners { bases, neighbours, label: Some(column_of(target, spec, manifest)?) })
    }

    fn mix(&self, base: usize, k: usize, stream: &mut Stream) -> Mix<'_> {
        let neighbours = &self.neighbours[base * k..(base + 1) * k];
        let other = neighbours[stream.random_range(0..k)] as usize;
        Mix { base: self.bases[base] as usize, other, neighbours, lambda: stream.random() }
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
