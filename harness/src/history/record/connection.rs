//! Connections: how they were asked for, what came on them, how they ended.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{ConnId, SessionIx};

/// Where a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// The live stream (SSE, NDJSON, a loop of long-polls).
    Stream,
    /// Finite pages.
    History,
    /// State with the cursor it is true at.
    Snapshot,
}

/// A request for events.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Connect {
    /// Its number.
    pub conn: ConnId,
    /// The reader's name; finite reads have one, too.
    pub reader: SmolStr,
    /// Which connection of that reader, from 1.
    pub nth: u32,
    /// Which session.
    pub session: SessionIx,
    /// Where it reads.
    pub surface: Surface,
    /// Where it starts.
    pub from: From,
    /// What is special about it.
    #[serde(default, skip_serializing_if = "Role::is_plain")]
    pub role: Role,
    /// Page size, for history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The request as one could repeat it by hand (`GET /…`, with the headers that matter).
    pub request: String,
}

/// Why a connection exists, where its checkers must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Nothing special.
    #[default]
    Plain,
    /// Never disturbed: other views are compared with it.
    Witness,
    /// It is stalled on purpose.
    Slow,
    /// It overlaps an open connection of the same reader.
    Overlap,
    /// It offers compression.
    Compressed,
    /// One of a crowd that connects and drops.
    Churn,
    /// A program reads it, with a client of its own; what it hands to its application is what was delivered.
    Driven,
}

impl Role {
    /// True for the role without consequence.
    pub fn is_plain(&self) -> bool {
        *self == Role::Plain
    }
}

/// Where a connection starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// At the oldest event kept.
    Start,
    /// Behind the newest event.
    Live,
    /// After a cursor.
    Cursor {
        /// As it was presented.
        value: SmolStr,
        /// What kind of cursor it is.
        class: CursorClass,
        /// A second, older cursor sent by the way that must lose (header against query).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<SmolStr>,
    },
}

/// What the harness knows of a cursor that it presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CursorClass {
    /// Committed by a delivery, or acknowledged, in this session and epoch. Whether it is still kept follows from the contract.
    Own,
    /// Taken from a snapshot of this session.
    Snapshot,
    /// On a frame that is no durable event (heartbeat, boundary, synthetic error).
    Synthetic,
    /// Above the head.
    Ahead,
    /// Of another session.
    OtherSession,
    /// Of a history that no longer exists (wiped data, session deleted and created anew).
    OtherEpoch,
    /// No cursor by the contract's grammar.
    Malformed,
    /// The empty string.
    Empty,
}

/// The head of an answer to a request for events.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// To which connection.
    pub conn: ConnId,
    /// HTTP status.
    pub status: u16,
    /// True when the binding reads this answer as an accepted stream (or page).
    pub accepted: bool,
    /// `Content-Type`, if sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<SmolStr>,
    /// `Cache-Control`, if sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<SmolStr>,
    /// A refusal's body, at most 400 bytes of text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// What a frame (or a record of a batch) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An event of the session.
    Event,
    /// The mark of the seam.
    Boundary,
    /// "What you ask for is no longer here."
    Gap,
    /// The event after which the session says no more.
    Terminal,
    /// A frame that carries a cursor for what came before it.
    Commit,
    /// A heartbeat sent as an event.
    Heartbeat,
    /// A frame of a type that the profile does not know.
    Other,
}

/// What an event says of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Said {
    /// Which of the contract's machines, from 0.
    pub machine: u16,
    /// The key, bounded to 200 bytes.
    pub key: String,
    /// What happens to it.
    pub stage: Stage,
    /// The piece of text, or the whole one at the end; left out above 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What happens to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It starts.
    Start,
    /// It goes on.
    More,
    /// It ends.
    End,
}

/// A comment or keep-alive.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Comment {
    /// On which connection.
    pub conn: ConnId,
    /// Its text, at most 100 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// A finding of the decoder.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Lint {
    /// On which connection.
    pub conn: ConnId,
    /// The rule (`SSE-13`).
    pub rule: String,
    /// True for what the format forbids, false for what it advises against.
    pub error: bool,
    /// Offset of the offending byte in the body.
    pub offset: u64,
    /// What is wrong, with the offending text, bounded.
    pub text: String,
}

/// The mainstream client's opinion of one connection.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Opinion {
    /// Of which connection.
    pub conn: ConnId,
    /// How many events were compared.
    pub events: u32,
    /// The first difference, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct End {
    /// Of which connection.
    pub conn: ConnId,
    /// How it ended.
    pub how: Ended,
    /// Bytes behind the last whole frame.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unfinished: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// A clean end of the body, chosen by the server.
    Eof,
    /// A finite answer was read whole.
    Done,
    /// The harness cut or closed it.
    Ours,
    /// The connection broke, and the harness did not do it (or did it by killing the server).
    Broken {
        /// The client library's words.
        why: String,
    },
    /// The request got no answer at all.
    NoAnswer {
        /// The client library's words.
        why: String,
    },
    /// What came was no stream that could be decoded within the harness's bounds.
    Undecodable {
        /// What was wrong.
        why: String,
    },
}
