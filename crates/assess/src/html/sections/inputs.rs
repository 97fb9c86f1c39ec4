//! What went in, and what cleaning did to it.

use super::{head, scroll};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::report::{InputTable, Report};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The cleaning stage's own report, as far as the page shows it.
#[derive(Deserialize)]
struct Cleaning {
    targets: Vec<Target>,
}

/// A source or table that was cleaned.
#[derive(Deserialize)]
struct Target {
    name: String,
    rows_in: u64,
    rows_out: u64,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// What one rule did.
#[derive(Deserialize)]
struct Rule {
    rule: String,
    column: Option<String>,
    #[serde(default)]
    detail: String,
    matched: u64,
    removed: u64,
    changed: u64,
    #[serde(default)]
    examples: Vec<Map<String, Value>>,
}

/// The tables, then the cleaning rules.
pub(crate) fn inputs(report: &Report, glossary: &Glossary) -> Element {
    let section = element("section")
        .set("id", "inputs")
        .add(element("h2").text("What went in"))
        .add(scroll("Tables that went in", tables(&report.inputs, glossary)))
        .add(element("h3").text("Cleaning"));
    match Cleaning::deserialize(&report.cleaning) {
        Ok(cleaning) if !cleaning.targets.is_empty() => {
            section.extend(cleaning.targets.iter().map(|target| cleaned(target, glossary)))
        }
        _ => section.add(classed("p", "lede").text("No cleaning rules were applied: the rows went in as they are.")),
    }
}

fn tables(inputs: &[InputTable], glossary: &Glossary) -> Element {
    let columns = ["columns", "rows_real", "rows_synthetic", "rows_holdout"].map(|key| glossary.term(key));
    let names = ["Table", "Role"].map(|name| element("span").text(name));
    element("table").add(head(names.into_iter().chain(columns))).add(element("tbody").extend(inputs.iter().map(
        |table| {
            let kept = (!table.synthesized).then(|| classed("span", "tag").text("kept as it is"));
            let twin = if table.synthesized {
                glossary.count("rows_synthetic", table.rows_synthetic)
            } else {
                element("span").text("–")
            };
            let holdout = table.rows_holdout.map_or(element("span").text("–"), |n| glossary.count("rows_holdout", n));
            element("tr")
                .add(element("th").set("scope", "row").text(&table.name))
                .add(element("td").text(&table.role).text(" ").extend(kept))
                .add(number_cell(glossary.count("columns", table.columns)))
                .add(number_cell(glossary.count("rows_real", table.rows_real)))
                .add(number_cell(twin))
                .add(number_cell(holdout))
        },
    )))
}

fn number_cell(number: Element) -> Element {
    classed("td", "number").add(number)
}

/// One cleaned table: a line of counts and its rules.
fn cleaned(target: &Target, glossary: &Glossary) -> Element {
    let kept = (target.rows_in > 0).then(|| target.rows_out as f64 / target.rows_in as f64);
    let summary = classed("p", "sides")
        .add(element("span").text("in ").add(glossary.count("rows_in", target.rows_in)))
        .add(element("span").text("out ").add(glossary.count("rows_out", target.rows_out)))
        .extend(kept.map(|x| element("span").text("kept ").add(glossary.figure("rows_kept", Some(x)))));
    let counts = ["rule_matched", "rule_removed", "rule_changed"].map(|key| glossary.term(key));
    let table = element("table")
        .add(head([element("span").text("Rule")].into_iter().chain(counts)))
        .add(element("tbody").extend(target.rules.iter().map(|rule| applied(rule, glossary))));
    let label = format!("Cleaning rules of {}", target.name);
    classed("div", "cleaned")
        .add(element("h4").text(&target.name))
        .add(summary)
        .extend((!target.rules.is_empty()).then(|| scroll(&label, table)))
}

/// One rule: what it is, its counts, and rows it met.
fn applied(rule: &Rule, glossary: &Glossary) -> Element {
    let detail = Some(&rule.detail).filter(|detail| !detail.is_empty());
    let codes = rule.column.iter().chain(detail).map(|text| element("span").text(" ").add(element("code").text(text)));
    let name = element("th")
        .set("scope", "row")
        .add(element("span").text(rule.rule.replace('_', " ")))
        .extend(codes)
        .extend(examples(&rule.examples));
    element("tr")
        .add(name)
        .add(number_cell(glossary.count("rule_matched", rule.matched)))
        .add(number_cell(glossary.count("rule_removed", rule.removed)))
        .add(number_cell(glossary.count("rule_changed", rule.changed)))
}

/// Up to three rows that the rule met, one block each.
fn examples(rows: &[Map<String, Value>]) -> Option<Element> {
    let blocks = rows.iter().take(3).map(|row| {
        row.iter().fold(classed("dl", "example"), |list, (column, value)| {
            let shown = match value {
                Value::String(text) => text.clone(),
                Value::Null => "missing".into(),
                other => other.to_string(),
            };
            list.add(element("div").add(element("dt").text(column)).add(element("dd").text(shown)))
        })
    });
    let summary = element("summary").text(match rows.len() {
        1 => "1 example row".into(),
        n => format!("{} example rows", n.min(3)),
    });
    (!rows.is_empty()).then(|| element("details").add(summary).extend(blocks))
}
