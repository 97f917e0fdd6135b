use super::super::fault::{FrameMatch, Within};
use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Every byte that passes, and the steps other than `Pass`, with the answer given in pieces of `size`.
fn taken(faults: &[Fault], raw: &[u8], size: usize) -> (Vec<u8>, Vec<Step>) {
    let mut passage = Passage::new(faults.to_vec(), Framing::Auto);
    let mut steps = VecDeque::new();
    passage.asked(false);
    for piece in raw.chunks(size) {
        passage.feed(piece, &mut steps);
    }
    passage.end(&mut steps);
    let (mut passed, mut others) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Pass(bytes) => passed.extend(bytes),
            other => others.push(other),
        }
    }
    (passed, others)
}

/// Events that lie in chunks of other sizes than their own.
fn answer(chunk: usize) -> Vec<u8> {
    let body = "retry: 1\r\n\r\nid: 1\r\ndata: «a»\r\n\r\n: hi\n\nid: 2\ndata: b\n\nevent: end\ndata:\n\n";
    let chunks = body.as_bytes().chunks(chunk).flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    [HEAD.as_bytes(), &chunks.collect::<Vec<u8>>(), b"0\r\n\r\n"].concat()
}

#[test]
fn how_the_bytes_arrive_changes_nothing() {
    let terminal = FrameMatch::EventType("end".to_owned());
    let places = [
        Place::AfterEvent(0),
        Place::AfterEvent(1),
        Place::AfterEvent(2),
        Place::InEvent { event: 1, at: Within::InLine },
        Place::InEvent { event: 1, at: Within::BetweenCrLf },
        Place::InEvent { event: 1, at: Within::InUtf8Char },
        Place::InEvent { event: 2, at: Within::AfterIdLine },
        Place::InEvent { event: 2, at: Within::Byte(3) },
        Place::BeforeFrame(terminal.clone()),
        Place::AfterFrame(terminal),
        Place::AfterBytes(17),
    ];
    for chunk in [1, 3, 7, 1000] {
        let raw = answer(chunk);
        for place in &places {
            let fault = [Fault::Cut { at: place.clone(), how: How::Rst }];
            let whole = taken(&fault, &raw, raw.len());
            assert_eq!(whole.1.last(), Some(&Step::Cut { fault: 0, how: How::Rst }), "{place:?}");
            assert!(raw.starts_with(&whole.0), "{place:?}");
            for size in 1..raw.len() {
                assert_eq!(taken(&fault, &raw, size), whole, "{place:?}, chunks of {chunk}, pieces of {size}");
            }
        }
        let clean = taken(&[], &raw, 5);
        assert_eq!(clean.0, raw);
        let events: Vec<Step> = (1..=3).map(Step::Event).collect();
        assert_eq!(clean.1[1..], events);
    }
}

#[test]
fn of_several_places_the_first_in_the_stream_counts() {
    let cut = |at| Fault::Cut { at, how: How::Fin };
    let faults = [
        cut(Place::InEvent { event: 1, at: Within::Byte(9) }),
        cut(Place::AfterEvent(1)),
        cut(Place::InEvent { event: 1, at: Within::AfterIdLine }),
    ];
    let (passed, steps) = taken(&faults, &answer(1000), 1000);
    assert!(passed.ends_with(b"\r\n\r\nid: 1\r\n"));
    assert_eq!(steps.last(), Some(&Step::Cut { fault: 2, how: How::Fin }));
}

#[test]
fn a_frame_too_long_to_look_at_passes_with_what_follows() {
    let long = "x".repeat(FRAME_LIMIT);
    let body = format!("data: {long}\n\nevent: end\ndata:\n\n");
    let raw = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}").into_bytes();
    let fault = |at| [Fault::Cut { at, how: How::Fin }];
    let end = Place::BeforeFrame(FrameMatch::EventType("end".to_owned()));
    let (passed, _) = taken(&fault(end), &raw, 64 * 1024);
    assert_eq!(passed.len(), raw.len() - "event: end\ndata:\n\n".len());
    let (passed, _) = taken(&fault(Place::InEvent { event: 1, at: Within::Byte(8) }), &raw, 64 * 1024);
    assert!(passed.ends_with(b"data: xx"));
}

#[test]
fn a_switch_of_protocols_is_left_alone() {
    let raw = b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 nonsense\n\ndata: x\n\n";
    let (passed, steps) = taken(&[Fault::Cut { at: Place::AfterEvent(1), how: How::Fin }], raw, 3);
    assert_eq!((passed.as_slice(), steps), (&raw[..], vec![Step::Head { status: 101, headers: Vec::new() }]));
}
