//! What is wrong in the meaning of a profile or target, although its shape is right: promises that the binding cannot
//! show, requests that are none, sources and placeholders that nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::file::{Problems, Seg, short, spot, suggest};
use crate::contract::{
    AfterGap, Binding, BoundarySent, CATALOGUE, CLIENT_CATALOGUE, CursorCarrier, CursorOrder, EventShape, Exchange, Format, FrameMatch,
    GapSignal, Group, Known, Operation, Profile, RetainKind, Subscribe, Target, requirement,
};
use crate::run::binding::PLACEHOLDERS;

mod log;
mod parts;
mod transcript;

pub(crate) use transcript::transcript;

use parts::{answer_source, json_texts, pointer, pointer_key, request, source, statuses, text};

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Looks for what is wrong in a profile.
pub(in crate::contract) fn profile(profile: &Profile, problems: &mut Problems<'_>) {
    name(&profile.name, problems);
    for id in profile.not_observable.keys() {
        known_requirement(id, &spot!["not_observable", id.as_str()], problems);
    }
    transcript(&profile.transcript, &spot!["transcript"], problems);
    profile.log.iter().for_each(|mapping| log::log(mapping, problems));
    binding(&profile.binding, problems);
    cursors(profile, problems);
    promises(profile, problems);
    for (class, answer) in &profile.contract.answers {
        let class = serde_json::to_value(class).expect("a class is a word");
        if let crate::contract::CursorAnswer::Refused { status } = answer {
            statuses(Some(status), &spot!["contract", "answers", class.as_str().unwrap_or_default(), "status"], problems);
        }
    }
    statuses(profile.contract.unknown_session.as_ref(), &spot!["contract", "unknown_session"], problems);
}

/// Looks for what is wrong in a target.
pub(in crate::contract) fn target(target: &Target, problems: &mut Problems<'_>) {
    match (&target.url, &target.start) {
        (Some(_), Some(_)) => problems.at_key(
            &spot!["start"],
            "`url` and `start` exclude each other",
            "there is a `url` as well",
            "keep `start` to let streamspec start and break the server, or `url` for one that runs already",
        ),
        (None, None) => problems.at(
            &spot![],
            "the target has neither `url` nor `start`",
            "in here",
            "add `start = \"my-server --port {port} --data {dir}\"`, or `url = \"http://127.0.0.1:8080\"`",
        ),
        (Some(url), None) => {
            if !names_a_host(url) {
                let what = format!("`{}` is no URL", short(url));
                problems.at(&spot!["url"], what, "no http:// URL", "write it as `http://127.0.0.1:8080`");
            }
            if target.allow.is_some() {
                let help = "give `start` instead of `url`, or leave `allow` out";
                problems.at_key(&spot!["allow"], "`allow` has no meaning for a `url`", "no process to control", help);
            }
        }
        (None, Some(start)) => {
            if start.trim().is_empty() {
                problems.at(&spot!["start"], "`start` is empty", "no command", "give the command that starts the server");
            } else if !start.contains("{port}")
                && target.ready.output.is_none()
                && !target.env.values().any(|value| value.contains("{port}"))
            {
                problems.at(
                    &spot!["start"],
                    "nothing says on which port the server listens",
                    "no `{port}`",
                    "put `{port}` into the command (or into `env`), or set `ready.output` to the line in which the server names its port",
                );
            }
        }
    }
    if let Some(path) = target.ready.path.as_ref().filter(|path| !path.starts_with('/')) {
        let help = format!("write it as `/{}`", short(path));
        problems.at(&spot!["ready", "path"], format!("`{}` is no path", short(path)), "must begin with `/`", help);
    }
    known_requirements(&target.known, problems);
}

/// Complains about known failures of what is no requirement, or without a reason.
pub(crate) fn known_requirements(known: &BTreeMap<String, Known>, problems: &mut Problems<'_>) {
    for (id, known) in known {
        let at = spot!["known", id.as_str()];
        known_requirement(id, &at, problems);
        if known.reason().trim().is_empty() {
            let help = "say why it fails, and where that is tracked".to_owned();
            problems.at_key(&at, format!("`{}` is known without a reason", short(id)), "no reason", help);
        }
    }
}

