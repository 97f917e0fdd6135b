//! Turns: detached, watched, queued into, aborted, killed.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Socket, get, history, send, serve, short};
use crate::http::request;
use crate::provider::Provider;

/// The transcript of the dossier: the starter goes in the middle of the turn, a late joiner gets all of it, and then the
/// history has it.
#[tokio::test]
async fn a_turn_outlives_its_starter_and_a_late_joiner_gets_all_of_it() {
    let provider = Provider::start().await;
    let feed = provider.next();
    let server = serve(&["--provider", &provider.url]).await;
    let at = server.address();
    let mut starter = Socket::open(at, "/").await;
    starter.prompt("c1", "hi").await;
    feed.text("w0 ");
    feed.text("w1 ");
    let seen = starter.upto("text-delta").await;
    assert_eq!(short(&seen), ["turn-start", "text-delta w0 "]);
    assert!(seen.iter().all(|event| event["conversationId"] == "c1" && event["turnId"] == seen[0]["turnId"] && event.get("seq").is_none()));
    drop(starter);
    let mut joiner = Socket::open(at, "/any/path").await;
    joiner.subscribe("c1").await;
    assert_eq!(short(&joiner.upto("text-delta").await), ["turn-start", "text-delta w0 "]);
    assert_eq!(short(&joiner.upto("text-delta").await), ["text-delta w1 "]);
    assert_eq!(get(at, "/conversations?status=active").await.1["conversations"][0]["conversationId"], "c1");
    feed.text("w2 ");
    feed.finish();
    assert_eq!(short(&joiner.upto("turn-sealed").await), ["text-delta w2 ", "usage", "done stop", "turn-sealed"]);
    assert_eq!(history(at, "c1").await, ["user text hi", "assistant text w0 w1 w2 "]);
    assert_eq!(get(at, "/conversations/c1?sinceSeq=1").await.1["latestSeq"], 2);
    server.stop().await;
}

