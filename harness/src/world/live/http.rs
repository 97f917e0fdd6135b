//! Operations and finite reads over HTTP. An answer that does not come is an outcome, not an error.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::Value;
use smol_str::SmolStr;

use super::operation::Site;
use super::server::{Server, ServerError};
use crate::run::binding::{Finite, Lens, Request, Vars, for_page, see_document, see_snapshot, taken};
use crate::world::{PageAnswer, Whole};

/// Largest answer that is read whole.
pub(super) const MOST_ANSWER: usize = 64 << 20;
/// How much is read of a stream that is only looked at.
const MOST_OVERHEARD: usize = 256 << 10;
/// How much of a refusal is kept.
const MOST_REFUSAL: usize = 400;

/// How many connections wait for the next operation: as many as a worker's cases have operations under way.
const IDLE: usize = 64;

/// The HTTP clients of a worker.
#[derive(Debug)]
pub struct Clients {
    operations: RefCell<reqwest::Client>,
    streams: reqwest::Client,
}

impl Clients {
    /// Two clients: operations keep their connections, streams do not.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new() -> Result<Clients, ServerError> {
        Ok(Clients { operations: RefCell::new(build(IDLE)?), streams: build(0)? })
    }

    /// Forgets connections to a server that is gone.
    pub(super) fn renew(&self) -> Result<(), ServerError> {
        *self.operations.borrow_mut() = build(IDLE)?;
        Ok(())
    }

    pub(super) fn operations(&self) -> reqwest::Client {
        self.operations.borrow().clone()
    }

    pub(super) fn streams(&self) -> reqwest::Client {
        self.streams.clone()
    }
}

/// What all clients trust. The system's certificates are hundreds of files, too many to be read at every start of a server.
static TRUST: LazyLock<Result<rustls::ClientConfig, String>> = LazyLock::new(|| {
    // The process's own default is left to the program that uses this library.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| e.to_string())?;
    // A slim container has no certificates. Plain HTTP needs none; over https no server is trusted then.
    let without = builder.clone().with_root_certificates(rustls::RootCertStore::empty());
    Ok(builder.with_platform_verifier().unwrap_or(without).with_no_client_auth())
});

fn build(idle: usize) -> Result<reqwest::Client, ServerError> {
    let cannot = |why: String| ServerError::Own(format!("cannot set up the HTTP client: {why}"));
    let trust = TRUST.as_ref().map_err(|why| cannot(why.clone()))?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(trust.clone())
        .pool_max_idle_per_host(idle)
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::limited(5))
        .build()
        .map_err(|e| cannot(e.to_string()))
}

/// The request to a base address, as the client library has it.
pub(super) fn prepare(client: &reqwest::Client, base: &str, request: &Request) -> Result<reqwest::RequestBuilder, String> {
    let method = reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|_| format!("`{}` is no method", request.method))?;
    let mut builder = client.request(method, format!("{base}{}", request.target));
    for (name, value) in &request.headers {
        let value =
            reqwest::header::HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("no header can carry the value of `{name}`"))?;
        builder = builder.header(name.as_str(), value);
    }
    if let Some(body) = &request.body {
        builder = builder.body(body.clone());
    }
    Ok(builder)
}

/// An error of the client library with its causes.
pub(super) fn words(error: &reqwest::Error) -> String {
    let mut said = Vec::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        said.push(cause.to_string());
        next = cause.source();
    }
    // The outermost text names the URL, which the record has already.
    said.dedup();
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

/// The beginning of an answer's body, for reports.
pub(super) fn excerpt(whole: &Whole) -> String {
    whole.body[..whole.body.floor_char_boundary(MOST_REFUSAL)].to_owned()
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The request never reached the server.
    NotSent(String),
    /// It may have.
    Lost(String),
}

pub(super) async fn send(client: &reqwest::Client, base: &str, request: &Request, within: Duration) -> Result<Whole, NoAnswer> {
    let builder = prepare(client, base, request).map_err(NoAnswer::NotSent)?;
    let exchange = async {
        let response =
            builder.send().await.map_err(|e| if e.is_connect() { NoAnswer::NotSent(words(&e)) } else { NoAnswer::Lost(words(&e)) })?;
        read(response).await.map_err(NoAnswer::Lost)
    };
    match tokio::time::timeout(within, exchange).await {
        Ok(whole) => whole,
        Err(_) => Err(NoAnswer::Lost(format!("no answer within {} s", within.as_secs()))),
    }
}

