//! `twinmart augment`: a table with rows added until values have the shares that were asked for.

use super::fit::preset;
use crate::pipeline::settings;
use crate::screen::Screen;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use twinmart_synth::Model;
use twinmart_tables::condition::{Condition, Test};
use twinmart_tables::{AtomicFile, Error, FileFormat, Method, Preset, Progress, Project, Result, Table, TableWriter};

/// The column that marks what was made.
const MARK: &str = "synthetic";

/// Add synthetic rows until values have the shares that are asked for, marked in a column `synthetic`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twinmart augment twin/customers.parquet --out more.parquet --target country=France:0.2\n\nWhere twin comes from: sample --help\nA rare class made a third: augment payments.csv --out balanced.csv --target fraud=yes:0.33\nTwo values of one column: augment adult.csv --out more.csv --target race=Other:0.1 --target race=Black:0.2\n\nThe real rows come first, as they are, then the made ones. Shares are of all rows of the result. A model learned before, of the same\ncolumns: augment payments.csv --out balanced.csv --target fraud=yes:0.33 --model payments.twin. Whether more rows help a\nclassifier depends on it and on the data: measure it on real rows (docs/results.md)."
)]
pub(crate) struct Arguments {
    /// The table to add to: Parquet, CSV, JSON lines
    input: PathBuf,
    /// The file to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// A value and its share of the result's rows; several are of one column
    #[arg(long, value_name = "COLUMN=VALUE:SHARE", required = true, value_parser = target)]
    target: Vec<Target>,
    /// A model of the same columns that `twinmart fit` wrote [default: one is learned from the table]
    #[arg(long, value_name = "M.twin")]
    model: Option<PathBuf>,
    /// Size of the model that is learned: small, base or large
    #[arg(long, value_parser = preset, conflicts_with = "model")]
    preset: Option<Preset>,
    /// Stop learning after this many minutes [default: 10]
    #[arg(long, value_name = "M", conflicts_with = "model")]
    max_minutes: Option<f64>,
    /// Steps of learning at most [default: until the held-out likelihood stops improving]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    steps: Option<u64>,
    /// Only write the made rows
    #[arg(long)]
    only_synthetic: bool,
    /// Format of the result [default: by the file's name, else parquet]
    #[arg(long, value_name = "FORMAT")]
    format: Option<super::sample::Format>,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
}

/// A value and the share that it shall have.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    column: String,
    value: String,
    share: f64,
}

fn target(text: &str) -> std::result::Result<Target, String> {
    let fault = || format!("`{text}` is no target; write 'column=value:share', for example 'fraud=yes:0.3'");
    let (rest, share) = text.rsplit_once(':').ok_or_else(fault)?;
    let share: f64 = share.trim().parse().map_err(|_| fault())?;
    if !(share > 0.0 && share < 1.0) {
        return Err(format!("`{text}`: the share must lie between 0 and 1, for example 0.3"));
    }
    let condition: Condition = rest.parse().map_err(|_| fault())?;
    match condition.test {
        Test::In(values) if values.len() == 1 => {
            Ok(Target { column: condition.column, value: values.into_iter().next().unwrap_or_default(), share })
        }
        _ => Err(fault()),
    }
}

/// Rows of a value: in the data, wanted, and made.
#[derive(Debug, serde::Serialize)]
struct Added {
    column: String,
    value: String,
    share: f64,
    real: usize,
    synthetic: u64,
}

