//! A first project file from data alone: roles, keys, references, groups and cleaning, proposed for a person to correct.
//!
//! How it decides:
//! 1. A key is a column without gaps whose values are all different and whose name says so (`user_id`, `StockCode`).
//! 2. A column refers to another file's key if the names agree and (nearly) all its values are found there.
//! 3. The events are the file with most rows that names, by reference or by words, both a person and a thing.
//! 4. Persons or things without a file of their own become tables by SQL, with those columns of the events that (nearly)
//!    never change for one person or thing.
//! 5. A group is a key-like column of the events whose values belong to one person each and repeat.
//!
//! Without events every file becomes a plain table.

mod input;
mod layout;
mod proposal;

use crate::load::table_name;
use crate::toml_text::{toml_key, toml_text};
use input::Input;
use proposal::Proposal;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use twinmart_tables::{Error, Progress, Project, Result};

/// Proposes a project file for the given files, folders or globs. Paths in it are relative to the folder of `out`, the
/// file that it will be written to.
pub fn init(sources: &[PathBuf], out: &Path, progress: &Progress) -> Result<String> {
    if sources.is_empty() {
        return Err(Error::usage("no source is named").remedy("give files, folders or globs").into());
    }
    let inputs = sources.iter().map(|path| Input::read(path, out, progress)).collect::<Result<Vec<_>>>()?;
    for (i, input) in inputs.iter().enumerate() {
        if let Some(other) = inputs[..i].iter().find(|o| o.name == input.name) {
            return Err(Error::usage(format!("the files {} and {} have the same name", other.path, input.path))
                .remedy("rename one of them")
                .into());
        }
    }
    let name = match (sources, out.canonicalize().ok().or_else(|| std::path::absolute(out).ok())) {
        ([one], _) => table_name(one).replace('_', "-"),
        (_, Some(out)) => out.parent().map(table_name).unwrap_or_else(|| "shop".into()),
        _ => "shop".into(),
    };
    let mut text = format!("[project]\nname = {}\nseed = 0\n", toml_text(&name));
    match Proposal::find(&inputs)? {
        Some(shop) => text += &shop.text(),
        None => inputs.iter().for_each(|input| text += &plain_text(input, &inputs)),
    }
    Project::parse(&text, out)?;
    Ok(text)
}

/// A table without a role; references only where every value is found.
fn plain_text(input: &Input, inputs: &[Input]) -> String {
    let mut text = format!("\n[tables.{}]\nsource = {}\n", toml_key(&input.name), toml_text(&input.path));
    if let Some(key) = input.key {
        let _ = writeln!(text, "key = {}", toml_text(input.column(key)));
    }
    let mut references = String::new();
    for position in input.positions().filter(|p| input.key != Some(*p)) {
        let Some((parent, share)) = input.reference(position, inputs) else { continue };
        let parent = &inputs[parent];
        if let Some(key) = parent.key.filter(|_| share >= 1.0 && !parent.name.contains('.')) {
            let target = toml_text(&format!("{}.{}", parent.name, parent.column(key)));
            let _ = writeln!(references, "{} = {target}", toml_key(input.column(position)));
        }
    }
    if !references.is_empty() {
        let _ = write!(text, "[tables.{}.references]\n{references}", toml_key(&input.name));
    }
    text
}
