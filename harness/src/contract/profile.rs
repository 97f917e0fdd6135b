//! Profile files: a protocol's contract (what it promises) and binding (how it looks on the wire), as data.
//!
//! These types are what TOML is read into and what `streamspec schema profile` describes. Reading and its errors are in
//! `file.rs`; what a binding does to bytes is in `crate::run::binding`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Acknowledged, AuthContract, Condition, Exchange, FilesContract, Machine, PaymentBinding, PaymentContract, Recipient};
use crate::history::{CursorClass, Retain};

/// A protocol: who it is, what it promises, how it looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Short name, `[a-z0-9-]+`; folders of scenarios and snapshots are named for it.
    pub name: String,
    /// One sentence for people.
    #[serde(default)]
    pub says: String,
    /// What is promised.
    #[serde(default)]
    pub contract: Contract,
    /// How it looks on the wire.
    pub binding: Binding,
    /// Arguments with which `streamspec serve` keeps this profile; `{provider}` stands for the scripted model provider that
    /// then runs beside it. Absent: the built-in server does not speak it.
    #[serde(default)]
    pub reference: Vec<String>,
    /// Requirements that cannot be seen from outside on this protocol, each with the reason.
    #[serde(default)]
    pub not_observable: BTreeMap<String, String>,
    /// The program of the target under test that reads streams; a profile names none.
    #[serde(skip)]
    pub driver: Option<Vec<String>>,
}

impl Profile {
    /// False when its streams carry new events only, and no cursor asks for others.
    pub fn replays(&self) -> bool {
        let subscribe = &self.binding.subscribe;
        self.contract.cursor.is_some() || subscribe.start.is_some() || subscribe.live.as_deref() != Some("")
    }
}

/// What a protocol promises. Every field switches requirements on or off, or gives them a parameter; a promise that is
/// left out is not made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Contract {
    /// What its cursors are. Absent: readers cannot resume.
    pub cursor: Option<CursorContract>,
    /// What survives what.
    pub durability: Durability,
    /// What is kept, when not everything is.
    pub retention: Option<Retention>,
    /// How a gap is announced. Absent: the protocol has no gap signal.
    pub gap: Option<GapContract>,
    /// When the boundary is sent. Absent: the protocol marks no seam.
    pub boundary: Option<BoundaryContract>,
    /// Whether live-only events exist.
    pub ephemeral: Option<EphemeralContract>,
    /// How a session ends. Absent: sessions have no terminal event.
    pub terminal: Option<TerminalContract>,
    /// What a cursor of each class must be answered with. A class left out is not judged.
    #[schemars(extend("propertyNames" = {
        "enum": ["own", "snapshot", "synthetic", "ahead", "other-session", "other-epoch", "malformed", "empty"]
    }))]
    pub answers: BTreeMap<CursorClass, CursorAnswer>,
    /// Which of two cursors wins when header and query both carry one. Absent: not promised.
    pub cursor_precedence: Option<CursorCarrier>,
    /// Idempotency of publishes. Absent: none is promised.
    pub idempotency: Option<Idempotency>,
    /// What happens to a reader that does not read. Absent: not promised.
    pub slow_reader: Option<SlowReader>,
    /// Deadlines.
    pub liveness: Liveness,
    /// Status by which an unknown session is refused; any 4xx when absent but the requirement still holds.
    pub unknown_session: Option<StatusSet>,
    /// True when publishing (or subscribing) to an unknown session creates it, so that OPEN-1 and OPEN-5 do not apply.
    pub creates_on_use: bool,
    /// True when at-least-once delivery is promised: duplicates across (not within) connections are legal.
    pub at_least_once: bool,
    /// Longest payload in bytes that must be carried; scenarios stay below it.
    pub max_payload: Option<u64>,
    /// Texts that are surely no cursor, for protocols where the harness's own mutations of a real one might be. Absent: those.
    pub malformed: Option<Vec<String>>,
    /// Payloads are restricted to this alphabet of the protocol; hostile text is not sent when false.
    pub text_payload: Option<bool>,
    /// Things that start, go on and end within a session.
    pub machines: Vec<Machine>,
    /// Who acknowledges a publish.
    pub acknowledged: Acknowledged,
    /// True when a session is one piece of work that a stop of the process ends: afterwards it takes no events.
    pub ends_with_process: bool,
    /// Credentials. Absent: none are demanded.
    pub auth: Option<AuthContract>,
    /// True when secrets in payloads are masked wherever they come back.
    pub redacts: bool,
    /// Files that are served. Absent: none.
    pub files: Option<FilesContract>,
    /// Payment for streams. Absent: they are free.
    pub payment: Option<PaymentContract>,
}

