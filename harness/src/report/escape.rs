//! Text of a hostile server in documents of several kinds: what it sent can neither end an element, nor make a document that no
//! parser takes, nor grow without bound.

use super::page::visible;

/// Bytes of one text that a report shows; a megabyte on one line helps nobody.
const MOST: usize = 8 << 10;

/// The beginning of `text`, with a note where something was cut.
pub(crate) fn bounded(text: &str) -> String {
    if text.len() <= MOST {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MOST);
    format!("{}… (cut: {} bytes in all)", &text[..end], text.len())
}

/// `text` as content or attribute of XML and HTML, bounded. Characters that XML cannot carry, and those that hide or turn other
/// text, are shown as their escapes.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in visible(&bounded(text)).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Noncharacters that XML 1.0 excludes; surrogates cannot stand in a string at all.
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// A JSON text that may stand inside a `<script>` element: nothing in it closes the element or begins a comment.
pub(crate) fn json_in_html(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// `text` inside a cell of a Markdown table, or a line of prose: no markup of its own, on one line.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::new();
    for c in visible(&bounded(text)).chars() {
        match c {
            '\n' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// `text` as a block of code that it cannot end by itself.
pub(crate) fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</script><b a='\"'>&\u{0}\u{b}\u{1b}[2J\u{fffe}\u{ffff}\u{202e}]]>`|";

    #[test]
    fn no_markup_and_no_character_that_xml_excludes_is_left() {
        let escaped = xml(HOSTILE);
        assert!(!escaped.contains(['<', '>', '"', '\'', '\u{0}', '\u{b}', '\u{1b}', '\u{fffe}', '\u{ffff}', '\u{202e}']), "{escaped}");
        assert!(escaped.contains("&lt;/script&gt;") && escaped.contains("\\u{fffe}") && escaped.contains("\\u{1b}[2J"), "{escaped}");
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_say_so() {
        let long = "ä".repeat(1 << 20);
        let cut = bounded(&long);
        assert!(cut.len() < MOST + 64 && cut.ends_with("… (cut: 2097152 bytes in all)"), "{}", cut.len());
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn json_does_not_end_its_script() {
        let json = serde_json::to_string(HOSTILE).unwrap();
        let inside = json_in_html(&json);
        assert!(!inside.contains('<'));
        assert_eq!(serde_json::from_str::<String>(&inside).unwrap(), HOSTILE, "and it is still the same text");
    }

    #[test]
    fn markdown_keeps_its_table_and_its_fences() {
        assert_eq!(markdown("a|b\n<i> `x`"), "a\\|b &lt;i> \\`x\\`");
        let text = "before\n````\nafter";
        assert!(fenced(text).starts_with("`````text\n") && fenced(text).ends_with("\n`````\n"));
    }
}
