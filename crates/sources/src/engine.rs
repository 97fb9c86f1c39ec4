//! The SQL engine: DataFusion on one thread, with a memory limit and spilling to disk.
//!
//! One partition, always: a plan then visits rows in the files' order, hash aggregates yield groups in order of first
//! appearance and joins keep the order of their probe side, so a query gives the same rows in the same order on every
//! machine and with any number of threads. (A grouping that outgrows the memory limit is spilled and comes back sorted
//! by its keys instead: still the same each time.) Identifiers are taken as written: `Quantity` needs no quotes.

use crate::normal::{normal_batch, normal_schema};
use crate::rows::{Rows, RowsPartition};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Column, DFSchema, SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::StreamExt;
use std::sync::Arc;
use twinmart_tables::{Error, Problem, Progress, Result};

/// What sorts, groupings and joins may hold before they spill.
const MEMORY_LIMIT: usize = 1 << 30;

/// Tables by name, and SQL over them.
pub(crate) struct Engine {
    context: SessionContext,
    runtime: tokio::runtime::Runtime,
    names: Vec<String>,
}

impl Engine {
    pub(crate) fn new() -> Result<Engine> {
        Engine::with_memory(MEMORY_LIMIT)
    }

    /// An engine whose operators spill to disk beyond `bytes`.
    pub(crate) fn with_memory(bytes: usize) -> Result<Engine> {
        let failed = |e: &dyn std::fmt::Display| Error::data(format!("the SQL engine does not start ({e})"));
        let mut config = SessionConfig::new().with_target_partitions(1);
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.sort_spill_reservation_bytes = bytes / 8;
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(bytes)))
            .build_arc()
            .map_err(|e| failed(&e))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| failed(&e))?;
        Ok(Engine { context: SessionContext::new_with_config_rt(config, environment), runtime, names: Vec::new() })
    }

    /// Makes rows a table of this name.
    pub(crate) fn register(&mut self, name: &str, rows: Arc<dyn Rows>) -> Result<()> {
        let partition = Arc::new(RowsPartition::new(rows.clone()));
        let table = StreamingTable::try_new(rows.schema(), vec![partition]).map_err(|e| recovered(&e, name))?;
        self.context.register_table(TableReference::bare(name), Arc::new(table)).map_err(|e| recovered(&e, name))?;
        self.names.push(name.to_string());
        Ok(())
    }

    /// Runs a SELECT and hands over its rows in normal types, batch by batch. `target` is the table it defines, for
    /// messages. Mistakes in the SQL are usage errors that name the nearest valid column or table.
    pub(crate) fn select(
        &self,
        target: &str,
        sql: &str,
        progress: &Progress,
        each: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<SchemaRef> {
        let statement = parse_select(target, sql)?;
        self.runtime.block_on(async {
            let state = self.context.state();
            let plan = state.statement_to_plan(statement).await.map_err(|e| self.misstated(&e, target))?;
            let schema = normal_schema(plan.schema().as_arrow()).map_err(|e| e.with(|p| p.table(target)))?;
            let frame = self.context.execute_logical_plan(plan).await.map_err(|e| self.misstated(&e, target))?;
            let mut stream = frame.execute_stream().await.map_err(|e| self.misstated(&e, target))?;
            while let Some(batch) = stream.next().await {
                progress.check()?;
                let batch = batch.map_err(|e| recovered(&e, target))?;
                if batch.num_rows() > 0 {
                    each(normal_batch(&batch, &schema).map_err(|e| e.with(|p| p.table(target)))?)?;
                }
            }
            Ok(schema)
        })
    }

    /// Compiles a condition over the columns of `schema`. `target` is the source or table, for messages.
    pub(crate) fn condition(&self, target: &str, schema: &SchemaRef, sql: &str) -> Result<Arc<dyn PhysicalExpr>> {
        let compile = || {
            let columns = DFSchema::try_from(schema.clone())?;
            let expression = self.context.parse_sql_expr(sql, &columns)?;
            self.context.create_physical_expr(expression, &columns)
        };
        let expression = compile().map_err(|e| self.misstated(&e, target).with(|p| p.value(sql)))?;
        let data_type = expression.data_type(schema).map_err(|e| self.misstated(&e, target))?;
        if data_type != arrow::datatypes::DataType::Boolean {
            return Err(Error::usage(format!("the condition is of type {data_type}, not true or false"))
                .table(target)
                .value(sql)
                .remedy("write a comparison, for example Quantity <= 0")
                .into());
        }
        Ok(expression)
    }

    /// An error of planning: what the user wrote is wrong.
    fn misstated(&self, error: &DataFusionError, target: &str) -> Error {
        match innermost(error) {
            DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    unknown_column(field, valid_fields, target).into()
                }
                other => Error::usage(first_line(&other.to_string())).table(target).remedy("correct the SQL").into(),
            },
            DataFusionError::External(_) => recovered(error, target),
            other => self.misstated_plan(&first_line(&plain_message(other)), target).into(),
        }
    }

    fn misstated_plan(&self, message: &str, target: &str) -> Problem {
        let missing_table = message.strip_prefix("table '").and_then(|m| m.strip_suffix("' not found"));
        if let Some(path) = missing_table {
            let name = path.rsplit('.').next().unwrap_or(path);
            let hint = nearest(name, self.names.iter().map(String::as_str));
            let known = self.names.join(", ");
            return Error::usage(format!("the SQL names no source or earlier table: `{name}`{hint}"))
                .table(target)
                .remedy(format!("use one of {known}"));
        }
        Error::usage(message).table(target).remedy("correct the SQL")
    }
}

