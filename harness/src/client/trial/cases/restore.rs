//! What survives a kill of the client, and streams that are opened by a request with a body.

use super::super::case::{Case, Check, Need, Reply, Step, Want, dues};
use super::SOON;

/// The body that a client is given where a case needs one.
pub(in crate::client::trial) const BODY: &str = r#"{"prompt":"tell"}"#;

/// Three events, each sent when the one before was applied: at a kill or a restart behind them only the last can be under way.
pub(super) fn one_by_one() -> Reply {
    Reply::stream()
        .send(SOON)
        .send("id: 1\ndata: e1\n\n")
        .until("e1")
        .send("id: 2\ndata: e2\n\n")
        .until("e2")
        .send("id: 3\ndata: e3\n\n")
        .until("e3")
}

/// The second request presents the newest cursor that can have been stored.
pub(super) fn stored() -> Check {
    Check::Header { nth: 2, name: "Last-Event-ID", want: Want::OneOf(vec![b"2".to_vec(), b"3".to_vec()]) }
}

pub(super) fn cases() -> Vec<Case> {
    let mut ended = Case::new("started-after-the-end", "a client whose stream has ended is started again")
        .needs(Need::State)
        .reply(Reply::stream().send("id: 1\ndata: e1\n\n").end())
        .reply(Reply::stream().send("id: n:1\ndata: f1\n\n").end())
        .presents("C-RESTORE-4", 2, "");
    ended.again = true;
    let mut damaged = Case::new("damaged-state", "the state file of a killed client is overwritten before it is started again")
        .needs(Need::State)
        .reply(Reply::stream().send(SOON).send("id: 1\ndata: e1\n\n").until("e1").send("id: 2\ndata: e2\n\n").until("e2").step(Step::Kill))
        .reply(Reply::stream().send("id: 3\ndata: e3\n\n").end())
        .check("C-RESTORE-5", Check::Comes(2))
        .presents("C-RESTORE-5", 2, "");
    damaged.damage = Some("{\"cursor\":\"9");
    vec![
        Case::new("killed", "the client is killed behind its third event, and started again; the server resumes behind its cursor")
            .needs(Need::State)
            .reply(one_by_one().step(Step::Kill))
            .reply(Reply::stream().step(Step::Replay(5)).end())
            .check("C-RESTORE-1", stored())
            .check("C-RESTORE-2", Check::Once { but: vec!["e3".to_owned()] })
            .check("C-RESTORE-3", Check::Misses(dues(&[(1, "message", "e3"), (2, "message", "e4"), (2, "message", "e5")]))),
        ended,
        damaged,
        Case::new("post", "a stream that is opened by POST breaks twice")
            .needs(Need::Post)
            .reply(Reply::stream().send(SOON).send("id: 1\ndata: a\n\n"))
            .reply(Reply::stream().send("id: 2\ndata: b\n\n").until("b").step(Step::Reset))
            .reply(Reply::stream().end())
            .check("C-POST-1", Check::Method { nth: 2, want: "POST" })
            .check("C-POST-1", Check::Method { nth: 3, want: "POST" })
            .check("C-POST-2", Check::Body { nth: 2, want: BODY })
            .check("C-POST-2", Check::Body { nth: 3, want: BODY }),
    ]
}
