//! Runs: what a stream looks like, where a cursor leads, what a snapshot adds up to.

use serde_json::{Value, json};

use crate::client::{Client, frames, names, rows, serve, text};
use crate::http::{ask, request};
use crate::provider::Provider;

#[tokio::test]
async fn a_run_is_its_journal_from_context_to_stream_end() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let (status, started) = client.post("/api/chat/start", &json!({ "session_id": session, "message": "one two" })).await;
    assert_eq!(status, 200);
    let run = started["stream_id"].as_str().unwrap();
    assert!(session.len() == 12 && run.len() == 32 && run.bytes().all(|b| b.is_ascii_hexdigit()), "{started}");
    let turn = started["turn_id"].as_str().unwrap();
    assert!(turn.len() == 29 && &turn[8..9] == "T" && &turn[15..17] == "Z-", "{turn}");
    let stream = client.stream(run, "&after_seq=0", None).await;
    assert_eq!(stream.status, 200);
    for header in
        ["content-type: text/event-stream; charset=utf-8", "cache-control: no-cache", "x-accel-buffering: no", "connection: close"]
    {
        assert!(stream.headers.split("\r\n").any(|line| line == header), "{header}: {}", stream.headers);
    }
    assert!(!stream.headers.contains("content-length") && !stream.headers.contains("content-encoding"), "{}", stream.headers);
    let body = stream.end().await;
    assert!(body.starts_with(&format!("id: {run}:1\nevent: context_status\ndata: {{")), "{body}");
    assert!(!body.contains("retry:"));
    let all = frames(&body);
    let expected = ["context_status", "token", "token", "metering", "done", "metering", "title_status", "title", "stream_end"];
    assert_eq!(names(&all), expected);
    assert_eq!(all.iter().map(|frame| frame.seq()).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    assert!(all.iter().all(|frame| frame.id.as_deref().unwrap().starts_with(&format!("{run}:"))));
    assert_eq!(text(&all), "one two");
    assert_eq!(all[4].data["session"]["message_count"], 2);
    assert_eq!(rows(&all[4].data["session"]), ["user: one two", "assistant: one two"]);
    assert_eq!(all[8].data, json!({ "session_id": session }));
    let shown = client.shown(&session).await;
    assert_eq!(all[4].data["session"]["messages"], shown["messages"], "what was done is what is shown");
    assert_eq!((&shown["title"], &shown["active_stream_id"], &shown["is_streaming"]), (&json!("one two"), &Value::Null, &json!(false)));
    let (_, second) = client.turn(&session, "three").await;
    assert_eq!(names(&second), ["context_status", "token", "metering", "done", "metering", "stream_end"], "no title the second time");
    assert_eq!(rows(&client.shown(&session).await).len(), 4);
}

#[tokio::test]
async fn cursors_have_an_order_of_precedence_and_unusable_ones_replay_everything() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let (run, all) = client.turn(&session, "a b c d e f g h i j k l m n o p q r s t u v w x y z").await;
    let last = all.len() as u64;
    let id = |seq: &str| format!("{run}:{seq}");
    let usable = [
        ("&after_seq=10".to_owned(), None, 11),
        (format!("&after_event_id={}", id("10")), None, 11),
        (String::new(), Some(id("10")), 11),
        ("&after_seq=5".to_owned(), Some(id("20")), 6),
        (format!("&after_seq=5&after_event_id={}", id("7")), Some(id("20")), 8),
        ("&after_seq=0".to_owned(), Some(id("20")), 1),
        ("&replay=1".to_owned(), Some(id("20")), 1),
        (String::new(), None, 1),
    ];
    for (query, header, first) in usable {
        let rest = client.rest(&run, &query, header.as_deref()).await;
        assert_eq!(rest, all[first as usize - 1..], "{query} {header:?}");
    }
    for bad in ["9999", "-3", "abc", "", "%2B3", "1.5"] {
        assert_eq!(client.rest(&run, &format!("&after_seq={bad}"), Some(&id("20"))).await, all, "{bad}");
    }
    let ahead = id(&(last + 1).to_string());
    for bad in ["ffff:3", "garbage", "10", "", &id(""), &id("-4"), &ahead] {
        assert_eq!(client.rest(&run, &format!("&after_event_id={bad}"), None).await, all, "{bad}");
        if !bad.is_empty() {
            assert_eq!(client.rest(&run, "", Some(bad)).await, all, "{bad}");
        }
    }
    for (query, header) in [(format!("&after_seq={last}"), None), (String::new(), Some(id(&last.to_string())))] {
        assert_eq!(client.stream(&run, &query, header.as_deref()).await.status, 204, "it is told to stop");
    }
    for unknown in ["", "x", "..%2f..", "%00", &"f".repeat(32)] {
        let (status, body) = client.get(&format!("/api/chat/stream?stream_id={unknown}")).await;
        assert_eq!((status, body), (404, json!({ "error": "stream not found" })), "{unknown}");
        assert_eq!(client.status(unknown).await["replay_available"], false);
    }
    assert_eq!(ask(client.at, "HEAD", &format!("/api/chat/stream?stream_id={run}"), &[], "").await.0, 501);
}

