//! The arrays of a model and the file that holds them: a zip container with `manifest.json` and little-endian arrays.
//!
//! Arrays are stored as they are, never compressed, so reading allocates at most what the file holds; each has its
//! SHA-256 in the manifest. No times, no paths: equal content gives equal bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::io::{Read, Seek, Write};
use twinmart_tables::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// An array of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Values<'a> {
    /// Single precision.
    F32(Cow<'a, [f32]>),
    /// Positions.
    U32(Cow<'a, [u32]>),
    /// Offsets.
    U64(Cow<'a, [u64]>),
    /// Times.
    I64(Cow<'a, [i64]>),
    /// Text, one length-prefixed entry after the other.
    Text(Cow<'a, [String]>),
}

/// Named arrays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts<'a>(Vec<(String, Values<'a>)>);

macro_rules! take {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        pub fn $name(&mut self, name: &str) -> Result<Vec<$type>> {
            match self.take(name)? {
                Values::$variant(values) => Ok(values.into_owned()),
                _ => Err(not_a_model("an array has the wrong type")),
            }
        }
    };
}

impl<'a> Parts<'a> {
    /// Adds an array.
    pub fn push(&mut self, name: &str, values: Values<'a>) {
        self.0.push((name.to_string(), values));
    }

    /// True where an array of that name is present.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    fn take(&mut self, name: &str) -> Result<Values<'a>> {
        let place = self.0.iter().position(|(n, _)| n == name);
        place.map(|p| self.0.swap_remove(p).1).ok_or_else(|| not_a_model("an array is missing"))
    }

    take!(
        /// Takes an array out.
        f32, F32, f32
    );
    take!(
        /// Takes an array out.
        u32, U32, u32
    );
    take!(
        /// Takes an array out.
        u64, U64, u64
    );
    take!(
        /// Takes an array out.
        i64, I64, i64
    );
    take!(
        /// Takes an array out.
        text, Text, String
    );

    /// Takes out the arrays below `prefix/`, without the prefix.
    pub fn below(&mut self, prefix: &str) -> Parts<'a> {
        let (inside, outside) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(n, _)| n.strip_prefix(prefix).is_some_and(|r| r.starts_with('/')));
        self.0 = outside;
        let inside: Vec<(String, Values<'a>)> = inside;
        Parts(inside.into_iter().map(|(n, v)| (n[prefix.len() + 1..].to_string(), v)).collect())
    }

    /// Adds all arrays of `other` below `prefix/`.
    pub fn extend(&mut self, prefix: &str, other: Parts<'a>) {
        self.0.extend(other.0.into_iter().map(|(n, v)| (format!("{prefix}/{n}"), v)));
    }
}

/// The error of a file or array that cannot be what it claims.
pub(crate) fn not_a_model(what: &str) -> Error {
    Error::data(format!("not a whole recommender file: {what}")).remedy("train again (twinmart train)").into()
}

/// What the manifest says of an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ArrayEntry {
    name: String,
    kind: Kind,
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    F32,
    U32,
    U64,
    I64,
    Text,
}

#[derive(Serialize, Deserialize)]
struct Manifest<M> {
    format: String,
    version: u32,
    #[serde(flatten)]
    content: M,
    arrays: Vec<ArrayEntry>,
}

const FORMAT: &str = "twinmart-recommenders";
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// Writes `manifest` and `parts` to `out`.
pub(crate) fn write<M: Serialize, W: Write>(out: W, manifest: M, parts: &Parts<'_>) -> std::io::Result<W> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .large_file(true);
    let mut arrays = Vec::new();
    for (name, values) in &parts.0 {
        let mut hash = Sha256::new();
        let mut bytes = 0;
        encode(values, &mut |chunk| {
            hash.update(chunk);
            bytes += chunk.len() as u64;
            Ok(())
        })?;
        arrays.push(ArrayEntry { name: name.clone(), kind: kind(values), bytes, sha256: hex(&hash.finalize()) });
    }
    let manifest = Manifest { format: FORMAT.into(), version: VERSION, content: manifest, arrays };
    let mut zip = ZipWriter::new_stream(out);
    zip.start_file(MANIFEST, options)?;
    zip.write_all(&serde_json::to_vec_pretty(&manifest)?)?;
    for (name, values) in &parts.0 {
        zip.start_file(file_name(name), options)?;
        encode(values, &mut |chunk| zip.write_all(chunk))?;
    }
    Ok(zip.finish()?.into_inner())
}

