//! The session core, sans-IO: a log with cursors, retention, idempotency and an end, and readers that walk along it.
//!
//! Nothing here waits, reads a clock or knows a wire format. Time comes in as [`Millis`]; what to write to a reader comes
//! out as [`Frame`]s, or, where it is nothing but stored events, as these ([`Session::next_plain`]). Subscribing is split
//! into steps ([`Session::register`], [`Session::fix_fence`], [`Session::next`]) so that a caller, or a simulator, can put
//! anything between them.
//!
//! Appending is split as well: [`Session::prepare`] takes a number, [`Session::publish`] makes the event visible, and the
//! caller makes it durable in between. An event that readers can see is an event that survives.

mod append;
mod cursor;
mod frame;
mod plain;
mod read;
mod readers;
mod retention;
mod subscription;

pub use append::{Append, Prepared, Refusal, race};
pub use cursor::{Cursor, CursorText, Epoch};
pub use frame::{Frame, Note, Room};
pub use plain::Plain;
pub use read::{Page, Refused, Snapshot, Start};
pub use retention::{Millis, Retention};
pub use subscription::{HELD_BACK_MS, SubscriptionId};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::bugs::{Bug, BugSet};
use readers::Readers;

/// Removed events that stay for readers that are live and have not come to them yet.
const MOST_REMOVED: usize = 4096;

/// One event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log, from 1; dense but for events that were removed.
    pub seq: u64,
    /// The number that its cursor shows; `seq`, unless a bug is switched on.
    pub label: u64,
    /// When it was appended.
    pub at: Millis,
    /// Its type; readers share the text.
    pub event_type: Arc<str>,
    /// Its payload, as JSON text of one line; readers share it.
    pub data: Arc<str>,
    /// True for the event that ends the session.
    pub terminal: bool,
    /// Which group of concurrent appends it was part of.
    pub batch: u64,
}

/// A session: its log, its settings, its readers.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// The life of its numbering.
    pub epoch: Epoch,
    retention: Retention,
    bugs: BugSet,
    /// Kept events, ascending by `seq`; copies of a session share them until one of them changes.
    events: Arc<VecDeque<Arc<Event>>>,
    /// Those of them that are no longer replayed.
    removed: BTreeSet<u64>,
    bytes: u64,
    /// The newest visible event's number, also when it is no longer kept.
    head: u64,
    /// The newest number that was given out; ahead of `head` between `prepare` and `publish`.
    minted: u64,
    /// What labels lack to sequence numbers; 0 unless a bug is switched on.
    label_lag: u64,
    closed: Option<u64>,
    /// The terminal's number once it was prepared, before it is visible.
    closing: Option<u64>,
    deleted: bool,
    keys: BTreeMap<String, KeyUse>,
    /// Its readers; one is taken out of its place while it is being read for.
    subscriptions: Readers,
    next_subscription: u64,
    /// Live-only events that a bug has kept.
    kept: Vec<(String, String)>,
    /// How often a cursor was replayed from; used by a bug only.
    replays: BTreeMap<u64, u32>,
    /// Changes since the session was made; readers wait for it to grow.
    changes: u64,
}

/// What an idempotency key was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Digest of the content.
    pub digest: u64,
    /// The event that it made; 0 when it made none.
    pub seq: u64,
}

/// A session as a store keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub id: String,
    /// Its epoch.
    pub epoch: u32,
    /// The newest number given out.
    pub head: u64,
    /// Its bounds.
    pub retention: Retention,
    /// The terminal's number, if it has ended.
    pub closed: Option<u64>,
    /// Its kept events, ascending.
    pub events: Vec<Event>,
    /// Its idempotency keys.
    pub keys: Vec<(String, KeyUse)>,
}

impl Session {
    /// An empty session.
    pub fn new(id: String, epoch: Epoch, retention: Retention, bugs: BugSet) -> Session {
        Session {
            id,
            epoch,
            retention,
            bugs,
            events: Arc::default(),
            removed: BTreeSet::new(),
            bytes: 0,
            head: 0,
            minted: 0,
            label_lag: 0,
            closed: None,
            closing: None,
            deleted: false,
            keys: BTreeMap::new(),
            subscriptions: Readers::default(),
            next_subscription: 1,
            kept: Vec::new(),
            replays: BTreeMap::new(),
            changes: 0,
        }
    }

