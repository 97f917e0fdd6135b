//! LEAK: resources return after connections end.

use super::judge::Judge;
use super::verdict::Violation;
use crate::history::{Resources, Seen, View};

/// Growth of memory that a thousand connections may leave behind in caches and pools.
const MEMORY_A_CONNECTION: u64 = 8 << 10;
/// Growth of memory that says nothing, whatever the number of connections.
const MEMORY_ALWAYS: u64 = 12 << 20;

pub(super) fn check(view: &View<'_>, judge: &mut Judge) {
    let sample = |label: &str| view.resources.iter().find(|r| r.what.label == label);
    let (Some(before), Some(after)) = (sample("before"), sample("after")) else { return };
    let connections = after.what.connections.saturating_sub(before.what.connections);
    if connections == 0 {
        for id in ["LEAK-1", "LEAK-2", "LEAK-3"] {
            judge.undecided(id, "no connection was accepted between the samples".to_owned());
        }
        return;
    }
    let tolerance = 8.max(connections / 50);
    let mut returns = |id: &'static str, what: &str, of: fn(&Resources) -> u64| {
        let (was, is) = (of(before.what), of(after.what));
        judge.require(id, is <= was + tolerance, || violation(what, was, is, connections, after, before));
    };
    returns("LEAK-1", "descriptors", |r| r.descriptors);
    returns("LEAK-2", "threads", |r| r.threads);
    let Some(again) = sample("after-twice") else {
        judge.undecided("LEAK-3", "there is one round of connections alone".to_owned());
        return;
    };
    // The first round may fill pools; what the second adds on top is lost.
    let more = again.what.connections.saturating_sub(after.what.connections);
    let grown = again.what.resident.saturating_sub(after.what.resident);
    let held = grown <= MEMORY_ALWAYS || more > 0 && grown / more <= MEMORY_A_CONNECTION;
    judge.require("LEAK-3", held, || violation("resident bytes", after.what.resident, again.what.resident, more, again, after));
}

fn violation(what: &str, was: u64, is: u64, connections: u64, after: &Seen<&Resources>, before: &Seen<&Resources>) -> Violation {
    Violation {
        says: format!("{connections} connections that came and went left {} {what} behind", is.saturating_sub(was)),
        expected: format!("about {was} {what}"),
        seen: format!("{is} {what}"),
        records: vec![after.record, before.record],
        shape: "leak".to_owned(),
    }
}
