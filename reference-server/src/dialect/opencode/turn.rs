//! Turns: prompts that are taken up, steps of the model, and what they leave in the log.
//!
//! A session works in one task at a time. It is active from before its prompt is answered until after the last row of its last
//! step is durable; a fragment is told behind the row that started its block.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::ledger::{Ledger, OpenStep, Prompt};
use super::log::{Log, stamped};
use super::stream::FOREIGN;
use super::{Server, event, event_id, new_id};
use crate::agent::{End, Failure, Finish, Happening, Plan, Reply, Tools, Turn, Usage};
use crate::bugs::Bug;
use crate::hub::{Answer, now};
use crate::session::Append;

/// Happenings that are taken together when they come faster than the disk.
const TOGETHER: usize = 128;
/// How often a question that failed at once is asked again, and how soon.
const RETRIES: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(50);

/// A session that works.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The turn that runs, between its start and its end.
    turn: Option<Turn>,
    /// Prompts that were given to the turn and not taken in, oldest first.
    steering: VecDeque<String>,
    /// Something was admitted that the turn may not have seen.
    wanted: bool,
    /// It was told to stop.
    stopped: bool,
    /// Open questions.
    pub(super) asks: Vec<Ask>,
}

/// A question that waits for a human.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    id: String,
    call: String,
    tool: String,
    question: String,
    message: String,
}

impl Ask {
    /// As it is listed and announced.
    pub(super) fn shown(&self, session: &str) -> Value {
        let source = json!({ "type": "tool", "messageID": self.message, "callID": self.call });
        json!({ "id": self.id, "sessionID": session, "action": self.tool, "resources": [self.question], "save": [], "source": source })
    }
}

impl Running {
    /// Ends the turn that runs, and takes up nothing more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        if let Some(turn) = &self.turn {
            turn.abort();
        }
    }

    /// Answers a question; false when it is not open.
    pub(super) fn reply(&mut self, ask: &str, reply: Reply) -> bool {
        let open = self.asks.iter().find(|open| open.id == ask);
        open.is_some_and(|open| self.turn.as_ref().is_some_and(|turn| turn.reply(&open.call, reply)))
    }
}

/// Has a prompt taken up that was just admitted: by the turn that runs, or by a new one.
pub(super) fn wake(server: &Arc<Server>, log: &Log, message: &str, text: &str, queued: bool) {
    let mut all = server.running();
    if let Some(running) = all.get_mut(&log.meta.id) {
        running.wanted = true;
        if !queued && running.turn.as_ref().is_some_and(|turn| turn.steer(text.to_owned())) {
            running.steering.push_back(message.to_owned());
        }
        return;
    }
    all.insert(log.meta.id.clone(), Running::default());
    drop(all);
    tokio::spawn(work(Arc::clone(server), log.clone()));
}

/// Takes up what is pending until nothing is, then is idle.
async fn work(server: Arc<Server>, log: Log) {
    loop {
        if let Some(running) = server.running().get_mut(&log.meta.id) {
            running.wanted = false;
        }
        let ledger = Ledger::of(&log.cell.lock().snapshot(now()).events);
        let (steers, queued): (Vec<Prompt>, Vec<Prompt>) = ledger.pending.into_iter().partition(|prompt| !prompt.queued);
        let left = if steers.is_empty() { queued.len().saturating_sub(1) } else { queued.len() };
        let taken = if steers.is_empty() { queued.into_iter().take(1).collect() } else { steers };
        // A deleted session, or a server that stops: there is nothing to write to.
        let over = !taken.is_empty() && one_turn(&server, &log, taken).await.is_err();
        let mut all = server.running();
        let goes_on = all.get(&log.meta.id).is_some_and(|running| (running.wanted || left > 0) && !running.stopped);
        if over || !goes_on {
            all.remove(&log.meta.id);
            return;
        }
    }
}

