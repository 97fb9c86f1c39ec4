//! Developer commands, run as `cargo xtask COMMAND` from anywhere in the repository.
//!
//! `deny` checks what the product is built from, `docs` checks that the documents are true, `check` does everything
//! that continuous integration does, in the developer's own target folder.

mod deny;
mod docs;
mod layers;
mod metadata;
mod spdx;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
cargo xtask COMMAND

  check   everything that .ci/run does: format, lints, rustdoc, deny, docs, tests
  deny    licences, origins and bans of all dependencies; which crate may depend on which
  docs    README and .ci/run agree; links and paths in the documents exist
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["check"] => check(),
        ["deny"] => deny(),
        ["docs"] => report("docs", docs::problems(&repository())),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository: the folder above this package.
fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Runs `.ci/run` with the developer's own target folder, so nothing that is built already is built again.
fn check() -> Result<(), String> {
    let root = repository();
    let status = Command::new(root.join(".ci/run"))
        .env("TWINMART_CI_TARGET", root.join("target"))
        .current_dir(&root)
        .status()
        .map_err(|e| format!(".ci/run: {e}"))?;
    if status.success() { Ok(()) } else { Err("check: .ci/run failed, see above".into()) }
}

fn deny() -> Result<(), String> {
    let metadata = metadata::Metadata::read(&repository())?;
    println!("{}", deny::summary(&metadata));
    let mut problems = deny::problems(&metadata);
    problems.extend(layers::problems(&metadata));
    report("deny", Ok(problems))
}

/// Prints the problems of a check; any problem is a failure.
fn report(check: &str, problems: Result<Vec<String>, String>) -> Result<(), String> {
    let problems = problems?;
    if problems.is_empty() {
        println!("{check}: ok");
        return Ok(());
    }
    Err(problems.iter().map(|p| format!("{check}: {p}")).collect::<Vec<_>>().join("\n"))
}
