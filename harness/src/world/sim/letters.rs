//! Payloads as they stand on the simulated wire, and what a reader finds in them.
//!
//! Every run publishes the same payloads, so a thread works each of them out once. Texts are recognised by their address:
//! the memory holds a share of each, so that no other text can come to stand there.

use std::cell::RefCell;
use std::sync::Arc;

use crate::history::{Body, Marker};
use crate::run::payload::Remembered;

#[derive(Default)]
struct Letters {
    /// By the address of a payload: it, and its JSON text.
    written: Remembered<usize, (Arc<str>, Arc<str>)>,
    /// By the address of a JSON text: it, and the marker and the digest of its payload.
    read: Remembered<usize, (Arc<str>, Option<Marker>, Body)>,
}

thread_local! {
    static LETTERS: RefCell<Letters> = RefCell::default();
}

/// The JSON text of a payload.
pub(super) fn write(payload: &Arc<str>) -> Arc<str> {
    LETTERS.with_borrow_mut(|letters| {
        if let Some((_, data)) = letters.written.get(&address(payload)) {
            return Arc::clone(data);
        }
        let data: Arc<str> = serde_json::to_string(payload).expect("text is always JSON").into();
        letters.written.keep(address(payload), payload.len() + data.len(), (Arc::clone(payload), data)).1
    })
}

/// The marker in the payload of a JSON text, and the payload's digest.
pub(super) fn read(data: &Arc<str>) -> (Option<Marker>, Body) {
    LETTERS.with_borrow_mut(|letters| {
        if let Some((_, marker, body)) = letters.read.get(&address(data)) {
            return (*marker, body.clone());
        }
        // What is no JSON any more stands for itself, as it would on the wire.
        let payload = serde_json::from_str::<String>(data).unwrap_or_else(|_| data.to_string());
        let known = (Arc::clone(data), Marker::find(&payload), Body::of(&payload));
        let (_, marker, body) = letters.read.keep(address(data), data.len(), known);
        (marker, body)
    })
}

fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).cast::<u8>() as usize
}
