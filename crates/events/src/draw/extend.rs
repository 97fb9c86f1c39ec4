//! Going on from histories that are given: the model reads them as it would its own, and draws what follows.

use super::{BLOCK, Drawing, NewEvent, Plan};
use crate::items::Items;
use crate::layout::Layout;
use crate::model::EventModel;
use crate::pass::Network;
use crate::sequences::Sequences;
use crate::steps::{EVENT_CLASSES, SAME, Step, steps_of};
use rayon::prelude::*;
use twinmart_nets::decoder::{Cache, Decoder};
use twinmart_tables::Stream;

/// A history that is to go on.
struct Short<'a> {
    user: usize,
    stream: &'a mut Stream,
}

impl EventModel {
    /// Goes on from the histories of `given`, whose items and actions the model must know, until each has `events` events or
    /// one is drawn that lies beyond the window of time: `[users]` their new events. Users without events, or with as many
    /// already, get none.
    ///
    /// Everybody is a stranger whose plan is not known. One stream for each user; the same streams give the same events on any
    /// number of threads.
    pub fn extend(&self, given: &Sequences, events: usize, streams: &mut [Stream]) -> Vec<Vec<NewEvent>> {
        let layout = Layout::new(&self.sizes);
        let decoder = Decoder::new(self.sizes.decoder);
        let items = Items::new(&layout, &self.catalogue, self.clusters.as_ref(), &self.weights).for_drawing();
        let network = self.network(&layout, &decoder, &items);
        let length = |short: &Short| given.of_user(short.user).len();
        let mut short: Vec<Short> =
            streams.iter_mut().enumerate().map(|(user, stream)| Short { user, stream }).collect();
        short.retain(|short| (1..events).contains(&length(short)));
        // Those of one length read their histories in step.
        short.sort_by_key(length);
        let blocks: Vec<&mut [Short]> =
            short.chunk_by_mut(|a, b| length(a) == length(b)).flat_map(|alike| alike.chunks_mut(BLOCK)).collect();
        let drawn: Vec<(usize, Vec<NewEvent>)> = blocks
            .into_par_iter()
            .with_max_len(1)
            .flat_map_iter(|block| self.extend_block(&network, given, events, block))
            .collect();
        let mut extended = vec![Vec::new(); given.users()];
        drawn.into_iter().for_each(|(user, events)| extended[user] = events);
        extended
    }

    /// The new events of some users whose histories are of one length, with their numbers.
    fn extend_block(
        &self,
        network: &Network,
        given: &Sequences,
        events: usize,
        block: &mut [Short],
    ) -> Vec<(usize, Vec<NewEvent>)> {
        let length = block.first().map_or(0, |short| given.of_user(short.user).len());
        let steps: Vec<Vec<Step>> =
            block.iter().map(|short| steps_of(given, self.clock.as_ref(), short.user)).collect();
        let plan = Plan { season: 0, size: None, group: usize::MAX, profile: Vec::new() };
        let begun = block.iter_mut().zip(&steps).map(|(short, steps)| {
            let start = Step::start(steps[0].season);
            self.stranger(network, &plan, (short.user, short.stream), (start, events))
        });
        let mut alive: Vec<Drawing> = begun.collect();
        let mut cache = Cache::new(self.sizes.decoder, alive.len());
        for place in 0..length {
            let rows = self.rows_of(network, &alive);
            network.decoder.step(&self.weights[network.layout.decoder.clone()], rows, &mut cache);
            for (drawing, steps) in alive.iter_mut().zip(&steps) {
                let event = given.offsets[drawing.user] + place;
                drawing.follow(given, event, steps[place], self);
            }
        }
        let drawn = self.go_on(network, false, alive, cache);
        drawn.into_iter().map(|(user, (mut events, _))| (user, events.split_off(length))).collect()
    }

    /// Somebody of whom nothing is known, before any event; the history is to have `wanted` events.
    fn stranger<'s>(
        &self,
        network: &Network,
        plan: &'s Plan,
        (user, stream): (usize, &'s mut Stream),
        (step, wanted): (Step, usize),
    ) -> Drawing<'s> {
        let taste = vec![0.0; self.sizes.taste];
        let likes = network.likes(&taste);
        Drawing { step, wanted, ..self.begun(plan, (user, stream), (taste, likes)) }
    }
}

