//! The page that a report is written on: how wide it is, and which characters it can show.
//!
//! Whatever a server sent is made visible before it comes here, so that a hostile one cannot move a reader's cursor.

use std::io::IsTerminal;

use super::paint::Paint;

/// Columns of a page that is no terminal.
const COLUMNS: usize = 80;
/// A terminal narrower than this is treated as if it were this wide.
const NARROWEST: usize = 60;
/// Prose wider than this is hard to read.
const WIDEST_PROSE: usize = 100;

/// Where a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its colours.
    pub paint: Paint,
    /// Columns of the terminal, if it is one.
    terminal: Option<usize>,
    unicode: bool,
}

impl Page {
    /// Standard output of this process.
    pub fn of_stdout() -> Page {
        let out = std::io::stdout();
        let columns = || terminal_size::terminal_size_of(&out).map_or(COLUMNS, |(columns, _)| usize::from(columns.0));
        Page {
            paint: Paint::for_stdout(),
            terminal: out.is_terminal().then(|| columns().max(NARROWEST)),
            unicode: is_unicode(|name| std::env::var(name).ok()),
        }
    }

    /// A file: no colours, 80 columns, UTF-8.
    pub fn plain() -> Page {
        Page { paint: Paint::plain(), terminal: None, unicode: true }
    }

    /// `text` behind `label`, wrapped at words and hanging below its own beginning; ends with a line break.
    pub(crate) fn prose(self, label: &str, text: &str) -> String {
        let columns = self.terminal.unwrap_or(COLUMNS).min(WIDEST_PROSE);
        let indent = label.chars().count();
        let lines = wrapped(text, columns.saturating_sub(indent).max(20));
        format!("{label}{}\n", lines.join(&format!("\n{}", " ".repeat(indent))))
    }

    /// As much of `text` as a terminal can show on what is left of a line after `used` columns. A file shows all.
    pub(crate) fn rest_of_line(self, used: usize, text: &str) -> String {
        let Some(columns) = self.terminal else { return text.to_owned() };
        let room = columns.saturating_sub(used);
        if text.chars().count() <= room {
            return text.to_owned();
        }
        let shown: String = text.chars().take(room.saturating_sub(1)).collect();
        format!("{}…", shown.trim_end())
    }

    /// The finished report in characters that the page can show.
    pub fn fit(self, report: String) -> String {
        if self.unicode || report.is_ascii() { report } else { report.chars().map(ascii).collect() }
    }
}

/// The lines of `text`, none longer than `columns` unless a single word is. Spaces and line breaks in it stay.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for (nth, word) in paragraph.split(' ').enumerate() {
            if nth > 0 && line.chars().count() + 1 + word.chars().count() > columns {
                lines.push(std::mem::take(&mut line));
            } else if nth > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// `text` with every character that steers a terminal, or hides or turns other text, written as its escape. Line breaks stay.
pub fn visible(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().flat_map(|c| if harmful(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// True unless the locale names another encoding. Where nothing is set (containers, CI) logs are read as UTF-8.
fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|v| !v.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn ascii(c: char) -> char {
    match c {
        c if c.is_ascii() => c,
        '«' => '<',
        '»' => '>',
        '·' => '-',
        '…' => '~',
        '✂' | '✗' | '×' => 'x',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_hangs_below_its_beginning() {
        let text = "a cursor is exclusive: nothing at or before it is sent again, not even after a restart";
        let prose = Page::plain().prose("  expected: ", text);
        assert_eq!(
            prose,
            "  expected: a cursor is exclusive: nothing at or before it is sent again, not\n            even after a restart\n"
        );
        assert_eq!(wrapped("", 20), [""]);
        assert_eq!(wrapped(&"x".repeat(100), 20), ["x".repeat(100)], "a word is never torn");
        assert_eq!(wrapped("a  b\nc", 20), ["a  b", "c"], "payloads are quoted in prose");
    }

    #[test]
    fn what_a_server_sends_does_not_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\rc\u{9b}d\nä\u{202e}"), "a\\u{1b}[2Jb\\rc\\u{9b}d\nä\\u{202e}");
    }

    #[test]
    fn a_locale_without_unicode_gets_ascii() {
        let with = |set: &'static [(&str, &str)]| is_unicode(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        assert!(with(&[]));
        assert!(with(&[("LANG", "de_DE.UTF-8")]));
        assert!(with(&[("LC_ALL", ""), ("LANG", "C.utf8")]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]));
        let page = Page { unicode: false, ..Page::plain() };
        assert_eq!(page.fit("✗ «s0.1» … ß".to_owned()), "x <s0.1> ~ ?");
    }
}
