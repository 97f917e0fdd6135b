//! What the proxy saw and did, as it tells it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// A connection of a link, counted from 1 in the order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

/// One thing that happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// On which connection.
    pub conn: ConnId,
    /// When, since the link's origin.
    pub at: Duration,
    /// What.
    pub what: Happened,
}

/// What can happen on a connection. `Accepted` is first and `Closed` is last, once each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A client connected.
    Accepted {
        /// The client's address.
        from: SocketAddr,
    },
    /// The server could not be reached; the client is reset.
    Unreachable {
        /// What the system said.
        error: String,
    },
    /// The head of a request was read; it is being passed on.
    RequestHead {
        /// Its method.
        method: String,
        /// Its path and query.
        target: String,
        /// Its headers, in their order.
        headers: Vec<(String, String)>,
    },
    /// The head of an answer has passed to the client, or was dropped by a fault reported next.
    ResponseHead {
        /// Its status.
        status: u16,
        /// Its headers, in their order.
        headers: Vec<(String, String)>,
    },
    /// An event has been written to the client whole.
    EventPassed {
        /// Its number, from 1.
        event: u64,
    },
    /// A fault takes effect.
    Applied {
        /// Which.
        fault: Fault,
    },
    /// The connection ended before the place of this fault came, or it has none such.
    NotReached {
        /// Which.
        fault: Fault,
    },
    /// A request was sent a second time.
    Resent {
        /// The status of the second answer, or why there is none.
        answer: Result<u16, String>,
    },
    /// Bytes of one side could not be followed. The server's end the connection; the client's are passed on blindly.
    Unreadable {
        /// Whose.
        side: Side,
        /// Why.
        why: &'static str,
    },
    /// The connection is over.
    Closed {
        /// Who ended it.
        by: ClosedBy,
    },
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The reader, or whoever makes requests.
    Client,
    /// The system under test.
    Server,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The client left.
    Client,
    /// The server ended the stream in order.
    Server,
    /// The server reset the connection, or could not be reached.
    ServerReset,
    /// A fault did, planned or commanded.
    Fault,
    /// The proxy did, as the server's bytes made no sense.
    Proxy,
}
