//! The timeline of a failure: the smallest stretch of a history that shows it, one line an observation, the offending one
//! marked.

use crate::check::Violation;
use crate::history::{Action, ConnId, Ended, From, History, Kind, Marker, Outcome, Process, Surface, What, PayAct, Payment, Says, ToldBy};

/// A line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// Milliseconds since the run began.
    pub ms: u64,
    /// Whose line it is: `writer`, `server`, `a#2`.
    pub lane: String,
    /// What happened.
    pub text: String,
    /// How it stands out.
    pub mark: Mark,
}

/// How a line stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Not at all.
    None,
    /// It belongs to the violation.
    Part,
    /// It is the offending one.
    Offending,
    /// Something is missing here.
    Missing,
    /// Lines were left out here.
    Elided,
}

/// At most this many lines are shown.
const MOST: usize = 26;
/// Lines kept around each line of the violation.
const AROUND: usize = 5;

/// The timeline of `violation` in `history`.
pub fn timeline(history: &History, violation: &Violation) -> Vec<Line> {
    let readers = readers(history, violation);
    let session = session(history, violation);
    let mut lines: Vec<Line> = Vec::new();
    for (record, entry) in history.records.iter().enumerate() {
        let mark = match violation.records.iter().position(|r| *r == record) {
            Some(0) => Mark::Offending,
            Some(_) => Mark::Part,
            None => Mark::None,
        };
        let Some((lane, text)) = say(history, &entry.what, &readers, session) else { continue };
        // Runs of alike observations are one line: `events s0.1 … s0.7`.
        if mark == Mark::None
            && let Some(last) = lines.last_mut().filter(|last| last.mark == Mark::None && last.lane == lane)
            && let Some(joined) = join(&last.text, &text)
        {
            last.text = joined;
            continue;
        }
        lines.push(Line { ms: entry.at.0 / 1000, lane, text, mark });
    }
    if violation.shape.starts_with("lost") || violation.shape == "neither" {
        missing(history, violation, &mut lines);
    }
    elide(lines)
}

/// The readers whose connections the violation touches.
fn readers(history: &History, violation: &Violation) -> Vec<(ConnId, String)> {
    let conn_of = |record: usize| match &history.records.get(record)?.what {
        What::Connect(c) => Some(c.conn),
        What::Answer(a) => Some(a.conn),
        What::Delivery(d) => Some(d.conn),
        What::End(e) => Some(e.conn),
        What::Lint(l) => Some(l.conn),
        What::Opinion(o) => Some(o.conn),
        What::Wait(w) => w.conn,
        What::Step(_)
        | What::Session(_)
        | What::Opened(_)
        | What::Invoke(_)
        | What::Complete(_)
        | What::Comment(_)
        | What::Fault(_)
        | What::Process(_)
        | What::Resources(_)
        | What::Expectation(_)
        | What::Paid(_) => None,
        What::Told(told) => match told.by {
            ToldBy::Frame(conn) => Some(conn),
            ToldBy::Answer(_) => None,
        },
        What::Leaked(l) => l.conn,
    };
    let touched: Vec<ConnId> = violation.records.iter().filter_map(|r| conn_of(*r)).collect();
    let connects = history.records.iter().filter_map(|r| if let What::Connect(c) = &r.what { Some(c) } else { None });
    let names: Vec<&str> = connects.clone().filter(|c| touched.contains(&c.conn)).map(|c| c.reader.as_str()).collect();
    let label = |c: &crate::history::Connect| match c.surface {
        Surface::Stream => format!("{}#{}", c.reader, c.nth),
        Surface::History | Surface::Snapshot => format!("{} {}", c.reader, c.nth),
    };
    connects.filter(|c| names.contains(&c.reader.as_str())).map(|c| (c.conn, label(c))).collect()
}

/// A payment in words: `voucher 3 of a`.
fn payment(pay: &Payment) -> String {
    let act = match pay.act {
        PayAct::Ask => "ask without paying",
        PayAct::Open => "open",
        PayAct::Voucher => "voucher",
        PayAct::TopUp => "top-up",
        PayAct::Close => "close",
        PayAct::Proof => "proof",
    };
    let amount = if pay.amount > 0 { format!(" {}", pay.amount) } else { String::new() };
    let flaw = pay.flaw.map_or_else(String::new, |flaw| format!(" ({flaw:?})"));
    format!("{act}{amount} of {}{flaw}", pay.wallet)
}

fn session(history: &History, violation: &Violation) -> Option<u32> {
    let of = |record: &usize| match &history.records.get(*record)?.what {
        What::Connect(c) => Some(c.session.0),
        What::Invoke(i) => match &i.action {
            Action::Publish(p) => Some(p.session.0),
            Action::Open { session, .. } | Action::Close { session, .. } | Action::Delete { session } => Some(session.0),
            Action::Custom { session, .. } => session.map(|session| session.0),
            Action::Pay(pay) => Some(pay.session.0),
            Action::Health | Action::Probe { .. } => None,
        },
        What::Delivery(d) => d.marker.map(|m| m.session),
        _ => None,
    };
    violation.records.iter().find_map(of)
}

