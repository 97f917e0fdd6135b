//! One observation of a run.
//!
//! A history is a list of [`Record`]s in the order in which the harness saw them. Numbers ([`SessionIx`], [`ConnId`],
//! [`OpId`]) are given once, by the record that introduces the thing, and used afterwards; names for people stand only in
//! the introducing record. Nothing here judges: what a record *means* under a contract is the business of `crate::check`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod connection;
mod delivery;
mod operation;
mod world;

pub use connection::{Answer, Comment, Connect, CursorClass, End, Ended, From, Kind, Lint, Opinion, Role, Said, Stage, Surface};
pub use delivery::{Delivery, Item, SharedItem};
pub use operation::{Action, Complete, Invoke, Outcome, Probe, Publish};
pub use world::{Expectation, Fault, Leaked, Process, Resources, Until, Wait};

/// Microseconds since the run began, by a monotonic (or virtual) clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// A session of the run, numbered from 0 in the order in which the scenario opened them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionIx(pub u32);

/// A connection of the run (streams, history pages and snapshots alike), numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u32);

/// An operation of the run, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u32);

/// One observation and its time.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// When it was observed.
    pub at: Micros,
    /// What was observed.
    pub what: What,
}

/// Everything that can be observed.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The runner begins a step of the scenario (the index is into its expanded steps).
    Step(Step),
    /// A session gets its number. Comes before the operation that opens it.
    Session(Box<Session>),
    /// The cursor at which a session began became known.
    Opened(Opened),
    /// An operation is sent.
    Invoke(Box<Invoke>),
    /// An operation ended; `Unknown` when the answer never came.
    Complete(Complete),
    /// A reader (or a finite read) asks for events.
    Connect(Box<Connect>),
    /// The head of the answer to a `Connect`.
    Answer(Box<Answer>),
    /// One event or control frame arrived.
    Delivery(Delivery),
    /// A comment or keep-alive arrived (SSE comment, empty line).
    Comment(Comment),
    /// The decoder found something that the format forbids or advises against.
    Lint(Box<Lint>),
    /// A mainstream client's decoding of the connection's bytes, compared with ours.
    Opinion(Opinion),
    /// A connection ended.
    End(End),
    /// The harness applied a fault.
    Fault(Fault),
    /// The server's process changed its state.
    Process(Process),
    /// Resources of the server's processes.
    Resources(Box<Resources>),
    /// The runner waited for something.
    Wait(Box<Wait>),
    /// The scenario expected something of an answer.
    Expectation(Box<Expectation>),
    /// A planted secret came back.
    Leaked(Box<Leaked>),
    /// The answer to a request that paid, or had to.
    Paid(Box<super::Paid>),
    /// What the server said of an account.
    Told(Box<super::Told>),
    /// What the server calls a session.
    Named(Box<super::Named>),
    /// What stood on the wire.
    Wire(Box<super::Wire>),
}

/// A step of the scenario, for timelines.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// Position among the scenario's steps, from 0; steps inside a repetition share it.
    pub index: u32,
    /// The step as a person would say it; runs of one scenario share the words.
    pub says: Arc<str>,
}

/// A session and what was asked for it.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// Its number.
    pub session: SessionIx,
    /// Its name in the scenario.
    pub name: String,
    /// The retention that was asked for when it was opened, where that differs from the contract's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<Retain>,
    /// The session that this one replaces under the same server-side id, after a delete or a wipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reborn_of: Option<SessionIx>,
}

/// The cursor from which a session's first event follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Opened {
    /// Which session.
    pub session: SessionIx,
    /// The cursor.
    pub cursor: String,
}

/// Bounds of what is kept. A missing bound does not bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retain {
    /// Durable events kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// Bytes of payload kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Age in milliseconds up to which events are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<i64>,
}

fn yes() -> bool {
    true
}

fn is_true(b: &bool) -> bool {
    *b
}
