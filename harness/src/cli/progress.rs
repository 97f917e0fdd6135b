//! How far long work is: one line on standard error, on terminals that can overwrite it, and nothing elsewhere.

use std::io::{IsTerminal, Write};

/// The line.
pub(super) struct Progress {
    total: usize,
    done: usize,
    /// Columns of the terminal, if there is one.
    columns: Option<usize>,
}

impl Progress {
    pub(super) fn new(total: usize) -> Progress {
        let err = std::io::stderr();
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let columns = terminal_size::terminal_size_of(&err).map_or(80, |(columns, _)| usize::from(columns.0));
        Progress { total, done: 0, columns: (err.is_terminal() && !dumb).then_some(columns) }
    }

    /// One more is done.
    pub(super) fn step(&mut self, name: &str) {
        self.done += 1;
        let line = format!("{}/{} {name}", self.done, self.total);
        self.say(&line);
    }

    /// Removes the line, so that what follows begins on an empty one.
    pub(super) fn clear(&self) {
        self.say("");
    }

    /// Puts a text in place of the line.
    pub(super) fn say(&self, text: &str) {
        let Some(columns) = self.columns else { return };
        // A line that wraps could not be overwritten.
        let text: String = text.chars().take(columns.saturating_sub(1)).collect();
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{text}");
    }
}
