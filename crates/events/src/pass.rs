//! Some windows of histories on their way through the network, and the gradient of what it makes of them.
//!
//! ```text
//! item vector · enter + fields + taste ─► decoder ─► h            one row for each place in a history
//! h ─► next arrival;  h + arrival ─► gap, hour;  … ─► action      each decision is added before the next one
//! z = h + all decisions + taste;  q = z + narrow · silu(widen · z)
//! q, gates(q) ─► item                                             see `items`
//! ```
//!
//! Whole tastes would tell the answer: what is told of them, [`Telling`] says.

use crate::clock::Clock;
use crate::corrections::{MOMENTS, NETWORK, TASTE};
use crate::items::{Choice, Items, Part, PartSlopes, slopes_of_choices};
use crate::layout::{Course, GATES, Head, Known, Layout, Sizes};
use crate::learn::Care;
use crate::recall::{Candidates, FEATURES, Memory, Recall, TRACE_LENGTH};
use crate::rhythm::Rhythm;
use crate::sequences::Sequences;
use crate::slopes::ItemSlopes;
use crate::steps::{EVENT_CLASSES, SAME, STOP, Step, days_of, steps_of};
use crate::taste::{Contributions, hold, normal};
use crate::telling::Telling;
use rand::Rng;
use std::ops::Range;
use twinmart_nets::decoder::{Decoder, Dropout, Kept, silu, silu_back};
use twinmart_nets::exponential::softmax_rows;
use twinmart_nets::matrix::{add, dot, linear, linear_back, multiply_add, rows, rows_mut};
use twinmart_tables::Stream;

/// Events whose items are scored together.
const BLOCK: usize = 64;

/// Some places of one history. Place p is what is known after p events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) user: usize,
    /// The places that pass through the decoder.
    pub(crate) places: Range<usize>,
    /// The first place that is asked what comes next; those before are only there to be seen.
    pub(crate) asked: usize,
}

/// Histories, and what is known of their users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct People<'a> {
    pub(crate) sequences: &'a Sequences,
    pub(crate) clock: Option<&'a Clock>,
    /// `[fields][users]`
    pub(crate) profile: &'a [Vec<u32>],
    /// `[users, taste]`
    pub(crate) taste: &'a [f32],
    /// What tastes are made of and how they are told; `None` where they are told as they are.
    pub(crate) contributions: Option<&'a Contributions>,
    /// `[taste]` standard deviations of what learning adds to tastes; nothing where there is no learning.
    pub(crate) blur: &'a [f32],
    /// True where nothing is known of anybody but the history.
    pub(crate) strangers: bool,
}

/// A network with its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network<'a> {
    pub(crate) sizes: &'a Sizes,
    pub(crate) layout: &'a Layout,
    pub(crate) decoder: &'a Decoder,
    pub(crate) weights: &'a [f32],
    pub(crate) items: &'a Items<'a>,
    pub(crate) rhythm: &'a Rhythm,
}

/// How a pass learns.
#[derive(Debug)]
pub(crate) struct Learning<'a> {
    /// Added to; see [`PartSlopes`].
    pub(crate) gradient: &'a mut [f32],
    pub(crate) own: &'a mut ItemSlopes,
    pub(crate) stream: Stream,
    pub(crate) care: Care,
}

/// Sums of losses in nats, and how many decisions they are of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Losses {
    pub(crate) arrival: f64,
    pub(crate) time: f64,
    pub(crate) action: f64,
    pub(crate) item: f64,
    pub(crate) events: usize,
}

impl Losses {
    pub(crate) fn add(self, other: Losses) -> Losses {
        Losses {
            arrival: self.arrival + other.arrival,
            time: self.time + other.time,
            action: self.action + other.action,
            item: self.item + other.item,
            events: self.events + other.events,
        }
    }

    pub(crate) fn total(self) -> f64 {
        self.arrival + self.time + self.action + self.item
    }
}

/// What speaks for the item of an event: its features, the season, the network alone, and of that the taste.
pub(crate) type Chosen = [f32; MOMENTS];

/// A place that is asked what comes next.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Number of the event before.
    before: usize,
    /// How the next event came about; `None` at the end of the history.
    next: Option<Step>,
    /// Sessions that are still to come, where there is a plan.
    to_come: Option<usize>,
}

impl Asked {
    /// True where it is open how the history goes on: a plan says which events begin a session.
    fn is_open(self) -> bool {
        self.to_come.is_none() || self.next.is_some_and(|step| step.arrival != SAME)
    }
}

/// What goes into a pass.
#[derive(Default)]
struct Inputs {
    /// Rows of each window.
    windows: Vec<usize>,
    /// `[rows]` item of each row, the number of items for a start.
    items: Vec<usize>,
    /// `[rows][fields]` rows of the table.
    fields: Vec<u32>,
    /// `[rows, taste]`
    taste: Vec<f32>,
    asked: Vec<Asked>,
    asked_rows: Vec<usize>,
    /// Events that are asked for, and how they came about.
    events: Vec<(usize, Step)>,
    event_rows: Vec<usize>,
    /// `[events]` sessions and events that are still to come, with it, where there is a plan.
    left: Vec<Option<(usize, usize)>>,
    /// `[events]` whose they are.
    users: Vec<usize>,
    /// `[events]` what the history brings to mind.
    candidates: Vec<Candidates>,
}

