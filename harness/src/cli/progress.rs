//! How far long work is: one line on standard error, on terminals that can overwrite it; elsewhere nothing, or a line now and
//! then of work that takes hours.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Without a terminal, how often a line says how far a campaign is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The line.
pub(super) struct Progress {
    total: usize,
    done: usize,
    /// Columns of the terminal, if there is one.
    columns: Option<usize>,
    /// When a line was written last where there is none, if any is to be written there.
    written: Option<Cell<Instant>>,
}

impl Progress {
    pub(super) fn new(total: usize) -> Progress {
        let err = std::io::stderr();
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let columns = terminal_size::terminal_size_of(&err).map_or(80, |(columns, _)| usize::from(columns.0));
        Progress { total, done: 0, columns: (err.is_terminal() && !dumb).then_some(columns), written: None }
    }

    /// Of work whose end is not known, which may take hours: without a terminal a line every 10 s.
    pub(super) fn of_a_campaign() -> Progress {
        Progress { written: Some(Cell::new(Instant::now())), ..Progress::new(0) }
    }

    /// One more is done.
    pub(super) fn step(&mut self, name: &str) {
        self.done += 1;
        let line = format!("{}/{} {name}", self.done, self.total);
        self.say(&line);
    }

    /// Removes the line, so that what follows begins on an empty one.
    pub(super) fn clear(&self) {
        if self.columns.is_some() {
            self.say("");
        }
    }

    /// Puts a text in place of the line.
    pub(super) fn say(&self, text: &str) {
        let Some(columns) = self.columns else {
            if let Some(written) = self.written.as_ref().filter(|written| written.get().elapsed() >= LINE_EVERY) {
                written.set(Instant::now());
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            return;
        };
        // A line that wraps could not be overwritten.
        let text: String = text.chars().take(columns.saturating_sub(1)).collect();
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{text}");
    }
}
