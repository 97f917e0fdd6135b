//! The crate `eventsource-client` (LaunchDarkly) as a client under test.

use clients::{headers, say, supports, url};
use eventsource_client::{Client, ClientBuilder, SSE};
use futures_util::TryStreamExt;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    supports(&["headers", "post"]);
    let mut builder = ClientBuilder::for_url(&url()).expect("a URL");
    for (name, value) in headers() {
        builder = builder.header(&name, &value).expect("a header");
    }
    if let Ok(method) = std::env::var("STREAMSPEC_METHOD") {
        builder = builder.method(method);
    }
    if let Ok(body) = std::env::var("STREAMSPEC_BODY") {
        builder = builder.body(body);
    }
    let client = builder.build_http();
    let mut stream = client.stream();
    loop {
        match stream.try_next().await {
            Ok(Some(SSE::Event(event))) => {
                say(&json!({ "id": event.id, "type": event.event_type, "data": event.data }));
                if event.event_type == "end" {
                    say(&json!({ "closed": "the stream has ended" }));
                    return;
                }
            }
            Ok(Some(SSE::Comment(_) | SSE::Connected(_))) => {}
            Ok(None) => return say(&json!({ "closed": "it ended" })),
            Err(error) => {
                eprintln!("{error}");
                if matches!(error, eventsource_client::Error::StreamClosed) {
                    return say(&json!({ "closed": error.to_string() }));
                }
            }
        }
    }
}
