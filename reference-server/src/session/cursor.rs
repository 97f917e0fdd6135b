//! Cursors: `<epoch>:<number>`, eight lowercase hexadecimal digits and a decimal without sign or leading zeros.

use std::fmt::{self, Write};

/// The life of a session's numbering; a cursor of another epoch means nothing in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|digit| f.write_char(char::from(*digit)))
    }
}

impl Epoch {
    /// Its digits. By hand, as those of [`Cursor::text`]: a simulation writes millions of them, and most of the time would
    /// go to the formatter of integers.
    fn digits(self) -> [u8; 8] {
        std::array::from_fn(|at| b"0123456789abcdef"[(self.0 >> (28 - 4 * at)) as usize & 15])
    }
}

/// A place in a session's log: behind the event of this number, 0 being before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// The number of the event it names.
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// The text of a cursor, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct CursorText {
    bytes: [u8; Cursor::LONGEST],
    /// Where it begins in `bytes`; it ends with them.
    at: usize,
}

impl CursorText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.at..]).expect("digits are ASCII")
    }
}

impl Cursor {
    /// Bytes of the longest cursor: eight digits, the colon, and twenty digits.
    const LONGEST: usize = 29;

    /// The cursor as text.
    pub fn text(self) -> CursorText {
        // From its end, where the number stands.
        let mut text = [0; Cursor::LONGEST];
        let (mut rest, mut at) = (self.seq, text.len());
        loop {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        at -= 9;
        text[at..at + 8].copy_from_slice(&self.epoch.digits());
        text[at + 8] = b':';
        CursorText { bytes: text, at }
    }

    /// Reads a cursor; `None` for anything that is not exactly one.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (epoch, seq) = text.split_at_checked(8)?;
        let seq = seq.strip_prefix(':')?;
        if !epoch.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        if seq.is_empty() || seq.len() > 19 || !seq.bytes().all(|b| b.is_ascii_digit()) || (seq.len() > 1 && seq.starts_with('0')) {
            return None;
        }
        Some(Cursor { epoch: Epoch(u32::from_str_radix(epoch, 16).ok()?), seq: seq.parse().ok()? })
    }

    /// Reads what a careless parser would take for a cursor: signs, other radixes, fractions, blanks.
    pub(crate) fn parse_leniently(text: &str, epoch: Epoch) -> Option<Cursor> {
        let number = text.rsplit(':').next()?.trim().trim_start_matches(['+', '-']);
        let seq = match number.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok()?,
            None => number.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n as u64)?,
        };
        Some(Cursor { epoch, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_cursors_are_read() {
        let cursor = Cursor { epoch: Epoch(0xabc), seq: 17 };
        assert_eq!(cursor.to_string(), "00000abc:17");
        for (epoch, seq) in [(0, 0), (u32::MAX, u64::MAX), (0x9e37_79b9, 10)] {
            assert_eq!(Cursor { epoch: Epoch(epoch), seq }.text().as_str(), format!("{epoch:08x}:{seq}"));
        }
        assert_eq!(Cursor::parse("00000abc:17"), Some(cursor));
        for bad in [
            "",
            "17",
            ":17",
            "00000abc:",
            "00000ABC:17",
            "00000abc:-1",
            "00000abc:017",
            "00000abc:1.5",
            "00000abc:0x1",
            "abc:17",
            "00000abc:17 ",
        ] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
        assert_eq!(Cursor::parse("00000abc:99999999999999999999"), None);
    }
}
