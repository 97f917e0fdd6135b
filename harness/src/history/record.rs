//! One observation of a run.
//!
//! A history is a list of [`Record`]s in the order in which the harness saw them. Numbers ([`SessionIx`], [`ConnId`],
//! [`OpId`]) are given once, by the record that introduces the thing, and used afterwards; names for people stand only in
//! the introducing record. Nothing here judges: what a record *means* under a contract is the business of `crate::check`.

use serde::{Deserialize, Serialize};

use super::marker::{Body, Marker};

/// Microseconds since the run began, by a monotonic (or virtual) clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// A session of the run, numbered from 0 in the order in which the scenario opened them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionIx(pub u32);

/// A connection of the run (streams, history pages and snapshots alike), numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u32);

/// An operation of the run, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u32);

/// One observation and its time.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// When it was observed.
    pub at: Micros,
    /// What was observed.
    pub what: What,
}

/// Everything that can be observed.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The runner begins a step of the scenario (the index is into its expanded steps).
    Step(Step),
    /// A session gets its number. Comes before the operation that opens it.
    Session(Session),
    /// The cursor at which a session began became known.
    Opened(Opened),
    /// An operation is sent.
    Invoke(Invoke),
    /// An operation ended; `Unknown` when the answer never came.
    Complete(Complete),
    /// A reader (or a finite read) asks for events.
    Connect(Connect),
    /// The head of the answer to a `Connect`.
    Answer(Answer),
    /// One event or control frame arrived.
    Delivery(Delivery),
    /// A comment or keep-alive arrived (SSE comment, empty line).
    Comment(Comment),
    /// The decoder found something that the format forbids or advises against.
    Lint(Lint),
    /// A mainstream client's decoding of the connection's bytes, compared with ours.
    Opinion(Opinion),
    /// A connection ended.
    End(End),
    /// The harness applied a fault.
    Fault(Fault),
    /// The server's process changed its state.
    Process(Process),
    /// Resources of the server's processes.
    Resources(Resources),
    /// The runner waited for something.
    Wait(Wait),
    /// The scenario expected something of an answer.
    Expectation(Expectation),
    /// A planted secret came back.
    Leaked(Leaked),
    /// The answer to a request that paid, or had to.
    Paid(super::Paid),
    /// What the server said of an account.
    Told(super::Told),
}

/// A step of the scenario, for timelines.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// Position among the scenario's steps, from 0; steps inside a repetition share it.
    pub index: u32,
    /// The step as a person would say it.
    pub says: String,
}

/// A session and what was asked for it.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// Its number.
    pub session: SessionIx,
    /// Its name in the scenario.
    pub name: String,
    /// The retention that was asked for when it was opened, where that differs from the contract's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<Retain>,
    /// The session that this one replaces under the same server-side id, after a delete or a wipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reborn_of: Option<SessionIx>,
}

/// The cursor from which a session's first event follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Opened {
    /// Which session.
    pub session: SessionIx,
    /// The cursor.
    pub cursor: String,
}

/// Bounds of what is kept. A missing bound does not bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retain {
    /// Durable events kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// Bytes of payload kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Age in milliseconds up to which events are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<i64>,
}

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
    Pay(super::Payment),
    /// Another request whose answer is judged by its status alone.
    Probe {
        /// What is probed.
        about: Probe,
        /// The session it touches, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionIx>,
    },
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

fn yes() -> bool {
    true
}

fn is_true(b: &bool) -> bool {
    *b
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
        cursor: Option<String>,
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
    pub reader: String,
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
        value: String,
        /// What kind of cursor it is.
        class: CursorClass,
        /// A second, older cursor sent by the way that must lose (header against query).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<String>,
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
    pub content_type: Option<String>,
    /// `Cache-Control`, if sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
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

/// One event or control frame.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Delivery {
    /// On which connection.
    pub conn: ConnId,
    /// The frame's number on its connection, from 0; records of one batch share it.
    pub frame: u32,
    /// What it is.
    pub kind: Kind,
    /// The type it names, bounded to 100 bytes.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub event_type: String,
    /// The cursor that it carries itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The token found in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Marker>,
    /// Digest of its payload, where the binding says how to find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// False when the profile says that this type is live-only.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub durable: bool,
    /// The cursor in its payload: the fence of a boundary, the oldest of a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points_to: Option<String>,
    /// What it says of a key of the contract's machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
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
    pub reader: String,
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
