//! Steps of whoever writes: sessions that are opened and closed, events that are published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, one, one_u32, yes};
use crate::history::Retain;

/// `open`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Its name in the scenario.
    pub session: String,
    /// Retention, where the protocol lets a session choose.
    pub retain: Option<Retain>,
    /// True when the request makes no sense and must be refused.
    #[serde(default)]
    pub refuse: bool,
    /// Use the server-side id of this deleted (or wiped) session again.
    pub reborn_of: Option<String>,
    /// True when no witness watches it: nobody reads it but the readers that the scenario names.
    #[serde(default)]
    pub unwatched: bool,
}

/// `publish`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// To which session.
    pub session: String,
    /// How many events.
    #[serde(default = "one")]
    pub count: Count,
    /// What is in them beside the marker.
    #[serde(default)]
    pub text: Text,
    /// False for live-only events.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Send them with idempotency keys.
    #[serde(default)]
    pub keyed: bool,
    /// How many are in flight at once. Default 1.
    #[serde(default = "one_u32")]
    pub concurrent: u32,
    /// The operation of the profile's own (`[binding.ops.NAME]`) that publishes them instead of `binding.publish`.
    pub by: Option<String>,
    /// What happens to the requests on their way.
    pub fault: Option<PublishFault>,
    /// After each event send it again with the same key: with the same content, or with another.
    pub again: Option<Again>,
    /// Repeat the events of the last keyed publish with the same keys instead of making new ones (after a restart, say).
    #[serde(default)]
    pub retry: bool,
}

impl Publish {
    /// So many durable events with nothing but their markers in them, one after the other.
    pub fn plain(session: &str, count: u32) -> Publish {
        Publish {
            by: None,
            session: session.to_owned(),
            count: Count::N(count),
            text: Text::Plain,
            durable: true,
            keyed: false,
            concurrent: 1,
            fault: None,
            again: None,
            retry: false,
        }
    }
}

/// Repeating a keyed publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Again {
    /// Same key, same content.
    Same,
    /// Same key, other content: must be refused where the contract says so.
    Conflict,
}

/// Faults of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PublishFault {
    /// The answer is lost: the outcome is unknown.
    DropAnswer,
    /// The request arrives twice and the first answer is lost.
    Duplicate,
}

/// What is in a payload beside its marker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// A few words.
    #[default]
    Plain,
    /// Round robin over every hostile text that the profile can carry.
    Hostile,
    /// U+0085, U+2028, U+2029, U+000B, U+000C, U+001E.
    Separators,
    /// CR, LF, CR LF, in every order, at both ends.
    LineBreaks,
    /// NUL and other C0 controls.
    Controls,
    /// Emoji, combining characters, right-to-left marks, a byte-order mark inside.
    Unicode,
    /// Text that looks like frames of the protocol.
    FrameLike,
    /// Escapes of lone surrogates, as text.
    Surrogates,
    /// 1 MiB in one line (or the contract's `max_payload`).
    Large,
    /// 16 KiB, to fill buffers.
    Bulky,
    /// Line breaks and frame-like text in the event's type.
    HostileType,
    /// A credential-shaped text that a server must mask.
    Secret,
}

/// `writer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    /// Its name, for `join` and `restart.after_acks`.
    pub name: String,
    /// To which session.
    pub session: String,
    /// How many events.
    pub count: u32,
    /// How many are in flight at once. Default 1.
    #[serde(default = "one_u32")]
    pub concurrent: u32,
    /// What is in them beside the marker.
    #[serde(default)]
    pub text: Text,
    /// Send them with idempotency keys, and send those without answer again once the server lives.
    #[serde(default)]
    pub keyed: bool,
}

/// `join`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The writer, or the operation of background `do` steps before it.
    pub writer: String,
}

/// `close`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// Which session.
    pub session: String,
    /// Publish this many events at the same time.
    #[serde(default)]
    pub racing: u32,
}
