//! Sessions over REST. A change of a title is the cheapest replayable event.

use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{Answered, Refusal, ok, parse, text};
use super::rows::Info;
use super::{Scope, Server, Shared};
use crate::hub::now;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    title: Option<Box<RawValue>>,
}

impl Body {
    fn read(body: &str) -> Result<Option<Box<RawValue>>, Refusal> {
        let Body { title } = parse(body)?;
        match title {
            Some(title) if !title.get().starts_with('"') => Err(Refusal::bad("title: expected a string".to_owned())),
            title => Ok(title),
        }
    }
}

impl Server {
    pub(super) fn session(&self, id: &str) -> Result<Info, Refusal> {
        self.rows.find(id).ok_or_else(|| Refusal::not_found(&format!("Session not found: {id}")))
    }
}

pub(super) async fn create(State(server): State<Shared>, Query(scope): Query<Scope>, body: String) -> Answered {
    let untitled = || serde_json::value::to_raw_value("New session").expect("text is JSON");
    let info = Info::new(scope.directory(), Body::read(&body)?.unwrap_or_else(untitled), now());
    let _order = server.writing.lock().await;
    server.rows.create(&info).await?;
    server.ring.say(&info.directory, "session.created", &info.event()).await?;
    server.ring.say(&info.directory, "session.updated", &info.event()).await?;
    text(&info.json())
}

pub(super) async fn list(State(server): State<Shared>, Query(scope): Query<Scope>) -> Answered {
    let directory = scope.directory.clone();
    let all: Vec<Info> = server.rows.all().into_iter().filter(|info| directory.as_ref().is_none_or(|d| *d == info.directory)).collect();
    ok(&all)
}

pub(super) async fn read(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    text(&server.session(&id)?.json())
}

pub(super) async fn rename(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let title = Body::read(&body)?;
    // A change that is not stored yet is seen by the next one all the same.
    let order = server.writing.lock().await;
    let mut info = server.session(&id)?;
    info.title = title.unwrap_or(info.title);
    info.touch(now());
    let stored = server.rows.update(&info);
    let said = server.ring.say(&info.directory, "session.updated", &info.event());
    drop(order);
    // Many changes share a commit; what is answered is on disk and in the ring.
    stored.await?;
    said.await?;
    text(&info.json())
}

pub(super) async fn remove(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let running = server.turns().get(&id).cloned();
    if let Some(running) = running {
        running.stop(super::STOP_WITHIN).await;
    }
    let _order = server.writing.lock().await;
    let info = server.session(&id)?;
    server.rows.remove(&id).await?;
    server.ring.say(&info.directory, "session.deleted", &info.event()).await?;
    ok(&true)
}

pub(super) async fn messages(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    server.session(&id)?;
    ok(&server.rows.messages(&id))
}