/// Cursors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CursorContract {
    /// How two cursors of one session compare.
    #[serde(default)]
    pub order: CursorOrder,
    /// True when numbers follow each other without holes (for public events). Needs `order = "number"`.
    #[serde(default)]
    pub dense: bool,
    /// True when the cursor names the numbering's life (boot, generation), so that one of another life is refused.
    #[serde(default)]
    pub epoch: bool,
    /// False when a wipe of the data makes the server forget which cursors it gave out, so that one from before it cannot be
    /// told apart. Default true.
    #[serde(default = "yes")]
    pub outlives_wipe: bool,
    /// True when only durable events carry a cursor (frames without one never move it). Default true.
    #[serde(default = "yes")]
    pub on_durable_only: bool,
    /// True when each delivered event has its own cursor; false when one cursor covers a batch. Default true.
    #[serde(default = "yes")]
    pub per_event: bool,
    /// True when an event has the same cursor on every connection. Default true.
    #[serde(default = "yes")]
    pub stable: bool,
}

fn yes() -> bool {
    true
}

/// How cursors compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CursorOrder {
    /// They do not: a cursor is opaque.
    #[default]
    Opaque,
    /// By the decimal number at the cursor's end (`boot:17` → 17).
    Number,
    /// As text, byte by byte.
    Text,
}

/// What survives what. What is false is not promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Durability {
    /// Acknowledged events survive a reader's disconnect.
    pub disconnect: bool,
    /// … a graceful restart.
    pub restart: bool,
    /// … SIGKILL.
    pub kill: bool,
}

impl Default for Durability {
    fn default() -> Self {
        Durability { disconnect: true, restart: false, kill: false }
    }
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The bounds that hold for a session unless it is opened with others.
    pub default: Retain,
    /// Which bounds the `open` operation takes as `{retain_records}`, `{retain_bytes}`, `{retain_age_ms}`.
    pub settable: Vec<RetainKind>,
    /// Bounds that make no sense are refused when a session is opened.
    pub validated: bool,
    /// How many events may be kept beyond the bound (a server that evicts in blocks).
    pub slack: u64,
}

/// A kind of bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RetainKind {
    /// A number of events.
    Records,
    /// A number of bytes.
    Bytes,
    /// An age.
    Age,
}

/// How a gap is announced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GapContract {
    /// The signal for a cursor that was evicted.
    pub signal: GapSignal,
    /// Whether a reader without cursor is told as well that the beginning is missing.
    #[serde(default)]
    pub on_start: bool,
    /// What follows the signal on the same connection.
    #[serde(default)]
    pub then: AfterGap,
}

/// Gap signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GapSignal {
    /// A frame that the binding recognises (`[binding.frames.gap]`).
    Frame,
    /// A refusal before the stream (410 or what `answers.evicted_status` says).
    Refusal,
    /// The boundary alone, without replay: "refetch everything".
    Boundary,
}

/// What follows a gap signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AfterGap {
    /// Everything that is still kept, then live.
    #[default]
    Kept,
    /// Only live events.
    Live,
    /// The end of the connection.
    End,
}

/// The boundary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundaryContract {
    /// On which connections it is sent, exactly once each.
    pub sent: BoundarySent,
    /// True when its place is fixed before the replay begins: what is published during the replay comes behind it.
    #[serde(default)]
    pub fixed: bool,
}

