//! Drawing new histories, event by event, many users in step.

mod extend;

use crate::clock::{Clock, DAY};
use crate::corrections::class;
use crate::items::{Choice, Items};
use crate::layout::{Course, GATES, Head, Known, Layout};
use crate::model::EventModel;
use crate::pass::{Chosen, Network};
use crate::recall::{Candidates, Recall};
use crate::rhythm::most_events;
use crate::steps::{
    EVENT_CLASSES, HOURS, NEW, SAME, STOP, Step, WEEKDAYS, days_of, event_class, events_of_class, place_class,
};
use rand::Rng;
use rayon::prelude::*;
use std::cmp::Reverse;
use twinmart_nets::decoder::{Cache, Decoder, silu};
use twinmart_nets::exponential::softmax;
use twinmart_nets::matrix::{add, linear, multiply_add, rows, rows_mut};
use twinmart_tables::Stream;

/// Users that go in step, at most, and the events that they have together, about: the longest histories go in small company,
/// so that no thread has most of the work.
const BLOCK: usize = 64;
const EVENTS_OF_BLOCK: usize = 32_768;
/// Events of one history, at most.
const MOST_EVENTS: usize = 100_000;

/// What is decided of a user before any event.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Season of the first event.
    pub season: usize,
    /// How many sessions and events there will be; `None` leaves it to the model.
    pub size: Option<(usize, usize)>,
    /// Group of users; the taste is drawn from it.
    pub group: usize,
    /// A value for each field of the profile, `None` where it is not known.
    pub profile: Vec<Option<usize>>,
}

/// An event of a new history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEvent {
    /// Position in the catalogue.
    pub item: u32,
    /// Microseconds since 1970, or the number of the event where there is no clock.
    pub time: i64,
    /// Number of its session within the user.
    pub session: u32,
    /// What was done.
    pub action: u32,
}

/// Events, and what spoke for the item of each where that is wanted.
pub(crate) type Observed = (Vec<NewEvent>, Vec<Chosen>);

/// A user whose history is to be drawn.
struct NewUser<'a> {
    number: usize,
    plan: &'a Plan,
    stream: &'a mut Stream,
}

impl NewUser<'_> {
    /// Events that are planned.
    fn planned(&self) -> usize {
        self.plan.size.map_or(0, |(_, events)| events)
    }
}

/// Users in the order in which they are drawn: the longest histories first, each beside others as long, so that the users of
/// a block go most of the way together.
fn by_length<'a>(plans: &'a [Plan], streams: &'a mut [Stream]) -> Vec<NewUser<'a>> {
    let users = plans.iter().zip(streams).enumerate();
    let mut users: Vec<_> = users.map(|(number, (plan, stream))| NewUser { number, plan, stream }).collect();
    users.sort_by_key(|user| Reverse(user.planned()));
    users
}

/// Users who go in step.
fn blocks<'u, 'a>(mut users: &'u mut [NewUser<'a>]) -> Vec<&'u mut [NewUser<'a>]> {
    let mut blocks = Vec::new();
    while !users.is_empty() {
        let mut events = 0;
        let fits = users.iter().take(BLOCK).take_while(|user| {
            let fits = events < EVENTS_OF_BLOCK;
            events += user.planned();
            fits
        });
        let count = fits.count();
        let (block, rest) = users.split_at_mut(count);
        blocks.push(block);
        users = rest;
    }
    blocks
}

/// A history that is being drawn.
struct Drawing<'a> {
    plan: &'a Plan,
    /// Values of all fields, the group first.
    profile: Vec<Option<usize>>,
    taste: Vec<f32>,
    /// `[width]` what the taste asks for; nothing where there are no tastes.
    likes: Vec<f32>,
    stream: &'a mut Stream,
    /// Number of the user.
    user: usize,
    recall: Recall,
    events: Vec<NewEvent>,
    observed: Vec<Chosen>,
    step: Step,
    place: usize,
    /// Events of the session that are still to come.
    left: usize,
    time: i64,
    /// Without a plan: events that there are to be; 0 leaves it to the model.
    wanted: usize,
}

/// What an arrival says of when its event is.
#[derive(Debug, Clone, Copy)]
enum When {
    /// On a day; the hour is drawn later.
    Day(i64),
    Moment(i64),
    /// Drawn later, or never known.
    Open,
}

