//! The decoding of a captured body: what its frames mean, and where in the capture each was complete.

use crate::contract::Format;
use crate::history::{Body, ConnId, Item, Lint};
use crate::run::binding::{Lens, Raw, see};
use crate::wire::{Limits, ndjson, sse};

/// Most bytes of one frame that are kept as text.
const MOST_TEXT: usize = 256 << 10;
/// Most bytes of one comment that are kept.
const MOST_COMMENT: usize = 100;

/// What a decoder finds.
pub(super) enum Decoded {
    /// A frame: its number, what it means, the digest of its data, and its text.
    Frame { frame: u32, seen: Vec<Item>, digest: Body, text: String },
    /// A comment or an empty line.
    Comment(String),
    /// Something that the format forbids or advises against.
    Lint(Lint),
    /// Bytes behind the last whole frame.
    Unfinished(u64),
}

/// Items, each with the stamp (a time, or a place) of the piece that completed it.
pub(super) struct Items<'p, T> {
    lens: Lens<'p>,
    frames: u32,
    pub(super) items: Vec<(T, Decoded)>,
}

impl<'p, T: Copy> Items<'p, T> {
    pub(super) fn new(lens: Lens<'p>) -> Items<'p, T> {
        Items { lens, frames: 0, items: Vec::new() }
    }

    /// Takes a frame whose text is `bytes`.
    pub(super) fn frame(&mut self, at: T, raw: Raw<'_>, bytes: &[u8]) {
        let data = match raw {
            Raw::Sse { data, .. } => data.unwrap_or_default(),
            Raw::Json(text) => text,
        };
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_TEXT)]).into_owned();
        let frame = Decoded::Frame { frame: self.frames, seen: see(self.lens, raw), digest: Body::of(data), text };
        self.items.push((at, frame));
        self.frames += 1;
    }

    /// Decodes the bytes of an event stream or of lines, piece by piece; `begun` is where the stream began.
    ///
    /// # Errors
    /// In words, when a frame is longer than any may be, or the format is neither.
    pub(super) fn bytes(&mut self, format: Format, begun: T, pieces: &[(T, Vec<u8>)]) -> Result<(), String> {
        let end = pieces.last().map_or(begun, |(at, _)| *at);
        match format {
            Format::LongPoll | Format::Websocket => Err("only event streams and lines can be decoded from bytes alone".to_owned()),
            Format::Sse => {
                let mut decoder = sse::Decoder::new(Limits::default());
                for (at, piece) in pieces {
                    decoder.feed(piece, &mut |item| self.block(*at, item)).map_err(|e| e.to_string())?;
                }
                self.items.push((end, Decoded::Unfinished(decoder.finish().unfinished.len() as u64)));
                Ok(())
            }
            Format::Ndjson => {
                let mut decoder = ndjson::Decoder::new(Limits::default());
                for (at, piece) in pieces {
                    let fed = decoder.feed(piece, &mut |line| {
                        let text = String::from_utf8_lossy(line.bytes);
                        if text.trim().is_empty() {
                            self.items.push((*at, Decoded::Comment(String::new())));
                        } else {
                            self.frame(*at, Raw::Json(&text), line.bytes);
                        }
                    });
                    fed.map_err(|e| e.to_string())?;
                }
                self.items.push((end, Decoded::Unfinished(decoder.finish().len() as u64)));
                Ok(())
            }
        }
    }

    fn block(&mut self, at: T, item: sse::Item<'_>) {
        match item {
            sse::Item::Comment(comment) => {
                let text = String::from_utf8_lossy(&comment.text[..comment.text.len().min(MOST_COMMENT)]).trim().to_owned();
                self.items.push((at, Decoded::Comment(text)));
            }
            sse::Item::Frame(frame) => {
                for finding in frame.findings {
                    let lint = Lint {
                        conn: ConnId(0),
                        rule: finding.rule.id().to_owned(),
                        error: finding.rule.severity() == sse::Severity::Error,
                        offset: finding.offset,
                        text: format!("{}: {:?}", finding.rule.says(), finding.text),
                    };
                    self.items.push((at, Decoded::Lint(lint)));
                }
                if frame.data.is_some() || frame.id.is_some() {
                    let raw = Raw::Sse { event: frame.event_type(), data: frame.data.as_deref(), id: frame.id.as_deref() };
                    self.frame(at, raw, frame.raw);
                }
            }
        }
    }
}
