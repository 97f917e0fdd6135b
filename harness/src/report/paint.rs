//! Colours, where the reader's terminal has them.

use std::io::IsTerminal;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// Colours for standard output: on a terminal, or where `CLICOLOR_FORCE` asks for them, unless `NO_COLOR`,
    /// `CLICOLOR=0` or `TERM=dumb` says otherwise.
    pub fn for_stdout() -> Paint {
        Paint(wanted(std::io::stdout().is_terminal(), |name| std::env::var(name).ok()))
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

fn wanted(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| variable(name).is_some_and(|v| v == value);
    let forced = variable("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0");
    let refused = variable("NO_COLOR").is_some_and(|v| !v.is_empty());
    !refused && (forced || terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(terminal: bool, set: &[(&str, &str)]) -> bool {
        wanted(terminal, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(with(true, &[]));
        assert!(!with(false, &[]));
        assert!(with(true, &[("NO_COLOR", "")]), "an empty NO_COLOR says nothing");
        for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
            assert!(!with(true, &[(name, value)]), "{name}={value}");
        }
        assert!(with(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!with(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    }
}
