//! Streams: whose connections they are, and which events came on them.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;

use smol_str::SmolStr;

use super::answered::{answer, ended, request};
use super::{Exchange, Known, Teller, Told};
use crate::capture::decoded::{Decoded, Items};
use crate::capture::header;
use crate::capture::tape::exchange::Stamp;
use crate::capture::tape::meaning::{shown, subscription};
use crate::contract::{Format, Subscribe};
use crate::history::{
    Action, Body, Comment, Complete, ConnId, Connect, CursorClass, End, Ended, From, Item, Kind, Lint, Marker, Message, Of, Outcome,
    Publish, Role, SessionIx, Surface, What, Wire,
};
use crate::run::binding::{Lens, PollAnswer, Raw, see_answer};

/// Longest answer that is unpacked.
const MOST_UNPACKED: usize = 64 << 20;

/// A logical reader: its connections follow each other by their cursors.
pub(super) struct Reader {
    /// Its place among the readers of all sessions.
    number: usize,
    connections: u32,
    cursor: Option<String>,
    /// When its newest connection was over.
    over: Stamp,
}

/// A request for a stream: its session, where it names one, and the cursor that it presents.
pub(super) type Asked<'e> = (Option<usize>, &'e Exchange, Option<String>);

/// What came on a stream.
pub(super) struct Came {
    pub(super) at: Stamp,
    /// The session that it names, or whose stream it is.
    pub(super) of: usize,
    pub(super) item: Decoded,
}

/// A stream to be told: one request, or the requests of a loop of long-polls.
pub(super) struct Reading<'e> {
    pub(super) session: usize,
    pub(super) exchanges: Vec<&'e Exchange>,
    /// What it presented.
    pub(super) cursor: Option<String>,
    /// What came, in the order of the tape.
    pub(super) items: VecDeque<Came>,
    /// Where a WebSocket subscribed; of other streams their request.
    pub(super) asked: Stamp,
    /// The message that subscribed.
    pub(super) sent: Option<String>,
    /// When the client left the stream, where its connection went on.
    pub(super) until: Option<Stamp>,
}

impl<'e> Reading<'e> {
    pub(super) fn of(session: usize, exchanges: Vec<&'e Exchange>, asked: Stamp, sent: Option<String>) -> Reading<'e> {
        Reading { session, exchanges, cursor: None, items: VecDeque::new(), asked, sent, until: None }
    }

    fn bringing(self, items: Vec<(Stamp, Decoded)>) -> Reading<'e> {
        let of = self.session;
        Reading { items: items.into_iter().map(|(at, item)| Came { at, of, item }).collect(), ..self }
    }

    /// True when its request was answered by a stream.
    fn accepted(&self, subscribe: &Subscribe) -> bool {
        let empty_poll = |status: u16| {
            subscribe.format == Format::LongPoll && subscribe.empty.as_ref().map_or(status == 204, |empty| empty.contains(status))
        };
        self.exchanges.first().and_then(|first| first.status()).is_some_and(|status| [101, 200].contains(&status) || empty_poll(status))
    }

    fn ended(&self, accepted: bool, end: Stamp) -> (Stamp, Ended) {
        let whole = self.exchanges.last().map_or((end, Ended::Ours), |last| ended(last, accepted, end));
        self.until.filter(|until| *until < whole.0).map_or(whole, |until| (until, Ended::Ours))
    }
}

/// A stream of which a part is told.
struct Telling {
    conn: ConnId,
    reader: usize,
    cursor: Option<SmolStr>,
    /// The events that it has brought: session and place.
    before: BTreeSet<(usize, usize)>,
    unfinished: u64,
}

/// What happens to a stream; at one place of the tape in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Begins,
    Brings,
    Ends,
}

