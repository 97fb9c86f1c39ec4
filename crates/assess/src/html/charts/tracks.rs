//! Values on a horizontal line: against a reference point, in pairs, or with an interval.
//!
//! These drawings have no view box: places are percentages of the width, sizes are pixels, so circles stay round.

use super::super::markup::{Element, classed};
use super::super::numbers;
use super::percent;

/// The stretch of the number line that a track shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Domain {
    /// Left end.
    pub(crate) low: f64,
    /// Right end.
    pub(crate) high: f64,
}

impl Domain {
    /// From 0 to 1.
    pub(crate) const UNIT: Domain = Domain { low: 0.0, high: 1.0 };

    /// The smallest domain that holds `always` and the values, within `limit`.
    pub(crate) fn around(always: [f64; 2], values: impl IntoIterator<Item = f64>, limit: [f64; 2]) -> Domain {
        let [low, high] = values.into_iter().filter(|x| x.is_finite()).fold(always, |[a, b], x| [a.min(x), b.max(x)]);
        Domain { low: low.max(limit[0]), high: high.min(limit[1]) }
    }

    /// Where a value lies, with a margin at both ends for the marks.
    fn place(self, x: f64) -> String {
        let width = self.high - self.low;
        let share = if width > 0.0 { ((x - self.low) / width).clamp(0.0, 1.0) } else { 0.5 };
        percent(0.02 + 0.96 * share)
    }
}

/// A value (with the half width of its interval) against a reference point.
pub(crate) fn meter(domain: Domain, value: f64, margin: Option<f64>, reference: Option<f64>) -> Element {
    let mut label = format!("{} on a scale from {} to {}", numbers::decimal(value), domain.low, domain.high);
    if let Some(x) = reference {
        label.push_str(&format!("; reference point {}", numbers::decimal(x)));
    }
    let whisker = margin.filter(|m| m.is_finite()).map(|m| segment("whisker", domain, value - m, value + m, 12));
    track(&label).extend(reference.map(|x| mark(domain, x))).extend(whisker).add(dot("dot", domain, value))
}

/// The same quality after training on real and on twin data.
pub(crate) fn dumbbell(domain: Domain, real: Option<f64>, twin: Option<f64>) -> Element {
    let spoken = |x: Option<f64>| x.map_or("not measured".into(), numbers::decimal);
    let join = real.zip(twin).map(|(a, b)| segment("join", domain, a, b, 12));
    track(&format!("real {}, twin {}", spoken(real), spoken(twin)))
        .extend(join)
        .extend(real.map(|x| dot("dot real", domain, x)))
        // A ring, so that two equal values show as a dot in a ring.
        .extend(twin.map(|x| dot("dot ring", domain, x)))
}

/// A value with its interval, and the places 0 and 1.
pub(crate) fn interval(domain: Domain, value: f64, bounds: Option<[f64; 2]>) -> Element {
    let spoken = bounds
        .map_or(String::new(), |[a, b]| format!(", 95 % interval {} to {}", numbers::decimal(a), numbers::decimal(b)));
    track(&format!("{}{spoken}", numbers::decimal(value)))
        .add(mark(domain, 0.0))
        .add(mark(domain, 1.0))
        .extend(bounds.map(|[a, b]| segment("whisker twin", domain, a, b, 12)))
        .add(dot("dot twin", domain, value))
}

fn track(label: &str) -> Element {
    let base = classed("line", "base").set("x1", 0).set("x2", "100%").set("y1", 12).set("y2", 12);
    classed("svg", "track").set("role", "img").set("aria-label", label).add(base)
}

fn dot(class: &'static str, domain: Domain, x: f64) -> Element {
    classed("circle", class).set("cx", domain.place(x)).set("cy", 12).set("r", 6)
}

fn mark(domain: Domain, x: f64) -> Element {
    let place = domain.place(x);
    classed("line", "mark").set("x1", &place).set("x2", &place).set("y1", 2).set("y2", 22)
}

fn segment(class: &'static str, domain: Domain, from: f64, to: f64, y: u32) -> Element {
    classed("line", class).set("x1", domain.place(from)).set("x2", domain.place(to)).set("y1", y).set("y2", y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_in_proportion() {
        let page = meter(Domain::UNIT, 0.75, Some(0.25), Some(0.5)).to_string();
        assert!(page.contains("cx=\"74%\""), "{page}");
        assert!(page.contains("class=\"whisker\" x1=\"50%\" x2=\"98%\""), "{page}");
        assert!(page.contains("class=\"mark\" x1=\"50%\""), "{page}");
        assert!(page.contains("aria-label=\"0.750 on a scale from 0 to 1; reference point 0.500\""), "{page}");
    }

    #[test]
    fn domains_hold_their_values_within_limits() {
        let domain = Domain::around([0.0, 1.0], [-0.4, 7.0, f64::NAN], [-1.0, 2.0]);
        assert_eq!(domain, Domain { low: -0.4, high: 2.0 });
        assert_eq!(domain.place(99.0), "98%");
        assert_eq!(Domain { low: 1.0, high: 1.0 }.place(1.0), "50%");
    }

    #[test]
    fn missing_sides_are_spoken() {
        let page = dumbbell(Domain::UNIT, Some(0.5), None).to_string();
        assert!(page.contains("real 0.500, twin not measured") && !page.contains("join"), "{page}");
    }
}