impl Drawing<'_> {
    fn set_time(&mut self, time: i64, clock: &Clock) {
        let (step, moment) = (&mut self.step, clock.moment(time));
        (step.season, step.weekday, step.hour) = (moment.season, moment.weekday, moment.hour);
        self.time = time;
    }

    fn course(&self) -> Course {
        let sessions = self.events.last().map_or(0, |e| e.session as usize + 1);
        let events = self.events.len();
        let left = |size: (usize, usize)| (size.0.saturating_sub(sessions), size.1.saturating_sub(events));
        Course { sessions, events, left: self.plan.size.map(left) }
    }

    /// The class of the next event.
    fn class(&self) -> usize {
        class(self.plan.size.map(|(_, events)| events), self.events.len())
    }

    /// How the history goes on where that is known: it begins with a session, and its plan says when these begin and end.
    fn known_arrival(&self) -> Option<usize> {
        match (self.events.last(), self.plan.size) {
            (None, Some((_, 0))) => Some(STOP),
            (None, _) => Some(NEW),
            (Some(_), None) => (self.wanted > 0 && self.events.len() >= self.wanted).then_some(STOP),
            (Some(_), Some(_)) if self.left > 0 => Some(SAME),
            (Some(last), Some((sessions, _))) => (last.session as usize + 1 >= sessions).then_some(STOP),
        }
    }
}

impl EventModel {
    /// A history for each plan, each from nothing but its plan and stream.
    ///
    /// Users are drawn in blocks of a fixed size, in an order that their plans decide: the same plans and streams give the same
    /// histories on any number of threads.
    pub fn draw(&self, plans: &[Plan], streams: &mut [Stream]) -> Vec<Vec<NewEvent>> {
        self.draw_with(false, plans, streams).into_iter().map(|(events, _)| events).collect()
    }

    /// As [`EventModel::draw`], with what spoke for every item.
    pub(crate) fn draw_observed(&self, plans: &[Plan], streams: &mut [Stream]) -> Vec<Observed> {
        self.draw_with(true, plans, streams)
    }

    fn draw_with(&self, observed: bool, plans: &[Plan], streams: &mut [Stream]) -> Vec<Observed> {
        let layout = Layout::new(&self.sizes);
        let decoder = Decoder::new(self.sizes.decoder);
        let items = Items::new(&layout, &self.catalogue, self.clusters.as_ref(), &self.weights).for_drawing();
        let network = self.network(&layout, &decoder, &items);
        let mut users = by_length(plans, streams);
        let blocks = blocks(&mut users).into_par_iter().with_max_len(1);
        let mut drawn: Vec<(usize, Observed)> =
            blocks.flat_map_iter(|users| self.draw_block(&network, observed, users)).collect();
        drawn.sort_unstable_by_key(|(user, _)| *user);
        drawn.into_iter().map(|(_, observed)| observed).collect()
    }

    /// The histories of some users, with their numbers.
    fn draw_block(&self, network: &Network, observed: bool, users: &mut [NewUser]) -> Vec<(usize, Observed)> {
        let alive: Vec<Drawing> = users.iter_mut().map(|user| self.begin(network, user)).collect();
        let cache = Cache::new(self.sizes.decoder, alive.len());
        self.go_on(network, observed, alive, cache)
    }

    /// Goes on until all histories have ended: all events of each, with the number of the user.
    fn go_on(
        &self,
        network: &Network,
        observed: bool,
        mut alive: Vec<Drawing>,
        mut cache: Cache,
    ) -> Vec<(usize, Observed)> {
        let mut drawn = Vec::with_capacity(alive.len());
        while !alive.is_empty() {
            let states = network.decoder.step(
                &self.weights[network.layout.decoder.clone()],
                self.rows_of(network, &alive),
                &mut cache,
            );
            let goes_on = self.draw_arrivals(network, &mut alive, &states);
            let kept: Vec<usize> = (0..alive.len()).filter(|row| goes_on[*row]).collect();
            let width = network.layout.width;
            let states: Vec<f32> = kept.iter().flat_map(|row| &states[row * width..][..width]).copied().collect();
            cache.keep(&kept);
            let (going, ended): (Vec<_>, Vec<_>) = alive.into_iter().zip(goes_on).partition(|(_, goes_on)| *goes_on);
            for (drawing, _) in ended {
                drawn.push((drawing.user, (drawing.events, drawing.observed)));
            }
            alive = going.into_iter().map(|(drawing, _)| drawing).collect();
            self.draw_events(network, observed, &mut alive, states);
        }
        drawn
    }

