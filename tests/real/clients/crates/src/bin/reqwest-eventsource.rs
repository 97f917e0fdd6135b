//! The crate `reqwest-eventsource` as a client under test, with its default retry policy.

use clients::{headers, say, supports, url};
use futures_util::StreamExt;
use reqwest_eventsource::{Event, EventSource};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    supports(&["headers", "post"]);
    let method = std::env::var("STREAMSPEC_METHOD").map_or(reqwest::Method::GET, |m| m.parse().expect("a method"));
    let mut request = reqwest::Client::new().request(method, url());
    for (name, value) in headers() {
        request = request.header(name, value);
    }
    if let Ok(body) = std::env::var("STREAMSPEC_BODY") {
        request = request.body(body);
    }
    let mut source = EventSource::new(request).expect("the request can be repeated");
    while let Some(event) = source.next().await {
        match event {
            Ok(Event::Open) => {}
            Ok(Event::Message(message)) => {
                say(&json!({ "id": message.id, "type": message.event, "data": message.data }));
                if message.event == "end" {
                    source.close();
                    say(&json!({ "closed": "the stream has ended" }));
                    return;
                }
            }
            // It goes on by itself unless the error is final for it, in which case the stream ends.
            Err(error) => eprintln!("{error}"),
        }
    }
    say(&json!({ "closed": "it ended" }));
}
