//! Learning the trees of all sub-columns.

use super::boost::{Boosted, Problem, Rows, base, boost};
use super::features::{Feature, branches};
use super::{Target, Trees};
use crate::Fitting;
use rand::Rng;
use rayon::prelude::*;
use std::time::Instant;
use twinmart_encode::codes::{Codes, SubColumn, nodes, parents};
use twinmart_tables::{Result, Task};

/// Rounds at most, unless more are asked for.
const MOST_ROUNDS: usize = 400;
/// Where a deadline can end the learning: with all sub-columns at so many rounds. Those between the first and the last are
/// passed over where there is time for more.
const STAGES: [usize; 4] = [4, 20, 80, MOST_ROUNDS];
/// The next stages are expected to take this many times longer, for each round, than the one before.
const CAUTION: f64 = 1.5;
/// Sub-columns that a target looks at, at most: those that tell most about it.
const MOST_INPUTS: usize = 48;
/// Rows by which inputs are compared.
const SCREENING_ROWS: usize = 5_000;
/// Of a table of very many columns, each still looks at the best so many.
const FEWEST_INPUTS: usize = 8;
/// Rows times inputs, summed over the sub-columns, that are learned in a few minutes on two cores …
const COST: usize = 60_000_000;
/// … but never fewer rows than this.
const FEWEST_ROWS: usize = 20_000;
/// The same sum beyond which sub-columns look at fewer inputs.
const COST_OF_WIDE_TABLES: usize = 80_000_000;

/// How many rows are worth learning from; more would take too long for what they add.
pub(super) fn rows_wanted(sub_columns: &[SubColumn]) -> usize {
    (COST / all_inputs(sub_columns, MOST_INPUTS).max(1)).max(FEWEST_ROWS)
}

/// Inputs of all sub-columns, with at most so many for each.
fn all_inputs(sub_columns: &[SubColumn], most: usize) -> usize {
    (0..sub_columns.len()).map(|p| inputs(sub_columns, p).len().min(most)).sum()
}

/// How many inputs each sub-column looks at, at most.
fn most_inputs(sub_columns: &[SubColumn], rows: usize) -> usize {
    let fits = |most: &usize| all_inputs(sub_columns, *most).saturating_mul(rows) <= COST_OF_WIDE_TABLES;
    (FEWEST_INPUTS + 1..=MOST_INPUTS).rev().find(fits).unwrap_or(FEWEST_INPUTS)
}

/// Below so many rows a single validation part says too little: each of [`FOLDS`] parts is held out in turn, and what they
/// say together is learned again from all rows …
const FEW_ROWS: usize = 20_000;
/// … unless rows times inputs, summed over the sub-columns, are more than this.
const COST_OF_FOLDS: usize = 40_000_000;
const FOLDS: usize = 3;
/// Parts that people are dealt to; one of them is the validation part of a long table.
const PARTS: usize = 9;

/// Rows as the trees see them.
struct Binned<'a> {
    codes: &'a Codes,
    /// Nodes of the level above: `[sub_columns][rows]`.
    parents: Vec<Vec<u32>>,
    /// `[sub_columns][rows]`
    bins: Vec<Vec<u8>>,
}

impl<'a> Binned<'a> {
    fn of(codes: &'a Codes) -> (Binned<'a>, Vec<Feature>) {
        let sub_columns = &codes.sub_columns;
        let parents = parents(sub_columns, &codes.values);
        let branches = branches(sub_columns);
        let one = |p: usize| {
            let reached = nodes(&sub_columns[p], &parents[p], &codes.values[p]);
            let mut counts = vec![0u32; sub_columns[p].nodes()];
            reached.iter().for_each(|n| counts[*n as usize] += 1);
            let feature = Feature::of(&sub_columns[p], &counts, &branches[p]);
            let bins: Vec<u8> = reached.iter().map(|n| feature.bin[*n as usize]).collect();
            (bins, feature)
        };
        let (bins, features) = (0..sub_columns.len()).into_par_iter().map(one).unzip();
        (Binned { codes, parents, bins }, features)
    }

    /// What a target sees of some rows.
    fn rows(&self, inputs: &[usize], target: usize, chosen: &[u32]) -> Rows {
        let bins = |input: &usize| chosen.iter().map(|row| self.bins[*input][*row as usize]).collect();
        let of = |values: &[u32]| chosen.iter().map(|row| values[*row as usize]).collect();
        Rows {
            bins: inputs.iter().map(bins).collect(),
            parents: of(&self.parents[target]),
            codes: of(&self.codes.values[target]),
        }
    }
}

