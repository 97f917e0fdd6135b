//! A reader of a long-poll against a server that plays a script, one answer a connection; hostile scripts included.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::contract::Profile;
use crate::history::{ConnId, End, Ended, From, Kind, What};
use crate::run::binding::{Vars, for_stream};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::world::live::http::Clients;
use crate::world::live::stream::{Follow, Handle};

const PROFILE: &str = r#"name = "polled"
[binding.subscribe]
request = "GET /s"
format = "long-poll"
cursor = [{ query = "after" }]
start = "-1"
next = "header:Next"
[binding.event]
records = ""
payload = "/text"
[binding.frames]
boundary = { header = { Up-To-Date = "true" } }
terminal = { header = { Closed = "true" } }
gap = { status = 410 }
"#;

/// An answer with its length.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a reader records of a script, and the targets it asked for. When the script is over the last answer is repeated.
async fn read(script: Vec<Vec<u8>>, compressed: bool) -> (Vec<String>, Ended, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (asked, mut targets) = tokio::sync::mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        for nth in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let target = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = asked.send(target);
            // A reader that has had enough is gone.
            let _ = stream.write_all(&script[nth.min(script.len() - 1)]).await;
        }
    });
    let profile = Arc::new(Profile::parse("polled.toml", PROFILE).expect("the profile is right"));
    let recorder = Recorder::default();
    let request = for_stream(&profile.binding, &Vars::default(), &From::Start);
    let follow = Follow {
        own: String::new(),
        conn: ConnId(0),
        profile,
        vars: Vars::default(),
        base,
        upstream: None,
        faults: Vec::new(),
        compressed,
        client: Clients::new().unwrap().streams(),
        recorder: recorder.clone(),
        origin: Instant::now(),
        progress: Progress::default(),
        handle: Handle::default(),
        paying: None,
        driven: None,
    };
    tokio::time::timeout(Duration::from_secs(60), follow.run(request)).await.expect("the reader comes to an end");
    server.abort();
    let mut ended = None;
    let mut seen = Vec::new();
    for record in recorder.take() {
        match record.what {
            What::Answer(answer) => seen.push(format!("{} {}", answer.status, if answer.accepted { "accepted" } else { "refused" })),
            What::Delivery(delivery) => {
                let what = delivery.marker.map(|m| m.n.to_string()).or(delivery.cursor.as_ref().map(ToString::to_string));
                seen.push(format!("{:?} {} in {}", delivery.kind, what.unwrap_or_default(), delivery.frame));
            }
            What::End(End { how, .. }) => ended = Some(how),
            _ => {}
        }
    }
    let mut all = Vec::new();
    while let Ok(target) = targets.try_recv() {
        all.push(target);
    }
    (seen, ended.expect("the end is recorded"), all)
}

fn events(of: &[u32]) -> Vec<u8> {
    let records: Vec<String> = of.iter().map(|n| format!("{{\"text\":\"«s0.{n}»\"}}")).collect();
    format!("[{}]", records.join(",")).into_bytes()
}

#[tokio::test]
async fn it_asks_on_with_the_cursor_that_it_was_given_until_it_is_told_the_end() {
    let script = vec![
        answer("200 OK", "Next: 2\r\n", &events(&[1, 2])),
        answer("200 OK", "Next: 3\r\nUp-To-Date: true\r\n", &events(&[3])),
        answer("204 No Content", "Next: 3\r\nUp-To-Date: true\r\n", b""),
        answer("204 No Content", "Next: 3\r\nClosed: true\r\n", b""),
    ];
    let (seen, ended, asked) = read(script, false).await;
    let wanted = [
        "200 accepted",
        "Event 1 in 0",
        "Event 2 in 0",
        "Commit 2 in 0",
        "Event 3 in 1",
        "Commit 3 in 1",
        "Boundary  in 1",
        "Boundary  in 2",
        "Terminal  in 3",
    ];
    assert_eq!((seen, ended), (wanted.map(str::to_owned).to_vec(), Ended::Done));
    assert_eq!(asked, ["/s?after=-1", "/s?after=2", "/s?after=3", "/s?after=3"]);
}

