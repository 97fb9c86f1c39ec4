//! What can be asked of a column: `age >= 40`, `income = '>50K'`, `city in (Ulm, Rome)`, `phone is missing`.
//!
//! ```text
//! condition := column ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!            | column [ "not" ] "in" "(" value { "," value } ")"
//!            | column "is" ( "missing" | "present" )
//! column    := characters before the operator | '"' … '"'
//! value     := characters to the end (in a list: to the comma) | "'" … "'", where '' stands for '
//! ```
//!
//! A missing value meets no condition but `is missing`.

use crate::constraint::quoted;
use std::fmt;
use std::str::FromStr;

/// A condition on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// What its values must meet.
    pub test: Test,
}

/// What a value must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// One of these.
    In(Vec<String>),
    /// Present, and none of these.
    NotIn(Vec<String>),
    /// On one side of a value.
    Compared(Comparison, String),
    /// Missing.
    Missing,
    /// Not missing.
    Present,
}

/// The side of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

impl Comparison {
    fn sign(self) -> &'static str {
        match self {
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
            Comparison::AtLeast => ">=",
            Comparison::Above => ">",
        }
    }
}

/// Operators, longer ones before those that they begin with.
const SIGNS: [&str; 8] = ["<=", ">=", "!=", "<>", "==", "=", "<", ">"];

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let fault = || {
            format!(
                "`{text}` is not a condition; write 'column=value', 'column >= value', 'column in (a, b)', 'column is missing' \
                 or 'column is present'"
            )
        };
        let (column, rest) = column_of(text).ok_or_else(fault)?;
        if column.is_empty() {
            return Err(fault());
        }
        let test = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            let value = one_value(&rest[sign.len()..]).ok_or_else(fault)?;
            match *sign {
                "=" | "==" => Test::In(vec![value]),
                "!=" | "<>" => Test::NotIn(vec![value]),
                "<" => Test::Compared(Comparison::Below, value),
                "<=" => Test::Compared(Comparison::AtMost, value),
                ">=" => Test::Compared(Comparison::AtLeast, value),
                _ => Test::Compared(Comparison::Above, value),
            }
        } else if let Some(list) = after_word(rest, "in") {
            Test::In(list_of(list).ok_or_else(fault)?)
        } else if let Some(list) = after_word(rest, "not").and_then(|rest| after_word(rest, "in")) {
            Test::NotIn(list_of(list).ok_or_else(fault)?)
        } else {
            match after_word(rest, "is").map(|rest| rest.trim().to_lowercase()).as_deref() {
                Some("missing" | "null") => Test::Missing,
                Some("present" | "not missing" | "not null") => Test::Present,
                _ => return Err(fault()),
            }
        };
        Ok(Condition { column, test })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.column)?;
        match &self.test {
            Test::In(values) if values.len() == 1 => write!(f, "= {}", values[0]),
            Test::In(values) => write!(f, "in ({})", values.join(", ")),
            Test::NotIn(values) => write!(f, "not in ({})", values.join(", ")),
            Test::Compared(comparison, value) => write!(f, "{} {value}", comparison.sign()),
            Test::Missing => write!(f, "is missing"),
            Test::Present => write!(f, "is present"),
        }
    }
}

/// The column's name, and the rest from the operator on.
fn column_of(text: &str) -> Option<(String, &str)> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('"') {
        let (column, rest) = quoted.split_once('"')?;
        return Some((column.to_owned(), rest.trim_start()));
    }
    let sign = SIGNS.iter().filter_map(|sign| text.find(sign)).min();
    let word = text.match_indices(char::is_whitespace).map(|(at, _)| at).find(|at| {
        let rest = text[*at..].trim_start();
        after_word(rest, "in").is_some_and(|list| list.trim_start().starts_with('('))
            || after_word(rest, "not").and_then(|rest| after_word(rest, "in")).is_some()
            || after_word(rest, "is").is_some_and(|rest| {
                ["missing", "null", "present", "not missing", "not null"].contains(&rest.trim().to_lowercase().as_str())
            })
    });
    let end = sign.into_iter().chain(word).min()?;
    Some((text[..end].trim().to_owned(), text[end..].trim_start()))
}

/// What stands behind a word, in any case.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '(');
    (head.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_start())
}

/// A value that fills the text; `None` where it is empty.
fn one_value(text: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('\'')
        && let Some((value, rest)) = quoted(text, '\'')
        && rest.trim().is_empty()
    {
        return Some(value);
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// Values between parentheses.
fn list_of(text: &str) -> Option<Vec<String>> {
    let mut left = text.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
    let mut values = Vec::new();
    loop {
        let (value, rest) = match quoted(left, '\'') {
            Some((value, rest)) => (value, rest.trim_start()),
            None => {
                let end = left.find(',').unwrap_or(left.len());
                (left[..end].trim().to_owned(), &left[end..])
            }
        };
        if value.is_empty() && !left.starts_with('\'') {
            return None;
        }
        values.push(value);
        match rest.strip_prefix(',') {
            Some(rest) => left = rest.trim_start(),
            None if rest.is_empty() => return Some(values),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (String, Test) {
        let condition: Condition = text.parse().unwrap();
        (condition.column, condition.test)
    }

    #[test]
    fn conditions_mean_what_they_say() {
        let is = |values: &[&str]| Test::In(values.iter().map(|v| (*v).to_string()).collect());
        let compared = |c, v: &str| Test::Compared(c, v.into());
        assert_eq!(parsed("income=>50K"), ("income".into(), is(&[">50K"])));
        assert_eq!(parsed("age >= 40"), ("age".into(), compared(Comparison::AtLeast, "40")));
        assert_eq!(parsed("age<-1.5"), ("age".into(), compared(Comparison::Below, "-1.5")));
        assert_eq!(parsed("marital status in (a, 'b, c', d)"), ("marital status".into(), is(&["a", "b, c", "d"])));
        assert_eq!(parsed("city IN(Ulm)"), ("city".into(), is(&["Ulm"])));
        assert_eq!(parsed("x not in (1)"), ("x".into(), Test::NotIn(vec!["1".into()])));
        assert_eq!(parsed("x != ''"), ("x".into(), Test::NotIn(vec![String::new()])));
        assert_eq!(parsed("\"a=b\" = 'it''s'"), ("a=b".into(), is(&["it's"])));
        assert_eq!(parsed("phone is missing"), ("phone".into(), Test::Missing));
        assert_eq!(parsed("what is it is not null"), ("what is it".into(), Test::Present));
        assert_eq!(parsed("name=Lock in (box)"), ("name".into(), is(&["Lock in (box)"])));
        for wrong in
            ["", "age", "= 3", "age >", "x in ()", "x in (a,)", "x in (a", "x in ('a' b)", "x is blue", "\"x = 3"]
        {
            let told = wrong.parse::<Condition>().unwrap_err();
            assert!(told.contains("is not a condition"), "{wrong}: {told}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_condition_or_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<Condition>();
        }

        #[test]
        fn quoted_values_come_back(values in prop::collection::vec("\\PC{0,6}", 1..4)) {
            let list: Vec<String> = values.iter().map(|v| format!("'{}'", v.replace('\'', "''"))).collect();
            let (column, test) = parsed(&format!("c in ({})", list.join(", ")));
            prop_assert_eq!((column, test), ("c".to_string(), Test::In(values)));
        }
    }
}
