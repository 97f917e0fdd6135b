//! The stream of one run: where it begins, and how its frames look.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Answered, Refusal};
use super::conversation::{Conversation, interrupted};
use super::{Server, Shared};
use crate::bugs::Bug;
use crate::dialect::follow::{self, Follow, Wire};
use crate::hub::{Cell, now};
use crate::session::{Cursor, Frame, Start};

/// How much a buffer keeps that a bug puts before a stream.
const TAIL: u64 = 4;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It has seen nothing, or does not say so.
    Nothing,
    /// It resumes behind this number; none when what it presented cannot be used.
    After(Option<u64>),
}

/// The number in an event id, if it is one of this run.
pub(super) fn number(id: &str, run: &str) -> Option<u64> {
    let digits = id.strip_prefix(run)?.strip_prefix(':')?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// What the cursors of a request mean, by their precedence: a query parameter that is there wins over the header, also when
/// it cannot be read.
fn asked(query: &HashMap<String, String>, headers: &HeaderMap, run: &str, server: &Server) -> Asked {
    let bugs = server.hub.bugs;
    if bugs.has(Bug::CursorIgnored) {
        return Asked::Nothing;
    }
    if let Some(id) = query.get("after_event_id") {
        return Asked::After(number(id, run));
    }
    if let Some(seq) = query.get("after_seq") {
        let seq = seq.bytes().all(|b| b.is_ascii_digit()).then(|| seq.parse().ok()).flatten();
        return if bugs.has(Bug::ZeroIsNone) && seq == Some(0) { Asked::Nothing } else { Asked::After(seq) };
    }
    if query.get("replay").is_some_and(|replay| replay == "1") {
        return Asked::After(Some(0));
    }
    match headers.get("last-event-id") {
        Some(id) if !bugs.has(Bug::HeaderCursorIgnored) => Asked::After(id.to_str().ok().and_then(|id| number(id, run))),
        Some(_) | None => Asked::Nothing,
    }
}

pub(super) async fn run(State(server): State<Shared>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answered {
    let run = query.get("stream_id").map_or("", String::as_str);
    let (conversation, at) = Conversation::with_run(&server, &headers, run)?;
    let cell = server.hub.find(run).ok_or_else(Refusal::no_stream)?;
    let (session, shift) = (conversation.id, conversation.records[at].shift);
    let bugs = server.hub.bugs;
    let asked = match asked(&query, &headers, run, &server) {
        Asked::After(Some(seq)) if seq > 0 => Asked::After(seq.checked_sub(shift)),
        other => other,
    };
    let (epoch, head, closed, readers) = {
        let log = cell.lock();
        (log.epoch, log.head().seq, log.is_closed(), log.readers())
    };
    let dead = server.remembered().dead.contains(run);
    let ahead = matches!(asked, Asked::After(Some(seq)) if seq > head);
    if (closed || dead) && ahead && bugs.has(Bug::AheadOfDeadIsEmpty) {
        return Ok(with_headers(Body::empty(), true));
    }
    let start = match asked {
        // Nobody was there: what was said meanwhile waits for the next one. With company, it begins with what comes.
        Asked::Nothing if !closed && readers > 0 => Start::Live,
        Asked::Nothing if !closed => Start::After(Cursor { epoch, seq: server.attended().get(run).copied().unwrap_or(0) }),
        Asked::After(Some(seq)) if closed && seq == head && !bugs.has(Bug::EmptyAfterEnd) => {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        Asked::After(Some(seq)) if seq <= head || bugs.has(Bug::AheadSwallows) => Start::After(Cursor { epoch, seq }),
        Asked::Nothing | Asked::After(_) => Start::Oldest,
    };
    let start = match start {
        Start::After(cursor) if bugs.has(Bug::DetachedTailOnly) && !closed && readers == 0 => {
            Start::After(Cursor { seq: cursor.seq.max(head.saturating_sub(TAIL)), ..cursor })
        }
        other => other,
    };
    let subscription = follow::subscribe(&server.hub, &cell, start).await;
    let wire = RunWire { run: run.to_owned(), session, shift, cell, begins_at: 0, counted: true, server: Arc::clone(&server) };
    if dead {
        // The end of such a run was never stored: it is made for whoever comes.
        let mut out = Vec::new();
        let mut wire = wire;
        loop {
            let frames = subscription.frames();
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                let _ = wire.frame(&mut out, &frame);
            }
        }
        let end = interrupted(&wire.session, run, head, false);
        if bugs.has(Bug::UnstoredId) {
            write(&mut out, Some(&format!("{run}:{}", head + 1)), "apperror", &end.to_string());
        }
        return Ok(with_headers(Body::from(out), true));
    }
    let mut follow = Follow::new(subscription, wire, server.heartbeat, Vec::new());
    if bugs.has(Bug::HeadersWait) {
        follow.first_event().await;
    }
    Ok(with_headers(follow.into_body(), true))
}

/// The headers of a stream; `finite` when the server closes the connection behind it.
pub(super) fn with_headers(body: Body, finite: bool) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if finite {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Appends a frame.
pub(super) fn write(out: &mut Vec<u8>, id: Option<&str>, name: &str, data: &str) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

/// The frames of one run.
pub(super) struct RunWire {
    pub(super) server: Shared,
    pub(super) cell: Arc<Cell>,
    pub(super) session: String,
    pub(super) run: String,
    pub(super) shift: u64,
    /// Events up to this number are left out; only a bug sets it.
    pub(super) begins_at: u64,
    /// Whether leaving it is leaving the run.
    pub(super) counted: bool,
}

impl Wire for RunWire {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        let bugs = self.server.hub.bugs;
        match frame {
            Frame::Event { event, cursor, replayed } => {
                let torn = *replayed && bugs.has(Bug::JournalSplitsLines) && event.data.contains(['\u{85}', '\u{2028}', '\u{2029}']);
                if torn || event.seq <= self.begins_at {
                    return ControlFlow::Continue(());
                }
                let mut number = cursor.map(|cursor| cursor.seq + self.shift);
                if !*replayed && bugs.has(Bug::LiveWithoutId) {
                    number = None;
                }
                if bugs.has(Bug::LatestIdTable) {
                    number = number.map(|_| self.cell.lock().head().seq + self.shift);
                }
                if !*replayed && bugs.has(Bug::CancelIdReused) && &*event.event_type == "cancel" {
                    number = number.map(|number| number - 1);
                }
                let id = number.map(|number| format!("{}:{number}", self.run));
                write(out, id.as_deref(), &event.event_type, &event.data);
            }
            Frame::Gap { requested, oldest } => {
                let dropped = oldest.seq.saturating_sub(1 + requested.map_or(0, |cursor| cursor.seq));
                let mut data = interrupted(&self.session, &self.run, self.cell.lock().head().seq, false);
                data["offline_dropped_events"] = dropped.into();
                write(out, None, "apperror", &data.to_string());
                return ControlFlow::Break(());
            }
            // The protocol has no frames for the seam, and nothing of a run is live-only.
            Frame::Boundary { .. } | Frame::Ephemeral { .. } | Frame::Synthetic { .. } | Frame::End => {}
        }
        ControlFlow::Continue(())
    }

    fn heartbeat(&self, _head: Cursor) -> Vec<u8> {
        if self.counted { b": heartbeat\n\n".to_vec() } else { b": keepalive\n\n".to_vec() }
    }
}

impl Drop for RunWire {
    /// Its subscription is gone already: who is still registered is somebody else.
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let bugs = self.server.hub.bugs;
        let (head, closed, readers) = {
            let log = self.cell.lock();
            (log.head().seq, log.is_closed(), log.readers())
        };
        if !closed && readers == 0 {
            self.server.attended().insert(self.run.clone(), head);
            let turn = self.server.turns().get(&self.run).cloned();
            if let Some(turn) = turn.filter(|_| bugs.has(Bug::TurnDiesWithItsReader)) {
                turn.abort();
            }
        }
        if bugs.has(Bug::LeavingTouches) {
            self.server.remembered().touched.insert(self.session.clone(), now());
        }
    }
}

/// A frame that replaces what cannot be replayed.
pub(super) fn session_snapshot(out: &mut Vec<u8>, session: &serde_json::Value) {
    write(out, None, "session_snapshot", &json!({ "session": session }).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_the_run_have_a_number() {
        assert_eq!(number("ab:12", "ab"), Some(12));
        assert_eq!(number("ab:0", "ab"), Some(0));
        for bad in ["", "12", ":12", "ab:", "ab", "ab:-4", "ab:+4", "ab:1x", "abc:1", "ffff:3", "ab:99999999999999999999"] {
            assert_eq!(number(bad, "ab"), None, "{bad}");
        }
    }
}
