//! The ordinary client's opinion: the same bytes, decoded by the `eventsource-stream` crate.
//!
//! That crate is what many Rust clients read streams with. It was measured to panic on a leading byte-order mark, to keep
//! a stale cursor after an id-only block, to stall on an invalid byte and to take quadratic time in the size of a chunk;
//! so it gets small chunks and a guard, and decides nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use eventsource_stream::EventStream;
use futures_util::{FutureExt, StreamExt, stream};

/// Size of the chunks it is fed.
const CHUNK: usize = 1024;

/// What it made of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// These events (type, data, last event id), and the last event id in the end.
    Events(Vec<(String, String, String)>, String),
    /// It panicked, with this message.
    Panicked(String),
    /// It reported an error and stopped.
    Failed(String),
}

thread_local! {
    /// True while this thread asks the crate, whose panics are opinions and no news.
    static ASKING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Keeps the messages of guarded panics from standard error; all others pass to the hook that was there before. The hook is the
/// whole process's, so this is for programs: a library has no business there.
pub(crate) fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !ASKING.with(std::cell::Cell::get) {
                before(panic);
            }
        }));
    });
}

/// Decodes `bytes`, the beginning of a body.
pub fn of(bytes: &[u8]) -> Opinion {
    ASKING.with(|asking| asking.set(true));
    let opinion = ask(bytes);
    ASKING.with(|asking| asking.set(false));
    opinion
}

fn ask(bytes: &[u8]) -> Opinion {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let chunks = stream::iter(bytes.chunks(CHUNK).map(Ok::<_, std::convert::Infallible>));
        let mut events = EventStream::new(chunks);
        let mut all = Vec::new();
        // The source is always ready, so each step is, too; a step that is not would be a stall of the crate.
        while let Some(next) = events.next().now_or_never() {
            match next {
                Some(Ok(event)) => all.push((event.event, event.data, event.id)),
                Some(Err(error)) => return Opinion::Failed(error.to_string()),
                None => return Opinion::Events(all, events.last_event_id().to_owned()),
            }
        }
        Opinion::Failed("it waits for more although everything was given".to_owned())
    }));
    decoded.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Opinion::Panicked(text.unwrap_or_else(|| "without a message".to_owned()))
    })
}

/// The first difference between its opinion and `ours` (with our `last` event id), in words; `None` when they agree.
pub fn difference(opinion: &Opinion, ours: &[(String, String, String)], last: &str) -> Option<String> {
    let (theirs, their_last) = match opinion {
        Opinion::Events(events, last) => (events, last),
        Opinion::Panicked(why) => return Some(format!("it panics: {why}")),
        Opinion::Failed(why) => return Some(format!("it stops: {why}")),
    };
    let short = |text: &str| format!("{:?}", text.chars().take(60).collect::<String>());
    for (nth, (their, our)) in theirs.iter().zip(ours).enumerate() {
        for (what, their, our) in [("type", &their.0, &our.0), ("data", &their.1, &our.1), ("last event id", &their.2, &our.2)] {
            if their != our {
                return Some(format!("event {nth} has {what} {} for it, {} by the standard", short(their), short(our)));
            }
        }
    }
    if theirs.len() != ours.len() {
        return Some(format!("it sees {} events, the standard {}", theirs.len(), ours.len()));
    }
    (their_last != last).then(|| format!("it would resume from {}, the standard from {}", short(their_last), short(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: &str, data: &str, id: &str) -> (String, String, String) {
        (event.to_owned(), data.to_owned(), id.to_owned())
    }

    #[test]
    fn a_plain_stream_is_agreed_on() {
        let ours = [event("message", "a", "1"), event("t", "b\nc", "1")];
        assert_eq!(difference(&of(b"id: 1\ndata: a\n\nevent: t\ndata: b\ndata: c\n\n"), &ours, "1"), None);
    }

    #[test]
    fn a_panic_is_an_opinion() {
        assert!(matches!(of("\u{feff}data: a\n\n".as_bytes()), Opinion::Panicked(_)));
    }

    #[test]
    fn a_stale_cursor_is_named() {
        // SSE-22: an id-only block commits its id; the crate forgets it.
        let ours = [event("message", "a", "1")];
        let differs = difference(&of(b"id: 1\ndata: a\n\nid: 7\n\n"), &ours, "7").unwrap();
        assert!(differs.contains("resume from \"1\""), "{differs}");
    }
}
