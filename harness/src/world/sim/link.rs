//! The network of one stream and its reader's end: packets in order, and the faults that strike them at their places.

use std::collections::VecDeque;

use streamspec_reference_server::session::Frame;

use super::rules::Rules;
use crate::contract::Binding;
use crate::history::{Answer, Ascending, Comment, ConnId, CursorClass, End, Ended, Fault, Kind, What};
use crate::run::binding::Seen;
use crate::run::progress::{Progress, SeenCursor};
use crate::world::live::faults;
use crate::world::live::proxy::{self, How, Place};
use crate::world::{Command, ConnFault};

/// Bytes that wait between server and reader before the server is held up.
const BUFFER: usize = 128 << 10;
/// The same while a fault keeps them back: the proxy reads on.
const HELD: usize = 16 << 20;

/// For how many events a connection has room from the beginning; more in one piece cost an allocator dear.
const USUAL: usize = 20;

/// Something on its way to a reader.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// The head of the answer.
    Head {
        /// Its status.
        status: u16,
        /// A refusal's body.
        body: String,
    },
    /// A frame of the core and its size in bytes. What a reader sees of it is worked out when it arrives: much of what is
    /// written never does.
    Frame(Frame, usize),
    /// A frame that the core does not know, as a reader sees it, and its size.
    Own(Box<Seen>, usize),
    /// A keep-alive.
    Comment,
    /// The end, in order.
    Eof,
    /// The end, not in order.
    Break,
}

/// One stream between server and reader.
#[derive(Debug)]
pub(super) struct Link {
    conn: ConnId,
    pub(super) progress: Progress,
    plan: Vec<proxy::Fault>,
    packets: VecDeque<Packet>,
    /// Bytes in `packets`.
    waiting: usize,
    /// Nothing is taken from `packets`.
    stalled: bool,
    /// The same, and the server does not feel it.
    held: bool,
    /// Everything is thrown away.
    silent: bool,
    ended: bool,
    /// Whole frames passed; keep-alives are none.
    events: u64,
    bytes: u64,
    frame: u32,
}

/// What a packet or command led to.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// Observations, in order.
    pub(super) seen: Vec<What>,
    /// The reader has gone: the server will notice.
    pub(super) gone: bool,
}

impl Link {
    /// A link in which nothing is on its way; `room` is the queue of one that has ended.
    pub(super) fn new(conn: ConnId, progress: Progress, armed: &[ConnFault], binding: &Binding, room: Option<VecDeque<Packet>>) -> Link {
        let plan = faults::plan(armed, binding).faults;
        {
            let mut state = progress.state();
            state.markers = Ascending::with_capacity(USUAL);
            state.cursors.reserve(USUAL);
        }
        Link {
            conn,
            progress,
            plan,
            packets: room.unwrap_or_else(|| VecDeque::with_capacity(USUAL)),
            waiting: 0,
            stalled: false,
            held: false,
            silent: false,
            ended: false,
            events: 0,
            bytes: 0,
            frame: 0,
        }
    }

    /// The attempts to connect that are refused before one passes, as observations.
    pub(super) fn refusals(&self) -> Vec<What> {
        let times = |fault: &proxy::Fault| if let proxy::Fault::RefuseFirst(times) = fault { *times } else { 0 };
        let times: u32 = self.plan.iter().map(times).sum();
        (0..times).rev().map(|left| self.fault(&proxy::Fault::RefuseFirst(left), true)).collect()
    }

    fn fault(&self, fault: &proxy::Fault, reached: bool) -> What {
        What::Fault(Fault { conn: Some(self.conn), says: faults::say(fault), reached })
    }

    /// Sends something towards the reader.
    pub(super) fn send(&mut self, packet: Packet) {
        if let Packet::Frame(_, size) | Packet::Own(_, size) = packet {
            self.waiting += size;
        }
        if !self.ended {
            self.packets.push_back(packet);
        }
    }

    /// Loses what is on its way.
    pub(super) fn lose(&mut self) {
        self.packets.clear();
        self.waiting = 0;
    }

    /// The queue of a link that has ended, for another.
    pub(super) fn room(&mut self) -> Option<VecDeque<Packet>> {
        (self.ended && self.packets.capacity() > 0).then(|| std::mem::take(&mut self.packets))
    }

    /// How much is on its way.
    pub(super) fn in_flight(&self) -> usize {
        self.packets.len()
    }

