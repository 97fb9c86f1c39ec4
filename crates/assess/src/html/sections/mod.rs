//! The parts of the page, in reading order. Each takes the report and the glossary and returns its elements.

mod answers;
mod behaviour;
mod columns;
mod inputs;
mod learners;
mod privacy;
mod recommenders;
mod training;

pub(super) use answers::answers;
pub(super) use behaviour::behaviour;
pub(super) use columns::fidelity;
pub(super) use inputs::inputs;
pub(super) use learners::learners;
pub(super) use privacy::privacy;
pub(super) use recommenders::recommenders;
pub(super) use training::training;

use super::glossary::Glossary;
use super::markup::{Element, classed, element};
use super::numbers;
use crate::report::Sides;

/// A box that scrolls sideways by itself, so that a wide table never makes the page scroll.
fn scroll(label: &str, inside: Element) -> Element {
    classed("div", "scroll").set("tabindex", 0).set("role", "region").set("aria-label", label).add(inside)
}

/// A card: a head with a name and a number, then anything.
fn card(name: Element, number: Option<Element>) -> Element {
    classed("article", "card").add(element("header").add(name).extend(number))
}

/// A table head.
fn head(cells: impl IntoIterator<Item = Element>) -> Element {
    element("thead")
        .add(element("tr").extend(cells.into_iter().map(|cell| element("th").set("scope", "col").add(cell))))
}

/// One number of each side, in a line: `real 0.323 · twin 0.310`.
fn sides_line(glossary: &Glossary, key: &str, sides: &Sides<Option<f64>>) -> Element {
    let side = |name: &str, x: Option<f64>| element("span").text(format_args!("{name} ")).add(glossary.figure(key, x));
    classed("p", "sides")
        .add(side("real", sides.real))
        .add(side("twin", sides.synthetic))
        .extend(sides.holdout.map(|x| side("held out", x)))
}

/// The key to the marks of a dumbbell.
fn knobs() -> Element {
    let knob = |side: &str| classed("i", "knob").set("data-side", side);
    element("span").add(knob("real")).text("real ").add(knob("twin")).text("twin")
}

/// `1 row`, `2 rows`.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", numbers::count(n), if n == 1 { one } else { many })
}
