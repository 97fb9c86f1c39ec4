//! Random numbers of the shapes that learning needs.

use rand::Rng;
use twinmart_nets::exponential::logarithm;
use twinmart_tables::Stream;

/// So many numbers of the standard normal distribution (Box & Muller, 1958).
pub(crate) fn normals(count: usize, stream: &mut Stream) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        let length = (-2.0 * logarithm(positive(stream))).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * stream.random::<f32>()).sin_cos();
        numbers.extend([length * cosine, length * sine]);
    }
    numbers.truncate(count);
    numbers
}

/// So many numbers of the standard Gumbel distribution: the largest of scores plus these is drawn by the softmax of the
/// scores.
pub(crate) fn gumbels(count: usize, stream: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| -logarithm(-logarithm(positive(stream)))).collect()
}

/// A number in (0, 1).
fn positive(stream: &mut Stream) -> f32 {
    (stream.random::<f32>() + f32::EPSILON / 4.0).min(1.0 - f32::EPSILON)
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
