//! A case: what the server does to a client, and what the client must be seen to do.
//!
//! Cases are data. The server answers the requests for the stream one after the other, each with the next reply; behind
//! the last one it answers 204. What a case shows is judged over the log by `crate::check`.

use super::log::{Event, PublishAnswer};
use crate::client::orders::Outcome;

/// What a client must be able to do for a case. One that cannot exits with status 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Send the headers of `STREAMSPEC_HEADERS`.
    Headers,
    /// Open the stream with `STREAMSPEC_METHOD` and `STREAMSPEC_BODY`.
    Post,
    /// Apply an event once although it comes twice.
    Dedup,
    /// Know the gap frame, and fetch `STREAMSPEC_SNAPSHOT`.
    Gap,
    /// Keep its position in the file `STREAMSPEC_STATE`.
    State,
    /// Close the stream when `{"close":true}` comes on standard input.
    Close,
    /// Publish when it is ordered to: for adapters only.
    Publish,
    /// Start over within its process when it is ordered to: for adapters only.
    Restart,
    /// Take orders: for adapters only.
    Orders,
}

impl Need {
    /// The word for it in `STREAMSPEC_NEEDS`.
    pub fn word(self) -> &'static str {
        match self {
            Need::Headers => "headers",
            Need::Post => "post",
            Need::Dedup => "dedup",
            Need::Gap => "gap",
            Need::State => "state",
            Need::Close => "close",
            Need::Publish => "publish",
            Need::Restart => "restart",
            Need::Orders => "orders",
        }
    }

    /// True for what only an adapter can be asked to do.
    pub fn is_of_adapters(self) -> bool {
        matches!(self, Need::Publish | Need::Restart | Need::Orders)
    }
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What happens in it, in one sentence.
    pub says: String,
    /// What the client must be able to do.
    pub needs: Vec<Need>,
    /// The answers to requests for the stream, in order.
    pub replies: Vec<Reply>,
    /// The answer to a request for the snapshot.
    pub snapshot: Option<String>,
    /// True when the stream is a WebSocket.
    pub socket: bool,
    /// True when the client is started once more when it has ended.
    pub again: bool,
    /// Written over the state file before the client is started again.
    pub damage: Option<&'static str>,
    /// Behind the replies stands the reference server, which is cut.
    pub reference: Option<Reference>,
    /// How requests with a publish are answered: those with publish n, counted from 1, one after the other; what is not listed
    /// is accepted.
    pub publishes: Vec<(u32, PublishAnswer)>,
    /// What is judged.
    pub checks: Vec<(&'static str, Check)>,
}

/// The reference server behind the fault proxy, in place of replies.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Events that are there when the client comes.
    pub before: u32,
    /// Events that are published once those were applied; then the session is closed.
    pub live: u32,
    /// What happens to each connection; the ones behind them pass clean.
    pub plans: Vec<crate::world::live::proxy::Plan>,
}

/// An answer to a request for the stream.
#[derive(Clone, Debug)]
pub struct Reply {
    /// How it begins.
    pub head: Head,
    /// What follows; the connection is closed behind the last step.
    pub steps: Vec<Step>,
}

/// How an answer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// Status 200, `text/event-stream` or another value, a chunked body.
    Stream {
        /// `Content-Type`; `None` for no such header.
        content_type: Option<&'static str>,
    },
    /// Another status, with these header lines, and a chunked body of the type `text/event-stream`.
    Status {
        /// Such as `404 Not Found`.
        status: &'static str,
        /// Such as `Location: /moved`.
        headers: &'static str,
    },
    /// The connection is reset before a request is read.
    Refuse,
    /// Status 101, and messages behind the client's first one.
    Socket,
}

