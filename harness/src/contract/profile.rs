//! Profile files: a protocol's contract (what it promises) and binding (how it looks on the wire), as data.
//!
//! These types are what TOML is read into and what `streamspec schema profile` describes. Reading and its errors are in
//! `file.rs`; what a binding does to bytes is in `crate::run::binding`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Acknowledged, AuthContract, Binding, CursorCarrier, FilesContract, LogMapping, Machine, PaymentContract, TranscriptRules};
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
    /// How its transcripts are made the same for every run of a right server.
    #[serde(default)]
    pub transcript: TranscriptRules,
    /// How logs of the protocol are read by `streamspec check`.
    pub log: Option<LogMapping>,
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

    /// True when one stream carries all sessions, so that a session begins where the stream stood when it was opened.
    pub fn is_one_stream(&self) -> bool {
        self.binding.subscribe.start.as_ref().is_some_and(|start| start.contains("{opened}"))
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

impl Durability {
    /// Whether acknowledged events survive a stop of the server by this signal.
    pub(crate) fn survives(&self, signal: &str) -> bool {
        if signal == "TERM" { self.restart } else { self.kill }
    }
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
    /// Whether a reader without cursor is told as well that the beginning is missing. Only a frame can tell it: a refusal
    /// would keep it out for ever.
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

/// The longest wait for a heartbeat that takes place unless a longer deadline is asked for.
const LONGEST_HEARTBEAT_WAIT: Duration = Duration::from_secs(5);

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

impl Liveness {
    /// How long an idle stream must be waited on until its silence is one: two intervals, and half of one for a slow machine.
    /// None where no heartbeat is promised, or so seldom that no run waits that long by itself.
    pub fn heartbeat_wait(&self) -> Option<Duration> {
        self.heartbeat_ms.map(|ms| Duration::from_millis(ms.saturating_mul(5) / 2)).filter(|wait| *wait <= LONGEST_HEARTBEAT_WAIT)
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Liveness { delivery_ms: 2_000, headers_ms: Some(2_000), heartbeat_ms: None }
    }
}
