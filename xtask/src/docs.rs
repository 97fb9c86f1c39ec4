//! The documents keep their word: README and `.ci/run` run the same tests, and every link and path leads somewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose Markdown files are checked, besides the root.
const FOLDERS: &[&str] = &["docs", "examples", "bench"];

/// A word in backticks that starts like this is a path from the root of the repository.
const PATHS: &[&str] = &[".ci/", "bench/", "crates/", "docs/", "examples/", "xtask/"];

/// Everything in the documents that is not so.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>, String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut problems = test_command_problems(&read(&root.join("README.md"))?, &read(&root.join(".ci/run"))?);
    for document in documents(root)? {
        let text = read(&document)?;
        let name = document.strip_prefix(root).unwrap_or(&document).display().to_string();
        let folder = document.parent().unwrap_or(root);
        for link in links(&text).into_iter().filter(|l| !folder.join(l).exists()) {
            problems.push(format!("{name}: the link `{link}` leads nowhere"));
        }
        for path in paths(&text).into_iter().filter(|p| !root.join(p).exists()) {
            problems.push(format!("{name}: there is no `{path}`"));
        }
    }
    Ok(problems)
}

/// The test command of the README, word for word, is a line of `.ci/run`.
fn test_command_problems(readme: &str, ci: &str) -> Vec<String> {
    let commands: Vec<&str> = readme.lines().map(str::trim).filter(|l| l.starts_with("cargo test")).collect();
    if commands.is_empty() {
        return vec!["README.md names no test command (a line that starts with `cargo test`)".into()];
    }
    let missing = commands.iter().filter(|c| !ci.lines().any(|l| l.trim() == **c));
    missing.map(|c| format!("README.md tells to run `{c}`, .ci/run has no such line")).collect()
}

fn documents(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = markdown_in(root)?;
    let mut open: Vec<PathBuf> = FOLDERS.iter().map(|f| root.join(f)).filter(|f| f.is_dir()).collect();
    while let Some(folder) = open.pop() {
        found.extend(markdown_in(&folder)?);
        open.extend(entries(&folder)?.into_iter().filter(|p| p.is_dir()));
    }
    found.sort();
    Ok(found)
}

fn markdown_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(entries(folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let error = |e: std::io::Error| format!("{}: {e}", folder.display());
    fs::read_dir(folder).map_err(error)?.map(|e| e.map(|e| e.path()).map_err(error)).collect()
}

/// Targets of `[text](target)` and `![text](target)` that are files: no addresses, no anchors.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.filter(|t| !t.contains("://") && !t.starts_with('#') && !t.starts_with("mailto:"));
    files.map(|t| t.split_once('#').map_or(t, |(file, _)| file)).collect()
}

/// Words in backticks that are paths of the repository: `crates/rank/src/ease.rs`. Placeholders (`crates/NAME`) and
/// patterns (`crates/*`) are not.
fn paths(text: &str) -> Vec<&str> {
    let words = text.split('`').skip(1).step_by(2).filter(|w| PATHS.iter().any(|p| w.starts_with(p)));
    words.filter(|w| !w.contains(|c: char| c.is_whitespace() || c.is_uppercase() || "*{<…".contains(c))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_command_must_be_the_same() {
        let readme = "text\n```sh\ncargo test --release --workspace\n```\n";
        assert!(test_command_problems(readme, "set -e\ncargo test --release --workspace\n").is_empty());
        assert_eq!(test_command_problems(readme, "cargo test --release --workspace --all-features\n").len(), 1);
        assert_eq!(test_command_problems("no command", "cargo test\n").len(), 1);
    }

    #[test]
    fn links_to_files_are_found() {
        let text = "[a](docs/a.md#part) ![b](b.png) [c](https://example.org) [d](#here) [e](<x";
        assert_eq!(links(text), ["docs/a.md", "b.png"]);
    }

    #[test]
    fn paths_are_found_and_placeholders_are_not() {
        let text = "`crates/rank/src/ease.rs` and `crates/NAME/src` and `crates/*` and `cargo test` in `.ci/run`";
        assert_eq!(paths(text), ["crates/rank/src/ease.rs", ".ci/run"]);
    }

    #[test]
    fn a_repository_with_a_broken_link_and_path_is_reported() {
        let root = std::env::temp_dir().join(format!("xtask-docs-{}", std::process::id()));
        fs::create_dir_all(root.join("docs/deep")).unwrap();
        fs::create_dir_all(root.join(".ci")).unwrap();
        fs::write(root.join(".ci/run"), "cargo test\n").unwrap();
        fs::write(root.join("README.md"), "[x](docs/deep/a.md)\n\n    cargo test\n").unwrap();
        fs::write(root.join("docs/deep/a.md"), "[up](../../README.md) [gone](b.md) `crates/none.rs`").unwrap();
        let found = problems(&root);
        fs::remove_dir_all(&root).unwrap();
        let expected =
            ["docs/deep/a.md: the link `b.md` leads nowhere", "docs/deep/a.md: there is no `crates/none.rs`"];
        assert_eq!(found.unwrap(), expected);
    }
}
