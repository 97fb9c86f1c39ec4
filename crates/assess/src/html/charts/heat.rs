//! A heat map as a table: how similar each pair of columns is. The number stands in the cell, so colour only helps.

use super::super::markup::{Element, classed, element};
use super::super::numbers;

/// Similarities at which the shade changes, from far apart to equal.
const STEPS: [f64; 6] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98];

/// The lower triangle of `pairs[i][j]`, similarity of column i and column j; the diagonal holds single columns.
pub(crate) fn heat(columns: &[&str], pairs: &[Vec<Option<f64>>]) -> Element {
    let head = element("tr")
        .add(element("td"))
        .extend((1..=columns.len()).map(|number| element("th").set("scope", "col").text(number)));
    let rows = columns.iter().zip(pairs).enumerate().map(|(i, (column, values))| {
        let name = element("th")
            .set("scope", "row")
            .set("title", column)
            .add(classed("span", "ordinal").text(i + 1))
            .text(" ")
            .add(classed("span", "name").text(column));
        let cells = columns.iter().zip(values).take(i + 1).enumerate();
        element("tr").add(name).extend(cells.map(|(j, (other, x))| cell(column, other, i == j, *x)))
    });
    classed("table", "heat").add(element("thead").add(head)).add(element("tbody").extend(rows))
}

/// One pair.
fn cell(row: &str, column: &str, is_single: bool, similarity: Option<f64>) -> Element {
    let Some(x) = similarity else {
        return element("td").set("title", format_args!("{row} × {column}: not defined")).text("–");
    };
    let title = if is_single { row.to_string() } else { format!("{row} × {column}") };
    element("td")
        .set("data-step", STEPS.iter().filter(|step| x >= **step).count())
        .set("title", format_args!("{title}: {}", numbers::decimal(x)))
        .text(two_digits(x))
}

/// `.98`, `1.0`: what fits a small cell; the exact value is its title.
fn two_digits(x: f64) -> String {
    let text = format!("{:.2}", x.clamp(0.0, 1.0));
    if text == "1.00" { "1.0".into() } else { text.trim_start_matches('0').into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_triangle_with_values_and_shades() {
        let pairs = vec![vec![Some(0.99), Some(0.4)], vec![Some(0.4), Some(0.999)]];
        let page = heat(&["a", "b"], &pairs).to_string();
        assert_eq!(page.matches("<td data-step").count(), 3);
        assert!(page.contains("<td data-step=\"0\" title=\"b × a: 0.400\">.40</td>"), "{page}");
        assert!(page.contains("<td data-step=\"6\" title=\"b: 0.999\">1.0</td>"), "{page}");
    }

    #[test]
    fn undefined_pairs_say_so() {
        assert!(heat(&["a"], &[vec![None]]).to_string().contains("not defined"));
    }
}
