//! What is published: the marker, and text made to break frames, journals and splitters.

use std::cell::RefCell;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::history::{Body, Marker};
use crate::scenario::Text;

/// Length of a [`Text::Large`] payload in bytes, unless the contract allows less.
pub const LARGE: usize = 1 << 20;
/// Length of a [`Text::Bulky`] payload in bytes.
pub const BULKY: usize = 16 << 10;

/// Every kind of text that [`Text::Hostile`] goes through.
const ROUND: [Text; 6] = [Text::Separators, Text::LineBreaks, Text::Controls, Text::Unicode, Text::FrameLike, Text::Surrogates];

/// What was worked out from texts, forgotten when the texts grow too many.
#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    known: FxHashMap<K, V>,
    bytes: usize,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Remembered { known: FxHashMap::default(), bytes: 0 }
    }
}

/// How many bytes of texts are remembered at most.
const MOST_REMEMBERED: usize = 64 << 20;
/// About what an entry takes beside its text.
const ENTRY: usize = 256;

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// What is known of a text.
    pub(crate) fn get(&self, of: &K) -> Option<&V> {
        self.known.get(of)
    }

    /// Remembers `value`, which takes about `bytes`, and gives it back.
    pub(crate) fn keep(&mut self, of: K, bytes: usize, value: V) -> V {
        let bytes = bytes + ENTRY;
        if self.bytes + bytes > MOST_REMEMBERED {
            *self = Remembered::default();
        }
        self.bytes += bytes;
        self.known.insert(of, value.clone());
        value
    }
}

/// The payload with this marker, and its digest.
pub fn digested(marker: Marker, text: Text, most: Option<u64>) -> (Arc<str>, Body) {
    type Known = Remembered<(Marker, Text, Option<u64>), (Arc<str>, Body)>;
    // A simulation publishes the same texts in every run.
    thread_local! {
        static KNOWN: RefCell<Known> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|all| {
        let key = (marker, text, most);
        if let Some(known) = all.get(&key) {
            return known.clone();
        }
        let payload = payload(marker, text, most);
        let body = Body::of(&payload);
        all.keep(key, payload.len(), (payload.into(), body))
    })
}

/// The payload with this marker. `most` bounds its bytes (the contract's `max_payload`).
pub fn payload(marker: Marker, text: Text, most: Option<u64>) -> String {
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let body = match text {
        Text::Plain | Text::HostileType => format!("word {}", marker.n),
        Text::Hostile => return payload(marker, ROUND[marker.n as usize % ROUND.len()], Some(most as u64)),
        // sse-wire SSE-13: none of these ends a line; journals and Unicode-aware splitters think otherwise.
        Text::Separators => "next\u{85}line\u{2028}paragraph\u{2029}tab\u{b}feed\u{c}record\u{1e}end\u{2028}".to_owned(),
        // SSE-46: every one of these would need its own `data:` line, or JSON escapes.
        Text::LineBreaks => "a\nb\r\nc\rd\n\ne\r\r\nf\n\r".to_owned(),
        Text::Controls => "nul\u{0}bell\u{7}esc\u{1b}[31mdel\u{7f}\u{1}".to_owned(),
        Text::Unicode => "🦀👩‍👩‍👧‍👦é e\u{301} \u{202e}rtl\u{202c} \u{feff}bom 𝒳 \u{10ffff}".to_owned(),
        Text::FrameLike => "data: x\n\nevent: end\nid: 99999\ndata: {\"type\":\"end\"}\n\n: comment\nretry: 1\n\n".to_owned(),
        // Text that a careless re-encoder turns into half a character.
        Text::Surrogates => r#"\ud83d \ude00 \uD800\uDC00 "\u0000" \\u2028"#.to_owned(),
        Text::Large => filler(marker, LARGE.min(most)),
        Text::Bulky => filler(marker, BULKY.min(most)),
        Text::Secret => format!("the key is {} and that is all", secret(marker)),
    };
    let mut payload = format!("{marker} {body}");
    payload.truncate(payload.floor_char_boundary(most));
    payload
}

/// The credential in a [`Text::Secret`] payload: of a shape that every masker knows (hermes b.10), different for each event.
pub fn secret(marker: Marker) -> String {
    format!("ghp_{:0>36}", format!("St{}Sp{}Ec", marker.session, marker.n))
}

/// Text of about `len` bytes in which every stretch says where it stands, so that a cut or a swap shows.
fn filler(marker: Marker, len: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(len);
    while text.len() + 40 < len {
        let at = text.len();
        write!(text, "[{}.{at}] ", marker.n).expect("writing to a string does not fail");
    }
    text
}

/// The event type for a publish.
pub fn event_type(text: Text) -> &'static str {
    match text {
        // SSE-46, SSE-34: an id or type is client input and may not break the frame.
        Text::HostileType => "mes\nid: 9\r\ndata: x\n\nsage",
        Text::Plain
        | Text::Hostile
        | Text::Separators
        | Text::LineBreaks
        | Text::Controls
        | Text::Unicode
        | Text::FrameLike
        | Text::Surrogates
        | Text::Large
        | Text::Bulky
        | Text::Secret => "message",
    }
}

/// True when the text is made to break something.
pub fn hostile(text: Text) -> bool {
    !matches!(text, Text::Plain | Text::Bulky | Text::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_begins_with_its_marker_and_fits() {
        for n in 1..20 {
            for text in [Text::Plain, Text::Hostile, Text::Large, Text::Bulky, Text::FrameLike] {
                let marker = Marker { session: 2, n };
                let whole = payload(marker, text, None);
                assert_eq!(Marker::find(&whole), Some(marker));
                assert!(payload(marker, text, Some(30)).len() <= 30);
            }
        }
    }
}