pub(crate) fn run(arguments: Arguments, screen: &Screen) -> Result<()> {
    let format = arguments.format.map_or_else(|| FileFormat::of_path(&arguments.out), |f| Ok(f.into()))?;
    drop(AtomicFile::create(&arguments.out, arguments.overwrite)?);
    let project = twinmart_sources::read_project(&arguments.input)?;
    if !project.folder.as_os_str().is_empty() {
        return Err(Error::usage("a project of several tables cannot be augmented yet")
            .file(&arguments.input)
            .remedy(
                "give one data file; for histories, `fit --method replicate --extend N` lengthens those of thin users",
            )
            .into());
    }
    let table = only_table(project.clone(), &screen.progress)?;
    let rows = table.to_batch()?;
    let plan = plan(&rows, &table.name, &arguments.target, &screen.progress)?;
    let model = match &arguments.model {
        Some(path) => Model::load(path)?,
        None => learned(&arguments, project, &table, screen)?,
    };
    let schema = marked(rows.schema())?;
    let mut writer = TableWriter::create(&arguments.out, schema.clone(), format, arguments.overwrite)?;
    if !arguments.only_synthetic {
        writer.write(&with_mark(&rows, &schema, false)?)?;
    }
    for (number, added) in plan.iter().enumerate().filter(|(_, added)| added.synthetic > 0) {
        // Each value draws from streams of its own.
        let seed = screen.seed(model.manifest().seed).wrapping_add(number as u64);
        let condition = Condition { column: added.column.clone(), test: Test::In(vec![added.value.clone()]) };
        let sampler = model.sampler(Some(added.synthetic), seed)?.given(&[condition])?;
        let task =
            screen.progress.start(&format!("drawing {}={}", added.column, added.value), Some(added.synthetic), "rows");
        for batch in sampler.batches(&sampler.tables()[0].0)? {
            let batch = batch?;
            writer.write(&with_mark(&batch, &schema, true)?)?;
            task.advance(batch.num_rows() as u64)?;
        }
    }
    writer.finish()?;
    result(&arguments, rows.num_rows(), &plan, screen)
}

fn only_table(project: Project, progress: &Progress) -> Result<Table> {
    let tables = twinmart_sources::load_project(project, None, progress)?.shop.tables;
    tables.into_iter().next().ok_or_else(|| Error::data("no table").into())
}

fn learned(arguments: &Arguments, project: Project, table: &Table, screen: &Screen) -> Result<Model> {
    let mut settings = settings(&project, Some(Method::Autoregressive.name()), screen.seed(project.project.seed))?;
    settings.preset = arguments.preset.unwrap_or(settings.preset);
    settings.max_minutes = arguments.max_minutes.unwrap_or(settings.max_minutes);
    settings.steps = arguments.steps.unwrap_or(settings.steps);
    let shop = twinmart_tables::Shop { project, tables: vec![table.clone()] };
    twinmart_synth::fit(&shop, &settings, &screen.progress)
}

/// How many rows of each value are made. With n_v of N rows of value v now, and shares s_v wanted, all others stay as they are:
/// the result has T = (N − Σ n_v) / (1 − Σ s_v) rows, s_v · T of value v.
fn plan(rows: &RecordBatch, table: &str, targets: &[Target], progress: &Progress) -> Result<Vec<Added>> {
    let column = &targets[0].column;
    let at = |problem: twinmart_tables::Problem| problem.table(table).column(column);
    if let Some(other) = targets.iter().find(|t| t.column != *column) {
        return Err(at(Error::usage("targets of several columns depend on each other"))
            .value(&other.column)
            .remedy("augment one column, and the result by the other")
            .into());
    }
    let Some(values) = rows.column_by_name(column) else {
        let names = rows.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(", ");
        return Err(at(Error::usage("the table has no such column")).remedy(format!("the columns are {names}")).into());
    };
    let counts = counts(values)?;
    if counts.len() < 2 {
        return Err(at(Error::data("the column has a single value, so no share of it can change"))
            .remedy("choose a column with several values")
            .into());
    }
    let mut real = Vec::with_capacity(targets.len());
    for (number, target) in targets.iter().enumerate() {
        if targets[..number].iter().any(|t| t.value == target.value) {
            return Err(at(Error::usage("the value has two targets")).value(&target.value).remedy("give one").into());
        }
        match counts.get(&target.value) {
            Some(count) => real.push(*count),
            None => {
                let mut known: Vec<(&String, &usize)> = counts.iter().collect();
                known.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
                let some = known.iter().take(20).map(|(value, _)| value.as_str()).collect::<Vec<_>>().join(", ");
                let problem = at(Error::usage("no row has this value")).value(&target.value);
                return Err(problem.remedy(format!("its values are {some}")).into());
            }
        }
    }
    let shares: f64 = targets.iter().map(|t| t.share).sum();
    let others = rows.num_rows() - real.iter().sum::<usize>();
    if shares >= 1.0 || others == 0 {
        return Err(at(Error::usage(format!("the shares add up to {shares}, and leave the other values too little")))
            .remedy("ask for less than 1 in all, of some of the values")
            .into());
    }
    let total = others as f64 / (1.0 - shares);
    let added = targets.iter().zip(real).map(|(target, real)| {
        let wanted = (target.share * total).round();
        if wanted < real as f64 {
            progress.warn(&format!(
                "table `{table}`, column `{column}`: `{}` has {real} rows already, more than {wanted}; none are made",
                target.value
            ));
        }
        let Target { column, value, share } = target.clone();
        Added { column, value, share, real, synthetic: (wanted - real as f64).max(0.0) as u64 }
    });
    Ok(added.collect())
}

