//! The server under test: rooms in memory, each a numbered log, read as server-sent events from `Last-Event-ID` on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// The first event behind a replay is passed over.
    LosesAtTheSeam,
    /// A resume begins with the event that the reader has seen.
    ReplaysTheCursor,
}

#[derive(Clone)]
struct Rooms {
    rooms: Arc<Mutex<HashMap<String, Room>>>,
    defect: Option<Defect>,
}

#[derive(Clone)]
struct Room {
    log: Arc<Mutex<Vec<String>>>,
    /// How long the log is; readers wait for it to change.
    length: Arc<watch::Sender<usize>>,
}

impl Rooms {
    fn room(&self, name: String) -> Room {
        let fresh = || Room { log: Arc::default(), length: Arc::new(watch::Sender::new(0)) };
        self.rooms.lock().unwrap().entry(name).or_insert_with(fresh).clone()
    }
}

/// Serves the rooms on a free port, for as long as the test's runtime lives; their URL.
pub(crate) async fn serve(defect: Option<Defect>) -> String {
    let rooms = Rooms { rooms: Arc::default(), defect };
    let router = Router::new().route("/rooms/{room}", post(say).get(listen)).route("/up", get(StatusCode::OK)).with_state(rooms);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn say(State(rooms): State<Rooms>, Path(room): Path<String>, Json(body): Json<Value>) -> Response {
    let Some(text) = body["text"].as_str() else { return StatusCode::BAD_REQUEST.into_response() };
    let room = rooms.room(room);
    let n = {
        let mut log = room.log.lock().unwrap();
        log.push(text.to_owned());
        log.len()
    };
    room.length.send_modify(|length| *length = n.max(*length));
    (StatusCode::CREATED, Json(json!({ "n": n }))).into_response()
}

async fn listen(State(rooms): State<Rooms>, Path(room): Path<String>, headers: HeaderMap) -> Response {
    let seen = match headers.get("last-event-id").map(|id| number(id.as_bytes())) {
        None => 0,
        Some(Some(seen)) => seen,
        Some(None) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let room = rooms.room(room);
    let fence = room.log.lock().unwrap().len();
    if seen > fence {
        return StatusCode::CONFLICT.into_response();
    }
    let again = usize::from(rooms.defect == Some(Defect::ReplaysTheCursor) && seen > 0);
    let reader = Reader { next: seen - again, fence, defect: rooms.defect, lengths: room.length.subscribe(), room };
    let frames = stream::unfold(reader, |mut reader| async move {
        let frame = reader.frame().await?;
        Some((Ok::<_, Infallible>(frame), reader))
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], axum::body::Body::from_stream(frames))
        .into_response()
}

/// Digits alone (`parse` would take a sign); an empty cursor is the beginning.
fn number(text: &[u8]) -> Option<usize> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if text.is_empty() { Some(0) } else { std::str::from_utf8(text).ok()?.parse().ok() }
}

struct Reader {
    room: Room,
    lengths: watch::Receiver<usize>,
    /// Where in the log the next event is.
    next: usize,
    /// Where the replay ends.
    fence: usize,
    defect: Option<Defect>,
}

impl Reader {
    /// The next event, when there is one.
    async fn frame(&mut self) -> Option<String> {
        if self.defect == Some(Defect::LosesAtTheSeam) && self.next > 0 && self.next == self.fence {
            self.next += 1;
        }
        let next = self.next;
        self.lengths.wait_for(|length| *length > next).await.ok()?;
        self.next += 1;
        let text = self.room.log.lock().unwrap()[next].clone();
        Some(format!("id: {}\ndata: {}\n\n", next + 1, json!({ "text": text })))
    }
}
