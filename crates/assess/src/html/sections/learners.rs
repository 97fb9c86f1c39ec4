//! Does work done on the twin carry over? Learners trained on real rows and on twin rows, tested on real ones.

use super::{head, knobs, scroll};
use crate::html::charts::{Domain, dumbbell};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::report::{ClassScores, LearnerUtility, Report};

/// The comparison of learners; nothing where there was no column to predict.
pub(crate) fn learners(report: &Report, glossary: &Glossary) -> Option<Element> {
    let learners = &report.utility.tstr;
    let target = report.utility.target.as_deref();
    (!learners.is_empty()).then(|| {
        let aim = target.map_or(element("span").text("a column"), |name| element("code").text(name));
        classed("div", "ranking")
            .add(element("h3").text("Predictions"))
            .add(
                classed("p", "lede")
                    .text("Learners predicted ")
                    .add(aim)
                    .text(", trained on real rows and on the twin, both tested on real rows that neither had seen."),
            )
            .add(
                classed("div", "models learners")
                    .set("role", "table")
                    .set("aria-label", "Learners")
                    .add(heads())
                    .extend(learners.iter().map(|(name, learner)| row(name, learner, glossary))),
            )
            .extend(learners.iter().filter_map(|(name, learner)| classes(name, learner, glossary)))
    })
}

/// How well a learner tells the classes, by what it was trained on; nothing where it predicts a number.
fn classes(name: &str, learner: &LearnerUtility, glossary: &Glossary) -> Option<Element> {
    let classes = learner.classes.as_ref()?;
    let trained = [("real", &classes.real), ("twin", &classes.synthetic), ("both", &classes.both)];
    let terms = [("prediction_accuracy", "Accuracy"), ("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")];
    let heads = terms.map(|(key, words)| glossary.term_as(key, words));
    let table = element("table")
        .add(head([element("span").text("Trained on")].into_iter().chain(heads)))
        .add(element("tbody").extend(trained.map(|(side, scores)| class_row(side, scores, glossary))));
    Some(scroll(&format!("Classes as {name} tells them"), table))
}

fn class_row(side: &str, scores: &ClassScores, glossary: &Glossary) -> Element {
    let numbers = [
        ("prediction_accuracy", scores.accuracy),
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("f1", scores.f1),
    ];
    let cell = |(key, x)| classed("td", "number").add(glossary.figure(key, Some(x)));
    element("tr").add(element("th").set("scope", "row").text(side)).extend(numbers.map(cell))
}

fn heads() -> Element {
    let cell = |inside: Element| element("div").set("role", "columnheader").add(inside);
    classed("div", "model head")
        .set("role", "row")
        .add(cell(element("span").text("Learner")))
        .add(cell(element("span").text("Measure")))
        .add(cell(knobs()))
}

fn row(name: &str, learner: &LearnerUtility, glossary: &Glossary) -> Element {
    // The report's `accuracy` is that of distributions; a learner's is another number.
    let metric = if learner.metric == "accuracy" { "prediction_accuracy" } else { learner.metric.as_str() };
    let figure = |x: Option<f64>| glossary.figure(metric, x);
    let domain = Domain::around([0.0, 1.0], [learner.real, learner.synthetic].into_iter().flatten(), [-1.0, 1.0]);
    let line = classed("p", "sides")
        .add(element("span").text("real ").add(figure(learner.real)))
        .add(element("span").text("twin ").add(figure(learner.synthetic)))
        .extend(learner.both.map(|x| element("span").text("both ").add(figure(Some(x)))));
    let cell = || element("div").set("role", "cell");
    classed("div", "model")
        .set("role", "row")
        .add(element("div").set("role", "rowheader").add(classed("strong", "name").set("title", name).text(name)))
        .add(cell().add(glossary.term(metric)))
        .add(cell().add(dumbbell(domain, learner.real, learner.synthetic)).add(line))
}
