//! The page that a report is written on: how wide it is, and which characters it can show.
//!
//! Whatever a server sent is made visible before it comes here, so that a hostile one cannot move a reader's cursor.

use std::io::IsTerminal;

use super::paint::Paint;

/// Columns of a page whose width nobody says.
const COLUMNS: usize = 80;
/// A narrower page is treated as if it were this wide.
const NARROWEST: usize = 20;
/// Prose wider than this is hard to read.
const WIDEST_PROSE: usize = 100;
/// Prose that hangs below its own beginning has at least this many columns; where they are not left, it hangs below its label.
const NARROWEST_PROSE: usize = 32;

/// Fewer columns of a text that is cut say nothing.
const LEAST_REST: usize = 16;

/// Where a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its colours.
    pub paint: Paint,
    /// Its width, where it has one: a file has none.
    columns: Option<usize>,
    unicode: bool,
}

impl Page {
    /// Standard output of this process, as wide as `COLUMNS` says, or else as the terminal is.
    pub fn of_stdout() -> Page {
        let out = std::io::stdout();
        let terminal = terminal_size::terminal_size_of(&out).map(|(columns, _)| usize::from(columns.0));
        let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Page {
            paint: Paint::for_stdout(),
            columns: said.or(terminal).or(out.is_terminal().then_some(COLUMNS)).filter(|c| *c > 0).map(|c| c.max(NARROWEST)),
            unicode: is_unicode(|name| std::env::var(name).ok()),
        }
    }

    /// A file: no colours, 80 columns, UTF-8.
    pub fn plain() -> Page {
        Page { paint: Paint::plain(), columns: None, unicode: true }
    }

    /// A page of this width, without colours.
    #[cfg(test)]
    pub(crate) fn narrow(columns: usize) -> Page {
        Page { columns: Some(columns), ..Page::plain() }
    }

    /// `text` behind `label`, wrapped at words and hanging below its own beginning; ends with a line break.
    pub(crate) fn prose(self, label: &str, text: &str) -> String {
        let columns = self.columns.unwrap_or(COLUMNS).min(WIDEST_PROSE);
        let used = label.chars().count();
        let indent = label.chars().take_while(|c| !c.is_alphanumeric()).count();
        let hang = if columns >= used + NARROWEST_PROSE { used } else { (indent + 2).min(columns / 4) };
        let lines = wrapped(text, columns.saturating_sub(used), columns - hang);
        let label = if lines[0].is_empty() { label.trim_end() } else { label };
        format!("{label}{}\n", lines.join(&format!("\n{}", " ".repeat(hang))))
    }

    /// `text` behind a painted word that says what kind of entry it is.
    pub(crate) fn entry(self, word: &str, paint: fn(Paint, &str) -> String, text: &str) -> String {
        // Painted afterwards, because escapes take no columns.
        self.prose(&format!("{word} "), text).replacen(word, &paint(self.paint, word), 1)
    }

    /// As much of `text` as fits on what is left of a line after `used` columns; nothing where that is too little to be
    /// read. A file shows all.
    pub(crate) fn rest_of_line(self, used: usize, text: &str) -> String {
        let Some(columns) = self.columns else { return text.to_owned() };
        let room = columns.saturating_sub(used);
        if text.chars().count() <= room {
            return text.to_owned();
        }
        if room < LEAST_REST {
            return String::new();
        }
        let shown: String = text.chars().take(room - 1).collect();
        format!("{}…", shown.trim_end())
    }

    /// How many columns are left of a line after `used`; a file has no end.
    pub(crate) fn room(self, used: usize) -> Option<usize> {
        self.columns.map(|columns| columns.saturating_sub(used))
    }

    /// The finished report in characters that the page can show.
    pub fn fit(self, report: String) -> String {
        if self.unicode || report.is_ascii() { report } else { report.chars().map(ascii).collect() }
    }
}

/// The lines of `text`: the first of at most `first` columns, the others of `columns`, unless a single word is longer.
/// Spaces and line breaks in it stay.
fn wrapped(text: &str, first: usize, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for (nth, word) in paragraph.split(' ').enumerate() {
            let beginning = lines.is_empty();
            let room = if beginning { first } else { columns };
            let fits = line.chars().count() + usize::from(nth > 0) + word.chars().count() <= room;
            // A first word that is too long for what its label leaves may still fit on a line of its own.
            if !fits && (nth > 0 || (beginning && first < columns)) {
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
        assert_eq!(wrapped("", 20, 20), [""]);
        assert_eq!(wrapped(&"x".repeat(100), 20, 20), ["x".repeat(100)], "a word is never torn");
        assert_eq!(wrapped("a  b\nc", 20, 20), ["a  b", "c"], "payloads are quoted in prose");
    }

    #[test]
    fn a_narrow_page_hangs_below_the_label() {
        let page = Page { columns: Some(40), ..Page::plain() };
        let label = "          82 ms  writer  ";
        assert_eq!(page.prose(label, "acknowledged «s0.1» … «s0.12»"), format!("{label}acknowledged\n          «s0.1» … «s0.12»\n"));
        let label = "  boundary-on-every-connection: ";
        assert_eq!(page.prose(label, "witness-s#1 was sent"), "  boundary-on-every-connection:\n    witness-s#1 was sent\n");
        assert_eq!(page.rest_of_line(20, "one order for every reader"), "one order for every…");
        assert_eq!(page.rest_of_line(30, "one order for every reader"), "");
        assert_eq!(page.rest_of_line(30, "one order"), "one order");
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
