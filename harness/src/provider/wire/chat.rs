//! OpenAI's chat completions. Reasoning goes by `reasoning_content`, as most servers of this API have it.

use serde_json::{Value, json};

use super::{Block, Finish, Head, Say, calls_tools, data, output_tokens};

pub(super) fn frames(head: &Head, say: &Say<'_>) -> String {
    let mut out = String::new();
    match say {
        Say::Open => chunk(&mut out, head, &json!({ "role": "assistant", "content": "" }), None),
        Say::Begin(blocks) => {
            if let Some(Block::Tool { call, name, .. }) = blocks.last() {
                let function = json!({ "name": name, "arguments": "" });
                let tool = json!({ "index": tool_index(blocks), "id": call, "type": "function", "function": function });
                chunk(&mut out, head, &json!({ "tool_calls": [tool] }), None);
            }
        }
        Say::More(blocks, more) => {
            let delta = match blocks.last().expect("a block has begun") {
                Block::Thought(_) => json!({ "reasoning_content": more }),
                Block::Text(_) => json!({ "content": more }),
                Block::Tool { .. } => json!({ "tool_calls": [{ "index": tool_index(blocks), "function": { "arguments": more } }] }),
            };
            chunk(&mut out, head, &delta, None);
        }
        Say::End(_) => {}
        Say::Error(message) => {
            data(&mut out, &json!({ "error": { "message": message, "type": "server_error", "param": null, "code": null } }))
        }
        Say::Finish(blocks, finish) => {
            chunk(&mut out, head, &json!({}), Some(reason(blocks, *finish)));
            if head.usage {
                let mut last = frame(head, &json!([]));
                last["usage"] = usage(head, blocks);
                data(&mut out, &last);
            }
            out.push_str("data: [DONE]\n\n");
        }
    }
    out
}

pub(super) fn whole(head: &Head, blocks: &[Block], finish: Option<Finish>) -> Value {
    let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Thought(more) => thought.push_str(more),
            Block::Text(more) => text.push_str(more),
            Block::Tool { call, name, arguments } => {
                calls.push(json!({ "id": call, "type": "function", "function": { "name": name, "arguments": arguments } }));
            }
        }
    }
    let mut message = json!({ "role": "assistant", "content": text, "refusal": null });
    if !thought.is_empty() {
        message["reasoning_content"] = thought.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({
        "id": id(head), "object": "chat.completion", "created": head.created, "model": head.model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": reason(blocks, finish) }],
        "usage": usage(head, blocks),
    })
}

fn id(head: &Head) -> String {
    format!("chatcmpl-{}", head.id)
}

fn frame(head: &Head, choices: &Value) -> Value {
    json!({ "id": id(head), "object": "chat.completion.chunk", "created": head.created, "model": head.model, "choices": choices })
}

fn chunk(out: &mut String, head: &Head, delta: &Value, reason: Option<&str>) {
    let mut frame = frame(head, &json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }]));
    if head.usage {
        // With `include_usage` every chunk before the last has the field, and it is null.
        frame["usage"] = Value::Null;
    }
    data(out, &frame);
}

/// The index of the last block among the tool calls.
fn tool_index(blocks: &[Block]) -> usize {
    blocks.iter().filter(|block| matches!(block, Block::Tool { .. })).count().saturating_sub(1)
}

fn reason(blocks: &[Block], finish: Option<Finish>) -> &'static str {
    match finish {
        Some(Finish::Length) => "length",
        Some(Finish::Filter) => "content_filter",
        None if calls_tools(blocks) => "tool_calls",
        None => "stop",
    }
}

fn usage(head: &Head, blocks: &[Block]) -> Value {
    let output = output_tokens(blocks);
    json!({ "prompt_tokens": head.input_tokens, "completion_tokens": output, "total_tokens": head.input_tokens + output })
}
