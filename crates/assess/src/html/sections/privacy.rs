//! Does the twin give away who was in the data? Measurements with their reference points, in plain words.

use super::card;
use crate::html::charts::{Domain, histogram, legend, meter};
use crate::html::glossary::Glossary;
use crate::html::markup::{Element, classed, element};
use crate::html::numbers;
use crate::report::{Histogram, Privacy, Report, Sides, Subject};

/// The privacy section.
pub(crate) fn privacy(report: &Report, glossary: &Glossary) -> Element {
    let privacy = &report.privacy;
    let is_shop = report.about.subject == Subject::Shop;
    let cards = classed("div", "cards")
        .add(closeness(privacy, glossary))
        .add(membership(privacy, glossary))
        .add(copies(privacy, is_shop, glossary))
        .extend(distances(privacy, glossary));
    element("section")
        .set("id", "private")
        .add(element("h2").text("Private: does it give away who was in the data?"))
        .add(classed("p", "lede").text(
            "Attacks that were run against this twin, each with the result that a harmless twin would give. They show \
             leaks; they cannot show that there are none.",
        ))
        .extend(warning(report))
        .add(cards)
        .extend(compared(privacy, is_shop, glossary))
        .add(formal(privacy, glossary))
}

/// A twin made of training rows is a copy, whatever the numbers say.
fn warning(report: &Report) -> Option<Element> {
    (report.about.contains_training_rows == Some(true)).then(|| {
        classed("p", "callout")
            .set("role", "note")
            .add(element("strong").text("This twin contains real rows. "))
            .text("The method that made it copies or mixes rows of the training data. Treat it like the real data.")
    })
}

fn compared(privacy: &Privacy, is_shop: bool, glossary: &Glossary) -> Option<Element> {
    let unit = if is_shop { "histories" } else { "rows" };
    privacy.compared.map(|n| {
        classed("p", "note")
            .text("Compared: ")
            .add(glossary.count("compared", n.real))
            .text(format_args!(" training and as many held-out {unit}, "))
            .add(glossary.count("compared", n.synthetic))
            .text(" of the twin.")
    })
}

fn closeness(privacy: &Privacy, glossary: &Glossary) -> Element {
    let words = against_half(
        privacy.dcr_share,
        privacy.dcr_share_margin,
        "The twin lies as close to people it never saw as to people it learned from.",
        "The twin lies closer to the people it learned from than to others: it remembers them.",
        "The twin lies further from the people it learned from than from others.",
    );
    measured("dcr_share", "Closer to training data", privacy.dcr_share, privacy.dcr_share_margin, words, glossary)
}

fn membership(privacy: &Privacy, glossary: &Glossary) -> Element {
    let words = against_half(
        privacy.membership_auc,
        privacy.membership_auc_margin,
        "An attacker who holds a person’s record and the twin can only guess whether the person was in the data.",
        "An attacker who holds a person’s record can tell from the twin, better than by guessing, whether the person was in the data.",
        "The attack does worse than guessing.",
    );
    measured(
        "membership_auc",
        "Who was in the data?",
        privacy.membership_auc,
        privacy.membership_auc_margin,
        words,
        glossary,
    )
}

/// Which of three sentences an interval around one half calls for.
fn against_half<'a>(
    value: Option<f64>,
    margin: Option<f64>,
    within: &'a str,
    above: &'a str,
    below: &'a str,
) -> Option<&'a str> {
    let margin = margin.unwrap_or(0.02);
    value.map(|x| match x {
        x if x - margin > 0.5 => above,
        x if x + margin < 0.5 => below,
        _ => within,
    })
}

/// A card with a number whose harmless value is one half.
fn measured(
    key: &str,
    name: &str,
    value: Option<f64>,
    margin: Option<f64>,
    words: Option<&str>,
    glossary: &Glossary,
) -> Element {
    let scale = value.map(|x| {
        classed("div", "chart").add(meter(Domain::UNIT, x, margin, Some(0.5))).add(
            classed("div", "ticks")
                .set("aria-hidden", "true")
                .extend(["0", "½ harmless", "1"].map(|t| element("span").text(t))),
        )
    });
    let bounds = value
        .zip(margin)
        .map(|(x, m)| classed("p", "sides").text("95 % interval ").add(glossary.interval([x - m, x + m])));
    card(element("h4").text(name), Some(glossary.figure(key, value)))
        .extend(scale)
        .extend(bounds)
        .extend(value.is_none().then(|| reason(key, glossary)))
        .extend(words.map(|words| element("p").text(words)))
}

fn reason(key: &str, glossary: &Glossary) -> Element {
    classed("p", "note").text(format_args!("Why: {}.", glossary.reason(key)))
}

fn copies(privacy: &Privacy, is_shop: bool, glossary: &Glossary) -> Element {
    let (one, many) = if is_shop { ("history", "histories") } else { ("row", "rows") };
    let chance = element("p")
        .add(glossary.term("exact_matches_holdout"))
        .text(" ")
        .add(glossary.figure("exact_matches_holdout", privacy.exact_matches_holdout));
    let words = privacy.exact_matches.map(|x| match privacy.exact_matches_holdout {
        _ if x == 0.0 => format!("No {one} of the twin equals one of the training data."),
        Some(chance) if x <= chance => {
            format!("Some {many} equal a training {one}, no more often than held-out real ones do.")
        }
        _ => format!("Some {many} of the twin equal a training {one}."),
    });
    card(element("h4").text("Exact copies"), Some(glossary.figure("exact_matches", privacy.exact_matches)))
        .extend(privacy.exact_matches.map(|x| {
            let chance = privacy.exact_matches_holdout;
            let high = [x, chance.unwrap_or(0.0), 0.01].into_iter().fold(0.0, f64::max);
            classed("div", "chart").add(meter(Domain { low: 0.0, high }, x, None, chance)).add(
                classed("div", "ticks")
                    .set("aria-hidden", "true")
                    .extend([0.0, high].map(|t| element("span").text(numbers::axis(t)))),
            )
        }))
        .add(chance)
        .extend(privacy.exact_matches.is_none().then(|| reason("exact_matches", glossary)))
        .extend(words.map(|words| element("p").text(words)))
}

fn distances(privacy: &Privacy, glossary: &Glossary) -> Option<Element> {
    let plot = privacy.distances.as_ref()?;
    // The real people of this plot are those that the synthesizer never saw, so they look as held-out data do.
    let shares =
        Sides { real: Vec::new(), holdout: Some(plot.shares.real.clone()), synthetic: plot.shares.synthetic.clone() };
    Some(
        card(element("h4").text("Distance to the closest training record"), None)
            .add(legend(false, true))
            .add(histogram("distances to the closest training record", &Histogram { shares, ..plot.clone() }))
            .add(
                element("p")
                    .add(glossary.term("distances"))
                    .text(": the twin should not lie nearer than held-out people do."),
            ),
    )
}

/// What differential privacy promises, or that nothing does.
fn formal(privacy: &Privacy, glossary: &Glossary) -> Element {
    let block = classed("p", "callout quiet").set("role", "note");
    match privacy.epsilon {
        Some(epsilon) => block
            .text("Made with differential privacy: ε = ")
            .add(glossary.figure("epsilon", Some(epsilon)))
            .text(", δ = ")
            .add(glossary.scientific("delta", privacy.delta))
            .text("."),
        None => block.add(element("strong").text("No mathematical bound. ")).text(
            "This twin was made without differential privacy, so nothing limits what an attack not run here might find.",
        ),
    }
}
