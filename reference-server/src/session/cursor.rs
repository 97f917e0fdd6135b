//! Cursors: `<epoch>:<number>`, eight lowercase hexadecimal digits and a decimal without sign or leading zeros.

use std::fmt;

/// The life of a session's numbering; a cursor of another epoch means nothing in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: a simulation writes millions of them, and the formatter of integers takes most of the time.
        let digits: [u8; 8] = std::array::from_fn(|at| b"0123456789abcdef"[(self.0 >> (28 - 4 * at)) as usize & 15]);
        f.write_str(std::str::from_utf8(&digits).expect("they are ASCII"))
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
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl Cursor {
    /// Reads a cursor; `None` for anything that is not exactly one.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (epoch, seq) = text.split_once(':')?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if epoch.len() != 8 || !epoch.bytes().all(hex) {
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