fn inputs<'m>(
    network: &Network,
    people: &People,
    memory: &dyn Fn(usize) -> &'m Memory,
    windows: &[Window],
    mut learning: Option<&mut Learning<'_>>,
) -> Inputs {
    let (sizes, layout) = (network.sizes, network.layout);
    let mut out = Inputs { windows: windows.iter().map(|w| w.places.len()).collect(), ..Inputs::default() };
    let mut recall = sizes.recall();
    for window in windows {
        let Window { user, ref places, asked } = *window;
        let range = people.sequences.of_user(user);
        let mut steps = steps_of(people.sequences, people.clock, user);
        let telling = people.contributions.map(|contributions| contributions.telling);
        let mut taste = match (people.contributions, learning.as_mut()) {
            (Some(all), Some(learning)) if all.telling == Telling::Part => {
                all.part(user, sizes.taste, &mut learning.stream)
            }
            _ => people.taste[user * sizes.taste..][..sizes.taste].to_vec(),
        };
        let is_drawn = learning.as_mut().is_some_and(|l| {
            taste.iter_mut().zip(people.blur).for_each(|(t, blur)| *t += blur * normal(&mut l.stream));
            l.stream.random::<f64>() < l.care.strangers
        });
        let stranger = people.strangers || is_drawn;
        if stranger {
            steps.iter_mut().for_each(|step| step.left = EVENT_CLASSES);
            taste.fill(0.0);
        }
        let all_sessions = people.sequences.sessions(user);
        // Half of the strangers tell some of their profile, but never their group, which is part of the plan.
        let told =
            learning.as_mut().filter(|_| stranger).map_or(0.0, |l| (2.0 * l.stream.random::<f64>() - 1.0).max(0.0));
        let mut tells = |field: usize| {
            let mut draw = || learning.as_mut().is_some_and(|l| l.stream.random::<f64>() < told);
            !stranger || (field > 0 && draw())
        };
        let profile: Vec<Option<usize>> =
            people.profile.iter().enumerate().map(|(field, f)| tells(field).then(|| f[user] as usize)).collect();
        for place in places.clone() {
            let row = out.items.len();
            let (item, step, sessions) = match place.checked_sub(1) {
                None => (sizes.items, Step::start(steps.first().map_or(0, |s| s.season)), 0),
                Some(last) => {
                    let event = range.start + last;
                    let sessions = people.sequences.session[event] as usize + 1;
                    (people.sequences.item[event] as usize, steps[last], sessions)
                }
            };
            out.items.push(item);
            let left = (!stranger).then(|| (all_sessions - sessions, range.len() - place));
            layout.rows_in(step, Course { sessions, events: place, left }, &profile, sizes, &mut out.fields);
            let start = out.taste.len();
            out.taste.extend_from_slice(&taste);
            let is_taken = telling == Some(Telling::Others) && !stranger && place < range.len();
            if let Some(contributions) = people.contributions.filter(|_| is_taken) {
                contributions.take(user, people.sequences.item[range.start + place], &mut out.taste[start..]);
            }
            hold(&mut out.taste[start..]);
            if place >= asked {
                // A first event begins a session.
                let before = place.checked_sub(1).map(|last| range.start + last);
                let next = steps.get(place).copied();
                let open = before.map(|before| Asked { before, next, to_come: left.map(|left| left.0) });
                if let Some(open) = open.filter(|asked| asked.is_open()) {
                    out.asked.push(open);
                    out.asked_rows.push(row);
                }
            }
            if let Some(step) = steps.get(place).filter(|_| place >= asked) {
                out.events.push((range.start + place, *step));
                out.left.push(left);
                out.event_rows.push(row);
                out.users.push(user);
            }
        }
        remember(people.sequences, window, memory(user), &mut recall, &mut out.candidates);
    }
    out
}

/// What comes to mind at each of the window's places that are asked for an event.
fn remember(sequences: &Sequences, window: &Window, memory: &Memory, recall: &mut Recall, out: &mut Vec<Candidates>) {
    let range = sequences.of_user(window.user);
    recall.clear();
    for place in 0..window.places.end.min(range.len()) {
        let event = range.start + place;
        if place > 0 && sequences.begins_session(window.user, event) {
            recall.begin_session();
        }
        if place >= window.asked {
            let mut candidates = Candidates::default();
            recall.features(memory, &mut candidates);
            out.push(candidates);
        }
        recall.push(sequences.item[event], memory, place + TRACE_LENGTH < window.asked);
    }
}

pub(crate) fn scores(head: &Head, weights: &[f32], x: &[f32], width: usize) -> Vec<f32> {
    let bias = &weights[head.bias.clone()];
    let mut out = bias.repeat(x.len() / width);
    multiply_add(rows_mut(&mut out, bias.len()), rows(x, width), rows(&weights[head.weights.clone()], bias.len()));
    out
}

