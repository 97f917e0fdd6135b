//! Where frames end in a decoded body. Knows nothing but borders and whether a frame is an event; what is in it is for
//! the decoder.

use memchr::{memchr, memchr2};

/// Finds the ends of frames, however the bytes are cut.
#[derive(Debug)]
pub(super) enum Borders {
    Sse(SseBorders),
    Lines { blank: bool },
    Messages(MessageBorders),
    None,
}

impl Borders {
    pub(super) fn lines() -> Self {
        Self::Lines { blank: true }
    }

    pub(super) fn messages() -> Self {
        Self::Messages(MessageBorders::default())
    }

    pub(super) fn sse() -> Self {
        Self::Sse(SseBorders::default())
    }

    /// Takes bytes up to the end of the current frame, or all; returns how many, and at the end of a frame whether it
    /// is an event.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, Option<bool>) {
        match self {
            Self::Sse(borders) => borders.scan(bytes),
            Self::Lines { blank } => {
                let end = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
                *blank &= bytes[..end].iter().all(u8::is_ascii_whitespace);
                if bytes[..end].ends_with(b"\n") { (end, Some(!std::mem::replace(blank, true))) } else { (end, None) }
            }
            Self::Messages(borders) => borders.scan(bytes),
            Self::None => (bytes.len(), None),
        }
    }

    /// At the end of the body: whether an event ends there that no later byte could have been part of.
    pub(super) fn finish(&mut self) -> bool {
        match self {
            Self::Sse(borders) => borders.line == Line::AfterCr { blank: true, waits: true } && borders.has_data,
            Self::Lines { .. } | Self::Messages(_) | Self::None => false,
        }
    }
}

/// An empty line ends a block; lines end with LF, CR or CR LF.
///
/// After the CR of an empty line an LF may follow that belongs to it. If the line before ended with CR LF that LF is
/// awaited. Otherwise the block ends at once, and an LF after all would begin the next block, where it is not an empty
/// line.
#[derive(Debug)]
pub(super) struct SseBorders {
    line: Line,
    /// The first bytes of the line, to tell a `data` field.
    prefix: [u8; 8],
    filled: usize,
    has_data: bool,
    crlf: bool,
    at_start: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Inside,
    /// `waits`: a border is due when the next byte tells whether an LF belongs to it.
    AfterCr {
        blank: bool,
        waits: bool,
    },
}

impl Default for SseBorders {
    fn default() -> Self {
        Self { line: Line::Inside, prefix: [0; 8], filled: 0, has_data: false, crlf: false, at_start: true }
    }
}

impl SseBorders {
    fn scan(&mut self, bytes: &[u8]) -> (usize, Option<bool>) {
        let mut at = 0;
        while at < bytes.len() {
            if let Line::AfterCr { blank, waits } = self.line {
                self.line = Line::Inside;
                let lf = bytes[at] == b'\n';
                at += usize::from(lf);
                self.crlf = lf;
                if blank && waits {
                    return (at, Some(self.end_block()));
                }
                continue;
            }
            let Some(length) = memchr2(b'\r', b'\n', &bytes[at..]) else {
                self.remember(&bytes[at..]);
                return (bytes.len(), None);
            };
            self.remember(&bytes[at..at + length]);
            at += length + 1;
            let blank = self.end_line();
            if bytes[at - 1] == b'\r' {
                let known = bytes.get(at).is_some();
                let waits = blank && (self.crlf || known);
                self.line = Line::AfterCr { blank, waits };
                if blank && !waits {
                    return (at, Some(self.end_block()));
                }
            } else {
                self.crlf = false;
                if blank {
                    return (at, Some(self.end_block()));
                }
            }
        }
        (at, None)
    }

    fn remember(&mut self, part: &[u8]) {
        let room = part.len().min(self.prefix.len() - self.filled);
        self.prefix[self.filled..self.filled + room].copy_from_slice(&part[..room]);
        self.filled += room;
    }

    /// Whether the line was empty.
    fn end_line(&mut self) -> bool {
        let mut line = &self.prefix[..self.filled];
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        self.has_data |= line == b"data" || line.starts_with(b"data:");
        self.filled = 0;
        line.is_empty()
    }

