//! The container of a model file: a zip archive of named entries, each with its SHA-256 in the manifest.
//!
//! Equal content gives equal bytes: entries in the order of their names, one fixed time stamp, nothing about the machine.
//! Reading trusts nothing: names must be those of the manifest, sizes are bounded before memory is taken, and every digest
//! is checked before an entry is looked at.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::path::Path;
use twinmart_tables::{AtomicFile, Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The entry that names all others.
const MANIFEST: &str = "manifest.json";
/// An archive may unpack to this many times its own size (tables are packed already; text packs about tenfold) …
const LARGEST_RATIO: u64 = 200;
/// … and this many bytes, so that small archives are not refused …
const ALLOWANCE: u64 = 16 << 20;
/// … but never to more than this.
const LARGEST: u64 = 64 << 30;

/// Named byte strings.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entries(pub(crate) BTreeMap<String, Vec<u8>>);

impl Entries {
    /// Adds an entry.
    pub(crate) fn put(&mut self, name: String, bytes: Vec<u8>) {
        self.0.insert(name, bytes);
    }

    /// Takes an entry out; a data error where it is missing.
    pub(crate) fn take(&mut self, name: &str) -> Result<Vec<u8>> {
        self.0.remove(name).ok_or_else(|| not_a_model(format!("the entry {name} is missing")))
    }

    /// SHA-256 of every entry, by name.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect()
    }
}

/// The error of a file that cannot be a model.
pub(crate) fn not_a_model(what: impl std::fmt::Display) -> Error {
    Error::data(format!("not a Twinmart model file: {what}")).remedy("give a file that `twinmart fit` wrote").into()
}

/// Writes manifest and entries to `path`.
pub(crate) fn write(path: &Path, overwrite: bool, manifest: &[u8], entries: &Entries) -> Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .large_file(true);
    let mut zip = ZipWriter::new_stream(AtomicFile::create(path, overwrite)?);
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(name, options)?;
        zip.write_all(bytes)
    };
    put(MANIFEST, manifest).map_err(|e| Error::io(path, e))?;
    for (name, bytes) in &entries.0 {
        put(name, bytes).map_err(|e| Error::io(path, e))?;
    }
    let file = zip.finish().map_err(|e| Error::io(path, e.into()))?;
    file.into_inner().commit()
}

/// Reads an archive of `length` bytes. `digests_of` reads the digests out of the manifest and may refuse it.
pub(crate) fn read<M>(
    file: impl Read + Seek,
    length: u64,
    parse: impl FnOnce(&[u8]) -> Result<M>,
    digests_of: impl FnOnce(&M) -> &BTreeMap<String, String>,
) -> Result<(M, Entries)> {
    let mut zip = ZipArchive::new(file).map_err(not_a_model)?;
    let mut budget = length.saturating_mul(LARGEST_RATIO).saturating_add(ALLOWANCE).min(LARGEST);
    let manifest = parse(&unpack(&mut zip, MANIFEST, &mut budget)?)?;
    let digests = digests_of(&manifest);
    for name in zip.file_names() {
        let name = name.map_err(not_a_model)?;
        if name != MANIFEST && !digests.contains_key(name.as_ref()) {
            return Err(not_a_model(format!("the entry {name:?} is not in the manifest")));
        }
    }
    let mut entries = Entries::default();
    for (name, expected) in digests {
        let bytes = unpack(&mut zip, name, &mut budget)?;
        if digest(&bytes) != *expected {
            return Err(not_a_model(format!("the entry {name} does not match its digest")));
        }
        entries.put(name.clone(), bytes);
    }
    Ok((manifest, entries))
}

/// The bytes of an entry, whatever size it claims; takes them off the budget.
fn unpack(zip: &mut ZipArchive<impl Read + Seek>, name: &str, budget: &mut u64) -> Result<Vec<u8>> {
    let entry = zip.by_name(name).map_err(|e| not_a_model(format!("{name}: {e}")))?;
    let mut bytes = Vec::new();
    entry.take(*budget + 1).read_to_end(&mut bytes).map_err(|e| not_a_model(format!("{name}: {e}")))?;
    *budget = budget.checked_sub(bytes.len() as u64).ok_or_else(|| not_a_model("it unpacks to far too much"))?;
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn open(bytes: &[u8]) -> Result<Entries> {
        let parse = |b: &[u8]| serde_json::from_slice::<BTreeMap<String, String>>(b).map_err(not_a_model);
        read(Cursor::new(bytes), bytes.len() as u64, parse, |m| m).map(|(_, e)| e)
    }

    fn manifest(of: &[(&str, &[u8])]) -> Vec<u8> {
        let digests: BTreeMap<&str, String> = of.iter().map(|(n, b)| (*n, digest(b))).collect();
        serde_json::to_vec(&digests).unwrap()
    }

    #[test]
    fn whole_archives_open_and_all_others_are_refused() {
        let good = manifest(&[("a", b"x")]);
        assert_eq!(open(&archive(&[(MANIFEST, &good), ("a", b"x")])).unwrap().0["a"], b"x");
        let refusals: [(Vec<u8>, &str); 4] = [
            (archive(&[(MANIFEST, &good), ("a", b"y")]), "does not match its digest"),
            (archive(&[(MANIFEST, &good)]), "not found"),
            (archive(&[(MANIFEST, &good), ("a", b"x"), ("../b", b"x")]), "\"../b\" is not in the manifest"),
            (Vec::new(), "not a Twinmart model file"),
        ];
        for (bytes, expected) in refusals {
            let text = open(&bytes).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn what_unpacks_to_far_too_much_is_refused_early() {
        let bomb = vec![0; 64 << 20];
        let bytes = archive(&[(MANIFEST, &manifest(&[("a", &bomb)])), ("a", &bomb)]);
        assert!(open(&bytes).unwrap_err().to_string().contains("far too much"));
    }
}
