//! Answers as the three APIs write them. Pure: an [`Encoder`] turns what is said into frames.

mod chat;
mod messages;
mod responses;

use serde_json::Value;

use super::glyph;
use super::request::Api;
use super::script::Finish;

/// What all frames of an answer have in common.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Unique within the provider's life and, by its random beginning, beyond.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
    /// True when a chat completion's stream ends with a frame of usage.
    pub(super) usage: bool,
    pub(super) input_tokens: u64,
}

/// A part of an answer.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Thought(String),
    Text(String),
    Tool { call: String, name: String, arguments: String },
}

/// What is said, piece by piece: every block begins, goes on, ends; then the answer finishes.
pub(super) enum Say<'a> {
    Open,
    /// The last of `blocks` begins, empty.
    Begin(&'a [Block]),
    /// The last of `blocks` goes on with this.
    More(&'a [Block], &'a str),
    /// The last of `blocks` is whole.
    End(&'a [Block]),
    /// Something failed.
    Error(&'a str),
    /// All is said.
    Finish(&'a [Block], Option<Finish>),
}

/// Writes the frames of one answer.
#[derive(Debug)]
pub(super) struct Encoder {
    api: Api,
    head: Head,
    /// Number of the next frame; only the responses API shows it.
    sequence: u64,
}

impl Encoder {
    pub(super) fn new(api: Api, head: Head) -> Encoder {
        Encoder { api, head, sequence: 0 }
    }

    pub(super) fn id(&self) -> &str {
        &self.head.id
    }

    pub(super) fn claim_input_tokens(&mut self, tokens: u64) {
        self.head.input_tokens = tokens;
    }

    /// The frames of a stream for this, as one text.
    pub(super) fn frames(&mut self, say: &Say<'_>) -> String {
        match self.api {
            Api::Chat => chat::frames(&self.head, say),
            Api::Responses => responses::frames(&self.head, &mut self.sequence, say),
            Api::Messages => messages::frames(&self.head, say),
        }
    }

    /// The body of an answer that is no stream.
    pub(super) fn whole(&self, blocks: &[Block], finish: Option<Finish>) -> String {
        glyph::to_json(&match self.api {
            Api::Chat => chat::whole(&self.head, blocks, finish),
            Api::Responses => responses::whole(&self.head, blocks, finish),
            Api::Messages => messages::whole(&self.head, blocks, finish),
        })
    }

    /// A frame whose JSON breaks off.
    pub(super) fn malformed(&self) -> String {
        match self.api {
            Api::Chat => "data: {\"id\":\"malformed\",\"choices\":[{\"delta\":{\"content\":\"brok\n\n".to_owned(),
            Api::Responses => {
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"brok\n\n".to_owned()
            }
            Api::Messages => {
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"brok\n\n".to_owned()
            }
        }
    }
}

/// The body of an error's answer.
pub(super) fn error_body(api: Api, status: u16, message: &str) -> String {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let error = match api {
        Api::Chat | Api::Responses => serde_json::json!({ "error": { "message": message, "type": kind, "param": null, "code": null } }),
        Api::Messages => serde_json::json!({ "type": "error", "error": { "type": kind, "message": message } }),
    };
    glyph::to_json(&error)
}

fn data(out: &mut String, data: &Value) {
    out.push_str("data: ");
    out.push_str(&glyph::to_json(data));
    out.push_str("\n\n");
}

/// A frame whose event has the name of its data's `type`.
fn event(out: &mut String, frame: &Value) {
    out.push_str("event: ");
    out.push_str(frame["type"].as_str().expect("every frame of these APIs has a type"));
    out.push('\n');
    data(out, frame);
}

/// Tokens said: a token is about four bytes.
fn output_tokens(blocks: &[Block]) -> u64 {
    let bytes: usize = blocks.iter().map(|block| block.said().len()).sum();
    (bytes as u64).div_ceil(4)
}

fn calls_tools(blocks: &[Block]) -> bool {
    blocks.iter().any(|block| matches!(block, Block::Tool { .. }))
}

impl Block {
    /// True when what is said in `other` may be said in this one as well; a call is always one of its own.
    pub(super) fn takes(&self, other: &Block) -> bool {
        matches!((self, other), (Block::Thought(_), Block::Thought(_)) | (Block::Text(_), Block::Text(_)))
    }

    pub(super) fn said_mut(&mut self) -> &mut String {
        match self {
            Block::Thought(text) | Block::Text(text) | Block::Tool { arguments: text, .. } => text,
        }
    }

    fn said(&self) -> &str {
        match self {
            Block::Thought(text) | Block::Text(text) | Block::Tool { arguments: text, .. } => text,
        }
    }
}
