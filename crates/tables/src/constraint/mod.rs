//! Rules that every row of a table keeps: `quantity >= 1`, `total = price * quantity`, `shipped >= ordered`,
//! `if status = 'open' then closed is missing`, `combinations(city, country)`.
//!
//! ```text
//! constraint := "combinations" "(" column { "," column } ")" | condition
//! condition  := "if" any "then" any | any
//! any        := all { "or" all }
//! all        := one { "and" one }
//! one        := "not" one | "(" condition ")" | test
//! test       := sum ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) sum
//!             | sum [ "not" ] "in" "(" literal { "," literal } ")"
//!             | column "is" ( "missing" | "present" )
//! sum        := product { ( "+" | "-" ) product }
//! product    := factor { ( "*" | "/" ) factor }
//! factor     := "-" factor | "(" sum ")" | "round" "(" sum "," digits ")" | column | literal
//! column     := word of letters, digits and "_" | '"' … '"'
//! literal    := number | "'" … "'" (where '' stands for ') | "true" | "false"
//! ```
//!
//! *Types.* Numbers are compared with and computed from numbers. Moments (dates, timestamps) are compared with moments or with
//! a text that says one; their difference is a number of days, and days can be added to them. Texts, categories and truth values
//! are equal or not, or listed.
//!
//! *Missing values.* A test of a missing value (or of a division by zero) is neither kept nor broken, unless it asks for just
//! that; "and", "or", "not" and "if" follow Kleene's logic. A row keeps a constraint unless it breaks it.
//!
//! *Rounding.* `column = formula` holds within half a unit of the last decimal that the column is written with
//! ([`Decimals`]); other tests of computed numbers within a trillionth of their size (moments: half a microsecond).
//!
//! `combinations(a, b)` is kept by rows whose values of these columns stand together in a real row.

mod evaluate;
mod parse;
#[cfg(test)]
mod tests;

pub use evaluate::{Decimals, numbers};
pub(crate) use parse::quoted;

use crate::Error;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A rule that every row of a table keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Constraint {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Condition(Logic),
    Combinations(Vec<String>),
}

/// What is true, false or unknown of a row.
#[derive(Debug, Clone, PartialEq)]
enum Logic {
    And(Vec<Logic>),
    Or(Vec<Logic>),
    Not(Box<Logic>),
    Compared(Expression, Sign, Expression),
    In(Expression, Vec<Literal>),
    Missing(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// A value of a row, computed or not.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Column(String),
    Literal(Literal),
    Negative(Box<Expression>),
    Round(Box<Expression>, u8),
    Computed(Box<Expression>, Operator, Box<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Number(f64),
    Text(String),
}

/// What kind of value a sum has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Moment,
    /// Texts, categories and truth values; the latter are the texts `true` and `false`.
    Text,
}

impl Constraint {
    /// What was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns that it speaks of, each once, in their order.
    pub fn columns(&self) -> Vec<&str> {
        let mut names = Vec::new();
        match &self.rule {
            Rule::Combinations(columns) => names.extend(columns.iter().map(String::as_str)),
            Rule::Condition(logic) => logic.columns(&mut names),
        }
        let mut once: Vec<&str> = Vec::new();
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }

    /// The columns whose values must stand together in real rows; `None` for conditions.
    pub fn combined(&self) -> Option<&[String]> {
        match &self.rule {
            Rule::Combinations(columns) => Some(columns),
            Rule::Condition(_) => None,
        }
    }

    /// The column that is equal to a formula of others, where this constraint says no more than that.
    pub fn computed(&self) -> Option<&str> {
        self.formula().map(|(column, _)| column)
    }

    /// The values of another column of the formula of a [computed](Constraint::computed) column that give the column's values,
    /// rounded as they are written; `None` where the formula cannot be solved for that column.
    pub fn solve(
        &self,
        unknown: &str,
        columns: &[ArrayRef],
        schema: &Schema,
        decimals: &Decimals,
    ) -> crate::Result<Option<ArrayRef>> {
        let Some((column, formula)) = self.formula() else { return Ok(None) };
        let mut names = Vec::new();
        formula.columns(&mut names);
        if names.iter().filter(|name| **name == unknown).count() != 1 {
            return Ok(None);
        }
        let solved = formula.solved_for(unknown, Expression::Column(column.to_string()));
        let rows = columns.first().map_or(0, |c| c.len());
        evaluate::computed(unknown, &solved, &evaluate::Rows { columns, schema, decimals, rows }).map(Some)
    }

