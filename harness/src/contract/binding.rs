//! Bindings: how a protocol looks on the wire, as data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, Exchange, PaymentBinding, Recipient, StatusSet};

/// By which way a cursor travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CursorCarrier {
    /// A request header of this name.
    Header(String),
    /// A query parameter of this name.
    Query(String),
    /// A JSON pointer into the request body, where it stands as a text.
    Body(String),
    /// The same, where it stands as a number. A cursor that is no number stands as a text all the same.
    BodyNumber(String),
}

/// How the protocol looks on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Headers sent with every request (`{…}` are filled in; `{env.NAME}` comes from the environment).
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Creates a session. Absent: a session is a name that the harness makes up.
    pub open: Option<Operation>,
    /// Appends an event.
    pub publish: Option<Operation>,
    /// Appends a live-only event.
    pub publish_ephemeral: Option<Operation>,
    /// Ends a session.
    pub close: Option<Operation>,
    /// Removes a session.
    pub delete: Option<Operation>,
    /// Answers when the server lives.
    pub health: Option<Operation>,
    /// Operations that the protocol has beside these, by name, for `do` steps.
    #[serde(default)]
    pub ops: BTreeMap<String, Operation>,
    /// Opens the stream.
    pub subscribe: Subscribe,
    /// Reads finite pages.
    pub history: Option<HistoryRead>,
    /// Reads a snapshot.
    pub snapshot: Option<SnapshotRead>,
    /// Where the parts of an event are.
    pub event: EventShape,
    /// How streams are paid.
    pub payment: Option<PaymentBinding>,
    /// How frames that are no ordinary events are recognised. The first match in the order of the fields decides.
    #[serde(default)]
    pub frames: Frames,
}

/// One HTTP request, as a template. In every text `{session}`, `{payload}`, `{type}`, `{key}`, `{cursor}`, `{retain_records}`,
/// `{retain_bytes}`, `{retain_age_ms}`, `{limit}`, `{uuid}` and what `open` took are filled in; a JSON value that is
/// exactly one placeholder without a value is left out of its object, and so is a header or query parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Method and path: `POST /sessions/{session}/events`.
    pub request: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// What is sent only when a placeholder has a value: its name → headers, parameters and members of the body that belong together. Of a
    /// publish with an idempotency key, for example, `when.key`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, Group>,
    /// A JSON body.
    pub json: Option<serde_json::Value>,
    /// A text body, instead of `json`.
    pub body: Option<String>,
    /// Statuses that mean "done". Default: any 2xx.
    pub ok: Option<StatusSet>,
    /// What to take out of the answer: name → `/json/pointer` or `header:Name`. `session` and `cursor` have a meaning.
    #[serde(default)]
    pub take: BTreeMap<String, String>,
    /// Whom it is sent to.
    #[serde(default)]
    pub to: Recipient,
    /// Repeat it until its answer is this.
    pub until: Option<Condition>,
    /// Send messages over a WebSocket opened by `request`, instead of a body.
    pub socket: Option<Exchange>,
    /// Operations that follow it, each with what the ones before it took. It is done when the last one is.
    #[serde(default)]
    pub then: Vec<Operation>,
}

/// Headers, query parameters and members of the JSON body that are sent together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
    /// Members of the JSON body.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, serde_json::Value>,
}

/// Opening a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Method and path: `GET /sessions/{session}/events`.
    pub request: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// A JSON body, for protocols that subscribe by POST; over a WebSocket the message that subscribes.
    pub json: Option<serde_json::Value>,
    /// WebSocket only: pointer → value of the message by which a subscription is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, serde_json::Value>,
    /// How the answer is framed.
    pub format: Format,
    /// By which way the cursor travels, strongest first.
    #[serde(default)]
    pub cursor: Vec<CursorCarrier>,
    /// The cursor that means "from the oldest kept". Absent: send none. `{opened}`, for protocols whose readers without a
    /// cursor get new events only: the cursor that `open` took under this name, else the one on the boundary of a
    /// connection made just before the session is opened.
    pub start: Option<String>,
    /// The cursor that means "only new events". Absent: not supported. Empty: what a reader without a cursor gets.
    pub live: Option<String>,
    /// Long-poll only: the status that means "nothing yet, ask again" (204, 304). Default 204.
    pub empty: Option<StatusSet>,
    /// Long-poll only: where the next cursor is, `/json/pointer` or `header:Name`.
    pub next: Option<String>,
}

/// How a stream is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `text/event-stream`.
    Sse,
    /// One JSON value a line.
    Ndjson,
    /// A JSON document an answer; the reader asks again with the next cursor.
    LongPoll,
    /// Text messages of a WebSocket, one JSON value each.
    Websocket,
}

