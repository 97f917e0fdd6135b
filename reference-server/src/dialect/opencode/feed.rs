//! The feed: what happens in all sessions, for the live stream of the process.
//!
//! It is a core session that nobody stores. Events come to it from the hub's writer, behind their commit and in its order;
//! what is live-only comes from whoever says it. A reader that is overtaken by more than is kept ends.

use std::sync::Arc;

use serde_json::{Value, json};

use super::event_id;
use super::log::Meta;
use crate::bugs::BugSet;
use crate::hub::{Cell, now};
use crate::session::{Append, Epoch, Event, Prepared, Retention, Session};

/// How many events a reader of the feed may be behind.
const MOST_BEHIND: u64 = 4096;
/// The same in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// The feed.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) cell: Arc<Cell>,
}

impl Feed {
    pub(super) fn new(bugs: BugSet) -> Feed {
        let retention = Retention { records: Some(MOST_BEHIND), bytes: Some(MOST_BYTES), age_ms: None };
        Feed { cell: Arc::new(Cell::new(Session::new("feed".to_owned(), Epoch(0), retention, bugs))) }
    }

    /// Tells an event of this type, whole as the wire has it.
    fn tell(&self, event_type: &str, whole: String) {
        {
            let mut session = self.cell.lock();
            let append = Append { event_type: event_type.into(), data: whole.into(), key: None, terminal: false };
            // Nothing of the feed was ever concurrent: it has one order, the one in which it is told.
            let batch = session.changes();
            if let Ok(Prepared::New(event)) = session.prepare(&append, now(), batch) {
                session.publish(event, now());
            }
        }
        self.cell.ring();
    }

    /// Tells an event of a log.
    pub(super) fn committed(&self, cell: &Cell, event: &Event) {
        if let Some(meta) = Meta::of(cell) {
            self.tell(&event.event_type, meta.envelope(event, Some(event.label), &location(&meta.directory)));
        }
    }

    /// Tells that a session was deleted, which is the last number of its log.
    pub(super) fn deleted(&self, meta: &Meta, seq: u64) {
        let durable = json!({ "aggregateID": meta.id, "seq": seq, "version": 1 });
        let data = json!({ "timestamp": now().0, "sessionID": meta.id, "info": { "id": meta.id } });
        let whole =
            format!(r#"{{"id":"{}","type":"session.deleted","durable":{durable},{}"data":{data}}}"#, event_id(), location(&meta.directory));
        self.tell("session.deleted", whole);
    }

    /// Tells something that is not kept; `id` is its own.
    pub(super) fn say(&self, directory: &str, id: &str, event_type: &str, data: &Value) {
        self.tell(event_type, format!(r#"{{"id":"{id}","type":"{event_type}",{}"data":{data}}}"#, location(directory)));
    }
}

fn location(directory: &str) -> String {
    format!(r#""location":{},"#, json!({ "directory": directory }))
}
