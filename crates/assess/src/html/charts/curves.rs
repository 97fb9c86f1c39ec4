//! Curves of learning by epoch: both losses, what the discriminator tells, and how unlike made and real examples are.
//!
//! A drawing holds its own words, so that it is also a file by itself ([`curves_alone`]). The discriminator's line is solid and
//! blue, the generator's dashed and orange; a level to hold them against is dashed and grey, the kept epoch a dotted upright.

use super::super::markup::{Element, classed, element};
use super::super::numbers;
use super::unit;
use crate::training::{CurvePoint, TrainingCurves};

/// Size of a drawing, and the box inside it where curves run.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 292.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 168.0;
/// Between drawings, and around all of them.
const GAP: f64 = 24.0;
/// Height of a table's name above its drawings.
const HEADING: f64 = 24.0;
/// Numbers beyond are as good as infinite: a gap.
const LARGEST: f64 = 1e30;
/// Steps of the scale, about.
const STEPS: f64 = 5.0;

/// One drawing: series over one scale.
struct Panel<'a> {
    name: &'static str,
    series: Vec<Series>,
    level: Option<Level>,
    /// What the scale holds whatever the numbers are.
    always: Option<[f64; 2]>,
    curves: &'a TrainingCurves,
}

/// One line of a drawing: a number for each epoch.
struct Series {
    name: &'static str,
    values: Vec<Option<f64>>,
}

/// A number to hold the others against.
struct Level {
    name: &'static str,
    value: f64,
}

/// The three drawings of a table.
pub(crate) fn curves(curves: &TrainingCurves) -> [Element; 3] {
    let series = |name, of: fn(&CurvePoint) -> Option<f64>| Series {
        name,
        values: curves.epochs.iter().map(|point| of(point).filter(|x| x.abs() <= LARGEST)).collect(),
    };
    let level = |name, value: Option<f64>| value.filter(|x| x.abs() <= LARGEST).map(|value| Level { name, value });
    let losses = vec![series("discriminator", |p| p.discriminator_loss), series("generator", |p| p.generator_loss)];
    let told = vec![series("accuracy", |p| p.accuracy), series("F1", |p| p.f1)];
    let unlike = vec![series("made", |p| p.two_sample)];
    let real = level("two real samples", curves.two_sample_floor);
    [
        Panel { name: "Losses", series: losses, level: None, always: None, curves },
        Panel {
            name: "Discriminator on held-out examples",
            series: told,
            level: level("guessing", Some(0.5)),
            always: Some([0.0, 1.0]),
            curves,
        },
        Panel { name: "Two-sample statistic", series: unlike, level: real, always: Some([0.0, 0.0]), curves },
    ]
    .map(|panel| panel.draw())
}

/// The drawings of several tables as one SVG file on white, a row for each table.
pub(crate) fn curves_alone(tables: &[TrainingCurves]) -> String {
    let row = GAP + HEADING + HEIGHT;
    let (width, height) = (3.0 * WIDTH + 4.0 * GAP, (row * tables.len() as f64 + GAP).max(2.0 * GAP));
    let mut picture = element("svg")
        .set("xmlns", "http://www.w3.org/2000/svg")
        .set("viewBox", format_args!("0 0 {} {}", unit(width), unit(height)))
        .set("width", unit(width))
        .set("height", unit(height))
        .add(element("title").text("Curves of learning"))
        .add(Element::style_sheet(include_str!("curves.css")))
        .add(classed("rect", "ground").set("width", unit(width)).set("height", unit(height)));
    for (number, table) in tables.iter().enumerate() {
        let top = GAP + row * number as f64;
        picture = picture.add(words(GAP, top + 12.0, "start", &table.table).set("class", "name"));
        for (column, panel) in curves(table).into_iter().enumerate() {
            let left = GAP + (WIDTH + GAP) * column as f64;
            let (x, y) = (unit(left), unit(top + HEADING));
            picture = picture.add(panel.set("x", x).set("y", y).set("width", WIDTH).set("height", HEIGHT));
        }
    }
    format!("{picture}\n")
}

