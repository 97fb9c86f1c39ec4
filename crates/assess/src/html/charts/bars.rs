//! Bars for columns of values without order: one row a value.

use super::super::markup::{Element, classed, element};
use super::super::numbers;
use super::{Side, percent, sides};
use crate::report::{Shares, Sides};

/// Values shown before the reader opens the rest.
const SHOWN: usize = 6;

/// The most frequent values with their shares; `name` is the column's.
pub(crate) fn bars(name: &str, shares: &Shares) -> Element {
    let mut rows: Vec<(&str, Sides<f64>)> = shares
        .values
        .iter()
        .enumerate()
        .filter_map(|(i, value)| Some((value.as_str(), nth(&shares.shares, i)?)))
        .collect();
    let named = rows.len();
    let has_other = sides(&shares.other).iter().any(|(_, x)| **x > 0.0);
    if has_other {
        rows.push(("all other values", shares.other.clone()));
    }
    let peak = rows.iter().flat_map(|(_, x)| sides(x)).fold(0.0_f64, |a, (_, x)| a.max(*x));
    let mut drawn = rows.iter().enumerate().map(|(i, (value, x))| row(value, x, peak, i >= named));
    let first: Vec<Element> = drawn.by_ref().take(SHOWN).collect();
    let rest: Vec<Element> = drawn.collect();
    let list =
        classed("div", "bars").set("role", "list").set("aria-label", format_args!("Shares of the values of {name}"));
    let chart = classed("div", "chart").add(list.extend(first));
    if rest.is_empty() {
        return chart;
    }
    let more = element("summary").text(format_args!("{} more", rest.len()));
    chart.add(element("details").add(more).add(classed("div", "bars").set("role", "list").extend(rest)))
}

/// The shares of value `i`, if both sides have one.
fn nth(of: &Sides<Vec<f64>>, i: usize) -> Option<Sides<f64>> {
    Some(Sides {
        real: *of.real.get(i)?,
        synthetic: *of.synthetic.get(i)?,
        holdout: of.holdout.as_ref().and_then(|x| x.get(i).copied()),
    })
}

/// One value: its name, and its share on each side.
fn row(value: &str, shares: &Sides<f64>, peak: f64, is_rest: bool) -> Element {
    let words: Vec<String> =
        sides(shares).iter().map(|(side, x)| format!("{} {}", side.name(), numbers::decimal(**x))).collect();
    let words = words.join(", ");
    let shown = if value.trim().is_empty() { "(empty text)" } else { value };
    // Two percent stay free, so that the outline of the longest bar is not cut.
    let place = |x: f64| percent(if peak > 0.0 { 0.98 * x / peak } else { 0.0 });
    let svg = sides(shares).into_iter().fold(element("svg").set("aria-hidden", "true"), |svg, (side, x)| {
        svg.add(match side {
            Side::Real => classed("rect", "real").set("y", 1).set("height", 14).set("width", place(*x)),
            Side::Twin => classed("rect", "twin").set("x", 1).set("y", 4).set("height", 8).set("width", place(*x)),
            Side::Holdout => {
                classed("line", "holdout").set("x1", place(*x)).set("x2", place(*x)).set("y1", 0).set("y2", 16)
            }
        })
    });
    classed("div", "bar")
        .set("role", "listitem")
        .set("title", format_args!("{shown}\n{words}"))
        .add(classed("span", if is_rest { "name rest" } else { "name" }).text(shown))
        .add(svg)
        .add(classed("span", "spoken").text(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(n: usize) -> Shares {
        let each = vec![0.5 / n as f64; n];
        Shares {
            values: (0..n).map(|i| format!("value {i}")).collect(),
            shares: Sides { real: each.clone(), synthetic: each, holdout: None },
            other: Sides { real: 0.5, synthetic: 0.5, holdout: None },
            distinct: Sides { real: 9, synthetic: 9, holdout: None },
        }
    }

    #[test]
    fn longest_bar_fills_and_the_rest_folds_away() {
        let page = bars("colour", &shares(8)).to_string();
        assert_eq!(page.matches("role=\"listitem\"").count(), 9);
        assert_eq!(page.matches("width=\"98%\"").count(), 2, "both sides of `all other values`");
        assert!(page.contains("<summary>3 more</summary>"));
        assert!(!bars("colour", &shares(5)).to_string().contains("<details>"));
    }

    #[test]
    fn every_share_is_spoken() {
        assert!(bars("colour", &shares(1)).to_string().contains("real 0.500, twin 0.500</span>"));
    }
}
