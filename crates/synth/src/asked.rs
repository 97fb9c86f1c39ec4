//! What is asked of all rows of a table: conditions on its columns, as the values that are permitted of each.
//!
//! ```text
//! 'age >= 40', 'city in (Ulm, Rome)' ─► by column, permitted values ─► shares of the encoding's leaves ─► guided draws
//! ```

use crate::encoded::RowEncoding;
use crate::manifest::{Origin, TableSpec};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{and, cast};
use arrow::datatypes::{DataType, SchemaRef};
use std::sync::Arc;
use twinmart_density::guide;
use twinmart_encode::grid::{Numbers, is_ordered};
use twinmart_encode::permitted::{Permitted, Values};
use twinmart_tables::condition::{Comparison, Condition, Test};
use twinmart_tables::{Error, Problem, Result};

/// What all rows of a table shall have.
#[derive(Debug, Clone)]
pub(crate) struct AskedRows {
    /// By column; `None` where nothing is asked.
    permitted: Vec<Option<Permitted>>,
    leaves: guide::Asked,
}

impl AskedRows {
    /// What conditions ask for; several on one column must all hold.
    ///
    /// # Errors
    /// Usage errors: columns that are not there or have no values of their own, values that they cannot hold, conditions that
    /// no value meets.
    pub(crate) fn of(
        conditions: &[Condition],
        encoding: &RowEncoding,
        spec: &TableSpec,
        origins: &[Origin],
        schema: &SchemaRef,
    ) -> Result<AskedRows> {
        let mut permitted: Vec<Option<Permitted>> = vec![None; spec.columns.len()];
        for condition in conditions {
            let at =
                |problem: Problem| problem.table(&spec.name).column(&condition.column).value(condition.to_string());
            let column = position(condition, spec, origins, encoding).map_err(|e| e.with(at))?;
            let known = Column { encoding, column, data_type: schema.field(column).data_type(), spec };
            let one = known.permitted(&condition.test).map_err(|e| e.with(at))?;
            let both = match permitted[column].take() {
                Some(before) => before.and(one),
                None => one,
            };
            if both.is_nothing() {
                return Err(at(Error::usage("no value can meet this and the other conditions on its column"))
                    .remedy("leave one of them out")
                    .into());
            }
            permitted[column] = Some(both);
        }
        let mut leaves = guide::Asked::default();
        for (column, permitted) in permitted.iter().enumerate() {
            let Some(permitted) = permitted else { continue };
            let shares = encoding.shares(column, permitted);
            if shares.iter().any(|(_, shares)| shares.iter().all(|share| *share <= 0.0)) {
                let asked: Vec<String> = conditions
                    .iter()
                    .filter(|c| c.column == spec.columns[column].name)
                    .map(ToString::to_string)
                    .collect();
                let known = Column { encoding, column, data_type: schema.field(column).data_type(), spec };
                let problem = Error::usage("no value that the model knows meets this").table(&spec.name);
                let problem = problem.column(&spec.columns[column].name).value(asked.join(" and "));
                return Err(problem.remedy(known.what_there_is()).into());
            }
            leaves.leaves.extend(shares);
        }
        Ok(AskedRows { permitted, leaves })
    }

    /// By column, what is permitted.
    pub(crate) fn permitted(&self) -> &[Option<Permitted>] {
        &self.permitted
    }

    /// What is asked, leaf by leaf.
    pub(crate) fn leaves(&self) -> &guide::Asked {
        &self.leaves
    }

    /// What is asked, for a guide to learn to foresee it.
    pub(crate) fn leaves_mut(&mut self) -> &mut guide::Asked {
        &mut self.leaves
    }

    /// Columns of which something is asked.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        self.permitted.iter().enumerate().filter(|(_, permitted)| permitted.is_some()).map(|(column, _)| column)
    }

    /// For each row of `columns`, whether it has all that is asked.
    pub(crate) fn holds(&self, columns: &[ArrayRef]) -> Result<BooleanArray> {
        let mut holds = BooleanArray::from(vec![true; columns.first().map_or(0, |c| c.len())]);
        for (permitted, column) in self.permitted.iter().zip(columns) {
            if let Some(permitted) = permitted {
                holds = and(&holds, &permitted.holds(column)?)?;
            }
        }
        Ok(holds)
    }
}