/// The way back of [`scores`].
fn scores_back(head: &Head, weights: &[f32], x: &[f32], width: usize, slope: &[f32], gradient: &mut [f32]) -> Vec<f32> {
    slope.chunks_exact(head.bias.len()).for_each(|row| add(&mut gradient[head.bias.clone()], row));
    let place = head.weights.clone();
    linear_back(x, &weights[place.clone()], width, slope, &mut gradient[place])
}

/// Rows of `x` at some places.
fn gather(x: &[f32], width: usize, places: &[usize]) -> Vec<f32> {
    places.iter().flat_map(|p| &x[p * width..][..width]).copied().collect()
}

/// Adds rows to those at some places.
fn scatter(x: &mut [f32], width: usize, places: &[usize], rows: &[f32]) {
    for (place, row) in places.iter().zip(rows.chunks_exact(width)) {
        add(&mut x[place * width..][..width], row);
    }
}

/// Passes windows through the network; `memory` is what others than the user say. With `learning`, adds the gradient of the
/// losses' sum.
pub(crate) fn pass<'m>(
    network: &Network,
    people: &People,
    memory: &dyn Fn(usize) -> &'m Memory,
    windows: &[Window],
    mut learning: Option<Learning<'_>>,
) -> Losses {
    let inputs = inputs(network, people, memory, windows, learning.as_mut());
    let way = Way::of(network, &inputs, &mut learning);
    let mut losses = Losses { events: inputs.events.len(), ..Losses::default() };
    let arrivals = Arrivals::of(network, people, &inputs, way.states(), &mut losses);
    let decisions = Decisions::of(network, people, &inputs, way.states(), &mut losses);
    let query = Query::of(network, &decisions.x, &mut learning);
    let (mut slope_q, mut slope_gates) = (vec![0f32; query.q.len()], vec![0f32; query.gates.len()]);
    let width = network.layout.width;
    for block in (0..inputs.events.len()).step_by(BLOCK) {
        let range = block..(block + BLOCK).min(inputs.events.len());
        let slopes = learning.as_mut().map(|l| PartSlopes {
            q: &mut slope_q[range.start * width..range.end * width],
            gates: &mut slope_gates[range.start * GATES..range.end * GATES],
            gradient: &mut *l.gradient,
            own: &mut *l.own,
        });
        losses.item += network.items.loss(&part(people, memory, &inputs, &query, range), slopes);
    }
    let Some(Learning { gradient, own, .. }) = learning else { return losses };
    let slope = query.back(network, slope_q, &slope_gates, gradient);
    let mut slope_states = decisions.back(network, &inputs, slope, gradient);
    arrivals.back(network, &inputs, &mut slope_states, gradient);
    way.back(network, &inputs, &slope_states, gradient, own);
    losses
}

/// The items of the events that windows ask for, as choices: what speaks for each.
pub(crate) fn choices<'m>(
    network: &Network,
    people: &People,
    memory: &dyn Fn(usize) -> &'m Memory,
    windows: &[Window],
) -> Vec<Chosen> {
    let inputs = inputs(network, people, memory, windows, None);
    let way = Way::of(network, &inputs, &mut None);
    let decisions = Decisions::of(network, people, &inputs, way.states(), &mut Losses::default());
    let query = Query::of(network, &decisions.x, &mut None);
    let queries = query.q.chunks_exact(network.layout.width);
    let chosen = |(event, q): (usize, &[f32])| {
        let (number, step) = inputs.events[event];
        let lifts = memory(inputs.users[event]).season(step.season);
        let likes = network.likes(&decisions.taste[event * network.sizes.taste..][..network.sizes.taste]);
        network.chosen(people.sequences.item[number], (q, &likes), &inputs.candidates[event], lifts)
    };
    queries.enumerate().map(chosen).collect()
}

impl Network<'_> {
    /// What a taste asks for, `[width]`; nothing where there are no tastes.
    pub(crate) fn likes(&self, taste: &[f32]) -> Vec<f32> {
        match self.sizes.taste {
            0 => Vec::new(),
            numbers => linear(taste, &self.weights[self.layout.taste_out.clone()], numbers),
        }
    }

    /// What speaks for an item: its features, how much more popular it is in the season, q · v, and of that what the taste
    /// says.
    pub(crate) fn chosen(
        &self,
        item: u32,
        (q, likes): (&[f32], &[f32]),
        candidates: &Candidates,
        lifts: &[f32],
    ) -> Chosen {
        let mut chosen = [0f32; MOMENTS];
        if let Some(features) = candidates.of_item(item) {
            chosen[..FEATURES].copy_from_slice(features);
        }
        chosen[FEATURES] = lifts[item as usize];
        let vector = self.items.vectors(&[item as usize]);
        (chosen[NETWORK], chosen[TASTE]) = (dot(q, &vector), dot(likes, &vector));
        chosen
    }
}

