//! The distribution of an ordered column as a run of segments, without the values of few people.
//!
//! Extremes are protected: the values of the first t people at each end count as if they lay just inside. In between, a
//! value shared by t people or more is a spike (zeros, caps, rounded figures stay exact); the values between two spikes
//! become one or more stretches, each of at least t people, in which draws are uniform. A border of a stretch is the mean of
//! the values of the t people around it, so nobody's number is stored; values of fewer than t people between two spikes
//! count for the nearer spike.

use crate::grid::Grid;
use crate::observed::{Held, Key, Observed, real};
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use twinmart_privacy::PersonThreshold;

/// Stretches hold at least this share of the values, so that a column has some thousands of segments at most.
const FINEST: u64 = 2048;

/// An ordered column: segments in ascending order that do not overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Number {
    grid: Grid,
    /// Lower ends, positions on the grid.
    low: Vec<f64>,
    /// Upper ends; equal to the lower end for a spike.
    high: Vec<f64>,
    /// Running totals of the values in the segments.
    cumulative: Vec<u64>,
}

/// A segment while the distribution is made.
#[derive(Debug, Clone, Copy)]
struct Segment {
    low: f64,
    high: f64,
    count: u64,
}

/// A value, how often, and who holds it.
struct Value<'a> {
    position: f64,
    held: &'a Held,
}

impl Number {
    /// The distribution of ordered values; `None` where none may come out.
    pub(crate) fn of(seen: &Observed, threshold: PersonThreshold) -> Option<Number> {
        let low = protected(seen.values.iter(), threshold)?;
        let high = protected(seen.values.iter().rev(), threshold)?;
        if low > high {
            return None;
        }
        let grid = grid_between(seen.values.range(low.clone()..=high.clone()).map(|(k, _)| k));
        let inside = seen.values.range(low.clone()..=high.clone());
        let values: Vec<Value> = inside.map(|(k, held)| Value { position: position(&grid, k), held }).collect();
        let total: u64 = seen.values.values().map(|h| h.count).sum();
        let mut segments = segments(&values, threshold, (total / FINEST).max(1));
        let below: u64 = seen.values.range(..low.clone()).map(|(_, h)| h.count).sum();
        let kept: u64 = values.iter().map(|v| v.held.count).sum();
        let first = segments.first_mut()?;
        first.count += below;
        segments.last_mut()?.count += total - below - kept;
        Some(Number::from_segments(grid, &segments))
    }

    fn from_segments(grid: Grid, segments: &[Segment]) -> Number {
        let mut total = 0;
        let cumulative = segments.iter().map(|s| {
            total += s.count;
            total
        });
        let cumulative = cumulative.collect();
        Number {
            grid,
            low: segments.iter().map(|s| s.low).collect(),
            high: segments.iter().map(|s| s.high).collect(),
            cumulative,
        }
    }

    /// The grid of the values.
    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The number of segments, at least 1.
    pub(crate) fn segments(&self) -> usize {
        self.low.len()
    }

    /// Values in a segment.
    pub(crate) fn count(&self, segment: usize) -> u64 {
        self.cumulative[segment] - if segment == 0 { 0 } else { self.cumulative[segment - 1] }
    }

    /// The segment of a position: that which holds it, else the nearest.
    pub(crate) fn segment_of(&self, position: f64) -> usize {
        let last = self.segments() - 1;
        let at = self.high.partition_point(|h| *h < position).min(last);
        if at < last && self.low[at + 1] == position && self.high[at + 1] == position {
            return at + 1;
        }
        if at > 0 && position < self.low[at] && position - self.high[at - 1] < self.low[at] - position {
            return at - 1;
        }
        at
    }

    /// A position drawn from a run of segments, in proportion to their values; on the grid.
    pub(crate) fn draw(&self, segments: Range<usize>, stream: &mut impl RngCore) -> f64 {
        let before = if segments.start == 0 { 0 } else { self.cumulative[segments.start - 1] };
        let at = stream.random_range(before..self.cumulative[segments.end - 1]);
        let segment = segments.start + self.cumulative[segments].partition_point(|c| *c <= at);
        let (low, high) = (self.low[segment], self.high[segment]);
        let share = stream.random::<f64>();
        if low == high { low } else { self.grid.round(low + share * (high - low)) }
    }

