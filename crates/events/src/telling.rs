//! How learning is told a user's taste, which is a sum over the user's items and so holds the answers to all questions.
//!
//! ```text
//! Others   of all items but the one that is asked for:     one taste for each question
//! Part     of some of the items, each by chance one half:  one taste for all questions of a window
//! ```
//!
//! Without the item that is asked for, the network reads no items from tastes, only what goes with them; drawn tastes, which are
//! sums of no items, then say what learned ones did. But histories are not drawn so: of two items, each is told as what goes with
//! the other, and a drawn couple is two items that go with a third. A part of the items is a random number that is drawn with the
//! history: drawing it first and the history after it gives the joint distribution exactly. But half of the items are read from it,
//! which is no help where items are too many to be told from tastes.
//!
//! Which of the two suits a shop is asked of people who were not counted: a part is told where items say more of their other items
//! by how many people have both than over one item between, by what goes with what goes with them.

use crate::counts::Meetings;
use crate::learn::{FOLDS, folds};
use crate::sequences::Sequences;
use rayon::prelude::*;
use twinmart_tables::Draws;

/// How tastes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Without the item that is asked for.
    Others,
    /// A part of the user's items.
    Part,
}

/// People who are asked, at most, and items of each.
const PEOPLE: usize = 500;
const ITEMS: usize = 8;
/// Nats for a couple by which direct counts must be better: in doubt, what is asked for is not told.
const CLEARLY: f64 = 0.1;
/// Couples of popular items that are added to those of each item.
const DOUBT: f64 = 3.0;

impl Telling {
    /// What suits some histories, by those who decide when learning stops.
    pub(crate) fn of(sequences: &Sequences, items: usize, draws: Draws) -> Telling {
        let folds = folds(sequences.users(), draws);
        let held = (0..folds.len()).filter(|user| folds[*user] == FOLDS).map(|user| first_items(sequences, user));
        let asked: Vec<Vec<u32>> = held.filter(|items| items.len() > 1).take(PEOPLE).collect();
        if asked.is_empty() {
            return Telling::Others;
        }
        let mut is_asked = vec![false; items];
        asked.iter().flatten().for_each(|item| is_asked[*item as usize] = true);
        let is_counted = |user: usize| folds[user] != FOLDS;
        let couples = Couples::of(Meetings::of(sequences, &is_asked, &is_counted), sequences, &is_counted);
        let gains: Vec<f64> = asked.par_iter().map(|items| couples.gain(items)).collect();
        let mean = gains.iter().sum::<f64>() / gains.len() as f64;
        if mean > CLEARLY { Telling::Part } else { Telling::Others }
    }
}

/// The first different items of a user, in order.
fn first_items(sequences: &Sequences, user: usize) -> Vec<u32> {
    let mut first = Vec::new();
    for item in &sequences.item[sequences.of_user(user)] {
        if first.len() < ITEMS && !first.contains(item) {
            first.push(*item);
        }
    }
    first
}

/// Odds of a second item, given a first one.
struct Couples {
    meetings: Meetings,
    /// `[items]` shares of all people's items.
    popularity: Vec<f64>,
}

impl Couples {
    fn of(meetings: Meetings, sequences: &Sequences, is_counted: &dyn Fn(usize) -> bool) -> Couples {
        let mut popularity = vec![0.5; meetings.sums.len()];
        for user in (0..sequences.users()).filter(|user| is_counted(*user)) {
            sequences.item[sequences.of_user(user)].iter().for_each(|item| popularity[*item as usize] += 1.0);
        }
        let total: f64 = popularity.iter().sum();
        popularity.iter_mut().for_each(|share| *share /= total);
        Couples { meetings, popularity }
    }

    /// How much likelier a person's couples are by direct counts, in nats for each.
    fn gain(&self, items: &[u32]) -> f64 {
        let mut gain = 0.0;
        for first in items {
            let reached = self.reached(*first);
            for second in items.iter().filter(|item| *item != first) {
                gain += (self.direct(*first, *second) / self.over_one(*first, *second, reached)).ln();
            }
        }
        gain / (items.len() * (items.len() - 1)) as f64
    }

    /// How often the couples of `from` are with an item that it has `people` of.
    fn share(&self, from: u32, people: f64) -> f64 {
        people / (self.meetings.sums[from as usize] + DOUBT)
    }

    /// p(second | first) = (n + κ π(second)) / (n(first) + κ).
    fn direct(&self, first: u32, second: u32) -> f64 {
        let row = &self.meetings.rows[first as usize];
        let people = row.binary_search_by_key(&second, |(item, _)| *item).map_or(0.0, |place| f64::from(row[place].1));
        self.share(first, people + DOUBT * self.popularity[second as usize])
    }

