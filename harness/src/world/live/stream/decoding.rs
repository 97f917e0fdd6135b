//! The decoding of one body, and what is recorded of it on the way.

use super::Follow;
use crate::contract::Format;
use crate::history::{Comment, Leaked, Lint, Opinion, What};
use crate::run::binding::{Raw, see};
use crate::wire::{Limits, ndjson, opinion, sse};
use crate::world::live::leak::Scanner;

/// How much of a stream the ordinary client is asked about.
const OPINION: usize = 256 << 10;
/// More lint findings than this of one connection say nothing new.
const MOST_LINT: u32 = 50;
/// Comments beyond this are counted for waits but not recorded.
const MOST_COMMENTS: u32 = 10_000;

/// The decoding of one body.
pub(super) struct Decoding<'f> {
    follow: &'f Follow,
    decoder: Decoder,
    gunzip: Option<flate2::write::GzDecoder<Vec<u8>>>,
    frame: u32,
    lint: u32,
    comments: u32,
    /// The body's first bytes, whole frames only, and what they mean to us, for the ordinary client's opinion.
    raw: Vec<u8>,
    ours: Vec<(String, String, String)>,
    last_id: String,
    sampled: bool,
    secrets: Scanner,
}

enum Decoder {
    Sse(Box<sse::Decoder>),
    Ndjson(ndjson::Decoder),
}

impl<'f> Decoding<'f> {
    pub(super) fn new(follow: &'f Follow, gzip: bool) -> Decoding<'f> {
        let decoder = match follow.profile.binding.subscribe.format {
            Format::Sse => Decoder::Sse(Box::new(sse::Decoder::new(Limits::default()))),
            Format::Ndjson | Format::LongPoll | Format::Websocket => Decoder::Ndjson(ndjson::Decoder::new(Limits::default())),
        };
        Decoding {
            follow,
            decoder,
            gunzip: gzip.then(|| flate2::write::GzDecoder::new(Vec::new())),
            frame: 0,
            lint: 0,
            comments: 0,
            raw: Vec::new(),
            ours: Vec::new(),
            last_id: String::new(),
            sampled: true,
            secrets: Scanner::default(),
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), String> {
        use std::io::Write;
        let Some(mut gunzip) = self.gunzip.take() else { return self.decode(chunk) };
        gunzip.write_all(chunk).and_then(|()| gunzip.flush()).map_err(|e| format!("the body is no gzip: {e}"))?;
        let plain = std::mem::take(gunzip.get_mut());
        self.gunzip = Some(gunzip);
        self.decode(&plain)
    }

    /// One text message of a WebSocket.
    pub(super) fn message(&mut self, text: &str) {
        self.scan(text.as_bytes());
        self.deliver(Raw::Json(text), text.as_bytes());
    }

    /// Records what a frame brings, and the frame where it is one of the reader's.
    fn deliver(&mut self, raw: Raw<'_>, bytes: &[u8]) {
        let seen = see(self.follow.lens(), raw);
        if !seen.is_empty() {
            self.follow.tap().frame(self.frame, bytes);
        }
        for seen in seen {
            self.follow.deliver(seen, self.frame);
        }
        self.frame += 1;
    }

    /// Looks for planted secrets.
    fn scan(&mut self, piece: &[u8]) {
        let planted = self.follow.recorder.planted();
        for around in self.secrets.feed(&planted, piece) {
            let leaked = Leaked { conn: Some(self.follow.conn), surface: "the stream".to_owned(), around };
            self.follow.record(What::Leaked(Box::new(leaked)));
        }
    }

    fn decode(&mut self, chunk: &[u8]) -> Result<(), String> {
        self.scan(chunk);
        // The decoder borrows itself while it calls back, so it stands aside.
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::Ndjson(ndjson::Decoder::new(Limits::default())));
        let fed = match &mut decoder {
            Decoder::Sse(decoder) => {
                if self.sampled {
                    self.raw.extend_from_slice(&chunk[..chunk.len().min(OPINION)]);
                    self.sampled = self.raw.len() < OPINION;
                }
                decoder.feed(chunk, &mut |item| self.item(item))
            }
            Decoder::Ndjson(decoder) => decoder.feed(chunk, &mut |line| self.line(line)),
        };
        self.decoder = decoder;
        fed.map_err(|e| e.to_string())
    }

    fn item(&mut self, item: sse::Item<'_>) {
        match item {
            sse::Item::Comment(comment) => self.comment(comment.text),
            sse::Item::Frame(frame) => {
                for finding in frame.findings {
                    self.lint(
                        finding.rule.id(),
                        finding.rule.severity() == sse::Severity::Error,
                        finding.offset,
                        finding.rule.says(),
                        &finding.text,
                    );
                }
                if self.sampled
                    && let Some(data) = &frame.data
                {
                    self.ours.push((frame.event_type().to_owned(), data.to_string(), frame.last_event_id.to_owned()));
                }
                if self.sampled {
                    frame.last_event_id.clone_into(&mut self.last_id);
                }
                if frame.data.is_none() && frame.id.is_none() {
                    // A reconnection time alone is no delivery.
                    return;
                }
                self.follow.payment(frame.event_type(), frame.data.as_deref().unwrap_or_default());
                let raw = Raw::Sse { event: frame.event_type(), data: frame.data.as_deref(), id: frame.id.as_deref() };
                self.deliver(raw, frame.raw);
            }
        }
    }

    fn line(&mut self, line: ndjson::Line<'_>) {
        if line.bytes.is_empty() {
            self.comment(b"");
            return;
        }
        let text = String::from_utf8_lossy(line.bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.lint("SSE-5", true, line.offset, "bytes that are not UTF-8", &text.chars().take(60).collect::<String>());
        }
        self.deliver(Raw::Json(&text), line.bytes);
    }

    pub(super) fn comment(&mut self, text: &[u8]) {
        self.follow.progress.state().heartbeats += 1;
        self.comments += 1;
        if self.comments > MOST_COMMENTS {
            self.follow.recorder.wake();
            return;
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(100)]).trim().to_owned();
        self.follow.record(What::Comment(Comment { conn: self.follow.conn, text }));
    }

    pub(super) fn lint(&mut self, rule: &str, error: bool, offset: u64, says: &str, text: &str) {
        self.lint += 1;
        if self.lint <= MOST_LINT {
            let text = format!("{says}: {text:?}");
            self.follow.record(What::Lint(Box::new(Lint { conn: self.follow.conn, rule: rule.to_owned(), error, offset, text })));
        }
    }

    /// The body has ended: what is unfinished, after asking the ordinary client.
    pub(super) fn finish(mut self) -> u64 {
        match self.decoder {
            Decoder::Ndjson(decoder) => decoder.finish().len() as u64,
            Decoder::Sse(decoder) => {
                let unfinished = decoder.finish().unfinished.len();
                if self.sampled && self.gunzip.is_none() {
                    self.raw.truncate(self.raw.len() - unfinished.min(self.raw.len()));
                    let differs = opinion::difference(&opinion::of(&self.raw), &self.ours, &self.last_id);
                    let events = self.ours.len() as u32;
                    self.follow.record(What::Opinion(Opinion { conn: self.follow.conn, events, differs }));
                }
                unfinished as u64
            }
        }
    }
}
