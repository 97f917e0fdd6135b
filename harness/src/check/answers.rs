//! RESUME-3 to RESUME-10 and ISOLATE-3: what a presented cursor is answered with.

use rustc_hash::FxHashSet;

use super::expect::{Expect, Kept, Phase};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{Contract, CursorAnswer, CursorCarrier, GapSignal, Profile, StreamAnswer};
use crate::history::{ConnView, CursorClass, From, Kind, Marker, View};

/// True for a connection whose cursor is none of its session's own: what it delivers is judged here alone.
pub(super) fn foreign(conn: &ConnView<'_>) -> bool {
    match conn.presented() {
        Some((_, class)) => match class {
            CursorClass::Own | CursorClass::Snapshot | CursorClass::Empty => false,
            CursorClass::Synthetic | CursorClass::Ahead | CursorClass::OtherSession | CursorClass::OtherEpoch | CursorClass::Malformed => {
                true
            }
        },
        None => false,
    }
}

fn requirement(class: CursorClass) -> Option<&'static str> {
    match class {
        CursorClass::Ahead => Some("RESUME-4"),
        CursorClass::OtherSession => Some("RESUME-5"),
        CursorClass::OtherEpoch => Some("RESUME-6"),
        CursorClass::Malformed => Some("RESUME-7"),
        CursorClass::Empty => Some("RESUME-8"),
        CursorClass::Own | CursorClass::Snapshot | CursorClass::Synthetic => None,
    }
}

/// Why an answer is not judged.
const UNSAID: &str = "the profile does not say what such a cursor is answered with";

pub(super) fn check(view: &View<'_>, profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let contract = &profile.contract;
    if contract.cursor.is_none() {
        // A reader without a cursor is sent everything from the beginning, where what was acknowledged survives a disconnect:
        // what it lacks of that is for RESUME-2.
        let all = ["RESUME-1", "RESUME-3", "RESUME-4", "RESUME-5", "RESUME-6", "RESUME-7", "RESUME-8", "RESUME-9", "RESUME-10"];
        all.into_iter().for_each(|id| judge.not_applicable(id, "the profile has no cursors to resume from"));
        return;
    }
    let classes = [CursorClass::Ahead, CursorClass::OtherSession, CursorClass::OtherEpoch, CursorClass::Malformed];
    for class in classes.into_iter().filter(|class| !contract.answers.contains_key(class)) {
        if let Some(id) = requirement(class) {
            judge.not_applicable(id, UNSAID);
        }
    }
    // Whoever puts a cursor into a document may leave it out; an empty header or parameter is what a client sends that has none.
    let in_body = |carrier: &CursorCarrier| matches!(carrier, CursorCarrier::Body(_) | CursorCarrier::BodyNumber(_));
    let empty = (!profile.binding.subscribe.cursor.first().is_some_and(in_body)).then_some(CursorAnswer::Stream(StreamAnswer::Start));
    if empty.is_none() && !contract.answers.contains_key(&CursorClass::Empty) {
        judge.not_applicable("RESUME-8", UNSAID);
    }
    if contract.cursor_precedence.is_none() {
        judge.not_applicable("RESUME-10", "the profile does not say which of two cursors wins");
    }
    for expect in expects {
        for conn in expect.conns().filter(|c| c.is_stream()) {
            resume_point(expect, conn, judge);
            precedence(expect, conn, contract, judge);
            let Some((presented, class)) = conn.presented() else { continue };
            if class == CursorClass::OtherSession {
                tells(view, conn, judge);
            }
            let default = empty.clone().filter(|_| class == CursorClass::Empty);
            let Some(answer) = contract.answers.get(&class).cloned().or(default) else { continue };
            if let Some(id) = requirement(class) {
                answered(expect, conn, contract, (id, presented, &answer), judge);
            }
        }
        same_cursor(expect, judge);
    }
    if !contract.answers.contains_key(&CursorClass::OtherSession) {
        judge.not_asked("ISOLATE-3", UNSAID);
    }
}

