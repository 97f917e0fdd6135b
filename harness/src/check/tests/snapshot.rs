//! SNAPSHOT.

use crate::check::story::{Story, cursor_of, presenting};
use crate::history::{Action, ConnId, CursorClass, Ended, From, Kind, Outcome, Probe, Retain, Role, Surface, What};

/// A session with these many events.
fn published(events: u32) -> Story {
    let mut story = Story::new();
    story.publish(1..=events);
    story
}

/// A snapshot of these events that is true at event `at`.
fn snapshot(story: &mut Story, events: impl IntoIterator<Item = u32>, at: u32) {
    let conn = story.ask("state", Surface::Snapshot, From::Start, Role::Plain);
    story.answer(conn, 200, "");
    story.got(conn, events);
    story.got_but(conn, 0, |d| (d.kind, d.cursor, d.marker, d.body) = (Kind::Commit, Some(cursor_of(0, at)), None, None));
    story.end(conn, Ended::Done);
}

/// A stream that is resumed behind a snapshot at event `at`.
fn resumed(story: &mut Story, at: u32, events: impl IntoIterator<Item = u32>) -> ConnId {
    let a = story.stream("a", presenting(&cursor_of(0, at), CursorClass::Snapshot));
    story.got(a, events);
    story.boundary(a);
    a
}

#[test]
fn a_snapshot_and_what_follows_it_are_everything() {
    let mut story = published(3);
    snapshot(&mut story, 1..=3, 3);
    story.publish([4]);
    resumed(&mut story, 3, [4]);
    story.holds(&["SNAPSHOT-1", "SNAPSHOT-2"]);
}

#[test]
fn a_snapshot_that_lacks_an_event_is_seen() {
    let mut story = published(3);
    snapshot(&mut story, [1, 3], 3);
    story.violates("SNAPSHOT-1");
}

#[test]
fn an_event_between_snapshot_and_stream_is_seen() {
    let mut story = published(2);
    let op = story.send(story.event(3));
    snapshot(&mut story, 1..=2, 3);
    story.ack(op);
    story.publish([4]);
    resumed(&mut story, 3, [4]);
    assert_eq!(story.violates("SNAPSHOT-1")[0].shape, "neither");
}

#[test]
fn a_snapshot_with_an_event_behind_its_cursor_is_seen() {
    let mut story = published(3);
    snapshot(&mut story, 1..=3, 2);
    resumed(&mut story, 2, [3]);
    story.violates("SNAPSHOT-2");
}

#[test]
fn an_event_published_while_the_snapshot_is_read_stands_in_either() {
    for inside in [true, false] {
        let mut story = published(2);
        let op = story.send(story.event(3));
        let (held, at) = if inside { (1..=3, 3) } else { (1..=2, 2) };
        snapshot(&mut story, held, at);
        story.ack(op);
        story.publish([4]);
        resumed(&mut story, at, at + 1..=4);
        story.holds(&["SNAPSHOT-1", "SNAPSHOT-2"]);
    }
}

/// A page of a finite read, of at most `limit` events.
fn page(story: &mut Story, from: From, limit: u32, events: impl IntoIterator<Item = u32>) {
    let conn = story.ask("pages", Surface::History, from, Role::Plain);
    story.amend(|what| match what {
        What::Connect(connect) => connect.limit = Some(limit),
        other => unreachable!("a request was just recorded, not {other:?}"),
    });
    story.answer(conn, 200, "");
    story.got(conn, events);
    story.end(conn, Ended::Done);
}

#[test]
fn pages_that_join_are_the_stream() {
    let mut story = published(5);
    page(&mut story, From::Start, 2, 1..=2);
    page(&mut story, crate::check::story::after(2), 2, 3..=4);
    page(&mut story, crate::check::story::after(4), 2, [5]);
    story.holds(&["SNAPSHOT-3", "SNAPSHOT-4"]);
}

#[test]
fn pages_that_do_not_join_are_seen() {
    let mut story = published(5);
    page(&mut story, From::Start, 2, 1..=2);
    page(&mut story, crate::check::story::after(3), 2, 4..=5);
    assert!(story.violated().contains(&"SNAPSHOT-3".to_owned()), "{:?}", story.violated());
}

#[test]
fn an_event_missing_inside_a_page_is_seen() {
    let mut story = published(5);
    page(&mut story, From::Start, 9, [1, 2, 4, 5]);
    assert_eq!(story.violates("SNAPSHOT-3").len(), 1);
}

#[test]
fn an_event_missing_at_the_end_of_the_last_page_is_seen() {
    let mut story = published(5);
    page(&mut story, From::Start, 9, 1..=4);
    assert_eq!(story.violates("SNAPSHOT-3").len(), 1);
}

#[test]
fn an_event_published_while_the_page_is_read_may_be_missing() {
    let mut story = published(2);
    let op = story.send(story.event(3));
    page(&mut story, From::Start, 9, 1..=2);
    story.ack(op);
    story.holds(&["SNAPSHOT-3"]);
}

#[test]
fn an_event_evicted_while_the_page_is_read_may_be_missing() {
    for (sent, evicts) in [(10, true), (9, false)] {
        let mut story = Story::new();
        story.open("kept", Some(Retain { records: Some(4), ..Retain::default() }), None);
        story.publish(1..=9);
        let conn = story.ask("pages", Surface::History, From::Start, Role::Plain);
        story.publish(10..=sent);
        story.answer(conn, 200, "");
        story.got(conn, 7..=sent);
        story.end(conn, Ended::Done);
        if evicts { story.holds(&["SNAPSHOT-3"]) } else { assert_eq!(story.violates("SNAPSHOT-3").len(), 1) }
    }
}

#[test]
fn a_page_longer_than_its_limit_is_seen() {
    let mut story = published(3);
    page(&mut story, From::Start, 2, 1..=3);
    story.violates("SNAPSHOT-4");
}

#[test]
fn a_senseless_limit_is_refused() {
    for (status, right) in [(400, true), (500, false), (200, false)] {
        let mut story = Story::new();
        let outcome = match status {
            200 => Outcome::Ok { status, cursor: None },
            _ => Outcome::Failed { status, body: "{}".to_owned() },
        };
        story.act(Action::Probe { about: Probe::SenselessLimit, session: None }, outcome);
        if right { story.holds(&["SNAPSHOT-4"]) } else { assert_eq!(story.violates("SNAPSHOT-4").len(), 1) }
    }
}
