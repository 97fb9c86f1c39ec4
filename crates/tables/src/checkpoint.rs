//! Checkpoints: what long learning has so far, kept in a folder, so that a stopped run goes on from there.
//!
//! ```text
//! FOLDER/LEARNER-TABLE-KEY.checkpoint    mark │ key │ time of learning │ what the learner wrote │ SHA-256 of all before
//! ```
//!
//! The key is a digest of all that decides what is learned: data, settings, seed, and the build of the program, since only
//! the same build promises the same bytes. A file of another key is not read. Files hold weights and counts, no training
//! rows: they are as sensitive as the model that they become.

use crate::{AtomicFile, Digest, Error, Progress, Result};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a file begins.
const MARK: &[u8; 24] = b"twinmart checkpoint 1   ";
/// Bytes of a key and of a digest.
const DIGEST: u64 = 32;
/// Writing takes at most this part of the time: large states are kept less often.
const WRITING: u32 = 20;
/// What took less time to learn is learned again.
const WORTH_KEEPING: Duration = Duration::from_secs(2);
/// Numbers that are converted together.
const CHUNK: usize = 1 << 14;
const EXTENSION: &str = ".checkpoint";
const PARTIAL: &str = ".twinmart-partial-";

/// Where learners keep what they have; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Checkpoints {
    shared: Option<Arc<Shared>>,
    /// The table that is learned.
    table: String,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    every: Duration,
    /// How long the learning took that was read and not repeated.
    regained: Mutex<Duration>,
    /// True once the user knows that checkpoints of another run are there.
    told: AtomicBool,
}

impl Shared {
    fn regained(&self) -> Duration {
        *self.regained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn regain(&self, time: Duration) {
        let mut regained = self.regained.lock().unwrap_or_else(PoisonError::into_inner);
        *regained = regained.saturating_add(time);
    }
}

impl Checkpoints {
    /// Time between two checkpoints, unless the user wants another.
    pub const INTERVAL: Duration = Duration::from_secs(30);

    /// Keeps nothing.
    pub fn none() -> Checkpoints {
        Checkpoints::default()
    }

    /// Keeps checkpoints in `folder`, one `every` so often, none where that is zero; the folder is made when there is
    /// something to keep. What a killed run left half-written is removed.
    ///
    /// # Errors
    /// A usage error where `folder` is something else than a folder.
    pub fn open(folder: impl Into<PathBuf>, every: Duration) -> Result<Checkpoints> {
        if every.is_zero() {
            return Ok(Checkpoints::none());
        }
        let folder = folder.into();
        if folder.symlink_metadata().is_ok() && !folder.is_dir() {
            return Err(Error::usage("checkpoints go into a folder of this name, and something else is there")
                .file(&folder)
                .remedy("remove it, choose another output, or keep none with --checkpoint-seconds 0")
                .into());
        }
        for partial in files_in(&folder, |name| name.starts_with(PARTIAL)) {
            fs::remove_file(&partial).map_err(|e| Error::io(&partial, e))?;
        }
        let shared = Shared { folder, every, regained: Mutex::default(), told: AtomicBool::new(false) };
        Ok(Checkpoints { shared: Some(Arc::new(shared)), table: String::new() })
    }

    /// True where something is kept.
    pub fn any(&self) -> bool {
        self.shared.as_ref().is_some_and(|s| !files_in(&s.folder, is_checkpoint).is_empty())
    }

    /// Removes all that is kept, and the folder where it holds nothing else.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        for file in files_in(&shared.folder, is_checkpoint) {
            fs::remove_file(&file).map_err(|e| Error::io(&file, e))?;
        }
        // Fails where the folder is not there or holds something else.
        let _ = fs::remove_dir(&shared.folder);
        Ok(())
    }

    /// The same for the learners of one table.
    pub(crate) fn of_table(&self, table: &str) -> Checkpoints {
        Checkpoints { shared: self.shared.clone(), table: table.into() }
    }

    /// How long the learning took that was read from checkpoints and not repeated.
    pub(crate) fn regained(&self) -> Duration {
        self.shared.as_ref().map_or(Duration::ZERO, |s| s.regained())
    }

    /// The place of one learner; `run` digests all that decides what it learns.
    pub(crate) fn of(&self, learner: &str, run: impl FnOnce() -> Digest, progress: &Progress) -> Checkpoint {
        let place = self.shared.as_ref().map(|shared| {
            let key = Digest::new("checkpoint").text(&build()).bytes(&run().finish_bytes());
            Place::new(shared.clone(), &self.table, learner, key.finish_bytes())
        });
        Checkpoint { place, progress: progress.clone() }
    }
}

