//! The worlds a scenario can run in.
//!
//! A world turns what the runner asks for (operations, connections, faults, process control) into observations. The
//! runner knows no sockets and no bytes; a world knows no steps and no expectations. All waiting goes through
//! [`World::wait`], so that a simulated world can advance its clock instead.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::history::{ConnId, From, Item, Marker, Micros, OpId, Outcome, Probe, Resources, Retain, Role, Surface, What};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::scenario::{Cut, Funding, How, Pay, PublishFault, Shape, Stall, Stop};

pub mod live;
pub mod sim;

/// A session as the server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The server's name for it.
    pub id: String,
    /// What else the answer to its opening gave.
    pub taken: BTreeMap<String, String>,
}

/// An operation.
#[derive(Clone, Debug)]
pub enum Call {
    /// Create the session; the address holds the name that the harness proposes.
    Open(Option<Retain>),
    /// Append an event.
    Publish {
        /// The payload.
        payload: Arc<str>,
        /// The type.
        event_type: &'static str,
        /// The idempotency key.
        key: Option<String>,
        /// False for live-only events.
        durable: bool,
        /// The operation of the profile's own that publishes it, instead of `binding.publish`.
        by: Option<String>,
        /// What happens to it on its way.
        fault: Option<PublishFault>,
    },
    /// End the session.
    Close,
    /// Remove the session.
    Delete,
    /// Ask whether the server lives.
    Health,
    /// A request that must be refused.
    Probe(Probe),
    /// An operation of the profile's own, or a bound one by its name, with more values for its templates.
    Custom {
        /// Its name.
        name: String,
        /// The values.
        with: BTreeMap<String, String>,
    },
}

/// What an operation brought.
#[derive(Clone, Debug)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// What the binding takes out of the answer.
    pub taken: BTreeMap<String, String>,
    /// The answer itself, for what a scenario expects of it.
    pub answer: Option<Whole>,
}

/// An answer, read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Whole {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.body).ok()
    }
}

/// A stream to open.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its number.
    pub conn: ConnId,
    /// Whose it is; connections of one reader share a link, over which late delivery is possible.
    pub reader: SmolStr,
    /// Which of that reader's connections, from 1.
    pub nth: u32,
    /// Which session of the run, for the record.
    pub session: crate::history::SessionIx,
    /// Which session.
    pub address: Rc<Address>,
    /// Where it starts.
    pub from: From,
    /// What is special about it.
    pub role: Role,
    /// Faults armed on it.
    pub faults: Vec<ConnFault>,
    /// Whether [`Command::Cut`] may come for it.
    pub cut_on_command: bool,
    /// How it pays, where streams are paid.
    pub funding: Funding,
    /// The path that it asks for instead of the session's stream.
    pub content: Option<String>,
}

/// A fault of one connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnFault {
    /// Cut it.
    Cut(Cut),
    /// Stop reading.
    Stall(Stall),
    /// Keep its bytes back.
    Hold(Stall),
    /// Delay or re-chunk.
    Shape(Shape),
    /// Reset this many attempts first.
    RefuseFirst(u32),
}

/// Which observations a wait looks at: those that can make what it waits for come true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// All.
    All,
    /// Of the events that arrive this one alone; everything that is no event.
    Event(Marker),
    /// Everything that is no event.
    NoEvent,
}

impl Watch {
    /// The event that it looks at.
    pub(crate) fn event(self) -> Option<Marker> {
        match self {
            Watch::Event(marker) => Some(marker),
            Watch::All | Watch::NoEvent => None,
        }
    }
}

/// A command to an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Cut it now.
    Cut(How),
    /// Read on.
    Unstall,
    /// Let held bytes arrive.
    Release,
    /// Close it from the reader's side.
    Close,
}

/// A finite read: one page of history, or a snapshot.
#[derive(Clone, Debug)]
pub struct PageRead {
    /// Under which number it is recorded.
    pub conn: ConnId,
    /// History or snapshot.
    pub surface: Surface,
    /// Which session.
    pub address: Address,
    /// The cursor, if one is presented.
    pub cursor: Option<SmolStr>,
    /// The page size asked for.
    pub limit: Option<u32>,
}

