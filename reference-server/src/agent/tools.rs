//! The tools that a model may call. They are small and harm nothing.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::model::ToolCall;
use crate::contain;

/// How much of a file is read.
const MOST_READ: u64 = 256 << 10;

/// The tools of one turn.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    /// The folder whose files can be read; nothing can where there is none.
    pub root: Option<PathBuf>,
    /// True when a human has allowed everything that is asked for.
    pub always: bool,
}

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The tool has run.
    Done(Output),
    /// A human must say whether it may go on; the question.
    Ask(String),
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) is_error: bool,
}

impl Output {
    pub(super) fn right(text: String) -> Output {
        Output { text, is_error: false }
    }

    pub(super) fn wrong(text: String) -> Output {
        Output { text, is_error: true }
    }
}

/// The tools in the words of a request.
pub(super) fn definitions() -> Value {
    let tool = |name: &str, says: &str, argument: &str| {
        let properties = json!({ argument: { "type": "string" } });
        let parameters = json!({ "type": "object", "properties": properties, "required": [argument] });
        json!({ "type": "function", "function": { "name": name, "description": says, "parameters": parameters } })
    };
    json!([
        tool("echo", "returns its input", "text"),
        tool("read", "returns a file of the workspace", "path"),
        tool("ask", "asks the human for a permission", "question"),
        tool("bash", "asks the human for the permission to run a command, and runs nothing", "command"),
    ])
}

impl Tools {
    /// Runs a call as far as it goes without a human.
    pub(super) fn call(&self, call: &ToolCall) -> Outcome {
        let arguments = match serde_json::from_str::<Value>(&call.arguments) {
            Ok(Value::Object(arguments)) => arguments,
            Ok(_) => return Outcome::Done(Output::wrong("the arguments are no object".to_owned())),
            Err(error) => return Outcome::Done(Output::wrong(format!("the arguments are no JSON: {error}"))),
        };
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        match call.name.as_str() {
            // Whatever the input is, it comes back as it was written.
            "echo" => Outcome::Done(Output::right(match arguments.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => call.arguments.clone(),
            })),
            "read" => Outcome::Done(self.read(text("path"))),
            "ask" => Outcome::Ask(text("question").to_owned()),
            // The name under which agents ask for permissions most; nothing is run here.
            "bash" => Outcome::Ask(text("command").to_owned()),
            other => Outcome::Done(Output::wrong(format!("there is no tool `{other}`"))),
        }
    }

    fn read(&self, path: &str) -> Output {
        use std::io::Read;
        let mut bytes = Vec::new();
        let file = self.root.as_ref().and_then(|root| contain::inside(root, path)).and_then(|file| std::fs::File::open(file).ok());
        match file.map(|file| file.take(MOST_READ).read_to_end(&mut bytes)) {
            Some(Ok(_)) => Output::right(String::from_utf8_lossy(&bytes).into_owned()),
            Some(Err(_)) | None => Output::wrong("not found".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: "c".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn tools_answer_and_what_cannot_be_done_is_an_error_result() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "content").unwrap();
        let tools = Tools { root: Some(dir.path().to_owned()), always: false };
        let right = |text: &str| Outcome::Done(Output::right(text.to_owned()));
        assert_eq!(tools.call(&call("echo", r#"{"text":"hi"}"#)), right("hi"));
        assert_eq!(tools.call(&call("echo", r#"{"a":1}"#)), right(r#"{"a":1}"#));
        assert_eq!(tools.call(&call("read", r#"{"path":"f"}"#)), right("content"));
        assert_eq!(tools.call(&call("ask", r#"{"question":"may I?"}"#)), Outcome::Ask("may I?".to_owned()));
        for wrong in [call("read", r#"{"path":"../f"}"#), call("read", "{}"), call("rm", "{}"), call("echo", "{"), call("echo", "[]")] {
            assert!(matches!(tools.call(&wrong), Outcome::Done(Output { is_error: true, .. })), "{wrong:?}");
        }
        assert!(matches!(Tools::default().call(&call("read", r#"{"path":"f"}"#)), Outcome::Done(Output { is_error: true, .. })));
    }

    #[test]
    fn every_tool_that_is_offered_is_known() {
        for tool in definitions().as_array().unwrap() {
            let name = tool["function"]["name"].as_str().unwrap();
            let Outcome::Done(output) = Tools::default().call(&call(name, "{}")) else { continue };
            assert!(!output.text.contains("there is no tool"), "{name}");
        }
    }
}
