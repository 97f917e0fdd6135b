//! How fast a history file becomes verdicts, and that the time grows with the file and no faster, whatever its shape:
//! `cargo bench -p streamspec --bench judge`.
//!
//! `-- retention` (or `'one long session' 100000` …) measures one shape, for a profiler with one size.

use std::hint::black_box;
use std::time::Instant;

use streamspec::check::{Finding, judge};
use streamspec::contract::Profile;
use streamspec::history::{
    Action, Answer, Body, Complete, ConnId, Connect, CursorClass, Delivery, End, Ended, From, Header, History, Invoke, Item, Kind, Marker,
    Micros, OpId, Outcome, Process, Publish, Record, Retain, Role, Session, SessionIx, Surface, What,
};

/// Makes a right history of at least so many records.
type Shape = fn(usize) -> Vec<Record>;

fn main() {
    let profile = Profile::load("sse").expect("it is built in");
    let shapes: [(&str, Shape); 4] =
        [("many sessions", many_sessions), ("one long session", one_long_session), ("restarts", restarts), ("retention", retention)];
    // Cargo says `--bench` to every benchmark.
    let said: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let sizes: Vec<usize> = said.iter().skip(1).map(|size| size.parse().expect("a number of records")).collect();
    let sizes = if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes };
    let asked = |name: &str| said.first().is_none_or(|said| said == name);
    assert!(shapes.iter().any(|(name, _)| asked(name)), "`{}` is no shape; there are {:?}", said[0], shapes.map(|(name, _)| name));
    for (name, shape) in shapes.into_iter().filter(|(name, _)| asked(name)) {
        let mut before = None;
        for records in sizes.iter().copied() {
            let header = Header { streamspec_history: History::VERSION, profile: "sse".to_owned(), scenario: name.to_owned(), seed: 0 };
            let mut file = Vec::new();
            History { header, records: shape(records) }.write(&mut file).expect("writing to memory");
            let began = Instant::now();
            let read = History::read(black_box(file.as_slice())).expect("it was just written");
            let parsed = began.elapsed().as_secs_f64();
            let verdicts = judge(&read, &profile);
            let seconds = began.elapsed().as_secs_f64();
            let failed: Vec<_> = verdicts.iter().filter(|v| matches!(v.finding, Finding::Fail { .. })).collect();
            assert!(failed.is_empty(), "the history is right, and yet {failed:#?}");
            let n = read.records.len() as f64;
            let growth = before
                .map_or(String::new(), |(records, time)| format!(", {:.1} × the records in {:.1} × the time", n / records, seconds / time));
            println!(
                "{name:<17} {:>8} records, {:>4} MB: {seconds:.2} s ({parsed:.2} s of it reading), {:.2} M records/s{growth}",
                read.records.len(),
                file.len() / 1_000_000,
                n / seconds / 1e6
            );
            before = Some((n, seconds));
        }
    }
}

/// Sessions of 1,000 events, each with a witness and another reader.
fn many_sessions(records: usize) -> Vec<Record> {
    let mut server = Server::default();
    while server.records.len() < records {
        server.open(None);
        let readers = [server.connect("witness", 0, None), server.connect("a", 0, None)];
        for _ in 0..1000 {
            server.publish(&readers);
        }
        readers.into_iter().for_each(|reader| server.end(reader, Ended::Ours));
    }
    server.records
}

/// One session with a witness; another reader is cut after each 500 events, misses 500 and replays them.
fn one_long_session(records: usize) -> Vec<Record> {
    let mut server = Server::default();
    server.open(None);
    let witness = server.connect("witness", 0, None);
    while server.records.len() < records {
        let seen = server.last();
        let a = server.connect("a", seen.saturating_sub(500), None);
        for _ in 0..500 {
            server.publish(&[witness, a]);
        }
        server.end(a, Ended::Ours);
        for _ in 0..500 {
            server.publish(&[witness]);
        }
    }
    server.records
}

/// One session whose server is killed after each 200 events, with a publish unanswered; all readers come back.
fn restarts(records: usize) -> Vec<Record> {
    let mut server = Server::default();
    server.open(None);
    while server.records.len() < records {
        let readers = [server.connect("witness", server.last(), None), server.connect("a", server.last(), None)];
        for _ in 0..200 {
            server.publish(&readers);
        }
        server.push(What::Process(Process::Signal { name: "KILL".to_owned() }));
        readers.into_iter().for_each(|reader| server.end(reader, Ended::Broken { why: "reset".to_owned() }));
        server.push(What::Process(Process::Gone));
        server.push(What::Process(Process::Ready { pid: 1, generation: 1, wiped: false }));
    }
    let (reader, end) = (server.connect("auditor", 0, None), Ended::Ours);
    server.end(reader, end);
    server.records
}