#[tokio::test]
async fn an_end_at_the_first_answer_is_an_end() {
    let (seen, ended, asked) = read(vec![answer("204 No Content", "Next: 9\r\nClosed: true\r\n", b"")], false).await;
    assert_eq!((seen, ended), (vec!["204 accepted".to_owned(), "Commit 9 in 0".to_owned(), "Terminal  in 0".to_owned()], Ended::Done));
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_an_end_with_its_marks_and_a_failure_is_a_break() {
    let first = || answer("200 OK", "Next: 1\r\n", &events(&[1]));
    let (seen, ended, _) = read(vec![answer("404 Not Found", "", b"no such thing")], false).await;
    assert_eq!((seen, ended), (vec!["404 refused".to_owned()], Ended::Done));
    let (seen, ended, _) = read(vec![first(), answer("410 Gone", "", b"gone for good")], false).await;
    assert_eq!((seen.last().map(String::as_str), ended), (Some("Gap  in 1"), Ended::Done));
    let (seen, ended, _) = read(vec![first(), answer("503 Away", "", b"later")], false).await;
    assert_eq!((seen.len(), ended), (3, Ended::Broken { why: "status 503: later".to_owned() }));
}

#[tokio::test]
async fn a_packed_answer_is_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&events(&[1])).unwrap();
    let script = vec![
        answer("200 OK", "Next: 1\r\nContent-Encoding: gzip\r\nClosed: true\r\n", &packed.finish().unwrap()),
        answer("500 Twice", "", b""),
    ];
    let (seen, ended, _) = read(script, true).await;
    assert_eq!((seen[1].as_str(), ended), ("Event 1 in 0", Ended::Done));
}

#[tokio::test]
async fn hostile_answers_are_named_and_bounded() {
    let why = |ended: Ended| match ended {
        Ended::Undecodable { why } => why,
        other => panic!("{other:?}"),
    };
    let (_, ended, _) = read(vec![answer("200 OK", "", b"<html>hello</html>")], false).await;
    assert!(why(ended).contains("is no JSON"));
    let (_, ended, _) = read(vec![answer("200 OK", "Content-Encoding: gzip\r\n", b"not at all")], false).await;
    assert!(why(ended).contains("no gzip"));
    // 100 MiB of zeros, packed into a tenth of a mebibyte.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..100 {
        bomb.write_all(&[0; 1 << 20]).unwrap();
    }
    let (_, ended, _) = read(vec![answer("200 OK", "Content-Encoding: gzip\r\n", &bomb.finish().unwrap())], true).await;
    assert!(why(ended).contains("longer than 64 MiB"));
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n".to_owned() + &"x".repeat(65 << 20);
    let (_, ended, _) = read(vec![announced.into_bytes()], false).await;
    assert!(why(ended).contains("longer than 64 MiB"));
    let (_, ended, _) = read(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n[".to_vec()], false).await;
    assert!(matches!(ended, Ended::Broken { .. }), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_never_moves_on_is_asked_at_a_walk() {
    let same = || answer("200 OK", "Next: 1\r\n", &events(&[1]));
    let began = Instant::now();
    let script = (0..6).map(|_| same()).chain([answer("204 No Content", "Closed: true\r\n", b"")]).collect();
    let (seen, _, asked) = read(script, false).await;
    assert_eq!((seen.iter().filter(|s| s.starts_with("Event")).count(), asked.len()), (6, 7));
    assert!(began.elapsed() >= 5 * super::SAME_PLACE, "an answer that leads nowhere is followed by a pause");
    assert!(seen.iter().any(|s| s.starts_with(&format!("{:?}", Kind::Terminal))));
}