    fn begin<'s>(&self, network: &Network, user: &'s mut NewUser) -> Drawing<'s> {
        let NewUser { number, plan, stream } = user;
        let taste = self.tastes.draw(plan.group.min(self.groups() - 1), stream);
        let likes = network.likes(&taste);
        self.begun(plan, (*number, stream), (taste, likes))
    }

    /// A history before any event, of a taste and what it asks for.
    fn begun<'s>(
        &self,
        plan: &'s Plan,
        (user, stream): (usize, &'s mut Stream),
        (taste, likes): (Vec<f32>, Vec<f32>),
    ) -> Drawing<'s> {
        Drawing {
            plan,
            profile: profile_of(plan, &self.sizes.profile),
            likes,
            taste,
            stream,
            user,
            recall: self.sizes.recall(),
            events: Vec::new(),
            observed: Vec::new(),
            step: Step::start(plan.season.min(self.sizes.seasons - 1)),
            place: 0,
            left: 0,
            time: 0,
            wanted: 0,
        }
    }

    /// What goes into the decoder, `[alive, width]`.
    fn rows_of(&self, network: &Network, alive: &[Drawing]) -> Vec<f32> {
        let (layout, sizes, weights) = (network.layout, network.sizes, network.weights);
        let width = layout.width;
        let item = |drawing: &Drawing| drawing.events.last().map_or(sizes.items, |e| e.item as usize);
        let entered = network.items.vectors(&alive.iter().map(item).collect::<Vec<_>>());
        let mut x = linear(&entered, &weights[layout.enter.clone()], width);
        self.add_taste(&mut x, alive, &weights[layout.taste_in.clone()], width);
        let table = &weights[layout.table_in.clone()];
        let mut fields = Vec::with_capacity(layout.count_in());
        for (x, drawing) in x.chunks_exact_mut(width).zip(alive) {
            fields.clear();
            layout.rows_in(drawing.step, drawing.course(), &drawing.profile, sizes, &mut fields);
            fields.iter().for_each(|row| add(x, &table[*row as usize * width..][..width]));
        }
        x
    }

    fn add_taste(&self, x: &mut [f32], alive: &[Drawing], weights: &[f32], width: usize) {
        if self.sizes.taste > 0 {
            let taste: Vec<f32> = alive.iter().flat_map(|d| &d.taste).copied().collect();
            multiply_add(rows_mut(x, width), rows(&taste, self.sizes.taste), rows(weights, width));
        }
    }

    /// Draws how each history goes on, and when; false for those that end.
    fn draw_arrivals(&self, network: &Network, alive: &mut [Drawing], states: &[f32]) -> Vec<bool> {
        let arrivals = self.sizes.arrivals;
        let mut scores = scores_where(network, &network.layout.next, alive, states, |d| d.known_arrival().is_none());
        let mut scores = scores.chunks_exact_mut(arrivals);
        let goes_on = alive.iter_mut().map(|drawing| {
            let (arrival, when) = match drawing.known_arrival() {
                Some(arrival) => (arrival, self.draw_when(drawing, arrival)?),
                None => self.draw_arrival(drawing, scores.next()?)?,
            };
            self.begin_event(drawing, arrival, when);
            Some(())
        });
        goes_on.map(|goes_on| goes_on.is_some()).collect()
    }

    /// How a history goes on, and when; `None` where it ends.
    fn draw_arrival(&self, drawing: &mut Drawing, scores: &mut [f32]) -> Option<(usize, When)> {
        match drawing.course().left {
            // Without a plan, what lies beyond the window is the end.
            None => self.rhythm.add_to_arrivals(scores),
            Some((sessions, _)) => {
                self.rhythm.add_to_planned_arrivals(scores, self.clock.as_ref(), drawing.time, sessions);
            }
        }
        if drawing.wanted > 0 {
            scores[STOP] = f32::NEG_INFINITY;
        }
        let arrival = pick(odds_among(scores), drawing.stream);
        self.draw_when(drawing, arrival).map(|when| (arrival, when))
    }

    /// When the event of an arrival is; `None` where there is none, or where that lies beyond the window.
    fn draw_when(&self, drawing: &mut Drawing, arrival: usize) -> Option<When> {
        if arrival == STOP || drawing.events.len() >= MOST_EVENTS {
            return None;
        }
        let Some(clock) = &self.clock else { return Some(When::Open) };
        let stream = &mut *drawing.stream;
        if drawing.events.is_empty() {
            let season = drawing.plan.season.min(self.sizes.seasons - 1);
            return Some(When::Day(clock.draw_first_day(season, stream)));
        }
        match days_of(arrival) {
            Some(class) => clock.draw_day(drawing.time, class, stream).map(When::Day),
            None if arrival == SAME => Some(When::Open),
            None => {
                let gap = clock.draw_seconds(arrival - NEW, stream);
                Some(When::Moment(clock.rounded(drawing.time.saturating_add(gap))))
            }
        }
    }

    /// Takes note of an arrival.
    fn begin_event(&self, drawing: &mut Drawing, arrival: usize, when: When) {
        drawing.place = if arrival == SAME { drawing.place + 1 } else { 0 };
        drawing.left = drawing.left.saturating_sub(1);
        if arrival != SAME && !drawing.events.is_empty() {
            drawing.recall.begin_session();
        }
        drawing.step = Step {
            arrival,
            gap: 0,
            action: 0,
            place: place_class(drawing.place),
            season: drawing.step.season,
            hour: HOURS - 1,
            weekday: WEEKDAYS - 1,
            left: if drawing.plan.size.is_some() { event_class(drawing.left + 1) } else { EVENT_CLASSES },
        };
        match (&self.clock, when) {
            (Some(clock), When::Day(day)) => {
                drawing.time = day * DAY;
                let moment = clock.moment(drawing.time);
                (drawing.step.season, drawing.step.weekday) = (moment.season, moment.weekday);
            }
            (Some(clock), When::Moment(time)) => drawing.set_time(time, clock),
            _ => {}
        }
    }

    /// Draws the rest of an event for every history.
    fn draw_events(&self, network: &Network, observed: bool, alive: &mut [Drawing], mut x: Vec<f32>) {
        know(network, &mut x, alive, &[Known::Arrival]);
        self.draw_gaps(network, alive, &x);
        know(network, &mut x, alive, &[Known::Season, Known::Weekday]);
        self.draw_hours(network, alive, &x);
        know(network, &mut x, alive, &[Known::Hour]);
        self.draw_sizes(network, alive, &x);
        know(network, &mut x, alive, &[Known::Gap, Known::Left, Known::Place]);
        self.draw_actions(network, alive, &x);
        know(network, &mut x, alive, &[Known::Action]);
        let layout = network.layout;
        x.chunks_exact_mut(layout.width).zip(alive.iter()).for_each(|(x, drawing)| add(x, &drawing.likes));
        self.draw_items(network, observed, alive, x);
    }

    /// The time since the event before, inside sessions.
    fn draw_gaps(&self, network: &Network, alive: &mut [Drawing], x: &[f32]) {
        let Some(clock) = &self.clock else { return };
        let is_asked = |drawing: &Drawing| drawing.step.arrival == SAME;
        let mut scores = scores_where(network, &network.layout.gap, alive, x, is_asked);
        let asked = alive.iter_mut().filter(|drawing| is_asked(drawing));
        for (drawing, scores) in asked.zip(scores.chunks_exact_mut(self.sizes.gaps)) {
            drawing.step.gap = pick(odds_among(scores), drawing.stream);
            let gap = clock.draw_seconds(drawing.step.gap, drawing.stream);
            drawing.set_time(clock.rounded(drawing.time.saturating_add(gap)), clock);
        }
    }

    /// The hour of sessions of which only the day is known.
    fn draw_hours(&self, network: &Network, alive: &mut [Drawing], x: &[f32]) {
        let Some(clock) = &self.clock else { return };
        let is_asked = |drawing: &Drawing| drawing.step.hour == HOURS - 1;
        let mut scores = scores_where(network, &network.layout.hour, alive, x, is_asked);
        let asked = alive.iter_mut().filter(|drawing| is_asked(drawing));
        for (drawing, scores) in asked.zip(scores.chunks_exact_mut(HOURS)) {
            let hour = pick(odds_among(&mut scores[..HOURS - 1]), drawing.stream);
            let day = drawing.time.div_euclid(DAY);
            let before = drawing.events.last().map_or(i64::MIN, |e| e.time);
            drawing.time = clock.draw_time(day, hour, drawing.stream).max(before);
            drawing.step.hour = hour;
        }
    }

    /// How many events new sessions have, where there is a plan.
    fn draw_sizes(&self, network: &Network, alive: &mut [Drawing], x: &[f32]) {
        let is_asked = |drawing: &Drawing| drawing.step.arrival != SAME;
        let mut scores = scores_where(network, &network.layout.size, alive, x, is_asked);
        let asked = alive.iter_mut().filter(|drawing| is_asked(drawing));
        for (drawing, scores) in asked.zip(scores.chunks_exact_mut(EVENT_CLASSES)) {
            if let Some((sessions, events)) = drawing.course().left {
                let most = most_events(events, sessions);
                let size = match sessions {
                    0 | 1 => most,
                    _ => {
                        self.rhythm.add_to_sizes(scores, events, sessions);
                        let class = events_of_class(pick(odds_among(scores), drawing.stream));
                        drawing.stream.random_range(class.start..class.end.min(most + 1))
                    }
                };
                drawing.left = size - 1;
                drawing.step.left = event_class(drawing.left + 1);
            }
        }
    }

    fn draw_actions(&self, network: &Network, alive: &mut [Drawing], x: &[f32]) {
        if self.sizes.actions > 1 {
            let mut scores = head_scores(&network.layout.action, network.weights, x, network.layout.width);
            for (drawing, scores) in alive.iter_mut().zip(scores.chunks_exact_mut(self.sizes.actions)) {
                drawing.step.action = pick(odds_among(scores), drawing.stream);
            }
        }
    }

    fn draw_items(&self, network: &Network, observed: bool, alive: &mut [Drawing], z: Vec<f32>) {
        let (layout, weights, width) = (network.layout, network.weights, network.layout.width);
        let memory = &self.memory;
        let mut inner = head_scores(&layout.widen, weights, &z, width);
        silu(&mut inner);
        let mut q = z;
        add(&mut q, &linear(&inner, &weights[layout.narrow.clone()], 2 * width));
        let mut gates = head_scores(&layout.gates, weights, &q, width);
        let mut asking = q.clone();
        let corrected = gates.chunks_exact_mut(GATES).zip(asking.chunks_exact_mut(width));
        for (drawing, (gates, asking)) in alive.iter().zip(corrected) {
            self.corrections.apply(drawing.class(), gates, asking, &drawing.likes);
        }
        let mut scores = network.items.scores(&asking);
        let choices = (scores.len() / alive.len().max(1)).max(1);
        let mut candidates = Candidates::default();
        let asked = asking.chunks_exact(width).zip(gates.chunks_exact(GATES)).zip(scores.chunks_exact_mut(choices));
        for ((drawing, unsharpened), ((q, gates), scores)) in alive.iter_mut().zip(q.chunks_exact(width)).zip(asked) {
            match observed {
                true => drawing.recall.features(memory, &mut candidates),
                false => drawing.recall.said(memory, gates, &mut candidates),
            }
            let season = drawing.step.season;
            let choice = Choice { q, gates, candidates: &candidates, memory, season };
            let item = network.items.choose(scores, &choice, |odds| pick(odds, drawing.stream)) as u32;
            let session = match drawing.events.last() {
                None => 0,
                Some(last) => last.session + u32::from(drawing.step.arrival != SAME),
            };
            if self.clock.is_none() {
                drawing.time = drawing.events.len() as i64;
            }
            let action = drawing.step.action as u32;
            drawing.events.push(NewEvent { item, time: drawing.time, session, action });
            if observed {
                let lifts = memory.season(season);
                drawing.observed.push(network.chosen(item, (unsharpened, &drawing.likes), &candidates, lifts));
            }
            drawing.recall.push(item, memory, false);
        }
    }
}

