//! What an operation can be beside one request to the server: a request to somebody else, several requests, one that is
//! repeated until its answer says so, messages over a WebSocket.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OneOrMany, StatusSet};

/// Whom a request is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// The server under test.
    #[default]
    Server,
    /// The scripted model provider that streamspec runs beside it.
    Provider,
}

/// What an answer must be; every condition given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Its status is one of these.
    pub status: Option<StatusSet>,
    /// Pointer → the JSON value that must be there.
    pub json: BTreeMap<String, serde_json::Value>,
    /// Give up after this long, in milliseconds. Default 10,000.
    pub within_ms: Option<u64>,
}

/// Messages over a WebSocket of its own, which is closed afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The messages to send, each a JSON template.
    pub send: Vec<serde_json::Value>,
    /// Pointer → value of the message that is the answer. Absent: done when the messages are sent.
    pub reply: Option<BTreeMap<String, serde_json::Value>>,
    /// Pointer → value of the message that is a refusal.
    pub refused: Option<BTreeMap<String, serde_json::Value>>,
    /// What follows on the same socket, one behind the other, each once the reply before it has come.
    #[serde(default)]
    pub then: Vec<Talk>,
    /// Pointer → value of the messages that are kept, from the first on (`{}` keeps all): the answer is the list of them
    /// instead of the last reply.
    pub keep: Option<BTreeMap<String, serde_json::Value>>,
    /// Break the connection afterwards instead of closing it.
    #[serde(default)]
    pub breaks: bool,
}

/// A part of an exchange: messages, and the one that answers them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Talk {
    /// The messages to send, each a JSON template.
    #[serde(default)]
    pub send: Vec<serde_json::Value>,
    /// Pointer → value of the message that is the answer.
    pub reply: BTreeMap<String, serde_json::Value>,
    /// Pointer → value of the message that is a refusal.
    pub refused: Option<BTreeMap<String, serde_json::Value>>,
}

/// Who acknowledges a publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Acknowledged {
    /// The answer to the request.
    #[default]
    ByAnswer,
    /// The first delivery at any reader: for protocols whose events are not made by a request to the server, such as the
    /// words of a model. What nobody has seen when the server is killed may be lost.
    ByDelivery,
}

/// Credentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthContract {
    /// The headers of `binding.headers` that carry them; a request without them, and one with wrong ones, must be refused.
    pub headers: OneOrMany,
    /// The statuses of such a refusal. Default 401 and 403.
    pub status: Option<StatusSet>,
    /// True when the health check needs none.
    #[serde(default)]
    pub health_is_public: bool,
}

/// Files that an operation serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesContract {
    /// The operation of `binding.ops` that reads a file; it uses `{path}`.
    pub op: String,
    /// The folder inside the server's `{dir}` that is the root, so that a file planted beside it is outside.
    pub root: String,
}
