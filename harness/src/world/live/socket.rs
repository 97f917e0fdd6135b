//! WebSockets: opening one, exchanging messages, closing it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::http::NoAnswer;
use crate::contract::Exchange;
use crate::run::binding::{Request, Vars};
use crate::world::Whole;

/// Longest message that is read.
const MOST_MESSAGE: usize = 64 << 20;
/// How long a closing handshake may take.
const CLOSING: Duration = Duration::from_millis(500);

/// An open WebSocket.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why none was opened.
pub(super) enum Refused {
    /// The server answered with another status than 101.
    Status(Whole),
    /// There was no answer.
    NoAnswer(NoAnswer),
}

/// Opens a WebSocket by the request's path and headers; its body is not sent.
pub(super) async fn open(base: &str, request: &Request, small_buffer: bool) -> Result<Socket, Refused> {
    let not_sent = |why: String| Refused::NoAnswer(NoAnswer::NotSent(why));
    let Some(authority) = base.strip_prefix("http://") else {
        return Err(not_sent(format!("{base} is not plain HTTP: WebSockets over TLS cannot be opened")));
    };
    let mut upgrade =
        format!("ws://{authority}{}", request.target).into_client_request().map_err(|e| not_sent(format!("no such address: {e}")))?;
    for (name, value) in &request.headers {
        use tungstenite::http::{HeaderName, HeaderValue};
        if name.eq_ignore_ascii_case("content-type") {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_sent(format!("`{name}` is no header")))?;
        let value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| not_sent(format!("no header can carry the value of `{name}`")))?;
        upgrade.headers_mut().insert(name, value);
    }
    let limits = WebSocketConfig::default().max_message_size(Some(MOST_MESSAGE)).max_frame_size(Some(MOST_MESSAGE));
    let limits = if small_buffer { limits.read_buffer_size(4 << 10) } else { limits };
    match tokio_tungstenite::connect_async_with_config(upgrade, Some(limits), true).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let text = |value: &tungstenite::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let body = response.body().as_deref().map(|body| String::from_utf8_lossy(body).into_owned());
            Err(Refused::Status(Whole {
                status: response.status().as_u16(),
                headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: body.unwrap_or_default(),
            }))
        }
        Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Err(not_sent(error.to_string())),
        Err(error) => Err(Refused::NoAnswer(NoAnswer::Lost(error.to_string()))),
    }
}

/// Most bytes of messages that an exchange keeps.
const MOST_KEPT: usize = 16 << 20;

/// Sends messages on a WebSocket of their own and waits for the ones that answer. The answer's status is 200, that of a
/// refusal 400, and 101 where no answer is waited for.
pub(super) async fn exchange(base: &str, request: &Request, exchange: &Exchange, vars: &Vars, within: Duration) -> Result<Whole, NoAnswer> {
    let talk = async {
        let mut conversation = match open(base, request, false).await {
            Ok(socket) => Conversation { socket, vars, kept: exchange.keep.as_ref().map(|keep| (keep, Vec::new(), 0)) },
            Err(Refused::Status(whole)) => return Ok(whole),
            Err(Refused::NoAnswer(why)) => return Err(why),
        };
        conversation.send(&exchange.send).await?;
        let mut answer = match &exchange.reply {
            None => Ok(Whole { status: 101, ..Whole::default() }),
            Some(reply) => conversation.reply(reply, exchange.refused.as_ref()).await,
        };
        for talk in &exchange.then {
            if !answer.as_ref().is_ok_and(|answer| answer.status < 400) {
                break;
            }
            conversation.send(&talk.send).await?;
            answer = conversation.reply(&talk.reply, talk.refused.as_ref()).await;
        }
        let Conversation { mut socket, kept, .. } = conversation;
        if !exchange.breaks {
            // A server that does not answer a close is not waited for.
            let _ = tokio::time::timeout(CLOSING, socket.close(None)).await;
        }
        answer.map(|answer| match kept {
            Some((_, kept, _)) => Whole { body: format!("[{}]", kept.join(",")), ..answer },
            None => answer,
        })
    };
    match tokio::time::timeout(within, talk).await {
        Ok(answer) => answer,
        Err(_) => Err(NoAnswer::Lost(format!("no answer within {} s", within.as_secs_f32()))),
    }
}

