//! The kind of each column, from its values, its name and its place in the shop. Options in the project file win.
//!
//! | kind | where |
//! |---|---|
//! | id | the key, references; unique columns with a name like a key; unique text without spaces |
//! | boolean, date, datetime | by storage type |
//! | geo | numbers called latitude or longitude, within range |
//! | integer, number | numbers; whole numbers are integers however they are stored |
//! | category | other text; whole numbers with a name like a key or with at most two values |
//! | text | long or many-word text that seldom repeats |
//! | group | never by itself: only `init` proposes it, from the events of users |

use crate::engine::nearest;
use crate::facts::ColumnFacts;
use arrow::datatypes::{DataType, Schema};
use twinmart_tables::{ColumnKind, Error, Result, Table, TableDefinition};

/// From this many characters on average, text is no category.
const LONG_TEXT: u64 = 50;
/// From this many words on average, text that seldom repeats is no category.
const MANY_WORDS: u64 = 3;
/// Unique text in fewer rows may be chance.
const FEW_ROWS: u64 = 20;

/// The kind of each column of a table; a usage error where the project names a column that does not exist.
pub(crate) fn kinds_of(table: &Table) -> Result<Vec<ColumnKind>> {
    check_names(&table.name, &table.definition, &table.schema)?;
    let mut kinds = Vec::with_capacity(table.schema.fields().len());
    for (position, field) in table.schema.fields().iter().enumerate() {
        let mut facts = ColumnFacts::new(field);
        for batch in &table.batches {
            facts.add(batch.column(position), i64::MAX)?;
        }
        kinds.push(kind_of(&facts, &table.definition));
    }
    Ok(kinds)
}

/// The kind of one column of a table.
pub(crate) fn kind_of(facts: &ColumnFacts, definition: &TableDefinition) -> ColumnKind {
    let column = facts.name.as_str();
    if let Some(kind) = definition.columns.get(column).and_then(|options| options.kind) {
        return kind;
    }
    if definition.key.as_deref() == Some(column) || definition.references.contains_key(column) {
        return ColumnKind::Id;
    }
    match facts.data_type {
        DataType::Boolean => ColumnKind::Boolean,
        DataType::Date32 | DataType::Date64 => ColumnKind::Date,
        DataType::Timestamp(_, _) => ColumnKind::Datetime,
        DataType::Utf8 => text_kind(facts),
        _ => number_kind(facts),
    }
}

fn number_kind(facts: &ColumnFacts) -> ColumnKind {
    let Some(numbers) = &facts.numbers else { return ColumnKind::Category };
    if is_geo(facts) {
        return ColumnKind::Geo;
    }
    let whole = numbers.fractional == 0 && numbers.not_finite == 0 && numbers.moments.count > 0;
    if !whole {
        return ColumnKind::Number;
    }
    if is_key_name(&facts.name) {
        return if facts.is_unique() { ColumnKind::Id } else { ColumnKind::Category };
    }
    if facts.distinct.count() <= 2 { ColumnKind::Category } else { ColumnKind::Integer }
}

fn text_kind(facts: &ColumnFacts) -> ColumnKind {
    let present = facts.present().max(1);
    let Some(text) = facts.text.as_ref().filter(|_| facts.present() > 0) else { return ColumnKind::Category };
    let one_word = text.words <= present;
    if facts.is_unique() && one_word && (is_key_name(&facts.name) || facts.rows >= FEW_ROWS) {
        return ColumnKind::Id;
    }
    let seldom_repeats = facts.distinct.count() * 2 > present;
    let long = text.characters >= LONG_TEXT * present;
    let many_words = text.words >= MANY_WORDS * present;
    if long && facts.distinct.count() > 2 || many_words && seldom_repeats {
        ColumnKind::Text
    } else {
        ColumnKind::Category
    }
}

/// Latitude or longitude by name, and every value in range.
fn is_geo(facts: &ColumnFacts) -> bool {
    let limit = match name_words(&facts.name).last().map(String::as_str) {
        Some("lat" | "latitude") => 90.0,
        Some("lon" | "lng" | "long" | "longitude") => 180.0,
        _ => return false,
    };
    facts.numbers.as_ref().is_some_and(|n| n.moments.min >= -limit && n.moments.max <= limit && n.moments.count > 0)
}

/// True for names whose last word says «this names something»: `user_id`, `StockCode`, `InvoiceNo`, `uuid`.
pub(crate) fn is_key_name(name: &str) -> bool {
    let words = name_words(name);
    let last = words.last().map_or("", String::as_str);
    matches!(last, "id" | "ids" | "key" | "no" | "nr" | "code" | "uuid" | "guid" | "sku" | "ean" | "isbn" | "asin")
        || (last.len() > 4
            && last.ends_with("id")
            && ["user", "item", "session", "product", "customer", "place"].contains(&&last[..last.len() - 2]))
}

