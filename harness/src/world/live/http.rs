//! Operations and finite reads over HTTP. An answer that does not come is an outcome, not an error.

use std::cell::RefCell;
use std::sync::Once;
use std::time::Duration;

use serde_json::Value;

use super::proxy::{Fault, Framing, Link, LinkConfig, Plan};
use super::server::{Server, ServerError};
use crate::contract::{Binding, Operation, StatusSet};
use crate::history::{Outcome, Probe};
use crate::run::binding::{Finite, Request, Vars, for_operation, for_page, for_stream, see_document, taken};
use crate::scenario::PublishFault;
use crate::world::{Call, PageAnswer, Reply};

/// Largest answer that is read whole.
pub(super) const MOST_ANSWER: usize = 64 << 20;
/// How much of a refusal is kept.
const MOST_REFUSAL: usize = 400;

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
        Ok(Clients { operations: RefCell::new(build(8)?), streams: build(0)? })
    }

    /// Forgets connections to a server that is gone.
    pub(super) fn renew(&self) -> Result<(), ServerError> {
        *self.operations.borrow_mut() = build(8)?;
        Ok(())
    }

    fn operations(&self) -> reqwest::Client {
        self.operations.borrow().clone()
    }

    pub(super) fn streams(&self) -> reqwest::Client {
        self.streams.clone()
    }
}

fn build(idle: usize) -> Result<reqwest::Client, ServerError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only when the program that uses this library has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .pool_max_idle_per_host(idle)
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::limited(5))
        .build()
        .map_err(|e| ServerError::Own(format!("cannot set up the HTTP client: {e}")))
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

