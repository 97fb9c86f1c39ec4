//! Where items lie: near those that the same users choose, and near those that have the same marks.
//!
//! A place has two parts, both of the few directions that explain most (see [`WeightedSets`]): where the item sets of its
//! users put an item, which says the more the more users there are, and where its marks put it.

use crate::catalogue::Catalogue;
use crate::sequences::Sequences;
use crate::summary::item_sets;
use crate::taste::{WeightedSets, normal};
use twinmart_nets::matrix::{dot, linear};
use twinmart_tables::{Draws, Stream};

/// Numbers of an item's place: by its users and by its marks.
const BY_USERS: usize = 16;
const BY_MARKS: usize = 32;
/// Numbers of a place.
pub(crate) const WIDTH: usize = BY_USERS + BY_MARKS;
/// Users at which both parts count the same.
const DOUBT: f32 = 10.0;

/// The places of all items, `[items, WIDTH]`. An item that too few people chose lies where its marks are, so that no person
/// decides where.
pub(crate) fn places_of(
    sequences: &Sequences,
    catalogue: &Catalogue,
    enough: impl Fn(usize) -> bool,
    draws: Draws,
) -> Vec<f32> {
    let items = catalogue.items();
    let people = people_of(sequences, items);
    let mut stream = draws.stream("events.directions");
    let by_users = WeightedSets::of(item_sets(sequences), items).places(BY_USERS, &mut stream);
    let marks = (0..items).map(|item| catalogue.of(item).to_vec()).collect();
    let by_marks = WeightedSets::of(marks, catalogue.kinds()).tastes(BY_MARKS, &mut stream);
    let mut places = vec![0f32; items * WIDTH];
    for (item, place) in places.chunks_exact_mut(WIDTH).enumerate() {
        let sure = if enough(people[item]) { people[item] as f32 / (people[item] as f32 + DOUBT) } else { 0.0 };
        let (own, other) = place.split_at_mut(BY_USERS);
        write_scaled(own, &by_users[item * BY_USERS..][..BY_USERS], sure);
        write_scaled(other, &by_marks[item * BY_MARKS..][..BY_MARKS], 1.0 - sure / 2.0);
    }
    places
}

/// How many people chose each item.
pub(crate) fn people_of(sequences: &Sequences, items: usize) -> Vec<usize> {
    let mut people = vec![0usize; items];
    item_sets(sequences).iter().flatten().for_each(|item| people[*item as usize] += 1);
    people
}

/// Vectors that lie to each other as places do, `[items, width]`; `size` is about the standard deviation of their numbers
/// (Johnson & Lindenstrauss, 1984).
pub(crate) fn projected(places: &[f32], width: usize, size: f32, stream: &mut Stream) -> Vec<f32> {
    let directions: Vec<f32> = (0..WIDTH * width).map(|_| size * normal(stream)).collect();
    linear(places, &directions, WIDTH)
}

/// Writes `row` at a length.
pub(crate) fn write_scaled(out: &mut [f32], row: &[f32], length: f32) {
    let factor = length / dot(row, row).sqrt().max(1e-9);
    out.iter_mut().zip(row).for_each(|(out, x)| *out = x * factor);
}
