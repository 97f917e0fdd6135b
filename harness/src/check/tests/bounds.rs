//! What retention takes in the course of a run, and what looks like a loss: histories that a right server writes.

use crate::check::story::{Story, cursor_of, presenting};
use crate::history::{Action, CursorClass, From, Invoke, Kind, OpId, Outcome, Retain, Role, SessionIx, Surface, What};

fn bounded(records: Option<i64>, age_ms: Option<i64>) -> Story {
    let mut story = Story::new();
    story.open("t", Some(Retain { records, age_ms, bytes: None }), None);
    story
}

fn alarms(story: &Story, of: &[&str]) -> Vec<String> {
    story.violated().into_iter().filter(|id| of.contains(&id.as_str())).collect()
}

#[test]
fn a_live_event_that_expires_before_it_is_sent_is_a_gap() {
    for (passes, alarm) in [(400, false), (10, true)] {
        let mut story = bounded(None, Some(200));
        story.publish(1..=1);
        let a = story.stream("a", presenting(&cursor_of(1, 1), CursorClass::Own));
        story.publish(2..=2);
        story.pass(passes);
        story.control(a, Kind::Gap, None);
        story.boundary(a);
        assert_eq!(!alarms(&story, &["GAP-2"]).is_empty(), alarm, "after {passes} ms");
    }
}

#[test]
fn what_is_published_before_the_server_looks_may_evict_what_the_reader_asked_for() {
    for (more, alarm) in [(true, false), (false, true)] {
        let mut story = bounded(Some(2), None);
        story.publish(1..=2);
        let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
        if more {
            story.publish(3..=3);
        }
        story.answer(a, 200, "");
        story.control(a, Kind::Gap, None);
        story.got(a, if more { 2..=3 } else { 1..=2 });
        story.boundary(a);
        assert_eq!(!alarms(&story, &["GAP-2"]).is_empty(), alarm, "more: {more}");
    }
}

#[test]
fn a_terminal_may_take_the_place_of_an_event() {
    for (records, alarm) in [(1, false), (2, true)] {
        let mut story = bounded(Some(records), None);
        story.publish(1..=1);
        let op = OpId(1);
        story.push(What::Invoke(Box::new(Invoke { op, action: Action::Close { session: SessionIx(1), by_stop: false } })));
        story.complete(op, Outcome::Ok { status: 200, cursor: None });
        let page = story.ask("snapshot-1", Surface::Snapshot, From::Start, Role::Plain);
        story.answer(page, 200, "");
        story.got_but(page, 1, |d| (d.kind, d.marker, d.body) = (Kind::Commit, None, None));
        assert_eq!(!alarms(&story, &["SNAPSHOT-1"]).is_empty(), alarm, "{records} are kept");
    }
}
