//! Documents that hold several events: history pages, snapshots and the answers of long-polls.

use std::fmt;

use serde_json::Value;

use crate::contract::{HistoryRead, SnapshotRead};
use crate::history::Kind;

use super::answer::{Headers, value};
use super::lens::{Lens, Seen};
use super::marker;

/// A page of history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Its events.
    pub seen: Vec<Seen>,
    /// The cursor of the next page: where the binding says it is, else that of the last event.
    pub next: Option<String>,
    /// Whether more follows, where the answer says so.
    pub more: Option<bool>,
}

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Its items.
    pub seen: Vec<Seen>,
    /// The cursor at which it is true.
    pub cursor: Option<String>,
}

/// The answer of one long-poll.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poll {
    /// Its events. Where the last of them carries another cursor than `next` or none, a commit of `next` follows them.
    pub seen: Vec<Seen>,
    /// The cursor to ask with next; also an answer without events may move it.
    pub next: Option<String>,
}

/// An answer that the binding cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

fn document(body: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice(body).map_err(|error| {
        let head = String::from_utf8_lossy(&body[..body.len().min(80)]);
        Unreadable(format!("the answer is no JSON ({error}): {:?}", head.as_ref()))
    })
}

fn list<'a>(document: &'a Value, pointer: &str) -> Result<&'a Vec<Value>, Unreadable> {
    let place = if pointer.is_empty() { "the answer itself" } else { pointer };
    let found =
        document.pointer(pointer).ok_or_else(|| Unreadable(format!("the answer has nothing at {place}, where its events should be")))?;
    found.as_array().ok_or_else(|| Unreadable(format!("{place} is no list of events")))
}

impl Lens {
    /// Reads a page of history.
    ///
    /// # Errors
    /// When the answer is no JSON, or has no list where its events should be.
    pub fn page(&self, of: &HistoryRead, headers: Headers<'_>, body: &[u8]) -> Result<Page, Unreadable> {
        let document = document(body)?;
        let seen: Vec<Seen> = list(&document, &of.events)?.iter().filter_map(|item| self.item(item)).collect();
        let next = match &of.next {
            Some(source) => value(source, headers, Some(&document)),
            None => seen.iter().rev().find_map(|seen| seen.cursor.clone()),
        };
        let more = of.more.as_ref().and_then(|pointer| document.pointer(pointer)).and_then(Value::as_bool);
        Ok(Page { seen, next, more })
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// When the answer is no JSON, or has no list where its items should be.
    pub fn snapshot(&self, of: &SnapshotRead, headers: Headers<'_>, body: &[u8]) -> Result<Snapshot, Unreadable> {
        let document = document(body)?;
        let seen = match &of.items {
            Some(pointer) => list(&document, pointer)?.iter().filter_map(|item| self.item(item)).collect(),
            None => marker::all_in(&document).into_iter().map(|marker| Seen { marker: Some(marker), ..Seen::default() }).collect(),
        };
        Ok(Snapshot { seen, cursor: value(&of.cursor, headers, Some(&document)) })
    }

    /// Reads the answer of one long-poll; an empty body is one without events.
    ///
    /// # Errors
    /// When the body is neither empty nor JSON.
    pub fn poll(&self, headers: Headers<'_>, body: &[u8]) -> Result<Poll, Unreadable> {
        let document = if body.iter().all(u8::is_ascii_whitespace) { None } else { Some(document(body)?) };
        let mut seen = document.as_ref().map(|document| self.document(document)).unwrap_or_default();
        let next = self.binding.subscribe.next.as_ref().and_then(|source| value(source, headers, document.as_ref()));
        if next.is_some() && seen.last().is_some_and(|last| last.cursor != next) {
            seen.push(Seen { kind: Kind::Commit, cursor: next.clone(), ..Seen::default() });
        }
        Ok(Poll { seen, next })
    }
}
