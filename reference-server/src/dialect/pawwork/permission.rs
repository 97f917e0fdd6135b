//! Questions that wait for a human: asked once, ended once, and gone from the list with their end.

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, ok, parse};
use super::{Server, Shared};
use crate::agent::{Reply, Turn};

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) session: String,
    pub(super) directory: String,
    /// The tool's call that waits.
    pub(super) call: String,
    pub(super) turn: Turn,
    /// What readers are told of it.
    pub(super) shown: Value,
}

/// The properties of a question's end.
pub(super) fn replied(session: &str, request: &str, reply: Reply) -> Value {
    let reply = match reply {
        Reply::Once => "once",
        Reply::Always => "always",
        Reply::Reject => "reject",
    };
    json!({ "sessionID": session, "requestID": request, "reply": reply })
}

impl Server {
    /// Takes the question out that a call of a session waits for; its request id with it.
    pub(super) fn end_ask(&self, session: &str, call: &str) -> Option<String> {
        let mut asks = self.asks();
        let request = asks.iter().find(|(_, ask)| ask.session == session && ask.call == call)?.0.clone();
        asks.remove(&request);
        Some(request)
    }
}

pub(super) async fn list(State(server): State<Shared>) -> Answered {
    let all: Vec<Value> = server.asks().values().map(|ask| ask.shown.clone()).collect();
    ok(&all)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Once,
    Always,
    Reject,
}

#[derive(Debug, Deserialize)]
struct Body {
    reply: Word,
}

/// The answer comes when readers have been told, so that whoever reads the list after it finds the question gone.
pub(super) async fn reply(State(server): State<Shared>, Path(request): Path<String>, body: String) -> Answered {
    let Body { reply } = parse(&body)?;
    let reply = match reply {
        Word::Once => Reply::Once,
        Word::Always => Reply::Always,
        Word::Reject => Reply::Reject,
    };
    let unknown = || Refusal::not_found(&format!("Permission request not found: {request}"));
    let ask = server.asks().remove(&request).ok_or_else(unknown)?;
    if !ask.turn.reply(&ask.call, reply) {
        return Err(unknown());
    }
    server.ring.say(&ask.directory, "permission.replied", &replied(&ask.session, &request, reply).to_string()).await?;
    ok(&true)
}
