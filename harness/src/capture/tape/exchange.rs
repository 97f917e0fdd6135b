//! From the bytes of connections to exchanges: a request, its answer, and the pieces of both bodies.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{By, Tape, Taped};
use crate::history::{Headers, Micros};
use crate::world::live::proxy::framing::{Body, Stretch, Unreadable, answer_head, request_head};

/// The place of a moment on the tape, and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) nth: usize,
    pub(super) at: Micros,
}

/// A request and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) asked: Stamp,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
    pub(super) answer: Option<Answered>,
    /// The body of the answer, without its transfer coding.
    pub(super) pieces: Vec<(Stamp, Vec<u8>)>,
    /// Messages of a WebSocket; true for those of the client.
    pub(super) messages: Vec<(Stamp, bool, String)>,
    pub(super) over: Option<(Stamp, Over)>,
    /// Why its bytes could not be followed to the end.
    pub(super) lost: Option<String>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) at: Stamp,
    pub(super) status: u16,
    pub(super) headers: Headers,
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// By its own framing, or with its connection where that is its end.
    Whole,
    /// The client left before.
    ClientLeft,
    /// The connection ended before.
    Broken,
}

impl Exchange {
    /// The body of the answer.
    pub(super) fn whole_body(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(_, piece)| piece.iter().copied()).collect()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.status)
    }
}

/// All exchanges of a tape, in the order of their requests.
pub(super) fn exchanges(tape: Tape) -> Vec<Exchange> {
    let mut all = Vec::new();
    let mut lines: BTreeMap<u64, Line> = BTreeMap::new();
    for (nth, moment) in tape.moments.into_iter().enumerate() {
        let stamp = Stamp { nth, at: moment.at };
        let line = lines.entry(moment.conn).or_default();
        match moment.what {
            Taped::Accepted | Taped::Full => {}
            Taped::Client(bytes) => line.client(&bytes.bytes().unwrap_or_default(), stamp, &mut all),
            Taped::Server(bytes) => line.server(&bytes.bytes().unwrap_or_default(), stamp, &mut all),
            Taped::Closed(by) => line.closed(by, stamp, &mut all),
        }
    }
    all
}

/// One connection while it is being followed.
#[derive(Default)]
struct Line {
    asks: Asks,
    answers: Answers,
    /// Requests that were not answered yet, the oldest first.
    open: VecDeque<usize>,
    sockets: Option<Box<[Socket; 2]>>,
    lost: bool,
}

#[derive(Default)]
enum Asks {
    #[default]
    Between,
    Head(Vec<u8>, Stamp),
    Body(Body, usize),
}

#[derive(Default)]
enum Answers {
    #[default]
    Between,
    Head(Vec<u8>),
    Body(Body, usize),
}

impl Line {
    fn client(&mut self, bytes: &[u8], stamp: Stamp, all: &mut Vec<Exchange>) {
        if self.lost {
            return;
        }
        if self.sockets.is_some() {
            return self.messages(true, bytes, stamp, all);
        }
        if let Err(error) = self.asks(bytes, stamp, all) {
            self.lose(error, all);
        }
    }

    fn asks(&mut self, mut bytes: &[u8], stamp: Stamp, all: &mut Vec<Exchange>) -> Result<(), Unreadable> {
        while !bytes.is_empty() {
            match &mut self.asks {
                Asks::Between => self.asks = Asks::Head(Vec::new(), stamp),
                Asks::Head(seen, asked) => {
                    let before = seen.len();
                    seen.extend_from_slice(bytes);
                    let Some(head) = request_head(seen)? else { return Ok(()) };
                    bytes = &bytes[head.length - before..];
                    self.open.push_back(all.len());
                    let over = head.body.is_over();
                    all.push(Exchange {
                        asked: *asked,
                        method: head.method,
                        target: head.target,
                        headers: head.headers,
                        body: Vec::new(),
                        answer: None,
                        pieces: Vec::new(),
                        messages: Vec::new(),
                        over: None,
                        lost: None,
                    });
                    self.asks = if over { Asks::Between } else { Asks::Body(head.body, all.len() - 1) };
                }
                Asks::Body(body, of) => {
                    match body.next(bytes)? {
                        Stretch::Payload(count) => {
                            all[*of].body.extend_from_slice(&bytes[..count]);
                            bytes = &bytes[count..];
                        }
                        Stretch::Coding(count) => bytes = &bytes[count..],
                        Stretch::End => {}
                    }
                    if body.is_over() {
                        self.asks = Asks::Between;
                    }
                }
            }
        }
        Ok(())
    }

