//! Charts as inline SVG and HTML: no library, no script, any width.
//!
//! A drawing stretches with the page, so it holds shapes only and is stretched without regard to its proportions; every
//! word stands beside it as HTML, where it keeps its size on a phone. Real data are filled, the twin is an outline,
//! held-out real data are a dashed grey line: the three can be told apart without colour. Curves of learning are the exception:
//! they are also a file by themselves, so their words are in the drawing and it keeps its proportions.

mod bars;
mod curves;
mod heat;
mod histogram;
mod lorenz;
mod scatter;
mod tracks;

pub(super) use bars::bars;
pub(super) use curves::{curves, curves_alone};
pub(super) use heat::heat;
pub(super) use histogram::{histogram, hours_of_week};
pub(super) use lorenz::lorenz;
pub(super) use scatter::scatter;
pub(super) use tracks::{Domain, dumbbell, interval, meter};

use super::markup::{Element, classed, element};
use crate::report::Sides;

/// Whose data a mark shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Real,
    Twin,
    Holdout,
}

impl Side {
    /// The class that gives the mark its look.
    fn class(self) -> &'static str {
        match self {
            Side::Real => "real",
            Side::Twin => "twin",
            Side::Holdout => "holdout",
        }
    }
    /// What the reader calls it.
    fn name(self) -> &'static str {
        match self {
            Side::Real => "real",
            Side::Twin => "twin",
            Side::Holdout => "held-out",
        }
    }
}

/// The sides that have data, in painting order: the twin's outline comes last, on top.
fn sides<T>(of: &Sides<T>) -> Vec<(Side, &T)> {
    let mut all = vec![(Side::Real, &of.real)];
    all.extend(of.holdout.as_ref().map(|x| (Side::Holdout, x)));
    all.push((Side::Twin, &of.synthetic));
    all
}

/// The key to the marks, once above each group of charts.
pub(super) fn legend(has_real: bool, has_holdout: bool) -> Element {
    let entry = |side: Side, words: &str| {
        element("span").add(classed("i", "swatch").set("data-side", side.class())).text(words)
    };
    classed("p", "legend")
        .extend(has_real.then(|| entry(Side::Real, "real")))
        .add(entry(Side::Twin, "twin"))
        .extend(has_holdout.then(|| entry(Side::Holdout, "real, held out")))
}

/// An empty drawing of `width` × `height` units that fills its box; `label` says in words what it shows.
fn drawing(width: f64, height: f64, label: &str) -> Element {
    element("svg")
        .set("viewBox", format_args!("0 0 {} {}", unit(width), unit(height)))
        .set("preserveAspectRatio", "none")
        .set("role", "img")
        .set("aria-label", label)
}

/// A text for the pointer, inside a mark.
fn tip(words: String) -> Element {
    element("title").text(words)
}

/// A coordinate with two decimals at most: shorter files, and no trace of the last bits.
fn unit(x: f64) -> String {
    let text = format!("{:.2}", if x.is_finite() { x } else { 0.0 });
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".into() } else { short.into() }
}

/// A share of the width as a percentage.
fn percent(share: f64) -> String {
    format!("{}%", unit(100.0 * share.clamp(0.0, 1.0)))
}

/// An open path through points.
fn path(points: impl IntoIterator<Item = (f64, f64)>) -> Element {
    let mut d = String::new();
    for (x, y) in points {
        d.push(if d.is_empty() { 'M' } else { 'L' });
        d.push_str(&format!("{} {}", unit(x), unit(y)));
    }
    element("path").set("d", d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_finite() {
        let cases = [(1.0, "1"), (0.126, "0.13"), (-0.001, "0"), (f64::NAN, "0"), (12.5, "12.5")];
        for (x, text) in cases {
            assert_eq!(unit(x), text);
        }
        assert_eq!((percent(1.7), percent(0.333_333)), ("100%".into(), "33.33%".into()));
    }
}