/// The group and the other fields, each a value of its field or none.
fn profile_of(plan: &Plan, sizes: &[usize]) -> Vec<Option<usize>> {
    let others = plan.profile.iter().copied().chain(std::iter::repeat(None));
    let values = std::iter::once(Some(plan.group)).chain(others);
    sizes.iter().zip(values).map(|(size, value)| value.filter(|v| v < size)).collect()
}

/// Adds to the state of every history what is known of its next event.
fn know(network: &Network, x: &mut [f32], alive: &[Drawing], known: &[Known]) {
    let (layout, width) = (network.layout, network.layout.width);
    let table = &network.weights[layout.table_out.clone()];
    for (x, drawing) in x.chunks_exact_mut(width).zip(alive) {
        for known in known {
            add(x, &table[layout.row_out(drawing.step, *known) * width..][..width]);
        }
    }
}

fn head_scores(head: &Head, weights: &[f32], x: &[f32], width: usize) -> Vec<f32> {
    crate::pass::scores(head, weights, x, width)
}

/// Scores of a head for the histories that it is asked for alone: most events of a session ask little.
fn scores_where(
    network: &Network,
    head: &Head,
    alive: &[Drawing],
    x: &[f32],
    is_asked: impl Fn(&Drawing) -> bool,
) -> Vec<f32> {
    let width = network.layout.width;
    let asked = alive.iter().zip(x.chunks_exact(width)).filter(|(drawing, _)| is_asked(drawing));
    let rows: Vec<f32> = asked.flat_map(|(_, row)| row).copied().collect();
    head_scores(head, network.weights, &rows, width)
}

