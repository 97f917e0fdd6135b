//! Stores: where sessions are durable.
//!
//! A store is written by one thread, in groups: every change of a group is on disk when [`Store::commit`] returns, or none
//! of them is. It is read once, at the start.

mod memory;
mod sqlite;

pub use memory::Memory;
pub use sqlite::Sqlite;

use std::sync::Arc;

use crate::session::{Event, KeyUse, Retention, Stored};

/// A change to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new session.
    Open {
        /// Its name.
        id: Arc<str>,
        /// Its epoch.
        epoch: u32,
        /// Its bounds.
        retention: Retention,
    },
    /// A new event, with what its idempotency key is now used for.
    Append {
        /// The session's name.
        id: Arc<str>,
        /// The event.
        event: Event,
        /// The key and its use.
        key: Option<(String, KeyUse)>,
    },
    /// Events below this number are no longer kept.
    Prune {
        /// The session's name.
        id: Arc<str>,
        /// The oldest number that is kept.
        oldest: u64,
    },
    /// The session is removed with everything it had.
    Delete {
        /// Its name.
        id: Arc<str>,
    },
    /// The newest event of the session is taken back; only a bug does this.
    Truncate {
        /// The session's name.
        id: Arc<str>,
    },
}

/// Why a store failed, in words for its operator.
#[derive(Debug)]
pub struct StoreError(pub String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// Something that keeps sessions.
pub trait Store: Send {
    /// Every session as it was left.
    ///
    /// # Errors
    /// When what is stored cannot be read.
    fn load(&mut self) -> Result<Vec<Stored>, StoreError>;

    /// Makes a group of changes durable, all or none.
    ///
    /// # Errors
    /// When it could not; nothing of the group is stored then.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}
