//! SEAM-3, SEAM-4: where the boundary stands, and how often.

use super::answers;
use super::expect::{Expect, Kept};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{BoundarySent, Contract, GapSignal};
use crate::history::{ConnView, CursorClass, From, Kind, Micros, Stretch, Until};

pub(super) fn check(contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let Some(boundary) = &contract.boundary else {
        judge.not_applicable("SEAM-3", "the profile marks no seam");
        judge.not_applicable("SEAM-4", "the profile marks no seam");
        return;
    };
    for expect in expects {
        for conn in expect.conns().filter(|c| c.is_stream() && c.accepted() && !answers::foreign(c)) {
            let count = conn.boundaries().count();
            let records = || conn.boundaries().map(|b| b.record).chain([conn.connect.record]).collect();
            let resumed = matches!(&conn.connect.what.from, From::Cursor { class: CursorClass::Own | CursorClass::Snapshot, .. });
            let gap = conn.frames(Kind::Gap).next().is_some();
            let replays = resumed && !is_gap_signal(expect, conn, contract);
            let most = match boundary.sent {
                BoundarySent::Always => Some(1),
                BoundarySent::WithoutReplay => Some(usize::from(!replays)),
                BoundarySent::AtLeastOnce => None,
            };
            // The connection reached live when it was sent something that was published after its first frame had come, or
            // when the run waited for the boundary in vain. A head proves nothing: a server may fix its fence behind it.
            let begun = conn.got.first().map_or(Micros(u64::MAX), |g| g.at);
            let live = expect.first(conn, |event| event.invoked.at > begun, |got| got.durable && got.kind == Kind::Event);
            let waited = conn.waits.iter().any(|w| w.what.until == Until::Boundary && !w.what.reached);
            let missing = count == 0 && (live.is_some() || waited) && !(boundary.sent == BoundarySent::WithoutReplay && resumed);
            if most.is_some_and(|most| count > most) && !(gap && boundary.sent == BoundarySent::WithoutReplay) || missing {
                judge.violated(
                    "SEAM-3",
                    Violation {
                        says: format!("{} had {count} boundaries", conn.name()),
                        expected: match most {
                            Some(0) => "none on a valid resume".to_owned(),
                            Some(_) => "exactly one".to_owned(),
                            None => "at least one".to_owned(),
                        },
                        seen: live
                            .filter(|_| missing)
                            .and_then(|g| g.what.marker)
                            .map_or(format!("{count}"), |m| format!("{count}, and the live event {m}")),
                        records: live.filter(|_| missing).map(|g| g.record).into_iter().chain::<Vec<usize>>(records()).collect(),
                        shape: if missing { "missing" } else { "too-many" }.to_owned(),
                    },
                );
            } else if count > 0 || live.is_some() {
                judge.held("SEAM-3");
            }
            let Some(mark) = conn.boundaries().next().filter(|_| !gap) else { continue };
            let on_its_side = |stretch: Stretch| {
                let (first, last) = (stretch.events().start, stretch.events().end - 1);
                let holds = match conn.got[stretch.got().start].record < mark.record {
                    true => !boundary.fixed || expect.session.events[last].invoked.at <= begun,
                    false => expect.session.events[first].acked_at().is_none_or(|acked| acked >= conn.connect.at),
                };
                if holds { stretch.len() } else { 0 }
            };
            let mut in_place = expect.settled(conn, on_its_side);
            for (got, event) in expect.unsettled(conn, on_its_side).filter(|(g, _)| g.what.durable && g.what.kind == Kind::Event) {
                let e = &expect.session.events[event];
                let old = e.acked_at().is_some_and(|acked| acked < conn.connect.at);
                let misplaced = old && got.record > mark.record;
                // The place was fixed before the first frame came.
                let postponed = boundary.fixed && e.invoked.at > begun && got.record < mark.record;
                if postponed {
                    judge.violated(
                        "SEAM-4",
                        Violation {
                            says: format!("{} was sent {} before its boundary", conn.name(), e.marker),
                            expected: format!("{} behind the boundary: it was published during the replay", e.marker),
                            seen: format!("{}, then the boundary", e.marker),
                            records: vec![got.record, mark.record, conn.connect.record],
                            shape: "new-before-boundary".to_owned(),
                        },
                    );
                    continue;
                }
                if !misplaced {
                    in_place += 1;
                    continue;
                }
                let violation = Violation {
                    says: format!("{} was sent {} behind its boundary", conn.name(), e.marker),
                    expected: format!("{} before the boundary: it was acknowledged before the reader connected", e.marker),
                    seen: format!("boundary, then {}", e.marker),
                    records: vec![got.record, mark.record, conn.connect.record],
                    shape: "old-behind-boundary".to_owned(),
                };
                judge.violated("SEAM-4", violation);
            }
            judge.held_n("SEAM-4", in_place);
        }
    }
}

/// True where the boundary is the gap signal as well, and something behind the cursor may be gone: whether it had to come is
/// judged as that.
fn is_gap_signal(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract) -> bool {
    if contract.gap.as_ref().is_none_or(|gap| gap.signal != GapSignal::Boundary) {
        return false;
    }
    let since = expect.conns().next().map_or(conn.connect.at, |first| first.connect.at);
    let Some(start) = expect.start(conn) else { return true };
    let gone = expect.first_behind(start, conn).is_some_and(|first| expect.kept(first, expect.read_by(conn)) != Kept::Yes);
    gone || expect.keep().cleared_before(conn.connect.at) || expect.view.stop_between(since, conn.connect.at).is_some()
}
