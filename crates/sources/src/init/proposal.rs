//! The proposal for a shop: its events, people and things as sections of a project file.

use super::input::{Input, person_of, thing_of, time_of};
use super::layout::Layout;
use super::plain_text;
use crate::load::quoted;
use crate::toml_text::{toml_key, toml_sql, toml_text};
use arrow::datatypes::DataType;
use std::collections::HashSet;
use std::fmt::Write;
use twinmart_tables::Result;

/// More copies than this are taken for repeated events, not for mistakes.
const COPIES_SHARE: f64 = 0.05;
/// Numbers that an event should not have at or below zero.
const POSITIVE_WORDS: [&str; 4] = ["quantity", "qty", "price", "amount"];

/// A shop found in the inputs.
pub(super) struct Proposal<'a> {
    inputs: &'a [Input],
    events: &'a Input,
    time: Option<usize>,
    layout: Layout,
    person: Party<'a>,
    thing: Party<'a>,
    /// The name of the events' source, and of the events table.
    lines: &'static str,
    table: String,
}

/// The people or the things: with a file of their own, or only a column of the events.
struct Party<'a> {
    role: &'static str,
    comment: &'static str,
    /// The column of the events.
    position: usize,
    parent: Option<&'a Input>,
    /// False where some events refer to no row of the parent.
    complete: bool,
    /// The name of the table and its key.
    table: String,
    key: String,
}

impl<'a> Party<'a> {
    fn new(
        role: &'static str,
        comment: &'static str,
        position: usize,
        events: &Input,
        inputs: &'a [Input],
    ) -> Party<'a> {
        let found = events.reference(position, inputs);
        let parent = found.map(|(parent, _)| &inputs[parent]);
        let key = parent.and_then(|p| Some(p.column(p.key?))).unwrap_or(events.column(position)).to_string();
        let table = parent.map_or_else(|| free_name(role, inputs), |p| p.name.clone());
        Party { role, comment, position, parent, complete: found.is_none_or(|(_, share)| share >= 1.0), table, key }
    }
}

