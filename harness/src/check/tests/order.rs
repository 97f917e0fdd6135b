//! ORDER.

use crate::check::story::{Story, after, cursor_of};
use crate::contract::CursorOrder;
use crate::history::{From, Role, Surface, View};

#[test]
fn an_event_before_one_acknowledged_earlier_breaks_real_time() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=3);
    story.got(a, [1, 3, 2]);
    story.violates("ORDER-1");
}

#[test]
fn concurrent_events_have_either_order() {
    for order in [[1, 2], [2, 1]] {
        let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().dense = false);
        let a = story.stream("a", From::Start);
        story.boundary(a);
        let (one, two) = (story.send(story.event(1)), story.send(story.event(2)));
        let cursor = |n: u32| Some(cursor_of(0, if n == order[0] { 1 } else { 2 }));
        for (op, n) in [(one, 1), (two, 2)] {
            story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: cursor(n) });
        }
        for n in order {
            story.got_but(a, n, |d| d.cursor = cursor(n));
        }
        story.holds(&["ORDER-1", "ORDER-2", "ORDER-3", "ORDER-4", "ORDER-5"]);
    }
}

#[test]
fn two_readers_with_two_orders_disagree() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().order = CursorOrder::Opaque);
    let a = story.stream_as("w", From::Start, Role::Witness);
    let b = story.stream("b", From::Start);
    story.boundary(a);
    story.boundary(b);
    let (one, two) = (story.send(story.event(1)), story.send(story.event(2)));
    story.ack(one);
    story.ack(two);
    story.got(a, [1, 2]);
    story.got(b, [2, 1]);
    let found = story.violates("ORDER-2");
    assert!(found[0].says.starts_with("b#1"), "{}", found[0].says);
}

#[test]
fn a_history_with_another_order_than_the_stream_disagrees() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().order = CursorOrder::Opaque);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    let (one, two) = (story.send(story.event(1)), story.send(story.event(2)));
    story.ack(one);
    story.ack(two);
    story.got(a, [1, 2]);
    story.read(Surface::History, [2, 1]);
    story.violates("ORDER-2");
}

#[test]
fn cursors_that_fall_break_the_order() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().dense = false);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    let ops = [story.send(story.event(1)), story.send(story.event(2))];
    for (op, number) in ops.into_iter().zip([9, 4]) {
        story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, number)) });
    }
    story.got_but(a, 1, |d| d.cursor = Some(cursor_of(0, 9)));
    story.got_but(a, 2, |d| d.cursor = Some(cursor_of(0, 4)));
    story.violates("ORDER-3");
}

#[test]
fn numbers_are_compared_as_numbers() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=12);
    story.got(a, 1..=12);
    story.holds(&["ORDER-3"]);
}

#[test]
fn a_hole_in_dense_numbers_is_seen() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    let op = story.send(story.event(1));
    story.ack(op);
    let op = story.send(story.event(2));
    story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 3)) });
    story.got(a, [1]);
    story.got_but(a, 2, |d| d.cursor = Some(cursor_of(0, 3)));
    story.violates("ORDER-3");
}

/// A later text may have a lower number: there is nothing to be counted between the two.
#[test]
fn numbers_of_two_epochs_have_no_hole_between_them() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().order = CursorOrder::Text);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    for (n, cursor) in [(1, "a-9"), (2, "b-5")] {
        let op = story.send(story.event(n));
        story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor.into()) });
        story.got_but(a, n, |d| d.cursor = Some(cursor.into()));
    }
    story.holds(&["ORDER-3"]);
}

/// As it can be in a file that somebody has edited.
#[test]
fn an_event_that_names_another_session_goes_on_with_no_stretch() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish([1]);
    let mut stranger = story.event(2);
    stranger.marker.session = 7;
    let (marker, body) = (Some(stranger.marker), Some(stranger.body.clone()));
    let op = story.send(stranger);
    story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 2)) });
    story.got(a, [1]);
    story.got_but(a, 2, |d| (d.marker, d.body) = (marker, body));
    let history = story.history();
    let view = View::of(&history);
    assert_eq!((view.conns[0].got.len(), view.conns[0].arrivals().count()), (3, 1));
}

#[test]
fn a_hole_is_legal_where_numbers_are_not_dense() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().dense = false);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    let op = story.send(story.event(1));
    story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 5)) });
    let op = story.send(story.event(2));
    story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 8)) });
    story.got_but(a, 1, |d| d.cursor = Some(cursor_of(0, 5)));
    story.got_but(a, 2, |d| d.cursor = Some(cursor_of(0, 8)));
    story.holds(&["ORDER-3"]);
}

#[test]
fn a_number_may_be_used_up_by_an_event_without_answer() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish([1]);
    story.publish_unknown(2);
    story.publish([3]);
    story.got(a, 1..=3);
    story.holds(&["ORDER-3"]);
}

#[test]
fn one_cursor_for_two_events_is_seen() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().order = CursorOrder::Opaque);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    let ops = [story.send(story.event(1)), story.send(story.event(2))];
    for op in ops {
        story.complete(op, crate::history::Outcome::Ok { status: 201, cursor: Some(cursor_of(0, 1)) });
    }
    story.got_but(a, 1, |d| d.cursor = Some(cursor_of(0, 1)));
    story.got_but(a, 2, |d| d.cursor = Some(cursor_of(0, 1)));
    story.violates("ORDER-4");
}

#[test]
fn a_cursor_that_depends_on_the_connection_is_seen() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=3);
    story.got(a, 1..=3);
    story.cut(a);
    let again = story.stream("a", after(2));
    story.got_but(again, 3, |d| d.cursor = Some(cursor_of(0, 7)));
    story.boundary(again);
    story.violates("ORDER-5");
}

#[test]
fn a_contract_without_stable_cursors_allows_that() {
    let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().stable = false);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=3);
    story.got(a, 1..=3);
    story.cut(a);
    let again = story.stream("a", after(2));
    story.got_but(again, 3, |d| d.cursor = Some(cursor_of(0, 7)));
    story.boundary(again);
    story.holds(&["ORDER-4"]);
}

#[test]
fn a_durable_event_without_cursor_is_seen() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=2);
    story.got(a, [1]);
    story.got_but(a, 2, |d| d.cursor = None);
    story.violates("ORDER-6");
}

#[test]
fn an_ephemeral_event_needs_no_cursor() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish([1]);
    let op = story.send(crate::history::Publish { durable: false, ..story.event(2) });
    story.ack(op);
    story.publish([3]);
    story.got(a, [1, 2]);
    story.got_but(a, 3, |d| d.cursor = Some(cursor_of(0, 3)));
    assert!(!story.violated().contains(&"ORDER-6".to_owned()));
}