    fn server(&mut self, bytes: &[u8], stamp: Stamp, all: &mut [Exchange]) {
        if self.lost {
            return;
        }
        if self.sockets.is_some() {
            return self.messages(false, bytes, stamp, all);
        }
        if let Err(error) = self.answers(bytes, stamp, all) {
            self.lose(error, all);
        }
    }

    fn answers(&mut self, mut bytes: &[u8], stamp: Stamp, all: &mut [Exchange]) -> Result<(), Unreadable> {
        while !bytes.is_empty() {
            match &mut self.answers {
                Answers::Between => self.answers = Answers::Head(Vec::new()),
                Answers::Head(seen) => {
                    let before = seen.len();
                    seen.extend_from_slice(bytes);
                    let of = self.open.front().copied();
                    let to_head = of.is_some_and(|of| all[of].method == "HEAD");
                    let Some(head) = answer_head(seen, to_head)? else { return Ok(()) };
                    bytes = &bytes[head.length - before..];
                    self.answers = Answers::Between;
                    // An interim answer is followed by another; an answer that nobody asked for belongs to nothing.
                    let interim = matches!(head.status, 100 | 102..=199);
                    let Some(of) = of.filter(|_| !interim) else { continue };
                    self.open.pop_front();
                    all[of].answer = Some(Answered { at: stamp, status: head.status, headers: head.headers });
                    if head.status == 101 {
                        self.sockets = Some(Box::new([Socket::new(Role::Client, of), Socket::new(Role::Server, of)]));
                        self.messages(false, bytes, stamp, all);
                        return Ok(());
                    }
                    if head.body.is_over() {
                        all[of].over = Some((stamp, Over::Whole));
                    } else {
                        self.answers = Answers::Body(head.body, of);
                    }
                }
                Answers::Body(body, of) => {
                    match body.next(bytes)? {
                        Stretch::Payload(count) => {
                            all[*of].pieces.push((stamp, bytes[..count].to_vec()));
                            bytes = &bytes[count..];
                        }
                        Stretch::Coding(count) => bytes = &bytes[count..],
                        Stretch::End => {}
                    }
                    if body.is_over() {
                        all[*of].over = Some((stamp, Over::Whole));
                        self.answers = Answers::Between;
                    }
                }
            }
        }
        Ok(())
    }

    fn messages(&mut self, client: bool, bytes: &[u8], stamp: Stamp, all: &mut [Exchange]) {
        let Some(sockets) = &mut self.sockets else { return };
        let socket = &mut sockets[usize::from(client)];
        let of = socket.of;
        if let Err(why) = socket.feed(bytes, |text| all[of].messages.push((stamp, client, text))) {
            all[of].lost.get_or_insert(why);
        }
    }

    fn closed(&mut self, by: By, stamp: Stamp, all: &mut [Exchange]) {
        let in_body = match &self.answers {
            Answers::Body(body, of) => Some((*of, matches!(body, Body::UntilClose))),
            Answers::Between | Answers::Head(_) => None,
        };
        let socket = self.sockets.as_ref().map(|sockets| (sockets[0].of, true));
        let unanswered = self.open.iter().map(|of| (*of, false));
        for (of, ends_so) in in_body.into_iter().chain(socket).chain(unanswered) {
            let how = match by {
                By::Client => Over::ClientLeft,
                By::Server if ends_so => Over::Whole,
                By::Server | By::Broken => Over::Broken,
            };
            all[of].over.get_or_insert((stamp, how));
        }
    }

    fn lose(&mut self, error: Unreadable, all: &mut [Exchange]) {
        self.lost = true;
        let of = match (&self.answers, self.open.front()) {
            (Answers::Body(_, of), _) | (_, Some(of)) => *of,
            (Answers::Between | Answers::Head(_), None) => return,
        };
        all[of].lost.get_or_insert(error.why().to_owned());
    }
}

/// One direction of a WebSocket.
struct Socket {
    socket: WebSocket<Pipe>,
    of: usize,
    lost: bool,
}

impl Socket {
    /// Reads what is sent *to* somebody of this role.
    fn new(role: Role, of: usize) -> Socket {
        let socket = WebSocket::from_raw_socket(Pipe::default(), role, Some(WebSocketConfig::default()));
        Socket { socket, of, lost: false }
    }

    fn feed(&mut self, bytes: &[u8], mut message: impl FnMut(String)) -> Result<(), String> {
        self.socket.get_mut().0.extend(bytes);
        while !self.lost {
            match self.socket.read() {
                Ok(Message::Text(text)) => message(text.as_str().to_owned()),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => self.lost = true,
                Err(error) => {
                    self.lost = true;
                    return Err(format!("its WebSocket cannot be read: {error}"));
                }
            }
        }
        Ok(())
    }
}

/// Bytes that are there; what is written is nobody's.
#[derive(Default)]
struct Pipe(VecDeque<u8>);

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