impl<'a> Proposal<'a> {
    /// The input with most rows, those with a time first, that names a person and a thing in different columns.
    pub(super) fn find(inputs: &'a [Input]) -> Result<Option<Proposal<'a>>> {
        let logs = inputs.iter().filter_map(|i| Some((i, person_of(i, inputs)?, thing_of(i, inputs)?, time_of(i))));
        let Some((events, person, thing, time)) = logs.max_by_key(|(i, _, _, t)| (t.is_some(), i.source.rows())) else {
            return Ok(None);
        };
        Ok(Some(Proposal {
            inputs,
            events,
            time,
            layout: Layout::of(events, person, thing, time)?,
            person: Party::new("users", "one row per person", person, events, inputs),
            thing: Party::new("items", "the catalogue", thing, events, inputs),
            lines: if inputs.iter().any(|i| i.name == "lines") { "log" } else { "lines" },
            table: if inputs.len() > 1 { events.name.clone() } else { free_name("events", inputs) },
        }))
    }

    /// All sections behind `[project]`.
    pub(super) fn text(&self) -> String {
        let mut text = format!("\n[sources]\n{} = {}\n", self.lines, toml_text(&self.events.path));
        text += &self.party_text(&self.person, &self.layout.of_person);
        text += &self.party_text(&self.thing, &self.layout.of_thing);
        text += &self.events_text();
        let used = [Some(self.events), self.person.parent, self.thing.parent];
        for input in self.inputs.iter().filter(|i| !used.iter().flatten().any(|u| u.name == i.name)) {
            text += &plain_text(input, self.inputs);
        }
        text += &self.cleaning_text();
        text + "\n[split]\nholdout_users = 0.2\n"
    }

    fn party_text(&self, party: &Party<'_>, attributes: &[usize]) -> String {
        let mut text = format!("\n# {}\n[tables.{}]\n", party.comment, toml_key(&party.table));
        let _ = writeln!(text, "role = \"{}\"\nkey = {}", party.role, toml_text(&party.key));
        if let Some(parent) = party.parent {
            let _ = writeln!(text, "source = {}", toml_text(&parent.path));
            return text;
        }
        let order = self.time.map(|t| format!(" ORDER BY {}", quoted(self.events.column(t)))).unwrap_or_default();
        let key = quoted(&party.key);
        let first = attributes.iter().map(|p| {
            let name = quoted(self.events.column(*p));
            format!(",\n       first_value({name}{order}) FILTER (WHERE {name} IS NOT NULL) AS {name}")
        });
        let first: String = first.collect();
        let sql = format!("SELECT {key}{first}\nFROM {}\nWHERE {key} IS NOT NULL\nGROUP BY {key}", self.lines);
        let _ = writeln!(text, "sql = {}", toml_sql(&sql));
        text
    }

    fn events_text(&self) -> String {
        let table = toml_key(&self.table);
        let mut text = format!("\n# what people did with things\n[tables.{table}]\nrole = \"events\"\n");
        if let Some(time) = self.time {
            let _ = writeln!(text, "time = {}", toml_text(self.events.column(time)));
        }
        let _ = writeln!(text, "sql = {}\n[tables.{table}.references]", toml_sql(&self.events_sql()));
        for party in [&self.person, &self.thing] {
            let target = toml_text(&format!("{}.{}", party.table, party.key));
            let _ = writeln!(text, "{} = {target}", toml_key(self.events.column(party.position)));
        }
        if let Some(group) = self.layout.group {
            let column = toml_key(self.events.column(group));
            let _ = writeln!(text, "[tables.{table}.columns]\n{column} = {{ kind = \"group\" }}");
        }
        text
    }

    fn events_sql(&self) -> String {
        // Columns that went to a table by SQL; a table with a file of its own has them already.
        let moved: HashSet<usize> = [(&self.person, &self.layout.of_person), (&self.thing, &self.layout.of_thing)]
            .into_iter()
            .filter(|(party, _)| party.parent.is_none())
            .flat_map(|(_, columns)| columns.iter().copied())
            .collect();
        let kept = self.events.positions().filter(|p| !moved.contains(p));
        let columns: Vec<String> = kept.map(|p| self.select_column(p)).collect();
        let filters: Vec<String> =
            [&self.person, &self.thing].into_iter().filter_map(|p| self.orphan_filter(p)).collect();
        let filter = if filters.is_empty() { String::new() } else { format!("\nWHERE {}", filters.join("\n  AND ")) };
        format!("SELECT {}\nFROM {}{filter}", columns.join(", "), self.lines)
    }

    /// A column of the events; a time that is text becomes a timestamp.
    fn select_column(&self, position: usize) -> String {
        let column = quoted(self.events.column(position));
        let is_text = self.events.facts.columns[position].data_type == DataType::Utf8;
        if self.time == Some(position) && is_text { format!("to_timestamp({column}) AS {column}") } else { column }
    }

    /// Keeps events whose person or thing is known, where some are not.
    fn orphan_filter(&self, party: &Party<'_>) -> Option<String> {
        let parent = party.parent.filter(|_| !party.complete)?;
        let (column, key) = (quoted(self.events.column(party.position)), quoted(&party.key));
        Some(format!("{column} IN (SELECT {key} FROM {})", quoted(&parent.name)))
    }

    fn cleaning_text(&self) -> String {
        let facts = &self.events.facts;
        let mut rules = String::new();
        let copies = facts.rows.repeats() as f64 / facts.row_count().max(1) as f64;
        if copies > 0.0 && copies < COPIES_SHARE {
            rules += "drop_duplicates = true\n";
        }
        let too_low = |p: &usize| {
            let numbers = facts.columns[*p].numbers.as_ref();
            numbers.is_some_and(|n| n.negative > 0 || n.zero > 0) && self.events.has_word(*p, &POSITIVE_WORDS)
        };
        let condition = |p: usize| toml_text(&format!("{} <= 0", quoted(self.events.column(p))));
        let invalid: Vec<String> = self.events.positions().filter(too_low).map(condition).collect();
        if !invalid.is_empty() {
            let _ = writeln!(rules, "drop_invalid = [{}]", invalid.join(", "));
        }
        let needed = [Some(self.person.position), Some(self.thing.position), self.time];
        let gaps = needed.into_iter().flatten().filter(|p| facts.columns[*p].missing > 0);
        let gaps: Vec<String> = gaps.map(|p| format!("{} = \"drop\"", toml_key(self.events.column(p)))).collect();
        if !gaps.is_empty() {
            let _ = writeln!(rules, "missing = {{ {} }}", gaps.join(", "));
        }
        if rules.is_empty() { rules } else { format!("\n[clean.{}]\n{rules}", self.lines) }
    }
}

/// The name, or a longer one where a file has it.
fn free_name(name: &str, inputs: &[Input]) -> String {
    if inputs.iter().any(|i| i.name == name) { format!("{name}_all") } else { name.to_string() }
}