/// What names this build of the program.
fn build() -> String {
    let file = std::env::current_exe().and_then(|path| path.metadata()).ok();
    let changed = file.and_then(|file| Some((file.len(), file.modified().ok()?)));
    format!("{} {changed:?}", env!("CARGO_PKG_VERSION"))
}

fn is_checkpoint(name: &str) -> bool {
    let stem = name.strip_suffix(EXTENSION).and_then(|stem| stem.rsplit_once('-'));
    stem.is_some_and(|(_, key)| key.len() == 16 && key.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Files of a folder by their names, none where it is not there.
fn files_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = entries.flatten().filter(|e| e.file_name().to_str().is_some_and(&wanted));
    named.map(|e| e.path()).filter(|path| path.is_file()).collect()
}

/// What one learner keeps. Nothing happens where no checkpoints are wanted.
#[derive(Debug)]
pub struct Checkpoint {
    place: Option<Place>,
    progress: Progress,
}

#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    table: String,
    /// How the file's name begins, whatever the key.
    prefix: String,
    key: [u8; 32],
    path: PathBuf,
    /// Time of learning before this process.
    before: Duration,
    began: Instant,
    /// What had been regained then.
    regained: Duration,
    /// When the last checkpoint was written, and how long that took.
    last: Instant,
    took: Duration,
    failed: bool,
}

impl Place {
    fn new(shared: Arc<Shared>, table: &str, learner: &str, key: [u8; 32]) -> Place {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let table_digest = Digest::new("table").text(table).finish_bytes();
        let prefix = format!("{learner}-{}-", hexadecimal(&table_digest[..4]));
        let path = shared.folder.join(format!("{prefix}{}{EXTENSION}", hexadecimal(&key[..8])));
        let (now, zero) = (Instant::now(), Duration::ZERO);
        let (table, regained) = (table.into(), shared.regained());
        let (before, began, last, took, failed) = (zero, now, now, zero, false);
        Place { shared, table, prefix, key, path, before, began, regained, last, took, failed }
    }

    /// Time of learning, in this process and before, by this learner and by those that it made use of.
    fn spent(&self) -> Duration {
        self.began.elapsed().saturating_add(self.shared.regained().saturating_sub(self.regained))
    }

    fn write(&self, write: impl FnOnce(&mut Writing) -> io::Result<()>) -> Result<()> {
        let mut out = Writing { file: AtomicFile::create(&self.path, true)?, digest: Sha256::new() };
        let all = || {
            out.put(MARK)?;
            out.put(&self.key)?;
            out.whole(u64::try_from(self.spent().as_millis()).unwrap_or(u64::MAX))?;
            write(&mut out)?;
            let digest = out.digest.clone().finalize();
            out.put(&digest)
        };
        all().map_err(|e| Error::io(&self.path, e))?;
        out.file.commit()
    }

    /// What is kept, with its time of learning; `None` where nothing is. The error says what is wrong with the file.
    fn read<S>(
        &self,
        read: impl FnOnce(&mut Reading) -> Option<S>,
    ) -> std::result::Result<Option<(Duration, S)>, String> {
        let unreadable = |e: io::Error| format!("cannot be read ({e})");
        match self.path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(e)),
            Ok(found) if !found.is_file() => return Err("is no regular file".into()),
            Ok(_) => {}
        }
        let file = File::open(&self.path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let Some(left) = length.checked_sub(DIGEST) else { return Err("is damaged".into()) };
        let mut input = Reading { file: BufReader::new(file), left, digest: Sha256::new() };
        let all = || {
            let (mut mark, mut key) = ([0; MARK.len()], [0; DIGEST as usize]);
            input.take(&mut mark)?;
            input.take(&mut key)?;
            let time = Duration::from_millis(input.whole()?);
            let state = (mark == *MARK && key == self.key).then(|| read(&mut input))??;
            let (found, mut expected) = (input.digest.clone().finalize(), [0; DIGEST as usize]);
            input.file.read_exact(&mut expected).ok()?;
            (input.left == 0 && found.as_slice() == expected).then_some((time, state))
        };
        all().map(Some).ok_or_else(|| "is damaged".into())
    }

    /// True where the folder holds what the same learner kept in a run of other data or settings.
    fn is_another_there(&self) -> bool {
        !files_in(&self.shared.folder, |name| name.starts_with(&self.prefix) && is_checkpoint(name)).is_empty()
    }
}

