//! The network of one stream and its reader's end: packets in order, and the faults that strike them at their places.

use std::collections::VecDeque;
use std::sync::Arc;

use smol_str::SmolStr;

use super::log::Log;
use crate::contract::Binding;
use crate::history::{Answer, Comment, ConnId, Delivery, End, Ended, Fault, Kind, Micros, SharedItem, What};
use crate::run::progress::State;
use crate::world::live::faults;
use crate::world::live::proxy::{self, How, Place};
use crate::world::{Command, ConnFault};
/// The status of an answer that begins a stream.
const ACCEPTED: u16 = 200;
/// Bytes that wait between server and reader before the server is held up.
const BUFFER: usize = 128 << 10;
/// The same while a fault keeps them back: the proxy reads on.
const HELD: usize = 16 << 20;

/// For how many events a connection has room from the beginning; more in one piece cost an allocator dear.
pub(super) const USUAL: usize = 20;

/// Something on its way to a reader.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// The head of an answer that begins a stream.
    Accepted,
    /// The head of an answer of another kind: its status and its body.
    Answered(Box<(u16, String)>),
    /// A frame as a reader sees it, and its size in bytes.
    Frame(Arc<SharedItem>, u32),
    /// A keep-alive.
    Comment,
    /// The end, in order.
    Eof,
    /// The end, not in order.
    Break,
}

impl Packet {
    pub(super) fn answered(status: u16, body: impl Into<String>) -> Packet {
        Packet::Answered(Box::new((status, body.into())))
    }

    /// True for the head of an answer that a reader takes for a stream: it looks at the status alone.
    pub(super) fn accepts(&self) -> bool {
        match self {
            Packet::Accepted => true,
            Packet::Answered(head) => head.0 == ACCEPTED,
            Packet::Frame(..) | Packet::Comment | Packet::Eof | Packet::Break => false,
        }
    }

    /// A frame of that many bytes.
    pub(super) fn frame(item: Arc<SharedItem>, size: usize) -> Packet {
        Packet::Frame(item, u32::try_from(size).unwrap_or(u32::MAX))
    }
}

/// One stream between server and reader.
#[derive(Debug)]
pub(super) struct Link {
    conn: ConnId,
    plan: Vec<proxy::Fault>,
    /// The first event, from 1, with which the plan can have to do.
    strikes_from: u64,
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

/// What a packet or command leads to.
pub(super) struct Happened<'w> {
    log: &'w mut Log,
    now: &'w mut u64,
    /// The reader has gone: the server will notice.
    pub(super) gone: bool,
}

impl<'w> Happened<'w> {
    /// Nothing yet.
    pub(super) fn new(log: &'w mut Log, now: &'w mut u64) -> Happened<'w> {
        Happened { log, now, gone: false }
    }

    /// Something is observed, at a time that no other observation has.
    fn saw(&mut self, what: What) {
        *self.now += 1;
        self.log.push(Micros(*self.now), what);
    }
}