/// True for what can be the URL of a server.
pub(crate) fn names_a_host(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace))
}

/// Complains about an id that is not in the catalogue.
pub(crate) fn known_requirement(id: &str, at: &[Seg], problems: &mut Problems<'_>) {
    if requirement(id).is_none() {
        let family = id.rsplit_once('-').map_or(id, |(family, _)| family).to_uppercase();
        let of_family: Vec<&str> = CATALOGUE.iter().chain(CLIENT_CATALOGUE).filter(|r| r.family() == family).map(|r| r.id).collect();
        let help =
            if of_family.is_empty() { "`streamspec list` shows all of them".to_owned() } else { suggest(id, &of_family, "in that family") };
        problems.at_key(at, format!("there is no requirement `{}`", short(id)), "unknown requirement", help);
    }
}

fn name(name: &str, problems: &mut Problems<'_>) {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        let what = format!("`{}` is no name", short(name));
        problems.at(&spot!["name"], what, "not of a-z, 0-9 and -", "use small letters, digits and dashes, as in `my-protocol`");
    }
}

fn binding(binding: &Binding, problems: &mut Problems<'_>) {
    let mut known: BTreeSet<&str> = PLACEHOLDERS.iter().copied().collect();
    let bound = [&binding.open, &binding.publish, &binding.publish_ephemeral, &binding.close].into_iter().flatten();
    for operation in bound.chain(binding.ops.values()) {
        let all = std::iter::once(operation).chain(&operation.then);
        known.extend(all.flat_map(|one| one.take.keys()).map(String::as_str));
    }
    let known: Vec<&str> = known.into_iter().collect();
    for (header, value) in &binding.headers {
        text(value, &spot!["binding", "headers", header.as_str()], &known, problems);
    }
    let operations = [
        ("open", binding.open.as_ref()),
        ("publish", binding.publish.as_ref()),
        ("publish_ephemeral", binding.publish_ephemeral.as_ref()),
        ("close", binding.close.as_ref()),
        ("delete", binding.delete.as_ref()),
        ("health", binding.health.as_ref()),
        ("history", binding.history.as_ref().map(|history| &history.operation)),
        ("snapshot", binding.snapshot.as_ref().map(|snapshot| &snapshot.operation)),
    ];
    for (key, of) in operations {
        if let Some(of) = of {
            operation(of, &spot!["binding", key], &known, problems);
        }
    }
    for (key, of) in [("publish", &binding.publish), ("publish_ephemeral", &binding.publish_ephemeral)] {
        if of.as_ref().is_some_and(|of| !placeholder_used(of, "payload")) {
            let help = "put `{payload}` where the event's text goes: without it no event is recognised when it comes back";
            problems.at_key(&spot!["binding", key], format!("`{key}` sends no `{{payload}}`"), "no payload", help);
        }
    }
    subscribe(&binding.subscribe, &known, problems);
    if let Some(history) = &binding.history {
        let at = |key: &str| spot!["binding", "history", key];
        pointer(&history.events, &at("events"), problems);
        history.more.iter().for_each(|more| pointer(more, &at("more"), problems));
        history.next.iter().for_each(|next| answer_source(next, &at("next"), problems));
    }
    if let Some(snapshot) = &binding.snapshot {
        answer_source(&snapshot.cursor, &spot!["binding", "snapshot", "cursor"], problems);
        snapshot.items.iter().for_each(|items| pointer(items, &spot!["binding", "snapshot", "items"], problems));
    }
    event(&binding.event, &spot!["binding", "event"], binding.subscribe.format, false, problems);
    let frames = &binding.frames;
    let kinds = [
        ("boundary", &frames.boundary),
        ("gap", &frames.gap),
        ("terminal", &frames.terminal),
        ("heartbeat", &frames.heartbeat),
        ("commit", &frames.commit),
        ("ephemeral", &frames.ephemeral),
        ("ignore", &frames.ignore),
    ];
    for (key, of) in kinds {
        if let Some(of) = of {
            frame(of, key, binding, problems);
        }
    }
}

