//! From captured streams to a history that checkers can read.

use std::collections::BTreeMap;

use super::decoded::{Decoded, Items};
use super::{Body as Came, Captured, header};
use crate::contract::{CursorCarrier, CursorOrder, Format, Profile};
use crate::history::{
    Action, Answer, Body, Comment, Complete, ConnId, Connect, CursorClass, End, Ended, From, Header, History, Invoke, Item, Kind, Lint,
    Marker, Micros, Numbered, OpId, Outcome, Publish, Record, Role, Session, SessionIx, Surface, What,
};
use crate::run::binding::{Lens, Raw};

/// More holes than this in one session's numbers are no holes.
const MOST_HOLES: u64 = 10_000;

/// A history and what it rests on.
#[derive(Debug)]
pub struct Told {
    /// The history.
    pub history: History,
    /// Events that were recognised by their cursors.
    pub events: usize,
    /// Events that must have been there, because their numbers are missing between others.
    pub holes: usize,
    /// What the file leaves open, for people.
    pub open: Vec<String>,
}

/// What captured streams tell under a profile.
///
/// # Errors
/// In words, when the streams cannot be decoded, or the profile's have another form.
pub fn history(captured: &[Captured], profile: &Profile) -> Result<Told, String> {
    let mut streams = Vec::new();
    for (nth, one) in captured.iter().enumerate() {
        streams.push(decoded(one, profile).map_err(|why| format!("stream {}: {why}", nth + 1))?);
    }
    let mut builder = Builder::new(profile, captured);
    builder.sessions();
    builder.connect(&streams);
    Ok(builder.finish())
}

fn decoded(captured: &Captured, profile: &Profile) -> Result<Vec<(Micros, Decoded)>, String> {
    // No session is known by name: every event counts.
    let mut items = Items::new(Lens::of(profile, "").of_anybody());
    match (&captured.body, profile.binding.subscribe.format) {
        (Came::Logged(events), format) => {
            for event in events {
                let raw = match format {
                    Format::Sse => Raw::Sse { event: &event.event, data: Some(&event.data), id: event.id.as_deref() },
                    Format::Ndjson | Format::LongPoll | Format::Websocket => Raw::Json(&event.data),
                };
                items.frame(event.at, raw, event.data.as_bytes());
            }
        }
        (_, Format::LongPoll | Format::Websocket) => {
            return Err("only event streams and lines can be read from captures; the profile's streams are neither".to_owned());
        }
        (Came::Events(events), Format::Sse) => {
            let mut last: Option<(&String, &String, &String)> = None;
            for (at, event, data, id) in events {
                // What is written is the id as it was committed: a frame under the same one had none of its own, unless it is the
                // same frame again.
                let this = (id, event, data);
                let own = last.is_none_or(|before| before.0 != id || before == this).then_some(id.as_str());
                last = Some(this);
                items.frame(*at, Raw::Sse { event, data: Some(data), id: own }, data.as_bytes());
            }
        }
        (Came::Events(_), Format::Ndjson) => return Err("the profile's streams are lines, not server-sent events".to_owned()),
        (Came::Bytes(pieces), format) => items.bytes(format, captured.at, pieces)?,
    }
    Ok(items.items)
}

/// An event that is known by its cursor.
struct Known {
    marker: Marker,
    digest: Body,
    op: OpId,
    number: Option<u64>,
    /// True for one that only a hole speaks for.
    hole: bool,
}

struct Builder<'c> {
    profile: &'c Profile,
    captured: &'c [Captured],
    /// The session of each stream, by what is left of its request without the cursor.
    of: Vec<SessionIx>,
    names: Vec<String>,
    records: Vec<Record>,
    known: Vec<BTreeMap<String, Known>>,
    events: usize,
    holes: usize,
}

