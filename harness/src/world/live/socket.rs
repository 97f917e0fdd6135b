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

/// Sends messages on a WebSocket of their own and waits for the one that answers. The answer's status is 200, that of a
/// refusal 400, and 101 where no answer is waited for.
pub(super) async fn exchange(base: &str, request: &Request, exchange: &Exchange, vars: &Vars, within: Duration) -> Result<Whole, NoAnswer> {
    let lost = |why: String| NoAnswer::Lost(why);
    let talk = async {
        let mut socket = match open(base, request, false).await {
            Ok(socket) => socket,
            Err(Refused::Status(whole)) => return Ok(whole),
            Err(Refused::NoAnswer(why)) => return Err(why),
        };
        for template in &exchange.send {
            let message = vars.fill_json(template).unwrap_or(Value::Null).to_string();
            socket.send(Message::text(message)).await.map_err(|e| lost(e.to_string()))?;
        }
        let answer = match &exchange.reply {
            None => Ok(Whole { status: 101, ..Whole::default() }),
            Some(reply) => reply_of(&mut socket, reply, exchange.refused.as_ref(), vars).await,
        };
        // A server that does not answer a close is not waited for.
        let _ = tokio::time::timeout(CLOSING, socket.close(None)).await;
        answer
    };
    match tokio::time::timeout(within, talk).await {
        Ok(answer) => answer,
        Err(_) => Err(NoAnswer::Lost(format!("no answer within {} s", within.as_secs()))),
    }
}

async fn reply_of(
    socket: &mut Socket,
    reply: &BTreeMap<String, Value>,
    refused: Option<&BTreeMap<String, Value>>,
    vars: &Vars,
) -> Result<Whole, NoAnswer> {
    while let Some(message) = socket.next().await {
        let message = message.map_err(|e| NoAnswer::Lost(e.to_string()))?;
        let Message::Text(text) = message else { continue };
        let Ok(json) = serde_json::from_str::<Value>(&text) else { continue };
        let fits = |wanted: &BTreeMap<String, Value>| {
            wanted.iter().all(|(pointer, value)| json.pointer(pointer) == Some(&vars.fill_json(value).unwrap_or(Value::Null)))
        };
        if fits(reply) {
            return Ok(Whole { status: 200, headers: Vec::new(), body: text.to_string() });
        }
        if refused.is_some_and(fits) {
            return Ok(Whole { status: 400, headers: Vec::new(), body: text.to_string() });
        }
    }
    Err(NoAnswer::Lost("the socket was closed before the answer came".to_owned()))
}