#[tokio::test]
async fn a_snapshot_and_the_tail_behind_it_are_everything() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut witness = client.stream(&run, "", None).await;
    feed.reasoning("r0 ");
    feed.text("w0 ");
    feed.text("w1 ");
    witness.until("w1 ").await;
    let shown = client.shown(&session).await;
    let snapshot = &shown["runtime_journal_snapshot"];
    assert_eq!((&shown["active_stream_id"], &shown["pending_user_message"]), (&json!(run), &json!("go")));
    assert_eq!((&snapshot["last_assistant_text"], &snapshot["last_reasoning_text"]), (&json!("w0 w1 "), &json!("r0 ")));
    assert_eq!((&snapshot["last_seq"], &shown["runtime_journal"]["last_seq"], &snapshot["messages"]), (&json!(4), &json!(4), &json!([])));
    assert_eq!(shown["runtime_journal"]["terminal_state"], "running");
    assert_eq!(rows(&shown), Vec::<String>::new());
    for (query, there) in [("&messages=0", true), ("&msg_limit=5", false), ("&messages=0&msg_limit=5", true)] {
        let (_, body) = client.get(&format!("/api/session?session_id={session}{query}")).await;
        assert_eq!(body["session"].get("runtime_journal_snapshot").is_some(), there, "{query}");
    }
    let status = client.status(&run).await;
    assert_eq!((&status["active"], &status["journal"]["terminal"]), (&json!(true), &json!(false)));
    let mut company = client.stream(&run, "", None).await;
    let mut resumed = client.stream(&run, "&after_seq=4", None).await;
    feed.text("w2 ");
    feed.finish();
    company.all().await;
    resumed.all().await;
    witness.all().await;
    let body = |answer: crate::http::Answer| frames(&String::from_utf8(answer.body).unwrap());
    let (all, tail) = (body(witness), body(resumed));
    assert_eq!(all[4..], tail[..]);
    assert_eq!(body(company), tail, "without a cursor and with company, a stream begins with what comes");
    assert_eq!(text(&all), "w0 w1 w2 ");
    assert_eq!(client.rest(&run, "", None).await, all, "what was live is what is replayed");
    let settled = client.shown(&session).await;
    assert!(settled.get("runtime_journal").is_none() && settled.get("runtime_journal_snapshot").is_none());
    assert_eq!(rows(&settled), ["user: go", "assistant: w0 w1 w2 "]);
}

#[tokio::test]
async fn what_was_said_while_nobody_was_there_waits_for_the_next_one() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut first = client.stream(&run, "", None).await;
    feed.text("w0 ");
    first.until("w0 ").await;
    drop(first);
    let cell = server.hub().find(&run).unwrap();
    let gone = async {
        while cell.lock().readers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::http::DEADLINE, gone).await.unwrap();
    feed.text("w1 ");
    feed.finish();
    let ended = async {
        let mut bell = cell.bell();
        while !cell.lock().is_closed() {
            bell.changed().await.unwrap();
        }
    };
    tokio::time::timeout(crate::http::DEADLINE, ended).await.unwrap();
    assert_eq!(text(&client.rest(&run, "", None).await), "w0 w1 ", "a turn outlives its watchers, and is kept whole");
}

