//! Borderline-SMOTE (Han, Wang & Mao, "Borderline-SMOTE: A New Over-Sampling Method in Imbalanced Data Sets Learning", 2005),
//! the first of its two forms.
//!
//! Of the m nearest neighbours of a row of the class, m′ are of other classes. The row is in danger where m/2 ≤ m′ < m: a
//! learner is likely to take it for one of the others (m′ = m: it is noise; m′ < m/2: it is safe). New rows lie between rows
//! in danger and their k nearest neighbours within the class. Here m = k, and the class says nothing about likeness.

use crate::interpolate::Partners;
use crate::manifest::{Manifest, Origin, TableSpec};
use crate::nearest::{Axis, nearest_rows};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use std::collections::HashSet;
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{Error, Progress, Result, Target, Verbatim};

/// The rows of one class.
pub(crate) struct Class<'a> {
    target: &'a Target,
    /// Position of its column.
    pub(crate) column: usize,
    members: Vec<usize>,
}

impl Class<'_> {
    /// The rows that the target names. Errors where there are none, or where too few people are behind them.
    pub(crate) fn of<'a>(
        target: &'a Target,
        rows: &RecordBatch,
        subjects: &[u64],
        spec: &TableSpec,
        manifest: &Manifest,
    ) -> Result<Class<'a>> {
        let column = column_of(target, spec, manifest)?;
        let members = holders(rows.column(column), &target.value)?;
        let problem = |what: String| Error::usage(what).table(&spec.name).column(&target.column);
        if members.is_empty() {
            return Err(problem(format!("no row has the target's value `{}`", target.value))
                .remedy("write the value as the data do")
                .into());
        }
        let people: HashSet<u64> = members.iter().map(|row| subjects[*row]).collect();
        if manifest.settings.verbatim == Verbatim::Forbid && people.len() < PersonThreshold::LARGEST {
            return Err(problem(format!(
                "the target's value `{}` is held by too few people to come out",
                target.value
            ))
            .remedy("choose another class, or say verbatim = \"allow\" where the twin stays inside")
            .into());
        }
        Ok(Class { target, column, members })
    }

    /// The rows in danger with their neighbours within the class.
    pub(crate) fn border(&self, axes: &[Axis], rows: usize, k: usize, progress: &Progress) -> Result<Partners> {
        let all: Vec<usize> = (0..rows).collect();
        let mut is_member = vec![false; rows];
        self.members.iter().for_each(|row| is_member[*row] = true);
        let around = nearest_rows(axes, &self.members, &all, k, progress)?;
        let others = around.chunks(k).map(|n| n.iter().filter(|row| !is_member[**row as usize]).count());
        let others: Vec<usize> = others.collect();
        let danger: Vec<usize> =
            self.members.iter().zip(&others).filter(|(_, n)| is_danger(**n, k)).map(|(row, _)| *row).collect();
        if danger.is_empty() {
            let noise = others.iter().filter(|n| **n == k).count();
            return Err(Error::data(format!(
                "no row with {} lies at the border: {noise} have only neighbours of other classes, {} mostly neighbours of their own",
                String::from(self.target.clone()),
                others.len() - noise
            ))
            .remedy("raise neighbours, or use smote on the rows of that class")
            .into());
        }
        let neighbours = nearest_rows(axes, &danger, &self.members, k, progress)?;
        let bases = danger.into_iter().map(|row| row as u64).collect();
        Ok(Partners { bases, neighbours, label: Some(self.column) })
    }
}

/// At least half of m neighbours are of other classes, but not all.
fn is_danger(others: usize, m: usize) -> bool {
    2 * others >= m && others < m
}

/// The position of the target's column.
pub(crate) fn column_of(target: &Target, spec: &TableSpec, manifest: &Manifest) -> Result<usize> {
    let mut columns = spec.columns.iter().zip(spec.origins(manifest));
    let found = columns.position(|(c, origin)| c.name == target.column && origin == Origin::Value);
    found.ok_or_else(|| {
        let columns = spec.columns.iter().zip(spec.origins(manifest)).filter(|(_, origin)| *origin == Origin::Value);
        let names: Vec<&str> = columns.map(|(c, _)| c.name.as_str()).collect();
        Error::usage(format!("the target's column `{}` is not a column of values", target.column))
            .table(&spec.name)
            .remedy(format!("use one of {}", names.join(", ")))
            .into()
    })
}

/// The rows that hold a value; numbers are compared as numbers.
fn holders(column: &ArrayRef, value: &str) -> Result<Vec<usize>> {
    if let (true, Ok(number)) = (column.data_type().is_numeric(), value.parse::<f64>()) {
        let numbers = cast(column, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>().iter().enumerate();
        return Ok(numbers.filter(|(_, x)| *x == Some(number)).map(|(row, _)| row).collect());
    }
    let text = cast(column, &DataType::Utf8)?;
    let text = text.as_string::<i32>().iter().enumerate();
    Ok(text.filter(|(_, x)| *x == Some(value)).map(|(row, _)| row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nearest::number_axes;
    use arrow::array::{Float64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn half_of_the_neighbours_is_danger_and_all_of_them_is_noise() {
        assert_eq!((0..=5).filter(|others| is_danger(*others, 5)).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((0..=4).filter(|others| is_danger(*others, 4)).collect::<Vec<_>>(), [2, 3]);
        assert!(!is_danger(1, 1));
    }

    #[test]
    fn values_are_found_as_text_and_as_numbers() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some(">50K"), None, Some("1")]));
        assert_eq!(holders(&text, ">50K").unwrap(), [0]);
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(2.5)]));
        assert_eq!(holders(&numbers, "1").unwrap(), [0]);
        assert_eq!(holders(&numbers, "one").unwrap(), [0usize; 0]);
    }

    #[test]
    fn only_rows_at_the_border_serve() {
        // The others hold 0 … 19; the class holds 18.6, 18.7 (inside: each other's only friend), 30 … 39 (safe), 5.5 (noise).
        let values: Vec<f64> =
            (0..20).map(f64::from).chain([18.6, 18.7]).chain((30..40).map(f64::from)).chain([5.5]).collect();
        let target = Target { column: "c".into(), value: "v".into() };
        let class = Class { target: &target, column: 0, members: (20..33).collect() };
        let border = class.border(&number_axes(&values), values.len(), 3, &Progress::silent()).unwrap();
        assert_eq!(border.bases, [20, 21]);
        assert!(border.neighbours.iter().all(|n| (20..33).contains(n)));
        let far = Class { target: &target, column: 0, members: (22..32).collect() };
        let none = far.border(&number_axes(&values), values.len(), 3, &Progress::silent()).unwrap_err();
        assert!(none.to_string().contains("no row with c=v lies at the border"), "{none}");
    }
}
