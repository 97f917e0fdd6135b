//! A provider of chat completions that says what a test tells it, when it tells it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// An answer that is being given; it breaks off when this is dropped before its finish.
pub(crate) struct Feed {
    chunks: mpsc::UnboundedSender<String>,
}

struct Waiting {
    status: u16,
    chunks: mpsc::UnboundedReceiver<String>,
    asked: oneshot::Sender<Value>,
}

#[derive(Clone, Default)]
struct Queue(Arc<Mutex<VecDeque<Waiting>>>);

/// The provider.
pub(crate) struct Provider {
    pub(crate) url: String,
    queue: Queue,
}

async fn complete(State(queue): State<Queue>, body: String) -> Response {
    let next = queue.0.lock().unwrap().pop_front();
    let Some(mut next) = next else { return (StatusCode::BAD_REQUEST, "nothing was prepared").into_response() };
    let _ = next.asked.send(serde_json::from_str(&body).unwrap());
    let stream = futures_util::stream::poll_fn(move |context| {
        next.chunks.poll_recv(context).map(|chunk| chunk.map(|c| Ok::<_, Infallible>(Bytes::from(c))))
    });
    (StatusCode::from_u16(next.status).unwrap(), Body::from_stream(stream)).into_response()
}

impl Provider {
    pub(crate) async fn start() -> Provider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, queue) = (format!("http://{}", listener.local_addr().unwrap()), Queue::default());
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(queue.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Provider { url, queue }
    }

    /// Prepares the answer to the next question; the other half hears the question.
    pub(crate) fn prepare(&self, status: u16) -> (Feed, oneshot::Receiver<Value>) {
        let ((chunks, receive), (asked, hear)) = (mpsc::unbounded_channel(), oneshot::channel());
        self.queue.0.lock().unwrap().push_back(Waiting { status, chunks: receive, asked });
        (Feed { chunks }, hear)
    }

    pub(crate) fn next(&self) -> Feed {
        self.prepare(200).0
    }
}

impl Feed {
    pub(crate) fn raw(&self, text: &str) {
        let _ = self.chunks.send(text.to_owned());
    }

    fn delta(&self, delta: &Value) {
        self.raw(&format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })));
    }

    pub(crate) fn text(&self, text: &str) {
        self.delta(&json!({ "content": text }));
    }

    pub(crate) fn reasoning(&self, text: &str) {
        self.delta(&json!({ "reasoning_content": text }));
    }

    /// Calls a tool and waits for it.
    pub(crate) fn tool(self, id: &str, name: &str, arguments: &Value) {
        let function = json!({ "name": name, "arguments": arguments.to_string() });
        self.delta(&json!({ "tool_calls": [{ "index": 0, "id": id, "type": "function", "function": function }] }));
        self.end("tool_calls");
    }

    /// Has said everything.
    pub(crate) fn finish(self) {
        self.end("stop");
    }

    fn end(&self, reason: &str) {
        let choice = json!({ "index": 0, "delta": {}, "finish_reason": reason });
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2 });
        self.raw(&format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice], "usage": usage })));
    }
}
