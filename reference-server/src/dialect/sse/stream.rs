//! The stream: which cursor was presented, and the headers of the answer.

use std::ops::ControlFlow;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::refuse::Refusal;
use super::{Shared, frame};
use crate::bugs::{Bug, BugSet};
use crate::dialect::follow::{self, Follow, Wire};
use crate::hub::Cell;
use crate::session::{Cursor, Frame, Start};

#[derive(Debug, Deserialize)]
pub(super) struct StreamQuery {
    after: Option<String>,
}

pub(super) async fn subscribe(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let bugs = shared.hub.bugs;
    let Some(cell) = shared.hub.find(&id) else {
        if bugs.has(Bug::ErrorInsideStream) {
            let body = "event: error\ndata: {\"error\":\"no_such_session\"}\n\n";
            return Ok((StatusCode::OK, [(header::CONTENT_TYPE, "text/event-stream")], body).into_response());
        }
        return Err(Refusal::unknown());
    };
    let presented = presented(&headers, &query, bugs)?;
    let start = start(&shared, &cell, presented.as_deref())?;
    let subscription = follow::subscribe(&shared.hub, &cell, start).await;
    let gzip =
        bugs.has(Bug::GzipUnflushed) && headers.get(header::ACCEPT_ENCODING).is_some_and(|v| v.as_bytes().windows(4).any(|w| w == b"gzip"));
    let wire = Sse { session: id, bugs };
    let mut follow = Follow::new(subscription, wire, shared.heartbeat, frame::opening(bugs)).compressed(gzip);
    if bugs.has(Bug::HeadersWait) {
        follow.first_event().await;
    }
    Ok(with_headers(follow.into_body(), bugs))
}

/// The frames of one session.
struct Sse {
    session: String,
    bugs: BugSet,
}

impl Wire for Sse {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        frame::write(out, &self.session, frame, self.bugs);
        ControlFlow::Continue(())
    }

    fn heartbeat(&self, head: Cursor) -> Vec<u8> {
        frame::heartbeat(head, self.bugs)
    }
}

fn with_headers(body: Body, bugs: BugSet) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let media = if bugs.has(Bug::PlainContentType) { "text/plain; charset=utf-8" } else { "text/event-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if !bugs.has(Bug::CacheableStream) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    }
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The cursor as it was presented: the header wins, because an EventSource repeats its original query for ever (SSE-35).
fn presented(headers: &HeaderMap, query: &StreamQuery, bugs: BugSet) -> Result<Option<String>, Refusal> {
    let header = match headers.get("last-event-id").map(|v| std::str::from_utf8(v.as_bytes())) {
        None => None,
        Some(Ok(text)) => Some(text.to_owned()),
        Some(Err(_)) => return Err(crate::session::Refused::Malformed.into()),
    };
    let query = query.after.clone();
    Ok(if bugs.has(Bug::QueryBeatsHeader) { query.or(header) } else { header.or(query) })
}

fn start(shared: &Shared, cell: &Cell, presented: Option<&str>) -> Result<Start, Refusal> {
    let session = cell.lock();
    let (id, bugs) = (session.id.clone(), shared.hub.bugs);
    drop(session);
    let others = || shared.hub.others(&id);
    let foreign = |epoch| others().iter().any(|other| other.lock().epoch == epoch);
    let resolved = cell.lock().resolve(presented, foreign);
    resolved.map_err(|refused| {
        let refusal = Refusal::from(refused);
        let Some(cursor) = presented.and_then(crate::session::Cursor::parse).filter(|_| bugs.has(Bug::ForeignCursorTells)) else {
            return refusal;
        };
        let named = others().iter().find_map(|other| other.lock().named(cursor).map(|event| event.data.clone()));
        refusal.with(&named.map_or(String::new(), |data| format!("; it names {data}")))
    })
}
