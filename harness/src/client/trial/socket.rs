//! The server's side of a WebSocket: what a reply of a case says, as messages.

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::case::{Reply, Step};
use super::log::{Request, Saw};
use super::responder::{Gone, Over, POLITE, Responder, leave};

/// What a ping that is to be answered carries.
const PING: &[u8] = b"are you there?";

type Socket = WebSocketStream<TcpStream>;

impl Responder {
    /// Opens the WebSocket that is asked for, waits for the subscription, and says what the reply says.
    pub(super) async fn talk(&self, mut stream: TcpStream, nth: u32, reply: &Reply, request: &Request) {
        let key = request.header("sec-websocket-key").filter(|_| request.header("upgrade").is_some());
        let Some(key) = key else {
            self.shared.saw(Saw::Ended { nth, how: "426: it asks for no WebSocket" });
            let _ = stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            return leave(stream).await;
        };
        let accept = derive_accept_key(key);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            self.shared.saw(Saw::Left { nth });
            return;
        }
        self.shared.saw(Saw::Sent { nth, says: "HTTP/1.1 101 Switching Protocols".to_owned() });
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        match self.messages(&mut socket, nth, reply).await.unwrap_or(Over::Left) {
            // An end is written down before the client can see it: its wait is never measured too short.
            Over::Whole => {
                self.shared.saw(Saw::Ended { nth, how: "close frame" });
                let _ = timeout(POLITE, socket.close(None)).await;
                let _ = timeout(POLITE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
            }
            Over::Broken => {
                self.shared.saw(Saw::Ended { nth, how: "closed without a close frame" });
                leave(socket.into_inner()).await;
            }
            Over::Reset => {
                self.shared.saw(Saw::Ended { nth, how: "reset" });
                let _ = socket.into_inner().set_zero_linger();
            }
            Over::Left => {
                self.shared.saw(Saw::Left { nth });
            }
            // Nothing of the reply was said, so nothing of it is due.
            Over::Unheard => {
                let _ = timeout(POLITE, socket.close(None)).await;
            }
        }
    }

    async fn messages(&self, socket: &mut Socket, nth: u32, reply: &Reply) -> Result<Over, Gone> {
        if !self.subscribed(socket, nth).await? {
            self.shared.saw(Saw::InVain { what: format!("the client to subscribe on connection {nth}") });
            return Ok(Over::Unheard);
        }
        for step in &reply.steps {
            match step {
                Step::Say(text) => {
                    self.give(socket, Message::text(text.clone())).await?;
                    self.shared.saw(Saw::Sent { nth, says: beginning(text) });
                }
                Step::Fragments(text, size) => {
                    let count = text.len().div_ceil(*size);
                    for (at, piece) in text.as_bytes().chunks(*size).enumerate() {
                        let code = if at == 0 { Data::Text } else { Data::Continue };
                        let frame = Frame::message(piece.to_vec(), OpCode::Data(code), at + 1 == count);
                        self.give(socket, Message::Frame(frame)).await?;
                    }
                    self.shared.saw(Saw::Sent { nth, says: format!("{} in fragments of {size}", beginning(text)) });
                }
                Step::Beside => {
                    self.give(socket, Message::Ping(b"still there?".to_vec().into())).await?;
                    self.give(socket, Message::Binary(b"{\"type\":\"binary\"}".to_vec().into())).await?;
                    self.shared.saw(Saw::Sent { nth, says: "a ping and a binary message".to_owned() });
                }
                Step::Ping => self.ping(socket, nth).await?,
                Step::Hold => {
                    let left = async { while let Some(Ok(_)) = socket.next().await {} };
                    if timeout(self.patience, left).await.is_ok() {
                        return Ok(Over::Left);
                    }
                    self.shared.saw(Saw::InVain { what: "the client to leave the connection".to_owned() });
                    return Ok(Over::Whole);
                }
                other => {
                    if let Some(over) = self.aside(other).await {
                        return Ok(over);
                    }
                }
            }
        }
        Ok(Over::Whole)
    }

    /// Sends a ping, and waits for the pong with the same content.
    async fn ping(&self, socket: &mut Socket, nth: u32) -> Result<(), Gone> {
        self.give(socket, Message::Ping(PING.to_vec().into())).await?;
        self.shared.saw(Saw::Sent { nth, says: "a ping".to_owned() });
        let pong = async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Pong(content))) if content == PING => return Ok(()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    Some(Ok(_)) => {}
                }
            }
        };
        match timeout(self.patience, pong).await {
            Ok(pong) => {
                pong?;
                self.shared.saw(Saw::Ponged { nth });
            }
            Err(_) => {
                self.shared.saw(Saw::InVain { what: format!("the pong on connection {nth}") });
            }
        }
        Ok(())
    }

    /// Waits for the first message of the client. What else it sends is read where the server waits for its end.
    async fn subscribed(&self, socket: &mut Socket, nth: u32) -> Result<bool, Gone> {
        let first = async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    Some(Ok(_)) => {}
                }
            }
        };
        let Ok(text) = timeout(self.patience, first).await else { return Ok(false) };
        self.shared.saw(Saw::Heard { nth, text: text? });
        Ok(true)
    }

    async fn give(&self, socket: &mut Socket, message: Message) -> Result<(), Gone> {
        // A client that does not read is not waited for for ever.
        timeout(self.patience, socket.send(message)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

/// The beginning of a message, for people.
fn beginning(text: &str) -> String {
    const MOST: usize = 120;
    let shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() { format!("{shown}… ({} bytes)", text.len()) } else { shown }
}
