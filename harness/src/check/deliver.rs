//! DELIVER, RESUME-1, RESUME-2, SEAM-1, SEAM-2, RESTART-1, RESTART-2, RESTART-4, FANOUT-1, FANOUT-2, FANOUT-4, IDEM-1,
//! IDEM-2, ISOLATE, SNAPSHOT-2: what each connection missed, repeated or should never have shown.
//!
//! Every event that was due on a connection is judged once, by the requirement of its phase (see `expect.rs`).

use rustc_hash::{FxHashMap, FxHashSet};

use super::answers;
use super::expect::{Expect, Kept, Phase, real_time};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, ConnView, CursorClass, Kind, Micros, Role, Surface};

pub(super) fn check(contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    for expect in expects {
        let gone = gone(expect, judge);
        let live = live_deliveries(expect, contract);
        for conn in expect.conns().filter(|c| expect.judged(c)) {
            strangers(expect, conn, contract, judge);
            if answers::foreign(conn) || conn.connect.what.surface == Surface::Snapshot {
                continue;
            }
            let Some(start) = expect.start(conn) else { continue };
            repeats(expect, conn, contract, judge);
            before_cursor(expect, conn, start, contract, judge);
            missing(expect, conn, start, contract, (&gone, &live), judge);
        }
        bodies(expect, judge);
    }
}

/// Acknowledged events that a stop of the server took away: no connection that had to show them afterwards does. They are
/// judged here, once each, and nowhere else.
fn gone(expect: &Expect<'_, '_>, judge: &mut Judge) -> FxHashSet<usize> {
    let mut gone = FxHashSet::default();
    let view = expect.view;
    let wiped = view.process.iter().any(|p| matches!(p.what, crate::history::Process::Ready { wiped: true, .. }));
    if wiped || expect.session.deleted.is_some() {
        return gone;
    }
    for (nth, event) in expect.session.events.iter().enumerate().filter(|(_, e)| e.durable) {
        let Some(acked) = event.acked else { continue };
        let Some((signal, stopped)) = view.gone_between(acked.at, Micros(u64::MAX)) else { continue };
        let requirement = if signal == "TERM" { "RESTART-4" } else { "RESTART-1" };
        let shows = |c: &&ConnView<'_>| {
            c.connect.at > stopped
                && c.accepted()
                && !answers::foreign(c)
                && expect.start(c).is_some_and(|start| expect.after_start(nth, start))
                && (c.got.iter().any(|g| expect.event(g.what).is_some_and(|e| e != nth && real_time(event, &expect.session.events[e])))
                    || c.got.iter().any(|g| expect.event(g.what) == Some(nth)))
        };
        let mut shown = false;
        let mut lacking = None;
        for conn in expect.conns().filter(|c| shows(c)) {
            if conn.got.iter().any(|g| expect.event(g.what) == Some(nth)) {
                shown = true;
                break;
            }
            if expect.kept(nth, conn.connect.at) == Kept::Yes {
                lacking.get_or_insert(conn);
            }
        }
        match lacking {
            _ if shown => judge.held(requirement),
            Some(conn) => {
                gone.insert(nth);
                judge.violated(
                    requirement,
                    Violation {
                        says: format!(
                            "{} was acknowledged, then the server got SIG{signal}, and no reader has seen it since",
                            event.marker
                        ),
                        expected: format!("{} in every replay after the restart", event.marker),
                        seen: format!("{} and every other view after the restart lack it", conn.name()),
                        records: vec![acked.record, event.invoked.record, conn.connect.record],
                        shape: format!("lost-at-{}", signal.to_lowercase()),
                    },
                );
            }
            None => {}
        }
    }
    gone
}