    fn formula(&self) -> Option<(&str, &Expression)> {
        let Rule::Condition(Logic::Compared(left, Sign::Equal, right)) = &self.rule else { return None };
        let of = |column: &'_ Expression, formula: &Expression| match column {
            Expression::Column(name) => {
                let mut names = Vec::new();
                formula.columns(&mut names);
                !names.is_empty() && !names.contains(&name.as_str())
            }
            _ => false,
        };
        match (left, right) {
            (Expression::Column(name), formula) if of(left, formula) => Some((name, formula)),
            (formula, Expression::Column(name)) if of(right, formula) => Some((name, formula)),
            _ => None,
        }
    }

    /// Checks that the columns are there and that their types can be compared.
    ///
    /// # Errors
    /// A usage error that names the constraint and the column or the types.
    pub fn check(&self, schema: &Schema) -> crate::Result<()> {
        let fault = |what: String| Error::usage(format!("constraint `{}`: {what}", self.text));
        for name in self.columns() {
            if schema.index_of(name).is_err() {
                let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                return Err(fault("there is no such column".into())
                    .column(name)
                    .remedy(format!(
                        "the columns are {}; in a constraint, names that are no plain words stand in double quotes",
                        names.join(", ")
                    ))
                    .into());
            }
        }
        match &self.rule {
            Rule::Combinations(_) => Ok(()),
            Rule::Condition(logic) => {
                let remedy =
                    "compare numbers with numbers, dates with dates or 'texts' that say one, texts with 'texts'";
                logic.check(schema).map_err(|what| fault(what).remedy(remedy).into())
            }
        }
    }

    /// For each row, whether it keeps the condition; unknown where that depends on missing values. `columns` are those of
    /// `schema`, which was [checked](Constraint::check). Combinations are unknown everywhere: what stands together is not said here.
    pub fn evaluate(&self, columns: &[ArrayRef], schema: &Schema, decimals: &Decimals) -> crate::Result<BooleanArray> {
        let rows = columns.first().map_or(0, |c| c.len());
        match &self.rule {
            Rule::Combinations(_) => Ok(BooleanArray::new_null(rows)),
            Rule::Condition(logic) => evaluate::truth(logic, &evaluate::Rows { columns, schema, decimals, rows }),
        }
    }

    /// The values that the formula of a [computed](Constraint::computed) column gives, in the column's type and rounded as it
    /// is written; missing where the formula has none.
    pub fn compute(
        &self,
        columns: &[ArrayRef],
        schema: &Schema,
        decimals: &Decimals,
    ) -> crate::Result<Option<ArrayRef>> {
        let Some((column, formula)) = self.formula() else { return Ok(None) };
        let rows = columns.first().map_or(0, |c| c.len());
        evaluate::computed(column, formula, &evaluate::Rows { columns, schema, decimals, rows }).map(Some)
    }
}

impl FromStr for Constraint {
    type Err = String;

    fn from_str(text: &str) -> Result<Constraint, String> {
        let rule = parse::rule(text).map_err(|what| format!("`{text}` is not a constraint: {what}"))?;
        Ok(Constraint { text: text.trim().to_string(), rule })
    }
}

impl TryFrom<String> for Constraint {
    type Error = String;

