//! Where the columns of the events belong: to the person, to the thing, or to the event itself; and which is the group.

use super::input::{GROUP_WORDS, Input};
use crate::detect::is_key_name;
use crate::rows::Rows;
use crate::sketch::hash_of;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::collections::HashMap;
use twinmart_tables::Result;

/// Share of repeated rows in which an attribute of a person or thing must agree with its first value.
const ATTRIBUTE_SHARE: f64 = 0.95;
/// Share of rows of a group that must belong to the group's first person.
const GROUP_SHARE: f64 = 0.999;

/// Where the columns of the events belong, learnt from which values change for one person or thing.
pub(super) struct Layout {
    pub(super) of_person: Vec<usize>,
    pub(super) of_thing: Vec<usize>,
    pub(super) group: Option<usize>,
}

impl Layout {
    /// Reads the events once; `fixed` columns (person, thing, time) stay where they are.
    pub(super) fn of(events: &Input, person: usize, thing: usize, time: Option<usize>) -> Result<Layout> {
        let fixed = |p: usize| p == person || p == thing || Some(p) == time || events.key == Some(p);
        let free: Vec<usize> = events.positions().filter(|p| !fixed(*p)).collect();
        let groups: Vec<usize> = free
            .iter()
            .copied()
            .filter(|p| {
                events.facts.columns[*p].missing == 0
                    && (is_key_name(events.column(*p)) || events.has_word(*p, &GROUP_WORDS))
            })
            .collect();
        let mut by_person: Vec<Agreement> = free.iter().map(|_| Agreement::default()).collect();
        let mut by_thing = by_person.clone();
        let mut by_group: Vec<Agreement> = groups.iter().map(|_| Agreement::default()).collect();
        for batch in Rows::read(&events.source) {
            let batch = batch?;
            let hashes = |p: usize| -> Result<Vec<Option<u64>>> {
                let text = cast(batch.column(p), &DataType::Utf8)?;
                Ok(text.as_string::<i32>().iter().map(|v| v.map(|v| hash_of(v.as_bytes()))).collect())
            };
            let (persons, things) = (hashes(person)?, hashes(thing)?);
            for (i, position) in free.iter().enumerate() {
                let values = hashes(*position)?;
                by_person[i].add(&persons, &values);
                by_thing[i].add(&things, &values);
            }
            for (i, position) in groups.iter().enumerate() {
                by_group[i].add(&hashes(*position)?, &persons);
            }
        }
        let varies = |p: usize| events.facts.columns[p].distinct.count() > 1;
        let attributes = |own: &[Agreement], other: &[Agreement]| -> Vec<usize> {
            let belongs = |i: &usize| {
                own[*i].share() >= ATTRIBUTE_SHARE && own[*i].share() >= other[*i].share() && varies(free[*i])
            };
            (0..free.len()).filter(belongs).map(|i| free[i]).collect()
        };
        let of_person = attributes(&by_person, &by_thing);
        let of_thing: Vec<usize> =
            attributes(&by_thing, &by_person).into_iter().filter(|p| !of_person.contains(p)).collect();
        let persons = events.facts.columns[person].distinct.count();
        let is_group = |i: &usize| {
            let several = events.facts.columns[groups[*i]].distinct.count() > persons;
            by_group[*i].repeats > 0 && by_group[*i].share() >= GROUP_SHARE && several
        };
        let group = (0..groups.len()).find(is_group).map(|i| groups[i]);
        Ok(Layout { of_person, of_thing, group })
    }
}

/// How often a value equals the first one seen under the same owner.
#[derive(Debug, Clone, Default)]
struct Agreement {
    first: HashMap<u64, u64>,
    repeats: u64,
    equal: u64,
}

impl Agreement {
    fn add(&mut self, owners: &[Option<u64>], values: &[Option<u64>]) {
        for (owner, value) in owners.iter().zip(values).filter_map(|(o, v)| Some(((*o)?, (*v)?))) {
            match self.first.get(&owner) {
                Some(first) => {
                    self.repeats += 1;
                    self.equal += u64::from(*first == value);
                }
                None => drop(self.first.insert(owner, value)),
            }
        }
    }

    fn share(&self) -> f64 {
        if self.repeats == 0 { 0.0 } else { self.equal as f64 / self.repeats as f64 }
    }
}