/// Events of other sessions, and events that nobody published.
fn strangers(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let view = expect.view;
    let mut own = 0;
    for got in conn.got.iter() {
        let Some(marker) = got.what.marker else { continue };
        if let Some(event) = expect.event(got.what) {
            let e = &expect.session.events[event];
            if e.refused && !e.hostile_type {
                judge.violated(
                    "DELIVER-3",
                    Violation {
                        says: format!("{} delivered {marker}, whose publish was refused", conn.name()),
                        expected: "no trace of a refused publish".to_owned(),
                        seen: format!("{marker}, cursor {}", got.what.cursor.as_deref().unwrap_or("none")),
                        records: vec![got.record, e.invoked.record],
                        shape: "refused-but-delivered".to_owned(),
                    },
                );
            } else {
                own += 1;
            }
            continue;
        }
        let foreign = view.sessions.get(marker.session as usize).and_then(|s| s.by_marker.get(&marker.n).map(|e| &s.events[*e]));
        match foreign {
            Some(event) => {
                let live = conn.is_stream() && event.invoked.at > expect.live_at(conn, contract);
                judge.violated(
                    if live { "ISOLATE-1" } else { "ISOLATE-2" },
                    Violation {
                        says: format!("{} reads session {} and was sent {marker}", conn.name(), expect.session.name),
                        expected: format!("events of session {} alone", expect.session.name),
                        seen: format!("{marker}, published to session {}", view.sessions[marker.session as usize].name),
                        records: vec![got.record, event.invoked.record],
                        shape: if live { "foreign-live" } else { "foreign-replayed" }.to_owned(),
                    },
                );
            }
            None => judge.violated(
                "DELIVER-3",
                Violation {
                    says: format!("{} delivered {marker}, which nobody published", conn.name()),
                    expected: "published events alone".to_owned(),
                    seen: marker.to_string(),
                    records: vec![got.record],
                    shape: "never-published".to_owned(),
                },
            ),
        }
    }
    judge.held_n("DELIVER-3", own);
    if view.sessions.iter().filter(|s| !s.events.is_empty()).count() > 1 {
        judge.held_n(if conn.is_stream() { "ISOLATE-1" } else { "ISOLATE-2" }, own);
        judge.held_n("ISOLATE-2", u64::from(own > 0 && conn.is_stream()));
    }
}