impl<'c> Builder<'c> {
    fn new(profile: &'c Profile, captured: &'c [Captured]) -> Builder<'c> {
        Builder { profile, captured, of: Vec::new(), names: Vec::new(), records: Vec::new(), known: Vec::new(), events: 0, holes: 0 }
    }

    fn record(&mut self, at: Micros, what: What) {
        self.records.push(Record { at, what });
    }

    fn sessions(&mut self) {
        for captured in self.captured {
            let by_target = || captured.target.as_deref().map_or_else(|| "captured".to_owned(), |target| self.without_cursor(target));
            let name = captured.session.clone().unwrap_or_else(by_target);
            let at = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            });
            self.of.push(SessionIx(at as u32));
        }
        for (at, name) in self.names.clone().into_iter().enumerate() {
            let session = SessionIx(at as u32);
            self.record(Micros(0), What::Session(Box::new(Session { session, name, retain: None, reborn_of: None })));
            self.known.push(BTreeMap::new());
        }
    }

    fn without_cursor(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
        let kept: Vec<&str> = query.split('&').filter(|parameter| self.in_query(parameter).is_none()).collect();
        if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
    }

    /// The cursor in a query parameter that carries one.
    fn in_query(&self, parameter: &str) -> Option<String> {
        let (name, value) = parameter.split_once('=')?;
        let carries = |carrier: &&CursorCarrier| matches!(carrier, CursorCarrier::Query(query) if query == name);
        self.profile.binding.subscribe.cursor.iter().find(carries).map(|_| decode(value))
    }

    /// Where a stream starts, by its request.
    fn from(&self, captured: &Captured) -> From {
        let subscribe = &self.profile.binding.subscribe;
        let query = captured.target.as_deref().and_then(|target| target.split_once('?')).map_or("", |(_, query)| query);
        let carried = subscribe.cursor.iter().find_map(|carrier| match carrier {
            CursorCarrier::Header(name) => header(&captured.request, name).map(str::to_owned),
            CursorCarrier::Query(name) => query.split('&').find_map(|parameter| {
                let (of, value) = parameter.split_once('=')?;
                (of == name).then(|| decode(value))
            }),
            CursorCarrier::Body(_) | CursorCarrier::BodyNumber(_) => None,
        });
        match carried.filter(|cursor| !cursor.is_empty()) {
            Some(word) if Some(&word) == subscribe.live.as_ref() => From::Live,
            Some(word) if Some(&word) == subscribe.start.as_ref() => From::Start,
            Some(value) => From::Cursor { value: value.into(), class: CursorClass::Own, beside: None },
            None if subscribe.live.as_deref() == Some("") => From::Live,
            // What a request that nobody saw asked for is not known; live promises least.
            None if captured.target.is_none() => From::Live,
            None => From::Start,
        }
    }

    fn connect(&mut self, streams: &[Vec<(Micros, Decoded)>]) {
        for (nth, items) in streams.iter().enumerate() {
            self.know(self.of[nth], items);
        }
        self.publish();
        let mut order: Vec<usize> = (0..streams.len()).collect();
        order.sort_by_key(|nth| self.captured[*nth].at);
        let mut timed: Vec<Record> = Vec::new();
        for (conn, nth) in order.into_iter().enumerate() {
            timed.extend(self.stream(ConnId(conn as u32), nth, &streams[nth]));
        }
        // Connections first in the order of their numbers; the sort is stable.
        timed.sort_by_key(|record| record.at);
        self.records.extend(timed);
    }

    /// Takes note of the events of a stream.
    fn know(&mut self, session: SessionIx, items: &[(Micros, Decoded)]) {
        let counts = self.profile.contract.cursor.as_ref().is_some_and(|cursor| cursor.order == CursorOrder::Number);
        for (_, item) in items {
            let Decoded::Frame { seen, digest, .. } = item else { continue };
            for one in seen.iter().filter(|one| is_event(one)) {
                let Some(cursor) = &one.cursor else { continue };
                let known = &mut self.known[session.0 as usize];
                let n = known.len() as u32 + 1;
                let number = Numbered::of(cursor).number.filter(|_| counts);
                known.entry(cursor.to_string()).or_insert_with(|| Known {
                    marker: Marker { session: session.0, n },
                    digest: digest.clone(),
                    op: OpId(0),
                    number,
                    hole: false,
                });
            }
        }
    }

    /// Invents the publishes behind the events, in the order of their numbers; their outcomes are unknown, but for those that a
    /// later number proves.
    fn publish(&mut self) {
        let dense = self.profile.contract.cursor.as_ref().is_some_and(|cursor| cursor.dense && cursor.order == CursorOrder::Number);
        let mut op = 0;
        for at in 0..self.known.len() {
            let known = &mut self.known[at];
            self.events += known.len();
            let numbers: std::collections::BTreeSet<u64> = known.values().filter_map(|known| known.number).collect();
            let span = numbers.first().zip(numbers.last()).map_or(0, |(first, last)| (last - first).saturating_add(1));
            if let (true, Some(first), Some(last)) = (dense && span - numbers.len() as u64 <= MOST_HOLES, numbers.first(), numbers.last()) {
                for missing in (*first..*last).filter(|number| !numbers.contains(number)) {
                    let marker = Marker { session: at as u32, n: known.len() as u32 + 1 };
                    let hole = Known { marker, digest: Body::of(""), op: OpId(0), number: Some(missing), hole: true };
                    known.insert(format!("\u{0}{missing}"), hole);
                    self.holes += 1;
                }
            }
            let mut order: Vec<&mut Known> = known.values_mut().collect();
            order.sort_by_key(|known| (known.number, known.marker.n));
            let mut records = Vec::new();
            for known in order {
                known.op = OpId(op);
                op += 1;
                let publish = Publish {
                    session: SessionIx(at as u32),
                    marker: known.marker,
                    durable: true,
                    body: known.digest.clone(),
                    key: None,
                    repeats: None,
                    conflict: false,
                    hostile: false,
                    hostile_type: false,
                    secret: false,
                };
                records.push(What::Invoke(Box::new(Invoke { op: known.op, action: Action::Publish(publish) })));
                let why = "nobody saw it published".to_owned();
                // An event whose number lies below one that was delivered was there; when, is not known but for its bound.
                let outcome = if known.hole { Outcome::Ok { status: 0, cursor: None } } else { Outcome::Unknown { why } };
                records.push(What::Complete(Complete { op: known.op, outcome }));
            }
            for what in records {
                self.record(Micros(0), what);
            }
        }
    }

    fn stream(&self, conn: ConnId, nth: usize, items: &[(Micros, Decoded)]) -> Vec<Record> {
        let captured = &self.captured[nth];
        let session = self.of[nth];
        // Where no head was captured, somebody else's word is all there is of it, and none is judged.
        let headless = captured.answer.is_empty();
        let mut records = Vec::new();
        let mut record = |at: Micros, what: What| records.push(Record { at, what });
        let before = |other: usize| {
            let same = self.of[other] == session && self.captured[other].reader == captured.reader;
            same && (self.captured[other].at, other) <= (captured.at, nth)
        };
        let place = (0..self.of.len()).filter(|other| before(*other)).count();
        record(
            captured.at,
            What::Connect(Box::new(Connect {
                conn,
                reader: captured.reader.as_deref().unwrap_or("captured").into(),
                nth: place as u32,
                session,
                surface: Surface::Stream,
                from: self.from(captured),
                role: if headless { Role::Driven } else { Role::Plain },
                limit: None,
                request: captured.target.clone().unwrap_or_else(|| "a request that the file does not hold".to_owned()),
            })),
        );
        let came = items.iter().any(|(_, item)| matches!(item, Decoded::Frame { .. }));
        let status = captured.status.or(came.then_some(200));
        let text = |name: &str| header(&captured.answer, name).map(|value| value.chars().take(200).collect());
        // A stream that brought something was accepted.
        if let Some(status) = status {
            record(
                captured.at,
                What::Answer(Box::new(Answer {
                    conn,
                    status,
                    accepted: status == 200,
                    content_type: text("content-type"),
                    cache_control: text("cache-control"),
                    body: String::new(),
                })),
            );
        }
        let (mut last, mut unfinished) = (captured.at, 0);
        for (at, item) in items {
            last = last.max(*at);
            match item {
                Decoded::Frame { frame, seen, digest, .. } => {
                    for one in seen {
                        let mut one = one.clone();
                        let known =
                            one.cursor.as_deref().filter(|_| is_event(&one)).and_then(|cursor| self.known[session.0 as usize].get(cursor));
                        if let Some(known) = known {
                            (one.kind, one.marker, one.body) = (kind(&one), Some(known.marker), Some(digest.clone()));
                        }
                        record(last, What::Delivery(one.delivery(conn, *frame)));
                    }
                }
                Decoded::Comment(text) => record(last, What::Comment(Comment { conn, text: text.clone() })),
                Decoded::Lint(lint) => record(last, What::Lint(Box::new(Lint { conn, ..lint.clone() }))),
                Decoded::Unfinished(bytes) => unfinished = *bytes,
            }
        }
        // Who ended it does not stand in the file: nothing may be concluded from the end.
        record(last, What::End(End { conn, how: Ended::Ours, unfinished }));
        records
    }

    fn finish(self) -> Told {
        let mut open = vec!["what was published, and when, was not captured: only order, repetition and holes can be judged".to_owned()];
        let cursors = self.profile.contract.cursor.is_some();
        if cursors && self.events == 0 {
            open.push("no event in it carries a cursor of the profile: events cannot be told apart".to_owned());
        }
        if self.captured.iter().any(|one| one.answer.is_empty()) {
            open.push("a stream has no response head: status and headers are not judged (capture with -i, or --trace)".to_owned());
        }
        if self.captured.iter().any(|one| one.target.is_none()) {
            open.push("a stream has no request: where it began is not known (capture with --trace)".to_owned());
        }
        if self.captured.iter().any(|one| matches!(one.body, Came::Events(_) | Came::Logged(_))) {
            open.push("a stream has events but no bytes: their framing is not judged".to_owned());
        }
        let header =
            Header { streamspec_history: History::VERSION, profile: self.profile.name.clone(), scenario: "captured".to_owned(), seed: 0 };
        Told { history: History { header, records: self.records }, events: self.events, holes: self.holes, open }
    }
}

