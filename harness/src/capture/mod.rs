//! What others recorded, as histories: captures of `curl`, HAR files of browsers and proxies, logs; and tapes of our own.
//!
//! A capture shows what readers were sent, not what was published. An event is known by its cursor: the same cursor twice is
//! the same event, and where numbers follow each other without holes a hole is an event that was not delivered. When it was
//! published, and whether that was acknowledged, nobody saw; requirements about that stay undecided.

mod curl;
mod decoded;
mod har;
mod log;
mod story;
pub mod tape;

use crate::contract::Profile;
use crate::history::Micros;

pub use story::{Told, history};

/// A stream as somebody saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// Path and query of its request, where they are known.
    pub target: Option<String>,
    /// The session's name, where the file says it.
    pub session: Option<String>,
    /// The reader's name, where the file says it; without it all connections of a session are one reader's.
    pub reader: Option<String>,
    /// Headers of its request.
    pub request: Vec<(String, String)>,
    /// Status of the answer, where it is known.
    pub status: Option<u16>,
    /// Headers of the answer.
    pub answer: Vec<(String, String)>,
    /// When it was asked for.
    pub at: Micros,
    /// What came.
    pub body: Body,
}

/// What came on a captured stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Bytes, piece by piece, each with its time.
    Bytes(Vec<(Micros, Vec<u8>)>),
    /// Events as a client of server-sent events dispatched them: time, type, data, last event id.
    Events(Vec<(Micros, String, String, String)>),
    /// Events as a log of somebody's has them.
    Logged(Vec<Logged>),
}

/// An event in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When.
    pub at: Micros,
    /// Its type.
    pub event: String,
    /// Its data.
    pub data: String,
    /// Its own id.
    pub id: Option<String>,
}

impl Captured {
    /// A stream of which nothing is known but what came.
    pub(crate) fn of(body: Body) -> Captured {
        Captured { target: None, session: None, reader: None, request: Vec::new(), status: None, answer: Vec::new(), at: Micros(0), body }
    }

    /// The time of the last thing that came on it.
    pub fn ends_at(&self) -> Micros {
        let last = match &self.body {
            Body::Bytes(pieces) => pieces.last().map(|(at, _)| *at),
            Body::Events(events) => events.last().map(|(at, ..)| *at),
            Body::Logged(events) => events.last().map(|event| event.at),
        };
        last.unwrap_or(self.at).max(self.at)
    }

    /// The same, this many microseconds later.
    #[must_use]
    pub fn later(mut self, by: u64) -> Captured {
        self.at.0 += by;
        match &mut self.body {
            Body::Bytes(pieces) => pieces.iter_mut().for_each(|(at, _)| at.0 += by),
            Body::Events(events) => events.iter_mut().for_each(|(at, ..)| at.0 += by),
            Body::Logged(events) => events.iter_mut().for_each(|event| event.at.0 += by),
        }
        self
    }
}

/// Finds out what a file is and reads the streams in it. Lines of JSON are a log where the profile says how its logs are read.
///
/// # Errors
/// In words, when it is nothing that is known here, or cannot prove anything.
pub fn read(bytes: &[u8], profile: Option<&Profile>) -> Result<Vec<Captured>, String> {
    let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
    let trimmed = beginning.trim_start_matches('\u{feff}').trim_start();
    if trimmed.starts_with('{') && trimmed.contains("\"log\"") {
        return har::read(bytes);
    }
    if let Some((profile, log)) = profile.and_then(|profile| Some((profile, profile.log.as_ref()?)))
        && trimmed.starts_with('{')
    {
        return log::read(&String::from_utf8_lossy(bytes), log, &profile.binding.subscribe);
    }
    if curl::is_trace(trimmed) {
        return curl::trace(&String::from_utf8_lossy(bytes)).map(|one| vec![one]);
    }
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(vec![curl::plain(bytes)])
}

/// The value of a header.
pub(crate) fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// `Name: value` lines.
fn header_lines(lines: &[String]) -> Vec<(String, String)> {
    let pair = |line: &String| line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    lines.iter().filter_map(pair).collect()
}