/// Events that a connection delivers twice.
fn repeats(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let mut first: FxHashMap<usize, &crate::history::Seen<&crate::history::Delivery>> = FxHashMap::default();
    let slow = is_slow(conn);
    for got in conn.got.iter().filter(|g| g.what.kind == Kind::Event && g.what.durable) {
        let Some(event) = expect.event(got.what) else { continue };
        let e = &expect.session.events[event];
        let Some(before) = first.get(&event) else {
            first.insert(event, got);
            if conn.is_stream() && !slow {
                judge.held(match expect.phase(event, conn, contract) {
                    Phase::Seam => "SEAM-2",
                    Phase::Replay | Phase::Live => "DELIVER-2",
                });
            }
            continue;
        };
        // Where deliveries carry no cursor, two acknowledged ones say so, or one page of history that has the event twice.
        let stored_twice = match (&before.what.cursor, &got.what.cursor) {
            (Some(before), Some(got)) => before != got,
            (None, None) => e.cursors.len() > 1 || conn.connect.what.surface == Surface::History,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let requirement = if stored_twice {
            stored_twice_by(expect, event, conn)
        } else if expect.phase(event, conn, contract) == Phase::Seam && conn.is_stream() {
            "SEAM-2"
        } else {
            "DELIVER-2"
        };
        judge.violated(
            requirement,
            Violation {
                says: format!("{} was sent {} twice", conn.name(), e.marker),
                expected: format!("{} once", e.marker),
                seen: format!(
                    "cursor {}, then cursor {}",
                    before.what.cursor.as_deref().unwrap_or("none"),
                    got.what.cursor.as_deref().unwrap_or("none")
                ),
                records: vec![got.record, before.record, e.invoked.record],
                shape: if stored_twice { "stored-twice" } else { "sent-twice" }.to_owned(),
            },
        );
    }
    judge_keys(expect, conn, &first, judge);
}

/// Which requirement an event violates that stands in the log twice: a retry with its key, or a recovery.
fn stored_twice_by(expect: &Expect<'_, '_>, event: usize, conn: &ConnView<'_>) -> &'static str {
    let e = &expect.session.events[event];
    let repeat = last_repeat(expect, event);
    let restarted = |since, until| expect.view.stop_between(since, until).is_some();
    match repeat {
        Some(at) if restarted(e.invoked.at, at) => "IDEM-2",
        Some(_) => "IDEM-1",
        None if e.key.is_some() && !restarted(e.invoked.at, conn.connect.at) => "IDEM-1",
        None if restarted(e.invoked.at, conn.ended_at()) => "RESTART-2",
        None => "DELIVER-2",
    }
}

/// When the last repetition of an event's publish was sent.
fn last_repeat(expect: &Expect<'_, '_>, event: usize) -> Option<Micros> {
    let e = &expect.session.events[event];
    let repeats = |op: &&crate::history::OpView<'_>| match op.invoked.what {
        Action::Publish(publish) => publish.marker == e.marker && publish.repeats.is_some() && !publish.conflict,
        Action::Open { .. } | Action::Close { .. } | Action::Delete { .. } | Action::Health | Action::Probe { .. } => false,
    };
    e.key?;
    expect.view.ops.iter().rev().find(repeats).map(|op| op.invoked.at)
}

/// Events with a key that a replay shows once count for the requirement of their retry; unknown ones for RESTART-2.
fn judge_keys(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    shown: &FxHashMap<usize, &crate::history::Seen<&crate::history::Delivery>>,
    judge: &mut Judge,
) {
    for event in shown.keys() {
        let e = &expect.session.events[*event];
        if e.acked_at().is_some_and(|acked| acked > conn.connect.at) {
            continue;
        }
        if let Some(repeat) = last_repeat(expect, *event).filter(|at| *at < conn.connect.at) {
            let across = expect.view.stop_between(e.invoked.at, repeat).is_some();
            judge.held(if across { "IDEM-2" } else { "IDEM-1" });
        }
    }
    if let Some(stop) = expect.view.process.iter().find(|p| p.at < conn.connect.at) {
        let unanswered = expect.session.events.iter().filter(|e| e.durable && !e.refused && e.invoked.at < stop.at);
        judge.held_n("RESTART-2", unanswered.count() as u64);
    }
}

/// Events at or before the presented cursor.
fn before_cursor(expect: &Expect<'_, '_>, conn: &ConnView<'_>, start: Option<usize>, contract: &Contract, judge: &mut Judge) {
    let Some(start) = start else { return };
    let from_snapshot = matches!(conn.presented(), Some((_, CursorClass::Snapshot)));
    let two = matches!(&conn.connect.what.from, crate::history::From::Cursor { beside: Some(_), .. });
    let requirement = if from_snapshot { "SNAPSHOT-2" } else { "RESUME-1" };
    // A snapshot's own events say what it holds; a batch that one cursor covers may come again whole, unless the cursor
    // is surely that of its last event: one that was acknowledged with it, or stood on no other.
    let covers_more = || conn.presented().and_then(|(cursor, _)| expect.session.cursors.get(cursor)).is_none_or(|sights| sights.len() != 1);
    if two || !contract.cursor.as_ref().is_some_and(|c| c.per_event || !covers_more()) && !from_snapshot {
        return;
    }
    if from_snapshot {
        return;
    }
    for got in conn.got.iter().filter(|g| g.what.kind == Kind::Event && g.what.durable) {
        let Some(event) = expect.event(got.what) else { continue };
        let e = &expect.session.events[event];
        let after = expect.after_start(event, Some(start)) || !expect.before(event, start) && event != start;
        judge.require(requirement, after, || Violation {
            says: format!("{} resumed after {} and was sent {}", conn.name(), expect.session.events[start].marker, e.marker),
            expected: format!("events behind {} alone: the cursor is exclusive", expect.session.events[start].marker),
            seen: format!("{}{}", e.marker, if event == start { ", the cursor's own event" } else { "" }),
            records: vec![got.record, conn.connect.record],
            shape: if event == start { "cursor-itself" } else { "before-cursor" }.to_owned(),
        });
    }
}

/// Events that were due and did not come.
fn missing(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    start: Option<usize>,
    contract: &Contract,
    (gone, live): (&FxHashSet<usize>, &[u32]),
    judge: &mut Judge,
) {
    let delivered: FxHashSet<usize> = conn.got.iter().filter_map(|g| expect.event(g.what)).collect();
    let announced = announced(expect, conn);
    let apart = apart(expect, conn);
    let (of_phase, apart) = (apart.is_none(), apart.unwrap_or_default());
    let ended = conn.ended_at().min(Micros(expect.view.history.records.last().map_or(0, |r| r.at.0)));
    for event in expect.due(conn, start) {
        if gone.contains(&event) {
            continue;
        }
        let e = &expect.session.events[event];
        let phase = expect.phase(event, conn, contract);
        let elsewhere = live[event] > u32::from(delivered.contains(&event) && phase == Phase::Live);
        let requirement = match phase {
            // What a reader misses that does not read is a promise of its own.
            Phase::Live if of_phase && is_slow(conn) => match contract.slow_reader {
                Some(_) => "FANOUT-4",
                None => continue,
            },
            _ if of_phase => by_phase(phase, elsewhere),
            Phase::Replay | Phase::Seam | Phase::Live => apart,
        };
        if delivered.contains(&event) {
            judge.held(requirement);
            continue;
        }
        let excused = announced.is_some_and(|first| first.is_none_or(|first| expect.before(event, first)));
        let by_then = if phase == Phase::Replay { conn.connect.at } else { ended };
        if excused || expect.kept(event, by_then) != Kept::Yes {
            continue;
        }
        let (next, previous) = neighbours(expect, conn, event);
        let mut records = vec![e.acked.map_or(e.invoked.record, |a| a.record), conn.connect.record];
        records.extend(next.map(|n| n.record));
        judge.violated(
            requirement,
            Violation {
                says: format!("{} never received {}, which was acknowledged{}", conn.name(), e.marker, when(phase)),
                expected: format!("{} behind {}", e.marker, previous.unwrap_or_else(|| "the start of the connection".to_owned())),
                seen: next.map_or_else(
                    || "nothing more, although the run waited for it".to_owned(),
                    |n| n.what.marker.map_or_else(|| "other events".to_owned(), |m| format!("{m} came instead")),
                ),
                records,
                shape: format!("lost-{phase:?}").to_lowercase(),
            },
        );
    }
}

fn when(phase: Phase) -> &'static str {
    match phase {
        Phase::Replay => " before it connected",
        Phase::Seam => " while it was going from replay to live",
        Phase::Live => " while it was live",
    }
}

