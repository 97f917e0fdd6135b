//! Steps that hurt: what strikes a connection, what strikes the process, and what presses on its bounds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Count;

/// `cut`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The reader.
    pub reader: String,
    /// How.
    #[serde(default)]
    pub how: How,
    /// After that many events of the connection. Exactly one place is given; none means now.
    pub after_events: Option<Count>,
    /// Inside the event after that many.
    pub inside: Option<Inside>,
    /// After that many bytes of the body.
    pub after_bytes: Option<Count>,
    /// Before the response head.
    #[serde(default)]
    pub before_headers: bool,
    /// Before the terminal event.
    #[serde(default)]
    pub before_terminal: bool,
}

/// A place inside an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inside {
    /// How many whole events pass first.
    pub after_events: u32,
    /// Where in the next one.
    pub at: InsideAt,
}

/// Where in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InsideAt {
    /// In the middle of its data line.
    Line,
    /// Between its `id:` line and what follows.
    AfterId,
    /// Between CR and LF.
    CrLf,
    /// Inside a character of several bytes.
    Utf8,
    /// Before the empty line that ends it.
    BeforeEnd,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// In order, from the middle.
    Fin,
    /// By reset.
    #[default]
    Rst,
    /// Nothing more comes, and nobody says so.
    Silence,
}

/// `stall` and `hold`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// The reader.
    pub reader: String,
    /// After that many events of the connection.
    pub after_events: u32,
}

/// `shape`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The reader.
    pub reader: String,
    /// Bytes a write.
    pub rechunk: Option<u32>,
    /// Delay in milliseconds before each write.
    pub delay_ms: Option<u32>,
}

/// `evict`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evict {
    /// Which session.
    pub session: String,
    /// By which bound.
    pub by: EvictBy,
    /// How many events beyond the bound. Default 4.
    #[serde(default = "four")]
    pub beyond: u32,
}

fn four() -> u32 {
    4
}

/// By which bound events are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvictBy {
    /// By number.
    Records,
    /// By bytes.
    Bytes,
    /// By age, without publishing anything.
    Age,
}

/// `restart`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// How it is stopped.
    #[serde(default)]
    pub how: Stop,
    /// Remove its data before it starts again.
    #[serde(default)]
    pub wipe: bool,
    /// Not before that many acknowledgements of the background writers since this step began.
    pub after_acks: Option<Count>,
    /// Not before that many events at this reader's newest connection.
    pub after_events: Option<BTreeMap<String, u32>>,
    /// Stop, start, stop and start at once.
    #[serde(default)]
    pub twice: bool,
}

/// How a process is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// SIGKILL to its whole group.
    #[default]
    Kill,
    /// SIGTERM, and a grace.
    Term,
}

/// `churn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Which session.
    pub session: String,
    /// How many connections.
    pub connections: u32,
    /// How many at once. Default 50.
    #[serde(default = "fifty")]
    pub concurrent: u32,
}

fn fifty() -> u32 {
    50
}

/// `sample`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The sample's name.
    pub label: String,
    /// Wait until descriptors and threads are back at what this earlier sample saw, up to the deadline.
    pub settles_to: Option<String>,
}
