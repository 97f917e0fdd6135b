//! WebSockets against servers that play a script of bytes; hostile ones included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::*;
use crate::contract::{Profile, Talk};
use crate::history::{ConnId, End, Ended, From, What};
use crate::run::binding::for_stream;
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::scenario::{Count, Cut, How, Inside, InsideAt};
use crate::world::live::http::Clients;
use crate::world::live::stream::{Follow, Handle};
use crate::world::{Command, ConnFault};

const PROFILE: &str = r#"name = "socket"
[binding.subscribe]
request = "GET /live"
json = { subscribe = "s" }
format = "websocket"
[binding.event]
payload = "/text"
[binding.frames]
terminal = { json = { "/over" = true } }
"#;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

/// A frame of a server: its first byte, and its payload.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..126 => vec![short as u8],
        middle @ 126..65536 => [&[126][..], &(middle as u16).to_be_bytes()].concat(),
        long => [&[127][..], &(long as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, payload].concat()
}

fn text(of: &str) -> Vec<u8> {
    frame(0x81, of.as_bytes())
}

fn event(n: u32) -> Vec<u8> {
    text(&format!("{{\"text\":\"«s0.{n}»\"}}"))
}

/// What a server does with the connection behind its bytes.
#[derive(Clone, Copy)]
enum Then {
    /// Close it in order, without a closing handshake.
    Fin,
    /// Reset it.
    Rst,
    /// Leave it open and say nothing more, whatever comes.
    Silence,
}

/// Reads the request's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
    String::from_utf8_lossy(&request).into_owned()
}

fn switching(request: &str) -> String {
    let key = request.lines().find_map(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim()));
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
}

/// A server whose every connection is switched, gets these bytes, and then that; its base URL.
async fn server(bytes: Vec<u8>, then: Then) -> (String, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let request = head(&mut stream).await;
                // A reader that has had enough is gone.
                let _ = stream.write_all(switching(&request).as_bytes()).await;
                let _ = stream.write_all(&bytes).await;
                match then {
                    Then::Fin => drop(stream),
                    Then::Rst => {
                        let _ = stream.set_zero_linger();
                    }
                    Then::Silence => {
                        let mut heard = [0; 1024];
                        while stream.read(&mut heard).await.is_ok_and(|n| n > 0) {}
                    }
                }
            });
        }
    });
    (format!("http://{address}"), address)
}

struct Reading {
    seen: Vec<String>,
    lint: usize,
    ended: Ended,
}

/// A connection that is not awaited yet.
fn follow(base: &str, upstream: Option<std::net::SocketAddr>, faults: Vec<ConnFault>) -> (Follow, Recorder, Handle, Progress) {
    let profile = Arc::new(Profile::parse("socket.toml", PROFILE).expect("the profile is right"));
    let (recorder, handle, progress) = (Recorder::default(), Handle::default(), Progress::default());
    let follow = Follow {
        paying: None,
        driven: None,
        own: String::new(),
        conn: ConnId(0),
        profile,
        vars: Vars::default(),
        base: base.to_owned(),
        upstream,
        faults,
        compressed: false,
        client: Clients::new().unwrap().streams(),
        recorder: recorder.clone(),
        origin: Instant::now(),
        progress: progress.clone(),
        handle: handle.clone(),
    };
    (follow, recorder, handle, progress)
}

async fn run(follow: Follow, recorder: Recorder) -> Reading {
    let request = for_stream(&follow.profile.binding, &Vars::default(), &From::Start);
    tokio::time::timeout(DEADLINE, follow.run(request)).await.expect("the reader comes to an end");
    reading(&recorder)
}

fn reading(recorder: &Recorder) -> Reading {
    let (mut seen, mut lint, mut ended) = (Vec::new(), 0, None);
    for record in recorder.take() {
        match record.what {
            What::Answer(answer) => seen.push(format!("{} {}", answer.status, if answer.accepted { "accepted" } else { "refused" })),
            What::Delivery(delivery) => {
                let what = delivery.marker.map_or_else(String::new, |m| format!(" {}", m.n));
                seen.push(format!("{:?}{what} in {}", delivery.kind, delivery.frame));
            }
            What::Lint(_) => lint += 1,
            What::End(End { how, .. }) => assert!(ended.replace(how).is_none(), "it ends once"),
            _ => {}
        }
    }
    Reading { seen, lint, ended: ended.expect("the end is recorded") }
}

