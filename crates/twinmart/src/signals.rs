//! Signals: Ctrl-C and SIGTERM raise a flag that long stages look at; a second Ctrl-C stops at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Installs the handlers and returns the flag.
pub(crate) fn install() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
        for signal in [SIGINT, SIGTERM] {
            // First registered, first run: the shutdown acts only once the flag below is already up.
            signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())?;
        }
        // Without a handler a file-size limit kills the process; with one the write fails and can be explained.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(stop)
}
