//! The simulated disk: what was committed is there after a kill, what was being written is there in part or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use streamspec_reference_server::session::Stored;
use streamspec_reference_server::store::{Change, Store, StoreError};

/// A disk of sessions by name; copies are one until one of them is written to.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<BTreeMap<String, Stored>>);

impl Disk {
    /// Removes everything.
    pub(super) fn wipe(&mut self) {
        self.0 = Arc::default();
    }

    /// Removes all idempotency keys.
    pub(super) fn forget_keys(&mut self) {
        Arc::make_mut(&mut self.0).values_mut().for_each(|stored| stored.keys.clear());
    }

    /// Writes a change.
    pub(super) fn take(&mut self, change: Change) {
        let all = Arc::make_mut(&mut self.0);
        match change {
            Change::Open { id, epoch, retention } => {
                let stored = Stored { id: id.as_ref().to_owned(), epoch, retention, ..Stored::default() };
                all.insert(id.as_ref().to_owned(), stored);
            }
            Change::Append { id, event, key } => {
                let Some(stored) = all.get_mut(id.as_ref()) else { return };
                stored.head = stored.head.max(event.seq);
                if event.terminal {
                    stored.closed = Some(event.seq);
                }
                stored.events.push(event);
                stored.keys.extend(key);
            }
            Change::Prune { id, oldest } => {
                if let Some(stored) = all.get_mut(id.as_ref()) {
                    let gone = stored.events.partition_point(|event| event.seq < oldest);
                    stored.events.drain(..gone);
                }
            }
            Change::Delete { id } => {
                all.remove(id.as_ref());
            }
            Change::Truncate { id } => {
                if let Some(stored) = all.get_mut(id.as_ref()) {
                    let head = stored.head;
                    stored.events.pop_if(|newest| newest.seq == head && !newest.terminal);
                }
            }
        }
    }
}

impl Store for Disk {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        Ok(self.0.values().cloned().collect())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        changes.iter().for_each(|change| self.take(change.clone()));
        Ok(())
    }
}
