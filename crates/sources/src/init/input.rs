//! The files that a project is proposed for: their keys, their references, and which columns name people, things and times.

use crate::detect::{is_key_name, name_words};
use crate::load::table_name;
use crate::profile::TableFacts;
use crate::source::Source;
use arrow::datatypes::DataType;
use std::path::Path;
use twinmart_tables::{Progress, Result};

/// Share of values that must be found in a key column for a reference.
const REFERENCE_SHARE: f64 = 0.95;

const PERSON_WORDS: [&str; 15] = [
    "user", "customer", "client", "member", "visitor", "shopper", "person", "consumer", "buyer", "account", "patient",
    "reader", "listener", "player", "session",
];
const THING_WORDS: [&str; 20] = [
    "item",
    "product",
    "stock",
    "article",
    "sku",
    "track",
    "movie",
    "book",
    "area",
    "place",
    "song",
    "restaurant",
    "page",
    "asin",
    "film",
    "game",
    "offer",
    "content",
    "video",
    "recipe",
];
pub(super) const GROUP_WORDS: [&str; 9] =
    ["invoice", "order", "basket", "session", "transaction", "cart", "receipt", "visit", "checkout"];
const TIME_WORDS: [&str; 6] = ["time", "timestamp", "date", "datetime", "ts", "at"];

/// A file and what its values say.
pub(super) struct Input {
    pub(super) name: String,
    /// As written in the project file.
    pub(super) path: String,
    pub(super) source: Source,
    pub(super) facts: TableFacts,
    /// Position of the key column.
    pub(super) key: Option<usize>,
}

impl Input {
    pub(super) fn read(path: &Path, out: &Path, progress: &Progress) -> Result<Input> {
        let name = table_name(path);
        let source = Source::open(&name, path, progress)?;
        let facts = TableFacts::gather(&source, &name, Some(source.rows()), progress)?;
        let mut input = Input { path: relative(path, out), source, facts, key: None, name };
        input.key = input.find_key();
        Ok(input)
    }

    pub(super) fn column(&self, position: usize) -> &str {
        &self.facts.columns[position].name
    }

    pub(super) fn positions(&self) -> std::ops::Range<usize> {
        0..self.facts.columns.len()
    }

    /// The first column that could name rows; of several, the one that shares a word with the file's name.
    fn find_key(&self) -> Option<usize> {
        let file_words = name_words(&self.name);
        let unique: Vec<usize> = self
            .positions()
            .filter(|p| {
                let facts = &self.facts.columns[*p];
                facts.missing == 0 && facts.is_unique() && facts.rows > 1 && is_key_name(&facts.name)
            })
            .collect();
        let shares_word = |p: &&usize| {
            name_words(self.column(**p)).iter().any(|w| file_words.iter().any(|f| f.starts_with(w.as_str())))
        };
        unique.iter().find(shares_word).or(unique.first()).copied()
    }

    pub(super) fn has_word(&self, position: usize, words: &[&str]) -> bool {
        name_words(self.column(position)).iter().any(|w| {
            words.iter().any(|x| {
                w == x || w.strip_suffix("id").is_some_and(|s| s == *x) || w.strip_suffix('s').is_some_and(|s| s == *x)
            })
        })
    }

    /// Position of the input whose key this column refers to, and the share of values found there.
    pub(super) fn reference(&self, position: usize, inputs: &[Input]) -> Option<(usize, f64)> {
        let column = name_words(self.column(position)).concat();
        let mut found: Option<(usize, f64)> = None;
        for (other, parent) in inputs.iter().enumerate() {
            let Some(key) = parent.key.filter(|_| parent.name != self.name) else { continue };
            let parent_key = name_words(parent.column(key)).concat();
            let parent_name = name_words(&parent.name).concat();
            let singular = parent_name.strip_suffix('s').unwrap_or(&parent_name);
            let names_agree = column == parent_key
                || column == format!("{singular}{parent_key}")
                || column == format!("{singular}id");
            if !names_agree {
                continue;
            }
            let share = self.facts.columns[position].distinct.share_in(&parent.facts.columns[key].distinct);
            if share >= REFERENCE_SHARE && found.is_none_or(|(_, best)| share > best) {
                found = Some((other, share));
            }
        }
        found
    }
}

/// The column that names a person: a reference to such a file, or a key-like name with such a word.
pub(super) fn person_of(input: &Input, inputs: &[Input]) -> Option<usize> {
    let candidates: Vec<usize> = input
        .positions()
        .filter(|p| input.key != Some(*p) && input.has_word(*p, &PERSON_WORDS) && could_refer(input, *p))
        .collect();
    // A session names a person only where nothing better does.
    let rank = |p: &usize| {
        (input.reference(*p, inputs).is_none(), input.has_word(*p, &["session"]), !is_key_name(input.column(*p)))
    };
    candidates.into_iter().min_by_key(rank)
}

/// The column that names a thing: the same with other words, or any reference to another file.
pub(super) fn thing_of(input: &Input, inputs: &[Input]) -> Option<usize> {
    let person = person_of(input, inputs);
    let candidates =
        input.positions().filter(|p| Some(*p) != person && input.key != Some(*p) && could_refer(input, *p));
    let rated = candidates.filter_map(|p| {
        let by_word = input.has_word(p, &THING_WORDS) && is_key_name(input.column(p));
        let by_reference = input.reference(p, inputs).is_some()
            && !input.has_word(p, &GROUP_WORDS)
            && !input.has_word(p, &PERSON_WORDS);
        (by_word || by_reference).then_some(((!by_word, !by_reference), p))
    });
    rated.min().map(|(_, p)| p)
}

/// Names are whole numbers or text, repeat, and are key-like or refer.
fn could_refer(input: &Input, position: usize) -> bool {
    let facts = &input.facts.columns[position];
    let whole = facts.numbers.as_ref().is_some_and(|n| n.fractional == 0 && n.not_finite == 0);
    let name = is_key_name(&facts.name) || PERSON_WORDS.contains(&facts.name.to_lowercase().as_str());
    (whole || facts.data_type == DataType::Utf8) && name && facts.distinct.count() > 1
}

/// The timestamp or date with most different values; else a whole number or ISO text whose name says time.
pub(super) fn time_of(input: &Input) -> Option<usize> {
    let facts = |p: &usize| &input.facts.columns[*p];
    let stored = input.positions().filter(|p| facts(p).times.is_some() && facts(p).present() > 0);
    let named = |p: &usize| {
        let last = name_words(input.column(*p)).pop().unwrap_or_default();
        let text = facts(p).text.as_ref().is_some_and(|t| t.times == facts(p).present());
        TIME_WORDS.contains(&last.as_str()) && (facts(p).data_type.is_integer() || text)
    };
    stored.max_by_key(|p| (facts(p).distinct.count(), std::cmp::Reverse(*p))).or_else(|| input.positions().find(named))
}

/// The path from the folder of `out`; absolute where they have no common folder.
fn relative(path: &Path, out: &Path) -> String {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_path_buf());
    let folder = whole(out).parent().map(Path::to_path_buf).unwrap_or_default();
    let path = whole(path);
    path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned()
}
