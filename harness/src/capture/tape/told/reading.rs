//! Streams: whose connections they are, and which events came on them.

use std::collections::BTreeSet;
use std::io::Write;

use smol_str::SmolStr;

use super::{Exchange, Known, Stream, Teller, answer, ended, request};
use crate::capture::decoded::{Item, Items};
use crate::capture::header;
use crate::capture::tape::exchange::Stamp;
use crate::capture::tape::meaning::{shown, subscription};
use crate::contract::Format;
use crate::history::{
    Action, Body, Comment, ConnId, Connect, CursorClass, End, From, Invoke, Kind, Lint, Marker, Message, Of, OpId, Outcome, Publish,
    Record, Role, SessionIx, Surface, What, Wire,
};
use crate::run::binding::{Lens, PollAnswer, Raw, Seen, see_answer};

/// Longest answer that is unpacked.
const MOST_UNPACKED: usize = 64 << 20;

/// A logical reader: its connections follow each other by their cursors.
pub(super) struct Reader {
    connections: u32,
    cursor: Option<String>,
    /// When its newest connection was over.
    over: Stamp,
}

/// A stream to be told: one request, or the requests of a loop of long-polls.
struct Reading<'e> {
    session: usize,
    exchanges: Vec<&'e Exchange>,
    /// What it presented.
    cursor: Option<String>,
    items: Stream,
    /// Where a WebSocket subscribed; of other streams their request.
    asked: Stamp,
    /// The message that subscribed.
    sent: Option<String>,
}

