//! What was seen of a client under test: both sides of the wire, what it applied, its processes; in the order of time.

use serde::Deserialize;

use crate::client::orders::{Answer, Ordered};
use crate::history::Micros;

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Since the case began.
    pub at: Micros,
    /// What.
    pub what: Saw,
}

/// What can be observed. Requests for the stream are counted from 1, over all lives of the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Saw {
    /// The client was started, for the nth time.
    Started {
        /// Counted from 1.
        life: u32,
    },
    /// A request was read.
    Request(Request),
    /// The first message of the client on a WebSocket was read.
    Heard {
        /// On which.
        nth: u32,
        /// The message.
        text: String,
    },
    /// The client has answered a ping on a WebSocket.
    Ponged {
        /// On which.
        nth: u32,
    },
    /// A connection was refused: reset before a request was read. It counts as a request for the stream.
    Refused {
        /// Which.
        nth: u32,
    },
    /// The server has written this part of an answer.
    Sent {
        /// To which request.
        nth: u32,
        /// In words.
        says: String,
    },
    /// The server has ended the connection, or the answer is complete.
    Ended {
        /// Of which request.
        nth: u32,
        /// `end of body`, `reset`.
        how: &'static str,
    },
    /// The client has left a connection that the server held open.
    Left {
        /// Of which request.
        nth: u32,
    },
    /// The client wrote a line.
    Said(Said),
    /// The client was given an order of the adapter protocol.
    Ordered {
        /// Its number.
        order: u32,
        /// What it is ordered to do.
        what: Ordered,
    },
    /// A publish was read, and is answered so.
    Posted {
        /// The request; its number is 0.
        request: Request,
        /// How.
        answer: PublishAnswer,
    },
    /// The client was told to close the stream.
    ToldToClose,
    /// The client was killed.
    Killed {
        /// Which life of it.
        life: u32,
    },
    /// The client's process ended by itself.
    Exited {
        /// Which life of it.
        life: u32,
        /// Its exit status; `None` when a signal ended it.
        status: Option<i32>,
    },
    /// Something was waited for and did not come.
    InVain {
        /// What.
        what: String,
    },
    /// The case is over: everything was sent, and the client has ended or was watched long enough.
    Over,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which of those for the stream; 0 for the snapshot and for publishes.
    pub nth: u32,
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header; the last one where there are several.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }
}

/// A line of the client's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It applied an event.
    Event(Event),
    /// Events are missing.
    Gap,
    /// The state was fetched anew.
    Reset,
    /// The stream has ended for it.
    Closed,
    /// It gave up, or tells of trouble.
    Error,
    /// It answers an order.
    Answer(Answer),
}

/// How a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishAnswer {
    /// 201: the server has it.
    Accept,
    /// The server has it, and the connection is reset before it says so.
    Lose,
    /// This status: the server does not take it.
    Refuse(u16),
    /// 503 with this `Retry-After`, in seconds: the server does not take it now.
    PutOff(u32),
}

/// An event as a client says that it applied it, or as it is due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// The last event id with it, where the client says it.
    pub id: Option<String>,
    /// Its type; `None` is taken for `message`.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Its data.
    pub data: String,
}

impl Event {
    /// Its type in words.
    pub fn type_name(&self) -> &str {
        self.event_type.as_deref().filter(|t| !t.is_empty()).unwrap_or("message")
    }
}

impl Said {
    /// Reads a line of a client's output.
    ///
    /// # Errors
    /// When it is none; the text says what is expected.
    pub fn parse(line: &str) -> Result<Said, String> {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|e| format!("it is no JSON ({e})"))?;
        let object = value.as_object().ok_or("it is no JSON object")?;
        if object.contains_key("answer") {
            return serde_json::from_value(value).map(Said::Answer).map_err(|e| format!("it is no answer to an order ({e})"));
        }
        for (key, said) in [("gap", Said::Gap), ("reset", Said::Reset), ("closed", Said::Closed), ("error", Said::Error)] {
            if object.contains_key(key) {
                return Ok(said);
            }
        }
        serde_json::from_value(value).map(Said::Event).map_err(|e| format!("it is neither an event nor gap, reset, closed or error ({e})"))
    }
}
