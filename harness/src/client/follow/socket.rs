//! A stream that is a WebSocket: its handshake, its subscription, its messages.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, connect_async_with_config};

use super::mute::Mute;
use super::{AtWork, FollowError, HEAD_WITHIN};
use crate::client::bugs::Bug;
use crate::client::reader::{Applied, Next, Shape, Stop};

/// Longest message that is read.
const MOST_MESSAGE: usize = 64 << 20;
/// How long the server may take to answer a close.
const CLOSING: Duration = Duration::from_millis(500);

impl<A: FnMut(&[Applied]) -> io::Result<()>> AtWork<A> {
    /// One connection, from its handshake to its end.
    pub(super) async fn socket(&mut self, shape: &Shape) -> Result<Next, FollowError> {
        let again = self.requests > 0;
        self.requests += 1;
        let Some(request) = self.handshake(again) else {
            self.give(&[Applied::Error { error: format!("{} is no address of a WebSocket", self.asked) }])?;
            return Ok(Next::Stop(Stop::Refused));
        };
        let limits = WebSocketConfig::default().max_message_size(Some(MOST_MESSAGE)).max_frame_size(Some(MOST_MESSAGE));
        let opened = timeout(HEAD_WITHIN, connect_async_with_config(request, Some(limits), true)).await;
        let socket = match opened {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(Error::Http(_))) if self.what.bugs.has(Bug::InsistsOnHandshake) => return Ok(Next::Reconnect(Duration::ZERO)),
            Ok(Err(Error::Http(answer))) => {
                self.give(&[Applied::Error { error: format!("the server answers with status {}", answer.status().as_u16()) }])?;
                return Ok(Next::Stop(Stop::Refused));
            }
            Ok(Err(error)) => return Ok(self.no_answer(&error)),
            Err(late) => return Ok(self.no_answer(&late)),
        };
        self.told = false;
        self.reader.opened();
        if self.what.bugs.has(Bug::MutePongs) {
            let mute = WebSocketStream::from_raw_socket(Mute(socket.into_inner()), Role::Client, Some(limits)).await;
            return self.messages(mute, shape, again).await;
        }
        self.messages(socket, shape, again).await
    }

    /// Subscribes, and reads until the connection is over or left.
    async fn messages<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut socket: WebSocketStream<S>,
        shape: &Shape,
        again: bool,
    ) -> Result<Next, FollowError> {
        if !(again && self.what.bugs.has(Bug::SubscribesOnce)) {
            // What cannot be sent shows as the end of the connection.
            let _ = socket.send(Message::text(shape.subscribe.clone())).await;
        }
        let mut out = Vec::new();
        loop {
            let next = match socket.next().await {
                Some(Ok(Message::Text(text))) => self.reader.message(shape, &text, &mut out),
                // Pings are answered by the library, while it waits for the next message.
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Next::Read,
                Some(Ok(Message::Close(_))) | None => self.reader.ended(true, &mut out),
                Some(Err(_)) => self.reader.ended(false, &mut out),
            };
            self.hand_over(&mut out)?;
            if next != Next::Read {
                let _ = timeout(CLOSING, socket.close(None)).await;
                return Ok(next);
            }
        }
    }

    /// The request of the handshake; `None` when the address is none.
    fn handshake(&self, again: bool) -> Option<Request<()>> {
        let mut request = self.asked.as_str().into_client_request().ok()?;
        if !(again && self.what.bugs.has(Bug::HeadersOnce)) {
            for (name, value) in &self.what.opening.headers {
                request.headers_mut().insert(name.clone(), value.clone());
            }
        }
        Some(request)
    }
}
