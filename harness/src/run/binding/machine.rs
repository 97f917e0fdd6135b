//! Events to what they say of the contract's keys.

use crate::contract::{Machine, OneOrMany};
use crate::history::{Said, Stage};

/// Longest key that is kept.
const MOST_KEY: usize = 200;
/// Longest text that is kept.
const MOST_TEXT: usize = 16 << 10;

/// What an event of this type says; `source` finds the parts of the event.
pub(super) fn said(machines: &[Machine], event_type: &str, source: impl Fn(&str) -> Option<String>) -> Option<Box<Said>> {
    let is = |types: &Option<OneOrMany>| types.as_ref().is_some_and(|types| types.contains(event_type));
    let stage = |machine: &Machine| {
        if machine.end.contains(event_type) {
            Some(Stage::End)
        } else if is(&machine.start) {
            Some(Stage::Start)
        } else if is(&machine.more) {
            Some(Stage::More)
        } else {
            None
        }
    };
    let (at, machine, stage) = machines.iter().enumerate().find_map(|(at, machine)| Some((at, machine, stage(machine)?)))?;
    let key = match &machine.key {
        Some(key) => key.iter().find_map(&source)?,
        None => String::new(),
    };
    let text = match stage {
        Stage::Start => None,
        Stage::More => machine.piece.as_deref().and_then(&source),
        Stage::End => machine.whole.as_deref().and_then(&source),
    };
    Some(Box::new(Said {
        machine: u16::try_from(at).unwrap_or(u16::MAX),
        key: key[..key.floor_char_boundary(MOST_KEY)].to_owned(),
        stage,
        text: text.filter(|text| text.len() <= MOST_TEXT),
    }))
}
