//! ISOLATE-1, ISOLATE-2, DELIVER-3: events of other sessions, and events that nobody published.

use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use crate::history::{ConnView, EventView, Marker, Stretch};

pub(super) fn check(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let view = expect.view;
    let mut own = expect.settled(conn, Stretch::len);
    for (got, event) in expect.loose_frames(conn) {
        let Some(marker) = got.what.marker else { continue };
        let foreign = || view.sessions.get(marker.session as usize).and_then(|s| s.event_of(marker.n).map(|e| (s.name, &s.events[e])));
        match event.map(|event| &expect.session.events[event]) {
            Some(event) if event.refused && !event.hostile_type => refused(conn, got.record, event, judge),
            Some(_) => own += 1,
            None => match foreign() {
                Some((name, event)) => {
                    let live = conn.is_stream() && event.invoked.at > expect.live_at(conn);
                    judge.violated(
                        if live { "ISOLATE-1" } else { "ISOLATE-2" },
                        Violation {
                            says: format!("{} reads session {} and was sent {marker}", conn.name(), expect.session.name),
                            expected: format!("events of session {} alone", expect.session.name),
                            seen: format!("{marker}, published to session {name}"),
                            records: vec![got.record, event.invoked.record],
                            shape: if live { "foreign-live" } else { "foreign-replayed" }.to_owned(),
                        },
                    );
                }
                None => phantom(conn, got.record, marker, judge),
            },
        }
    }
    judge.held_n("DELIVER-3", own);
    if view.sessions.iter().filter(|s| !s.events.is_empty()).nth(1).is_some() {
        judge.held_n(if conn.is_stream() { "ISOLATE-1" } else { "ISOLATE-2" }, own);
        judge.held_n("ISOLATE-2", u64::from(own > 0 && conn.is_stream()));
    }
}

fn refused(conn: &ConnView<'_>, record: usize, event: &EventView<'_>, judge: &mut Judge) {
    judge.violated(
        "DELIVER-3",
        Violation {
            says: format!("{} delivered {}, whose publish was refused", conn.name(), event.marker),
            expected: "no trace of a refused publish".to_owned(),
            seen: event.marker.to_string(),
            records: vec![record, event.invoked.record],
            shape: "refused-but-delivered".to_owned(),
        },
    );
}

fn phantom(conn: &ConnView<'_>, record: usize, marker: Marker, judge: &mut Judge) {
    judge.violated(
        "DELIVER-3",
        Violation {
            says: format!("{} delivered {marker}, which nobody published", conn.name()),
            expected: "published events alone".to_owned(),
            seen: marker.to_string(),
            records: vec![record],
            shape: "never-published".to_owned(),
        },
    );
}
