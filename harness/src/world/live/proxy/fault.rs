//! Faults as values: what happens to one connection, and where.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What happens to one accepted connection; no faults means that it passes clean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    /// All of them hold at once. Of several places to cut at, the first reached counts.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// A connection that nothing happens to.
    pub fn clean() -> Self {
        Self::default()
    }
}

impl From<Fault> for Plan {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }
}

impl From<Vec<Fault>> for Plan {
    fn from(faults: Vec<Fault>) -> Self {
        Self { faults }
    }
}

/// One thing that happens to a connection. Events are counted from 1, over the whole connection; what counts as one
/// says [`Framing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The connection breaks.
    Cut {
        /// Where.
        at: Place,
        /// How each side notices.
        how: How,
    },
    /// From this event on, what the server sends is passed on this much later. What arrives during one delay is
    /// passed on together after the next.
    Delay {
        /// Milliseconds.
        ms: u64,
        /// The first event that is late; 0 or 1 delays the whole body.
        #[serde(default)]
        from_event: u64,
    },
    /// The body arrives in pieces of this many bytes, each in a segment of its own; a chunked body in HTTP chunks of
    /// that size, so that no client sees them joined.
    Rechunk {
        /// Bytes in a piece; 0 counts as 1.
        size: usize,
    },
    /// After this event nothing more is read from the server until [`Link::resume`](super::Link::resume).
    /// The receive buffer is small, so the server feels it soon.
    StopReading {
        /// 0 stops after the answer's head.
        after_event: u64,
    },
    /// After this event the server's bytes are read and kept, its end of stream too, and delivered at
    /// [`Link::release`](super::Link::release). At most 16 MiB; then the server is not read any more.
    Hold {
        /// 0 holds after the answer's head.
        after_event: u64,
    },
    /// This connection and the next ones are reset when accepted, this many in all; the plan's other faults wait for
    /// the first connection that is not refused.
    RefuseFirst(u32),
    /// The request reaches the server, but when the head of the answer is there the connection is reset: whether the
    /// request took effect is unknown to the client.
    DropAnswer,
    /// As [`DropAnswer`](Self::DropAnswer), and before the reset the same bytes are sent to the server once more on a
    /// connection of their own, and its answer's head awaited.
    DuplicateRequest,
}

/// Where a connection is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// When the head of the answer is there, before any of it is passed on.
    BeforeHeaders,
    /// When this many events have passed whole; 0 is after the head.
    AfterEvent(u64),
    /// Inside this event, all before it passed.
    InEvent {
        /// Counted from 1.
        event: u64,
        /// Where in it.
        at: Within,
    },
    /// Before the first frame that matches, all before it passed.
    BeforeFrame(FrameMatch),
    /// After the first frame that matches.
    AfterFrame(FrameMatch),
    /// When this many bytes of the decoded body have passed.
    AfterBytes(u64),
    /// At [`Link::cut`](super::Link::cut).
    OnCommand,
}

/// A place inside an event. If the event has none such, the cut is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Within {
    /// In the middle of the value of its first `data` line (NDJSON: of its line), between two characters.
    InLine,
    /// Between the CR and the LF that end its first `data` line, or failing that any other line.
    BetweenCrLf,
    /// After the first byte of its first character of several bytes.
    InUtf8Char,
    /// After its `id` line, so that the id is read and the event is not; without one after the first of its lines, and in the
    /// middle of a frame that is one line or a message.
    AfterIdLine,
    /// Before the empty line that ends it.
    BeforeEnd,
    /// After this many bytes of it, which must be fewer than it has.
    Byte(u64),
}

/// A frame by its raw bytes: all from the end of the frame before it to its own end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FrameMatch {
    /// It contains this text.
    Contains(String),
    /// It is an SSE block whose `event:` is this.
    EventType(String),
}

/// How a cut shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Orderly on both sides: end of stream.
    Fin,
    /// A reset on both sides.
    Rst,
    /// Not at all: the client's connection stays open and nothing more comes. The server's stays open too, and what it
    /// sends is read and thrown away, until the client leaves.
    Silence,
}