/// RESUME-3: a cursor that the server emitted is accepted, unless the end or retention says otherwise.
fn resume_point(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let Some((presented, class)) = conn.presented() else { return };
    let (Some(answer), true) = (conn.answer, matches!(class, CursorClass::Own | CursorClass::Snapshot | CursorClass::Synthetic)) else {
        return;
    };
    let session = expect.session;
    let of_the_end = session.terminal_cursor == Some(presented) || session.closing.is_some_and(|at| at < answer.at);
    if of_the_end || session.may_be_gone(answer.at) {
        return;
    }
    let named = expect.named(presented);
    let evictable = match named {
        Some(event) if expect.keep().bounded() => (event + 1..session.events.len()).any(|e| expect.kept(e, answer.at) != Kept::Yes),
        Some(_) => false,
        None => expect.keep().bounded(),
    };
    if evictable {
        return;
    }
    let first = expect.conns().next().map_or(conn.connect.at, |c| c.connect.at);
    let restarted = expect.view.stop_between(first, conn.connect.at).is_some();
    if !answer.what.accepted && restarted && answer.what.status == 404 {
        return;
    }
    let replayed_all = class == CursorClass::Synthetic && replays_what_was_seen(expect, conn, presented);
    judge.require("RESUME-3", answer.what.accepted && !replayed_all, || Violation {
        says: format!("{} presented {presented:?}, which the server itself had sent", conn.name()),
        expected: "the events behind it".to_owned(),
        seen: if answer.what.accepted {
            "events that the reader had before that id".to_owned()
        } else {
            format!("status {}: {}", answer.what.status, answer.what.body)
        },
        records: vec![answer.record, conn.connect.record],
        shape: if class == CursorClass::Synthetic { "synthetic" } else { "refused" }.to_owned(),
    });
}

/// True when a connection opened with a synthetic id delivers events that another connection had delivered before that id.
/// When they were acknowledged says nothing: the id may have been on its way.
fn replays_what_was_seen(expect: &Expect<'_, '_>, conn: &ConnView<'_>, presented: &str) -> bool {
    if !expect.session.synthetic.contains_key(presented) {
        return false;
    }
    let mut before: FxHashSet<usize> = FxHashSet::default();
    for other in expect.conns().filter(|other| other.id != conn.id) {
        let Some(place) = other.got.iter().position(|got| got.what.cursor.as_deref() == Some(presented)) else { continue };
        before.extend(other.events[..place].iter().flatten().map(|event| *event as usize));
    }
    conn.arrivals().any(|(_, event)| before.contains(&event))
}

/// RESUME-10: with two cursors, the replay starts behind the stronger one.
fn precedence(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let From::Cursor { value, beside: Some(beside), .. } = &conn.connect.what.from else { return };
    let (Some(winner), Some(loser), true) = (expect.named(value), expect.named(beside), contract.cursor_precedence.is_some()) else {
        return;
    };
    let Some(first) = conn.arrivals().next() else { return };
    let obeyed = winner == loser || expect.after_start(first.1, Some(winner));
    judge.require("RESUME-10", obeyed, || Violation {
        says: format!("{} sent {value} and, by the way that must lose, {beside}", conn.name()),
        expected: format!("events behind {value}"),
        seen: format!("{} first", expect.session.events[first.1].marker),
        records: vec![first.0.record, conn.connect.record],
        shape: "weaker-cursor-won".to_owned(),
    });
}

