//! A turn: what the agent does, as events of the protocol. State is replayable, parts of messages are live-only (b.4).

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::answer::{Answered, Refusal, ok, parse};
use super::permission::{Ask, replied};
use super::rows::{Info, interrupted};
use super::{Shared, id};
use crate::agent::{End, Happening, Message, Plan, Reply, Tools, Turn};
use crate::bugs::Bug;
use crate::hub::now;

/// How often a question that failed at once is asked again, and how soon.
const RETRIES: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(50);
/// After how long a bug takes a silent human for a silent provider.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// A turn that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) directory: String,
    turn: Turn,
    /// True once everything was said.
    over: watch::Receiver<bool>,
}

impl Running {
    /// Stops it and waits until it has said so.
    pub(super) async fn stop(mut self, within: Duration) {
        self.turn.abort();
        let _ = tokio::time::timeout(within, self.over.wait_for(|over| *over)).await;
    }
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default, rename = "noReply")]
    no_reply: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Body {
    fn text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

pub(super) async fn prompt(State(server): State<Shared>, Path(session): Path<String>, body: String) -> Result<StatusCode, Refusal> {
    let body: Body = parse(&body)?;
    let info = server.session(&session)?;
    start(&server, info, &body.text()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /session/{id}/message`: a prompt whose answer is waited for, or with `noReply` a message that nobody answers.
pub(super) async fn note(State(server): State<Shared>, Path(session): Path<String>, body: String) -> Answered {
    let body: Body = parse(&body)?;
    let info = server.session(&session)?;
    if body.no_reply {
        return ok(&say_as_user(&server, &info, &body.text()).await?);
    }
    let mut running = start(&server, info, &body.text()).await?;
    let _ = running.over.wait_for(|over| *over).await;
    ok(&server.rows.messages(&session).last())
}

pub(super) async fn abort(State(server): State<Shared>, Path(session): Path<String>) -> Answered {
    server.session(&session)?;
    let running = server.turns().get(&session).cloned();
    let was = running.is_some();
    if let Some(running) = running {
        running.stop(super::STOP_WITHIN).await;
    }
    ok(&was)
}

pub(super) async fn status(State(server): State<Shared>) -> Response {
    let busy: serde_json::Map<String, Value> = server.turns().keys().map(|session| (session.clone(), json!({ "type": "busy" }))).collect();
    axum::Json(busy).into_response()
}

/// Stores and tells what the user said.
async fn say_as_user(server: &Shared, info: &Info, text: &str) -> Result<Value, Refusal> {
    let (at, session) = (now(), &info.id);
    let message = id("msg", at);
    let about = json!({ "id": message, "sessionID": session, "role": "user", "time": { "created": at.0 } });
    let part = json!({ "id": id("prt", at), "sessionID": session, "messageID": message, "type": "text", "text": text });
    let whole = json!({ "info": about, "parts": [part] });
    server.rows.put(session, &whole).await?;
    let ring = &server.ring;
    ring.say(&info.directory, "message.updated", &json!({ "sessionID": session, "info": about }).to_string()).await?;
    ring.say(&info.directory, "message.part.updated", &json!({ "sessionID": session, "part": part }).to_string()).await?;
    Ok(whole)
}

/// The conversation as the model gets it.
fn conversation(messages: &[Value]) -> Vec<Message> {
    let text = |message: &Value| {
        let parts = message["parts"].as_array().into_iter().flatten().filter(|part| part["type"] == "text");
        parts.filter_map(|part| part["text"].as_str()).collect::<String>()
    };
    let said = messages.iter().map(|message| match message["info"]["role"].as_str() {
        Some("assistant") => Message::Assistant { text: text(message), calls: Vec::new() },
        _ => Message::User(text(message)),
    });
    said.collect()
}

/// Starts the turn of a prompt. It goes on whoever watches.
async fn start(server: &Shared, mut info: Info, text: &str) -> Result<Running, Refusal> {
    let order = server.writing.lock().await;
    if server.turns().contains_key(&info.id) {
        return Err(Refusal::busy(&info.id));
    }
    say_as_user(server, &info, text).await?;
    info.touch(now());
    server.rows.update(&info).await?;
    server.ring.say(&info.directory, "session.updated", &info.event()).await?;
    let messages = conversation(&server.rows.messages(&info.id));
    let tools = Tools { root: server.workspace.clone(), always: false };
    let plan = Plan { model: server.model.clone(), messages, tools, retries: RETRIES, backoff: BACKOFF, bugs: server.ring.bugs() };
    let (told, hear) = mpsc::channel(64);
    let (over, wait) = watch::channel(false);
    let turn = Turn::start(plan, told);
    let running = Running { directory: info.directory.clone(), turn: turn.clone(), over: wait };
    server.turns().insert(info.id.clone(), running.clone());
    drop(order);
    let at = now();
    let message = id("msg", at);
    let about = json!({ "id": message, "sessionID": info.id, "role": "assistant", "time": { "created": at.0 } });
    let scribe = Scribe { server: server.clone(), info, turn, message, about, parts: Vec::new(), open: false };
    tokio::spawn(async move {
        scribe.work(hear).await;
        over.send_replace(true);
    });
    Ok(running)
}

/// Writes down what a turn does.
struct Scribe {
    server: Shared,
    info: Info,
    turn: Turn,
    message: String,
    about: Value,
    parts: Vec<Value>,
    /// True while the last part grows.
    open: bool,
}

impl Scribe {
    async fn work(mut self, mut hear: mpsc::Receiver<Happening>) {
        self.busy().await;
        self.busy().await;
        self.store().await;
        while let Some(happening) = hear.recv().await {
            self.take(happening).await;
        }
        // A turn whose last word was not heard, because the server stops, is ended at the next start.
    }

    /// A stop of the server is the only thing that refuses; nobody is left to hear of it.
    async fn say(&self, event_type: &str, properties: Value) {
        let _ = self.server.ring.say(&self.info.directory, event_type, &properties.to_string()).await;
    }

    async fn status(&self, status: &str) {
        self.say("session.status", json!({ "sessionID": self.info.id, "status": { "type": status } })).await;
    }

    async fn busy(&self) {
        self.status("busy").await;
    }

    /// Stores the message as it is, and tells of it.
    async fn store(&self) {
        let _ = self.server.rows.put(&self.info.id, &json!({ "info": self.about, "parts": self.parts })).await;
        self.say("message.updated", json!({ "sessionID": self.info.id, "info": self.about })).await;
    }

    async fn told(&self, at: usize) {
        self.say("message.part.updated", json!({ "sessionID": self.info.id, "part": self.parts[at] })).await;
    }

    async fn add(&mut self, mut part: Value) {
        self.close().await;
        part["id"] = json!(format!("{}_{}", self.message.replacen("msg", "prt", 1), self.parts.len()));
        part["sessionID"] = json!(self.info.id);
        part["messageID"] = json!(self.message);
        self.parts.push(part);
        self.told(self.parts.len() - 1).await;
    }

    /// A part that grew is told as a whole.
    async fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.told(self.parts.len() - 1).await;
        }
    }

    async fn grow(&mut self, kind: &str, piece: String) {
        if !self.open || self.parts.last().is_none_or(|part| part["type"] != kind) {
            self.add(json!({ "type": kind, "text": "" })).await;
            self.open = true;
        }
        let part = self.parts.last_mut().expect("it was just added");
        let text = part["text"].as_str().unwrap_or_default().to_owned() + &piece;
        part["text"] = json!(text);
        let part = part["id"].clone();
        let delta = json!({ "sessionID": self.info.id, "messageID": self.message, "partID": part, "field": "text", "delta": piece });
        self.say("message.part.delta", delta).await;
    }

    async fn take(&mut self, happening: Happening) {
        match happening {
            Happening::StepStarted { .. } => {
                self.busy().await;
                self.add(json!({ "type": "step-start" })).await;
            }
            Happening::Text(piece) => self.grow("text", piece).await,
            Happening::Reasoning(piece) => self.grow("reasoning", piece).await,
            Happening::ToolStarted(call) => {
                let input = serde_json::from_str::<Value>(&call.arguments).unwrap_or_else(|_| json!({ "raw": call.arguments }));
                let state = json!({ "status": "running", "input": input });
                self.add(json!({ "type": "tool", "callID": call.id, "tool": call.name, "state": state })).await;
                self.store().await;
            }
            Happening::Asked { call, question } => self.ask(&call.id, &call.name, &question).await,
            // Whoever answered has told of it.
            Happening::Replied { .. } | Happening::Usage(_) | Happening::Steered(_) => {}
            Happening::ToolEnded { call, output, is_error } => {
                if let Some(request) = self.server.end_ask(&self.info.id, &call.id) {
                    self.say("permission.replied", replied(&self.info.id, &request, Reply::Reject)).await;
                }
                let Some(at) = self.parts.iter().rposition(|part| part["callID"] == call.id.as_str()) else { return };
                let (status, field) = if is_error { ("error", "error") } else { ("completed", "output") };
                self.parts[at]["state"]["status"] = json!(status);
                self.parts[at]["state"][field] = json!(output);
                self.told(at).await;
            }
            Happening::StepEnded { .. } => {
                self.add(json!({ "type": "step-finish" })).await;
                self.store().await;
                self.busy().await;
            }
            Happening::Retrying { attempt, failure } => {
                let status = json!({ "type": "retry", "attempt": attempt, "message": failure.to_string() });
                self.say("session.status", json!({ "sessionID": self.info.id, "status": status })).await;
            }
            Happening::Ended { end, .. } => self.end(end).await,
        }
    }

    async fn end(&mut self, end: End) {
        self.close().await;
        let failed = |name: &str, message: String| json!({ "name": name, "data": { "message": message } });
        let error = match end {
            End::Completed => Value::Null,
            End::Aborted => interrupted(),
            End::Failed(failure) => failed("APIError", failure.to_string()),
            End::TooManySteps => failed("UnknownError", "the model never stopped calling tools".to_owned()),
        };
        self.about["time"]["completed"] = json!(now().0);
        if !error.is_null() {
            self.say("session.error", json!({ "sessionID": self.info.id, "error": error })).await;
            self.about["error"] = error;
        }
        self.store().await;
        self.server.turns().remove(&self.info.id);
        self.status("idle").await;
        self.say("session.idle", json!({ "sessionID": self.info.id })).await;
    }

    async fn ask(&mut self, call: &str, tool: &str, question: &str) {
        let (session, directory) = (self.info.id.clone(), self.info.directory.clone());
        let request = id("per", now());
        let shown = json!({
            "id": request, "sessionID": session, "permission": tool, "patterns": [question], "metadata": {}, "always": ["*"],
            "tool": { "messageID": self.message, "callID": call },
        });
        let ask = Ask { session: session.clone(), directory, call: call.to_owned(), turn: self.turn.clone(), shown: shown.clone() };
        // It is in the list before anybody hears of it.
        self.server.asks().insert(request.clone(), ask);
        self.say("permission.asked", shown).await;
        if self.server.ring.bugs().has(Bug::AskTimesOut) {
            let (server, directory) = (self.server.clone(), self.info.directory.clone());
            tokio::spawn(async move {
                tokio::time::sleep(IMPATIENCE).await;
                let end = replied(&session, &request, Reply::Reject).to_string();
                let _ = server.ring.say(&directory, "permission.replied", &end).await;
            });
        }
    }
}