fn say(history: &History, what: &What, readers: &[(ConnId, String)], session: Option<u32>) -> Option<(String, String)> {
    let lane = |conn: ConnId| readers.iter().find(|(id, _)| *id == conn).map(|(_, name)| name.clone());
    let ours = |ix: u32| session.is_none_or(|session| session == ix);
    let writer = |text: String| Some(("writer".to_owned(), text));
    match what {
        What::Complete(complete) => {
            let action = history.records.iter().find_map(|r| match &r.what {
                What::Invoke(invoke) if invoke.op == complete.op => Some(&invoke.action),
                _ => None,
            })?;
            let outcome = match &complete.outcome {
                Outcome::Ok { .. } => "acknowledged".to_owned(),
                Outcome::Failed { status: 0, .. } => "not sent: the server is away".to_owned(),
                Outcome::Failed { status, .. } => format!("refused with {status}"),
                Outcome::Unknown { why } => format!("unknown: {why}"),
            };
            match action {
                Action::Publish(p) if ours(p.session.0) => writer(format!("{outcome} {}", p.marker)),
                Action::Close { session, by_stop: true } if ours(session.0) => writer("the session ends with its process".to_owned()),
                Action::Close { session, .. } if ours(session.0) => writer(format!("close {outcome}")),
                Action::Custom { name, session } if session.is_none_or(|session| ours(session.0)) => writer(format!("{name} {outcome}")),
                Action::Pay(pay) if ours(pay.session.0) => writer(format!("{} {outcome}", payment(pay))),
                Action::Delete { session } if ours(session.0) => writer(format!("delete {outcome}")),
                Action::Open { session, refuse: true } if ours(session.0) => writer(format!("open with a senseless retention {outcome}")),
                Action::Probe { about, .. } => writer(format!("{about:?} {outcome}")),
                Action::Health => match complete.outcome {
                    Outcome::Ok { .. } => None,
                    Outcome::Failed { .. } | Outcome::Unknown { .. } => writer(format!("health {outcome}")),
                },
                Action::Publish(_) | Action::Close { .. } | Action::Delete { .. } | Action::Open { .. } | Action::Custom { .. } | Action::Pay(_) => None,
            }
        }
        What::Paid(_) => None,
        What::Told(told) => {
            let amount = |name: &str, amount: Option<u64>| amount.map_or_else(String::new, |amount| format!(" {name} {amount}"));
            let (what, at) = match told.says {
                Says::Receipt => ("receipt:", told.by),
                Says::Due => ("payment due:", told.by),
                Says::Snapshot => ("snapshot:", told.by),
            };
            let text = [
                what.to_owned(),
                amount("required", told.required),
                amount("accepted", told.accepted),
                amount("spent", told.spent),
                amount("deposit", told.deposit),
            ]
            .concat();
            match at {
                ToldBy::Frame(conn) => Some((lane(conn)?, text)),
                ToldBy::Answer(_) => writer(text),
            }
        }
        What::Connect(connect) => {
            let from = match &connect.from {
                From::Start => "from the start".to_owned(),
                From::Live => "at the live end".to_owned(),
                From::Cursor { value, class, .. } => format!("after {} ({})", short(value), format!("{class:?}").to_lowercase()),
            };
            Some((lane(connect.conn)?, format!("connects {from}")))
        }
        What::Answer(answer) => Some((
            lane(answer.conn)?,
            format!(
                "status {}{}",
                answer.status,
                if answer.body.is_empty() { String::new() } else { format!(": {}", short(&answer.body)) }
            ),
        )),
        What::Delivery(d) => {
            let cursor = d.cursor.as_deref().map(|c| format!(" [{}]", short(c))).unwrap_or_default();
            let text = match (d.kind, d.marker) {
                (Kind::Event, Some(marker)) if d.durable => format!("event {marker}{cursor}"),
                (Kind::Event, Some(marker)) => format!("live-only {marker}{cursor}"),
                (Kind::Event, None) => format!("event without marker{cursor}"),
                (Kind::Other, _) if !d.event_type.is_empty() => format!("{}{cursor}", short(&d.event_type)),
                (kind, _) => format!("{}{cursor}", format!("{kind:?}").to_lowercase()),
            };
            Some((lane(d.conn)?, text))
        }
        What::Lint(lint) => Some((lane(lint.conn)?, format!("{}: {}", lint.rule, short(&lint.text)))),
        What::Opinion(o) => Some((lane(o.conn)?, format!("an ordinary client differs: {}", o.differs.as_deref()?))),
        What::End(end) => {
            let how = match &end.how {
                Ended::Eof => "stream ended by the server".to_owned(),
                Ended::Done => "answer read whole".to_owned(),
                Ended::Ours => "closed by the harness".to_owned(),
                Ended::Broken { why } => format!("connection broke: {}", short(why)),
                Ended::NoAnswer { why } => format!("no answer: {}", short(why)),
                Ended::Undecodable { why } => format!("not decodable: {}", short(why)),
            };
            Some((lane(end.conn)?, how))
        }
        What::Fault(fault) => match fault.conn {
            Some(conn) => Some((lane(conn)?, format!("✂ {}{}", fault.says, if fault.reached { "" } else { " (place never came)" }))),
            None => Some(("harness".to_owned(), fault.says.clone())),
        },
        What::Process(process) => {
            let text = match process {
                Process::Ready { pid, generation, wiped } => {
                    format!("ready as pid {pid}, start {}{}", generation + 1, if *wiped { ", data removed" } else { "" })
                }
                Process::Signal { name } => format!("SIG{name}"),
                Process::Gone => "gone".to_owned(),
                Process::Died { why } => format!("ended by itself: {}", short(why)),
                Process::Overdue => "did not end in its grace, killed".to_owned(),
            };
            Some(("server".to_owned(), text))
        }
        What::Resources(r) => Some((
            "server".to_owned(),
            format!("{}: {} descriptors, {} threads, {} MiB", r.label, r.descriptors, r.threads, r.resident >> 20),
        )),
        What::Expectation(one) if !one.held => Some(("harness".to_owned(), format!("expected {}: {}", one.expected, short(&one.seen)))),
        What::Leaked(leaked) => {
            let lane = leaked.conn.and_then(lane).unwrap_or_else(|| "harness".to_owned());
            Some((lane, format!("secret in {}: {}", leaked.surface, short(&leaked.around))))
        }
        What::Wait(wait) if !wait.reached => Some((
            wait.conn.and_then(lane)?,
            format!(
                "waited {} ms in vain for {}",
                wait.waited / 1000,
                match wait.until {
                    crate::history::Until::Marker(m) => m.to_string(),
                    other => format!("{other:?}").to_lowercase(),
                }
            ),
        )),
        What::Step(_) | What::Session(_) | What::Opened(_) | What::Invoke(_) | What::Comment(_) | What::Wait(_) | What::Expectation(_) => {
            None
        }
    }
}

fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(48).collect();
    if text.chars().count() > 48 { format!("{line}…") } else { line }
}

/// Two lines of one kind as one: `event s0.1 [e:1]` and `event s0.2 [e:2]` are `event s0.1 … s0.2 [e:2]`.
fn join(before: &str, now: &str) -> Option<String> {
    let (kind, first) = before.split_once(" «")?;
    let (now_kind, last) = now.split_once(" «")?;
    let first = first.split('»').next()?;
    (kind == now_kind).then(|| format!("{kind} «{first}» … «{last}"))
}

/// A line where the lost event should have come.
fn missing(history: &History, violation: &Violation, lines: &mut Vec<Line>) {
    let marker = violation.records.first().and_then(|r| match &history.records[*r].what {
        What::Complete(complete) => history.records.iter().find_map(|r| match &r.what {
            What::Invoke(i) if i.op == complete.op => match &i.action {
                Action::Publish(p) => Some(p.marker),
                _ => None,
            },
            _ => None,
        }),
        What::Invoke(i) => match &i.action {
            Action::Publish(p) => Some(p.marker),
            _ => None,
        },
        _ => None,
    });
    let Some(marker): Option<Marker> = marker else { return };
    let conn = violation.records.get(1).and_then(|r| match &history.records[*r].what {
        What::Connect(c) => Some(c),
        _ => None,
    });
    let lane = conn.map_or_else(|| "reader".to_owned(), |c| format!("{}#{}", c.reader, c.nth));
    let next = violation
        .records
        .get(2)
        .and_then(|_| lines.iter().position(|l| l.mark == Mark::Part && l.lane == lane && l.text.starts_with("event")));
    let at = next.or_else(|| lines.iter().rposition(|l| l.lane == lane).map(|at| at + 1)).unwrap_or(lines.len());
    let ms = lines.get(at).or(lines.last()).map_or(0, |l| l.ms);
    lines.insert(at, Line { ms, lane, text: format!("✗ {marker} belongs here and never came"), mark: Mark::Missing });
}

/// Keeps the lines around the marked ones, and the connects.
fn elide(lines: Vec<Line>) -> Vec<Line> {
    if lines.len() <= MOST {
        return lines;
    }
    let marked: Vec<usize> = lines.iter().enumerate().filter(|(_, l)| l.mark != Mark::None).map(|(at, _)| at).collect();
    let mut around = AROUND;
    let keep = |around: usize| -> Vec<bool> { (0..lines.len()).map(|at| marked.iter().any(|m| at.abs_diff(*m) <= around)).collect() };
    while around > 1 && keep(around).iter().filter(|k| **k).count() > MOST {
        around -= 1;
    }
    let kept = keep(around);
    let mut shown: Vec<Line> = Vec::new();
    let mut left_out = 0;
    for (line, keep) in lines.into_iter().zip(kept) {
        if keep {
            if left_out > 0 {
                let text = format!("… {left_out} more");
                shown.push(Line { ms: line.ms, lane: String::new(), text, mark: Mark::Elided });
                left_out = 0;
            }
            shown.push(line);
        } else {
            left_out += 1;
        }
    }
    shown.truncate(MOST * 2);
    shown
}
