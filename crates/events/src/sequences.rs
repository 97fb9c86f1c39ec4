//! What users did, in flat columns.

/// Event sequences of some users. Users, items and actions are numbers from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequences {
    /// `[users + 1]` where each user's events begin.
    pub offsets: Vec<usize>,
    /// `[events]`
    pub item: Vec<u32>,
    /// `[events]` microseconds since 1970, or any order (see `has_clock`).
    pub time: Vec<i64>,
    /// `[events]` number of the session within its user, from 0, each at most one more than the one before.
    pub session: Vec<u32>,
    /// `[events]` what was done; 0 where the data do not say.
    pub action: Vec<u32>,
    /// True where times are moments and not only an order.
    pub has_clock: bool,
}

impl Sequences {
    /// Number of users.
    pub fn users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.item.len()
    }

    /// A user's events.
    pub fn of_user(&self, user: usize) -> std::ops::Range<usize> {
        self.offsets[user]..self.offsets[user + 1]
    }

    /// How many sessions a user has.
    pub fn sessions(&self, user: usize) -> usize {
        self.of_user(user).last().map_or(0, |e| self.session[e] as usize + 1)
    }

    /// True for the first event of a session.
    pub fn begins_session(&self, user: usize, event: usize) -> bool {
        event == self.offsets[user] || self.session[event] != self.session[event - 1]
    }
}
