//! Reading: what a presented cursor means, finite pages, and the snapshot.

use std::sync::Arc;

use super::{Cursor, Epoch, Event, Millis, Session};
use crate::bugs::Bug;

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event kept.
    Oldest,
    /// Behind the newest event.
    Live,
    /// Behind the event of this cursor.
    After(Cursor),
}

/// Why a reader is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session was removed.
    Deleted,
    /// The text is no cursor.
    Malformed,
    /// The cursor is above the head.
    Ahead,
    /// The cursor is of another epoch.
    Epoch,
    /// The session has ended and the cursor is its terminal's: there will never be more.
    Ended,
}

/// A finite page of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events, ascending.
    pub events: Vec<Event>,
    /// The cursor to continue with.
    pub next: Cursor,
    /// Whether more follows.
    pub more: bool,
    /// Whether events between the cursor and the first one are no longer kept.
    pub gap: bool,
}

/// The state of a session, and where the stream goes on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Every kept event, ascending.
    pub events: Vec<Event>,
    /// The cursor of the newest event.
    pub cursor: Cursor,
    /// Whether the session has ended.
    pub closed: bool,
}

fn copy(event: &Arc<Event>) -> Event {
    Event::clone(event)
}

impl Session {
    /// What `text`, presented as a cursor, means. `foreign` says whether an epoch is another session's; only a bug asks.
    ///
    /// # Errors
    /// When the contract refuses it.
    pub fn resolve(&self, text: Option<&str>, foreign: impl FnOnce(Epoch) -> bool) -> Result<Start, Refused> {
        if self.deleted && !self.bugs.has(Bug::DeletedStillStreams) {
            return Err(Refused::Deleted);
        }
        let Some(text) = text.filter(|_| !self.bugs.has(Bug::CursorIgnored)) else { return Ok(Start::Oldest) };
        if text.is_empty() && !self.bugs.has(Bug::EmptyIsRefused) {
            return Ok(Start::Oldest);
        }
        if text == "latest" {
            // Nothing new will ever come: to be told so beats a stream that is over at once.
            return if self.closed.is_some() && !self.bugs.has(Bug::EmptyAfterEnd) { Err(Refused::Ended) } else { Ok(Start::Live) };
        }
        let lenient = || Cursor::parse_leniently(text, self.epoch).filter(|_| self.bugs.has(Bug::LenientCursor));
        let Some(mut cursor) = Cursor::parse(text).or_else(lenient) else {
            return if self.bugs.has(Bug::MalformedIsZero) { Ok(Start::Oldest) } else { Err(Refused::Malformed) };
        };
        if cursor.epoch != self.epoch {
            if !(self.bugs.has(Bug::NoEpoch) || self.bugs.has(Bug::ForeignCursor) && foreign(cursor.epoch)) {
                return Err(Refused::Epoch);
            }
            cursor.epoch = self.epoch;
        }
        if cursor.seq > self.head
            && !self.bugs.has(Bug::AheadSwallows)
            && !self.bugs.has(Bug::NoEpoch)
            && !self.bugs.has(Bug::ForeignCursor)
        {
            return Err(Refused::Ahead);
        }
        if self.closed == Some(cursor.seq) && !self.bugs.has(Bug::EmptyAfterEnd) {
            return Err(Refused::Ended);
        }
        Ok(Start::After(cursor))
    }

    /// The next page behind `start`, of at most `limit` events.
    pub fn page(&mut self, start: Start, limit: usize, now: Millis) -> Page {
        self.page_of(start, limit, now, |_| true)
    }

    /// The same for a log of which readers see a part: the events that are not `shown` take numbers and no place on pages.
    pub fn page_of(&mut self, start: Start, limit: usize, now: Millis, shown: impl Fn(&Event) -> bool) -> Page {
        self.prune_on_read(now);
        let after = match start {
            Start::Oldest => 0,
            Start::Live => self.head,
            Start::After(cursor) => cursor.seq,
        };
        let oldest = self.oldest();
        let from = after.max(oldest - 1);
        let behind = self.kept_from(from.saturating_add(1));
        let events: Vec<Event> = if self.bugs.has(Bug::LimitBeforeFilter) {
            behind.take(limit).filter(|event| shown(event)).map(copy).collect()
        } else {
            behind.filter(|event| shown(event)).take(limit).map(copy).collect()
        };
        let last = events.last().map_or(from, |e| e.seq);
        let rest = self.kept_from(last.saturating_add(1)).any(|event| shown(event));
        // A page behind which nothing is shown has reached the end, also when what stands there was removed.
        let last = if rest { last } else { self.head.max(from) };
        let more = rest || self.bugs.has(Bug::FullPageHasMore) && events.len() == limit;
        let skip = u64::from(self.bugs.has(Bug::PageSkipsOne) && last < self.head);
        Page { more, next: self.cursor(last + skip), gap: after + 1 < oldest, events }
    }

    /// Everything kept, and the cursor at which that is the whole state.
    pub fn snapshot(&mut self, now: Millis) -> Snapshot {
        self.prune_on_read(now);
        Snapshot { events: self.kept_from(0).map(copy).collect(), cursor: self.head(), closed: self.is_closed() }
    }

    /// PAW-12: what has expired is not served, however long nothing was appended.
    pub(crate) fn prune_on_read(&mut self, now: Millis) {
        if !self.bugs.has(Bug::AgeOnAppendOnly) {
            self.prune(now);
        }
    }

    /// The event that a cursor names, for the bug that tells it to strangers.
    pub fn named(&self, cursor: Cursor) -> Option<&Event> {
        self.event(cursor.seq).filter(|_| cursor.epoch == self.epoch).map(Arc::as_ref)
    }
}
