//! The reference server alone; `streamspec serve` is the same.

use std::process::ExitCode;

use clap::Parser;
use streamspec_reference_server::{ServeOptions, run};

/// The reference session-stream server: correct by default, broken on request.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: ServeOptions,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}