/// Reading finite pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HistoryRead {
    /// The request; `{cursor}` and `{limit}` are filled in or left out.
    #[serde(flatten)]
    pub operation: Operation,
    /// Pointer to the array of events. Default: the document itself.
    #[serde(default)]
    pub events: String,
    /// Where the cursor of the next page is, `/json/pointer` or `header:Name`. Absent: the last event's cursor.
    pub next: Option<String>,
    /// Pointer to a boolean that says that more follows. Absent: until a page is empty.
    pub more: Option<String>,
    /// Largest and default page sizes, for the scenarios that try them.
    pub max_limit: Option<u32>,
    /// True when a limit of zero, a negative and an absurd one must be refused.
    #[serde(default)]
    pub limit_validated: bool,
}

/// Reading a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SnapshotRead {
    /// The request.
    #[serde(flatten)]
    pub operation: Operation,
    /// Where the cursor is at which the snapshot is true, `/json/pointer` or `header:Name`.
    pub cursor: String,
    /// Pointer to the array of items, each shaped as an event, or to a text in which payloads follow each other. Absent:
    /// every marker in the document counts as an item.
    pub items: Option<String>,
}

/// Where the parts of an event are. Each is a source: `id` (the SSE id, as committed), `event` (the SSE type),
/// `data` (the whole text of the frame), or a `/json/pointer` into the data (or the NDJSON line, or the page's event).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventShape {
    /// The cursor. Absent: events carry none (see `frames.commit`).
    pub cursor: Option<String>,
    /// The type.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// The payload as it was published; of several places the first that an event has.
    #[serde(default = "whole")]
    pub payload: OneOrMany,
    /// Pointer to an array of records in one frame, each an event of its own.
    pub records: Option<String>,
    /// Where an event names its session, for streams that carry several: events that name another one are not the
    /// reader's, unless `isolated` says that they must not come.
    pub session: Option<String>,
    /// True when a stream may carry only its own session's events although they name one.
    #[serde(default)]
    pub isolated: bool,
    /// The types of the events that `publish` makes, where others repeat what was published. Absent: any.
    pub published: Option<OneOrMany>,
    /// Overrides for events on history pages and in snapshots, where they are shaped differently.
    pub page: Option<Box<EventShape>>,
}

fn whole() -> OneOrMany {
    OneOrMany::One("data".to_owned())
}

/// How special frames are recognised. A frame that is a boundary, gap, terminal or heartbeat and fits `commit` as well is
/// both: it commits its cursor and marks its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Frames {
    /// The boundary.
    pub boundary: Option<FrameMatch>,
    /// The gap signal.
    pub gap: Option<FrameMatch>,
    /// The terminal event.
    pub terminal: Option<FrameMatch>,
    /// Heartbeats that are events.
    pub heartbeat: Option<FrameMatch>,
    /// A frame that carries the cursor for the data before it.
    pub commit: Option<FrameMatch>,
    /// Live-only events.
    pub ephemeral: Option<FrameMatch>,
    /// Frames to ignore.
    pub ignore: Option<FrameMatch>,
}

/// What a frame must look like: every condition given must hold. `status`, `header` and `answer` are about the whole answer
/// to a long-poll, of which one frame is a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FrameMatch {
    /// The event type (by `event.type`) is one of these.
    #[serde(rename = "type")]
    pub event_type: Option<OneOrMany>,
    /// Pointer → the JSON value that must be there.
    pub json: BTreeMap<String, serde_json::Value>,
    /// The frame has a cursor, or has none.
    pub has_cursor: Option<bool>,
    /// Where the frame names a position (the fence of a boundary, the oldest of a gap, the cursor of a commit): a source as in
    /// `event`; of a whole answer, `/json/pointer` or `header:Name`.
    pub cursor: Option<String>,
    /// Of `ephemeral` only: where the payload is, when it is elsewhere than `event.payload`: a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Long-poll only: the answer has this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusSet>,
    /// Long-poll only: name of a header → the value that the answer's must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// Long-poll only: pointer into the answer → the JSON value that must be there, beside the records.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answer: BTreeMap<String, serde_json::Value>,
}

impl FrameMatch {
    /// True when this is about the whole answer to a long-poll, not about one of its records.
    pub fn of_answer(&self) -> bool {
        self.status.is_some() || !self.header.is_empty() || !self.answer.is_empty()
    }
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

impl OneOrMany {
    /// True when `text` is among them.
    pub fn contains(&self, text: &str) -> bool {
        match self {
            OneOrMany::One(one) => one == text,
            OneOrMany::Many(many) => many.iter().any(|m| m == text),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}
