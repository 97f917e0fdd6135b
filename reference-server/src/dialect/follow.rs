//! A stream being written: a reader of a session, polled as fast as its client reads.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bugs::Bug;
use crate::hub::{Cell, Hub, now};
use crate::session::{Cursor, Frame, Start, SubscriptionId};

/// Frames taken from the core at a time.
const MOST_FRAMES: usize = 64;
/// How long the bugs of the seam leave their window open for the next append.
const SEAM: Duration = Duration::from_millis(30);
/// How much a compressor collects before it writes, with the bug that does not flush it.
const UNFLUSHED: usize = 32 << 10;

/// How a dialect writes what the core tells a reader.
pub(super) trait Wire: Send + 'static {
    /// Appends the bytes of `frame` to `out`; `End` has none. Breaks when the stream ends with it.
    fn frame(&mut self, out: &mut Vec<u8>, frame: &Frame) -> ControlFlow<()>;

    /// False for frames that are none of the events for which a reader waits.
    fn shows(&self, frame: &Frame) -> bool {
        !matches!(frame, Frame::Boundary { .. } | Frame::Gap { .. })
    }

    /// What a silent stream sends, while the session's newest event is `head`.
    fn heartbeat(&self, head: Cursor) -> Vec<u8>;
}

/// Registers a reader and fixes its fence, in one step under one lock; bugs of the seam open a window between the steps.
pub(super) async fn subscribe(hub: &Arc<Hub>, cell: &Arc<Cell>, start: Start) -> Subscribed {
    let bugs = hub.bugs;
    let id = {
        let mut session = cell.lock();
        let id = session.register(start);
        session.fix_fence(id, now());
        id
    };
    let subscribed = Subscribed { cell: Arc::clone(cell), id, hub: Arc::clone(hub) };
    if [Bug::ReadBeforeRegister, Bug::NoSkipAtFence, Bug::SkipsBehindFence, Bug::LiveDuringReplay].into_iter().any(|bug| bugs.has(bug)) {
        let mut bell = cell.bell();
        let _ = timeout(SEAM, bell.changed()).await;
    }
    if bugs.has(Bug::ReplayLeaks) && start != Start::Live {
        let own = cell.lock().id.clone();
        let leaked = hub.others(&own).iter().find_map(|other| other.lock().snapshot(now()).events.into_iter().next());
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
pub(super) struct Subscribed {
    cell: Arc<Cell>,
    id: SubscriptionId,
    hub: Arc<Hub>,
}

impl Subscribed {
    /// What there is for it now, at most so much at a time.
    pub(super) fn frames(&self) -> Vec<Frame> {
        self.cell.lock().next(self.id, now(), MOST_FRAMES)
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let broken_off = self.cell.lock().unregister(self.id);
        if broken_off && self.hub.bugs.has(Bug::PoisonedByReset) {
            self.hub.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

/// A stream being written.
pub(super) struct Follow<W> {
    subscription: Subscribed,
    wire: W,
    bell: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    beat: Instant,
    heartbeat: Duration,
    pending: Vec<u8>,
    /// Something may have changed since the session was last read.
    awake: bool,
    ended: bool,
    gzip: bool,
}

impl<W: Wire> Follow<W> {
    /// A stream that begins with the bytes of `opening`.
    pub(super) fn new(subscription: Subscribed, wire: W, heartbeat: Duration, opening: Vec<u8>) -> Follow<W> {
        Follow {
            bell: subscription.cell.bell(),
            stopping: subscription.hub.stopping(),
            beat: Instant::now() + heartbeat,
            heartbeat,
            pending: opening,
            awake: true,
            ended: false,
            gzip: false,
            wire,
            subscription,
        }
    }

    /// Lets a bug hold bytes back, as a compressor does that nobody flushes.
    pub(super) fn compressed(mut self, gzip: bool) -> Follow<W> {
        self.gzip = gzip;
        self
    }

    /// What writes its frames.
    pub(super) fn wire(&self) -> &W {
        &self.wire
    }

    /// The body of a response.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut follow| async move {
            let bytes = follow.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(bytes)), follow))
        }))
    }

    /// Collects what there is until an event is among it; only a bug waits for that.
    pub(super) async fn first_event(&mut self) {
        while !self.ended {
            self.bell.mark_unchanged();
            let frames = self.read();
            if frames.iter().any(|frame| self.wire.shows(frame)) || self.bell.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes frames from the core, and writes them to what is pending.
    fn read(&mut self) -> Vec<Frame> {
        let frames = self.subscription.frames();
        for one in &frames {
            self.ended |= self.wire.frame(&mut self.pending, one).is_break() || *one == Frame::End;
            if self.ended {
                break;
            }
        }
        frames
    }

    /// The next bytes; `None` at the end. Waits for a change, the next heartbeat or the server's stop.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let bugs = self.subscription.hub.bugs;
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
                self.beat = Instant::now() + self.heartbeat;
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
                    self.beat = Instant::now() + self.heartbeat;
                    // The log is not looked at: a heartbeat that did would hide a wake-up that was lost.
                    if !bugs.has(Bug::NoHeartbeat) && !held {
                        let head = self.subscription.cell.lock().head();
                        return Some(self.wire.heartbeat(head));
                    }
                }
            }
        }
    }
}
