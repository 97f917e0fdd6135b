//! What a client sees, as text, in small scripts that say the same on every run against the right server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::http::{Answer, ask, member, request};

/// How long a probe waits for what a bug may keep from it.
const PATIENCE: Duration = Duration::from_millis(600);
/// A stream that says nothing for so long has said what it had to say.
const QUIET: Duration = Duration::from_millis(150);

/// The lines of a probe, and where it asks.
pub(crate) struct Probe {
    at: SocketAddr,
    said: Vec<String>,
}

/// A payload that breaks what is not careful: four bytes, line breaks as escapes, Unicode's own line breaks, controls.
const HOSTILE: &str = "{\"data\":\"🦀 \\r\\n \\u0000\\u0007 \u{85}\u{2028}\u{2029}\"}";

impl Probe {
    pub(crate) fn new(at: SocketAddr) -> Probe {
        Probe { at, said: Vec::new() }
    }

    /// After a restart.
    pub(crate) fn moved(self, at: SocketAddr) -> Probe {
        Probe { at, ..self }
    }

    /// What was seen, with epochs made alike.
    pub(crate) fn said(self) -> Vec<String> {
        self.said.iter().map(|line| alike(line)).collect()
    }

    fn say(&mut self, what: &str, seen: impl std::fmt::Debug) {
        self.said.push(format!("{what}: {seen:?}"));
    }

    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let seen = tokio::time::timeout(PATIENCE, ask(self.at, method, path, headers, body)).await;
        let text = seen.as_ref().map_or(String::new(), |(_, text)| text.clone());
        self.say(&format!("{method} {path} {headers:?} {body:.60}"), seen);
        text
    }

    async fn open(&mut self, body: &str) -> String {
        member(&self.ask("POST", "/sessions", &[], body).await, "epoch")
    }

    async fn publish(&mut self, count: usize) {
        for n in 1..=count {
            self.ask("POST", "/sessions/s/events", &[], &format!(r#"{{"data":"p{n}"}}"#)).await;
        }
    }

    async fn subscribe(&mut self, path: &str, cursor: &str) -> Option<Answer> {
        let headers = [("Last-Event-ID", cursor)];
        let asked = request(self.at, "GET", path, &headers, "");
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        self.say(
            &format!("subscribe {path} {cursor}"),
            answer.as_ref().map(|a| (a.status, a.headers.split("date:").next().map(str::to_owned))),
        );
        answer
    }

    /// Everything that a stream says until it has been quiet for a while, or has ended.
    async fn listen(&mut self, what: &str, stream: &mut Option<Answer>) {
        let Some(stream) = stream else { return };
        let ended = stream.listen(QUIET).await;
        let body = String::from_utf8(stream.body.clone()).map_err(|_| "no UTF-8");
        self.say(what, (ended, body));
    }

    pub(crate) async fn a_life(mut self) -> Probe {
        let e = self.open(r#"{"id":"s"}"#).await;
        let mut first = self.subscribe("/sessions/s/events", "").await;
        self.ask("POST", "/sessions/s/events", &[], HOSTILE).await;
        self.publish(11).await;
        self.ask("POST", "/sessions/s/events", &[], &format!(r#"{{"data":"{}"}}"#, "x".repeat(70_000))).await;
        self.ask("POST", "/sessions/s/events", &[], r#"{"type":"note","data":"ephemeral","durable":false}"#).await;
        self.publish(2).await;
        self.listen("live up to 15", &mut first).await;
        for cursor in [0, 4, 4, 15] {
            let mut stream = self.subscribe("/sessions/s/events", &format!("{e}:{cursor}")).await;
            self.listen("replay", &mut stream).await;
        }
        self.publish(1).await;
        self.ask("POST", "/sessions/s/close", &[], "").await;
        self.listen("live to the end", &mut first).await;
        for cursor in [12, 16, 17] {
            let mut stream = self.subscribe("/sessions/s/events", &format!("{e}:{cursor}")).await;
            self.listen("after the end", &mut stream).await;
        }
        self.publish(1).await;
        self.ask("GET", "/sessions/s/snapshot", &[], "").await;
        let mut after = String::new();
        for _ in 0..4 {
            let page = self.ask("GET", &format!("/sessions/s/history?limit=5&after={after}"), &[], "").await;
            after = member(&page, "next");
        }
        self
    }

    pub(crate) async fn refusals(mut self) -> Probe {
        let e = self.open(r#"{"id":"s"}"#).await;
        let other = self.open(r#"{"id":"t"}"#).await;
        self.publish(3).await;
        for _ in 0..2 {
            self.ask("POST", "/sessions/t/events", &[], r#"{"data":"secret"}"#).await;
        }
        let cursors =
            ["junk".to_owned(), format!("{e}:0x1"), format!("{e}:9"), format!("{other}:1"), "0badcafe:1".to_owned(), String::new()];
        for cursor in &cursors {
            let mut stream = self.subscribe("/sessions/s/events", cursor).await;
            self.listen("cursor", &mut stream).await;
        }
        let mut both = self.subscribe(&format!("/sessions/s/events?after={e}:1"), &format!("{e}:3")).await;
        self.listen("both", &mut both).await;
        for (method, path, body) in [
            ("GET", "/sessions/none/events", ""),
            ("PUT", "/sessions/s/events", ""),
            ("GET", "/sessions/s/history?limit=0", ""),
            ("POST", "/sessions/none/events", r#"{"data":1}"#),
            ("POST", "/sessions/s/events", r#"{"type":"a\nb","data":1}"#),
            ("POST", "/sessions", r#"{"id":"n","retain":{"records":-1}}"#),
            ("DELETE", "/sessions/s", ""),
            ("GET", "/sessions/s/events", ""),
        ] {
            self.ask(method, path, &[], body).await;
        }
        self
    }

    pub(crate) async fn keys(mut self) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        let mut live = self.subscribe("/sessions/s/events", "").await;
        for body in [r#"{"data":"a"}"#, r#"{"data":"b"}"#, r#"{"data":"a"}"#] {
            self.ask("POST", "/sessions/s/events", &[("Idempotency-Key", "k")], body).await;
        }
        self.publish(2).await;
        self.ask("POST", "/sessions/s/events", &[("Idempotency-Key", "k")], r#"{"data":"a"}"#).await;
        self.listen("live", &mut live).await;
        self
    }

    pub(crate) async fn eviction(mut self) -> Probe {
        let e = self.open(r#"{"id":"s","retain":{"records":4}}"#).await;
        self.publish(10).await;
        for cursor in [0, 3, 6, 8] {
            let mut stream = self.subscribe("/sessions/s/events", &format!("{e}:{cursor}")).await;
            self.listen("replay", &mut stream).await;
        }
        self.ask("DELETE", "/sessions/s", &[], "").await;
        self.open(r#"{"id":"s","retain":{"age_ms":1}}"#).await;
        self.publish(2).await;
        let old = Instant::now() + Duration::from_millis(3);
        tokio::time::sleep_until(old.into()).await;
        self.ask("GET", "/sessions/s/history", &[], "").await;
        self
    }

    pub(crate) async fn company(mut self) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        self.open(r#"{"id":"t"}"#).await;
        let mut elsewhere = self.subscribe("/sessions/t/events", "").await;
        let mut readers = Vec::new();
        for _ in 0..6 {
            readers.push(self.subscribe("/sessions/s/events", "").await);
        }
        self.publish(6).await;
        for _ in 0..6 {
            readers.push(self.subscribe("/sessions/s/events", "").await);
        }
        let e = readers[0].as_ref().and_then(|r| String::from_utf8(r.body.clone()).ok()).unwrap_or_default();
        let e = e.split("\"cursor\":\"").nth(1).map_or(String::new(), |rest| rest[..8].to_owned());
        let cursor = format!("{e}:5");
        readers.push(self.subscribe("/sessions/s/events", &cursor).await);
        readers.push(self.subscribe("/sessions/s/events", &cursor).await);
        self.publish(4).await;
        // Together, because each is waited for until it is quiet.
        let heard = readers.iter_mut().map(async |reader| match reader {
            Some(reader) => reader.listen(QUIET).await,
            None => true,
        });
        futures_util::future::join_all(heard).await;
        for reader in readers.iter().flatten() {
            self.say("reader", String::from_utf8_lossy(&reader.body));
        }
        self.listen("elsewhere", &mut elsewhere).await;
        let mut replay = self.subscribe("/sessions/t/events", "").await;
        self.listen("replay elsewhere", &mut replay).await;
        self
    }

    /// A wake-up that is lost shows when nothing else happens; a heartbeat must not hide it.
    pub(crate) async fn quiet(mut self) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        let headers = [("Accept-Encoding", "gzip")];
        let asked = request(self.at, "GET", "/sessions/s/events", &headers, "");
        let mut live = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        self.say("headers", live.is_some());
        self.publish(3).await;
        let mut beats = 0;
        let heard = async {
            if let Some(live) = &mut live {
                live.until(": heartbeat\n\n: heartbeat").await;
                beats += 1;
                let body = String::from_utf8_lossy(&live.body).into_owned();
                return (1..=3).map(|n| body.contains(&format!("p{n}"))).collect();
            }
            Vec::new()
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await;
        self.say("heard", (heard, beats));
        self
    }

    pub(crate) async fn before_a_restart(mut self) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        self.publish(3).await;
        self.ask("POST", "/sessions/s/events", &[("Idempotency-Key", "k")], r#"{"data":"keyed"}"#).await;
        self.open(r#"{"id":"short","retain":{"age_ms":1}}"#).await;
        for _ in 0..2 {
            self.ask("POST", "/sessions/short/events", &[], r#"{"data":"gone"}"#).await;
        }
        let old = Instant::now() + Duration::from_millis(3);
        tokio::time::sleep_until(old.into()).await;
        self
    }

    pub(crate) async fn after_a_restart(mut self) -> Probe {
        self.ask("GET", "/sessions/s/history", &[], "").await;
        self.ask("POST", "/sessions/s/events", &[("Idempotency-Key", "k")], r#"{"data":"keyed"}"#).await;
        self.publish(2).await;
        self.ask("GET", "/sessions/s/history", &[], "").await;
        self.ask("POST", "/sessions/short/events", &[], r#"{"data":"next"}"#).await;
        self
    }

    /// Many at once: only what must hold is said, for nobody knows who comes first.
    pub(crate) async fn races(mut self) -> Probe {
        let e = self.open(r#"{"id":"s"}"#).await;
        let at = self.at;
        self.publish(1).await;
        let mut readers = [self.subscribe("/sessions/s/events", "").await, self.subscribe("/sessions/s/events", &format!("{e}:1")).await];
        let tasks: Vec<_> = (0..40)
            .map(|n| tokio::spawn(async move { ask(at, "POST", "/sessions/s/events", &[], &format!(r#"{{"data":"r{n}"}}"#)).await.1 }))
            .collect();
        let mut cursors = Vec::new();
        for task in tasks {
            cursors.push(member(&task.await.unwrap(), "cursor"));
        }
        self.say("distinct", cursors.iter().collect::<BTreeSet<_>>().len());
        let mut orders = Vec::new();
        for reader in &mut readers {
            let Some(reader) = reader else { continue };
            reader.listen(QUIET).await;
            let body = String::from_utf8_lossy(&reader.body).into_owned();
            let numbers: Vec<u64> = fields(&body, &format!("id: {e}:")).iter().filter_map(|n| n.parse().ok()).collect();
            self.say("ascending", numbers.is_sorted_by(|a, b| a < b));
            orders.push(fields(&body, "\"data\":\"r"));
        }
        self.say("all", orders.iter().map(Vec::len).collect::<Vec<_>>());
        self.say("agreed", orders.windows(2).all(|two| two[0] == two[1]));
        self
    }

    /// Events published while a reader connects or a snapshot is taken.
    pub(crate) async fn seams(mut self) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        self.publish(2).await;
        let at = self.at;
        for n in 0..4 {
            let body = format!(r#"{{"data":"seam{n}"}}"#);
            let (stream, _) = tokio::join!(request(at, "GET", "/sessions/s/events", &[], ""), async {
                for _ in 0..3 {
                    ask(at, "POST", "/sessions/s/events", &[], &body).await;
                }
            });
            let mut stream = stream.expect("a stream");
            stream.listen(QUIET).await;
            let seen = String::from_utf8_lossy(&stream.body).matches(&format!("seam{n}")).count();
            self.say("in the seam", seen);
        }
        for n in 0..4 {
            let body = format!(r#"{{"data":"snap{n}"}}"#);
            let (snapshot, _) = tokio::join!(ask(at, "GET", "/sessions/s/snapshot", &[], ""), async {
                for _ in 0..3 {
                    ask(at, "POST", "/sessions/s/events", &[], &body).await;
                }
            });
            let cursor = member(&snapshot.1, "cursor");
            let mut stream = request(at, "GET", "/sessions/s/events", &[("Last-Event-ID", &cursor)], "").await.expect("a stream");
            stream.listen(QUIET).await;
            let marker = format!("snap{n}");
            let seen = snapshot.1.matches(&marker).count() + String::from_utf8_lossy(&stream.body).matches(&marker).count();
            self.say("snapshot and tail", seen);
        }
        self
    }

    pub(crate) async fn slow_reader(mut self) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        let mut slow = self.subscribe("/sessions/s/events", "").await.expect("a stream");
        let body = format!(r#"{{"data":"{}"}}"#, "x".repeat(64 << 10));
        let mut stalled = false;
        for _ in 0..250 {
            let since = Instant::now();
            ask(self.at, "POST", "/sessions/s/events", &[], &body).await;
            // The defect makes one publish wait for three seconds; all of them may take longer where the machine is busy.
            stalled |= since.elapsed() >= Duration::from_millis(2900);
        }
        self.say("stalled", stalled);
        ask(self.at, "POST", "/sessions/s/close", &[], "").await;
        slow.all().await;
        self.say("received", String::from_utf8_lossy(&slow.body).matches("\nevent: message\n").count());
        self
    }

    /// Leaving a stream, and what the server says afterwards.
    pub(crate) async fn leaving(mut self, readers: impl Fn() -> usize) -> Probe {
        self.open(r#"{"id":"s"}"#).await;
        let mut stream = self.subscribe("/sessions/s/events", "").await.expect("a stream");
        stream.until("event: ready").await;
        drop(stream);
        while readers() > 0 {
            tokio::task::yield_now().await;
        }
        let status = ask(self.at, "GET", "/health", &[], "").await.0;
        self.say("health", status);
        self
    }
}

fn fields(body: &str, name: &str) -> Vec<String> {
    body.split(name).skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect()).collect()
}

/// The text with every epoch written alike.
fn alike(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(':') {
        let (before, after) = rest.split_at(at);
        let epoch = before.len().checked_sub(8).and_then(|from| before.get(from..)).filter(|e| e.bytes().all(|b| b.is_ascii_hexdigit()));
        match epoch {
            Some(epoch) => out.push_str(&before[..before.len() - epoch.len()]),
            None => out.push_str(before),
        }
        out.push(':');
        rest = &after[1..];
    }
    out.push_str(rest);
    let mut parts = out.split("\"epoch\\\":\\\"");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| joined.push_str(part.get(8..).unwrap_or_default()));
    joined
}
