//! Does work done on the twin carry over? Recommenders trained on real people and on twin people, tested on real ones.

use super::{counted, knobs};
use crate::html::charts::{Domain, dumbbell, interval};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::html::numbers;
use crate::report::{RecommenderUtility, Report};

/// `kept` beyond these is drawn at the end of its track.
const KEPT_LIMIT: [f64; 2] = [-1.0, 2.0];

/// The comparison of recommenders; nothing where none were trained.
pub(crate) fn recommenders(report: &Report, glossary: &Glossary) -> Option<Element> {
    let mut models: Vec<(&str, &RecommenderUtility)> =
        report.utility.ranking.iter().map(|(name, model)| (name.as_str(), model)).collect();
    // Best first; models without a number come last; names decide ties, for the map is sorted and the sort stable.
    let quality = |model: &RecommenderUtility| model.real.unwrap_or(f64::NEG_INFINITY);
    models.sort_by(|a, b| quality(b.1).total_cmp(&quality(a.1)));
    let metric = models.first()?.1.metric.as_str();
    let best = models.iter().flat_map(|(_, m)| [m.real, m.synthetic, m.both]).flatten();
    let quality = Domain::around([0.0, 0.0], best, [0.0, 1.0]);
    let spread = models.iter().flat_map(|(_, m)| m.kept.into_iter().chain(m.kept_ci95.into_iter().flatten()));
    let kept = Domain::around([0.0, 1.0], spread, KEPT_LIMIT);
    let rows = models.iter().map(|(name, model)| row(name, model, quality, kept, glossary));
    let grid = classed("div", "models")
        .set("role", "table")
        .set("aria-label", "Recommenders")
        .add(heads(metric, quality, kept, glossary));
    Some(
        classed("div", "ranking")
            .add(element("h3").text("Recommenders"))
            .add(setup(report))
            .add(agreement(report, glossary))
            .add(grid.extend(rows)),
    )
}

/// What was done, in a sentence.
fn setup(report: &Report) -> Element {
    let has_both = report.utility.ranking.values().any(|model| model.both.is_some());
    let trained = if has_both { "on real people, on the twin, and on both" } else { "on real people and on the twin" };
    let words = match &report.utility.ranking_setup {
        Some(setup) => format!(
            "Each model was trained {trained}, and then ranked the whole catalogue for the same {} (split {}, {}).",
            counted(setup.test_users, "real person", "real people"),
            setup.split,
            if setup.view == "new" { "items they already had left out" } else { "all items" }
        ),
        None => {
            format!("Each model was trained {trained}, and tested on the same real people.")
        }
    };
    classed("p", "lede").text(words)
}

/// Whether the twin picks the same winners.
fn agreement(report: &Report, glossary: &Glossary) -> Element {
    let tau = report.utility.model_rank_kendall_tau;
    let words = tau.map(|x| match x {
        x if x >= 0.999 => "the twin puts all models in the real order",
        x if x >= 0.6 => "the twin puts most pairs of models in the real order",
        x if x > 0.0 => "the twin’s order of models is only loosely the real one",
        _ => "the twin’s order of models says nothing about the real one",
    });
    let best = |name: &str, quality: fn(&RecommenderUtility) -> Option<f64>| {
        let measured = report.utility.ranking.iter().filter_map(|(name, model)| Some((name, quality(model)?)));
        // The first of equally good ones.
        measured.reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(winner, _)| {
            classed("div", "tile").add(classed("span", "label").text(name)).add(classed("span", "value").text(winner))
        })
    };
    classed("div", "tiles")
        .add(glossary.tile_with_note("model_rank_kendall_tau", tau, words.map(String::from)))
        .extend(best("Best when trained on real", |model| model.real))
        .extend(best("Best when trained on the twin", |model| model.synthetic))
}

/// Names of the columns, and the ends of their scales.
fn heads(metric: &str, quality: Domain, kept: Domain, glossary: &Glossary) -> Element {
    let scale = |domain: Domain| {
        classed("span", "scale")
            .add(element("span").text(numbers::axis(domain.low)))
            .add(element("span").text(numbers::axis(domain.high)))
    };
    let cell = |inside: Element| element("div").set("role", "columnheader").add(inside);
    classed("div", "model head")
        .set("role", "row")
        .add(cell(element("span").text("Model")))
        .add(cell(glossary.term(metric)).add(knobs()).add(scale(quality)))
        .add(
            cell(glossary.term("kept"))
                .add(element("span").text("with 95 % interval; marks at 0 and 1"))
                .add(scale(kept)),
        )
}

fn row(name: &str, model: &RecommenderUtility, quality: Domain, kept: Domain, glossary: &Glossary) -> Element {
    let figure = |x: Option<f64>| glossary.figure(&model.metric, x);
    let numbers_line = classed("p", "sides")
        .add(element("span").text("real ").add(figure(model.real)))
        .add(element("span").text("twin ").add(figure(model.synthetic)))
        .extend(model.both.map(|x| element("span").text("both ").add(figure(Some(x)))));
    let cell = || element("div").set("role", "cell");
    classed("div", "model")
        .set("role", "row")
        .add(element("div").set("role", "rowheader").add(classed("strong", "name").set("title", name).text(name)))
        .add(cell().add(dumbbell(quality, model.real, model.synthetic)).add(numbers_line))
        .add(kept_cell(cell(), model, kept, glossary))
}

fn kept_cell(cell: Element, model: &RecommenderUtility, domain: Domain, glossary: &Glossary) -> Element {
    let Some(kept) = model.kept else {
        let reason = match model.real.zip(model.synthetic) {
            Some(_) => "popularity is the yardstick itself, or the model does not clearly beat it on real data",
            None => "the model has no result on one of the two sides",
        };
        return cell.add(
            classed("p", "sides").add(element("span").add(glossary.absent("kept"))).add(element("span").text(reason)),
        );
    };
    let bounds = model.kept_ci95.map(|bounds| element("span").add(glossary.interval(bounds)));
    let line = element("span").text("kept ").add(glossary.figure("kept", Some(kept)));
    cell.add(interval(domain, kept, model.kept_ci95)).add(classed("p", "sides").add(line).extend(bounds))
}
