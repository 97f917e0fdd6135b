//! Tails, the unified stream and the live stream.

use std::time::Duration;

use serde_json::json;

use crate::client::{Client, brief, frames, serve};
use crate::http::{ask, request};

#[tokio::test]
async fn a_head_does_not_wait_for_rows_and_a_cursor_above_them_is_refused() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let mut tail = client.stream(&format!("/api/session/{session}/event")).await;
    assert_eq!(tail.status, 200);
    assert!(tail.headers.contains("content-type: text/event-stream") && tail.headers.contains("no-cache"));
    client.row(&session, "a").await;
    tail.until("\"seq\":1").await;
    assert_eq!(client.stream(&format!("/api/session/{session}/event?after=2")).await.status, 400);
    assert_eq!(client.stream("/api/session/ses_none/event").await.status, 404);
    let head = request(server.address(), "HEAD", &format!("/api/session/{session}/event"), &[], "").await.unwrap();
    assert_eq!(head.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn the_unified_stream_says_the_activity_once_behind_its_replay() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    client.row(&session, "a").await;
    for (query, replayed) in [("", &["1 prompt.admitted"][..]), ("after=1", &[])] {
        let mut stream = client.stream(&format!("/api/session/{session}/events?{query}")).await;
        let seen = frames(
            &stream.until("session.activity\",\"data\":{\"activity\":{\"type\":\"idle\"}").await.replace("\"idle\"}", "\"idle\"}}}"),
        );
        assert_eq!(brief(&seen), [replayed, &["session.activity"]].concat());
        assert!(seen.last().unwrap().get("durable").is_none());
    }
    let mut stream = client.stream(&format!("/api/session/{session}/events?after=1")).await;
    stream.until("session.activity").await;
    client.prompt(&session, json!({ "prompt": { "text": "one two" } })).await;
    stream.until("step.ended").await;
    // Nothing follows the end of the turn: what is there once it is quiet is everything.
    assert!(!stream.listen(Duration::from_millis(50)).await, "it stays open");
    let seen = frames(std::str::from_utf8(&stream.body).unwrap());
    let wanted = [
        "session.activity",
        "2 prompt.admitted",
        "3 prompted",
        "4 prompted",
        "5 step.started",
        "6 text.started",
        "text.delta",
        "text.delta",
        "7 text.ended",
        "8 step.ended",
    ];
    assert_eq!(brief(&seen), wanted);
    let deltas: String = seen.iter().filter_map(|frame| frame["data"]["delta"].as_str()).collect();
    assert_eq!(seen[8]["data"]["text"], deltas);
    server.stop().await;
}

#[tokio::test]
async fn the_live_stream_replays_nothing_and_a_toast_does_not_end_it() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    client.row(&session, "before").await;
    let mut live = client.stream("/api/event").await;
    live.until(": heartbeat\n\n").await;
    client.call("POST", "/tui/show-toast", &json!({ "message": "m", "variant": "info" })).await;
    client.row(&session, "behind").await;
    let body = live.until("behind\"}}}\n\n").await;
    assert_eq!(brief(&frames(&body)), ["server.connected", "tui.toast.show", "2 prompt.admitted"]);
    assert!(!live.listen(Duration::from_millis(50)).await, "it stays open");
    server.stop().await;
}

#[tokio::test]
async fn every_surface_demands_the_password() {
    let server = serve(&["--password", "secret"]).await;
    let at = server.address();
    for path in ["/global/health", "/api/event", "/api/session/active", "/api/session/x/event", "/api/session/x/history"] {
        assert_eq!(ask(at, "GET", path, &[], "").await.0, 401, "{path}");
        assert_eq!(ask(at, "GET", path, &[("authorization", "Basic eDp5")], "").await.0, 401, "{path}");
    }
    let right = [("authorization", "Basic b3BlbmNvZGU6c2VjcmV0")];
    assert_eq!(ask(at, "GET", "/global/health", &right, "").await.0, 200);
    server.stop().await;
}