    fn try_from(text: String) -> Result<Constraint, String> {
        text.parse()
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> String {
        constraint.text
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A column's name as a constraint takes it: in double quotes where it is no plain word.
pub fn quoted_column(name: &str) -> String {
    let mut letters = name.chars();
    let plain = letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && letters.all(|c| c.is_alphanumeric() || c == '_')
        && !parse::is_word_of_the_language(name);
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as a constraint takes it.
pub fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Logic {
    fn columns<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Logic::And(parts) | Logic::Or(parts) => parts.iter().for_each(|part| part.columns(names)),
            Logic::Not(part) => part.columns(names),
            Logic::Compared(left, _, right) => {
                left.columns(names);
                right.columns(names);
            }
            Logic::In(sum, _) => sum.columns(names),
            Logic::Missing(column) => names.push(column),
        }
    }

    fn check(&self, schema: &Schema) -> Result<(), String> {
        match self {
            Logic::And(parts) | Logic::Or(parts) => parts.iter().try_for_each(|part| part.check(schema)),
            Logic::Not(part) => part.check(schema),
            Logic::Missing(_) => Ok(()),
            Logic::In(sum, values) => {
                let of = sum.kind(schema)?;
                values.iter().try_for_each(|value| comparable(of, value.kind(), Some(value)).map(|_| ()))
            }
            Logic::Compared(left, sign, right) => {
                let (of, other) = (left.kind(schema)?, right.kind(schema)?);
                let kind = match (left, right) {
                    (_, Expression::Literal(value)) => comparable(of, other, Some(value))?,
                    (Expression::Literal(value), _) => comparable(other, of, Some(value))?,
                    _ => comparable(of, other, None)?,
                };
                let ordered = !matches!(sign, Sign::Equal | Sign::Unequal);
                if kind == Kind::Text && ordered {
                    return Err("texts have no order; they are equal (=), unequal (!=) or listed (in)".into());
                }
                Ok(())
            }
        }
    }
}

/// The kind in which two values are compared, the second of which may be written out.
fn comparable(of: Kind, other: Kind, literal: Option<&Literal>) -> Result<Kind, String> {
    match (of, other, literal) {
        (Kind::Moment, Kind::Text, Some(Literal::Text(text))) => match evaluate::moment_of(text) {
            Some(_) => Ok(Kind::Moment),
            None => Err(format!("'{text}' is no date or time; write '2011-12-31' or '2011-12-31 23:59:59'")),
        },
        (a, b, _) if a == b => Ok(a),
        (a, b, _) => Err(format!("a {} cannot be compared with a {}", a.name(), b.name())),
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Number => "number",
            Kind::Moment => "moment",
            Kind::Text => "text",
        }
    }

    fn of(data_type: &DataType) -> Option<Kind> {
        match data_type {
            t if t.is_numeric() => Some(Kind::Number),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Some(Kind::Moment),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => Some(Kind::Text),
            DataType::Dictionary(_, values) => Kind::of(values),
            _ => None,
        }
    }
}

impl Literal {
    fn kind(&self) -> Kind {
        match self {
            Literal::Number(_) => Kind::Number,
            Literal::Text(_) => Kind::Text,
        }
    }
}

impl Expression {
    fn columns<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Expression::Column(name) => names.push(name),
            Expression::Literal(_) => {}
            Expression::Negative(of) | Expression::Round(of, _) => of.columns(names),
            Expression::Computed(left, _, right) => {
                left.columns(names);
                right.columns(names);
            }
        }
    }

    /// What a column that it names once must be for it to be `value`; rounding is passed over.
    fn solved_for(&self, unknown: &str, value: Expression) -> Expression {
        let compute = |left: Expression, operator, right: Expression| {
            Expression::Computed(Box::new(left), operator, Box::new(right))
        };
        let names = |sum: &Expression| {
            let mut names = Vec::new();
            sum.columns(&mut names);
            names.contains(&unknown)
        };
        match self {
            Expression::Column(_) | Expression::Literal(_) => value,
            Expression::Negative(of) => of.solved_for(unknown, Expression::Negative(Box::new(value))),
            Expression::Round(of, _) => of.solved_for(unknown, value),
            Expression::Computed(left, operator, right) if names(left) => {
                let opposite = match operator {
                    Operator::Plus => Operator::Minus,
                    Operator::Minus => Operator::Plus,
                    Operator::Times => Operator::Over,
                    Operator::Over => Operator::Times,
                };
                left.solved_for(unknown, compute(value, opposite, (**right).clone()))
            }
            Expression::Computed(left, operator, right) => {
                let left = (**left).clone();
                let value = match operator {
                    Operator::Plus => compute(value, Operator::Minus, left),
                    Operator::Times => compute(value, Operator::Over, left),
                    Operator::Minus | Operator::Over => compute(left, *operator, value),
                };
                right.solved_for(unknown, value)
            }
        }
    }

    /// What kind of value it has; an error where it has none.
    fn kind(&self, schema: &Schema) -> Result<Kind, String> {
        match self {
            Expression::Literal(value) => Ok(value.kind()),
            Expression::Column(name) => {
                let field = schema.field_with_name(name).map_err(|_| format!("there is no column {name}"))?;
                let kind = Kind::of(field.data_type());
                kind.ok_or_else(|| {
                    format!("the column {name} is of type {}, which cannot be compared", field.data_type())
                })
            }
            Expression::Negative(of) | Expression::Round(of, _) => match of.kind(schema)? {
                Kind::Number => Ok(Kind::Number),
                other => Err(format!("a {} has no sign and no decimals", other.name())),
            },
            Expression::Computed(left, operator, right) => match (left.kind(schema)?, operator, right.kind(schema)?) {
                (Kind::Number, _, Kind::Number) | (Kind::Moment, Operator::Minus, Kind::Moment) => Ok(Kind::Number),
                (Kind::Moment, Operator::Plus | Operator::Minus, Kind::Number) => Ok(Kind::Moment),
                (left, _, right) => {
                    Err(format!("a {} and a {} cannot be computed with here", left.name(), right.name()))
                }
            },
        }
    }
}
