//! `streamspec check`: captures of others, right and wrong.

use std::path::Path;

use crate::support::{OK, USAGE, VIOLATED, streamspec};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\r\n";

fn frame(n: u32) -> String {
    format!("id: 3f9c01aa:{n}\nevent: message\ndata: {{\"session\":\"s\",\"data\":\"word {n}\"}}\n\n")
}

fn capture(numbers: &[u32]) -> String {
    let ready = "event: ready\ndata: {\"session\":\"s\",\"cursor\":\"3f9c01aa:0\"}\n\n";
    let frames: String = numbers.iter().map(|n| frame(*n)).collect();
    format!("{HEAD}{frames}{ready}")
}

fn har(numbers: &[u32]) -> String {
    let frames: String = numbers.iter().map(|n| frame(*n)).collect();
    let pair = |name: &str, value: &str| serde_json::json!({ "name": name, "value": value });
    serde_json::json!({ "log": { "version": "1.2", "entries": [{
        "startedDateTime": "2026-11-21T11:22:33.000Z",
        "request": { "method": "GET", "url": "http://127.0.0.1:80/sessions/s/events", "headers": [] },
        "response": {
            "status": 200,
            "headers": [pair("content-type", "text/event-stream"), pair("cache-control", "no-cache")],
            "content": { "mimeType": "text/event-stream", "text": frames },
        },
    }] } })
    .to_string()
}

/// Judges a file with this text.
fn judged(folder: &Path, name: &str, text: &str) -> (i32, String) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    streamspec(&["check", path.to_str().unwrap(), "--profile", "sse"])
}

#[test]
fn a_right_capture_fails_nothing_and_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.txt", capture(&[1, 2, 3])), ("a.har", har(&[1, 2, 3]))] {
        let (code, text) = judged(folder.path(), name, &text);
        assert_eq!(code, OK, "{text}");
        assert!(text.contains("3 events known by cursor, 0 events missing between them"), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.contains(" 0 failed") && !last.starts_with("captured: 0 judged"), "{text}");
        assert!(text.contains("what was published, and when, was not captured"), "{text}");
    }
}

#[test]
fn what_is_wrong_in_a_capture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (numbers, id) in [(&[1, 2, 2, 3][..], "SEAM-2"), (&[1, 3, 2, 4], "ORDER-"), (&[1, 2, 4], "1 event missing")] {
        for (name, text) in [("a.txt", capture(numbers)), ("a.har", har(numbers))] {
            let (code, text) = judged(folder.path(), name, &text);
            assert!(code == VIOLATED && text.contains(id), "{name} {numbers:?}: {code} {text}");
        }
    }
}

#[test]
fn a_capture_that_was_kept_as_a_history_is_judged_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (capture_path, history) = (folder.path().join("a.txt"), folder.path().join("a.ndjson"));
    std::fs::write(&capture_path, capture(&[1, 2, 2])).unwrap();
    let (capture_path, history) = (capture_path.display().to_string(), history.display().to_string());
    let (code, first) = streamspec(&["check", &capture_path, "--profile", "sse", "-o", &history]);
    let (again, second) = streamspec(&["check", &history]);
    assert_eq!((code, again), (VIOLATED, VIOLATED), "{first} {second}");
    assert_eq!(first.lines().last(), second.lines().last());
}

#[test]
fn a_log_is_read_as_the_profile_says() {
    let folder = tempfile::tempdir().unwrap();
    let built_in = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/sse.toml")).unwrap();
    let mapping = "\n[log]\ntime = \"/ts\"\nconnection = \"/conn\"\nkind = \"/kind\"\nopens = \"open\"\nid = \"/id\"\ntype = \"/type\"\ndata = \"/data\"\n";
    let profile = folder.path().join("mine.toml");
    std::fs::write(&profile, built_in + mapping).unwrap();
    let log = folder.path().join("client.log");
    let judged = |numbers: &[u32]| {
        let event = |n: &u32| {
            format!(
                "{{\"ts\":{n},\"conn\":7,\"kind\":\"event\",\"id\":\"e:{n}\",\"type\":\"message\",\"data\":{{\"session\":\"s\",\"data\":\"w{n}\"}}}}\n"
            )
        };
        let events: String = numbers.iter().map(event).collect();
        std::fs::write(&log, format!("{{\"ts\":0,\"conn\":7,\"kind\":\"open\"}}\n{events}")).unwrap();
        streamspec(&["check", log.to_str().unwrap(), "--profile", profile.to_str().unwrap()])
    };
    let (code, text) = judged(&[1, 2, 3]);
    assert!(code == OK && text.contains("3 events known by cursor"), "{text}");
    let (code, text) = judged(&[1, 2, 2]);
    assert!(code == VIOLATED && text.contains("SEAM-2"), "{text}");
    std::fs::write(&log, "{\"ts\":0}\nnonsense\n").unwrap();
    let (code, text) = streamspec(&["check", log.to_str().unwrap(), "--profile", profile.to_str().unwrap()]);
    assert!(code == USAGE && text.contains("client.log: line 2: no JSON"), "{text}");
}

#[test]
fn what_is_no_capture_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let html = "{\"log\":{\"version\":\"1.2\",\"entries\":[]}}";
    let beginning = "{\"streamspec_history\":9,\"profile\":\"sse\",\"scenario\":\"x\",\"seed\":0}\n";
    let tape = "{\"streamspec_tape\":1,\"upstream\":\"http://h:1\"}\n{\"conn\":1,\"at\":5,\"what\":\"exploded\"}\n";
    for (name, text, says) in [
        ("empty.txt", "", "the file is empty"),
        ("none.har", html, "none of the 0 requests"),
        ("newer.ndjson", beginning, "version 9 of the format"),
        ("broken.tape", tape, "line 2"),
        ("old.tape", "{\"streamspec_tape\":7,\"upstream\":\"http://h:1\"}\n", "version 7 of the format"),
    ] {
        let (code, text) = judged(folder.path(), name, text);
        assert!(code == USAGE && text.contains(name) && text.contains(says), "{name}: {code} {text}");
    }
    let (code, text) = streamspec(&["check", "/no/such/file", "--profile", "sse"]);
    assert!(code == USAGE && text.contains("/no/such/file"), "{text}");
    std::fs::write(folder.path().join("a.txt"), capture(&[1])).unwrap();
    let (code, text) = streamspec(&["check", folder.path().join("a.txt").to_str().unwrap()]);
    assert!(code == USAGE && text.contains("--profile"), "{text}");
}
