//! Train on synthetic, test on real: does a model learned from the twin predict real held-out rows as well?
//!
//! Boosted trees learn the target column from real rows, from synthetic rows, and from both; each is tested on the
//! held-out rows. Two classes: area under the ROC curve; more classes: accuracy of one-against-rest trees; an ordered
//! target with more than 20 values: R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)². (Esteban et al. 2017, "TSTR".)

use crate::boosting::{Binner, Boosted, Objective};
use crate::frame::{Frame, Frames, Values};
use crate::ranks::roc_auc;
use crate::report::LearnerUtility;
use crate::sampling::sample_rows;
use rayon::prelude::*;
use twinmart_tables::{Draws, Error, Result};

/// The learner's name in the report.
pub(crate) const LEARNER: &str = "boosted-trees";
/// Training rows at most.
const TRAINING_ROWS: usize = 100_000;
/// An ordered target with at most so many values is a set of classes.
const ORDERED_CLASSES: usize = 20;
/// Classes at most.
const CLASSES: usize = 100;
/// Fewer training or test rows than this cannot be judged.
const LEAST_ROWS: usize = 50;

/// What is predicted.
enum Task {
    /// The classes' values, as bits or codes, ascending.
    Classes(Vec<u64>),
    Number,
}

/// Quality of the learner trained on each side; `None` without a hold-out or with too few rows. A usage error where the
/// target is not a compared column.
pub(crate) fn predictive_utility(frames: &Frames, target: &str, draws: &Draws) -> Result<Option<LearnerUtility>> {
    let Some(position) = frames.columns.iter().position(|c| c.name == target) else {
        let names: Vec<&str> = frames.columns.iter().map(|c| c.name.as_str()).collect();
        return Err(Error::usage("the target is not a column that can be predicted")
            .column(target)
            .remedy(format!("choose one of {}", names.join(", ")))
            .into());
    };
    let Some(holdout) = &frames.holdout else { return Ok(None) };
    let missing = frames.columns[position].missing_code();
    let labelled = |frame: &Frame| frame.take(&rows_with_label(&frame.columns[position], missing));
    let (real, synthetic, test) = (labelled(&frames.real), labelled(&frames.synthetic), labelled(holdout));
    if frames.columns.len() < 2 || [&real, &synthetic, &test].iter().any(|f| f.rows < LEAST_ROWS) {
        return Ok(None);
    }
    let task = match task_of(&real.columns[position]) {
        Some(task) => task,
        None => return Ok(None),
    };
    let both = real.stacked(&synthetic);
    let sides = [("real", real), ("synthetic", synthetic), ("both", both)];
    let scores: Vec<Option<f64>> =
        sides.par_iter().map(|(name, side)| quality(side, &test, position, &task, draws, name)).collect();
    let metric = match &task {
        Task::Number => "r2",
        Task::Classes(classes) if classes.len() == 2 => "auc",
        Task::Classes(_) => "accuracy",
    };
    Ok(Some(LearnerUtility { metric: metric.into(), real: scores[0], synthetic: scores[1], both: scores[2] }))
}

fn rows_with_label(target: &Values, missing: Option<u32>) -> Vec<usize> {
    match target {
        Values::Ordered(y) => (0..y.len()).filter(|r| !y[*r].is_nan()).collect(),
        Values::Category(y) => (0..y.len()).filter(|r| Some(y[*r]) != missing).collect(),
    }
}

/// The class of each row as bits.
fn classes_of(target: &Values) -> Vec<u64> {
    match target {
        Values::Ordered(y) => y.iter().map(|y| (y + 0.0).to_bits()).collect(),
        Values::Category(y) => y.iter().map(|y| u64::from(*y)).collect(),
    }
}

/// `None` where there is only one class, or too many.
fn task_of(target: &Values) -> Option<Task> {
    let mut classes = classes_of(target);
    classes.sort_unstable();
    classes.dedup();
    match target {
        Values::Ordered(_) if classes.len() > ORDERED_CLASSES => Some(Task::Number),
        _ if (2..=CLASSES).contains(&classes.len()) => Some(Task::Classes(classes)),
        _ => None,
    }
}