impl Teller<'_> {
    /// What was read: each stream with its session, request and cursor.
    pub(super) fn readings<'e>(&mut self, streams: &[Asked<'e>]) -> Result<Vec<Reading<'e>>, String> {
        match self.profile.binding.subscribe.format {
            Format::LongPoll => self.polls(streams),
            Format::Websocket => Ok(self.sockets(streams)),
            Format::Sse | Format::Ndjson => self.bodies(streams),
        }
    }

    /// Tells streams in the order of the tape, so that an event of somebody else is met where it was sent first.
    pub(super) fn tell(&mut self, mut readings: Vec<Reading<'_>>) {
        readings.sort_by_key(|reading| reading.asked);
        let subscribe = &self.profile.binding.subscribe;
        let accepted: Vec<bool> = readings.iter().map(|reading| reading.accepted(subscribe)).collect();
        let mut ends: Vec<Option<(Stamp, Ended)>> =
            readings.iter().zip(&accepted).map(|(reading, accepted)| Some(reading.ended(*accepted, self.end))).collect();
        let mut moments: Vec<(usize, Happens, usize)> = Vec::new();
        for (at, reading) in readings.iter().enumerate() {
            moments.push((reading.asked.nth, Happens::Begins, at));
            moments.extend(reading.items.iter().map(|came| (came.at.nth, Happens::Brings, at)));
            moments.extend(ends[at].iter().map(|(end, _)| (end.nth, Happens::Ends, at)));
        }
        // Stable: what came on one stream at one place stays as it came.
        moments.sort();
        let mut telling: Vec<Option<Telling>> = readings.iter().map(|_| None).collect();
        for (_, happens, at) in moments {
            let reading = &mut readings[at];
            match (happens, &mut telling[at]) {
                (Happens::Begins, none) => *none = Some(self.begins(reading, accepted[at])),
                (Happens::Brings, Some(telling)) => {
                    if let Some(came) = reading.items.pop_front() {
                        self.brings(telling, came);
                    }
                }
                (Happens::Ends, Some(telling)) => {
                    if let Some((end, how)) = ends[at].take() {
                        self.ends(telling, reading.session, end, how);
                    }
                }
                (Happens::Brings | Happens::Ends, None) => {}
            }
        }
    }

    fn bodies<'e>(&self, streams: &[Asked<'e>]) -> Result<Vec<Reading<'e>>, String> {
        let format = self.profile.binding.subscribe.format;
        let mut readings = Vec::new();
        for (session, exchange, cursor) in streams {
            let Some(session) = session else { continue };
            let mut items = Items::new(Lens::of(self.profile, &self.sessions[*session].id).of_unmarked());
            if exchange.status() == Some(200) {
                let told = |why: String| format!("{}: {why}", shown(exchange));
                items.bytes(format, exchange.asked, &unpacked(exchange).map_err(told)?).map_err(told)?;
            }
            let reading = Reading { cursor: cursor.clone(), ..Reading::of(*session, vec![*exchange], exchange.asked, None) };
            readings.push(reading.bringing(items.items));
        }
        Ok(readings)
    }

    /// Polls that follow each other by their cursors are one stream.
    fn polls<'e>(&self, streams: &[Asked<'e>]) -> Result<Vec<Reading<'e>>, String> {
        let mut readings: Vec<(Reading<'e>, Option<SmolStr>)> = Vec::new();
        for (session, exchange, cursor) in streams {
            let Some(session) = session else { continue };
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
                    let reading = Reading { cursor: cursor.clone(), ..Reading::of(*session, Vec::new(), exchange.asked, None) };
                    readings.push((reading, None));
                    readings.last_mut().expect("it was just pushed")
                }
            };
            let frame = reading.exchanges.len() as u32;
            reading.exchanges.push(exchange);
            let before = next.clone();
            let brings = polled.seen.iter().any(|one| matches!(one.kind, Kind::Event | Kind::Other));
            // A cursor that is where the reader stands already, with nothing before it, says nothing.
            let seen: Vec<Item> =
                polled.seen.into_iter().filter(|one| one.kind != Kind::Commit || brings || one.cursor != before).collect();
            *next = polled.next.or(before);
            if !seen.is_empty() {
                let item = Decoded::Frame { frame, seen, digest: Body::of(&text), text };
                reading.items.push_back(Came { at, of: *session, item });
            }
        }
        Ok(readings.into_iter().map(|(reading, _)| reading).collect())
    }

    /// Every message that subscribes is a stream of its own, up to the end of its socket.
    fn sockets<'e>(&mut self, streams: &[Asked<'e>]) -> Vec<Reading<'e>> {
        let mut readings = Vec::new();
        for (session, exchange, cursor) in streams {
            let mut begun: Vec<(usize, Stamp, Option<String>)> = session.iter().map(|session| (*session, exchange.asked, None)).collect();
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
                let reading = Reading { cursor: cursor.clone(), ..Reading::of(session, vec![*exchange], asked, sent) };
                readings.push(reading.bringing(items.items));
            }
        }
        readings
    }

    fn begins(&mut self, reading: &mut Reading<'_>, accepted: bool) -> Telling {
        let first = reading.exchanges.first().expect("a stream has a request");
        let conn = ConnId(self.conns);
        self.conns += 1;
        let session = SessionIx(reading.session as u32);
        let from = self.from(reading.cursor.as_deref());
        let (reader, nth) = self.reader(reading.session, &from, reading.asked);
        let number = self.sessions[reading.session].readers[reader].number;
        self.record(
            reading.asked,
            What::Connect(Box::new(Connect {
                conn,
                reader: name_of(number).into(),
                nth,
                session,
                surface: Surface::Stream,
                from,
                role: Role::Plain,
                limit: None,
                request: shown(first),
            })),
        );
        self.message(reading.asked, Of::Conn(conn), request(first));
        if let Some(text) = reading.sent.take() {
            self.message(reading.asked, Of::Conn(conn), Message::Sent { text });
        }
        if let Some((at, answer)) = answer(conn, first, accepted) {
            let at = at.max(reading.asked);
            let headers = first.answer.as_ref().map(|head| head.headers.clone()).unwrap_or_default();
            self.message(at, Of::Conn(conn), Message::Answer { status: answer.status, headers, body: answer.body.clone() });
            self.record(at, What::Answer(Box::new(answer)));
        }
        Telling { conn, reader, cursor: reading.cursor.take().map(SmolStr::from), before: BTreeSet::new(), unfinished: 0 }
    }

    fn ends(&mut self, telling: &Telling, session: usize, at: Stamp, how: Ended) {
        let reader = &mut self.sessions[session].readers[telling.reader];
        (reader.over, reader.cursor) = (at, telling.cursor.clone().map(String::from));
        let unfinished = if matches!(how, Ended::Eof) { telling.unfinished } else { 0 };
        self.record(at, What::End(End { conn: telling.conn, how, unfinished }));
    }

    /// Where a request starts.
    fn from(&self, cursor: Option<&str>) -> From {
        let subscribe = &self.profile.binding.subscribe;
        match cursor.filter(|cursor| !cursor.is_empty()) {
            Some(word) if Some(word) == subscribe.live.as_deref() => From::Live,
            Some(word) if Some(word) == subscribe.start.as_deref() => From::Start,
            Some(value) => From::Cursor { value: value.into(), class: CursorClass::Own, beside: None },
            None if subscribe.live.as_deref() == Some("") => From::Live,
            None => From::Start,
        }
    }

    /// Whose connection this is: that of the reader which was left with this cursor, or a new one's.
    fn reader(&mut self, session: usize, from: &From, asked: Stamp) -> (usize, u32) {
        let number = self.readers;
        let readers = &mut self.sessions[session].readers;
        let left = |reader: &Reader| {
            matches!(from, From::Cursor { value, .. } if reader.cursor.as_deref() == Some(value.as_str())) && reader.over < asked
        };
        let at = readers.iter().position(left).unwrap_or_else(|| {
            readers.push(Reader { number, connections: 0, cursor: None, over: Stamp::default() });
            readers.len() - 1
        });
        self.readers += usize::from(readers[at].connections == 0);
        readers[at].connections += 1;
        (at, readers[at].connections)
    }

    /// Records what came on a connection.
    fn brings(&mut self, telling: &mut Telling, Came { at, of, item }: Came) {
        let conn = telling.conn;
        match item {
            Decoded::Frame { frame, seen, digest, text } => {
                if !seen.is_empty() {
                    self.record(at, What::Wire(Box::new(Wire { of: Of::Conn(conn), message: Message::Frame { frame, text } })));
                }
                for one in seen {
                    let one = self.recognised(one, of, at, &digest, &mut telling.before);
                    if one.cursor.is_some() {
                        telling.cursor.clone_from(&one.cursor);
                    }
                    self.record(at, What::Delivery(one.delivery(conn, frame)));
                }
            }
            Decoded::Comment(text) => self.record(at, What::Comment(Comment { conn, text })),
            Decoded::Lint(lint) => self.record(at, What::Lint(Box::new(Lint { conn, ..lint }))),
            Decoded::Unfinished(bytes) => telling.unfinished = bytes,
        }
    }

    /// What was seen, with the event's token. An event is known by its cursor where each has one; otherwise by its payload: of
    /// several with the same one it is the first that this connection has not brought, so that nobody is accused by chance.
    fn recognised(&mut self, mut one: Item, session: usize, at: Stamp, digest: &Body, before: &mut BTreeSet<(usize, usize)>) -> Item {
        // A terminal event is known by its kind.
        if !matches!(one.kind, Kind::Event | Kind::Other) {
            return one;
        }
        // Of what a model says only its words are events, and nobody but the stream says which they are.
        let spoken = self.turns.is_some();
        if spoken && (one.body.is_none() || !one.durable) {
            return one;
        }
        let own = one.cursor.clone().filter(|_| self.per_event() && one.durable);
        let payload = one.body.take().unwrap_or_else(|| digest.clone());
        one.marker = None;
        let told = &self.sessions[session];
        let by_cursor = own.as_ref().and_then(|cursor| told.by_cursor.get(cursor.as_str()).copied());
        let found = by_cursor.or_else(|| spoken.then(|| next_of(told, session, &payload, before)).flatten()).or_else(|| {
            if spoken && before.len() >= told.events.len() {
                return None;
            }
            let same = |(_, known): &(usize, &Known)| {
                known.durable == one.durable && known.digest.same(&payload) && known.asked.is_none_or(|asked| asked <= at)
            };
            // One whose cursor is known is no other.
            let named: BTreeSet<usize> = if own.is_some() { told.by_cursor.values().copied().collect() } else { BTreeSet::new() };
            let fits: Vec<usize> = told.events.iter().enumerate().filter(same).map(|(at, _)| at).filter(|at| !named.contains(at)).collect();
            let first = fits.iter().find(|at| !before.contains(&(session, **at)));
            first.or_else(|| fits.last().filter(|_| !spoken)).copied()
        });
        let found = found.or_else(|| spoken.then(|| self.spoken(session, payload.clone(), at)));
        let found = found.or_else(|| own.is_some().then(|| self.foreign(session, payload.clone())));
        let Some(found) = found else { return one };
        if let Some(cursor) = own {
            self.sessions[session].by_cursor.entry(cursor.into()).or_insert(found);
        }
        before.insert((session, found));
        one.marker = Some(self.sessions[session].events[found].marker);
        (one.body, one.kind) = (Some(payload), Kind::Event);
        one
    }

    /// An event that somebody else published, at a time that nobody saw.
    fn foreign(&mut self, session: usize, digest: Body) -> usize {
        let since = self.sessions[session].since;
        self.of_others(session, digest, since, Outcome::Unknown { why: "nobody saw it published".to_owned() })
    }

    /// A word of a model: acknowledged by its first delivery, which is this.
    fn spoken(&mut self, session: usize, digest: Body, at: Stamp) -> usize {
        self.of_others(session, digest, at, Outcome::Ok { status: 0, cursor: None })
    }

    fn of_others(&mut self, session: usize, digest: Body, at: Stamp, outcome: Outcome) -> usize {
        let told = &mut self.sessions[session];
        let marker = Marker { session: session as u32, n: told.events.len() as u32 + 1 };
        told.events.push(Known { marker, digest: digest.clone(), durable: true, asked: None });
        let place = told.events.len() - 1;
        self.foreign.insert(marker);
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
        let op = self.op(at, Action::Publish(publish));
        self.record(at, What::Complete(Complete { op, outcome }));
        place
    }
}

/// The word behind the newest one that a connection has brought, if it is this: a turn is told in its order, so that long ones are
/// not searched for each word.
fn next_of(told: &Told, session: usize, payload: &Body, before: &BTreeSet<(usize, usize)>) -> Option<usize> {
    let next = before.range((session, 0)..=(session, usize::MAX)).next_back().map_or(0, |(_, newest)| newest + 1);
    told.events.get(next).filter(|event| event.digest.same(payload)).map(|_| next)
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