impl Checkpoint {
    /// What an interrupted run of the same data and settings kept. `read` takes it in the order in which it was written
    /// and answers `None` where it makes no sense. The user hears of files that cannot be used.
    pub fn resume<S>(&mut self, read: impl FnOnce(&mut Reading) -> Option<S>) -> Option<S> {
        let place = self.place.as_mut()?;
        match place.read(read) {
            Ok(Some((time, state))) => {
                place.before = time;
                place.shared.regain(time);
                return Some(state);
            }
            Ok(None) if place.is_another_there() && !place.shared.told.swap(true, Ordering::Relaxed) => {
                self.progress.warn(&format!(
                    "{}: the checkpoints there are of other data or settings, or of another build of the program, and are \
                     not used; they are removed once the output is written",
                    place.shared.folder.display()
                ));
            }
            Ok(None) => {}
            Err(why) => self.progress.warn(&format!(
                "{}: this checkpoint {why} and is not used; learning starts from the beginning",
                place.path.display()
            )),
        }
        None
    }

    /// Tells the user something about the table that is learned.
    pub fn tell(&self, what: &str) {
        let table = self.place.as_ref().map_or("", |p| &p.table);
        self.progress.note(&if table.is_empty() { what.into() } else { format!("{table}: {what}") });
    }

    /// A deadline, sooner by the time that learning took before.
    pub fn deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        let before = self.place.as_ref().map_or(Duration::ZERO, |p| p.before);
        deadline.map(|deadline| deadline.checked_sub(before).unwrap_or_else(Instant::now))
    }

    /// True where it is time to write again.
    pub fn is_due(&self) -> bool {
        self.place.as_ref().is_some_and(|p| p.last.elapsed() >= p.shared.every.max(p.took * WRITING))
    }

    /// True where what was learned took so long that it should not be learned again.
    pub fn is_worthwhile(&self) -> bool {
        let worth = |p: &Place| p.spent() >= WORTH_KEEPING.min(p.shared.every);
        self.place.as_ref().is_some_and(worth)
    }

    /// Keeps what `write` writes in place of what was kept before. The work does not end where that fails; the user hears
    /// of it once.
    pub fn write(&mut self, write: impl FnOnce(&mut Writing) -> io::Result<()>) {
        let Some(place) = &mut self.place else { return };
        let began = Instant::now();
        if let Err(error) = place.write(write)
            && !std::mem::replace(&mut place.failed, true)
        {
            self.progress.warn(&format!("no checkpoint could be written, the work goes on: {error}"));
        }
        place.last = Instant::now();
        place.took = began.elapsed();
    }

    /// The place of the learner that works on what this one has learned; `result` adds that to the digest.
    pub fn then(&self, learner: &str, result: impl FnOnce(Digest) -> Digest) -> Checkpoint {
        let place = self.place.as_ref().map(|p| {
            let key = result(Digest::new("checkpoint then").bytes(&p.key));
            Place::new(p.shared.clone(), &p.table, learner, key.finish_bytes())
        });
        Checkpoint { place, progress: self.progress.clone() }
    }
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct Writing {
    file: AtomicFile,
    digest: Sha256,
}

impl Writing {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }

    /// Writes a whole number.
    ///
    /// # Errors
    /// As every write.
    pub fn whole(&mut self, number: u64) -> io::Result<()> {
        self.put(&number.to_le_bytes())
    }

    /// Writes numbers; errors as every write.
    pub fn numbers(&mut self, numbers: &[f32]) -> io::Result<()> {
        self.whole(numbers.len() as u64)?;
        let mut bytes = Vec::with_capacity(4 * CHUNK.min(numbers.len()));
        for chunk in numbers.chunks(CHUNK) {
            bytes.clear();
            chunk.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
            self.put(&bytes)?;
        }
        Ok(())
    }

    /// Writes bytes; errors as every write.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.whole(bytes.len() as u64)?;
        self.put(bytes)
    }
}

