//! Who takes part in a run: sessions, readers and writers by their names in the scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use smol_str::SmolStr;

use crate::contract::{FrameMatch, Profile};
use crate::history::{ConnId, CursorClass, From, Kind, Marker, OpId, Retain, SessionIx};
use crate::run::progress::Progress;
use crate::scenario::{Funding, Text};
use crate::world::Address;

/// Everybody. Copies share the connections of readers, so only those without readers are two.
#[derive(Clone, Debug, Default)]
pub(super) struct Cast {
    pub(super) sessions: BTreeMap<String, Box<SessionState>>,
    pub(super) readers: BTreeMap<SmolStr, Reader>,
    pub(super) writers: BTreeMap<String, WriterState>,
    /// The operations of background `do` steps that have no answer yet.
    pub(super) asking: Vec<String>,
    /// Acknowledgements of background writers so far.
    pub(super) background_acks: u32,
    pub(super) next_session: u32,
    /// Server-side ids of sessions that were replaced, with their newest cursor.
    pub(super) connections_churned: u64,
    pub(super) keys: u32,
    pub(super) finite_reads: u32,
    pub(super) samples: Vec<crate::history::Resources>,
    /// How often the process was stopped.
    pub(super) restarts: u32,
    /// Bodies of answers by the names under which they are remembered.
    pub(super) remembered: BTreeMap<String, String>,
    /// How readers pay, where their scenario says it.
    pub(super) fundings: BTreeMap<String, Funding>,
    /// What readers ask for instead of their session's stream.
    pub(super) contents: BTreeMap<String, String>,
    /// Readers that are programs.
    pub(super) driven: BTreeSet<String>,
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct SessionState {
    pub(super) ix: SessionIx,
    pub(super) address: Rc<Address>,
    pub(super) retain: Option<Retain>,
    /// Copies of a session share it until one of them publishes.
    pub(super) published: Rc<Vec<Published>>,
    pub(super) next_n: u32,
    pub(super) closed: bool,
    pub(super) deleted: bool,
    /// True when its opening had to be refused; nothing more is asked of it.
    pub(super) refused: bool,
    pub(super) snapshot_cursor: Option<SmolStr>,
    /// The cursor at which it began, where readers must present one to get everything.
    pub(super) opened: Option<SmolStr>,
    /// The newest cursor of the history that this session replaced.
    pub(super) former_cursor: Option<SmolStr>,
    /// How the newest publish that was not acknowledged was answered, in words.
    pub(super) refusal: Option<String>,
    /// The last keyed publishes, for `retry`.
    pub(super) keyed: Vec<Keyed>,
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) marker: Marker,
    pub(super) durable: bool,
    pub(super) acknowledged: bool,
    pub(super) cursor: Option<SmolStr>,
}

/// An event that was sent with a key.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub(super) op: OpId,
    pub(super) marker: Marker,
    pub(super) key: String,
    pub(super) text: Text,
}

/// A logical subscriber.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    pub(super) session: SmolStr,
    pub(super) connections: Vec<Rc<Connection>>,
}

/// One of its connections.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) conn: ConnId,
    pub(super) reader: SmolStr,
    pub(super) from: From,
    pub(super) progress: Progress,
}

/// A background writer.
#[derive(Clone, Debug, Default)]
pub(super) struct WriterState {
    pub(super) done: bool,
}

impl SessionState {
    /// The newest acknowledged durable event.
    pub(super) fn newest(&self) -> Option<&Published> {
        self.published.iter().rev().find(|p| p.acknowledged && p.durable)
    }

    /// How a reader asks for everything; under a profile whose streams replay nothing, for what comes.
    pub(super) fn beginning(&self, profile: &Profile) -> From {
        match &self.opened {
            Some(value) => From::Cursor { value: value.clone(), class: CursorClass::Own, beside: None },
            None if profile.replays() => From::Start,
            None => From::Live,
        }
    }

    /// The n-th durable event, from 1.
    pub(super) fn nth(&self, n: u32) -> Option<&Published> {
        self.published.iter().filter(|p| p.durable).nth((n as usize).checked_sub(1)?)
    }

    /// The newest acknowledged event of any kind that a live reader must get.
    pub(super) fn newest_of_any_kind(&self) -> Option<&Published> {
        self.published.iter().rev().find(|p| p.acknowledged)
    }
}

impl Reader {
    pub(super) fn newest(&self) -> Option<&Rc<Connection>> {
        self.connections.last()
    }
}

impl Cast {
    /// The cursor that names `marker` of `session`: from its acknowledgement, else from any reader that saw it.
    pub(super) fn cursor_of(&self, session: &str, marker: Marker) -> Option<SmolStr> {
        let acknowledged = self.sessions.get(session)?.published.iter().rev().find(|p| p.marker == marker).and_then(|p| p.cursor.clone());
        acknowledged.or_else(|| {
            self.connections_of(session)
                .find_map(|c| c.progress.state().carried.iter().find(|on| on.marker == Some(marker)).map(|on| on.cursor.clone()))
        })
    }

    /// The newest cursor that the harness knows of `session`.
    pub(super) fn newest_cursor(&self, session: &str) -> Option<SmolStr> {
        let state = self.sessions.get(session)?;
        let durable = state.published.iter().rev().filter(|p| p.durable && p.acknowledged);
        durable.map(|p| p.marker).find_map(|marker| self.cursor_of(session, marker))
    }

    /// Every cursor that was seen in `session`, in the order of first sight, with its class.
    pub(super) fn every_cursor(&self, session: &str, profile: &Profile) -> Vec<(SmolStr, CursorClass)> {
        let mut all: Vec<(SmolStr, CursorClass)> = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        let acks = self.sessions.get(session).into_iter().flat_map(|s| &*s.published).filter_map(|p| p.cursor.clone());
        for value in acks {
            if known.insert(value.clone()) {
                all.push((value, CursorClass::Own));
            }
        }
        for connection in self.connections_of(session) {
            for on in &connection.progress.state().carried {
                if known.insert(on.cursor.clone()) {
                    all.push((on.cursor.clone(), class_of(on.kind, profile)));
                }
            }
        }
        all
    }

    fn connections_of<'a>(&'a self, session: &'a str) -> impl Iterator<Item = &'a Rc<Connection>> {
        self.readers.values().filter(move |r| r.session == session).flat_map(|r| &r.connections)
    }
}

/// The class of a cursor that stood on a frame of this kind.
pub(super) fn class_of(kind: Kind, profile: &Profile) -> CursorClass {
    let of_its_own = |frame: &Option<FrameMatch>| frame.as_ref().is_some_and(|f| f.cursor.as_deref() == Some("id"));
    match kind {
        Kind::Event | Kind::Terminal | Kind::Commit => CursorClass::Own,
        // Some protocols put the fence on the boundary on purpose.
        Kind::Boundary if of_its_own(&profile.binding.frames.boundary) => CursorClass::Own,
        Kind::Gap if of_its_own(&profile.binding.frames.gap) => CursorClass::Own,
        Kind::Boundary | Kind::Gap | Kind::Heartbeat | Kind::Other => CursorClass::Synthetic,
    }
}