fn quality(train: &Frame, test: &Frame, target: usize, task: &Task, draws: &Draws, side: &str) -> Option<f64> {
    let family = draws.family("assess.predictive", side);
    let train = train.take(&sample_rows(train.rows, TRAINING_ROWS, &mut family.row(0)));
    let features = train.without(target);
    let binner = Binner::fit(&features);
    let (known, unseen) = (binner.bin(&features), binner.bin(&test.without(target)));
    let all: Vec<usize> = (0..train.rows).collect();
    let predict = |labels: &[f64], objective: Objective, number: u64| -> Vec<f64> {
        let model = Boosted::fit(&known, labels, &all, objective, family.row(number));
        (0..test.rows).map(|row| model.predict(&unseen, row)).collect()
    };
    match task {
        Task::Number => {
            let (Values::Ordered(y), Values::Ordered(truth)) = (&train.columns[target], &test.columns[target]) else {
                return None;
            };
            r_squared(&predict(y, Objective::Squared, 1), truth)
        }
        Task::Classes(classes) => {
            let (y, truth) = (classes_of(&train.columns[target]), classes_of(&test.columns[target]));
            let against_rest = |number: usize| {
                let labels: Vec<f64> = y.iter().map(|y| f64::from(u8::from(*y == classes[number]))).collect();
                predict(&labels, Objective::Logistic, 1 + number as u64)
            };
            if classes.len() == 2 {
                let positive: Vec<bool> = truth.iter().map(|t| *t == classes[1]).collect();
                return roc_auc(&against_rest(1), &positive);
            }
            let scores: Vec<Vec<f64>> = (0..classes.len()).into_par_iter().map(against_rest).collect();
            Some(accuracy(&scores, classes, &truth))
        }
    }
}

/// Share of rows whose class has the largest score (the first of equal ones).
fn accuracy(scores: &[Vec<f64>], classes: &[u64], truth: &[u64]) -> f64 {
    let guess = |row: usize| (0..classes.len()).rev().max_by(|a, b| scores[*a][row].total_cmp(&scores[*b][row]));
    let right = (0..truth.len()).filter(|row| guess(*row).is_some_and(|g| classes[g] == truth[*row])).count();
    right as f64 / truth.len() as f64
}

fn r_squared(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let around = |of: &dyn Fn(usize) -> f64| (0..truth.len()).map(|i| (truth[i] - of(i)).powi(2)).sum::<f64>();
    let total = around(&|_| mean);
    (total > 0.0).then(|| 1.0 - around(&|i| predicted[i]) / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ColumnInfo;
    use rand::Rng;
    use twinmart_tables::ColumnKind;

    /// Feature x; target: `classes` bands of x, or x itself for 0. `broken` makes the target independent.
    fn side(seed: u64, classes: u32, broken: bool) -> Frame {
        let mut draw = Draws::new(seed).stream("side");
        let x: Vec<f64> = (0..1500).map(|_| draw.random()).collect();
        let source: Vec<f64> = if broken { (0..1500).map(|_| draw.random()).collect() } else { x.clone() };
        let target = match classes {
            0 => Values::Ordered(source),
            n => Values::Category(source.iter().map(|x| (x * f64::from(n)) as u32).collect()),
        };
        Frame { columns: vec![Values::Ordered(x), target], rows: 1500 }
    }

    #[test]
    fn a_broken_relation_shows_for_every_kind_of_target() {
        for (classes, metric, chance) in [(2, "auc", 0.5), (4, "accuracy", 0.25), (0, "r2", 0.0)] {
            let info = |name: &str| ColumnInfo { name: name.into(), kind: ColumnKind::Number, labels: Vec::new() };
            let frames = Frames {
                columns: vec![info("x"), info("y")],
                real: side(1, classes, false),
                synthetic: side(2, classes, true),
                holdout: Some(side(3, classes, false)),
            };
            let found = predictive_utility(&frames, "y", &Draws::new(1)).unwrap().unwrap();
            assert_eq!(found.metric, metric);
            assert!(found.real.unwrap() > 0.95, "{found:?}");
            assert!((found.synthetic.unwrap() - chance).abs() < 0.15, "{found:?}");
            let error = predictive_utility(&frames, "z", &Draws::new(1)).unwrap_err().to_string();
            assert!(error.contains("column `z`") && error.contains("x, y"), "{error}");
        }
    }
}