#[tokio::test]
async fn tools_are_shown_and_their_results_go_back_to_the_model() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let (first, second, (third, asked)) = (provider.next(), provider.next(), provider.prepare(200));
    let run = client.say(&session, "go").await;
    let mut stream = client.stream(&run, "", None).await;
    first.text("look: ");
    first.tool("t1", "echo", &json!({ "text": "x" }));
    second.tool("t2", "ask", &json!({ "question": "may I?" }));
    stream.until("event: approval").await;
    let wrong = client.post("/api/approval/respond", &json!({ "session_id": session, "approval_id": "t1", "choice": "once" })).await;
    assert_eq!(wrong.0, 404);
    let right = client.post("/api/approval/respond", &json!({ "session_id": session, "approval_id": "t2", "choice": "once" })).await;
    assert_eq!(right, (200, json!({ "ok": true, "choice": "once" })));
    third.text("done");
    third.finish();
    let all = frames(&stream.end().await);
    let shown: Vec<&str> = names(&all).into_iter().filter(|name| *name != "metering").collect();
    let expected = [
        "context_status",
        "token",
        "interim_assistant",
        "tool",
        "tool_complete",
        "tool",
        "approval",
        "tool_complete",
        "token",
        "done",
        "title_status",
        "title",
        "stream_end",
    ];
    assert_eq!(shown, expected);
    let complete = all.iter().find(|frame| frame.name == "tool_complete").unwrap();
    assert_eq!((&complete.data["tid"], &complete.data["preview"], &complete.data["is_error"]), (&json!("t1"), &json!("x"), &json!(false)));
    let told = asked.await.unwrap();
    let roles: Vec<&str> = told["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "tool"]);
    let settled = client.shown(&session).await;
    assert_eq!(rows(&settled), ["user: go", "assistant: look: ", "tool: x", "tool: allowed", "assistant: done"]);
    // The next turn is told everything.
    let (feed, asked) = provider.prepare(200);
    feed.finish();
    client.turn(&session, "more").await;
    assert_eq!(asked.await.unwrap()["messages"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn a_failing_provider_ends_the_run_with_one_apperror() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    for (status, kind) in [(400, "error"), (401, "auth_mismatch")] {
        drop(provider.prepare(status).0);
        let (run, all) = client.turn(&session, "go").await;
        assert_eq!(names(&all), ["context_status", "apperror"]);
        assert_eq!(all[1].data["type"], kind);
        assert_eq!(client.status(&run).await["journal"]["terminal_state"], "errored");
    }
    let feed = provider.next();
    feed.text("part");
    drop(feed);
    let (_, all) = client.turn(&session, "go").await;
    assert_eq!(names(&all), ["context_status", "token", "apperror"]);
    let shown = rows(&client.shown(&session).await);
    assert_eq!(shown[shown.len() - 2], "assistant _partial: part");
    assert!(shown[shown.len() - 1].starts_with("assistant _error: "), "{shown:?}");
    let retried = provider.prepare(503).0;
    drop(retried);
    provider.next().finish();
    let (_, all) = client.turn(&session, "go").await;
    assert_eq!(names(&all)[..2], ["context_status", "warning"], "a repetition is announced");
    assert_eq!(names(&all).last(), Some(&"stream_end"));
}

#[tokio::test]
async fn a_cancel_keeps_what_was_said_and_is_said_once() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut stream = client.stream(&run, "", None).await;
    feed.text("part ");
    stream.until("part ").await;
    let (status, refused) = client.post("/api/chat/start", &json!({ "session_id": session, "message": "two" })).await;
    assert_eq!((status, &refused["active_stream_id"]), (409, &json!(run)));
    let cancel = format!("/api/chat/cancel?stream_id={run}");
    assert_eq!(client.get(&cancel).await, (200, json!({ "ok": true, "cancelled": true, "stream_id": run })));
    assert_eq!(client.get(&cancel).await, (200, json!({ "ok": true, "cancelled": false, "stream_id": run })));
    assert_eq!(client.get("/api/chat/cancel").await.0, 400);
    let all = frames(&stream.end().await);
    assert_eq!(names(&all), ["context_status", "token", "cancel"]);
    assert_eq!(client.rest(&run, "&after_seq=0", None).await, all, "with the same ids");
    let status = client.status(&run).await;
    assert_eq!((&status["active"], &status["journal"]["terminal_state"]), (&json!(false), &json!("interrupted-by-user")));
    assert_eq!(rows(&client.shown(&session).await), ["user: go", "assistant _partial: part ", "assistant _error: Task cancelled."]);
    provider.next().finish();
    assert_eq!(names(&client.turn(&session, "two").await.1).last(), Some(&"stream_end"), "a successor can start at once");
}

#[tokio::test]
async fn hostile_text_is_the_same_in_every_view() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let hostile = "a\u{85}\u{2028}\u{2029}\0\r\n\u{feff}\u{1f600}\u{b}\u{1e}\"\\ ";
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut stream = client.stream(&run, "", None).await;
    feed.text(hostile);
    feed.raw("data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\n");
    stream.until("\u{fffd}").await;
    let expected = format!("{hostile}\u{fffd}");
    assert_eq!(client.shown(&session).await["runtime_journal_snapshot"]["last_assistant_text"], expected);
    feed.finish();
    let all = frames(&stream.end().await);
    assert_eq!(text(&all), expected);
    assert_eq!(client.rest(&run, "", None).await, all);
    assert_eq!(client.shown(&session).await["messages"][1]["content"], expected);
}