impl Teller<'_> {
    /// Tells all streams: their session, request and cursor.
    pub(super) fn streams(&mut self, streams: &[(usize, &Exchange, Option<String>)]) -> Result<(), String> {
        let mut readings = match self.profile.binding.subscribe.format {
            Format::LongPoll => self.polls(streams)?,
            Format::Websocket => self.sockets(streams),
            Format::Sse | Format::Ndjson => self.bodies(streams)?,
        };
        readings.sort_by_key(|reading| reading.asked);
        for reading in readings {
            self.stream(reading);
        }
        Ok(())
    }

    fn bodies<'e>(&self, streams: &[(usize, &'e Exchange, Option<String>)]) -> Result<Vec<Reading<'e>>, String> {
        let format = self.profile.binding.subscribe.format;
        let mut readings = Vec::new();
        for (session, exchange, cursor) in streams {
            let mut items = Items::new(Lens::of(self.profile, &self.sessions[*session].id).of_unmarked());
            if exchange.status() == Some(200) {
                let told = |why: String| format!("{}: {why}", shown(exchange));
                items.bytes(format, exchange.asked, &unpacked(exchange).map_err(told)?).map_err(told)?;
            }
            let (session, cursor, asked) = (*session, cursor.clone(), exchange.asked);
            readings.push(Reading { session, exchanges: vec![exchange], cursor, items: items.items, asked, sent: None });
        }
        Ok(readings)
    }

    /// Polls that follow each other by their cursors are one stream.
    fn polls<'e>(&self, streams: &[(usize, &'e Exchange, Option<String>)]) -> Result<Vec<Reading<'e>>, String> {
        let mut readings: Vec<(Reading<'e>, Option<SmolStr>)> = Vec::new();
        for (session, exchange, cursor) in streams {
            let head = exchange.answer.as_ref();
            let body = unpacked(exchange)?.into_iter().flat_map(|(_, piece)| piece).collect::<Vec<u8>>();
            let text = String::from_utf8_lossy(&body).into_owned();
            let of_header = |name: &str| head.and_then(|head| header(&head.headers, name)).map(str::to_owned);
            let lens = Lens::of(self.profile, &self.sessions[*session].id).of_unmarked();
            let status = exchange.status().unwrap_or_default();
            let polled = see_answer(lens, &PollAnswer { status, header: &of_header, text: &text }).unwrap_or_default();
            let at = exchange.over.map_or(self.end, |(at, _)| at);
            let follows = readings
                .iter_mut()
                .find(|(reading, next)| reading.session == *session && next.is_some() && next.as_deref() == cursor.as_deref());
            let (reading, next) = match follows {
                Some(known) => known,
                None => {
                    let (session, cursor, asked) = (*session, cursor.clone(), exchange.asked);
                    readings.push((Reading { session, exchanges: Vec::new(), cursor, items: Vec::new(), asked, sent: None }, None));
                    readings.last_mut().expect("it was just pushed")
                }
            };
            let frame = reading.exchanges.len() as u32;
            reading.exchanges.push(exchange);
            let before = next.clone();
            let brings = polled.seen.iter().any(|one| matches!(one.kind, Kind::Event | Kind::Other));
            // A cursor that is where the reader stands already, with nothing before it, says nothing.
            let seen: Vec<Seen> =
                polled.seen.into_iter().filter(|one| one.kind != Kind::Commit || brings || one.cursor != before).collect();
            *next = polled.next.or(before);
            if !seen.is_empty() {
                reading.items.push((at, Item::Frame { frame, seen, digest: Body::of(&text), text }));
            }
        }
        Ok(readings.into_iter().map(|(reading, _)| reading).collect())
    }

    /// Every message that subscribes is a stream of its own, up to the end of its socket.
    fn sockets<'e>(&mut self, streams: &[(usize, &'e Exchange, Option<String>)]) -> Vec<Reading<'e>> {
        let mut readings = Vec::new();
        for (session, exchange, cursor) in streams {
            let whole = self.profile.binding.subscribe.json.is_none();
            let mut begun: Vec<(usize, Stamp, Option<String>)> = Vec::new();
            if whole {
                begun.push((*session, exchange.asked, None));
            }
            for (at, _, text) in exchange.messages.iter().filter(|(_, client, _)| *client) {
                if let Some(name) = subscription(&self.profile.binding, text) {
                    begun.push((self.session(&name, *at), *at, Some(text.clone())));
                }
            }
            for (session, asked, sent) in begun {
                let mut items = Items::new(Lens::of(self.profile, &self.sessions[session].id).of_unmarked());
                for (at, _, text) in exchange.messages.iter().filter(|(at, client, _)| !client && *at >= asked) {
                    items.frame(*at, Raw::Json(text), text.as_bytes());
                }
                readings.push(Reading { session, exchanges: vec![exchange], cursor: cursor.clone(), items: items.items, asked, sent });
            }
        }
        readings
    }

    fn stream(&mut self, reading: Reading<'_>) {
        let (Some(first), Some(last)) = (reading.exchanges.first(), reading.exchanges.last()) else { return };
        let conn = ConnId(self.conns);
        self.conns += 1;
        let session = SessionIx(reading.session as u32);
        let from = self.from(reading.cursor.as_deref());
        let (reader, nth) = self.reader(reading.session, &from, reading.asked);
        self.record(
            reading.asked,
            What::Connect(Connect {
                conn,
                reader: name_of(reader),
                nth,
                session,
                surface: Surface::Stream,
                from,
                role: Role::Plain,
                limit: None,
                request: shown(first),
            }),
        );
        self.message(reading.asked, Of::Conn(conn), request(first));
        if let Some(text) = reading.sent {
            self.message(reading.asked, Of::Conn(conn), Message::Sent { text });
        }
        let accepted = first.status().is_some_and(|status| [101, 200].contains(&status) || self.is_empty_poll(status));
        if let Some((at, answer)) = answer(conn, first, accepted) {
            let at = at.max(reading.asked);
            let headers = first.answer.as_ref().map(|head| head.headers.clone()).unwrap_or_default();
            self.message(at, Of::Conn(conn), Message::Answer { status: answer.status, headers, body: answer.body.clone() });
            self.record(at, What::Answer(answer));
        }
        let unfinished = self.items(conn, &reading.items, reading.session, reader, reading.cursor);
        let (at, how) = ended(last, accepted, self.end);
        self.sessions[reading.session].readers[reader].over = at;
        let unfinished = if matches!(how, crate::history::Ended::Eof) { unfinished } else { 0 };
        self.record(at, What::End(End { conn, how, unfinished }));
    }

    fn is_empty_poll(&self, status: u16) -> bool {
        let subscribe = &self.profile.binding.subscribe;
        subscribe.format == Format::LongPoll && subscribe.empty.as_ref().map_or(status == 204, |empty| empty.contains(status))
    }

    /// Where a request starts.
    fn from(&self, cursor: Option<&str>) -> From {
        let subscribe = &self.profile.binding.subscribe;
        match cursor.filter(|cursor| !cursor.is_empty()) {
            Some(word) if Some(word) == subscribe.live.as_deref() => From::Live,
            Some(word) if Some(word) == subscribe.start.as_deref() => From::Start,
            Some(value) => From::Cursor { value: value.to_owned(), class: CursorClass::Own, beside: None },
            None if subscribe.live.as_deref() == Some("") => From::Live,
            None => From::Start,
        }
    }

    /// Whose connection this is: that of the reader which was left with this cursor, or a new one's.
    fn reader(&mut self, session: usize, from: &From, asked: Stamp) -> (usize, u32) {
        let readers = &mut self.sessions[session].readers;
        let left =
            |reader: &Reader| matches!(from, From::Cursor { value, .. } if reader.cursor.as_ref() == Some(value)) && reader.over < asked;
        let at = readers.iter().position(left).unwrap_or_else(|| {
            readers.push(Reader { connections: 0, cursor: None, over: Stamp::default() });
            readers.len() - 1
        });
        readers[at].connections += 1;
        (at, readers[at].connections)
    }

    /// Records what came on a connection; bytes behind the last whole frame.
    fn items(&mut self, conn: ConnId, items: &Stream, session: usize, reader: usize, presented: Option<String>) -> u64 {
        let mut cursor = presented.map(SmolStr::from);
        let mut before = BTreeSet::new();
        let mut unfinished = 0;
        for (at, item) in items {
            match item {
                Item::Frame { frame, seen, digest, text } => {
                    if !seen.is_empty() {
                        self.record(
                            *at,
                            What::Wire(Wire { of: Of::Conn(conn), message: Message::Frame { frame: *frame, text: text.clone() } }),
                        );
                    }
                    for one in seen {
                        let one = self.recognised(one.clone(), session, *at, digest, &mut before);
                        if one.cursor.is_some() {
                            cursor.clone_from(&one.cursor);
                        }
                        self.record(*at, What::Delivery(one.delivery(conn, *frame)));
                    }
                }
                Item::Comment(text) => self.record(*at, What::Comment(Comment { conn, text: text.clone() })),
                Item::Lint(lint) => self.record(*at, What::Lint(Lint { conn, ..lint.clone() })),
                Item::Unfinished(bytes) => unfinished = *bytes,
            }
        }
        self.sessions[session].readers[reader].cursor = cursor.map(String::from);
        unfinished
    }

    /// What was seen, with the event's token. An event is known by its cursor where each has one; otherwise by its payload: of
    /// several with the same one it is the first that this connection has not brought, so that nobody is accused by chance.
    fn recognised(&mut self, mut one: Seen, session: usize, at: Stamp, digest: &Body, before: &mut BTreeSet<usize>) -> Seen {
        // A terminal event is known by its kind.
        if !matches!(one.kind, Kind::Event | Kind::Other) {
            return one;
        }
        let own = one.cursor.clone().filter(|_| self.per_event() && one.durable);
        let payload = one.body.take().unwrap_or_else(|| digest.clone());
        one.marker = None;
        let told = &self.sessions[session];
        let by_cursor = own.as_ref().and_then(|cursor| told.by_cursor.get(cursor.as_str()).copied());
        let found = by_cursor.or_else(|| {
            let same = |(_, known): &(usize, &Known)| {
                known.durable == one.durable && known.digest.same(&payload) && known.asked.is_none_or(|asked| asked <= at)
            };
            // One whose cursor is known is no other.
            let named: BTreeSet<usize> = if own.is_some() { told.by_cursor.values().copied().collect() } else { BTreeSet::new() };
            let fits: Vec<usize> = told.events.iter().enumerate().filter(same).map(|(at, _)| at).filter(|at| !named.contains(at)).collect();
            fits.iter().find(|at| !before.contains(at)).or(fits.last()).copied()
        });
        let found = found.or_else(|| own.is_some().then(|| self.foreign(session, payload.clone())));
        let Some(found) = found else { return one };
        if let Some(cursor) = own {
            self.sessions[session].by_cursor.entry(cursor.into()).or_insert(found);
        }
        before.insert(found);
        one.marker = Some(self.sessions[session].events[found].marker);
        (one.body, one.kind) = (Some(payload), Kind::Event);
        one
    }

    /// An event that somebody else published, at a time that nobody saw.
    fn foreign(&mut self, session: usize, digest: Body) -> usize {
        let told = &mut self.sessions[session];
        let since = told.since;
        let marker = Marker { session: session as u32, n: told.events.len() as u32 + 1 };
        told.events.push(Known { marker, digest: digest.clone(), durable: true, asked: None });
        let at = told.events.len() - 1;
        self.foreign += 1;
        let publish = Publish {
            session: SessionIx(session as u32),
            marker,
            durable: true,
            body: digest,
            key: None,
            repeats: None,
            conflict: false,
            hostile: false,
            hostile_type: false,
            secret: false,
        };
        let op = OpId(self.ops);
        self.ops += 1;
        let invoke = What::Invoke(Invoke { op, action: Action::Publish(publish) });
        let outcome = Outcome::Unknown { why: "nobody saw it published".to_owned() };
        let complete = What::Complete(crate::history::Complete { op, outcome });
        for what in [invoke, complete] {
            self.records.push((since.nth, Record { at: since.at, what }));
        }
        at
    }
}

