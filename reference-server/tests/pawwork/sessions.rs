//! Turns, the password, the stream of one directory, and what the command line refuses.

use clap::Parser;
use serde_json::{Value, json};
use streamspec_reference_server::ServeOptions;

use crate::client::{Client, serve, shown};
use crate::http::{ask, request};

#[tokio::test]
async fn a_turn_has_the_frames_of_the_dossiers_transcript() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let mut live = client.stream(None).await;
    let session = client.session("/proj").await;
    let prompt = json!({ "parts": [{ "type": "text", "text": "hello you" }] });
    assert_eq!(client.call("POST", &format!("/session/{session}/prompt_async"), &prompt).await.0, 204);
    live.until("session.idle").await;
    live.until(&format!("\"session.idle\",\"properties\":{{\"sessionID\":\"{session}\"}}}}}}\n\n")).await;
    let updated = "- message.part.updated";
    assert_eq!(
        shown(std::str::from_utf8(&live.body).unwrap()),
        [
            ":0 server.connected",
            ":1 session.created",
            ":2 session.updated",
            "- message.updated",
            updated,
            ":3 session.updated",
            ":4 session.status busy",
            ":5 session.status busy",
            "- message.updated",
            ":6 session.status busy",
            updated,
            updated,
            "- message.part.delta",
            "- message.part.delta",
            updated,
            updated,
            "- message.updated",
            ":7 session.status busy",
            "- message.updated",
            ":8 session.status idle",
            "- session.idle",
        ]
    );
    let (_, said) = client.call("GET", &format!("/session/{session}/message"), &Value::Null).await;
    let roles: Vec<&str> = said.as_array().unwrap().iter().map(|message| message["info"]["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant"]);
    assert_eq!(said[1]["parts"][1]["text"], "hello you");
    server.stop().await;
}

#[tokio::test]
async fn with_a_password_every_surface_demands_it() {
    let server = serve(&["--password", "open sesame"]).await;
    let at = server.address();
    let right = ("authorization", "Basic b3BlbmNvZGU6b3BlbiBzZXNhbWU=");
    for (method, path) in [("GET", "/global/event"), ("GET", "/event"), ("GET", "/session"), ("POST", "/global/dispose"), ("GET", "/none")]
    {
        assert_eq!(ask(at, method, path, &[], "").await.0, 401, "{path}");
        assert_eq!(ask(at, method, path, &[("authorization", "Basic b3BlbmNvZGU6eA==")], "").await.0, 401, "{path}");
        assert_ne!(request(at, method, path, &[right], "").await.unwrap().status, 401, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_directorys_stream_ends_with_its_disposal() {
    let server = serve(&[]).await;
    let client = Client::of(&server);
    let mut stream = request(client.at, "GET", "/event?directory=/a", &[], "").await.unwrap();
    stream.until("server.connected").await;
    client.session("/b").await;
    client.session("/a").await;
    client.dispose("/instance/dispose?directory=/a").await;
    let body = stream.end().await;
    let types: Vec<Value> = body
        .split("\n\n")
        .filter_map(|block| block.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap()["type"].clone())
        .collect();
    assert_eq!(types, ["server.connected", "session.created", "session.updated", "server.instance.disposed"]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = serve(&[]).await;
    let at = server.address();
    assert_eq!(ask(at, "PATCH", "/session/nobody", &[], "{\"title\":\"x\"}").await.0, 404);
    assert_eq!(ask(at, "POST", "/session", &[], "{\"title\":7}").await.0, 400);
    assert_eq!(ask(at, "POST", "/session", &[], "{").await.0, 400);
    assert_eq!(ask(at, "POST", "/permission/nobody/reply", &[], "{\"reply\":\"once\"}").await.0, 404);
    server.stop().await;
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        _options: ServeOptions,
    }
    for bad in ["--retain-records=-1", "--retain-records=1.5", "--retain-records=0", "--retain-age=-1s", "--retain-age=NaN"] {
        assert!(Arguments::try_parse_from(["serve", "--dialect", "pawwork", bad]).is_err(), "{bad}");
    }
}
