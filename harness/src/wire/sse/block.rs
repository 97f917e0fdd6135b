//! One block of lines, scanned as its bytes come.
//!
//! Positions are relative to the buffer that is being scanned. When the caller moves the unfinished bytes to the front of
//! a buffer it calls [`Block::rebase`].

use std::borrow::Cow;
use std::ops::Range;

use super::lint::{Finding, Rule, excerpt};
use super::{Comment, Frame, Item};

/// More findings than this in one block say nothing new.
const MOST_FINDINGS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Block {
    /// Where the block begins in the buffer: everything before it is consumed.
    pub(super) start: usize,
    /// Where its unfinished line begins.
    line: usize,
    /// Up to where the unfinished line was searched for its end.
    seen: usize,
    /// The last line ended with CR: an LF that follows at once belongs to it (SSE-14).
    after_cr: bool,
    fields: Fields,
    findings: Vec<Finding>,
    /// Joins the data of blocks with several `data` lines.
    joined: Vec<u8>,
}

#[derive(Debug, Default)]
struct Fields {
    /// True once a line that is no comment was seen.
    any: bool,
    data: Vec<Range<usize>>,
    event: Option<Range<usize>>,
    id: Option<Range<usize>>,
    retry: Option<u64>,
}

impl Block {
    /// The caller has moved the buffer so that the block begins at 0.
    pub(super) fn rebase(&mut self) {
        let by = self.start;
        self.start = 0;
        self.line -= by;
        self.seen -= by;
        let shift = |range: &mut Range<usize>| *range = range.start - by..range.end - by;
        self.fields.data.iter_mut().for_each(shift);
        self.fields.event.iter_mut().for_each(shift);
        self.fields.id.iter_mut().for_each(shift);
    }

    /// Scans `buffer` from where the last scan stopped. `base` is the stream offset of `buffer[0]`.
    pub(super) fn scan(&mut self, buffer: &[u8], base: u64, last_event_id: &mut String, sink: &mut impl FnMut(Item<'_>)) {
        loop {
            if self.after_cr && self.seen < buffer.len() {
                self.after_cr = false;
                if buffer[self.seen] == b'\n' {
                    // Between two blocks the LF belongs to neither; inside a block it is just skipped.
                    if self.line == self.start {
                        self.start += 1;
                    }
                    self.line += 1;
                    self.seen += 1;
                }
            }
            let Some(found) = memchr::memchr2(b'\n', b'\r', &buffer[self.seen..]) else {
                self.seen = buffer.len();
                return;
            };
            let end = self.seen + found;
            self.after_cr = buffer[end] == b'\r';
            let line = self.line..end;
            self.line = end + 1;
            self.seen = end + 1;
            if line.is_empty() {
                self.finish(buffer, base, last_event_id, sink);
            } else {
                self.field(buffer, base, line, sink);
            }
        }
    }

    fn field(&mut self, buffer: &[u8], base: u64, line: Range<usize>, sink: &mut impl FnMut(Item<'_>)) {
        let bytes = &buffer[line.clone()];
        let (name, value) = match bytes {
            [b'd', b'a', b't', b'a', b':', ..] => (4, line.start + 5),
            [b':', text @ ..] => {
                sink(Item::Comment(Comment { text, offset: base + line.start as u64 }));
                return;
            }
            _ => match memchr::memchr(b':', bytes) {
                Some(colon) => (colon, line.start + colon + 1),
                None => (bytes.len(), line.end),
            },
        };
        // SSE-16: one space after the colon is removed, nothing more.
        let value = if buffer.get(value) == Some(&b' ') && value < line.end { value + 1..line.end } else { value..line.end };
        self.fields.any = true;
        match &bytes[..name] {
            b"data" => self.fields.data.push(value),
            b"event" => self.fields.event = Some(value),
            b"id" => {
                if memchr::memchr(0, &buffer[value.clone()]).is_some() {
                    self.finding(Rule::NulInId, base + line.start as u64, bytes);
                } else {
                    self.fields.id = Some(value);
                }
            }
            b"retry" => match digits(&buffer[value]) {
                Some(retry) => self.fields.retry = Some(retry),
                None => self.finding(Rule::BogusRetry, base + line.start as u64, bytes),
            },
            _ => self.finding(Rule::UnknownField, base + line.start as u64, bytes),
        }
    }

    fn finding(&mut self, rule: Rule, offset: u64, bytes: &[u8]) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { rule, offset, text: excerpt(bytes) });
        }
    }

    /// An empty line: the block is complete.
    fn finish(&mut self, buffer: &[u8], base: u64, last_event_id: &mut String, sink: &mut impl FnMut(Item<'_>)) {
        let (start, end) = (self.start, self.line);
        if self.fields.any {
            let raw = &buffer[start..end];
            let valid = simdutf8::basic::from_utf8(raw).is_ok();
            if !valid {
                let at = std::str::from_utf8(raw).map_or_else(|e| e.valid_up_to(), |_| 0);
                self.finding(Rule::InvalidUtf8, base + (start + at) as u64, &raw[at..]);
            }
            let text = |range: &Range<usize>| decode(&buffer[range.clone()], valid);
            let id = self.fields.id.as_ref().map(text);
            if let Some(id) = &id {
                // SSE-22: committed by the empty line, also when the block has no data.
                id.as_ref().clone_into(last_event_id);
            }
            let event = self.fields.event.as_ref().filter(|range| !range.is_empty()).map(text);
            if event.is_some() && self.fields.data.is_empty() {
                self.finding(Rule::TypeWithoutData, base + start as u64, raw);
            }
            let data = match self.fields.data.as_slice() {
                [] => None,
                [one] => Some(decode(&buffer[one.clone()], valid)),
                many => {
                    self.joined.clear();
                    for (nth, range) in many.iter().enumerate() {
                        if nth > 0 {
                            self.joined.push(b'\n');
                        }
                        self.joined.extend_from_slice(&buffer[range.clone()]);
                    }
                    Some(decode(&self.joined, valid))
                }
            };
            sink(Item::Frame(Frame {
                raw,
                offset: base + start as u64,
                event,
                data,
                id,
                last_event_id,
                retry: self.fields.retry,
                findings: &self.findings,
            }));
            self.findings.clear();
            self.fields.any = false;
            self.fields.data.clear();
            self.fields.event = None;
            self.fields.id = None;
            self.fields.retry = None;
        }
        self.start = end;
    }
}

/// SSE-23: ASCII digits alone.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn decode(bytes: &[u8], valid: bool) -> Cow<'_, str> {
    if valid {
        // A field lies between ASCII bytes of a valid text, so it is valid by itself; checking again costs less than unsafe code.
        simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
    } else {
        String::from_utf8_lossy(bytes)
    }
}
