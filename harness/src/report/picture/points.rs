//! From the records of a history to points on lanes.

use rustc_hash::FxHashMap;

use crate::check::Violation;
use crate::history::{Action, ConnId, Delivery, Ended, History, Kind, Message, Of, OpId, Outcome, Process, Record, What};
use crate::report::escape::bounded;
use crate::report::timeline::{Cast, Mark, lane as lane_of, short};

use super::{Lane, LaneKind, Picture, Point, Shape};

/// Points of a failure's picture that are kept before and behind each marked one.
const AROUND: (usize, usize) = (16, 8);
/// At most this many points of a failure's picture are kept.
const MOST: usize = 160;
/// Bytes of what stood on the wire that a point keeps.
const RAW: usize = 1 << 10;

impl Picture {
    /// The whole of a history, with what `violation` is about marked, if there is one.
    pub fn of_history(history: &History, violation: Option<&Violation>) -> Picture {
        draw(history, &Cast::whole(history), violation)
    }

    /// The stretch of a history that shows a violation: the readers that it is about, around the places that it names.
    pub fn of_failure(history: &History, violation: &Violation) -> Picture {
        let mut picture = draw(history, &Cast::of(history, &violation.records), Some(violation));
        leave_out(&mut picture.points);
        for point in picture.points.iter_mut().filter(|point| !point.kept) {
            point.text.clear();
            point.caption.clear();
            point.raw.clear();
        }
        picture.without_empty_lanes()
    }

    /// The same without the lanes on which nothing is kept, and what lies on them.
    fn without_empty_lanes(mut self) -> Picture {
        let mut used = vec![false; self.lanes.len()];
        for point in self.points.iter().filter(|point| point.kept) {
            used[point.lane] = true;
            point.strikes.into_iter().for_each(|lane| used[lane] = true);
        }
        let place: Vec<usize> = (0..used.len()).map(|lane| used[..lane].iter().filter(|used| **used).count()).collect();
        self.points.retain(|point| used[point.lane]);
        for point in &mut self.points {
            point.lane = place[point.lane];
            point.strikes = point.strikes.filter(|lane| used[*lane]).map(|lane| place[lane]);
        }
        let mut used = used.into_iter();
        self.lanes.retain(|_| used.next().unwrap_or_default());
        self
    }
}

/// The lanes so far, by name.
#[derive(Default)]
struct Lanes {
    lanes: Vec<Lane>,
    by_name: FxHashMap<String, usize>,
}

impl Lanes {
    fn of(&mut self, name: &str, kind: LaneKind) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        self.lanes.push(Lane { name: name.to_owned(), kind });
        self.by_name.insert(name.to_owned(), self.lanes.len() - 1);
        self.lanes.len() - 1
    }
}

fn draw(history: &History, cast: &Cast<'_>, violation: Option<&Violation>) -> Picture {
    let wire = Wires::of(history);
    let mut lanes = Lanes::default();
    let mut names: FxHashMap<ConnId, String> = FxHashMap::default();
    let mut points = Vec::new();
    let marked = violation.map(|violation| violation.records.as_slice()).unwrap_or_default();
    for (nth, record) in history.records.iter().enumerate() {
        if let What::Connect(connect) = &record.what {
            names.insert(connect.conn, lane_of(connect));
        }
        let Some(said) = cast.say(&record.what) else { continue };
        let kind = match (&record.what, said.lane.as_str()) {
            (What::Fault(_), _) => LaneKind::Proxy,
            (_, "writer") => LaneKind::Writer,
            (_, "server") => LaneKind::Server,
            (_, "harness") => LaneKind::Harness,
            (_, _) => LaneKind::Connection,
        };
        let (lane, strikes) = match &record.what {
            What::Fault(fault) => {
                let struck = fault.conn.and_then(|conn| names.get(&conn));
                let struck = struck.map(|name| lanes.of(name, LaneKind::Connection));
                (lanes.of("proxy", LaneKind::Proxy), struck)
            }
            _ => (lanes.of(&said.lane, kind), None),
        };
        let mark = match marked.iter().position(|one| *one == nth) {
            Some(0) => Mark::Offending,
            Some(_) => Mark::Part,
            None => Mark::None,
        };
        let shape = shape(&record.what, cast);
        points.push(Point {
            at: record.at.0,
            lane,
            shape,
            caption: caption(&record.what, shape, &said.text),
            text: said.text,
            raw: wire.raw(record),
            mark,
            event: said.event,
            strikes,
            kept: true,
        });
    }
    if let Some(violation) = violation {
        missing(history, cast, violation, &mut lanes, &mut points);
    }
    in_order(lanes.lanes, points)
}

/// Lanes by their kind, in each kind as they came.
fn in_order(lanes: Vec<Lane>, mut points: Vec<Point>) -> Picture {
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    order.sort_by_key(|at| (lanes[*at].kind, *at));
    let mut place = vec![0; lanes.len()];
    for (now, before) in order.iter().enumerate() {
        place[*before] = now;
    }
    for point in &mut points {
        point.lane = place[point.lane];
        point.strikes = point.strikes.map(|lane| place[lane]);
    }
    Picture { lanes: order.into_iter().map(|at| lanes[at].clone()).collect(), points }
}

