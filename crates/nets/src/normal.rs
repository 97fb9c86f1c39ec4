//! Rows divided by their root mean square (Zhang & Sennrich, "Root mean square layer normalization", 2019).

use crate::matrix::dot;

/// Rows after the division, with what the way back needs.
#[derive(Debug, Clone)]
pub struct Normal {
    /// `[rows, width]` divided, before the gain.
    divided: Vec<f32>,
    /// `[rows]` what each row was multiplied by.
    scales: Vec<f32>,
    /// `[rows, width]` times the gain.
    pub values: Vec<f32>,
}

/// Keeps rows of zeros from being divided by zero.
const LEAST: f32 = 1e-6;

impl Normal {
    /// Divides rows and multiplies each column by its `gain`, `[width]`.
    pub fn of(x: &[f32], gain: &[f32]) -> Normal {
        let width = gain.len();
        let scale = |row: &[f32]| 1.0 / (dot(row, row) / width as f32 + LEAST).sqrt();
        let scales: Vec<f32> = x.chunks_exact(width).map(scale).collect();
        let mut divided = x.to_vec();
        for (row, scale) in divided.chunks_exact_mut(width).zip(&scales) {
            row.iter_mut().for_each(|x| *x *= scale);
        }
        let mut values = divided.clone();
        for row in values.chunks_exact_mut(width) {
            row.iter_mut().zip(gain).for_each(|(x, g)| *x *= g);
        }
        Normal { divided, scales, values }
    }

    /// Adds the slope of the rows that were divided to `back`, and that of the gain to `gradient`; `slope` is that of the
    /// values.
    pub fn back(&self, slope: &[f32], gain: &[f32], back: &mut [f32], gradient: &mut [f32]) {
        let width = gain.len();
        let rows = slope.chunks_exact(width).zip(self.divided.chunks_exact(width)).zip(&self.scales);
        let mut inner = vec![0f32; width];
        for (((slope, divided), scale), back) in rows.zip(back.chunks_exact_mut(width)) {
            for (((inner, s), g), (d, gradient)) in
                inner.iter_mut().zip(slope).zip(gain).zip(divided.iter().zip(gradient.iter_mut()))
            {
                *inner = s * g;
                *gradient += s * d;
            }
            let mean = dot(&inner, divided) / width as f32;
            for ((back, inner), d) in back.iter_mut().zip(&inner).zip(divided) {
                *back += scale * (inner - d * mean);
            }
        }
    }
}
