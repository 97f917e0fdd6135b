//! Steps: what a scenario can say.
//!
//! A scenario is an ordered list of steps. A step acts on sessions (`s`), readers (`a`) and the server's process by name.
//! Faults that strike a connection at a place in its bytes (`cut`, `stall`, `hold`, `shape`) are armed when that
//! connection opens, because a byte that has passed cannot be cut: the runner looks ahead from a `subscribe` or `resume` to
//! the fault steps of the same reader up to its next `subscribe` or `resume`. The fault step itself then waits until its
//! fault was applied.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Do, Funding, Pay};
use crate::history::{CursorClass, Probe, Retain, Role};

/// A scenario file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name, `[a-z0-9-]+`, equal to the file's.
    pub name: String,
    /// What a right server shows in it, in one sentence.
    pub says: String,
    /// What the profile and the target must offer; otherwise the scenario is not applicable.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// The requirements it is written for. Others are judged in it as well.
    #[serde(default)]
    pub judges: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// What the runner does at the end: settle every session with a last marker, then read it back by every way there is.
    /// Default true.
    #[serde(default = "yes")]
    pub audit: bool,
    /// At most this many places of a sweep (`"each"`), evenly spread. Default 64.
    pub sweep_limit: Option<u32>,
}

fn yes() -> bool {
    true
}

fn one() -> Count {
    Count::N(1)
}

/// Something a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// `binding.publish`.
    Publish,
    /// Cursors, and a way to present them.
    Resume,
    /// Cursors that count, so that one above the head can be made up.
    Numbers,
    /// Streams over which single bytes can be cut (plain HTTP).
    Proxy,
    /// SIGKILL and restart on the same data.
    Kill,
    /// Graceful stop and restart on the same data.
    Restart,
    /// Restart on removed data.
    Wipe,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// The contract promises that acknowledged events survive a kill.
    SurvivesKill,
    /// The contract promises that acknowledged events survive a graceful restart.
    SurvivesRestart,
    /// `binding.history`.
    History,
    /// `binding.snapshot`.
    Snapshot,
    /// `binding.close` and a terminal event.
    Close,
    /// `binding.delete`.
    Delete,
    /// Live-only events.
    Ephemeral,
    /// Idempotency keys.
    Idempotency,
    /// A boundary.
    Boundary,
    /// A gap signal.
    Gap,
    /// A bound by number of events that the scenario can reach.
    RetainRecords,
    /// A bound by bytes that the scenario can reach.
    RetainBytes,
    /// A bound by age that the scenario can reach.
    RetainAge,
    /// Bounds are validated when a session is opened.
    RetainValidated,
    /// Heartbeats.
    Heartbeat,
    /// Subscribing at the live end without replay.
    Live,
    /// Two ways of carrying a cursor, with a documented order.
    TwoCarriers,
    /// Hostile text in payloads.
    Text,
    /// Publishes name the event's type (`{type}` in `binding.publish`).
    EventType,
    /// Sessions refuse what is unknown.
    UnknownSession,
    /// Resources of the server's processes can be read.
    Resources,
    /// A promise about slow readers.
    SlowReader,
    /// Sessions go on after the process was stopped.
    OutlivesProcess,
    /// Sessions are work that ends with the process.
    EndsWithProcess,
    /// Credentials are demanded.
    Auth,
    /// Secrets are masked.
    Redacts,
    /// Files are served.
    Files,
    /// The contract has machines.
    Machines,
    /// Streams are paid.
    Payment,
    /// The target names a program that reads streams with a client of its own.
    Driver,
}

/// A number, or every place where the fault can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Count {
    /// This many.
    N(u32),
    /// One run of the scenario for each possible value.
    Each(Each),
}

/// The word that makes a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// Every place.
    Each,
}

/// One step: a table with exactly one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Create a session.
    Open(Open),
    /// Publish events and wait for each answer.
    Publish(Publish),
    /// Publish in the background until the count is reached; `join` waits for it.
    Writer(Writer),
    /// Wait until a background writer, or background operations, have finished.
    Join(Join),
    /// Open the first connection of a reader (or another, overlapping one).
    Subscribe(Subscribe),
    /// Open the next connection of a reader at its own cursor. An open connection is closed first, unless `overlap`.
    Resume(Resume),
    /// Close a reader's connection from its side.
    Drop(OfReader),
    /// Cut the reader's connection at a place.
    Cut(Cut),
    /// Stop reading at a place, with a small receive buffer.
    Stall(Stall),
    /// Read on.
    Unstall(OfReader),
    /// Keep the connection's bytes back from a place on; they arrive late.
    Hold(Stall),
    /// Let held bytes arrive.
    Release(OfReader),
    /// Delay or re-chunk the connection's bytes.
    Shape(Shape),
    /// Wait for something at a reader, with the contract's deadline.
    Await(Await),
    /// Publish while a reader goes from replay to live.
    Seam(Seam),
    /// Publish beyond the retention (or let its age pass) so that the oldest events are evicted.
    Evict(Evict),
    /// Read history pages.
    Read(Read),
    /// Read the snapshot.
    Snapshot(SnapshotStep),
    /// End a session.
    Close(Close),
    /// Remove a session.
    Delete(OfSession),
    /// Stop and start the process.
    Restart(Restart),
    /// Pause the process (SIGSTOP).
    Pause(Empty),
    /// Continue the process (SIGCONT).
    Continue(Empty),
    /// A request that must be refused.
    Probe(ProbeStep),
    /// Open and drop many connections.
    Churn(Churn),
    /// Sample the resources of the server's processes.
    Sample(Sample),
    /// Repeat steps.
    Repeat(Repeat),
    /// An operation of the profile's own, with what is expected of its answer.
    Do(Box<Do>),
    /// A payment by hand.
    Pay(Box<Pay>),
}