#[tokio::test]
async fn silent_streams_beat_and_evicted_events_are_announced_without_an_id() {
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url, "--heartbeat", "20ms", "--retain-records", "3"]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut stream = client.stream(&run, "", None).await;
    stream.until("\n\n: heartbeat\n\n: heartbeat\n\n").await;
    for word in ["a ", "b ", "c ", "d "] {
        feed.text(word);
        stream.until(&format!("\"{word}\"")).await;
    }
    let gap = client.rest(&run, "&after_seq=1", None).await;
    assert_eq!(names(&gap), ["apperror"]);
    assert_eq!(gap[0].id, None);
    let data = &gap[0].data;
    assert_eq!(
        (&data["type"], &data["recovery_control"], &data["offline_dropped_events"]),
        (&json!("interrupted"), &json!(true), &json!(1))
    );
    let mut events = request(client.at, "GET", &format!("/api/sessions/{session}/events"), &[], "").await.unwrap();
    assert!(!events.headers.contains("connection: close"), "{}", events.headers);
    events.until(": keepalive\n\n").await;
}

/// Reads a run in short visits, each resuming by another kind of cursor, and sometimes from a snapshot; returns what it saw.
async fn hop(client: Client, session: &str, run: &str, seed: u64) -> (String, Vec<u64>) {
    use rand::{RngExt, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (mut seen, mut seqs, mut last) = (String::new(), Vec::new(), 0);
    loop {
        if random.random_bool(0.2) {
            let shown = client.shown(session).await;
            if let Some(snapshot) = shown.get("runtime_journal_snapshot").filter(|snapshot| snapshot["stream_id"] == run) {
                last = snapshot["last_seq"].as_u64().unwrap();
                seqs = (1..=last).collect();
                snapshot["last_assistant_text"].as_str().unwrap().clone_into(&mut seen);
            }
        }
        let (query, header) = match random.random_range(0..3) {
            0 => (format!("&after_seq={last}"), None),
            1 => (format!("&after_event_id={run}:{last}"), None),
            _ => (String::new(), Some(format!("{run}:{last}"))),
        };
        let mut stream = client.stream(run, &query, header.as_deref()).await;
        if stream.status == 204 {
            return (seen, seqs);
        }
        stream.listen(std::time::Duration::from_millis(random.random_range(0..8))).await;
        let body = String::from_utf8_lossy(&stream.body);
        // A visit may end inside a frame; what is whole counts.
        let whole = body.rfind("\n\n").map_or(0, |at| at + 2);
        let visit = frames(&body[..whole]);
        seen.push_str(&text(&visit));
        seqs.extend(visit.iter().map(crate::client::Frame::seq));
        last = seqs.last().copied().unwrap_or(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_and_go_see_every_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start().await;
    let server = serve(&["--provider", &provider.url, "--data", dir.path().to_str().unwrap()]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let feed = provider.next();
    let run = client.say(&session, "go").await;
    let mut witness = client.stream(&run, "&after_seq=0", None).await;
    let words = async {
        for n in 0..150 {
            let word = format!("w{n} ");
            feed.text(&word);
            witness.until(&word).await;
        }
        feed.finish();
        witness.all().await;
        frames(&String::from_utf8(std::mem::take(&mut witness.body)).unwrap())
    };
    let hops = futures_util::future::join_all((0..8).map(|seed| hop(client, &session, &run, seed)));
    let (all, hops) = tokio::time::timeout(3 * crate::http::DEADLINE, async { tokio::join!(words, hops) }).await.expect("all end");
    assert!(text(&all).ends_with("w149 ") && names(&all).last() == Some(&"stream_end"));
    let numbers: Vec<u64> = (1..=all.len() as u64).collect();
    for (seed, (seen, seqs)) in hops.into_iter().enumerate() {
        assert_eq!(seen, text(&all), "reader {seed}");
        assert_eq!(seqs, numbers, "reader {seed}");
    }
}
