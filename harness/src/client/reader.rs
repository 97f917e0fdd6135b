//! A reader of a session stream, sans-IO: it is told what came and says what to apply and what to do next.
//!
//! The caller sends requests, hands in their answers, bytes and ends, applies what comes out, and waits when told to. Within
//! one call the events to apply come first and the decision holds after them. Delivery is exactly once over connections
//! as long as ids name events (SSE-32); over restarts the batch that was applied last may be applied again, if the process
//! ends before it is stored.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::bugs::{Bug, BugSet};
use super::mangle::Mangle;
use super::state::Position;
pub use messages::Shape;

use crate::wire::Limits;
use crate::wire::sse::{Decoder, Frame, Item};

/// The reconnection time until the server says another (SSE-9).
const RECONNECTION: Duration = Duration::from_secs(3);
/// Back-off after failures never waits longer, unless the server asks for it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server cannot ask for more: a reader that waits for ever is a reader that was lost.
const MOST_RETRY: Duration = Duration::from_secs(3600);

/// Which frames are no ordinary events, by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Says that events are missing.
    pub gap: Vec<String>,
    /// The last event.
    pub terminal: Vec<String>,
    /// Marks the seam; not applied.
    pub boundary: Vec<String>,
}

/// What a reader gives to its application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Applied {
    /// An event.
    Event {
        /// The last event id as it stands behind this event.
        id: String,
        /// Its type.
        #[serde(rename = "type")]
        event_type: String,
        /// Its data.
        data: String,
    },
    /// Events are missing: the server's words for it.
    Gap {
        /// The data of the gap signal.
        gap: Value,
    },
    /// The state was fetched anew, or the cursor was given up.
    Reset {
        /// The snapshot, or the reason.
        reset: Value,
    },
    /// The stream has ended for good.
    Closed {
        /// Why.
        closed: String,
    },
    /// The stream cannot be read.
    Error {
        /// Why.
        error: String,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Go on reading the body.
    Read,
    /// Leave the connection, wait, and ask again.
    Reconnect(Duration),
    /// Leave the connection, fetch the state and hand it in by [`Reader::refetched`], then ask again.
    Refetch,
    /// Leave the connection for good.
    Stop(Stop),
}

/// Why a reader stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The stream has ended: its cursor is of no more use.
    Ended,
    /// The server refuses it.
    Refused,
}

/// The reader.
#[derive(Debug)]
pub struct Reader {
    types: Types,
    can_refetch: bool,
    bugs: BugSet,
    position: Position,
    /// For a bug: events that are taken for repetitions.
    to_skip: u32,
    retry: Duration,
    /// Connections in a row that brought no event.
    failures: u32,
    asked: bool,
    body: Option<Body>,
    /// Of a stream without cursors: events of its turn that came on this connection.
    seen: u64,
}

/// A body that is being read.
#[derive(Debug)]
struct Body {
    decoder: Decoder,
    mangle: Mangle,
    /// For the bugs that look at unfinished bytes.
    last_type: Option<String>,
}

impl Reader {
    /// A reader at the beginning, or where it was left. `can_refetch` says whether the state can be fetched after a gap.
    pub fn new(types: Types, can_refetch: bool, stored: Option<Position>, bugs: BugSet) -> Reader {
        let to_skip = if stored.is_some() && bugs.has(Bug::SkipsFirst) { 2 } else { 0 };
        let position = stored.unwrap_or_default();
        Reader { types, can_refetch, bugs, position, to_skip, retry: RECONNECTION, failures: 0, asked: false, body: None, seen: 0 }
    }

    /// Another first wait than three seconds.
    pub fn waits_at_first(&mut self, wait: Duration) {
        self.retry = wait;
    }

    /// Where it stands: what is to be stored once all that came out was applied.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Starts at this cursor instead of the beginning.
    pub fn start_at(&mut self, cursor: &str) {
        cursor.clone_into(&mut self.position.cursor);
    }

    /// The cursor that the next request presents. To be asked once for each request.
    pub fn present(&mut self) -> Option<String> {
        let first = !std::mem::replace(&mut self.asked, true);
        if self.bugs.has(Bug::InventsCursor) && first && self.position.cursor.is_empty() {
            return Some("0".to_owned());
        }
        let none = self.bugs.has(Bug::NoCursor);
        let cursor = Some(self.position.cursor.clone()).filter(|cursor| !cursor.is_empty() && !none);
        if self.bugs.has(Bug::ForgetsCursor) {
            // Taken up again when an id comes.
            self.position.cursor.clear();
        }
        cursor
    }

