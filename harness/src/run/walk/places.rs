//! Numbers and starting points as a scenario names them.

use smol_str::SmolStr;

use crate::contract::{CursorCarrier, CursorOrder, Profile};
use crate::history::{CursorClass, From, Numbered};
use crate::scenario::{Count, Start};
use crate::world::World;

use super::{Abort, Walk};

/// At most this many connections for [`Start::EveryId`] and [`Start::Synthetic`].
const MOST_IDS: usize = 64;

/// The number that a count stands for. Sweeps are expanded before a walk begins.
pub(super) fn number(count: Count) -> Result<u32, Abort> {
    match count {
        Count::N(n) => Ok(n),
        Count::Each(_) => Err(Abort::CouldNot("a sweep was not expanded".to_owned())),
    }
}

impl<W: World> Walk<'_, W> {
    /// As [`Walk::starts`]. Where only deliveries tell cursors, that of an event may be on its way: it is waited for.
    pub(super) async fn known_starts(&self, start: &Start, session: &str) -> Result<Vec<From>, Abort> {
        let known = || self.starts(start, session).is_ok();
        if matches!(start, Start::After(_)) && !known() {
            self.world.wait(self.deadline(), known).await;
        }
        self.starts(start, session)
    }

    /// Where connections that begin at `start` begin; more than one for sweeps over ids and for malformed cursors.
    pub(super) fn starts(&self, start: &Start, session: &str) -> Result<Vec<From>, Abort> {
        let own = |value: &str| vec![From::Cursor { value: value.into(), class: CursorClass::Own, beside: None }];
        let cast = self.cast.borrow();
        let Some(state) = cast.sessions.get(session) else { return self.could_not(format!("session `{session}` was not opened")) };
        let one = |value: Option<SmolStr>, class: CursorClass, what: &str| match value {
            Some(value) => Ok(vec![From::Cursor { value, class, beside: None }]),
            None => Err(Abort::CouldNot(format!("there is no cursor for {what} of session `{session}`"))),
        };
        match start {
            Start::Oldest => Ok(vec![state.beginning(self.profile)]),
            Start::Live => Ok(vec![From::Live]),
            Start::After(count) => match number(*count)? {
                0 => Ok(vec![state.beginning(self.profile)]),
                n => {
                    let cursor = state.nth(n).and_then(|p| cast.cursor_of(session, p.marker));
                    one(cursor, CursorClass::Own, &format!("event {n}"))
                }
            },
            Start::Head => one(cast.newest_cursor(session), CursorClass::Own, "the newest event"),
            Start::Snapshot => one(state.snapshot_cursor.clone(), CursorClass::Snapshot, "the last snapshot"),
            Start::Of(other) => {
                one(cast.newest_cursor(other), CursorClass::OtherSession, &format!("session `{other}`, to be presented to that"))
            }
            Start::Text(text) => Ok(own(text)),
            Start::Synthetic | Start::EveryId => {
                let all = cast.every_cursor(session, self.profile);
                let wanted: Vec<_> = all
                    .into_iter()
                    .filter(|(_, class)| *start == Start::EveryId || *class == CursorClass::Synthetic)
                    .map(|(value, class)| From::Cursor { value, class, beside: None })
                    .collect();
                Ok(spread(wanted, MOST_IDS))
            }
            Start::Class(class) => match class {
                CursorClass::Own => one(cast.newest_cursor(session), *class, "the newest event"),
                CursorClass::Snapshot => one(state.snapshot_cursor.clone(), *class, "the last snapshot"),
                CursorClass::Synthetic => {
                    drop(cast);
                    self.starts(&Start::Synthetic, session)
                }
                CursorClass::Empty => one(Some(SmolStr::default()), *class, "nothing"),
                CursorClass::OtherEpoch => one(state.former_cursor.clone(), *class, "the history that was replaced"),
                CursorClass::OtherSession => {
                    let other = cast.sessions.keys().find(|name| *name != session).and_then(|name| cast.newest_cursor(name));
                    one(other, *class, "any other session, to be presented to that")
                }
                CursorClass::Ahead => {
                    let newest = cast.newest_cursor(session);
                    one(newest.and_then(|cursor| ahead(&cursor, self.profile)).map(SmolStr::from), *class, "a place above the head")
                }
                CursorClass::Malformed => {
                    let newest = cast.newest_cursor(session);
                    let all = malformed(newest.as_deref(), self.profile);
                    Ok(all.into_iter().map(|value| From::Cursor { value: value.into(), class: *class, beside: None }).collect())
                }
            },
        }
    }
}

/// At most `most` of `all`, evenly spread, the first and the last among them.
fn spread<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let len = all.len();
    if len <= most {
        return all;
    }
    let mut kept = (0..most).map(|k| k * (len - 1) / (most - 1)).peekable();
    all.into_iter().enumerate().filter(|(at, _)| kept.next_if_eq(at).is_some()).map(|(_, item)| item).collect()
}

/// A cursor of the same form far above `cursor`, where the contract says how cursors count.
fn ahead(cursor: &str, profile: &Profile) -> Option<String> {
    if profile.contract.cursor.as_ref()?.order != CursorOrder::Number {
        return None;
    }
    let Numbered { epoch, number, .. } = Numbered::of(cursor);
    Some(format!("{epoch}{}", number?.checked_add(1000)?))
}

/// Texts that are no cursor of the profile: its own list, else mutations of a real cursor.
fn malformed(real: Option<&str>, profile: &Profile) -> Vec<String> {
    if let Some(own) = &profile.contract.malformed {
        return own.clone();
    }
    let mut all = vec!["not a cursor".to_owned(), "%00%ff".to_owned(), "../../etc/passwd".to_owned(), "x".repeat(4096)];
    let Some(real) = real else { return all };
    let front = Numbered::of(real).epoch;
    let number = &real[front.len()..];
    all.push(format!("{front}-{number}"));
    all.push(format!("{front}+{number}"));
    all.push(format!("{front}0x{number}"));
    all.push(format!("{front}{number}.5"));
    all.push(format!("{front}{number}e0"));
    // Blanks around a header's value are no part of it (RFC 9110 5.5): ` 5` arrives as `5`, which is a cursor.
    let in_header = matches!(profile.binding.subscribe.cursor.first(), Some(CursorCarrier::Header(_)));
    if !(front.is_empty() && in_header) {
        all.push(format!("{front} {number}"));
    }
    all.push(format!("{front}99999999999999999999999"));
    if !front.is_empty() {
        all.push(front.to_owned());
        all.push(format!("{front}{front}{number}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_keeps_both_ends() {
        let kept = spread((0..1000).collect(), 64);
        assert_eq!((kept.len(), kept[0], kept[63]), (64, 0, 999));
        assert_eq!(spread(vec![1, 2, 3], 64), [1, 2, 3]);
    }

    #[test]
    fn a_blank_before_a_number_is_no_mutation_in_a_header() {
        let mut profile = Profile::load("sse").unwrap();
        assert!(malformed(Some("5"), &profile).iter().all(|text| text.trim() != "5"));
        assert!(malformed(Some("3f:5"), &profile).contains(&"3f: 5".to_owned()), "inside a value it is");
        profile.binding.subscribe.cursor = vec![CursorCarrier::Query("after".to_owned())];
        assert!(malformed(Some("5"), &profile).contains(&" 5".to_owned()), "a query keeps it");
    }
}
