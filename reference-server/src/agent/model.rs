//! The model: a provider that speaks OpenAI-compatible chat completions, or a built-in one that repeats the prompt.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};

use super::chat::{self, Accumulator};
use super::tools;

/// How long a provider may take to accept a connection. How long it may think is the turn's business: it can be aborted.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How much of a provider's refusal is kept.
const MOST_REFUSAL: usize = 4 << 10;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// What the human said.
    User(String),
    /// What the model answered.
    Assistant {
        /// Its text.
        text: String,
        /// The tools that it called.
        calls: Vec<ToolCall>,
    },
    /// What a tool returned.
    Tool {
        /// The call's id.
        call: String,
        /// Its output.
        output: String,
    },
}

/// A call of a tool, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's name for it.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// The arguments as the model wrote them; JSON if the model is right.
    pub arguments: String,
}

/// Tokens that an answer has cost, as the provider counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt: u64,
    /// Tokens written.
    pub completion: u64,
}

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It has said everything.
    Stop,
    /// It waits for its tools.
    ToolCalls,
    /// Something else, in the provider's word (`length`, `content_filter`).
    Other(String),
}

/// Why an answer did not come, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider refused.
    Status {
        /// Its status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The provider could not be reached, or the answer broke off.
    Cut(String),
    /// The answer is none: a chunk that is no JSON.
    Malformed(String),
}

impl Failure {
    /// True when the same question may be answered a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Failure::Status { status, .. } => matches!(status, 408 | 409 | 429 | 500..),
            Failure::Cut(_) => true,
            Failure::Malformed(_) => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Status { status, text } => write!(f, "the provider answered {status}: {text}"),
            Failure::Cut(why) => write!(f, "the provider's answer broke off: {why}"),
            Failure::Malformed(what) => write!(f, "the provider sent what is no chunk: {what}"),
        }
    }
}

/// A part of an answer, in the order in which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text of the answer.
    Text(String),
    /// Text of the thinking.
    Reasoning(String),
    /// A complete call; sent when the model has finished.
    ToolCall(ToolCall),
    /// What it cost.
    Usage(Usage),
    /// The end; nothing follows.
    End(Finish),
    /// There will be no end; nothing follows.
    Failed(Failure),
}

/// Why no model can be asked.
#[derive(Debug)]
pub struct ModelError(String);

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ModelError {}

/// Who answers.
#[derive(Clone, Debug)]
pub struct Model {
    provider: Option<Provider>,
}

#[derive(Clone, Debug)]
struct Provider {
    client: reqwest::Client,
    url: String,
}

