//! Colours, where the reader's terminal has them.

use std::io::IsTerminal;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// Colours for standard output: on a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    pub fn for_stdout() -> Paint {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Paint(std::io::stdout().is_terminal() && !unwanted)
    }

    /// Without colours.
    pub fn plain() -> Paint {
        Paint(false)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// For what is wrong.
    pub fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// For what is right.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// For what deserves a look.
    pub fn warn(self, text: &str) -> String {
        self.with("33", text)
    }

    /// For what stands back.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// For headings.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}
