//! What comes next in a history, by the model that draws histories: odds, nothing is drawn.
//!
//! ```text
//! history ─► decoder ─► how it goes on ─► ways: moments of the next event ─► action ─► item
//! ```
//!
//! The network says so as it was learned: what drawing corrects of it (`corrections`) is for histories that go on from their own
//! events, not for real ones. A history has no plan: it is read as those of strangers are in learning, without group, taste, and sessions still to come.
//! A way is all that is decided before the action (arrival, gap, season, weekday, hour, place); inside a class of time, moments
//! are as likely as the calendar says. Odds of arrivals, moments and actions are sums over all ways. Those of items are sums
//! over the likeliest ways with their actions; [`Next::covered`] says how much of the whole these are.

use crate::clock::{Clock, DAY};
use crate::items::{Choice, Items};
use crate::layout::{Course, GATES, Head, Known, Layout};
use crate::model::EventModel;
use crate::pass::scores;
use crate::recall::{Candidates, TRACE_LENGTH};
use crate::sequences::Sequences;
use crate::steps::{EVENT_CLASSES, HOURS, NEW, SAME, STOP, Step, WEEKDAYS, days_of, place_class, steps_of};
use std::borrow::Cow;
use std::collections::BTreeMap;
use twinmart_nets::decoder::{Decoder, Dropout, silu};
use twinmart_nets::exponential::softmax_rows;
use twinmart_nets::matrix::{add, linear};
use twinmart_tables::Stream;

/// Ways × items that are scored for one history, at most, but for [`FEWEST_WAYS`].
const MOST_SCORES: usize = 1 << 24;
const FEWEST_WAYS: usize = 32;
/// Ways that are scored together.
const BLOCK: usize = 64;
/// Microseconds of an hour.
const HOUR: i64 = DAY / 24;

/// An event model that is asked what comes next.
#[derive(Debug, Clone)]
pub struct Predictor<'m> {
    model: Cow<'m, EventModel>,
    layout: Layout,
    decoder: Decoder,
    /// `[items + 1, width]`; none where the items are in clusters.
    vectors: Vec<f32>,
}

/// What comes next in one history.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// Odds that the session goes on, that a new session begins, that nothing follows: they sum to 1.
    pub goes_on: f64,
    /// See `goes_on`.
    pub new_session: f64,
    /// See `goes_on`.
    pub ends: f64,
    /// `[24]` hour of the next event, given that there is one; `None` where the model has no clock.
    pub hours: Option<Vec<f64>>,
    /// `[actions]` given that there is a next event.
    pub actions: Vec<f64>,
    /// `[items]` given that the session goes on; zeros where it cannot.
    pub items_of_session: Vec<f64>,
    /// `[items]` given that a new session begins.
    pub items_of_new: Vec<f64>,
    /// Share of all ways to the next event that the odds of items are a mean over.
    pub covered: f64,
    /// The last event's moment.
    last: Option<i64>,
    spans: Vec<Span>,
}

/// How items are ranked by what comes next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Weight of a new session's first item beside that of the next item in the same session; `None` leaves it to the model.
    pub new_session: Option<f64>,
    /// Of each of the two, so many of the likeliest ways count.
    pub ways: usize,
}

/// Where the odds of an item come from: summands that add up to its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reasons {
    /// Its popularity in the season.
    pub popularity: f64,
    /// What the network reads in the history as a whole.
    pub whole: f64,
    /// What single items of the history bring to mind, the most recent item first.
    pub of_items: Vec<(u32, f64)>,
}

/// A stretch of time in which the next event may lie, with its odds; every moment of it is as likely as any other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    begin: i64,
    end: i64,
    odds: f64,
    begins_session: bool,
}

/// A way to the next event: all that is decided before its action.
#[derive(Debug, Clone, Copy)]
struct Way {
    step: Step,
    /// By the network, and what the calendar adds.
    odds: f64,
    share: f64,
}

#[derive(Debug, Default)]
struct Ways {
    arrivals: Vec<f32>,
    all: Vec<Way>,
    spans: Vec<Span>,
}

/// A history as it stands.
struct Standing {
    /// `[width]`
    state: Vec<f32>,
    /// Moment and place in its session of the last event.
    last: Option<(i64, usize)>,
    /// Companions and own past, if the session goes on and if a new one begins.
    same: Candidates,
    new: Candidates,
}

impl Standing {
    fn candidates(&self, step: &Step) -> &Candidates {
        if step.arrival == SAME { &self.same } else { &self.new }
    }
}

impl<'m> Predictor<'m> {
    /// Makes a model, borrowed or owned, ready.
    pub fn new(model: Cow<'m, EventModel>) -> Predictor<'m> {
        let layout = Layout::new(&model.sizes);
        let vectors = match &model.clusters {
            None => model.catalogue.vectors(&layout, &model.weights),
            Some(_) => Vec::new(),
        };
        Predictor { decoder: Decoder::new(model.sizes.decoder), layout, vectors, model }
    }

    fn items(&self) -> Items<'_> {
        let vectors = Cow::Borrowed(&self.vectors[..]);
        Items::with_vectors(&self.layout, vectors, self.model.clusters.as_ref(), &self.model.weights)
    }

    /// The model.
    pub fn model(&self) -> &EventModel {
        &self.model
    }

