//! What was applied against what was due.

use std::collections::BTreeMap;

use super::{Event, Found, Saw, TERMINAL, View, violated};
use crate::client::orders::Ordered;
use crate::client::trial::{BOUNDARY, Due};

/// Data longer than this is shown by its beginning.
const SHOWN: usize = 60;

impl View<'_> {
    /// The events whose reply was sent whole, each once and in this order.
    pub(super) fn applies(&self, due: &[Due], by_reference: bool) -> Found {
        let wants_end = due.iter().any(|due| due.event.type_name() == TERMINAL);
        let sent = |due: &&Due| by_reference || self.ended(due.reply).is_some();
        let due: Vec<&Event> = due.iter().filter(sent).map(|due| &due.event).collect();
        // A client that applies every frame applies the reference server's boundary too.
        let control = |event: &Event| event.type_name() == TERMINAL && !wants_end || by_reference && event.type_name() == BOUNDARY;
        let counted = |event: &Event| !control(event);
        let applied: Vec<(usize, &Event)> = self.applied().filter(|(_, event)| counted(event)).collect();
        if self.log.iter().all(|entry| !matches!(entry.what, Saw::Sent { .. } | Saw::Ended { .. })) {
            return self.not_reached("an answer");
        }
        for (nth, want) in due.iter().enumerate() {
            match applied.get(nth) {
                Some((_, event)) if same(want, event) => {}
                Some((at, event)) => {
                    let place = applied.iter().take(nth).any(|(_, before)| same(before, event));
                    let shape = if place { "repeated" } else { "other-event" };
                    let says =
                        format!("event {} of the client is {}", nth + 1, if place { "one that it applied before" } else { "another one" });
                    return violated(shape, says, shown(want), shown(event), vec![*at]);
                }
                None => {
                    let at = self.log.len().saturating_sub(1);
                    let says = format!("an event was sent and never applied{}", self.last_words());
                    let seen = format!("{nth} of {} events", due.len());
                    return violated("missing", says, shown(want), seen, vec![at]);
                }
            }
        }
        match applied.get(due.len()) {
            Some((at, event)) => violated(
                "surplus",
                "the client applies what is no event, or no new one".to_owned(),
                "nothing more".to_owned(),
                shown(event),
                vec![*at],
            ),
            // That nothing is applied is something seen too, once there was an answer.
            None => Found::HeldTimes(due.len().max(1) as u64),
        }
    }

    /// No event twice.
    pub(super) fn once(&self, but: &[String]) -> Found {
        let mut first: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut judged = 0;
        // Only a later life can repeat what an earlier one applied.
        let begins = |saw: &Saw| matches!(saw, Saw::Started { .. } | Saw::Ordered { what: Ordered::Restart {}, .. });
        if self.log.iter().filter(|entry| begins(&entry.what)).count() < 2 || self.ended(2).is_none() {
            return self.not_reached("the client's second life");
        }
        for (at, event) in self.applied().filter(|(_, event)| event.type_name() != TERMINAL && !but.contains(&event.data)) {
            judged += 1;
            if let Some(before) = first.insert((event.type_name(), &event.data), at) {
                return violated(
                    "repeated",
                    "an event is applied again after the restart".to_owned(),
                    "each event once".to_owned(),
                    shown(event),
                    vec![at, before],
                );
            }
        }
        if judged == 0 { self.not_reached("an applied event") } else { Found::HeldTimes(judged) }
    }

    /// Each of these at least once.
    pub(super) fn misses(&self, due: &[Due]) -> Found {
        let sent: Vec<&Due> = due.iter().filter(|due| self.ended(due.reply).is_some()).collect();
        if sent.len() < due.len() {
            return self.not_reached("the last reply");
        }
        for due in sent {
            if !self.applied().any(|(_, event)| same(&due.event, event)) {
                let at = self.log.len() - 1;
                let says = format!("an event is never applied{}", self.last_words());
                return violated("missing", says, shown(&due.event), "not among what was applied".to_owned(), vec![at]);
            }
        }
        Found::HeldTimes(due.len() as u64)
    }
}

/// Ids are compared where both sides name one.
fn same(want: &Event, event: &Event) -> bool {
    let ids = match (&want.id, &event.id) {
        (Some(want), Some(id)) => want == id,
        (Some(_) | None, _) => true,
    };
    ids && want.data == event.data && want.type_name() == event.type_name()
}

fn shown(event: &Event) -> String {
    let data: String = event.data.chars().take(SHOWN).collect();
    let more = if data.len() < event.data.len() { format!("… ({} bytes)", event.data.len()) } else { String::new() };
    let id = event.id.as_ref().map(|id| format!(" id {id:?}")).unwrap_or_default();
    format!("{} {data:?}{more}{id}", event.type_name())
}
