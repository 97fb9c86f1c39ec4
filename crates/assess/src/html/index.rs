//! Several twins of the same real data on one page: their three answers, each linking to its own report.

use super::markup::{Element, classed, element};
use super::page::head;
use crate::report::{Answer, Level, Report};
use std::collections::BTreeMap;

/// The page; the report of `NAME` is expected beside it as `report-NAME.html`.
pub(super) fn document(reports: &BTreeMap<String, Report>) -> String {
    let header = ["twin", "faithful?", "useful?", "private?"].map(|name| element("th").set("scope", "col").text(name));
    let rows = reports.iter().map(|(name, report)| {
        let link = element("a").set("href", format_args!("report-{name}.html")).text(name);
        let verdict = &report.verdict;
        element("tr")
            .add(element("th").set("scope", "row").add(link))
            .extend([&verdict.faithful, &verdict.useful, &verdict.private].map(cell))
    });
    let table = element("table")
        .add(element("thead").add(element("tr").extend(header)))
        .add(element("tbody").extend(rows.collect::<Vec<_>>()));
    let title = format!("{} twins compared", reports.len());
    let body = element("body")
        .add(classed("header", "masthead").add(element("h1").text(&title)))
        .add(element("main").add(element("section").add(classed("div", "scroll").add(table))));
    format!("<!DOCTYPE html>\n{}\n", element("html").set("lang", "en").add(head(&title)).add(body))
}

fn cell(answer: &Answer) -> Element {
    let level = match answer.level {
        Level::Green => "green",
        Level::Amber => "amber",
        Level::Red => "red",
    };
    let badge = element("span").set("class", "badge small").set("data-level", level).text(level);
    element("td").add(badge).add(element("p").text(&answer.sentence))
}
