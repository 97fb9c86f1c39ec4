//! The one error type of the product: what is wrong, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this workspace.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can stop a stage. The binary maps it to an exit status: [`Error::Usage`] 2,
/// [`Error::Interrupted`] 130, everything else 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data cannot be used as they are.
    #[error("{0}")]
    Data(Box<Problem>),
    /// The command line or the project file is wrong.
    #[error("{0}")]
    Usage(Box<Problem>),
    /// The operating system refused a read or a write.
    #[error("{}: {source}; {remedy}", path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
        /// What to do.
        remedy: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// A data error; add its place with the builder methods of [`Problem`].
    pub fn data(what: impl Into<String>) -> Problem {
        Problem::new(what, false)
    }

    /// A usage or configuration error; add its place with the builder methods of [`Problem`].
    pub fn usage(what: impl Into<String>) -> Problem {
        Problem::new(what, true)
    }

    /// The same error with more of its place: `e.with(|p| p.table("users"))`. Other errors stay as they are.
    pub fn with(self, place: impl FnOnce(Problem) -> Problem) -> Error {
        match self {
            Error::Data(problem) | Error::Usage(problem) => place(*problem).into(),
            other => other,
        }
    }

    /// An input/output error with the usual remedy for its kind.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let remedy = match source.kind() {
            K::NotFound => "check the path",
            K::PermissionDenied => "check the permissions of the file and its folder",
            K::StorageFull => "free space or write elsewhere",
            K::FileTooLarge => "raise the file-size limit (ulimit -f) or write elsewhere",
            _ => "check the disk and the path, then run the command again",
        };
        Error::Io { path: path.as_ref().to_path_buf(), source, remedy: remedy.into() }
    }
}

/// What is wrong, where (file, table, column, row, value) and the remedy, in one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    what: String,
    file: Option<String>,
    table: Option<String>,
    column: Option<String>,
    row: Option<u64>,
    value: Option<String>,
    remedy: Option<String>,
    usage: bool,
}

impl Problem {
    fn new(what: impl Into<String>, usage: bool) -> Self {
        Problem { what: what.into(), usage, ..Problem::default() }
    }
    /// Names the file.
    pub fn file(mut self, file: impl AsRef<Path>) -> Self {
        self.file = Some(file.as_ref().display().to_string());
        self
    }
    /// Names the table.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }
    /// Names the column.
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }
    /// Names the row, counted from 1 (the first data row).
    pub fn row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }
    /// Shows the offending value, shortened to 60 characters.
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        let text = value.to_string();
        let short: String = text.chars().take(60).collect();
        self.value = Some(if short.len() < text.len() { format!("{short}…") } else { short });
        self
    }
    /// Says what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Vec::new();
        if let Some(x) = &self.file {
            place.push(x.clone());
        }
        if let Some(x) = &self.table {
            place.push(format!("table `{x}`"));
        }
        if let Some(x) = &self.column {
            place.push(format!("column `{x}`"));
        }
        if let Some(x) = self.row {
            place.push(format!("row {x}"));
        }
        if let Some(x) = &self.value {
            place.push(format!("value `{x}`"));
        }
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        write!(f, "{}", self.what)?;
        if let Some(x) = &self.remedy {
            write!(f, "; {x}")?;
        }
        Ok(())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        if problem.usage { Error::Usage(Box::new(problem)) } else { Error::Data(Box::new(problem)) }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        Error::data(e.to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_reads_place_what_remedy() {
        let e: Error = Error::data("the key is not unique")
            .file("users.csv")
            .column("id")
            .row(7)
            .value("x".repeat(80))
            .remedy("remove the second row")
            .into();
        let text = e.to_string();
        assert!(text.starts_with("users.csv, column `id`, row 7, value `xxx"), "{text}");
        assert!(text.contains("…`: the key is not unique; remove the second row"), "{text}");
    }
}