async fn one_turn(server: &Arc<Server>, log: &Log, prompts: Vec<Prompt>) -> Result<(), Answer> {
    let id = &log.meta.id;
    let taken_up = prompts.iter().map(|prompt| {
        let delivery = if prompt.queued { "queue" } else { "steer" };
        event("session.next.prompted", &json!({ "messageID": prompt.id, "prompt": { "text": prompt.text }, "delivery": delivery }))
    });
    server.hub.append_all(id, taken_up.collect()).await?;
    let messages = Ledger::of(&log.cell.lock().snapshot(now()).events).messages;
    let tools = Tools { root: server.workspace.clone(), always: false };
    let plan = Plan { model: server.model.clone(), messages, tools, retries: RETRIES, backoff: BACKOFF, bugs: server.hub.bugs };
    let (told, mut hear) = mpsc::channel(TOGETHER);
    let turn = Turn::start(plan, told);
    {
        let mut all = server.running();
        let running = all.entry(id.clone()).or_default();
        if running.stopped {
            turn.abort();
        }
        running.turn = Some(turn);
        running.steering.clear();
    }
    let mut scribe = Scribe { server, log, step: None, rows: Vec::new() };
    let mut written = Ok(());
    let mut happenings = Vec::new();
    while written.is_ok() && hear.recv_many(&mut happenings, TOGETHER).await > 0 {
        for happening in happenings.drain(..) {
            written = scribe.take(happening).await;
            if written.is_err() {
                break;
            }
        }
        written = match written {
            Ok(()) => scribe.flush().await,
            Err(answer) => Err(answer),
        };
    }
    if let Some(running) = server.running().get_mut(id) {
        running.turn = None;
        running.asks.clear();
    }
    written
}

/// A block of text or reasoning that is being said.
#[derive(Debug)]
struct Block {
    kind: &'static str,
    id: String,
    text: String,
}

#[derive(Debug)]
struct Step {
    message: String,
    block: Option<Block>,
    blocks: u32,
    usage: Usage,
}

/// Writes what a turn does.
struct Scribe<'t> {
    server: &'t Arc<Server>,
    log: &'t Log,
    step: Option<Step>,
    /// Rows that are not stored yet.
    rows: Vec<Append>,
}

