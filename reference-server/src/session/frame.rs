//! What is written to a reader, and how much of it at a time.

use std::sync::Arc;

use super::{Cursor, Event};

/// Something to write to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A durable event, with the cursor that it commits.
    Event {
        /// The event; all readers share it.
        event: Arc<Event>,
        /// Its cursor, unless a bug leaves it out.
        cursor: Option<Cursor>,
        /// True when it is replayed.
        replayed: bool,
    },
    /// A live-only event.
    Ephemeral {
        /// It; all readers share it.
        note: Arc<Note>,
        /// Only a bug gives it one.
        cursor: Option<Cursor>,
    },
    /// Everything up to the fence was sent; what follows is live.
    Boundary {
        /// The fence.
        fence: Cursor,
    },
    /// Events behind the requested cursor are no longer kept.
    Gap {
        /// The cursor that was presented or reached, if there is one.
        requested: Option<Cursor>,
        /// The oldest event kept, with which the stream goes on.
        oldest: Cursor,
    },
    /// A frame with an id that nobody stored; only a bug sends it.
    Synthetic {
        /// The cursor from which the id is made.
        near: Cursor,
    },
    /// Nothing more will come: end the stream.
    End,
}

/// A live-only event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its type.
    pub event_type: String,
    /// Its payload, as JSON text of one line.
    pub data: String,
}

impl Note {
    pub(super) fn new(event_type: &str, data: &str) -> Arc<Note> {
        Arc::new(Note { event_type: event_type.to_owned(), data: data.to_owned() })
    }
}

/// How much is handed to a reader at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// About how many frames.
    pub frames: usize,
    /// How many bytes of payload; a single event may be larger.
    pub bytes: usize,
}

impl Room {
    /// The bytes of payload that are usually handed over at a time.
    pub const BYTES: usize = 256 << 10;

    /// Room for about that many frames and the usual bytes.
    pub fn of(frames: usize) -> Room {
        Room { frames, bytes: Room::BYTES }
    }
}
