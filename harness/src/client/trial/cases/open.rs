//! What opens a stream, and what a request carries.

use super::super::case::{Case, Check, Need, Reply, Step, Want};
use super::SOON;

/// What a refusal's body would look like as a stream.
const BAIT: &str = "retry: 50\n\ndata: from the refusal\n\n";

/// The headers that a client is given where a case needs them.
pub(in crate::client::trial) const HEADERS: &str = "Authorization: Bearer t0ken\nX-Reader: r-17";

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for status in
        ["201 Created", "205 Reset Content", "299 Odd", "404 Not Found", "410 Gone", "500 Internal Server Error", "503 Service Unavailable"]
    {
        let code = status.split(' ').next().unwrap_or_default();
        // A 205 has no body by definition.
        let body = if code == "205" { "" } else { BAIT };
        let case =
            Case::new(&format!("status-{code}"), "the first request is answered with this status, and a body that looks like a stream");
        all.push(case.reply(Reply::status(status, "").send(body)).check("C-OPEN-1", Check::StopsAfter(1)).applies("C-OPEN-1", &[]));
    }
    all.push(
        Case::new("refused-later", "a reconnect is answered with 500 and an HTML page")
            .reply(Reply::stream().send(SOON).send("data: a\n\n"))
            .reply(Reply::status("500 Internal Server Error", "").send(BAIT))
            .check("C-OPEN-1", Check::StopsAfter(2))
            .applies("C-OPEN-1", &[(1, "message", "a")]),
    );
    for (name, content_type) in
        [("html", Some("text/html")), ("plain", Some("text/plain; charset=utf-8")), ("streamx", Some("text/event-streamx")), ("none", None)]
    {
        let case = Case::new(&format!("type-{name}"), "status 200 with this media type and a body that looks like a stream");
        all.push(case.reply(Reply::of_type(content_type).send(BAIT)).check("C-OPEN-2", Check::StopsAfter(1)).applies("C-OPEN-2", &[]));
    }
    for (name, content_type) in [
        ("charset", "text/event-stream; charset=utf-8"),
        ("bare-semicolon", "text/event-stream;"),
        ("capitals", "Text/Event-Stream;x=\"y\""),
    ] {
        let case = Case::new(&format!("parameters-{name}"), "the media type has parameters, or is written otherwise");
        all.push(case.reply(Reply::of_type(Some(content_type)).send("data: a\n\n").end()).applies("C-OPEN-3", &[(1, "message", "a")]));
    }
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let code = status.split(' ').next().unwrap_or_default();
        let case = Case::new(&format!("redirect-{code}"), "the stream is elsewhere, and is redirected to at each connection");
        all.push(
            case.reply(Reply::status(status, "Location: /moved\r\n"))
                .reply(Reply::stream().send(SOON).send("id: 1\ndata: a\n\n"))
                .reply(Reply::status(status, "Location: /moved\r\n"))
                .reply(Reply::stream().send("id: 2\ndata: b\n\n").end())
                .check("C-OPEN-4", Check::Comes(2))
                .check("C-OPEN-4", Check::Path { nth: 2, want: "/moved" })
                .applies("C-OPEN-4", &[(2, "message", "a"), (4, "message", "b")])
                .check("C-OPEN-5", Check::Path { nth: 3, want: "/stream" }),
        );
    }
    all.push(
        Case::new("redirect-nowhere", "a 307 without Location")
            .reply(Reply::status("307 Temporary Redirect", "").send(BAIT))
            .check("C-OPEN-6", Check::StopsAfter(1))
            .applies("C-OPEN-6", &[]),
    );
    let three = |case: Case| {
        case.reply(Reply::stream().send(SOON).send("id: 1\ndata: a\n\n"))
            .reply(Reply::stream().send("id: 2\ndata: b\n\n").until("b").step(Step::Reset))
            .reply(Reply::stream().send("id: 3\ndata: c\n\n").end())
    };
    let mut accept = three(Case::new("accept", "two reconnects"));
    let mut headers = three(Case::new("headers", "two reconnects of a client that was given headers").needs(Need::Headers));
    for nth in 1..=3 {
        accept = accept.check("C-OPEN-7", Check::Header { nth, name: "Accept", want: Want::Has("text/event-stream") });
        for line in HEADERS.lines() {
            let (name, value) = line.split_once(": ").expect("they are written so");
            headers = headers.check("C-OPEN-8", Check::Header { nth, name, want: Want::Is(value.as_bytes().to_vec()) });
        }
    }
    all.push(accept);
    all.push(headers);
    all
}