    fn end_block(&mut self) -> bool {
        std::mem::take(&mut self.has_data)
    }
}

/// Frames of a WebSocket (RFC 6455 5.2): a data frame that ends a message is an event, a control frame is none.
#[derive(Debug, Default)]
pub(super) struct MessageBorders {
    head: [u8; 14],
    filled: usize,
    /// Bytes of payload that are still to come, once the head is whole.
    left: Option<u64>,
}

impl MessageBorders {
    fn scan(&mut self, bytes: &[u8]) -> (usize, Option<bool>) {
        let mut at = 0;
        while self.left.is_none() {
            let Some(byte) = bytes.get(at) else { return (at, None) };
            self.head[self.filled] = *byte;
            self.filled += 1;
            at += 1;
            self.left = self.length();
        }
        let left = self.left.unwrap_or(0);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
        at += taken;
        self.left = Some(left - taken as u64);
        if self.left != Some(0) {
            return (at, None);
        }
        let (ends_message, opcode) = (self.head[0] & 0x80 != 0, self.head[0] & 0x0f);
        *self = MessageBorders::default();
        (at, Some(ends_message && opcode < 8))
    }

    /// The length of the payload, once the head is whole.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.filled];
        let short = *head.get(1)?;
        let extended = match short & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if short & 0x80 == 0 { 0 } else { 4 };
        if head.len() < 2 + extended + mask {
            return None;
        }
        Some(match extended {
            0 => u64::from(short & 0x7f),
            _ => head[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of all frames, and which of them are events, with the body given in pieces of `size`.
    fn borders(mut scanner: Borders, body: &[u8], size: usize) -> Vec<(usize, bool)> {
        let mut found = Vec::new();
        let mut passed = 0;
        for mut piece in body.chunks(size) {
            while !piece.is_empty() {
                let (taken, end) = scanner.scan(piece);
                assert!(taken > 0 || end.is_some(), "no progress at {passed}");
                passed += taken;
                piece = &piece[taken..];
                found.extend(end.map(|event| (passed, event)));
            }
        }
        if scanner.finish() {
            found.push((passed, true));
        }
        found
    }

    #[test]
    fn every_line_end_and_every_piece_size_gives_the_same_borders() {
        for end in ["\n", "\r", "\r\n"] {
            let body: String = ["retry: 1", "", "id: 1", "data: «x»", "", ": hi", "", "data", "", "", "datax: 1", ""]
                .map(|line| format!("{line}{end}"))
                .concat();
            let n = end.len();
            let expected = [
                (8 + 2 * n, false),
                (8 + 5 + 9 + 5 * n + 2, true),
                (8 + 5 + 11 + 4 + 7 * n, false),
                (8 + 5 + 11 + 4 + 4 + 9 * n, true),
                (8 + 5 + 11 + 4 + 4 + 10 * n, false),
                (8 + 5 + 11 + 4 + 4 + 8 + 12 * n, false),
            ];
            for size in 1..=body.len() {
                assert_eq!(borders(Borders::sse(), body.as_bytes(), size), expected, "{end:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_bom_does_not_hide_the_first_data_line() {
        assert_eq!(borders(Borders::sse(), "\u{feff}data: a\n\n".as_bytes(), 1), [(12, true)]);
    }

    #[test]
    fn messages_end_with_their_last_frame() {
        let long = vec![b'x'; 300];
        let mut body = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x01, 1, b'a', 0x80, 1, b'b', 0x82, 126, 1, 44];
        body.extend_from_slice(&long);
        body.extend_from_slice(&[0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, b'z', 0x88, 2, 3, 232, 0x81]);
        let expected = [(4, true), (6, false), (9, false), (12, true), (316, true), (327, true), (331, false)];
        for size in [1, 2, 3, 7, 64, body.len()] {
            assert_eq!(borders(Borders::messages(), &body, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn blank_lines_are_no_events() {
        for size in 1..8 {
            assert_eq!(borders(Borders::lines(), b"{}\r\n\r\n \n{}\n{", size), [(4, true), (6, false), (8, false), (11, true)]);
        }
    }
}
