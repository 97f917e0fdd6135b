//! How fast SSE is decoded, beside two other decoders, in one run: `cargo bench -p streamspec --bench decoder`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use eventsource_stream::EventStream;
use futures_util::{FutureExt, StreamExt, stream};
use streamspec::wire::{Limits, sse};

/// How long each cell is measured.
const CELL: Duration = Duration::from_millis(400);

fn main() {
    let events = input(64_000, 180);
    let large = input(120, 64 << 10);
    println!("MB/s; ours with lint\n");
    println!("{:<22}{:>8}{:>12}{:>22}{:>14}", "input", "chunk", "streamspec", "eventsource-stream", "sse-stream");
    for (name, bytes) in [("64,000 small events", &events), ("120 of 64 KiB", &large)] {
        for chunk in [64, 256, 1 << 10, 4 << 10, 64 << 10] {
            let ours = rate(bytes, |bytes| ours(bytes, chunk));
            // Its cost grows with the square of the chunk: a part of the input says as much.
            let part = if chunk > 4 << 10 { &bytes[..bytes.len() / 8] } else { &bytes[..] };
            let theirs = rate(part, |bytes| eventsource(bytes, chunk));
            let other = rate(bytes, |bytes| sse_stream(bytes, chunk));
            println!("{name:<22}{chunk:>8}{ours:>12.0}{:>22}{:>14}", beside(theirs, ours), beside(other, ours));
        }
    }
}

fn beside(theirs: f64, ours: f64) -> String {
    format!("{theirs:.0} (1/{:.0})", ours / theirs)
}

fn input(events: usize, size: usize) -> Vec<u8> {
    let text = "x".repeat(size.saturating_sub(60));
    (1..=events)
        .flat_map(|n| format!("id: 0abc1234:{n}\nevent: message\ndata: {{\"n\":{n},\"text\":\"{text}\"}}\n\n").into_bytes())
        .collect()
}

fn rate(bytes: &[u8], decode: impl Fn(&[u8]) -> usize) -> f64 {
    let (mut rounds, began) = (0, Instant::now());
    while rounds == 0 || began.elapsed() < CELL {
        assert!(black_box(decode(black_box(bytes))) > 0);
        rounds += 1;
    }
    bytes.len() as f64 * f64::from(rounds) / began.elapsed().as_secs_f64() / 1e6
}

fn ours(bytes: &[u8], chunk: usize) -> usize {
    let mut decoder = sse::Decoder::new(Limits::default());
    let mut seen = 0;
    for chunk in bytes.chunks(chunk) {
        decoder
            .feed(chunk, &mut |item| seen += usize::from(matches!(item, sse::Item::Frame(frame) if frame.data.is_some())))
            .expect("within limits");
    }
    seen
}

fn eventsource(bytes: &[u8], chunk: usize) -> usize {
    let chunks = stream::iter(bytes.chunks(chunk).map(Ok::<_, std::convert::Infallible>));
    EventStream::new(chunks).filter(|event| std::future::ready(event.is_ok())).count().now_or_never().expect("the source is ready")
}

fn sse_stream(bytes: &[u8], chunk: usize) -> usize {
    let chunks = stream::iter(bytes.chunks(chunk).map(|c| Ok::<_, std::convert::Infallible>(bytes::Bytes::copy_from_slice(c))));
    let events = sse_stream::SseByteStream::new(chunks);
    events.filter(|event| std::future::ready(event.is_ok())).count().now_or_never().expect("the source is ready")
}
