//! Folders of tables beside a project: a twin, a hold-out, or the cleaned shop that a run keeps.

use std::path::{Path, PathBuf};
use twinmart_tables::{Error, FileFormat, Histories, Progress, Project, Result, Role, Shop, Table, TableWriter};

/// Names a table's file may have in such a folder.
const EXTENSIONS: [&str; 9] =
    ["parquet", "csv", "jsonl", "csv.gz", "jsonl.gz", "csv.zst", "jsonl.zst", "ndjson", "tsv"];

/// Reads the tables of `like` from a folder, with its column names, order and types. Items may be absent: the catalogue is
/// shared. Keys and references are checked.
pub(crate) fn read_shop(folder: &Path, like: &Shop, progress: &Progress) -> Result<Shop> {
    if !folder.is_dir() {
        return Err(Error::usage("not a folder of tables")
            .file(folder)
            .remedy("give the folder that holds TABLE.parquet")
            .into());
    }
    let mut tables = Vec::with_capacity(like.tables.len());
    for table in &like.tables {
        match file_of(folder, &table.name) {
            Some(path) => tables.push(read_table(&path, table, progress)?),
            None if table.definition.role == Role::Items => tables.push(table.clone()),
            None => {
                return Err(Error::usage("the folder lacks this table")
                    .file(folder)
                    .table(&table.name)
                    .remedy(format!("add {}.parquet", table.name))
                    .into());
            }
        }
    }
    let shop = Shop { project: like.project.clone(), tables };
    shop.check_keys()?;
    Ok(shop)
}

fn file_of(folder: &Path, table: &str) -> Option<PathBuf> {
    EXTENSIONS.iter().map(|e| folder.join(format!("{table}.{e}"))).find(|p| p.is_file())
}

/// Reads one file with the column names, order and types of `like`. A data error names a column that is missing or cannot be cast.
pub(crate) fn read_table(path: &Path, like: &Table, progress: &Progress) -> Result<Table> {
    let loaded = twinmart_sources::load(path, progress)?;
    let Some(found) = loaded.shop.tables.into_iter().next() else {
        return Err(Error::data("no table").file(path).into());
    };
    let mut batches = Vec::with_capacity(found.batches.len());
    for batch in &found.batches {
        let mut columns = Vec::with_capacity(like.schema.fields().len());
        for field in like.schema.fields() {
            let column = batch.column_by_name(field.name()).ok_or_else(|| {
                Error::data("the column is missing on this side").file(path).table(&like.name).column(field.name())
            })?;
            columns.push(arrow::compute::cast(column, field.data_type()).map_err(|e| {
                Error::data(format!("the column has another type than the real one: {e}"))
                    .file(path)
                    .column(field.name())
                    .remedy(format!("write it as {}", field.data_type()))
            })?);
        }
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        // Nullability may differ between the sides; only names and types must agree.
        let schema = nullable(&like.schema);
        batches.push(arrow::array::RecordBatch::try_new_with_options(schema, columns, &rows)?);
    }
    Ok(Table { schema: nullable(&like.schema), ..like.with_batches(batches) })
}

fn nullable(schema: &arrow::datatypes::SchemaRef) -> arrow::datatypes::SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
}

/// Writes every table of a shop as Parquet, with its kinds, so that [`reopen`] gives the same shop.
pub(crate) fn keep(shop: &Shop, folder: &Path) -> Result<usize> {
    let mut rows = 0;
    for table in &shop.tables {
        let path = folder.join(format!("{}.parquet", table.name));
        let mut writer = TableWriter::create(&path, table.schema.clone(), FileFormat::Parquet, false)?;
        for batch in &table.batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        rows += table.rows();
    }
    let kinds: Vec<_> = shop.tables.iter().map(|t| (t.name.clone(), t.kinds.clone())).collect();
    crate::stages::write_json(&folder.join("kinds.json"), &kinds)?;
    Ok(rows)
}

/// Opens what [`keep`] wrote.
pub(crate) fn reopen(folder: &Path, project: &Project) -> Result<Shop> {
    let kinds: Vec<(String, Vec<twinmart_tables::ColumnKind>)> = crate::stages::read_json(&folder.join("kinds.json"))?;
    let mut tables = Vec::with_capacity(kinds.len());
    for (name, kinds) in kinds {
        let (schema, batches) = twinmart_tables::read_parquet(folder.join(format!("{name}.parquet")))?;
        let definition = project.tables.get(&name).cloned().unwrap_or_default();
        let constraints = project.constraints.get(&name).cloned().unwrap_or_default();
        tables.push(Table { name, definition, schema, kinds, batches, population: None, constraints });
    }
    Ok(Shop { project: project.clone(), tables })
}

/// A twin's histories on the real catalogue.
pub(crate) fn histories_of_twin(folder: &Path, like: &Shop, progress: &Progress) -> Result<Histories> {
    read_shop(folder, like, progress)?.histories()?.on_catalogue(&like.histories()?.items)
}