impl Trees {
    /// Learns the trees of every sub-column. A step is a round of boosting; a model that a deadline stopped is that of the
    /// number of steps that it records.
    ///
    /// # Errors
    /// [`twinmart_tables::Error::Interrupted`].
    pub fn fit(codes: &Codes, subjects: &[u64], fitting: &Fitting) -> Result<Trees> {
        let (rows, features) = Binned::of(codes);
        let family = fitting.draws.family("density.validation", "");
        let part: Vec<usize> = subjects.par_iter().map(|s| family.row(*s).random_range(0..PARTS)).collect();
        let sub_columns = &codes.sub_columns;
        let most = most_inputs(sub_columns, part.len());
        let cost = all_inputs(sub_columns, most).saturating_mul(part.len());
        let screening = Screening { rows: &rows, features: &features, most };
        let learner = Learner {
            sub_columns,
            features: &features,
            rows: &rows,
            part: &part,
            inputs: (0..sub_columns.len()).into_par_iter().map(|p| screening.inputs(p)).collect(),
            folds: part.len() < FEW_ROWS && cost <= COST_OF_FOLDS,
            fitting,
        };
        let (targets, rounds, unfinished) = learner.learn()?;
        Ok(Trees { sub_columns: codes.sub_columns.clone(), features, targets, rounds: rounds as u64, unfinished })
    }
}

struct Learner<'a> {
    sub_columns: &'a [SubColumn],
    features: &'a [Feature],
    rows: &'a Binned<'a>,
    /// The part of each row.
    part: &'a [usize],
    /// Of each sub-column.
    inputs: Vec<Vec<usize>>,
    /// Whether each part is held out in turn.
    folds: bool,
    fitting: &'a Fitting,
}

/// A target, and whether more rounds could help it.
struct Learned {
    target: Target,
    unfinished: bool,
}

impl Learner<'_> {
    /// Learns in stages of more and more rounds; returns the targets of the last whole stage, its rounds, and whether it was
    /// not the last one.
    fn learn(&self) -> Result<(Vec<Target>, usize, bool)> {
        let most = match usize::try_from(self.fitting.steps) {
            Ok(steps) if steps > 0 => steps,
            _ => MOST_ROUNDS,
        };
        let stages: Vec<usize> = match self.fitting.deadline {
            Some(_) => STAGES.into_iter().filter(|s| *s < most).chain([most]).collect(),
            None => vec![most],
        };
        let total = self.sub_columns.len() as u64;
        let task = self.fitting.progress.start("learning", Some(total), "sub-columns");
        let mut done: Vec<Learned> = Vec::new();
        let (mut reached, mut at) = (0, 0);
        while let Some(rounds) = stages.get(at).copied() {
            // The first stage always ends: there must be a model.
            let deadline = self.fitting.deadline.filter(|_| reached > 0);
            let start = Instant::now();
            let Some(stage) = self.stage(&done, rounds, deadline, &task)? else { break };
            match done.is_empty() {
                true => done = stage.into_iter().flatten().collect(),
                false => {
                    let news = done.iter_mut().zip(stage).filter_map(|(old, new)| Some((old, new?)));
                    news.for_each(|(old, new)| *old = new);
                }
            }
            reached = rounds;
            at += 1;
            let for_each_round = start.elapsed().as_secs_f64() / rounds as f64 * CAUTION;
            let left = self.fitting.deadline.map_or(0.0, |d| (d - Instant::now()).as_secs_f64());
            at += stages[at..].iter().rposition(|rounds| for_each_round * *rounds as f64 <= left).unwrap_or(0);
        }
        Ok((done.into_iter().map(|l| l.target).collect(), reached, reached < most))
    }

    /// All sub-columns that more rounds could help, with so many; `None` where the deadline came first.
    fn stage(
        &self,
        done: &[Learned],
        rounds: usize,
        deadline: Option<Instant>,
        task: &Task,
    ) -> Result<Option<Vec<Option<Learned>>>> {
        let one = |p: usize| match done.get(p) {
            Some(learned) if !learned.unfinished => Ok(Some(None)),
            _ => Ok(self.target(p, rounds, deadline, task)?.map(Some)),
        };
        let stage = (0..self.sub_columns.len()).into_par_iter().with_max_len(1).map(one);
        Ok(stage.collect::<Result<Vec<_>>>()?.into_iter().collect())
    }

    /// Learns one sub-column; `None` where the deadline came first.
    fn target(&self, p: usize, rounds: usize, deadline: Option<Instant>, task: &Task) -> Result<Option<Learned>> {
        let sub_column = &self.sub_columns[p];
        let inputs = &self.inputs[p];
        let all: Vec<u32> = (0..self.part.len() as u32).collect();
        let boosted = if inputs.is_empty() || sub_column.cardinality() < 2 || all.is_empty() {
            let base = base(sub_column, &self.rows.rows(&[], p, &all));
            Some(Boosted { base, trees: Vec::new(), unfinished: false })
        } else {
            let fold = |holds_out: &dyn Fn(usize) -> bool| {
                let (held, kept) = all.iter().copied().partition::<Vec<u32>, _>(|r| holds_out(self.part[*r as usize]));
                (self.rows.rows(inputs, p, &kept), self.rows.rows(inputs, p, &held))
            };
            let folds = match self.folds {
                true => (0..FOLDS).map(|f| fold(&|part| part % FOLDS == f)).collect(),
                false => vec![fold(&|part| part == 0)],
            };
            let problem = Problem {
                features: inputs.iter().map(|i| &self.features[*i]).collect(),
                sub_column,
                folds,
                all: self.folds.then(|| self.rows.rows(inputs, p, &all)),
                draws: self.fitting.draws.family("trees.sketch", &p.to_string()),
                rounds,
                deadline,
            };
            boost(&problem, task)?
        };
        let Some(boosted) = boosted else { return Ok(None) };
        if !boosted.unfinished || rounds >= MOST_ROUNDS {
            task.advance(1)?;
        }
        let inputs = inputs.iter().map(|i| *i as u32).collect();
        let target = Target { inputs, base: boosted.base, trees: boosted.trees };
        Ok(Some(Learned { target, unfinished: boosted.unfinished }))
    }
}