    /// A session as it was stored, without what has expired since.
    pub fn restore(stored: Stored, now: Millis, bugs: BugSet) -> Session {
        let mut session = Session::new(stored.id, Epoch(stored.epoch), stored.retention, bugs);
        session.bytes = stored.events.iter().map(|e| e.data.len() as u64).sum();
        session.events = Arc::new(stored.events.into_iter().map(Arc::new).collect());
        session.prune_on_read(now);
        let newest = session.events.back().map_or(0, |e| e.seq);
        session.head = if bugs.has(Bug::MintedTwice) { newest } else { stored.head.max(newest) };
        session.minted = session.head;
        if bugs.has(Bug::IdsRestart) {
            session.label_lag = session.head;
        }
        session.closed = stored.closed;
        session.closing = stored.closed;
        if !bugs.has(Bug::KeysInMemory) {
            session.keys = stored.keys.into_iter().collect();
        }
        session
    }

    /// The cursor of the newest event.
    pub fn head(&self) -> Cursor {
        self.cursor(self.head)
    }

    /// True when its terminal is visible.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Marks it as removed: its readers end.
    pub fn delete(&mut self) {
        self.deleted = true;
        self.changes += 1;
    }

    /// Keeps a live-only event, as only a bug does.
    pub fn keep(&mut self, event_type: &str, data: &str) {
        self.kept.push((event_type.to_owned(), data.to_owned()));
    }

    /// The live-only events that a bug has kept.
    pub fn kept(&self) -> &[(String, String)] {
        &self.kept
    }

    /// How often anything changed that a reader could be waiting for.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn cursor(&self, label: u64) -> Cursor {
        Cursor { epoch: self.epoch, seq: label }
    }

    /// True when no event is kept.
    pub fn is_empty(&self) -> bool {
        self.events.len() == self.removed.len()
    }

    /// Takes events out of what is replayed, wherever they stand; the numbers of the others stay. Readers that are live
    /// still get those that they have not come to. Stores are not told: this is for logs that end with their process.
    pub fn remove(&mut self, gone: impl Fn(&Event) -> bool) {
        for event in &*self.events {
            if !self.removed.contains(&event.seq) && gone(event) {
                self.removed.insert(event.seq);
                self.bytes -= event.data.len() as u64;
            }
        }
        let surplus = self.removed.len().saturating_sub(MOST_REMOVED);
        if let Some(first_left) = self.removed.iter().nth(surplus).copied().filter(|_| surplus > 0) {
            let left = self.removed.split_off(&first_left);
            let dropped = std::mem::replace(&mut self.removed, left);
            Arc::make_mut(&mut self.events).retain(|event| !dropped.contains(&event.seq));
        }
        self.changes += 1;
    }

    /// Removes what retention no longer keeps. Applied on append and on read (PAW-12).
    pub fn prune(&mut self, now: Millis) {
        if self.retention == Retention::default() {
            return;
        }
        let records = self.retention.records.map(|n| {
            if self.bugs.has(Bug::KeepsDouble) {
                n * 2
            } else if self.bugs.has(Bug::KeepsFewer) {
                (n / 2).max(1)
            } else {
                n
            }
        });
        while let Some(front) = self.events.front() {
            let too_many = records.is_some_and(|most| (self.events.len() - self.removed.len()) as u64 > most);
            // The newest event is kept even when it alone is larger than the bound.
            let too_large = self.retention.bytes.is_some_and(|most| self.bytes > most && self.events.len() > 1);
            let too_old = self.retention.age_ms.is_some_and(|age| front.at.0.saturating_add(age) < now.0) && !front.terminal;
            if !(too_many || too_large || too_old) {
                return;
            }
            if !self.removed.remove(&front.seq) {
                self.bytes -= front.data.len() as u64;
            }
            Arc::make_mut(&mut self.events).pop_front();
        }
    }

    /// The number of the oldest kept event; one above the head when nothing is kept.
    pub fn oldest(&self) -> u64 {
        if self.removed.is_empty() {
            return self.events.front().map_or(self.head + 1, |e| e.seq);
        }
        self.kept_from(0).next().map_or(self.head + 1, |e| e.seq)
    }

    /// The kept events from a number on.
    fn kept_from(&self, seq: u64) -> impl Iterator<Item = &Arc<Event>> {
        let first = self.events.partition_point(|event| event.seq < seq);
        self.events.range(first..).filter(|event| !self.removed.contains(&event.seq))
    }

    /// How many readers are registered.
    pub fn readers(&self) -> usize {
        self.subscriptions.len()
    }

    fn event(&self, seq: u64) -> Option<&Arc<Event>> {
        // Where nothing was removed for good the numbers are dense, and the place is known.
        let first = self.events.front()?.seq;
        let dense = usize::try_from(seq.checked_sub(first)?).ok().and_then(|at| self.events.get(at));
        if let Some(event) = dense.filter(|event| event.seq == seq) {
            return Some(event);
        }
        self.events.binary_search_by_key(&seq, |event| event.seq).ok().map(|at| &self.events[at])
    }
}

#[cfg(test)]
mod tests;
