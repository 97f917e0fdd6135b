//! Which events of its session a connection showed, and where first.

use rustc_hash::FxHashMap;

use super::expect::Expect;
use crate::history::{ConnView, Delivery, Seen};

/// For each event that `conn` delivered its first delivery there.
pub(super) fn first<'c, 'h>(expect: &Expect<'_, 'h>, conn: &'c ConnView<'h>) -> FxHashMap<usize, &'c Seen<&'h Delivery>> {
    let mut first = FxHashMap::default();
    for got in &conn.got {
        if let Some(event) = expect.event(got.what) {
            first.entry(event).or_insert(got);
        }
    }
    first
}
