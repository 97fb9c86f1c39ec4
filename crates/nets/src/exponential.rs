//! Softmax of many short rows, with an exponential that compiles to vector instructions.

use crate::vectorized;

/// e^x for x ≤ 88, to a relative error of 2e-7; 0 below −87. Range reduction x = n·ln 2 + r, |r| ≤ ½ ln 2, and a
/// polynomial in r (Cody & Waite, "Software Manual for the Elementary Functions", 1980, ch. 6).
#[inline(always)]
pub fn exponential(x: f32) -> f32 {
    /// Adding and subtracting 1.5·2²³ rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // The last bits of `rounded` are n: no conversion.
    y * f32::from_bits(rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23)
}

/// The natural logarithm of a positive number, to a relative error of 3e-7 or an absolute one of 1e-7. x = m · 2ⁿ with
/// m in [√½, √2), ln m = 2 artanh((m − 1) / (m + 1)) as a series.
#[inline(always)]
pub fn logarithm(x: f32) -> f32 {
    let bits = x.to_bits();
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let n = (shifted as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((n << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = s * s2 * (0.666_666_6 + s2 * (0.400_000_5 + s2 * (0.285_598_4 + s2 * 0.228_0)));
    n as f32 * std::f32::consts::LN_2 + (2.0 * s + series)
}

/// Turns scores into probabilities, in place; `scores` is one row. Every score may be as low as can be, but not all.
#[inline(always)]
pub fn softmax(scores: &mut [f32]) {
    // Eight partial results, folded in a fixed order: vector instructions, and the same bits everywhere.
    let (chunks, rest) = scores.as_chunks_mut::<8>();
    let mut largest = [f32::NEG_INFINITY; 8];
    for chunk in chunks.iter() {
        for (largest, x) in largest.iter_mut().zip(chunk) {
            *largest = if *x > *largest { *x } else { *largest };
        }
    }
    let largest = largest.iter().chain(rest.iter()).fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let mut partial = [0f32; 8];
    for chunk in chunks.iter_mut() {
        for (sum, x) in partial.iter_mut().zip(chunk) {
            *x = exponential(*x - largest);
            *sum += *x;
        }
    }
    rest.iter_mut().for_each(|x| *x = exponential(*x - largest));
    let rest: f32 = rest.iter().sum();
    let scale = 1.0 / (partial.iter().sum::<f32>() + rest);
    for x in scores.iter_mut() {
        *x *= scale;
    }
}

vectorized! {
    /// Turns rows of `width` scores into probabilities, in place.
    pub fn softmax_rows<'a>(scores: &'a mut [f32], width: usize) {
        for row in scores.chunks_exact_mut(width) {
            softmax(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_function() {
        for step in -8600..=800 {
            let x = step as f32 * 0.01;
            let (ours, exact) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!((ours / exact - 1.0).abs() < 3e-7, "e^{x} = {exact}, not {ours}");
        }
        assert!(exponential(-1e30) < 1e-37);
    }

    #[test]
    fn logarithms_agree_with_the_library_function() {
        for step in -8000..=8000 {
            let x = (f64::from(step) * 0.01).exp() as f32;
            let (ours, exact) = (f64::from(logarithm(x)), f64::from(x).ln());
            assert!((ours - exact).abs() < 1e-7 + 3e-7 * exact.abs(), "ln {x} = {exact}, not {ours}");
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_keep_odds() {
        let mut row: Vec<f32> = (0..19).map(|i| i as f32 * 0.3).chain([-1e30]).collect();
        softmax(&mut row);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((row[5] / row[4] - 0.3f32.exp()).abs() < 1e-5);
        assert!(row[19] < 1e-30);
    }
}
