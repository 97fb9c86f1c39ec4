//! `twinmart bench rows --densities`: the families of densities, each for the same time on the same rows.
//!
//! The encoding is learned from the training rows, and all families see its codes. Held-out rows with a value that it does
//! not know (one that too few training rows share) have no codes and are left out, for all families alike.

use super::given::{Given, Rows};
use super::processor::own_seconds;
use super::results::{SCORE_COLUMNS, Score, aligned, rounded, shown};
use super::rows::score;
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use rand::RngCore;
use rand::seq::index;
use rayon::prelude::*;
use serde::Serialize;
use std::time::{Duration, Instant};
use twinmart_density::blend::Blend;
use twinmart_density::circuit::Circuit;
use twinmart_density::mixture::Mixture;
use twinmart_density::network::{Network, Size};
use twinmart_density::trees::Trees;
use twinmart_density::{Fitting, Parts, RowDensity, UNKNOWN};
use twinmart_encode::Resolution;
use twinmart_encode::codes::{Codes, parents};
use twinmart_encode::table::{ColumnInput, ColumnType, TableEncoding};
use twinmart_privacy::PersonThreshold;
use twinmart_tables::{ColumnKind, Draws, Error, Progress, Result, Stream, Table};

/// Rows that are drawn together.
const CHUNK: usize = 2_048;

/// The families on one table.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    table: String,
    /// Integer variables of an encoded row.
    sub_columns: usize,
    rows_learned: usize,
    /// Held-out rows whose likelihood is asked.
    rows_tested: usize,
    /// Held-out rows with a value that the encoding does not know.
    rows_left_out: usize,
    /// Mean log-likelihood of a held-out row where every variable depends only on its own coarser ones.
    independent_log_likelihood: f64,
    /// The most likely first.
    families: Vec<Measured>,
}

/// One family.
#[derive(Debug, Serialize)]
struct Measured {
    family: &'static str,
    /// Mean over held-out rows, in nats; each variable is a cell of values, so only differences have a meaning.
    log_likelihood: f64,
    /// Standard error of that mean.
    log_likelihood_error: f64,
    fit_seconds: f64,
    fit_cpu_seconds: Option<f64>,
    /// Why the fit ended.
    ended: Ended,
    /// Numbers that the model holds.
    numbers: usize,
    /// Wall seconds of drawing as many rows as the training part has.
    draw_seconds: f64,
    score: Score,
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Ended {
    /// It stopped by itself: more time changes nothing.
    Converged,
    /// Time was over.
    Deadline,
}

#[derive(Debug, Clone, Copy)]
enum Family {
    Trees,
    Network,
    Mixture,
    Circuit,
    /// Trees and network.
    Blend,
}

impl Family {
    const ALL: [Family; 5] = [Family::Trees, Family::Network, Family::Mixture, Family::Circuit, Family::Blend];

    fn name(self) -> &'static str {
        match self {
            Family::Trees => "trees",
            Family::Network => "network",
            Family::Mixture => "mixture",
            Family::Circuit => "circuit",
            Family::Blend => "blend",
        }
    }

    /// Learns; true where the family itself says that the deadline ended it.
    fn fit(self, codes: &Codes, fitting: &Fitting) -> Result<(Box<dyn RowDensity>, bool)> {
        let people: Vec<u64> = (0..codes.rows() as u64).collect();
        let parts = || Parts::of(codes, &people, fitting.draws);
        Ok(match self {
            Family::Trees => {
                let trees = Trees::fit(codes, &people, fitting)?;
                let unfinished = trees.is_unfinished();
                (Box::new(trees), unfinished)
            }
            Family::Network => {
                let network = Network::fit(&parts(), fitting, Size::Base)?;
                let unfinished = network.is_unfinished();
                (Box::new(network), unfinished)
            }
            Family::Mixture => (Box::new(Mixture::fit(&parts(), fitting)?), false),
            Family::Circuit => (Box::new(Circuit::fit(&parts(), fitting)?), false),
            Family::Blend => {
                let blend = Blend::fit(codes, &people, fitting, Size::Base)?;
                let unfinished = blend.is_unfinished();
                (Box::new(blend), unfinished)
            }
        })
    }
}

