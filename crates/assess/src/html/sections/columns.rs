//! Does the twin look like the real data? Tables: overall numbers, every column, every pair of columns.

use super::{card, counted};
use crate::html::charts::{bars, heat, histogram, legend};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::html::numbers;
use crate::report::{ColumnFidelity, ColumnPlot, Report, Sides, Subject, TableFidelity};

/// Columns drawn before the reader opens the rest.
const SHOWN: usize = 12;

/// Columns in a heat map: more cannot be read.
const HEAT_COLUMNS: usize = 40;

/// Shapes below these are marked, unless two real samples are hardly closer.
const DIFFERS: f64 = 0.95;
const DIFFERS_CLEARLY: f64 = 0.85;
const HARDLY: f64 = 0.02;

/// The overall numbers, then each table.
pub(crate) fn fidelity(report: &Report, glossary: &Glossary) -> Element {
    let all = &report.fidelity;
    let ceiling = all.accuracy_ceiling.map(|x| format!("two real samples: {}", numbers::decimal(x)));
    let unit = match report.about.subject {
        Subject::Shop => "users",
        Subject::Table => "rows",
    };
    let looked = all.detection_rows.filter(|_| all.detection_auc.is_some());
    let looked = looked.map(|n| format!("½ = cannot tell; {} {unit} a side", numbers::count(n)));
    let tiles = classed("div", "tiles")
        .add(glossary.tile("column_shapes", all.column_shapes))
        .add(glossary.tile("column_pairs", all.column_pairs))
        .add(glossary.tile_with_note("accuracy", all.accuracy, ceiling))
        .add(glossary.tile_with_note("detection_auc", all.detection_auc, looked));
    element("section")
        .set("id", "faithful")
        .add(element("h2").text("Faithful: does it look like the real data?"))
        .add(classed("p", "lede").text(
            "Each number compares distributions; 1 means equal. Two samples of the same real data differ a little too: \
             that is the mark to reach, and it stands beside each number.",
        ))
        .add(tiles)
        .extend(all.tables.iter().map(|(name, table)| one_table(name, table, report, glossary)))
}

fn one_table(name: &str, table: &TableFidelity, report: &Report, glossary: &Glossary) -> Element {
    let block = classed("div", "table-block")
        .add(element("h3").text(name).text(" ").add(classed("span", "tag").text(&table.role)));
    if table.columns.is_empty() {
        let words = "Nothing to compare by itself: the table holds keys and references only.";
        return block.add(classed("p", "lede").text(words));
    }
    let real = |x: Option<f64>| x.map(|x| format!("two real samples: {}", numbers::decimal(x)));
    let tiles = classed("div", "tiles")
        .add(glossary.tile_with_note("column_shapes", table.column_shapes, real(table.column_shapes_reference)))
        .add(glossary.tile_with_note("column_pairs", table.column_pairs, real(table.column_pairs_reference)))
        .add(glossary.tile_with_note("accuracy", table.accuracy, real(table.accuracy_ceiling)));
    // With one table, its numbers are the overall ones, which stand just above.
    let has_own_numbers = report.fidelity.tables.len() > 1;
    block
        .extend(has_own_numbers.then_some(tiles))
        .add(legend(true, report.about.has_holdout))
        .extend(column_cards(&table.columns, glossary))
        .extend(pairs(name, table, glossary))
}

/// Small multiples: in table order, or the least similar first where there are many.
fn column_cards(columns: &[ColumnFidelity], glossary: &Glossary) -> Vec<Element> {
    let mut ordered: Vec<&ColumnFidelity> = columns.iter().collect();
    let has_rest = ordered.len() > SHOWN;
    if has_rest {
        ordered.sort_by(|a, b| a.shape.total_cmp(&b.shape));
    }
    let (first, rest) = ordered.split_at(ordered.len().min(SHOWN));
    let grid = |some: &[&ColumnFidelity]| classed("div", "cards").extend(some.iter().map(|c| column_card(c, glossary)));
    let order = format!("The {SHOWN} least similar of {} columns.", columns.len());
    let more = element("summary").text(counted(rest.len() as u64, "more column", "more columns"));
    let mut elements: Vec<Element> = has_rest.then(|| classed("p", "lede").text(order)).into_iter().collect();
    elements.push(grid(first));
    elements.extend(has_rest.then(|| classed("details", "more").add(more).add(grid(rest))));
    elements
}

