//! HTTP/1.1 from outside: where the head of a message ends and which bytes of its body are payload.

/// The longest head of a message that is read, in bytes.
pub(crate) const HEAD_LIMIT: usize = 64 * 1024;
const HEADER_LINES: usize = 256;
/// The longest line of a chunk's size or of a trailer.
const LINE_LIMIT: usize = 8 * 1024;

/// What of the head of a request matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) length: usize,
    pub(crate) body: Body,
}

/// What of the head of an answer matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) length: usize,
    pub(crate) body: Body,
}

/// Why a message cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    HeadTooLong,
    NotHttp,
    BadChunk,
}

impl Unreadable {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::HeadTooLong => "its head is longer than 64 KiB",
            Self::NotHttp => "its head is not HTTP/1.1",
            Self::BadChunk => "its chunked body is malformed",
        }
    }
}

/// The head at the start of `bytes`, or `None` if more must come.
pub(crate) fn request_head(bytes: &[u8]) -> Result<Option<RequestHead>, Unreadable> {
    let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES];
    let mut head = httparse::Request::new(&mut lines);
    let Some(length) = whole(head.parse(bytes), bytes)? else {
        return Ok(None);
    };
    Ok(Some(RequestHead {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        headers: owned(head.headers),
        length,
        body: match (chunked(head.headers), content_length(head.headers)) {
            (true, _) => Body::chunked(),
            (false, length) => Body::Length(length.unwrap_or(0)),
        },
    }))
}

/// The head at the start of `bytes`, or `None` if more must come. `to_head`: it answers a `HEAD` request.
pub(crate) fn answer_head(bytes: &[u8], to_head: bool) -> Result<Option<AnswerHead>, Unreadable> {
    let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES];
    let mut head = httparse::Response::new(&mut lines);
    let Some(length) = whole(head.parse(bytes), bytes)? else {
        return Ok(None);
    };
    let status = head.code.unwrap_or_default();
    let bodiless = to_head || matches!(status, 100..=199 | 204 | 304);
    Ok(Some(AnswerHead {
        status,
        content_type: header(head.headers, "content-type").unwrap_or_default().to_ascii_lowercase(),
        headers: owned(head.headers),
        length,
        body: match (chunked(head.headers), content_length(head.headers)) {
            _ if bodiless => Body::Length(0),
            (true, _) => Body::chunked(),
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::UntilClose,
        },
    }))
}

fn whole(parsed: httparse::Result<usize>, bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
    match parsed {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_LIMIT => Ok(Some(length)),
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Err(Unreadable::HeadTooLong),
        Err(_) => Err(Unreadable::NotHttp),
    }
}

fn header<'a>(lines: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let line = lines.iter().find(|line| line.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(line.value).ok().map(str::trim)
}

/// All headers; bytes that are not UTF-8 are replaced.
fn owned(lines: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    lines.iter().map(|line| (line.name.to_owned(), String::from_utf8_lossy(line.value).trim().to_owned())).collect()
}

fn chunked(lines: &[httparse::Header<'_>]) -> bool {
    header(lines, "transfer-encoding")
        .is_some_and(|coding| coding.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked")))
}

fn content_length(lines: &[httparse::Header<'_>]) -> Option<u64> {
    header(lines, "content-length")?.parse().ok()
}

/// How far into a body we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// This much payload is still to come.
    Length(u64),
    UntilClose,
    Chunked(Chunk),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// In the line with the size, of which this much was read.
    Size {
        size: u64,
        digits: u8,
        extension: bool,
        length: usize,
    },
    Payload(u64),
    /// In the CR LF behind the payload; this many of the two bytes were read.
    Tail(u8),
    /// In the trailer; `empty`: nothing but perhaps a CR was read of the line.
    Trailer {
        empty: bool,
        length: usize,
    },
    Done,
}

/// The next stretch of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// This many bytes are payload.
    Payload(usize),
    /// This many belong to the chunked coding.
    Coding(usize),
    /// The body is over, before the next byte.
    End,
}

impl Body {
    fn chunked() -> Self {
        Self::Chunked(Chunk::start())
    }

    /// Whether payload that ended here is followed by coding that belongs to the same chunk.
    pub(crate) fn chunk_ends_here(&self) -> bool {
        matches!(self, Self::Chunked(Chunk::Tail(_)))
    }

    /// Whether nothing of it is to come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// What `bytes`, not empty unless at the end of the body, begins with.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Stretch, Unreadable> {
        match self {
            Self::Length(0) | Self::Chunked(Chunk::Done) => Ok(Stretch::End),
            Self::Length(left) => Ok(Stretch::Payload(take(left, bytes))),
            Self::UntilClose => Ok(Stretch::Payload(bytes.len())),
            Self::Chunked(chunk) => {
                if let Chunk::Payload(left) = chunk {
                    let taken = take(left, bytes);
                    if *left == 0 {
                        *chunk = Chunk::Tail(0);
                    }
                    return Ok(Stretch::Payload(taken));
                }
                let mut taken = 0;
                for &byte in bytes {
                    if matches!(chunk, Chunk::Payload(_) | Chunk::Done) {
                        break;
                    }
                    chunk.step(byte)?;
                    taken += 1;
                }
                Ok(Stretch::Coding(taken))
            }
        }
    }
}

