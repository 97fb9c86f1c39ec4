//! A first project file from data alone: roles, keys, references, groups and cleaning, proposed for a person to correct.
//!
//! How it decides:
//! 1. A key is a column without gaps whose values are all different and whose name says so (`user_id`, `StockCode`).
//! 2. A column refers to another file's key if the names agree and (nearly) all its values are found there.
//! 3. The events are the file with most rows that names, by reference or by words, both a person and a thing.
//! 4. Persons or things without a file of their own become tables by SQL, with those columns of the events that (nearly)
//!    never change for one person or thing.
//! 5. A group is a key-like column of the events whose values belong to one person each and repeat.
//!
//! Without events every file becomes a plain table.

use crate::detect::{is_key_name, name_words};
use crate::load::{quoted, table_name};
use crate::profile::TableFacts;
use crate::rows::Rows;
use crate::sketch::hash_of;
use crate::source::Source;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use twinmart_tables::{Error, Progress, Project, Result};

/// Share of values that must be found in a key column for a reference.
const REFERENCE_SHARE: f64 = 0.95;
/// Share of repeated rows in which an attribute of a person or thing must agree with its first value.
const ATTRIBUTE_SHARE: f64 = 0.95;
/// Share of rows of a group that must belong to the group's first person.
const GROUP_SHARE: f64 = 0.999;
/// More copies than this are taken for repeated events, not for mistakes.
const COPIES_SHARE: f64 = 0.05;

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
const GROUP_WORDS: [&str; 9] =
    ["invoice", "order", "basket", "session", "transaction", "cart", "receipt", "visit", "checkout"];
const TIME_WORDS: [&str; 6] = ["time", "timestamp", "date", "datetime", "ts", "at"];
/// Numbers that an event should not have at or below zero.
const POSITIVE_WORDS: [&str; 4] = ["quantity", "qty", "price", "amount"];

/// Proposes a project file for the given files, folders or globs. Paths in it are relative to the folder of `out`, the
/// file that it will be written to.
pub fn init(sources: &[PathBuf], out: &Path, progress: &Progress) -> Result<String> {
    if sources.is_empty() {
        return Err(Error::usage("no source is named").remedy("give files, folders or globs").into());
    }
    let inputs = sources.iter().map(|path| Input::read(path, out, progress)).collect::<Result<Vec<_>>>()?;
    for (i, input) in inputs.iter().enumerate() {
        if let Some(other) = inputs[..i].iter().find(|o| o.name == input.name) {
            return Err(Error::usage(format!("the files {} and {} have the same name", other.path, input.path))
                .remedy("rename one of them")
                .into());
        }
    }
    let name = match (sources, out.canonicalize().ok().or_else(|| std::path::absolute(out).ok())) {
        ([one], _) => table_name(one).replace('_', "-"),
        (_, Some(out)) => out.parent().map(table_name).unwrap_or_else(|| "shop".into()),
        _ => "shop".into(),
    };
    let mut text = format!("[project]\nname = {}\nseed = 0\n", toml_text(&name));
    match Log::find(&inputs) {
        Some(log) => text += &log.shop_text(&inputs)?,
        None => inputs.iter().for_each(|input| text += &plain_text(input, &inputs)),
    }
    Project::parse(&text, out)?;
    Ok(text)
}

/// A file and what its values say.
struct Input {
    name: String,
    /// As written in the project file.
    path: String,
    source: Source,
    facts: TableFacts,
    /// Position of the key column.
    key: Option<usize>,
}

impl Input {
    fn read(path: &Path, out: &Path, progress: &Progress) -> Result<Input> {
        let name = table_name(path);
        let source = Source::open(&name, path, progress)?;
        let facts = TableFacts::gather(&source, &name, Some(source.rows()), progress)?;
        let mut input = Input { path: relative(path, out), source, facts, key: None, name };
        input.key = input.find_key();
        Ok(input)
    }

    fn column(&self, position: usize) -> &str {
        &self.facts.columns[position].name
    }

