//! Numbers of sixteen bits, for tables that are read more often than they fit the caches: the sign, the exponent and seven
//! bits of the fraction of an `f32` ("bfloat16"; Kalamkar et al., "A study of BFLOAT16 for deep learning training", 2019), to a
//! relative error of 2⁻⁸ at most.

/// The nearest short number; of two equally near ones the even one. For finite numbers.
#[inline(always)]
pub fn shortened(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// A short number, exactly.
#[inline(always)]
pub fn lengthened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// Rows of a table, `[rows, width]` with an even width, two short numbers in each of `[rows, width / 2]`: one of the row's first
/// half, and in the upper bits the one as far into the second.
pub fn packed(table: &[f32], width: usize) -> Vec<u32> {
    let pair = |(first, second): (&f32, &f32)| u32::from(shortened(*first)) | u32::from(shortened(*second)) << 16;
    let of_row = |row: &[f32]| {
        let (first, second) = row.split_at(width / 2);
        first.iter().zip(second).map(pair).collect::<Vec<_>>()
    };
    table.chunks_exact(width).flat_map(of_row).collect()
}

/// The two numbers of a pair.
#[inline(always)]
pub(crate) fn unpacked(pair: u32) -> [f32; 2] {
    [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_numbers_are_the_nearest(x in -1e30f32..1e30) {
            let near = lengthened(shortened(x));
            prop_assert!((near - x).abs() <= x.abs() / 256.0);
            prop_assert_eq!(shortened(near), shortened(x));
            for other in [shortened(x) - 1, shortened(x) + 1].map(lengthened).into_iter().filter(|x| x.is_finite()) {
                prop_assert!((near - x).abs() <= (other - x).abs());
            }
        }
    }

    #[test]
    fn ties_go_to_the_even_one() {
        assert_eq!(lengthened(shortened(1.0 + 1.0 / 256.0)), 1.0);
        assert_eq!(lengthened(shortened(1.0 + 3.0 / 256.0)), 1.0 + 2.0 / 128.0);
        assert_eq!([0.0f32, -0.0].map(|x| lengthened(shortened(x)).to_bits()), [0.0f32, -0.0].map(f32::to_bits));
    }
}