/// Fits all families on a table, one after the other, each for `minutes` at most.
pub(crate) fn compare(given: &Given, minutes: f64, seed: u64, progress: &Progress) -> Result<Comparison> {
    let (rows, draws) = (given.load(progress)?, Draws::new(seed));
    let encoding = encoding(&rows.train, draws)?;
    let sub_columns = encoding.sub_columns();
    if sub_columns.is_empty() {
        return Err(Error::data("no column has a value that enough rows share").table(&given.name).into());
    }
    let learned = sampled(encode(&encoding, &rows.train)?, Trees::rows_wanted(&sub_columns), draws);
    let all = encode(&encoding, &rows.test)?;
    let known = |row: &usize| all.values.iter().all(|v| v[*row] != UNKNOWN);
    let tested = at(&all, &(0..all.rows()).filter(known).collect::<Vec<_>>());
    if tested.rows() == 0 {
        return Err(Error::data("every row to test on has a value that too few training rows share")
            .table(&given.name)
            .remedy("leave out columns of names or free text")
            .into());
    }
    let bench = Bench { given, rows, encoding, draws, minutes, progress };
    let mut families = Vec::new();
    for family in Family::ALL {
        families.push(bench.measure(family, &learned, &tested)?);
    }
    families.sort_by(|a, b| b.log_likelihood.total_cmp(&a.log_likelihood));
    Ok(Comparison {
        table: given.name.clone(),
        sub_columns: sub_columns.len(),
        rows_learned: learned.rows(),
        rows_tested: tested.rows(),
        rows_left_out: all.rows() - tested.rows(),
        independent_log_likelihood: independent(&learned, &tested),
        families,
    })
}

/// What all families share on one table.
struct Bench<'a> {
    given: &'a Given,
    rows: Rows,
    encoding: TableEncoding,
    draws: Draws,
    minutes: f64,
    progress: &'a Progress,
}

impl Bench<'_> {
    fn measure(&self, family: Family, learned: &Codes, tested: &Codes) -> Result<Measured> {
        let title = format!("{}: {}", self.given.name, family.name());
        let task = self.progress.start(&title, None, "models");
        let (began, cpu) = (Instant::now(), own_seconds());
        let deadline = began + Duration::from_secs_f64(self.minutes * 60.0);
        let progress = self.progress.clone();
        let fitting = Fitting { draws: self.draws, steps: 0, deadline: Some(deadline), progress };
        let (density, unfinished) = family.fit(learned, &fitting)?;
        let is_late = unfinished || Instant::now() >= deadline;
        let fit_seconds = rounded(began.elapsed().as_secs_f64(), 3);
        let fit_cpu_seconds = own_seconds().zip(cpu).map(|(after, before)| rounded(after - before, 2));
        task.advance(1)?;
        drop(task);
        let (log_likelihood, log_likelihood_error) = mean_and_error(&density.log_likelihood(tested));
        let began = Instant::now();
        let twin = self.draw(family, density.as_ref())?;
        let draw_seconds = rounded(began.elapsed().as_secs_f64(), 3);
        Ok(Measured {
            family: family.name(),
            log_likelihood,
            log_likelihood_error,
            fit_seconds,
            fit_cpu_seconds,
            ended: if is_late { Ended::Deadline } else { Ended::Converged },
            numbers: density.numbers(),
            draw_seconds,
            score: score(self.given, &self.rows, &twin, self.draws.seed(), self.progress)?,
        })
    }

    /// A twin of as many rows as the training part.
    fn draw(&self, family: Family, density: &dyn RowDensity) -> Result<Table> {
        let rows = self.rows.train.rows();
        let streams = self.draws.family("bench.densities", family.name());
        let chunks: Vec<usize> = (0..rows).step_by(CHUNK).collect();
        let one = |first: &usize| {
            let last = (first + CHUNK).min(rows);
            self.progress.check()?;
            self.decoded(density, (*first..last).map(|row| streams.row(row as u64)).collect())
        };
        let batches = chunks.par_iter().map(one).collect::<Result<_>>()?;
        Ok(self.rows.train.with_batches(batches))
    }

    /// One row for each stream. Keys are missing: no measurement looks at them.
    fn decoded(&self, density: &dyn RowDensity, mut streams: Vec<Stream>) -> Result<RecordBatch> {
        let mut values = vec![vec![UNKNOWN; streams.len()]; self.encoding.sub_columns().len()];
        density.fill(&mut values, &mut streams);
        let schema = &self.rows.test.schema;
        let types: Vec<ColumnType> =
            schema.fields().iter().map(|f| ColumnType { data_type: f.data_type(), nullable: true }).collect();
        let decoded = self.encoding.decode(&values, &types, &mut streams)?;
        let columns = decoded.into_iter().zip(&types);
        let columns = columns.map(|(c, of)| c.unwrap_or_else(|| new_null_array(of.data_type, streams.len())));
        Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
    }
}

