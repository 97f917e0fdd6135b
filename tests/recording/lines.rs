//! `streamspec record --upstream` of JSON lines: the notebooks of `tests/private`, followed by POST with the cursor in the body.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::python;
use crate::support::{DEADLINE, OK, Running, VIOLATED, ask, streamspec};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private");

/// The notebooks, with this bug; they are killed when this is dropped.
struct Notebooks {
    process: Child,
    url: String,
}

impl Notebooks {
    fn with(bug: &str) -> Notebooks {
        let mut command = Command::new("python3");
        command.args([&format!("{FOLDER}/notebook.py"), "0"]).args((!bug.is_empty()).then_some(bug));
        let mut process = command.stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut port = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut port).expect("it prints its port");
        let port: u16 = port.split_whitespace().last().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {port:?}"));
        Notebooks { process, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Notebooks {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(base: &str, line: &str) {
    let (status, answer) = ask(base, "POST", "/write", &format!("{{\"book\":\"talk\",\"line\":\"{line}\"}}"));
    assert_eq!(status, 200, "{answer}");
}

/// Follows the book, behind `seen` if there is one, and leaves when this line has come.
fn follow_until(base: &str, seen: Option<u32>, line: &str) {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let seen = seen.map_or_else(String::new, |seen| format!(",\"seen\":{seen}"));
    let body = format!("{{\"book\":\"talk\"{seen}}}");
    let head = "Content-Type: application/json";
    write!(stream, "POST /follow HTTP/1.1\r\nHost: {address}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let came = BufReader::new(stream).lines().map_while(Result::ok).any(|text| text.contains(line));
    assert!(came, "{line} did not come");
}

/// Records in `folder` how a reader follows, is left, and comes back behind what it has seen: the profile.
fn recorded(folder: &Path, bug: &str) -> String {
    let own = std::fs::read_to_string(format!("{FOLDER}/notebook.toml")).unwrap();
    let profile = folder.join("notebook.toml");
    // What is judged here is what came, not when.
    std::fs::write(&profile, own.replace("[contract]\n", "[contract]\nliveness = { delivery_ms = 120000 }\n")).unwrap();
    let profile = profile.display().to_string();
    let server = Notebooks::with(bug);
    let output = folder.join("talk.ndjson").display().to_string();
    let recorder = Running::start(&["record", "--upstream", &server.url, "--profile", &profile, "-o", &output]);
    let base = recorder.urls().remove(0);
    write(&base, "first");
    write(&base, "second");
    follow_until(&base, None, "second");
    write(&base, "third");
    follow_until(&base, Some(2), "third");
    let (code, lines) = recorder.interrupt();
    assert!(code == OK && lines[0].contains("3 events published"), "{lines:?}");
    profile
}

#[test]
fn json_lines_are_judged_and_had_again() {
    if !python::is_there("a recorded conversation in JSON lines") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = recorded(folder.path(), "");
    let file = |name: &str| folder.path().join(name).display().to_string();
    for path in [file("talk.ndjson"), file("talk.tape")] {
        let (code, text) = streamspec(&["check", &path, "--profile", &profile]);
        assert!(code == OK && text.contains(" 0 failed"), "{text}");
    }
    let scenario = std::fs::read_to_string(file("talk.toml")).unwrap();
    for id in ["RESUME-1", "RESUME-2", "DELIVER-3"] {
        assert!(scenario.contains(&format!("\"{id}\"")), "{id} was not judged: {scenario}");
    }
    let start = format!("python3 {FOLDER}/notebook.py {{port}}");
    let replay = ["replay", &file("talk.toml"), "--profile", &profile, "--start", &start, "--repeat", "1"];
    let (code, text) = streamspec(&replay);
    assert!(code == OK && text.contains("FIXED talk: held in 1 of 1 runs"), "{text}");
}

#[test]
fn what_a_wrong_server_of_json_lines_did_is_found() {
    if !python::is_there("a recorded conversation in JSON lines") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = recorded(folder.path(), "inclusive");
    let (code, text) = streamspec(&["check", &folder.path().join("talk.tape").display().to_string(), "--profile", &profile]);
    assert!(code == VIOLATED && text.contains("FAILED RESUME-"), "{text}");
}
