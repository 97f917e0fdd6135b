//! The reader at work: requests, bodies, waits, the state file.
//!
//! What comes out of one chunk is given to the application as a batch and stored behind it, so a process that is killed
//! applies again at most the batch that was under way.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;

use super::bugs::{Bug, BugSet};
use super::reader::{Applied, Next, Reader, Shape, Stop, Types};
use super::state::Position;

mod mute;
mod socket;

/// A snapshot larger than this is not read.
const MOST_STATE: usize = 64 << 20;
/// How long an answer's head may take.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// The first wait for another WebSocket, whose server cannot ask for one.
const SOCKET_WAIT: Duration = Duration::from_millis(500);

/// How a stream is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Where.
    pub url: reqwest::Url,
    /// Where the state is that a reader continues from after a gap.
    pub snapshot: Option<reqwest::Url>,
    /// `GET` or `POST`.
    pub method: reqwest::Method,
    /// What is sent with each request.
    pub body: Option<String>,
    /// The caller's headers, on each request.
    pub headers: HeaderMap,
}

/// What is followed, and from where.
#[derive(Clone, Debug)]
pub struct Follow {
    /// How the stream is opened.
    pub opening: Opening,
    /// Frames that are no ordinary events.
    pub types: Types,
    /// The cursor to start behind, where nothing is stored.
    pub from: Option<String>,
    /// Where the position is stored.
    pub state: Option<PathBuf>,
    /// What messages look like, where the stream is a WebSocket.
    pub messages: Option<Shape>,
    /// Is told why no connection can be made: once, until one could be.
    pub unanswered: fn(&str),
    /// Defects.
    pub bugs: BugSet,
}

/// Why following could not go on.
#[derive(Debug)]
pub enum FollowError {
    /// The HTTP client could not be made.
    Client(String),
    /// The state file.
    State(PathBuf, io::Error),
    /// The application takes no more.
    Application(io::Error),
}

impl std::fmt::Display for FollowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FollowError::Client(why) => write!(f, "cannot make requests: {why}"),
            FollowError::State(path, error) => write!(f, "cannot keep the position in {}: {error}", path.display()),
            FollowError::Application(error) => write!(f, "cannot write events: {error}"),
        }
    }
}

impl std::error::Error for FollowError {}

/// Follows a stream until it ends, is refused, or `closing` turns true. Each batch of what is applied goes to `apply`, which
/// has applied it when it returns.
///
/// # Errors
/// When the position cannot be stored or `apply` fails.
pub async fn follow(
    what: Follow,
    mut closing: watch::Receiver<bool>,
    apply: impl FnMut(&[Applied]) -> io::Result<()>,
) -> Result<Stop, FollowError> {
    let stored = restore(&what)?;
    let fresh = stored.is_none();
    let mut reader = Reader::new(what.types.clone(), what.opening.snapshot.is_some(), stored, what.bugs);
    if what.messages.is_some() {
        reader.waits_at_first(SOCKET_WAIT);
    }
    if let Some(from) = what.from.as_deref().filter(|_| fresh) {
        reader.start_at(from);
    }
    let client = http_client(what.bugs)?;
    let asked = what.opening.url.clone();
    let mut at_work = AtWork { what, client, reader, apply, asked, requests: 0, unstored: 0, told: false };
    tokio::select! {
        biased;
        () = closed(&mut closing, at_work.what.bugs) => {}
        stop = at_work.run() => return stop,
    }
    at_work.give(&[Applied::Closed { closed: "by the application".to_owned() }])?;
    Ok(Stop::Ended)
}

async fn closed(closing: &mut watch::Receiver<bool>, bugs: BugSet) {
    let told = closing.wait_for(|closing| *closing).await.is_ok();
    if !told || bugs.has(Bug::AppliesAfterClose) {
        std::future::pending::<()>().await;
    }
}

