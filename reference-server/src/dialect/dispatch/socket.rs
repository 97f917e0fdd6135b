//! WebSockets: what a client says, and what it is sent.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use super::answer::{Refusal, object};
use super::http::{Prompt, Starter};
use super::live::{Letter, MOST_FOLLOWED, Outbox};
use super::{MOST_BODY, Shared, turn};

/// Answers a request to open a WebSocket, on whatever path; other requests go on to the routes.
pub(super) async fn upgrade(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !asked {
        return next.run(request).await;
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.max_message_size(MOST_BODY).max_frame_size(MOST_BODY).on_upgrade(move |socket| serve(server, socket)),
        Err(refused) => refused.into_response(),
    }
}

/// Serves a client until it leaves, the server stops, or it is too far behind.
async fn serve(server: Shared, socket: WebSocket) {
    let outbox = Outbox::new();
    server.connect(&outbox);
    let (mut sink, source) = socket.split();
    let (mut behind, mut stopping) = (outbox.behind(), server.hub.stopping());
    let mut client = Client {
        starter: Starter { server: Arc::clone(&server), conversations: Vec::new(), ended: false },
        outbox: Arc::clone(&outbox),
        subscribed: 0,
    };
    let close = tokio::select! {
        () = client.listen(source) => None,
        () = write(&server, &outbox, &mut sink) => None,
        _ = behind.wait_for(|behind| *behind) => Some((close_code::AGAIN, "too far behind")),
        _ = stopping.wait_for(|stopping| *stopping) => Some((close_code::AWAY, "the server is stopping")),
    };
    if let Some((code, reason)) = close {
        // A client that does not read is not waited for.
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = tokio::time::timeout(super::LATE, sink.send(frame)).await;
    }
}

/// Writes what there is for a client until it cannot be written to.
async fn write(server: &Shared, outbox: &Outbox, sink: &mut SplitSink<WebSocket, Message>) {
    loop {
        for letter in outbox.take(server.hub.bugs).await {
            let text = match letter {
                Letter::Event(event) => format!("{{\"type\":\"chat.delta\",\"event\":{event}}}"),
                Letter::Notice(notice) => notice.to_string(),
                Letter::Over(_) => continue,
            };
            if sink.feed(Message::text(text)).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

/// A client, from its incoming side.
struct Client {
    starter: Starter,
    outbox: Arc<Outbox>,
    /// How often it has subscribed.
    subscribed: usize,
}

impl Client {
    async fn listen(&mut self, mut source: SplitStream<WebSocket>) {
        while let Some(Ok(message)) = source.next().await {
            let heard = match message {
                Message::Text(text) => self.hear(&text).await,
                Message::Binary(_) => Err((None, Refusal::bad("messages are text"))),
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => return,
            };
            if let Err((conversation, refusal)) = heard {
                let mut error = json!({ "type": "chat.error", "message": refusal.message });
                if let Some(conversation) = conversation {
                    error["conversationId"] = json!(conversation);
                }
                self.outbox.notify(error.to_string().into());
            }
        }
    }

    async fn hear(&mut self, text: &str) -> Result<(), (Option<String>, Refusal)> {
        let message = object(text).map_err(|refusal| (None, refusal))?;
        let id = message["conversationId"].as_str();
        self.act(&message, id).await.map_err(|refusal| (id.map(str::to_owned), refusal))
    }

    async fn act(&mut self, message: &Value, id: Option<&str>) -> Result<(), Refusal> {
        let server = Arc::clone(&self.starter.server);
        let named = || server.conversation(id.ok_or_else(|| Refusal::bad("conversationId is missing"))?);
        match message["type"].as_str() {
            Some("chat.send") => {
                let prompt = Prompt::read(message)?;
                let conversation = prompt.conversation(&server).await?;
                turn::begin(&server, &conversation, Some(&prompt.message), Some(&self.outbox)).await?;
                self.starter.conversations.retain(|known| !Arc::ptr_eq(known, &conversation));
                self.starter.conversations.push(conversation);
                Ok(())
            }
            Some("chat.subscribe") => {
                let conversation = named()?;
                self.subscribed += 1;
                if self.subscribed > MOST_FOLLOWED {
                    return Err(Refusal::bad(format!("a client can subscribe {MOST_FOLLOWED} times")));
                }
                conversation.subscribe(&server, &self.outbox);
                Ok(())
            }
            Some("chat.unsubscribe") => {
                named()?.unsubscribe(&server, &self.outbox);
                Ok(())
            }
            Some("chat.queue") => {
                let text = message["message"].as_str().filter(|text| !text.trim().is_empty());
                turn::queue(&server, &named()?, text.ok_or_else(|| Refusal::bad("message is missing"))?).await
            }
            Some(other) => Err(Refusal::bad(format!("`{}` is no type of message", other.chars().take(60).collect::<String>()))),
            None => Err(Refusal::bad("type is missing")),
        }
    }
}
