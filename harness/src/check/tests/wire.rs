//! WIRE.

use crate::check::story::Story;
use crate::history::{Answer, Body, ConnId, End, Ended, From, Kind, Opinion, Outcome, Publish, Role, Surface, Until, What};

/// A live reader that got event 1.
fn reading() -> (Story, ConnId) {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish([1]);
    story.got(a, [1]);
    (story, a)
}

/// A stream with these headers.
fn announced(content_type: &str, cache_control: Option<&str>) -> Story {
    let mut story = Story::new();
    let conn = story.ask("a", Surface::Stream, From::Start, Role::Plain);
    let (content_type, cache_control) = (Some(content_type.into()), cache_control.map(Into::into));
    story.push(What::Answer(Box::new(Answer { conn, status: 200, accepted: true, content_type, cache_control, body: String::new() })));
    story.boundary(conn);
    story
}

#[test]
fn the_media_type_is_that_of_the_format() {
    announced("text/event-stream; charset=utf-8", Some("no-cache")).holds(&["WIRE-1"]);
    announced("Text/Event-Stream", Some("no-cache")).holds(&["WIRE-1"]);
    announced("application/json", Some("no-cache")).violates("WIRE-1");
}

#[test]
fn a_stream_is_not_cached() {
    announced("text/event-stream", Some("private, No-Store")).holds(&["WIRE-4"]);
    announced("text/event-stream", Some("max-age=60")).violates("WIRE-4");
    announced("text/event-stream", None).violates("WIRE-4");
}

#[test]
fn an_error_of_the_lint_is_seen_and_a_warning_is_not() {
    let (mut story, a) = reading();
    story.lint(a, "SSE-5", true);
    story.violates("WIRE-2");
    let (mut story, a) = reading();
    story.lint(a, "SSE-23", false);
    story.holds(&["WIRE-2"]);
}

#[test]
fn an_opinion_that_differs_is_seen() {
    for differs in [None, Some("event 2 has no id".to_owned())] {
        let (mut story, conn) = reading();
        let right = differs.is_none();
        story.push(What::Opinion(Opinion { conn, events: 1, differs }));
        if right { story.holds(&["WIRE-6"]) } else { assert_eq!(story.violates("WIRE-6").len(), 1) }
    }
}

#[test]
fn an_opinion_on_a_broken_stream_says_nothing() {
    let (mut story, conn) = reading();
    story.lint(conn, "SSE-17", false);
    story.push(What::Opinion(Opinion { conn, events: 1, differs: Some("event 2 has no id".to_owned()) }));
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

fn torn(how: Ended) -> Story {
    let (mut story, conn) = reading();
    story.push(What::End(End { conn, how, unfinished: 12 }));
    story
}

#[test]
fn an_end_inside_a_frame_is_seen() {
    torn(Ended::Eof).violates("WIRE-7");
    let (mut story, a) = reading();
    story.end(a, Ended::Eof);
    story.holds(&["WIRE-7"]);
}

#[test]
fn an_end_inside_a_frame_that_the_server_did_not_choose_says_nothing() {
    assert!(torn(Ended::Ours).violated().is_empty());
    assert!(torn(Ended::Broken { why: "reset".to_owned() }).violated().is_empty());
    let (mut story, conn) = reading();
    story.fault(conn, "cut by FIN");
    story.push(What::End(End { conn, how: Ended::Eof, unfinished: 12 }));
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

/// A live reader, and the publish of a hostile event 1 with `text`.
fn hostile(text: &str, hostile_type: bool) -> (Story, ConnId) {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    let publish = story.event(1);
    let body = Body::of(&format!("{}{text}", publish.marker));
    let op = story.send(Publish { body, hostile: true, hostile_type, ..publish });
    story.ack(op);
    (story, a)
}

#[test]
fn a_hostile_payload_in_an_intact_frame_is_right() {
    let (mut story, a) = hostile("one\u{2028}two\r\nthree", false);
    story.got(a, [1]);
    story.holds(&["WIRE-3", "DELIVER-4"]);
}

#[test]
fn a_payload_that_ends_at_its_own_line_break_is_seen() {
    let (mut story, a) = hostile("one\u{2028}two", false);
    story.got_but(a, 1, |d| d.body = Some(Body::of("«s0.1»one")));
    assert!(story.violated().contains(&"WIRE-3".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_payload_whose_rest_became_a_field_is_seen() {
    let (mut story, a) = hostile("one\ntwo", false);
    story.lint(a, "SSE-17", false);
    story.got_but(a, 1, |d| d.body = Some(Body::of("«s0.1»one")));
    story.violates("WIRE-3");
}

#[test]
fn a_hostile_payload_altered_in_a_whole_frame_is_no_matter_of_framing() {
    let (mut story, a) = hostile("one\u{0}two", false);
    story.got_but(a, 1, |d| d.body = Some(Body::of("«s0.1»one two")));
    story.violates("DELIVER-4");
}

#[test]
fn a_hostile_type_is_refused_or_harmless() {
    let mut story = Story::new();
    let publish = Publish { hostile: true, hostile_type: true, ..story.event(1) };
    let op = story.send(publish);
    story.complete(op, Outcome::Failed { status: 400, body: "{}".to_owned() });
    story.holds(&["WIRE-8"]);
    let (mut story, a) = hostile("word", true);
    story.got(a, [1]);
    story.holds(&["WIRE-8"]);
}

#[test]
fn a_hostile_type_that_breaks_its_frame_is_seen() {
    let (mut story, a) = hostile("word", true);
    story.lint(a, "SSE-17", false);
    story.got(a, [1]);
    story.violates("WIRE-8");
}

#[test]
fn nul_in_an_id_is_seen() {
    let (mut story, a) = reading();
    story.lint(a, "SSE-21", false);
    story.violates("WIRE-8");
}

#[test]
fn heartbeats_in_time_are_right() {
    let (mut story, a) = reading();
    story.beats(a, 10, 500);
    story.holds(&["WIRE-5", "EPHEMERAL-4"]);
}

#[test]
fn a_silent_stream_is_seen() {
    let (mut story, a) = reading();
    story.pass(4_000);
    story.publish([2]);
    story.got(a, [2]);
    story.violates("WIRE-5");
}

#[test]
fn a_heartbeat_waited_for_in_vain_is_seen() {
    let (mut story, a) = reading();
    story.wait_in_vain(a, Until::Heartbeat, 2_000);
    story.violates("WIRE-5");
    let (mut story, a) = reading();
    story.wait_in_vain(a, Until::Heartbeat, 700);
    assert!(story.violated().is_empty(), "less than two intervals: {:?}", story.violated());
}

#[test]
fn a_cut_on_command_excuses_what_comes_after_it_alone() {
    let (mut story, a) = reading();
    story.wait_in_vain(a, Until::Heartbeat, 2_000);
    story.fault(a, "closed now");
    story.end(a, Ended::Ours);
    story.violates("WIRE-5");
    let (mut story, a) = reading();
    story.fault(a, "silenced now");
    story.wait_in_vain(a, Until::Heartbeat, 2_000);
    story.end(a, Ended::Ours);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_paused_server_may_be_silent() {
    let (mut story, a) = reading();
    story.push(What::Process(crate::history::Process::Signal { name: "STOP".to_owned() }));
    story.pass(4_000);
    story.push(What::Process(crate::history::Process::Signal { name: "CONT".to_owned() }));
    story.control(a, Kind::Heartbeat, None);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}
