//! How far long work is: one line on standard error, on terminals that can overwrite it; elsewhere nothing, or a line now and
//! then of work that takes hours.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::run::trace;

/// Without a terminal, how often a line says how far a campaign is.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often a second the line is written anew at most.
const DRAWN_HZ: u8 = 10;

/// The line. It is gone when this is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    /// When a line was written last where there is no terminal, if any is to be written there.
    written: Option<Cell<Instant>>,
}

impl Progress {
    /// Of work that has so many parts.
    pub(super) fn new(total: usize) -> Progress {
        Progress { bar: bar(Some(total as u64), "{pos}/{len} [{bar:20}] {eta} left  {wide_msg}"), written: None }
    }

    /// Of work whose end is not known, which may take hours: without a terminal a line every 10 s.
    pub(super) fn of_a_campaign() -> Progress {
        Progress { bar: bar(None, "{wide_msg}"), written: Some(Cell::new(Instant::now())) }
    }

    /// Of one wait of some seconds: on a terminal, what is waited for.
    pub(super) fn of_a_wait() -> Progress {
        Progress { bar: bar(None, "{wide_msg}"), written: None }
    }

    /// One more is done.
    pub(super) fn step(&self, name: &str) {
        self.bar.set_message(name.to_owned());
        self.bar.inc(1);
    }

    /// Puts a text in place of the line.
    pub(super) fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        if let Some(written) = self.written.as_ref().filter(|written| self.bar.is_hidden() && written.get().elapsed() >= LINE_EVERY) {
            written.set(Instant::now());
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Does something that prints, while the line is away.
    pub(super) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    /// Removes the line for good, so that what follows begins on an empty one.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn bar(total: Option<u64>, template: &str) -> ProgressBar {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    // What is told of each case says how far the run is, and the line would be torn by it.
    let target = if dumb || trace::is_on() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(DRAWN_HZ) };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed").progress_chars("=> ");
    ProgressBar::with_draw_target(total, target).with_style(style).with_finish(ProgressFinish::AndClear)
}