impl Scribe<'_> {
    fn row(&mut self, event_type: &str, data: &Value) {
        self.rows.push(event(&format!("session.next.{event_type}"), data));
    }

    async fn flush(&mut self) -> Result<(), Answer> {
        self.server.hub.append_all(&self.log.meta.id, std::mem::take(&mut self.rows)).await
    }

    /// Says something that is not kept, behind every row before it.
    async fn say(&mut self, event_type: &str, data: &Value) -> Result<(), Answer> {
        if !self.server.hub.bugs.has(Bug::FragmentOvertakes) {
            self.flush().await?;
        }
        say(self.server, self.log, event_type, data);
        Ok(())
    }

    fn message(&self) -> String {
        self.step.as_ref().map(|step| step.message.clone()).unwrap_or_default()
    }

    /// A piece of a block, which it starts if another one or none is open.
    async fn piece(&mut self, kind: &'static str, piece: String) -> Result<(), Answer> {
        if self.step.as_ref().and_then(|step| step.block.as_ref()).is_none_or(|block| block.kind != kind) {
            self.end_block();
            let Some(step) = &mut self.step else { return Ok(()) };
            let id = format!("{kind}-{}", step.blocks);
            step.blocks += 1;
            step.block = Some(Block { kind, id: id.clone(), text: String::new() });
            let data = json!({ "assistantMessageID": step.message, (format!("{kind}ID")): id });
            self.row(&format!("{kind}.started"), &data);
        }
        let Some(step) = &mut self.step else { return Ok(()) };
        let Some(block) = &mut step.block else { return Ok(()) };
        block.text.push_str(&piece);
        let data = json!({ "assistantMessageID": step.message, (format!("{kind}ID")): block.id, "delta": piece });
        self.say(&format!("session.next.{kind}.delta"), &data).await
    }

    fn end_block(&mut self) {
        let Some(step) = &mut self.step else { return };
        let Some(Block { kind, id, text }) = step.block.take() else { return };
        let data = json!({ "assistantMessageID": step.message, (format!("{kind}ID")): id, "text": text });
        self.row(&format!("{kind}.ended"), &data);
    }

    async fn take(&mut self, happening: Happening) -> Result<(), Answer> {
        let session = self.log.meta.id.clone();
        match happening {
            Happening::StepStarted { .. } => {
                let message = new_id("msg");
                self.row("step.started", &json!({ "assistantMessageID": message, "agent": "build" }));
                self.step = Some(Step { message, block: None, blocks: 0, usage: Usage::default() });
            }
            Happening::Text(text) => self.piece("text", text).await?,
            Happening::Reasoning(text) => self.piece("reasoning", text).await?,
            Happening::Usage(usage) => {
                if let Some(step) = &mut self.step {
                    step.usage = usage;
                }
            }
            Happening::ToolStarted(call) => {
                self.end_block();
                let of = |more: Value| {
                    let mut data = json!({ "assistantMessageID": self.message(), "callID": call.id });
                    data.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
                    data
                };
                let (started, ended) = (of(json!({ "name": call.name })), of(json!({ "text": call.arguments })));
                let delta = of(json!({ "delta": call.arguments }));
                // What the model wrote wrongly stands as it wrote it.
                let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({ "raw": call.arguments }));
                let called = of(json!({ "tool": call.name, "input": input, "provider": { "executed": false } }));
                self.row("tool.input.started", &started);
                self.say("session.next.tool.input.delta", &delta).await?;
                self.row("tool.input.ended", &ended);
                self.row("tool.called", &called);
            }
            Happening::Asked { call, question } => {
                let ask = Ask { id: new_id("per"), call: call.id, tool: call.name, question, message: self.message() };
                let shown = ask.shown(&session);
                if let Some(running) = self.server.running().get_mut(&session) {
                    running.asks.push(ask);
                }
                self.say("permission.v2.asked", &shown).await?;
            }
            Happening::Replied { call, reply } => {
                let answered = |running: &mut Running| {
                    let at = running.asks.iter().position(|ask| ask.call == call.id)?;
                    Some(running.asks.remove(at))
                };
                let asked = self.server.running().get_mut(&session).and_then(answered);
                let reply = match reply {
                    Reply::Once => "once",
                    Reply::Always => "always",
                    Reply::Reject => "reject",
                };
                let data = json!({ "requestID": asked.map(|ask| ask.id), "reply": reply });
                self.say("permission.v2.replied", &data).await?;
            }
            Happening::ToolEnded { call, output, is_error } => {
                let mut data = json!({ "assistantMessageID": self.message(), "callID": call.id });
                if is_error {
                    data["error"] = json!({ "type": "unknown", "message": output });
                } else {
                    data["output"] = output.into();
                }
                self.row(if is_error { "tool.failed" } else { "tool.success" }, &data);
            }
            Happening::StepEnded { finish, .. } => {
                self.end_block();
                let Some(step) = self.step.take() else { return Ok(()) };
                let finish = match finish {
                    Finish::Stop => "stop".to_owned(),
                    Finish::ToolCalls => "tool-calls".to_owned(),
                    Finish::Other(word) => word,
                };
                let tokens = json!({ "input": step.usage.prompt, "output": step.usage.completion });
                self.row("step.ended", &json!({ "assistantMessageID": step.message, "finish": finish, "cost": 0, "tokens": tokens }));
            }
            Happening::Steered(text) => {
                let steering = |running: &mut Running| running.steering.pop_front();
                if let Some(message) = self.server.running().get_mut(&session).and_then(steering) {
                    self.row("prompted", &json!({ "messageID": message, "prompt": { "text": text }, "delivery": "steer" }));
                }
            }
            // Nothing of the failed attempt was told, and nothing of it is kept.
            Happening::Retrying { .. } => {}
            Happening::Ended { end, .. } => self.end(end),
        }
        Ok(())
    }

    fn end(&mut self, end: End) {
        let error = match &end {
            End::Completed => return,
            End::Aborted => "Provider turn interrupted".to_owned(),
            End::Failed(failure) => failure.to_string(),
            End::TooManySteps => "the model never stopped calling tools".to_owned(),
        };
        self.end_block();
        if matches!(end, End::Failed(Failure::Cut(_))) && self.server.hub.bugs.has(Bug::CutTurnStaysOpen) {
            return;
        }
        if let Some(step) = self.step.take() {
            let error = json!({ "type": "unknown", "message": error });
            self.row("step.failed", &json!({ "assistantMessageID": step.message, "error": error }));
        }
    }
}