/// Chooses what sub-columns look at.
struct Screening<'a> {
    rows: &'a Binned<'a>,
    features: &'a [Feature],
    /// Inputs of each, at most.
    most: usize,
}

impl Screening<'_> {
    /// The inputs that tell most about a target.
    fn inputs(&self, target: usize) -> Vec<usize> {
        let sub_columns = &self.rows.codes.sub_columns;
        let inputs = inputs(sub_columns, target);
        if inputs.len() <= self.most {
            return inputs;
        }
        let step = self.rows.codes.rows().div_ceil(SCREENING_ROWS).max(1);
        let codes: Vec<u32> = self.rows.codes.values[target].iter().step_by(step).copied().collect();
        let width = sub_columns[target].cardinality();
        let information = |input: &usize| {
            let bins = self.rows.bins[*input].iter().step_by(step).copied();
            mutual_information(bins, self.features[*input].bins, &codes, width)
        };
        let own = |input: &usize| sub_columns[*input].column == sub_columns[target].column;
        let mut ranked: Vec<(usize, f64)> =
            inputs.iter().map(|i| (*i, if own(i) { f64::INFINITY } else { information(i) })).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut chosen: Vec<usize> = ranked.into_iter().take(self.most).map(|(input, _)| input).collect();
        chosen.sort_unstable();
        chosen
    }
}

/// Mutual information in nats, less its expectation without dependence, (bins − 1)(codes − 1)/2n (Miller, "Note on the bias of
/// information estimates", 1955).
fn mutual_information(bins: impl Iterator<Item = u8>, bin_count: usize, codes: &[u32], width: usize) -> f64 {
    let mut joint = vec![0u32; bin_count * width];
    for (bin, code) in bins.zip(codes) {
        joint[usize::from(bin) * width + *code as usize] += 1;
    }
    let n = codes.len().max(1) as f64;
    let x_log_x = |x: u32| if x == 0 { 0.0 } else { f64::from(x) * f64::from(x).ln() };
    let rows: Vec<u32> = joint.chunks(width).map(|r| r.iter().sum()).collect();
    let columns: Vec<u32> = (0..width).map(|c| joint.iter().skip(c).step_by(width).sum()).collect();
    let sum = |x: &[u32]| x.iter().map(|x| x_log_x(*x)).sum::<f64>();
    let used = |x: &[u32]| x.iter().filter(|x| **x > 0).count().max(1) as f64;
    let information = (sum(&joint) - sum(&rows) - sum(&columns)) / n + n.ln();
    information - (used(&rows) - 1.0) * (used(&columns) - 1.0) / (2.0 * n)
}

/// Sub-columns that a target may look at: the finest level of all chains before its own, and the level above.
fn inputs(sub_columns: &[SubColumn], target: usize) -> Vec<usize> {
    let is_last = |p: usize| sub_columns.get(p + 1).is_none_or(|s| s.level == 0);
    let own = target - sub_columns[target].level..target;
    (0..target).filter(|p| if own.contains(p) { *p + 1 == target } else { is_last(*p) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutual_information_of_known_tables() {
        let x: Vec<u8> = (0..400).map(|i| (i % 4) as u8).collect();
        let copy: Vec<u32> = x.iter().map(|x| u32::from(*x)).collect();
        let free: Vec<u32> = (0..400).map(|i| (i / 4 % 4) as u32).collect();
        let bias = 9.0 / 800.0;
        assert!((mutual_information(x.iter().copied(), 4, &copy, 4) - (4f64.ln() - bias)).abs() < 1e-9);
        assert!((mutual_information(x.iter().copied(), 4, &free, 4) + bias).abs() < 1e-9);
    }

    #[test]
    fn inputs_are_the_finest_levels_before() {
        let level = |column, level| SubColumn::new(column, level, true, vec![2; 1 << level]);
        let chain = [level(0, 0), level(0, 1), level(1, 0), level(2, 0), level(2, 1), level(2, 2)];
        assert_eq!(inputs(&chain, 0), [0usize; 0]);
        assert_eq!(inputs(&chain, 1), [0]);
        assert_eq!(inputs(&chain, 3), [1, 2]);
        assert_eq!(inputs(&chain, 5), [1, 2, 4]);
    }
}
