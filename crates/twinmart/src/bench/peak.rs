//! How many flops a second this machine's cores reach in products of matrices: what a network is held against.

use std::time::{Duration, Instant};
use twinmart_nets::matrix::{multiply, rows, rows_mut};

/// Rows and columns of the matrices, which fit into a core's cache together.
const SIDE: usize = 256;
/// Time of one look, and how many there are: the best counts, as nothing makes a core faster than it is.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 5;

/// Flops a second of products of `f32` matrices on all threads of the pool together.
pub(crate) fn flops_per_second() -> f64 {
    let look = || rayon::broadcast(|_| of_this_thread()).iter().sum::<f64>();
    (0..LOOKS).map(|_| look()).fold(0.0, f64::max)
}

fn of_this_thread() -> f64 {
    let numbers: Vec<f32> = (0..SIDE * SIDE).map(|n| (n % 7) as f32).collect();
    let mut out = vec![0f32; SIDE * SIDE];
    let (began, mut products) = (Instant::now(), 0);
    while began.elapsed() < LOOK {
        multiply(rows_mut(&mut out, SIDE), rows(&numbers, SIDE), rows(&numbers, SIDE));
        std::hint::black_box(&mut out);
        products += 1;
    }
    (2 * SIDE.pow(3) * products) as f64 / began.elapsed().as_secs_f64()
}
