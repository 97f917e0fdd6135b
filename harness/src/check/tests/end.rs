//! END. The terminal of a session with events 1 to n has the number n + 1.

use crate::check::story::{Story, after, cursor_of, presenting};
use crate::contract::{AfterGap, Format};
use crate::history::{Action, ConnId, CursorClass, Ended, From, Kind, OpId, Outcome, Publish, Retain, Surface, Until};

/// A live reader that got events 1 to 3.
fn reading() -> (Story, ConnId) {
    let mut story = Story::new();
    let a = story.stream("a", From::Start);
    story.boundary(a);
    story.publish(1..=3);
    story.got(a, 1..=3);
    (story, a)
}

/// A session with three events that was closed while a reader was there.
fn closed() -> Story {
    let (mut story, a) = reading();
    story.close(4);
    story.terminal(a, 4);
    story.end(a, Ended::Eof);
    story
}

#[test]
fn a_session_that_ends_as_it_should_is_right() {
    let mut story = closed();
    let b = story.stream("b", after(2));
    story.got(b, [3]);
    story.terminal(b, 4);
    story.end(b, Ended::Eof);
    let c = story.ask("c", Surface::Stream, after(4), crate::history::Role::Plain);
    story.answer(c, 204, "");
    story.end(c, Ended::Done);
    story.act(Action::Publish(story.event(5)), Outcome::Failed { status: 409, body: "{}".to_owned() });
    story.holds(&["END-1", "END-2", "END-3", "END-4", "END-5", "END-6"]);
}