/// An answer, read whole.
struct Whole {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Whole {
    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    fn excerpt(&self) -> String {
        self.body[..self.body.floor_char_boundary(MOST_REFUSAL)].to_owned()
    }
}

enum NoAnswer {
    /// The request never reached the server.
    NotSent(String),
    /// It may have.
    Lost(String),
}

async fn send(client: &reqwest::Client, base: &str, request: &Request, within: Duration) -> Result<Whole, NoAnswer> {
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

async fn read(mut response: reqwest::Response) -> Result<Whole, String> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
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

fn unknown(why: NoAnswer) -> Reply {
    let outcome = match why {
        NoAnswer::NotSent(why) => Outcome::Failed { status: 0, body: why },
        NoAnswer::Lost(why) => Outcome::Unknown { why },
    };
    Reply { outcome, taken: Default::default() }
}

fn judge(operation: &Operation, whole: &Whole) -> Reply {
    let done = operation.ok.as_ref().map_or((200..300).contains(&whole.status), |ok: &StatusSet| ok.contains(whole.status));
    if !done {
        return Reply { outcome: Outcome::Failed { status: whole.status, body: whole.excerpt() }, taken: Default::default() };
    }
    let json = whole.json();
    let take = |source: &String| taken(source, json.as_ref(), |name| whole.header(name));
    let taken = operation
        .take
        .iter()
        .filter_map(|(name, source)| Some((name.clone(), take(source)?)))
        .collect::<std::collections::BTreeMap<_, _>>();
    Reply { outcome: Outcome::Ok { status: whole.status, cursor: taken.get("cursor").cloned() }, taken }
}

/// Performs an operation.
pub(super) async fn call(server: &Server, binding: &Binding, mut vars: Vars, call: Call, within: Duration) -> Reply {
    let absent = |what: &str| unknown(NoAnswer::NotSent(format!("the profile has no `binding.{what}`")));
    let (operation, fault) = match &call {
        Call::Open(retain) => {
            let retain = retain.unwrap_or_default();
            for (name, bound) in [("retain_records", retain.records), ("retain_bytes", retain.bytes), ("retain_age_ms", retain.age_ms)] {
                if let Some(bound) = bound {
                    vars.number(name, bound);
                }
            }
            match &binding.open {
                Some(open) => (open, None),
                None => return absent("open"),
            }
        }
        Call::Publish { payload, event_type, key, durable, fault } => {
            vars.text("payload", payload.clone()).text("type", event_type.clone());
            if let Some(key) = key {
                vars.text("key", key.clone());
            }
            let operation = if *durable { &binding.publish } else { &binding.publish_ephemeral };
            match operation {
                Some(publish) => (publish, *fault),
                None => return absent(if *durable { "publish" } else { "publish_ephemeral" }),
            }
        }
        Call::Close => match &binding.close {
            Some(close) => (close, None),
            None => return absent("close"),
        },
        Call::Delete => match &binding.delete {
            Some(delete) => (delete, None),
            None => return absent("delete"),
        },
        Call::Health => match &binding.health {
            Some(health) => (health, None),
            None => return absent("health"),
        },
        Call::Probe(probe) => return self::probe(server, binding, vars, *probe, within).await,
    };
    let request = for_operation(binding, operation, &vars);
    let answer = match fault {
        None => send(&server.clients().operations(), &server.base(), &request, within).await,
        Some(fault) => send_broken(server, &request, fault, within).await,
    };
    match answer {
        Ok(whole) => judge(operation, &whole),
        Err(why) => unknown(why),
    }
}

/// Sends a request through a link that loses its answer.
async fn send_broken(server: &Server, request: &Request, fault: PublishFault, within: Duration) -> Result<Whole, NoAnswer> {
    let Some(upstream) = server.upstream() else { return Err(NoAnswer::NotSent("the proxy cannot read https".to_owned())) };
    let config = LinkConfig { upstream, framing: Framing::None, origin: std::time::Instant::now(), observer: std::sync::Arc::new(|_| ()) };
    let link = Link::open(config).await.map_err(|e| NoAnswer::NotSent(e.to_string()))?;
    link.plan(Plan::from(match fault {
        PublishFault::DropAnswer => Fault::DropAnswer,
        PublishFault::Duplicate => Fault::DuplicateRequest,
    }));
    let base = format!("http://{}", link.address());
    send(&server.clients().streams(), &base, request, within).await
}

/// Requests that a right server refuses; the outcome is `Ok` when it did not.
async fn probe(server: &Server, binding: &Binding, mut vars: Vars, probe: Probe, within: Duration) -> Reply {
    let from = crate::history::From::Start;
    let requests = match probe {
        Probe::UnknownSession => vec![for_stream(binding, &vars, &from)],
        Probe::WrongMethod => vec![Request { method: "PATCH".to_owned(), ..for_stream(binding, &vars, &from) }],
        Probe::PublishUnknown => {
            vars.text("payload", "to nobody").text("type", "message");
            binding.publish.iter().map(|publish| for_operation(binding, publish, &vars)).collect()
        }
        Probe::SenselessLimit => {
            let limit = |n: i64| {
                let mut vars = vars.clone();
                vars.number("limit", n);
                binding.history.as_ref().map(|history| for_page(binding, Finite::History(history), &vars))
            };
            [0, -1, 1_000_000_000].into_iter().filter_map(limit).collect()
        }
    };
    let client = server.clients().streams();
    let mut last = unknown(NoAnswer::NotSent("the profile cannot ask that".to_owned()));
    for request in &requests {
        let exchange = async {
            let builder = prepare(&client, &server.base(), request).map_err(NoAnswer::NotSent)?;
            let mut response = builder.send().await.map_err(|e| NoAnswer::Lost(words(&e)))?;
            let body = beginning(&mut response, Duration::from_millis(300)).await;
            Ok((response.status().as_u16(), body))
        };
        last = match tokio::time::timeout(within, exchange).await {
            Err(_) => unknown(NoAnswer::Lost(format!("no answer within {} s", within.as_secs()))),
            Ok(Err(why)) => unknown(why),
            Ok(Ok((status, _))) if status < 300 => {
                return Reply { outcome: Outcome::Ok { status, cursor: None }, taken: Default::default() };
            }
            Ok(Ok((status, body))) => Reply { outcome: Outcome::Failed { status, body }, taken: Default::default() },
        };
    }
    last
}

/// Reads one page of history, or the snapshot.
pub(super) async fn page(
    server: &Server,
    binding: &Binding,
    finite: Finite<'_>,
    vars: &Vars,
    within: Duration,
) -> Result<PageAnswer, String> {
    let request = for_page(binding, finite, vars);
    let whole = send(&server.clients().operations(), &server.base(), &request, within).await.map_err(|why| match why {
        NoAnswer::NotSent(why) | NoAnswer::Lost(why) => why,
    })?;
    let operation = match finite {
        Finite::History(history) => &history.operation,
        Finite::Snapshot(snapshot) => &snapshot.operation,
    };
    let accepted = operation.ok.as_ref().map_or((200..300).contains(&whole.status), |ok| ok.contains(whole.status));
    let document = whole.json().unwrap_or(Value::Null);
    let take = |source: &str| taken(source, Some(&document), |name| whole.header(name));
    let (seen, cursor, more) = match finite {
        Finite::History(history) => {
            let more = history.more.as_deref().and_then(|pointer| document.pointer(pointer)?.as_bool());
            (see_document(binding, &document, &history.events), history.next.as_deref().and_then(take), more)
        }
        Finite::Snapshot(snapshot) => {
            let seen = snapshot.items.as_deref().map_or_else(Vec::new, |items| see_document(binding, &document, items));
            (seen, take(&snapshot.cursor), None)
        }
    };
    Ok(PageAnswer {
        status: whole.status,
        accepted,
        content_type: whole.header("content-type"),
        seen: if accepted { seen } else { Vec::new() },
        cursor: cursor.filter(|_| accepted),
        more,
        body: if accepted { String::new() } else { whole.excerpt() },
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