    /// What comes next in the history of a user of `past`, whose items and actions the model must know. `profile` has a value
    /// for each field of the profiles that it was learned with, `None` where it is not known; of an empty one all are.
    pub fn next(&self, past: &Sequences, user: usize, profile: &[Option<usize>]) -> Next {
        let standing = self.standing(past, user, profile);
        let ways = self.ways(&standing);
        let actions = self.action_odds(&standing, &ways.all);
        let arrivals = ways.arrivals.iter().map(|odds| f64::from(*odds));
        let (goes_on, ends) = (f64::from(ways.arrivals[SAME]), f64::from(ways.arrivals[STOP]));
        let new_session: f64 = arrivals.skip(NEW).sum();
        let total = goes_on + new_session + ends;
        let mut next = Next {
            goes_on: goes_on / total,
            new_session: new_session / total,
            ends: ends / total,
            hours: self.model.clock.as_ref().map(|_| hours(&ways.all)),
            actions: vec![0.0; self.model.actions()],
            items_of_session: vec![0.0; self.model.items()],
            items_of_new: vec![0.0; self.model.items()],
            covered: 0.0,
            last: standing.last.map(|(time, _)| time),
            spans: ways.spans,
        };
        let follows: f64 = ways.all.iter().map(|way| way.odds * way.share).sum();
        let mut leaves: Vec<(Step, f64)> = Vec::new();
        for (way, actions) in ways.all.iter().zip(actions.chunks_exact(self.model.actions())) {
            for (action, odds) in actions.iter().enumerate() {
                let odds = way.odds * way.share * f64::from(*odds) / follows.max(f64::MIN_POSITIVE);
                next.actions[action] += odds;
                leaves.push((Step { action, ..way.step }, odds));
            }
        }
        self.add_items(&standing, leaves, &mut next);
        next
    }

    /// The odds of items in `next`, by the likeliest of `leaves`.
    fn add_items(&self, standing: &Standing, mut leaves: Vec<(Step, f64)>, next: &mut Next) {
        leaves.sort_by(|a, b| b.1.total_cmp(&a.1));
        leaves.truncate((MOST_SCORES / self.model.items()).max(FEWEST_WAYS));
        let mut sums = [0f64; 2];
        for block in leaves.chunks(BLOCK) {
            let steps: Vec<Step> = block.iter().map(|(step, _)| *step).collect();
            let odds = self.item_odds(standing, &steps);
            for ((step, weight), odds) in block.iter().zip(odds.chunks_exact(self.model.items())) {
                let begins = step.arrival != SAME;
                sums[usize::from(begins)] += weight;
                let items = if begins { &mut next.items_of_new } else { &mut next.items_of_session };
                items.iter_mut().zip(odds).for_each(|(sum, odds)| *sum += weight * f64::from(*odds));
            }
        }
        next.items_of_session.iter_mut().for_each(|odds| *odds /= sums[0].max(f64::MIN_POSITIVE));
        next.items_of_new.iter_mut().for_each(|odds| *odds /= sums[1].max(f64::MIN_POSITIVE));
        next.covered = sums[0] + sums[1];
    }

    /// The score of every item for a history: its odds to come next, as `ranking` says.
    pub fn scores(&self, past: &Sequences, user: usize, profile: &[Option<usize>], ranking: Ranking) -> Vec<f32> {
        let standing = self.standing(past, user, profile);
        let leaves = self.ranked_by(&standing, ranking);
        let steps: Vec<Step> = leaves.iter().map(|(step, _)| *step).collect();
        let odds = self.item_odds(&standing, &steps);
        let mut sums = vec![0f32; self.model.items()];
        for ((_, weight), odds) in leaves.iter().zip(odds.chunks_exact(sums.len())) {
            sums.iter_mut().zip(odds).for_each(|(sum, odds)| *sum += *weight as f32 * odds);
        }
        sums
    }

    /// Why [`Predictor::scores`] gives an item what it gives.
    ///
    /// ln(odds / odds by popularity) is a sum of the network's part and of features; what each adds is its part of the way from
    /// one to the other on which all grow alike (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", 2017).
    pub fn reasons(
        &self,
        past: &Sequences,
        user: usize,
        profile: &[Option<usize>],
        ranking: Ranking,
        item: u32,
    ) -> Reasons {
        let standing = self.standing(past, user, profile);
        let (items, nothing) = (self.items(), Candidates::default());
        let silent = vec![0f32; self.layout.width];
        let (mut popularity, mut whole) = (0.0, 0.0);
        let mut of_items: BTreeMap<u32, f64> = BTreeMap::new();
        for (step, weight) in self.ranked_by(&standing, ranking) {
            let (q, gates) = self.queries(&standing, &[step]);
            let choice = self.choice(&step, (&q, &gates), standing.candidates(&step));
            let by_popularity = self.choice(&step, (&silent, &gates), &nothing);
            let of = |choice: Choice| items.odds_of(item as usize, choice).max(f64::MIN_POSITIVE);
            let (begin, end) = (of(by_popularity), of(choice));
            let way = (end / begin).ln();
            let scale = weight * if way.abs() < 1e-9 { end } else { (end - begin) / way };
            let parts = self.parts_of_items(past, user, step.arrival != SAME, choice, item);
            popularity += weight * begin;
            whole += scale * (way - parts.iter().map(|(_, part)| part).sum::<f64>());
            for (from, part) in parts {
                *of_items.entry(from).or_default() += scale * part;
            }
        }
        let range = past.of_user(user);
        let mut recent: Vec<(u32, f64)> = Vec::new();
        for from in past.item[range].iter().rev() {
            recent.extend(of_items.remove(from).filter(|amount| *amount != 0.0).map(|amount| (*from, amount)));
        }
        Reasons { popularity, whole, of_items: recent }
    }

