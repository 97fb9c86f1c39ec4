//! Train on synthetic, test on real: does a model learned from the twin predict real held-out rows as well?
//!
//! Boosted trees learn the target column from real rows, from synthetic rows, and from both; each is tested on the
//! held-out rows. Two classes: area under the ROC curve; more classes: accuracy of one-against-rest trees; an ordered
//! target with more than 20 values: R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)². (Esteban et al. 2017, "TSTR".) Of classes also accuracy,
//! precision, recall and F1 of the likeliest class: with C answers counted by (answer, truth), precision is C(p, p) / C(p, ·),
//! recall C(p, p) / C(·, p), F1 2·C(p, p) / (C(p, ·) + C(·, p)).

use crate::boosting::{Binner, Boosted, Objective};
use crate::frame::{Frame, Frames, Values};
use crate::ranks::roc_auc;
use crate::report::{ClassScores, ClassUtility, LearnerUtility};
use crate::sampling::sample_rows;
use rayon::prelude::*;
use std::collections::BTreeMap;
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
    /// The classes' values, as bits or codes, ascending; of two, the positive one.
    Classes(Vec<u64>, Option<u64>),
    Number,
}

/// What a learner gets on the test rows.
struct Outcome {
    quality: Option<f64>,
    classes: Option<ClassScores>,
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
    let outcomes: Vec<Outcome> =
        sides.par_iter().map(|(name, side)| outcome(side, &test, position, &task, draws, name)).collect();
    let metric = match &task {
        Task::Number => "r2",
        Task::Classes(classes, _) if classes.len() == 2 => "auc",
        Task::Classes(..) => "accuracy",
    };
    let classes = match [outcomes[0].classes, outcomes[1].classes, outcomes[2].classes] {
        [Some(real), Some(synthetic), Some(both)] => Some(ClassUtility { real, synthetic, both }),
        _ => None,
    };
    let [real, synthetic, both] = [outcomes[0].quality, outcomes[1].quality, outcomes[2].quality];
    Ok(Some(LearnerUtility { metric: metric.into(), real, synthetic, both, classes }))
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
    let mut rows: BTreeMap<u64, usize> = BTreeMap::new();
    classes_of(target).into_iter().for_each(|class| *rows.entry(class).or_default() += 1);
    match target {
        Values::Ordered(_) if rows.len() > ORDERED_CLASSES => Some(Task::Number),
        _ if (2..=CLASSES).contains(&rows.len()) => {
            // The later of two classes of equal size.
            let rarer = rows.iter().rev().min_by_key(|(_, n)| **n).map(|(class, _)| *class);
            let positive = rarer.filter(|_| rows.len() == 2);
            Some(Task::Classes(rows.into_keys().collect(), positive))
        }
        _ => None,
    }
}

fn outcome(train: &Frame, test: &Frame, target: usize, task: &Task, draws: &Draws, side: &str) -> Outcome {
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
            let quality = match (&train.columns[target], &test.columns[target]) {
                (Values::Ordered(y), Values::Ordered(truth)) => r_squared(&predict(y, Objective::Squared, 1), truth),
                _ => None,
            };
            Outcome { quality, classes: None }
        }
        Task::Classes(classes, positive) => {
            let (y, truth) = (classes_of(&train.columns[target]), classes_of(&test.columns[target]));
            let against_rest = |number: usize| {
                let labels: Vec<f64> = y.iter().map(|y| f64::from(u8::from(*y == classes[number]))).collect();
                predict(&labels, Objective::Logistic, 1 + number as u64)
            };
            if let [negative, other] = classes[..] {
                let odds = against_rest(1);
                let is_other: Vec<bool> = truth.iter().map(|t| *t == other).collect();
                let answers: Vec<u64> = odds.iter().map(|odds| if *odds > 0.0 { other } else { negative }).collect();
                let scores = class_scores(&answers, &truth, *positive);
                return Outcome { quality: roc_auc(&odds, &is_other), classes: Some(scores) };
            }
            let scores: Vec<Vec<f64>> = (0..classes.len()).into_par_iter().map(against_rest).collect();
            let scores = class_scores(&likeliest(&scores, classes), &truth, None);
            Outcome { quality: Some(scores.accuracy), classes: Some(scores) }
        }
    }
}

/// For each row the class with the largest score, the first of equal ones; `scores` is classes × rows.
fn likeliest(scores: &[Vec<f64>], classes: &[u64]) -> Vec<u64> {
    let rows = scores.first().map_or(0, Vec::len);
    let guess = |row: usize| (0..classes.len()).rev().max_by(|a, b| scores[*a][row].total_cmp(&scores[*b][row]));
    (0..rows).filter_map(|row| guess(row).map(|number| classes[number])).collect()
}

