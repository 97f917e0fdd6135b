//! What scenarios expected of answers and waits, and planted secrets that came back.
//!
//! | ids | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | START, AUTH, FINAL-3, DETACH, CRASH, RETRY, COMPACT, CONTAIN, MONEY, and whatever else a scenario names | expectation of a `do` step, awaited thing of an `await` step that names it, finding of a probe | an expectation that does not hold, a wait in vain | histories in which nothing asks for it |
//! | REDACT-1 | delivery of an event with a planted secret | the secret in any bytes that the server sent | |

use std::sync::LazyLock;

use super::judge::{Judge, Place, places_of};
use super::verdict::Violation;
use crate::contract::{CATALOGUE, Contract};
use crate::history::{ConnView, View};

/// Families that only expectations, probes and waits can show.
const ASKED: [&str; 9] = ["START", "AUTH", "DETACH", "CRASH", "RETRY", "COMPACT", "CONTAIN", "MONEY", "FINAL"];

pub(super) fn check(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    for one in &view.expectations {
        let Some(requirement) = CATALOGUE.iter().find(|r| r.id == one.what.judges) else { continue };
        judge.asked(requirement.id);
        let op = one.what.op.and_then(|op| view.ops.get(op.0 as usize));
        judge.require(requirement.id, one.what.held, || Violation {
            says: format!("{} is not what it must be", one.what.says),
            expected: one.what.expected.clone(),
            seen: one.what.seen.clone(),
            records: op.map(|op| op.invoked.record).into_iter().chain([one.record]).collect(),
            shape: format!("expectation: {}", one.what.says),
        });
    }
    for wait in &view.waits {
        let judged = wait.what.judges.as_ref().and_then(|id| CATALOGUE.iter().find(|r| r.id == *id));
        let Some(requirement) = judged else { continue };
        judge.asked(requirement.id);
        judge.require(requirement.id, wait.what.reached, || Violation {
            says: format!("{} waited in vain for {:?}", wait.what.reader, wait.what.until),
            expected: "it within the deadline".to_owned(),
            seen: format!("nothing of it within {} ms", wait.what.waited / 1000),
            records: vec![wait.record],
            shape: "waited-in-vain".to_owned(),
        });
    }
    secrets(view, contract, judge);
    // What no step of this history asks for cannot be seen in it; a profile whose scenarios never ask has it nowhere.
    static ALL_ASKED: LazyLock<Vec<Place>> = LazyLock::new(|| places_of(&ASKED));
    for place in ALL_ASKED.iter() {
        judge.not_asked(*place, "no scenario for this profile asks for it");
    }
}

/// REDACT-1.
fn secrets(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    if !contract.redacts {
        return judge.not_applicable("REDACT-1", "the profile does not promise that secrets are masked");
    }
    for leaked in &view.leaks {
        let surface = &leaked.what.surface;
        let conn = leaked.what.conn.and_then(|id| view.conns.get(id.0 as usize));
        let on = conn.map_or_else(|| surface.clone(), |conn| format!("{surface} of {}", conn.name()));
        judge.violated(
            "REDACT-1",
            Violation {
                says: format!("a planted secret came back in {on}"),
                expected: "a masked one".to_owned(),
                seen: leaked.what.around.clone(),
                records: conn.map(|conn| conn.connect.record).into_iter().chain([leaked.record]).collect(),
                shape: format!("leaked: {surface}"),
            },
        );
    }
    let secrets = |conn: &ConnView<'_>| conn.arrivals().filter(|(_, event)| view.session_of(conn).events[*event].secret).count();
    let conns = view.conns.iter().filter(|conn| view.session_of(conn).course.secret);
    judge.held_n("REDACT-1", conns.map(|conn| secrets(conn) as u64).sum());
}
