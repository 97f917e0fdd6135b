//! Operations: what was asked of the server, and what came of it.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{OpId, SessionIx, is_true, yes};
use crate::history::Payment;
use crate::history::marker::{Body, Marker};

/// An operation as it was sent.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Invoke {
    /// Its number.
    pub op: OpId,
    /// What it asks of the server.
    pub action: Action,
}

/// What an operation asks of the server.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Create the session.
    Open {
        /// Which.
        session: SessionIx,
        /// True when the scenario asks for something that must be refused.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        refuse: bool,
    },
    /// Append an event.
    Publish(Publish),
    /// End the session with its terminal event.
    Close {
        /// Which.
        session: SessionIx,
        /// True when nobody asked for it: the session is work of the process, which was stopped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_stop: bool,
    },
    /// Remove the session.
    Delete {
        /// Which.
        session: SessionIx,
    },
    /// Ask whether the server lives.
    Health,
    /// An operation of the profile's own, by name.
    Custom {
        /// Its name among `binding.ops`.
        name: String,
        /// The session it touches, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionIx>,
        /// Whose events it removes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        clears: Vec<SessionIx>,
    },
    /// A request that pays, or asks without paying.
    Pay(Payment),
    /// Another request whose answer is judged by its status alone.
    Probe {
        /// What is probed.
        about: Probe,
        /// The session it touches, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionIx>,
    },
}

impl Action {
    /// The publish, if it is one.
    pub fn publish(&self) -> Option<&Publish> {
        match self {
            Action::Publish(publish) => Some(publish),
            Action::Open { .. }
            | Action::Close { .. }
            | Action::Delete { .. }
            | Action::Health
            | Action::Custom { .. }
            | Action::Pay(_)
            | Action::Probe { .. } => None,
        }
    }
}

/// Requests that a right server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Subscribe to a session that never was.
    UnknownSession,
    /// Publish to a session that never was.
    PublishUnknown,
    /// Use a method that the stream does not support.
    WrongMethod,
    /// Ask for history pages with a limit of zero, a negative and an absurd one.
    SenselessLimit,
    /// Ask every surface without credentials, and with wrong ones.
    NoCredentials,
    /// Ask for a file outside the root by every spelling of its path.
    Escape,
}

/// An event as it was published.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Publish {
    /// To which session.
    pub session: SessionIx,
    /// The token in its payload.
    pub marker: Marker,
    /// False for a live-only event.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub durable: bool,
    /// Digest of the payload.
    pub body: Body,
    /// The idempotency key, if one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The first publish that this one repeats with the same key (and, unless `conflict`, the same content).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<OpId>,
    /// True when the key was used before with other content.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
    /// True when the payload or type holds text made to break frames, journals and splitters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hostile: bool,
    /// True when the event's type holds line breaks and frame-like text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hostile_type: bool,
    /// True when its payload holds a secret that the server must mask, so that it comes back altered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Complete {
    /// Which operation.
    pub op: OpId,
    /// How.
    pub outcome: Outcome,
}

/// The three ways in which an operation can end.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The server said that it did it.
    Ok {
        /// HTTP status.
        status: u16,
        /// The cursor in the answer, where the binding names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<SmolStr>,
    },
    /// The server said that it did not.
    Failed {
        /// HTTP status.
        status: u16,
        /// The body's beginning, at most 400 bytes of text.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        body: String,
    },
    /// No answer: it may have happened or not.
    Unknown {
        /// What was seen instead of an answer.
        why: String,
    },
}
