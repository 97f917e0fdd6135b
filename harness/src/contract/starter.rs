//! The commented profile and target from which `streamspec init` lets a person start, filled with what a look at the
//! running server showed.

use serde_json::Value;

use super::{CursorCarrier, CursorOrder, Format};

/// What a look at a server showed. What was not seen stands in the texts as an example to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// A name for profile and target; made to fit.
    pub name: String,
    /// The server's URL, if it runs already.
    pub url: Option<String>,
    /// The command that starts it, with `{port}`.
    pub start: Option<String>,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// Why the look ended before all was found, if it did.
    pub missed: Option<String>,
    /// How its stream is framed; SSE when it is not known.
    pub format: Option<Format>,
    /// How a session is opened, with the pointer to its name in the answer.
    pub open: Option<(Asking, Option<String>)>,
    /// How the stream is asked for, with `{session}`.
    pub stream: Option<Asking>,
    /// How an event is published, with `{session}` and `{payload}`.
    pub publish: Option<Asking>,
    /// Method and path that answer when the server lives.
    pub health: Option<String>,
    /// Frames have `id:` lines.
    pub ids: bool,
    /// Pointer to a field of the JSON that looks like a cursor.
    pub cursor: Option<String>,
    /// How cursors compare.
    pub order: Option<CursorOrder>,
    /// Pointer to the cursor in the answer to a publish.
    pub taken: Option<String>,
    /// By which way a cursor travels.
    pub carrier: Option<CursorCarrier>,
    /// Pointer to the events, where one document holds several.
    pub records: Option<String>,
    /// Pointer to a field of the JSON that looks like a type.
    pub kind: Option<String>,
    /// Pointer to the payload in the JSON; the whole data when nothing is known.
    pub payload: Option<String>,
    /// Types of frames that were seen.
    pub types: Vec<String>,
    /// Time between two comments on an idle stream, in milliseconds.
    pub heartbeat_ms: Option<u64>,
}

/// A request as a person writes it down: method, path and a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// `POST /rooms/{session}`.
    pub line: String,
    /// What is sent.
    pub json: Option<Value>,
}

/// A commented profile. It is valid as it stands: what is not known is an example, or is commented out.
pub fn starter_profile(found: &Found) -> String {
    let format = found.format.unwrap_or(Format::Sse);
    let mut text = head(found);
    text += &contract(found, format);
    text += &operations(found);
    text += &subscribe(found, format);
    text += &event(found, format);
    text += &frames(found, format);
    text
}

/// A commented target for the profile in `profile` (a path relative to the target file, or a built-in name).
pub fn starter_target(found: &Found, profile: &str) -> String {
    let mut text = format!(
        "# A target: one server, and what may be done to it. `streamspec test TARGET.toml` runs every scenario that fits.\n\n\
         name = {}\nprofile = {} # a built-in name, or a path relative to this file\n\n",
        quoted(&name(&found.name)),
        quoted(profile)
    );
    let start = found.start.as_deref().unwrap_or("./my-server --port {port} --data {dir}");
    match (&found.url, &found.start) {
        (Some(url), None) => {
            text += &format!(
                "# It runs already. Nothing can be killed or restarted then: such scenarios are listed as not applicable.\n\
                 url = {}\n\n# To have it started, broken and restarted, give a command instead of the URL:\n# start = {}\n",
                quoted(url),
                quoted(start)
            );
        }
        (_, _) => {
            text += &format!(
                "# How to start it. `{{port}}` is a free port, `{{dir}}` an empty folder that survives restarts.\nstart = {}\n# cwd = \".\"\n# env = {{ LOG = \"debug\" }}\n",
                quoted(start)
            );
        }
    }
    text += "\n# What may be done to it; everything, when this is left out.\n# allow = [\"restart\", \"pause\", \"wipe\"]\n";
    let path = found.health.as_deref().and_then(|health| health.split_whitespace().nth(1));
    text += &format!(
        "\n[ready]\n{}within_ms = 15000\nstop_within_ms = 5000 # the grace of a SIGTERM\n",
        path.map_or_else(
            || "# path = \"/health\" # until this answers; without it, until the port is open\n".to_owned(),
            |path| format!("path = {}\n", quoted(path))
        )
    );
    text += "\n# Requirements that are known to fail, each with the reason.\n[known]\n# GAP-1 = \"issue 123: evicted cursors replay from the oldest\"\n# END-3 = { reason = \"issue 124: a race\", sometimes = true }\n";
    text
}

