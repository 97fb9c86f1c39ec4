//! Mixed rows as points, and the nearest point to each.
//!
//! A number becomes its place in the reference rows, the share of reference values below it, in [0, 1]; a category
//! becomes a code. The squared distance of two rows is
//!
//! d² = Σ over numbers (q − q′)² + Σ over categories mismatch(c, c′),
//!
//! where a mismatch costs 1 between two of the 30 most frequent reference values and ½ between one of those and any
//! other; two other values do not differ. (The same as Euclidean distance after one-hot coding with weight √½.) A missing
//! number costs ½ + ¼ at most against a present one: it sits in the middle with a flag of its own.
//!
//! Search is brute force in column-major blocks: bound by arithmetic, one fused multiply-add per number and three byte
//! operations per category, all vectorised. Queries are independent, so threads cannot change a result.

use rayon::prelude::*;

/// Reference categories with a code of their own; all others share [`OTHER`].
const FREQUENT: usize = 30;
const OTHER: u8 = FREQUENT as u8;
/// Points compared at a time: their partial sums stay in the first-level cache.
const BLOCK: usize = 512;

/// One column of rows.
#[derive(Debug, Clone, Copy)]
pub enum SpaceColumn<'a> {
    /// NaN = missing.
    Ordered(&'a [f64]),
    /// Codes that mean the same in all rows compared.
    Category(&'a [u32]),
}

/// How rows become points.
#[derive(Debug, Clone)]
pub struct Space {
    columns: Vec<Scale>,
}

#[derive(Debug, Clone)]
enum Scale {
    /// Present reference values, ascending.
    Ordered(Vec<f64>),
    /// Frequent reference codes, most frequent first.
    Category(Vec<u32>),
}

/// Rows as points, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// `[ordered columns][rows]` places in [0, 1].
    places: Vec<Vec<f32>>,
    /// `[category columns][rows]` codes, [`OTHER`] = none of the frequent ones.
    codes: Vec<Vec<u8>>,
    /// `[ordered columns][rows]` 1 = missing.
    missing: Vec<Vec<u8>>,
    rows: usize,
}

/// The nearest point to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its row; the first of equally near ones.
    pub row: usize,
    /// Its distance.
    pub distance: f32,
}

impl Space {
    /// Scales from the reference rows.
    pub fn fit(reference: &[SpaceColumn]) -> Space {
        let scale = |column: &SpaceColumn| match column {
            SpaceColumn::Ordered(x) => {
                let mut sorted: Vec<f64> = x.iter().copied().filter(|x| !x.is_nan()).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                Scale::Ordered(sorted)
            }
            SpaceColumn::Category(codes) => Scale::Category(frequent(codes)),
        };
        Space { columns: reference.iter().map(scale).collect() }
    }

    /// Rows as points. The columns must be those of the reference, in the same order and form.
    pub fn points(&self, rows: &[SpaceColumn]) -> Points {
        let mut points = Points { places: Vec::new(), codes: Vec::new(), missing: Vec::new(), rows: 0 };
        for (scale, column) in self.columns.iter().zip(rows) {
            match (scale, column) {
                (Scale::Ordered(sorted), SpaceColumn::Ordered(x)) => {
                    let place = |x: &f64| {
                        let below = sorted.partition_point(|s| s < x);
                        if x.is_nan() { 0.5 } else { (below as f64 / sorted.len().max(1) as f64) as f32 }
                    };
                    points.places.push(x.iter().map(place).collect());
                    points.missing.push(x.iter().map(|x| u8::from(x.is_nan())).collect());
                    points.rows = x.len();
                }
                (Scale::Category(frequent), SpaceColumn::Category(codes)) => {
                    let code = |c: &u32| frequent.iter().position(|f| f == c).map_or(OTHER, |p| p as u8);
                    points.codes.push(codes.iter().map(code).collect());
                    points.rows = codes.len();
                }
                _ => {}
            }
        }
        points
    }
}

/// The most frequent codes, most frequent first (ties: the smaller code).
fn frequent(codes: &[u32]) -> Vec<u32> {
    let mut sorted = codes.to_vec();
    sorted.sort_unstable();
    let mut counted: Vec<(usize, u32)> = sorted.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
    counted.sort_unstable_by_key(|(count, code)| (std::cmp::Reverse(*count), *code));
    counted.truncate(FREQUENT);
    counted.into_iter().map(|(_, code)| code).collect()
}

impl Points {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True where there are no points.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// For each of `queries`, the nearest of these points; empty where there are no points.
    pub fn nearest(&self, queries: &Points) -> Vec<Neighbour> {
        if self.is_empty() {
            return Vec::new();
        }
        (0..queries.rows).into_par_iter().map(|query| self.nearest_to(queries, query)).collect()
    }

