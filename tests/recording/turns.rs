//! `streamspec record --upstream` of turns over WebSockets: two clients watch a turn of the reference server, one of them late.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::support::{DEADLINE, OK, Running, VIOLATED, ask, streamspec, timeless_of};

/// Begins the turn whose words are said through the provider, and leaves it when it has begun.
fn begin(base: &str) {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let body = r#"{"conversationId":"talk","message":"[[say live talk]]"}"#;
    let head = "Content-Type: application/json";
    write!(stream, "POST /chat HTTP/1.1\r\nHost: {address}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    assert!(BufReader::new(stream).lines().map_while(Result::ok).any(|line| line.contains("turn-start")), "the turn begins");
}

/// Records in `folder` how the turn of a server with these bugs is watched: the profile.
fn recorded(folder: &Path, bugs: &[&str]) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let provider = Running::start(&["provider", "--port", "0"]);
    let model = provider.urls().remove(0);
    let data = file("data");
    let mut serve = vec!["serve", "--dialect", "dispatch", "--data", &data, "--port", "0", "--provider", &model];
    serve.extend(bugs.iter().flat_map(|bug| ["--bug", bug]));
    let server = Running::start(&serve);
    let profile = timeless_of(folder, "dispatch").display().to_string();
    let output = file("talk.ndjson");
    let recorder = Running::start(&["record", "--upstream", &server.urls().remove(0), "--profile", &profile, "-o", &output]);
    let base = recorder.urls().remove(0);
    let say = |word: &str| assert_eq!(ask(&model, "POST", "/control/say?at=talk", word).0, 200);
    begin(&base);
    let socket = base.replace("http://", "ws://") + "/ws";
    let watch = || Running::start(&["tail", "--profile", "dispatch", "--session", "talk", &socket]);
    let mut first = watch();
    assert!(first.line().contains("turn-start"));
    say("so ");
    assert!(first.line().contains("so "));
    let mut late = watch();
    // Who joins late is sent the turn so far; where a bug keeps that back, its first event is a word that comes later.
    let came = (0..DEADLINE.as_secs()).find_map(|_| {
        say("and on ");
        assert!(first.line().contains("and on "));
        late.line_within(Duration::from_secs(1))
    });
    came.expect("the late one is sent something");
    assert_eq!(ask(&model, "POST", "/control/go?at=talk", "").0, 200);
    for reader in [&mut first, &mut late] {
        let (code, lines) = reader.finish();
        assert!(code == OK && lines.iter().any(|line| line.contains("turn-sealed")), "{lines:?}");
    }
    assert_eq!(ask(&base, "GET", "/conversations/talk", "").0, 200);
    let (code, lines) = recorder.interrupt();
    assert!(code == OK && lines[0].contains("0 events published"), "{lines:?}");
    profile
}

#[test]
fn a_turn_is_judged_and_had_again() {
    let folder = tempfile::tempdir().unwrap();
    let profile = recorded(folder.path(), &[]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    for path in [file("talk.ndjson"), file("talk.tape")] {
        let (code, text) = streamspec(&["check", &path, "--profile", &profile]);
        assert!(code == OK && text.contains(" 0 failed"), "{text}");
    }
    let scenario = std::fs::read_to_string(file("talk.toml")).unwrap();
    for id in ["DELIVER-1", "DELIVER-2", "RESUME-2", "FINAL-1", "CAUSE-1"] {
        assert!(scenario.contains(&format!("\"{id}\"")), "{id} was not judged: {scenario}");
    }
    // One turn, watched by two, and the history behind its seal; what began it is not done twice.
    assert_eq!(scenario.matches("{ open = ").count(), 1, "{scenario}");
    assert_eq!(scenario.matches("{ subscribe = ").count(), 2, "{scenario}");
    assert!(scenario.contains("op = \"history\"") && scenario.contains("Left out: the operation `chat`"), "{scenario}");
    let (code, text) = streamspec(&["replay", &file("talk.toml"), "--profile", &profile, "--repeat", "1"]);
    assert!(code == OK && text.contains("FIXED talk: held in 1 of 1 runs"), "{text}");
    let (code, text) = streamspec(&["record", &file("talk.toml"), "--profile", &profile, "--runs", "3", "--print"]);
    assert!(code == OK && text.contains("== reader a#1, session s1 ==") && text.contains("== reader b#1, session s1 =="), "{text}");
}

#[test]
fn what_a_wrong_server_kept_from_who_joined_late_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let profile = recorded(folder.path(), &["joiner-live-only"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (code, text) = streamspec(&["check", &file("talk.tape"), "--profile", &profile]);
    assert!(code == VIOLATED && text.contains("RESUME-2"), "{text}");
    let start = concat!(
        env!("CARGO_BIN_EXE_streamspec"),
        " serve --dialect dispatch --port {port} --data {dir} --provider {provider} --bug joiner-live-only"
    );
    let replay = ["replay", &file("talk.toml"), "--profile", &profile, "--repeat", "1"];
    let (code, text) = streamspec(&[&replay[..], &["--start", start]].concat());
    assert!(code == VIOLATED && text.contains("STILL FAILS talk"), "{text}");
    let (code, text) = streamspec(&replay);
    assert_eq!(code, OK, "{text}");
}
