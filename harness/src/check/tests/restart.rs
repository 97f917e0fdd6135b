//! RESTART.

use crate::check::story::{Story, after, cursor_of};
use crate::history::{From, Publish, Role, Surface};

/// Five acknowledged events, seen by a witness, and a restart.
fn restarted(signal: &str) -> Story {
    let mut story = Story::new();
    let w = story.stream_as("w", From::Start, Role::Witness);
    story.boundary(w);
    story.publish(1..=5);
    story.got(w, 1..=5);
    story.restart(signal);
    story
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    for (signal, requirement) in [("KILL", "RESTART-1"), ("TERM", "RESTART-4")] {
        let mut story = restarted(signal);
        story.publish([6]);
        let a = story.stream("a", From::Start);
        story.got(a, 1..=6);
        story.boundary(a);
        story.read(Surface::History, 1..=6);
        story.holds(&[requirement, "RESTART-3", "RESTART-5"]);
    }
}

#[test]
fn what_no_view_shows_any_more_counts_once_an_event() {
    for (signal, requirement) in [("KILL", "RESTART-1"), ("TERM", "RESTART-4")] {
        let mut story = restarted(signal);
        let op = story.send(story.event(6));
        story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 6)) });
        for reader in ["a", "b"] {
            let conn = story.stream(reader, From::Start);
            story.got(conn, [1, 2, 3, 6]);
            story.boundary(conn);
        }
        story.read(Surface::History, [1, 2, 3, 6]);
        assert_eq!(story.violates(requirement).len(), 2);
    }
}

#[test]
fn what_one_replay_shows_another_has_lost() {
    let mut story = restarted("KILL");
    story.publish([6]);
    let a = story.stream("a", From::Start);
    story.got(a, 1..=6);
    story.boundary(a);
    let b = story.stream("b", From::Start);
    story.got(b, [1, 2, 3, 6]);
    story.boundary(b);
    assert_eq!(story.violates("RESUME-2").len(), 2);
}

#[test]
fn without_the_promise_a_kill_may_lose_everything() {
    let mut story = restarted("KILL").under(|c| c.durability.kill = false);
    let op = story.send(story.event(6));
    story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 6)) });
    let a = story.stream("a", From::Start);
    story.got(a, [6]);
    story.boundary(a);
    story.read(Surface::History, [6]);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn an_event_without_answer_may_be_there_or_not_after_a_kill() {
    for events in [vec![1, 2, 3], vec![1, 2]] {
        let mut story = Story::new();
        story.publish(1..=2);
        story.publish_unknown(3);
        story.restart("KILL");
        let a = story.stream("a", From::Start);
        story.got(a, events);
        story.boundary(a);
        story.holds(&["RESTART-1", "RESTART-2"]);
    }
}

#[test]
fn an_event_without_answer_stored_twice_is_seen() {
    let mut story = Story::new();
    story.publish(1..=2);
    story.publish_unknown(3);
    story.restart("KILL");
    let a = story.stream("a", From::Start);
    story.got(a, 1..=3);
    story.got_but(a, 3, |d| d.cursor = Some(cursor_of(0, 4)));
    story.boundary(a);
    assert_eq!(story.violates("RESTART-2").len(), 1);
}

#[test]
fn a_number_given_out_again_after_a_restart_is_seen() {
    let mut story = restarted("KILL");
    let op = story.send(story.event(6));
    story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 1)) });
    let a = story.stream("a", after(5));
    story.got_but(a, 6, |d| d.cursor = Some(cursor_of(0, 1)));
    story.boundary(a);
    assert!(story.violated().contains(&"RESTART-3".to_owned()), "{:?}", story.violated());
    assert!(!story.violated().contains(&"ORDER-4".to_owned()));
}

#[test]
fn after_a_wipe_the_same_cursors_are_another_history() {
    let history = |epoch: u32| {
        let mut story = Story::new();
        story.publish(1..=2);
        story.stop("KILL");
        story.start(true);
        story.open("s", None, Some(0));
        let op = story.send(story.event(1));
        story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(epoch, 1)) });
        let a = story.stream("a", From::Start);
        story.got_but(a, 1, |d| d.cursor = Some(cursor_of(epoch, 1)));
        story.boundary(a);
        story
    };
    history(0).violates("RESTART-3");
    history(1).holds(&["RESTART-3"]);
}

#[test]
fn a_wipe_takes_the_old_events_by_right() {
    let mut story = restarted("KILL");
    story.stop("KILL");
    story.start(true);
    story.open("s", None, Some(0));
    story.publish(1..=3);
    let a = story.stream("a", From::Start);
    story.got(a, 1..=3);
    story.boundary(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_session_that_is_unknown_after_a_restart_is_seen() {
    let mut story = restarted("KILL");
    story.refused("a", after(5), 404, "{}");
    story.violates("RESTART-5");
}

#[test]
fn events_in_flight_at_the_kill_are_in_nobodys_debt() {
    let mut story = Story::new();
    story.publish(1..=2);
    let op: Publish = story.event(3);
    story.send(op);
    story.restart("KILL");
    story.publish([4]);
    let a = story.stream("a", From::Start);
    story.got(a, [1, 2]);
    story.got_but(a, 4, |d| d.cursor = Some(cursor_of(0, 4)));
    story.boundary(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn an_answer_that_arrives_when_the_process_is_gone_was_given_before() {
    let mut story = Story::new();
    story.publish([1]);
    let late = story.event(2);
    let op = story.send(late);
    story.stop("TERM");
    story.ack(op);
    story.start(false);
    story.publish([3]);
    let b = story.stream("b", From::Start);
    story.got(b, [1, 3]);
    story.violates("RESTART-4");
}