/// What a reader records of such a server.
async fn read(bytes: Vec<u8>, then: Then) -> Reading {
    let (base, _) = server(bytes, then).await;
    let (follow, recorder, _, _) = follow(&base, None, Vec::new());
    run(follow, recorder).await
}

#[tokio::test]
async fn each_text_message_is_an_event_and_a_close_is_an_end() {
    let close = frame(0x88, &[3, 232]);
    let halves = [frame(0x01, b"{\"text\":\"\xc2"), frame(0x89, b"ping"), frame(0x80, b"\xabs0.2\xc2\xbb\"}")].concat();
    let all = [event(1), halves, text("{\"over\":true}"), close].concat();
    let read = read(all, Then::Silence).await;
    assert_eq!(read.seen, ["101 accepted", "Event 1 in 0", "Event 2 in 1", "Terminal in 2"]);
    assert_eq!((read.ended, read.lint), (Ended::Eof, 0));
}

#[tokio::test]
async fn close_codes_with_and_without_a_reason_are_ends() {
    let reasoned = |code: u16, reason: &str| [&code.to_be_bytes()[..], reason.as_bytes()].concat();
    for payload in [Vec::new(), reasoned(1000, ""), reasoned(1001, "away"), reasoned(1013, "too far behind"), reasoned(4400, "own")] {
        let read = read([event(1), frame(0x88, &payload)].concat(), Then::Fin).await;
        assert_eq!((read.seen.len(), read.ended), (2, Ended::Eof), "{payload:?}");
    }
}

#[tokio::test]
async fn an_end_without_a_closing_handshake_is_a_break() {
    for then in [Then::Fin, Then::Rst] {
        let read = read(event(1), then).await;
        assert!(matches!(read.ended, Ended::Broken { .. }), "{:?}", read.ended);
    }
}

#[tokio::test]
async fn an_end_inside_a_message_delivers_nothing_of_it() {
    let whole = event(2);
    for cut in 1..whole.len() {
        let read = read([event(1), whole[..cut].to_vec()].concat(), Then::Fin).await;
        assert_eq!(read.seen, ["101 accepted", "Event 1 in 0"], "cut after {cut}");
        assert!(matches!(read.ended, Ended::Broken { .. }), "cut after {cut}: {:?}", read.ended);
    }
}

#[tokio::test]
async fn bytes_that_are_no_frames_are_the_servers_fault() {
    let masked = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2].to_vec();
    let scripts: [(&str, Vec<u8>); 8] = [
        ("an answer of HTTP", b"HTTP/1.1 200 OK\r\n\r\n".repeat(20)),
        ("a reserved bit", frame(0xc1, b"x")),
        ("a reserved opcode", frame(0x83, b"x")),
        ("a control frame in pieces", frame(0x09, b"x")),
        ("a long control frame", frame(0x89, &[b'x'; 126])),
        ("a continuation of nothing", frame(0x80, b"x")),
        ("a text that is not UTF-8", frame(0x81, &[0xff, 0xfe])),
        ("a masked frame", masked),
    ];
    for (what, script) in scripts {
        let read = read([event(1), script].concat(), Then::Silence).await;
        assert_eq!(read.seen, ["101 accepted", "Event 1 in 0"], "{what}");
        assert!(matches!(read.ended, Ended::Undecodable { .. }), "{what}: {:?}", read.ended);
    }
}

#[tokio::test]
async fn a_frame_that_claims_to_be_endless_is_refused_at_its_head() {
    for claimed in [(MOST_MESSAGE as u64) + 1, u64::MAX >> 1, u64::MAX] {
        let head = [&[0x81, 127][..], &claimed.to_be_bytes()].concat();
        let read = read([event(1), head].concat(), Then::Silence).await;
        assert_eq!(read.seen.len(), 2);
        assert!(matches!(read.ended, Ended::Undecodable { .. }), "{claimed}: {:?}", read.ended);
    }
}

#[tokio::test]
async fn a_message_of_endless_pieces_is_refused() {
    let piece = vec![b'x'; 8 << 20];
    let mut script = frame(0x01, &piece);
    for _ in 0..8 {
        script.extend(frame(0x00, &piece));
    }
    let read = read(script, Then::Silence).await;
    assert_eq!(read.seen, ["101 accepted"]);
    assert!(matches!(read.ended, Ended::Undecodable { .. }), "{:?}", read.ended);
}

