//! What can be wrong with data, as plain sentences that say how many rows are concerned and what to do.

use crate::detect::name_words;
use crate::facts::{ColumnFacts, TextFacts};
use crate::profile::TableFacts;
use arrow::array::Array;
use serde::Serialize;
use std::collections::HashSet;
use twinmart_privacy::PersonalDetector;
use twinmart_tables::{ColumnKind, ColumnOptions, Result, Shop, Table, TableDefinition};

/// From this share of numbers on, a text column that also holds other values is called mixed.
const MOSTLY: f64 = 0.8;
/// Words of names whose numbers cannot sensibly be negative.
const NEVER_NEGATIVE: [&str; 14] = [
    "price", "cost", "quantity", "qty", "units", "count", "age", "weight", "height", "length", "duration", "stock",
    "size", "distance",
];

/// What kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// Values are missing.
    Missing,
    /// All values are the same.
    Constant,
    /// Rows occur more than once.
    DuplicateRows,
    /// The key is missing or occurs more than once.
    DuplicateKey,
    /// References lead nowhere.
    OrphanReference,
    /// Values that cannot be: negative prices, dates in the future, places off the globe, broken limits.
    Impossible,
    /// Numbers, dates and words in one column, or one value written in several ways.
    MixedTypes,
    /// Values look like personal data.
    PersonalData,
    /// NaN or infinity.
    NotFinite,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataProblem {
    /// The column, where it is about one.
    pub column: Option<String>,
    /// What kind.
    pub problem: ProblemKind,
    /// How many rows are concerned, where that is known.
    pub rows: Option<u64>,
    /// The problem as a sentence, with what to do.
    pub message: String,
}

/// Problems of rows as wholes.
pub(crate) fn row_problems(facts: &TableFacts) -> Vec<DataProblem> {
    let repeats = facts.rows.repeats();
    if repeats == 0 {
        return Vec::new();
    }
    let about = if facts.rows.is_exact() { "" } else { "about " };
    let (rows, verb) = rows_are(repeats);
    let message = format!("{about}{rows} {verb} exact copies of an earlier row; drop_duplicates removes them.");
    vec![DataProblem { column: None, problem: ProblemKind::DuplicateRows, rows: Some(repeats), message }]
}

/// Problems of the key.
pub(crate) fn key_problems(facts: &TableFacts, definition: &TableDefinition) -> Vec<DataProblem> {
    let Some(key) = facts.columns.iter().find(|c| Some(&c.name) == definition.key.as_ref()) else { return Vec::new() };
    let mut problems = Vec::new();
    let mut add = |rows: u64, message: String| {
        let (column, problem) = (Some(key.name.clone()), ProblemKind::DuplicateKey);
        problems.push(DataProblem { column, problem, rows: Some(rows), message });
    };
    if key.missing > 0 {
        add(key.missing, format!("the key is missing in {}; drop them under [clean].", rows_are(key.missing).0));
    }
    let repeats = key.distinct.repeats();
    if repeats > 0 {
        let about = if key.distinct.is_exact() { "" } else { "about " };
        let (rows, verb) = rows_are(repeats);
        add(
            repeats,
            format!("{about}{rows} {verb} the key of an earlier row; use GROUP BY, or another key.")
                .replace(" are ", " have ")
                .replace(" is ", " has "),
        );
    }
    problems
}

/// References that lead nowhere.
pub(crate) fn reference_problems(shop: &Shop, table: &Table) -> Result<Vec<DataProblem>> {
    let mut problems = Vec::new();
    for (column, reference) in &table.definition.references {
        let Some(parent) = shop.table(&reference.table) else { continue };
        let keys = parent.text(&reference.key)?;
        let keys: HashSet<&str> = keys.iter().flatten().collect();
        let values = table.text(column)?;
        let orphans = values.iter().flatten().filter(|v| !keys.contains(v)).count() as u64;
        let mut add = |rows: u64, message: String| {
            let (column, problem) = (Some(column.clone()), ProblemKind::OrphanReference);
            problems.push(DataProblem { column, problem, rows: Some(rows), message });
        };
        if orphans > 0 {
            let first = values.iter().flatten().find(|v| !keys.contains(v)).unwrap_or_default();
            let rows = rows_are(orphans).0;
            add(
                orphans,
                format!(
                    "{rows} refer to no row of `{}`, for example `{first}`; add those rows or drop these.",
                    parent.name
                ),
            );
        }
        let missing = values.null_count() as u64;
        if missing > 0 {
            add(missing, format!("the reference to `{}` is missing in {}.", parent.name, rows_are(missing).0));
        }
    }
    Ok(problems)
}

