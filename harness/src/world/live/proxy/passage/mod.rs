//! What to do with the server's bytes, decided without IO: bytes go in, steps come out, to be taken in order.

mod frame;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::border::Borders;
use super::fault::{Fault, Framing, How, Place};
use super::framing::{AnswerHead, Body, HEAD_LIMIT, Stretch, Unreadable, answer_head};

use frame::{Decision, Frame, Part, is_wanted};

/// The most that is kept back of one frame to look at it whole; of a longer frame the first bytes decide.
pub(super) const FRAME_LIMIT: usize = 16 * 1024 * 1024;

/// What to do next. `fault` is the place in the plan of the fault that this comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write this to the client, as one write.
    Pass(Vec<u8>),
    /// The head of an answer has passed.
    Head {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// The event of this number has passed.
    Event(u64),
    /// From here on this fault has its effect.
    Applied {
        fault: usize,
    },
    Wait(Duration),
    /// Do nothing more until reading is resumed.
    Stop {
        fault: usize,
    },
    /// Keep all further steps until they are released.
    Hold {
        fault: usize,
    },
    /// The last step.
    Cut {
        fault: usize,
        how: How,
    },
    /// The last step: an answer came and is not passed on.
    Drop {
        fault: usize,
        status: u16,
        headers: Vec<(String, String)>,
        again: bool,
    },
    /// The last step: the server's bytes make no sense.
    Lost(Unreadable),
}

/// One connection's answers on their way from server to client.
#[derive(Debug)]
pub(super) struct Passage {
    faults: Vec<Fault>,
    framing: Framing,
    state: State,
    /// For each request that is not answered, whether it was a `HEAD`.
    asked: VecDeque<bool>,
    first_head: bool,
    events: u64,
    payload: u64,
    frame: Frame,
    /// Steps that wait for the chunk's CR LF to pass, so that a client that reads whole chunks sees the event.
    behind_chunk: Vec<Step>,
    delay: Option<Duration>,
    piece: Option<usize>,
    over: bool,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Body(Body, Borders),
    /// After `101`, and after the answer to `CONNECT`: no HTTP any more.
    Tunnel,
}

impl Passage {
    pub(super) fn new(faults: Vec<Fault>, framing: Framing) -> Self {
        Self {
            faults,
            framing,
            state: State::Head(Vec::new()),
            asked: VecDeque::new(),
            first_head: true,
            events: 0,
            payload: 0,
            frame: Frame::default(),
            behind_chunk: Vec::new(),
            delay: None,
            piece: None,
            over: false,
        }
    }

    /// A request was sent; `head`: it expects an answer without a body.
    pub(super) fn asked(&mut self, head: bool) {
        self.asked.push_back(head);
    }

    /// Takes bytes of the server's.
    pub(super) fn feed(&mut self, bytes: &[u8], steps: &mut VecDeque<Step>) {
        if let (Some(delay), false) = (self.delay, self.over) {
            steps.push_back(Step::Wait(delay));
        }
        if let Err(error) = self.follow(bytes, steps) {
            self.finish(steps, Step::Lost(error));
        }
    }

    /// The server's side ended; what was kept back of an unfinished frame passes.
    pub(super) fn end(&mut self, steps: &mut VecDeque<Step>) {
        match &mut self.state {
            State::Head(head) if !self.over => {
                let head = std::mem::take(head);
                self.write(&head, steps);
            }
            State::Body(Body::UntilClose, _) => self.body_ended(steps),
            State::Head(_) | State::Body(..) | State::Tunnel => {}
        }
        self.release_frame(usize::MAX, steps);
        self.chunk_passed(steps);
    }

    fn follow(&mut self, mut bytes: &[u8], steps: &mut VecDeque<Step>) -> Result<(), Unreadable> {
        while !self.over {
            match &mut self.state {
                State::Tunnel => {
                    self.write(bytes, steps);
                    break;
                }
                State::Head(seen) => {
                    if bytes.is_empty() {
                        break;
                    }
                    let before = seen.len();
                    let room = bytes.len().min(HEAD_LIMIT + 1 - before);
                    seen.extend_from_slice(&bytes[..room]);
                    let to_head = self.asked.front().copied().unwrap_or(false);
                    let Some(head) = answer_head(seen, to_head)? else {
                        bytes = &bytes[room..];
                        continue;
                    };
                    bytes = &bytes[head.length - before..];
                    let raw = seen[..head.length].to_vec();
                    self.head(head, &raw, steps);
                }
                State::Body(body, _) => {
                    if body.is_over() {
                        self.body_ended(steps);
                        continue;
                    }
                    if bytes.is_empty() {
                        break;
                    }
                    match body.next(bytes)? {
                        Stretch::Payload(count) => {
                            let ends = body.chunk_ends_here();
                            self.payload(&bytes[..count], ends, steps);
                            bytes = &bytes[count..];
                        }
                        Stretch::Coding(count) => {
                            self.coding(&bytes[..count], steps);
                            bytes = &bytes[count..];
                        }
                        Stretch::End => unreachable!("a body that is over was ended above"),
                    }
                }
            }
        }
        Ok(())
    }