fn operation(of: &Operation, at: &[Seg], known: &[&str], problems: &mut Problems<'_>) {
    let under = |key: &str| [at, &spot![key]].concat();
    request(&of.request, &under("request"), known, problems);
    for (header, value) in &of.headers {
        text(value, &[at, &spot!["headers", header.as_str()]].concat(), known, problems);
    }
    for (parameter, value) in &of.query {
        text(value, &[at, &spot!["query", parameter.as_str()]].concat(), known, problems);
    }
    for (placeholder, fields) in &of.when {
        group(fields, placeholder, &[at, &spot!["when", placeholder.as_str()]].concat(), known, problems);
    }
    if let Some(json) = &of.json {
        json_texts(json, &under("json"), known, problems);
    }
    if let Some(body) = &of.body {
        text(body, &under("body"), known, problems);
        if of.json.is_some() {
            let help = "keep `json` for a JSON body, or `body` for any other text";
            problems.at_key(&under("body"), "`json` and `body` exclude each other", "there is a `json` as well", help);
        } else if body.trim_start().starts_with('{') && body.contains("\"{payload}\"") {
            let help = "use `json = { … }`, which escapes it";
            problems.at(&under("body"), "a payload with quotes or line breaks would break this JSON", "inserted as it is", help);
        }
    }
    statuses(of.ok.as_ref(), &under("ok"), problems);
    if of.socket.is_some() && (of.json.is_some() || of.body.is_some()) {
        problems.at_key(&under("socket"), "a WebSocket's messages are in `send`", "there is a body as well", "move it into `socket.send`");
    }
    if let Some(socket) = &of.socket {
        exchange(socket, &under("socket"), known, problems);
    }
    for (index, one) in of.then.iter().enumerate() {
        if one.then.is_empty() {
            operation(one, &[at, &spot!["then", index]].concat(), known, problems);
        } else {
            let at = [at, &spot!["then", index, "then"]].concat();
            problems.at_key(&at, "operations that follow stand in one list", "a list in a list", "put them behind this one");
        }
    }
    for (taken, source) in &of.take {
        answer_source(source, &[at, &spot!["take", taken.as_str()]].concat(), problems);
    }
}

/// An exchange over a WebSocket: its messages, and what the answers are known by.
fn exchange(of: &Exchange, at: &[Seg], known: &[&str], problems: &mut Problems<'_>) {
    let patterns = [("reply", of.reply.as_ref()), ("refused", of.refused.as_ref()), ("keep", of.keep.as_ref())];
    for (name, pattern) in patterns.into_iter().filter_map(|(name, pattern)| Some((name, pattern?))) {
        pattern.keys().for_each(|key| pointer_key(key, &[at, &spot![name, key.as_str()]].concat(), problems));
    }
    if of.reply.is_none() && !of.then.is_empty() {
        problems.at_key(&[at, &spot!["then"]].concat(), "what follows waits for a reply", "there is no `reply`", "say by what it is known");
    }
    let parts =
        std::iter::once((&of.send, Vec::new())).chain(of.then.iter().enumerate().map(|(n, talk)| (&talk.send, spot!["then", n].to_vec())));
    for (messages, inner) in parts {
        for (n, message) in messages.iter().enumerate() {
            json_texts(message, &[at, &inner[..], &spot!["send", n]].concat(), known, problems);
        }
    }
}

fn group(of: &Group, placeholder: &str, at: &[Seg], known: &[&str], problems: &mut Problems<'_>) {
    if !known.contains(&placeholder) {
        let help = suggest(placeholder, known, "known are");
        problems.at_key(at, format!("`{}` is no placeholder", short(placeholder)), "unknown placeholder", help);
    }
    if of.headers.is_empty() && of.query.is_empty() && of.json.is_empty() {
        let help = "give `headers`, `query` or `json`, or leave it out";
        problems.at_key(at, format!("nothing is sent when there is a `{}`", short(placeholder)), "empty", help);
    }
    for (key, fields) in [("headers", &of.headers), ("query", &of.query)] {
        for (name, value) in fields {
            text(value, &[at, &spot![key, name.as_str()]].concat(), known, problems);
        }
    }
    for (name, value) in &of.json {
        json_texts(value, &[at, &spot!["json", name.as_str()]].concat(), known, problems);
    }
}

