//! The client's side of a connection: which requests were made.

use super::framing::{Body, RequestHead, Stretch, Unreadable, request_head};

/// Follows the bytes of a connection's requests. What it cannot read it reports once and follows no further.
#[derive(Debug, Default)]
pub(super) struct Requests {
    head: Vec<u8>,
    body: Option<Body>,
    lost: bool,
}

impl Requests {
    /// Takes the next bytes and returns the heads that are complete with them.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<RequestHead>, Unreadable> {
        let mut found = Vec::new();
        while !self.lost && !bytes.is_empty() {
            let followed = match &mut self.body {
                None => self.head(&mut bytes, &mut found),
                Some(body) => body.next(bytes).map(|stretch| match stretch {
                    Stretch::Payload(count) | Stretch::Coding(count) => bytes = &bytes[count..],
                    Stretch::End => self.body = None,
                }),
            };
            if let Err(error) = followed {
                self.lost = true;
                return Err(error);
            }
        }
        Ok(found)
    }

    fn head(&mut self, bytes: &mut &[u8], found: &mut Vec<RequestHead>) -> Result<(), Unreadable> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        match request_head(&self.head)? {
            Some(head) => {
                *bytes = &bytes[head.length - before..];
                self.head.clear();
                self.body = (!head.body.is_over()).then(|| head.body.clone());
                found.push(head);
            }
            None => *bytes = &[],
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_behind_one_another_are_told_apart() {
        let raw = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET HEAD /b HTTP/1.1\r\n\r\n\
                    PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /d HTTP/1.1\r\n\r\n";
        for size in 1..=raw.len() {
            let mut requests = Requests::default();
            let heads: Vec<_> = raw.chunks(size).flat_map(|piece| requests.feed(piece).expect("well-formed")).collect();
            let seen: Vec<_> = heads.iter().map(|head| format!("{} {}", head.method, head.target)).collect();
            assert_eq!(seen, ["POST /a", "HEAD /b", "PUT /c", "GET /d"], "in pieces of {size}");
        }
    }
}
