//! The ledger: what a log says of its prompts and steps. It is folded from the events whenever it is needed, so that it
//! cannot disagree with them.

use serde_json::{Value, json};

use crate::agent::{Message, ToolCall};
use crate::session::Event;

/// A prompt that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) id: String,
    pub(super) text: String,
    /// True when it waits for the end of the turn, false when it may steer a running one.
    pub(super) queued: bool,
}

/// A step without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenStep {
    pub(super) message: String,
    /// Blocks that have started and not ended: their kind (`text`, `reasoning`) and id.
    pub(super) blocks: Vec<(String, String)>,
    /// Calls that have no result.
    pub(super) calls: Vec<String>,
}

/// What a log comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Prompts that were admitted and not taken up, in order.
    pub(super) pending: Vec<Prompt>,
    /// The conversation, as a model is told it.
    pub(super) messages: Vec<Message>,
    /// The step that has no end.
    pub(super) step: Option<OpenStep>,
    /// A prompt was taken up, and no step has started since.
    pub(super) unanswered: bool,
    /// What people see: a message each.
    pub(super) shown: Vec<Value>,
}

impl Ledger {
    /// The fold of a log.
    pub(super) fn of<'e>(events: impl IntoIterator<Item = &'e Event>) -> Ledger {
        let mut ledger = Ledger::default();
        for event in events {
            let data = serde_json::from_str(&event.data).unwrap_or_default();
            ledger.apply(event.event_type.strip_prefix("session.next.").unwrap_or_default(), &data);
        }
        ledger.messages.retain(|message| !matches!(message, Message::Assistant { text, calls } if text.is_empty() && calls.is_empty()));
        ledger
    }

    fn apply(&mut self, event_type: &str, data: &Value) {
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        match event_type {
            "prompt.admitted" => {
                let prompt = data["prompt"]["text"].as_str().unwrap_or_default().to_owned();
                self.pending.push(Prompt { id: text("messageID"), text: prompt, queued: data["delivery"] == "queue" });
            }
            "prompted" => {
                let id = text("messageID");
                if let Some(at) = self.pending.iter().position(|prompt| prompt.id == id) {
                    let prompt = self.pending.remove(at);
                    self.shown.push(json!({ "id": prompt.id, "type": "user", "text": prompt.text }));
                    self.messages.push(Message::User(prompt.text));
                    self.unanswered = true;
                }
            }
            "step.started" => {
                self.unanswered = false;
                let message = text("assistantMessageID");
                self.shown.push(json!({ "id": message, "type": "assistant", "content": [] }));
                self.messages.push(Message::Assistant { text: String::new(), calls: Vec::new() });
                self.step = Some(OpenStep { message, ..OpenStep::default() });
            }
            "step.ended" | "step.failed" => {
                self.step = None;
                if let Some(shown) = self.shown.last_mut() {
                    shown["error"] = data["error"].clone();
                }
            }
            "text.started" => self.open("text", text("textID")),
            "reasoning.started" => self.open("reasoning", text("reasoningID")),
            "text.ended" => {
                let said = text("text");
                self.end("text", &text("textID"), &said);
                if let Some(Message::Assistant { text, .. }) = self.assistant() {
                    text.push_str(&said);
                }
            }
            "reasoning.ended" => self.end("reasoning", &text("reasoningID"), &text("text")),
            "tool.called" => {
                let call = ToolCall { id: text("callID"), name: text("tool"), arguments: data["input"].to_string() };
                if let Some(step) = &mut self.step {
                    step.calls.push(call.id.clone());
                }
                if let Some(Message::Assistant { calls, .. }) = self.assistant() {
                    calls.push(call);
                }
            }
            "tool.success" | "tool.failed" => {
                let call = text("callID");
                if let Some(step) = &mut self.step {
                    step.calls.retain(|open| *open != call);
                }
                let output = if event_type == "tool.success" { text("output") } else { data["error"]["message"].to_string() };
                self.messages.push(Message::Tool { call, output });
            }
            _ => {}
        }
    }

    fn assistant(&mut self) -> Option<&mut Message> {
        self.messages.iter_mut().rev().find(|message| matches!(message, Message::Assistant { .. }))
    }

    fn open(&mut self, kind: &str, id: String) {
        if let Some(step) = &mut self.step {
            step.blocks.push((kind.to_owned(), id));
        }
    }

    fn end(&mut self, kind: &str, id: &str, text: &str) {
        if let Some(step) = &mut self.step {
            step.blocks.retain(|(open, of)| (open.as_str(), of.as_str()) != (kind, id));
        }
        if let Some(content) = self.shown.last_mut().and_then(|shown| shown["content"].as_array_mut()) {
            content.push(json!({ "type": kind, "id": id, "text": text }));
        }
    }
}
