//! GAP: what retention took is announced, and nothing else is.

use rustc_hash::FxHashSet;

use super::answers;
use super::expect::{Expect, Kept};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{AfterGap, BoundarySent, Contract, GapContract, GapSignal, RetainKind};
use crate::history::{Action, ConnView, CursorClass, From, Kind, Micros, Outcome, View};

/// So many gap signals of one connection are judged.
const MOST_SIGNALS: usize = 64;

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
    let ages = contract.retention.as_ref().is_some_and(|r| r.default.age_ms.is_some() || r.settable.contains(&RetainKind::Age));
    if !ages && !expects.iter().any(|expect| expect.keep().expires()) {
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
            amount(expect, conn, contract, judge);
        }
    }
}

/// GAP-1, GAP-2, GAP-6.
fn signal(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let (Some(gap), Some(start)) = (&contract.gap, expect.start(conn)) else { return };
    let frame = conn.others.iter().map(|at| *at as usize).find(|at| conn.got[*at].what.kind == Kind::Gap);
    let said = match gap.signal {
        GapSignal::Frame => frame.is_some(),
        GapSignal::Refusal => !conn.accepted() && conn.status().is_some_and(|status| status >= 400),
        GapSignal::Boundary => conn.boundaries().next().is_some(),
    };
    // Only a frame can tell a reader that asks for the beginning and gets what is left of it.
    let asks_for_all = match &conn.connect.what.from {
        From::Start => true,
        From::Cursor { class, .. } => *class == CursorClass::Empty,
        From::Live => false,
    };
    if !asks_for_all || gap.on_start && gap.signal == GapSignal::Frame {
        silent(expect, conn, start, (contract, said.then_some(frame)), judge);
    }
    false_signal(expect, conn, start, (contract, gap), judge);
    if gap.then == AfterGap::Kept {
        goes_on(conn, judge);
    }
}

/// GAP-1: the signal where the first event behind the cursor is no longer kept; `said` tells whether there was one, and
/// its place among the deliveries where it has one.
fn silent(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    start: Option<usize>,
    (contract, said): (&Contract, Option<Option<usize>>),
    judge: &mut Judge,
) {
    let Some(first) = expect.first_behind(start, conn) else { return };
    let showed = !conn.accepted() || conn.boundaries().next().is_some() || conn.got.iter().any(|g| g.what.durable);
    // What had expired and is served all the same is GAP-3's.
    let by_age = expect.keep().expires() && conn.arrivals().any(|(_, event)| event == first);
    let gone = !conn.accepted() && expect.session.may_be_gone(conn.ended_at()) || forgotten(expect, contract, first, expect.read_by(conn));
    if !showed || gone || by_age || expect.kept(first, conn.connect.at) != Kept::No {
        return;
    }
    let early = conn.events.iter().position(Option::is_some);
    let in_time = said.is_some_and(|frame| frame.is_none_or(|gap| early.is_none_or(|event| gap < event)));
    let e = &expect.session.events[first];
    judge.require("GAP-1", in_time, || Violation {
        says: format!("{} asked for what follows its cursor, and {} is no longer kept", conn.name(), e.marker),
        expected: "the gap signal, before anything else".to_owned(),
        seen: early
            .and_then(|at| conn.got[at].what.marker)
            .map_or_else(|| format!("status {}, no signal", conn.status().unwrap_or(0)), |m| format!("{m}, as if nothing were missing")),
        records: early.map(|at| conn.got[at].record).into_iter().chain([conn.connect.record, e.invoked.record]).collect(),
        shape: "silent".to_owned(),
    });
}