#[tokio::test]
async fn lines_and_messages_of_a_turn_are_the_same_events_and_a_reader_of_lines_may_leave() {
    let provider = Provider::start().await;
    let (first, second) = (provider.next(), provider.next());
    let server = serve(&["--provider", &provider.url]).await;
    let at = server.address();
    let lines = request(at, "POST", "/chat", &[], r#"{"conversationId":"c","message":"go"}"#).await.unwrap();
    assert_eq!(lines.status, 200);
    assert!(lines.headers.contains("x-conversation-id: c") && lines.headers.contains("application/x-ndjson"), "{}", lines.headers);
    let mut socket = Socket::open(at, "/").await;
    socket.subscribe("c").await;
    first.reasoning("r");
    first.text("w0 ");
    first.tool("call", "echo", &json!({ "text": "x" }));
    second.text("w1 ");
    second.finish();
    let events = socket.upto("turn-sealed").await;
    let written: Vec<Value> = lines.end().await.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written, events);
    let kinds =
        "turn-start|reasoning-delta r|text-delta w0 |usage|tool-call|tool-output|tool-result|text-delta w1 |usage|done stop|turn-sealed";
    assert_eq!(short(&events).join("|"), kinds);

    let feed = provider.next();
    let mut leaver = request(at, "POST", "/chat", &[], r#"{"conversationId":"c","message":"on"}"#).await.unwrap();
    feed.text("w2 ");
    leaver.until("w2 ").await;
    drop(leaver);
    feed.text("w3 ");
    feed.finish();
    assert_eq!(get(at, "/conversations/c/last").await.1["text"], "w2 w3 ");
    let wanted = [
        "user text go",
        "assistant thinking r",
        "assistant text w0 ",
        "assistant tool-call",
        "tool tool-result x",
        "assistant text w1 ",
        "user text on",
        "assistant text w2 w3 ",
    ];
    assert_eq!(history(at, "c").await, wanted);
    server.stop().await;
}

#[tokio::test]
async fn broadcasts_reach_every_socket_once() {
    let server = serve(&[]).await;
    let at = server.address();
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = Socket::open(at, "/").await;
        // The answer to nonsense tells that the socket is known.
        socket.raw(Message::text("nonsense")).await;
        socket.of_type("chat.error").await;
        sockets.push(socket);
    }
    assert_eq!(send(at, "POST", "/chat/warm", &json!({ "conversationId": "c" })).await.0, 404);
    sockets[0].prompt("c", "a b").await;
    let mut statuses = Vec::new();
    for socket in &mut sockets {
        let mut own = Vec::new();
        while own.len() < 2 {
            own.push(socket.of_type("conversation.statusChanged").await["status"].as_str().unwrap().to_owned());
        }
        statuses.push(own);
    }
    assert_eq!(statuses, vec![vec!["active", "idle"]; 3]);
    // The seal follows the status.
    sockets[0].upto("turn-sealed").await;
    assert_eq!(send(at, "POST", "/conversations/c/open", &json!({})).await.0, 200);
    for socket in &mut sockets {
        let next = socket.next().await.unwrap();
        assert_eq!((next["type"].as_str(), next["conversationId"].as_str()), (Some("conversation.open"), Some("c")), "nothing in between");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_close_aborts_keeps_what_was_said_and_is_said_once() {
    let provider = Provider::start().await;
    let feed = provider.next();
    let server = serve(&["--provider", &provider.url]).await;
    let at = server.address();
    let mut socket = Socket::open(at, "/").await;
    socket.prompt("c", "go").await;
    feed.text("w0 ");
    socket.upto("text-delta").await;
    assert_eq!(send(at, "POST", "/conversations/c/compact", &json!({})).await.0, 409);
    assert_eq!(send(at, "POST", "/chat", &json!({ "conversationId": "c", "message": "me too" })).await.0, 409);
    assert_eq!(send(at, "POST", "/conversations/c/queue", &json!({ "message": "later" })).await.0, 202);
    let closed = send(at, "POST", "/conversations/c/close", &json!({})).await;
    assert_eq!(closed, (200, json!({ "conversationId": "c", "abortedTurn": true })));
    assert_eq!(short(&socket.upto("turn-sealed").await), ["done aborted", "turn-sealed"]);
    assert_eq!(history(at, "c").await, ["user text go", "assistant text w0 "]);
    assert_eq!(send(at, "POST", "/conversations/c/close", &json!({})).await.1["abortedTurn"], false);
    for (method, path) in [("POST", "/chat"), ("POST", "/conversations/c/queue")] {
        assert_eq!(send(at, method, path, &json!({ "conversationId": "c", "message": "x" })).await.0, 409, "{path}");
    }
    assert_eq!(get(at, "/conversations").await.1["conversations"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_a_stopped_turn_left_stays_and_says_that_it_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let provider = Provider::start().await;
    let (first, second) = (provider.next(), provider.next());
    let server = serve(&["--provider", &provider.url, "--data", data]).await;
    let mut socket = Socket::open(server.address(), "/").await;
    socket.prompt("c", "go").await;
    first.text("w0 ");
    first.tool("call", "echo", &json!({ "text": "x" }));
    second.text("w1 ");
    socket.upto("tool-result").await;
    socket.upto("text-delta").await;
    let before = history(server.address(), "c").await;
    server.stop().await;
    let server = serve(&["--data", data]).await;
    let at = server.address();
    let mut after = history(at, "c").await;
    assert_eq!(after.pop().as_deref(), Some("assistant error interrupted"));
    assert_eq!(after, before);
    assert_eq!(get(at, "/conversations").await.1["conversations"][0]["status"], "idle");
    let mut socket = Socket::open(at, "/").await;
    socket.prompt("c", "again").await;
    assert_eq!(short(&socket.upto("turn-sealed").await), ["turn-start", "text-delta again", "usage", "done stop", "turn-sealed"]);
    server.stop().await;
}

#[tokio::test]
async fn bad_requests_are_refused_and_change_nothing() {
    let server = serve(&[]).await;
    let at = server.address();
    for body in
        [json!({}), json!({ "message": " " }), json!({ "message": "x", "reasoningEffort": "huge" }), json!({ "message": 1 }), json!([])]
    {
        assert_eq!(send(at, "POST", "/chat", &body).await.0, 400, "{body}");
    }
    assert_eq!(send(at, "POST", "/chat", &json!({ "message": "x", "conversationId": "../c" })).await.0, 400);
    for path in ["", "/last", "/reasoning-effort", "/compact-threshold"] {
        assert_eq!(get(at, &format!("/conversations/nobody{path}")).await.0, 404, "{path}");
    }
    assert_eq!(get(at, "/conversations").await.1["conversations"], json!([]));
    assert_eq!(get(at, "/models").await.1, json!({ "models": ["built-in"] }));
    assert_eq!(get(at, "/no/such/path").await.0, 404);
    let mut socket = Socket::open(at, "/").await;
    socket.prompt("c", "a").await;
    socket.upto("turn-sealed").await;
    assert_eq!(get(at, "/conversations/c?sinceSeq=-1").await.0, 400);
    assert_eq!(get(at, "/conversations?status=odd").await.0, 400);
    assert_eq!(get(at, "/conversations/c/reasoning-effort").await.1["reasoningEffort"], "high");
    assert_eq!(send(at, "PUT", "/conversations/c/reasoning-effort", &json!({ "reasoningEffort": "huge" })).await.0, 400);
    assert_eq!(send(at, "PUT", "/conversations/c/reasoning-effort", &json!({ "reasoningEffort": "low" })).await.0, 200);
    assert_eq!(get(at, "/conversations/c/reasoning-effort").await.1["reasoningEffort"], "low");
    assert_eq!(send(at, "PUT", "/conversations/c/title", &json!({ "title": "T" })).await.0, 200);
    assert_eq!(get(at, "/conversations?q=T").await.1["conversations"][0]["title"], "T");
    server.stop().await;
}
