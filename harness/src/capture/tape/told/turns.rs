//! WebSockets on which the turns of conversations are watched: the session of such a profile is one turn, and whoever has
//! subscribed to a conversation is a reader of each turn of which something came.
//!
//! When a subscription took effect nobody says, so a turn of which nothing came is not missed. What the model said is an event
//! from the moment at which somebody was sent it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reading::{Came, Reading};
use super::{Exchange, Stamp, Teller};
use crate::capture::decoded::Items;
use crate::capture::tape::meaning::{begins, subscription};
use crate::contract::{Format, OneOrMany, Profile};
use crate::run::binding::{Lens, Raw};

/// Where a message names its turn, in a profile whose sessions are turns.
pub(super) struct Turns<'p> {
    key: &'p OneOrMany,
    conversation: &'p str,
    end: &'p OneOrMany,
    event_type: &'p str,
}

impl<'p> Turns<'p> {
    /// `None` for a profile whose sessions are no turns: to open one begins no turn by a message, or the contract does not say how
    /// a turn is known and that its end is the terminal event.
    pub(super) fn of(profile: &'p Profile) -> Option<Turns<'p>> {
        let binding = &profile.binding;
        binding.open.as_ref()?.socket.as_ref()?;
        let end = binding.frames.terminal.as_ref()?.event_type.as_ref()?;
        let machine = profile.contract.machines.iter().find(|machine| machine.single && end.iter().any(|end| machine.end.contains(end)))?;
        let (conversation, event_type) = (binding.event.session.as_deref()?, binding.event.event_type.as_deref()?);
        (binding.subscribe.format == Format::Websocket).then_some(Turns { key: machine.key.as_ref()?, conversation, end, event_type })
    }

    fn conversation(&self, message: &Value) -> Option<String> {
        Some(message.pointer(self.conversation)?.as_str()?.to_owned())
    }

    fn key(&self, message: &Value) -> Option<String> {
        self.key.iter().find_map(|pointer| Some(message.pointer(pointer)?.as_str()?.to_owned()))
    }

    fn is_end(&self, message: &Value) -> bool {
        message.pointer(self.event_type).and_then(Value::as_str).is_some_and(|event_type| self.end.contains(event_type))
    }
}

/// A turn, by its conversation and its own name.
type Name = (String, String);

/// The turns on a tape.
#[derive(Default)]
pub(super) struct Known {
    turns: BTreeMap<Name, Turn>,
}

struct Turn {
    session: usize,
    first: Stamp,
    sealed: Option<Stamp>,
}

impl Known {
    /// The newest turn of a conversation that was over at this time.
    pub(super) fn settled(&self, conversation: &str, at: Stamp) -> Option<usize> {
        let of =
            |((name, _), turn): (&Name, &Turn)| Some((turn.sealed.filter(|sealed| name == conversation && *sealed < at)?, turn.session));
        self.turns.iter().filter_map(of).max().map(|(_, session)| session)
    }
}

/// A subscription of one client to a conversation.
struct Watch {
    conversation: String,
    since: Stamp,
    sent: String,
    /// When the client may have left the conversation.
    until: Option<Stamp>,
}

impl Watch {
    fn is_on(&self, at: Stamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A message of the server, with what it names.
struct Said<'e> {
    at: Stamp,
    text: &'e str,
    conversation: Option<String>,
    key: Option<String>,
}

impl Teller<'_> {
    /// Introduces the turns of which something was sent on these sockets, in the order of their beginnings.
    pub(super) fn know_turns(&mut self, turns: &Turns<'_>, sockets: &[&Exchange]) -> Known {
        let mut seen: BTreeMap<Name, (Stamp, Option<Stamp>)> = BTreeMap::new();
        for (at, _, text) in sockets.iter().flat_map(|socket| &socket.messages).filter(|(_, client, _)| !client) {
            let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
            let Some(name) = turns.conversation(&message).zip(turns.key(&message)) else { continue };
            let (first, sealed) = seen.entry(name).or_insert((*at, None));
            *first = (*first).min(*at);
            if turns.is_end(&message) {
                *sealed = Some(sealed.map_or(*at, |known| known.min(*at)));
            }
        }
        let mut order: Vec<(Name, (Stamp, Option<Stamp>))> = seen.into_iter().collect();
        order.sort_by_key(|(_, (first, _))| *first);
        let turn = |(name, (first, sealed)): (Name, (Stamp, Option<Stamp>))| {
            let session = self.introduce(&name.0, first, None);
            (name, Turn { session, first, sealed })
        };
        Known { turns: order.into_iter().map(turn).collect() }
    }

