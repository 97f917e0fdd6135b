//! IDEM.

use crate::check::story::{Story, after, cursor_of};
use crate::history::{From, OpId, Outcome, Publish, Surface};

/// Event 1, published with a key and acknowledged with its cursor.
fn published() -> (Story, Publish) {
    let mut story = Story::new();
    let keyed = Publish { key: Some("k".to_owned()), ..story.event(1) };
    let op = story.send(keyed.clone());
    story.ack(op);
    (story, Publish { repeats: Some(OpId(0)), ..keyed })
}

fn answered(story: &mut Story, publish: Publish, number: u32) {
    let op = story.send(publish);
    story.complete(op, Outcome::Ok { status: 200, cursor: Some(cursor_of(0, number)) });
}

/// A replay with event 1, and with it again under number 2 when `twice`.
fn replay(story: &mut Story, twice: bool) {
    let a = story.stream("a", From::Start);
    story.got(a, [1]);
    if twice {
        story.got_but(a, 1, |d| d.cursor = Some(cursor_of(0, 2)));
    }
    story.boundary(a);
}

#[test]
fn a_retry_is_one_event_with_one_answer() {
    let (mut story, again) = published();
    answered(&mut story, again, 1);
    replay(&mut story, false);
    story.read(Surface::History, [1]);
    story.holds(&["IDEM-1", "IDEM-3", "DELIVER-2"]);
}

#[test]
fn a_retry_that_is_stored_again_is_seen() {
    let (mut story, again) = published();
    answered(&mut story, again, 2);
    replay(&mut story, true);
    assert_eq!(story.violates("IDEM-1")[0].shape, "stored-twice");
}

#[test]
fn a_key_outlives_a_restart() {
    for twice in [false, true] {
        let (mut story, again) = published();
        story.restart("KILL");
        answered(&mut story, again, if twice { 2 } else { 1 });
        replay(&mut story, twice);
        if twice { assert_eq!(story.violates("IDEM-2").len(), 1) } else { story.holds(&["IDEM-2", "IDEM-3"]) }
    }
}

/// Once, the second copy of an event whose key was forgotten at a restart was called out of order, sent behind its own
/// cursor, and late for the boundary.
#[test]
fn a_key_that_need_not_outlive_a_restart_may_store_its_event_twice() {
    let history = |survives: bool| {
        let (story, again) = published();
        let mut story = story.under(|c| c.idempotency.as_mut().unwrap().survives_restart = survives);
        story.publish(2..=2);
        story.restart("KILL");
        let a = story.stream("a", after(2));
        story.boundary(a);
        answered(&mut story, again, 3);
        story.got_but(a, 1, |d| d.cursor = Some(cursor_of(0, 3)));
        story.publish(4..=4);
        story.got(a, [4]);
        let b = story.stream("b", From::Start);
        story.got(b, [1, 2]);
        story.got_but(b, 1, |d| d.cursor = Some(cursor_of(0, 3)));
        story.got(b, [4]);
        story.boundary(b);
        story
    };
    history(false).holds(&["DELIVER-2", "RESUME-2"]);
    let found = history(true).violated();
    for id in ["IDEM-2", "RESUME-1", "SEAM-4"] {
        assert!(found.contains(&id.to_owned()), "{id}: {found:?}");
    }
}

#[test]
fn a_retry_with_another_number_is_seen() {
    let (mut story, again) = published();
    answered(&mut story, again, 7);
    story.violates("IDEM-3");
}

#[test]
fn a_retry_whose_first_answer_was_lost_may_have_any_number() {
    let mut story = Story::new();
    let keyed = Publish { key: Some("k".to_owned()), ..story.event(1) };
    let op = story.send(keyed.clone());
    story.complete(op, Outcome::Unknown { why: "reset".to_owned() });
    answered(&mut story, Publish { repeats: Some(OpId(0)), ..keyed }, 1);
    replay(&mut story, false);
    story.holds(&["IDEM-1"]);
}

#[test]
fn without_the_promise_a_restart_may_forget_keys() {
    let (mut story, again) = published();
    story = story.under(|c| c.idempotency.as_mut().unwrap().survives_restart = false);
    story.restart("KILL");
    answered(&mut story, again, 7);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn other_content_under_a_key_is_refused() {
    for refused in [true, false] {
        let (mut story, _) = published();
        let other = Publish { key: Some("k".to_owned()), repeats: Some(OpId(0)), conflict: true, ..story.event(2) };
        let op = story.send(other);
        let outcome = match refused {
            true => Outcome::Failed { status: 409, body: "{}".to_owned() },
            false => Outcome::Ok { status: 200, cursor: None },
        };
        story.complete(op, outcome);
        if refused { story.holds(&["IDEM-4"]) } else { assert_eq!(story.violates("IDEM-4").len(), 1) }
    }
}
