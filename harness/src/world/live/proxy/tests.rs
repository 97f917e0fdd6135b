//! Each fault against a server made of raw bytes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const REQUEST: &str = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n";
const RETRY: &str = "retry: 1000\n\n";
const ONE: &str = "id: e:1\ndata: «s1.1»\n\n";
const TWO: &str = "id: e:2\r\ndata: {\"a\":2}\r\n\r\n";
const END: &str = "event: end\nid: e:3\ndata: {}\n\n";

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    server: TcpListener,
    link: Link,
    seen: Mutex<mpsc::UnboundedReceiver<Observed>>,
}

async fn world() -> World {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (sender, seen) = mpsc::unbounded_channel();
    let link = Link::open(LinkConfig {
        upstream: server.local_addr().expect("bound"),
        framing: Framing::Auto,
        origin: Instant::now(),
        observer: Arc::new(move |observed| drop(sender.send(observed))),
    })
    .await
    .expect("a free port");
    World { server, link, seen: Mutex::new(seen) }
}

impl World {
    /// A client that has sent its request, and the server's end of it, which has read it.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let mut client = self.dial().await;
        client.write_all(REQUEST.as_bytes()).await.expect("sent");
        (client, self.accept().await)
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.link.address()).await.expect("the link listens")
    }

    async fn accept(&self) -> TcpStream {
        let (mut server, _) = timeout(PATIENCE, self.server.accept()).await.expect("connected").expect("accepted");
        let mut request = vec![0; REQUEST.len()];
        server.read_exact(&mut request).await.expect("the whole request");
        assert_eq!(request, REQUEST.as_bytes());
        server
    }

    /// Waits for something to happen and returns everything up to it.
    async fn until(&self, wanted: impl Fn(&Happened) -> bool) -> Vec<Happened> {
        let mut all = Vec::new();
        loop {
            let observed = timeout(PATIENCE, std::future::poll_fn(|context| self.seen.lock().expect("one test").poll_recv(context)));
            let what = observed.await.unwrap_or_else(|_| panic!("only {all:?} happened")).expect("the link lives").what;
            all.push(what);
            if wanted(all.last().expect("pushed")) {
                return all;
            }
        }
    }

    async fn closed(&self) -> Vec<Happened> {
        self.until(|what| matches!(what, Happened::Closed { .. })).await
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Fin,
    Rst,
}

/// Everything the client gets, and how it ends.
async fn received(client: &mut TcpStream) -> (String, End) {
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, client.read_to_end(&mut bytes)).await.expect("the stream ends");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match end {
        Ok(_) => (text, End::Fin),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => (text, End::Rst),
        Err(error) => panic!("ended by {error} after {text:?}"),
    }
}

