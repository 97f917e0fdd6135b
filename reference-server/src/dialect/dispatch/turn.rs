//! Turns: they begin, are written down as they go on, are aborted, and settle.
//!
//! A turn runs whoever watches. What it does is stored before it is shown: the text of a step when the model has said it
//! all, a call before its tool runs, a result before anybody sees it. The order at the end is: history, `done`, status, and
//! only then `turn-sealed`, so that who sees the seal reads all of it; and the conversation is free before the seal is visible.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::Refusal;
use super::conversation::{Conversation, Phase, Status, chunk};
use super::live::{InFlight, Outbox};
use super::{Server, compact, hex};
use crate::agent::{End, Happening, Message, Plan, Tools, Turn};
use crate::bugs::Bug;
use crate::session::Start;

/// How often a question is asked again: with waits from 5 s, doubled up to 30 min, that is about 8 hours.
const RETRIES: u32 = 23;
/// Happenings that may wait for the disk.
const TOGETHER: usize = 64;
/// How long a bug lets a turn wait for its slowest client, how often, and how far that client may be behind.
const STALL: Duration = Duration::from_secs(3);
const STALLS: u32 = 2;
const SLOW: u64 = 64;

/// Begins a turn with these messages, what was queued first. The starter is subscribed before it begins.
pub(super) async fn begin(
    server: &Arc<Server>,
    conversation: &Arc<Conversation>,
    message: Option<&str>,
    starter: Option<&Arc<Outbox>>,
) -> Result<Arc<InFlight>, Refusal> {
    let _changing = conversation.changing.lock().await;
    begin_locked(server, conversation, message, starter).await
}

/// As [`begin`], by whoever holds `changing`.
pub(super) async fn begin_locked(
    server: &Arc<Server>,
    conversation: &Arc<Conversation>,
    message: Option<&str>,
    starter: Option<&Arc<Outbox>>,
) -> Result<Arc<InFlight>, Refusal> {
    let bugs = server.hub.bugs;
    let queued: Vec<(u64, String)> = {
        let state = conversation.state();
        if state.closing {
            return Err(Refusal::closed());
        }
        if matches!(state.phase, Phase::Running { .. }) && !bugs.has(Bug::InterleavedTurns) {
            return Err(Refusal::busy());
        }
        state.record.queue.iter().map(|(number, text)| (*number, text.clone())).collect()
    };
    let mut messages = conversation.messages(server);
    let turn_id = format!("t-{}", hex(16));
    let texts: Vec<&str> = queued.iter().map(|(_, text)| text.as_str()).chain(message).collect();
    let rows = texts.iter().map(|text| chunk("user", &turn_id, &json!({ "type": "text", "text": text }))).collect();
    let log = conversation.log();
    server.hub.append_all(&log, rows).await?;
    if !queued.is_empty() {
        let used: Vec<u64> = queued.iter().map(|(number, _)| *number).collect();
        conversation.note(server, "used", &json!(used)).await?;
    }
    messages.extend(texts.iter().map(|text| Message::User((*text).to_owned())));
    conversation.status(server, Status::Active).await?;
    if let Some(starter) = starter {
        conversation.subscribe(server, starter);
    }
    let events = InFlight::new(&conversation.id, turn_id.clone(), bugs);
    let tools = Tools { root: Some(server.workspace.clone()), always: false };
    let plan = Plan { model: server.model.clone(), messages, tools, retries: RETRIES, backoff: server.backoff, bugs };
    let (told, hear) = mpsc::channel(TOGETHER);
    let scribe = Scribe {
        server: Arc::clone(server),
        conversation: Arc::clone(conversation),
        events: Arc::clone(&events),
        log,
        text: String::new(),
        thinking: String::new(),
        bytes: 0,
        input_tokens: 0,
        stalls: 0,
        overflowed: false,
    };
    scribe.emit(json!({ "type": "turn-start" }));
    let turn = Turn::start(plan, told);
    {
        let mut state = conversation.state();
        state.phase = Phase::Running { turn, events: Arc::clone(&events) };
        for outbox in state.subscribers.iter().filter_map(std::sync::Weak::upgrade) {
            outbox.follow(&events, Start::Oldest, bugs);
        }
    }
    tokio::spawn(scribe.work(hear));
    Ok(events)
}

