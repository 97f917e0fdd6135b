//! `streamspec record --upstream`: the conversation of the built-in reader with the reference server.

use std::path::Path;

use crate::support::{OK, Running, USAGE, VIOLATED, close, open, publish, server, streamspec, timeless};

/// Records a conversation in `folder` with a server that has these bugs: two events before a reader comes, some while it is
/// there, and the end. The recorder's last lines.
fn recorded(folder: &Path, bugs: &[&str], live: usize) -> Vec<String> {
    let (_server, upstream) = server(folder, bugs);
    let profile = timeless(folder);
    let output = folder.join("talk.ndjson");
    let args = ["record", "--upstream", &upstream, "--profile", profile.to_str().unwrap(), "-o", output.to_str().unwrap()];
    let recorder = Running::start(&args);
    let base = recorder.urls().remove(0);
    open(&base, "talk");
    publish(&base, "talk", "one");
    publish(&base, "talk", "the same");
    let mut reader = Running::start(&["tail", &format!("{base}/sessions/talk/events")]);
    for text in ["one", "the same"] {
        assert!(reader.line().contains(text));
    }
    for _ in 0..live {
        publish(&base, "talk", "the same");
        assert!(reader.line().contains("the same"));
    }
    close(&base, "talk");
    let (code, lines) = reader.finish();
    assert_eq!(code, OK, "{lines:?}");
    let (code, lines) = recorder.interrupt();
    assert_eq!(code, OK, "{lines:?}");
    lines
}

#[test]
fn a_recorded_conversation_is_judged_and_had_again() {
    let folder = tempfile::tempdir().unwrap();
    let lines = recorded(folder.path(), &[], 2);
    assert_eq!(lines[0], "7 exchanges recorded: 4 events published, 0 by others", "{lines:?}");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (profile, history, tape, scenario) = (file("timeless.toml"), file("talk.ndjson"), file("talk.tape"), file("talk.toml"));
    // The history and the tape say the same, and the order, the seam and the end were judged.
    let mut said = Vec::new();
    for path in [&history, &tape] {
        let (code, text) = streamspec(&["check", path, "--profile", &profile]);
        assert_eq!(code, OK, "{text}");
        let last = text.lines().last().unwrap().to_owned();
        assert!(last.contains(" 0 failed"), "{text}");
        said.push(last);
    }
    assert_eq!(said[0], said[1]);
    let text = std::fs::read_to_string(&scenario).unwrap();
    for id in ["ORDER-1", "SEAM-3", "DELIVER-1", "END-1"] {
        assert!(text.contains(&format!("\"{id}\"")), "{id} was not judged: {text}");
    }
    // Everything that the reader waited for, the scenario waits for.
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
    let wanted = [
        "  { open = { session = \"s1\" } },",
        "  { publish = { session = \"s1\", count = 2 } },",
        "  { subscribe = { reader = \"a\", session = \"s1\" } },",
        "  { await = { reader = \"a\", upto = \"boundary\" } },",
        "  { await = { reader = \"a\", upto = \"last\" } },",
        "  { publish = { session = \"s1\" } },",
        "  { await = { reader = \"a\", upto = \"last\" } },",
        "  { publish = { session = \"s1\" } },",
        "  { await = { reader = \"a\", upto = \"last\" } },",
        "  { close = { session = \"s1\" } },",
        "  { await = { reader = \"a\", upto = \"terminal\" } },",
    ];
    // The reader leaves at the terminal event: whether the server ended the stream before that is a race of the two.
    assert_eq!(steps[..wanted.len()], wanted, "{text}");
    assert!(steps[wanted.len()..].iter().all(|step| step.contains("upto = \"closed\"")), "{text}");
    let (code, text) = streamspec(&["replay", &scenario, "--profile", &profile, "--repeat", "1"]);
    assert!(code == OK && text.contains("FIXED talk: held in 1 of 1 runs"), "{text}");
    // The transcript of the scenario is the same in every run.
    let (code, text) = streamspec(&["record", &scenario, "--profile", &profile, "--runs", "3", "--print"]);
    assert!(code == OK && text.contains("== reader a#1, session s1 =="), "{text}");
}

#[test]
fn what_a_wrong_server_did_is_found_in_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    // It writes every tenth live event twice.
    recorded(folder.path(), &["live-twice"], 12);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (code, text) = streamspec(&["check", &file("talk.tape"), "--profile", &file("timeless.toml")]);
    assert_eq!(code, VIOLATED, "{text}");
    assert!(text.contains("DELIVER-2"), "{text}");
    // The scenario was recorded with the bug, and finds it again on the same server, and not on a right one.
    let start = format!("{} serve --dialect sse --port {{port}} --data {{dir}} --bug live-twice", env!("CARGO_BIN_EXE_streamspec"));
    let (scenario, profile) = (file("talk.toml"), file("timeless.toml"));
    let (code, text) = streamspec(&["replay", &scenario, "--profile", &profile, "--repeat", "1", "--start", &start]);
    assert!(code == VIOLATED && text.contains("STILL FAILS talk"), "{text}");
    let (code, text) = streamspec(&["replay", &scenario, "--profile", &profile, "--repeat", "1"]);
    assert_eq!(code, OK, "{text}");
}

#[test]
fn mistakes_on_the_command_line_say_what_to_write() {
    for (args, says) in [
        (&["record", "--upstream", "http://127.0.0.1:9", "-o", "x.ndjson"][..], "--profile"),
        (&["record", "--upstream", "localhost:9", "--profile", "sse"], "is no URL"),
        (&["record", "--upstream", "https://localhost:9", "--profile", "sse"], "plain HTTP only"),
        (&["record", "--upstream", "http://127.0.0.1:9", "--profile", "sse", "-o", "My Talk.ndjson"], "small letters"),
        (&["record", "--upstream", "http://127.0.0.1:9", "--profile", "sse", "-o", "/no/such/folder/x.ndjson"], "cannot write to"),
        (&["record", "--upstream", "http://127.0.0.1:9", "--profile", "sse", "--listen", "here"], "is no address"),
        (&["record", "--listen", "9"], "--upstream"),
    ] {
        let (code, text) = streamspec(args);
        assert!(code == USAGE && text.contains(says), "{args:?}: {code} {text}");
    }
}
