//! Appending: taking a number, and making the event visible once it is durable.

use std::sync::Arc;

use super::{Cursor, Event, KeyUse, Millis, Session};
use crate::bugs::{Bug, BugSet};

/// An event to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Its type.
    pub event_type: Arc<str>,
    /// Its payload, as JSON text of one line.
    pub data: Arc<str>,
    /// The idempotency key, if there is one.
    pub key: Option<String>,
    /// True for the event that ends the session.
    pub terminal: bool,
}

/// What `prepare` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// A new event: make it durable, then publish it.
    New(Event),
    /// The same publish again: this is its event's cursor.
    Again(Cursor),
}

/// Why nothing is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The session has ended.
    Closed,
    /// The session was removed.
    Deleted,
    /// The key was used with other content.
    Conflict,
}

impl Session {
    /// Takes a number for an event. Events become visible in the order of their numbers, by `publish`; a number that was
    /// taken in vain is given back by `abandon`.
    ///
    /// # Errors
    /// When the session takes no such event; nothing has changed then.
    pub fn prepare(&mut self, append: &Append, now: Millis, batch: u64) -> Result<Prepared, Refusal> {
        if self.deleted {
            return Err(Refusal::Deleted);
        }
        if let Some(key) = append.key.as_ref().filter(|_| !self.bugs.has(Bug::KeyIgnored)) {
            let digest = digest(append);
            if let Some(used) = self.keys.get(key) {
                let seq = if self.bugs.has(Bug::RetryNewNumber) { self.head + 1 } else { used.seq };
                return if used.digest == digest || self.bugs.has(Bug::ConflictAccepted) {
                    Ok(Prepared::Again(self.cursor(seq)))
                } else {
                    Err(Refusal::Conflict)
                };
            }
            if self.closing.is_some() {
                return Err(Refusal::Closed);
            }
            self.keys.insert(key.clone(), KeyUse { digest, seq: self.minted + 1 });
        }
        match self.closing {
            Some(seq) if append.terminal => return Ok(Prepared::Again(self.cursor(seq))),
            Some(_) if !self.bugs.has(Bug::PublishAfterClose) => return Err(Refusal::Closed),
            Some(_) | None => {}
        }
        self.minted += 1;
        if append.terminal {
            self.closing = Some(self.minted);
        }
        let mut data = Arc::clone(&append.data);
        if self.bugs.has(Bug::PayloadCut) && data.len() > 64 << 10 {
            data = format!("{}\"", &data[..data.floor_char_boundary(64 << 10)]).into();
        }
        let seq = self.minted;
        Ok(Prepared::New(Event {
            seq,
            label: seq - self.label_lag,
            at: now,
            event_type: Arc::clone(&append.event_type),
            data,
            terminal: append.terminal,
            batch,
        }))
    }

    /// The use that a prepared event makes of its key, for the store.
    pub fn key_use(&self, key: &str) -> Option<&KeyUse> {
        self.keys.get(key)
    }

    /// Gives back the number of a prepared event that could not be made durable, and of all after it.
    pub fn abandon(&mut self, event: &Event) {
        self.minted = self.minted.min(event.seq - 1);
        self.closing = self.closing.filter(|terminal| *terminal < event.seq);
        self.keys.retain(|_, used| used.seq < event.seq);
    }

    /// Makes a durable event visible.
    pub fn publish(&mut self, event: Event, now: Millis) -> Cursor {
        let cursor = self.cursor(event.label);
        self.head = event.seq;
        self.minted = self.minted.max(event.seq);
        if event.terminal {
            self.closed = Some(event.seq);
        }
        self.bytes += event.data.len() as u64;
        Arc::make_mut(&mut self.events).push_back(Arc::new(event));
        self.prune(now);
        self.changes += 1;
        cursor
    }
}

/// What the bugs of numbering do to two concurrent events of one session: the place where taking a number and appending
/// can come apart. Called for disjoint pairs, before either is stored.
pub fn race(first: &mut Event, second: &mut Event, bugs: BugSet) {
    if first.terminal || second.terminal {
        return;
    }
    if bugs.has(Bug::CounterRace) {
        second.label = first.label;
    }
    if bugs.has(Bug::NumberBeforeLock) {
        std::mem::swap(&mut first.label, &mut second.label);
    }
}

/// FNV-1a over type and payload.
fn digest(append: &Append) -> u64 {
    let bytes = append.event_type.bytes().chain([0]).chain(append.data.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
