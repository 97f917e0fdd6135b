//! What a stop of the process leaves behind: a kill, a graceful stop, and the next start on the same data.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::client::{Client, frames, names, rows, serve, text};
use crate::provider::Provider;

/// The server as a process of its own.
struct Process {
    child: Child,
    client: Client,
}

impl Process {
    fn start(data: &Path, provider: &str) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_streamspec-reference-server"))
            .args(["--dialect", "hermes", "--provider", provider, "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let at = ready.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{ready:?}")).parse().unwrap();
        Process { child, client: Client { at } }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_run_is_interrupted_once_and_keeps_what_was_seen() {
    let (dir, provider) = (tempfile::tempdir().unwrap(), Provider::start().await);
    let process = Process::start(dir.path(), &provider.url);
    let session = process.client.session().await;
    provider.next().finish();
    let (settled, before) = process.client.turn(&session, "first").await;
    let feed = provider.next();
    let run = process.client.say(&session, "second").await;
    let mut stream = process.client.stream(&run, "", None).await;
    feed.text("w0 ");
    feed.text("w1 ");
    stream.until("w1 ").await;
    drop(process);
    stream.all().await;
    let seen = frames(&String::from_utf8(stream.body).unwrap());
    assert_eq!(text(&seen), "w0 w1 ");

    let process = Process::start(dir.path(), &provider.url);
    let client = process.client;
    let last = seen.last().unwrap().seq();
    let status = client.status(&run).await;
    assert_eq!((&status["active"], &status["replay_available"]), (&json!(false), &json!(true)));
    assert_eq!(status["journal"]["terminal_state"], "interrupted-by-crash");
    let all = client.rest(&run, "&after_seq=0", None).await;
    assert_eq!(all[..seen.len()], seen, "one id, one event");
    assert_eq!(names(&all[seen.len()..]), ["apperror"]);
    let end = all.last().unwrap();
    assert_eq!(end.seq(), last + 1);
    assert_eq!(
        (&end.data["type"], &end.data["recovery_control"], &end.data["journal_last_seq"]),
        (&json!("interrupted"), &json!(true), &json!(last))
    );
    assert_eq!(client.rest(&run, "", seen.last().unwrap().id.as_deref()).await, all[seen.len()..]);
    assert_eq!(client.stream(&run, "", end.id.as_deref()).await.status, 204, "its id is a resume point, and the last");
    let shown = client.shown(&session).await;
    let expected = [
        "user: first",
        "user: second",
        "assistant _partial _recovered_from_run_journal: w0 w1 ",
        "assistant _error: The run was interrupted by a restart.",
    ];
    assert_eq!(rows(&shown), expected);
    assert_eq!(client.shown(&session).await, shown, "reading repairs nothing and changes nothing");
    assert_eq!(client.rest(&settled, "", None).await, before, "a finished run is as it was");
    let feed = provider.next();
    feed.text("new");
    feed.finish();
    assert_eq!(text(&client.turn(&session, "third").await.1), "new");

    drop(process);
    let process = Process::start(dir.path(), &provider.url);
    assert_eq!(process.client.rest(&run, "&after_seq=0", None).await, all, "the end was stored, once");
    assert_eq!(rows(&process.client.shown(&session).await)[..4], expected);
}

#[tokio::test]
async fn a_graceful_stop_ends_the_streams_and_the_next_start_ends_the_runs() {
    let (dir, provider) = (tempfile::tempdir().unwrap(), Provider::start().await);
    let arguments = ["--provider", &provider.url, "--data", dir.path().to_str().unwrap()];
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut stream = client.stream(&run, "", None).await;
    feed.text("w0 ");
    stream.until("w0 ").await;
    server.stop().await;
    assert_eq!(text(&frames(&stream.end().await)), "w0 ", "no end that is not stored");
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    assert_eq!(names(&client.rest(&run, "", None).await), ["context_status", "token", "apperror"]);
    assert_eq!(client.shown(&session).await["active_stream_id"], serde_json::Value::Null);
}

#[tokio::test]
async fn whatever_a_reader_saw_before_a_kill_is_there_after_it() {
    let (dir, provider) = (tempfile::tempdir().unwrap(), Provider::start().await);
    let mut process = Process::start(dir.path(), &provider.url);
    let session = process.client.session().await;
    for kill_at in [0, 1, 7, 40, 150] {
        let feed = provider.next();
        let run = process.client.say(&session, "go").await;
        let mut stream = process.client.stream(&run, "&after_seq=0", None).await;
        (0..200).for_each(|n| feed.text(&format!("w{n} ")));
        stream.until(&format!("\"w{kill_at} \"")).await;
        drop(process);
        stream.all().await;
        let body = String::from_utf8(stream.body).unwrap();
        let seen = frames(&body[..body.rfind("\n\n").unwrap() + 2]);
        process = Process::start(dir.path(), &provider.url);
        let all = process.client.rest(&run, "&after_seq=0", None).await;
        assert_eq!(all[..seen.len()], seen, "killed at {kill_at}");
        let ends: Vec<&str> = names(&all).into_iter().filter(|name| ["apperror", "cancel", "done"].contains(name)).collect();
        assert_eq!(ends, ["apperror"], "killed at {kill_at}");
        let shown = process.client.shown(&session).await;
        let partial = shown["messages"].as_array().unwrap().iter().rev().nth(1).unwrap();
        assert_eq!(partial["content"], text(&all), "killed at {kill_at}");
    }
}
