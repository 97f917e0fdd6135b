//! Exact wire shapes, and what each move does.

use serde_json::{Value, json};

use super::*;
use crate::provider::Api;

fn request(api: Api, stream: bool, step: usize) -> Request {
    let (model, prompt) = ("m".to_owned(), String::new());
    Request { api, model, stream, usage: false, tools: Vec::new(), prompt, prompts: 1, step, beside: false }
}

fn player(script: &str, request: Request) -> Player {
    Player::new(&script.parse().unwrap(), 0, request, "x1".to_owned(), 7, 40)
}

/// All that is sent, as one text, and the acts that send nothing.
fn play(script: &str, api: Api, stream: bool) -> (String, Vec<Act>) {
    let (mut sent, mut others) = (String::new(), Vec::new());
    for act in player(script, request(api, stream, 0)) {
        match act {
            Act::Send(more) => sent.push_str(&more),
            other => others.push(other),
        }
    }
    (sent, others)
}

/// Frames as (event name, data); data that is no JSON as text.
fn frames(sent: &str) -> Vec<(String, Value)> {
    let frame = |frame: &str| {
        let mut lines = frame.lines().rev();
        let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
        let event = lines.next().map_or("", |line| line.strip_prefix("event: ").unwrap());
        assert_eq!(lines.next(), None, "{frame}");
        (event.to_owned(), serde_json::from_str(data).unwrap_or_else(|_| data.into()))
    };
    sent.strip_suffix("\n\n").expect("the last frame is whole").split("\n\n").map(frame).collect()
}

#[test]
fn chat_completions_end_with_done() {
    let (sent, others) = play("think 1; words 2; tool bash {\"c\":1}", Api::Chat, true);
    assert_eq!(others, []);
    let chunk = |delta: Value, reason: Value| {
        json!({ "id": "chatcmpl-x1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }] })
    };
    let tool = |more: &str| chunk(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": more } }] }), Value::Null);
    let expected = [
        chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
        chunk(json!({ "reasoning_content": "r1 " }), Value::Null),
        chunk(json!({ "content": "w1 " }), Value::Null),
        chunk(json!({ "content": "w2 " }), Value::Null),
        chunk(
            json!({ "tool_calls": [{ "index": 0, "id": "call_x1_2", "type": "function", "function": { "name": "bash", "arguments": "" } }] }),
            Value::Null,
        ),
        tool("{\"c"),
        tool("\":1}"),
        chunk(json!({}), "tool_calls".into()),
        "[DONE]".into(),
    ];
    assert_eq!(frames(&sent), expected.map(|data| (String::new(), data)));
}

#[test]
fn usage_is_a_chunk_without_choices_where_it_is_asked_for() {
    let asked = Request { usage: true, ..request(Api::Chat, true, 0) };
    let sent: String =
        player("usage 90000; words 1", asked).map(|act| if let Act::Send(s) = act { s } else { panic!("{act:?}") }).collect();
    let frames = frames(&sent);
    assert_eq!(frames.len(), 5);
    assert!(frames[..3].iter().all(|(_, data)| data.get("usage") == Some(&Value::Null)));
    assert_eq!(frames[3].1["choices"], json!([]));
    assert_eq!(frames[3].1["usage"], json!({ "prompt_tokens": 90000, "completion_tokens": 1, "total_tokens": 90001 }));
}

#[test]
fn messages_have_the_events_of_the_api_in_its_order() {
    let (sent, _) = play("think 1; words 1; tool bash {\"c\":1}", Api::Messages, true);
    let frames = frames(&sent);
    let names: Vec<&str> = frames.iter().map(|(name, _)| name.as_str()).collect();
    let block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"];
    let text = ["content_block_start", "content_block_delta", "content_block_stop"];
    assert_eq!(names, [&["message_start", "ping"], &block[..], &text, &block, &["message_delta", "message_stop"]].concat());
    assert!(frames.iter().all(|(name, data)| data["type"] == name.as_str()));
    assert_eq!(
        frames[0].1["message"],
        json!({ "id": "msg_x1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": { "input_tokens": 10, "output_tokens": 1 } })
    );
    assert_eq!(frames[3].1["delta"], json!({ "type": "thinking_delta", "thinking": "r1 " }));
    assert_eq!(frames[4].1["delta"]["type"], "signature_delta");
    assert_eq!(frames[7].1, json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "w1 " } }));
    let tool = json!({ "type": "tool_use", "id": "call_x1_2", "name": "bash", "input": {} });
    assert_eq!(frames[9].1, json!({ "type": "content_block_start", "index": 2, "content_block": tool }));
    assert_eq!(frames[10].1["delta"], json!({ "type": "input_json_delta", "partial_json": "{\"c" }));
    assert_eq!(frames[13].1["delta"], json!({ "stop_reason": "tool_use", "stop_sequence": null }));
}

