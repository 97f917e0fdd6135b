//! Sessions: the streams over all runs, the pings, deletion.

use serde_json::json;

use crate::client::{Client, Frame, frames, names, serve, text};
use crate::http::{Answer, request};
use crate::provider::Provider;

async fn events(client: Client, session: &str, cursor: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = cursor.map(|id| ("Last-Event-ID", id)).into_iter().collect();
    request(client.at, "GET", &format!("/api/sessions/{session}/events"), &headers, "").await.unwrap()
}

fn id(frame: &Frame) -> Option<&str> {
    frame.id.as_deref()
}

#[tokio::test]
async fn a_session_stream_goes_from_run_to_run() {
    let server = serve(&["--heartbeat", "30ms"]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let mut early = events(client, &session, None).await;
    let (_, first) = client.turn(&session, "one").await;
    let (_, second) = client.turn(&session, "two").await;
    let whole: Vec<Frame> = first.iter().chain(&second).cloned().collect();
    let last =
        format!("id: {}\nevent: stream_end\ndata: {{\"session_id\":\"{session}\"}}\n\n", second.last().unwrap().id.as_ref().unwrap());
    assert_eq!(frames(&early.until(&last).await), whole, "who was there from the start sees every run");
    let mut resumed = events(client, &session, id(&first[2])).await;
    assert_eq!(frames(&resumed.until(&last).await), whole[3..]);
    let mut at_the_end = events(client, &session, id(second.last().unwrap())).await;
    at_the_end.until(": keepalive\n\n").await;
    let mut fresh = events(client, &session, None).await;
    fresh.until(": keepalive\n\n").await;
    let (_, third) = client.turn(&session, "three").await;
    for mut stream in [at_the_end, fresh] {
        let end = third.last().unwrap().id.clone().unwrap();
        stream.until(&format!("id: {end}\nevent: stream_end\n")).await;
        stream.until(": keepalive").await;
        let body = String::from_utf8(stream.body.clone()).unwrap();
        let whole = &body[..body.rfind("\n\n").unwrap() + 2];
        assert_eq!(frames(whole), third, "neither replays anything");
    }
    let query = format!("/api/sessions/{session}/events?after_event_id={}", id(&first[2]).unwrap());
    let both = request(client.at, "GET", &query, &[("Last-Event-ID", id(&first[4]).unwrap())], "").await.unwrap();
    let mut both = both;
    assert_eq!(frames(&both.until(&last).await), whole[5..], "the header comes first");
}

#[tokio::test]
async fn a_cursor_that_is_not_exact_gets_a_snapshot_instead_of_a_replay() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let (session, other) = (client.session().await, client.session().await);
    let (run, all) = client.turn(&session, "one").await;
    let (foreign, _) = client.turn(&other, "two").await;
    let beyond = format!("{run}:{}", all.len() + 1);
    for bad in ["junk", "3", &format!("{run}:0"), &format!("{run}:-1"), &beyond, &format!("{foreign}:2")] {
        let mut stream = events(client, &session, Some(bad)).await;
        let shown = frames(&stream.until("\n\n").await);
        assert_eq!((names(&shown), &shown[0].id), (vec!["session_snapshot"], &None), "{bad}");
        assert_eq!(shown[0].data["session"]["session_id"], session.as_str());
        assert!(shown[0].data["session"].get("messages").is_none());
    }
    let (status, body) = client.get("/api/sessions/nothing/events").await;
    assert_eq!((status, body), (404, json!({ "error": "Session not found" })));
}

#[tokio::test]
async fn a_session_that_is_too_long_gets_a_snapshot_for_every_cursor() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    for (words, name) in [(4000, "token"), (200, "session_snapshot")] {
        let (run, all) = client.turn(&session, &"x ".repeat(words)).await;
        let cursor = format!("{run}:2");
        let mut stream = events(client, &session, Some(&cursor)).await;
        let shown = frames(&stream.until("\n\n").await);
        assert_eq!(names(&shown), [name], "after {} more rows", all.len());
    }
}

#[tokio::test]
async fn pings_say_that_something_has_changed() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let mut list = request(client.at, "GET", "/api/sessions/events", &[], "").await.unwrap();
    let mut pings = request(client.at, "GET", &format!("/api/session/stream?session_id={session}"), &[], "").await.unwrap();
    pings.until("event: initial\n").await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    pings.until("event: server_turn_started\n").await;
    list.until("event: sessions_changed\n").await;
    feed.finish();
    let all = pings.until(&format!("event: session-updated\ndata: {{\"session_id\":\"{session}\",\"stream_id\":\"{run}\"}}\n\n")).await;
    assert_eq!(names(&frames(&all)), ["initial", "server_turn_started", "session-updated"]);
    assert!(!all.contains("id: "));
    assert_eq!(client.get("/api/session/stream").await.0, 400);
    assert_eq!(client.get("/api/session/stream?session_id=x").await.0, 404);
}

#[tokio::test]
async fn a_deleted_session_is_gone_from_everywhere() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    provider.next().finish();
    let (settled, _) = client.turn(&session, "one").await;
    let feed = provider.next();
    let run = client.say(&session, "two").await;
    let mut stream = client.stream(&run, "", None).await;
    let mut over_all = events(client, &session, None).await;
    feed.text("w0 ");
    stream.until("w0 ").await;
    let deleted = client.post("/api/session/delete", &json!({ "session_id": session })).await;
    assert_eq!(deleted, (200, json!({ "ok": true })));
    stream.all().await;
    over_all.all().await;
    for run in [&settled, &run] {
        assert_eq!(client.get(&format!("/api/chat/stream?stream_id={run}")).await.0, 404);
        assert_eq!(client.status(run).await["replay_available"], false);
    }
    assert_eq!(client.get(&format!("/api/session?session_id={session}")).await.0, 404);
    assert_eq!(client.get("/api/sessions").await.1, json!({ "sessions": [] }));
    assert_eq!(client.post("/api/session/delete", &json!({ "session_id": session })).await.0, 404);
    // The same name again is another session.
    let (status, _) = client.post("/api/session/new", &json!({ "session_id": session })).await;
    assert_eq!(status, 200);
    let feed = provider.next();
    feed.text("new");
    feed.finish();
    let (_, all) = client.turn(&session, "three").await;
    assert_eq!((all[0].seq(), text(&all).as_str()), (1, "new"));
}

#[tokio::test]
async fn one_turn_at_a_time_however_many_ask() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let _feed = provider.next();
    let body = json!({ "session_id": session, "message": "go" });
    let all = futures_util::future::join_all((0..8).map(|_| client.post("/api/chat/start", &body))).await;
    let started = all.iter().filter(|(status, _)| *status == 200).count();
    let refused = all.iter().filter(|(status, _)| *status == 409).count();
    assert_eq!((started, refused), (1, 7), "{all:?}");
}
