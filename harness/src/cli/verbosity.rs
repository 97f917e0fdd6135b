//! `-v` and `RUST_LOG`: what happens, told on standard error while it happens.

use std::time::Instant;

use clap::{ArgAction, Args};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use super::tell;
use crate::report::visible;

/// How much is told.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Verbosity {
    /// Tell on standard error what happens: processes, connections, operations and faults; -vv tells every frame, too
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Settings")]
    verbose: u8,
}

/// Tells from now on what the flag asks for, else what `RUST_LOG` does.
///
/// What is heard is streamspec alone: no library beneath it decides what of a request is written into a log.
pub(super) fn listen(verbosity: &Verbosity) {
    let asked = match verbosity.verbose {
        0 => std::env::var("RUST_LOG").unwrap_or_default(),
        1 => LevelFilter::INFO.to_string(),
        2.. => LevelFilter::DEBUG.to_string(),
    };
    if asked.trim().is_empty() {
        return;
    }
    // It may be meant for a server that is tested, which reads it in its own way.
    let filter = match EnvFilter::builder().parse(&asked) {
        Ok(filter) => filter.and(filter_fn(|about| about.target().starts_with("streamspec"))),
        Err(error) => return tell(&format!("warning: RUST_LOG is passed over by streamspec: {}", visible(&error.to_string()))),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(Since(Instant::now()))
        .with_ansi(false)
        // It would panic where nobody reads standard error.
        .log_internal_errors(false);
    // Only a second subscriber of this process would be refused, and there is none.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(lines.with_filter(filter)));
}

/// Seconds since streamspec began.
struct Since(Instant);

impl FormatTime for Since {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "{:>9.3}s", self.0.elapsed().as_secs_f64())
    }
}
