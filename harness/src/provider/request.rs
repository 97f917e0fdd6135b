//! What was asked, in whichever of the three APIs.

use serde_json::Value;

/// Words by which a request that an agent makes beside the turn (for a title, a summary) is known.
const BESIDE: [&str; 5] = ["title generator", "generate a title", "a short title", "conversation title", "summarize this conversation"];

/// The APIs that the provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// OpenAI's `POST /v1/chat/completions`.
    Chat,
    /// OpenAI's `POST /v1/responses`.
    Responses,
    /// Anthropic's `POST /v1/messages`.
    Messages,
}

/// A request, as far as an answer depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The API it came by.
    pub api: Api,
    /// The model's name.
    pub model: String,
    /// True when a stream is wanted.
    pub stream: bool,
    /// True when a chat completion's stream is to end with a frame of usage.
    pub usage: bool,
    /// Names of the tools offered.
    pub tools: Vec<String>,
    /// The text of the last user message.
    pub prompt: String,
    /// How many user messages there are; with `prompt` and `step` it tells an attempt from the next turn.
    pub prompts: usize,
    /// How often tool results were sent since the prompt: 0 is the turn's first step.
    pub step: usize,
    /// True for a request beside the turn: no tools offered, and by its instructions for a title or a summary.
    pub beside: bool,
}

enum Part {
    User(String),
    ToolResult,
    /// The assistant, or instructions.
    Other,
}

impl Request {
    /// Reads a request's body.
    ///
    /// # Errors
    /// When it is none of this API; the message says what is missing.
    pub fn read(api: Api, body: &[u8]) -> Result<Request, String> {
        let body: Value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let model = body["model"].as_str().ok_or("`model` is missing")?.to_owned();
        let parts = match api {
            Api::Chat => chat(&body["messages"]).ok_or("`messages` is no list of messages")?,
            Api::Responses => input(&body["input"]).ok_or("`input` is neither text nor a list of items")?,
            Api::Messages => messages(&body["messages"]).ok_or("`messages` is no list of messages")?,
        };
        let (mut prompt, mut prompts, mut step, mut in_results) = (String::new(), 0, 0, false);
        for part in parts {
            let result = matches!(part, Part::ToolResult);
            match part {
                Part::User(text) => (prompt, prompts, step) = (text, prompts + 1, 0),
                // Results of calls that were made together follow each other and are one step.
                Part::ToolResult if !in_results => step += 1,
                Part::ToolResult | Part::Other => {}
            }
            in_results = result;
        }
        let tools: Vec<String> = body["tools"].as_array().into_iter().flatten().filter_map(tool_name).collect();
        let beside = tools.is_empty() && {
            let instructions = [instructions(api, &body), without_scripts(&prompt)].join("\n").to_lowercase();
            BESIDE.iter().any(|words| instructions.contains(words))
        };
        let stream = body["stream"].as_bool().unwrap_or(false);
        let usage = body["stream_options"]["include_usage"].as_bool().unwrap_or(false);
        Ok(Request { api, model, stream, usage, tools, prompt, prompts, step, beside })
    }
}

fn without_scripts(prompt: &str) -> String {
    prompt.split("[[say").next().unwrap_or_default().to_owned()
}

fn tool_name(tool: &Value) -> Option<String> {
    tool["name"].as_str().or_else(|| tool["function"]["name"].as_str()).map(str::to_owned)
}

/// Text that is a string, or the text parts of a list.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn instructions(api: Api, body: &Value) -> String {
    let system = |list: &Value| {
        let of_system = |m: &&Value| matches!(m["role"].as_str(), Some("system" | "developer"));
        list.as_array().into_iter().flatten().filter(of_system).map(|m| text(&m["content"])).collect::<Vec<_>>().join("\n")
    };
    match api {
        Api::Chat => system(&body["messages"]),
        Api::Responses => [text(&body["instructions"]), system(&body["input"])].join("\n"),
        Api::Messages => text(&body["system"]),
    }
}

fn user(content: &Value) -> Part {
    let text = text(content);
    if text.is_empty() { Part::Other } else { Part::User(text) }
}