/// The answer to a finite read.
#[derive(Clone, Debug)]
pub struct PageAnswer {
    /// Its status.
    pub status: u16,
    /// Whether the binding accepts it.
    pub accepted: bool,
    /// Its media type.
    pub content_type: Option<SmolStr>,
    /// Its events.
    pub seen: Vec<Item>,
    /// The cursor behind it (history: of the next page; snapshot: at which it is true).
    pub cursor: Option<SmolStr>,
    /// Whether more follows, where the answer says so.
    pub more: Option<bool>,
    /// The beginning of a refusal's body.
    pub body: String,
    /// The whole body.
    pub text: String,
}

/// A world. All methods take `&self`: steps, background writers and waits run side by side on one thread.
#[allow(async_fn_in_trait, reason = "worlds are used generically on one thread; no caller needs a Send bound")]
pub trait World {
    /// Time since the run began.
    fn now(&self) -> Micros;

    /// Where observations go.
    fn recorder(&self) -> &Recorder;

    /// Whether this server's response heads were waited for in vain before, in this run or an earlier one.
    fn heads_are_late(&self) -> bool {
        false
    }

    /// A response head was waited for in vain.
    fn head_was_late(&self) {}

    /// Performs an operation and returns what it brought; never fails, an answer that does not come is an outcome.
    async fn call(&self, op: OpId, address: &Address, call: Call) -> Reply;

    /// Begins a connection and returns at once; what it sees is recorded and shows in the progress.
    fn connect(&self, opening: Opening) -> Progress;

    /// The cursor on the boundary of a connection that presents none: where the server's numbering stands now. Nothing of
    /// it is recorded. `None` when no boundary comes in time.
    async fn fence(&self, deadline: Duration) -> Option<String>;

    /// Pays by hand, and records the request and what came of it. Returns the server's name for the wallet's account; an
    /// error says why nothing could be sent.
    async fn pay(&self, session: crate::history::SessionIx, address: &Address, pay: &Pay) -> Result<Option<String>, String>;

    /// Tells a connection something. Without effect when it has ended.
    fn command(&self, conn: ConnId, command: Command);

    /// A finite read's request as one could repeat it by hand.
    fn describe(&self, read: &PageRead) -> String;

    /// Reads one page of history, or the snapshot; an error says why there was no answer.
    async fn read(&self, read: PageRead) -> Result<PageAnswer, String>;

    /// Opens and drops `connections` streams of the session, `concurrent` at a time; returns how many were accepted.
    async fn churn(&self, address: &Address, connections: u32, concurrent: u32) -> u32;

    /// Stops the process, proves that it is gone, removes its data if asked to, starts it and waits until it is ready.
    async fn restart(&self, how: Stop, wipe: bool) -> Result<(), String>;

    /// Pauses or continues the process.
    async fn pause(&self, paused: bool) -> Result<(), String>;

    /// Resources of the server's processes, if they can be read.
    fn resources(&self, label: &str, connections: u64) -> Option<Resources>;

    /// Why the server is not there any more, if it ended although nobody asked it to.
    fn died(&self) -> Option<String>;

    /// True while the server is away because the harness stopped it (or it died).
    fn absent(&self) -> bool;

    /// Records an observation of the runner's.
    fn record(&self, what: What) {
        self.recorder().record(self.now(), what);
    }

    /// True when the run has seen more than it can keep.
    fn full(&self) -> bool {
        self.recorder().full()
    }

    /// Waits until `done` holds or `deadline` has passed; true when it holds. It is looked at after every observation that
    /// `watch` does not leave out.
    async fn wait_for(&self, watch: Watch, deadline: Duration, done: impl FnMut() -> bool) -> bool;

    /// As [`World::wait_for`], with a look after every observation.
    async fn wait(&self, deadline: Duration, done: impl FnMut() -> bool) -> bool {
        self.wait_for(Watch::All, deadline, done).await
    }

    /// Lets time pass, where the passing of time is itself the stimulus (age limits).
    async fn pass(&self, time: Duration);
}
