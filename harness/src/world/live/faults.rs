//! Faults of a scenario as plans of the proxy, and what the proxy did as words.

use std::fmt::Write as _;

use super::proxy::{Fault, FrameMatch, How as ProxyHow, Place, Plan, Within};
use crate::contract::Binding;
use crate::scenario::{Count, Cut, How, InsideAt};
use crate::world::ConnFault;

/// The plan of one connection.
pub(in crate::world) fn plan(faults: &[ConnFault], binding: &Binding) -> Plan {
    let mut plan = Vec::new();
    for fault in faults {
        match fault {
            ConnFault::Cut(cut) => plan.extend(place(cut, binding).map(|at| Fault::Cut { at, how: how(cut.how) })),
            ConnFault::Stall(stall) => plan.push(Fault::StopReading { after_event: u64::from(stall.after_events) }),
            ConnFault::Hold(hold) => plan.push(Fault::Hold { after_event: u64::from(hold.after_events) }),
            ConnFault::Shape(shape) => {
                plan.extend(shape.rechunk.map(|size| Fault::Rechunk { size: size as usize }));
                plan.extend(shape.delay_ms.map(|ms| Fault::Delay { ms: u64::from(ms), from_event: 0 }));
            }
            ConnFault::RefuseFirst(times) => plan.push(Fault::RefuseFirst(*times)),
        }
    }
    Plan { faults: plan }
}

pub(in crate::world) fn how(how: How) -> ProxyHow {
    match how {
        How::Fin => ProxyHow::Fin,
        How::Rst => ProxyHow::Rst,
        How::Silence => ProxyHow::Silence,
    }
}

fn place(cut: &Cut, binding: &Binding) -> Option<Place> {
    if cut.before_headers {
        return Some(Place::BeforeHeaders);
    }
    if cut.before_terminal {
        let terminal = binding.frames.terminal.as_ref()?;
        let by_type = terminal.event_type.as_ref().map(|types| match types {
            crate::contract::OneOrMany::One(one) => one.clone(),
            crate::contract::OneOrMany::Many(many) => many.first().cloned().unwrap_or_default(),
        });
        let in_sse_type = binding.event.event_type.as_deref() == Some("event");
        return Some(Place::BeforeFrame(match by_type {
            Some(name) if in_sse_type => FrameMatch::EventType(name),
            Some(name) => FrameMatch::Contains(name),
            None => FrameMatch::Contains(terminal.json.iter().next().map(|(_, value)| value.to_string())?),
        }));
    }
    if let Some(inside) = &cut.inside {
        let at = match inside.at {
            InsideAt::Line => Within::InLine,
            InsideAt::AfterId => Within::AfterIdLine,
            InsideAt::CrLf => Within::BetweenCrLf,
            InsideAt::Utf8 => Within::InUtf8Char,
            // The shortest frame there is has more bytes than this; its line is whole, its empty line is missing.
            InsideAt::BeforeEnd => Within::BeforeEnd,
        };
        return Some(Place::InEvent { event: u64::from(inside.after_events) + 1, at });
    }
    match (cut.after_events, cut.after_bytes) {
        (Some(Count::N(n)), _) => Some(Place::AfterEvent(u64::from(n))),
        (_, Some(Count::N(n))) => Some(Place::AfterBytes(u64::from(n))),
        (Some(Count::Each(_)) | None, Some(Count::Each(_)) | None) => None,
    }
}

/// A fault as a person would say it.
pub(in crate::world) fn say(fault: &Fault) -> String {
    // Every cut of a simulation is said, so it is written in one go.
    let mut said = String::with_capacity(64);
    write_fault(&mut said, fault).expect("writing to a string does not fail");
    said
}

fn write_fault(said: &mut String, fault: &Fault) -> std::fmt::Result {
    match fault {
        Fault::Cut { at, how } => {
            said.push_str(match how {
                ProxyHow::Fin => "closed ",
                ProxyHow::Rst => "reset ",
                ProxyHow::Silence => "silenced ",
            });
            write_place(said, at)
        }
        Fault::Delay { ms, .. } => write!(said, "delayed by {ms} ms"),
        Fault::Rechunk { size } => write!(said, "sent in pieces of {size} bytes"),
        Fault::StopReading { after_event } => write!(said, "not read any more after event {after_event}"),
        Fault::Hold { after_event } => write!(said, "bytes held back after event {after_event}"),
        Fault::RefuseFirst(left) => write!(said, "refused, {left} to go"),
        Fault::DropAnswer => said.write_str("answer dropped"),
        Fault::DuplicateRequest => said.write_str("request sent twice, answer dropped"),
    }
}

fn write_place(said: &mut String, place: &Place) -> std::fmt::Result {
    match place {
        Place::BeforeHeaders => said.write_str("before the response head"),
        Place::AfterEvent(n) => write!(said, "after event {n} of the connection"),
        Place::InEvent { event, at } => {
            match at {
                Within::InLine => said.push_str("inside the data line"),
                Within::BetweenCrLf => said.push_str("between CR and LF"),
                Within::InUtf8Char => said.push_str("inside a character"),
                Within::AfterIdLine => said.push_str("behind the id or the first line"),
                Within::BeforeEnd => said.push_str("before the empty line"),
                Within::Byte(n) => write!(said, "after {n} bytes")?,
            }
            write!(said, " of event {event} of the connection")
        }
        Place::BeforeFrame(_) => said.write_str("before the terminal"),
        Place::AfterFrame(_) => said.write_str("after the terminal"),
        Place::AfterBytes(n) => write!(said, "after {n} bytes of the body"),
        Place::OnCommand => said.write_str("now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history;

    /// Silence, reading no more, a cut inside an event, leaving.
    fn read(fault: &Fault) -> [bool; 4] {
        let fault = history::Fault { conn: None, says: say(fault), reached: true };
        [fault.is_silence(), fault.stops_reading(), fault.is_inside_an_event(), fault.is_leaving()]
    }

    #[test]
    fn what_is_read_out_of_a_faults_words_is_what_it_was() {
        let cut = |at, how| read(&Fault::Cut { at, how });
        assert_eq!(cut(Place::OnCommand, ProxyHow::Fin), [false, false, false, true]);
        assert_eq!(cut(Place::OnCommand, ProxyHow::Rst), [false, false, false, true]);
        assert_eq!(cut(Place::OnCommand, ProxyHow::Silence), [true, false, false, false]);
        assert_eq!(cut(Place::AfterEvent(3), ProxyHow::Rst), [false; 4]);
        assert_eq!(cut(Place::AfterEvent(3), ProxyHow::Silence), [true, false, false, false]);
        for at in [Within::InLine, Within::AfterIdLine, Within::BeforeEnd, Within::BetweenCrLf, Within::InUtf8Char, Within::Byte(3)] {
            assert_eq!(cut(Place::InEvent { event: 3, at }, ProxyHow::Rst), [false, false, true, false]);
        }
        assert_eq!(read(&Fault::StopReading { after_event: 3 }), [false, true, false, false]);
        assert_eq!(read(&Fault::Hold { after_event: 3 }), [false; 4]);
    }
}