/// The column of a condition.
fn position(condition: &Condition, spec: &TableSpec, origins: &[Origin], encoding: &RowEncoding) -> Result<usize> {
    let names = || spec.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(column) = spec.columns.iter().position(|c| c.name == condition.column) else {
        return Err(Error::usage("the model has no such column").remedy(format!("the columns are {}", names())).into());
    };
    match origins[column] {
        Origin::Key | Origin::SharedKey(_) | Origin::Group => {
            Err(Error::usage("keys are made new for every twin").remedy("ask for values of another column").into())
        }
        _ if !encoding.has_values(column) => {
            Err(Error::usage("no value of this column may come out: too few people share any")
                .remedy("ask for values of another column")
                .into())
        }
        _ => Ok(column),
    }
}

/// A column that something is asked of.
struct Column<'a> {
    encoding: &'a RowEncoding,
    column: usize,
    data_type: &'a DataType,
    spec: &'a TableSpec,
}

impl Column<'_> {
    fn permitted(&self, test: &Test) -> Result<Permitted> {
        let may_be_missing = self.encoding.missing_codes().contains(&Some(self.column));
        match test {
            Test::Missing if may_be_missing => Ok(Permitted { missing: true, values: Values::Texts(Vec::new()) }),
            Test::Missing => {
                Err(Error::usage("no value of this column was missing").remedy("leave the condition out").into())
            }
            Test::Present => Ok(Permitted { missing: false, values: Values::Any }),
            _ => Ok(Permitted { missing: false, values: self.values(test)? }),
        }
    }

    fn values(&self, test: &Test) -> Result<Values> {
        if let Some(listed) = self.encoding.listed(self.column) {
            return Ok(Values::Texts(self.texts(test, listed)?));
        }
        if !is_ordered(self.spec.columns[self.column].kind, self.data_type) {
            return Err(Error::usage("the texts of this column are written anew")
                .remedy("ask whether it is missing or present, or for another column")
                .into());
        }
        let ends = |value: &String, comparison: Option<Comparison>| self.ends(value, comparison);
        match test {
            Test::In(values) => union(values.iter().map(|v| ends(v, None))),
            Test::NotIn(values) => Ok(complement(union(values.iter().map(|v| ends(v, None)))?)),
            Test::Compared(comparison, value) => ends(value, Some(*comparison)),
            Test::Missing | Test::Present => Ok(Values::Any),
        }
    }

    /// Listed texts that meet a test.
    fn texts(&self, test: &Test, listed: &[String]) -> Result<Vec<String>> {
        let unknown = |value: &str| {
            Error::usage(format!("no rows with the value `{value}` were learned, or too few people's"))
                .remedy(self.what_there_is())
        };
        // Booleans and numbers that are categories may be written in several ways.
        let text = |value: &String| -> Result<String> {
            let array: ArrayRef = Arc::new(StringArray::from(vec![value.as_str()]));
            let told = cast(&array, self.data_type).and_then(|typed| cast(&typed, &DataType::Utf8));
            let told =
                told.ok().filter(|told| told.is_valid(0)).map(|told| told.as_string::<i32>().value(0).to_owned());
            told.filter(|told| listed.contains(told)).ok_or_else(|| unknown(value).into())
        };
        match test {
            Test::In(values) => values.iter().map(text).collect(),
            Test::NotIn(values) => {
                let without = values.iter().map(text).collect::<Result<Vec<_>>>()?;
                Ok(listed.iter().filter(|value| !without.contains(value)).cloned().collect())
            }
            _ => Err(Error::usage("the values of this column have no order")
                .remedy("use = or in; numbers that detection took for categories get `kind = \"integer\"` in the project file")
                .into()),
        }
    }

    /// The values on one side of a value, or the value itself.
    fn ends(&self, value: &str, comparison: Option<Comparison>) -> Result<Values> {
        let fault = || {
            Error::usage(format!("`{value}` is no value of the type {}", self.data_type))
                .remedy("write numbers as 1.5, days as 2024-12-31, moments as 2024-12-31T23:59:59")
        };
        let array: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let typed = cast(&array, self.data_type).ok().filter(|typed| typed.is_valid(0));
        let number = value.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        let whole = self.data_type.is_integer();
        match typed.map(|typed| Numbers::of(&typed)) {
            Some(Ok(Numbers::Whole(x))) if x.is_valid(0) => Ok(Values::Whole(side(x.value(0), comparison))),
            // Whole numbers can be compared with others.
            None if whole && number.is_some() => {
                let x = number.unwrap_or_default();
                Ok(Values::Whole(match comparison {
                    None => Vec::new(),
                    Some(Comparison::Below | Comparison::AtMost) => vec![(i64::MIN, x.floor() as i64)],
                    Some(Comparison::AtLeast | Comparison::Above) => vec![(x.ceil() as i64, i64::MAX)],
                }))
            }
            Some(Ok(Numbers::Real(x))) if x.is_valid(0) => Ok(Values::Real(side(x.value(0), comparison))),
            _ => Err(fault().into()),
        }
    }

    /// What a user can ask for.
    fn what_there_is(&self) -> String {
        const SOME: usize = 20;
        if let Some(listed) = self.encoding.listed(self.column) {
            let some = listed.iter().take(SOME).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if listed.len() > SOME { format!(" and {} more", listed.len() - SOME) } else { String::new() };
            return format!("its values are {some}{more}");
        }
        let ends = self.encoding.ends(self.column, self.data_type).and_then(|e| cast(&e, &DataType::Utf8).ok());
        match ends {
            Some(ends) => {
                let ends = ends.as_string::<i32>();
                format!("it knows values from {} to {}", ends.value(0), ends.value(1))
            }
            None => "ask for a wider range".into(),
        }
    }
}