fn subscribe(of: &Subscribe, known: &[&str], problems: &mut Problems<'_>) {
    let at = |key: &str| spot!["binding", "subscribe", key];
    request(&of.request, &at("request"), known, problems);
    for (header, value) in &of.headers {
        text(value, &spot!["binding", "subscribe", "headers", header.as_str()], known, problems);
    }
    for (parameter, value) in &of.query {
        text(value, &spot!["binding", "subscribe", "query", parameter.as_str()], known, problems);
    }
    if let Some(json) = &of.json {
        json_texts(json, &at("json"), known, problems);
    }
    of.refused.keys().for_each(|key| pointer_key(key, &spot!["binding", "subscribe", "refused", key.as_str()], problems));
    if !of.refused.is_empty() && of.format != Format::Websocket {
        let help = "leave it out: a status says it";
        problems.at_key(&at("refused"), "`refused` is for WebSockets only", "the format is another", help);
    }
    for (index, carrier) in of.cursor.iter().enumerate() {
        match carrier {
            CursorCarrier::Header(name) | CursorCarrier::Query(name) if name.is_empty() => {
                problems.at(&spot!["binding", "subscribe", "cursor", index], "the cursor's carrier has no name", "empty", "name it");
            }
            CursorCarrier::Header(_) | CursorCarrier::Query(_) => {}
            CursorCarrier::Body(to) | CursorCarrier::BodyNumber(to) => {
                pointer(to, &spot!["binding", "subscribe", "cursor", index, "body"], problems);
                if of.request.trim_start().starts_with("GET") {
                    let help = "subscribe by POST, or carry the cursor in a header or query parameter";
                    problems.at(
                        &spot!["binding", "subscribe", "cursor", index],
                        "a GET has no body to carry a cursor",
                        "in the body",
                        help,
                    );
                }
            }
        }
    }
    statuses(of.empty.as_ref(), &at("empty"), problems);
    of.next.iter().for_each(|next| answer_source(next, &at("next"), problems));
    match of.format {
        Format::LongPoll if of.next.is_none() => problems.at_key(
            &at("format"),
            "a long-poll must say where the next cursor is",
            "no `next`",
            "add `next = \"/cursor\"` (a pointer into the answer) or `next = \"header:Name\"`",
        ),
        Format::LongPoll => {}
        Format::Sse | Format::Ndjson | Format::Websocket => {
            for (key, given) in [("empty", of.empty.is_some()), ("next", of.next.is_some())] {
                if given {
                    problems.at_key(&at(key), format!("`{key}` is for long-polls only"), "the format is a stream", "leave it out");
                }
            }
        }
    }
}

fn event(of: &EventShape, at: &[Seg], format: Format, page: bool, problems: &mut Problems<'_>) {
    let payloads = of.payload.iter().map(|payload| ("payload", payload));
    let others = [("cursor", of.cursor.as_deref()), ("type", of.event_type.as_deref())];
    for (key, given) in others.into_iter().filter_map(|(key, given)| Some((key, given?))).chain(payloads) {
        source(given, &[at, &spot![key]].concat(), format, page, problems);
    }
    if let Some(records) = &of.records {
        pointer(records, &[at, &spot!["records"]].concat(), problems);
    }
    if let Some(inner) = &of.page {
        let at = [at, &spot!["page"]].concat();
        if page {
            problems.at_key(&at, "`page` stands inside a `page`", "one too many", "leave it out");
        } else {
            event(inner, &at, format, true, problems);
        }
    }
}

fn frame(of: &FrameMatch, key: &str, binding: &Binding, problems: &mut Problems<'_>) {
    let at = spot!["binding", "frames", key];
    if of.of_answer() {
        return answer_frame(of, key, &at, binding.subscribe.format, problems);
    }
    if of.event_type.is_none() && of.json.is_empty() && of.has_cursor.is_none() {
        let help = "say how it looks: `type = \"…\"`, `json = { \"/pointer\" = value }` or `has_cursor = true`";
        problems.at_key(&at, format!("every frame would be a {key}"), "no condition", help);
    }
    let has_type = binding.event.event_type.is_some() || binding.subscribe.format == Format::Sse;
    if of.event_type.is_some() && !has_type {
        let help = "add `type = \"/pointer\"` to `[binding.event]`, or match by `json`";
        problems.at(&[&at[..], &spot!["type"]].concat(), "nothing says where the type of a frame is", "compared with nothing", help);
    }
    for to in of.json.keys() {
        pointer_key(to, &[&at[..], &spot!["json", to.as_str()]].concat(), problems);
    }
    if let Some(cursor) = &of.cursor {
        source(cursor, &[&at[..], &spot!["cursor"]].concat(), binding.subscribe.format, false, problems);
    }
}