/// Exactly one SELECT (or WITH … SELECT, VALUES): queries only read.
fn parse_select(target: &str, sql: &str) -> Result<Statement> {
    let refuse = |what: String| Error::usage(what).table(target).remedy("write one SELECT");
    let mut statements = DFParser::parse_sql(sql).map_err(|e| refuse(first_line(&plain_message(&e))))?;
    match (statements.pop_back(), statements.is_empty()) {
        (None, _) => Err(refuse("the SQL is empty".into()).into()),
        (Some(_), false) => Err(refuse("the SQL has more than one statement".into()).into()),
        (Some(Statement::Statement(statement)), true) if matches!(*statement, SqlStatement::Query(_)) => {
            Ok(Statement::Statement(statement))
        }
        (Some(other), true) => {
            let word = other.to_string().split_whitespace().next().unwrap_or_default().to_string();
            Err(refuse(format!("{word} is not allowed here")).into())
        }
    }
}

fn unknown_column(field: &Column, valid: &[Column], target: &str) -> Problem {
    let hint = nearest(&field.name, valid.iter().map(|c| c.name.as_str()));
    let mut names: Vec<&str> = valid.iter().map(|c| c.name.as_str()).collect();
    names.dedup();
    Error::usage(format!("the SQL names an unknown column{hint}"))
        .table(target)
        .column(&field.name)
        .remedy(format!("the columns are {}", names.join(", ")))
}

/// «, did you mean `x`?» for the nearest valid name, or nothing when none is near. Letter case costs nothing.
pub(crate) fn nearest<'a>(word: &str, valid: impl Iterator<Item = &'a str>) -> String {
    valid
        .map(|v| (strsim::damerau_levenshtein(&word.to_lowercase(), &v.to_lowercase()), v))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, v)| *distance <= 2.max(v.chars().count() / 2))
        .map(|(_, v)| format!(", did you mean `{v}`?"))
        .unwrap_or_default()
}

/// An error of execution: our own error comes back as it was; anything else is about the data.
pub(crate) fn recovered(error: &DataFusionError, target: &str) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(own) = e.downcast_ref::<Error>() {
            return again(own);
        }
        cause = match e.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => e.source(),
        };
    }
    let root = innermost(error);
    let message = first_line(&plain_message(root));
    if let DataFusionError::ResourcesExhausted(_) = root {
        return Error::data(format!("the query needs more memory than it may use ({message})"))
            .table(target)
            .remedy("join or group fewer rows, or prepare the table beforehand")
            .into();
    }
    Error::data(message).table(target).remedy("correct the SQL, or clean the source first").into()
}

/// A copy of an error that the engine only lends.
fn again(error: &Error) -> Error {
    match error {
        Error::Data(problem) => Error::Data(problem.clone()),
        Error::Usage(problem) => Error::Usage(problem.clone()),
        Error::Io { path, source, remedy } => {
            let source = match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(source.kind(), source.to_string()),
            };
            Error::Io { path: path.clone(), source, remedy: remedy.clone() }
        }
        Error::Interrupted => Error::Interrupted,
    }
}

