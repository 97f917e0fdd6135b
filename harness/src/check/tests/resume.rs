//! RESUME-1, RESUME-2, RESUME-8 to RESUME-10.

use crate::check::Finding;
use crate::check::story::{Story, after, cursor_of, presenting};
use crate::contract::CursorCarrier;
use crate::history::{ConnId, CursorClass, From, Outcome, Publish, Role, Surface};

/// A reader that saw events 1 to 3 of 5 and was cut.
fn cut_after_three() -> Story {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=5);
    story.got(a, 1..=3);
    story.cut(a);
    story
}

fn resumed(story: &mut Story, events: impl IntoIterator<Item = u32>) -> ConnId {
    let a = story.stream("a", after(3));
    story.got(a, events);
    story.boundary(a);
    a
}

#[test]
fn a_resume_with_the_successor_is_right() {
    let mut story = cut_after_three();
    resumed(&mut story, 4..=5);
    story.holds(&["RESUME-1", "RESUME-2", "RESUME-3", "SEAM-3", "SEAM-4"]);
}

#[test]
fn a_resume_with_nothing_to_come_is_judged_by_what_ends_its_replay() {
    let mut story = cut_after_three();
    let a = story.stream("a", after(5));
    assert!(matches!(story.finding("RESUME-1"), Finding::Inconclusive { .. }));
    story.boundary(a);
    story.holds(&["RESUME-1"]);
}

#[test]
fn the_cursors_own_event_is_not_sent_again() {
    let mut story = cut_after_three();
    resumed(&mut story, 3..=5);
    assert_eq!(story.violates("RESUME-1")[0].shape, "cursor-itself");
}

#[test]
fn an_ignored_cursor_gives_one_verdict() {
    let mut story = cut_after_three();
    resumed(&mut story, 1..=5);
    assert_eq!(story.violates("RESUME-1").len(), 3);
}

#[test]
fn a_replay_that_starts_one_too_late_is_seen() {
    let mut story = cut_after_three();
    let a = resumed(&mut story, [5]);
    story.wait(a, 5, true);
    let lost = story.violates("RESUME-2");
    assert_eq!(lost[0].shape, "lost-replay");
}

#[test]
fn a_resume_with_live_events_alone_is_seen() {
    let mut story = cut_after_three();
    let a = resumed(&mut story, []);
    story.publish([6]);
    story.got(a, [6]);
    assert_eq!(story.violates("RESUME-2").len(), 2);
}

#[test]
fn a_resume_cut_in_its_replay_owes_only_what_it_began() {
    let mut story = cut_after_three();
    let a = story.stream("a", after(3));
    story.got(a, [4]);
    story.cut(a);
    story.holds(&["RESUME-2"]);
}

#[test]
fn a_boundary_without_the_replay_before_it_is_seen() {
    let mut story = cut_after_three();
    let a = resumed(&mut story, []);
    story.wait(a, 5, false);
    assert_eq!(story.violates("RESUME-2").len(), 2);
}

#[test]
fn an_event_missing_in_the_middle_of_a_replay_is_seen() {
    let mut story = Story::new();
    story.publish(1..=5);
    let a = story.stream("a", From::Start);
    story.got(a, [1, 2, 4, 5]);
    story.boundary(a);
    story.violates("RESUME-2");
}

#[test]
fn a_contract_of_at_least_once_allows_the_repetition() {
    let mut story = cut_after_three().under(|c| c.at_least_once = true);
    resumed(&mut story, 2..=5);
    story.holds(&["RESUME-2"]);
    story.finding("RESUME-1");
}

#[test]
fn at_least_once_is_at_most_once_on_one_connection() {
    let mut story = cut_after_three().under(|c| c.at_least_once = true);
    resumed(&mut story, [4, 4, 5]);
    story.violates("DELIVER-2");
}

#[test]
fn two_replays_after_one_cursor_are_equal() {
    let mut story = cut_after_three();
    let first = resumed(&mut story, 4..=5);
    story.cut(first);
    resumed(&mut story, 4..=5);
    story.holds(&["RESUME-9", "RESUME-2"]);
}

#[test]
fn a_replay_that_consumes_is_seen() {
    let mut story = cut_after_three();
    let first = resumed(&mut story, 4..=5);
    story.cut(first);
    resumed(&mut story, []);
    assert_eq!(story.violated(), ["RESUME-9"]);
}