    /// What the features add to an item's score, by the item of the history that brings it to mind.
    fn parts_of_items(
        &self,
        past: &Sequences,
        user: usize,
        begins_session: bool,
        choice: Choice,
        item: u32,
    ) -> Vec<(u32, f64)> {
        let Some(features) = choice.candidates.of_item(item) else { return Vec::new() };
        let parts: Vec<f64> = features.iter().zip(choice.gates).map(|(f, gate)| f64::from(f * gate)).collect();
        let events = &past.item[past.of_user(user)];
        let left = crate::recall::traces_of(past, user, &self.model.memory, item, begins_session);
        let traces = left.first().map_or(0, |traces| traces.len());
        let mut found = Vec::new();
        for (trace, part) in parts[..traces].iter().enumerate().filter(|(_, part)| **part != 0.0) {
            let sum: f64 = left.iter().map(|left| f64::from(left[trace])).sum();
            let share = |left: &[f32]| f64::from(left[trace]) / sum.max(f64::MIN_POSITIVE);
            found.extend(events.iter().zip(&left).map(|(from, left)| (*from, part * share(left))));
        }
        // The rest is about the user's own past with the item, but for the last feature: what followed the last item before.
        let own: f64 = parts[traces..parts.len() - 1].iter().sum();
        found.push((item, own));
        found.extend(events.last().map(|last| (*last, parts[parts.len() - 1])));
        found.retain(|(_, part)| *part != 0.0);
        found
    }

    /// The steps that a ranking counts, and their weights, which sum to 1.
    fn ranked_by(&self, standing: &Standing, ranking: Ranking) -> Vec<(Step, f64)> {
        let ways = self.ways(standing);
        let goes_on = f64::from(ways.arrivals[SAME]);
        let new_session: f64 = ways.arrivals[NEW..].iter().map(|odds| f64::from(*odds)).sum();
        let of_new = ranking.new_session.unwrap_or(new_session / (goes_on + new_session).max(f64::MIN_POSITIVE));
        let of_new = if goes_on > 0.0 { of_new } else { 1.0 };
        let mut leaves = Vec::new();
        for (begins, weight) in [(false, 1.0 - of_new), (true, of_new)] {
            let mut own: Vec<Way> = ways.all.iter().filter(|w| (w.step.arrival != SAME) == begins).copied().collect();
            own.sort_by(|a, b| (b.odds * b.share).total_cmp(&(a.odds * a.share)));
            own.truncate(ranking.ways.max(1));
            let sum: f64 = own.iter().map(|way| way.odds * way.share).sum();
            let actions = self.action_odds(standing, &own);
            for (way, odds) in own.iter().zip(actions.chunks_exact(self.model.actions())) {
                let action = (0..odds.len()).max_by(|a, b| odds[*a].total_cmp(&odds[*b])).unwrap_or(0);
                let share = way.odds * way.share / sum.max(f64::MIN_POSITIVE);
                leaves.push((Step { action, ..way.step }, weight * share));
            }
        }
        leaves.retain(|(_, weight)| *weight > 0.0);
        leaves
    }

    /// A history of items that came without times: one session that ends with the window, event after event with the gaps that
    /// the model finds likeliest. `actions` has one for each item.
    pub fn undated(&self, items: Vec<u32>, action: Vec<u32>) -> Sequences {
        let events = items.len();
        let end = self.model.clock.as_ref().map_or(0, Clock::end);
        let mut past = Sequences {
            offsets: vec![0, events],
            time: if self.model.clock.is_some() { vec![end; events] } else { (0..events as i64).collect() },
            session: vec![0; events],
            item: items,
            action,
            has_clock: self.model.clock.is_some(),
        };
        let (Some(clock), true) = (&self.model.clock, events > 1) else { return past };
        let first = events.saturating_sub(self.reach()).max(1);
        let mut x = self.states(&past, 0, &[], first..events);
        let goes_on = Step { arrival: SAME, ..self.blank(None, SAME) };
        self.know(&mut x, &vec![goes_on; events - first], &[Known::Arrival]);
        let odds = self.odds_of(&self.layout.gap, &x);
        for (event, odds) in (first..events).zip(odds.chunks_exact(self.model.sizes.gaps)).rev() {
            let class = (0..odds.len()).max_by(|a, b| odds[*a].total_cmp(&odds[*b])).unwrap_or(0);
            past.time[event - 1] = past.time[event] - clock.least_gap(class);
        }
        let earliest = past.time[first - 1];
        past.time[..first - 1].fill(earliest);
        past
    }

    /// Places before the last one that its state depends on.
    fn reach(&self) -> usize {
        let shape = self.decoder.shape();
        shape.layers * (shape.reach - 1)
    }

    fn standing(&self, past: &Sequences, user: usize, profile: &[Option<usize>]) -> Standing {
        let range = past.of_user(user);
        let state = self.states(past, user, profile, range.len()..range.len() + 1);
        let memory = &self.model.memory;
        let mut recall = self.model.sizes.recall();
        let mut place = 0;
        for event in range.clone() {
            let begins = event > range.start && past.begins_session(user, event);
            if begins {
                recall.begin_session();
            }
            place = if begins || event == range.start { 0 } else { place + 1 };
            recall.push(past.item[event], memory, event + TRACE_LENGTH < range.end);
        }
        let (mut same, mut new) = (Candidates::default(), Candidates::default());
        recall.features(memory, &mut same);
        recall.begin_session();
        recall.features(memory, &mut new);
        Standing { state, last: range.last().map(|event| (past.time[event], place)), same, new }
    }

