//! A private long-poll protocol, described by a profile alone: a right server passes, and each of its bugs is caught.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long the server lets a reader wait.
const WAIT: Duration = Duration::from_millis(200);

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// A poll that waited is told of a position that is one letter too far.
    SkipsAfterWaiting,
    /// The letter at the cursor comes again.
    Inclusive,
    /// A sender's repetition is another letter.
    ForgetsSenders,
    /// A reader behind the last letter is never told that there will be no more.
    NeverEnds,
}

#[derive(Default)]
struct Mailbox {
    letters: Vec<String>,
    senders: HashMap<String, usize>,
    ended: bool,
}

#[derive(Default)]
struct Server {
    boxes: Mutex<HashMap<String, Mailbox>>,
    changed: Condvar,
}

struct Request {
    method: String,
    path: String,
    query: String,
    sender: Option<String>,
    body: String,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Request> {
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (mut length, mut sender) = (0, None);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "sender" => sender = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        let (path, query) = (path.to_owned(), query.to_owned());
        Some(Request { method, path, query, sender, body: String::from_utf8(body).ok()? })
    }
}

impl Server {
    /// Serves until the test ends; the address.
    fn start(bug: Bug) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Server::default());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || {
                    let Some(request) = Request::read(&stream) else { return };
                    let (status, headers, body) = server.answer(&request, bug);
                    let length = if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
                    let head = format!("HTTP/1.1 {status}\r\n{headers}{length}Cache-Control: no-store\r\nConnection: close\r\n\r\n");
                    // The reader may be gone.
                    let _ = stream.write_all((head + &body).as_bytes());
                });
            }
        });
        url
    }

    fn answer(&self, request: &Request, bug: Bug) -> (&'static str, String, String) {
        let refused = |status, why: &str| (status, "Content-Type: text/plain\r\n".to_owned(), why.to_owned());
        let (name, end) = request.path.strip_suffix("/end").map_or((request.path.as_str(), false), |name| (name, true));
        let mut boxes = self.boxes.lock().unwrap();
        if request.method == "PUT" {
            boxes.insert(name.to_owned(), Mailbox::default());
            return ("201 Created", String::new(), String::new());
        }
        let Some(mailbox) = boxes.get_mut(name) else { return refused("404 Not Found", "no such box") };
        match request.method.as_str() {
            "POST" if end => {
                mailbox.ended = true;
                self.changed.notify_all();
                ("200 OK", format!("Next: {}\r\n", mailbox.letters.len()), String::new())
            }
            "POST" if mailbox.ended => refused("409 Conflict", "the box is closed"),
            "POST" => {
                let known = request.sender.as_ref().and_then(|sender| mailbox.senders.get(sender)).filter(|_| bug != Bug::ForgetsSenders);
                let at = known.copied().unwrap_or_else(|| {
                    mailbox.letters.push(request.body.clone());
                    mailbox.letters.len()
                });
                mailbox.senders.extend(request.sender.clone().map(|sender| (sender, at)));
                self.changed.notify_all();
                ("200 OK", format!("Next: {at}\r\n"), String::new())
            }
            "GET" => {
                let of = |key: &str| request.query.split('&').filter_map(|part| part.split_once('=')).find(|(k, _)| *k == key);
                let after: usize = of("after").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
                let waits = of("wait").is_some();
                let arrives = |boxes: &mut HashMap<String, Mailbox>| {
                    let mailbox = &boxes[name];
                    waits && mailbox.letters.len() <= after && !mailbox.ended
                };
                let idle = arrives(&mut boxes);
                let (boxes, _) = self.changed.wait_timeout_while(boxes, WAIT, arrives).unwrap();
                let mailbox = &boxes[name];
                let length = mailbox.letters.len();
                let from = if bug == Bug::Inclusive { after.saturating_sub(1) } else { after };
                let letters = mailbox.letters.get(from..).unwrap_or_default();
                let next = if bug == Bug::SkipsAfterWaiting && idle && !letters.is_empty() { length + 1 } else { length.max(after) };
                let headers = format!("Content-Type: application/json\r\nNext: {next}\r\nAll: yes\r\n");
                let over = mailbox.ended && length <= after && bug != Bug::NeverEnds;
                match waits && length <= after {
                    true => ("204 No Content", headers + if over { "Ended: yes\r\n" } else { "" }, String::new()),
                    false => ("200 OK", headers, format!("[{}]", letters.join(","))),
                }
            }
            _ => refused("405 Method Not Allowed", "no such method"),
        }
    }
}

/// Exit code and report of a run of some scenarios.
fn tested(bug: Bug, only: &[&str]) -> (Option<i32>, String) {
    let url = Server::start(bug);
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private/mailbox.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    command.args(["test", "--url", &url, "--profile", profile, "--deadline", "2s"]);
    command.args(only.iter().flat_map(|only| ["--only", only]));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), said.concat())
}

#[test]
fn a_right_server_passes_and_is_judged() {
    let (code, said) =
        tested(Bug::None, &["one-at-a-time", "seam-under-a-writer", "resume-after-each-event", "terminal-while-live", "retried-publish"]);
    assert!(matches!(code, Some(0 | 5)), "{said}");
    let judged = |family: &str| {
        let line = said.lines().find(|line| line.starts_with(family)).unwrap_or_default();
        line.split_whitespace().nth(2).unwrap_or_default().replace(',', "").parse::<u64>().unwrap_or(0)
    };
    for family in ["DELIVER", "RESUME", "SEAM", "END", "IDEM"] {
        assert!(judged(family) > 0, "{family}: {said}");
    }
}

#[test]
fn each_bug_is_caught() {
    let cases: [(Bug, &str, &[&str]); 4] = [
        // Whether the two readers skip the same event is a matter of time.
        (Bug::SkipsAfterWaiting, "one-at-a-time", &["FAILED DELIVER-1", "FAILED FANOUT-1"]),
        (Bug::Inclusive, "resume-after-each-event", &["FAILED RESUME-1"]),
        (Bug::ForgetsSenders, "retried-publish", &["FAILED IDEM-1"]),
        (Bug::NeverEnds, "terminal-while-live", &["FAILED END-"]),
    ];
    for (bug, scenario, failed) in cases {
        let (code, said) = tested(bug, &[scenario]);
        assert!(code == Some(1) && failed.iter().any(|failed| said.contains(failed)), "{bug:?}: {code:?}\n{said}");
    }
}