/// A mark of the whole answer to a long-poll.
fn answer_frame(of: &FrameMatch, key: &str, at: &[Seg], format: Format, problems: &mut Problems<'_>) {
    let under = |key: &str| [at, &spot![key]].concat();
    if format != Format::LongPoll {
        let help = "match by `type`, `json` or `has_cursor`";
        problems.at_key(at, "`status`, `header` and `answer` are for long-polls only", "the format is a stream", help);
    }
    if of.event_type.is_some() || !of.json.is_empty() || of.has_cursor.is_some() {
        let what = format!("a {key} is either a record or the whole answer");
        let help = "`type`, `json` and `has_cursor` are about a record; `status`, `header` and `answer` about the answer: keep one kind";
        problems.at_key(at, what, "both", help);
    }
    match key {
        "commit" => problems.at_key(at, "an answer commits by `next`", "not needed", "give `next` in `[binding.subscribe]` alone"),
        "ephemeral" | "ignore" => {
            problems.at_key(at, format!("a whole answer cannot be `{key}`"), "of an answer", "match its records, by `type` or `json`");
        }
        _ => {}
    }
    statuses(of.status.as_ref(), &under("status"), problems);
    for name in of.header.keys().filter(|name| name.is_empty()) {
        problems.at_key(&[at, &spot!["header", name.as_str()]].concat(), "the header has no name", "empty", "name it");
    }
    for to in of.answer.keys() {
        pointer_key(to, &[at, &spot!["answer", to.as_str()]].concat(), problems);
    }
    of.cursor.iter().for_each(|cursor| answer_source(cursor, &under("cursor"), problems));
}

fn cursors(profile: &Profile, problems: &mut Problems<'_>) {
    let (contract, binding) = (&profile.contract, &profile.binding);
    let subscribe = &binding.subscribe;
    if let Some(cursor) = &contract.cursor {
        let template = [&subscribe.request].into_iter().chain(subscribe.query.values()).chain(subscribe.headers.values());
        let carried = !subscribe.cursor.is_empty()
            || template.into_iter().any(|t| t.contains("{cursor}"))
            || subscribe.json.as_ref().is_some_and(|json| json.to_string().contains("{cursor}"));
        if !carried {
            problems.at_key(
                &spot!["contract", "cursor"],
                "the contract has cursors, but the binding has no way to present one",
                "promised here",
                "add `cursor = [{ header = \"Last-Event-ID\" }]` (or `query`, `body`) to `[binding.subscribe]`",
            );
        }
        if binding.event.cursor.is_none() && binding.frames.commit.is_none() && subscribe.next.is_none() {
            problems.at_key(
                &spot!["contract", "cursor"],
                "the contract has cursors, but the binding does not say where a reader finds one",
                "promised here",
                "add `cursor = \"id\"` (or a `/pointer`) to `[binding.event]`, or describe `[binding.frames.commit]`",
            );
        }
        if cursor.dense && cursor.order != CursorOrder::Number {
            problems.at_key(
                &spot!["contract", "cursor", "dense"],
                "cursors can be dense only where they are numbers",
                "no numbers to follow each other",
                "set `order = \"number\"` beside it, or `dense = false`",
            );
        }
    }
    if let Some(wins) = &contract.cursor_precedence {
        let at = spot!["contract", "cursor_precedence"];
        if !subscribe.cursor.contains(wins) {
            problems.at_key(&at, "the winning carrier is none of the binding's", "not in `binding.subscribe.cursor`", "name it there, too");
        } else if subscribe.cursor.first() != Some(wins) {
            let help = "put it first: the list in `binding.subscribe.cursor` begins with the strongest";
            problems.at_key(&at, "the winning carrier stands behind another one", "not the first of the carriers", help);
        } else if subscribe.cursor.len() < 2 {
            let help = "name the other carrier in `binding.subscribe.cursor`, or leave `cursor_precedence` out";
            problems.at_key(&at, "a cursor wins only against another one", "the only carrier", help);
        }
    }
}

