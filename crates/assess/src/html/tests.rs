//! The page as a whole, on a report with many columns, long names, missing numbers and hostile text.

use super::fixtures::{bare_table, shop};
use super::render;
use crate::report::Report;
use std::collections::BTreeMap;

/// Element names in order, opening and closing, as a browser would see them.
fn tags(page: &str) -> Vec<String> {
    let start = page.find("<body").unwrap();
    page[start..]
        .split('<')
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| c.is_whitespace() || c == '>').next().unwrap().trim_end_matches('/').to_string()
        })
        .collect()
}

/// All values of an attribute.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!(" {name}=\"");
    page.split(opening.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn data_are_inert_wherever_they_stand() {
    for page in [render(&shop()), render(&bare_table())] {
        let found = tags(&page);
        for name in ["script", "img", "!--", "iframe", "link", "style"] {
            assert!(!found.iter().any(|tag| tag == name), "<{name}> in the page");
        }
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
}

#[test]
fn every_tag_is_one_of_ours_and_closes() {
    for page in [render(&shop()), render(&bare_table())] {
        let mut open = vec!["html".to_string()];
        for tag in tags(&page) {
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "closing tag"),
                None if ["path", "polyline", "rect", "line", "circle"].contains(&tag.as_str()) => {}
                None => open.push(tag),
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }
}

#[test]
fn nothing_is_fetched_or_run() {
    let page = render(&shop());
    let without_policy = page.replace("http-equiv", "");
    assert!(!without_policy.contains("http") && !page.contains("url(") && !page.contains("@import"));
    assert!(page.contains("default-src &#39;none&#39;"));
    let handlers = ["src", "onclick", "onload", "onerror", "style", "action", "data"];
    assert!(handlers.iter().all(|name| attributes(&page, name).is_empty()));
    assert!(attributes(&page, "href").iter().all(|target| target.starts_with('#')));
}

#[test]
fn references_inside_the_page_resolve_and_identifiers_are_unique() {
    for page in [render(&shop()), render(&bare_table())] {
        let mut ids = attributes(&page, "id");
        let pointers = attributes(&page, "popovertarget").into_iter();
        let links = attributes(&page, "href").into_iter().map(|target| &target[1..]);
        for target in pointers.chain(links) {
            assert!(ids.contains(&target), "no element `{target}`");
        }
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an identifier occurs twice");
    }
}

#[test]
fn every_number_has_a_definition() {
    let page = render(&shop());
    assert!(
        !page.contains("<span class=\"figure\"") && !page.contains("<span class=\"term\""),
        "a number without definition"
    );
    assert!(page.matches("<button class=\"figure\"").count() > 100);
}

#[test]
fn three_answers_stand_first_in_words() {
    let page = render(&shop());
    let answers = &page[page.find("id=\"answers\"").unwrap()..page.find("id=\"inputs\"").unwrap()];
    for word in ["Yes", "Partly", "No", "0.981", "0.750", "0.640", "What to do"] {
        assert!(answers.contains(word), "{word}");
    }
    assert_eq!(attributes(answers, "data-level"), ["green", "amber", "red"]);
}

#[test]
fn missing_numbers_say_why() {
    let page = render(&bare_table());
    for words in
        ["not measured: no real data were held out", "No number could be measured", "Why: no real data were held out"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("NaN") && !page.contains("null") && !page.contains("undefined"));
}

#[test]
fn same_report_same_bytes_also_after_a_round_trip() {
    let report = shop();
    let read: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(render(&report), render(&read));
}

#[test]
fn learning_is_shown_where_there_was_a_discriminator() {
    let page = render(&shop());
    let section = &page[page.find("id=\"learned\"").unwrap()..page.find("id=\"definitions\"").unwrap()];
    for words in ["How it was learned", "kept: 240", "300 (last)", "240 (kept)", "1 (last)", "Nothing was learned"] {
        assert!(section.contains(words), "{words}");
    }
    // Two losses cut by a gap, accuracy, F1, two-sample; and five dots of a single epoch.
    assert_eq!(section.matches("<polyline").count(), 7 + 5);
    assert!(!page.contains("NaN") && !page.contains("inf,"));
    assert!(!render(&bare_table()).contains("How it was learned"));
}

#[test]
fn classes_stand_beside_the_curve() {
    let page = render(&shop());
    let section = &page[page.find("id=\"useful\"").unwrap()..page.find("id=\"private\"").unwrap()];
    for words in ["Classes as boosted trees tells them", "Trained on", "0.652", "0.686", "0.690", "0.905"] {
        assert!(section.contains(words), "{words}");
    }
    assert!(!section.contains("Classes as logistic tells them"), "it has none");
}

#[test]
fn a_picture_by_itself_has_the_colours_of_the_page() {
    let picture = super::render_curves(&shop().training.unwrap());
    let colours: Vec<&str> =
        include_str!("style.css").split(":root {").nth(1).unwrap().split('}').next().unwrap().split('#').collect();
    let of_page = |colour: &str| colours.iter().any(|other| other.starts_with(colour));
    let sheet = &picture[picture.find("<style>").unwrap()..picture.find("</style>").unwrap()];
    assert!(sheet.split('#').skip(1).all(|rest| of_page(&rest[..6])), "{sheet}");
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && picture.contains("class=\"ground\""));
    let policy_free = picture.replacen("http://www.w3.org/2000/svg", "", 1);
    assert!(
        !policy_free.contains("http") && !policy_free.contains("script>") && policy_free.contains("&lt;script&gt;")
    );
}

#[test]
fn many_columns_fold_away() {
    let page = render(&shop());
    assert!(page.contains("The 12 least similar of 45 columns."));
    assert!(page.contains("<summary>33 more columns</summary>"));
}

/// The colours of one scheme, by name: the `n`-th `:root` block of the style sheet.
fn palette(n: usize) -> BTreeMap<String, [f64; 3]> {
    let sheet = include_str!("style.css");
    let block = sheet.split(":root {").nth(n).unwrap().split('}').next().unwrap();
    let declarations = block.split(';').filter_map(|text| text.trim().strip_prefix("--")?.split_once(": #"));
    let channel = |hex: &str, i: usize| f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
    declarations.map(|(name, hex)| (name.to_string(), [0, 2, 4].map(|i| channel(hex, i)))).collect()
}

/// Contrast ratio of the Web Content Accessibility Guidelines 2.1.
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let linear = |x: f64| if x <= 0.03928 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) };
    let luminance = |c: [f64; 3]| 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_stands_out_in_light_and_dark() {
    let on_every_ground =
        ["ink", "muted"].into_iter().flat_map(|ink| ["paper", "surface", "sunken"].map(|back| (ink, back)));
    let marks = ["real", "twin", "holdout"].map(|side| (side, "surface"));
    let levels = [("green", "green-back"), ("amber", "amber-back"), ("red", "red-back")];
    let pairs: Vec<(&str, &str)> = on_every_ground.chain(marks).chain(levels).collect();
    for colours in [palette(1), palette(2)] {
        for (ink, back) in &pairs {
            let ratio = contrast(colours[*ink], colours[*back]);
            assert!(ratio >= 4.5, "{ink} on {back}: {ratio:.2}");
        }
    }
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
}
