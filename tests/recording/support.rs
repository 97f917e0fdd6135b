//! Processes of the binary, and requests as plain bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) const OK: i32 = 0;
pub(crate) const VIOLATED: i32 = 1;
pub(crate) const USAGE: i32 = 2;

/// Longer than anything takes on any machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Runs the binary to its end: exit code, and both outputs.
pub(crate) fn streamspec(args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    let Output { status, stdout, stderr } = command.args(args).env("NO_COLOR", "1").output().expect("the binary runs");
    (status.code().expect("it was not killed"), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A process of the binary that goes on; it is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
        let mut child = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (line, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Running { child, lines }
    }

    /// Its next line.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line comes")
    }

    /// Its next line, if it comes in this time.
    pub(crate) fn line_within(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// The URLs in its next line.
    pub(crate) fn urls(&self) -> Vec<String> {
        let line = self.line();
        let urls = line.split([' ', ';']).filter(|word| word.starts_with("http://"));
        urls.map(|url| url.trim_end_matches("/faults").to_owned()).collect()
    }

    /// Tells it to end as Ctrl-C does; its exit code, and the lines that are left.
    pub(crate) fn interrupt(mut self) -> (i32, Vec<String>) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).expect("it lives");
        self.finish()
    }

    /// Its exit code, and the lines that are left.
    pub(crate) fn finish(&mut self) -> (i32, Vec<String>) {
        let mut rest = Vec::new();
        // The lines end when the process does.
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            rest.push(line);
        }
        (self.child.wait().expect("it ends").code().expect("it was not killed"), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The reference server, with these bugs, its data in `folder`.
pub(crate) fn server(folder: &Path, bugs: &[&str]) -> (Running, String) {
    let data = folder.join("data");
    let bugs: Vec<&str> = bugs.iter().flat_map(|bug| ["--bug", *bug]).collect();
    let plain = ["serve", "--dialect", "sse", "--port", "0", "--data", data.to_str().unwrap()];
    let running = Running::start(&[&plain, bugs.as_slice()].concat());
    let url = running.urls().pop().expect("it says where it listens");
    (running, url)
}

/// The profile of server-sent events without a promise about time.
pub(crate) fn timeless(folder: &Path) -> PathBuf {
    timeless_of(folder, "sse")
}

/// A built-in profile without a promise about time, in a file of `folder`: what is judged here is what came, not when.
pub(crate) fn timeless_of(folder: &Path, profile: &str) -> PathBuf {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("profiles/{profile}.toml"))).unwrap();
    assert!(text.contains("\ndelivery_ms = "), "the profile promises a delivery in time");
    let kept: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("heartbeat_ms"))
        .map(|line| if line.starts_with("delivery_ms") { "delivery_ms = 120000".to_owned() } else { line.to_owned() })
        .map(|line| if line.starts_with("headers_ms") { "headers_ms = 0".to_owned() } else { line })
        .collect();
    let path = folder.join("timeless.toml");
    std::fs::write(&path, kept.join("\n")).unwrap();
    path
}

/// One request on a connection of its own: the status, and the body as it stands on the wire.
pub(crate) fn ask(base: &str, method: &str, target: &str, body: &str) -> (u16, String) {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer ends");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), body.to_owned())
}

/// Opens a session.
pub(crate) fn open(base: &str, session: &str) {
    let (status, body) = ask(base, "POST", "/sessions", &format!("{{\"id\":\"{session}\"}}"));
    assert_eq!(status, 201, "{body}");
}

/// Publishes an event.
pub(crate) fn publish(base: &str, session: &str, text: &str) {
    let event = format!("{{\"type\":\"message\",\"data\":\"{text}\"}}");
    let (status, body) = ask(base, "POST", &format!("/sessions/{session}/events"), &event);
    assert_eq!(status, 201, "{body}");
}

/// Ends a session.
pub(crate) fn close(base: &str, session: &str) {
    let (status, body) = ask(base, "POST", &format!("/sessions/{session}/close"), "");
    assert_eq!(status, 200, "{body}");
}
