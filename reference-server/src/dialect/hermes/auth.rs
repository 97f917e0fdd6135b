//! The password: with one, every call under `/api/` needs the cookie of a login. And requests of foreign pages are refused.

use std::collections::HashSet;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Answered, Refusal, object, ok};
use super::{Shared, event, hex};
use crate::bugs::Bug;
use crate::hub::{Hub, now};

/// The core session whose events are the logins; a reader that reconnects after a restart is still logged in.
pub(super) const LOGINS: &str = "logins";
const COOKIE: &str = "hermes_session";

/// The logins that were kept.
pub(super) fn stored(hub: &Hub) -> HashSet<String> {
    let Some(cell) = hub.find(LOGINS) else { return HashSet::new() };
    let events = cell.lock().snapshot(now()).events;
    events.iter().filter_map(|event| serde_json::from_str(&event.data).ok()).collect()
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).filter_map(|one| one.trim().split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
}

pub(super) async fn login(State(server): State<Shared>, body: String) -> Answered {
    let body = object(&body)?;
    let given = body["password"].as_str().unwrap_or_default();
    if server.password.as_deref().is_some_and(|password| password != given) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Invalid password"));
    }
    let login = hex(32);
    server.hub.append(LOGINS, event("login", &json!(login))).await?;
    let cookie = format!("{COOKIE}={login}; HttpOnly; Path=/; SameSite=Lax");
    server.logins.lock().expect("nobody panics while holding the logins").insert(login);
    let mut response = ok(json!({ "ok": true }))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie.parse().expect("hexadecimal digits are visible ASCII"));
    Ok(response)
}

/// Lets only those in who are logged in, and no writing call that another site's page has made.
pub(super) async fn guard(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let (path, headers) = (request.uri().path(), request.headers());
    let closed = path.starts_with("/api/") || path == "/health" && server.hub.bugs.has(Bug::HealthNeedsLogin);
    let public = !closed || path == "/api/auth/login" || path == "/api/chat/stream" && server.hub.bugs.has(Bug::StreamWithoutLogin);
    if server.password.is_some() && !public {
        let logins = server.logins.lock().expect("nobody panics while holding the logins");
        if !cookie(headers, COOKIE).is_some_and(|login| logins.contains(login)) {
            drop(logins);
            return Refusal::new(StatusCode::UNAUTHORIZED, "Authentication required").into_response();
        }
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != text(header::HOST));
    if foreign && request.method() == Method::POST {
        return Refusal::new(StatusCode::FORBIDDEN, "Cross-origin request rejected").into_response();
    }
    next.run(request).await
}