/// No parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// A session by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfSession {
    /// Its name.
    pub session: String,
}

/// A reader by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfReader {
    /// Its name.
    pub reader: String,
}

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

fn one_u32() -> u32 {
    1
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// `subscribe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The reader's name.
    pub reader: String,
    /// Which session.
    pub session: String,
    /// Where to start. Default: at the oldest kept.
    #[serde(default)]
    pub from: Start,
    /// What is special about it.
    #[serde(default)]
    pub role: Role,
    /// Send a second, older cursor by the way that must lose.
    #[serde(default)]
    pub beside: bool,
    /// How many such readers (`a`, `a2`, `a3` …). Default 1.
    #[serde(default = "one_u32")]
    pub readers: u32,
    /// How it pays, where streams are paid. Default: from a wallet of its own, far ahead.
    pub pay: Option<Funding>,
    /// Ask for what is at this path, instead of the session's stream.
    pub content: Option<String>,
}

/// Where a subscription starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the oldest event kept.
    #[default]
    #[serde(rename = "start")]
    Oldest,
    /// Behind the newest event.
    Live,
    /// After the n-th durable event of the session (1 is the first; the cursor of its acknowledgement or of a delivery).
    After(Count),
    /// After the session's newest event.
    Head,
    /// At the cursor of the last snapshot of the session.
    Snapshot,
    /// At an id on a frame that is no durable event; all that were seen, one connection each.
    Synthetic,
    /// At every id ever seen on any frame, one connection each.
    EveryId,
    /// A cursor that is none of this session's, made to the profile's grammar; see [`CursorClass`].
    Class(CursorClass),
    /// A cursor of another session of the scenario.
    Of(String),
    /// This text.
    Text(String),
}

/// `resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The reader.
    pub reader: String,
    /// Leave its open connection open.
    #[serde(default)]
    pub overlap: bool,
    /// Present the cursor with which its last connection was opened instead of the newest one.
    #[serde(default)]
    pub same_cursor: bool,
    /// Reset this many connection attempts before one passes.
    #[serde(default)]
    pub refuse_first: u32,
    /// Send the cursor of its first connection as well, by the way that must lose.
    #[serde(default)]
    pub beside: bool,
}

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

/// `await`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Await {
    /// The reader.
    pub reader: String,
    /// What for.
    pub upto: Upto,
    /// The requirement that is violated when it does not come. Absent: those that follow from what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judges: Option<String>,
}

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Upto {
    /// The newest acknowledged event of its session.
    Last,
    /// The n-th event published to its session.
    Event(u32),
    /// That many events on its newest connection.
    Count(u32),
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
    /// A heartbeat.
    Heartbeat,
    /// The end of its connection.
    Closed,
}

/// `seam`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seam {
    /// The reader that connects.
    pub reader: String,
    /// Which session.
    pub session: String,
    /// How many events are published while it connects.
    pub publish: u32,
    /// From where it reads. Default: the oldest kept.
    #[serde(default)]
    pub from: Start,
    /// When the publishing starts.
    #[serde(default)]
    pub when: SeamTime,
    /// How many times, each with a new connection of the reader.
    #[serde(default = "one_u32")]
    pub times: u32,
}

/// When the events of a seam are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeamTime {
    /// Together with the request.
    #[default]
    WithRequest,
    /// When the response head has come.
    AtHeaders,
    /// When the first event of the replay has come, the rest being held back by the reader's slowness.
    InReplay,
    /// When the boundary (or the last replayed event) has come.
    AtBoundary,
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

/// `read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Which session.
    pub session: String,
    /// Page size. Default: the server's.
    pub limit: Option<u32>,
    /// Where to start.
    #[serde(default)]
    pub from: Start,
    /// Publish one event between two pages.
    #[serde(default)]
    pub moving: bool,
}

/// `snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotStep {
    /// Which session.
    pub session: String,
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

/// `probe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeStep {
    /// What.
    pub about: Probe,
    /// The session it touches, where it touches one.
    pub session: Option<String>,
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

/// `repeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// What.
    pub steps: Vec<Step>,
}