    /// Values of a segment within `intervals`, about: closed intervals of positions, in ascending order. What lies in a
    /// stretch is spread evenly over its points of the grid.
    pub(crate) fn count_within(&self, segment: usize, intervals: &[(f64, f64)]) -> f64 {
        intervals.iter().map(|interval| self.count_in(segment, *interval)).sum()
    }

    fn count_in(&self, segment: usize, interval: (f64, f64)) -> f64 {
        /// Share of a stretch of real numbers that a single one of them has.
        const POINT: f64 = 1e-9;
        let (low, high, count) = (self.low[segment], self.high[segment], self.count(segment) as f64);
        let Some((first, last)) = self.points_in(segment, interval) else { return 0.0 };
        if low == high {
            return count;
        }
        let step = self.grid.step();
        count * ((last - first + step) / (high - low + step)).clamp(POINT, 1.0)
    }

    /// The first and the last position of a segment within a closed interval.
    fn points_in(&self, segment: usize, (from, to): (f64, f64)) -> Option<(f64, f64)> {
        let (first, last) = (self.low[segment].max(from), self.high[segment].min(to));
        let (first, last) = if self.low[segment] == self.high[segment] {
            (first, last)
        } else {
            (self.grid.round_up(first), self.grid.round_down(last))
        };
        (first <= last).then_some((first, last))
    }

    /// As [`Number::draw`], of the positions within `intervals`; `None` where there are none.
    pub(crate) fn draw_within(
        &self,
        segments: Range<usize>,
        intervals: &[(f64, f64)],
        stream: &mut impl RngCore,
    ) -> Option<f64> {
        let pieces = || segments.clone().flat_map(|s| intervals.iter().map(move |i| (s, *i)));
        let total: f64 = pieces().map(|(s, i)| self.count_in(s, i)).sum();
        let (mut left, share) = (stream.random::<f64>() * total, stream.random::<f64>());
        let mut found = None;
        for (segment, interval) in pieces() {
            let count = self.count_in(segment, interval);
            if count > 0.0 {
                found = self.points_in(segment, interval);
                if left < count {
                    break;
                }
                left -= count;
            }
        }
        let (first, last) = found?;
        let step = self.grid.step();
        let drawn = if step > 0.0 {
            first + (share * ((last - first) / step + 1.0)).floor() * step
        } else {
            first + share * (last - first)
        };
        Some(self.grid.round(drawn).clamp(first, last))
    }

    /// The first and the last position that can be drawn.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.low[0], self.high[self.segments() - 1])
    }

    /// The mean of a run of segments, between its ends.
    pub(crate) fn mean(&self, segments: Range<usize>) -> f64 {
        let total: u64 = segments.clone().map(|s| self.count(s)).sum();
        // Halves first: the width of a segment may be more than the largest number.
        let middle = |s: usize| self.low[s] / 2.0 + self.high[s] / 2.0;
        let mean: f64 = segments.clone().map(|s| self.count(s) as f64 / total as f64 * middle(s)).sum();
        mean.clamp(self.low[segments.start], self.high[segments.end - 1])
    }

    /// True where the distribution is one that [`Number::of`] can make.
    pub(crate) fn is_sound(&self) -> bool {
        let n = self.low.len();
        let limit = u64::MAX / 4;
        let step = if let Grid::Whole { step, .. } = self.grid { step > 0 } else { true };
        step && n > 0
            && self.high.len() == n
            && self.cumulative.len() == n
            && self.cumulative[0] > 0
            && self.cumulative.is_sorted_by(|a, b| a < b)
            && self.cumulative[n - 1] < limit
            && self.low.iter().chain(&self.high).all(|x| x.is_finite())
            && (0..n).all(|i| self.low[i] <= self.high[i])
            && (1..n).all(|i| self.high[i - 1] <= self.low[i])
    }
}

/// Spikes, and between them stretches of at least `smallest` values.
fn segments(values: &[Value], threshold: PersonThreshold, smallest: u64) -> Vec<Segment> {
    let is_spike = |v: &Value| threshold.allows(v.held.subjects.len());
    let mut segments: Vec<Segment> = Vec::new();
    // Values of too few people since the last segment, to be counted for a neighbour.
    let mut pending: Vec<(f64, u64)> = Vec::new();
    let mut start = 0;
    while start < values.len() {
        let spike = is_spike(&values[start]);
        let run = values[start..].iter().take_while(|v| is_spike(v) == spike).count();
        for run in values[start..start + run].chunk_by(|_, _| !spike) {
            if spike {
                let here = Segment { low: run[0].position, high: run[0].position, count: run[0].held.count };
                settle(&mut segments, &mut pending, Some(here));
            } else {
                let made = stretches(run, threshold, smallest);
                match made.is_empty() {
                    true => pending.extend(run.iter().map(|v| (v.position, v.held.count))),
                    false => segments.extend(made),
                }
            }
        }
        start += run;
    }
    settle(&mut segments, &mut pending, None);
    segments
}