/// On which connections a boundary is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BoundarySent {
    /// On every connection that reaches live, at the seam.
    Always,
    /// Only where nothing is replayed: no cursor, or a cursor that is refused or evicted. Absent after a valid resume.
    WithoutReplay,
    /// At the seam, but possibly again later (up-to-date marks).
    AtLeastOnce,
}

/// Live-only events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EphemeralContract {
    /// True when a live reader that keeps up receives every one of them.
    #[serde(default)]
    pub delivered: bool,
    /// True when an ephemeral event keeps its place among durable ones on each connection.
    #[serde(default)]
    pub ordered: bool,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalContract {
    /// True when the server ends the stream after it. Default true.
    #[serde(default = "yes")]
    pub closes: bool,
    /// True when a reconnect that presents the terminal's cursor (or comes after it) is refused with another status than 200.
    #[serde(default)]
    pub stops_reconnect: bool,
    /// True when publishes are refused afterwards. Default true.
    #[serde(default = "yes")]
    pub refuses_publish: bool,
    /// True when the terminal is kept and replayed. Default true.
    #[serde(default = "yes")]
    pub replayed: bool,
}

/// What a cursor is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum CursorAnswer {
    /// One of these statuses, before the stream.
    Refused {
        /// The statuses.
        status: StatusSet,
    },
    /// A behaviour of the stream.
    Stream(StreamAnswer),
}

/// How a stream may answer a cursor that is none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamAnswer {
    /// Any 4xx or 5xx before the stream.
    Refuse,
    /// Everything that is kept, as without a cursor.
    Start,
    /// Nothing old; live events from now on, all of them.
    Live,
    /// The gap signal, then what the contract says follows it.
    Gap,
    /// The boundary, without replay, then live.
    Boundary,
    /// Resumed as if it were the session's own (an opaque cursor that stays valid).
    Resume,
}

/// One status or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StatusSet {
    /// Exactly this.
    One(u16),
    /// Any of these.
    Any(Vec<u16>),
}

impl std::fmt::Display for StatusSet {
    /// `410`, or `404 or 410`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StatusSet::One(one) => write!(f, "{one}"),
            StatusSet::Any(any) => f.write_str(&any.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")),
        }
    }
}

impl StatusSet {
    /// True when `status` is in the set.
    pub fn contains(&self, status: u16) -> bool {
        match self {
            StatusSet::One(one) => *one == status,
            StatusSet::Any(any) => any.contains(&status),
        }
    }
}

/// Idempotent publishes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// Keys outlive a restart.
    #[serde(default)]
    pub survives_restart: bool,
    /// The repeated publish is answered with the first one's cursor.
    #[serde(default)]
    pub same_cursor: bool,
    /// The same key with other content is refused.
    #[serde(default)]
    pub conflict_refused: bool,
}

/// What a reader that does not read gets once it reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SlowReader {
    /// Everything, a gap signal, or the end of its connection; never a silent hole.
    Told,
}

/// Deadlines, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Liveness {
    /// From an acknowledgement to the delivery at a live reader; also from the terminal to the end of the stream.
    pub delivery_ms: u64,
    /// From a subscription to its response head on an idle session. 0: not promised. Default 2,000.
    #[serde(deserialize_with = "none_is_zero")]
    pub headers_ms: Option<u64>,
    /// Interval of heartbeats on an idle stream. Absent: not promised.
    pub heartbeat_ms: Option<u64>,
}

fn none_is_zero<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::deserialize(from)?.filter(|ms| *ms > 0))
}

impl Default for Liveness {
    fn default() -> Self {
        Liveness { delivery_ms: 2_000, headers_ms: Some(2_000), heartbeat_ms: None }
    }
}

/// By which way a cursor travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CursorCarrier {
    /// A request header of this name.
    Header(String),
    /// A query parameter of this name.
    Query(String),
    /// A JSON pointer into the request body.
    Body(String),
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