/// `a`, `b`, … `z`, `r27`, …
fn name_of(reader: usize) -> String {
    u8::try_from(reader).ok().filter(|at| *at < 26).map_or_else(|| format!("r{}", reader + 1), |at| char::from(b'a' + at).to_string())
}

/// The pieces of an answer, without its content coding.
fn unpacked(exchange: &Exchange) -> Result<Vec<(Stamp, Vec<u8>)>, String> {
    let coding = exchange.answer.as_ref().and_then(|head| header(&head.headers, "content-encoding")).unwrap_or("identity");
    let limited = |pieces: &[(Stamp, Vec<u8>)]| pieces.iter().map(|(_, piece)| piece.len()).sum::<usize>() <= MOST_UNPACKED;
    match coding.to_ascii_lowercase().as_str() {
        "identity" | "" => Ok(exchange.pieces.clone()),
        "gzip" | "x-gzip" => {
            let mut decoder = flate2::write::MultiGzDecoder::new(Vec::new());
            let mut pieces = Vec::new();
            for (at, piece) in &exchange.pieces {
                let fed = decoder.write_all(piece).and_then(|()| decoder.flush());
                fed.map_err(|e| format!("the body is no gzip: {e}"))?;
                pieces.push((*at, std::mem::take(decoder.get_mut())));
                if !limited(&pieces) {
                    return Err(format!("the body is longer than {} MiB", MOST_UNPACKED >> 20));
                }
            }
            Ok(pieces)
        }
        other => Err(format!("the body is packed by `{other}`, which is not read here; let the client ask for `identity` or `gzip`")),
    }
}
