//! Resumable stages: each writes a folder named by the digest of what it depends on; a whole folder is not made again.
//!
//! A run's folder holds `stages/NAME-DIGEST/` (the work) and the published files beside it (hard links to the work), which
//! change only when every stage is done. A killed run therefore leaves whole stages, checkpoints of the one that was at work
//! (`stages/checkpoints-NAME/`), and the last published result.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;
use twinmart_tables::{AtomicFile, AtomicFolder, Error, Result};

/// One line of `run.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StageLine {
    pub(crate) stage: String,
    /// The digest of inputs and settings.
    pub(crate) key: String,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    /// Wall time when the stage was computed.
    pub(crate) seconds: f64,
    /// True where an earlier run computed it.
    #[serde(default)]
    pub(crate) reused: bool,
    /// File name → bytes, to see that the folder is whole.
    files: BTreeMap<String, u64>,
}

/// What a stage did.
pub(crate) struct Counts {
    pub(crate) rows_in: usize,
    pub(crate) rows_out: usize,
}

/// The stages of one run's folder.
pub(crate) struct Stages {
    folder: PathBuf,
    pub(crate) lines: Vec<StageLine>,
    _lock: File,
}

const RECORD: &str = "stage.json";

impl Stages {
    /// Opens or resumes a run's folder. Refuses a folder with other content unless `overwrite`, and one in use.
    /// `overwrite` forgets the stages of earlier runs; files that no run makes stay.
    pub(crate) fn open(folder: &Path, overwrite: bool) -> Result<Stages> {
        let work = folder.join("stages");
        let foreign = folder.exists()
            && !work.is_dir()
            && (!folder.is_dir() || fs::read_dir(folder).map_err(|e| Error::io(folder, e))?.next().is_some());
        if foreign && !overwrite {
            return Err(Error::usage("the output exists and is not the folder of an earlier run")
                .file(folder)
                .remedy("choose another folder or add --overwrite")
                .into());
        }
        if overwrite && work.is_dir() {
            remove(&work)?;
        }
        fs::create_dir_all(&work).map_err(|e| Error::io(&work, e))?;
        let path = work.join("lock");
        let lock = File::create(&path).map_err(|e| Error::io(&path, e))?;
        if lock.try_lock().is_err() {
            return Err(Error::data("another run is at work here")
                .file(folder)
                .remedy("wait for it or choose another folder")
                .into());
        }
        let stages = Stages { folder: folder.to_path_buf(), lines: Vec::new(), _lock: lock };
        stages.remove_leftovers()?;
        Ok(stages)
    }

    /// Where a stage keeps what it goes on from when it is interrupted; gone when every stage is done.
    pub(crate) fn checkpoints(&self, stage: &str) -> PathBuf {
        self.folder.join("stages").join(format!("checkpoints-{stage}"))
    }

