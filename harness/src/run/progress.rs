//! How far one connection has come: what the runner waits on and resumes from.

use std::sync::{Arc, Mutex, MutexGuard};

use smol_str::SmolStr;

use crate::history::{Ascending, CursorClass, Ended, Kind, Marker};

/// A shared view of one connection; the reader's task writes it, the runner reads it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<State>>);

/// The state of one connection.
#[derive(Debug, Default)]
pub struct State {
    /// Status and acceptance of the answer.
    pub answer: Option<(u16, bool)>,
    /// Deliveries of events and terminals.
    pub events: u32,
    /// Markers delivered.
    pub markers: Ascending<Marker, ()>,
    /// The newest cursor that any frame carried, as an ordinary client would send it, and what kind of cursor it is.
    pub cursor: Option<(SmolStr, CursorClass)>,
    /// Every cursor seen, once each, in order.
    pub cursors: Vec<SeenCursor>,
    /// Boundaries seen.
    pub boundaries: u32,
    /// Gap signals seen.
    pub gaps: u32,
    /// Terminals seen.
    pub terminals: u32,
    /// Requests for payment seen.
    pub dues: u32,
    /// Payments of the harness for it that are under way.
    pub paying: u32,
    /// How often such a payment was begun or ended.
    pub payments: u32,
    /// Heartbeats and comments since the last event.
    pub heartbeats: u32,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
    /// Faults that were applied to it.
    pub faults: u32,
    /// True when a fault has cut it.
    pub cut: bool,
    /// True while a fault keeps its bytes from arriving (stalled, held, silent).
    pub held: bool,
}

/// A cursor on a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCursor {
    /// The cursor.
    pub value: SmolStr,
    /// The event that it names, if the frame had one.
    pub marker: Option<Marker>,
    /// What kind of frame it was on.
    pub kind: Kind,
}

impl Progress {
    /// The state, locked; hold it across no await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code panics while it holds a connection's progress")
    }
}