/// What an event is in the body of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// By the answer's `Content-Type`: `text/event-stream` is SSE, a type with `ndjson`, `jsonl` or `json-seq` is lines.
    #[default]
    Auto,
    /// A block with a `data` line. Blocks of comments, `retry` or `id` alone pass uncounted.
    Sse,
    /// A line that is not blank.
    Lines,
    /// A text or binary message of a WebSocket.
    Messages,
    /// Nothing is.
    None,
}

/// The plans for the connections to come.
#[derive(Debug, Default)]
pub(super) struct Plans {
    queued: VecDeque<Plan>,
    /// What each connection gets that finds no other.
    standing: Plan,
}

/// What the next connection gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Refuse(Fault),
    Serve(Plan),
}

impl Plans {
    pub(super) fn push(&mut self, plan: Plan) {
        self.queued.push_back(plan);
    }

    pub(super) fn stand(&mut self, plan: Plan) {
        self.standing = plan;
    }

    pub(super) fn clear(&mut self) {
        self.queued.clear();
        self.standing = Plan::default();
    }

    pub(super) fn next(&mut self) -> Next {
        let mut plan = self.queued.pop_front().unwrap_or_else(|| self.standing.clone());
        plan.faults.retain(|fault| *fault != Fault::RefuseFirst(0));
        let refusal = plan.faults.iter_mut().find_map(|fault| match fault {
            Fault::RefuseFirst(left) => Some(left),
            Fault::Cut { .. }
            | Fault::Delay { .. }
            | Fault::Rechunk { .. }
            | Fault::StopReading { .. }
            | Fault::Hold { .. }
            | Fault::DropAnswer
            | Fault::DuplicateRequest => None,
        });
        let Some(left) = refusal else {
            return Next::Serve(plan);
        };
        let refused = Fault::RefuseFirst(*left);
        *left -= 1;
        let last = *left == 0;
        plan.faults.retain(|fault| *fault != Fault::RefuseFirst(0));
        if !(last && plan.faults.is_empty()) {
            self.queued.push_front(plan);
        }
        Next::Refuse(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_count_down_and_then_the_rest_of_the_plan_applies() {
        let mut plans = Plans::default();
        plans.push(vec![Fault::RefuseFirst(2), Fault::Rechunk { size: 1 }].into());
        plans.push(Fault::RefuseFirst(1).into());
        assert_eq!(plans.next(), Next::Refuse(Fault::RefuseFirst(2)));
        assert_eq!(plans.next(), Next::Refuse(Fault::RefuseFirst(1)));
        assert_eq!(plans.next(), Next::Serve(Fault::Rechunk { size: 1 }.into()));
        assert_eq!(plans.next(), Next::Refuse(Fault::RefuseFirst(1)));
        assert_eq!(plans.next(), Next::Serve(Plan::clean()));
    }

    #[test]
    fn a_standing_plan_is_taken_by_every_connection_without_one_of_its_own() {
        let mut plans = Plans::default();
        plans.push(Plan::clean());
        plans.stand(Fault::Rechunk { size: 1 }.into());
        let all = [plans.next(), plans.next(), plans.next()];
        assert_eq!(all, [Plan::clean(), Fault::Rechunk { size: 1 }.into(), Fault::Rechunk { size: 1 }.into()].map(Next::Serve));
        plans.clear();
        assert_eq!(plans.next(), Next::Serve(Plan::clean()));
    }

    #[test]
    fn a_fault_reads_as_it_is_written() {
        let fault = Fault::Cut { at: Place::InEvent { event: 3, at: Within::Byte(7) }, how: How::Rst };
        let text = serde_json::to_string(&fault).expect("plain data");
        assert_eq!(text, r#"{"cut":{"at":{"in_event":{"event":3,"at":{"byte":7}}},"how":"rst"}}"#);
        assert_eq!(serde_json::from_str::<Fault>(&text).expect("the same"), fault);
    }
}