/// A checkpoint that is being read. What is in it may be anything: lengths are checked before memory is taken.
#[derive(Debug)]
pub struct Reading {
    file: BufReader<File>,
    /// Bytes before the digest that were not read yet.
    left: u64,
    digest: Sha256,
}

impl Reading {
    fn take(&mut self, bytes: &mut [u8]) -> Option<()> {
        self.left = self.left.checked_sub(bytes.len() as u64)?;
        self.file.read_exact(bytes).ok()?;
        self.digest.update(bytes);
        Some(())
    }

    /// A whole number; `None` where the file is at its end.
    pub fn whole(&mut self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.take(&mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    /// So many numbers; `None` where others are there, or one that is not finite.
    pub fn numbers(&mut self, count: usize) -> Option<Vec<f32>> {
        if self.whole()? != count as u64 || (count as u64).checked_mul(4)? > self.left {
            return None;
        }
        let mut numbers = Vec::with_capacity(count);
        let mut bytes = vec![0; 4 * CHUNK.min(count)];
        while numbers.len() < count {
            let some = &mut bytes[..4 * CHUNK.min(count - numbers.len())];
            self.take(some)?;
            numbers.extend(some.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)));
        }
        numbers.iter().all(|number| number.is_finite()).then_some(numbers)
    }

    /// Bytes, at most so many; `None` where there are more, or fewer than they say.
    pub fn bytes(&mut self, most: usize) -> Option<Vec<u8>> {
        let count = usize::try_from(self.whole()?).ok()?;
        if count > most || count as u64 > self.left {
            return None;
        }
        let mut bytes = vec![0; count];
        self.take(&mut bytes)?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reporter;

    /// Remembers what it is told.
    #[derive(Default)]
    struct Listener(Mutex<Vec<String>>);

    impl Reporter for Listener {
        fn start(&self, _: &str, _: Option<u64>, _: &str) -> usize {
            0
        }
        fn advance(&self, _: usize, _: u64) {}
        fn finish(&self, _: usize) {}
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
    }

    /// A folder, and what the user hears.
    struct Case {
        dir: tempfile::TempDir,
        listener: Arc<Listener>,
    }

    impl Case {
        fn new() -> Case {
            Case { dir: tempfile::tempdir().unwrap(), listener: Arc::default() }
        }

        fn folder(&self) -> PathBuf {
            self.dir.path().join("kept")
        }

        fn checkpoints(&self) -> Checkpoints {
            Checkpoints::open(self.folder(), Duration::from_nanos(1)).unwrap()
        }

        /// The learner's place in a run of its own.
        fn checkpoint(&self, run: &str) -> Checkpoint {
            let progress = Progress::new(self.listener.clone(), Arc::new(AtomicBool::new(false)));
            progress.keeping(self.checkpoints()).of_table("t").checkpoint("learner", || Digest::new(run))
        }

        fn write(&self, run: &str) -> PathBuf {
            let mut checkpoint = self.checkpoint(run);
            checkpoint.write(|out| {
                out.whole(7)?;
                out.numbers(&[0.5, -1.0, 3.0])?;
                out.bytes(b"bytes")
            });
            checkpoint.place.unwrap().path
        }

        fn read(&self, run: &str) -> Option<(u64, Vec<f32>, Vec<u8>)> {
            self.checkpoint(run).resume(|input| Some((input.whole()?, input.numbers(3)?, input.bytes(100)?)))
        }

        fn heard(&self) -> String {
            std::mem::take(&mut *self.listener.0.lock().unwrap()).join("\n")
        }
    }

    #[test]
    fn what_was_written_is_read_by_the_same_run_only() {
        let case = Case::new();
        assert_eq!(case.read("one"), None);
        assert!(!case.folder().exists(), "nothing to keep, no folder");
        case.write("one");
        assert_eq!(case.heard(), "");
        assert_eq!(case.read("one"), Some((7, vec![0.5, -1.0, 3.0], b"bytes".to_vec())));
        assert_eq!(case.heard(), "");
        assert_eq!(case.read("two"), None);
        assert!(case.heard().contains("of other data or settings"));
        case.write("two");
        assert!(case.read("one").is_some() && case.read("two").is_some(), "runs do not take each other's place");
    }

    #[test]
    fn what_is_cut_or_changed_anywhere_is_refused() {
        let case = Case::new();
        let path = case.write("one");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(case.read("one"), None, "cut to {length} bytes");
            assert!(case.heard().contains("is damaged"));
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x40;
            fs::write(&path, changed).unwrap();
            assert_eq!(case.read("one"), None, "byte {place} changed");
            assert!(case.heard().contains("is damaged"));
        }
        fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert_eq!(case.read("one"), None, "longer");
        fs::write(&path, &whole).unwrap();
        assert!(case.read("one").is_some());
    }

