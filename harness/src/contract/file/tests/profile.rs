//! Broken profiles, and files that are none.

use super::shown;
use crate::contract::Profile;
use crate::scenario::Scenario;

const PROFILE: &str = r#"name = "mine"

[contract]
gap = { signal = "frame" }
boundary = { sent = "always" }
idempotency = { same_cursor = true }

[contract.cursor]
order = "number"
dense = true

[contract.answers]
malformed = { status = 400 }
ahead = { status = 409 }

[contract.liveness]
delivery_ms = 2000

[binding.open]
request = "POST /sessions"
take = { session = "/session" }

[binding.publish]
request = "POST /sessions/{session}/events"
headers = { Idempotency-Key = "{key}" }
json = { data = "{payload}" }

[binding.delete]
request = "DELETE /sessions/{session}"

[binding.subscribe]
request = "GET /sessions/{session}/events"
format = "sse"
cursor = [{ header = "Last-Event-ID" }]

[binding.history]
request = "GET /sessions/{session}/history"
events = "/events"
max_limit = 1000

[binding.event]
cursor = "id"
payload = "/data"

[binding.frames]
boundary = { type = "ready" }
gap = { type = "gap", cursor = "/oldest" }
"#;

/// The profile above with one text replaced.
fn profile(from: &str, to: &str) -> String {
    assert_eq!(PROFILE.matches(from).count(), 1, "`{from}` must stand once in the profile");
    Profile::parse("my.toml", PROFILE).expect("the profile is right");
    shown(&Profile::parse("my.toml", &PROFILE.replace(from, to)).expect_err("this profile is broken"))
}

