//! DELIVER and ISOLATE.

use crate::check::story::{Story, after, cursor_of};
use crate::history::{Body, From, Kind, Marker, OpId, Outcome, Publish, Role, Surface, What};

/// A reader that is live before anything is published.
fn live() -> (Story, crate::history::ConnId) {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    (story, a)
}

#[test]
fn an_event_missing_between_two_live_ones_is_lost() {
    let (mut story, a) = live();
    story.publish(1..=3);
    story.got(a, [1, 3]);
    let lost = story.violates("DELIVER-1");
    assert_eq!(lost.len(), 1);
    assert!(lost[0].says.contains("a#1 never received «s0.2»"), "{}", lost[0].says);
}

#[test]
fn each_lost_event_counts_once() {
    let (mut story, a) = live();
    story.publish(1..=9);
    story.got(a, [1, 9]);
    assert_eq!(story.violates("DELIVER-1").len(), 7);
}

/// Once, the last connection of a reader that reconnected until its time was up owed what nobody had waited for on it.
#[test]
fn a_connection_that_was_given_no_time_owes_nothing_to_the_wait() {
    let history = |in_time: bool| {
        let mut story = Story::new();
        story.publish(1..=2);
        let reader = |story: &mut Story| story.stream("a", From::Start);
        let early = in_time.then(|| reader(&mut story));
        story.pass(2_500);
        let a = early.unwrap_or_else(|| reader(&mut story));
        story.wait(a, 2, true);
        story.amend(|what| {
            if let What::Wait(wait) = what {
                wait.reached = false
            }
        });
        story
    };
    history(false).holds(&[]);
    assert!(history(true).violated().contains(&"RESUME-2".to_owned()));
}

#[test]
fn an_event_waited_for_in_vain_is_lost() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got(a, [1]);
    story.publish([2]);
    story.wait(a, 2, false);
    story.violates("DELIVER-1");
}

#[test]
fn what_nobody_waited_for_may_still_be_on_its_way() {
    let (mut story, a) = live();
    story.publish(1..=3);
    story.got(a, [1, 2]);
    story.cut(a);
    story.holds(&["DELIVER-1", "DELIVER-2", "ORDER-1"]);
}

#[test]
fn an_event_waited_for_at_a_connection_that_was_cut_is_not_lost() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got(a, [1]);
    story.publish([2]);
    story.cut(a);
    story.wait(a, 2, false);
    story.holds(&["DELIVER-1"]);
}

#[test]
fn a_live_event_sent_twice_is_a_duplicate() {
    let (mut story, a) = live();
    story.publish(1..=2);
    story.got(a, [1, 2, 1]);
    story.violates("DELIVER-2");
}

#[test]
fn an_event_on_two_connections_of_a_reader_is_no_duplicate_by_itself() {
    let mut story = Story::new();
    story.publish(1..=3);
    let a = story.stream("a", From::Start);
    story.got(a, [1, 2]);
    story.cut(a);
    let again = story.stream("a", From::Start);
    story.got(again, [1, 2, 3]);
    story.boundary(again);
    story.holds(&["DELIVER-2", "RESUME-2", "ORDER-4"]);
}

#[test]
fn a_marker_that_nobody_published_is_a_phantom() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got(a, [1]);
    story.got_but(a, 7, |d| d.cursor = Some(cursor_of(0, 2)));
    let phantom = story.violates("DELIVER-3");
    assert_eq!(phantom[0].shape, "never-published");
}

#[test]
fn a_refused_publish_leaves_no_trace() {
    let (mut story, a) = live();
    let op = story.send(story.event(1));
    story.complete(op, Outcome::Failed { status: 409, body: String::new() });
    story.got(a, [1]);
    assert_eq!(story.violates("DELIVER-3")[0].shape, "refused-but-delivered");
}

#[test]
fn an_event_without_answer_may_appear_or_not() {
    let (mut story, a) = live();
    story.publish_unknown(1);
    story.publish_unknown(2);
    story.publish([3]);
    story.got(a, [2, 3]);
    story.holds(&["DELIVER-1", "DELIVER-3"]);
}

#[test]
fn an_event_may_arrive_before_its_answer() {
    let (mut story, a) = live();
    let op = story.send(story.event(1));
    story.got(a, [1]);
    story.ack(op);
    story.holds(&["DELIVER-3", "ORDER-5"]);
}

#[test]
fn an_altered_payload_is_seen() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got_but(a, 1, |d| d.body = Some(Body::of("«s0.1» wor")));
    story.violates("DELIVER-4");
}

#[test]
fn a_payload_altered_in_a_page_alone_is_seen() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got(a, [1]);
    let page = story.ask("page", Surface::History, From::Start, Role::Plain);
    story.answer(page, 200, "");
    story.got_but(page, 1, |d| d.body = Some(Body::of("«s0.1» wor")));
    story.violates("DELIVER-4");
}