/// What a server does in the body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes these bytes as one chunk.
    Send(Vec<u8>),
    /// Writes these bytes in chunks of this many.
    Pieces(Vec<u8>, usize),
    /// Writes the events `e1` to this one whose ids, their numbers, are behind the cursor that the request presents.
    Replay(u32),
    /// Sends this as a text message.
    Say(String),
    /// Sends this as a text message in fragments of this many bytes.
    Fragments(String, usize),
    /// Sends what a client of WebSockets is to bear beside text: a ping, and a binary message.
    Beside,
    /// Sends a ping, and waits for its pong.
    Ping,
    /// Waits until the client has applied an event with this data.
    Until(String),
    /// Waits until the client has said that it closed the stream.
    UntilClosed,
    /// Resets the connection.
    Reset,
    /// Closes the connection without ending the chunked body.
    Break,
    /// Kills the client; it is started again.
    Kill,
    /// Tells the client to close the stream.
    Close,
    /// Keeps the connection open until the client leaves it.
    Hold,
    /// Waits until the client has left this other connection.
    UntilLeft(u32),
    /// Orders the client to publish this one.
    Publish(u32),
    /// Waits until the client has said what became of this publish.
    UntilPublished(u32),
    /// Orders the client to start over.
    Restart,
}

/// What must be seen. Requests are counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Of the events whose reply was sent, exactly these are applied, in this order, each once.
    Applies(Vec<Due>),
    /// No event is applied twice, but for those under way at a kill, which are named.
    Once {
        /// Their data.
        but: Vec<String>,
    },
    /// Each of these events is applied at least once.
    Misses(Vec<Due>),
    /// The event with this data is applied while its connection is still open.
    Prompt(String),
    /// This request comes.
    Comes(u32),
    /// No request comes behind this one.
    StopsAfter(u32),
    /// A header of a request.
    Header {
        /// Which request.
        nth: u32,
        /// Its name.
        name: &'static str,
        /// What it must be.
        want: Want,
    },
    /// The path of a request.
    Path {
        /// Which request.
        nth: u32,
        /// What it must be.
        want: &'static str,
    },
    /// The method of a request.
    Method {
        /// Which request.
        nth: u32,
        /// What it must be.
        want: &'static str,
    },
    /// The body of a request.
    Body {
        /// Which request.
        nth: u32,
        /// What it must be.
        want: &'static str,
    },
    /// The time from the end of the connection before a request to the request.
    Waits {
        /// Which request.
        nth: u32,
        /// At least so long, in milliseconds.
        least: Option<u64>,
        /// At most so long, beside what the client's start took four times over.
        most: Option<u64>,
    },
    /// The client says that events are missing, or that it started over, before it applies the next event.
    TellsGap {
        /// The reply that gives it cause.
        after: u32,
    },
    /// The client fetches the snapshot before it asks for the stream again or applies another event.
    Refetches {
        /// The reply that gives it cause.
        after: u32,
    },
    /// Nothing is applied and nothing is asked once the client was told to close.
    QuietAfterClose,
    /// The first message on this WebSocket subscribes.
    Subscribes(u32),
    /// The ping on this WebSocket is answered.
    Pongs(u32),
    /// Behind this answer no request comes, or none earlier than this many milliseconds.
    EndsOrWaits(u32, u64),
    /// The client leaves this connection by itself.
    Leaves(u32),
    /// Every request with this publish has its own key.
    KeepsKey(u32),
    /// What the client says became of this publish, once its first request was answered.
    Reports {
        /// Which publish.
        publish: u32,
        /// What it must say.
        outcome: Outcome,
    },
    /// Publishes are accepted in the order in which they were asked for.
    PublishesInOrder,
    /// No request with this publish comes behind the one that was accepted or refused.
    PublishesOnce(u32),
    /// The second request with this publish comes no earlier behind the first than this many milliseconds.
    PutsOff(u32, u64),
    /// The first request with this publish has its body, and this header.
    Carries {
        /// Which publish.
        publish: u32,
        /// A header line, `Name: value`.
        header: &'static str,
    },
    /// `init` is answered in each life, with the version that it names and features that there are.
    Introduces,
    /// Each order is answered once, under its number, and nothing else is answered.
    Answers,
    /// No order is answered with `unsupported`.
    KeepsWord,
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Exactly these bytes.
    Is(Vec<u8>),
    /// One of these.
    OneOf(Vec<Vec<u8>>),
    /// It contains this.
    Has(&'static str),
    /// It is not there, or empty.
    Absent,
}

/// An event that is due once its reply was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The reply that brings it, counted from 1.
    pub reply: u32,
    /// What it is; the id is compared where both sides name one.
    pub event: Event,
}

