//! A client of the dialect: the calls that tests make, and frames as lines.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

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
    start(&Arguments::parse_from(["serve", "--dialect", "pawwork"].iter().chain(arguments)).options).await.unwrap()
}

/// The frames of a body in short: `:7 session.status busy`, `- message.part.updated`; the boot is left out.
pub(crate) fn shown(body: &str) -> Vec<String> {
    assert!(body.is_empty() || body.ends_with("\n\n"), "half a frame: {body:?}");
    let frame = |block: &str| {
        let (id, data) = match block.split_once('\n') {
            Some((id, data)) => (format!(":{}", id.strip_prefix("id: ").unwrap().rsplit_once(':').unwrap().1), data),
            None => ("-".to_owned(), block),
        };
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let payload = &data["payload"];
        let status = payload["properties"]["status"]["type"].as_str().map_or_else(String::new, |status| format!(" {status}"));
        format!("{id} {}{status}", payload["type"].as_str().unwrap())
    };
    body.split("\n\n").filter(|block| !block.is_empty()).map(frame).collect()
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
        let (status, answer) = ask(self.at, method, path, &[], &body.to_string()).await;
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// A new session's id.
    pub(crate) async fn session(self, directory: &str) -> String {
        let (status, info) = self.call("POST", &format!("/session?directory={directory}"), &json!({ "title": "p1" })).await;
        assert_eq!(status, 200, "{info}");
        info["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn rename(self, session: &str, title: &str) {
        assert_eq!(self.call("PATCH", &format!("/session/{session}"), &json!({ "title": title })).await.0, 200);
    }

    pub(crate) async fn dispose(self, path: &str) {
        assert_eq!(self.call("POST", path, &Value::Null).await, (200, json!(true)));
    }

    /// Opens the stream with a cursor, or without one.
    pub(crate) async fn stream(self, cursor: Option<&str>) -> Answer {
        let headers: Vec<(&str, &str)> = cursor.map(|id| ("last-event-id", id)).into_iter().collect();
        request(self.at, "GET", "/global/event", &headers, "").await.unwrap()
    }

    /// The boot that counts now, and its newest number.
    pub(crate) async fn fence(self) -> (String, u64) {
        let said = self.stream(None).await.until("\n\n").await;
        assert_eq!(said.split_once('\n').unwrap().1, "data: {\"payload\":{\"type\":\"server.connected\",\"properties\":{}}}\n\n");
        let (boot, number) = said.lines().next().unwrap().strip_prefix("id: ").unwrap().rsplit_once(':').unwrap();
        (boot.to_owned(), number.parse().unwrap())
    }

    /// What a cursor is answered with, up to a change of a title made for the purpose, which is left out.
    pub(crate) async fn answer(self, cursor: &str, session: &str) -> Vec<String> {
        static MARKS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("mark {}.", MARKS.fetch_add(1, Ordering::Relaxed));
        let mut stream = self.stream(Some(cursor)).await;
        self.rename(session, &mark).await;
        let said = stream.until(&mark).await;
        shown(&said[..said.rfind("\n\n").map_or(0, |at| at + 2)])
    }
}
