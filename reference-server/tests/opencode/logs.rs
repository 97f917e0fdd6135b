//! Sessions, their numbers, and the pages of their logs.

use serde_json::{Value, json};

use crate::client::{Client, brief, frames, serve};

#[tokio::test]
async fn the_first_public_row_is_number_one_and_pages_join_to_the_log() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    for n in 1..=3 {
        assert_eq!(client.row(&session, "a").await, n);
    }
    client.call("PATCH", &format!("/session/{session}"), &json!({ "title": "t" })).await;
    assert_eq!(client.row(&session, "b").await, 5, "the private row has taken 4");
    let page = async |query: &str| {
        let (status, page) = client.history(&session, query).await;
        assert_eq!(status, 200, "{query}: {page}");
        let seqs: Vec<u64> = page["data"].as_array().unwrap().iter().map(|row| row["durable"]["seq"].as_u64().unwrap()).collect();
        (seqs, page["hasMore"].as_bool().unwrap())
    };
    assert_eq!(page("limit=3").await, (vec![1, 2, 3], true));
    assert_eq!(page("limit=3&after=3").await, (vec![5], false));
    assert_eq!(page("limit=4").await, (vec![1, 2, 3, 5], false), "full, and the last");
    assert_eq!(page("after=4").await, (vec![5], false), "a private row's number is a place, too");
    assert_eq!(page("after=5").await, (vec![], false));
    assert_eq!(page("after=99").await, (vec![], false), "above the head there is nothing yet");
    assert_eq!(page("after=0").await, page("after=").await);
    for bad in ["after=-1", "after=abc", "after=1.5", "after=1&after=2", "limit=0", "limit=101", "limit=x"] {
        let (status, body) = client.history(&session, bad).await;
        assert_eq!((status, body["_tag"].as_str()), (400, Some("InvalidRequestError")), "{bad}");
    }
    let (status, body) = client.history("ses_none", "").await;
    assert_eq!((status, &body["_tag"], &body["sessionID"]), (404, &json!("SessionNotFoundError"), &json!("ses_none")));
    server.stop().await;
}

#[tokio::test]
async fn a_row_is_the_same_on_every_surface_and_behind_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap()];
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let mut live = client.stream("/api/event").await;
    live.until("server.connected").await;
    let session = client.session().await;
    client.row(&session, "what ever").await;
    let seen = frames(&live.until("what ever\"}}}\n\n").await);
    assert_eq!(brief(&seen), ["server.connected", "0 session.created", "1 prompt.admitted"]);
    assert!(seen[0].get("durable").is_none());
    let mut tail = client.stream(&format!("/api/session/{session}/event")).await;
    let tailed = frames(&tail.until("\n\n").await);
    let pages = client.rows(&session).await;
    assert_eq!(pages, tailed);
    let mut shown = seen[2].clone();
    assert_eq!(shown.as_object_mut().unwrap().remove("location"), Some(json!({ "directory": "/proj" })));
    assert_eq!(vec![shown], pages);
    assert_eq!(pages[0]["durable"], json!({ "aggregateID": session, "seq": 1, "version": 1 }));
    server.stop().await;
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    assert_eq!(client.rows(&session).await, pages);
    assert_eq!(client.row(&session, "next").await, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_prompt_is_one_row_and_another_content_is_a_conflict() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let session = client.session().await;
    let prompt = |text: &str| json!({ "id": "msg_1", "prompt": { "text": text }, "resume": false });
    let first = client.prompt(&session, prompt("a")).await;
    assert_eq!(client.prompt(&session, prompt("a")).await, first);
    let (status, body) = client.prompt(&session, prompt("b")).await;
    assert_eq!((status, body["_tag"].as_str()), (409, Some("ConflictError")));
    assert_eq!(client.rows(&session).await.len(), 1);
    for bad in [json!({}), json!({ "prompt": {} }), json!({ "id": "x", "prompt": { "text": "a" } })] {
        assert_eq!(client.prompt(&session, bad.clone()).await.0, 400, "{bad}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_takes_a_deleted_ones_id_goes_on_above_its_numbers() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap()];
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let session = client.session().await;
    client.row(&session, "a").await;
    client.row(&session, "b").await;
    let tail = client.stream(&format!("/api/session/{session}/event")).await;
    assert_eq!(client.call("DELETE", &format!("/session/{session}"), &Value::Null).await, (200, json!(true)));
    assert_eq!(frames(&tail.end().await).len(), 2, "an open tail ends");
    assert_eq!(client.history(&session, "").await.0, 404);
    // The deletion took 3, and is remembered.
    server.stop().await;
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let (status, _) = client.call("POST", "/api/session", &json!({ "id": session })).await;
    assert_eq!(status, 200);
    assert_eq!(client.row(&session, "c").await, 5);
    assert_eq!(client.stream(&format!("/api/session/{session}/event?after=2")).await.status, 400);
    assert_eq!(brief(&client.rows(&session).await), ["5 prompt.admitted"]);
    server.stop().await;
}