/// What is promised must be visible.
fn promises(profile: &Profile, problems: &mut Problems<'_>) {
    let (contract, frames) = (&profile.contract, &profile.binding.frames);
    let mut unseen = |at: &[Seg], promise: &str, frame: &str| {
        problems.at_key(
            at,
            format!("the contract promises {promise}, but nothing says how to recognise it"),
            "promised here",
            format!("add `[binding.frames.{frame}]`, for example with `type = \"{frame}\"`"),
        );
    };
    if contract.boundary.is_some() && frames.boundary.is_none() {
        unseen(&spot!["contract", "boundary"], "a boundary", "boundary");
    }
    match contract.gap.as_ref().map(|gap| gap.signal) {
        Some(GapSignal::Frame) if frames.gap.is_none() => unseen(&spot!["contract", "gap"], "a gap frame", "gap"),
        Some(GapSignal::Boundary) if frames.boundary.is_none() => unseen(&spot!["contract", "gap"], "a boundary as gap signal", "boundary"),
        Some(GapSignal::Frame | GapSignal::Boundary | GapSignal::Refusal) | None => {}
    }
    if contract.terminal.is_some() && frames.terminal.is_none() {
        unseen(&spot!["contract", "terminal"], "a terminal event", "terminal");
    }
    if contract.ephemeral.is_some() && frames.ephemeral.is_none() {
        unseen(&spot!["contract", "ephemeral"], "live-only events", "ephemeral");
    }
    let by_replay = contract.boundary.as_ref().is_some_and(|boundary| boundary.sent != BoundarySent::WithoutReplay);
    if contract.gap.as_ref().is_some_and(|gap| gap.signal == GapSignal::Boundary && (by_replay || gap.then == AfterGap::Kept)) {
        let help = "set `contract.boundary.sent = \"without-replay\"` and `then = \"live\"`; a signal of its own is `signal = \"frame\"`";
        let what = "a boundary tells of a gap only where it is sent without a replay, and nothing old follows";
        problems.at_key(&spot!["contract", "gap"], what, "would tell nothing", help);
    }
    let open = profile.binding.open.as_ref();
    for (index, kind) in contract.retention.iter().flat_map(|retention| retention.settable.iter().enumerate()) {
        let placeholder = match kind {
            RetainKind::Records => "retain_records",
            RetainKind::Bytes => "retain_bytes",
            RetainKind::Age => "retain_age_ms",
        };
        if !open.is_some_and(|open| placeholder_used(open, placeholder)) {
            problems.at(
                &spot!["contract", "retention", "settable", index],
                format!("this bound can be set, but `binding.open` does not send `{{{placeholder}}}`"),
                "not in the request",
                format!("put `{{{placeholder}}}` into `[binding.open]`, or take it out of `settable`"),
            );
        }
    }
    if contract.idempotency.is_some() && !profile.binding.publish.as_ref().is_some_and(|publish| placeholder_used(publish, "key")) {
        let help = "add `headers = { Idempotency-Key = \"{key}\" }` to `[binding.publish]`";
        problems.at_key(&spot!["contract", "idempotency"], "keys are promised, but `publish` does not send `{key}`", "promised here", help);
    }
}

/// Whether `placeholder` stands anywhere in the request.
pub(crate) fn placeholder_used(of: &Operation, placeholder: &str) -> bool {
    let wanted = format!("{{{placeholder}}}");
    let groups = of.when.values().flat_map(|group| group.headers.values().chain(group.query.values()));
    let members = of.when.values().flat_map(|group| group.json.values()).chain(&of.json);
    let texts = [&of.request].into_iter().chain(of.headers.values()).chain(of.query.values()).chain(groups).chain(&of.body);
    texts.into_iter().any(|text| text.contains(&wanted)) || members.into_iter().any(|json| json.to_string().contains(&wanted))
}