fn head(found: &Found) -> String {
    let missed = found
        .missed
        .as_ref()
        .map_or_else(String::new, |missed| format!("# TODO: the look at the server ended at this: {}\n", in_line(missed)));
    format!(
        "# A profile: what a protocol promises, and how it looks on the wire.\n\
         #\n{missed}\
         # Fill in the places marked TODO, then switch promises on one by one: each makes streamspec judge more.\n\
         # `streamspec schema profile` prints the JSON Schema for your editor; `streamspec explain ID` says what is judged.\n\n\
         name = {}\nsays = \"TODO: one sentence\"\n\n",
        quoted(&name(&found.name))
    )
}

fn contract(found: &Found, format: Format) -> String {
    let cursors = found.ids || found.cursor.is_some() || format == Format::LongPoll;
    let order = match found.order {
        Some(CursorOrder::Number) => "number",
        Some(CursorOrder::Text) => "text",
        Some(CursorOrder::Opaque) | None => "opaque",
    };
    let cursor = if cursors {
        format!(
            "# Readers resume with a cursor. How two of them compare: \"opaque\", \"number\" (at their end) or \"text\".\n\
             [contract.cursor]\norder = \"{order}\"\n# dense = true # numbers without holes\n# epoch = true # a cursor from before a wipe is refused\n"
        )
    } else {
        "# TODO: no cursor was seen. Without one, readers cannot resume and little can be judged. When there is one:\n\
         # [contract.cursor]\n# order = \"number\"\n"
            .to_owned()
    };
    let creates = if found.publish.is_some() && found.open.is_none() && found.missed.is_none() { "" } else { "# " };
    let heartbeat =
        found.heartbeat_ms.map_or("# heartbeat_ms = 15000\n".to_owned(), |ms| format!("heartbeat_ms = {ms} # as it was seen\n"));
    format!(
        "# ---- the contract: what is left out is not promised and not judged\n\n[contract]\n\
         # unknown_session = 404\n{creates}creates_on_use = true # publishing to an unknown session creates it\n\n{cursor}\n\
         # What acknowledged events survive.\n[contract.durability]\ndisconnect = true\n# restart = true\n# kill = true\n\n\
         # How events that are no longer kept are announced: \"frame\", \"refusal\" or \"boundary\".\n\
         # [contract.gap]\n# signal = \"frame\"\n\n\
         # A frame between replay and live.\n# [contract.boundary]\n# sent = \"always\"\n\n\
         # The event after which a session says no more.\n# [contract.terminal]\n# stops_reconnect = true\n\n\
         # What a cursor that is none of the session's own is answered with.\n# [contract.answers]\n\
         # malformed = {{ status = 400 }}\n# ahead = {{ status = 409 }}\n\n\
         [contract.liveness]\ndelivery_ms = 2000\n{heartbeat}\n"
    )
}

fn operations(found: &Found) -> String {
    let publish = found.publish.as_ref().map_or("POST /sessions/{session}/events", |publish| publish.line.as_str());
    let todo = if found.publish.is_some() { "" } else { " # TODO" };
    let (json, unsure) = match found.publish.as_ref().and_then(|publish| publish.json.as_ref()) {
        Some(json) => (inline(json), ""),
        None => ("{ data = \"{payload}\" }".to_owned(), " # TODO"),
    };
    let take = found.taken.as_ref().map_or_else(
        || "# take = { cursor = \"/cursor\" } # when the answer names the event's cursor".to_owned(),
        |pointer| format!("take = {{ cursor = {} }}", quoted(pointer)),
    );
    let open = match &found.open {
        Some((open, session)) => {
            let json = open.json.as_ref().map_or_else(String::new, |json| format!("json = {}\n", inline(json)));
            let take = session.as_ref().map_or_else(String::new, |session| format!("take = {{ session = {} }}\n", quoted(session)));
            format!("[binding.open]\nrequest = {}\n{json}{take}", quoted(&open.line))
        }
        None => "# Without `open`, a session is a name that streamspec makes up.\n\
                 # [binding.open]\n# request = \"POST /sessions\"\n# take = { session = \"/id\" } # from the answer's JSON, or \"header:Location\"\n"
            .to_owned(),
    };
    let health = match &found.health {
        Some(health) => format!("[binding.health]\nrequest = {}\n", quoted(health)),
        None => "# [binding.health]\n# request = \"GET /health\"\n".to_owned(),
    };
    let headers = if found.headers.is_empty() {
        "# [binding]\n# headers = { Authorization = \"Bearer {env.TOKEN}\" }\n".to_owned()
    } else {
        let headers: Vec<String> = found.headers.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
        format!("[binding]\nheaders = {{ {} }}\n", headers.join(", "))
    };
    format!(
        "# ---- the binding: requests are templates; what has no value is left out\n\n\
         {headers}\n\
         {open}\n\
         [binding.publish]\nrequest = {}{todo}\njson = {json}{unsure}\n{take}\n\n\
         # [binding.close]\n# request = \"POST /sessions/{{session}}/close\"\n\n\
         # [binding.delete]\n# request = \"DELETE /sessions/{{session}}\"\n\n{health}\n",
        quoted(publish)
    )
}