#[test]
fn a_terminal_twice_is_seen() {
    let (mut story, a) = reading();
    story.close(4);
    story.terminal(a, 4);
    story.terminal(a, 4);
    story.end(a, Ended::Eof);
    assert!(story.violated().contains(&"END-1".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_terminal_on_each_connection_is_no_second_one() {
    let mut story = closed();
    let again = story.stream("a", after(3));
    story.terminal(again, 4);
    story.end(again, Ended::Eof);
    story.holds(&["END-1", "END-3"]);
}

#[test]
fn a_reader_that_is_not_told_is_seen() {
    let (mut story, a) = reading();
    story.close(4);
    story.wait_in_vain(a, Until::Terminal, 2_500);
    assert_eq!(story.violates("END-1")[0].shape, "never");
}

#[test]
fn whom_a_server_knew_in_time_is_told_a_terminal_that_is_not_kept() {
    let mut story = Story::new().under(|c| c.terminal.as_mut().unwrap().replayed = false);
    story.profile.binding.subscribe.format = Format::Websocket;
    let (greeted, silent) = (story.stream("greeted", From::Start), story.stream("silent", From::Start));
    story.publish(1..=1);
    story.got(greeted, [1]);
    story.close(2);
    // The message that asks for the stream may have been read behind the close.
    story.wait_in_vain(silent, Until::Terminal, 2_500);
    assert!(!story.violated().contains(&"END-1".to_owned()), "{:?}", story.violated());
    story.wait_in_vain(greeted, Until::Terminal, 2_500);
    assert!(story.violated().contains(&"END-1".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_reader_that_was_cut_before_the_terminal_is_told_later() {
    let (mut story, a) = reading();
    story.close(4);
    story.cut(a);
    story.wait_in_vain(a, Until::Terminal, 2_500);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn an_event_behind_the_terminal_is_seen() {
    let (mut story, a) = reading();
    let late = story.send(story.event(4));
    story.close(5);
    story.terminal(a, 5);
    story.got(a, [4]);
    story.ack(late);
    story.end(a, Ended::Eof);
    assert!(story.violated().contains(&"END-2".to_owned()), "{:?}", story.violated());
}

#[test]
fn a_terminal_before_acknowledged_events_is_seen() {
    let (mut story, a) = reading();
    story.publish([4]);
    story.close(5);
    story.terminal(a, 5);
    story.end(a, Ended::Eof);
    assert_eq!(story.violates("END-2")[0].shape, "terminal-overtakes");
}

#[test]
fn an_event_in_flight_with_the_close_may_be_missing() {
    let (mut story, a) = reading();
    let op = story.send(story.event(4));
    story.close(4);
    story.complete(op, Outcome::Failed { status: 409, body: "{}".to_owned() });
    story.terminal(a, 4);
    story.end(a, Ended::Eof);
    story.holds(&["END-2"]);
}

#[test]
fn a_terminal_lost_on_resume_is_seen() {
    let mut story = closed();
    let b = story.stream("b", after(2));
    story.got(b, [3]);
    story.boundary(b);
    story.wait_in_vain(b, Until::Terminal, 2_500);
    story.violates("END-3");
}

#[test]
fn a_stream_that_ends_without_its_terminal_is_seen() {
    let mut story = closed();
    let b = story.stream("b", after(2));
    story.got(b, [3]);
    story.boundary(b);
    story.end(b, Ended::Eof);
    story.violates("END-3");
}

/// Once, a stream that ended behind its gap signal, as the contract says, was expected to deliver the terminal.
#[test]
fn behind_a_gap_signal_that_ends_the_stream_comes_no_terminal() {
    let history = |evicted: bool, then: AfterGap| {
        let mut story = Story::new().under(|c| c.gap.as_mut().unwrap().then = then);
        let retain = evicted.then(|| Retain { records: Some(2), ..Retain::default() });
        let session = story.open("kept", retain, None);
        story.publish(1..=5);
        story.close(6);
        let a = story.stream("a", presenting(&cursor_of(session, 1), CursorClass::Own));
        story.control(a, Kind::Gap, Some(cursor_of(session, 4)));
        story.end(a, Ended::Eof);
        story.violated()
    };
    for then in [AfterGap::End, AfterGap::Live] {
        assert_eq!(history(true, then), [""; 0]);
        assert!(history(false, then).contains(&"END-3".to_owned()));
    }
    assert!(history(true, AfterGap::Kept).contains(&"END-3".to_owned()));
}

#[test]
fn a_resume_that_is_cut_before_the_terminal_is_not_judged() {
    let mut story = closed();
    let b = story.stream("b", after(2));
    story.got(b, [3]);
    story.cut(b);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn a_close_that_a_kill_may_forget_owes_no_terminal() {
    let history = |kill: bool| {
        let mut story = closed().under(|c| c.durability.kill = kill);
        story.restart("KILL");
        let b = story.stream("b", after(2));
        story.got(b, [3]);
        story.boundary(b);
        story.wait_in_vain(b, Until::Terminal, 2_500);
        story
    };
    history(true).violates("END-3");
    assert!(history(false).violated().is_empty());
}

#[test]
fn a_reconnect_behind_the_terminal_that_is_let_in_is_seen() {
    let mut story = closed();
    let b = story.stream("b", after(4));
    story.end(b, Ended::Eof);
    assert!(story.violated().contains(&"END-4".to_owned()), "{:?}", story.violated());
}

#[test]
fn an_accepted_publish_behind_the_end_is_seen() {
    let mut story = closed();
    story.publish([5]);
    assert_eq!(story.violates("END-5")[0].shape, "accepted-after-close");
}

#[test]
fn a_publish_without_answer_behind_the_end_must_not_appear() {
    for appears in [true, false] {
        let mut story = closed();
        story.publish_unknown(5);
        let page = story.ask("page", Surface::History, From::Start, crate::history::Role::Plain);
        story.answer(page, 200, "");
        story.got(page, 1..=3);
        if appears {
            story.got(page, [5]);
        }
        story.end(page, Ended::Done);
        assert_eq!(story.violated(), if appears { vec!["END-5"] } else { vec![] });
    }
}

#[test]
fn a_retry_behind_the_end_may_be_answered_as_the_first_time() {
    let (mut story, a) = reading();
    let keyed = Publish { key: Some("k".to_owned()), ..story.event(4) };
    let first = story.send(keyed.clone());
    story.ack(first);
    story.got(a, [4]);
    story.close(5);
    story.terminal(a, 5);
    story.end(a, Ended::Eof);
    let again = story.send(Publish { repeats: Some(OpId(first.0)), ..keyed });
    story.ack(again);
    story.holds(&["END-2", "IDEM-3"]);
}

#[test]
fn a_stream_that_stays_open_behind_its_terminal_is_seen() {
    let (mut story, a) = reading();
    story.close(4);
    story.terminal(a, 4);
    story.wait_in_vain(a, Until::Closed, 2_500);
    story.violates("END-6");
}

#[test]
fn a_reader_that_leaves_at_the_terminal_shows_nothing() {
    let (mut story, a) = reading();
    story.close(4);
    story.terminal(a, 4);
    story.end(a, Ended::Ours);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}
