//! Generator and critic of histories.
//!
//! ```text
//! profile, noise of the user ─► state, context, shift
//! noise of the cell ─► recurrent unit ─► head ─► some events at once           cell by cell
//! events, profile ─► critic: over the sequence, and over its means and squares ─► one answer
//! ```
//!
//! Cells of several events: Lin et al., "Using GANs for sharing networked time series data" (DoppelGANger), IMC 2020, §4.2.

use crate::weights::{Layout, Linear, Recurrent, Weights};
use std::sync::Arc;
use twinmart_nets::graph::{Graph, Spans, Var, Windows};
use twinmart_tables::Body;

/// Numbers of noise of a user, and of a cell.
pub(super) const USER_NOISE: usize = 64;
pub(super) const CELL_NOISE: usize = 64;
/// Units of a recurrent state.
const STATE: usize = 160;
/// Numbers in which a profile is told to each cell.
const CONTEXT: usize = 96;
/// With which events before it a critic compares an event's item; beyond these, with the mean of the window.
const BEFORE: [usize; 4] = [1, 2, 3, 6];
/// Numbers by which a critic sees how alike items are.
const ALIKE: usize = BEFORE.len() + 1;
/// Units of the critic's layers.
const WIDTH: usize = 128;
const LEAK: f32 = 0.2;
/// Sigmoids and softmaxes of scores divided by this are nearly one choice.
const TEMPERATURE: f32 = 0.3;

/// How large events, profiles and windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Numbers of an item's vector.
    pub(super) vector: usize,
    /// Numbers that are told of an event beside its item: begins a session, gap, hour, then actions.
    pub(super) told: usize,
    /// Numbers of a profile.
    pub(super) profile: usize,
    /// Cells of a window.
    pub(super) cells: usize,
    /// Events of a cell.
    pub(super) events: usize,
}

impl Sizes {
    /// Numbers of an event.
    pub(super) fn event(&self) -> usize {
        self.vector + self.told
    }

    /// Events of a window.
    pub(super) fn window(&self) -> usize {
        self.cells * self.events
    }
}

/// Random numbers for some windows, and what is known of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prior {
    /// `[windows, profile]`
    pub(super) profile: Var,
    /// `[windows, USER_NOISE]`
    pub(super) user: Var,
    /// `[windows, cells · CELL_NOISE]`
    pub(super) cells: Var,
    /// `[events, 1]` noise on the score of beginning a session.
    pub(super) logistic: Var,
    /// `[events, actions]`, where there are several.
    pub(super) gumbel: Option<Var>,
    /// `[events, vector]` noise on items' vectors, zero beyond the window's end.
    pub(super) blur: Var,
    pub(super) known: Known,
}

/// Which events there are: constants of `[events, 1]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// 1 for events that exist.
    pub(super) exists: Var,
    /// 1 for events that are the first of their user.
    pub(super) first: Var,
}

/// Made events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// `[events, event]` as the critic sees them.
    pub(super) events: Var,
    /// `[events, 1]` scores of beginning a session, with noise.
    pub(super) begins: Var,
}

/// Makes windows of histories.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    pub(super) layout: Layout,
    sizes: Sizes,
    start: Linear,
    context: Linear,
    unit: Recurrent,
    head: Linear,
    shift: Linear,
    going_on: Linear,
}

impl Generator {
    pub(super) fn new(sizes: Sizes) -> Generator {
        let mut layout = Layout::default();
        let inputs = sizes.profile + USER_NOISE;
        Generator {
            start: Linear::new(&mut layout, inputs, STATE),
            context: Linear::new(&mut layout, inputs, CONTEXT),
            unit: Recurrent::new(&mut layout, CONTEXT + CELL_NOISE, STATE),
            head: Linear::new(&mut layout, STATE + CONTEXT + CELL_NOISE, sizes.events * sizes.event()),
            shift: Linear::new(&mut layout, inputs, sizes.vector),
            going_on: Linear::new(&mut layout, STATE + CONTEXT + CELL_NOISE, sizes.events),
            layout,
            sizes,
        }
    }

