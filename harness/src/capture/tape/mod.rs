//! Tapes: every byte of both directions between a client and a server, as the recording proxy read it, with its time.
//!
//! A tape is lines of JSON, a header first. What it means under a profile is a pure function of both: the bytes are taken
//! apart into exchanges (`exchange`), each exchange is recognised by the binding (`meaning`), all of them make a history
//! (`told`), and a history a scenario that has the same conversation again (`scenario`).

mod exchange;
mod meaning;
mod scenario;
mod told;

use std::io::BufRead;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::history::Micros;

pub use scenario::{Replayed, replayed};
pub use told::{Conversation, conversation};

/// True for the beginning of a tape.
pub fn is_tape(beginning: &[u8]) -> bool {
    beginning.starts_with(b"{\"streamspec_tape\"")
}

/// The first line of a tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeHeader {
    /// Version of the format; readers refuse what they do not know.
    pub streamspec_tape: u32,
    /// The server, as `http://HOST:PORT`.
    pub upstream: String,
}

impl TapeHeader {
    /// The version that this streamspec writes.
    pub const VERSION: u32 = 1;
}

/// A line of a tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which connection, from 1 in the order of acceptance.
    pub conn: u64,
    /// When.
    pub at: Micros,
    /// What.
    pub what: Taped,
}

/// What a tape holds of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taped {
    /// A client connected.
    Accepted,
    /// The client's bytes, as they were read at once.
    Client(Bytes),
    /// The server's bytes, as they were read at once.
    Server(Bytes),
    /// It is over.
    Closed(By),
    /// The tape was as long as it may be: what followed is missing.
    Full,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The client left.
    Client,
    /// The server ended it in order.
    Server,
    /// The server broke it, or could not be reached.
    Broken,
}

/// Bytes: text where they are UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    /// As they are.
    Text(String),
    /// In base64.
    Other {
        /// The bytes.
        base64: String,
    },
}

impl Bytes {
    /// These bytes.
    pub fn of(bytes: &[u8]) -> Bytes {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Other { base64: BASE64_STANDARD.encode(bytes) },
        }
    }

    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Bytes::Text(text) => Some(text.into_bytes()),
            Bytes::Other { base64 } => BASE64_STANDARD.decode(base64).ok(),
        }
    }
}

/// A tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tape {
    /// Its first line.
    pub header: TapeHeader,
    /// The rest, in the order in which it happened.
    pub moments: Vec<Moment>,
}

impl Tape {
    /// Reads one.
    ///
    /// # Errors
    /// When a line is none of a tape's, or the version is unknown; the text names the line.
    pub fn read(from: impl BufRead) -> Result<Tape, String> {
        let mut lines =
            from.lines().enumerate().map(|(at, line)| line.map_err(|e| format!("line {}: {e}", at + 1)).map(|line| (at + 1, line)));
        let wrong = |at: usize, line: &str, e: &serde_json::Error| {
            let shown: String = line.chars().take(80).collect();
            // Its own line is one of one.
            let why = e.to_string().replace(" at line 1 column ", " at column ");
            format!("line {at}: {why}: `{shown}`")
        };
        let (at, first) = lines.next().ok_or("the file is empty; a tape begins with its header")??;
        let header: TapeHeader = serde_json::from_str(&first).map_err(|e| wrong(at, &first, &e))?;
        if header.streamspec_tape != TapeHeader::VERSION {
            let version = header.streamspec_tape;
            return Err(format!("line 1: version {version} of the format; this streamspec reads version {}", TapeHeader::VERSION));
        }
        let mut moments = Vec::new();
        for line in lines {
            let (at, line) = line?;
            if !line.trim().is_empty() {
                moments.push(serde_json::from_str(&line).map_err(|e| wrong(at, &line, &e))?);
            }
        }
        Ok(Tape { header, moments })
    }
}

#[cfg(test)]
mod tests;
