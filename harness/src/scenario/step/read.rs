//! Steps of whoever reads: streams, pages, snapshots, and what is waited for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, one_u32};
use crate::history::{CursorClass, Role};
use crate::scenario::Funding;

/// `subscribe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The reader's name.
    pub reader: String,
    /// Which session.
    pub session: String,
    /// Where to start. Default: at the oldest kept.
    #[serde(default)]
    pub from: Start,
    /// What is special about it.
    #[serde(default)]
    pub role: Role,
    /// Send a second, older cursor by the way that must lose.
    #[serde(default)]
    pub beside: bool,
    /// How many such readers (`a`, `a2`, `a3` …). Default 1.
    #[serde(default = "one_u32")]
    pub readers: u32,
    /// How it pays, where streams are paid. Default: from a wallet of its own, far ahead.
    pub pay: Option<Funding>,
    /// Ask for what is at this path, instead of the session's stream.
    pub content: Option<String>,
}

/// Where a subscription starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the oldest event kept.
    #[default]
    #[serde(rename = "start")]
    Oldest,
    /// Behind the newest event.
    Live,
    /// After the n-th durable event of the session (1 is the first; the cursor of its acknowledgement or of a delivery).
    After(Count),
    /// After the session's newest event.
    Head,
    /// At the cursor of the last snapshot of the session.
    Snapshot,
    /// At an id on a frame that is no durable event; all that were seen, one connection each.
    Synthetic,
    /// At every id ever seen on any frame, one connection each.
    EveryId,
    /// A cursor that is none of this session's, made to the profile's grammar; see [`CursorClass`].
    Class(CursorClass),
    /// A cursor of another session of the scenario.
    Of(String),
    /// This text.
    Text(String),
}

/// `resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The reader.
    pub reader: String,
    /// Leave its open connection open.
    #[serde(default)]
    pub overlap: bool,
    /// Present the cursor with which its last connection was opened instead of the newest one.
    #[serde(default)]
    pub same_cursor: bool,
    /// Reset this many connection attempts before one passes.
    #[serde(default)]
    pub refuse_first: u32,
    /// Send the cursor of its first connection as well, by the way that must lose.
    #[serde(default)]
    pub beside: bool,
}

/// `await`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Await {
    /// The reader.
    pub reader: String,
    /// What for.
    pub upto: Upto,
    /// The requirement that is violated when it does not come. Absent: those that follow from what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judges: Option<String>,
}

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Upto {
    /// The newest acknowledged event of its session.
    Last,
    /// The n-th event published to its session.
    Event(u32),
    /// That many events on its newest connection.
    Count(u32),
    /// The response head.
    Headers,
    /// The boundary.
    Boundary,
    /// The gap signal.
    Gap,
    /// The terminal event.
    Terminal,
    /// That many requests for payment on its newest connection.
    Due(u32),
    /// A heartbeat.
    Heartbeat,
    /// The end of its connection.
    Closed,
}

/// `seam`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seam {
    /// The reader that connects.
    pub reader: String,
    /// Which session.
    pub session: String,
    /// How many events are published while it connects.
    pub publish: u32,
    /// From where it reads. Default: the oldest kept.
    #[serde(default)]
    pub from: Start,
    /// When the publishing starts.
    #[serde(default)]
    pub when: SeamTime,
    /// How many times, each with a new connection of the reader.
    #[serde(default = "one_u32")]
    pub times: u32,
}

/// When the events of a seam are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeamTime {
    /// Together with the request.
    #[default]
    WithRequest,
    /// When the response head has come.
    AtHeaders,
    /// When the first event of the replay has come, the rest being held back by the reader's slowness.
    InReplay,
    /// When the boundary (or the last replayed event) has come.
    AtBoundary,
}

/// `read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Which session.
    pub session: String,
    /// Page size. Default: the server's.
    pub limit: Option<u32>,
    /// Where to start.
    #[serde(default)]
    pub from: Start,
    /// Publish one event between two pages.
    #[serde(default)]
    pub moving: bool,
}

/// `snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotStep {
    /// Which session.
    pub session: String,
}