    fn positions(&self) -> std::ops::Range<usize> {
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

    fn has_word(&self, position: usize, words: &[&str]) -> bool {
        name_words(self.column(position)).iter().any(|w| {
            words.iter().any(|x| {
                w == x || w.strip_suffix("id").is_some_and(|s| s == *x) || w.strip_suffix('s').is_some_and(|s| s == *x)
            })
        })
    }

    /// Position of the input whose key this column refers to, and the share of values found there.
    fn reference(&self, position: usize, inputs: &[Input]) -> Option<(usize, f64)> {
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

/// The events of a shop and where their columns belong.
struct Log {
    events: usize,
    person: usize,
    thing: usize,
    time: Option<usize>,
}

impl Log {
    /// The input with most rows that names a person and a thing in different columns.
    fn find(inputs: &[Input]) -> Option<Log> {
        let logs = inputs.iter().enumerate().filter_map(|(events, input)| {
            let (person, thing) = (person_of(input, inputs)?, thing_of(input, inputs)?);
            Some(Log { events, person, thing, time: time_of(input) })
        });
        logs.max_by_key(|log| (log.time.is_some(), inputs[log.events].source.rows()))
    }

    fn shop_text(&self, inputs: &[Input]) -> Result<String> {
        let events = &inputs[self.events];
        let layout = Layout::of(events, self)?;
        let names = Names::new(inputs, events);
        let person = Party::new(events, self.person, inputs);
        let thing = Party::new(events, self.thing, inputs);
        let mut text = format!("\n[sources]\n{} = {}\n", names.lines, toml_text(&events.path));
        text += &person.table_text(
            &names.users,
            "users",
            "one row per person",
            events,
            &layout.of_person,
            self,
            &names,
            inputs,
        );
        text +=
            &thing.table_text(&names.items, "items", "the catalogue", events, &layout.of_thing, self, &names, inputs);
        text += &self.events_text(events, &layout, &names, &person, &thing, inputs);
        for (i, input) in inputs.iter().enumerate() {
            let used = [Some(self.events), person.parent, thing.parent].contains(&Some(i));
            if !used {
                text += &plain_text(input, inputs);
            }
        }
        text += &self.cleaning_text(events, &names);
        text += "\n[split]\nholdout_users = 0.2\n";
        Ok(text)
    }

    fn events_text(
        &self,
        events: &Input,
        layout: &Layout,
        names: &Names,
        person: &Party,
        thing: &Party,
        inputs: &[Input],
    ) -> String {
        // Columns that went to a table by SQL; with a file of its own, the table has them already.
        let moved: HashSet<usize> = [(person, &layout.of_person), (thing, &layout.of_thing)]
            .into_iter()
            .filter(|(party, _)| party.parent.is_none())
            .flat_map(|(_, columns)| columns.iter().copied())
            .collect();
        let columns: Vec<String> =
            events.positions().filter(|p| !moved.contains(p)).map(|p| self.select_column(events, p)).collect();
        let filters: Vec<String> = [(self.person, person), (self.thing, thing)]
            .into_iter()
            .filter_map(|(position, party)| party.orphan_filter(events, position, inputs))
            .collect();
        let filter = if filters.is_empty() { String::new() } else { format!("\nWHERE {}", filters.join("\n  AND ")) };
        let sql = format!("SELECT {}\nFROM {}{filter}", columns.join(", "), names.lines);
        let mut text = format!("\n# what people did with things\n[tables.{}]\nrole = \"events\"\n", names.events);
        if let Some(time) = self.time {
            let _ = writeln!(text, "time = {}", toml_text(events.column(time)));
        }
        let _ = writeln!(text, "sql = {}", toml_sql(&sql));
        let _ = writeln!(text, "[tables.{}.references]", names.events);
        let user_key = person.key_name(events, self.person, inputs);
        let item_key = thing.key_name(events, self.thing, inputs);
        let _ = writeln!(
            text,
            "{} = {}",
            toml_key(events.column(self.person)),
            toml_text(&format!("{}.{user_key}", names.users))
        );
        let _ = writeln!(
            text,
            "{} = {}",
            toml_key(events.column(self.thing)),
            toml_text(&format!("{}.{item_key}", names.items))
        );
        if let Some(group) = layout.group {
            let _ = writeln!(text, "[tables.{}.columns]", names.events);
            let _ = writeln!(text, "{} = {{ kind = \"group\" }}", toml_key(events.column(group)));
        }
        text
    }

    /// A column of the events; a time that is text becomes a timestamp.
    fn select_column(&self, events: &Input, position: usize) -> String {
        let column = quoted(events.column(position));
        let is_text = events.facts.columns[position].data_type == DataType::Utf8;
        if self.time == Some(position) && is_text { format!("to_timestamp({column}) AS {column}") } else { column }
    }

    fn cleaning_text(&self, events: &Input, names: &Names) -> String {
        let mut rules = String::new();
        let copies = events.facts.rows.repeats() as f64 / events.facts.row_count().max(1) as f64;
        if copies > 0.0 && copies < COPIES_SHARE {
            rules += "drop_duplicates = true\n";
        }
        let invalid: Vec<String> = events
            .positions()
            .filter(|p| {
                let numbers = events.facts.columns[*p].numbers.as_ref();
                numbers.is_some_and(|n| n.negative > 0 || n.zero > 0) && events.has_word(*p, &POSITIVE_WORDS)
            })
            .map(|p| toml_text(&format!("{} <= 0", quoted(events.column(p)))))
            .collect();
        if !invalid.is_empty() {
            let _ = writeln!(rules, "drop_invalid = [{}]", invalid.join(", "));
        }
        let gaps: Vec<String> = [Some(self.person), Some(self.thing), self.time]
            .into_iter()
            .flatten()
            .filter(|p| events.facts.columns[*p].missing > 0)
            .map(|p| format!("{} = \"drop\"", toml_key(events.column(p))))
            .collect();
        if !gaps.is_empty() {
            let _ = writeln!(rules, "missing = {{ {} }}", gaps.join(", "));
        }
        if rules.is_empty() { rules } else { format!("\n[clean.{}]\n{rules}", names.lines) }
    }
}

/// The column that names a person: a reference to such a file, or a key-like name with such a word.
fn person_of(input: &Input, inputs: &[Input]) -> Option<usize> {
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
fn thing_of(input: &Input, inputs: &[Input]) -> Option<usize> {
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
fn time_of(input: &Input) -> Option<usize> {
    let facts = |p: &usize| &input.facts.columns[*p];
    let stored = input.positions().filter(|p| facts(p).times.is_some() && facts(p).present() > 0);
    let named = |p: &usize| {
        let last = name_words(input.column(*p)).pop().unwrap_or_default();
        let text = facts(p).text.as_ref().is_some_and(|t| t.times == facts(p).present());
        TIME_WORDS.contains(&last.as_str()) && (facts(p).data_type.is_integer() || text)
    };
    stored.max_by_key(|p| (facts(p).distinct.count(), std::cmp::Reverse(*p))).or_else(|| input.positions().find(named))
}

/// A person or a thing: with a file of its own, or only a column of the events.
struct Party {
    /// Position in the inputs.
    parent: Option<usize>,
    /// False where some events refer to no row of the parent.
    complete: bool,
    position: usize,
}

impl Party {
    fn new(events: &Input, position: usize, inputs: &[Input]) -> Party {
        let found = events.reference(position, inputs);
        Party {
            parent: found.map(|(parent, _)| parent),
            complete: found.is_none_or(|(_, share)| share >= 1.0),
            position,
        }
    }

    fn key_name(&self, events: &Input, position: usize, inputs: &[Input]) -> String {
        let parent = self.parent.and_then(|p| inputs.get(p));
        parent
            .and_then(|p| p.key.map(|k| p.column(k).to_string()))
            .unwrap_or_else(|| events.column(position).to_string())
    }

    fn orphan_filter(&self, events: &Input, position: usize, inputs: &[Input]) -> Option<String> {
        let parent = self.parent.filter(|_| !self.complete).and_then(|p| inputs.get(p))?;
        let key = parent.key?;
        let (column, key) = (quoted(events.column(position)), quoted(parent.column(key)));
        Some(format!("{column} IN (SELECT {key} FROM {})", quoted(&parent.name)))
    }

    #[allow(clippy::too_many_arguments)]
    fn table_text(
        &self,
        table: &str,
        role: &str,
        comment: &str,
        events: &Input,
        attributes: &[usize],
        log: &Log,
        names: &Names,
        inputs: &[Input],
    ) -> String {
        let key = self.key_name(events, self.position, inputs);
        let mut text = format!("\n# {comment}\n[tables.{table}]\nrole = \"{role}\"\nkey = {}\n", toml_text(&key));
        if let Some(parent) = self.parent.and_then(|p| inputs.get(p)) {
            let _ = writeln!(text, "source = {}", toml_text(&parent.path));
            return text;
        }
        let order = log.time.map(|t| format!(" ORDER BY {}", quoted(events.column(t)))).unwrap_or_default();
        let column = quoted(&key);
        let first = attributes.iter().map(|p| {
            let name = quoted(events.column(*p));
            format!(",\n       first_value({name}{order}) FILTER (WHERE {name} IS NOT NULL) AS {name}")
        });
        let sql = format!(
            "SELECT {column}{}\nFROM {}\nWHERE {column} IS NOT NULL\nGROUP BY {column}",
            first.collect::<String>(),
            names.lines
        );
        let _ = writeln!(text, "sql = {}", toml_sql(&sql));
        text
    }
}

/// Names of tables and of the events' source that do not meet each other.
struct Names {
    lines: String,
    users: String,
    items: String,
    events: String,
}

impl Names {
    fn new(inputs: &[Input], events: &Input) -> Names {
        let taken = |name: &str| inputs.iter().any(|i| i.name == name);
        let own = |position: Option<&Input>, fallback: &str| position.map_or(fallback.to_string(), |i| i.name.clone());
        let person = person_of(events, inputs).and_then(|p| events.reference(p, inputs)).map(|(i, _)| &inputs[i]);
        let thing = thing_of(events, inputs).and_then(|p| events.reference(p, inputs)).map(|(i, _)| &inputs[i]);
        let free = |word: &str| if taken(word) { format!("{word}_all") } else { word.to_string() };
        let several = inputs.len() > 1;
        Names {
            lines: if taken("lines") { "log".into() } else { "lines".into() },
            users: toml_key(&person.map_or_else(|| free("users"), |i| own(Some(i), "users"))),
            items: toml_key(&thing.map_or_else(|| free("items"), |i| own(Some(i), "items"))),
            events: toml_key(&if several { events.name.clone() } else { free("events") }),
        }
    }
}

/// Where the columns of the events belong, learnt from which values change for one person or thing.
struct Layout {
    of_person: Vec<usize>,
    of_thing: Vec<usize>,
    group: Option<usize>,
}

impl Layout {
    fn of(events: &Input, log: &Log) -> Result<Layout> {
        let fixed = |p: usize| p == log.person || p == log.thing || Some(p) == log.time || events.key == Some(p);
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
                let text = arrow::array::AsArray::as_string::<i32>(&text);
                Ok(text.iter().map(|v| v.map(|v| hash_of(v.as_bytes()))).collect())
            };
            let (person, thing) = (hashes(log.person)?, hashes(log.thing)?);
            for (i, position) in free.iter().enumerate() {
                let values = hashes(*position)?;
                by_person[i].add(&person, &values);
                by_thing[i].add(&thing, &values);
            }
            for (i, position) in groups.iter().enumerate() {
                by_group[i].add(&hashes(*position)?, &person);
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
        let persons = events.facts.columns[log.person].distinct.count();
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

/// A table without a role; references only where every value is found.
fn plain_text(input: &Input, inputs: &[Input]) -> String {
    let mut text = format!("\n[tables.{}]\nsource = {}\n", toml_key(&input.name), toml_text(&input.path));
    if let Some(key) = input.key {
        let _ = writeln!(text, "key = {}", toml_text(input.column(key)));
    }
    let mut references = String::new();
    for position in input.positions().filter(|p| input.key != Some(*p)) {
        let Some((parent, share)) = input.reference(position, inputs) else { continue };
        let parent = &inputs[parent];
        if let Some(key) = parent.key.filter(|_| share >= 1.0 && !parent.name.contains('.')) {
            let target = toml_text(&format!("{}.{}", parent.name, parent.column(key)));
            let _ = writeln!(references, "{} = {target}", toml_key(input.column(position)));
        }
    }
    if !references.is_empty() {
        let _ = write!(text, "[tables.{}.references]\n{references}", toml_key(&input.name));
    }
    text
}

/// The path from the folder of `out`; absolute where they have no common folder.
fn relative(path: &Path, out: &Path) -> String {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_path_buf());
    let folder = whole(out).parent().map(Path::to_path_buf).unwrap_or_default();
    let path = whole(path);
    path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned()
}

/// A TOML string; literal where it can be, so that SQL keeps its quotes.
fn toml_text(text: &str) -> String {
    let literal = !text.contains('\'') && !text.chars().any(char::is_control);
    if literal && text.contains('"') { format!("'{text}'") } else { format!("{:?}", text).replace("\\'", "'") }
}

/// SQL over several lines; on one where a name would end the quotes.
fn toml_sql(sql: &str) -> String {
    if sql.contains("\"\"") || sql.contains('\\') || sql.chars().any(|c| c.is_control() && c != '\n') {
        return toml_text(&sql.replace('\n', " "));
    }
    format!("\"\"\"\n{sql}\n\"\"\"")
}

/// A TOML key, quoted where it is not a plain word.
fn toml_key(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain { name.to_string() } else { toml_text(name) }
}
