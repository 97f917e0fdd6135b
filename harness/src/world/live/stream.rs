//! One connection of a reader: a task that opens it, decodes what comes and records it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message};

mod decoding;

use self::decoding::Decoding;
use super::driver::Driven;
use super::faults;
use super::http::{NoAnswer, beginning, excerpt, prepare, words};
use super::money::{Purse, Till};
use super::proxy::{self, Framing, Happened, How as ProxyHow, Link, LinkConfig};
use super::socket;
use super::tap::Tap;
use crate::contract::{Format, Profile};
use crate::history::{Answer, ConnId, End, Ended, Fault, Item, Micros, Of, What};
use crate::run::binding::{Lens, Request, Vars};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::scenario::Funding;
use crate::world::{Command, ConnFault, Whole};

/// The runner's end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    closing: watch::Sender<bool>,
    proxied: Arc<Mutex<Proxied>>,
}

impl Default for Handle {
    fn default() -> Self {
        Handle { closing: watch::Sender::new(false), proxied: Arc::default() }
    }
}

/// The proxy's side of a connection, once there is one.
#[derive(Debug, Default)]
struct Proxied {
    link: Option<Link>,
    conn: Option<proxy::ConnId>,
    progress: Progress,
}

impl Handle {
    /// Tells the connection something.
    pub(super) fn order(&self, command: Command) {
        let proxied = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        match (command, &proxied.link, proxied.conn) {
            (Command::Cut(how), Some(link), Some(conn)) => {
                link.cut(conn, faults::how(how));
            }
            (Command::Unstall, Some(link), Some(conn)) => {
                proxied.progress.state().held = false;
                link.resume(conn);
            }
            (Command::Release, Some(link), Some(conn)) => {
                proxied.progress.state().held = false;
                link.release(conn);
            }
            (Command::Cut(_) | Command::Close, _, _) => {
                self.closing.send_replace(true);
            }
            (Command::Unstall | Command::Release, _, _) => {}
        }
    }
}

/// A connection to be opened and followed to its end.
pub(super) struct Follow {
    pub(super) conn: ConnId,
    pub(super) profile: Arc<Profile>,
    pub(super) vars: Vars,
    /// The server's name for the session.
    pub(super) own: String,
    pub(super) base: String,
    /// Where the proxy connects to; `None` for a connection that goes straight to the server.
    pub(super) upstream: Option<std::net::SocketAddr>,
    pub(super) faults: Vec<ConnFault>,
    pub(super) compressed: bool,
    pub(super) client: reqwest::Client,
    pub(super) recorder: Recorder,
    pub(super) origin: Instant,
    pub(super) progress: Progress,
    pub(super) handle: Handle,
    /// Who pays, where streams are paid.
    pub(super) paying: Option<Paying>,
    /// The program that reads it, if one does.
    pub(super) driven: Option<Driven>,
}

/// Who pays for a stream, and how.
#[derive(Clone)]
pub(super) struct Paying {
    pub(super) purse: Arc<Purse>,
    pub(super) till: Till,
    pub(super) reader: SmolStr,
    pub(super) funding: Funding,
}

/// A payment of ours for a stream, until it is dropped. The time that it takes is not the server's.
struct UnderWay(Progress);