    /// Of the steps that lead from an item over another: the share that meets a third at all, and of that, what comes back.
    fn reached(&self, first: u32) -> (f64, f64) {
        let (mut all, mut back) = (0.0, 0.0);
        for (between, people) in &self.meetings.rows[first as usize] {
            let step = self.share(first, f64::from(*people));
            all += step * self.share(*between, self.meetings.sums[*between as usize]);
            back += step * self.share(*between, f64::from(*people));
        }
        (all, back)
    }

    /// p(second | first) over one item between, Σ p(between | first) p(second | between), but for the first itself.
    fn over_one(&self, first: u32, second: u32, (all, back): (f64, f64)) -> f64 {
        let rows = &self.meetings.rows;
        let (mut own, mut others) = (rows[first as usize].iter().peekable(), rows[second as usize].iter().peekable());
        let mut sum = 0.0;
        while let (Some((a, people)), Some((b, shared))) = (own.peek(), others.peek()) {
            if a == b {
                sum += self.share(first, f64::from(*people)) * self.share(*a, f64::from(*shared));
            }
            let (a, b) = (*a, *b);
            own.next_if(|_| a <= b);
            others.next_if(|_| b <= a);
        }
        let kept = if all > back { all / (all - back) } else { 0.0 };
        sum * kept + (1.0 - all) * self.popularity[second as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use twinmart_tables::Stream;

    fn sequences(users: impl Iterator<Item = Vec<u32>>) -> Sequences {
        let mut out = Sequences { offsets: vec![0], ..Sequences::default() };
        for items in users {
            out.item.extend(items);
            out.offsets.push(out.item.len());
        }
        out.session = vec![0; out.item.len()];
        out.time = vec![0; out.item.len()];
        out.action = vec![0; out.item.len()];
        out
    }

    #[test]
    fn couples_that_many_have_are_told_in_parts_and_topics_of_thousands_without_what_is_asked_for() {
        let draws = Draws::new(3);
        let mut stream: Stream = draws.stream("shop");
        // Twenty couples, which nobody mixes; and two topics of a thousand items, of which everybody has four.
        let couples = sequences((0..2_000).map(|_| {
            let couple = stream.random_range(0..20);
            vec![2 * couple, 2 * couple + 1]
        }));
        assert_eq!(Telling::of(&couples, 40, draws), Telling::Part);
        let topics = sequences((0..2_000).map(|user| {
            let mut item = || stream.random_range(0..1_000) + user % 2 * 1_000;
            [(); 4].map(|()| item()).to_vec()
        }));
        assert_eq!(Telling::of(&topics, 2_000, draws), Telling::Others);
        let alone = sequences((0..100).map(|user| vec![user % 7]));
        assert_eq!(Telling::of(&alone, 7, draws), Telling::Others, "nobody has two items");
    }

    #[test]
    fn odds_are_those_of_whole_matrices() {
        const SIZE: usize = 12;
        let mut stream: Stream = Draws::new(4).stream("shop");
        let shop = sequences((0..150).map(|_| (0..4).map(|_| stream.random_range(0..SIZE as u32)).collect()));
        let is_counted = |user: usize| !user.is_multiple_of(5);
        let couples = Couples::of(Meetings::of(&shop, &[true; SIZE], &is_counted), &shop, &is_counted);
        let mut people = [[0f64; SIZE]; SIZE];
        for user in (0..150).filter(|user| is_counted(*user)) {
            let items = first_items(&shop, user);
            for a in &items {
                items.iter().filter(|b| *b != a).for_each(|b| people[*a as usize][*b as usize] += 1.0);
            }
        }
        let sums = people.map(|row| row.iter().sum::<f64>());
        let step = |a: usize, b: usize| people[a][b] / (sums[a] + DOUBT);
        for (a, sum_of_row) in sums.iter().enumerate() {
            let to = |b: usize| (0..SIZE).map(|between| step(a, between) * step(between, b)).sum::<f64>();
            let (all, back) = ((0..SIZE).map(to).sum::<f64>(), to(a));
            let mut sum = [0.0; 2];
            for b in (0..SIZE).filter(|b| *b != a) {
                let (first, second) = (a as u32, b as u32);
                let direct = step(a, b) + DOUBT * couples.popularity[b] / (sum_of_row + DOUBT);
                assert!((couples.direct(first, second) - direct).abs() < 1e-9);
                let over_one = to(b) * all / (all - back) + (1.0 - all) * couples.popularity[b];
                let found = couples.over_one(first, second, couples.reached(first));
                assert!((found - over_one).abs() < 1e-9, "{found} {over_one}");
                sum = [sum[0] + direct, sum[1] + over_one];
            }
            // The first item's own popularity is all that is missing.
            assert!(sum.iter().all(|sum| (0.85..=1.0).contains(sum)), "{sum:?}");
        }
    }
}
