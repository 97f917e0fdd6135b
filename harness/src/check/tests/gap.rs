//! GAP.

use crate::check::story::{Story, after, cursor_of, presenting};
use crate::contract::{AfterGap, GapSignal};
use crate::history::{ConnId, CursorClass, Ended, From, Kind, Retain, Role, Surface};

/// A session that keeps `records` events and had `events` published.
fn keeping(records: i64, events: u32) -> Story {
    let mut story = Story::new();
    story.open("kept", Some(Retain { records: Some(records), ..Retain::default() }), None);
    story.publish(1..=events);
    story
}

/// A start behind event `n` of session 1.
fn behind(n: u32) -> From {
    presenting(&cursor_of(1, n), CursorClass::Own)
}

fn gap(story: &mut Story, conn: ConnId, oldest: u32) {
    story.control(conn, Kind::Gap, Some(cursor_of(1, oldest)));
}

#[test]
fn an_evicted_cursor_is_told() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(3));
    gap(&mut story, a, 8);
    story.got(a, 8..=12);
    story.boundary(a);
    story.holds(&["GAP-1", "GAP-4", "GAP-6", "ORDER-3"]);
}

#[test]
fn an_evicted_cursor_answered_in_silence_is_seen() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(3));
    story.got(a, 8..=12);
    story.boundary(a);
    assert_eq!(story.violates("GAP-1")[0].shape, "silent");
}

#[test]
fn a_session_that_is_deleted_meanwhile_owes_no_gap_signal() {
    let mut story = keeping(1, 3);
    let a = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    story.delete();
    story.answer(a, 404, r#"{"error":"unknown"}"#);
    story.end(a, Ended::Done);
    story.holds(&[]);
}

#[test]
fn a_gap_signal_behind_the_first_event_comes_too_late() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(3));
    story.got(a, [8]);
    gap(&mut story, a, 9);
    story.got(a, 9..=12);
    story.boundary(a);
    story.violates("GAP-1");
}

#[test]
fn a_cursor_at_the_edge_of_what_is_kept_has_no_gap() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(7));
    story.got(a, 8..=12);
    story.boundary(a);
    story.holds(&["GAP-2", "RESUME-2"]);
}

#[test]
fn a_gap_signal_at_the_edge_is_a_false_one() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(7));
    gap(&mut story, a, 8);
    story.got(a, 8..=12);
    story.boundary(a);
    story.violates("GAP-2");
}

#[test]
fn a_gap_signal_for_the_head_is_a_false_one() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(12));
    gap(&mut story, a, 8);
    story.boundary(a);
    story.violates("GAP-2");
}

#[test]
fn a_start_without_cursor_is_told_where_the_contract_says_so() {
    let history = |told: bool, promised: bool| {
        let mut story = keeping(5, 12).under(|c| c.gap.as_mut().unwrap().on_start = promised);
        let a = story.stream("a", From::Start);
        if told {
            gap(&mut story, a, 8);
        }
        story.got(a, 8..=12);
        story.boundary(a);
        story
    };
    history(true, true).holds(&["GAP-1"]);
    history(false, true).violates("GAP-1");
    history(false, false).holds(&["GAP-4"]);
}

#[test]
fn evicting_while_the_reader_asks_may_go_either_way() {
    for told in [true, false] {
        let mut story = keeping(5, 10);
        let a = story.ask("a", crate::history::Surface::Stream, behind(5), Role::Plain);
        story.publish([11]);
        story.answer(a, 200, "");
        if told {
            gap(&mut story, a, 7);
            story.got(a, 7..=11);
        } else {
            story.got(a, 6..=11);
        }
        story.boundary(a);
        assert!(story.violated().is_empty(), "{:?}", story.violated());
    }
}

