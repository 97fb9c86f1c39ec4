//! Where items lie: near those that the same people choose, and near those that have the same marks.
//!
//! A place has two parts: where the item lies by what its people choose besides (see [`Directions`]), which says the more the
//! more people there are, and where its marks put it (see [`WeightedSets`]).

use crate::catalogue::Catalogue;
use crate::directions::{DIRECTIONS, Directions};
use crate::sequences::Sequences;
use crate::summary::item_sets;
use crate::taste::{WeightedSets, normal};
use twinmart_nets::matrix::{dot, linear};
use twinmart_tables::{Draws, Stream};

/// Numbers of an item's place by its marks.
const BY_MARKS: usize = 32;
/// Numbers of a place: by people and by marks.
pub(crate) const WIDTH: usize = DIRECTIONS + BY_MARKS;
/// People at which both parts count the same.
const DOUBT: f32 = 10.0;

/// The places of all items, `[items, WIDTH]`.
pub(crate) fn places_of(
    sequences: &Sequences,
    catalogue: &Catalogue,
    directions: &Directions,
    draws: Draws,
) -> Vec<f32> {
    let items = catalogue.items();
    let people = people_of(sequences, items);
    let marks = (0..items).map(|item| catalogue.of(item).to_vec()).collect();
    let mut stream = draws.stream("events.marks");
    let by_marks = WeightedSets::of(marks, catalogue.kinds()).tastes(BY_MARKS, &mut stream);
    let mut places = vec![0f32; items * WIDTH];
    for (item, place) in places.chunks_exact_mut(WIDTH).enumerate() {
        let by_people = directions.place(item);
        let is_known = by_people.iter().any(|x| *x != 0.0);
        let sure = if is_known { people[item] as f32 / (people[item] as f32 + DOUBT) } else { 0.0 };
        let (own, other) = place.split_at_mut(DIRECTIONS);
        write_scaled(own, &by_people, sure);
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

/// The places at distance one along each of the first directions, `[count, WIDTH]`.
pub(crate) fn ones(count: usize) -> Vec<f32> {
    let mut places = vec![0f32; count * WIDTH];
    places.iter_mut().step_by(WIDTH + 1).for_each(|number| *number = 1.0);
    places
}

/// Writes `row` at a length.
pub(crate) fn write_scaled(out: &mut [f32], row: &[f32], length: f32) {
    let factor = length / dot(row, row).sqrt().max(1e-9);
    out.iter_mut().zip(row).for_each(|(out, x)| *out = x * factor);
}
