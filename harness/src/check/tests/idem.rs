//! IDEM.

use crate::check::story::{Story, cursor_of};
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
