//! Messages as they stood on the wire, for transcripts: taken where requests are sent and answers decoded.

use std::time::Instant;

use crate::history::{Headers, Message, Micros, Of};
use crate::run::binding::Request;
use crate::run::recorder::Recorder;
use crate::world::Whole;

/// Most bytes of one text that are kept.
const MOST_TEXT: usize = 256 << 10;

/// Where messages of one operation or connection go.
#[derive(Clone)]
pub(super) struct Tap {
    pub(super) recorder: Recorder,
    pub(super) origin: Instant,
    pub(super) of: Of,
}

impl Tap {
    pub(super) fn take(&self, message: impl FnOnce() -> Message) {
        let at = Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.recorder.wire(at, self.of, message);
    }

    /// A request that is about to be sent, or was.
    pub(super) fn asks(&self, request: &Request) {
        self.take(|| {
            let hide =
                |text: &str| request.secrets.iter().fold(text.to_owned(), |text, (name, value)| text.replace(value, &format!("${name}")));
            Message::Request {
                method: request.method.clone(),
                target: hide(&request.target),
                headers: request.headers.iter().map(|(name, value)| (name.clone(), hide(value))).collect(),
                body: request.body.as_deref().map(|body| hide(bounded(body))),
            }
        });
    }

    /// What came of it.
    pub(super) fn hears(&self, answer: Option<&Whole>) {
        self.take(|| match answer {
            Some(whole) => Message::Answer { status: whole.status, headers: whole.headers.clone(), body: bounded(&whole.body).to_owned() },
            None => Message::Silence,
        });
    }

    /// The head of a stream.
    pub(super) fn head(&self, response: &reqwest::Response, body: &str) {
        self.take(|| Message::Answer { status: response.status().as_u16(), headers: headers(response), body: body.to_owned() });
    }

    /// A frame of a stream.
    pub(super) fn frame(&self, frame: u32, bytes: &[u8]) {
        self.take(|| Message::Frame { frame, text: bounded(&String::from_utf8_lossy(bytes)).to_owned() });
    }

    /// A message that was sent over a WebSocket.
    pub(super) fn sends(&self, text: &str) {
        self.take(|| Message::Sent { text: bounded(text).to_owned() });
    }
}

fn headers(response: &reqwest::Response) -> Headers {
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_TEXT)]
}