/// True for what may be an event of the session that can be known by its cursor.
fn is_event(seen: &Item) -> bool {
    seen.durable && matches!(seen.kind, Kind::Event | Kind::Other | Kind::Terminal)
}

fn kind(seen: &Item) -> Kind {
    if seen.kind == Kind::Terminal { Kind::Terminal } else { Kind::Event }
}

/// A query parameter's value without its percent signs.
pub(super) fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Finding, judge};

    /// A stream of the built-in protocol with these numbers, asked for from the beginning or behind a number.
    fn stream(after: Option<u64>, numbers: &[u64]) -> Captured {
        let target = after.map_or_else(|| "/sessions/s/events".to_owned(), |after| format!("/sessions/s/events?after=e%3A{after}"));
        let frame = |n: &u64| format!("id: e:{n}\nevent: message\ndata: {{\"session\":\"s\",\"data\":\"w{n}\"}}\n\n");
        let body: String = numbers.iter().map(frame).collect();
        let headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")];
        Captured {
            target: Some(target),
            request: Vec::new(),
            status: Some(200),
            answer: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ..Captured::of(Came::Bytes(vec![(Micros(10), body.into_bytes())]))
        }
    }

    /// The requirements that the streams violate, one connection after the other.
    fn violated(streams: &[Captured]) -> Vec<String> {
        let profile = Profile::load("sse").unwrap();
        let later = |(nth, one): (usize, &Captured)| one.clone().later(nth as u64 * 1_000);
        let streams: Vec<Captured> = streams.iter().enumerate().map(later).collect();
        let told = history(&streams, &profile).unwrap();
        let failed = judge(&told.history, &profile).into_iter().filter(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
        failed.map(|verdict| verdict.requirement.to_string()).collect()
    }

    #[test]
    fn a_right_capture_violates_nothing_and_is_judged() {
        let streams = [stream(None, &[1, 2, 3]), stream(Some(2), &[3, 4])];
        assert_eq!(violated(&streams), Vec::<String>::new());
        let profile = Profile::load("sse").unwrap();
        let told = history(&streams, &profile).unwrap();
        let held =
            |id: &str| judge(&told.history, &profile).iter().any(|v| *v.requirement == *id && matches!(v.finding, Finding::Pass { .. }));
        // When they were published is not known, so all of them may have been in the seam.
        assert!(held("ORDER-4") && held("SEAM-2"), "{:#?}", judge(&told.history, &profile));
        assert_eq!((told.events, told.holes), (4, 0));
    }

    #[test]
    fn repetitions_and_inclusive_resumes_are_seen() {
        let twice = violated(&[stream(None, &[1, 2, 2, 3])]);
        assert!(twice.contains(&"SEAM-2".to_owned()), "{twice:?}");
        let inclusive = violated(&[stream(None, &[1, 2]), stream(Some(2), &[2, 3])]);
        assert!(inclusive.contains(&"RESUME-1".to_owned()), "{inclusive:?}");
    }

    #[test]
    fn disorder_and_holes_are_seen() {
        let swapped = violated(&[stream(None, &[1, 3, 2, 4])]);
        assert!(swapped.iter().any(|id| id.starts_with("ORDER")), "{swapped:?}");
        assert!(!violated(&[stream(None, &[1, 2, 4])]).is_empty(), "3 was there, because 4 was");
    }

    #[test]
    fn without_a_request_a_later_beginning_is_no_hole() {
        let bare = Captured { target: None, ..stream(None, &[5, 6, 7]) };
        assert_eq!(violated(&[bare]), Vec::<String>::new());
    }
}