/// RESUME-4 to RESUME-8: the contract's answer to a cursor of this class.
fn answered(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    contract: &Contract,
    (id, presented, wanted): (&'static str, &str, &CursorAnswer),
    judge: &mut Judge,
) {
    let Some(answer) = conn.answer else {
        return unanswered(conn, contract, (id, presented, wanted), judge);
    };
    let (accepted, status) = (answer.what.accepted, answer.what.status);
    if !accepted && expect.session.may_be_gone(answer.at) {
        return;
    }
    let shown: String = presented.chars().take(60).collect();
    let mut require = |holds: bool, expected: String, seen: String, shape: &str| {
        judge.require(id, holds, || Violation {
            says: format!("{} presented {shown:?}", conn.name()),
            expected,
            seen,
            records: vec![answer.record, conn.connect.record],
            shape: shape.to_owned(),
        });
    };
    let as_status = || format!("status {status}{}", if accepted { ", and a stream" } else { "" });
    match wanted {
        CursorAnswer::Refused { status: set } => {
            require(!accepted && set.contains(status), format!("a refusal with status {set}"), as_status(), "not-refused");
        }
        CursorAnswer::Stream(StreamAnswer::Refuse) => {
            require(!accepted && status >= 400, "a refusal".to_owned(), as_status(), "not-refused")
        }
        CursorAnswer::Stream(_) if !accepted => require(false, "a stream".to_owned(), as_status(), "refused"),
        CursorAnswer::Stream(stream) => {
            let old = conn.arrivals().find(|(g, e)| g.what.durable && expect.phase(*e, conn) == Phase::Replay).map(|(g, _)| g);
            let has = |kind: Kind| conn.got.iter().any(|g| g.what.kind == kind);
            match stream {
                StreamAnswer::Start => {
                    let first_due = expect.first_behind(None, conn).filter(|e| expect.kept(*e, expect.read_by(conn)) == Kept::Yes);
                    let first = conn.arrivals().next().map(|(_, event)| event);
                    let holds = first_due.is_none_or(|due| match first {
                        Some(first) => !expect.before(due, first),
                        // One that went nowhere shows where it began only by the mark that all before it is over.
                        None => conn.boundaries().next().is_none(),
                    });
                    require(holds, "everything that is kept, as without a cursor".to_owned(), "a later start".to_owned(), "not-from-start");
                }
                StreamAnswer::Live | StreamAnswer::Boundary => {
                    let boundary = *stream == StreamAnswer::Live || has(Kind::Boundary);
                    let seen = old.and_then(|g| g.what.marker).map_or("no boundary".to_owned(), |m| format!("{m}, which is old"));
                    require(old.is_none() && boundary, "nothing old".to_owned(), seen, "old-events");
                }
                StreamAnswer::Gap => {
                    let signal = contract.gap.as_ref().map_or(GapSignal::Frame, |g| g.signal);
                    let said = has(if signal == GapSignal::Boundary { Kind::Boundary } else { Kind::Gap });
                    require(said, "the gap signal".to_owned(), "a stream without it".to_owned(), "no-gap-signal");
                }
                StreamAnswer::Refuse | StreamAnswer::Resume => {}
            }
            swallowed(expect, conn, contract, id, judge);
        }
    }
}

/// After how many times the promised time a refusal that has not come will not come.
const LATE_HEADS: u64 = 3;

/// A cursor that must be refused, and gets neither a refusal nor anything else as long as its reader waits.
fn unanswered(conn: &ConnView<'_>, contract: &Contract, (id, presented, wanted): (&'static str, &str, &CursorAnswer), judge: &mut Judge) {
    let refused = matches!(wanted, CursorAnswer::Refused { .. } | CursorAnswer::Stream(StreamAnswer::Refuse));
    let Some(end) = &conn.end else { return };
    let waited = end.at.0.saturating_sub(conn.connect.at.0) / 1000;
    let liveness = &contract.liveness;
    let late = liveness.headers_ms.map_or(liveness.delivery_ms, |ms| ms * LATE_HEADS);
    if !refused || !conn.faults.is_empty() || waited <= late {
        return;
    }
    let shown: String = presented.chars().take(60).collect();
    judge.violated(
        id,
        Violation {
            says: format!("{} presented {shown:?}", conn.name()),
            expected: "a refusal".to_owned(),
            seen: format!("no answer for {waited} ms"),
            records: vec![conn.connect.record],
            shape: "unanswered".to_owned(),
        },
    );
}

/// What was published after such a connection was accepted arrives all the same.
fn swallowed(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, id: &'static str, judge: &mut Judge) {
    let first = expect.session.events.partition_point(|e| e.invoked.at <= expect.live_at(conn));
    let arrived: FxHashSet<usize> = conn.arrivals().map(|(_, event)| event).collect();
    for (nth, event) in expect.session.events.iter().enumerate().skip(first).filter(|(_, e)| e.durable) {
        let Some(acked) = event.acked.filter(|a| a.at.0 + contract.liveness.delivery_ms * 1000 < conn.ended_at().0) else { continue };
        judge.require(id, arrived.contains(&nth), || Violation {
            says: format!("{} was accepted and never received {}, published afterwards", conn.name(), event.marker),
            expected: event.marker.to_string(),
            seen: "nothing".to_owned(),
            records: vec![acked.record, conn.connect.record],
            shape: "swallowed".to_owned(),
        });
    }
}

