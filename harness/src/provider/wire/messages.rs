//! Anthropic's messages.

use serde_json::{Value, json};

use super::{Block, Finish, Head, Say, calls_tools, event, output_tokens};

pub(super) fn frames(head: &Head, say: &Say<'_>) -> String {
    let mut out = String::new();
    match say {
        Say::Open => {
            let mut message = message(head, &[]);
            message["stop_reason"] = Value::Null;
            message["usage"] = json!({ "input_tokens": head.input_tokens, "output_tokens": 1 });
            event(&mut out, &json!({ "type": "message_start", "message": message }));
            event(&mut out, &json!({ "type": "ping" }));
        }
        Say::Begin(blocks) => {
            let content = match blocks.last().expect("a block has begun") {
                Block::Thought(_) => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                Block::Text(_) => json!({ "type": "text", "text": "" }),
                Block::Tool { call, name, .. } => json!({ "type": "tool_use", "id": call, "name": name, "input": {} }),
            };
            event(&mut out, &json!({ "type": "content_block_start", "index": blocks.len() - 1, "content_block": content }));
        }
        Say::More(blocks, more) => {
            let delta = match blocks.last().expect("a block has begun") {
                Block::Thought(_) => json!({ "type": "thinking_delta", "thinking": more }),
                Block::Text(_) => json!({ "type": "text_delta", "text": more }),
                Block::Tool { .. } => json!({ "type": "input_json_delta", "partial_json": more }),
            };
            event(&mut out, &json!({ "type": "content_block_delta", "index": blocks.len() - 1, "delta": delta }));
        }
        Say::End(blocks) => {
            if let Some(Block::Thought(_)) = blocks.last() {
                let delta = json!({ "type": "signature_delta", "signature": "scripted" });
                event(&mut out, &json!({ "type": "content_block_delta", "index": blocks.len() - 1, "delta": delta }));
            }
            event(&mut out, &json!({ "type": "content_block_stop", "index": blocks.len() - 1 }));
        }
        Say::Error(message) => event(&mut out, &json!({ "type": "error", "error": { "type": "api_error", "message": message } })),
        Say::Finish(blocks, finish) => {
            let delta = json!({ "stop_reason": reason(blocks, *finish), "stop_sequence": null });
            let usage = json!({ "output_tokens": output_tokens(blocks) });
            event(&mut out, &json!({ "type": "message_delta", "delta": delta, "usage": usage }));
            event(&mut out, &json!({ "type": "message_stop" }));
        }
    }
    out
}

pub(super) fn whole(head: &Head, blocks: &[Block], finish: Option<Finish>) -> Value {
    let content: Vec<Value> = blocks
        .iter()
        .map(|block| match block {
            Block::Thought(text) => json!({ "type": "thinking", "thinking": text, "signature": "scripted" }),
            Block::Text(text) => json!({ "type": "text", "text": text }),
            Block::Tool { call, name, arguments } => {
                let input: Value = serde_json::from_str(arguments).expect("a script's arguments are JSON");
                json!({ "type": "tool_use", "id": call, "name": name, "input": input })
            }
        })
        .collect();
    let mut message = message(head, &content);
    message["stop_reason"] = reason(blocks, finish).into();
    message["usage"] = json!({ "input_tokens": head.input_tokens, "output_tokens": output_tokens(blocks) });
    message
}

fn message(head: &Head, content: &[Value]) -> Value {
    json!({ "id": format!("msg_{}", head.id), "type": "message", "role": "assistant", "model": head.model, "content": content, "stop_sequence": null })
}

fn reason(blocks: &[Block], finish: Option<Finish>) -> &'static str {
    match finish {
        Some(Finish::Length) => "max_tokens",
        Some(Finish::Filter) => "refusal",
        None if calls_tools(blocks) => "tool_use",
        None => "end_turn",
    }
}
