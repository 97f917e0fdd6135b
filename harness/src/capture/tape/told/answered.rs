//! Requests and answers as a history holds them.

use super::Exchange;
use crate::capture::header;
use crate::capture::tape::exchange::{Over, Stamp};
use crate::contract::{Operation, StatusSet};
use crate::history::{Answer, ConnId, Ended, Headers, Message, Outcome};
use crate::run::binding::taken;

/// Longest text of a message that is kept.
pub(super) const MOST_TEXT: usize = 256 << 10;
/// Most of a refusal's body that is kept.
const MOST_BODY: usize = 400;

/// Headers that every client of HTTP sends in its own way.
const USUAL: [&str; 13] = [
    "host",
    "connection",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "content-length",
    "transfer-encoding",
    "origin",
    "referer",
    "cache-control",
    "pragma",
    "upgrade-insecure-requests",
];

pub(super) fn request(exchange: &Exchange) -> Message {
    let usual = |name: &str| {
        let name = name.to_ascii_lowercase();
        USUAL.contains(&name.as_str()) || name.starts_with("sec-")
    };
    // Credentials are nobody's business but the client's.
    let value = |name: &str, value: &str| {
        let secret = ["authorization", "cookie", "proxy-authorization"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if secret { "…".to_owned() } else { value.to_owned() }
    };
    let headers: Headers =
        exchange.headers.iter().filter(|(name, _)| !usual(name)).map(|(name, of)| (name.clone(), value(name, of))).collect();
    let body = (!exchange.body.is_empty()).then(|| text(&exchange.body, MOST_TEXT));
    Message::Request { method: exchange.method.clone(), target: exchange.target.clone(), headers, body }
}

pub(super) fn text(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(most)]);
    text.into_owned()
}

/// True when the answer says that it was done.
pub(super) fn done(operation: Option<&Operation>, exchange: &Exchange) -> bool {
    let ok = operation.and_then(|operation| operation.ok.as_ref());
    exchange.status().is_some_and(|status| ok.map_or((200..300).contains(&status), |ok: &StatusSet| ok.contains(status)))
}

pub(super) fn outcome(exchange: &Exchange, operation: Option<&Operation>) -> Outcome {
    match exchange.status() {
        None => Outcome::Unknown { why: "no answer came".to_owned() },
        Some(status) if done(operation, exchange) => Outcome::Ok { status, cursor: cursor_of(exchange, operation).map(Into::into) },
        Some(status) => Outcome::Failed { status, body: text(&exchange.whole_body(), MOST_BODY) },
    }
}

pub(super) fn cursor_of(exchange: &Exchange, operation: Option<&Operation>) -> Option<String> {
    take(exchange, operation?, "cursor")
}

/// What the binding takes out of an answer under a name.
pub(super) fn take(exchange: &Exchange, operation: &Operation, name: &str) -> Option<String> {
    let source = operation.take.get(name)?;
    let document = serde_json::from_slice(&exchange.whole_body()).ok();
    let headers = &exchange.answer.as_ref()?.headers;
    taken(source, document.as_ref(), |name| header(headers, name).map(str::to_owned))
}

/// The head of an answer to a stream, for the history.
pub(super) fn answer(conn: ConnId, exchange: &Exchange, accepted: bool) -> Option<(Stamp, Answer)> {
    let head = exchange.answer.as_ref()?;
    let text_of = |name: &str| header(&head.headers, name).map(|value| value.chars().take(200).collect());
    let answer = Answer {
        conn,
        status: head.status,
        accepted,
        content_type: text_of("content-type"),
        cache_control: text_of("cache-control"),
        body: if accepted { String::new() } else { text(&exchange.whole_body(), MOST_BODY) },
    };
    Some((head.at, answer))
}

/// How a stream ended, and when.
pub(super) fn ended(exchange: &Exchange, accepted: bool, end: Stamp) -> (Stamp, Ended) {
    match exchange.over {
        None => (end, Ended::Ours),
        Some((at, Over::Whole)) if accepted => (at, Ended::Eof),
        Some((at, Over::Whole)) => (at, Ended::Done),
        Some((at, Over::ClientLeft)) => (at, Ended::Ours),
        Some((at, Over::Broken)) if exchange.answer.is_none() => (at, Ended::NoAnswer { why: "the connection ended before".to_owned() }),
        Some((at, Over::Broken)) => (at, Ended::Broken { why: "the connection ended in the middle".to_owned() }),
    }
}