fn file_name(array: &str) -> String {
    format!("{array}.bin")
}

fn kind(values: &Values<'_>) -> Kind {
    match values {
        Values::F32(_) => Kind::F32,
        Values::U32(_) => Kind::U32,
        Values::U64(_) => Kind::U64,
        Values::I64(_) => Kind::I64,
        Values::Text(_) => Kind::Text,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hands the little-endian bytes of an array to `sink` in pieces.
fn encode(values: &Values<'_>, sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    fn numbers<T: Copy, const N: usize>(
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
        sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut buffer = Vec::with_capacity(8192 * N);
        for chunk in values.chunks(8192) {
            buffer.clear();
            chunk.iter().for_each(|v| buffer.extend_from_slice(&bytes(*v)));
            sink(&buffer)?;
        }
        Ok(())
    }
    match values {
        Values::F32(v) => numbers(v, f32::to_le_bytes, sink),
        Values::U32(v) => numbers(v, u32::to_le_bytes, sink),
        Values::U64(v) => numbers(v, u64::to_le_bytes, sink),
        Values::I64(v) => numbers(v, i64::to_le_bytes, sink),
        Values::Text(v) => v.iter().try_for_each(|text| {
            sink(&(text.len() as u64).to_le_bytes())?;
            sink(text.as_bytes())
        }),
    }
}

fn decode(kind: Kind, bytes: &[u8]) -> Option<Values<'static>> {
    fn numbers<T: Clone, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Option<Cow<'static, [T]>> {
        let (chunks, rest) = bytes.as_chunks::<N>();
        rest.is_empty().then(|| Cow::Owned(chunks.iter().map(|c| value(*c)).collect()))
    }
    Some(match kind {
        Kind::F32 => Values::F32(numbers(bytes, f32::from_le_bytes)?),
        Kind::U32 => Values::U32(numbers(bytes, u32::from_le_bytes)?),
        Kind::U64 => Values::U64(numbers(bytes, u64::from_le_bytes)?),
        Kind::I64 => Values::I64(numbers(bytes, i64::from_le_bytes)?),
        Kind::Text => Values::Text(Cow::Owned(texts(bytes)?)),
    })
}

fn texts(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        texts.push(std::str::from_utf8(text).ok()?.to_string());
        bytes = rest;
    }
    bytes.is_empty().then_some(texts)
}

/// Reads what [`write`] wrote. Every fault of the file is a data error.
pub(crate) fn read<M: for<'de> Deserialize<'de>>(file: impl Read + Seek) -> Result<(M, Parts<'static>)> {
    let fault = |e: zip::result::ZipError| not_a_model(&e.to_string());
    let mut zip = ZipArchive::new(file).map_err(fault)?;
    let bytes = stored_bytes(&mut zip, MANIFEST)?;
    let manifest: Manifest<M> =
        serde_json::from_slice(&bytes).map_err(|e| not_a_model(&format!("manifest.json: {e}")))?;
    if manifest.format != FORMAT || manifest.version != VERSION {
        return Err(not_a_model("another format or version"));
    }
    let mut parts = Parts::default();
    for entry in manifest.arrays {
        let bytes = stored_bytes(&mut zip, &file_name(&entry.name))?;
        if bytes.len() as u64 != entry.bytes || hex(&Sha256::digest(&bytes)) != entry.sha256 {
            return Err(not_a_model("an array does not match its digest"));
        }
        let values = decode(entry.kind, &bytes).ok_or_else(|| not_a_model("an array is cut"))?;
        parts.push(&entry.name, values);
    }
    Ok((manifest.content, parts))
}

/// The bytes of a stored entry: reading stops at the end of the file, whatever sizes it claims.
fn stored_bytes(zip: &mut ZipArchive<impl Read + Seek>, name: &str) -> Result<Vec<u8>> {
    let mut entry = zip.by_name(name).map_err(|e| not_a_model(&format!("{name}: {e}")))?;
    if entry.compression() != CompressionMethod::Stored {
        return Err(not_a_model("an entry is compressed"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| not_a_model(&format!("{name}: {e}")))?;
    Ok(bytes)
}
