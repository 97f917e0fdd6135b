//! Attachments and the workspace: what a path names, and what it never does.

use serde_json::{Value, json};

use crate::client::{Client, rows, serve};
use crate::http::{ask, request};
use crate::provider::Provider;

pub(crate) async fn upload(client: Client, session: &str, name: &str, content: &str) -> (u16, Value) {
    let part = |header: &str, body: &str| format!("--b\r\nContent-Disposition: form-data; {header}\r\n\r\n{body}\r\n");
    let body = part("name=\"session_id\"", session) + &part(&format!("name=\"file\"; filename=\"{name}\""), content) + "--b--\r\n";
    let (status, answer) = ask(client.at, "POST", "/api/upload", &[("Content-Type", "multipart/form-data; boundary=b")], &body).await;
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")))
}

pub(crate) async fn raw(client: Client, session: &str, path: &str) -> (u16, String) {
    ask(client.at, "GET", &format!("/api/file/raw?session_id={session}&path={path}"), &[], "").await
}

#[tokio::test]
async fn an_attachment_stays_what_it_was_through_turn_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start().await;
    let arguments = ["--provider", &provider.url, "--data", dir.path().to_str().unwrap()];
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let (status, first) = upload(client, &session, "a b.txt", "content").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!((&first["filename"], &first["size"], &first["is_image"]), (&json!("a_b.txt"), &json!(7), &json!(false)));
    assert!(first["path"].as_str().unwrap().ends_with(&format!("attachments/{session}/a_b.txt")), "{first}");
    assert_eq!(upload(client, &session, "a b.txt", "other").await.1["filename"], "a_b-1.txt");
    assert_eq!(upload(client, "none", "a", "x").await, (404, json!({ "error": "Session not found" })));
    let feed = provider.next();
    let message = json!({ "session_id": session, "message": "look", "attachments": [first] });
    assert_eq!(client.post("/api/chat/start", &message).await.0, 200);
    assert_eq!(client.shown(&session).await["pending_attachments"], json!(["a_b.txt"]));
    let run = client.shown(&session).await["active_stream_id"].as_str().unwrap().to_owned();
    feed.finish();
    client.rest(&run, "&after_seq=0", None).await;
    let shown = client.shown(&session).await;
    assert_eq!((rows(&shown), &shown["pending_attachments"]), (vec!["user: look".to_owned()], &json!([])));
    assert_eq!(shown["messages"][0]["attachments"], json!(["a_b.txt"]));
    server.stop().await;
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    assert_eq!(client.shown(&session).await["messages"], shown["messages"]);
    assert_eq!(raw(client, &session, "a_b.txt").await, (200, "content".to_owned()));
}

#[tokio::test]
async fn a_path_names_the_sessions_own_files_and_everything_else_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&["--data", dir.path().to_str().unwrap()]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let (workspace, attachments) = (dir.path().join("workspace"), dir.path().join("attachments"));
    std::fs::create_dir_all(workspace.join("sub")).unwrap();
    std::fs::write(workspace.join("w.svg"), "<svg/>").unwrap();
    std::fs::write(dir.path().join("outside"), "secret").unwrap();
    std::os::unix::fs::symlink(dir.path().join("outside"), workspace.join("link")).unwrap();
    let other = client.session().await;
    let near = format!("{session}0");
    assert_eq!(client.post("/api/session/new", &json!({ "session_id": near })).await.0, 200);
    for owner in [&session, &other, &near] {
        upload(client, owner, &format!("of-{owner}"), "own").await;
    }
    let own = attachments.join(&session).join(format!("of-{session}"));
    let workspace_file = workspace.join("w.svg");
    for path in [&format!("of-{session}"), own.to_str().unwrap(), "w.svg", "sub/../w.svg", workspace_file.to_str().unwrap()] {
        assert_eq!(raw(client, &session, path).await.0, 200, "{path}");
    }
    let foreign = attachments.join(&other).join(format!("of-{other}"));
    let outside = dir.path().join("outside");
    for path in [
        "",
        ".",
        "/",
        "sub",
        "missing",
        "link",
        "../outside",
        "....//outside",
        "%2e%2e/outside",
        "%252e%252e/outside",
        "..%2foutside",
        "%00",
        "w.svg%00",
        "%ff",
        foreign.to_str().unwrap(),
        outside.to_str().unwrap(),
        &format!("of-{other}"),
        &format!("../{other}/of-{other}"),
        &format!("../{near}/of-{near}"),
        "/etc/passwd",
    ] {
        assert_eq!(raw(client, &session, path).await, (404, r#"{"error":"not found"}"#.to_owned()), "{path}");
    }
    for session in ["..", "none", ""] {
        assert_eq!(raw(client, session, "w.svg").await, (404, r#"{"error":"Session not found"}"#.to_owned()), "{session}");
    }
    let path = format!("/api/file/raw?session_id={session}&path=of-{session}");
    let part = request(client.at, "GET", &path, &[("Range", "bytes=0-1")], "").await.unwrap();
    assert!(part.status == 206 && part.headers.contains("content-range: bytes 0-1/3"), "{}", part.headers);
    assert_eq!(part.end().await, "ow");
    let svg = request(client.at, "GET", &format!("/api/file/raw?session_id={session}&path=w.svg&inline=1"), &[], "").await.unwrap();
    assert!(svg.headers.contains("content-disposition: attachment"), "{}", svg.headers);
}
