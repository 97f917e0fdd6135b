//! Who may see what: the password, profiles, foreign pages, redaction.

use serde_json::json;

use crate::client::{Client, frames, serve, text};
use crate::http::{ask, request};
use crate::provider::Provider;

#[tokio::test]
async fn with_a_password_everything_but_health_needs_a_login_which_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--password", "hunter2", "--data", dir.path().to_str().unwrap()];
    let server = serve(&arguments).await;
    let at = server.address();
    let surfaces = [
        ("GET", "/api/session?session_id=x"),
        ("GET", "/api/sessions"),
        ("POST", "/api/session/new"),
        ("POST", "/api/session/delete"),
        ("POST", "/api/chat/start"),
        ("GET", "/api/chat/cancel?stream_id=x"),
        ("GET", "/api/chat/stream?stream_id=x"),
        ("GET", "/api/chat/stream/status?stream_id=x"),
        ("POST", "/api/approval/respond"),
        ("GET", "/api/sessions/x/events"),
        ("GET", "/api/session/stream?session_id=x"),
        ("GET", "/api/sessions/events"),
        ("POST", "/api/upload"),
        ("GET", "/api/file/raw?session_id=x&path=y"),
        ("GET", "/api/nothing"),
    ];
    let required = (401, r#"{"error":"Authentication required"}"#.to_owned());
    for (method, path) in surfaces {
        assert_eq!(ask(at, method, path, &[], "").await, required, "{path}");
        assert_eq!(ask(at, method, path, &[("Cookie", "hermes_session=x")], "").await, required, "{path}");
    }
    let (status, health) = ask(at, "GET", "/health", &[], "").await;
    assert!(status == 200 && health.contains(r#""active_runs":0"#), "{health}");
    assert_eq!(ask(at, "POST", "/api/auth/login", &[], r#"{"password":"no"}"#).await.0, 401);
    let login = request(at, "POST", "/api/auth/login", &[], r#"{"password":"hunter2"}"#).await.unwrap();
    assert_eq!(login.status, 200);
    let line = login.headers.split("\r\n").find_map(|line| line.strip_prefix("set-cookie: ")).unwrap().to_owned();
    assert!(line.contains("httponly") && line.contains("samesite=lax"), "{line}");
    let cookie = line.split(';').next().unwrap().to_owned();
    assert_eq!(ask(at, "GET", "/api/sessions", &[("Cookie", &format!("a=b; {cookie}"))], "").await.0, 200);
    server.stop().await;
    let server = serve(&arguments).await;
    assert_eq!(ask(server.address(), "GET", "/api/sessions", &[("Cookie", &cookie)], "").await.0, 200);
}

#[tokio::test]
async fn refusals_come_before_anything_is_done() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let start = |body: serde_json::Value| async move { client.post("/api/chat/start", &body).await.0 };
    assert_eq!(start(json!({ "message": "x" })).await, 400);
    assert_eq!(start(json!({ "session_id": "none", "message": "x" })).await, 404);
    assert_eq!(start(json!({ "session_id": session, "message": "  " })).await, 400);
    assert_eq!(start(json!([1])).await, 400);
    assert_eq!(ask(client.at, "POST", "/api/chat/start", &[], "{").await.0, 400);
    assert_eq!(client.get("/api/session").await.0, 400);
    assert_eq!(client.get("/api/session?session_id=none").await, (404, json!({ "error": "Session not found" })));
    assert_eq!(client.get(&format!("/api/session?session_id={session}&msg_limit=0")).await.0, 400);
    for bad in ["", "..", ".x", "a/b", "é", &"x".repeat(65)] {
        assert_eq!(client.post("/api/session/new", &json!({ "session_id": bad })).await.0, 400, "{bad}");
    }
    assert_eq!(client.post("/api/session/new", &json!({ "session_id": session })).await.0, 409);
    let body = json!({ "session_id": session, "message": "x" }).to_string();
    for origin in ["http://evil.example", "null", "http://x.evil.example"] {
        assert_eq!(ask(client.at, "POST", "/api/chat/start", &[("Origin", origin)], &body).await.0, 403, "{origin}");
    }
    assert!(client.shown(&session).await["messages"].as_array().unwrap().is_empty());
    assert_eq!(ask(client.at, "POST", "/api/chat/start", &[("Origin", "http://x")], &body).await.0, 200);
}

#[tokio::test]
async fn a_session_of_another_profile_is_not_there() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let (run, _) = client.turn(&session, "one").await;
    let theirs = [("Cookie", "hermes_profile=work")];
    for (path, status) in [
        (format!("/api/session?session_id={session}"), 409),
        (format!("/api/chat/stream?stream_id={run}"), 404),
        (format!("/api/sessions/{session}/events"), 404),
        (format!("/api/session/stream?session_id={session}"), 404),
        (format!("/api/file/raw?session_id={session}&path=x"), 404),
    ] {
        let (given, body) = ask(client.at, "GET", &path, &theirs, "").await;
        assert_eq!(given, status, "{path}");
        assert!(!body.contains("one"), "{body}");
    }
    let (_, list) = ask(client.at, "GET", "/api/sessions", &theirs, "").await;
    assert_eq!(list, r#"{"sessions":[]}"#);
    let (_, status) = ask(client.at, "GET", &format!("/api/chat/stream/status?stream_id={run}"), &theirs, "").await;
    assert!(status.contains(r#""replay_available":false"#), "{status}");
    let message = json!({ "session_id": session, "message": "x" }).to_string();
    assert_eq!(ask(client.at, "POST", "/api/chat/start", &theirs, &message).await.0, 404);
}

#[tokio::test]
async fn a_planted_secret_is_on_no_surface() {
    const SECRET: &str = "ghp_A1b2C3d4E5f6G7h8I9j0";
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url, "--data", dir.path().to_str().unwrap()]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let ((first, asked), second) = (provider.prepare(200), provider.prepare(200).0);
    let run = client.say(&session, &format!("use {SECRET} please")).await;
    assert!(asked.await.unwrap().to_string().contains(SECRET), "the model is told what was said");
    let mut stream = client.stream(&run, "", None).await;
    let mut over_all = request(client.at, "GET", &format!("/api/sessions/{session}/events?after_event_id={run}:1"), &[], "").await.unwrap();
    first.reasoning(SECRET);
    let (head, tail) = SECRET.split_at(9);
    first.text(head);
    first.text(tail);
    first.text(" w0 ");
    stream.until("w0 ").await;
    let live = client.shown(&session).await.to_string();
    first.tool("t", "echo", &json!({ "text": SECRET, SECRET: [SECRET] }));
    second.text(SECRET);
    drop(second);
    let streamed = stream.end().await;
    assert_eq!(text(&frames(&streamed)), "ghp_A1...I9j0 w0 ghp_A1...I9j0");
    over_all.until("apperror").await;
    let surfaces = [
        streamed,
        live,
        String::from_utf8(over_all.body).unwrap(),
        client.shown(&session).await.to_string(),
        client.get("/api/sessions").await.1.to_string(),
        ask(client.at, "GET", &format!("/api/chat/stream?stream_id={run}&replay=1"), &[], "").await.1,
        client.status(&run).await.to_string(),
    ];
    for (n, surface) in surfaces.iter().enumerate() {
        assert!(surface.len() > 20 && !surface.contains(SECRET), "surface {n}: {surface}");
        assert!(!surface.contains("E5f6G7h8"), "surface {n}: {surface}");
    }
    server.stop().await;
    for entry in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{}", entry.display());
    }
}
