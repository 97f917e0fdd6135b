//! How fast a history file becomes verdicts, and that the time grows with the file and no faster:
//! `cargo bench -p streamspec --bench judge`.

use std::hint::black_box;
use std::time::Instant;

use streamspec::check::{Finding, judge};
use streamspec::contract::Profile;
use streamspec::history::{
    Action, Answer, Body, Complete, ConnId, Connect, Delivery, End, Ended, From, Header, History, Invoke, Kind, Marker, Micros, OpId,
    Outcome, Publish, Record, Role, Session, SessionIx, Surface, What,
};

fn main() {
    let profile = Profile::load("sse").expect("it is built in");
    let mut before = None;
    for records in [100_000, 1_000_000] {
        let mut file = Vec::new();
        history(records).write(&mut file).expect("writing to memory");
        let began = Instant::now();
        let read = History::read(black_box(file.as_slice())).expect("it was just written");
        let parsed = began.elapsed().as_secs_f64();
        let verdicts = judge(&read, &profile);
        let seconds = began.elapsed().as_secs_f64();
        let failed = verdicts.iter().filter(|v| matches!(v.finding, Finding::Fail { .. })).count();
        assert_eq!(failed, 0, "the history is right");
        let n = read.records.len() as f64;
        println!(
            "{:>9} records, {:>4} MB: {seconds:.2} s ({parsed:.2} s of it reading), {:.2} M records/s",
            read.records.len(),
            file.len() / 1_000_000,
            n / seconds / 1e6
        );
        if let Some((records, time)) = before {
            println!("{:.1} × the records, {:.1} × the time", n / records, seconds / time);
        }
        before = Some((n, seconds));
    }
}

/// A right history: sessions of 1,000 events, a witness and a reader that is cut twice.
fn history(records: usize) -> History {
    let mut all = Vec::with_capacity(records);
    let (mut op, mut conn, mut at, mut session) = (0, 0, 0, 0);
    let mut push = |what: What| {
        at += 7;
        all.push(Record { at: Micros(at), what });
        all.len()
    };
    loop {
        let ix = SessionIx(session);
        push(What::Session(Session { session: ix, name: format!("s{session}"), retain: None, reborn_of: None }));
        let mut open = |reader: &str, nth: u32, from: From, push: &mut dyn FnMut(What) -> usize| {
            let id = ConnId(conn);
            conn += 1;
            let connect = Connect {
                conn: id,
                reader: reader.to_owned(),
                nth,
                session: ix,
                surface: Surface::Stream,
                from,
                role: Role::Plain,
                limit: None,
                request: String::new(),
            };
            push(What::Connect(connect));
            let answer = Answer {
                conn: id,
                status: 200,
                accepted: true,
                content_type: Some("text/event-stream".to_owned()),
                cache_control: Some("no-cache".to_owned()),
                body: String::new(),
            };
            push(What::Answer(answer));
            id
        };
        let control = |conn, kind| Delivery {
            conn,
            frame: 0,
            kind,
            event_type: "ready".to_owned(),
            cursor: None,
            marker: None,
            body: None,
            durable: true,
            points_to: None,
        };
        let witness = open("witness", 1, From::Start, &mut push);
        push(What::Delivery(control(witness, Kind::Boundary)));
        let reader = open("a", 1, From::Start, &mut push);
        push(What::Delivery(control(reader, Kind::Boundary)));
        for n in 1..=1000 {
            let marker = Marker { session, n };
            let body = Body::of(&format!("{marker} word {n}"));
            let publish = Publish {
                session: ix,
                marker,
                durable: true,
                body: body.clone(),
                key: None,
                repeats: None,
                conflict: false,
                hostile: false,
                hostile_type: false,
            };
            push(What::Invoke(Invoke { op: OpId(op), action: Action::Publish(publish) }));
            let cursor = Some(format!("0abc{session:04x}:{n}"));
            push(What::Complete(Complete { op: OpId(op), outcome: Outcome::Ok { status: 201, cursor: cursor.clone() } }));
            op += 1;
            for conn in [witness, reader] {
                let delivery = Delivery {
                    conn,
                    frame: n,
                    kind: Kind::Event,
                    event_type: "message".to_owned(),
                    cursor: cursor.clone(),
                    marker: Some(marker),
                    body: Some(body.clone()),
                    durable: true,
                    points_to: None,
                };
                push(What::Delivery(delivery));
            }
        }
        let mut len = 0;
        for conn in [witness, reader] {
            len = push(What::End(End { conn, how: Ended::Ours, unfinished: 0 }));
        }
        session += 1;
        if len >= records {
            break;
        }
    }
    History {
        header: Header { streamspec_history: History::VERSION, profile: "sse".to_owned(), scenario: "bench".to_owned(), seed: 0 },
        records: all,
    }
}