impl Panel<'_> {
    fn draw(&self) -> Element {
        let svg = element("svg")
            .set("viewBox", format_args!("0 0 {WIDTH} {HEIGHT}"))
            .set("class", "curves")
            .set("role", "img")
            .set("aria-label", self.describe())
            .add(words(0.0, 12.0, "start", self.name).set("class", "name"));
        let Some(scale) = self.scale() else {
            return svg.add(words(0.0, 32.0, "start", "nothing to draw: no numbers"));
        };
        svg.extend(self.legend())
            .extend(scale.grid())
            .extend(self.epochs_below())
            .extend(self.level.as_ref().map(|level| level_line(level, &scale)))
            .extend(self.series.iter().enumerate().map(|(number, series)| self.lines(number, series, &scale)))
            .extend(self.kept_upright())
    }

    /// The scale of all numbers; nothing where there are none.
    fn scale(&self) -> Option<Scale> {
        let measured = self.series.iter().flat_map(|s| &s.values).flatten().copied();
        let mut ends: Option<[f64; 2]> = None;
        for x in measured {
            let [low, high] = ends.unwrap_or([x, x]);
            ends = Some([low.min(x), high.max(x)]);
        }
        let further = self.level.iter().map(|level| level.value).chain(self.always.into_iter().flatten());
        ends.map(|ends| Scale::around(further.fold(ends, |[low, high], x| [low.min(x), high.max(x)])))
    }

    /// A stroke and a name for each series, and for the level.
    fn legend(&self) -> Vec<Element> {
        let named = self.series.iter().enumerate().map(|(number, series)| (class_of(number), series.name));
        let level = self.level.iter().map(|level| ("floor", level.name));
        let mut left = 0.0;
        let entries = named.chain(level).map(|(class, name)| {
            let (from, to) = (left, left + 18.0);
            // About six units a letter, as nothing here knows the font.
            left = to + 4.0 + 6.2 * name.chars().count() as f64 + 14.0;
            element("g").add(line(class, [from, 27.0], [to, 27.0])).add(words(to + 4.0, 31.0, "start", name))
        });
        entries.collect()
    }

    /// The first epoch, the middle one and the last.
    fn epochs_below(&self) -> Vec<Element> {
        let (first, last) = self.ends();
        let middle = first + (last - first) / 2;
        let anchor = if last > first { "start" } else { "middle" };
        let mut marks = vec![(first, anchor, format!("epoch {}", numbers::count(first)))];
        if last - first > 3 {
            marks.push((middle, "middle", numbers::count(middle)));
        }
        if last > first {
            marks.push((last, "end", numbers::count(last)));
        }
        marks.into_iter().map(|(epoch, anchor, text)| words(self.place(epoch), BOTTOM + 16.0, anchor, &text)).collect()
    }

    /// One series: a polyline for each stretch without a gap, a dot for a number between two gaps.
    fn lines(&self, number: usize, series: &Series, scale: &Scale) -> Element {
        let points = self.curves.epochs.iter().zip(&series.values);
        let points = points.map(|(point, x)| x.map(|x| (self.place(point.epoch), scale.height(x))));
        let mut group = element("g").set("data-series", series.name).add(super::tip(series.name.into()));
        for stretch in stretches(points) {
            let places: Vec<String> = stretch.iter().map(|(x, y)| format!("{},{}", unit(*x), unit(*y))).collect();
            let stroke = classed("polyline", class_of(number));
            group = group.add(match &places[..] {
                // A line from a point to itself, whose round ends are a dot.
                [place] => stroke.set("data-dot", "").set("points", format_args!("{place} {place}")),
                _ => stroke.set("points", places.join(" ")),
            });
        }
        group
    }

    fn kept_upright(&self) -> Option<Element> {
        let kept = self.curves.kept_epoch()?.epoch;
        let x = self.place(kept);
        let (anchor, away) = if x < (LEFT + RIGHT) / 2.0 { ("start", -2.0) } else { ("end", 2.0) };
        let name = format!("kept: {}", numbers::count(kept));
        let upright = line("kept", [x, TOP], [x, BOTTOM]);
        Some(element("g").add(upright).add(words(x + away, TOP - 4.0, anchor, &name)))
    }

    fn ends(&self) -> (u64, u64) {
        let epochs = || self.curves.epochs.iter().map(|point| point.epoch);
        (epochs().min().unwrap_or(0), epochs().max().unwrap_or(0))
    }

    /// Where an epoch lies, from left to right; a single one in the middle.
    fn place(&self, epoch: u64) -> f64 {
        let (first, last) = self.ends();
        let share = if last > first { (epoch - first) as f64 / (last - first) as f64 } else { 0.5 };
        LEFT + (RIGHT - LEFT) * share
    }

    /// The drawing in words: each series at the first, the kept and the last epoch.
    fn describe(&self) -> String {
        let (first, last) = self.ends();
        let epochs = &self.curves.epochs;
        let mut text = format!("{} by epoch, from {first} to {last}.", self.name);
        for Series { name, values } in &self.series {
            let at = |epoch: u64| {
                let value = epochs.iter().position(|p| p.epoch == epoch).and_then(|i| values[i]);
                value.map_or_else(|| "no number".into(), numbers::axis)
            };
            text.push_str(&format!(" {name}: first {}", at(first)));
            if let Some(kept) = self.curves.kept_epoch() {
                text.push_str(&format!(", at the kept epoch {} {}", kept.epoch, at(kept.epoch)));
            }
            text.push_str(&format!(", last {}.", at(last)));
        }
        if let Some(Level { name, value }) = &self.level {
            text.push_str(&format!(" {name}: {}.", numbers::axis(*value)));
        }
        text
    }
}