#[test]
fn a_payload_that_the_binding_cannot_find_is_not_judged() {
    let (mut story, a) = live();
    story.publish([1]);
    story.got_but(a, 1, |d| d.body = None);
    assert!(story.violated().is_empty());
}

#[test]
fn a_live_event_of_another_session_is_a_leak() {
    let (mut story, a) = live();
    let other = story.open("t", None, None);
    story.publish([1]);
    story.got_but(a, 1, |d| d.marker = Some(Marker { session: other, n: 1 }));
    assert_eq!(story.violates("ISOLATE-1")[0].shape, "foreign-live");
}

#[test]
fn a_replayed_event_of_another_session_is_a_leak() {
    let mut story = Story::new();
    let other = story.open("t", None, None);
    story.publish([1]);
    story.turn_to(0);
    story.publish([1]);
    let a = story.stream("a", From::Start);
    story.got(a, [1]);
    story.got_but(a, 2, |d| (d.marker, d.cursor) = (Some(Marker { session: other, n: 1 }), Some(cursor_of(0, 2))));
    story.boundary(a);
    story.violates("ISOLATE-2");
}

#[test]
fn a_page_with_an_event_of_another_session_is_a_leak() {
    let mut story = Story::new();
    let other = story.open("t", None, None);
    story.publish([1]);
    story.turn_to(0);
    story.publish([1]);
    let page = story.ask("page", Surface::Snapshot, From::Start, Role::Plain);
    story.answer(page, 200, "");
    story.got(page, [1]);
    story.got_but(page, 1, |d| d.marker = Some(Marker { session: other, n: 1 }));
    story.violates("ISOLATE-2");
}

#[test]
fn two_sessions_side_by_side_are_judged_apart() {
    let (mut story, a) = live();
    story.publish(1..=2);
    story.got(a, [1, 2]);
    story.open("t", None, None);
    let b = story.stream("b", From::Start);
    story.boundary(b);
    story.publish(1..=2);
    story.got(b, [1, 2]);
    story.read(Surface::History, [1, 2]);
    story.holds(&["ISOLATE-1", "ISOLATE-2", "DELIVER-1", "DELIVER-3"]);
}

#[test]
fn a_repeated_publish_refused_later_says_nothing_about_the_first() {
    let (mut story, a) = live();
    let keyed = Publish { key: Some("k".to_owned()), ..story.event(1) };
    let op = story.send(keyed.clone());
    story.complete(op, Outcome::Unknown { why: "reset".to_owned() });
    let again = story.send(Publish { repeats: Some(OpId(0)), ..keyed });
    story.complete(again, Outcome::Failed { status: 503, body: String::new() });
    story.got(a, [1]);
    story.holds(&["DELIVER-3"]);
}

#[test]
fn an_event_missing_from_a_live_stream_without_replay_is_lost() {
    let mut story = Story::new();
    story.publish(1..=3);
    let a = story.stream("a", From::Live);
    story.boundary(a);
    story.publish(4..=6);
    story.got(a, [4, 6]);
    story.violates("DELIVER-1");
}

#[test]
fn a_live_stream_without_replay_lacks_the_old_by_right() {
    let mut story = Story::new();
    story.publish(1..=3);
    let a = story.stream("a", From::Live);
    story.boundary(a);
    story.publish(4..=6);
    story.got(a, 4..=6);
    story.holds(&["DELIVER-1", "ORDER-3"]);
}

#[test]
fn a_control_frame_between_events_changes_nothing() {
    let mut story = Story::new();
    story.publish(1..=2);
    let a = story.stream("a", after(1));
    story.got(a, [2]);
    story.boundary(a);
    story.control(a, Kind::Heartbeat, None);
    story.publish([3]);
    story.got(a, [3]);
    story.holds(&["DELIVER-1", "RESUME-1", "RESUME-2", "ORDER-3"]);
}

#[test]
fn a_reader_answered_when_its_session_has_a_successor_may_read_either() {
    for late in [true, false] {
        let mut story = Story::new();
        story.publish([1]);
        story.delete();
        let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
        if !late {
            story.answer(a, 200, "");
        }
        story.open("next", None, Some(0));
        if late {
            story.answer(a, 200, "");
        }
        story.turn_to(1);
        story.publish([1]);
        story.got_but(a, 1, |d| (d.marker, d.cursor) = (Some(Marker { session: 1, n: 1 }), Some(cursor_of(1, 1))));
        if late { story.holds(&[]) } else { assert!(story.violated().iter().any(|id| id.starts_with("ISOLATE"))) }
    }
}