    /// True when the server cannot write any more.
    pub(super) fn full(&self) -> bool {
        self.waiting > if self.held { HELD } else { BUFFER }
    }

    /// True when a packet can arrive.
    pub(super) fn ready(&self) -> bool {
        !self.packets.is_empty() && !self.stalled && !self.held && !self.ended
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Lets the oldest packet arrive.
    pub(super) fn arrive(&mut self, rules: &Rules, class: impl Fn(Kind) -> CursorClass, out: &mut Happened) {
        let Some(packet) = self.packets.pop_front() else { return };
        match packet {
            Packet::Head { status, body } => self.head(status, body, out),
            Packet::Frame(frame, size) => {
                self.waiting -= size;
                self.pass(rules.see(frame), size, class, out);
            }
            Packet::Own(seen, size) => {
                self.waiting -= size;
                self.pass(*seen, size, class, out);
            }
            Packet::Comment => {
                if !self.silent {
                    self.progress.state().heartbeats += 1;
                    out.seen.push(What::Comment(Comment { conn: self.conn, text: "heartbeat".to_owned() }));
                }
            }
            Packet::Eof => self.end(Ended::Eof, out),
            Packet::Break => self.end(Ended::Broken { why: "connection reset".to_owned() }, out),
        }
    }

    fn head(&mut self, status: u16, body: String, out: &mut Happened) {
        let before = |fault: &proxy::Fault| matches!(fault, proxy::Fault::Cut { at: Place::BeforeHeaders, .. });
        if self.strike(before, out) {
            return;
        }
        let accepted = status == 200;
        self.progress.state().answer = Some((status, accepted));
        out.seen.push(What::Answer(Answer {
            conn: self.conn,
            status,
            accepted,
            content_type: Some(if accepted { "text/event-stream" } else { "application/json" }.to_owned()),
            cache_control: accepted.then(|| "no-cache".to_owned()),
            body,
        }));
        if !accepted {
            self.end(Ended::Done, out);
            return;
        }
        let shaped = self.plan.iter().filter(|f| matches!(f, proxy::Fault::Delay { .. } | proxy::Fault::Rechunk { .. }));
        out.seen.extend(shaped.map(|fault| self.fault(fault, true)).collect::<Vec<_>>());
        self.after_event(out);
    }

    fn pass(&mut self, seen: Seen, size: usize, class: impl Fn(Kind) -> CursorClass, out: &mut Happened) {
        let (next, bytes, terminal) = (self.events + 1, self.bytes + size as u64, seen.kind == Kind::Terminal);
        if !self.plan.is_empty() {
            let inside = |fault: &proxy::Fault| match fault {
                proxy::Fault::Cut { at, .. } => match at {
                    Place::InEvent { event, .. } => *event == next,
                    Place::BeforeFrame(_) => terminal,
                    Place::AfterBytes(n) => *n < bytes,
                    Place::BeforeHeaders | Place::AfterEvent(_) | Place::AfterFrame(_) | Place::OnCommand => false,
                },
                proxy::Fault::Delay { .. }
                | proxy::Fault::Rechunk { .. }
                | proxy::Fault::StopReading { .. }
                | proxy::Fault::Hold { .. }
                | proxy::Fault::RefuseFirst(_)
                | proxy::Fault::DropAnswer
                | proxy::Fault::DuplicateRequest => false,
            };
            if self.strike(inside, out) {
                return;
            }
        }
        self.events = next;
        self.bytes = bytes;
        if self.silent {
            return;
        }
        {
            let mut state = self.progress.state();
            match seen.kind {
                Kind::Event | Kind::Terminal => {
                    state.events += 1;
                    state.heartbeats = 0;
                    state.terminals += u32::from(terminal);
                    if let Some(marker) = seen.marker {
                        state.markers.or_insert(marker, || ());
                    }
                }
                Kind::Boundary => state.boundaries += 1,
                Kind::Gap => state.gaps += 1,
                Kind::Heartbeat => state.heartbeats += 1,
                Kind::Commit | Kind::Other => {}
            }
            if let Some(cursor) = &seen.cursor {
                match &mut state.cursor {
                    // Its room is used again: there is a cursor on almost every frame.
                    Some((newest, of)) => {
                        newest.clone_from(cursor);
                        *of = class(seen.kind);
                    }
                    none => *none = Some((cursor.clone(), class(seen.kind))),
                }
                state.cursors.push(SeenCursor { value: cursor.clone(), marker: seen.marker, kind: seen.kind });
            }
        }
        out.seen.push(What::Delivery(seen.delivery(self.conn, self.frame)));
        self.frame += 1;
        self.after_event(out);
    }

    /// Faults that stand behind the frame that has just passed, or behind the head.
    fn after_event(&mut self, out: &mut Happened) {
        if self.plan.is_empty() {
            return;
        }
        let (events, bytes) = (self.events, self.bytes);
        let here = |fault: &proxy::Fault| match fault {
            proxy::Fault::Cut { at: Place::AfterEvent(n), .. } => *n == events,
            proxy::Fault::Cut { at: Place::AfterBytes(n), .. } => *n == bytes,
            proxy::Fault::StopReading { after_event } | proxy::Fault::Hold { after_event } => *after_event == events,
            proxy::Fault::Cut { .. }
            | proxy::Fault::Delay { .. }
            | proxy::Fault::Rechunk { .. }
            | proxy::Fault::RefuseFirst(_)
            | proxy::Fault::DropAnswer
            | proxy::Fault::DuplicateRequest => false,
        };
        while self.strike(here, out) && !self.ended {}
    }

    /// Applies the first planned fault that `here` says stands here; true when one did.
    fn strike(&mut self, here: impl Fn(&proxy::Fault) -> bool, out: &mut Happened) -> bool {
        let Some(at) = self.plan.iter().position(here) else { return false };
        let fault = self.plan.remove(at);
        out.seen.push(self.fault(&fault, true));
        match fault {
            proxy::Fault::Cut { how, .. } => self.cut(how, out),
            proxy::Fault::StopReading { .. } | proxy::Fault::Hold { .. } => {
                self.stalled = matches!(fault, proxy::Fault::StopReading { .. });
                self.held = !self.stalled;
                let mut state = self.progress.state();
                state.faults += 1;
                state.held = true;
            }
            proxy::Fault::Delay { .. }
            | proxy::Fault::Rechunk { .. }
            | proxy::Fault::RefuseFirst(_)
            | proxy::Fault::DropAnswer
            | proxy::Fault::DuplicateRequest => {}
        }
        true
    }

    fn cut(&mut self, how: How, out: &mut Happened) {
        {
            let mut state = self.progress.state();
            state.faults += 1;
            state.cut = true;
            state.held |= how == How::Silence;
        }
        match how {
            How::Silence => self.silent = true,
            How::Fin | How::Rst => self.end(Ended::Ours, out),
        }
    }

    /// Does what the runner says.
    pub(super) fn order(&mut self, command: Command, out: &mut Happened) {
        if self.ended {
            return;
        }
        match command {
            Command::Cut(how) => {
                let how = faults::how(how);
                out.seen.push(self.fault(&proxy::Fault::Cut { at: Place::OnCommand, how }, true));
                self.cut(how, out);
            }
            Command::Close => self.end(Ended::Ours, out),
            Command::Unstall | Command::Release => {
                self.stalled = false;
                self.held = false;
                self.progress.state().held = false;
            }
        }
    }

    /// The request got no answer.
    pub(super) fn no_answer(&mut self, why: &str, out: &mut Happened) {
        self.end(Ended::NoAnswer { why: why.to_owned() }, out);
    }

    fn end(&mut self, how: Ended, out: &mut Happened) {
        if self.ended {
            return;
        }
        let how = match how {
            Ended::Eof | Ended::Broken { .. } | Ended::NoAnswer { .. } if self.silent => return,
            Ended::Eof | Ended::Done | Ended::Ours | Ended::Broken { .. } | Ended::NoAnswer { .. } | Ended::Undecodable { .. } => how,
        };
        let unreached = |fault: &&proxy::Fault| {
            !matches!(fault, proxy::Fault::Delay { .. } | proxy::Fault::Rechunk { .. } | proxy::Fault::RefuseFirst(_))
        };
        let unreached: Vec<What> = self.plan.iter().filter(unreached).map(|fault| self.fault(fault, false)).collect();
        out.seen.extend(unreached);
        self.plan.clear();
        self.lose();
        self.ended = true;
        self.progress.state().ended = Some(how.clone());
        out.gone = true;
        out.seen.push(What::End(End { conn: self.conn, how, unfinished: 0 }));
    }
}