/// Leaves some numbers out where there is learning.
fn leave_out(learning: &mut Option<Learning<'_>>, x: &mut [f32]) -> Kept {
    let dropped = learning.as_mut().map(|l| Dropout { share: l.care.dropout, stream: &mut l.stream }.drop(x));
    dropped.unwrap_or_default()
}

/// Adds `x · weights`, which lie at `place`, for numbers of a taste.
fn add_taste(network: &Network, out: &mut [f32], taste: &[f32], place: &Range<usize>) {
    let width = network.layout.width;
    if network.sizes.taste > 0 {
        let weights = rows(&network.weights[place.clone()], width);
        multiply_add(rows_mut(out, width), rows(taste, network.sizes.taste), weights);
    }
}

/// The gradient of [`add_taste`]'s weights.
fn learn_taste(network: &Network, slope: &[f32], taste: &[f32], place: &Range<usize>, gradient: &mut [f32]) {
    let width = network.layout.width;
    if network.sizes.taste > 0 {
        let taste = rows(taste, network.sizes.taste).transpose();
        multiply_add(rows_mut(&mut gradient[place.clone()], width), taste, rows(slope, width));
    }
}

/// Rows of a pass in the decoder.
struct Way {
    entered: Vec<f32>,
    kept: Kept,
    decoded: twinmart_nets::decoder::Pass,
}

impl Way {
    fn of(network: &Network, inputs: &Inputs, learning: &mut Option<Learning<'_>>) -> Way {
        let Network { layout, decoder, weights, .. } = *network;
        let width = layout.width;
        let mut entered = network.items.vectors(&inputs.items);
        let kept = leave_out(learning, &mut entered);
        let mut x = linear(&entered, &weights[layout.enter.clone()], width);
        add_taste(network, &mut x, &inputs.taste, &layout.taste_in);
        let table = &weights[layout.table_in.clone()];
        for (x, fields) in x.chunks_exact_mut(width).zip(inputs.fields.chunks_exact(layout.count_in())) {
            fields.iter().for_each(|row| add(x, &table[*row as usize * width..][..width]));
        }
        let dropout = learning.as_mut().map(|l| Dropout { share: l.care.dropout, stream: &mut l.stream });
        let decoded = decoder.forward(&weights[layout.decoder.clone()], x, &inputs.windows, dropout);
        Way { entered, kept, decoded }
    }

    /// `[rows, width]`
    fn states(&self) -> &[f32] {
        self.decoded.states()
    }

    fn back(
        &self,
        network: &Network,
        inputs: &Inputs,
        slope_states: &[f32],
        gradient: &mut [f32],
        own: &mut ItemSlopes,
    ) {
        let Network { layout, decoder, weights, .. } = *network;
        let width = layout.width;
        let place = layout.decoder.clone();
        let slope = self.decoded.back(decoder, &weights[place.clone()], slope_states, &mut gradient[place]);
        for (slope, fields) in slope.chunks_exact(width).zip(inputs.fields.chunks_exact(layout.count_in())) {
            for row in fields {
                add(&mut gradient[layout.table_in.start + *row as usize * width..][..width], slope);
            }
        }
        learn_taste(network, &slope, &inputs.taste, &layout.taste_in, gradient);
        let place = layout.enter.clone();
        let weights = &weights[place.clone()];
        let mut back = linear_back(&self.entered, weights, width, &slope, &mut gradient[place]);
        self.kept.apply(&mut back);
        network.items.vectors_back(&inputs.items, &back, gradient, own);
    }
}

/// How histories go on.
struct Arrivals {
    states: Vec<f32>,
    slope: Vec<f32>,
}

impl Arrivals {
    fn of(network: &Network, people: &People, inputs: &Inputs, states: &[f32], losses: &mut Losses) -> Arrivals {
        let Network { layout, sizes, weights, .. } = *network;
        let states = gather(states, layout.width, &inputs.asked_rows);
        let mut slope = scores(&layout.next, weights, &states, layout.width);
        losses.arrival = arrivals(&mut slope, sizes.arrivals, &inputs.asked, people, network.rhythm);
        Arrivals { states, slope }
    }

    fn back(&self, network: &Network, inputs: &Inputs, slope_states: &mut [f32], gradient: &mut [f32]) {
        let Network { layout, weights, .. } = *network;
        let back = scores_back(&layout.next, weights, &self.states, layout.width, &self.slope, gradient);
        scatter(slope_states, layout.width, &inputs.asked_rows, &back);
    }
}

/// A head that is asked by some events after a decision.
struct Decision<'a> {
    head: &'a Head,
    /// What is added before.
    known: &'a [Known],
    /// Places among the events.
    places: Vec<usize>,
    targets: Vec<usize>,
    x: Vec<f32>,
    slope: Vec<f32>,
}

/// What is known of an event after the last decision before its item.
const LAST_KNOWN: [Known; 1] = [Known::Action];

/// All that is decided of events before their items.
struct Decisions<'a> {
    all: Vec<Decision<'a>>,
    /// `[events, width]` states with everything that was decided.
    x: Vec<f32>,
    taste: Vec<f32>,
}

