//! What a client is ordered to publish, and how the server answers it.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::log::{PublishAnswer, Request, Saw};
use super::responder::{Responder, leave};

/// The body of a publish: what a JSON text may hold and a careless client does not keep.
pub fn publish_body(publish: u32) -> String {
    format!("{{\"type\":\"message\",  \"data\":\"p{publish} \u{2028}\u{85}\\n\\\"é🙂\"}}\n")
}

/// The idempotency key of a publish.
pub fn publish_key(publish: u32) -> String {
    format!("k-{publish}")
}

/// Which publish a request is with: known by its key, or by the mark in its body, whatever was done to the rest of it.
pub fn publish_of(request: &Request) -> Option<u32> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u32>().ok();
    let by_key = request.header("idempotency-key").and_then(|key| number(key.strip_prefix(b"k-")?));
    by_key.or_else(|| {
        let at = memchr::memmem::find(&request.body, b"\"p")? + 2;
        let digits = request.body[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        number(&request.body[at..at + digits])
    })
}

impl Responder {
    /// Answers a request with a publish as the case says.
    pub(super) async fn publish(&self, mut stream: TcpStream, request: Request) {
        let answer = {
            // The number of requests before this one is read and written down under one lock.
            let mut posted = self.posted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let publish = publish_of(&request);
            let nth = posted.iter().filter(|before| **before == publish).count();
            posted.push(publish);
            let listed = self.case.publishes.iter().filter(|(of, _)| Some(*of) == publish).nth(nth);
            let answer = listed.map_or(PublishAnswer::Accept, |(_, answer)| *answer);
            self.shared.saw(Saw::Posted { request, answer });
            answer
        };
        let (status, header) = match answer {
            PublishAnswer::Accept => ("201 Created".to_owned(), String::new()),
            PublishAnswer::Lose => {
                let _ = stream.set_zero_linger();
                return;
            }
            PublishAnswer::Refuse(status) => (format!("{status} Refused"), String::new()),
            PublishAnswer::PutOff(seconds) => ("503 Service Unavailable".to_owned(), format!("Retry-After: {seconds}\r\n")),
        };
        let answer =
            format!("HTTP/1.1 {status}\r\n{header}Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
        let _ = stream.write_all(answer.as_bytes()).await;
        leave(stream).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: Option<&str>, body: &str) -> Request {
        let headers = key.map(|key| ("Idempotency-Key".to_owned(), key.as_bytes().to_vec())).into_iter().collect();
        Request { nth: 0, method: "POST".to_owned(), target: "/publish".to_owned(), headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_publish_is_known_by_its_key_or_by_what_is_left_of_its_body() {
        assert_eq!(publish_of(&request(Some("k-3"), "")), Some(3));
        assert_eq!(publish_of(&request(Some("k-3.1"), &publish_body(12))), Some(12));
        assert_eq!(publish_of(&request(None, "{\"data\":\"p4 rewritten\"}")), Some(4));
        assert_eq!(publish_of(&request(None, "p4")), None);
        assert!(serde_json::from_str::<serde_json::Value>(&publish_body(1)).is_ok(), "a server takes it");
    }
}
