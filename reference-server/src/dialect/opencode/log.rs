//! A session's log: the core session that holds it, and how its numbers look outside.
//!
//! Numbers are counted from 0 on the wire and from 1 in the core. The first event is `session.created`, private like every
//! type outside `session.next.`: it takes its number, and readers of the log never see it. A session made anew under a deleted
//! one's id goes on above that one's numbers, so that an old cursor is told apart from every cursor of the new log.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::Refusal;
use super::{Server, event};
use crate::bugs::Bug;
use crate::hub::{Answer, Cell};
use crate::session::{Cursor, Event, Refused, Retention, Start};

/// The core session in which the last numbers of deleted sessions are kept.
pub(super) const DELETED: &str = "deleted";

/// True for the types that readers of a log see.
pub(super) fn is_public(event: &Event) -> bool {
    event.event_type.starts_with("session.next.")
}

/// A log.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) cell: Arc<Cell>,
    pub(super) meta: Meta,
}

/// What does not change of a log.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    /// The session's id.
    pub(super) id: String,
    /// The folder that it works in.
    pub(super) directory: String,
    /// The session that has started it in its background.
    pub(super) parent: Option<String>,
    /// The number of its first event on the wire.
    pub(super) first: u64,
    /// The life of its numbering, which makes ids of events its own.
    life: u32,
}

impl Meta {
    /// That of a log which has its first event.
    pub(super) fn of(cell: &Cell) -> Option<Meta> {
        let session = cell.lock();
        let first = session.named(Cursor { epoch: session.epoch, seq: 1 }).filter(|first| &*first.event_type == "session.created")?;
        let data: Value = serde_json::from_str(&first.data).ok()?;
        let text = |name: &str| data["info"][name].as_str().map(str::to_owned);
        Some(Meta {
            id: session.id.clone(),
            directory: text("directory").unwrap_or_default(),
            parent: text("parentID"),
            first: data["first"].as_u64().unwrap_or(0),
            life: session.epoch.0,
        })
    }

    /// The number that the wire shows for a number of the core.
    pub(super) fn shown(&self, seq: u64) -> u64 {
        self.first + seq.saturating_sub(1)
    }

    /// An event as every surface has it, with its place in the log; `more` is what one surface adds.
    pub(super) fn envelope(&self, event: &Event, label: Option<u64>, more: &str) -> String {
        let Meta { id, life, .. } = self;
        let (event_type, version) = (&event.event_type, version(&event.event_type));
        let durable = label.map_or(String::new(), |label| {
            let seq = self.shown(label);
            format!(r#""durable":{{"aggregateID":"{id}","seq":{seq},"version":{version}}},"#)
        });
        let data = stamped(id, event.at.0, &event.data);
        format!(r#"{{"id":"evt_{:012x}{life:08x}{:06x}","type":"{event_type}",{durable}{more}"data":{data}}}"#, event.at.0, event.label)
    }
}

/// The schema's version of a type.
fn version(event_type: &str) -> u32 {
    if matches!(event_type, "session.next.step.ended" | "session.next.step.failed") { 2 } else { 1 }
}

/// Data as it is stored, with the time and the session that the wire shows in it.
pub(super) fn stamped(session: &str, at: u64, data: &str) -> String {
    let rest = data.strip_prefix('{').unwrap_or(data);
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{{"timestamp":{at},"sessionID":"{session}"{comma}{rest}"#)
}

/// A presented cursor that is refused.
pub(super) fn refused(refused: Refused) -> Refusal {
    match refused {
        Refused::Ahead => Refusal::invalid("Query", "Expected a number of an event that there is\n  at [\"after\"]"),
        Refused::Epoch => Refusal::invalid("Query", "Expected a number of this session, not of a deleted one\n  at [\"after\"]"),
        Refused::Malformed | Refused::Ended | Refused::Deleted => {
            Refusal::invalid("Query", "Expected a whole number from 0\n  at [\"after\"]")
        }
    }
}

impl Log {
    /// The log of a session.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(server: &Server, id: &str) -> Result<Log, Refusal> {
        let found = server.hub.find(id).and_then(|cell| Some(Log { meta: Meta::of(&cell)?, cell }));
        found.ok_or_else(|| Refusal::no_session(id))
    }

    /// Makes a log, unless it is there; its first event says where and for whom.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) async fn make(server: &Server, id: &str, info: &Value) -> Result<Log, Refusal> {
        let _one_at_a_time = server.making.lock().await;
        if let Ok(log) = Log::find(server, id) {
            return Ok(log);
        }
        match server.hub.open(id.to_owned(), Retention::default()).await {
            Ok(_) | Err(Answer::Exists) => {}
            Err(answer) => return Err(Refusal::of(answer, id)),
        }
        let before = server.deleted().get(id).copied().filter(|_| !server.hub.bugs.has(Bug::NoEpoch));
        let first = before.map_or(0, |last| last + 1);
        let created = event("session.created", &json!({ "info": info, "first": first }));
        server.hub.append(id, created).await.map_err(|answer| Refusal::of(answer, id))?;
        Log::find(server, id)
    }

    /// Removes the log; its numbers are not given out again.
    ///
    /// # Errors
    /// When there is none, or the disk refuses.
    pub(super) async fn delete(&self, server: &Server) -> Result<(), Refusal> {
        let id = &self.meta.id;
        let _one_at_a_time = server.making.lock().await;
        // One more than the newest: the deletion itself.
        let last = self.meta.shown(self.cell.lock().head().seq) + 1;
        let note = event("deleted", &json!({ "id": id, "last": last }));
        server.hub.append(DELETED, note).await.map_err(|answer| Refusal::of(answer, id))?;
        server.hub.delete(id).await.map_err(|answer| Refusal::of(answer, id))?;
        server.deleted().insert(id.clone(), last);
        server.feed.deleted(&self.meta, last);
        Ok(())
    }

    /// What a presented `after` means.
    ///
    /// # Errors
    /// When it is none of this log's cursors.
    pub(super) fn resolve(&self, after: Option<&str>) -> Result<Start, Refused> {
        let session = self.cell.lock();
        let Some(text) = after else { return session.resolve(None, |_| false) };
        let Some(number) = number(text) else {
            // No word of the core's own grammar has a meaning here.
            return session.resolve(Some(text).filter(|text| text.is_empty()).or(Some("no number")), |_| false);
        };
        let Some(seq) = (number + 1).checked_sub(self.meta.first).filter(|seq| *seq > 0) else { return Err(Refused::Epoch) };
        session.resolve(Some(&Cursor { epoch: session.epoch, seq }.to_string()), |_| false)
    }
}

/// A number as JavaScript counts exactly, without sign, blanks or another radix.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|n| *n < 1 << 53)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_numbers_are_cursors() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("9007199254740991"), Some((1 << 53) - 1));
        for bad in ["", "-1", "+1", "1.5", "1e3", " 0", "abc", "9007199254740992", "99999999999999999"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn data_gets_its_time_and_session() {
        assert_eq!(stamped("ses_a", 7, "{}"), r#"{"timestamp":7,"sessionID":"ses_a"}"#);
        assert_eq!(stamped("ses_a", 7, r#"{"a":1}"#), r#"{"timestamp":7,"sessionID":"ses_a","a":1}"#);
    }
}