impl UnderWay {
    fn begin(progress: &Progress) -> UnderWay {
        let mut state = progress.state();
        (state.paying, state.payments) = (state.paying + 1, state.payments + 1);
        UnderWay(progress.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        (state.paying, state.payments) = (state.paying - 1, state.payments + 1);
    }
}

/// Why following stopped.
pub(super) enum Over {
    /// The body ended, with this many bytes behind the last whole frame.
    Eof(u64),
    /// A refusal was read, or a long-poll reader was told that there is no more.
    Done,
    /// The runner closed it.
    Closed,
    Broken(String),
    NoAnswer(String),
    Undecodable(String),
}

impl Follow {
    pub(super) fn now(&self) -> Micros {
        Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn record(&self, what: What) {
        self.recorder.record(self.now(), what);
    }

    pub(super) fn tap(&self) -> Tap {
        Tap { recorder: self.recorder.clone(), origin: self.origin, of: Of::Conn(self.conn) }
    }

    /// Follows the connection to its end and records everything.
    pub(super) async fn run(self, request: Request) {
        let mut closing = self.handle.closing.subscribe();
        let over = self.follow(request, &mut closing).await;
        if let Some(driven) = &self.driven {
            driven.overheard.settle(self.now());
        }
        let cut = self.progress.state().cut;
        let (how, unfinished) = match over {
            Over::Closed => (Ended::Ours, 0),
            Over::Eof(_) | Over::Broken(_) | Over::NoAnswer(_) if cut => (Ended::Ours, 0),
            Over::Eof(unfinished) => (Ended::Eof, unfinished),
            Over::Done => (Ended::Done, 0),
            Over::Broken(why) => (Ended::Broken { why }, 0),
            Over::NoAnswer(why) => (Ended::NoAnswer { why }, 0),
            Over::Undecodable(why) => (Ended::Undecodable { why }, 0),
        };
        self.progress.state().ended = Some(how.clone());
        self.record(What::End(End { conn: self.conn, how, unfinished }));
    }

    async fn follow(&self, request: Request, closing: &mut watch::Receiver<bool>) -> Over {
        let base = match self.upstream {
            None => self.base.clone(),
            Some(upstream) => match self.link(upstream).await {
                Ok(base) => base,
                Err(error) => return Over::NoAnswer(format!("the proxy could not listen: {error}")),
            },
        };
        if let Some(driven) = &self.driven {
            return self.driven(driven, &base, &request, closing).await;
        }
        match self.profile.binding.subscribe.format {
            Format::Sse | Format::Ndjson => self.stream(&base, &request, closing).await,
            Format::Websocket => self.messages(&base, &request, closing).await,
            Format::LongPoll => tokio::select! {
                over = self.poll(&base, request) => over,
                _ = closing.wait_for(|closing| *closing) => Over::Closed,
            },
        }
    }

    /// Opens the proxy's link for this connection.
    async fn link(&self, upstream: std::net::SocketAddr) -> std::io::Result<String> {
        let framing = match self.profile.binding.subscribe.format {
            Format::Sse => Framing::Sse,
            Format::Ndjson => Framing::Lines,
            Format::LongPoll => Framing::Auto,
            Format::Websocket => Framing::Messages,
        };
        // The link holds its observer: held in turn by what holds the link, neither would ever go.
        let (recorder, progress, conn, proxied) =
            (self.recorder.clone(), self.progress.clone(), self.conn, Arc::downgrade(&self.handle.proxied));
        let overheard = self.driven.as_ref().map(|driven| Arc::clone(&driven.overheard));
        let holder = proxied.clone();
        let passed_by = move |through: proxy::ConnId| {
            if let Some(proxied) = holder.upgrade() {
                proxied.lock().unwrap_or_else(PoisonError::into_inner).conn = Some(through);
            }
        };
        let observer = move |observed: proxy::Observed| {
            let at = Micros(u64::try_from(observed.at.as_micros()).unwrap_or(u64::MAX));
            if overheard.as_ref().is_some_and(|overheard| overheard.happened(at, observed.conn, &observed.what)) {
                passed_by(observed.conn);
            }
            let record = |fault: &proxy::Fault, reached: bool| {
                recorder.record(at, What::Fault(Fault { conn: Some(conn), says: faults::say(fault), reached }));
            };
            match &observed.what {
                Happened::Accepted { .. } if overheard.is_some() => {}
                Happened::Accepted { .. } => {
                    passed_by(observed.conn);
                }
                Happened::Applied { fault } => {
                    if let Some(proxied) = proxied.upgrade().filter(|_| overheard.is_some())
                        && let Some(link) = &proxied.lock().unwrap_or_else(PoisonError::into_inner).link
                    {
                        // What stood before every connection of the program has found its own.
                        link.clear_plans();
                    }
                    {
                        let mut state = progress.state();
                        match fault {
                            proxy::Fault::Cut { how, .. } => {
                                state.faults += 1;
                                state.cut = true;
                                state.held |= *how == ProxyHow::Silence;
                            }
                            proxy::Fault::StopReading { .. } | proxy::Fault::Hold { .. } => {
                                state.faults += 1;
                                state.held = true;
                            }
                            proxy::Fault::Delay { .. }
                            | proxy::Fault::Rechunk { .. }
                            | proxy::Fault::RefuseFirst(_)
                            | proxy::Fault::DropAnswer
                            | proxy::Fault::DuplicateRequest => {}
                        }
                    }
                    record(fault, true);
                }
                // A program has connections that no fault was meant for.
                Happened::NotReached { .. } if overheard.is_some() => {}
                Happened::NotReached { fault } => record(fault, false),
                Happened::Unreachable { .. }
                | Happened::RequestHead { .. }
                | Happened::ResponseHead { .. }
                | Happened::EventPassed { .. }
                | Happened::Resent { .. }
                | Happened::Unreadable { .. }
                | Happened::Closed { .. } => {}
            }
        };
        let config = LinkConfig { upstream, framing, origin: self.origin, observer: Arc::new(observer) };
        let link = Link::open(config).await?;
        let plan = faults::plan(&self.faults, &self.profile.binding);
        match self.driven {
            None => link.plan(plan),
            Some(_) => link.plan_each(plan),
        }
        let base = format!("http://{}", link.address());
        let mut proxied = self.handle.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        proxied.progress = self.progress.clone();
        proxied.link = Some(link);
        Ok(base)
    }

    /// Sends a request and gets its head; refused attempts are repeated, as an ordinary client would.
    pub(super) async fn head(&self, base: &str, request: &Request) -> Result<reqwest::Response, Over> {
        let refusals: u32 = self.faults.iter().map(|f| if let ConnFault::RefuseFirst(times) = f { *times } else { 0 }).sum();
        let mut attempt = 0;
        loop {
            self.tap().asks(request);
            let mut builder = prepare(&self.client, base, request).map_err(Over::NoAnswer)?;
            let has = |name: &str| request.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
            if self.profile.binding.subscribe.format == Format::Sse && !has("accept") {
                builder = builder.header("Accept", "text/event-stream");
            }
            if !has("accept-encoding") {
                builder = builder.header("Accept-Encoding", if self.compressed { "gzip" } else { "identity" });
            }
            if self.upstream.is_some()
                && let Some(host) = self.base.split_once("://").map(|(_, host)| host.split('/').next().unwrap_or(host).to_owned())
            {
                builder = builder.header("Host", host);
            }
            match builder.send().await {
                Ok(response) => return Ok(response),
                Err(_) if attempt < refusals => attempt += 1,
                Err(error) => return Err(Over::NoAnswer(words(&error))),
            }
        }
    }

    /// As [`Follow::head`], and pays first, where streams are paid. A channel that the server has forgotten is replaced once.
    async fn paid_head(&self, base: &str, request: &Request) -> Result<reqwest::Response, Over> {
        let Some(Paying { purse, till, reader, funding }) = &self.paying else { return self.head(base, request).await };
        let mut again = true;
        loop {
            // Ours is the asking and signing; for the head the server is waited for.
            let under_way = UnderWay::begin(&self.progress);
            let funded = purse.fund(till, reader, funding, self.conn).await.map_err(Over::NoAnswer)?;
            drop(under_way);
            let mut paid = request.clone();
            paid.headers.extend(funded.authorization.clone().map(|value| ("Authorization".to_owned(), value)));
            let head = self.head(base, &paid).await;
            let forgotten = purse.funded(funded, head.as_ref().ok());
            if !(forgotten && std::mem::take(&mut again)) {
                return head;
            }
        }
    }

    /// Takes a frame that is about payment.
    fn payment(&self, event_type: &str, data: &str) {
        let Some(paying) = &self.paying else { return };
        let Some(required) = paying.purse.frame(self.conn, event_type, data) else { return };
        self.progress.state().dues += 1;
        self.recorder.wake();
        let Paying { purse, till, reader, funding } = paying.clone();
        let under_way = UnderWay::begin(&self.progress);
        tokio::spawn(async move {
            purse.due(&till, &reader, &funding, required).await;
            drop(under_way);
        });
    }

    /// Records a head; true when the stream is accepted.
    pub(super) fn answered(&self, response: &reqwest::Response, accepted: bool, body: String) -> bool {
        let header = |name: &str| response.headers().get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).chars().take(200).collect());
        self.progress.state().answer = Some((response.status().as_u16(), accepted));
        self.tap().head(response, &body);
        self.record(What::Answer(Box::new(Answer {
            conn: self.conn,
            status: response.status().as_u16(),
            accepted,
            content_type: header("content-type"),
            cache_control: header("cache-control"),
            body,
        })));
        accepted
    }