/// Keys are not learned.
fn encoding(table: &Table, draws: Draws) -> Result<TableEncoding> {
    let columns = columns(table)?;
    let family = draws.family("synth.threshold", &table.name);
    let inputs = columns.iter().enumerate().map(|(position, values)| ColumnInput {
        name: table.schema.field(position).name(),
        values,
        kind: Some(table.kinds[position]).filter(|k| !matches!(k, ColumnKind::Id | ColumnKind::Group)),
        threshold: PersonThreshold::draw(family.row(position as u64).next_u64()),
    });
    let people: Vec<u64> = (0..table.rows() as u64).collect();
    TableEncoding::of(&inputs.collect::<Vec<_>>(), &people, Resolution::default())
        .map_err(|e| e.with(|p| p.table(&table.name)))
}

fn columns(table: &Table) -> Result<Vec<ArrayRef>> {
    (0..table.schema.fields().len()).map(|position| table.column_at(position)).collect()
}

fn encode(encoding: &TableEncoding, table: &Table) -> Result<Codes> {
    encoding.encode(&columns(table)?.iter().collect::<Vec<_>>())
}

/// The rows at `rows`.
fn at(codes: &Codes, rows: &[usize]) -> Codes {
    let of = |values: &Vec<u32>| rows.iter().map(|row| values[*row]).collect();
    Codes { sub_columns: codes.sub_columns.clone(), values: codes.values.iter().map(of).collect() }
}

/// At most `wanted` rows, drawn at random: the trees would learn from no more.
fn sampled(codes: Codes, wanted: usize, draws: Draws) -> Codes {
    if codes.rows() <= wanted {
        return codes;
    }
    let mut rows = index::sample(&mut draws.stream("bench.learned"), codes.rows(), wanted).into_vec();
    rows.sort_unstable();
    at(&codes, &rows)
}

/// Mean log-likelihood of `tested` under the frequencies of each variable given its coarser ones, with one row added for each
/// code.
fn independent(learned: &Codes, tested: &Codes) -> f64 {
    let above = [learned, tested].map(|c| parents(&c.sub_columns, &c.values));
    let mut sum = 0.0;
    for (p, sub_column) in learned.sub_columns.iter().enumerate() {
        let mut counts: Vec<Vec<f64>> = sub_column.members.iter().map(|m| vec![1.0; *m as usize]).collect();
        above[0][p].iter().zip(&learned.values[p]).for_each(|(n, c)| counts[*n as usize][*c as usize] += 1.0);
        let totals: Vec<f64> = counts.iter().map(|c| c.iter().sum()).collect();
        let rows = above[1][p].iter().zip(&tested.values[p]);
        sum += rows.map(|(n, c)| (counts[*n as usize][*c as usize] / totals[*n as usize]).ln()).sum::<f64>();
    }
    sum / tested.rows() as f64
}

/// The mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

/// All comparisons as one table.
pub(crate) fn text(comparisons: &[Comparison]) -> String {
    let mut header = vec!["table", "family", "ended", "log-likelihood", "±", "fit s", "cpu s", "numbers", "draw s"];
    header.extend(SCORE_COLUMNS);
    let mut rows = Vec::new();
    for comparison in comparisons {
        for family in &comparison.families {
            let ended = match family.ended {
                Ended::Converged => "converged",
                Ended::Deadline => "deadline",
            };
            let mut row = vec![comparison.table.clone(), family.family.into(), ended.into()];
            row.extend([shown(Some(family.log_likelihood), 3), shown(Some(family.log_likelihood_error), 3)]);
            row.extend([shown(Some(family.fit_seconds), 1), shown(family.fit_cpu_seconds, 1)]);
            row.extend([family.numbers.to_string(), shown(Some(family.draw_seconds), 2)]);
            row.extend(family.score.cells());
            rows.push(row);
        }
        let alone = shown(Some(comparison.independent_log_likelihood), 3);
        rows.push(vec![comparison.table.clone(), "(columns alone)".into(), String::new(), alone]);
    }
    let mut text = aligned(&header, 3, rows);
    for c in comparisons {
        text.push_str(&format!(
            "\n{}: {} rows learned, {} tested, {} left out for a value that too few training rows share",
            c.table, c.rows_learned, c.rows_tested, c.rows_left_out
        ));
    }
    text
}