/// Pointer → value of a message.
type Pattern = BTreeMap<String, Value>;

/// An exchange while it goes on.
struct Conversation<'x> {
    socket: Socket,
    vars: &'x Vars,
    /// Which messages are kept, those that were, and their bytes.
    kept: Option<(&'x Pattern, Vec<String>, usize)>,
}

impl Conversation<'_> {
    async fn send(&mut self, messages: &[Value]) -> Result<(), NoAnswer> {
        for template in messages {
            let message = self.vars.fill_json(template).unwrap_or(Value::Null).to_string();
            self.socket.send(Message::text(message)).await.map_err(|e| NoAnswer::Lost(e.to_string()))?;
        }
        Ok(())
    }

    fn fits(&self, pattern: &Pattern, message: &Value) -> bool {
        fits(pattern, message, self.vars)
    }

    /// Reads up to the message that answers or refuses.
    async fn reply(&mut self, reply: &Pattern, refused: Option<&Pattern>) -> Result<Whole, NoAnswer> {
        while let Some(message) = self.socket.next().await {
            let message = message.map_err(|e| NoAnswer::Lost(e.to_string()))?;
            let text = match message {
                Message::Text(text) => text,
                // Nothing comes behind a close, also when the connection stays open.
                Message::Close(_) => break,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let Ok(json) = serde_json::from_str::<Value>(&text) else { continue };
            if let Some((keep, kept, bytes)) = &mut self.kept
                && fits(keep, &json, self.vars)
            {
                *bytes += text.len();
                if *bytes > MOST_KEPT {
                    return Err(NoAnswer::Lost(format!("the messages before the answer have more than {MOST_KEPT} bytes")));
                }
                kept.push(text.to_string());
            }
            if self.fits(reply, &json) {
                return Ok(Whole { status: 200, headers: Vec::new(), body: text.to_string() });
            }
            if refused.is_some_and(|refused| self.fits(refused, &json)) {
                return Ok(Whole { status: 400, headers: Vec::new(), body: text.to_string() });
            }
        }
        Err(NoAnswer::Lost("the socket was closed before the answer came".to_owned()))
    }
}

/// True when a message has these values at these pointers.
fn fits(pattern: &Pattern, message: &Value, vars: &Vars) -> bool {
    pattern.iter().all(|(pointer, value)| message.pointer(pointer) == Some(&vars.fill_json(value).unwrap_or(Value::Null)))
}

/// Subscribes by a message and tells whether that is refused: the status is 400 with the message that refuses it, or 101 when
/// none has come in time.
pub(super) async fn subscribe(
    base: &str,
    request: &Request,
    refused: &Pattern,
    vars: &Vars,
    within: Duration,
) -> Result<(u16, String), NoAnswer> {
    let send = request.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).into_iter().collect();
    let asked = Exchange { send, reply: Some(refused.clone()), refused: None, then: Vec::new(), keep: None, breaks: false };
    match exchange(base, request, &asked, vars, within).await {
        Ok(whole) if whole.status == 200 => Ok((400, whole.body)),
        Ok(whole) => Ok((whole.status, whole.body)),
        Err(NoAnswer::Lost(_)) => Ok((101, String::new())),
        Err(why) => Err(why),
    }
}

/// Opens a WebSocket, subscribes, and drops it without a word; true when it was accepted.
pub(super) async fn touch(base: &str, request: &Request, within: Duration) -> bool {
    let touched = async {
        let Ok(mut socket) = open(base, request, false).await else { return false };
        let message = request.body.clone().unwrap_or_default();
        socket.send(Message::text(message)).await.is_ok()
    };
    tokio::time::timeout(within, touched).await.unwrap_or(false)
}

#[cfg(test)]
mod tests;