impl<'a> Decisions<'a> {
    fn of(network: &Network<'a>, people: &People, inputs: &Inputs, states: &[f32], losses: &mut Losses) -> Self {
        let Network { layout, sizes, weights, .. } = *network;
        let width = layout.width;
        let mut x = gather(states, width, &inputs.event_rows);
        let mut all = decisions(layout, sizes, people, inputs);
        let table = &weights[layout.table_out.clone()];
        let know = |x: &mut [f32], known: &[Known]| {
            for (x, (_, step)) in x.chunks_exact_mut(width).zip(&inputs.events) {
                known.iter().for_each(|known| add(x, &table[layout.row_out(*step, *known) * width..][..width]));
            }
        };
        for decision in &mut all {
            know(&mut x, decision.known);
            decision.x = gather(&x, width, &decision.places);
            decision.slope = scores(decision.head, weights, &decision.x, width);
            let choices = decision.head.bias.len();
            if std::ptr::eq(decision.head, &layout.size) {
                for (scores, place) in decision.slope.chunks_exact_mut(choices).zip(&decision.places) {
                    let (sessions, events) = inputs.left[*place].unwrap_or((1, 1));
                    network.rhythm.add_to_sizes(scores, events, sessions);
                }
            }
            let loss = slopes_of_choices(&mut decision.slope, choices, decision.targets.iter().copied());
            if std::ptr::eq(decision.head, &layout.action) { losses.action += loss } else { losses.time += loss }
        }
        know(&mut x, &LAST_KNOWN);
        let taste = match sizes.taste {
            0 => Vec::new(),
            numbers => gather(&inputs.taste, numbers, &inputs.event_rows),
        };
        add_taste(network, &mut x, &taste, &layout.taste_out);
        Decisions { all, x, taste }
    }

    /// The slope of all states, of that of `x`.
    fn back(&self, network: &Network, inputs: &Inputs, mut slope: Vec<f32>, gradient: &mut [f32]) -> Vec<f32> {
        let Network { layout, weights, .. } = *network;
        let width = layout.width;
        learn_taste(network, &slope, &self.taste, &layout.taste_out, gradient);
        let learn = |slope: &[f32], known: &[Known], gradient: &mut [f32]| {
            for (slope, (_, step)) in slope.chunks_exact(width).zip(&inputs.events) {
                for known in known {
                    let start = layout.table_out.start + layout.row_out(*step, *known) * width;
                    add(&mut gradient[start..][..width], slope);
                }
            }
        };
        learn(&slope, &LAST_KNOWN, gradient);
        for decision in self.all.iter().rev() {
            let back = scores_back(decision.head, weights, &decision.x, width, &decision.slope, gradient);
            scatter(&mut slope, width, &decision.places, &back);
            learn(&slope, decision.known, gradient);
        }
        let mut slope_states = vec![0f32; inputs.items.len() * width];
        scatter(&mut slope_states, width, &inputs.event_rows, &slope);
        slope_states
    }
}

/// What asks for items: q = z + narrow · silu(widen · z), and the weights of features.
struct Query<'a> {
    z: &'a [f32],
    before: Vec<f32>,
    after: Vec<f32>,
    kept_after: Kept,
    q: Vec<f32>,
    /// q with some numbers left out.
    asking: Vec<f32>,
    kept_q: Kept,
    gates: Vec<f32>,
}

impl<'a> Query<'a> {
    fn of(network: &Network, z: &'a [f32], learning: &mut Option<Learning<'_>>) -> Query<'a> {
        let Network { layout, weights, .. } = *network;
        let width = layout.width;
        let before = scores(&layout.widen, weights, z, width);
        let mut after = before.clone();
        silu(&mut after);
        let kept_after = leave_out(learning, &mut after);
        let mut q = z.to_vec();
        add(&mut q, &linear(&after, &weights[layout.narrow.clone()], 2 * width));
        let gates = scores(&layout.gates, weights, &q, width);
        let mut asking = q.clone();
        let kept_q = leave_out(learning, &mut asking);
        Query { z, before, after, kept_after, q, asking, kept_q, gates }
    }

    /// The slope of z.
    fn back(&self, network: &Network, mut slope_q: Vec<f32>, slope_gates: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let Network { layout, weights, .. } = *network;
        let width = layout.width;
        self.kept_q.apply(&mut slope_q);
        add(&mut slope_q, &scores_back(&layout.gates, weights, &self.q, width, slope_gates, gradient));
        let place = layout.narrow.clone();
        let narrow = &weights[place.clone()];
        let mut inner = linear_back(&self.after, narrow, 2 * width, &slope_q, &mut gradient[place]);
        self.kept_after.apply(&mut inner);
        silu_back(&mut inner, &self.before);
        let mut slope = slope_q;
        add(&mut slope, &scores_back(&layout.widen, weights, self.z, width, &inner, gradient));
        slope
    }
}