    async fn stream(&self, base: &str, request: &Request, closing: &mut watch::Receiver<bool>) -> Over {
        let head = tokio::select! {
            head = self.paid_head(base, request) => head,
            _ = closing.wait_for(|closing| *closing) => Err(Over::Closed),
        };
        let mut response = match head {
            Ok(response) => response,
            Err(over) => return over,
        };
        if response.status().as_u16() != 200 {
            // SSE-1: only 200 opens a stream.
            let body = beginning(&mut response, Duration::from_millis(500)).await;
            self.answered(&response, false, body);
            return Over::Done;
        }
        self.answered(&response, true, String::new());
        let gzip = response.headers().get("content-encoding").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let mut body = Decoding::new(self, gzip);
        let over = loop {
            let chunk = tokio::select! {
                chunk = response.chunk() => chunk,
                _ = closing.wait_for(|closing| *closing) => break Over::Closed,
            };
            match chunk {
                Ok(Some(chunk)) => {
                    if let Err(why) = body.feed(&chunk) {
                        break Over::Undecodable(why);
                    }
                    if let Some(over) = self.too_much() {
                        break over;
                    }
                }
                Ok(None) => break Over::Eof(0),
                Err(error) => break Over::Broken(words(&error)),
            }
        };
        let unfinished = body.finish();
        if let Over::Eof(_) = over { Over::Eof(unfinished) } else { over }
    }