async fn read_exactly(client: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    timeout(PATIENCE, client.read_exact(&mut bytes)).await.expect("it comes").expect("all of it");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

fn cut(at: Place, how: How) -> Fault {
    Fault::Cut { at, how }
}

fn applied(seen: &[Happened], fault: &Fault) -> bool {
    seen.contains(&Happened::Applied { fault: fault.clone() })
}

/// Lets the server send `body` and checks what the client gets of it.
async fn cut_leaves(fault: Fault, body: &str, expected: &str, end: End) {
    let world = world().await;
    world.link.plan(fault.clone());
    let (mut client, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{body}").as_bytes()).await.expect("sent");
    assert_eq!(received(&mut client).await, (format!("{HEAD}{expected}"), end), "{fault:?}");
    drop(client);
    let seen = world.closed().await;
    assert!(applied(&seen, &fault), "{seen:?}");
    assert_eq!(seen.last(), Some(&Happened::Closed { by: ClosedBy::Fault }));
}

#[tokio::test]
async fn a_clean_connection_passes_every_byte_and_tells_of_events() {
    let world = world().await;
    let (mut client, mut server) = world.connect().await;
    let chunk = format!("{RETRY}{ONE}: hi\n\n{TWO}");
    let answer = format!("{CHUNKED}{:x};q=1\r\n{chunk}\r\n0\r\nTrailer: x\r\n\r\n", chunk.len());
    server.write_all(answer.as_bytes()).await.expect("sent");
    drop(server);
    assert_eq!(received(&mut client).await, (answer, End::Fin));
    drop(client);
    let seen = world.closed().await;
    assert!(matches!(seen[0], Happened::Accepted { .. }));
    assert_eq!(
        seen[1..],
        [
            Happened::RequestHead { method: "GET".into(), target: "/events".into(), headers: vec![("Host".into(), "x".into())] },
            Happened::ResponseHead {
                status: 200,
                headers: vec![("Content-Type".into(), "text/event-stream".into()), ("Transfer-Encoding".into(), "chunked".into())]
            },
            Happened::EventPassed { event: 1 },
            Happened::EventPassed { event: 2 },
            Happened::Closed { by: ClosedBy::Server },
        ]
    );
}

#[tokio::test]
async fn a_cut_after_an_event_stands_behind_its_empty_line() {
    let body = format!("{RETRY}{ONE}{TWO}{END}");
    for (event, expected) in [(0, String::new()), (1, format!("{RETRY}{ONE}")), (2, format!("{RETRY}{ONE}{TWO}"))] {
        cut_leaves(cut(Place::AfterEvent(event), How::Fin), &body, &expected, End::Fin).await;
        cut_leaves(cut(Place::AfterEvent(event), How::Rst), &body, &expected, End::Rst).await;
    }
}

#[tokio::test]
async fn a_cut_inside_an_event_stands_where_it_was_asked_for() {
    let body = format!("{RETRY}{ONE}: hi\n\n{TWO}{END}");
    let until = |part: &str| body[..body.find(part).expect("in the body") + part.len()].to_owned();
    let places = [
        (Within::InLine, until("data: {\"a")),
        (Within::BetweenCrLf, until("{\"a\":2}\r")),
        (Within::AfterIdLine, until("id: e:2\r\n")),
        (Within::Byte(1), until(": hi\n\ni")),
    ];
    for (at, expected) in places {
        cut_leaves(cut(Place::InEvent { event: 2, at }, How::Rst), &body, &expected, End::Rst).await;
    }
    let at = Within::InUtf8Char;
    let expected = format!("{RETRY}id: e:1\ndata: \u{fffd}");
    cut_leaves(cut(Place::InEvent { event: 1, at }, How::Fin), &body, &expected, End::Fin).await;
}

#[tokio::test]
async fn a_cut_before_the_terminal_leaves_nothing_of_it() {
    let body = format!("{ONE}data: event: end\n\n{END}");
    let expected = format!("{ONE}data: event: end\n\n");
    let terminal = FrameMatch::EventType("end".into());
    cut_leaves(cut(Place::BeforeFrame(terminal.clone()), How::Rst), &body, &expected, End::Rst).await;
    cut_leaves(cut(Place::AfterFrame(terminal), How::Fin), &format!("{body}{ONE}"), &body, End::Fin).await;
    let text = FrameMatch::Contains("data: event".into());
    cut_leaves(cut(Place::BeforeFrame(text), How::Fin), &body, ONE, End::Fin).await;
}

#[tokio::test]
async fn cuts_by_bytes_and_before_headers() {
    cut_leaves(cut(Place::AfterBytes(3), How::Rst), ONE, &ONE[..3], End::Rst).await;
    cut_leaves(cut(Place::AfterBytes(0), How::Fin), ONE, "", End::Fin).await;

    let world = world().await;
    world.link.plan(cut(Place::BeforeHeaders, How::Rst));
    let (mut client, mut server) = world.connect().await;
    server.write_all(HEAD.as_bytes()).await.expect("sent");
    assert_eq!(received(&mut client).await, (String::new(), End::Rst));
}

#[tokio::test]
async fn a_cut_at_the_end_of_a_chunk_passes_the_chunk_whole() {
    let world = world().await;
    world.link.plan(cut(Place::AfterEvent(1), How::Fin));
    let (mut client, mut server) = world.connect().await;
    let chunks = [ONE, TWO].map(|event| format!("{:x}\r\n{event}\r\n", event.len()));
    server.write_all(format!("{CHUNKED}{}", chunks.concat()).as_bytes()).await.expect("sent");
    assert_eq!(received(&mut client).await, (format!("{CHUNKED}{}", chunks[0]), End::Fin));
}

#[tokio::test]
async fn a_place_that_never_comes_is_told() {
    let lacking = [
        Place::InEvent { event: 1, at: Within::BetweenCrLf },
        Place::InEvent { event: 2, at: Within::InUtf8Char },
        Place::InEvent { event: 1, at: Within::Byte(1000) },
        Place::AfterEvent(3),
        Place::BeforeFrame(FrameMatch::EventType("end".into())),
        Place::AfterBytes(1000),
        Place::OnCommand,
    ];
    for place in lacking {
        let world = world().await;
        let fault = cut(place, How::Rst);
        world.link.plan(fault.clone());
        let (mut client, mut server) = world.connect().await;
        server.write_all(format!("{HEAD}{ONE}{TWO}id: e").as_bytes()).await.expect("sent");
        drop(server);
        assert_eq!(received(&mut client).await, (format!("{HEAD}{ONE}{TWO}id: e"), End::Fin), "{fault:?}");
        drop(client);
        let seen = world.closed().await;
        assert!(seen.contains(&Happened::NotReached { fault: fault.clone() }), "{fault:?}: {seen:?}");
        assert!(!applied(&seen, &fault));
    }
}

#[tokio::test]
async fn silence_outlasts_the_server_until_the_client_leaves() {
    let world = world().await;
    let fault = cut(Place::AfterEvent(1), How::Silence);
    world.link.plan(fault.clone());
    let (mut client, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{ONE}{TWO}").as_bytes()).await.expect("sent");
    read_exactly(&mut client, &format!("{HEAD}{ONE}")).await;
    world.until(|what| *what == Happened::Applied { fault: fault.clone() }).await;
    // More than all buffers on the way hold: it goes only if it is read and thrown away.
    timeout(PATIENCE, server.write_all(&vec![b'x'; 32 << 20])).await.expect("read").expect("not cut");
    drop(server);
    // A second connection through the same link shows that time has passed for the first.
    let (mut other, mut server) = world.connect().await;
    server.write_all(HEAD.as_bytes()).await.expect("sent");
    read_exactly(&mut other, HEAD).await;
    assert!(futures_util::poll!(std::pin::pin!(client.read(&mut [0; 1]))).is_pending());
    drop(client);
    let seen = world.closed().await;
    assert_eq!(seen.last(), Some(&Happened::Closed { by: ClosedBy::Client }));
}

#[tokio::test]
async fn the_server_sees_a_silenced_client_leave() {
    let world = world().await;
    world.link.plan(cut(Place::AfterEvent(0), How::Silence));
    let (mut client, mut server) = world.connect().await;
    server.write_all(HEAD.as_bytes()).await.expect("sent");
    read_exactly(&mut client, HEAD).await;
    drop(client);
    let left = timeout(PATIENCE, server.read(&mut [0; 1])).await.expect("told");
    assert_eq!(left.expect("in order"), 0);
}

#[tokio::test]
async fn a_commanded_cut_needs_no_place() {
    let world = world().await;
    let fault = cut(Place::OnCommand, How::Rst);
    world.link.plan(fault.clone());
    let (mut client, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{ONE}").as_bytes()).await.expect("sent");
    read_exactly(&mut client, &format!("{HEAD}{ONE}")).await;
    assert_eq!(world.link.connections(), [ConnId(1)]);
    assert!(world.link.cut(ConnId(1), How::Rst));
    assert_eq!(received(&mut client).await, (String::new(), End::Rst));
    assert!(applied(&world.closed().await, &fault));
    assert!(!world.link.cut(ConnId(1), How::Rst));
    let reset = timeout(PATIENCE, server.read(&mut [0; 1])).await.expect("told");
    assert_eq!(reset.expect_err("both sides are reset").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_silenced_connection_can_still_be_reset() {
    let world = world().await;
    let (mut client, mut server) = world.connect().await;
    server.write_all(HEAD.as_bytes()).await.expect("sent");
    read_exactly(&mut client, HEAD).await;
    world.link.cut(ConnId(1), How::Silence);
    // Nobody planned it, and nothing else would show it.
    let silenced = cut(Place::OnCommand, How::Silence);
    world.until(|what| *what == Happened::Applied { fault: silenced.clone() }).await;
    server.write_all(ONE.as_bytes()).await.expect("sent");
    world.link.cut(ConnId(1), How::Rst);
    assert_eq!(received(&mut client).await, (String::new(), End::Rst));
}

#[tokio::test]
async fn rechunking_makes_every_piece_a_chunk() {
    let world = world().await;
    world.link.plan(Fault::Rechunk { size: 4 });
    let (mut client, mut server) = world.connect().await;
    let body = "data: abc\n\n";
    server.write_all(format!("{CHUNKED}b\r\n{body}\r\n0\r\n\r\n").as_bytes()).await.expect("sent");
    drop(server);
    let expected = format!("{CHUNKED}4\r\ndata\r\n4\r\n: ab\r\n3\r\nc\n\n\r\n0\r\n\r\n");
    assert_eq!(received(&mut client).await, (expected, End::Fin));
}

#[tokio::test]
async fn rechunking_and_cutting_go_together() {
    let world = world().await;
    world.link.plan(vec![Fault::Rechunk { size: 1 }, cut(Place::AfterEvent(1), How::Rst)]);
    let (mut client, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{ONE}{TWO}").as_bytes()).await.expect("sent");
    assert_eq!(received(&mut client).await, (format!("{HEAD}{ONE}"), End::Rst));
}

#[tokio::test]
async fn a_delay_begins_at_its_event() {
    const DELAY: Duration = Duration::from_millis(150);
    let world = world().await;
    world.link.plan(Fault::Delay { ms: 150, from_event: 2 });
    let (mut client, mut server) = world.connect().await;
    let began = Instant::now();
    server.write_all(format!("{HEAD}{ONE}{TWO}").as_bytes()).await.expect("sent");
    read_exactly(&mut client, &format!("{HEAD}{ONE}")).await;
    let first = began.elapsed();
    read_exactly(&mut client, TWO).await;
    let second = began.elapsed();
    assert!(first < DELAY && second >= DELAY, "first after {first:?}, second after {second:?}");
}

#[tokio::test]
async fn a_server_feels_that_nobody_reads_until_reading_resumes() {
    let world = world().await;
    let fault = Fault::StopReading { after_event: 1 };
    world.link.plan(fault.clone());
    let (mut client, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{ONE}").as_bytes()).await.expect("sent");
    read_exactly(&mut client, &format!("{HEAD}{ONE}")).await;
    world.until(|what| *what == Happened::Applied { fault: fault.clone() }).await;
    let mut sent = 0;
    // What the kernel takes before it says stop is bounded by the server's own send buffer.
    while let Ok(written) = timeout(Duration::from_millis(200), server.write(&[b':'; 4096])).await {
        sent += written.expect("still open");
        assert!(sent < 8 << 20, "nobody holds the server back");
    }
    assert!(futures_util::poll!(std::pin::pin!(client.read(&mut [0; 1]))).is_pending());
    assert!(world.link.resume(ConnId(1)));
    let mut rest = vec![0; sent];
    timeout(PATIENCE, client.read_exact(&mut rest)).await.expect("it comes").expect("all of it");
    assert!(rest.iter().all(|&byte| byte == b':'));
}

#[tokio::test]
async fn held_bytes_arrive_after_those_of_the_new_connection() {
    let world = world().await;
    let fault = Fault::Hold { after_event: 1 };
    world.link.plan(fault.clone());
    let (mut old, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{ONE}{TWO}").as_bytes()).await.expect("sent");
    read_exactly(&mut old, &format!("{HEAD}{ONE}")).await;
    world.until(|what| *what == Happened::Applied { fault: fault.clone() }).await;
    // The server ends; the client is not to know yet.
    server.write_all(END.as_bytes()).await.expect("sent");
    drop(server);
    let (mut new, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{TWO}").as_bytes()).await.expect("sent");
    read_exactly(&mut new, &format!("{HEAD}{TWO}")).await;
    assert!(futures_util::poll!(std::pin::pin!(old.read(&mut [0; 1]))).is_pending());
    assert!(world.link.release(ConnId(1)));
    assert_eq!(received(&mut old).await, (format!("{TWO}{END}"), End::Fin));
}

#[tokio::test]
async fn the_first_connections_are_refused_and_the_next_is_not() {
    let world = world().await;
    world.link.plan(Fault::RefuseFirst(2));
    for _ in 0..2 {
        let mut client = world.dial().await;
        assert_eq!(received(&mut client).await, (String::new(), End::Rst));
        assert!(world.closed().await.iter().any(|what| matches!(what, Happened::Applied { .. })));
    }
    let (mut client, mut server) = world.connect().await;
    server.write_all(HEAD.as_bytes()).await.expect("sent");
    read_exactly(&mut client, HEAD).await;
}

#[tokio::test]
async fn an_answer_is_dropped_when_the_server_has_given_it() {
    let world = world().await;
    world.link.plan(Fault::DropAnswer);
    let (mut client, mut server) = world.connect().await;
    server.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}").await.expect("sent");
    assert_eq!(received(&mut client).await, (String::new(), End::Rst));
    let seen = world.closed().await;
    assert!(
        seen.contains(&Happened::ResponseHead { status: 201, headers: vec![("Content-Length".into(), "2".into())] })
            && applied(&seen, &Fault::DropAnswer),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_request_is_sent_twice_before_its_client_is_reset() {
    let world = world().await;
    world.link.plan(Fault::DuplicateRequest);
    let (mut client, mut server) = world.connect().await;
    server.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.expect("sent");
    let mut second = world.accept().await;
    second.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 Conflict\r\n\r\n").await.expect("sent");
    assert_eq!(received(&mut client).await, (String::new(), End::Rst));
    assert!(world.closed().await.contains(&Happened::Resent { answer: Ok(409) }));
}

#[tokio::test]
async fn a_server_that_resets_resets_its_client() {
    let world = world().await;
    let (mut client, mut server) = world.connect().await;
    server.write_all(format!("{HEAD}{ONE}").as_bytes()).await.expect("sent");
    read_exactly(&mut client, &format!("{HEAD}{ONE}")).await;
    server.set_zero_linger().expect("open");
    drop(server);
    assert_eq!(received(&mut client).await, (String::new(), End::Rst));
    assert_eq!(world.closed().await.last(), Some(&Happened::Closed { by: ClosedBy::ServerReset }));
}

#[tokio::test]
async fn a_server_that_is_down_is_told_apart() {
    let World { server, link, seen } = world().await;
    drop(server);
    let mut client = TcpStream::connect(link.address()).await.expect("the link listens");
    assert_eq!(received(&mut client).await.1, End::Rst);
    let world = World { server: TcpListener::bind("127.0.0.1:0").await.expect("a free port"), link, seen };
    assert!(world.closed().await.iter().any(|what| matches!(what, Happened::Unreachable { .. })));
    world.link.retarget(world.server.local_addr().expect("bound"));
    let (mut client, mut server) = world.connect().await;
    server.write_all(HEAD.as_bytes()).await.expect("sent");
    read_exactly(&mut client, HEAD).await;
}

#[tokio::test]
async fn an_endless_head_ends_the_connection() {
    let world = world().await;
    let (mut client, mut server) = world.connect().await;
    let endless = async {
        let _ = server.write_all(b"HTTP/1.1 200 OK\r\nA: ").await;
        while server.write_all(&[b'x'; 4096]).await.is_ok() {}
    };
    tokio::join!(timeout(PATIENCE, endless), async {
        assert_eq!(received(&mut client).await, (String::new(), End::Fin));
        drop(client);
    })
    .0
    .expect("the server is told");
    let seen = world.closed().await;
    assert!(seen.iter().any(|what| matches!(what, Happened::Unreadable { side: Side::Server, .. })), "{seen:?}");
}

#[tokio::test]
async fn lines_are_events_of_ndjson() {
    let world = world().await;
    world.link.plan(cut(Place::InEvent { event: 2, at: Within::InLine }, How::Fin));
    let (mut client, mut server) = world.connect().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";
    server.write_all(format!("{head}{{\"n\":1}}\n\n{{\"n\":2}}\n").as_bytes()).await.expect("sent");
    assert_eq!(received(&mut client).await, (format!("{head}{{\"n\":1}}\n\n{{\"n"), End::Fin));
}

#[tokio::test]
async fn answers_behind_one_another_are_read_one_by_one() {
    let world = world().await;
    let (mut client, mut server) = world.connect().await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 3\r\n\r\n{}\n";
    for round in 1..=2 {
        server.write_all(answer.as_bytes()).await.expect("sent");
        read_exactly(&mut client, answer).await;
        world.until(|what| *what == Happened::EventPassed { event: round }).await;
        client.write_all(REQUEST.as_bytes()).await.expect("sent");
    }
}
