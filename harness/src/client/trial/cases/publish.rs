//! What a client publishes, and what an adapter answers.

use super::super::case::{Case, Check, Need, Reply, Step, dues};
use super::super::log::PublishAnswer;
use super::SOON;
use super::restore::{one_by_one, stored};
use crate::client::orders::Outcome;

/// More requests than a client makes for one publish.
const EVERY: usize = 64;

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![accepted(), lost(), never_answered()];
    all.extend([400, 409, 413, 422].map(refused));
    all.extend([put_off(), orders(), restarted()]);
    all
}

/// A stream on which these are published, one after the other said to be done.
fn published(publishes: &[u32]) -> Reply {
    let begun = Reply::stream().send(SOON).send("id: 1\ndata: e1\n\n").until("e1");
    let each = |reply: Reply, publish: &u32| reply.step(Step::Publish(*publish)).step(Step::UntilPublished(*publish));
    publishes.iter().fold(begun, each)
}

fn accepted() -> Case {
    let mut case = Case::new("publish", "three publishes are accepted, and the stream breaks behind the second one")
        .needs(Need::Publish)
        .needs(Need::Headers)
        .reply(published(&[1, 2]).step(Step::Reset))
        .reply(Reply::stream().send("id: 2\ndata: e2\n\n").until("e2").step(Step::Publish(3)).step(Step::UntilPublished(3)).end())
        .check("C-POST-6", Check::PublishesInOrder);
    for publish in 1..=3 {
        case =
            case.check("C-POST-7", Check::Reports { publish, outcome: Outcome::Accepted }).check("C-POST-7", Check::PublishesOnce(publish));
        for header in super::HEADERS.lines() {
            case = case.check("C-POST-10", Check::Carries { publish, header });
        }
    }
    case
}

fn lost() -> Case {
    Case::new("publish-answer-lost", "the server has a publish, and its answer is lost")
        .needs(Need::Publish)
        .answers(1, PublishAnswer::Lose)
        .reply(published(&[1]).end())
        .check("C-POST-3", Check::KeepsKey(1))
}

fn never_answered() -> Case {
    let case = Case::new("publish-never-answered", "every answer to a publish is lost").needs(Need::Publish).reply(published(&[1]).end());
    (0..EVERY)
        .fold(case, |case, _| case.answers(1, PublishAnswer::Lose))
        .check("C-POST-3", Check::KeepsKey(1))
        .check("C-POST-5", Check::Reports { publish: 1, outcome: Outcome::Unknown })
}

fn refused(status: u16) -> Case {
    let case = Case::new(&format!("publish-{status}"), "a publish is answered with this status, and the next one accepted")
        .needs(Need::Publish)
        .reply(published(&[1, 2]).end());
    (0..EVERY)
        .fold(case, |case, _| case.answers(1, PublishAnswer::Refuse(status)))
        .check("C-POST-4", Check::Reports { publish: 1, outcome: Outcome::Refused })
        .check("C-POST-8", Check::PublishesOnce(1))
        .check("C-POST-7", Check::Reports { publish: 2, outcome: Outcome::Accepted })
}

fn put_off() -> Case {
    let all_at_once = (1..=3).fold(published(&[]), |reply, publish| reply.step(Step::Publish(publish)));
    let done = (1..=3).fold(all_at_once, |reply, publish| reply.step(Step::UntilPublished(publish)));
    Case::new("publish-put-off", "of three publishes at once, the first is answered with 503 and a Retry-After of a second")
        .needs(Need::Publish)
        .answers(1, PublishAnswer::PutOff(1))
        .reply(done.end())
        .check("C-POST-6", Check::PublishesInOrder)
        .check("C-POST-9", Check::PutsOff(1, 950))
}

fn orders() -> Case {
    Case::new("orders", "an adapter is given each order that there is, but `restart`")
        .needs(Need::Orders)
        .needs(Need::Publish)
        .needs(Need::Close)
        .reply(published(&[1]).step(Step::Close).step(Step::UntilClosed))
        .with_orders()
}

fn restarted() -> Case {
    let first = one_by_one().step(Step::Restart).step(Step::Hold);
    Case::new("restarted", "the client is told to start over within its process; the server resumes behind its cursor")
        .needs(Need::State)
        .needs(Need::Restart)
        .reply(first)
        .reply(Reply::stream().step(Step::UntilLeft(1)).step(Step::Replay(5)).end())
        .check("C-RESTORE-1", stored())
        .check("C-RESTORE-2", Check::Once { but: vec!["e3".to_owned()] })
        .check("C-RESTORE-3", Check::Misses(dues(&[(2, "message", "e4"), (2, "message", "e5")])))
        .check("C-RESTORE-6", Check::Leaves(1))
}