fn subscribe(found: &Found, format: Format) -> String {
    let request = found.stream.as_ref().map_or("GET /sessions/{session}/events", |stream| stream.line.as_str());
    let todo = if found.stream.is_some() { "" } else { " # TODO" };
    let json = found.stream.as_ref().and_then(|stream| stream.json.as_ref());
    let json = json.map_or_else(String::new, |json| format!("json = {}\n", inline(json)));
    if let (Some(carrier), Format::Sse | Format::Ndjson | Format::Websocket) = (&found.carrier, format) {
        let (way, name) = match carrier {
            CursorCarrier::Header(name) => ("header", name),
            CursorCarrier::Query(name) => ("query", name),
            CursorCarrier::Body(pointer) => ("body", pointer),
            CursorCarrier::BodyNumber(pointer) => ("body-number", pointer),
        };
        let word = match format {
            Format::Sse => "sse",
            Format::Websocket => "websocket",
            Format::Ndjson | Format::LongPoll => "ndjson",
        };
        return format!(
            "[binding.subscribe]\nrequest = {}\n{json}format = \"{word}\"\n\
             # The ways by which a cursor travels, the strongest first: header, query, body or body-number (a /pointer into it).\n\
             cursor = [{{ {way} = {} }}]\n# start = \"0\" # the cursor that means \"from the beginning\", if one must be sent\n\n",
            quoted(request),
            quoted(name)
        );
    }
    let (word, rest) = match format {
        Format::Sse if found.ids => (
            "sse",
            "# The ways by which a cursor travels, the strongest first: { header = … }, { query = … }, { body = \"/pointer\" }.\ncursor = [{ header = \"Last-Event-ID\" }]\n# live = \"latest\" # the cursor that means \"new events only\"\n",
        ),
        Format::Sse | Format::Ndjson | Format::Websocket => (
            match format {
                Format::Sse => "sse",
                Format::Websocket => "websocket",
                Format::Ndjson | Format::LongPoll => "ndjson",
            },
            "# The ways by which a cursor travels, the strongest first: { header = … }, { query = … }, { body = \"/pointer\" }.\ncursor = [{ query = \"after\" }] # TODO\n# start = \"0\" # the cursor that means \"from the beginning\", if one must be sent\n",
        ),
        Format::LongPoll => (
            "long-poll",
            "cursor = [{ query = \"after\" }] # TODO: or { header = … }\nnext = \"/next\" # TODO: where an answer names the next cursor; or \"header:Name\"\nempty = 204 # \"nothing yet, ask again\"\n",
        ),
    };
    format!("[binding.subscribe]\nrequest = {}{todo}\n{json}format = \"{word}\"\n{rest}\n", quoted(request))
}

