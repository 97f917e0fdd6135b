//! Streams that are WebSockets, of the profile `dispatch`: events have no cursor, a running turn is told from its beginning to
//! whoever subscribes, and a turn that is over is told to nobody.

use serde_json::json;

use super::super::case::{Case, Check, Head, Need, Reply, SEALED, Step, Want, dues};

/// The session that is subscribed to.
pub const SESSION: &str = "s";

fn event(session: &str, turn: &str, kind: &str, delta: Option<&str>) -> String {
    let mut event = json!({ "type": kind, "conversationId": session, "turnId": turn });
    if let Some(delta) = delta {
        event["delta"] = delta.into();
    }
    json!({ "type": "chat.delta", "event": event }).to_string()
}

fn word(turn: &str, word: &str) -> Step {
    Step::Say(event(SESSION, turn, "text-delta", Some(word)))
}

/// A turn from its beginning, with these words.
fn told(turn: &str, words: &[&str]) -> Reply {
    let begun = Reply { head: Head::Socket, steps: vec![Step::Say(event(SESSION, turn, "turn-start", None))] };
    words.iter().fold(begun, |reply, text| reply.step(word(turn, text)))
}

/// The end of a turn.
fn sealed(reply: Reply, turn: &str) -> Reply {
    ["done", SEALED].into_iter().fold(reply, |reply, kind| reply.step(Step::Say(event(SESSION, turn, kind, None))))
}

/// What is applied of a turn with these words that was begun on one connection and ended on another: words by connection.
fn whole(begun: u32, words: &[(u32, &str)], ended: u32) -> Check {
    let mut all = vec![(begun, "turn-start", "")];
    all.extend(words.iter().map(|(reply, word)| (*reply, "text-delta", *word)));
    all.extend([(ended, "done", ""), (ended, SEALED, "")]);
    Check::Applies(dues(&all))
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![one_turn()];
    all.extend(broken());
    all.extend(["200 OK", "404 Not Found", "503 Service Unavailable"].map(no_handshake));
    all.extend([refused(), headers(), others(), ping(), fragments(), long(), burst(), missed(), closed(), killed()]);
    for case in &mut all {
        case.socket = true;
    }
    all
}

fn one_turn() -> Case {
    Case::new("socket-turn", "a turn from its beginning to its seal, over a WebSocket")
        .reply(sealed(told("t1", &["a", "a", "b"]), "t1"))
        .check("C-SOCKET-1", Check::Subscribes(1))
        .check("C-DELIVER-3", whole(1, &[(1, "a"), (1, "a"), (1, "b")], 1))
        .check("C-END-2", Check::StopsAfter(1))
}

/// The connection ends inside a turn, which is told again from its beginning.
fn broken() -> Vec<Case> {
    let ends = [
        ("socket-closed", "the server closes the WebSocket inside a turn", None),
        ("socket-reset", "the connection is reset inside a turn", Some(Step::Reset)),
        ("socket-broken", "the connection ends inside a turn without a close frame", Some(Step::Break)),
    ];
    let case = |(name, says, end): (&str, &str, Option<Step>)| {
        let mut first = told("t1", &["a", "b"]).until("b");
        first.steps.extend(end);
        Case::new(name, says)
            .reply(first)
            .reply(sealed(told("t1", &["a", "b", "b", "c"]), "t1"))
            .check("C-RETRY-1", Check::Comes(2))
            .check("C-SOCKET-1", Check::Subscribes(2))
            .check("C-DELIVER-1", whole(1, &[(1, "a"), (1, "b"), (2, "b"), (2, "c")], 2))
    };
    ends.map(case).into()
}

fn refused() -> Case {
    let wait = |nth| Check::Waits { nth, least: Some(50), most: None };
    let mut case = Case::new("socket-refused", "three connections in a row are refused inside a turn")
        .reply(told("t1", &["a"]).until("a"))
        .reply(Reply::refuse())
        .reply(Reply::refuse())
        .reply(Reply::refuse())
        .reply(sealed(told("t1", &["a", "b"]), "t1"));
    for nth in 3..=5 {
        case = case.check("C-RETRY-5", wait(nth)).check("C-RETRY-6", Check::Comes(nth));
    }
    case
}

/// A WebSocket is no event stream: libraries do not tell a refusal from a lost connection, so both an end and a wait are right.
fn no_handshake(status: &'static str) -> Case {
    let code = status.split(' ').next().unwrap_or_default();
    Case::new(&format!("socket-status-{code}"), "the handshake is answered with this status, and a body that looks like a message")
        .reply(Reply::status(status, "").send(event(SESSION, "t1", "turn-start", None)))
        .check("C-SOCKET-3", Check::EndsOrWaits(1, 50))
        .applies("C-SOCKET-3", &[])
}