/// Counts pending values for the nearer of the last segment and `next`, which is then added.
fn settle(segments: &mut Vec<Segment>, pending: &mut Vec<(f64, u64)>, next: Option<Segment>) {
    let mut next = next;
    for (position, count) in pending.drain(..) {
        match (segments.last_mut(), next.as_mut()) {
            (Some(last), Some(next)) if position - last.high < next.low - position => last.count += count,
            (_, Some(next)) => next.count += count,
            (Some(last), None) => last.count += count,
            (None, None) => {}
        }
    }
    segments.extend(next);
}

/// A run of values without spikes as stretches of at least `smallest` values and t people each; none where the run has fewer
/// than t people.
fn stretches(run: &[Value], threshold: PersonThreshold, smallest: u64) -> Vec<Segment> {
    let mut ends: Vec<usize> = Vec::new();
    let (mut count, mut people) = (0, People::default());
    for (i, value) in run.iter().enumerate() {
        count += value.held.count;
        people.add(value.held);
        if count >= smallest && threshold.allows(people.0.len()) {
            ends.push(i + 1);
            (count, people) = (0, People::default());
        }
    }
    // What is left at the end belongs to the last stretch.
    match ends.last_mut() {
        Some(last) => *last = run.len(),
        None => return Vec::new(),
    }
    let borders: Vec<f64> =
        std::iter::once(0).chain(ends.iter().copied()).map(|at| border(run, at, threshold)).collect();
    let mut start = 0;
    let stretches = ends.iter().zip(borders.windows(2)).map(|(end, ends)| {
        let count = run[start..*end].iter().map(|v| v.held.count).sum();
        start = *end;
        Segment { low: ends[0], high: ends[1].max(ends[0]), count }
    });
    stretches.collect()
}

/// The mean of the values of t people around the gap before `at`, as many from either side as there are.
fn border(run: &[Value], at: usize, threshold: PersonThreshold) -> f64 {
    let (mut left, mut right) = (at, at);
    let mut people = People::default();
    while !threshold.allows(people.0.len()) && (left > 0 || right < run.len()) {
        if left > 0 {
            left -= 1;
            people.add(run[left].held);
        }
        if right < run.len() {
            people.add(run[right].held);
            right += 1;
        }
    }
    let total: u64 = run[left..right].iter().map(|v| v.held.count).sum();
    let mean: f64 = run[left..right].iter().map(|v| v.position * (v.held.count as f64 / total as f64)).sum();
    mean.clamp(run[left].position, run[right - 1].position)
}

/// Different people, as far as they are remembered: never more than there are.
#[derive(Default)]
struct People(Vec<u64>);

impl People {
    fn add(&mut self, held: &Held) {
        for subject in &held.subjects {
            if !self.0.contains(subject) && self.0.len() <= PersonThreshold::LARGEST {
                self.0.push(*subject);
            }
        }
    }
}

/// The first value at which more than t different people have been passed.
fn protected<'a>(values: impl Iterator<Item = (&'a Key, &'a Held)>, threshold: PersonThreshold) -> Option<&'a Key> {
    let mut passed = People::default();
    for (key, held) in values {
        passed.add(held);
        if passed.0.len() > threshold.people() {
            return Some(key);
        }
    }
    None
}

fn grid_between<'a>(keys: impl Iterator<Item = &'a Key> + Clone) -> Grid {
    let whole = keys.clone().filter_map(|k| if let Key::Whole(x) = k { Some(*x) } else { None });
    match keys.clone().next() {
        Some(Key::Whole(_)) => Grid::of_whole(whole),
        _ => Grid::of_real(keys.filter_map(|k| if let Key::Real(bits) = k { Some(real(*bits)) } else { None })),
    }
}

fn position(grid: &Grid, key: &Key) -> f64 {
    match key {
        Key::Whole(x) => grid.position_of_whole(*x),
        Key::Real(bits) => real(*bits),
        Key::Text(_) => f64::NAN,
    }
}
