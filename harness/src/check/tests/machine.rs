//! CAUSE and FINAL.

use crate::check::story::{Story, after};
use crate::contract::{Machine, OneOrMany};
use crate::history::{ConnId, From, Item, Kind, Said, Stage, What};

/// A contract with text blocks, of which one is open at a time.
fn story() -> Story {
    let types = |name: &str| OneOrMany::One(name.to_owned());
    let block = Machine {
        name: "text block".to_owned(),
        key: Some(types("/id")),
        start: Some(types("started")),
        more: Some(types("delta")),
        end: types("ended"),
        piece: Some("/delta".to_owned()),
        whole: Some("/text".to_owned()),
        single: true,
        once: true,
    };
    Story::new().under(|contract| contract.machines = vec![block])
}

/// A frame that says something of a block.
fn say(story: &mut Story, conn: ConnId, key: &str, stage: Stage, text: Option<&str>, cursor: Option<&str>) {
    let said = Said { machine: 0, key: key.to_owned(), stage, text: text.map(str::to_owned) };
    let event_type = match stage {
        Stage::Start => "started",
        Stage::More => "delta",
        Stage::End => "ended",
    };
    let item = Item {
        kind: Kind::Other,
        event_type: event_type.into(),
        cursor: cursor.map(Into::into),
        durable: stage != Stage::More,
        said: Some(Box::new(said)),
        ..Item::default()
    };
    story.push(What::Delivery(item.delivery(conn, 0)));
}

fn reading(from: From) -> (Story, ConnId) {
    let mut story = story();
    let conn = story.stream("a", from);
    story.boundary(conn);
    (story, conn)
}

/// A block with these pieces and this whole text.
fn block(story: &mut Story, conn: ConnId, key: &str, pieces: &[&str], whole: &str) {
    say(story, conn, key, Stage::Start, None, None);
    for piece in pieces {
        say(story, conn, key, Stage::More, Some(piece), None);
    }
    say(story, conn, key, Stage::End, Some(whole), None);
}

#[test]
fn a_block_starts_goes_on_and_ends() {
    let (mut story, a) = reading(From::Start);
    block(&mut story, a, "t1", &["w1 ", "w2 "], "w1 w2 ");
    block(&mut story, a, "t2", &[], "");
    story.holds(&["CAUSE-1", "CAUSE-2", "CAUSE-3", "FINAL-1", "FINAL-2"]);
}

#[test]
fn a_piece_before_its_start_is_seen_where_the_start_was_due() {
    let (mut story, a) = reading(From::Start);
    say(&mut story, a, "t1", Stage::More, Some("w1 "), None);
    assert_eq!(story.violates("CAUSE-1")[0].shape, "no-start");
    // Who resumes behind the start gets the rest alone.
    let (mut story, a) = reading(after(3));
    say(&mut story, a, "t1", Stage::More, Some("w1 "), None);
    say(&mut story, a, "t1", Stage::End, Some("w0 w1 "), None);
    assert!(story.violated().is_empty(), "{:?}", story.violated());
}

#[test]
fn nothing_comes_behind_an_end() {
    let (mut story, a) = reading(From::Start);
    block(&mut story, a, "t1", &["w1 "], "w1 ");
    say(&mut story, a, "t1", Stage::More, Some("w2 "), None);
    assert_eq!(story.violates("CAUSE-1")[0].shape, "behind-end");
}

#[test]
fn pieces_add_up_to_the_whole() {
    let (mut story, a) = reading(From::Start);
    block(&mut story, a, "t1", &["w1 ", "w3 "], "w1 w2 w3 ");
    story.violates("CAUSE-2");
    // A stream that has no pieces at all is none to be added up.
    let (mut story, a) = reading(From::Start);
    block(&mut story, a, "t1", &[], "w1 w2 ");
    assert!(story.violated().is_empty());
}

#[test]
fn one_block_is_open_at_a_time() {
    let (mut story, a) = reading(From::Start);
    say(&mut story, a, "t1", Stage::Start, None, None);
    say(&mut story, a, "t2", Stage::Start, None, None);
    story.violates("CAUSE-3");
}

#[test]
fn an_end_is_said_once_and_a_repetition_of_its_cursor_is_no_second_one() {
    let (mut story, a) = reading(From::Start);
    block(&mut story, a, "t1", &[], "");
    say(&mut story, a, "t1", Stage::End, Some(""), None);
    story.violates("FINAL-1");
    // Under another cursor on another connection it is another end.
    let (mut story, a) = reading(From::Start);
    say(&mut story, a, "t1", Stage::Start, None, Some("00000000:1"));
    say(&mut story, a, "t1", Stage::End, None, Some("00000000:2"));
    let b = story.stream("b", From::Start);
    story.boundary(b);
    say(&mut story, b, "t1", Stage::Start, None, Some("00000000:1"));
    say(&mut story, b, "t1", Stage::End, None, Some("00000000:3"));
    story.violates("FINAL-1");
    let (mut story, a) = reading(From::Start);
    say(&mut story, a, "t1", Stage::Start, None, Some("00000000:1"));
    say(&mut story, a, "t1", Stage::End, None, Some("00000000:2"));
    say(&mut story, a, "t1", Stage::End, None, Some("00000000:2"));
    assert!(!story.violated().iter().any(|id| id == "FINAL-1"), "{:?}", story.violated());
}

#[test]
fn what_has_ended_does_not_start_again() {
    let (mut story, a) = reading(From::Start);
    block(&mut story, a, "t1", &[], "");
    say(&mut story, a, "t1", Stage::Start, None, None);
    story.violates("FINAL-2");
}

#[test]
fn a_contract_without_machines_has_none_of_it() {
    let story = Story::new();
    for id in ["CAUSE-1", "CAUSE-2", "CAUSE-3", "FINAL-1", "FINAL-2"] {
        assert!(matches!(story.finding(id), crate::check::Finding::NotApplicable { .. }), "{id}");
    }
}
