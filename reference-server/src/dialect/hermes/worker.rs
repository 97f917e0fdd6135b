//! The worker of a run: turns what the agent does into events of the journal. An event is on disk before anybody sees it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::conversation::{Conversation, Record, log_name};
use super::journal::Journal;
use super::{Server, event, view};
use crate::agent::{End, Failure, Happening, Message, Plan, Tools, Turn, Usage};
use crate::bugs::Bug;
use crate::hub::now;
use crate::redact::{Redactor, redact, redact_json};
use crate::session::Append;

/// Happenings that are stored together when they come faster than the disk.
const TOGETHER: usize = 128;
/// How often a question that failed at once is asked again, and how soon.
const RETRIES: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(50);
/// How much of a tool's output its event shows.
const MOST_PREVIEW: usize = 8192;

/// Starts the turn of a run that was just begun. It goes on whoever watches.
pub(super) fn start(server: &Arc<Server>, session: &str, record: &Record, messages: Vec<Message>) {
    let tools = Tools { root: Some(server.workspace.clone()), always: false };
    let plan = Plan { model: server.model.clone(), messages, tools, retries: RETRIES, backoff: BACKOFF, bugs: server.hub.bugs };
    let (told, hear) = mpsc::channel(TOGETHER);
    let turn = Turn::start(plan, told);
    server.turns().insert(record.run.clone(), turn);
    let scribe = Scribe {
        journal: Journal::new(&record.run),
        session: session.to_owned(),
        text: Redactor::default(),
        reasoning: Redactor::default(),
        unbroken: String::new(),
        usage: Usage::default(),
        pending: Vec::new(),
        all: String::new(),
        server: Arc::clone(server),
    };
    tokio::spawn(scribe.work(hear, record.run.clone()));
}

/// What the end of a cancelled run says.
pub(super) fn cancelled(session: &str) -> Value {
    json!({ "type": "cancelled", "status": "cancelled", "message": "Task cancelled.", "session_id": session })
}

struct Scribe {
    server: Arc<Server>,
    session: String,
    /// What was written so far, and what is about to be.
    journal: Journal,
    text: Redactor,
    reasoning: Redactor,
    /// Text since the last boundary.
    unbroken: String,
    usage: Usage,
    pending: Vec<Append>,
    /// All text as the model wrote it; only bugs look at it.
    all: String,
}

impl Scribe {
    async fn work(mut self, mut hear: mpsc::Receiver<Happening>, run: String) {
        // The messages of a prefill, of which there is none; those of the conversation do not count.
        let prefill = json!({ "status": "not_configured", "source": "none", "label": "", "message_count": 0 });
        self.emit("context_status", json!({ "session_id": self.session, "prefill": prefill }));
        let mut happenings = Vec::new();
        loop {
            let written = self.server.hub.append_all(&run, std::mem::take(&mut self.pending)).await;
            // A run that was deleted, or a server that stops: the receiver goes, and the turn with it.
            if written.is_err() && !self.server.hub.bugs.has(Bug::LateWorkerWrites) {
                break;
            }
            if hear.recv_many(&mut happenings, TOGETHER).await == 0 {
                break;
            }
            for happening in happenings.drain(..) {
                self.take(happening);
            }
        }
        let server = &self.server;
        server.turns().remove(&run);
        server.attended().remove(&run);
        server.remembered().raw.remove(&run);
        if server.hub.bugs.has(Bug::LateWorkerWrites) {
            let _ = server.hub.append(&log_name(&self.session), event("overwritten", &json!(self.all))).await;
        }
        server.announce(&log_name(&self.session), "session-updated", &json!({ "session_id": self.session, "stream_id": run }));
        server.list_changed(&self.session);
    }

    fn emit(&mut self, name: &str, data: Value) {
        self.journal.apply(self.journal.last_seq + 1, name, &data, now());
        self.pending.push(event(name, &data));
    }

    /// The last event: the run's session is closed with it.
    fn end(&mut self, name: &str, data: Value) {
        self.emit(name, data);
        if let Some(last) = self.pending.last_mut() {
            last.terminal = true;
        }
    }

    fn say(&mut self, name: &str, text: String) {
        if text.is_empty() {
            return;
        }
        if name == "token" {
            self.unbroken.push_str(&text);
        }
        self.emit(name, json!({ "text": text }));
    }

    /// Says what waited for a following piece: something else comes now.
    fn flush(&mut self) {
        let (text, reasoning) = (self.text.finish(), self.reasoning.finish());
        self.say("reasoning", reasoning);
        self.say("token", text);
    }