/// One session that keeps 300 events; a reader comes with an evicted cursor after each 1,000.
fn retention(records: usize) -> Vec<Record> {
    let mut server = Server::default();
    server.open(Some(300));
    let witness = server.connect("witness", 0, None);
    while server.records.len() < records {
        for _ in 0..1000 {
            server.publish(&[witness]);
        }
        let (last, oldest) = (server.last(), server.last() - 299);
        let a = server.connect("a", last - 900, Some(oldest));
        server.end(a, Ended::Ours);
    }
    server.records
}

/// A right server, as its history shows it.
#[derive(Default)]
struct Server {
    records: Vec<Record>,
    sessions: u32,
    conns: u32,
    ops: u32,
    /// Events of the newest session.
    events: Vec<Body>,
}

impl Server {
    fn push(&mut self, what: What) {
        let at = Micros(self.records.len() as u64 * 7);
        self.records.push(Record { at, what });
    }

    fn open(&mut self, keep: Option<i64>) {
        let (session, name) = (SessionIx(self.sessions), format!("s{}", self.sessions));
        let retain = keep.map(|records| Retain { records: Some(records), ..Retain::default() });
        self.sessions += 1;
        self.events.clear();
        self.push(What::Session(Box::new(Session { session, name, retain, reborn_of: None })));
    }

    fn last(&self) -> u32 {
        self.events.len() as u32
    }

    fn cursor(&self, n: u32) -> String {
        format!("{:08x}:{n}", self.sessions)
    }

    /// A stream behind event `after`, up to its boundary. Where `oldest` is given, a gap up to there is announced.
    fn connect(&mut self, reader: &str, after: u32, oldest: Option<u32>) -> ConnId {
        let conn = ConnId(self.conns);
        self.conns += 1;
        let from = match after {
            0 => From::Start,
            n => From::Cursor { value: self.cursor(n).into(), class: CursorClass::Own, beside: None },
        };
        let (session, request) = (SessionIx(self.sessions - 1), String::new());
        let (surface, role) = (Surface::Stream, Role::Plain);
        self.push(What::Connect(Box::new(Connect {
            conn,
            reader: reader.into(),
            nth: 1,
            session,
            surface,
            from,
            role,
            limit: None,
            request,
        })));
        let (content_type, cache_control) = (Some("text/event-stream".into()), Some("no-cache".into()));
        self.push(What::Answer(Box::new(Answer { conn, status: 200, accepted: true, content_type, cache_control, body: String::new() })));
        if let Some(oldest) = oldest {
            self.control(conn, Kind::Gap, Some(self.cursor(oldest)));
        }
        for n in oldest.unwrap_or(after + 1)..=self.last() {
            self.deliver(conn, n);
        }
        self.control(conn, Kind::Boundary, None);
        conn
    }

    fn end(&mut self, conn: ConnId, how: Ended) {
        self.push(What::End(End { conn, how, unfinished: 0 }));
    }

    /// Publishes an event and delivers it to these readers.
    fn publish(&mut self, readers: &[ConnId]) {
        let (session, n, op) = (SessionIx(self.sessions - 1), self.last() + 1, OpId(self.ops));
        let marker = Marker { session: session.0, n };
        let body = Body::of(&format!("{marker} word {n}"));
        self.ops += 1;
        self.events.push(body.clone());
        let (key, repeats, conflict, hostile, hostile_type) = Default::default();
        let publish = Publish { session, marker, durable: true, body, key, repeats, conflict, hostile, hostile_type, secret: false };
        self.push(What::Invoke(Box::new(Invoke { op, action: Action::Publish(publish) })));
        self.push(What::Complete(Complete { op, outcome: Outcome::Ok { status: 201, cursor: Some(self.cursor(n).into()) } }));
        for conn in readers {
            self.deliver(*conn, n);
        }
    }

    fn deliver(&mut self, conn: ConnId, n: u32) {
        let item = Item {
            event_type: "message".into(),
            cursor: Some(self.cursor(n).into()),
            marker: Some(Marker { session: self.sessions - 1, n }),
            body: Some(self.events[n as usize - 1].clone()),
            ..Item::default()
        };
        self.push(What::Delivery(Delivery { conn, frame: n, item: item.into() }));
    }

    fn control(&mut self, conn: ConnId, kind: Kind, points_to: Option<String>) {
        let event_type = format!("{kind:?}").to_lowercase();
        let item = Item { kind, event_type: event_type.into(), points_to: points_to.map(Into::into), ..Item::default() };
        self.push(What::Delivery(Delivery { conn, frame: 0, item: item.into() }));
    }
}