    /// States at some places of a history, `[places, width]`; place p is what is known after p events.
    fn states(
        &self,
        past: &Sequences,
        user: usize,
        profile: &[Option<usize>],
        places: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let (sizes, layout, width) = (&self.model.sizes, &self.layout, self.layout.width);
        let range = past.of_user(user);
        let steps: Vec<Step> = steps_of(past, self.model.clock.as_ref(), user)
            .into_iter()
            .map(|step| Step { left: EVENT_CLASSES, action: step.action.min(sizes.actions - 1), ..step })
            .collect();
        let begun = steps.first().map_or(sizes.seasons - 1, |step| step.season);
        let known: Vec<Option<usize>> = std::iter::once(None)
            .chain(profile.iter().copied().chain(std::iter::repeat(None)))
            .zip(&sizes.profile)
            .map(|(value, size)| value.filter(|value| value < size))
            .collect();
        let first = places.start.saturating_sub(self.reach());
        let (mut items, mut fields) = (Vec::new(), Vec::new());
        for place in first..places.end {
            let (item, step, sessions) = match place.checked_sub(1) {
                None => (sizes.items, Step::start(begun), 0),
                Some(last) => {
                    let event = range.start + last;
                    (past.item[event] as usize, steps[last], past.session[event] as usize + 1)
                }
            };
            items.push(item);
            layout.rows_in(step, Course { sessions, events: place, left: None }, &known, sizes, &mut fields);
        }
        let mut x = linear(&self.items().vectors(&items), &self.model.weights[layout.enter.clone()], width);
        let table = &self.model.weights[layout.table_in.clone()];
        for (x, fields) in x.chunks_exact_mut(width).zip(fields.chunks_exact(layout.count_in())) {
            fields.iter().for_each(|row| add(x, &table[*row as usize * width..][..width]));
        }
        let weights = &self.model.weights[layout.decoder.clone()];
        let windows = [places.end - first];
        let decoded = self.decoder.forward(weights, x, &windows, None::<Dropout<Stream>>);
        decoded.states()[(places.start - first) * width..].to_vec()
    }

    /// A step of which nothing is known but how it arrives.
    fn blank(&self, last: Option<(i64, usize)>, arrival: usize) -> Step {
        let place = if arrival == SAME { last.map_or(0, |(_, place)| place + 1) } else { 0 };
        Step {
            arrival,
            gap: 0,
            action: 0,
            place: place_class(place),
            season: 0,
            hour: HOURS - 1,
            weekday: WEEKDAYS - 1,
            left: EVENT_CLASSES,
        }
    }

    /// All ways to the next event.
    fn ways(&self, standing: &Standing) -> Ways {
        let arrivals = match standing.last {
            None => (0..self.model.sizes.arrivals).map(|arrival| f32::from(u8::from(arrival == NEW))).collect(),
            Some(_) => {
                let mut odds = scores(&self.layout.next, &self.model.weights, &standing.state, self.layout.width);
                self.model.rhythm.add_to_arrivals(&mut odds);
                softmax_rows(&mut odds, self.model.sizes.arrivals);
                odds
            }
        };
        let mut ways = Ways { arrivals, ..Ways::default() };
        let Some(clock) = &self.model.clock else {
            for arrival in [SAME, NEW] {
                let odds = f64::from(ways.arrivals[arrival]);
                ways.all.push(Way { step: self.blank(standing.last, arrival), odds, share: 1.0 });
            }
            return ways;
        };
        let days = match standing.last {
            None => vec![(NEW, clock.first_days(self.model.sizes.seasons - 1))],
            Some(last) => {
                self.add_seconds(standing, clock, last, &mut ways);
                let classes = (NEW..ways.arrivals.len()).filter_map(|a| days_of(a).map(|class| (a, class)));
                classes.map(|(arrival, class)| (arrival, clock.days(last.0, class))).collect()
            }
        };
        self.add_days(standing, clock, &days, &mut ways);
        ways
    }

    /// Ways within the session, and to a new session on the same day.
    fn add_seconds(&self, standing: &Standing, clock: &Clock, last: (i64, usize), ways: &mut Ways) {
        let mut x = standing.state.clone();
        let goes_on = self.blank(Some(last), SAME);
        self.know(&mut x, &[goes_on], &[Known::Arrival]);
        let gaps = self.odds_of(&self.layout.gap, &x);
        let same = gaps.iter().enumerate().map(|(gap, odds)| {
            let odds = f64::from(ways.arrivals[SAME]) * f64::from(*odds);
            (Step { gap, ..goes_on }, gap, odds)
        });
        let new = (NEW..ways.arrivals.len()).filter(|arrival| days_of(*arrival).is_none()).map(|arrival| {
            let odds = f64::from(ways.arrivals[arrival]);
            (self.blank(Some(last), arrival), arrival - NEW, odds)
        });
        for (step, class, odds) in same.chain(new).collect::<Vec<_>>() {
            let begins_session = step.arrival != SAME;
            for (begin, end, share) in clock.moments_after(last.0, class, begins_session) {
                let moment = clock.moment(begin);
                let step = Step { season: moment.season, weekday: moment.weekday, hour: moment.hour, ..step };
                ways.all.push(Way { step, odds, share });
                ways.spans.push(Span { begin, end, odds: odds * share, begins_session });
            }
        }
    }

