//! This program once more, as a child process, so that time and memory are those of one piece of work alone.

use super::processor::seconds_of_children;
use super::results::rounded;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use twinmart_tables::{Error, Progress, Result};

/// Time between two looks at the child: what its memory grows by after the last one is missed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// What a child process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Wall time from its start to its end.
    pub(crate) seconds: f64,
    /// Processor time of all its threads; Linux only.
    pub(crate) cpu_seconds: Option<f64>,
    /// Largest resident memory; Linux only.
    pub(crate) peak_bytes: Option<u64>,
}

/// Runs `twinmart ARGUMENTS` and waits. `scratch` takes its messages and temporary files; warnings are handed on, with `title`.
/// Where the user interrupts, the child is ended too.
pub(crate) fn run(title: &str, arguments: &[OsString], scratch: &Path, progress: &Progress) -> Result<Usage> {
    let messages = scratch.join("messages");
    let file = File::create(&messages).map_err(|e| Error::io(&messages, e))?;
    let program = std::env::current_exe().map_err(|e| Error::io("this program's own file", e))?;
    let mut command = Command::new(&program);
    command.args(arguments).arg("--quiet").env("TMPDIR", scratch);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let (before, began) = (seconds_of_children(), Instant::now());
    let mut running = Running(command.spawn().map_err(|e| Error::io(&program, e))?);
    let (status, peak_bytes) = running.watch(title, progress)?;
    let usage = Usage {
        seconds: rounded(began.elapsed().as_secs_f64(), 3),
        cpu_seconds: seconds_of_children().zip(before).map(|(after, before)| rounded(after - before, 2)),
        peak_bytes,
    };
    let said = fs::read_to_string(&messages).map_err(|e| Error::io(&messages, e))?;
    said.lines().filter_map(|l| l.strip_prefix("warning: ")).for_each(|w| progress.warn(&format!("{title}: {w}")));
    if status.success() { Ok(usage) } else { Err(failure(title, status, &said)) }
}

/// The child's own error, or how it ended.
fn failure(title: &str, status: ExitStatus, said: &str) -> Error {
    match said.lines().rev().find_map(|l| l.strip_prefix("error: ")) {
        Some(reason) => Error::data(format!("{title}: {reason}")).into(),
        None => Error::data(format!("{title}: the process ended with {status}"))
            .remedy("where it was killed, memory may have run out: close other programs or bench a part of the rows")
            .into(),
    }
}

/// A child that does not outlive its observer.
struct Running(Child);

impl Running {
    fn watch(&mut self, title: &str, progress: &Progress) -> Result<(ExitStatus, Option<u64>)> {
        let (task, began) = (progress.start(title, None, "s"), Instant::now());
        let (mut peak, mut shown) = (None, 0);
        loop {
            // The kernel's own maximum for ended children counts the memory of the parent before the program started.
            peak = peak.max(peak_memory(self.0.id()));
            if let Some(status) = self.0.try_wait().map_err(|e| Error::io(title, e))? {
                return Ok((status, peak));
            }
            let passed = began.elapsed().as_secs();
            task.advance(passed - shown)?;
            shown = passed;
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where the child has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Largest resident memory of a running process so far, in bytes.
fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