/// ISOLATE-3: the answer to a foreign cursor shows nothing of the other session. What a stream delivers of it is ISOLATE-2's.
fn tells(view: &View<'_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let Some(answer) = conn.answer else { return };
    if answer.what.accepted {
        let own = conn.got.iter().zip(&conn.events).all(|(got, event)| got.what.marker.is_none() || event.is_some());
        return judge.held_n("ISOLATE-3", u64::from(own && conn.arrivals().next().is_some()));
    }
    let told = Marker::find(&answer.what.body).or_else(|| Marker::find(&answer.what.body.replace("\\u00ab", "«").replace("\\u00bb", "»")));
    let told = told.filter(|m| view.sessions.get(m.session as usize).is_some());
    judge.require("ISOLATE-3", told.is_none(), || Violation {
        says: format!("the answer to a foreign cursor quotes {}", told.map_or_else(String::new, |m| m.to_string())),
        expected: "nothing of the other session".to_owned(),
        seen: answer.what.body.clone(),
        records: vec![answer.record, conn.connect.record],
        shape: "quoted".to_owned(),
    });
}

/// RESUME-9: two connections with the same cursor replay the same.
fn same_cursor(expect: &Expect<'_, '_>, judge: &mut Judge) {
    let mut by_cursor: std::collections::BTreeMap<&str, Vec<&ConnView<'_>>> = Default::default();
    for conn in expect.conns().filter(|c| c.is_stream() && c.accepted() && !foreign(c)) {
        if let (Some((cursor, CursorClass::Own)), From::Cursor { beside: None, .. }) = (conn.presented(), &conn.connect.what.from) {
            by_cursor.entry(cursor).or_default().push(conn);
        }
    }
    for (cursor, conns) in by_cursor {
        for pair in conns.windows(2) {
            let replayed = |c: &ConnView<'_>| -> Vec<usize> {
                let old = |e: &usize| expect.session.events[*e].acked_at().is_some_and(|acked| acked < pair[0].connect.at);
                c.arrivals().filter(|(g, _)| g.what.durable).map(|(_, event)| event).filter(old).collect()
            };
            let (first, second) = (replayed(pair[0]), replayed(pair[1]));
            let whole = |c: &ConnView<'_>| {
                let new = |event: usize| expect.session.events[event].new_at(pair[0].connect.at);
                c.boundaries().next().is_some() || c.arrivals().any(|(_, event)| new(event))
            };
            // A connection that was cut in mid-replay shows only the beginning of it.
            let shared = if whole(pair[0]) && whole(pair[1]) { first.len().max(second.len()) } else { first.len().min(second.len()) };
            let whole_log = || {
                let start = expect.start(pair[0]).flatten();
                expect
                    .first_behind(start, pair[0])
                    .is_none_or(|first| expect.kept(first, expect.read_by(pair[0]).max(expect.read_by(pair[1]))) == Kept::Yes)
            };
            if shared == 0 || expect.keep().bounded() && !whole_log() {
                continue;
            }
            let same = first.iter().take(shared).eq(second.iter().take(shared));
            judge.require("RESUME-9", same, || {
                let differs = first.iter().zip(&second).position(|(a, b)| a != b).unwrap_or(first.len().min(second.len()));
                let name =
                    |list: &[usize]| list.get(differs).map_or("nothing".to_owned(), |e| expect.session.events[*e].marker.to_string());
                Violation {
                    says: format!("{} and {} both resumed after {cursor}", pair[0].name(), pair[1].name()),
                    expected: "the same events".to_owned(),
                    seen: format!("{} at place {} on the first, {} on the second", name(&first), differs + 1, name(&second)),
                    records: vec![pair[1].connect.record, pair[0].connect.record],
                    shape: "replays-differ".to_owned(),
                }
            });
        }
    }
}