/// Tells something that is not kept to the readers of its session and of the process.
fn say(server: &Server, log: &Log, event_type: &str, data: &Value) {
    let id = event_id();
    let mut data = data.clone();
    let stamp: Value = serde_json::from_str(&stamped(&log.meta.id, now().0, "{}")).expect("it is an object");
    data.as_object_mut().expect("what is said is an object").extend(stamp.as_object().cloned().unwrap_or_default());
    let whole = format!(r#"{{"id":"{id}","type":"{event_type}","data":{data}}}"#);
    {
        let mut session = log.cell.lock();
        session.announce(event_type, &whole);
        if server.hub.bugs.has(Bug::EphemeralReplayed) {
            session.keep(event_type, &whole);
        }
    }
    log.cell.ring();
    server.feed.say(&log.meta.directory, &id, event_type, &data);
    if server.hub.bugs.has(Bug::ForeignFillsQueue) {
        for other in server.hub.others(&log.meta.id) {
            other.lock().announce(FOREIGN, &whole);
            other.ring();
        }
    }
}

/// Ends every step that has no end: the process that worked on it is gone. What was said of it and not kept is declared lost
/// by its failure.
pub(super) async fn repair(server: &Arc<Server>) -> Result<(), Answer> {
    for cell in server.hub.all() {
        let (id, events) = {
            let mut session = cell.lock();
            (session.id.clone(), session.snapshot(now()).events)
        };
        let Ledger { step, unanswered, .. } = Ledger::of(&events);
        if server.hub.bugs.has(Bug::ActivityStored) && step.is_some() {
            server.ghosts.lock().expect("nobody panics while holding the ghosts").insert(id.clone());
        }
        if !server.hub.bugs.has(Bug::RepairSkipped) {
            server.hub.append_all(&id, missing(step, unanswered)).await?;
        }
    }
    Ok(())
}

/// The rows that a log lacks.
fn missing(step: Option<OpenStep>, unanswered: bool) -> Vec<Append> {
    let mut rows = Vec::new();
    let mut row = |event_type: &str, data: Value| rows.push(event(&format!("session.next.{event_type}"), &data));
    let step = match step {
        Some(step) => step,
        None if unanswered => {
            let step = OpenStep { message: new_id("msg"), ..OpenStep::default() };
            row("step.started", json!({ "assistantMessageID": step.message, "agent": "build" }));
            step
        }
        None => return rows,
    };
    let error = json!({ "type": "interrupted", "message": "The process ended during this step; what it had said and not kept is lost" });
    for (kind, id) in step.blocks {
        row(&format!("{kind}.ended"), json!({ "assistantMessageID": step.message, (format!("{kind}ID")): id, "text": "" }));
    }
    for call in step.calls {
        row("tool.failed", json!({ "assistantMessageID": step.message, "callID": call, "error": error }));
    }
    row("step.failed", json!({ "assistantMessageID": step.message, "error": error }));
    rows
}
