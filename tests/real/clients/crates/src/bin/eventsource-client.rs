//! The crate `eventsource-client` (LaunchDarkly) as a client under test.

use clients::{headers, say, supports, url};
use eventsource_client::{Client, ClientBuilder, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;
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
    let client = builder.build_with_transport(HyperTransport::new().expect("a transport"));
    let mut stream = client.stream();
    while let Some(item) = stream.next().await {
        match item {
            Ok(SSE::Event(event)) => {
                say(&json!({ "id": event.id, "type": event.event_type, "data": event.data }));
                if event.event_type == "end" {
                    say(&json!({ "closed": "the stream has ended" }));
                    return;
                }
            }
            Ok(SSE::Comment(_) | SSE::Connected(_)) => {}
            // It goes on by itself unless the error is final for it, in which case the stream ends.
            Err(error) => eprintln!("{error}"),
        }
    }
    say(&json!({ "closed": "it ended" }));
}
