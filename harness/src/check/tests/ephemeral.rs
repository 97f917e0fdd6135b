//! EPHEMERAL. Live-only events have the numbers from 101 on.

use crate::check::story::{Story, cursor_of};
use crate::history::{ConnId, From, Kind, Surface};

/// A reader that is live before anything is published.
fn live() -> (Story, ConnId) {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    (story, a)
}

#[test]
fn live_only_events_in_their_place_are_right() {
    let (mut story, a) = live();
    story.publish([1]);
    story.note([101, 102]);
    story.publish([2]);
    story.got(a, [1, 101, 102, 2]);
    let b = story.stream("b", From::Start);
    story.got(b, [1, 2]);
    story.boundary(b);
    story.read(Surface::History, [1, 2]);
    story.holds(&["EPHEMERAL-1", "EPHEMERAL-2", "EPHEMERAL-3", "EPHEMERAL-4", "EPHEMERAL-5", "ORDER-3"]);
}

/// What was on its way to the log when the reader asked may have been replayed to it, before it was known to be there.
#[test]
fn an_event_that_is_acknowledged_late_shows_nobody_live() {
    let mut story = Story::new().under(|c| c.boundary = None);
    let sent = story.send(story.event(1));
    let a = story.stream("a", From::Start);
    story.got(a, [1]);
    story.ack(sent);
    story.note([101]);
    story.publish([2]);
    story.got(a, [2]);
    assert_eq!(story.violated(), [""; 0]);
}

#[test]
fn a_cursor_on_a_live_only_event_is_seen() {
    let (mut story, a) = live();
    story.publish([1]);
    story.note([101]);
    story.got(a, [1]);
    story.got_but(a, 101, |d| d.cursor = Some("note-101".into()));
    story.violates("EPHEMERAL-1");
}

#[test]
fn a_live_only_event_that_is_replayed_is_seen() {
    let (mut story, a) = live();
    story.publish([1]);
    story.note([101]);
    story.got(a, [1, 101]);
    let b = story.stream("b", From::Start);
    story.got(b, [1, 101]);
    story.boundary(b);
    assert_eq!(story.violates("EPHEMERAL-2").len(), 1);
}

#[test]
fn a_live_only_event_on_a_page_is_seen() {
    let (mut story, a) = live();
    story.publish([1]);
    story.note([101]);
    story.got(a, [1, 101]);
    story.read(Surface::History, [1, 101]);
    story.violates("EPHEMERAL-2");
}

#[test]
fn a_live_only_event_sent_while_a_reader_connects_may_come_or_not() {
    for comes in [true, false] {
        let mut story = Story::new();
        story.publish([1]);
        let op = story.send(crate::history::Publish { durable: false, ..story.event(101) });
        let a = story.stream("a", From::Start);
        story.ack(op);
        story.got(a, [1]);
        story.boundary(a);
        if comes {
            story.got(a, [101]);
        }
        story.publish([2]);
        story.got(a, [2]);
        assert!(story.violated().is_empty(), "{:?}", story.violated());
    }
}

#[test]
fn a_live_only_event_that_overtakes_is_seen() {
    let (mut story, a) = live();
    story.publish([1]);
    story.note([101]);
    story.got(a, [101, 1]);
    assert_eq!(story.violates("EPHEMERAL-3")[0].shape, "overtakes");
}

#[test]
fn a_live_only_event_that_is_overtaken_is_seen() {
    let (mut story, a) = live();
    story.note([101]);
    story.publish([1]);
    story.got(a, [1, 101]);
    assert_eq!(story.violates("EPHEMERAL-3")[0].shape, "overtaken");
}

#[test]
fn concurrent_live_only_events_stand_anywhere() {
    let (mut story, a) = live();
    let one = story.send(story.event(1));
    let note = story.send(crate::history::Publish { durable: false, ..story.event(101) });
    story.ack(one);
    story.ack(note);
    story.got(a, [101, 1]);
    story.holds(&["EPHEMERAL-3"]);
}

#[test]
fn a_control_frame_that_moves_the_cursor_is_seen() {
    for (kind, cursor) in [(Kind::Heartbeat, 9), (Kind::Boundary, 1)] {
        let (mut story, a) = live();
        story.publish([1]);
        story.got(a, [1]);
        if kind == Kind::Boundary {
            story = story.under(|c| c.boundary.as_mut().unwrap().sent = crate::contract::BoundarySent::AtLeastOnce);
        }
        story.got_but(a, 0, |d| (d.kind, d.cursor, d.marker, d.body) = (kind, Some(cursor_of(0, cursor)), None, None));
        story.violates("EPHEMERAL-4");
    }
}

#[test]
fn a_heartbeat_that_repeats_the_newest_cursor_moves_nothing() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got(a, [1]);
    story.got_but(a, 0, |d| (d.kind, d.cursor, d.marker, d.body) = (Kind::Heartbeat, Some(cursor_of(0, 1)), None, None));
    story.holds(&["EPHEMERAL-4"]);
}

#[test]
fn a_live_only_event_that_a_live_reader_lacks_is_seen() {
    let (mut story, a) = live();
    story.note([101]);
    story.publish([1]);
    story.got(a, [1]);
    story.violates("EPHEMERAL-5");
}

#[test]
fn a_live_only_event_waited_for_in_vain_is_seen() {
    let (mut story, a) = live();
    story.note([101]);
    story.wait(a, 101, false);
    story.violates("EPHEMERAL-5");
}

#[test]
fn a_reader_that_was_cut_may_lack_live_only_events() {
    let (mut story, a) = live();
    story.note([101]);
    story.publish([1]);
    story.got(a, [1]);
    story.cut(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn what_the_contract_does_not_promise_is_not_judged() {
    let (mut story, a) = live();
    story = story.under(|c| c.ephemeral = Some(crate::contract::EphemeralContract { delivered: false, ordered: false }));
    story.publish([1]);
    story.note([101, 102]);
    story.publish([2]);
    story.got(a, [102, 1, 2]);
    story.holds(&["EPHEMERAL-1"]);
}