/// Answers held against the truth, row by row: for one positive class, or as the mean over all classes that occur.
fn class_scores(answers: &[u64], truth: &[u64], positive: Option<u64>) -> ClassScores {
    let mut counts: BTreeMap<u64, Counts> = BTreeMap::new();
    for (answer, truth) in answers.iter().zip(truth) {
        counts.entry(*answer).or_default().answered += 1.0;
        counts.entry(*truth).or_default().true_rows += 1.0;
        if answer == truth {
            counts.entry(*truth).or_default().right += 1.0;
        }
    }
    let accuracy = share(counts.values().map(|c| c.right).sum(), truth.len() as f64);
    let judged: Vec<Counts> = match positive {
        Some(class) => vec![counts.get(&class).copied().unwrap_or_default()],
        None => counts.into_values().collect(),
    };
    let mean = |of: fn(&Counts) -> f64| share(judged.iter().map(of).sum(), judged.len() as f64);
    ClassScores {
        accuracy,
        precision: mean(|c| share(c.right, c.answered)),
        recall: mean(|c| share(c.right, c.true_rows)),
        f1: mean(|c| share(2.0 * c.right, c.answered + c.true_rows)),
    }
}

/// How often a class was the answer, the truth, and both.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    answered: f64,
    true_rows: f64,
    right: f64,
}

/// A share of a whole, 0 where there is no whole.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
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
            assert_eq!(found.classes.is_some(), classes > 0);
            if let Some(scores) = &found.classes {
                assert!(scores.real.accuracy > 0.9 && scores.real.f1 > 0.9, "{found:?}");
                assert!(scores.synthetic.f1 < 0.7, "{found:?}");
                assert!(metric == "auc" || found.synthetic == Some(scores.synthetic.accuracy), "{found:?}");
            }
            let error = predictive_utility(&frames, "z", &Draws::new(1)).unwrap_err().to_string();
            assert!(error.contains("column `z`") && error.contains("x, y"), "{error}");
        }
    }

    /// `table[answer][truth]` rows of each couple, in any order.
    fn rows_of(table: &[&[usize]]) -> (Vec<u64>, Vec<u64>) {
        let couples = |answer: usize, truth: usize, n: usize| std::iter::repeat_n((answer as u64, truth as u64), n);
        let of_answer = |(answer, row): (usize, &&[usize])| -> Vec<(u64, u64)> {
            row.iter().enumerate().flat_map(|(truth, n)| couples(answer, truth, *n)).collect()
        };
        table.iter().enumerate().flat_map(of_answer).unzip()
    }

    fn close(found: ClassScores, [accuracy, precision, recall, f1]: [f64; 4]) {
        let pairs = [(found.accuracy, accuracy), (found.precision, precision), (found.recall, recall), (found.f1, f1)];
        assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn scores_are_those_of_the_confusion_matrix() {
        // Two classes, 1 positive: 50 true negatives, 10 false negatives, 5 false positives, 20 true positives.
        let (answers, truth) = rows_of(&[&[50, 10], &[5, 20]]);
        close(class_scores(&answers, &truth, Some(1)), [70.0 / 85.0, 20.0 / 25.0, 20.0 / 30.0, 40.0 / 55.0]);
        close(class_scores(&answers, &truth, Some(0)), [70.0 / 85.0, 50.0 / 60.0, 50.0 / 55.0, 100.0 / 115.0]);
        // Three classes, the means over them; class 2 is never the answer.
        let (answers, truth) = rows_of(&[&[4, 1, 2], &[0, 6, 3], &[0, 0, 0]]);
        let precision = (4.0 / 7.0 + 6.0 / 9.0 + 0.0) / 3.0;
        let recall = (4.0 / 4.0 + 6.0 / 7.0 + 0.0) / 3.0;
        let f1 = (8.0 / 11.0 + 12.0 / 16.0 + 0.0) / 3.0;
        close(class_scores(&answers, &truth, None), [10.0 / 16.0, precision, recall, f1]);
        close(class_scores(&[], &[], None), [0.0; 4]);
        close(class_scores(&[0, 0], &[0, 0], Some(1)), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_rarer_of_two_classes_is_positive() {
        let positive = |codes: &[u32]| match task_of(&Values::Category(codes.to_vec())) {
            Some(Task::Classes(_, positive)) => positive,
            _ => None,
        };
        assert_eq!([positive(&[3, 3, 7]), positive(&[3, 7, 7]), positive(&[7, 3])], [Some(7), Some(3), Some(7)]);
        assert_eq!(positive(&[1, 2, 3]), None);
    }
}
