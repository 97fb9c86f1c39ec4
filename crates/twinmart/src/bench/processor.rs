//! Processor seconds, as Linux counts them; `None` on other systems.

/// `/proc` counts in hundredths of a second, whatever the clock of the kernel.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds of this process so far, all threads, user and system.
pub(crate) fn own_seconds() -> Option<f64> {
    seconds(11)
}

/// Processor seconds of all child processes that have ended, user and system.
pub(crate) fn seconds_of_children() -> Option<f64> {
    seconds(13)
}

/// The sum of two neighbouring times; `first` counts the fields after the name of the program, which may hold blanks.
fn seconds(first: usize) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(first).take(2).map_while(|f| f.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let (before, began) = (own_seconds().unwrap(), std::time::Instant::now());
        let mut sum = 0u64;
        while own_seconds().unwrap() < before + 0.05 {
            sum = (0..100_000u64).fold(sum, |s, x| std::hint::black_box(s ^ x));
            assert!(began.elapsed().as_secs() < 60, "no processor time is counted");
        }
        assert!(seconds_of_children().is_some());
    }
}