/// What was stored. A damaged file says nothing that could be trusted, so the stream is read from the beginning.
fn restore(what: &Follow) -> Result<Option<Position>, FollowError> {
    let Some(path) = what.state.as_ref().filter(|_| !what.bugs.has(Bug::ForgetsState)) else { return Ok(None) };
    match Position::load(path) {
        Ok(stored) => Ok(stored),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let text = std::fs::read(path).unwrap_or_default();
            let cursor: String = String::from_utf8_lossy(&text).chars().filter(char::is_ascii_graphic).collect();
            Ok(what.bugs.has(Bug::TrustsState).then(|| Position::at(cursor)))
        }
        Err(error) => Err(FollowError::State(path.clone(), error)),
    }
}

/// A client that keeps no connection for later: each request has its own.
pub(super) fn http_client(bugs: BugSet) -> Result<reqwest::Client, FollowError> {
    // Fails only when a provider is chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = if bugs.has(Bug::NoRedirects) { reqwest::redirect::Policy::none() } else { reqwest::redirect::Policy::limited(10) };
    let builder = reqwest::Client::builder().pool_max_idle_per_host(0).tcp_nodelay(true).redirect(redirects);
    builder.build().map_err(|e| FollowError::Client(e.to_string()))
}

struct AtWork<A> {
    what: Follow,
    client: reqwest::Client,
    reader: Reader,
    apply: A,
    /// Where the next request goes.
    asked: reqwest::Url,
    requests: u32,
    unstored: u32,
    /// It was told that no connection can be made.
    told: bool,
}

impl<A: FnMut(&[Applied]) -> io::Result<()>> AtWork<A> {
    async fn run(&mut self) -> Result<Stop, FollowError> {
        loop {
            let mut next = match self.what.messages.clone() {
                Some(shape) => self.socket(&shape).await?,
                None => self.connection().await?,
            };
            loop {
                match next {
                    Next::Read => unreachable!("a connection is over when it hands over a decision"),
                    Next::Stop(stop) => {
                        if stop == Stop::Ended {
                            self.forget()?;
                        }
                        return Ok(stop);
                    }
                    Next::Reconnect(wait) => {
                        tokio::time::sleep(wait).await;
                        break;
                    }
                    Next::Refetch => next = self.refetch().await?,
                }
            }
        }
    }

    /// One connection, from its request to its end.
    async fn connection(&mut self) -> Result<Next, FollowError> {
        let presented = self.reader.present();
        let Some(request) = self.request(presented.as_deref()) else {
            self.give(&[Applied::Error { error: "the cursor fits into no header".to_owned() }])?;
            return Ok(Next::Stop(Stop::Refused));
        };
        self.requests += 1;
        let mut response = match tokio::time::timeout(HEAD_WITHIN, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Ok(self.no_answer(&error)),
            Err(late) => return Ok(self.no_answer(&late)),
        };
        self.told = false;
        if self.what.bugs.has(Bug::StaysRedirected) {
            self.asked = response.url().clone();
        }
        let mut out = Vec::new();
        let content_type = response.headers().get("content-type").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let mut next = self.reader.answered(response.status().as_u16(), content_type.as_deref(), presented.is_some(), &mut out);
        self.hand_over(&mut out)?;
        while next == Next::Read {
            next = match response.chunk().await {
                Ok(Some(chunk)) => self.reader.chunk(&chunk, &mut out),
                Ok(None) => self.reader.ended(true, &mut out),
                Err(_) => self.reader.ended(false, &mut out),
            };
            self.hand_over(&mut out)?;
        }
        Ok(next)
    }

    /// No connection could be made.
    fn no_answer(&mut self, error: &dyn std::error::Error) -> Next {
        let next = self.reader.no_answer();
        if !std::mem::replace(&mut self.told, true) && matches!(next, Next::Reconnect(_)) {
            // The innermost reason says most, and the others repeat the address.
            let mut why = error;
            while let Some(source) = why.source() {
                why = source;
            }
            (self.what.unanswered)(&format!("{} does not answer ({why}); trying again", self.asked));
        }
        next
    }

