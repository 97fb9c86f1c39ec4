//! A scatter plot of very many points, as the number of points in each cell of a grid.

use super::super::markup::{Element, classed, element};
use super::super::numbers;
use super::{drawing, path, tip, unit};
use crate::report::PairScatter;

/// Steps of shade; a step is a factor of the number of pairs.
const SHADES: f64 = 5.0;

/// Real counts along x, the twin's along y; equal counts lie on the diagonal.
pub(crate) fn scatter(pairs: &PairScatter) -> Element {
    let bins = pairs.cells.len();
    let most = pairs.cells.iter().flatten().copied().max().unwrap_or(0);
    if bins == 0 || most == 0 {
        return classed("p", "missing").text("nothing to draw: no item pairs");
    }
    let size = bins as f64;
    let mut svg = drawing(size, size, &describe(pairs)).set("class", "square scatter");
    for (x, row) in pairs.cells.iter().enumerate() {
        for (y, n) in row.iter().enumerate().filter(|(_, n)| **n > 0) {
            let shade = 1.0 + ((SHADES - 1.0) * (*n as f64).ln_1p() / (most as f64).ln_1p()).round();
            let words = format!(
                "{} item pairs\nreal: {} users share them\ntwin: {}",
                numbers::count(*n),
                users(pairs, x),
                users(pairs, y)
            );
            let cell =
                element("rect").set("x", x).set("y", unit(size - 1.0 - y as f64)).set("width", 1).set("height", 1);
            svg = svg.add(element("g").set("data-shade", shade).add(tip(words)).add(cell));
        }
    }
    let ends = [users(pairs, 0), format!("{} users (real)", users(pairs, bins - 1))];
    classed("div", "chart")
        .add(classed("span", "peak").set("aria-hidden", "true").text("users in the twin"))
        .add(svg.add(path([(0.0, size), (size, 0.0)]).set("class", "guide")))
        .add(classed("div", "ticks").set("aria-hidden", "true").extend(ends.map(|t| element("span").text(t))))
}

/// The share of pairs near the diagonal, in words.
fn describe(pairs: &PairScatter) -> String {
    let cells =
        || pairs.cells.iter().enumerate().flat_map(|(x, row)| row.iter().enumerate().map(move |(y, n)| (x, y, *n)));
    let all: u64 = cells().map(|(_, _, n)| n).sum();
    let near: u64 = cells().filter(|(x, y, _)| x.abs_diff(*y) <= 1).map(|(_, _, n)| n).sum();
    format!(
        "Users that item pairs share, real against twin, for {} pairs of {} items. {} of the pairs lie within one cell of the diagonal.",
        numbers::count(all),
        numbers::count(pairs.items),
        numbers::decimal(near as f64 / all.max(1) as f64)
    )
}

/// The middle of a cell as a number of users.
fn users(pairs: &PairScatter, cell: usize) -> String {
    match (pairs.edges.get(cell), pairs.edges.get(cell + 1)) {
        (Some(a), Some(b)) => numbers::axis((10f64.powf((a + b) / 2.0) - 1.0).round()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_where_their_counts_say() {
        let mut cells = vec![vec![0; 4]; 4];
        cells[3][3] = 10;
        cells[0][2] = 30;
        let page = scatter(&PairScatter { edges: vec![0.0, 0.5, 1.0, 1.5, 2.0], cells, items: 12 }).to_string();
        assert!(page.contains("40 pairs of 12 items. 0.250 of the pairs"), "{page}");
        assert!(page.contains("<rect x=\"3\" y=\"0\""), "the largest pair is top right: {page}");
        assert!(page.contains("<rect x=\"0\" y=\"1\""), "{page}");
    }
}
