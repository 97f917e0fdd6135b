//! The long-lived streams: all runs of a conversation in order, and the two that only say that something has changed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer::{Answered, Refusal};
use super::conversation::Conversation;
use super::stream::{RunWire, number, session_snapshot, with_headers, write};
use super::{LIST, Shared, view};
use crate::bugs::Bug;
use crate::dialect::follow::{self, Follow, Wire};
use crate::hub::{Cell, now};
use crate::session::{Cursor, Frame, Start};

/// Most bytes and rows of a conversation that is replayed.
const MOST_BYTES: usize = 4 << 20;
const MOST_ROWS: u64 = 4096;

pub(super) async fn events(
    State(server): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Answered {
    let conversation = Conversation::of(&server, &headers, &id)?;
    let header = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    // An empty id is what a client has that has seen none.
    let presented = header.or(query.get("after_event_id").map(String::as_str)).filter(|cursor| !cursor.is_empty());
    // The bell is taken before the runs are looked at: a run that begins meanwhile rings it.
    let bell = conversation.cell.bell();
    let mut pending = Vec::new();
    let exact = presented.map(|cursor| exact(&server, &conversation, cursor));
    if exact == Some(None) {
        session_snapshot(&mut pending, &view::metadata(&server, &conversation));
    }
    let last = conversation.records.len().checked_sub(1);
    let (at, start) = match (exact.flatten(), last) {
        (Some((at, cursor)), _) => (at, Some(Start::After(cursor))),
        (None, Some(last)) => (last, Some(Start::Live)),
        (None, None) => (0, None),
    };
    let mut runs = Runs {
        bell,
        stopping: server.hub.stopping(),
        beat: Instant::now() + server.heartbeat,
        session: id,
        pending,
        next: at,
        current: None,
        begins_at: 0,
        server: Arc::clone(&server),
    };
    if let Some(start) = start {
        runs.open(start).await;
    }
    let body = Body::from_stream(stream::unfold(runs, |mut runs| async move {
        let bytes = runs.bytes().await?;
        Some((Ok::<_, Infallible>(Bytes::from(bytes)), runs))
    }));
    Ok(with_headers(body, server.hub.bugs.has(Bug::CloseOnLongLived)))
}

/// The run and the place that a cursor names, if everything behind it can be replayed.
fn exact(server: &Shared, conversation: &Conversation, cursor: &str) -> Option<(usize, Cursor)> {
    let (run, _) = cursor.split_once(':')?;
    let at = conversation.records.iter().position(|record| record.run == run)?;
    let seq = number(cursor, run)?.checked_sub(conversation.records[at].shift)?;
    let (mut rows, mut bytes, mut found) = (0, 0, None);
    for (n, record) in conversation.records.iter().enumerate() {
        let cell = server.hub.find(&record.run)?;
        let mut log = cell.lock();
        let events = log.snapshot(now()).events;
        rows += events.len() as u64;
        bytes += events.iter().map(|event| event.data.len()).sum::<usize>();
        let whole = events.len() as u64 == log.head().seq;
        if !whole || rows > MOST_ROWS || bytes > MOST_BYTES {
            return None;
        }
        if n == at {
            found = (seq >= 1 && seq <= log.head().seq).then_some(Cursor { epoch: log.epoch, seq });
        }
    }
    Some((at, found?))
}

/// A stream that goes from run to run.
struct Runs {
    server: Shared,
    session: String,
    bell: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    beat: Instant,
    pending: Vec<u8>,
    /// The place of the next run to be opened.
    next: usize,
    current: Option<Follow<RunWire>>,
    /// Where the run before has ended; only a bug looks at it.
    begins_at: u64,
}

impl Runs {
    /// Opens the next run, if there is one; true when there was.
    async fn open(&mut self, start: Start) -> bool {
        let bugs = self.server.hub.bugs;
        let Some(conversation) = Conversation::find(&self.server, &self.session) else { return false };
        let Some(record) = conversation.records.get(self.next) else { return false };
        self.next += 1;
        let Some(cell) = self.server.hub.find(&record.run) else { return true };
        if bugs.has(Bug::ShortRunMissed) && start == Start::Oldest && cell.lock().is_closed() {
            return true;
        }
        let subscription = follow::subscribe(&self.server.hub, &cell, start).await;
        let wire = RunWire {
            server: Arc::clone(&self.server),
            session: self.session.clone(),
            run: record.run.clone(),
            shift: record.shift,
            begins_at: if bugs.has(Bug::SeqFilterAcrossRuns) { self.begins_at } else { 0 },
            counted: false,
            cell: Arc::clone(&cell),
        };
        self.current = Some(Follow::new(subscription, wire, self.server.heartbeat, Vec::new()));
        true
    }

    async fn bytes(&mut self) -> Option<Vec<u8>> {
        loop {
            if !self.pending.is_empty() {
                return Some(std::mem::take(&mut self.pending));
            }
            if let Some(current) = &mut self.current {
                if let Some(bytes) = current.next().await {
                    return Some(bytes);
                }
                self.begins_at = current.wire().cell.lock().head().seq;
                self.current = None;
                self.beat = Instant::now() + self.server.heartbeat;
            }
            if *self.stopping.borrow() || self.server.hub.find(&super::conversation::log_name(&self.session)).is_none() {
                return None;
            }
            // Seen before the runs are looked at: what is added afterwards rings again.
            self.bell.mark_unchanged();
            if self.open(Start::Oldest).await {
                continue;
            }
            tokio::select! {
                rung = self.bell.changed() => {
                    rung.ok()?;
                    if self.server.hub.bugs.has(Bug::ShortRunMissed) {
                        // It looks once in a while what is running.
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    }
                }
                _ = self.stopping.changed() => {}
                () = sleep_until(self.beat) => {
                    self.beat = Instant::now() + self.server.heartbeat;
                    if !self.server.hub.bugs.has(Bug::NoHeartbeat) {
                        return Some(b": keepalive\n\n".to_vec());
                    }
                }
            }
        }
    }
}

/// What is announced at a session of the core; its stored events are the dialect's own business.
struct Pings;

impl Wire for Pings {
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()> {
        if let Frame::Ephemeral { note, .. } = frame {
            write(out, None, &note.event_type, &note.data);
        }
        ControlFlow::Continue(())
    }

    fn heartbeat(&self, _head: Cursor) -> Vec<u8> {
        b": keepalive\n\n".to_vec()
    }
}

async fn listen(server: &Shared, cell: Arc<Cell>, opening: Vec<u8>) -> Answered {
    let subscription = follow::subscribe(&server.hub, &cell, Start::Live).await;
    let follow = Follow::new(subscription, Pings, server.heartbeat, opening);
    Ok(with_headers(follow.into_body(), server.hub.bugs.has(Bug::CloseOnLongLived)))
}

pub(super) async fn pings(State(server): State<Shared>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answered {
    let id = query.get("session_id").filter(|id| !id.is_empty()).ok_or_else(|| Refusal::bad("session_id is missing"))?;
    let conversation = Conversation::of(&server, &headers, id)?;
    let mut opening = Vec::new();
    let active = conversation.active(&server).map(|record| &record.run);
    write(&mut opening, None, "initial", &json!({ "session_id": id, "active_stream_id": active }).to_string());
    listen(&server, Arc::clone(&conversation.cell), opening).await
}

pub(super) async fn list(State(server): State<Shared>) -> Answered {
    let cell = server.hub.find(LIST).ok_or_else(Refusal::no_session)?;
    listen(&server, cell, Vec::new()).await
}