    /// Ways to a new session on other days; `days` has those of each arrival with their odds.
    fn add_days(&self, standing: &Standing, clock: &Clock, days: &[(usize, Vec<(i64, f64)>)], ways: &mut Ways) {
        // Days of one season and weekday are alike.
        let mut alike: BTreeMap<(usize, usize, usize), f64> = BTreeMap::new();
        for (arrival, days) in days {
            for (day, share) in days {
                let moment = clock.moment(day * DAY);
                *alike.entry((*arrival, moment.season, moment.weekday)).or_default() += share;
            }
        }
        let step = |(arrival, season, weekday): &(usize, usize, usize)| Step {
            season: *season,
            weekday: *weekday,
            ..self.blank(standing.last, *arrival)
        };
        let steps: Vec<Step> = alike.keys().map(step).collect();
        let mut x = standing.state.repeat(steps.len());
        self.know(&mut x, &steps, &[Known::Arrival, Known::Season, Known::Weekday]);
        let mut hours = scores(&self.layout.hour, &self.model.weights, &x, self.layout.width);
        // An hour that is not known cannot come.
        hours.chunks_exact_mut(HOURS).for_each(|odds| odds[HOURS - 1] = f32::NEG_INFINITY);
        softmax_rows(&mut hours, HOURS);
        let mut of_hours = BTreeMap::new();
        for ((key, share), (step, odds)) in alike.iter().zip(steps.iter().zip(hours.chunks_exact(HOURS))) {
            for (hour, odds) in odds[..HOURS - 1].iter().enumerate() {
                let odds = f64::from(ways.arrivals[step.arrival]) * f64::from(*odds);
                ways.all.push(Way { step: Step { hour, ..*step }, odds, share: *share });
            }
            of_hours.insert(*key, odds);
        }
        for (arrival, days) in days {
            for (day, share) in days {
                let moment = clock.moment(day * DAY);
                let hours = &of_hours[&(*arrival, moment.season, moment.weekday)][..HOURS - 1];
                for (hour, odds) in (0i64..).zip(hours) {
                    let begin = day * DAY + hour * HOUR;
                    let odds = f64::from(ways.arrivals[*arrival]) * f64::from(*odds) * share;
                    ways.spans.push(Span { begin, end: begin + HOUR, odds, begins_session: true });
                }
            }
        }
    }

    /// `[ways, actions]`
    fn action_odds(&self, standing: &Standing, ways: &[Way]) -> Vec<f32> {
        if self.model.actions() == 1 {
            return vec![1.0; ways.len()];
        }
        let of_block = |ways: &[Way]| {
            let steps: Vec<Step> = ways.iter().map(|way| way.step).collect();
            let mut x = standing.state.repeat(steps.len());
            self.know(&mut x, &steps, &[Known::Arrival, Known::Season, Known::Weekday, Known::Hour]);
            self.know(&mut x, &steps, &[Known::Gap, Known::Left, Known::Place]);
            self.odds_of(&self.layout.action, &x)
        };
        ways.chunks(BLOCK).flat_map(of_block).collect()
    }

    /// Odds of items for some steps with their actions, `[steps, items]`.
    fn item_odds(&self, standing: &Standing, steps: &[Step]) -> Vec<f32> {
        let (q, gates) = self.queries(standing, steps);
        let asked = q.chunks_exact(self.layout.width).zip(gates.chunks_exact(GATES));
        let choice = |(step, asked): (&Step, _)| self.choice(step, asked, standing.candidates(step));
        let choices: Vec<Choice> = steps.iter().zip(asked).map(choice).collect();
        self.items().odds(&q, &choices)
    }

    /// The choice of an item for a step with its action, of a query and the weights of the features.
    fn choice<'a>(&'a self, step: &Step, (q, gates): (&'a [f32], &'a [f32]), candidates: &'a Candidates) -> Choice<'a> {
        Choice { q, gates, candidates, memory: &self.model.memory, season: step.season }
    }

    /// What asks for the items of some steps with their actions: queries, `[steps, width]`, and the weights of the features,
    /// `[steps, GATES]`.
    fn queries(&self, standing: &Standing, steps: &[Step]) -> (Vec<f32>, Vec<f32>) {
        let (layout, weights, width) = (&self.layout, &self.model.weights, self.layout.width);
        let mut q = standing.state.repeat(steps.len());
        self.know(&mut q, steps, &[Known::Arrival, Known::Season, Known::Weekday, Known::Hour]);
        self.know(&mut q, steps, &[Known::Gap, Known::Left, Known::Place, Known::Action]);
        let mut inner = scores(&layout.widen, weights, &q, width);
        silu(&mut inner);
        add(&mut q, &linear(&inner, &weights[layout.narrow.clone()], 2 * width));
        let gates = scores(&layout.gates, weights, &q, width);
        (q, gates)
    }

    /// Adds what is known of steps to their rows.
    fn know(&self, x: &mut [f32], steps: &[Step], known: &[Known]) {
        let width = self.layout.width;
        let table = &self.model.weights[self.layout.table_out.clone()];
        for (x, step) in x.chunks_exact_mut(width).zip(steps) {
            known.iter().for_each(|known| add(x, &table[self.layout.row_out(*step, *known) * width..][..width]));
        }
    }

    fn odds_of(&self, head: &Head, x: &[f32]) -> Vec<f32> {
        let mut odds = scores(head, &self.model.weights, x, self.layout.width);
        softmax_rows(&mut odds, head.bias.len());
        odds
    }
}