    /// Runs a stage, or takes its folder from an earlier run. `work` fills the folder that it is given.
    pub(crate) fn stage(
        &mut self,
        name: &str,
        key: &str,
        work: impl FnOnce(&Path) -> Result<Counts>,
    ) -> Result<PathBuf> {
        let path = self.folder.join("stages").join(format!("{name}-{}", &key[..16]));
        if let Some(line) = whole(&path) {
            self.lines.push(StageLine { reused: true, ..line });
            return Ok(path);
        }
        let began = Instant::now();
        let folder = AtomicFolder::create(&path, true)?;
        let counts = work(folder.path())?;
        let line = StageLine {
            stage: name.into(),
            key: key.into(),
            rows_in: counts.rows_in as u64,
            rows_out: counts.rows_out as u64,
            seconds: (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            reused: false,
            files: sizes(folder.path())?,
        };
        write_json(&folder.path().join(RECORD), &line)?;
        folder.commit()?;
        self.lines.push(line);
        Ok(path)
    }

    /// Makes files or folders of the stages appear in the run's folder, writes `run.jsonl`, removes stages of other settings.
    pub(crate) fn publish(&self, results: &[(PathBuf, &str)]) -> Result<()> {
        for (from, name) in results {
            let to = self.folder.join(name);
            if from.is_dir() {
                let folder = AtomicFolder::create(&to, true)?;
                for file in sizes(from)?.keys().filter(|f| *f != RECORD) {
                    link(&from.join(file), &folder.path().join(file))?;
                }
                folder.commit()?;
            } else {
                let fresh = self.folder.join(format!(".twinmart-partial-{name}"));
                link(from, &fresh)?;
                fs::rename(&fresh, &to).map_err(|e| Error::io(&to, e))?;
                // Renaming one link of a file to another is nothing, and would leave the temporary name.
                let _ = fs::remove_file(&fresh);
            }
        }
        let mut lines = String::new();
        for line in &self.lines {
            let mut value = serde_json::to_value(line).map_err(|e| Error::data(e.to_string()))?;
            if let Some(object) = value.as_object_mut() {
                object.remove("files");
            }
            lines.push_str(&format!("{value}\n"));
        }
        AtomicFile::write(self.folder.join("run.jsonl"), true, lines.as_bytes())?;
        self.remove_other_stages()
    }

    fn remove_leftovers(&self) -> Result<()> {
        for folder in [self.folder.clone(), self.folder.join("stages")] {
            for entry in fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(".twinmart-") {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    fn remove_other_stages(&self) -> Result<()> {
        let work = self.folder.join("stages");
        let current: Vec<String> = self.lines.iter().map(|l| format!("{}-{}", l.stage, &l.key[..16])).collect();
        for entry in fs::read_dir(&work).map_err(|e| Error::io(&work, e))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "lock" && !current.contains(&name) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Stages {
    /// A run that finished no stage leaves nothing: neither its lock nor a folder that held nothing else.
    fn drop(&mut self) {
        let work = self.folder.join("stages");
        let only_the_lock = |entries: fs::ReadDir| entries.flatten().all(|e| e.file_name() == "lock");
        if fs::read_dir(&work).is_ok_and(only_the_lock) {
            // Each removal may fail where the folder holds something else: then it stays.
            let _ = fs::remove_file(work.join("lock"));
            let _ = fs::remove_dir(&work);
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// The record of a stage folder whose files all have their sizes.
fn whole(path: &Path) -> Option<StageLine> {
    let line: StageLine = serde_json::from_slice(&fs::read(path.join(RECORD)).ok()?).ok()?;
    let as_recorded = |(name, bytes): (&String, &u64)| fs::metadata(path.join(name)).is_ok_and(|m| m.len() == *bytes);
    line.files.iter().all(as_recorded).then_some(line)
}

fn sizes(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let size = entry.metadata().map_err(|e| Error::io(entry.path(), e))?.len();
        found.insert(entry.file_name().to_string_lossy().into_owned(), size);
    }
    Ok(found)
}

/// A hard link, or a copy where the file system has none.
fn link(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_file(to);
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ())).map_err(|e| Error::io(to, e))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|e| Error::io(path, e))
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| Error::data(format!("no JSON form: {e}")).file(path))?;
    text.push('\n');
    AtomicFile::write(path, true, text.as_bytes())
}

/// Reads a value that [`write_json`] wrote.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::data(format!("not the expected JSON: {e}")).file(path).remedy("run the stage again").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folder: &Path, content: &str) -> Result<Counts> {
        fs::write(folder.join("out.txt"), content).map_err(|e| Error::io(folder, e))?;
        Ok(Counts { rows_in: 2, rows_out: 1 })
    }

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_whole_stage_is_reused_and_a_damaged_one_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let open = || Stages::open(&out, false).unwrap();
        let path = open().stage("fit", KEY, |p| count(p, "one")).unwrap();
        let mut again = open();
        again.stage("fit", KEY, |_| panic!("must not run")).unwrap();
        assert!(again.lines[0].reused);
        drop(again);
        fs::write(path.join("out.txt"), "damaged").unwrap();
        let mut third = open();
        third.stage("fit", KEY, |p| count(p, "one")).unwrap();
        assert!(!third.lines[0].reused);
        third.publish(&[(path.join("out.txt"), "result.txt")]).unwrap();
        assert_eq!(fs::read_to_string(out.join("result.txt")).unwrap(), "one");
        assert!(out.join("run.jsonl").exists());
    }

    #[test]
    fn a_failed_stage_leaves_nothing_and_a_second_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut stages = Stages::open(dir.path(), false).unwrap();
        let failed = stages.stage("fit", KEY, |p| {
            count(p, "half")?;
            Err(Error::Interrupted)
        });
        assert!(matches!(failed, Err(Error::Interrupted)));
        assert!(whole(&dir.path().join("stages/fit-0123456789abcdef")).is_none());
        assert!(Stages::open(dir.path(), false).is_err(), "the lock is held");
        drop(stages);
        assert!(!dir.path().exists(), "no stage was finished");
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("precious"), "x").unwrap();
        assert!(matches!(Stages::open(foreign.path(), false), Err(Error::Usage(_))));
    }
}
