//! A client of the smallest kind, so that the tests see the bytes themselves: one request a connection, chunks joined.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// An answer whose body is still being read.
pub(crate) struct Answer {
    stream: TcpStream,
    raw: Vec<u8>,
    /// The status.
    pub(crate) status: u16,
    /// The headers in lower case, one a line.
    pub(crate) headers: String,
    chunked: bool,
    over: bool,
    /// The body so far.
    pub(crate) body: Vec<u8>,
}

/// Sends a request; returns when the headers of the answer are there. `None` when the server went away before.
pub(crate) async fn request(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.push_str(body);
    // A server that refuses early does not read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut raw = Vec::new();
    let end = loop {
        if let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    };
    let headers = String::from_utf8(raw[..end].to_vec()).unwrap().to_ascii_lowercase();
    raw.drain(..end + 4);
    let status = headers.split(' ').nth(1)?.parse().ok()?;
    let chunked = headers.contains("transfer-encoding: chunked");
    let mut answer = Answer { stream, raw, status, headers, chunked, over: false, body: Vec::new() };
    answer.unchunk();
    Some(answer)
}

impl Answer {
    /// Reads until the body contains `text`, and returns it up to there. Panics when it ends or the deadline passes first.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let read = async {
            loop {
                let so_far = String::from_utf8_lossy(&self.body);
                if let Some(at) = so_far.find(text) {
                    return so_far[..at + text.len()].to_owned();
                }
                assert!(!self.over, "the body ended without {text:?}: {so_far}");
                self.more().await;
            }
        };
        tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("waited in vain for {text:?}"))
    }

    /// Reads until nothing came for so long, or to the end; true when it is the end.
    pub(crate) async fn listen(&mut self, quiet: Duration) -> bool {
        while !self.over && tokio::time::timeout(quiet, self.more()).await.is_ok() {}
        self.over
    }

    /// Reads to the end of the body, keeping what comes.
    pub(crate) async fn all(&mut self) {
        while !self.over {
            self.more().await;
        }
    }

    /// Reads to the end of the body. Panics when the deadline passes first.
    pub(crate) async fn end(mut self) -> String {
        tokio::time::timeout(DEADLINE, self.all()).await.expect("the body ends");
        String::from_utf8(self.body).expect("the body is UTF-8")
    }

    async fn more(&mut self) {
        if self.stream.read_buf(&mut self.raw).await.unwrap_or(0) == 0 {
            self.over = true;
        }
        self.unchunk();
    }

    fn unchunk(&mut self) {
        if !self.chunked {
            self.over |= self.status == 204;
            self.body.append(&mut self.raw);
            let length = self.headers.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
            self.over |= length.is_some_and(|length| length.parse() == Ok(self.body.len()));
            return;
        }
        while let Some(line) = self.raw.windows(2).position(|w| w == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..line]).unwrap(), 16).expect("a chunk's size");
            if self.raw.len() < line + 2 + size + 2 {
                return;
            }
            self.body.extend_from_slice(&self.raw[line + 2..line + 2 + size]);
            self.raw.drain(..line + 2 + size + 2);
            self.over |= size == 0;
        }
    }
}

/// A whole exchange: status and body.
pub(crate) async fn ask(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let exchange = async {
        let answer = request(at, method, path, headers, body).await.expect("an answer");
        (answer.status, answer.end().await)
    };
    tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time")
}

/// The text of a member of a flat JSON answer.
pub(crate) fn member(json: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json:?}: {e}"));
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {json}")).to_owned()
}