fn take(left: &mut u64, bytes: &[u8]) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    taken
}

impl Chunk {
    fn start() -> Self {
        Self::Size { size: 0, digits: 0, extension: false, length: 0 }
    }

    fn step(&mut self, byte: u8) -> Result<(), Unreadable> {
        match self {
            Self::Size { size, digits, extension, length } => {
                *length += 1;
                match byte {
                    b'\n' if *digits > 0 => {
                        *self = if *size == 0 { Self::Trailer { empty: true, length: 0 } } else { Self::Payload(*size) };
                    }
                    _ if *length > LINE_LIMIT => return Err(Unreadable::BadChunk),
                    _ if *extension => {}
                    b';' | b'\r' | b' ' | b'\t' if *digits > 0 => *extension = true,
                    byte => {
                        let digit = (byte as char).to_digit(16).filter(|_| *digits < 15).ok_or(Unreadable::BadChunk)?;
                        *size = *size << 4 | u64::from(digit);
                        *digits += 1;
                    }
                }
            }
            Self::Tail(read) => match (*read, byte) {
                (0, b'\r') => *read = 1,
                (_, b'\n') => *self = Self::start(),
                _ => return Err(Unreadable::BadChunk),
            },
            Self::Trailer { empty, length } => {
                *length += 1;
                match byte {
                    b'\n' if *empty => *self = Self::Done,
                    b'\n' => *empty = true,
                    b'\r' => {}
                    _ if *length > HEAD_LIMIT => return Err(Unreadable::HeadTooLong),
                    _ => *empty = false,
                }
            }
            Self::Payload(_) | Self::Done => unreachable!("payload is not stepped through"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(mut body: Body, raw: &[u8], size: usize) -> Result<(String, usize), Unreadable> {
        let mut text = Vec::new();
        let mut passed = 0;
        for mut piece in raw.chunks(size) {
            while !piece.is_empty() {
                let taken = match body.next(piece)? {
                    Stretch::Payload(count) => {
                        text.extend_from_slice(&piece[..count]);
                        count
                    }
                    Stretch::Coding(count) => count,
                    Stretch::End => return Ok((String::from_utf8(text).expect("ASCII"), passed)),
                };
                passed += taken;
                piece = &piece[taken..];
            }
        }
        Ok((String::from_utf8(text).expect("ASCII"), passed))
    }

    #[test]
    fn chunked_payload_is_the_same_in_pieces_of_every_size() {
        let raw = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\nHTTP/1.1 200";
        for size in 1..=raw.len() {
            assert_eq!(payload(Body::chunked(), raw, size), Ok(("abc0123456789".into(), raw.len() - 12)), "{size}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for raw in [&b"x\r\n"[..], b"\r\n", b"1\r\nab", b"10000000000000000\r\n"] {
            assert_eq!(payload(Body::chunked(), raw, 64), Err(Unreadable::BadChunk), "{raw:?}");
        }
        let endless = [b"1;".as_slice(), &[b'x'; LINE_LIMIT]].concat();
        assert_eq!(payload(Body::chunked(), &endless, 64), Err(Unreadable::BadChunk));
    }

    #[test]
    fn an_endless_head_is_refused_at_the_limit() {
        let mut head = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        head.resize(HEAD_LIMIT - 1, b'x');
        assert_eq!(answer_head(&head, false), Ok(None));
        head.push(b'x');
        assert_eq!(answer_head(&head, false), Err(Unreadable::HeadTooLong));
        assert_eq!(answer_head(b"<html>\r\n\r\n", false), Err(Unreadable::NotHttp));
    }

    #[test]
    fn some_answers_have_no_body() {
        let head = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        let body = |status: &str, to_head| answer_head(head(status).as_bytes(), to_head).expect("HTTP").expect("whole").body;
        assert_eq!(body("200 OK", false), Body::Length(5));
        assert_eq!(body("200 OK", true), Body::Length(0));
        assert_eq!(body("204 No Content", false), Body::Length(0));
        assert_eq!(body("100 Continue", false), Body::Length(0));
        let open = answer_head(b"HTTP/1.1 200 OK\r\n\r\n", false).expect("HTTP").expect("whole");
        assert_eq!(open.body, Body::UntilClose);
    }
}
