//! Reconnecting, its waits and its limits.

use super::super::case::{Case, Check, Reply, Step};
use super::SOON;

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        Case::new("clean-end", "the body ends after one event")
            .reply(Reply::stream().send(SOON).send("data: a\n\n").until("a"))
            .reply(Reply::stream().send("data: b\n\n").end())
            .check("C-RETRY-1", Check::Comes(2))
            .applies("C-RETRY-1", &[(1, "message", "a"), (2, "message", "b")]),
        Case::new("reset", "the connection is reset after one event")
            .reply(Reply::stream().send(SOON).send("data: a\n\n").until("a").step(Step::Reset))
            .reply(Reply::stream().send("data: b\n\n").end())
            .check("C-RETRY-1", Check::Comes(2))
            .applies("C-RETRY-1", &[(1, "message", "a"), (2, "message", "b")]),
        Case::new("cut-body", "the connection ends inside a chunked body")
            .reply(Reply::stream().send(SOON).send("data: a\n\n").until("a").step(Step::Break))
            .reply(Reply::stream().send("data: b\n\n").end())
            .check("C-RETRY-1", Check::Comes(2))
            .applies("C-RETRY-1", &[(1, "message", "a"), (2, "message", "b")]),
        Case::new("retry-is-kept", "the server asks for a second, and its body ends twice")
            .reply(Reply::stream().send("retry: 1000\n\ndata: a\n\n").until("a"))
            .reply(Reply::stream().send("data: b\n\n").until("b"))
            .reply(Reply::stream().end())
            .check("C-RETRY-2", Check::Waits { nth: 2, least: Some(900), most: None })
            .check("C-RETRY-2", Check::Waits { nth: 3, least: Some(900), most: None })
            .check("C-RETRY-3", Check::Waits { nth: 2, least: None, most: Some(3000) })
            .check("C-RETRY-3", Check::Waits { nth: 3, least: None, most: Some(3000) }),
        Case::new("refused-connections", "three connections in a row are refused behind a stream that asked for 400 ms")
            .reply(Reply::stream().send("retry: 400\n\ndata: a\n\n").until("a"))
            .reply(Reply::refuse())
            .reply(Reply::refuse())
            .reply(Reply::refuse())
            .reply(Reply::stream().send("data: b\n\n").end())
            .check("C-RETRY-5", Check::Waits { nth: 3, least: Some(360), most: None })
            .check("C-RETRY-5", Check::Waits { nth: 4, least: Some(360), most: None })
            .check("C-RETRY-5", Check::Waits { nth: 5, least: Some(360), most: None })
            .check("C-RETRY-6", Check::Comes(3))
            .check("C-RETRY-6", Check::Comes(4))
            .check("C-RETRY-6", Check::Comes(5)),
    ];
    for (name, value) in [("suffix", "60000x"), ("sign", "+60000"), ("exponent", "6e4"), ("empty", "")] {
        let text = format!("retry: 50\nretry: {value}\ndata: a\n\n");
        // The second block has the bogus value alone.
        let bogus = format!("retry: {value}\n\ndata: b\n\n");
        let case = Case::new(&format!("retry-{name}"), "a reconnection time that is none follows one that is");
        let most = Some(2_000);
        all.push(
            case.reply(Reply::stream().send(text).send(bogus).until("b"))
                .reply(Reply::stream().end())
                .check("C-RETRY-4", Check::Waits { nth: 2, least: None, most }),
        );
    }
    all
}