    fn head(&mut self, head: AnswerHead, raw: &[u8], steps: &mut VecDeque<Step>) {
        let interim = matches!(head.status, 100 | 102..=199);
        if interim {
            self.write(raw, steps);
            self.state = State::Head(Vec::new());
            return;
        }
        self.asked.pop_front();
        for (fault, what) in self.faults.iter().enumerate() {
            let last = match what {
                Fault::Cut { at: Place::BeforeHeaders, how } => Step::Cut { fault, how: *how },
                Fault::DropAnswer => Step::Drop { fault, status: head.status, headers: head.headers, again: false },
                Fault::DuplicateRequest => Step::Drop { fault, status: head.status, headers: head.headers, again: true },
                Fault::Cut { .. }
                | Fault::Delay { .. }
                | Fault::Rechunk { .. }
                | Fault::StopReading { .. }
                | Fault::Hold { .. }
                | Fault::RefuseFirst(_) => continue,
            };
            return self.finish(steps, last);
        }
        self.write(raw, steps);
        steps.push_back(Step::Head { status: head.status, headers: head.headers });
        if head.status == 101 && self.framing != Framing::Messages {
            self.state = State::Tunnel;
            return;
        }
        let body = if head.status == 101 { Body::UntilClose } else { head.body };
        let borders = match self.framing {
            Framing::Sse => Borders::sse(),
            Framing::Lines => Borders::lines(),
            Framing::Messages if head.status == 101 => Borders::messages(),
            Framing::Messages | Framing::None => Borders::None,
            Framing::Auto => borders_by_type(&head.content_type),
        };
        self.state = State::Body(body, borders);
        if std::mem::take(&mut self.first_head) {
            self.begin_pieces(steps);
            self.border_faults(steps);
        }
    }

    fn begin_pieces(&mut self, steps: &mut VecDeque<Step>) {
        for (fault, what) in self.faults.iter().enumerate() {
            if let Fault::Rechunk { size } = what {
                self.piece = Some((*size).max(1));
                steps.push_back(Step::Applied { fault });
            }
        }
    }

    /// What happens once this many events have passed.
    fn border_faults(&mut self, steps: &mut VecDeque<Step>) {
        let passed = self.events;
        for fault in 0..self.faults.len() {
            match self.faults[fault] {
                Fault::Cut { at: Place::AfterEvent(after), how } if after == passed => {
                    return self.finish(steps, Step::Cut { fault, how });
                }
                Fault::Cut { at: Place::AfterBytes(0), how } if self.payload == 0 => {
                    return self.finish(steps, Step::Cut { fault, how });
                }
                Fault::StopReading { after_event } if after_event == passed => steps.push_back(Step::Stop { fault }),
                Fault::Hold { after_event } if after_event == passed => steps.push_back(Step::Hold { fault }),
                Fault::Delay { ms, from_event } if from_event.saturating_sub(1) == passed => {
                    let delay = Duration::from_millis(ms);
                    self.delay = Some(delay);
                    steps.extend([Step::Applied { fault }, Step::Wait(delay)]);
                }
                Fault::Cut { .. }
                | Fault::Delay { .. }
                | Fault::Rechunk { .. }
                | Fault::StopReading { .. }
                | Fault::Hold { .. }
                | Fault::RefuseFirst(_)
                | Fault::DropAnswer
                | Fault::DuplicateRequest => {}
            }
        }
    }

    fn payload(&mut self, mut bytes: &[u8], chunk_ends: bool, steps: &mut VecDeque<Step>) {
        while !bytes.is_empty() && !self.over {
            let State::Body(_, borders) = &mut self.state else { unreachable!("payload belongs to a body") };
            let (taken, end) = borders.scan(bytes);
            let part = &bytes[..taken];
            bytes = &bytes[taken..];
            if !self.frame.given_up && is_wanted(&self.faults, self.events + 1) {
                self.frame.push(Part::Payload(part.to_vec()));
            } else {
                self.pass(part, steps);
            }
            if let Some(event) = end {
                if !self.over {
                    self.frame_ended(event, chunk_ends && bytes.is_empty(), steps);
                }
            } else if self.frame.payload() > FRAME_LIMIT {
                self.give_up_frame(steps);
            }
        }
    }

    fn coding(&mut self, bytes: &[u8], steps: &mut VecDeque<Step>) {
        if self.piece.is_some() {
            return self.chunk_passed(steps);
        }
        if !self.frame.is_empty() {
            return self.frame.push(Part::Coding(bytes.to_vec()));
        }
        let tail = memchr::memchr(b'\n', bytes).filter(|_| !self.behind_chunk.is_empty());
        let (tail, rest) = bytes.split_at(tail.map_or(0, |end| end + 1));
        self.write(tail, steps);
        if !tail.is_empty() {
            self.chunk_passed(steps);
        }
        self.write(rest, steps);
    }

    fn chunk_passed(&mut self, steps: &mut VecDeque<Step>) {
        let due = std::mem::take(&mut self.behind_chunk);
        self.over |= due.iter().any(|step| matches!(step, Step::Cut { .. }));
        steps.extend(due);
    }

