//! GAP: what retention took is announced, and nothing else is.

use super::answers;
use super::expect::{Expect, Kept, Phase};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{AfterGap, Contract, GapSignal, RetainKind};
use crate::history::{Action, ConnView, From, Kind, Micros, Outcome, Surface, View};

pub(super) fn check(view: &View<'_>, contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let validated = contract.retention.as_ref().is_some_and(|r| r.validated);
    if !validated {
        judge.not_applicable("GAP-5", "the profile does not promise that senseless bounds are refused");
    }
    senseless(view, contract, judge);
    if contract.retention.is_none() {
        for id in ["GAP-1", "GAP-2", "GAP-3", "GAP-4", "GAP-6"] {
            judge.not_applicable(id, "the profile keeps everything");
        }
        return;
    }
    if contract.retention.as_ref().is_some_and(|r| r.default.age_ms.is_none() && !r.settable.contains(&RetainKind::Age)) {
        judge.not_applicable("GAP-3", "the profile has no bound by age");
    }
    if contract.gap.is_none() {
        for id in ["GAP-1", "GAP-2", "GAP-6"] {
            judge.not_applicable(id, "the profile has no gap signal: evicted events are missing in silence");
        }
    }
    for expect in expects {
        for conn in expect.conns().filter(|c| c.is_stream() && c.answer.is_some() && !answers::foreign(c)) {
            signal(expect, conn, contract, judge);
            expired(expect, conn, judge);
            amount(expect, conn, judge);
        }
    }
}

/// The kept-state of the first acknowledged event behind a connection's start.
fn first_behind(expect: &Expect<'_, '_>, start: Option<usize>, conn: &ConnView<'_>) -> Option<usize> {
    (0..expect.session.events.len()).find(|e| {
        let event = &expect.session.events[*e];
        event.durable && event.acked_at().is_some_and(|a| a < conn.connect.at) && expect.after_start(*e, start)
    })
}

/// GAP-1, GAP-2, GAP-6.
fn signal(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let (Some(gap), Some(start)) = (&contract.gap, expect.start(conn)) else { return };
    let status = conn.status().unwrap_or(0);
    let frame = conn.got.iter().position(|g| g.what.kind == Kind::Gap);
    let said = match gap.signal {
        GapSignal::Frame => frame.is_some(),
        GapSignal::Refusal => !conn.accepted() && status >= 400,
        GapSignal::Boundary => conn.boundaries().next().is_some(),
    };
    let ended = conn.ended_at().min(Micros(expect.view.history.records.last().map_or(0, |r| r.at.0)));
    if let Some(first) = first_behind(expect, start, conn) {
        let applies = conn.connect.what.from != From::Start || gap.on_start;
        let showed = !conn.accepted() || conn.got.iter().any(|g| g.what.durable);
        if applies && showed && expect.kept(first, conn.connect.at) == Kept::No {
            let early = conn.got.iter().position(|g| expect.event(g.what).is_some());
            let in_time = said && frame.is_none_or(|gap| early.is_none_or(|event| gap < event));
            let by_age = expect.has_age() && conn.got.iter().any(|g| expect.event(g.what) == Some(first));
            if !by_age {
                let e = &expect.session.events[first];
                judge.require("GAP-1", in_time, || Violation {
                    says: format!("{} asked for what follows its cursor, and {} is no longer kept", conn.name(), e.marker),
                    expected: "the gap signal, before anything else".to_owned(),
                    seen: early
                        .and_then(|at| conn.got[at].what.marker)
                        .map_or_else(|| format!("status {status}, no signal"), |m| format!("{m}, as if nothing were missing")),
                    records: early.map(|at| conn.got[at].record).into_iter().chain([conn.connect.record, e.invoked.record]).collect(),
                    shape: "silent".to_owned(),
                });
            }
        }
    }
    // Until the server looked, others may have published what evicts.
    let told = frame.map(|gap| conn.got[gap].at).or(conn.answer.map(|answer| answer.at)).unwrap_or(conn.connect.at);
    // The cursor's own position may be the newest there is: then nothing behind it can be lost.
    let all_kept = (0..expect.session.events.len())
        .filter(|e| expect.session.events[*e].durable && !expect.session.events[*e].refused && expect.after_start(*e, start))
        .filter(|e| expect.session.events[*e].invoked.at < ended)
        .all(|e| {
            let live = expect.phase(e, conn, contract) != Phase::Replay;
            // Under a bound by age even a live event expires before it is sent, where the server is slow to send it.
            live && !super::deliver::is_slow(conn) && !expect.has_age()
                || expect.kept(e, told.max(expect.session.events[e].invoked.at)) == Kept::Yes
        });
    let refused_for_gap = gap.signal == GapSignal::Refusal && said && matches!(status, 410 | 404);
    let signalled = match gap.signal {
        GapSignal::Frame => frame.is_some(),
        GapSignal::Refusal => refused_for_gap,
        GapSignal::Boundary => said && conn.connect.what.from != From::Start,
    };
    if all_kept && conn.accepted() | refused_for_gap {
        judge.require("GAP-2", !signalled, || Violation {
            says: format!("{} was told of a gap, and nothing behind its cursor was lost", conn.name()),
            expected: "a plain resume".to_owned(),
            seen: "the gap signal".to_owned(),
            records: frame.map(|at| conn.got[at].record).into_iter().chain([conn.connect.record]).collect(),
            shape: "false-gap".to_owned(),
        });
    }
    let Some(at) = frame.filter(|_| gap.then == AfterGap::Kept) else { return };
    let next = conn.got[at + 1..]
        .iter()
        .find(|g| matches!(g.what.kind, Kind::Event | Kind::Terminal) && g.what.durable && g.what.cursor.is_some());
    if let (Some(named), Some(next)) = (conn.got[at].what.points_to.as_deref(), next) {
        judge.require("GAP-6", next.what.cursor.as_deref() == Some(named), || Violation {
            says: format!("the gap signal of {} names {named} as the oldest event that is left", conn.name()),
            expected: format!("{named} as the next event"),
            seen: next.what.cursor.clone().unwrap_or_default(),
            records: vec![next.record, conn.got[at].record],
            shape: "misplaced".to_owned(),
        });
    }
}

