//! The streams: the tail of a log (T), the unified stream of a session (U), and the live stream of the process (L).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::answer::{Answered, Refusal};
use super::log::{Log, is_public, refused};
use super::{Server, Shared, event_id};
use crate::bugs::Bug;
use crate::dialect::follow::{self, Follow, Wire};
use crate::session::{Cursor, Frame, Start};

/// How long a bug lets events go by before it listens.
const DEAF: Duration = Duration::from_millis(40);

/// The values of a query's parameter.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Result<Option<String>, Refusal> {
    let url = reqwest::Url::parse(&format!("http://x/?{}", query.unwrap_or_default()));
    let url = url.map_err(|e| Refusal::invalid("Query", &format!("the query cannot be read: {e}")))?;
    let mut values = url.query_pairs().filter(|(n, _)| n == name).map(|(_, value)| value.into_owned());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::invalid("Query", &format!("Expected one value\n  at [\"{name}\"]"))),
    }
}

pub(super) async fn tail(State(server): State<Shared>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answered {
    of_session(&server, &id, query.as_deref(), Kind::Tail).await
}

pub(super) async fn unified(State(server): State<Shared>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answered {
    of_session(&server, &id, query.as_deref(), Kind::Unified).await
}

async fn of_session(server: &Shared, id: &str, query: Option<&str>, kind: Kind) -> Answered {
    let log = Log::find(server, id)?;
    let start = log.resolve(parameter(query, "after")?.as_deref()).map_err(refused)?;
    let subscribed = follow::subscribe(&server.hub, &log.cell, start).await;
    let wire = OfSession { server: Arc::clone(server), log, kind, hidden: false };
    let mut follow = Follow::new(subscribed, wire, server.heartbeat, Vec::new());
    if server.hub.bugs.has(Bug::HeadersWait) {
        follow.first_event().await;
    }
    Ok(with_headers(follow.into_body()))
}

pub(super) async fn live(State(server): State<Shared>) -> Response {
    let bugs = server.hub.bugs;
    if bugs.has(Bug::EndsWhenReady) {
        return with_headers(Body::from(connected()));
    }
    if bugs.has(Bug::ReadyBeforeListening) {
        let late = Arc::clone(&server);
        let rest = stream::once(async move {
            tokio::time::sleep(DEAF).await;
            let subscribed = follow::subscribe(&late.hub, &late.feed.cell, Start::Live).await;
            let wire = OfProcess { greeted: true, unencodable_ends: false };
            Follow::new(subscribed, wire, late.heartbeat, Vec::new()).into_body().into_data_stream()
        });
        let first = stream::once(async { Ok::<_, axum::Error>(Bytes::from(connected())) });
        return with_headers(Body::from_stream(first.chain(rest.flatten())));
    }
    let subscribed = follow::subscribe(&server.hub, &server.feed.cell, Start::Live).await;
    let wire = OfProcess { greeted: false, unencodable_ends: bugs.has(Bug::UnencodableEnds) };
    let mut follow = Follow::new(subscribed, wire, server.heartbeat, Vec::new());
    if bugs.has(Bug::HeadersWait) {
        follow.first_event().await;
    }
    with_headers(follow.into_body())
}

fn with_headers(body: Body) -> Response {
    let mut response = body.into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn connected() -> Vec<u8> {
    let id = event_id();
    format!("data: {{\"id\":\"{id}\",\"type\":\"server.connected\",\"data\":{{}}}}\n\n: heartbeat\n\n").into_bytes()
}

fn write(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json.as_bytes());
    out.extend_from_slice(b"\n\n");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Public events only.
    Tail,
    /// And the activity in the seam, and what is live-only.
    Unified,
}

/// The frames of one session.
struct OfSession {
    server: Arc<Server>,
    log: Log,
    kind: Kind,
    /// A bug has seen a private row and hides the next one.
    hidden: bool,
}

impl Wire for OfSession {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        let meta = &self.log.meta;
        match frame {
            Frame::Event { event, cursor, replayed } => {
                let skips = self.server.hub.bugs.has(Bug::PrivateRowSkips) && *replayed && event.seq > 1;
                let hidden = std::mem::replace(&mut self.hidden, skips && !is_public(event));
                if is_public(event) && !hidden {
                    write(out, &meta.envelope(event, cursor.map(|c| c.seq), ""));
                }
            }
            Frame::Ephemeral { note, cursor } if note.data.starts_with("{\"id\":") => {
                if self.kind == Kind::Tail || note.event_type == FOREIGN {
                    return ControlFlow::Continue(());
                }
                let durable = cursor.map(|c| {
                    let durable = json!({ "aggregateID": meta.id, "seq": meta.shown(c.seq), "version": 1 });
                    format!("{{\"durable\":{durable},{}", &note.data[1..])
                });
                write(out, durable.as_ref().unwrap_or(&note.data));
            }
            // Only bugs send what was never made whole.
            Frame::Ephemeral { note, .. } => {
                write(out, &format!(r#"{{"id":"{}","type":"{}","data":{}}}"#, event_id(), note.event_type, note.data));
            }
            Frame::Boundary { .. } if self.kind == Kind::Unified => {
                let activity = if self.server.is_active(&meta.id) { "running" } else { "idle" };
                let data = json!({ "sessionID": meta.id, "activity": { "type": activity } });
                write(out, &format!(r#"{{"id":"{}","type":"session.activity","data":{data}}}"#, event_id()));
            }
            Frame::Boundary { .. } | Frame::Gap { .. } | Frame::Synthetic { .. } | Frame::End => {}
        }
        ControlFlow::Continue(())
    }

    fn shows(&self, frame: &Frame) -> bool {
        matches!(frame, Frame::Event { event, .. } if is_public(event))
    }

    fn heartbeat(&self, _: Cursor) -> Vec<u8> {
        b": heartbeat\n\n".to_vec()
    }
}

/// The type of what a bug puts into the queues of other sessions' readers.
pub(super) const FOREIGN: &str = "foreign";

/// The frames of the process.
struct OfProcess {
    greeted: bool,
    unencodable_ends: bool,
}

impl Wire for OfProcess {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        match frame {
            Frame::Event { event, .. } if self.unencodable_ends && &*event.event_type == "tui.toast.show" => return ControlFlow::Break(()),
            Frame::Event { event, .. } => write(out, &event.data),
            Frame::Boundary { .. } if !std::mem::replace(&mut self.greeted, true) => out.extend_from_slice(&connected()),
            // Overtaken: what was sent has no hole, and what follows would begin with one.
            Frame::Gap { .. } => return ControlFlow::Break(()),
            Frame::Boundary { .. } | Frame::Ephemeral { .. } | Frame::Synthetic { .. } | Frame::End => {}
        }
        ControlFlow::Continue(())
    }

    fn heartbeat(&self, _: Cursor) -> Vec<u8> {
        b": heartbeat\n\n".to_vec()
    }
}
