//! Steps with nothing in them but what they must have, from which the stretches are made.

use crate::history::Role;
use crate::scenario::{Await, Cut, How, Open, Publish, Resume, Stall, Start, Step, Subscribe, Upto};

pub(super) fn open(session: &str) -> Step {
    Step::Open(Open { session: session.to_owned(), retain: None, refuse: false, reborn_of: None, unwatched: false })
}

pub(super) fn publish(session: &str, count: u32) -> Step {
    Step::Publish(Publish::plain(session, count))
}

pub(super) fn subscribing(reader: &str, session: &str, from: Start) -> Subscribe {
    let (reader, session) = (reader.to_owned(), session.to_owned());
    Subscribe { reader, session, from, role: Role::Plain, beside: false, readers: 1, pay: None, content: None }
}

pub(super) fn subscribe(reader: &str, session: &str, from: Start) -> Step {
    Step::Subscribe(subscribing(reader, session, from))
}

pub(super) fn resuming(reader: &str) -> Resume {
    Resume { reader: reader.to_owned(), overlap: false, same_cursor: false, refuse_first: 0, beside: false }
}

pub(super) fn resume(reader: &str) -> Step {
    Step::Resume(resuming(reader))
}

pub(super) fn last(reader: &str) -> Step {
    Step::Await(Await { reader: reader.to_owned(), upto: Upto::Last, judges: None })
}

pub(super) fn stall(reader: &str, after_events: u32, slow: bool) -> Step {
    let stall = Stall { reader: reader.to_owned(), after_events };
    if slow { Step::Stall(stall) } else { Step::Hold(stall) }
}

pub(super) fn cutting(reader: &str) -> Cut {
    Cut {
        reader: reader.to_owned(),
        how: How::Rst,
        after_events: None,
        inside: None,
        after_bytes: None,
        before_headers: false,
        before_terminal: false,
    }
}
