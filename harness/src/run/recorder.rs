//! The recorder: where every observation of a run goes, in the order in which it is made.
//!
//! It is shared by the runner, the readers' tasks and the proxy's. Whoever waits for an observation is woken by each new
//! one. A hostile server can make any number of observations, so their number is bounded: past the bound readers are told
//! to stop ([`Recorder::full`]).

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::trace::Trace;
use crate::history::{ConnId, Message, Micros, Of, OpId, Record, What, Wire};

/// A run that observes more than this is ended; histories beyond it help nobody.
pub(crate) const MOST_RECORDS: usize = 4_000_000;

/// Bytes of messages that are kept of one run.
const MOST_WIRE: usize = 32 << 20;

/// A handle to the records of a run; clones share them.
#[derive(Clone, Debug)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
    /// True where somebody may wait for `changed`.
    awaited: bool,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    connections: u32,
    operations: u32,
    /// Secrets that must not come back.
    planted: Vec<String>,
    /// How many bytes of messages may still be kept; `None` where none are.
    wire: Option<usize>,
    /// Tells of each observation, where somebody listens.
    trace: Trace,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder { inner: Arc::default(), changed: Arc::new(Notify::new()), awaited: true }
    }
}

impl Recorder {
    /// The recorder of a simulation, which keeps its records itself: it gives out numbers, behind those of `begun` whose run it
    /// goes on with. Nobody waits for what it records.
    pub(crate) fn of_simulation(begun: Option<&Recorder>) -> Recorder {
        let mut inner = Inner::default();
        if let Some(begun) = begun {
            let begun = begun.lock();
            inner.connections = begun.connections;
            inner.operations = begun.operations;
            inner.planted.clone_from(&begun.planted);
        }
        Recorder { inner: Arc::new(Mutex::new(inner)), changed: Arc::default(), awaited: false }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds the recorder")
    }

    /// Appends an observation and wakes whoever waits.
    pub fn record(&self, at: Micros, what: What) {
        {
            let mut inner = self.lock();
            // Tasks read the clock before they get the lock; the list stays ordered in time all the same.
            let at = inner.records.last().map_or(at, |last| at.max(last.at));
            inner.trace.tell(&what);
            inner.records.push(Record { at, what });
        }
        self.wake();
    }

    /// Tells of an observation that is recorded elsewhere.
    pub(crate) fn tell(&self, what: &What) {
        self.lock().trace.tell(what);
    }

    /// From now on what is told of the run names this case.
    pub fn tell_as(&self, case: &str) {
        self.lock().trace.of(case);
    }

    /// From now on messages are kept as well.
    pub fn keep_wire(&self) {
        self.lock().wire = Some(MOST_WIRE);
    }

    /// True when messages are kept.
    pub fn keeps_wire(&self) -> bool {
        self.lock().wire.is_some()
    }

    /// Appends a message as it stood on the wire, where messages are kept. Past their bound one record says so.
    pub fn wire(&self, at: Micros, of: Of, message: impl FnOnce() -> Message) {
        if self.lock().wire.is_none_or(|left| left == 0) {
            return;
        }
        let message = message();
        let fits = {
            let mut inner = self.lock();
            let left = inner.wire.unwrap_or(0);
            inner.wire = Some(left.saturating_sub(message.bytes()));
            message.bytes() < left
        };
        self.record(at, What::Wire(Box::new(Wire { of, message: if fits { message } else { Message::Full } })));
    }

    /// Wakes whoever waits, after a change of state that is no observation.
    pub fn wake(&self) {
        if self.awaited {
            self.changed.notify_waiters();
        }
    }

    /// What to wait on. Get the future, enable it, look, then wait: a change in between is not missed.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// The next connection's number.
    pub fn connection(&self) -> ConnId {
        let mut inner = self.lock();
        inner.connections += 1;
        ConnId(inner.connections - 1)
    }

    /// The next operation's number.
    pub fn operation(&self) -> OpId {
        let mut inner = self.lock();
        inner.operations += 1;
        OpId(inner.operations - 1)
    }

    /// From now on `secret` must not come back.
    pub fn plant(&self, secret: String) {
        self.lock().planted.push(secret);
    }

    /// The secrets that must not come back.
    pub fn planted(&self) -> Vec<String> {
        self.lock().planted.clone()
    }

    /// True when the run has seen more than it can keep.
    pub fn full(&self) -> bool {
        self.lock().records.len() >= MOST_RECORDS
    }

    /// Takes the records out; what is recorded afterwards begins anew.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.lock().records)
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// True when nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