fn ping() -> Case {
    Case::new("socket-ping", "a ping between two words of a turn")
        .reply(sealed(told("t1", &["a"]).step(Step::Ping).step(word("t1", "b")), "t1"))
        .check("C-SOCKET-4", Check::Pongs(1))
}

/// Each word is sent when the one before was applied, so that at the kill only the last can be under way.
fn killed() -> Case {
    let due = [(1, "turn-start", ""), (1, "text-delta", "a"), (1, "text-delta", "b"), (2, "text-delta", "c"), (2, SEALED, "")];
    Case::new("socket-killed", "the client is killed inside a turn, and started again; the turn is told from its beginning")
        .needs(Need::State)
        .reply(told("t1", &["a"]).until("a").step(word("t1", "b")).until("b").step(Step::Kill))
        .reply(sealed(told("t1", &["a", "b", "c"]), "t1"))
        .check("C-SOCKET-1", Check::Subscribes(2))
        .check("C-RESTORE-2", Check::Once { but: vec!["b".to_owned()] })
        .check("C-RESTORE-3", Check::Misses(dues(&due)))
}

fn headers() -> Case {
    let mut case = Case::new("socket-headers", "two handshakes of a client that was given headers")
        .needs(Need::Headers)
        .reply(told("t1", &["a"]).until("a").step(Step::Reset))
        .reply(sealed(told("t1", &["a", "b"]), "t1"));
    for nth in 1..=2 {
        for (name, value) in super::HEADERS.lines().filter_map(|line| line.split_once(": ")) {
            case = case.check("C-OPEN-8", Check::Header { nth, name, want: Want::Is(value.as_bytes().to_vec()) });
        }
    }
    case
}

fn others() -> Case {
    let noise = [
        event("other", "t9", "text-delta", Some("not mine")),
        json!({ "type": "conversation.statusChanged", "conversationId": SESSION, "status": "active" }).to_string(),
        json!({ "type": "chat.error", "message": "an error of another request" }).to_string(),
        json!({ "type": "of a later version", "event": 7 }).to_string(),
        json!([1, 2]).to_string(),
    ];
    let mut reply = told("t1", &["a"]);
    reply.steps.extend(noise.map(Step::Say));
    reply.steps.extend([Step::Beside, word("t1", "b")]);
    Case::new("socket-others", "broadcasts, errors, pings, a binary message and another conversation's event among those of a turn")
        .reply(sealed(reply, "t1"))
        .check("C-SOCKET-2", whole(1, &[(1, "a"), (1, "b")], 1))
}

fn fragments() -> Case {
    let text = "é\u{2028}🙂";
    Case::new("socket-fragments", "a message in fragments of one byte, between and inside characters")
        .reply(sealed(told("t1", &[]).step(Step::Fragments(event(SESSION, "t1", "text-delta", Some(text)), 1)), "t1"))
        .check("C-PARSE-2", whole(1, &[(1, text)], 1))
}

fn long() -> Case {
    let text = "x".repeat(2 << 20);
    Case::new("socket-long", "a message of 2 MiB")
        .reply(sealed(told("t1", &[&text]), "t1"))
        .check("C-PARSE-10", whole(1, &[(1, text.as_str())], 1))
}

fn burst() -> Case {
    let words: Vec<String> = (0..5000).map(|n| format!("w{n} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let due: Vec<(u32, &str)> = words.iter().map(|word| (1, *word)).collect();
    Case::new("socket-burst", "5,000 messages as fast as they can be written")
        .reply(sealed(told("t1", &words), "t1"))
        .check("C-DELIVER-4", whole(1, &due, 1))
}

fn missed() -> Case {
    let mut case = Case::new("socket-turn-missed", "a turn is sealed while the client is away, which comes back to another one")
        .needs(Need::Gap)
        .reply(told("t1", &["a"]).until("a"))
        .reply(told("t2", &["b"]).step(Step::Hold))
        .reply(sealed(told("t2", &["b", "c"]), "t2"))
        .check("C-GAP-1", Check::TellsGap { after: 2 })
        .check("C-GAP-2", Check::Refetches { after: 2 });
    case.snapshot = Some(json!({ "chunks": [{ "seq": 1, "role": "assistant", "chunk": { "type": "text", "text": "a b" } }] }).to_string());
    case
}

fn closed() -> Case {
    let reply = told("t1", &["a", "b"]).until("b").step(Step::Close).step(Step::UntilClosed).step(word("t1", "c"));
    Case::new("socket-close", "the application closes the stream inside a turn, which goes on")
        .needs(Need::Close)
        .reply(reply)
        .check("C-END-3", Check::QuietAfterClose)
}