fn event(found: &Found, format: Format) -> String {
    let mut text = String::from(
        "# Where the parts of an event are: \"id\" and \"event\" of an SSE frame, \"data\" for all of its data, or a /pointer into its JSON.\n[binding.event]\n",
    );
    let line = |key: &str, value: Option<&str>, example: &str| match value {
        Some(value) => format!("{key} = {}\n", quoted(value)),
        None => format!("# {key} = {example}\n"),
    };
    let sse = format == Format::Sse;
    text += &line("cursor", if sse && found.ids { Some("id") } else { found.cursor.as_deref() }, "\"/seq\"");
    text += &line("type", if found.kind.is_none() && sse { Some("event") } else { found.kind.as_deref() }, "\"/type\"");
    text += &line("payload", Some(found.payload.as_deref().unwrap_or("data")), "");
    if let Some(records) = &found.records {
        text += &format!("records = {}\n", quoted(records));
    } else if format != Format::Sse {
        text += "# records = \"/events\" # when one document holds several events\n";
    }
    text + "\n"
}

fn frames(found: &Found, format: Format) -> String {
    let by = if format == Format::Sse || found.kind.is_some() { "type = \"…\"" } else { "json = { \"/control\" = \"…\" }" };
    let seen = if found.types.is_empty() {
        String::new()
    } else {
        let types: Vec<String> = found.types.iter().take(20).map(|kind| quoted(kind)).collect();
        format!("# Types that were seen: {}.\n", types.join(", "))
    };
    format!(
        "# Frames that are no ordinary events, by their type or by values in their JSON.\n{seen}[binding.frames]\n\
         # boundary = {{ {by} }}\n# gap = {{ {by} }}\n# terminal = {{ {by} }}\n# heartbeat = {{ {by} }}\n# ephemeral = {{ {by} }} # live only, without a cursor\n"
    )
}

/// `text` as a profile's name.
fn name(text: &str) -> String {
    let small = text.to_lowercase();
    let words: Vec<&str> = small.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "my-protocol".to_owned() } else { words.join("-") }
}

