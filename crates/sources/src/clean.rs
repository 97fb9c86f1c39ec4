//! The rules of `[clean]`: fitted once, then applied to a stream of rows.
//!
//! Order: drop_duplicates → drop_invalid (as listed) → missing (drops, then fills) → outliers → standardize. What a rule
//! fits (a mean, bounds, a scale) it fits on the rows that the earlier rules leave; all fills see the same rows, and so do
//! all outlier rules and all scalings. Only drop_duplicates remembers anything while rows pass: 16 bytes per distinct row.

use crate::engine::{Engine, nearest};
use crate::report::{RuleReport, TargetReport};
use crate::rows::Rows;
use crate::source::Batches;
use crate::standardize::{Fitted, GRID};
use crate::statistics::{FiniteValues, numbers};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, Scalar, StringArray};
use arrow::compute::{
    CastOptions, cast, cast_with_options, filter_record_batch, is_not_null, is_null, not, prep_null_mask_filter,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::physical_plan::PhysicalExpr;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use twinmart_tables::{CleanRules, Error, Missing, Outliers, Progress, Result, Scaling};

/// Example rows per rule.
const EXAMPLES: usize = 3;
/// 1.4826 · MAD estimates the standard deviation of a normal distribution.
const MAD_SCALE: f64 = 1.4826;

/// One fitted rule.
#[derive(Debug, Clone)]
enum Step {
    DropDuplicates,
    DropInvalid { condition: String, expression: Arc<dyn PhysicalExpr> },
    DropMissing { position: usize },
    Fill { position: usize, rule: String, value: ArrayRef },
    DropOutliers { position: usize, rule: String, low: f64, high: f64 },
    Standardize { position: usize, fitted: Fitted },
}

/// Rows behind the fitted rules of one source or table.
#[derive(Debug)]
pub(crate) struct Cleaned {
    name: String,
    input: Arc<dyn Rows>,
    steps: Arc<[Step]>,
    schema: SchemaRef,
}

impl Cleaned {
    /// Checks and fits the rules; reads the rows as often as statistics need it.
    pub(crate) fn fit(
        engine: &Engine,
        name: &str,
        input: Arc<dyn Rows>,
        rules: &CleanRules,
        progress: &Progress,
    ) -> Result<Cleaned> {
        let mut cleaned = Cleaned { name: name.into(), schema: input.schema(), input, steps: Arc::new([]) };
        if rules.drop_duplicates {
            cleaned.push(vec![Step::DropDuplicates]);
        }
        for condition in &rules.drop_invalid {
            let expression = engine.condition(name, &cleaned.input.schema(), condition)?;
            cleaned.push(vec![Step::DropInvalid { condition: condition.clone(), expression }]);
        }
        cleaned.add_missing(rules, progress)?;
        cleaned.add_outliers(rules, progress)?;
        cleaned.add_scalings(rules, progress)?;
        Ok(cleaned)
    }

    /// The fitted scalings.
    pub(crate) fn transforms(&self) -> Vec<Fitted> {
        let fitted = |step: &Step| match step {
            Step::Standardize { fitted, .. } => Some(fitted.clone()),
            _ => None,
        };
        self.steps.iter().filter_map(fitted).collect()
    }

    /// Reads the rows once and counts what each rule matches on the input and does in its turn.
    pub(crate) fn report(&self, rows: Option<u64>, progress: &Progress) -> Result<TargetReport> {
        let mut report = TargetReport { name: self.name.clone(), ..TargetReport::default() };
        report.rules = self.steps.iter().map(|step| self.describe(step)).collect();
        let task = progress.start(&format!("clean {}", self.name), rows, "rows");
        let mut seen = Seen::new(&self.input.schema())?;
        for batch in self.input.read() {
            let batch = batch?;
            report.rows_in += batch.num_rows() as u64;
            let mut current = batch.clone();
            for (step, rule) in self.steps.iter().zip(&mut report.rules) {
                let (on_input, on_current) = match step {
                    // The first rule: its rows are the input's.
                    Step::DropDuplicates => {
                        let mask = seen.repeated(&batch)?;
                        (mask.clone(), mask)
                    }
                    _ => (step.matches(&batch)?, step.matches(&current)?),
                };
                rule.matched += on_input.true_count() as u64;
                add_examples(rule, &batch, &on_input)?;
                let count = on_current.true_count() as u64;
                if step.removes() {
                    rule.removed += count
                } else {
                    rule.changed += count
                }
                current = step.apply(&current, &on_current)?;
            }
            report.rows_out += current.num_rows() as u64;
            task.advance(batch.num_rows() as u64)?;
        }
        Ok(report)
    }

    fn push(&mut self, steps: Vec<Step>) {
        self.steps = self.steps.iter().cloned().chain(steps).collect();
    }

    /// The rows that the steps so far leave.
    fn so_far(&self) -> Arc<dyn Rows> {
        let (name, input) = (self.name.clone(), self.input.clone());
        Arc::new(Cleaned { name, input, steps: self.steps.clone(), schema: self.schema.clone() })
    }

    fn position(&self, column: &str, rule: &str) -> Result<usize> {
        self.schema.index_of(column).map_err(|_| {
            let names = self.schema.fields().iter().map(|f| f.name().as_str());
            let hint = nearest(column, names.clone());
            Error::usage(format!("the rule `{rule}` names an unknown column{hint}"))
                .table(&self.name)
                .column(column)
                .remedy(format!("the columns are {}", names.collect::<Vec<_>>().join(", ")))
                .into()
        })
    }

    fn add_missing(&mut self, rules: &CleanRules, progress: &Progress) -> Result<()> {
        let mut fills = Vec::new();
        for (column, rule) in &rules.missing {
            let position = self.position(column, "missing")?;
            match rule {
                Missing::Keep => {}
                Missing::Drop => self.push(vec![Step::DropMissing { position }]),
                _ => fills.push((position, column, rule)),
            }
        }
        let rows = self.so_far();
        let fill = |(position, column, rule): (usize, &String, &Missing)| {
            let value = self.fill_value(&rows, position, column, rule, progress)?;
            Ok(Step::Fill { position, rule: String::from(rule.clone()), value })
        };
        let steps = fills.into_iter().map(fill).collect::<Result<Vec<_>>>()?;
        self.push(steps);
        Ok(())
    }

    /// The value that fills gaps, as an array of length 1 in the column's type; integers are rounded.
    fn fill_value(
        &self,
        rows: &Arc<dyn Rows>,
        position: usize,
        column: &str,
        rule: &Missing,
        progress: &Progress,
    ) -> Result<ArrayRef> {
        let data_type = self.schema.field(position).data_type();
        let nothing = || {
            Error::data("no value is present to fill the gaps from")
                .table(&self.name)
                .column(column)
                .remedy("use constant:… or leave the column out")
        };
        let values = || FiniteValues::new(rows, column, None).map_err(|e| e.with(|p| p.table(&self.name)));
        let number = match rule {
            Missing::Mean => Some(values()?.moments(progress)?).filter(|m| m.count > 0).ok_or_else(nothing)?.mean,
            Missing::Median => *values()?.quantiles(&[0.5], progress)?.first().ok_or_else(nothing)?,
            Missing::Mode => return Ok(mode(rows, position, progress)?.ok_or_else(nothing)?),
            Missing::Constant(text) => return self.constant(text, column, data_type),
            Missing::Synthesize | Missing::Keep | Missing::Drop => {
                return Err(Error::usage("`synthesize` needs a row model; not part of this version")
                    .table(&self.name)
                    .column(column)
                    .remedy("use mean, median or mode")
                    .into());
            }
        };
        let number = if data_type.is_integer() { number.round() } else { number };
        Ok(cast(&Float64Array::from(vec![number]), data_type)?)
    }

    fn constant(&self, text: &str, column: &str, data_type: &DataType) -> Result<ArrayRef> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&StringArray::from(vec![text]), data_type, &options).map_err(|_| {
            Error::usage(format!("the constant is not of the column's type {data_type}"))
                .table(&self.name)
                .column(column)
                .value(text)
                .remedy("write a value of that type")
                .into()
        })
    }

    fn add_outliers(&mut self, rules: &CleanRules, progress: &Progress) -> Result<()> {
        let rows = self.so_far();
        let mut steps = Vec::new();
        for (column, rule) in &rules.outliers {
            let position = self.position(column, "outliers")?;
            let values = |centre| FiniteValues::new(&rows, column, centre).map_err(|e| e.with(|p| p.table(&self.name)));
            let bounds = match rule {
                Outliers::None => continue,
                Outliers::Iqr(k) => {
                    let quartiles = values(None)?.quantiles(&[0.25, 0.75], progress)?;
                    quartiles
                        .first()
                        .zip(quartiles.get(1))
                        .map(|(low, high)| (low - k * (high - low), high + k * (high - low)))
                }
                Outliers::Mad(k) => {
                    let median = values(None)?.quantiles(&[0.5], progress)?.first().copied();
                    match median {
                        None => None,
                        Some(m) => values(Some(m))?
                            .quantiles(&[0.5], progress)?
                            .first()
                            .filter(|mad| **mad > 0.0)
                            .map(|mad| (m - k * MAD_SCALE * mad, m + k * MAD_SCALE * mad)),
                    }
                }
            };
            if bounds.is_none() {
                let why = "more than half of its values are equal (or none is present), so the rule matches nothing";
                progress.warn(&format!("table `{}`, column `{column}`: {why}; use iqr:K", self.name));
            }
            let (low, high) = bounds.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            steps.push(Step::DropOutliers { position, rule: String::from(*rule), low, high });
        }
        self.push(steps);
        Ok(())
    }

    fn add_scalings(&mut self, rules: &CleanRules, progress: &Progress) -> Result<()> {
        let rows = self.so_far();
        let mut steps = Vec::new();
        let mut fields: Vec<Arc<Field>> = self.schema.fields().to_vec();
        for (column, scaling) in &rules.standardize {
            let position = self.position(column, "standardize")?;
            let values = || FiniteValues::new(&rows, column, None).map_err(|e| e.with(|p| p.table(&self.name)));
            let parameters = match scaling {
                Scaling::ZScore => {
                    let moments = values()?.moments(progress)?;
                    vec![moments.mean, moments.deviation()]
                }
                Scaling::MinMax => {
                    let moments = values()?.moments(progress)?;
                    vec![moments.min, moments.max - moments.min]
                }
                Scaling::Robust => match values()?.quantiles(&[0.25, 0.5, 0.75], progress)?[..] {
                    [low, middle, high] => vec![middle, high - low],
                    _ => vec![0.0, 1.0],
                },
                Scaling::Quantile => {
                    let grid: Vec<f64> = (0..GRID).map(|i| i as f64 / (GRID - 1) as f64).collect();
                    values()?.quantiles(&grid, progress)?
                }
            };
            let data_type = self.schema.field(position).data_type().to_string();
            let fitted =
                Fitted { target: self.name.clone(), column: column.clone(), scaling: *scaling, parameters, data_type };
            steps.push(Step::Standardize { position, fitted });
            fields[position] = Arc::new(Field::new(column, DataType::Float64, true));
        }
        self.push(steps);
        self.schema = Arc::new(Schema::new(fields));
        Ok(())
    }

    fn describe(&self, step: &Step) -> RuleReport {
        let column = |position: &usize| Some(self.schema.field(*position).name().clone());
        let (rule, column, detail) = match step {
            Step::DropDuplicates => ("drop_duplicates", None, "all copies of a row but the first".to_string()),
            Step::DropInvalid { condition, .. } => ("drop_invalid", None, condition.clone()),
            Step::DropMissing { position } => ("missing", column(position), "drop".to_string()),
            Step::Fill { position, rule, value } => {
                let shown = shown_value(value);
                let detail = if rule.starts_with("constant:") { rule.clone() } else { format!("{rule}: {shown}") };
                ("missing", column(position), detail)
            }
            Step::DropOutliers { position, rule, low, high } if low.is_finite() || high.is_finite() => {
                ("outliers", column(position), format!("{rule}: outside [{low}, {high}]"))
            }
            Step::DropOutliers { position, rule, .. } => {
                ("outliers", column(position), format!("{rule}: no spread, matches nothing"))
            }
            Step::Standardize { position, fitted } => {
                let name = match fitted.scaling {
                    Scaling::ZScore => "z-score",
                    Scaling::MinMax => "min-max",
                    Scaling::Robust => "robust",
                    Scaling::Quantile => "quantile",
                };
                ("standardize", column(position), name.to_string())
            }
        };
        RuleReport { rule: rule.into(), column, detail, ..RuleReport::default() }
    }
}

