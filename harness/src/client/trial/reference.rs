//! The reference server behind the fault proxy, in place of a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use streamspec_reference_server::session::{Append, Retention};
use streamspec_reference_server::{Dialect, Running, ServeOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::case::Reference;
use super::log::Saw;
use super::shared::Shared;
use crate::world::live::proxy::{Framing, Link, LinkConfig};

/// The one session.
const SESSION: &str = "s";

/// A server with its proxy.
pub(super) struct Backend {
    pub(super) link: Link,
    running: Running,
}

impl Backend {
    /// Starts the server, fills the session and sets the plans.
    pub(super) async fn start(reference: &Reference) -> Result<Backend, String> {
        let options = ServeOptions {
            dialect: Dialect::Sse,
            data: None,
            port: 0,
            host: std::net::Ipv4Addr::LOCALHOST.into(),
            store: None,
            retain_records: None,
            retain_bytes: None,
            retain_age: None,
            heartbeat: Duration::from_millis(500),
            provider: None,
            workspace: None,
            password: None,
            backoff: Duration::from_secs(5),
            bugs: Vec::new(),
        };
        let running = streamspec_reference_server::start(&options).await.map_err(|e| e.to_string())?;
        running.hub().open(SESSION.to_owned(), Retention::default()).await.map_err(|e| format!("{e:?}"))?;
        let observer = Arc::new(|_| {});
        let config = LinkConfig { upstream: running.address(), framing: Framing::Sse, origin: Instant::now(), observer };
        let link = Link::open(config).await.map_err(|e| format!("the proxy cannot listen: {e}"))?;
        reference.plans.iter().for_each(|plan| link.plan(plan.clone()));
        let backend = Backend { link, running };
        for n in 1..=reference.before {
            backend.publish("message", Reference::payload(n), false).await?;
        }
        Ok(backend)
    }

    /// Publishes what is live, and closes the session.
    pub(super) async fn go_on(&self, reference: &Reference) -> Result<(), String> {
        for n in reference.before + 1..=reference.before + reference.live {
            self.publish("message", Reference::payload(n), false).await?;
        }
        self.publish("end", r#"{"reason":"closed"}"#.to_owned(), true).await
    }

    async fn publish(&self, event_type: &str, data: String, terminal: bool) -> Result<(), String> {
        let append = Append { event_type: event_type.into(), data: data.into(), key: None, terminal };
        self.running.hub().append(SESSION, append).await.map(drop).map_err(|e| format!("{e:?}"))
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        drop(self.link);
        self.running.stop().await;
    }
}

/// Passes a request for the stream on, and the answer back as it comes, the way it ends included.
pub(super) async fn relay(mut client: TcpStream, upstream: SocketAddr, rest: &[u8], nth: u32, shared: &Shared) {
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        shared.saw(Saw::Ended { nth, how: "the proxy did not accept" });
        return;
    };
    let _ = server.set_nodelay(true);
    let request = [format!("GET /sessions/{SESSION}/events HTTP/1.1\r\n").as_bytes(), rest].concat();
    let _ = server.write_all(&request).await;
    let (mut down, mut up) = ([0; 16 << 10], [0; 1024]);
    let mut passed = 0;
    loop {
        tokio::select! {
            read = server.read(&mut down) => match read {
                Ok(0) => {
                    shared.saw(Saw::Ended { nth, how: "end of body" });
                    let _ = client.shutdown().await;
                    return;
                }
                Ok(count) => {
                    if client.write_all(&down[..count]).await.is_err() {
                        shared.saw(Saw::Left { nth });
                        return;
                    }
                    if passed == 0 {
                        shared.saw(Saw::Sent { nth, says: "the reference server's answer".to_owned() });
                    }
                    passed += count;
                }
                Err(_) => {
                    shared.saw(Saw::Ended { nth, how: "reset" });
                    let _ = client.set_zero_linger();
                    return;
                }
            },
            read = client.read(&mut up) => {
                if !matches!(read, Ok(1..)) {
                    shared.saw(Saw::Left { nth });
                    return;
                }
            }
        }
    }
}