fn column_card(column: &ColumnFidelity, glossary: &Glossary) -> Element {
    let name = element("h4").set("title", &column.name).text(&column.name);
    let facts = classed("p", "sides")
        .extend(difference(column))
        .add(element("span").text(&column.kind))
        .extend(glossary.beside(column.shape_reference));
    let (chart, distinct) = match &column.plot {
        ColumnPlot::Histogram(plot) => (histogram(&column.name, plot), None),
        ColumnPlot::Shares(plot) => (bars(&column.name, plot), Some(distinct_values(&plot.distinct, glossary))),
    };
    card(name, Some(glossary.figure("shape", Some(column.shape))))
        .add(facts)
        .add(chart)
        .extend(distinct)
        .extend(missing_values(&column.missing, glossary))
}

/// The mark of a column that differs more than chance explains.
fn difference(column: &ColumnFidelity) -> Option<Element> {
    let by_chance = column.shape_reference.unwrap_or(1.0) - HARDLY;
    let mark = |level: &str, words: &str| classed("span", "badge small").set("data-level", level).text(words);
    match column.shape {
        shape if shape >= DIFFERS.min(by_chance) => None,
        shape if shape >= DIFFERS_CLEARLY => Some(mark("amber", "differs")),
        _ => Some(mark("red", "clearly differs")),
    }
}

fn distinct_values(distinct: &Sides<u64>, glossary: &Glossary) -> Element {
    classed("p", "sides")
        .add(element("span").text("values: real ").add(glossary.count("distinct", distinct.real)))
        .add(element("span").text("twin ").add(glossary.count("distinct", distinct.synthetic)))
}

/// Shares of missing values, where there are any.
fn missing_values(missing: &Sides<f64>, glossary: &Glossary) -> Option<Element> {
    let share = |x: f64| glossary.figure("missing_share", Some(x));
    (missing.real > 0.0 || missing.synthetic > 0.0).then(|| {
        classed("p", "sides")
            .add(element("span").text("missing: real ").add(share(missing.real)))
            .add(element("span").text("twin ").add(share(missing.synthetic)))
    })
}

/// The heat map of pairs, for two columns and more.
fn pairs(name: &str, table: &TableFidelity, glossary: &Glossary) -> Option<Element> {
    let mut places: Vec<usize> = (0..table.columns.len().min(table.pairs.len())).collect();
    let is_cut = places.len() > HEAT_COLUMNS;
    if is_cut {
        places.sort_by(|a, b| table.columns[*a].shape.total_cmp(&table.columns[*b].shape));
        places.truncate(HEAT_COLUMNS);
        places.sort_unstable();
    }
    let names: Vec<&str> = places.iter().map(|i| table.columns[*i].name.as_str()).collect();
    let cells: Vec<Vec<Option<f64>>> =
        places.iter().map(|i| places.iter().map(|j| table.pairs[*i].get(*j).copied().flatten()).collect()).collect();
    let cut = format!("The {HEAT_COLUMNS} least similar of {} columns.", table.columns.len());
    (places.len() > 1).then(|| {
        classed("figure", "pairs")
            .add(element("figcaption").add(glossary.term("column_pairs")).text(
                ": how alike each pair of columns hangs together. 1 = as in the real data; the stronger the colour, the further off.",
            ))
            .extend(is_cut.then(|| classed("p", "lede").text(cut)))
            .add(super::scroll(&format!("Similarity of column pairs of {name}"), heat(&names, &cells)))
    })
}