/// The lower-case words of a name: `CustomerID`, `customer_id` and `customer id` are `customer`, `id`.
pub(crate) fn name_words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (i, c) in characters.iter().enumerate() {
        let previous = i.checked_sub(1).map(|p| characters[p]);
        let hump = c.is_uppercase()
            && (previous.is_some_and(char::is_lowercase)
                || previous.is_some_and(char::is_uppercase) && characters.get(i + 1).is_some_and(|n| n.is_lowercase()));
        if !c.is_alphanumeric() || hump {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// Every column that the definition names must exist.
pub(crate) fn check_names(table: &str, definition: &TableDefinition, schema: &Schema) -> Result<()> {
    let named = [("key", &definition.key), ("time", &definition.time)];
    let single = named.iter().filter_map(|(place, column)| column.as_ref().map(|c| (*place, c)));
    let references = definition.references.keys().map(|c| ("references", c));
    let columns = definition.columns.keys().map(|c| ("columns", c));
    for (place, column) in single.chain(references).chain(columns) {
        if schema.index_of(column).is_err() {
            let names = schema.fields().iter().map(|f| f.name().as_str());
            let hint = nearest(column, names.clone());
            return Err(Error::usage(format!("`{place}` names a column that the table does not have{hint}"))
                .table(table)
                .column(column)
                .remedy(format!("the columns are {}", names.collect::<Vec<_>>().join(", ")))
                .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
    use std::sync::Arc;

    fn table(columns: Vec<(&str, ArrayRef)>) -> Table {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let definition = TableDefinition::default();
        Table {
            name: "t".into(),
            definition,
            schema: batch.schema(),
            kinds: Vec::new(),
            batches: vec![batch],
            population: None,
            constraints: Vec::new(),
        }
    }

    #[test]
    fn kinds_follow_values_and_names() {
        let n = 100_i64;
        let integers = |f: &dyn Fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..n).map(f))) as ArrayRef;
        let numbers = |f: &dyn Fn(i64) -> f64| Arc::new(Float64Array::from_iter_values((0..n).map(f))) as ArrayRef;
        let texts = |f: &dyn Fn(i64) -> String| Arc::new(StringArray::from_iter_values((0..n).map(f))) as ArrayRef;
        let columns: Vec<(&str, ArrayRef, ColumnKind)> = vec![
            ("order_id", integers(&|i| i), ColumnKind::Id),
            ("regionId", integers(&|i| i % 5), ColumnKind::Category),
            ("age", integers(&|i| 20 + i % 60), ColumnKind::Integer),
            ("flag", integers(&|i| i % 2), ColumnKind::Category),
            ("weight", numbers(&|i| i as f64 / 3.0), ColumnKind::Number),
            ("stored as float", numbers(&|i| i as f64), ColumnKind::Integer),
            ("lat", numbers(&|i| i as f64 / 2.0 + 0.25), ColumnKind::Geo),
            ("flat", numbers(&|i| i as f64 / 2.0 + 0.25), ColumnKind::Number),
            ("token", texts(&|i| format!("{:x}", i * 7919)), ColumnKind::Id),
            ("country", texts(&|i| format!("country {}", i % 7)), ColumnKind::Category),
            ("review", texts(&|i| format!("this is review number {i}")), ColumnKind::Text),
            ("ok", Arc::new(BooleanArray::from(vec![true; 100])), ColumnKind::Boolean),
            ("day", Arc::new(Date32Array::from(vec![1; 100])), ColumnKind::Date),
            ("nothing", Arc::new(StringArray::from(vec![None::<&str>; 100])), ColumnKind::Category),
        ];
        let expected: Vec<ColumnKind> = columns.iter().map(|(_, _, k)| *k).collect();
        let table = table(columns.into_iter().map(|(n, a, _)| (n, a)).collect());
        assert_eq!(kinds_of(&table).unwrap(), expected);
    }

    #[test]
    fn options_win_and_must_name_columns() {
        let mut table = table(vec![("invoice", Arc::new(Int64Array::from(vec![1, 1])))]);
        let options = |kind| twinmart_tables::ColumnOptions { kind: Some(kind), min: None, max: None };
        table.definition.columns.insert("invoice".into(), options(ColumnKind::Group));
        assert_eq!(kinds_of(&table).unwrap(), [ColumnKind::Group]);
        table.definition.columns.insert("invoce".into(), options(ColumnKind::Id));
        let error = kinds_of(&table).unwrap_err();
        assert!(matches!(error, Error::Usage(_)) && error.to_string().contains("did you mean `invoice`?"), "{error}");
    }

    #[test]
    fn names_fall_into_words() {
        for (name, words) in [
            ("CustomerID", vec!["customer", "id"]),
            ("stock_code", vec!["stock", "code"]),
            ("HTMLPage url", vec!["html", "page", "url"]),
            ("InvoiceNo", vec!["invoice", "no"]),
        ] {
            assert_eq!(name_words(name), words);
        }
        assert!(["id", "userID", "StockCode", "placeID", "sessionid", "Invoice-No"].iter().all(|n| is_key_name(n)));
        assert!(["paid", "grid", "Country", "note", "valid"].iter().all(|n| !is_key_name(n)));
    }
}