fn chat(messages: &Value) -> Option<Vec<Part>> {
    let part = |message: &Value| match message["role"].as_str() {
        Some("user") => user(&message["content"]),
        Some("tool") => Part::ToolResult,
        _ => Part::Other,
    };
    Some(messages.as_array()?.iter().map(part).collect())
}

fn input(input: &Value) -> Option<Vec<Part>> {
    let part = |item: &Value| match (item["type"].as_str(), item["role"].as_str()) {
        (_, Some("user")) => user(&item["content"]),
        (Some("function_call_output"), _) => Part::ToolResult,
        _ => Part::Other,
    };
    match input {
        Value::String(text) => Some(vec![Part::User(text.clone())]),
        Value::Array(items) => Some(items.iter().map(part).collect()),
        _ => None,
    }
}

fn messages(messages: &Value) -> Option<Vec<Part>> {
    let part = |message: &Value| {
        let content = &message["content"];
        match message["role"].as_str() {
            // A message of results may carry text of the agent's own, which is no prompt.
            Some("user") if content.as_array().into_iter().flatten().any(|p| p["type"] == "tool_result") => Part::ToolResult,
            Some("user") => user(content),
            _ => Part::Other,
        }
    };
    Some(messages.as_array()?.iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(api: Api, body: &Value) -> Request {
        Request::read(api, body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_step_is_counted_from_the_last_prompt_in_every_api() {
        let chat = read(
            Api::Chat,
            &json!({ "model": "m", "stream": true, "stream_options": { "include_usage": true },
                "tools": [{ "type": "function", "function": { "name": "bash" } }],
                "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "old" }, { "role": "tool", "content": "r" },
                { "role": "assistant", "content": "a" }, { "role": "user", "content": [{ "type": "text", "text": "go" }] },
                { "role": "assistant", "tool_calls": [] }, { "role": "tool", "content": "1" }, { "role": "tool", "content": "2" },
                { "role": "assistant", "tool_calls": [] }, { "role": "tool", "content": "3" }] }),
        );
        let tools = vec!["bash".to_owned()];
        let expected = Request {
            api: Api::Chat,
            model: "m".to_owned(),
            stream: true,
            usage: true,
            tools,
            prompt: "go".to_owned(),
            prompts: 2,
            step: 2,
            beside: false,
        };
        assert_eq!(chat, expected);

        let responses = read(
            Api::Responses,
            &json!({ "model": "m", "tools": [{ "type": "function", "name": "bash" }], "input": [
                { "role": "user", "content": [{ "type": "input_text", "text": "go" }] }, { "type": "function_call", "name": "bash" },
                { "type": "function_call_output", "output": "1" }] }),
        );
        assert_eq!((responses.prompt.as_str(), responses.step, responses.stream), ("go", 1, false));

        let messages = read(
            Api::Messages,
            &json!({ "model": "m", "tools": [{ "name": "bash" }], "messages": [{ "role": "user", "content": "go" }, { "role": "assistant", "content": [] },
                { "role": "user", "content": [{ "type": "tool_result", "content": "1" }, { "type": "text", "text": "reminder" }] }] }),
        );
        assert_eq!((messages.prompt.as_str(), messages.step), ("go", 1));
    }

    #[test]
    fn a_title_is_asked_beside_the_turn_only_without_tools() {
        let ask = |tools: Value, system: &str, prompt: &str| {
            let messages = json!([{ "role": "system", "content": system }, { "role": "user", "content": prompt }]);
            read(Api::Chat, &json!({ "model": "m", "tools": tools, "messages": messages })).beside
        };
        assert!(ask(json!([]), "You are a title generator.", "[[say words 4]]"));
        assert!(ask(json!([]), "", "Generate a title for this conversation: x"));
        assert!(!ask(json!([{ "function": { "name": "bash" } }]), "You are a title generator.", "x"));
        assert!(!ask(json!([]), "You are an agent.", "[[say text \"generate a title\"]]"));
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        let refused = |body: &str| Request::read(Api::Chat, body.as_bytes()).unwrap_err();
        assert!(refused("{").starts_with("the body is not JSON"));
        assert_eq!(refused("{}"), "`model` is missing");
        assert_eq!(refused("{\"model\":\"m\"}"), "`messages` is no list of messages");
    }
}
