//! A client of the dialect: the calls that tests make, and frames as values.

use std::net::SocketAddr;

use clap::Parser;
use serde_json::{Value, json};
use streamspec_reference_server::{Running, ServeOptions, start};

use crate::http::{Answer, ask, request};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: ServeOptions,
}

/// A server of this dialect in this process.
pub(crate) async fn serve(arguments: &[&str]) -> Running {
    let quiet = if arguments.contains(&"--heartbeat") { &[][..] } else { &["--heartbeat", "1h"] };
    let all = ["serve", "--dialect", "hermes"].iter().chain(quiet).chain(arguments);
    start(&Arguments::parse_from(all).options).await.unwrap()
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Frame {
    pub(crate) fn seq(&self) -> u64 {
        self.id.as_deref().and_then(|id| id.split_once(':')).unwrap_or_else(|| panic!("no id: {self:?}")).1.parse().unwrap()
    }
}

/// The frames of a body that ends after a whole one. Every line is one that the dialect knows.
pub(crate) fn frames(body: &str) -> Vec<Frame> {
    assert!(body.is_empty() || body.ends_with("\n\n"), "half a frame: {body:?}");
    body.split("\n\n")
        .filter(|block| !block.is_empty() && !block.starts_with(':'))
        .map(|block| {
            let mut lines = block.split('\n').peekable();
            let id = lines.next_if(|line| line.starts_with("id: ")).map(|line| line[4..].to_owned());
            let name = lines.next().unwrap().strip_prefix("event: ").unwrap_or_else(|| panic!("{block}")).to_owned();
            let data = lines.next().unwrap().strip_prefix("data: ").unwrap_or_else(|| panic!("{block}"));
            assert_eq!(lines.next(), None, "{block}");
            Frame { id, name, data: serde_json::from_str(data).unwrap() }
        })
        .collect()
}

/// The text of the tokens.
pub(crate) fn text(frames: &[Frame]) -> String {
    frames.iter().filter(|frame| frame.name == "token").map(|frame| frame.data["text"].as_str().unwrap()).collect()
}

pub(crate) fn names(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.name.as_str()).collect()
}

#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) at: SocketAddr,
}

impl Client {
    pub(crate) fn of(server: &Running) -> Client {
        Client { at: server.address() }
    }

    pub(crate) async fn get(self, path: &str) -> (u16, Value) {
        let (status, body) = ask(self.at, "GET", path, &[], "").await;
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
    }

    pub(crate) async fn post(self, path: &str, body: &Value) -> (u16, Value) {
        let (status, answer) = ask(self.at, "POST", path, &[("content-type", "application/json")], &body.to_string()).await;
        (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}")))
    }

    /// A new session's id.
    pub(crate) async fn session(self) -> String {
        let (status, body) = self.post("/api/session/new", &json!({})).await;
        assert_eq!(status, 200, "{body}");
        body["session"]["session_id"].as_str().unwrap().to_owned()
    }

    /// Starts a turn and returns its stream's id.
    pub(crate) async fn say(self, session: &str, message: &str) -> String {
        let (status, body) = self.post("/api/chat/start", &json!({ "session_id": session, "message": message })).await;
        assert_eq!(status, 200, "{body}");
        body["stream_id"].as_str().unwrap().to_owned()
    }

    /// Opens a run's stream; `query` begins with `&` if it is not empty.
    pub(crate) async fn stream(self, run: &str, query: &str, header: Option<&str>) -> Answer {
        let headers: Vec<(&str, &str)> = header.map(|id| ("Last-Event-ID", id)).into_iter().collect();
        request(self.at, "GET", &format!("/api/chat/stream?stream_id={run}{query}"), &headers, "").await.unwrap()
    }

    /// The whole stream of a run behind a cursor, to its end.
    pub(crate) async fn rest(self, run: &str, query: &str, header: Option<&str>) -> Vec<Frame> {
        let stream = self.stream(run, query, header).await;
        assert_eq!(stream.status, 200);
        frames(&stream.end().await)
    }

    /// A turn from its start to its end.
    pub(crate) async fn turn(self, session: &str, message: &str) -> (String, Vec<Frame>) {
        let run = self.say(session, message).await;
        let all = self.rest(&run, "&after_seq=0", None).await;
        (run, all)
    }

    /// The session as `GET /api/session` shows it.
    pub(crate) async fn shown(self, session: &str) -> Value {
        let (status, body) = self.get(&format!("/api/session?session_id={session}")).await;
        assert_eq!(status, 200, "{body}");
        body["session"].clone()
    }

    pub(crate) async fn status(self, run: &str) -> Value {
        let (status, body) = self.get(&format!("/api/chat/stream/status?stream_id={run}")).await;
        assert_eq!(status, 200);
        body
    }
}

/// Role and content of the messages, and their flags.
pub(crate) fn rows(session: &Value) -> Vec<String> {
    let rows = session["messages"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            let flags = ["_partial", "_recovered_from_run_journal", "_error"].iter().filter(|flag| row[**flag] == true);
            let flags: String = flags.map(|flag| format!(" {flag}")).collect();
            format!("{}{flags}: {}", row["role"].as_str().unwrap(), row["content"].as_str().unwrap())
        })
        .collect()
}
