//! The report as one self-contained page: light and dark, phone and desktop, no script, no network.
//!
//! In: a [`Report`], nothing else. Out: HTML text; the same report gives the same bytes. `page` composes `sections`,
//! which place numbers (`glossary`) and `charts`; all of them build `markup` elements, which escape what they hold.

mod charts;
mod glossary;
mod index;
mod markup;
mod numbers;
mod page;
mod sections;
mod terms;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use crate::report::Report;
use crate::training::TrainingCurves;
use std::collections::BTreeMap;

/// The page of a report.
pub fn render(report: &Report) -> String {
    page::document(report)
}

/// The page of several reports on the same real data: name → report; each links to `report-NAME.html` beside it.
pub fn render_index(reports: &BTreeMap<String, Report>) -> String {
    index::document(reports)
}

/// The curves of learning as one SVG file by itself, on white: the drawings of the report, table by table, one below the other.
pub fn render_curves(curves: &[TrainingCurves]) -> String {
    charts::curves_alone(curves)
}