/// How often each value occurs, by its text.
fn counts(values: &ArrayRef) -> Result<HashMap<String, usize>> {
    let text = cast(values, &DataType::Utf8)?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for value in text.as_string::<i32>().iter().flatten() {
        match counts.get_mut(value) {
            Some(count) => *count += 1,
            None => drop(counts.insert(value.to_owned(), 1)),
        }
    }
    Ok(counts)
}

fn marked(schema: SchemaRef) -> Result<SchemaRef> {
    if schema.index_of(MARK).is_ok() {
        return Err(Error::usage("the table has a column of the name that marks made rows")
            .column(MARK)
            .remedy("rename it, or leave it out")
            .into());
    }
    let mark = Arc::new(Field::new(MARK, DataType::Boolean, false));
    Ok(Arc::new(Schema::new(schema.fields().iter().cloned().chain([mark]).collect::<Vec<_>>())))
}

fn with_mark(rows: &RecordBatch, schema: &SchemaRef, made: bool) -> Result<RecordBatch> {
    let columns = schema.fields().iter().take(schema.fields().len() - 1).map(|field| {
        let Some(column) = rows.column_by_name(field.name()) else {
            return Err(Error::usage("the model has no such column")
                .column(field.name())
                .remedy("give a model of the same columns")
                .into());
        };
        Ok(cast(column, field.data_type())?)
    });
    let mut columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    columns.push(Arc::new(BooleanArray::from(vec![made; rows.num_rows()])));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

fn result(arguments: &Arguments, real: usize, plan: &[Added], screen: &Screen) -> Result<()> {
    let made: u64 = plan.iter().map(|added| added.synthetic).sum();
    let rows = if arguments.only_synthetic { made } else { real as u64 + made };
    let mut human = format!("wrote {}: {rows} rows, {made} of them made", arguments.out.display());
    for added in plan {
        let share = (added.real as u64 + added.synthetic) as f64 / (real as u64 + made) as f64;
        human.push_str(&format!(
            "\n  {}={}: {} real, {} made: {:.1} % of all",
            added.column,
            added.value,
            added.real,
            added.synthetic,
            100.0 * share
        ));
    }
    let out = arguments.out.display().to_string();
    screen.result(
        &human,
        &serde_json::json!({ "out": out, "rows": rows, "real": real, "synthetic": made, "targets": plan }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_the_right() {
        let told = |text| target(text).unwrap();
        assert_eq!(told("a=b:0.3"), Target { column: "a".into(), value: "b".into(), share: 0.3 });
        assert_eq!(told("at=10:30:0.5").value, "10:30");
        for wrong in ["a=b", "a=b:x", "a=b:1", "a=b:0", "a>3:0.2", "a in (x, y):0.2"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