    /// An answer came. `presented` says whether the request carried a cursor.
    pub fn answered(&mut self, status: u16, content_type: Option<&str>, presented: bool, out: &mut Vec<Applied>) -> Next {
        let refused = |out: &mut Vec<Applied>, error: String| {
            out.push(Applied::Error { error });
            Next::Stop(Stop::Refused)
        };
        match status {
            200 => {}
            204 if self.bugs.has(Bug::ReturnsAfter204) => return Next::Reconnect(self.retry),
            204 => {
                out.push(Applied::Closed { closed: "the server says that there is no more (204)".to_owned() });
                return Next::Stop(Stop::Ended);
            }
            410 if presented && self.bugs.has(Bug::PresentsAgain) => return Next::Reconnect(self.retry),
            // The cursor means nothing to the server any more. It is given up, once: a second refusal is without a cursor.
            410 if presented => {
                self.position.cursor.clear();
                out.push(Applied::Gap { gap: json!({ "refused": status }) });
                return if self.can_refetch { Next::Refetch } else { Next::Reconnect(self.retry) };
            }
            300..400 if self.bugs.has(Bug::LoopsNowhere) => return Next::Reconnect(Duration::from_millis(50)),
            _ if self.bugs.has(Bug::AnyStatus) => {}
            _ if self.bugs.has(Bug::RetriesRefusals) => return Next::Reconnect(self.retry),
            _ => return refused(out, format!("the server answers with status {status}")),
        }
        let essence = content_type.map(|value| match value.split_once(';') {
            Some((essence, _)) if !self.bugs.has(Bug::ExactType) => essence.trim().to_ascii_lowercase(),
            Some(_) | None => value.trim().to_ascii_lowercase(),
        });
        let lax = self.bugs.has(Bug::AnyType) || self.bugs.has(Bug::AnyStatus);
        if essence.as_deref() != Some("text/event-stream") && !lax {
            return refused(out, format!("the answer is no event stream but `{}`", content_type.unwrap_or("of no media type")));
        }
        let frame = if self.bugs.has(Bug::ShortLines) { Limits { frame: 64 << 10 } } else { Limits::default() };
        self.body = Some(Body { decoder: Decoder::new(frame), mangle: Mangle::default(), last_type: None });
        Next::Read
    }

    /// Bytes of the body came.
    pub fn chunk(&mut self, chunk: &[u8], out: &mut Vec<Applied>) -> Next {
        let Some(mut body) = self.body.take() else { return self.broken() };
        if self.bugs.has(Bug::StrictText) && chunk.contains(&0xff) {
            return self.broken();
        }
        let before = out.len();
        let mut next = Next::Read;
        let bytes = body.mangle.chunk(chunk, self.bugs);
        let fed = body.decoder.feed(&bytes, &mut |item| match item {
            Item::Frame(frame) if next == Next::Read => next = self.frame(&frame, &mut body.last_type, out),
            // What comes behind the end is not applied.
            Item::Frame(_) | Item::Comment(_) => {}
        });
        if self.bugs.has(Bug::BoundedQueue) {
            out.truncate(before + 1000);
        }
        if let Err(error) = fed {
            out.push(Applied::Error { error: error.to_string() });
            return self.broken();
        }
        if next == Next::Read {
            self.body = Some(body);
        }
        next
    }

    /// The body ended, or the connection broke (SSE-8: both lead to a reconnect). What was unfinished is discarded (SSE-24).
    pub fn ended(&mut self, clean: bool, out: &mut Vec<Applied>) -> Next {
        if let Some(mut body) = self.body.take() {
            if self.bugs.has(Bug::TakesUnfinished) {
                let _ = body.decoder.feed(b"\n\n", &mut |item| {
                    if let Item::Frame(frame) = item {
                        let _ = self.frame(&frame, &mut body.last_type, out);
                    }
                });
            }
            let unfinished = body.decoder.finish().unfinished;
            if self.bugs.has(Bug::IdOnSight)
                && let Some(id) = field(&unfinished, b"id: ")
            {
                self.position.cursor = String::from_utf8_lossy(id).into_owned();
            }
        }
        if clean && self.bugs.has(Bug::EndsAtEof) || !clean && self.bugs.has(Bug::GivesUpBroken) {
            return Next::Stop(Stop::Ended);
        }
        self.broken()
    }

    /// No connection could be made.
    pub fn no_answer(&mut self) -> Next {
        if self.bugs.has(Bug::GivesUpRefused) {
            return Next::Stop(Stop::Refused);
        }
        self.body = None;
        if self.bugs.has(Bug::Hammers) {
            return Next::Reconnect(Duration::ZERO);
        }
        self.broken()
    }

    /// The state was fetched: what it is, and the cursor that it is true at.
    pub fn refetched(&mut self, state: Value, cursor: Option<String>, out: &mut Vec<Applied>) -> Next {
        self.position.cursor = cursor.unwrap_or_default();
        out.push(Applied::Reset { reset: state });
        Next::Reconnect(Duration::ZERO)
    }

    /// The state could not be fetched; it is tried again later.
    pub fn not_refetched(&mut self, why: String, out: &mut Vec<Applied>) -> Duration {
        out.push(Applied::Error { error: why });
        self.failures = self.failures.saturating_add(1);
        self.wait()
    }

    fn broken(&mut self) -> Next {
        self.body = None;
        let wait = self.wait();
        self.failures = self.failures.saturating_add(1);
        if self.bugs.has(Bug::ReconnectsAtOnce) { Next::Reconnect(Duration::ZERO) } else { Next::Reconnect(wait) }
    }

