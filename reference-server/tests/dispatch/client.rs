//! Clients of the dialect: the calls that tests make, and sockets whose messages are values.

use std::net::SocketAddr;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamspec_reference_server::{Running, ServeOptions, start};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::http::{DEADLINE, ask};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: ServeOptions,
}

/// A server of this dialect in this process.
pub(crate) async fn serve(arguments: &[&str]) -> Running {
    let all = ["serve", "--dialect", "dispatch"].iter().chain(arguments);
    start(&Arguments::parse_from(all).options).await.unwrap()
}

/// A socket of a client.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one; the path makes no difference.
    pub(crate) async fn open(at: SocketAddr, path: &str) -> Socket {
        Socket(tokio_tungstenite::connect_async(format!("ws://{at}{path}")).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, conversation: &str) {
        self.send(&json!({ "type": "chat.subscribe", "conversationId": conversation })).await;
    }

    pub(crate) async fn prompt(&mut self, conversation: &str, message: &str) {
        self.send(&json!({ "type": "chat.send", "conversationId": conversation, "message": message })).await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// The next message; `None` when the server has closed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let read = async {
            loop {
                match self.0.next().await? {
                    Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, read).await.expect("a message in time")
    }

    /// The next message of this type.
    pub(crate) async fn of_type(&mut self, name: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("closed before {name}"));
            if message["type"] == name {
                return message;
            }
        }
    }

    /// The events of turns up to and with the first of this type.
    pub(crate) async fn upto(&mut self, name: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.of_type("chat.delta").await["event"].clone();
            let last = event["type"] == name;
            events.push(event);
            if last {
                return events;
            }
        }
    }
}

/// What events say, in short: types, and the pieces of text.
pub(crate) fn short(events: &[Value]) -> Vec<String> {
    let one = |event: &Value| {
        let of = |name: &str| event[name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        format!("{}{}{}", event["type"].as_str().unwrap(), of("delta"), of("reason"))
    };
    events.iter().map(one).collect()
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> (u16, Value) {
    let (status, body) = ask(at, "GET", path, &[], "").await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
}

pub(crate) async fn send(at: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) = ask(at, method, path, &[("content-type", "application/json")], &body.to_string()).await;
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}")))
}

/// Role and content of the stored chunks.
pub(crate) async fn history(at: SocketAddr, conversation: &str) -> Vec<String> {
    let (status, body) = get(at, &format!("/conversations/{conversation}")).await;
    assert_eq!(status, 200, "{body}");
    let chunk = |(n, chunk): (usize, &Value)| {
        assert_eq!(chunk["seq"], n as u64 + 1, "numbers are dense");
        let of = |name: &str| chunk["chunk"][name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        format!(
            "{} {}{}{}{}",
            chunk["role"].as_str().unwrap(),
            chunk["chunk"]["type"].as_str().unwrap(),
            of("text"),
            of("content"),
            of("code")
        )
    };
    body["chunks"].as_array().unwrap().iter().enumerate().map(chunk).collect()
}