    pub(super) fn lens(&self) -> Lens<'_> {
        Lens::of(&self.profile, &self.own)
    }

    /// A stream that is a WebSocket: subscribes by the request's body as a message, and takes each text message as an event.
    async fn messages(&self, base: &str, request: &Request, closing: &mut watch::Receiver<bool>) -> Over {
        let slow = self.faults.iter().any(|fault| matches!(fault, ConnFault::Stall(_)));
        self.tap().asks(&upgrade(request));
        let opened = tokio::select! {
            opened = socket::open(base, request, slow) => opened,
            _ = closing.wait_for(|closing| *closing) => return Over::Closed,
        };
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(socket::Refused::Status(whole)) => {
                self.progress.state().answer = Some((whole.status, false));
                self.tap().hears(Some(&whole));
                let header = |name: &str| whole.header(name).map(SmolStr::from);
                self.record(What::Answer(Box::new(Answer {
                    conn: self.conn,
                    status: whole.status,
                    accepted: false,
                    content_type: header("content-type"),
                    cache_control: header("cache-control"),
                    body: excerpt(&whole),
                })));
                return Over::Done;
            }
            Err(socket::Refused::NoAnswer(NoAnswer::NotSent(why) | NoAnswer::Lost(why))) => return Over::NoAnswer(why),
        };
        self.progress.state().answer = Some((101, true));
        self.tap().hears(Some(&Whole { status: 101, ..Whole::default() }));
        if let Some(subscribe) = &request.body {
            self.tap().sends(subscribe);
        }
        let accepted =
            Answer { conn: self.conn, status: 101, accepted: true, content_type: None, cache_control: None, body: String::new() };
        self.record(What::Answer(Box::new(accepted)));
        if let Some(subscribe) = &request.body
            && let Err(error) = socket.send(Message::text(subscribe.clone())).await
        {
            return Over::Broken(error.to_string());
        }
        let mut body = Decoding::new(self, false);
        loop {
            let message = tokio::select! {
                message = socket.next() => Some(message),
                _ = closing.wait_for(|closing| *closing) => None,
            };
            let Some(message) = message else {
                // A server that does not answer a close is not waited for.
                let _ = tokio::time::timeout(Duration::from_millis(200), socket.close(None)).await;
                return Over::Closed;
            };
            match message {
                Some(Ok(Message::Text(text))) => body.message(&text),
                Some(Ok(Message::Binary(bytes))) => {
                    body.lint("RFC 6455 5.6", false, 0, "a binary message", &format!("{} bytes", bytes.len()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => body.comment(b"ping"),
                Some(Ok(Message::Close(_))) => {
                    // The answer to it is sent, but a server that then leaves the connection open is not waited for.
                    let _ = tokio::time::timeout(Duration::from_millis(200), socket.flush()).await;
                    return Over::Eof(0);
                }
                Some(Ok(Message::Frame(_))) => {}
                Some(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)) | None => return Over::Eof(0),
                Some(Err(tungstenite::Error::Io(error))) => return Over::Broken(error.to_string()),
                Some(Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake))) => {
                    return Over::Broken("the connection ended without a closing handshake".to_owned());
                }
                Some(Err(error)) => return Over::Undecodable(error.to_string()),
            }
            if let Some(over) = self.too_much() {
                return over;
            }
        }
    }

    /// Why a stream is given up that brings more than a run can keep.
    pub(super) fn too_much(&self) -> Option<Over> {
        self.recorder.full().then(|| Over::Undecodable("the server sends more than a run can keep".to_owned()))
    }

    /// Records one delivery and moves the progress on.
    pub(super) fn deliver(&self, item: Item, frame: u32) {
        let delivery = item.delivery(self.conn, frame);
        self.progress.state().take(&delivery.item);
        self.record(What::Delivery(delivery));
    }
}

/// The request that opens a WebSocket: the body is a message behind it.
fn upgrade(request: &Request) -> Request {
    let mut upgrade = Request { body: None, ..request.clone() };
    upgrade.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    upgrade
}