#[test]
fn a_replay_cut_short_is_compared_as_far_as_it_went() {
    let mut story = cut_after_three();
    let first = story.stream("a", after(3));
    story.got(first, [4]);
    story.cut(first);
    resumed(&mut story, 4..=5);
    story.holds(&["RESUME-9"]);
}

#[test]
fn an_event_without_an_answer_does_not_show_that_a_replay_was_whole() {
    let mut story = Story::new();
    story.publish([1]);
    story.publish_unknown(2);
    story.publish([3]);
    let a = story.stream("a", after(1));
    story.got(a, [2]);
    story.cut(a);
    let b = story.stream("b", after(1));
    story.got(b, 2..=3);
    story.boundary(b);
    story.holds(&["RESUME-2"]);
}

// It was taken for one that came live: the publish of a#2's event was repeated, and acknowledged, after a#2 had asked.
#[test]
fn an_event_that_is_acknowledged_late_does_not_show_that_a_replay_was_whole() {
    let mut story = Story::new();
    story.publish([1]);
    let lost = story.send(story.event(2));
    story.complete(lost, Outcome::Unknown { why: "reset".to_owned() });
    story.publish([3]);
    let a = story.stream("a", after(1));
    story.got(a, [2]);
    story.cut(a);
    let again = story.send(Publish { repeats: Some(lost), ..story.event(2) });
    story.ack(again);
    let b = story.stream("b", after(1));
    story.got(b, 2..=3);
    story.boundary(b);
    story.holds(&["RESUME-2"]);
}

#[test]
fn the_weaker_cursor_must_not_win() {
    for (events, right) in [(4..=5, true), (2..=5, false)] {
        let mut story = cut_after_three();
        let from = From::Cursor { value: cursor_of(0, 3), class: CursorClass::Own, beside: Some(cursor_of(0, 1)) };
        let a = story.stream("a", from);
        story.got(a, events);
        story.boundary(a);
        if right {
            story.holds(&["RESUME-10", "RESUME-2"]);
        } else {
            story.violates("RESUME-10");
        }
    }
}

#[test]
fn an_empty_cursor_is_no_cursor() {
    let mut story = cut_after_three();
    let a = story.stream("e", presenting("", CursorClass::Empty));
    story.got(a, 1..=5);
    story.boundary(a);
    story.holds(&["RESUME-8"]);
}

#[test]
fn an_empty_cursor_that_is_refused_is_seen() {
    let mut story = cut_after_three();
    story.refused("e", presenting("", CursorClass::Empty), 400, "{}");
    story.violates("RESUME-8");
}

#[test]
fn a_document_that_holds_an_empty_cursor_may_be_refused_where_no_answer_is_promised() {
    let mut story = cut_after_three().under(|contract| drop(contract.answers.remove(&CursorClass::Empty)));
    story.profile.binding.subscribe.cursor = vec![CursorCarrier::BodyNumber("/seen".to_owned())];
    story.refused("e", presenting("", CursorClass::Empty), 400, "{}");
    assert_eq!(story.violated(), [""; 0]);
    assert!(matches!(story.finding("RESUME-8"), Finding::NotApplicable { .. }), "{:?}", story.finding("RESUME-8"));
}

#[test]
fn an_empty_cursor_taken_for_the_head_is_seen() {
    let mut story = cut_after_three();
    let a = story.stream("e", presenting("", CursorClass::Empty));
    story.boundary(a);
    story.publish([6]);
    story.got(a, [6]);
    story.violates("RESUME-8");
}

#[test]
fn an_empty_cursor_starts_with_what_stands_first_in_the_log_not_with_what_was_sent_first() {
    let mut story = Story::new();
    let (first, second) = (story.send(story.event(1)), story.send(story.event(2)));
    story.ack(first);
    story.ack(second);
    let a = story.stream("e", presenting("", CursorClass::Empty));
    story.got(a, [2, 1]);
    story.boundary(a);
    assert!(!story.violated().contains(&"RESUME-8".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_session_that_ends_meanwhile_owes_no_replay_where_its_end_takes_everything() {
    for replayed in [true, false] {
        let mut story = Story::new().under(|c| c.terminal.as_mut().unwrap().replayed = replayed);
        story.publish([1]);
        let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
        story.close(2);
        story.answer(a, 200, "");
        story.boundary(a);
        story.wait(a, 1, false);
        assert_eq!(story.violated().contains(&"RESUME-2".to_owned()), replayed, "{:?}", story.violated());
    }
}
