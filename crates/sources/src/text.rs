//! The bytes of a text file: decompressed, checked to be UTF-8, handed out in chunks. Memory: one chunk.
//!
//! Byte offsets in messages count in the decompressed file, from 0.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use twinmart_tables::{Error, Result};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// What some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How a file is compressed, by its last extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub(crate) fn of_extension(extension: &str) -> Compression {
        match extension {
            "gz" => Compression::Gzip,
            "zst" => Compression::Zstd,
            _ => Compression::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// A text file, read forward. `buffer[start..checked]` is valid UTF-8 that nobody has consumed; behind it lie at most
/// three bytes of a character whose rest has not been read.
pub(crate) struct Text {
    path: PathBuf,
    compression: Compression,
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    checked: usize,
    /// Offset of `buffer[0]` in the decompressed file.
    offset: u64,
    begun: bool,
}

impl Text {
    pub(crate) fn open(path: &Path) -> Result<Text> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let compression = Compression::of_extension(extension);
        let input: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
            Compression::Zstd => Box::new(zstd::Decoder::new(file).map_err(|e| Error::io(path, e))?),
        };
        let (buffer, path) = (Vec::new(), path.to_path_buf());
        Ok(Text { path, compression, input, buffer, start: 0, checked: 0, offset: 0, begun: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Unconsumed text; empty only at the end of the file.
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        while self.start == self.checked {
            self.offset += self.checked as u64;
            self.buffer.drain(..self.checked);
            (self.start, self.checked) = (0, 0);
            if self.read_chunk()? == 0 {
                if !self.buffer.is_empty() {
                    return Err(self.invalid(self.offset));
                }
                break;
            }
            self.check()?;
            if !self.begun && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.start = BYTE_ORDER_MARK.len();
            }
            self.begun |= self.checked > 0;
        }
        Ok(&self.buffer[self.start..self.checked])
    }

    /// Marks the first `bytes` of what [`Text::fill`] returned as read.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start = self.checked.min(self.start + bytes);
    }

    fn read_chunk(&mut self) -> Result<usize> {
        let known = self.buffer.len();
        self.buffer.resize(known + CHUNK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[known..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(known + *read.as_ref().unwrap_or(&0));
        read.map_err(|e| self.unreadable(e))
    }

    fn check(&mut self) -> Result<()> {
        self.checked = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(e) => return Err(self.invalid(self.offset + e.valid_up_to() as u64)),
        };
        Ok(())
    }

    fn invalid(&self, byte: u64) -> Error {
        Error::data(format!("invalid UTF-8 at byte {byte}"))
            .file(&self.path)
            .remedy("save the file as UTF-8 (for example: iconv -f latin1 -t utf-8)")
            .into()
    }

    /// The operating system's refusals keep their kind; everything else comes from the decompressor.
    fn unreadable(&self, error: std::io::Error) -> Error {
        if self.compression == Compression::None || error.raw_os_error().is_some() {
            return Error::io(&self.path, error);
        }
        let after = self.offset + self.buffer.len() as u64;
        let what =
            format!("the {} stream is damaged after {after} decompressed bytes ({error})", self.compression.name());
        Error::data(what).file(&self.path).remedy("copy or compress the file again").into()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("path", &self.path).field("offset", &self.offset).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(path: &Path) -> Result<Vec<u8>> {
        let mut text = Text::open(path)?;
        let mut out = Vec::new();
        loop {
            let chunk = text.fill()?;
            if chunk.is_empty() {
                return Ok(out);
            }
            let length = chunk.len().min(1000);
            out.extend_from_slice(&chunk[..length]);
            text.consume(length);
        }
    }

    #[test]
    fn each_compression_gives_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let content = "día,ü,€,😀\n".repeat(60_000).into_bytes();
        let plain = folder.path().join("a.csv");
        std::fs::write(&plain, [BYTE_ORDER_MARK, &content].concat()).unwrap();
        let gzip = folder.path().join("a.csv.gz");
        let mut writer = flate2::write::GzEncoder::new(File::create(&gzip).unwrap(), flate2::Compression::fast());
        writer.write_all(&content).unwrap();
        writer.finish().unwrap();
        let zst = folder.path().join("a.csv.zst");
        std::fs::write(&zst, zstd::encode_all(&content[..], 1).unwrap()).unwrap();
        for path in [&plain, &gzip, &zst] {
            assert!(all(path).unwrap() == content, "{}", path.display());
        }
        for path in [&gzip, &zst] {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            let message = all(path).unwrap_err().to_string();
            assert!(
                message.contains("stream is damaged after") && message.contains("compress the file again"),
                "{message}"
            );
        }
    }

    #[test]
    fn invalid_text_is_refused_with_its_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        for at in [0, 5, CHUNK - 1, CHUNK, 2 * CHUNK + 17] {
            let mut content = vec![b'x'; 3 * CHUNK];
            content[at] = 0xE4;
            std::fs::write(&path, &content).unwrap();
            let message = all(&path).unwrap_err().to_string();
            assert!(message.contains(&format!("invalid UTF-8 at byte {at};")), "{message}");
        }
        std::fs::write(&path, "abc€".as_bytes().split_last().unwrap().1).unwrap();
        assert!(all(&path).unwrap_err().to_string().contains("invalid UTF-8 at byte 3;"));
    }
}
