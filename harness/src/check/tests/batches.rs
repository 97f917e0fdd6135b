//! ORDER, RESUME and RESTART-3 where a cursor comes in a frame of its own and stands for a batch.

use crate::check::story::{Story, after, cursor_of};
use crate::contract::{CursorContract, CursorOrder};
use crate::history::{ConnId, From, Kind, Outcome};

/// A live reader of a protocol whose events carry no cursors.
fn live(order: CursorOrder) -> (Story, ConnId) {
    let cursor =
        CursorContract { order, dense: false, epoch: false, outlives_wipe: true, on_durable_only: true, per_event: false, stable: true };
    let mut story = Story::new().under(|c| c.cursor = Some(cursor));
    let a = story.stream("a", From::Start);
    story.boundary(a);
    (story, a)
}

/// Publishes events whose answers tell no cursor.
fn publish(story: &mut Story, events: impl IntoIterator<Item = u32>) {
    for n in events {
        let op = story.send(story.event(n));
        story.complete(op, Outcome::Ok { status: 204, cursor: None });
    }
}

/// A batch arrives, and the cursor behind it.
fn batch(story: &mut Story, conn: ConnId, events: impl IntoIterator<Item = u32>, cursor: u32) {
    for n in events {
        story.got_but(conn, n, |d| d.cursor = None);
    }
    story.got_but(conn, 0, |d| {
        (d.kind, d.cursor, d.marker, d.body) = (Kind::Commit, Some(cursor_of(0, cursor)), None, None);
    });
}

/// Three events in two batches, and the reader was cut behind the first one; then it resumed and got `events`.
fn resumed(events: impl IntoIterator<Item = u32>) -> Story {
    let (mut story, a) = live(CursorOrder::Number);
    publish(&mut story, 1..=2);
    batch(&mut story, a, 1..=2, 2);
    story.cut(a);
    publish(&mut story, 3..=4);
    let again = story.stream("a", after(2));
    batch(&mut story, again, events, 4);
    story.boundary(again);
    story
}

#[test]
fn batches_that_follow_their_cursors_are_right() {
    resumed(3..=4).holds(&["RESUME-1", "RESUME-2", "ORDER-4"]);
}

#[test]
fn an_event_of_the_committed_batch_again_is_seen() {
    assert_eq!(resumed(2..=4).violates("RESUME-1")[0].shape, "cursor-itself");
    assert_eq!(resumed(1..=4).violates("RESUME-1").len(), 2);
    let again = resumed(2..=4).under(|c| c.at_least_once = true);
    assert!(again.violated().is_empty(), "{:?}", again.violated());
}

#[test]
fn an_event_missing_behind_the_committed_batch_is_seen() {
    assert_eq!(resumed([4]).violates("RESUME-2").len(), 1);
}

#[test]
fn one_cursor_in_the_answers_to_a_whole_batch_stands_behind_its_last_event() {
    let (mut story, a) = live(CursorOrder::Number);
    let ops = [1, 2].map(|n| story.send(story.event(n)));
    for op in ops {
        story.complete(op, Outcome::Ok { status: 204, cursor: Some(cursor_of(0, 2)) });
    }
    batch(&mut story, a, 1..=2, 2);
    story.cut(a);
    publish(&mut story, [3]);
    let again = story.stream("a", after(2));
    batch(&mut story, again, [3], 3);
    story.boundary(again);
    story.holds(&["RESUME-1", "RESUME-2", "ORDER-4"]);
}

#[test]
fn cursors_of_batches_that_fall_are_seen() {
    for (second, right) in [(11, true), (4, false)] {
        let (mut story, a) = live(CursorOrder::Number);
        publish(&mut story, 1..=2);
        batch(&mut story, a, [1], 9);
        batch(&mut story, a, [2], second);
        if right { story.holds(&["ORDER-3"]) } else { assert_eq!(story.violates("ORDER-3").len(), 1) }
    }
}

#[test]
fn a_cursor_that_comes_again_without_events_is_right() {
    let (mut story, a) = live(CursorOrder::Text);
    publish(&mut story, 1..=2);
    batch(&mut story, a, 1..=2, 2);
    batch(&mut story, a, [], 2);
    story.holds(&["ORDER-4"]);
}

#[test]
fn a_cursor_behind_two_batches_of_a_connection_is_seen() {
    let (mut story, a) = live(CursorOrder::Opaque);
    publish(&mut story, 1..=2);
    batch(&mut story, a, [1], 1);
    batch(&mut story, a, [2], 1);
    story.violates("ORDER-4");
}

#[test]
fn batches_may_be_cut_differently_on_two_connections() {
    let (mut story, a) = live(CursorOrder::Opaque);
    publish(&mut story, 1..=3);
    batch(&mut story, a, [1], 1);
    batch(&mut story, a, 2..=3, 3);
    let b = story.stream("b", From::Start);
    batch(&mut story, b, 1..=3, 3);
    story.boundary(b);
    story.holds(&["ORDER-4"]);
}

#[test]
fn a_cursor_that_stands_behind_a_later_event_on_another_connection_is_seen() {
    let (mut story, a) = live(CursorOrder::Opaque);
    publish(&mut story, [1]);
    batch(&mut story, a, [1], 1);
    publish(&mut story, [2]);
    let b = story.stream("b", From::Start);
    batch(&mut story, b, 1..=2, 1);
    story.boundary(b);
    story.violates("ORDER-4");
}

#[test]
fn a_cursor_of_a_batch_given_out_again_after_a_restart_is_seen() {
    for (cursor, right) in [(2, true), (1, false)] {
        let (mut story, a) = live(CursorOrder::Opaque);
        publish(&mut story, [1]);
        batch(&mut story, a, [1], 1);
        story.restart("KILL");
        publish(&mut story, [2]);
        let b = story.stream("b", From::Start);
        batch(&mut story, b, 1..=2, cursor);
        story.boundary(b);
        if right { story.holds(&["RESTART-3"]) } else { assert_eq!(story.violates("RESTART-3").len(), 1) }
    }
}
