//! LEAK: resources return after connections end.
//!
//! Judged are the samples `before`, `after` and `after-twice`, between which connections were opened and dropped. LEAK-1
//! and LEAK-2 compare the second with the first; LEAK-3 compares the third with the second, for the first round may fill
//! pools. Samples of different processes, or with no connection between them, decide nothing.

use super::judge::Judge;
use super::verdict::Violation;
use crate::history::{Resources, Seen, View};

/// Growth of memory that a thousand connections may leave behind in caches and pools.
const MEMORY_A_CONNECTION: u64 = 8 << 10;
/// Growth of memory that says nothing, whatever the number of connections.
const MEMORY_ALWAYS: u64 = 12 << 20;

pub(super) fn check(view: &View<'_>, judge: &mut Judge) {
    if view.resources.is_empty() {
        return;
    }
    let sample = |label: &str| view.resources.iter().find(|r| r.what.label == label);
    let pair = |earlier: &str, later: &str| comparable(view, sample(earlier), sample(later));
    match pair("before", "after") {
        Ok((before, after)) => {
            returned("LEAK-1", "descriptors", |r| r.descriptors, (before, after), judge);
            returned("LEAK-2", "threads", |r| r.threads, (before, after), judge);
        }
        Err(why) => ["LEAK-1", "LEAK-2"].into_iter().for_each(|id| judge.undecided(id, why.to_owned())),
    }
    match pair("after", "after-twice") {
        Ok((after, again)) => {
            let more = again.what.connections - after.what.connections;
            let grown = again.what.resident.saturating_sub(after.what.resident);
            let held = grown <= MEMORY_ALWAYS || grown / more <= MEMORY_A_CONNECTION;
            judge.require("LEAK-3", held, || violation("resident bytes", after.what.resident, again.what.resident, (after, again)));
        }
        Err(why) => judge.undecided("LEAK-3", why.to_owned()),
    }
}

type Sample<'v, 'h> = &'v Seen<&'h Resources>;

/// Two samples, if they are of one process and connections came and went between them.
fn comparable<'v, 'h>(
    view: &View<'_>,
    earlier: Option<Sample<'v, 'h>>,
    later: Option<Sample<'v, 'h>>,
) -> Result<(Sample<'v, 'h>, Sample<'v, 'h>), &'static str> {
    let (Some(earlier), Some(later)) = (earlier, later) else { return Err("the samples to compare are not both there") };
    if view.process_disturbed(earlier.at, later.at) {
        return Err("the process was stopped or paused between the samples");
    }
    if later.what.connections <= earlier.what.connections {
        return Err("no connection was accepted between the samples");
    }
    Ok((earlier, later))
}

fn returned(id: &'static str, what: &str, of: fn(&Resources) -> u64, (before, after): (Sample<'_, '_>, Sample<'_, '_>), judge: &mut Judge) {
    let connections = after.what.connections - before.what.connections;
    let (was, is) = (of(before.what), of(after.what));
    judge.require(id, is <= was + 8.max(connections / 50), || violation(what, was, is, (before, after)));
}

fn violation(what: &str, was: u64, is: u64, (before, after): (Sample<'_, '_>, Sample<'_, '_>)) -> Violation {
    let connections = after.what.connections - before.what.connections;
    Violation {
        says: format!("{connections} connections that came and went left {} {what} behind", is.saturating_sub(was)),
        expected: format!("about {was} {what}"),
        seen: format!("{is} {what}"),
        records: vec![after.record, before.record],
        shape: "leak".to_owned(),
    }
}
