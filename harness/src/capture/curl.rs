//! Captures of `curl -N`: the body alone, with its head (`-i`), or with heads, times and pieces (`--trace FILE --trace-time`).

use super::{Body, Captured, header_lines};
use crate::history::Micros;

/// The body alone, or behind its head.
pub(super) fn plain(bytes: &[u8]) -> Captured {
    let mut captured = Captured::of(Body::Bytes(Vec::new()));
    let mut body = bytes;
    while body.starts_with(b"HTTP/") {
        let Some(end) = memchr::memmem::find(body, b"\r\n\r\n") else { break };
        let lines: Vec<String> = String::from_utf8_lossy(&body[..end]).split("\r\n").map(str::to_owned).collect();
        captured.status = status(&lines[0]);
        captured.answer = header_lines(&lines[1..]);
        body = &body[end + 4..];
    }
    captured.body = Body::Bytes(vec![(Micros(0), body.to_vec())]);
    captured
}

fn status(line: &str) -> Option<u16> {
    line.split_whitespace().nth(1)?.parse().ok()
}

/// True for the beginning of a trace.
pub(super) fn is_trace(beginning: &str) -> bool {
    let Some(line) = beginning.lines().next() else { return false };
    let behind = line.get(16..).filter(|_| time(line).is_some()).unwrap_or(line);
    ["== Info", "=> Send", "<= Recv"].iter().any(|mark| behind.starts_with(mark))
}

/// Reads `--trace` with its bytes in hexadecimal digits.
pub(super) fn trace(text: &str) -> Result<Captured, String> {
    let (mut sent, mut received): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut pieces: Vec<(Micros, Vec<u8>)> = Vec::new();
    let (mut part, mut now, mut first, mut asked) = (Part::Other, Micros(0), None, Micros(0));
    for (number, line) in text.lines().enumerate() {
        let at = time(line);
        let behind = if at.is_some() { line.get(16..).unwrap_or_default() } else { line };
        let begun = [("=> Send header", Part::Sent), ("<= Recv header", Part::Head), ("<= Recv data", Part::Data)];
        if let Some((_, next)) = begun.into_iter().find(|(mark, _)| behind.starts_with(mark)) {
            if let Some(at) = at {
                let first = *first.get_or_insert(at);
                // A trace that passes midnight begins anew.
                now = Micros(now.0.max(at.saturating_sub(first)));
            }
            if next == Part::Sent && sent.is_empty() {
                asked = now;
            }
            if next == Part::Data {
                pieces.push((now, Vec::new()));
            }
            part = next;
            continue;
        }
        if behind.starts_with("== ") || behind.starts_with("=> ") || behind.starts_with("<= ") {
            part = Part::Other;
            continue;
        }
        if part == Part::Other {
            continue;
        }
        let row = row(line).ok_or_else(|| {
            format!(
                "line {}: `{}` is no row of bytes; --trace-ascii shows every line feed as a dot, so nothing can be judged: capture with \
                 --trace FILE --trace-time",
                number + 1,
                line.chars().take(60).collect::<String>()
            )
        })?;
        match part {
            Part::Sent => sent.extend(row),
            Part::Head => received.extend(row),
            Part::Data => {
                if let Some((_, piece)) = pieces.last_mut() {
                    piece.extend(row);
                }
            }
            Part::Other => {}
        }
    }
    let pieces = if is_chunked(&pieces) { unchunked(pieces) } else { pieces };
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes).split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (request, head) = (lines(&sent), lines(&received));
    // Of several answers (redirections, 100 Continue) the last one has the body.
    let last = head.iter().rposition(|line| line.starts_with("HTTP/"));
    Ok(Captured {
        target: request.first().and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned),
        request: header_lines(request.get(1..).unwrap_or_default()),
        status: last.and_then(|at| status(&head[at])),
        answer: last.map(|at| header_lines(&head[at + 1..])).unwrap_or_default(),
        at: asked,
        ..Captured::of(Body::Bytes(pieces))
    })
}

/// True where the trace shows the chunked coding, as older versions of curl do: a size in a line of its own comes first.
fn is_chunked(pieces: &[(Micros, Vec<u8>)]) -> bool {
    let Some((_, first)) = pieces.first() else { return false };
    let Some(end) = memchr::memmem::find(first, b"\r\n") else { return false };
    (1..=16).contains(&end) && first[..end].iter().all(u8::is_ascii_hexdigit)
}