/// The error below contexts and diagnostics.
fn innermost(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => innermost(inner),
        DataFusionError::Collection(all) => all.first().map_or(error, innermost),
        other => other,
    }
}

/// The message without the engine's own labels.
fn plain_message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::SQL(e, _) => e.to_string().replace("sql parser error: ", ""),
        other => other.message().into_owned(),
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::MemoryRows;
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    fn engine(memory: usize, rows: i64) -> Engine {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|i| (i * 7919) % rows)));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("name of row {i}"))));
        let batch = RecordBatch::try_from_iter([("Number", numbers), ("a name", names)]).unwrap();
        let batches = (0..rows as usize).step_by(1000).map(|i| batch.slice(i, 1000.min(rows as usize - i))).collect();
        let mut engine = Engine::with_memory(memory).unwrap();
        engine.register("lines", Arc::new(MemoryRows { schema: batch.schema(), batches })).unwrap();
        engine
    }

    fn run(engine: &Engine, sql: &str) -> Result<Vec<i64>> {
        let mut out = Vec::new();
        engine.select("t", sql, &Progress::silent(), &mut |batch| {
            out.extend(batch.column(0).as_primitive::<Int64Type>().values().iter());
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn identifiers_are_taken_as_written_and_functions_in_any_case() {
        let engine = engine(1 << 26, 10);
        assert_eq!(run(&engine, "SELECT Number FROM lines WHERE \"a name\" LIKE '%row 3'").unwrap(), [7]);
        assert_eq!(run(&engine, "select COUNT(*) from lines where Upper(\"a name\") like 'NAME%'").unwrap(), [10]);
        assert_eq!(run(&engine, "SELECT CAST(MEDIAN(Number) AS BIGINT) FROM lines").unwrap(), [4]);
    }

    #[test]
    fn mistakes_in_sql_name_the_nearest_valid_name() {
        let engine = engine(1 << 26, 10);
        let cases = [
            ("SELECT Numbr FROM lines", "column `Numbr`: the SQL names an unknown column, did you mean `Number`?"),
            ("SELECT number FROM lines", "did you mean `Number`?"),
            ("SELECT * FROM line", "names no source or earlier table: `line`, did you mean `lines`?"),
            ("SELEC Number FROM lines", "Expected"),
            ("DROP TABLE lines", "DROP is not allowed here; write one SELECT"),
            ("COPY lines TO 'x.csv'", "COPY is not allowed here"),
            ("SET x = 1", "SET is not allowed here"),
            ("EXPLAIN SELECT 1", "EXPLAIN is not allowed here"),
            ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION 'x'", "CREATE is not allowed here"),
            ("INSERT INTO lines VALUES (1, 'x')", "INSERT is not allowed here"),
            ("SELECT 1; SELECT 2", "more than one statement"),
            ("", "the SQL is empty"),
            ("SELECT nosuch(Number) FROM lines", "nosuch"),
        ];
        for (sql, expected) in cases {
            let error = run(&engine, sql).unwrap_err();
            assert!(matches!(error, Error::Usage(_)), "{sql}: {error}");
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("table `t`") && !text.contains('\n'), "{text}");
        }
        let error = run(&engine, "SELECT CAST(\"a name\" AS BIGINT) FROM lines").unwrap_err();
        assert!(matches!(error, Error::Data(_)) && error.to_string().contains("name of row 0"), "{error}");
    }

    #[test]
    fn sorts_and_groupings_larger_than_the_memory_limit_spill() {
        let sql = "SELECT Number FROM lines GROUP BY Number, \"a name\" ORDER BY \"a name\"";
        let small = run(&engine(4 << 20, 200_000), sql).unwrap();
        assert_eq!(small.len(), 200_000);
        assert!(small == run(&engine(1 << 30, 200_000), sql).unwrap());
    }

    #[test]
    fn groups_come_in_order_of_first_appearance() {
        let engine = engine(1 << 26, 1000);
        let expected: Vec<i64> = run(&engine, "SELECT Number FROM lines").unwrap();
        assert_eq!(run(&engine, "SELECT DISTINCT Number FROM lines").unwrap(), expected);
    }
}