/// Slopes of the arrivals' scores, in place of their scores; the answer is the loss. Where a history ends, so may the window:
/// the loss is that of a stop or of days beyond the window's end.
fn arrivals(scores: &mut [f32], choices: usize, asked: &[Asked], people: &People, rhythm: &Rhythm) -> f64 {
    for (scores, asked) in scores.chunks_exact_mut(choices).zip(asked) {
        let before = people.sequences.time[asked.before];
        match asked.to_come {
            Some(to_come) => rhythm.add_to_planned_arrivals(scores, people.clock, before, to_come),
            None => rhythm.add_to_arrivals(scores),
        }
    }
    softmax_rows(scores, choices);
    let mut loss = 0.0;
    for (odds, asked) in scores.chunks_exact_mut(choices).zip(asked) {
        if let Some(step) = asked.next {
            loss -= f64::from(odds[step.arrival].max(1e-30)).ln();
            odds[step.arrival] -= 1.0;
            continue;
        }
        let last = people.sequences.time[asked.before];
        let outside = |arrival: usize| match (arrival, days_of(arrival), people.clock) {
            (STOP, ..) => 1.0,
            (_, Some(class), Some(clock)) => 1.0 - clock.share_inside(last, class),
            _ => 0.0,
        };
        let ends: f32 = odds.iter().enumerate().map(|(arrival, odds)| odds * outside(arrival)).sum();
        let ends = ends.max(1e-30);
        loss -= f64::from(ends).ln();
        odds.iter_mut().enumerate().for_each(|(arrival, odds)| *odds -= *odds * outside(arrival) / ends);
    }
    loss
}

/// The decisions between arrival and item that the data have.
fn decisions<'a>(layout: &'a Layout, sizes: &Sizes, people: &People, inputs: &Inputs) -> Vec<Decision<'a>> {
    let of = |head, known, is_asked: &dyn Fn(usize, Step) -> bool, target: &dyn Fn(Step) -> usize| {
        let places: Vec<usize> = (0..inputs.events.len()).filter(|e| is_asked(*e, inputs.events[*e].1)).collect();
        let targets = places.iter().map(|e| target(inputs.events[*e].1)).collect();
        Decision { head, known, places, targets, x: Vec::new(), slope: Vec::new() }
    };
    let has_clock = people.clock.is_some();
    let is_first = |place: usize| people.sequences.offsets.binary_search(&inputs.events[place].0).is_ok();
    // The last session has all that is left.
    let is_sized = |place: usize| inputs.left[place].is_some_and(|(sessions, _)| sessions > 1);
    vec![
        of(&layout.gap, &[Known::Arrival], &|_, s| has_clock && s.arrival == SAME, &|s| s.gap),
        of(
            &layout.hour,
            &[Known::Season, Known::Weekday],
            &|place, s| has_clock && (days_of(s.arrival).is_some() || is_first(place)),
            &|s| s.hour,
        ),
        of(&layout.size, &[Known::Hour], &|place, s| s.arrival != SAME && is_sized(place), &|s| s.left),
        of(&layout.action, &[Known::Gap, Known::Left, Known::Place], &|_, _| sizes.actions > 1, &|s| s.action),
    ]
}