/// A JSON value as TOML on one line. TOML has no null; a member that is null is left out.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let given = members.iter().filter(|(_, value)| !value.is_null());
            format!("{{ {} }}", given.map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `name` as a TOML key.
fn key(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { name.to_owned() } else { quoted(name) }
}

/// `text` inside a comment.
fn in_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` as a TOML string on one line, also inside a comment.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{CursorCarrier, Profile, Target};

    fn profile(found: &Found) -> Profile {
        let text = starter_profile(found);
        Profile::parse("starter.toml", &text).unwrap_or_else(|error| panic!("{}: {error}; {}\n{text}", error.place(), error.next_step()))
    }

    #[test]
    fn what_is_known_of_nothing_is_a_valid_start() {
        for format in [None, Some(Format::Sse), Some(Format::Ndjson), Some(Format::LongPoll)] {
            let found = Found { format, ..Found::default() };
            let start = profile(&found);
            assert_eq!((start.name.as_str(), start.binding.subscribe.format), ("my-protocol", format.unwrap_or(Format::Sse)));
            Target::parse("t.toml", &starter_target(&found, "sse")).unwrap();
        }
    }

    #[test]
    fn what_was_found_stands_in_the_start() {
        let found = Found {
            name: "My Chat! (v2)".to_owned(),
            format: Some(Format::Sse),
            stream: Some(Asking { line: "GET /rooms/{session}/feed".to_owned(), json: None }),
            publish: Some(Asking { line: "POST /rooms/{session}".to_owned(), json: None }),
            health: Some("GET /up".to_owned()),
            ids: true,
            kind: Some("/kind".to_owned()),
            payload: Some("/text".to_owned()),
            types: vec!["said".to_owned(), "evil\"\n[binding]".to_owned()],
            heartbeat_ms: Some(5000),
            start: Some("node \"my server.js\" {port}".to_owned()),
            ..Found::default()
        };
        let start = profile(&found);
        assert_eq!(start.name, "my-chat-v2");
        assert_eq!(start.binding.subscribe.request, "GET /rooms/{session}/feed");
        assert_eq!(start.binding.subscribe.cursor, [CursorCarrier::Header("Last-Event-ID".to_owned())]);
        let event = &start.binding.event;
        assert_eq!(
            (event.cursor.as_deref(), event.event_type.as_deref(), event.payload.iter().next()),
            (Some("id"), Some("/kind"), Some("/text"))
        );
        assert!(start.contract.cursor.is_some());
        assert_eq!(start.contract.liveness.heartbeat_ms, Some(5000));
        let target = Target::parse("t.toml", &starter_target(&found, "my.toml")).unwrap();
        assert_eq!(target.start.as_deref(), Some("node \"my server.js\" {port}"));
        assert_eq!((target.ready.path.as_deref(), target.url), (Some("/up"), None));
    }

    #[test]
    fn a_stream_that_is_asked_for_by_post_stands_with_its_document() {
        let json = serde_json::json!({ "a b": "{session}", "deep": { "list": [1, "x\"\n"], "none": null }, "empty": {} });
        let found = Found {
            format: Some(Format::Ndjson),
            stream: Some(Asking { line: "POST /follow".to_owned(), json: Some(json) }),
            publish: Some(Asking { line: "POST /write".to_owned(), json: Some(serde_json::json!({ "line": "{payload}" })) }),
            open: Some((Asking { line: "PUT /books".to_owned(), json: None }, Some("/name".to_owned()))),
            cursor: Some("/at".to_owned()),
            order: Some(CursorOrder::Number),
            taken: Some("/at".to_owned()),
            carrier: Some(CursorCarrier::BodyNumber("/seen".to_owned())),
            records: Some("/lines".to_owned()),
            payload: Some("/line".to_owned()),
            ..Found::default()
        };
        let start = profile(&found);
        let subscribe = &start.binding.subscribe;
        assert_eq!(subscribe.json, Some(serde_json::json!({ "a b": "{session}", "deep": { "list": [1, "x\"\n"] }, "empty": {} })));
        assert_eq!(subscribe.cursor, [CursorCarrier::BodyNumber("/seen".to_owned())]);
        assert_eq!(start.binding.event.records.as_deref(), Some("/lines"));
        assert_eq!(start.binding.open.as_ref().unwrap().take["session"], "/name");
        assert_eq!(start.binding.publish.as_ref().unwrap().take["cursor"], "/at");
        assert_eq!(start.contract.cursor.unwrap().order, CursorOrder::Number);
    }

    #[test]
    fn headers_and_what_was_missed_stand_in_the_start() {
        let found = Found {
            headers: vec![("Authorization".to_owned(), "Bearer \"x\"".to_owned()), ("X.Y".to_owned(), "1".to_owned())],
            missed: Some("POST /x answers 404: a\n[binding]\r\u{85}b".to_owned()),
            publish: Some(Asking { line: "POST /x".to_owned(), json: Some(serde_json::json!({ "t": "{payload}" })) }),
            ..Found::default()
        };
        let start = profile(&found);
        assert_eq!(start.binding.headers["Authorization"], "Bearer \"x\"");
        assert_eq!(start.binding.headers["X.Y"], "1");
        assert!(!start.contract.creates_on_use, "a publish that was refused created nothing");
        let text = starter_profile(&found);
        assert!(text.lines().any(|line| line.starts_with("# TODO: ") && line.contains("POST /x answers 404: a [binding]")), "{text}");
    }

    #[test]
    fn what_is_commented_out_is_valid_when_it_is_switched_on() {
        let found =
            Found { format: Some(Format::Ndjson), cursor: Some("/seq".to_owned()), kind: Some("/kind".to_owned()), ..Found::default() };
        let text = starter_profile(&found);
        let mut on = String::new();
        for line in text.lines() {
            let code = line.strip_prefix("# ").filter(|rest| {
                rest.starts_with('[')
                    || rest.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            });
            on += code.unwrap_or(line);
            on.push('\n');
        }
        let on = on.replace("order = \"opaque\"", "order = \"number\"");
        let all =
            Profile::parse("starter.toml", &on).unwrap_or_else(|error| panic!("{}: {error}; {}\n{on}", error.place(), error.next_step()));
        assert!(all.contract.boundary.is_some() && all.contract.gap.is_some() && all.contract.terminal.is_some());
        assert!(all.binding.close.is_some() && all.binding.open.is_some());
    }

    #[test]
    fn a_server_that_runs_already_gets_its_url() {
        let found = Found { url: Some("http://127.0.0.1:8080".to_owned()), ..Found::default() };
        let target = Target::parse("t.toml", &starter_target(&found, "sse")).unwrap();
        assert_eq!((target.url.as_deref(), target.start), (Some("http://127.0.0.1:8080"), None));
    }
}
