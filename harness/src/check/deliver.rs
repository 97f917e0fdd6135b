//! DELIVER-4, RESUME-1, and the walk over all connections on which the checkers of loss, repetition and isolation work.

use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use super::{answers, isolate, lost, repeat};
use crate::contract::Contract;
use crate::history::{ConnView, CursorClass, From, Kind, Role, Stretch, Surface};

pub(super) fn check(contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    if contract.at_least_once {
        judge.not_applicable("RESUME-1", "the profile promises delivery at least once: a resume may repeat events");
    }
    for expect in expects {
        for conn in expect.conns().filter(|c| expect.judged(c)) {
            isolate::check(expect, conn, judge);
            bodies(expect, conn, judge);
            if !answers::foreign(conn) && conn.connect.what.surface != Surface::Snapshot {
                repeat::check(expect, conn, judge);
                before_cursor(expect, conn, contract, judge);
            }
        }
        lost::check(expect, contract, judge);
    }
}

/// True for a connection that was stalled on purpose.
pub(super) fn is_slow(conn: &ConnView<'_>) -> bool {
    conn.connect.what.role == Role::Slow || conn.faults.iter().any(|f| f.what.stops_reading())
}

/// RESUME-1: events at or before the presented cursor.
fn before_cursor(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let From::Cursor { class: CursorClass::Own, beside: None, .. } = &conn.connect.what.from else { return };
    let Some(Some(start)) = expect.start(conn).filter(|_| !contract.at_least_once) else { return };
    // A boundary or terminal says that what was to be replayed is over, though there was nothing of it.
    judge.held_n("RESUME-1", u64::from(conn.boundaries().chain(conn.frames(Kind::Terminal)).next().is_some()));
    let all_behind = |stretch: Stretch| if stretch.events().start > start { stretch.len() } else { 0 };
    let mut behind = expect.settled(conn, all_behind);
    for (got, event) in expect.unsettled(conn, all_behind).filter(|(g, _)| g.what.kind == Kind::Event && g.what.durable) {
        let after = event != start && (expect.before(start, event) || !expect.before(event, start));
        if after {
            behind += 1;
            continue;
        }
        let (e, s) = (expect.session.events[event].marker, expect.session.events[start].marker);
        let violation = Violation {
            says: format!("{} resumed after {s} and was sent {e}", conn.name()),
            expected: format!("events behind {s} alone: the cursor is exclusive"),
            seen: format!("{e}{}", if event == start { ", the cursor's own event" } else { "" }),
            records: vec![got.record, conn.connect.record],
            shape: if event == start { "cursor-itself" } else { "before-cursor" }.to_owned(),
        };
        judge.violated("RESUME-1", violation);
    }
    judge.held_n("RESUME-1", behind);
}

/// DELIVER-4: payloads that came back altered. Those whose frame broke are WIRE-3's.
fn bodies(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let mut whole = expect.settled(conn, Stretch::len);
    let torn = conn.lint.iter().any(|lint| lint.what.rule == "SSE-17" || lint.what.error);
    for (got, event) in expect.loose(conn) {
        let e = &expect.session.events[event];
        // What is masked comes back altered on purpose.
        let Some(body) = got.what.body.as_ref().filter(|_| !e.secret) else { continue };
        let same = body.same(e.body);
        if same {
            whole += 1;
        }
        if same || torn {
            continue;
        }
        let violation = Violation {
            says: format!("the payload of {} came back altered on {}", e.marker, conn.name()),
            expected: format!("{} bytes: {:?}", e.body.len, e.body.head),
            seen: format!("{} bytes: {:?}", body.len, body.head),
            records: vec![got.record, e.invoked.record],
            shape: "altered".to_owned(),
        };
        judge.violated("DELIVER-4", violation);
    }
    judge.held_n("DELIVER-4", whole);
}
