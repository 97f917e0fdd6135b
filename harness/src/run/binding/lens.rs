//! A binding's view of frames: what each is, and where its parts are.

use std::borrow::Cow;

use serde_json::Value;

use crate::contract::{Binding, EventShape, Format, FrameMatch, Frames, OneOrMany};
use crate::history::{Body, Kind, Marker};

use super::marker;
use super::pointer::{self, Pointers, Slots};

/// Longest event type that is kept, in bytes.
const TYPE_KEPT: usize = 100;

/// One event or control frame as a reader saw it; it lacks only its connection and number to be a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// Its type, at most 100 bytes.
    pub event_type: String,
    /// The cursor that it carries; on a commit, the one that it gives to what came before it.
    pub cursor: Option<String>,
    /// The first marker in its payload, or else anywhere in it.
    pub marker: Option<Marker>,
    /// Digest of the payload of an event or terminal; of the whole frame where the payload is not where it should be.
    pub body: Option<Body>,
    /// False when the profile says that it is live-only.
    pub durable: bool,
    /// The position that a boundary or gap names.
    pub points_to: Option<String>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { kind: Kind::Event, event_type: String::new(), cursor: None, marker: None, body: None, durable: true, points_to: None }
    }
}

/// An SSE block as its decoder gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type under which a client dispatches it (`message` when it names none).
    pub event_type: &'a str,
    /// Its data; `None` when it has no `data` line and is not dispatched.
    pub data: Option<&'a str>,
    /// The value of its own `id` line.
    pub id: Option<&'a str>,
}

/// Reads frames, lines, pages and snapshots by a profile's binding. Hostile input gives other sightings, never a panic.
#[derive(Clone, Debug)]
pub struct Lens {
    pub(super) binding: Binding,
    stream: Shape,
    page: Shape,
}

/// A source of a part of an event, its pointer compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Id,
    Event,
    Data,
    Slot(usize),
}

/// An [`EventShape`], compiled.
#[derive(Clone, Debug)]
struct Shape {
    pointers: Pointers,
    cursor: Option<Source>,
    event_type: Option<Source>,
    payload: Source,
    rules: Vec<Rule>,
}

/// How one kind of special frame is recognised.
#[derive(Clone, Debug)]
struct Rule {
    means: Means,
    types: Option<OneOrMany>,
    json: Vec<(usize, Value)>,
    has_cursor: Option<bool>,
    cursor: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Control(Kind),
    Ephemeral,
    Ignored,
}

/// A frame (or record) to be looked at.
struct Sight<'a> {
    text: Option<&'a str>,
    json: Option<&'a Value>,
    event: Option<&'a str>,
    id: Option<&'a str>,
    slots: Slots,
}

impl Lens {
    /// A lens for this binding.
    pub fn new(binding: &Binding) -> Lens {
        let own_type = (binding.subscribe.format == Format::Sse).then_some(Source::Event);
        let stream = Shape::new(&binding.event, &binding.frames, own_type);
        let page = Shape::new(binding.event.page.as_deref().unwrap_or(&binding.event), &binding.frames, None);
        Lens { binding: binding.clone(), stream, page }
    }

    /// What an SSE block is. A block without data is no event, but its id is what a client would resume from.
    pub fn frame(&self, frame: &Frame<'_>) -> Vec<Seen> {
        let id = frame.id.filter(|id| !id.is_empty());
        match frame.data {
            Some(data) => self.text(data, Some(frame.event_type), id),
            None => id.map(|id| Seen { kind: Kind::Commit, cursor: Some(id.to_owned()), ..Seen::default() }).into_iter().collect(),
        }
    }

    /// What an NDJSON line is; an empty one is a keep-alive and nothing is seen. Bytes that are no UTF-8 are replaced.
    pub fn line(&self, line: &[u8]) -> Vec<Seen> {
        let text = String::from_utf8_lossy(line);
        if text.trim().is_empty() { Vec::new() } else { self.text(&text, None, None) }
    }