/// GAP-2: no signal where nothing that it stands for was lost.
fn false_signal(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    start: Option<usize>,
    (contract, gap): (&Contract, &GapContract),
    judge: &mut Judge,
) {
    let mut violated = |record: usize| {
        judge.violated(
            "GAP-2",
            Violation {
                says: format!("{} was told of a gap, and nothing behind its cursor was lost", conn.name()),
                expected: "a plain resume".to_owned(),
                seen: "the gap signal".to_owned(),
                records: vec![record, conn.connect.record],
                shape: "false-gap".to_owned(),
            },
        );
    };
    let signal = match gap.signal {
        GapSignal::Frame => {
            let mut before = start;
            let mut frames = 0;
            let mut early = FxHashSet::default();
            let signalled = conn.frames(Kind::Gap).next().is_some();
            for (at, (got, event)) in conn.got.iter().zip(&conn.events).enumerate().take_while(|_| signalled) {
                if got.what.kind == Kind::Gap {
                    frames += 1;
                    // A server that says nothing else is not worth a look ahead for each of them.
                    let next = || conn.events[at..].iter().flatten().next().map(|event| *event as usize);
                    // A first signal that comes late still stands for what is missing from the start on.
                    let before = if frames == 1 { start } else { before };
                    if frames <= MOST_SIGNALS && nothing_lost(expect, contract, (before, next()), &early, got.at) {
                        violated(got.record);
                    }
                }
                if frames == 0 {
                    early.extend(*event);
                }
                before = event.filter(|_| got.what.durable).map(|event| event as usize).or(before);
            }
            frames > 0
        }
        GapSignal::Refusal => match conn.answer.filter(|a| !a.what.accepted && matches!(a.what.status, 404 | 410)) {
            // A session that is gone is refused in the same way.
            Some(answer) if expect.session.may_be_gone(answer.at) => true,
            Some(answer) if nothing_lost(expect, contract, (start, None), &FxHashSet::default(), answer.at) => {
                return violated(answer.record);
            }
            answer => answer.is_some() || !conn.accepted(),
        },
        GapSignal::Boundary => {
            let means_gap = contract.boundary.as_ref().is_some_and(|b| b.sent == BoundarySent::WithoutReplay);
            match conn.boundaries().next().filter(|_| means_gap && start.is_some()) {
                Some(boundary) if nothing_lost(expect, contract, (start, None), &FxHashSet::default(), boundary.at) => {
                    return violated(boundary.record);
                }
                boundary => boundary.is_some(),
            }
        }
    };
    let until = conn.ended_at().min(expect.view.ended_at());
    let kept = expect.first_behind(start, conn).is_none_or(|first| expect.kept(first, until) == Kept::Yes);
    judge.held_n("GAP-2", u64::from(!signal && kept && conn.accepted()));
}

/// True when every event behind `before` and ahead of `next` that was not delivered `early` was surely kept at a time.
fn nothing_lost(
    expect: &Expect<'_, '_>,
    contract: &Contract,
    (before, next): (Option<usize>, Option<usize>),
    early: &FxHashSet<u32>,
    at: Micros,
) -> bool {
    let events = &expect.session.events;
    let between = |event: &usize| {
        let e = &events[*event];
        e.durable
            && !e.refused
            && e.invoked.at < at
            && !early.contains(&(*event as u32))
            && before.is_none_or(|before| before != *event && !expect.before(*event, before))
            && next.is_none_or(|next| next != *event && !expect.before(next, *event))
    };
    (0..events.len()).filter(between).all(|event| expect.kept(event, at) == Kept::Yes && !forgotten(expect, contract, event, at))
}

/// True when a stop of the server before `by` took its data, or need not have left an event: what is missing then was
/// not evicted, and may be missing without a signal or with one.
fn forgotten(expect: &Expect<'_, '_>, contract: &Contract, event: usize, by: Micros) -> bool {
    let sent = expect.session.events[event].invoked.at;
    expect.view.stops.iter().any(|stop| sent < stop.at && stop.at < by && (stop.wiped || !contract.durability.survives(stop.signal)))
}

/// True for a connection that was told by right of a gap behind which, by the contract, nothing old follows.
pub(super) fn nothing_old_follows(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract) -> bool {
    let Some(gap) = contract.gap.as_ref().filter(|gap| gap.then != AfterGap::Kept) else { return false };
    let said = match gap.signal {
        GapSignal::Frame => conn.frames(Kind::Gap).next().is_some(),
        GapSignal::Boundary => conn.boundaries().next().is_some(),
        GapSignal::Refusal => false,
    };
    let first = || expect.first_behind(expect.start(conn).flatten(), conn);
    said && first().is_some_and(|first| expect.kept(first, expect.read_by(conn)) != Kept::Yes)
}

