//! Observations in words, as timelines and traces tell them. What a server said is cut short and stays on its line.

use super::{Connect, CursorClass, Delivery, Ended, Fault, From, Kind, Probe, Process, Surface, Until, Wait};

/// A connection's name: `a#2`, or `history 2` for a finite read.
pub(crate) fn lane(connect: &Connect) -> String {
    match connect.surface {
        Surface::Stream => format!("{}#{}", connect.reader, connect.nth),
        Surface::History | Surface::Snapshot => format!("{} {}", connect.reader, connect.nth),
    }
}

/// Where a connection starts: ``after `e:3` ``, `at the live end`.
pub(crate) fn start(from: &From) -> String {
    match from {
        From::Start => "from the start".to_owned(),
        From::Live => "at the live end".to_owned(),
        From::Cursor { value, class, .. } => {
            let what = match class {
                CursorClass::Own => "",
                CursorClass::Snapshot => ", the snapshot's cursor",
                CursorClass::Synthetic => ", an id of no durable event",
                CursorClass::Ahead => ", ahead of the head",
                CursorClass::OtherSession => ", of another session",
                CursorClass::OtherEpoch => ", of another epoch",
                CursorClass::Malformed => ", no cursor at all",
                CursorClass::Empty => ", the empty cursor",
            };
            format!("after `{}`{what}", short(value))
        }
    }
}

/// A frame: `event «s0.1» [e:1]`.
pub(crate) fn delivered(delivery: &Delivery) -> String {
    let cursor = delivery.cursor.as_deref().map(|c| format!(" [{}]", short(c))).unwrap_or_default();
    let points = |word: &str| delivery.points_to.as_deref().map(|to| format!("{word}{}", short(to))).unwrap_or_default();
    let name = match (delivery.kind, delivery.marker) {
        (Kind::Event, Some(marker)) if delivery.durable => format!("event {marker}"),
        (Kind::Event, Some(marker)) => format!("live-only {marker}"),
        (Kind::Event, None) => format!("event `{}`, none of ours", short(&delivery.event_type)),
        (Kind::Boundary, _) => format!("boundary{}", points(" at ")),
        (Kind::Gap, _) => format!("gap signal{}", points(": the oldest kept is ")),
        (Kind::Terminal, _) => "terminal event".to_owned(),
        (Kind::Commit, _) => "commit".to_owned(),
        (Kind::Heartbeat, _) => "heartbeat".to_owned(),
        (Kind::Other, _) if delivery.said.is_some() => short(&delivery.event_type),
        (Kind::Other, _) => format!("frame of the unknown type `{}`", short(&delivery.event_type)),
    };
    name + &cursor
}

/// How a connection ended: `stream ended by the server`.
pub(crate) fn ended(how: &Ended) -> String {
    match how {
        Ended::Eof => "stream ended by the server".to_owned(),
        Ended::Done => "answer read whole".to_owned(),
        Ended::Ours => "closed by the harness".to_owned(),
        Ended::Broken { why } => format!("connection broke: {}", short(why)),
        Ended::NoAnswer { why } => format!("no answer: {}", short(why)),
        Ended::Undecodable { why } => format!("not decodable: {}", short(why)),
    }
}

/// A fault: `✂ cut by RST after event 7`.
pub(crate) fn struck(fault: &Fault) -> String {
    format!("✂ {}{}", fault.says, if fault.reached { "" } else { " (its place never came)" })
}

/// What became of the process: `ready as pid 7, start 2`.
pub(crate) fn changed(process: &Process) -> String {
    match process {
        Process::Ready { pid, generation, wiped } => {
            format!("ready as pid {pid}, start {}{}", generation + 1, if *wiped { ", data removed" } else { "" })
        }
        Process::Signal { name } => format!("SIG{name}"),
        Process::Gone => "gone".to_owned(),
        Process::Died { why } => short(why.lines().next().unwrap_or("").trim_end_matches("; its last lines:")),
        Process::Overdue => "did not end in its grace, killed".to_owned(),
    }
}

/// What was waited for in vain.
pub(crate) fn waited(wait: &Wait) -> String {
    let what = match wait.until {
        Until::Marker(marker) => marker.to_string(),
        Until::Events(n) => format!("{n} events"),
        Until::Headers => "the response head".to_owned(),
        Until::Boundary => "the boundary".to_owned(),
        Until::Gap => "the gap signal".to_owned(),
        Until::Terminal => "the terminal event".to_owned(),
        Until::Due(_) => "a request for payment".to_owned(),
        Until::Heartbeat => "a heartbeat".to_owned(),
        Until::Closed => "the end of the connection".to_owned(),
    };
    format!("waited {} ms in vain for {what}", wait.waited / 1000)
}

/// What a probe asks.
pub(crate) fn probed(about: Probe) -> &'static str {
    match about {
        Probe::UnknownSession => "subscription to an unknown session",
        Probe::PublishUnknown => "publish to an unknown session",
        Probe::WrongMethod => "unsupported method",
        Probe::SenselessLimit => "page with a senseless limit",
        Probe::NoCredentials => "every surface without credentials",
        Probe::Escape => "a file outside the root",
    }
}

/// At most 48 characters on one line.
pub(crate) fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(48).collect();
    if text.chars().nth(48).is_some() { format!("{line}…") } else { line }
}
