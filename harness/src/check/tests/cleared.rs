//! Events that an operation removes, and protocols whose gap signal is the boundary.

use crate::check::order::ascends;
use crate::check::story::{Story, after, cursor_of, presenting};
use crate::contract::{AfterGap, BoundaryContract, BoundarySent, CursorOrder, GapContract, GapSignal};
use crate::history::{Action, CursorClass, Outcome, Retain, SessionIx};

/// A session under a contract whose only sign is a boundary where nothing is replayed.
fn story() -> Story {
    Story::new().under(|contract| {
        contract.gap = Some(GapContract { signal: GapSignal::Boundary, on_start: false, then: AfterGap::Live });
        contract.boundary = Some(BoundaryContract { sent: BoundarySent::WithoutReplay, fixed: false });
    })
}

fn clear(story: &mut Story) {
    let dispose = Action::Custom { name: "dispose".to_owned(), session: Some(SessionIx(0)), clears: vec![SessionIx(0)] };
    story.act(dispose, Outcome::Ok { status: 200, cursor: None });
}

#[test]
fn removed_events_are_owed_no_more_and_need_no_signal() {
    let mut story = story();
    story.publish(1..=4);
    clear(&mut story);
    story.publish(5..=6);
    let a = story.stream("a", after(2));
    story.got(a, 5..=6);
    story.holds(&["GAP-3", "RESUME-2"]);
}

#[test]
fn removed_events_that_come_back_are_seen() {
    let mut story = story();
    story.publish(1..=4);
    clear(&mut story);
    story.publish(5..=6);
    let a = story.stream("a", after(2));
    story.got(a, 3..=6);
    assert_eq!(story.violates("GAP-3").len(), 2);
}

#[test]
fn what_came_after_a_removal_is_owed_as_ever() {
    let mut story = story();
    story.publish(1..=4);
    clear(&mut story);
    story.publish(5..=8);
    let a = story.stream("a", after(5));
    story.got(a, [6, 8]);
    story.violates("RESUME-2");
}

#[test]
fn a_boundary_that_stands_for_a_gap_is_no_boundary_too_many() {
    let mut story = story();
    story.open("kept", Some(Retain { records: Some(5), ..Retain::default() }), None);
    story.publish(1..=12);
    let a = story.stream("a", presenting(&cursor_of(1, 3), CursorClass::Own));
    story.boundary(a);
    story.publish([13]);
    story.got(a, [13]);
    story.holds(&["GAP-1", "GAP-4", "SEAM-3"]);
}

#[test]
fn a_partial_replay_behind_the_signal_is_seen() {
    let mut story = story();
    story.open("kept", Some(Retain { records: Some(5), ..Retain::default() }), None);
    story.publish(1..=12);
    let a = story.stream("a", presenting(&cursor_of(1, 3), CursorClass::Own));
    story.got(a, 8..=12);
    story.publish([13]);
    story.got(a, [13]);
    story.violates("GAP-1");
}

#[test]
fn numbers_of_two_epochs_do_not_compare() {
    let compare = |before, now| ascends(CursorOrder::Number, before, now);
    assert_eq!((compare("a:7", "a:8"), compare("a:8", "a:7")), (Some(true), Some(false)));
    assert_eq!(compare("a:7", "b:1"), None);
}