/// GAP-6: the first event behind a signal is the one that it names.
fn goes_on(conn: &ConnView<'_>, judge: &mut Judge) {
    if conn.frames(Kind::Gap).next().is_none() {
        return;
    }
    let mut named: Option<(&str, usize)> = None;
    for got in &conn.got {
        if got.what.kind == Kind::Gap {
            named = got.what.points_to.as_deref().map(|cursor| (cursor, got.record));
        }
        let event = matches!(got.what.kind, Kind::Event | Kind::Terminal) && got.what.durable;
        let (Some(cursor), true) = (got.what.cursor.as_deref(), event) else { continue };
        let Some((named, record)) = named.take() else { continue };
        judge.require("GAP-6", cursor == named, || Violation {
            says: format!("the gap signal of {} names {named} as the oldest event that is left", conn.name()),
            expected: format!("{named} as the next event"),
            seen: cursor.to_owned(),
            records: vec![got.record, record],
            shape: "misplaced".to_owned(),
        });
    }
}

/// GAP-3: nothing is served that had expired when it was asked for.
fn expired(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    if !expect.keep().expires() || !conn.accepted() {
        return;
    }
    let mut served = false;
    for (got, event) in conn.arrivals().filter(|(g, _)| g.what.durable) {
        let e = &expect.session.events[event];
        if expect.expired(event, conn.connect.at) {
            served = true;
            judge.violated(
                "GAP-3",
                Violation {
                    says: format!("{} was sent {}, which had expired or was removed before it connected", conn.name(), e.marker),
                    expected: "nothing of what is no longer kept".to_owned(),
                    seen: e.marker.to_string(),
                    records: vec![got.record, conn.connect.record, e.invoked.record],
                    shape: "expired-replayed".to_owned(),
                },
            );
        }
    }
    let start = expect.start(conn).flatten();
    let due = expect.first_behind(start, conn).is_some_and(|first| expect.expired(first, conn.connect.at));
    judge.held_n("GAP-3", u64::from(!served && due));
}

/// GAP-4: as many events are replayed as the bound says.
fn amount(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let keep = expect.keep();
    let Some((most, slack)) = keep.records().filter(|_| !keep.expires() && !keep.has_bytes()) else { return };
    let Some(start) = expect.start(conn).filter(|_| conn.accepted()) else { return };
    // A boundary comes behind all that was replayed.
    let read_by = conn.boundaries().next().map_or(expect.read_by(conn), |boundary| boundary.at.min(expect.read_by(conn)));
    let acked_before = |event: usize| expect.session.events[event].acked_at().is_some_and(|at| at < conn.connect.at);
    let (before, in_flight) = keep.logged(conn.connect.at, read_by);
    let whole =
        conn.boundaries().next().is_some() || conn.arrivals().any(|(_, event)| expect.session.events[event].invoked.at > conn.connect.at);
    // The terminal may take a place of its own.
    let closing = expect.session.closing.is_some_and(|sent| sent < read_by);
    let closed = expect.session.closed.is_some_and(|closed| closed <= conn.connect.at);
    if before <= most + slack {
        return;
    }
    let replayed = conn.arrivals().filter(|(g, event)| g.what.durable && acked_before(*event)).map(|(_, event)| event);
    let replayed = replayed.collect::<FxHashSet<_>>().len() as u64;
    let behind = expect.count_behind(start, conn, most + slack + 1);
    let asked_for = behind.min(most + slack);
    let (least, allowed) = match contract.gap.as_ref().map(|gap| gap.then) {
        // With a hole in it nothing need be replayed.
        Some(AfterGap::Live | AfterGap::End) if behind > most => (0, asked_for),
        Some(AfterGap::Live | AfterGap::End | AfterGap::Kept) | None => (most.min(asked_for), asked_for),
    };
    // What was in flight can only have taken places, and what was cut short shows no end: neither excuses too many.
    let exact = in_flight == 0 && whole && (closed || !closing);
    if !exact && replayed <= allowed {
        return;
    }
    judge.require("GAP-4", (least..=allowed).contains(&replayed), || Violation {
        says: format!("{} was sent {replayed} of {before} events by a session that keeps {most}", conn.name()),
        expected: if least == allowed { format!("{allowed} events") } else { format!("{least} to {allowed} events") },
        seen: format!("{replayed} events"),
        records: vec![conn.connect.record],
        shape: if replayed > allowed { "too-many" } else { "too-few" }.to_owned(),
    });
}

/// GAP-5: a bound that makes no sense is refused, and the server lives.
fn senseless(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    if !contract.retention.as_ref().is_some_and(|r| r.validated) {
        return;
    }
    for op in view.besides_publishes() {
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