/// The hours of ways with a clock, which sum to 1.
fn hours(ways: &[Way]) -> Vec<f64> {
    let mut hours = vec![0.0; HOURS - 1];
    ways.iter().for_each(|way| hours[way.step.hour] += way.odds * way.share);
    let total: f64 = hours.iter().sum();
    hours.iter_mut().for_each(|odds| *odds /= total.max(f64::MIN_POSITIVE));
    hours
}

impl Next {
    /// `[items]` given that there is a next event.
    pub fn items(&self) -> Vec<f64> {
        let follows = (self.goes_on + self.new_session).max(f64::MIN_POSITIVE);
        let (same, new) = (self.goes_on / follows, self.new_session / follows);
        self.items_of_session.iter().zip(&self.items_of_new).map(|(a, b)| same * a + new * b).collect()
    }

    /// Microseconds until the next event that with odds of `share` are not exceeded, given that there is a next event, or, with
    /// `new_session`, given that a new session begins. `None` without a clock or a last event.
    pub fn time_until(&self, share: f64, new_session: bool) -> Option<i64> {
        let last = self.last?;
        let spans = || self.spans.iter().filter(|span| span.begins_session || !new_session);
        let total: f64 = spans().map(|span| span.odds).sum();
        let (mut low, mut high) = (spans().map(|s| s.begin).min()?, spans().map(|s| s.end).max()?);
        let before = |moment: i64| -> f64 {
            let of = |span: &Span| {
                let passed = (moment - span.begin).clamp(0, span.end - span.begin);
                span.odds * passed as f64 / (span.end - span.begin) as f64
            };
            spans().map(of).sum()
        };
        // The last moment by which less than the share has come.
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if before(middle) < share * total { low = middle } else { high = middle }
        }
        Some(low - last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Care, Fitting};
    use crate::pass::{Losses, People, Window, pass};
    use crate::{Catalogue, Shape};
    use rand::{Rng, SeedableRng};
    use twinmart_tables::{Draws, Progress};

    const SECOND: i64 = 1_000_000;
    const ITEMS: u32 = 12;
    const MANY: u32 = 240;
    const SHAPE: Shape = Shape { width: 16, heads: 2, layers: 2, hidden: 24, reach: 4 };

    /// Sessions in which item follows item in a circle; with a clock, a minute apart in the session and some days between.
    fn circles(users: usize, has_clock: bool, seed: u64) -> Sequences {
        let mut stream = Stream::seed_from_u64(seed);
        let mut sequences = Sequences { offsets: vec![0], has_clock, ..Sequences::default() };
        for _ in 0..users {
            let mut time = (19_000 + stream.random_range(0..60)) * DAY;
            for session in 0..stream.random_range(1..5) {
                let first = stream.random_range(0..ITEMS);
                let hour = stream.random_range(8..20) * HOUR;
                for place in 0..stream.random_range(2..7) {
                    sequences.item.push((first + place) % ITEMS);
                    sequences.time.push(time + hour + i64::from(place) * 60 * SECOND);
                    sequences.session.push(session);
                    sequences.action.push(stream.random_range(0..3u32).min(1));
                }
                time += stream.random_range(1..12) * DAY;
            }
            sequences.offsets.push(sequences.item.len());
        }
        sequences
    }

    /// The same where each item of the circle is one of many.
    fn wide_circles(users: usize, seed: u64) -> Sequences {
        let (mut sequences, mut stream) = (circles(users, true, seed), Stream::seed_from_u64(seed));
        sequences.item.iter_mut().for_each(|item| *item += ITEMS * stream.random_range(0..MANY / ITEMS));
        sequences
    }

    fn fitted(sequences: &Sequences, steps: u64) -> EventModel {
        fitted_at_once(sequences, steps, ITEMS, ITEMS as usize)
    }

    /// A model of [`wide_circles`], whose items are in clusters.
    fn fitted_in_clusters(sequences: &Sequences, steps: u64) -> EventModel {
        let model = fitted_at_once(sequences, steps, MANY, 1);
        assert!(model.clusters.is_some());
        model
    }

    fn fitted_at_once(sequences: &Sequences, steps: u64, items: u32, at_once: usize) -> EventModel {
        let catalogue = Catalogue::new(&vec![Vec::new(); items as usize], 0);
        let fitting = Fitting {
            draws: Draws::new(3),
            steps,
            care: Care::default(),
            deadline: None,
            progress: Progress::silent(),
        };
        EventModel::fit_to_predict_at_once(sequences, catalogue, SHAPE, &fitting, at_once).unwrap()
    }

    /// With a clock, without one, and with clusters.
    fn worlds(seed: u64) -> Vec<(Sequences, EventModel)> {
        let at_once = [true, false].map(|has_clock| circles(60, has_clock, seed));
        let mut worlds: Vec<_> = at_once.map(|sequences| (sequences.clone(), fitted(&sequences, 20))).into();
        let wide = wide_circles(120, seed);
        worlds.push((wide.clone(), fitted_in_clusters(&wide, 20)));
        worlds
    }