#[tokio::test]
async fn messages_that_are_no_events_are_noise() {
    let script = [frame(0x82, b"binary"), text("no JSON"), text("[]"), text(""), event(1), frame(0x88, &[3, 232])].concat();
    let read = read(script, Then::Silence).await;
    assert_eq!(read.seen, ["101 accepted", "Other in 0", "Other in 1", "Other in 2", "Event 1 in 3"]);
    assert_eq!((read.ended, read.lint), (Ended::Eof, 1), "a binary message is a finding");
}

#[tokio::test]
async fn a_silent_server_is_left_when_the_runner_says_so() {
    let (base, _) = server(event(1), Then::Silence).await;
    let (follow, recorder, handle, progress) = follow(&base, None, Vec::new());
    let observed = recorder.clone();
    let closing = async {
        assert!(super::super::until(&observed, Duration::from_secs(10), || !progress.state().markers.is_empty()).await);
        handle.order(Command::Close);
    };
    let (read, ()) = tokio::join!(run(follow, recorder), closing);
    assert_eq!(read.ended, Ended::Ours);
}

#[tokio::test]
async fn a_server_that_never_answers_the_upgrade_is_left_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (follow, recorder, handle, _) = follow(&base, None, Vec::new());
    let closing = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        handle.order(Command::Close);
        stream
    };
    let (read, _) = tokio::join!(run(follow, recorder), closing);
    assert_eq!((read.seen.len(), read.ended), (0, Ended::Ours));
}

/// What a reader records of a server that answers the upgrade like this.
async fn answered(answer: &'static str) -> Reading {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let (follow, recorder, _, _) = follow(&base, None, Vec::new());
    run(follow, recorder).await
}

#[tokio::test]
async fn another_answer_than_the_upgrade_is_a_refusal_or_none() {
    for status in [200, 401, 404, 426, 503] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nno");
        let read = answered(answer.leak()).await;
        assert_eq!((read.seen, read.ended), (vec![format!("{status} refused")], Ended::Done));
    }
    let bare = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    for answer in [bare, wrong, "garbage\r\n\r\n", ""] {
        let read = answered(answer).await;
        assert!(read.seen.is_empty() && matches!(read.ended, Ended::NoAnswer { .. }), "{answer:?}: {:?}", read.ended);
    }
}

/// What a reader records behind the proxy.
async fn faulted(bytes: Vec<u8>, fault: ConnFault) -> Reading {
    let (base, address) = server(bytes, Then::Silence).await;
    let (follow, recorder, _, _) = follow(&base, Some(address), vec![fault]);
    run(follow, recorder).await
}

fn cut(how: How) -> Cut {
    Cut { reader: "a".to_owned(), how, after_events: None, inside: None, after_bytes: None, before_headers: false, before_terminal: false }
}

#[tokio::test]
async fn a_cut_behind_a_message_lets_exactly_that_many_through() {
    let script: Vec<u8> = (1..=5).flat_map(event).chain(frame(0x89, b"ping")).collect();
    for how in [How::Fin, How::Rst] {
        for n in 1..=5 {
            let fault = ConnFault::Cut(Cut { after_events: Some(Count::N(n)), ..cut(how) });
            let read = faulted(script.clone(), fault).await;
            // A reset may overtake what the reader has not taken yet.
            let least = if how == How::Rst { 1 } else { 1 + n as usize };
            assert!((least..=1 + n as usize).contains(&read.seen.len()), "{how:?} after {n}: {:?}", read.seen);
            assert_eq!(read.ended, Ended::Ours);
        }
    }
}

#[tokio::test]
async fn a_cut_inside_a_message_holds_that_one_back() {
    let script: Vec<u8> = (1..=3).flat_map(event).collect();
    for n in 0..3 {
        let inside = Some(Inside { after_events: n, at: InsideAt::Line });
        let read = faulted(script.clone(), ConnFault::Cut(Cut { inside, ..cut(How::Fin) })).await;
        assert_eq!(read.seen.len(), 1 + n as usize, "inside the message behind {n}: {:?}", read.seen);
    }
    let ending = [event(1), text("{\"over\":true}")].concat();
    let binding = Cut { after_bytes: Some(Count::N(event(1).len() as u32 + 3)), ..cut(How::Fin) };
    let read = faulted(ending, ConnFault::Cut(binding)).await;
    assert_eq!(read.seen, ["101 accepted", "Event 1 in 0"]);
}

fn pattern(of: &[(&str, Value)]) -> BTreeMap<String, Value> {
    of.iter().map(|(pointer, value)| ((*pointer).to_owned(), value.clone())).collect()
}

