//! Random numbers of the shapes that learning needs.

use rand::{Rng, RngCore};
use twinmart_nets::exponential::logarithm;
use twinmart_tables::Stream;

/// So many numbers of the standard normal distribution (Box & Muller, 1958).
pub(crate) fn normals(count: usize, stream: &mut Stream) -> Vec<f32> {
    let mut numbers = positive(count.next_multiple_of(2), stream);
    let (lengths, angles) = numbers.split_at_mut(count.div_ceil(2));
    lengths.iter_mut().for_each(|x| *x = (-2.0 * logarithm(*x)).sqrt());
    for (length, angle) in lengths.iter_mut().zip(angles) {
        let (sine, cosine) = (std::f32::consts::TAU * *angle).sin_cos();
        (*length, *angle) = (*length * cosine, *length * sine);
    }
    numbers.truncate(count);
    numbers
}

/// So many numbers of the standard Gumbel distribution: the largest of scores plus these is drawn by the softmax of the
/// scores.
pub(crate) fn gumbels(count: usize, stream: &mut Stream) -> Vec<f32> {
    let mut numbers = positive(count, stream);
    numbers.iter_mut().for_each(|x| *x = -logarithm(-logarithm(*x)));
    numbers
}

/// So many numbers in (0, 1).
fn positive(count: usize, stream: &mut Stream) -> Vec<f32> {
    let mut bytes = vec![0u8; 4 * count];
    stream.fill_bytes(&mut bytes);
    let share = |word: &[u8; 4]| (u32::from_le_bytes(*word) >> 8) as f32 / (1 << 24) as f32;
    let inside = |share: f32| (share + f32::EPSILON / 4.0).min(1.0 - f32::EPSILON);
    bytes.as_chunks::<4>().0.iter().map(|word| inside(share(word))).collect()
}

/// Of 256 numbers, how many a mask leaves out.
const LEFT_OUT: u8 = 51;

/// A mask that leaves out a fifth of the numbers, and makes the others as much larger (Srivastava et al., "Dropout", 2014).
pub(crate) fn mask(count: usize, stream: &mut Stream) -> Vec<f32> {
    let kept = 256.0 / (256.0 - f32::from(LEFT_OUT));
    let mut mask = Vec::with_capacity(count + 8);
    while mask.len() < count {
        let bytes = stream.random::<u64>().to_le_bytes();
        mask.extend(bytes.map(|byte| if byte < LEFT_OUT { 0.0 } else { kept }));
    }
    mask.truncate(count);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinmart_tables::Draws;

    #[test]
    fn numbers_have_the_moments_of_their_distributions() {
        let mut stream = Draws::new(3).stream("test");
        let moments = |x: &[f32]| {
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
            (mean, x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / x.len() as f64)
        };
        let (mean, variance) = moments(&normals(200_001, &mut stream));
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let (mean, variance) = moments(&gumbels(200_000, &mut stream));
        assert!((mean - 0.5772).abs() < 0.01 && (variance - 1.6449).abs() < 0.04, "{mean} {variance}");
        // A fifth is left out: the mean is 1, the variance ¼.
        let (mean, variance) = moments(&mask(100_001, &mut stream));
        assert!((mean - 1.0).abs() < 0.02 && (variance - 0.25).abs() < 0.02, "{mean} {variance}");
    }
}