impl Rows for Cleaned {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn read(&self) -> Batches {
        let steps = self.steps.clone();
        let mut seen = match Seen::new(&self.input.schema()) {
            Ok(seen) => seen,
            Err(e) => return Box::new(std::iter::once(Err(e))),
        };
        Box::new(self.input.read().map(move |batch| {
            let mut current = batch?;
            for step in steps.iter() {
                let mask = match step {
                    Step::DropDuplicates => seen.repeated(&current)?,
                    _ => step.matches(&current)?,
                };
                current = step.apply(&current, &mask)?;
            }
            Ok(current)
        }))
    }
}

impl Step {
    fn removes(&self) -> bool {
        !matches!(self, Step::Fill { .. } | Step::Standardize { .. })
    }

    /// Which rows the rule is about; a condition that is null is not met.
    fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        Ok(match self {
            Step::DropDuplicates => BooleanArray::from(vec![false; batch.num_rows()]),
            Step::DropInvalid { condition, expression } => {
                let failed =
                    |e| Error::from(Error::data(format!("the condition fails on a row ({e})")).value(condition));
                let value = expression.evaluate(batch).and_then(|v| v.into_array(batch.num_rows()));
                let value = value.map_err(failed)?;
                let value = value.as_boolean();
                // A condition that is neither true nor false does not match; without nulls there is nothing to fold in.
                if value.null_count() == 0 { value.clone() } else { prep_null_mask_filter(value) }
            }
            Step::DropMissing { position } | Step::Fill { position, .. } => is_null(batch.column(*position))?,
            Step::DropOutliers { position, low, high, .. } => {
                let values = numbers(batch.column(*position))?;
                values.iter().map(|x| Some(x.is_some_and(|x| x < *low || x > *high))).collect()
            }
            Step::Standardize { position, .. } => is_not_null(batch.column(*position))?,
        })
    }

    /// Removes or changes the rows of the mask.
    fn apply(&self, batch: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
        if self.removes() {
            return if mask.true_count() == 0 {
                Ok(batch.clone())
            } else {
                Ok(filter_record_batch(batch, &not(mask)?)?)
            };
        }
        let (position, column) = match self {
            Step::Fill { position, value, .. } => {
                let value = Scalar::new(value.clone());
                (*position, arrow::compute::kernels::zip::zip(mask, &value, batch.column(*position))?)
            }
            Step::Standardize { position, fitted } => (*position, fitted.apply(batch.column(*position))?),
            _ => return Ok(batch.clone()),
        };
        let mut fields: Vec<Arc<Field>> = batch.schema().fields().to_vec();
        fields[position] = Arc::new(Field::new(fields[position].name(), column.data_type().clone(), true));
        let mut columns = batch.columns().to_vec();
        columns[position] = column;
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// Digests of the rows that passed. Two different rows share a 128-bit digest with a chance below 1e-20 in a billion rows.
struct Seen {
    converter: RowConverter,
    digests: HashSet<u128>,
}

impl Seen {
    fn new(schema: &SchemaRef) -> Result<Seen> {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        Ok(Seen { converter: RowConverter::new(fields)?, digests: HashSet::new() })
    }

    /// True for rows that equal an earlier one in every column; missing equals missing.
    fn repeated(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let rows = self.converter.convert_columns(batch.columns())?;
        Ok(rows.iter().map(|row| Some(!self.digests.insert(digest(row.as_ref())))).collect())
    }
}

fn digest(bytes: &[u8]) -> u128 {
    let half = |salt: u8| {
        // Fixed keys: the same rows give the same digests on every run.
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        bytes.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// The most frequent present value; of equals, the one that appears first.
fn mode(rows: &Arc<dyn Rows>, position: usize, progress: &Progress) -> Result<Option<ArrayRef>> {
    let field = rows.schema().field(position).data_type().clone();
    let converter = RowConverter::new(vec![SortField::new(field)])?;
    let mut counts: HashMap<Box<[u8]>, (u64, u64)> = HashMap::new();
    let mut order = 0;
    for batch in rows.read() {
        progress.check()?;
        let batch = batch?;
        let column = batch.column(position);
        let values = converter.convert_columns(std::slice::from_ref(column))?;
        for (row, value) in values.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            match counts.get_mut(value.as_ref()) {
                Some((count, _)) => *count += 1,
                None => drop(counts.insert(value.as_ref().into(), (1, order + row as u64))),
            }
        }
        order += batch.num_rows() as u64;
    }
    let Some((bytes, _)) = counts.iter().max_by_key(|(_, (count, first))| (*count, std::cmp::Reverse(*first))) else {
        return Ok(None);
    };
    let parser = converter.parser();
    Ok(converter.convert_rows([parser.parse(bytes)])?.pop())
}

/// Adds rows of the mask as column → value until there are three.
fn add_examples(rule: &mut RuleReport, batch: &RecordBatch, mask: &BooleanArray) -> Result<()> {
    for row in (0..mask.len()).filter(|r| mask.value(*r)).take(EXAMPLES - rule.examples.len()) {
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
        writer.write(&batch.slice(row, 1))?;
        writer.finish()?;
        let object = serde_json::from_slice(&writer.into_inner());
        rule.examples.push(object.map_err(|e| Error::data(format!("a row has no JSON form ({e})")))?);
    }
    Ok(())
}

fn shown_value(value: &ArrayRef) -> String {
    arrow::util::display::array_value_to_string(value, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::MemoryRows;
    use crate::standardize::invert;
    use arrow::array::Int64Array;
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Float64Type, Int64Type};
    use proptest::prelude::*;
    use twinmart_tables::{Table, TableDefinition};

    fn rows(columns: Vec<(&str, ArrayRef)>) -> Arc<dyn Rows> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let batches = (0..batch.num_rows()).step_by(3).map(|i| batch.slice(i, 3.min(batch.num_rows() - i))).collect();
        Arc::new(MemoryRows { schema: batch.schema(), batches })
    }

    fn rules(text: &str) -> CleanRules {
        let text = format!("[tables.t]\nsource = 'x.csv'\n[clean.t]\n{text}");
        twinmart_tables::Project::parse(&text, "twinmart.toml".as_ref()).unwrap().clean["t"].clone()
    }

    fn run(input: Arc<dyn Rows>, text: &str) -> Result<(RecordBatch, TargetReport, Cleaned)> {
        let engine = Engine::new()?;
        let cleaned = Cleaned::fit(&engine, "t", input, &rules(text), &Progress::silent())?;
        let batches = cleaned.read().collect::<Result<Vec<_>>>()?;
        let report = cleaned.report(None, &Progress::silent())?;
        Ok((concat_batches(&cleaned.schema(), &batches)?, report, cleaned))
    }

    fn integers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn column(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
        batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
    }

    #[test]
    fn rules_run_in_order_and_count_on_input_and_in_turn() {
        let a = [Some(1), Some(1), Some(-5), None, Some(-5), Some(7), Some(1), None];
        let b = [Some(2), Some(2), Some(0), Some(9), Some(3), None, Some(2), Some(9)];
        let text = "drop_duplicates = true\ndrop_invalid = ['a < 0', 'b < 3 OR a < 0']\nmissing = { a = 'drop', b = 'constant:4' }";
        let (batch, report, _) = run(rows(vec![("a", integers(&a)), ("b", integers(&b))]), text).unwrap();
        let counts: Vec<(u64, u64, u64)> = report.rules.iter().map(|r| (r.matched, r.removed, r.changed)).collect();
        // Copies: rows 2, 7 and 8. Then a < 0 removes rows 3 and 5, b < 3 row 1, the drop row 4; row 6 stays and gets its b.
        assert_eq!(counts, [(3, 3, 0), (2, 2, 0), (5, 1, 0), (2, 1, 0), (1, 0, 1)]);
        assert_eq!((report.rows_in, report.rows_out, batch.num_rows()), (8, 1, 1));
        assert_eq!(report.rules[0].examples[0]["b"], 2);
        assert_eq!(report.rules[3].examples[0]["a"], serde_json::Value::Null);
    }

    #[test]
    fn gaps_are_filled_by_type() {
        let n = integers(&[Some(1), Some(2), None, Some(2), Some(5), Some(5), Some(10)]);
        let s: ArrayRef =
            Arc::new(StringArray::from(vec![Some("x"), None, Some("y"), Some("y"), Some("x"), None, Some("z")]));
        let filled = |rule: &str| {
            let columns = vec![("n", n.clone()), ("s", s.clone())];
            run(rows(columns), &format!("missing = {{ n = '{rule}' }}")).map(|(batch, _, _)| column(&batch, "n")[2])
        };
        // Mean 25 / 6 = 4.17, median 3.5, mode 2 before 5.
        assert_eq!(filled("mean").unwrap(), Some(4));
        assert_eq!(filled("median").unwrap(), Some(4));
        assert_eq!(filled("mode").unwrap(), Some(2));
        assert_eq!(filled("constant:-3").unwrap(), Some(-3));
        assert_eq!(filled("keep").unwrap(), None);
        assert!(filled("constant:many").unwrap_err().to_string().contains("not of the column's type Int64"));
        let (batch, report, _) = run(rows(vec![("s", s.clone())]), "missing = { s = 'mode' }").unwrap();
        let texts: Vec<_> = batch.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(texts, ["x", "x", "y", "y", "x", "x", "z"]);
        assert_eq!((report.rules[0].matched, report.rules[0].changed, &*report.rules[0].detail), (2, 2, "mode: x"));
        let error = run(rows(vec![("n", integers(&[None, None]))]), "missing = { n = 'mean' }").unwrap_err();
        assert!(matches!(error, Error::Data(_)) && error.to_string().contains("no value is present"), "{error}");
    }

    #[test]
    fn outliers_lie_beyond_the_fences() {
        let values: Vec<Option<i64>> = (1..=9).chain([100]).map(Some).chain([None]).collect();
        let out = |rule: &str| {
            column(
                &run(rows(vec![("n", integers(&values))]), &format!("outliers = {{ n = '{rule}' }}")).unwrap().0,
                "n",
            )
        };
        // Quartiles 3.25 and 7.75, fences −3.5 and 14.5; median 5.5, MAD 2.5, fences at 5.5 ± 3 · 3.7065.
        assert_eq!(out("iqr:1.5").len(), 10);
        assert_eq!(out("mad:3").len(), 10);
        assert_eq!(out("iqr:30").len(), 11);
        assert_eq!(out("none").len(), 11);
        assert_eq!(out("mad:3").last(), Some(&None));
        let flat = rows(vec![("n", integers(&[Some(1), Some(1), Some(1), Some(9)]))]);
        assert_eq!(run(flat, "outliers = { n = 'mad:3' }").unwrap().1.rows_out, 4);
    }

    proptest! {
        #[test]
        fn standardised_columns_come_back(values in prop::collection::vec(prop::option::of(-1000..1000_i64), 1..40), scaling in 0..4_usize) {
            let scaling = ["z-score", "min-max", "robust", "quantile"][scaling];
            prop_assume!(values.iter().any(Option::is_some));
            let (batch, _, cleaned) = run(rows(vec![("n", integers(&values))]), &format!("standardize = {{ n = '{scaling}' }}")).unwrap();
            let scaled = batch.column(0).as_primitive::<Float64Type>().clone();
            prop_assert!(scaled.iter().flatten().all(f64::is_finite));
            if matches!(scaling, "min-max" | "quantile") {
                prop_assert!(scaled.iter().flatten().all(|x| (0.0..=1.0).contains(&x)));
            }
            let definition = TableDefinition::default();
            let table = Table { name: "t".into(), definition, schema: batch.schema(), kinds: vec![], batches: vec![batch], population: None, constraints: Vec::new() };
            let back = invert(&cleaned.transforms(), &table).unwrap();
            prop_assert_eq!(column(&back.to_batch().unwrap(), "n"), values);
        }

        #[test]
        fn first_copies_stay_in_order(values in prop::collection::vec(prop::option::of(0..5_i64), 1..40)) {
            let (batch, report, _) = run(rows(vec![("n", integers(&values))]), "drop_duplicates = true").unwrap();
            let mut expected = Vec::new();
            values.iter().for_each(|v| if !expected.contains(v) { expected.push(*v) });
            prop_assert_eq!(report.rules[0].removed as usize, values.len() - expected.len());
            prop_assert_eq!(column(&batch, "n"), expected);
        }
    }
}