    /// `at_chunk_end`: only the CR LF of the chunk is to come before the next frame.
    fn frame_ended(&mut self, event: bool, at_chunk_end: bool, steps: &mut VecDeque<Step>) {
        let decision = self.frame.decide(&self.faults, self.events + 1, event);
        if let Decision::CutAt { until, fault, how } = decision {
            self.release_frame(until, steps);
            return self.finish(steps, Step::Cut { fault, how });
        }
        self.release_frame(usize::MAX, steps);
        self.frame = Frame::default();
        if self.over {
            return;
        }
        let mut due = VecDeque::new();
        if event {
            self.events += 1;
            steps.push_back(Step::Event(self.events));
            self.border_faults(&mut due);
        }
        if let Decision::CutAfter { fault, how } = decision {
            self.finish(&mut due, Step::Cut { fault, how });
        }
        if at_chunk_end && !due.is_empty() {
            // The coding that follows ends the chunk; until it came, nothing is over.
            self.over = false;
            self.behind_chunk.extend(due);
        } else {
            steps.extend(due);
        }
    }

    /// The frame is longer than what is kept back of one: only a place in its first part can still be reached.
    fn give_up_frame(&mut self, steps: &mut VecDeque<Step>) {
        if let Decision::CutAt { until, fault, how } = self.frame.decide(&self.faults, self.events + 1, true)
            && until > 0
        {
            self.release_frame(until, steps);
            return self.finish(steps, Step::Cut { fault, how });
        }
        self.release_frame(usize::MAX, steps);
        self.frame.given_up = true;
    }

    /// Passes what was kept back, up to this many bytes of payload.
    fn release_frame(&mut self, until: usize, steps: &mut VecDeque<Step>) {
        for part in self.frame.release(until) {
            match part {
                Part::Payload(bytes) => self.pass(&bytes, steps),
                Part::Coding(bytes) => self.write(&bytes, steps),
            }
        }
    }

    fn body_ended(&mut self, steps: &mut VecDeque<Step>) {
        let State::Body(body, borders) = std::mem::replace(&mut self.state, State::Head(Vec::new())) else {
            unreachable!("a body ended");
        };
        let mut borders = borders;
        if borders.finish() {
            self.frame_ended(true, false, steps);
        }
        self.release_frame(usize::MAX, steps);
        self.frame = Frame::default();
        if self.piece.is_some() && matches!(body, Body::Chunked(_)) {
            self.write(b"0\r\n\r\n", steps);
        }
    }

    /// Passes payload, up to the nearest cut by bytes.
    fn pass(&mut self, bytes: &[u8], steps: &mut VecDeque<Step>) {
        if self.over || bytes.is_empty() {
            return;
        }
        let cut = self.faults.iter().enumerate().filter_map(|(fault, what)| match what {
            Fault::Cut { at: Place::AfterBytes(after), how } => {
                let left = after.checked_sub(self.payload).and_then(|left| usize::try_from(left).ok())?;
                (left <= bytes.len()).then_some((left, Step::Cut { fault, how: *how }))
            }
            Fault::Cut { .. }
            | Fault::Delay { .. }
            | Fault::Rechunk { .. }
            | Fault::StopReading { .. }
            | Fault::Hold { .. }
            | Fault::RefuseFirst(_)
            | Fault::DropAnswer
            | Fault::DuplicateRequest => None,
        });
        let cut = cut.min_by_key(|(left, _)| *left);
        let until = cut.as_ref().map_or(bytes.len(), |(left, _)| *left);
        let bytes = &bytes[..until];
        self.payload += bytes.len() as u64;
        match (self.piece, &self.state) {
            (Some(size), State::Body(Body::Chunked(_), _)) => {
                steps.extend(bytes.chunks(size).map(|piece| {
                    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                    chunk.extend_from_slice(piece);
                    chunk.extend_from_slice(b"\r\n");
                    Step::Pass(chunk)
                }));
            }
            (Some(size), State::Body(..) | State::Head(_) | State::Tunnel) => {
                steps.extend(bytes.chunks(size).map(|piece| Step::Pass(piece.to_vec())));
            }
            (None, _) => self.write(bytes, steps),
        }
        if let Some((_, last)) = cut {
            self.finish(steps, last);
        }
    }

    /// Passes bytes as they are, together with those right before them.
    fn write(&mut self, bytes: &[u8], steps: &mut VecDeque<Step>) {
        if self.over || bytes.is_empty() {
            return;
        }
        match steps.back_mut() {
            Some(Step::Pass(before)) if self.piece.is_none() => before.extend_from_slice(bytes),
            _ => steps.push_back(Step::Pass(bytes.to_vec())),
        }
    }

    fn finish(&mut self, steps: &mut VecDeque<Step>, last: Step) {
        if !self.over {
            self.over = true;
            steps.push_back(last);
        }
    }
}

fn borders_by_type(content_type: &str) -> Borders {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence == "text/event-stream" {
        Borders::sse()
    } else if ["ndjson", "jsonl", "json-seq", "jsonlines"].iter().any(|part| essence.contains(part)) {
        Borders::lines()
    } else {
        Borders::None
    }
}
