//! How a generator and a discriminator learned, epoch by epoch: curves that the report draws, and their forms as a file.
//!
//! What a run of learning says of itself goes in; a number that is not finite, as after networks diverged, is `None`: a gap
//! in the drawing, an empty cell, `null`.

use serde::{Deserialize, Serialize};
use std::fmt::Write;
use twinmart_tables::{Error, Result};

/// How one table was learned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingCurves {
    /// The table.
    pub table: String,
    /// All epochs, in order.
    pub epochs: Vec<CurvePoint>,
    /// The epoch whose generator was kept, from 1; 0 where nothing was learned.
    pub kept: u64,
    /// What two real samples get for [`CurvePoint::two_sample`].
    pub two_sample_floor: Option<f64>,
}

/// One epoch of learning. Accuracy, precision, recall and F1 are the discriminator's on held-out real examples (positive) and
/// as many made ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Its number, from 1.
    pub epoch: u64,
    /// Mean loss of the discriminator.
    pub discriminator_loss: Option<f64>,
    /// Mean loss of the generator.
    pub generator_loss: Option<f64>,
    /// Share of the answers that are right.
    pub accuracy: Option<f64>,
    /// Share of the examples taken for real that are.
    pub precision: Option<f64>,
    /// Share of the real examples that are taken for real.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// How unlike made and held-out real examples are.
    pub two_sample: Option<f64>,
}

impl TrainingCurves {
    /// The epoch whose generator was kept, where it is among the epochs.
    pub fn kept_epoch(&self) -> Option<&CurvePoint> {
        self.epochs.iter().find(|point| point.epoch == self.kept)
    }
}

impl CurvePoint {
    /// The numbers by name, in the order of the columns of a file.
    pub fn numbers(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("discriminator_loss", self.discriminator_loss),
            ("generator_loss", self.generator_loss),
            ("accuracy", self.accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("two_sample", self.two_sample),
        ]
        .map(|(name, x)| (name, x.filter(|x| x.is_finite())))
    }
}

/// The curves as CSV (RFC 4180): a head, then a line for each epoch of each table; numbers in the fewest digits that read back
/// the same, nothing where there is none.
pub fn csv(curves: &[TrainingCurves]) -> String {
    let names = CurvePoint::default().numbers().map(|(name, _)| name);
    let mut text = format!("table,epoch,{}\n", names.join(","));
    for (table, point) in lines(curves) {
        let cells = point.numbers().map(|(_, x)| x.map_or_else(String::new, |x| x.to_string()));
        let _ = writeln!(text, "{},{},{}", cell(table), point.epoch, cells.join(","));
    }
    text
}

/// The curves as JSON lines: an object for each epoch of each table, with the names of [`csv`]. A data error where a number
/// has no JSON form.
pub fn json_lines(curves: &[TrainingCurves]) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        table: &'a str,
        #[serde(flatten)]
        point: &'a CurvePoint,
    }
    let mut text = String::new();
    for (table, point) in lines(curves) {
        let line = serde_json::to_string(&Line { table, point })
            .map_err(|e| Error::data(format!("the curves have no JSON form: {e}")))?;
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

fn lines(curves: &[TrainingCurves]) -> impl Iterator<Item = (&str, &CurvePoint)> {
    curves.iter().flat_map(|table| table.epochs.iter().map(|point| (table.table.as_str(), point)))
}

/// A text as a cell of a CSV file.
fn cell(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Curves of any names and numbers, missing ones and such as are not finite included.
    pub(crate) fn any_curves() -> impl Strategy<Value = Vec<TrainingCurves>> {
        let number = prop_oneof![4 => any::<f64>().prop_map(Some), 1 => Just(Some(f64::NAN)), 1 => Just(None)];
        let numbers = proptest::collection::vec(proptest::collection::vec(number, 7), 0..9);
        let table = ("[ab,\"\n<&é]{0,6}", numbers, 0..9u64);
        proptest::collection::vec(table.prop_map(|(name, rows, kept)| curves(&name, &rows, kept)), 0..4)
    }

    /// Curves of a table from the numbers of each epoch, in the order of [`CurvePoint::numbers`].
    pub(crate) fn curves(table: &str, rows: &[Vec<Option<f64>>], kept: u64) -> TrainingCurves {
        let epochs = (1..).zip(rows).map(|(epoch, x)| CurvePoint {
            epoch,
            discriminator_loss: x[0],
            generator_loss: x[1],
            accuracy: x[2],
            precision: x[3],
            recall: x[4],
            f1: x[5],
            two_sample: x[6],
        });
        TrainingCurves { table: table.into(), epochs: epochs.collect(), kept, two_sample_floor: Some(0.01) }
    }

    /// A second reader of RFC 4180, by the letter: the records of a file, each with its cells.
    fn records(text: &str) -> Vec<Vec<String>> {
        let (mut all, mut record, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut letters = text.chars().peekable();
        while let Some(c) = letters.next() {
            match c {
                '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => record.push(std::mem::take(&mut cell)),
                '\n' if !is_quoted => {
                    record.push(std::mem::take(&mut cell));
                    all.push(std::mem::take(&mut record));
                }
                c => cell.push(c),
            }
        }
        all
    }

    proptest! {
        #[test]
        fn both_forms_read_back_as_they_were(curves in any_curves()) {
            let read = records(&csv(&curves));
            let head = ["table", "epoch", "discriminator_loss", "generator_loss", "accuracy", "precision", "recall", "f1", "two_sample"];
            prop_assert_eq!(&read[0], &head);
            let text = json_lines(&curves).unwrap();
            let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let points: Vec<_> = lines(&curves).collect();
            prop_assert_eq!((read.len() - 1, objects.len()), (points.len(), points.len()));
            for (((table, point), cells), object) in points.iter().zip(&read[1..]).zip(&objects) {
                prop_assert_eq!(&cells[0], table);
                prop_assert_eq!(&object["table"], table);
                prop_assert_eq!(&cells[1], &point.epoch.to_string());
                prop_assert_eq!(&object["epoch"], point.epoch);
                for ((name, x), cell) in point.numbers().into_iter().zip(&cells[2..]) {
                    prop_assert_eq!(cell.parse().ok(), x);
                    prop_assert_eq!(object[name].as_f64(), x);
                }
            }
        }
    }
}
