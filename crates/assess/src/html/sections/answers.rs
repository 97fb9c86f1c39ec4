//! The first screen: three answers in words, each with its number, its colour and what to do next.

use crate::html::charts::{Domain, meter};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::html::{numbers, terms};
use crate::report::{Answer, Level, Report};

/// The three answers side by side.
pub(crate) fn answers(report: &Report, glossary: &Glossary) -> Element {
    let verdict = &report.verdict;
    classed("section", "answers")
        .set("id", "answers")
        .set("aria-label", "Three answers")
        .add(answer(
            "Faithful?",
            "Does the twin look like the real data?",
            &verdict.faithful,
            ["No", "Partly", "Yes"],
            glossary,
        ))
        .add(answer(
            "Useful?",
            "Does work done on the twin carry over?",
            &verdict.useful,
            ["No", "Partly", "Yes"],
            glossary,
        ))
        .add(answer(
            "Private?",
            "Does it give away who was in the data?",
            &verdict.private,
            ["No", "Look closer", "No leak found"],
            glossary,
        ))
}

/// One answer; `words` say red, amber and green.
fn answer(name: &str, question: &str, answer: &Answer, words: [&str; 3], glossary: &Glossary) -> Element {
    let [red, amber, green] = words;
    let (level, word) = match answer.level {
        Level::Red => ("red", red),
        Level::Amber if answer.number.is_none() => ("amber", "Not measured"),
        Level::Amber => ("amber", amber),
        Level::Green => ("green", green),
    };
    classed("article", "answer")
        .set("data-level", level)
        .add(element("h2").text(name))
        .add(classed("p", "question").text(question))
        .add(classed("p", "badge").add(icon(answer.level)).text(word))
        .add(number(answer, glossary))
        .add(classed("p", "sentence").text(&answer.sentence))
        .extend(
            (!answer.advice.is_empty())
                .then(|| classed("p", "advice").add(element("strong").text("What to do ")).text(&answer.advice)),
        )
}

/// The number that decided, on its scale.
fn number(answer: &Answer, glossary: &Glossary) -> Element {
    let measure = answer.measure.as_deref().unwrap_or("");
    let (Some(x), false) = (answer.number, measure.is_empty()) else {
        return classed("p", "missing").text("No number could be measured for this.");
    };
    let reference = glossary.reference(measure).or(terms::fair_coin(measure));
    let note = reference.map(|r| format!("{} {}", terms::reference_name(measure), numbers::decimal(r)));
    classed("div", "number")
        .add(glossary.figure(measure, Some(x)))
        .add(classed("span", "measure").text(terms::title(measure)))
        .add(meter(Domain::UNIT, x, None, reference))
        .extend(note.map(|words| classed("span", "note").text(words)))
}

/// Tick, wave or cross: the level without colour.
fn icon(level: Level) -> Element {
    let d = match level {
        Level::Green => "M3 8.5l3.5 3.5L13 4.5",
        Level::Amber => "M8 3v6M8 12v1",
        Level::Red => "M4 4l8 8M12 4l-8 8",
    };
    element("svg").set("viewBox", "0 0 16 16").set("aria-hidden", "true").add(element("path").set("d", d))
}
