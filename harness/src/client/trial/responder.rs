//! The server that a client meets: answers the nth request for the stream with the nth reply.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::case::{Case, Head, Reply, Step};
use super::log::{Request, Said, Saw};
use super::publish::publish_key;
use super::request::{Read, read};
use super::shared::Shared;
use crate::client::orders::Ordered;

/// How long a client may take to send a request on a connection that it has made, and to close one that has ended.
pub(super) const POLITE: Duration = Duration::from_secs(5);

/// What the responder asks of whoever controls the client; answered when it is done.
pub(super) enum Demand {
    /// Kill the client and start it again.
    Kill(oneshot::Sender<()>),
    /// Tell the client to close the stream.
    Close(oneshot::Sender<()>),
    /// Order it to publish this.
    Publish(u32, oneshot::Sender<()>),
    /// Order it to start over.
    Restart(oneshot::Sender<()>),
}

/// What a case's connections share.
pub(super) struct Responder {
    pub(super) case: Case,
    pub(super) shared: Arc<Shared>,
    pub(super) demands: mpsc::Sender<Demand>,
    /// How long a step waits for the client.
    pub(super) patience: Duration,
    /// Where the reference server is, if it answers.
    pub(super) upstream: Option<SocketAddr>,
    /// Requests for the stream so far.
    pub(super) asked: AtomicU32,
    /// Which publish each request was with, in the order in which they came.
    pub(super) posted: Mutex<Vec<Option<u32>>>,
    /// Connections that are being answered.
    pub(super) busy: AtomicUsize,
}

/// Why an answer was broken off: the client had left.
pub(super) struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Gone {
        Gone
    }
}

/// How an answer is over.
pub(super) enum Over {
    /// The chunked body is to be ended.
    Whole,
    /// The connection is to be closed as it is.
    Broken,
    /// It is to be reset.
    Reset,
    /// The client has left, or is dead.
    Left,
    /// The client never subscribed.
    Unheard,
}

/// Answers connections until it is dropped.
pub(super) async fn serve(listener: TcpListener, responder: Arc<Responder>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let responder = Arc::clone(&responder);
        connections.spawn(async move { responder.connection(stream).await });
        while connections.try_join_next().is_some() {}
    }
}

