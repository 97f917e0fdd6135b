//! Reading one HTTP/1.1 request from a connection.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::log::Request;

/// Largest head and largest body.
const MOST: usize = 1 << 20;

/// A request as it came.
pub(super) struct Read {
    /// What it says; `nth` is not yet known.
    pub(super) request: Request,
    /// Its head's bytes behind the first line.
    pub(super) rest: Vec<u8>,
}

/// Reads a request; `None` when the connection ends first, or what comes is none.
pub(super) async fn read(stream: &mut TcpStream) -> Option<Read> {
    let mut bytes = Vec::new();
    let (head, mut request) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = parsed.parse(&bytes).ok()? {
            let headers = parsed.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
            let (method, target) = (parsed.method?.to_owned(), parsed.path?.to_owned());
            break (head, Request { nth: 0, method, target, headers, body: Vec::new() });
        }
        more(stream, &mut bytes).await?;
    };
    let length = request.header("content-length").and_then(|v| std::str::from_utf8(v).ok()?.trim().parse::<usize>().ok()).unwrap_or(0);
    while bytes.len() < head + length.min(MOST) {
        more(stream, &mut bytes).await?;
    }
    request.body = bytes[head..].to_vec();
    let line = bytes.iter().position(|b| *b == b'\n')? + 1;
    Some(Read { request, rest: bytes[line..].to_vec() })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 8192];
    let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    (bytes.len() <= 2 * MOST).then_some(())
}
