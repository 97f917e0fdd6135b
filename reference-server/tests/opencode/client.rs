//! A client of the dialect: the calls that tests make, and rows as values.

use std::net::SocketAddr;

use clap::Parser;
use serde_json::{Value, json};
use streamspec_reference_server::{Running, ServeOptions, start};

use crate::http::{Answer, DEADLINE, ask, request};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: ServeOptions,
}

/// A server of this dialect in this process.
pub(crate) async fn serve(arguments: &[&str]) -> Running {
    let all = ["serve", "--dialect", "opencode", "--heartbeat", "1h"].iter().chain(arguments);
    start(&Arguments::parse_from(all).options).await.unwrap()
}

/// The JSON of the frames in a body. Every line is one that the dialect knows.
pub(crate) fn frames(body: &str) -> Vec<Value> {
    let blocks = body.split("\n\n").filter(|block| !block.is_empty() && *block != ": heartbeat");
    blocks.map(|block| serde_json::from_str(block.strip_prefix("data: ").unwrap_or_else(|| panic!("{block}"))).unwrap()).collect()
}

/// `seq: type` of rows, prefix dropped.
pub(crate) fn brief(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let name = row["type"].as_str().unwrap();
            let name = name.strip_prefix("session.next.").unwrap_or(name);
            row["durable"]["seq"].as_u64().map_or_else(|| name.to_owned(), |seq| format!("{seq} {name}"))
        })
        .collect()
}

#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) at: SocketAddr,
}

impl Client {
    pub(crate) fn of(server: &Running) -> Client {
        Client { at: server.address() }
    }

    pub(crate) async fn call(self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = ask(self.at, method, path, &[], &body).await;
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// A new session's id.
    pub(crate) async fn session(self) -> String {
        let (status, body) = self.call("POST", "/api/session", &json!({ "location": { "directory": "/proj" } })).await;
        assert_eq!(status, 200, "{body}");
        body["data"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn prompt(self, session: &str, body: Value) -> (u16, Value) {
        self.call("POST", &format!("/api/session/{session}/prompt"), &body).await
    }

    /// A row that is not answered; its number.
    pub(crate) async fn row(self, session: &str, text: &str) -> u64 {
        let (status, body) = self.prompt(session, json!({ "prompt": { "text": text }, "resume": false })).await;
        assert_eq!(status, 200, "{body}");
        body["data"]["admittedSeq"].as_u64().unwrap()
    }

    pub(crate) async fn history(self, session: &str, query: &str) -> (u16, Value) {
        self.call("GET", &format!("/api/session/{session}/history?{query}"), &Value::Null).await
    }

    /// Every row.
    pub(crate) async fn rows(self, session: &str) -> Vec<Value> {
        self.history(session, "limit=100").await.1["data"].as_array().unwrap().clone()
    }

    pub(crate) async fn stream(self, path: &str) -> Answer {
        tokio::time::timeout(DEADLINE, request(self.at, "GET", path, &[], "")).await.expect("a head in time").expect("a head")
    }

    /// Waits until the session is idle.
    pub(crate) async fn idle(self, session: &str) {
        let over = async {
            while !self.call("GET", "/api/session/active", &Value::Null).await.1["data"][session].is_null() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, over).await.expect("the turn ends");
    }
}