    /// What was watched on these sockets: each turn that a subscription brought is a stream of its own.
    pub(super) fn watched<'e>(&self, turns: &Turns<'_>, sockets: &[&'e Exchange]) -> Vec<Reading<'e>> {
        let Some(known) = &self.turns else { return Vec::new() };
        sockets.iter().flat_map(|socket| self.watched_on(turns, known, socket)).collect()
    }

    fn watched_on<'e>(&self, turns: &Turns<'_>, known: &Known, socket: &'e Exchange) -> Vec<Reading<'e>> {
        let mut said = Vec::new();
        for (at, _, text) in socket.messages.iter().filter(|(_, client, _)| !client) {
            let message = serde_json::from_str::<Value>(text).unwrap_or_default();
            said.push(Said { at: *at, text, conversation: turns.conversation(&message), key: turns.key(&message) });
        }
        let watches = self.watches(socket, &said);
        let mut readings: Vec<(Reading<'e>, Items<'_, (Stamp, usize)>)> = Vec::new();
        let mut begun: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for one in &said {
            let turn = one.conversation.clone().zip(one.key.clone()).and_then(|name| known.turns.get(&name));
            let of = |watch: &Watch| one.conversation.as_ref() == Some(&watch.conversation);
            let on = watches.iter().position(|watch| of(watch) && watch.is_on(one.at));
            let at = match (on, turn) {
                (Some(on), Some(turn)) => *begun.entry((on, turn.session)).or_insert_with(|| {
                    let watch = &watches[on];
                    let items = Items::new(Lens::of(self.profile, &self.sessions[turn.session].id).of_unmarked());
                    let asked = watch.since.max(turn.first);
                    // A turn that runs already is what the subscription asks for; those behind it come by themselves.
                    let sent = (asked == watch.since).then(|| watch.sent.clone());
                    let reading = Reading { until: watch.until, ..Reading::of(turn.session, vec![socket], asked, sent) };
                    readings.push((reading, items));
                    readings.len() - 1
                }),
                // Behind the end of a subscription what is still under way may come.
                (None, Some(_)) if watches.iter().any(of) => continue,
                // What names no turn, or one that nobody here asked for, came to whoever was reading.
                (_, _) => match readings.len().checked_sub(1) {
                    Some(newest) => newest,
                    None => continue,
                },
            };
            let (reading, items) = &mut readings[at];
            items.frame((one.at, turn.map_or(reading.session, |turn| turn.session)), Raw::Json(one.text), one.text.as_bytes());
        }
        let whole = |(reading, items): (Reading<'e>, Items<'_, (Stamp, usize)>)| {
            let items = items.items.into_iter().map(|((at, of), item)| Came { at, of, item }).collect();
            Reading { items, ..reading }
        };
        readings.into_iter().map(whole).collect()
    }

    /// The subscriptions on a socket, the first of each conversation: to subscribe again changes nothing.
    fn watches(&self, socket: &Exchange, said: &[Said<'_>]) -> Vec<Watch> {
        let binding = &self.profile.binding;
        let asks = |text: &str| subscription(binding, text).or_else(|| begins(binding, text));
        let mut watches: Vec<Watch> = Vec::new();
        // Messages that name a conversation, and for which the binding has no word: any of them may be the end of a subscription.
        let mut asides: BTreeMap<String, Vec<Stamp>> = BTreeMap::new();
        for (at, _, text) in socket.messages.iter().filter(|(_, client, _)| *client) {
            let Some(conversation) = asks(text) else {
                let message = serde_json::from_str::<Value>(text).unwrap_or_default();
                for watch in watches.iter().filter(|watch| names(&message, &watch.conversation)) {
                    asides.entry(watch.conversation.clone()).or_default().push(*at);
                }
                continue;
            };
            match watches.iter_mut().find(|watch| watch.conversation == conversation) {
                None => watches.push(Watch { conversation, since: *at, sent: text.clone(), until: None }),
                Some(watch) => watch.until = watch.until.or(asides.get(&conversation).and_then(|asides| asides.first().copied())),
            }
        }
        for watch in watches.iter_mut().filter(|watch| watch.until.is_none()) {
            let last = said.iter().rev().find(|one| one.conversation.as_ref() == Some(&watch.conversation)).map(|one| one.at);
            let behind = |at: &&Stamp| last.is_none_or(|last| last < **at);
            watch.until = asides.get(&watch.conversation).and_then(|asides| asides.iter().find(behind).copied());
        }
        watches
    }
}

/// True when a string anywhere in a message is this name.
fn names(message: &Value, name: &str) -> bool {
    match message {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|item| names(item, name)),
        Value::Object(fields) => fields.values().any(|value| names(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
