//! A history as a picture: a lane for the writer, the server's process, the proxy and each connection of each reader, and a
//! point for each observation.
//!
//! `points` takes a history apart, `layout` gives every point its place, `svg` draws. A picture holds what is drawn and nothing of
//! its history, so that a report may keep it.

mod layout;
mod points;
mod svg;

pub(crate) use svg::{Drawing, STYLE as PICTURE_STYLE};

use crate::history::Marker;

use super::timeline::{Line, Mark};

/// A picture that is not laid out yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub(super) lanes: Vec<Lane>,
    /// In the order of the history.
    pub(super) points: Vec<Point>,
}

/// What happens in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    /// `writer`, `server`, `a#2`.
    pub(super) name: String,
    pub(super) kind: LaneKind,
}

/// Whose lane it is; lanes stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LaneKind {
    Writer,
    Server,
    Proxy,
    Connection,
    Harness,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Microseconds since the run began.
    pub(super) at: u64,
    /// Its lane, by place among the picture's.
    pub(super) lane: usize,
    pub(super) shape: Shape,
    /// What happened, in words.
    pub(super) text: String,
    /// A few characters beside it: a cursor, a status.
    pub(super) caption: String,
    /// What stood on the wire, or the record where that was not kept.
    pub(super) raw: String,
    pub(super) mark: Mark,
    /// The event that it is about.
    pub(super) event: Option<Marker>,
    /// The connection's lane that a fault struck.
    pub(super) strikes: Option<usize>,
    /// False for what is left out: it has a place, and is not drawn.
    pub(super) kept: bool,
}

/// What a point looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An acknowledged publish.
    Published,
    /// One that was refused.
    Refused,
    /// One without an answer: it may have happened or not.
    Unknown,
    /// Another operation.
    Operation,
    /// A durable event.
    Event,
    /// One that is never replayed.
    LiveOnly,
    Boundary,
    Gap,
    Terminal,
    /// Heartbeats, commits, frames without meaning for the judge.
    Small,
    /// A connection begins.
    Connect,
    /// The head of an answer.
    Answer,
    /// A connection ends as it may.
    End,
    /// A connection breaks.
    Broken,
    /// A fault strikes.
    Cut,
    /// The process is ready.
    Ready,
    /// It gets a signal.
    Signal,
    /// It is gone.
    Gone,
    /// Something should have come here.
    Missing,
    /// Anything else that is worth a word.
    Note,
}

impl Picture {
    /// The picture of a timeline that has no history: of a client's log.
    pub fn of_lines(lines: &[Line]) -> Picture {
        let mut names: Vec<&str> = Vec::new();
        for line in lines.iter().filter(|line| line.mark != Mark::Elided) {
            if !names.contains(&line.lane.as_str()) {
                names.push(&line.lane);
            }
        }
        let lanes = names.iter().map(|name| Lane { name: (*name).to_owned(), kind: LaneKind::Connection }).collect();
        let mut at = 0;
        let point = |line: &Line| {
            at = at.max(line.ms * 1000);
            Point {
                at,
                lane: names.iter().position(|name| *name == line.lane).unwrap_or(0),
                shape: if line.mark == Mark::Missing { Shape::Missing } else { Shape::Note },
                text: line.text.clone(),
                caption: line.text.clone(),
                raw: String::new(),
                mark: line.mark,
                event: None,
                strikes: None,
                kept: line.mark != Mark::Elided,
            }
        };
        Picture { lanes, points: lines.iter().map(point).collect() }
    }
}