    fn take(&mut self, happening: Happening) {
        let bugs = self.server.hub.bugs;
        match happening {
            Happening::Text(text) => {
                let reasoning = self.reasoning.finish();
                self.say("reasoning", reasoning);
                if bugs.has(Bug::SnapshotUnredacted) || bugs.has(Bug::LateWorkerWrites) {
                    self.all.push_str(&text);
                    self.server.remembered().raw.entry(self.journal.run().to_owned()).or_default().push_str(&text);
                }
                let shown = if bugs.has(Bug::LiveUnredacted) { text } else { self.text.push(&text) };
                self.say("token", shown);
            }
            Happening::Reasoning(text) => {
                let before = self.text.finish();
                self.say("token", before);
                let shown = self.reasoning.push(&text);
                self.say("reasoning", shown);
            }
            Happening::Usage(usage) => {
                self.usage.prompt += usage.prompt;
                self.usage.completion += usage.completion;
                self.metering();
            }
            Happening::ToolStarted(call) => {
                self.flush();
                let text = std::mem::take(&mut self.unbroken);
                if !text.is_empty() {
                    // A boundary: the text was streamed already.
                    self.emit("interim_assistant", json!({ "text": text, "already_streamed": true }));
                }
                let args = arguments(&call.arguments);
                let preview = preview(&args.to_string());
                self.emit(
                    "tool",
                    json!({ "event_type": "tool.started", "name": call.name, "preview": preview, "args": args, "tid": call.id }),
                );
            }
            Happening::ToolEnded { call, output, is_error } => {
                let (args, preview) = (arguments(&call.arguments), preview(&redact(&output)));
                self.emit(
                    "tool_complete",
                    json!({
                        "event_type": "tool.completed", "name": call.name, "preview": preview, "args": args, "tid": call.id, "is_error": is_error,
                    }),
                );
            }
            Happening::Asked { call, question } => {
                let question = redact(&question);
                self.emit(
                    "approval",
                    json!({ "session_id": self.session, "approval_id": call.id, "tool": call.name, "description": question }),
                );
            }
            Happening::Retrying { attempt, failure } => {
                let message = redact(&failure.to_string());
                self.emit("warning", json!({ "type": "retrying", "attempt": attempt, "message": message, "session_id": self.session }));
            }
            Happening::StepEnded { .. } => self.flush(),
            Happening::StepStarted { .. } | Happening::Replied { .. } | Happening::Steered(_) => {}
            Happening::Ended { end, .. } => {
                self.flush();
                self.finish(end);
            }
        }
    }

    fn metering(&mut self) {
        let usage = self.usage();
        self.emit(
            "metering",
            json!({
                "tps": 0.0, "tps_available": false, "estimated": false, "high": 0.0, "low": 0.0, "active": 1, "session_id": self.session,
                "usage": usage,
            }),
        );
    }

    fn usage(&self) -> Value {
        json!({ "input_tokens": self.usage.prompt, "output_tokens": self.usage.completion })
    }

    fn finish(&mut self, end: End) {
        let session = self.session.clone();
        match end {
            End::Completed => {
                // The session of the event is the one in which the event has happened.
                let mut after = self.journal.clone();
                after.apply(after.last_seq + 1, "done", &Value::Null, now());
                let conversation = Conversation::find(&self.server, &session);
                let shown = conversation.as_ref().map(|conversation| view::settled(&self.server, conversation, &after));
                self.emit("done", json!({ "session": shown, "usage": self.usage() }));
                self.metering();
                if let Some(conversation) = conversation.filter(|conversation| conversation.records.len() == 1) {
                    self.emit("title_status", json!({ "session_id": session, "status": "ready", "reason": "first_message" }));
                    self.emit("title", json!({ "session_id": session, "title": conversation.title() }));
                }
                self.end("stream_end", json!({ "session_id": session }));
            }
            End::Aborted => self.end("cancel", cancelled(&session)),
            End::Failed(failure) => {
                let kind = if matches!(failure, Failure::Status { status: 401, .. }) { "auth_mismatch" } else { "error" };
                self.fail(kind, &redact(&failure.to_string()));
            }
            End::TooManySteps => self.fail("tool_limit_reached", "the model never stopped calling tools"),
        }
    }

    fn fail(&mut self, kind: &str, message: &str) {
        let session = self.session.clone();
        self.end("apperror", json!({ "type": kind, "message": message, "session_id": session, "old_session_id": session }));
    }
}

/// Arguments as JSON, redacted; what the model wrote wrongly stands as it wrote it.
fn arguments(written: &str) -> Value {
    redact_json(&serde_json::from_str(written).unwrap_or_else(|_| json!({ "raw": written })))
}

fn preview(text: &str) -> String {
    match text.char_indices().nth(MOST_PREVIEW) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...[truncated]", &text[..at]),
    }
}