    /// What the document of a long-poll holds.
    pub(super) fn document(&self, document: &Value) -> Vec<Seen> {
        match self.records(document, None, None) {
            Some(seen) => seen,
            None => self.stream.seen(Sight::of_json(document, &self.stream)).into_iter().collect(),
        }
    }

    /// What one event of a history page or snapshot is.
    pub(super) fn item(&self, item: &Value) -> Option<Seen> {
        self.page.seen(Sight::of_json(item, &self.page))
    }

    fn text(&self, text: &str, event: Option<&str>, id: Option<&str>) -> Vec<Seen> {
        if self.binding.event.records.is_some()
            && let Ok(document) = serde_json::from_str::<Value>(text)
            && let Some(seen) = self.records(&document, event, id)
        {
            return seen;
        }
        let slots = if self.stream.pointers.is_empty() { None } else { self.stream.pointers.read(text) };
        let sight = Sight { text: Some(text), json: None, event, id, slots: slots.unwrap_or_default() };
        self.stream.seen(sight).into_iter().collect()
    }

    /// The records of a batch; `None` when the frame is none. An `id` of the frame belongs to the last record, because only
    /// after that one may a reader resume from it.
    fn records(&self, document: &Value, event: Option<&str>, id: Option<&str>) -> Option<Vec<Seen>> {
        let items = document.pointer(self.binding.event.records.as_deref()?)?.as_array()?;
        let whole = Sight { event, id, ..Sight::of_json(document, &self.stream) };
        if let Some(Means::Control(_) | Means::Ignored) = self.stream.rule(&whole).map(|rule| rule.means) {
            return Some(self.stream.seen(whole).into_iter().collect());
        }
        let last = items.len().saturating_sub(1);
        let record = |(at, item)| {
            let id = id.filter(|_| at == last);
            self.stream.seen(Sight { event, id, ..Sight::of_json(item, &self.stream) })
        };
        Some(items.iter().enumerate().filter_map(record).collect())
    }
}

impl<'a> Sight<'a> {
    fn of_json(json: &'a Value, shape: &Shape) -> Sight<'a> {
        Sight { text: None, json: Some(json), event: None, id: None, slots: shape.pointers.look(json) }
    }

    fn whole(&self) -> Cow<'a, str> {
        match (self.text, self.json) {
            (Some(text), _) => Cow::Borrowed(text),
            (None, Some(json)) => Cow::Owned(json.to_string()),
            (None, None) => Cow::Borrowed(""),
        }
    }

    fn at(&self, source: Source) -> Option<String> {
        match source {
            Source::Id => self.id.map(str::to_owned),
            Source::Event => self.event.map(str::to_owned),
            Source::Data => Some(self.whole().into_owned()),
            Source::Slot(slot) => pointer::text(self.slots.get(slot)?.clone()?),
        }
    }

    fn marker(&self, payload: Option<&str>) -> Option<Marker> {
        match (self.text, self.json) {
            (Some(text), _) => marker::find(payload, text),
            (None, json) => payload.and_then(Marker::find).or_else(|| json.and_then(marker::in_json)),
        }
    }
}