    /// The reconnection time, doubled for each connection in a row that brought nothing.
    fn wait(&self) -> Duration {
        if self.bugs.has(Bug::IgnoresRetry) {
            return Duration::from_secs(60);
        }
        let longest = LONGEST_WAIT.max(self.retry);
        self.retry.saturating_mul(1 << self.failures.min(16)).min(longest)
    }

    fn frame(&mut self, frame: &Frame<'_>, last_type: &mut Option<String>, out: &mut Vec<Applied>) -> Next {
        if let Some(retry) = frame.retry {
            self.retry = Duration::from_millis(retry).min(MOST_RETRY);
        } else if self.bugs.has(Bug::LenientRetry)
            && let Some(value) = field(frame.raw, b"retry: ")
        {
            let digits: String = value.iter().take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
            self.retry = digits.parse().map_or(self.retry, Duration::from_millis);
        }
        let Some(data) = &frame.data else {
            if !self.bugs.has(Bug::IdNeedsData) {
                self.move_to(frame);
            }
            return Next::Read;
        };
        // A connection that brings events is no failure.
        self.failures = 0;
        let repeated = frame.id.as_deref().filter(|id| !id.is_empty()).is_some_and(|id| self.repeats(id));
        self.move_to(frame);
        let event_type = match &frame.event {
            None if self.bugs.has(Bug::TypeSticks) => last_type.clone().unwrap_or_else(|| "message".to_owned()),
            Some(_) | None => frame.event_type().to_owned(),
        };
        *last_type = Some(event_type.clone());
        let is = |types: &[String]| types.contains(&event_type);
        if is(&self.types.gap) && !self.bugs.has(Bug::SwallowsGap) {
            out.push(Applied::Gap { gap: serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_string())) });
            return if self.can_refetch && !self.bugs.has(Bug::NoRefetch) { Next::Refetch } else { Next::Read };
        }
        let no_event = is(&self.types.boundary) || is(&self.types.gap) || data.is_empty() && self.bugs.has(Bug::SkipsEmptyData);
        if !repeated && !no_event {
            out.push(Applied::Event { id: self.said_id(frame), event_type: event_type.clone(), data: self.said_data(frame, data) });
        }
        if let Some(id) = frame.id.as_deref().filter(|id| !id.is_empty()) {
            self.position.applied(id);
        }
        let last = is(&self.types.terminal) || is(&self.types.boundary) && self.bugs.has(Bug::EndsAtBoundary);
        if last && !self.bugs.has(Bug::ReturnsAfterEnd) {
            out.push(Applied::Closed { closed: "the stream has ended".to_owned() });
            return Next::Stop(Stop::Ended);
        }
        Next::Read
    }

    /// True when the event with this id is not to be applied, because it was.
    fn repeats(&mut self, id: &str) -> bool {
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return true;
        }
        if self.bugs.has(Bug::AppliesAgain) {
            return false;
        }
        if self.bugs.has(Bug::KnowsLastOnly) {
            return self.position.is_newest(id);
        }
        if self.bugs.has(Bug::DropsOlder) {
            return id <= self.position.cursor.as_str();
        }
        self.position.knows(id)
    }

    /// Moves the cursor behind a block (SSE-22).
    fn move_to(&mut self, frame: &Frame<'_>) {
        let bugs = self.bugs;
        let cursor = &mut self.position.cursor;
        if bugs.has(Bug::CutsIdAtNul)
            && let Some(id) = field(frame.raw, b"id: ")
        {
            let end = id.iter().position(|b| *b == 0).unwrap_or(id.len());
            *cursor = String::from_utf8_lossy(&id[..end]).into_owned();
            return;
        }
        match frame.id.as_deref() {
            Some("") if bugs.has(Bug::EmptyIdIgnored) => {}
            Some(_) if bugs.has(Bug::FirstCursor) && !cursor.is_empty() => {}
            Some(id) => id.clone_into(cursor),
            None if bugs.has(Bug::IdOfBlock) => cursor.clear(),
            None => {}
        }
    }

    fn said_id(&self, frame: &Frame<'_>) -> String {
        if self.bugs.has(Bug::IdOfBlock) { frame.id.as_deref().unwrap_or_default().to_owned() } else { self.position.cursor.clone() }
    }

    fn said_data(&self, frame: &Frame<'_>, data: &str) -> String {
        if self.bugs.has(Bug::TrimsValues) {
            return data.trim().to_owned();
        }
        if self.bugs.has(Bug::LastDataLine) && frame.raw.windows(6).filter(|w| w.starts_with(b"data")).count() > 1 {
            return data.rsplit('\n').next().unwrap_or_default().to_owned();
        }
        data.to_owned()
    }
}

/// The value of the first line that begins with `name`, for bugs that read raw bytes.
fn field<'b>(bytes: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    bytes.split(|b| matches!(b, b'\n' | b'\r')).find_map(|line| line.strip_prefix(name))
}

mod messages;
#[cfg(test)]
mod tests;
