//! What was observed: records, their file format, and views over them.

mod ascending;
mod file;
mod marker;
mod money;
mod numbered;
mod record;
mod view;
mod wire;
pub(crate) mod words;

pub use ascending::Ascending;
pub use file::HistoryError;
pub use marker::{Body, Marker};
pub(crate) use marker::{FNV_START, fnv};
pub use money::{AccountIx, Flaw, Paid, PayAct, Payment, Says, Told, ToldBy};
pub(crate) use numbered::Numbered;
pub use record::{
    Action, Answer, Comment, Complete, ConnId, Connect, CursorClass, Delivery, End, Ended, Expectation, Fault, From, Invoke, Item, Kind,
    Leaked, Lint, Micros, OpId, Opened, Opinion, Outcome, Probe, Process, Publish, Record, Resources, Retain, Role, Said, Session,
    SessionIx, SharedItem, Stage, Step, Surface, Until, Wait, What,
};
pub use view::{ConnView, Cursors, EventView, Grown, OpView, Seen, SessionView, Sight, Sights, Stop, View};
pub(crate) use view::{Piece, Pieces, Stretch};
pub use wire::{Headers, Message, Named, Of, Wire};

/// A recorded run of one scenario.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct History {
    /// What was run.
    pub header: Header,
    /// What was seen, in the order in which it was seen.
    pub records: Vec<Record>,
}

impl History {
    /// The version of the format that this streamspec writes.
    pub const VERSION: u32 = 1;
}

/// What a history is of. The first line of a history file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// Version of the format; readers refuse what they do not know.
    pub streamspec_history: u32,
    /// Name of the profile.
    pub profile: String,
    /// Name of the scenario, with its place in a sweep (`cut-at-every-event[7]`).
    pub scenario: String,
    /// The seed from which random choices came; the choices themselves are in the records.
    pub seed: u64,
}
