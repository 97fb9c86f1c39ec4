//! Every number on the page leads to its definition: by pointer (title), by click, touch or keyboard (popover), and in
//! print (the list at the end).

use super::markup::{Element, classed, element};
use super::{numbers, terms};
use crate::report::{ReferenceBasis, Report};
use std::collections::BTreeMap;

/// The definitions of one report, and the elements that point to them.
pub(super) struct Glossary<'a> {
    report: &'a Report,
    sentences: BTreeMap<&'a str, &'a str>,
}

impl<'a> Glossary<'a> {
    /// The report's definitions, and the page's own for what only the page shows.
    pub(super) fn new(report: &'a Report) -> Self {
        let mut sentences: BTreeMap<&str, &str> = terms::PAGE.iter().map(|term| (term.key, term.sentence)).collect();
        sentences.extend(report.definitions.iter().map(|(key, sentence)| (key.as_str(), sentence.as_str())));
        Glossary { report, sentences }
    }

    /// A measured number, or why there is none.
    pub(super) fn figure(&self, key: &str, value: Option<f64>) -> Element {
        value.map_or_else(|| self.absent(key), |x| self.opener(key, "figure").text(numbers::decimal(x)))
    }

    /// A measured difference, with its sign.
    pub(super) fn difference(&self, key: &str, value: Option<f64>) -> Element {
        value.map_or_else(|| self.absent(key), |x| self.opener(key, "figure").text(numbers::signed(x)))
    }

    /// A very small number, as a power of ten.
    pub(super) fn scientific(&self, key: &str, value: Option<f64>) -> Element {
        value.map_or_else(|| self.absent(key), |x| self.opener(key, "figure").text(numbers::axis(x)))
    }

    /// A count.
    pub(super) fn count(&self, key: &str, n: u64) -> Element {
        self.opener(key, "figure").text(numbers::count(n))
    }

    /// The name of a number, for table heads and captions.
    pub(super) fn term(&self, key: &str) -> Element {
        self.opener(key, "term").text(terms::title(key))
    }

    /// Other words that lead to the definition of a number.
    pub(super) fn term_as(&self, key: &str, words: &str) -> Element {
        self.opener(key, "term").text(words)
    }

    /// A tile with a number's name, the number, and what two real samples get for it.
    pub(super) fn tile(&self, key: &str, value: Option<f64>) -> Element {
        let note = self
            .reference(key)
            .filter(|_| value.is_some())
            .map(|x| format!("two real samples: {}", numbers::decimal(x)));
        self.tile_with_note(key, value, note)
    }

    /// A tile with a note of its own.
    pub(super) fn tile_with_note(&self, key: &str, value: Option<f64>, note: Option<String>) -> Element {
        let shown = match value {
            Some(x) => classed("span", "value").text(numbers::decimal(x)),
            None => classed("span", "missing").text(format_args!("not measured: {}", terms::reason(key, self.report))),
        };
        self.opener(key, "tile")
            .add(classed("span", "label").text(terms::title(key)))
            .add(shown)
            .extend(note.map(|words| classed("span", "note").text(words)))
    }

    /// What stands in place of a number that could not be measured.
    pub(super) fn absent(&self, key: &str) -> Element {
        let reason = terms::reason(key, self.report);
        self.opener(key, "missing").set("aria-label", format_args!("not measured: {reason}")).text("not measured")
    }

    /// What two real samples get, as a remark beside a number.
    pub(super) fn beside(&self, reference: Option<f64>) -> Option<Element> {
        let number = |x| self.figure("two_real_samples", Some(x));
        reference.map(|x| element("span").text("two real samples ").add(number(x)))
    }

    /// An interval: `0.870 to 0.980`.
    pub(super) fn interval(&self, [low, high]: [f64; 2]) -> Element {
        self.opener("interval", "figure").text(format_args!("{} to {}", numbers::decimal(low), numbers::decimal(high)))
    }

    /// Why a number is missing.
    pub(super) fn reason(&self, key: &str) -> &'static str {
        terms::reason(key, self.report)
    }

    /// What two real samples get for a number.
    pub(super) fn reference(&self, key: &str) -> Option<f64> {
        self.report.references.get(key).copied()
    }

    /// One popover for each definition.
    pub(super) fn popovers(&self) -> impl Iterator<Item = Element> {
        self.sentences.iter().enumerate().map(|(i, (key, sentence))| {
            let close =
                classed("button", "close").set("popovertarget", id(i)).set("popovertargetaction", "hide").text("Close");
            classed("div", "definition")
                .flag("popover")
                .set("id", id(i))
                .set("role", "note")
                .add(element("strong").text(terms::title(key)))
                .add(element("p").text(sentence))
                .extend(self.reference_sentence(key).map(|words| classed("p", "note").text(words)))
                .add(close)
        })
    }

    /// All definitions as a list.
    pub(super) fn list(&self) -> Element {
        self.sentences.iter().fold(classed("dl", "definitions"), |list, (key, sentence)| {
            let name = element("dt").text(terms::title(key)).text(" ").add(element("code").text(key));
            list.add(element("div").add(name).add(element("dd").text(sentence)))
        })
    }

    fn reference_sentence(&self, key: &str) -> Option<String> {
        let basis = match self.report.reference_basis {
            ReferenceBasis::Holdout => "the real data against held-out real data",
            ReferenceBasis::RealHalves => "one half of the real data against the other",
        };
        Some(format!("Two real samples get {} ({basis}).", numbers::decimal(self.reference(key)?)))
    }

    /// A button that opens the definition of `key`; plain text where there is none.
    fn opener(&self, key: &str, class: &'static str) -> Element {
        match self.sentences.iter().enumerate().find(|(_, (other, _))| **other == key) {
            Some((i, (_, sentence))) => classed("button", class).set("popovertarget", id(i)).set("title", sentence),
            None => classed("span", class),
        }
    }
}

/// The identifier of a definition; a number, because keys come from the data.
fn id(i: usize) -> String {
    format!("definition-{i}")
}
