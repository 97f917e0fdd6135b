//! From the exchanges of a tape to a history that checkers can read.
//!
//! What was published through the proxy is known, with its answer; an event is recognised by its cursor, or by its payload.
//! What somebody else published is known by its cursor alone, and whether it was acknowledged nobody saw.

use std::collections::{BTreeMap, BTreeSet};

use super::Tape;
use super::exchange::{Exchange, Stamp, exchanges};
use super::meaning::{Asks, Meaning, meaning, shown};
use crate::contract::{Format, Operation, Profile};
use crate::history::{
    Action, Body, Complete, ConnId, Header, History, Invoke, Marker, Message, Micros, Named, Of, OpId, Outcome, Publish, Record, Session,
    SessionIx, What, Wire,
};

mod answered;
mod reading;
mod turns;

use answered::{MOST_TEXT, cursor_of, done, outcome, request, take, text};
use reading::Reader;
use turns::{Known as KnownTurns, Turns};

/// What a tape tells under a profile.
#[derive(Debug)]
pub struct Conversation {
    /// The history, messages included.
    pub history: History,
    /// Exchanges on the tape.
    pub exchanges: usize,
    /// Events whose publishing is on the tape.
    pub published: usize,
    /// Events that somebody else published, or a model said.
    pub foreign: BTreeSet<Marker>,
    /// True when each session is a turn of a conversation, begun by something that is no operation of the profile.
    pub turns: bool,
    /// What could not be understood, or is not judged, for people.
    pub open: Vec<String>,
    /// What stands for the placeholders of operations of the profile's own, by their numbers.
    pub with: BTreeMap<OpId, BTreeMap<String, String>>,
}

/// The conversation on a tape.
///
/// # Errors
/// In words, when a stream on it cannot be decoded.
pub fn conversation(tape: Tape, profile: &Profile) -> Result<Conversation, String> {
    let full = tape.moments.iter().any(|moment| moment.what == super::Taped::Full);
    let end = Stamp { nth: tape.moments.len(), at: tape.moments.last().map_or(Micros(0), |moment| moment.at) };
    let exchanges = exchanges(tape);
    let mut teller = Teller { profile, end, ..Teller::of(profile) };
    if full {
        teller.open.push("the tape was as long as it may be: what followed is missing".to_owned());
    }
    let meanings: Vec<Option<Meaning>> = exchanges.iter().map(|exchange| meaning(&profile.binding, exchange)).collect();
    let turns = Turns::of(profile);
    let is_stream = |meaning: &Option<Meaning>| matches!(meaning, Some(Meaning { asks: Asks::Stream { .. }, .. }));
    let sockets: Vec<&Exchange> = match turns {
        Some(_) => exchanges.iter().zip(&meanings).filter(|(_, meaning)| is_stream(meaning)).map(|(exchange, _)| exchange).collect(),
        None => Vec::new(),
    };
    teller.turns = turns.as_ref().map(|turns| teller.know_turns(turns, &sockets));
    let mut streams = Vec::new();
    for (exchange, meaning) in exchanges.iter().zip(meanings) {
        if let Some(why) = &exchange.lost {
            teller.open.push(format!("{} cannot be followed: {why}", shown(exchange)));
        }
        match meaning {
            None => teller.strange(exchange),
            Some(Meaning { asks: Asks::Stream { .. }, .. }) if turns.is_some() => {}
            Some(Meaning { asks: Asks::Stream { cursor }, session }) => {
                // Where a message subscribes, the handshake says nothing of a session.
                let names_one = profile.binding.subscribe.format != Format::Websocket || profile.binding.subscribe.json.is_none();
                let at = names_one.then(|| teller.session(session.as_deref().unwrap_or_default(), exchange.asked));
                streams.push((at, exchange, cursor));
            }
            Some(Meaning { asks, session }) => teller.operation(exchange, asks, session.as_deref()),
        }
    }
    let readings = match &turns {
        Some(turns) => teller.watched(turns, &sockets),
        None => teller.readings(&streams)?,
    };
    teller.tell(readings);
    Ok(teller.finish(exchanges.len()))
}

/// An event of a session.
struct Known {
    marker: Marker,
    digest: Body,
    durable: bool,
    /// When it was published; `None` for one of somebody else's.
    asked: Option<Stamp>,
}

/// A session while it is being told.
struct Told {
    /// The server's name for it.
    id: String,
    since: Stamp,
    events: Vec<Known>,
    by_cursor: BTreeMap<String, usize>,
    readers: Vec<Reader>,
    keys: BTreeMap<String, (OpId, Vec<String>)>,
}