/// As [`send`]; of a stream, which has no end, only the beginning is read.
pub(super) async fn ask(client: &reqwest::Client, base: &str, request: &Request, within: Duration) -> Result<Whole, NoAnswer> {
    let builder = prepare(client, base, request).map_err(NoAnswer::NotSent)?;
    let exchange = async {
        let mut response =
            builder.send().await.map_err(|e| if e.is_connect() { NoAnswer::NotSent(words(&e)) } else { NoAnswer::Lost(words(&e)) })?;
        let stream = |value: &reqwest::header::HeaderValue| value.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream");
        if !response.headers().get("content-type").is_some_and(stream) {
            return read(response).await.map_err(NoAnswer::Lost);
        }
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let status = response.status().as_u16();
        Ok(Whole { status, headers, body: beginning(&mut response, Duration::from_millis(200)).await })
    };
    match tokio::time::timeout(within, exchange).await {
        Ok(whole) => whole,
        Err(_) => Err(NoAnswer::Lost(format!("no answer within {} s", within.as_secs()))),
    }
}

async fn read(mut response: reqwest::Response) -> Result<Whole, String> {
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| words(&e))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_ANSWER {
            return Err(format!("the answer is longer than {} MiB", MOST_ANSWER >> 20));
        }
    }
    Ok(Whole { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// The beginning of a response's body, bounded in size and time.
pub(super) async fn beginning(response: &mut reqwest::Response, within: Duration) -> String {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < MOST_REFUSAL
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk[..chunk.len().min(MOST_REFUSAL)]);
        }
    };
    // A body that does not end is as good as what has come of it.
    let _ = tokio::time::timeout(within, reading).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    text[..text.floor_char_boundary(MOST_REFUSAL)].to_owned()
}

/// As [`send`]; an answer that does not end is read until it is `enough`, or the time is over, or it grew too long.
pub(super) async fn overhear(
    client: &reqwest::Client,
    base: &str,
    request: &Request,
    within: Duration,
    enough: impl Fn(&str) -> bool,
) -> Result<Whole, String> {
    let builder = prepare(client, base, request)?;
    let until = tokio::time::Instant::now() + within;
    let late = || format!("no answer within {} s", within.as_secs());
    let mut response = tokio::time::timeout_at(until, builder.send()).await.map_err(|_| late())?.map_err(|e| words(&e))?;
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while body.len() < MOST_OVERHEARD
        && let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(until, response.chunk()).await
    {
        body.extend_from_slice(&chunk);
        if enough(&String::from_utf8_lossy(&body)) {
            break;
        }
    }
    body.truncate(MOST_OVERHEARD);
    Ok(Whole { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Reads one page of history, or the snapshot.
pub(super) async fn page(at: &Site<'_>, lens: Lens<'_>, finite: Finite<'_>, vars: &Vars) -> Result<PageAnswer, String> {
    let request = for_page(at.binding, finite, vars);
    let whole = send(&at.server.clients().operations(), &at.server.base(), &request, at.within).await;
    at.tap.asks(&request);
    at.tap.hears(whole.as_ref().ok());
    let whole = whole.map_err(|why| match why {
        NoAnswer::NotSent(why) | NoAnswer::Lost(why) => why,
    })?;
    let operation = match finite {
        Finite::History(history) => &history.operation,
        Finite::Snapshot(snapshot) => &snapshot.operation,
    };
    let accepted = operation.ok.as_ref().map_or((200..300).contains(&whole.status), |ok| ok.contains(whole.status));
    let document = whole.json().unwrap_or(Value::Null);
    let take = |source: &str| taken(source, Some(&document), |name| whole.header(name).map(str::to_owned));
    let (seen, cursor, more) = match finite {
        Finite::History(history) => {
            let more = history.more.as_deref().and_then(|pointer| document.pointer(pointer)?.as_bool());
            (see_document(lens, &document, &history.events), history.next.as_deref().and_then(take), more)
        }
        Finite::Snapshot(snapshot) => {
            let seen = see_snapshot(lens, &document, snapshot.items.as_deref());
            (seen, take(&snapshot.cursor), None)
        }
    };
    Ok(PageAnswer {
        status: whole.status,
        accepted,
        content_type: whole.header("content-type").map(SmolStr::from),
        seen: if accepted { seen } else { Vec::new() },
        cursor: cursor.filter(|_| accepted).map(Into::into),
        more,
        body: if accepted { String::new() } else { excerpt(&whole) },
        text: whole.body,
    })
}

/// Opens a stream, waits for its head and drops it; true when it was accepted.
pub(super) async fn touch(server: &Server, request: &Request, within: Duration) -> bool {
    let Ok(builder) = prepare(&server.clients().streams(), &server.base(), request) else { return false };
    match tokio::time::timeout(within, builder.send()).await {
        Ok(Ok(response)) => response.status().is_success(),
        Ok(Err(_)) | Err(_) => false,
    }
}
