//! A command line as a person types it, split into words without a shell.
//!
//! Quotes and backslashes mean what they mean in `sh`; nothing else does: no variables, no globs, no operators.
//! `{port}` and `{dir}` are filled in after splitting, so a directory with spaces stays one word.

use std::fmt;
use std::path::Path;

/// The words of a command, with the placeholders `{port}` and `{dir}` still in them. There is always a first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    typed: String,
    words: Vec<String>,
}

/// Why a text is no command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLineError {
    /// There is no word in it.
    Empty,
    /// The quote that opens at this character (counted from 1) is never closed.
    OpenQuote {
        /// The text as typed.
        typed: String,
        /// The quote, `'` or `"`.
        quote: char,
        /// Its place, in characters from 1.
        at: usize,
    },
    /// The text ends in a backslash.
    TrailingBackslash {
        /// The text as typed.
        typed: String,
    },
    /// A NUL, which no argument can carry.
    Nul,
}

impl fmt::Display for CommandLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the command is empty; give a program and its arguments, such as 'server --port {{port}}'"),
            Self::OpenQuote { typed, quote, at } => {
                write!(f, "the {quote} at character {at} of the command `{typed}` is never closed")
            }
            Self::TrailingBackslash { typed } => {
                write!(f, "the command `{typed}` ends in a backslash, which escapes nothing")
            }
            Self::Nul => write!(f, "the command contains a NUL character"),
        }
    }
}

impl std::error::Error for CommandLineError {}

impl CommandLine {
    /// The command with every word changed.
    #[must_use]
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        CommandLine { typed: self.typed, words: self.words.iter().map(|word| change(word)).collect() }
    }

    /// Splits `typed` at unquoted white space.
    pub fn parse(typed: &str) -> Result<Self, CommandLineError> {
        if typed.contains('\0') {
            return Err(CommandLineError::Nul);
        }
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut chars = typed.chars().enumerate();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c.is_ascii_whitespace() => words.extend(word.take()),
                '\\' => match chars.next() {
                    Some((_, escaped)) => word.get_or_insert_default().push(escaped),
                    None => {
                        return Err(CommandLineError::TrailingBackslash { typed: typed.to_owned() });
                    }
                },
                quote @ ('\'' | '"') => {
                    let open = || CommandLineError::OpenQuote { typed: typed.to_owned(), quote, at: at + 1 };
                    let word = word.get_or_insert_default();
                    loop {
                        match chars.next().ok_or_else(open)?.1 {
                            c if c == quote => break,
                            '\\' if quote == '"' => match chars.next().ok_or_else(open)?.1 {
                                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                                c => word.extend(['\\', c]),
                            },
                            c => word.push(c),
                        }
                    }
                }
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        if words.is_empty() {
            return Err(CommandLineError::Empty);
        }
        Ok(Self { typed: typed.to_owned(), words })
    }

    /// A command of ready words; nothing in them is split or unquoted.
    ///
    /// # Panics
    /// If there is no word.
    pub fn from_words(words: Vec<String>) -> Self {
        assert!(!words.is_empty(), "a command has a first word");
        Self { typed: words.join(" "), words }
    }

    /// The command as it was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// The program to run.
    pub fn program(&self) -> &str {
        &self.words[0]
    }

    /// Whether the command says where the port goes.
    pub fn names_port(&self) -> bool {
        self.words.iter().any(|word| word.contains("{port}"))
    }

    /// The words with the placeholders filled in.
    pub fn fill(&self, port: u16, dir: &Path) -> Vec<String> {
        let dir = dir.to_string_lossy();
        self.words.iter().map(|word| word.replace("{port}", &port.to_string()).replace("{dir}", &dir)).collect()
    }

    /// The first word that only a shell would understand, for a hint when the command fails.
    pub(super) fn shell_word(&self) -> Option<&str> {
        const OPERATORS: [&str; 9] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"];
        self.words.iter().map(String::as_str).find(|word| OPERATORS.contains(word) || (word.starts_with('$') && word.len() > 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &str) -> Vec<String> {
        CommandLine::parse(typed).expect("a command line").words
    }

    #[test]
    fn quotes_and_backslashes_join_words() {
        assert_eq!(words(r#"a 'b  c' "d \"e\" \n" f\ g '' h"i"'j'"#), ["a", "b  c", r#"d "e" \n"#, "f g", "", "hij"]);
    }

    #[test]
    fn a_directory_with_spaces_stays_one_word() {
        let command = CommandLine::parse("srv --data={dir} {port}").expect("a command line");
        assert_eq!(command.fill(80, Path::new("/a b")), ["srv", "--data=/a b", "80"]);
        assert!(command.names_port());
    }

    #[test]
    fn what_is_no_command_says_where() {
        assert_eq!(CommandLine::parse("  \t"), Err(CommandLineError::Empty));
        let open = CommandLine::parse("a 'b").expect_err("open quote");
        assert_eq!(open.to_string(), "the ' at character 3 of the command `a 'b` is never closed");
        assert!(matches!(CommandLine::parse("a\\"), Err(CommandLineError::TrailingBackslash { .. })));
        assert_eq!(CommandLine::parse("a\0b"), Err(CommandLineError::Nul));
    }

    #[test]
    fn shell_operators_are_recognised_as_hints_only() {
        assert_eq!(CommandLine::parse("cd x && run").expect("words").shell_word(), Some("&&"));
        assert_eq!(CommandLine::parse("sh -c 'a && b'").expect("words").shell_word(), None);
    }
}
