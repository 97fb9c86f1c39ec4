//! A table to bench: what is learned from, what is tested on, and what learners predict.

use crate::twins;
use rand::seq::SliceRandom;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use twinmart_tables::{Draws, Error, FileFormat, Progress, Result, Table, TableWriter};

/// Share of a lone file's rows that are tested on.
const TEST_SHARE: f64 = 0.2;
/// A table of fewer rows cannot be cut.
const FEWEST_ROWS: usize = 50;

/// A table to bench.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// Its name in results.
    pub(crate) name: String,
    /// The file that is learned from.
    pub(crate) train: PathBuf,
    /// The file that is tested on.
    pub(crate) test: PathBuf,
    /// The column that learners predict.
    pub(crate) target: Option<String>,
}

/// The rows of a table to bench.
pub(crate) struct Rows {
    /// Learned from.
    pub(crate) train: Table,
    /// Tested on.
    pub(crate) test: Table,
}

/// What `meta.json` says.
#[derive(Debug, Default, Deserialize)]
struct Meta {
    name: Option<String>,
    target: Option<String>,
}

impl Given {
    /// Finds a table: a folder with train.parquet and test.parquet, or a data file, which is cut by `seed` into files in
    /// `scratch`, unless `holdout` names rows to test on. Everything is read once, so that mistakes show before any work.
    pub(crate) fn find(
        path: &Path,
        holdout: Option<&Path>,
        target: Option<&str>,
        seed: u64,
        scratch: &Path,
        progress: &Progress,
    ) -> Result<Given> {
        let mut given = if path.is_dir() { Given::of_folder(path, holdout)? } else { Given::of_file(path, holdout)? };
        given.target = target.map(str::to_string).or(given.target);
        let names_a_file = Path::new(&given.name).file_name().is_some_and(|n| n == given.name.as_str());
        if !names_a_file {
            return Err(Error::usage("the table's name cannot be a file's name")
                .file(path)
                .value(&given.name)
                .remedy("give it another \"name\" in meta.json")
                .into());
        }
        if given.test.as_os_str().is_empty() {
            given.cut(seed, scratch, progress)?;
        }
        let rows = given.load(progress)?;
        given.target.as_deref().map(|t| rows.train.position(t)).transpose()?;
        Ok(given)
    }

    fn of_folder(path: &Path, holdout: Option<&Path>) -> Result<Given> {
        let file = |name: &str, remedy: &str| {
            let file = path.join(name);
            let missing = || Error::usage(format!("the folder has no {name}")).file(path).remedy(remedy);
            if file.is_file() { Ok(file) } else { Err(Error::from(missing())) }
        };
        let train = file("train.parquet", "give a data file, or a folder with train.parquet and test.parquet")?;
        let test = match holdout {
            Some(holdout) => holdout.to_path_buf(),
            None => {
                file("test.parquet", "add it, name rows to test on with --holdout, or give train.parquet to be cut")?
            }
        };
        let meta = path.join("meta.json");
        let meta: Meta = if meta.is_file() { crate::stages::read_json(&meta)? } else { Meta::default() };
        let of_folder = || path.canonicalize().ok()?.file_name().map(|n| n.to_string_lossy().into_owned());
        let name = meta.name.or_else(of_folder).unwrap_or_else(|| "table".into());
        Ok(Given { name, train, test, target: meta.target })
    }

    fn of_file(path: &Path, holdout: Option<&Path>) -> Result<Given> {
        if path.extension().is_some_and(|e| e == "toml") {
            return Err(Error::usage("a project file is no table")
                .file(path)
                .remedy("give data files; `twinmart clean PROJECT --out DIR` writes a project's tables")
                .into());
        }
        let name = twinmart_sources::read_project(path)?.project.name;
        let test = holdout.map(Path::to_path_buf).unwrap_or_default();
        Ok(Given { name, train: path.to_path_buf(), test, target: None })
    }

    /// Writes a random fifth of the rows and the others as files, each in the order of the file.
    fn cut(&mut self, seed: u64, scratch: &Path, progress: &Progress) -> Result<()> {
        let table = only_table(&self.train, progress)?;
        if table.rows() < FEWEST_ROWS {
            return Err(Error::data(format!("{} rows are too few to learn and test on", table.rows()))
                .file(&self.train)
                .remedy(format!("give at least {FEWEST_ROWS}, or rows to test on with --holdout"))
                .into());
        }
        let mut rows: Vec<usize> = (0..table.rows()).collect();
        rows.shuffle(&mut Draws::new(seed).family("bench.cut", &self.name).row(0));
        let (test, train) = rows.split_at_mut((TEST_SHARE * table.rows() as f64).round() as usize);
        for (part, rows, file) in [("train", train, &mut self.train), ("test", test, &mut self.test)] {
            rows.sort_unstable();
            *file = scratch.join(format!("{}.{part}.parquet", self.name));
            let mut writer = TableWriter::create(&file, table.schema.clone(), FileFormat::Parquet, true)?;
            for batch in &table.take(rows)?.batches {
                writer.write(batch)?;
            }
            writer.finish()?;
        }
        Ok(())
    }

    /// Reads both parts.
    pub(crate) fn load(&self, progress: &Progress) -> Result<Rows> {
        let mut train = only_table(&self.train, progress)?;
        train.name.clone_from(&self.name);
        let test = twins::read_table(&self.test, &train, progress)?;
        Ok(Rows { train, test })
    }
}

fn only_table(path: &Path, progress: &Progress) -> Result<Table> {
    let tables = twinmart_sources::load(path, progress)?.shop.tables;
    tables.into_iter().next().ok_or_else(|| Error::data("no table").file(path).into())
}