    /// Makes events, window by window.
    pub(super) fn make(&self, graph: &mut Graph, weights: &Weights, prior: Prior) -> Made {
        let Sizes { vector, told, cells, .. } = self.sizes;
        let input = graph.join(&[prior.profile, prior.user]);
        let state = self.start.of(graph, weights, input);
        let mut state = graph.tanh(state);
        let context = self.context.of(graph, weights, input);
        let context = graph.leaky(context, LEAK);
        let of_cell = |cell: usize, graph: &mut Graph, state: &mut Var| {
            let noise = graph.columns(prior.cells, cell * CELL_NOISE..(cell + 1) * CELL_NOISE);
            let told = graph.join(&[context, noise]);
            *state = self.unit.step(graph, weights, told, *state);
            let all = graph.join(&[*state, told]);
            (self.head.of(graph, weights, all), self.going_on.of(graph, weights, all))
        };
        let outputs: Vec<(Var, Var)> = (0..cells).map(|cell| of_cell(cell, graph, &mut state)).collect();
        let (events, going_on): (Vec<Var>, Vec<Var>) = outputs.into_iter().unzip();
        let (events, going_on) = (graph.join(&events), graph.join(&going_on));
        let events = graph.reshape(events, vector + told);
        let shift = self.shift.of(graph, weights, input);
        self.finish(graph, events, (shift, going_on), prior)
    }

    /// Places of items, `[events, vector]` of length one: the first of a cell begins anew, near what the user likes; each other
    /// does so too, or goes on from the one before, as far as its gate says (`going_on`, `[windows, events of a window]`).
    fn places(&self, graph: &mut Graph, said: Var, (shift, going_on): (Var, Var)) -> Var {
        let Sizes { vector, events, .. } = self.sizes;
        let own = graph.columns(said, 0..vector);
        let shift = graph.take(shift, &window_of(graph.shape(said)[0], self.sizes.window()));
        let own = graph.add(own, shift);
        let own = unit(graph, own);
        // All cells at once: a row for each.
        let cells = graph.reshape(own, events * vector);
        let gates = graph.sigmoid(going_on);
        let gates = graph.reshape(gates, events);
        let mut before = graph.columns(cells, 0..vector);
        let mut places = vec![before];
        for at in 1..events {
            let new = graph.columns(cells, at * vector..(at + 1) * vector);
            let gate = graph.columns(gates, at..at + 1);
            let gate = graph.repeat_columns(gate, vector);
            let back = graph.subtract(before, new);
            let back = graph.multiply(back, gate);
            before = graph.add(new, back);
            places.push(before);
        }
        let places = graph.join(&places);
        let places = graph.reshape(places, vector);
        unit(graph, places)
    }

    /// Events, `[events, event]`, from what the heads say.
    fn finish(&self, graph: &mut Graph, said: Var, likes: (Var, Var), prior: Prior) -> Made {
        let Sizes { vector, told, .. } = self.sizes;
        let place = self.places(graph, said, likes);
        let exists = |graph: &mut Graph, x: Var| {
            let mask = graph.repeat_columns(prior.known.exists, graph.shape(x)[1]);
            graph.multiply(x, mask)
        };
        let place = exists(graph, place);
        let place = graph.add(place, prior.blur);
        let score = graph.columns(said, vector..vector + 1);
        let begins = graph.add(score, prior.logistic);
        let sharp = graph.scale(begins, 1.0 / TEMPERATURE);
        let begun = graph.sigmoid(sharp);
        let not_first = graph.affine(prior.known.first, -1.0, 1.0);
        let begun = graph.multiply(begun, not_first);
        let begun = graph.add(begun, prior.known.first);
        let gap = graph.columns(said, vector + 1..vector + 2);
        let gap = graph.tanh(gap);
        let gap = graph.multiply(gap, not_first);
        let hour = graph.columns(said, vector + 2..vector + 3);
        let hour = graph.tanh(hour);
        let hour = graph.multiply(hour, begun);
        let mut numbers = vec![begun, gap, hour];
        if let Some(gumbel) = prior.gumbel {
            let action = graph.columns(said, vector + 3..vector + told);
            let noisy = graph.add(action, gumbel);
            let sharp = graph.scale(noisy, 1.0 / TEMPERATURE);
            let spans: Spans = vec![0, told - 3].into();
            numbers.push(graph.softmax(sharp, &spans));
        }
        let numbers = graph.join(&numbers);
        let numbers = exists(graph, numbers);
        Made { events: graph.join(&[place, numbers]), begins }
    }
}