#[test]
fn broken_toml() {
    insta::assert_snapshot!(profile("name = \"mine\"", "name = mine"), @r##"
         × the file is no TOML: string values must be quoted, expected literal string
          ╭─[my.toml:1:8]
        1 │ name = mine
          ·        ──┬─
          ·          ╰── here
        2 │
          ╰────
         help: this is no TOML; texts stand in quotes, tables in `[name]` or `{ key =
               value }`
        "##);
    insta::assert_snapshot!(profile("[contract.cursor]", "[contract.cursor"), @r##"
         × the file is no TOML: unclosed table, expected `]`
          ╭─[my.toml:8:17]
        7 │
        8 │ [contract.cursor
          ·                 ▲
          ·                 ╰── here
        9 │ order = "number"
          ╰────
         help: this is no TOML; texts stand in quotes, tables in `[name]` or `{ key =
               value }`
        "##);
}

#[test]
fn unknown_key() {
    insta::assert_snapshot!(profile("[binding.publish]", "[binding.pubilsh]"), @r##"
         × `pubilsh` is not known in `binding`
           ╭─[my.toml:23:10]
        22 │
        23 │ [binding.pubilsh]
           ·          ───┬───
           ·             ╰── unknown key
        24 │ request = "POST /sessions/{session}/events"
           ╰────
         help: did you mean `publish`? allowed here: `close`, `delete`, `event`,
               `frames`, `headers`, `health`, `history`, `open`, `ops`, `payment`,
               `publish`, `publish_ephemeral`, `snapshot`, `subscribe`
        "##);
    insta::assert_snapshot!(profile("max_limit = 1000", "page_size = 3"), @r##"
         × `page_size` is not known in `history`
           ╭─[my.toml:39:1]
        38 │ events = "/events"
        39 │ page_size = 3
           · ────┬────
           ·     ╰── unknown key
        40 │
           ╰────
         help: allowed here: `body`, `events`, `headers`, `json`, `limit_validated`,
               `max_limit`, `more`, `next`, `ok`, `query`, `request`, `socket`,
               `take`, `then`, `to`, `until`, `when`
        "##);
    insta::assert_snapshot!(profile("malformed = {", "malformd = {"), @r##"
         × `malformd` is not known in `answers`
           ╭─[my.toml:13:1]
        12 │ [contract.answers]
        13 │ malformd = { status = 400 }
           · ────┬───
           ·     ╰── unknown key
        14 │ ahead = { status = 409 }
           ╰────
         help: did you mean `malformed`? possible here: `own`, `snapshot`,
               `synthetic`, `ahead`, `other-session`, `other-epoch`, `malformed`,
               `empty`
        "##);
}

#[test]
fn wrong_type_or_word() {
    insta::assert_snapshot!(profile("delivery_ms = 2000", "delivery_ms = \"2s\""), @r##"
         × `delivery_ms` is a text, but must be a whole number
           ╭─[my.toml:17:15]
        16 │ [contract.liveness]
        17 │ delivery_ms = "2s"
           ·               ──┬─
           ·                 ╰── must be a whole number
        18 │
           ╰────
         help: change the value of `delivery_ms`
        "##);
    insta::assert_snapshot!(profile("max_limit = 1000", "max_limit = -1"), @r##"
         × `max_limit = -1` is out of range
           ╭─[my.toml:39:13]
        38 │ events = "/events"
        39 │ max_limit = -1
           ·             ─┬
           ·              ╰── out of range
        40 │
           ╰────
         help: give a whole number from 0 to 4294967295
        "##);
    insta::assert_snapshot!(profile("order = \"number\"", "order = \"numeric\""), @r##"
         × `order` cannot be `numeric`
           ╭─[my.toml:9:9]
         8 │ [contract.cursor]
         9 │ order = "numeric"
           ·         ────┬────
           ·             ╰── not a known word
        10 │ dense = true
           ╰────
         help: possible here: `opaque`, `number`, `text`
        "##);
    insta::assert_snapshot!(profile("ahead = { status = 409 }", "ahead = 409"), @r##"
         × `ahead` is a whole number, but must be a table or a text
           ╭─[my.toml:14:9]
        13 │ malformed = { status = 400 }
        14 │ ahead = 409
           ·         ─┬─
           ·          ╰── must be a table or a text
        15 │
           ╰────
         help: possible words: `refuse`, `start`, `live`, `gap`, `boundary`,
               `resume`; or a table with one of `status`
        "##);
}

#[test]
fn missing_key() {
    insta::assert_snapshot!(profile("format = \"sse\"", ""), @r##"
         × `format` is missing in `subscribe`
           ╭─[my.toml:31:1]
        30 │
        31 │ [binding.subscribe]
           · ─────────┬─────────
           ·          ╰── in here
        32 │ request = "GET /sessions/{session}/events"
           ╰────
         help: add `format`: How the answer is framed
        "##);
}

#[test]
fn broken_request() {
    insta::assert_snapshot!(profile("\"POST /sessions\"", "\"POSTT /sessions\""), @r##"
         × `POSTT` is no HTTP method
           ╭─[my.toml:20:11]
        19 │ [binding.open]
        20 │ request = "POSTT /sessions"
           ·           ────────┬────────
           ·                   ╰── unknown method
        21 │ take = { session = "/session" }
           ╰────
         help: did you mean `POST`? methods: `GET`, `POST`, `PUT`, `PATCH`, `DELETE`,
               `HEAD`, `OPTIONS`
        "##);
    insta::assert_snapshot!(profile("\"POST /sessions\"", "\"/sessions\""), @r##"
         × `/sessions` has no method
           ╭─[my.toml:20:11]
        19 │ [binding.open]
        20 │ request = "/sessions"
           ·           ─────┬─────
           ·                ╰── no method
        21 │ take = { session = "/session" }
           ╰────
         help: write method and path, as in `POST /sessions/{session}/events`
        "##);
    insta::assert_snapshot!(profile("\"POST /sessions\"", "\"POST sessions\""), @r##"
         × `sessions` is no path
           ╭─[my.toml:20:11]
        19 │ [binding.open]
        20 │ request = "POST sessions"
           ·           ───────┬───────
           ·                  ╰── must begin with `/`
        21 │ take = { session = "/session" }
           ╰────
         help: the path begins with `/`; the host comes from the target
        "##);
    insta::assert_snapshot!(profile("DELETE /sessions/{session}", "DELETE /sessions/{sesion}"), @r##"
         × `{sesion}` is no placeholder
           ╭─[my.toml:29:11]
        28 │ [binding.delete]
        29 │ request = "DELETE /sessions/{sesion}"
           ·           ─────────────┬─────────────
           ·                        ╰── unknown placeholder
        30 │
           ╰────
         help: did you mean `session`? known are: `channel`, `cursor`, `expires`,
               `key`, `limit`, `opened`, `path`, `payload`, `provider`, `reborn`,
               `retain_age_ms`, `retain_bytes`, `retain_records`, `session`, `type`,
               `uuid`, `env.NAME`, and what `binding.open.take` names
        "##);
}

#[test]
fn broken_sources() {
    insta::assert_snapshot!(profile("events = \"/events\"", "events = \"$.data.events\""), @r##"
         × `$.data.events` is no JSON pointer
           ╭─[my.toml:38:10]
        37 │ request = "GET /sessions/{session}/history"
        38 │ events = "$.data.events"
           ·          ───────┬───────
           ·                 ╰── must begin with `/`
        39 │ max_limit = 1000
           ╰────
         help: write it as `/data/events`; each step into the document begins with `/
               `
        "##);
    insta::assert_snapshot!(profile("cursor = \"id\"", "cursor = \"ident\""), @r##"
         × `ident` is no source
           ╭─[my.toml:42:10]
        41 │ [binding.event]
        42 │ cursor = "ident"
           ·          ───┬───
           ·             ╰── not known
        43 │ payload = "/data"
           ╰────
         help: write `id`, `event`, `data`, or a pointer into the JSON such as `/
               ident`
        "##);
    insta::assert_snapshot!(profile("take = { session = \"/session\" }", "take = { session = \"session\" }"), @r##"
         × `session` is neither a JSON pointer nor a header
           ╭─[my.toml:21:20]
        20 │ request = "POST /sessions"
        21 │ take = { session = "session" }
           ·                    ────┬────
           ·                        ╰── must begin with `/` or `header:`
        22 │
           ╰────
         help: write `/session` for a place in the JSON answer, or `header:Name` for
               a header
        "##);
}

#[test]
fn promises_that_cannot_be_seen() {
    insta::assert_snapshot!(profile("cursor = [{ header = \"Last-Event-ID\" }]", "cursor = []"), @r##"
         × the contract has cursors, but the binding has no way to present one
          ╭─[my.toml:8:11]
        7 │
        8 │ [contract.cursor]
          ·           ───┬──
          ·              ╰── promised here
        9 │ order = "number"
          ╰────
         help: add `cursor = [{ header = "Last-Event-ID" }]` (or `query`, `body`) to
               `[binding.subscribe]`
        "##);
    insta::assert_snapshot!(profile("boundary = { type = \"ready\" }", ""), @r##"
         × the contract promises a boundary, but nothing says how to recognise it
          ╭─[my.toml:5:1]
        4 │ gap = { signal = "frame" }
        5 │ boundary = { sent = "always" }
          · ────┬───
          ·     ╰── promised here
        6 │ idempotency = { same_cursor = true }
          ╰────
         help: add `[binding.frames.boundary]`, for example with `type = "boundary"`
        "##);
    insta::assert_snapshot!(profile("gap = { type = \"gap\", cursor = \"/oldest\" }", ""), @r##"
         × the contract promises a gap frame, but nothing says how to recognise it
          ╭─[my.toml:4:1]
        3 │ [contract]
        4 │ gap = { signal = "frame" }
          · ─┬─
          ·  ╰── promised here
        5 │ boundary = { sent = "always" }
          ╰────
         help: add `[binding.frames.gap]`, for example with `type = "gap"`
        "##);
    insta::assert_snapshot!(profile("gap = { signal = \"frame\" }", "gap = { signal = \"boundary\" }"), @r##"
         × a boundary tells of a gap only where it is sent without a replay, and
         │ nothing old follows
          ╭─[my.toml:4:1]
        3 │ [contract]
        4 │ gap = { signal = "boundary" }
          · ─┬─
          ·  ╰── would tell nothing
        5 │ boundary = { sent = "always" }
          ╰────
         help: set `contract.boundary.sent = "without-replay"` and `then = "live"`; a
               signal of its own is `signal = "frame"`
        "##);
    insta::assert_snapshot!(profile("order = \"number\"", "order = \"opaque\""), @r##"
         × cursors can be dense only where they are numbers
           ╭─[my.toml:10:1]
         9 │ order = "opaque"
        10 │ dense = true
           · ──┬──
           ·   ╰── no numbers to follow each other
        11 │
           ╰────
         help: set `order = "number"` beside it, or `dense = false`
        "##);
    insta::assert_snapshot!(profile("headers = { Idempotency-Key = \"{key}\" }", ""), @r##"
         × keys are promised, but `publish` does not send `{key}`
          ╭─[my.toml:6:1]
        5 │ boundary = { sent = "always" }
        6 │ idempotency = { same_cursor = true }
          · ─────┬─────
          ·      ╰── promised here
        7 │
          ╰────
         help: add `headers = { Idempotency-Key = "{key}" }` to `[binding.publish]`
        "##);
}

#[test]
fn a_file_with_windows_line_ends_is_read_and_shown() {
    let text = PROFILE.replace('\n', "\r\n");
    assert_eq!(Profile::parse("my.toml", &text).unwrap(), Profile::parse("my.toml", PROFILE).unwrap());
    assert_eq!(Profile::parse("my.toml", &format!("\u{feff}{text}")).unwrap(), Profile::parse("my.toml", PROFILE).unwrap());
    let error = Profile::parse("my.toml", &text.replace("signal = \"frame\"", "signal = \"flame\"")).unwrap_err();
    insta::assert_snapshot!(shown(&error), @r##"
         × `signal` cannot be `flame`
          ╭─[my.toml:4:18]
        3 │ [contract]
        4 │ gap = { signal = "flame" }
          ·                  ───┬───
          ·                     ╰── not a known word
        5 │ boundary = { sent = "always" }
          ╰────
         help: did you mean `frame`? possible here: `frame`, `refusal`, `boundary`
        "##);
    assert_eq!(error.place(), "my.toml:4");
}

#[test]
fn no_such_file() {
    let unknown = shown(&Profile::load("sss").unwrap_err());
    assert!(unknown.contains("there is no profile `sss`"), "{unknown}");
    assert!(unknown.contains("did you mean `sse`? built-in profiles: `sse`"), "{unknown}");
    insta::assert_snapshot!(shown(&Profile::load("missing/my.toml").unwrap_err()), @r##"
        × missing/my.toml: the profile file cannot be read: No such file or
        │ directory (os error 2)
        help: check the path; relative paths start at the current folder
        "##);
    let folder = shown(&Scenario::load(env!("CARGO_MANIFEST_DIR")).unwrap_err());
    assert!(folder.contains("this is a folder"), "{folder}");
}

#[test]
fn no_text_makes_a_reader_panic() {
    let text = PROFILE;
    for at in 0..text.len() {
        for broken in [text[..at].to_owned(), format!("{}\u{2028}é=[{{", &text[..at]), format!("{}{}", &text[at..], &text[..at])] {
            if let Err(error) = Profile::parse("my.toml", &broken) {
                shown(&error);
            }
        }
    }
    let deep = format!("name = \"x\"\nbinding = {}", "[".repeat(100_000));
    shown(&Profile::parse("my.toml", &deep).unwrap_err());
    let deep = format!("name = \"x\"\nbinding = {}1{}", "{a=".repeat(50_000), "}".repeat(50_000));
    shown(&Profile::parse("my.toml", &deep).unwrap_err());
    shown(&Profile::parse("my.toml", &format!("{}=1", vec!["a"; 50_000].join("."))).unwrap_err());
}

#[test]
fn marks_of_an_answer() {
    let long_poll = |frames: &str| {
        let start =
            "name = \"mine\"\n[binding.subscribe]\nrequest = \"GET /s\"\nformat = \"long-poll\"\nnext = \"/next\"\n[binding.event]\n";
        Profile::parse("my.toml", &format!("{start}[binding.frames]\n{frames}\n")).map_err(|error| shown(&error))
    };
    assert!(long_poll("gap = { status = 410, header = { X-Lost = \"yes\" }, cursor = \"header:X-Oldest\" }").is_ok());
    insta::assert_snapshot!(long_poll("terminal = { status = 204, type = \"end\" }").unwrap_err(), @r##"
         × a terminal is either a record or the whole answer
          ╭─[my.toml:8:1]
        7 │ [binding.frames]
        8 │ terminal = { status = 204, type = "end" }
          · ────┬───
          ·     ╰── both
          ╰────
         help: `type`, `json` and `has_cursor` are about a record; `status`, `header`
               and `answer` about the answer: keep one kind
        "##);
    insta::assert_snapshot!(long_poll("commit = { header = { Next = \"1\" } }").unwrap_err(), @r##"
         × an answer commits by `next`
          ╭─[my.toml:8:1]
        7 │ [binding.frames]
        8 │ commit = { header = { Next = "1" } }
          · ───┬──
          ·    ╰── not needed
          ╰────
         help: give `next` in `[binding.subscribe]` alone
        "##);
    insta::assert_snapshot!(long_poll("ignore = { status = 999 }").unwrap_err(), @r##"
          × a whole answer cannot be `ignore`
           ╭─[my.toml:8:1]
         7 │ [binding.frames]
         8 │ ignore = { status = 999 }
           · ───┬──
           ·    ╰── of an answer
           ╰────
          help: match its records, by `type` or `json`

        Error:
          × `999` is no HTTP status
           ╭─[my.toml:8:21]
         7 │ [binding.frames]
         8 │ ignore = { status = 999 }
           ·                     ─┬─
           ·                      ╰── not within 100 and 599
           ╰────
          help: give a status such as 410
        "##);
    insta::assert_snapshot!(long_poll("gap = { answer = { lost = true }, cursor = \"oldest\" }").unwrap_err(), @r##"
          × `lost` is no JSON pointer
           ╭─[my.toml:8:20]
         7 │ [binding.frames]
         8 │ gap = { answer = { lost = true }, cursor = "oldest" }
           ·                    ──┬─
           ·                      ╰── must begin with `/`
           ╰────
          help: write it as `/lost`; each step into the document begins with `/`

        Error:
          × `oldest` is neither a JSON pointer nor a header
           ╭─[my.toml:8:44]
         7 │ [binding.frames]
         8 │ gap = { answer = { lost = true }, cursor = "oldest" }
           ·                                            ────┬───
           ·                                                ╰── must begin with `/` or `header:`
           ╰────
          help: write `/oldest` for a place in the JSON answer, or `header:Name` for a
                header
        "##);
    insta::assert_snapshot!(profile("boundary = { type = \"ready\" }", "boundary = { header = { Ready = \"1\" } }"), @r##"
         × `status`, `header` and `answer` are for long-polls only
           ╭─[my.toml:46:1]
        45 │ [binding.frames]
        46 │ boundary = { header = { Ready = "1" } }
           · ────┬───
           ·     ╰── the format is a stream
        47 │ gap = { type = "gap", cursor = "/oldest" }
           ╰────
         help: match by `type`, `json` or `has_cursor`
        "##);
}

#[test]
fn fields_that_belong_together() {
    let keyed = "[binding.publish.when.kez]\nheaders = { Id = \"{kee}\" }\n\n[binding.delete]";
    insta::assert_snapshot!(profile("[binding.delete]", keyed), @r##"
          × `kez` is no placeholder
            ╭─[my.toml:28:23]
         27 │
         28 │ [binding.publish.when.kez]
            ·                       ─┬─
            ·                        ╰── unknown placeholder
         29 │ headers = { Id = "{kee}" }
            ╰────
          help: did you mean `key`? known are: `channel`, `cursor`, `expires`, `key`,
                `limit`, `opened`, `path`, `payload`, `provider`, `reborn`,
                `retain_age_ms`, `retain_bytes`, `retain_records`, `session`, `type`,
                `uuid`

        Error:
          × `{kee}` is no placeholder
            ╭─[my.toml:29:18]
         28 │ [binding.publish.when.kez]
         29 │ headers = { Id = "{kee}" }
            ·                  ───┬───
            ·                     ╰── unknown placeholder
         30 │
            ╰────
          help: did you mean `key`? known are: `channel`, `cursor`, `expires`, `key`,
                `limit`, `opened`, `path`, `payload`, `provider`, `reborn`,
                `retain_age_ms`, `retain_bytes`, `retain_records`, `session`, `type`,
                `uuid`, `env.NAME`, and what `binding.open.take` names
        "##);
    insta::assert_snapshot!(profile("[binding.delete]", "[binding.publish.when.key]\n\n[binding.delete]"), @r##"
         × nothing is sent when there is a `key`
           ╭─[my.toml:28:23]
        27 │
        28 │ [binding.publish.when.key]
           ·                       ─┬─
           ·                        ╰── empty
        29 │
           ╰────
         help: give `headers`, `query` or `json`, or leave it out
        "##);
}

/// The profile with these lines behind it, which must break it.
fn with(lines: &str) -> String {
    shown(&Profile::parse("my.toml", &format!("{PROFILE}{lines}")).expect_err("this profile is broken"))
}

#[test]
fn broken_rules_of_a_transcript() {
    let redact = |rule: &str| with(&format!("\n[transcript]\nredact = [{{ as = \"turn\", key = \"turnId\" }}, {{ {rule} }}]\n"));
    for (rule, says, place) in [
        ("as = \"turn\", pattern = 'turn_([0-9]+'", "is no regular expression: unclosed group", "my.toml:"),
        ("as = \"turn\", pattern = '[0-9]*'", "a pattern that matches nothing at all", "matches the empty text"),
        ("as = \"turn\", pointer = \"data.turn\"", "`data.turn` is no JSON pointer", "must begin with `/`"),
        ("as = \"turn\"", "a redaction that finds nothing", "nothing to look for"),
        ("as = \"the turn\", key = \"turn\"", "`the turn` is no class of values", "not one word"),
    ] {
        let text = redact(rule);
        assert!(text.contains(says) && text.contains(place), "{text}");
    }
}

#[test]
fn broken_mapping_of_a_log() {
    for (lines, says) in [
        ("data = \"event.data\"", "`event.data` is no JSON pointer"),
        ("data = \"/data\"\ntime = \"ts\"", "`ts` is no JSON pointer"),
        ("data = \"/data\"\nopens = \"open\"", "`opens` names kinds of lines"),
        ("data = \"/data\"\nkind = \"/kind\"\ncursor = \"/after\"", "`cursor` is read from lines that open a connection"),
        ("time = \"/ts\"", "data"),
    ] {
        let text = with(&format!("\n[log]\n{lines}\n"));
        assert!(text.contains(says), "{text}");
    }
}