impl Drawing<'_> {
    /// Takes note of a given event.
    fn follow(&mut self, given: &Sequences, event: usize, step: Step, model: &EventModel) {
        let begins = self.events.is_empty() || step.arrival != SAME;
        self.place = if begins { 0 } else { self.place + 1 };
        if begins && !self.events.is_empty() {
            self.recall.begin_session();
        }
        self.step = Step { left: EVENT_CLASSES, ..step };
        self.time = given.time[event];
        let (item, session, action) = (given.item[event], given.session[event], given.action[event]);
        self.events.push(NewEvent { item, time: self.time, session, action });
        self.recall.push(item, &model.memory, false);
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::Catalogue;
    use crate::learn::{Care, Fitting};
    use crate::model::EventModel;
    use crate::reversal::Reversal;
    use crate::sequences::Sequences;
    use rand::Rng;
    use twinmart_nets::decoder::Shape;
    use twinmart_tables::{Draws, Progress, Stream};

    const ITEMS: usize = 30;
    const DAY: i64 = 86_400_000_000;

    /// Users who take the items in a circle, from anywhere, one or two a day.
    fn circles(users: usize, lengths: std::ops::Range<usize>, name: &str) -> Sequences {
        let mut stream: Stream = Draws::new(1).stream(name);
        let mut sequences = Sequences { offsets: vec![0], has_clock: true, ..Sequences::default() };
        for _ in 0..users {
            let (mut item, mut session) = (stream.random_range(0..ITEMS as u32), 0);
            let mut day = stream.random_range(100..110);
            for event in 0..stream.random_range(lengths.clone()) {
                if event > 0 && stream.random() {
                    (day, session) = (day + stream.random_range(1..4), session + 1);
                }
                sequences.item.push(item);
                sequences.time.push(day * DAY + i64::from(session) + event as i64 * 1_000_000);
                sequences.session.push(session);
                item = (item + 1) % ITEMS as u32;
            }
            sequences.offsets.push(sequences.item.len());
        }
        sequences.action = vec![0; sequences.item.len()];
        sequences
    }

    fn learned(sequences: &Sequences) -> EventModel {
        let shape = Shape { width: 32, heads: 2, layers: 1, hidden: 64, reach: 16 };
        let (draws, progress) = (Draws::new(2), Progress::silent());
        let fitting = Fitting { draws, steps: 120, care: Care::default(), deadline: None, progress };
        EventModel::fit_to_predict(sequences, Catalogue::new(&vec![Vec::new(); ITEMS], 0), shape, &fitting).unwrap()
    }

    fn streams(users: usize) -> Vec<Stream> {
        let family = Draws::new(3).family("extended", "");
        (0..users).map(|user| family.row(user as u64)).collect()
    }

    #[test]
    fn short_histories_get_the_events_that_came_before() {
        let forwards = circles(700, 4..12, "learned");
        let reversal = Reversal::of(&forwards);
        let model = learned(&reversal.sequences(&forwards));
        let mut given = circles(80, 1..7, "given");
        // One without events.
        given.offsets.push(given.events());
        // They begin as late as leaves room for earlier ones.
        given.time.iter_mut().for_each(|time| *time += 8 * DAY);
        let backwards = reversal.sequences(&given);
        let extended = model.extend(&backwards, 6, &mut streams(81));
        let (mut right, mut all, mut wanted) = (0, 0, 0);
        for (user, events) in extended.iter().enumerate() {
            let own = backwards.of_user(user);
            let lacking = if own.is_empty() { 0 } else { 6usize.saturating_sub(own.len()) };
            assert!(events.len() <= lacking);
            wanted += lacking;
            let Some(last) = own.last() else { continue };
            let mut before = (backwards.item[last], backwards.time[last], backwards.session[last]);
            for event in events {
                assert!(event.time >= before.1 && (before.2..=before.2 + 1).contains(&event.session));
                right += usize::from((event.item + 1) % ITEMS as u32 == before.0);
                all += 1;
                before = (event.item, event.time, event.session);
            }
        }
        assert!(all * 10 > wanted * 7 && right * 10 > all * 8, "{right} of {all}, {wanted} wanted");
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| model.extend(&backwards, 6, &mut streams(81))), extended);
    }

    #[test]
    fn what_follows_is_what_would_be_said_of_the_whole_history() {
        // Reading what was drawn and going on is the same as drawing on at once: the state comes from events alone.
        let forwards = circles(300, 4..12, "learned");
        let model = learned(&forwards);
        let given = circles(30, 3..4, "given");
        let longer = model.extend(&given, 4, &mut streams(30));
        let mut grown = Sequences { offsets: vec![0], has_clock: true, ..Sequences::default() };
        for (user, new) in longer.iter().enumerate() {
            grown.item.extend(&given.item[given.of_user(user)]);
            grown.time.extend(&given.time[given.of_user(user)]);
            grown.session.extend(&given.session[given.of_user(user)]);
            grown.item.extend(new.iter().map(|event| event.item));
            grown.time.extend(new.iter().map(|event| event.time));
            grown.session.extend(new.iter().map(|event| event.session));
            grown.offsets.push(grown.item.len());
        }
        grown.action = vec![0; grown.item.len()];
        let (mut at_once, mut again) = (streams(30), streams(30));
        let all = model.extend(&given, 6, &mut at_once);
        model.extend(&given, 4, &mut again);
        let rest = model.extend(&grown, 6, &mut again);
        let joined: Vec<_> = longer.iter().zip(&rest).map(|(a, b)| [&a[..], &b[..]].concat()).collect();
        assert_eq!(joined, all);
    }
}
