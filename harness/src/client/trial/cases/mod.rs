//! The cases, a file for each group of requirements.
//!
//! Streams begin with `retry: 50` where a reconnect follows and nothing is said of its wait, so that cases are short. It
//! stands in the block of the first event: what a block without data does is shown by the cases that are about it.

mod deliver;
mod open;
mod parse;
mod publish;
mod restore;
mod resume;
mod retry;
mod socket;

use super::case::Case;

pub(super) use open::HEADERS;
pub(super) use restore::BODY;
pub use socket::SESSION;

/// All cases: those of server-sent events in the order of the requirements, then those of WebSockets.
pub fn cases() -> Vec<Case> {
    let of_events = [parse::cases(), open::cases(), retry::cases(), resume::cases(), deliver::cases(), restore::cases(), publish::cases()];
    [of_events.concat(), socket::cases()].concat()
}

/// The cases of clients of a profile: `sse`, or `dispatch`, whose stream is a WebSocket.
pub fn cases_of(profile: &str) -> Vec<Case> {
    cases().into_iter().filter(|case| case.socket == (profile == "dispatch")).collect()
}

/// A short reconnection time, before the fields of the first event.
const SOON: &str = "retry: 50\n";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::case::{Head, Step};
    use super::*;
    use crate::client::BUGS;
    use crate::contract::{CLIENT_CATALOGUE, requirement};

    #[test]
    fn each_requirement_has_a_case_and_a_bug_and_each_case_a_name() {
        let all = cases();
        let names: BTreeSet<&str> = all.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        let judged: BTreeSet<&str> = all.iter().flat_map(Case::judges).collect();
        for r in CLIENT_CATALOGUE {
            assert!(judged.contains(r.id), "no case shows {}", r.id);
            assert!(BUGS.iter().any(|bug| bug.killed_by == r.id), "no bug proves {}", r.id);
        }
        for (case, reply) in all.iter().flat_map(|case| case.replies.iter().map(move |reply| (case, reply))) {
            let of_sockets = |step: &Step| matches!(step, Step::Say(_) | Step::Fragments(..) | Step::Beside | Step::Ping);
            let of_bodies = |step: &Step| matches!(step, Step::Send(_) | Step::Pieces(..) | Step::Replay(_));
            let talks = reply.head == Head::Socket;
            // A WebSocket may be refused before it is one; then its answer is an ordinary body.
            assert!(case.socket || !talks, "{}", case.name);
            let strays = reply.steps.iter().any(|step| if talks { of_bodies(step) } else { of_sockets(step) });
            assert!(!strays, "{} has a step of another kind of stream", case.name);
        }
        for id in judged {
            assert!(requirement(id).is_some(), "{id} is not in the catalogue");
        }
    }
}
