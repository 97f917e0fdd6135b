//! Over sockets: bytes as an agent sees them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const SOON: Duration = Duration::from_secs(20);

async fn provider() -> Provider {
    let board = Arc::new(Board::new("words 2".parse().unwrap()));
    Provider::start("127.0.0.1:0".parse().unwrap(), board).await.unwrap()
}

/// A request over a connection of its own, which stays open for the answer.
async fn send(provider: &Provider, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(provider.address()).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

/// Everything up to the end of the connection.
async fn rest(mut socket: TcpStream) -> String {
    let mut out = Vec::new();
    // A cut may arrive as a reset; what came before it counts.
    let _ = tokio::time::timeout(SOON, socket.read_to_end(&mut out)).await.expect("the connection ends");
    String::from_utf8(out).unwrap()
}

/// Reads until this has come.
async fn until(socket: &mut TcpStream, text: &str) -> String {
    let mut out = String::new();
    while !out.contains(text) {
        let mut buffer = [0; 4096];
        let n = tokio::time::timeout(SOON, socket.read(&mut buffer)).await.expect("it comes").unwrap();
        assert!(n > 0, "the connection ended: {out}");
        out.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    out
}

fn chat(prompt: &str) -> String {
    json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": prompt }] }).to_string()
}

async fn ask(provider: &Provider, prompt: &str) -> TcpStream {
    send(provider, "POST", "/v1/chat/completions", "Content-Type: application/json\r\n", &chat(prompt)).await
}

#[tokio::test]
async fn a_paused_answer_goes_on_when_it_is_released() {
    let provider = provider().await;
    let mut socket = ask(&provider, "hello [[say as k7w#; words 2; pause; words 1]]").await;
    let before = until(&mut socket, "k7w2").await;
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n") && before.contains("content-type: text/event-stream\r\n"), "{before}");
    let held = rest(send(&provider, "GET", "/control/held?pause=k7w2&within=10s", "", "").await).await;
    assert!(held.ends_with("{\"held\":[\"k7w2\"]}"), "{held}");
    let released = rest(send(&provider, "POST", "/control/release?pause=k7w2", "", "").await).await;
    assert!(released.ends_with("{\"released\":1}"), "{released}");
    let after = rest(socket).await;
    assert!(after.contains("k7w3 ") && after.contains("data: [DONE]\n\n") && after.ends_with("0\r\n\r\n"), "{after}");
    assert!(provider.board().wait_until(SOON, |asked| asked[0].ending == Ending::Done).await);
}

#[tokio::test]
async fn a_cut_keeps_what_was_said_and_has_no_end() {
    let provider = provider().await;
    for _ in 0..20 {
        let sent = rest(ask(&provider, "[[say words 3; cut]]").await).await;
        assert!(sent.contains("w3 ") && !sent.contains("[DONE]") && !sent.ends_with("0\r\n\r\n"), "{sent}");
        let sent = rest(ask(&provider, "[[say words 3; end]]").await).await;
        assert!(sent.contains("w3 ") && !sent.contains("[DONE]") && sent.ends_with("0\r\n\r\n"), "{sent}");
    }
}

#[tokio::test]
async fn statuses_and_unreadable_scripts_are_refusals() {
    let provider = provider().await;
    let sent = rest(ask(&provider, "[[say status 529 3]]").await).await;
    assert!(sent.starts_with("HTTP/1.1 529 ") && sent.contains("retry-after: 3\r\n") && sent.contains("overloaded_error"), "{sent}");
    let sent = rest(ask(&provider, "[[say wrods 3]]").await).await;
    assert!(sent.starts_with("HTTP/1.1 400 ") && sent.contains("at `wrods 3]]`: unknown move"), "{sent}");
    let sent = rest(send(&provider, "POST", "/v1/messages", "", "{}").await).await;
    assert!(sent.starts_with("HTTP/1.1 400 ") && sent.contains("`model` is missing"), "{sent}");
    let endings: Vec<Ending> = provider.board().asked().into_iter().map(|asked| asked.ending).collect();
    assert_eq!(endings, [Ending::Refused(529), Ending::Refused(400)]);
}

#[tokio::test]
async fn an_agent_that_leaves_is_noticed() {
    let provider = provider().await;
    let mut socket = ask(&provider, "[[say words 1; pause]]").await;
    until(&mut socket, "w1").await;
    drop(socket);
    assert!(provider.board().wait_until(SOON, |asked| asked[0].ending == Ending::Left).await);
    assert_eq!(provider.board().asked()[0].last_word.as_deref(), Some("w1"));
}

#[tokio::test]
async fn dropping_the_provider_cuts_held_answers() {
    let provider = provider().await;
    let mut socket = ask(&provider, "[[say words 1; pause]]").await;
    until(&mut socket, "w1").await;
    drop(provider);
    assert!(!rest(socket).await.contains("[DONE]"));
}

#[tokio::test]
async fn all_three_apis_answer_with_and_without_v1() {
    let provider = provider().await;
    for prefix in ["", "/v1"] {
        let bodies = [
            ("chat/completions", chat("x"), "data: [DONE]"),
            ("responses", json!({ "model": "m", "stream": true, "input": "x" }).to_string(), "event: response.completed"),
            (
                "messages",
                json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": "x" }] }).to_string(),
                "event: message_stop",
            ),
        ];
        for (path, body, last) in bodies {
            let sent = rest(send(&provider, "POST", &format!("{prefix}/{path}"), "", &body).await).await;
            assert!(sent.contains("w2 ") && sent.contains(last), "{path}: {sent}");
        }
    }
}

#[tokio::test]
async fn models_are_listed_as_the_client_knows_them() {
    let provider = provider().await;
    let body = |sent: String| serde_json::from_str::<Value>(sent.split_once("\r\n\r\n").unwrap().1).unwrap();
    let openai = body(rest(send(&provider, "GET", "/v1/models", "", "").await).await);
    assert_eq!(
        (&openai["object"], &openai["data"][0]["id"], &openai["data"][0]["object"]),
        (&json!("list"), &json!("scripted"), &json!("model"))
    );
    let anthropic = body(rest(send(&provider, "GET", "/v1/models", "anthropic-version: 2023-06-01\r\n", "").await).await);
    assert_eq!((&anthropic["has_more"], &anthropic["data"][0]["type"]), (&json!(false), &json!("model")));
    let one = body(rest(send(&provider, "GET", "/v1/models/any", "", "").await).await);
    assert_eq!(one["id"], "any");
}

#[tokio::test]
async fn scripts_come_by_the_control_endpoints_too() {
    let provider = provider().await;
    let put = rest(send(&provider, "PUT", "/control/script", "", "as s#; words 1").await).await;
    assert!(put.starts_with("HTTP/1.1 204 "), "{put}");
    rest(send(&provider, "POST", "/control/queue", "", "as q#; words 1").await).await;
    let wrong = rest(send(&provider, "POST", "/control/queue", "", "words").await).await;
    assert!(wrong.starts_with("HTTP/1.1 400 ") && wrong.contains("a number from 0"), "{wrong}");
    assert!(rest(ask(&provider, "x").await).await.contains("q1 "));
    assert!(rest(ask(&provider, "x").await).await.contains("s1 "));
    let asked = rest(send(&provider, "GET", "/control/asked", "", "").await).await;
    let asked: Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&asked["asked"][0]["source"], &asked["asked"][1]["source"]), (&json!("queue"), &json!("standing")));
    assert_eq!(asked["asked"][1]["ending"], "done");
}

#[tokio::test]
async fn every_word_is_a_frame_of_its_own() {
    let provider = provider().await;
    let sent = rest(ask(&provider, "[[say words 500]]").await).await;
    assert_eq!(sent.matches("\"content\":\"w").count(), 500);
    assert!((1..=500).all(|n| sent.contains(&format!("\"content\":\"w{n} \""))));
}

#[tokio::test]
async fn a_live_answer_says_what_it_is_told_and_then_goes_on() {
    let provider = provider().await;
    let control = async |path: &str, body: &str| {
        let answer = rest(send(&provider, "POST", &format!("/control/{path}"), "", body).await).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{path}: {answer}");
    };
    // What is told before the answer is there waits for it.
    control("say?at=k1", "«s0.1» \"a\"\n").await;
    let mut answer = ask(&provider, "[[say live k1; text \"end\"]]").await;
    until(&mut answer, "«s0.1»").await;
    control("say?at=k1", "«s0.2»").await;
    until(&mut answer, "«s0.2»").await;
    control("do?at=k1", "think 1; words 1").await;
    until(&mut answer, "w1 ").await;
    control("go?at=k1", "").await;
    let last = until(&mut answer, "[DONE]").await;
    assert!(last.contains(r#""content":"end""#), "{last}");
}
