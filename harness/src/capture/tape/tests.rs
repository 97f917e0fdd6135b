use std::io::{Cursor, Write};

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

use super::exchange::{Over, exchanges};
use super::meaning::{Asks, meaning};
use super::*;
use crate::check::{Finding, judge};
use crate::contract::Profile;
use crate::history::{Action, Kind, Outcome, What};

mod turns;

/// A tape in the making: a millisecond a moment.
#[derive(Default)]
struct Reel(Vec<Moment>);

impl Reel {
    fn put(&mut self, conn: u64, what: Taped) -> &mut Reel {
        let at = Micros(self.0.len() as u64 * 1_000);
        self.0.push(Moment { conn, at, what });
        self
    }

    fn client(&mut self, conn: u64, text: &str) -> &mut Reel {
        self.put(conn, Taped::Client(Bytes::of(text.as_bytes())))
    }

    fn server(&mut self, conn: u64, text: &str) -> &mut Reel {
        self.put(conn, Taped::Server(Bytes::of(text.as_bytes())))
    }

    /// A request and its answer, on one connection.
    fn ask(&mut self, conn: u64, request: &str, body: &str, answer: &str) -> &mut Reel {
        self.client(conn, &format!("{request} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let (status, text) = answer.split_once(' ').unwrap_or((answer, ""));
        self.server(conn, &format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }

    fn tape(&self) -> Tape {
        Tape { header: TapeHeader { streamspec_tape: 1, upstream: "http://h:1".to_owned() }, moments: self.0.clone() }
    }
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n";

fn frame(n: u32, text: &str) -> String {
    format!("id: 3f9c01aa:{n}\nevent: message\ndata: {{\"session\":\"s\",\"data\":\"{text}\"}}\n\n")
}

fn ready(n: u32) -> String {
    format!("event: ready\ndata: {{\"session\":\"s\",\"cursor\":\"3f9c01aa:{n}\"}}\n\n")
}

/// Two events with one text are published, then a reader reads both and a third one, and is left.
fn conversation_of(frames: &[String]) -> Conversation {
    let mut reel = Reel::default();
    reel.put(1, Taped::Accepted);
    reel.ask(1, "POST /sessions", r#"{"id":"s"}"#, r#"201 {"session":"s","cursor":"3f9c01aa:0"}"#);
    for n in 1..=2 {
        let answer = format!("201 {{\"cursor\":\"3f9c01aa:{n}\"}}");
        reel.ask(1, "POST /sessions/s/events", r#"{"type":"message","data":"same"}"#, &answer);
    }
    reel.put(2, Taped::Accepted).client(2, "GET /sessions/s/events HTTP/1.1\r\n\r\n").server(2, STREAM);
    for frame in frames {
        reel.server(2, frame);
    }
    reel.put(2, Taped::Closed(By::Client)).put(1, Taped::Closed(By::Client));
    conversation(reel.tape(), &Profile::load("sse").unwrap()).unwrap()
}

fn violated(told: &Conversation) -> Vec<String> {
    let verdicts = judge(&told.history, &Profile::load("sse").unwrap());
    let failed = verdicts.into_iter().filter(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
    failed.map(|verdict| verdict.requirement.to_string()).collect()
}

#[test]
fn a_tape_is_read_as_it_was_written() {
    let mut reel = Reel::default();
    reel.put(1, Taped::Accepted).client(1, "text\r\n").put(1, Taped::Server(Bytes::of(&[0xff, 0, 1]))).put(1, Taped::Closed(By::Broken));
    let tape = reel.tape();
    let mut text = serde_json::to_vec(&tape.header).unwrap();
    for moment in &tape.moments {
        text.push(b'\n');
        text.extend(serde_json::to_vec(moment).unwrap());
    }
    assert!(is_tape(&text));
    assert_eq!(Tape::read(text.as_slice()).unwrap(), tape);
    assert_eq!(Bytes::of(&[0xff, 0, 1]).bytes().unwrap(), [0xff, 0, 1]);
}

#[test]
fn exchanges_are_told_apart_in_pieces_of_every_size() {
    let asked = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\nPUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n";
    let told = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n1\r\n4\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end";
    for size in 1..=told.len() {
        let mut reel = Reel::default();
        for piece in asked.as_bytes().chunks(size) {
            reel.put(1, Taped::Client(Bytes::of(piece)));
        }
        for piece in told.as_bytes().chunks(size) {
            reel.put(1, Taped::Server(Bytes::of(piece)));
        }
        reel.put(1, Taped::Closed(By::Server));
        let all = exchanges(reel.tape());
        let seen: Vec<_> = all
            .iter()
            .map(|one| (one.target.as_str(), one.body.clone(), one.status(), one.whole_body(), one.over.map(|(_, over)| over)))
            .collect();
        let whole = Some(Over::Whole);
        let wanted = [
            ("/a", b"abc".to_vec(), Some(204), Vec::new(), whole),
            ("/b", Vec::new(), Some(200), b"1234".to_vec(), whole),
            ("/c", b"xy".to_vec(), Some(200), b"to the end".to_vec(), whole),
        ];
        assert_eq!(seen, wanted, "in pieces of {size}");
    }
}

#[test]
fn bytes_that_are_no_http_are_told_and_nothing_else() {
    let mut reel = Reel::default();
    reel.client(1, "GET /a HTTP/1.1\r\n\r\n").server(1, "hello\r\n\r\n").server(1, STREAM).put(1, Taped::Closed(By::Server));
    reel.client(2, "\u{1}\u{2}\r\n\r\n").client(2, "GET /b HTTP/1.1\r\n\r\n").put(2, Taped::Closed(By::Client));
    let all = exchanges(reel.tape());
    assert_eq!(all.len(), 1);
    assert!(all[0].lost.as_ref().unwrap().contains("not HTTP/1.1") && all[0].answer.is_none());
}

#[test]
fn equal_payloads_are_events_of_their_own_and_a_repetition_is_seen() {
    let right = conversation_of(&[frame(1, "same") + &frame(2, "same"), ready(2), frame(3, "another")]);
    assert_eq!((right.published, right.foreign.len(), violated(&right)), (2, 1, Vec::new()));
    let markers = right.history.records.iter().filter_map(|record| match &record.what {
        What::Delivery(delivery) if delivery.kind == Kind::Event => delivery.marker,
        _ => None,
    });
    assert_eq!(markers.map(|marker| marker.n).collect::<Vec<_>>(), [1, 2, 3]);
    let twice = conversation_of(&[frame(1, "same") + &frame(2, "same") + &frame(2, "same"), ready(2)]);
    assert!(violated(&twice).contains(&"DELIVER-2".to_owned()), "{:?}", violated(&twice));
    let lost = conversation_of(&[frame(2, "same"), ready(2)]);
    assert!(!violated(&lost).is_empty(), "the first event was acknowledged and never came");
}

#[test]
fn the_scenario_waits_for_what_the_client_saw_and_is_read_again() {
    let told = conversation_of(&[frame(1, "same") + &frame(2, "same"), ready(2), frame(3, "another")]);
    let profile = Profile::load("sse").unwrap();
    let replayed = replayed(&told, &profile, "talk");
    let text = replayed.scenario.to_toml("");
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    let wanted = [
        "{ open = { session = \"s1\" } },",
        "{ publish = { session = \"s1\", count = 2 } },",
        "{ subscribe = { reader = \"a\", session = \"s1\" } },",
        "{ await = { reader = \"a\", upto = \"boundary\" } },",
        "{ await = { reader = \"a\", upto = \"last\" } },",
        "{ publish = { session = \"s1\" } },",
        "{ await = { reader = \"a\", upto = \"last\" } },",
        "{ drop = { reader = \"a\" } },",
    ];
    assert_eq!(steps, wanted);
    assert_eq!(crate::scenario::Scenario::parse("it", &text).unwrap_or_else(|e| panic!("{e}\n{text}")), replayed.scenario);
    assert!(replayed.left_out.is_empty() && replayed.scenario.judges.contains(&"ORDER-1".to_owned()), "{text}");
}

#[test]
fn a_reader_goes_on_where_it_was_left() {
    let mut reel = Reel::default();
    for (conn, after) in [(1, ""), (2, "Last-Event-ID: 3f9c01aa:1\r\n"), (3, "Last-Event-ID: 3f9c01aa:1\r\n")] {
        reel.client(conn, &format!("GET /sessions/s/events HTTP/1.1\r\n{after}\r\n")).server(conn, STREAM);
        reel.server(conn, &if conn == 1 { frame(1, "a") } else { frame(2, "b") }).put(conn, Taped::Closed(By::Client));
    }
    let told = conversation(reel.tape(), &Profile::load("sse").unwrap()).unwrap();
    let connects = told.history.records.iter().filter_map(|record| match &record.what {
        What::Connect(connect) => Some(format!("{}#{}", connect.reader, connect.nth)),
        _ => None,
    });
    assert_eq!(connects.collect::<Vec<_>>(), ["a#1", "a#2", "b#1"], "a reader is left with a cursor once");
}

#[test]
fn a_request_is_the_operation_that_it_has_most_in_common_with() {
    let sse = Profile::load("sse").unwrap().binding;
    let of = |request: &str, body: &str| {
        let mut reel = Reel::default();
        reel.ask(1, request, body, "200 {}");
        meaning(&sse, &exchanges(reel.tape())[0])
    };
    let asks = |request: &str, body: &str| of(request, body).map(|meaning| meaning.asks);
    let publish = |payload: &str, durable| Asks::Publish { payloads: vec![payload.to_owned()], durable, key: None };
    assert_eq!(asks("POST /sessions/a%20b/events", r#"{"type":"t","data":"x"}"#), Some(publish("x", true)));
    assert_eq!(of("POST /sessions/a%20b/events", r#"{"type":"t","data":"x"}"#).unwrap().session.as_deref(), Some("a b"));
    assert_eq!(asks("POST /sessions/s/events", r#"{"type":"note","data":"x","durable":false}"#), Some(publish("x", false)));
    assert_eq!(asks("POST /sessions/s/events", r#"{"type":"t"}"#), None, "an event without payload is none");
    assert_eq!(asks("POST /sessions/s/close", ""), Some(Asks::Close));
    assert_eq!(asks("DELETE /sessions/s", ""), Some(Asks::Delete));
    assert_eq!(asks("GET /health", ""), Some(Asks::Health));
    let after = |cursor: &str| Some(cursor.to_owned());
    assert_eq!(asks("GET /sessions/s/events?after=e%3A7", ""), Some(Asks::Stream { cursor: after("e:7") }));
    assert_eq!(asks("GET /sessions/s/history?after=e%3A7&limit=5", ""), Some(Asks::History { cursor: after("e:7"), limit: Some(5) }));
    assert_eq!(asks("GET /sessions/s/nothing", ""), None);
}

#[test]
fn a_publish_without_answer_is_unknown_and_a_refused_one_is_left_out() {
    let mut reel = Reel::default();
    reel.ask(1, "POST /sessions/s/events", r#"{"type":"t","data":"refused"}"#, "409 no");
    reel.client(1, "POST /sessions/s/events HTTP/1.1\r\nContent-Length: 23\r\n\r\n{\"type\":\"t\",\"data\":\"x\"}")
        .put(1, Taped::Closed(By::Broken));
    reel.put(1, Taped::Full);
    let profile = Profile::load("sse").unwrap();
    let told = conversation(reel.tape(), &profile).unwrap();
    let outcomes: Vec<bool> = told
        .history
        .records
        .iter()
        .filter_map(|record| match &record.what {
            What::Complete(complete) => Some(matches!(complete.outcome, Outcome::Unknown { .. })),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [false, true]);
    assert!(told.open.iter().any(|line| line.contains("as long as it may be")), "{:?}", told.open);
    let replayed = replayed(&told, &profile, "x");
    assert!(replayed.left_out.iter().any(|line| line.contains("refused with 409")), "{:?}", replayed.left_out);
}

/// The bytes of these messages, as somebody of this role sends them.
fn sent(role: Role, messages: &[&str]) -> Vec<u8> {
    let mut socket = WebSocket::from_raw_socket(Cursor::new(Vec::new()), role, None);
    for message in messages {
        socket.send(Message::text(*message)).unwrap();
    }
    socket.get_mut().flush().unwrap();
    socket.get_ref().get_ref().clone()
}

#[test]
fn messages_of_a_websocket_are_read_on_both_sides_in_pieces_of_every_size() {
    let subscribe = r#"{"type":"chat.subscribe","conversationId":"c"}"#;
    let delta = r#"{"type":"chat.event","event":{"type":"text-delta","conversationId":"c","turnId":"t","delta":"word"}}"#;
    let other = r#"{"type":"chat.event","event":{"type":"text-delta","conversationId":"d","turnId":"u","delta":"word"}}"#;
    let (asks, tells) = (sent(Role::Client, &[subscribe]), sent(Role::Server, &[delta, other, delta]));
    let profile = Profile::load("dispatch").unwrap();
    for size in [1, 2, 3, 7, 64, 4096] {
        let mut reel = Reel::default();
        reel.client(1, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        reel.server(1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        for piece in asks.chunks(size) {
            reel.put(1, Taped::Client(Bytes::of(piece)));
        }
        for piece in tells.chunks(size) {
            reel.put(1, Taped::Server(Bytes::of(piece)));
        }
        reel.put(1, Taped::Closed(By::Client));
        let told = conversation(reel.tape(), &profile).unwrap();
        let count = |wanted: fn(&What) -> bool| told.history.records.iter().filter(|record| wanted(&record.what)).count();
        assert_eq!(count(|what| matches!(what, What::Connect(_))), 1, "in pieces of {size}");
        assert_eq!(count(|what| matches!(what, What::Delivery(_))), 3, "in pieces of {size}: the profile's streams are isolated");
        // Two words of the one turn, and one of the other, which nobody here had asked for.
        assert_eq!(
            (count(|what| matches!(what, What::Invoke(invoke) if matches!(invoke.action, Action::Publish(_)))), told.foreign.len()),
            (3, 3)
        );
    }
    let mut reel = Reel::default();
    reel.client(1, "GET /ws HTTP/1.1\r\n\r\n").server(1, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    reel.put(1, Taped::Server(Bytes::of(&[0xc1, 0x01, 0x00])));
    let told = conversation(reel.tape(), &profile).unwrap();
    assert!(told.open.iter().any(|line| line.contains("WebSocket cannot be read")), "compressed messages are not read: {:?}", told.open);
}
