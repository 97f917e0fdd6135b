//! The base dialect over real sockets: what the wire looks like, and what is refused.

use std::net::SocketAddr;

use clap::Parser;
use streamspec_reference_server::{Running, ServeOptions, start};

use crate::http::{DEADLINE, ask, member, request};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: ServeOptions,
}

pub(crate) fn options(arguments: &[&str]) -> ServeOptions {
    Arguments::parse_from(std::iter::once(&"serve").chain(arguments)).options
}

async fn serve(arguments: &[&str]) -> Running {
    start(&options(arguments)).await.unwrap()
}

/// Opens the session `s` and returns its epoch.
async fn open(at: SocketAddr, body: &str) -> String {
    let (status, answer) = ask(at, "POST", "/sessions", &[], body).await;
    assert_eq!(status, 201, "{answer}");
    member(&answer, "epoch")
}

async fn publish(at: SocketAddr, body: &str) -> (u16, String) {
    ask(at, "POST", "/sessions/s/events", &[], body).await
}

const OPEN: &str = r#"{"id":"s"}"#;

#[tokio::test]
async fn a_stream_is_replay_boundary_live_terminal_and_its_end() {
    let server = serve(&[]).await;
    let at = server.address();
    let e = open(at, OPEN).await;
    for n in 1..=3 {
        assert_eq!(publish(at, &format!(r#"{{"data":"m{n}"}}"#)).await, (201, format!(r#"{{"cursor":"{e}:{n}"}}"#)));
    }
    let mut stream = request(at, "GET", "/sessions/s/events", &[("Last-Event-ID", &format!("{e}:1"))], "").await.unwrap();
    assert_eq!(stream.status, 200);
    for header in ["content-type: text/event-stream\r\n", "cache-control: no-cache, no-transform\r\n", "x-accel-buffering: no\r\n"] {
        assert!(stream.headers.contains(header), "{}", stream.headers);
    }
    stream.until("event: ready").await;
    assert_eq!(publish(at, r#"{"type":"note","data":7,"durable":false}"#).await, (202, r#"{"cursor":null}"#.to_owned()));
    assert_eq!(publish(at, r#"{"type":"word","data":{"a":1}}"#).await.0, 201);
    let closed = ask(at, "POST", "/sessions/s/close", &[], "").await;
    assert_eq!(closed, (200, format!(r#"{{"cursor":"{e}:5"}}"#)));
    assert_eq!(ask(at, "POST", "/sessions/s/close", &[], "").await, closed, "closing is idempotent");
    let replay: String =
        (2..=3).map(|n| format!("id: {e}:{n}\nevent: message\ndata: {{\"session\":\"s\",\"data\":\"m{n}\"}}\n\n")).collect();
    let live = format!(
        "event: note\ndata: {{\"session\":\"s\",\"data\":7}}\n\nid: {e}:4\nevent: word\ndata: {{\"session\":\"s\",\"data\":{{\"a\":1}}}}\n\n"
    );
    let end = format!("id: {e}:5\nevent: end\ndata: {{\"session\":\"s\",\"data\":{{\"reason\":\"closed\"}}}}\n\n");
    let ready = format!("event: ready\ndata: {{\"cursor\":\"{e}:3\"}}\n\n");
    assert_eq!(stream.end().await, format!("retry: 1000\n\n{replay}{ready}{live}{end}"));

    let again = ask(at, "GET", "/sessions/s/events", &[("Last-Event-ID", &format!("{e}:3"))], "").await;
    assert_eq!(again.1.matches("event: ready").count(), 0, "no live part, no boundary");
    assert!(again.1.ends_with(&end) && !again.1.contains("event: note"), "{}", again.1);
    for told in [format!("/sessions/s/events?after={e}:5"), "/sessions/s/events?after=latest".to_owned()] {
        assert_eq!(ask(at, "GET", &told, &[], "").await, (204, String::new()), "{told}");
    }
    assert_eq!(publish(at, r#"{"data":1}"#).await.0, 409);
    assert_eq!(publish(at, r#"{"data":1,"durable":false}"#).await.0, 409);
}

#[tokio::test]
async fn refusals_come_before_the_stream_and_say_why() {
    let server = serve(&[]).await;
    let at = server.address();
    let e = open(at, OPEN).await;
    publish(at, r#"{"data":1}"#).await;
    let other = member(&ask(at, "POST", "/sessions", &[], "{}").await.1, "cursor");
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(9 << 20));
    let long = format!("{e}:12345678901234567890");
    let subscriptions = [
        ("/sessions/none/events", "", 404),
        ("/sessions/s/events", "junk", 400),
        ("/sessions/s/events", "1", 400),
        ("/sessions/s/events", &format!("{e}:+1"), 400),
        ("/sessions/s/events", &format!("{e}:01"), 400),
        ("/sessions/s/events", &long, 400),
        ("/sessions/s/events", &format!("{e}:2"), 409),
        ("/sessions/s/events", &other, 410),
        ("/sessions/s/history?limit=0", "", 400),
        ("/sessions/s/history?limit=-1", "", 400),
        ("/sessions/s/history?limit=1001", "", 400),
        ("/sessions/s/history?after=x", "", 400),
        ("/sessions/none/history", "", 404),
        ("/sessions/none/snapshot", "", 404),
        ("/nothing", "", 404),
    ];
    let mut refused = Vec::new();
    for (path, cursor, status) in subscriptions {
        refused.push((format!("{path} {cursor}"), ask(at, "GET", path, &[("Last-Event-ID", cursor)], "").await, status));
    }
    let bodies = [
        ("POST", "/sessions", OPEN, 409),
        ("POST", "/sessions", r#"{"retain":{"records":0}}"#, 400),
        ("POST", "/sessions", r#"{"retain":{"records":-3}}"#, 400),
        ("POST", "/sessions", r#"{"retain":{"age_ms":1.5}}"#, 400),
        ("POST", "/sessions", r#"{"id":"a\nb"}"#, 400),
        ("POST", "/sessions/none/events", r#"{"data":1}"#, 404),
        ("POST", "/sessions/s/events", r#"{"data":1,"type":"a\nb"}"#, 400),
        ("POST", "/sessions/s/events", r#"{"data":1,"type":"end"}"#, 400),
        ("POST", "/sessions/s/events", r#"{"type":"message"}"#, 400),
        ("POST", "/sessions/s/events", "{", 400),
        ("POST", "/sessions/s/events", &large, 413),
        ("POST", "/sessions/none/close", "", 404),
        ("DELETE", "/sessions/none", "", 404),
        ("PUT", "/sessions/s/events", "", 405),
        ("DELETE", "/sessions/s/events", "", 405),
    ];
    for (method, path, body, status) in bodies {
        let shown = &body[..body.len().min(40)];
        refused.push((format!("{method} {path} {shown}"), ask(at, method, path, &[], body).await, status));
    }
    for (what, (status, body), expected) in refused {
        assert_eq!(status, expected, "{what}: {body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{what}: no JSON: {body}"));
        assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{what}: {body}");
    }
}

#[tokio::test]
async fn the_header_wins_over_the_query_and_empty_means_none() {
    let server = serve(&[]).await;
    let at = server.address();
    let e = open(at, OPEN).await;
    for _ in 0..3 {
        publish(at, r#"{"data":1}"#).await;
    }
    for (header, query, first) in [(Some("2"), "1", 3), (None, "1", 2), (Some(""), "2", 1)] {
        let header = header.map(|n| if n.is_empty() { String::new() } else { format!("{e}:{n}") });
        let headers: Vec<(&str, &str)> = header.iter().map(|value| ("Last-Event-ID", value.as_str())).collect();
        let mut stream = request(at, "GET", &format!("/sessions/s/events?after={e}:{query}"), &headers, "").await.unwrap();
        let replay = stream.until("event: ready").await;
        assert!(replay.starts_with(&format!("retry: 1000\n\nid: {e}:{first}\n")), "{header:?}: {replay}");
    }
}

#[tokio::test]
async fn an_evicted_cursor_is_told_and_the_stream_goes_on() {
    let server = serve(&["--retain-records", "2"]).await;
    let at = server.address();
    let e = open(at, OPEN).await;
    for _ in 0..5 {
        publish(at, r#"{"data":1}"#).await;
    }
    for (cursor, gap) in [("", Some("null".to_owned())), ("0", Some(format!("\"{e}:0\""))), ("2", Some(format!("\"{e}:2\""))), ("3", None)]
    {
        let header = if cursor.is_empty() { String::new() } else { format!("{e}:{cursor}") };
        let mut stream = request(at, "GET", "/sessions/s/events", &[("Last-Event-ID", &header)], "").await.unwrap();
        let replay = stream.until("event: ready").await;
        let gap =
            gap.map_or(String::new(), |requested| format!("event: gap\ndata: {{\"requested\":{requested},\"oldest\":\"{e}:4\"}}\n\n"));
        assert!(replay.starts_with(&format!("retry: 1000\n\n{gap}id: {e}:4\n")), "{cursor}: {replay}");
    }
    let (_, page) = ask(at, "GET", &format!("/sessions/s/history?after={e}:1&limit=1"), &[], "").await;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!((page["gap"].as_bool(), page["more"].as_bool()), (Some(true), Some(true)));
    assert_eq!(page["next"].as_str(), Some(format!("{e}:4").as_str()));
}

#[tokio::test]
async fn payloads_pass_unchanged_through_every_view() {
    let server = serve(&[]).await;
    let at = server.address();
    open(at, OPEN).await;
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let payloads = [
        "\"\u{85}\u{2028}\u{2029}\u{feff}\"",
        r#""\u0000\r\n\ud800 lone \udfff""#,
        r#"{"b":1.0,"a":1e400,"a":12345678901234567890123,"s":"a \" b \\"}"#,
        "[]",
        "null",
        &large,
    ];
    for payload in payloads {
        let spaced = payload.replacen('{', "{\r\n\t ", 1);
        assert_eq!(publish(at, &format!("{{ \"data\" : {spaced} }}")).await.0, 201, "{payload:.60}");
    }
    let mut stream = request(at, "GET", "/sessions/s/events", &[], "").await.unwrap();
    let replay = stream.until("event: ready").await;
    let (_, history) = ask(at, "GET", "/sessions/s/history", &[], "").await;
    let (_, snapshot) = ask(at, "GET", "/sessions/s/snapshot", &[], "").await;
    for payload in payloads {
        assert!(replay.contains(&format!("data: {{\"session\":\"s\",\"data\":{payload}}}\n\n")), "{payload:.60}");
        for view in [&history, &snapshot] {
            assert!(view.contains(&format!("\"data\":{payload}}}")), "{payload:.60}");
        }
    }
}

#[tokio::test]
async fn a_repeated_key_is_one_event() {
    let server = serve(&[]).await;
    let at = server.address();
    let e = open(at, OPEN).await;
    let keyed = |body: &'static str| ask(at, "POST", "/sessions/s/events", &[("Idempotency-Key", "k")], body);
    let first = format!(r#"{{"cursor":"{e}:1"}}"#);
    assert_eq!(keyed(r#"{"data":"a"}"#).await, (201, first.clone()));
    assert_eq!(keyed(r#"{ "data": "a" }"#).await, (200, first.clone()));
    assert_eq!(keyed(r#"{"data":"b"}"#).await.0, 409);
    ask(at, "POST", "/sessions/s/close", &[], "").await;
    assert_eq!(keyed(r#"{"data":"a"}"#).await, (200, first), "a retry learns its answer after the end, too");
}

#[tokio::test]
async fn a_deleted_session_ends_its_streams_and_can_be_made_anew() {
    let server = serve(&[]).await;
    let at = server.address();
    let e = open(at, OPEN).await;
    let mut stream = request(at, "GET", "/sessions/s/events", &[], "").await.unwrap();
    stream.until("event: ready").await;
    assert_eq!(ask(at, "DELETE", "/sessions/s", &[], "").await.0, 204);
    assert!(!stream.end().await.contains("event: end"));
    assert_eq!(ask(at, "GET", "/sessions/s/events", &[], "").await.0, 404);
    let anew = open(at, OPEN).await;
    assert_ne!(anew, e);
    assert_eq!(ask(at, "GET", &format!("/sessions/s/events?after={e}:0"), &[], "").await.0, 410);
}

#[tokio::test]
async fn an_idle_stream_beats() {
    let server = serve(&["--heartbeat", "20ms"]).await;
    open(server.address(), OPEN).await;
    let mut stream = request(server.address(), "GET", "/sessions/s/events", &[], "").await.unwrap();
    stream.until(": heartbeat\n\n: heartbeat\n\n").await;
}

#[tokio::test]
async fn a_dropped_connection_frees_its_reader_although_nothing_happens() {
    let server = serve(&["--heartbeat", "1h"]).await;
    let at = server.address();
    open(at, OPEN).await;
    let cell = server.hub().find("s").unwrap();
    let mut stream = request(at, "GET", "/sessions/s/events", &[], "").await.unwrap();
    stream.until("event: ready").await;
    assert_eq!(cell.lock().readers(), 1);
    drop(stream);
    let freed = async {
        while cell.lock().readers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, freed).await.expect("the reader is forgotten");
}

#[tokio::test]
async fn a_reader_that_does_not_read_harms_nobody_and_loses_nothing() {
    let server = serve(&[]).await;
    let at = server.address();
    open(at, OPEN).await;
    let mut slow = request(at, "GET", "/sessions/s/events", &[], "").await.unwrap();
    let mut quick = request(at, "GET", "/sessions/s/events?after=latest", &[], "").await.unwrap();
    quick.until("event: ready").await;
    let filler = "x".repeat(1 << 20);
    for n in 1..=24 {
        assert_eq!(publish(at, &format!(r#"{{"data":"m{n}.{filler}"}}"#)).await.0, 201);
        quick.until(&format!("\"m{n}.")).await;
    }
    let read = slow.until("\"m24.").await;
    let mut from = 0;
    for n in 1..=24 {
        from += read[from..].find(&format!("\"m{n}.")).unwrap_or_else(|| panic!("m{n} is missing or out of order"));
    }
}

#[tokio::test]
async fn stopping_ends_the_streams() {
    let server = serve(&[]).await;
    open(server.address(), OPEN).await;
    let mut stream = request(server.address(), "GET", "/sessions/s/events", &[], "").await.unwrap();
    stream.until("event: ready").await;
    server.stop().await;
    assert!(stream.end().await.ends_with("}\n\n"));
}
