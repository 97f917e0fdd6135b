//! Turns: what they leave in the log, and what a stop of the process leaves of them.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::client::{Client, brief, serve};

const TOOL: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"r0 \"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"w0 \"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"ask\",\"arguments\":\"{\\\"question\\\":\\\"q\\\"}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n"
);
const STOP: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"w1 \"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"w0 \"}}]}\n\n";

/// A provider that calls a tool once, then stops; with `hang`, one that says a word and nothing more.
async fn provider(hang: bool) -> String {
    let answer = move |body: String| async move {
        if hang {
            let word = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(WORD.as_bytes())) });
            return Body::from_stream(word.chain(stream::pending()));
        }
        Body::from(if body.contains("\"role\":\"tool\"") { STOP } else { TOOL })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/chat/completions", post(answer))).await });
    url
}

async fn until_row(client: Client, session: &str, name: &str) {
    let mut tail = client.stream(&format!("/api/session/{session}/event")).await;
    tail.until(name).await;
}

#[tokio::test]
async fn a_turn_with_a_tool_has_the_rows_of_the_dossier() {
    let server = serve(&["--provider", &provider(false).await]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    client.prompt(&session, json!({ "prompt": { "text": "go" } })).await;
    let asks = format!("/api/session/{session}/permission");
    until_row(client, &session, "tool.called").await;
    let ask = loop {
        let (_, body) = client.call("GET", &asks, &Value::Null).await;
        if let Some(ask) = body["data"][0]["id"].as_str() {
            break ask.to_owned();
        }
    };
    let reply = format!("{asks}/{ask}/reply");
    assert_eq!(client.call("POST", &reply, &json!({ "reply": "maybe" })).await.0, 400);
    assert_eq!(client.call("POST", &reply, &json!({ "reply": "once" })).await.0, 204);
    let (status, body) = client.call("POST", &reply, &json!({ "reply": "once" })).await;
    assert_eq!((status, body["_tag"].as_str()), (404, Some("PermissionNotFoundError")));
    client.idle(&session).await;
    let rows = client.rows(&session).await;
    let wanted = [
        "1 prompt.admitted",
        "2 prompted",
        "3 step.started",
        "4 reasoning.started",
        "5 reasoning.ended",
        "6 text.started",
        "7 text.ended",
        "8 tool.input.started",
        "9 tool.input.ended",
        "10 tool.called",
        "11 tool.success",
        "12 step.ended",
        "13 step.started",
        "14 text.started",
        "15 text.ended",
        "16 step.ended",
    ];
    assert_eq!(brief(&rows), wanted);
    assert_eq!((&rows[11]["data"]["finish"], &rows[11]["durable"]["version"]), (&json!("tool-calls"), &json!(2)));
    assert_eq!((&rows[4]["data"]["text"], &rows[6]["data"]["text"]), (&json!("r0 "), &json!("w0 ")));
    server.stop().await;
}

#[tokio::test]
async fn an_interrupted_turn_is_failed_and_a_queued_prompt_waits_for_its_turn() {
    let server = serve(&["--provider", &provider(true).await]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let interrupt = format!("/api/session/{session}/interrupt");
    assert_eq!(client.call("POST", &interrupt, &Value::Null).await.0, 204, "also when idle");
    client.prompt(&session, json!({ "prompt": { "text": "go" } })).await;
    until_row(client, &session, "text.started").await;
    client.prompt(&session, json!({ "prompt": { "text": "later" }, "delivery": "queue", "resume": false })).await;
    assert_eq!(client.call("POST", &interrupt, &Value::Null).await.0, 204);
    client.idle(&session).await;
    let rows = client.rows(&session).await;
    let wanted =
        ["1 prompt.admitted", "2 prompted", "3 step.started", "4 text.started", "5 prompt.admitted", "6 text.ended", "7 step.failed"];
    assert_eq!(brief(&rows), wanted);
    assert_eq!(rows[6]["data"]["error"], json!({ "type": "unknown", "message": "Provider turn interrupted" }));
    server.stop().await;
}

#[tokio::test]
async fn a_step_that_the_process_did_not_end_is_failed_at_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let url = provider(true).await;
    let arguments = ["--data", data.path().to_str().unwrap(), "--provider", &url];
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let session = client.session().await;
    client.prompt(&session, json!({ "prompt": { "text": "go" } })).await;
    until_row(client, &session, "text.started").await;
    let before = client.rows(&session).await;
    server.stop().await;
    for _ in 0..2 {
        let server = serve(&arguments).await;
        let client = Client::of(&server);
        let rows = client.rows(&session).await;
        assert_eq!(rows[..4], before[..]);
        assert_eq!(brief(&rows[4..]), ["5 text.ended", "6 step.failed"], "once, however often it starts");
        assert_eq!(rows[5]["data"]["error"]["type"], "interrupted");
        assert_eq!(client.call("GET", "/api/session/active", &Value::Null).await.1, json!({ "data": {} }));
        server.stop().await;
    }
}
