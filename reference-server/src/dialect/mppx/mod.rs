//! The dialect `mppx`: streams that are paid by the item (`402 Payment Required`, scheme `Payment`).
//!
//! Routes are here; what a request proves in `credential.rs`, what accounts do about it in `payment.rs`, the metered stream
//! in `stream.rs`, answers and their headers in `answer.rs`. Items are sessions of the hub, accounts stand in the book.

mod answer;
mod credential;
mod payment;
mod stream;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::bugs::Bug;
use crate::hub::{Answer, Hub};
use crate::money::Book;
use crate::session::{Append, Refusal};
use answer::Problem;
use credential::Terms;
use payment::Granted;

/// Largest request body.
const MOST_BODY: usize = 8 << 20;
/// The price of an item.
const PRICE: u64 = 1;

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    book: Arc<Book>,
    /// Streams that wait for payment.
    waiting: Arc<stream::Waiting>,
    /// When the newest challenge was given, in milliseconds; none has the time of another.
    given: Arc<AtomicU64>,
}

/// The routes.
pub(crate) fn router(hub: Arc<Hub>, book: Book) -> Router {
    let shared = Shared { hub, book: Arc::new(book), waiting: Arc::default(), given: Arc::default() };
    Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/items/{name}", post(publish))
        .route("/stream/{name}", any(metered))
        .route("/answer/{name}", any(paid))
        .route("/accounts/{id}", get(account))
        .fallback(any(|| async { Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this path").into_response() }))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(shared)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Items {
    items: Vec<String>,
    end: bool,
    fail: Option<String>,
}

/// Appends items to a stream, which exists from its first publish; `end` and `fail` end it.
async fn publish(State(shared): State<Shared>, Path(name): Path<String>, body: String) -> Response {
    let items: Items = match serde_json::from_str(&body) {
        Ok(items) => items,
        Err(error) => return Problem::new(StatusCode::BAD_REQUEST, "bad-request", &error.to_string()).into_response(),
    };
    // A data line of a stream cannot carry it: readers of the standard take it for the line's end.
    if items.items.iter().any(|item| item.contains('\r')) {
        return Problem::new(StatusCode::BAD_REQUEST, "bad-request", "an item cannot hold a carriage return").into_response();
    }
    if shared.hub.find(&name).is_none() {
        match shared.hub.open(name.clone(), shared.hub.retention).await {
            Ok(_) | Err(Answer::Exists) => {}
            Err(Answer::Unknown | Answer::Refused(_) | Answer::Store(_)) => return unavailable(),
        }
    }
    let append =
        |event_type: &str, data: String, terminal| Append { event_type: event_type.into(), data: data.into(), key: None, terminal };
    let ending = match (&items.fail, items.end) {
        (Some(why), _) => Some(append("fail", json!(why).to_string(), true)),
        (None, true) => Some(append("end", "null".to_owned(), true)),
        (None, false) => None,
    };
    let all = items.items.iter().map(|item| append("item", json!(item).to_string(), false)).chain(ending).collect();
    match shared.hub.append_all(&name, all).await {
        Ok(()) => {
            let count = shared.hub.find(&name).map_or(0, |cell| cell.lock().head().seq);
            (StatusCode::CREATED, Json(json!({ "items": count }))).into_response()
        }
        Err(Answer::Refused(Refusal::Closed)) => Problem::new(StatusCode::CONFLICT, "conflict", "the stream has ended").into_response(),
        Err(Answer::Unknown | Answer::Exists | Answer::Refused(_) | Answer::Store(_)) => unavailable(),
    }
}

fn unavailable() -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the server cannot keep this now").into_response()
}

/// What the seller knows of an account, for whoever runs the server.
async fn account(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match shared.book.find(&id.to_ascii_lowercase()) {
        None => Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such account").into_response(),
        Some(account) => Json(json!({
            "channelId": account.id,
            "acceptedCumulative": account.accepted.to_string(),
            "spent": account.spent.to_string(),
            "units": account.units,
            "deposit": account.deposit.to_string(),
            "settled": account.settled.map(|amount| amount.to_string()),
            "waiting": shared.waiting.count(&account.id),
        }))
        .into_response(),
    }
}

#[derive(Debug, Default)]
struct Query {
    from: u64,
    deposit: Option<u64>,
    expires: Option<u64>,
}

impl Query {
    fn of(uri: &Uri) -> Query {
        let mut query = Query::default();
        for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "from" => query.from = value.parse().unwrap_or(0),
                "deposit" => query.deposit = value.parse().ok(),
                "expires" => query.expires = value.parse().ok(),
                _ => {}
            }
        }
        query
    }

    fn terms(&self) -> Terms {
        Terms { deposit: self.deposit.unwrap_or(100), lifetime: self.expires.unwrap_or(300) }
    }
}

/// A stream of items, each paid before it is sent.
async fn metered(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    // Before any payment: what is not there cannot be sold.
    let Some(cell) = shared.hub.find(&name) else {
        return Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such stream").into_response();
    };
    if !matches!(method, Method::GET | Method::HEAD | Method::POST) {
        return not_allowed();
    }
    let query = Query::of(&uri);
    match payment::settle(&shared, &method, &headers, body.is_empty(), &query.terms()) {
        Err(refusal) => refusal,
        Ok(Granted::Managed(answer)) => answer,
        Ok(Granted::Content { account, challenge, expires }) => {
            if let Err(short) = account.covers(PRICE) {
                return payment::insufficient(&shared, &query.terms(), &account, &short);
            }
            if shared.hub.bugs.has(Bug::OpeningCharged) {
                let _ = shared.book.change(&account.id, None, |a| a.charge(PRICE));
            }
            stream::open(&shared, cell, account.id, challenge, query.from, expires)
        }
    }
}

/// Paid requests that are answered with something else than a stream: one unit, and none when the handler fails.
async fn paid(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if !matches!(name.as_str(), "json200" | "json500") {
        return Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such answer").into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD | Method::POST) {
        return not_allowed();
    }
    let terms = Query::of(&uri).terms();
    match payment::settle(&shared, &method, &headers, body.is_empty(), &terms) {
        Err(refusal) => refusal,
        Ok(Granted::Managed(answer)) => answer,
        Ok(Granted::Content { account, challenge, .. }) => {
            if let Err(short) = account.covers(PRICE) {
                return payment::insufficient(&shared, &terms, &account, &short);
            }
            if name == "json500" {
                if shared.hub.bugs.has(Bug::ErrorAsStream) {
                    let body = "event: message\ndata: out of order\n\n";
                    return (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/event-stream")], body).into_response();
                }
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the handler is out of order").into_response();
            }
            match shared.book.change(&account.id, None, |a| a.charge(PRICE)) {
                Ok(Ok(account)) => answer::with_receipt(Json(json!({ "ok": true })).into_response(), &account, &challenge, None),
                Ok(Err(_)) => payment::insufficient(
                    &shared,
                    &terms,
                    &account,
                    &crate::money::Short { required: account.spent + PRICE, accepted: account.accepted, deposit: account.deposit },
                ),
                Err(_) => unavailable(),
            }
        }
    }
}

fn not_allowed() -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this path does not take that method");
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD, POST"));
    response
}

/// A response without a body.
fn empty(status: StatusCode) -> Response {
    (status, Body::empty()).into_response()
}
