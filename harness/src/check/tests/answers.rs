//! RESUME-3 to RESUME-7 and ISOLATE-3.

use crate::check::Finding;
use crate::check::story::{Story, after, cursor_of, presenting};
use crate::contract::{CursorAnswer, StreamAnswer};
use crate::history::{CursorClass, Ended, From, Kind, Marker, Role, Surface};

const FOREIGN: [(CursorClass, &str, &str, u16); 4] = [
    (CursorClass::Malformed, "RESUME-7", "x", 400),
    (CursorClass::Ahead, "RESUME-4", "00000000:99", 409),
    (CursorClass::OtherSession, "RESUME-5", "00000001:1", 410),
    (CursorClass::OtherEpoch, "RESUME-6", "0000ffff:1", 410),
];

fn published() -> Story {
    let mut story = Story::new();
    story.publish(1..=3);
    story
}

#[test]
fn the_promised_refusal_is_right_and_another_is_not() {
    for (class, requirement, cursor, status) in FOREIGN {
        let mut story = published();
        story.refused("a", presenting(cursor, class), status, "{}");
        story.holds(&[requirement]);
        let mut story = published();
        story.refused("a", presenting(cursor, class), 422, "{}");
        story.violates(requirement);
        let mut story = published();
        story.delete();
        story.refused("a", presenting(cursor, class), 404, "{}");
        story.holds(&["OPEN-2"]);
    }
}

#[test]
fn a_foreign_cursor_that_is_let_in_gives_one_verdict() {
    for (class, requirement, cursor, _) in FOREIGN {
        let mut story = published();
        let a = story.stream("a", presenting(cursor, class));
        story.got(a, [2, 3]);
        story.boundary(a);
        story.violates(requirement);
    }
}

#[test]
fn a_cursor_that_must_be_refused_is_not_left_without_an_answer() {
    for (class, requirement, cursor, _) in FOREIGN {
        for (waited, violated) in [(1_000, 0), (10_000, 1)] {
            let mut story = published();
            let a = story.ask("a", Surface::Stream, presenting(cursor, class), Role::Plain);
            story.pass(waited);
            story.end(a, Ended::Ours);
            assert_eq!(story.violated().iter().filter(|id| *id == requirement).count(), violated, "{requirement} after {waited} ms");
        }
    }
}

#[test]
fn a_class_without_promise_is_not_judged() {
    for (class, _, cursor, _) in FOREIGN {
        let mut story = published().under(|c| c.answers.clear());
        let a = story.stream("a", presenting(cursor, class));
        story.got(a, [3]);
        story.boundary(a);
        assert!(story.violated().is_empty());
    }
}

fn ahead(answer: StreamAnswer) -> Story {
    published().under(|c| {
        c.answers.insert(CursorClass::Ahead, CursorAnswer::Stream(answer));
    })
}

#[test]
fn a_cursor_ahead_swallows_nothing() {
    let mut story = ahead(StreamAnswer::Live);
    let a = story.stream("a", presenting("00000000:99", CursorClass::Ahead));
    story.boundary(a);
    story.publish(4..=5);
    story.got(a, 4..=5);
    story.pass(5_000);
    story.cut(a);
    story.holds(&["RESUME-4"]);
}

#[test]
fn a_cursor_ahead_that_filters_what_is_new_is_seen() {
    let mut story = ahead(StreamAnswer::Live);
    let a = story.stream("a", presenting("00000000:99", CursorClass::Ahead));
    story.boundary(a);
    story.publish([4]);
    story.wait(a, 4, false);
    story.cut(a);
    assert_eq!(story.violates("RESUME-4")[0].shape, "swallowed");
}

#[test]
fn a_connection_that_was_cut_at_once_swallowed_nothing() {
    let mut story = ahead(StreamAnswer::Live);
    let a = story.stream("a", presenting("00000000:99", CursorClass::Ahead));
    story.boundary(a);
    story.publish([4]);
    story.cut(a);
    story.holds(&["RESUME-4"]);
}

#[test]
fn a_promised_start_begins_with_the_oldest() {
    for (events, right) in [(1..=3, true), (2..=3, false)] {
        let mut story = ahead(StreamAnswer::Start);
        let a = story.stream("a", presenting("00000000:99", CursorClass::Ahead));
        story.got(a, events);
        story.boundary(a);
        if right { story.holds(&["RESUME-4"]) } else { assert_eq!(story.violates("RESUME-4").len(), 1) }
    }
}