#[test]
fn a_gap_excuses_what_was_evicted_and_nothing_else() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(3));
    gap(&mut story, a, 8);
    story.got(a, [8, 9, 11, 12]);
    story.boundary(a);
    assert!(story.violated().contains(&"RESUME-2".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_gap_signal_that_names_another_event_than_follows_is_seen() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", behind(3));
    gap(&mut story, a, 4);
    story.got(a, 8..=12);
    story.boundary(a);
    story.violates("GAP-6");
}

#[test]
fn keeping_more_than_the_bound_is_seen() {
    let mut story = keeping(5, 12).under(|c| c.gap = None);
    let a = story.stream("a", From::Start);
    story.got(a, 6..=12);
    story.boundary(a);
    assert_eq!(story.violates("GAP-4")[0].shape, "too-many");
}

#[test]
fn slack_is_no_excess() {
    let mut story = keeping(5, 14).under(|c| {
        c.gap = None;
        c.retention.as_mut().unwrap().slack = 2;
    });
    let a = story.stream("a", From::Start);
    story.got(a, 8..=14);
    story.boundary(a);
    story.holds(&["GAP-4"]);
}

#[test]
fn keeping_less_than_the_bound_gives_one_verdict() {
    let mut story = keeping(5, 12);
    let a = story.stream("a", From::Start);
    gap(&mut story, a, 10);
    story.got(a, 10..=12);
    story.boundary(a);
    assert_eq!(story.violates("GAP-4")[0].shape, "too-few");
}

#[test]
fn expired_events_are_not_served() {
    let history = |served: bool| {
        let mut story = Story::new();
        story.open("aged", Some(Retain { age_ms: Some(300), ..Retain::default() }), None);
        story.publish(1..=3);
        story.pass(1_000);
        let a = story.stream("a", From::Start);
        if served {
            story.got(a, 1..=3);
        } else {
            gap(&mut story, a, 4);
        }
        story.boundary(a);
        story
    };
    history(true).violates("GAP-3");
    history(false).holds(&["GAP-3"]);
}

// Found by fuzzing on a busy machine: what was stored a moment ago was taken for old, since nobody had acknowledged it.
#[test]
fn an_event_without_acknowledgement_may_be_as_young_as_its_reader() {
    let mut story = Story::new();
    story.open("aged", Some(Retain { age_ms: Some(300), ..Retain::default() }), None);
    story.publish(1..=2);
    story.publish_unknown(3);
    story.pass(1_000);
    let a = story.stream("a", From::Start);
    gap(&mut story, a, 3);
    story.got(a, [3]);
    story.boundary(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn events_about_to_expire_are_not_judged() {
    let mut story = Story::new();
    story.open("aged", Some(Retain { age_ms: Some(300), ..Retain::default() }), None);
    story.publish(1..=3);
    story.pass(290);
    let a = story.stream("a", From::Start);
    story.got(a, [2, 3]);
    story.boundary(a);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_protocol_without_gap_signal_is_silent_by_right() {
    let mut story = keeping(5, 12).under(|c| c.gap = None);
    let a = story.stream("a", behind(3));
    story.got(a, 8..=12);
    story.boundary(a);
    story.holds(&["GAP-4"]);
}

#[test]
fn a_refusal_can_be_the_signal() {
    let history = |cursor: u32, refused: bool| {
        let mut story = keeping(5, 12).under(|c| {
            let gap = c.gap.as_mut().unwrap();
            (gap.signal, gap.on_start, gap.then) = (GapSignal::Refusal, false, AfterGap::End);
        });
        if refused {
            story.refused("a", behind(cursor), 410, "{}");
        } else {
            let a = story.stream("a", behind(cursor));
            story.got(a, (cursor + 1).max(8)..=12);
            story.boundary(a);
        }
        story
    };
    history(3, true).holds(&["GAP-1"]);
    history(3, false).violates("GAP-1");
    history(9, false).holds(&["GAP-2"]);
    let found = history(9, true).violated();
    assert!(found.contains(&"GAP-2".to_owned()) || found.contains(&"RESUME-3".to_owned()), "{found:?}");
}

/// Once, the refusal of a session that had been deleted was taken for a gap signal.
#[test]
fn a_refusal_of_a_deleted_session_is_no_gap_signal() {
    let history = |deleted: bool| {
        let mut story = Story::new().under(|c| {
            let gap = c.gap.as_mut().unwrap();
            (gap.signal, gap.then) = (GapSignal::Refusal, AfterGap::End);
        });
        story.publish(1..=3);
        if deleted {
            story.delete();
        }
        story.refused("a", after(1), 410, "{\"error\":\"gone\"}");
        story
    };
    history(true).holds(&[]);
    assert!(history(false).violated().contains(&"GAP-2".to_owned()));
}

/// Once, readers from the beginning were to be told of a gap by a refusal, which would keep them out for ever, and those
/// with an empty cursor although they ask for the beginning.
#[test]
fn a_reader_from_the_beginning_is_told_by_a_frame_alone() {
    for signal in [GapSignal::Frame, GapSignal::Refusal] {
        for empty in [false, true] {
            let mut story = keeping(5, 12).under(|c| {
                let gap = c.gap.as_mut().unwrap();
                (gap.signal, gap.on_start) = (signal, true);
            });
            let a = story.stream("a", if empty { presenting("", CursorClass::Empty) } else { From::Start });
            story.got(a, 8..=12);
            story.boundary(a);
            if signal == GapSignal::Frame { drop(story.violates("GAP-1")) } else { story.holds(&[]) }
        }
    }
    let mut story = keeping(5, 12).under(|c| c.gap.as_mut().unwrap().on_start = false);
    let a = story.stream("a", presenting("", CursorClass::Empty));
    story.got(a, 8..=12);
    story.boundary(a);
    story.holds(&[]);
}

/// Once, a session whose events a wipe had taken was expected to tell of a gap.
#[test]
fn what_a_stop_took_is_no_gap() {
    let history = |wiped: bool| {
        let mut story = keeping(1, 2);
        story.stop("KILL");
        story.start(wiped);
        story.refused("a", From::Start, 404, "{\"error\":\"unknown\"}");
        story
    };
    history(true).holds(&[]);
    assert!(history(false).violated().contains(&"GAP-1".to_owned()));
}

/// Once, a session that evicted while it was read was said to replay too few.
#[test]
fn an_eviction_between_head_and_replay_counts() {
    let history = |meanwhile: bool| {
        let mut story = keeping(4, 8);
        let a = story.stream("a", From::Start);
        if meanwhile {
            story.publish(9..=9);
        }
        gap(&mut story, a, 6);
        story.got(a, 6..=8);
        story.boundary(a);
        story
    };
    history(true).holds(&[]);
    assert!(history(false).violated().contains(&"GAP-4".to_owned()));
}

#[test]
fn a_session_that_keeps_everything_has_no_gaps() {
    let mut story = Story::new();
    story.publish(1..=3);
    let a = story.stream("a", after(1));
    story.control(a, Kind::Gap, Some(cursor_of(0, 2)));
    story.got(a, 2..=3);
    story.boundary(a);
    story.violates("GAP-2");
}

#[test]
fn a_senseless_bound_is_refused() {
    use crate::history::{Action, Outcome, SessionIx};
    let refused = || Outcome::Failed { status: 400, body: "{}".to_owned() };
    let broken = || Outcome::Failed { status: 500, body: "{}".to_owned() };
    for (outcome, right) in [(refused(), true), (broken(), false), (Outcome::Ok { status: 201, cursor: None }, false)] {
        let mut story = Story::new();
        story.act(Action::Open { session: SessionIx(0), refuse: true }, outcome);
        if right { story.holds(&["GAP-5"]) } else { assert_eq!(story.violates("GAP-5").len(), 1) }
    }
}

/// Once, an event was called evicted when as many others had been sent after it, also those that were in flight together
/// with it and may have been stored before it.
#[test]
fn events_in_flight_together_may_be_evicted_in_any_order() {
    for kept in [[2, 3], [1, 3], [1, 2]] {
        let mut story = Story::new().under(|c| c.cursor.as_mut().unwrap().order = crate::contract::CursorOrder::Opaque);
        story.open("kept", Some(Retain { records: Some(2), ..Retain::default() }), None);
        let ops = [1, 2, 3].map(|n| story.send(story.event(n)));
        for op in ops {
            story.ack(op);
        }
        let a = story.stream("a", From::Start);
        gap(&mut story, a, kept[0]);
        story.got(a, kept);
        story.boundary(a);
        story.holds(&["GAP-4", "GAP-6"]);
    }
}
