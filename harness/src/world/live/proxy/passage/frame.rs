//! The current frame, kept back because a fault wants to look at it whole.

use super::super::fault::{Fault, How, Place};
use super::super::within::{matches, offset};

/// The frame as far as it is kept back.
#[derive(Debug, Default)]
pub(super) struct Frame {
    parts: Vec<Part>,
    payload: usize,
    /// It is too long to be kept back; the rest of it passes.
    pub(super) given_up: bool,
}

#[derive(Debug)]
pub(super) enum Part {
    Payload(Vec<u8>),
    Coding(Vec<u8>),
}

/// What the frame shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Pass,
    /// Cut after this many bytes of its payload.
    CutAt {
        until: usize,
        fault: usize,
        how: How,
    },
    CutAfter {
        fault: usize,
        how: How,
    },
}

/// Whether a fault wants to see the frame that may become this event.
pub(super) fn is_wanted(faults: &[Fault], number: u64) -> bool {
    faults.iter().filter_map(cut).any(|(at, _)| match at {
        Place::InEvent { event, .. } => *event == number,
        Place::BeforeFrame(_) | Place::AfterFrame(_) => true,
        Place::BeforeHeaders | Place::AfterEvent(_) | Place::AfterBytes(_) | Place::OnCommand => false,
    })
}

fn cut(fault: &Fault) -> Option<(&Place, How)> {
    if let Fault::Cut { at, how } = fault { Some((at, *how)) } else { None }
}

impl Frame {
    pub(super) fn push(&mut self, part: Part) {
        if let Part::Payload(bytes) = &part {
            self.payload += bytes.len();
        }
        self.parts.push(part);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many bytes of payload are kept back.
    pub(super) fn payload(&self) -> usize {
        self.payload
    }

    /// Takes what is kept back, up to this many bytes of payload.
    pub(super) fn release(&mut self, until: usize) -> Vec<Part> {
        let mut left = until;
        let mut released = Vec::new();
        self.payload = 0;
        for mut part in std::mem::take(&mut self.parts) {
            if let Part::Payload(bytes) = &mut part {
                bytes.truncate(left);
                left -= bytes.len();
            }
            released.push(part);
            if left == 0 {
                break;
            }
        }
        released
    }

    /// Where the frame is to be cut: at the first place in it that a fault names. `number` is that of the event which
    /// it is or, if it is none, of the next.
    pub(super) fn decide(&self, faults: &[Fault], number: u64, is_event: bool) -> Decision {
        if self.is_empty() {
            return Decision::Pass;
        }
        let frame = self.text();
        let mut first: Option<(usize, usize, How)> = None;
        let mut after = None;
        for (fault, (at, how)) in faults.iter().enumerate().filter_map(|(fault, what)| Some((fault, cut(what)?))) {
            let until = match at {
                Place::BeforeFrame(wanted) => matches(&frame, wanted).then_some(0),
                Place::AfterFrame(wanted) => {
                    after = after.or_else(|| matches(&frame, wanted).then_some(Decision::CutAfter { fault, how }));
                    None
                }
                Place::InEvent { event, at } => Some(*event).filter(|event| is_event && *event == number).and_then(|_| offset(&frame, *at)),
                Place::BeforeHeaders | Place::AfterEvent(_) | Place::AfterBytes(_) | Place::OnCommand => None,
            };
            first = first.into_iter().chain(until.map(|until| (until, fault, how))).min_by_key(|&(until, ..)| until);
        }
        match (first, after) {
            (Some((until, fault, how)), _) => Decision::CutAt { until, fault, how },
            (None, Some(after)) => after,
            (None, None) => Decision::Pass,
        }
    }

    fn text(&self) -> Vec<u8> {
        let payload = self.parts.iter().filter_map(|part| match part {
            Part::Payload(bytes) => Some(bytes.as_slice()),
            Part::Coding(_) => None,
        });
        payload.flatten().copied().collect()
    }
}
