//! Cursors by their distance from where a session began.

use std::collections::BTreeMap;

use crate::contract::{CursorCarrier, CursorOrder, FrameMatch, Operation, Profile};
use crate::history::{CursorClass, From, History, Numbered, SessionIx, View, What};

/// What the cursors of a run are called.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    /// By session: cursor → its label.
    labels: Vec<BTreeMap<String, String>>,
    /// Names of JSON members that hold a cursor.
    keys: Vec<String>,
    /// Headers and query parameters that carry one.
    carriers: Vec<String>,
}

impl Cursors {
    pub(super) fn of(history: &History, profile: &Profile) -> Cursors {
        let view = View::of(history);
        let counts = profile.contract.cursor.as_ref().is_some_and(|cursor| cursor.order == CursorOrder::Number);
        let mut labels = vec![BTreeMap::new(); view.sessions.len()];
        for (session, known) in view.sessions.iter().zip(&mut labels) {
            let opened = session.opened.first().copied();
            let first = session.events.iter().find_map(|event| event.cursor.map(|cursor| cursor.what));
            let number = |cursor: &str| Numbered::of(cursor).number;
            let base = opened.and_then(number).or_else(|| Some(first.and_then(number)?.saturating_sub(1))).filter(|_| counts);
            let mut name = |cursor: &str, nth: Option<usize>| {
                let label = match (base, Numbered::of(cursor).number, nth) {
                    (Some(base), Some(at), _) => format!("[cursor{:+}]", i128::from(at) - i128::from(base)),
                    (_, _, Some(nth)) => format!("[cursor+{nth}]"),
                    (_, _, None) => return,
                };
                known.entry(cursor.to_owned()).or_insert(label);
            };
            for cursor in &session.opened {
                name(cursor, Some(0));
            }
            for (at, event) in session.events.iter().enumerate() {
                if let Some(cursor) = event.cursor {
                    name(cursor.what, Some(at + 1));
                }
            }
            for (cursor, sights) in session.cursors.iter() {
                name(cursor, Some(sights.first.event + 1));
            }
            for (cursor, sight) in &session.commits {
                name(cursor, Some(sight.event + 1));
            }
            for cursor in session.terminal_cursor.into_iter().chain(session.synthetic.keys().copied()) {
                name(cursor, None);
            }
        }
        let mut cursors = Cursors { labels, keys: keys(profile), carriers: carriers(profile) };
        cursors.strangers(history, &view, counts);
        cursors
    }

    /// Cursors that no event was seen with: those that the harness made up, and those of frames between the events.
    fn strangers(&mut self, history: &History, view: &View<'_>, counts: bool) {
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        for record in &history.records {
            let (session, cursor, class) = match &record.what {
                What::Connect(connect) => match &connect.from {
                    From::Cursor { value, class, .. } => (connect.session, value.as_str(), Some(*class)),
                    From::Start | From::Live => continue,
                },
                What::Delivery(delivery) => {
                    let Some(conn) = view.conns.get(delivery.conn.0 as usize) else { continue };
                    let session = conn.connect.what.session;
                    match delivery.cursor.as_deref().or(delivery.points_to.as_deref()) {
                        Some(cursor) => (session, cursor, None),
                        None => continue,
                    }
                }
                _ => continue,
            };
            if cursor.is_empty() || self.label(Some(session), cursor).is_some() {
                continue;
            }
            let word = match class {
                Some(CursorClass::Ahead) => "ahead",
                Some(CursorClass::Malformed) => "malformed",
                _ => "cursor",
            };
            let by_number = self.base(session).filter(|_| counts && word == "cursor").zip(Numbered::of(cursor).number);
            let label = match by_number {
                Some((base, at)) => format!("[cursor{:+}]", i128::from(at) - base),
                None => {
                    let nth = unknown.entry(word).or_default();
                    *nth += 1;
                    format!("[{word}-{nth}]")
                }
            };
            if let Some(known) = self.labels.get_mut(session.0 as usize) {
                known.insert(cursor.to_owned(), label);
            }
        }
    }