/// Rows divided by their lengths.
fn unit(graph: &mut Graph, x: Var) -> Var {
    let columns = graph.shape(x)[1];
    let square = graph.multiply(x, x);
    let square = graph.sum_columns(square);
    let square = graph.affine(square, 1.0, 1e-4);
    let scale = graph.power(square, -0.5);
    let scale = graph.repeat_columns(scale, columns);
    graph.multiply(x, scale)
}

/// For each event the number of its window.
fn window_of(events: usize, window: usize) -> Arc<[u32]> {
    (0..events).map(|event| (event / window) as u32).collect()
}

/// Tells real windows from made ones.
#[derive(Debug, Clone)]
pub(super) struct Critic {
    pub(super) layout: Layout,
    sizes: Sizes,
    over: Over,
    in_short: Linear,
    last: Linear,
    answer: Linear,
}

/// How the critic looks at the sequence.
#[derive(Debug, Clone)]
enum Over {
    /// At all of it at once.
    Mlp(Linear, Linear),
    /// At neighbouring cells.
    Cnn(Linear, Linear, Linear),
    /// Cell by cell.
    Rnn(Linear, Recurrent, Linear),
}

impl Critic {
    pub(super) fn new(body: Body, sizes: Sizes) -> Critic {
        let mut layout = Layout::default();
        let cell = sizes.events * (sizes.event() + ALIKE + 1);
        let over = match body {
            Body::Mlp => Over::Mlp(
                Linear::new(&mut layout, sizes.cells * cell, 2 * WIDTH),
                Linear::new(&mut layout, 2 * WIDTH, WIDTH),
            ),
            Body::Cnn => Over::Cnn(
                Linear::new(&mut layout, 3 * cell, WIDTH),
                Linear::new(&mut layout, 3 * WIDTH, WIDTH),
                Linear::new(&mut layout, sizes.cells * WIDTH, WIDTH),
            ),
            Body::Rnn => Over::Rnn(
                Linear::new(&mut layout, cell, WIDTH),
                Recurrent::new(&mut layout, WIDTH, WIDTH),
                Linear::new(&mut layout, sizes.profile, WIDTH),
            ),
        };
        Critic {
            over,
            in_short: Linear::new(&mut layout, 2 * (sizes.event() + ALIKE) + 1 + sizes.profile, WIDTH),
            last: Linear::new(&mut layout, 2 * WIDTH, WIDTH),
            answer: Linear::new(&mut layout, WIDTH, 1),
            layout,
            sizes,
        }
    }

    /// One answer for each window, `[windows, 1]`: large for real ones.
    pub(super) fn judge(&self, graph: &mut Graph, weights: &Weights, events: Var, profile: Var, exists: Var) -> Var {
        let alike = self.alike(graph, events, exists);
        let events = graph.join(&[events, alike]);
        let whole = self.over_sequence(graph, weights, events, profile, exists);
        let short = self.over_moments(graph, weights, events, profile, exists);
        let all = graph.join(&[whole, short]);
        let all = self.last.of(graph, weights, all);
        let all = graph.leaky(all, LEAK);
        self.answer.of(graph, weights, all)
    }

