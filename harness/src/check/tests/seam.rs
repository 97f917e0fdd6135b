//! SEAM.

use crate::check::story::{Story, after};
use crate::contract::BoundarySent;
use crate::history::{ConnId, From, Role, Surface};

/// A reader asks; event 4 is published before it is live.
fn racing() -> (Story, ConnId) {
    let mut story = Story::new();
    story.publish(1..=3);
    let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    story.publish([4]);
    story.answer(a, 200, "");
    (story, a)
}

#[test]
fn an_event_published_in_the_seam_stands_on_either_side_of_it() {
    let (mut story, a) = racing();
    story.got(a, 1..=4);
    story.boundary(a);
    story.holds(&["SEAM-1", "SEAM-2", "SEAM-3", "SEAM-4"]);
    let (mut story, a) = racing();
    story.got(a, 1..=3);
    story.boundary(a);
    story.got(a, [4]);
    story.holds(&["SEAM-1", "SEAM-2", "SEAM-3", "SEAM-4"]);
}

#[test]
fn a_boundary_that_waits_for_what_is_published_meanwhile_is_seen_where_its_place_is_fixed() {
    for (fixed, violated) in [(true, true), (false, false)] {
        let mut story = Story::new().under(|c| c.boundary.as_mut().expect("sse has one").fixed = fixed);
        story.publish(1..=3);
        let a = story.stream("a", From::Start);
        story.got(a, 1..=2);
        story.publish([4]);
        story.got(a, 3..=4);
        story.boundary(a);
        assert_eq!(story.violated().contains(&"SEAM-4".to_owned()), violated, "fixed: {fixed}");
    }
}

#[test]
fn an_event_lost_in_the_seam_is_seen() {
    let (mut story, a) = racing();
    story.got(a, 1..=3);
    story.boundary(a);
    story.publish([5]);
    story.got(a, [5]);
    assert_eq!(story.violates("SEAM-1").len(), 1);
}

#[test]
fn an_event_lost_in_the_seam_is_seen_without_any_boundary() {
    let (mut story, a) = racing();
    story = story.under(|c| c.boundary = None);
    story.got(a, 1..=3);
    story.publish([5]);
    story.got(a, [5]);
    assert_eq!(story.violates("SEAM-1").len(), 1);
}

#[test]
fn an_event_sent_on_both_sides_of_the_seam_is_seen() {
    let (mut story, a) = racing();
    story.got(a, 1..=4);
    story.boundary(a);
    story.got(a, [4]);
    story.violates("SEAM-2");
}

#[test]
fn a_boundary_twice_is_seen() {
    let (mut story, a) = racing();
    story.got(a, 1..=4);
    story.boundary(a);
    story.boundary(a);
    story.violates("SEAM-3");
}

#[test]
fn a_live_event_without_any_boundary_before_it_is_seen() {
    let (mut story, a) = racing();
    story.got(a, 1..=4);
    story.publish([5]);
    story.got(a, [5]);
    story.violates("SEAM-3");
}

#[test]
fn a_connection_cut_before_its_boundary_owes_none() {
    let (mut story, a) = racing();
    story.got(a, 1..=2);
    story.cut(a);
    assert!(story.violated().is_empty());
}

#[test]
fn a_boundary_after_a_valid_resume_is_judged_by_the_contract() {
    let history = |with: bool| {
        let mut story = Story::new().under(|c| c.boundary.as_mut().unwrap().sent = BoundarySent::WithoutReplay);
        story.publish(1..=3);
        let a = story.stream("a", after(2));
        story.got(a, [3]);
        if with {
            story.boundary(a);
        }
        story.publish([4]);
        story.got(a, [4]);
        story
    };
    history(true).violates("SEAM-3");
    history(false).holds(&["SEAM-3"]);
}

#[test]
fn up_to_date_marks_may_come_again() {
    let (mut story, a) = racing();
    story = story.under(|c| c.boundary.as_mut().unwrap().sent = BoundarySent::AtLeastOnce);
    story.got(a, 1..=4);
    story.boundary(a);
    story.publish([5]);
    story.got(a, [5]);
    story.boundary(a);
    story.holds(&["SEAM-3", "SEAM-4"]);
}

#[test]
fn an_old_event_behind_the_boundary_is_seen() {
    let (mut story, a) = racing();
    story.got(a, 1..=2);
    story.boundary(a);
    story.got(a, 3..=4);
    story.violates("SEAM-4");
}

#[test]
fn a_new_event_before_the_boundary_is_seen() {
    let (mut story, a) = racing();
    story.got(a, 1..=4);
    story.publish([5]);
    story.got(a, [5]);
    story.boundary(a);
    story.publish([6]);
    story.got(a, [6]);
    story.holds(&["SEAM-3"]);
}

#[test]
fn a_boundary_before_everything_is_seen() {
    let mut story = Story::new();
    story.publish(1..=3);
    let a = story.stream("a", after(1));
    story.boundary(a);
    story.got(a, 2..=3);
    assert_eq!(story.violates("SEAM-4").len(), 2);
}
