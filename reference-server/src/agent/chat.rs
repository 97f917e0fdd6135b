//! Chat completions as bytes: the request, and the chunks of a streamed answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{Failure, Finish, Message, Piece, ToolCall, Usage};

/// The body of a request.
pub(super) fn request(messages: &[Message], tools: Value) -> Value {
    let messages: Vec<Value> = messages.iter().map(message).collect();
    json!({ "model": "default", "stream": true, "stream_options": { "include_usage": true }, "messages": messages, "tools": tools })
}

fn message(message: &Message) -> Value {
    match message {
        Message::User(text) => json!({ "role": "user", "content": text }),
        Message::Assistant { text, calls } if calls.is_empty() => json!({ "role": "assistant", "content": text }),
        Message::Assistant { text, calls } => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|call| json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } }))
                .collect();
            json!({ "role": "assistant", "content": text, "tool_calls": calls })
        }
        Message::Tool { call, output } => json!({ "role": "tool", "tool_call_id": call, "content": output }),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    choices: Vec<Choice>,
    usage: Option<Counted>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<CallPart>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CallPart {
    index: u64,
    id: Option<String>,
    function: FunctionPart,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Puts chunks together: text goes through, calls wait until they are whole.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    calls: BTreeMap<u64, ToolCall>,
    finish: Option<Finish>,
    ended: bool,
}

impl Accumulator {
    /// What the data of one event holds.
    pub(super) fn take(&mut self, data: &str) -> Result<Vec<Piece>, Failure> {
        if self.ended || data.is_empty() {
            return Ok(Vec::new());
        }
        if data == "[DONE]" {
            return Ok(self.end());
        }
        let shown = || data.chars().take(200).collect::<String>();
        let chunk: Chunk = serde_json::from_str(&whole_surrogates(data)).map_err(|e| Failure::Malformed(format!("{e}: {}", shown())))?;
        if let Some(error) = chunk.error {
            return Err(Failure::Cut(error.to_string()));
        }
        let mut pieces = Vec::new();
        // One answer was asked for; what else a provider sends is not ours.
        if let Some(choice) = chunk.choices.into_iter().next() {
            let said = |text: Option<String>| text.filter(|t| !t.is_empty());
            pieces.extend(said(choice.delta.reasoning_content).map(Piece::Reasoning));
            pieces.extend(said(choice.delta.content).map(Piece::Text));
            for part in choice.delta.tool_calls.unwrap_or_default() {
                let empty = || ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
                let call = self.calls.entry(part.index).or_insert_with(empty);
                call.id.push_str(&part.id.unwrap_or_default());
                call.name.push_str(&part.function.name.unwrap_or_default());
                call.arguments.push_str(&part.function.arguments.unwrap_or_default());
            }
            if let Some(reason) = choice.finish_reason {
                self.finish = Some(match reason.as_str() {
                    "stop" => Finish::Stop,
                    "tool_calls" => Finish::ToolCalls,
                    _ => Finish::Other(reason),
                });
            }
        }
        pieces.extend(chunk.usage.map(|u| Piece::Usage(Usage { prompt: u.prompt_tokens, completion: u.completion_tokens })));
        Ok(pieces)
    }

    /// What follows from the end of the answer: its calls and its finish, or that it was cut. Nothing the second time.
    pub(super) fn end(&mut self) -> Vec<Piece> {
        if std::mem::replace(&mut self.ended, true) {
            return Vec::new();
        }
        let Some(finish) = self.finish.take() else {
            return vec![Piece::Failed(Failure::Cut("it ended without a finish reason".to_owned()))];
        };
        let calls = std::mem::take(&mut self.calls).into_values().map(Piece::ToolCall);
        calls.chain([Piece::End(finish)]).collect()
    }
}

/// JSON in which every escape of half a surrogate pair stands for U+FFFD: a provider that cuts a character in two must not
/// cut the answer.
fn whole_surrogates(json: &str) -> std::borrow::Cow<'_, str> {
    if !json.contains("\\u") {
        return json.into();
    }
    let unit = |at: usize| -> Option<u16> {
        let hex = json.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(hex, 16).ok()
    };
    let (mut out, mut kept, mut at) = (String::with_capacity(json.len()), 0, 0);
    while let Some(next) = json[at..].find('\\') {
        let escape = at + next;
        match unit(escape) {
            Some(0xd800..=0xdbff) if matches!(unit(escape + 6), Some(0xdc00..=0xdfff)) => at = escape + 12,
            Some(0xd800..=0xdfff) => {
                out.push_str(&json[kept..escape]);
                out.push_str("\\ufffd");
                at = escape + 6;
                kept = at;
            }
            Some(_) => at = escape + 6,
            // The escaped character may be a backslash itself, and of any length.
            None => at = escape + 1 + json[escape + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    out.push_str(&json[kept..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(delta: &str) -> String {
        format!("{{\"choices\":[{{\"delta\":{delta}}}]}}")
    }

    #[test]
    fn calls_are_put_together_from_their_fragments() {
        let mut chunks = Accumulator::default();
        for part in [
            r#"{"tool_calls":[{"index":0,"id":"c1","function":{"name":"echo","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"c2","function":{"name":"read"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#,
        ] {
            assert_eq!(chunks.take(&delta(part)), Ok(Vec::new()));
        }
        chunks.take(r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#).unwrap();
        let call = |id: &str, name: &str, arguments: &str| {
            Piece::ToolCall(ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() })
        };
        let all = vec![call("c1", "echo", "{\"a\":1}"), call("c2", "read", ""), Piece::End(Finish::ToolCalls)];
        assert_eq!(chunks.take("[DONE]"), Ok(all));
        assert_eq!(chunks.end(), [], "the end comes once");
    }

    #[test]
    fn half_a_character_is_a_replacement_character() {
        for (escaped, text) in [
            (r"a\ud83db", "a\u{fffd}b"),
            (r"\ude00", "\u{fffd}"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\\ud83d", r"\ud83d"),
            (r"\u0085\u2028", "\u{85}\u{2028}"),
            (r"\ud83d\n", "\u{fffd}\n"),
        ] {
            let pieces = Accumulator::default().take(&delta(&format!("{{\"content\":\"{escaped}\"}}")));
            assert_eq!(pieces, Ok(vec![Piece::Text(text.to_owned())]), "{escaped}");
        }
        assert!(Accumulator::default().take("{\"a\":\"\\u12").is_err());
        assert!(Accumulator::default().take("\\é").is_err());
    }

    #[test]
    fn an_error_inside_the_answer_breaks_it_off() {
        assert!(matches!(Accumulator::default().take(r#"{"error":{"message":"x"}}"#), Err(Failure::Cut(_))));
    }
}