#[test]
fn responses_have_the_events_of_the_api_in_its_order() {
    let (sent, _) = play("think 1; words 1; tool bash {\"c\":1}", Api::Responses, true);
    let frames = frames(&sent);
    let names: Vec<&str> = frames.iter().map(|(name, _)| name.strip_prefix("response.").unwrap()).collect();
    let expected = [
        &["created", "in_progress"][..],
        &["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"],
        &["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"],
        &["output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done"],
        &["output_item.added", "function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done"],
        &["output_item.done", "completed"],
    ];
    assert_eq!(names, expected.concat());
    for (at, (name, data)) in frames.iter().enumerate() {
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(at)));
    }
    let call = json!({ "id": "item_x1_2", "type": "function_call", "status": "completed", "call_id": "call_x1_2", "name": "bash", "arguments": "{\"c\":1}" });
    assert_eq!(frames[18].1["item"], call);
    let last = &frames[19].1["response"];
    assert_eq!((&last["status"], &last["output"][2], &last["id"]), (&json!("completed"), &call, &json!("resp_x1")));
    assert_eq!(last["output"][1]["content"][0]["text"], "w1 ");
}

#[test]
fn an_answer_that_is_no_stream_says_the_same() {
    let whole = |api| {
        let (sent, others) = play("think 1; words 2; pause; tool bash {\"c\":1}; finish length", api, false);
        assert_eq!(others, [Act::Hold("w2".to_owned())]);
        serde_json::from_str::<Value>(&sent).unwrap()
    };
    let chat = whole(Api::Chat);
    assert_eq!(chat["object"], "chat.completion");
    assert_eq!(chat["choices"][0]["finish_reason"], "length");
    assert_eq!(chat["choices"][0]["message"]["content"], "w1 w2 ");
    assert_eq!(chat["choices"][0]["message"]["reasoning_content"], "r1 ");
    assert_eq!(chat["choices"][0]["message"]["tool_calls"][0]["function"], json!({ "name": "bash", "arguments": "{\"c\":1}" }));
    let messages = whole(Api::Messages);
    assert_eq!(messages["stop_reason"], "max_tokens");
    assert_eq!(messages["content"][1], json!({ "type": "text", "text": "w1 w2 " }));
    assert_eq!(messages["content"][2]["input"], json!({ "c": 1 }));
    let responses = whole(Api::Responses);
    assert_eq!((&responses["status"], &responses["incomplete_details"]["reason"]), (&json!("incomplete"), &json!("max_output_tokens")));
}

#[test]
fn words_are_numbered_through_all_steps_and_look_as_told() {
    let script = "as k7w#; think 1; words 2; tool t {}; then; size 8; words 1; pause; text \"x\"; then; words 1";
    let sent = |step| player(script, request(Api::Chat, true, step)).map(|act| format!("{act:?}")).collect::<String>();
    assert!(sent(0).contains("rk7w1 ") && sent(0).contains("k7w2 ") && !sent(0).contains("k7w3"));
    assert!(sent(1).contains("k7w3~~~ ") && sent(1).contains("Hold(\"k7w3\")") && !sent(1).contains("k7w2"));
    assert!(sent(2).contains("k7w4~~~ ") && !sent(2).contains("k7w3"));
    // The turn has more steps than the script: it is brought to its end.
    assert!(sent(3).contains("done") && !sent(3).contains("k7w"));
}

#[test]
fn gaps_come_before_words() {
    let (_, others) = play("gap 5ms; words 2; text \"x\"", Api::Chat, true);
    assert_eq!(others, vec![Act::Rest(Duration::from_millis(5)); 2]);
}

#[test]
fn a_status_refuses_in_the_shape_of_the_api() {
    let acts: Vec<Act> = player("pause p; status 429 3; words 5", request(Api::Messages, true, 0)).collect();
    let [Act::Hold(pause), Act::Refuse { status: 429, retry_after: Some(3), body }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(pause, "p");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "scripted failure" } }));
}

#[test]
fn broken_answers_break_where_they_are_told_to() {
    let (cut, others) = play("words 2; cut; words 9", Api::Chat, true);
    assert_eq!((frames(&cut).len(), others.as_slice()), (3, &[Act::Cut][..]));
    let (end, others) = play("words 2; end; words 9", Api::Chat, true);
    assert_eq!((frames(&end).len(), others.len()), (3, 0));
    let (error, _) = play("words 1; error \"no\"; words 9", Api::Chat, true);
    assert_eq!(frames(&error)[2].1["error"]["message"], "no");
    assert_eq!(frames(&error).len(), 3);

    let (malformed, _) = play("words 1; malformed; words 1", Api::Chat, true);
    let frames = frames(&malformed);
    assert_eq!(frames.len(), 6);
    assert!(frames[2].1.is_string() && frames[3].1.is_object(), "{frames:?}");
    for script in ["words 4; malformed", "words 4; end", "words 4; cut"] {
        let (whole, _) = play(script, Api::Chat, false);
        assert!(whole.starts_with('{') && serde_json::from_str::<Value>(&whole).is_err(), "{script}: {whole}");
    }
}

#[test]
fn insertions_arrive_as_they_are() {
    let (sent, _) = play("code U+0085 U+D83D; text \"a\\u2028\\n\"; raw \": comment\\n\\n\"", Api::Chat, true);
    assert!(sent.contains("\"content\":\"\u{85}\\ud83d\""), "{sent}");
    assert!(sent.contains("\"content\":\"a\u{2028}\\n\""), "{sent}");
    assert!(sent.contains("\n\n: comment\n\ndata: {"), "{sent}");
}
