//! The cursor that a reconnect presents.

use super::super::case::{Case, Check, Due, Reply, Step};
use super::super::log::Event;
use super::SOON;

pub(super) fn cases() -> Vec<Case> {
    /// One stream with `text` behind an event with id 1, a reconnect that presents `cursor`, the end.
    fn then(name: &str, says: &str, id: &'static str, text: &str, cursor: &str) -> Case {
        Case::new(name, says)
            .reply(Reply::stream().send(SOON).send("id: 1\ndata: a\n\n").send(text))
            .reply(Reply::stream().end())
            .presents(id, 2, cursor)
    }
    let with_id =
        |reply: u32, id: &str, data: &str| Due { reply, event: Event { id: Some(id.to_owned()), event_type: None, data: data.to_owned() } };
    vec![
        Case::new("first-request", "a fresh client").reply(Reply::stream().send("data: a\n\n").end()).presents("C-RESUME-1", 1, ""),
        Case::new("three-connections", "each connection brings new ids")
            .reply(Reply::stream().send(SOON).send("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"))
            .reply(Reply::stream().send("id: 3\ndata: c\n\n").until("c").step(Step::Reset))
            .reply(Reply::stream().send("id: x:4\ndata: d\n\n"))
            .reply(Reply::stream().end())
            .presents("C-RESUME-2", 2, "2")
            .presents("C-RESUME-2", 3, "3")
            .presents("C-RESUME-2", 4, "x:4"),
        Case::new("dead-resumes", "two resumed streams die before their first id: one behind its head, one behind a comment")
            .reply(Reply::stream().send(SOON).send("id: 7\ndata: a\n\n"))
            .reply(Reply::stream())
            .reply(Reply::stream().send(": hello\n\n").step(Step::Reset))
            .reply(Reply::stream().end())
            .presents("C-RESUME-3", 2, "7")
            .presents("C-RESUME-3", 3, "7")
            .presents("C-RESUME-3", 4, "7"),
        then("id-in-unfinished-block", "the body ends behind an id and data without an empty line", "C-RESUME-4", "id: 2\ndata: b\n", "1"),
        then("id-line-alone", "the body ends behind an id line", "C-RESUME-4", "id: 2\n", "1"),
        then("id-without-data", "a block with an id alone", "C-RESUME-5", "id: 2\n\n", "2"),
        then("event-without-id", "an event without id", "C-RESUME-6", "data: b\n\n", "1")
            .check("C-RESUME-6", Check::Applies(vec![with_id(1, "1", "a"), with_id(1, "1", "b")])),
        then("empty-id", "an event with an empty id", "C-RESUME-7", "id:\ndata: b\n\n", ""),
        then("id-field-alone", "an event with an id field without value", "C-RESUME-7", "id\ndata: b\n\n", ""),
        then("nul-in-id", "an event with NUL in its id", "C-RESUME-8", "id: 2\u{0}3\ndata: b\n\n", "1"),
        then("wide-id", "an id with U+2026", "C-RESUME-9", "id: \u{2026}2\ndata: b\n\n", "\u{2026}2"),
        Case::new("odd-id", "an id with U+0001, which no header can carry")
            .reply(Reply::stream().send(SOON).send("id: 1\u{1}2\ndata: a\n\n"))
            .reply(Reply::stream().send("data: b\n\n").end())
            .check("C-RESUME-10", Check::Comes(2)),
    ]
}