/// Begins the turn that what was queued asks for. A turn that settles begins the next one, so its type cannot be inferred.
fn next(server: Arc<Server>, conversation: Arc<Conversation>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> {
    Box::pin(async move { begin_locked(&server, &conversation, None, None).await.map(drop) })
}

/// Says something to a conversation that may be running: it is taken in at the next tool's result, or begins the next turn.
pub(super) async fn queue(server: &Arc<Server>, conversation: &Arc<Conversation>, text: &str) -> Result<(), Refusal> {
    let _changing = conversation.changing.lock().await;
    if conversation.state().closing {
        return Err(Refusal::closed());
    }
    conversation.note(server, "queued", &json!(text)).await?;
    let phase = conversation.state().phase.clone();
    match phase {
        // A turn that takes nothing more settles soon, and what is queued then begins the next one.
        Phase::Running { turn, .. } => {
            turn.steer(text.to_owned());
            Ok(())
        }
        Phase::Idle => begin_locked(server, conversation, None, None).await.map(drop),
    }
}

/// Closes a conversation: a running turn is aborted and settles first. True when there was one.
pub(super) async fn close(server: &Arc<Server>, conversation: &Arc<Conversation>) -> Result<bool, Refusal> {
    let (mut settled, running) = {
        let _changing = conversation.changing.lock().await;
        let mut state = conversation.state();
        state.closing = true;
        (conversation.settled.subscribe(), state.phase.clone())
    };
    let aborted = match running {
        Phase::Running { turn, .. } => {
            settled.mark_unchanged();
            turn.abort();
            let idle = || matches!(conversation.state().phase, Phase::Idle);
            while !idle() && settled.changed().await.is_ok() {}
            true
        }
        Phase::Idle => false,
    };
    let _changing = conversation.changing.lock().await;
    if conversation.state().record.status != Status::Closed {
        conversation.status(server, Status::Closed).await?;
    }
    Ok(aborted)
}

/// What writes a turn down.
struct Scribe {
    server: Arc<Server>,
    conversation: Arc<Conversation>,
    events: Arc<InFlight>,
    log: String,
    /// What the model has said in this step and is not stored yet.
    text: String,
    thinking: String,
    /// Bytes of the events so far.
    bytes: u64,
    input_tokens: u64,
    stalls: u32,
    overflowed: bool,
}

impl Scribe {
    async fn work(mut self, mut hear: mpsc::Receiver<Happening>) {
        while let Some(happening) = hear.recv().await {
            let ended = matches!(happening, Happening::Ended { .. });
            // A server that stops takes nothing more, and nothing may be shown that is not stored.
            if self.take(happening).await.is_err() || ended {
                break;
            }
        }
    }

    fn emit(&self, mut event: Value) {
        event["conversationId"] = json!(self.conversation.id);
        event["turnId"] = json!(self.events.turn);
        self.events.push(&event);
    }

    async fn store(&self, role: &str, what: Value) -> Result<(), Refusal> {
        let bugs = self.server.hub.bugs;
        if bugs.has(Bug::UnwatchedTurnLost) && !self.events.is_watched() {
            return Ok(());
        }
        let stored = self.server.hub.append_all(&self.log, vec![chunk(role, &self.events.turn, &what)]).await;
        if bugs.has(Bug::CompactsInTurn) { Ok(()) } else { stored.map_err(Refusal::from) }
    }

    /// Stores what the model has said in this step.
    async fn flush(&mut self) -> Result<(), Refusal> {
        let parts = [("thinking", std::mem::take(&mut self.thinking)), ("text", std::mem::take(&mut self.text))];
        for (kind, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            self.store("assistant", json!({ "type": kind, "text": text })).await?;
        }
        Ok(())
    }

    /// Says a piece of the answer, unless the turn has said more than may be kept for late joiners.
    async fn say(&mut self, kind: &str, delta: String) {
        let bugs = self.server.hub.bugs;
        self.bytes += delta.len() as u64;
        if self.bytes > self.server.bound && !bugs.has(Bug::UnboundedBuffer) {
            self.overflowed = true;
            if let Phase::Running { turn, .. } = &self.conversation.state().phase {
                turn.abort();
            }
            return;
        }
        if bugs.has(Bug::SlowStallsAll) && self.events.lag() > SLOW && self.stalls < STALLS {
            self.stalls += 1;
            let until = Instant::now() + STALL;
            while self.events.lag() > SLOW && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.emit(json!({ "type": kind, "delta": delta }));
        if bugs.has(Bug::LiveToEveryone) {
            self.server.misdirect(&self.conversation.id, &json!({ "type": kind, "delta": delta, "conversationId": self.conversation.id }));
        }
        if kind == "text-delta" { self.text.push_str(&delta) } else { self.thinking.push_str(&delta) }
    }

    async fn take(&mut self, happening: Happening) -> Result<(), Refusal> {
        let bugs = self.server.hub.bugs;
        match happening {
            Happening::Text(_) | Happening::Reasoning(_) if self.overflowed => {}
            Happening::Text(text) => self.say("text-delta", text).await,
            Happening::Reasoning(text) => self.say("reasoning-delta", text).await,
            Happening::Usage(usage) => {
                self.input_tokens = usage.prompt;
                self.emit(json!({ "type": "usage", "usage": { "inputTokens": usage.prompt, "outputTokens": usage.completion } }));
            }
            Happening::ToolStarted(call) => {
                self.flush().await?;
                let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({ "raw": call.arguments }));
                let what = json!({ "type": "tool-call", "toolCallId": call.id, "toolName": call.name, "input": input });
                self.store("assistant", what.clone()).await?;
                self.emit(what);
            }
            Happening::ToolEnded { call, output, is_error } => {
                let what =
                    json!({ "type": "tool-result", "toolCallId": call.id, "toolName": call.name, "content": output, "isError": is_error });
                self.store("tool", what.clone()).await?;
                if bugs.has(Bug::InterruptedResultTwice) && is_error {
                    self.store("tool", what.clone()).await?;
                }
                let stream = if is_error { "stderr" } else { "stdout" };
                self.emit(json!({ "type": "tool-output", "toolCallId": call.id, "data": output, "stream": stream }));
                self.emit(what);
            }
            Happening::Retrying { attempt, failure } => {
                let delay = crate::agent::wait(self.server.backoff, attempt).as_millis() as u64;
                let what = json!({ "type": "provider-retry", "attempt": attempt, "delay": delay, "error": failure.to_string() });
                if bugs.has(Bug::RetryInHistory) {
                    self.store("assistant", what.clone()).await?;
                }
                self.emit(what);
            }
            Happening::Steered(text) => {
                self.store("user", json!({ "type": "text", "text": text })).await?;
                self.used(&text).await?;
                self.emit(json!({ "type": "steering", "messages": [text] }));
            }
            Happening::StepEnded { .. } => self.flush().await?,
            Happening::StepStarted { .. } | Happening::Asked { .. } | Happening::Replied { .. } => {}
            Happening::Ended { end, unsteered } => return self.settle(end, unsteered).await,
        }
        Ok(())
    }

    /// What was queued first with this text is used.
    async fn used(&self, text: &str) -> Result<(), Refusal> {
        if self.server.hub.bugs.has(Bug::QueuedTwice) {
            return Ok(());
        }
        let number = self.conversation.state().record.queue.iter().find(|(_, queued)| *queued == text).map(|(number, _)| *number);
        match number {
            Some(number) => self.conversation.note(&self.server, "used", &json!([number])).await,
            None => Ok(()),
        }
    }

    async fn settle(&mut self, end: End, unsteered: Vec<String>) -> Result<(), Refusal> {
        let bugs = self.server.hub.bugs;
        if end == End::Aborted && bugs.has(Bug::PartialThrownAway) {
            self.text.clear();
            self.thinking.clear();
        }
        if bugs.has(Bug::SealedBeforeWritten) {
            self.emit(json!({ "type": "done", "reason": "stop" }));
            self.emit(json!({ "type": "turn-sealed" }));
            tokio::time::sleep(super::LATE).await;
        }
        self.flush().await?;
        let (reason, error) = match end {
            _ if self.overflowed => ("error", Some(("the turn has said more than can be kept".to_owned(), Some("output_limit")))),
            End::Completed => ("stop", None),
            End::Aborted => ("aborted", None),
            End::Failed(failure) => ("error", Some((failure.to_string(), None))),
            End::TooManySteps => ("error", Some(("the model never stopped calling tools".to_owned(), Some("too_many_steps")))),
        };
        if let Some((message, code)) = error {
            let mut what = json!({ "type": "error", "message": message });
            if let Some(code) = code {
                what["code"] = json!(code);
            }
            self.store("assistant", what.clone()).await?;
            self.emit(what);
        }
        if bugs.has(Bug::QueuedLost) {
            for text in &unsteered {
                self.used(text).await?;
            }
        }
        self.seal(reason).await
    }

    /// The end of a turn whose history is stored: said to be done, noted, free, and then sealed.
    async fn seal(&self, reason: &str) -> Result<(), Refusal> {
        let (server, conversation, bugs) = (&self.server, &self.conversation, self.server.hub.bugs);
        let _changing = conversation.changing.lock().await;
        self.emit(json!({ "type": "done", "reason": reason }));
        if !(bugs.has(Bug::StaysActive) && reason != "stop") {
            conversation.status(server, Status::Idle).await?;
        }
        {
            let mut state = conversation.state();
            state.phase = Phase::Idle;
            if bugs.has(Bug::BufferKept) || bugs.has(Bug::BufferNotReset) {
                state.kept = Some(Arc::clone(&self.events));
            }
            if bugs.has(Bug::SubscribersCleared) {
                state.subscribers.clear();
            }
            self.emit(json!({ "type": "turn-sealed" }));
        }
        conversation.settled.send_modify(|turns| *turns += 1);
        let (closing, threshold, queued) = {
            let state = conversation.state();
            (state.closing, state.record.threshold, !state.record.queue.is_empty())
        };
        if closing {
            return Ok(());
        }
        if threshold.is_some_and(|threshold| self.input_tokens >= threshold) {
            compact::locked(server, conversation).await?;
        }
        if queued {
            next(Arc::clone(server), Arc::clone(conversation)).await?;
        }
        Ok(())
    }
}
