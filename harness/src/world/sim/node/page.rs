//! Finite reads: history pages and snapshots.

use std::sync::Arc;

use smol_str::SmolStr;
use streamspec_reference_server::bugs::Bug;
use streamspec_reference_server::session::{Cursor, Epoch, Event, Frame, Millis, Refused, Snapshot, Start};

use super::super::rules::Opened;
use super::{Answer, Effect, Node};
use crate::history::{Item, Surface};
use crate::world::{PageAnswer, PageRead};

impl Node {
    pub(super) fn read(&mut self, now: Millis, ex: u32, id: &str, read: &PageRead) {
        let page = |answer| Effect::Answer(ex, Answer::Page(Box::new(answer)));
        let Some(slot) = self.find(id) else {
            return self.effects.push(page(refused_page(self.rules.unknown(), "there is no session of this name")));
        };
        if read.surface == Surface::Snapshot {
            let snapshot = self.slots[slot].session.snapshot(now);
            if self.bugs.has(Bug::SnapshotAhead) || self.bugs.has(Bug::SnapshotBehind) {
                self.torn.insert(ex, (slot, snapshot));
                return self.effects.push(Effect::Second(ex));
            }
            let answer = self.snapshot_page(snapshot);
            return self.effects.push(page(answer));
        }
        let limit = read.limit.map_or(100, i64::from);
        let limit = if self.bugs.has(Bug::LimitIgnored) { self.rules.most_limit } else { limit.clamp(1, self.rules.most_limit) };
        let session = &mut self.slots[slot].session;
        let text = read.cursor.as_deref().map(|text| self.rules.read(text));
        let start = match session.resolve(text.as_deref(), |_| false) {
            Ok(start) => start,
            // The end of a closed session's history is an empty page, not a refusal.
            Err(Refused::Ended) => Start::Live,
            Err(refused) => {
                let head = session.head().seq;
                match self.rules.refused(refused, false, head, 0) {
                    Opened::Refused(status, body) => return self.effects.push(page(refused_page(status, &body))),
                    Opened::Oldest | Opened::Gap => Start::Oldest,
                    Opened::Live | Opened::After(_) => Start::Live,
                }
            }
        };
        let found = session.page(start, usize::try_from(limit).unwrap_or(1), now);
        let epoch = session.epoch;
        let seen = found.events.into_iter().map(|event| self.item(event, epoch)).collect();
        let answer = PageAnswer {
            status: 200,
            accepted: true,
            content_type: Some(SmolStr::new_static("application/json")),
            seen,
            cursor: Some(self.rules.show(found.next)),
            more: Some(found.more),
            body: String::new(),
            text: String::new(),
        };
        self.effects.push(page(answer));
    }

    /// An event on a page.
    fn item(&self, event: Event, epoch: Epoch) -> Item {
        let cursor = Some(Cursor { epoch, seq: event.label });
        Item::clone(&self.rules.see(&Frame::Event { event: Arc::new(event), cursor, replayed: true }))
    }

    /// The second half of a snapshot that a bug reads in two.
    pub(in crate::world::sim) fn second(&mut self, now: Millis, ex: u32) {
        let Some((slot, mut snapshot)) = self.torn.remove(&ex) else { return };
        if self.bugs.has(Bug::SnapshotAhead) {
            snapshot.cursor = self.slots[slot].session.head();
        }
        if self.bugs.has(Bug::SnapshotBehind) {
            snapshot.events = self.slots[slot].session.snapshot(now).events;
        }
        let answer = self.snapshot_page(snapshot);
        self.effects.push(Effect::Answer(ex, Answer::Page(Box::new(answer))));
    }

    fn snapshot_page(&mut self, snapshot: Snapshot) -> PageAnswer {
        let epoch = snapshot.cursor.epoch;
        PageAnswer {
            status: 200,
            accepted: true,
            content_type: Some(SmolStr::new_static("application/json")),
            seen: snapshot.events.into_iter().map(|event| self.item(event, epoch)).collect(),
            cursor: Some(self.rules.show(snapshot.cursor)),
            more: None,
            body: String::new(),
            text: String::new(),
        }
    }
}

pub(super) fn refused_page(status: u16, why: &str) -> PageAnswer {
    PageAnswer {
        status,
        accepted: false,
        content_type: Some(SmolStr::new_static("application/json")),
        seen: Vec::new(),
        cursor: None,
        more: None,
        body: why.to_owned(),
        text: String::new(),
    }
}
