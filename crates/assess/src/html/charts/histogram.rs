//! Histograms: real filled, twin as an outline, held-out dashed.

use super::super::markup::{Element, classed, element};
use super::super::numbers;
use super::{Side, drawing, path, sides, tip, unit};
use crate::report::{Axis, Histogram, Sides};
use chrono::DateTime;

/// Height of a drawing in units; its width is one unit a bin.
const HEIGHT: f64 = 100.0;

/// A histogram with its axis. `name` is what was counted.
pub(crate) fn histogram(name: &str, histogram: &Histogram) -> Element {
    let Histogram { axis, edges, shares } = histogram;
    let span = edges.last().unwrap_or(&0.0) - edges.first().unwrap_or(&0.0);
    let mark = |i: usize| edges.get(i).map_or(String::new(), |x| tick(*axis, *x, span));
    let bins = edges.len().saturating_sub(1);
    let mut label = format!("Histogram of {name} from {} to {}.", mark(0), mark(bins));
    for (side, values) in sides(shares) {
        if let Some(bin) = middle(values) {
            label.push_str(&format!(" Half of the {} values lie below {}.", side.name(), mark(bin + 1)));
        }
    }
    let ticks = [0, bins / 2, bins].map(mark);
    figure(&label, shares, &ticks, |i| format!("{} to {}", mark(i), mark(i + 1)))
}

/// Shares of the 168 hours of a week.
pub(crate) fn hours_of_week(shares: &Sides<Vec<f64>>) -> Element {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let hour = |i: usize| format!("{} {}:00", DAYS[i / 24 % 7], i % 24);
    let mut label = "Share of events by hour of the week.".to_string();
    for (side, values) in sides(shares) {
        let busiest = (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a });
        if let Some(i) = busiest {
            label.push_str(&format!(" Busiest {} hour: {}.", side.name(), hour(i)));
        }
    }
    figure(&label, shares, &DAYS.map(String::from), hour).set("data-days", "")
}

/// The drawing, its highest share and its tick labels.
fn figure(label: &str, shares: &Sides<Vec<f64>>, ticks: &[String], bin: impl Fn(usize) -> String) -> Element {
    let all = sides(shares);
    let bins = all.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let peak = all.iter().flat_map(|(_, values)| values.iter()).fold(0.0_f64, |a, x| a.max(*x));
    if bins == 0 || peak <= 0.0 {
        return classed("p", "missing").text("nothing to draw: no values");
    }
    let mut svg = drawing(bins as f64, HEIGHT, label).set("class", "histogram");
    for (side, values) in &all {
        svg = svg.extend((!values.is_empty()).then(|| outline(*side, values, peak)));
    }
    for i in 0..bins {
        svg = svg.add(hover(i, &all, bin(i)));
    }
    classed("div", "chart")
        .add(classed("span", "peak").set("aria-hidden", "true").text(format_args!("{}", numbers::axis(peak))))
        .add(svg)
        .add(classed("div", "ticks").set("aria-hidden", "true").extend(ticks.iter().map(|t| element("span").text(t))))
}

/// The steps of one side, from the left end of the axis to the right.
fn outline(side: Side, values: &[f64], peak: f64) -> Element {
    let height = |x: f64| HEIGHT - (HEIGHT - 4.0) * x / peak;
    let mut points = vec![(0.0, HEIGHT)];
    for (i, x) in values.iter().enumerate() {
        points.extend([(i as f64, height(*x)), (i as f64 + 1.0, height(*x))]);
    }
    points.push((values.len() as f64, HEIGHT));
    path(points).set("class", side.class())
}

/// An invisible column that tells the pointer what its bin holds.
fn hover(i: usize, all: &[(Side, &Vec<f64>)], bin: String) -> Element {
    let mut words = bin;
    for (side, values) in all {
        if let Some(x) = values.get(i) {
            words.push_str(&format!("\n{} {}", side.name(), numbers::decimal(*x)));
        }
    }
    element("g")
        .add(tip(words))
        .add(classed("rect", "hover").set("x", i).set("y", 0).set("width", 1).set("height", unit(HEIGHT)))
}

/// The bin that holds the median.
fn middle(shares: &[f64]) -> Option<usize> {
    let mut sum = 0.0;
    shares.iter().position(|x| {
        sum += x;
        sum >= 0.5
    })
}

/// A place on the axis in words; `span` is the length of the whole axis.
fn tick(axis: Axis, x: f64, span: f64) -> String {
    match axis {
        Axis::Number => numbers::axis(x),
        Axis::Log10 => {
            let value = 10f64.powf(x);
            numbers::axis(if value >= 10.0 { value.round() } else { value })
        }
        Axis::Log10Days => duration(10f64.powf(x)),
        Axis::Seconds => instant(x, span),
    }
}

/// A number of days in the largest unit that keeps it above one.
fn duration(days: f64) -> String {
    match days {
        d if d >= 1.0 => format!("{} d", numbers::axis(short(d))),
        d if d * 24.0 >= 1.0 => format!("{} h", numbers::axis(short(d * 24.0))),
        d if d * 1440.0 >= 1.0 => format!("{} min", numbers::axis(short(d * 1440.0))),
        d => format!("{} s", numbers::axis(short(d * 86_400.0))),
    }
}

/// Two digits suffice at an axis.
fn short(x: f64) -> f64 {
    if x >= 10.0 { x.round() } else { (10.0 * x).round() / 10.0 }
}

/// A moment; the clock time shows only where the axis covers a few days.
fn instant(seconds: f64, span: f64) -> String {
    let format = if span < 4.0 * 86_400.0 { "%m-%d %H:%M" } else { "%Y-%m-%d" };
    DateTime::from_timestamp(seconds as i64, 0).map_or_else(|| numbers::axis(seconds), |t| t.format(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_bins(axis: Axis, edges: [f64; 3]) -> Histogram {
        let shares = Sides { real: vec![0.25, 0.75], synthetic: vec![0.5, 0.5], holdout: None };
        Histogram { axis, edges: edges.to_vec(), shares }
    }

    #[test]
    fn label_says_range_and_medians() {
        let page = histogram("price", &two_bins(Axis::Number, [0.0, 10.0, 20.0])).to_string();
        assert!(page.contains("Histogram of price from 0 to 20. Half of the real values lie below 20."), "{page}");
        assert!(page.contains("Half of the twin values lie below 10."), "{page}");
    }

    #[test]
    fn outline_height_is_proportional_to_the_share() {
        let path = outline(Side::Real, &[0.25, 0.5], 0.5).to_string();
        assert!(path.contains("M0 100L0 52L1 52L1 4L2 4L2 100"), "{path}");
    }

    #[test]
    fn axes_read_as_dates_durations_and_numbers() {
        assert_eq!(tick(Axis::Seconds, 1_291_190_400.0, 1e7), "2010-12-01");
        assert_eq!(tick(Axis::Seconds, 1_291_191_960.0, 86_400.0), "12-01 08:26");
        assert_eq!(tick(Axis::Seconds, 1e300, 1e300), "1.0e300");
        let days = [(1.0, "10 d"), (0.0, "1 d"), (-1.0, "2.4 h"), (-3.0, "1.4 min"), (-4.5, "2.7 s")];
        for (x, text) in days {
            assert_eq!(tick(Axis::Log10Days, x, 5.0), text);
        }
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let empty = Sides { real: vec![], synthetic: vec![0.0, 0.0], holdout: None };
        let plot = Histogram { axis: Axis::Number, edges: vec![], shares: empty };
        assert!(histogram("x", &plot).to_string().contains("nothing to draw"));
    }
}