async fn exchanged(bytes: Vec<u8>, then: Then, talk: &Exchange, within: Duration) -> Result<Whole, NoAnswer> {
    let (base, _) = server(bytes, then).await;
    let request = Request { method: "GET".to_owned(), target: "/live".to_owned(), headers: Vec::new(), body: None, secrets: Vec::new() };
    let mut vars = Vars::default();
    vars.text("n", "2");
    tokio::time::timeout(DEADLINE, exchange(&base, &request, talk, &vars, within)).await.expect("an exchange has a deadline")
}

fn asking() -> Exchange {
    let refused = Some(pattern(&[("/no", json!(true))]));
    Exchange {
        send: vec![json!("hello")],
        reply: Some(pattern(&[("/yes", json!("{n}"))])),
        refused,
        then: Vec::new(),
        keep: None,
        breaks: false,
    }
}

#[tokio::test]
async fn an_exchange_ends_with_the_message_that_answers_or_refuses() {
    let noise = [frame(0x82, b"x"), text("x"), text("{\"yes\":\"1\"}")].concat();
    let soon = Duration::from_secs(10);
    for (last, status) in [("{\"yes\":\"2\"}", 200), ("{\"no\":true}", 400)] {
        for then in [Then::Silence, Then::Fin] {
            let whole = exchanged([noise.clone(), text(last)].concat(), then, &asking(), soon).await;
            assert_eq!(whole.map(|whole| (whole.status, whole.body)).ok(), Some((status, last.to_owned())));
        }
    }
    let nothing = Exchange { reply: None, ..asking() };
    assert_eq!(exchanged(Vec::new(), Then::Silence, &nothing, soon).await.map(|whole| whole.status).ok(), Some(101));
}

#[tokio::test]
async fn an_exchange_without_an_answer_is_lost_in_time() {
    let lost = |answer: Result<Whole, NoAnswer>| matches!(answer, Err(NoAnswer::Lost(_)));
    assert!(lost(exchanged(text("{}"), Then::Silence, &asking(), Duration::from_millis(200)).await));
    assert!(lost(exchanged(text("{}"), Then::Fin, &asking(), DEADLINE).await));
    assert!(lost(exchanged(frame(0x88, &[3, 232]), Then::Silence, &asking(), DEADLINE).await));
    assert!(lost(exchanged(b"garbage".to_vec(), Then::Silence, &asking(), DEADLINE).await));
}

#[tokio::test]
async fn an_exchange_goes_on_and_keeps_what_it_was_told_to() {
    let script: Vec<u8> =
        ["{\"yes\":\"2\"}", "{\"w\":1}", "{\"x\":1,\"w\":1}", "{\"end\":true}", "{\"w\":1}"].into_iter().flat_map(text).collect();
    let end = Talk { send: Vec::new(), reply: pattern(&[("/end", json!(true))]), refused: None };
    let whole = exchanged(script.clone(), Then::Silence, &Exchange { then: vec![end.clone()], ..asking() }, DEADLINE).await;
    assert_eq!(whole.map(|whole| whole.body).ok().as_deref(), Some("{\"end\":true}"));
    let keep = Some(pattern(&[("/w", json!(1))]));
    let kept = Exchange { then: vec![end.clone()], keep, breaks: true, ..asking() };
    let whole = exchanged(script.clone(), Then::Silence, &kept, DEADLINE).await;
    assert_eq!(whole.map(|whole| whole.body).ok().as_deref(), Some("[{\"w\":1},{\"x\":1,\"w\":1}]"));
    let refused = Talk { refused: Some(pattern(&[("/x", json!(1))])), ..end };
    let whole = exchanged(script, Then::Silence, &Exchange { then: vec![refused], ..asking() }, DEADLINE).await;
    assert_eq!(whole.map(|whole| whole.status).ok(), Some(400), "a refusal ends it");
}

#[tokio::test]
async fn a_subscription_is_refused_by_its_message_or_not_at_all() {
    let refused = pattern(&[("/type", json!("error"))]);
    let request = Request {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        headers: Vec::new(),
        body: Some("{\"subscribe\":\"x\"}".to_owned()),
        secrets: Vec::new(),
    };
    for (script, status) in [(text("{\"type\":\"error\"}"), 400), (event(1), 101)] {
        let (base, _) = server(script, Then::Silence).await;
        let asked = subscribe(&base, &request, &refused, &Vars::default(), Duration::from_millis(300)).await;
        assert_eq!(asked.map(|(status, _)| status).ok(), Some(status));
    }
}