    /// The number that `[cursor+0]` has in a session, by any cursor that is known there.
    fn base(&self, session: SessionIx) -> Option<i128> {
        let known = self.labels.get(session.0 as usize)?;
        known.iter().find_map(|(cursor, label)| {
            let distance: i128 = label.strip_prefix("[cursor")?.strip_suffix(']')?.parse().ok()?;
            Some(i128::from(Numbered::of(cursor).number?) - distance)
        })
    }

    /// What a cursor is called, in its session before all others.
    pub(super) fn label(&self, session: Option<SessionIx>, cursor: &str) -> Option<&str> {
        let own = session.and_then(|session| self.labels.get(session.0 as usize)?.get(cursor));
        own.or_else(|| self.labels.iter().find_map(|known| known.get(cursor))).map(String::as_str)
    }

    /// What a number or text is called that stands where a cursor does.
    pub(super) fn at_place(&self, session: Option<SessionIx>, cursor: &str) -> Option<String> {
        let known = self.label(session, cursor).map(str::to_owned);
        known.or_else(|| Some(format!("[cursor{:+}]", i128::from(plain_number(cursor)?) - self.base(session?)?)))
    }

    /// True for the name of a JSON member that holds a cursor.
    pub(super) fn is_key(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key == name)
    }

    /// True for a header or query parameter that carries a cursor.
    pub(super) fn is_carrier(&self, name: &str) -> bool {
        self.carriers.iter().any(|carrier| carrier.eq_ignore_ascii_case(name))
    }

    /// The cursors that are recognised in any text: long enough, and no mere numbers.
    pub(super) fn telling(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.labels.iter().flatten().map(|(cursor, label)| (cursor.as_str(), label.as_str()));
        all.filter(|(cursor, _)| cursor.len() >= 6 && cursor.bytes().any(|b| !b.is_ascii_digit()))
    }
}

fn plain_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The last member's name of a pointer.
fn last(source: &str) -> Option<String> {
    let key = source.strip_prefix('/')?.rsplit('/').next()?;
    (!key.is_empty()).then(|| key.replace("~1", "/").replace("~0", "~"))
}

fn keys(profile: &Profile) -> Vec<String> {
    let binding = &profile.binding;
    let frames = &binding.frames;
    let shapes = [Some(&binding.event), binding.event.page.as_deref()];
    let of_events = shapes.into_iter().flatten().filter_map(|shape| shape.cursor.as_deref());
    let all: [&Option<FrameMatch>; 5] = [&frames.boundary, &frames.gap, &frames.terminal, &frames.heartbeat, &frames.commit];
    let of_frames = all.into_iter().flatten().filter_map(|frame| frame.cursor.as_deref());
    let of_pages = binding.history.iter().filter_map(|history| history.next.as_deref());
    let of_snapshots = binding.snapshot.iter().map(|snapshot| snapshot.cursor.as_str());
    let operations = [&binding.open, &binding.publish, &binding.publish_ephemeral, &binding.close, &binding.delete];
    let operations = operations.into_iter().flatten().chain(binding.ops.values());
    let taken = operations.flat_map(|operation: &Operation| ["cursor", "opened"].map(|name| operation.take.get(name))).flatten();
    let carried = binding.subscribe.cursor.iter().filter_map(|carrier| match carrier {
        CursorCarrier::Body(pointer) | CursorCarrier::BodyNumber(pointer) => Some(pointer.as_str()),
        CursorCarrier::Header(_) | CursorCarrier::Query(_) => None,
    });
    let sources = of_events.chain(of_frames).chain(of_pages).chain(of_snapshots).chain(taken.map(String::as_str)).chain(carried);
    sources.chain(binding.subscribe.next.as_deref()).filter_map(last).collect()
}

fn carriers(profile: &Profile) -> Vec<String> {
    let subscribe = profile.binding.subscribe.cursor.iter().filter_map(|carrier| match carrier {
        CursorCarrier::Header(name) | CursorCarrier::Query(name) => Some(name.clone()),
        CursorCarrier::Body(_) | CursorCarrier::BodyNumber(_) => None,
    });
    let history = profile.binding.history.iter().flat_map(|history| &history.operation.query);
    let of_history = history.filter(|(_, value)| value.contains("{cursor}")).map(|(name, _)| name.clone());
    subscribe.chain(of_history).collect()
}