/// Some events of a pass, for the choice of their items.
fn part<'a, 'm: 'a>(
    people: &People,
    memory: &dyn Fn(usize) -> &'m Memory,
    inputs: &'a Inputs,
    query: &'a Query,
    range: Range<usize>,
) -> Part<'a> {
    let width = query.q.len() / inputs.events.len();
    let choice = |event: usize| Choice {
        q: &query.asking[event * width..][..width],
        gates: &query.gates[event * GATES..][..GATES],
        candidates: &inputs.candidates[event],
        memory: memory(inputs.users[event]),
        season: inputs.events[event].1.season,
    };
    Part {
        q: &query.asking[range.start * width..range.end * width],
        choices: range.clone().map(choice).collect(),
        targets: range.map(|event| people.sequences.item[inputs.events[event].0] as usize).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::clock::DAY;
    use crate::clusters::Clusters;
    use crate::counts::Parts;
    use rand::{RngCore, SeedableRng};
    use twinmart_nets::decoder::Shape;

    const USERS: usize = 12;
    const ITEMS: usize = 9;

    /// Histories of a few sessions over some weeks.
    fn sequences() -> Sequences {
        let mut stream = Stream::seed_from_u64(1);
        let mut sequences = Sequences { offsets: vec![0], has_clock: true, ..Sequences::default() };
        for _ in 0..USERS {
            let mut time = stream.random_range(0..20) * DAY;
            for session in 0..stream.random_range(1..4) {
                for _ in 0..stream.random_range(1..5) {
                    sequences.item.push(stream.random_range(0..ITEMS as u32));
                    sequences.time.push(time);
                    sequences.session.push(session);
                    sequences.action.push(stream.random_range(0..2));
                    time += stream.random_range(0..90) * 1_000_000;
                }
                time += stream.random_range(0..6) * DAY + 4_000_000;
            }
            sequences.offsets.push(sequences.item.len());
        }
        sequences
    }

    /// Everything that a pass needs, with a loss of the weights.
    struct Case {
        sequences: Sequences,
        clock: Clock,
        rhythm: Rhythm,
        memory: Memory,
        sizes: Sizes,
        catalogue: Catalogue,
        clusters: Option<Clusters>,
        profile: Vec<Vec<u32>>,
        taste: Vec<f32>,
        blur: Vec<f32>,
    }

    impl Case {
        /// With clusters, an item of one cluster alone among them.
        fn new(in_clusters: bool) -> Case {
            let of_item = (0..ITEMS as u32).map(|item| if item == 4 { 2 } else { item % 2 }).collect();
            let clusters = in_clusters.then(|| Clusters::restore(of_item, 3).unwrap());
            let sequences = sequences();
            let clock = Clock::of(&[(20 * DAY, true, 0), (23 * DAY, false, 0)], &sequences.time, |_| true);
            let season: Vec<usize> = sequences.time.iter().map(|t| clock.moment(*t).season).collect();
            let parts = Parts { of_user: &[0; USERS], sets: &[vec![true]], weight: 1.0 };
            let marks = if in_clusters { 0 } else { 3 };
            let of_item = |i: u32| if in_clusters { Vec::new() } else { vec![i % 3] };
            let catalogue = Catalogue::new(&(0..ITEMS as u32).map(of_item).collect::<Vec<_>>(), marks);
            let memory = Memory::of(
                &sequences,
                &crate::likeness::likeness_of(&catalogue),
                (&season, clock.seasons()),
                parts,
                &|people| people > 1,
            )
            .remove(0);
            let memory = memory.in_clusters(clusters.as_ref());
            let arrivals = crate::steps::arrivals(Some(&clock));
            let steps = |user| steps_of(&sequences, Some(&clock), user);
            let rhythm = Rhythm::of(&sequences, Some(&clock), arrivals, &steps, &|people| people > 1);
            let sizes = Sizes {
                decoder: Shape { width: 8, heads: 2, layers: 1, hidden: 12, reach: 4 },
                items: ITEMS,
                marks,
                clusters: clusters.as_ref().map_or(0, Clusters::count),
                arrivals,
                gaps: crate::clock::SECOND_CLASSES,
                actions: 2,
                seasons: clock.seasons(),
                profile: vec![2],
                taste: 3,
            };
            let mut stream = Stream::seed_from_u64(2);
            let taste = (0..USERS * 3).map(|_| normal(&mut stream)).collect();
            let profile = vec![(0..USERS as u32).map(|u| u % 2).collect()];
            let blur = vec![0.2; 3];
            Case { sequences, clock, rhythm, memory, sizes, catalogue, clusters, profile, taste, blur }
        }

        /// The loss of all histories and its gradient; the strangers and what is left out are the same each time.
        fn loss(&self, weights: &[f32], care: Care) -> (Losses, Vec<f32>) {
            let layout = Layout::new(&self.sizes);
            let decoder = Decoder::new(self.sizes.decoder);
            let items = Items::new(&layout, &self.catalogue, self.clusters.as_ref(), weights);
            let rhythm = &self.rhythm;
            let network =
                Network { sizes: &self.sizes, layout: &layout, decoder: &decoder, weights, items: &items, rhythm };
            let people = People {
                sequences: &self.sequences,
                clock: Some(&self.clock),
                profile: &self.profile,
                taste: &self.taste,
                contributions: None,
                blur: &self.blur,
                strangers: false,
            };
            let windows: Vec<Window> = (0..USERS)
                .flat_map(|user| {
                    let places = self.sequences.of_user(user).len() + 1;
                    (0..places).step_by(3).map(move |asked| Window {
                        user,
                        places: asked.saturating_sub(3)..(asked + 3).min(places),
                        asked,
                    })
                })
                .collect();
            let mut gradient = vec![0f32; layout.dense];
            let mut own = ItemSlopes::new(ITEMS + 1, layout.width);
            let stream = Stream::seed_from_u64(3);
            let learning = Learning { gradient: &mut gradient, own: &mut own, stream, care };
            let losses = pass(&network, &people, &|_| &self.memory, &windows, Some(learning));
            if in_rows(&layout) {
                gradient.resize(layout.total, 0.0);
                for (items, slopes) in ItemSlopes::sum(&[own], 1.0).blocks {
                    for (item, slope) in items.into_iter().zip(slopes.chunks_exact(layout.width)) {
                        gradient[layout.own.clone()][item as usize * layout.width..][..layout.width]
                            .copy_from_slice(slope);
                    }
                }
            } else {
                self.catalogue.share_gradient(&layout, &mut gradient);
            }
            (losses, gradient)
        }
    }

    /// True where items' own parts have slopes of their own.
    fn in_rows(layout: &Layout) -> bool {
        layout.dense < layout.total
    }

    #[test]
    fn the_gradient_is_that_of_the_loss_in_every_part() {
        [false, true].into_iter().for_each(the_gradient_is_that_of_the_loss);
    }

    fn the_gradient_is_that_of_the_loss(in_clusters: bool) {
        let case = Case::new(in_clusters);
        let layout = Layout::new(&case.sizes);
        let mut stream = Stream::seed_from_u64(4);
        let weights: Vec<f32> = (0..layout.total).map(|_| 0.3 * normal(&mut stream)).collect();
        let care = Care { dropout: 0.3, strangers: 0.4, ..Care::default() };
        let (losses, gradient) = case.loss(&weights, care);
        assert_eq!(losses.events, case.sequences.events());
        assert!(losses.arrival > 0.0 && losses.time > 0.0 && losses.action > 0.0 && losses.item > 0.0);
        let parts = [
            layout.own.clone(),
            layout.marks.clone(),
            layout.centres.clone(),
            layout.cluster_bias.clone(),
            layout.bias.clone(),
            layout.enter.clone(),
            layout.taste_in.clone(),
            layout.taste_out.clone(),
            layout.table_in.clone(),
            layout.table_out.clone(),
            layout.next.weights.clone(),
            layout.gap.weights.clone(),
            layout.hour.bias.clone(),
            layout.size.weights.clone(),
            layout.action.weights.clone(),
            layout.widen.weights.clone(),
            layout.narrow.clone(),
            layout.gates.weights.clone(),
            layout.gates.bias.clone(),
            layout.decoder.clone(),
        ];
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let direction: Vec<f32> =
                part.clone().map(|_| if stream.next_u32() % 2 == 0 { 1.0 } else { -1.0 }).collect();
            let moved = |by: f32| {
                let mut weights = weights.clone();
                weights[part.clone()].iter_mut().zip(&direction).for_each(|(w, d)| *w += by * d);
                case.loss(&weights, care).0.total()
            };
            let step = 2e-3 / (part.len() as f32).sqrt();
            let found = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let told: f64 = gradient[part.clone()].iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            let scale = gradient[part.clone()].iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(scale > 1e-3, "{part:?} learns nothing");
            assert!((found - told).abs() < 0.02 * scale + 0.02, "{part:?}: {found} {told} {scale}");
        }
    }

    #[test]
    fn tastes_are_told_without_the_item_that_is_asked_for() {
        let case = Case::new(false);
        let (layout, decoder) = (Layout::new(&case.sizes), Decoder::new(case.sizes.decoder));
        let weights = vec![0.01f32; layout.total];
        let items = Items::new(&layout, &case.catalogue, None, &weights);
        let network = Network {
            sizes: &case.sizes,
            layout: &layout,
            decoder: &decoder,
            weights: &weights,
            items: &items,
            rhythm: &case.rhythm,
        };
        // Each item adds an eighth to one of the three numbers; tastes are the sums.
        let sets = crate::summary::item_sets(&case.sequences);
        let axes = (0..ITEMS * 3).map(|number| f32::from(u8::from(number % 3 == number / 3 % 3))).collect();
        let of_class = |set: &[u32], class| 0.125 * set.iter().filter(|item| **item % 3 == class).count() as f32;
        let taste: Vec<f32> = sets.iter().flat_map(|set| [0, 1, 2].map(|class| of_class(set, class))).collect();
        let contributions = Contributions {
            telling: Telling::Others,
            axes,
            sets: sets.iter().map(|set| set.iter().map(|item| (*item, 0.5)).collect()).collect(),
            stretches: vec![0.125; USERS],
            stratum: vec![0; USERS],
            means: vec![0.0; 3],
            factors: vec![2.0; 3],
        };
        let people = |contributions, strangers| People {
            sequences: &case.sequences,
            clock: Some(&case.clock),
            profile: &case.profile,
            taste: &taste,
            contributions,
            blur: &[],
            strangers,
        };
        let windows: Vec<Window> =
            (0..USERS).flat_map(|user| crate::learn::windows_of_user(&case.sequences, user, usize::MAX)).collect();
        let told = |people: &People| inputs(&network, people, &|_| &case.memory, &windows, None);
        let (all, others, nothing) =
            (told(&people(None, false)), told(&people(Some(&contributions), false)), told(&people(None, true)));
        assert_eq!(all.events.len(), case.sequences.events());
        for (event, (number, _)) in all.events.iter().enumerate() {
            let row = |inputs: &Inputs| inputs.taste[inputs.event_rows[event] * 3..][..3].to_vec();
            let mut expected = taste[all.users[event] * 3..][..3].to_vec();
            assert_eq!(row(&all), expected);
            expected[case.sequences.item[*number] as usize % 3] -= 0.125;
            assert_eq!(row(&others), expected);
            assert_eq!(row(&nothing), [0.0; 3]);
        }
    }

    #[test]
    fn windows_share_the_events_of_a_history_among_them() {
        let case = Case::new(false);
        let weights = vec![0.01f32; Layout::new(&case.sizes).total];
        let care = Care { dropout: 0.0, strangers: 0.0, ..Care::default() };
        let (losses, _) = case.loss(&weights, care);
        // Every item is as likely as any other but for its features; no loss is below that of certainty.
        let uniform = (ITEMS as f64).ln() * losses.events as f64;
        assert!((losses.item / uniform - 1.0).abs() < 0.05, "{} {uniform}", losses.item);
    }
}
