//! How far one connection has come: what the runner waits on and resumes from.

use std::sync::{Arc, Mutex, MutexGuard};

use smol_str::SmolStr;

use crate::history::{Ascending, Ended, Item, Kind, Marker};

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
    /// Every cursor that arrived, in order.
    pub carried: Vec<Carried>,
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
pub struct Carried {
    /// The cursor.
    pub cursor: SmolStr,
    /// The event that it names, if the frame had one.
    pub marker: Option<Marker>,
    /// What kind of frame it was on.
    pub kind: Kind,
}

impl State {
    /// The state of a connection, with room for that many events.
    pub(crate) fn with_room(events: usize) -> State {
        State { markers: Ascending::with_capacity(events), carried: Vec::with_capacity(events), ..State::default() }
    }

    /// Something has arrived.
    pub(crate) fn take(&mut self, item: &Item) {
        match item.kind {
            Kind::Event | Kind::Terminal => {
                self.events += 1;
                self.heartbeats = 0;
                self.terminals += u32::from(item.kind == Kind::Terminal);
                if let Some(marker) = item.marker {
                    self.markers.or_insert(marker, || ());
                }
            }
            Kind::Boundary => self.boundaries += 1,
            Kind::Gap => self.gaps += 1,
            Kind::Heartbeat => self.heartbeats += 1,
            Kind::Commit | Kind::Other => {}
        }
        if let Some(cursor) = &item.cursor {
            self.carried.push(Carried { cursor: cursor.clone(), marker: item.marker, kind: item.kind });
        }
    }

    /// The newest cursor, as an ordinary client would send it, and on what kind of frame it came.
    pub fn cursor(&self) -> Option<(&SmolStr, Kind)> {
        self.carried.last().map(|newest| (&newest.cursor, newest.kind))
    }
}

impl Progress {
    /// The progress of a connection, with room for that many events.
    pub(crate) fn with_room(events: usize) -> Progress {
        Progress(Arc::new(Mutex::new(State::with_room(events))))
    }

    /// The state, locked; hold it across no await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code panics while it holds a connection's progress")
    }
}