fn shape(what: &What, cast: &Cast<'_>) -> Shape {
    match what {
        What::Complete(complete) => match (&complete.outcome, cast.published(what)) {
            (Outcome::Ok { .. }, Some(_)) => Shape::Published,
            (Outcome::Ok { .. }, None) => Shape::Operation,
            (Outcome::Failed { .. }, _) => Shape::Refused,
            (Outcome::Unknown { .. }, _) => Shape::Unknown,
        },
        What::Connect(_) => Shape::Connect,
        What::Answer(answer) => {
            if answer.accepted {
                Shape::Answer
            } else {
                Shape::Refused
            }
        }
        What::Delivery(delivery) => of_delivery(delivery),
        What::End(end) => match end.how {
            Ended::Eof | Ended::Done | Ended::Ours => Shape::End,
            Ended::Broken { .. } | Ended::NoAnswer { .. } | Ended::Undecodable { .. } => Shape::Broken,
        },
        What::Fault(_) => Shape::Cut,
        What::Process(Process::Ready { .. }) => Shape::Ready,
        What::Process(Process::Signal { .. }) => Shape::Signal,
        What::Process(Process::Gone | Process::Died { .. } | Process::Overdue) => Shape::Gone,
        What::Step(_)
        | What::Session(_)
        | What::Opened(_)
        | What::Invoke(_)
        | What::Comment(_)
        | What::Lint(_)
        | What::Opinion(_)
        | What::Resources(_)
        | What::Wait(_)
        | What::Expectation(_)
        | What::Leaked(_)
        | What::Paid(_)
        | What::Told(_)
        | What::Named(_)
        | What::Wire(_) => Shape::Note,
    }
}

fn of_delivery(delivery: &Delivery) -> Shape {
    match delivery.kind {
        Kind::Event if delivery.durable => Shape::Event,
        Kind::Event => Shape::LiveOnly,
        Kind::Boundary => Shape::Boundary,
        Kind::Gap => Shape::Gap,
        Kind::Terminal => Shape::Terminal,
        Kind::Commit | Kind::Heartbeat | Kind::Other => Shape::Small,
    }
}

/// What stands beside a point: a cursor where there is one, else a word or two.
fn caption(what: &What, shape: Shape, text: &str) -> String {
    match what {
        What::Delivery(delivery) => match (shape, &delivery.cursor) {
            (Shape::Boundary, _) => "boundary".to_owned(),
            (Shape::Gap, _) => "gap".to_owned(),
            (Shape::Terminal, _) => "terminal".to_owned(),
            (_, cursor) => cursor.as_deref().map(end_of).unwrap_or_default(),
        },
        What::Connect(_) => text.trim_start_matches("connects ").to_owned(),
        What::Answer(answer) => answer.status.to_string(),
        What::Complete(_) if shape == Shape::Published => String::new(),
        What::Process(Process::Ready { pid, wiped, .. }) => format!("pid {pid}{}", if *wiped { ", wiped" } else { "" }),
        What::Fault(_) => text.trim_start_matches("✂ ").to_owned(),
        _ => text.to_owned(),
    }
}

/// The part of a cursor that tells it from its neighbours: its end, from its last separator on if that is short.
fn end_of(cursor: &str) -> String {
    let cursor = short(cursor);
    let chars: Vec<char> = cursor.chars().collect();
    if chars.len() <= 9 {
        return cursor;
    }
    let separator = chars.iter().rposition(|c| !c.is_alphanumeric()).filter(|at| chars.len() - at <= 8);
    let from = separator.unwrap_or(chars.len() - 7);
    format!("…{}", chars[from..].iter().collect::<String>())
}

/// Puts a point where the lost event should have come: before the delivery that came in its place, else at the end of what the
/// connection delivered.
fn missing(history: &History, cast: &Cast<'_>, violation: &Violation, lanes: &mut Lanes, points: &mut Vec<Point>) {
    if !violation.shape.starts_with("lost") && violation.shape != "neither" {
        return;
    }
    let of = |nth: usize| violation.records.get(nth).and_then(|r| history.records.get(*r)).map(|r| &r.what);
    let Some(marker) = of(0).and_then(|what| cast.published(what)) else { return };
    let Some(What::Connect(connect)) = of(1) else { return };
    let lane = lanes.of(&lane_of(connect), LaneKind::Connection);
    let instead = points.iter().position(|p| p.lane == lane && p.mark == Mark::Part && matches!(p.shape, Shape::Event | Shape::LiveOnly));
    let behind = || points.iter().rposition(|p| p.lane == lane && !matches!(p.shape, Shape::End | Shape::Broken)).map(|at| at + 1);
    let place = instead.or_else(behind).unwrap_or(points.len());
    let at = points.get(place).or(points.last()).map_or(0, |point| point.at);
    let text = format!("{marker} belongs here and never came");
    let caption = "missing".to_owned();
    let (raw, event) = (String::new(), Some(marker));
    points.insert(
        place,
        Point { at, lane, shape: Shape::Missing, text, caption, raw, mark: Mark::Missing, event, strikes: None, kept: true },
    );
}

