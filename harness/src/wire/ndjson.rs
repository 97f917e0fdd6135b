//! Newline-delimited JSON: one value a line, lines ended by LF or CR LF, empty lines as keep-alives.

use crate::wire::{Limits, Oversize};

/// The decoder: lines out of chunks of any size.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    carry: Vec<u8>,
    base: u64,
    dead: Option<Oversize>,
}

/// A whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes without the line end.
    pub bytes: &'a [u8],
    /// Offset of the first of them in the stream.
    pub offset: u64,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, carry: Vec::new(), base: 0, dead: None }
    }

    /// Decodes the next chunk; each finished line goes to `sink`, empty ones too.
    ///
    /// # Errors
    /// When an unfinished line has grown beyond the limit. The decoder then takes nothing more and repeats the error.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Line<'_>)) -> Result<(), Oversize> {
        if let Some(dead) = self.dead {
            return Err(dead);
        }
        let mut rest = chunk;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (head, tail) = (&rest[..at], &rest[at + 1..]);
            if self.carry.is_empty() {
                sink(Line { bytes: without_cr(head), offset: self.base });
                self.base += at as u64 + 1;
            } else {
                self.carry.extend_from_slice(head);
                sink(Line { bytes: without_cr(&self.carry), offset: self.base });
                self.base += self.carry.len() as u64 + 1;
                self.carry.clear();
            }
            rest = tail;
        }
        self.carry.extend_from_slice(rest);
        if self.carry.len() > self.limits.frame {
            let dead = Oversize { limit: self.limits.frame, offset: self.base };
            self.dead = Some(dead);
            self.carry = Vec::new();
            return Err(dead);
        }
        Ok(())
    }

    /// The stream has ended: the bytes of an unfinished last line.
    pub fn finish(self) -> Vec<u8> {
        self.carry
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> (Vec<(String, u64)>, Vec<u8>) {
        let mut decoder = Decoder::new(Limits::default());
        let mut all = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk, &mut |line| all.push((String::from_utf8_lossy(line.bytes).into_owned(), line.offset))).unwrap();
        }
        (all, decoder.finish())
    }

    #[test]
    fn wherever_the_bytes_are_cut_the_lines_are_the_same() {
        let bytes = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\"";
        let whole = lines(&[bytes]);
        assert_eq!(whole.0, [("{\"a\":1}".to_owned(), 0), (String::new(), 9), ("{\"b\":2}".to_owned(), 10)]);
        assert_eq!(whole.1, b"{\"c\"");
        for at in 0..bytes.len() {
            assert_eq!(lines(&[&bytes[..at], &bytes[at..]]), whole);
        }
    }

    #[test]
    fn an_endless_line_is_refused_within_its_limit() {
        let mut decoder = Decoder::new(Limits { frame: 1000 });
        let fed = (0..100).find(|_| decoder.feed(&[b'x'; 64], &mut |_| ()).is_err());
        assert_eq!(fed, Some(15));
        assert!(decoder.feed(b"\n", &mut |_| ()).is_err());
    }
}
