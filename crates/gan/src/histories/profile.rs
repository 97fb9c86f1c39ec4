//! What the generator is told of a user: how much, when first, which taste, which attributes.

use serde::{Deserialize, Serialize};
use twinmart_events::{Plan, Profiles, Summary};

/// An attribute with more values than this is not told.
const MOST_VALUES: usize = 32;

/// Which numbers there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ProfileForm {
    /// Numbers of a taste.
    pub(super) tastes: usize,
    /// Seasons of the window.
    seasons: usize,
    /// How many values each attribute has.
    pub(super) fields: Vec<usize>,
}

impl ProfileForm {
    pub(super) fn of(summary: &Summary, profiles: &Profiles, seasons: usize) -> ProfileForm {
        ProfileForm { tastes: summary.tastes.dimensions(), seasons: seasons.max(1), fields: profiles.sizes.clone() }
    }

    fn told(&self) -> impl Iterator<Item = (usize, usize)> {
        self.fields.iter().copied().enumerate().filter(|(_, size)| *size <= MOST_VALUES)
    }

    /// How many numbers there are.
    pub(super) fn width(&self) -> usize {
        self.tastes + 4 + self.told().map(|(_, size)| size).sum::<usize>()
    }

    /// Appends the numbers of a plan with a taste.
    pub(super) fn write(&self, plan: &Plan, taste: &[f32], out: &mut Vec<f32>) {
        let (sessions, events) = plan.size.unwrap_or((1, 1));
        out.extend(taste);
        let logarithm = |x: usize| (x.max(1) as f32).ln();
        out.push(logarithm(events) / 3.0 - 1.0);
        out.push(logarithm(sessions) / 2.0 - 0.5);
        out.push((logarithm(events) - logarithm(sessions)) / 2.0 - 0.5);
        out.push(plan.season as f32 / self.seasons as f32 * 2.0 - 1.0);
        for (field, size) in self.told() {
            let value = plan.profile.get(field).copied().flatten();
            out.extend((0..size).map(|code| f32::from(u8::from(value == Some(code)))));
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        (1..=4_096).contains(&self.tastes) && (1..=1_000_000).contains(&self.seasons) && self.fields.len() <= 100_000
    }
}

/// The numbers of all users that are learned.
#[derive(Debug)]
pub(super) struct ProfileTable {
    width: usize,
    numbers: Vec<f32>,
}

impl ProfileTable {
    pub(super) fn of(form: &ProfileForm, summary: &Summary, profiles: &Profiles) -> ProfileTable {
        let mut numbers = Vec::new();
        for user in 0..summary.events.len() {
            let profile = profiles.fields.iter().map(|codes| Some(codes[user] as usize)).collect();
            let taste = &summary.taste[user * form.tastes..][..form.tastes];
            form.write(&Plan { profile, ..summary.plan(user) }, taste, &mut numbers);
        }
        ProfileTable { width: form.width(), numbers }
    }

    pub(super) fn write(&self, user: usize, out: &mut Vec<f32>) {
        out.extend(&self.numbers[user * self.width..][..self.width]);
    }

    pub(super) fn numbers(&self) -> &[f32] {
        &self.numbers
    }
}