    /// How alike the item of each event is to those before it and to the mean of its window, `[events, ALIKE]`: what goes
    /// together is told by products, which layers find hard to make.
    fn alike(&self, graph: &mut Graph, events: Var, exists: Var) -> Var {
        let (count, window) = (graph.shape(events)[0], self.sizes.window());
        let place = graph.columns(events, 0..self.sizes.vector);
        let product = |graph: &mut Graph, other: Var| {
            let product = graph.multiply(place, other);
            graph.sum_columns(product)
        };
        let mut numbers = Vec::with_capacity(ALIKE);
        for back in BEFORE {
            // The first events of a window are compared with its last ones: a constant pattern, real and made.
            let before =
                (0..count).map(|at| (at / window * window + (at % window + window - back % window) % window) as u32);
            let other = graph.take(place, &before.collect());
            numbers.push(product(graph, other));
        }
        let to = window_of(count, window);
        let all = graph.join(&[place, exists]);
        let sums = graph.scatter(all, &to, count / window);
        let width = self.sizes.vector;
        let (sum, number) = (graph.columns(sums, 0..width), graph.columns(sums, width..width + 1));
        let number = graph.affine(number, 1.0, 1e-3);
        let share = graph.power(number, -1.0);
        let share = graph.repeat_columns(share, width);
        let mean = graph.multiply(sum, share);
        let mean = graph.take(mean, &to);
        numbers.push(product(graph, mean));
        graph.join(&numbers)
    }

    fn over_sequence(&self, graph: &mut Graph, weights: &Weights, events: Var, profile: Var, exists: Var) -> Var {
        let Sizes { cells, events: of_cell, .. } = self.sizes;
        let cell = of_cell * (self.sizes.event() + ALIKE + 1);
        let all = graph.join(&[events, exists]);
        let lines = graph.reshape(all, cells * cell);
        match &self.over {
            Over::Mlp(first, second) => {
                let x = first.of(graph, weights, lines);
                let x = graph.leaky(x, LEAK);
                let x = second.of(graph, weights, x);
                graph.leaky(x, LEAK)
            }
            Over::Cnn(first, second, third) => {
                let mut x = lines;
                for (layer, channels) in [(first, cell), (second, WIDTH)] {
                    let windows = Windows { places: cells, channels, width: 3, stride: 1, margin: 1 };
                    let unfolded = graph.unfold(x, windows);
                    let y = layer.of(graph, weights, unfolded);
                    let y = graph.leaky(y, LEAK);
                    x = graph.reshape(y, cells * WIDTH);
                }
                let x = third.of(graph, weights, x);
                graph.leaky(x, LEAK)
            }
            Over::Rnn(tell, unit, start) => {
                let state = start.of(graph, weights, profile);
                let mut state = graph.tanh(state);
                for at in 0..cells {
                    let x = graph.columns(lines, at * cell..(at + 1) * cell);
                    let x = tell.of(graph, weights, x);
                    let x = graph.leaky(x, LEAK);
                    state = unit.step(graph, weights, x, state);
                }
                state
            }
        }
    }

    /// Means of the numbers of events and of their squares, beside the profile.
    fn over_moments(&self, graph: &mut Graph, weights: &Weights, events: Var, profile: Var, exists: Var) -> Var {
        let [count, _] = graph.shape(events);
        let (windows, to) = (graph.shape(profile)[0], window_of(count, self.sizes.window()));
        let squares = graph.multiply(events, events);
        let all = graph.join(&[events, squares, exists]);
        let sums = graph.scatter(all, &to, windows);
        let means = graph.scale(sums, 1.0 / self.sizes.window() as f32);
        let all = graph.join(&[means, profile]);
        let x = self.in_short.of(graph, weights, all);
        graph.leaky(x, LEAK)
    }
}
