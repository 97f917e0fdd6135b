//! Canonical transcripts: what stood on the wire in a run, without what differs between two runs of a right server.
//!
//! A transcript is a function of a history with messages ([`crate::history::Wire`]) and a profile. Sessions come in their
//! order, each with its requests and then its readers, connection by connection, because what went on side by side has no
//! order of its own. Names, cursors, times and addresses stand as `[session-1]`, `[cursor+3]`, `[time]`, `[server]`.

mod cursors;
mod json;
mod layout;
mod redact;
mod snapshot;

pub use layout::transcript;
pub use redact::Redactor;
pub use snapshot::{Snapshot, SnapshotError, difference};