/// The look of a series.
fn class_of(number: usize) -> &'static str {
    if number == 0 { "first" } else { "second" }
}

fn level_line(level: &Level, scale: &Scale) -> Element {
    let y = scale.height(level.value);
    line("floor", [LEFT, y], [RIGHT, y])
}

/// A scale from bottom to top, cut at round numbers.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// The smallest scale with round ends that holds `low` to `high`.
    fn around([low, high]: [f64; 2]) -> Scale {
        let largest = low.abs().max(high.abs());
        let (low, high) = match high - low > 1e-9 * largest {
            true => (low, high),
            false if largest > 0.0 => (low - 0.5 * largest, high + 0.5 * largest),
            false => (-0.5, 0.5),
        };
        let step = round_above((high - low) / STEPS);
        // What is a step but for rounding is a step.
        Scale { low: (low / step + 1e-9).floor() * step, high: (high / step - 1e-9).ceil() * step, step }
    }

    fn height(&self, x: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (x - self.low) / (self.high - self.low)
    }

    /// A line and a number at each step.
    fn grid(&self) -> Vec<Element> {
        let count = ((self.high - self.low) / self.step).round() as u32;
        let step = |number: u32| self.low + self.step * f64::from(number);
        (0..=count)
            .flat_map(|number| {
                let (x, y) = (step(number), self.height(step(number)));
                [line("grid", [LEFT, y], [RIGHT, y]), words(LEFT - 5.0, y + 4.0, "end", &self.name(x))]
            })
            .collect()
    }

    /// A number in as many digits as tell it from its neighbours on the scale.
    fn name(&self, x: f64) -> String {
        let power = |x: f64| x.abs().log10().floor() as i32;
        // Between steps there is nothing: what is left near zero is rounding.
        let x = if x.abs() < self.step / 2.0 { 0.0 } else { x };
        let digits = |n: i32| n.max(0) as usize;
        let largest = power(self.low.abs().max(self.high.abs()));
        let text = match power(self.step) {
            _ if x == 0.0 => "0".into(),
            step if step >= -4 && largest < 6 => format!("{x:.*}", digits(-step)),
            step => format!("{x:.*e}", digits(power(x) - step)),
        };
        text.replace('-', "−")
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below x, for x above 0.
fn round_above(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    [1.0, 2.0, 5.0].map(|factor| factor * power).into_iter().find(|round| *round >= x).unwrap_or(10.0 * power)
}

/// What lies between gaps, in order.
fn stretches(points: impl Iterator<Item = Option<(f64, f64)>>) -> Vec<Vec<(f64, f64)>> {
    let mut all = vec![Vec::new()];
    for point in points {
        match (point, all.last_mut()) {
            (Some(point), Some(stretch)) => stretch.push(point),
            _ => all.push(Vec::new()),
        }
    }
    all.retain(|stretch| !stretch.is_empty());
    all
}

fn line(class: &'static str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> Element {
    classed("line", class).set("x1", unit(x1)).set("y1", unit(y1)).set("x2", unit(x2)).set("y2", unit(y2))
}

fn words(x: f64, y: f64, anchor: &str, text: &str) -> Element {
    element("text").set("x", unit(x)).set("y", unit(y)).set("text-anchor", anchor).text(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tests::{any_curves, curves as of_numbers};
    use proptest::prelude::*;

    /// Names of all elements of an XML text. Panics where it is not well-formed: unbalanced, unquoted or unescaped.
    fn elements(xml: &str) -> Vec<String> {
        let (mut names, mut open) = (Vec::new(), Vec::new());
        let mut pieces = xml.trim_end().split('<');
        assert_eq!(pieces.next(), Some(""), "text before the first element");
        for piece in pieces {
            let (tag, text) = piece.split_once('>').expect("a tag ends");
            assert!(!text.contains('>'), "`>` in `{text}`");
            let entities = piece.split('&').skip(1);
            assert!(
                entities.into_iter().all(|e| ["lt;", "gt;", "amp;", "quot;", "#39;"].iter().any(|x| e.starts_with(x)))
            );
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "closing tag");
                continue;
            }
            assert!(tag.matches('"').count().is_multiple_of(2), "quotes of `{tag}`");
            let name: String = tag.chars().take_while(char::is_ascii_alphabetic).collect();
            assert!(!name.is_empty(), "an element without a name: `{tag}`");
            if !tag.ends_with('/') {
                open.push(name.clone());
            }
            names.push(name);
        }
        assert!(open.is_empty(), "left open: {open:?}");
        names
    }

    fn count(xml: &str, name: &str) -> usize {
        elements(xml).iter().filter(|other| *other == name).count()
    }

    proptest! {
        #[test]
        fn a_picture_is_well_formed_with_a_polyline_for_each_stretch(tables in any_curves()) {
            let picture = curves_alone(&tables);
            let mut stretches = 0;
            for table in &tables {
                // Precision and recall are not drawn.
                for number in [0, 1, 2, 5, 6] {
                    let drawn = |p: &CurvePoint| p.numbers()[number].1.is_some_and(|x| x.abs() <= LARGEST);
                    let mut before = false;
                    for point in &table.epochs {
                        stretches += usize::from(drawn(point) && !before);
                        before = drawn(point);
                    }
                }
            }
            prop_assert_eq!(count(&picture, "polyline"), stretches);
            let numbers = picture.split("points=\"").skip(1).flat_map(|rest| rest.split('"').next().unwrap().split([' ', ',']));
            prop_assert!(numbers.map(|x| x.parse::<f64>().unwrap()).all(|x| (0.0..=WIDTH).contains(&x)));
            prop_assert!(!picture.contains("NaN") && !picture.contains("inf"));
        }

        #[test]
        fn scales_have_few_round_steps_with_different_names(low in -1.0..1.0f64, sizes in (-12..12i32, -12..12i32), x in 0.1..1.0f64) {
            let low = low * 10f64.powi(sizes.0);
            let high = low + x * 10f64.powi(sizes.1);
            let scale = Scale::around([low, high]);
            let slack = 1e-6 * scale.step;
            prop_assert!(scale.low <= low + slack && high <= scale.high + slack, "{} {}", scale.low, scale.high);
            let steps = ((scale.high - scale.low) / scale.step).round() as usize;
            prop_assert!((2..=8).contains(&steps), "{steps}");
            let mut names: Vec<String> = (0..=steps).map(|i| scale.name(scale.low + scale.step * i as f64)).collect();
            names.dedup();
            prop_assert_eq!(names.len(), steps + 1, "{:?}", names);
        }
    }

    fn falling() -> TrainingCurves {
        let rows: Vec<Vec<Option<f64>>> = (1..=40)
            .map(f64::from)
            .map(|i| [3.0 / i, -1.0 + 1.0 / i, 0.9, 0.8, 0.7, 0.75, 0.2 / i].map(Some).to_vec())
            .collect();
        of_numbers("people & more", &rows, 30)
    }

    #[test]
    fn whole_series_are_one_polyline_each_and_gaps_cut_them() {
        let whole = falling();
        let [losses, told, unlike] = curves(&whole).map(|panel| panel.to_string());
        assert_eq!([&losses, &told, &unlike].map(|panel| count(panel, "polyline")), [2, 2, 1]);
        assert!(losses.contains("data-series=\"discriminator\"") && losses.contains(">kept: 30<"), "{losses}");
        assert!(told.contains("class=\"floor\"") && told.contains(">guessing<"), "{told}");
        assert!(unlike.contains(">two real samples<"), "{unlike}");
        let mut broken = whole;
        broken.epochs[4].discriminator_loss = Some(f64::INFINITY);
        broken.epochs[6].discriminator_loss = None;
        let [losses, ..] = curves(&broken).map(|panel| panel.to_string());
        assert_eq!(count(&losses, "polyline"), 4, "two ends, a dot between the gaps, and the generator");
    }

    #[test]
    fn a_drawing_says_in_words_what_it_shows() {
        let [losses, _, unlike] = curves(&falling()).map(|panel| panel.to_string());
        let words = "Losses by epoch, from 1 to 40. discriminator: first 3, at the kept epoch 30 0.1, last 0.075.";
        assert!(losses.contains(words), "{losses}");
        assert!(unlike.contains("made: first 0.2, at the kept epoch 30 0.007, last 0.005. two real samples: 0.01."));
        let nothing = curves(&TrainingCurves::default())[0].to_string();
        assert!(nothing.contains("nothing to draw"), "{nothing}");
    }

    #[test]
    fn curves_lie_where_their_numbers_say() {
        let rows: Vec<Vec<Option<f64>>> = [0.0, 4.0, 2.0].map(|x| vec![Some(x); 7]).to_vec();
        let [losses, ..] = curves(&of_numbers("t", &rows, 0)).map(|panel| panel.to_string());
        assert!(losses.contains("points=\"46,168 169,50 292,109\""), "{losses}");
        assert!(!losses.contains("kept"), "no epoch was kept: {losses}");
    }

    #[test]
    fn round_numbers_are_named_shortly() {
        let scale = |low, high| Scale::around([low, high]);
        let names = |s: Scale| [s.name(s.low), s.name(s.low + s.step), s.name(s.high)];
        assert_eq!(names(scale(0.0, 1.0)), ["0", "0.2", "1.0"]);
        assert_eq!(names(scale(-3.1, 0.4)), ["−4", "−3", "1"]);
        assert_eq!(names(scale(0.0, 3e-7)), ["0", "1e−7", "3e−7"]);
        assert_eq!(names(scale(5.0, 5.0)), ["2", "3", "8"]);
    }
}