    /// The request; `None` when it cannot be made.
    fn request(&self, presented: Option<&str>) -> Option<reqwest::RequestBuilder> {
        let Follow { opening, bugs, .. } = &self.what;
        let again = self.requests > 0;
        let method = if again && bugs.has(Bug::GetsAgain) { reqwest::Method::GET } else { opening.method.clone() };
        let mut request = self.client.request(method, self.asked.clone());
        if !bugs.has(Bug::NoAccept) {
            // SSE-7: an event stream, and none from a cache.
            request = request.header("Accept", "text/event-stream").header("Cache-Control", "no-cache");
        }
        if !(again && bugs.has(Bug::HeadersOnce)) {
            request = request.headers(opening.headers.clone());
        }
        if let Some(body) = opening.body.as_ref().filter(|_| !(again && bugs.has(Bug::BodyOnce))) {
            request = request.body(body.clone());
        }
        let Some(cursor) = presented else { return Some(request) };
        let cursor = if bugs.has(Bug::AsciiId) { cursor.replace(|c: char| !c.is_ascii(), "?") } else { cursor.to_owned() };
        match HeaderValue::from_bytes(cursor.as_bytes()) {
            Ok(value) => Some(request.header(HeaderName::from_static("last-event-id"), value)),
            // SSE-27: what a header cannot carry is not sent, and does not stop the reconnect.
            Err(_) => Some(request).filter(|_| !bugs.has(Bug::StopsAtOddId)),
        }
    }

    /// Gives a batch to the application, then stores where the reader stands.
    fn hand_over(&mut self, out: &mut Vec<Applied>) -> Result<(), FollowError> {
        if out.is_empty() {
            return Ok(());
        }
        self.give(out)?;
        self.unstored += 1;
        out.clear();
        let Some(path) = &self.what.state else { return Ok(()) };
        if self.what.bugs.has(Bug::SavesSeldom) && !self.unstored.is_multiple_of(4) {
            return Ok(());
        }
        self.reader.position().save(path).map_err(|e| FollowError::State(path.clone(), e))
    }

    fn give(&mut self, batch: &[Applied]) -> Result<(), FollowError> {
        (self.apply)(batch).map_err(FollowError::Application)
    }

    /// The cursor of a stream that has ended is of no more use, and would be presented to another one of that name.
    fn forget(&self) -> Result<(), FollowError> {
        match &self.what.state {
            Some(path) if !self.what.bugs.has(Bug::KeepsState) => Position::clear(path).map_err(|e| FollowError::State(path.clone(), e)),
            Some(_) | None => Ok(()),
        }
    }

    async fn refetch(&mut self) -> Result<Next, FollowError> {
        let mut out = Vec::new();
        let next = match self.snapshot().await {
            Ok(state) => {
                let cursor = state.get("cursor").and_then(|c| c.as_str()).map(str::to_owned);
                self.reader.refetched(state, cursor, &mut out)
            }
            Err(why) => {
                let wait = self.reader.not_refetched(why, &mut out);
                self.give(&out)?;
                tokio::time::sleep(wait).await;
                return Ok(Next::Refetch);
            }
        };
        self.hand_over(&mut out)?;
        Ok(next)
    }

    async fn snapshot(&self) -> Result<serde_json::Value, String> {
        let Opening { snapshot, headers, .. } = &self.what.opening;
        let url = snapshot.clone().ok_or("there is no snapshot to fetch")?;
        let fetched = async {
            let mut response = self.client.get(url).headers(headers.clone()).send().await.map_err(|e| e.to_string())?;
            if response.status() != 200 {
                return Err(format!("status {}", response.status().as_u16()));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| e.to_string())? {
                body.extend_from_slice(&chunk);
                if body.len() > MOST_STATE {
                    return Err(format!("it is larger than {} MiB", MOST_STATE >> 20));
                }
            }
            serde_json::from_slice(&body).map_err(|e| format!("it is no JSON: {e}"))
        };
        let answer = tokio::time::timeout(HEAD_WITHIN, fetched).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        answer.map_err(|why| format!("the snapshot cannot be fetched: {why}"))
    }
}