impl Responder {
    async fn connection(&self, mut stream: TcpStream) {
        let next = self.asked.load(Ordering::SeqCst);
        if self.reply(next + 1).is_some_and(|reply| reply.head == Head::Refuse) {
            self.asked.store(next + 1, Ordering::SeqCst);
            self.shared.saw(Saw::Refused { nth: next + 1 });
            let _ = stream.set_zero_linger();
            return;
        }
        let Ok(Some(Read { mut request, rest })) = timeout(POLITE, read(&mut stream)).await else { return };
        if request.target.starts_with("/snapshot") {
            self.shared.saw(Saw::Request(request));
            let body = self.case.snapshot.as_deref().unwrap_or("{}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            leave(stream).await;
            return;
        }
        if request.target.starts_with("/publish") {
            return self.publish(stream, request).await;
        }
        let nth = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        request.nth = nth;
        self.busy.fetch_add(1, Ordering::SeqCst);
        self.shared.saw(Saw::Request(request.clone()));
        match self.upstream {
            Some(upstream) => super::reference::relay(stream, upstream, &rest, nth, &self.shared).await,
            None => self.answer(stream, nth, &request).await,
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }

    fn reply(&self, nth: u32) -> Option<&Reply> {
        self.case.replies.get(nth as usize - 1)
    }

    async fn answer(&self, mut stream: TcpStream, nth: u32, request: &Request) {
        let Some(reply) = self.reply(nth) else {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            self.shared.saw(Saw::Ended { nth, how: "204, as the case is over" });
            leave(stream).await;
            return;
        };
        if reply.head == Head::Socket {
            return self.talk(stream, nth, reply, request).await;
        }
        let over = self.steps(&mut stream, nth, reply, request).await.unwrap_or(Over::Left);
        match over {
            // An end is written down before the client can see it: its wait is never measured too short.
            Over::Whole => {
                self.shared.saw(Saw::Ended { nth, how: "end of body" });
                if has_body(&reply.head) {
                    let _ = stream.write_all(b"0\r\n\r\n").await;
                }
                leave(stream).await;
            }
            Over::Broken => {
                self.shared.saw(Saw::Ended { nth, how: "closed inside the body" });
                leave(stream).await;
            }
            Over::Reset => {
                self.shared.saw(Saw::Ended { nth, how: "reset" });
                let _ = stream.set_zero_linger();
            }
            Over::Left | Over::Unheard => {
                self.shared.saw(Saw::Left { nth });
            }
        }
    }

    async fn steps(&self, stream: &mut TcpStream, nth: u32, reply: &Reply, request: &Request) -> Result<Over, Gone> {
        let head = head(&reply.head);
        self.write(stream, head.as_bytes()).await?;
        self.sent(nth, head.lines().next().unwrap_or_default().to_owned());
        for step in &reply.steps {
            match step {
                Step::Send(bytes) => self.chunk(stream, nth, bytes).await?,
                Step::Pieces(bytes, size) => {
                    for piece in bytes.chunks(*size) {
                        self.write(stream, &framed(piece)).await?;
                    }
                    self.sent(nth, format!("{} in pieces of {size}", shown(bytes)));
                }
                Step::Replay(last) => {
                    let cursor = request.header("last-event-id").and_then(|v| std::str::from_utf8(v).ok()?.parse::<u32>().ok());
                    for id in cursor.unwrap_or(0) + 1..=*last {
                        self.chunk(stream, nth, format!("id: {id}\ndata: e{id}\n\n").as_bytes()).await?;
                    }
                }
                Step::Hold => {
                    let mut buffer = [0; 1024];
                    let left = async { while let Ok(1..) = stream.read(&mut buffer).await {} };
                    if timeout(self.patience, left).await.is_err() {
                        self.shared.saw(Saw::InVain { what: "the client to leave the connection".to_owned() });
                        return Ok(Over::Whole);
                    }
                    return Ok(Over::Left);
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

    /// A step that writes nothing: it waits, has something done to the client, or ends the connection.
    pub(super) async fn aside(&self, step: &Step) -> Option<Over> {
        match step {
            Step::Until(data) => {
                if !self.shared.applied(data, self.patience).await {
                    self.shared.saw(Saw::InVain { what: format!("the client to apply `{data}`") });
                }
            }
            Step::UntilClosed => {
                let closed = |saw: &Saw| matches!(saw, Saw::Said(Said::Closed) | Saw::Exited { .. });
                if !self.shared.until(self.patience, closed).await {
                    self.shared.saw(Saw::InVain { what: "the client to close".to_owned() });
                }
            }
            Step::Reset => return Some(Over::Reset),
            Step::Break => return Some(Over::Broken),
            Step::Kill => {
                self.demand(Demand::Kill).await;
                return Some(Over::Left);
            }
            Step::Close => self.demand(Demand::Close).await,
            Step::Publish(publish) => self.demand(|done| Demand::Publish(*publish, done)).await,
            Step::UntilPublished(publish) => self.until_published(*publish).await,
            Step::UntilLeft(other) => {
                if !self.shared.until(self.patience, |saw| matches!(saw, Saw::Left { nth } if nth == other)).await {
                    self.shared.saw(Saw::InVain { what: format!("the client to leave connection {other}") });
                }
            }
            Step::Restart => self.demand(Demand::Restart).await,
            Step::Send(_)
            | Step::Pieces(..)
            | Step::Replay(_)
            | Step::Say(_)
            | Step::Fragments(..)
            | Step::Beside
            | Step::Ping
            | Step::Hold => {
                unreachable!("it belongs to one kind of stream, which a test of the cases shows: {step:?}")
            }
        }
        None
    }

    async fn demand(&self, demand: impl FnOnce(oneshot::Sender<()>) -> Demand) {
        let (done, wait) = oneshot::channel();
        // Fails only when the case is over.
        if self.demands.send(demand(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    async fn until_published(&self, publish: u32) {
        let key = publish_key(publish);
        let order = self.shared.log().iter().find_map(|entry| match &entry.what {
            Saw::Ordered { order, what: Ordered::Publish(publish) } if publish.key == key => Some(*order),
            _ => None,
        });
        let answered = |saw: &Saw| match saw {
            Saw::Said(Said::Answer(answer)) => Some(answer.answer) == order,
            Saw::Exited { .. } => true,
            _ => false,
        };
        if !self.shared.until(self.patience, answered).await {
            self.shared.saw(Saw::InVain { what: format!("the client to say what became of publish {publish}") });
        }
    }

    async fn chunk(&self, stream: &mut TcpStream, nth: u32, bytes: &[u8]) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.write(stream, &framed(bytes)).await?;
        self.sent(nth, shown(bytes));
        Ok(())
    }

    async fn write(&self, stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Gone> {
        // A client that does not read is not waited for for ever.
        timeout(self.patience, stream.write_all(bytes)).await.map_err(|_| Gone)??;
        Ok(())
    }

    fn sent(&self, nth: u32, says: String) {
        self.shared.saw(Saw::Sent { nth, says });
    }
}

/// Ends the sending side and waits for the client to do the same, so that nothing unread turns the end into a reset.
pub(super) async fn leave(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut buffer = [0; 1024];
    let _ = timeout(POLITE, async { while let Ok(1..) = stream.read(&mut buffer).await {} }).await;
}

/// One chunk of the chunked coding.
fn framed(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn has_body(head: &Head) -> bool {
    match head {
        Head::Stream { .. } => true,
        Head::Status { status, .. } => !status.starts_with("204") && !status.starts_with("205"),
        Head::Refuse | Head::Socket => false,
    }
}

fn head(head: &Head) -> String {
    let coding = if has_body(head) { "Transfer-Encoding: chunked\r\n" } else { "" };
    let (status, headers) = match head {
        Head::Stream { content_type } => ("200 OK", content_type.map(|t| format!("Content-Type: {t}\r\n")).unwrap_or_default()),
        Head::Status { status, headers } if status.starts_with("205") => (*status, format!("Content-Length: 0\r\n{headers}")),
        Head::Status { status, headers } if has_body(head) => (*status, format!("Content-Type: text/event-stream\r\n{headers}")),
        Head::Status { status, headers } => (*status, (*headers).to_owned()),
        Head::Refuse | Head::Socket => unreachable!("such a connection has no answer of this form"),
    };
    format!("HTTP/1.1 {status}\r\n{headers}{coding}Cache-Control: no-store\r\nConnection: close\r\n\r\n")
}

/// The beginning of what was sent, for people.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    let more = if bytes.len() > MOST { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("{text:?}{more}")
}
