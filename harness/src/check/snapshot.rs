//! SNAPSHOT: the snapshot and history pages agree with the stream. (What a stream resumed from a snapshot misses, and what
//! joined pages miss, is judged in `deliver.rs`.)

use rustc_hash::FxHashSet;

use super::expect::{Expect, Kept};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Profile;
use crate::history::{Action, ConnView, CursorClass, Kind, Outcome, Probe, Surface, View};

pub(super) fn check(view: &View<'_>, profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    if profile.binding.snapshot.is_none() {
        judge.not_applicable("SNAPSHOT-1", "the profile has no snapshot");
        judge.not_applicable("SNAPSHOT-2", "the profile has no snapshot");
    }
    if profile.binding.history.is_none() {
        judge.not_applicable("SNAPSHOT-3", "the profile has no history pages");
        judge.not_applicable("SNAPSHOT-4", "the profile has no history pages");
    }
    for expect in expects {
        for conn in expect.conns().filter(|c| c.accepted()) {
            match conn.connect.what.surface {
                Surface::Snapshot => snapshot(expect, conn, judge),
                Surface::History => page_size(conn, judge),
                Surface::Stream => {}
            }
        }
    }
    expects.iter().for_each(|expect| chains(expect, judge));
    limits(view, profile, judge);
}

/// Each page goes on where the one before it ended.
fn chains(expect: &Expect<'_, '_>, judge: &mut Judge) {
    let pages: Vec<_> = expect.conns().filter(|c| c.connect.what.surface == Surface::History && c.accepted()).collect();
    for pair in pages
        .windows(2)
        .filter(|p| p[0].connect.what.reader == p[1].connect.what.reader && p[1].connect.what.nth == p[0].connect.what.nth + 1)
    {
        let last = pair[0].arrivals().next_back().map(|(_, event)| event);
        let (Some(last), Some((cursor, _))) = (last, pair[1].presented()) else { continue };
        let Some(named) = expect.named(cursor) else { continue };
        judge.require("SNAPSHOT-3", named == last, || Violation {
            says: format!(
                "{} ends with {}, and its cursor for the next page names {}",
                pair[0].name(),
                expect.session.events[last].marker,
                expect.session.events[named].marker
            ),
            expected: format!("the cursor of {}", expect.session.events[last].marker),
            seen: cursor.to_owned(),
            records: vec![pair[1].connect.record, pair[0].connect.record],
            shape: "pages-do-not-join".to_owned(),
        });
    }
}

/// A snapshot and the first stream that was resumed from its cursor.
fn snapshot(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let held: FxHashSet<usize> = conn.arrivals().map(|(_, event)| event).collect();
    let Some(commit) = conn.got.iter().find(|g| g.what.kind == Kind::Commit) else { return };
    let Some(cursor) = commit.what.cursor.as_deref() else { return };
    // Everything acknowledged before the snapshot was asked for is in it, unless retention took it.
    for (nth, event) in
        expect.session.events.iter().enumerate().filter(|(_, e)| e.durable && e.acked_at().is_some_and(|a| a < conn.connect.at))
    {
        if expect.kept(nth, expect.read_by(conn)) == Kept::Yes {
            judge.require("SNAPSHOT-1", held.contains(&nth), || Violation {
                says: format!("the snapshot lacks {}, acknowledged before it was asked for", event.marker),
                expected: event.marker.to_string(),
                seen: format!("{} other events", held.len()),
                records: vec![commit.record, event.invoked.record],
                shape: "incomplete".to_owned(),
            });
        }
    }
    let resumed = |c: &&ConnView<'_>| {
        matches!(c.presented(), Some((value, CursorClass::Snapshot)) if value == cursor) && c.connect.at > conn.connect.at && c.accepted()
    };
    for stream in expect.conns().filter(resumed) {
        let sent: Vec<_> = stream.arrivals().filter(|(g, _)| g.what.durable).collect();
        for (got, event) in &sent {
            let e = &expect.session.events[*event];
            judge.require("SNAPSHOT-2", !held.contains(event), || Violation {
                says: format!("{} is in the snapshot, and {} was sent it again behind the snapshot's cursor", e.marker, stream.name()),
                expected: "in the snapshot or behind its cursor, not both".to_owned(),
                seen: format!("both, at cursor {cursor}"),
                records: vec![got.record, commit.record],
                shape: "both".to_owned(),
            });
        }
        // An event between the two: before something that the stream delivered, in neither.
        let Some(top) = sent.iter().map(|(_, e)| expect.session.events[*e].invoked.at).max() else { continue };
        let sent: FxHashSet<usize> = sent.into_iter().map(|(_, e)| e).collect();
        for (nth, event) in expect.session.events.iter().enumerate().filter(|(_, e)| e.durable && e.acked_at().is_some_and(|a| a < top)) {
            // What retention took between snapshot and stream is in neither, and the stream says so.
            if expect.kept(nth, stream.ended_at()) == Kept::Yes {
                judge.require("SNAPSHOT-1", held.contains(&nth) || sent.contains(&nth), || Violation {
                    says: format!(
                        "{} is neither in the snapshot nor among the events behind its cursor on {}",
                        event.marker,
                        stream.name()
                    ),
                    expected: "in one of the two".to_owned(),
                    seen: format!("in neither, at cursor {cursor}"),
                    records: vec![event.acked.map_or(event.invoked.record, |a| a.record), commit.record, stream.connect.record],
                    shape: "neither".to_owned(),
                });
            }
        }
    }
}

fn page_size(conn: &ConnView<'_>, judge: &mut Judge) {
    let Some(limit) = conn.connect.what.limit else { return };
    let events = conn.got.iter().filter(|g| matches!(g.what.kind, Kind::Event | Kind::Terminal | Kind::Other)).count();
    judge.require("SNAPSHOT-4", events <= limit as usize, || Violation {
        says: format!("a page of at most {limit} events holds {events}"),
        expected: format!("at most {limit}"),
        seen: events.to_string(),
        records: vec![conn.connect.record],
        shape: "too-long".to_owned(),
    });
}

fn limits(view: &View<'_>, profile: &Profile, judge: &mut Judge) {
    if !profile.binding.history.as_ref().is_some_and(|h| h.limit_validated) {
        return;
    }
    for op in view.besides_publishes() {
        let (Action::Probe { about: Probe::SenselessLimit, .. }, Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let refused = matches!(completed.what, Outcome::Failed { status: 400..=499, .. });
        judge.require("SNAPSHOT-4", refused, || Violation {
            says: "a page of 0, of -1 or of 1,000,000,000 events was asked for".to_owned(),
            expected: "a 4xx status for each".to_owned(),
            seen: format!("{:?}", completed.what),
            records: vec![completed.record],
            shape: "senseless-limit".to_owned(),
        });
    }
}