impl Model {
    /// The provider at this URL (without `/v1/…`); the built-in model where there is none.
    ///
    /// # Errors
    /// When the text is no HTTP URL.
    pub fn new(provider: Option<&str>) -> Result<Model, ModelError> {
        let Some(url) = provider else { return Ok(Model { provider: None }) };
        let wrong = |why: &str| ModelError(format!("`{url}` is no provider: {why}; write a URL such as http://127.0.0.1:8080"));
        let parsed = reqwest::Url::parse(url).map_err(|e| wrong(&e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(wrong("it is not at an HTTP address"));
        }
        // Whoever installed one before keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_WITHIN);
        if parsed.scheme() == "http" {
            // The system's certificates are hundreds of files, which a server that restarts often need not read.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|e| wrong(&e.to_string()))?;
        Ok(Model { provider: Some(Provider { client, url: url.trim_end_matches('/').to_owned() }) })
    }

    /// True when no provider was named.
    pub fn is_built_in(&self) -> bool {
        self.provider.is_none()
    }

    /// The models that the provider offers.
    ///
    /// # Errors
    /// When the provider does not say.
    pub async fn names(&self) -> Result<Vec<String>, Failure> {
        let Some(provider) = &self.provider else { return Ok(vec!["built-in".to_owned()]) };
        let asked = async {
            let response = provider.client.get(format!("{}/v1/models", provider.url)).bearer_auth("x").send().await;
            let response = response.map_err(|e| Failure::Cut(causes(&e)))?;
            let status = response.status();
            let text = response.text().await.map_err(|e| Failure::Cut(causes(&e)))?;
            if !status.is_success() {
                return Err(Failure::Status { status: status.as_u16(), text: text.chars().take(MOST_REFUSAL).collect() });
            }
            let list: serde_json::Value = serde_json::from_str(&text).map_err(|e| Failure::Malformed(e.to_string()))?;
            let name = |model: &serde_json::Value| model["id"].as_str().map(str::to_owned);
            Ok(list["data"].as_array().into_iter().flatten().filter_map(name).collect())
        };
        tokio::time::timeout(CONNECT_WITHIN, asked).await.unwrap_or_else(|_| Err(Failure::Cut("it does not answer".to_owned())))
    }

    /// Asks for the next message of a conversation. Nothing is sent before the first piece is asked for.
    pub fn ask(&self, messages: &[Message]) -> Pieces {
        match &self.provider {
            None => Pieces { ready: repeat(messages), rest: None },
            Some(provider) => {
                let request = provider
                    .client
                    .post(format!("{}/v1/chat/completions", provider.url))
                    .bearer_auth("x")
                    .header("content-type", "application/json")
                    .body(chat::request(messages, tools::definitions()).to_string());
                Pieces { ready: VecDeque::new(), rest: Some(Box::pin(answer(request))) }
            }
        }
    }
}

/// An answer as it comes.
pub struct Pieces {
    ready: VecDeque<Piece>,
    rest: Option<Pin<Box<dyn Stream<Item = Piece> + Send>>>,
}

impl Pieces {
    /// The next piece; `None` behind [`Piece::End`] or [`Piece::Failed`], of which every answer has exactly one.
    pub async fn next(&mut self) -> Option<Piece> {
        if let Some(piece) = self.ready.pop_front() {
            return Some(piece);
        }
        let piece = self.rest.as_mut()?.next().await;
        if matches!(piece, None | Some(Piece::End(_) | Piece::Failed(_))) {
            self.rest = None;
        }
        piece
    }
}

/// The built-in model: the last prompt's words, one piece each, with the blanks behind them.
fn repeat(messages: &[Message]) -> VecDeque<Piece> {
    let prompt = messages.iter().rev().find_map(|message| match message {
        Message::User(text) => Some(text.as_str()),
        Message::Assistant { .. } | Message::Tool { .. } => None,
    });
    let words: Vec<String> = prompt.unwrap_or("").split_inclusive(char::is_whitespace).map(str::to_owned).collect();
    let usage = Usage { prompt: words.len() as u64, completion: words.len() as u64 };
    words.into_iter().map(Piece::Text).chain([Piece::Usage(usage), Piece::End(Finish::Stop)]).collect()
}

/// The provider's answer: its status is looked at first, then its events, until `[DONE]` or a finish reason and the end.
fn answer(request: reqwest::RequestBuilder) -> impl Stream<Item = Piece> + Send {
    let failed = |failure| futures_util::stream::iter(vec![Piece::Failed(failure)]).boxed();
    futures_util::stream::once(async move {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(Failure::Cut(causes(&error))),
        };
        let status = response.status();
        if !status.is_success() {
            let mut text = Vec::new();
            while text.len() < MOST_REFUSAL
                && let Ok(Some(bytes)) = response.chunk().await
            {
                text.extend_from_slice(&bytes);
            }
            text.truncate(MOST_REFUSAL);
            return failed(Failure::Status { status: status.as_u16(), text: String::from_utf8_lossy(&text).into_owned() });
        }
        let events = sse_stream::SseByteStream::new(response.bytes_stream());
        futures_util::stream::unfold(Some((Box::pin(events), Accumulator::default())), |state| async move {
            let (mut events, mut accumulator) = state?;
            Some(match events.next().await {
                Some(Ok(event)) => match accumulator.take(event.data.as_deref().unwrap_or("")) {
                    Ok(pieces) => (pieces, Some((events, accumulator))),
                    Err(failure) => (vec![Piece::Failed(failure)], None),
                },
                Some(Err(error)) => (vec![Piece::Failed(Failure::Cut(causes(&error)))], None),
                None => (accumulator.end(), None),
            })
        })
        .flat_map(futures_util::stream::iter)
        .boxed()
    })
    .flatten()
}

/// An error with everything that led to it.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn all(mut pieces: Pieces) -> Vec<Piece> {
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            all.push(piece);
        }
        all
    }

    /// Answers one request with these bytes and closes; returns what it was asked.
    async fn asked_at(answer: &'static str) -> (Vec<Piece>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let model = Model::new(Some(&format!("http://{}/", listener.local_addr().unwrap()))).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        tokio::join!(all(model.ask(&[Message::User("say \"hi\"".to_owned())])), serve)
    }

    #[tokio::test]
    async fn the_built_in_model_repeats_the_last_prompt_word_by_word() {
        let model = Model::new(None).unwrap();
        let told = [Message::User("old".to_owned()), Message::User("one  two".to_owned())];
        let pieces = all(model.ask(&told)).await;
        let text = |t: &str| Piece::Text(t.to_owned());
        let usage = Piece::Usage(Usage { prompt: 3, completion: 3 });
        assert_eq!(pieces, [text("one "), text(" "), text("two"), usage, Piece::End(Finish::Stop)]);
    }

    #[tokio::test]
    async fn a_provider_is_asked_and_its_chunks_come_as_pieces() {
        let (pieces, request) = asked_at(concat!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
            ": hello\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w0 \"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n",
            "data: [DONE]\n\n"
        ))
        .await;
        let usage = Piece::Usage(Usage { prompt: 3, completion: 1 });
        assert_eq!(pieces, [Piece::Reasoning("hm".to_owned()), Piece::Text("w0 ".to_owned()), usage, Piece::End(Finish::Stop)]);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST /v1/chat/completions HTTP/1.1") && head.to_lowercase().contains("authorization: bearer x"),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["stream"], true);
        assert_eq!(body["messages"][0], serde_json::json!({ "role": "user", "content": "say \"hi\"" }));
    }

    #[tokio::test]
    async fn a_refusal_a_cut_and_nonsense_are_told_apart() {
        let (pieces, _) = asked_at("HTTP/1.1 401 no\r\ncontent-length: 4\r\nconnection: close\r\n\r\nkeys").await;
        assert_eq!(pieces, [Piece::Failed(Failure::Status { status: 401, text: "keys".to_owned() })]);
        let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        let (pieces, _) = asked_at(cut).await;
        assert_eq!(pieces[0], Piece::Text("a".to_owned()));
        assert!(matches!(pieces[1..], [Piece::Failed(Failure::Cut(_))]), "{pieces:?}");
        let (pieces, _) = asked_at("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {oops\n\n").await;
        assert!(matches!(pieces[..], [Piece::Failed(Failure::Malformed(_))]), "{pieces:?}");
        let (pieces, _) = asked_at("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        assert!(matches!(pieces[..], [Piece::Failed(Failure::Cut(_))]), "an answer without an end: {pieces:?}");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in ["", "x", "ftp://a", "127.0.0.1:80"] {
            assert!(Model::new(Some(bad)).is_err(), "{bad}");
        }
    }
}