impl Link {
    /// A link in which nothing is on its way; `room` is the queue of one that has ended.
    pub(super) fn new(conn: ConnId, armed: &[ConnFault], binding: &Binding, room: Option<VecDeque<Packet>>) -> Link {
        let plan = faults::plan(armed, binding).faults;
        Link {
            conn,
            strikes_from: first_struck(&plan),
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
    #[inline]
    pub(super) fn send(&mut self, packet: Packet) {
        if let Packet::Frame(_, size) = packet {
            self.waiting += size as usize;
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
    #[inline]
    pub(super) fn arrive(&mut self, state: &mut State, out: &mut Happened<'_>) {
        match self.packets.pop_front() {
            Some(Packet::Frame(item, size)) => {
                self.waiting -= size as usize;
                self.pass(item, u64::from(size), state, out);
            }
            Some(Packet::Accepted) => self.head(ACCEPTED, String::new(), state, out),
            Some(Packet::Answered(head)) => self.head(head.0, head.1, state, out),
            Some(Packet::Comment) => self.comment(state, out),
            Some(Packet::Eof) => self.end(Ended::Eof, state, out),
            Some(Packet::Break) => self.end(Ended::Broken { why: "connection reset".to_owned() }, state, out),
            None => {}
        }
    }

    fn comment(&self, state: &mut State, out: &mut Happened<'_>) {
        if !self.silent {
            state.heartbeats += 1;
            out.saw(What::Comment(Comment { conn: self.conn, text: "heartbeat".to_owned() }));
        }
    }

    fn head(&mut self, status: u16, body: String, state: &mut State, out: &mut Happened<'_>) {
        let before = |fault: &proxy::Fault| matches!(fault, proxy::Fault::Cut { at: Place::BeforeHeaders, .. });
        if self.strike(before, state, out) {
            return;
        }
        let accepted = status == ACCEPTED;
        state.answer = Some((status, accepted));
        out.saw(What::Answer(Box::new(Answer {
            conn: self.conn,
            status,
            accepted,
            content_type: Some(SmolStr::new_static(if accepted { "text/event-stream" } else { "application/json" })),
            cache_control: accepted.then(|| SmolStr::new_static("no-cache")),
            body,
        })));
        if !accepted {
            self.end(Ended::Done, state, out);
            return;
        }
        let shaped = self.plan.iter().filter(|f| matches!(f, proxy::Fault::Delay { .. } | proxy::Fault::Rechunk { .. }));
        shaped.for_each(|fault| out.saw(self.fault(fault, true)));
        self.after_event(state, out);
    }

    #[inline]
    fn pass(&mut self, item: Arc<SharedItem>, size: u64, state: &mut State, out: &mut Happened<'_>) {
        let (next, bytes) = (self.events + 1, self.bytes + size);
        let watched = next >= self.strikes_from;
        if watched && self.strike_inside(next, bytes, item.kind == Kind::Terminal, state, out) {
            return;
        }
        self.events = next;
        self.bytes = bytes;
        if self.silent {
            return;
        }
        state.take(&item);
        out.saw(What::Delivery(Delivery { conn: self.conn, frame: self.frame, item }));
        self.frame += 1;
        if watched {
            self.after_event(state, out);
        }
    }

    /// Faults that stand in a frame: the event of this number, with which that many bytes have passed.
    fn strike_inside(&mut self, next: u64, bytes: u64, terminal: bool, state: &mut State, out: &mut Happened<'_>) -> bool {
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
        self.strike(inside, state, out)
    }

    /// Faults that stand behind the frame that has just passed, or behind the head.
    fn after_event(&mut self, state: &mut State, out: &mut Happened<'_>) {
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
        while self.strike(here, state, out) && !self.ended {}
    }

    /// Applies the first planned fault that `here` says stands here; true when one did.
    fn strike(&mut self, here: impl Fn(&proxy::Fault) -> bool, state: &mut State, out: &mut Happened<'_>) -> bool {
        let Some(at) = self.plan.iter().position(here) else { return false };
        let fault = self.plan.remove(at);
        self.strikes_from = first_struck(&self.plan);
        out.saw(self.fault(&fault, true));
        match fault {
            proxy::Fault::Cut { how, .. } => self.cut(how, state, out),
            proxy::Fault::StopReading { .. } | proxy::Fault::Hold { .. } => {
                self.stalled = matches!(fault, proxy::Fault::StopReading { .. });
                self.held = !self.stalled;
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

    fn cut(&mut self, how: How, state: &mut State, out: &mut Happened<'_>) {
        state.faults += 1;
        state.cut = true;
        state.held |= how == How::Silence;
        match how {
            How::Silence => self.silent = true,
            How::Fin | How::Rst => self.end(Ended::Ours, state, out),
        }
    }

    /// Does what the runner says.
    pub(super) fn order(&mut self, command: Command, state: &mut State, out: &mut Happened<'_>) {
        if self.ended {
            return;
        }
        match command {
            Command::Cut(how) => {
                let how = faults::how(how);
                out.saw(self.fault(&proxy::Fault::Cut { at: Place::OnCommand, how }, true));
                self.cut(how, state, out);
            }
            Command::Close => self.end(Ended::Ours, state, out),
            Command::Unstall | Command::Release => {
                self.stalled = false;
                self.held = false;
                state.held = false;
            }
        }
    }

    /// The request got no answer.
    pub(super) fn no_answer(&mut self, why: &str, state: &mut State, out: &mut Happened<'_>) {
        self.end(Ended::NoAnswer { why: why.to_owned() }, state, out);
    }

    fn end(&mut self, how: Ended, state: &mut State, out: &mut Happened<'_>) {
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
        self.plan.iter().filter(unreached).for_each(|fault| out.saw(self.fault(fault, false)));
        self.plan.clear();
        self.lose();
        self.ended = true;
        state.ended = Some(how.clone());
        out.gone = true;
        out.saw(What::End(End { conn: self.conn, how, unfinished: 0 }));
    }
}

/// The first event with which one of these faults can have to do.
fn first_struck(plan: &[proxy::Fault]) -> u64 {
    let first = |fault: &proxy::Fault| match fault {
        proxy::Fault::Cut { at, .. } => match at {
            Place::InEvent { event, .. } => *event,
            Place::AfterEvent(n) => *n,
            Place::BeforeFrame(_) | Place::AfterBytes(_) => 0,
            Place::BeforeHeaders | Place::AfterFrame(_) | Place::OnCommand => u64::MAX,
        },
        proxy::Fault::StopReading { after_event } | proxy::Fault::Hold { after_event } => *after_event,
        proxy::Fault::Delay { .. }
        | proxy::Fault::Rechunk { .. }
        | proxy::Fault::RefuseFirst(_)
        | proxy::Fault::DropAnswer
        | proxy::Fault::DuplicateRequest => u64::MAX,
    };
    plan.iter().map(first).min().unwrap_or(u64::MAX)
}
