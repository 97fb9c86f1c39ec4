//! All-or-nothing output: written under a temporary name beside the target, synced, then renamed.
//!
//! A crash or an error leaves the old target (or nothing), never a partial one.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Checks before any work that `path` may be written: its folder exists and nothing is there, or, with `overwrite`, nothing
/// but what is `replaceable` (in words, `kind`): never a pipe or a device.
fn prepare(path: &Path, overwrite: bool, kind: &str, replaceable: fn(&fs::Metadata) -> bool) -> Result<PathBuf> {
    if path.file_name().is_none() {
        return Err(Error::usage("the output path names no file")
            .file(path)
            .remedy("give a file or folder name")
            .into());
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if !folder.is_dir() {
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    }
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(Error::usage("the output exists already")
            .file(path)
            .remedy("choose another name or add --overwrite")
            .into());
    }
    if path.metadata().is_ok_and(|existing| !replaceable(&existing)) {
        return Err(Error::usage(format!("the output exists and is no {kind}"))
            .file(path)
            .remedy("choose another name")
            .into());
    }
    Ok(folder)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, e))
}

/// A file that appears whole or not at all. Writes are buffered.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    folder: PathBuf,
    writer: BufWriter<NamedTempFile>,
    /// The first failure. What is written after it goes nowhere, so that formats that tidy up on drop do so quietly.
    failed: Option<std::io::Error>,
}

impl AtomicFile {
    /// Opens a temporary file beside `path`. Refuses an existing `path` unless it is a file and `overwrite` holds.
    pub fn create(path: impl AsRef<Path>, overwrite: bool) -> Result<Self> {
        let target = path.as_ref().to_path_buf();
        let folder = prepare(&target, overwrite, "regular file", fs::Metadata::is_file)?;
        let file = tempfile::Builder::new()
            .prefix(".twinmart-partial-")
            .permissions_if_unix()
            .tempfile_in(&folder)
            .map_err(|e| Error::io(&target, e))?;
        Ok(AtomicFile { target, folder, writer: BufWriter::new(file), failed: None })
    }

    /// Writes a whole file at once.
    pub fn write(path: impl AsRef<Path>, overwrite: bool, content: &[u8]) -> Result<()> {
        let mut file = AtomicFile::create(&path, overwrite)?;
        file.write_all(content).map_err(|e| Error::io(&path, e))?;
        file.commit()
    }

    /// Makes the file appear under its name.
    pub fn commit(self) -> Result<()> {
        let AtomicFile { target, folder, writer, failed } = self;
        if let Some(error) = failed {
            return Err(Error::io(&target, error));
        }
        let file = writer.into_inner().map_err(|e| Error::io(&target, e.into_error()))?;
        file.as_file().sync_all().map_err(|e| Error::io(&target, e))?;
        file.persist(&target).map_err(|e| Error::io(&target, e.error))?;
        sync_folder(&folder)
    }
}

impl AtomicFile {
    /// Remembers a failure for [`AtomicFile::commit`] and hands on one of the same kind.
    fn note<T>(&mut self, result: std::io::Result<T>) -> std::io::Result<T> {
        result.map_err(|e| {
            let again = e.raw_os_error().map_or_else(|| e.kind().into(), std::io::Error::from_raw_os_error);
            self.failed = Some(e);
            again
        })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        if self.failed.is_some() {
            return Ok(buf.len());
        }
        let written = self.writer.write(buf);
        self.note(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        let flushed = self.writer.flush();
        self.note(flushed)
    }
}

/// Temporary files are private by default; outputs should follow the user's umask like any other file.
trait PermissionsIfUnix {
    fn permissions_if_unix(&mut self) -> &mut Self;
}

impl PermissionsIfUnix for tempfile::Builder<'_, '_> {
    #[cfg(unix)]
    fn permissions_if_unix(&mut self) -> &mut Self {
        use std::os::unix::fs::PermissionsExt;
        self.permissions(fs::Permissions::from_mode(0o666))
    }
    #[cfg(not(unix))]
    fn permissions_if_unix(&mut self) -> &mut Self {
        self
    }
}

/// A folder that appears whole or not at all; fill [`AtomicFolder::path`], then commit.
#[derive(Debug)]
pub struct AtomicFolder {
    target: PathBuf,
    parent: PathBuf,
    folder: TempDir,
}

impl AtomicFolder {
    /// Makes a temporary folder beside `path`. Refuses an existing `path` unless it is a folder or a file and `overwrite` holds.
    pub fn create(path: impl AsRef<Path>, overwrite: bool) -> Result<Self> {
        let target = path.as_ref().to_path_buf();
        let parent = prepare(&target, overwrite, "folder or regular file", |m| m.is_dir() || m.is_file())?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".twinmart-partial-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let folder = builder.tempdir_in(&parent).map_err(|e| Error::io(&target, e))?;
        Ok(AtomicFolder { target, parent, folder })
    }

    /// Where to write the content.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the folder appear under its name, in place of an older one.
    pub fn commit(self) -> Result<()> {
        let AtomicFolder { target, parent, folder } = self;
        sync_folder(folder.path())?;
        let fresh = folder.keep();
        if target.symlink_metadata().is_ok() {
            let old = tempfile::Builder::new()
                .prefix(".twinmart-old-")
                .tempdir_in(&parent)
                .map_err(|e| Error::io(&target, e))?;
            fs::rename(&target, old.path().join("old")).map_err(|e| Error::io(&target, e))?;
        }
        fs::rename(&fresh, &target).map_err(|e| Error::io(&target, e))?;
        sync_folder(&parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_appears_before_commit_and_existing_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let mut file = AtomicFile::create(&path, false).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the temporary file is gone");
        AtomicFile::write(&path, false, b"whole").unwrap();
        assert!(matches!(AtomicFile::create(&path, false), Err(Error::Usage(_))));
        AtomicFile::write(&path, true, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let folder = AtomicFile::create(dir.path(), true).unwrap_err();
        assert!(folder.to_string().contains("no regular file"), "{folder}");
    }

    #[test]
    fn a_folder_replaces_an_older_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        for name in ["one", "two"] {
            let folder = AtomicFolder::create(&path, true).unwrap();
            fs::write(folder.path().join(name), b"x").unwrap();
            folder.commit().unwrap();
        }
        assert!(path.join("two").exists() && !path.join("one").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_never_replaced() {
        use std::os::unix::fs::FileTypeExt;
        // A symbolic link to one: the device itself is not touched even where this fails.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(matches!(AtomicFile::create(&path, true), Err(Error::Usage(_))));
        assert!(matches!(AtomicFolder::create(&path, true), Err(Error::Usage(_))));
        assert!(path.metadata().unwrap().file_type().is_char_device());
    }
}
