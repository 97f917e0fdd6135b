//! OpenAI's responses. Reasoning goes as a summary; there is no `[DONE]`.

use serde_json::{Value, json};

use super::{Block, Finish, Head, Say, event, output_tokens};

pub(super) fn frames(head: &Head, sequence: &mut u64, say: &Say<'_>) -> String {
    let mut out = String::new();
    let mut send = |mut frame: Value| {
        frame["sequence_number"] = (*sequence).into();
        *sequence += 1;
        event(&mut out, &frame);
    };
    match say {
        Say::Open => {
            send(json!({ "type": "response.created", "response": response(head, "in_progress", &[]) }));
            send(json!({ "type": "response.in_progress", "response": response(head, "in_progress", &[]) }));
        }
        Say::Begin(blocks) => {
            let (at, block) = last(blocks);
            let id = item_id(head, at);
            send(json!({ "type": "response.output_item.added", "output_index": at, "item": item(head, at, block, false) }));
            match block {
                Block::Thought(_) => send(json!({
                    "type": "response.reasoning_summary_part.added", "item_id": id, "output_index": at, "summary_index": 0,
                    "part": { "type": "summary_text", "text": "" },
                })),
                Block::Text(_) => send(json!({
                    "type": "response.content_part.added", "item_id": id, "output_index": at, "content_index": 0, "part": text_part(""),
                })),
                Block::Tool { .. } => {}
            }
        }
        Say::More(blocks, more) => {
            let (at, block) = last(blocks);
            let mut frame = json!({ "item_id": item_id(head, at), "output_index": at, "delta": more });
            match block {
                Block::Thought(_) => {
                    frame["type"] = "response.reasoning_summary_text.delta".into();
                    frame["summary_index"] = 0.into();
                }
                Block::Text(_) => {
                    frame["type"] = "response.output_text.delta".into();
                    frame["content_index"] = 0.into();
                    frame["logprobs"] = json!([]);
                }
                Block::Tool { .. } => frame["type"] = "response.function_call_arguments.delta".into(),
            }
            send(frame);
        }
        Say::End(blocks) => {
            let (at, block) = last(blocks);
            let id = item_id(head, at);
            match block {
                Block::Thought(text) => {
                    send(json!({
                        "type": "response.reasoning_summary_text.done", "item_id": id, "output_index": at, "summary_index": 0, "text": text,
                    }));
                    send(json!({
                        "type": "response.reasoning_summary_part.done", "item_id": id, "output_index": at, "summary_index": 0,
                        "part": { "type": "summary_text", "text": text },
                    }));
                }
                Block::Text(text) => {
                    send(json!({
                        "type": "response.output_text.done", "item_id": id, "output_index": at, "content_index": 0, "text": text, "logprobs": [],
                    }));
                    send(json!({
                        "type": "response.content_part.done", "item_id": id, "output_index": at, "content_index": 0, "part": text_part(text),
                    }));
                }
                Block::Tool { name, arguments, .. } => send(json!({
                    "type": "response.function_call_arguments.done", "item_id": id, "output_index": at, "name": name, "arguments": arguments,
                })),
            }
            send(json!({ "type": "response.output_item.done", "output_index": at, "item": item(head, at, block, true) }));
        }
        Say::Error(message) => send(json!({ "type": "error", "code": "server_error", "message": message, "param": null })),
        Say::Finish(blocks, finish) => {
            let kind = if finish.is_some() { "response.incomplete" } else { "response.completed" };
            send(json!({ "type": kind, "response": whole(head, blocks, *finish) }));
        }
    }
    out
}

pub(super) fn whole(head: &Head, blocks: &[Block], finish: Option<Finish>) -> Value {
    let mut whole = response(head, if finish.is_some() { "incomplete" } else { "completed" }, blocks);
    if let Some(finish) = finish {
        let reason = match finish {
            Finish::Length => "max_output_tokens",
            Finish::Filter => "content_filter",
        };
        whole["incomplete_details"] = json!({ "reason": reason });
    }
    let output = output_tokens(blocks);
    whole["usage"] = json!({
        "input_tokens": head.input_tokens, "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": head.input_tokens + output,
    });
    whole
}

fn last(blocks: &[Block]) -> (usize, &Block) {
    (blocks.len() - 1, blocks.last().expect("a block has begun"))
}

fn item_id(head: &Head, at: usize) -> String {
    format!("item_{}_{at}", head.id)
}

fn text_part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// An item as it ends (`whole`), or as it begins: without content.
fn item(head: &Head, at: usize, block: &Block, whole: bool) -> Value {
    let id = item_id(head, at);
    let status = if whole { "completed" } else { "in_progress" };
    match block {
        Block::Thought(text) => {
            let summary = if whole { json!([{ "type": "summary_text", "text": text }]) } else { json!([]) };
            json!({ "id": id, "type": "reasoning", "summary": summary })
        }
        Block::Text(text) => {
            let content = if whole { json!([text_part(text)]) } else { json!([]) };
            json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
        }
        Block::Tool { call, name, arguments } => {
            let arguments = if whole { arguments } else { "" };
            json!({ "id": id, "type": "function_call", "status": status, "call_id": call, "name": name, "arguments": arguments })
        }
    }
}

fn response(head: &Head, status: &str, blocks: &[Block]) -> Value {
    let output: Vec<Value> = blocks.iter().enumerate().map(|(at, block)| item(head, at, block, true)).collect();
    json!({
        "id": format!("resp_{}", head.id), "object": "response", "created_at": head.created, "model": head.model, "status": status,
        "error": null, "incomplete_details": null, "instructions": null, "output": output, "parallel_tool_calls": true,
        "tool_choice": "auto", "tools": [], "metadata": {}, "usage": null,
    })
}
