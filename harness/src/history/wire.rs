//! What stood on the wire: requests, answers and frames, kept where a transcript is asked for.
//!
//! Checkers do not read it. Texts are bounded, and values that came from the environment stand as `$NAME`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConnId, OpId, SessionIx};

/// What the server calls a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Named {
    /// Which session.
    pub session: SessionIx,
    /// The server's name for it.
    pub id: String,
    /// What else the answer to its opening gave, by the binding's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<String, String>,
}

/// A message, and to what it belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wire {
    /// To what it belongs.
    pub of: Of,
    /// The message.
    pub message: Message,
}

/// To what a message belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// An operation.
    Op(OpId),
    /// A connection: a stream, a page of history, a snapshot.
    Conn(ConnId),
}

/// Names and values of headers, in the order of the wire.
pub type Headers = Vec<(String, String)>;

/// A message as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// A request of the harness.
    Request {
        /// Its method.
        method: String,
        /// Its path and query.
        target: String,
        /// Its headers; those that every client of HTTP sends are left out.
        headers: Headers,
        /// Its body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// A message that the harness sent over a WebSocket.
    Sent {
        /// The message.
        text: String,
    },
    /// The answer to a request; of a stream only its head.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: Headers,
        /// Its body.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        body: String,
    },
    /// One frame of a stream: a block of server-sent events, a line, a message, the body of an answer to a long-poll.
    Frame {
        /// Its number, by which its deliveries are found.
        frame: u32,
        /// Its bytes; those that are not UTF-8 are replaced.
        text: String,
    },
    /// No answer came.
    Silence,
    /// More than is kept of one run: what follows is missing.
    Full,
}

impl Message {
    /// Bytes of text in it.
    pub(crate) fn bytes(&self) -> usize {
        let of = |headers: &Headers| headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        match self {
            Message::Request { method, target, headers, body } => {
                method.len() + target.len() + of(headers) + body.as_ref().map_or(0, String::len)
            }
            Message::Sent { text } | Message::Frame { text, .. } => text.len(),
            Message::Answer { headers, body, .. } => of(headers) + body.len(),
            Message::Silence | Message::Full => 0,
        }
    }
}
