//! What is known at a point of a scenario, from the steps alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Retain;

/// Everybody, as far as the steps up to here have brought them.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) readers: BTreeMap<String, Reader>,
    /// Writers that were not joined yet, with their session and number of events.
    pub(super) writers: BTreeMap<String, (String, u32)>,
    /// Readers that presented a cursor that is none of their session's: what they would resume from is not their own.
    pub(super) retired: BTreeSet<String>,
    pub(super) paused: bool,
}

/// A session.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// Durable events that were surely acknowledged.
    pub(super) events: u32,
    /// How many of the first durable events are surely acknowledged, without one of unknown outcome among them.
    pub(super) certain: u32,
    /// Some publish may have failed or lost its answer.
    pub(super) unsure: bool,
    pub(super) closed: bool,
    pub(super) deleted: bool,
    pub(super) retain: Option<Retain>,
    /// A snapshot of it was read.
    pub(super) snapshot: bool,
    /// Its newest event is kept, as far as its age goes.
    pub(super) newest_kept: bool,
    /// Its newest event is live-only.
    pub(super) newest_ephemeral: bool,
    /// Events that were sent with a key, for retries: how many, and how many of them lost their answer.
    pub(super) keyed: Option<(u32, u32)>,
    /// It has the server-side name of an earlier session that had events.
    pub(super) reborn: bool,
    /// It was lost with the server's data.
    pub(super) wiped: bool,
    /// Another session has its server-side name.
    pub(super) replaced: bool,
}

/// A reader and its newest connection.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) session: String,
    /// The step that opened the connection, by its place among the admitted ones.
    pub(super) opened_at: usize,
    /// The connection has not been closed, cut or broken.
    pub(super) open: bool,
    /// Up to where the reader may have read when the connection opened.
    pub(super) start: u32,
    /// Up to where the reader may have read by now, if the connection is not open any more.
    pub(super) seen: u32,
    /// A fault at a place of the connection's bytes is armed or has struck.
    pub(super) placed: bool,
    /// Its bytes do not arrive.
    pub(super) held: Option<Held>,
    /// The bytes of an older connection that is still open do not arrive.
    pub(super) older_held: Option<Held>,
    /// The connection was opened while an older one was held: a fault that holds this one as well is armed from its
    /// beginning, and a release would not know which of the two is meant.
    pub(super) overlaps_held: bool,
    /// Its bytes are shaped.
    pub(super) shaped: bool,
    /// The terminal is on its way to it.
    pub(super) ending: bool,
}

/// Why bytes do not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The reader does not read.
    Stalled,
    /// The network keeps them.
    Held,
}

impl Session {
    /// It takes events.
    pub(super) fn takes(&self) -> bool {
        !self.closed && !self.deleted
    }

    /// Takes note of durable events that are surely acknowledged.
    pub(super) fn publish(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        self.events += count;
        if !self.unsure {
            self.certain = self.events;
        }
        self.newest_kept = true;
        self.newest_ephemeral = false;
    }
}

impl Reader {
    /// How many events the newest connection has or will get, of `session` as it is now.
    pub(super) fn due(&self, session: &Session) -> u32 {
        session.events.saturating_sub(self.start)
    }

    /// The connection has ended; the reader may have read up to `seen`.
    pub(super) fn close(&mut self, seen: u32) {
        if self.open {
            self.open = false;
            self.seen = seen.max(self.start);
        }
        self.held = None;
        self.older_held = None;
    }
}

impl Stage {
    /// Every connection to `session` (or to any) has ended.
    pub(super) fn break_connections(&mut self, session: Option<&str>) {
        for reader in self.readers.values_mut().filter(|r| session.is_none_or(|s| r.session == s)) {
            let seen = self.sessions.get(&reader.session).map_or(0, |s| s.events);
            reader.close(seen);
        }
    }

    /// True when a background writer of the session runs.
    pub(super) fn written_to(&self, session: &str) -> bool {
        self.writers.values().any(|(of, _)| of == session)
    }
}