/// The type of the event that ends every stream here. It is not among the events that are due.
pub const TERMINAL: &str = "end";
/// The type of the event that ends a turn over WebSockets. It is due like any other.
pub const SEALED: &str = "turn-sealed";
/// The type of the frame that marks the seam between replay and live.
pub const BOUNDARY: &str = "ready";
/// The type of the frame that says that events are missing.
pub const GAP: &str = "gap";

impl Case {
    pub(super) fn new(name: &str, says: &str) -> Case {
        Case {
            name: name.to_owned(),
            says: says.to_owned(),
            needs: Vec::new(),
            replies: Vec::new(),
            snapshot: None,
            socket: false,
            again: false,
            damage: None,
            reference: None,
            publishes: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// The requirements that it shows, each once.
    pub fn judges(&self) -> Vec<&'static str> {
        let mut ids: Vec<&'static str> = Vec::new();
        for (id, _) in &self.checks {
            if !ids.contains(id) {
                ids.push(id);
            }
        }
        ids
    }

    /// True when only an adapter can be asked for what it needs.
    pub fn is_of_adapters(&self) -> bool {
        self.needs.iter().any(|need| need.is_of_adapters())
    }

    /// The case with what is judged of every adapter, whatever it is about.
    pub fn with_orders(self) -> Case {
        if self.judges().contains(&"C-ADAPT-1") {
            return self;
        }
        self.check("C-ADAPT-1", Check::Introduces).check("C-ADAPT-2", Check::Answers).check("C-ADAPT-3", Check::KeepsWord)
    }

    /// How the next request with this publish is answered.
    pub(super) fn answers(mut self, publish: u32, answer: PublishAnswer) -> Case {
        self.publishes.push((publish, answer));
        self
    }

    pub(super) fn needs(mut self, need: Need) -> Case {
        self.needs.push(need);
        self
    }

    pub(super) fn reply(mut self, reply: Reply) -> Case {
        self.replies.push(reply);
        self
    }

    pub(super) fn check(mut self, id: &'static str, check: Check) -> Case {
        self.checks.push((id, check));
        self
    }

    /// These events, as (reply, type, data), and nothing else.
    pub(super) fn applies(self, id: &'static str, events: &[(u32, &str, &str)]) -> Case {
        self.check(id, Check::Applies(dues(events)))
    }

    /// The cursor that a request presents; empty for none.
    pub(super) fn presents(self, id: &'static str, nth: u32, cursor: &str) -> Case {
        let want = if cursor.is_empty() { Want::Absent } else { Want::Is(cursor.as_bytes().to_vec()) };
        self.check(id, Check::Header { nth, name: "Last-Event-ID", want })
    }
}

/// Events as (reply, type, data).
pub(super) fn dues(events: &[(u32, &str, &str)]) -> Vec<Due> {
    let due = |(reply, event_type, data): &(u32, &str, &str)| Due {
        reply: *reply,
        event: Event { id: None, event_type: Some((*event_type).to_owned()), data: (*data).to_owned() },
    };
    events.iter().map(due).collect()
}

impl Reply {
    /// A stream as it should be.
    pub(super) fn stream() -> Reply {
        Reply { head: Head::Stream { content_type: Some("text/event-stream") }, steps: Vec::new() }
    }

    pub(super) fn of_type(content_type: Option<&'static str>) -> Reply {
        Reply { head: Head::Stream { content_type }, steps: Vec::new() }
    }

    pub(super) fn status(status: &'static str, headers: &'static str) -> Reply {
        Reply { head: Head::Status { status, headers }, steps: Vec::new() }
    }

    pub(super) fn refuse() -> Reply {
        Reply { head: Head::Refuse, steps: Vec::new() }
    }

    pub(super) fn step(mut self, step: Step) -> Reply {
        self.steps.push(step);
        self
    }

    pub(super) fn send(self, bytes: impl AsRef<[u8]>) -> Reply {
        self.step(Step::Send(bytes.as_ref().to_vec()))
    }

    pub(super) fn until(self, data: &str) -> Reply {
        self.step(Step::Until(data.to_owned()))
    }

    /// The terminal event, with which a case ends.
    pub(super) fn end(self) -> Reply {
        self.send("event: end\ndata: over\n\n")
    }
}
