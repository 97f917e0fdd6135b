use proptest::prelude::*;

use super::*;

/// One event as a client would dispatch it: type, data, last event id.
type Event = (String, String, String);

#[derive(Debug, Default, PartialEq)]
struct Decoded {
    events: Vec<Event>,
    raws: Vec<(u64, Vec<u8>)>,
    comments: Vec<(u64, Vec<u8>)>,
    findings: Vec<Finding>,
    retry: Option<u64>,
    last: String,
    unfinished: Vec<u8>,
}

fn decode(chunks: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(Limits::default());
    let mut out = Decoded::default();
    for chunk in chunks {
        decoder
            .feed(chunk, &mut |item| match item {
                Item::Frame(frame) => {
                    out.raws.push((frame.offset, frame.raw.to_vec()));
                    out.findings.extend_from_slice(frame.findings);
                    out.retry = frame.retry.or(out.retry);
                    if let Some(data) = &frame.data {
                        out.events.push((frame.event_type().to_owned(), data.to_string(), frame.last_event_id.to_owned()));
                    }
                }
                Item::Comment(comment) => out.comments.push((comment.offset, comment.text.to_vec())),
            })
            .unwrap();
    }
    out.last = decoder.last_event_id().to_owned();
    out.unfinished = decoder.finish().unfinished;
    out
}

#[derive(serde::Deserialize)]
struct Vector {
    n: String,
    #[serde(rename = "in")]
    input: String,
    out: Vec<Event>,
    last: String,
    #[serde(default)]
    retry: Option<u64>,
}

fn vectors() -> Vec<Vector> {
    include_str!("vectors.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_vector_whole_and_cut_everywhere() {
    let vectors = vectors();
    assert!(vectors.len() >= 28, "the vectors were not read");
    for Vector { n, input, out, last, retry } in vectors {
        let bytes = input.as_bytes();
        let whole = decode(&[bytes]);
        assert_eq!((&whole.events, &whole.last, whole.retry), (&out, &last, retry), "{n}");
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&singles), whole, "{n}, byte by byte");
        for at in 0..=bytes.len() {
            assert_eq!(decode(&[&bytes[..at], &bytes[at..]]), whole, "{n}, cut at {at}");
            for second in at..=bytes.len() {
                assert_eq!(decode(&[&bytes[..at], &bytes[at..second], &bytes[second..]]), whole, "{n}, cut at {at} and {second}");
            }
        }
    }
}

#[test]
fn invalid_utf8_is_replaced_and_found() {
    let decoded = decode(&[b"data: a\xffb\n\ndata: c\n\n"]);
    assert_eq!(decoded.events[0].1, "a\u{fffd}b");
    assert_eq!(decoded.events[1].1, "c");
    assert_eq!(decoded.findings.len(), 1);
    assert_eq!((decoded.findings[0].rule, decoded.findings[0].offset), (Rule::InvalidUtf8, 7));
}

#[test]
fn a_byte_order_mark_may_be_split() {
    let bytes = "\u{feff}data: a\n\n".as_bytes();
    for at in 0..bytes.len() {
        assert_eq!(decode(&[&bytes[..at], &bytes[at..]]).events.len(), 1, "cut at {at}");
    }
    assert_eq!(decode(&[b"\xef\xbb"]).unfinished, b"\xef\xbb");
    assert_eq!(decode(&[b"\xef", b"data: a\n\ndata: b\n\n"]).events.len(), 1, "the first field name is unknown");
}

#[test]
fn a_comment_is_heard_before_its_block_ends() {
    let mut decoder = Decoder::new(Limits::default());
    let mut heard = 0;
    decoder.feed(b": heartbeat\r", &mut |item| heard += usize::from(matches!(item, Item::Comment(_)))).unwrap();
    assert_eq!(heard, 1);
}

#[test]
fn an_event_ended_by_cr_is_not_held_back() {
    assert_eq!(decode(&[b"data: a\r\r"]).events.len(), 1);
    assert_eq!(decode(&[b"data: a\r\n\r"]).events.len(), 1);
}

