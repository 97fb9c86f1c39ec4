//! A profile as text of at most 100 columns: one table of figures per source and table, problems below as sentences.

use crate::problems::{percent, thousands};
use crate::profile::{ColumnProfile, Profile, TableProfile};
use crate::report::CleaningReport;
use crate::toml_text::{toml_key, toml_text};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use twinmart_tables::ColumnKind;

/// Columns of the terminal that the text may take.
const WIDTH: usize = 100;
/// Characters shown of a value.
const SHOWN: usize = 14;

/// Renders a profile for people.
pub fn profile_text(profile: &Profile) -> String {
    let mut out = String::new();
    for source in &profile.sources {
        out += &table_text("source", source);
    }
    out += &cleaning_text(&profile.cleaning);
    for table in &profile.tables {
        out += &table_text("table", table);
    }
    let problems: usize = profile.sources.iter().chain(&profile.tables).map(|t| t.problems.len()).sum();
    out += &match problems {
        0 => "No problems found.\n".to_string(),
        1 => "1 problem found.\n".to_string(),
        n => format!("{n} problems found.\n"),
    };
    out
}

/// Renders what cleaning did.
pub fn cleaning_text(report: &CleaningReport) -> String {
    let mut out = String::new();
    for target in &report.targets {
        out += &format!(
            "cleaning of {}: {} rows in, {} rows out\n\n",
            target.name,
            thousands(target.rows_in),
            thousands(target.rows_out)
        );
        let mut table = new_table(&["rule", "about", "matched", "removed", "changed"], &[2, 3, 4]);
        for rule in &target.rules {
            let about = match &rule.column {
                Some(column) => format!("{column}: {}", rule.detail),
                None => rule.detail.clone(),
            };
            let counts = [rule.matched, rule.removed, rule.changed].map(thousands);
            table.add_row([vec![rule.rule.clone(), about], counts.to_vec()].concat());
        }
        out += &format!("{}\n\n", trimmed(&table));
    }
    out
}

fn table_text(what: &str, profile: &TableProfile) -> String {
    let role = profile.role.map(|r| format!(" ({})", format!("{r:?}").to_lowercase())).unwrap_or_default();
    let mut out = format!(
        "{what} {}{role}: {} rows, {} columns\n\n",
        profile.name,
        thousands(profile.rows),
        profile.columns.len()
    );
    let header = ["column", "kind", "missing", "distinct", "from", "to", "mean", "median", "most frequent"];
    let mut table = new_table(&header, &[2, 3, 4, 5, 6, 7]);
    for column in &profile.columns {
        table.add_row(column_row(column, profile.rows));
    }
    out += &format!("{}\n\n", trimmed(&table));
    for problem in &profile.problems {
        let subject = problem.column.as_ref().map(|c| format!("{c}: ")).unwrap_or_default();
        out += &wrapped(&format!("{subject}{}", problem.message));
    }
    if !profile.problems.is_empty() {
        out.push('\n');
    }
    if !profile.constraints.is_empty() {
        out += &format!(
            "rules that all rows of {} keep; those that are meant belong in the project file:\n\n",
            profile.name
        );
        out += &format!("  [constraints]\n  {} = [\n", toml_key(&profile.name));
        for constraint in &profile.constraints {
            out += &format!("    {},\n", toml_text(constraint));
        }
        out += "  ]\n\n";
    }
    out
}

fn column_row(column: &ColumnProfile, rows: u64) -> Vec<String> {
    let about = |exact: bool| if exact { "" } else { "~" };
    let show = |value: &Option<Value>| match value {
        // The day says enough in a table; the JSON form has the clock.
        Some(Value::String(text)) => text.chars().take("2011-12-09".len()).collect(),
        Some(number) => number.as_f64().map(significant).unwrap_or_default(),
        None => String::new(),
    };
    let is_measure = matches!(column.kind, ColumnKind::Integer | ColumnKind::Number);
    let statistic = |x: Option<f64>| x.filter(|_| is_measure).map(significant).unwrap_or_default();
    // A value that occurs once, or a moment, says nothing as the most frequent one.
    let top = column.top.first().filter(|t| t.count > 1 && column.kind != ColumnKind::Datetime).map(|t| {
        let more = if column.top_exact { "" } else { "≥ " };
        format!("{} ({more}{})", shortened(&t.value), thousands(t.count))
    });
    vec![
        column.name.clone(),
        column.kind.name().to_string(),
        percent(column.missing, rows),
        format!("{}{}", about(column.distinct_exact), thousands(column.distinct)),
        show(&column.min),
        show(&column.max),
        statistic(column.mean),
        format!("{}{}", if column.median_exact || !is_measure { "" } else { "~" }, statistic(column.median)),
        top.unwrap_or_default(),
    ]
}

fn new_table(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    table.set_header(header.iter().copied());
    for (position, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Four to six significant digits, without needless zeros.
fn significant(x: f64) -> String {
    if x == x.trunc() && x.abs() < 1e9 {
        return format!("{x}");
    }
    if !(1e-4..1e9).contains(&x.abs()) {
        return format!("{x:.3e}");
    }
    let decimals = (4 - x.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_string(),
    }
}

/// A list item, wrapped at word borders.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from("  -")];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |l| l.chars().count());
        if line + 1 + word.chars().count() > WIDTH && line > 4 {
            lines.push(String::from("   "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_lines_fit() {
        let cases =
            [(2.0, "2"), (4.611113626088, "4.6111"), (-80995.0, "-80995"), (0.00001, "1.000e-5"), (12345.678, "12346")];
        for (x, expected) in cases {
            assert_eq!(significant(x), expected);
        }
        let text = wrapped(&"many words in a row ".repeat(30));
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH) && text.lines().count() > 4);
        assert!(text.starts_with("  - many") && text.lines().nth(1).unwrap().starts_with("    "));
    }
}