    fn nearest_to(&self, queries: &Points, query: usize) -> Neighbour {
        let mut best = Neighbour { row: 0, distance: f32::INFINITY };
        let mut sums = [0.0_f32; BLOCK];
        for start in (0..self.rows).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(self.rows);
            let sums = &mut sums[..block.len()];
            self.squared_distances(queries, query, block.clone(), sums);
            for (row, squared) in block.zip(sums.iter()) {
                if *squared < best.distance {
                    best = Neighbour { row, distance: *squared };
                }
            }
        }
        Neighbour { distance: best.distance.sqrt(), ..best }
    }

    fn squared_distances(&self, queries: &Points, query: usize, block: std::ops::Range<usize>, sums: &mut [f32]) {
        sums.fill(0.0);
        for (places, query_places) in self.places.iter().zip(&queries.places) {
            let q = query_places[query];
            for (sum, p) in sums.iter_mut().zip(&places[block.clone()]) {
                *sum += (q - p) * (q - p);
            }
        }
        for (missing, query_missing) in self.missing.iter().zip(&queries.missing) {
            let q = query_missing[query];
            for (sum, p) in sums.iter_mut().zip(&missing[block.clone()]) {
                *sum += 0.5 * f32::from(q ^ p);
            }
        }
        for (codes, query_codes) in self.codes.iter().zip(&queries.codes) {
            let c = query_codes[query];
            let (differs, other) = if c == OTHER { (0.5, 0.0) } else { (1.0, -0.5) };
            for (sum, p) in sums.iter_mut().zip(&codes[block.clone()]) {
                *sum += differs * f32::from(u8::from(*p != c)) + other * f32::from(u8::from(*p == OTHER));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Euclidean distance of the one-hot form, from the definition.
    fn naive(space: &Space, a: &[SpaceColumn], i: usize, b: &[SpaceColumn], j: usize) -> f64 {
        let mut squared = 0.0;
        for (scale, (a, b)) in space.columns.iter().zip(a.iter().zip(b)) {
            match (scale, a, b) {
                (Scale::Ordered(s), SpaceColumn::Ordered(a), SpaceColumn::Ordered(b)) => {
                    let q = |x: f64| {
                        if x.is_nan() {
                            0.5
                        } else {
                            s.iter().filter(|s| **s < x).count() as f64 / s.len().max(1) as f64
                        }
                    };
                    squared += (q(a[i]) - q(b[j])).powi(2) + if a[i].is_nan() != b[j].is_nan() { 0.5 } else { 0.0 };
                }
                (Scale::Category(top), SpaceColumn::Category(a), SpaceColumn::Category(b)) => {
                    for t in top {
                        let hot = |c: u32| if c == *t { 0.5_f64.sqrt() } else { 0.0 };
                        squared += (hot(a[i]) - hot(b[j])).powi(2);
                    }
                }
                _ => unreachable!(),
            }
        }
        squared.sqrt()
    }

    proptest! {
        #[test]
        fn nearest_equals_the_definition(
            x in prop::collection::vec(prop::option::of(-5i32..5), 8..60),
            c in prop::collection::vec(0u32..45, 8..60),
        ) {
            let n = x.len().min(c.len());
            let x: Vec<f64> = x[..n].iter().map(|v| v.map_or(f64::NAN, f64::from)).collect();
            let cut = n / 2;
            let reference = [SpaceColumn::Ordered(&x[..cut]), SpaceColumn::Category(&c[..cut])];
            let queries = [SpaceColumn::Ordered(&x[cut..]), SpaceColumn::Category(&c[cut..n])];
            let space = Space::fit(&reference);
            let points = space.points(&reference);
            for (query, found) in points.nearest(&space.points(&queries)).iter().enumerate() {
                let all: Vec<f64> = (0..cut).map(|row| naive(&space, &queries, query, &reference, row)).collect();
                let least = all.iter().copied().fold(f64::INFINITY, f64::min);
                prop_assert!((f64::from(found.distance) - least).abs() < 1e-5);
                prop_assert!((all[found.row] - least).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn blocks_do_not_change_the_result() {
        let x: Vec<f64> = (0..2000).map(|i| f64::from(i * 7919 % 2000)).collect();
        let space = Space::fit(&[SpaceColumn::Ordered(&x)]);
        let points = space.points(&[SpaceColumn::Ordered(&x)]);
        for (query, found) in points.nearest(&points).iter().enumerate() {
            assert_eq!((found.row, found.distance), (query, 0.0));
        }
    }
}
