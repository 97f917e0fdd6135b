//! `text/event-stream`, decoded byte-exactly (WHATWG HTML, section "Server-sent events"; rules SSE-5 to SSE-25).
//!
//! [`Decoder::feed`] takes chunks of any size and hands each finished frame to the caller, borrowed: nothing is copied
//! when a block lies within one chunk, and a block that spans chunks is copied once. A comment is handed over as soon as
//! its line ends. Chunk borders have no meaning: the same bytes give the same items however they are cut, raw bytes
//! and offsets included.

mod block;
mod lint;

pub use lint::{Finding, Rule, Severity};

use std::borrow::Cow;

use crate::wire::{Limits, Oversize};
use block::Block;

/// Something that the stream said.
#[derive(Debug)]
pub enum Item<'a> {
    /// A block of fields, ended by its empty line.
    Frame(Frame<'a>),
    /// A comment line.
    Comment(Comment<'a>),
}

/// A comment line. It ends no block and clears nothing (SSE-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment<'a> {
    /// The bytes behind the colon.
    pub text: &'a [u8],
    /// Offset of the colon in the stream.
    pub offset: u64,
}

/// A block of at least one field line.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The block's bytes as they came, comments included, up to and with the line end that completes it. The LF of a
    /// completing CR LF is not among them, because the frame is complete at the CR (SSE-14).
    pub raw: &'a [u8],
    /// Offset of the first of them in the stream.
    pub offset: u64,
    /// The value of the last `event` line (SSE-20); `None` when there is none or it is empty, which means `message`.
    pub event: Option<Cow<'a, str>>,
    /// The data without the last line feed (SSE-18); `None` when there is no `data` line and nothing is dispatched (SSE-19).
    pub data: Option<Cow<'a, str>>,
    /// The value of this block's last valid `id` line (SSE-21).
    pub id: Option<Cow<'a, str>>,
    /// The last event id as committed by this block's end (SSE-22).
    pub last_event_id: &'a str,
    /// The last valid `retry` of this block, in milliseconds (SSE-23).
    pub retry: Option<u64>,
    /// What the lint has to say.
    pub findings: &'a [Finding],
}

impl Frame<'_> {
    /// The type under which a client dispatches it.
    pub fn event_type(&self) -> &str {
        self.event.as_deref().unwrap_or("message")
    }
}

/// What was left when the stream ended: a client discards it, its id included (SSE-24).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes of the unfinished block.
    pub unfinished: Vec<u8>,
}

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The unfinished block's bytes; before the stream has begun, the beginning of a byte-order mark.
    carry: Vec<u8>,
    block: Block,
    /// Offset in the stream of `carry[0]`, or of the next chunk when nothing is carried.
    base: u64,
    begun: bool,
    dead: Option<Oversize>,
    last_event_id: String,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, carry: Vec::new(), block: Block::default(), base: 0, begun: false, dead: None, last_event_id: String::new() }
    }

    /// Decodes the next chunk; each finished item goes to `sink`, in order.
    ///
    /// # Errors
    /// When an unfinished block has grown beyond the limit. The decoder then takes nothing more and repeats the error.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Item<'_>)) -> Result<(), Oversize> {
        if let Some(dead) = self.dead {
            return Err(dead);
        }
        let Some(chunk) = self.behind_the_mark(chunk) else { return Ok(()) };
        let mut taken = 0;
        // A carried block is finished first; the rest of the chunk is then decoded in place.
        while !self.carry.is_empty() && taken < chunk.len() {
            let take = (chunk.len() - taken).min(CARRY_STEP);
            self.carry.extend_from_slice(&chunk[taken..taken + take]);
            taken += take;
            self.block.scan(&self.carry, self.base, &mut self.last_event_id, sink);
            let consumed = self.block.start;
            let unfinished = self.carry.len() - consumed;
            if consumed > 0 && unfinished <= taken {
                // What is unfinished came with this chunk: go on in place.
                taken -= unfinished;
                self.carry.clear();
                self.base += consumed as u64;
                self.block.rebase();
            }
            self.check()?;
        }
        let rest = &chunk[taken..];
        if !rest.is_empty() {
            self.block.scan(rest, self.base, &mut self.last_event_id, sink);
            let consumed = self.block.start;
            self.carry.extend_from_slice(&rest[consumed..]);
            self.base += consumed as u64;
            self.block.rebase();
            self.check()?;
        }
        Ok(())
    }

    /// The stream has ended: what is left of it.
    pub fn finish(self) -> Tail {
        Tail { unfinished: self.carry }
    }

    /// The last event id as a client would send it on a reconnect now.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    fn check(&mut self) -> Result<(), Oversize> {
        if self.carry.len() > self.limits.frame {
            let dead = Oversize { limit: self.limits.frame, offset: self.base + self.block.start as u64 };
            self.dead = Some(dead);
            self.carry = Vec::new();
            self.block = Block::default();
            return Err(dead);
        }
        Ok(())
    }

    /// SSE-6: one byte-order mark at the very start is dropped, also when it is split. `None` while that is undecided.
    fn behind_the_mark<'c>(&mut self, chunk: &'c [u8]) -> Option<&'c [u8]> {
        if self.begun {
            return Some(chunk);
        }
        let missing = &MARK[self.carry.len()..];
        let here = chunk.len().min(missing.len());
        if !missing.starts_with(&chunk[..here]) {
            self.begun = true;
            return Some(chunk);
        }
        if here < missing.len() {
            self.carry.extend_from_slice(chunk);
            return None;
        }
        self.begun = true;
        self.carry.clear();
        self.base = MARK.len() as u64;
        Some(&chunk[here..])
    }
}

/// The byte-order mark in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// How much of a chunk is appended to a carried block at a time: enough to finish most blocks, little to copy in vain.
const CARRY_STEP: usize = 4096;

#[cfg(test)]
mod tests;