/// GAP-3: nothing is served that had expired when it was asked for.
fn expired(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    if !expect.has_age() || conn.connect.what.surface == Surface::Snapshot {
        return;
    }
    for (nth, event) in
        expect.session.events.iter().enumerate().filter(|(_, e)| e.durable && e.acked_at().is_some_and(|a| a < conn.connect.at))
    {
        if expect.kept(nth, conn.connect.at) != Kept::No || !conn.accepted() {
            continue;
        }
        let served = conn.got.iter().find(|g| expect.event(g.what) == Some(nth));
        judge.require("GAP-3", served.is_none(), || Violation {
            says: format!("{} was sent {}, which had expired before it connected", conn.name(), event.marker),
            expected: "the gap signal".to_owned(),
            seen: event.marker.to_string(),
            records: served.map(|g| g.record).into_iter().chain([conn.connect.record, event.invoked.record]).collect(),
            shape: "expired-replayed".to_owned(),
        });
    }
}

/// GAP-4: as many events are replayed as the bound says.
fn amount(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let Some((most, slack)) = expect.most_records().filter(|_| !expect.has_age()) else { return };
    let events = expect.session.events.iter().filter(|e| e.durable && !e.refused);
    let before = events.clone().filter(|e| e.acked_at().is_some_and(|a| a < conn.connect.at)).count() as u64;
    let seam = events
        .filter(|e| e.invoked.at < conn.answer.map_or(conn.connect.at, |a| a.at) && e.acked_at().is_none_or(|a| a >= conn.connect.at))
        .count();
    let whole = conn.boundaries().next().is_some()
        || conn.got.iter().any(|g| expect.event(g.what).is_some_and(|e| expect.session.events[e].invoked.at > conn.connect.at));
    if seam > 0 || !whole || before <= most + slack || !conn.accepted() {
        return;
    }
    let replayed = conn
        .got
        .iter()
        .filter_map(|g| expect.event(g.what))
        .filter(|e| expect.session.events[*e].acked_at().is_some_and(|a| a < conn.connect.at));
    let replayed = replayed.collect::<rustc_hash::FxHashSet<_>>().len() as u64;
    let asked_for = match expect.start(conn) {
        Some(None) => before,
        Some(Some(start)) => (0..expect.session.events.len())
            .filter(|e| {
                expect.session.events[*e].durable
                    && expect.after_start(*e, Some(start))
                    && expect.session.events[*e].acked_at().is_some_and(|a| a < conn.connect.at)
            })
            .count() as u64,
        None => return,
    };
    let (least, most) = (most.min(asked_for), (most + slack).min(asked_for));
    judge.require("GAP-4", (least..=most).contains(&replayed), || Violation {
        says: format!(
            "{} was sent {replayed} of {before} events by a session that keeps {}",
            conn.name(),
            expect.most_records().map_or(0, |m| m.0)
        ),
        expected: if least == most { format!("{most} events") } else { format!("{least} to {most} events") },
        seen: format!("{replayed} events"),
        records: vec![conn.connect.record],
        shape: if replayed > most { "too-many" } else { "too-few" }.to_owned(),
    });
}

/// GAP-5: a bound that makes no sense is refused, and the server lives.
fn senseless(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    if !contract.retention.as_ref().is_some_and(|r| r.validated) {
        return;
    }
    for op in &view.ops {
        let Action::Open { refuse: true, .. } = op.invoked.what else { continue };
        let Some(completed) = op.completed else { continue };
        let refused = matches!(completed.what, Outcome::Failed { status: 400..=499, .. });
        judge.require("GAP-5", refused, || Violation {
            says: "a session was asked for with a retention that makes no sense".to_owned(),
            expected: "a refusal with a 4xx status".to_owned(),
            seen: match completed.what {
                Outcome::Ok { status, .. } => format!("status {status}: accepted"),
                Outcome::Failed { status, .. } => format!("status {status}"),
                Outcome::Unknown { why } => why.clone(),
            },
            records: vec![completed.record, op.invoked.record],
            shape: "not-refused".to_owned(),
        });
    }
}
