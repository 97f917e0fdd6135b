//! The world around: faults, processes, resources, and what the run waited for.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{ConnId, OpId, is_true, yes};
use crate::history::marker::Marker;

/// A fault that was applied.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// The connection it hit, if it hit one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<ConnId>,
    /// The fault as a person would say it (`cut by RST after event 7`).
    pub says: String,
    /// False when the place of the fault never came.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub reached: bool,
}

/// Histories hold faults in words alone. What is read out of these words is read here and nowhere else, beside the worlds'
/// own test of what they say.
impl Fault {
    /// True when the connection fell silent without an end.
    pub fn is_silence(&self) -> bool {
        self.says.starts_with("silenced")
    }

    /// True when its reader stopped to read.
    pub fn stops_reading(&self) -> bool {
        self.says.starts_with("not read")
    }

    /// True for a cut in the middle of an event.
    pub fn is_inside_an_event(&self) -> bool {
        self.says.contains(" of event ")
    }

    /// True for a cut on command that ends a connection there and then, as its reader's leaving would: nothing that came
    /// before was touched by it.
    pub fn is_leaving(&self) -> bool {
        matches!(self.says.as_str(), "closed now" | "reset now")
    }
}

/// A change of the server's process.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// It was started and became ready.
    Ready {
        /// Process id of the one that listens.
        pid: u32,
        /// How many starts came before it.
        generation: u32,
        /// True when its data was removed before this start.
        wiped: bool,
    },
    /// A signal is about to be sent to its whole group.
    Signal {
        /// `KILL`, `TERM`, `STOP`, `CONT`.
        name: String,
    },
    /// It is gone, proven.
    Gone,
    /// It ended although nobody asked it to.
    Died {
        /// Exit status in words, and its last lines of output.
        why: String,
    },
    /// It ended a graceful stop too late and was killed.
    Overdue,
}

/// Resources of the server's processes, summed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// When in the scenario (`before`, `after`, `after twice`).
    pub label: String,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Resident bytes.
    pub resident: u64,
    /// Connections that were opened and dropped since the first sample.
    pub connections: u64,
}

/// A wait of the runner.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Wait {
    /// Who was waited for.
    pub reader: SmolStr,
    /// The connection it had at the end of the wait, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<ConnId>,
    /// What for.
    pub until: Until,
    /// Whether it came before the deadline.
    pub reached: bool,
    /// Microseconds waited.
    pub waited: u64,
    /// The requirement that is violated when it did not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judges: Option<String>,
}

/// What a scenario expected, and whether it was so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Expectation {
    /// The requirement that it judges.
    pub judges: String,
    /// What was looked at, as a person would say it.
    pub says: String,
    /// Whether it was so.
    pub held: bool,
    /// What was expected.
    pub expected: String,
    /// What was seen, bounded.
    pub seen: String,
    /// The operation whose answer it is, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
}

/// A planted secret in what the server sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Leaked {
    /// The connection on which it came, if it came on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<ConnId>,
    /// Where it came, as a person would say it: `the stream`, `the answer to "status"`.
    pub surface: String,
    /// What is around it, with the secret's middle left out.
    pub around: String,
}

/// What a wait waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// A certain event.
    Marker(Marker),
    /// That many deliveries of events on its newest connection.
    Events(u32),
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
    /// A heartbeat or comment after the last event.
    Heartbeat,
    /// The end of its newest connection.
    Closed,
}

impl Until {
    /// The event that is waited for, if it is one.
    pub fn marker(&self) -> Option<Marker> {
        match self {
            Until::Marker(marker) => Some(*marker),
            Until::Events(_)
            | Until::Headers
            | Until::Boundary
            | Until::Gap
            | Until::Terminal
            | Until::Due(_)
            | Until::Heartbeat
            | Until::Closed => None,
        }
    }
}