    fn predictor(model: &EventModel) -> Predictor<'_> {
        Predictor::new(Cow::Borrowed(model))
    }

    /// The first events of a user.
    fn prefix(sequences: &Sequences, user: usize, events: usize) -> Sequences {
        let range = sequences.of_user(user).start..sequences.of_user(user).start + events;
        Sequences {
            offsets: vec![0, events],
            item: sequences.item[range.clone()].to_vec(),
            time: sequences.time[range.clone()].to_vec(),
            session: sequences.session[range.clone()].to_vec(),
            action: sequences.action[range].to_vec(),
            has_clock: sequences.has_clock,
        }
    }

    fn history(items: &[u32]) -> Sequences {
        Sequences {
            offsets: vec![0, items.len()],
            item: items.to_vec(),
            time: (0..items.len() as i64).map(|e| 19_030 * DAY + 9 * HOUR + e * 60 * SECOND).collect(),
            session: vec![0; items.len()],
            action: vec![0; items.len()],
            has_clock: true,
        }
    }

    /// What a forward pass as in learning says of all events but the first, everybody a stranger.
    fn losses_of_pass(model: &EventModel, sequences: &Sequences, user: usize) -> Losses {
        let layout = Layout::new(&model.sizes);
        let decoder = Decoder::new(model.sizes.decoder);
        let items = Items::new(&layout, &model.catalogue, model.clusters.as_ref(), &model.weights);
        let network = model.network(&layout, &decoder, &items);
        let profile: Vec<Vec<u32>> = model.sizes.profile.iter().map(|_| vec![0; sequences.users()]).collect();
        let taste = vec![1.0; sequences.users() * model.sizes.taste];
        let clock = model.clock.as_ref();
        let people = People {
            sequences,
            clock,
            profile: &profile,
            taste: &taste,
            contributions: None,
            blur: &[],
            strangers: true,
        };
        let windows = [Window { user, places: 0..sequences.of_user(user).len(), asked: 1 }];
        pass(&network, &people, &|_| &model.memory, &windows, None)
    }

    /// The same by predictions, event after event.
    fn losses_of_predictions(predictor: &Predictor, sequences: &Sequences, user: usize) -> Losses {
        let mut losses = Losses::default();
        let steps = steps_of(sequences, predictor.model().clock.as_ref(), user);
        for events in 1..steps.len() {
            let next = Step { left: EVENT_CLASSES, ..steps[events] };
            let standing = predictor.standing(&prefix(sequences, user, events), 0, &[]);
            let ways = predictor.ways(&standing);
            let arrival = f64::from(ways.arrivals[next.arrival]);
            let way = ways.all.iter().find(|w| w.step == Step { action: 0, ..next }).unwrap();
            let actions = predictor.action_odds(&standing, &[*way]);
            let items = predictor.item_odds(&standing, &[next]);
            losses.arrival -= arrival.ln();
            losses.time -= (way.odds / arrival).ln();
            losses.action -= f64::from(actions[next.action]).ln();
            losses.item -= f64::from(items[sequences.item[sequences.of_user(user).start + events] as usize]).ln();
            losses.events += 1;
        }
        losses
    }

    #[test]
    fn predictions_are_those_of_learning() {
        for (sequences, mut model) in worlds(1) {
            // Learning gives an hour that is not known some odds, prediction none.
            let layout = Layout::new(&model.sizes);
            model.weights[layout.hour.bias.end - 1] = -40.0;
            for user in 0..sequences.users() {
                let expected = losses_of_pass(&model, &sequences, user);
                let found = losses_of_predictions(&predictor(&model), &sequences, user);
                assert_eq!(expected.events, found.events);
                let parts = |l: Losses| [l.arrival, l.time, l.action, l.item];
                for (a, b) in parts(expected).into_iter().zip(parts(found)) {
                    assert!((a - b).abs() < 1e-3 * (1.0 + a), "{expected:?} {found:?}");
                }
            }
        }
    }

    #[test]
    fn odds_sum_to_one_however_the_history_ends() {
        for (sequences, model) in worlds(2) {
            let has_clock = sequences.has_clock;
            for (user, events) in [(0, 0), (1, 1), (2, sequences.of_user(2).len()), (3, 2)] {
                let next = predictor(&model).next(&prefix(&sequences, user, events), 0, &[]);
                let is_one = |sum: f64| (sum - 1.0).abs() < 1e-5;
                assert!(is_one(next.goes_on + next.new_session + next.ends));
                assert!(is_one(next.actions.iter().sum()) && is_one(next.items_of_new.iter().sum()));
                assert!(is_one(next.items().iter().sum()) && is_one(next.covered));
                assert!(next.hours.as_ref().is_none_or(|hours| is_one(hours.iter().sum())));
                assert_eq!(next.hours.is_some(), has_clock);
                assert_eq!(next.time_until(0.5, false).is_some(), has_clock && events > 0);
                if events == 0 {
                    assert_eq!((next.new_session, next.items_of_session.iter().sum::<f64>()), (1.0, 0.0));
                }
                let scores = predictor(&model).scores(
                    &prefix(&sequences, user, events),
                    0,
                    &[],
                    Ranking { new_session: None, ways: 3 },
                );
                assert!(is_one(scores.iter().map(|s| f64::from(*s)).sum()));
            }
        }
    }

    /// Odds of a stretch of time by counting the spans it cuts, beside the quantiles by bisection.
    #[test]
    fn times_are_quantiles_of_the_spans() {
        let sequences = circles(60, true, 3);
        let model = fitted(&sequences, 20);
        let next = predictor(&model).next(&prefix(&sequences, 0, 2), 0, &[]);
        let total: f64 = next.spans.iter().map(|s| s.odds).sum();
        assert!((total - next.goes_on - next.new_session).abs() < 1e-5);
        for new_session in [false, true] {
            let times: Vec<i64> =
                [0.1, 0.5, 0.9].into_iter().map(|share| next.time_until(share, new_session).unwrap()).collect();
            assert!(times.is_sorted() && times[0] >= 0, "{times:?}");
            for (share, time) in [0.1, 0.5, 0.9].into_iter().zip(times) {
                let moment = next.last.unwrap() + time;
                let spans = next.spans.iter().filter(|s| s.begins_session || !new_session);
                let (mut before, mut to, mut sum) = (0.0, 0.0, 0.0);
                for span in spans {
                    sum += span.odds;
                    before += if span.end <= moment { span.odds } else { 0.0 };
                    to += if span.begin <= moment { span.odds } else { 0.0 };
                }
                assert!(before <= share * sum + 1e-9 && to >= share * sum - 1e-9, "{share}: {before} {to} {sum}");
            }
        }
    }

    #[test]
    fn what_follows_in_a_planted_world_is_known() {
        let sequences = circles(400, true, 4);
        let model = fitted(&sequences, 300);
        let predictor = predictor(&model);
        for first in 0..ITEMS {
            let next = predictor.next(&history(&[first, (first + 1) % ITEMS, (first + 2) % ITEMS]), 0, &[]);
            let follower = ((first + 3) % ITEMS) as usize;
            assert!(next.items_of_session[follower] > 0.8, "{first}: {:?}", next.items_of_session);
            // A new session begins anywhere.
            assert!(next.items_of_new.iter().all(|odds| *odds < 0.4), "{first}: {:?}", next.items_of_new);
            // A minute within the session, days between sessions.
            let minute = next.time_until(0.1, false).unwrap();
            assert!((20 * SECOND..180 * SECOND).contains(&minute), "{minute}");
            assert!((2 * DAY..12 * DAY).contains(&next.time_until(0.5, true).unwrap()));
            let night: f64 = next.hours.unwrap()[..6].iter().sum();
            assert!(night < 0.15, "{night}");
        }
        let ahead = predictor.next(&history(&[2, 8]), 0, &[]).items_of_session;
        let behind = predictor.next(&history(&[8, 2]), 0, &[]).items_of_session;
        assert!(ahead[9] > 3.0 * ahead[3] && behind[3] > 3.0 * behind[9], "order matters: {ahead:?} {behind:?}");
    }

    #[test]
    fn a_history_without_times_has_the_gaps_of_the_model() {
        let sequences = circles(200, true, 5);
        let model = fitted(&sequences, 200);
        let past = predictor(&model).undated((0..6).collect(), vec![0; 6]);
        assert_eq!(*past.time.last().unwrap(), model.clock.as_ref().unwrap().end());
        for pair in past.time.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((30 * SECOND..120 * SECOND).contains(&gap), "{:?}", past.time);
        }
        for events in 0..2 {
            assert_eq!(predictor(&model).undated(vec![3; events], vec![0; events]).events(), events);
        }
    }

    #[test]
    fn reasons_add_up_to_scores() {
        let (sequences, wide) = (circles(200, true, 6), wide_circles(200, 6));
        let model = fitted(&sequences, 100);
        reasons_add_up(&sequences, &predictor(&model));
        reasons_add_up(&wide, &predictor(&fitted_in_clusters(&wide, 100)));
        // In a circle the last item brings the next one to mind, more than all others.
        let (past, ranking) = (history(&[4, 5, 6]), Ranking { new_session: Some(0.0), ways: 1 });
        let reasons = predictor(&model).reasons(&past, 0, &[], ranking, 7);
        let largest = reasons.of_items.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(largest.0, 6, "{reasons:?}");
        assert!(largest.1 > 0.0);
    }

    fn reasons_add_up(sequences: &Sequences, predictor: &Predictor) {
        let ranking = Ranking { new_session: Some(0.4), ways: 3 };
        for user in 0..20 {
            let past = prefix(sequences, user, sequences.of_user(user).len());
            let scores = predictor.scores(&past, 0, &[], ranking);
            for (item, score) in (0..).zip(&scores) {
                let reasons = predictor.reasons(&past, 0, &[], ranking, item);
                let sum = reasons.popularity + reasons.whole + reasons.of_items.iter().map(|r| r.1).sum::<f64>();
                assert!((sum - f64::from(*score)).abs() < 1e-5, "{reasons:?} {score}");
            }
        }
    }

    /// The traces by source add up to those that recall keeps.
    #[test]
    fn traces_have_their_sources() {
        let sequences = circles(100, true, 7);
        let model = fitted(&sequences, 1);
        for user in 0..30 {
            let range = sequences.of_user(user);
            for begins in [false, true] {
                let mut recall = model.sizes.recall();
                for event in range.clone() {
                    if event > range.start && sequences.begins_session(user, event) {
                        recall.begin_session();
                    }
                    recall.push(sequences.item[event], &model.memory, false);
                }
                if begins {
                    recall.begin_session();
                }
                let mut candidates = Candidates::default();
                recall.features(&model.memory, &mut candidates);
                let in_session = |item: u32| {
                    let last = sequences.session[range.end - 1];
                    !begins && range.clone().any(|e| sequences.session[e] == last && sequences.item[e] == item)
                };
                for item in (0..ITEMS).filter(|item| !in_session(*item)) {
                    let left = crate::recall::traces_of(&sequences, user, &model.memory, item, begins);
                    let features = candidates.of_item(item).map_or(&[0f32; 32][..], |f| f);
                    for trace in 0..left[0].len() {
                        let sum: f32 = left.iter().map(|l| l[trace]).sum();
                        let expected = (1.0 + sum * model.memory.rarity[item as usize]).ln();
                        // Recall forgets what is faint.
                        assert!((features[trace] - expected).abs() < 0.03, "{trace}: {} {expected}", features[trace]);
                    }
                }
            }
        }
    }
}