#[test]
fn raw_bytes_are_those_of_the_wire() {
    let decoded = decode(&[b": x\nid: 1\r\ndata: a\r\n\r\ndata: b\n\n"]);
    assert_eq!(decoded.raws, [(0, b": x\nid: 1\r\ndata: a\r\n\r".to_vec()), (22, b"data: b\n\n".to_vec())]);
}

#[test]
fn the_rest_of_an_unescaped_payload_is_found() {
    let decoded = decode(&[b"data: {\"a\":\"x\ny\"}\n\n"]);
    assert_eq!(decoded.findings[0].rule, Rule::UnknownField);
    assert_eq!(decoded.findings[0].text, "y\"}");
}

#[test]
fn an_endless_line_is_refused_within_its_limit() {
    let mut decoder = Decoder::new(Limits { frame: 10_000 });
    let refused = (0..1000).find_map(|_| decoder.feed(&[b'x'; 64], &mut |_| ()).err());
    assert_eq!(refused, Some(Oversize { limit: 10_000, offset: 0 }));
    assert!(decoder.feed(b"\n\n", &mut |_| ()).is_err(), "it takes nothing more");
}

#[test]
fn a_line_of_a_mebibyte_comes_whole() {
    let line = "x".repeat(1 << 20);
    let bytes = format!("data: {line}\n\n").into_bytes();
    let chunks: Vec<&[u8]> = bytes.chunks(777).collect();
    assert_eq!(decode(&chunks).events[0].1, line);
}

/// Streams built of pieces that matter to the format.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("data: a".as_bytes().to_vec()),
        Just(b"data:".to_vec()),
        Just(b"id: 7".to_vec()),
        Just(b"id: \xe2\x80\xa6".to_vec()),
        Just(b"event: t".to_vec()),
        Just(b"retry: 10".to_vec()),
        Just(b": c".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just("\u{feff}".as_bytes().to_vec()),
        Just("\u{2028}\u{85}".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunk_borders_have_no_meaning(bytes in streams(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&chunks), decode(&[&bytes]));
    }

    /// Where `eventsource-stream` is right (no mark, valid text, every id with data, no NUL), it agrees.
    #[test]
    fn the_ordinary_client_agrees_where_it_is_right(
        events in proptest::collection::vec(("[a-z]{0,5}", "[ -~é…]{0,20}", proptest::option::of("[0-9a-z]{1,6}")), 0..12),
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::new();
        for (event, data, id) in &events {
            if !event.is_empty() { text += &format!("event: {event}{end}"); }
            if let Some(id) = id { text += &format!("id: {id}{end}"); }
            text += &format!("data: {data}x{end}{end}");
        }
        let ours = decode(&[text.as_bytes()]).events;
        prop_assert_eq!(ours.len(), events.len());
        prop_assert_eq!(crate::wire::opinion::difference(&crate::wire::opinion::of(text.as_bytes()), &ours, &decode(&[text.as_bytes()]).last), None);
    }
}

/// Where `eventsource-stream` 0.2.3 is wrong: (bytes, what the standard says). Each must differ, so that a repaired
/// version of the crate is noticed.
#[test]
fn where_the_ordinary_client_is_wrong() {
    let wrong: [(&str, &[u8]); 3] = [
        ("SSE-6: a leading byte-order mark makes it panic", "\u{feff}data: a\n\n".as_bytes()),
        ("SSE-22: the id of a block without data is forgotten", b"id: 1\ndata: a\n\nid: 7\n\n"),
        ("SSE-5: a byte that is not UTF-8 stalls it", b"data: a\xff\n\ndata: b\n\n"),
    ];
    for (what, bytes) in wrong {
        let ours = decode(&[bytes]);
        let differs = crate::wire::opinion::difference(&crate::wire::opinion::of(bytes), &ours.events, &ours.last);
        assert!(differs.is_some(), "{what}: no longer true");
    }
}
