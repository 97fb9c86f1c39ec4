//! The `twinmart` command: parse, run, exit status.

use clap::Parser;
use std::process::ExitCode;
use twinmart::cli::{Cli, Exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A panic is a fault of the program: one line to report it by, not a trace; RUST_BACKTRACE=full brings the trace back.
    if std::env::var("RUST_BACKTRACE").as_deref() != Ok("full") {
        std::panic::set_hook(Box::new(|info| eprintln!("error: a fault of the program, please report it: {info}")));
    }
    match std::panic::catch_unwind(|| twinmart::cli::run(cli)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(Exit::of(&error) as u8)
        }
        Err(_) => ExitCode::from(Exit::Failed as u8),
    }
}
