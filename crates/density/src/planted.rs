//! A small table whose distribution is known, for tests.

use crate::Fitting;
use rand::Rng;
use twinmart_encode::codes::{Codes, SubColumn};
use twinmart_tables::{Draws, Progress};

/// A chain of two levels, a category, and a category that mostly says whether the first two agree.
pub(crate) fn table() -> Vec<SubColumn> {
    vec![
        SubColumn::new(0, 0, true, vec![2]),
        SubColumn::new(0, 1, true, vec![2, 3]),
        SubColumn::new(1, 0, false, vec![3]),
        SubColumn::new(2, 0, false, vec![1]),
        SubColumn::new(3, 0, false, vec![2]),
    ]
}

pub(crate) fn planted(rows: u64, purpose: &str) -> Codes {
    let family = Draws::new(5).family(purpose, "");
    let mut values = vec![Vec::new(); 5];
    for row in 0..rows {
        let mut stream = family.row(row);
        let coarse = stream.random_range(0..2);
        let other = stream.random_range(0..3);
        let agree = u32::from(coarse == other.min(1));
        let flipped = stream.random::<f32>() < 0.1;
        let codes = [coarse, stream.random_range(0..2 + coarse), other, 0, if flipped { 1 - agree } else { agree }];
        values.iter_mut().zip(codes).for_each(|(v, c)| v.push(c));
    }
    Codes { sub_columns: table(), values }
}

/// Every row that the table allows.
pub(crate) fn all_rows() -> Codes {
    let mut values = vec![Vec::new(); 5];
    for (coarse, fine) in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)] {
        for (other, last) in (0..3).flat_map(|o| [(o, 0), (o, 1)]) {
            let codes = [coarse, fine, other, 0, last];
            values.iter_mut().zip(codes).for_each(|(v, c)| v.push(c));
        }
    }
    Codes { sub_columns: table(), values }
}

pub(crate) fn fitting(steps: u64) -> Fitting {
    Fitting { draws: Draws::new(1), steps, deadline: None, progress: Progress::silent() }
}
