//! Marks of items: what their columns say, in words that items share.

use arrow::array::{AsArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use std::collections::HashMap;
use twinmart_events::Catalogue;
use twinmart_tables::{ColumnKind, Result, Table};

/// Classes of a number.
const CLASSES: usize = 10;
/// Marks of one item, at most.
const MOST_MARKS: usize = 64;

/// The items of a catalogue with the words of their texts, their categories and the tenths in which their numbers lie.
/// Only marks that some items share and others lack are kept.
pub(crate) fn catalogue_of(items: &Table) -> Result<Catalogue> {
    let mut names: Vec<Vec<String>> = vec![Vec::new(); items.rows()];
    for (column, kind) in items.kinds.iter().enumerate() {
        let name = items.schema.field(column).name();
        let is_reference = items.definition.references.contains_key(name);
        if items.definition.key.as_deref() == Some(name.as_str()) {
            continue;
        }
        match kind {
            ColumnKind::Text => add_words(&items.text(name)?, column, &mut names),
            ColumnKind::Integer | ColumnKind::Number if !is_reference => {
                let numbers = cast(&items.column_at(column)?, &DataType::Float64)?;
                add_classes(numbers.as_primitive::<Float64Type>(), column, &mut names);
            }
            ColumnKind::Category | ColumnKind::Boolean => add_whole(&items.text(name)?, column, &mut names),
            _ if is_reference => add_whole(&items.text(name)?, column, &mut names),
            _ => {}
        }
    }
    Ok(numbered(names))
}

fn add_words(text: &StringArray, column: usize, names: &mut [Vec<String>]) {
    for (names, text) in names.iter_mut().zip(text) {
        let words = text.unwrap_or("").split(|c: char| !c.is_alphanumeric()).filter(|w| w.chars().nth(1).is_some());
        names.extend(words.map(|word| format!("{column}:{}", word.to_lowercase())));
    }
}

fn add_whole(text: &StringArray, column: usize, names: &mut [Vec<String>]) {
    for (names, text) in names.iter_mut().zip(text) {
        names.extend(text.map(|text| format!("{column}:{text}")));
    }
}

fn add_classes(numbers: &Float64Array, column: usize, names: &mut [Vec<String>]) {
    let mut sorted: Vec<f64> = numbers.iter().flatten().filter(|x| !x.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    for (names, number) in names.iter_mut().zip(numbers) {
        if let Some(number) = number.filter(|x| !x.is_nan()) {
            let class = sorted.partition_point(|x| *x < number) * CLASSES / sorted.len();
            names.push(format!("{column}:{class}"));
        }
    }
}

/// Marks as numbers, in the order of their names.
fn numbered(mut names: Vec<Vec<String>>) -> Catalogue {
    let items = names.len();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for names in &mut names {
        names.sort_unstable();
        names.dedup();
        names.iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
    }
    let mut kept: Vec<&String> = counts.iter().filter(|(_, n)| **n > 1 && **n < items).map(|(name, _)| name).collect();
    kept.sort_unstable();
    let number: HashMap<&str, u32> = kept.iter().map(|name| name.as_str()).zip(0..).collect();
    let marks: Vec<Vec<u32>> = names
        .iter()
        .map(|names| names.iter().filter_map(|name| number.get(name.as_str()).copied()).take(MOST_MARKS).collect())
        .collect();
    Catalogue::new(&marks, kept.len())
}
