//! OPEN.

use crate::check::story::{Story, after};
use crate::history::{Action, Ended, From, Outcome, Probe, SessionIx, Until};

fn probe(story: &mut Story, about: Probe, status: u16, body: &str) {
    let outcome = match status {
        200..=299 => Outcome::Ok { status, cursor: None },
        _ => Outcome::Failed { status, body: body.to_owned() },
    };
    story.act(Action::Probe { about, session: None }, outcome);
}

#[test]
fn probes_that_are_refused_are_right() {
    let mut story = Story::new();
    probe(&mut story, Probe::UnknownSession, 404, "{}");
    probe(&mut story, Probe::PublishUnknown, 404, "{}");
    probe(&mut story, Probe::WrongMethod, 405, "");
    story.holds(&["OPEN-1", "OPEN-3", "OPEN-4", "OPEN-5"]);
}

#[test]
fn probes_that_are_let_in_are_seen() {
    for (about, requirement) in [(Probe::UnknownSession, "OPEN-1"), (Probe::WrongMethod, "OPEN-4"), (Probe::PublishUnknown, "OPEN-5")] {
        for status in [200, 500] {
            let mut story = Story::new();
            probe(&mut story, about, status, "{}");
            story.violates(requirement);
        }
    }
}

#[test]
fn the_promised_status_alone_is_right() {
    let mut story = Story::new();
    probe(&mut story, Probe::UnknownSession, 410, "{}");
    story.violates("OPEN-1");
    let mut story = Story::new().under(|c| c.unknown_session = None);
    probe(&mut story, Probe::UnknownSession, 410, "{}");
    story.holds(&["OPEN-1"]);
}

#[test]
fn a_profile_that_creates_on_use_refuses_no_session() {
    let mut story = Story::new().under(|c| c.creates_on_use = true);
    probe(&mut story, Probe::UnknownSession, 200, "");
    probe(&mut story, Probe::PublishUnknown, 201, "");
    story.publish([1]);
    story.delete();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_deleted_session_that_still_streams_is_seen() {
    let mut story = Story::new();
    story.publish([1]);
    story.delete();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    assert_eq!(story.violates("OPEN-2")[0].shape, "still-open");
}

#[test]
fn a_deleted_session_ends_its_streams_and_refuses_new_ones() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish([1]);
    story.got(a, [1]);
    story.delete();
    story.end(a, Ended::Eof);
    story.refused("a", after(1), 404, "{}");
    story.holds(&["OPEN-2", "OPEN-3"]);
}

#[test]
fn a_stream_that_outlives_its_session_is_seen() {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.delete();
    story.wait_in_vain(a, Until::Closed, 2_500);
    assert_eq!(story.violates("OPEN-2")[0].shape, "stream-stays");
}

#[test]
fn a_session_under_the_name_of_a_deleted_one_answers_in_its_stead() {
    let mut story = Story::new();
    story.publish([1]);
    story.delete();
    story.open("again", None, Some(0));
    story.turn_to(0);
    let a = story.stream("a", From::Start);
    story.boundary(a);
    assert!(!story.violated().contains(&"OPEN-2".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_refusal_without_a_reason_is_seen() {
    for (body, shape) in [("", "empty"), ("<html>Not found</html>", "html")] {
        let mut story = Story::new();
        story.refused("a", crate::check::story::presenting("x", crate::history::CursorClass::Malformed), 400, body);
        assert_eq!(story.violates("OPEN-3")[0].shape, shape);
    }
}

#[test]
fn an_unanswered_probe_decides_nothing() {
    let mut story = Story::new();
    let about = Action::Probe { about: Probe::UnknownSession, session: Some(SessionIx(0)) };
    story.act(about, Outcome::Unknown { why: "reset".to_owned() });
    assert!(matches!(story.finding("OPEN-1"), crate::check::Finding::Inconclusive { .. }));
}
