//! How the twin was learned: curves of generator and discriminator, and what the discriminator told in the end.

use super::{head, scroll};
use crate::html::charts::curves;
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::html::numbers;
use crate::report::Report;
use crate::training::{CurvePoint, TrainingCurves};

/// The learning of each table; nothing for a twin that was not made by a generator against a discriminator.
pub(crate) fn training(report: &Report, glossary: &Glossary) -> Option<Element> {
    let tables = report.training.as_ref()?;
    Some(
        element("section")
            .set("id", "learned")
            .add(element("h2").text("How it was learned"))
            .add(classed("p", "lede").text(
                "A generator made examples, a discriminator told them from real ones, and each learned from the other. Their \
                 losses move with one another, so neither must fall. Good is a discriminator that can only guess, and made \
                 examples that are no more unlike real ones than these among each other. The dotted upright is the epoch that \
                 was kept.",
            ))
            .extend(tables.iter().map(|table| one_table(table, glossary))),
    )
}

fn one_table(table: &TrainingCurves, glossary: &Glossary) -> Element {
    let block = classed("div", "table-block").add(element("h3").text(&table.table));
    if table.epochs.is_empty() {
        return block.add(classed("p", "lede").text("Nothing was learned: the table has nothing to learn from."));
    }
    let cards = curves(table).map(|drawing| classed("article", "card").add(drawing));
    block
        .add(classed("div", "cards").extend(cards))
        .add(scroll(&format!("The discriminator of {}", table.table), told(table, glossary)))
        .add(floor_note(table, glossary))
}

/// The discriminator's scores at the kept epoch and at the last one.
fn told(table: &TrainingCurves, glossary: &Glossary) -> Element {
    let last = table.epochs.last();
    let kept = table.kept_epoch().filter(|kept| last.is_none_or(|last| last.epoch != kept.epoch));
    let name = if table.kept_epoch().is_some() && kept.is_none() { "last, kept" } else { "last" };
    let rows = kept.map(|point| ("kept", point)).into_iter().chain(last.map(|point| (name, point)));
    let terms = [
        ("discriminator_accuracy", "Accuracy"),
        ("discriminator_precision", "Precision"),
        ("discriminator_recall", "Recall"),
        ("discriminator_f1", "F1"),
        ("two_sample", "Two-sample statistic"),
    ];
    let names = terms.map(|(key, words)| glossary.term_as(key, words));
    element("table")
        .add(head([element("span").text("Epoch")].into_iter().chain(names)))
        .add(element("tbody").extend(rows.map(|(name, point)| row(name, point, glossary))))
}

fn row(name: &str, point: &CurvePoint, glossary: &Glossary) -> Element {
    let cell = |number: Element| classed("td", "number").add(number);
    let epoch = format!("{} ({name})", numbers::count(point.epoch));
    element("tr")
        .add(element("th").set("scope", "row").text(epoch))
        .add(cell(glossary.figure("discriminator_accuracy", point.accuracy)))
        .add(cell(glossary.figure("discriminator_precision", point.precision)))
        .add(cell(glossary.figure("discriminator_recall", point.recall)))
        .add(cell(glossary.figure("discriminator_f1", point.f1)))
        .add(cell(glossary.figure("two_sample", point.two_sample)))
}

fn floor_note(table: &TrainingCurves, glossary: &Glossary) -> Element {
    classed("p", "sides").add(
        element("span")
            .add(glossary.term("two_sample_floor"))
            .text(" ")
            .add(glossary.figure("two_sample_floor", table.two_sample_floor)),
    )
}
