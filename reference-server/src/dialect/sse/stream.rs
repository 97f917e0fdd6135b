//! The stream: a subscription of the core, polled as fast as its reader reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::refuse::Refusal;
use super::{Shared, frame};
use crate::bugs::{Bug, BugSet};
use crate::hub::{Cell, now};
use crate::session::{Frame, Start, SubscriptionId};

/// Frames taken from the core at a time.
const MOST_FRAMES: usize = 64;
/// How long the bugs of the seam leave their window open for the next append.
const SEAM: Duration = Duration::from_millis(30);
/// How much a compressor collects before it writes, with the bug that does not flush it.
const UNFLUSHED: usize = 32 << 10;

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
    let subscription = open(&shared, &cell, start).await;
    let mut follow = Follow {
        bell: cell.bell(),
        stopping: shared.hub.stopping(),
        beat: Instant::now() + shared.heartbeat,
        subscription,
        pending: frame::opening(bugs),
        awake: true,
        ended: false,
        gzip: bugs.has(Bug::GzipUnflushed)
            && headers.get(header::ACCEPT_ENCODING).is_some_and(|v| v.as_bytes().windows(4).any(|w| w == b"gzip")),
        session: id,
        shared,
    };
    if bugs.has(Bug::HeadersWait) {
        follow.first_event().await;
    }
    let body = Body::from_stream(stream::unfold(follow, |mut follow| async move {
        let bytes = follow.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(bytes)), follow))
    }));
    Ok(with_headers(body, bugs))
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

/// Registers a reader and fixes its fence, in one step under one lock; bugs of the seam open a window between the steps.
async fn open(shared: &Shared, cell: &Arc<Cell>, start: Start) -> Subscribed {
    let bugs = shared.hub.bugs;
    let id = {
        let mut session = cell.lock();
        let id = session.register(start);
        session.fix_fence(id, now());
        id
    };
    let subscribed = Subscribed { cell: Arc::clone(cell), id, shared: shared.clone() };
    if bugs.has(Bug::ReadBeforeRegister) || bugs.has(Bug::NoSkipAtFence) {
        let mut bell = cell.bell();
        let _ = timeout(SEAM, bell.changed()).await;
    }
    if bugs.has(Bug::ReplayLeaks) && start != Start::Live {
        let own = cell.lock().id.clone();
        let leaked = shared.hub.others(&own).iter().find_map(|other| other.lock().snapshot(now()).events.into_iter().next());
        if let Some(event) = leaked {
            cell.lock().slip(id, &event.event_type, &event.data);
        }
    }
    if bugs.has(Bug::EphemeralReplayed) {
        let mut session = cell.lock();
        for (event_type, data) in session.kept().to_vec() {
            session.slip(id, &event_type, &data);
        }
    }
    if bugs.has(Bug::DescriptorLeak) {
        // A handle that only a finished response would close.
        std::mem::forget(std::fs::File::open("/dev/null"));
    }
    if bugs.has(Bug::ThreadLeak) {
        let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    if bugs.has(Bug::MemoryLeak) {
        std::mem::forget(std::hint::black_box(vec![1_u8; 64 << 10]));
    }
    subscribed
}

/// A registered reader; it is forgotten when its response is dropped, however that happens.
#[derive(Debug)]
struct Subscribed {
    cell: Arc<Cell>,
    id: SubscriptionId,
    shared: Shared,
}

impl Subscribed {
    fn frames(&self) -> Vec<Frame> {
        self.cell.lock().next(self.id, now(), MOST_FRAMES)
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let broken_off = self.cell.lock().unregister(self.id);
        if broken_off && self.shared.hub.bugs.has(Bug::PoisonedByReset) {
            self.shared.hub.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

/// A stream being written.
struct Follow {
    subscription: Subscribed,
    bell: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    beat: Instant,
    pending: Vec<u8>,
    /// Something may have changed since the session was last read.
    awake: bool,
    ended: bool,
    gzip: bool,
    session: String,
    shared: Shared,
}

impl Follow {
    /// Collects what there is until an event is among it; only a bug waits for that.
    async fn first_event(&mut self) {
        while !self.ended {
            self.bell.mark_unchanged();
            let frames = self.read();
            let boring = |frame: &Frame| matches!(frame, Frame::Boundary { .. } | Frame::Gap { .. });
            if !frames.iter().all(boring) || self.bell.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes frames from the core, and writes them to what is pending.
    fn read(&mut self) -> Vec<Frame> {
        let frames = self.subscription.frames();
        for one in &frames {
            frame::write(&mut self.pending, &self.session, one, self.shared.hub.bugs);
            self.ended |= *one == Frame::End;
        }
        frames
    }

    /// The next bytes; `None` at the end. Waits for a change, the next heartbeat or the server's stop.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let bugs = self.shared.hub.bugs;
        loop {
            if self.ended {
                return (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending));
            }
            if self.awake {
                // Seen before the session is read: what changes afterwards rings again.
                self.bell.mark_unchanged();
                self.awake = !self.read().is_empty();
            }
            let held = self.gzip && self.pending.len() < UNFLUSHED && !self.ended;
            if !self.pending.is_empty() && !held {
                self.beat = Instant::now() + self.shared.heartbeat;
                return Some(std::mem::take(&mut self.pending));
            }
            if self.ended {
                return None;
            }
            if *self.stopping.borrow() {
                return None;
            }
            if self.awake {
                continue;
            }
            let soon = Instant::now() + Duration::from_millis(crate::session::HELD_BACK_MS);
            let held_back = bugs.has(Bug::EphemeralOvertakes) || bugs.has(Bug::OrderPerReader) || bugs.has(Bug::TerminalEarly);
            tokio::select! {
                rung = self.bell.changed() => match rung {
                    Ok(()) => self.awake = true,
                    Err(_) => return None,
                },
                _ = self.stopping.changed() => {}
                () = sleep_until(soon), if held_back && soon < self.beat => self.awake = true,
                () = sleep_until(self.beat) => {
                    self.beat = Instant::now() + self.shared.heartbeat;
                    // The log is not looked at: a heartbeat that did would hide a wake-up that was lost.
                    if !bugs.has(Bug::NoHeartbeat) && !held {
                        let head = self.subscription.cell.lock().head();
                        return Some(frame::heartbeat(head, bugs));
                    }
                }
            }
        }
    }
}
