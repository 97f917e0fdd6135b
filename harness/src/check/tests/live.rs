//! LIVE.

use crate::check::story::Story;
use crate::history::{Action, ConnId, From, Outcome, Process, Role, Surface, Until, What};

/// A reader of this role that is live before anything is published.
fn live(role: Role) -> (Story, ConnId) {
    let mut story = Story::new();
    let a = story.stream_as("a", From::Start, role);
    story.boundary(a);
    (story, a)
}

#[test]
fn delivery_within_the_bound_is_right() {
    for (role, requirement) in [(Role::Plain, "LIVE-1"), (Role::Compressed, "LIVE-4")] {
        let (mut story, a) = live(role);
        story.publish([1]);
        story.pass(1_900);
        story.got(a, [1]);
        story.holds(&[requirement]);
    }
}

#[test]
fn late_delivery_is_seen() {
    for (role, requirement) in [(Role::Plain, "LIVE-1"), (Role::Compressed, "LIVE-4")] {
        let (mut story, a) = live(role);
        story.publish([1]);
        story.pass(2_100);
        story.got(a, [1]);
        story.violates(requirement);
    }
}

#[test]
fn an_event_that_comes_only_with_the_next_one_is_late() {
    let (mut story, a) = live(Role::Plain);
    story.publish([1]);
    story.wait_in_vain(a, Until::Marker(story.event(1).marker), 1_500);
    story.publish([2]);
    story.got(a, [1, 2]);
    assert_eq!(story.violates("LIVE-1")[0].seen, "only with a later event");
}

#[test]
fn what_was_published_before_the_reader_was_live_has_no_bound() {
    let mut story = Story::new();
    story.publish([1]);
    let a = story.stream("a", From::Start);
    story.pass(2_500);
    story.got(a, [1]);
    story.boundary(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_paused_server_may_deliver_late() {
    let (mut story, a) = live(Role::Plain);
    story.publish([1]);
    story.push(What::Process(Process::Signal { name: "STOP".to_owned() }));
    story.pass(9_000);
    story.push(What::Process(Process::Signal { name: "CONT".to_owned() }));
    story.got(a, [1]);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_compressed_stream_that_is_held_back_is_seen() {
    let (mut story, a) = live(Role::Compressed);
    story.publish([1]);
    story.wait(a, 1, false);
    assert!(story.violated().contains(&"LIVE-4".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_head_within_the_bound_is_right() {
    let mut story = Story::new();
    let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    story.pass(900);
    story.answer(a, 200, "");
    story.boundary(a);
    story.holds(&["LIVE-2"]);
}

#[test]
fn a_late_head_is_seen() {
    let mut story = Story::new();
    let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    story.pass(2_500);
    story.answer(a, 200, "");
    story.boundary(a);
    story.violates("LIVE-2");
}

/// Once, only the time until the reader left told, and a reader that left after half of it hid the bug.
#[test]
fn a_head_waited_for_in_vain_is_seen() {
    let mut story = Story::new();
    let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    story.wait_in_vain(a, Until::Headers, 1_200);
    story.end(a, crate::history::Ended::Ours);
    story.violates("LIVE-2");
}

#[test]
fn a_reader_that_leaves_early_shows_nothing_of_the_head() {
    let mut story = Story::new();
    let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    story.wait_in_vain(a, Until::Headers, 900);
    story.end(a, crate::history::Ended::Ours);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_server_that_answers_its_health_check_is_right() {
    let mut story = Story::new();
    story.act(Action::Health, Outcome::Ok { status: 200, cursor: None });
    story.holds(&["LIVE-3"]);
}

#[test]
fn a_server_that_does_not_answer_is_seen() {
    for outcome in [Outcome::Failed { status: 500, body: String::new() }, Outcome::Unknown { why: "no answer".to_owned() }] {
        let mut story = Story::new();
        story.act(Action::Health, outcome);
        story.violates("LIVE-3");
    }
}

#[test]
fn a_health_check_while_the_server_is_away_says_nothing() {
    let mut story = Story::new();
    story.stop("KILL");
    story.act(Action::Health, Outcome::Unknown { why: "refused".to_owned() });
    story.start(false);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_server_that_ends_by_itself_is_seen() {
    let mut story = Story::new();
    story.push(What::Process(Process::Died { why: "exit status 101".to_owned() }));
    assert_eq!(story.violates("LIVE-3")[0].shape, "died");
}