/// A number that intervals end with.
trait End: Copy + PartialOrd {
    const LEAST: Self;
    const MOST: Self;
    fn before(self) -> Self;
    fn after(self) -> Self;
}

impl End for i64 {
    const LEAST: i64 = i64::MIN;
    const MOST: i64 = i64::MAX;
    fn before(self) -> i64 {
        self.saturating_sub(1)
    }
    fn after(self) -> i64 {
        self.saturating_add(1)
    }
}

impl End for f64 {
    const LEAST: f64 = f64::NEG_INFINITY;
    const MOST: f64 = f64::INFINITY;
    fn before(self) -> f64 {
        self.next_down()
    }
    fn after(self) -> f64 {
        self.next_up()
    }
}

fn side<T: End>(x: T, comparison: Option<Comparison>) -> Vec<(T, T)> {
    let interval = match comparison {
        None => (x, x),
        Some(Comparison::AtMost) => (T::LEAST, x),
        Some(Comparison::AtLeast) => (x, T::MOST),
        Some(Comparison::Below) if x > T::LEAST => (T::LEAST, x.before()),
        Some(Comparison::Above) if x < T::MOST => (x.after(), T::MOST),
        Some(_) => return Vec::new(),
    };
    vec![interval]
}

/// Intervals in ascending order, those that touch made one.
fn merged<T: End>(mut intervals: Vec<(T, T)>) -> Vec<(T, T)> {
    intervals.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
    let mut merged: Vec<(T, T)> = Vec::new();
    for (low, high) in intervals {
        match merged.last_mut() {
            Some((_, last)) if low <= *last => *last = if high > *last { high } else { *last },
            _ => merged.push((low, high)),
        }
    }
    merged
}