    #[test]
    fn forged_lengths_take_no_memory() {
        let case = Case::new();
        let write = |length: u64| case.checkpoint("one").write(|out| out.whole(length));
        for length in [4, 1 << 40, u64::MAX] {
            write(length);
            let count = usize::try_from(length).unwrap();
            assert_eq!(case.checkpoint("one").resume(|input| input.numbers(count)), None);
            assert_eq!(case.checkpoint("one").resume(|input| input.bytes(usize::MAX)), None);
        }
        case.checkpoint("one").write(|out| out.numbers(&[f32::NAN]));
        assert_eq!(case.checkpoint("one").resume(|input| input.numbers(1)), None);
    }

    #[test]
    fn removal_leaves_what_is_not_a_checkpoint() {
        let case = Case::new();
        case.write("one");
        let precious = case.folder().join("notes.checkpoint");
        fs::write(&precious, "x").unwrap();
        fs::write(case.folder().join(".twinmart-partial-abc"), "half").unwrap();
        assert!(case.checkpoints().any());
        assert!(!case.folder().join(".twinmart-partial-abc").exists(), "left by a killed run");
        case.checkpoints().remove().unwrap();
        assert!(!case.checkpoints().any() && precious.exists());
        fs::remove_file(&precious).unwrap();
        case.checkpoints().remove().unwrap();
        assert!(!case.folder().exists());
        fs::write(case.folder(), "a file").unwrap();
        assert!(matches!(Checkpoints::open(case.folder(), Duration::from_nanos(1)), Err(Error::Usage(_))));
    }

    #[test]
    fn the_time_before_counts() {
        let case = Case::new();
        let mut first = case.checkpoint("one");
        // A part of it came from a checkpoint of its own.
        first.place.as_ref().unwrap().shared.regain(Duration::from_secs(3600));
        assert!(first.is_worthwhile() && first.is_due());
        first.write(|_| Ok(()));
        let progress = Progress::silent().keeping(case.checkpoints());
        let mut again = progress.of_table("t").checkpoint("learner", || Digest::new("one"));
        let deadline = Instant::now() + Duration::from_secs(7200);
        assert_eq!(again.deadline(Some(deadline)), Some(deadline));
        again.resume(|_| Some(())).unwrap();
        let hour = deadline - again.deadline(Some(deadline)).unwrap();
        assert!((3600..3610).contains(&hour.as_secs()));
        assert_eq!(progress.regained(), hour);
        assert_eq!(again.deadline(None), None);
    }

    #[test]
    fn a_disk_that_refuses_is_told_of_once() {
        let case = Case::new();
        let mut checkpoint = case.checkpoint("one");
        fs::write(case.folder(), "a file").unwrap();
        checkpoint.write(|_| Ok(()));
        assert!(case.heard().contains("no checkpoint could be written, the work goes on"));
        checkpoint.write(|_| Ok(()));
        assert_eq!(case.heard(), "");
    }

    #[test]
    fn without_a_folder_nothing_happens() {
        let mut checkpoint = Progress::silent().checkpoint("learner", || panic!("no digest is needed"));
        assert!(!checkpoint.is_due() && !checkpoint.is_worthwhile());
        checkpoint.write(|_| panic!("nothing is written"));
        assert_eq!(checkpoint.resume(|_| Some(1)), None);
        assert!(checkpoint.then("next", |_| panic!("no digest is needed")).place.is_none());
    }
}
