//! Turns of conversations that were watched over WebSockets.

use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Reel, sent};
use crate::capture::tape::scenario::replayed;
use crate::capture::tape::{By, Bytes, Conversation, Taped, conversation};
use crate::check::{Finding, judge};
use crate::contract::Profile;

/// A reel of sockets: each message is a moment of its own.
#[derive(Default)]
struct Sockets(Reel);

impl Sockets {
    /// A socket that subscribes to a conversation.
    fn watches(&mut self, conn: u64, conversation: &str) -> &mut Sockets {
        self.0.client(conn, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        self.0.server(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        self.says(conn, &format!(r#"{{"type":"chat.subscribe","conversationId":"{conversation}"}}"#))
    }

    fn says(&mut self, conn: u64, message: &str) -> &mut Sockets {
        self.0.put(conn, Taped::Client(Bytes::of(&sent(Role::Client, &[message]))));
        self
    }

    /// Events of the turn `turn` of the conversation `c`: words, or types in angle brackets.
    fn hears(&mut self, conn: u64, turn: &str, events: &[&str]) -> &mut Sockets {
        self.hears_of(conn, "c", turn, events)
    }

    fn hears_of(&mut self, conn: u64, conversation: &str, turn: &str, events: &[&str]) -> &mut Sockets {
        for event in events {
            let (event_type, delta) = match event.strip_prefix('<') {
                Some(event_type) => (event_type.trim_end_matches('>'), String::new()),
                None => ("text-delta", format!(r#","delta":"{event}""#)),
            };
            let text = format!(
                r#"{{"type":"chat.delta","event":{{"type":"{event_type}","conversationId":"{conversation}","turnId":"{turn}"{delta}}}}}"#
            );
            self.0.put(conn, Taped::Server(Bytes::of(&sent(Role::Server, &[&text]))));
        }
        self
    }

    fn leaves(&mut self, conn: u64) -> &mut Sockets {
        self.0.put(conn, Taped::Closed(By::Client));
        self
    }

    fn told(&self) -> Conversation {
        conversation(self.0.tape(), &dispatch()).unwrap()
    }
}

fn dispatch() -> Profile {
    Profile::load("dispatch").unwrap()
}

fn violated(told: &Conversation) -> Vec<String> {
    let failed = judge(&told.history, &dispatch()).into_iter().filter(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
    failed.map(|verdict| verdict.requirement.to_string()).collect()
}

fn steps(told: &Conversation) -> (Vec<String>, Vec<String>) {
    let replayed = replayed(told, &dispatch(), "talk");
    let text = replayed.scenario.to_toml("");
    assert_eq!(crate::scenario::Scenario::parse("it", &text).unwrap_or_else(|e| panic!("{e}\n{text}")), replayed.scenario);
    (text.lines().filter(|line| line.starts_with("  ")).map(|line| line.trim().to_owned()).collect(), replayed.left_out)
}

const BEGINS: &str = "<turn-start>";
const SEALED: [&str; 2] = ["<done>", "<turn-sealed>"];

#[test]
fn each_turn_is_a_session_and_is_had_again_word_by_word() {
    let mut sockets = Sockets::default();
    sockets.watches(1, "c");
    sockets.0.ask(9, "POST /chat", r#"{"conversationId":"c","message":"hi"}"#, "200 {}");
    sockets.hears(1, "t1", &[BEGINS, "la", "la"]);
    // Who comes late is sent the turn from its beginning.
    sockets.watches(2, "c").hears(2, "t1", &[BEGINS, "la", "la"]);
    sockets.hears(1, "t1", &["end"]).hears(2, "t1", &["end"]).hears(1, "t1", &SEALED).hears(2, "t1", &SEALED).leaves(2);
    sockets.0.ask(9, "GET /conversations/c", "", r#"200 {"chunks":[]}"#);
    // The next turn is begun on the socket that watches, and left in its middle.
    sockets.says(1, r#"{"type":"chat.send","conversationId":"c","message":"more"}"#).hears(1, "t2", &[BEGINS, "la"]).leaves(1);
    let told = sockets.told();
    assert_eq!((told.published, told.foreign.len(), violated(&told)), (0, 4, Vec::new()));
    let (steps, left_out) = steps(&told);
    let wanted = [
        r#"{ open = { session = "s1" } },"#,
        r#"{ subscribe = { reader = "a", session = "s1" } },"#,
        r#"{ await = { reader = "a", upto = "headers" } },"#,
        r#"{ publish = { session = "s1" } },"#,
        r#"{ await = { reader = "a", upto = "last" } },"#,
        r#"{ publish = { session = "s1" } },"#,
        r#"{ await = { reader = "a", upto = "last" } },"#,
        r#"{ subscribe = { reader = "b", session = "s1" } },"#,
        r#"{ await = { reader = "b", upto = "last" } },"#,
        r#"{ publish = { session = "s1" } },"#,
        r#"{ await = { reader = "a", upto = "last" } },"#,
        r#"{ await = { reader = "b", upto = "last" } },"#,
        r#"{ close = { session = "s1" } },"#,
        r#"{ await = { reader = "a", upto = "terminal" } },"#,
        r#"{ await = { reader = "b", upto = "terminal" } },"#,
        r#"{ do = { session = "s1", op = "history", with = { side = "" } } },"#,
        r#"{ open = { session = "s2" } },"#,
        r#"{ subscribe = { reader = "c", session = "s2" } },"#,
        r#"{ await = { reader = "c", upto = "headers" } },"#,
        r#"{ publish = { session = "s2" } },"#,
        r#"{ await = { reader = "c", upto = "last" } },"#,
        r#"{ drop = { reader = "c" } },"#,
    ];
    assert_eq!(steps, wanted);
    assert_eq!(left_out, ["the operation `chat`"]);
}

#[test]
fn what_one_watcher_lacks_or_has_twice_is_seen() {
    let two = |second: &[&str]| {
        let mut sockets = Sockets::default();
        sockets.watches(1, "c").watches(2, "c");
        sockets.hears(1, "t", &[BEGINS, "one", "two", "three"]).hears(1, "t", &SEALED);
        sockets.hears(2, "t", &[BEGINS]).hears(2, "t", second).hears(2, "t", &SEALED);
        violated(&sockets.leaves(1).leaves(2).told())
    };
    assert_eq!(two(&["one", "two", "three"]), Vec::<String>::new());
    for wrong in [&["one", "three"][..], &["one", "two", "two", "three"], &["two", "one", "three"]] {
        assert!(!two(wrong).is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_turn_that_nobody_asked_for_is_seen() {
    let with = |conversation: &str| {
        let mut sockets = Sockets::default();
        sockets.watches(1, "c").watches(2, "d");
        sockets.hears(1, "t", &[BEGINS, "one"]).hears_of(2, "d", "u", &[BEGINS, "other"]);
        sockets.hears_of(1, conversation, if conversation == "c" { "t" } else { "u" }, &["other"]);
        violated(&sockets.leaves(1).leaves(2).told())
    };
    assert_eq!(with("c"), Vec::<String>::new());
    assert!(with("d").iter().any(|id| id.starts_with("ISOLATE-")), "{:?}", with("d"));
}

#[test]
fn what_a_client_may_have_left_is_not_missed() {
    let mut sockets = Sockets::default();
    sockets.watches(1, "c").watches(2, "c");
    sockets.hears(1, "t", &[BEGINS, "one"]).hears(2, "t", &[BEGINS, "one"]);
    sockets.says(2, r#"{"type":"chat.unsubscribe","conversationId":"c"}"#);
    sockets.hears(1, "t", &["two", "three"]).hears(1, "t", &SEALED).leaves(1).leaves(2);
    assert_eq!(violated(&sockets.told()), Vec::<String>::new());
    // It comes back, and is sent all of it again: that is no repetition.
    let mut sockets = Sockets::default();
    sockets.watches(1, "c").hears(1, "t", &[BEGINS, "one"]);
    sockets.says(1, r#"{"type":"chat.unsubscribe","conversationId":"c"}"#).says(1, r#"{"type":"chat.subscribe","conversationId":"c"}"#);
    sockets.hears(1, "t", &[BEGINS, "one", "two"]).leaves(1);
    assert_eq!(violated(&sockets.told()), Vec::<String>::new());
}

#[test]
fn without_a_turn_there_is_nothing_to_have_again() {
    let mut sockets = Sockets::default();
    sockets.watches(1, "c").leaves(1);
    sockets.0.ask(9, "GET /conversations/c", "", "200 {}");
    let replayed = replayed(&sockets.told(), &dispatch(), "talk");
    assert!(replayed.scenario.steps.is_empty() && replayed.left_out == ["the operation `history`"], "{replayed:?}");
}