/// For each event how many streams received it while they were live.
fn live_deliveries(expect: &Expect<'_, '_>, contract: &Contract) -> Vec<u32> {
    let mut live = vec![0; expect.session.events.len()];
    for conn in expect.conns().filter(|c| c.is_stream()) {
        let received: FxHashSet<usize> = conn.got.iter().filter_map(|g| expect.event(g.what)).collect();
        for event in received {
            live[event] += u32::from(expect.phase(event, conn, contract) == Phase::Live);
        }
    }
    live
}

/// The requirement that judges everything due on a connection, where the connection is of a special kind.
fn apart(expect: &Expect<'_, '_>, conn: &ConnView<'_>) -> Option<&'static str> {
    match conn.connect.what.surface {
        Surface::History => return Some("SNAPSHOT-3"),
        Surface::Snapshot => return Some("SNAPSHOT-1"),
        Surface::Stream => {}
    }
    if matches!(conn.presented(), Some((_, CursorClass::Snapshot))) {
        return Some("SNAPSHOT-1");
    }
    let overlapping = |other: &ConnView<'_>| {
        other.is_stream()
            && other.id != conn.id
            && other.connect.what.reader == conn.connect.what.reader
            && other.connect.at < conn.ended_at()
            && conn.connect.at < other.ended_at()
            && (other.connect.what.role == Role::Overlap || conn.connect.what.role == Role::Overlap)
    };
    expect.conns().any(overlapping).then_some("FANOUT-2")
}

/// The requirement that judges an event by the phase it was due in. A live event that others received meanwhile is a
/// matter of the fan-out.
fn by_phase(phase: Phase, elsewhere: bool) -> &'static str {
    match phase {
        Phase::Replay => "RESUME-2",
        Phase::Seam => "SEAM-1",
        Phase::Live if elsewhere => "FANOUT-1",
        Phase::Live => "DELIVER-1",
    }
}

/// True for a connection that was stalled on purpose.
pub(super) fn is_slow(conn: &ConnView<'_>) -> bool {
    conn.connect.what.role == Role::Slow || conn.faults.iter().any(|f| f.what.says.starts_with("not read"))
}

/// The first event behind a gap signal: what comes before it was announced as lost. `Some(None)` when nothing followed.
fn announced(expect: &Expect<'_, '_>, conn: &ConnView<'_>) -> Option<Option<usize>> {
    let last = conn.got.iter().rposition(|g| g.what.kind == Kind::Gap)?;
    Some(conn.got[last..].iter().find_map(|g| expect.event(g.what)))
}

/// What the connection delivered around the place where `event` is missing.
fn neighbours<'v, 'h>(
    expect: &Expect<'v, 'h>,
    conn: &'v ConnView<'h>,
    event: usize,
) -> (Option<&'v crate::history::Seen<&'h crate::history::Delivery>>, Option<String>) {
    let mut previous = None;
    for got in &conn.got {
        let Some(other) = expect.event(got.what) else { continue };
        if expect.before(event, other) {
            return (Some(got), previous);
        }
        previous = got.what.marker.map(|m| m.to_string());
    }
    (None, previous)
}

/// Payloads that came back altered (DELIVER-4). Those whose frame broke are WIRE-3's.
fn bodies(expect: &Expect<'_, '_>, judge: &mut Judge) {
    for conn in expect.conns() {
        for got in &conn.got {
            let (Some(event), Some(body)) = (expect.event(got.what), got.what.body.as_ref()) else { continue };
            let e = &expect.session.events[event];
            let torn = conn.lint.iter().any(|lint| lint.what.rule == "SSE-17" || lint.what.error);
            if torn && !body.same(e.body) {
                continue;
            }
            judge.require("DELIVER-4", body.same(e.body), || Violation {
                says: format!("the payload of {} came back altered on {}", e.marker, conn.name()),
                expected: format!("{} bytes: {:?}", e.body.len, e.body.head),
                seen: format!("{} bytes: {:?}", body.len, body.head),
                records: vec![got.record, e.invoked.record],
                shape: "altered".to_owned(),
            });
        }
    }
}