struct Teller<'p> {
    profile: &'p Profile,
    end: Stamp,
    records: Vec<(usize, Record)>,
    sessions: Vec<Told>,
    /// The newest session of each name.
    by_name: BTreeMap<String, usize>,
    deleted: BTreeSet<usize>,
    ops: u32,
    conns: u32,
    /// Readers of all sessions.
    readers: usize,
    published: usize,
    foreign: BTreeSet<Marker>,
    /// The turns that are the sessions, in a profile of turns.
    turns: Option<KnownTurns>,
    /// Requests for pages and snapshots.
    pages: u64,
    strange: BTreeMap<String, usize>,
    open: Vec<String>,
    with: BTreeMap<OpId, BTreeMap<String, String>>,
}

impl<'p> Teller<'p> {
    fn of(profile: &'p Profile) -> Teller<'p> {
        Teller {
            profile,
            end: Stamp::default(),
            records: Vec::new(),
            sessions: Vec::new(),
            by_name: BTreeMap::new(),
            deleted: BTreeSet::new(),
            ops: 0,
            conns: 0,
            readers: 0,
            published: 0,
            foreign: BTreeSet::new(),
            turns: None,
            pages: 0,
            strange: BTreeMap::new(),
            open: Vec::new(),
            with: BTreeMap::new(),
        }
    }

    fn record(&mut self, at: Stamp, what: What) {
        self.records.push((at.nth, Record { at: at.at, what }));
    }

    fn strange(&mut self, exchange: &Exchange) {
        let path = exchange.target.split('?').next().unwrap_or_default();
        *self.strange.entry(format!("{} {path}", exchange.method)).or_default() += 1;
    }

    /// The session of this name, which is introduced here where it is new.
    fn session(&mut self, name: &str, at: Stamp) -> usize {
        if let Some(known) = self.by_name.get(name).filter(|known| !self.deleted.contains(known)) {
            return *known;
        }
        let reborn_of = self.by_name.get(name).map(|old| SessionIx(*old as u32));
        let ix = self.introduce(name, at, reborn_of);
        self.by_name.insert(name.to_owned(), ix);
        ix
    }

    /// A new session, which the server calls so.
    fn introduce(&mut self, name: &str, at: Stamp, reborn_of: Option<SessionIx>) -> usize {
        let ix = self.sessions.len();
        let session = SessionIx(ix as u32);
        self.record(at, What::Session(Box::new(Session { session, name: format!("s{}", ix + 1), retain: None, reborn_of })));
        if !name.is_empty() {
            self.record(at, What::Named(Box::new(Named { session, id: name.to_owned(), taken: BTreeMap::new() })));
        }
        let told = Told {
            id: name.to_owned(),
            since: at,
            events: Vec::new(),
            by_cursor: BTreeMap::new(),
            readers: Vec::new(),
            keys: BTreeMap::new(),
        };
        self.sessions.push(told);
        ix
    }

    fn op(&mut self, at: Stamp, action: Action) -> OpId {
        let op = OpId(self.ops);
        self.ops += 1;
        self.record(at, What::Invoke(Box::new(Invoke { op, action })));
        op
    }

    fn operation(&mut self, exchange: &Exchange, asks: Asks, named: Option<&str>) {
        let binding = &self.profile.binding;
        let asked = exchange.asked;
        match asks {
            Asks::Publish { payloads, durable, key } => {
                let bound = if durable { &binding.publish } else { &binding.publish_ephemeral };
                let at = self.session(named.unwrap_or_default(), asked);
                self.publishes(exchange, bound.as_ref(), at, payloads, durable, key);
            }
            Asks::Open => {
                let name = self.opened(exchange, binding.open.as_ref()).or(named.map(str::to_owned)).unwrap_or_default();
                let again = self.by_name.get(&name).is_some_and(|known| !self.deleted.contains(known));
                let refused = !done(binding.open.as_ref(), exchange);
                if again || refused {
                    // To open what is there is no second session, and what was refused is none.
                    let session = again.then(|| SessionIx(self.session(&name, asked) as u32));
                    return self.custom(exchange, binding.open.as_ref(), "open", session, BTreeMap::new());
                }
                let session = SessionIx(self.session(&name, asked) as u32);
                self.plain(exchange, binding.open.as_ref(), Action::Open { session, refuse: false });
            }
            Asks::Close => {
                let session = SessionIx(self.session(named.unwrap_or_default(), asked) as u32);
                self.plain(exchange, binding.close.as_ref(), Action::Close { session, by_stop: false });
            }
            Asks::Delete => {
                let at = self.session(named.unwrap_or_default(), asked);
                self.plain(exchange, binding.delete.as_ref(), Action::Delete { session: SessionIx(at as u32) });
                if done(binding.delete.as_ref(), exchange) {
                    self.deleted.insert(at);
                }
            }
            Asks::Health => self.plain(exchange, binding.health.as_ref(), Action::Health),
            Asks::History { .. } | Asks::Snapshot => {
                self.pages += 1;
                let session = Some(SessionIx(self.session(named.unwrap_or_default(), asked) as u32));
                let (name, operation) = match asks {
                    Asks::Snapshot => ("snapshot", binding.snapshot.as_ref().map(|snapshot| &snapshot.operation)),
                    _ => ("history", binding.history.as_ref().map(|history| &history.operation)),
                };
                self.custom(exchange, operation, name, session, BTreeMap::new());
            }
            Asks::Op { name, with } => {
                let session = match &self.turns {
                    // What is asked while a turn runs, or may change what runs, is about no turn that is over.
                    Some(turns) => named.filter(|_| exchange.method == "GET").and_then(|named| turns.settled(named, asked)),
                    None => named.map(|named| self.session(named, asked)),
                };
                let session = session.map(|session| SessionIx(session as u32));
                self.custom(exchange, binding.ops.get(&name), &name, session, with);
            }
            Asks::Stream { .. } => unreachable!("streams are told when all operations are"),
        }
    }

    fn custom(
        &mut self,
        exchange: &Exchange,
        operation: Option<&Operation>,
        name: &str,
        session: Option<SessionIx>,
        with: BTreeMap<String, String>,
    ) {
        self.with.insert(OpId(self.ops), with);
        self.plain(exchange, operation, Action::Custom { name: name.to_owned(), session, clears: Vec::new() });
    }

    /// An operation with its answer.
    fn plain(&mut self, exchange: &Exchange, operation: Option<&Operation>, action: Action) {
        let op = self.op(exchange.asked, action);
        self.message(exchange.asked, Of::Op(op), request(exchange));
        self.complete(exchange, operation, op, true);
    }

    fn complete(&mut self, exchange: &Exchange, operation: Option<&Operation>, op: OpId, with_message: bool) {
        let (at, answered) = self.answered(exchange);
        if with_message {
            self.message(at, Of::Op(op), answered);
        }
        self.record(at, What::Complete(Complete { op, outcome: outcome(exchange, operation) }));
    }

    /// When an exchange was over, and its answer as it stood on the wire.
    fn answered(&self, exchange: &Exchange) -> (Stamp, Message) {
        let at = exchange.over.map_or(self.end, |(at, _)| at);
        let message = match &exchange.answer {
            Some(answer) => {
                Message::Answer { status: answer.status, headers: answer.headers.clone(), body: text(&exchange.whole_body(), MOST_TEXT) }
            }
            None => Message::Silence,
        };
        (at, message)
    }

    fn publishes(
        &mut self,
        exchange: &Exchange,
        operation: Option<&Operation>,
        at: usize,
        payloads: Vec<String>,
        durable: bool,
        key: Option<String>,
    ) {
        let session = SessionIx(at as u32);
        let before = key.as_ref().and_then(|key| self.sessions[at].keys.get(key).cloned());
        let (repeats, conflict) = match &before {
            Some((first, same)) => (Some(*first), *same != payloads),
            None => (None, false),
        };
        if payloads.len() > 1 && repeats.is_some() {
            // Which of several events a repetition means is not said.
            return self.custom(exchange, operation, "publish", Some(session), BTreeMap::new());
        }
        if let (Some(key), None) = (&key, &before) {
            self.sessions[at].keys.insert(key.clone(), (OpId(self.ops), payloads.clone()));
        }
        let cursor = cursor_of(exchange, operation);
        let many = payloads.len();
        let first = repeats.filter(|_| !conflict).and_then(|first| self.marker_of(first));
        let mut ops = Vec::new();
        for (nth, payload) in payloads.into_iter().enumerate() {
            let digest = Body::of(&payload);
            let marker = first.unwrap_or_else(|| {
                let told = &mut self.sessions[at];
                let marker = Marker { session: session.0, n: told.events.len() as u32 + 1 };
                told.events.push(Known { marker, digest: digest.clone(), durable, asked: Some(exchange.asked) });
                marker
            });
            if let (Some(cursor), true, true) = (&cursor, durable && self.per_event(), nth + 1 == many) {
                self.sessions[at].by_cursor.entry(cursor.clone()).or_insert(marker.n as usize - 1);
            }
            self.published += usize::from(first.is_none());
            let publish = Publish {
                session,
                marker,
                durable,
                body: digest,
                key: key.clone(),
                repeats,
                conflict,
                hostile: false,
                hostile_type: false,
                secret: false,
            };
            let op = self.op(exchange.asked, Action::Publish(publish));
            if nth == 0 {
                self.message(exchange.asked, Of::Op(op), request(exchange));
            }
            ops.push(op);
        }
        for (nth, op) in ops.iter().enumerate() {
            let last = nth + 1 == many;
            let (when, answered) = self.answered(exchange);
            if nth == 0 {
                self.message(when, Of::Op(*op), answered);
            }
            let outcome = match outcome(exchange, operation) {
                // The cursor of an answer to several is the last one's.
                Outcome::Ok { status, cursor } => Outcome::Ok { status, cursor: cursor.filter(|_| last) },
                other => other,
            };
            self.record(when, What::Complete(Complete { op: *op, outcome }));
        }
    }

    fn marker_of(&self, op: OpId) -> Option<Marker> {
        self.records.iter().find_map(|(_, record)| match &record.what {
            What::Invoke(invoke) if invoke.op == op => invoke.action.publish().map(|publish| publish.marker),
            _ => None,
        })
    }

    /// True when an event has a cursor of its own, the same on every connection.
    fn per_event(&self) -> bool {
        self.profile.contract.cursor.as_ref().is_some_and(|cursor| cursor.per_event && cursor.stable)
    }

    fn opened(&self, exchange: &Exchange, operation: Option<&Operation>) -> Option<String> {
        take(exchange, operation?, "session")
    }

    fn message(&mut self, at: Stamp, of: Of, message: Message) {
        self.record(at, What::Wire(Box::new(Wire { of, message })));
    }

    fn finish(mut self, exchanges: usize) -> Conversation {
        for (request, times) in std::mem::take(&mut self.strange) {
            let often = if times == 1 { String::new() } else { format!(", {times} times") };
            self.open.push(format!("no operation of the profile: {request}{often}"));
        }
        if self.pages > 0 {
            let what = crate::report::plural(self.pages, "request");
            self.open.push(format!(
                "{what} for pages or snapshots kept as messages, and not judged: a page says nothing of what the client did with it"
            ));
        }
        self.records.sort_by_key(|(nth, _)| *nth);
        let mut records: Vec<Record> = self.records.into_iter().map(|(_, record)| record).collect();
        let ops = in_order(&mut records);
        let with = self.with.into_iter().filter_map(|(op, with)| Some((*ops.get(&op)?, with))).collect();
        let header =
            Header { streamspec_history: History::VERSION, profile: self.profile.name.clone(), scenario: "recorded".to_owned(), seed: 0 };
        Conversation {
            history: History { header, records },
            exchanges,
            published: self.published,
            foreign: self.foreign,
            turns: self.turns.is_some(),
            open: self.open,
            with,
        }
    }
}

/// Gives operations and connections numbers in the order of their records; the new numbers of operations by the old ones.
fn in_order(records: &mut [Record]) -> BTreeMap<OpId, OpId> {
    let (mut ops, mut conns) = (BTreeMap::new(), BTreeMap::new());
    for record in records.iter() {
        match &record.what {
            What::Invoke(invoke) => {
                let next = OpId(ops.len() as u32);
                ops.insert(invoke.op, next);
            }
            What::Connect(connect) => {
                let next = ConnId(conns.len() as u32);
                conns.insert(connect.conn, next);
            }
            _ => {}
        }
    }
    let op = |op: &mut OpId| *op = ops[op];
    let conn = |conn: &mut ConnId| *conn = conns[conn];
    for record in records {
        match &mut record.what {
            What::Invoke(invoke) => {
                op(&mut invoke.op);
                if let Action::Publish(Publish { repeats: Some(repeats), .. }) = &mut invoke.action {
                    op(repeats);
                }
            }
            What::Complete(complete) => op(&mut complete.op),
            What::Connect(connect) => conn(&mut connect.conn),
            What::Answer(answer) => conn(&mut answer.conn),
            What::Delivery(delivery) => conn(&mut delivery.conn),
            What::Comment(comment) => conn(&mut comment.conn),
            What::Lint(lint) => conn(&mut lint.conn),
            What::End(end) => conn(&mut end.conn),
            What::Wire(wire) => match &mut wire.of {
                Of::Op(of) => op(of),
                Of::Conn(of) => conn(of),
            },
            _ => {}
        }
    }
    ops
}
