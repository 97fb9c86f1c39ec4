//! The page as a whole: head, first screen, sections, definitions.

use super::glossary::Glossary;
use super::markup::{Element, classed, element};
use super::sections;
use crate::report::{Report, Subject};

/// Nothing may be fetched, run or sent; only the style sheet below applies.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole document.
pub(super) fn document(report: &Report) -> String {
    let glossary = Glossary::new(report);
    let body = element("body")
        .add(element("a").set("class", "skip").set("href", "#answers").text("To the answers"))
        .add(masthead(report))
        .add(
            element("main")
                .add(sections::answers(report, &glossary))
                .add(sections::inputs(report, &glossary))
                .add(sections::fidelity(report, &glossary))
                .extend(sections::behaviour(report, &glossary))
                .add(usefulness(report, &glossary))
                .add(sections::privacy(report, &glossary))
                .extend(sections::training(report, &glossary))
                .add(definitions(&glossary)),
        )
        .add(element("footer").add(
            element("p").text("Made by Twinmart. The same data, seed and version give the same page, byte by byte."),
        ))
        .extend(glossary.popovers());
    let html = element("html").set("lang", "en").add(head(&report.about.project)).add(body);
    format!("<!DOCTYPE html>\n{html}\n")
}

pub(super) fn head(title: &str) -> Element {
    let meta = |name: &'static str, content: &str| element("meta").set("name", name).set("content", content);
    element("head")
        .add(element("meta").set("charset", "utf-8"))
        .add(element("meta").set("http-equiv", "Content-Security-Policy").set("content", POLICY))
        .add(meta("viewport", "width=device-width, initial-scale=1"))
        .add(meta("color-scheme", "light dark"))
        .add(meta("referrer", "no-referrer"))
        .add(element("title").text(format_args!("{title} · Twinmart report")))
        .add(Element::style_sheet(include_str!("style.css")))
}

/// Name, method and way around.
fn masthead(report: &Report) -> Element {
    let about = &report.about;
    let subject = match about.subject {
        Subject::Shop => "a shop: users, items, events",
        Subject::Table => "one table",
    };
    let holdout = if about.has_holdout { "some real data held out as control" } else { "no real data held out" };
    let method = about.method.as_deref().map_or(element("span").text("method not recorded"), |method| {
        element("span").text("method ").add(element("strong").text(method))
    });
    let facts = [
        method,
        element("span").text(subject),
        element("span").text(holdout),
        element("span").text(format_args!("seed {}", report.seed)),
    ];
    classed("header", "masthead")
        .add(classed("p", "brand").add(mark()).text("Twinmart report"))
        .add(element("h1").text(&about.project))
        .add(classed("p", "facts").extend(facts))
        .add(contents(report))
}

/// Links to the sections that exist.
fn contents(report: &Report) -> Element {
    let link = |(target, name): (&str, &str)| element("a").set("href", format_args!("#{target}")).text(name);
    let behaviour = report.fidelity.sequence.as_ref().map(|_| ("behaviour", "Behaviour"));
    let training = report.training.as_ref().map(|_| ("learned", "Learned"));
    element("nav")
        .set("aria-label", "Sections")
        .extend([("inputs", "Input"), ("faithful", "Faithful")].map(link))
        .extend(behaviour.map(link))
        .extend([("useful", "Useful"), ("private", "Private")].map(link))
        .extend(training.map(link))
        .add(link(("definitions", "Definitions")))
}

/// Two overlapping squares: the real and its twin.
fn mark() -> Element {
    let square = |at: u32| element("rect").set("x", at).set("y", at).set("width", 13).set("height", 13).set("rx", 3);
    element("svg")
        .set("viewBox", "0 0 22 22")
        .set("aria-hidden", "true")
        .add(square(1).set("class", "real"))
        .add(square(8).set("class", "twin"))
}

/// Recommenders and learners, or that there were none.
fn usefulness(report: &Report, glossary: &Glossary) -> Element {
    let section = element("section").set("id", "useful").add(element("h2").text("Useful: does work on it carry over?"));
    let parts: Vec<Element> =
        sections::recommenders(report, glossary).into_iter().chain(sections::learners(report, glossary)).collect();
    if parts.is_empty() {
        let words = match report.about.subject {
            Subject::Shop => "Not measured: no recommenders were trained on both sides.",
            Subject::Table => "Not measured: this needs a column to predict and real rows that were held out.",
        };
        return section.add(classed("p", "lede").text(words));
    }
    section.extend(parts)
}

fn definitions(glossary: &Glossary) -> Element {
    element("section")
        .set("id", "definitions")
        .add(element("h2").text("Definitions"))
        .add(classed("p", "lede").text("Any number on this page opens its definition. Here they are together."))
        .add(glossary.list())
}