/// Turns the scores of one choice into odds; what is ruled out gets none at all.
fn odds_among(scores: &mut [f32]) -> &[f32] {
    softmax(scores);
    scores.iter_mut().filter(|odds| **odds < 1e-30).for_each(|odds| *odds = 0.0);
    scores
}

/// Odds that are added up before a position is looked for among them.
const TOGETHER: usize = 64;

/// A position drawn by odds, which need not sum to one.
fn pick(odds: &[f32], stream: &mut Stream) -> usize {
    let sums: Vec<f32> = odds.chunks(TOGETHER).map(sum).collect();
    let mut place = stream.random::<f32>() * sums.iter().sum::<f32>();
    for (sum, (number, odds)) in sums.iter().zip(odds.chunks(TOGETHER).enumerate()) {
        if place >= *sum {
            place -= sum;
            continue;
        }
        for (position, odds) in odds.iter().enumerate() {
            place -= odds;
            if place < 0.0 {
                return number * TOGETHER + position;
            }
        }
    }
    // Only rounding leads here: the last that is possible.
    odds.iter().rposition(|o| *o > 0.0).unwrap_or(0)
}

/// The sum of some numbers, eight side by side.
fn sum(numbers: &[f32]) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<8>();
    let mut sums = [0f32; 8];
    chunks.iter().for_each(|chunk| add(&mut sums, chunk));
    sums.iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn positions_are_picked_by_their_odds_and_never_where_these_are_none() {
        let mut stream = Stream::seed_from_u64(1);
        let odds: Vec<f32> = (0..300).map(|place| if place % 3 == 0 { 0.0 } else { (place % 7) as f32 }).collect();
        let total: f32 = odds.iter().sum();
        let draws = 200_000;
        let mut counts = vec![0f32; odds.len()];
        (0..draws).for_each(|_| counts[pick(&odds, &mut stream)] += 1.0);
        for (count, odds) in counts.iter().zip(&odds) {
            let expected = draws as f32 * odds / total;
            assert!((count - expected).abs() <= 5.0 * expected.sqrt(), "{count} {expected}");
        }
    }

    #[test]
    fn what_is_ruled_out_has_no_odds() {
        let mut scores = [f32::NEG_INFINITY, 0.0, -2.0, f32::NEG_INFINITY];
        let odds = odds_among(&mut scores);
        assert!(odds[0] == 0.0 && odds[3] == 0.0 && (odds[1] / odds[2] - 2f32.exp()).abs() < 1e-4);
    }

    #[test]
    fn blocks_have_everybody_once_the_longest_first_and_bounded_work() {
        let plan = |events: usize| Plan { season: 0, size: Some((1, events)), group: 0, profile: Vec::new() };
        let plans: Vec<Plan> = (0..500).map(|number| plan(1 + number * number % 997 * 7)).collect();
        let mut streams: Vec<Stream> = (0..500).map(Stream::seed_from_u64).collect();
        let mut users = by_length(&plans, &mut streams);
        let planned: Vec<usize> = users.iter().map(NewUser::planned).collect();
        assert!(planned.is_sorted_by(|a, b| a >= b));
        let mut seen = Vec::new();
        for block in blocks(&mut users) {
            let events: Vec<usize> = block.iter().map(|user| user.planned()).collect();
            assert!(!events.is_empty() && events.len() <= BLOCK);
            assert!(events[..events.len() - 1].iter().sum::<usize>() < EVENTS_OF_BLOCK);
            seen.extend(block.iter().map(|user| user.number));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
    }
}
