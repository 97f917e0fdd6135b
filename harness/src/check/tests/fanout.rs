//! FANOUT.

use crate::check::story::{Story, after, cursor_of};
use crate::history::{ConnId, From, Kind, Retain, Role};

fn live(story: &mut Story, reader: &str, role: Role) -> ConnId {
    let conn = story.stream_as(reader, From::Start, role);
    story.boundary(conn);
    conn
}

#[test]
fn readers_that_share_one_queue_are_seen() {
    let mut story = Story::new();
    let (a, b) = (live(&mut story, "a", Role::Plain), live(&mut story, "b", Role::Plain));
    story.publish(1..=4);
    story.got(a, [1, 3]);
    story.got(b, [2, 4]);
    story.violates("FANOUT-1");
}

#[test]
fn a_reader_that_connects_late_is_not_compared_live() {
    let mut story = Story::new();
    let a = live(&mut story, "a", Role::Plain);
    story.publish(1..=4);
    story.got(a, 1..=4);
    let b = story.stream("b", after(2));
    story.got(b, 3..=4);
    story.boundary(b);
    story.publish([5]);
    story.got(a, [5]);
    story.got(b, [5]);
    story.holds(&["FANOUT-1"]);
}

#[test]
fn an_overlapping_connection_that_silences_the_first_is_seen() {
    let history = |silenced: bool| {
        let mut story = Story::new();
        let a = live(&mut story, "a", Role::Plain);
        story.publish(1..=2);
        story.got(a, 1..=2);
        let again = story.stream_as("a", after(2), Role::Overlap);
        story.boundary(again);
        story.publish(3..=4);
        story.got(again, 3..=4);
        if silenced {
            story.wait(a, 4, false);
        } else {
            story.got(a, 3..=4);
        }
        story
    };
    assert_eq!(history(true).violates("FANOUT-2").len(), 2);
    history(false).holds(&["FANOUT-2"]);
}

/// A reader that is stalled after its first event, and one that reads.
fn stalled() -> (Story, ConnId, ConnId) {
    let mut story = Story::new();
    let slow = live(&mut story, "slow", Role::Slow);
    let a = live(&mut story, "a", Role::Plain);
    story.publish([1]);
    story.got(slow, [1]);
    story.got(a, [1]);
    story.fault(slow, "not read from event 1 on");
    (story, slow, a)
}

#[test]
fn a_slow_reader_that_gets_everything_later_is_right() {
    let (mut story, slow, a) = stalled();
    for n in 2..=5 {
        story.publish([n]);
        story.got(a, [n]);
    }
    story.got(slow, 2..=5);
    story.holds(&["FANOUT-3", "FANOUT-4"]);
}

#[test]
fn a_slow_reader_that_is_cut_off_is_right() {
    let (mut story, slow, a) = stalled();
    for n in 2..=5 {
        story.publish([n]);
        story.got(a, [n]);
    }
    story.got(slow, [2, 3]);
    story.end(slow, crate::history::Ended::Eof);
    story.holds(&["FANOUT-4"]);
}

#[test]
fn a_slow_reader_with_a_silent_hole_is_seen() {
    let (mut story, slow, a) = stalled();
    for n in 2..=5 {
        story.publish([n]);
        story.got(a, [n]);
    }
    story.got(slow, [2, 5]);
    assert_eq!(story.violates("FANOUT-4").len(), 2);
}

#[test]
fn a_slow_reader_that_is_told_of_its_gap_is_right() {
    let mut story = Story::new();
    story.open("kept", Some(Retain { records: Some(3), ..Retain::default() }), None);
    let slow = live(&mut story, "slow", Role::Slow);
    story.publish([1]);
    story.got(slow, [1]);
    story.fault(slow, "not read from event 1 on");
    story.publish(2..=9);
    story.control(slow, Kind::Gap, Some(cursor_of(1, 7)));
    story.got(slow, 7..=9);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_publisher_that_waits_for_a_slow_reader_is_seen() {
    let (mut story, _, a) = stalled();
    let op = story.send(story.event(2));
    story.pass(2_500);
    story.ack(op);
    story.got(a, [2]);
    assert_eq!(story.violates("FANOUT-3")[0].shape, "publisher-stalled");
}

#[test]
fn a_reader_that_waits_for_a_slow_one_is_seen() {
    let (mut story, _, a) = stalled();
    story.publish([2]);
    story.pass(2_500);
    story.got(a, [2]);
    story.violates("FANOUT-3");
}