#[test]
fn a_promised_gap_signal_is_sent() {
    let mut story = ahead(StreamAnswer::Gap);
    let a = story.stream("a", presenting("00000000:99", CursorClass::Ahead));
    story.control(a, Kind::Gap, Some(cursor_of(0, 1)));
    story.got(a, 1..=3);
    story.boundary(a);
    story.holds(&["RESUME-4"]);
    let mut story = ahead(StreamAnswer::Gap);
    let a = story.stream("a", presenting("00000000:99", CursorClass::Ahead));
    story.got(a, 1..=3);
    story.boundary(a);
    story.violates("RESUME-4");
}

#[test]
fn an_own_cursor_that_is_refused_is_seen() {
    let mut story = published();
    story.refused("a", after(2), 400, "{}");
    story.violates("RESUME-3");
}

#[test]
fn a_synthetic_id_that_is_no_resume_point_is_seen() {
    let mut story = published();
    let a = story.stream("a", From::Start);
    story.got(a, 1..=3);
    story.got_but(a, 0, |d| (d.kind, d.cursor, d.marker, d.body) = (Kind::Other, Some("note-1".into()), None, None));
    story.boundary(a);
    story.cut(a);
    story.refused("a", presenting("note-1", CursorClass::Synthetic), 400, "{}");
    assert_eq!(story.violates("RESUME-3")[0].shape, "synthetic");
}

#[test]
fn a_synthetic_id_that_is_kept_is_right() {
    let mut story = published();
    let a = story.stream("a", From::Start);
    story.got(a, 1..=3);
    story.got_but(a, 0, |d| (d.kind, d.cursor, d.marker, d.body) = (Kind::Other, Some("note-1".into()), None, None));
    story.boundary(a);
    story.cut(a);
    story.publish([4]);
    let a = story.stream("a", presenting("note-1", CursorClass::Synthetic));
    story.got(a, [4]);
    story.boundary(a);
    story.holds(&["RESUME-3"]);
}

#[test]
fn the_cursor_of_a_session_that_was_forgotten_is_judged_by_the_restart() {
    let mut story = published();
    let a = story.stream("a", From::Start);
    story.got(a, 1..=3);
    story.boundary(a);
    story.restart("KILL");
    story.refused("a", after(3), 404, "{}");
    assert!(!story.violated().contains(&"RESUME-3".to_owned()));
}

#[test]
fn a_refusal_that_quotes_the_other_session_is_seen() {
    for (body, right) in
        [("{\"error\":\"unknown\"}", true), ("{\"was\":\"«s1.1» word\"}", false), ("{\"was\":\"\\u00abs1.1\\u00bb\"}", false)]
    {
        let mut story = Story::new();
        story.open("t", None, None);
        story.publish([1]);
        story.turn_to(0);
        story.publish([1]);
        story.refused("a", presenting("00000001:1", CursorClass::OtherSession), 410, body);
        if right { story.holds(&["ISOLATE-3", "RESUME-5"]) } else { assert_eq!(story.violates("ISOLATE-3").len(), 1) }
    }
}

#[test]
fn a_foreign_cursor_that_opens_the_other_sessions_stream_is_seen() {
    for right in [true, false] {
        let answer = CursorAnswer::Stream(StreamAnswer::Start);
        let mut story = Story::new().under(|contract| drop(contract.answers.insert(CursorClass::OtherSession, answer)));
        story.open("t", None, None);
        story.publish([1]);
        story.turn_to(0);
        story.publish([1]);
        let a = story.stream("a", presenting("00000001:1", CursorClass::OtherSession));
        story.got(a, [1]);
        if !right {
            story.got_but(a, 1, |d| d.marker = Some(Marker { session: 1, n: 1 }));
        }
        story.boundary(a);
        if right { story.holds(&["ISOLATE-3"]) } else { assert_eq!(story.violates("ISOLATE-2").len(), 1) }
    }
}

#[test]
fn a_foreign_cursor_that_nothing_is_promised_of_and_nothing_follows_leaves_no_doubt() {
    let mut story = Story::new().under(|contract| drop(contract.answers.remove(&CursorClass::OtherSession)));
    story.open("t", None, None);
    story.publish([1]);
    story.turn_to(0);
    story.publish([1]);
    let a = story.stream("a", presenting("00000001:1", CursorClass::OtherSession));
    story.boundary(a);
    assert!(matches!(story.finding("ISOLATE-3"), Finding::NotApplicable { .. }), "{:?}", story.finding("ISOLATE-3"));
    story.refused("b", presenting("00000001:1", CursorClass::OtherSession), 410, "{\"last\":\"«s1.1»\"}");
    assert_eq!(story.violates("ISOLATE-3").len(), 1);
}