fn union(parts: impl Iterator<Item = Result<Values>>) -> Result<Values> {
    let (mut whole, mut real) = (Vec::new(), Vec::new());
    for part in parts {
        match part? {
            Values::Whole(intervals) => whole.extend(intervals),
            Values::Real(intervals) => real.extend(intervals),
            _ => {}
        }
    }
    Ok(if real.is_empty() { Values::Whole(merged(whole)) } else { Values::Real(merged(real)) })
}

fn complement(values: Values) -> Values {
    match values {
        Values::Whole(intervals) => Values::Whole(outside(&intervals)),
        Values::Real(intervals) => Values::Real(outside(&intervals)),
        other => other,
    }
}

/// What lies between intervals, which are in ascending order.
fn outside<T: End>(intervals: &[(T, T)]) -> Vec<(T, T)> {
    let mut gaps = Vec::new();
    let mut from = Some(T::LEAST);
    for (low, high) in intervals {
        if let Some(start) = from.filter(|start| start < low) {
            gaps.push((start, low.before()));
        }
        from = (*high < T::MOST).then(|| high.after());
    }
    gaps.extend(from.map(|start| (start, T::MOST)));
    gaps
}

fn common<T: End>(a: &[(T, T)], b: &[(T, T)]) -> Vec<(T, T)> {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| (x, y)));
    let both = pairs.map(|(x, y)| (if x.0 > y.0 { x.0 } else { y.0 }, if x.1 < y.1 { x.1 } else { y.1 }));
    merged(both.filter(|(low, high)| low <= high).collect())
}

/// Two permissions at once.
trait Both {
    fn and(self, other: Permitted) -> Permitted;
    fn is_nothing(&self) -> bool;
}

impl Both for Permitted {
    fn and(self, other: Permitted) -> Permitted {
        let values = match (self.values, other.values) {
            (Values::Any, values) | (values, Values::Any) => values,
            (Values::Texts(a), Values::Texts(b)) => Values::Texts(a.into_iter().filter(|x| b.contains(x)).collect()),
            (Values::Whole(a), Values::Whole(b)) => Values::Whole(common(&a, &b)),
            (Values::Real(a), Values::Real(b)) => Values::Real(common(&a, &b)),
            // Only where one of the two permits no present value.
            _ => Values::Texts(Vec::new()),
        };
        Permitted { missing: self.missing && other.missing, values }
    }

    fn is_nothing(&self) -> bool {
        let none = match &self.values {
            Values::Any => false,
            Values::Texts(texts) => texts.is_empty(),
            Values::Whole(intervals) => intervals.is_empty(),
            Values::Real(intervals) => intervals.is_empty(),
        };
        none && !self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn intervals_hold_what_their_definition_says(
            a in prop::collection::vec((-20i64..20, 0i64..8), 0..5),
            b in prop::collection::vec((-20i64..20, 0i64..8), 0..5),
            x in -30i64..30,
        ) {
            let of = |pairs: &[(i64, i64)]| pairs.iter().map(|(low, width)| (*low, low + width)).collect::<Vec<_>>();
            let (a, b) = (of(&a), of(&b));
            let holds = |of: &[(i64, i64)]| of.iter().any(|(low, high)| (*low..=*high).contains(&x));
            let (first, second) = (merged(a.clone()), merged(b.clone()));
            prop_assert_eq!(holds(&first), holds(&a));
            prop_assert!(first.windows(2).all(|w| w[0].1 < w[1].0));
            prop_assert_eq!(holds(&outside(&first)), !holds(&a));
            prop_assert_eq!(holds(&common(&first, &second)), holds(&a) && holds(&b));
            for comparison in [Comparison::Below, Comparison::AtMost, Comparison::AtLeast, Comparison::Above] {
                let expected = match comparison {
                    Comparison::Below => x < 3,
                    Comparison::AtMost => x <= 3,
                    Comparison::AtLeast => x >= 3,
                    Comparison::Above => x > 3,
                };
                prop_assert_eq!(holds(&side(3, Some(comparison))), expected);
                let real = side(3.0, Some(comparison));
                prop_assert_eq!(real.iter().any(|(low, high)| (*low..=*high).contains(&(x as f64))), expected);
            }
        }
    }
}
