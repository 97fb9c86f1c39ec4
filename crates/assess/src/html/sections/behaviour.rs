//! Does the twin behave like the real people? Popularity, repeats, rhythm, and what goes together.

use super::{card, sides_line};
use crate::html::charts::{histogram, hours_of_week, legend, lorenz, scatter};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::html::numbers;
use crate::report::{Histogram, Report, SequenceFidelity};

/// The behaviour of a shop's users; nothing for a plain table.
pub(crate) fn behaviour(report: &Report, glossary: &Glossary) -> Option<Element> {
    let sequence = report.fidelity.sequence.as_ref()?;
    let cards = classed("div", "cards")
        .add(popularity(sequence, glossary))
        .extend(together(sequence, glossary))
        .add(repeats(sequence, glossary))
        .extend(counted("length_ks", "Events per user", sequence.length_ks, &sequence.lengths, glossary))
        .extend(counted("sessions_ks", "Sessions per user", sequence.sessions_ks, &sequence.sessions, glossary))
        .extend(counted(
            "basket_size_ks",
            "Events per session",
            sequence.basket_size_ks,
            &sequence.basket_sizes,
            glossary,
        ))
        .extend(counted("gap_ks", "Time between events", sequence.gap_ks, &sequence.gaps, glossary))
        .extend(week(sequence, glossary));
    Some(
        element("section")
            .set("id", "behaviour")
            .add(element("h2").text("Behaviour: does it act like the real people?"))
            .add(classed("p", "lede").text(
                "What single columns cannot show: which items are popular, what is bought again, when, and together \
                 with what. Distances run from 0 (equal) to 1; correlations up to 1 (same order).",
            ))
            .add(legend(true, report.about.has_holdout))
            .add(cards),
    )
}

fn popularity(sequence: &SequenceFidelity, glossary: &Glossary) -> Element {
    let gini = element("p")
        .add(glossary.term("item_gini"))
        .text(" ")
        .add(glossary.difference("item_gini_difference", sequence.item_gini_difference));
    named("item_popularity_spearman", "Item popularity", sequence.item_popularity_spearman, glossary)
        .add(lorenz(&sequence.lorenz))
        .add(gini)
        .add(sides_line(glossary, "item_gini", &sequence.item_gini))
}

fn together(sequence: &SequenceFidelity, glossary: &Glossary) -> Option<Element> {
    let pairs = sequence.cooccurrence.as_ref();
    if pairs.is_none() && sequence.cooccurrence_spearman.is_none() {
        return None;
    }
    let items = pairs.map(|p| classed("p", "note").text(format_args!("Pairs of {} items.", numbers::count(p.items))));
    let name = "Items that share users";
    Some(
        named("cooccurrence_spearman", name, sequence.cooccurrence_spearman, glossary)
            .extend(pairs.map(scatter))
            .extend(items),
    )
}

fn repeats(sequence: &SequenceFidelity, glossary: &Glossary) -> Element {
    let difference = glossary.difference("repeat_rate_difference", sequence.repeat_rate_difference);
    card(element("h4").text("Bought again"), Some(difference))
        .add(reference_note("repeat_rate_difference", glossary))
        .add(element("p").add(glossary.term("repeat_rate")))
        .add(sides_line(glossary, "repeat_rate", &sequence.repeat_rate))
        .add(element("p").add(glossary.term("catalogue_coverage")))
        .add(sides_line(glossary, "catalogue_coverage", &sequence.catalogue_coverage))
}

/// A distance with the histogram that it compares.
fn counted(
    key: &str,
    name: &str,
    distance: Option<f64>,
    plot: &Option<Histogram>,
    glossary: &Glossary,
) -> Option<Element> {
    let has_something = plot.is_some() || distance.is_some();
    has_something.then(|| {
        named(key, name, distance, glossary).extend(plot.as_ref().map(|plot| histogram(&name.to_lowercase(), plot)))
    })
}

fn week(sequence: &SequenceFidelity, glossary: &Glossary) -> Option<Element> {
    let hours = sequence.hours_of_week.as_ref()?;
    let card =
        named("hour_of_week_tv", "Hour of the week", sequence.hour_of_week_tv, glossary).add(hours_of_week(hours));
    Some(card.set("data-wide", ""))
}

/// A card with its main number, what kind of number that is, and its reference value.
fn named(key: &str, name: &str, value: Option<f64>, glossary: &Glossary) -> Element {
    card(element("h4").text(name), Some(glossary.figure(key, value))).add(reference_note(key, glossary))
}

fn reference_note(key: &str, glossary: &Glossary) -> Element {
    let kind = if key.ends_with("spearman") {
        "rank correlation"
    } else if key.ends_with("difference") {
        "twin minus real"
    } else {
        "distance"
    };
    classed("p", "sides").add(glossary.term_as(key, kind)).extend(glossary.beside(glossary.reference(key)))
}
