//! Places inside one whole frame.

use memchr::{memchr2, memmem};

use super::fault::{FrameMatch, Within};

/// After how many bytes of `frame` to cut, or `None` if it has no such place. Always less than its length.
pub(super) fn offset(frame: &[u8], at: Within) -> Option<usize> {
    let found = match at {
        Within::InLine => in_line(frame)?,
        Within::BetweenCrLf => between_cr_lf(frame)?,
        Within::InUtf8Char => frame.iter().position(|&byte| byte >= 0xc2)? + 1,
        Within::AfterIdLine => after_id(frame)?,
        Within::BeforeEnd => lines(frame).last().filter(|line| line.text.is_empty())?.start,
        Within::Byte(count) => usize::try_from(count).ok()?,
    };
    (found < frame.len()).then_some(found)
}

/// Whether the whole frame matches.
pub(super) fn matches(frame: &[u8], wanted: &FrameMatch) -> bool {
    match wanted {
        FrameMatch::Contains(text) => memmem::find(frame, text.as_bytes()).is_some(),
        FrameMatch::EventType(name) => {
            lines(frame).filter(|line| line.field() == b"event").last().is_some_and(|line| line.value() == name.as_bytes())
        }
    }
}

struct Line<'a> {
    start: usize,
    text: &'a [u8],
    /// Where the next line starts.
    next: usize,
}

impl<'a> Line<'a> {
    fn colon(&self) -> usize {
        memchr::memchr(b':', self.text).unwrap_or(self.text.len())
    }

    fn field(&self) -> &'a [u8] {
        let field = &self.text[..self.colon()];
        if self.start == 0 { field.strip_prefix("\u{feff}".as_bytes()).unwrap_or(field) } else { field }
    }

    fn value_start(&self) -> usize {
        let colon = (self.colon() + 1).min(self.text.len());
        colon + usize::from(self.text.get(colon) == Some(&b' '))
    }

    fn value(&self) -> &'a [u8] {
        &self.text[self.value_start()..]
    }
}

fn lines(frame: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = frame.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let crlf = rest[length..].starts_with(b"\r\n");
        let next = (start + length + 1 + usize::from(crlf)).min(frame.len());
        let line = Line { start, text: &rest[..length], next };
        start = next;
        Some(line)
    })
}

/// The middle of the payload of a WebSocket's text or binary frame from a server, which no line of text can begin like.
fn in_message(frame: &[u8]) -> Option<usize> {
    let head = match frame {
        [0x01 | 0x02 | 0x81 | 0x82, 127, ..] => 10,
        [0x01 | 0x02 | 0x81 | 0x82, 126, ..] => 4,
        [0x01 | 0x02 | 0x81 | 0x82, 0..126, ..] => 2,
        _ => return None,
    };
    (frame.len() > head + 1).then(|| head + (frame.len() - head) / 2)
}

fn in_line(frame: &[u8]) -> Option<usize> {
    if let Some(middle) = in_message(frame) {
        return Some(middle);
    }
    // A frame of NDJSON is one line, and JSON cannot begin with `data`.
    let (start, text) = match lines(frame).find(|line| line.field() == b"data" && line.value().len() > 1) {
        Some(line) => (line.start + line.value_start(), line.value()),
        None => lines(frame).find(|line| line.text.starts_with(b"{") || line.text.starts_with(b"[")).map(|line| (line.start, line.text))?,
    };
    let within_char = |at: &usize| text[*at] & 0b1100_0000 == 0b1000_0000;
    let middle = (text.len() / 2..text.len()).find(|at| !within_char(at));
    let middle = middle.or_else(|| (1..text.len() / 2).rev().find(|at| !within_char(at)));
    middle.filter(|&at| at > 0).map(|at| start + at)
}

/// Behind the line with the id; behind the first line of several when none is the id's; else in the middle of what there is.
fn after_id(frame: &[u8]) -> Option<usize> {
    if in_message(frame).is_none() {
        let line = lines(frame).find(|line| line.field() == b"id").or_else(|| lines(frame).next())?;
        if line.next < frame.len() {
            return Some(line.next);
        }
    }
    in_line(frame)
}

fn between_cr_lf(frame: &[u8]) -> Option<usize> {
    let ends_crlf = |line: &Line<'_>| frame[line.start..line.next].ends_with(b"\r\n");
    let data = lines(frame).find(|line| line.field() == b"data" && ends_crlf(line));
    data.or_else(|| lines(frame).find(ends_crlf)).map(|line| line.next - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRLF: &[u8] = "event: t\r\nid: 7\r\ndata: aé\r\n\r\n".as_bytes();

    fn before(frame: &[u8], at: Within) -> Option<String> {
        offset(frame, at).map(|end| String::from_utf8_lossy(&frame[..end]).into_owned())
    }

    #[test]
    fn each_place_is_found() {
        assert_eq!(before(CRLF, Within::InLine).as_deref(), Some("event: t\r\nid: 7\r\ndata: a"));
        assert_eq!(before(CRLF, Within::BetweenCrLf).as_deref(), Some("event: t\r\nid: 7\r\ndata: aé\r"));
        assert_eq!(before(CRLF, Within::InUtf8Char).as_deref(), Some("event: t\r\nid: 7\r\ndata: a\u{fffd}"));
        assert_eq!(before(CRLF, Within::AfterIdLine).as_deref(), Some("event: t\r\nid: 7\r\n"));
        assert_eq!(before(CRLF, Within::BeforeEnd).as_deref(), Some("event: t\r\nid: 7\r\ndata: aé\r\n"));
        assert_eq!(before(CRLF, Within::Byte(3)).as_deref(), Some("eve"));
        assert_eq!(offset(b"\x81\x01a", Within::InLine), None);
        for at in [Within::InLine, Within::AfterIdLine] {
            assert_eq!(offset(b"\x81\x04abcd", at), Some(4));
            assert_eq!(before(b"{\"a\":1}\n", at).as_deref(), Some("{\"a"));
        }
        assert_eq!(before(b"event: t\ndata: a\n\n", Within::AfterIdLine).as_deref(), Some("event: t\n"));
    }

    #[test]
    fn a_place_the_frame_lacks_is_not_reached() {
        let plain = b"data: a\n\n";
        for at in [Within::InLine, Within::BetweenCrLf, Within::InUtf8Char, Within::Byte(9)] {
            assert_eq!(offset(plain, at), None, "{at:?}");
        }
        assert_eq!(offset("data: é\n\n".as_bytes(), Within::InLine), None);
    }

    #[test]
    fn frames_match_by_text_and_by_type() {
        assert!(matches(CRLF, &FrameMatch::Contains("id: 7".into())));
        assert!(matches(CRLF, &FrameMatch::EventType("t".into())));
        assert!(!matches(CRLF, &FrameMatch::EventType("".into())));
        assert!(!matches(b"data: event: t\n\n", &FrameMatch::EventType("t".into())));
    }
}
