//! EASE: the closed-form item-to-item regression with a zero diagonal (Steck, "Embarrassingly Shallow Autoencoders for
//! Sparse Data", 2019).
//!
//! `G = XᵀX + λI`, `P = G⁻¹`, `B_ji = −P_ji / P_ii`, `B_ii = 0`. Flat: X = users × items. On windows: X = windows of
//! consecutive items, which keeps what is bought close together and, with a decayed history, follows the order.

use crate::interactions::Interactions;
use crate::item_to_item::{ItemToItem, Weights};
use crate::recommender::Recency;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltParams, LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::traits::RealField;
use faer::{Accum, MatMut, MatRef, Par, Spec};
use rayon::prelude::*;
use std::ops::AddAssign;
use twinmart_tables::{Error, Progress, Result};

/// Most items that are fitted: the inverse needs two matrices of that side (3.2 GB).
pub const MAX_ITEMS: usize = 20_000;
/// Up to this many items the inverse is taken in double precision (1 GB), above it in single.
const MAX_ITEMS_DOUBLE: usize = 8_000;

/// Fits EASE on the rows of `x`.
pub fn fit(x: &Interactions, lambda: f64, recency: Recency, progress: &Progress) -> Result<ItemToItem> {
    fit_limited(x, lambda, recency, MAX_ITEMS, progress)
}

fn fit_limited(
    x: &Interactions,
    lambda: f64,
    recency: Recency,
    limit: usize,
    progress: &Progress,
) -> Result<ItemToItem> {
    let kept = most_popular(x, limit, progress);
    let x = x.keep_columns(&kept);
    progress.check()?;
    let weights =
        if kept.len() <= MAX_ITEMS_DOUBLE { regression::<f64>(&x, lambda)? } else { regression::<f32>(&x, lambda)? };
    Ok(ItemToItem { recency, weights: Weights::Dense { kept, weights } })
}

/// The items with interactions, ascending; above `limit` only the most popular (ties: the earlier item), with a warning.
fn most_popular(x: &Interactions, limit: usize, progress: &Progress) -> Vec<u32> {
    let counts = x.column_counts();
    let mut items: Vec<u32> = (0..x.columns as u32).filter(|i| counts[*i as usize] > 0).collect();
    if items.len() > limit {
        progress.warn(&format!(
            "EASE covers the {limit} most popular of {} items; the others get no score from it",
            items.len()
        ));
        items.sort_by_key(|i| (std::cmp::Reverse(counts[*i as usize]), *i));
        items.truncate(limit);
        items.sort_unstable();
    }
    items
}

/// `B [n, n]`, row by row. Bound by the n³ multiplications of the inverse.
fn regression<T>(x: &Interactions, lambda: f64) -> Result<Vec<f32>>
where
    T: RealField + Copy + Default + From<f32> + Into<f64> + AddAssign,
{
    let n = x.columns;
    let mut p: Vec<T> = x.gram();
    for i in 0..n {
        p[i * n + i] += T::from(lambda as f32);
    }
    invert_positive_definite(&mut p, n)?;
    let diagonal: Vec<f64> = (0..n).map(|i| p[i * n + i].into()).collect();
    let mut b = vec![0.0f32; n * n];
    b.par_chunks_mut(n.max(1)).enumerate().for_each(|(j, row)| {
        for (i, out) in row.iter_mut().enumerate() {
            // Columns lie one after the other and only the lower triangle is filled.
            let value: f64 = p[i.min(j) * n + i.max(j)].into();
            *out = if i == j { 0.0 } else { (-value / diagonal[i]) as f32 };
        }
    });
    Ok(b)
}

/// Replaces the symmetric `a [n, n]` (columns one after the other) by the lower triangle of its inverse:
/// `a = L Lᵀ`, `a⁻¹ = L⁻ᵀ L⁻¹`. One further matrix of scratch.
fn invert_positive_definite<T: RealField + Copy + Default>(a: &mut [T], n: usize) -> Result<()> {
    let parallel = Par::rayon(0);
    let mut scratch = MemBuffer::new(cholesky_in_place_scratch::<T>(n, parallel, Spec::<LltParams, T>::default()));
    cholesky_in_place(
        MatMut::from_column_major_slice_mut(a, n, n),
        LltRegularization::default(),
        parallel,
        MemStack::new(&mut scratch),
        Spec::<LltParams, T>::default(),
    )
    .map_err(|_| {
        Error::usage("the item-item matrix cannot be inverted").remedy("raise lambda of ease (100 to 1000 is usual)")
    })?;
    let mut inverse = vec![T::default(); n * n];
    invert_lower_triangular(
        MatMut::from_column_major_slice_mut(&mut inverse, n, n),
        MatRef::from_column_major_slice(a, n, n),
        parallel,
    );
    let inverse = MatRef::from_column_major_slice(&inverse, n, n);
    matmul(
        MatMut::from_column_major_slice_mut(a, n, n),
        BlockStructure::TriangularLower,
        Accum::Replace,
        inverse.transpose(),
        BlockStructure::TriangularUpper,
        inverse,
        BlockStructure::TriangularLower,
        T::one_impl(),
        parallel,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, atomic::AtomicBool};
    use twinmart_tables::Reporter;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);
    impl Reporter for Warnings {
        fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
            0
        }
        fn advance(&self, _: usize, _: u64) {}
        fn finish(&self, _: usize) {}
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
    }

    #[test]
    fn above_the_limit_the_most_popular_stay_and_the_user_is_told() {
        let rows: [&[u32]; 4] = [&[0, 1, 2], &[1, 2, 4], &[2, 1], &[4, 0]];
        let x = Interactions::of_rows(rows.into_iter(), 6);
        let warnings = Arc::new(Warnings::default());
        let progress = Progress::new(warnings.clone(), Arc::new(AtomicBool::new(false)));
        let model = fit_limited(&x, 1.0, Recency::FLAT, 3, &progress).unwrap();
        let Weights::Dense { kept, .. } = &model.weights else { panic!("EASE is dense") };
        // Items 1 and 2 have three users; 0 and 4 have two, the earlier stays.
        assert_eq!(kept, &[0, 1, 2]);
        assert!(warnings.0.lock().unwrap()[0].contains("3 most popular of 4 items"));
    }

    #[test]
    fn an_indefinite_matrix_says_what_to_change() {
        let x = Interactions::of_rows([&[0u32, 1][..], &[0, 1]].into_iter(), 2);
        let error = fit(&x, -1.0, Recency::FLAT, &Progress::silent()).unwrap_err().to_string();
        assert!(error.contains("raise lambda"), "{error}");
    }
}
