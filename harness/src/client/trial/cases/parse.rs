//! Bytes to events.

use super::super::case::{Case, Check, Reply, Step};

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, text) in [
        ("lf", "data: a\n\ndata: b\ndata: c\n\n"),
        ("crlf", "data: a\r\n\r\ndata: b\r\ndata: c\r\n\r\n"),
        ("cr", "data: a\r\rdata: b\rdata: c\r\r"),
    ] {
        let case = Case::new(&format!("line-ends-{name}"), "two events whose lines end in one way");
        all.push(case.reply(Reply::stream().send(text).end()).applies("C-PARSE-1", &[(1, "message", "a"), (1, "message", "b\nc")]));
    }
    all.push(
        Case::new("line-ends-mixed", "one event whose lines end in all ways")
            .reply(Reply::stream().send("data: a\ndata: b\rdata: c\r\n\n").end())
            .applies("C-PARSE-1", &[(1, "message", "a\nb\nc")]),
    );
    // U+2026 and U+1F600 take three and four bytes.
    let wide = "id: 1\r\ndata: x\u{2026}y\r\n\r\nid: 2\r\nevent: update\r\ndata: \u{1f600}\r\ndata: z\r\n\r\n";
    for size in [1, 2, 3, 7] {
        all.push(
            Case::new(
                &format!("pieces-of-{size}"),
                "two events with lines ended by CR LF and characters of several bytes, in small chunks",
            )
            .reply(Reply::stream().step(Step::Pieces(wide.as_bytes().to_vec(), size)).end())
            .applies("C-PARSE-2", &[(1, "message", "x\u{2026}y"), (1, "update", "\u{1f600}\nz")]),
        );
    }
    all.push(
        Case::new("cr-lf-apart", "CR and LF of one line end come in different chunks")
            .reply(Reply::stream().send("data: a\r").send("\ndata: b\r\n\r").send("\ndata: c\n\n").end())
            .applies("C-PARSE-2", &[(1, "message", "a\nb"), (1, "message", "c")]),
    );
    let one = |name: &str, says: &str, id: &'static str, text: &str, events: &[(u32, &str, &str)]| {
        Case::new(name, says).reply(Reply::stream().send(text).end()).applies(id, events)
    };
    all.push(one(
        "comments",
        "comments before, inside and between blocks",
        "C-PARSE-3",
        ": hi\nevent: update\n: ping\ndata: a\n:x\ndata: b\n\n:\n\n:ping\ndata: c\n\n",
        &[(1, "update", "a\nb"), (1, "message", "c")],
    ));
    all.push(one(
        "unknown-fields",
        "fields in capitals, with leading spaces, and of unknown names",
        "C-PARSE-3",
        ":\nDATA: x\n data: y\nfoo: z\nData: w\ndata: a\n\ndata: b\ndatax: c\n\n",
        &[(1, "message", "a"), (1, "message", "b")],
    ));
    all.push(one(
        "spaces",
        "values with leading and trailing spaces, tabs and colons",
        "C-PARSE-4",
        "data:a\n\ndata:  a \n\ndata:\ta\n\ndata: a:b: c\n\ndata: {\"k\": 1} \n\n",
        &[(1, "message", "a"), (1, "message", " a "), (1, "message", "\ta"), (1, "message", "a:b: c"), (1, "message", "{\"k\": 1} ")],
    ));
    all.push(one(
        "several-data-lines",
        "data lines that are joined, also by nothing but line feeds",
        "C-PARSE-5",
        "data: a\ndata: b\ndata:\ndata: c\n\ndata\ndata\n\n",
        &[(1, "message", "a\nb\n\nc"), (1, "message", "\n")],
    ));
    all.push(one(
        "empty-data",
        "empty data is an event, no data is none",
        "C-PARSE-5",
        "data:\n\nevent: update\n\ndata\n\nretry: 50\n\ndata: a\n\n",
        &[(1, "message", ""), (1, "message", ""), (1, "message", "a")],
    ));
    all.push(one(
        "types",
        "typed, untyped and empty-typed events, and a type without data",
        "C-PARSE-6",
        "event: update\ndata: a\n\ndata: b\n\nevent:\ndata: c\n\nevent: update\n\ndata: d\n\nevent: x\nevent: update\ndata: e\n\n",
        &[(1, "update", "a"), (1, "message", "b"), (1, "message", "c"), (1, "message", "d"), (1, "update", "e")],
    ));
    all.push(
        Case::new("not-utf-8", "bytes that are no UTF-8 in the data of an event, and events behind it")
            .reply(Reply::stream().send("retry: 50\n\ndata: a\n\n").send(b"data: \xff\xe2\x80z\n\ndata: b\n\n").end())
            .applies("C-PARSE-7", &[(1, "message", "a"), (1, "message", "\u{fffd}\u{fffd}z"), (1, "message", "b")]),
    );
    all.push(
        Case::new("other-charset", "the charset parameter says windows-1252, the bytes are UTF-8")
            .reply(Reply::of_type(Some("text/event-stream;charset=windows-1252")).send("data: \u{2026}\n\n").end())
            .applies("C-PARSE-7", &[(1, "message", "\u{2026}")]),
    );
    all.push(one(
        "mark",
        "a byte-order mark before the first field",
        "C-PARSE-8",
        "\u{feff}data: a\n\ndata: b\n\n",
        &[(1, "message", "a"), (1, "message", "b")],
    ));
    all.push(
        Case::new("split-mark", "a byte-order mark in three chunks")
            .reply(Reply::stream().step(Step::Pieces("\u{feff}data: a\n\n".as_bytes().to_vec(), 1)).end())
            .applies("C-PARSE-8", &[(1, "message", "a")]),
    );
    all.push(one(
        "two-marks",
        "the second byte-order mark makes the field unknown",
        "C-PARSE-8",
        "\u{feff}\u{feff}data: a\n\ndata: b\n\n",
        &[(1, "message", "b")],
    ));
    let odd = "a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f\u{1c}g\u{1d}h\u{1e}i\u{0}j";
    all.push(one(
        "odd-characters",
        "characters that other line splitters take for line ends, and NUL",
        "C-PARSE-9",
        &format!("data: {odd}\n\ndata: b\n\n"),
        &[(1, "message", odd), (1, "message", "b")],
    ));
    let long = "0123456789abcdef".repeat(128 << 10);
    all.push(one(
        "long-line",
        "a line of 2 MiB",
        "C-PARSE-10",
        &format!("retry: 50\n\ndata: {long}\n\ndata: b\n\n"),
        &[(1, "message", &long), (1, "message", "b")],
    ));
    all.push(
        Case::new("quiet-behind-cr", "a CR-only stream goes quiet behind the CR that ends an event")
            .reply(Reply::stream().send("data: a\r\r").until("a").send("data: b\r\r").end())
            .check("C-PARSE-11", Check::Prompt("a".to_owned())),
    );
    all.push(
        Case::new("unfinished-block", "a body ends inside a block, the next one goes on behind the last whole event")
            .reply(Reply::stream().send("retry: 50\n\nid: 1\ndata: a\n\nid: 2\ndata: half\n"))
            .reply(Reply::stream().send("id: 2\ndata: whole\n\n").end())
            .applies("C-PARSE-12", &[(1, "message", "a"), (2, "message", "whole")]),
    );
    all
}