/// Keeps the points around the marked ones, and what gives them their place.
fn leave_out(points: &mut [Point]) {
    let marked: Vec<usize> = points.iter().enumerate().filter(|(_, p)| p.mark != Mark::None).map(|(at, _)| at).collect();
    let (Some(first), Some(last)) = (marked.first().copied(), marked.last().copied()) else {
        points.iter_mut().skip(MOST).for_each(|point| point.kept = false);
        return;
    };
    let gives_place = |shape: Shape| {
        matches!(
            shape,
            Shape::Connect
                | Shape::End
                | Shape::Broken
                | Shape::Cut
                | Shape::Ready
                | Shape::Signal
                | Shape::Gone
                | Shape::Gap
                | Shape::Boundary
        )
    };
    let mut room = MOST;
    for ((before, behind), places) in [(AROUND, true), ((6, 3), false), ((2, 1), false)] {
        let mut kept = 0;
        for (at, point) in points.iter_mut().enumerate() {
            let near = marked.iter().any(|m| (*m <= at && at - m <= behind) || (at <= *m && m - at <= before));
            let stands = places && gives_place(point.shape) && at + 40 >= first && at <= last;
            point.kept = near || stands;
            kept += usize::from(point.kept);
        }
        room = MOST.saturating_sub(kept);
        if room > 0 {
            break;
        }
    }
    if room == 0 {
        points.iter_mut().filter(|point| point.kept).skip(MOST).for_each(|point| point.kept = false);
    }
}

/// What stood on the wire, where it was kept.
struct Wires<'h> {
    frames: FxHashMap<(ConnId, u32), &'h str>,
    messages: FxHashMap<Of, Vec<&'h Message>>,
    actions: FxHashMap<OpId, &'h Action>,
}

impl<'h> Wires<'h> {
    fn of(history: &'h History) -> Wires<'h> {
        let mut wires = Wires { frames: FxHashMap::default(), messages: FxHashMap::default(), actions: FxHashMap::default() };
        for record in &history.records {
            match &record.what {
                What::Wire(wire) => match (&wire.message, wire.of) {
                    (Message::Frame { frame, text }, Of::Conn(conn)) => {
                        wires.frames.insert((conn, *frame), text);
                    }
                    (message, of) => wires.messages.entry(of).or_default().push(message),
                },
                What::Invoke(invoke) => {
                    wires.actions.insert(invoke.op, &invoke.action);
                }
                _ => {}
            }
        }
        wires
    }

    /// At most [`RAW`] bytes.
    fn raw(&self, record: &Record) -> String {
        let of = match &record.what {
            What::Delivery(delivery) => {
                if let Some(text) = self.frames.get(&(delivery.conn, delivery.frame)) {
                    return cut((*text).to_owned());
                }
                None
            }
            What::Complete(complete) => Some(Of::Op(complete.op)),
            What::Connect(connect) => Some(Of::Conn(connect.conn)),
            What::Answer(answer) => Some(Of::Conn(answer.conn)),
            _ => None,
        };
        if let Some(messages) = of.and_then(|of| self.messages.get(&of)) {
            let answer = matches!(record.what, What::Answer(_));
            let wanted =
                |message: &&&Message| matches!(record.what, What::Complete(_)) || matches!(message, Message::Answer { .. }) == answer;
            return cut(messages.iter().filter(wanted).map(|message| said(message)).collect());
        }
        match &record.what {
            What::Connect(connect) => cut(connect.request.clone()),
            What::Complete(complete) => {
                let action = self.actions.get(&complete.op).and_then(|action| serde_json::to_string(action).ok()).unwrap_or_default();
                cut(format!("{action}\n{}", serde_json::to_string(&complete.outcome).unwrap_or_default()))
            }
            what => cut(serde_json::to_string(what).unwrap_or_default()),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > RAW {
        let all = text.len();
        text.truncate(text.floor_char_boundary(RAW));
        text.push_str(&format!("… (cut: {all} bytes in all)"));
    }
    text
}

/// A message as it stood on the wire.
fn said(message: &Message) -> String {
    let headers = |headers: &[(String, String)]| headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    match message {
        Message::Request { method, target, headers: of, body } => {
            format!("{method} {target}\n{}\n{}\n", headers(of), bounded(body.as_deref().unwrap_or("")))
        }
        Message::Sent { text } | Message::Frame { text, .. } => format!("{}\n", bounded(text)),
        Message::Answer { status, headers: of, body } => format!("{status}\n{}\n{}\n", headers(of), bounded(body)),
        Message::Silence => "(no answer)\n".to_owned(),
        Message::Full => "(more than is kept)\n".to_owned(),
    }
}