/// Problems of one column.
pub(crate) fn column_problems(
    facts: &ColumnFacts,
    kind: ColumnKind,
    options: Option<&ColumnOptions>,
    detector: &PersonalDetector,
) -> Vec<DataProblem> {
    let mut found = Found { facts, problems: Vec::new() };
    found.gaps();
    found.numbers(options);
    found.times();
    found.text(kind);
    found.personal(detector);
    found.problems
}

struct Found<'a> {
    facts: &'a ColumnFacts,
    problems: Vec<DataProblem>,
}

impl Found<'_> {
    fn add(&mut self, problem: ProblemKind, rows: impl Into<Option<u64>>, message: String) {
        let column = Some(self.facts.name.clone());
        self.problems.push(DataProblem { column, problem, rows: rows.into(), message });
    }

    fn gaps(&mut self) {
        let facts = self.facts;
        if facts.missing == facts.rows {
            self.add(ProblemKind::Missing, facts.missing, "every value is missing; leave the column out.".into());
        } else if facts.missing > 0 {
            let share = percent(facts.missing, facts.rows);
            let message =
                format!("{} of {} values are missing ({share}).", thousands(facts.missing), thousands(facts.rows));
            self.add(ProblemKind::Missing, facts.missing, message);
        }
        if facts.present() > 1 && facts.distinct.count() == 1 {
            let value = facts.top.top(1).pop().map(|(v, _)| v).unwrap_or_default();
            self.add(
                ProblemKind::Constant,
                facts.present(),
                format!("every value is `{value}`; the column says nothing."),
            );
        }
    }

    fn numbers(&mut self, options: Option<&ColumnOptions>) {
        let Some(numbers) = &self.facts.numbers else { return };
        if numbers.not_finite > 0 {
            let message = format!("{} NaN or infinite; drop them with drop_invalid.", values_are(numbers.not_finite));
            self.add(ProblemKind::NotFinite, numbers.not_finite, message);
        }
        let (low, high) = (numbers.moments.min, numbers.moments.max);
        let words = name_words(&self.facts.name);
        let last = words.last().map_or("", String::as_str);
        if numbers.negative > 0 && words.iter().any(|w| NEVER_NEGATIVE.contains(&w.as_str())) {
            let message = format!("{} negative (down to {low}); returns or mistakes?", values_are(numbers.negative));
            self.add(ProblemKind::Impossible, numbers.negative, message);
        }
        if numbers.zero > 0 && last == "price" {
            let message = format!("{} zero; gifts or mistakes?", values_are(numbers.zero));
            self.add(ProblemKind::Impossible, numbers.zero, message);
        }
        let limit = match last {
            "lat" | "latitude" => 90.0,
            "lon" | "lng" | "longitude" => 180.0,
            _ => f64::INFINITY,
        };
        if low < -limit || high > limit {
            let message = format!("values run from {low} to {high}, outside −{limit} to {limit} degrees.");
            self.add(ProblemKind::Impossible, None, message);
        }
        let min = options.and_then(|o| o.min).unwrap_or(f64::NEG_INFINITY);
        let max = options.and_then(|o| o.max).unwrap_or(f64::INFINITY);
        if numbers.moments.count > 0 && (low < min || high > max) {
            let message = format!("values run from {low} to {high}, the project file allows {min} to {max}.");
            self.add(ProblemKind::Impossible, None, message);
        }
    }

    fn times(&mut self) {
        let Some(times) = &self.facts.times else { return };
        if times.before_1900 > 0 {
            let message = format!("{} before the year 1900.", values_are(times.before_1900));
            self.add(ProblemKind::Impossible, times.before_1900, message);
        }
        if times.in_future > 0 {
            let message = format!("{} in the future.", values_are(times.in_future));
            self.add(ProblemKind::Impossible, times.in_future, message);
        }
    }

    fn text(&mut self, kind: ColumnKind) {
        let present = self.facts.present();
        let Some(text) = self.facts.text.as_ref().filter(|_| present > 0) else { return };
        if text.missing_words > 0 && text.missing_words < present {
            let message =
                format!("{} a word for «missing» (such as NA or ?); make them empty.", values_are(text.missing_words));
            self.add(ProblemKind::MixedTypes, text.missing_words, message);
        }
        if !kind.is_key() {
            self.numbers_and_times_in_text(text);
        }
        if text.padded > 0 {
            let (count, noun) = (thousands(text.padded), if text.padded == 1 { "value has" } else { "values have" });
            self.add(
                ProblemKind::MixedTypes,
                text.padded,
                format!("{count} {noun} spaces at an end; use trim in SQL."),
            );
        }
        let exact = self.facts.distinct.is_exact() && text.folded.is_exact();
        let variants = self.facts.distinct.count().saturating_sub(text.folded.count());
        if exact && variants > 0 && kind != ColumnKind::Text {
            let verb = if variants == 1 { "value differs" } else { "values differ" };
            let message = format!(
                "{} {verb} from another only in letter case or outer spaces; use upper and trim in SQL.",
                thousands(variants)
            );
            self.add(ProblemKind::MixedTypes, None, message);
        }
    }

    /// Keys may look like anything; other columns should be one type.
    fn numbers_and_times_in_text(&mut self, text: &TextFacts) {
        let known = self.facts.present() - text.missing_words;
        if known > 0 && text.numeric == known {
            self.add(
                ProblemKind::MixedTypes,
                text.numeric,
                "all values are numbers stored as text; cast the column in SQL.".into(),
            );
        } else if text.numeric as f64 > MOSTLY * known as f64 {
            let others = known.saturating_sub(text.numeric);
            let message = format!("{} numbers, the other {} are not.", values_are(text.numeric), thousands(others));
            self.add(ProblemKind::MixedTypes, others, message);
        }
        if known > 0 && text.times == known {
            let message = "all values are dates stored as text; cast the column in SQL with to_timestamp.".into();
            self.add(ProblemKind::MixedTypes, text.times, message);
        } else if text.times as f64 > MOSTLY * known as f64 {
            let others = known.saturating_sub(text.times);
            let message = format!("{} dates, the other {} are not.", values_are(text.times), thousands(others));
            self.add(ProblemKind::MixedTypes, others, message);
        }
    }

    fn personal(&mut self, detector: &PersonalDetector) {
        for finding in detector.findings() {
            let message = if finding.matches == 0 {
                format!("by its name, the column holds {}; leave it out or replace it.", finding.kind.name())
            } else {
                let share = (finding.share * 100.0).round().max(1.0);
                format!(
                    "{share} % of the values look like {}; leave the column out or replace it.",
                    finding.kind.name()
                )
            };
            self.add(ProblemKind::PersonalData, None, message);
        }
    }
}

fn rows_are(count: u64) -> (String, &'static str) {
    if count == 1 { ("1 row".into(), "is") } else { (format!("{} rows", thousands(count)), "are") }
}

fn values_are(count: u64) -> String {
    if count == 1 { "1 value is".into() } else { format!("{} values are", thousands(count)) }
}

/// 1234567 as `1,234,567`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in percent; never 0 % where there is something, never 100 % where something lacks.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if part == 0 || part == whole {
        return if part == 0 { "0 %".into() } else { "100 %".into() };
    }
    format!("{:.1} %", (part as f64 / whole as f64 * 100.0).clamp(0.1, 99.9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 541_909, 1_234_567].map(thousands), ["0", "999", "1,000", "541,909", "1,234,567"]);
        assert_eq!(percent(0, 5), "0 %");
        assert_eq!(percent(1, 1_000_000), "0.1 %");
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(5, 5), "100 %");
    }
}