impl Shape {
    fn new(shape: &EventShape, frames: &Frames, own_type: Option<Source>) -> Shape {
        let mut pointers = Pointers::default();
        let mut source = |text: &str| match text {
            "id" => Source::Id,
            "event" => Source::Event,
            "data" => Source::Data,
            pointer => Source::Slot(pointers.slot(pointer)),
        };
        let cursor = shape.cursor.as_deref().map(&mut source);
        let event_type = shape.event_type.as_deref().map(&mut source).or(own_type);
        let payload = source(&shape.payload);
        // The order in which the first match decides is that of the fields.
        let Frames { boundary, gap, terminal, heartbeat, commit, ephemeral, ignore } = frames;
        let kinds: [(Means, &Option<FrameMatch>); 7] = [
            (Means::Control(Kind::Boundary), boundary),
            (Means::Control(Kind::Gap), gap),
            (Means::Control(Kind::Terminal), terminal),
            (Means::Control(Kind::Heartbeat), heartbeat),
            (Means::Control(Kind::Commit), commit),
            (Means::Ephemeral, ephemeral),
            (Means::Ignored, ignore),
        ];
        let mut rules = Vec::new();
        for (means, of) in kinds {
            let Some(of) = of else { continue };
            let cursor = of.cursor.as_deref().map(|text| match text {
                "id" => Source::Id,
                "event" => Source::Event,
                "data" => Source::Data,
                pointer => Source::Slot(pointers.slot(pointer)),
            });
            let json = of.json.iter().map(|(pointer, value)| (pointers.slot(pointer), value.clone())).collect();
            rules.push(Rule { means, types: of.event_type.clone(), json, has_cursor: of.has_cursor, cursor });
        }
        Shape { pointers, cursor, event_type, payload, rules }
    }

    fn rule(&self, sight: &Sight<'_>) -> Option<&Rule> {
        let event_type = || self.event_type.and_then(|source| sight.at(source)).unwrap_or_default();
        let has_cursor = || self.cursor.and_then(|source| sight.at(source)).is_some_and(|cursor| !cursor.is_empty());
        self.rules.iter().find(|rule| {
            rule.types.as_ref().is_none_or(|types| types.contains(&event_type()))
                && rule.json.iter().all(|(slot, value)| sight.slots.get(*slot).and_then(Option::as_ref) == Some(value))
                && rule.has_cursor.is_none_or(|wanted| wanted == has_cursor())
        })
    }

    /// What the frame is; `None` for one to be ignored.
    fn seen(&self, mut sight: Sight<'_>) -> Option<Seen> {
        let rule = self.rule(&sight);
        let (mut kind, durable) = match rule.map(|rule| rule.means) {
            Some(Means::Ignored) => return None,
            Some(Means::Control(kind)) => (kind, true),
            Some(Means::Ephemeral) => (Kind::Event, false),
            None => (Kind::Event, true),
        };
        let mut event_type = self.event_type.and_then(|source| sight.at(source)).unwrap_or_default();
        event_type.truncate(event_type.floor_char_boundary(TYPE_KEPT));
        let mut cursor = self.cursor.and_then(|source| sight.at(source)).filter(|cursor| !cursor.is_empty());
        let mut points_to = rule.and_then(|rule| rule.cursor).and_then(|source| sight.at(source)).filter(|cursor| !cursor.is_empty());
        match kind {
            Kind::Commit => cursor = points_to.take().or(cursor),
            // What a control frame says about a position is not a cursor of its own, except where clients keep it unasked.
            Kind::Boundary | Kind::Gap | Kind::Heartbeat
                if rule.is_some_and(|r| r.cursor == self.cursor) && self.cursor != Some(Source::Id) =>
            {
                cursor = None;
            }
            Kind::Boundary | Kind::Gap | Kind::Heartbeat | Kind::Event | Kind::Terminal | Kind::Other => {}
        }
        let payload = match self.payload {
            Source::Slot(slot) => sight.slots.get_mut(slot).and_then(Option::take).and_then(pointer::text).map(Cow::Owned),
            Source::Data => Some(sight.whole()),
            Source::Id | Source::Event => sight.at(self.payload).map(Cow::Owned),
        };
        let marker = sight.marker(payload.as_deref());
        if rule.is_none() && marker.is_none() && cursor.is_none() {
            kind = Kind::Other;
        }
        let body = match kind {
            Kind::Event | Kind::Terminal => Some(payload.map_or_else(|| Body::of(&sight.whole()), |payload| Body::of(&payload))),
            Kind::Boundary | Kind::Gap | Kind::Commit | Kind::Heartbeat | Kind::Other => None,
        };
        Some(Seen { kind, event_type, cursor, marker, body, durable, points_to })
    }
}
