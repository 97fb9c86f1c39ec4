//! The Lorenz curve: how unequally events fall on items.

use super::super::markup::{Element, classed, element};
use super::super::numbers;
use super::{drawing, path, sides};
use crate::report::Sides;

/// Curves of `[n + 1]` cumulative shares each, from 0 to 1.
pub(crate) fn lorenz(curves: &Sides<Vec<f64>>) -> Element {
    let mut label = "Lorenz curve of item popularity.".to_string();
    for (side, curve) in sides(curves) {
        if let Some(below) = curve.get(curve.len().saturating_sub(1) * 9 / 10) {
            let top = numbers::decimal(1.0 - below);
            label.push_str(&format!(" The most popular tenth of the items has {top} of the {} events.", side.name()));
        }
    }
    let equal = path([(0.0, 100.0), (100.0, 0.0)]).set("class", "guide");
    let mut svg = drawing(100.0, 100.0, &label).set("class", "square").add(equal);
    for (side, curve) in sides(curves) {
        let last = curve.len().saturating_sub(1).max(1) as f64;
        let points = curve.iter().enumerate().map(|(i, y)| (100.0 * i as f64 / last, 100.0 - 100.0 * y));
        svg = svg.extend((curve.len() > 1).then(|| path(points).set("class", side.class()).set("data-line", "")));
    }
    classed("div", "chart")
        .add(classed("span", "peak").set("aria-hidden", "true").text("share of events"))
        .add(svg)
        .add(
            classed("div", "ticks")
                .set("aria-hidden", "true")
                .extend(["least popular items", "all items"].map(|t| element("span").text(t))),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_reads_the_top_tenth_off_the_curve() {
        let square = |n: usize| (0..=n).map(|i| (i as f64 / n as f64).powi(2)).collect::<Vec<_>>();
        let page = lorenz(&Sides { real: square(100), synthetic: vec![], holdout: None }).to_string();
        assert!(page.contains("tenth of the items has 0.190 of the real events"), "{page}");
        assert!(!page.contains("twin"), "no curve without points: {page}");
    }
}
