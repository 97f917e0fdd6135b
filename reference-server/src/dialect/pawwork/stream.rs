//! The streams: `/global/event` with ids and replay, `/event` of one directory without either.

use std::ops::ControlFlow;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::ring::{Envelope, envelope};
use super::{Scope, Shared};
use crate::bugs::Bug;
use crate::dialect::follow::{Follow, Wire};
use crate::session::{Cursor, Frame};

/// `GET /global/event`: always 200; the answer to a bad cursor is in the stream.
pub(super) async fn global(State(server): State<Shared>, headers: HeaderMap) -> Response {
    let presented = headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let opened = server.ring.connect(presented.as_deref()).await;
    let (heartbeat, bugs) = (server.heartbeat, server.ring.bugs());
    let waits = bugs.has(Bug::HeadersWait) && !opened.connected;
    let wire = Global { server, connected: opened.connected, fence: opened.fence };
    let mut follow = Follow::new(opened.subscription, wire, heartbeat, Vec::new());
    if waits {
        follow.first_event().await;
    }
    with_headers(follow.into_body())
}

/// `GET /event?directory=`: what happens in a directory from now on, until it is disposed.
pub(super) async fn instance(State(server): State<Shared>, Query(scope): Query<Scope>) -> Response {
    let opened = server.ring.connect(None).await;
    let (heartbeat, wire) = (server.heartbeat, Instance { directory: scope.directory() });
    with_headers(Follow::new(opened.subscription, wire, heartbeat, Vec::new()).into_body())
}

fn with_headers(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// One frame. Its data is JSON of one line.
fn write(out: &mut Vec<u8>, id: Option<&str>, data: &str) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(format!("data: {data}\n\n").as_bytes());
}

struct Global {
    server: Shared,
    /// Whether the seam is shown by `server.connected`.
    connected: bool,
    /// The fence's number in its boot; only a bug looks at it.
    fence: u64,
}

impl Global {
    /// What a ring that keeps references would hold by now.
    fn by_reference(&self, data: &str) -> Option<String> {
        let properties = |data: &str| -> Option<serde_json::Value> { serde_json::from_str(data).ok() };
        let session = properties(data)?.pointer("/payload/properties/sessionID")?.as_str()?.to_owned();
        let info = self.server.rows.find(&session)?;
        Some(envelope(Some(&info.directory), "session.updated", &info.event()))
    }
}

impl Wire for Global {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        let (ring, bugs) = (&self.server.ring, self.server.ring.bugs());
        match frame {
            Frame::Event { event, cursor, replayed } => {
                let id = cursor.map(|cursor| ring.cursor_of(cursor.seq));
                let number = || id.as_ref().and_then(|id| id.rsplit_once(':')?.1.parse::<u64>().ok());
                if bugs.has(Bug::FenceWithoutBoot) && !*replayed && number().is_some_and(|number| number <= self.fence) {
                    return ControlFlow::Continue(());
                }
                let changed = bugs.has(Bug::KeptByReference) && *replayed && &*event.event_type == "session.updated";
                let changed = changed.then(|| self.by_reference(&event.data)).flatten();
                write(out, id.as_deref(), changed.as_deref().unwrap_or(&event.data));
            }
            Frame::Ephemeral { note, cursor } => write(out, cursor.map(|cursor| ring.cursor_of(cursor.seq)).as_deref(), &note.data),
            Frame::Boundary { fence } if self.connected => {
                write(out, Some(&ring.cursor_at(fence.seq)), &envelope(None, "server.connected", "{}"));
            }
            // What is missing cannot be told in mid-stream: the next connection is answered as a gap, with nothing before it.
            Frame::Gap { .. } => return ControlFlow::Break(()),
            Frame::Boundary { .. } | Frame::Synthetic { .. } | Frame::End => {}
        }
        ControlFlow::Continue(())
    }

    fn heartbeat(&self, head: Cursor) -> Vec<u8> {
        let (ring, mut out) = (&self.server.ring, Vec::new());
        let id = ring.bugs().has(Bug::HeartbeatWithId).then(|| ring.cursor_of(head.seq + 1));
        write(&mut out, id.as_deref(), &envelope(None, "server.heartbeat", "{}"));
        out
    }
}

struct Instance {
    directory: String,
}

impl Wire for Instance {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        let (data, event_type) = match frame {
            Frame::Event { event, .. } => (&*event.data, &*event.event_type),
            Frame::Ephemeral { note, .. } => (note.data.as_str(), note.event_type.as_str()),
            Frame::Boundary { .. } => {
                write(out, None, r#"{"type":"server.connected","properties":{}}"#);
                return ControlFlow::Continue(());
            }
            Frame::Gap { .. } => return ControlFlow::Break(()),
            Frame::Synthetic { .. } | Frame::End => return ControlFlow::Continue(()),
        };
        let Envelope { directory, payload } = Envelope::of(data);
        if directory.as_deref() == Some(self.directory.as_str()) {
            write(out, None, payload.map_or("{}", |payload| payload.get()));
            if event_type == "server.instance.disposed" {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn heartbeat(&self, _head: Cursor) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, None, r#"{"type":"server.heartbeat","properties":{}}"#);
        out
    }
}
