//! Steps: what a scenario can say.
//!
//! A scenario is an ordered list of steps. A step acts on sessions (`s`), readers (`a`) and the server's process by name.
//! Faults that strike a connection at a place in its bytes (`cut`, `stall`, `hold`, `shape`) are armed when that
//! connection opens, because a byte that has passed cannot be cut: the runner looks ahead from a `subscribe` or `resume` to
//! the fault steps of the same reader up to its next `subscribe` or `resume`. The fault step itself then waits until its
//! fault was applied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Do, Pay};
use crate::contract::TranscriptRules;
use crate::history::Probe;

mod fault;
mod publish;
mod read;

pub use fault::{Churn, Cut, Evict, EvictBy, How, Inside, InsideAt, Restart, Sample, Shape, Stall, Stop};
pub use publish::{Again, Close, Join, Open, Publish, PublishFault, Text, Writer};
pub use read::{Await, Read, Resume, Seam, SeamTime, SnapshotStep, Start, Subscribe, Upto};

/// A scenario file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name, `[a-z0-9-]+`, equal to the file's.
    pub name: String,
    /// What a right server shows in it, in one sentence.
    pub says: String,
    /// What the profile and the target must offer; otherwise the scenario is not applicable.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// The requirements it is written for. Others are judged in it as well.
    #[serde(default)]
    pub judges: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// What the runner does at the end: settle every session with a last marker, then read it back by every way there is.
    /// Default true.
    #[serde(default = "yes")]
    pub audit: bool,
    /// At most this many places of a sweep (`"each"`), evenly spread. Default 64.
    pub sweep_limit: Option<u32>,
    /// What its transcript shows and replaces, beside the profile's rules.
    #[serde(default, skip_serializing_if = "TranscriptRules::is_empty")]
    pub transcript: TranscriptRules,
}

fn yes() -> bool {
    true
}

fn one() -> Count {
    Count::N(1)
}

fn one_u32() -> u32 {
    1
}

/// Something a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// `binding.publish`.
    Publish,
    /// Cursors, and a way to present them.
    Resume,
    /// Cursors that count, so that one above the head can be made up.
    Numbers,
    /// Streams over which single bytes can be cut (plain HTTP).
    Proxy,
    /// SIGKILL and restart on the same data.
    Kill,
    /// Graceful stop and restart on the same data.
    Restart,
    /// Restart on removed data.
    Wipe,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// The contract promises that acknowledged events survive a kill.
    SurvivesKill,
    /// The contract promises that acknowledged events survive a graceful restart.
    SurvivesRestart,
    /// `binding.history`.
    History,
    /// `binding.snapshot`.
    Snapshot,
    /// `binding.close` and a terminal event.
    Close,
    /// `binding.delete`.
    Delete,
    /// Live-only events.
    Ephemeral,
    /// Idempotency keys.
    Idempotency,
    /// The contract promises that idempotency keys outlive a restart.
    KeysSurvive,
    /// A boundary.
    Boundary,
    /// A gap signal.
    Gap,
    /// A bound by number of events that the scenario can reach.
    RetainRecords,
    /// A bound by bytes that the scenario can reach.
    RetainBytes,
    /// A bound by age that the scenario can reach.
    RetainAge,
    /// Bounds are validated when a session is opened.
    RetainValidated,
    /// Heartbeats.
    Heartbeat,
    /// Subscribing at the live end without replay.
    Live,
    /// Two ways of carrying a cursor, with a documented order.
    TwoCarriers,
    /// Hostile text in payloads.
    Text,
    /// Publishes name the event's type (`{type}` in `binding.publish`).
    EventType,
    /// Sessions refuse what is unknown.
    UnknownSession,
    /// Resources of the server's processes can be read.
    Resources,
    /// A promise about slow readers.
    SlowReader,
    /// Sessions go on after the process was stopped.
    OutlivesProcess,
    /// Sessions are work that ends with the process.
    EndsWithProcess,
    /// Credentials are demanded.
    Auth,
    /// Secrets are masked.
    Redacts,
    /// Files are served.
    Files,
    /// The contract has machines.
    Machines,
    /// Streams are paid.
    Payment,
    /// The target names a program that reads streams with a client of its own.
    Driver,
}

/// A number, or every place where the fault can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Count {
    /// This many.
    N(u32),
    /// One run of the scenario for each possible value.
    Each(Each),
}

/// The word that makes a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// Every place.
    Each,
}

/// One step: a table with exactly one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Create a session.
    Open(Open),
    /// Publish events and wait for each answer.
    Publish(Publish),
    /// Publish in the background until the count is reached; `join` waits for it.
    Writer(Writer),
    /// Wait until a background writer, or background operations, have finished.
    Join(Join),
    /// Open the first connection of a reader (or another, overlapping one).
    Subscribe(Subscribe),
    /// Open the next connection of a reader at its own cursor. An open connection is closed first, unless `overlap`.
    Resume(Resume),
    /// Close a reader's connection from its side.
    Drop(OfReader),
    /// Cut the reader's connection at a place.
    Cut(Cut),
    /// Stop reading at a place, with a small receive buffer.
    Stall(Stall),
    /// Read on.
    Unstall(OfReader),
    /// Keep the connection's bytes back from a place on; they arrive late.
    Hold(Stall),
    /// Let held bytes arrive.
    Release(OfReader),
    /// Delay or re-chunk the connection's bytes.
    Shape(Shape),
    /// Wait for something at a reader, with the contract's deadline.
    Await(Await),
    /// Publish while a reader goes from replay to live.
    Seam(Seam),
    /// Publish beyond the retention (or let its age pass) so that the oldest events are evicted.
    Evict(Evict),
    /// Read history pages.
    Read(Read),
    /// Read the snapshot.
    Snapshot(SnapshotStep),
    /// End a session.
    Close(Close),
    /// Remove a session.
    Delete(OfSession),
    /// Stop and start the process.
    Restart(Restart),
    /// Pause the process (SIGSTOP).
    Pause(Empty),
    /// Continue the process (SIGCONT).
    Continue(Empty),
    /// A request that must be refused.
    Probe(ProbeStep),
    /// Open and drop many connections.
    Churn(Churn),
    /// Sample the resources of the server's processes.
    Sample(Sample),
    /// Repeat steps.
    Repeat(Repeat),
    /// An operation of the profile's own, with what is expected of its answer.
    Do(Box<Do>),
    /// A payment by hand.
    Pay(Box<Pay>),
}

/// No parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// A session by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfSession {
    /// Its name.
    pub session: String,
}

/// A reader by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfReader {
    /// Its name.
    pub reader: String,
}

/// `probe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeStep {
    /// What.
    pub about: Probe,
    /// The session it touches, where it touches one.
    pub session: Option<String>,
}

/// `repeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// What.
    pub steps: Vec<Step>,
}
