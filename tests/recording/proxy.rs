//! `streamspec proxy`: a fault is asked for over HTTP, strikes, and is told of.

use serde_json::Value;

use crate::support::{Running, USAGE, ask, close, open, publish, server, streamspec};

/// The bytes that a reader of the session gets until its connection ends.
fn read(base: &str) -> String {
    use std::io::{Read, Write};
    let address = base.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
    write!(stream, "GET /sessions/s/events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What `GET /faults` says, once `wanted` holds of it.
fn faults(control: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let told = json(&ask(control, "GET", "/faults", "").1);
        if wanted(&told) {
            return told;
        }
        assert!(begun.elapsed() < crate::support::DEADLINE, "{told}");
        std::thread::yield_now();
    }
}

#[test]
fn a_fault_waits_strikes_once_and_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, upstream) = server(folder.path(), &[]);
    open(&upstream, "s");
    ["one", "two", "three"].iter().for_each(|text| publish(&upstream, "s", text));
    close(&upstream, "s");
    let proxy = Running::start(&["proxy", "--upstream", &upstream, "--listen", "0", "--control", "0"]);
    let urls = proxy.urls();
    let (base, control) = (&urls[0], &urls[2]);
    assert!(read(base).contains("event: end"), "nothing waits, so nothing is cut");

    let (status, body) = ask(control, "POST", "/faults", r#"{"cut":{"at":{"after_event":2},"how":"fin"}}"#);
    assert_eq!((status, json(&body)["state"].as_str()), (201, Some("waiting")), "{body}");
    let cut = read(base);
    assert!(cut.contains("\"two\"") && !cut.contains("\"three\""), "{cut}");
    let told = faults(control, |told| told["faults"][0]["state"] == "struck");
    assert_eq!(told["faults"][0]["id"], json(&body)["id"]);
    assert!(read(base).contains("event: end"), "a fault strikes once");

    // One that was taken back strikes no more.
    let (_, body) = ask(control, "POST", "/faults", r#"{"cut":{"at":{"before_frame":{"contains":"three"}},"how":"rst"}}"#);
    let id = json(&body)["id"].as_u64().unwrap();
    let (status, body) = ask(control, "DELETE", &format!("/faults/{id}"), "");
    assert_eq!((status, json(&body)["id"].as_u64()), (200, Some(id)));
    assert!(read(base).contains("event: end"));
    let told = faults(control, |told| told["connections"]["accepted"] == 4);
    assert_eq!(told["faults"].as_array().map(Vec::len), Some(1), "{told}");
}

#[test]
fn a_fault_of_the_command_line_strikes_the_first_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, upstream) = server(folder.path(), &[]);
    open(&upstream, "s");
    publish(&upstream, "s", "one");
    close(&upstream, "s");
    let fault = r#"{"cut":{"at":{"after_frame":{"event_type":"message"}},"how":"rst"}}"#;
    let proxy = Running::start(&["proxy", "--upstream", &upstream, "--fault", fault]);
    let urls = proxy.urls();
    let cut = read(&urls[0]);
    assert!(!cut.contains("event: end"), "{cut}");
    faults(&urls[2], |told| told["faults"][0]["state"] == "struck");
}

#[test]
fn what_is_no_fault_is_refused_with_an_example() {
    let proxy = Running::start(&["proxy", "--upstream", "http://127.0.0.1:9"]);
    let control = proxy.urls().remove(2);
    for nonsense in ["", "{}", "{\"cut\":{}}", "\"explode\"", "{\"delay\":{\"ms\":-1}}"] {
        let (status, body) = ask(&control, "POST", "/faults", nonsense);
        assert!(status == 400 && body.contains("a fault is such as"), "{nonsense}: {status} {body}");
    }
    let (status, body) = ask(&control, "DELETE", "/faults/77", "");
    assert!(status == 404 && body.contains("there is no fault 77"), "{status} {body}");
    assert_eq!(json(&ask(&control, "GET", "/faults", "").1)["faults"], Value::Array(Vec::new()));
    for (args, says) in [
        (&["proxy", "--upstream", "http://127.0.0.1:9", "--fault", "{}"][..], "a fault is such as"),
        (&["proxy", "--upstream", "https://127.0.0.1:9"], "plain HTTP only"),
        (&["proxy"], "--upstream"),
    ] {
        let (code, text) = streamspec(args);
        assert!(code == USAGE && text.contains(says), "{args:?}: {code} {text}");
    }
}