/// The pieces without the chunked coding; each byte keeps the time of its piece.
fn unchunked(pieces: Vec<(Micros, Vec<u8>)>) -> Vec<(Micros, Vec<u8>)> {
    let (mut left, mut size, mut behind) = (0_u64, String::new(), 0_u8);
    let mut plain = |bytes: Vec<u8>| -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match (left, behind, byte) {
                (1.., _, _) => {
                    out.push(byte);
                    left -= 1;
                    behind = if left == 0 { 2 } else { 0 };
                }
                (0, 1.., _) => behind -= 1,
                (0, 0, b'\n') => {
                    let digits = size.split(';').next().unwrap_or_default().trim();
                    left = u64::from_str_radix(digits, 16).unwrap_or(0);
                    size.clear();
                }
                (0, 0, _) if size.len() < 64 => size.push(char::from(byte)),
                (0, 0, _) => {}
            }
        }
        out
    };
    pieces.into_iter().map(|(at, bytes)| (at, plain(bytes))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Sent,
    Head,
    Data,
    Other,
}

/// Microseconds since midnight, by `11:22:33.123456 ` at a line's beginning.
fn time(line: &str) -> Option<u64> {
    let text = line.get(..16).filter(|text| text.ends_with(' '))?;
    let (clock, micros) = text.trim_end().split_once('.')?;
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts.try_into().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros.parse::<u64>().ok()?)
}

/// The bytes of `0010: 64 61 74 61 3a                                  data:`.
fn row(line: &str) -> Option<Vec<u8>> {
    let (offset, rest) = line.split_once(": ")?;
    let is_offset = offset.len() >= 4 && offset.bytes().all(|b| b.is_ascii_hexdigit());
    // Sixteen bytes of three columns, before the same as text.
    let digits = rest.get(..48).unwrap_or(rest);
    let bytes: Option<Vec<u8>> = digits.split_whitespace().map(|two| u8::from_str_radix(two, 16).ok().filter(|_| two.len() == 2)).collect();
    bytes.filter(|bytes| is_offset && !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
11:22:33.000001 == Info:   Trying 127.0.0.1:8080...
11:22:33.000100 => Send header, 23 bytes (0x17)
0000: 47 45 54 20 2f 73 20 48 54 54 50 2f 31 2e 31 0d GET /s HTTP/1.1.
0010: 0a 41 3a 20 62 0d 0a                            .A: b..
11:22:33.000200 <= Recv header, 17 bytes (0x11)
0000: 48 54 54 50 2f 31 2e 31 20 32 30 30 20 4f 4b 0d HTTP/1.1 200 OK.
0010: 0a                                              .
11:22:33.500200 <= Recv data, 9 bytes (0x9)
0000: 64 61 74 61 3a 20 31 0a 0a                      data: 1..
11:22:34.000200 <= Recv data, 2 bytes (0x2)
0000: 3a 0a                                           :.
";

    #[test]
    fn a_trace_has_heads_pieces_and_times() {
        assert!(is_trace(TRACE));
        let captured = trace(TRACE).unwrap();
        assert_eq!((captured.target.as_deref(), captured.status), (Some("/s"), Some(200)));
        assert_eq!(captured.request, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(captured.body, Body::Bytes(vec![(Micros(500_100), b"data: 1\n\n".to_vec()), (Micros(1_000_100), b":\n".to_vec())]));
    }

    #[test]
    fn the_chunked_coding_of_older_traces_is_taken_off() {
        let pieces = vec![
            (Micros(1), b"A\r\ndata: 1".to_vec()),
            (Micros(2), b"23\n\r\n2;x\r\n\nd\r\n".to_vec()),
            (Micros(3), b"0\r\n\r\n".to_vec()),
        ];
        assert!(is_chunked(&pieces));
        let plain = [(Micros(1), b"data: 1".to_vec()), (Micros(2), b"23\n\nd".to_vec()), (Micros(3), Vec::new())];
        assert_eq!(unchunked(pieces), plain);
        assert!(!is_chunked(&[(Micros(0), b"data: 1\r\n".to_vec())]));
    }

    #[test]
    fn a_trace_in_ascii_is_refused_with_the_next_step() {
        let ascii = "<= Recv data, 9 bytes (0x9)\n0000: data: 1..\n";
        assert!(is_trace(ascii));
        assert!(trace(ascii).unwrap_err().contains("line 2"), "{:?}", trace(ascii));
    }

    #[test]
    fn a_head_before_the_body_is_read() {
        let captured = plain(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        assert_eq!((captured.status, captured.answer.len()), (Some(200), 1));
        assert_eq!(captured.body, Body::Bytes(vec![(Micros(0), b"data: 1\n\n".to_vec())]));
        assert_eq!(plain(b"data: 1\n\n").status, None);
    }
}
